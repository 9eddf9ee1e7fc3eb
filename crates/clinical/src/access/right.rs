//! What a grant allows.

use super::constraint::Constraint;
use crate::kind::{Kind, Row};
use medlock_trust::Operation;
use std::sync::Arc;

/// What is done with a resource: the letters of a SMART scope.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `c`
    Create,
    /// `r`
    Read,
    /// `u`
    Update,
    /// `d`
    Delete,
    /// `s`
    Search,
}

impl Verb {
    /// All, in the order in which a scope names them.
    pub const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Update, Self::Delete, Self::Search];

    /// Its letter in a scope.
    #[must_use]
    pub const fn letter(self) -> char {
        match self {
            Self::Create => 'c',
            Self::Read => 'r',
            Self::Update => 'u',
            Self::Delete => 'd',
            Self::Search => 's',
        }
    }

    /// What the judge is asked before a device does this with a resource of this kind; `None`: no device does it.
    #[must_use]
    pub fn operation(self, kind: Kind) -> Option<Operation> {
        match self {
            Self::Read | Self::Search => Some(Operation::Read),
            Self::Create | Self::Update if kind == Kind::IMAGING_STUDY => Some(Operation::Store),
            Self::Create | Self::Update => Some(Operation::Report),
            Self::Delete => None,
        }
    }

    /// What else: who changes what is there, or says who and what there is, may also read. One that may not, as it is suspended or has
    /// expired for too long, goes on telling what it measured and delivered, and nothing else.
    #[must_use]
    pub fn needs_too(self, kind: Kind) -> Option<Operation> {
        let tells = matches!(kind, Kind::OBSERVATION | Kind::MEDICATION_ADMINISTRATION);
        match self {
            Self::Create if tells => None,
            Self::Create | Self::Update => Some(Operation::Read),
            Self::Read | Self::Search | Self::Delete => None,
        }
    }
}

/// A set of verbs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Verbs(u8);

impl Verbs {
    /// All of them.
    #[cfg(test)]
    pub(crate) const EVERY: Self = Self(0b1_1111);

    /// Those of `verbs`.
    #[must_use]
    pub fn of(verbs: impl IntoIterator<Item = Verb>) -> Self {
        Self(verbs.into_iter().fold(0, |set, verb| set | 1 << verb as u8))
    }

    /// All of them.
    #[must_use]
    pub fn all() -> Self {
        Self::of(Verb::ALL)
    }

    /// Whether `verb` is among them.
    #[must_use]
    pub const fn has(self, verb: Verb) -> bool {
        self.0 & 1 << verb as u8 != 0
    }

    /// These and those.
    #[must_use]
    pub const fn with(self, those: Self) -> Self {
        Self(self.0 | those.0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set as bits.
    pub(crate) const fn bits(self) -> u8 {
        self.0
    }

    /// The members.
    pub fn iter(self) -> impl Iterator<Item = Verb> {
        Verb::ALL.into_iter().filter(move |verb| self.has(*verb))
    }
}

/// Who wrote a Subscription: software, or an account with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The software.
    pub client: String,
    /// The number of the account; `None`: the software in its own name.
    pub account: Option<i64>,
}

/// Which rows of a kind a right reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them.
    All,
    /// Those of the patient with this row, and that one itself.
    Patient(Row),
    /// Those of the device with this row: what it has measured of the patient whose it is at that moment, itself, and
    /// that patient.
    Device(Row),
    /// The Subscriptions of their writer: what somebody watches, and of whom, is nobody else's.
    Writer(Arc<Writer>),
}

/// A right: these verbs on these rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// Of which kind.
    pub kind: Kind,
    /// What may be done.
    pub verbs: Verbs,
    /// With which rows.
    pub reach: Reach,
    /// Of those, with the ones alone of which this holds.
    pub only: Option<Arc<Constraint>>,
}
