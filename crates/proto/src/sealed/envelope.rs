//! COSE_Encrypt0 (RFC 9052 section 5.2) in the one form of sealed messages.
//!
//! Tagged, AES-CCM-16-128-128 (RFC 9053 section 4.2) in the protected header, key identifier and Partial IV in the
//! unprotected one. The nonce is the Partial IV, padded on the left, exclusive-or the context IV (RFC 9052 section 3.1).
//! Who talks to whom, and in which direction, is in the external data: authenticated, known to both, not sent.

use crate::crypto::Crypto;
use core::fmt;
use medlock_trust::DeviceId;
use medlock_trust::cbor::{Fields, Writer};
use minicbor::encode::write::Cursor;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// The most bytes a sealed message has.
pub const MAX_LENGTH: usize = 112;
/// The most bytes a message has before it is sealed.
const MAX_PLAIN: usize = 64;
/// Bytes of the authentication tag.
const TAG: usize = 16;
/// The highest number a Partial IV holds: five bytes, as in RFC 8613 section 6.1.
pub(super) const MAX_SEQUENCE: u64 = 0xff_ffff_ffff;

const TAG_ENCRYPT0: u64 = 16;
const HEADER_KEY: u64 = 4;
const HEADER_PARTIAL_IV: u64 = 6;
/// `{1: 30}`: the algorithm is AES-CCM-16-128-128.
const PROTECTED: [u8; 4] = [0xa1, 0x01, 0x18, 0x1e];

/// Which way a message goes. Keys, nonces and external data differ, so that none can be sent back to its maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the controller to the device.
    Command,
    /// From the device to the controller.
    Receipt,
}

impl Direction {
    /// The label of the EDHOC exporter (RFC 9528 section 4.2.1; from 32768 on for private use).
    #[must_use]
    pub const fn label(self) -> u16 {
        match self {
            Self::Command => 32_769,
            Self::Receipt => 32_770,
        }
    }

    /// What an AEAD of this direction authenticates before the identifiers of both sides: the beginning of the
    /// `Enc_structure` (RFC 9052 section 5.3), up to the head of the first identifier.
    const fn prefix(self) -> &'static [u8] {
        match self {
            Self::Command => b"\x83\x68Encrypt0\x44\xa1\x01\x18\x1e\x58\x33\x83\x6fmedlock-command\x50",
            Self::Receipt => b"\x83\x68Encrypt0\x44\xa1\x01\x18\x1e\x58\x33\x83\x6fmedlock-receipt\x50",
        }
    }
}

/// Key and context IV of one direction. Erased when dropped; cannot be copied, or a nonce could be used twice.
#[derive(Zeroize, ZeroizeOnDrop)]
pub(super) struct Key {
    key: [u8; 16],
    iv: [u8; 13],
}

/// The keys of both directions, from the EDHOC exporter. They live as long as the session, and die with the boot.
pub struct Keys {
    pub(super) command: Key,
    pub(super) receipt: Key,
}

impl Keys {
    /// Takes the keys from the exporter of the session between controller and device: it is called with a label, an empty
    /// context and 29 bytes to fill, 16 for the key and 13 for the context IV.
    ///
    /// Make keys once for a session: two [`Commander`](super::Commander)s with the same keys would use a nonce twice.
    ///
    /// # Errors
    /// What the exporter says.
    pub fn export<E>(mut exporter: impl FnMut(u16, &[u8], &mut [u8]) -> Result<(), E>) -> Result<Self, E> {
        let mut one = |direction: Direction| {
            let mut material = [0; 29];
            let done = exporter(direction.label(), &[], &mut material);
            let (key, iv) = (*material.first_chunk().unwrap_or(&[0; 16]), *material.last_chunk().unwrap_or(&[0; 13]));
            material.zeroize();
            done.map(|()| Key { key, iv })
        };
        Ok(Self { command: one(Direction::Command)?, receipt: one(Direction::Receipt)? })
    }
}

impl fmt::Debug for Keys {
    /// Never shows them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keys")
    }
}

