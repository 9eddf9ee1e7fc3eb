//! What attackers tried, and may not.

use crate::judged::{Answer, BOLUS, COMMANDS, Loop, STARTED, denied};
use crate::platform::Dice;
use crate::site::{DAY, START, Site, credential_id, device_id};
use crate::strangers::hello;
use crate::world::{FAIR, Happened, World, address};
use medlock_device::platform::{KeySlot, KeyStore as _};
use medlock_device::{CallError, Closing, Method, PhysicalAct, Resource, Status};
use medlock_proto::coap::{Code as CoapCode, Message, MessageId, Token, Type, Writer, content_format, option};
use medlock_proto::edhoc;
use medlock_proto::oscore::Compressed;
use medlock_proto::sealed::{Commander, Memory, Told};
use medlock_trust::decide::Code;
use medlock_trust::role::Role;
use medlock_trust::status::{State, Subject};
use medlock_trust::{CredentialId, Interval, Operation};

/// Shows REQ-DEV-86.
#[test]
fn a_controller_of_another_site_with_the_same_name_has_no_bond() {
    let mut world = World::new(1, FAIR);
    world.site.two_sites = true;
    let pump = world.pump("pump-1");
    let _real = world.device("controller-1", &[Role::Controller]);
    world.bond(pump, "controller-1", COMMANDS);
    // A visitor of the other site, whose authority the list names too.
    let swap = |site: &mut Site| core::mem::swap(&mut site.root, &mut site.maker);
    swap(&mut world.site);
    let visitor = world.device("controller-1", &[Role::Controller]);
    swap(&mut world.site);
    let now = world.ticks();
    // Its authority's status, as its own site publishes it.
    let status = world.site.status_of_maker(START);
    world.sdk(pump).take_object(now, &status).unwrap();
    let mut pair = Loop { world, pump, controller: visitor };
    assert_eq!(pair.bolus(), Answer::Unsealed(Status::Refused(3)));
    assert_eq!(pair.boluses(), 0);
}

/// Shows REQ-DEV-86.
#[test]
fn a_birth_credential_with_a_controllers_name_is_nobody() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let real = pair.world.connect(pair.controller, pump);
    let newborn = pair.world.newborn_named("controller-1");
    let list = pair.world.site.list(START);
    let (now, root) = (pair.world.ticks(), pair.world.site.root.id);
    pair.world.sdk(newborn).pin_site(root, None).unwrap();
    pair.world.sdk(newborn).take_object(now, &list).unwrap();
    let peer = pair.world.connect(newborn, pump);
    let answer = pair.world.call(pair.controller, real, Method::Get, Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(..)), "the controller's session: {answer:?}");
    // Whatever it seals is not even opened, under whichever identifier.
    for byte in (0..24).chain(0x20..0x38) {
        let sealed = [&[0xd0, 0x83, 0x44, 0xa1, 1, 0x18, 30, 0xa2, 4, 0x41, byte, 6, 0x41, 1, 0x51][..], &[7; 17]];
        let answer = pair.world.call(newborn, peer, Method::Post, Resource::Challenge, &sealed.concat());
        assert!(matches!(answer, Happened::Answered(_, Status::Refused(0 | 1 | 3), _)), "{answer:?}");
    }
    let mut commander = pair.sdk().commander(real, 1, Memory::default()).unwrap();
    assert_eq!(pair.command_with(&mut commander, real, BOLUS), STARTED);
}

/// Shows REQ-DEV-87.
#[test]
fn what_a_ticket_suspends_no_older_tickets_lift() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let controller = credential_id(&pair.world.nodes[pair.controller].credential);
    // All of them in the past, within the budget of status.
    let at = |seconds| START.plus_seconds(seconds - 100);
    let site = &pair.world.site;
    let good = site.ticket_of(at(1), site.epoch, controller, None);
    let bad = site.ticket_of(at(10), site.epoch + 1, controller, Some(State::Suspended));
    let others: Vec<_> = (0..4_u8)
        .map(|n| site.ticket_of(at(20 + i64::from(n)), site.epoch + 1, CredentialId::from_bytes([n; 16]), None))
        .collect();
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    assert_eq!(pair.world.post_open(pump, &["m", "objects"], &bad), 0x44);
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::Suspended));
    assert_eq!(pair.world.post_open(pump, &["m", "objects"], &good), 0x89, "older: refused");
    for one in &others {
        assert_eq!(pair.world.post_open(pump, &["m", "objects"], one), 0x80, "nobody here needs it");
    }
    let _ = pair.world.post_open(pump, &["m", "objects"], &good);
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::Suspended), "nothing rolls back");
}

