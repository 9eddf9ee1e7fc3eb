//! The routing table: which machine a protocol name belongs to, and where its sidecar is.
//!
//! The hospital describes each machine once, at the hub. The hub signs the table with a service key of the site list;
//! sidecars keep it, so peers find one another while the hub is away.
//!
//! Payload, deterministic CBOR: `[1, version, issued, [[device, [AE title, ...], address], ...]]`, machines ascending by
//! device and titles ascending in a machine, all as bytes; `issued` in seconds since 1970; `address` `null` for a
//! machine nobody calls.

use crate::provider::AwsLc;
use medlock_trust::cbor::{self, Reader, Writer};
use medlock_trust::cose::{self, Algorithm, ContentType, Place, Sign1};
use medlock_trust::crypto::PublicKey;
use medlock_trust::{DeviceName, KeyId, Time};
use std::collections::BTreeSet;
use std::convert::Infallible;

/// The most machines in a table: ten times those of a large hospital's imaging.
pub const MAX_MACHINES: usize = 10_000;
/// The most AE titles of one machine: an archive with a title for each department.
pub const MAX_TITLES: usize = 64;
/// The longest address: a DNS name (RFC 1035: 255), a colon and a port.
pub const MAX_ADDRESS: usize = 261;
/// The longest AE title (PS3.5 section 6.2).
pub const MAX_TITLE: usize = 16;

const FORM: u64 = 1;

/// A machine that speaks with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its device name in credentials.
    pub device: DeviceName,
    /// The DICOM application entity titles that are its own, ascending.
    pub ae_titles: Vec<String>,
    /// `host:port` of the secure side of its sidecar; `None` if nobody calls it.
    pub address: Option<String>,
}

/// All machines of a site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutingTable {
    /// Grows with each change.
    pub version: u64,
    /// When it was signed.
    pub issued: Time,
    /// The machines, ascending by their names.
    pub machines: Vec<Machine>,
}

/// Why a routing table is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RoutesError {
    /// The CBOR is wrong.
    #[error("the routing table cannot be read: {0}")]
    Cbor(cbor::Error),
    /// The signed object around it is wrong.
    #[error("the routing table's signature is not believed: {0}")]
    Cose(cose::Error),
    /// A later form.
    #[error("the routing table has form {0}, this program knows form {FORM}; update this program")]
    Form(u64),
    /// Not what an AE title may be.
    #[error("{title:?} of {device} is no AE title: 1 to 16 characters, no backslash, no blanks at the ends")]
    Title {
        /// The machine.
        device: DeviceName,
        /// The title.
        title: String,
    },
    /// Two machines have the same title.
    #[error("the AE title {0:?} belongs to two machines; give each its own")]
    SameTitle(String),
    /// A machine's address cannot be one.
    #[error("{address:?} of {device} is no address: write host:port")]
    Address {
        /// The machine.
        device: DeviceName,
        /// The address.
        address: String,
    },
    /// A device name is none, or machines or titles are not in order or twice.
    #[error("machines and their AE titles must ascend and be there once; {0:?} does not")]
    Order(String),
    /// Too many machines, or titles of one machine.
    #[error("the routing table has more than {MAX_MACHINES} machines or {MAX_TITLES} titles of one machine")]
    TooMany,
}

impl From<cbor::Error> for RoutesError {
    fn from(error: cbor::Error) -> Self {
        Self::Cbor(error)
    }
}

impl From<cose::Error> for RoutesError {
    fn from(error: cose::Error) -> Self {
        Self::Cose(error)
    }
}

impl Default for RoutingTable {
    /// A table of version 0 without machines.
    fn default() -> Self {
        Self { version: 0, issued: Time::from_unix(0), machines: Vec::new() }
    }
}

impl RoutingTable {
    /// A table with these machines, put in order.
    ///
    /// # Errors
    /// [`RoutesError`] if a name, title or address is none, or a title belongs to two machines.
    pub fn new(version: u64, issued: Time, mut machines: Vec<Machine>) -> Result<Self, RoutesError> {
        for machine in &mut machines {
            machine.ae_titles.sort();
        }
        machines.sort_by_key(|machine| machine.device);
        let table = Self { version, issued, machines };
        table.check()?;
        Ok(table)
    }

    /// The machine that has this AE title; blanks at its ends do not count (PS3.5 section 6.2).
    #[must_use]
    pub fn by_ae_title(&self, title: &str) -> Option<&Machine> {
        let title = title.trim_matches(' ');
        self.machines.iter().find(|machine| machine.ae_titles.iter().any(|own| own == title))
    }

    /// The machine with this device name.
    #[must_use]
    pub fn by_device(&self, device: &DeviceName) -> Option<&Machine> {
        let place = self.machines.binary_search_by_key(device, |machine| machine.device).ok()?;
        self.machines.get(place)
    }

