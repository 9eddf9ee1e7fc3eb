//! A trust list as a person writes it: TOML.

use super::{fit, refused, time};
use crate::Error;
use crate::bytes::Sink;
use data_encoding::{BASE64, HEXLOWER_PERMISSIVE};
use medlock_node::provider::{AwsLc, sha256};
use medlock_trust::list::{
    Authority, AuthorityState, Content, Envelopes, Heading, List, ListKind, Member, Names, Purpose, Purposes, Service,
};
use medlock_trust::log::{Hash, TreeHead};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::{DeviceType, DeviceTypes};
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo};
use medlock_trust::{KeyId, Role, Roles, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::Path;

/// How long until the next version if the draft does not say: a year, in which an alliance meets once.
const NEXT_DAYS: u32 = 365;
const DAY: i64 = 86_400;
/// The longest draft, in bytes: a full list takes about 150,000 in TOML.
const MAX_LENGTH: usize = 1 << 20;
/// The longest file that a draft names, in bytes: one certificate, or one key, and what people write around it.
const MAX_FILE: u64 = 1 << 16;

/// A trust list to be. Unknown keys are refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    /// The name of the alliance. It never changes.
    pub name: String,
    /// Which version: one more than the current one.
    pub version: u64,
    /// Which recovery: one more than the current one in a recovery, otherwise the same.
    #[serde(default)]
    pub recovery_epoch: u64,
    /// SHA-256 of the payload of the current version, in hexadecimal; none of the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<String>,
    /// When it was made, as 2026-11-22T05:00:00Z; the time of the proposal if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<String>,
    /// In how many days the next version is due: at most 400.
    #[serde(default = "next_days")]
    pub next_days: u32,
    /// How many members must sign a list.
    pub threshold: u8,
    /// How many members may suspend an authority for 14 days, fewer than `threshold`; 0: nobody.
    #[serde(default)]
    pub emergency_threshold: u8,
    /// How many recovery keys must sign a recovery; 0 if there are none.
    #[serde(default)]
    pub recovery_threshold: u8,
    /// The members.
    #[serde(rename = "member")]
    pub members: Vec<Key>,
    /// The recovery keys, kept offline and by others than the members.
    #[serde(rename = "recovery", default, skip_serializing_if = "Vec::is_empty")]
    pub recovery: Vec<Key>,
    /// The makers and sites that are vouched for.
    #[serde(rename = "authority", default, skip_serializing_if = "Vec::is_empty")]
    pub authorities: Vec<Listed>,
    /// The keys that sign status for them.
    #[serde(rename = "service", default, skip_serializing_if = "Vec::is_empty")]
    pub services: Vec<Served>,
}

const fn next_days() -> u32 {
    NEXT_DAYS
}

/// A member, or a recovery key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What people call it.
    pub name: String,
    /// The public key (`SubjectPublicKeyInfo`): base64 of the DER, or the name of a PEM file beside the draft.
    pub key: String,
}

/// An authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// What people call it.
    pub name: String,
    /// `maker` (birth credentials) or `site` (operational credentials).
    pub kind: String,
    /// `listed`, `retired`, `suspended` or `compromised`.
    pub state: String,
    /// Since when it stands so; the time of the proposal if it is left out. What a retired authority issued later is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Until when it vouches; without an end if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// The roles it may vouch for; every role if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// The numbers of the device types it may vouch for; every type if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device_types: Option<Vec<u16>>,
    /// How the names of its devices begin; every name if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<String>>,
    /// Its root certificate: the name of a PEM or DER file beside the draft. Instead of `subject` and `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// Its name in certificates: base64 of a DER `Name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Its key: base64 of a DER `SubjectPublicKeyInfo`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// The state of its log up to which its credentials count; all of them if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cutoff: Option<Cutoff>,
    /// For a device type, the SHA-256 of its maker's envelope in hexadecimal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub envelopes: BTreeMap<String, String>,
}

/// A state of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cutoff {
    /// How many entries it has.
    pub size: u64,
    /// Its root hash, in hexadecimal or as a checkpoint writes it.
    pub root: String,
}

/// A key that signs for an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Served {
    /// The name of the authority in this draft.
    pub authority: String,
    /// `status`, `policy`, `routes`, `time`, `bonds`.
    pub purposes: Vec<String>,
    /// The public key: base64 of the DER, or the name of a PEM file beside the draft.
    pub key: String,
    /// What it signs later does not count; without an end if it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
}

