//! Which hub of a store tells: it says so again and again, and another one takes the turn when it has seen it say nothing for long.
//!
//! No two clocks are compared: each hub counts by its own, and the one that tells stops before the other has waited to its end.

use crate::store::{Records, Telling};
use medlock_node::provider;
use medlock_store::Error;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a hub has the turn after it has said so.
const LASTS: Duration = Duration::from_secs(10);
/// It says so again when less is left.
const AGAIN: Duration = Duration::from_secs(8);

/// The turn of this hub.
#[derive(Debug)]
pub(crate) struct Turn {
    hub: [u8; 16],
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Until when this hub has the turn.
    until: Option<Instant>,
    /// What another one said last, and since when that was seen.
    seen: Option<(Telling, Instant)>,
}

impl Turn {
    pub(crate) fn new() -> Self {
        Self { hub: provider::random(), state: Mutex::default() }
    }

    /// Whether this hub tells for so long at least.
    pub(super) fn lasts(&self, time: Duration) -> bool {
        self.state().until.is_some_and(|until| Instant::now() + time <= until)
    }

    /// Takes the turn if it is free, and keeps it; whether this hub tells. Blocks.
    pub(super) fn keep(&self, records: &Records) -> Result<bool, Error> {
        if self.lasts(AGAIN) {
            return Ok(true);
        }
        let now = Instant::now();
        let telling = records.telling()?;
        let other = telling.filter(|telling| telling.hub != self.hub);
        if let Some(other) = other {
            let mut state = self.state();
            state.until = None;
            let since = state.seen.filter(|(seen, _)| *seen == other).map_or(now, |(_, since)| since);
            state.seen = Some((other, since));
            if now.duration_since(since) < LASTS {
                return Ok(false);
            }
        }
        let mine = records.tells(self.hub, telling)?;
        *self.state() = State { until: mine.then(|| now + LASTS), seen: None };
        Ok(mine)
    }

    /// Gives it back, so that another hub need not wait. Blocks.
    pub(super) fn give_back(&self, records: &Records) -> Result<(), Error> {
        if self.state().until.take().is_some() { records.tells_no_more(self.hub) } else { Ok(()) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
