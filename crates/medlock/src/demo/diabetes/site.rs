//! Who gives credentials in the diabetes ward: three makers, their alliance, and the ward's own hub, under one clock that
//! the demonstration moves.

use crate::Failure;
use crate::config::{Config, HubConfig};
use crate::demo::stage;
use crate::hub::Hub;
use data_encoding::BASE64;
use medlock_authority::admin::{Reason, Request, Response};
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::registry::DeviceConfig;
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_clinical::ClinicalConfig;
use medlock_node::clock::Clock;
use medlock_node::provider::SigningKey;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::list::{Authority as Listed, Content, Heading, ListKind, Member};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::{DeviceTypes, Role, Roles};
use medlock_trust::{KeyId, Time};
use medlock_ward::diabetes::host::birth_request;
use medlock_ward::diabetes::machine;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How long the hub's own credential lives: longer than the story.
const HUB_CREDENTIAL_SECONDS: u64 = 365 * 86_400;
/// How long the members give themselves for the next list, in seconds.
const NEXT_LIST_SECONDS: i64 = 400 * 86_400;

/// Where people's software would reach the records; here nobody does.
const PUBLIC: &str = "http://localhost";

/// What kind of machine it is: each comes from another maker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Kind {
    /// A continuous glucose monitor.
    Sensor,
    /// A dosing controller.
    Controller,
    /// An insulin pump.
    Pump,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Sensor, Self::Controller, Self::Pump];

    const fn maker(self) -> &'static str {
        match self {
            Self::Sensor => "Sensor Maker",
            Self::Controller => "Controller Maker",
            Self::Pump => "Pump Maker",
        }
    }

    /// As the ward's machines call it.
    pub(crate) const fn machine(self) -> machine::Kind {
        match self {
            Self::Sensor => machine::Kind::Sensor,
            Self::Controller => machine::Kind::Controller,
            Self::Pump => machine::Kind::Pump,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Sensor => "sensor",
            Self::Controller => "controller",
            Self::Pump => "pump",
        }
    }

    const fn role(self) -> Role {
        match self {
            Self::Sensor => Role::Sensor,
            Self::Controller => Role::Controller,
            Self::Pump => Role::Actuator,
        }
    }

    /// Its number in docs/device-types.md.
    const fn device_type(self) -> u16 {
        match self {
            Self::Sensor => 20,
            Self::Pump => 21,
            Self::Controller => 22,
        }
    }
}

/// The makers, the ward's hub, and the clock of all of them.
///
/// The ward has a hub of its own, not the one of the imaging story: at the beds days pass within seconds, and the clock of
/// their hub goes with them, while sidecars live by the computer's clock. Otherwise it is a hub like any other: its signer is
/// a process of its own, and the devices know nothing of it but its door for small devices.
#[derive(Debug)]
pub(crate) struct Site {
    /// The hub, while it is on.
    hub: Option<Hub>,
    config: Config,
    /// Where it takes CoAP, while it is on.
    pub(crate) address: SocketAddr,
    /// The key of its root.
    root: KeyId,
    /// When the story began.
    pub(crate) began: Time,
    /// What time it is; it stands until it is moved.
    pub(crate) clock: Clock,
    makers: Vec<(Kind, Arc<Authority>)>,
    /// The members of the makers' alliance.
    pub(crate) members: Vec<KeyId>,
}

/// How many members sign the alliance's list.
pub(crate) const THRESHOLD: usize = 2;

impl Site {
    /// Makes three makers, their alliance's list, and a hub that believes it; `ago` seconds before the present.
    ///
    /// # Errors
    /// When a folder or port cannot be used.
    pub(crate) async fn make(folder: &Path, ago: i64) -> Result<Self, Failure> {
        let clock = Clock::manual(Clock::system().now().plus_seconds(-ago));
        let makers = tokio::task::spawn_blocking({
            let (folder, clock) = (folder.to_owned(), clock.clone());
            move || {
                let makers = Kind::ALL.into_iter().map(|kind| Ok((kind, maker(&folder, kind, &clock)?)));
                makers.collect::<Result<Vec<_>, String>>()
            }
        });
        let makers = makers.await??;
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let config = HubConfig {
            site: "Diabetes Ward".into(),
            dir: folder.join("hub"),
            devices: any_port,
            people: any_port,
            coap: Some(any_port),
            credential_seconds: HUB_CREDENTIAL_SECONDS,
            status_seconds: 86_400,
            ..HubConfig::default()
        };
        let clinical =
            ClinicalConfig { enabled: true, public_url: Some(PUBLIC.to_owned()), ..ClinicalConfig::default() };
        let config = Config { hub: config, clinical, ..Config::default() };
        let hub = Hub::start_with(&config, config.hub.authority(), clock.clone()).await?;
        let address = door(&hub)?;
        let keys: Vec<SigningKey> = makers.iter().map(|_| SigningKey::generate()).collect();
        let members: Vec<KeyId> = keys.iter().map(SigningKey::key_id).collect();
        let (root, began) = (hub.authority.root().key, clock.now());
        let object = BASE64.encode(&alliance(&makers, &keys, began)?);
        let site = Self { hub: Some(hub), config, address, root, began, clock, makers, members };
        let members = site.members.iter().map(ToString::to_string).collect();
        site.ask(Request::ImportTrustList { object, members, threshold: THRESHOLD }).await?;
        Ok(site)
    }

