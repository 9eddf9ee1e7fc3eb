//! Who gives credentials in the diabetes ward: three makers, their alliance, and the ward's own hub, under one clock that
//! the demonstration moves.

use crate::Failure;
use medlock_authority::admin::{Asker, Reason, Request, Response};
use medlock_authority::enrolment::Answer;
use medlock_authority::registry::DeviceConfig;
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig, objects};
use medlock_node::clock::Clock;
use medlock_node::provider::SigningKey;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::list::{Authority as Listed, AuthorityState, Content, Heading, ListKind, Member};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::{DeviceTypes, Role, Roles};
use medlock_trust::{KeyId, Time};
use medlock_ward::diabetes::host::birth_request;
use medlock_ward::diabetes::machine;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How long the members give themselves for the next list, in seconds.
const NEXT_LIST_SECONDS: i64 = 400 * 86_400;

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
#[derive(Debug)]
pub(crate) struct Site {
    /// The ward's hub.
    pub(crate) hub: Arc<Authority>,
    /// When it was made.
    pub(crate) made: Time,
    /// What time it is; it stands until it is moved.
    pub(crate) clock: Clock,
    makers: Vec<(Kind, Arc<Authority>)>,
    /// The members of the makers' alliance.
    pub(crate) members: Vec<KeyId>,
}

/// How many members sign the alliance's list.
pub(crate) const THRESHOLD: usize = 2;

impl Site {
    /// Makes three makers, their alliance's list, and a hub that believes it.
    ///
    /// # Errors
    /// When a folder cannot be used.
    pub(crate) fn make(folder: &Path) -> Result<Self, Failure> {
        let clock = Clock::manual(Clock::system().now());
        let open = |name: &str, maker: bool| -> Result<Arc<Authority>, Failure> {
            let dir = folder.join(name.to_lowercase().replace(' ', "-"));
            std::fs::create_dir_all(&dir)?;
            let config = if maker { AuthorityConfig::maker(&dir, name) } else { AuthorityConfig::site(&dir, name) };
            let signer = InProcess::open(&dir.join("keys"))?;
            Ok(Arc::new(Authority::open(&config, clock.clone(), Arc::new(signer))?))
        };
        let makers = Kind::ALL
            .into_iter()
            .map(|kind| Ok((kind, open(kind.maker(), true)?)))
            .collect::<Result<Vec<_>, Failure>>()?;
        let hub = open("Diabetes Ward", false)?;
        let keys: Vec<SigningKey> = makers.iter().map(|_| SigningKey::generate()).collect();
        let members: Vec<KeyId> = keys.iter().map(SigningKey::key_id).collect();
        let list = alliance(&makers, &keys, clock.now())?;
        hub.import_trust_list(&list, &members, THRESHOLD)?;
        let made = clock.now();
        Ok(Self { hub, made, clock, makers, members })
    }

    /// Builds a device at its maker's: a key and a birth credential, in `folder`. Its chain, the own
    /// certificate first, without the root.
    ///
    /// # Errors
    /// When the maker refuses.
    pub(crate) fn build(
        &self,
        kind: Kind,
        serial: &str,
        folder: &Path,
    ) -> Result<Vec<CertificateDer<'static>>, Failure> {
        let request = data_encoding::BASE64.encode(&birth_request(&folder.join("keys"))?);
        let roles = vec![kind.role().name().to_owned()];
        let device_type = Some(kind.device_type());
        let issue = Request::IssueBirth { request, serial: serial.to_owned(), roles, device_type };
        let Response::Chain { pem } = self.maker(kind)?.administer(&Asker::program(), issue)? else {
            return Err("the maker gave no certificate".into());
        };
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes());
        let mut chain = chain.collect::<Result<Vec<_>, _>>().map_err(|error| error.to_string())?;
        // The root is on the list.
        chain.pop();
        for (number, certificate) in chain.iter().enumerate() {
            std::fs::write(folder.join(format!("birth-{number}.der")), certificate)?;
        }
        Ok(chain)
    }

    /// Puts a device into the register of the ward, with the serial of its maker.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) fn register(&self, kind: Kind, name: &str, validity_seconds: u64) -> Result<(), Failure> {
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
        self.ask(Request::Register { device }).map(drop)
    }

    /// Gives a registered device an operational credential for its birth credential and a request of its own, as the hub
    /// does. The chain, the device's own first.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) fn enrol(&self, birth: &[CertificateDer<'_>], request: &[u8]) -> Result<[Vec<u8>; 2], Failure> {
        let own = birth.first().ok_or("there is no birth credential")?;
        let who = self.hub.knowledge().identify(birth).map_err(|why| why.to_string())?;
        self.issued(self.hub.enrol_by_birth(&who, own, request, "bench")?)
    }

    /// Renews an operational credential. The chain, the device's own first.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) fn renew(&self, present: &[CertificateDer<'_>], request: &[u8]) -> Result<[Vec<u8>; 2], Failure> {
        let own = present.first().ok_or("there is no credential to renew")?;
        let who = self.hub.knowledge().identify(present).map_err(|why| why.to_string())?;
        self.issued(self.hub.renew(&who, own, request, "bench")?)
    }

    fn issued(&self, answer: Answer) -> Result<[Vec<u8>; 2], Failure> {
        match answer {
            Answer::Issued(certificate) => Ok([certificate, self.hub.issuing().der.clone()]),
            Answer::Waits { .. } => Err("the hub waits for a person".into()),
            Answer::Refused(refusal) => Err(refusal.reason.into()),
        }
    }

    /// Asks the hub, as its administrator.
    ///
    /// # Errors
    /// When it refuses.
    pub(crate) fn ask(&self, request: Request) -> Result<Response, Failure> {
        Ok(self.hub.administer(&Asker::program(), request)?)
    }

    /// Suspends a device.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) fn suspend(&self, device: &str) -> Result<(), Failure> {
        self.ask(Request::Suspend { device: device.to_owned(), why: "it looks odd".to_owned() }).map(drop)
    }

    /// Lifts a suspension.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) fn restore(&self, device: &str) -> Result<(), Failure> {
        self.ask(Request::Restore { device: device.to_owned(), why: "it was nothing".to_owned() }).map(drop)
    }

    /// Revokes a device that was stolen.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) fn stolen(&self, device: &str) -> Result<(), Failure> {
        let why = "the bag is gone".to_owned();
        self.ask(Request::Revoke { device: device.to_owned(), reason: Reason::Stolen, why }).map(drop)
    }

    /// A signed object as it is now.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn object(&self, object: objects::Kind) -> Result<Vec<u8>, Failure> {
        let current = self.hub.news().current(object).ok_or_else(|| format!("the hub has no {}", object.name()))?;
        Ok(current.bytes.to_vec())
    }

    fn maker(&self, wanted: Kind) -> Result<&Arc<Authority>, Failure> {
        let maker = self.makers.iter().find(|(kind, _)| *kind == wanted);
        maker.map(|(_, maker)| maker).ok_or_else(|| "there is no such maker".into())
    }
}

