//! Power goes at every instant of a day of commands, and again at every instant of what follows.
//!
//! What the world knows of a command (that its act began, how much was delivered) is kept outside the device, in
//! [`World`]; after each cut the device's own word is compared with it.

use crate::flash::{Cut, Nor, Tear};
use crate::scene::{EPOCH, Scene, limits};
use medlock_device::command::{Act, Reception, Reply, Running};
use medlock_device::log::Area;
use medlock_device::platform::Ticks;
use medlock_proto::sealed::{
    Action, Asked, Challenge, Commander, Concentration, MAX_LENGTH, Memory, MilliUnits, Minutes, Order, Outcome, Rate,
    Recipient, Refusal, Told,
};
use medlock_rustcrypto::RustCrypto;
use std::collections::{BTreeMap, HashSet};

type Flash = Nor<1024, 8>;
const AREA: Area = Area { pages: 0..2, bank_pages: 1 };

/// What is true, whatever the device remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct World {
    /// Commands by counter.
    commands: BTreeMap<u64, Fact>,
    /// The highest floor the device ever claimed.
    floor: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Fact {
    message: Vec<u8>,
    session: u8,
    challenge: [u8; 8],
    state: u32,
    most: u32,
    /// How often the act began.
    begun: u32,
    delivered: u32,
    /// The outcome the device gave a receipt of.
    told: Option<u32>,
}

impl World {
    fn delivered(&self) -> u32 {
        self.commands.values().map(|fact| fact.delivered).sum()
    }

    fn fact(&mut self, counter: u64) -> &mut Fact {
        self.commands.get_mut(&counter).expect("it was sent")
    }
}

/// Power went.
struct Dark;

struct Boot<'s> {
    scene: &'s Scene,
    flash: Flash,
    world: World,
    reception: Reception,
    commander: Commander,
    recipient: Recipient,
    session: u8,
    now: u64,
}

impl<'s> Boot<'s> {
    /// The device starts, and a controller that forgot everything makes a session with it.
    fn start(scene: &'s Scene, mut flash: Flash, world: World, session: u8) -> Result<Self, Box<(Flash, World)>> {
        let Ok((reception, _)) = Reception::open(&mut flash, &AREA, limits()) else {
            return Err(Box::new((flash, world)));
        };
        let floor = reception.journal().floor(EPOCH);
        let (commander, recipient) = scene.session(session, Memory::default(), floor);
        Ok(Self { scene, flash, world, reception, commander, recipient, session, now: 1_000 })
    }

    fn lit(&self) -> Result<(), Dark> {
        if self.flash.has_power() { Ok(()) } else { Err(Dark) }
    }

    fn step(&mut self) -> Result<(), Dark> {
        if self.flash.step() { Ok(()) } else { Err(Dark) }
    }

    fn challenge(&mut self) -> [u8; 8] {
        let drawn = [self.session, self.now.to_le_bytes()[0], self.now.to_le_bytes()[1], 0, 0, 0, 0, 1];
        let (mut ask, mut answer) = ([0; MAX_LENGTH], [0; MAX_LENGTH]);
        let length = self.commander.ask_challenge(&mut ask, &RustCrypto).expect("room").len();
        let Ok(Asked::Challenge(asked)) = self.recipient.open(&mut ask[..length], &RustCrypto) else { panic!("asked") };
        let (now, drawn_now) = (Ticks::from_millis(self.now), Challenge::from_bytes(drawn));
        let sealed = self.reception.challenge(&mut self.recipient, asked, drawn_now, now, &mut answer, &RustCrypto);
        let length = sealed.expect("room").len();
        let told = self.commander.open(&mut answer[..length], &RustCrypto).expect("authentic");
        assert!(matches!(told, Told::Ready(_)));
        drawn
    }

    /// Sends a command and begins its act. `None` if it is refused.
    fn begin(&mut self, action: Action) -> Result<Option<(u64, Running)>, Dark> {
        self.now += 1_000;
        let challenge = self.challenge();
        let state = self.reception.state().0;
        let order = Order { action, evidence: None };
        let mut out = [0; MAX_LENGTH];
        let (counter, message) = self.commander.command(order, &mut out, &RustCrypto).expect("nothing is unknown");
        let fact = Fact {
            message: message.to_vec(),
            session: self.session,
            challenge,
            state,
            most: action.most().0,
            ..Fact::default()
        };
        // A controller that forgot everything may take a number again of which the device never knew.
        let before = self.world.commands.insert(counter, fact);
        assert!(before.is_none_or(|before| before.begun == 0), "number {counter} is used again");
        self.step()?;
        let Some(act) = self.receive(counter)? else { return Ok(None) };
        // A copy that the carrier kept, right behind the first.
        assert!(self.receive(counter)?.is_none(), "a duplicate was executed");
        self.step()?;
        self.world.fact(counter).begun += 1;
        let (running, receipt) = self.reception.started(act);
        self.learn(receipt);
        self.step()?;
        Ok(Some((counter, running)))
    }

