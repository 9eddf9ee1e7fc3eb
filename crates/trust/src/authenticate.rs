//! The first step: who is the peer?

use crate::crypto::Crypto;
use crate::id::{CredentialId, DeviceId, DeviceName, KeyId};
use crate::path::{self, Anchor, AuthorityKind, Budget, MAX_CHAIN, VerifiedPath};
use crate::role::{DeviceType, Roles};
use crate::time::Time;
use crate::x509::{Certificate, ids};
use core::fmt;

/// The longest serial number of a certificate, in octets (RFC 5280 section 4.1.2.2).
const MAX_SERIAL: usize = 20;

/// What a credential is good for. It follows from the authority that gave it, never from the credential itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CredentialKind {
    /// Put in by the maker (IEEE 802.1AR IDevID): good for enrolment only (invariant I8).
    Birth,
    /// Given by the site that runs the device (IEEE 802.1AR LDevID).
    Operational,
}

impl CredentialKind {
    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Birth => "birth",
            Self::Operational => "operational",
        }
    }

    /// What an authority of this kind gives.
    #[must_use]
    pub const fn given_by(authority: AuthorityKind) -> Self {
        match authority {
            AuthorityKind::Maker => Self::Birth,
            AuthorityKind::Site => Self::Operational,
        }
    }
}

/// A peer whose chain was validated: what a session keeps of it. Owned and of fixed size.
///
/// It says who the peer is, not what it may do: ask [`decide`](mod@crate::decide) for each operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identified {
    credential: CredentialId,
    device: DeviceId,
    device_name: DeviceName,
    kind: CredentialKind,
    claimed: Roles,
    roles: Roles,
    device_type: Option<DeviceType>,
    not_before: Time,
    not_after: Time,
    issuers: Bounded<KeyId, MAX_CHAIN>,
    serial_number: Bounded<u8, MAX_SERIAL>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounded<T, const N: usize> {
    items: [T; N],
    length: usize,
}

impl<T: Copy, const N: usize> Bounded<T, N> {
    fn new(from: &[T], filler: T) -> Option<Self> {
        let mut items = [filler; N];
        items.get_mut(..from.len())?.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Some(Self { items, length: from.len() })
    }

    fn as_slice(&self) -> &[T] {
        self.items.get(..self.length).unwrap_or_default()
    }
}

impl Identified {
    /// The credential the peer showed.
    #[must_use]
    pub const fn credential(&self) -> CredentialId {
        self.credential
    }

    /// The device, by its name. Names belong to a site: two sites may give one name to different devices.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// The device's name in the register of its site.
    #[must_use]
    pub const fn device_name(&self) -> &DeviceName {
        &self.device_name
    }

    /// What the credential is good for.
    #[must_use]
    pub const fn kind(&self) -> CredentialKind {
        self.kind
    }

    /// The roles that the credential claims and that the authority could vouch for when the chain was validated.
    #[must_use]
    pub const fn roles(&self) -> Roles {
        self.roles
    }

    /// All roles the credential claims: for explaining a denial only.
    #[must_use]
    pub const fn claimed_roles(&self) -> Roles {
        self.claimed
    }

    /// The kind of device, if the credential states it.
    #[must_use]
    pub const fn device_type(&self) -> Option<DeviceType> {
        self.device_type
    }

    /// From when to when all certificates of the chain are valid, both inclusive.
    #[must_use]
    pub const fn validity(&self) -> (Time, Time) {
        (self.not_before, self.not_after)
    }

    /// The keys that vouch for the credential, from its issuer's up to the anchor's.
    #[must_use]
    pub fn issuers(&self) -> &[KeyId] {
        self.issuers.as_slice()
    }

    /// The key of the anchor: the authority the peer is under.
    #[must_use]
    pub fn authority(&self) -> Option<KeyId> {
        self.issuers().last().copied()
    }

    /// The credential's serial number: the content octets of the `INTEGER`.
    #[must_use]
    pub fn serial_number(&self) -> &[u8] {
        self.serial_number.as_slice()
    }

    /// What follows from a validated path.
    ///
    /// # Errors
    /// As [`authenticate`].
    pub fn from_path(path: &VerifiedPath<'_>, crypto: &impl Crypto) -> Result<Self, Unidentified> {
        let leaf = path.leaf();
        let role = leaf.extensions().role();
        let device_type = role.and_then(|role| role.device_type);
        if !path.anchor().device_types.contains(device_type) {
            return Err(Unidentified::DeviceType(device_type));
        }
        let name = device_name(leaf).ok_or(Unidentified::NoDeviceName)?;
        Self::build(path, name, role.map_or(Roles::NONE, |role| role.roles), device_type, crypto)
    }

    /// Takes the peer to have this name and to claim these roles, whatever its credential says: for tools that explain
    /// what *would* be decided about certificates that were not made for Medlock. Never for a real peer.
    ///
    /// # Errors
    /// As [`authenticate`].
    pub fn danger_assume(
        path: &VerifiedPath<'_>,
        name: DeviceName,
        roles: Roles,
        crypto: &impl Crypto,
    ) -> Result<Self, Unidentified> {
        let device_type = path.leaf().extensions().role().and_then(|role| role.device_type);
        Self::build(path, name, roles, device_type, crypto)
    }

