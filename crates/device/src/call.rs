//! What this device asks of others.

use crate::address::Address;
use crate::device::Device;
use crate::event::{CallId, Closing, Event, Failure, Method, Peer, Resource, Status};
use crate::exchange::{Call, Held, Role, Stage, With};
use crate::platform::{Parts, Platform, Ticks};
use crate::request::{Asks, Extra, Request, Then};
use crate::serve::copy;
use crate::session;
use crate::settings::CallError;
use core::ops::Range;
use medlock_proto::coap::{self, Code, Matched, Message, Type, option, reset};
use medlock_proto::oscore;
use medlock_trust::{Operation, Verdict};

/// Where a request goes.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    Session(Peer),
    Open(Address),
}

/// Where the payload of a request lies.
pub(crate) enum Body<'p> {
    Given(&'p [u8]),
    /// In the room for bodies.
    Room(Range<usize>),
    /// In front of the bytes of its exchange.
    Held(usize),
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Asks a peer; [`Event::Answered`], [`Event::Readings`] or [`Event::Unanswered`] follows. With [`Method::Observe`] the
    /// first two follow whenever there is something new, until [`Device::cancel`].
    ///
    /// # Errors
    /// [`CallError`].
    pub fn call(
        &mut self,
        now: Ticks,
        peer: Peer,
        method: Method,
        resource: Resource,
        payload: &[u8],
    ) -> Result<CallId, CallError> {
        self.request(now, peer, &Request::new(method, resource, payload))
    }

    /// As [`Device::call`], with all that a request may say.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn request(&mut self, now: Ticks, peer: Peer, request: &Request<'_>) -> Result<CallId, CallError> {
        let asks = Asks::of(request).ok_or(CallError::TooLong)?;
        self.begin_call(now, Way::Session(peer), asks, request.payload)
    }

    /// Asks whoever is at `to`, without a session; [`Event::Carried`] or [`Event::Unanswered`] follows. For what proves
    /// itself: trust objects that are fetched from a hub or brought to anybody, and sealed commands that are carried.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn request_openly(&mut self, now: Ticks, to: Address, request: &Request<'_>) -> Result<CallId, CallError> {
        let asks = Asks::of(request).ok_or(CallError::TooLong)?;
        self.begin_call(now, Way::Open(to), asks, request.payload)
    }

    /// Begins a call: with one message, or with the first block of its payload.
    pub(crate) fn begin_call(&mut self, now: Ticks, way: Way, asks: Asks, payload: &[u8]) -> Result<CallId, CallError> {
        if let Way::Session(peer) = way {
            self.open(peer).ok_or(CallError::Closed)?;
        }
        let place = self.exchange_place().ok_or(CallError::Full)?;
        let exchange = self.exchanges.get_mut(place).ok_or(CallError::Full)?;
        exchange.begin(Address::NOBODY, Role::Free, 0);
        exchange.transmit = false;
        let id = CallId { slot: u8::try_from(place).unwrap_or(u8::MAX), generation: exchange.generation };
        let extra = Extra { block2: asks.first_block(BYTES), ..Extra::default() };
        match self.send(now, place, way, asks, &extra, Body::Given(payload)) {
            Err(CallError::TooLong) => self.begin_upload(now, place, way, asks, payload)?,
            sent => sent?,
        }
        Ok(id)
    }

    /// Sends a message of a call.
    pub(crate) fn send(
        &mut self,
        now: Ticks,
        place: usize,
        way: Way,
        asks: Asks,
        extra: &Extra<'_>,
        body: Body<'_>,
    ) -> Result<(), CallError> {
        let head = (self.message_ids.draw(), self.token());
        let random = u32::from_le_bytes(self.random());
        let Self { parts: Parts { crypto, .. }, sessions, exchanges, settings, .. } = self;
        let exchange = exchanges.get_mut(place).ok_or(CallError::Full)?;
        let payload = match body {
            Body::Given(payload) => payload,
            Body::Room(range) => settings.body.get(range).unwrap_or_default(),
            Body::Held(length) => exchange.bytes.get(..length).unwrap_or_default(),
        };
        let mut plain = [0; BYTES];
        let length = asks.write(head, extra, payload, &mut plain).ok_or(CallError::TooLong)?;
        let plain = plain.get(..length).unwrap_or_default();
        let message = Message::read(plain).map_err(|_| CallError::TooLong)?;
        let coap = coap::Exchange::new(&message, now.as_millis(), random, settings.transmission);
        let (to, with, length) = match way {
            Way::Open(to) => (to, With::Anybody, copy(plain, &mut exchange.bytes).len()),
            Way::Session(peer) => {
                let slot = sessions.get_mut(usize::from(peer.slot)).filter(|slot| slot.generation == peer.generation);
                let open = slot.and_then(session::SessionSlot::open_mut).ok_or(CallError::Closed)?;
                let sealed = open.oscore.protect_request(&message, &mut exchange.bytes, crypto);
                let (sealed, sent) = sealed.map_err(|error| {
                    if error == oscore::Error::ContextLost { CallError::Closed } else { CallError::TooLong }
                })?;
                (open.address, With::Peer(peer, sent), sealed.len())
            }
        };
        let call = Call { with, asks, coap, stage: Stage::Waiting };
        exchange.go_on(to, Role::Call(call), length);
        Ok(())
    }

    /// Gives a call up, or an observation. Nothing more is told of it. A call that opens a session takes the session with
    /// it, if it is under way already.
    pub fn cancel(&mut self, call: CallId) {
        let Some(exchange) = self.exchanges.get_mut(usize::from(call.slot)) else { return };
        if exchange.generation != call.generation {
            return;
        }
        match &exchange.role {
            Role::Call(_) | Role::Failed(_) => exchange.end(),
            Role::Held(held) => {
                let (place, rides) = (usize::from(held.peer.slot), held.rides.is_some());
                exchange.end();
                if rides {
                    self.end_hello(place);
                    self.fail_handshake(place, Failure::Closed);
                }
            }
            Role::Free | Role::Hello { .. } | Role::Asked(_) | Role::Answered { .. } | Role::Notice { .. } => {}
        }
    }

    pub(crate) fn handle_response(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        for place in 0..EXCHANGES {
            let Some(exchange) = self.exchanges.get_mut(place) else { continue };
            if exchange.to != from {
                continue;
            }
            match &mut exchange.role {
                Role::Hello { coap, .. } => match coap.on_message(&message, now.as_millis()) {
                    Matched::No => {}
                    Matched::Acknowledged => return,
                    Matched::Reset => return self.doubt(now, place, Failure::Handshake),
                    Matched::Response { answer } => {
                        if let Some(answer) = answer {
                            self.replies.add(from, answer);
                        }
                        return self.handshake_response(now, place, datagram);
                    }
                },
                Role::Call(call) => match call.coap.on_message(&message, now.as_millis()) {
                    Matched::No => {}
                    Matched::Acknowledged => return,
                    Matched::Reset => return call.doubt_it(now),
                    Matched::Response { answer } => return self.called_back(now, place, answer, datagram),
                },
                Role::Held(Held { peer, rode: Some(coap), .. }) => {
                    let place = usize::from(peer.slot);
                    if let Matched::Response { answer } = coap.on_message(&message, now.as_millis())
                        && message.option(option::OSCORE).is_some()
                    {
                        if let Some(answer) = answer {
                            self.replies.add(from, answer);
                        }
                        return self.late_first_answer(now, place, datagram);
                    }
                }
                Role::Answered { retransmit, .. } => {
                    if retransmit.as_ref().is_some_and(|one| one.is_ended_by(&message)) {
                        *retransmit = None;
                        return;
                    }
                }
                Role::Notice { peer, retransmit } => {
                    if retransmit.is_ended_by(&message) {
                        let peer = *peer;
                        exchange.end();
                        return self.noticed(now, peer, message.kind() == Type::Acknowledgement);
                    }
                }
                Role::Free | Role::Held(_) | Role::Failed(_) | Role::Asked(_) => {}
            }
        }
        self.counters.noise = self.counters.noise.saturating_add(1);
        // A notification of an observation that nobody remembers: whoever sends it shall stop.
        if message.kind() == Type::Confirmable {
            self.replies.add(from, reset(message.id()));
        }
    }

    /// A call got no answer that could be believed: it ends, and with it the session that the peer does not seem to know.
    pub(crate) fn doubted(&mut self, place: usize) {
        let Some(exchange) = self.exchanges.get_mut(place) else { return };
        let Role::Call(call) = &exchange.role else { return };
        match call.with {
            With::Peer(peer, _) => self.end_session(peer, Closing::Lost),
            With::Anybody => exchange.fail(Failure::Closed),
        }
    }

    /// An observer acknowledged a notification, or does not want any more.
    fn noticed(&mut self, now: Ticks, peer: Peer, wanted: bool) {
        let Some(open) = self.open_mut(peer) else { return };
        open.heard = now;
        match &mut open.observation {
            Some(observation) if wanted => observation.observer.acknowledged(now.as_millis()),
            Some(_) | None => open.observation = None,
        }
    }

    /// A response that belongs to a call by its token.
    fn called_back(&mut self, now: Ticks, place: usize, answer: Option<[u8; 4]>, datagram: &mut [u8]) {
        let Some(exchange) = self.exchanges.get_mut(place) else { return };
        let Role::Call(call) = &mut exchange.role else { return };
        let to = exchange.to;
        let opened = match &mut call.with {
            With::Anybody => {
                if let Some(answer) = answer {
                    self.replies.add(to, answer);
                }
                return self.answered_openly(now, place, datagram);
            }
            With::Peer(peer, sent) => {
                let peer = *peer;
                let slot =
                    self.sessions.get_mut(usize::from(peer.slot)).filter(|slot| slot.generation == peer.generation);
                let Some(open) = slot.and_then(session::SessionSlot::open_mut) else { return };
                let protected = Message::read(datagram).is_ok_and(|message| message.option(option::OSCORE).is_some());
                if !protected {
                    // The peer does not know the session any more, or somebody who listens says so: the answer may still
                    // come.
                    return call.doubt_it(now);
                }
                let opened = open.oscore.unprotect_response(sent, datagram, &mut exchange.bytes, &self.parts.crypto);
                opened.map(|(message, _)| {
                    open.heard = now;
                    message.as_bytes().len()
                })
            }
        };
        match opened {
            Ok(length) => {
                exchange.length = length;
                exchange.transmit = false;
                if let Some(answer) = answer {
                    self.replies.add(to, answer);
                }
                self.answered(now, place);
            }
            Err(oscore::Error::Replayed | oscore::Error::Unasked) => {
                // It came before, and its acknowledgement was lost.
                if let Some(answer) = answer {
                    self.replies.add(to, answer);
                }
            }
            Err(_) => self.counters.forged = self.counters.forged.saturating_add(1),
        }
    }

    /// A response to a call without a session.
    fn answered_openly(&mut self, now: Ticks, place: usize, datagram: &[u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        let Some(exchange) = self.exchanges.get_mut(place) else { return };
        let stamp = message.option(option::ECHO).filter(|_| message.code() == Code::UNAUTHORIZED);
        if let Some(stamp) = stamp {
            // Prove that one is reachable, and ask again (RFC 9175 section 2.3); once.
            let Ok(old) = Message::read(exchange.message()) else { return };
            if old.option(option::ECHO).is_none() {
                return self.ask_again(now, place, stamp);
            }
        }
        match exchange.bytes.get_mut(..datagram.len()) {
            None => exchange.fail(Failure::TooLong),
            Some(room) => {
                exchange.length = copy(datagram, room).len();
                exchange.transmit = false;
                self.answered(now, place);
            }
        }
    }

    /// Asks once more without a session, with the proof of being reachable that was asked for.
    fn ask_again(&mut self, now: Ticks, place: usize, stamp: &[u8]) {
        let head = (self.message_ids.draw(), self.token());
        let random = u32::from_le_bytes(self.random());
        let transmission = self.settings.transmission;
        let Some(exchange) = self.exchanges.get_mut(place) else { return };
        let mut scratch = [0; BYTES];
        let Ok(old) = Message::read(exchange.bytes.get(..exchange.length).unwrap_or_default()) else { return };
        let again = coap::repeat_with(&old, head.0, head.1, (option::ECHO, stamp), &mut scratch);
        let Ok(message) = again.map_err(drop).and_then(|again| Message::read(again).map_err(drop)) else {
            return exchange.fail(Failure::TooLong);
        };
        let Role::Call(call) = &mut exchange.role else { return };
        call.coap = coap::Exchange::new(&message, now.as_millis(), random, transmission);
        exchange.length = copy(message.as_bytes(), &mut exchange.bytes).len();
        exchange.transmit = true;
    }

    /// What an exchange has to tell. Readings are judged first: what may not even be reported is dropped.
    pub(crate) fn exchange_event<'b>(&mut self, place: usize, now: Ticks, buffer: &'b mut [u8]) -> Option<Event<'b>> {
        let exchange = self.exchanges.get_mut(place)?;
        let id = CallId { slot: u8::try_from(place).ok()?, generation: exchange.generation };
        let call = match &mut exchange.role {
            Role::Call(call) => call,
            Role::Asked(_) => return self.asked_event(place, buffer),
            Role::Failed(why) => {
                let why = *why;
                exchange.end();
                return Some(Event::Unanswered { call: id, why });
            }
            Role::Free | Role::Hello { .. } | Role::Held(_) | Role::Answered { .. } | Role::Notice { .. } => {
                return None;
            }
        };
        let (asks, from) = (call.asks, exchange.to);
        if let Then::Follow(following) = asks.then {
            return self.follow_on(now, (place, id), following, buffer);
        }
        let peer = match &call.with {
            With::Peer(peer, _) => Some(*peer),
            With::Anybody => None,
        };
        let (status, payload, last) = match call.stage {
            Stage::Waiting | Stage::Doubted(_) | Stage::Listening => return None,
            Stage::Arrived { status, start, last } => (status, exchange.bytes.get(start..exchange.length)?, last),
            Stage::Fetched { status, length } => (status, self.settings.body.get(..length)?, true),
        };
        let fits = payload.len() <= buffer.len();
        let payload = copy(payload, buffer);
        if last || !fits {
            exchange.end();
        } else {
            call.stage = Stage::Listening;
        }
        if !fits {
            return Some(Event::Unanswered { call: id, why: Failure::TooLong });
        }
        let Some(peer) = peer else { return Some(Event::Carried { call: id, from, status, payload }) };
        if matches!(asks.then, Then::Enrol) && status == Status::Done {
            return Some(match self.enrolled(peer, payload) {
                Ok(event) => event,
                Err(why) => Event::NotEnrolled { why },
            });
        }
        if asks.resource != Resource::Readings || status != Status::Done {
            return Some(Event::Answered { call: id, peer, status, payload });
        }
        let identified = self.identified(peer)?;
        let verdict = match self.verdict(now, identified, Operation::Inform) {
            Verdict::Allow(permit) => Verdict::Allow(permit),
            Verdict::Deny(_) => self.verdict(now, identified, Operation::Report),
        };
        match verdict {
            Verdict::Allow(permit) => Some(Event::Readings { call: id, peer, permit, payload }),
            Verdict::Deny(denied) => Some(Event::Denied { peer: Some(peer), denied }),
        }
    }
}
