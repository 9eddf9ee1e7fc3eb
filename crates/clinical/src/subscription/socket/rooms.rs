//! How many are connected.

use crate::access::{Caller, Who};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections at once, and a quarter of them of the software of one community.
const ALL: usize = 1_024;
const OF_COMMUNITY: usize = ALL / 4;
/// Those of a person with an app, of all people with it, and of software in its own name.
const OF_PERSON: usize = 8;
const OF_APP: usize = 256;
const OF_SOFTWARE: usize = 32;
/// Those that have not said yet who they are.
const UNKNOWN: usize = 64;

/// Which room is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// That of the software, or of the person with it.
    Own,
    /// That of all who use the app.
    App,
    /// That of the community's software.
    Community,
    /// That of those who have not said yet who they are.
    Unknown,
    /// The hub's.
    Hub,
}

impl Full {
    /// What is said of it, and what helps: at most 123 bytes (RFC 6455 section 5.5.1).
    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::Own => {
                "you have as many web sockets as you may have: close one, or bind several Subscriptions over one"
            }
            Self::App => "the people with this app have as many web sockets as they may have: connect later",
            Self::Community => "your community's software has as many web sockets as it may have: connect later",
            Self::Unknown => "too many have shown no token yet: connect with a token, or later",
            Self::Hub => "there are as many web sockets as there may be: connect later",
        }
    }
}

/// A name under which a connection is counted, and how many of that name there are at most.
#[derive(Clone, Debug)]
struct Counted {
    name: String,
    most: usize,
    full: Full,
}

/// Who is connected: the names under which they are counted, with the number of their connections.
#[derive(Debug, Default)]
pub(crate) struct Rooms(Mutex<HashMap<String, usize>>);

/// Room for one connection; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    rooms: Arc<Rooms>,
    names: Vec<String>,
}

impl Rooms {
    /// Room for who connects; `None`: it has not said yet who it is.
    ///
    /// # Errors
    /// What is full.
    pub(super) fn enter(self: &Arc<Self>, caller: Option<&Caller>) -> Result<Place, Full> {
        self.enter_as(match caller {
            None => unknown(),
            Some(caller) => names(caller.who(), caller.taker(), caller.community()),
        })
    }

    fn enter_as(self: &Arc<Self>, names: Vec<Counted>) -> Result<Place, Full> {
        let mut open = self.open();
        let held = |counted: &Counted| open.get(&counted.name).copied().unwrap_or(0);
        if let Some(counted) = names.iter().find(|counted| held(counted) >= counted.most) {
            return Err(counted.full);
        }
        let names: Vec<String> = names.into_iter().map(|counted| counted.name).collect();
        for name in &names {
            let held = open.entry(name.clone()).or_default();
            *held = held.saturating_add(1);
        }
        Ok(Place { rooms: Arc::clone(self), names })
    }

    fn open(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.rooms.open();
        for name in &self.names {
            match open.get_mut(name) {
                Some(held) if *held > 1 => *held -= 1,
                _ => _ = open.remove(name),
            }
        }
    }
}

fn counted(name: String, most: usize, full: Full) -> Counted {
    Counted { name, most, full }
}

fn all() -> Counted {
    counted("all".to_owned(), ALL, Full::Hub)
}

fn unknown() -> Vec<Counted> {
    vec![counted("unknown".to_owned(), UNKNOWN, Full::Unknown), all()]
}

/// The narrowest first.
fn names(who: &Who, taker: String, community: Option<&str>) -> Vec<Counted> {
    let (own, app) = match who {
        Who::Device { .. } | Who::Software { .. } => (OF_SOFTWARE, None),
        Who::Person { client, .. } => (OF_PERSON, Some(counted(format!("app {client}"), OF_APP, Full::App))),
    };
    let community = community.map(|name| counted(format!("community {name}"), OF_COMMUNITY, Full::Community));
    [Some(counted(taker, own, Full::Own)), app, community, Some(all())].into_iter().flatten().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn software(number: usize, community: Option<&str>) -> Vec<Counted> {
        let client = format!("c{number}");
        names(&Who::Software { client: client.clone() }, client, community)
    }

    fn person(account: i64, client: &str, community: Option<&str>) -> Vec<Counted> {
        names(&Who::Person { account, client: client.to_owned() }, format!("{account} {client}"), community)
    }

    /// How many of them find room, which is taken until they are dropped, and what was full for the next.
    fn taken(rooms: &Arc<Rooms>, who: impl Iterator<Item = Vec<Counted>>) -> (Vec<Place>, Option<Full>) {
        let mut places = Vec::new();
        for names in who {
            match rooms.enter_as(names) {
                Ok(place) => places.push(place),
                Err(full) => return (places, Some(full)),
            }
        }
        (places, None)
    }

    /// Shows REQ-SUB-29, REQ-SUB-47, REQ-SUB-48: so many connections of software, of a person with an app, of an app, of a community, of
    /// who is nobody yet, and of all; room is free when one ends.
    #[test]
    fn nobody_takes_all_the_room() {
        for (most, full, who) in [
            (OF_SOFTWARE, Full::Own, &(|_| software(0, None)) as &dyn Fn(usize) -> Vec<Counted>),
            (OF_PERSON, Full::Own, &|_| person(0, "a", None)),
            (OF_APP, Full::App, &|number| person(number as i64, "a", None)),
            (OF_COMMUNITY, Full::Community, &|number| software(number, Some("c"))),
            (OF_COMMUNITY, Full::Community, &|number| person(number as i64, &format!("a{number}"), Some("c"))),
            (UNKNOWN, Full::Unknown, &|_| unknown()),
            (ALL, Full::Hub, &|number| software(number, None)),
        ] {
            let rooms = Arc::new(Rooms::default());
            let (mut places, why) = taken(&rooms, (0..=ALL).map(who));
            assert_eq!((places.len(), why), (most, Some(full)));
            assert!(full.text().len() <= 123, "{full:?}");
            let other = person(-1, "another", Some("another"));
            assert_eq!(rooms.enter_as(other.clone()).err(), (full == Full::Hub).then_some(full));
            places.pop();
            let place = rooms.enter_as(other).expect("there is room");
            assert_eq!(rooms.enter_as(who(places.len())).err(), (full == Full::Hub).then_some(full));
            drop((places, place));
            assert!(rooms.open().is_empty());
        }
    }

    /// Shows REQ-SUB-47: who has no more room of their own leaves that of the app's other people as it is.
    #[test]
    fn what_is_refused_takes_no_room() {
        let rooms = Arc::new(Rooms::default());
        let (places, _) = taken(&rooms, (0..OF_PERSON).map(|_| person(0, "a", None)));
        for _ in 0..OF_APP {
            assert_eq!(rooms.enter_as(person(0, "a", None)).err(), Some(Full::Own));
        }
        let (others, why) = taken(&rooms, (1..).map(|account| person(account, "a", None)));
        assert_eq!((places.len() + others.len(), why), (OF_APP, Some(Full::App)));
    }
}
