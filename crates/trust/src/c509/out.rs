//! Where encodings go: a reader of pieces, or nobody, when only the length is asked.

use crate::{
    cbor::Head,
    der::{Reader, tag},
};

/// Takes an encoding piece by piece, and counts.
///
/// The length of a DER value stands in front of it. Where there is no buffer the content is therefore written twice,
/// first to nobody; counting costs an addition a piece. Into a buffer it is written once and then moved behind its head,
/// and where the result is only compared the heads are read from what is expected.
pub(crate) struct Out<'o> {
    to: To<'o>,
    length: usize,
}

/// Who reads the pieces.
type Feed<'o> = &'o mut dyn FnMut(&[u8]);

enum To<'o> {
    Nobody,
    Reader(Feed<'o>),
    /// A buffer, and how a number of bytes at the end of a part of it is moved to the part's beginning. (As a pointer, so
    /// that a device that converts nothing does not carry it.)
    Buffer(&'o mut [u8], fn(&mut [u8], usize)),
    /// What is expected and not yet there; nothing after the first difference.
    Expected(Option<&'o [u8]>),
}

/// Something that writes itself, the same each time.
pub(crate) type Part<'p> = &'p dyn Fn(&mut Out<'_>);

impl<'o> Out<'o> {
    pub(crate) fn new(to: Feed<'o>) -> Self {
        Self { to: To::Reader(to), length: 0 }
    }

    /// How many bytes `part` has.
    pub(crate) fn measure(part: Part<'_>) -> usize {
        let mut out = Out { to: To::Nobody, length: 0 };
        part(&mut out);
        out.length
    }

    /// Whether `part` writes exactly `expected`.
    pub(crate) fn is_exactly(expected: &'o [u8], part: Part<'_>) -> bool {
        let mut out = Out { to: To::Expected(Some(expected)), length: 0 };
        part(&mut out);
        matches!(out.to, To::Expected(Some([])))
    }

    /// Writes `part` to the beginning of `buffer`, moving what stands behind a head. `None` if it does not fit.
    pub(crate) fn into_buffer<'b>(buffer: &'b mut [u8], part: Part<'_>) -> Option<&'b [u8]> {
        let mut out = Out { to: To::Buffer(&mut *buffer, move_to_front), length: 0 };
        part(&mut out);
        let length = out.length;
        buffer.get(..length)
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        let start = self.length;
        self.length = start.saturating_add(bytes.len());
        match &mut self.to {
            To::Nobody => {}
            To::Reader(to) => to(bytes),
            To::Buffer(buffer, _) => {
                let here = buffer.get_mut(start..self.length).unwrap_or_default();
                here.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            }
            To::Expected(rest) => *rest = rest.and_then(|rest| rest.strip_prefix(bytes)),
        }
    }

    /// A DER value with content in one piece.
    pub(crate) fn der(&mut self, tag: u8, content: &[u8]) {
        self.der_head(tag, content.len());
        self.bytes(content);
    }

    /// A DER value whose content `part` writes.
    pub(crate) fn der_of(&mut self, tag: u8, part: Part<'_>) {
        let before = self.length;
        match &mut self.to {
            To::Reader(_) => {
                self.der_head(tag, Self::measure(part));
                part(self);
            }
            To::Nobody | To::Buffer(..) => {
                part(self);
                let end = self.length;
                self.der_head(tag, end.saturating_sub(before));
                let head = self.length.saturating_sub(end);
                if let To::Buffer(buffer, to_front) = &mut self.to
                    && let Some(whole) = buffer.get_mut(before..self.length)
                {
                    to_front(whole, head);
                }
            }
            To::Expected(rest) => {
                let mut reader = Reader::new(rest.unwrap_or_default());
                let Some(element) = reader.expect_element(tag).ok() else {
                    *rest = None;
                    return;
                };
                *rest = Some(element.content);
                part(self);
                let all = matches!(self.to, To::Expected(Some([])));
                self.to = To::Expected(all.then_some(reader.rest()));
            }
        }
    }

    fn der_head(&mut self, tag: u8, length: usize) {
        let [.., b3, b2, b1, b0] = length.to_be_bytes();
        match (b3, b2, b1, b0) {
            (0, 0, 0, 0..=0x7f) => self.bytes(&[tag, b0]),
            (0, 0, 0, _) => self.bytes(&[tag, 0x81, b0]),
            (0, 0, _, _) => self.bytes(&[tag, 0x82, b1, b0]),
            (0, _, _, _) => self.bytes(&[tag, 0x83, b2, b1, b0]),
            _ => self.bytes(&[tag, 0x84, b3, b2, b1, b0]),
        }
    }

    /// An `INTEGER` that is not negative, from its octets without zeros in front.
    pub(crate) fn der_unsigned(&mut self, tag: u8, magnitude: &[u8]) {
        let with_zero = magnitude.first().is_none_or(|first| *first >= 0x80);
        self.der_head(tag, magnitude.len().saturating_add(usize::from(with_zero)));
        if with_zero {
            self.bytes(&[0]);
        }
        self.bytes(magnitude);
    }

    /// A small `INTEGER`.
    pub(crate) fn der_number(&mut self, tag: u8, number: u32) {
        self.der_unsigned(tag, strip_zeros(&number.to_be_bytes()));
    }

    /// A `BIT STRING` of named bits, named bit `n` being bit `n` of `bits`.
    pub(crate) fn der_bits(&mut self, tag: u8, bits: u32) {
        let octets = bits.to_le_bytes().map(u8::reverse_bits);
        let used = usize::try_from(32_u32.saturating_sub(bits.leading_zeros()).div_ceil(8)).unwrap_or_default();
        let octets = octets.get(..used).unwrap_or_default();
        let unused = octets.last().map_or(0, |last| last.trailing_zeros());
        self.der_head(tag, used.saturating_add(1));
        self.bytes(&[u8::try_from(unused).unwrap_or_default()]);
        self.bytes(octets);
    }

    /// A `BIT STRING` of whole octets, whose content `part` writes.
    pub(crate) fn der_octets_in_bits(&mut self, part: Part<'_>) {
        self.der_of(tag::BIT_STRING, &|out| {
            out.bytes(&[0]);
            part(out);
        });
    }

    /// The head of a CBOR item.
    pub(crate) fn head(&mut self, major_type: u8, argument: u64) {
        self.bytes(Head::new(major_type, argument).as_bytes());
    }

    pub(crate) fn int(&mut self, value: i64) {
        if value < 0 { self.head(1, (!value).unsigned_abs()) } else { self.head(0, value.unsigned_abs()) }
    }

    pub(crate) fn byte_string(&mut self, bytes: &[u8]) {
        self.head(2, bytes.len() as u64);
        self.bytes(bytes);
    }

    pub(crate) fn text(&mut self, text: &[u8]) {
        self.head(3, text.len() as u64);
        self.bytes(text);
    }

    pub(crate) fn array(&mut self, count: usize) {
        self.head(4, count as u64);
    }

    pub(crate) fn null(&mut self) {
        self.bytes(&[0xf6]);
    }
}

/// Moves the last `count` bytes to the front.
fn move_to_front(bytes: &mut [u8], count: usize) {
    bytes.rotate_right(count.min(bytes.len()));
}

/// A number's octets without the zeros in front; none of zero.
pub(crate) fn strip_zeros(octets: &[u8]) -> &[u8] {
    let zeros = octets.iter().take_while(|octet| **octet == 0).fold(0_usize, |count, _| count.saturating_add(1));
    octets.get(zeros..).unwrap_or_default()
}

/// Fills a slice from its beginning.
pub(crate) struct Filled<'o> {
    rest: &'o mut [u8],
    fits: bool,
}

impl<'o> Filled<'o> {
    pub(crate) fn new(out: &'o mut [u8]) -> Self {
        Self { rest: out, fits: true }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) {
        match core::mem::take(&mut self.rest).split_at_mut_checked(piece.len()) {
            Some((here, rest)) => {
                here.iter_mut().zip(piece).for_each(|(to, from)| *to = *from);
                self.rest = rest;
            }
            None => self.fits = false,
        }
    }

    /// How many bytes are left; `None` if it did not all fit.
    pub(crate) fn left(&self) -> Option<usize> {
        self.fits.then_some(self.rest.len())
    }
}

/// Writes `part` to the beginning of `out`. `None` if it does not fit.
pub(crate) fn into_slice<'o>(out: &'o mut [u8], part: Part<'_>) -> Option<&'o [u8]> {
    let capacity = out.len();
    let mut filled = Filled::new(out);
    part(&mut Out::new(&mut |piece| filled.push(piece)));
    let length = capacity.checked_sub(filled.left()?)?;
    out.get(..length)
}
