//! What attackers could try next, and may not.

use crate::judged::{BOLUS, COMMANDS, Loop, STARTED, denied};
use crate::platform::Dice;
use crate::raw::Raw;
use crate::site::{DAY, START, Signer, credential_id, device_id};
use crate::strangers::hello;
use crate::world::{FAIR, Happened, World, address};
use medlock_device::platform::Ticks;
use medlock_device::{Failure, Method, PhysicalAct, Resource, Status};
use medlock_proto::coap::{Code as CoapCode, Message, MessageId, Token, Type, Writer, content_format, option};
use medlock_proto::edhoc;
use medlock_proto::sealed::{Action, Memory, Minutes, Order, Outcome, Refusal, Told};
use medlock_trust::decide::Code;
use medlock_trust::role::Role;
use medlock_trust::status::{State, Subject};
use medlock_trust::{CredentialId, Operation, Operations};

const OBJECTS: &[&str] = &["m", "objects"];
const STATE: &[&str] = &["m", "state"];

/// Shows REQ-DEV-73.
#[test]
fn a_sessions_questions_for_numbers_flush_none_of_the_devices_own() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-1");
    let now = world.ticks();
    let nonce = world.sdk(pump).ask(now);
    let mut raw = Raw::new(&mut world, 90, "controller-1", Role::Controller);
    raw.connect(&mut world, pump).unwrap();
    for _ in 0..20 {
        let (code, number) = raw.get(&mut world, pump, OBJECTS, Some(b"n"));
        assert_eq!((code, number.len()), (CoapCode::CONTENT, 8));
    }
    // About somebody with whom there is no session: it is taken for its number alone.
    let ticket = world.site.ticket(START.plus_seconds(60), CredentialId::from_bytes([9; 16]), &nonce);
    assert!(world.sdk(pump).take_object(now, &ticket).is_ok());
    // A birth credential, which renews nothing here, draws none.
    let validity = (START, medlock_trust::Time::NEVER);
    raw.certificate = world.site.maker.issue("maker-1", &[Role::Controller], &raw.key, validity);
    raw.connect(&mut world, pump).unwrap();
    assert_eq!(raw.get(&mut world, pump, OBJECTS, Some(b"n")).0, CoapCode::FORBIDDEN);
}

/// Shows REQ-DEV-95.
#[test]
fn what_the_keys_of_a_handshake_did_not_make_does_not_end_it() {
    let long = [&[0x58, 40][..], &[7; 40]].concat();
    for body in [&long[..], &[0x00], &[0x41], &[0x40], &[0x41, 7], &[0x47, 1, 2, 3, 4, 5, 6, 7], &[0xff; 60]] {
        for elsewhere in [false, true] {
            let mut world = World::new(2, FAIR);
            let pump = world.pump("pump-1");
            let mut raw = Raw::new(&mut world, 90, "controller-1", Role::Controller);
            let (state, message_2) = raw.greet(&mut world, pump).unwrap();
            let third = raw.message_3(&world, state, message_2).unwrap();
            let mut out = [0; 256];
            let message = Writer::new(&mut out, Type::Confirmable, CoapCode::POST, MessageId(9_000), Token::EMPTY)
                .path(&edhoc::coap::PATH)
                .uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into())
                .payload(&[&third.1[..1], body].concat())
                .finish()
                .unwrap()
                .to_vec();
            let own = raw.address;
            raw.address = if elsewhere { address(91) } else { own };
            raw.deliver(&mut world, pump, &message);
            raw.address = own;
            assert!(raw.finish(&mut world, pump, third).is_some(), "{body:02x?}, elsewhere: {elsewhere}");
        }
    }
}

