//! Transcript hashes and keys (RFC 9528 sections 4 and 5).

use super::Error;
use super::credential::Credential;
use super::items::Out;
use super::suite::Suite;
use crate::crypto::{Crypto, Secret};
use medlock_trust::cbor::Head;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a SHA-256.
pub(super) const HASH: usize = 32;
/// The most HKDF-Expand gives (RFC 5869 section 2.3).
const MAX_EXPANDED: usize = 255 * HASH;
/// The most pieces of a context.
const MAX_PIECES: usize = 8;

/// What a derived value is for (RFC 9528 section 4.1.2). Negative labels and those above 11 belong to longer plaintexts
/// and to applications.
#[derive(Clone, Copy)]
pub(super) struct Label(i64);

impl Label {
    const SALT_3E2M: Self = Self(1);
    pub(super) const MAC_2: Self = Self(2);
    const SALT_4E3M: Self = Self(5);
    pub(super) const MAC_3: Self = Self(6);
    const PRK_OUT: Self = Self(7);
    const PRK_EXPORTER: Self = Self(10);
    const KEY_UPDATE: Self = Self(11);
}

/// `TH_2 = H( G_Y, H(message_1) )`.
pub(super) fn th_2(public_y: &[u8; 32], message_1: &[u8; HASH], crypto: &impl Crypto) -> [u8; HASH] {
    crypto.sha256(&[&BYTES_32, &public_y[..], &BYTES_32, message_1])
}

/// `TH_3 = H( TH_2, PLAINTEXT_2, CRED_R )`, and TH_4 likewise.
pub(super) fn th_next(th: &[u8; HASH], plaintext: &[u8], peer: Credential<'_>, crypto: &impl Crypto) -> [u8; HASH] {
    crypto.sha256(&[&BYTES_32, &th[..], plaintext, peer.head().as_bytes(), peer.content()])
}

/// The head of a byte string of 32 bytes.
pub(super) const BYTES_32: [u8; 2] = [0x58, 0x20];

/// `EDHOC_Extract`: HKDF-Extract (RFC 5869 section 2.2).
pub(super) fn extract(salt: &[u8; HASH], secret: &Secret, crypto: &impl Crypto) -> Secret {
    crypto.hmac_sha256(salt, &[secret.expose()])
}

/// `PRK_3e2m` of a responder with a static key.
pub(super) fn prk_3e2m(prk_2e: &Secret, th_2: &[u8; HASH], shared: &Secret, crypto: &impl Crypto) -> Secret {
    mixed(prk_2e, Label::SALT_3E2M, th_2, shared, crypto)
}

/// `PRK_4e3m` of an initiator with a static key.
pub(super) fn prk_4e3m(prk_3e2m: &Secret, th_3: &[u8; HASH], shared: &Secret, crypto: &impl Crypto) -> Secret {
    mixed(prk_3e2m, Label::SALT_4E3M, th_3, shared, crypto)
}

fn mixed(prk: &Secret, label: Label, th: &[u8; HASH], shared: &Secret, crypto: &impl Crypto) -> Secret {
    let salt = derived(prk, label, th, crypto);
    extract(salt.expose(), shared, crypto)
}

/// `PRK_out`.
pub(super) fn prk_out(prk_4e3m: &Secret, th_4: &[u8; HASH], crypto: &impl Crypto) -> Secret {
    derived(prk_4e3m, Label::PRK_OUT, th_4, crypto)
}

/// `EDHOC_KeyUpdate` (RFC 9528 appendix H).
pub(super) fn updated(prk_out: &Secret, context: &[u8], crypto: &impl Crypto) -> Secret {
    derived(prk_out, Label::KEY_UPDATE, context, crypto)
}

/// `EDHOC_Exporter` (RFC 9528 section 4.2.1).
pub(super) fn export(
    prk_out: &Secret,
    label: u16,
    context: &[u8],
    out: &mut [u8],
    crypto: &impl Crypto,
) -> Result<(), Error> {
    let prk_exporter = derived(prk_out, Label::PRK_EXPORTER, &[], crypto);
    kdf(&prk_exporter, Label(i64::from(label)), &[context], out, crypto)
}

/// `EDHOC_KDF` of one hash.
fn derived(prk: &Secret, label: Label, context: &[u8], crypto: &impl Crypto) -> Secret {
    let info = Info::new(label, context.len(), HASH);
    info.block(prk, &[context], None, 1, crypto)
}

/// `EDHOC_KDF( PRK, info_label, context, length )` (RFC 9528 section 4.1.2); the length is that of `out`.
pub(super) fn kdf(
    prk: &Secret,
    label: Label,
    context: &[&[u8]],
    out: &mut [u8],
    crypto: &impl Crypto,
) -> Result<(), Error> {
    expand(prk, label, context, out, crypto, |to, from| *to = from)
}

/// Encrypts or decrypts PLAINTEXT_2 in place (RFC 9528 section 5.3.2 and appendix G).
pub(super) fn apply_keystream_2(prk_2e: &Secret, th_2: &[u8; HASH], text: &mut [u8], crypto: &impl Crypto) {
    for (part, number) in text.chunks_mut(MAX_EXPANDED).zip(0_i64..) {
        // A part is never too long, so this cannot fail.
        let _ = expand(prk_2e, Label(number.saturating_neg()), &[th_2], part, crypto, |to, from| *to ^= from);
    }
}

