//! What may look at everything of a kind takes turns, so that all others find readers: searches that name neither a patient nor an
//! identifier, conditions that name no identifier, histories of more than one resource. Conditions and histories of who sees one patient
//! alone have turns of their own: of those who do there are many, and they may look through as much.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Such searches at once.
const ALL: usize = 4;
/// Those of one client, however many tokens it has.
const OF_ONE: usize = 2;
/// How long one waits for its turn.
const WAIT: Duration = Duration::from_secs(1);

/// Who is searching so.
#[derive(Debug, Default)]
pub(crate) struct Places {
    taken: Mutex<Vec<String>>,
    left: Condvar,
}

/// A turn.
pub(crate) struct Place<'p> {
    places: &'p Places,
    client: String,
}

impl Places {
    /// Takes a turn for a client; `None` if there is none in time.
    pub(crate) fn take(&self, client: String) -> Option<Place<'_>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut Vec<String>| {
            taken.len() >= ALL || taken.iter().filter(|own| **own == client).count() >= OF_ONE
        };
        let (mut taken, waited) =
            self.left.wait_timeout_while(taken, WAIT, full).unwrap_or_else(PoisonError::into_inner);
        if waited.timed_out() {
            return None;
        }
        taken.push(client.clone());
        Some(Place { places: self, client })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut taken = self.places.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = taken.iter().position(|own| *own == self.client) {
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
    fn one_client_does_not_take_all_turns() {
        let places = Places::default();
        let take = |client: &str| places.take(client.to_owned());
        let first = [take("a"), take("a")];
        assert!(first.iter().all(Option::is_some) && take("a").is_none());
        let others = [take("b"), take("c")];
        assert!(others.iter().all(Option::is_some) && take("d").is_none());
        drop(first);
        assert!(take("d").is_some() && take("a").is_some());
    }
}
