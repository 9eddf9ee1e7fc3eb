//! What this device is asked for.

use crate::address::Address;
use crate::device::Device;
use crate::event::{Ask, Closing, Event, Peer, Resource, Status};
use crate::exchange::{Asked, Exchange, Role};
use crate::nonces::NONCE;
use crate::objects::{Kind, NotTaken, Scene};
use crate::platform::{Parts, Platform, Ticks};
use crate::query::{LISTING, Query, list};
use crate::session::{self, Observation, Open};
use crate::settings::CallError;
use medlock_proto::coap::block::{self, Block, BlockSize, Progress};
use medlock_proto::coap::observe::{Observer, Wish};
use medlock_proto::coap::{
    self, Code, EXCHANGE_LIFETIME_MS, Message, MessageId, Number, Pending, Retransmit, Transmission, Type, Writer,
    content_format, option,
};
use medlock_proto::crypto::Crypto;
use medlock_proto::oscore::{self, Compressed, Incoming, Received};
use medlock_trust::{Operation, Verdict};

/// The options a request may have.
const KNOWN: [Number; 10] = [
    option::URI_HOST,
    option::URI_PORT,
    option::OBSERVE,
    option::URI_PATH,
    option::URI_QUERY,
    option::ACCEPT,
    // In front of a session only.
    option::EDHOC,
    option::BLOCK1,
    option::BLOCK2,
    option::OSCORE,
];

/// A response, before it is protected.
#[derive(Clone, Copy, Default)]
pub(crate) struct Response<'p> {
    pub(crate) code: Option<Code>,
    pub(crate) observe: Option<u32>,
    pub(crate) format: Option<u16>,
    pub(crate) block2: Option<Block>,
    pub(crate) block1: Option<Block>,
    pub(crate) payload: &'p [u8],
}

