//! Messages as they are read (RFC 7252 section 3).

use super::{Code, MessageId, Number, Token, Type};
use core::fmt;

/// The first four bytes of a message: enough to refuse it when the rest cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it is delivered.
    pub kind: Type,
    /// Method or response code.
    pub code: Code,
    /// Its message id.
    pub id: MessageId,
    token_length: u8,
}

impl Header {
    /// Reads the first four bytes.
    ///
    /// # Errors
    /// [`Malformed::Header`] if there are fewer, [`Malformed::Version`] if they belong to another version of CoAP: such a
    /// message is dropped without an answer (RFC 7252 section 3).
    pub fn read(bytes: &[u8]) -> Result<Self, Malformed> {
        let Some(&[first, code, high, low]) = bytes.first_chunk() else { return Err(Malformed::Header) };
        if first >> 6 != 1 {
            return Err(Malformed::Version);
        }
        Ok(Self {
            kind: Type::from_bits(first >> 4),
            code: Code::from_byte(code),
            id: MessageId(u16::from_be_bytes([high, low])),
            token_length: first & 15,
        })
    }
}

/// A message: a view of its bytes, which were checked completely.
///
/// Every sequence of bytes is at most one message, and every message is one sequence of bytes.
#[derive(Clone, Copy)]
pub struct Message<'a> {
    header: Header,
    token: Token,
    bytes: &'a [u8],
    options: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Message<'a> {
    /// Reads a whole datagram.
    ///
    /// # Errors
    /// What is wrong with it. Which answer that deserves is said by [`super::refuse`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let header = Header::read(bytes)?;
        let rest = bytes.get(4..).unwrap_or(&[]);
        if header.code == Code::EMPTY && (!rest.is_empty() || header.token_length != 0) {
            return Err(Malformed::NotEmpty);
        }
        if matches!(header.code.class(), 1 | 3 | 6 | 7) {
            return Err(Malformed::Code);
        }
        if header.token_length > 8 {
            return Err(Malformed::Token);
        }
        let (token, rest) = rest.split_at_checked(usize::from(header.token_length)).ok_or(Malformed::Token)?;
        let token = Token::new(token).ok_or(Malformed::Token)?;
        let (options, payload) = split_options(rest)?;
        Ok(Self { header, token, bytes, options, payload })
    }

    /// Type, code and message id.
    #[must_use]
    pub const fn header(&self) -> Header {
        self.header
    }

    /// How it is delivered.
    #[must_use]
    pub const fn kind(&self) -> Type {
        self.header.kind
    }

    /// Method or response code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.header.code
    }

    /// Its message id.
    #[must_use]
    pub const fn id(&self) -> MessageId {
        self.header.id
    }

    /// Its token.
    #[must_use]
    pub const fn token(&self) -> Token {
        self.token
    }

    /// The whole message.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// What follows the options; empty if there is none.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The options, in ascending order of their numbers.
    #[must_use]
    pub const fn options(&self) -> Options<'a> {
        Options { rest: self.options, number: 0 }
    }

    /// The first option of this number.
    #[must_use]
    pub fn option(&self, number: Number) -> Option<&'a [u8]> {
        self.options().find(|(found, _)| *found == number).map(|(_, value)| value)
    }

    /// The first option of this number as an unsigned integer (RFC 7252 section 3.2); `None` if there is none or it is
    /// longer than 4 bytes.
    #[must_use]
    pub fn uint(&self, number: Number) -> Option<u32> {
        uint(self.option(number)?)
    }

    /// The format of the payload.
    #[must_use]
    pub fn content_format(&self) -> Option<u16> {
        u16::try_from(self.uint(super::option::CONTENT_FORMAT)?).ok()
    }

    /// Whether the path has just these segments: `message.path_is(&["m", "objects"])`.
    #[must_use]
    pub fn path_is(&self, segments: &[&str]) -> bool {
        let path = self.options().filter(|(number, _)| *number == super::option::URI_PATH);
        path.map(|(_, value)| value).eq(segments.iter().map(|segment| segment.as_bytes()))
    }

    /// The first critical option that is not in `known`, or is but with a length the standards do not allow, or more than
    /// once where it may be only once (RFC 7252 sections 5.4.1, 5.4.3, 5.4.5). A request that has one is answered with
    /// 4.02, a response that has one is refused.
    #[must_use]
    pub fn unrecognized(&self, known: &[Number]) -> Option<Number> {
        let mut before = None;
        for (number, value) in self.options() {
            let (shortest, longest) = number.lengths();
            let good = known.contains(&number)
                && (shortest..=longest).contains(&value.len())
                && (number.is_repeatable() || before != Some(number));
            if number.is_critical() && !good {
                return Some(number);
            }
            before = Some(number);
        }
        None
    }
}

