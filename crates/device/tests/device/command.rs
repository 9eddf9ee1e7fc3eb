//! Reception of commands: what is refused, what is counted, what is said.

use crate::flash::{Cut, Nor, Tear};
use crate::scene::{EPOCH, NOW, Scene, limits};
use medlock_device::command::{Act, LeaseEnded, Reception, Reply, Running};
use medlock_device::log::Area;
use medlock_device::platform::Ticks;
use medlock_proto::sealed::{
    Action, Asked, Challenge, Commander, Concentration, MAX_LENGTH, Memory, MilliUnits, Minutes, Order, Outcome,
    Percent, Rate, Receipt, Recipient, Refusal,
};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::decide::Code;
use medlock_trust::{DeviceId, Operation, Verdict};

const AREA: Area = Area { pages: 0..2, bank_pages: 1 };
const MINUTE: u64 = 60_000;

/// A pump and its controller, whose every command is sealed, carried and opened.
struct Ward {
    scene: Scene,
    flash: Nor<4096, 8>,
    reception: Reception,
    recipient: Recipient,
    commander: Commander,
    now: u64,
    drawn: u64,
}

impl Ward {
    fn new() -> Self {
        let scene = Scene::new();
        let mut flash = Nor::new(2);
        Reception::format(&mut flash, &AREA).expect("power");
        let (reception, recovered) = Reception::open(&mut flash, &AREA, limits()).expect("a journal");
        assert_eq!(recovered.uncertain().count(), 0);
        let (commander, recipient) = scene.session(1, Memory::default(), 0);
        Self { scene, flash, reception, recipient, commander, now: 0, drawn: 0 }
    }

    fn ticks(&self) -> Ticks {
        Ticks::from_millis(self.now)
    }

    /// The pump loses power and starts again; a new session is made.
    fn reboot(&mut self) -> Vec<u64> {
        self.flash.boot(None);
        let (reception, recovered) = Reception::open(&mut self.flash, &AREA, limits()).expect("a journal");
        self.reception = reception;
        self.drawn += 1;
        let number = u8::try_from(self.drawn % 250).expect("small");
        let memory = self.commander.memory();
        (self.commander, self.recipient) = self.scene.session(number, memory, self.reception.journal().floor(EPOCH));
        self.now = 0;
        recovered.uncertain().map(|intent| intent.counter).collect()
    }

    fn challenge(&mut self) {
        let (mut ask, mut answer) = ([0; MAX_LENGTH], [0; MAX_LENGTH]);
        let length = self.commander.ask_challenge(&mut ask, &RustCrypto).expect("room").len();
        let Ok(Asked::Challenge(asked)) = self.recipient.open(&mut ask[..length], &RustCrypto) else { panic!("asked") };
        self.drawn += 1;
        let (drawn, now) = (Challenge::from_bytes(self.drawn.to_be_bytes()), self.ticks());
        let sealed = self.reception.challenge(&mut self.recipient, asked, drawn, now, &mut answer, &RustCrypto);
        let length = sealed.expect("room").len();
        self.commander.open(&mut answer[..length], &RustCrypto).expect("authentic");
    }

    fn seal(&mut self, action: Action) -> Vec<u8> {
        self.challenge();
        let mut out = [0; MAX_LENGTH];
        let order = Order { action, evidence: None };
        self.commander.command(order, &mut out, &RustCrypto).expect("nothing is unknown").1.to_vec()
    }

    fn receive_judged(&mut self, mut message: Vec<u8>, judge: impl FnOnce(&Scene, Operation) -> Verdict) -> Reply {
        let Ok(Asked::Command(received)) = self.recipient.open(&mut message, &RustCrypto) else { panic!("authentic") };
        let (now, scene) = (self.ticks(), &self.scene);
        self.reception
            .receive(&mut self.flash, &mut self.recipient, received, now, |_, operation| judge(scene, operation))
    }

    fn receive(&mut self, message: Vec<u8>) -> Reply {
        self.receive_judged(message, |scene, operation| scene.judge(operation, true))
    }

    fn tell(&mut self, receipt: &Receipt) {
        let mut out = [0; MAX_LENGTH];
        let length = self.recipient.receipt(receipt, &mut out, &RustCrypto).expect("room").len();
        self.commander.open(&mut out[..length], &RustCrypto).expect("authentic");
    }

    /// Sends a command; the act, or why not.
    fn send(&mut self, action: Action) -> Result<Act, Refusal> {
        let message = self.seal(action);
        match self.receive(message) {
            Reply::Act(act) => Ok(act),
            Reply::Receipt(receipt) => {
                self.tell(&receipt);
                let Outcome::Refused(refusal) = receipt.outcome else { panic!("{receipt:?}") };
                Err(refusal)
            }
        }
    }