    /// The payload that is signed.
    ///
    /// # Errors
    /// [`RoutesError`] if the table breaks a rule.
    pub fn encode(&self) -> Result<Vec<u8>, RoutesError> {
        self.check()?;
        let mut out = Vec::new();
        let Ok(()) = self.write(&mut out);
        Ok(out)
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), Infallible> {
        let mut writer = Writer::new(out);
        writer.array(4)?.uint(FORM)?.uint(self.version)?.time(self.issued)?.array(self.machines.len() as u64)?;
        for machine in &self.machines {
            writer.array(3)?.text(machine.device.as_str())?.array(machine.ae_titles.len() as u64)?;
            for title in &machine.ae_titles {
                writer.text(title)?;
            }
            match &machine.address {
                Some(address) => writer.text(address)?,
                None => writer.null()?,
            };
        }
        Ok(())
    }

    /// Reads a payload.
    ///
    /// # Errors
    /// [`RoutesError`] if it is anything else than what [`RoutingTable::encode`] writes.
    pub fn decode(payload: &[u8]) -> Result<Self, RoutesError> {
        let mut reader = Reader::new(payload);
        reader.array_of(4)?;
        let form = reader.uint()?;
        if form != FORM {
            return Err(RoutesError::Form(form));
        }
        let version = reader.uint()?;
        let issued = reader.time()?;
        let count = reader.array(MAX_MACHINES as u64)?;
        let mut machines = Vec::new();
        for _ in 0..count {
            reader.array_of(3)?;
            let name = reader.text(DeviceName::MAX_LENGTH)?;
            let device = DeviceName::new(name).ok_or_else(|| RoutesError::Order(name.to_owned()))?;
            let titles = reader.array(MAX_TITLES as u64)?;
            let ae_titles = (0..titles).map(|_| reader.text(MAX_TITLE).map(str::to_owned)).collect::<Result<_, _>>()?;
            let address = if reader.null()? { None } else { Some(reader.text(MAX_ADDRESS)?.to_owned()) };
            machines.push(Machine { device, ae_titles, address });
        }
        reader.finish()?;
        let table = Self { version, issued, machines };
        table.check()?;
        Ok(table)
    }

    /// Signs the table: a tagged COSE_Sign1 by the service key `key`, which `sign` uses over the parts of the message
    /// (r‖s, 64 bytes).
    ///
    /// # Errors
    /// [`SignRoutesError`] if the table breaks a rule or the key does not sign.
    pub fn sign<S: AsRef<[u8]>, E>(
        &self,
        key: KeyId,
        sign: impl FnMut(&[&[u8]]) -> Result<S, E>,
    ) -> Result<Vec<u8>, SignRoutesError<E>> {
        let payload = self.encode().map_err(SignRoutesError::Routes)?;
        let mut out = Vec::with_capacity(payload.len() + 192);
        let place = Place::Header(ContentType::ROUTES);
        cose::sign1(&payload, place, Algorithm::Es256, key.as_bytes(), &mut out, sign)
            .map_err(SignRoutesError::Sign)?;
        Ok(out)
    }

    /// Reads a signed table if the key that `service_key` gives for its identifier has signed it.
    ///
    /// # Errors
    /// [`RoutesError`]; a key that `service_key` does not know counts as a wrong signature.
    pub fn verify<'k>(
        object: &[u8],
        service_key: impl FnOnce(KeyId) -> Option<PublicKey<'k>>,
    ) -> Result<Self, RoutesError> {
        let signed = Sign1::read(object)?;
        let key = signed.key().try_into().ok().map(KeyId::from_bytes).and_then(service_key);
        let key = key.ok_or(cose::Error::Invalid)?;
        Self::decode(signed.verify(Place::Header(ContentType::ROUTES), key, &AwsLc)?)
    }

    fn check(&self) -> Result<(), RoutesError> {
        if self.machines.len() > MAX_MACHINES {
            return Err(RoutesError::TooMany);
        }
        let mut titles = BTreeSet::new();
        let mut last = None;
        for machine in &self.machines {
            if last >= Some(machine.device) {
                return Err(RoutesError::Order(machine.device.to_string()));
            }
            last = Some(machine.device);
            machine.check()?;
            for title in &machine.ae_titles {
                if !titles.insert(title) {
                    return Err(RoutesError::SameTitle(title.clone()));
                }
            }
        }
        Ok(())
    }
}

impl Machine {
    fn check(&self) -> Result<(), RoutesError> {
        if self.ae_titles.len() > MAX_TITLES {
            return Err(RoutesError::TooMany);
        }
        let mut last: Option<&String> = None;
        for title in &self.ae_titles {
            if !is_ae_title(title) {
                return Err(RoutesError::Title { device: self.device, title: title.clone() });
            }
            if last > Some(title) {
                return Err(RoutesError::Order(title.clone()));
            }
            last = Some(title);
        }
        match &self.address {
            Some(address) if !is_address(address) => {
                Err(RoutesError::Address { device: self.device, address: address.clone() })
            }
            _ => Ok(()),
        }
    }
}

/// Whether `title` may be an AE title: PS3.5 section 6.2, without the blanks that do not count.
#[must_use]
pub fn is_ae_title(title: &str) -> bool {
    (1..=MAX_TITLE).contains(&title.len())
        && title.bytes().all(|byte| (0x20..0x7f).contains(&byte) && byte != b'\\')
        && title.trim_matches(' ') == title
}

