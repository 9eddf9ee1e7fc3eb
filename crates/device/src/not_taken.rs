//! Why a trust object is not taken.

use crate::bonds::BondRefused;
use crate::store::StoreError;
use core::fmt;
use medlock_trust::{Unidentified, bond, list, policy, status};

/// Why a trust object is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotTaken {
    /// It is no trust object.
    Unknown,
    /// Nobody told the device whose list to believe.
    NotPinned,
    /// The site's list, which says who may sign it, is not held.
    NoSiteList,
    /// The device has no name at the site yet.
    NoCredential,
    /// Only a physical act may do this.
    NeedsPhysicalAct,
    /// It is not newer than what is held.
    NotNewer,
    /// The credential's chain leads nowhere.
    Credential(Unidentified),
    /// It is not a credential of this device, for its own use, from its site; or a ticket that nobody here asked for, about
    /// nobody this device has a session with.
    NotOurs,
    /// The key store failed.
    KeyStore,
    /// The list is not believed.
    List(list::Refused),
    /// The status list or ticket is not believed.
    Status(status::Refused),
    /// The policy is not believed.
    Policy(policy::Refused),
    /// The suspension is not believed.
    Suspension(list::SuspensionRefused),
    /// The bond is not believed.
    Bond(bond::Refused),
    /// The bond cannot be taken.
    BondRefused(BondRefused),
    /// It was not kept.
    Store(StoreError),
}

impl NotTaken {
    /// Whether that was found without a signature: it cost next to nothing.
    pub(crate) const fn is_cheap(&self) -> bool {
        self.is_old() || matches!(self, Self::Unknown | Self::NotOurs | Self::NotPinned | Self::NoSiteList)
    }

    /// Whether it is only too old: what is held is as new, or newer.
    #[must_use]
    pub const fn is_old(&self) -> bool {
        matches!(
            self,
            Self::NotNewer
                | Self::List(list::Refused::NotNewer { .. })
                | Self::Status(status::Refused::NotNewer { .. })
                | Self::Policy(policy::Refused::NotNewer { .. })
                | Self::BondRefused(BondRefused::NotNewer { .. } | BondRefused::BeforeTheEnd)
        )
    }
}

macro_rules! from {
    ($($error:ty => $variant:ident,)*) => {
        $(impl From<$error> for NotTaken {
            fn from(error: $error) -> Self {
                Self::$variant(error)
            }
        })*
    };
}

from! {
    list::Refused => List,
    list::SuspensionRefused => Suspension,
    status::Refused => Status,
    policy::Refused => Policy,
    bond::Refused => Bond,
    BondRefused => BondRefused,
    StoreError => Store,
}

impl fmt::Display for NotTaken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("these bytes are no trust object"),
            Self::NotPinned => f.write_str("the device was not told whose list to believe"),
            Self::NoSiteList => f.write_str("the site's list, which names the signers, is not held yet"),
            Self::NoCredential => f.write_str("the device is not enrolled yet"),
            Self::NeedsPhysicalAct => f.write_str("this takes a physical act at the device"),
            Self::NotNewer => f.write_str("it is not newer than what is held"),
            Self::Credential(error) => error.fmt(f),
            Self::NotOurs => {
                f.write_str("it is for another device: no credential for a key of this one, no ticket it needs")
            }
            Self::KeyStore => f.write_str("the key store failed"),
            Self::List(error) => error.fmt(f),
            Self::Suspension(error) => error.fmt(f),
            Self::Status(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
            Self::Bond(error) => error.fmt(f),
            Self::BondRefused(BondRefused::NotNewer { held, given }) => {
                write!(f, "bond epoch {given} is not above {held}, which this device has seen")
            }
            Self::BondRefused(BondRefused::TooFar { held, given }) => {
                write!(f, "bond epoch {given} is too far above {held}, the highest that this device has seen")
            }
            Self::BondRefused(BondRefused::BeforeTheEnd) => {
                f.write_str("it was signed before a person at the device ended all bonds")
            }
            Self::BondRefused(BondRefused::Full) => f.write_str("there is no room for another bond"),
            Self::BondRefused(BondRefused::UsedUp) => f.write_str("the epochs of bonds are used up"),
            Self::Store(StoreError::TooLong) => f.write_str("it is longer than a slot of the flash"),
            Self::Store(StoreError::Full) => f.write_str("every slot of the flash is in use"),
            Self::Store(StoreError::Flash) => f.write_str("the flash failed"),
        }
    }
}

impl core::error::Error for NotTaken {}