impl Draft {
    /// An alliance to be: it has a name and nothing else yet.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: 1,
            recovery_epoch: 0,
            previous: None,
            issued: None,
            next_days: NEXT_DAYS,
            threshold: 1,
            emergency_threshold: 0,
            recovery_threshold: 0,
            members: Vec::new(),
            recovery: Vec::new(),
            authorities: Vec::new(),
            services: Vec::new(),
        }
    }

    /// The next version of a list, which says the same as far as nobody edits it.
    #[must_use]
    pub fn after(list: &List<'_>) -> Self {
        let heading = list.heading();
        let key = |member: Member<'_>| Key { name: member.name.to_owned(), key: BASE64.encode(member.spki) };
        let names: BTreeMap<KeyId, &str> = list.authorities().map(|one| (one.key, one.name)).collect();
        let served = |service: Service<'_>| Served {
            authority: names.get(&service.authority).map_or_else(|| service.authority.to_string(), ToString::to_string),
            purposes: Purpose::ALL
                .into_iter()
                .filter(|one| service.purposes.contains(*one))
                .map(|one| one.name().to_owned())
                .collect(),
            key: BASE64.encode(service.spki),
            until: service.until.map(|until| until.to_string()),
        };
        Self {
            name: heading.name.to_owned(),
            version: heading.version.saturating_add(1),
            recovery_epoch: heading.recovery_epoch,
            previous: Some(data_encoding::HEXLOWER.encode(&sha256(list.payload()))),
            issued: None,
            next_days: u32::try_from(heading.next.seconds_since(heading.issued) / DAY).unwrap_or(NEXT_DAYS).max(1),
            threshold: heading.threshold,
            emergency_threshold: heading.emergency,
            recovery_threshold: heading.recovery_threshold,
            members: list.members().map(key).collect(),
            recovery: list.recovery().map(key).collect(),
            authorities: list.authorities().map(|one| Listed::of(&one)).collect(),
            services: list.services().map(served).collect(),
        }
    }

    /// Reads a draft.
    ///
    /// # Errors
    /// [`Error::Invalid`], which says where.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LENGTH {
            return Err(Error::invalid("draft", format!("it is longer than {MAX_LENGTH} bytes")));
        }
        toml::from_str(text).map_err(|error| Error::invalid("draft", error.to_string()))
    }

    /// Writes it, for a person to edit.
    ///
    /// # Errors
    /// [`Error::Object`] if TOML cannot say it.
    pub fn to_toml(&self) -> Result<String, Error> {
        let text = toml::to_string(self).map_err(|error| refused("draft", error))?;
        Ok(format!("{HELP}\n{text}"))
    }

    /// The payload that says this: the exact bytes to be signed. Files that the draft names are looked for in `folder`.
    ///
    /// # Errors
    /// [`Error::Invalid`], which names the key of the draft; [`Error::File`].
    pub fn payload(&self, folder: &Path, now: Time) -> Result<Vec<u8>, Error> {
        let issued = self.issued.as_deref().map_or(Ok(now), |text| time("issued", text))?;
        let hash = |text: &String| hash("previous", text);
        let heading = Heading {
            version: self.version,
            recovery_epoch: self.recovery_epoch,
            previous: self.previous.as_ref().map(hash).transpose()?,
            threshold: self.threshold,
            emergency: self.emergency_threshold,
            recovery_threshold: self.recovery_threshold,
            ..Heading::first(
                ListKind::Alliance,
                &self.name,
                issued,
                issued.plus_seconds(i64::from(self.next_days) * DAY),
            )
        };
        let keys = |what: &str, keys: &[Key]| -> Result<Vec<Spki>, Error> {
            keys.iter().map(|one| Spki::read(&format!("{what} {:?}", one.name), &one.key, folder)).collect()
        };
        let (member_keys, recovery_keys) = (keys("member", &self.members)?, keys("recovery", &self.recovery)?);
        if let Some(both) = self.recovery.iter().zip(&recovery_keys).find(|(_, key)| member_keys.contains(key)) {
            let why = "a recovery key is kept apart from those of the members: make another one for it";
            return Err(Error::invalid(format!("recovery {:?}", both.0.name), why));
        }
        fn named<'a>((one, spki): (&'a Key, &'a Spki)) -> Member<'a> {
            Member { key: spki.key, spki: &spki.der, name: &one.name }
        }
        let members: Vec<_> = self.members.iter().zip(&member_keys).map(named).collect();
        let recovery: Vec<_> = self.recovery.iter().zip(&recovery_keys).map(named).collect();
        let owned: Vec<_> = self.authorities.iter().map(|one| one.read(folder, issued)).collect::<Result<_, _>>()?;
        let authorities: Vec<_> = self.authorities.iter().zip(&owned).map(|(one, read)| read.view(&one.name)).collect();
        let service_keys: Vec<_> = self
            .services
            .iter()
            .map(|one| Spki::read(&format!("service of {:?}", one.authority), &one.key, folder))
            .collect::<Result<_, _>>()?;
        let services: Vec<_> = self
            .services
            .iter()
            .zip(&service_keys)
            .map(|(one, spki)| one.view(spki, &authorities))
            .collect::<Result<_, Error>>()?;
        let content =
            Content { heading, members: &members, recovery: &recovery, authorities: &authorities, services: &services };
        fit::check(&content)?;
        let mut payload = Vec::new();
        content.encode(Sink(&mut payload)).map_err(|error| refused("draft", error))?;
        Ok(payload)
    }
}

