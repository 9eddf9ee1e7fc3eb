//! Connections that read: made as they are needed, kept, and so many at most. To make one costs more than most questions.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
    most: usize,
    state: Mutex<State<C>>,
    returned: Condvar,
}

struct State<C> {
    idle: Vec<C>,
    /// All, those on loan included.
    open: usize,
}

impl<C> Pool<C> {
    /// At most `most`, at least one.
    pub(crate) fn new(most: usize) -> Self {
        Self { most: most.max(1), state: Mutex::new(State { idle: Vec::new(), open: 0 }), returned: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State<C>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What `work` gives with a connection: one that is there, or one that `make` makes; if there may be no more, it waits
    /// for one. A connection goes back afterwards; one that `work` panicked with is closed.
    pub(crate) fn with<T, E>(
        &self,
        make: impl FnOnce() -> Result<C, E>,
        work: impl FnOnce(&mut C) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut state = self.state();
        while state.idle.is_empty() && state.open >= self.most {
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let idle = state.idle.pop();
        if idle.is_none() {
            state.open += 1;
        }
        drop(state);
        let place = Place(self);
        let mut connection = idle.map_or_else(make, Ok)?;
        let outcome = work(&mut connection);
        place.give_back(connection);
        outcome
    }
}

/// The place of a connection on loan: empty again when this is dropped.
struct Place<'p, C>(&'p Pool<C>);

impl<C> Place<'_, C> {
    fn give_back(self, connection: C) {
        self.0.state().idle.push(connection);
        self.0.returned.notify_one();
        std::mem::forget(self);
    }
}

impl<C> Drop for Place<'_, C> {
    fn drop(&mut self) {
        self.0.state().open -= 1;
        self.0.returned.notify_one();
    }
}