/// Shows REQ-DEV-88.
#[test]
fn bad_news_leave_room_for_an_answer_to_an_own_number() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let now = pair.world.ticks();
    let take_bad = |pair: &mut Loop, number: u8, later: u64| {
        let nonce = pair.world.sdk(pump).ask(now);
        let site = &pair.world.site;
        let credential = CredentialId::from_bytes([number; 16]);
        let ticket = site.ticket_with(START, site.epoch + later, credential, Some(State::Compromised), Some(&nonce));
        pair.world.sdk(pump).take_object(now, &ticket).map(drop)
    };
    // Those that the status list has caught up with make room, and all but one place is for those it has not.
    for number in 0..6 {
        assert_eq!(take_bad(&mut pair, number, 0), Ok(()));
    }
    let taken = (10..16).filter(|number| take_bad(&mut pair, *number, 1).is_ok()).count();
    assert_eq!(taken, 3);
    pair.world.reboot(pump);
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    let now = pair.world.ticks();
    let nonce = pair.world.sdk(pump).ask(now);
    let credential = credential_id(&pair.world.nodes[pair.controller].credential);
    let ticket = pair.world.site.ticket(START.plus_seconds(60), credential, &nonce);
    let taken = pair.world.sdk(pump).take_object(now, &ticket);
    assert!(taken.is_ok(), "{taken:?}: the answer to its own number");
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), STARTED);
}

/// Shows REQ-DEV-89.
#[test]
fn a_ticket_is_taken_once() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let now = pair.world.ticks();
    let nonce = pair.world.sdk(pump).ask(now);
    let credential = credential_id(&pair.world.nodes[pair.controller].credential);
    let ticket = pair.world.site.ticket(START.plus_seconds(60), credential, &nonce);
    assert_eq!(pair.world.post_open(pump, &["m", "objects"], &ticket), 0x44);
    let mut taken = 0;
    for _ in 0..200 {
        taken += usize::from(pair.world.post_open(pump, &["m", "objects"], &ticket) == 0x44);
    }
    assert_eq!(taken, 0, "{taken} of 200 replays of one stranger in no time were taken and written to flash");
}

/// Shows REQ-DEV-89.
#[test]
fn what_is_old_or_not_needed_is_refused_before_any_signature() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let controller = credential_id(&pair.world.nodes[pair.controller].credential);
    pair.world.connect(pair.controller, pump);
    let site = &mut pair.world.site;
    let own = device_id("pump-1");
    let ticket = |seconds| site.ticket_of(START.plus_seconds(seconds), site.epoch, controller, None);
    let (new, mut old) = (ticket(60), ticket(0));
    let mut stranger = site.ticket_of(START, site.epoch, CredentialId::from_bytes([9; 16]), None);
    let mut bond = site.bond(own, device_id("controller-1"), COMMANDS, 1);
    site.version -= 1;
    let mut list = site.list(START);
    assert_eq!(pair.world.post_open(pump, &["m", "objects"], &new), 0x44);
    // Their signatures are wrong: who looks at them says so, and who is asked often has no time to.
    for one in [&mut old, &mut stranger, &mut bond, &mut list] {
        *one.last_mut().unwrap() ^= 1;
    }
    for _ in 0..20 {
        assert_eq!(pair.world.post_open(pump, &["m", "objects"], &old), 0x89);
        assert_eq!(pair.world.post_open(pump, &["m", "objects"], &stranger), 0x80);
        assert_eq!(pair.world.post_open(pump, &["m", "objects"], &bond), 0x89);
        assert_eq!(pair.world.post_open(pump, &["m", "objects"], &list), 0x89);
    }
    // What has to be looked at is counted, also when it is good.
    let news: Vec<_> = (0..6).map(|_| pair.world.site.status(START, &[])).collect();
    let answers: Vec<_> = news.iter().map(|one| pair.world.post_open(pump, &["m", "objects"], one)).collect();
    assert_eq!(answers, [0x44, 0x44, 0x44, 0x9d, 0x9d, 0x9d], "4.29: later");
}

