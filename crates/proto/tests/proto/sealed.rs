//! Sealed commands between a controller and a device, and everything a carrier may do to them.

use medlock_proto::reading::Evidence;
use medlock_proto::sealed::{
    Action, Asked, Challenge, Commander, Concentration, Direction, Fresh, Keys, Kid, Link, MAX_LENGTH, Memory,
    MilliUnits, Minutes, OpenError, Order, Outcome, Percent, Rate, Receipt, Received, Recipient, Refusal, SealError,
    Standing, StateVersion, Told,
};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::DeviceId;
use medlock_trust::decide::Code;
use proptest::prelude::*;

pub(crate) const CONTROLLER: DeviceId = DeviceId::from_bytes([0xc0; 16]);
pub(crate) const DEVICE: DeviceId = DeviceId::from_bytes([0xd0; 16]);
pub(crate) const EPOCH: u64 = 7;
const STATE: StateVersion = StateVersion(41);
const AGE: u64 = 30_000;

pub(crate) fn link(controller: DeviceId, device: DeviceId) -> Link {
    let kid = |bytes: &[u8]| Kid::new(bytes).expect("short");
    Link { controller, device, controller_kid: kid(&[0x0c]), device_kid: kid(&[0x0d]) }
}

/// The keys of a session: `number` stands for its secret.
pub(crate) fn keys(number: u8) -> Keys {
    let exporter = |label: u16, context: &[u8], out: &mut [u8]| {
        assert!(context.is_empty() && out.len() == 29);
        let first = if label == Direction::Command.label() { 0x10 } else { 0x80 };
        out.iter_mut().zip(first..).for_each(|(byte, value): (_, u8)| *byte = value ^ number);
        Ok::<_, ()>(())
    };
    Keys::export(exporter).expect("never fails")
}

pub(crate) fn bolus(amount: u32) -> Order {
    let action =
        Action::Bolus { amount: MilliUnits(amount), concentration: Concentration::U100, bound: MilliUnits(5_000) };
    Order { action, evidence: Some(Evidence::from_bytes([0xe5; 16])) }
}

fn suspend() -> Order {
    Order { action: Action::Suspend { minutes: Minutes(30) }, evidence: None }
}

/// Two ends, and what the device remembers of its therapy.
struct Pair {
    commander: Commander,
    recipient: Recipient,
    now: u64,
    drawn: u64,
    bolus: Option<Receipt>,
}

impl Pair {
    fn new() -> Self {
        Self::with(Memory::default(), 0)
    }

    fn with(memory: Memory, floor: u64) -> Self {
        let link = link(CONTROLLER, DEVICE);
        let commander = Commander::new(keys(0), link, EPOCH, memory);
        Self { commander, recipient: Recipient::new(keys(0), link, EPOCH, floor), now: 0, drawn: 0, bolus: None }
    }

    fn ask(&mut self) -> Vec<u8> {
        let mut out = [0; MAX_LENGTH];
        self.commander.ask_challenge(&mut out, &RustCrypto).expect("room").to_vec()
    }

    /// The device's answer to a request for a challenge, if it takes the request.
    fn answer(&mut self, mut ask: Vec<u8>) -> Result<Vec<u8>, OpenError> {
        let Asked::Challenge(asked) = self.recipient.open(&mut ask, &RustCrypto)? else { panic!("asks otherwise") };
        self.drawn += 1;
        let drawn = Challenge::from_bytes(self.drawn.to_be_bytes());
        let standing = Standing { state: STATE, floor: self.recipient.highest(), bolus: self.bolus };
        let mut out = [0; MAX_LENGTH];
        let sealed = self.recipient.challenge(asked, drawn, standing, self.now, &mut out, &RustCrypto);
        Ok(sealed.expect("room").to_vec())
    }

    fn ready(&mut self) {
        let ask = self.ask();
        let mut answer = self.answer(ask).expect("in order");
        let told = self.commander.open(&mut answer, &RustCrypto).expect("authentic");
        assert!(matches!(told, Told::Ready(Standing { state: STATE, .. })));
    }

    fn seal(&mut self, order: Order) -> (u64, Vec<u8>) {
        let mut out = [0; MAX_LENGTH];
        let (counter, sealed) = self.commander.command(order, &mut out, &RustCrypto).expect("ready");
        (counter, sealed.to_vec())
    }

