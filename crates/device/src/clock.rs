//! What a device knows of the time: a lower bound that only grows, and an upper bound if it has one.
//!
//! Ticks say how long ago a bound was learned; they begin anew at each start, and with them the upper bound is lost.
//! The lower bound is kept in flash (the *floor*).

use crate::platform::Ticks;
use medlock_trust::{Interval, Time};

/// How far one signed statement moves the lower bound at most: 400 days. A wrong one cannot use up the calendar, and a
/// device that lay in a drawer for five years catches up with five of them.
pub const MAX_STEP_SECONDS: i64 = 400 * 86_400;

/// How much ticks may run fast or slow: one part in 1024, ten times a poor crystal.
const DRIFT_SHIFT: u32 = 10;

/// How far the lower bound moves before the floor in flash follows: a day, so that the flash outlives the device.
const FLOOR_STEP_SECONDS: i64 = 86_400;

/// How long it takes, in milliseconds of ticks, until the floor may move by [`MAX_STEP_SECONDS`] once more: a day. A start
/// begins anew.
const FLOOR_PERIOD_MS: u64 = 86_400_000;

/// The bounds of the present.
#[derive(Clone, Debug)]
pub struct Clock {
    floor: Time,
    /// The floor when the period began, and when that was: statements move it so far in one, and no further.
    period: (Time, Ticks),
    lower: (Time, Ticks),
    upper: Option<(Time, Ticks)>,
}

impl Clock {
    /// A clock that knows nothing but that it is not before `floor`.
    #[must_use]
    pub const fn new(floor: Time, now: Ticks) -> Self {
        Self { floor, period: (floor, now), lower: (floor, now), upper: None }
    }

    /// The bounds of the present.
    #[must_use]
    pub fn interval(&self, now: Ticks) -> Interval {
        let earliest = self.earliest(now);
        let latest = self.latest(now);
        // Bounds that contradict one another: somebody is wrong, and ignorance is the safe side.
        Interval::new(earliest, latest).unwrap_or(Interval::since(earliest))
    }

    /// A statement of somebody who may state the time: it was made at `issued`, so the present is not before. Returns the
    /// new floor if the flash is to be told.
    #[must_use = "the floor is to be kept"]
    pub fn not_before(&mut self, issued: Time, now: Ticks) -> Option<Time> {
        let earliest = self.earliest(now);
        let moved = issued.min(earliest.plus_seconds(MAX_STEP_SECONDS));
        if moved > earliest {
            self.lower = (moved, now);
        }
        let earliest = self.earliest(now);
        if self.latest(now).is_some_and(|latest| latest < earliest) {
            // They contradict one another. The lower stays, and the next answer gives an upper one again.
            self.upper = None;
        }
        let elapsed = now.millis_since(self.period.1);
        if elapsed >= FLOOR_PERIOD_MS {
            self.period = (self.floor, now);
        }
        // What ticks count is no statement of anybody: it does not use up the step.
        let most = self.period.0.plus_seconds(MAX_STEP_SECONDS);
        let most = later(most, self.period.1, now, false);
        self.raise_floor(earliest.min(most))
    }

    /// The site recovered, and says by the list that does it what time it is: what was said before may have been a
    /// thief's. The only statement that takes the bounds back. Returns the new floor, to be kept.
    #[must_use = "the floor is to be kept"]
    pub fn recover(&mut self, issued: Time, now: Ticks) -> Option<Time> {
        if issued >= self.floor {
            return self.not_before(issued, now);
        }
        *self = Self::new(issued, now);
        Some(issued)
    }

    fn raise_floor(&mut self, to: Time) -> Option<Time> {
        (to.seconds_since(self.floor) >= FLOOR_STEP_SECONDS).then(|| {
            self.floor = to;
            to
        })
    }

