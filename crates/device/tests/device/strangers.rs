//! What strangers may cost.

use crate::platform::Dice;
use crate::world::{FAIR, Happened, Weather, World, address};
use medlock_device::platform::Rng as _;
use medlock_proto::coap::{Code, MessageId, Token, Type, Writer, content_format, option};
use medlock_proto::crypto::{Curve, Secret};
use medlock_proto::edhoc::initiator::{self, Offer};
use medlock_proto::edhoc::{self, ConnectionId, Ephemeral, Method, Suite};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::role::Role;

/// A first message of a handshake that nobody will finish.
pub(crate) fn hello(dice: &mut Dice, stamp: Option<&[u8]>) -> Vec<u8> {
    let mut secret = [0; 32];
    dice.fill(&mut secret);
    secret[0] &= 0x7f;
    let ephemeral = Ephemeral::new(Curve::P256, Secret::from_bytes(secret), &RustCrypto).unwrap();
    let connection = ConnectionId::new(&[0x10]).unwrap();
    let suites = [Suite::Suite2];
    let offer = Offer { method: Method::SignSign, suites: &suites, selected: Suite::Suite2, connection, ead: &[] };
    let mut out = [0; 200];
    let id = MessageId(dice.next() as u16);
    let mut writer = Writer::new(&mut out, Type::Confirmable, Code::POST, id, Token::EMPTY);
    writer.path(&edhoc::coap::PATH).uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into());
    if let Some(stamp) = stamp {
        writer.option(option::ECHO, stamp);
    }
    writer
        .payload_with(|free| {
            let head = edhoc::coap::write_start(free).ok()?;
            Some(head + initiator::start(&offer, ephemeral, &mut free[head..], &RustCrypto).ok()?.1)
        })
        .finish()
        .unwrap()
        .to_vec()
}

/// Shows REQ-DEV-40.
#[test]
fn a_flood_of_handshakes_from_forged_addresses_does_not_stop_a_peer() {
    let mut world = World::new(2, Weather { late_ms: 30, ..FAIR });
    let pump = world.device("pump-1", &[Role::Actuator]);
    let controller = world.device("controller-1", &[Role::Controller]);
    let mut dice = Dice(11);
    let floods: Vec<_> = (0..8).map(|_| hello(&mut dice, None)).collect();
    let target = world.nodes[pump].address;
    let connected =
        |world: &World| world.nodes[controller].happened.iter().any(|one| matches!(one, Happened::Connected { .. }));
    // A hundred a second, each from another address.
    let mut number = 0;
    while !connected(&world) && number < 6_000 {
        if number == 200 {
            let now = world.ticks();
            world.sdk(controller).connect(now, target).unwrap();
        }
        let mut datagram = floods[number % floods.len()].clone();
        datagram[2..4].copy_from_slice(&(number as u16).to_be_bytes());
        world.send(address(100 + (number % 100) as u8), target, &datagram);
        world.run(10, |_| false);
        number += 1;
    }
    assert!(connected(&world), "after {number} strange handshakes");
    // Most were answered with a question, which costs no public-key operation.
    let asked = |datagram: &[u8]| datagram[1] == 0x81;
    let from_pump: Vec<_> = world.wire.iter().filter(|(from, _, _)| *from == target).collect();
    let asked = from_pump.iter().filter(|(_, _, datagram)| asked(datagram)).count();
    assert!(asked > 100, "{asked} questions");
    assert!(from_pump.len() - asked <= 6 + number / 200, "{asked} of {} were questions", from_pump.len());
}

/// Shows REQ-DEV-41.
#[test]
fn noise_is_counted_and_changes_nothing() {
    let mut world = World::new(3, FAIR);
    let pump = world.pump("pump-1");
    let controller = world.device("controller-1", &[Role::Controller]);
    world.connect(controller, pump);
    world.nodes[pump].happened.clear();
    let mut dice = Dice(4);
    let samples: Vec<_> = world.wire.iter().filter(|(_, to, _)| *to == world.nodes[pump].address).cloned().collect();
    let now = world.ticks();
    for _ in 0..3_000 {
        let (from, _, mut datagram) = samples[dice.next() as usize % samples.len()].clone();
        for _ in 0..=dice.next() % 4 {
            let at = dice.next() as usize % datagram.len();
            datagram[at] ^= 1 << (dice.next() % 8);
        }
        datagram.truncate(dice.next() as usize % (datagram.len() + 1));
        let from = if dice.next().is_multiple_of(2) { from } else { address(150) };
        world.sdk(pump).handle_datagram(now, from, &mut datagram);
        let mut buffer = [0; 1200];
        while !matches!(world.sdk(pump).poll(now, &mut buffer), medlock_device::Output::Wait(_)) {}
    }
    let peer = world.peer_at(controller);
    let answer = world.call(controller, peer, medlock_device::Method::Get, medlock_device::Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(..)), "{answer:?}");
}

/// Shows REQ-DEV-42.
#[test]
fn a_new_session_takes_the_place_of_the_one_that_was_silent_for_longest_and_never_of_a_bonded_one() {
    let mut world = World::new(6, FAIR);
    let pump = world.pump("pump-1");
    world.bond(pump, "controller-1", medlock_trust::Operations::of(&[medlock_trust::Operation::Treat]));
    let names = ["controller-1", "monitor-1", "monitor-2", "monitor-3", "monitor-4"];
    let mut peers = Vec::new();
    for name in names {
        let number = world.device(name, &[Role::Controller]);
        let peer = world.connect(number, pump);
        peers.push((number, peer));
        world.run(1_000, |_| false);
    }
    // Three places: the bonded controller, and the two that came last.
    let stands: Vec<bool> = peers
        .iter()
        .map(|(number, peer)| {
            let answer = world.call(*number, *peer, medlock_device::Method::Get, medlock_device::Resource::State, &[]);
            matches!(answer, Happened::Answered(..))
        })
        .collect();
    assert_eq!(stands, [true, false, false, true, true]);
}
