//! What can go wrong in this crate.

use crate::signer::SignerError;
use crate::store::StoreError;
use std::path::PathBuf;

/// Why something was not done. A refusal of a request is a decision with its own type, not an error.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The signer failed or refused.
    #[error(transparent)]
    Signer(#[from] SignerError),
    /// A setting or an argument is not usable.
    #[error("{what}: {why}")]
    Invalid {
        /// Which setting or argument.
        what: String,
        /// What is wrong with it, and what would be right.
        why: String,
    },
    /// There is no such thing.
    #[error("there is no {what} {name:?}")]
    Unknown {
        /// What kind of thing.
        what: &'static str,
        /// How it was called.
        name: String,
    },
    /// The act does not fit the state of things.
    #[error("{0}")]
    Conflict(String),
    /// What an authority has kept is not where it should be, or is from before: nothing is begun in its place.
    #[error("{0}")]
    NotHere(String),
    /// A file could not be read or written.
    #[error("{path}: {source}", path = path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A certificate was not what had been approved: it is neither signed nor released.
    #[error("the certificate to be signed differs from what was approved: {0}")]
    Lint(String),
    /// A certificate is stored, and not given out, because no signed checkpoint of the log covers it.
    #[error("the certificate is stored and waits for the log: {0}; ask again for the same key, it is given out then")]
    Log(String),
    /// What was asked is recorded, and the object that tells it could not be signed.
    #[error(
        "recorded; not signed yet: {why}. The hub tries again by itself, and {}: see that its signer works and its disk has room",
        heard_before(others)
    )]
    NotSigned {
        /// Why this hub could not.
        why: Box<Error>,
        /// The other hubs at work on the same store.
        others: Vec<String>,
    },
    /// A signed object could not be made, read or accepted.
    #[error("{what}: {why}")]
    Object {
        /// Which object.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// An argument that cannot be used.
    pub(crate) fn invalid(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), why: why.into() }
    }

    /// A file that could not be read or written.
    pub(crate) fn file(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        Self::File { path: path.into(), source }
    }
}

/// Who may tell what this hub could not sign.
fn heard_before(others: &[String]) -> String {
    match others {
        [] => "nobody hears of it before".to_owned(),
        others => format!("{} on the same store may have told it already", others.join(", ")),
    }
}
