//! What `/m/objects` says: which trust objects somebody holds.
//!
//! `GET` answers with a deterministic CBOR array of [`Held`]; a carrier compares it with what it holds itself and
//! delivers by `POST` what is newer there. `GET` with the query `o=<number>` gives the bytes of the entry with that
//! number, blockwise if need be. Nobody has to believe the carrier: each object is verified by its own signatures.

use medlock_trust::cbor::{self, Reader, Writer};
use medlock_trust::cose::{ContentType, Sign1};
use medlock_trust::list::{List, ListKind, Suspension};
use minicbor::encode::Write;

/// The most entries of an answer: two lists, a policy, bonds, and a status list and some tickets for each authority.
pub const MAX_HELD: usize = 32;

/// What kind of trust object it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The site's list ([`medlock_trust::list`]).
    SiteList,
    /// An alliance's trust list.
    AllianceList,
    /// A status list ([`medlock_trust::status::StatusList`]).
    Status,
    /// A status ticket ([`medlock_trust::status::Ticket`]).
    Ticket,
    /// A continuity policy ([`medlock_trust::policy`]).
    Policy,
    /// A bond signed by the site ([`medlock_trust::bond`]).
    Bond,
    /// An emergency suspension ([`Suspension`]).
    Suspension,
}

impl Kind {
    /// All kinds, in the order of their numbers; those come first that others are verified with.
    pub const ALL: [Self; 7] =
        [Self::SiteList, Self::AllianceList, Self::Status, Self::Ticket, Self::Policy, Self::Bond, Self::Suspension];

    /// Its number on the wire.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::SiteList => 0,
            Self::AllianceList => 1,
            Self::Status => 2,
            Self::Ticket => 3,
            Self::Policy => 4,
            Self::Bond => 5,
            Self::Suspension => 6,
        }
    }

    /// The kind with this number.
    #[must_use]
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// What `bytes` say they are, without believing them; `None` if they are no trust object.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let Ok(signed) = Sign1::read(bytes) else {
            return match List::danger_open(bytes).map(|list| list.heading().kind) {
                Ok(ListKind::Site) => Some(Self::SiteList),
                Ok(ListKind::Alliance) => Some(Self::AllianceList),
                Err(_) => Suspension::danger_open(bytes).ok().map(|_| Self::Suspension),
            };
        };
        // A ticket does not carry its content type.
        let Some(content_type) = signed.content_type() else { return Some(Self::Ticket) };
        [(ContentType::STATUS, Self::Status), (ContentType::POLICY, Self::Policy), (ContentType::BOND, Self::Bond)]
            .into_iter()
            .find_map(|(known, kind)| (known.as_str() == content_type).then_some(kind))
    }
}

/// One object that somebody holds: what it is and how new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it is.
    pub kind: Kind,
    /// Which of its kind: the first bytes of the authority's key (status list), of the credential (ticket), of the
    /// SHA-256 of the name (alliance list), of the controller (bond); zeros where a device holds one.
    pub name: [u8; Self::NAME_LENGTH],
    /// Its recovery epoch; for a ticket, the epoch it speaks from; 0 where there is none.
    pub recovery_epoch: u64,
    /// Its version or epoch; for a ticket, when it was issued.
    pub version: u64,
}

impl Held {
    /// No object: less than any.
    pub const NOTHING: Self =
        Self { kind: Kind::SiteList, name: [0; Self::NAME_LENGTH], recovery_epoch: 0, version: 0 };

    /// Bytes of a name.
    pub const NAME_LENGTH: usize = 8;

    /// Whether this object and `other` are versions of one thing.
    #[must_use]
    pub fn is_version_of(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }

    /// Writes the answer that names `held`.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn encode_all<W: Write>(held: impl ExactSizeIterator<Item = Self>, out: W) -> Result<(), W::Error> {
        let mut writer = Writer::new(out);
        writer.array(held.len() as u64)?;
        for one in held {
            writer.array(4)?.uint(u64::from(one.kind.number()))?.bytes(&one.name)?;
            writer.uint(one.recovery_epoch)?.uint(one.version)?;
        }
        Ok(())
    }

    /// Reads an answer. Objects of kinds this program does not know are left out.
    ///
    /// # Errors
    /// If `bytes` are anything else than such an answer, or name more than [`MAX_HELD`] objects.
    pub fn decode_all(bytes: &[u8]) -> Result<impl Iterator<Item = (usize, Self)>, cbor::Error> {
        let mut reader = Reader::new(bytes);
        let count = reader.array(MAX_HELD as u64)?;
        let mut checked = reader.clone();
        for _ in 0..count {
            Self::decode(&mut checked)?;
        }
        checked.finish()?;
        let entries = (0..count).map_while(move |_| Self::decode(&mut reader).ok());
        Ok(entries.enumerate().filter_map(|(number, held)| Some((number, held?))))
    }

    fn decode(reader: &mut Reader<'_>) -> Result<Option<Self>, cbor::Error> {
        reader.array_of(4)?;
        let kind = Kind::from_number(reader.byte()?);
        let name = *reader.fixed()?;
        let (recovery_epoch, version) = (reader.uint()?, reader.uint()?);
        Ok(kind.map(|kind| Self { kind, name, recovery_epoch, version }))
    }
}
