//! Handshakes that this device begins, and the first request that goes with them.
//!
//! The first request waits in an exchange of its own until message 2 came. Then it goes with message 3 in one datagram
//! (RFC 9668), if both fit into an exchange; its answer confirms the session. A peer that does not take that gets message 3
//! by itself, and the request when its message 4 came. One's own credential is named by its hash if the peer has seen it; if
//! it says that it does not know it, the handshake begins anew, once, and the credential is shown.

use crate::address::Address;
use crate::call::{Body, Way};
use crate::device::Device;
use crate::event::{CallId, Failure, Peer};
use crate::exchange::{Call, Held, Role, Stage, With};
use crate::handshake::{SUITES, ephemeral};
use crate::identity::{Identifying, NotIdentified, PeerRoom, REMEMBERED};
use crate::platform::{Platform, Ticks};
use crate::request::{Asks, Extra, Request};
use crate::serve::copy;
use crate::session::{self, State};
use crate::settings::CallError;
use medlock_proto::coap::{self, Code, Message, MessageId, Token, Type, Writer, content_format, option};
use medlock_proto::edhoc::initiator::{self, AwaitMessage2, Offer, Unconfirmed};
use medlock_proto::edhoc::{self, ConnectionId, Fault, Rejected, Suite};
use medlock_proto::oscore::{Compressed, SecurityContext};
use medlock_trust::authenticate::CredentialKind;

/// How many wrong answers are looked at, and questions for Echo answered, before a handshake of one's own is given up.
const MAX_TRIES: u8 = 4;
/// How long a better answer is waited for after one that ends a handshake or a call of one's own, in milliseconds: time for two
/// repetitions of the request. Who listens on the radio and sends faster than the peer ends nothing by it.
pub(crate) const DOUBT_MS: u64 = 10_000;