    fn receive(&mut self, counter: u64) -> Result<Option<Act>, Dark> {
        let mut message = self.world.fact(counter).message.clone();
        let Ok(Asked::Command(received)) = self.recipient.open(&mut message, &RustCrypto) else { panic!("authentic") };
        let now = Ticks::from_millis(self.now);
        let scene = self.scene;
        let reply = self
            .reception
            .receive(&mut self.flash, &mut self.recipient, received, now, |_, operation| scene.judge(operation, true));
        self.lit()?;
        Ok(match reply {
            Reply::Act(act) => Some(act),
            Reply::Receipt(_) => None,
        })
    }

    fn deliver(&mut self, counter: u64, amount: u32) -> Result<(), Dark> {
        self.world.fact(counter).delivered += amount;
        self.step()
    }

    fn done(&mut self, (counter, running): (u64, Running)) -> Result<(), Dark> {
        self.now += 1_000;
        let delivered = self.world.fact(counter).delivered;
        let receipt =
            self.reception.done(&mut self.flash, running, MilliUnits(delivered), Ticks::from_millis(self.now));
        self.lit()?;
        assert_eq!(receipt.outcome, Outcome::Done { delivered: MilliUnits(delivered) });
        self.world.fact(counter).told = Some(delivered);
        self.learn(receipt);
        self.step()
    }

    fn learn(&mut self, receipt: medlock_proto::sealed::Receipt) {
        let mut out = [0; MAX_LENGTH];
        let length = self.recipient.receipt(&receipt, &mut out, &RustCrypto).expect("room").len();
        self.commander.open(&mut out[..length], &RustCrypto).expect("authentic");
    }

    /// A bolus cut short by a suspension, beside temporary basals that take over from one another.
    fn day(&mut self) -> Result<(), Dark> {
        let first = self.begin(basal(2_000))?.expect("nothing stands against it");
        self.deliver(first.0, 100)?;
        let bolus = self.begin(bolus(1_000))?.expect("nothing stands against it");
        self.deliver(bolus.0, 400)?;
        let next = self.begin(basal(1_000))?.expect("a place is free");
        self.done(first)?;
        self.deliver(next.0, 50)?;
        let halt = self.begin(Action::Suspend { minutes: Minutes(30) })?.expect("a halt is not held up");
        self.done(bolus)?;
        self.done(next)?;
        self.done(halt)?;
        self.reception.checkpoint(&mut self.flash, Ticks::from_millis(self.now)).map_err(|_| Dark)?;
        self.one_more()
    }

    fn one_more(&mut self) -> Result<(), Dark> {
        let Some(bolus) = self.begin(bolus(700))? else { return Ok(()) };
        self.deliver(bolus.0, 300)?;
        self.deliver(bolus.0, 400)?;
        self.done(bolus)
    }
}

fn bolus(amount: u32) -> Action {
    Action::Bolus { amount: MilliUnits(amount), concentration: Concentration::U100, bound: MilliUnits(5_000) }
}

fn basal(rate: u32) -> Action {
    let (minutes, bound) = (Minutes(30), MilliUnits(5_000));
    Action::TemporaryBasal { rate: Rate(rate), minutes, concentration: Concentration::U100, bound }
}

/// Compares what the device says after a clean boot with what is true, and returns both.
fn compare(scene: &Scene, mut flash: Flash, mut world: World) -> (Flash, World) {
    flash.boot(None);
    let (mut reception, recovered) = Reception::open(&mut flash, &AREA, limits()).expect("a journal");
    let floor = reception.journal().floor(EPOCH);
    assert!(floor >= world.floor, "the counter went back");
    world.floor = floor;
    let (_, recipient) = scene.session(200, Memory::default(), floor);
    let uncertain: HashSet<u64> = recovered.uncertain().map(|intent| intent.counter).collect();
    for (counter, fact) in &world.commands {
        let outcome = reception.receipt(&recipient, *counter).outcome;
        assert!(fact.begun <= 1, "command {counter} was executed {} times", fact.begun);
        assert!(!uncertain.contains(counter) || matches!(outcome, Outcome::Uncertain { .. }));
        match (fact.told, outcome) {
            (Some(told), Outcome::Done { delivered }) => assert_eq!(delivered.0, told),
            (None, Outcome::Uncertain { at_most }) => assert_eq!(at_most.0, fact.most),
            // The outcome was written, and power went before anybody heard.
            (None, Outcome::Done { delivered }) => assert_eq!((delivered.0, fact.begun), (fact.delivered, 1)),
            (None, Outcome::Refused(Refusal::Voided)) => assert_eq!(fact.begun, 0, "the act of {counter} is forgotten"),
            (told, outcome) => panic!("command {counter}: {outcome:?}, and {told:?} was told before"),
        }
        assert!(fact.begun == 0 || floor >= *counter);
    }
    let counted = reception.journal().delivered(Ticks::default()).0;
    let most: u32 = world.commands.values().map(|fact| fact.most).sum();
    assert!(counted >= world.delivered(), "{counted} counted, {} delivered", world.delivered());
    assert!(counted <= most, "{counted} counted, {most} commanded");
    (flash, world)
}

