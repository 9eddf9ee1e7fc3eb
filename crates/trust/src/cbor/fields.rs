//! The fields of a form, read one after the other.

use super::{ARRAY, BYTES, Error, ErrorKind, FALSE, MAP, MAX_DEPTH, NEGATIVE, NULL, Reader, TAG, TEXT, TRUE, UINT};
use crate::time::Time;

/// Reads items of deterministic CBOR like [`Reader`], and remembers the first error instead of returning it: whoever
/// reads a form of many fields looks once, at the end ([`check`](Self::check) or [`finish`](Self::finish)).
///
/// After an error nothing more is read: numbers are 0, strings empty, arrays and maps without members.
#[derive(Clone, Debug)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    position: usize,
    error: Option<Error>,
}

impl<'a> Fields<'a> {
    /// Starts at the first of `bytes`.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, position: 0, error: None }
    }

    /// The offset of the next item.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Whether all that was read so far is right.
    ///
    /// # Errors
    /// The first error.
    #[inline]
    pub const fn check(&self) -> Result<(), Error> {
        match self.error {
            None => Ok(()),
            Some(error) => Err(error),
        }
    }

    /// Ends reading.
    ///
    /// # Errors
    /// The first error, or that there are bytes left.
    pub fn finish(mut self) -> Result<(), Error> {
        self.ask(self.position == self.bytes.len(), self.position, ErrorKind::TrailingBytes);
        self.check()
    }

    /// Says that what stands at `position` is wrong.
    #[cold]
    #[inline(never)]
    pub fn refuse(&mut self, position: usize, kind: ErrorKind) {
        if self.error.is_none() {
            self.error = Some(Error { position, kind });
        }
    }

    /// Refuses what stands at `position` unless it is `right`.
    pub fn ask(&mut self, right: bool, position: usize, kind: ErrorKind) {
        if !right {
            self.refuse(position, kind);
        }
    }

    /// The value that was made of the item at `position`; refuses that if there is none.
    pub fn within<T>(&mut self, value: Option<T>, position: usize) -> Option<T> {
        self.ask(value.is_some(), position, ErrorKind::OutOfRange);
        value
    }

    /// Reads an unsigned integer.
    pub fn uint(&mut self) -> u64 {
        self.head(UINT)
    }

    /// Reads an unsigned integer of 32 bits.
    pub fn uint32(&mut self) -> u32 {
        let start = self.position;
        let number = u32::try_from(self.uint()).ok();
        self.within(number, start).unwrap_or_default()
    }

    /// Reads an unsigned integer of 16 bits.
    pub fn uint16(&mut self) -> u16 {
        u16::try_from(self.at_most(u32::from(u16::MAX))).unwrap_or_default()
    }

    /// Reads an unsigned integer of one byte's range.
    pub fn byte(&mut self) -> u8 {
        u8::try_from(self.at_most(u32::from(u8::MAX))).unwrap_or_default()
    }

    /// Reads an unsigned integer of at most `most`.
    pub fn at_most(&mut self, most: u32) -> u32 {
        let start = self.position;
        let number = self.uint32();
        self.ask(number <= most, start, ErrorKind::OutOfRange);
        number
    }

    /// Reads a signed integer.
    pub fn int(&mut self) -> i64 {
        let start = self.position;
        let is_negative = self.major_type() == NEGATIVE;
        let argument = i64::try_from(self.head(if is_negative { NEGATIVE } else { UINT })).ok();
        let argument = self.within(argument, start).unwrap_or_default();
        // Major type 1 carries -1 - n, which is the bitwise complement.
        if is_negative { !argument } else { argument }
    }

    /// Reads a time: seconds since 1970, up to the year 9999.
    pub fn time(&mut self) -> Time {
        let start = self.position;
        let seconds = i64::try_from(self.uint()).ok().filter(|seconds| *seconds <= Time::NEVER.unix());
        Time::from_unix(self.within(seconds, start).unwrap_or_default())
    }

    /// Reads a time or `null`.
    pub fn optional_time(&mut self) -> Option<Time> {
        if self.null() { None } else { Some(self.time()) }
    }

    /// Reads a byte string.
    pub fn bytes(&mut self) -> &'a [u8] {
        let start = self.position;
        let length = self.head(BYTES);
        self.content(start, length)
    }

    /// Reads a byte string of `N` bytes.
    pub fn fixed<const N: usize>(&mut self) -> &'a [u8; N] {
        let start = self.position;
        match self.bytes().try_into() {
            Ok(bytes) => bytes,
            Err(_) => {
                self.refuse(start, ErrorKind::OutOfRange);
                const { &[0; N] }
            }
        }
    }

    /// Reads a byte string of 1 to `most` bytes.
    pub fn bounded(&mut self, most: usize) -> &'a [u8] {
        let start = self.position;
        let bytes = self.bytes();
        self.ask(!bytes.is_empty() && bytes.len() <= most, start, ErrorKind::OutOfRange);
        bytes
    }

    /// Reads a text string of 1 to `most` bytes, in UTF-8.
    pub fn text(&mut self, most: usize) -> &'a str {
        let start = self.position;
        let text = self.any_text();
        self.ask(!text.is_empty() && text.len() <= most, start, ErrorKind::OutOfRange);
        text
    }

    /// Reads the head of an array of at most `most` items and returns how many follow.
    pub fn array(&mut self, most: u64) -> u64 {
        self.counted(ARRAY, most)
    }

    /// Reads the head of an array of exactly `count` items.
    pub fn array_of(&mut self, count: u64) {
        let start = self.position;
        let found = self.head(ARRAY);
        self.ask(found == count, start, ErrorKind::OutOfRange);
    }

    /// Reads the head of a map of at most `most` pairs and returns how many follow. The caller checks the order of keys.
    pub fn map(&mut self, most: u64) -> u64 {
        self.counted(MAP, most)
    }

    /// Reads the tag `number`.
    pub fn tag(&mut self, number: u64) {
        let start = self.position;
        let found = self.head(TAG);
        self.ask(found == number, start, ErrorKind::OutOfRange);
    }

    /// Reads `null` if that comes next, and says whether it did.
    pub fn null(&mut self) -> bool {
        let is_null = self.first() == Some(NULL);
        self.position = self.position.saturating_add(usize::from(is_null));
        is_null
    }

    /// Reads any item with all it contains, nested at most [`MAX_DEPTH`] deep, and returns its encoding.
    pub fn skip(&mut self) -> &'a [u8] {
        let start = self.position;
        self.skip_nested(MAX_DEPTH);
        self.read_since(start)
    }

    /// The bytes from offset `start` to the next item.
    #[must_use]
    pub fn read_since(&self, start: usize) -> &'a [u8] {
        self.bytes.get(start..self.position).unwrap_or_default()
    }

    /// What is not yet read.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// The major type of the next item: 0 unsigned, 1 negative, 2 bytes, 3 text, 4 array, 5 map, 6 tag, 7 simple.
    pub(crate) fn major_type(&mut self) -> u8 {
        self.first().map_or(UINT, |first| first >> 5)
    }

    /// Reads a text string of any length, in UTF-8.
    pub(crate) fn any_text(&mut self) -> &'a str {
        let start = self.position;
        let length = self.head(TEXT);
        let text = core::str::from_utf8(self.content(start, length)).ok();
        self.ask(text.is_some(), start, ErrorKind::WrongType);
        text.unwrap_or_default()
    }

    fn counted(&mut self, major_type: u8, most: u64) -> u64 {
        let start = self.position;
        let count = Some(self.head(major_type)).filter(|count| *count <= most);
        self.within(count, start).unwrap_or_default()
    }

    fn skip_nested(&mut self, depth: u8) {
        let start = self.position;
        let Some(deeper) = depth.checked_sub(1) else { return self.refuse(start, ErrorKind::TooDeep) };
        if matches!(self.first(), Some(FALSE | TRUE | NULL)) {
            self.position = self.position.saturating_add(1);
            return;
        }
        let major_type = self.major_type();
        if major_type == TEXT {
            self.any_text();
            return;
        }
        let argument = self.head(major_type);
        match major_type {
            BYTES => drop(self.content(start, argument)),
            ARRAY | MAP => self.skip_members(argument, major_type == MAP, deeper),
            TAG => self.skip_nested(deeper),
            UINT | NEGATIVE => {}
            // Floating point and simple values.
            _ => self.refuse(start, ErrorKind::WrongType),
        }
    }

    /// Reads over the items of an array or the pairs of a map, whose keys ascend.
    fn skip_members(&mut self, count: u64, are_pairs: bool, depth: u8) {
        let mut last: Option<&'a [u8]> = None;
        for _ in 0..count {
            let start = self.position;
            self.skip_nested(depth);
            if are_pairs {
                let key = Some(self.read_since(start));
                self.ask(last < key, start, ErrorKind::NotAscending);
                last = key;
                self.skip_nested(depth);
            }
            if self.error.is_some() {
                return;
            }
        }
    }

    /// Takes the content of the string that starts at `start` and whose head was read.
    fn content(&mut self, start: usize, length: u64) -> &'a [u8] {
        let length = usize::try_from(length).ok();
        match length.and_then(|length| self.rest().get(..length)) {
            Some(content) => {
                self.position = self.position.saturating_add(content.len());
                content
            }
            None => {
                self.refuse(start, ErrorKind::EndOfInput);
                &[]
            }
        }
    }

    /// The first byte of the next item.
    fn first(&mut self) -> Option<u8> {
        if self.error.is_some() {
            return None;
        }
        let first = self.bytes.get(self.position).copied();
        self.ask(first.is_some(), self.position, ErrorKind::EndOfInput);
        first
    }

    /// Reads the head of an item of this major type: its argument, in the shortest form (RFC 8949 section 3).
    fn head(&mut self, major_type: u8) -> u64 {
        let start = self.position;
        let Some(first) = self.first() else { return 0 };
        let additional = first & 0x1f;
        let (size, least) = match additional {
            _ if first >> 5 != major_type => return self.wrong(start, ErrorKind::WrongType),
            0..=23 => (0, 0),
            24 => (1, 24),
            25 => (2, 0x100),
            26 => (4, 0x1_0000),
            27 => (8, 0x1_0000_0000),
            31 if !matches!(major_type, UINT | NEGATIVE | TAG) => return self.wrong(start, ErrorKind::Indefinite),
            _ => return self.wrong(start, ErrorKind::WrongType),
        };
        self.position = self.position.saturating_add(1);
        if size == 0 {
            return u64::from(additional);
        }
        let bytes = self.content(start, size);
        let argument = bytes.iter().fold(0, |number, byte| (number << 8) | u64::from(*byte));
        // Of major type 7 nothing with an argument is accepted: the caller says so.
        if argument < least && major_type <= TAG { self.wrong(start, ErrorKind::NotShortest) } else { argument }
    }

    fn wrong(&mut self, position: usize, kind: ErrorKind) -> u64 {
        self.refuse(position, kind);
        0
    }
}

impl<'a> Reader<'a> {
    /// Reads several fields at once.
    ///
    /// # Errors
    /// The first error in them.
    pub fn fields<T>(&mut self, read: impl FnOnce(&mut Fields<'a>) -> T) -> Result<T, Error> {
        let value = read(&mut self.0);
        self.0.check().map(|()| value)
    }
}
