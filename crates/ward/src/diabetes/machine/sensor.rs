//! The firmware of a continuous glucose monitor.

use super::rig::{Firmware, Rig, say};
use super::words::{Do, Said};
use super::{Error, Options};
use crate::diabetes::clarity::{self, Measured};
use crate::diabetes::sensor::{Probe, Replay};
use crate::diabetes::units::Glucose;
use medlock_device::platform::Ticks;
use medlock_device::{Event, Resource, Status};
use medlock_proto::reading::{Decimal, Mdc, Moment, Reading, Readings, Special, Value};
use medlock_trust::cbor::Writer;
use std::collections::VecDeque;

/// How many readings are kept for a controller that was away: two hours.
const KEPT: usize = 24;
/// How many are given to one that listens: what a trend needs.
const GIVEN: usize = 4;

enum Source {
    Probe(Probe),
    Replay(Replay),
}

struct Sensor {
    source: Source,
    readings: VecDeque<Reading>,
}

pub(super) fn firmware(options: &Options) -> Result<Box<dyn Firmware>, Error> {
    let source = match &options.replay {
        Some(path) => Source::Replay(Replay::new(&clarity::open(path)?).ok_or(clarity::Error::NoGlucose)?),
        None => Source::Probe(Probe::new(options.seed)),
    };
    Ok(Box::new(Sensor { source, readings: VecDeque::new() }))
}

impl Firmware for Sensor {
    fn on_event(&mut self, rig: &mut Rig<'_>, event: Event<'_>) {
        match event {
            Event::Asked { ask, resource: Resource::Readings, .. } => {
                let payload = self.newest();
                // A session that ended meanwhile gets no answer.
                let _ = rig.core.answer(rig.clock.now(), ask, Status::Done, &payload);
            }
            Event::Unanswered { why, .. } => say(&Said::Unanswered { why: why.to_string() }),
            _ => {}
        }
    }

    fn on_do(&mut self, rig: &mut Rig<'_>, what: Do) -> Result<String, String> {
        let Do::Measure { plasma_mg_dl, minute } = what else { return Err("a sensor does no such thing".to_owned()) };
        let measured = match &mut self.source {
            Source::Probe(probe) => Some(probe.measure(Glucose::from_mg_dl(plasma_mg_dl))),
            Source::Replay(replay) => replay.at(minute),
        };
        let Some(measured) = measured else { return Ok("a gap".to_owned()) };
        let now = rig.clock.now();
        let moment = Moment { ticks: now.as_millis(), utc: Some(rig.core.time(now)) };
        let (code, unit) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL);
        if self.readings.len() == KEPT {
            self.readings.pop_front();
        }
        let reading = Reading { code, unit, value: value(measured), moment, mark: None };
        self.readings.push_back(reading);
        rig.outbox.reading(reading)?;
        rig.core.notify(now, Resource::Readings, &self.newest());
        Ok(format!("{measured:?}"))
    }

    fn on_time(&mut self, _rig: &mut Rig<'_>) -> Option<Ticks> {
        None
    }
}

impl Sensor {
    fn newest(&self) -> Vec<u8> {
        let newest: Vec<Reading> = self.readings.iter().rev().take(GIVEN).rev().copied().collect();
        let mut bytes = Vec::new();
        // Writing to memory does not fail.
        let _ = Readings::encode(&newest, &mut Writer::new(&mut bytes));
        bytes
    }
}

/// A measurement as it travels: tenths of a milligram per decilitre, or no number.
fn value(measured: Measured) -> Value {
    match measured {
        Measured::Low => Value::Special(Special::NegativeInfinity),
        Measured::High => Value::Special(Special::PositiveInfinity),
        Measured::Value(glucose) => {
            let tenths = (glucose.mg_dl() * 10.0).round() as i32;
            Decimal::new(tenths, -1).map_or(Value::Special(Special::NRes), Value::Number)
        }
    }
}

/// A reading as the controller's rule takes it; `None` if it is no glucose, in no known unit, or no value.
pub(super) fn measured(reading: &Reading) -> Option<Measured> {
    if reading.code != Mdc::CONC_GLU_ISF {
        return None;
    }
    match reading.value {
        Value::Special(Special::NegativeInfinity) => Some(Measured::Low),
        Value::Special(Special::PositiveInfinity) => Some(Measured::High),
        Value::Special(Special::NaN | Special::NRes) => None,
        Value::Number(number) => {
            let value = f64::from(number.mantissa()) * 10_f64.powi(i32::from(number.exponent()));
            match reading.unit {
                Mdc::DIM_MILLI_G_PER_DL => Some(Measured::Value(Glucose::from_mg_dl(value))),
                Mdc::DIM_MILLI_MOLE_PER_L => Some(Measured::Value(Glucose::from_mmol_l(value))),
                _ => None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-LOOP-05: what is no number never becomes one on its way.
    #[test]
    fn values_travel_as_what_they_are() {
        let moment = Moment { ticks: 0, utc: None };
        let reading =
            |value| Reading { code: Mdc::CONC_GLU_ISF, unit: Mdc::DIM_MILLI_G_PER_DL, value, moment, mark: None };
        for sent in [Measured::Low, Measured::High, Measured::Value(Glucose::from_mg_dl(157.0))] {
            assert_eq!(measured(&reading(value(sent))), Some(sent));
        }
        for special in [Special::NaN, Special::NRes] {
            assert_eq!(measured(&reading(Value::Special(special))), None);
        }
        let mmol = Reading { unit: Mdc::DIM_MILLI_MOLE_PER_L, ..reading(Value::Number(Decimal::new(55, -1).unwrap())) };
        let Some(Measured::Value(glucose)) = measured(&mmol) else { panic!("a value") };
        assert_eq!(glucose.mg_dl().round(), 99.0);
        let other = Reading { unit: Mdc(1), ..reading(Value::Number(Decimal::new(55, 0).unwrap())) };
        assert_eq!(measured(&other), None);
    }
}
