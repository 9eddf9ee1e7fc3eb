//! The signed objects that the hub gives out, and the news of their changes.

use axum::body::Bytes;
use medlock_node::knowledge;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;

/// Which object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// The site's list of its own authorities and services.
    SiteList,
    /// The alliance's trust list, as it was imported.
    TrustList,
    /// The status list.
    Status,
    /// The continuity policy.
    Policy,
    /// The routing table.
    Routes,
}

impl Kind {
    /// Every object, in the order in which a node needs them: the list first, which names who signs the others.
    pub const ALL: [Self; 5] = [Self::SiteList, Self::TrustList, Self::Status, Self::Policy, Self::Routes];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SiteList => "site-list",
            Self::TrustList => "trust-list",
            Self::Status => "status",
            Self::Policy => "policy",
            Self::Routes => "routes",
        }
    }

    /// The object with this stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    pub(crate) const fn index(self) -> usize {
        match self {
            Self::SiteList => 0,
            Self::TrustList => 1,
            Self::Status => 2,
            Self::Policy => 3,
            Self::Routes => 4,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl From<Kind> for knowledge::Kind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::SiteList => Self::SiteList,
            Kind::TrustList => Self::TrustList,
            Kind::Status => Self::Status,
            Kind::Policy => Self::Policy,
            Kind::Routes => Self::Routes,
        }
    }
}

/// An object as it is given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Object {
    /// Its version or epoch.
    pub version: u64,
    /// The signed bytes.
    pub bytes: Bytes,
}

/// The current objects, and a counter that tells of changes. Whoever is slow sees the newest state, not every step: so
/// a follower costs no memory that grows.
#[derive(Debug)]
pub struct News {
    current: RwLock<[Option<Object>; 5]>,
    changes: watch::Sender<u64>,
}

impl Default for News {
    fn default() -> Self {
        Self { current: RwLock::default(), changes: watch::channel(0).0 }
    }
}

impl News {
    /// Gives out an object from now on, unless a later one is given out already.
    pub fn announce(&self, kind: Kind, object: Object) {
        let mut current = self.current.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = current.get_mut(kind.index())
            && place.as_ref().is_none_or(|held| held.version < object.version)
        {
            *place = Some(object);
            drop(current);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// The object as it is now.
    #[must_use]
    pub fn current(&self, kind: Kind) -> Option<Object> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).get(kind.index()).cloned().flatten()
    }

    /// Changes whenever an object does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
