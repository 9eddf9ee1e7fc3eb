//! Birth credentials (IEEE 802.1AR IDevID) that a maker gives to the devices it builds, one or a hundred thousand.
//!
//! Each device has made its key itself: a row brings the public half or a request. A row is answered the same way however
//! often it comes: who lost the answers hands the rows in again.

mod material;

pub use material::{Material, material};

use crate::enrolment::{Unfit, another_of};
use crate::issue::{self, Form, Template};
use crate::registry::{self, Device};
use crate::store::{Issued, Past, Purpose};
use crate::{Authority, Error, authority, settings};
use data_encoding::BASE64;
use medlock_trust::x509::{Certificate, GeneralName, Request, SignedForm, ids};
use medlock_trust::{DeviceName, DeviceType, KeyId, Roles, Time};
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most rows of one batch: as many as the store puts into one commit.
pub const MAX_ROWS: usize = 512;
/// Rows of a batch that are worked on at once.
const AT_ONCE: usize = 128;
/// The stack of a thread that works on a batch, in bytes: it does little more than wait for the store.
const STACK: usize = 512 << 10;

/// What a maker's birth credentials say, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BirthProfileConfig {
    /// What the devices are for: `modality`, `archive`, `sensor`, `controller`, `actuator`, `monitor`, `gateway`.
    pub roles: Vec<String>,
    /// What kind of device they are, as a number of `docs/device-types.md`, where a row does not say it.
    #[serde(default)]
    pub device_type: Option<u16>,
    /// What kinds of device rows may name beside that one.
    #[serde(default)]
    pub device_types: Vec<u16>,
    /// What each serial begins with: a mistyped or foreign one is refused.
    #[serde(default)]
    pub serial_prefix: String,
    /// `x509` or `c509`; if absent, requests are answered as they are written, and bare keys in X.509.
    #[serde(default)]
    pub form: Option<Form>,
}

/// A checked profile.
#[derive(Clone, Debug, PartialEq, Eq)]
struct BirthProfile {
    roles: Roles,
    device_type: Option<DeviceType>,
    device_types: Vec<DeviceType>,
    serial_prefix: String,
    form: Option<Form>,
}

impl TryFrom<BirthProfileConfig> for BirthProfile {
    type Error = Error;

    fn try_from(raw: BirthProfileConfig) -> Result<Self, Error> {
        if !raw.serial_prefix.is_empty() && DeviceName::new(&raw.serial_prefix).is_none() {
            return Err(Error::invalid("serial_prefix", "give at most 64 printable ASCII characters"));
        }
        Ok(Self {
            roles: registry::roles(&raw.roles)?,
            device_type: raw.device_type.map(DeviceType),
            device_types: raw.device_types.into_iter().map(DeviceType).collect(),
            serial_prefix: raw.serial_prefix,
            form: raw.form,
        })
    }
}

/// One device that is to get a birth credential.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Row {
    /// The serial the maker gives it: 1 to 64 printable ASCII characters. If absent, that of the request's subject.
    #[serde(default)]
    pub serial: Option<String>,
    /// The serial if neither the row nor its request says it: a request's file is often named so.
    #[serde(default)]
    pub named_by: Option<String>,
    /// The public key (`SubjectPublicKeyInfo`) or the request (PKCS#10 or C509) that the device made: PEM, or the bytes
    /// in base64 or hexadecimal.
    pub material: String,
    /// What kind of device it is, where that is not what the profile says.
    #[serde(default)]
    pub device_type: Option<u16>,
}

/// What became of a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum RowOutcome {
    /// It got a credential.
    Issued(Birth),
    /// It had got one before, for the same key: this is that one.
    IssuedBefore(Birth),
    /// It got none.
    Refused {
        /// Its serial, as far as it is known.
        serial: String,
        /// The reason's stable name.
        code: String,
        /// The reason, and what to do.
        reason: String,
    },
}

/// A birth credential.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Birth {
    /// The device's serial.
    pub serial: String,
    /// The credential's identifier, in hexadecimal.
    pub credential: String,
    /// Its key's identifier, in hexadecimal.
    pub key: String,
    /// The certificate, DER or C509, in base64.
    pub certificate: String,
}

