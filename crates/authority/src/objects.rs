//! The signed objects that the hub gives out, and the news of their changes.

use axum::body::Bytes;
use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};
use tokio::sync::watch;

pub use medlock_node::knowledge::Kind;

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
    current: RwLock<BTreeMap<Kind, Object>>,
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
        if current.get(&kind).is_none_or(|held| held.version < object.version) {
            current.insert(kind, object);
            drop(current);
            self.changes.send_modify(|count| *count += 1);
        }
    }

    /// Gives an object out no more, until a later one comes.
    pub fn withdraw(&self, kind: Kind) {
        self.current.write().unwrap_or_else(PoisonError::into_inner).remove(&kind);
    }

    /// The object as it is now.
    #[must_use]
    pub fn current(&self, kind: Kind) -> Option<Object> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).get(&kind).cloned()
    }

    /// Changes whenever an object does.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}
