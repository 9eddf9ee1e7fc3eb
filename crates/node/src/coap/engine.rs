//! The listener without its socket: datagrams and times go in, datagrams and calls of handlers come out.
//!
//! All state is bounded ([`Limits`]). Work is bounded too: a datagram costs at most one handshake step, whose public-key
//! operations EDHOC states, and one path validation (two if the chain needs our issuers); one that cannot be
//! authenticated costs a table look-up and one AES-CCM.
//!
//! Strangers. An address is *confirmed* when somebody there repeated an Echo (RFC 9175) or used keys. To others:
//! - an answer has at most three times the bytes of the request, or 136 (RFC 9175 section 2.6), and so have all answers
//!   together, repeated ones too; beyond, 4.01 with Echo. The exception is message 2 of EDHOC, which shows a
//!   certificate: some are sent each second ([`Limits::strangers`]) without Echo, one to an address, so that a quiet network
//!   needs no further round trip; the others are asked for Echo;
//! - bodies in blocks and observations need a confirmed address.

mod channels;
mod contexts;
mod handshakes;
mod limits;
mod observations;
mod origins;

use super::blocks::{Part, Step, Transfers};
use super::credentials::{Own, Peers};
use super::handler::{Caller, Peer};
use super::message::{self, Delivery, Request, Response};
use crate::provider::{AwsLc, random};
use crate::sessions::LiveSessions;
use bytes::Bytes;
use channels::Channel;
pub(in crate::coap) use contexts::Room;
use contexts::{Context, Contexts};
use handshakes::Handshakes;
pub(crate) use handshakes::ephemeral;
pub use limits::{Counts, Limits};
use medlock_proto::coap::block::{Block, BlockSize};
use medlock_proto::coap::{
    Code, Expiry, Message, MessageId, Number, Pending, Retransmit, Token, Type, echo, option, refuse, reset,
};
use medlock_proto::crypto::Secret;
use medlock_proto::edhoc::ConnectionId;
use medlock_proto::oscore::{self, Compressed, Incoming, MAX_OVERHEAD, Received};
use medlock_trust::Identified;
use observations::Observation;
use origins::{Came, Origins};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

/// The largest datagram that is read: a message of RFC 7252's recommended size, with room for generous peers.
pub const MAX_DATAGRAM: usize = 2_048;
/// How long an Echo value is good, in milliseconds.
const ECHO_MS: u64 = 60_000;
/// Critical options that are understood (RFC 7252 section 5.4.1).
const UNDERSTOOD: [Number; 9] = [
    option::URI_HOST,
    option::URI_PORT,
    option::OSCORE,
    option::URI_PATH,
    option::URI_QUERY,
    option::ACCEPT,
    option::EDHOC,
    option::BLOCK2,
    option::BLOCK1,
];

/// What is to be done.
#[derive(Debug)]
pub enum Output {
    /// Send this datagram.
    Send(SocketAddr, Bytes),
    /// Let a handler answer this request: [`Engine::answer`].
    Call(u64, Caller, Request),
    /// Nobody waits any more for the call or observation of this number.
    Forget(u64),
    /// The peer that was [`Engine::connected`] from here may do nothing any more: end its association.
    Close(SocketAddr),
}

/// The listener without its socket.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    own: Own,
    peers: Arc<Peers>,
    sessions: Arc<LiveSessions>,
    echo_key: Secret,
    origins: Origins,
    handshakes: Handshakes,
    contexts: Contexts,
    channels: HashMap<SocketAddr, Channel>,
    calls: BTreeMap<u64, Call>,
    observations: BTreeMap<u64, Observation>,
    unacknowledged: HashMap<(SocketAddr, MessageId), Unacknowledged>,
    next: u64,
    swept: u64,
}

/// A request that came, until it is answered.
#[derive(Debug)]
struct Call {
    from: SocketAddr,
    id: MessageId,
    slot: usize,
    size: usize,
    pending: Pending,
    protection: Protection,
    request: Request,
    block1: Option<Block>,
    block2: Option<Block>,
}

