//! Pure-Rust cryptography for the trust core and the protocols, for chips and for what servers lack.
//!
//! | offered | as |
//! | --- | --- |
//! | ECDSA on P-256 with SHA-256, checked in both forms | [`medlock_trust::Crypto::verify`] |
//! | SHA-256, HMAC, AES-128-CCM, agreement on P-256 | [`medlock_trust::Crypto`], [`medlock_proto::crypto::Crypto`] |
//! | keys in memory, which sign and agree | [`SoftwareKey`], [`Hedged`] |
//! | Ed25519 and X25519 as well | feature `curve25519`; nothing else changes by it |
//!
//! Machines of 64 bits calculate with words of 64 bits, others, and all with the feature `words32`, with 32.
//!
//! There is no heap and no randomness here. What depends on a secret takes the same time for each secret; what depends
//! on a signature, a certificate or another public thing may not.
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

mod ccm;
#[cfg(feature = "curve25519")]
mod curve25519;
mod hmac;
mod key;
mod p256;

pub use key::{Hedged, KeyError, PublicBits, SoftwareKey};

use medlock_proto::crypto::{Curve, Forged, Secret};
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use sha2::{Digest, Sha256};

/// The provider. It has no state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RustCrypto;

impl medlock_trust::Crypto for RustCrypto {
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key: PublicKey<'_>,
        message: &dyn Message,
        signature: Signature<'_>,
    ) -> Result<(), VerifyError> {
        match (algorithm, key.algorithm) {
            (SignatureAlgorithm::EcdsaSha256, KeyAlgorithm::P256) => {
                p256::verify(key.bits, &sha256(message), signature).ok_or(VerifyError::Invalid)
            }
            #[cfg(feature = "curve25519")]
            (SignatureAlgorithm::Ed25519, KeyAlgorithm::Ed25519) => {
                let (Signature::X509(signature) | Signature::Cose(signature)) = signature;
                curve25519::verify(key.bits, message, signature).ok_or(VerifyError::Invalid)
            }
            _ => Err(VerifyError::Unsupported),
        }
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        sha256(message)
    }

    fn decompress<'o>(&self, curve: KeyAlgorithm, point: &[u8], out: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        if curve != KeyAlgorithm::P256 {
            return None;
        }
        let full = p256::decompress(point)?;
        let out = out.first_chunk_mut::<65>()?;
        *out = full;
        Some(out)
    }
}

impl medlock_proto::crypto::Crypto for RustCrypto {
    fn hmac_sha256(&self, key: &[u8], message: &[&[u8]]) -> Secret {
        Secret::from_bytes(hmac::sha256(key, message))
    }

    fn ccm_seal(&self, key: &[u8; 16], nonce: &[u8; 13], aad: &[&[u8]], text: &mut [u8], tag: &mut [u8]) {
        ccm::seal(key, nonce, aad, text, tag);
    }

    fn ccm_open(
        &self,
        key: &[u8; 16],
        nonce: &[u8; 13],
        aad: &[&[u8]],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Forged> {
        ccm::open(key, nonce, aad, text, tag)
    }

    fn public_key(&self, curve: Curve, secret: &Secret) -> Option<[u8; 32]> {
        match curve {
            Curve::P256 => p256::public_x(secret.expose()),
            #[cfg(feature = "curve25519")]
            Curve::X25519 => Some(curve25519::public_u(secret.expose())),
            #[cfg(not(feature = "curve25519"))]
            Curve::X25519 => None,
        }
    }

    fn agree(&self, curve: Curve, secret: &Secret, public: &[u8; 32]) -> Option<Secret> {
        match curve {
            Curve::P256 => p256::agree(secret.expose(), public),
            #[cfg(feature = "curve25519")]
            Curve::X25519 => curve25519::agree(secret.expose(), public),
            #[cfg(not(feature = "curve25519"))]
            Curve::X25519 => None,
        }
    }
}

/// SHA-256 of a message, piece by piece.
fn sha256(message: &dyn Message) -> [u8; 32] {
    let mut hash = Sha256::new();
    message.feed(&mut |part| hash.update(part));
    hash.finalize().into()
}
