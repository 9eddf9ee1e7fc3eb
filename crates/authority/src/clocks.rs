//! The clock of this hub beside that of the server which keeps the store. All hubs of a site see that one, so a hub whose own
//! is another does not publish in turn with the others what each calls out of date, nor gives credentials that begin at another
//! time: it stands still until both agree. What people ask of it is told all the same, because a theft does not wait for a clock, and
//! so are tickets; they bear the server's time, because devices learn from them what time it is, and never unlearn it.
//! Where no other hub's clock is the server's, nobody here can say which one is wrong: people are told, and it goes on.

use crate::authority::held;
use crate::present::LAPSES;
use crate::settings::Settings;
use crate::store::{SqlStore, Store, StoreError};
use crate::{Authority, Error};
use medlock_node::clock::Clock;
use medlock_trust::Time;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Above so many seconds a hub is not ready.
const READY_SECONDS: u64 = 60;
/// Above so many seconds a hub issues and publishes nothing: by so much certificates are dated back where nobody says otherwise.
const WORKING_SECONDS: u64 = 300;

/// So long a hub counts as one whose clock is the server's, in seconds, and how often it says so.
const SAYS: (u32, Duration) = (LAPSES, Duration::from_secs(5));

/// By how many seconds this hub's clock is ahead of the server's, negative where it is behind. A store of one process has no
/// clock but the machine's.
///
/// # Errors
/// [`StoreError`].
pub(crate) fn ahead(store: &dyn Store, clock: &Clock) -> Result<i64, StoreError> {
    let before = clock.now();
    let Some(server) = store.server_time()? else { return Ok(0) };
    // The server may have answered late, but not before it was asked.
    let (most, least) = (clock.now().seconds_since(server), before.seconds_since(server));
    Ok(if least > 0 { least } else { most.min(0) })
}

/// Refuses where the clocks are too far apart for anything to be issued or published.
///
/// # Errors
/// [`Error::Conflict`].
pub(crate) fn agree(settings: &Settings, ahead: i64) -> Result<(), Error> {
    within(settings, ahead, WORKING_SECONDS)
}

fn within(settings: &Settings, ahead: i64, seconds: u64) -> Result<(), Error> {
    if ahead.unsigned_abs() <= seconds {
        return Ok(());
    }
    let how = if ahead > 0 { "ahead of" } else { "behind" };
    Err(Error::Conflict(format!(
        "the clock of the hub {} is {} s {how} the clock of the database server: look at both clocks",
        settings.hub_name,
        ahead.unsigned_abs()
    )))
}

impl Authority {
    /// Compares the clocks. A hub whose clock is the server's says so to the others.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn compare_clocks(&self) -> Result<(), Error> {
        let ahead = ahead(&*self.store, &self.clock)?;
        let own = self.settings.hub_name;
        let mut is_outvoted = false;
        if ahead.unsigned_abs() > READY_SECONDS {
            is_outvoted = self.store.clocks_of_the_server()?.iter().any(|hub| hub != own.as_str());
        } else if self.store.is_shared() {
            let mut said = held(&self.locks.clock_said);
            if said.is_none_or(|said| said.elapsed() >= SAYS.1) {
                // Whichever process has the name: it is one hub.
                self.store.hold(&format!("{}{own}", SqlStore::CLOCK), [0; 16], SAYS.0)?;
                *said = Some(Instant::now());
            }
        }
        self.locks.clock_ahead.store(ahead, Ordering::Relaxed);
        self.locks.is_outvoted.store(is_outvoted, Ordering::Relaxed);
        Ok(())
    }

    /// As [`agree`], when they were compared last, where another hub's clock is the server's.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub(crate) fn clocks_agree(&self) -> Result<(), Error> {
        self.within(WORKING_SECONDS)
    }

    /// Compares the clocks, and refuses where they are so far apart that others are to be asked rather than this hub.
    ///
    /// # Errors
    /// [`Error::Conflict`]; [`Error::Store`].
    pub(crate) fn clocks_are_ready(&self) -> Result<(), Error> {
        self.compare_clocks()?;
        self.within(READY_SECONDS)
    }

    fn within(&self, seconds: u64) -> Result<(), Error> {
        if !self.locks.is_outvoted.load(Ordering::Relaxed) {
            return Ok(());
        }
        within(&self.settings, self.locks.clock_ahead.load(Ordering::Relaxed), seconds)
    }

    /// The time of what is signed now: this hub's own, or, where another hub's clock is the server's and this one's is not, the
    /// server's, asked anew. Where nobody answers, what has passed since the last answer counts by this hub's clock.
    pub(crate) fn time_to_state(&self) -> Time {
        let is_outvoted = || self.locks.is_outvoted.load(Ordering::Relaxed);
        if is_outvoted()
            && let Err(error) = self.compare_clocks()
        {
            tracing::warn!(%error, "the database server could not be asked what time it is");
        }
        let ahead = if is_outvoted() { self.locks.clock_ahead.load(Ordering::Relaxed) } else { 0 };
        self.clock.now().plus_seconds(-ahead)
    }

    /// Whether this hub's own clock may be the wrong one.
    pub(crate) fn is_clock_in_doubt(&self) -> bool {
        self.locks.clock_ahead.load(Ordering::Relaxed).unsigned_abs() > READY_SECONDS
    }

    /// Tells people once that the clocks differ, and whether this hub stands still because of it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn tell_of_clocks(&self) -> Result<(), Error> {
        let Err(why) = agree(&self.settings, self.locks.clock_ahead.load(Ordering::Relaxed)) else {
            self.locks.clocks_told.store(false, Ordering::Relaxed);
            return Ok(());
        };
        if !self.locks.clocks_told.swap(true, Ordering::Relaxed) {
            let what = match self.clocks_agree() {
                Err(_) => {
                    "Until they agree, this hub issues nothing, and publishes nothing but what people ask of it, such as a \
                           revocation; then it goes on by itself"
                }
                Ok(()) => "No other hub can say which of the two is wrong, and this one goes on by its own",
            };
            let hub = self.settings.hub_name.to_string();
            self.alarm_about("clock-differs", None, hub, format!("{why}. {what}"))?;
        }
        Ok(())
    }
}