impl RowOutcome {
    fn refused(serial: Option<&str>, unfit: &Unfit) -> Self {
        let serial = serial.unwrap_or_default().to_owned();
        Self::Refused { serial, code: unfit.code().to_owned(), reason: unfit.to_string() }
    }
}

fn no_outcome() -> Error {
    Error::Lint("a row has no outcome".to_owned())
}

/// Does this for each number below `count`, so many at once, and gives what came of it, in their order. The first failure
/// stops it.
fn each<T: Send>(
    count: usize,
    at_once: usize,
    work: impl Fn(usize) -> Result<T, Error> + Sync,
) -> Result<Vec<T>, Error> {
    let next = AtomicUsize::new(0);
    let (done, failure) = (Mutex::new(Vec::new()), Mutex::new(None));
    let work = || {
        while let Some(number) = Some(next.fetch_add(1, Ordering::Relaxed)).filter(|number| *number < count) {
            match work(number) {
                Ok(outcome) => authority::held(&done).push((number, outcome)),
                Err(error) => {
                    next.store(count, Ordering::Relaxed);
                    authority::held(&failure).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..count.min(at_once) {
            let started = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
            if started.is_err() {
                // No more threads: those that are there do the work.
                break;
            }
        }
        work();
    });
    if let Some(error) = authority::held(&failure).take() {
        return Err(error);
    }
    let mut done = std::mem::take(&mut *authority::held(&done));
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, outcome)| outcome).collect())
}

/// A row whose key may have a credential.
struct Accepted {
    device: Device,
    spki: Vec<u8>,
    key: KeyId,
    form: Form,
}

