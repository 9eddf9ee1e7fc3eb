//! What the controller doses: a plain rule, for showing a closed loop.
//!
//! **Not for therapy.** The rule is the core of the OpenAPS reference design (Lewis, Leibrand, Real-world use of open
//! source artificial pancreas systems, J Diabetes Sci Technol 2016;10(6):1411; openaps.org/reference-design), every five
//! minutes:
//!
//! 1. Insulin on board is what of the last doses, above or below the programmed basal, has not acted yet, by the
//!    exponential curve of LoopKit: with peak *p* and duration *d*, `tau = p (1 - p/d) / (1 - 2p/d)`, `a = 2 tau / d`,
//!    `S = 1 / (1 - a + (1 + a) exp(-d/tau))`; at *t* the part
//!    `1 - S (1 - a) ((t² / (tau d (1 - a)) - t/tau - 1) exp(-t/tau) + 1)` is on board.
//! 2. The eventual glucose is the present one, less what the insulin on board will lower it, more what the last fifteen
//!    minutes moved it otherwise than insulin explains, taken on for half an hour.
//! 3. Present or eventual glucose below the threshold: a temporary basal of zero. Otherwise the insulin that would bring
//!    the eventual glucose to the target is required (negative if it is below): half of it, if it is positive and
//!    glucose is above the target, as a small correction bolus; the rest through a temporary basal of thirty minutes,
//!    each within the controller's own bounds.
//!
//! Nothing is dosed on a reading that is old, marked, low or high by word only, or on fewer than two of them; then the
//! running temporary basal ends at its own time and the pump's programme goes on. No correction bolus is asked while
//! the outcome of one is unknown.

use super::clarity::Measured;
use super::units::{Glucose, Insulin, Rate};

/// How old the newest reading may be, in minutes.
pub const MAX_READING_AGE_MINUTES: u64 = 12;
/// How long a temporary basal is asked for, in minutes.
pub const TEMPORARY_MINUTES: u32 = 30;
/// Over how many minutes the present movement of glucose is looked at.
const TREND_MINUTES: u64 = 15;
/// For how many minutes it is taken on.
const TAKEN_ON_MINUTES: f64 = 30.0;
/// Action of fast insulin, in minutes.
const PEAK_MINUTES: f64 = 75.0;
const DURATION_MINUTES: f64 = 300.0;

/// One person's settings at the controller.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settings {
    /// The programmed basal of the pump.
    pub basal: Rate,
    /// What one unit lowers glucose by, in mg/dL.
    pub sensitivity_mg_dl_per_unit: f64,
    /// Where glucose should be.
    pub target: Glucose,
    /// Below this, nothing is given.
    pub threshold: Glucose,
    /// The highest temporary basal that is asked for.
    pub highest_rate: Rate,
    /// The largest correction bolus that is asked for.
    pub largest_correction: Insulin,
    /// What the pump can give at least.
    pub step: Insulin,
}

impl Settings {
    /// Settings for a person with this programmed basal: sensitivity by the rule of 1800, with half of the day's
    /// insulin as basal.
    #[must_use]
    pub fn for_basal(basal: Rate) -> Self {
        let daily = (basal.units_per_hour() * 24.0 * 2.0).max(1.0);
        Self {
            basal,
            sensitivity_mg_dl_per_unit: 1800.0 / daily,
            target: Glucose::from_mg_dl(110.0),
            threshold: Glucose::from_mg_dl(80.0),
            highest_rate: Rate::from_milliunits_per_hour(basal.milliunits_per_hour().saturating_mul(3)),
            largest_correction: basal.over_millis(30 * 60_000),
            step: Insulin::from_milliunits(50),
        }
    }
}

/// A reading as the controller's own judgement left it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// When, in minutes of the controller's clock.
    pub minute: u64,
    /// What was measured.
    pub measured: Measured,
    /// Whether the sensor might `inform`: a reading with a mark or of a sensor that may only `report` must not feed
    /// automatic therapy.
    pub automatic: bool,
}

/// A dose, against the programmed basal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Dose {
    /// When, in minutes of the controller's clock.
    pub minute: u64,
    /// Units above the programme; negative if less was given.
    pub units: f64,
}

/// What is to be commanded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Advice {
    /// A temporary basal of [`TEMPORARY_MINUTES`], and a bolus before it, if any.
    Treat {
        /// The temporary basal.
        rate: Rate,
        /// The correction.
        bolus: Option<Insulin>,
    },
    /// Nothing, and why.
    Nothing(Why),
}

