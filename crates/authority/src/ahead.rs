//! A clock that was ahead and is right again: what the hub has signed meanwhile is of a time that has not come.

use crate::Authority;
use medlock_trust::Time;
use medlock_trust::list::MAX_SKEW_SECONDS;
use std::sync::PoisonError;

/// By so much the clocks of hubs on one store may differ without a word, in seconds.
const TOLD_FROM_SECONDS: i64 = 600;
/// People are told once in this time, in seconds, also where a hub whose clock is ahead goes on beside this one.
const TOLD_EVERY_SECONDS: i64 = 3_600;

/// Whether something was issued by a clock further ahead than clocks may be.
pub(crate) fn is_ahead(issued: Time, now: Time) -> bool {
    issued.seconds_since(now) > MAX_SKEW_SECONDS
}

impl Authority {
    /// Tells people where the newest of what was signed is of a time that has not come.
    pub(crate) fn tell_of_clock(&self, signed: Time) {
        let now = self.clock.now();
        let seconds = signed.seconds_since(now);
        if seconds <= TOLD_FROM_SECONDS {
            return;
        }
        let mut told = self.locks.clock_told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| (0..TOLD_EVERY_SECONDS).contains(&now.seconds_since(told))) {
            return;
        }
        *told = Some(now);
        let text = format!(
            "the clock of this hub, or of another on the same store, was {seconds} s ahead: what was signed last is of \
             {signed}. It is signed anew, and credentials that were given out meanwhile begin too late: sidecars ask for others \
             by themselves, other devices must be made to renew. Look at the machine's battery and where it has its time from"
        );
        self.try_alarm("clock-was-ahead", text);
    }
}
