//! An insulin pump without its radio: programme, orders, limits, mechanics, and the record of what was delivered.
//!
//! **Not for therapy.** Time is the pump's own, in milliseconds since it was switched on. What it delivers depends on
//! nobody: the programmed basal goes on whatever happens to the controller, an order ends at its own time, a lease that
//! lapses ends what an order raised, and the stop at the pump itself stops everything. Every amount leaves as pulses of
//! [`PULSE`], and each is told at once to whoever is asked to write it down.

use super::units::{Insulin, Rate};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// The least amount that the mechanics move.
pub const PULSE: Insulin = Insulin::from_milliunits(50);
/// From one pulse of a bolus to the next, in milliseconds: 1.5 units a minute.
pub const BOLUS_PULSE_MILLIS: u64 = 2_000;
const HOUR_MILLIS: u64 = 3_600_000;
const DAY_MILLIS: u64 = 24 * HOUR_MILLIS;

/// The basal programme: a rate for each hour of the day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programme([Rate; 24]);

impl Programme {
    /// A rate for each hour, from midnight.
    #[must_use]
    pub const fn new(rates: [Rate; 24]) -> Self {
        Self(rates)
    }

    /// The same rate all day.
    #[must_use]
    pub const fn flat(rate: Rate) -> Self {
        Self([rate; 24])
    }

    fn at(&self, time: TimeOfDay, now: u64) -> Rate {
        match time {
            TimeOfDay::Known { offset_millis } => {
                let hour = (now.saturating_add(offset_millis) % DAY_MILLIS) / HOUR_MILLIS;
                self.0.get(hour as usize).copied().unwrap_or_default()
            }
            // Too little for some hours is better than too much for one.
            TimeOfDay::Lost => self.0.iter().copied().min().unwrap_or_default(),
        }
    }
}

/// Whether the pump knows the time of day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeOfDay {
    /// It was switched on so many milliseconds after a midnight.
    Known {
        /// How many.
        offset_millis: u64,
    },
    /// Nobody has set it since power was lost: the lowest rate of the programme is delivered.
    Lost,
}

/// What the pump's maker and its user allow, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest bolus of one order.
    pub bolus: Insulin,
    /// The highest temporary basal.
    pub temporary_rate: Rate,
    /// The longest temporary basal or suspension, in minutes.
    pub minutes: u32,
    /// The most within an hour, programme included.
    pub hour: Insulin,
    /// The most within a day, programme included.
    pub day: Insulin,
}

/// What can be ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// A bolus, a whole number of pulses.
    Bolus(Insulin),
    /// A rate in place of the programme.
    Temporary {
        /// The rate.
        rate: Rate,
        /// For how many minutes.
        minutes: u32,
    },
    /// No delivery at all; the programme resumes by itself. It needs no lease.
    Suspend {
        /// For how many minutes.
        minutes: u32,
    },
    /// A share of what is programmed now; the programme resumes by itself. It needs no lease.
    Reduce {
        /// The share, in hundredths.
        percent: u8,
        /// For how many minutes.
        minutes: u32,
    },
    /// Back to the programme.
    Programme,
}

/// Why an order is not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The pump was stopped by hand.
    #[error("the pump was stopped by hand")]
    Stopped,
    /// Nobody holds a lease.
    #[error("the lease has lapsed")]
    NoLease,
    /// A bolus is being delivered.
    #[error("a bolus is being delivered")]
    Busy,
    /// It is more than one order may be, is nothing, or is no whole number of pulses.
    #[error("the order is outside the pump's limits")]
    Limit,
    /// With it, more would be delivered within an hour than may be.
    #[error("the limit of an hour would be exceeded")]
    HourLimit,
    /// With it, more would be delivered within a day than may be.
    #[error("the limit of a day would be exceeded")]
    DayLimit,
    /// There is too little in the reservoir.
    #[error("the reservoir has too little")]
    Reservoir,
}

/// Why an amount was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Because {
    /// The programme says so.
    Programme,
    /// A temporary basal.
    Temporary,
    /// A bolus.
    Bolus,
    /// It is not known to have been delivered: power went while it was. It counts as if it had been.
    Uncertain,
}

