//! What the protocols ask of cryptography, given by the caller.

use core::fmt;
use medlock_trust::crypto::Message;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A curve on which two parties agree on a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Curve {
    /// NIST P-256: public keys are x-coordinates (RFC 9528 section 3.7), shared secrets too.
    P256,
    /// Curve25519 (RFC 7748): public keys are u-coordinates.
    X25519,
}

/// Thirty-two bytes that nobody else may know. Erased when dropped.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes a secret from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret's bytes. Do not keep them.
    #[must_use]
    pub const fn expose(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    /// Never shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// Bytes were not made by the holder of the key, or were changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forged;

impl fmt::Display for Forged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the bytes were changed or were made with another key")
    }
}

impl core::error::Error for Forged {}

/// The caller's cryptography: the trust core's and a little more.
pub trait Crypto: medlock_trust::Crypto {
    /// HMAC with SHA-256 (RFC 2104) of the concatenation of `message`. HKDF (RFC 5869) is made of it here.
    fn hmac_sha256(&self, key: &[u8], message: &[&[u8]]) -> Secret;

    /// Encrypts `text` in place with AES-128 in CCM mode (RFC 3610), L = 2, and writes the tag: 8 bytes
    /// (AES-CCM-16-64-128) or 16 (AES-CCM-16-128-128), by the length of `tag`. `aad` is read as one.
    fn ccm_seal(&self, key: &[u8; 16], nonce: &[u8; 13], aad: &[&[u8]], text: &mut [u8], tag: &mut [u8]);

    /// Decrypts `text` in place; the tag is compared in constant time.
    ///
    /// # Errors
    /// [`Forged`] if the tag is wrong or neither 8 nor 16 bytes long; `text` is then erased or unchanged.
    fn ccm_open(
        &self,
        key: &[u8; 16],
        nonce: &[u8; 13],
        aad: &[&[u8]],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Forged>;

    /// The public key of `secret`: 32 bytes big-endian (P-256) or little-endian (X25519). `None` if `secret` is no key of
    /// the curve (a P-256 scalar of zero or beyond the order) or the curve is not supported: draw another.
    fn public_key(&self, curve: Curve, secret: &Secret) -> Option<[u8; 32]>;

    /// What `secret` and the holder of `public` share. `None` if `public` is no point of the curve, is of small order, or
    /// the curve is not supported.
    fn agree(&self, curve: Curve, secret: &Secret, public: &[u8; 32]) -> Option<Secret>;
}

/// A long-term private key of one's own, wherever it lies: in memory, in a key store, in a secure element.
pub trait OwnKey {
    /// Why the key could not be used.
    type Error: fmt::Debug;

    /// Signs `message` as COSE writes it, 64 bytes (ES256: r‖s, RFC 9053 section 2.1; Ed25519).
    ///
    /// # Errors
    /// If the key cannot be used, or is no signing key.
    fn sign(&self, message: &dyn Message) -> Result<[u8; 64], Self::Error>;

    /// What this key and the holder of `public` share (static Diffie-Hellman), as [`Crypto::agree`].
    ///
    /// # Errors
    /// If the key cannot be used, is no key for agreement, or `public` is no point of the curve.
    fn agree(&self, public: &[u8; 32]) -> Result<Secret, Self::Error>;
}
