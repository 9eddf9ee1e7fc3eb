//! The provider against published vectors.

mod ccm;
mod rfc;
mod wycheproof;
