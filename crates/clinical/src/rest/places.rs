//! What takes long takes turns, so that all others find readers: searches that name neither a patient nor an identifier and histories of
//! more than one resource from the first, whatever else is asked of the store when a moment has passed. Who sees one patient alone has other
//! turns: of those there are many, and they may look through as much.

use crate::turns;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// Such questions at once, of those who only look.
const ALL: usize = turns::EACH;
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

/// What for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Aim {
    Look,
    Change,
}

impl Aim {
    /// So many turns may be taken when one of it is: who only looks leaves one to changes.
    const fn most(self) -> usize {
        match self {
            Self::Look => ALL,
            Self::Change => ALL + 1,
        }
    }
}

impl Places {
    /// Takes a turn for a client; `None` if there is none in time.
    pub(crate) fn take(&self, aim: Aim, client: String) -> Option<Place<'_>> {
        let taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |taken: &mut Vec<String>| {
            taken.len() >= aim.most() || taken.iter().filter(|own| **own == client).count() >= OF_ONE
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

    /// Shows REQ-SRCH-20, REQ-FHIR-71.
    #[test]
    fn one_client_does_not_take_all_turns() {
        let places = Places::default();
        let take = |client: &str| places.take(Aim::Look, client.to_owned());
        let first = [take("a"), take("a")];
        assert!(first.iter().all(Option::is_some) && take("a").is_none());
        let others: Vec<_> = (OF_ONE..ALL).map(|number| take(&format!("b{number}"))).collect();
        assert!(others.iter().all(Option::is_some) && !others.is_empty() && take("d").is_none());
        let to_change = |client: &str| places.take(Aim::Change, client.to_owned());
        let change = to_change("e");
        assert!(change.is_some() && to_change("f").is_none(), "one is left to changes");
        drop(change);
        drop(first);
        assert!(take("d").is_some() && take("a").is_some());
    }
}
