//! What went wrong in this crate.

use std::{io, net::SocketAddr, path::PathBuf};

/// What went wrong, where, and what to do about it. A refusal is not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A listener could not be opened.
    #[error("cannot listen on {address}: {source}; choose another address or end the program that has it")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The audit's file or queue could not be opened.
    #[error("cannot use {} for the audit: {source}; check that it exists and that this user may write it", path.display())]
    Audit {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The configuration cannot be used.
    #[error("the guard's configuration cannot be used: {0}")]
    Config(String),
}
