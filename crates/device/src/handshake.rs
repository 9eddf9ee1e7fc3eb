//! Handshakes that strangers begin.
//!
//! A stranger costs little: message 1 is read before anything is computed or kept; when handshakes are frequent the
//! sender must first prove that it is reachable (Echo, RFC 9175); those that are answered are counted against a budget
//! of time; and the state of a few is kept, apart from sessions, so that no stranger displaces a peer.

use crate::address::Address;
use crate::device::Device;
use crate::event::Closing;
use crate::exchange::{Exchange, Role};
use crate::identity::{Identifying, NotIdentified, PeerRoom, REMEMBERED};
use crate::platform::{Platform, Rng, Ticks};
use crate::session::{self, Open, State};
use crate::strangers::{ECHO_BELOW, HalfOpen, Step, Strangers, bytes};
use medlock_proto::coap::{self, Code, Message, MessageId, Type, Writer, content_format, echo, option};
use medlock_proto::crypto::{Crypto, Curve, Secret};
use medlock_proto::edhoc::responder::{Accept, Message1, Verified3};
use medlock_proto::edhoc::{self, ConnectionId, Ephemeral, Error, Method, Rejected, Reply, Suite};
use medlock_proto::oscore::{Compressed, SecurityContext};
use medlock_trust::Identified;
use medlock_trust::authenticate::CredentialKind;

/// How old such a proof may be, in milliseconds.
const ECHO_MS: u64 = 60_000;

pub(crate) const SUITES: [Suite; 2] = [Suite::Suite2, Suite::Suite3];

