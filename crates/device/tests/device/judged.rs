//! Each row of the table that matters, from one device to another.

use crate::platform::Dice;
use crate::site::{DAY, START, Signer, credential_id, device_id};
use crate::world::{BAD, FAIR, Happened, Node, Sdk, World};
use medlock_device::{Closing, Method, NotTaken, Peer, PhysicalAct, Resource, Status};
use medlock_proto::sealed::{
    Action, Commander, Concentration, Memory, MilliUnits, Order, Outcome, Receipt, Refusal, Told,
};
use medlock_trust::decide::Code;
use medlock_trust::role::Role;
use medlock_trust::status::{State, Subject};
use medlock_trust::{Interval, Operation, Operations, Verdict};

pub(crate) const COMMANDS: Operations = Operations::of(&[Operation::Treat, Operation::Halt]);
pub(crate) const BOLUS: Action =
    Action::Bolus { amount: MilliUnits(500), bound: MilliUnits(500), concentration: Concentration::U100 };

/// A pump and a controller of the site, bonded.
pub(crate) struct Loop {
    pub(crate) world: World,
    pub(crate) pump: usize,
    pub(crate) controller: usize,
}

impl Loop {
    pub(crate) fn new(seed: u64, weather: crate::world::Weather) -> Self {
        Self::with_role(seed, weather, Role::Controller, 90)
    }

    pub(crate) fn with_role(seed: u64, weather: crate::world::Weather, role: Role, days: i64) -> Self {
        let mut world = World::new(seed, weather);
        let pump = world.pump("pump-1");
        let validity = (START.plus_seconds(-100 * DAY), START.plus_seconds(days * DAY));
        let controller = world.device_valid("controller-1", &[role], validity);
        world.bond(pump, "controller-1", COMMANDS);
        Self { world, pump, controller }
    }

    pub(crate) fn bolus(&mut self) -> Answer {
        let peer = self.world.connect(self.controller, self.pump);
        self.command(peer, BOLUS)
    }

    pub(crate) fn command(&mut self, peer: Peer, action: Action) -> Answer {
        let mut commander = self.sdk().commander(peer, 1, Memory::default()).unwrap();
        self.command_with(&mut commander, peer, action)
    }

    pub(crate) fn sdk(&mut self) -> &mut Sdk {
        self.world.sdk(self.controller)
    }

    pub(crate) fn command_with(&mut self, commander: &mut Commander, peer: Peer, action: Action) -> Answer {
        let Self { world, controller, .. } = self;
        let mut out = [0; 112];
        let asked = commander.ask_challenge(&mut out, world.sdk(*controller).crypto()).unwrap().to_vec();
        let Happened::Answered(_, status, mut answer) =
            world.call(*controller, peer, Method::Post, Resource::Challenge, &asked)
        else {
            panic!("an answer")
        };
        if status != Status::Done {
            return Answer::Unsealed(status);
        }
        let crypto = world.sdk(*controller).crypto();
        commander.open(&mut answer, crypto).unwrap();
        let order = Order { action, evidence: None };
        let (_, sealed) = commander.command(order, &mut out, crypto).unwrap();
        let sealed = sealed.to_vec();
        let Happened::Answered(_, Status::Done, mut answer) =
            world.call(*controller, peer, Method::Post, Resource::Command, &sealed)
        else {
            panic!("a receipt")
        };
        match commander.open(&mut answer, world.sdk(*controller).crypto()).unwrap() {
            Told::Receipt(Receipt { outcome, mark, .. }) => Answer::Receipt(outcome, mark),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn boluses(&self) -> usize {
        let happened = &self.world.nodes[self.pump].happened;
        happened.iter().filter(|one| matches!(one, Happened::Acted(Operation::Treat))).count()
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Answer {
    Unsealed(Status),
    Receipt(Outcome, Option<Code>),
}

pub(crate) fn denied(code: Code) -> Answer {
    Answer::Receipt(Outcome::Refused(Refusal::Denied(code)), None)
}

pub(crate) const STARTED: Answer = Answer::Receipt(Outcome::Started, None);

/// Shows REQ-DEV-11.
#[test]
fn a_bonded_controller_treats_once_whatever_the_link_does() {
    for seed in 0..6 {
        let mut pair = Loop::new(seed, BAD);
        assert_eq!(pair.bolus(), STARTED, "seed {seed}");
        assert_eq!(pair.boluses(), 1, "seed {seed}");
    }
}

/// Shows REQ-DEV-11.
#[test]
fn everything_that_was_sent_sent_again_is_carried_out_no_second_time() {
    let mut pair = Loop::new(3, FAIR);
    assert_eq!(pair.bolus(), STARTED);
    let wire = pair.world.wire.clone();
    for (from, to, datagram) in wire {
        pair.world.send(from, to, &datagram);
        pair.world.run(5_000, |_| false);
    }
    assert_eq!(pair.boluses(), 1);
}

/// Shows REQ-DEV-12.
#[test]
fn without_a_bond_no_sealed_message_is_opened() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-7");
    let controller = world.device("controller-6", &[Role::Controller]);
    let mut pair = Loop { world, pump, controller };
    assert_eq!(pair.bolus(), Answer::Unsealed(Status::Refused(3)));
    assert_eq!(pair.boluses(), 0);
}

/// Shows REQ-DEV-13.
#[test]
fn a_controller_that_expired_goes_on_marked() {
    let mut pair = Loop::with_role(1, FAIR, Role::Controller, -10);
    assert_eq!(pair.bolus(), Answer::Receipt(Outcome::Started, Some(Code::ExpiredWithinGrace)));
}

/// Shows REQ-DEV-13.
#[test]
fn beyond_the_grace_commands_are_refused_and_the_lease_and_renewal_are_not() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-1");
    let long_ago = (START.plus_seconds(-400 * DAY), START.plus_seconds(-100 * DAY));
    let controller = world.device_valid("controller-1", &[Role::Controller], long_ago);
    world.bond(pump, "controller-1", COMMANDS);
    let mut pair = Loop { world, pump, controller };
    assert_eq!(pair.bolus(), denied(Code::ExpiredBeyondGrace));
    let now = pair.world.ticks();
    let at_pump = pair.world.peer_at(pump);
    for operation in [Operation::Sustain, Operation::Renew] {
        assert!(pair.world.sdk(pump).judge(now, at_pump, operation).unwrap().is_allowed(), "{operation}");
    }
}

/// Shows REQ-DEV-14.
#[test]
fn with_old_status_nothing_new_is_begun_but_by_one_attended_act() {
    let mut pair = Loop::new(1, FAIR);
    pair.world.pass_days(20);
    let peer = pair.world.connect(pair.controller, pair.pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::StatusStale));
    let (pump, now) = (pair.pump, pair.world.ticks());
    pair.world.sdk(pump).attend(
        now,
        PhysicalAct::danger_button_was_held(),
        device_id("controller-1"),
        Operation::Treat,
    );
    let attended = Answer::Receipt(Outcome::Started, Some(Code::Attended));
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), attended);
    pair.world.finish(pump);
    let other = pair.command_with(&mut commander, peer, Action::Resume);
    assert_eq!(other, denied(Code::StatusStale), "one act counts once");
}