/// Where a device keeps what it is.
pub(crate) fn folder_of(folder: &Path, device: &str) -> PathBuf {
    folder.join("devices").join(device)
}

/// The list of the makers' alliance: each may vouch for its own kind of device and role alone.
fn alliance(makers: &[(Kind, Arc<Authority>)], keys: &[SigningKey], now: Time) -> Result<Vec<u8>, Failure> {
    let types: Vec<[u8; 2]> = makers.iter().map(|(kind, _)| kind.device_type().to_be_bytes()).collect();
    let authorities: Vec<Listed<'_>> = makers
        .iter()
        .zip(&types)
        .map(|((kind, maker), device_type)| Listed {
            key: maker.root().key,
            kind: AuthorityKind::Maker,
            name: kind.maker(),
            subject: &maker.root().subject,
            spki: &maker.root().spki,
            roles: Roles::of(&[kind.role()]),
            device_types: DeviceTypes::listed(device_type).unwrap_or(DeviceTypes::Every),
            state: AuthorityState::Listed,
            since: now,
            until: None,
        })
        .collect();
    let members: Vec<Member<'_>> = makers
        .iter()
        .zip(keys)
        .map(|((kind, _), key)| Member { key: key.key_id(), spki: key.spki(), name: kind.maker() })
        .collect();
    let heading = Heading {
        kind: ListKind::Alliance,
        name: "Diabetes Alliance",
        version: 1,
        recovery_epoch: 0,
        issued: now,
        next: now.plus_seconds(NEXT_LIST_SECONDS),
        threshold: 2,
    };
    let content = Content { heading, members: &members, authorities: &authorities, services: &[] };
    let (mut payload, mut list) = (Vec::new(), Vec::new());
    content.encode(&mut payload).map_err(|error| error.to_string())?;
    let signers: Vec<(KeyId, Algorithm)> =
        keys.iter().take(THRESHOLD).map(|key| (key.key_id(), Algorithm::Es256)).collect();
    cose::sign(&payload, ContentType::LIST, &signers, &mut list, |signer, parts| {
        let key = keys.iter().find(|key| key.key_id() == signer).or(keys.first());
        Ok::<_, Infallible>(key.map_or([0; 64], |key| key.sign_cose(&parts)))
    })
    .map_err(|error| error.to_string())?;
    Ok(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_makers_and_a_hub_that_believes_two_of_them() {
        let folder = tempfile::tempdir().unwrap();
        let site = Site::make(folder.path()).unwrap();
        let device = folder_of(folder.path(), "pump7");
        let chain = site.build(Kind::Pump, "pump7", &device).unwrap();
        let who = site.hub.knowledge().identify(&chain).unwrap();
        assert_eq!(who.device_type().map(|kind| kind.0), Some(21));
        assert!(site.hub.knowledge().judge_enrolment(&who).is_ok());
        site.register(Kind::Pump, "pump7", 86_400).unwrap();
        let before = site.object(objects::Kind::Status).unwrap();
        site.clock.advance(86_400);
        site.hub.tick().unwrap();
        assert_ne!(site.object(objects::Kind::Status).unwrap(), before);
    }
}