    /// The key of the root, as whoever installs a device tells it.
    pub(crate) fn root(&self) -> String {
        self.root.to_string()
    }

    /// Time has passed before the story begins.
    ///
    /// # Errors
    /// As [`Site::tick`].
    pub(crate) async fn begin_after(&mut self, seconds: i64) -> Result<(), Failure> {
        self.clock.advance(seconds);
        self.began = self.clock.now();
        self.tick().await
    }

    /// Lets the hub do what is due.
    ///
    /// # Errors
    /// When it is off, or cannot.
    pub(crate) async fn tick(&self) -> Result<(), Failure> {
        let authority = Arc::clone(&self.hub()?.authority);
        Ok(tokio::task::spawn_blocking(move || authority.tick()).await??)
    }

    /// Switches the hub off: its doors are closed, its signer ends.
    ///
    /// # Errors
    /// When a part of it had failed.
    pub(crate) async fn switch_off(&mut self) -> Result<(), Failure> {
        match self.hub.take() {
            Some(hub) => hub.stop().await,
            None => Ok(()),
        }
    }

    /// Switches the hub on again, behind another port: a link has to be led to it.
    ///
    /// # Errors
    /// When it does not start.
    pub(crate) async fn switch_on(&mut self) -> Result<(), Failure> {
        if self.hub.is_none() {
            let hub = Hub::start_with(&self.config, self.config.hub.authority(), self.clock.clone()).await?;
            self.address = door(&hub)?;
            self.hub = Some(hub);
        }
        Ok(())
    }

    /// The hub.
    ///
    /// # Errors
    /// When it is off.
    pub(super) fn hub(&self) -> Result<&Hub, Failure> {
        self.hub.as_ref().ok_or_else(|| "the hub is off".into())
    }

    /// Builds a device at its maker's: a key that stays in it, and a birth credential, in `folder`.
    ///
    /// # Errors
    /// When the maker refuses.
    pub(crate) fn build(&self, kind: Kind, serial: &str, folder: &Path) -> Result<(), Failure> {
        let material = BASE64.encode(&birth_request(&folder.join("keys"))?);
        let (roles, device_type) = (vec![kind.role().name().to_owned()], Some(kind.device_type()));
        let profile = BirthProfileConfig { roles, device_type, ..BirthProfileConfig::default() };
        let row = Row { serial: Some(serial.to_owned()), material, ..Row::default() };
        // Without the root, which is on the list.
        let chain = self.maker(kind)?.provision_one(profile, row)?;
        for (number, certificate) in chain.iter().take(2).enumerate() {
            std::fs::write(folder.join(format!("birth-{number}.der")), certificate)?;
        }
        Ok(())
    }

