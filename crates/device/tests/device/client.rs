//! What a device asks of others: with its handshake, by names of credentials, in blocks, without a session.

use crate::judged::{BOLUS, Loop};
use crate::site::START;
use crate::world::{BAD, FAIR, Happened, Weather, World};
use medlock_device::{CallError, Failure, Method, Request, Resource, Status};
use medlock_proto::coap::content_format;
use medlock_proto::edhoc;
use medlock_proto::sealed::{Memory, Order, Outcome, Receipt, Told};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::Interval;
use medlock_trust::role::Role;

fn pair(weather: Weather, seed: u64) -> (World, usize, usize) {
    let mut world = World::new(seed, weather);
    let sensor = world.device("cgm-1", &[Role::Sensor]);
    let monitor = world.device("monitor-1", &[Role::Monitor]);
    world.nodes[sensor].answer = b"\x82\x01\x02".to_vec();
    (world, sensor, monitor)
}

/// Opens a session with a first request, and gives what came of it.
fn connect_with(world: &mut World, from: usize, to: usize, request: &Request<'_>) -> Happened {
    let (now, target) = (world.ticks(), world.nodes[to].address);
    let before = world.nodes[from].happened.len();
    world.sdk(from).connect_with(now, target, request).unwrap();
    world.answer_since(from, before)
}

fn readings() -> Happened {
    Happened::Readings(medlock_trust::Operation::Report, None, b"\x82\x01\x02".to_vec())
}

/// Shows REQ-DEV-100.
#[test]
fn a_first_request_goes_with_message_3_and_its_answer_confirms_the_session() {
    let (mut world, sensor, monitor) = pair(FAIR, 1);
    let before = world.wire.len();
    assert_eq!(connect_with(&mut world, monitor, sensor, &Request::get(Resource::Readings)), readings());
    assert_eq!(world.wire.len() - before, 4, "message 1, message 2, message 3 with the request, its answer");
    let happened: Vec<_> = world.nodes[monitor].happened.iter().collect();
    assert!(matches!(happened[..], [Happened::Connected { .. }, Happened::Readings(..)]), "{happened:?}");
    let peer = world.peer_at(monitor);
    assert_eq!(world.call(monitor, peer, Method::Get, Resource::Readings, &[]), readings(), "the session goes on");
    let back = world.peer_at(sensor);
    let answer = world.call(sensor, back, Method::Get, Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(_, Status::Done, _)), "both ways: {answer:?}");
}

/// Shows REQ-DEV-100.
#[test]
fn a_bad_link_changes_nothing_of_a_combined_request() {
    for seed in 0..12 {
        let (mut world, sensor, monitor) = pair(BAD, seed);
        assert_eq!(
            connect_with(&mut world, monitor, sensor, &Request::get(Resource::Readings)),
            readings(),
            "seed {seed}"
        );
        let asked = world.nodes[sensor].happened.iter().filter(|one| matches!(one, Happened::Asked(_))).count();
        assert_eq!(asked, 1, "seed {seed}");
    }
}

/// How many bytes of EDHOC a second session takes on the wire, with what CoAP puts in front.
fn second_handshake(method: edhoc::Method) -> Vec<usize> {
    let (mut world, sensor, monitor) = pair(FAIR, 1);
    world.use_method(monitor, method);
    world.connect(monitor, sensor);
    let before = world.wire.len();
    world.connect(monitor, sensor);
    world.handshake_lengths(before)
}

/// Shows REQ-DEV-101.
#[test]
fn devices_that_have_met_name_their_credentials_and_a_handshake_is_small() {
    let lengths = second_handshake(edhoc::Method::StaticStatic);
    // Messages 1, 2 and 3; message 4 confirms.
    assert_eq!(lengths.len(), 4);
    assert!(lengths[..3].iter().sum::<usize>() <= 128, "static Diffie-Hellman: {lengths:?}");
    let lengths = second_handshake(edhoc::Method::SignSign);
    assert!(lengths[..3].iter().sum::<usize>() <= 242, "signatures: {lengths:?}");
}

