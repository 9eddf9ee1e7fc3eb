//! Deterministic CBOR (RFC 8949 section 4.2.1): one value, one encoding.
//!
//! [`Reader`] takes only: shortest integers and lengths, definite lengths, map keys that strictly ascend by their encoded bytes,
//! `false`, `true` and `null` as the only simple values, no floating point, nesting up to [`MAX_DEPTH`], and nothing
//! behind the end. (The decoder of `minicbor` accepts longer forms than needed, such as `18 01` for 1; it is the second
//! opinion in the tests.) [`Writer`] can write nothing else, except that its caller orders map keys.

use crate::time::Time;
use core::fmt;
use minicbor::encode::Write;

/// The deepest nesting [`Reader::skip`] follows. Signed objects of Medlock nest three deep; the rest is room for later
/// versions, and the bound keeps the stack of a small device safe.
pub const MAX_DEPTH: u8 = 8;

/// Why bytes are not the CBOR that was expected, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// Offset of the offending item in the bytes read.
    pub position: usize,
    /// What is wrong with it.
    pub kind: ErrorKind,
}

/// What is wrong with an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// The bytes end inside it.
    EndOfInput,
    /// It is of another type than expected, or of one that is not accepted at all.
    WrongType,
    /// Its value or length is written in more bytes than needed.
    NotShortest,
    /// Its length is indefinite.
    Indefinite,
    /// It is a map key that does not sort behind the one before.
    NotAscending,
    /// It is nested too deeply.
    TooDeep,
    /// Its value or length is outside what is accepted here.
    OutOfRange,
    /// There are bytes behind the end.
    TrailingBytes,
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EndOfInput => "the bytes end inside an item",
            Self::WrongType => "an item of another type was expected",
            Self::NotShortest => "a value or length is not in its shortest form",
            Self::Indefinite => "an indefinite length",
            Self::NotAscending => "map keys or sorted items do not strictly ascend",
            Self::TooDeep => "items are nested too deeply",
            Self::OutOfRange => "a value or length is out of range",
            Self::TrailingBytes => "there are bytes behind the end",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CBOR, byte {}: {}", self.position, self.kind)
    }
}

impl core::error::Error for Error {}

/// Reads deterministic CBOR item by item.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    position: usize,
}

const UINT: u8 = 0;
const NEGATIVE: u8 = 1;
const BYTES: u8 = 2;
const TEXT: u8 = 3;
const ARRAY: u8 = 4;
const MAP: u8 = 5;
const TAG: u8 = 6;

const FALSE: u8 = 0xf4;
const TRUE: u8 = 0xf5;
const NULL: u8 = 0xf6;

