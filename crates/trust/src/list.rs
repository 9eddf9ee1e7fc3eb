//! Trust lists and site lists: which authorities may vouch for which devices, and who serves the status of them.
//!
//! One form for both. An *alliance*'s trust list is signed by t of its n members; a *site*'s list by the site alone,
//! 1 of 1. The wire format is in `docs/trust-objects.md`. A list is believed in one of two ways: the first because the
//! judge was told whose it is ([`List::verify_pinned`]), each later one because it succeeds the one held
//! ([`List::verify_successor`]). Between two lists fewer members can suspend an authority for a while ([`Suspension`]).

mod accept;
mod entry;
mod limits;
mod suspension;

pub use accept::{MAX_AHEAD_SECONDS, MAX_SKEW_SECONDS, MAX_VERSION_STEP, Pinned, Refused, Signers};
pub use entry::{Authority, AuthorityState, Member, Purpose, Purposes, Service, Standing};
pub use limits::{Envelopes, MAX_PREFIXES, Names};
pub use suspension::{
    MAX_SUSPENDED, MAX_SUSPENSION_SECONDS, QUIET_SECONDS, Suspension, SuspensionContent, SuspensionRefused,
};

use crate::cbor::{self, ErrorKind, Fields, Writer};
use crate::cose;
use crate::id::{ID_LENGTH, KeyId};
use crate::path::AuthorityKind;
use crate::time::Time;
use core::fmt;
use entry::Entry;
use minicbor::encode::Write;

/// The most members of a list. A quorum of independent organisations that meet; also the most signatures one set makes
/// a verifier check (16 of P-256 take about 3 ms on a small server core, 1.5 s on a 64 MHz microcontroller).
pub const MAX_MEMBERS: usize = 16;
/// The most authorities of a list: makers of one alliance, or roots of one site and the makers it admits. 64 fit into
/// one index of 256 bytes on the stack; larger alliances publish several lists.
pub const MAX_AUTHORITIES: usize = 64;
/// The most service keys of a list: status, policy, routes and time, for a few authorities, old and new.
pub const MAX_SERVICES: usize = 32;
/// The longest name of a list, a member or an authority, in bytes (as `ub-organization-name` of RFC 5280).
pub const MAX_NAME: usize = 64;
/// The longest public key, in bytes of `SubjectPublicKeyInfo`: RSA with 4,096 bits takes 550.
pub const MAX_SPKI: usize = 2048;
/// The longest subject name of an authority, in bytes of DER.
pub const MAX_SUBJECT: usize = 512;
/// The most device types that are listed for one authority, instead of all.
pub const MAX_DEVICE_TYPES: usize = 64;
/// The longest list, in bytes: all counts above at their bounds, with P-256 keys and a few names and envelopes each, take
/// about 90,000.
pub const MAX_LENGTH: usize = 128 * 1024;

const FORM: u64 = 2;
/// The items of a payload.
const FIELDS: u64 = 15;

/// Whose list it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// A trust list of several organisations.
    Alliance,
    /// The list of one site.
    Site,
}

impl ListKind {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Alliance => "alliance",
            Self::Site => "site",
        }
    }

    const fn number(self) -> u64 {
        match self {
            Self::Alliance => 0,
            Self::Site => 1,
        }
    }

    /// How many seconds after a version the next is due at the latest. An alliance meets at least once a year, and 35
    /// days more are for those who are late; a site's root lies in a safe for ten years. A list that never grew old would
    /// hide that no newer one arrives.
    #[must_use]
    pub const fn longest_term_seconds(self) -> i64 {
        match self {
            Self::Alliance => 400 * 86_400,
            Self::Site => 3_660 * 86_400,
        }
    }
}