/// Shows REQ-DEV-102.
#[test]
fn a_credential_that_is_not_known_by_its_name_is_shown() {
    for weather in [FAIR, BAD] {
        for (forgetful, combined) in [(0, false), (1, false), (0, true), (1, true)] {
            let (mut world, sensor, monitor) = pair(weather, 3);
            world.connect(monitor, sensor);
            // One of them forgets the other with its memory.
            let forgetful = [sensor, monitor][forgetful];
            world.reboot(forgetful);
            let now = world.ticks();
            world.sdk(forgetful).set_time(now, Interval::exactly(START));
            let case = (weather.lost, forgetful, combined);
            if combined {
                assert_eq!(
                    connect_with(&mut world, monitor, sensor, &Request::get(Resource::Readings)),
                    readings(),
                    "{case:?}"
                );
            } else {
                assert!(world.try_connect(monitor, sensor).is_some(), "{case:?}");
            }
            // Both know one another again.
            if weather.lost == 0 {
                world.now += 60_000;
                let before = world.wire.len();
                world.connect(monitor, sensor);
                let sum: usize = world.handshake_lengths(before)[..3].iter().sum();
                assert!(sum < 500, "{case:?}: {sum}");
            }
        }
    }
}

/// Shows REQ-DEV-102.
#[test]
fn a_device_without_room_for_peers_is_shown_everything() {
    let (mut world, sensor, monitor) = pair(FAIR, 1);
    world.forget_peers(sensor);
    for _ in 0..3 {
        world.connect(monitor, sensor);
        world.now += 60_000;
    }
    let before = world.wire.len();
    world.connect(monitor, sensor);
    assert_eq!(world.handshake_lengths(before).len(), 4, "it is not asked again whether it knows");
}

/// Shows REQ-DEV-101.
#[test]
fn a_named_credential_is_judged_as_a_shown_one() {
    let (mut world, sensor, monitor) = pair(FAIR, 1);
    world.connect(monitor, sensor);
    let stolen = medlock_trust::status::Subject::Device(crate::site::device_id("monitor-1"));
    let news = world.site.status(START, &[(stolen, medlock_trust::status::State::Compromised)]);
    let now = world.ticks();
    world.sdk(sensor).take_object(now, &news).unwrap();
    assert_eq!(world.try_connect(monitor, sensor), None);
}

/// Shows REQ-DEV-100.
#[test]
fn a_peer_that_does_not_take_the_combined_request_gets_one_after_the_other() {
    for weather in [FAIR, BAD] {
        let (mut world, sensor, monitor) = pair(weather, 5);
        world.plain_only = Some(sensor);
        assert_eq!(connect_with(&mut world, monitor, sensor, &Request::get(Resource::Readings)), readings());
        let peer = world.peer_at(monitor);
        assert_eq!(world.call(monitor, peer, Method::Get, Resource::Readings, &[]), readings());
    }
}

/// Shows REQ-DEV-100.
#[test]
fn a_first_request_ends_with_its_handshake() {
    let (mut world, sensor, monitor) = pair(FAIR, 1);
    let stolen = medlock_trust::status::Subject::Device(crate::site::device_id("monitor-1"));
    let news = world.site.status(START, &[(stolen, medlock_trust::status::State::Compromised)]);
    let now = world.ticks();
    world.sdk(sensor).take_object(now, &news).unwrap();
    let answer = connect_with(&mut world, monitor, sensor, &Request::get(Resource::Readings));
    assert_eq!(answer, Happened::Unanswered(Failure::Handshake));
    assert!(world.nodes[monitor].happened.contains(&Happened::NotConnected(Failure::Handshake)));
    let (now, nobody) = (world.ticks(), crate::world::address(99));
    let before = world.nodes[monitor].happened.len();
    let call = world.sdk(monitor).connect_with(now, nobody, &Request::get(Resource::State)).unwrap();
    world.sdk(monitor).cancel(call);
    world.sdk(monitor).connect_with(now, nobody, &Request::get(Resource::State)).unwrap();
    world.run(2_000_000, |nodes| nodes[monitor].happened.len() > before);
    assert_eq!(world.answer_since(monitor, before), Happened::Unanswered(Failure::TimedOut));
    let unanswered = |one: &&Happened| matches!(one, Happened::Unanswered(_));
    assert_eq!(world.nodes[monitor].happened[before..].iter().filter(unanswered).count(), 1, "the other was given up");
}