impl<'a> Reader<'a> {
    /// Starts at the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0 }
    }

    /// The offset of the next item.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// An error of this kind at the next item.
    #[must_use]
    #[inline]
    pub const fn error(&self, kind: ErrorKind) -> Error {
        Error { position: self.position, kind }
    }

    /// Reads an unsigned integer.
    ///
    /// # Errors
    /// If the next item is not one in its shortest form.
    #[inline]
    pub fn uint(&mut self) -> Result<u64, Error> {
        self.head(UINT)
    }

    /// Reads an unsigned integer of one byte's range.
    ///
    /// # Errors
    /// As [`Reader::uint`], or if it is larger.
    pub fn byte(&mut self) -> Result<u8, Error> {
        let error = self.error(ErrorKind::OutOfRange);
        u8::try_from(self.uint()?).map_err(|_| error)
    }

    /// Reads a signed integer.
    ///
    /// # Errors
    /// If the next item is not one in its shortest form, or does not fit.
    pub fn int(&mut self) -> Result<i64, Error> {
        let error = self.error(ErrorKind::OutOfRange);
        let (major_type, argument) = self.any_head()?;
        let argument = i64::try_from(argument).map_err(|_| error);
        match major_type {
            UINT => argument,
            // Major type 1 carries -1 - n, which is the bitwise complement.
            NEGATIVE => argument.map(|argument| !argument),
            _ => Err(Error { kind: ErrorKind::WrongType, ..error }),
        }
    }

    /// Reads a time: seconds since 1970, up to the year 9999.
    ///
    /// # Errors
    /// As [`Reader::uint`], or if it is larger.
    #[inline]
    pub fn time(&mut self) -> Result<Time, Error> {
        let error = self.error(ErrorKind::OutOfRange);
        let seconds = i64::try_from(self.uint()?).map_err(|_| error)?;
        if seconds > Time::NEVER.unix() { Err(error) } else { Ok(Time::from_unix(seconds)) }
    }

    /// Reads a byte string.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form.
    #[inline]
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        let start = self.position;
        let length = self.head(BYTES)?;
        self.content(start, length)
    }

    /// Reads a byte string of `N` bytes.
    ///
    /// # Errors
    /// As [`Reader::bytes`], or if its length is another.
    pub fn fixed<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        let error = self.error(ErrorKind::OutOfRange);
        self.bytes()?.try_into().map_err(|_| error)
    }

    /// Reads a text string of 1 to `most` bytes, in UTF-8.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form, or is empty or too long.
    pub fn text(&mut self, most: usize) -> Result<&'a str, Error> {
        let error = self.error(ErrorKind::OutOfRange);
        let text = self.any_text()?;
        if text.is_empty() || text.len() > most { Err(error) } else { Ok(text) }
    }

    /// Reads the head of an array and returns how many items follow.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form, or has more than `most` items.
    pub fn array(&mut self, most: u64) -> Result<u64, Error> {
        self.counted(ARRAY, most)
    }

    /// Reads the head of an array of exactly `count` items.
    ///
    /// # Errors
    /// As [`Reader::array`], or if it has fewer.
    pub fn array_of(&mut self, count: u64) -> Result<(), Error> {
        let error = self.error(ErrorKind::OutOfRange);
        if self.array(count)? == count { Ok(()) } else { Err(error) }
    }

    /// Reads the head of a map and returns how many pairs follow. The caller checks the order of keys.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form, or has more than `most` pairs.
    pub fn map(&mut self, most: u64) -> Result<u64, Error> {
        self.counted(MAP, most)
    }

    /// Reads the tag `number`.
    ///
    /// # Errors
    /// If the next item is not that tag in its shortest form.
    pub fn tag(&mut self, number: u64) -> Result<(), Error> {
        let error = self.error(ErrorKind::OutOfRange);
        if self.head(TAG)? == number { Ok(()) } else { Err(error) }
    }

    /// Reads `null` if that comes next, and says whether it did.
    ///
    /// # Errors
    /// If the bytes have ended.
    #[inline]
    pub fn null(&mut self) -> Result<bool, Error> {
        let is_null = self.peek()? == NULL;
        self.position = self.position.saturating_add(usize::from(is_null));
        Ok(is_null)
    }

    /// The major type of the next item: 0 unsigned, 1 negative, 2 bytes, 3 text, 4 array, 5 map, 6 tag, 7 simple.
    pub(crate) fn major_type(&self) -> Result<u8, Error> {
        Ok(self.peek()? >> 5)
    }

    /// What is not yet read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Reads any item with all it contains, and returns its encoding.
    ///
    /// # Errors
    /// If it is not deterministic CBOR, or nested deeper than [`MAX_DEPTH`].
    pub fn skip(&mut self) -> Result<&'a [u8], Error> {
        let start = self.position;
        self.skip_nested(MAX_DEPTH)?;
        Ok(self.read_since(start))
    }

    /// Ends reading.
    ///
    /// # Errors
    /// If there are bytes left.
    pub const fn finish(self) -> Result<(), Error> {
        if self.position == self.bytes.len() { Ok(()) } else { Err(self.error(ErrorKind::TrailingBytes)) }
    }

    /// The bytes from offset `start` to the next item.
    #[must_use]
    pub fn read_since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.position).unwrap_or_default()
    }

    fn skip_nested(&mut self, depth: u8) -> Result<(), Error> {
        let start = self.position;
        let deeper = depth.checked_sub(1).ok_or(self.error(ErrorKind::TooDeep))?;
        if matches!(self.peek()?, FALSE | TRUE | NULL) {
            self.position = self.position.saturating_add(1);
            return Ok(());
        }
        let (major_type, argument) = self.any_head()?;
        match major_type {
            UINT | NEGATIVE => Ok(()),
            BYTES => self.content(start, argument).map(drop),
            TEXT => {
                self.position = start;
                self.any_text().map(drop)
            }
            ARRAY => (0..argument).try_for_each(|_| self.skip_nested(deeper)),
            MAP => self.skip_pairs(argument, deeper),
            TAG => self.skip_nested(deeper),
            // Floating point and simple values.
            _ => Err(Error { position: start, kind: ErrorKind::WrongType }),
        }
    }

    fn skip_pairs(&mut self, count: u64, depth: u8) -> Result<(), Error> {
        let mut last: Option<&'a [u8]> = None;
        for _ in 0..count {
            let start = self.position;
            self.skip_nested(depth)?;
            let key = self.read_since(start);
            if last.is_some_and(|last| last >= key) {
                return Err(Error { position: start, kind: ErrorKind::NotAscending });
            }
            last = Some(key);
            self.skip_nested(depth)?;
        }
        Ok(())
    }

    /// Reads a text string of any length, in UTF-8.
    pub(crate) fn any_text(&mut self) -> Result<&'a str, Error> {
        let start = self.position;
        let length = self.head(TEXT)?;
        let text = core::str::from_utf8(self.content(start, length)?);
        text.map_err(|_| Error { position: start, kind: ErrorKind::WrongType })
    }

    fn counted(&mut self, major_type: u8, most: u64) -> Result<u64, Error> {
        let error = self.error(ErrorKind::OutOfRange);
        let count = self.head(major_type)?;
        if count > most { Err(error) } else { Ok(count) }
    }

    /// Takes the content of the string that starts at `start` and whose head was read.
    #[inline]
    fn content(&mut self, start: usize, length: u64) -> Result<&'a [u8], Error> {
        let end = usize::try_from(length).ok().and_then(|length| self.position.checked_add(length));
        let content = end.and_then(|end| self.bytes.get(self.position..end));
        let content = content.ok_or(Error { position: start, kind: ErrorKind::EndOfInput })?;
        self.position = self.position.saturating_add(content.len());
        Ok(content)
    }

    #[inline]
    fn peek(&self) -> Result<u8, Error> {
        self.bytes.get(self.position).copied().ok_or(self.error(ErrorKind::EndOfInput))
    }

    /// Reads the head of an item of this major type.
    #[inline]
    fn head(&mut self, major_type: u8) -> Result<u64, Error> {
        let error = self.error(ErrorKind::WrongType);
        if self.peek()? >> 5 == major_type { Ok(self.any_head()?.1) } else { Err(error) }
    }

    /// Reads the head of any item: its major type, and its argument in the shortest form (RFC 8949 section 3).
    #[inline]
    fn any_head(&mut self) -> Result<(u8, u64), Error> {
        let start = self.position;
        let error = |kind| Error { position: start, kind };
        let first = self.peek()?;
        self.position = self.position.saturating_add(1);
        let (major_type, additional) = (first >> 5, first & 0x1f);
        let (size, least) = match additional {
            0..=23 => return Ok((major_type, u64::from(additional))),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            31 if !matches!(major_type, UINT | NEGATIVE | TAG) => return Err(error(ErrorKind::Indefinite)),
            _ => return Err(error(ErrorKind::WrongType)),
        };
        let argument = self.number(start, size)?;
        // Of major type 7 nothing with an argument is accepted: the caller says so.
        if argument < least && major_type <= TAG {
            Err(error(ErrorKind::NotShortest))
        } else {
            Ok((major_type, argument))
        }
    }

    /// Reads a big-endian number of this many bytes.
    #[inline]
    fn number(&mut self, start: usize, size: u64) -> Result<u64, Error> {
        let bytes = self.content(start, size)?;
        Ok(bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte)))
    }
}

fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// The first bytes of an item: its major type and argument, in the shortest form (RFC 8949 section 3).
#[derive(Clone, Copy, Debug)]
pub struct Head {
    bytes: [u8; 9],
    length: u8,
}

impl Head {
    /// The head of an unsigned integer.
    #[must_use]
    pub fn uint(value: u64) -> Self {
        Self::new(0, value)
    }

    /// The head of a byte string of this length.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::new(2, length(bytes))
    }

    /// The head's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    pub(crate) fn new(major_type: u8, argument: u64) -> Self {
        let mut bytes = [0; 9];
        let (additional, size) = match argument {
            0..=23 => (argument.to_be_bytes()[7], 0),
            24..=0xff => (24, 1),
            0x100..=0xffff => (25, 2),
            0x1_0000..=0xffff_ffff => (26, 4),
            _ => (27, 8),
        };
        let [first, rest @ ..] = &mut bytes;
        *first = (major_type << 5) | additional;
        let argument = argument.to_be_bytes();
        let significant = argument.iter().rev().take(size).rev();
        rest.iter_mut().zip(significant).for_each(|(to, from)| *to = *from);
        Self { bytes, length: u8::try_from(size).unwrap_or(8).saturating_add(1) }
    }
}

/// Writes deterministic CBOR item by item.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`.
    pub const fn new(out: W) -> Self {
        Self { out }
    }

    /// Writes an unsigned integer.
    ///
    /// # Errors
    /// What `out` says.
    pub fn uint(&mut self, value: u64) -> Result<&mut Self, W::Error> {
        self.head(0, value)
    }

    /// Writes a signed integer.
    ///
    /// # Errors
    /// What `out` says.
    pub fn int(&mut self, value: i64) -> Result<&mut Self, W::Error> {
        if value < 0 { self.head(1, (!value).unsigned_abs()) } else { self.head(0, value.unsigned_abs()) }
    }

    /// Writes a time as seconds since 1970; what is outside 1970 to 9999 becomes the nearest that is inside.
    ///
    /// # Errors
    /// What `out` says.
    pub fn time(&mut self, time: Time) -> Result<&mut Self, W::Error> {
        self.uint(time.unix().clamp(0, Time::NEVER.unix()).unsigned_abs())
    }

    /// Writes a byte string.
    ///
    /// # Errors
    /// What `out` says.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<&mut Self, W::Error> {
        self.head(2, length(bytes))?.raw(bytes)
    }

    /// Writes the head of a byte string; its `count` bytes are to follow.
    ///
    /// # Errors
    /// What `out` says.
    pub fn bytes_head(&mut self, count: usize) -> Result<&mut Self, W::Error> {
        self.head(2, u64::try_from(count).unwrap_or(u64::MAX))
    }

    /// Writes a text string.
    ///
    /// # Errors
    /// What `out` says.
    pub fn text(&mut self, text: &str) -> Result<&mut Self, W::Error> {
        self.head(3, length(text.as_bytes()))?.raw(text.as_bytes())
    }

    /// Writes the head of an array; its items are to follow.
    ///
    /// # Errors
    /// What `out` says.
    pub fn array(&mut self, count: u64) -> Result<&mut Self, W::Error> {
        self.head(4, count)
    }

    /// Writes the head of a map; its pairs are to follow, keys ascending by their encoding.
    ///
    /// # Errors
    /// What `out` says.
    pub fn map(&mut self, count: u64) -> Result<&mut Self, W::Error> {
        self.head(5, count)
    }

    /// Writes a tag; its content is to follow.
    ///
    /// # Errors
    /// What `out` says.
    pub fn tag(&mut self, number: u64) -> Result<&mut Self, W::Error> {
        self.head(6, number)
    }

    /// Writes `null`.
    ///
    /// # Errors
    /// What `out` says.
    pub fn null(&mut self) -> Result<&mut Self, W::Error> {
        self.raw(&[0xf6])
    }

    /// Writes bytes that are items already.
    ///
    /// # Errors
    /// What `out` says.
    pub fn raw(&mut self, items: &[u8]) -> Result<&mut Self, W::Error> {
        self.out.write_all(items)?;
        Ok(self)
    }

    fn head(&mut self, major_type: u8, argument: u64) -> Result<&mut Self, W::Error> {
        self.raw(Head::new(major_type, argument).as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn skip(bytes: &[u8]) -> Result<(), ErrorKind> {
        let mut reader = Reader::new(bytes);
        reader.skip().and_then(|_| reader.finish()).map_err(|error| error.kind)
    }

    #[test]
    fn longer_forms_than_needed_are_refused() {
        let longer: [&[u8]; 12] = [
            b"\x18\x01",
            b"\x19\x00\xff",
            b"\x1a\x00\x00\xff\xff",
            b"\x1b\x00\x00\x00\x00\xff\xff\xff\xff",
            b"\x38\x01",
            b"\x3b\x00\x00\x00\x00\x00\x00\x00\x01",
            b"\x58\x01a",
            b"\x78\x01a",
            b"\x98\x01\x00",
            b"\xb8\x01\x00\x00",
            b"\xd8\x12\x00",
            b"\x81\x18\x01",
        ];
        for bytes in longer {
            assert_eq!(skip(bytes), Err(ErrorKind::NotShortest), "{bytes:02x?}");
        }
        assert_eq!(Reader::new(b"\x18\x01").uint().map_err(|error| error.kind), Err(ErrorKind::NotShortest));
        assert_eq!(Reader::new(b"\x38\x01").int().map_err(|error| error.kind), Err(ErrorKind::NotShortest));
    }

    #[test]
    fn indefinite_lengths_are_refused() {
        for bytes in [&b"\x5f\x41a\xff"[..], b"\x7f\x61a\xff", b"\x9f\x00\xff", b"\xbf\x00\x00\xff", b"\xff"] {
            assert_eq!(skip(bytes), Err(ErrorKind::Indefinite), "{bytes:02x?}");
        }
        assert_eq!(Reader::new(b"\x5f\x41a\xff").bytes().map_err(|error| error.kind), Err(ErrorKind::Indefinite));
        assert_eq!(Reader::new(b"\x7f\x61a\xff").text(9).map_err(|error| error.kind), Err(ErrorKind::Indefinite));
        assert_eq!(Reader::new(b"\x9f\x00\xff").array(9).map_err(|error| error.kind), Err(ErrorKind::Indefinite));
    }

    #[test]
    fn map_keys_ascend_by_their_encoding() {
        assert_eq!(skip(b"\xa2\x01\x00\x02\x00"), Ok(()));
        assert_eq!(skip(b"\xa2\x01\x00\x20\x00"), Ok(()), "-1 sorts behind 1");
        assert_eq!(skip(b"\xa2\x02\x00\x01\x00"), Err(ErrorKind::NotAscending));
        assert_eq!(skip(b"\xa2\x01\x00\x01\x00"), Err(ErrorKind::NotAscending), "twice the same key");
    }

    #[test]
    fn floats_simple_values_and_rests_are_refused() {
        for bytes in [&b"\xf9\x00\x00"[..], b"\xfa\x00\x00\x00\x00", b"\xe0", b"\xf7", b"\xf8\x20", b"\x1c"] {
            assert_eq!(skip(bytes), Err(ErrorKind::WrongType), "{bytes:02x?}");
        }
        assert_eq!(skip(b"\x00\x00"), Err(ErrorKind::TrailingBytes));
        assert_eq!(skip(b""), Err(ErrorKind::EndOfInput));
        assert_eq!(skip(b"\x42a"), Err(ErrorKind::EndOfInput));
        assert!(skip(b"\x61\xff").is_err(), "text that is not UTF-8");
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| [std::vec![0x81; depth], std::vec![0]].concat();
        assert_eq!(skip(&nested(usize::from(MAX_DEPTH) - 1)), Ok(()));
        assert_eq!(skip(&nested(usize::from(MAX_DEPTH))), Err(ErrorKind::TooDeep));
        assert_eq!(skip(&nested(1_000_000)), Err(ErrorKind::TooDeep));
        assert_eq!(skip(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), Err(ErrorKind::EndOfInput), "a huge array");
    }

    /// Writes a value that `minicbor` understands, from a stream of choices.
    fn written(choices: &[(u8, u64)], depth: u8, out: &mut Vec<u8>) {
        let Some(((choice, value), rest)) = choices.split_first() else {
            Writer::new(out).null().map(drop).unwrap();
            return;
        };
        let text = std::string::ToString::to_string(value);
        match choice % 6 {
            0 => Writer::new(out).uint(*value).map(drop).unwrap(),
            1 => Writer::new(out).int(value.cast_signed()).map(drop).unwrap(),
            2 => Writer::new(out).bytes(&value.to_be_bytes()).map(drop).unwrap(),
            3 => Writer::new(out).text(&text).map(drop).unwrap(),
            4 if depth > 0 => {
                Writer::new(&mut *out).array(2).map(drop).unwrap();
                written(rest, depth - 1, out);
                written(&[], 0, out);
            }
            _ if depth > 0 => {
                Writer::new(&mut *out).map(2).unwrap().uint(1).map(drop).unwrap();
                written(&[], 0, out);
                Writer::new(&mut *out).text("key").map(drop).unwrap();
                written(rest, depth - 1, out);
            }
            _ => Writer::new(out).tag(*value).unwrap().null().map(drop).unwrap(),
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(choices in prop::collection::vec(any::<(u8, u64)>(), 0..9)) {
            let mut bytes = Vec::new();
            written(&choices, MAX_DEPTH - 2, &mut bytes);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.skip(), Ok(&bytes[..]));
            prop_assert_eq!(reader.finish(), Ok(()));
        }

        #[test]
        fn integers_round_trip(value in any::<i64>(), shift in 0_u32..64) {
            let value = value >> shift;
            let mut bytes = Vec::new();
            Writer::new(&mut bytes).int(value).unwrap();
            prop_assert_eq!(Reader::new(&bytes).int(), Ok(value));
        }

        /// Whatever is accepted is exactly what a deterministic encoder writes: no second encoding exists.
        #[test]
        fn never_accepted_in_two_encodings(bytes in prop::collection::vec(any::<u8>(), 0..12)) {
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.uint() {
                let mut again = Vec::new();
                Writer::new(&mut again).uint(value).unwrap();
                prop_assert_eq!(&again[..], &bytes[..reader.position()]);
            }
            let mut reader = Reader::new(&bytes);
            if let Ok(value) = reader.bytes() {
                let mut again = Vec::new();
                Writer::new(&mut again).bytes(value).unwrap();
                prop_assert_eq!(&again[..], &bytes[..reader.position()]);
            }
        }

        /// What this reader accepts, another decoder reads as the same.
        #[test]
        fn another_decoder_agrees(bytes in prop::collection::vec(any::<u8>(), 0..16)) {
            let mut other = minicbor::Decoder::new(&bytes);
            if let Ok(value) = Reader::new(&bytes).int() {
                prop_assert_eq!(other.i64().ok(), Some(value));
            } else if let Ok(value) = Reader::new(&bytes).bytes() {
                prop_assert_eq!(other.bytes().ok(), Some(value));
            } else if let Ok(value) = Reader::new(&bytes).text(64) {
                prop_assert_eq!(other.str().ok(), Some(value));
            } else if let Ok(count) = Reader::new(&bytes).array(u64::MAX) {
                prop_assert_eq!(other.array().ok(), Some(Some(count)));
            } else if let Ok(count) = Reader::new(&bytes).map(u64::MAX) {
                prop_assert_eq!(other.map().ok(), Some(Some(count)));
            }
            let mut other = minicbor::Decoder::new(&bytes);
            let mut reader = Reader::new(&bytes);
            if reader.skip().is_ok() {
                prop_assert!(other.skip().is_ok());
                prop_assert_eq!(other.position(), reader.position());
            }
        }

        #[test]
        fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = skip(&bytes);
            let mut reader = Reader::new(&bytes);
            let _ = (reader.text(9), reader.map(9), reader.array(9), reader.tag(18), reader.time(), reader.null());
        }
    }
}