/// Who a list is, and which of its versions: the fields before the entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heading<'a> {
    /// Whose list it is.
    pub kind: ListKind,
    /// The name of the alliance or site. Versions of one list have one name.
    pub name: &'a str,
    /// Which version: grows with each.
    pub version: u64,
    /// Which recovery: grows by one when those who may recover mend a poisoned list or replace lost members.
    pub recovery_epoch: u64,
    /// SHA-256 of the payload of the version before; none of the first. Nobody is refused for it: it shows whether
    /// somebody was given another list with the same version.
    pub previous: Option<[u8; 32]>,
    /// When this version was made.
    pub issued: Time,
    /// When the next version is to be expected at the latest; afterwards what the list says counts as old.
    pub next: Time,
    /// How many members must sign.
    pub threshold: u8,
    /// How many members may suspend an authority for a while, fewer than [`Heading::threshold`]; 0: nobody.
    pub emergency: u8,
    /// How many of the recovery keys must sign a recovery; 0 if there are no such keys and the members do it.
    pub recovery_threshold: u8,
}

impl<'a> Heading<'a> {
    /// The first version of a list that one member signs.
    #[must_use]
    pub const fn first(kind: ListKind, name: &'a str, issued: Time, next: Time) -> Self {
        Self {
            kind,
            name,
            version: 1,
            recovery_epoch: 0,
            previous: None,
            issued,
            next,
            threshold: 1,
            emergency: 0,
            recovery_threshold: 0,
        }
    }

    /// Whether no verifier would take a list with this heading, so many members and so many recovery keys.
    fn check(&self, members: usize, recovery: usize) -> Result<(), Error> {
        let (threshold, recovery_threshold) = (usize::from(self.threshold), usize::from(self.recovery_threshold));
        let fit = (1..=members).contains(&threshold)
            && self.emergency < self.threshold
            && (recovery_threshold == 0) == (recovery == 0)
            && recovery_threshold <= recovery;
        if !fit {
            return Err(Error::Threshold);
        }
        let term = 0..=self.kind.longest_term_seconds();
        if term.contains(&self.next.seconds_since(self.issued)) { Ok(()) } else { Err(Error::Times) }
    }
}

/// A list that was verified: a view of its bytes.
#[derive(Clone, Debug)]
pub struct List<'a> {
    heading: Heading<'a>,
    payload: &'a [u8],
    members: Section<'a>,
    recovery: Section<'a>,
    services: Section<'a>,
    authorities: Section<'a>,
    /// Where each authority starts in its section, in order of keys: what makes [`List::authority`] a binary search.
    index: [u32; MAX_AUTHORITIES],
}

impl<'a> List<'a> {
    /// Opens bytes that this program has verified before and kept where nobody else writes, without checking signatures
    /// again.
    ///
    /// # Errors
    /// If they are not a list.
    pub fn danger_open(bytes: &'a [u8]) -> Result<Self, Error> {
        Self::read_payload(Self::read_signed(bytes)?.payload())
    }

    /// Reads the payload of a list: what members are to sign. It has no signatures to check yet.
    ///
    /// # Errors
    /// If it is not that of a list.
    pub fn danger_open_payload(payload: &'a [u8]) -> Result<Self, Error> {
        if payload.len() > MAX_LENGTH {
            return Err(Error::TooLong(payload.len()));
        }
        Self::read_payload(payload)
    }

