//! EDHOC over CoAP, as responder (RFC 9528 appendix A.2, RFC 9668).

use super::super::credentials::{NotFound, SUITES};
use super::super::handler::Peer;
use super::super::message::{Request, Response};
use super::super::pace::{Begun, Bucket, Most, surplus};
use super::{Call, Engine, Output};
use crate::provider::{AwsLc, random};
use crate::sessions::denied_everything;
use bytes::Bytes;
use medlock_proto::coap::Writer;
use medlock_proto::coap::{Code, Message, content_format, option};
use medlock_proto::crypto::Secret;
use medlock_proto::edhoc::responder::{Accept, AwaitMessage3, Message1, Verified3};
use medlock_proto::edhoc::{self, ConnectionId, Ephemeral, Method, Reply, Session, Suite};
use medlock_proto::oscore::{Replay, SecurityContext, SenderSequence};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Bytes of message 2 beside the credential: key, identifier, signature, heads.
const MESSAGE_2: usize = 160;

/// Handshakes under way.
#[derive(Debug)]
pub(super) struct Handshakes {
    half_open: HashMap<ConnectionId, HalfOpen>,
    bucket: Bucket,
    begun: Begun,
}

#[derive(Debug)]
struct HalfOpen {
    state: AwaitMessage3,
    method: Method,
    from: SocketAddr,
    since: u64,
}

impl Handshakes {
    /// None, and room for the work of so many addresses.
    pub(super) fn new(addresses: usize) -> Self {
        Self { half_open: HashMap::new(), bucket: Bucket::default(), begun: Begun::new(addresses) }
    }

    pub(super) fn count(&self) -> usize {
        self.half_open.len()
    }

    pub(super) fn expire(&mut self, now: u64, after_ms: u64) {
        self.half_open.retain(|_, half| now < half.since + after_ms);
    }

    fn of(&self, address: IpAddr) -> usize {
        self.half_open.values().filter(|half| half.from.ip() == address).count()
    }

    /// Takes away one handshake under way where there is no room for one from this address.
    fn make_room(&mut self, address: IpAddr, most: Most<usize>) {
        let mut held: Vec<_> = self.half_open.iter().map(|(id, half)| (half.since, (*id, half.from.ip()))).collect();
        held.sort_by_key(|(since, _)| *since);
        let held: Vec<_> = held.into_iter().map(|(_, half)| half).collect();
        if let Some(gone) = surplus(&held, address, most) {
            self.half_open.remove(&gone);
        }
    }
}

impl Engine {
    /// A request to `/.well-known/edhoc`.
    pub(super) fn handshake(&mut self, now: u64, call: &Call, request: &Request, out: &mut Vec<Output>) -> Response {
        if request.method != Code::POST {
            return Response::new(Code::METHOD_NOT_ALLOWED);
        }
        match edhoc::coap::read_request(&request.payload) {
            Err(error) => fault(error),
            Ok(edhoc::coap::Request::Trigger) => Response::new(Code::NOT_IMPLEMENTED),
            Ok(edhoc::coap::Request::Start(message)) => self.start(now, call.from, message),
            Ok(edhoc::coap::Request::Next(id, message)) => self.finish(now, call.from, id, message, out),
        }
    }

    /// Message 3 in front of a protected request: what is left is that request (RFC 9668 section 3.3.1).
    pub(super) fn combined(
        &mut self,
        now: u64,
        from: SocketAddr,
        id: ConnectionId,
        message: &Message<'_>,
        out: &mut Vec<Output>,
    ) -> Result<Vec<u8>, Response> {
        let mut payload = message.payload().to_vec();
        let (message_3, ciphertext) = edhoc::coap::split(&mut payload).map_err(fault)?;
        let (verified, certificate) = self.verify(now, from, id, message_3)?;
        self.open_session(now, from, verified.session(), certificate, out)?;
        let mut datagram = vec![0; message.as_bytes().len()];
        let mut writer = Writer::new(&mut datagram, message.kind(), message.code(), message.id(), message.token());
        for (number, value) in message.options().filter(|(number, _)| *number != option::EDHOC) {
            writer.option(number, value);
        }
        let length = writer.payload(ciphertext).finish().map_err(|_| Response::new(Code::BAD_REQUEST))?.len();
        datagram.truncate(length);
        Ok(datagram)
    }