/// Someone kept every message and, against all that is possible, also the keys, the numbers and the challenges: only the
/// journal stands between him and a second execution.
fn replay_with_everything(scene: &Scene, flash: &Flash, world: &World) {
    for (counter, fact) in &world.commands {
        let mut flash = flash.clone();
        let (mut reception, _) = Reception::open(&mut flash, &AREA, limits()).expect("a journal");
        while reception.state().0 != fact.state {
            reception.therapy_changed();
        }
        let (mut commander, mut recipient) = scene.session(fact.session, Memory::default(), 0);
        let (mut ask, mut answer) = ([0; MAX_LENGTH], [0; MAX_LENGTH]);
        let length = commander.ask_challenge(&mut ask, &RustCrypto).expect("room").len();
        let Ok(Asked::Challenge(asked)) = recipient.open(&mut ask[..length], &RustCrypto) else { panic!("asked") };
        let (now, drawn) = (Ticks::from_millis(10), Challenge::from_bytes(fact.challenge));
        reception.challenge(&mut recipient, asked, drawn, now, &mut answer, &RustCrypto).expect("room");
        let mut message = fact.message.clone();
        let Ok(Asked::Command(received)) = recipient.open(&mut message, &RustCrypto) else { panic!("authentic") };
        let reply =
            reception.receive(&mut flash, &mut recipient, received, now, |_, operation| scene.judge(operation, true));
        let executed = matches!(reply, Reply::Act(_));
        assert!(!executed || fact.begun == 0, "command {counter} was executed again");
    }
}

fn formatted() -> Flash {
    let mut flash = Flash::new(2);
    Reception::format(&mut flash, &AREA).expect("power");
    flash
}

/// Runs `work` of a boot with a cut, and says whether power went.
fn cut(
    scene: &Scene,
    (mut flash, world): (Flash, World),
    session: u8,
    at: Option<Cut>,
    work: impl FnOnce(&mut Boot<'_>) -> Result<(), Dark>,
) -> (Flash, World, bool) {
    flash.boot(at);
    match Boot::start(scene, flash, world, session) {
        Ok(mut boot) => {
            let _ = work(&mut boot);
            let went = !boot.flash.has_power();
            (boot.flash, boot.world, went)
        }
        Err(dark) => {
            let (flash, world) = *dark;
            let went = !flash.has_power();
            (flash, world, went)
        }
    }
}

/// Shows REQ-SEAL-23: wherever power goes, a command is executed at most once, what was delivered is counted, counters do
/// not go back, what is not known is said to be uncertain, and the device goes on; and the same wherever power goes again.
#[test]
fn power_goes_at_every_instant() {
    let scene = Scene::new();
    let (mut cuts, mut nested, mut states) = (0_usize, 0_usize, HashSet::new());
    for event in 0.. {
        let mut reached = false;
        for tear in Tear::ALL {
            let (flash, world, went) =
                cut(&scene, (formatted(), World::default()), 1, Some(Cut { event, tear }), |boot| boot.day());
            if !went {
                continue;
            }
            (reached, cuts) = (true, cuts + 1);
            if !states.insert((flash.bytes().to_vec(), world.clone())) {
                continue;
            }
            nested += again(&scene, &flash, &world);
            let (flash, world) = compare(&scene, flash, world);
            replay_with_everything(&scene, &flash, &world);
            let (flash, world, went) = cut(&scene, (flash, world), 2, None, |boot| boot.one_more());
            assert!(!went);
            let goes_on = world.commands.values().any(|fact| fact.session == 2 && fact.told == Some(700));
            assert!(goes_on, "the device does not go on");
            compare(&scene, flash, world);
        }
        if !reached {
            break;
        }
    }
    println!(
        "power went {cuts} times in a day of commands ({} different states), and {nested} times after",
        states.len()
    );
    assert!(cuts >= 300 && nested >= 10_000, "{cuts} and {nested}");
}

/// Power returns, and goes again at every instant of the recovery and of the next command.
fn again(scene: &Scene, flash: &Flash, world: &World) -> usize {
    let (mut cuts, mut states) = (0, HashSet::new());
    for event in 0.. {
        let mut reached = false;
        for tear in Tear::ALL {
            let start = (flash.clone(), world.clone());
            let (flash, world, went) = cut(scene, start, 2, Some(Cut { event, tear }), |boot| boot.one_more());
            if !went {
                continue;
            }
            (reached, cuts) = (true, cuts + 1);
            if states.insert((flash.bytes().to_vec(), world.clone())) {
                compare(scene, flash, world);
            }
        }
        if !reached {
            break;
        }
    }
    cuts
}
