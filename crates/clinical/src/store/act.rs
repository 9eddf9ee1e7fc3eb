//! What is to be done, and what was done.

use super::Stored;
use crate::access::Verb;
use crate::kind::{Id, Kind, Millis, Row, Seq, Version};
use crate::outcome::{Code, Issue, Refusal};
use crate::query;
use crate::validate::{PatientOf, Prepared};
use medlock_store::Error;
use std::time::Duration;

/// What has to be so at the moment of a change: this search finds just this resource, or none.
#[derive(Clone, Debug)]
pub struct Condition {
    /// The search.
    pub plan: query::Plan,
    /// What it found when the request was read.
    pub is: Option<Id>,
    /// How that was found out; `None`: it was not asked, or by an identifier that we give ourselves.
    pub asked: Option<Asked>,
}

/// How a condition was looked for before the change that it is for: then only what has changed since counts.
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// The newest change before that.
    pub newest: Seq,
    /// The row that was found.
    pub row: Option<Row>,
    /// How long it took.
    pub took: Duration,
}

/// How a resource has to stand for a change (RFC 9110, sections 13.1.1 and 13.1.2).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// However it stands.
    Anything,
    /// It is there.
    Something,
    /// It has one of these versions.
    OneOf(Vec<Version>),
    /// It is not there.
    Nothing,
}

impl Expected {
    /// Just this version.
    #[must_use]
    pub fn version(version: Version) -> Self {
        Self::OneOf(vec![version])
    }

    /// Whether a resource stands so.
    #[must_use]
    pub(crate) fn is_met_by(&self, before: &Stored) -> bool {
        match self {
            Self::Anything => true,
            Self::Something => !before.gone,
            Self::OneOf(versions) => versions.contains(&before.version),
            Self::Nothing => before.gone,
        }
    }

    /// That it is so where there is none.
    pub(crate) fn is_met_by_none(&self) -> Result<(), Issue> {
        match self {
            Self::Anything | Self::Nothing => Ok(()),
            Self::Something | Self::OneOf(_) => Err(Issue::new(Code::Version, "there is none, so it has no version")),
        }
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Act {
    /// A new resource with this identifier, of [`Id::fresh`].
    Create {
        /// Its identifier.
        id: Id,
        /// It.
        to: Prepared,
        /// Only then.
        condition: Option<Condition>,
    },
    /// Another state of a resource.
    Update {
        /// Which.
        id: Id,
        /// What it becomes.
        to: Prepared,
        /// How it has to stand.
        expected: Expected,
        /// Only then.
        condition: Option<Condition>,
        /// The addresses under which its references are local.
        bases: Vec<String>,
    },
    /// The end of a resource.
    Delete {
        /// Its kind.
        kind: Kind,
        /// Which.
        id: Id,
        /// How it has to stand.
        expected: Expected,
        /// Only then.
        condition: Option<Condition>,
    },
    /// Nothing: it is there already.
    Find {
        /// Its kind.
        kind: Kind,
        /// Which.
        id: Id,
        /// Only then.
        condition: Condition,
        /// Whose the resource is that is not made for that.
        of: PatientOf,
        /// Whether it is to be given too, to who may search it.
        whole: bool,
    },
}

impl Act {
    /// With resources of which kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Create { to, .. } | Self::Update { to, .. } => to.kind(),
            Self::Delete { kind, .. } | Self::Find { kind, .. } => *kind,
        }
    }

    /// Of which one.
    #[must_use]
    pub const fn id(&self) -> Id {
        match self {
            Self::Create { id, .. } | Self::Update { id, .. } | Self::Delete { id, .. } | Self::Find { id, .. } => *id,
        }
    }

    /// Which right it needs.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Create { .. } => Verb::Create,
            Self::Update { .. } => Verb::Update,
            Self::Delete { .. } => Verb::Delete,
            Self::Find { .. } => Verb::Search,
        }
    }

    pub(super) const fn condition(&self) -> Option<&Condition> {
        match self {
            Self::Create { condition, .. } | Self::Update { condition, .. } | Self::Delete { condition, .. } => {
                condition.as_ref()
            }
            Self::Find { condition, .. } => Some(condition),
        }
    }

    /// Whether it is what a patient says of who may see what: whoever withdraws does not wait for all who write.
    pub(super) fn presses(&self) -> bool {
        self.kind() == Kind::CONSENT && self.condition().is_none()
    }

    /// Whose the resource is, as it was sent, for which something was found.
    pub(super) const fn found_for(&self) -> Option<PatientOf> {
        match self {
            Self::Find { of, .. } => Some(*of),
            Self::Update { to, condition: Some(_), .. } => Some(to.patient()),
            Self::Update { condition: None, .. } | Self::Create { .. } | Self::Delete { .. } => None,
        }
    }

    pub(super) const fn prepared(&self) -> Option<&Prepared> {
        match self {
            Self::Create { to, .. } | Self::Update { to, .. } => Some(to),
            Self::Delete { .. } | Self::Find { .. } => None,
        }
    }
}

/// How a resource stands after an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// It is new.
    Created,
    /// It has another version.
    Updated,
    /// It is gone.
    Deleted,
    /// It was there.
    Found,
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    /// How.
    pub how: How,
    /// Its kind.
    pub kind: Kind,
    /// Its identifier.
    pub id: Id,
    /// Its version.
    pub version: Version,
    /// When.
    pub updated: Millis,
    /// It, as JSON; empty where it is gone, and where it was found and is not to be given.
    pub body: Vec<u8>,
    /// Its row.
    pub(super) row: Row,
    /// The row of the patient whose it is.
    pub(super) patient: Option<Row>,
    /// That of the patient whose it was, where that is another.
    pub(super) was: Option<Row>,
}

impl Done {
    /// Whether it was deleted, and people sign in whose resource it was.
    pub(crate) fn ends_accounts(&self) -> bool {
        self.how == How::Deleted && [Kind::PATIENT, Kind::PRACTITIONER].contains(&self.kind)
    }
}

/// Why nothing was done.
#[derive(Debug)]
pub enum Unapplied {
    /// One of the acts is refused.
    Refused {
        /// Which, from 0.
        act: usize,
        /// Why.
        why: Refusal,
    },
    /// What a condition finds is not what it found when the request was read: read the request again.
    Changed,
    /// The store did not do it.
    Store(Error),
}

impl From<Error> for Unapplied {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}