/// Why nothing is commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// There is no reading, or the newest is too old.
    NoRecentReading,
    /// The newest reading must not feed automatic therapy.
    NotForTherapy,
    /// The newest reading is above what can be measured: a person decides.
    OutOfRange,
    /// There is only one reading.
    NoTrend,
}

/// The part of a dose that is still on board after so many minutes.
#[must_use]
pub fn on_board(minutes: f64) -> f64 {
    if minutes <= 0.0 {
        return 1.0;
    }
    if minutes >= DURATION_MINUTES {
        return 0.0;
    }
    let (p, d, t) = (PEAK_MINUTES, DURATION_MINUTES, minutes);
    let tau = p * (1.0 - p / d) / (1.0 - 2.0 * p / d);
    let a = 2.0 * tau / d;
    let s = 1.0 / (1.0 - a + (1.0 + a) * (-d / tau).exp());
    1.0 - s * (1.0 - a) * ((t * t / (tau * d * (1.0 - a)) - t / tau - 1.0) * (-t / tau).exp() + 1.0)
}

/// Units on board at `minute`.
#[must_use]
pub fn insulin_on_board(doses: &[Dose], minute: u64) -> f64 {
    doses.iter().map(|dose| dose.units * on_board(minute.saturating_sub(dose.minute) as f64)).sum()
}

/// What to command at `now`, in minutes of the controller's clock. `readings` ascend; `unknown_bolus` says that the
/// outcome of a bolus is not known.
#[must_use]
pub fn advise(settings: &Settings, readings: &[Reading], doses: &[Dose], unknown_bolus: bool, now: u64) -> Advice {
    let Some(newest) = readings.last().filter(|newest| now.saturating_sub(newest.minute) <= MAX_READING_AGE_MINUTES)
    else {
        return Advice::Nothing(Why::NoRecentReading);
    };
    if !newest.automatic {
        return Advice::Nothing(Why::NotForTherapy);
    }
    let present = match newest.measured {
        Measured::Value(value) => value,
        // Too low to be measured is low enough to stop; nothing that follows from it raises delivery.
        Measured::Low => return Advice::Treat { rate: Rate::ZERO, bolus: None },
        Measured::High => return Advice::Nothing(Why::OutOfRange),
    };
    let Some(unexplained) = unexplained_per_minute(settings, readings, doses, newest.minute, present) else {
        return Advice::Nothing(Why::NoTrend);
    };
    let lowering = insulin_on_board(doses, now) * settings.sensitivity_mg_dl_per_unit;
    let eventual = present.mg_dl() - lowering + unexplained * TAKEN_ON_MINUTES;
    if present.mg_dl().min(eventual) < settings.threshold.mg_dl() {
        return Advice::Treat { rate: Rate::ZERO, bolus: None };
    }
    let required = (eventual - settings.target.mg_dl()) / settings.sensitivity_mg_dl_per_unit;
    let may_correct = present >= settings.target && !unknown_bolus;
    let bolus = Insulin::from_units_rounded_down(if may_correct { required / 2.0 } else { 0.0 })
        .min(settings.largest_correction)
        .rounded_down_to(settings.step);
    let rest = required - bolus.units();
    let hours = f64::from(TEMPORARY_MINUTES) / 60.0;
    let rate = Rate::from_units_per_hour_rounded_down(settings.basal.units_per_hour() + rest / hours);
    Advice::Treat { rate: rate.min(settings.highest_rate), bolus: (bolus > Insulin::NONE).then_some(bolus) }
}

/// What moved glucose in the last minutes otherwise than insulin explains, in mg/dL a minute; `None` without a reading
/// to compare with. Only readings that may feed therapy count.
fn unexplained_per_minute(
    settings: &Settings,
    readings: &[Reading],
    doses: &[Dose],
    minute: u64,
    present: Glucose,
) -> Option<f64> {
    let (before, value) = readings.iter().find_map(|reading| {
        let recent = reading.minute < minute && minute - reading.minute <= TREND_MINUTES;
        match reading.measured {
            Measured::Value(value) if recent && reading.automatic => Some((reading.minute, value)),
            Measured::Value(_) | Measured::Low | Measured::High => None,
        }
    })?;
    let acted = insulin_on_board(doses, before) - insulin_on_board(doses, minute);
    let moved = present.mg_dl() - value.mg_dl();
    Some((moved + acted * settings.sensitivity_mg_dl_per_unit) / (minute - before) as f64)
}

#[cfg(test)]
mod tests;
