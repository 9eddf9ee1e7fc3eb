//! The firmware of an insulin pump: what the core lets through is carried out by the mechanics, and what was delivered is
//! told to the core.

use super::rig::{Firmware, JOURNAL, Rig, say};
use super::words::{Do, PumpState, Said};
use super::{Error, Options, programmed_basal};
use crate::diabetes::host::FileFlash;
use crate::diabetes::pump::{Because, Event as Happened, Limits as OwnLimits, Order, Programme, Pump, TimeOfDay};
use crate::diabetes::units::{Insulin, Rate};
use medlock_device::command::{Act, Limits, Reception, Running};
use medlock_device::log::Area;
use medlock_device::platform::{Flash as _, MappedFlash as _, Ticks};
use medlock_device::{Closing, Event, PhysicalAct, ReceiptTo, Resource, Status};
use medlock_proto::reading::Moment;
use medlock_proto::record::{Delivered, Delivery, Sort};
use medlock_proto::sealed::{self, Action, Concentration, MilliUnits, Minutes};
use medlock_trust::decide::Code;
use medlock_trust::{DeviceId, DeviceName, Operation};

/// What the mechanics do at most, whoever asks.
const OWN_LIMITS: OwnLimits = OwnLimits {
    bolus: Insulin::from_milliunits(5_000),
    temporary_rate: Rate::from_milliunits_per_hour(5_000),
    minutes: 120,
    hour: Insulin::from_milliunits(12_000),
    day: Insulin::from_milliunits(100_000),
};
const RESERVOIR: Insulin = Insulin::from_milliunits(300_000);

/// Where the journal lies.
fn area() -> Area {
    Area { pages: JOURNAL, bank_pages: JOURNAL.len() / 2 }
}

/// What is done by command at most.
const fn limits() -> Limits {
    Limits {
        challenge_age_millis: Limits::MAX_CHALLENGE_AGE,
        concentration: Concentration::U100,
        bolus: MilliUnits(4_000),
        basal: sealed::Rate(4_500),
        basal_minutes: Minutes(120),
        window_minutes: Minutes(60),
        window_amount: MilliUnits(10_000),
        halt_minutes: Minutes(120),
        window_halts: 3,
        lease_minutes: Minutes(60),
    }
}

/// Journal and limits for the core. A new pump's journal is formatted, as its maker does.
pub(super) fn therapy(flash: &mut FileFlash) -> Result<(Area, Limits), Error> {
    let bytes = flash.bytes().get(JOURNAL.start * FileFlash::PAGE..).unwrap_or_default();
    if bytes.iter().all(|byte| *byte == 0xff) {
        Reception::format(flash, &area()).map_err(|error| Error::Start(format!("{error:?}")))?;
    }
    Ok((area(), limits()))
}

struct Firm {
    pump: Pump,
    bolus: Option<Dose>,
    basal: Option<(Dose, Insulin)>,
    halt: Option<Running>,
}

/// Insulin that is being delivered by a command, and what the records are told of it.
struct Dose {
    running: Running,
    epoch: u64,
    sort: Sort,
    began: Ticks,
    concentration: Concentration,
    commander: Option<DeviceName>,
}

pub(super) fn firmware(options: &Options) -> Box<dyn Firmware> {
    let programme = Programme::flat(programmed_basal(options.seed));
    let pump = Pump::new(programme, OWN_LIMITS, TimeOfDay::Known { offset_millis: 0 }, RESERVOIR);
    Box::new(Firm { pump, bolus: None, basal: None, halt: None })
}

/// Whether this controller has the bond to treat.
fn treats(rig: &Rig<'_>, device: DeviceId) -> bool {
    rig.core.bonds().any(|bond| bond.controller == device && bond.operations.contains(Operation::Treat))
}

