//! Gateways beside unmodified systems: secure on one side, plain on the other, names bound to identity.
//!
//! accept → authenticate → *bind* (the name used inside the protocol must be one the site bound to that credential) →
//! ask a permit for each operation → pass the original bytes to the unmodified system → record.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`spine`] | what every protocol shares: accepting within limits |
//! | [`bind`] | which names are whose, from the signed routing table |
//! | [`audit`], [`sink`] | audit messages (PS3.15 A.5), to a file and by syslog over TLS |
//! | [`dicom`] | the guard of DICOM machines |
#![forbid(unsafe_code)]

pub mod audit;
pub mod bind;
pub mod dicom;
mod error;
pub mod sink;
pub mod spine;

pub use error::Error;