    /// Whose list it is, and which version.
    #[must_use]
    pub const fn heading(&self) -> &Heading<'a> {
        &self.heading
    }

    /// The members, ascending by key.
    pub fn members(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        self.members.entries()
    }

    /// Who may recover the list, ascending by key: keys that are kept apart from those of the members.
    pub fn recovery(&self) -> impl Iterator<Item = Member<'a>> + use<'a> {
        self.recovery.entries()
    }

    /// The authorities, ascending by key.
    pub fn authorities(&self) -> impl Iterator<Item = Authority<'a>> + use<'a> {
        self.authorities.entries()
    }

    /// The service keys, ascending by key.
    pub fn services(&self) -> impl Iterator<Item = Service<'a>> + use<'a> {
        self.services.entries()
    }

    /// The member with this key.
    #[must_use]
    pub fn member(&self, key: KeyId) -> Option<Member<'a>> {
        self.members().find(|member| member.key == key)
    }

    /// The authority with this key, in time logarithmic in their number.
    #[must_use]
    pub fn authority(&self, key: KeyId) -> Option<Authority<'a>> {
        let mut fields = self.entry_of(key)?;
        let authority = Authority::read(&mut fields);
        fields.check().ok().map(|()| authority)
    }

    /// How the authority with this key stands, in time logarithmic in their number.
    #[must_use]
    pub fn standing(&self, key: KeyId) -> Option<Standing<'a>> {
        let mut fields = self.entry_of(key)?;
        let (_, standing) = Standing::read(&mut fields);
        fields.check().ok().map(|()| standing)
    }

    /// Whether two authorities are one, or roots of the site that take one another's place: they have one name, and those that
    /// are not retired sign the list. Status that is told in the name of one of them is of the credentials of both.
    #[must_use]
    pub fn are_one(&self, one: KeyId, other: KeyId) -> bool {
        let name_of_root = |key| {
            let root = self.authority(key).filter(|root| root.kind == AuthorityKind::Site)?;
            let is_root = match root.state {
                AuthorityState::Listed => self.member(key).is_some(),
                AuthorityState::Retired => true,
                AuthorityState::Suspended | AuthorityState::Compromised => false,
            };
            Some(root.subject).filter(|_| is_root)
        };
        one == other
            || (self.heading.kind == ListKind::Site
                && name_of_root(one).is_some_and(|name| name_of_root(other) == Some(name)))
    }

    fn entry_of(&self, key: KeyId) -> Option<Fields<'a>> {
        let index = self.index.get(..self.authorities.count)?;
        let entry = |start: &u32| self.authorities.bytes.get(usize::try_from(*start).ok()?..);
        // All entries were read once: each starts with the heads of an array of 13 and of a byte string of 16.
        let number_of = |start| Some(u128::from_be_bytes(*entry(start)?.get(2..)?.first_chunk::<ID_LENGTH>()?));
        let wanted = Some(u128::from_be_bytes(*key.as_bytes()));
        let at = index.binary_search_by(|start| number_of(start).cmp(&wanted)).ok()?;
        Some(Fields::new(entry(index.get(at)?)?))
    }

    /// The service with the key whose identifier begins with `key`, for one purpose; `None` if none or several do.
    #[must_use]
    pub fn service(&self, purpose: Purpose, key: &[u8]) -> Option<Service<'a>> {
        let fits = |service: &Service<'a>| {
            !key.is_empty() && service.key.as_bytes().starts_with(key) && service.purposes.contains(purpose)
        };
        let mut fitting = self.services().filter(fits);
        let first = fitting.next();
        if fitting.next().is_some() { None } else { first }
    }

    /// Whether the key whose identifier begins with `key` speaks for an authority, or spoke for it at this time: one that was
    /// retired since has told the truth; one in wrong hands is not named any more.
    #[must_use]
    pub fn spoke(&self, key: &[u8], at: Time) -> bool {
        let is_it = |service: &Service<'_>| !key.is_empty() && service.key.as_bytes().starts_with(key);
        self.services().any(|service| is_it(&service) && service.signs_at(at))
    }

    /// What the members signed.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Reads the list without believing it.
    fn read(bytes: &'a [u8]) -> Result<(cose::Sign<'a>, Self), Error> {
        let signed = Self::read_signed(bytes)?;
        Ok((signed, Self::read_payload(signed.payload())?))
    }

    fn read_signed(bytes: &'a [u8]) -> Result<cose::Sign<'a>, Error> {
        if bytes.len() > MAX_LENGTH {
            return Err(Error::TooLong(bytes.len()));
        }
        Ok(cose::Sign::read(bytes, cose::ContentType::LIST)?)
    }

    fn read_payload(payload: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(payload);
        fields.array_of(FIELDS);
        let form = fields.uint();
        fields.check()?;
        if form != FORM {
            return Err(Error::Form);
        }
        let kind = match fields.at_most(1) {
            0 => ListKind::Alliance,
            _ => ListKind::Site,
        };
        let name = fields.text(MAX_NAME);
        let version = fields.uint();
        let recovery_epoch = fields.uint();
        let previous = (!fields.null()).then(|| *fields.fixed());
        let (issued, next) = (fields.time(), fields.time());
        let (threshold, emergency, recovery_threshold) = (fields.byte(), fields.byte(), fields.byte());
        let mut index = [0; MAX_AUTHORITIES];
        let members = Section::read(&mut fields, MAX_MEMBERS, &mut [], |fields| Member::read(fields).key);
        let recovery = Section::read(&mut fields, MAX_MEMBERS, &mut [], |fields| Member::read(fields).key);
        let authorities = Section::read(&mut fields, MAX_AUTHORITIES, &mut index, |fields| Authority::read(fields).key);
        let services = Section::read(&mut fields, MAX_SERVICES, &mut [], |fields| Service::read(fields).key);
        fields.finish()?;
        let heading = Heading {
            kind,
            name,
            version,
            recovery_epoch,
            previous,
            issued,
            next,
            threshold,
            emergency,
            recovery_threshold,
        };
        heading.check(members.count, recovery.count)?;
        Ok(Self { heading, payload, members, recovery, services, authorities, index })
    }
}

