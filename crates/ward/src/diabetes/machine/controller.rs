//! The firmware of a dosing controller: it listens to a sensor, applies its rule, and commands a pump.

use super::rig::{Firmware, Rig, hex, say};
use super::sensor::measured;
use super::words::{Command, Do, Said};
use super::{Error, Options, programmed_basal};
use crate::diabetes::clarity::Measured;
use crate::diabetes::dosing::{self, Advice, Dose, Settings, TEMPORARY_MINUTES};
use crate::diabetes::sensor::INTERVAL_MINUTES;
use crate::diabetes::units::{Insulin, Rate};
use medlock_device::platform::Ticks;
use medlock_device::{CallId, Event, Method, Peer, Resource, Status};
use medlock_node::files;
use medlock_proto::reading::{Evidence, Reading, Readings};
use medlock_proto::sealed::{
    self, Action, Commander, Concentration, MAX_LENGTH, Memory, MilliUnits, Minutes, Order, Outcome, Receipt, Refusal,
    SealError, Told,
};
use medlock_trust::{DeviceId, Operation, Permit};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::path::PathBuf;

/// How many readings are kept: a day of them.
const KEPT: usize = 288;
/// What this controller commands at most, as it writes into each command: a slip beyond it is refused at the pump.
const BOUND: MilliUnits = MilliUnits(6_000);
/// How long to wait, in ticks, before asking again what came of a bolus.
const ASK_AGAIN_MILLIS: u64 = 20_000;
/// How often the lease is kept alive, in ticks.
const SUSTAIN_MILLIS: u64 = 20 * 60_000;
/// How often a command is made anew because therapy changed while it was made.
const TRIES: u8 = 3;

/// What must not be forgotten about the pump.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Kept {
    device: [u8; 16],
    epoch: u64,
    next: u64,
    unknown: Option<u64>,
    bolus: Option<u64>,
}

/// The pump, while a session with it stands.
struct Pump {
    peer: Peer,
    commander: Commander,
    step: Step,
}

/// What is being waited for.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Idle,
    Challenge { call: CallId, wish: Wish },
    Command { call: CallId, wish: Wish },
    Receipt { call: CallId },
}

/// A command that is to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Wish {
    command: Command,
    hold: bool,
    tries: u8,
}

struct Controller {
    file: PathBuf,
    kept: Kept,
    settings: Settings,
    readings: VecDeque<dosing::Reading>,
    evidence: Vec<(DeviceId, Reading)>,
    doses: Vec<Dose>,
    rate: Rate,
    pump: Option<Pump>,
    wishes: VecDeque<Wish>,
    /// A sealed command was not sent: asking for its receipt would void it.
    holding: bool,
    asked: Ticks,
    sustained: Ticks,
}

pub(super) fn firmware(options: &Options) -> Result<Box<dyn Firmware>, Error> {
    let file = options.folder.join("pump.json");
    let kept = match std::fs::read(&file) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| Error::Start(error.to_string()))?,
        Err(_) => Kept::default(),
    };
    let settings = Settings::for_basal(programmed_basal(options.seed));
    Ok(Box::new(Controller {
        file,
        kept,
        settings,
        readings: VecDeque::new(),
        evidence: Vec::new(),
        doses: Vec::new(),
        rate: settings.basal,
        pump: None,
        wishes: VecDeque::new(),
        holding: false,
        asked: Ticks::default(),
        sustained: Ticks::default(),
    }))
}

