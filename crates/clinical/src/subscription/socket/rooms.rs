//! How many are connected.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections at once, and those of one client among them; and those that have not said yet who they are.
const ALL: usize = 1_024;
const OF_ONE: usize = 32;
const UNKNOWN: usize = 64;

/// Who is connected: clients with the number of their connections. Who has not said who it is, has no name.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<HashMap<String, usize>>);

/// Room for one connection; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    rooms: Arc<Rooms>,
    client: String,
}

impl Rooms {
    pub(super) fn enter(self: &Arc<Self>, client: Option<&str>) -> Option<Place> {
        let (client, most) = client.map_or(("", UNKNOWN), |client| (client, OF_ONE));
        let mut open = self.open();
        let own = open.get(client).copied().unwrap_or(0);
        if own >= most || open.values().sum::<usize>() >= ALL {
            return None;
        }
        open.insert(client.to_owned(), own.saturating_add(1));
        Some(Place { rooms: Arc::clone(self), client: client.to_owned() })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.rooms.open();
        match open.get_mut(&self.client) {
            Some(own) if *own > 1 => *own -= 1,
            _ => _ = open.remove(&self.client),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SUB-29: so many connections of one client, of who is nobody yet, and of all; room is free when one ends.
    #[test]
    fn nobody_takes_all_the_room() {
        let rooms = Arc::new(Rooms::default());
        let mut unknown: Vec<_> = (0..UNKNOWN).map_while(|_| rooms.enter(None)).collect();
        assert!(unknown.len() == UNKNOWN && rooms.enter(None).is_none());
        unknown.truncate(UNKNOWN - 1);
        assert!(rooms.enter(None).is_some());
        drop(unknown);
        let client = |number: usize| format!("client {}", number / OF_ONE);
        let mut all: Vec<_> = (0..ALL).map_while(|number| rooms.enter(Some(&client(number)))).collect();
        assert_eq!(all.len(), ALL);
        assert!(rooms.enter(Some("another")).is_none() && rooms.enter(None).is_none());
        all.truncate(ALL - 2);
        assert!(rooms.enter(Some(&client(0))).is_none(), "one client has its own bound");
        assert!(rooms.enter(Some("another")).is_some());
        drop(all);
        assert!(rooms.open().is_empty());
    }
}