    /// Message 1: answered with message 2 or, to strangers when there are many, with a challenge.
    fn start(&mut self, now: u64, from: SocketAddr, message: &[u8]) -> Response {
        let busy = || Response::new(Code::SERVICE_UNAVAILABLE).with_uint(option::MAX_AGE, 5);
        self.handshakes.expire(now, self.limits.half_open_ms);
        let Some(own) = self.own.present() else { return busy() };
        if !self.origins.is_confirmed(from) {
            let crowded = self.handshakes.count() * 4 >= self.limits.half_open;
            let large = !self.origins.may_receive(from, MESSAGE_2 + own.length());
            let indulged = || self.origins.was_indulged(from);
            if crowded || (large && (indulged() || !self.handshakes.bucket.take(now, self.limits.strangers))) {
                return self.challenge(now, from);
            }
        }
        // A stranger who is at this address in name only takes nothing away from who is.
        if self.handshakes.of(from.ip()) >= self.limits.half_open_per_address
            || !self.handshakes.begun.take(now, from.ip(), self.limits.beginnings())
        {
            return busy();
        }
        let accept = Accept { methods: &Method::ALL, suites: &SUITES, understood: &[] };
        let message_1 = match Message1::read(message, &accept, &AwsLc) {
            Ok(message_1) => message_1,
            Err(error) => return fault(error),
        };
        let (id, key) = (self.fresh_id(message_1.peer_id()), ephemeral(message_1.suite()));
        let method = message_1.method();
        let mut buffer = vec![0; MESSAGE_2 + own.length() + 64];
        let written = own.with(|own| message_1.message_2(own, id, key, &[], &mut buffer, &AwsLc));
        match written {
            None => busy(),
            Some(Err(error)) => fault(error),
            Some(Ok((state, length))) => {
                buffer.truncate(length);
                self.handshakes.make_room(from.ip(), self.limits.under_way());
                self.handshakes.half_open.insert(id, HalfOpen { state, method, from, since: now });
                Response::new(Code::CHANGED).with_payload(content_format::EDHOC, buffer)
            }
        }
    }

    /// Message 3 by itself: answered with message 4.
    fn finish(
        &mut self,
        now: u64,
        from: SocketAddr,
        id: ConnectionId,
        message: &[u8],
        out: &mut Vec<Output>,
    ) -> Response {
        if edhoc::Fault::read(message).is_ok() {
            // The initiator may give up, and anybody can say so: the handshake ends by its time.
            return Response::new(Code::CHANGED);
        }
        let (verified, certificate) = match self.verify(now, from, id, &mut message.to_vec()) {
            Ok(verified) => verified,
            Err(response) => return response,
        };
        let mut buffer = vec![0; 64];
        match verified.message_4(&[], &mut buffer, &AwsLc) {
            Err(error) => fault(error),
            Ok((session, length)) => {
                buffer.truncate(length);
                match self.open_session(now, from, session, certificate, out) {
                    Err(response) => response,
                    Ok(()) => Response::new(Code::CHANGED).with_payload(content_format::EDHOC, buffer),
                }
            }
        }
    }

