//! Connections that read: made as they are needed, kept, and so many at most. To make one costs more than most questions. Some are
//! left for short questions, however many long ones there are.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections that read, of one database, at most; who needs one more waits.
const READERS: usize = 16;
/// Of which so many have questions at once whose cost their asker decides.
pub const LONG_READERS: usize = READERS - 2;

/// How a verb reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Each statement sees what is there.
    Plain,
    /// All statements see the same instant.
    Snapshot,
    /// As plain, and no longer than this.
    Within(Duration),
}

/// Connections that nobody uses, and how many there are.
pub(crate) struct Pool<C> {
    state: Mutex<State<C>>,
    /// Who waits to ask something short, and something long.
    returned: [Condvar; 2],
}

struct State<C> {
    idle: Vec<C>,
    /// All, those on loan included.
    open: usize,
    /// Those on loan for long questions.
    long: usize,
}

impl<C> State<C> {
    fn is_full(&self, is_long: bool) -> bool {
        self.idle.is_empty() && self.open >= READERS || is_long && self.long >= LONG_READERS
    }
}

impl<C> Pool<C> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { idle: Vec::new(), open: 0, long: 0 }), returned: Default::default() }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `work` gives with a connection: one that is there, or one that `make` makes; if there may be no more, it waits
    /// for one. A connection goes back afterwards; one that `work` panicked with is closed.
    pub(crate) fn with<T, E>(
        &self,
        how: Reading,
        make: impl FnOnce() -> Result<C, E>,
        work: impl FnOnce(&mut C) -> Result<T, E>,
    ) -> Result<T, E> {
        let is_long = matches!(how, Reading::Within(_));
        let [short, long] = &self.returned;
        let returned = if is_long { long } else { short };
        let waited = returned.wait_while(self.state(), |state| state.is_full(is_long));
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.long += usize::from(is_long);
        let idle = state.idle.pop();
        if idle.is_none() {
            state.open += 1;
        }
        drop(state);
        let place = Place { pool: self, is_long };
        let mut connection = idle.map_or_else(make, Ok)?;
        let outcome = work(&mut connection);
        place.give_back(connection);
        outcome
    }

    /// Ends a loan, with the connection if it is to be kept.
    fn end(&self, connection: Option<C>, was_long: bool) {
        let mut state = self.state();
        match connection {
            Some(connection) => state.idle.push(connection),
            None => state.open -= 1,
        }
        state.long -= usize::from(was_long);
        drop(state);
        // One of each: who does not find what it needs waits on.
        self.returned.iter().for_each(Condvar::notify_one);
    }
}

/// The place of a connection on loan: empty again when this is dropped.
struct Place<'p, C> {
    pool: &'p Pool<C>,
    is_long: bool,
}

impl<C> Place<'_, C> {
    fn give_back(self, connection: C) {
        self.pool.end(Some(connection), self.is_long);
        std::mem::forget(self);
    }
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        self.pool.end(None, self.is_long);
    }
}
