//! The provider against published vectors.

mod rfc;