const HELP: &str = "# A trust list to be. Edit it, then make the bytes to be signed: medlock trust-list propose\n\
    # An authority also takes: until, roles, device_types, names, cutoff = { size, root }, [authority.envelopes], and\n\
    # certificate = \"root.pem\" instead of subject and key.\n";

impl Listed {
    fn of(authority: &Authority<'_>) -> Self {
        let names: Vec<String> = authority.names.prefixes().map(ToOwned::to_owned).collect();
        let types = match authority.device_types {
            DeviceTypes::Every => None,
            DeviceTypes::Listed(numbers) => {
                Some(numbers.as_chunks::<2>().0.iter().map(|number| u16::from_be_bytes(*number)).collect())
            }
        };
        let envelope = |(DeviceType(number), hash): (DeviceType, &[u8; 32])| {
            (number.to_string(), data_encoding::HEXLOWER.encode(hash))
        };
        Self {
            name: authority.name.to_owned(),
            kind: kind_name(authority.kind).to_owned(),
            state: authority.state.name().to_owned(),
            since: Some(authority.since.to_string()),
            until: authority.until.map(|until| until.to_string()),
            roles: (authority.roles != Roles::EVERY)
                .then(|| authority.roles.iter().map(|role| role.name().to_owned()).collect()),
            device_types: types,
            names: (!names.is_empty()).then_some(names),
            certificate: None,
            subject: Some(BASE64.encode(authority.subject)),
            key: Some(BASE64.encode(authority.spki)),
            cutoff: authority.cutoff.map(|head| Cutoff { size: head.size, root: format!("{:?}", head.root) }),
            envelopes: authority.envelopes.iter().map(envelope).collect(),
        }
    }

    /// A maker with this root certificate, which may vouch for all that makers make until somebody narrows it. Hubs are the sites'.
    #[must_use]
    pub fn maker(name: &str, certificate: &str) -> Self {
        Self {
            name: name.to_owned(),
            kind: "maker".to_owned(),
            state: AuthorityState::Listed.name().to_owned(),
            roles: Some(
                Role::ALL.iter().filter(|role| **role != Role::Hub).map(|role| role.name().to_owned()).collect(),
            ),
            certificate: Some(certificate.to_owned()),
            ..Self::default()
        }
    }

