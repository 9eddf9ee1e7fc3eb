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
use medlock_proto::coap::{self, Code, Message, MessageId, Type, Writer, content_format, echo, option};
use medlock_proto::crypto::{Crypto, Curve, Secret};
use medlock_proto::edhoc::initiator::{self, AwaitMessage2, Offer, Unconfirmed};
use medlock_proto::edhoc::responder::{Accept, AwaitMessage3, Message1, Verified3};
use medlock_proto::edhoc::{self, ConnectionId, Ephemeral, Error, Method, Rejected, Reply, Suite};
use medlock_trust::authenticate::CredentialKind;

/// Handshakes of strangers that are under way at once.
const HALF_OPEN: usize = 3;
/// How long message 3 is waited for, in milliseconds: the longest a client repeats it (RFC 7252, `MAX_TRANSMIT_WAIT`).
const PATIENCE_MS: u64 = 93_000;
/// After how long a place may go to another who is reachable: time to repeat message 3 twice.
const SLOW_MS: u64 = 10_000;
/// How many handshakes may be answered at once, and how long it takes until one more may be: on a 64 MHz chip one costs
/// about a second, so that half of the time is left for therapy. The same for trust objects without a session.
const BURST: u64 = 4;
const REFILL_MS: u64 = 2_000;
/// Below so many that are left a stranger must prove that it is reachable.
const ECHO_BELOW: u64 = 3;
/// How old such a proof may be, in milliseconds.
const ECHO_MS: u64 = 60_000;
/// How many wrong answers are looked at before a handshake of one's own is given up.
const MAX_TRIES: u8 = 4;

const SUITES: [Suite; 2] = [Suite::Suite2, Suite::Suite3];

/// What is kept of peers that did not prove who they are.
pub(crate) struct Strangers<const BYTES: usize> {
    half_open: [HalfOpen<BYTES>; HALF_OPEN],
    /// The answer to an unprotected request. It is sent at once and not kept.
    pub(crate) stray: Stray<BYTES>,
    echo_key: Secret,
    handshakes: Bucket,
    objects: Bucket,
}

/// What may still be spent on strangers.
#[derive(Debug, Default)]
struct Bucket {
    /// When it would be full again, in milliseconds since boot.
    full_at: u64,
}

impl Bucket {
    fn left(&self, now: Ticks) -> u64 {
        let owed = self.full_at.saturating_sub(now.as_millis()).div_ceil(REFILL_MS);
        BURST.saturating_sub(owed)
    }

    fn spend(&mut self, now: Ticks) {
        self.full_at = self.full_at.max(now.as_millis()).saturating_add(REFILL_MS);
    }
}

struct HalfOpen<const BYTES: usize> {
    step: Step,
    address: Address,
    /// The message ids of messages 1 and 3: each is answered once, and again with the same bytes.
    first: MessageId,
    last: Option<MessageId>,
    since: Ticks,
    /// Whether it proved that it is reachable.
    reachable: bool,
    reply: Stray<BYTES>,
}

enum Step {
    Free,
    AwaitMessage3(AwaitMessage3),
    /// Message 4 was sent, or the handshake failed: kept for repetitions.
    Done,
}

/// A message that is to be sent.
pub(crate) struct Stray<const BYTES: usize> {
    pub(crate) to: Address,
    pub(crate) transmit: bool,
    pub(crate) length: usize,
    pub(crate) bytes: [u8; BYTES],
}

impl<const BYTES: usize> Stray<BYTES> {
    const fn none() -> Self {
        Self { to: Address::NOBODY, transmit: false, length: 0, bytes: [0; BYTES] }
    }

    /// Lets `write` write the message to send.
    pub(crate) fn send<E>(&mut self, to: Address, write: impl FnOnce(&mut [u8]) -> Result<usize, E>) {
        if let Ok(length) = write(&mut self.bytes) {
            (self.to, self.length, self.transmit) = (to, length, true);
        }
    }
}

impl<const BYTES: usize> Strangers<BYTES> {
    pub(crate) fn new(echo_key: [u8; 32]) -> Self {
        let half_open = core::array::from_fn(|_| HalfOpen {
            step: Step::Free,
            address: Address::NOBODY,
            first: MessageId(0),
            last: None,
            since: Ticks::default(),
            reachable: false,
            reply: Stray::none(),
        });
        Self {
            half_open,
            stray: Stray::none(),
            echo_key: Secret::from_bytes(echo_key),
            handshakes: Bucket::default(),
            objects: Bucket::default(),
        }
    }

    /// Whether a half-open handshake has this identifier.
    pub(crate) fn uses(&self, id: ConnectionId) -> bool {
        self.half_open.iter().any(|half| matches!(&half.step, Step::AwaitMessage3(state) if state.own_id() == id))
    }