impl Firmware for Controller {
    fn on_event(&mut self, rig: &mut Rig<'_>, event: Event<'_>) {
        match event {
            Event::Connected { peer, device, initiated: true } if *device.as_bytes() == self.kept.device => {
                let Kept { epoch, next, unknown, bolus, .. } = self.kept;
                let commander = rig.core.commander(peer, epoch, Memory { next, unknown, bolus });
                self.pump = commander.map(|commander| Pump { peer, commander, step: Step::Idle });
            }
            Event::Connected { peer, initiated: true, .. } => {
                if let Err(why) = rig.call(peer, Method::Observe, Resource::Readings, &[]) {
                    say(&Said::Unanswered { why });
                }
            }
            Event::Closed { peer, why, .. } if self.pump.as_ref().is_some_and(|pump| pump.peer == peer) => {
                self.lose_pump(why.to_string());
            }
            Event::Readings { peer, permit, payload, .. } => self.hear(rig, peer, &permit, payload),
            Event::Answered { call, status, payload, .. } => self.answered(rig, call, status, payload),
            Event::Unanswered { call, why } => {
                if let Some(pump) = self.pump.as_mut().filter(|pump| pump.step.waits_for(call)) {
                    pump.step = Step::Idle;
                    say(&Said::Unanswered { why: why.to_string() });
                }
            }
            _ => {}
        }
    }

    fn on_do(&mut self, rig: &mut Rig<'_>, what: Do) -> Result<String, String> {
        match what {
            Do::Pump { device, epoch } => {
                let device = super::rig::identifier(&device)?;
                self.kept = Kept { device, epoch, ..Kept::default() };
                self.keep()?;
            }
            Do::Advise => return Ok(self.advise(rig)),
            Do::Command { command, hold } => {
                self.pump.as_ref().ok_or("there is no session with the pump")?;
                self.wishes.push_back(Wish { command, hold, tries: 0 });
            }
            Do::AskReceipt => self.ask_receipt(rig)?,
            _ => return Err("a controller does no such thing".to_owned()),
        }
        Ok(String::new())
    }

    fn on_time(&mut self, rig: &mut Rig<'_>) -> Option<Ticks> {
        let now = rig.clock.now();
        let idle = self.pump.as_ref().is_some_and(|pump| pump.step == Step::Idle);
        if !idle {
            return None;
        }
        if let Some(wish) = self.wishes.pop_front() {
            self.begin(rig, wish);
        } else if self.kept.bolus.is_some() && !self.holding && now.millis_since(self.asked) > ASK_AGAIN_MILLIS {
            // A call that cannot be made now is made later.
            let _ = self.ask_receipt(rig);
        } else if now.millis_since(self.sustained) > SUSTAIN_MILLIS {
            self.sustained = now;
            if let Some(pump) = &self.pump {
                let _ = rig.call(pump.peer, Method::Post, Resource::Lease, &[]);
            }
        }
        None
    }
}

impl Step {
    fn waits_for(&self, wanted: CallId) -> bool {
        match self {
            Self::Idle => false,
            Self::Challenge { call, .. } | Self::Command { call, .. } | Self::Receipt { call } => *call == wanted,
        }
    }
}

impl Controller {
    /// The session with the pump ended: what was asked in it is not answered.
    fn lose_pump(&mut self, why: String) {
        if self.pump.take().is_some_and(|pump| pump.step != Step::Idle) {
            say(&Said::Unanswered { why });
        }
    }

    /// Takes readings: what may not feed therapy is kept as such.
    fn hear(&mut self, rig: &mut Rig<'_>, peer: Peer, permit: &Permit, payload: &[u8]) {
        let Some(newest) = Readings::read(payload).ok().and_then(Iterator::last) else { return };
        let mark = permit.mark().or(newest.mark);
        let automatic = permit.operation() == Operation::Inform && mark.is_none();
        let measured = measured(&newest);
        if let Some(measured) = measured {
            if self.readings.len() == KEPT {
                self.readings.pop_front();
            }
            let minute = minute(rig.clock.now());
            self.readings.push_back(dosing::Reading { minute, measured, automatic });
            if let Some(source) = rig.core.identified(peer) {
                self.evidence = vec![(source.device(), newest)];
            }
        }
        let mg_dl = match measured {
            Some(Measured::Value(value)) => Some(value.mg_dl()),
            Some(Measured::Low | Measured::High) | None => None,
        };
        let mark = mark.map(|mark| mark.as_str().to_owned());
        let device = rig.core.identified(peer).map(|sensor| hex(sensor.device())).unwrap_or_default();
        say(&Said::Reading { device, mg_dl, operation: permit.operation().name().to_owned(), mark });
    }

