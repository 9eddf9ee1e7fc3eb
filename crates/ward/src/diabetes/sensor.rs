//! A continuous glucose monitor: what it measures every five minutes.

use super::chance::Chance;
use super::clarity::{Export, Measured};
use super::units::Glucose;

/// Minutes from one reading to the next.
pub const INTERVAL_MINUTES: u64 = 5;
/// What it can measure, in mg/dL; outside it says low or high.
const RANGE_MG_DL: (f64, f64) = (40.0, 400.0);
/// How much of the way glucose under the skin goes towards that in plasma in five minutes: a time constant of ten.
const FOLLOWS: f64 = 0.4;
/// Noise: how much of the last error stays, and the spread of what is new, in mg/dL.
const NOISE: (f64, f64) = (0.7, 2.5);

/// Where the sensor's values come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A probe in a (virtual) patient.
    Probe(Probe),
    /// An export, replayed.
    Replay(Replay),
}

/// A probe under the skin: it follows the plasma slowly, and is noisy.
#[derive(Clone, Debug)]
pub struct Probe {
    under_skin: Option<f64>,
    error: f64,
    chance: Chance,
}

impl Probe {
    /// A probe; `seed` decides its noise.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self { under_skin: None, error: 0.0, chance: Chance::new(seed) }
    }

    /// The next reading, five minutes after the last, where plasma has `plasma`.
    pub fn measure(&mut self, plasma: Glucose) -> Measured {
        let plasma = plasma.mg_dl();
        let last = self.under_skin.unwrap_or(plasma);
        let under_skin = last + FOLLOWS * (plasma - last);
        self.under_skin = Some(under_skin);
        let (stays, spread) = NOISE;
        self.error = stays * self.error + spread * self.chance.bell();
        let value = (under_skin + self.error).round();
        if value < RANGE_MG_DL.0 {
            Measured::Low
        } else if value > RANGE_MG_DL.1 {
            Measured::High
        } else {
            Measured::Value(Glucose::from_mg_dl(value))
        }
    }
}

/// An export as a sensor: its first value is at minute 0, its gaps stay gaps, and it begins anew after its end.
#[derive(Clone, Debug)]
pub struct Replay {
    /// Minute and value, ascending, the first at 0.
    values: Vec<(u64, Measured)>,
}

impl Replay {
    /// Replays `export`; `None` if it has no glucose value.
    #[must_use]
    pub fn new(export: &Export) -> Option<Self> {
        let mut all = export.glucose().peekable();
        let (first, _) = *all.peek()?;
        let minutes = |at: jiff::civil::DateTime| {
            let seconds = at.duration_since(first).as_secs();
            u64::try_from(seconds).unwrap_or(0) / 60
        };
        Some(Self { values: all.map(|(at, measured)| (minutes(at), measured)).collect() })
    }

    /// The newest value of the interval that ends at `minute`; `None` in a gap.
    #[must_use]
    pub fn at(&self, minute: u64) -> Option<Measured> {
        let (last, _) = self.values.last()?;
        let minute = minute % (last + INTERVAL_MINUTES);
        let after = self.values.partition_point(|(at, _)| *at <= minute);
        let (at, measured) = self.values.get(after.checked_sub(1)?)?;
        (minute - at < INTERVAL_MINUTES).then_some(*measured)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diabetes::clarity;

    const EXPORT: &str = "Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL)\n\
        2026-11-01T10:00:00,EGV,100\n2026-11-01T10:05:01,EGV,105\n2026-11-01T10:25:00,EGV,Low\n";

    fn value(mg_dl: f64) -> Option<Measured> {
        Some(Measured::Value(Glucose::from_mg_dl(mg_dl)))
    }

    /// Shows REQ-LOOP-03.
    #[test]
    fn a_replay_keeps_times_and_gaps_and_begins_anew() {
        let replay = Replay::new(&clarity::read(EXPORT.as_bytes()).unwrap()).unwrap();
        let seen: Vec<Option<Measured>> = (0..8).map(|step| replay.at(step * INTERVAL_MINUTES)).collect();
        let low = Some(Measured::Low);
        assert_eq!(seen, [value(100.0), value(105.0), None, None, None, low, value(100.0), value(105.0)]);
    }

    /// Shows REQ-LOOP-03.
    #[test]
    fn a_probe_follows_within_its_range_and_a_seed_decides_its_noise() {
        let (mut one, mut same, mut other) = (Probe::new(1), Probe::new(1), Probe::new(2));
        let plasma = Glucose::from_mg_dl(150.0);
        let readings: Vec<Measured> = (0..100).map(|_| one.measure(plasma)).collect();
        assert_eq!(readings, (0..100).map(|_| same.measure(plasma)).collect::<Vec<_>>());
        assert_ne!(readings, (0..100).map(|_| other.measure(plasma)).collect::<Vec<_>>());
        for reading in &readings {
            let Measured::Value(reading) = reading else { panic!("{reading:?}") };
            assert!((reading.mg_dl() - 150.0).abs() < 20.0, "{reading}");
        }
        for (truth, said) in [(20.0, Measured::Low), (500.0, Measured::High)] {
            assert_eq!((0..20).map(|_| one.measure(Glucose::from_mg_dl(truth))).last(), Some(said));
        }
    }
}
