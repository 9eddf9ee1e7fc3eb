//! A clock that was ahead and is right again: what the hub has signed meanwhile is of a time that has not come.

use crate::objects::Kind;
use crate::{Authority, Error};
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

/// The time of what is signed now. A clock that was set back a little must not make it look older than what came before it; the
/// time of one that was far ahead is not gone on with, or it would look fresh for as long.
pub(crate) fn issued_behind(before: impl IntoIterator<Item = Time>, now: Time) -> Time {
    before.into_iter().filter(|before| !is_ahead(*before, now)).fold(now, Time::max)
}

impl Authority {
    /// Signs the policy and the routing table anew that were signed by a clock far ahead: as long as they are held, nobody knows
    /// which clock is wrong. The status list and the compact set come anew by themselves.
    ///
    /// # Errors
    /// [`Error`]; [`Authority::tick`] tries again.
    pub(crate) fn sign_anew_what_is_ahead(&self) -> Result<(), Error> {
        let ahead = |kind: Kind| -> Result<bool, Error> {
            let held = self.store.published(kind.name())?;
            Ok(held.is_some_and(|held| is_ahead(held.at, self.clock.now())))
        };
        if ahead(Kind::Policy)? {
            self.sign_policy_anew()?;
        }
        if ahead(Kind::Routes)? { self.make_routes(true) } else { Ok(()) }
    }

    /// Tells people where the newest of what was signed is of a time that has not come.
    pub(crate) fn tell_of_clock(&self, signed: Time) {
        let now = self.clock.now();
        let seconds = signed.seconds_since(now);
        // Where this hub's own clock is in doubt it blames no other.
        if seconds <= TOLD_FROM_SECONDS || self.is_clock_in_doubt() {
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
             by themselves, other devices must be made to renew. Keys that were made meanwhile begin too late as well: make others, \
             with `medlock authority rotate`. Look at the machine's battery and where it has its time from"
        );
        self.try_alarm("clock-was-ahead", text);
    }
}
