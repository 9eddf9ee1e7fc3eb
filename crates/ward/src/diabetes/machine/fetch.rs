//! What the hub signed, fetched as the firmware of a device does it: without a session, for each object proves itself, and a
//! newborn device knows nobody to have a session with. What is lost is asked for again.

use super::rig::{Rig, say};
use super::words::Said;
use medlock_device::platform::Ticks;
use medlock_device::{Address, CallId, Event, Request, Resource, Status};
use medlock_proto::objects::Held;
use std::collections::VecDeque;

/// How long to wait, in ticks, before the hub is asked again.
const ASK_AGAIN_MILLIS: u64 = 10_000;
/// How often it is asked again.
const TRIES: u8 = 40;

/// A fetch under way.
#[derive(Debug)]
pub(super) struct Fetch {
    hub: Address,
    step: Step,
    wanted: VecDeque<(usize, Held)>,
    taken: usize,
    left: u8,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    /// The list of what the hub holds was asked for.
    Listing(CallId),
    /// The first of the wanted objects was asked for.
    Object(CallId),
    /// It is tried again then.
    Resting(Ticks),
}

impl Rig<'_> {
    /// Begins to fetch what the hub behind `hub` holds and this machine does not.
    pub(super) fn fetch(&mut self, hub: Address) -> Result<(), String> {
        let step = Step::Listing(self.ask_openly(hub, None)?);
        self.hub = Some(hub);
        self.fetch = Some(Fetch { hub, step, wanted: VecDeque::new(), taken: 0, left: TRIES });
        Ok(())
    }

    /// Asks again if it is time to.
    pub(super) fn fetch_again(&mut self) {
        let now = self.clock.now();
        if self.fetch.as_ref().is_some_and(|fetch| matches!(fetch.step, Step::Resting(until) if until <= now)) {
            self.ask_next();
        }
    }

    /// Whether the event belongs to the fetch; then it is dealt with.
    pub(super) fn fetched(&mut self, event: &Event<'_>) -> bool {
        let Some(fetch) = &self.fetch else { return false };
        let (asked, listing) = match fetch.step {
            Step::Listing(call) => (call, true),
            Step::Object(call) => (call, false),
            Step::Resting(_) => return false,
        };
        match event {
            Event::Carried { call, status: Status::Done, payload, .. } if *call == asked => {
                if listing {
                    self.list(payload);
                } else {
                    self.take(payload);
                }
            }
            Event::Carried { call, status, .. } if *call == asked => self.rest_fetch(status.to_string()),
            Event::Unanswered { call, why } if *call == asked => self.rest_fetch(why.to_string()),
            _ => return false,
        }
        true
    }

    fn list(&mut self, listing: &[u8]) {
        let Ok(held) = Held::decode_all(listing) else { return self.end_fetch(Some("no listing".to_owned())) };
        let order = |held: &Held| (held.recovery_epoch, held.version);
        let known = &self.known;
        let new = |(_, held): &(usize, Held)| {
            !known.iter().any(|known| known.is_version_of(held) && order(held) <= order(known))
        };
        let wanted = held.filter(new).collect();
        if let Some(fetch) = &mut self.fetch {
            fetch.wanted = wanted;
        }
        self.ask_next();
    }

    fn take(&mut self, object: &[u8]) {
        let taken = self.core.take_object(self.clock.now(), object);
        let Some(fetch) = &mut self.fetch else { return };
        let Some((_, held)) = fetch.wanted.pop_front() else { return self.end_fetch(None) };
        match taken {
            Ok(_) => fetch.taken += 1,
            // A carrier was faster, or it was there before the last start.
            Err(why) if why.is_old() => {}
            Err(why) => return self.end_fetch(Some(format!("{:?}: {why}", held.kind))),
        }
        self.known.retain(|known| !known.is_version_of(&held));
        self.known.push(held);
        self.ask_next();
    }

    /// Asks for what is wanted next; at the end it is told.
    fn ask_next(&mut self) {
        let Some(fetch) = &self.fetch else { return };
        let (hub, next) = (fetch.hub, fetch.wanted.front().map(|(number, _)| *number));
        let resting_first = matches!(fetch.step, Step::Resting(_)) && fetch.wanted.is_empty();
        if next.is_none() && !resting_first {
            return self.end_fetch(None);
        }
        let step = |call| if next.is_none() { Step::Listing(call) } else { Step::Object(call) };
        match self.ask_openly(hub, next) {
            Ok(call) => {
                if let Some(fetch) = &mut self.fetch {
                    fetch.step = step(call);
                }
            }
            Err(why) => self.rest_fetch(why),
        }
    }

    fn ask_openly(&mut self, hub: Address, number: Option<usize>) -> Result<CallId, String> {
        let query = number.map(|number| format!("o={number}"));
        let request = Request { query: query.as_deref().map(str::as_bytes), ..Request::get(Resource::Objects) };
        self.core.request_openly(self.clock.now(), hub, &request).map_err(|error| error.to_string())
    }

    fn rest_fetch(&mut self, why: String) {
        let until = self.clock.now().plus_millis(ASK_AGAIN_MILLIS);
        let Some(fetch) = &mut self.fetch else { return };
        fetch.left = fetch.left.saturating_sub(1);
        fetch.step = Step::Resting(until);
        if fetch.left == 0 {
            self.end_fetch(Some(why));
        }
    }

    fn end_fetch(&mut self, why: Option<String>) {
        let Some(fetch) = self.fetch.take() else { return };
        say(&match why {
            None => Said::Fetched { objects: fetch.taken },
            Some(why) => Said::NotFetched { why },
        });
    }
}