impl fmt::Debug for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message").field("header", &self.header).field("token", &self.token).finish_non_exhaustive()
    }
}

/// The options of a message, in ascending order.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    rest: &'a [u8],
    number: u16,
}

impl<'a> Options<'a> {
    /// Options that were read before.
    pub(crate) const fn checked(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, number: 0 }
    }

    /// Options and payload that stand alone, without header: as OSCORE encrypts them.
    ///
    /// # Errors
    /// What is wrong with them.
    pub(crate) fn read(bytes: &'a [u8]) -> Result<(Self, &'a [u8]), Malformed> {
        let (options, payload) = split_options(bytes)?;
        Ok((Self { rest: options, number: 0 }, payload))
    }
}

impl<'a> Iterator for Options<'a> {
    type Item = (Number, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (number, value, rest) = first_option(self.rest, self.number).ok()??;
        self.number = number;
        self.rest = rest;
        Some((Number(number), value))
    }
}

/// An unsigned integer as options hold it: big-endian, as short as it can be, though zeros in front are read as well
/// (RFC 7252 section 3.2). `None` beyond 4 bytes.
pub(crate) fn uint(value: &[u8]) -> Option<u32> {
    (value.len() <= 4).then(|| value.iter().fold(0, |sum, byte| (sum << 8) | u32::from(*byte)))
}

/// Why bytes are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Malformed {
    /// Fewer than four bytes.
    Header,
    /// Another version of CoAP: drop it.
    Version,
    /// A code of a class that is reserved, or has no meaning over datagrams (RFC 7252 section 12.1, RFC 8323 section 5).
    Code,
    /// The token is longer than 8 bytes, or than the message.
    Token,
    /// An empty message that is not empty (RFC 7252 section 4.1).
    NotEmpty,
    /// An option uses a reserved length, goes beyond the end, or its number beyond 65,535.
    Option,
    /// A payload marker with nothing behind it (RFC 7252 section 3).
    NoPayload,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Header => "a CoAP message has at least four bytes",
            Self::Version => "another version of CoAP",
            Self::Code => "a code of a reserved class",
            Self::Token => "the token is longer than 8 bytes or than the message",
            Self::NotEmpty => "an empty message has bytes behind its header",
            Self::Option => "an option is malformed or cut off",
            Self::NoPayload => "no payload behind the payload marker",
        })
    }
}

impl core::error::Error for Malformed {}

const PAYLOAD_MARKER: u8 = 0xff;

/// Walks over all options; gives their bytes and the payload.
fn split_options(bytes: &[u8]) -> Result<(&[u8], &[u8]), Malformed> {
    let mut rest = bytes;
    let mut number = 0;
    while let Some((next, _, after)) = first_option(rest, number)? {
        number = next;
        rest = after;
    }
    let options = bytes.get(..bytes.len().saturating_sub(rest.len())).unwrap_or(&[]);
    match rest.split_first() {
        None => Ok((options, &[])),
        Some((_, [])) => Err(Malformed::NoPayload),
        Some((_, payload)) => Ok((options, payload)),
    }
}

type Found<'a> = (u16, &'a [u8], &'a [u8]);

/// The first option of `bytes`: number, value, what follows; `None` at the end or at a payload marker.
fn first_option(bytes: &[u8], before: u16) -> Result<Option<Found<'_>>, Malformed> {
    let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
    if first == PAYLOAD_MARKER {
        return Ok(None);
    }
    let (delta, rest) = extended(first >> 4, rest).ok_or(Malformed::Option)?;
    let (length, rest) = extended(first & 15, rest).ok_or(Malformed::Option)?;
    let number = u32::from(before).checked_add(delta).and_then(|sum| u16::try_from(sum).ok());
    let number = number.ok_or(Malformed::Option)?;
    let length = usize::try_from(length).map_err(|_| Malformed::Option)?;
    let (value, rest) = rest.split_at_checked(length).ok_or(Malformed::Option)?;
    Ok(Some((number, value, rest)))
}

/// A delta or length whose four bits are `nibble` (RFC 7252 section 3.1).
fn extended(nibble: u8, rest: &[u8]) -> Option<(u32, &[u8])> {
    match nibble {
        13 => rest.split_first().map(|(low, rest)| (u32::from(*low).saturating_add(13), rest)),
        14 => {
            let (bytes, rest) = rest.split_first_chunk()?;
            Some((u32::from(u16::from_be_bytes(*bytes)).saturating_add(269), rest))
        }
        15 => None,
        small => Some((u32::from(small), rest)),
    }
}
