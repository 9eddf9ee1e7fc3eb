//! Data elements out of a stream of fragments: the few that are wanted, in bounded memory.

use crate::dicom::text::Uid;

/// A tag: group and element in one number.
pub type Tag = u32;

const ITEM: Tag = 0xfffe_e000;
const ITEM_END: Tag = 0xfffe_e00d;
const SEQUENCE_END: Tag = 0xfffe_e0dd;
const UNDEFINED: u32 = u32::MAX;

/// Value representations whose explicit form has two reserved bytes and four bytes of length (PS3.5 table 7.1-1).
const LONG: [&[u8; 2]; 13] =
    [b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"];

/// Sequences inside sequences that are followed. Real objects nest fewer than ten.
const MAX_DEPTH: u8 = 32;
/// Elements looked at in one data set before the follower gives up. What is wanted is among the first fifty or so; whole
/// functional groups of a multi-frame image come after it.
const MAX_ELEMENTS: u16 = 4096;
/// Bytes kept of a value: a UID and a patient identifier have at most 64.
const VALUE: usize = 64;

/// How elements are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// Implicit value representation, little endian: every command set, and many data sets.
    Implicit,
    /// Explicit value representation, little endian.
    Explicit,
    /// Explicit value representation, big endian.
    BigEndian,
    /// Not to be read in passing: deflated, or a transfer syntax with no DICOM encoding.
    Opaque,
}

impl Encoding {
    /// How data sets of this transfer syntax are written (PS3.5 section 10 and annex A).
    #[must_use]
    pub fn of(transfer_syntax: &Uid) -> Self {
        match transfer_syntax.as_str() {
            "1.2.840.10008.1.2" => Self::Implicit,
            "1.2.840.10008.1.2.2" => Self::BigEndian,
            // Deflated data sets: general, JPIP referenced, JPIP HTJ2K referenced.
            "1.2.840.10008.1.2.1.99" | "1.2.840.10008.1.2.4.95" | "1.2.840.10008.1.2.4.205" => Self::Opaque,
            standard if standard.starts_with("1.2.840.10008.1.2.") => Self::Explicit,
            _ => Self::Opaque,
        }
    }
}

/// Follows the elements of one command or data set.
#[derive(Clone, Debug)]
pub struct Elements {
    encoding: Encoding,
    last_wanted: Tag,
    step: Step,
    depth: u8,
    looked_at: u16,
}

#[derive(Clone, Debug)]
enum Step {
    Header { bytes: [u8; 12], have: u8 },
    Skip { rest: u32 },
    Value { tag: Tag, bytes: [u8; VALUE], have: u8, rest: u32 },
    Done,
}

const FRESH: Step = Step::Header { bytes: [0; 12], have: 0 };

impl Elements {
    /// A follower that stops looking behind `last_wanted`: elements come in the order of their tags.
    #[must_use]
    pub fn new(encoding: Encoding, last_wanted: Tag) -> Self {
        let step = if encoding == Encoding::Opaque { Step::Done } else { FRESH };
        Self { encoding, last_wanted, step, depth: 0, looked_at: 0 }
    }

    /// Whether nothing more will be found.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.step, Step::Done)
    }

    /// Follows the next bytes; `wanted` picks elements of the outermost level, `found` gets the first 64 bytes of each.
    pub fn feed(&mut self, mut data: &[u8], wanted: fn(Tag) -> bool, found: &mut impl FnMut(Tag, &[u8])) {
        while !data.is_empty() {
            match &mut self.step {
                Step::Done => return,
                Step::Skip { rest } => {
                    let taken = data.len().min(*rest as usize);
                    data = &data[taken..];
                    *rest -= u32::try_from(taken).unwrap_or(*rest);
                    if *rest == 0 {
                        self.step = FRESH;
                    }
                }
                Step::Value { tag, bytes, have, rest } => {
                    let taken = data.len().min(*rest as usize);
                    let kept = taken.min(VALUE - usize::from(*have));
                    bytes[usize::from(*have)..usize::from(*have) + kept].copy_from_slice(&data[..kept]);
                    *have += u8::try_from(kept).unwrap_or(0);
                    data = &data[taken..];
                    *rest -= u32::try_from(taken).unwrap_or(*rest);
                    if *rest == 0 {
                        found(*tag, &bytes[..usize::from(*have)]);
                        self.step = FRESH;
                    }
                }
                Step::Header { bytes, have } => {
                    bytes[usize::from(*have)] = data[0];
                    *have += 1;
                    data = &data[1..];
                    let (bytes, have) = (*bytes, *have);
                    if let Some(header) = parse(&bytes[..usize::from(have)], self.encoding) {
                        self.step = self.enter(header, wanted, found);
                    }
                }
            }
        }
    }

    /// What follows a header.
    fn enter(&mut self, header: Option<Header>, wanted: fn(Tag) -> bool, found: &mut impl FnMut(Tag, &[u8])) -> Step {
        let Some(Header { tag, length, nests }) = header else { return Step::Done };
        self.looked_at += 1;
        if self.looked_at >= MAX_ELEMENTS || (self.depth == 0 && tag > self.last_wanted) {
            return Step::Done;
        }
        match (tag, length) {
            (ITEM_END | SEQUENCE_END, _) => match self.depth.checked_sub(1) {
                Some(depth) => {
                    self.depth = depth;
                    FRESH
                }
                None => Step::Done,
            },
            (_, UNDEFINED) if nests && self.depth < MAX_DEPTH => {
                self.depth += 1;
                FRESH
            }
            (_, UNDEFINED) => Step::Done,
            (_, 0) => {
                if self.depth == 0 && wanted(tag) {
                    found(tag, &[]);
                }
                FRESH
            }
            (_, rest) if self.depth == 0 && wanted(tag) => Step::Value { tag, bytes: [0; VALUE], have: 0, rest },
            (_, rest) => Step::Skip { rest },
        }
    }
}

