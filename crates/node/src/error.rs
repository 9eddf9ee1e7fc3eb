//! What can go wrong in this crate.

use crate::tls;
use std::{io, path::PathBuf, time::Duration};

/// What went wrong, where, and what to do about it. A denial is not an error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or directory could not be read or written.
    #[error("cannot {action} {}: {source}; check that the path exists and that this user may use it", path.display())]
    File {
        /// What was tried, as a verb.
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file of ours does not hold what we wrote.
    #[error("{} is damaged: {what}; {remedy}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
        /// What to do.
        remedy: &'static str,
    },
    /// A private key could not be used.
    #[error("the private key cannot be used: {0}")]
    Key(&'static str),
    /// A certificate or chain is not what it must be.
    #[error("the certificate cannot be used: {0}")]
    Certificate(String),
    /// A TLS configuration or handshake failed.
    #[error("TLS with {with}: {}", tls::said(source))]
    Tls {
        /// The other side's address, or what was being set up.
        with: String,
        /// What rustls said.
        source: rustls::Error,
    },
    /// A setting is not what it can be.
    #[error("{0}")]
    Setting(String),
    /// A list that was fetched is not taken.
    #[error("{file} is not taken: {why}")]
    List {
        /// The name of its file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// The other side could not be reached, or the connection broke.
    #[error("connection with {with}: {}", tls::said_in(source))]
    Connection {
        /// The other side's address.
        with: String,
        /// What the system said.
        source: io::Error,
    },
    /// The other side did not answer in time.
    #[error("{with} did not answer within {limit:?} ({doing})")]
    Timeout {
        /// The other side's address.
        with: String,
        /// What was waited for.
        doing: &'static str,
        /// How long it was waited.
        limit: Duration,
    },
    /// The other side closed the connection before its answer was there: it may have done what was asked.
    #[error("HTTP with {with}: it closed the connection before its answer was there")]
    Closed {
        /// The other side's address.
        with: String,
    },
    /// The other side's HTTP is wrong or beyond our limits.
    #[error("HTTP with {with}: {what}")]
    Http {
        /// The other side's address.
        with: String,
        /// What is wrong.
        what: String,
    },
    /// The other side's CoAP, EDHOC or OSCORE is wrong, or it does not want us.
    #[error("CoAP with {with}: {what}")]
    Coap {
        /// The other side's address.
        with: String,
        /// What is wrong.
        what: String,
    },
    /// The hub answered with an error status.
    #[error("{with} answered {status} to {request}: {message}")]
    Status {
        /// The hub's address.
        with: String,
        /// Method and path.
        request: String,
        /// The HTTP status.
        status: u16,
        /// The start of the answer's text.
        message: String,
    },
    /// The hub does not renew the credential that was shown, and never will: a new enrolment code gives another one.
    #[error("{with}: {message}")]
    NeedsCode {
        /// The hub's address.
        with: String,
        /// The start of the answer's text.
        message: String,
    },
    /// An enrolment code could not be read.
    #[error(transparent)]
    Code(#[from] crate::enrol::CodeError),
    /// A signed object was not taken.
    #[error(transparent)]
    Refused(#[from] crate::knowledge::Refused),
    /// A routing table could not be read.
    #[error(transparent)]
    Routes(#[from] crate::routes::RoutesError),
    /// Something is missing that must be there first.
    #[error("{0}")]
    NotReady(&'static str),
}

impl Error {
    /// Whether somebody is there, and it is TLS that failed.
    #[must_use]
    pub fn is_of_tls(&self) -> bool {
        tls::of_error(self).is_some()
    }

    pub(crate) fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { action, path, source }
    }
}