    fn open(&mut self, message: &[u8]) -> Result<Received, OpenError> {
        match self.recipient.open(&mut message.to_vec(), &RustCrypto)? {
            Asked::Command(received) => Ok(received),
            other => panic!("{other:?}"),
        }
    }

    /// Whether the device would judge and carry out this message now.
    fn admit(&mut self, message: &[u8]) -> Result<Fresh, Refusal> {
        let received = self.open(message).expect("authentic");
        self.recipient.admit(received, STATE, self.now, AGE)
    }

    fn tell(&mut self, counter: u64, outcome: Outcome) -> Told {
        let mut out = [0; MAX_LENGTH];
        let receipt = Receipt { counter, outcome, mark: None };
        let length = self.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").len();
        self.commander.open(&mut out[..length], &RustCrypto).expect("authentic")
    }
}

/// Shows REQ-SEAL-01: a command arrives as it was sealed, and its receipts come back.
#[test]
fn a_command_goes_out_and_its_receipts_come_back() {
    let mut pair = Pair::new();
    pair.ready();
    let (counter, message) = pair.seal(bolus(1_500));
    let fresh = pair.admit(&message).expect("timely");
    assert_eq!((fresh.counter(), fresh.controller()), (counter, CONTROLLER));
    assert_eq!((fresh.command().epoch, fresh.command().order), (EPOCH, bolus(1_500)));
    assert_eq!(pair.commander.unknown(), Some(counter));
    let told = pair.tell(counter, Outcome::Started);
    assert_eq!(told, Told::Receipt(Receipt { counter, outcome: Outcome::Started, mark: None }));
    assert_eq!(pair.commander.unknown(), Some(counter), "its outcome is not known yet");
    pair.tell(counter, Outcome::Done { delivered: MilliUnits(1_500) });
    assert_eq!(pair.commander.unknown(), None);
}

/// Shows REQ-SEAL-02: messages are small.
#[test]
fn sealed_messages_are_small() {
    let mut pair = Pair::new();
    let ask = pair.ask();
    let challenge = pair.answer(ask.clone()).expect("in order");
    pair.commander.open(&mut challenge.clone(), &RustCrypto).expect("authentic");
    let (counter, with_evidence) = pair.seal(bolus(1_500));
    pair.tell(counter, Outcome::Done { delivered: MilliUnits(1_500) });
    pair.ready();
    let (_, without) = pair.seal(Order { evidence: None, ..bolus(1_500) });
    let mut out = [0; MAX_LENGTH];
    let receipt = Receipt { counter, outcome: Outcome::Done { delivered: MilliUnits(1_500) }, mark: None };
    let receipt = pair.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").len();
    println!(
        "bytes: request {}, challenge {}, bolus {} ({} with evidence), receipt {receipt}",
        ask.len(),
        challenge.len(),
        without.len(),
        with_evidence.len()
    );
    // A seal costs 32 bytes: 20 bytes of command would take 52.
    assert!(without.len() <= 60 && with_evidence.len() <= 76, "{} and {}", without.len(), with_evidence.len());
    assert!(ask.len() <= 34 && challenge.len() <= 50 && receipt <= 42);
}

/// Shows REQ-SEAL-03: no byte of a sealed message can be changed, none be cut off or added; nothing changes by trying.
#[test]
fn changed_messages_are_never_opened() {
    let mut pair = Pair::new();
    pair.ready();
    let (counter, message) = pair.seal(bolus(1_500));
    for at in 0..message.len() {
        for bit in 0..8 {
            let mut changed = message.clone();
            changed[at] ^= 1 << bit;
            assert!(pair.open(&changed).is_err(), "byte {at}, bit {bit}");
        }
        assert!(pair.open(&message[..at]).is_err(), "cut to {at}");
    }
    assert!(pair.open(&[message.as_slice(), &[0]].concat()).is_err());
    pair.admit(&message).expect("nothing changed by what was tried");
    let mut out = [0; MAX_LENGTH];
    let receipt = Receipt { counter, outcome: Outcome::Started, mark: Some(Code::ExpiredWithinGrace) };
    let mut receipt = pair.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").to_vec();
    for at in 0..receipt.len() {
        let mut changed = receipt.clone();
        changed[at] ^= 0x55;
        assert!(pair.commander.open(&mut changed, &RustCrypto).is_err(), "byte {at}");
        assert!(pair.commander.open(&mut receipt[..at].to_vec(), &RustCrypto).is_err(), "cut to {at}");
    }
    pair.commander.open(&mut receipt, &RustCrypto).expect("nothing changed by what was tried");
}