/// Shows REQ-DEV-90.
#[test]
fn one_wrong_time_moves_the_floor_once_and_by_400_days_at_most() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let now = pair.world.ticks();
    let nonce = pair.world.sdk(pump).ask(now);
    let credential = credential_id(&pair.world.nodes[pair.controller].credential);
    // The hub's clock is wrong for one moment.
    let ticket = pair.world.site.ticket(START.plus_seconds(30 * 365 * DAY), credential, &nonce);
    for _ in 0..25 {
        let _ = pair.world.post_open(pump, &["m", "objects"], &ticket);
    }
    pair.world.reboot(pump);
    let now = pair.world.ticks();
    let days = pair.world.sdk(pump).time(now).earliest().seconds_since(START) / DAY;
    assert!(days <= 400, "the floor in flash is {days} days ahead after one wrong statement");
    // A list of a later recovery epoch takes it back.
    pair.world.site.recovery_epoch = 1;
    let list = pair.world.site.list(START.plus_seconds(60));
    pair.world.sdk(pump).take_object(now, &list).unwrap();
    assert_eq!(pair.world.sdk(pump).time(now).earliest(), START.plus_seconds(60));
    pair.world.reboot(pump);
    let now = pair.world.ticks();
    let earliest = pair.world.sdk(pump).time(now).earliest();
    assert!(earliest.seconds_since(START) < DAY, "{earliest:?}");
}

/// Shows REQ-DEV-99.
#[test]
fn bounds_of_time_that_contradict_one_another_heal() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    // A second service of the site whose clock is two minutes ahead of the first, or a hub whose clock was set forward.
    let status = pair.world.site.status(START.plus_seconds(120), &[]);
    let now = pair.world.ticks();
    pair.world.sdk(pump).take_object(now, &status).unwrap();
    for minute in 3..6 {
        pair.world.now += 60_000;
        let now = pair.world.ticks();
        let nonce = pair.world.sdk(pump).ask(now);
        let credential = credential_id(&pair.world.nodes[pair.controller].credential);
        let ticket = pair.world.site.ticket(START.plus_seconds(60 * minute), credential, &nonce);
        pair.world.sdk(pump).take_object(now, &ticket).unwrap();
    }
    assert_eq!(pair.bolus(), STARTED, "fresh answers to its own numbers say what time it is");
}

/// Shows REQ-DEV-91.
#[test]
fn a_question_voids_nothing_that_is_to_come() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let mut out = [0; 112];
    for counter in [u64::MAX, 1 << 40, 2, 1] {
        let peer = pair.world.connect(pair.controller, pump);
        let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
        // It has the number 1: there was no such command yet.
        let asked = commander.ask_receipt(counter, &mut out, pair.sdk().crypto()).unwrap().to_vec();
        let answer = pair.world.call(pair.controller, peer, Method::Post, Resource::Receipt, &asked);
        assert!(matches!(answer, Happened::Answered(_, Status::Refused(0), _)), "{counter}: {answer:?}");
    }
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), STARTED);
    assert!(commander.memory().next < 10, "{:?}", commander.memory());
}

/// Shows REQ-DEV-92.
#[test]
fn who_is_suspended_is_told_nothing_of_therapy() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), STARTED);
    pair.world.finish(pump);
    let subject = Subject::Device(device_id("controller-1"));
    let suspended = pair.world.site.status(START, &[(subject, State::Suspended)]);
    let lifted = pair.world.site.status(START, &[]);
    let now = pair.world.ticks();
    pair.world.sdk(pump).take_object(now, &suspended).unwrap();
    let mut out = [0; 112];
    let mut ask = |pair: &mut Loop, commander: &mut Commander| {
        let asked = commander.ask_challenge(&mut out, pair.sdk().crypto()).unwrap().to_vec();
        let answer = pair.world.call(pair.controller, peer, Method::Post, Resource::Challenge, &asked);
        let Happened::Answered(_, Status::Done, mut answer) = answer else { panic!("{answer:?}") };
        let Told::Ready(standing) = commander.open(&mut answer, pair.sdk().crypto()).unwrap() else { panic!() };
        let asked = commander.ask_receipt(2, &mut out, pair.sdk().crypto()).unwrap().to_vec();
        let answer = pair.world.call(pair.controller, peer, Method::Post, Resource::Receipt, &asked);
        let Happened::Answered(_, status, answer) = answer else { panic!("{answer:?}") };
        (standing.bolus.is_some(), status, answer.is_empty())
    };
    assert_eq!(ask(&mut pair, &mut commander), (false, Status::Refused(3), true));
    pair.world.sdk(pump).take_object(now, &lifted).unwrap();
    assert_eq!(ask(&mut pair, &mut commander), (true, Status::Done, false));
}

