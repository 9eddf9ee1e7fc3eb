//! Handshakes, in both roles.
//!
//! A stranger costs little: message 1 is read before anything is computed or kept; when handshakes are frequent the
//! sender must first prove that it is reachable (Echo, RFC 9175); those that are answered are counted against a budget
//! of time; and the state of a few is kept, apart from sessions, so that no stranger displaces a peer.

use crate::address::Address;
use crate::device::Device;
use crate::event::{Closing, Failure};
use crate::exchange::Role;
use crate::identity::{Identifying, PeerRoom};
use crate::platform::{Platform, Rng, Ticks};
use crate::session::{self, Open, State};
use crate::settings::CallError;
use crate::strangers::{ECHO_BELOW, Step, bytes};
use medlock_proto::coap::{self, Code, Message, MessageId, Type, Writer, content_format, echo, option};
use medlock_proto::crypto::{Crypto, Curve, Secret};
use medlock_proto::edhoc::initiator::{self, AwaitMessage2, Offer, Unconfirmed};
use medlock_proto::edhoc::responder::{Accept, Message1, Verified3};
use medlock_proto::edhoc::{self, ConnectionId, Ephemeral, Error, Method, Rejected, Reply, Suite};
use medlock_trust::Identified;
use medlock_trust::authenticate::CredentialKind;

/// How old such a proof may be, in milliseconds.
const ECHO_MS: u64 = 60_000;
/// How many wrong answers are looked at before a handshake of one's own is given up.
const MAX_TRIES: u8 = 4;