impl Authority {
    /// Gives birth credentials to a batch of devices; one outcome for each row, in their order. The rows are worked on
    /// at once: what waits takes its steps together ([`issue::Room`]).
    ///
    /// # Errors
    /// [`Error`] when this is no maker, the profile cannot be used, there are more than [`MAX_ROWS`] rows, or store or
    /// signer failed: rows that got their credential before are told so when they come again.
    pub fn provision(&self, profile: BirthProfileConfig, rows: &[Row]) -> Result<Vec<RowOutcome>, Error> {
        if self.settings.kind != settings::Kind::Maker {
            let remedy = "birth credentials are made by a maker's authority: `medlock authority create-maker`";
            return Err(Error::Conflict(remedy.to_owned()));
        }
        if rows.len() > MAX_ROWS {
            return Err(Error::invalid("rows", format!("{} are more than the {MAX_ROWS} of a batch", rows.len())));
        }
        let profile = BirthProfile::try_from(profile)?;
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let row = |number: usize| rows.get(number).map_or_else(|| Err(no_outcome()), |row| self.accept(&profile, row));
        let accepted = each(rows.len(), processors, row)?;
        // Of two rows for one device, or with one key, the earlier one wins: the others wait until all of the first are done.
        let (mut names, mut keys) = (HashSet::new(), HashSet::new());
        let (first, later): (Vec<usize>, Vec<usize>) = (0..rows.len()).partition(|place| match accepted.get(*place) {
            Some(Ok(one)) => names.insert(one.device.name) & keys.insert(one.key),
            Some(Err(_)) | None => true,
        });
        let birth = |places: &[usize], number: usize| {
            let place = *places.get(number).ok_or_else(no_outcome)?;
            let outcome = match (accepted.get(place), rows.get(place)) {
                (Some(Ok(accepted)), _) => self.birth(&profile, accepted)?,
                (Some(Err(unfit)), Some(row)) => RowOutcome::refused(row.serial.as_deref(), unfit),
                (Some(Err(_)) | None, _) => return Err(no_outcome()),
            };
            Ok((place, outcome))
        };
        let mut outcomes = each(first.len(), AT_ONCE, |number| birth(&first, number))?;
        outcomes.extend(each(later.len(), 1, |number| birth(&later, number))?);
        outcomes.sort_by_key(|(place, _)| *place);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Gives one device its birth credential, or the one it has for this key; with the authority's certificates behind it.
    ///
    /// # Errors
    /// As [`Authority::provision`]; [`Error::Invalid`] when the row is refused.
    pub fn provision_one(&self, profile: BirthProfileConfig, row: Row) -> Result<Vec<Vec<u8>>, Error> {
        match self.provision(profile, &[row])?.pop() {
            Some(RowOutcome::Issued(birth) | RowOutcome::IssuedBefore(birth)) => {
                let certificate = BASE64.decode(birth.certificate.as_bytes());
                Ok(self.chain(certificate.map_err(|error| Error::Lint(error.to_string()))?))
            }
            Some(RowOutcome::Refused { serial, reason, .. }) => Err(Error::invalid(serial, reason)),
            None => Err(no_outcome()),
        }
    }

    fn birth(&self, profile: &BirthProfile, accepted: &Accepted) -> Result<RowOutcome, Error> {
        let (name, key) = (accepted.device.name, accepted.key);
        if let Err(unfit) = self.check_form(accepted.form) {
            return Ok(RowOutcome::refused(Some(name.as_str()), &unfit));
        }
        let _device = self.device_lock(name);
        let _key = self.key_lock(key);
        let Past { turn, against, of_device, of_key } = self.store.past(name, key)?;
        if let Some(unfit) = self.compromised(&of_key)? {
            return Ok(RowOutcome::refused(Some(name.as_str()), &unfit));
        }
        if let Some(standing) = against {
            let what = format!("{name} is {}: it gets no credential any more", standing.reason);
            return Ok(RowOutcome::refused(Some(name.as_str()), &Unfit::WrongName(what)));
        }
        match self.birth_before(accepted, profile.form, of_device)? {
            Some(Ok(before)) => return Ok(RowOutcome::IssuedBefore(before)),
            Some(Err(unfit)) => return Ok(RowOutcome::refused(Some(name.as_str()), &unfit)),
            None => {}
        }
        if let Some(unfit) = another_of(&of_key, name) {
            return Ok(RowOutcome::refused(Some(name.as_str()), &unfit));
        }
        self.ask_for_issuing_key()?;
        let (now, rules) = (self.clock.now(), self.rules());
        let template = Template {
            form: accepted.form,
            purpose: Purpose::Birth,
            organization: &self.settings.name,
            device: Some(&accepted.device),
            authority: None,
            maker_serial: Some(name.as_str()),
            spki: &accepted.spki,
            parent: None,
            not_before: self.uncovered(now.plus_seconds(-rules.profile.backdate_seconds())),
            not_after: Time::NEVER,
            addresses: None,
            masa: rules.masa.as_deref(),
        };
        let issued = issue::issue_in_turn(&template, &self.issuing().issuer(), now, turn, &self.line());
        let (credential, certificate) = issued.inspect_err(|error| self.missed_key(error))?;
        Ok(RowOutcome::Issued(Birth {
            serial: name.to_string(),
            credential: credential.to_string(),
            key: key.to_string(),
            certificate: BASE64.encode(&certificate),
        }))
    }

    /// The credential that this device has for this key, or why it gets none.
    fn birth_before(
        &self,
        accepted: &Accepted,
        form: Option<Form>,
        of_device: Vec<Issued>,
    ) -> Result<Option<Result<Birth, Unfit>>, Error> {
        let (name, key) = (accepted.device.name, accepted.key);
        for issued in of_device {
            // What a stolen key has issued is still believed where the log has it.
            if self.worst_of_itself(&issued)?.is_some() {
                continue;
            }
            let Issued { record, credential, certificate, .. } = issued;
            if record.key != key {
                return Ok(Some(Err(Unfit::SecondKey(format!(
                    "{name} has a birth credential for another key ({}): two devices have one serial, or its board was \
                     replaced; then revoke it first: `medlock device revoke {name} --reason superseded`",
                    record.key
                )))));
            }
            if !says_the_same(&certificate, accepted, form) {
                return Ok(Some(Err(Unfit::WrongProfile(format!(
                    "{name} has a birth credential that says something else of its roles, its type or its form \
                     (`medlock inspect`): use the profile of then, or revoke it first: `medlock device revoke {name} \
                     --reason superseded`"
                )))));
            }
            self.log().await_covered(record.serial)?;
            return Ok(Some(Ok(Birth {
                serial: name.to_string(),
                credential: credential.to_string(),
                key: key.to_string(),
                certificate: BASE64.encode(&certificate),
            })));
        }
        Ok(None)
    }

    fn accept(&self, profile: &BirthProfile, row: &Row) -> Result<Result<Accepted, Unfit>, Error> {
        let material = match material(&row.material) {
            Ok(material) => material,
            Err(unfit) => return Ok(Err(unfit)),
        };
        let (spki, key, form, named) = match &material {
            Material::Key(_) => {
                let Some(public) = material.key() else {
                    return Ok(Err(self.wrong_type("the key is of a kind this authority does not use")));
                };
                match self.check_key_itself(public)? {
                    Ok((spki, key)) => (spki, key, Form::X509, None),
                    Err(unfit) => return Ok(Err(unfit)),
                }
            }
            Material::Request(request) => match self.check_itself(request)? {
                Ok(checked) => {
                    let named = match serial_of(&checked.request) {
                        Ok(named) => named,
                        Err(unfit) => return Ok(Err(unfit)),
                    };
                    (checked.spki.into_owned(), checked.key, checked.form, named)
                }
                Err(unfit) => return Ok(Err(unfit)),
            },
        };
        let form = profile.form.unwrap_or(form);
        Ok(profile.device(row, named.as_deref()).map(|device| Accepted { device, spki, key, form }))
    }
}

/// Whether a credential says of the device what this row would have it say, in the form that its profile asks for, if any.
fn says_the_same(certificate: &[u8], accepted: &Accepted, asked: Option<Form>) -> bool {
    let Ok(read) = Certificate::read(certificate) else { return false };
    let form = if read.form() == SignedForm::X509 { Form::X509 } else { Form::C509 };
    let role = read.extensions().role().map(|role| (role.roles, role.device_type));
    asked.is_none_or(|asked| asked == form) && role == Some((accepted.device.roles, accepted.device.device_type))
}

impl BirthProfile {
    /// What the credential says of the device.
    fn device(&self, row: &Row, named: Option<&str>) -> Result<Device, Unfit> {
        let serial = match (row.serial.as_deref(), named.or(row.named_by.as_deref())) {
            (Some(given), Some(other)) if Some(other) == named && given != other => {
                return Err(Unfit::WrongName(format!("the row's serial is {given:?}, and the request's {other:?}")));
            }
            (Some(serial), _) | (None, Some(serial)) => serial,
            (None, None) => {
                let what = "the row has no serial, and the request names none in its subject (serialNumber)";
                return Err(Unfit::WrongName(what.to_owned()));
            }
        };
        let name = DeviceName::new(serial);
        let name = name.ok_or_else(|| {
            Unfit::WrongName(format!("the serial {serial:?} is not 1 to 64 printable ASCII characters"))
        })?;
        if !serial.starts_with(&self.serial_prefix) {
            return Err(Unfit::WrongName(format!(
                "the serial {serial:?} does not begin with {:?}, as the profile says",
                self.serial_prefix
            )));
        }
        let device_type = match row.device_type.map(DeviceType) {
            Some(named) if Some(named) != self.device_type && !self.device_types.contains(&named) => {
                let what = format!("the profile has no device type {}: name it in device_types", named.0);
                return Err(Unfit::WrongProfile(what));
            }
            Some(named) => Some(named),
            None => self.device_type,
        };
        Ok(Device { roles: self.roles, device_type, ..Device::named(name) })
    }
}

/// The serial a request names: `serialNumber` of its subject, or `hardwareModuleName` (RFC 4108 section 5).
fn serial_of(request: &Request<'_>) -> Result<Option<String>, Unfit> {
    let subject = request.subject().only(ids::SERIAL_NUMBER).map(|text| text.to_string());
    let names = request.extensions().subject_alt_names();
    let module = names.filter_map(|name: GeneralName<'_>| name.hardware_module_name()).next();
    let module = module.map(|module| String::from_utf8_lossy(module.serial).into_owned());
    match (subject, module) {
        (Some(subject), Some(module)) if subject != module => Err(Unfit::WrongName(format!(
            "the request has two serials: {subject:?} in its subject, {module:?} in its hardwareModuleName"
        ))),
        (subject, module) => Ok(subject.or(module)),
    }
}