impl Response<'_> {
    pub(crate) const fn empty(code: Code) -> Self {
        Self { code: Some(code), observe: None, format: None, block2: None, block1: None, payload: &[] }
    }

    pub(crate) fn write(&self, head: (Type, MessageId, coap::Token), out: &mut [u8]) -> Option<usize> {
        let (kind, id, token) = head;
        let mut writer = Writer::new(out, kind, self.code.unwrap_or(Code::INTERNAL_SERVER_ERROR), id, token);
        let uints = [
            (option::OBSERVE, self.observe),
            (option::CONTENT_FORMAT, self.format.map(u32::from)),
            (option::BLOCK2, self.block2.map(Block::value)),
            (option::BLOCK1, self.block1.map(Block::value)),
        ];
        for (number, value) in uints {
            if let Some(value) = value {
                writer.uint(number, value);
            }
        }
        writer.payload(self.payload).finish().ok().map(|message| message.len())
    }
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    pub(crate) fn handle_request(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        let id = message.id();
        for exchange in self.exchanges.iter_mut().filter(|exchange| exchange.to == from) {
            match &exchange.role {
                // It came before: the same answer. One that waits for the firmware is answered soon. Later the number means
                // another message (RFC 7252 section 4.4).
                Role::Answered { id: seen, since, .. }
                    if *seen == id && now.millis_since(*since) < EXCHANGE_LIFETIME_MS =>
                {
                    exchange.transmit = true;
                    return;
                }
                Role::Asked(asked) if asked.id == id => return,
                Role::Answered { .. }
                | Role::Asked(_)
                | Role::Free
                | Role::Hello { .. }
                | Role::Held(_)
                | Role::Call(_)
                | Role::Failed(_)
                | Role::Notice { .. } => {}
            }
        }
        if message.option(option::OSCORE).is_some() {
            self.protected_request(now, from, datagram);
        } else if message.path_is(&medlock_proto::edhoc::coap::PATH) {
            self.handshake_request(now, from, datagram);
        } else {
            self.open_request(now, from, datagram);
        }
    }

    fn protected_request(&mut self, now: Ticks, from: Address, mut datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        if message.option(option::EDHOC).is_some() {
            if self.exchange_place().is_none() {
                // Message 3 comes again; by then there may be room for what is behind it.
                self.counters.crowded = self.counters.crowded.saturating_add(1);
                return;
            }
            let Some(length) = self.combined(now, from, datagram) else { return };
            datagram = datagram.get_mut(..length).unwrap_or_default();
        }
        let Ok(message) = Message::read(datagram) else { return };
        let kid = Compressed::of(&message).ok().and_then(|option| option.kid);
        let known = self
            .sessions
            .iter()
            .zip(0_usize..)
            .find(|(slot, _)| slot.open().is_some_and(|open| Some(open.session.own_id().as_bytes()) == kid));
        let Some(place) = known.map(|(_, place)| place) else {
            return self.reject(from, datagram, oscore::Error::UnknownContext);
        };
        let Some(exchange_place) = self.exchange_place() else {
            self.counters.crowded = self.counters.crowded.saturating_add(1);
            return;
        };
        let (Some(slot), Some(exchange)) = (self.sessions.get_mut(place), self.exchanges.get_mut(exchange_place))
        else {
            return;
        };
        let peer = session::peer(place, slot);
        let Some(open) = slot.open_mut() else { return };
        let elsewhere = open.address != from;
        if elsewhere && !self.strangers.may_move(now) {
            // Each forgery shortens the session's life: from where its peer is not, few are looked at.
            self.counters.forged = self.counters.forged.saturating_add(1);
            return;
        }
        let opened = match open.oscore.unprotect_request(datagram, &mut exchange.bytes, &self.parts.crypto) {
            Ok(Incoming::Fresh(message, received)) => Request::read(&message, received, peer, now),
            // Keys that live in memory only never lose their memory of requests.
            Ok(Incoming::Unfresh(_)) => return,
            Err(error) => {
                self.counters.forged = self.counters.forged.saturating_add(1);
                let lost = open.oscore.is_lost();
                if elsewhere {
                    self.strangers.spend_on_move(now);
                }
                if lost {
                    self.end_session(peer, Closing::UsedUp);
                }
                // A replay is the network's doing as often as a forger's: silence.
                if error != oscore::Error::Replayed {
                    self.reject(from, datagram, error);
                }
                return;
            }
        };
        open.heard = now;
        open.address = from;
        let Request { asked, code, length, refused } = opened;
        exchange.begin(from, Role::Free, length);
        exchange.transmit = false;
        match refused {
            Some(code) => self.respond(now, exchange_place, asked, &Response::empty(code)),
            None => self.serve(now, exchange_place, asked, code),
        }
    }

    /// Answers a request that was opened and lies in an exchange, or lets the firmware answer it.
    fn serve(&mut self, now: Ticks, place: usize, asked: Asked, code: Code) {
        let (operation, method) = match asked.resource {
            Resource::Objects if code == Code::GET => return self.give_objects(now, place, asked),
            Resource::Objects if code == Code::POST => return self.take_posted(now, place, asked),
            Resource::Readings | Resource::State => (Operation::Read, Code::GET),
            Resource::Lease if code == Code::POST => return self.sustain(now, place, asked),
            Resource::Challenge | Resource::Command | Resource::Receipt if code == Code::POST => {
                return self.sealed_in_session(now, place, asked);
            }
            Resource::Objects | Resource::Lease | Resource::Challenge | Resource::Command | Resource::Receipt => {
                return self.respond(now, place, asked, &Response::empty(Code::METHOD_NOT_ALLOWED));
            }
            Resource::AuthorityCertificates | Resource::Enrol | Resource::Renew | Resource::Records => {
                return self.respond(now, place, asked, &Response::empty(Code::NOT_FOUND));
            }
        };
        if code != method {
            return self.respond(now, place, asked, &Response::empty(Code::METHOD_NOT_ALLOWED));
        }
        let Some(identified) = self.identified(asked.peer) else { return };
        match self.verdict(now, identified, operation) {
            Verdict::Allow(permit) => {
                if let Some(exchange) = self.exchanges.get_mut(place) {
                    exchange.role = Role::Asked(Asked { permit: Some(permit), ..asked });
                }
            }
            Verdict::Deny(denied) => {
                self.told.denied = Some((Some(asked.peer), denied));
                let payload = denied.code.as_str().as_bytes();
                self.respond(now, place, asked, &Response { payload, ..Response::empty(Code::FORBIDDEN) });
            }
        }
    }

    /// What this device holds, one of its objects, or a number for a ticket.
    fn give_objects(&mut self, now: Ticks, place: usize, asked: Asked) {
        let Some(exchange) = self.exchanges.get(place) else { return };
        let Ok(request) = Message::read(exchange.message()) else { return };
        let query = Query::read(request.option(option::URI_QUERY));
        let size = BlockSize::at_most(BYTES.saturating_sub(oscore::MAX_OVERHEAD).saturating_sub(16));
        let wanted = match Block::of(&request, option::BLOCK2) {
            Ok(Some(wanted)) if wanted.size() <= size => wanted,
            Ok(Some(wanted)) => Block::at(wanted.offset(), false, size).unwrap_or(Block::first(size)),
            Ok(None) => Block::first(size),
            Err(error) => return self.respond(now, place, asked, &Response::empty(error.code())),
        };
        if query == Query::Nonce {
            // For those alone who may renew here: strangers by profession, as a birth credential is, draw none.
            let Some(identified) = self.identified(asked.peer) else { return };
            if let Verdict::Deny(denied) = self.verdict(now, identified, Operation::Renew) {
                self.told.denied = Some((Some(asked.peer), denied));
                let payload = denied.code.as_str().as_bytes();
                return self.respond(now, place, asked, &Response { payload, ..Response::empty(Code::FORBIDDEN) });
            }
            let nonce: [u8; NONCE] = self.random();
            self.objects.ask(nonce, now, true);
            let format = Some(content_format::BYTES);
            let response = Response { format, payload: &nonce, ..Response::empty(Code::CONTENT) };
            return self.respond(now, place, asked, &response);
        }
        let own = self.message_ids.draw();
        let random = u32::from_le_bytes(self.random());
        let Self { parts: Parts { flash, crypto, .. }, objects, sessions, exchanges, settings, .. } = self;
        let mut listing = [0; LISTING];
        let (body, format) = match query {
            Query::Listing | Query::Nonce => {
                (list(objects.held(flash).map(|(held, _)| held), &mut listing), content_format::CBOR)
            }
            Query::Object(number) => {
                (objects.held(flash).nth(number).map(|(_, bytes)| bytes), content_format::COSE_SIGN1)
            }
            Query::Unknown => (None, content_format::CBOR),
        };
        let response = match body.map(|body| block::slice(body, wanted)) {
            Some(Ok((block, payload))) => {
                let block2 = (block.more() || block.number() > 0).then_some(block);
                Response { format: Some(format), block2, payload, ..Response::empty(Code::CONTENT) }
            }
            Some(Err(error)) => Response::empty(error.code()),
            None => Response::empty(Code::NOT_FOUND),
        };
        let at = usize::from(asked.peer.slot);
        let (Some(slot), Some(exchange)) = (sessions.get_mut(at), exchanges.get_mut(place)) else { return };
        let Some(open) = slot.open_mut() else { return };
        let sending = Sending { now, own, random, transmission: settings.transmission, crypto };
        let _ = sending.response(open, exchange, asked, &response);
    }

    /// A trust object that a peer brings, whole or in blocks.
    fn take_posted(&mut self, now: Ticks, place: usize, asked: Asked) {
        let Some(exchange) = self.exchanges.get(place) else { return };
        let Ok(request) = Message::read(exchange.message()) else { return };
        let block = match Block::of(&request, option::BLOCK1) {
            Ok(block) => block,
            Err(error) => return self.respond(now, place, asked, &Response::empty(error.code())),
        };
        let taken = match block {
            None => {
                let payload = request.payload();
                let Self { parts: Parts { flash, crypto, .. }, objects, clock, settings, sessions, own, .. } = self;
                let peers = |credential| session::is_with(sessions, credential);
                let (alliance, own) = (settings.alliance, *own);
                objects.take(payload, &mut Scene { flash, crypto, clock, now, alliance, own, peers: &peers })
            }
            Some(block) => {
                let tag = [asked.peer.slot];
                let Self { assembler, settings, .. } = self;
                match assembler.accept(block, Some(&tag), request.payload(), settings.staging) {
                    Ok(Progress::Next(_)) => {
                        let response = Response { block1: Some(block), ..Response::empty(Code::CONTINUE) };
                        return self.respond(now, place, asked, &response);
                    }
                    Ok(Progress::Complete(length)) => self.take_staged(now, length),
                    Err(error) => return self.respond(now, place, asked, &Response::empty(error.code())),
                }
            }
        };
        let response = Response { block1: block, ..Response::empty(code_of(&taken.map(drop))) };
        self.respond(now, place, asked, &response);
        if let Ok(kind) = taken {
            self.told.news = Some(kind);
            self.judge_sessions(now);
        }
    }

    /// Takes the object that was put together in the staging buffer.
    fn take_staged(&mut self, now: Ticks, length: usize) -> Result<Kind, NotTaken> {
        let Self { parts: Parts { flash, crypto, .. }, objects, clock, settings, sessions, own, .. } = self;
        let object = settings.staging.get(..length).unwrap_or_default();
        let peers = |credential| session::is_with(sessions, credential);
        let (alliance, own) = (settings.alliance, *own);
        objects.take(object, &mut Scene { flash, crypto, clock, now, alliance, own, peers: &peers })
    }

    /// A request without a session: a trust object that any carrier brings.
    fn open_request(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        if message.kind() != Type::Confirmable {
            self.counters.noise = self.counters.noise.saturating_add(1);
            return;
        }
        let (id, token) = (message.id(), message.token());
        let sealed = [Resource::Challenge, Resource::Command, Resource::Receipt];
        if message.code() == Code::POST && sealed.into_iter().any(|resource| message.path_is(resource.path())) {
            return self.sealed_in_the_open(now, from, datagram);
        }
        let is_object = message.path_is(Resource::Objects.path()) && message.code() == Code::POST;
        let code = if message.unrecognized(&KNOWN).is_some() || message.option(option::EDHOC).is_some() {
            Code::BAD_OPTION
        } else if !is_object || message.option(option::BLOCK1).is_some() {
            Code::UNAUTHORIZED
        } else if !self.strangers.may_bring_object(now) {
            Code::TOO_MANY_REQUESTS
        } else {
            let taken = self.take_object(now, message.payload());
            if taken.is_ok() || taken.is_err_and(|why| !why.is_cheap()) {
                self.strangers.spend_on_object(now);
            }
            code_of(&taken.map(drop))
        };
        self.strangers
            .stray
            .send(from, |out| Response::empty(code).write((Type::Acknowledgement, id, token), out).ok_or(()));
    }

    fn reject(&mut self, from: Address, datagram: &[u8], error: oscore::Error) {
        let Ok(message) = Message::read(datagram) else { return };
        let own = self.message_ids.draw();
        self.strangers.stray.send(from, |out| oscore::reject(&message, error, own, out).map(<[u8]>::len).ok_or(()));
    }

    /// Answers a request. What does not fit is answered with 5.00.
    pub(crate) fn respond(&mut self, now: Ticks, place: usize, asked: Asked, response: &Response<'_>) {
        let _ = self.try_respond(now, place, asked, response);
    }

    fn try_respond(
        &mut self,
        now: Ticks,
        place: usize,
        asked: Asked,
        response: &Response<'_>,
    ) -> Result<Received, CallError> {
        let own = self.message_ids.draw();
        let random = u32::from_le_bytes(self.random());
        let transmission = self.settings.transmission;
        let peer = asked.peer;
        let slot = self.sessions.get_mut(usize::from(peer.slot)).ok_or(CallError::Closed)?;
        let exchange = self.exchanges.get_mut(place).ok_or(CallError::Closed)?;
        if slot.generation != peer.generation {
            exchange.end();
            return Err(CallError::Closed);
        }
        let open = slot.open_mut().ok_or(CallError::Closed)?;
        let sending = Sending { now, own, random, transmission, crypto: &self.parts.crypto };
        sending.response(open, exchange, asked, response)
    }

    /// Answers a peer's request ([`Event::Asked`]).
    ///
    /// # Errors
    /// [`CallError::Closed`] if the session ended meanwhile, [`CallError::TooLong`].
    pub fn answer(&mut self, now: Ticks, ask: Ask, status: Status, payload: &[u8]) -> Result<(), CallError> {
        let place = usize::from(ask.slot);
        let exchange = self.exchanges.get_mut(place).ok_or(CallError::Closed)?;
        if exchange.generation != ask.generation || !matches!(exchange.role, Role::Asked(_)) {
            return Err(CallError::Closed);
        }
        let Role::Asked(asked) = core::mem::replace(&mut exchange.role, Role::Free) else {
            return Err(CallError::Closed);
        };
        let (peer, resource) = (asked.peer, asked.resource);
        let code = match status {
            Status::Done => Code::CONTENT,
            Status::Refused(detail) => Code::new(4, detail),
            Status::Failed(detail) => Code::new(5, detail),
        };
        let observes = asked.observe && status == Status::Done;
        let observer = observes.then(|| Observer::new(asked.pending.response(MessageId(0)).2, now.as_millis()));
        let observe = observer.map(|mut observer| observer.notify(now.as_millis(), 0).0);
        let format = (!payload.is_empty()).then_some(content_format::CBOR);
        let response = Response { observe, format, payload, ..Response::empty(code) };
        let received = self.try_respond(now, place, asked, &response)?;
        if let (Some(observer), Some(open)) = (observer, self.open_mut(peer)) {
            open.observation = Some(Observation { resource, observer, received });
        }
        Ok(())
    }

    /// Gives all who observe `resource` its new state. Each observer is judged before.
    pub fn notify(&mut self, now: Ticks, resource: Resource, payload: &[u8]) {
        for place in 0..SESSIONS {
            let Some(slot) = self.sessions.get(place) else { continue };
            let peer = session::peer(place, slot);
            let Some(open) = slot.open() else { continue };
            if open.observation.as_ref().is_none_or(|observation| observation.resource != resource) {
                continue;
            }
            match self.verdict(now, open.session.peer(), Operation::Read) {
                Verdict::Allow(_) => self.notify_one(now, peer, payload),
                Verdict::Deny(denied) => {
                    self.told.denied = Some((Some(peer), denied));
                    if let Some(open) = self.open_mut(peer) {
                        open.observation = None;
                    }
                }
            }
        }
    }

    fn notify_one(&mut self, now: Ticks, peer: Peer, payload: &[u8]) {
        // The newest counts: one that was not acknowledged yet makes room.
        let old = self.exchanges.iter().position(|exchange| match &exchange.role {
            Role::Notice { peer: to, .. } => *to == peer,
            Role::Free
            | Role::Hello { .. }
            | Role::Held(_)
            | Role::Call(_)
            | Role::Failed(_)
            | Role::Asked(_)
            | Role::Answered { .. } => false,
        });
        let Some(place) = old.or_else(|| self.exchange_place()) else {
            self.counters.crowded = self.counters.crowded.saturating_add(1);
            return;
        };
        let id = self.message_ids.draw();
        let random = u32::from_le_bytes(self.random());
        let transmission = self.settings.transmission;
        let crypto = &self.parts.crypto;
        let (Some(slot), Some(exchange)) =
            (self.sessions.get_mut(usize::from(peer.slot)), self.exchanges.get_mut(place))
        else {
            return;
        };
        let Some(open) = slot.open_mut() else { return };
        let Some(observation) = &mut open.observation else { return };
        let (number, _) = observation.observer.notify(now.as_millis(), 0);
        let format = Some(content_format::CBOR);
        let response = Response { observe: Some(number), format, payload, ..Response::empty(Code::CONTENT) };
        let mut plain = [0; BYTES];
        let head = (Type::Confirmable, id, observation.observer.token());
        let length = response.write(head, &mut plain).and_then(|length| {
            let message = Message::read(plain.get(..length)?).ok()?;
            let sealed = open.oscore.protect_response(&mut observation.received, &message, &mut exchange.bytes, crypto);
            sealed.ok().map(<[u8]>::len)
        });
        let Some(length) = length else { return };
        let retransmit = Retransmit::new(id, now.as_millis(), random, transmission);
        exchange.begin(open.address, Role::Notice { peer, retransmit }, length);
    }

    /// What an exchange has to tell.
    pub(crate) fn asked_event<'b>(&mut self, place: usize, buffer: &'b mut [u8]) -> Option<Event<'b>> {
        let exchange = self.exchanges.get_mut(place)?;
        let (slot, generation) = (u8::try_from(place).ok()?, exchange.generation);
        let Role::Asked(asked) = &mut exchange.role else { return None };
        let permit = asked.permit.take()?;
        let (peer, resource) = (asked.peer, asked.resource);
        let payload = copy(exchange.bytes.get(asked.start..exchange.length)?, buffer);
        Some(Event::Asked { ask: Ask { slot, generation }, peer, resource, permit, payload })
    }
}