/// Shows REQ-SEAL-04: a message opens at its recipient only: not at another device, from another controller, in another
/// session, or at its maker.
#[test]
fn readdressed_and_reflected_messages_are_never_opened() {
    let mut pair = Pair::new();
    pair.ready();
    let (counter, command) = pair.seal(bolus(1_500));
    let other = DeviceId::from_bytes([0xd1; 16]);
    // Even with the same keys: who talks to whom is authenticated.
    for link in [link(CONTROLLER, other), link(other, DEVICE), link(DEVICE, CONTROLLER)] {
        let mut recipient = Recipient::new(keys(0), link, EPOCH, 0);
        assert_eq!(recipient.open(&mut command.clone(), &RustCrypto).err(), Some(OpenError::Forged));
    }
    let mut later = Recipient::new(keys(1), link(CONTROLLER, DEVICE), EPOCH, 0);
    assert_eq!(later.open(&mut command.clone(), &RustCrypto).err(), Some(OpenError::Forged));
    // Back to its maker, under either identifier.
    assert_eq!(pair.commander.open(&mut command.clone(), &RustCrypto).err(), Some(OpenError::Forged));
    let mut renamed = command;
    let kid = renamed.iter().position(|byte| *byte == 0x0d).expect("the identifier of the device");
    renamed[kid] = 0x0c;
    assert_eq!(Kid::of(&renamed).map(|kid| kid.as_bytes().to_vec()), Some(vec![0x0c]));
    assert_eq!(pair.commander.open(&mut renamed, &RustCrypto).err(), Some(OpenError::Forged));
    let mut out = [0; MAX_LENGTH];
    let receipt = Receipt { counter, outcome: Outcome::Started, mark: None };
    let mut receipt = pair.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").to_vec();
    let kid = receipt.iter().position(|byte| *byte == 0x0c).expect("the identifier of the controller");
    receipt[kid] = 0x0d;
    assert_eq!(pair.recipient.open(&mut receipt, &RustCrypto).err(), Some(OpenError::Forged));
}

/// Shows REQ-SEAL-05: a challenge is used once; a replayed command is not admitted, even before anything else happened.
#[test]
fn a_replayed_command_is_void() {
    let mut pair = Pair::new();
    pair.ready();
    let (_, message) = pair.seal(bolus(1_500));
    pair.admit(&message).expect("timely");
    assert_eq!(pair.admit(&message).err(), Some(Refusal::Voided));
    pair.ready();
    assert_eq!(pair.admit(&message).err(), Some(Refusal::Voided));
}

/// Shows REQ-SEAL-06: a command that was held back longer than the device allows is refused, by the device's own ticks.
#[test]
fn a_delayed_command_is_refused() {
    for (delay, expected) in [(AGE, None), (AGE + 1, Some(Refusal::Challenge)), (u64::MAX, Some(Refusal::Challenge))] {
        let mut pair = Pair::new();
        pair.ready();
        let (_, message) = pair.seal(bolus(1_500));
        pair.now = pair.now.saturating_add(delay);
        assert_eq!(pair.admit(&message).err(), expected, "{delay} ms");
        assert!(pair.admit(&message).is_err(), "the challenge is used up");
    }
}