fn is_address(address: &str) -> bool {
    let Some((host, port)) = address.rsplit_once(':') else { return false };
    address.len() <= MAX_ADDRESS
        && !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
        && port.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Why a routing table was not signed.
#[derive(Debug, thiserror::Error)]
pub enum SignRoutesError<E> {
    /// It breaks a rule.
    #[error(transparent)]
    Routes(RoutesError),
    /// The key did not sign.
    #[error("the routing table was not signed: {0:?}")]
    Sign(cose::SignError<E, Infallible>),
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::SigningKey;
    use proptest::prelude::*;

    fn name(text: &str) -> DeviceName {
        DeviceName::new(text).expect("a name")
    }

    fn machine(device: &str, titles: &[&str], address: Option<&str>) -> Machine {
        let ae_titles = titles.iter().map(|title| (*title).to_owned()).collect();
        Machine { device: name(device), ae_titles, address: address.map(str::to_owned) }
    }

    fn table() -> RoutingTable {
        let machines =
            vec![machine("pacs-1", &["PACS", "ARCHIVE"], Some("10.0.0.7:2762")), machine("ct-1", &["CT_ONE"], None)];
        RoutingTable::new(7, Time::from_unix(1_800_000_000), machines).expect("a table")
    }

    /// Shows REQ-NODE-20.
    #[test]
    fn signed_table_reads_back_and_finds_machines() {
        let key = SigningKey::generate();
        let object = table().sign(key.key_id(), |parts| Ok::<_, Infallible>(key.sign_cose(&parts))).expect("signed");
        let read =
            RoutingTable::verify(&object, |id| (id == key.key_id()).then(|| key.public_key())).expect("verified");
        assert_eq!(read, table());
        assert_eq!(read.by_ae_title(" PACS  ").map(|machine| machine.device), Some(name("pacs-1")));
        assert_eq!(read.by_device(&name("ct-1")).and_then(|machine| machine.address.as_deref()), None);
        assert_eq!(read.by_ae_title("pacs"), None, "titles are compared as they are");
    }

    /// Shows REQ-NODE-20.
    #[test]
    fn table_of_another_key_or_with_a_changed_byte_is_refused() {
        let (key, other) = (SigningKey::generate(), SigningKey::generate());
        let mut object =
            table().sign(key.key_id(), |parts| Ok::<_, Infallible>(key.sign_cose(&parts))).expect("signed");
        let wrong = RoutesError::Cose(cose::Error::Invalid);
        assert_eq!(RoutingTable::verify(&object, |_| None), Err(wrong.clone()));
        assert_eq!(RoutingTable::verify(&object, |_| Some(other.public_key())), Err(wrong.clone()));
        let place = object.windows(4).position(|window| window == b"PACS").expect("there");
        object[place] = b'Q';
        assert_eq!(RoutingTable::verify(&object, |_| Some(key.public_key())), Err(wrong));
    }

    #[test]
    fn wrong_tables_say_what_is_wrong() {
        let made = |machines| RoutingTable::new(1, Time::from_unix(0), machines).expect_err("refused").to_string();
        assert!(made(vec![machine("a", &["X"], None), machine("b", &["X"], None)]).contains("two machines"));
        assert!(made(vec![machine("a", &["X"], None), machine("a", &["Y"], None)]).contains("once"));
        assert!(made(vec![machine("a", &["SEVENTEEN_LETTERS"], None)]).contains("no AE title"));
        assert!(made(vec![machine("a", &["BACK\\SLASH"], None)]).contains("no AE title"));
        assert!(made(vec![machine("a", &[], Some("nowhere"))]).contains("host:port"));
        assert!(made(vec![machine("a", &[], Some("host:0"))]).contains("host:port"));
    }

    proptest! {
        #[test]
        fn tables_round_trip(
            version in any::<u64>(),
            seconds in 0..=Time::NEVER.unix(),
            machines in proptest::collection::btree_map("[ -~]{1,64}", (0..5_usize, proptest::option::of("[a-z0-9.-]{1,30}:[1-9][0-9]{0,3}")), 0..8),
        ) {
            let machines = machines.iter().enumerate().map(|(index, (device, (titles, address)))| {
                let ae_titles = (0..*titles).map(|title| format!("AE-{index}-{title}")).collect();
                Machine { device: name(device), ae_titles, address: address.clone() }
            }).collect();
            let table = RoutingTable::new(version, Time::from_unix(seconds), machines).expect("a table");
            prop_assert_eq!(RoutingTable::decode(&table.encode().expect("encoded")), Ok(table));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), place in any::<proptest::sample::Index>(), value in any::<u8>()) {
            let _ = RoutingTable::decode(&bytes);
            let mut payload = table().encode().expect("encoded");
            let place = place.index(payload.len());
            payload[place] = value;
            if let Ok(read) = RoutingTable::decode(&payload) {
                prop_assert_eq!(read.encode().expect("encoded"), payload, "one encoding for each table");
            }
        }
    }
}
