//! A strict reader of DER (ITU-T X.690): one encoding for each value, nothing copied, nothing allocated.
//!
//! Everything BER allows and DER does not is refused: indefinite and padded lengths, padded integers, booleans other
//! than `00` and `FF`, unused bits that are set. Tag numbers above 30 do not occur in X.509 and are refused too.
//! The reader has no recursion; only [`well_formed`] descends, to a fixed depth.

use crate::time::Time;
use core::fmt;

/// The deepest nesting [`well_formed`] accepts in a value whose type is not known here.
pub const MAX_DEPTH: usize = 12;

/// The tags that occur in X.509, as their identifier octets.
pub mod tag {
    /// BOOLEAN.
    pub const BOOLEAN: u8 = 0x01;
    /// INTEGER.
    pub const INTEGER: u8 = 0x02;
    /// BIT STRING.
    pub const BIT_STRING: u8 = 0x03;
    /// OCTET STRING.
    pub const OCTET_STRING: u8 = 0x04;
    /// NULL.
    pub const NULL: u8 = 0x05;
    /// OBJECT IDENTIFIER.
    pub const OID: u8 = 0x06;
    /// UTF8String.
    pub const UTF8_STRING: u8 = 0x0c;
    /// SEQUENCE and SEQUENCE OF.
    pub const SEQUENCE: u8 = 0x30;
    /// SET and SET OF.
    pub const SET: u8 = 0x31;
    /// NumericString.
    pub const NUMERIC_STRING: u8 = 0x12;
    /// PrintableString.
    pub const PRINTABLE_STRING: u8 = 0x13;
    /// TeletexString.
    pub const TELETEX_STRING: u8 = 0x14;
    /// IA5String.
    pub const IA5_STRING: u8 = 0x16;
    /// UTCTime.
    pub const UTC_TIME: u8 = 0x17;
    /// GeneralizedTime.
    pub const GENERALIZED_TIME: u8 = 0x18;
    /// VisibleString.
    pub const VISIBLE_STRING: u8 = 0x1a;
    /// UniversalString.
    pub const UNIVERSAL_STRING: u8 = 0x1c;
    /// BMPString.
    pub const BMP_STRING: u8 = 0x1e;

    /// The context-specific primitive tag with this number (0 to 30).
    #[must_use]
    pub const fn context(number: u8) -> u8 {
        0x80 | (number & 0x1f)
    }

    /// The context-specific constructed tag with this number (0 to 30).
    #[must_use]
    pub const fn context_constructed(number: u8) -> u8 {
        0xa0 | (number & 0x1f)
    }
}

/// Why bytes are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The input ends inside a value.
    Truncated,
    /// A length that is indefinite, not in its shortest form, or above 2^32 - 1.
    Length,
    /// Another tag than the one expected, or a tag number above 30.
    Tag {
        /// The identifier octet that was expected; 0 where several would do.
        expected: u8,
        /// The identifier octet that was found.
        found: u8,
    },
    /// Bytes follow where the value should end.
    Trailing,
    /// An integer with no content, with padding, negative where it may not be, or too large.
    Integer,
    /// A boolean other than `00` and `FF`.
    Boolean,
    /// A bit string whose count of unused bits is wrong, or whose unused bits are set.
    BitString,
    /// A NULL with content.
    Null,
    /// An object identifier that is empty, padded, or cut short.
    Oid,
    /// A time in another form than RFC 5280 section 4.1.2.5 gives, or no such date.
    Time,
    /// A string with characters its type does not have.
    String,
    /// Nested deeper than [`MAX_DEPTH`].
    Depth,
    /// A value that equals its default, or is empty where the standard wants at least one member.
    Default,
    /// A SET OF whose members are not in ascending order.
    Order,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Truncated => "the input ends inside a value",
            Self::Length => "a length is not in its shortest definite form",
            Self::Tag { expected, found } => {
                return write!(f, "expected tag {expected:#04x}, found {found:#04x}");
            }
            Self::Trailing => "bytes follow where the value should end",
            Self::Integer => "an integer is padded, out of range or empty",
            Self::Boolean => "a boolean is neither 00 nor FF",
            Self::BitString => "a bit string's unused bits are wrong",
            Self::Null => "a NULL has content",
            Self::Oid => "an object identifier is malformed",
            Self::Time => "a time is not in the form of RFC 5280 section 4.1.2.5",
            Self::String => "a string has characters its type does not have",
            Self::Depth => "values are nested too deep",
            Self::Default => "a value is encoded although it equals its default or is empty",
            Self::Order => "the members of a set are not in order",
        })
    }
}