impl fmt::Debug for Key {
    /// Never shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// A key identifier: the EDHOC connection identifier by which the receiver finds the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kid {
    bytes: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl Kid {
    /// The most bytes it has.
    pub const MAX_LENGTH: usize = 8;

    /// Takes it from bytes; `None` if there are too many.
    #[must_use]
    pub fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LENGTH];
        bytes.get_mut(..from.len())?.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Some(Self { bytes, length: u8::try_from(from.len()).ok()? })
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The identifier in a sealed message: of the session that may be able to open it. Anybody can write one.
    #[must_use]
    pub fn of(message: &[u8]) -> Option<Self> {
        Outer::read(message).map(|outer| outer.kid)
    }
}

/// Between whom, and under which identifiers, messages go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who commands: the EDHOC peer or oneself.
    pub controller: DeviceId,
    /// Who executes.
    pub device: DeviceId,
    /// The identifier the controller chose for itself: on receipts.
    pub controller_kid: Kid,
    /// The identifier the device chose for itself: on commands.
    pub device_kid: Kid,
}

impl Link {
    const fn kid(&self, direction: Direction) -> &Kid {
        match direction {
            Direction::Command => &self.device_kid,
            Direction::Receipt => &self.controller_kid,
        }
    }
}

/// Why a message was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealError {
    /// The buffer is shorter than the message; [`MAX_LENGTH`] is always enough.
    Buffer,
    /// The keys were used as often as they may be: make a new session.
    UsedUp,
    /// There is no challenge: ask for one first.
    NoChallenge,
    /// What came of the command with this counter is unknown: ask for its receipt first.
    Unknown(u64),
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Buffer => f.write_str("the buffer is too short for a sealed message"),
            Self::UsedUp => f.write_str("the keys are used up: make a new session"),
            Self::NoChallenge => f.write_str("no challenge: ask the device for one first"),
            Self::Unknown(counter) => {
                write!(f, "the outcome of command {counter} is unknown: ask for its receipt first")
            }
        }
    }
}

impl core::error::Error for SealError {}

/// Why a message was not opened. Nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// It is no sealed message of this form.
    Malformed,
    /// It was changed, was made with other keys or for others, or went the other way.
    Forged,
    /// It came before, or was overtaken by a later one.
    Replayed,
    /// It answers nothing that is being asked.
    NotAsked,
    /// So many forged messages came that the keys are given up: make a new session.
    UsedUp,
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no sealed message of this form",
            Self::Forged => "changed, or not made by the other side of this session",
            Self::Replayed => "came before, or was overtaken",
            Self::NotAsked => "answers nothing that was asked",
            Self::UsedUp => "too many forged messages: make a new session",
        })
    }
}

impl core::error::Error for OpenError {}

/// What is outside the seal.
struct Outer {
    kid: Kid,
    sequence: u64,
    /// Where ciphertext and tag begin; they end with the message.
    sealed_at: usize,
}

impl Outer {
    fn read(message: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(message);
        fields.tag(TAG_ENCRYPT0);
        fields.array_of(3);
        let protected = fields.bytes();
        let (pairs, first, kid) = (fields.map(2), fields.uint(), fields.bytes());
        let (second, sequence) = (fields.uint(), fields.bytes());
        let sealed = fields.bytes();
        fields.finish().ok()?;
        let fits = protected == PROTECTED
            && (pairs, first, second) == (2, HEADER_KEY, HEADER_PARTIAL_IV)
            && sealed.len() > TAG
            && sealed.len() <= MAX_PLAIN.saturating_add(TAG);
        let (kid, sequence) = (Kid::new(kid)?, partial_iv(sequence)?);
        fits.then_some(Self { kid, sequence, sealed_at: message.len().saturating_sub(sealed.len()) })
    }
}

/// A number of one to five bytes, without leading zeros.
fn partial_iv(bytes: &[u8]) -> Option<u64> {
    let shortest = match bytes {
        [] | [0, _, ..] => false,
        [_, ..] => bytes.len() <= 5,
    };
    shortest.then(|| bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte)))
}

/// A message before it is sealed.
pub(super) struct Plain(Cursor<[u8; MAX_PLAIN]>);