/// Shows REQ-DEV-104.
#[test]
fn who_is_known_to_be_stolen_gets_no_first_request() {
    let (mut world, sensor, monitor) = pair(FAIR, 1);
    let stolen = medlock_trust::status::Subject::Device(crate::site::device_id("cgm-1"));
    let news = world.site.status(START, &[(stolen, medlock_trust::status::State::Compromised)]);
    let now = world.ticks();
    world.sdk(monitor).take_object(now, &news).unwrap();
    let before = world.wire.len();
    let request = Request::post(Resource::Objects, &news);
    let (now, target, had) = (world.ticks(), world.nodes[sensor].address, world.nodes[monitor].happened.len());
    world.sdk(monitor).connect_with(now, target, &request).unwrap();
    world.run(60_000, |_| false);
    assert_eq!(world.wire.len() - before, 2, "messages 1 and 2");
    let happened = &world.nodes[monitor].happened[had..];
    assert!(happened.contains(&Happened::Unanswered(Failure::Handshake)), "{happened:?}");
    assert!(happened.iter().any(|one| matches!(one, Happened::Denied(_))), "{happened:?}");
}

/// Shows REQ-DEV-103.
#[test]
fn a_long_object_is_brought_and_fetched_in_blocks() {
    for weather in [FAIR, BAD] {
        let (mut world, sensor, monitor) = pair(weather, 2);
        let peer = world.connect(monitor, sensor);
        let news = world.site.long_status(START.plus_seconds(60), 40);
        assert!(news.len() > 1_200, "{}", news.len());
        let posted = world.call(monitor, peer, Method::Post, Resource::Objects, &news);
        assert!(matches!(posted, Happened::Answered(_, Status::Done, _)), "{posted:?}");
        assert!(world.nodes[sensor].happened.contains(&Happened::News));
        let again = world.call(monitor, peer, Method::Post, Resource::Objects, &news);
        assert!(matches!(again, Happened::Answered(_, Status::Refused(9), _)), "not newer: {again:?}");
        // What it holds, by number: one of them is this.
        let fetched: Vec<_> = (0..2)
            .map(|number| {
                let query = format!("o={number}");
                let request = Request { query: Some(query.as_bytes()), ..Request::get(Resource::Objects) };
                let (now, before) = (world.ticks(), world.nodes[monitor].happened.len());
                world.sdk(monitor).request(now, peer, &request).unwrap();
                world.answer_since(monitor, before)
            })
            .collect();
        let is_news = |one: &Happened| matches!(one, Happened::Answered(_, Status::Done, payload) if *payload == news);
        assert_eq!(fetched.iter().filter(|one| is_news(one)).count(), 1, "{fetched:?}");
    }
}

/// Shows REQ-DEV-103.
#[test]
fn a_body_is_bounded_by_the_room_for_it() {
    let (mut world, sensor, monitor) = pair(FAIR, 2);
    let peer = world.connect(monitor, sensor);
    let now = world.ticks();
    let sdk = world.sdk(monitor);
    let long = vec![0; 4097];
    assert_eq!(sdk.call(now, peer, Method::Post, Resource::Objects, &long), Err(CallError::TooLong));
    let one = sdk.call(now, peer, Method::Post, Resource::Objects, &long[..3000]).unwrap();
    assert_eq!(sdk.call(now, peer, Method::Post, Resource::Objects, &long[..3000]), Err(CallError::Full));
    sdk.cancel(one);
    sdk.call(now, peer, Method::Post, Resource::Objects, &long[..3000]).expect("the room is free again");
    // An answer that is longer than the room, or than the buffer of the event.
    let news = world.site.long_status(START.plus_seconds(60), 40);
    let now = world.ticks();
    world.sdk(sensor).take_object(now, &news).unwrap();
    world.body_room(monitor, news.len() - 1);
    let peer = world.connect(monitor, sensor);
    let answers = [b"o=0", b"o=1"].map(|query| {
        let (now, before) = (world.ticks(), world.nodes[monitor].happened.len());
        let request = Request { query: Some(query), ..Request::get(Resource::Objects) };
        world.sdk(monitor).request(now, peer, &request).unwrap();
        world.answer_since(monitor, before)
    });
    let too_long = |one: &&Happened| **one == Happened::Unanswered(Failure::TooLong);
    assert_eq!(answers.iter().filter(too_long).count(), 1, "{answers:?}");
}

