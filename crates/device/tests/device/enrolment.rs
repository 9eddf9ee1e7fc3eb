//! A first credential and a renewed one, from a hub that is made of the protocols alone.

use crate::platform::{Dice, point};
use crate::site::{DAY, START, Site, device_id};
use crate::world::{FAIR, Happened, Sdk, World, address};
use medlock_device::platform::{KeySlot, KeyStore as _, Rng as _};
use medlock_device::{Address, Method, NotTaken, PhysicalAct, Resource};
use medlock_proto::coap::{Code, Message, Type, Writer, option};
use medlock_proto::crypto::{Curve, Secret};
use medlock_proto::edhoc::coap::Request;
use medlock_proto::edhoc::responder::{Accept, AwaitMessage3, Message1};
use medlock_proto::edhoc::{
    self, AuthenticationKey, Certificates, ConnectionId, Credential, CredentialReference, Ephemeral, OwnCredential,
    PeerCredential, Suite,
};
use medlock_proto::oscore::{Incoming, Replay, SecurityContext, SenderSequence};
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::authenticate::{CredentialKind, authenticate};
use medlock_trust::role::Role;
use medlock_trust::x509::{self, Certificate, ids};
use medlock_trust::{Budget, KeyId, Time};

/// A hub for one device at a time.
pub(crate) struct Hub {
    key: SoftwareKey,
    certificate: Vec<u8>,
    dice: Dice,
    half: Option<AwaitMessage3>,
    session: Option<(SecurityContext, CredentialKind)>,
    /// What it gives, instead of what is asked for.
    gives: Option<Vec<u8>>,
}

impl Hub {
    fn new(site: &Site, dice: &mut Dice) -> Self {
        let key = dice.key();
        let certificate = site.root.issue("hub-1", &[Role::Hub], &key, (START, START.plus_seconds(90 * DAY)));
        Self { key, certificate, dice: dice.clone(), half: None, session: None, gives: None }
    }

    /// Answers a datagram.
    pub(crate) fn answer(&mut self, site: &Site, datagram: &mut [u8]) -> Vec<u8> {
        let message = Message::read(datagram).unwrap();
        let (id, token) = (message.id(), message.token());
        if message.option(option::OSCORE).is_some() {
            return self.issue(site, datagram);
        }
        let start = datagram.len() - message.payload().len();
        let payload = &mut datagram[start..];
        let mut room = [0; 600];
        let length = match edhoc::coap::read_request(payload).unwrap() {
            Request::Start(message) => {
                let accept = Accept { methods: &edhoc::Method::ALL, suites: &[Suite::Suite2], understood: &[] };
                let message = Message1::read(message, &accept, &RustCrypto).unwrap();
                let mut secret = [0; 32];
                self.dice.fill(&mut secret);
                secret[0] &= 0x7f;
                let ephemeral = Ephemeral::new(Curve::P256, Secret::from_bytes(secret), &RustCrypto).unwrap();
                let chain = [self.certificate.as_slice()];
                let reference = CredentialReference::C5c(Certificates::c509(&chain));
                let own = OwnCredential::new(Credential::certificate(&self.certificate), reference, &self.key);
                let connection = ConnectionId::new(&[0x41, 0x42]).unwrap();
                let made = message.message_2(&own, connection, ephemeral, &[], &mut room, &RustCrypto).unwrap();
                self.half = Some(made.0);
                made.1
            }
            Request::Next(_, message) => {
                let at = payload.len() - message.len();
                self.finish(site, &mut payload[at..], &mut room)
            }
            Request::Trigger => panic!("not asked for"),
        };
        let mut out = [0; 800];
        let mut writer = Writer::new(&mut out, Type::Acknowledgement, Code::CHANGED, id, token);
        writer.payload(&room[..length]).finish().unwrap().to_vec()
    }

    fn finish(&mut self, site: &Site, message: &mut [u8], room: &mut [u8]) -> usize {
        let message = self.half.take().unwrap().read(message, &[], &RustCrypto).unwrap();
        let Some(CredentialReference::C5c(shown)) = message.id_cred().reference() else { panic!("by value") };
        let items = shown.iter().next().unwrap();
        let certificate = [&[0x8b], items].concat();
        let leaf = Certificate::read(&certificate).unwrap();
        let anchors: Vec<_> = site.anchors();
        let anchors: Vec<_> = anchors.iter().map(|authority| authority.anchor().unwrap()).collect();
        let identified = authenticate(&[&certificate], &anchors, &mut Budget::default(), &RustCrypto).unwrap();
        let kind = identified.kind();
        let key = AuthenticationKey::of(leaf.public_key().unwrap()).unwrap();
        let peer = PeerCredential { credential: Credential::C509Items(items), key, identified };
        let (session, length) = message.verify(peer, &RustCrypto).unwrap().message_4(&[], room, &RustCrypto).unwrap();
        let input = session.oscore(&RustCrypto);
        let sequence = SenderSequence::in_memory();
        let context = SecurityContext::from_edhoc(&input, sequence, Replay::NoneYet, &RustCrypto).unwrap();
        self.session = Some((context, kind));
        length
    }

