//! What names a resource: its kind, its identifier, its version; and how resources name one another.

use medlock_node::provider;
use std::fmt;

/// The resource types that can be kept, by number. A number is stored: a new one goes to the end.
const NAMES: [&str; 15] = [
    "Patient",
    "Device",
    "DeviceMetric",
    "Observation",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Consent",
    "Provenance",
    "AuditEvent",
    "Subscription",
    "MedicationAdministration",
    "ServiceRequest",
    "DiagnosticReport",
    "ImagingStudy",
];

/// A resource type that can be kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(u8);

impl Kind {
    /// A person who is cared for.
    pub const PATIENT: Self = Self(0);
    /// A device.
    pub const DEVICE: Self = Self(1);
    /// What a device measures, and how.
    pub const DEVICE_METRIC: Self = Self(2);
    /// A measurement.
    pub const OBSERVATION: Self = Self(3);
    /// Somebody who cares for patients.
    pub const PRACTITIONER: Self = Self(4);
    /// Where, and as what, one works.
    pub const PRACTITIONER_ROLE: Self = Self(5);
    /// A hospital, a ward, a maker.
    pub const ORGANIZATION: Self = Self(6);
    /// What a patient allows and forbids.
    pub const CONSENT: Self = Self(7);
    /// Where a resource came from.
    pub const PROVENANCE: Self = Self(8);
    /// Who did what.
    pub const AUDIT_EVENT: Self = Self(9);
    /// What somebody wants to be told.
    pub const SUBSCRIPTION: Self = Self(10);
    /// What was given to a patient.
    pub const MEDICATION_ADMINISTRATION: Self = Self(11);
    /// The findings of an examination.
    pub const DIAGNOSTIC_REPORT: Self = Self(13);
    /// A stored study of images.
    pub const IMAGING_STUDY: Self = Self(14);

    /// All, by number.
    pub fn all() -> impl ExactSizeIterator<Item = Self> + Clone {
        (0..NAMES.len()).map(|number| Self(u8::try_from(number).unwrap_or(u8::MAX)))
    }

    /// The kind with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::all().find(|kind| kind.name() == name)
    }

    /// The kind with this number.
    #[must_use]
    pub fn numbered(number: u8) -> Option<Self> {
        Self::all().find(|kind| kind.0 == number)
    }

    /// Its name in FHIR.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get(usize::from(self.0)).copied().unwrap_or_default()
    }

    /// Its number in the store.
    #[must_use]
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether nobody but this server writes resources of this kind: what they say counts as its word.
    #[must_use]
    pub fn is_ours(self) -> bool {
        [Self::PROVENANCE, Self::AUDIT_EVENT].contains(&self)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An instant, in milliseconds since 1970 (UTC).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Millis(pub i64);

/// The number of a change: each write has one, in the order in which they became durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seq(pub i64);

/// The number of a resource's row. It never leaves this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row(pub(crate) i64);

/// The version of a resource, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(u32);

impl Version {
    /// That of a resource that was just made.
    pub const FIRST: Self = Self(1);

    /// A version as it stands in the store.
    #[must_use]
    pub const fn numbered(number: u32) -> Self {
        Self(number)
    }

    /// A version as it stands in a path or an entity tag.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let plain = !text.is_empty() && !text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse().ok().filter(|_| plain).map(Self)
    }

    /// Its number.
    #[must_use]
    pub const fn number(self) -> u32 {
        self.0
    }

    /// The one that follows; `None` behind the last.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name of a resource among those of its kind: 26 characters, ordered by the instant it was made. Only the store makes
/// one, so nobody can ask for one that another has, and learn that it is there.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id([u8; Self::LENGTH]);

impl Id {
    const LENGTH: usize = 26;
    const DIGITS: &'static [u8; 32] = b"0123456789abcdefghijklmnopqrstuv";

    /// A new one: the instant in 50 bits, and 80 bits that nobody can foresee.
    #[must_use]
    pub fn fresh(at: Millis) -> Self {
        let random: [u8; 16] = provider::random();
        let time = u128::from(at.0.max(0).unsigned_abs()) << 80;
        let number = time | u128::from_be_bytes(random) & ((1 << 80) - 1);
        let mut bytes = [0; Self::LENGTH];
        for (place, byte) in bytes.iter_mut().rev().enumerate() {
            let digit = number >> (5 * place) & 31;
            *byte = Self::DIGITS.get(usize::try_from(digit).unwrap_or_default()).copied().unwrap_or(b'0');
        }
        Self(bytes)
    }

    /// An identifier as it stands in a path; `None` if it cannot be one of ours.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let bytes = <[u8; Self::LENGTH]>::try_from(text.as_bytes()).ok()?;
        bytes.iter().all(|byte| Self::DIGITS.contains(byte)).then_some(Self(bytes))
    }

    /// Its characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // Each byte is one of the digits.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a reference names (FHIR R4, section 2.3.0.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reference<'a> {
    /// A resource that can be kept here, perhaps a version of it.
    Local(Kind, Id, Option<Version>),
    /// A resource of a kind that can be kept, with an identifier that no resource here has.
    Nowhere(Kind),
    /// A resource of a kind that is not kept here.
    Unserved(&'a str, &'a str),
    /// One inside the resource itself.
    Contained(&'a str),
    /// One somewhere else, or in the same transaction.
    Absolute(&'a str),
}

impl<'a> Reference<'a> {
    /// Reads a reference; `None` if it is none. What begins with one of `bases` is local.
    #[must_use]
    pub fn read(text: &'a str, bases: &[String]) -> Option<Self> {
        if let Some(inside) = text.strip_prefix('#') {
            return Some(Self::Contained(inside));
        }
        let own = bases.iter().find_map(|base| text.strip_prefix(base.as_str())?.strip_prefix('/'));
        if own.is_none() && is_absolute(text) {
            return Some(Self::Absolute(text));
        }
        let mut parts = own.unwrap_or(text).split('/');
        let (name, id) = (parts.next()?, parts.next().filter(|id| is_id(id))?);
        let version = match (parts.next(), parts.next(), parts.next()) {
            (None, None, None) => None,
            (Some("_history"), Some(version), None) if is_id(version) => Some(version),
            _ => return None,
        };
        let Some(kind) = Kind::named(name) else {
            let named = name.starts_with(|first: char| first.is_ascii_uppercase());
            return (named && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
                .then_some(Self::Unserved(name, id));
        };
        let version = match version.map(Version::read) {
            None => None,
            Some(Some(version)) => Some(version),
            Some(None) => return Some(Self::Nowhere(kind)),
        };
        Some(Id::read(id).map_or(Self::Nowhere(kind), |id| Self::Local(kind, id, version)))
    }

    /// The name of the kind it is to, if that can be told.
    #[must_use]
    pub fn kind_name(&self) -> Option<&'a str> {
        match self {
            Self::Local(kind, _, _) | Self::Nowhere(kind) => Some(kind.name()),
            Self::Unserved(name, _) => Some(name),
            Self::Contained(_) | Self::Absolute(_) => None,
        }
    }
}

/// RFC 3986 section 4.3: it has a scheme.
fn is_absolute(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, rest)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
            && !rest.is_empty()
            && !rest.contains(|c: char| c.is_whitespace() || c.is_control())
    })
}

