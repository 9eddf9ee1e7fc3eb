//! Deterministic CBOR (RFC 8949 section 4.2.1): one value, one encoding.
//!
//! [`Reader`] takes only: shortest integers and lengths, definite lengths, map keys that strictly ascend by their encoded bytes,
//! `false`, `true` and `null` as the only simple values, no floating point, nesting up to [`MAX_DEPTH`], and nothing
//! behind the end. (The decoder of `minicbor` accepts longer forms than needed, such as `18 01` for 1; it is the second
//! opinion in the tests.) [`Writer`] can write nothing else, except that its caller orders map keys.

mod fields;

pub use fields::Fields;

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

/// Reads deterministic CBOR item by item, and stops at the first error.
#[derive(Clone, Debug)]
pub struct Reader<'a>(Fields<'a>);

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
        Self(Fields::new(bytes))
    }

    /// The offset of the next item.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.0.position()
    }

    /// An error of this kind at the next item.
    #[must_use]
    pub const fn error(&self, kind: ErrorKind) -> Error {
        Error { position: self.position(), kind }
    }

    /// Reads an unsigned integer.
    ///
    /// # Errors
    /// If the next item is not one in its shortest form.
    pub fn uint(&mut self) -> Result<u64, Error> {
        self.fields(Fields::uint)
    }

    /// Reads an unsigned integer of one byte's range.
    ///
    /// # Errors
    /// As [`Reader::uint`], or if it is larger.
    pub fn byte(&mut self) -> Result<u8, Error> {
        self.fields(Fields::byte)
    }

    /// Reads a signed integer.
    ///
    /// # Errors
    /// If the next item is not one in its shortest form, or does not fit.
    pub fn int(&mut self) -> Result<i64, Error> {
        self.fields(Fields::int)
    }

    /// Reads a time: seconds since 1970, up to the year 9999.
    ///
    /// # Errors
    /// As [`Reader::uint`], or if it is larger.
    pub fn time(&mut self) -> Result<Time, Error> {
        self.fields(Fields::time)
    }

    /// Reads a byte string.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form.
    pub fn bytes(&mut self) -> Result<&'a [u8], Error> {
        self.fields(Fields::bytes)
    }

    /// Reads a byte string of `N` bytes.
    ///
    /// # Errors
    /// As [`Reader::bytes`], or if its length is another.
    pub fn fixed<const N: usize>(&mut self) -> Result<&'a [u8; N], Error> {
        self.fields(Fields::fixed)
    }

    /// Reads a text string of 1 to `most` bytes, in UTF-8.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form, or is empty or too long.
    pub fn text(&mut self, most: usize) -> Result<&'a str, Error> {
        self.fields(|fields| fields.text(most))
    }

    /// Reads the head of an array and returns how many items follow.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form, or has more than `most` items.
    pub fn array(&mut self, most: u64) -> Result<u64, Error> {
        self.fields(|fields| fields.array(most))
    }

    /// Reads the head of an array of exactly `count` items.
    ///
    /// # Errors
    /// As [`Reader::array`], or if it has fewer.
    pub fn array_of(&mut self, count: u64) -> Result<(), Error> {
        self.fields(|fields| fields.array_of(count))
    }

    /// Reads the head of a map and returns how many pairs follow. The caller checks the order of keys.
    ///
    /// # Errors
    /// If the next item is not one of definite length in its shortest form, or has more than `most` pairs.
    pub fn map(&mut self, most: u64) -> Result<u64, Error> {
        self.fields(|fields| fields.map(most))
    }

    /// Reads the tag `number`.
    ///
    /// # Errors
    /// If the next item is not that tag in its shortest form.
    pub fn tag(&mut self, number: u64) -> Result<(), Error> {
        self.fields(|fields| fields.tag(number))
    }

    /// Reads `null` if that comes next, and says whether it did.
    ///
    /// # Errors
    /// If the bytes have ended.
    pub fn null(&mut self) -> Result<bool, Error> {
        self.fields(Fields::null)
    }

    /// The major type of the next item: 0 unsigned, 1 negative, 2 bytes, 3 text, 4 array, 5 map, 6 tag, 7 simple.
    pub(crate) fn major_type(&mut self) -> Result<u8, Error> {
        self.fields(Fields::major_type)
    }

    /// What is not yet read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0.rest()
    }

    /// Reads any item with all it contains, and returns its encoding.
    ///
    /// # Errors
    /// If it is not deterministic CBOR, or nested deeper than [`MAX_DEPTH`].
    pub fn skip(&mut self) -> Result<&'a [u8], Error> {
        self.fields(Fields::skip)
    }

    /// Ends reading.
    ///
    /// # Errors
    /// If there are bytes left.
    pub fn finish(self) -> Result<(), Error> {
        self.0.finish()
    }

    /// The bytes from offset `start` to the next item.
    #[must_use]
    pub fn read_since(&self, start: usize) -> &'a [u8] {
        self.0.read_since(start)
    }

    /// Reads a text string of any length, in UTF-8.
    pub(crate) fn any_text(&mut self) -> Result<&'a str, Error> {
        self.fields(Fields::any_text)
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
        let significant = argument.get(argument.len().saturating_sub(size)..).unwrap_or_default();
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
