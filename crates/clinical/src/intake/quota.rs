//! How many records one device may report: requests are counted at the door, and one has up to 288 records.

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use medlock_trust::DeviceId;
use std::collections::HashMap;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// More than a device measures for long.
const PER_SECOND: NonZeroU32 = NonZeroU32::MIN.saturating_add(9);
/// What a device may have kept while the hub was away.
const AT_ONCE: NonZeroU32 = NonZeroU32::MIN.saturating_add(9_999);
/// When so many devices are remembered, those that have not reported for long are forgotten.
const DEVICES: usize = 1 << 16;

/// The records of each device, counted.
pub(crate) struct Records<C: Clock = DefaultClock> {
    clock: C,
    limiter: RateLimiter<DeviceId, HashMapStateStore<DeviceId>, C, NoOpMiddleware<C::Instant>>,
    /// Those that were counted and given back: they are not counted again.
    back: Mutex<HashMap<DeviceId, u32>>,
}

impl Default for Records {
    fn default() -> Self {
        Self::with_clock(DefaultClock::default())
    }
}

impl<C: Clock + Clone> Records<C> {
    fn with_clock(clock: C) -> Self {
        let quota = Quota::per_second(PER_SECOND).allow_burst(AT_ONCE);
        let limiter = RateLimiter::new(quota, HashMapStateStore::default(), clock.clone());
        Self { clock, limiter, back: Mutex::default() }
    }

    /// Counts so many records of a device.
    ///
    /// # Errors
    /// How long it has to wait until they are taken.
    pub(crate) fn count(&self, device: DeviceId, records: usize) -> Result<(), Duration> {
        let records = u32::try_from(records).unwrap_or(u32::MAX);
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        let given = back.get(&device).copied().unwrap_or(0);
        self.take(device, records.saturating_sub(given))?;
        match given.saturating_sub(records) {
            0 => _ = back.remove(&device),
            left => _ = back.insert(device, left),
        }
        Ok(())
    }

    /// Gives back so many that were counted: it was the hub that could not take them.
    pub(crate) fn give_back(&self, device: DeviceId, records: usize) {
        let mut back = self.back.lock().unwrap_or_else(PoisonError::into_inner);
        if back.len() < DEVICES {
            let given = back.entry(device).or_default();
            *given = given.saturating_add(u32::try_from(records).unwrap_or(u32::MAX)).min(AT_ONCE.get());
        }
    }

    fn take(&self, device: DeviceId, records: u32) -> Result<(), Duration> {
        let Some(records) = NonZeroU32::new(records) else { return Ok(()) };
        if self.limiter.len() >= DEVICES {
            self.limiter.retain_recent();
        }
        match self.limiter.check_key_n(&device, records) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(early)) => Err(early.wait_time_from(self.clock.now())),
            // No report has so many.
            Err(_) => Err(Duration::MAX),
        }
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    /// Shows REQ-INTAKE-33, in virtual time.
    #[test]
    fn each_device_has_a_quota_of_its_own() {
        let clock = FakeRelativeClock::default();
        let records = Records::with_clock(clock.clone());
        let [one, other] = [[1; 16], [2; 16]].map(DeviceId::from_bytes);
        for _ in 0..34 {
            records.count(one, 288).unwrap();
        }
        let wait = records.count(one, 288).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_secs(29), "{wait:?}");
        records.count(other, 288).unwrap();
        clock.advance(wait);
        records.count(one, 288).unwrap();
        records.count(one, 288).unwrap_err();
        records.count(one, 0).unwrap();
        records.count(other, 10_001).unwrap_err();
    }

    /// Shows REQ-INTAKE-33, in virtual time: what is given back is counted once, whoever else reports, and is no more than a device may
    /// have at once.
    #[test]
    fn what_is_given_back_is_counted_once() {
        let records = Records::with_clock(FakeRelativeClock::default());
        let [one, other] = [[1; 16], [2; 16]].map(DeviceId::from_bytes);
        for _ in 0..100 {
            records.count(one, 10_000).unwrap();
            records.give_back(one, 10_000);
        }
        records.count(one, 4_000).unwrap();
        records.count(one, 6_001).unwrap_err();
        records.count(one, 6_000).unwrap();
        records.count(one, 1).unwrap_err();
        records.give_back(one, 20_000);
        records.count(one, 10_001).unwrap_err();
        records.count(one, 10_000).unwrap();
        records.count(one, 1).unwrap_err();
        assert!(records.back.lock().unwrap().is_empty());
        records.count(other, 10_000).unwrap();
        records.count(other, 1).unwrap_err();
    }
}