/// Whether it has the form of FHIR's `id`.
#[must_use]
pub fn is_id(text: &str) -> bool {
    (1..=64).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_order_by_their_instant_and_are_read_again() {
        let all: Vec<Id> = [0, 1, 1_700_000_000_000, 1_700_000_000_001].map(|at| Id::fresh(Millis(at))).to_vec();
        assert!(all.is_sorted());
        for id in &all {
            assert_eq!(Id::read(id.as_str()), Some(*id));
            assert!(is_id(id.as_str()));
        }
        assert_ne!(Id::fresh(Millis(5)), Id::fresh(Millis(5)));
        for no in ["", "x", "w0000000000000000000000000", "A0000000000000000000000000", &"0".repeat(27)] {
            assert_eq!(Id::read(no), None, "{no}");
        }
    }

    #[test]
    fn a_reference_says_where_it_leads() {
        let id = Id::fresh(Millis(1));
        let bases = ["https://hub.example/fhir".to_owned()];
        let read = |text: &str| format!("{:?}", Reference::read(text, &bases));
        assert_eq!(read(&format!("Patient/{id}")), format!("Some(Local(Patient, {id}, None))"));
        let versioned = format!("https://hub.example/fhir/Device/{id}/_history/3");
        assert_eq!(read(&versioned), format!("Some(Local(Device, {id}, Some(Version(3))))"));
        assert_eq!(read("Patient/example"), "Some(Nowhere(Patient))");
        assert_eq!(read(&format!("Patient/{id}/_history/x")), "Some(Nowhere(Patient))");
        assert_eq!(read("Encounter/1"), "Some(Unserved(\"Encounter\", \"1\"))");
        assert_eq!(read("#p1"), "Some(Contained(\"p1\"))");
        assert_eq!(
            read("https://elsewhere.example/fhir/Patient/1"),
            "Some(Absolute(\"https://elsewhere.example/fhir/Patient/1\"))"
        );
        assert_eq!(read("urn:uuid:x"), "Some(Absolute(\"urn:uuid:x\"))");
        for no in [
            "",
            "Patient",
            "Patient/",
            "Patient/a b",
            "patient/1",
            "Patient/1/2",
            "/Patient/1",
            "Patient/1/_history",
            "a b:c",
            "x: y",
        ] {
            assert_eq!(read(no), "None", "{no}");
        }
    }

    #[test]
    fn a_version_is_a_plain_number() {
        assert_eq!(Version::read("17").map(Version::number), Some(17));
        for no in ["", "0", "01", "+1", "1.0", "4294967296"] {
            assert_eq!(Version::read(no), None, "{no}");
        }
    }
}
