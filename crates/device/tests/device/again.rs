//! What the second attack tried.

use crate::platform::Dice;
use crate::raw::Raw;
use crate::site::{START, device_id};
use crate::strangers::hello;
use crate::world::{FAIR, Happened, World};
use medlock_device::{Method, PhysicalAct, Request, Resource, Status};
use medlock_proto::coap::{Code as CoapCode, Message, MessageId, Type, Writer, content_format, option};
use medlock_trust::bond::PatientContext;
use medlock_trust::role::Role;
use medlock_trust::{Operation, Operations};

/// Message 1 of a stranger, with this number and a token of his own.
fn forged(number: MessageId) -> Vec<u8> {
    let plain = hello(&mut Dice(11), None);
    [&[0x44, plain[1]][..], &number.0.to_be_bytes(), &[9; 4], &plain[4..]].concat()
}

/// Shows REQ-DEV-95.
#[test]
fn a_strangers_message_with_the_number_of_anothers_ends_no_handshake() {
    // Who listens knows the next number of a device, and says that he is there.
    for before_message_1 in [true, false] {
        let mut world = World::new(2, FAIR);
        let pump = world.pump("pump-1");
        let mut raw = Raw::new(&mut world, 90, "controller-1", Role::Controller);
        if before_message_1 {
            let next = MessageId(raw.next_id + 1);
            raw.deliver(&mut world, pump, &forged(next));
        }
        let (state, message_2) = raw.greet(&mut world, pump).expect("an answer to message 1");
        let third = raw.message_3(&world, state, message_2).expect("message 2 for this message 1");
        if !before_message_1 {
            let next = MessageId(raw.next_id + 1);
            raw.deliver(&mut world, pump, &forged(next));
        }
        raw.finish(&mut world, pump, third).expect("message 4");
    }
}

/// Shows REQ-DEV-95.
#[test]
fn what_nobody_authenticated_ends_no_combined_request_and_repeats_none() {
    let unknown_credential: &[u8] = &[0x03, 0xf5];
    for (code, payload) in
        [(CoapCode::BAD_OPTION, &[][..]), (CoapCode::BAD_REQUEST, unknown_credential), (CoapCode::CHANGED, &[])]
    {
        let mut world = World::new(2, FAIR);
        let sensor = world.device("cgm-1", &[Role::Sensor]);
        let monitor = world.device("monitor-1", &[Role::Monitor]);
        world.nodes[sensor].answer = b"\x82\x01\x02".to_vec();
        let (now, target) = (world.ticks(), world.nodes[sensor].address);
        world.sdk(monitor).connect_with(now, target, &Request::get(Resource::Readings)).unwrap();
        let is_combined = |datagram: &[u8]| Message::read(datagram).unwrap().option(option::EDHOC).is_some();
        let together = loop {
            world.run(1, |_| false);
            if let Some((.., datagram)) = world.wire.iter().find(|(.., datagram)| is_combined(datagram)) {
                break datagram.clone();
            }
        };
        let read = Message::read(&together).unwrap();
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out, Type::Acknowledgement, code, read.id(), read.token());
        if !payload.is_empty() {
            writer.uint(option::CONTENT_FORMAT, content_format::EDHOC.into());
        }
        let mut forged = writer.payload(payload).finish().unwrap().to_vec();
        let now = world.ticks();
        world.sdk(monitor).handle_datagram(now, target, &mut forged);
        let answered =
            world.run(60_000, |nodes| nodes[monitor].happened.iter().any(|one| matches!(one, Happened::Readings(..))));
        assert!(answered, "{code:?}: {:?}", world.nodes[monitor].happened);
        let asked = world.nodes[sensor].happened.iter().filter(|one| matches!(one, Happened::Asked(_))).count();
        assert_eq!(asked, 1, "{code:?}");
    }
}

/// Shows REQ-DEV-95: no call either, nor its session.
#[test]
fn what_nobody_authenticated_ends_no_session() {
    for reset in [false, true] {
        let mut world = World::new(2, FAIR);
        let sensor = world.device("cgm-1", &[Role::Sensor]);
        let monitor = world.device("monitor-1", &[Role::Monitor]);
        let peer = world.connect(monitor, sensor);
        let (now, target, before) = (world.ticks(), world.nodes[sensor].address, world.nodes[monitor].happened.len());
        world.sdk(monitor).call(now, peer, Method::Get, Resource::State, &[]).unwrap();
        world.drain(monitor);
        let asked = world.wire.last().unwrap().2.clone();
        let read = Message::read(&asked).unwrap();
        let mut out = [0; 64];
        let refused = Writer::new(&mut out, Type::Acknowledgement, CoapCode::UNAUTHORIZED, read.id(), read.token())
            .finish()
            .unwrap();
        let mut forged = if reset { medlock_proto::coap::reset(read.id()).to_vec() } else { refused.to_vec() };
        world.sdk(monitor).handle_datagram(now, target, &mut forged);
        let answer = world.answer_since(monitor, before);
        assert!(matches!(answer, Happened::Answered(_, Status::Done, _)), "reset: {reset}: {answer:?}");
        let answer = world.call(monitor, peer, Method::Get, Resource::State, &[]);
        assert!(matches!(answer, Happened::Answered(_, Status::Done, _)), "reset: {reset}: {answer:?}");
    }
}

/// Shows REQ-DEV-132: a bond that the site signed, and that was kept back, ends nothing a person bonded later.
#[test]
fn a_bond_that_a_carrier_kept_back_does_not_end_a_later_bond_by_the_button() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-1");
    let own = world.sdk(pump).own().unwrap();
    let commands = Operations::of(&[Operation::Treat, Operation::Halt]);
    let epoch = u64::try_from(START.unix()).unwrap();
    // For the patient of yesterday.
    let kept_back = world.site.bond(own, device_id("controller-2"), commands, epoch);
    world.pass_days(1);
    let act = PhysicalAct::danger_button_was_held();
    let now = world.ticks();
    world.sdk(pump).bond(now, act, device_id("controller-1"), PatientContext([8; 16]), commands).unwrap();
    let now = world.ticks();
    let taken = world.sdk(pump).take_object(now, &kept_back);
    let holders: Vec<_> = world.sdk(pump).bonds().map(|bond| bond.controller).collect();
    assert_eq!(holders, [device_id("controller-1")], "{taken:?}");
}
