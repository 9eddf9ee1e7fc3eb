//! The trust core of Medlock: bytes, knowledge, policy and an operation go in, a verdict comes out.
//!
//! Two pure steps. [`authenticate()`] turns a certificate chain and the authorities one believes in into an
//! [`Identified`] peer; [`decide()`] answers, for each operation, what this peer may still do. There is no heap, no
//! input or output, no clock and no random number in this crate: time and knowledge are arguments, and signatures are
//! checked by the caller's [`Crypto`].
//!
//! | module | what is there |
//! | --- | --- |
//! | [`der`], [`x509`] | strict DER, and views of certificates and requests over it |
//! | [`path`] | path validation with a budget |
//! | [`cbor`], [`cose`] | deterministic CBOR, and signatures over it |
//! | [`list`], [`status`], [`policy`], [`bond`] | the signed objects: who may vouch, who may no longer, what follows |
//! | [`log`] | inclusion and consistency in append-only logs |
//! | [`knowledge`], [`mod@authenticate`], [`mod@decide`] | the two steps |
//!
//! # Without feature `x509`
//! The feature is on by default. A chip whose site issues native C509 (type 2) alone can go without it and saves 28 kB of
//! code. What is accepted then is accepted with the feature too, never the other way round:
//! - X.509 and C509 made from it (type 3) are refused, certificates and requests; so are keys and signatures of kinds unknown
//!   here, and RSA keys;
//! - of the extensions that C509 has a number for, `basicConstraints`, `keyUsage`, `subjectAltName` with host names and
//!   hardware modules, `subjectKeyIdentifier` and `authorityKeyIdentifier` (as octets, not critical) are read, and Medlock's
//!   role extension. A certificate with any other of them is refused, critical or not: name constraints, policies and the
//!   rest are never skipped;
//! - others are skipped if they are not critical, as ever.
//!
//! Authorities in lists keep their names and keys in DER: these are read.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm
    )
)]

#[cfg(test)]
extern crate std;

pub mod authenticate;
pub mod bond;
pub mod c509;
pub mod cbor;
pub mod cose;
pub mod crypto;
pub mod decide;
pub mod der;
pub mod id;
pub mod knowledge;
pub mod list;
pub mod log;
pub mod operation;
pub mod path;
pub mod policy;
pub mod role;
pub mod status;
pub mod time;
pub mod voucher;
pub mod x509;

pub use authenticate::{Identified, Unidentified, authenticate};
pub use bond::Bond;
pub use crypto::Crypto;
pub use decide::{Denied, Permit, Verdict, decide, decide_attended, decide_enrolment, decide_standing};
pub use id::{CredentialId, DeviceId, DeviceName, KeyId};
pub use knowledge::Knowledge;
pub use operation::{Operation, Operations};
pub use path::{Anchor, Budget};
pub use policy::Policy;
pub use role::{DeviceType, Role, Roles};
pub use time::{Interval, Time};
