//! Software of a community registers by itself (HL7 UDAP Security for Scalable Registration, STU 1.1): an authority that the
//! site believes has given it a certificate, which names its address; with the key of that it signs what it wants to be, and each
//! request for a token.
//!
//! | where | what |
//! | --- | --- |
//! | `/fhir/.well-known/udap` | what is served here, signed by the hub's own certificate of the community |
//! | `/auth/register` | software registers, changes what it is registered for, or ends it |
//! | `/auth/token` | an assertion with the chain in its header |
//!
//! These chains must be valid when they are shown: continuity is for devices alone.

mod assertion;
mod community;
mod config;
mod register;
mod revocation;
mod statement;
mod told;

pub(super) use assertion::{OnBehalf, check_age, key, on_behalf};
pub(crate) use community::Communities;
pub use config::CommunityConfig;
pub(crate) use register::register;
pub use revocation::List as RevocationList;
pub(crate) use told::metadata;