/// Shows REQ-DEV-95.
#[test]
fn what_nobody_authenticated_ends_no_handshake_of_ones_own() {
    for case in 0..4 {
        let mut world = World::new(2, FAIR);
        let pump = world.pump("pump-1");
        let controller = world.device("controller-1", &[Role::Controller]);
        let (now, target, own) = (world.ticks(), world.nodes[pump].address, world.nodes[controller].address);
        world.sdk(controller).connect(now, target).unwrap();
        world.drain(controller);
        let asked = world.wire.last().unwrap().2.clone();
        let read = Message::read(&asked).unwrap();
        let mut out = [0; 200];
        let answer = |out: &mut [u8], code, payload: &[u8]| {
            let mut writer = Writer::new(out, Type::Acknowledgement, code, read.id(), read.token());
            writer.payload(payload).finish().unwrap().to_vec()
        };
        let mut forged = match case {
            0 => medlock_proto::coap::reset(read.id()).to_vec(),
            1 => answer(&mut out, CoapCode::BAD_REQUEST, &[0x01, 0x60]),
            2 => answer(&mut out, CoapCode::CHANGED, &[0x58, 40, 1, 2, 3]),
            // A whole message 2 of somebody who listens, and whom the controller does not know.
            _ => {
                let mut elsewhere = World::new(77, FAIR);
                let mallory = elsewhere.device("pump-1", &[Role::Actuator]);
                elsewhere.sdk(mallory).handle_datagram(now, own, &mut asked.clone());
                elsewhere.drain(mallory);
                elsewhere.wire.last().unwrap().2.clone()
            }
        };
        let now = world.ticks();
        world.sdk(controller).handle_datagram(now, target, &mut forged);
        let connected = world.run(20_000, |nodes| {
            nodes[controller].happened.iter().any(|one| matches!(one, Happened::Connected { .. }))
        });
        assert!(connected, "case {case}: {:?}", world.nodes[controller].happened);
    }
}

/// Shows REQ-DEV-122.
#[test]
fn a_refusal_is_told_soon_and_a_peer_that_asks_for_echo_for_ever_is_given_up() {
    let mut world = World::new(2, FAIR);
    let controller = world.device("controller-1", &[Role::Controller]);
    let (now, target) = (world.ticks(), address(77));
    for code in [CoapCode::BAD_REQUEST, CoapCode::UNAUTHORIZED] {
        world.nodes[controller].happened.clear();
        let now = world.ticks();
        world.sdk(controller).connect(now, target).unwrap();
        let mut sent = 0;
        for _ in 0..200 {
            let before = world.wire.len();
            world.run(100, |_| false);
            for (_, _, datagram) in world.wire.split_off(before) {
                sent += 1;
                let read = Message::read(&datagram).unwrap();
                let mut out = [0; 64];
                let mut writer = Writer::new(&mut out, Type::Acknowledgement, code, read.id(), read.token());
                if code == CoapCode::UNAUTHORIZED {
                    writer.option(option::ECHO, &[7; 8]);
                }
                let now = world.ticks();
                world.sdk(controller).handle_datagram(now, target, writer.finish().unwrap());
            }
        }
        assert_eq!(world.nodes[controller].happened, [Happened::NotConnected(Failure::Handshake)], "{code:?}");
        assert!(sent <= 8, "{sent} messages");
    }
    assert!(world.ticks().millis_since(now) < 60_000);
}

/// Shows REQ-DEV-123.
#[test]
fn whatever_a_peer_calls_its_connection_it_is_answered() {
    let mut world = World::new(2, FAIR);
    let pump = world.pump("pump-1");
    let mut raw = Raw::new(&mut world, 90, "controller-1", Role::Controller);
    // The device counts up and the peer down: they meet.
    for byte in (0..24).chain(0x20..0x38).rev() {
        raw.connection = byte;
        world.now += 10_000;
        assert!(raw.greet(&mut world, pump).is_some(), "{byte}");
    }
    // All at once: every identifier the device could choose next is the peer's.
    let mut ids = std::collections::BTreeSet::new();
    for byte in [0x10, 0x11, 0x12] {
        raw.connection = byte;
        world.now += 10_000;
        raw.connect(&mut world, pump).unwrap();
        ids.insert(raw.session.as_ref().unwrap().0.peer_id().as_bytes().to_vec());
    }
    assert_eq!(ids.len(), 3);
}

/// Shows REQ-DEV-124.
#[test]
fn an_answer_of_a_session_that_is_gone_answers_no_message_of_the_next() {
    let mut world = World::new(2, FAIR);
    let pump = world.pump("pump-1");
    let mut raw = Raw::new(&mut world, 90, "controller-1", Role::Controller);
    let id = MessageId(500);
    raw.connect(&mut world, pump).unwrap();
    assert!(raw.get_with(&mut world, pump, id, STATE, None).is_some());
    // It lost its memory, and counts its messages from the same number.
    raw.connect(&mut world, pump).unwrap();
    assert!(raw.get_with(&mut world, pump, id, STATE, None).is_some());
    // After the lifetime of an exchange a number means another message.
    assert!(raw.get_with(&mut world, pump, id, STATE, None).is_none(), "a repetition, as it seems");
    world.now += 250_000;
    assert!(raw.get_with(&mut world, pump, id, STATE, None).is_some());
}