impl<P: Platform, const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize>
    Device<'_, P, SESSIONS, EXCHANGES, BYTES>
{
    /// Puts a session in its place. An older session with the same device ends: the newer keys count. The same device is
    /// one of this name from the same authority: another authority may give the same name to somebody else.
    pub(crate) fn install(
        &mut self,
        now: Ticks,
        place: usize,
        address: Address,
        session: edhoc::Session,
        oscore: SecurityContext,
    ) {
        for other in 0..SESSIONS {
            let Some(slot) = self.sessions.get(other) else { continue };
            if other != place && slot.is_of(session.peer()) {
                let peer = session::peer(other, slot);
                self.end_session(peer, Closing::Replaced);
            }
        }
        if self.objects.bond_with(session.peer(), &self.parts.flash).is_some() {
            self.strangers.know(address);
        }
        // A peer that lost its memory counts its messages anew: answers of its last session are not for them.
        let of_it = |exchange: &&mut Exchange<BYTES>| exchange.to == address;
        for exchange in self.exchanges.iter_mut().filter(of_it) {
            if matches!(exchange.role, Role::Answered { .. }) {
                exchange.end();
            }
        }
        // Each has seen the other's credential.
        self.met.confirmed(address);
        if let Some(slot) = self.sessions.get_mut(place) {
            slot.state = State::Open(Open::new(address, session, oscore, now));
        }
    }

    /// A message of a handshake that a stranger began.
    pub(crate) fn handshake_request(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) {
        let Ok(message) = Message::read(datagram) else { return };
        let (kind, id, token, length) = (message.kind(), message.id(), message.token(), message.as_bytes().len());
        let starts = matches!(edhoc::coap::read_request(message.payload()), Ok(edhoc::coap::Request::Start(_)));
        let is_known = |half: &HalfOpen<BYTES>| {
            // Numbers can be foreseen: what a stranger began is no message 3 of somebody else.
            let known = if starts { half.began_with(id, token) } else { half.went_on_with(id) };
            half.address == from && known
        };
        if let Some(half) = self.strangers.half_open.iter_mut().find(|half| is_known(half)) {
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
        let left = self.strangers.handshakes_left(answer.to, reachable, now);
        let is_place = self.strangers.place(answer.to, reachable, now).is_some();
        if !reachable && (left < ECHO_BELOW || !is_place) {
            return self.challenge(now, answer);
        }
        if left == 0 || !is_place {
            // The client sends it again; by then there may be time.
            self.counters.handshakes = self.counters.handshakes.saturating_add(1);
            return;
        }
        let Some(connection) = self.connection_id(Some(message.peer_id())) else { return };
        let Self { parts, objects, settings, strangers, met, .. } = self;
        let ephemeral = ephemeral(&mut parts.rng, &parts.crypto);
        strangers.spend_on_handshake(now);
        let Some(half) = strangers.place(answer.to, reachable, now) else {
            self.counters.handshakes = self.counters.handshakes.saturating_add(1);
            return;
        };
        let mut state = None;
        let mut message = Some((message, ephemeral));
        let named = met.may_name(answer.to);
        let written = crate::identity::with_own(parts, objects, settings, named, |own, crypto| {
            answer.write(&mut half.reply.bytes, |room| {
                let (message, ephemeral) = message.take()?;
                let (awaiting, length) = message.message_2(own, connection, ephemeral, &[], room, crypto).ok()?;
                state = Some(awaiting);
                Some(length)
            })
        });
        let (Some(length), Some(state)) = (written.flatten(), state) else { return };
        (half.reply.length, half.reply.transmit) = (length, true);
        half.step = Step::AwaitMessage3(state);
        (half.address, half.first, half.last, half.since) = (answer.to, (answer.id, answer.token), None, now);
        (half.reachable, half.received, half.sent) = (reachable, bytes(received), bytes(length));
    }

    fn message_3(&mut self, now: Ticks, answer: Answer, connection: ConnectionId, text: &mut [u8]) {
        if !self.awaits_message_3(answer.to, connection) {
            return self.refuse(answer, Error::Forged);
        }
        let Some(verified) = self.verify_message_3(answer, connection, text) else { return };
        let Some(place) = self.admit(now, answer, verified.peer()) else { return };
        let crypto = &self.parts.crypto;
        let is_its = |half: &&mut HalfOpen<BYTES>| half.address == answer.to && half.went_on_with(answer.id);
        let Some(half) = self.strangers.half_open.iter_mut().find(is_its) else { return };
        let mut verified = Some(verified);
        let mut session = None;
        let written = answer.write(&mut half.reply.bytes, |room| {
            let (made, length) = verified.take()?.message_4(&[], room, crypto).ok()?;
            session = Some(made);
            Some(length)
        });
        let (Some(length), Some(session)) = (written, session) else { return };
        (half.reply.length, half.reply.transmit) = (length, true);
        self.accept(now, answer, place, session);
    }

    /// Message 3 in front of a protected request (RFC 9668 section 3.3.1): opens the session, if it does, and says how long
    /// the datagram is without it. `None` if it was answered, or there is nothing to say.
    pub(crate) fn combined(&mut self, now: Ticks, from: Address, datagram: &mut [u8]) -> Option<usize> {
        let message = Message::read(datagram).ok()?;
        let answer = Answer { to: from, id: message.id(), token: message.token() };
        let connection = Compressed::of(&message).ok().and_then(|option| ConnectionId::new(option.kid?));
        let (kind, whole) = (message.kind(), message.as_bytes().len());
        let start = whole.saturating_sub(message.payload().len());
        let payload = datagram.get_mut(start..whole).unwrap_or_default();
        let (Some(connection), Ok((third, request))) = (connection, edhoc::coap::split(payload)) else {
            self.refuse(answer, Error::Malformed);
            return None;
        };
        let (third_length, rest) = (third.len(), request.len());
        let is_known = |half: &&mut HalfOpen<BYTES>| half.address == from && half.went_on_with(answer.id);
        if let Some(half) = self.strangers.half_open.iter_mut().find(is_known) {
            half.again(whole);
            return None;
        }
        // Once message 3 was taken, what comes again is the request alone.
        if self.awaits_message_3(from, connection) {
            if kind != Type::Confirmable {
                self.counters.noise = self.counters.noise.saturating_add(1);
                return None;
            }
            let verified = self.verify_message_3(answer, connection, third)?;
            let place = self.admit(now, answer, verified.peer())?;
            if let Some(half) = self.strangers.half_open.iter_mut().find(is_known) {
                half.step = Step::Free;
            }
            self.accept(now, answer, place, verified.session());
        }
        datagram.get_mut(start..whole)?.rotate_left(third_length);
        start.checked_add(rest)
    }

    fn awaits_message_3(&self, from: Address, connection: ConnectionId) -> bool {
        self.strangers.half_open.iter().any(|half| half.awaits_message_3(from, connection))
    }

    /// Finds out who sent message 3. `None` if it was refused, or is nobody's.
    fn verify_message_3(&mut self, answer: Answer, connection: ConnectionId, text: &mut [u8]) -> Option<Verified3> {
        let half = self.strangers.half_open.iter_mut().find(|half| half.awaits_message_3(answer.to, connection))?;
        let Step::AwaitMessage3(state) = core::mem::replace(&mut half.step, Step::Done) else { return None };
        let crypto = &self.parts.crypto;
        let message = match state.read(text, &[], crypto) {
            Ok(message) => message,
            Err(Rejected { state, error }) => {
                if error == Error::Forged {
                    // Somebody else's: the right one may still come.
                    half.step = Step::AwaitMessage3(state);
                }
                self.counters.forged = self.counters.forged.saturating_add(1);
                return None;
            }
        };
        half.last = Some(answer.id);
        let mut room = PeerRoom::new();
        let identifying = Identifying { objects: &self.objects, flash: &self.parts.flash, met: &self.met, crypto };
        let mut remembered = [0; REMEMBERED];
        let verified = match identifying.peer(message.id_cred(), message.method().initiator_signs(), &mut room) {
            Ok(shown) => {
                let chain = shown.write(&mut remembered);
                message.verify(shown.peer, crypto).map(|verified| (verified, chain)).map_err(Some)
            }
            Err(NotIdentified::Nobody(_)) => Err(Some(Error::KeyKind)),
            Err(NotIdentified::UnknownName) => Err(None),
        };
        match verified {
            Ok((verified, chain)) => {
                self.met.remember(answer.to, chain);
                Some(verified)
            }
            Err(error) => {
                self.counters.handshakes = self.counters.handshakes.saturating_add(1);
                match error {
                    Some(error) => self.refuse(answer, error),
                    None => self.refuse_with(answer, Code::BAD_REQUEST, Reply::UnknownCredential),
                }
                None
            }
        }
    }

    /// A peer proved who it is: a place for its session, if it may have one.
    fn admit(&mut self, now: Ticks, answer: Answer, peer: &Identified) -> Option<usize> {
        // What may do nothing at all gets no session. A birth credential gets one, so that what it asks is denied with a
        // code that says why.
        let hopeless = self.nothing_allowed(now, peer).filter(|_| peer.kind() == CredentialKind::Operational);
        if let Some(denied) = hopeless {
            self.told.denied = Some((None, denied));
            self.refuse(answer, Error::KeyKind);
            return None;
        }
        let bonded = self.objects.bond_with(peer, &self.parts.flash).is_some();
        let place = self.place_for(peer, bonded);
        if place.is_none() {
            self.counters.crowded = self.counters.crowded.saturating_add(1);
            self.refuse(answer, Error::NoRoom);
        }
        place
    }

    /// The session with a peer that was admitted to this place.
    fn accept(&mut self, now: Ticks, answer: Answer, place: usize, session: edhoc::Session) {
        let crypto = &self.parts.crypto;
        let Some(oscore) = session::keys(&session.oscore(crypto), crypto) else { return };
        if let Some(slot) = self.sessions.get_mut(place) {
            slot.begin(State::Free);
        }
        self.install(now, place, answer.to, session, oscore);
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
        if !self.strangers.may_ask(now) {
            self.counters.handshakes = self.counters.handshakes.saturating_add(1);
            return;
        }
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
        self.refuse_with(answer, code, Reply::to(error, &SUITES));
    }

    fn refuse_with(&mut self, answer: Answer, code: Code, reply: Reply<'_>) {
        // A message 3 that comes again is refused again.
        let Strangers { half_open, stray, .. } = &mut self.strangers;
        let half = half_open.iter_mut().find(|half| half.address == answer.to && half.last == Some(answer.id));
        let write = |out: &mut [u8]| {
            Writer::new(out, Type::Acknowledgement, code, answer.id, answer.token)
                .uint(option::CONTENT_FORMAT, content_format::EDHOC.into())
                .payload_with(|room| reply.write(room).ok())
                .finish()
                .map(|message| message.len())
        };
        match half {
            Some(half) => half.reply.send(write),
            None => stray.send(answer.to, write),
        }
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
pub(crate) fn ephemeral(rng: &mut impl Rng, crypto: &impl Crypto) -> Ephemeral {
    loop {
        if let Some(ephemeral) = Ephemeral::new(Curve::P256, Secret::from_bytes(random(rng)), crypto) {
            return ephemeral;
        }
    }
}