    /// Issues what is asked for, under the name of the register.
    fn issue(&mut self, site: &Site, datagram: &mut [u8]) -> Vec<u8> {
        let (context, kind) = self.session.as_mut().unwrap();
        let mut room = [0; 1200];
        let opened = context.unprotect_request(datagram, &mut room, &RustCrypto).unwrap();
        let Incoming::Fresh(request, mut received) = opened else { panic!("fresh") };
        let expected = if *kind == CredentialKind::Birth { Resource::Enrol } else { Resource::Renew };
        assert!(request.path_is(expected.path()), "{kind:?}");
        let asked = x509::Request::read(request.payload()).unwrap();
        asked.verify(&RustCrypto).unwrap();
        let bits = asked.public_key().unwrap().bits.to_vec();
        let certificate = self.gives.clone().unwrap_or_else(|| {
            site.root.issue_bits("pump-1", &[Role::Actuator], &bits, (START, START.plus_seconds(90 * DAY)))
        });
        let mut plain = [0; 800];
        let mut writer = Writer::new(&mut plain, Type::Acknowledgement, Code::CHANGED, request.id(), request.token());
        let plain = writer.payload(&certificate).finish().unwrap();
        let plain = Message::read(plain).unwrap();
        let mut out = [0; 900];
        context.protect_response(&mut received, &plain, &mut out, &RustCrypto).unwrap().to_vec()
    }
}

/// Lets device and hub talk until neither has more to say.
fn talk(world: &mut World, hub: &mut Hub, device: usize) {
    let here = address(77);
    for _ in 0..20 {
        let before = world.wire.len();
        world.drain(device);
        let to_hub: Vec<_> = world.wire[before..].iter().filter(|(_, to, _)| *to == here).cloned().collect();
        if to_hub.is_empty() {
            return;
        }
        for (_, _, mut datagram) in to_hub {
            let mut answer = hub.answer(&world.site, &mut datagram);
            let now = world.ticks();
            world.sdk(device).handle_datagram(now, here, &mut answer);
        }
    }
}

fn enrol(world: &mut World, hub: &mut Hub, device: usize) {
    let (now, here): (_, Address) = (world.ticks(), address(77));
    world.sdk(device).connect(now, here).unwrap();
    talk(world, hub, device);
    let peer = world.peer_at(device);
    world.sdk(device).enrol(now, peer, None).unwrap();
    talk(world, hub, device);
}

pub(crate) fn newborn() -> (World, Hub, usize) {
    let mut world = World::new(5, FAIR);
    let device = world.newborn();
    let list = world.site.list(START);
    let status = world.site.status(START, &[]);
    let (now, root) = (world.ticks(), world.site.root.id);
    let sdk = world.sdk(device);
    assert_eq!(sdk.take_object(now, &list), Err(NotTaken::NotPinned), "whose list is it?");
    sdk.pin_site(root, None).unwrap();
    sdk.take_object(now, &list).unwrap();
    sdk.take_object(now, &status).unwrap();
    let mut dice = Dice(99);
    let hub = Hub::new(&world.site, &mut dice);
    (world, hub, device)
}

/// Shows REQ-DEV-30.
#[test]
fn a_newborn_device_enrols_at_its_hub_and_works_with_others() {
    let (mut world, mut hub, device) = newborn();
    enrol(&mut world, &mut hub, device);
    assert!(world.nodes[device].happened.contains(&Happened::Enrolled(device_id("pump-1"))));
    let controller = world.device("controller-1", &[Role::Controller]);
    let peer = world.connect(controller, device);
    let answer = world.call(controller, peer, Method::Get, Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(..)), "{answer:?}");
    world.reboot(device);
    assert_eq!(world.sdk(device).own(), Some(device_id("pump-1")), "the credential is kept");
}

/// Shows REQ-DEV-31.
#[test]
fn a_device_whose_credential_expired_long_ago_renews_it_with_a_new_key() {
    let (mut world, mut hub, device) = newborn();
    let long_ago = (START.plus_seconds(-900 * DAY), START.plus_seconds(-500 * DAY));
    world.enrol(device, "pump-1", &[Role::Actuator], long_ago);
    let before = key_of(&mut world, device);
    enrol(&mut world, &mut hub, device);
    assert!(world.nodes[device].happened.contains(&Happened::Enrolled(device_id("pump-1"))));
    assert_ne!(key_of(&mut world, device), before);
}