/// Shows REQ-SEAL-07: a halt voids the treats sent before it, whichever arrives first; so does every later message.
#[test]
fn what_was_overtaken_is_void() {
    let mut pair = Pair::new();
    pair.ready();
    let (treat, treat_message) = pair.seal(bolus(1_500));
    // The carrier holds the bolus back; the controller asks for another challenge and suspends.
    pair.ready();
    let (halt, halt_message) = pair.seal(suspend());
    assert!(halt > treat);
    pair.admit(&halt_message).expect("a halt is timely");
    assert_eq!(pair.admit(&treat_message).err(), Some(Refusal::Voided));
    // The controller hears of both, and may go on.
    assert_eq!(pair.commander.unknown(), Some(treat));
    pair.tell(halt, Outcome::Done { delivered: MilliUnits(0) });
    pair.tell(treat, Outcome::Refused(Refusal::Voided));
    assert_eq!((pair.commander.unknown(), pair.commander.unknown_halt()), (None, None));
    // A request alone voids too: before the challenge it brings, and before the receipt it asks for.
    pair.ready();
    let (_, message) = pair.seal(bolus(100));
    let ask = pair.ask();
    pair.answer(ask).expect("in order");
    assert_eq!(pair.admit(&message).err(), Some(Refusal::Voided));
}

/// Shows REQ-SEAL-08: a halt of another controller changes the state of therapy, and treats made before it are refused;
/// the halt itself is admitted in every state.
#[test]
fn a_treat_made_for_another_state_is_refused_and_a_halt_is_not() {
    for (order, expected) in [(bolus(1_500), Some(Refusal::State)), (suspend(), None)] {
        let mut pair = Pair::new();
        pair.ready();
        let (_, message) = pair.seal(order);
        let received = pair.open(&message).expect("authentic");
        let admitted = pair.recipient.admit(received, StateVersion(STATE.0 + 1), pair.now, AGE);
        assert_eq!(admitted.err(), expected);
    }
}

/// Shows REQ-SEAL-09: a command under another bond epoch is refused, and so is one with a challenge that is not open.
#[test]
fn another_epoch_or_challenge_is_refused() {
    let mut pair = Pair::new();
    pair.ready();
    let (_, message) = pair.seal(bolus(1_500));
    pair.recipient.void();
    assert_eq!(pair.admit(&message).err(), Some(Refusal::Challenge));
    let mut pair = Pair::new();
    pair.commander = Commander::new(keys(0), link(CONTROLLER, DEVICE), EPOCH - 1, Memory::default());
    pair.ready();
    let (_, message) = pair.seal(bolus(1_500));
    assert_eq!(pair.admit(&message).err(), Some(Refusal::Epoch));
}

/// Shows REQ-SEAL-10: no second bolus is sealed while the outcome of one is unknown, also after the controller lost its
/// memory or the session; a halt always is.
#[test]
fn no_second_bolus_while_one_is_unknown() {
    let mut pair = Pair::new();
    pair.ready();
    let (first, _) = pair.seal(bolus(1_500));
    pair.ready();
    let mut out = [0; MAX_LENGTH];
    let unknown = Some(SealError::Unknown(first));
    assert_eq!(pair.commander.command(bolus(1), &mut out, &RustCrypto).err(), unknown);
    let basal = Action::TemporaryBasal {
        rate: Rate(500),
        minutes: Minutes(30),
        concentration: Concentration::U100,
        bound: MilliUnits(1_000),
    };
    let basal = Order { action: basal, evidence: None };
    assert_eq!(pair.commander.command(basal, &mut out, &RustCrypto).err(), unknown, "nothing was heard of it");
    pair.tell(first, Outcome::Started);
    assert_eq!(pair.commander.command(bolus(1), &mut out, &RustCrypto).err(), unknown);
    let memory = pair.commander.memory();
    assert_eq!((memory.unknown, memory.bolus), (None, Some(first)));
    pair.commander.command(basal, &mut out, &RustCrypto).expect("the bolus is known to have begun");
    pair.ready();
    pair.commander.command(suspend(), &mut out, &RustCrypto).expect("a halt is always possible");

    // Another session, with its memory.
    let mut later = Pair::with(memory, 20);
    later.ready();
    assert_eq!(later.commander.command(bolus(1), &mut out, &RustCrypto).err(), unknown);
    later.tell(first, Outcome::Uncertain { at_most: MilliUnits(1_500) });
    later.commander.command(bolus(1), &mut out, &RustCrypto).expect("the outcome is final: counted in full");

    // Another session, without: the device says what was forgotten. A number it has seen is not taken again.
    let mut low = Pair::with(Memory::default(), 20);
    let (mut low_ask, mut out_low) = (low.ask(), [0; MAX_LENGTH]);
    let Ok(Asked::Challenge(asked)) = low.recipient.open(&mut low_ask, &RustCrypto) else { panic!("asks otherwise") };
    let standing = Standing { state: STATE, floor: 0, bolus: None };
    let drawn = Challenge::from_bytes([9; 8]);
    let mut wrong =
        low.recipient.challenge(asked, drawn, standing, 0, &mut out_low, &RustCrypto).expect("room").to_vec();
    low.commander.open(&mut wrong, &RustCrypto).expect("authentic");
    let (number, message) = low.seal(bolus(1));
    assert_eq!((number, low.admit(&message).err()), (2, Some(Refusal::Voided)));
    let mut lost = Pair::with(Memory::default(), 20);
    lost.bolus = Some(Receipt { counter: first, outcome: Outcome::Started, mark: None });
    lost.ready();
    assert_eq!(lost.commander.command(bolus(1), &mut out, &RustCrypto).err(), unknown);
    lost.tell(first, Outcome::Done { delivered: MilliUnits(1_500) });
    let (next, _) = lost.commander.command(bolus(1), &mut out, &RustCrypto).expect("it is settled");
    assert!(next > 20, "numbers go on above what the device has seen");
}

