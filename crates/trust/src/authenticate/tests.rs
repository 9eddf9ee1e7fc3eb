use super::*;
use crate::cose::testing::{Key, Provider};
use crate::role::{DeviceTypes, Role};
use crate::x509::{Name, role_extension_der};
use std::string::String;
use std::vec::Vec;

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).unwrap().to_be_bytes();
    let head = match length {
        [0, low @ ..0x80] => std::vec![tag, low],
        [0, low] => std::vec![tag, 0x81, low],
        [high, low] => std::vec![tag, 0x82, high, low],
    };
    [&head, content].concat()
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn oid(content: &[u8]) -> Vec<u8> {
    tlv(6, content)
}

/// A name of one or more attributes, given as the last octet of their type in arc 2.5.4.
fn name(attributes: &[(u8, &str)]) -> Vec<u8> {
    let sets: Vec<_> = attributes
        .iter()
        .flat_map(|(kind, text)| tlv(0x31, &sequence(&[&oid(&[0x55, 4, *kind]), &tlv(0x13, text.as_bytes())])))
        .collect();
    tlv(0x30, &sets)
}

const SERIAL: u8 = 5;
const COMMON: u8 = 3;
const ROLE: &[u8] = b"\x69\x82\x82\xbb\x98\x8e\xb0\xb9\xba\xaf\xf1\xa6\xea\xd8\xeb\x8f\xda\x8d\xe4\x52";

/// A `BOOLEAN` and a `SEQUENCE` for basicConstraints of an authority.
fn authority_extension() -> Vec<u8> {
    sequence(&[&oid(b"\x55\x1d\x13"), &tlv(1, &[0xff]), &tlv(4, &sequence(&[&tlv(1, &[0xff])]))])
}

fn role_extension(roles: Roles, device_type: Option<DeviceType>) -> Vec<u8> {
    sequence(&[&oid(ROLE), &tlv(4, role_extension_der(roles, device_type, &mut [0; 64]))])
}

struct Made<'k> {
    issuer: Vec<u8>,
    issuer_key: &'k Key,
    subject: Vec<u8>,
    key: &'k Key,
    years: [&'static str; 2],
    extension: Vec<u8>,
}

impl Made<'_> {
    fn certificate(&self) -> Vec<u8> {
        let algorithm = sequence(&[&oid(b"\x2a\x86\x48\xce\x3d\x04\x03\x02")]);
        let times = self.years.map(|year| tlv(0x17, std::format!("{year}0101000000Z").as_bytes()));
        let tbs = sequence(&[
            b"\xa0\x03\x02\x01\x02",
            &tlv(2, &[0x11, 0x22]),
            &algorithm,
            &self.issuer,
            &sequence(&[&times[0], &times[1]]),
            &self.subject,
            &self.key.spki,
            &tlv(0xa3, &sequence(&[&self.extension])),
        ]);
        let signature = self.issuer_key.sign(&[&tbs]);
        let integers: Vec<_> = signature.chunks(32).map(integer).collect();
        let signature = tlv(3, &[&[0][..], &sequence(&[&integers[0], &integers[1]])].concat());
        sequence(&[&tbs, &algorithm, &signature])
    }
}

fn integer(bytes: &[u8]) -> Vec<u8> {
    let start = bytes.iter().position(|byte| *byte != 0).unwrap();
    let sign: &[u8] = if bytes[start] & 0x80 == 0 { &[] } else { &[0] };
    tlv(2, &[sign, &bytes[start..]].concat())
}

struct House {
    root: Key,
    issuing: Key,
    device: Key,
}

impl House {
    fn new() -> Self {
        Self { root: Key::p256(), issuing: Key::p256(), device: Key::p256() }
    }

    /// Leaf and issuing certificate; the leaf's subject and role extension are the caller's.
    fn chain(&self, subject: &[(u8, &str)], extension: Vec<u8>) -> [Vec<u8>; 2] {
        let issuing = Made {
            issuer: name(&[(COMMON, "root")]),
            issuer_key: &self.root,
            subject: name(&[(COMMON, "issuing")]),
            key: &self.issuing,
            years: ["20", "40"],
            extension: authority_extension(),
        };
        let leaf = Made {
            issuer: name(&[(COMMON, "issuing")]),
            issuer_key: &self.issuing,
            subject: name(subject),
            key: &self.device,
            years: ["26", "27"],
            extension,
        };
        [leaf.certificate(), issuing.certificate()]
    }