fn code_of(taken: &Result<(), NotTaken>) -> Code {
    match taken {
        Ok(()) => Code::CHANGED,
        Err(old) if old.is_old() => Code::CONFLICT,
        Err(NotTaken::Store(_) | NotTaken::KeyStore) => Code::SERVICE_UNAVAILABLE,
        Err(NotTaken::NotPinned | NotTaken::NoSiteList | NotTaken::NoCredential) => Code::PRECONDITION_FAILED,
        Err(
            NotTaken::Unknown
            | NotTaken::NotNewer
            | NotTaken::NeedsPhysicalAct
            | NotTaken::Credential(_)
            | NotTaken::NotOurs
            | NotTaken::List(_)
            | NotTaken::Status(_)
            | NotTaken::Policy(_)
            | NotTaken::Suspension(_)
            | NotTaken::Bond(_)
            | NotTaken::BondRefused(_),
        ) => Code::BAD_REQUEST,
    }
}

pub(crate) fn copy<'b>(from: &[u8], buffer: &'b mut [u8]) -> &'b [u8] {
    let length = from.len().min(buffer.len());
    let (to, _) = buffer.split_at_mut(length);
    to.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
    to
}

/// A request that was opened.
struct Request {
    asked: Asked,
    code: Code,
    length: usize,
    /// What it is answered with at once, because it cannot be understood.
    refused: Option<Code>,
}

