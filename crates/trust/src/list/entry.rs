//! The entries of a list: members, authorities, services.

use super::limits::{Envelopes, Names};
use super::{Error, MAX_DEVICE_TYPES, MAX_NAME, MAX_SPKI, MAX_SUBJECT};
use crate::cbor::{Fields, Writer};
use crate::crypto::{Crypto, PublicKey};
use crate::id::{ID_LENGTH, KeyId};
use crate::log::{Hash, TreeHead};
use crate::path::{Anchor, AuthorityKind};
use crate::role::{DeviceTypes, Roles};
use crate::time::Time;
use crate::x509::{Name, SubjectPublicKeyInfo};
use minicbor::encode::Write;

/// One entry: an array whose first item is the identifier of its key.
pub(super) trait Entry<'a>: Sized {
    fn key(&self) -> KeyId;
    /// Whether a verifier would accept the entry.
    fn is_acceptable(&self) -> bool;
    fn read(fields: &mut Fields<'a>) -> Self;
    fn write<W: Write>(&self, writer: &mut Writer<W>) -> Result<(), W::Error>;
}

fn read_key(fields: &mut Fields<'_>) -> KeyId {
    KeyId::from_bytes(*fields.fixed::<ID_LENGTH>())
}

fn write_optional_time<W: Write>(writer: &mut Writer<W>, time: Option<Time>) -> Result<(), W::Error> {
    match time {
        None => writer.null().map(drop),
        Some(time) => writer.time(time).map(drop),
    }
}

fn in_range(time: Time) -> bool {
    (Time::from_unix(0)..=Time::NEVER).contains(&time)
}

fn bounded(bytes: &[u8], most: usize) -> bool {
    !bytes.is_empty() && bytes.len() <= most
}

/// The public key in `spki`, if it is the one that `key` names.
pub(super) fn public_key<'a>(key: KeyId, spki: &'a [u8], crypto: &impl Crypto) -> Result<PublicKey<'a>, Error> {
    let named = SubjectPublicKeyInfo::from_der(spki).ok().filter(|spki| spki.key_id(crypto) == key);
    named.and_then(|spki| spki.public_key()).ok_or(Error::Key(key))
}

/// A member of a list: one that signs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// The identifier of its key.
    pub key: KeyId,
    /// Its key: a `SubjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// What people call it.
    pub name: &'a str,
}

impl<'a> Entry<'a> for Member<'a> {
    fn key(&self) -> KeyId {
        self.key
    }

    fn is_acceptable(&self) -> bool {
        bounded(self.spki, MAX_SPKI) && bounded(self.name.as_bytes(), MAX_NAME)
    }

    fn read(fields: &mut Fields<'a>) -> Self {
        fields.array_of(3);
        Self { key: read_key(fields), spki: fields.bounded(MAX_SPKI), name: fields.text(MAX_NAME) }
    }

    fn write<W: Write>(&self, writer: &mut Writer<W>) -> Result<(), W::Error> {
        writer.array(3)?.bytes(self.key.as_bytes())?.bytes(self.spki)?.text(self.name).map(drop)
    }
}

/// How an authority stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorityState {
    /// In good standing.
    Listed,
    /// Left in good standing: what it issued before counts on, marked; it issues nothing new.
    Retired,
    /// Under suspicion; a later version of the list may lift it.
    Suspended,
    /// Its key is in wrong hands. Terminal.
    Compromised,
}

impl AuthorityState {
    /// All states, from the best to the worst.
    pub const ALL: [Self; 4] = [Self::Listed, Self::Retired, Self::Suspended, Self::Compromised];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Listed => "listed",
            Self::Retired => "retired",
            Self::Suspended => "suspended",
            Self::Compromised => "compromised",
        }
    }

    const fn number(self) -> u64 {
        match self {
            Self::Listed => 0,
            Self::Retired => 1,
            Self::Suspended => 2,
            Self::Compromised => 3,
        }
    }
}

/// An authority: one whose credentials are believed, as far as this entry goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authority<'a> {
    /// The identifier of its key.
    pub key: KeyId,
    /// Whether it gives birth or operational credentials.
    pub kind: AuthorityKind,
    /// What people call it.
    pub name: &'a str,
    /// Its name in certificates: a DER `Name`.
    pub subject: &'a [u8],
    /// Its key: a `SubjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// The roles it may vouch for.
    pub roles: Roles,
    /// The device types it may vouch for.
    pub device_types: DeviceTypes<'a>,
    /// How it stands.
    pub state: AuthorityState,
    /// Since when it stands so. What a retired authority issued after this is refused.
    pub since: Time,
    /// Until when it vouches; afterwards its credentials count as expired. `None`: as long as its certificate.
    pub until: Option<Time>,
    /// The device names it may vouch for.
    pub names: Names<'a>,
    /// If there is one, only those of its credentials count that are in its log at this size with this root hash.
    pub cutoff: Option<TreeHead>,
    /// The envelopes its maker signed: the bounds of what a site may allow, one for a device type.
    pub envelopes: Envelopes<'a>,
}