/// Shows REQ-DEV-125.
#[test]
fn a_key_is_used_as_its_certificate_allows() {
    let connects = |method, usage| {
        let mut world = World::new(2, FAIR);
        let pump = world.pump("pump-1");
        let mut raw = Raw::new(&mut world, 90, "controller-1", Role::Controller).with_key_usage(&world, usage);
        raw.method = method;
        raw.connect(&mut world, pump).is_some()
    };
    let (sign, agree) = (1, 1 << 4);
    assert!(connects(edhoc::Method::SignSign, sign));
    assert!(!connects(edhoc::Method::SignSign, agree));
    assert!(!connects(edhoc::Method::StaticSign, sign));
    assert!(connects(edhoc::Method::StaticSign, agree));
    assert!(connects(edhoc::Method::StaticSign, sign | agree));
}

/// Shows REQ-DEV-126.
#[test]
fn a_command_that_comes_before_the_firmware_took_the_last_displaces_it_not() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let second = pair.world.device("controller-2", &[Role::Controller]);
    pair.world.bond(pump, "controller-2", Operations::of(&[Operation::Halt]));
    let mut sealed = Vec::new();
    let mut commanders = Vec::new();
    for (number, epoch, action) in [(pair.controller, 1, BOLUS), (second, 2, Action::Suspend { minutes: Minutes(10) })]
    {
        let peer = pair.world.connect(number, pump);
        let mut commander = pair.world.sdk(number).commander(peer, epoch, Memory::default()).unwrap();
        let mut out = [0; 112];
        let asked = commander.ask_challenge(&mut out, &medlock_rustcrypto::RustCrypto).unwrap().to_vec();
        let Happened::Answered(_, Status::Done, mut answer) =
            pair.world.call(number, peer, Method::Post, Resource::Challenge, &asked)
        else {
            panic!("a challenge")
        };
        commander.open(&mut answer, &medlock_rustcrypto::RustCrypto).unwrap();
        let order = Order { action, evidence: None };
        let (_, one) = commander.command(order, &mut out, &medlock_rustcrypto::RustCrypto).unwrap();
        sealed.push(one.to_vec());
        commanders.push(commander);
    }
    // Both come before the firmware looks.
    let now = pair.world.ticks();
    for (number, one) in sealed.iter().enumerate() {
        let mut out = [0; 256];
        let id = MessageId(u16::try_from(number).unwrap());
        let message = Writer::new(&mut out, Type::Confirmable, CoapCode::POST, id, Token::EMPTY)
            .path(Resource::Command.path())
            .payload(one)
            .finish()
            .unwrap();
        pair.world.sdk(pump).handle_datagram(now, address(120 + u8::try_from(number).unwrap()), message);
    }
    pair.world.drain(pump);
    let acts = |pair: &Loop| {
        let acted = |one: &&Happened| matches!(one, Happened::Acted(_));
        pair.world.nodes[pump].happened.iter().filter(acted).count()
    };
    assert_eq!(acts(&pair), 1, "the first is told");
    assert_eq!(pair.world.post_open(pump, Resource::Command.path(), &sealed[1]), 0x44, "the carrier tries again");
    assert_eq!(acts(&pair), 2);
}

/// Shows REQ-DEV-120.
#[test]
fn a_bond_that_a_carrier_kept_back_does_not_outlive_the_end_of_all_bonds() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let own = pair.world.sdk(pump).own().unwrap();
    let kept_back = pair.world.site.bond(own, device_id("controller-2"), COMMANDS, 2);
    pair.world.pass_days(1);
    let now = pair.world.ticks();
    pair.world.sdk(pump).end_bonds(now, PhysicalAct::danger_button_was_held()).unwrap();
    pair.world.reboot(pump);
    let now = pair.world.ticks();
    let taken = pair.world.sdk(pump).take_object(now, &kept_back);
    assert!(taken.is_err_and(|why| why.is_old()), "{taken:?}");
    assert_eq!(pair.world.sdk(pump).bonds().count(), 0);
}