/// Shows REQ-DEV-105.
#[test]
fn objects_are_brought_without_a_session() {
    for weather in [FAIR, BAD] {
        let (mut world, sensor, monitor) = pair(weather, 4);
        let news = world.site.status(START.plus_seconds(60), &[]);
        let (now, target) = (world.ticks(), world.nodes[sensor].address);
        let before = world.nodes[monitor].happened.len();
        world.sdk(monitor).request_openly(now, target, &Request::post(Resource::Objects, &news)).unwrap();
        assert_eq!(world.answer_since(monitor, before), Happened::Carried(Status::Done, Vec::new()));
        assert!(world.nodes[sensor].happened.contains(&Happened::News));
        let (now, before) = (world.ticks(), world.nodes[monitor].happened.len());
        world.sdk(monitor).request_openly(now, target, &Request::get(Resource::Readings)).unwrap();
        assert_eq!(world.answer_since(monitor, before), Happened::Carried(Status::Refused(1), Vec::new()));
    }
}

/// Shows REQ-DEV-105.
#[test]
fn a_sealed_command_is_carried_by_a_device_without_a_session() {
    for weather in [FAIR, BAD] {
        let mut pair = Loop::new(1, weather);
        let (controller, pump) = (pair.controller, pair.pump);
        let phone = pair.world.device("phone-1", &[Role::Monitor]);
        let peer = pair.world.connect(controller, pump);
        let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
        let mut out = [0; 112];
        let asked = commander.ask_challenge(&mut out, &RustCrypto).unwrap().to_vec();
        let mut answer = carry(&mut pair.world, phone, pump, Resource::Challenge, &asked);
        commander.open(&mut answer, &RustCrypto).unwrap();
        let order = Order { action: BOLUS, evidence: None };
        let sealed = commander.command(order, &mut out, &RustCrypto).unwrap().1.to_vec();
        let mut receipt = carry(&mut pair.world, phone, pump, Resource::Command, &sealed);
        let told = commander.open(&mut receipt, &RustCrypto).unwrap();
        assert!(matches!(told, Told::Receipt(Receipt { outcome: Outcome::Started, .. })), "{told:?}");
        assert_eq!(pair.boluses(), 1, "once");
    }
}

/// Brings something sealed to a device, and its answer back.
fn carry(world: &mut World, from: usize, to: usize, resource: Resource, sealed: &[u8]) -> Vec<u8> {
    let (now, target, before) = (world.ticks(), world.nodes[to].address, world.nodes[from].happened.len());
    let request = Request { format: content_format::COSE_ENCRYPT0, ..Request::post(resource, sealed) };
    world.sdk(from).request_openly(now, target, &request).unwrap();
    match world.answer_since(from, before) {
        Happened::Carried(Status::Done, answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// Shows REQ-DEV-106.
#[test]
fn readings_are_followed_until_that_is_given_up() {
    for weather in [FAIR, BAD] {
        let (mut world, sensor, monitor) = pair(weather, 6);
        let peer = world.connect(monitor, sensor);
        let (now, before) = (world.ticks(), world.nodes[monitor].happened.len());
        let call = world.sdk(monitor).call(now, peer, Method::Observe, Resource::Readings, &[]).unwrap();
        assert_eq!(world.answer_since(monitor, before), readings());
        for value in 1..=5_u8 {
            let (now, before) = (world.ticks(), world.nodes[monitor].happened.len());
            world.sdk(sensor).notify(now, Resource::Readings, &[value]);
            assert_eq!(
                world.answer_since(monitor, before),
                Happened::Readings(medlock_trust::Operation::Report, None, vec![value])
            );
            world.run(60_000, |_| false);
        }
        world.sdk(monitor).cancel(call);
        for _ in 0..2 {
            let (now, before) = (world.ticks(), world.nodes[monitor].happened.len());
            world.sdk(sensor).notify(now, Resource::Readings, &[9]);
            world.run(400_000, |_| false);
            assert_eq!(world.nodes[monitor].happened.len(), before, "nothing more is told");
        }
        let (now, sent) = (world.ticks(), world.wire.len());
        world.sdk(sensor).notify(now, Resource::Readings, &[9]);
        world.run(10_000, |_| false);
        assert_eq!(world.wire.len(), sent, "the sensor knows");
    }
}
