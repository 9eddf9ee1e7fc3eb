//! Short texts of DICOM with a known greatest length, kept without a heap.

use std::fmt;

/// At most `N` bytes of text, kept in place. `N` is at most 255.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Text<N> {
    /// The first `N` bytes of `bytes`.
    fn cut(bytes: &[u8]) -> Self {
        let taken = &bytes[..bytes.len().min(N)];
        let mut text = Self { bytes: [0; N], length: u8::try_from(taken.len()).unwrap_or(u8::MAX) };
        text.bytes[..taken.len()].copy_from_slice(taken);
        text
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    /// Whether there is no text.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }
}

impl<const N: usize> fmt::Display for Text<N> {
    /// The text as UTF-8; bytes that are none (another character set) become U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&String::from_utf8_lossy(self.as_bytes()))
    }
}

impl<const N: usize> fmt::Debug for Text<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.to_string())
    }
}

/// A unique identifier (PS3.5 section 9): at most 64 digits and full stops.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Uid(Text<64>);

impl Uid {
    /// An identifier from a field of a message: padding (NUL, space) is taken away; `None` if anything else than digits
    /// and full stops is left, or nothing, or more than 64 bytes.
    #[must_use]
    pub fn from_field(field: &[u8]) -> Option<Self> {
        let text = trim(field, |byte| byte == 0 || byte == b' ');
        let good = (1..=64).contains(&text.len()) && text.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.');
        good.then(|| Self(Text::cut(text)))
    }

    /// The identifier as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A patient's identifier as the images say it (0010,0020): the first 64 bytes.
pub type PatientId = Text<64>;

/// Who gave a patient's identifier, as the images say it (0010,0021): the first 64 bytes.
pub type Issuer = Text<64>;

/// A code, date or time as the images say it (PS3.5 section 6.2: CS, DA, TM, SH): the first 16 bytes.
pub type Short = Text<16>;

/// A short text from a data element; `None` if it is empty.
pub(crate) fn short(field: &[u8]) -> Option<Short> {
    let text: Short = Text::cut(trim(field, |byte| byte == 0 || byte == b' '));
    (!text.is_empty()).then_some(text)
}

/// A patient identifier from a data element.
pub fn patient_id(field: &[u8]) -> PatientId {
    Text::cut(trim(field, |byte| byte == 0 || byte == b' '))
}

/// Who gave a patient's identifier, from a data element; `None` if it is empty.
pub(crate) fn issuer(field: &[u8]) -> Option<Issuer> {
    let text: Issuer = Text::cut(trim(field, |byte| byte == 0 || byte == b' '));
    (!text.is_empty()).then_some(text)
}

/// An application entity title (PS3.5 section 6.2, value representation AE): 1 to 16 printable ASCII characters, no
/// backslash; leading and trailing spaces do not count.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AeTitle(Text<16>);

impl AeTitle {
    /// A title from the 16 bytes of an association request, or from any shorter text. `None` if it is empty, too long or
    /// has a character a title cannot have: a title that two parsers may read differently is no title.
    #[must_use]
    pub fn from_field(field: &[u8]) -> Option<Self> {
        let text = trim(field, |byte| byte == b' ');
        let good =
            (1..=16).contains(&text.len()) && text.iter().all(|byte| (0x20..0x7f).contains(byte) && *byte != b'\\');
        good.then(|| Self(Text::cut(text)))
    }

    /// The title as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for AeTitle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

fn trim(mut text: &[u8], padding: impl Fn(u8) -> bool) -> &[u8] {
    while let Some((first, rest)) = text.split_first()
        && padding(*first)
    {
        text = rest;
    }
    while let Some((last, rest)) = text.split_last()
        && padding(*last)
    {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_are_strict() {
        assert_eq!(AeTitle::from_field(b"  CT1           ").unwrap().as_str(), "CT1");
        assert_eq!(AeTitle::from_field(b"A B").unwrap().as_str(), "A B");
        for bad in [&b"                "[..], b"", b"CT1\0", b"CT\\1", b"CT\xff", b"12345678901234567"] {
            assert_eq!(AeTitle::from_field(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn identifiers_are_strict() {
        assert_eq!(Uid::from_field(b"1.2.840\0").unwrap().as_str(), "1.2.840");
        for bad in [&b""[..], b"\0", b"1.2.x", &[b'1'; 65]] {
            assert_eq!(Uid::from_field(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn text_of_another_character_set_is_shown_and_bounded() {
        assert_eq!(patient_id(b" M\xfcller ").to_string(), "M\u{fffd}ller");
        assert_eq!(patient_id(&[b'x'; 200]).to_string().len(), 64);
    }
}
