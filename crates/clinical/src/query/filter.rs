//! What has to hold of a resource that is found.

use super::{Ranges, Token};
use crate::definitions::{Column, ParameterId};
use crate::json::Key;
use crate::kind::{Id, Kind, Version};
use std::collections::BTreeSet;

/// A condition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// One of these.
    Id(Vec<Id>),
    /// Of one of these patients.
    Patient(Vec<Id>),
    /// With one of these codes in a column.
    Column(Column, Vec<Token>),
    /// With one of these codes beside the row.
    Mark(ParameterId, Vec<Token>),
    /// That refers to one of these.
    Link(ParameterId, Vec<(Kind, Id)>),
    /// That says where one of these came from: a resource, or one version of it.
    Target(Vec<(Kind, Id, Option<Version>)>),
    /// With one of these identifiers or addresses.
    Ident(ParameterId, Vec<Token>),
    /// With an identifier of one of these systems, whatever it is. No index leads there.
    IdentOf(ParameterId, Vec<String>),
    /// With one of these words.
    Word(ParameterId, Vec<Word>),
    /// Whose principal date is so.
    Date(Ranges),
    /// With a date beside the row that is so.
    Span(ParameterId, Ranges),
    /// With a measured value that is so.
    Quantity(ParameterId, Vec<Measure>),
    /// That was changed then.
    Updated(Ranges),
    /// With one of these codes and this value in the same part.
    Part(ParameterId, Vec<Token>, Box<Self>),
    /// Without any value there.
    Missing(Absent),
    /// For which it does not hold.
    Not(Box<Self>),
    /// For which one holds.
    Any(Vec<Self>),
    /// For which all hold.
    All(Vec<Self>),
    /// That refers to a resource of this kind for which it holds.
    Chain(By, Kind, Box<Self>),
    /// To which a resource of this kind refers for which it holds.
    Has(Kind, By, Box<Self>),
}

/// What a reference is kept as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// The patient of the row.
    Patient,
    /// A link.
    Link(ParameterId),
    /// The statement of the row, or of a version that it had; it is of this kind.
    Target(Kind),
}

/// Where there is no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are where a filter looks")]
pub enum Absent {
    Column(Column),
    Date,
    Patient,
    Mark(ParameterId),
    Span(ParameterId),
    Quantity(ParameterId),
    Word(ParameterId),
}

/// A word that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// One that begins so, in whatever case and with whatever accents.
    Begins(String),
    /// This very text.
    Is(String),
}

/// A measured value that is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measure {
    /// Its unit, where that is asked.
    pub unit: Option<Token>,
    /// Ranges one of which it is in: all comparisons of one hold.
    pub ranges: Vec<Vec<(super::End, super::Comparison, Key)>>,
}

impl Filter {
    /// How many conditions it is, all those within it counted.
    pub(super) fn weight(&self) -> u32 {
        let several = |all: &[Self]| all.iter().map(Self::weight).fold(0, u32::saturating_add);
        match self {
            Self::Any(all) | Self::All(all) => several(all),
            Self::Not(one) | Self::Part(_, _, one) | Self::Chain(_, _, one) | Self::Has(_, _, one) => {
                one.weight().saturating_add(1)
            }
            _ => 1,
        }
    }

    /// The patients that it names, of a resource of this kind.
    pub(crate) fn patients(&self, kind: Kind, out: &mut BTreeSet<Id>) {
        match self {
            Self::Patient(ids) => out.extend(ids),
            Self::Id(ids) if kind == Kind::PATIENT => out.extend(ids),
            Self::Link(_, targets) => {
                out.extend(targets.iter().filter(|(kind, _)| *kind == Kind::PATIENT).map(|(_, id)| *id));
            }
            Self::Any(several) | Self::All(several) => several.iter().for_each(|one| one.patients(kind, out)),
            Self::Not(one) | Self::Part(_, _, one) => one.patients(kind, out),
            Self::Chain(_, of, one) | Self::Has(of, _, one) => one.patients(*of, out),
            _ => {}
        }
    }

    /// Whether it is one of these, or all of several of which one is.
    pub fn has(&self, of: fn(&Self) -> bool) -> bool {
        match self {
            Self::All(all) => all.iter().any(|one| one.has(of)),
            one => of(one),
        }
    }

    /// Whether it is one of these, or any that it is made of.
    pub fn holds(&self, of: fn(&Self) -> bool) -> bool {
        match self {
            Self::Any(several) | Self::All(several) => several.iter().any(|one| one.holds(of)),
            Self::Not(one) | Self::Chain(_, _, one) | Self::Has(_, _, one) => one.holds(of),
            one => of(one),
        }
    }
}
