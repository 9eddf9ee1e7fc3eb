//! What went wrong in this crate.

use std::{io, net::SocketAddr, path::PathBuf};

/// What went wrong, where, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    #[error("cannot use {}: {source}; check that it exists and that this user may use it", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is no DICOM file with meta information (PS3.10).
    #[error("{} is no DICOM file: {what}", path.display())]
    NotDicom {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// An AE title is none.
    #[error("{0:?} is no AE title: 1 to 16 ASCII characters without a backslash")]
    Title(String),
    /// The connection could not be made or broke.
    #[error("connection with {address}: {source}")]
    Connection {
        /// The other side.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The other side refused the association (PS3.8 table 9-21).
    #[error("the association was refused: {} ({result}/{from}/{reason})", refusal(*from, *reason))]
    Refused {
        /// 1 for good, 2 for now.
        result: u8,
        /// Who refused.
        from: u8,
        /// Why.
        reason: u8,
    },
    /// The other side aborted the association (PS3.8 table 9-26).
    #[error("the association was aborted: source {from}, reason {reason}")]
    Aborted {
        /// Who aborted.
        from: u8,
        /// Why.
        reason: u8,
    },
    /// The other side sent what does not belong there.
    #[error("the other side does not speak DICOM as expected: {0}")]
    Protocol(String),
}

/// The words of PS3.8 table 9-21 for a refusal.
fn refusal(from: u8, reason: u8) -> &'static str {
    match (from, reason) {
        (1, 1) => "the other side, or the guard before it, gave no reason; its audit says more",
        (1, 2) => "application context not supported",
        (1, 3) => "calling AE title not recognized",
        (1, 7) => "called AE title not recognized",
        (2, 1) => "its protocol layer gave no reason",
        (2, 2) => "protocol version not supported",
        (3, 1) => "temporary congestion",
        (3, 2) => "local limit exceeded",
        _ => "a reserved reason",
    }
}
