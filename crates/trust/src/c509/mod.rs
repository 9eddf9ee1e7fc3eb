//! C509: certificates and certification requests in CBOR (draft-ietf-cose-cbor-encoded-cert-20 and -21).
//!
//! A C509 certificate is an array of eleven items. Type 2 is signed as it is (*native*); type 3 is an X.509 certificate
//! *re-encoded*, and its signature is over the DER, which a verifier builds again, piece by piece, into the hash.
//! Reading is [`Certificate::read`](crate::x509::Certificate::read): a view of C509 is the same type as a view of DER,
//! and path validation is one.
//!
//! | to | use |
//! | --- | --- |
//! | issue type 2 | [`Template::sign`], or [`Template::tbs`] and then [`assemble`] |
//! | ask for a certificate | [`RequestTemplate::sign`] |
//! | convert between DER and type 3 | [`from_der`], [`to_der`], [`request_from_der`], [`request_to_der`] |
//!
//! # One encoding
//! The standard wants deterministic CBOR, and where there is a specific form, that form (section "Deterministic
//! Encoding"). The reader refuses everything else: integers and lengths that are not the shortest, identifiers that have
//! a number, a key usage or common name alone in an array, hexadecimal text and EUI-64 addresses as text, a subject
//! repeated as issuer. Choices that remain: a point of type 3 may be compressed or not (the standard says *may*), and an
//! extension of type 3 that C509 has a form for only in part (alternative names, CRL distribution points, …) may be in
//! DER, as it is when its certificate was encoded before the form existed. Neither makes another credential: the
//! identifier of a type 3 is that of its DER.
//!
//! # Not here
//! The address blocks and AS numbers of RFC 3779 and RFC 8360, and private key possession statements, are read only as
//! DER; RSA keys of C509 are converted but not used to verify (convert the certificate to DER for that).

mod convert;
mod issue;
pub(crate) mod out;
pub(crate) mod registry;
mod to_c509;
pub(crate) mod to_der;

pub use convert::{Error, from_der, request_from_der, request_to_der, to_der};
pub use issue::{IssueError, NewExtension, RequestTemplate, Subject, Template, assemble};
pub use to_c509::Points;

/// How every certificate begins: an array of eleven items. COSE_C509 and EDHOC carry the items without it.
pub const CERTIFICATE_HEAD: u8 = 0x8b;
/// How every request begins: an array of seven items.
pub const REQUEST_HEAD: u8 = 0x87;

#[cfg(all(test, not(feature = "x509")))]
mod native;
#[cfg(all(test, feature = "x509"))]
mod tests;
