//! The clock of this hub beside that of the server which keeps the store. All hubs of a site see that one, so a hub whose own
//! is another does not publish in turn with the others what each calls out of date, nor gives credentials that begin at another
//! time: it stands still until both agree. What people ask of it is told all the same, because a theft does not wait for a clock, and
//! so are tickets; they bear the server's time, because devices learn from them what time it is, and never unlearn it.
//! Where no other hub's clock is the server's, nobody here can say which one is wrong: people are told, and it goes on.

use crate::authority::held;
use crate::present::LAPSES;
use crate::store::{SqlStore, Store, StoreError};
use crate::{Authority, Error};
use medlock_node::clock::Clock;
use medlock_trust::{DeviceName, Time};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// Above so many seconds a hub is not ready, while another hub's clock is the server's.
const READY_SECONDS: u64 = 60;
/// Above so many seconds it issues and publishes nothing either: by so much certificates are dated back where nobody says otherwise.
const WORKING_SECONDS: u64 = 300;

/// How often a hub says that its clock is the server's; it counts as such a one for [`LAPSES`] seconds.
const SAYS: Duration = Duration::from_secs(5);

/// How this hub's clock stood beside the server's when they were compared last.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// By how many seconds it was ahead.
    ahead: AtomicI64,
    /// Another hub's clock is the server's, and this one's is not.
    is_outvoted: AtomicBool,
    /// When this hub said last that its clock is the server's.
    said: Mutex<Option<Instant>>,
    /// People were told that the clocks differ.
    told: AtomicBool,
}

impl Compared {
    /// With a clock that is so many seconds ahead, of which no other hub has said anything.
    pub(crate) fn of(ahead: i64) -> Self {
        Self { ahead: AtomicI64::new(ahead), ..Self::default() }
    }

    fn ahead(&self) -> i64 {
        self.ahead.load(Ordering::Relaxed)
    }

    /// Refuses where the clock of `hub` is too far from the server's for anything to be issued or published.
    ///
    /// # Errors
    /// [`Error::Conflict`].
    pub(crate) fn agree(&self, hub: DeviceName) -> Result<(), Error> {
        self.within(hub, WORKING_SECONDS)
    }

    fn within(&self, hub: DeviceName, seconds: u64) -> Result<(), Error> {
        let (ahead, by) = (self.ahead(), self.ahead().unsigned_abs());
        if by <= seconds {
            return Ok(());
        }
        let how = if ahead > 0 { "ahead of" } else { "behind" };
        Err(Error::Conflict(format!(
            "the clock of the hub {hub} is {by} s {how} the clock of the database server: look at both clocks"
        )))
    }
}

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
            // Also when those who said so are gone, as long as it is not right.
            is_outvoted = self.locks.clocks.is_outvoted.load(Ordering::Relaxed)
                || self.store.clocks_of_the_server()?.iter().any(|hub| hub != own.as_str());
        } else if self.store.is_shared() {
            let mut said = held(&self.locks.clocks.said);
            if said.is_none_or(|said| said.elapsed() >= SAYS) {
                // Whichever process has the name: it is one hub.
                self.store.hold(&format!("{}{own}", SqlStore::CLOCK), [0; 16], LAPSES)?;
                *said = Some(Instant::now());
            }
        }
        self.locks.clocks.ahead.store(ahead, Ordering::Relaxed);
        self.locks.clocks.is_outvoted.store(is_outvoted, Ordering::Relaxed);
        Ok(())
    }

    /// As [`Compared::agree`], where another hub's clock is the server's.
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
        let clocks = &self.locks.clocks;
        if clocks.is_outvoted.load(Ordering::Relaxed) { clocks.within(self.settings.hub_name, seconds) } else { Ok(()) }
    }

    /// The time of what is signed now: this hub's own, or, where another hub's clock is the server's and this one's is not, the
    /// server's, asked anew. Where nobody answers, what has passed since the last answer counts by this hub's clock.
    pub(crate) fn time_to_state(&self) -> Time {
        let clocks = &self.locks.clocks;
        let is_outvoted = || clocks.is_outvoted.load(Ordering::Relaxed);
        if is_outvoted()
            && let Err(error) = self.compare_clocks()
        {
            tracing::warn!(%error, "the database server could not be asked what time it is");
        }
        let ahead = if is_outvoted() { clocks.ahead() } else { 0 };
        self.clock.now().plus_seconds(-ahead)
    }

    /// Whether this hub's own clock may be the wrong one.
    pub(crate) fn is_clock_in_doubt(&self) -> bool {
        self.locks.clocks.ahead().unsigned_abs() > READY_SECONDS
    }

    /// Tells people once that the clocks differ, and whether this hub stands still because of it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(crate) fn tell_of_clocks(&self) -> Result<(), Error> {
        let Err(why) = self.locks.clocks.agree(self.settings.hub_name) else {
            self.locks.clocks.told.store(false, Ordering::Relaxed);
            return Ok(());
        };
        if !self.locks.clocks.told.swap(true, Ordering::Relaxed) {
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