/// Shows REQ-SEAL-11: the same counter is the same bytes; a nonce is never used for two messages.
#[test]
fn sent_again_is_byte_for_byte_the_same() {
    let mut pair = Pair::new();
    pair.ready();
    let (counter, message) = pair.seal(bolus(1_500));
    let mut out = [0; MAX_LENGTH];
    let again = pair.commander.again(counter, &mut out, &RustCrypto).expect("room").expect("it waits");
    assert_eq!(again, message);
    pair.tell(counter, Outcome::Refused(Refusal::Cumulative));
    assert_eq!(pair.commander.again(counter, &mut out, &RustCrypto), Ok(None), "it waits no more");
    // A thousand messages each way have a thousand numbers.
    let mut seen = std::collections::HashSet::new();
    for _ in 0..if cfg!(miri) { 5 } else { 300 } {
        let ask = pair.ask();
        assert!(seen.insert(ask[..17].to_vec()));
        let mut answer = pair.answer(ask).expect("in order");
        assert!(seen.insert(answer[..17].to_vec()));
        pair.commander.open(&mut answer, &RustCrypto).expect("authentic");
        let asked = pair.commander.ask_receipt(counter, &mut out, &RustCrypto).expect("room");
        assert!(seen.insert(asked[..17].to_vec()));
    }
}

/// Shows REQ-SEAL-12: receipts that came before, or were overtaken, and answers nobody asked for change nothing.
#[test]
fn old_receipts_and_unasked_answers_are_dropped() {
    let mut pair = Pair::new();
    pair.ready();
    let (counter, message) = pair.seal(bolus(1_500));
    pair.admit(&message).expect("timely");
    let sealed = |pair: &mut Pair, outcome| {
        let mut out = [0; MAX_LENGTH];
        let receipt = Receipt { counter, outcome, mark: None };
        pair.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").to_vec()
    };
    let mut started = sealed(&mut pair, Outcome::Started);
    let mut done = sealed(&mut pair, Outcome::Done { delivered: MilliUnits(900) });
    pair.commander.open(&mut done.clone(), &RustCrypto).expect("authentic");
    assert_eq!(pair.commander.open(&mut started, &RustCrypto), Err(OpenError::Replayed));
    assert_eq!(pair.commander.open(&mut done, &RustCrypto), Err(OpenError::Replayed));
    // Two requests, of which the answer to the first is late.
    let first = pair.ask();
    let mut late = pair.answer(first.clone()).expect("in order");
    let second = pair.ask();
    assert_eq!(pair.commander.open(&mut late, &RustCrypto), Err(OpenError::NotAsked));
    assert!(!pair.commander.is_ready());
    pair.answer(second).expect("in order");
    assert_eq!(pair.answer(first).err(), Some(OpenError::Replayed), "a request is answered once");
}

