//! Connections that read: made as they are needed, kept, and so many at most. To make one costs more than most questions. Some are
//! left for short questions, however many long ones there are.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Connections that read, of one database, at most; who needs one more waits.
const READERS: usize = 16;
/// Of which so many have questions at once whose cost their asker decides.
pub const LONG_READERS: usize = READERS - 2;
/// How many connections questions of each sort and of those behind it have at most: each sort leaves one to those before it.
const MOST: [usize; 3] = [READERS, READERS - 1, LONG_READERS];

/// How a verb reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reading {
    /// Each statement sees what is there.
    Plain,
    /// All statements see the same instant.
    Snapshot,
    /// As plain, and no longer than this.
    Brief(Duration),
    /// The same, of what may well take so long. On a server all statements see the same instant.
    Within(Duration),
}

impl Reading {
    /// The place of its sort in [`MOST`].
    const fn sort(self) -> usize {
        match self {
            Self::Plain | Self::Snapshot => 0,
            Self::Brief(_) => 1,
            Self::Within(_) => 2,
        }
    }
}

/// Connections that nobody uses, and how many there are.
pub(crate) struct Pool<C> {
    state: Mutex<State<C>>,
    /// Who waits to ask something of each sort.
    returned: [Condvar; MOST.len()],
}

struct State<C> {
    idle: Vec<C>,
    /// Those on loan, for questions of each sort.
    lent: [usize; MOST.len()],
}

impl<C> State<C> {
    /// Whether no question of this sort is asked now.
    fn is_full(&self, sort: usize) -> bool {
        let lent = |from: usize| self.lent.iter().skip(from).sum::<usize>();
        MOST.iter().enumerate().take(sort + 1).any(|(from, most)| lent(from) >= *most)
    }
}

impl<C> Pool<C> {
    pub(crate) fn new() -> Self {
        Self { state: Mutex::new(State { idle: Vec::new(), lent: Default::default() }), returned: Default::default() }
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
        let sort = how.sort();
        let waited = self.returned[sort].wait_while(self.state(), |state| state.is_full(sort));
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.lent[sort] += 1;
        let idle = state.idle.pop();
        drop(state);
        let place = Place { pool: self, sort };
        let mut connection = idle.map_or_else(make, Ok)?;
        let outcome = work(&mut connection);
        place.give_back(connection);
        outcome
    }

    /// Ends a loan, with the connection if it is to be kept.
    fn end(&self, connection: Option<C>, sort: usize) {
        let mut state = self.state();
        state.idle.extend(connection);
        state.lent[sort] -= 1;
        drop(state);
        // One of each: who does not find what it needs waits on.
        self.returned.iter().for_each(Condvar::notify_one);
    }
}

/// The place of a connection on loan: empty again when this is dropped.
struct Place<'p, C> {
    pool: &'p Pool<C>,
    sort: usize,
}

impl<C> Place<'_, C> {
    fn give_back(self, connection: C) {
        self.pool.end(Some(connection), self.sort);
        std::mem::forget(self);
    }
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        self.pool.end(None, self.sort);
    }
}