impl core::error::Error for Error {}

/// One value: its tag, its content, and both with the length between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The identifier octet.
    pub tag: u8,
    /// The content octets.
    pub content: &'a [u8],
    /// Identifier, length and content octets.
    pub encoding: &'a [u8],
}

/// Reads values one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// A reader of these bytes.
    #[must_use]
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Whether all is read.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// What is not yet read.
    #[must_use]
    pub const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The identifier octet of the next value.
    #[must_use]
    pub fn peek(&self) -> Option<u8> {
        self.rest.first().copied()
    }

    /// The next value, whatever it is.
    ///
    /// # Errors
    /// [`Error::Truncated`], [`Error::Length`], or [`Error::Tag`] for a tag number above 30.
    pub fn element(&mut self) -> Result<Element<'a>, Error> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(Error::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(Error::Tag { expected: 0, found: tag });
        }
        let (&first, after_first) = after_tag.split_first().ok_or(Error::Truncated)?;
        let (length, body) = match first {
            0..=0x7f => (usize::from(first), after_first),
            0x81..=0x84 => long_length(usize::from(first & 0x7f), after_first)?,
            0x80 | 0x85..=0xff => return Err(Error::Length),
        };
        let (content, rest) = body.split_at_checked(length).ok_or(Error::Truncated)?;
        let used = self.rest.len().saturating_sub(rest.len());
        let encoding = self.rest.get(..used).ok_or(Error::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, content, encoding })
    }

    /// The content of the next value, which has this tag.
    ///
    /// # Errors
    /// As [`element`](Self::element), and [`Error::Tag`] for another tag.
    pub fn expect(&mut self, tag: u8) -> Result<&'a [u8], Error> {
        Ok(self.expect_element(tag)?.content)
    }

    /// The next value, which has this tag.
    ///
    /// # Errors
    /// As [`expect`](Self::expect).
    pub fn expect_element(&mut self, tag: u8) -> Result<Element<'a>, Error> {
        let found = self.peek().ok_or(Error::Truncated)?;
        if found != tag {
            return Err(Error::Tag { expected: tag, found });
        }
        self.element()
    }

    /// The content of the next value if it has this tag; nothing is read if it has not.
    ///
    /// # Errors
    /// As [`element`](Self::element).
    pub fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, Error> {
        if self.peek() == Some(tag) { Ok(Some(self.element()?.content)) } else { Ok(None) }
    }

    /// A reader of the next value's content; the value has this tag.
    ///
    /// # Errors
    /// As [`expect`](Self::expect).
    pub fn nested(&mut self, tag: u8) -> Result<Self, Error> {
        self.expect(tag).map(Self::new)
    }

    /// Ends reading.
    ///
    /// # Errors
    /// [`Error::Trailing`] if something is left.
    pub const fn finish(self) -> Result<(), Error> {
        if self.rest.is_empty() { Ok(()) } else { Err(Error::Trailing) }
    }

    /// The content octets of an INTEGER in its shortest form; it may be negative.
    ///
    /// # Errors
    /// [`Error::Integer`], and as [`expect`](Self::expect).
    pub fn integer(&mut self) -> Result<&'a [u8], Error> {
        let content = self.expect(tag::INTEGER)?;
        check_integer(content)?;
        Ok(content)
    }

    /// An INTEGER between 0 and 2^32 - 1.
    ///
    /// # Errors
    /// [`Error::Integer`], and as [`expect`](Self::expect).
    pub fn unsigned(&mut self) -> Result<u32, Error> {
        let content = self.expect(tag::INTEGER)?;
        unsigned(content)
    }

    /// A BOOLEAN.
    ///
    /// # Errors
    /// [`Error::Boolean`], and as [`expect`](Self::expect).
    pub fn boolean(&mut self) -> Result<bool, Error> {
        match self.expect(tag::BOOLEAN)? {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(Error::Boolean),
        }
    }

    /// A `BOOLEAN DEFAULT FALSE`: present only when true.
    ///
    /// # Errors
    /// [`Error::Default`] for a FALSE that is written, and as [`boolean`](Self::boolean).
    pub fn boolean_default_false(&mut self) -> Result<bool, Error> {
        if self.peek() != Some(tag::BOOLEAN) {
            return Ok(false);
        }
        if self.boolean()? { Ok(true) } else { Err(Error::Default) }
    }

    /// An OBJECT IDENTIFIER.
    ///
    /// # Errors
    /// [`Error::Oid`], and as [`expect`](Self::expect).
    pub fn oid(&mut self) -> Result<Oid<'a>, Error> {
        Oid::from_content(self.expect(tag::OID)?)
    }

    /// A BIT STRING.
    ///
    /// # Errors
    /// [`Error::BitString`], and as [`expect`](Self::expect).
    pub fn bit_string(&mut self) -> Result<BitString<'a>, Error> {
        BitString::from_content(self.expect(tag::BIT_STRING)?)
    }

    /// A BIT STRING of whole octets, as keys and signatures are written.
    ///
    /// # Errors
    /// [`Error::BitString`], and as [`expect`](Self::expect).
    pub fn octets_in_bit_string(&mut self) -> Result<&'a [u8], Error> {
        let bits = self.bit_string()?;
        if bits.unused == 0 { Ok(bits.bytes) } else { Err(Error::BitString) }
    }

    /// A `Time` of RFC 5280 section 4.1.2.5: UTCTime as `YYMMDDHHMMSSZ`, from 1950 to 2049, or GeneralizedTime as
    /// `YYYYMMDDHHMMSSZ`. Authorities must write years before 2050 as UTCTime; readers must take either.
    ///
    /// # Errors
    /// [`Error::Time`], and as [`element`](Self::element).
    pub fn time(&mut self) -> Result<Time, Error> {
        let element = self.element()?;
        match (element.tag, element.content) {
            (tag::UTC_TIME, [y1, y2, rest @ ..]) => {
                let short = two_digits(*y1, *y2)?;
                let century = if short < 50 { 2000 } else { 1900 };
                rest_of_time(u16::from(short).saturating_add(century), rest)
            }
            (tag::GENERALIZED_TIME, [y1, y2, y3, y4, rest @ ..]) => {
                let century = u16::from(two_digits(*y1, *y2)?).saturating_mul(100);
                rest_of_time(century.saturating_add(u16::from(two_digits(*y3, *y4)?)), rest)
            }
            (tag::UTC_TIME | tag::GENERALIZED_TIME, _) => Err(Error::Time),
            (found, _) => Err(Error::Tag { expected: tag::UTC_TIME, found }),
        }
    }
}

