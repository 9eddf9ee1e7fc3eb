//! Signed tokens of the web: JSON Web Signature (RFC 7515) in its compact form, JSON Web Keys (RFC 7517, 7518, 8037).
//!
//! A key says by which algorithm it signs; a token that names another one is refused before anything is computed, so there
//! is neither `none` nor a public key taken for a shared secret (RFC 8725 sections 3.1 and 3.2).

mod claims;
mod jwk;
mod jws;
#[cfg(test)]
mod tests;

pub use claims::{Claims, Wrong};
pub(crate) use jwk::rsa_public_key;
pub use jwk::{Key, KeySet, Unusable};
pub use jws::{Compact, Header, Refused, signing_input};

use medlock_trust::crypto::{KeyAlgorithm, SignatureAlgorithm};

/// How a token is signed (RFC 7518 section 3.1, RFC 8037 section 3.1). There is no other way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
    /// Ed25519.
    EdDsa,
    /// RSA PKCS#1 v1.5 with SHA-256.
    Rs256,
    /// RSA PKCS#1 v1.5 with SHA-384.
    Rs384,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Es256, Self::Es384, Self::EdDsa, Self::Rs256, Self::Rs384];

    /// Its name in `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::EdDsa => "EdDSA",
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
        }
    }

    /// The algorithm with this name, letter by letter.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }

    /// The keys it takes.
    #[must_use]
    pub const fn key(self) -> KeyAlgorithm {
        match self {
            Self::Es256 => KeyAlgorithm::P256,
            Self::Es384 => KeyAlgorithm::P384,
            Self::EdDsa => KeyAlgorithm::Ed25519,
            Self::Rs256 | Self::Rs384 => KeyAlgorithm::Rsa,
        }
    }

    const fn signature(self) -> SignatureAlgorithm {
        match self {
            Self::Es256 => SignatureAlgorithm::EcdsaSha256,
            Self::Es384 => SignatureAlgorithm::EcdsaSha384,
            Self::EdDsa => SignatureAlgorithm::Ed25519,
            Self::Rs256 => SignatureAlgorithm::RsaPkcs1Sha256,
            Self::Rs384 => SignatureAlgorithm::RsaPkcs1Sha384,
        }
    }
}