/// HKDF-Expand (RFC 5869 section 2.3), given byte for byte to `apply`.
fn expand(
    prk: &Secret,
    label: Label,
    context: &[&[u8]],
    out: &mut [u8],
    crypto: &impl Crypto,
    apply: fn(&mut u8, u8),
) -> Result<(), Error> {
    if out.len() > MAX_EXPANDED || context.len() > MAX_PIECES {
        return Err(Error::TooLong);
    }
    let length = context.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
    let info = Info::new(label, length, out.len());
    let mut last: Option<Secret> = None;
    for (part, counter) in out.chunks_mut(HASH).zip(1_u8..=255) {
        let block = info.block(prk, context, last.as_ref(), counter, crypto);
        part.iter_mut().zip(block.expose()).for_each(|(to, from)| apply(to, *from));
        last = Some(block);
    }
    Ok(())
}

/// `info = ( info_label, context, length )`, all but the content of the context.
struct Info {
    front: [u8; 18],
    front_length: usize,
    length: Head,
}

impl Info {
    fn new(label: Label, context: usize, length: usize) -> Self {
        let mut front = [0; 18];
        let mut out = Out::new(&mut front);
        // Two heads of at most nine bytes: there is always room.
        let _ = out.cbor().int(label.0).and_then(|out| out.bytes_head(context).map(drop));
        let front_length = out.written();
        let length = Head::uint(u64::try_from(length).unwrap_or(u64::MAX));
        Self { front, front_length, length }
    }

    /// `T(counter) = HMAC( PRK, T(counter - 1) | info | counter )`.
    fn block(
        &self,
        prk: &Secret,
        context: &[&[u8]],
        last: Option<&Secret>,
        counter: u8,
        crypto: &impl Crypto,
    ) -> Secret {
        let last: &[u8] = last.map_or(&[], |last| last.expose());
        let front = self.front.get(..self.front_length).unwrap_or_default();
        let counter = [counter];
        let mut pieces: [&[u8]; MAX_PIECES + 4] = [&[]; MAX_PIECES + 4];
        // Pieces that are left over are empty.
        let [to_last, to_front, to_context @ .., to_length, to_counter] = &mut pieces;
        (*to_last, *to_front, *to_length, *to_counter) = (last, front, self.length.as_bytes(), &counter);
        to_context.iter_mut().zip(context).for_each(|(to, from)| *to = from);
        crypto.hmac_sha256(prk.expose(), &pieces)
    }
}

/// Message 3 or 4: which keys protect it.
#[derive(Clone, Copy)]
pub(super) enum Protected {
    Message3,
    Message4,
}

/// The key and nonce of message 3 or 4, and the transcript they belong to.
pub(super) struct Aead<'t> {
    key: Zeroizing<[u8; 16]>,
    nonce: [u8; 13],
    th: &'t [u8; HASH],
    suite: Suite,
}

/// `[ "Encrypt0", h'', TH_i ]` up to the content of TH_i (RFC 9528 appendix C.3).
const ENC_STRUCTURE: &[u8] = b"\x83\x68Encrypt0\x40\x58\x20";

impl<'t> Aead<'t> {
    pub(super) fn new(
        message: Protected,
        prk: &Secret,
        th: &'t [u8; HASH],
        suite: Suite,
        crypto: &impl Crypto,
    ) -> Result<Self, Error> {
        let (key_label, nonce_label) = match message {
            Protected::Message3 => (Label(3), Label(4)),
            Protected::Message4 => (Label(8), Label(9)),
        };
        let mut aead = Self { key: Zeroizing::new([0; 16]), nonce: [0; 13], th, suite };
        kdf(prk, key_label, &[th], &mut *aead.key, crypto)?;
        kdf(prk, nonce_label, &[th], &mut aead.nonce, crypto)?;
        Ok(aead)
    }

    /// Encrypts `text`, the last bytes of which are for the tag.
    pub(super) fn seal(&self, text: &mut [u8], crypto: &impl Crypto) -> Result<(), Error> {
        let (text, tag) = self.split(text)?;
        crypto.ccm_seal(&self.key, &self.nonce, &[ENC_STRUCTURE, self.th], text, tag);
        Ok(())
    }

    /// Decrypts `text` and returns it without its tag.
    pub(super) fn open<'m>(&self, text: &'m mut [u8], crypto: &impl Crypto) -> Result<&'m mut [u8], Error> {
        let (text, tag) = self.split(text)?;
        crypto.ccm_open(&self.key, &self.nonce, &[ENC_STRUCTURE, self.th], text, tag).map_err(|_| Error::Forged)?;
        Ok(text)
    }

    fn split<'m>(&self, text: &'m mut [u8]) -> Result<(&'m mut [u8], &'m mut [u8]), Error> {
        let end = text.len().checked_sub(self.suite.mac_length()).ok_or(Error::Malformed)?;
        text.split_at_mut_checked(end).ok_or(Error::Malformed)
    }
}

impl Drop for Aead<'_> {
    fn drop(&mut self) {
        self.nonce.zeroize();
    }
}