    /// Applies the rule; what follows is commanded.
    fn advise(&mut self, rig: &Rig<'_>) -> String {
        let now = minute(rig.clock.now());
        let above = self.rate.units_per_hour() - self.settings.basal.units_per_hour();
        self.doses.push(Dose { minute: now, units: above * INTERVAL_MINUTES as f64 / 60.0 });
        let readings = self.readings.make_contiguous();
        let advice = dosing::advise(&self.settings, readings, &self.doses, self.kept.bolus.is_some(), now);
        let treats = match advice {
            Advice::Nothing(_) => false,
            Advice::Treat { rate, bolus } => {
                let bolus = bolus.map(|amount| Command::Bolus { amount });
                let basal = Command::Temporary { rate, minutes: TEMPORARY_MINUTES as u16 };
                let commands = bolus.into_iter().chain([basal]);
                self.wishes.extend(commands.map(|command| Wish { command, hold: false, tries: 0 }));
                true
            }
        };
        let text = format!("{advice:?}");
        say(&Said::Advice { text: text.clone(), treats });
        text
    }

    /// Asks for a challenge, for one command.
    fn begin(&mut self, rig: &mut Rig<'_>, wish: Wish) {
        let mut out = [0; MAX_LENGTH];
        let Some(pump) = &mut self.pump else { return };
        let is_halt = action(wish.command).operation() == Operation::Halt;
        if let Some(unknown) = pump.commander.memory().unknown.filter(|_| !is_halt) {
            say(&Said::NotSealed { why: format!("the outcome of command {unknown} is unknown") });
            return;
        }
        let sealed = pump.commander.ask_challenge(&mut out, rig.core.crypto()).map(<[u8]>::to_vec);
        self.post(rig, Resource::Challenge, sealed, |call| Step::Challenge { call, wish });
    }

    fn ask_receipt(&mut self, rig: &mut Rig<'_>) -> Result<(), String> {
        (self.asked, self.holding) = (rig.clock.now(), false);
        let mut out = [0; MAX_LENGTH];
        let pump = self.pump.as_mut().ok_or("there is no session with the pump")?;
        let counter = pump.commander.unknown().ok_or("nothing is unknown")?;
        let sealed = pump.commander.ask_receipt(counter, &mut out, rig.core.crypto()).map(<[u8]>::to_vec);
        self.post(rig, Resource::Receipt, sealed, |call| Step::Receipt { call });
        Ok(())
    }

    /// Sends what was sealed; what must be remembered is written down before.
    fn post(
        &mut self,
        rig: &mut Rig<'_>,
        resource: Resource,
        sealed: Result<Vec<u8>, SealError>,
        step: impl FnOnce(CallId) -> Step,
    ) {
        let posted = sealed.map_err(|why| why.to_string()).and_then(|message| {
            self.remember()?;
            let pump = self.pump.as_mut().ok_or("there is no session with the pump")?;
            pump.step = step(rig.call(pump.peer, Method::Post, resource, &message)?);
            Ok(())
        });
        if let Err(why) = posted {
            say(&Said::NotSealed { why });
        }
    }

    fn answered(&mut self, rig: &mut Rig<'_>, call: CallId, status: Status, payload: &[u8]) {
        let Some(pump) = self.pump.as_mut().filter(|pump| pump.step.waits_for(call)) else { return };
        let step = std::mem::replace(&mut pump.step, Step::Idle);
        if status != Status::Done {
            return say(&Said::Unanswered { why: status.to_string() });
        }
        let mut message = payload.to_vec();
        let told = match pump.commander.open(&mut message, rig.core.crypto()) {
            Ok(told) => told,
            Err(why) => return say(&Said::Unanswered { why: why.to_string() }),
        };
        if let Err(why) = self.remember() {
            return say(&Said::Unanswered { why });
        }
        match (told, step) {
            (Told::Ready(_), Step::Challenge { wish, .. }) => self.command(rig, wish),
            (Told::Ready(_), _) => {}
            (Told::Receipt(receipt), Step::Command { wish, .. }) => self.receipt(&receipt, Some(wish)),
            (Told::Receipt(receipt), _) => self.receipt(&receipt, None),
        }
    }

