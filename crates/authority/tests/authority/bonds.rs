//! Bonds that the site signs, and the site list that names its key for them.

use crate::fixture::{Site, ct, noon, open};
use data_encoding::BASE64;
use medlock_authority::Authority;
use medlock_authority::admin::{Request, Response};
use medlock_authority::objects::Kind;
use medlock_authority::signer::{InProcess, KeyLabel, Kind as SignedKind, Signer as _};
use medlock_authority::store::{Journal as _, Published, SqlStore};
use medlock_node::provider::AwsLc;
use medlock_trust::bond::{PatientContext, Refused, SignedBond};
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::list::{Content, List, Purpose, Purposes, Service};
use medlock_trust::{DeviceId, DeviceName, Operation, Operations};

const PATIENT: &str = "07070707070707070707070707070707";

fn bond(device: &str, operations: &[&str]) -> Request {
    Request::Bond {
        device: device.into(),
        controller: "controller-1".into(),
        patient: Some(PATIENT.into()),
        operations: operations.iter().map(|name| (*name).to_owned()).collect(),
    }
}

fn device(name: &str) -> DeviceId {
    DeviceId::of(&DeviceName::new(name).unwrap(), &AwsLc)
}

fn register(site: &Site, name: &str, role: &str) {
    let device = medlock_authority::registry::DeviceConfig {
        roles: vec![role.into()],
        ae_titles: Vec::new(),
        sidecar: None,
        ..ct(name)
    };
    site.ask(Request::Register { device });
}

fn site_list(authority: &Authority) -> Vec<u8> {
    authority.news().current(Kind::SiteList).unwrap().bytes.to_vec()
}

/// Shows REQ-LOOP-53.
#[test]
fn a_bond_that_the_site_signs_is_believed_by_the_device_it_is_for_and_by_no_other() {
    let site = Site::new();
    register(&site, "pump-1", "actuator");
    register(&site, "controller-1", "controller");
    let Response::Bond { mut epoch, patient, bytes } = site.ask(bond("pump-1", &["treat", "halt"])) else {
        panic!("no bond")
    };
    assert_eq!((epoch, patient.as_str()), (noon().unix().try_into().unwrap(), PATIENT));
    let bytes = BASE64.decode(bytes.as_bytes()).unwrap();
    let list = site_list(&site.authority);
    let list = List::danger_open(&list).unwrap();
    let signed = SignedBond::verify(&bytes, device("pump-1"), &list, &AwsLc).unwrap();
    assert_eq!((signed.bond.controller, signed.bond.epoch), (device("controller-1"), epoch));
    assert_eq!(signed.bond.operations, Operations::of(&[Operation::Treat, Operation::Halt]));
    assert_eq!(signed.bond.patient, PatientContext([7; 16]));
    assert_eq!(SignedBond::verify(&bytes, device("pump-2"), &list, &AwsLc), Err(Refused::OtherDevice));

    for seconds in [0, 1, -3_600] {
        site.clock.advance(seconds);
        let Response::Bond { epoch: next, .. } = site.ask(bond("pump-1", &["treat"])) else { panic!("no bond") };
        assert!(next > epoch, "a later bond comes after, also within one second, and when the clock went back");
        epoch = next;
    }
    let Response::Audit { entries } = site.ask(Request::Audit { limit: Some(4) }) else { panic!("no audit") };
    assert_eq!(
        (entries[3].verb.as_str(), entries[3].subject.as_str()),
        ("bond", "pump-1 with controller-1: treat, halt")
    );
}

/// Shows REQ-LOOP-53.
#[test]
fn no_bond_is_signed_for_strangers_the_suspended_or_nothing() {
    let site = Site::new();
    register(&site, "pump-1", "actuator");
    assert!(site.refuses(bond("pump-1", &["treat"])).contains("controller-1"), "it is not registered");
    register(&site, "controller-1", "controller");
    assert!(site.refuses(bond("pump-1", &[])).contains("at least one"));
    assert!(site.refuses(bond("pump-1", &["fly"])).contains("fly"));
    assert!(site.refuses(bond("controller-1", &["treat"])).contains("itself"));
    assert!(site.refuses(bond("pump-1", &["store"])).contains("no role of controller-1"));
    let Request::Bond { device, controller, operations, .. } = bond("pump-1", &["treat"]) else { panic!("a bond") };
    let named = Request::Bond { device, controller, operations, patient: Some("Jane".into()) };
    assert!(site.refuses(named).contains("patient"));
    site.ask(Request::Suspend { device: "controller-1".into(), why: "odd".into() });
    assert!(site.refuses(bond("pump-1", &["treat"])).contains("restore"));
}

/// Shows REQ-LOOP-53: a site of an earlier version signs its list anew.
#[test]
fn a_site_list_that_names_no_key_for_bonds_is_signed_anew_with_the_root() {
    let Site { authority, clock, dir } = Site::new();
    let old = without_bonds(&authority, dir.path());
    drop(authority);
    let version = 2;
    let store = SqlStore::sqlite(&dir.path().join("authority.sqlite")).unwrap();
    store.publish(Kind::SiteList.name(), Published { version, at: clock.now(), bytes: old }).unwrap();
    drop(store);

    let authority = open(dir.path(), &clock);
    let list = site_list(&authority);
    let list = List::danger_open(&list).unwrap();
    assert_eq!(list.heading().version, version + 1);
    assert!(list.service(Purpose::Bonds, authority.issuing().key.as_bytes()).is_some());
    drop(authority);
    let again = open(dir.path(), &clock);
    assert_eq!(List::danger_open(&site_list(&again)).unwrap().heading().version, version + 1, "once is enough");
}

/// The site's list as version 2, as it was before bonds.
fn without_bonds(authority: &Authority, dir: &std::path::Path) -> Vec<u8> {
    let bytes = site_list(authority);
    let list = List::danger_open(&bytes).unwrap();
    let purposes = Purposes::of(&[Purpose::Status, Purpose::Policy, Purpose::Routes, Purpose::Time]);
    let services: Vec<Service<'_>> = list.services().map(|service| Service { purposes, ..service }).collect();
    let (members, authorities): (Vec<_>, Vec<_>) = (list.members().collect(), list.authorities().collect());
    let heading = medlock_trust::list::Heading { version: 2, ..*list.heading() };
    let content = Content { heading, members: &members, recovery: &[], authorities: &authorities, services: &services };
    let (mut payload, mut out) = (Vec::new(), Vec::new());
    content.encode(&mut payload).unwrap();
    let signer = InProcess::open(&dir.join("signer")).unwrap();
    cose::sign(&payload, ContentType::LIST, &[(authority.root().key, Algorithm::Es256)], &mut out, |_, parts| {
        signer.sign(KeyLabel::ROOT, SignedKind::Cose, &parts.concat())
    })
    .unwrap();
    out
}
