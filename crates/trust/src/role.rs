//! What a device is for: roles, device types, and the extension that carries both in a certificate.

use crate::operation::{Operation, Operations};
use core::fmt;

/// What a device is for. A role says which operations its holder may ask at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Role {
    /// Serves a site: enrolment, trust objects, news.
    Hub = 0,
    /// Makes images: a CT, an MR, an ultrasound.
    Modality = 1,
    /// Keeps images and gives them out: a PACS.
    Archive = 2,
    /// Measures: a glucose sensor, a pulse oximeter.
    Sensor = 3,
    /// Commands therapy: a dosing controller.
    Controller = 4,
    /// Delivers therapy: an infusion pump.
    Actuator = 5,
    /// Shows and raises alarms: a bedside or central monitor.
    Monitor = 6,
    /// Carries other devices' data: a broker's guard, an interface engine.
    Gateway = 7,
}

impl Role {
    /// All roles, in the order of their numbers.
    pub const ALL: [Self; 8] = [
        Self::Hub,
        Self::Modality,
        Self::Archive,
        Self::Sensor,
        Self::Controller,
        Self::Actuator,
        Self::Monitor,
        Self::Gateway,
    ];

    /// The role's stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hub => "hub",
            Self::Modality => "modality",
            Self::Archive => "archive",
            Self::Sensor => "sensor",
            Self::Controller => "controller",
            Self::Actuator => "actuator",
            Self::Monitor => "monitor",
            Self::Gateway => "gateway",
        }
    }

    /// The role with this stable name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The operations a holder of this role may ask. `read` and `renew` need no role (invariant I5).
    #[must_use]
    pub const fn operations(self) -> Operations {
        use Operation::{Configure, Halt, Inform, Report, Store, Sustain, Treat};
        match self {
            Self::Hub => Operations::of(&[Sustain, Configure]),
            Self::Modality | Self::Archive => Operations::of(&[Store]),
            Self::Sensor | Self::Actuator => Operations::of(&[Report, Inform, Sustain]),
            Self::Controller => Operations::of(&[Report, Sustain, Treat, Halt, Configure]),
            Self::Monitor => Operations::of(&[Report, Sustain]),
            Self::Gateway => Operations::of(&[Report, Sustain, Store]),
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of roles: bit `n` stands for the role with number `n`. Roles of a later version are kept and grant nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Roles(u32);

impl Roles {
    /// No role.
    pub const NONE: Self = Self(0);
    /// Every role, also those not yet named: what an anchor trusted for everything vouches for.
    pub const EVERY: Self = Self(u32::MAX);

    /// The set with these members.
    #[must_use]
    pub const fn of(members: &[Role]) -> Self {
        let mut bits = 0;
        let mut rest = members;
        while let Some((first, tail)) = rest.split_first() {
            bits |= Self::bit(*first);
            rest = tail;
        }
        Self(bits)
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

    /// Whether `role` is in the set.
    #[must_use]
    pub const fn contains(self, role: Role) -> bool {
        self.0 & Self::bit(role) != 0
    }

    /// What is in both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there is no role at all.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The named members, in order.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }

    /// All operations that some role in the set allows to ask.
    #[must_use]
    pub fn operations(self) -> Operations {
        self.iter().fold(Operations::NONE, |all, role| all.union(role.operations()))
    }

    const fn bit(role: Role) -> u32 {
        match role {
            Role::Hub => 1,
            Role::Modality => 1 << 1,
            Role::Archive => 1 << 2,
            Role::Sensor => 1 << 3,
            Role::Controller => 1 << 4,
            Role::Actuator => 1 << 5,
            Role::Monitor => 1 << 6,
            Role::Gateway => 1 << 7,
        }
    }
}

/// What kind of device it is, as a number of `docs/device-types.md`. Authorities are trusted for some types only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeviceType(pub u16);

/// The device types an authority may vouch for. Borrowed, so that a list of them can stay where it was signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceTypes<'a> {
    /// Every type, and devices that state none.
    Every,
    /// These types: big-endian numbers of two bytes each, strictly ascending. Made by [`DeviceTypes::listed`].
    Listed(&'a [u8]),
}

impl<'a> DeviceTypes<'a> {
    /// The set of the types in `numbers`: big-endian, two bytes each; `None` unless they strictly ascend.
    #[must_use]
    pub fn listed(numbers: &'a [u8]) -> Option<Self> {
        let (pairs, rest) = numbers.as_chunks::<2>();
        (rest.is_empty() && pairs.is_sorted_by(|a, b| a < b)).then_some(Self::Listed(numbers))
    }

    /// Whether `device_type` is one of them; a device that states no type is covered by [`DeviceTypes::Every`] alone.
    #[must_use]
    pub fn contains(self, device_type: Option<DeviceType>) -> bool {
        match (self, device_type) {
            (Self::Every, _) => true,
            (Self::Listed(_), None) => false,
            (Self::Listed(numbers), Some(DeviceType(number))) => {
                numbers.as_chunks::<2>().0.binary_search(&number.to_be_bytes()).is_ok()
            }
        }
    }
}
