//! The site's list, fetched: those that were missed first, one for each time the root of the site was replaced.

use crate::address::Address;
use crate::call::{Body, Way};
use crate::device::Device;
use crate::event::{CallId, Event, Failure, Resource, Status};
use crate::exchange::{Role, Stage};
use crate::objects::{Kind, NotTaken, Scene};
use crate::platform::{Parts, Platform, Ticks};
use crate::request::{Asks, Extra, Request, Then};
use crate::serve::copy;
use crate::session;
use crate::settings::CallError;
use medlock_trust::list::{List, Refused, Signers};

/// The most lists of one fetch that are passed over: those from before the root that was pinned, or that another carrier
/// brought meanwhile.
const PASSED_OVER: u8 = 16;
/// CoAP 4.04: there is no later list.
const NO_LATER: u8 = 4;

/// How far a fetch of the site's list is.
#[derive(Clone, Copy)]
pub(crate) struct Following {
    /// The version behind which a list is asked for.
    after: u64,
    /// How many lists may still be passed over.
    left: u8,
}

impl Following {
    /// Bytes of the longest query: a number of twenty digits.
    pub(crate) const QUERY: usize = 22;

    /// What is asked: `a=` and the version, in decimal.
    pub(crate) fn query<'q>(&self, room: &'q mut [u8; Self::QUERY]) -> &'q [u8] {
        let mut digits = [0; 20];
        let mut rest = self.after;
        let mut length = 2_usize;
        for digit in digits.iter_mut().rev() {
            *digit = u8::try_from(rest.checked_rem(10).unwrap_or(0)).unwrap_or(0).saturating_add(b'0');
            rest = rest.checked_div(10).unwrap_or(0);
            length = length.saturating_add(1);
            if rest == 0 {
                break;
            }
        }
        let written = digits.get(Self::QUERY.saturating_sub(length)..).unwrap_or_default();
        room.iter_mut().zip(b"a=".iter().chain(written)).for_each(|(to, from)| *to = *from);
        room.get(..length).unwrap_or_default()
    }
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Fetches the site's list from a hub or whoever carries for one, without a session, for each list proves itself. A device
    /// that was off while the root of the site was replaced takes the lists that were missed first, one for each time, and
    /// then the newest: [`Event::News`] for each, and at the end [`Event::Followed`], [`Event::NotFollowed`],
    /// [`Event::Carried`] with what else was answered, or [`Event::Unanswered`]. One list is held and one is fetched at a time,
    /// whatever their number; after a loss of power the next call goes on where this one was.
    ///
    /// # Errors
    /// [`CallError::Full`].
    pub fn follow_site(&mut self, now: Ticks, hub: Address) -> Result<CallId, CallError> {
        let after = self.objects.site_list(&self.parts.flash).map_or(0, |list| list.heading().version);
        let mut asks = Asks::of(&Request::get(Resource::Objects)).ok_or(CallError::TooLong)?;
        asks.then = Then::Follow(Following { after, left: PASSED_OVER });
        self.begin_call(now, Way::Open(hub), asks, &[])
    }

    /// An answer lies in this exchange: takes the list and asks for the next one.
    pub(crate) fn follow_on<'b>(
        &mut self,
        now: Ticks,
        (place, call): (usize, CallId),
        following: Following,
        buffer: &'b mut [u8],
    ) -> Option<Event<'b>> {
        let Self { parts: Parts { flash, crypto, .. }, objects, clock, settings, sessions, own, exchanges, .. } = self;
        let exchange = exchanges.get_mut(place)?;
        let Role::Call(answered) = &exchange.role else { return None };
        let (asks, from) = (answered.asks, exchange.to);
        let (status, payload) = match answered.stage {
            Stage::Waiting | Stage::Doubted(_) | Stage::Listening => return None,
            Stage::Arrived { status, start, .. } => (status, exchange.bytes.get(start..exchange.length)?),
            Stage::Fetched { status, length } => (status, settings.body.get(..length)?),
        };
        match status {
            Status::Done => {}
            Status::Refused(NO_LATER) => {
                exchange.end();
                return Some(Event::Followed { call });
            }
            Status::Refused(_) | Status::Failed(_) => {
                let payload = copy(payload, buffer);
                exchange.end();
                return Some(Event::Carried { call, from, status, payload });
            }
        }
        let peers = |credential| session::is_with(sessions, credential);
        let (alliance, own) = (settings.alliance, *own);
        let mut scene = Scene { flash, crypto, clock, now, alliance, own, peers: &peers };
        let version = List::danger_open(payload).map_or(0, |list| list.heading().version);
        let taken = match Kind::of(payload) {
            Some(Kind::SiteList) => objects.take(payload, &mut scene),
            Some(_) | None => Err(NotTaken::Unknown),
        };
        let (after, left) = (version, following.left.checked_sub(1).filter(|_| version > following.after));
        match (taken, left) {
            (Ok(kind), _) => {
                self.ask_on(now, (place, from), asks, Following { after, ..following });
                self.judge_sessions(now);
                Some(Event::News(kind))
            }
            (Err(why), Some(left)) if is_passed_over(&why) => {
                self.ask_on(now, (place, from), asks, Following { after, left });
                None
            }
            (Err(why), _) => {
                exchange.end();
                Some(if why.is_old() { Event::Followed { call } } else { Event::NotFollowed { call, why } })
            }
        }
    }

    /// Asks for the next list, in the place of the one that came.
    fn ask_on(&mut self, now: Ticks, (place, from): (usize, Address), mut asks: Asks, following: Following) {
        self.end_transfer(place);
        asks.then = Then::Follow(following);
        let extra = Extra { block2: asks.first_block(BYTES), ..Extra::default() };
        if self.send(now, place, Way::Open(from), asks, &extra, Body::Given(&[])).is_err()
            && let Some(exchange) = self.exchanges.get_mut(place)
        {
            exchange.fail(Failure::TooLong);
        }
    }
}

/// Whether a list is refused for what it is, and those behind it may be taken: it is old, or the root that was pinned came
/// later.
const fn is_passed_over(why: &NotTaken) -> bool {
    why.is_old() || matches!(why, NotTaken::List(Refused::TooFewSignatures { signers: Signers::Pinned, .. }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_the_version_in_decimal() {
        for (after, query) in
            [(0, "a=0"), (9, "a=9"), (10, "a=10"), (70_215, "a=70215"), (u64::MAX, "a=18446744073709551615")]
        {
            let mut room = [0; Following::QUERY];
            assert_eq!(Following { after, left: 0 }.query(&mut room), query.as_bytes());
        }
    }
}