/// Shows REQ-DEV-15.
#[test]
fn what_is_suspended_commands_nothing_until_a_newer_status_lifts_it() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    let subject = Subject::Device(device_id("controller-1"));
    let suspended = pair.world.site.status(START, &[(subject, State::Suspended)]);
    let lifted = pair.world.site.status(START, &[]);
    let now = pair.world.ticks();
    pair.world.sdk(pump).take_object(now, &suspended).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), denied(Code::Suspended));
    pair.world.sdk(pump).take_object(now, &lifted).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), STARTED);
    assert!(pair.world.sdk(pump).take_object(now, &suspended).is_err(), "nothing rolls back");
}

/// Shows REQ-DEV-16.
#[test]
fn news_of_a_theft_that_another_device_carries_end_the_session() {
    for weather in [FAIR, BAD] {
        let mut pair = Loop::new(1, weather);
        let (pump, controller) = (pair.pump, pair.controller);
        let sensor = pair.world.device("cgm-1", &[Role::Sensor]);
        assert_eq!(pair.bolus(), STARTED);
        let stolen = Subject::Device(device_id("controller-1"));
        let news = pair.world.site.status(START, &[(stolen, State::Compromised)]);
        let carried = pair.world.connect(sensor, pump);
        let answer = pair.world.call(sensor, carried, Method::Post, Resource::Objects, &news);
        assert!(matches!(answer, Happened::Answered(_, Status::Done, _)), "{answer:?}");
        let ended = |nodes: &[Node]| {
            nodes[pump]
                .happened
                .iter()
                .any(|one| matches!(one, Happened::Closed(_, Closing::Judged(why)) if why.code == Code::Compromised))
        };
        assert!(pair.world.run(1_000, ended), "within a second");
        // It gets no session any more, either.
        assert_eq!(pair.world.try_connect(controller, pump), None);
    }
}

/// Shows REQ-DEV-16.
#[test]
fn news_need_no_session_and_older_ones_are_refused() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let stolen = Subject::Device(device_id("controller-1"));
    let old = pair.world.site.status(START, &[]);
    let news = pair.world.site.status(START, &[(stolen, State::Compromised)]);
    assert_eq!(pair.bolus(), STARTED);
    assert_eq!(pair.world.post_open(pump, &["m", "objects"], &news), 0x44);
    assert!(pair.world.nodes[pump].happened.contains(&Happened::News));
    assert_eq!(pair.world.post_open(pump, &["m", "objects"], &old), 0x89, "4.09: what is held is newer");
    let mut forged = news;
    forged[60] ^= 1;
    assert!(pair.world.post_open(pump, &["m", "objects"], &forged) >= 0x80);
}

