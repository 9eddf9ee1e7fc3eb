//! The register: the site's list of its devices. Names and roles in a credential come from here, never from a request.

use crate::store::{StandingState, Subject};
use crate::{Authority, Error};
use medlock_trust::{CredentialId, DeviceName, DeviceType, Role, Roles};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The most names of one kind that an entry has.
pub const MAX_NAMES: usize = 16;

/// One device as it is written in a configuration file, on a command line or in an admin request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeviceConfig {
    /// The device's name at this site: 1 to 64 printable ASCII characters. It is the subject's `serialNumber`.
    pub name: String,
    /// Who answers for the device: a department, a person's function, a telephone number.
    #[serde(default)]
    pub owner: String,
    /// The serial its maker gave it, by which a birth credential is recognised.
    #[serde(default)]
    pub maker_serial: Option<String>,
    /// The key of the maker that may vouch for the serial, as 32 hexadecimal digits. When it is absent, the serial alone
    /// lets the device in only if the trust list has exactly one maker; else a person decides.
    #[serde(default)]
    pub maker_key: Option<String>,
    /// What the device is for: `modality`, `archive`, `sensor`, `controller`, `actuator`, `monitor`, `gateway`.
    pub roles: Vec<String>,
    /// What kind of device it is, as a number of `docs/device-types.md`.
    #[serde(default)]
    pub device_type: Option<u16>,
    /// DNS names for its credential.
    #[serde(default)]
    pub dns: Vec<String>,
    /// IP addresses for its credential.
    #[serde(default)]
    pub ips: Vec<IpAddr>,
    /// DICOM application entity titles the device may use: 1 to 16 characters each.
    #[serde(default)]
    pub ae_titles: Vec<String>,
    /// Where other sidecars reach this device's sidecar: `host:port`.
    #[serde(default)]
    pub sidecar: Option<String>,
    /// How long its credentials are good, in seconds, where that is less than the profile says.
    #[serde(default)]
    pub validity_seconds: Option<u64>,
}

/// One device of the register, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The device's name at this site.
    pub name: DeviceName,
    /// Who answers for it.
    pub owner: String,
    /// The serial its maker gave it.
    pub maker_serial: Option<String>,
    /// The key of the maker that may vouch for the serial.
    pub maker_key: Option<[u8; 16]>,
    /// What it is for.
    pub roles: Roles,
    /// What kind of device it is.
    pub device_type: Option<DeviceType>,
    /// DNS names for its credential.
    pub dns: Vec<String>,
    /// IP addresses for its credential.
    pub ips: Vec<IpAddr>,
    /// DICOM application entity titles it may use.
    pub ae_titles: Vec<String>,
    /// Where other sidecars reach its sidecar.
    pub sidecar: Option<String>,
    /// A limit on the validity of its credentials, in seconds.
    pub validity_seconds: Option<u64>,
}

impl Device {
    /// A device of which nothing but the name is said.
    pub(crate) fn named(name: DeviceName) -> Self {
        Self {
            name,
            owner: String::new(),
            maker_serial: None,
            maker_key: None,
            roles: Roles::NONE,
            device_type: None,
            dns: Vec::new(),
            ips: Vec::new(),
            ae_titles: Vec::new(),
            sidecar: None,
            validity_seconds: None,
        }
    }
}

impl TryFrom<DeviceConfig> for Device {
    type Error = Error;

    fn try_from(raw: DeviceConfig) -> Result<Self, Error> {
        let name = DeviceName::new(&raw.name).ok_or_else(|| {
            Error::invalid("device name", format!("{:?} is not 1 to 64 printable ASCII characters", raw.name))
        })?;
        limit("owner", raw.owner.len(), 256)?;
        limit("dns", raw.dns.len(), MAX_NAMES)?;
        limit("ips", raw.ips.len(), MAX_NAMES)?;
        limit("ae_titles", raw.ae_titles.len(), MAX_NAMES)?;
        raw.dns.iter().try_for_each(|dns| dns_name(dns))?;
        raw.ae_titles.iter().try_for_each(|title| ae_title(title))?;
        raw.sidecar.as_deref().map_or(Ok(()), host_and_port)?;
        if let Some(serial) = &raw.maker_serial {
            limit("maker_serial", serial.len(), 64)?;
            if serial.is_empty() {
                return Err(Error::invalid("maker_serial", "it is empty: leave it out instead"));
            }
        }
        if raw.validity_seconds == Some(0) {
            return Err(Error::invalid("validity_seconds", "give at least 1, or leave it out"));
        }
        Ok(Self {
            name,
            owner: raw.owner,
            maker_serial: raw.maker_serial,
            maker_key: raw.maker_key.as_deref().map(key_id).transpose()?,
            roles: roles(&raw.roles)?,
            device_type: raw.device_type.map(DeviceType),
            dns: raw.dns,
            ips: raw.ips,
            ae_titles: raw.ae_titles,
            sidecar: raw.sidecar,
            validity_seconds: raw.validity_seconds,
        })
    }
}

impl From<&Device> for DeviceConfig {
    fn from(device: &Device) -> Self {
        Self {
            name: device.name.as_str().to_owned(),
            owner: device.owner.clone(),
            maker_serial: device.maker_serial.clone(),
            maker_key: device.maker_key.map(|key| data_encoding::HEXLOWER.encode(&key)),
            roles: device.roles.iter().map(|role| role.name().to_owned()).collect(),
            device_type: device.device_type.map(|kind| kind.0),
            dns: device.dns.clone(),
            ips: device.ips.clone(),
            ae_titles: device.ae_titles.clone(),
            sidecar: device.sidecar.clone(),
            validity_seconds: device.validity_seconds,
        }
    }
}

