//! Getting an identity, and keeping it: enrolment codes, requests, the EST client (RFC 7030, RFC 8951) and renewal.

/// The header of an answer of EST that names the refusal by its stable code.
pub const REFUSAL_CODE: &str = "medlock-code";
/// A credential was shown that its hub never renews: a new enrolment code gives the device another one.
pub const NEEDS_CODE: &str = "needs-code";

mod client;
mod cms;
mod code;
mod request;
mod schedule;
mod zero_touch;

pub use client::{Enrolment, Progress};
pub use cms::{CmsError, MAX_CERTIFICATES, certs_only, read_certs_only};
pub use code::{Code, CodeError};
pub use request::certificate_request;
pub use schedule::Schedule;