impl<'a> Authority<'a> {
    /// An authority in good standing since 1970 that may vouch for everything, for ever.
    #[must_use]
    pub const fn for_everything(
        key: KeyId,
        kind: AuthorityKind,
        name: &'a str,
        subject: &'a [u8],
        spki: &'a [u8],
    ) -> Self {
        Self {
            key,
            kind,
            name,
            subject,
            spki,
            roles: Roles::EVERY,
            device_types: DeviceTypes::Every,
            state: AuthorityState::Listed,
            since: Time::from_unix(0),
            until: None,
            names: Names::EVERY,
            cutoff: None,
            envelopes: Envelopes::NONE,
        }
    }

    /// The anchor that path validation may end in; `None` if its key or name cannot be read, or it is compromised.
    #[must_use]
    pub fn anchor(&self) -> Option<Anchor<'a>> {
        if self.state == AuthorityState::Compromised {
            return None;
        }
        Some(Anchor {
            subject: Name::from_der(self.subject).ok()?,
            spki: self.spki,
            key: SubjectPublicKeyInfo::from_der(self.spki).ok()?.public_key()?,
            key_id: self.key,
            kind: self.kind,
            roles: self.roles,
            device_types: self.device_types,
            name_constraints: None,
        })
    }
}

const fn kind_number(kind: AuthorityKind) -> u64 {
    match kind {
        AuthorityKind::Maker => 0,
        AuthorityKind::Site => 1,
    }
}

impl<'a> Entry<'a> for Authority<'a> {
    fn key(&self) -> KeyId {
        self.key
    }

    fn is_acceptable(&self) -> bool {
        let types_fit = match self.device_types {
            DeviceTypes::Every => true,
            DeviceTypes::Listed(numbers) => {
                numbers.len() <= MAX_DEVICE_TYPES * 2 && DeviceTypes::listed(numbers).is_some()
            }
        };
        types_fit
            && bounded(self.name.as_bytes(), MAX_NAME)
            && bounded(self.subject, MAX_SUBJECT)
            && bounded(self.spki, MAX_SPKI)
            && in_range(self.since)
            && self.until.is_none_or(in_range)
    }

    fn read(fields: &mut Fields<'a>) -> Self {
        let (key, standing) = Standing::read(fields);
        let envelopes = Envelopes::read(fields);
        let name = fields.text(MAX_NAME);
        let subject = fields.bounded(MAX_SUBJECT);
        let spki = fields.bounded(MAX_SPKI);
        let Standing { kind, state, since, until, roles, device_types, names, cutoff } = standing;
        Self { key, kind, name, subject, spki, roles, device_types, state, since, until, names, cutoff, envelopes }
    }

    fn write<W: Write>(&self, writer: &mut Writer<W>) -> Result<(), W::Error> {
        writer
            .array(Standing::FIELDS)?
            .bytes(self.key.as_bytes())?
            .uint(kind_number(self.kind))?
            .uint(self.state.number())?;
        writer.time(self.since)?;
        write_optional_time(writer, self.until)?;
        writer.uint(u64::from(self.roles.bits()))?;
        match self.device_types {
            DeviceTypes::Every => writer.null()?,
            DeviceTypes::Listed(numbers) => writer.bytes(numbers)?,
        };
        match self.names.encoded() {
            None => writer.null()?,
            Some(prefixes) => writer.raw(prefixes)?,
        };
        match self.cutoff {
            None => writer.null()?,
            Some(head) => writer.array(2)?.uint(head.size)?.bytes(head.root.as_bytes())?,
        };
        writer.bytes(self.envelopes.as_bytes())?.text(self.name)?.bytes(self.subject)?.bytes(self.spki).map(drop)
    }
}

/// The part of an authority's entry that verdicts depend on. It comes first in the entry, so that a verdict reads no
/// further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// As [`Authority::kind`].
    pub kind: AuthorityKind,
    /// As [`Authority::state`].
    pub state: AuthorityState,
    /// As [`Authority::since`].
    pub since: Time,
    /// As [`Authority::until`].
    pub until: Option<Time>,
    /// As [`Authority::roles`].
    pub roles: Roles,
    /// As [`Authority::device_types`].
    pub device_types: DeviceTypes<'a>,
    /// As [`Authority::names`].
    pub names: Names<'a>,
    /// As [`Authority::cutoff`].
    pub cutoff: Option<TreeHead>,
}

