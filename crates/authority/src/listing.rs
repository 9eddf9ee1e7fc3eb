//! What an administrator is shown of devices and their credentials.

use crate::admin::{CredentialView, DeviceView, Response, Search};
use crate::brski::registrar::NO_VOUCHER;
use crate::enrolment::UNKNOWN_CREDENTIAL;
use crate::registry::{Device, DeviceConfig};
use crate::store::{Alarm, DeviceSearch, Holding, Issued, Serial, Standing, StandingState, Subject};
use crate::{Authority, Error, status};
use data_encoding::HEXLOWER_PERMISSIVE;
use medlock_node::enrol::NEEDS_CODE;
use medlock_trust::KeyId;
use std::collections::{HashMap, HashSet};

/// How a credential stands against which nothing is known but that its issuing key was stolen.
const ISSUER_COMPROMISED: &str = "issuer-compromised";

/// What is known against issuing keys.
type AgainstIssuers = HashMap<KeyId, Standing>;

/// What else is known of a device than what it was issued.
struct Seen<'a> {
    /// Whether a request of it waits for a person.
    waits: bool,
    /// That it was seen with a credential that is not in the store.
    unknown: Option<&'a Alarm>,
    /// Whether it was here, and its maker gave no voucher for it.
    elsewhere: bool,
}

impl Seen<'_> {
    /// That it has such a credential still: it was shown, and the `newest` of the store is from before, or never used since.
    fn has_unknown(&self, newest: Option<&Issued>) -> Option<&Alarm> {
        let came_back = |seen: &Alarm| newest.is_some_and(|newest| newest.used && newest.record.at >= seen.at);
        let since = |seen: &Alarm| newest.is_none_or(|newest| newest.record.at <= seen.last);
        self.unknown.filter(|seen| since(seen) && !came_back(seen))
    }
}

impl Authority {
    pub(crate) fn find(&self, search: Search, after: Option<&str>, limit: u32) -> Result<Response, Error> {
        let search = match search {
            Search::Name(start) => DeviceSearch::Name(start),
            Search::MakerSerial(start) => DeviceSearch::MakerSerial(start),
            Search::Owner(owner) => DeviceSearch::Owner(owner),
            Search::Serial(text) => {
                let octets = HEXLOWER_PERMISSIVE.decode(text.replace(':', "").as_bytes()).ok();
                let serial = octets.and_then(|octets| Serial::from_octets(&octets));
                let serial = serial.ok_or_else(|| Error::invalid("serial", format!("{text:?} is no serial number")))?;
                let name = self.store.issued_with_serial(serial)?.and_then(|issued| issued.record.device);
                let device = name.map(|name| self.store.device(name)).transpose()?.flatten();
                return Ok(Response::Devices { devices: self.views(device.as_slice())? });
            }
        };
        self.list(&search, after, limit)
    }

    pub(crate) fn list(&self, search: &DeviceSearch, after: Option<&str>, limit: u32) -> Result<Response, Error> {
        let devices = self.store.devices_page(search, after, limit)?;
        Ok(Response::Devices { devices: self.views(&devices)? })
    }

    pub(crate) fn show(&self, device: &Device) -> Result<Response, Error> {
        let mut views = self.views(std::slice::from_ref(device))?;
        let unknown = || Error::Unknown { what: "device", name: device.name.to_string() };
        Ok(Response::Device(views.pop().ok_or_else(unknown)?))
    }

    fn views(&self, devices: &[Device]) -> Result<Vec<DeviceView>, Error> {
        let names: Vec<_> = devices.iter().map(|device| device.name).collect();
        let holdings = self.store.holdings(&names)?;
        let waiting: HashSet<_> = self.store.waiting()?.into_iter().filter_map(|waiting| waiting.device).collect();
        let mut issuers = AgainstIssuers::new();
        for key in self.keys().iter().map(|key| key.certificate.key) {
            issuers.extend(self.store.standing(Subject::Issuer(key))?.map(|standing| (key, standing)));
        }
        let unknown = self.store.last_alarms(UNKNOWN_CREDENTIAL, &names)?;
        let elsewhere = self.store.last_alarms(NO_VOUCHER, &names)?;
        let view = |(device, holding): (&Device, Holding)| {
            let seen = Seen {
                waits: waiting.contains(&device.name),
                unknown: unknown.get(&device.name),
                elsewhere: elsewhere.contains_key(&device.name),
            };
            self.device_view(device, holding, &seen, &issuers)
        };
        Ok(devices.iter().zip(holdings).map(view).collect())
    }

    fn device_view(&self, device: &Device, holding: Holding, seen: &Seen<'_>, issuers: &AgainstIssuers) -> DeviceView {
        let Holding { against, issued } = holding;
        let unknown = seen.has_unknown(issued.first().map(|(newest, _)| newest));
        // What has come after a credential that was replaced is not in the store, or was never given.
        let replaced = issued.first().and_then(|(_, own)| own.as_ref());
        let replaced = replaced.is_some_and(|own| own.state == StandingState::Superseded);
        let view = |(issued, own): &(Issued, Option<Standing>)| {
            self.credential_view(issued, [own.as_ref(), against.as_ref()], issuers)
        };
        let credentials: Vec<_> = issued.iter().map(view).collect();
        let good = credentials.iter().any(|credential| matches!(credential.state.as_str(), "good" | "expired"));
        let renewable = credentials.iter().any(|credential| credential.state == ISSUER_COMPROMISED);
        let state = match against.as_ref().map(|standing| standing.state) {
            Some(StandingState::Suspended) => "suspended",
            Some(StandingState::Compromised) => "revoked",
            Some(StandingState::Ceased | StandingState::Superseded) => "retired",
            None if seen.waits && (unknown.is_some() || !good) => "waiting",
            None if unknown.is_some() => NEEDS_CODE,
            None if good => "enrolled",
            None if renewable => "must-renew",
            None if replaced => NEEDS_CODE,
            None if !credentials.is_empty() => "revoked",
            None if seen.elsewhere => NO_VOUCHER,
            None => "registered",
        };
        let unknown =
            unknown.map(|seen| format!("a credential that this hub does not know was shown at {}", seen.last));
        let reason = against.map(|standing| format!("{}, since {}", standing.reason, standing.since)).or(unknown);
        DeviceView { entry: DeviceConfig::from(device), state: state.to_owned(), reason, warning: None, credentials }
    }

    /// `known` is what is known against the credential and against its device.
    fn credential_view(
        &self,
        issued: &Issued,
        known: [Option<&Standing>; 2],
        issuers: &AgainstIssuers,
    ) -> CredentialView {
        let record = &issued.record;
        let issuer = issuers.get(&self.issuing_key_of(&issued.certificate));
        let worst = status::worst_of(known.into_iter().flatten().chain(issuer));
        let state = match worst.map(|standing| standing.state) {
            Some(StandingState::Suspended) => "suspended",
            Some(StandingState::Superseded) => "superseded",
            Some(StandingState::Ceased) => "ceased",
            Some(StandingState::Compromised) if known == [None; 2] => ISSUER_COMPROMISED,
            Some(StandingState::Compromised) => "compromised",
            None if record.not_after < self.clock.now() => "expired",
            None => "good",
        };
        CredentialView {
            id: issued.credential.to_string(),
            serial: record.serial.to_string(),
            key: record.key.to_string(),
            not_before: record.not_before.to_string(),
            not_after: record.not_after.to_string(),
            state: state.to_owned(),
        }
    }
}
