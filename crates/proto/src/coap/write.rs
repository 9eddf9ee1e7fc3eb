//! Messages as they are written (RFC 7252 section 3).

use super::{Code, Message, MessageId, Number, Token, Type, option};
use core::fmt;

/// Writes a message into the caller's buffer. An error is kept until [`Writer::finish`], so that calls can be chained:
///
/// ```
/// use medlock_proto::coap::{Code, MessageId, Token, Type, Writer, content_format, option};
/// let mut buffer = [0; 64];
/// let message = Writer::new(&mut buffer, Type::Confirmable, Code::POST, MessageId(7), Token::EMPTY)
///     .path(&["m", "objects"])
///     .uint(option::CONTENT_FORMAT, content_format::CBOR.into())
///     .payload(&[0x80])
///     .finish()
///     .unwrap();
/// assert_eq!(message.len(), 18);
/// ```
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    used: usize,
    last: Number,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Options,
    Payload,
    Failed(WriteError),
}

impl<'a> Writer<'a> {
    /// Writes header and token.
    #[must_use]
    pub fn new(out: &'a mut [u8], kind: Type, code: Code, id: MessageId, token: Token) -> Self {
        let mut writer = Self::options_only(out);
        let length = token.as_bytes().len() as u8;
        let [high, low] = id.0.to_be_bytes();
        writer.put(&[0x40 | (kind.bits() << 4) | length, code.byte(), high, low]);
        writer.put(token.as_bytes());
        writer
    }

    /// Writes options and payload without a header: as OSCORE encrypts them.
    pub(crate) fn options_only(out: &'a mut [u8]) -> Self {
        Self { out, used: 0, last: Number(0), state: State::Options }
    }

    /// Adds an option. Numbers must not descend.
    pub fn option(&mut self, number: Number, value: &[u8]) -> &mut Self {
        let Some(delta) = number.0.checked_sub(self.last.0) else { return self.fail(WriteError::Order) };
        if self.state == State::Payload {
            return self.fail(WriteError::Order);
        }
        let Ok(length) = u16::try_from(value.len()) else { return self.fail(WriteError::Full) };
        let (delta_nibble, delta_bytes, delta_count) = extended(delta);
        let (length_nibble, length_bytes, length_count) = extended(length);
        self.put(&[(delta_nibble << 4) | length_nibble]);
        self.put(delta_bytes.get(..delta_count).unwrap_or(&[]));
        self.put(length_bytes.get(..length_count).unwrap_or(&[]));
        self.put(value);
        self.last = number;
        self
    }

    /// Adds an option that is an unsigned integer, as short as it can be (RFC 7252 section 3.2).
    pub fn uint(&mut self, number: Number, value: u32) -> &mut Self {
        let bytes = value.to_be_bytes();
        let zeros = (value.leading_zeros() / 8) as usize;
        self.option(number, bytes.get(zeros..).unwrap_or(&[]))
    }

    /// Adds the segments of a path.
    pub fn path(&mut self, segments: &[&str]) -> &mut Self {
        for segment in segments {
            self.option(option::URI_PATH, segment.as_bytes());
        }
        self
    }

    /// Adds the payload; nothing may follow. An empty one leaves no trace.
    pub fn payload(&mut self, payload: &[u8]) -> &mut Self {
        if payload.is_empty() {
            return self;
        }
        self.payload_with(|free| {
            free.get_mut(..payload.len())?.copy_from_slice(payload);
            Some(payload.len())
        })
    }

    /// Lets `write` write the payload where it belongs: it gets the free part of the buffer and says how much of it it
    /// filled, or `None` if it is too small.
    pub fn payload_with(&mut self, write: impl FnOnce(&mut [u8]) -> Option<usize>) -> &mut Self {
        if self.state == State::Payload {
            return self.fail(WriteError::Order);
        }
        let marker = self.used;
        self.put(&[0xff]);
        if matches!(self.state, State::Failed(_)) {
            return self;
        }
        let free = self.out.get_mut(self.used..).unwrap_or(&mut []);
        let room = free.len();
        match write(free) {
            Some(0) => self.used = marker,
            Some(count) if count <= room => {
                self.used = self.used.saturating_add(count);
                self.state = State::Payload;
            }
            _ => return self.fail(WriteError::Full),
        }
        self
    }

    /// The message.
    ///
    /// # Errors
    /// The first thing that went wrong.
    pub fn finish(&mut self) -> Result<&'a mut [u8], WriteError> {
        if let State::Failed(error) = self.state {
            return Err(error);
        }
        core::mem::take(&mut self.out).get_mut(..self.used).ok_or(WriteError::Full)
    }

    fn put(&mut self, bytes: &[u8]) {
        if matches!(self.state, State::Failed(_)) {
            return;
        }
        let end = self.used.saturating_add(bytes.len());
        match self.out.get_mut(self.used..end) {
            Some(room) => {
                room.copy_from_slice(bytes);
                self.used = end;
            }
            None => {
                self.fail(WriteError::Full);
            }
        }
    }

    fn fail(&mut self, error: WriteError) -> &mut Self {
        if !matches!(self.state, State::Failed(_)) {
            self.state = State::Failed(error);
        }
        self
    }
}

/// Writes `request` once more as a new one with the id `id` and one option added, or replaced: a client that was answered
/// with 4.01 and Echo (RFC 9175 section 2.3), with 2.31 or 4.13 and a block.
///
/// # Errors
/// [`WriteError::Full`].
pub fn repeat_with<'o>(
    request: &Message<'_>,
    id: MessageId,
    token: Token,
    (number, value): (Number, &[u8]),
    out: &'o mut [u8],
) -> Result<&'o mut [u8], WriteError> {
    let mut writer = Writer::new(out, request.kind(), request.code(), id, token);
    let (before, after) = (request.options(), request.options());
    before.filter(|(other, _)| *other < number).for_each(|(other, value)| {
        writer.option(other, value);
    });
    writer.option(number, value);
    after.filter(|(other, _)| *other > number).for_each(|(other, value)| {
        writer.option(other, value);
    });
    writer.payload(request.payload()).finish()
}

/// Why a message could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteError {
    /// The buffer is too small.
    Full,
    /// An option came after one of a higher number, or after the payload.
    Order,
}

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full => "the buffer is too small for the message",
            Self::Order => "options must be in ascending order and before the payload",
        })
    }
}

impl core::error::Error for WriteError {}

/// The four bits of a delta or length, and its further bytes (RFC 7252 section 3.1).
const fn extended(value: u16) -> (u8, [u8; 2], usize) {
    match value {
        0..=12 => (value as u8, [0; 2], 0),
        13..=268 => (13, [value.wrapping_sub(13) as u8, 0], 1),
        _ => (14, value.wrapping_sub(269).to_be_bytes(), 2),
    }
}