    fn authenticate(
        &self,
        chain: &[Vec<u8>],
        change: impl FnOnce(&mut Anchor<'_>),
    ) -> Result<Identified, Unidentified> {
        let subject = name(&[(COMMON, "root")]);
        let mut anchor = Anchor {
            subject: Name::from_der(&subject).unwrap(),
            spki: &self.root.spki,
            key: self.root.public(),
            key_id: self.root.id,
            kind: AuthorityKind::Site,
            roles: Roles::EVERY,
            device_types: DeviceTypes::Every,
            name_constraints: None,
        };
        change(&mut anchor);
        let chain: Vec<_> = chain.iter().map(Vec::as_slice).collect();
        authenticate(&chain, &[anchor], &mut Budget::default(), &Provider)
    }
}

fn modality() -> Vec<u8> {
    role_extension(Roles::of(&[Role::Modality, Role::Controller]), Some(DeviceType(1)))
}

#[test]
fn a_peer_is_what_its_authority_says() {
    let house = House::new();
    let chain = house.chain(&[(COMMON, "other"), (SERIAL, "ct-1")], modality());
    let peer = house.authenticate(&chain, |_| {}).unwrap();
    assert_eq!(peer.device_name().as_str(), "ct-1");
    assert_eq!(peer.device(), DeviceId::of(peer.device_name(), &Provider));
    assert_eq!(peer.credential(), Certificate::read(&chain[0]).unwrap().credential_id(&Provider));
    assert_eq!(peer.kind(), CredentialKind::Operational);
    assert_eq!((peer.roles(), peer.device_type()), (peer.claimed_roles(), Some(DeviceType(1))));
    assert_eq!(peer.roles(), Roles::of(&[Role::Modality, Role::Controller]));
    assert_eq!(peer.issuers(), [house.issuing.id, house.root.id]);
    assert_eq!((peer.authority(), peer.serial_number()), (Some(house.root.id), &[0x11, 0x22][..]));
    let year = |year| Time::from_utc(year, 1, 1, 0, 0, 0).unwrap();
    assert_eq!(peer.validity(), (year(2026), year(2027)));
}

/// Shows REQ-TRUST-25.
#[test]
fn i5_roles_are_what_is_claimed_and_vouched() {
    let house = House::new();
    let chain = house.chain(&[(SERIAL, "ct-1")], modality());
    let peer = house.authenticate(&chain, |anchor| anchor.roles = Roles::of(&[Role::Modality, Role::Hub])).unwrap();
    assert_eq!(peer.roles(), Roles::of(&[Role::Modality]));
    assert_eq!(peer.claimed_roles(), Roles::of(&[Role::Modality, Role::Controller]));
    let claims_nothing = sequence(&[&oid(b"\x55\x1d\x0f"), &tlv(4, &tlv(3, &[7, 0x80]))]);
    let peer = house.authenticate(&house.chain(&[(SERIAL, "ct-1")], claims_nothing), |_| {}).unwrap();
    assert_eq!((peer.roles(), peer.device_type()), (Roles::NONE, None));
}

/// Shows REQ-TRUST-28.
#[test]
fn i8_a_maker_gives_birth_credentials_whatever_they_say() {
    let house = House::new();
    let chain = house.chain(&[(SERIAL, "ct-1")], modality());
    let peer = house.authenticate(&chain, |anchor| anchor.kind = AuthorityKind::Maker).unwrap();
    assert_eq!(peer.kind(), CredentialKind::Birth);
}

#[test]
fn device_types_must_be_vouched() {
    let house = House::new();
    let types = |listed: &'static [u8]| DeviceTypes::listed(listed).unwrap();
    let chain = house.chain(&[(SERIAL, "ct-1")], modality());
    assert!(house.authenticate(&chain, |anchor| anchor.device_types = types(&[0, 1, 0, 9])).is_ok());
    let refused = house.authenticate(&chain, |anchor| anchor.device_types = types(&[0, 2]));
    assert_eq!(refused, Err(Unidentified::DeviceType(Some(DeviceType(1)))));
    let untyped = house.chain(&[(SERIAL, "ct-1")], role_extension(Roles::NONE, None));
    let refused = house.authenticate(&untyped, |anchor| anchor.device_types = types(&[0, 2]));
    assert_eq!(refused, Err(Unidentified::DeviceType(None)));
}

#[test]
fn a_credential_names_one_device() {
    let house = House::new();
    let with = |subject: &[(u8, &str)]| house.authenticate(&house.chain(subject, modality()), |_| {}).map(drop);
    assert_eq!(with(&[(COMMON, "ct-1")]), Err(Unidentified::NoDeviceName));
    assert_eq!(with(&[(SERIAL, "ct-1"), (SERIAL, "ct-2")]), Err(Unidentified::NoDeviceName));
    let long: String = std::iter::repeat_n('a', 65).collect();
    assert_eq!(with(&[(SERIAL, &long)]), Err(Unidentified::NoDeviceName));
    assert_eq!(with(&[(SERIAL, &long[..64])]), Ok(()));
}

/// Shows REQ-TRUST-37.
#[test]
fn i7_an_exhausted_budget_ends_authentication() {
    let house = House::new();
    let chain = house.chain(&[(SERIAL, "ct-1")], modality());
    let subject = name(&[(COMMON, "root")]);
    let anchor = Anchor {
        subject: Name::from_der(&subject).unwrap(),
        spki: &house.root.spki,
        key: house.root.public(),
        key_id: house.root.id,
        kind: AuthorityKind::Site,
        roles: Roles::EVERY,
        device_types: DeviceTypes::Every,
        name_constraints: None,
    };
    let chain: Vec<_> = chain.iter().map(Vec::as_slice).collect();
    let mut budget = Budget { signatures: 1, ..Budget::default() };
    let refused = authenticate(&chain, &[anchor], &mut budget, &Provider);
    assert!(matches!(refused, Err(Unidentified::Path(path::Error::Budget(_)))));
    let mut budget = Budget { signatures: 2, ..Budget::default() };
    assert!(authenticate(&chain, &[anchor], &mut budget, &Provider).is_ok());
}

#[test]
fn a_changed_credential_is_nobody() {
    let house = House::new();
    let mut chain = house.chain(&[(SERIAL, "ct-1")], modality());
    let at = chain[0].windows(4).position(|window| window == b"ct-1").unwrap();
    chain[0][at + 3] = b'2';
    let refused = house.authenticate(&chain, |_| {});
    assert_eq!(refused, Err(Unidentified::Path(path::Error::BadSignature { index: 0 })));
}