    /// The next message to send.
    pub(crate) fn transmit(&mut self) -> Option<(Address, &[u8])> {
        let replies = self.half_open.iter_mut().map(|half| &mut half.reply).chain([&mut self.stray]);
        let reply = replies.into_iter().find(|reply| reply.transmit)?;
        reply.transmit = false;
        Some((reply.to, reply.bytes.get(..reply.length)?))
    }

    /// Whether there is time to verify an object that a stranger brings.
    pub(crate) fn may_bring_object(&self, now: Ticks) -> bool {
        self.objects.left(now) > 0
    }

    /// An object of a stranger was not worth its verification.
    pub(crate) fn spend_on_object(&mut self, now: Ticks) {
        self.objects.spend(now);
    }

    /// A place for a handshake of `from`: its own, a free one, one whose message 3 did not come in time; and for those who
    /// proved that they are reachable, that of somebody who did not, or who has been slow.
    fn place(&mut self, from: Address, reachable: bool, now: Ticks) -> Option<&mut HalfOpen<BYTES>> {
        let rank = |half: &HalfOpen<BYTES>| match &half.step {
            _ if half.address == from && (reachable || !half.reachable) => Some(0),
            Step::Free => Some(1),
            Step::Done => Some(2),
            Step::AwaitMessage3(_) if now.millis_since(half.since) >= PATIENCE_MS => Some(3),
            Step::AwaitMessage3(_) if reachable && !half.reachable => Some(4),
            Step::AwaitMessage3(_) if reachable && now.millis_since(half.since) >= SLOW_MS => Some(5),
            Step::AwaitMessage3(_) => None,
        };
        let ranked = self.half_open.iter_mut().filter_map(|half| Some((rank(half)?, half)));
        ranked.min_by_key(|(rank, _)| *rank).map(|(_, half)| half)
    }
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

    /// Puts a session in its place. An older session of the same device ends: the newer keys count.
    fn install(&mut self, now: Ticks, place: usize, address: Address, session: edhoc::Session) {
        let device = session.peer().device();
        for other in 0..SESSIONS {
            let Some(slot) = self.sessions.get(other) else { continue };
            if other != place && slot.open().is_some_and(|open| open.session.peer().device() == device) {
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
        let (kind, id) = (message.kind(), message.id());
        let known = self.strangers.half_open.iter_mut().find(|half| half.address == from && half.knows(id));
        if let Some(half) = known {
            // It came before: the same answer, unless the handshake has gone on.
            if half.last.is_none_or(|last| last == id) {
                half.reply.transmit = half.reply.length > 0;
            }
            return;
        }
        if kind != Type::Confirmable {
            self.counters.noise = self.counters.noise.saturating_add(1);
            return;
        }
        let (id, token) = (message.id(), message.token());
        let reachable = message.option(option::ECHO).is_some_and(|stamp| {
            let key = &self.strangers.echo_key;
            echo::is_fresh(key, from.as_bytes(), stamp, now.as_millis(), ECHO_MS, &self.parts.crypto)
        });
        let payload = message.as_bytes().len().saturating_sub(message.payload().len());
        let text = datagram.get_mut(payload..).unwrap_or_default();
        let answer = Answer { to: from, id, token };
        match edhoc::coap::read_request(text) {
            Ok(edhoc::coap::Request::Start(message)) => self.message_1(now, answer, reachable, message),
            Ok(edhoc::coap::Request::Next(connection, message)) => {
                let length = message.len();
                let start = text.len().saturating_sub(length);
                let text = text.get_mut(start..).unwrap_or_default();
                self.message_3(now, answer, connection, text);
            }
            Ok(edhoc::coap::Request::Trigger) | Err(_) => self.refuse(answer, Error::Malformed),
        }
    }

    fn message_1(&mut self, now: Ticks, answer: Answer, reachable: bool, message: &[u8]) {
        let accept = Accept { methods: &Method::ALL, suites: &SUITES, understood: &[] };
        let message = match Message1::read(message, &accept, &self.parts.crypto) {
            Ok(message) => message,
            Err(error) => return self.refuse(answer, error),
        };
        let left = self.strangers.handshakes.left(now);
        if left < ECHO_BELOW && !reachable {
            return self.challenge(now, answer);
        }
        if left == 0 {
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
        half.reachable = reachable;
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
        let Some(place) = self.session_place(true) else { return };
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

impl<const BYTES: usize> HalfOpen<BYTES> {
    fn knows(&self, id: MessageId) -> bool {
        match self.step {
            Step::Free => false,
            Step::AwaitMessage3(_) | Step::Done => self.first == id || self.last == Some(id),
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
fn ephemeral(rng: &mut impl Rng, crypto: &impl Crypto) -> Ephemeral {
    loop {
        if let Some(ephemeral) = Ephemeral::new(Curve::P256, Secret::from_bytes(random(rng)), crypto) {
            return ephemeral;
        }
    }
}
