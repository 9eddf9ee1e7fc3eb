//! A Consent as the store keeps it.

use super::Purposes;
use crate::access::Verbs;
use crate::kind::{Id, Kind};
use crate::moment::Span;
use crate::validate::Coding;

/// A Consent that can be enforced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    /// Its provisions, each behind the one that it is an exception of; none while it is not active.
    pub provisions: Vec<Provision>,
}

/// A provision with all that those around it ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provision {
    /// The place of the one that it is an exception of.
    pub parent: Option<usize>,
    /// Whether it denies.
    pub deny: bool,
    /// Whether it, or one around it, names an actor.
    pub named: bool,
    /// When it is in force.
    pub period: Span,
    /// What it is about that is done.
    pub verbs: Verbs,
    /// For what.
    pub purposes: Purposes,
    /// Kinds, as bits by their numbers.
    pub kinds: i64,
    /// All of which have to hold.
    pub conditions: Vec<Condition>,
}

/// A condition on the caller or on the row; of a list, one value has to fit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The caller is one of these.
    Actor(Vec<(Kind, Id)>),
    /// The row is labelled so.
    Label(Vec<Coding>),
    /// One of these codes is found in the row.
    Coded(Vec<Coding>),
    /// The row's date is, or may be, within this.
    Overlaps(Span),
    /// The row's date is within this wholly.
    Within(Span),
    /// The row is one of these, or stands so to one of them.
    Data(Vec<(Meaning, Kind, Id)>),
}

impl Condition {
    pub(crate) const ACTOR: i64 = 0;
    pub(crate) const LABEL: i64 = 1;
    pub(crate) const CODED: i64 = 2;
    pub(crate) const OVERLAPS: i64 = 3;
    pub(crate) const WITHIN: i64 = 4;
    pub(crate) const DATA: i64 = 5;

    /// How many values it names.
    pub(super) fn values(&self) -> usize {
        match self {
            Self::Actor(actors) => actors.len(),
            Self::Label(codings) | Self::Coded(codings) => codings.len(),
            Self::Data(data) => data.len(),
            Self::Overlaps(_) | Self::Within(_) => 1,
        }
    }

    /// Its sort in the store.
    pub(crate) const fn sort(&self) -> i64 {
        match self {
            Self::Actor(_) => Self::ACTOR,
            Self::Label(_) => Self::LABEL,
            Self::Coded(_) => Self::CODED,
            Self::Overlaps(_) => Self::OVERLAPS,
            Self::Within(_) => Self::WITHIN,
            Self::Data(_) => Self::DATA,
        }
    }
}

/// How data is meant (FHIR R4, `consent-data-meaning`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// The resource itself.
    Instance,
    /// It, and what it refers to.
    Related,
    /// It, and what refers to it.
    Dependents,
    /// What was authored by it.
    AuthoredBy,
}

impl Meaning {
    pub(super) const NAMES: [(Self, &'static str); 4] = [
        (Self::Instance, "instance"),
        (Self::Related, "related"),
        (Self::Dependents, "dependents"),
        (Self::AuthoredBy, "authoredby"),
    ];

    /// Its number in the store.
    pub(crate) const fn number(self) -> i64 {
        match self {
            Self::Instance => 0,
            Self::Related => 1,
            Self::Dependents => 2,
            Self::AuthoredBy => 3,
        }
    }
}

impl Compiled {
    /// The codes that its conditions name.
    pub(crate) fn codings(&self) -> impl Iterator<Item = &Coding> {
        let conditions = self.provisions.iter().flat_map(|provision| &provision.conditions);
        conditions.flat_map(|condition| match condition {
            Condition::Label(codings) | Condition::Coded(codings) => codings.as_slice(),
            Condition::Actor(_) | Condition::Overlaps(_) | Condition::Within(_) | Condition::Data(_) => &[],
        })
    }
}
