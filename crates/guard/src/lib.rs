//! Gateways beside unmodified systems: secure on one side, plain on the other, names bound to identity.
//!
//! accept → authenticate → *bind* (the name used inside the protocol must be one the site bound to that credential) →
//! ask a permit for each operation → pass the original bytes to the unmodified system → record.
#![forbid(unsafe_code)]

pub mod audit;
pub mod dicom;
mod error;
pub mod sink;

pub use error::Error;
