//! A CoAP client: plain, with EDHOC and OSCORE, or with OSCORE from keys agreed on beforehand.

mod wire;

use super::credentials::{Own, Peers, SUITES};
use super::engine::ephemeral;
use super::message::{Request, Response};
use crate::Error;
use crate::provider::{AwsLc, random};
use crate::sessions::denied_everything;
use bytes::Bytes;
use medlock_proto::coap::block::{Assembler, Block, BlockSize, Progress, Upload};
use medlock_proto::coap::{Code, Number, Transmission, content_format, option};
use medlock_proto::edhoc::initiator::{AwaitMessage2, Offer, Unconfirmed, start};
use medlock_proto::edhoc::{ConnectionId, Fault, Method, Suite, coap};
use medlock_proto::oscore::{Replay, SecurityContext, SenderSequence};
use medlock_trust::Identified;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::mpsc;
use wire::{Answered, Combined, Wire};

/// The most bytes of a body that is fetched in blocks.
const MAX_BODY: usize = 1 << 20;
/// A message 3 up to this length goes in front of the first request, and leaves room for it in one datagram.
const COMBINED: usize = 700;

/// How a client begins a handshake.
#[derive(Clone, Debug)]
pub struct Handshake {
    /// How both sides authenticate.
    pub method: Method,
    /// The suites that are offered, most preferred first.
    pub suites: Vec<Suite>,
    /// Whether message 3 goes with the first request (RFC 9668), which saves a round trip.
    pub combined: bool,
    /// How requests are repeated until they are acknowledged.
    pub transmission: Transmission,
}

impl Default for Handshake {
    /// Static Diffie-Hellman on both sides, the smallest; message 3 by itself, so that a failure shows at once.
    fn default() -> Self {
        Self {
            method: Method::StaticStatic,
            suites: SUITES.to_vec(),
            combined: false,
            transmission: Transmission::DEFAULT,
        }
    }
}

/// A client of one server. Clones share its socket and its keys.
#[derive(Clone, Debug)]
pub struct Client {
    wire: Wire,
    peer: Option<Arc<Identified>>,
    knowledge: Option<Arc<Peers>>,
}

/// Notifications of a resource (RFC 7641). Dropping it ends them.
#[derive(Debug)]
pub struct Observation {
    client: Client,
    request: Request,
    notifications: mpsc::Receiver<Result<Answered, Error>>,
}

impl Client {
    /// A client without protection: for resources that are open to all.
    ///
    /// # Errors
    /// [`Error::Connection`] if there is no socket to be had.
    pub async fn plain(server: SocketAddr) -> Result<Self, Error> {
        Self::open(server, Transmission::DEFAULT).await
    }

    async fn open(server: SocketAddr, transmission: Transmission) -> Result<Self, Error> {
        Ok(Self { wire: Wire::open(server, transmission).await?, peer: None, knowledge: None })
    }