/// Shows REQ-DEV-93.
#[test]
fn who_asks_again_for_a_credential_asks_with_the_same_key() {
    let mut world = World::new(5, FAIR);
    let device = world.device("pump-1", &[Role::Actuator]);
    let hub = world.device("hub", &[Role::Hub]);
    let other = world.device("controller-1", &[Role::Controller]);
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (peer, now) = (world.connect(device, hub), world.ticks());
        // Nobody answers: a carrier keeps it back.
        let call = world.sdk(device).enrol(now, peer, Some("a-secret-code")).unwrap();
        world.sdk(device).cancel(call);
        let key = world.restart(device, |parts| parts.keys.public_key(KeySlot::Next).unwrap());
        let now = world.ticks();
        world.sdk(device).set_time(now, Interval::exactly(START));
        keys.push(key.unwrap());
    }
    assert_eq!(keys[0], keys[1], "to a hub, the same right with another key is a second device");
    let (peer, now) = (world.connect(device, other), world.ticks());
    assert_eq!(world.sdk(device).enrol(now, peer, None), Err(CallError::NotAHub));
}

/// Shows REQ-DEV-94.
#[test]
fn a_neighbour_takes_no_place_of_a_bonded_peer() {
    let (mut world, pump, peers) = World::with_bonded_peers();
    let neighbour = world.device("neighbour", &[Role::Sensor]);
    let _ = world.try_connect(neighbour, pump);
    let (number, peer) = peers[0];
    let answer = world.call(number, peer, Method::Get, Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(..)), "the bonded controller lost its session: {answer:?}");
}

/// Shows REQ-DEV-94.
#[test]
fn a_birth_credential_takes_no_place_of_a_bonded_peer() {
    let (mut world, pump, peers) = World::with_bonded_peers();
    let newborn = world.newborn();
    let list = world.site.list(START);
    let (now, root) = (world.ticks(), world.site.root.id);
    world.sdk(newborn).pin_site(root, None).unwrap();
    world.sdk(newborn).take_object(now, &list).unwrap();
    let _ = world.try_connect(newborn, pump);
    let (number, peer) = peers[0];
    let answer = world.call(number, peer, Method::Get, Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(..)), "the bonded controller lost its session: {answer:?}");
}

/// Shows REQ-DEV-95.
#[test]
fn nobody_else_ends_a_handshake_under_way() {
    for body in [&[&[0x58, 40][..], &[7; 40]].concat(), &[0x00][..], &[], &[0x41], &[0xff; 60]] {
        let mut world = World::new(2, FAIR);
        let pump = world.pump("pump-1");
        let controller = world.device("controller-1", &[Role::Controller]);
        let (now, target, own) = (world.ticks(), world.nodes[pump].address, world.nodes[controller].address);
        world.sdk(controller).connect(now, target).unwrap();
        world.drain(controller);
        let mut hello = world.wire.last().unwrap().2.clone();
        world.sdk(pump).handle_datagram(now, own, &mut hello);
        // What a stranger sends with a forged address: each of the 48 identifiers, and no message 3 behind it.
        for (number, byte) in (0..24).chain(0x20..0x38).enumerate() {
            let mut out = [0; 256];
            let id = MessageId(9_000 + u16::try_from(number).unwrap());
            let message = Writer::new(&mut out, Type::Confirmable, CoapCode::POST, id, Token::EMPTY)
                .path(&edhoc::coap::PATH)
                .uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into())
                .payload(&[&[byte][..], body].concat())
                .finish()
                .unwrap();
            world.sdk(pump).handle_datagram(now, own, message);
        }
        world.drain(pump);
        let connected = world.run(20_000, |nodes| {
            nodes[controller].happened.iter().any(|one| matches!(one, Happened::Connected { .. }))
        });
        assert!(connected, "{body:02x?} that nobody authenticated ended the handshake");
    }
}

/// Shows REQ-DEV-96.
#[test]
fn repetitions_from_an_address_nobody_confirmed_are_not_amplified() {
    let mut world = World::new(2, FAIR);
    let pump = world.pump("pump-1");
    let victim = address(150);
    let mut dice = Dice(11);
    let datagram = hello(&mut dice, None);
    let (now, target) = (world.ticks(), world.nodes[pump].address);
    let before = world.wire.len();
    for _ in 0..1_000 {
        world.sdk(pump).handle_datagram(now, victim, &mut datagram.clone());
        world.drain(pump);
    }
    let sent = world.wire[before..].iter().filter(|(from, to, _)| *from == target && *to == victim);
    let sent: usize = sent.map(|(.., datagram)| datagram.len()).sum();
    let received = 1_000 * datagram.len();
    assert!(sent <= 3 * received, "{received} bytes in, {sent} bytes to an address nobody confirmed");
}

