//! What an authority may vouch for beside roles and device types: names, and the envelopes of its maker.

use super::MAX_DEVICE_TYPES;
use crate::cbor::{Fields, Writer};
use crate::id::DeviceName;
use crate::role::DeviceType;
use minicbor::encode::Write;

/// The most prefixes of names for one authority: a maker has a few product lines, a site a few departments.
pub const MAX_PREFIXES: usize = 8;
/// Bytes of one envelope in a list: a device type, and the SHA-256 of the envelope.
const ENVELOPE: usize = 34;

/// The device names that an authority may vouch for: all, or those that begin in one of some ways. Borrowed: they stay
/// where they were signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a>(Option<&'a [u8]>);

impl<'a> Names<'a> {
    /// Every name.
    pub const EVERY: Self = Self(None);

    /// The names that begin with one of these prefixes, encoded by [`Names::encode`]; `None` if they are anything else.
    #[must_use]
    pub fn listed(encoded: &'a [u8]) -> Option<Self> {
        let mut fields = Fields::new(encoded);
        let names = Self::read(&mut fields);
        fields.finish().ok()?;
        names.0.is_some().then_some(names)
    }

    /// Writes prefixes as a list has them: 1 to [`MAX_PREFIXES`], each of 1 to 64 bytes.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(prefixes: &[&str], out: W) -> Result<(), W::Error> {
        let mut writer = Writer::new(out);
        writer.array(prefixes.len() as u64)?;
        prefixes.iter().try_for_each(|prefix| writer.text(prefix).map(drop))
    }

    /// Whether `name` is one of them.
    #[must_use]
    pub fn contains(self, name: &DeviceName) -> bool {
        self.0.is_none() || self.prefixes().any(|prefix| name.as_str().as_bytes().starts_with(prefix.as_bytes()))
    }

    /// The prefixes; none if it is every name.
    pub fn prefixes(self) -> impl Iterator<Item = &'a str> {
        let mut fields = Fields::new(self.0.unwrap_or_default());
        let count = fields.array(MAX_PREFIXES as u64);
        (0..count).map(move |_| fields.text(DeviceName::MAX_LENGTH))
    }

    pub(super) const fn encoded(self) -> Option<&'a [u8]> {
        self.0
    }

    pub(super) fn read(fields: &mut Fields<'a>) -> Self {
        if fields.null() {
            return Self::EVERY;
        }
        let start = fields.position();
        let count = fields.array(MAX_PREFIXES as u64);
        // An empty prefix would permit every name, an empty array none: both are said in other ways.
        fields.within((count > 0).then_some(()), start);
        for _ in 0..count {
            fields.text(DeviceName::MAX_LENGTH);
        }
        Self(Some(fields.read_since(start)))
    }
}

/// The envelopes of a maker: for a device type, the SHA-256 of what the maker signed of what a site may allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Envelopes<'a>(&'a [u8]);

impl<'a> Envelopes<'a> {
    /// No envelope.
    pub const NONE: Self = Self(&[]);

    /// The envelopes in `bytes`: 34 bytes each, a big-endian number of a device type and a hash, types strictly
    /// ascending, at most [`MAX_DEVICE_TYPES`]. `None` if they are anything else.
    #[must_use]
    pub fn listed(bytes: &'a [u8]) -> Option<Self> {
        let (each, rest) = bytes.as_chunks::<ENVELOPE>();
        let fits = rest.is_empty() && each.len() <= MAX_DEVICE_TYPES;
        (fits && each.is_sorted_by(|a, b| a.first_chunk::<2>() < b.first_chunk::<2>())).then_some(Self(bytes))
    }

    /// The device types and the hashes of their envelopes.
    pub fn iter(self) -> impl Iterator<Item = (DeviceType, &'a [u8; 32])> {
        self.0
            .as_chunks::<ENVELOPE>()
            .0
            .iter()
            .filter_map(|one| Some((DeviceType(u16::from_be_bytes(*one.first_chunk()?)), one.last_chunk()?)))
    }

    /// The SHA-256 of the envelope for this type.
    #[must_use]
    pub fn of(self, device_type: DeviceType) -> Option<&'a [u8; 32]> {
        self.iter().find_map(|(one, hash)| (one == device_type).then_some(hash))
    }

    pub(super) const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    pub(super) fn read(fields: &mut Fields<'a>) -> Self {
        let start = fields.position();
        let listed = Self::listed(fields.bytes());
        fields.within(listed, start).unwrap_or(Self::NONE)
    }
}