/// Shows REQ-DEV-127.
#[test]
fn what_happened_under_a_bond_in_force_is_told_truly_whatever_bonds_come_after() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, Action::Resume), STARTED);
    let done = commander.memory().next - 1;
    pair.world.finish(pump);
    // Another controller is bonded again and again, and commands each time.
    let second = pair.world.device("controller-2", &[Role::Controller]);
    let (first, halt) = (pair.controller, Operations::of(&[Operation::Halt]));
    for epoch in 2..10 {
        pair.world.now += 3_600_000 * 2;
        pair.world.bond(pump, "controller-2", halt);
        pair.controller = second;
        let peer = pair.world.connect(second, pump);
        let mut commander = pair.sdk().commander(peer, epoch, Memory::default()).unwrap();
        assert_eq!(pair.command_with(&mut commander, peer, Action::Suspend { minutes: Minutes(1) }), STARTED);
        pair.world.finish(pump);
    }
    pair.controller = first;
    let peer = pair.world.connect(first, pump);
    let mut commander = pair.sdk().commander(peer, 1, commander.memory()).unwrap();
    let mut out = [0; 112];
    let asked = commander.ask_receipt(done, &mut out, pair.sdk().crypto()).unwrap().to_vec();
    let Happened::Answered(_, Status::Done, mut answer) =
        pair.world.call(first, peer, Method::Post, Resource::Receipt, &asked)
    else {
        panic!("a receipt")
    };
    let Told::Receipt(receipt) = commander.open(&mut answer, pair.sdk().crypto()).unwrap() else { panic!() };
    assert!(matches!(receipt.outcome, Outcome::Uncertain { .. }), "it was carried out: {receipt:?}");
}

/// Shows REQ-DEV-128.
#[test]
fn no_ticket_of_a_thief_outlives_the_recovery_of_its_site() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let controller = credential_id(&pair.world.nodes[pair.controller].credential);
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    let stolen = Subject::Device(device_id("controller-1"));
    let news = pair.world.site.status(START, &[(stolen, State::Suspended)]);
    let now = pair.world.ticks();
    pair.world.sdk(pump).take_object(now, &news).unwrap();
    // With a stolen key for status: all is well with the controller, for ever.
    let well = pair.world.site.ticket_of(START.plus_seconds(1), u64::MAX, controller, None);
    pair.world.sdk(pump).take_object(now, &well).unwrap();
    pair.world.site.recovery_epoch = 1;
    let list = pair.world.site.list(START.plus_seconds(2));
    pair.world.sdk(pump).take_object(now, &list).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::Suspended), "at once");
    let news = pair.world.site.status(START.plus_seconds(3), &[(stolen, State::Suspended)]);
    pair.world.sdk(pump).take_object(now, &news).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::Suspended));
    // And false bad news goes when the site says how things are.
    let bad = pair.world.site.ticket_of(START.plus_seconds(4), u64::MAX, controller, Some(State::Compromised));
    pair.world.sdk(pump).take_object(now, &bad).unwrap();
    pair.world.site.recovery_epoch = 2;
    let list = pair.world.site.list(START.plus_seconds(5));
    pair.world.sdk(pump).take_object(now, &list).unwrap();
    let rejected = pair.world.try_connect(pair.controller, pump);
    assert_eq!(rejected, None, "bad news stays until then");
    let news = pair.world.site.status(START.plus_seconds(6), &[]);
    pair.world.sdk(pump).take_object(now, &news).unwrap();
    let now = pair.world.ticks();
    pair.world.sdk(pump).set_time(now, medlock_trust::Interval::exactly(START.plus_seconds(60)));
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, commander.memory()).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), STARTED);
}