    fn command(&mut self, rig: &mut Rig<'_>, wish: Wish) {
        let mut out = [0; MAX_LENGTH];
        let crypto = rig.core.crypto();
        let evidence = (!self.evidence.is_empty()).then(|| Evidence::of(&self.evidence, crypto));
        let order = Order { action: action(wish.command), evidence };
        let Some(pump) = &mut self.pump else { return };
        let (counter, message) = match pump.commander.command(order, &mut out, crypto) {
            Ok((counter, message)) => (counter, message.to_vec()),
            Err(why) => return say(&Said::NotSealed { why: why.to_string() }),
        };
        let text = data_encoding::BASE64.encode(&message);
        say(&Said::Sealed { counter, message: text, sent: !wish.hold });
        if wish.hold {
            self.holding = true;
            if let Err(why) = self.remember() {
                say(&Said::NotSealed { why });
            }
            return;
        }
        self.post(rig, Resource::Command, Ok(message), |call| Step::Command { call, wish });
    }

    fn receipt(&mut self, receipt: &Receipt, wish: Option<Wish>) {
        let (outcome, why, amount) = match receipt.outcome {
            Outcome::Refused(refusal) => ("refused", Some(refusal.as_str().to_owned()), MilliUnits(0)),
            Outcome::Started => ("started", None, MilliUnits(0)),
            Outcome::Done { delivered } => ("done", None, delivered),
            Outcome::Uncertain { at_most } => ("uncertain", None, at_most),
        };
        match (wish, receipt.outcome) {
            // Therapy changed while the command was made: it is made anew.
            (Some(wish), Outcome::Refused(Refusal::State)) if wish.tries < TRIES => {
                self.wishes.push_front(Wish { tries: wish.tries + 1, ..wish });
                return;
            }
            (Some(Wish { command: Command::Temporary { rate, .. }, .. }), Outcome::Started) => self.rate = rate,
            (Some(Wish { command: Command::Bolus { amount }, .. }), Outcome::Started) => {
                // Reckoned with in full until it is known to have been less.
                let minute = self.readings.back().map_or(0, |reading| reading.minute);
                self.doses.push(Dose { minute, units: amount.units() });
            }
            _ => {}
        }
        let mark = receipt.mark.map(|mark| mark.as_str().to_owned());
        let amount = Insulin::from_milliunits(amount.0);
        say(&Said::Receipt { counter: receipt.counter, outcome: outcome.to_owned(), why, amount, mark });
    }

    /// Writes down what must not be forgotten.
    fn remember(&mut self) -> Result<(), String> {
        if let Some(pump) = &self.pump {
            let Memory { next, unknown, bolus } = pump.commander.memory();
            self.kept = Kept { next, unknown, bolus, ..self.kept };
        }
        self.keep()
    }

    fn keep(&self) -> Result<(), String> {
        let bytes = serde_json::to_vec(&self.kept).map_err(|error| error.to_string())?;
        files::replace(&self.file, &bytes)
            .map_err(|error| format!("{}: {error}", hex(DeviceId::from_bytes(self.kept.device))))
    }
}

fn minute(now: Ticks) -> u64 {
    now.as_millis() / 60_000
}

fn action(command: Command) -> Action {
    let concentration = Concentration::U100;
    match command {
        Command::Bolus { amount } => {
            Action::Bolus { amount: MilliUnits(amount.milliunits()), concentration, bound: BOUND }
        }
        Command::Temporary { rate, minutes } => Action::TemporaryBasal {
            rate: sealed::Rate(rate.milliunits_per_hour()),
            minutes: Minutes(minutes),
            concentration,
            bound: BOUND,
        },
        Command::Suspend { minutes } => Action::Suspend { minutes: Minutes(minutes) },
    }
}