impl Plain {
    pub(super) fn new() -> Self {
        Self(Cursor::new([0; MAX_PLAIN]))
    }

    pub(super) fn writer(&mut self) -> Writer<&mut Cursor<[u8; MAX_PLAIN]>> {
        Writer::new(&mut self.0)
    }

    fn bytes(&self) -> &[u8] {
        self.0.get_ref().get(..self.0.position()).unwrap_or_default()
    }
}

/// One direction of a session: how its messages are protected.
#[derive(Clone, Copy)]
pub(super) struct Channel<'k> {
    pub(super) key: &'k Key,
    pub(super) link: &'k Link,
    pub(super) direction: Direction,
}

impl Channel<'_> {
    /// Seals a message into `out`. A sequence number is used for one message only.
    pub(super) fn seal<'o>(
        &self,
        sequence: u64,
        plain: &Plain,
        out: &'o mut [u8],
        crypto: &impl Crypto,
    ) -> Result<&'o [u8], SealError> {
        let plain = plain.bytes();
        let sealed_at = self.write_outer(sequence, plain.len(), out).ok_or(SealError::Buffer)?;
        let tag_at = sealed_at.saturating_add(plain.len());
        let length = tag_at.saturating_add(TAG);
        let message = out.get_mut(..length).ok_or(SealError::Buffer)?;
        let (front, tag) = message.split_at_mut_checked(tag_at).ok_or(SealError::Buffer)?;
        let text = front.get_mut(sealed_at..).ok_or(SealError::Buffer)?;
        text.iter_mut().zip(plain).for_each(|(to, from)| *to = *from);
        crypto.ccm_seal(&self.key.key, &self.nonce(sequence), &self.aad(), text, tag);
        Ok(message)
    }

    /// Opens a message in place: its sequence number and what was sealed.
    pub(super) fn open<'m>(&self, message: &'m mut [u8], crypto: &impl Crypto) -> Result<(u64, &'m [u8]), OpenError> {
        let outer = Outer::read(message).ok_or(OpenError::Malformed)?;
        if outer.kid != *self.link.kid(self.direction) {
            return Err(OpenError::Forged);
        }
        let sealed = message.get_mut(outer.sealed_at..).ok_or(OpenError::Malformed)?;
        let text_length = sealed.len().checked_sub(TAG).ok_or(OpenError::Malformed)?;
        let (text, tag) = sealed.split_at_mut_checked(text_length).ok_or(OpenError::Malformed)?;
        let nonce = self.nonce(outer.sequence);
        crypto.ccm_open(&self.key.key, &nonce, &self.aad(), text, tag).map_err(|_| OpenError::Forged)?;
        Ok((outer.sequence, text))
    }

    /// Writes what is outside the seal, and returns where the seal begins.
    fn write_outer(&self, sequence: u64, plain: usize, out: &mut [u8]) -> Option<usize> {
        let bytes = sequence.to_be_bytes();
        let zeros = bytes.iter().take(7).take_while(|byte| **byte == 0).count();
        let mut cursor = Cursor::new(out);
        let mut writer = Writer::new(&mut cursor);
        writer.tag(TAG_ENCRYPT0).ok()?.array(3).ok()?.bytes(&PROTECTED).ok()?.map(2).ok()?;
        writer.uint(HEADER_KEY).ok()?.bytes(self.link.kid(self.direction).as_bytes()).ok()?;
        writer.uint(HEADER_PARTIAL_IV).ok()?.bytes(bytes.get(zeros..)?).ok()?;
        writer.bytes_head(plain.checked_add(TAG)?).ok()?;
        Some(cursor.position())
    }

    fn nonce(&self, sequence: u64) -> [u8; 13] {
        let mut nonce = self.key.iv;
        nonce.iter_mut().rev().zip(sequence.to_le_bytes()).for_each(|(to, from)| *to ^= from);
        nonce
    }

    /// The `Enc_structure` in pieces. Its external data is `[name of the direction, controller, device]`.
    fn aad(&self) -> [&[u8]; 4] {
        let (controller, device) = (self.link.controller.as_bytes(), self.link.device.as_bytes());
        [self.direction.prefix(), controller, &[0x50], device]
    }
}