/// Shows REQ-STORE-89: the site's store was brought back from before a theft. What its list tells now is heard, what the list before
/// told stays, also behind a loss of power, and a list that has both takes the place of both.
#[test]
fn a_list_that_forgets_a_theft_adds_and_lifts_nothing() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-1");
    let [stolen, held, next, good] =
        ["cgm-1", "cgm-2", "cgm-3", "cgm-4"].map(|name| world.device(name, &[Role::Sensor]));
    let is = |name: &str, state| (Subject::Device(device_id(name)), state);
    let told = world.site.status(START, &[is("cgm-1", State::Compromised), is("cgm-2", State::Suspended)]);
    let forgetful = world.site.status(START, &[is("cgm-3", State::Compromised)]);
    let third = world.site.status(START, &[is("cgm-4", State::Compromised)]);
    let forgetful_still = world.site.status(START, &[is("cgm-3", State::Compromised)]);
    let all = world.site.status(START, &[is("cgm-1", State::Compromised), is("cgm-3", State::Compromised)]);
    // Who gets no session, and what a reading is marked with that is taken from the others.
    let meets = |world: &mut World| {
        [stolen, held, next, good].map(|one| {
            world.try_connect(one, pump)?;
            let (now, peer) = (world.ticks(), world.peer_at(pump));
            match world.sdk(pump).judge(now, peer, Operation::Report)? {
                Verdict::Allow(permit) => Some(permit.mark()),
                Verdict::Deny(denied) => Some(Some(denied.code)),
            }
        })
    };
    let suspended = Some(Some(Code::Suspended));
    let now = world.ticks();
    world.sdk(pump).take_object(now, &told).unwrap();
    world.sdk(pump).take_object(now, &forgetful).unwrap();
    assert_eq!(meets(&mut world), [None, suspended, None, Some(None)]);
    world.reboot(pump);
    let now = world.ticks();
    world.sdk(pump).set_time(now, Interval::exactly(START));
    assert_eq!(meets(&mut world), [None, suspended, None, Some(None)], "behind a loss of power");
    let refused = world.sdk(pump).take_object(now, &third).unwrap_err();
    assert!(
        matches!(refused, NotTaken::Status(medlock_trust::status::Refused::CompromiseForgotten(_))),
        "two are held that tell what it does not: {refused:?}"
    );
    world.sdk(pump).take_object(now, &forgetful_still).unwrap();
    assert!(world.sdk(pump).take_object(now, &forgetful).is_err_and(|why| why.is_old()));
    assert_eq!(meets(&mut world), [None, suspended, None, Some(None)], "the hub was not told yet");
    world.sdk(pump).take_object(now, &all).unwrap();
    assert_eq!(meets(&mut world), [None, Some(None), None, Some(None)], "lifted by who knows what it lifts");
    assert!(world.sdk(pump).take_object(now, &told).is_err());
}

/// Shows REQ-STORE-105: what a stolen key has told ends with it, also what is kept beside the newest list.
#[test]
fn what_a_stolen_key_told_of_thefts_ends_with_the_key() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-1");
    let sensors = ["cgm-1", "cgm-2"].map(|name| world.device(name, &[Role::Sensor]));
    let is = |name: &str| (Subject::Device(device_id(name)), State::Compromised);
    let told = ["cgm-1", "cgm-2"].map(|name| world.site.status(START, &[is(name)]));
    let now = world.ticks();
    for list in &told {
        world.sdk(pump).take_object(now, list).unwrap();
    }
    let meets = |world: &mut World| sensors.map(|sensor| world.try_connect(sensor, pump).is_some());
    assert_eq!(meets(&mut world), [false; 2]);
    world.site.service = Signer::new("service-2", &mut Dice(99));
    let after = [world.site.list(START.plus_seconds(3)), world.site.status(START.plus_seconds(3), &[])];
    let now = world.ticks();
    for object in &after {
        world.sdk(pump).take_object(now, object).unwrap();
    }
    assert_eq!(meets(&mut world), [true; 2]);
    world.reboot(pump);
    let now = world.ticks();
    world.sdk(pump).set_time(now, Interval::exactly(START.plus_seconds(10)));
    assert_eq!(meets(&mut world), [true; 2], "behind a loss of power");
    for list in &told {
        world.sdk(pump).take_object(now, list).unwrap_err();
    }
}