impl Authority {
    /// The device with this name in the register. Reads the store: blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn registered_device(&self, name: &DeviceName) -> Result<Option<Device>, Error> {
        Ok(self.store.device(*name)?)
    }

    /// Whether a device has left: it is not in the register, or it or this credential of it is revoked. Reads the store: blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn has_left(&self, name: &DeviceName, credential: CredentialId) -> Result<bool, Error> {
        if self.store.device(*name)?.is_none() {
            return Ok(true);
        }
        for subject in [Subject::Device(*name), Subject::Credential(credential)] {
            let standing = self.store.standing(subject)?.map(|standing| standing.state);
            if matches!(standing, Some(StandingState::Ceased | StandingState::Compromised)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether one credential was issued as a renewal of another, or of one that was, over at most 64 steps.
    ///
    /// # Errors
    /// [`Error`].
    pub fn follows(&self, old: CredentialId, new: CredentialId) -> Result<bool, Error> {
        let mut at = new;
        for _ in 0..STEPS {
            match self.store.issued(at)?.and_then(|issued| issued.record.parent) {
                Some(parent) if parent == old => return Ok(true),
                Some(parent) => at = parent,
                None => return Ok(false),
            }
        }
        Ok(false)
    }
}

/// Renewals that are looked back over: a token that lives an hour sees one or two.
const STEPS: u8 = 64;

/// The roles with these names.
///
/// # Errors
/// [`Error::Invalid`] when the list is empty or a name is not a role's.
pub fn roles(names: &[String]) -> Result<Roles, Error> {
    // A hub is not entered by anybody: whoever mistypes another role is not offered this one.
    let known = || {
        let offered = Role::ALL.into_iter().filter(|role| *role != Role::Hub);
        offered.map(Role::name).collect::<Vec<_>>().join(", ")
    };
    let members = names
        .iter()
        .map(|name| {
            Role::from_name(name).ok_or_else(|| Error::invalid("role", format!("{name:?} is none of {}", known())))
        })
        .collect::<Result<Vec<_>, _>>()?;
    if members.is_empty() {
        return Err(Error::invalid("roles", format!("a device needs at least one of {}", known())));
    }
    Ok(Roles::of(&members))
}

fn limit(what: &str, length: usize, most: usize) -> Result<(), Error> {
    if length > most { Err(Error::invalid(what, format!("{length} is more than the {most} allowed"))) } else { Ok(()) }
}

/// A host name as RFC 1123 section 2.1 allows it, without wildcards.
fn dns_name(name: &str) -> Result<(), Error> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) || name.parse::<IpAddr>().is_ok() {
        return Err(Error::invalid(
            "dns name",
            format!("{name:?} is not a host name (letters, digits, hyphens, dots)"),
        ));
    }
    Ok(())
}

/// An application entity title (PS3.5 table 6.2-1, VR AE): 1 to 16 characters, no backslash, no control character, and
/// no spaces at its ends, where they would not count.
fn ae_title(title: &str) -> Result<(), Error> {
    let fits = (1..=16).contains(&title.len())
        && title.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\')
        && title.trim() == title;
    if fits {
        return Ok(());
    }
    Err(Error::invalid("AE title", format!("{title:?} is not 1 to 16 printable characters without backslash")))
}

fn host_and_port(address: &str) -> Result<(), Error> {
    let good = address.len() <= 260
        && address.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty()
                && port.parse::<u16>().is_ok_and(|port| port != 0)
                && host.bytes().all(|b| b.is_ascii_graphic())
        });
    if good { Ok(()) } else { Err(Error::invalid("sidecar address", format!("{address:?} is not host:port"))) }
}

pub(crate) fn key_id(hex: &str) -> Result<[u8; 16], Error> {
    data_encoding::HEXLOWER_PERMISSIVE
        .decode(hex.as_bytes())
        .ok()
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or_else(|| Error::invalid("key identifier", format!("{hex:?} is not 32 hexadecimal digits")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ct() -> DeviceConfig {
        DeviceConfig {
            name: "ct-1".into(),
            roles: vec!["modality".into()],
            ae_titles: vec!["CT1".into()],
            sidecar: Some("10.0.0.1:2762".into()),
            ..DeviceConfig::default()
        }
    }

    #[test]
    fn a_good_entry_survives_the_way_there_and_back() {
        let device = Device::try_from(ct()).unwrap();
        assert_eq!(DeviceConfig::from(&device), ct());
    }

    #[test]
    fn entries_that_would_lie_in_a_credential_are_refused() {
        let bad: [fn(&mut DeviceConfig); 11] = [
            |c| c.validity_seconds = Some(0),
            |c| c.name = String::new(),
            |c| c.name = "a\nb".into(),
            |c| c.roles.clear(),
            |c| c.roles = vec!["root".into()],
            |c| c.dns = vec!["*.example".into()],
            |c| c.dns = vec!["a..b".into()],
            |c| c.ae_titles = vec!["SEVENTEENLETTERSX".into()],
            |c| c.ae_titles = vec!["A\\B".into()],
            |c| c.sidecar = Some("nowhere".into()),
            |c| c.maker_key = Some("00".into()),
        ];
        for (i, spoil) in bad.into_iter().enumerate() {
            let mut config = ct();
            spoil(&mut config);
            assert!(Device::try_from(config).is_err(), "case {i}");
        }
    }
}