struct Header {
    tag: Tag,
    length: u32,
    /// Whether an undefined length means items that can be followed.
    nests: bool,
}

/// Reads an element's header: `None` if there are too few bytes, `Some(None)` if it is none.
fn parse(bytes: &[u8], encoding: Encoding) -> Option<Option<Header>> {
    let short = |at: usize| -> Option<u16> {
        let pair: [u8; 2] = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(if encoding == Encoding::BigEndian { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) })
    };
    let long = |at: usize| -> Option<u32> {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(if encoding == Encoding::BigEndian { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    };
    let tag = Tag::from(short(0)?) << 16 | Tag::from(short(2)?);
    if encoding == Encoding::Implicit || matches!(tag, ITEM | ITEM_END | SEQUENCE_END) {
        return Some(Some(Header { tag, length: long(4)?, nests: true }));
    }
    let representation: [u8; 2] = bytes.get(4..6)?.try_into().ok()?;
    if !representation.iter().all(u8::is_ascii_uppercase) {
        return Some(None);
    }
    if LONG.contains(&&representation) {
        // UN of undefined length holds items in implicit form (PS3.5 section 6.2.2): not followed.
        Some(Some(Header { tag, length: long(8)?, nests: &representation == b"SQ" }))
    } else {
        Some(Some(Header { tag, length: u32::from(short(6)?), nests: false }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STUDY: Tag = 0x0020_000d;

    fn study(encoding: Encoding, data: &[u8], step: usize) -> Option<String> {
        let mut elements = Elements::new(encoding, STUDY);
        let mut result = None;
        for chunk in data.chunks(step) {
            elements.feed(chunk, |tag| tag == STUDY, &mut |_, value| {
                result = Some(String::from_utf8_lossy(value).into_owned());
            });
        }
        result
    }

    #[test]
    fn sequences_of_undefined_length_are_passed() {
        let mut explicit = Vec::new();
        explicit.extend_from_slice(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff");
        explicit.extend_from_slice(b"\xfe\xff\x00\xe0\xff\xff\xff\xff");
        explicit.extend_from_slice(b"\x20\x00\x0d\x00UI\x02\x009\0");
        explicit.extend_from_slice(b"\xfe\xff\x0d\xe0\0\0\0\0\xfe\xff\xdd\xe0\0\0\0\0");
        explicit.extend_from_slice(b"\x08\x00\x41\x11SQ\0\0\x02\0\0\0xx");
        explicit.extend_from_slice(b"\x20\x00\x0d\x00UI\x04\x001.2\0");
        for step in 1..explicit.len() {
            assert_eq!(study(Encoding::Explicit, &explicit, step).as_deref(), Some("1.2\0"), "{step}");
        }
    }

    #[test]
    fn implicit_and_big_endian_are_read() {
        assert_eq!(study(Encoding::Implicit, b"\x20\x00\x0d\x00\x04\0\0\x001.2\0", 3).as_deref(), Some("1.2\0"));
        assert_eq!(study(Encoding::BigEndian, b"\x00\x20\x00\x0dUI\x00\x041.2\0", 3).as_deref(), Some("1.2\0"));
        assert_eq!(study(Encoding::Opaque, b"\x20\x00\x0d\x00\x04\0\0\x001.2\0", 3), None);
    }

    #[test]
    fn nonsense_ends_the_search() {
        let mut elements = Elements::new(Encoding::Explicit, STUDY);
        elements.feed(b"\x08\x00\x40\x11\x01\x02", |_| true, &mut |_, _| panic!());
        assert!(elements.is_done());
        let mut elements = Elements::new(Encoding::Explicit, STUDY);
        for _ in 0..100 {
            elements.feed(b"\x08\x00\x40\x11SQ\0\0\xff\xff\xff\xff", |_| true, &mut |_, _| panic!());
        }
        assert!(elements.is_done());
        let mut elements = Elements::new(Encoding::Implicit, STUDY);
        for _ in 0..MAX_ELEMENTS {
            elements.feed(b"\x08\x00\x40\x11\0\0\0\0", |_| false, &mut |_, _| panic!());
        }
        assert!(elements.is_done());
    }

    #[test]
    fn transfer_syntaxes_name_their_encoding() {
        let of = |text: &str| Encoding::of(&Uid::from_field(text.as_bytes()).unwrap());
        assert_eq!(of("1.2.840.10008.1.2"), Encoding::Implicit);
        assert_eq!(of("1.2.840.10008.1.2.1"), Encoding::Explicit);
        assert_eq!(of("1.2.840.10008.1.2.4.50"), Encoding::Explicit);
        assert_eq!(of("1.2.840.10008.1.2.1.99"), Encoding::Opaque);
        assert_eq!(of("1.2.840.10008.1.2.2"), Encoding::BigEndian);
        assert_eq!(of("1.3.46.670589"), Encoding::Opaque);
    }
}
