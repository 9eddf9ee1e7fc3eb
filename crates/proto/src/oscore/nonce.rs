//! Keys, nonces and additional data (RFC 8613 sections 3.2.1, 5.2, 5.4).

use super::error::Error;
use super::option::{PartialIv, partial_iv};
use super::parameters::{Aead, Id};
use crate::crypto::{Crypto, Secret};

/// Bytes put together on the stack, too few to fail for what is put in here.
pub(super) struct Small<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Small<N> {
    const fn new() -> Self {
        Self { bytes: [0; N], used: 0 }
    }

    fn put(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            if let Some(place) = self.bytes.get_mut(self.used) {
                *place = *byte;
                self.used = self.used.saturating_add(1);
            }
        }
        self
    }

    /// A byte string of fewer than 24 bytes, as CBOR.
    fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.put(&[0x40 | (value.len() as u8 & 31)]).put(value)
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or(&[])
    }
}

/// What is derived: the `type` and length of section 3.2.1.
#[derive(Clone, Copy)]
pub(super) enum Derived {
    Key,
    Iv,
}

/// HKDF-Expand (RFC 5869 section 2.3) of `prk` with the `info` of section 3.2.1; one block is enough for 16 bytes.
pub(super) fn expand(
    prk: &Secret,
    id: &[u8],
    id_context: Option<&[u8]>,
    aead: Aead,
    derived: Derived,
    crypto: &impl Crypto,
) -> Secret {
    let mut info = Small::<48>::new();
    info.put(&[0x85]).bytes(id);
    match id_context {
        Some(context) => info.bytes(context),
        None => info.put(&[0xf6]),
    };
    info.put(aead.cbor());
    match derived {
        Derived::Key => info.put(b"\x63Key\x10"),
        Derived::Iv => info.put(b"\x62IV\x0d"),
    };
    crypto.hmac_sha256(prk.expose(), &[info.as_bytes(), &[1]])
}

/// The nonce of section 5.2: the number `partial_iv` that `id` gave out.
pub(super) fn nonce(common_iv: &[u8; 13], id: &Id, partial_iv: u64) -> [u8; 13] {
    let mut nonce = *common_iv;
    let id = id.as_bytes();
    // The length of the identifier, seven bytes of it, five of the number, both from the right.
    let [length, rest @ ..] = &mut nonce;
    *length ^= id.len() as u8;
    if let Some((middle, right)) = rest.split_first_chunk_mut::<7>() {
        middle.iter_mut().rev().zip(id.iter().rev()).for_each(|(to, from)| *to ^= from);
        right.iter_mut().rev().zip(partial_iv.to_le_bytes()).for_each(|(to, from)| *to ^= from);
    }
    nonce
}

/// The additional data of section 5.4: binds a message to the request it belongs to.
pub(super) fn additional(aead: Aead, request_kid: &Id, request_piv: u64) -> Result<Small<40>, Error> {
    let piv = partial_iv(request_piv)?;
    let piv = PartialIv::as_bytes(&piv);
    let mut array = Small::<24>::new();
    array.put(&[0x85, 1, 0x81]).put(aead.cbor()).bytes(request_kid.as_bytes()).bytes(piv).bytes(&[]);
    let mut additional = Small::new();
    additional.put(b"\x83\x68Encrypt0\x40").bytes(array.as_bytes());
    Ok(additional)
}