impl Firmware for Firm {
    fn on_event(&mut self, rig: &mut Rig<'_>, event: Event<'_>) {
        match event {
            Event::Command { act, receipt } => self.carry_out(rig, act, receipt),
            Event::LeaseEnded => self.end_lease(rig),
            // A controller whose key is in wrong hands: what it has raised ends at once, not at its own time.
            Event::Closed { why: Closing::Judged(denied), device, .. }
                if denied.code == Code::Compromised && treats(rig, device) =>
            {
                self.end_lease(rig);
            }
            Event::Uncertain(intent) => {
                let at_most = amount(intent.action.most());
                self.pump.count_as_delivered(at_most, Because::Uncertain);
                if let Some((sort, concentration)) = insulin(&intent.action) {
                    keep(
                        rig,
                        Delivery {
                            bond_epoch: intent.epoch,
                            counter: intent.counter,
                            sort,
                            began: None,
                            // It was some time before power came back: that is all that is known.
                            moment: Moment { ticks: rig.clock.now().as_millis(), utc: None },
                            delivered: Delivered::AtMost(intent.action.most()),
                            concentration,
                            commander: None,
                        },
                    );
                }
                say(&Said::Uncertain { counter: intent.counter, at_most });
            }
            Event::Asked { ask, resource: Resource::State, .. } => {
                let state = serde_json::to_vec(&self.state()).unwrap_or_default();
                // A session that ended meanwhile gets no answer.
                let _ = rig.core.answer(rig.clock.now(), ask, Status::Done, &state);
            }
            _ => {}
        }
    }

    fn on_do(&mut self, rig: &mut Rig<'_>, what: Do) -> Result<String, String> {
        let mut events = Vec::new();
        match what {
            Do::HoldButton => {
                let treats = |bond: &&medlock_trust::Bond| bond.operations.contains(Operation::Treat);
                let bond = rig.core.bonds().find(treats).copied().ok_or("there is no controller")?;
                let act = PhysicalAct::danger_button_was_held();
                rig.core.attend(rig.clock.now(), act, bond.controller, Operation::Treat);
            }
            Do::StopByHand { stopped: true } => self.pump.stop_by_hand(&mut |event| events.push(event)),
            Do::StopByHand { stopped: false } => self.pump.resume_by_hand(),
            Do::Look => return serde_json::to_string(&self.state()).map_err(|error| error.to_string()),
            _ => return Err("a pump does no such thing".to_owned()),
        }
        self.settle(rig, events);
        Ok(String::new())
    }

    fn on_time(&mut self, rig: &mut Rig<'_>) -> Option<Ticks> {
        let mut events = Vec::new();
        self.pump.advance(rig.clock.now().as_millis(), &mut |event| events.push(event));
        self.settle(rig, events);
        None
    }
}

impl Firm {
    /// Begins what the core has permitted and recorded, if the mechanics can.
    fn carry_out(&mut self, rig: &mut Rig<'_>, act: Act, receipt: ReceiptTo) {
        let now = rig.clock.now();
        let lease = rig.core.reception().and_then(|(reception, _)| reception.lease_ends(now));
        self.pump.lease(lease.map_or(0, Ticks::as_millis));
        let action = *act.action();
        let Some(order) = order(&action) else { return rig.core.unable(now, receipt, act) };
        let mut events = Vec::new();
        if self.pump.order(order, &mut |event| events.push(event)).is_err() {
            return rig.core.unable(now, receipt, act);
        }
        let obligations = act.obligations();
        let mark = obligations.mark.map(|mark| mark.as_str().to_owned());
        say(&Said::Began { counter: act.counter(), action: format!("{action:?}"), mark, alert: obligations.alert });
        let (epoch, commander) = (act.command().epoch, rig.name_of(act.controller()));
        let running = rig.core.started(now, receipt, act);
        let dose = |running| {
            let (sort, concentration) = insulin(&action)?;
            Some(Dose { running, epoch, sort, began: now, concentration, commander })
        };
        match action {
            Action::Bolus { .. } => self.bolus = running.and_then(dose),
            Action::TemporaryBasal { .. } => {
                let next = running.and_then(dose).map(|dose| (dose, Insulin::NONE));
                let last = std::mem::replace(&mut self.basal, next);
                end_dose(rig, last);
            }
            Action::Suspend { .. } | Action::Reduce { .. } => {
                let last = self.basal.take();
                end_dose(rig, last);
                self.halt = running;
            }
            Action::Resume | Action::Set { .. } => conclude(rig, running, Insulin::NONE),
        }
        self.settle(rig, events);
    }

