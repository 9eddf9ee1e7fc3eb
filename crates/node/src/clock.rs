//! The one clock of a process.

use medlock_trust::time::{Interval, Time};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// The longest sleep before the wall clock is read again: it may have been set meanwhile.
const LONGEST_SLEEP: Duration = Duration::from_secs(30);

/// What time it is. Cheap to clone; clones of a manual clock move together.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    System { shift_seconds: i64 },
    Manual(Arc<watch::Sender<Time>>),
}

impl Clock {
    /// The system's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System { shift_seconds: 0 })
    }

    /// The system's clock moved by `shift_seconds`, to show or test what happens at another time.
    #[must_use]
    pub const fn danger_shifted(shift_seconds: i64) -> Self {
        Self(Source::System { shift_seconds })
    }

    /// A clock that stands at `start` until it is moved.
    #[must_use]
    pub fn manual(start: Time) -> Self {
        Self(Source::Manual(Arc::new(watch::channel(start).0)))
    }

    /// Moves a manual clock forward by `seconds` (or back, if negative). A system clock stays as it is.
    pub fn advance(&self, seconds: i64) {
        if let Source::Manual(time) = &self.0 {
            time.send_modify(|now| *now = now.plus_seconds(seconds));
        }
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Time {
        match &self.0 {
            Source::System { shift_seconds } => {
                let seconds = match SystemTime::now().duration_since(UNIX_EPOCH) {
                    Ok(since) => i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
                    Err(before) => i64::try_from(before.duration().as_secs()).map_or(i64::MIN, |seconds| -seconds),
                };
                Time::from_unix(seconds).plus_seconds(*shift_seconds)
            }
            Source::Manual(time) => *time.borrow(),
        }
    }

    /// The present in milliseconds since 1970. A manual clock stands at whole seconds.
    #[must_use]
    pub fn unix_millis(&self) -> i64 {
        match &self.0 {
            Source::System { shift_seconds } => {
                let millis = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
                let since = SystemTime::now().duration_since(UNIX_EPOCH);
                let now = since.map_or_else(|before| -millis(before.duration()), millis);
                now.saturating_add(shift_seconds.saturating_mul(1_000))
            }
            Source::Manual(_) => self.now().unix().saturating_mul(1_000),
        }
    }

    /// The present as the trust core takes it: servers keep their clocks, so it is known exactly.
    #[must_use]
    pub fn interval(&self) -> Interval {
        Interval::exactly(self.now())
    }

    /// Waits until the clock shows `time` or later, also when the clock is set while waiting.
    pub async fn wait_until(&self, time: Time) {
        match &self.0 {
            Source::System { .. } => loop {
                let seconds = time.seconds_since(self.now());
                let Ok(seconds @ 1..) = u64::try_from(seconds) else { return };
                tokio::time::sleep(Duration::from_secs(seconds).min(LONGEST_SLEEP)).await;
            },
            Source::Manual(now) => {
                // The sender lives as long as `self`, so this waits for the time only.
                let _ = now.subscribe().wait_for(|now| *now >= time).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn manual_clock_moves_only_when_told_and_wakes_those_who_wait() {
        let clock = Clock::manual(Time::from_unix(1_000));
        let waiting = clock.clone();
        let task = tokio::spawn(async move {
            waiting.wait_until(Time::from_unix(1_060)).await;
            waiting.now()
        });
        clock.advance(59);
        tokio::task::yield_now().await;
        assert!(!task.is_finished());
        clock.advance(1);
        assert_eq!(task.await.expect("task"), Time::from_unix(1_060));
    }

    #[test]
    fn shifted_clock_is_the_system_clock_elsewhere() {
        let apart = Clock::danger_shifted(86_400).now().seconds_since(Clock::system().now());
        assert!((86_399..=86_401).contains(&apart), "{apart}");
        let apart = Clock::danger_shifted(86_400).unix_millis() - Clock::system().now().unix() * 1_000;
        assert!((86_399_000..=86_402_000).contains(&apart), "{apart}");
        assert_eq!(Clock::manual(Time::from_unix(7)).unix_millis(), 7_000);
    }
}