    /// A statement that was made after `asked`, as it answers a number drawn then: the present is not later than its time
    /// and what has passed since. Of two upper bounds the earlier counts.
    pub fn not_after(&mut self, issued: Time, asked: Ticks, now: Ticks) {
        let bound = later(issued, asked, now, true);
        if bound < self.earliest(now) {
            return;
        }
        if self.latest(now).is_none_or(|latest| bound < latest) {
            self.upper = Some((issued, asked));
        }
    }

    /// What a clock says that the maker of the device answers for. It replaces both bounds, except that the lower never
    /// goes back below the floor.
    #[must_use = "the floor is to be kept"]
    pub fn set(&mut self, time: Interval, now: Ticks) -> Option<Time> {
        self.lower = (time.earliest().max(self.floor), now);
        self.upper = time.latest().map(|latest| (latest, now));
        let raised = self.raise_floor(self.lower.0);
        self.period = (self.floor, now);
        raised
    }

    fn earliest(&self, now: Ticks) -> Time {
        later(self.lower.0, self.lower.1, now, false)
    }

    fn latest(&self, now: Ticks) -> Option<Time> {
        self.upper.map(|(time, since)| later(time, since, now, true))
    }
}

/// `time`, which was at `since`, at `now`: at the most if ticks may have run slow, or at the least if fast.
fn later(time: Time, since: Ticks, now: Ticks, at_most: bool) -> Time {
    let elapsed = now.millis_since(since);
    let drift = elapsed >> DRIFT_SHIFT;
    let seconds =
        if at_most { elapsed.saturating_add(drift).div_ceil(1_000) } else { elapsed.saturating_sub(drift) / 1_000 };
    time.plus_seconds(i64::try_from(seconds).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(seconds: u64) -> Ticks {
        Ticks::from_millis(seconds * 1_000)
    }

    /// Shows REQ-DEV-02.
    #[test]
    fn the_lower_bound_grows_in_bounded_steps_and_never_goes_back() {
        let mut clock = Clock::new(Time::from_unix(0), at(0));
        assert_eq!(clock.interval(at(0)), Interval::since(Time::from_unix(0)));
        assert_eq!(clock.not_before(Time::NEVER, at(0)), Some(Time::from_unix(MAX_STEP_SECONDS)));
        assert_eq!(clock.interval(at(0)).earliest(), Time::from_unix(MAX_STEP_SECONDS));
        assert_eq!(clock.not_before(Time::from_unix(5), at(1)), None);
        assert!(clock.interval(at(1)).earliest() >= Time::from_unix(MAX_STEP_SECONDS));
        // A thousand days of ticks move it by a thousand days less the drift.
        let later = clock.interval(at(1_000 * 86_400)).earliest();
        assert!(later > Time::from_unix(MAX_STEP_SECONDS + 999 * DAY - DAY));
        assert!(later < Time::from_unix(MAX_STEP_SECONDS + 1_000 * DAY));
    }

    /// Shows REQ-DEV-02.
    #[test]
    fn an_answer_bounds_the_present_from_above_for_as_long_as_ticks_go_on() {
        let mut clock = Clock::new(Time::from_unix(1_000), at(10));
        clock.not_after(Time::from_unix(5_000), at(20), at(50));
        let _ = clock.not_before(Time::from_unix(5_000), at(50));
        let interval = clock.interval(at(50));
        assert_eq!((interval.earliest(), interval.latest()), (Time::from_unix(5_000), Some(Time::from_unix(5_031))));
        // A worse bound changes nothing, a better one does.
        clock.not_after(Time::from_unix(9_000), at(49), at(50));
        assert_eq!(clock.interval(at(50)).latest(), Some(Time::from_unix(5_031)));
        clock.not_after(Time::from_unix(5_005), at(50), at(50));
        assert_eq!(clock.interval(at(50)).latest(), Some(Time::from_unix(5_005)));
        // Bounds that contradict one another leave the lower alone.
        let _ = clock.not_before(Time::from_unix(8_000), at(50));
        assert_eq!(clock.interval(at(50)), Interval::since(Time::from_unix(8_000)));
    }
}