    /// Reads message 3, if it is from where message 1 was: until a key was used, an address is all that tells a peer from a
    /// stranger, and nothing of another address touches the handshake. Nor does what the keys of this handshake did not
    /// make, from wherever it is said to be; it costs a hash and one AES-CCM. Then finds out whose credential it names, and checks that the sender has its key.
    fn verify(
        &mut self,
        now: u64,
        from: SocketAddr,
        id: ConnectionId,
        message: &mut [u8],
    ) -> Result<(Verified3, Bytes), Response> {
        self.handshakes.expire(now, self.limits.half_open_ms);
        let mine = self.handshakes.half_open.get(&id).is_some_and(|half| half.from == from);
        let half = if mine { self.handshakes.half_open.remove(&id) } else { None };
        let half = half.ok_or_else(|| fault(edhoc::Error::ConnectionId))?;
        let signs = half.method.initiator_signs();
        let message_3 = match half.state.read(message, &[], &AwsLc) {
            Ok(message_3) => message_3,
            Err(rejected) => {
                self.handshakes.half_open.insert(id, HalfOpen { state: rejected.state, ..half });
                return Err(fault(rejected.error));
            }
        };
        // The sender has the keys of this handshake, so it received message 2.
        self.origins.confirm(from);
        let own = self.own.present();
        let found = self.peers.find(message_3.id_cred(), own.as_ref()).map_err(|why| {
            tracing::info!(%from, why = %why, "no EDHOC session: the peer's credential is not believed");
            match why {
                NotFound::Unknown => answer(Reply::UnknownCredential, Code::BAD_REQUEST),
                NotFound::Unidentified(_) => fault(edhoc::Error::KeyKind),
            }
        })?;
        let credential = found.credential(signs).ok_or_else(|| fault(edhoc::Error::KeyKind))?;
        let verified = message_3.verify(credential, &AwsLc).map_err(fault)?;
        if let Some(denied) = denied_everything(self.peers.knowledge(), verified.peer()) {
            let device = verified.peer().device_name();
            tracing::info!(%from, %device, code = %denied.code, "no EDHOC session: the peer may do nothing");
            return Err(fault(edhoc::Error::KeyKind));
        }
        found.remember(&self.peers);
        Ok((verified, found.certificate()))
    }

    fn open_session(
        &mut self,
        now: u64,
        from: SocketAddr,
        session: Session,
        certificate: Bytes,
        out: &mut Vec<Output>,
    ) -> Result<(), Response> {
        let id = session.own_id();
        // Sequence numbers begin anew with each handshake, and so do keys.
        let (sequence, replay) = (SenderSequence::in_memory(), Replay::NoneYet);
        let security = SecurityContext::from_edhoc(&session.oscore(&AwsLc), sequence, replay, &AwsLc)
            .map_err(|_| fault(edhoc::Error::TooLong))?;
        let peer = Peer { identified: session.peer().clone(), certificate, address: from, handshake: Some(session) };
        self.add_context(now, id, security, Arc::new(peer), out);
        Ok(())
    }

    /// An identifier nothing else has: one byte while there are any, as small peers know no others.
    fn fresh_id(&self, not: ConnectionId) -> ConnectionId {
        let free = |id: &ConnectionId| {
            *id != not && !self.handshakes.half_open.contains_key(id) && !self.contexts.contains(id)
        };
        // The single bytes that are CBOR integers: -24 to 23 (RFC 9528 section 3.3.2).
        let first = random::<1>()[0] % 48;
        let short = (0..48).map(|step| (first + step) % 48).map(|index| if index < 24 { index } else { index + 8 });
        let short = short.filter_map(|byte| ConnectionId::new(&[byte])).find(free);
        let mut long = std::iter::repeat_with(|| ConnectionId::new(&random::<3>())).flatten().filter(free);
        short.or_else(|| long.next()).expect("2²⁴ identifiers are more than there are handshakes")
    }
}

/// A key pair for one handshake.
pub(crate) fn ephemeral(suite: Suite) -> Ephemeral {
    let draw = || Ephemeral::new(suite.curve(), Secret::from_bytes(random()), &AwsLc);
    std::iter::repeat_with(draw).flatten().next().expect("an endless iterator")
}

/// The error message for `error` (RFC 9528 section 6).
fn fault(error: edhoc::Error) -> Response {
    let code = edhoc::coap::response_code(&error);
    answer(Reply::to(error, &SUITES), Code::new(code >> 5, code & 31))
}

fn answer(reply: Reply<'_>, code: Code) -> Response {
    let mut buffer = vec![0; 128];
    match reply.write(&mut buffer) {
        Err(_) => Response::new(code),
        Ok(length) => {
            buffer.truncate(length);
            Response::new(code).with_payload(content_format::EDHOC, Bytes::from(buffer))
        }
    }
}