/// Shows REQ-DEV-97.
#[test]
fn a_few_first_messages_do_not_shut_the_door() {
    let mut world = World::new(2, FAIR);
    let pump = world.pump("pump-1");
    let controller = world.device("controller-1", &[Role::Controller]);
    let target = world.nodes[pump].address;
    let mut dice = Dice(11);
    for number in 0..3_u8 {
        // Two go without Echo; the third waits until the bucket is full again.
        world.send(address(100 + number), target, &hello(&mut dice, None));
        world.run(5_000, |_| false);
    }
    let began = world.now;
    let now = world.ticks();
    world.sdk(controller).connect(now, target).unwrap();
    let connected = world
        .run(60_000, |nodes| nodes[controller].happened.iter().any(|one| matches!(one, Happened::Connected { .. })));
    assert!(connected, "no session {} s after, on a perfect link", (world.now - began) / 1_000);
}

/// Shows REQ-DEV-98.
#[test]
fn forgeries_from_elsewhere_wear_no_session_out() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let peer = pair.world.connect(pair.controller, pump);
    let (here, target) = (pair.world.nodes[pair.controller].address, pair.world.nodes[pump].address);
    pair.world.call(pair.controller, peer, Method::Get, Resource::State, &[]);
    let kid = pair.world.wire.iter().filter(|(from, to, _)| (*from, *to) == (here, target)).find_map(|(.., one)| {
        let message = Message::read(one).unwrap();
        Some(Compressed::of(&message).ok().filter(|_| message.option(option::OSCORE).is_some())?.kid?[0])
    });
    let forge = |pair: &mut Loop, from, count: u16| {
        let now = pair.world.ticks();
        for id in 0..count {
            let mut out = [0; 64];
            let message = Writer::new(&mut out, Type::Confirmable, CoapCode::POST, MessageId(id), Token::EMPTY)
                .option(option::OSCORE, &[0x09, 77, kid.unwrap()])
                .payload(&[7; 12])
                .finish()
                .unwrap();
            pair.world.sdk(pump).handle_datagram(now, from, message);
        }
    };
    forge(&mut pair, address(222), 20_000);
    let answer = pair.world.call(pair.controller, peer, Method::Get, Resource::State, &[]);
    assert!(matches!(answer, Happened::Answered(..)), "{answer:?}");
    // From its peer's address they do, and the firmware is told.
    forge(&mut pair, here, 20_000);
    pair.world.drain(pump);
    let closed = |one: &Happened| matches!(one, Happened::Closed(_, Closing::UsedUp));
    assert!(pair.world.nodes[pump].happened.iter().any(closed), "{:?}", pair.world.nodes[pump].happened);
}

/// Shows REQ-DEV-72.
#[test]
fn a_replay_uses_no_attended_act_up() {
    let mut pair = Loop::new(1, FAIR);
    pair.world.pass_days(20);
    let (pump, controller) = (pair.pump, pair.controller);
    let peer = pair.world.connect(controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    // By a carrier: sealed, without a session. First a command that is refused.
    let mut out = [0; 112];
    let asked = commander.ask_challenge(&mut out, pair.sdk().crypto()).unwrap().to_vec();
    let open = |pair: &mut Loop, path: &[&str], payload: &[u8]| {
        let before = pair.world.wire.len();
        pair.world.post_open(pump, path, payload);
        let answer = pair.world.wire[before..].last().unwrap().2.clone();
        let at = answer.iter().position(|byte| *byte == 0xff).unwrap() + 1;
        answer[at..].to_vec()
    };
    let command = Resource::Command.path();
    let mut answer = open(&mut pair, Resource::Challenge.path(), &asked);
    commander.open(&mut answer, &medlock_rustcrypto::RustCrypto).unwrap();
    let order = medlock_proto::sealed::Order { action: BOLUS, evidence: None };
    let (_, sealed) = commander.command(order, &mut out, &medlock_rustcrypto::RustCrypto).unwrap();
    let sealed = sealed.to_vec();
    let mut answer = open(&mut pair, command, &sealed);
    commander.open(&mut answer, &medlock_rustcrypto::RustCrypto).unwrap();
    // The patient holds the button; the carrier repeats the old command.
    let now = pair.world.ticks();
    let act = PhysicalAct::danger_button_was_held();
    pair.world.sdk(pump).attend(now, act, device_id("controller-1"), Operation::Treat);
    let _ = open(&mut pair, command, &sealed);
    let attended = Answer::Receipt(medlock_proto::sealed::Outcome::Started, Some(Code::Attended));
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), attended, "a replay changes no state");
}