/// Shows REQ-KEYS-31.
#[test]
fn what_a_stolen_key_has_numbered_highest_does_not_shut_out_the_site() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let controller = credential_id(&pair.world.nodes[pair.controller].credential);
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    let (now, epoch) = (pair.world.ticks(), pair.world.site.epoch);
    let take = |pair: &mut Loop, object: &[u8]| pair.world.sdk(pump).take_object(now, object);
    // Whoever has the key that signs status and policy gives the highest numbers there are.
    pair.world.site.epoch = u64::MAX - 1;
    let poison = [
        pair.world.site.status(START.plus_seconds(1), &[]),
        pair.world.site.policy(START.plus_seconds(1), u64::MAX),
        pair.world.site.ticket_of(START.plus_seconds(1), u64::MAX, controller, None),
    ];
    for object in &poison {
        take(&mut pair, object).unwrap();
    }
    pair.world.site.epoch = epoch;
    let stolen = Subject::Device(device_id("controller-1"));
    let shut_out = pair.world.site.status(START.plus_seconds(2), &[(stolen, State::Suspended)]);
    take(&mut pair, &shut_out).unwrap_err();
    // The site withdraws the key: what the next one signs is heard, though its numbers are lower.
    pair.world.site.service = Signer::new("service-2", &mut Dice(99));
    let list = pair.world.site.list(START.plus_seconds(3));
    take(&mut pair, &list).unwrap();
    let heard = pair.world.site.status(START.plus_seconds(3), &[(stolen, State::Suspended)]);
    take(&mut pair, &heard).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::Suspended), "the thief's ticket counts");
    let policy = pair.world.site.policy(START.plus_seconds(3), 2);
    take(&mut pair, &policy).unwrap();
    let ticket = pair.world.site.ticket_of(START.plus_seconds(3), pair.world.site.epoch, controller, None);
    take(&mut pair, &ticket).unwrap();
    // The poison is nowhere any more, also at the next start, and the order is what it was.
    pair.world.reboot(pump);
    let now = pair.world.ticks();
    for object in poison.iter().chain([&heard, &policy, &shut_out]) {
        pair.world.sdk(pump).take_object(now, object).unwrap_err();
    }
    let next = pair.world.site.status(START.plus_seconds(4), &[]);
    pair.world.sdk(pump).take_object(now, &next).unwrap();
    let policy = pair.world.site.policy(START.plus_seconds(4), 3);
    pair.world.sdk(pump).take_object(now, &policy).unwrap();
}

/// Shows REQ-KEYS-32.
#[test]
fn a_device_knows_when_its_issuing_key_is_stolen() {
    let mut pair = Loop::new(1, FAIR);
    let (now, pump) = (pair.world.ticks(), pair.pump);
    assert!(!pair.world.sdk(pump).lost_its_issuer(now));
    let issuer = Subject::Issuer(pair.world.site.root.id);
    for (record, lost) in [
        ((Subject::Device(device_id("pump-1")), State::Suspended), false),
        ((issuer, State::Suspended), false),
        ((issuer, State::Compromised), true),
    ] {
        let news = pair.world.site.status(START, &[record]);
        pair.world.sdk(pump).take_object(now, &news).unwrap();
        assert_eq!(pair.world.sdk(pump).lost_its_issuer(now), lost, "{record:?}");
    }
}

/// Strangers that prove where they are, and never finish what they begin.
fn crowd(world: &mut World, pump: usize, dice: &mut Dice, guests: &mut [Option<Vec<u8>>]) {
    let target = world.nodes[pump].address;
    // One after the other, so that what they may begin goes to many.
    let turn = usize::try_from(world.now / 200).unwrap() % guests.len();
    for (number, stamp) in guests.iter_mut().enumerate().skip(turn).take(1) {
        let own = address(100 + u8::try_from(number).unwrap());
        let before = world.wire.len();
        let now = world.ticks();
        world.sdk(pump).handle_datagram(now, own, &mut hello(dice, stamp.as_deref()));
        world.drain(pump);
        for (from, to, datagram) in &world.wire[before..] {
            if (*from, *to) == (target, own)
                && let Some(given) = Message::read(datagram).unwrap().option(option::ECHO)
            {
                *stamp = Some(given.to_vec());
            }
        }
    }
}