/// Shows REQ-DEV-17.
#[test]
fn a_birth_credential_commands_nothing() {
    let mut world = World::new(1, FAIR);
    let pump = world.pump("pump-1");
    let newborn = world.newborn();
    let list = world.site.list(START);
    let (now, root) = (world.ticks(), world.site.root.id);
    world.sdk(newborn).pin_site(root, None).unwrap();
    world.sdk(newborn).take_object(now, &list).unwrap();
    world.bond(pump, "maker-0815", COMMANDS);
    let peer = world.connect(newborn, pump);
    let answer = world.call(newborn, peer, Method::Get, Resource::State, &[]);
    assert!(
        matches!(answer, Happened::Answered(_, Status::Refused(3), ref why) if why == b"birth-credential"),
        "{answer:?}"
    );
    let at_pump = world.peer_at(pump);
    for operation in Operation::ALL {
        assert!(!world.sdk(pump).judge(now, at_pump, operation).unwrap().is_allowed(), "{operation}");
    }
}

/// Shows REQ-DEV-17.
#[test]
fn a_controller_with_a_sensors_credential_commands_nothing() {
    let mut pair = Loop::with_role(1, FAIR, Role::Sensor, 90);
    assert_eq!(pair.bolus(), denied(Code::RoleLacksOperation));
}

/// Shows REQ-DEV-18.
#[test]
fn readings_feed_therapy_only_as_the_table_says() {
    let reading = |days: i64, bonded: bool, state: Option<State>| {
        let mut world = World::new(1, FAIR);
        let validity = (START.plus_seconds(-400 * DAY), START.plus_seconds(days * DAY));
        let sensor = world.device_valid("cgm-1", &[Role::Sensor], validity);
        let controller = world.device("controller-1", &[Role::Controller]);
        if bonded {
            world.bond(controller, "cgm-1", Operations::of(&[Operation::Inform]));
        }
        let peer = world.connect(controller, sensor);
        if let Some(state) = state {
            let news = world.site.status(START, &[(Subject::Device(device_id("cgm-1")), state)]);
            let now = world.ticks();
            world.sdk(controller).take_object(now, &news).unwrap();
        }
        world.sdk(controller).identified(peer)?;
        match world.call(controller, peer, Method::Get, Resource::Readings, &[]) {
            Happened::Readings(operation, mark, _) => Some((operation, mark)),
            _ => None,
        }
    };
    assert_eq!(reading(90, true, None), Some((Operation::Inform, None)));
    assert_eq!(reading(90, false, None), Some((Operation::Report, None)));
    assert_eq!(reading(-10, true, None), Some((Operation::Inform, Some(Code::ExpiredWithinGrace))));
    assert_eq!(reading(-100, true, None), Some((Operation::Report, Some(Code::ExpiredBeyondGrace))));
    assert_eq!(reading(90, true, Some(State::Suspended)), Some((Operation::Report, Some(Code::Suspended))));
    assert_eq!(reading(90, true, Some(State::Compromised)), None);
}

/// Shows REQ-DEV-19.
#[test]
fn a_device_that_lost_the_time_treats_again_after_an_answer_to_its_own_number() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    pair.world.reboot(pump);
    let peer = pair.world.connect(pair.controller, pump);
    let mut commander = pair.sdk().commander(peer, 1, Memory::default()).unwrap();
    let now = pair.world.ticks();
    let earliest = pair.world.sdk(pump).time(now).earliest();
    assert!(earliest >= START.plus_seconds(-DAY), "the floor was kept");
    assert_eq!(pair.world.sdk(pump).time(now), Interval::since(earliest));
    let refused = pair.command_with(&mut commander, peer, BOLUS);
    assert!(matches!(refused, Answer::Receipt(Outcome::Refused(Refusal::Denied(_)), _)), "{refused:?}");
    let nonce = pair.world.sdk(pump).ask(now);
    let credential = credential_id(&pair.world.nodes[pair.controller].credential);
    let ticket = pair.world.site.ticket(START.plus_seconds(60), credential, &nonce);
    pair.world.sdk(pump).take_object(now, &ticket).unwrap();
    assert_eq!(pair.command_with(&mut commander, peer, BOLUS), STARTED);
}

/// Shows REQ-DEV-20.
#[test]
fn a_bond_of_the_site_takes_treat_from_the_one_before() {
    let mut pair = Loop::new(1, FAIR);
    let pump = pair.pump;
    let now = pair.world.ticks();
    let own = pair.world.sdk(pump).own().unwrap();
    let bond = pair.world.site.bond(own, device_id("controller-2"), COMMANDS, 5);
    pair.world.sdk(pump).take_object(now, &bond).unwrap();
    assert!(pair.world.sdk(pump).take_object(now, &bond).is_err(), "epochs only grow");
    let peer = pair.world.connect(pair.controller, pump);
    assert_eq!(pair.command(peer, BOLUS), denied(Code::BondMissing));
    assert_eq!(pair.world.sdk(pump).bonds().count(), 2);
}