    fn start(&mut self, action: Action) -> Running {
        let act = self.send(action).expect("nothing stands against it");
        let (running, receipt) = self.reception.started(act);
        self.tell(&receipt);
        running
    }

    fn done(&mut self, running: Running, delivered: u32) -> Receipt {
        let now = self.ticks();
        let receipt = self.reception.done(&mut self.flash, running, MilliUnits(delivered), now);
        self.tell(&receipt);
        receipt
    }

    fn carry_out(&mut self, action: Action) {
        let running = self.start(action);
        self.done(running, action.most().0);
    }

    fn outcome(&mut self, counter: u64) -> Outcome {
        self.reception.receipt(&self.recipient, counter).outcome
    }

    fn counted(&self) -> u32 {
        self.reception.journal().delivered(self.ticks()).0
    }
}

fn bolus(amount: u32) -> Action {
    Action::Bolus { amount: MilliUnits(amount), concentration: Concentration::U100, bound: MilliUnits(9_000) }
}

fn basal(rate: u32, minutes: u16) -> Action {
    let (rate, minutes) = (Rate(rate), Minutes(minutes));
    Action::TemporaryBasal { rate, minutes, concentration: Concentration::U100, bound: MilliUnits(9_000) }
}

fn suspend(minutes: u16) -> Action {
    Action::Suspend { minutes: Minutes(minutes) }
}

/// Shows REQ-SEAL-24: no command exceeds its own bound, the insulin it names, or what the device does by one command; what
/// is refused changes nothing in flash.
#[test]
fn one_command_stays_within_its_bound_and_the_limits() {
    let mut ward = Ward::new();
    let other = |concentration| Action::Bolus { amount: MilliUnits(100), concentration, bound: MilliUnits(100) };
    let bound = MilliUnits(499);
    let (rate, minutes, concentration) = (Rate(999), Minutes(30), Concentration::U100);
    let refused = [
        (Action::Bolus { amount: MilliUnits(500), concentration, bound }, Refusal::Bound),
        (Action::TemporaryBasal { rate, minutes, concentration, bound }, Refusal::Bound),
        (other(Concentration::U500), Refusal::Concentration),
        (other(Concentration(0)), Refusal::Concentration),
        (bolus(5_001), Refusal::Limit),
        (bolus(0), Refusal::Limit),
        (basal(3_001, 30), Refusal::Limit),
        (basal(1_000, 121), Refusal::Limit),
        (basal(1_000, 0), Refusal::Limit),
        (suspend(61), Refusal::Limit),
        (suspend(0), Refusal::Limit),
        (Action::Reduce { percent: Percent(50), minutes: Minutes(61) }, Refusal::Limit),
    ];
    ward.flash.boot(None);
    for (action, expected) in refused {
        assert_eq!(ward.send(action).err(), Some(expected), "{action:?}");
    }
    assert_eq!((ward.flash.events(), ward.counted()), (0, 0), "refusals are not written");
    for action in [bolus(5_000), basal(3_000, 120), suspend(60), Action::Resume, Action::Set { setting: 1, value: 2 }] {
        ward.now += 1;
        ward.carry_out(action);
    }
}

/// Shows REQ-SEAL-25: within its window of time a device delivers no more by command than its limit, over reboots too; what
/// is under way or uncertain counts in full, and so does what its buttons deliver.
#[test]
fn the_window_is_kept_over_reboots() {
    let mut ward = Ward::new();
    ward.carry_out(bolus(5_000));
    let running = ward.start(bolus(4_000));
    assert_eq!(ward.counted(), 9_000, "under way counts in full");
    assert_eq!(ward.send(basal(2_000, 91)).err(), Some(Refusal::Cumulative));
    ward.done(running, 1_000);
    assert_eq!(ward.counted(), 6_000);
    let now = ward.ticks();
    ward.reception.delivered_at_device(&mut ward.flash, MilliUnits(1_000), now).expect("power");
    let _lost = ward.start(bolus(4_000));
    let uncertain = ward.reboot();
    assert_eq!((uncertain.len(), ward.counted()), (1, 11_000), "uncertain counts in full");
    assert!(matches!(ward.outcome(uncertain[0]), Outcome::Uncertain { at_most: MilliUnits(4_000) }));
    let receipt = ward.reception.receipt(&ward.recipient, uncertain[0]);
    ward.tell(&receipt);
    ward.now += 23 * 60 * MINUTE;
    assert_eq!(ward.send(bolus(1_001)).err(), Some(Refusal::Cumulative));
    let now = ward.ticks();
    ward.reception.checkpoint(&mut ward.flash, now).expect("power");
    ward.reboot();
    assert_eq!(ward.send(bolus(1_001)).err(), Some(Refusal::Cumulative), "a reboot forgets nothing");
    ward.now += 4 * 60 * MINUTE;
    assert_eq!(ward.counted(), 0, "27 hours later");
    ward.carry_out(bolus(5_000));
}