#[derive(Debug)]
enum Protection {
    None,
    Oscore(ConnectionId, Received),
}

impl Protection {
    fn context(&self) -> Option<ConnectionId> {
        match self {
            Self::None => None,
            Self::Oscore(id, _) => Some(*id),
        }
    }
}

#[derive(Debug)]
struct Unacknowledged {
    retransmit: Retransmit,
    bytes: Bytes,
    observation: Option<u64>,
}

impl Engine {
    /// A listener that shows `own`, believes in `peers` and keeps contexts as long as `sessions` lets them live.
    #[must_use]
    pub fn new(own: Own, peers: Arc<Peers>, sessions: Arc<LiveSessions>, limits: Limits) -> Self {
        Self {
            limits,
            own,
            peers,
            sessions,
            echo_key: Secret::from_bytes(random()),
            origins: Origins::new(limits.addresses),
            handshakes: Handshakes::new(limits.addresses),
            contexts: Contexts::new(limits.contexts, limits.contexts_per_device, limits.context_idle_ms),
            channels: HashMap::new(),
            calls: BTreeMap::new(),
            observations: BTreeMap::new(),
            unacknowledged: HashMap::new(),
            next: 0,
            swept: 0,
        }
    }

    /// A datagram came at `now` (milliseconds of any clock that does not go back).
    pub fn datagram(&mut self, now: u64, from: SocketAddr, datagram: &[u8], out: &mut Vec<Output>) {
        let Ok(message) = Message::read(datagram) else {
            out.extend(refuse(datagram).map(|bytes| Output::Send(from, Bytes::copy_from_slice(&bytes))));
            return;
        };
        match message.kind() {
            Type::Acknowledgement | Type::Reset => self.settled(now, from, &message, out),
            Type::Confirmable | Type::NonConfirmable if message.code().is_request() => {
                self.request(now, from, &message, out);
            }
            Type::Confirmable => out.push(Output::Send(from, Bytes::copy_from_slice(&reset(message.id())))),
            Type::NonConfirmable => {}
        }
    }

    /// A handler answered the call of this number. With `observed` more may follow, by [`Engine::notify`]; returns whether
    /// the client wants that.
    pub fn answer(&mut self, now: u64, call: u64, response: Response, observed: bool, out: &mut Vec<Output>) -> bool {
        let Some(mut answered) = self.calls.remove(&call) else { return false };
        let wanted = observed && answered.request.observe == Some(true) && response.code.is_success();
        let number = if wanted { self.observe(now, call, &mut answered) } else { None };
        let Some(sent) = self.respond(now, answered, response, number, out) else {
            self.observations.remove(&call);
            return false;
        };
        match self.observations.get_mut(&call) {
            Some(observation) => {
                observation.protection = sent;
                true
            }
            None => false,
        }
    }

    /// Does what is due at `now`.
    pub fn tick(&mut self, now: u64, out: &mut Vec<Output>) {
        for call in self.calls.values_mut() {
            if call.pending.next_deadline().is_some_and(|at| at <= now)
                && let Some(bytes) = call.pending.acknowledge()
            {
                let bytes = Bytes::copy_from_slice(&bytes);
                self.origins.at(call.from).answered(call.slot, call.id, &bytes);
                out.push(Output::Send(call.from, bytes));
            }
        }
        let mut lost = Vec::new();
        for ((to, id), held) in &mut self.unacknowledged {
            match held.retransmit.on_timeout(now) {
                Expiry::NotYet => {}
                Expiry::Resend => out.push(Output::Send(*to, held.bytes.clone())),
                Expiry::GiveUp => lost.push((*to, *id)),
            }
        }
        for key in lost {
            if let Some(call) = self.unacknowledged.remove(&key).and_then(|held| held.observation) {
                self.cancel(call, out);
            }
        }
        if now >= self.swept + 1_000 {
            self.swept = now;
            self.handshakes.expire(now, self.limits.half_open_ms);
            self.sweep(now, out);
        }
    }

