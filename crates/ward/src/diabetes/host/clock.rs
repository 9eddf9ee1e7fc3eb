//! Ticks that a demonstration can speed up.

use medlock_device::platform::Ticks;
use std::time::{Duration, Instant};

/// Milliseconds since a machine was switched on, some times faster than real ones, and moved on when there is nothing to
/// wait for.
#[derive(Clone, Debug)]
pub struct VirtualClock {
    started: Instant,
    speed: u32,
    ahead_millis: u64,
}

impl VirtualClock {
    /// A clock that starts now and runs `speed` times as fast as real time, at least once.
    #[must_use]
    pub fn start(speed: u32) -> Self {
        Self { started: Instant::now(), speed: speed.max(1), ahead_millis: 0 }
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Ticks {
        let real = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        let fast = real.saturating_mul(u64::from(self.speed)) / 1000;
        Ticks::from_millis(fast.saturating_add(self.ahead_millis))
    }

    /// Moves on by so many milliseconds at once.
    pub fn move_on(&mut self, millis: u64) {
        self.ahead_millis = self.ahead_millis.saturating_add(millis);
    }

    /// How long to wait, in real time, until it shows `ticks`.
    #[must_use]
    pub fn until(&self, ticks: Ticks) -> Duration {
        let millis = ticks.millis_since(self.now());
        // Not a moment too early: what is due then must be due.
        Duration::from_micros(millis.saturating_mul(1000).div_ceil(u64::from(self.speed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_fast_and_moves_on() {
        let mut clock = VirtualClock::start(1000);
        let before = clock.now();
        clock.move_on(3_600_000);
        assert!(clock.now().millis_since(before) >= 3_600_000);
        let later = clock.now().plus_millis(60_000);
        assert!(clock.until(later) <= Duration::from_millis(60));
        std::thread::sleep(clock.until(later));
        assert!(clock.now() >= later);
    }
}
