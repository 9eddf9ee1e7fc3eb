//! Ed25519 (RFC 8032) and X25519 (RFC 7748), over the crates of the dalek family.

use ed25519_dalek::hazmat::{ExpandedSecretKey, raw_sign_byupdate};
use ed25519_dalek::{Signature, SigningKey, VerifyingKey};
use medlock_proto::crypto::Secret;
use medlock_trust::crypto::Message;
use sha2::{Digest, Sha512};
use x25519_dalek::{PublicKey, StaticSecret};

/// Whether `signature` over `message` was made with `key`.
pub(crate) fn verify(key: &[u8], message: &dyn Message, signature: &[u8]) -> Option<()> {
    let key = VerifyingKey::from_bytes(key.try_into().ok()?).ok()?;
    // Keys of small order would make signatures that fit many messages.
    if key.is_weak() {
        return None;
    }
    let mut stream = key.verify_stream(&Signature::from_bytes(signature.try_into().ok()?)).ok()?;
    message.feed(&mut |part| stream.update(part));
    stream.finalize_and_verify().ok()
}

/// Signs `message`; `None` never happens.
pub(crate) fn sign(seed: &[u8; 32], message: &dyn Message) -> Option<[u8; 64]> {
    let verifying = SigningKey::from_bytes(seed).verifying_key();
    let key = ExpandedSecretKey::from(seed);
    let feed = |hash: &mut Sha512| {
        message.feed(&mut |part| hash.update(part));
        Ok(())
    };
    Some(raw_sign_byupdate::<Sha512, _>(&key, feed, &verifying).ok()?.to_bytes())
}

/// The public key of an Ed25519 seed.
pub(crate) fn public_signing(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

/// The u-coordinate of the public key of an X25519 secret.
pub(crate) fn public_u(secret: &[u8; 32]) -> [u8; 32] {
    PublicKey::from(&StaticSecret::from(*secret)).to_bytes()
}

/// What an X25519 secret and the holder of `public` share; `None` if it is zero (RFC 7748 section 6.1).
pub(crate) fn agree(secret: &[u8; 32], public: &[u8; 32]) -> Option<Secret> {
    let shared = StaticSecret::from(*secret).diffie_hellman(&PublicKey::from(*public));
    shared.was_contributory().then(|| Secret::from_bytes(shared.to_bytes()))
}