/// Shows REQ-DEV-129.
#[test]
fn strangers_who_are_reachable_do_not_shut_a_bonded_peer_out() {
    let mut world = World::new(2, FAIR);
    let pump = world.pump("pump-1");
    world.bond(pump, "controller-1", COMMANDS);
    let controller = world.device("controller-1", &[Role::Controller]);
    world.connect(controller, pump);
    world.reboot(controller);
    let now = world.ticks();
    world.sdk(controller).set_time(now, medlock_trust::Interval::exactly(START));
    let (mut dice, mut guests) = (Dice(11), vec![None; 12]);
    let target = world.nodes[pump].address;
    let connected =
        |world: &World| world.nodes[controller].happened.iter().any(|one| matches!(one, Happened::Connected { .. }));
    for _ in 0..50 {
        crowd(&mut world, pump, &mut dice, &mut guests);
        world.run(200, |_| false);
    }
    world.nodes[controller].happened.clear();
    let began = world.ticks();
    world.sdk(controller).connect(began, target).unwrap();
    while !connected(&world) && world.ticks().millis_since(began) < 20_000 {
        crowd(&mut world, pump, &mut dice, &mut guests);
        world.run(200, |_| false);
    }
    assert!(connected(&world), "{:?}", world.nodes[controller].happened);
}

/// Shows REQ-DEV-130.
#[test]
fn questions_for_echo_are_bounded_in_number() {
    let mut world = World::new(2, FAIR);
    let pump = world.pump("pump-1");
    let mut dice = Dice(11);
    let (target, datagram) = (world.nodes[pump].address, hello(&mut dice, None));
    let before = world.wire.len();
    for number in 0..2_000_u16 {
        let mut one = datagram.clone();
        one[2..4].copy_from_slice(&number.to_be_bytes());
        let now = world.ticks();
        world.sdk(pump).handle_datagram(now, address(100 + (number % 100) as u8), &mut one);
        world.drain(pump);
        world.now += 1;
    }
    let asked = world.wire[before..].iter().filter(|(from, _, datagram)| *from == target && datagram[1] == 0x81);
    let asked = asked.count();
    assert!((50..=2_000 / 20 + 40).contains(&asked), "{asked} questions in two seconds");
}

/// Shows REQ-DEV-87.
#[test]
fn room_is_made_by_the_oldest_good_ticket_alone() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let now = pair.world.ticks();
    let take = |pair: &mut Loop, number: u8, seconds: i64, epoch: u64, state| {
        let nonce = pair.world.sdk(pump).ask(now);
        let credential = CredentialId::from_bytes([number; 16]);
        let issued = START.plus_seconds(seconds);
        let ticket = pair.world.site.ticket_with(issued, epoch, credential, state, Some(&nonce));
        pair.world.sdk(pump).take_object(now, &ticket).is_ok()
    };
    let epoch = pair.world.site.epoch;
    assert!(!take(&mut pair, 1, -60, epoch - 1, None), "the status list held was made later");
    assert!(take(&mut pair, 1, -60, epoch + 1, Some(State::Compromised)));
    assert!(!take(&mut pair, 1, -30, epoch + 2, None), "what is compromised stays so");
    for number in 2..5 {
        assert!(take(&mut pair, number, -50 + i64::from(number), epoch, None));
    }
    assert!(!take(&mut pair, 5, -55, epoch, None), "older than those it would displace");
    for number in 6..12 {
        assert!(take(&mut pair, number, i64::from(number) - 40, epoch, None));
    }
    // The bad news was displaced by none of them.
    assert!(!take(&mut pair, 1, 0, epoch + 3, None));
}

/// Shows REQ-DEV-90.
#[test]
fn many_wrong_times_move_the_floor_by_400_days_a_day_at_most() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let days = |pair: &mut Loop| {
        let mut time = START;
        pair.world.restart(pump, |_| ());
        let now = pair.world.ticks();
        let floor = pair.world.sdk(pump).time(now).earliest();
        time = time.max(floor);
        time.seconds_since(START) / DAY
    };
    let lie = |pair: &mut Loop, years: i64| {
        let now = pair.world.ticks();
        let nonce = pair.world.sdk(pump).ask(now);
        let credential = credential_id(&pair.world.nodes[pair.controller].credential);
        let ticket = pair.world.site.ticket(START.plus_seconds(years * 365 * DAY), credential, &nonce);
        let _ = pair.world.sdk(pump).take_object(now, &ticket);
    };
    for years in 10..20 {
        lie(&mut pair, years);
    }
    let first = days(&mut pair);
    assert!((395..=401).contains(&first), "{first} days");
}