/// A handshake under way: its place among the sessions, its exchange, its peer.
#[derive(Clone, Copy)]
struct Under {
    place: usize,
    exchange: usize,
    to: Address,
    /// It began anew, because a credential was named that was not known.
    again: bool,
}

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Begins a handshake with the peer at `to`; [`Event::Connected`](crate::Event::Connected) or
    /// [`Event::NotConnected`](crate::Event::NotConnected) follows. One public-key operation.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn connect(&mut self, now: Ticks, to: Address) -> Result<(), CallError> {
        let exchange = self.exchange_place().ok_or(CallError::Full)?;
        self.begin_handshake(now, to, exchange).map(drop)
    }

    /// Begins a handshake with the peer at `to` and makes the first request of the session, which saves a round trip: it
    /// goes with message 3 in one datagram (RFC 9668) where both fit and the peer takes it. The events of both follow, that
    /// of the handshake first. The request is sent before the peer confirmed the session, but nobody else can read it.
    ///
    /// # Errors
    /// [`CallError`]; [`CallError::TooLong`] also if the payload would need blocks.
    pub fn connect_with(&mut self, now: Ticks, to: Address, request: &Request<'_>) -> Result<CallId, CallError> {
        let asks = Asks::of(request).ok_or(CallError::TooLong)?;
        if request.payload.len() > crate::request::block_size(BYTES).bytes() {
            return Err(CallError::TooLong);
        }
        let place = self.exchange_place().ok_or(CallError::Full)?;
        let held = self.exchanges.get_mut(place).ok_or(CallError::Full)?;
        let length = copy(request.payload, &mut held.bytes).len();
        // Its place is taken before another is looked for.
        let nobody = Peer { slot: u8::MAX, generation: 0 };
        held.begin(to, Role::Held(Held { peer: nobody, asks, rides: None, rode: None }), length);
        held.transmit = false;
        let begun = self.exchange_place().ok_or(CallError::Full).and_then(|at| self.begin_handshake(now, to, at));
        let held = self.exchanges.get_mut(place).ok_or(CallError::Full)?;
        match begun {
            Ok(peer) => {
                held.role = Role::Held(Held { peer, asks, rides: None, rode: None });
                Ok(CallId { slot: u8::try_from(place).unwrap_or(u8::MAX), generation: held.generation })
            }
            Err(error) => {
                held.end();
                Err(error)
            }
        }
    }

    fn begin_handshake(&mut self, now: Ticks, to: Address, exchange: usize) -> Result<Peer, CallError> {
        let place = self.session_place(true).ok_or(CallError::Full)?;
        let slot = self.sessions.get_mut(place).ok_or(CallError::Full)?;
        slot.begin(State::Free);
        let peer = session::peer(place, slot);
        self.message_1_of_own(now, Under { place, exchange, to, again: false })?;
        Ok(peer)
    }

    fn message_1_of_own(&mut self, now: Ticks, under: Under) -> Result<(), CallError> {
        let Under { place, to, again, .. } = under;
        let connection = self.connection_id(None).ok_or(CallError::Full)?;
        let head = (self.message_ids.draw(), self.token());
        let method = self.settings.method;
        let offer = Offer { method, suites: &SUITES, selected: Suite::Suite2, connection, ead: &[] };
        let ephemeral = ephemeral(&mut self.parts.rng, &self.parts.crypto);
        let mut message = [0; MESSAGE_1];
        let started = initiator::start(&offer, ephemeral, &mut message, &self.parts.crypto);
        let (awaiting, length) = started.map_err(|_| CallError::TooLong)?;
        let message = message.get(..length).unwrap_or_default();
        self.hello(now, under, head, &|payload| {
            let head = edhoc::coap::write_start(payload).ok()?;
            append(payload, head, message)
        })
        .ok_or(CallError::TooLong)?;
        let slot = self.sessions.get_mut(place).ok_or(CallError::Full)?;
        slot.state = State::Hello { to, awaiting, tries: MAX_TRIES, again };
        Ok(())
    }

    /// Sends a message of the handshake by itself.
    fn hello(
        &mut self,
        now: Ticks,
        under: Under,
        (id, token): (MessageId, Token),
        message: &dyn Fn(&mut [u8]) -> Option<usize>,
    ) -> Option<()> {
        let random = u32::from_le_bytes(self.random());
        let exchange = self.exchanges.get_mut(under.exchange)?;
        let written = Writer::new(&mut exchange.bytes, Type::Confirmable, Code::POST, id, token)
            .path(&edhoc::coap::PATH)
            .uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into())
            .payload_with(message)
            .finish()
            .ok()?;
        let written = Message::read(written).ok()?;
        let coap = coap::Exchange::new(&written, now.as_millis(), random, self.settings.transmission);
        let length = written.as_bytes().len();
        exchange.begin(under.to, Role::Hello { place: under.place, coap, doubt: None }, length);
        Some(())
    }

    /// An answer to a message of a handshake that this device began.
    pub(crate) fn handshake_response(&mut self, now: Ticks, exchange: usize, datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        let Some(Role::Hello { place, .. }) = self.exchanges.get(exchange).map(|exchange| &exchange.role) else {
            return;
        };
        let place = *place;
        if message.code() == Code::UNAUTHORIZED
            && let Some(stamp) = message.option(option::ECHO)
        {
            self.hello_again(now, exchange, stamp);
            return;
        }
        let (good, protected) = (message.code() == Code::CHANGED, message.option(option::OSCORE).is_some());
        let fault = message.uint(option::CONTENT_FORMAT) == Some(content_format::EDHOC.into());
        let unknown = fault && Fault::read(message.payload()) == Ok(Fault::UnknownCredential);
        let payload = message.as_bytes().len().saturating_sub(message.payload().len());
        let Some(slot) = self.sessions.get_mut(place) else { return };
        match core::mem::replace(&mut slot.state, State::Free) {
            State::Hello { to, awaiting, tries, again } if good => {
                let text = datagram.get_mut(payload..).unwrap_or_default();
                self.message_2(now, Under { place, exchange, to, again }, awaiting, tries, text);
            }
            State::Confirming { to, unconfirmed, oscore, again } => {
                let under = Under { place, exchange, to, again };
                let riding = self.held(place).is_some_and(|held| self.is_riding(held));
                if protected {
                    self.first_answer(now, under, unconfirmed, oscore, datagram);
                } else if unknown && !again && self.met.was_named(to) {
                    self.met.refused(to);
                    self.begin_anew(now, under);
                } else if riding && !fault {
                    self.message_3_alone(now, under, unconfirmed, oscore);
                } else if good && !riding {
                    let text = datagram.get_mut(payload..).unwrap_or_default();
                    self.message_4(now, under, unconfirmed, oscore, text);
                } else {
                    if let Some(slot) = self.sessions.get_mut(place) {
                        slot.state = State::Confirming { to, unconfirmed, oscore, again };
                    }
                    self.doubt(now, exchange, Failure::Handshake);
                }
            }
            state @ State::Hello { .. } => {
                slot.state = state;
                self.doubt(now, exchange, Failure::Handshake);
            }
            state @ (State::Free | State::Open(_) | State::Failed { .. } | State::Ended { .. }) => slot.state = state,
        }
    }

    fn message_2(&mut self, now: Ticks, under: Under, awaiting: AwaitMessage2, tries: u8, text: &mut [u8]) {
        let crypto = &self.parts.crypto;
        let message = match awaiting.read(text, &[], crypto) {
            Ok(message) => message,
            Err(Rejected { state, error: _ }) => {
                return self.wait_on(now, under, (state, tries), Failure::Handshake);
            }
        };
        let mut room = PeerRoom::new();
        let identifying = Identifying { objects: &self.objects, flash: &self.parts.flash, met: &self.met, crypto };
        let mut remembered = [0; REMEMBERED];
        let signs = message.method().responder_signs();
        let verified = match identifying.peer(message.id_cred(), signs, &mut room) {
            Ok(shown) => {
                let chain = shown.write(&mut remembered);
                let verified = message.verify(shown.peer, crypto);
                verified.map(|verified| (verified, chain)).map_err(|rejected| (rejected.state, Failure::Handshake))
            }
            // It takes this device for one that has met it. It shows its credential to who begins anew.
            Err(NotIdentified::UnknownName) if !under.again => return self.begin_anew(now, under),
            Err(NotIdentified::UnknownName) => Err((message.reject(), Failure::Handshake)),
            Err(NotIdentified::Nobody(why)) => Err((message.reject(), Failure::Unidentified(why))),
        };
        let (verified, chain) = match verified {
            Ok(verified) => verified,
            Err((state, why)) => return self.wait_on(now, under, (state, tries), why),
        };
        // Nothing is sent to whom nothing is allowed: who is known to be stolen gets no first request.
        let peer = verified.peer();
        let hopeless = self.nothing_allowed(now, peer).filter(|_| peer.kind() == CredentialKind::Operational);
        if let Some(denied) = hopeless {
            self.told.denied = Some((None, denied));
            return self.set_failed(under, Failure::Handshake);
        }
        self.met.remember(under.to, chain);
        let named = self.met.may_name(under.to);
        let connection = verified.peer_id();
        let mut third = [0; BYTES];
        let Self { parts, objects, settings, .. } = self;
        let made = crate::identity::with_own(parts, objects, settings, named, |own, crypto| {
            let (unconfirmed, length) = verified.message_3(own, &[], &mut third, crypto).ok()?;
            let oscore = session::keys(&unconfirmed.oscore(crypto), crypto)?;
            Some((unconfirmed, oscore, length))
        });
        let Some(made) = made else { return self.set_failed(under, Failure::KeyStore) };
        let Some((unconfirmed, mut oscore, length)) = made else { return self.set_failed(under, Failure::TooLong) };
        let third = third.get(..length).unwrap_or_default();
        let sent = self.ride(now, under, third, &mut oscore).or_else(|| {
            let head = (self.message_ids.draw(), self.token());
            self.hello(now, under, head, &|payload| {
                let head = edhoc::coap::write_next(connection, payload).ok()?;
                append(payload, head, third)
            })
        });
        if sent.is_none() {
            return self.set_failed(under, Failure::TooLong);
        }
        if let Some(slot) = self.sessions.get_mut(under.place) {
            slot.state = State::Confirming { to: under.to, unconfirmed, oscore, again: under.again };
        }
    }

    /// A message 2 was of no use. As nobody authenticated it, it may have been a stranger's: waits for the right one, but
    /// looks at a few only and not for long.
    fn wait_on(&mut self, now: Ticks, under: Under, (awaiting, tries): (AwaitMessage2, u8), why: Failure) {
        if let (Some(tries), Some(slot)) = (tries.checked_sub(1), self.sessions.get_mut(under.place)) {
            slot.state = State::Hello { to: under.to, awaiting, tries, again: under.again };
            self.doubt(now, under.exchange, why);
        } else {
            self.set_failed(under, why);
        }
    }

    /// Something says that a handshake comes to nothing, and nobody authenticated it: it ends for this reason unless
    /// something better comes soon.
    pub(crate) fn doubt(&mut self, now: Ticks, exchange: usize, why: Failure) {
        if let Some(Role::Hello { doubt, .. }) = self.exchanges.get_mut(exchange).map(|exchange| &mut exchange.role) {
            doubt.get_or_insert((why, now.plus_millis(DOUBT_MS)));
        }
    }

    /// Sends the first request with message 3 in front (RFC 9668 section 3.2.1). `None` if there is none, or not enough
    /// room.
    fn ride(&mut self, now: Ticks, under: Under, third: &[u8], oscore: &mut SecurityContext) -> Option<()> {
        let place = self.held(under.place)?;
        let (id, token) = (self.message_ids.draw(), self.token());
        let random = u32::from_le_bytes(self.random());
        let [exchange, held] = self.exchanges.get_disjoint_mut([under.exchange, place]).ok()?;
        let Role::Held(Held { asks, rides, .. }) = &mut held.role else { return None };
        let extra = Extra { block2: asks.first_block(BYTES), ..Extra::default() };
        let mut scratch = [0; BYTES];
        let payload = held.bytes.get(..held.length)?;
        let length = asks.write((id, token), &extra, payload, &mut scratch)?;
        let plain = Message::read(scratch.get(..length)?).ok()?;
        let (sealed, sent) = oscore.protect_request(&plain, &mut exchange.bytes, &self.parts.crypto).ok()?;
        let sealed = Message::read(sealed).ok()?;
        let length = with_message_3(&sealed, third, &mut scratch)?;
        let length = copy(scratch.get(..length)?, &mut exchange.bytes).len();
        let message = Message::read(exchange.bytes.get(..length)?).ok()?;
        let coap = coap::Exchange::new(&message, now.as_millis(), random, self.settings.transmission);
        *rides = Some(sent);
        exchange.begin(under.to, Role::Hello { place: under.place, coap, doubt: None }, length);
        Some(())
    }

    /// The peer does not take message 3 and a request together: message 3 goes by itself.
    /// As nobody authenticated who said so, the answer to both is still taken if it comes.
    fn message_3_alone(&mut self, now: Ticks, under: Under, unconfirmed: Unconfirmed, oscore: SecurityContext) {
        let rode = match self.exchanges.get(under.exchange).map(|exchange| &exchange.role) {
            Some(Role::Hello { coap, .. }) => Some(*coap),
            Some(_) | None => None,
        };
        if let Some(Role::Held(held)) =
            self.held(under.place).and_then(|at| self.exchanges.get_mut(at)).map(|exchange| &mut exchange.role)
        {
            held.rode = rode;
        }
        let mut scratch = [0; BYTES];
        let together = self.exchanges.get(under.exchange).and_then(|exchange| {
            let message = Message::read(exchange.message()).ok()?;
            let connection = ConnectionId::new(Compressed::of(&message).ok()?.kid?)?;
            let payload = scratch.get_mut(..message.payload().len())?;
            payload.iter_mut().zip(message.payload()).for_each(|(to, from)| *to = *from);
            Some((connection, edhoc::coap::split(payload).ok()?.0))
        });
        let head = (self.message_ids.draw(), self.token());
        let sent = together.and_then(|(connection, third)| {
            self.hello(now, under, head, &|payload| {
                let head = edhoc::coap::write_next(connection, payload).ok()?;
                append(payload, head, third)
            })
        });
        match (sent, self.sessions.get_mut(under.place)) {
            (Some(()), Some(slot)) => {
                slot.state = State::Confirming { to: under.to, unconfirmed, oscore, again: under.again };
            }
            (None, _) | (_, None) => self.set_failed(under, Failure::Handshake),
        }
    }

    /// The answer to the first request, which confirms the session if it can be opened.
    fn first_answer(
        &mut self,
        now: Ticks,
        under: Under,
        unconfirmed: Unconfirmed,
        mut oscore: SecurityContext,
        datagram: &mut [u8],
    ) {
        let crypto = &self.parts.crypto;
        let held = self.held(under.place).and_then(|at| Some((at, self.exchanges.get_mut(at)?)));
        let opened = held.and_then(|(at, exchange)| {
            let Role::Held(Held { rides: Some(sent), .. }) = &mut exchange.role else { return None };
            let opened = oscore.unprotect_response(sent, datagram, &mut exchange.bytes, crypto);
            opened.ok().map(|(message, proof)| (at, message.as_bytes().len(), proof))
        });
        let Some((at, length, proof)) = opened else {
            // A stranger's: the right one may still come.
            self.counters.forged = self.counters.forged.saturating_add(1);
            if let Some(slot) = self.sessions.get_mut(under.place) {
                slot.state = State::Confirming { to: under.to, unconfirmed, oscore, again: under.again };
            }
            return;
        };
        let Ok(session) = unconfirmed.confirmed_by(proof, &self.parts.crypto) else {
            return self.set_failed(under, Failure::Handshake);
        };
        self.install(now, under.place, under.to, session, oscore);
        let Ok([hello, held]) = self.exchanges.get_disjoint_mut([under.exchange, at]) else { return };
        let Role::Hello { coap, .. } = hello.role else { return };
        hello.end();
        if let Role::Held(Held { peer, asks, rides: Some(sent), rode }) = core::mem::replace(&mut held.role, Role::Free)
        {
            let coap = rode.unwrap_or(coap);
            held.role = Role::Call(Call { with: With::Peer(peer, sent), asks, coap, stage: Stage::Waiting });
            held.length = length;
            self.answered(now, at);
        }
    }

    /// What may be the answer to the request that went with message 3, after that was sent by itself too.
    pub(crate) fn late_first_answer(&mut self, now: Ticks, place: usize, datagram: &mut [u8]) {
        let mine = |role: &Role| matches!(role, Role::Hello { place: of, .. } if *of == place);
        let Some(exchange) = self.exchanges.iter().position(|exchange| mine(&exchange.role)) else { return };
        let Some(slot) = self.sessions.get_mut(place) else { return };
        match core::mem::replace(&mut slot.state, State::Free) {
            State::Confirming { to, unconfirmed, oscore, again } => {
                self.first_answer(now, Under { place, exchange, to, again }, unconfirmed, oscore, datagram);
            }
            state @ (State::Free
            | State::Hello { .. }
            | State::Open(_)
            | State::Failed { .. }
            | State::Ended { .. }) => slot.state = state,
        }
    }

    fn message_4(
        &mut self,
        now: Ticks,
        under: Under,
        unconfirmed: Unconfirmed,
        oscore: SecurityContext,
        text: &mut [u8],
    ) {
        match unconfirmed.read_message_4(text, &[], &self.parts.crypto) {
            Ok((session, _)) => {
                self.end_exchange(under.exchange);
                self.install(now, under.place, under.to, session, oscore);
                self.send_held(now, under.place);
            }
            Err(Rejected { state, .. }) => {
                // A stranger's: the right one may still come.
                if let Some(slot) = self.sessions.get_mut(under.place) {
                    slot.state = State::Confirming { to: under.to, unconfirmed: state, oscore, again: under.again };
                }
            }
        }
    }

    /// The session stands: the first request goes.
    fn send_held(&mut self, now: Ticks, place: usize) {
        let Some(at) = self.held(place) else { return };
        let Some(exchange) = self.exchanges.get_mut(at) else { return };
        let Role::Held(Held { peer, asks, .. }) = &exchange.role else { return };
        let (peer, asks, length) = (*peer, *asks, exchange.length);
        let extra = Extra { block2: asks.first_block(BYTES), ..Extra::default() };
        let sent = self.send(now, at, Way::Session(peer), asks, &extra, Body::Held(length));
        if sent.is_err()
            && let Some(exchange) = self.exchanges.get_mut(at)
        {
            exchange.fail(Failure::TooLong);
        }
    }

    /// Sends message 1 once more, with the proof of being reachable that the peer asked for.
    fn hello_again(&mut self, now: Ticks, exchange: usize, stamp: &[u8]) {
        let (id, token) = (self.message_ids.draw(), self.token());
        let random: [u8; 4] = self.random();
        let transmission = self.settings.transmission;
        let Some(slot) = self.exchanges.get_mut(exchange) else { return };
        let Role::Hello { place, .. } = slot.role else { return };
        let Some(State::Hello { tries, .. }) = self.sessions.get_mut(place).map(|slot| &mut slot.state) else { return };
        // Whoever asks again and again does not let us send for ever.
        let Some(left) = tries.checked_sub(1) else { return self.doubt(now, exchange, Failure::Handshake) };
        *tries = left;
        let mut scratch = [0; BYTES];
        let Ok(old) = Message::read(slot.bytes.get(..slot.length).unwrap_or_default()) else { return };
        let written = Writer::new(&mut scratch, Type::Confirmable, Code::POST, id, token)
            .path(&edhoc::coap::PATH)
            .uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into())
            .option(option::ECHO, stamp)
            .payload(old.payload())
            .finish()
            .map(|message| message.len());
        let Ok(length) = written else { return };
        let Ok(message) = Message::read(scratch.get(..length).unwrap_or_default()) else { return };
        let coap = coap::Exchange::new(&message, now.as_millis(), u32::from_le_bytes(random), transmission);
        let to = slot.to;
        slot.bytes = scratch;
        slot.begin(to, Role::Hello { place, coap, doubt: None }, length);
    }

    /// Begins anew, with new keys, after a credential was named that was not known.
    fn begin_anew(&mut self, now: Ticks, under: Under) {
        if let Some(Role::Held(held)) =
            self.held(under.place).and_then(|at| self.exchanges.get_mut(at)).map(|exchange| &mut exchange.role)
        {
            (held.rides, held.rode) = (None, None);
        }
        if self.message_1_of_own(now, Under { again: true, ..under }).is_err() {
            self.set_failed(under, Failure::Handshake);
        }
    }

    fn set_failed(&mut self, under: Under, why: Failure) {
        self.end_exchange(under.exchange);
        if let Some(slot) = self.sessions.get_mut(under.place) {
            slot.state = State::Failed { to: under.to, why };
        }
        self.fail_held(under.place, why);
    }

    pub(crate) fn fail_handshake(&mut self, place: usize, why: Failure) {
        let Some(slot) = self.sessions.get_mut(place) else { return };
        if let State::Hello { to, .. } | State::Confirming { to, .. } = &slot.state {
            let to = *to;
            slot.state = State::Failed { to, why };
            self.met.silent(to);
            self.fail_held(place, why);
        }
    }

    /// The first request of a handshake that came to nothing.
    fn fail_held(&mut self, place: usize, why: Failure) {
        if let Some(exchange) = self.held(place).and_then(|at| self.exchanges.get_mut(at)) {
            exchange.fail(why);
        }
    }

    /// The exchange of the request that waits for the session in this place.
    fn held(&self, place: usize) -> Option<usize> {
        let peer = session::peer(place, self.sessions.get(place)?);
        self.exchanges.iter().position(|exchange| matches!(&exchange.role, Role::Held(held) if held.peer == peer))
    }

    fn is_riding(&self, at: usize) -> bool {
        let role = self.exchanges.get(at).map(|exchange| &exchange.role);
        matches!(role, Some(Role::Held(Held { rides: Some(_), rode: None, .. })))
    }

    /// Ends the exchange of the handshake in this place.
    pub(crate) fn end_hello(&mut self, of: usize) {
        for exchange in self.exchanges.iter_mut() {
            if matches!(&exchange.role, Role::Hello { place, .. } if *place == of) {
                exchange.end();
            }
        }
    }

    fn end_exchange(&mut self, place: usize) {
        if let Some(exchange) = self.exchanges.get_mut(place) {
            exchange.end();
        }
    }
}

/// The most bytes of message 1: method, suites, a key, an identifier.
const MESSAGE_1: usize = 48;

/// Writes `message` behind the `head` bytes that are there; the length of both.
fn append(payload: &mut [u8], head: usize, message: &[u8]) -> Option<usize> {
    let length = head.checked_add(message.len())?;
    payload.get_mut(head..length)?.iter_mut().zip(message).for_each(|(to, from)| *to = *from);
    Some(length)
}

/// The EDHOC and OSCORE request: message 3, and the ciphertext of a protected request.
fn with_message_3(request: &Message<'_>, third: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut writer = Writer::new(out, request.kind(), request.code(), request.id(), request.token());
    // The options of a protected request come before this one: an address and a scheme of proxies it has not.
    for (number, value) in request.options() {
        writer.option(number, value);
    }
    writer.option(option::EDHOC, &[]);
    writer.payload_with(|payload| {
        append(payload, 0, third)?;
        edhoc::coap::join(payload, third.len(), request.payload()).ok()
    });
    writer.finish().ok().map(|message| message.len())
}