/// Shows REQ-SEAL-26: without a permit of the trust core for this operation of this controller nothing is done.
#[test]
fn only_a_permit_executes() {
    let mut ward = Ward::new();
    let message = ward.seal(bolus(100));
    let reply = ward.receive_judged(message, |scene, operation| scene.judge(operation, false));
    let Reply::Receipt(receipt) = reply else { panic!("executed with a stale status") };
    assert_eq!(receipt.outcome, Outcome::Refused(Refusal::Denied(Code::StatusStale)));
    ward.tell(&receipt);
    // A permit for another operation is none.
    let message = ward.seal(bolus(100));
    let reply = ward.receive_judged(message.clone(), |scene, _| scene.judge(Operation::Halt, true));
    let Reply::Receipt(first) = reply else { panic!("executed with a permit to halt") };
    assert_eq!(first.outcome, Outcome::Refused(Refusal::Denied(Code::BondMissing)));
    // Sent again it is answered alike, and not judged again.
    let reply = ward.receive_judged(message, |_, _| panic!("judged again"));
    assert!(matches!(reply, Reply::Receipt(receipt) if receipt == first));
    ward.tell(&first);
    // A halt with a stale status is allowed, marked.
    let message = ward.seal(suspend(10));
    let reply = ward.receive_judged(message, |scene, operation| scene.judge(operation, false));
    let Reply::Act(act) = reply else { panic!("a halt was refused") };
    assert!(act.obligations().alert);
    let (running, receipt) = ward.reception.started(act);
    assert_eq!(receipt.mark, Some(Code::StatusStale));
    assert_eq!(ward.done(running, 0).mark, Some(Code::StatusStale), "the mark stays with the outcome");
}

/// Shows REQ-SEAL-27: an attended act lets one command through that old knowledge would deny, loudly and marked.
#[test]
fn an_attended_act_raises_one_denial() {
    let mut ward = Ward::new();
    let message = ward.seal(bolus(100));
    let reply = ward.receive_judged(message, |scene, operation| scene.judge_attended(operation));
    let Reply::Act(act) = reply else { panic!("refused although attended") };
    assert!(act.obligations().alert);
    let (running, receipt) = ward.reception.started(act);
    assert_eq!(receipt.mark, Some(Code::Attended));
    ward.tell(&receipt);
    ward.done(running, 100);
    let message = ward.seal(bolus(100));
    let reply = ward.receive_judged(message, |scene, operation| scene.judge(operation, false));
    assert!(matches!(reply, Reply::Receipt(_)), "the next is denied as before");
}

/// Shows REQ-SEAL-28: one bolus at a time; temporary basals take over from one another; nothing holds up a halt, and halts
/// are limited in rate.
#[test]
fn what_is_under_way_and_what_may_join_it() {
    let mut ward = Ward::new();
    let first = ward.start(basal(1_000, 30));
    let second = ward.start(basal(2_000, 30));
    assert_eq!(ward.send(basal(500, 30)).err(), Some(Refusal::Busy));
    ward.done(first, 100);
    let third = ward.start(basal(500, 30));
    let bolus_running = ward.start(bolus(1_000));
    let halts: Vec<Running> = (0..3).map(|_| ward.start(suspend(20))).collect();
    let counters: Vec<u64> = halts.iter().map(Running::counter).collect();
    assert_eq!(ward.outcome(counters[0]), Outcome::Done { delivered: MilliUnits(0) }, "the next took its place");
    assert_eq!(ward.outcome(counters[2]), Outcome::Started);
    assert_eq!(ward.send(suspend(20)).err(), Some(Refusal::HaltRate));
    ward.done(bolus_running, 250);
    ward.done(second, 10);
    ward.done(third, 0);
    assert_eq!(ward.counted(), 360);
    ward.now += 27 * 60 * MINUTE;
    ward.carry_out(suspend(20));
}