fn long_length(count: usize, after: &[u8]) -> Result<(usize, &[u8]), Error> {
    let (octets, body) = after.split_at_checked(count).ok_or(Error::Truncated)?;
    if octets.first() == Some(&0) {
        return Err(Error::Length);
    }
    let length = octets.iter().fold(0_u32, |value, octet| (value << 8) | u32::from(*octet));
    if length < 0x80 {
        return Err(Error::Length);
    }
    Ok((usize::try_from(length).map_err(|_| Error::Length)?, body))
}

fn check_integer(content: &[u8]) -> Result<(), Error> {
    match content {
        [] => Err(Error::Integer),
        [0x00, second, ..] if *second < 0x80 => Err(Error::Integer),
        [0xff, second, ..] if *second >= 0x80 => Err(Error::Integer),
        _ => Ok(()),
    }
}

/// The value of an INTEGER's content octets, between 0 and 2^32 - 1.
///
/// # Errors
/// [`Error::Integer`] if it is padded, negative or larger.
pub fn unsigned(content: &[u8]) -> Result<u32, Error> {
    check_integer(content)?;
    let digits = match content {
        [first, ..] if *first >= 0x80 => return Err(Error::Integer),
        [0, rest @ ..] => rest,
        all => all,
    };
    if digits.len() > 4 {
        return Err(Error::Integer);
    }
    Ok(digits.iter().fold(0, |value, octet| (value << 8) | u32::from(*octet)))
}

fn two_digits(tens: u8, ones: u8) -> Result<u8, Error> {
    if !tens.is_ascii_digit() || !ones.is_ascii_digit() {
        return Err(Error::Time);
    }
    Ok(tens.wrapping_sub(b'0').wrapping_mul(10).wrapping_add(ones.wrapping_sub(b'0')))
}

fn rest_of_time(year: u16, rest: &[u8]) -> Result<Time, Error> {
    let [mo1, mo2, d1, d2, h1, h2, mi1, mi2, s1, s2, b'Z'] = rest else {
        return Err(Error::Time);
    };
    Time::from_utc(
        year,
        two_digits(*mo1, *mo2)?,
        two_digits(*d1, *d2)?,
        two_digits(*h1, *h2)?,
        two_digits(*mi1, *mi2)?,
        two_digits(*s1, *s2)?,
    )
    .ok_or(Error::Time)
}

