//! When to renew.

use crate::provider::jitter;
use medlock_trust::Time;
use std::time::Duration;

/// The first wait after a failed renewal.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// A credential may begin by so much later than now, in seconds: hub and machine need not have the same second.
const AHEAD_SECONDS: i64 = 600;
/// How long until another credential is asked for in the place of one that begins later, in seconds.
const AGAIN_SECONDS: i64 = 3_600;
/// The longest wait between renewals that fail: a hub that was down for days is used again within this time.
const LONGEST_RETRY: Duration = Duration::from_secs(3_600);

/// When to renew a credential, and how long to wait when that failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Between 0 and 1, drawn for this process: sites with many devices do not renew all at once.
    jitter: f64,
    failures: u32,
}

impl Schedule {
    /// A schedule with a jitter of its own.
    #[must_use]
    pub fn new() -> Self {
        Self::with_jitter(jitter())
    }

    /// A schedule with this jitter (0 to 1).
    #[must_use]
    pub fn with_jitter(jitter: f64) -> Self {
        Self { jitter: jitter.clamp(0.0, 1.0), failures: 0 }
    }

    /// When a credential with this validity is to be renewed: after two thirds of its life, and up to a tenth of its
    /// life before that, as the jitter says. In the past for a credential that has expired.
    #[must_use]
    pub fn renew_at(&self, not_before: Time, not_after: Time) -> Time {
        if not_after >= Time::NEVER {
            return Time::NEVER;
        }
        let life = not_after.seconds_since(not_before).max(0);
        let early = (life as f64 / 10.0 * self.jitter) as i64;
        not_before.plus_seconds(life / 3 * 2 - early)
    }

    /// When a credential with this validity is to be renewed, if it was asked for at `asked`: one that begins in the future
    /// was given by a hub whose clock was ahead, and another is asked for at once and then each hour, since that hub may go on so.
    #[must_use]
    pub fn due(&self, (not_before, not_after): (Time, Time), now: Time, asked: Option<Time>) -> Time {
        let due = self.renew_at(not_before, not_after);
        if not_before.seconds_since(now) <= AHEAD_SECONDS {
            return due;
        }
        due.min(asked.map_or(now, |asked| asked.plus_seconds(AGAIN_SECONDS)))
    }

    /// How long to wait after one more failure: doubled each time up to an hour, or to a twentieth of the credential's
    /// `life` if that is shorter; less up to a half by chance.
    #[must_use]
    pub fn after_failure(&mut self, life: Option<Duration>) -> Duration {
        let longest = life.map_or(LONGEST_RETRY, |life| (life / 20).clamp(FIRST_RETRY, LONGEST_RETRY));
        let wait = FIRST_RETRY.saturating_mul(1 << self.failures.min(16)).min(longest);
        self.failures = self.failures.saturating_add(1);
        wait.mul_f64(1.0 - jitter() / 2.0)
    }

    /// Forgets the failures.
    pub const fn after_success(&mut self) {
        self.failures = 0;
    }
}

impl Default for Schedule {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-NODE-33.
    #[test]
    fn renewal_comes_well_before_expiry_and_not_for_all_at_once() {
        let (from, to) = (Time::from_unix(1_000_000), Time::from_unix(1_090_000));
        assert_eq!(Schedule::with_jitter(0.0).renew_at(from, to), Time::from_unix(1_060_000));
        assert_eq!(Schedule::with_jitter(1.0).renew_at(from, to), Time::from_unix(1_051_000));
        assert_eq!(Schedule::new().renew_at(from, Time::NEVER), Time::NEVER);
        assert_eq!(Schedule::new().renew_at(to, from), to, "a life below zero is due at once");
    }

    /// Shows REQ-RUN-44.
    #[test]
    fn a_credential_of_the_future_is_renewed_at_once_and_then_each_hour() {
        let (schedule, now) = (Schedule::with_jitter(0.0), Time::from_unix(1_000_000));
        let (from, to) = (now.plus_seconds(86_400), now.plus_seconds(4 * 86_400));
        assert_eq!(schedule.due((from, to), now, None), now);
        assert_eq!(schedule.due((from, to), now, Some(now)), now.plus_seconds(3_600), "the hub's clock is still ahead");
        let usual = schedule.renew_at(from, to);
        assert_eq!(schedule.due((from, to), from.plus_seconds(-600), None), usual, "that is no later");
        let never = schedule.due((from, Time::NEVER), from, None);
        assert_eq!(never, Time::NEVER);
    }

    #[test]
    fn retries_slow_down_to_an_hour_and_recover() {
        let mut schedule = Schedule::new();
        let waits: Vec<_> = (0..40).map(|_| schedule.after_failure(None)).collect();
        assert!(waits[0] >= FIRST_RETRY / 2 && waits[0] <= FIRST_RETRY, "{waits:?}");
        assert!(waits.iter().all(|wait| *wait <= LONGEST_RETRY));
        assert!(waits[39] >= LONGEST_RETRY / 2);
        schedule.after_success();
        assert!(schedule.after_failure(None) <= FIRST_RETRY);
        let minute = Some(Duration::from_secs(60));
        assert!((0..40).all(|_| schedule.after_failure(minute) <= FIRST_RETRY), "a short life has no time to wait");
    }
}