    fn read(&self, folder: &Path, issued: Time) -> Result<OwnedAuthority, Error> {
        let what = format!("authority {:?}", self.name);
        let (subject, spki) = match (&self.certificate, &self.subject, &self.key) {
            (Some(file), None, None) => {
                let der = pem_or_der(&what, file, folder, "CERTIFICATE")?;
                let certificate = Certificate::from_der(&der)
                    .map_err(|error| Error::invalid(&what, format!("certificate {file}: {error}")))?;
                (certificate.subject().der().to_vec(), Spki::checked(&what, certificate.spki().to_vec())?)
            }
            (None, Some(subject), Some(key)) => (base64(&what, "subject", subject)?, Spki::read(&what, key, folder)?),
            _ => return Err(Error::invalid(&what, "give its certificate, or else both subject and key")),
        };
        let wrong = |field: &str, value: &str, right: &str| {
            Error::invalid(&what, format!("{field} = {value:?} is not possible; {right}"))
        };
        let kind = [AuthorityKind::Maker, AuthorityKind::Site].into_iter().find(|kind| kind_name(*kind) == self.kind);
        let state = AuthorityState::ALL.into_iter().find(|state| state.name() == self.state);
        let role = |name: &String| {
            Role::from_name(name).ok_or_else(|| {
                wrong("roles", name, "roles are hub, modality, archive, sensor, controller, actuator, monitor, gateway")
            })
        };
        let roles = match &self.roles {
            None => Roles::EVERY,
            Some(names) => Roles::of(&names.iter().map(role).collect::<Result<Vec<_>, _>>()?),
        };
        let types = self.device_types.as_ref().map(|numbers| {
            let mut numbers = numbers.clone();
            numbers.sort_unstable();
            numbers.dedup();
            numbers.into_iter().flat_map(u16::to_be_bytes).collect::<Vec<u8>>()
        });
        let names = match &self.names {
            None => None,
            Some(prefixes) => {
                let prefixes: Vec<&str> = prefixes.iter().map(String::as_str).collect();
                let mut encoded = Vec::new();
                let Ok(()) = Names::encode(&prefixes, Sink(&mut encoded));
                let fits = Names::listed(&encoded).is_some();
                let right = "give 1 to 8 prefixes of 1 to 64 bytes, or leave it out for every name";
                if fits { Some(encoded) } else { return Err(wrong("names", &prefixes.join(", "), right)) }
            }
        };
        let cutoff = self.cutoff.as_ref().map(|cutoff| {
            Ok::<_, Error>(TreeHead { size: cutoff.size, root: Hash::from_bytes(hash(&what, &cutoff.root)?) })
        });
        let mut envelopes = BTreeMap::new();
        for (number, text) in &self.envelopes {
            let right = "its keys are numbers of device types";
            let device_type: u16 = number.parse().map_err(|_| wrong("envelopes", number, right))?;
            envelopes.insert(device_type, hash(&what, text)?);
        }
        let time_of = |field, text: &Option<String>| text.as_deref().map(|text| time(field, text)).transpose();
        Ok(OwnedAuthority {
            kind: kind.ok_or_else(|| wrong("kind", &self.kind, "write maker or site"))?,
            state: state
                .ok_or_else(|| wrong("state", &self.state, "write listed, retired, suspended or compromised"))?,
            since: time_of("since", &self.since)?.unwrap_or(issued),
            until: time_of("until", &self.until)?,
            roles,
            types,
            names,
            cutoff: cutoff.transpose()?,
            envelopes: envelopes
                .into_iter()
                .flat_map(|(number, hash)| [&number.to_be_bytes()[..], &hash].concat())
                .collect(),
            subject,
            spki,
        })
    }
}

/// What an entry borrows.
struct OwnedAuthority {
    kind: AuthorityKind,
    state: AuthorityState,
    since: Time,
    until: Option<Time>,
    roles: Roles,
    types: Option<Vec<u8>>,
    names: Option<Vec<u8>>,
    cutoff: Option<TreeHead>,
    envelopes: Vec<u8>,
    subject: Vec<u8>,
    spki: Spki,
}

impl OwnedAuthority {
    fn view<'a>(&'a self, name: &'a str) -> Authority<'a> {
        Authority {
            roles: self.roles,
            device_types: self.types.as_ref().map_or(DeviceTypes::Every, |types| DeviceTypes::Listed(types)),
            state: self.state,
            since: self.since,
            until: self.until,
            names: self.names.as_ref().and_then(|names| Names::listed(names)).unwrap_or(Names::EVERY),
            cutoff: self.cutoff,
            envelopes: Envelopes::listed(&self.envelopes).unwrap_or(Envelopes::NONE),
            ..Authority::for_everything(self.spki.key, self.kind, name, &self.subject, &self.spki.der)
        }
    }
}