impl<'a> Standing<'a> {
    /// The items of an authority's entry, this part and the rest.
    const FIELDS: u64 = 13;

    pub(super) fn read(fields: &mut Fields<'a>) -> (KeyId, Self) {
        fields.array_of(Self::FIELDS);
        let key = read_key(fields);
        let kind = match fields.at_most(1) {
            0 => AuthorityKind::Maker,
            _ => AuthorityKind::Site,
        };
        let state = match fields.at_most(3) {
            0 => AuthorityState::Listed,
            1 => AuthorityState::Retired,
            2 => AuthorityState::Suspended,
            _ => AuthorityState::Compromised,
        };
        let (since, until) = (fields.time(), fields.optional_time());
        let roles = Roles::from_bits(fields.uint32());
        let start = fields.position();
        let device_types = if fields.null() {
            DeviceTypes::Every
        } else {
            let numbers = Some(fields.bytes()).filter(|numbers| numbers.len() <= MAX_DEVICE_TYPES * 2);
            fields.within(numbers.and_then(DeviceTypes::listed), start).unwrap_or(DeviceTypes::Listed(&[]))
        };
        let names = Names::read(fields);
        let cutoff = (!fields.null()).then(|| {
            fields.array_of(2);
            TreeHead { size: fields.uint(), root: Hash::from_bytes(*fields.fixed()) }
        });
        (key, Self { kind, state, since, until, roles, device_types, names, cutoff })
    }
}

/// What a service key may sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Status lists and tickets of its authority.
    Status,
    /// The site's continuity policy.
    Policy,
    /// The site's routing table.
    Routes,
    /// Statements about the time.
    Time,
    /// Bonds of the site's devices.
    Bonds,
}

impl Purpose {
    /// All purposes.
    pub const ALL: [Self; 5] = [Self::Status, Self::Policy, Self::Routes, Self::Time, Self::Bonds];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Policy => "policy",
            Self::Routes => "routes",
            Self::Time => "time",
            Self::Bonds => "bonds",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::Status => 1,
            Self::Policy => 2,
            Self::Routes => 4,
            Self::Time => 8,
            Self::Bonds => 16,
        }
    }
}

/// A set of purposes: bits 1 status, 2 policy, 4 routes, 8 time, 16 bonds. Bits of a later version are kept and grant nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Purposes(u32);

impl Purposes {
    /// The set with these members.
    #[must_use]
    pub fn of(members: &[Purpose]) -> Self {
        Self(members.iter().fold(0, |bits, purpose| bits | purpose.bit()))
    }

    /// The set with these bits.
    #[must_use]
    pub const fn from_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The set's bits.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether `purpose` is in the set.
    #[must_use]
    pub const fn contains(self, purpose: Purpose) -> bool {
        self.0 & purpose.bit() != 0
    }
}

/// A key that signs objects in the name of an authority, so that the authority's own key can stay offline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service<'a> {
    /// The identifier of its key.
    pub key: KeyId,
    /// Its key: a `SubjectPublicKeyInfo`.
    pub spki: &'a [u8],
    /// What it may sign.
    pub purposes: Purposes,
    /// The authority it speaks for.
    pub authority: KeyId,
    /// Objects issued after this are not its; `None`: no end.
    pub until: Option<Time>,
}

impl<'a> Service<'a> {
    /// Its public key, if it is the one its identifier names.
    ///
    /// # Errors
    /// [`Error::Key`].
    pub fn public_key(&self, crypto: &impl Crypto) -> Result<PublicKey<'a>, Error> {
        public_key(self.key, self.spki, crypto)
    }

    /// Whether the service still signed at `issued`.
    #[must_use]
    pub fn signs_at(&self, issued: Time) -> bool {
        self.until.is_none_or(|until| issued <= until)
    }
}

impl<'a> Entry<'a> for Service<'a> {
    fn key(&self) -> KeyId {
        self.key
    }

    fn is_acceptable(&self) -> bool {
        bounded(self.spki, MAX_SPKI) && self.until.is_none_or(in_range)
    }

    fn read(fields: &mut Fields<'a>) -> Self {
        fields.array_of(5);
        let (key, spki) = (read_key(fields), fields.bounded(MAX_SPKI));
        let purposes = Purposes(fields.uint32());
        Self { key, spki, purposes, authority: read_key(fields), until: fields.optional_time() }
    }

    fn write<W: Write>(&self, writer: &mut Writer<W>) -> Result<(), W::Error> {
        writer.array(5)?.bytes(self.key.as_bytes())?.bytes(self.spki)?.uint(u64::from(self.purposes.bits()))?;
        writer.bytes(self.authority.as_bytes())?;
        write_optional_time(writer, self.until)
    }
}