const SUITES: [Suite; 2] = [Suite::Suite2, Suite::Suite3];

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Begins a handshake with the peer at `to`; [`Event::Connected`](crate::Event::Connected) or
    /// [`Event::NotConnected`](crate::Event::NotConnected) follows. One public-key operation.
    ///
    /// # Errors
    /// [`CallError`].
    pub fn connect(&mut self, now: Ticks, to: Address) -> Result<(), CallError> {
        let place = self.session_place(true).ok_or(CallError::Full)?;
        let exchange_place = self.exchange_place().ok_or(CallError::Full)?;
        let connection = self.connection_id().ok_or(CallError::Full)?;
        let (id, token) = (self.message_ids.draw(), self.token());
        let (method, transmission) = (self.settings.method, self.settings.transmission);
        let offer = Offer { method, suites: &SUITES, selected: Suite::Suite2, connection, ead: &[] };
        let ephemeral = ephemeral(&mut self.parts.rng, &self.parts.crypto);
        let exchange = self.exchanges.get_mut(exchange_place).ok_or(CallError::Full)?;
        let mut started = None;
        let message = Writer::new(&mut exchange.bytes, Type::Confirmable, Code::POST, id, token)
            .path(&edhoc::coap::PATH)
            .uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into())
            .payload_with(|free| {
                let head = edhoc::coap::write_start(free).ok()?;
                let (awaiting, length) =
                    initiator::start(&offer, ephemeral, free.get_mut(head..)?, &self.parts.crypto).ok()?;
                started = Some(awaiting);
                head.checked_add(length)
            })
            .finish()
            .map_err(|_| CallError::TooLong)?;
        let length = message.len();
        let message = Message::read(message).map_err(|_| CallError::TooLong)?;
        let random: [u8; 4] = random(&mut self.parts.rng);
        let coap = coap::Exchange::new(&message, now.as_millis(), u32::from_le_bytes(random), transmission);
        let awaiting = started.ok_or(CallError::TooLong)?;
        exchange.begin(to, Role::Hello { place, coap }, length);
        let slot = self.sessions.get_mut(place).ok_or(CallError::Full)?;
        slot.begin(State::Hello { to, awaiting, tries: MAX_TRIES });
        Ok(())
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
        let good = message.code() == Code::CHANGED;
        let payload = message.as_bytes().len().saturating_sub(message.payload().len());
        let Some(slot) = self.sessions.get_mut(place) else { return };
        match core::mem::replace(&mut slot.state, State::Free) {
            State::Hello { to, awaiting, tries } if good => {
                let text = datagram.get_mut(payload..).unwrap_or_default();
                self.message_2(now, (place, exchange), to, awaiting, tries, text);
            }
            State::Confirming { to, unconfirmed } if good => {
                let text = datagram.get_mut(payload..).unwrap_or_default();
                self.message_4(now, (place, exchange), to, unconfirmed, text);
            }
            state @ (State::Hello { .. } | State::Confirming { .. }) => {
                slot.state = state;
                self.end_exchange(exchange);
                self.fail_handshake(place, Failure::Handshake);
            }
            state @ (State::Free | State::Open(_) | State::Failed { .. } | State::Ended { .. }) => slot.state = state,
        }
    }

    fn message_2(
        &mut self,
        now: Ticks,
        (place, exchange): (usize, usize),
        to: Address,
        awaiting: AwaitMessage2,
        tries: u8,
        text: &mut [u8],
    ) {
        let crypto = &self.parts.crypto;
        let message = match awaiting.read(text, &[], crypto) {
            Ok(message) => message,
            Err(Rejected { state, error: _ }) => {
                // It may have been a stranger's: wait for the right one, a few times.
                if let (Some(tries), Some(slot)) = (tries.checked_sub(1), self.sessions.get_mut(place)) {
                    slot.state = State::Hello { to, awaiting: state, tries };
                } else {
                    self.set_failed(place, exchange, to, Failure::Handshake);
                }
                return;
            }
        };
        let mut room = PeerRoom::new();
        let identifying = Identifying { objects: &self.objects, flash: &self.parts.flash, crypto };
        let verified = match identifying.peer(message.id_cred(), &mut room) {
            Ok(peer) => message.verify(peer, crypto).map_err(|_| Failure::Handshake),
            Err(why) => Err(Failure::Unidentified(why)),
        };
        let verified = match verified {
            Ok(verified) => verified,
            Err(why) => return self.set_failed(place, exchange, to, why),
        };
        let (id, token) = (self.message_ids.draw(), self.token());
        let random: [u8; 4] = self.random();
        let connection = verified.peer_id();
        let transmission = self.settings.transmission;
        let Self { parts, objects, settings, exchanges, .. } = self;
        let Some(slot) = exchanges.get_mut(exchange) else { return };
        let mut verified = Some(verified);
        let mut made = None;
        let written = crate::identity::with_own(parts, objects, settings, |own, crypto| {
            Writer::new(&mut slot.bytes, Type::Confirmable, Code::POST, id, token)
                .path(&edhoc::coap::PATH)
                .uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into())
                .payload_with(|free| {
                    let head = edhoc::coap::write_next(connection, free).ok()?;
                    let room = free.get_mut(head..)?;
                    let (unconfirmed, length) = verified.take()?.message_3(own, &[], room, crypto).ok()?;
                    made = Some(unconfirmed);
                    head.checked_add(length)
                })
                .finish()
                .ok()
                .map(|message| message.len())
        });
        let (Some(length), Some(unconfirmed)) = (written.flatten(), made) else {
            return self.set_failed(place, exchange, to, Failure::KeyStore);
        };
        let Ok(message) = Message::read(slot.bytes.get(..length).unwrap_or_default()) else { return };
        let coap = coap::Exchange::new(&message, now.as_millis(), u32::from_le_bytes(random), transmission);
        slot.begin(to, Role::Hello { place, coap }, length);
        if let Some(slot) = self.sessions.get_mut(place) {
            slot.state = State::Confirming { to, unconfirmed };
        }
    }

    fn message_4(
        &mut self,
        now: Ticks,
        (place, exchange): (usize, usize),
        to: Address,
        unconfirmed: Unconfirmed,
        text: &mut [u8],
    ) {
        match unconfirmed.read_message_4(text, &[], &self.parts.crypto) {
            Ok((session, _)) => {
                self.end_exchange(exchange);
                self.install(now, place, to, session);
            }
            Err(Rejected { state, .. }) => {
                // A stranger's: the right one may still come.
                if let Some(slot) = self.sessions.get_mut(place) {
                    slot.state = State::Confirming { to, unconfirmed: state };
                }
            }
        }
    }

    /// Puts a session in its place. An older session with the same device ends: the newer keys count. The same device is
    /// one of this name from the same authority: another authority may give the same name to somebody else.
    fn install(&mut self, now: Ticks, place: usize, address: Address, session: edhoc::Session) {
        for other in 0..SESSIONS {
            let Some(slot) = self.sessions.get(other) else { continue };
            if other != place && slot.is_of(session.peer()) {
                let peer = session::peer(other, slot);
                self.end_session(peer, Closing::Replaced);
            }
        }
        let open = Open::new(address, session, now, &self.parts.crypto);
        if let (Some(open), Some(slot)) = (open, self.sessions.get_mut(place)) {
            slot.begin(State::Open(open));
        }
    }

    /// Sends message 1 once more, with the proof of being reachable that the peer asked for.
    fn hello_again(&mut self, now: Ticks, exchange: usize, stamp: &[u8]) {
        let (id, token) = (self.message_ids.draw(), self.token());
        let random: [u8; 4] = self.random();
        let transmission = self.settings.transmission;
        let Some(slot) = self.exchanges.get_mut(exchange) else { return };
        let Role::Hello { place, .. } = slot.role else { return };
        if !matches!(self.sessions.get(place).map(|slot| &slot.state), Some(State::Hello { .. })) {
            return;
        }
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
        slot.begin(to, Role::Hello { place, coap }, length);
    }

    fn set_failed(&mut self, place: usize, exchange: usize, to: Address, why: Failure) {
        self.end_exchange(exchange);
        if let Some(slot) = self.sessions.get_mut(place) {
            slot.state = State::Failed { to, why };
        }
    }

    pub(crate) fn fail_handshake(&mut self, place: usize, why: Failure) {
        let Some(slot) = self.sessions.get_mut(place) else { return };
        if let State::Hello { to, .. } | State::Confirming { to, .. } = &slot.state {
            slot.state = State::Failed { to: *to, why };
        }
    }

    fn end_exchange(&mut self, place: usize) {
        if let Some(exchange) = self.exchanges.get_mut(place) {
            exchange.end();
        }
    }

    /// A message of a handshake that a stranger began.
    pub(crate) fn handshake_request(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        let (kind, id, token, length) = (message.kind(), message.id(), message.token(), message.as_bytes().len());
        let known = self.strangers.half_open.iter_mut().find(|half| half.address == from && half.knows(id));
        if let Some(half) = known {
            // It came before: the same answer, unless the handshake has gone on.
            let is_due = half.last.is_none_or(|last| last == id) && half.reply.length > 0;
            if is_due && !half.again(length) {
                self.challenge(now, Answer { to: from, id, token });
            }
            return;
        }
        if kind != Type::Confirmable {
            self.counters.noise = self.counters.noise.saturating_add(1);
            return;
        }
        let reachable = message.option(option::ECHO).is_some_and(|stamp| {
            let key = &self.strangers.echo_key;
            echo::is_fresh(key, from.as_bytes(), stamp, now.as_millis(), ECHO_MS, &self.parts.crypto)
        });
        let payload = message.as_bytes().len().saturating_sub(message.payload().len());
        let text = datagram.get_mut(payload..).unwrap_or_default();
        let answer = Answer { to: from, id, token };
        match edhoc::coap::read_request(text) {
            Ok(edhoc::coap::Request::Start(message)) => self.message_1(now, answer, (reachable, length), message),
            Ok(edhoc::coap::Request::Next(connection, message)) => {
                let length = message.len();
                let start = text.len().saturating_sub(length);
                let text = text.get_mut(start..).unwrap_or_default();
                self.message_3(now, answer, connection, text);
            }
            Ok(edhoc::coap::Request::Trigger) | Err(_) => self.refuse(answer, Error::Malformed),
        }
    }

    fn message_1(&mut self, now: Ticks, answer: Answer, (reachable, received): (bool, usize), message: &[u8]) {
        let accept = Accept { methods: &Method::ALL, suites: &SUITES, understood: &[] };
        let message = match Message1::read(message, &accept, &self.parts.crypto) {
            Ok(message) => message,
            Err(error) => return self.refuse(answer, error),
        };
        let left = self.strangers.handshakes.left(now);
        let is_place = self.strangers.place(answer.to, reachable, now).is_some();
        if !reachable && (left < ECHO_BELOW || !is_place) {
            return self.challenge(now, answer);
        }
        if left == 0 || !is_place {
            // The client sends it again; by then there may be time.
            self.counters.handshakes = self.counters.handshakes.saturating_add(1);
            return;
        }
        let Some(connection) = self.connection_id() else { return };
        let Self { parts, objects, settings, strangers, .. } = self;
        let ephemeral = ephemeral(&mut parts.rng, &parts.crypto);
        strangers.handshakes.spend(now);
        let Some(half) = strangers.place(answer.to, reachable, now) else {
            self.counters.handshakes = self.counters.handshakes.saturating_add(1);
            return;
        };
        let mut state = None;
        let mut message = Some((message, ephemeral));
        let written = crate::identity::with_own(parts, objects, settings, |own, crypto| {
            answer.write(&mut half.reply.bytes, |room| {
                let (message, ephemeral) = message.take()?;
                let (awaiting, length) = message.message_2(own, connection, ephemeral, &[], room, crypto).ok()?;
                state = Some(awaiting);
                Some(length)
            })
        });
        let (Some(length), Some(state)) = (written.flatten(), state) else { return };
        (half.reply.to, half.reply.length, half.reply.transmit) = (answer.to, length, true);
        half.step = Step::AwaitMessage3(state);
        (half.address, half.first, half.last, half.since) = (answer.to, answer.id, None, now);
        (half.reachable, half.received, half.sent) = (reachable, bytes(received), bytes(length));
    }

    fn message_3(&mut self, now: Ticks, answer: Answer, connection: ConnectionId, text: &mut [u8]) {
        let half = self.strangers.half_open.iter_mut().find(|half| {
            half.address == answer.to
                && matches!(&half.step, Step::AwaitMessage3(state) if state.own_id() == connection)
        });
        let Some(half) = half else { return self.refuse(answer, Error::Forged) };
        let Step::AwaitMessage3(state) = core::mem::replace(&mut half.step, Step::Done) else { return };
        let crypto = &self.parts.crypto;
        let message = match state.read(text, &[], crypto) {
            Ok(message) => message,
            Err(Rejected { state, error }) => {
                if error == Error::Forged {
                    // Somebody else's: the right one may still come.
                    half.step = Step::AwaitMessage3(state);
                }
                self.counters.forged = self.counters.forged.saturating_add(1);
                return;
            }
        };
        half.last = Some(answer.id);
        let mut room = PeerRoom::new();
        let identifying = Identifying { objects: &self.objects, flash: &self.parts.flash, crypto };
        let verified = match identifying.peer(message.id_cred(), &mut room) {
            Ok(peer) => message.verify(peer, crypto),
            Err(_) => Err(Error::KeyKind),
        };
        match verified {
            Ok(verified) => self.accept(now, answer, verified),
            Err(error) => {
                self.counters.handshakes = self.counters.handshakes.saturating_add(1);
                self.refuse(answer, error);
            }
        }
    }

    /// A peer proved who it is.
    fn accept(&mut self, now: Ticks, answer: Answer, verified: Verified3) {
        // What may do nothing at all gets no session. A birth credential gets one, so that what it asks is denied with a
        // code that says why.
        let peer = verified.peer();
        let hopeless = self.nothing_allowed(now, peer).filter(|_| peer.kind() == CredentialKind::Operational);
        if let Some(denied) = hopeless {
            self.told.denied = Some((None, denied));
            return self.refuse(answer, Error::KeyKind);
        }
        let bonded = self.objects.bond_with(peer, &self.parts.flash).is_some();
        let Some(place) = self.place_for(verified.peer(), bonded) else {
            self.counters.crowded = self.counters.crowded.saturating_add(1);
            return self.refuse(answer, Error::NoRoom);
        };
        let crypto = &self.parts.crypto;
        let half = self.strangers.half_open.iter_mut().find(|half| half.address == answer.to && half.knows(answer.id));
        let Some(half) = half else { return };
        let mut verified = Some(verified);
        let mut session = None;
        let written = answer.write(&mut half.reply.bytes, |room| {
            let (made, length) = verified.take()?.message_4(&[], room, crypto).ok()?;
            session = Some(made);
            Some(length)
        });
        let (Some(length), Some(session)) = (written, session) else { return };
        (half.reply.length, half.reply.transmit) = (length, true);
        self.install(now, place, answer.to, session);
    }

    /// A place for a session with `peer`. If there is no free one, that of its older session; only if it has none, and by
    /// the rules of [`Device::session_place`], that of another.
    fn place_for(&mut self, peer: &Identified, bonded: bool) -> Option<usize> {
        let is_free = self.sessions.iter().any(session::SessionSlot::is_free);
        let older = self.sessions.iter().position(|slot| slot.is_of(peer)).filter(|_| !is_free);
        let Some(place) = older else { return self.session_place(bonded) };
        let slot = self.sessions.get(place)?;
        let peer = session::peer(place, slot);
        self.end_session(peer, Closing::Replaced);
        Some(place)
    }

    /// Asks a stranger to prove that it is reachable, and keeps nothing.
    fn challenge(&mut self, now: Ticks, answer: Answer) {
        let stamp = echo::stamp(&self.strangers.echo_key, answer.to.as_bytes(), now.as_millis(), &self.parts.crypto);
        self.strangers.stray.send(answer.to, |out| {
            Writer::new(out, Type::Acknowledgement, Code::UNAUTHORIZED, answer.id, answer.token)
                .uint(option::MAX_AGE, 0)
                .option(option::ECHO, &stamp)
                .finish()
                .map(|message| message.len())
        });
    }

    fn refuse(&mut self, answer: Answer, error: Error) {
        let code = Code::from_byte(edhoc::coap::response_code(&error));
        self.strangers.stray.send(answer.to, |out| {
            Writer::new(out, Type::Acknowledgement, code, answer.id, answer.token)
                .uint(option::CONTENT_FORMAT, content_format::EDHOC.into())
                .payload_with(|room| Reply::to(error, &SUITES).write(room).ok())
                .finish()
                .map(|message| message.len())
        });
    }
}

/// Where the answer to a request goes.
#[derive(Clone, Copy)]
struct Answer {
    to: Address,
    id: MessageId,
    token: coap::Token,
}

impl Answer {
    /// Writes an EDHOC message that rides on the acknowledgement.
    fn write(&self, out: &mut [u8], message: impl FnOnce(&mut [u8]) -> Option<usize>) -> Option<usize> {
        Writer::new(out, Type::Acknowledgement, Code::CHANGED, self.id, self.token)
            .uint(option::CONTENT_FORMAT, content_format::EDHOC.into())
            .payload_with(message)
            .finish()
            .ok()
            .map(|message| message.len())
    }
}

fn random<const N: usize>(rng: &mut impl Rng) -> [u8; N] {
    let mut bytes = [0; N];
    rng.fill(&mut bytes);
    bytes
}

/// A key pair for one handshake. One in 2³² random numbers is no key.
fn ephemeral(rng: &mut impl Rng, crypto: &impl Crypto) -> Ephemeral {
    loop {
        if let Some(ephemeral) = Ephemeral::new(Curve::P256, Secret::from_bytes(random(rng)), crypto) {
            return ephemeral;
        }
    }
}