/// The device knows of a bolus that its controller forgot, and refuses another for as long as it runs.
#[test]
fn a_controller_that_forgot_everything_cannot_double_a_bolus() {
    let mut ward = Ward::new();
    let running = ward.start(bolus(1_000));
    (ward.commander, ward.recipient) = ward.scene.session(9, Memory::default(), ward.reception.journal().floor(EPOCH));
    ward.challenge();
    assert_eq!(ward.commander.unknown(), Some(running.counter()), "it is told");
    // One that does not listen to what it is told.
    let mut forgetful = ward.commander.memory();
    forgetful.bolus = None;
    let (deaf, _) = ward.scene.session(9, forgetful, 0);
    let (_, recipient) = ward.scene.session(9, forgetful, ward.reception.journal().floor(EPOCH));
    (ward.commander, ward.recipient) = (deaf, recipient);
    let receipt =
        Receipt { counter: running.counter(), outcome: Outcome::Done { delivered: MilliUnits(0) }, mark: None };
    ward.challenge();
    ward.tell(&receipt);
    assert_eq!(ward.send_ready(bolus(1_000)).err(), Some(Refusal::Busy));
}

impl Ward {
    /// Sends with the challenge at hand.
    fn send_ready(&mut self, action: Action) -> Result<Act, Refusal> {
        let mut out = [0; MAX_LENGTH];
        let order = Order { action, evidence: None };
        let message = self.commander.command(order, &mut out, &RustCrypto).expect("it believes so").1.to_vec();
        match self.receive(message) {
            Reply::Act(act) => Ok(act),
            Reply::Receipt(Receipt { outcome: Outcome::Refused(refusal), .. }) => Err(refusal),
            Reply::Receipt(other) => panic!("{other:?}"),
        }
    }
}

/// Shows REQ-SEAL-33: what a device called void stays void in every session: a command that a carrier kept back cannot be
/// delivered in an older session that still stands, with a challenge that is still open.
#[test]
fn void_in_one_session_is_void_in_all() {
    let mut ward = Ward::new();
    let held_back = ward.seal(bolus(1_000));
    let memory = ward.commander.memory();
    let counter = memory.unknown.expect("nothing was heard of it");
    let (commander, recipient) = ward.scene.session(2, memory, ward.reception.journal().floor(EPOCH));
    let (_, mut older) =
        (core::mem::replace(&mut ward.commander, commander), core::mem::replace(&mut ward.recipient, recipient));
    let mut out = [0; MAX_LENGTH];
    let mut ask = ward.commander.ask_receipt(counter, &mut out, &RustCrypto).expect("room").to_vec();
    assert!(matches!(ward.recipient.open(&mut ask, &RustCrypto), Ok(Asked::Receipt(asked)) if asked == counter));
    let receipt = ward.reception.receipt(&ward.recipient, counter);
    assert_eq!(receipt.outcome, Outcome::Refused(Refusal::Voided));
    ward.tell(&receipt);
    core::mem::swap(&mut ward.recipient, &mut older);
    let Reply::Receipt(late) = ward.receive(held_back) else { panic!("executed after it was called void") };
    assert_eq!(late, receipt);
    core::mem::swap(&mut ward.recipient, &mut older);
    ward.carry_out(bolus(1_000));
}

/// Shows REQ-SEAL-29: whatever changes therapy voids commands that are on their way: another command's end, a bolus by the
/// buttons, a new programme. A halt goes through.
#[test]
fn a_command_is_for_the_state_it_was_made_for() {
    let mut ward = Ward::new();
    let message = ward.seal(bolus(1_000));
    ward.reception.therapy_changed();
    let Reply::Receipt(receipt) = ward.receive(message) else { panic!("executed in another state") };
    assert_eq!(receipt.outcome, Outcome::Refused(Refusal::State));
    ward.tell(&receipt);
    let message = ward.seal(bolus(1_000));
    let now = ward.ticks();
    ward.reception.delivered_at_device(&mut ward.flash, MilliUnits(1), now).expect("power");
    let Reply::Receipt(receipt) = ward.receive(message) else { panic!("executed in another state") };
    assert_eq!(receipt.outcome, Outcome::Refused(Refusal::State));
    ward.tell(&receipt);
    let message = ward.seal(suspend(10));
    ward.reception.therapy_changed();
    assert!(matches!(ward.receive(message), Reply::Act(_)));
}