    /// Runs EDHOC with `server` as initiator, showing `own`; whom it is with is told by [`Client::peer`].
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Connection`]; [`Error::Coap`] if the peer is nobody we believe, may do nothing, or does
    /// not want us; [`Error::NotReady`] without an own credential.
    pub async fn connect(
        server: SocketAddr,
        own: &Own,
        peers: &Arc<Peers>,
        handshake: &Handshake,
    ) -> Result<Self, Error> {
        let client = Self::open(server, handshake.transmission).await?;
        let offered = handshake.suites.first().copied();
        let mut selected = offered.ok_or(Error::NotReady("no cipher suite is offered"))?;
        let (state, message_2) = match client.message_1(handshake, selected).await? {
            Begun::Answered(state, message_2) => (state, message_2),
            Begun::OtherSuite(suite) => {
                selected = suite;
                match client.message_1(handshake, selected).await? {
                    Begun::Answered(state, message_2) => (state, message_2),
                    Begun::OtherSuite(_) => return Err(client.wrong("it wants one suite after the other")),
                }
            }
        };
        let (unconfirmed, message_3, connection) =
            client.verify(state, handshake.method, &mut message_2.to_vec(), own, peers)?;
        let peer = Arc::new(unconfirmed.peer().clone());
        let (sequence, replay) = (SenderSequence::in_memory(), Replay::NoneYet);
        let security = SecurityContext::from_edhoc(&unconfirmed.oscore(&AwsLc), sequence, replay, &AwsLc);
        let security = security.map_err(|error| client.wrong(error))?;
        if handshake.combined && message_3.len() <= COMBINED {
            client.wire.secure(security, Some(Combined { message_3, unconfirmed })).await?;
        } else {
            client.message_3(unconfirmed, connection, &message_3).await?;
            client.wire.secure(security, None).await?;
        }
        Ok(Self { wire: client.wire, peer: Some(peer), knowledge: Some(peers.clone()) })
    }

    /// A client with a context whose keys were agreed on beforehand: only to meet implementations that know nothing else.
    ///
    /// # Errors
    /// [`Error::Connection`] if there is no socket to be had.
    pub async fn danger_with_context(server: SocketAddr, security: SecurityContext) -> Result<Self, Error> {
        let client = Self::plain(server).await?;
        client.wire.secure(security, None).await?;
        Ok(client)
    }

    /// Who the server is; `None` if it did not show it. What it may do is asked for each operation.
    #[must_use]
    pub fn peer(&self) -> Option<&Identified> {
        self.peer.as_deref()
    }

    /// Sends a request and waits for the answer, both in blocks where they are long. An error the server answers is a
    /// [`Response`] too.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Connection`]; [`Error::Coap`] if the server lost its keys (connect again), answers
    /// without protection, or may do nothing any more.
    pub async fn request(&self, request: Request) -> Result<Response, Error> {
        let (request, first) = self.upload(request).await?;
        self.fetch(&request, first).await
    }

    /// Sends a request that asks for notifications too; the first answer is the present state. `None` instead of an
    /// observation if the server has none to offer.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn observe(&self, request: Request) -> Result<(Response, Option<Observation>), Error> {
        self.judge()?;
        let request = request.observing();
        let mut notifications = self.wire.send(request.clone(), Vec::new(), true).await?;
        let first = notifications.recv().await.unwrap_or_else(|| Err(self.gone()))?;
        let observed = first.observe.is_some();
        let response = self.fetch(&request, first).await?;
        let observation = Observation { client: self.clone(), request, notifications };
        Ok((response, observed.then_some(observation)))
    }

    /// The request, in blocks if it is long. It comes back with the tag of its blocks, which goes with the requests for
    /// the blocks of the answer too: they belong to one operation (RFC 9175 section 3.3).
    async fn upload(&self, request: Request) -> Result<(Request, Answered), Error> {
        if request.payload.len() <= BlockSize::LARGEST.bytes() {
            let answered = self.exchange(&request, Vec::new()).await?;
            return Ok((request, answered));
        }
        let mut upload = Upload::new(BlockSize::LARGEST);
        let request = request.with(option::REQUEST_TAG, random::<4>().to_vec());
        loop {
            let (block, part) = upload.block(&request.payload).map_err(|error| self.wrong(error))?;
            let part = request.with_body(request.payload.slice_ref(part));
            let further = vec![(option::BLOCK1, super::message::uint(block.value()))];
            let answered = self.exchange(&part, further).await?;
            match answered.block1 {
                Some(by) if answered.response.code == Code::CONTINUE && block.more() => {
                    upload.acknowledged(by).map_err(|error| self.wrong(error))?;
                }
                Some(to) if answered.response.code == Code::REQUEST_ENTITY_TOO_LARGE && upload.shrink(to) => {}
                _ => return Ok((request, answered)),
            }
        }
    }

    /// The rest of an answer that came in blocks.
    async fn fetch(&self, request: &Request, first: Answered) -> Result<Response, Error> {
        let Some(mut block) = first.block2.filter(|block| block.more()) else { return Ok(first.response) };
        let (mut assembler, mut body) = (Assembler::new(), Vec::new());
        let (mut response, mut part) = (first.response.clone(), first.response);
        let request = request.with_body(Bytes::new());
        loop {
            let end = block.offset() + part.payload.len();
            if end > MAX_BODY {
                return Err(self.wrong("its answer is too long"));
            }
            body.resize(body.len().max(end), 0);
            let tag = part.values(option::ETAG).next().cloned();
            let progress = assembler.accept(block, tag.as_deref(), &part.payload, &mut body);
            match progress.map_err(|error| self.wrong(error))? {
                Progress::Complete(length) => {
                    body.truncate(length);
                    response.payload = body.into();
                    return Ok(response);
                }
                Progress::Next(offset) => {
                    let next =
                        Block::at(offset, false, block.size()).ok_or_else(|| self.wrong("its answer is too long"))?;
                    let mut asked = request.clone();
                    asked.observe = None;
                    let further = vec![(option::BLOCK2, super::message::uint(next.value()))];
                    let answered = self.exchange(&asked, further).await?;
                    let Some(came) = answered.block2 else { return Ok(answered.response) };
                    (block, part) = (came, answered.response);
                }
            }
        }
    }

    /// One request and its answer; and once more with the Echo value if the server asks for it (RFC 9175 section 2.3).
    async fn exchange(&self, request: &Request, mut further: Vec<(Number, Bytes)>) -> Result<Answered, Error> {
        self.judge()?;
        let answered = self.once(request, further.clone()).await?;
        match answered.echo.clone() {
            Some(echo) if answered.response.code == Code::UNAUTHORIZED => {
                further.push((option::ECHO, echo));
                self.once(request, further).await
            }
            _ => Ok(answered),
        }
    }

    async fn once(&self, request: &Request, further: Vec<(Number, Bytes)>) -> Result<Answered, Error> {
        let mut answers = self.wire.send(request.clone(), further, false).await?;
        answers.recv().await.unwrap_or_else(|| Err(self.gone()))
    }

    /// Message 1, and message 2 as it came.
    async fn message_1(&self, handshake: &Handshake, selected: Suite) -> Result<Begun, Error> {
        let connection = ConnectionId::new(&[random::<1>()[0] % 24]).ok_or(Error::NotReady("no identifier"))?;
        let offer = Offer { method: handshake.method, suites: &handshake.suites, selected, connection, ead: &[] };
        let mut payload = vec![0; 256];
        let front = coap::write_start(&mut payload).map_err(|error| self.wrong(error))?;
        let (state, length) =
            start(&offer, ephemeral(selected), &mut payload[front..], &AwsLc).map_err(|error| self.wrong(error))?;
        payload.truncate(front + length);
        let response = self.edhoc(payload).await?;
        if response.code == Code::CHANGED {
            return Ok(Begun::Answered(state, response.payload));
        }
        match Fault::read(&response.payload) {
            Ok(Fault::WrongSuite(theirs))
                if theirs.choose(&handshake.suites).is_some_and(|suite| suite != selected) =>
            {
                theirs.choose(&handshake.suites).map(Begun::OtherSuite).ok_or_else(|| self.wrong("no common suite"))
            }
            _ => Err(self.refused(&response)),
        }
    }

    /// Finds out whose message 2 is, and makes message 3.
    fn verify(
        &self,
        state: AwaitMessage2,
        method: Method,
        message_2: &mut [u8],
        own: &Own,
        peers: &Peers,
    ) -> Result<(Unconfirmed, Vec<u8>, ConnectionId), Error> {
        let own = own.present().ok_or(Error::NotReady("there is no own credential to show"))?;
        let message_2 = state.read(message_2, &[], &AwsLc).map_err(|rejected| self.wrong(rejected.error))?;
        let found = peers.find(message_2.id_cred(), Some(&own));
        let found = found.map_err(|why| self.wrong(format!("its credential is not believed: {why}")))?;
        let credential =
            found.credential(method.responder_signs()).ok_or_else(|| self.wrong("its key is of no use in EDHOC"))?;
        let verified = message_2.verify(credential, &AwsLc).map_err(|rejected| self.wrong(rejected.error))?;
        if let Some(denied) = denied_everything(peers.knowledge(), verified.peer()) {
            return Err(self.wrong(format!("it may do nothing: {:?}", denied.code)));
        }
        found.remember(peers);
        let connection = verified.peer_id();
        let mut buffer = vec![0; 256 + own.length()];
        let made = own.with(|own| verified.message_3(own, &[], &mut buffer, &AwsLc));
        let (unconfirmed, length) =
            made.ok_or(Error::NotReady("the own credential cannot be read"))?.map_err(|error| self.wrong(error))?;
        buffer.truncate(length);
        Ok((unconfirmed, buffer, connection))
    }

    /// Message 3 by itself, and message 4.
    async fn message_3(&self, state: Unconfirmed, connection: ConnectionId, message: &[u8]) -> Result<(), Error> {
        let mut payload = vec![0; 16];
        let front = coap::write_next(connection, &mut payload).map_err(|error| self.wrong(error))?;
        payload.truncate(front);
        payload.extend_from_slice(message);
        let response = self.edhoc(payload).await?;
        if response.code != Code::CHANGED {
            return Err(self.refused(&response));
        }
        let mut message_4 = response.payload.to_vec();
        state.read_message_4(&mut message_4, &[], &AwsLc).map_err(|rejected| self.wrong(rejected.error))?;
        Ok(())
    }

    async fn edhoc(&self, payload: Vec<u8>) -> Result<Response, Error> {
        self.request(Request::post("/.well-known/edhoc", content_format::CID_EDHOC, payload)).await
    }

    /// Nothing is asked of a peer that may do nothing any more.
    fn judge(&self) -> Result<(), Error> {
        let (Some(peers), Some(peer)) = (&self.knowledge, &self.peer) else { return Ok(()) };
        match denied_everything(peers.knowledge(), peer) {
            None => Ok(()),
            Some(denied) => Err(self.wrong(format!("it may do nothing any more: {:?}", denied.code))),
        }
    }

    fn refused(&self, response: &Response) -> Error {
        let why = match Fault::read(&response.payload) {
            Ok(Fault::Unspecified(text)) => text.to_owned(),
            Ok(Fault::UnknownCredential) => "it does not know our credential".to_owned(),
            Ok(Fault::WrongSuite(_)) => "it has none of our cipher suites".to_owned(),
            Ok(Fault::Other(code)) => format!("EDHOC error {code}"),
            Err(_) => format!("{response:?}"),
        };
        self.wrong(format!("no handshake: {why}"))
    }

    fn wrong(&self, what: impl ToString) -> Error {
        Error::Coap { with: self.wire.server().to_string(), what: what.to_string() }
    }

    fn gone(&self) -> Error {
        self.wrong("the client was closed")
    }
}

impl Observation {
    /// The next notification: the newest state. `None` when there will be no more.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn next(&mut self) -> Option<Result<Response, Error>> {
        match self.notifications.recv().await? {
            Err(error) => Some(Err(error)),
            Ok(answered) => Some(self.client.fetch(&self.request, answered).await),
        }
    }
}

enum Begun {
    Answered(AwaitMessage2, Bytes),
    OtherSuite(Suite),
}