impl Request {
    fn read(message: &Message<'_>, received: Received, peer: Peer, now: Ticks) -> Self {
        let resource = Resource::ALL.into_iter().find(|resource| message.path_is(resource.path()));
        let refused = if message.unrecognized(&KNOWN).is_some() {
            Some(Code::BAD_OPTION)
        } else {
            resource.is_none().then_some(Code::NOT_FOUND)
        };
        let length = message.as_bytes().len();
        let asked = Asked {
            peer,
            resource: resource.unwrap_or(Resource::State),
            pending: Pending::new(message, now.as_millis()),
            received,
            id: message.id(),
            since: now,
            observe: Wish::of(message) == Some(Wish::Register),
            permit: None,
            start: length.saturating_sub(message.payload().len()),
        };
        Self { asked, code: message.code(), length, refused }
    }
}

/// What sending an answer takes.
struct Sending<'c, C> {
    now: Ticks,
    own: MessageId,
    random: u32,
    transmission: Transmission,
    crypto: &'c C,
}

impl<C: Crypto> Sending<'_, C> {
    /// Protects the response into its exchange, from which it is sent.
    fn response<const BYTES: usize>(
        &self,
        open: &mut Open,
        exchange: &mut Exchange<BYTES>,
        asked: Asked,
        response: &Response<'_>,
    ) -> Result<Received, CallError> {
        let Asked { pending, mut received, id, since, .. } = asked;
        let head = pending.response(self.own);
        let mut plain = [0; BYTES];
        let length = response.write(head, &mut plain).ok_or(CallError::TooLong)?;
        let message = Message::read(plain.get(..length).unwrap_or_default()).map_err(|_| CallError::TooLong)?;
        let sealed = open.oscore.protect_response(&mut received, &message, &mut exchange.bytes, self.crypto);
        let length = sealed.map_err(|_| CallError::TooLong)?.len();
        let (kind, own, _) = head;
        let confirmable = kind == Type::Confirmable;
        let retransmit =
            confirmable.then(|| Retransmit::new(own, self.now.as_millis(), self.random, self.transmission));
        exchange.begin(open.address, Role::Answered { id, since, retransmit }, length);
        Ok(received)
    }
}
