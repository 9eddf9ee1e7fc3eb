//! Private keys in memory.

use core::fmt;

use medlock_proto::crypto::{OwnKey, Secret};
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey};

#[cfg(feature = "curve25519")]
use crate::curve25519;
use crate::{p256, sha256};

/// A private key in memory. Erased when dropped.
///
/// A key on P-256 signs and agrees; use it for one of the two. Signatures are deterministic (RFC 6979, Ed25519); where an
/// attacker may disturb the chip while it signs, take [`hedged`](Self::hedged).
#[derive(Clone)]
pub struct SoftwareKey(Kind);

#[derive(Clone)]
enum Kind {
    P256(Secret),
    #[cfg(feature = "curve25519")]
    Ed25519(Secret),
    #[cfg(feature = "curve25519")]
    X25519(Secret),
}

impl SoftwareKey {
    /// A key on P-256: a big-endian number. `None` if it is zero or not below the order: draw another.
    #[must_use]
    pub fn p256(secret: Secret) -> Option<Self> {
        p256::is_secret(secret.expose()).then_some(Self(Kind::P256(secret)))
    }

    /// An Ed25519 key (RFC 8032): any 32 bytes drawn at random.
    #[cfg(feature = "curve25519")]
    #[must_use]
    pub const fn ed25519(seed: Secret) -> Self {
        Self(Kind::Ed25519(seed))
    }

    /// An X25519 key (RFC 7748): any 32 bytes drawn at random.
    #[cfg(feature = "curve25519")]
    #[must_use]
    pub const fn x25519(secret: Secret) -> Self {
        Self(Kind::X25519(secret))
    }

    /// The public key, as a credential carries it.
    #[must_use]
    pub fn public(&self) -> PublicBits {
        match &self.0 {
            Kind::P256(secret) => PublicBits::P256(p256::public(secret.expose()).unwrap_or([0; 65])),
            #[cfg(feature = "curve25519")]
            Kind::Ed25519(seed) => PublicBits::Ed25519(curve25519::public_signing(seed.expose())),
            #[cfg(feature = "curve25519")]
            Kind::X25519(secret) => PublicBits::X25519(curve25519::public_u(secret.expose())),
        }
    }

    /// This key for one signature whose nonce also depends on `randomness` (RFC 6979 section 3.6). Bad randomness does
    /// no harm: the signature is then as good as a deterministic one. Ed25519 ignores it.
    #[must_use]
    pub const fn hedged(&self, randomness: Secret) -> Hedged<'_> {
        Hedged { key: self, randomness }
    }

    /// Signs a SHA-256 that the caller made, as a secure element does: the same signature as of the message. `randomness`
    /// goes into the nonce as in [`hedged`](Self::hedged).
    ///
    /// # Errors
    /// [`KeyError::NotForSigning`] for a key that signs no hashes: Ed25519, X25519.
    pub fn sign_digest(&self, digest: &[u8; 32], randomness: Option<&Secret>) -> Result<[u8; 64], KeyError> {
        let added = randomness.map_or(&[][..], |randomness| randomness.expose());
        match &self.0 {
            Kind::P256(secret) => p256::sign(secret.expose(), digest, added).ok_or(KeyError::Nonce),
            #[cfg(feature = "curve25519")]
            Kind::Ed25519(_) | Kind::X25519(_) => Err(KeyError::NotForSigning),
        }
    }

    fn sign_with(&self, message: &dyn Message, added: &[u8]) -> Result<[u8; 64], KeyError> {
        match &self.0 {
            Kind::P256(secret) => p256::sign(secret.expose(), &sha256(message), added).ok_or(KeyError::Nonce),
            #[cfg(feature = "curve25519")]
            Kind::Ed25519(seed) => curve25519::sign(seed.expose(), message).ok_or(KeyError::Nonce),
            #[cfg(feature = "curve25519")]
            Kind::X25519(_) => Err(KeyError::NotForSigning),
        }
    }
}

impl fmt::Debug for SoftwareKey {
    /// Never shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SoftwareKey")
    }
}

impl OwnKey for SoftwareKey {
    type Error = KeyError;

    fn sign(&self, message: &dyn Message) -> Result<[u8; 64], KeyError> {
        self.sign_with(message, &[])
    }

    fn agree(&self, public: &[u8; 32]) -> Result<Secret, KeyError> {
        match &self.0 {
            Kind::P256(secret) => p256::agree(secret.expose(), public).ok_or(KeyError::Public),
            #[cfg(feature = "curve25519")]
            Kind::Ed25519(_) => Err(KeyError::NotForAgreement),
            #[cfg(feature = "curve25519")]
            Kind::X25519(secret) => curve25519::agree(secret.expose(), public).ok_or(KeyError::Public),
        }
    }
}

/// A key and randomness for its next signature; made by [`SoftwareKey::hedged`].
#[derive(Debug)]
pub struct Hedged<'k> {
    key: &'k SoftwareKey,
    randomness: Secret,
}

impl OwnKey for Hedged<'_> {
    type Error = KeyError;

    fn sign(&self, message: &dyn Message) -> Result<[u8; 64], KeyError> {
        self.key.sign_with(message, self.randomness.expose())
    }

    fn agree(&self, public: &[u8; 32]) -> Result<Secret, KeyError> {
        self.key.agree(public)
    }
}

/// A public key in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicBits {
    /// An uncompressed point on P-256.
    P256([u8; 65]),
    /// An Ed25519 key.
    Ed25519([u8; 32]),
    /// An X25519 key; it signs nothing.
    X25519([u8; 32]),
}

impl PublicBits {
    /// The key for [`medlock_trust::Crypto::verify`]. `None` for one that signs nothing.
    #[must_use]
    pub const fn verifier(&self) -> Option<PublicKey<'_>> {
        match self {
            Self::P256(bits) => Some(PublicKey { algorithm: KeyAlgorithm::P256, bits }),
            Self::Ed25519(bits) => Some(PublicKey { algorithm: KeyAlgorithm::Ed25519, bits }),
            Self::X25519(_) => None,
        }
    }

    /// What [`medlock_proto::crypto::Crypto::agree`] takes: the x- or u-coordinate. `None` for a key that agrees on
    /// nothing.
    #[must_use]
    pub fn agreement(&self) -> Option<[u8; 32]> {
        match self {
            Self::P256(bits) => bits.get(1..33)?.try_into().ok(),
            Self::Ed25519(_) => None,
            Self::X25519(bits) => Some(*bits),
        }
    }
}

/// Why a key could not be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The key agrees only.
    NotForSigning,
    /// The key signs only.
    NotForAgreement,
    /// The other party's public key is no point of the curve, or of small order.
    Public,
    /// No usable nonce was found: this does not happen by chance.
    Nonce,
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotForSigning => "this key does not sign",
            Self::NotForAgreement => "this key only signs",
            Self::Public => "the other party's public key is not valid",
            Self::Nonce => "no usable nonce was found",
        })
    }
}

impl core::error::Error for KeyError {}