/// A string of bits; bit 0 is the most significant one of the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BitString<'a> {
    bytes: &'a [u8],
    unused: u8,
}

impl<'a> BitString<'a> {
    /// A bit string from its content octets.
    ///
    /// # Errors
    /// [`Error::BitString`] if the count of unused bits is above 7, has no byte to stand in, or such a bit is set.
    pub fn from_content(content: &'a [u8]) -> Result<Self, Error> {
        let (&unused, bytes) = content.split_first().ok_or(Error::BitString)?;
        let last = bytes.last().copied();
        let mask = match unused {
            0..=7 => !(0xff_u8 << unused),
            8..=u8::MAX => return Err(Error::BitString),
        };
        match last {
            None if unused != 0 => Err(Error::BitString),
            Some(last) if last & mask != 0 => Err(Error::BitString),
            None | Some(_) => Ok(Self { bytes, unused }),
        }
    }

    /// The bytes, the unused bits of the last one being zero.
    #[must_use]
    pub const fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// How many bits of the last byte do not count.
    #[must_use]
    pub const fn unused(&self) -> u8 {
        self.unused
    }

    /// A list of named bits as a number, named bit `n` being bit `n` of it (X.690 section 11.2.2).
    ///
    /// # Errors
    /// [`Error::BitString`] if there are more than 32 bits, or zero bits at the end that should have been cut off.
    pub fn named_bits(&self) -> Result<u32, Error> {
        let unused = u32::from(self.unused);
        match self.bytes.last() {
            None => return Ok(0),
            Some(last) if last.trailing_zeros() != unused => return Err(Error::BitString),
            Some(_) if self.bytes.len() > 4 => return Err(Error::BitString),
            Some(_) => {}
        }
        let octets = self.bytes.iter().rev();
        Ok(octets.fold(0, |bits, octet| (bits << 8) | u32::from(octet.reverse_bits())))
    }
}

/// An object identifier, as its content octets.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Oid<'a>(&'a [u8]);

impl<'a> Oid<'a> {
    /// The most content octets an object identifier has here. The longest that X.509 uses have 20 (a 2.25 arc).
    pub const MAX_LENGTH: usize = 63;

    /// An identifier that is known to be well formed, as a constant.
    pub(crate) const fn known(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// An identifier from its content octets.
    ///
    /// # Errors
    /// [`Error::Oid`] if it is empty, longer than [`MAX_LENGTH`](Self::MAX_LENGTH), cut short, or an arc is padded.
    pub fn from_content(content: &'a [u8]) -> Result<Self, Error> {
        let mut starts = true;
        for octet in content {
            if starts && *octet == 0x80 {
                return Err(Error::Oid);
            }
            starts = octet & 0x80 == 0;
        }
        if content.is_empty() || content.len() > Self::MAX_LENGTH || !starts {
            return Err(Error::Oid);
        }
        Ok(Self(content))
    }

    /// The content octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Display for Oid<'_> {
    /// Dotted decimal; an arc above 2^128 - 1 as `0x…`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut first = true;
        for arc in self.0.split_inclusive(|octet| octet & 0x80 == 0) {
            // 18 groups of 7 bits are 126 bits; a 19th may bring 2 more.
            let fits = arc.len() <= 18 || (arc.len() == 19 && arc.first().is_some_and(|top| top & 0x7f < 4));
            let number = arc.iter().fold(0_u128, |value, octet| (value << 7) | u128::from(octet & 0x7f));
            match (first, fits) {
                (true, true) if number < 40 => write!(f, "0.{number}")?,
                (true, true) if number < 80 => write!(f, "1.{}", number.saturating_sub(40))?,
                (true, true) => write!(f, "2.{}", number.saturating_sub(80))?,
                (false, true) => write!(f, ".{number}")?,
                (first, false) => {
                    f.write_str(if first { "0x" } else { ".0x" })?;
                    arc.iter().try_for_each(|octet| write!(f, "{octet:02x}"))?;
                }
            }
            first = false;
        }
        Ok(())
    }
}

impl fmt::Debug for Oid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Oid({self})")
    }
}

/// Checks that `bytes` are exactly one DER value, all the way down: for values whose type is not known here.
///
/// # Errors
/// The first thing that is wrong; [`Error::Depth`] beyond [`MAX_DEPTH`].
pub fn well_formed(bytes: &[u8]) -> Result<(), Error> {
    let mut reader = Reader::new(bytes);
    let element = reader.element()?;
    reader.finish()?;
    check_element(element, MAX_DEPTH)
}