/// An array of entries, ascending by key, inside a payload.
#[derive(Clone, Copy, Debug)]
struct Section<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Section<'a> {
    /// Reads and checks a section, and notes in `index`, as far as it reaches, where each entry starts.
    fn read(fields: &mut Fields<'a>, most: usize, index: &mut [u32], key: fn(&mut Fields<'a>) -> KeyId) -> Self {
        let count = fields.array(most as u64);
        let start = fields.position();
        let mut last = None;
        let mut index = index.iter_mut();
        for _ in 0..count {
            let at = fields.position();
            if let (Some(slot), Ok(offset)) = (index.next(), u32::try_from(at.saturating_sub(start))) {
                *slot = offset;
            }
            let key = Some(key(fields));
            fields.ask(last < key, at, ErrorKind::NotAscending);
            last = key;
        }
        Self { bytes: fields.read_since(start), count: usize::try_from(count).unwrap_or(0) }
    }

    fn entries<E: Entry<'a>>(&self) -> impl Iterator<Item = E> + use<'a, E> {
        let mut fields = Fields::new(self.bytes);
        (0..self.count).map_while(move |_| {
            let entry = E::read(&mut fields);
            fields.check().ok().map(|()| entry)
        })
    }
}

/// What a list is to say: the input of its encoder.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Whose list it is, and which version.
    pub heading: Heading<'a>,
    /// The members, in any order.
    pub members: &'a [Member<'a>],
    /// Who may recover it, in any order.
    pub recovery: &'a [Member<'a>],
    /// The authorities, in any order.
    pub authorities: &'a [Authority<'a>],
    /// The service keys, in any order.
    pub services: &'a [Service<'a>],
}