    fn end_lease(&mut self, rig: &mut Rig<'_>) {
        let mut events = Vec::new();
        self.pump.end_lease(&mut |event| events.push(event));
        self.settle(rig, events);
    }

    /// Tells the world what happened, and the core what came of commands.
    fn settle(&mut self, rig: &mut Rig<'_>, events: Vec<Happened>) {
        for event in events {
            match event {
                Happened::Delivered(delivery) => {
                    if let (Because::Temporary, Some((_, delivered))) = (delivery.because, &mut self.basal) {
                        *delivered += delivery.amount;
                    }
                }
                Happened::BolusDone { delivered } | Happened::BolusCut { delivered } => {
                    let dose = self.bolus.take().map(|dose| (dose, delivered));
                    end_dose(rig, dose);
                }
                Happened::BackToProgramme { .. } => {
                    let basal = self.basal.take();
                    end_dose(rig, basal);
                    let halt = self.halt.take();
                    conclude(rig, halt, Insulin::NONE);
                }
                Happened::Empty => {}
            }
            say(&Said::Pump { event });
        }
    }

    fn state(&self) -> PumpState {
        PumpState {
            basal: self.pump.basal(),
            bolus: self.pump.bolus(),
            now_millis: self.pump.now_millis(),
            lease_until_millis: self.pump.lease_until_millis(),
        }
    }
}

/// A dose has ended: the core is told, and it is kept for the records.
fn end_dose(rig: &mut Rig<'_>, ended: Option<(Dose, Insulin)>) {
    let Some((dose, delivered)) = ended else { return };
    let now = rig.clock.now();
    keep(
        rig,
        Delivery {
            bond_epoch: dose.epoch,
            counter: dose.running.counter(),
            sort: dose.sort,
            began: Some(dose.began.as_millis()),
            moment: Moment { ticks: now.as_millis(), utc: Some(rig.core.time(now)) },
            delivered: Delivered::Amount(MilliUnits(delivered.milliunits())),
            concentration: dose.concentration,
            commander: dose.commander,
        },
    );
    conclude(rig, Some(dose.running), delivered);
}

/// Tells the core what a command delivered.
fn conclude(rig: &mut Rig<'_>, ended: Option<Running>, delivered: Insulin) {
    if let Some(running) = ended {
        // The receipt waits in the core until the controller asks for it.
        let _ = rig.core.done(rig.clock.now(), running, MilliUnits(delivered.milliunits()));
    }
}

/// Keeps what a command delivered, for the records.
fn keep(rig: &mut Rig<'_>, delivery: Delivery) {
    if let Err(why) = rig.outbox.delivery(delivery) {
        say(&Said::NotReported { why });
    }
}

/// How this command gives insulin, and which; `None` if it gives none.
const fn insulin(action: &Action) -> Option<(Sort, Concentration)> {
    match action {
        Action::Bolus { concentration, .. } => Some((Sort::Bolus, *concentration)),
        Action::TemporaryBasal { concentration, .. } => Some((Sort::TemporaryBasal, *concentration)),
        Action::Suspend { .. } | Action::Reduce { .. } | Action::Resume | Action::Set { .. } => None,
    }
}

fn amount(milliunits: MilliUnits) -> Insulin {
    Insulin::from_milliunits(milliunits.0)
}

/// A command as the mechanics take it; `None` if this pump cannot do such a thing.
fn order(action: &Action) -> Option<Order> {
    Some(match *action {
        Action::Bolus { amount: ordered, .. } => Order::Bolus(amount(ordered)),
        Action::TemporaryBasal { rate, minutes, .. } => {
            Order::Temporary { rate: Rate::from_milliunits_per_hour(rate.0), minutes: u32::from(minutes.0) }
        }
        Action::Suspend { minutes } => Order::Suspend { minutes: u32::from(minutes.0) },
        Action::Reduce { percent, minutes } => Order::Reduce { percent: percent.0, minutes: u32::from(minutes.0) },
        Action::Resume => Order::Programme,
        Action::Set { .. } => return None,
    })
}