    /// When [`Engine::tick`] is due at the latest.
    #[must_use]
    pub fn next_tick(&self, now: u64) -> Option<u64> {
        let acknowledgements = self.calls.values().filter_map(|call| call.pending.next_deadline());
        let repetitions = self.unacknowledged.values().map(|held| held.retransmit.next_deadline());
        let busy = self.handshakes.count() + self.contexts.count() + self.channels.len() > 0;
        acknowledgements.chain(repetitions).chain(busy.then_some(self.swept + 1_000)).min().map(|at| at.max(now + 1))
    }

    /// Ends the contexts whose peers may do nothing any more: to be called when the live sessions were judged again.
    pub fn sweep(&mut self, now: u64, out: &mut Vec<Output>) {
        for (id, context) in self.contexts.sweep(now) {
            if let Some(denied) = context.session.end_reason() {
                let who = context.peer.identified.device_name();
                tracing::info!(device = %who, code = %denied.code, "CoAP context ended");
            }
            self.orphan(id, out);
        }
        self.sweep_channels(out);
    }

    /// Adds a context whose keys were agreed on beforehand, with `who`: only to meet implementations that know nothing
    /// else.
    ///
    /// # Errors
    /// [`oscore::Error::Parameters`].
    pub fn danger_add_context(
        &mut self,
        parameters: &oscore::Parameters<'_>,
        replay: oscore::Replay,
        who: Identified,
        address: SocketAddr,
    ) -> Result<(), oscore::Error> {
        let id = ConnectionId::new(parameters.recipient.as_bytes()).ok_or(oscore::Error::Parameters)?;
        let sequence = oscore::SenderSequence::in_memory();
        let security = oscore::SecurityContext::derive(parameters, sequence, replay, &AwsLc)?;
        let peer = Arc::new(Peer { identified: who, certificate: Bytes::new(), address, handshake: None });
        self.add_context(0, id, security, peer, &mut Vec::new());
        Ok(())
    }

