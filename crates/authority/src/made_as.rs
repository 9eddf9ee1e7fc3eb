//! What a birth credential says that a device was made for, beside what the site's register says that it is. The register
//! decides, within what the trust list lets its maker vouch for; where the two differ a person is told.

use crate::registry::Device;
use crate::store::Pledge;
use crate::{Authority, Error};
use medlock_trust::{DeviceType, Identified, KeyId, Roles};
use std::fmt;

/// The alarm that a device was given other roles than it was made for.
const ALARM: &str = "made-for-something-else";

/// What a birth credential says that its device was made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MadeAs {
    /// Its roles.
    pub roles: Roles,
    /// What kind of device it is.
    pub device_type: Option<DeviceType>,
}

impl MadeAs {
    /// What this credential says, if it names a role: those of other makers often name none.
    #[must_use]
    pub fn of(who: &Identified) -> Option<Self> {
        let roles = who.claimed_roles();
        (roles != Roles::NONE).then(|| Self { roles, device_type: who.device_type() })
    }

    /// Whether the register gives the device a role, or calls it another kind, than it was made for.
    #[must_use]
    pub fn differs_from(&self, device: &Device) -> bool {
        let other_type =
            self.device_type.is_some() && device.device_type.is_some_and(|kind| Some(kind) != self.device_type);
        other_type || device.roles.iter().any(|role| !self.roles.contains(role))
    }

    /// How a device is registered as this.
    #[must_use]
    pub fn arguments(&self) -> String {
        let roles = self.roles.iter().map(|role| format!("--role {}", role.name()));
        let kind = self.device_type.map(|kind| format!("--type {}", kind.0));
        roles.chain(kind).collect::<Vec<_>>().join(" ")
    }

    fn warning(&self, device: &Device) -> String {
        let is = Self { roles: device.roles, device_type: device.device_type };
        format!(
            "{} is registered as {is}, and its birth credential says that it was made as {self}: it gets what the register says. \
             If that is not meant, correct the entry with `medlock device register {} --update` before it is used",
            device.name, device.name
        )
    }
}

impl fmt::Display for MadeAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let roles: Vec<&str> = self.roles.iter().map(|role| role.name()).collect();
        f.write_str(&roles.join(", "))?;
        self.device_type.map_or(Ok(()), |kind| write!(f, " of type {}", kind.0))
    }
}

impl Authority {
    /// What people must know of a device that is registered: no list has its maker, or it came before, and was made for something
    /// else.
    pub(crate) fn warning_of_entry(&self, device: &Device) -> Result<Option<String>, Error> {
        let Some(serial) = &device.maker_serial else { return Ok(None) };
        if let Some(maker) = device.maker_key.map(KeyId::from_bytes)
            && !self.knows_maker(maker)
        {
            return Ok(Some(format!(
                "no trust list that this site holds has a maker with the key {maker}, and until one has it nobody can vouch for the \
                 serial: compare it with `medlock trust-list show`"
            )));
        }
        let came: Vec<Pledge> = match device.maker_key {
            Some(maker) => self.store.pledge(KeyId::from_bytes(maker), serial)?.into_iter().collect(),
            None => self.held_pledges()?.into_iter().filter(|pledge| pledge.serial == *serial).collect(),
        };
        let made = came.iter().filter_map(|pledge| pledge.made_as).find(|made| made.differs_from(device));
        Ok(made.map(|made| made.warning(device)))
    }

    fn knows_maker(&self, maker: KeyId) -> bool {
        self.knowledge().with_knowledge(|knowledge, _| {
            knowledge.lists.iter().flat_map(|list| list.authorities()).any(|listed| listed.key == maker)
        })
    }

    /// What people must know when they approve a device that was made for something else.
    pub(crate) fn warning_of(made: Option<MadeAs>, device: &Device) -> Option<String> {
        made.filter(|made| made.differs_from(device)).map(|made| made.warning(device))
    }

    /// Raises an alarm where a device was given a credential for something else than it was made for.
    pub(crate) fn watch_what_it_was_made_for(&self, who: &Identified, device: &Device) -> Result<(), Error> {
        match Self::warning_of(MadeAs::of(who), device) {
            Some(warning) => self.alarm(ALARM, Some(device.name), warning),
            None => Ok(()),
        }
    }
}
