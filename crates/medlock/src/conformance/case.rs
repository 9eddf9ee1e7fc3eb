//! A case: what is asked of a server, and what came of it.

use super::subject::Subject;
use crate::Failure;
use std::pin::Pin;

/// Why a case did not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// It could not be asked: what is missing for it.
    Skipped(String),
    /// The server does otherwise.
    Failed(String),
}

/// What came of a case.
pub(super) type Told = Result<(), Unfit>;

/// What came of something that cases build on.
pub(super) type Given<T> = Result<T, Unfit>;

impl From<Failure> for Unfit {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure.to_string())
    }
}

/// The case cannot be asked without this.
pub(super) fn skipped(text: impl Into<String>) -> Unfit {
    Unfit::Skipped(text.into())
}

/// The server does otherwise.
pub(super) fn failed(text: impl Into<String>) -> Unfit {
    Unfit::Failed(text.into())
}

/// It has to be so.
pub(super) fn ensure(holds: bool, otherwise: impl Into<String>) -> Told {
    if holds { Ok(()) } else { Err(failed(otherwise)) }
}

/// What a case builds on has to have come about; if it did not, another case says why.
pub(super) fn after<T>(what: &str, given: Given<T>) -> Given<T> {
    given.map_err(|unfit| match unfit {
        Unfit::Failed(why) => skipped(format!("needs what {what} asks, which failed: {why}")),
        skipped => skipped,
    })
}

/// What cases ask about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Group {
    /// What everybody may read.
    Discovery,
    /// Software in its own name: SMART Backend Services.
    Backend,
    /// Software that a person lets in: SMART standalone and EHR launch, OpenID Connect, refresh.
    Standalone,
    /// Devices and gateways: mutual TLS (RFC 8705).
    Device,
    /// What must not work.
    Negative,
    /// What must not be learned of data that is not seen.
    Oracle,
    /// Software of a community: UDAP.
    Udap,
}

impl Group {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Discovery => "discovery",
            Self::Backend => "backend",
            Self::Standalone => "standalone",
            Self::Device => "device",
            Self::Negative => "negative",
            Self::Oracle => "oracle",
            Self::Udap => "udap",
        }
    }
}

/// A case while it is asked.
pub(super) type Asking<'s> = Pin<Box<dyn Future<Output = Told> + 's>>;

/// One case.
pub(super) struct Case {
    /// Its name: that of the public kits where they have the same case.
    pub(super) id: &'static str,
    /// What is asked.
    pub(super) asks: &'static str,
    /// How.
    pub(super) run: for<'s> fn(&'s Subject) -> Asking<'s>,
}

/// `case!(id, "what is asked", function of the subject)`.
macro_rules! case {
    ($id:ident, $asks:literal, $run:expr) => {
        $crate::conformance::case::Case { id: stringify!($id), asks: $asks, run: |subject| Box::pin($run(subject)) }
    };
}

pub(super) use case;