/// An amount that was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// When, in milliseconds since the pump was switched on.
    pub at_millis: u64,
    /// How much.
    pub amount: Insulin,
    /// Why.
    pub because: Because,
}

/// What happens while time goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Event {
    /// An amount left the pump.
    Delivered(Delivery),
    /// A bolus is complete.
    BolusDone {
        /// How much was delivered.
        delivered: Insulin,
    },
    /// A bolus was cut short.
    BolusCut {
        /// How much was delivered.
        delivered: Insulin,
    },
    /// The temporary basal is over and the programme goes on.
    BackToProgramme {
        /// When.
        at_millis: u64,
    },
    /// The reservoir is empty.
    Empty,
}

/// What the pump is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Basal {
    /// Nothing: stopped by hand.
    Stopped,
    /// The programme.
    Programme,
    /// A temporary rate.
    Temporary {
        /// Which.
        rate: Rate,
        /// Until when.
        until_millis: u64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bolus {
    ordered: Insulin,
    delivered: Insulin,
    next_pulse: u64,
}

/// A pump.
#[derive(Clone, Debug)]
pub struct Pump {
    programme: Programme,
    limits: Limits,
    time_of_day: TimeOfDay,
    now: u64,
    reservoir: Insulin,
    basal: Basal,
    bolus: Option<Bolus>,
    lease_until: u64,
    /// Delivered basal that is not yet a pulse: milliunits an hour times milliseconds.
    owed: u64,
    /// What was delivered within the last day, or counts so.
    recent: VecDeque<Delivery>,
}

impl Pump {
    /// A pump that is switched on: its programme runs.
    #[must_use]
    pub const fn new(programme: Programme, limits: Limits, time_of_day: TimeOfDay, reservoir: Insulin) -> Self {
        Self {
            programme,
            limits,
            time_of_day,
            now: 0,
            reservoir,
            basal: Basal::Programme,
            bolus: None,
            lease_until: 0,
            owed: 0,
            recent: VecDeque::new(),
        }
    }

    /// Counts an amount that may have been delivered before power was lost. How long the pump was without power is not
    /// known, so it counts as delivered now.
    pub fn count_as_delivered(&mut self, amount: Insulin, because: Because) {
        self.recent.push_back(Delivery { at_millis: self.now, amount, because });
    }

    /// Milliseconds since it was switched on.
    #[must_use]
    pub const fn now_millis(&self) -> u64 {
        self.now
    }

    /// What it does beside a bolus.
    #[must_use]
    pub const fn basal(&self) -> Basal {
        self.basal
    }

    /// Ordered and delivered amount of the bolus under way.
    #[must_use]
    pub fn bolus(&self) -> Option<(Insulin, Insulin)> {
        self.bolus.map(|bolus| (bolus.ordered, bolus.delivered))
    }

    /// What is left in the reservoir.
    #[must_use]
    pub const fn reservoir(&self) -> Insulin {
        self.reservoir
    }

    /// What was delivered within the last `millis`, or counts so.
    #[must_use]
    pub fn delivered_within(&self, millis: u64) -> Insulin {
        let since = self.now.saturating_sub(millis);
        // At the very beginning everything known is recent.
        self.recent.iter().filter(|one| one.at_millis > since || since == 0).map(|one| one.amount).sum()
    }

    /// Lets a controller order until `until_millis`; never shortens.
    pub fn lease(&mut self, until_millis: u64) {
        self.lease_until = self.lease_until.max(until_millis);
    }

    /// Ends the lease, and with it what an order has raised.
    pub fn end_lease(&mut self, tell: &mut dyn FnMut(Event)) {
        self.lease_until = self.now;
        self.lower_to_programme(tell);
    }

    /// Until when the lease lasts.
    #[must_use]
    pub const fn lease_until_millis(&self) -> u64 {
        self.lease_until
    }

    /// Starts what is ordered.
    ///
    /// # Errors
    /// [`Refusal`]; nothing has changed then.
    pub fn order(&mut self, order: Order, tell: &mut dyn FnMut(Event)) -> Result<(), Refusal> {
        self.check(order)?;
        match order {
            Order::Bolus(ordered) => {
                self.bolus =
                    Some(Bolus { ordered, delivered: Insulin::NONE, next_pulse: self.now + BOLUS_PULSE_MILLIS });
            }
            Order::Temporary { rate, minutes } => self.set_temporary(rate, minutes),
            Order::Suspend { minutes } => {
                self.cut_bolus(tell);
                self.set_temporary(Rate::ZERO, minutes);
            }
            Order::Reduce { percent, minutes } => {
                self.cut_bolus(tell);
                let programmed = self.programme.at(self.time_of_day, self.now).milliunits_per_hour();
                let share = u64::from(programmed) * u64::from(percent) / 100;
                self.set_temporary(Rate::from_milliunits_per_hour(share as u32), minutes);
            }
            Order::Programme => self.back_to_programme(tell),
        }
        Ok(())
    }

    /// Whether an order would be carried out now.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self, order: Order) -> Result<(), Refusal> {
        if self.basal == Basal::Stopped {
            return Err(Refusal::Stopped);
        }
        match order {
            Order::Suspend { minutes } | Order::Reduce { minutes, .. }
                if minutes == 0 || minutes > self.limits.minutes =>
            {
                Err(Refusal::Limit)
            }
            Order::Reduce { percent, .. } if percent > 100 => Err(Refusal::Limit),
            Order::Suspend { .. } | Order::Reduce { .. } => Ok(()),
            _ if self.lease_until <= self.now => Err(Refusal::NoLease),
            Order::Bolus(amount) => self.check_bolus(amount),
            Order::Temporary { rate, minutes } => self.check_temporary(rate, minutes),
            Order::Programme => Ok(()),
        }
    }

    fn check_bolus(&self, amount: Insulin) -> Result<(), Refusal> {
        if self.bolus.is_some() {
            return Err(Refusal::Busy);
        }
        if amount == Insulin::NONE || amount > self.limits.bolus || amount.rounded_down_to(PULSE) != amount {
            return Err(Refusal::Limit);
        }
        self.check_cumulative(amount)
    }

    fn check_temporary(&self, rate: Rate, minutes: u32) -> Result<(), Refusal> {
        if minutes == 0 || minutes > self.limits.minutes || rate > self.limits.temporary_rate {
            return Err(Refusal::Limit);
        }
        // Lowering is never too much.
        if rate <= self.programme.at(self.time_of_day, self.now) {
            return Ok(());
        }
        self.check_cumulative(rate.over_millis(u64::from(minutes) * 60_000))
    }

    /// Whether `more` may be delivered beside what was delivered and what a bolus under way still will.
    fn check_cumulative(&self, more: Insulin) -> Result<(), Refusal> {
        let more = more + self.bolus.map_or(Insulin::NONE, |bolus| bolus.ordered.less(bolus.delivered));
        if more > self.reservoir {
            Err(Refusal::Reservoir)
        } else if self.delivered_within(HOUR_MILLIS) + more > self.limits.hour {
            Err(Refusal::HourLimit)
        } else if self.delivered_within(DAY_MILLIS) + more > self.limits.day {
            Err(Refusal::DayLimit)
        } else {
            Ok(())
        }
    }

    /// The stop at the pump itself. It asks nobody, and what was ordered is void.
    pub fn stop_by_hand(&mut self, tell: &mut dyn FnMut(Event)) {
        self.cut_bolus(tell);
        self.basal = Basal::Stopped;
    }

    /// Ends the stop: the programme runs again.
    pub fn resume_by_hand(&mut self) {
        if self.basal == Basal::Stopped {
            self.basal = Basal::Programme;
        }
    }

    /// Sets the time of day by hand.
    pub fn set_time_of_day(&mut self, time: TimeOfDay) {
        self.time_of_day = time;
    }

    /// Goes on until `to_millis` and tells what happens, in order; never back.
    pub fn advance(&mut self, to_millis: u64, tell: &mut dyn FnMut(Event)) {
        while self.now < to_millis {
            let rate = self.rate();
            let next = self.next_change(rate).min(to_millis);
            self.owed += u64::from(rate.milliunits_per_hour()) * (next - self.now);
            self.now = next;
            let because = match self.basal {
                Basal::Temporary { .. } => Because::Temporary,
                Basal::Programme | Basal::Stopped => Because::Programme,
            };
            while self.owed >= OWED_PULSE {
                self.owed -= OWED_PULSE;
                self.deliver(because, tell);
            }
            self.pulse_bolus(tell);
            if let Basal::Temporary { until_millis, .. } = self.basal
                && until_millis <= self.now
            {
                self.back_to_programme(tell);
            }
            if self.lease_until == self.now {
                self.lower_to_programme(tell);
            }
        }
    }

    fn rate(&self) -> Rate {
        match self.basal {
            Basal::Stopped => Rate::ZERO,
            Basal::Programme => self.programme.at(self.time_of_day, self.now),
            Basal::Temporary { rate, .. } => rate,
        }
    }

    /// The next instant after now at which anything can change.
    fn next_change(&self, rate: Rate) -> u64 {
        let in_day = match self.time_of_day {
            TimeOfDay::Known { offset_millis } => self.now.saturating_add(offset_millis),
            TimeOfDay::Lost => self.now,
        };
        let hour = self.now + (HOUR_MILLIS - in_day % HOUR_MILLIS);
        let pulse = (OWED_PULSE - self.owed).checked_div(u64::from(rate.milliunits_per_hour()));
        let pulse = pulse.map_or(u64::MAX, |millis| self.now + millis.max(1));
        let bolus = self.bolus.map_or(u64::MAX, |bolus| bolus.next_pulse);
        let temporary = match self.basal {
            Basal::Temporary { until_millis, .. } => until_millis,
            Basal::Stopped | Basal::Programme => u64::MAX,
        };
        let lease = if self.lease_until > self.now { self.lease_until } else { u64::MAX };
        [hour, pulse, bolus, temporary, lease].into_iter().min().unwrap_or(hour).max(self.now + 1)
    }

    fn pulse_bolus(&mut self, tell: &mut dyn FnMut(Event)) {
        let Some(bolus) = self.bolus.filter(|bolus| bolus.next_pulse <= self.now) else { return };
        if !self.deliver(Because::Bolus, tell) {
            self.cut_bolus(tell);
            return;
        }
        let delivered = bolus.delivered + PULSE;
        if delivered >= bolus.ordered {
            self.bolus = None;
            tell(Event::BolusDone { delivered });
        } else {
            self.bolus = Some(Bolus { delivered, next_pulse: self.now + BOLUS_PULSE_MILLIS, ..bolus });
        }
    }

    /// Moves one pulse, unless the reservoir is empty.
    fn deliver(&mut self, because: Because, tell: &mut dyn FnMut(Event)) -> bool {
        if self.reservoir < PULSE {
            tell(Event::Empty);
            return false;
        }
        self.reservoir = self.reservoir.less(PULSE);
        let delivery = Delivery { at_millis: self.now, amount: PULSE, because };
        let day_ago = self.now.saturating_sub(DAY_MILLIS);
        while self.recent.front().is_some_and(|one| one.at_millis < day_ago) {
            self.recent.pop_front();
        }
        self.recent.push_back(delivery);
        tell(Event::Delivered(delivery));
        true
    }

    fn set_temporary(&mut self, rate: Rate, minutes: u32) {
        self.basal = Basal::Temporary { rate, until_millis: self.now + u64::from(minutes) * 60_000 };
    }

    fn back_to_programme(&mut self, tell: &mut dyn FnMut(Event)) {
        if let Basal::Temporary { .. } = self.basal {
            self.basal = Basal::Programme;
            tell(Event::BackToProgramme { at_millis: self.now });
        }
    }

    /// Ends what an order has raised above the programme: a bolus, a higher temporary basal. One that lowers goes on to
    /// its own end.
    fn lower_to_programme(&mut self, tell: &mut dyn FnMut(Event)) {
        self.cut_bolus(tell);
        if let Basal::Temporary { rate, .. } = self.basal
            && rate > self.programme.at(self.time_of_day, self.now)
        {
            self.back_to_programme(tell);
        }
    }

    fn cut_bolus(&mut self, tell: &mut dyn FnMut(Event)) {
        if let Some(bolus) = self.bolus.take() {
            tell(Event::BolusCut { delivered: bolus.delivered });
        }
    }
}

/// [`PULSE`] as it is owed: milliunits an hour times milliseconds.
const OWED_PULSE: u64 = PULSE.milliunits() as u64 * HOUR_MILLIS;

#[cfg(test)]
mod tests;
