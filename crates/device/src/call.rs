//! What this device asks of others.

use crate::address::Address;
use crate::device::Device;
use crate::event::{CallId, Closing, Event, Failure, Method, Peer, Resource, Status};
use crate::exchange::{Call, Role, Stage};
use crate::platform::{Platform, Ticks};
use crate::serve::copy;
use crate::settings::CallError;
use medlock_proto::coap::observe::Wish;
use medlock_proto::coap::{self, Code, Matched, Message, Type, Writer, content_format, option, reset};
use medlock_trust::{Operation, Verdict};

/// A request as it is to be made.
struct Wanted<'p> {
    method: Method,
    resource: Resource,
    query: Option<&'p [u8]>,
    format: u16,
    payload: &'p [u8],
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Asks a peer; [`Event::Answered`], [`Event::Readings`] or [`Event::Unanswered`] follows.
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
        self.post(now, peer, method, resource, (content_format::CBOR, payload))
    }

    /// A call whose payload is of another format than CBOR.
    pub(crate) fn post(
        &mut self,
        now: Ticks,
        peer: Peer,
        method: Method,
        resource: Resource,
        (format, payload): (u16, &[u8]),
    ) -> Result<CallId, CallError> {
        self.request(now, peer, &Wanted { method, resource, query: None, format, payload })
    }

    fn request(&mut self, now: Ticks, peer: Peer, wanted: &Wanted<'_>) -> Result<CallId, CallError> {
        let place = self.exchange_place().ok_or(CallError::Full)?;
        let (id, token) = (self.message_ids.draw(), self.token());
        let random = u32::from_le_bytes(self.random());
        let transmission = self.settings.transmission;
        let slot = self.sessions.get_mut(usize::from(peer.slot)).ok_or(CallError::Closed)?;
        if slot.generation != peer.generation {
            return Err(CallError::Closed);
        }
        let open = slot.open_mut().ok_or(CallError::Closed)?;
        let exchange = self.exchanges.get_mut(place).ok_or(CallError::Full)?;
        let (code, observing) = match wanted.method {
            Method::Get => (Code::GET, false),
            Method::Observe => (Code::GET, true),
            Method::Post => (Code::POST, false),
        };
        let mut plain = [0; BYTES];
        let mut writer = Writer::new(&mut plain, Type::Confirmable, code, id, token);
        if observing {
            writer.uint(option::OBSERVE, Wish::Register.value());
        }
        writer.path(wanted.resource.path());
        if !wanted.payload.is_empty() {
            writer.uint(option::CONTENT_FORMAT, wanted.format.into());
        }
        if let Some(query) = wanted.query {
            writer.option(option::URI_QUERY, query);
        }
        let message = writer.payload(wanted.payload).finish().map_err(|_| CallError::TooLong)?;
        let message = Message::read(message).map_err(|_| CallError::TooLong)?;
        let sealed = open.oscore.protect_request(&message, &mut exchange.bytes, &self.parts.crypto);
        let (sealed, sent) = sealed.map_err(|error| {
            if error == medlock_proto::oscore::Error::ContextLost { CallError::Closed } else { CallError::TooLong }
        })?;
        let length = sealed.len();
        let coap = coap::Exchange::new(&message, now.as_millis(), random, transmission);
        let call = Call { peer, resource: wanted.resource, coap, sent, stage: Stage::Waiting };
        exchange.begin(open.address, Role::Call(call), length);
        Ok(CallId { slot: u8::try_from(place).unwrap_or(u8::MAX), generation: exchange.generation })
    }

    /// Gives a call up, or an observation. Nothing more is told of it.
    pub fn cancel(&mut self, call: CallId) {
        if let Some(exchange) = self.exchanges.get_mut(usize::from(call.slot))
            && exchange.generation == call.generation
            && matches!(exchange.role, Role::Call(_))
        {
            exchange.end();
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
                    Matched::Reset => {
                        let Role::Hello { place, .. } = exchange.role else { return };
                        exchange.end();
                        return self.fail_handshake(place, Failure::Handshake);
                    }
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
                    Matched::Reset => {
                        call.stage = Stage::Failed(Failure::Closed);
                        return;
                    }
                    Matched::Response { answer } => return self.called_back(now, place, answer, datagram),
                },
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
                Role::Free | Role::Asked(_) => {}
            }
        }
        self.counters.noise = self.counters.noise.saturating_add(1);
        // A notification of an observation that nobody remembers: whoever sends it shall stop.
        if message.kind() == Type::Confirmable {
            self.replies.add(from, reset(message.id()));
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
        let crypto = &self.parts.crypto;
        let Some(exchange) = self.exchanges.get_mut(place) else { return };
        let Role::Call(call) = &mut exchange.role else { return };
        let peer = call.peer;
        let Some(slot) = self.sessions.get_mut(usize::from(peer.slot)) else { return };
        if slot.generation != peer.generation {
            return;
        }
        let Some(open) = slot.open_mut() else { return };
        let protected = Message::read(datagram).is_ok_and(|message| message.option(option::OSCORE).is_some());
        if !protected {
            // The peer does not know the session any more. Anybody on the path may say so; whoever is on the path could as
            // well drop everything, and a new handshake costs little.
            return self.end_session(peer, Closing::Lost);
        }
        match open.oscore.unprotect_response(&mut call.sent, datagram, &mut exchange.bytes, crypto) {
            Ok((message, _)) => {
                let start = message.as_bytes().len().saturating_sub(message.payload().len());
                let status = match (message.code().class(), message.code().detail()) {
                    (2, _) => Status::Done,
                    (4, detail) => Status::Refused(detail),
                    (_, detail) => Status::Failed(detail),
                };
                exchange.length = message.as_bytes().len();
                exchange.transmit = false;
                open.heard = now;
                call.stage = Stage::Arrived { status, start, last: call.sent.is_finished() };
                let to = exchange.to;
                if let Some(answer) = answer {
                    self.replies.add(to, answer);
                }
            }
            Err(medlock_proto::oscore::Error::Replayed | medlock_proto::oscore::Error::Unasked) => {
                // It came before, and its acknowledgement was lost.
                let to = exchange.to;
                if let Some(answer) = answer {
                    self.replies.add(to, answer);
                }
            }
            Err(_) => self.counters.forged = self.counters.forged.saturating_add(1),
        }
    }

    /// What an exchange has to tell. Readings are judged first: what may not even be reported is dropped.
    pub(crate) fn exchange_event<'b>(&mut self, place: usize, now: Ticks, buffer: &'b mut [u8]) -> Option<Event<'b>> {
        let exchange = self.exchanges.get_mut(place)?;
        let id = CallId { slot: u8::try_from(place).ok()?, generation: exchange.generation };
        let call = match &mut exchange.role {
            Role::Call(call) => call,
            Role::Asked(_) => return self.asked_event(place, buffer),
            Role::Free | Role::Hello { .. } | Role::Answered { .. } | Role::Notice { .. } => return None,
        };
        let (peer, resource) = (call.peer, call.resource);
        match call.stage {
            Stage::Waiting | Stage::Listening => None,
            Stage::Failed(why) => {
                exchange.end();
                Some(Event::Unanswered { call: id, why })
            }
            Stage::Arrived { status, start, last } => {
                let payload = copy(exchange.bytes.get(start..exchange.length)?, buffer);
                if last {
                    exchange.end();
                } else {
                    call.stage = Stage::Listening;
                }
                if matches!(resource, Resource::Enrol | Resource::Renew) && status == Status::Done {
                    return Some(match self.enrolled(payload) {
                        Ok(event) => event,
                        Err(why) => Event::NotEnrolled { why },
                    });
                }
                if resource != Resource::Readings || status != Status::Done {
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
    }
}