    /// How much is kept.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            addresses: self.origins.count(),
            half_open: self.handshakes.count(),
            contexts: self.contexts.count() + self.channels.len(),
            calls: self.calls.len(),
            observations: self.observations.len(),
            unacknowledged: self.unacknowledged.len(),
        }
    }

    /// A request came: once, or again.
    fn request(&mut self, now: u64, from: SocketAddr, message: &Message<'_>, out: &mut Vec<Output>) {
        self.origins.receive(from, message.as_bytes().len());
        if self.channels.contains_key(&from) {
            self.origins.confirm(from);
        }
        let slot = match self.origins.at(from).came((message.id(), message.token()), now) {
            Came::New(slot) => slot,
            Came::Again(reply) => {
                if let Some(reply) = reply.filter(|bytes| !bytes.is_empty()) {
                    self.repeat(now, from, message, reply, out);
                }
                return;
            }
        };
        let stamp = message.option(option::ECHO);
        if stamp.is_some_and(|stamp| echo::is_fresh(&self.echo_key, &place(from), stamp, now, ECHO_MS, &AwsLc)) {
            self.origins.confirm(from);
        }
        let call = Call {
            from,
            id: message.id(),
            slot,
            size: message.as_bytes().len(),
            pending: Pending::new(message, now),
            protection: Protection::None,
            request: Request::read(message),
            block1: None,
            block2: None,
        };
        if message.option(option::PROXY_URI).is_some() || message.option(option::PROXY_SCHEME).is_some() {
            self.respond(now, call, Response::new(Code::PROXYING_NOT_SUPPORTED), None, out);
        } else if message.option(option::OSCORE).is_some() {
            self.protected(now, call, message, out);
        } else {
            self.take(now, call, message, out);
        }
    }

    /// A request came again that was answered: the same once more. A stranger who repeats one message is not answered in
    /// full for ever, as the address may be another's; who receives there is asked to say so.
    fn repeat(&mut self, now: u64, to: SocketAddr, message: &Message<'_>, reply: Bytes, out: &mut Vec<Output>) {
        if self.origins.may_send(to, reply.len(), false) {
            out.push(Output::Send(to, reply));
            return;
        }
        let own = self.origins.at(to).draw_id();
        let delivery = Pending::new(message, now).response(own);
        let challenge = self.challenge(now, to);
        let bytes = self.seal(now, delivery, &mut Protection::None, &challenge, None);
        if let Some(bytes) = bytes {
            self.origins.challenged(to, bytes.len());
            out.push(Output::Send(to, bytes));
        }
    }

    /// A request over OSCORE, perhaps with message 3 of EDHOC in front (RFC 9668).
    fn protected(&mut self, now: u64, call: Call, message: &Message<'_>, out: &mut Vec<Output>) {
        let option = match Compressed::of(message) {
            Ok(option) => option,
            Err(error) => return self.reject(call, message, error, out),
        };
        let Some(id) = option.kid.and_then(ConnectionId::new) else {
            return self.reject(call, message, oscore::Error::UnknownContext, out);
        };
        let mut datagram = message.as_bytes().to_vec();
        if message.option(option::EDHOC).is_some() {
            match self.combined(now, call.from, id, message, out) {
                Ok(rest) => datagram = rest,
                Err(response) => {
                    self.respond(now, call, response, None, out);
                    return;
                }
            }
        }
        self.open(now, call, id, message, &mut datagram, out);
    }

    fn open(
        &mut self,
        now: u64,
        mut call: Call,
        id: ConnectionId,
        message: &Message<'_>,
        datagram: &mut [u8],
        out: &mut Vec<Output>,
    ) {
        let mut plain = vec![0; datagram.len()];
        let Some(context) = self.contexts.at(&id, now) else {
            return self.reject(call, message, oscore::Error::UnknownContext, out);
        };
        match context.security.unprotect_request(datagram, &mut plain, &AwsLc) {
            Err(error) => {
                if error == oscore::Error::Forged {
                    self.origins.at(call.from).forget(call.slot);
                }
                self.reject(call, message, error, out);
            }
            Ok(Incoming::Unfresh(mut received)) => {
                let own = self.origins.at(call.from).draw_id();
                let mut buffer = [0; 128];
                let delivery = call.pending.response(own);
                let challenge = context.security.challenge(&mut received, delivery, random(), &mut buffer, &AwsLc);
                if let Ok(bytes) = challenge {
                    let bytes = Bytes::copy_from_slice(bytes);
                    self.origins.at(call.from).answered(call.slot, call.id, &bytes);
                    out.push(Output::Send(call.from, bytes));
                }
            }
            Ok(Incoming::Fresh(message, received)) => {
                self.origins.confirm(call.from);
                call.protection = Protection::Oscore(id, received);
                call.request = Request::read(&message);
                // What EDHOC says of a resource behind OSCORE: the option was dealt with outside.
                self.take(now, call, &message, out);
            }
        }
    }

    /// A request whose sender is known or may stay unknown: its blocks, then its resource.
    fn take(&mut self, now: u64, mut call: Call, message: &Message<'_>, out: &mut Vec<Output>) {
        if message.unrecognized(&UNDERSTOOD).is_some() || message.option(option::EDHOC).is_some() {
            self.respond(now, call, Response::new(Code::BAD_OPTION), None, out);
            return;
        }
        let blocks = Block::of(message, option::BLOCK1).and_then(|one| Ok((one, Block::of(message, option::BLOCK2)?)));
        let Ok((block1, block2)) = blocks else {
            self.respond(now, call, Response::new(Code::BAD_OPTION), None, out);
            return;
        };
        (call.block1, call.block2) = (block1, block2);
        if call.protection.context().is_none() && block1.is_some() && !self.origins.is_confirmed(call.from) {
            let challenge = self.challenge(now, call.from);
            self.respond(now, call, challenge, None, out);
            return;
        }
        let tag = message.option(option::REQUEST_TAG).map(Bytes::copy_from_slice);
        let part = Part { request: call.request.clone(), block1, block2, tag };
        let most = self.limits.body_bytes;
        let Some(transfers) = self.transfers(&call, now) else { return };
        match transfers.accept(part, now, most) {
            Step::Answer(response) => {
                // It is cut already.
                call.block1 = None;
                call.block2 = None;
                self.respond_with_part(now, call, &response, None, out);
            }
            Step::Whole(whole, block1) => {
                call.block1 = block1;
                self.route(now, call, whole, out);
            }
        }
    }

    fn route(&mut self, now: u64, mut call: Call, whole: Request, out: &mut Vec<Output>) {
        let peer = match &call.protection {
            Protection::Oscore(id, _) => self.contexts.at(id, now).map(|context| context.peer.clone()),
            Protection::None => self.channels.get(&call.from).map(|channel| channel.peer.clone()),
        };
        if peer.is_none() && whole.path() == "/.well-known/edhoc" {
            let response = self.handshake(now, &call, &whole, out);
            self.respond(now, call, response, None, out);
            return;
        }
        call.request = whole.with_body(Bytes::new());
        if whole.observe == Some(false) {
            self.deregister(&call, out);
        }
        let of_address = self.calls.values().filter(|other| other.from == call.from).count();
        if self.calls.len() >= self.limits.calls || of_address >= self.limits.calls_per_address {
            let busy = Response::new(Code::SERVICE_UNAVAILABLE).with_uint(option::MAX_AGE, 1);
            self.respond(now, call, busy, None, out);
            return;
        }
        let caller = Caller { address: call.from, peer };
        self.next += 1;
        self.calls.insert(self.next, call);
        out.push(Output::Call(self.next, caller, whole));
    }

    /// Sends an answer, its first block if it is long. Gives back what protects further ones; `None` if nothing was sent.
    fn respond(
        &mut self,
        now: u64,
        call: Call,
        response: Response,
        observe: Option<u32>,
        out: &mut Vec<Output>,
    ) -> Option<Protection> {
        let (block1, block2) = (call.block1, call.block2);
        let request = call.request.clone();
        let response = self.transfers(&call, now)?.answer(&request, block2, response, BlockSize::LARGEST, now);
        let response = match block1 {
            Some(block) => response.with_uint(option::BLOCK1, block.value()),
            None => response,
        };
        self.respond_with_part(now, call, &response, observe, out)
    }

    fn respond_with_part(
        &mut self,
        now: u64,
        mut call: Call,
        response: &Response,
        observe: Option<u32>,
        out: &mut Vec<Output>,
    ) -> Option<Protection> {
        let own = self.origins.at(call.from).draw_id();
        let delivery = call.pending.response(own);
        let mut bytes = self.seal(now, delivery, &mut call.protection, response, observe)?;
        // The address of who used keys is confirmed.
        let message_2 = call.request.path() == "/.well-known/edhoc" && response.code == Code::CHANGED;
        let small = message_2 || bytes.len() <= origins::most(call.size) || self.origins.is_confirmed(call.from);
        if !small || !self.origins.may_send(call.from, bytes.len(), message_2) {
            let challenge = self.challenge(now, call.from);
            bytes = self.seal(now, delivery, &mut call.protection, &challenge, None)?;
            self.origins.challenged(call.from, bytes.len());
        }
        let (kind, id, _) = delivery;
        self.origins.at(call.from).answered(call.slot, call.id, &bytes);
        // One that waits is repeated until it is acknowledged: to whom it may be repeated.
        if kind == Type::Confirmable && self.origins.is_confirmed(call.from) {
            self.await_acknowledgement(now, call.from, id, &bytes, None);
        }
        out.push(Output::Send(call.from, bytes));
        Some(call.protection)
    }

    /// Writes a response, protected if its request was.
    fn seal(
        &mut self,
        now: u64,
        (kind, id, token): (Type, MessageId, Token),
        protection: &mut Protection,
        response: &Response,
        observe: Option<u32>,
    ) -> Option<Bytes> {
        let further: Vec<_> = observe.map(|number| (option::OBSERVE, message::uint(number))).into_iter().collect();
        let delivery = Delivery { kind, id, token };
        let plain = message::write(delivery, response.code, response.options(), &further, &response.payload).ok()?;
        let Protection::Oscore(context, received) = protection else { return Some(plain.into()) };
        let security = &mut self.contexts.at(context, now)?.security;
        let mut buffer = vec![0; plain.len() + MAX_OVERHEAD];
        let plain = Message::read(&plain).ok()?;
        let length = security.protect_response(received, &plain, &mut buffer, &AwsLc).ok()?.len();
        buffer.truncate(length);
        Some(buffer.into())
    }

    /// The answer to a protected request that was not opened.
    fn reject(&mut self, call: Call, message: &Message<'_>, error: oscore::Error, out: &mut Vec<Output>) {
        let origin = self.origins.at(call.from);
        let mut buffer = [0; 64];
        if let Some(bytes) = oscore::reject(message, error, origin.draw_id(), &mut buffer) {
            let bytes = Bytes::copy_from_slice(bytes);
            origin.answered(call.slot, call.id, &bytes);
            out.push(Output::Send(call.from, bytes));
        }
    }

    /// 4.01 with an Echo value: prove that you receive at your address.
    fn challenge(&self, now: u64, from: SocketAddr) -> Response {
        let stamp = echo::stamp(&self.echo_key, &place(from), now, &AwsLc);
        Response::new(Code::UNAUTHORIZED).with(option::ECHO, stamp.to_vec())
    }

    fn transfers(&mut self, call: &Call, now: u64) -> Option<&mut Transfers> {
        match &call.protection {
            Protection::None => Some(&mut self.origins.at(call.from).transfers),
            Protection::Oscore(id, _) => self.contexts.at(id, now).map(|context| &mut context.transfers),
        }
    }

    fn await_acknowledgement(&mut self, now: u64, to: SocketAddr, id: MessageId, bytes: &Bytes, of: Option<u64>) {
        let retransmit = Retransmit::new(id, now, u32::from_be_bytes(random()), self.limits.transmission);
        // Bounded by the calls and observations there are; what is too much is sent once.
        if self.unacknowledged.len() < self.limits.calls + self.limits.observations {
            let held = Unacknowledged { retransmit, bytes: bytes.clone(), observation: of };
            self.unacknowledged.insert((to, id), held);
        }
    }

    /// A handshake is complete: requests may come.
    fn add_context(
        &mut self,
        now: u64,
        id: ConnectionId,
        security: oscore::SecurityContext,
        peer: Arc<Peer>,
        out: &mut Vec<Output>,
    ) {
        let session = self.sessions.register_channel(peer.identified.clone());
        let context = Context { security, peer, transfers: Transfers::default(), used: now, session };
        for gone in self.contexts.add(id, context) {
            self.orphan(gone, out);
        }
    }

    /// A context is gone: so is what hung on it.
    fn orphan(&mut self, id: ConnectionId, out: &mut Vec<Output>) {
        self.contexts.remove(&id);
        let calls = self.calls.extract_if(.., |_, call| call.protection.context() == Some(id));
        out.extend(calls.map(|(call, _)| Output::Forget(call)));
        let observed = self.observations.extract_if(.., |_, observed| observed.protection.context() == Some(id));
        let observed: Vec<u64> = observed.map(|(call, _)| call).collect();
        self.unacknowledged.retain(|_, held| held.observation.is_none_or(|call| !observed.contains(&call)));
        out.extend(observed.into_iter().map(Output::Forget));
    }
}

/// An address as bytes, for Echo values.
pub(in crate::coap) fn place(address: SocketAddr) -> Vec<u8> {
    address.to_string().into_bytes()
}