    /// Puts a device into the register of the ward, with the serial of its maker.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) async fn register(&self, kind: Kind, name: &str, validity_seconds: u64) -> Result<(), Failure> {
        let device = DeviceConfig {
            name: name.to_owned(),
            owner: "diabetes ward".to_owned(),
            maker_serial: Some(name.to_owned()),
            maker_key: Some(self.maker(kind)?.root().key.to_string()),
            roles: vec![kind.role().name().to_owned()],
            device_type: Some(kind.device_type()),
            validity_seconds: Some(validity_seconds),
            ..DeviceConfig::default()
        };
        self.ask(Request::Register { device }).await.map(drop)
    }

    /// Asks the hub, as its administrator.
    ///
    /// # Errors
    /// When it refuses, or is off.
    pub(crate) async fn ask(&self, request: Request) -> Result<Response, Failure> {
        stage::ask(self.hub()?, request).await
    }

    /// Signs a bond: its epoch, and the object for any carrier to bring.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) async fn bond(
        &self,
        device: &str,
        controller: &str,
        patient: &str,
        operations: &[&str],
    ) -> Result<(u64, Vec<u8>), Failure> {
        let operations = operations.iter().map(|name| (*name).to_owned()).collect();
        let (device, controller, patient) = (device.to_owned(), controller.to_owned(), Some(patient.to_owned()));
        match self.ask(Request::Bond { device, controller, patient, operations }).await? {
            Response::Bond { epoch, bytes, .. } => Ok((epoch, BASE64.decode(bytes.as_bytes())?)),
            other => Err(crate::admin::unexpected(&other)),
        }
    }

    /// Suspends a device.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) async fn suspend(&self, device: &str) -> Result<(), Failure> {
        self.ask(Request::Suspend { device: device.to_owned(), why: "it looks odd".to_owned() }).await.map(drop)
    }

    /// Lifts a suspension.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) async fn restore(&self, device: &str) -> Result<(), Failure> {
        self.ask(Request::Restore { device: device.to_owned(), why: "it was nothing".to_owned() }).await.map(drop)
    }

    /// Revokes a device that was stolen.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) async fn stolen(&self, device: &str) -> Result<(), Failure> {
        let why = "the bag is gone".to_owned();
        self.ask(Request::Revoke { device: device.to_owned(), reason: Reason::Stolen, why }).await.map(drop)
    }

    fn maker(&self, wanted: Kind) -> Result<&Arc<Authority>, Failure> {
        let maker = self.makers.iter().find(|(kind, _)| *kind == wanted);
        maker.map(|(_, maker)| maker).ok_or_else(|| "there is no such maker".into())
    }
}

/// Where a hub takes CoAP.
fn door(hub: &Hub) -> Result<SocketAddr, Failure> {
    hub.coap().ok_or_else(|| "the hub has no door for small devices".into())
}

/// A maker's authority, in a building of its own.
fn maker(folder: &Path, kind: Kind, clock: &Clock) -> Result<Arc<Authority>, String> {
    let name = kind.maker();
    let dir = folder.join(name.to_lowercase().replace(' ', "-"));
    std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
    let signer = InProcess::open(&dir.join("keys")).map_err(|error| error.to_string())?;
    let opened = Authority::open(&AuthorityConfig::maker(&dir, name), clock.clone(), Arc::new(signer));
    opened.map(Arc::new).map_err(|error| error.to_string())
}

/// Where a device keeps what it is.
pub(crate) fn folder_of(folder: &Path, device: &str) -> PathBuf {
    folder.join("devices").join(device)
}

/// The list of the makers' alliance: each may vouch for its own kind of device and role alone.
fn alliance(makers: &[(Kind, Arc<Authority>)], keys: &[SigningKey], now: Time) -> Result<Vec<u8>, Failure> {
    let types: Vec<[u8; 2]> = makers.iter().map(|(kind, _)| kind.device_type().to_be_bytes()).collect();
    let roots: Vec<_> = makers.iter().map(|(kind, maker)| (*kind, maker.root())).collect();
    let authorities: Vec<Listed<'_>> = roots
        .iter()
        .zip(&types)
        .map(|((kind, root), device_type)| Listed {
            roles: Roles::of(&[kind.role()]),
            device_types: DeviceTypes::listed(device_type).unwrap_or(DeviceTypes::Every),
            since: now,
            ..Listed::for_everything(root.key, AuthorityKind::Maker, kind.maker(), &root.subject, &root.spki)
        })
        .collect();
    let members: Vec<Member<'_>> = makers
        .iter()
        .zip(keys)
        .map(|((kind, _), key)| Member { key: key.key_id(), spki: key.spki(), name: kind.maker() })
        .collect();
    let heading = Heading {
        threshold: 2,
        ..Heading::first(ListKind::Alliance, "Diabetes Alliance", now, now.plus_seconds(NEXT_LIST_SECONDS))
    };
    let content = Content { heading, members: &members, recovery: &[], authorities: &authorities, services: &[] };
    let (mut payload, mut list) = (Vec::new(), Vec::new());
    content.encode(&mut payload).map_err(|error| error.to_string())?;
    let signers: Vec<(KeyId, Algorithm)> =
        keys.iter().take(THRESHOLD).map(|key| (key.key_id(), Algorithm::Es256)).collect();
    cose::sign(&payload, ContentType::LIST, &signers, &mut list, |signer, parts| {
        let key = keys.iter().find(|key| key.key_id() == signer).or(keys.first());
        Ok::<_, Infallible>(key.map(|key| key.sign_cose(&parts)).unwrap_or_default())
    })
    .map_err(|error| error.to_string())?;
    Ok(list)
}
