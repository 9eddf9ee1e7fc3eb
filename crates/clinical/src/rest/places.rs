//! Searches that may look at everything of a kind take turns, so that all others find readers.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Such searches at once.
const ALL: usize = 4;
/// Those of one grant.
const OF_ONE: usize = 2;
/// How long one waits for its turn.
const WAIT: Duration = Duration::from_secs(1);

/// Who is searching so.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: Mutex<Vec<i64>>,
    left: Condvar,
}

/// A turn.
pub(super) struct Place<'p> {
    places: &'p Places,
    leave: i64,
}

impl Places {
    /// Takes a turn for a grant; `None` if there is none in time.
    pub(super) fn take(&self, leave: i64) -> Option<Place<'_>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full =
            |taken: &mut Vec<i64>| taken.len() >= ALL || taken.iter().filter(|own| **own == leave).count() >= OF_ONE;
        let (mut taken, waited) =
            self.left.wait_timeout_while(taken, WAIT, full).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        taken.push(leave);
        Some(Place { places: self, leave })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = taken.iter().position(|own| *own == self.leave) {
            taken.swap_remove(place);
        }
        self.places.left.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SRCH-20.
    #[test]
    fn one_grant_does_not_take_all_turns() {
        let places = Places::default();
        let first = [places.take(1), places.take(1)];
        assert!(first.iter().all(Option::is_some) && places.take(1).is_none());
        let others = [places.take(2), places.take(3)];
        assert!(others.iter().all(Option::is_some) && places.take(4).is_none());
        drop(first);
        assert!(places.take(4).is_some() && places.take(1).is_some());
    }
}