/// Shows REQ-DEV-94.
#[test]
fn of_bonded_peers_the_one_that_was_silent_for_longest_makes_room() {
    let (mut world, pump, peers) = World::with_bonded_peers();
    // The first speaks, and so is not the one that was silent for longest.
    let (number, peer) = peers[0];
    world.call(number, peer, Method::Get, Resource::State, &[]);
    world.run(1_000, |_| false);
    world.bond(pump, "cgm-3", Operations::of(&[Operation::Inform]));
    let newcomer = world.device("cgm-3", &[Role::Sensor]);
    world.connect(newcomer, pump);
    let stands: Vec<bool> = peers
        .iter()
        .map(|(number, peer)| {
            let answer = world.call(*number, *peer, Method::Get, Resource::State, &[]);
            matches!(answer, Happened::Answered(..))
        })
        .collect();
    assert_eq!(stands, [true, false, true]);
}

/// Shows REQ-DEV-94.
#[test]
fn who_speaks_by_a_carrier_is_not_silent() {
    let (mut world, pump, peers) = World::with_bonded_peers();
    let (number, peer) = peers[0];
    let mut commander = world.sdk(number).commander(peer, 1, Memory::default()).unwrap();
    let mut out = [0; 112];
    let asked = commander.ask_challenge(&mut out, &medlock_rustcrypto::RustCrypto).unwrap().to_vec();
    assert_eq!(world.post_open(pump, Resource::Challenge.path(), &asked), 0x44);
    world.run(1_000, |_| false);
    world.bond(pump, "cgm-3", Operations::of(&[Operation::Inform]));
    let newcomer = world.device("cgm-3", &[Role::Sensor]);
    world.connect(newcomer, pump);
    let answer = world.call(number, peer, Method::Get, Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(..)), "{answer:?}");
}

/// Shows REQ-DEV-131.
#[test]
fn a_challenge_is_good_for_its_time_wherever_ticks_are() {
    // Ticks may be anywhere: beyond 32 bits of milliseconds, and near the end of 64.
    for start in [0, u64::from(u32::MAX) - 30_000, u64::MAX - 3_600_000] {
        for (age, good) in [(59_000, true), (61_000, false)] {
            let mut pair = Loop::new(1, FAIR);
            let pump = pair.pump;
            let peer = pair.world.connect(pair.controller, pump);
            let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
            let at = |millis: u64| Ticks::from_millis(start.max(pair.world.now) + millis);
            let crypto = medlock_rustcrypto::RustCrypto;
            let mut out = [0; 112];
            let (begin, end) = (at(0), at(age));
            // The time is known throughout.
            let known = medlock_trust::Interval::exactly(START.plus_seconds(60));
            pair.world.sdk(pump).set_time(begin, known);
            let asked = commander.ask_challenge(&mut out, &crypto).unwrap().to_vec();
            let mut answer = open_at(&mut pair.world, pump, begin, Resource::Challenge.path(), &asked);
            commander.open(&mut answer, &crypto).unwrap();
            let (_, sealed) = commander.command(Order { action: BOLUS, evidence: None }, &mut out, &crypto).unwrap();
            let sealed = sealed.to_vec();
            let mut answer = open_at(&mut pair.world, pump, end, Resource::Command.path(), &sealed);
            let Told::Receipt(receipt) = commander.open(&mut answer, &crypto).unwrap() else { panic!() };
            let expected = if good { Outcome::Started } else { Outcome::Refused(Refusal::Challenge) };
            assert_eq!(receipt.outcome, expected, "{age} ms after {start}");
        }
    }
}

/// Posts a sealed message without a session at an instant, and gives the sealed answer.
fn open_at(world: &mut World, to: usize, at: Ticks, path: &[&str], payload: &[u8]) -> Vec<u8> {
    let mut out = [0; 256];
    let id = MessageId(world.dice.next() as u16);
    let message = Writer::new(&mut out, Type::Confirmable, CoapCode::POST, id, Token::EMPTY)
        .path(path)
        .payload(payload)
        .finish()
        .unwrap();
    let now = world.now;
    world.sdk(to).handle_datagram(at, address(120), message);
    world.now = at.as_millis();
    let before = world.wire.len();
    world.drain(to);
    world.now = now;
    let answer = world.wire[before..].iter().find(|(_, to, _)| *to == address(120)).unwrap().2.clone();
    Message::read(&answer).unwrap().payload().to_vec()
}