fn key_of(world: &mut World, device: usize) -> [u8; 33] {
    world.restart(device, |parts| parts.keys.public_key(KeySlot::Operational).unwrap().unwrap())
}

/// Shows REQ-DEV-32.
#[test]
fn what_a_hub_gives_is_taken_only_for_the_own_key_from_the_own_site() {
    type Case = fn(&World, &SoftwareKey, &[u8; 65]) -> Vec<u8>;
    let cases: [Case; 3] = [
        // For another key.
        |world, other, _| world.site.root.issue("pump-1", &[Role::Actuator], other, (START, Time::NEVER)),
        // From the maker: a birth credential.
        |world, _, own| world.site.maker.issue_bits("pump-1", &[Role::Actuator], own, (START, Time::NEVER)),
        // Nothing at all.
        |_, _, _| b"\x01".to_vec(),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let (mut world, mut hub, device) = newborn();
        let other = Dice(1).key();
        hub.gives = Some(case(&world, &other, &point(&other)));
        enrol(&mut world, &mut hub, device);
        let sdk: &Sdk = world.sdk(device);
        assert_eq!(sdk.own(), None, "case {number}");
        assert!(world.nodes[device].happened.contains(&Happened::NotEnrolled), "case {number}");
    }
}

/// Shows REQ-DEV-33.
#[test]
fn another_site_takes_a_physical_act_and_ends_all_that_came_from_the_first() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-1");
    let (now, other) = (world.ticks(), KeyId::from_bytes([9; 16]));
    world.bond(pump, "controller-1", medlock_trust::Operations::of(&[medlock_trust::Operation::Treat]));
    let sdk = world.sdk(pump);
    assert_eq!(sdk.pin_site(other, None), Err(NotTaken::NeedsPhysicalAct));
    assert!(sdk.own().is_some());
    sdk.pin_site(other, Some(PhysicalAct::danger_button_was_held())).unwrap();
    assert_eq!((sdk.own(), sdk.bonds().count()), (None, 0));
    let list = world.site.list(START);
    assert!(world.sdk(pump).take_object(now, &list).is_err(), "the first site's list is a stranger's");
    world.reboot(pump);
    assert_eq!(world.sdk(pump).own(), None);
}

#[test]
fn names_are_read_from_credentials() {
    let mut dice = Dice(3);
    let (site, key) = (Site::new(&mut dice), dice.key());
    let certificate = site.root.issue("pump-1", &[Role::Actuator], &key, (START, Time::NEVER));
    let leaf = Certificate::read(&certificate).unwrap();
    assert_eq!(leaf.subject().only(ids::SERIAL_NUMBER).and_then(|text| text.as_str()), Some("pump-1"));
    assert!(certificate.len() <= 180, "{}", certificate.len());
}

/// Shows REQ-DEV-32.
#[test]
fn an_enrolment_code_is_for_hubs_of_the_own_site() {
    // A birth credential that says it is a hub's, and one of another site.
    for other_site in [false, true] {
        let (mut world, mut hub, device) = newborn();
        if other_site {
            world.site.two_sites = true;
            let (list, now) = (world.site.list(START.plus_seconds(1)), world.ticks());
            world.sdk(device).take_object(now, &list).unwrap();
        }
        let validity = (START, START.plus_seconds(90 * DAY));
        hub.certificate = world.site.maker.issue("hub-1", &[Role::Hub], &hub.key, validity);
        let now = world.ticks();
        world.sdk(device).connect(now, address(77)).unwrap();
        talk(&mut world, &mut hub, device);
        let peer = world.peer_at(device);
        let asked = world.sdk(device).enrol(now, peer, Some("MEDLOCK-SECRET"));
        assert_eq!(asked, Err(medlock_device::CallError::NotAHub), "other site: {other_site}");
    }
}

/// Shows REQ-DEV-32.
#[test]
fn a_credential_of_another_site_is_not_taken() {
    let (mut world, mut hub, device) = newborn();
    world.site.two_sites = true;
    let (list, now) = (world.site.list(START.plus_seconds(1)), world.ticks());
    world.sdk(device).take_object(now, &list).unwrap();
    let key = world.dice.key();
    world.restart(device, |parts| parts.keys.next = Some(key.clone()));
    let validity = (START, START.plus_seconds(90 * DAY));
    let foreign = world.site.maker.issue("pump-1", &[Role::Actuator], &key, validity);
    assert_eq!(world.sdk(device).install_credential(&[&foreign]), Err(NotTaken::NotOurs));
    let own = world.site.root.issue("pump-1", &[Role::Actuator], &key, validity);
    assert_eq!(world.sdk(device).install_credential(&[&own]), Ok(()));
    hub.gives = None;
}
