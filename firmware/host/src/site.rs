//! The site that gave both devices their credentials.

use std::io::Read;

use medlock_proto::crypto::{OwnKey, Secret};
use medlock_rustcrypto::{PublicBits, RustCrypto, SoftwareKey};
use medlock_trust::c509::{NewExtension, Subject, Template};
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::crypto::{KeyAlgorithm, PublicKey, SignatureAlgorithm};
use medlock_trust::list::{Authority, Content, Heading, ListKind, Member, Purpose, Purposes, Service};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::{Role, Roles};
use medlock_trust::status::{Reason, TicketContent};
use medlock_trust::x509::{Certificate, KeyUsage, Name, ids};
use medlock_trust::{DeviceId, DeviceName, KeyId, Time};

pub(crate) const CONTROLLER: &str = "controller-4711";
pub(crate) const PUMP: &str = "pump-0815";
/// 2026-01-01.
const START: Time = Time::from_unix(1_767_225_600);
const YEAR: i64 = 365 * 86_400;

/// Bytes from the system.
pub(crate) fn random() -> [u8; 32] {
    let mut bytes = [0; 32];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.expect("the system has random numbers");
    // Below the order of the curve.
    bytes[0] &= 0x7f;
    bytes
}

fn key() -> SoftwareKey {
    SoftwareKey::p256(Secret::from_bytes(random())).expect("a number below the order")
}

fn point(key: &SoftwareKey) -> [u8; 65] {
    match key.public() {
        PublicBits::P256(point) => point,
        PublicBits::Ed25519(_) | PublicBits::X25519(_) => unreachable!("made on P-256"),
    }
}

pub(crate) fn device_id(name: &str) -> DeviceId {
    DeviceId::of(&DeviceName::new(name).expect("a short name"), &RustCrypto)
}

struct Signer {
    key: SoftwareKey,
    spki: Vec<u8>,
    id: KeyId,
    name: Vec<u8>,
}

impl Signer {
    fn new(name: &str) -> Self {
        let key = key();
        let mut spki =
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0"
                .to_vec();
        spki.extend(point(&key));
        let id = KeyId::of(&[spki.as_slice()], &RustCrypto);
        let length = u8::try_from(name.len()).expect("a short name");
        let mut der = vec![0x30, length + 11, 0x31, length + 9, 0x30, length + 7, 6, 3, 0x55, 4, 3, 0x0c, length];
        der.extend(name.bytes());
        Self { key, spki, id, name: der }
    }

    fn sign(&self, parts: &[&[u8]]) -> Result<[u8; 64], ()> {
        self.key.sign(&parts).map_err(drop)
    }

    /// A credential, C509 type 2.
    fn issue(&self, device: &str, role: Role, key: &SoftwareKey) -> Vec<u8> {
        let bits = point(key);
        let template = Template {
            serial_number: &[1, 2, 3],
            algorithm: SignatureAlgorithm::EcdsaSha256,
            issuer: Some(Name::from_der(&self.name).expect("a name")),
            not_before: START,
            not_after: START.plus_seconds(YEAR),
            subject: Subject::Attributes(&[(ids::SERIAL_NUMBER, device)]),
            key: PublicKey { algorithm: KeyAlgorithm::P256, bits: &bits },
            extensions: &[
                NewExtension::KeyUsage(KeyUsage::from_bits(1).expect("digitalSignature")),
                NewExtension::Role(Roles::of(&[role]), None),
            ],
        };
        let mut out = [0; 512];
        template.sign(&mut out, |tbs| self.key.sign(&[tbs]).map_err(drop)).expect("a certificate").to_vec()
    }
}

/// One pump, one controller, and what the site signed for them.
pub(crate) struct Site {
    root: Signer,
    service: Signer,
    pump_key: [u8; 32],
    pub(crate) pump_point: [u8; 65],
    pub(crate) pump: Vec<u8>,
    pub(crate) controller_key: SoftwareKey,
    pub(crate) controller: Vec<u8>,
    pub(crate) list: Vec<u8>,
}

impl Site {
    pub(crate) fn new() -> Self {
        let (root, service) = (Signer::new("site"), Signer::new("status service"));
        let secret = random();
        let pump_key = SoftwareKey::p256(Secret::from_bytes(secret)).expect("a number below the order");
        let controller_key = key();
        let (pump, controller) =
            (root.issue(PUMP, Role::Actuator, &pump_key), root.issue(CONTROLLER, Role::Controller, &controller_key));
        let list = list(&root, &service);
        let pump_point = point(&pump_key);
        Self { root, service, pump_key: secret, pump_point, pump, controller_key, controller, list }
    }

    /// What the pump is given before its first use.
    pub(crate) fn provision(&self) -> Vec<u8> {
        let mut bytes = [self.pump_key, random()].concat();
        bytes.extend(device_id(CONTROLLER).as_bytes());
        bytes.extend(device_id(PUMP).as_bytes());
        for object in [&self.pump, &self.list] {
            bytes.extend(u16::try_from(object.len()).expect("a short object").to_be_bytes());
            bytes.extend(object);
        }
        bytes
    }

    /// A ticket about the controller that answers a nonce: nothing is known against it.
    pub(crate) fn ticket(&self, nonce: &[u8]) -> Vec<u8> {
        let credential = Certificate::read(&self.controller).expect("our own").credential_id(&RustCrypto);
        let issued = START.plus_seconds(86_400);
        let nonce = Some(nonce);
        let content = TicketContent { credential, state: None, reason: Reason::UNSPECIFIED, epoch: 1, issued, nonce };
        let mut payload = Vec::new();
        content.encode(&mut payload).expect("a ticket");
        let mut out = Vec::new();
        let hint = TicketContent::key_hint(&self.service.id);
        cose::sign1(&payload, TicketContent::PLACE, Algorithm::Es256, hint, &mut out, |parts| self.service.sign(parts))
            .expect("a ticket");
        debug_assert_ne!(self.root.id, self.service.id);
        out
    }
}

fn list(root: &Signer, service: &Signer) -> Vec<u8> {
    let content = Content {
        heading: Heading::first(ListKind::Site, "site", START, START.plus_seconds(YEAR)),
        members: &[Member { key: root.id, spki: &root.spki, name: "root" }],
        recovery: &[],
        authorities: &[Authority {
            since: START,
            ..Authority::for_everything(root.id, AuthorityKind::Site, "site", &root.name, &root.spki)
        }],
        services: &[Service {
            key: service.id,
            spki: &service.spki,
            purposes: Purposes::of(&[Purpose::Status]),
            authority: root.id,
            until: None,
        }],
    };
    let mut payload = Vec::new();
    content.encode(&mut payload).expect("a list");
    let mut out = Vec::new();
    cose::sign(&payload, ContentType::LIST, &[(root.id, Algorithm::Es256)], &mut out, |_, parts| root.sign(parts))
        .expect("a list");
    out
}
