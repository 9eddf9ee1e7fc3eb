//! Sealing what is given out and comes back: nobody else reads or changes it.

use super::random;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use std::fmt;

/// A key for AES-256-GCM with random nonces: for some 2^32 messages.
pub struct SealingKey(LessSafeKey);

impl SealingKey {
    /// The key with these bytes.
    #[must_use]
    pub fn new(key: &[u8; 32]) -> Self {
        let key = UnboundKey::new(&AES_256_GCM, key).expect("a key of AES-256 has 32 bytes");
        Self(LessSafeKey::new(key))
    }

    /// Seals `plain`, good only with the same `context`.
    #[must_use]
    pub fn seal(&self, plain: &[u8], context: &[u8]) -> Vec<u8> {
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = plain.to_vec();
        self.0
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut sealed)
            .expect("a message is shorter than 64 GiB");
        [nonce.as_slice(), &sealed].concat()
    }

    /// What was sealed with this key and `context`; `None` if it is anything else.
    #[must_use]
    pub fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let (nonce, sealed) = sealed.split_first_chunk::<NONCE_LEN>()?;
        let mut plain = sealed.to_vec();
        let length =
            self.0.open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealingKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sealed_opens_with_its_key_and_context_alone() {
        let key = SealingKey::new(&[7; 32]);
        let sealed = key.seal(b"page 2", b"search");
        assert_eq!(key.open(&sealed, b"search").as_deref(), Some(&b"page 2"[..]));
        assert_ne!(key.seal(b"page 2", b"search"), sealed);
        assert_eq!(key.open(&sealed, b"other"), None);
        assert_eq!(SealingKey::new(&[8; 32]).open(&sealed, b"search"), None);
        for place in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[place] ^= 1;
            assert_eq!(key.open(&changed, b"search"), None);
            assert_eq!(key.open(&sealed[..place], b"search"), None);
        }
    }
}