impl Content<'_> {
    /// Writes the payload of the list; [`cose::sign`] with [`cose::ContentType::LIST`] makes the list of it.
    ///
    /// The caller answers for each key's identifier being that of its public key: verifiers check it.
    ///
    /// # Errors
    /// If `out` fails, or if no verifier would accept such a list.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), EncodeError<W::Error>> {
        let heading = &self.heading;
        heading.check(self.members.len(), self.recovery.len()).map_err(EncodeError::Content)?;
        if heading.issued < Time::from_unix(0) || heading.next > Time::NEVER {
            return Err(EncodeError::Content(Error::Times));
        }
        if heading.name.is_empty() || heading.name.len() > MAX_NAME {
            return Err(EncodeError::Content(Error::Entry));
        }
        let mut writer = Writer::new(out);
        writer
            .array(FIELDS)
            .and_then(|w| w.uint(FORM)?.uint(heading.kind.number())?.text(heading.name)?.uint(heading.version))
            .and_then(|w| {
                let w = w.uint(heading.recovery_epoch)?;
                match &heading.previous {
                    None => w.null(),
                    Some(hash) => w.bytes(hash),
                }
            })
            .and_then(|w| w.time(heading.issued)?.time(heading.next)?.uint(u64::from(heading.threshold)))
            .and_then(|w| w.uint(u64::from(heading.emergency))?.uint(u64::from(heading.recovery_threshold)).map(drop))
            .map_err(EncodeError::Write)?;
        write_section(&mut writer, self.members, MAX_MEMBERS)?;
        write_section(&mut writer, self.recovery, MAX_MEMBERS)?;
        write_section(&mut writer, self.authorities, MAX_AUTHORITIES)?;
        write_section(&mut writer, self.services, MAX_SERVICES)
    }
}

/// Writes entries in order of their keys. Selection in order needs no heap; there are at most 64.
fn write_section<'a, W: Write, E: Entry<'a>>(
    writer: &mut Writer<W>,
    entries: &[E],
    most: usize,
) -> Result<(), EncodeError<W::Error>> {
    if entries.len() > most || !entries.iter().all(Entry::is_acceptable) {
        return Err(EncodeError::Content(Error::Entry));
    }
    writer.array(entries.len() as u64).map_err(EncodeError::Write)?;
    let mut last = None;
    for _ in entries {
        let next = entries.iter().filter(|entry| Some(entry.key()) > last).min_by_key(|entry| entry.key());
        let next = next.ok_or(EncodeError::Content(Error::Entry))?;
        next.write(writer).map_err(EncodeError::Write)?;
        last = Some(next.key());
    }
    Ok(())
}

/// Why bytes are not a list, or a content cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// They are not a signed object of the right form.
    Cose(cose::Error),
    /// They are more than [`MAX_LENGTH`].
    TooLong(usize),
    /// The form is of another version than this program reads.
    Form,
    /// A threshold does not fit: it is not between 1 and the number of keys, or that for emergencies is not below that of
    /// the members.
    Threshold,
    /// The next version is due before this one, or too long after it ([`ListKind::longest_term_seconds`]), or a time is
    /// outside 1970 to 9999.
    Times,
    /// There are too many entries, two with one key, or one with a field out of bounds.
    Entry,
    /// The identifier of this key is not that of the public key beside it, or the public key cannot be read.
    Key(KeyId),
}

impl From<cose::Error> for Error {
    fn from(error: cose::Error) -> Self {
        Self::Cose(error)
    }
}

impl From<cbor::Error> for Error {
    fn from(error: cbor::Error) -> Self {
        Self::Cose(error.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cose(error) => error.fmt(f),
            Self::TooLong(length) => write!(f, "{length} bytes are more than a list has ({MAX_LENGTH})"),
            Self::Form => f.write_str("the list is of a form this program does not read; update it"),
            Self::Threshold => f.write_str("a threshold is not between 1 and the number of its keys, or that for emergencies is not below that of the members"),
            Self::Times => f.write_str("the next version is due before this one, or too long after it (400 days; of a site, 3,660)"),
            Self::Entry => f.write_str("too many entries, two with one key, or a field out of bounds"),
            Self::Key(key) => write!(f, "the public key listed as {key} cannot be read or has another identifier"),
        }
    }
}

impl core::error::Error for Error {}

/// Why an object was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EncodeError<W> {
    /// The output failed.
    Write(W),
    /// No verifier would accept it.
    Content(Error),
}

impl<W: fmt::Display> fmt::Display for EncodeError<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Write(error) => write!(f, "the list could not be written: {error}"),
            Self::Content(error) => write!(f, "the list would not be accepted: {error}"),
        }
    }
}

impl<W: core::error::Error> core::error::Error for EncodeError<W> {}

#[cfg(test)]
mod tests;