impl Served {
    fn view<'a>(&self, spki: &'a Spki, authorities: &[Authority<'_>]) -> Result<Service<'a>, Error> {
        let what = format!("service of {:?}", self.authority);
        let named = authorities.iter().find(|one| one.name == self.authority || one.key.to_string() == self.authority);
        let authority = named.ok_or_else(|| Error::invalid(&what, "no authority of this draft has that name"))?.key;
        let purpose = |name: &String| {
            let right = format!("{name:?} is no purpose; write status, policy, routes, time or bonds");
            Purpose::ALL.into_iter().find(|one| one.name() == name).ok_or_else(|| Error::invalid(&what, right))
        };
        let purposes: Vec<Purpose> = self.purposes.iter().map(purpose).collect::<Result<_, _>>()?;
        let until = self.until.as_deref().map(|text| time("until", text)).transpose()?;
        Ok(Service { key: spki.key, spki: &spki.der, purposes: Purposes::of(&purposes), authority, until })
    }
}

/// A public key that can be read.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Spki {
    der: Vec<u8>,
    key: KeyId,
}

impl Spki {
    fn read(what: &str, text: &str, folder: &Path) -> Result<Self, Error> {
        let der = match BASE64.decode(text.as_bytes()) {
            Ok(der) => der,
            Err(_) => pem_or_der(what, text, folder, "PUBLIC KEY")?,
        };
        Self::checked(what, der)
    }

    fn checked(what: &str, der: Vec<u8>) -> Result<Self, Error> {
        let wrong =
            || Error::invalid(what, "its key is no public key of P-256, P-384 or Ed25519 (SubjectPublicKeyInfo)");
        let spki = SubjectPublicKeyInfo::from_der(&der).map_err(|_| wrong())?;
        spki.public_key().ok_or_else(wrong)?;
        let key = spki.key_id(&AwsLc);
        Ok(Self { key, der })
    }
}

const fn kind_name(kind: AuthorityKind) -> &'static str {
    match kind {
        AuthorityKind::Maker => "maker",
        AuthorityKind::Site => "site",
    }
}

fn base64(what: &str, field: &str, text: &str) -> Result<Vec<u8>, Error> {
    BASE64.decode(text.as_bytes()).map_err(|error| Error::invalid(what, format!("{field} is no base64: {error}")))
}

/// 32 bytes, in hexadecimal or in base64.
fn hash(what: &str, text: &str) -> Result<[u8; 32], Error> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).or_else(|_| BASE64.decode(text.as_bytes()));
    let bytes = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    bytes.ok_or_else(|| Error::invalid(what, format!("{text:?} is no SHA-256: 64 hexadecimal digits")))
}

/// The one object in a PEM file beside the draft, or the whole of a file that is DER.
fn pem_or_der(what: &str, file: &str, folder: &Path, label: &str) -> Result<Vec<u8>, Error> {
    let path = folder.join(file);
    // Who wrote the draft names what is read here: no device, and nothing without an end.
    if !std::fs::metadata(&path).map_err(|error| Error::file(&path, error))?.is_file() {
        return Err(Error::invalid(what, format!("{} is no file", path.display())));
    }
    let mut bytes = Vec::new();
    let read = std::fs::File::open(&path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes));
    read.map_err(|error| Error::file(&path, error))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::invalid(what, format!("{} is longer than {MAX_FILE} bytes", path.display())));
    }
    if bytes.first() == Some(&0x30) {
        return Ok(bytes);
    }
    let wrong = || Error::invalid(what, format!("{} holds no PEM {label:?}", path.display()));
    let text = String::from_utf8(bytes).map_err(|_| wrong())?;
    let begin = format!("-----BEGIN {label}-----");
    let (_, rest) = text.split_once(&begin).ok_or_else(wrong)?;
    let (body, _) = rest.split_once("-----END").ok_or_else(wrong)?;
    let body: String = body.split_whitespace().collect();
    BASE64.decode(body.as_bytes()).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-LIST-66: a colleague's draft makes nobody read a device, or without end.
    #[test]
    fn a_draft_names_files_that_are_read_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("long.pem"), vec![b'x'; 1 << 20]).unwrap();
        let said = |key: &str| {
            let member = Key { name: "anna".into(), key: key.into() };
            let draft = Draft { members: vec![member], ..Draft::new("Example") };
            draft.payload(folder.path(), Time::from_unix(1_000_000_000)).unwrap_err().to_string()
        };
        assert!(said("/dev/zero").contains("/dev/zero is no file"), "{}", said("/dev/zero"));
        assert!(said(".").contains("is no file"));
        assert!(said("long.pem").contains("longer than 65536 bytes"));
    }
}