/// Shows REQ-SEAL-13: who asks for the receipt of a command that never arrived makes it void, and is told so.
#[test]
fn asking_for_a_lost_command_settles_it() {
    let mut pair = Pair::new();
    pair.ready();
    let (counter, lost) = pair.seal(bolus(1_500));
    let mut out = [0; MAX_LENGTH];
    let mut ask = pair.commander.ask_receipt(counter, &mut out, &RustCrypto).expect("room").to_vec();
    let Ok(Asked::Receipt(asked)) = pair.recipient.open(&mut ask, &RustCrypto) else { panic!("a receipt is asked") };
    assert_eq!(asked, counter);
    let outcome = pair.recipient.refused(asked).outcome;
    assert_eq!(outcome, Outcome::Refused(Refusal::Voided));
    assert_eq!(pair.admit(&lost).err(), Some(Refusal::Voided), "and it stays so");
    pair.tell(counter, outcome);
    assert_eq!(pair.commander.unknown(), None);
}

#[test]
fn every_refusal_has_its_own_number_and_name() {
    let all = Refusal::OWN.into_iter().chain(Code::ALL.map(Refusal::Denied));
    let mut seen = std::collections::HashSet::new();
    for refusal in all {
        assert_eq!(Refusal::from_number(refusal.number()), Some(refusal));
        assert!(seen.insert(refusal.as_str().to_owned()), "{refusal} twice");
    }
    assert_eq!((Refusal::from_number(0), Refusal::from_number(63), Refusal::from_number(77)), (None, None, None));
}

fn action() -> impl Strategy<Value = Action> {
    let amount = || any::<u32>().prop_map(MilliUnits);
    let minutes = || any::<u16>().prop_map(Minutes);
    let concentration = || any::<u16>().prop_map(Concentration);
    prop_oneof![
        (amount(), concentration(), amount()).prop_map(|(amount, concentration, bound)| Action::Bolus {
            amount,
            concentration,
            bound
        }),
        (any::<u32>().prop_map(Rate), minutes(), concentration(), amount()).prop_map(
            |(rate, minutes, concentration, bound)| Action::TemporaryBasal { rate, minutes, concentration, bound }
        ),
        Just(Action::Resume),
        minutes().prop_map(|minutes| Action::Suspend { minutes }),
        ((1_u8..=100).prop_map(Percent), minutes()).prop_map(|(percent, minutes)| Action::Reduce { percent, minutes }),
        any::<(u16, u32)>().prop_map(|(setting, value)| Action::Set { setting, value }),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        (0_u8..=80).prop_filter_map("a number of a refusal", Refusal::from_number).prop_map(Outcome::Refused),
        Just(Outcome::Started),
        any::<u32>().prop_map(|amount| Outcome::Done { delivered: MilliUnits(amount) }),
        any::<u32>().prop_map(|amount| Outcome::Uncertain { at_most: MilliUnits(amount) }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: if cfg!(miri) { 4 } else { 256 }, failure_persistence: None, ..ProptestConfig::default() })]

    /// Shows REQ-SEAL-14: whatever is sealed is opened as it was, at every size of number.
    #[test]
    fn what_is_sealed_is_opened(
        action in action(), evidence in any::<Option<[u8; 16]>>(), next in 1_u64..0xff_ffff_fff0,
        outcome in outcome(), mark in prop::option::of(prop::sample::select(Code::ALL.to_vec()))
    ) {
        let mut pair = Pair::with(Memory { next, ..Memory::default() }, 0);
        pair.ready();
        let order = Order { action, evidence: evidence.map(Evidence::from_bytes) };
        let (counter, message) = pair.seal(order);
        prop_assert!(message.len() <= MAX_LENGTH);
        let received = pair.open(&message).expect("authentic");
        prop_assert_eq!(received.command().order, order);
        prop_assert_eq!((received.counter(), counter), (next + 1, next + 1));
        let receipt = Receipt { counter, outcome, mark };
        let mut out = [0; MAX_LENGTH];
        let length = pair.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").len();
        prop_assert_eq!(pair.commander.open(&mut out[..length], &RustCrypto), Ok(Told::Receipt(receipt)));
    }

    /// No bytes make either side panic.
    #[test]
    fn any_bytes_are_survived(mut bytes in prop::collection::vec(any::<u8>(), 0..150)) {
        let mut pair = Pair::new();
        prop_assert!(pair.recipient.open(&mut bytes.clone(), &RustCrypto).is_err());
        prop_assert!(pair.commander.open(&mut bytes, &RustCrypto).is_err());
    }
}