    /// Takes the holder of a key that no authority vouched for to be this device with these roles. Only for tests, and for
    /// peers that know raw keys alone: never where a verdict decides about care.
    #[must_use]
    pub fn danger_raw_key(
        encoding: &[u8],
        device_name: DeviceName,
        kind: CredentialKind,
        roles: Roles,
        device_type: Option<DeviceType>,
        crypto: &impl Crypto,
    ) -> Self {
        let nobody = KeyId::from_bytes([0; crate::id::ID_LENGTH]);
        Self {
            credential: CredentialId::of_signed(&[encoding], crypto),
            device: DeviceId::of(&device_name, crypto),
            device_name,
            kind,
            claimed: roles,
            roles,
            device_type,
            not_before: Time::from_unix(0),
            not_after: Time::NEVER,
            issuers: Bounded { items: [nobody; MAX_CHAIN], length: 0 },
            serial_number: Bounded { items: [0; MAX_SERIAL], length: 0 },
        }
    }

    fn build(
        path: &VerifiedPath<'_>,
        device_name: DeviceName,
        claimed: Roles,
        device_type: Option<DeviceType>,
        crypto: &impl Crypto,
    ) -> Result<Self, Unidentified> {
        let (leaf, anchor, validity) = (path.leaf(), path.anchor(), path.validity());
        Ok(Self {
            credential: leaf.credential_id(crypto),
            device: DeviceId::of(&device_name, crypto),
            device_name,
            kind: CredentialKind::given_by(anchor.kind),
            claimed,
            roles: claimed.intersection(anchor.roles),
            device_type,
            not_before: validity.not_before,
            not_after: validity.not_after,
            issuers: Bounded::new(path.issuer_keys(), anchor.key_id).ok_or(path::Error::ChainTooLong)?,
            serial_number: serial_number(leaf).ok_or(Unidentified::SerialNumber)?,
        })
    }
}

/// The content octets of the serial number's `INTEGER`, whatever form the credential is in.
fn serial_number(leaf: &Certificate<'_>) -> Option<Bounded<u8, MAX_SERIAL>> {
    let magnitude = leaf.serial_magnitude();
    let zeros = usize::from(magnitude.first().is_none_or(|first| *first >= 0x80));
    let mut items = [0; MAX_SERIAL];
    let length = magnitude.len().saturating_add(zeros);
    items.get_mut(zeros..length)?.iter_mut().zip(magnitude).for_each(|(to, from)| *to = *from);
    Some(Bounded { items, length })
}

/// The one `serialNumber` attribute of the subject.
fn device_name(leaf: &Certificate<'_>) -> Option<DeviceName> {
    DeviceName::from_text(leaf.subject().only(ids::SERIAL_NUMBER)?)
}

/// Why a peer stays unknown. Nothing it asks can be judged: it gets nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unidentified {
    /// No valid path leads to a known authority.
    Path(path::Error),
    /// The credential's subject has not exactly one `serialNumber` attribute that is a device name.
    NoDeviceName,
    /// The credential's serial number is longer than 20 octets.
    SerialNumber,
    /// The authority may not vouch for this type of device.
    DeviceType(Option<DeviceType>),
}

impl Unidentified {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Path(error) => error.code(),
            Self::NoDeviceName => "no-device-name",
            Self::SerialNumber => "serial-number-too-long",
            Self::DeviceType(_) => "device-type-not-vouched",
        }
    }
}

impl From<path::Error> for Unidentified {
    fn from(error: path::Error) -> Self {
        Self::Path(error)
    }
}

impl fmt::Display for Unidentified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(error) => error.fmt(f),
            Self::NoDeviceName => {
                f.write_str("the credential names no device (subject serialNumber, 1 to 64 characters)")
            }
            Self::SerialNumber => f.write_str("the credential's serial number is longer than 20 octets"),
            Self::DeviceType(Some(DeviceType(number))) => {
                write!(f, "the authority may not vouch for devices of type {number}")
            }
            Self::DeviceType(None) => {
                f.write_str("the credential states no device type, and its authority may vouch for some types only")
            }
        }
    }
}

impl core::error::Error for Unidentified {}

/// Finds out who a peer is: validates its chain, leaf first, and reads from the leaf which device it is and what its
/// authority says it is for. Validity periods and status are not judged here.
///
/// # Errors
/// [`Unidentified`]: there is no valid path to one of `anchors` within `budget`, the credential names no device, or the
/// authority may not vouch for its type.
pub fn authenticate(
    chain: &[&[u8]],
    anchors: &[Anchor<'_>],
    budget: &mut Budget,
    crypto: &impl Crypto,
) -> Result<Identified, Unidentified> {
    Identified::from_path(&path::validate(chain, anchors, budget, crypto)?, crypto)
}

#[cfg(test)]
impl Identified {
    /// A peer from nothing, for tests of what is decided about it.
    pub(crate) fn for_test(kind: CredentialKind, roles: Roles, validity: (Time, Time), issuers: &[KeyId]) -> Self {
        Self {
            credential: CredentialId::from_bytes([0xc0; 16]),
            device: DeviceId::from_bytes([0xde; 16]),
            device_name: DeviceName::new("device-1").unwrap(),
            kind,
            claimed: roles,
            roles,
            device_type: Some(DeviceType(1)),
            not_before: validity.0,
            not_after: validity.1,
            issuers: Bounded::new(issuers, KeyId::from_bytes([0; 16])).unwrap(),
            serial_number: Bounded::new(&[1], 0).unwrap(),
        }
    }
}

#[cfg(all(test, feature = "x509"))]
mod tests;