/// Shows REQ-SEAL-30: a lease is granted by a treat, kept by `sustain`, ended by its time, a halt or a reboot, and never
/// granted or revived by `sustain`.
#[test]
fn a_lease_is_kept_and_never_made_by_sustain() {
    let mut ward = Ward::new();
    let permit = |ward: &Ward, operation| ward.scene.judge(operation, true).permit().expect("permitted");
    let sustain = |ward: &mut Ward, operation| {
        let permit = permit(ward, operation);
        let now = ward.ticks();
        ward.reception.sustain(permit, now)
    };
    assert_eq!(sustain(&mut ward, Operation::Sustain), Err(LeaseEnded), "none was granted");
    let running = ward.start(basal(1_000, 120));
    assert_eq!(ward.reception.lease_ends(ward.ticks()), Some(Ticks::from_millis(15 * MINUTE)));
    assert_eq!(sustain(&mut ward, Operation::Halt), Err(LeaseEnded), "a permit for something else");
    ward.now += 14 * MINUTE;
    let (state, counted) = (ward.reception.state(), ward.counted());
    assert_eq!(sustain(&mut ward, Operation::Sustain), Ok(Ticks::from_millis(29 * MINUTE)));
    assert_eq!((ward.reception.state(), ward.counted()), (state, counted), "delivery is not touched");
    ward.now = 29 * MINUTE;
    assert_eq!(ward.reception.lease_ends(ward.ticks()), None);
    assert_eq!(sustain(&mut ward, Operation::Sustain), Err(LeaseEnded), "it is not revived");
    ward.done(running, 480);
    ward.carry_out(bolus(100));
    assert!(ward.reception.lease_ends(ward.ticks()).is_some());
    let _halt = ward.start(suspend(10));
    assert_eq!(ward.reception.lease_ends(ward.ticks()), None, "a halt ends it");
    ward.carry_out(bolus(100));
    ward.reboot();
    assert_eq!(ward.reception.lease_ends(ward.ticks()), None, "a reboot ends it");
}

/// Shows REQ-SEAL-31: what cannot be recorded is not begun, and an outcome that cannot be recorded is uncertain.
#[test]
fn flash_that_fails_begins_nothing() {
    let mut ward = Ward::new();
    let message = ward.seal(bolus(1_000));
    ward.flash.boot(Some(Cut { event: 0, tear: Tear::FirstHalf }));
    let Reply::Receipt(receipt) = ward.receive(message) else { panic!("begun without a record") };
    assert_eq!(receipt.outcome, Outcome::Refused(Refusal::Storage));
    ward.tell(&receipt);
    ward.flash.boot(None);
    let running = ward.start(bolus(2_000));
    ward.flash.boot(Some(Cut { event: 0, tear: Tear::FirstHalf }));
    let receipt = ward.done(running, 2_000);
    assert_eq!(receipt.outcome, Outcome::Uncertain { at_most: MilliUnits(2_000) });
    ward.reboot();
    assert_eq!(ward.outcome(receipt.counter), receipt.outcome, "and stays so");
    assert_eq!(ward.counted(), 2_000);
}

/// What could not begin counts nothing, and its receipt says so, also after a reboot.
#[test]
fn unable_counts_nothing() {
    let mut ward = Ward::new();
    let act = ward.send(bolus(5_000)).expect("nothing stands against it");
    let (counter, now) = (act.counter(), ward.ticks());
    let receipt = ward.reception.unable(&mut ward.flash, act, now);
    assert_eq!(receipt.outcome, Outcome::Refused(Refusal::Unable));
    ward.tell(&receipt);
    ward.reboot();
    assert_eq!((ward.outcome(counter), ward.counted()), (receipt.outcome, 0));
}

/// Shows REQ-SEAL-32: the last outcomes are told whenever asked; of what is longer ago nothing wrong is said: it is
/// uncertain, never void. The last bolus is never forgotten.
#[test]
fn what_is_forgotten_is_uncertain_and_never_void() {
    let mut ward = Ward::new();
    let running = ward.start(bolus(700));
    let bolus_counter = running.counter();
    ward.done(running, 700);
    let mut counters = Vec::new();
    for _ in 0..12 {
        ward.now += 1;
        let running = ward.start(Action::Set { setting: 1, value: 1 });
        counters.push(running.counter());
        ward.done(running, 0);
    }
    ward.reboot();
    assert_eq!(ward.outcome(bolus_counter), Outcome::Done { delivered: MilliUnits(700) });
    assert_eq!(ward.outcome(counters[11]), Outcome::Done { delivered: MilliUnits(0) });
    assert_eq!(ward.outcome(counters[0]), Outcome::Uncertain { at_most: MilliUnits(u32::MAX) });
    assert_eq!(ward.outcome(counters[11] + 1), Outcome::Refused(Refusal::Voided), "it was never carried out");
}

/// The scene's certificate is valid at the scene's time, or every denial would be for the wrong reason.
#[test]
fn the_scene_permits() {
    let scene = Scene::new();
    assert!(scene.judge(Operation::Treat, true).is_allowed());
    assert!(scene.peer.validity().0 <= NOW && scene.controller() != DeviceId::from_bytes([0; 16]));
}