fn check_element(element: Element<'_>, depth: usize) -> Result<(), Error> {
    const CONSTRUCTED: u8 = 0x20;
    const UNIVERSAL_LIMIT: u8 = 0x40;
    let content = element.content;
    match element.tag {
        tag::BOOLEAN => Reader::new(element.encoding).boolean().map(drop),
        tag::INTEGER => check_integer(content),
        tag::BIT_STRING => BitString::from_content(content).map(drop),
        tag::NULL if !content.is_empty() => Err(Error::Null),
        tag::OID => Oid::from_content(content).map(drop),
        tag::UTF8_STRING => core::str::from_utf8(content).map(drop).map_err(|_| Error::String),
        // Only SEQUENCE and SET are constructed among the universal types; strings in pieces are BER.
        tag::SEQUENCE | tag::SET => check_members(content, depth),
        found if found < UNIVERSAL_LIMIT && found & CONSTRUCTED != 0 => Err(Error::Tag { expected: 0, found }),
        found if found & CONSTRUCTED != 0 => check_members(content, depth),
        _ => Ok(()),
    }
}

fn check_members(content: &[u8], depth: usize) -> Result<(), Error> {
    let depth = depth.checked_sub(1).ok_or(Error::Depth)?;
    let mut reader = Reader::new(content);
    while !reader.is_empty() {
        check_element(reader.element()?, depth)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{string::ToString, vec, vec::Vec};

    fn first<T>(bytes: &[u8], read: impl Fn(&mut Reader<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let mut reader = Reader::new(bytes);
        let value = read(&mut reader)?;
        reader.finish()?;
        Ok(value)
    }

    #[test]
    fn a_length_has_one_form() {
        let element = |bytes: &[u8]| first(bytes, |reader| reader.element().map(|element| element.content.len()));
        let long = |head: &[u8], length: usize| [head, &vec![0; length]].concat();
        assert_eq!(element(&long(&[4, 0x7f], 0x7f)), Ok(0x7f));
        assert_eq!(element(&long(&[4, 0x81, 0x80], 0x80)), Ok(0x80));
        assert_eq!(element(&long(&[4, 0x82, 1, 0], 0x100)), Ok(0x100));
        for padded in [&[4, 0x81, 0x7f][..], &[4, 0x82, 0, 0x80], &[4, 0x84, 0, 0, 1, 0], &[4, 0x80], &[4, 0x85]] {
            assert_eq!(element(&long(padded, 0x100)), Err(Error::Length), "{padded:02x?}");
        }
        for cut in [&[][..], &[4], &[4, 1], &[4, 0x82, 1], &[4, 0x84, 0xff, 0xff, 0xff, 0xff, 0]] {
            assert_eq!(element(cut), Err(Error::Truncated), "{cut:02x?}");
        }
        assert_eq!(element(&[4, 0, 0]), Err(Error::Trailing));
        assert_eq!(element(&[0x1f, 0x20, 0]), Err(Error::Tag { expected: 0, found: 0x1f }));
    }

    #[test]
    fn integers_are_as_short_as_they_can_be() {
        assert_eq!(unsigned(&[0]), Ok(0));
        assert_eq!(unsigned(&[0, 0x80]), Ok(0x80));
        assert_eq!(unsigned(&[0, 0xff, 0xff, 0xff, 0xff]), Ok(u32::MAX));
        for wrong in [&[][..], &[0, 0], &[0, 0x7f], &[0x80], &[0xff, 0x80], &[1, 0, 0, 0, 0]] {
            assert_eq!(unsigned(wrong), Err(Error::Integer), "{wrong:02x?}");
        }
        assert_eq!(first(&[2, 2, 0xff, 0x7f], |reader| reader.integer().map(<[u8]>::len)), Ok(2), "-129");
    }

    #[test]
    fn a_boolean_is_00_or_ff_and_a_default_is_not_written() {
        let boolean = |bytes: &[u8]| first(bytes, |reader| reader.boolean());
        assert_eq!(boolean(&[1, 1, 0]), Ok(false));
        assert_eq!(boolean(&[1, 1, 0xff]), Ok(true));
        assert_eq!(boolean(&[1, 1, 1]), Err(Error::Boolean));
        assert_eq!(boolean(&[1, 2, 0, 0]), Err(Error::Boolean));
        let with_default = |bytes: &[u8]| first(bytes, |reader| reader.boolean_default_false());
        assert_eq!(with_default(&[]), Ok(false));
        assert_eq!(with_default(&[1, 1, 0]), Err(Error::Default));
    }

    #[test]
    fn unused_bits_are_zero_and_named_bits_have_no_zeros_at_the_end() {
        let bits = |content: &'static [u8]| BitString::from_content(content);
        assert!(bits(&[0]).is_ok());
        assert!(bits(&[7, 0x80]).is_ok());
        for wrong in [&[][..], &[1], &[8, 0], &[1, 0x01], &[7, 0x40]] {
            assert_eq!(bits(wrong), Err(Error::BitString), "{wrong:02x?}");
        }
        assert_eq!(bits(&[5, 0xa0]).and_then(|bits| bits.named_bits()), Ok(0b101));
        assert_eq!(bits(&[7, 0, 0x80]).and_then(|bits| bits.named_bits()), Ok(1 << 8));
        assert_eq!(bits(&[4, 0xa0]).and_then(|bits| bits.named_bits()), Err(Error::BitString));
        assert_eq!(bits(&[0, 1, 0]).and_then(|bits| bits.named_bits()), Err(Error::BitString));
        assert_eq!(bits(&[7, 0, 0, 0, 0, 0x80]).and_then(|bits| bits.named_bits()), Err(Error::BitString));
    }

    #[test]
    fn times_have_seconds_and_end_in_z() {
        let time = |tag: u8, text: &str| {
            let head = [tag, u8::try_from(text.len()).unwrap()];
            first(&[&head, text.as_bytes()].concat(), |reader| reader.time()).map(|time| time.to_string())
        };
        assert_eq!(time(tag::UTC_TIME, "491231235959Z"), Ok("2049-12-31T23:59:59Z".into()));
        assert_eq!(time(tag::UTC_TIME, "500101000000Z"), Ok("1950-01-01T00:00:00Z".into()));
        assert_eq!(time(tag::GENERALIZED_TIME, "20500101000000Z"), Ok("2050-01-01T00:00:00Z".into()));
        for (tag, wrong) in [
            (tag::UTC_TIME, "4912312359Z"),
            (tag::UTC_TIME, "491231235959+0000"),
            (tag::UTC_TIME, "490230000000Z"),
            (tag::UTC_TIME, "49123123595 Z"),
            (tag::GENERALIZED_TIME, "20491231235959.5Z"),
            (tag::GENERALIZED_TIME, "20491231235960Z"),
            (tag::GENERALIZED_TIME, "20491231235959"),
        ] {
            assert_eq!(time(tag, wrong), Err(Error::Time), "{wrong}");
        }
    }

    #[test]
    fn object_identifiers_are_shown_dotted_and_padded_arcs_refused() {
        let oid = |content: &'static [u8]| Oid::from_content(content).map(|oid| oid.to_string());
        assert_eq!(oid(&[0x88, 0x37, 3]), Ok("2.999.3".into()));
        assert_eq!(oid(&[0x27]), Ok("0.39".into()));
        assert_eq!(oid(&[0x4f]), Ok("1.39".into()));
        for wrong in [&[][..], &[0x80, 1], &[0x2a, 0x80, 1], &[0x2a, 0x81], &[1; Oid::MAX_LENGTH + 1]] {
            assert_eq!(oid(wrong), Err(Error::Oid), "{wrong:02x?}");
        }
        let huge: Vec<u8> = [&[0x2a][..], &[0xff; 19], &[0x7f]].concat();
        assert!(Oid::from_content(&huge).unwrap().to_string().starts_with("1.2.0xffff"));
    }

    #[test]
    fn nesting_ends_somewhere() {
        let nested = |depth: usize| {
            (0..depth).fold(vec![5, 0], |inner, _| {
                [&[tag::SEQUENCE, u8::try_from(inner.len()).unwrap()], &inner[..]].concat()
            })
        };
        assert_eq!(well_formed(&nested(MAX_DEPTH)), Ok(()));
        assert_eq!(well_formed(&nested(MAX_DEPTH + 1)), Err(Error::Depth));
        assert_eq!(well_formed(&[0x24, 2, 4, 0]), Err(Error::Tag { expected: 0, found: 0x24 }), "a string in pieces");
        assert_eq!(well_formed(&[0x30, 3, 5, 1, 0]), Err(Error::Null));
        assert_eq!(well_formed(&[0xa0, 3, 1, 1, 2]), Err(Error::Boolean));
    }
}
