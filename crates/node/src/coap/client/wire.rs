//! One socket, its requests under way, and the keys: a task of its own.

use crate::Error;
use crate::coap::engine::MAX_DATAGRAM;
use crate::coap::message::{self, Delivery, Request, Response};
use crate::provider::{AwsLc, random};
use bytes::Bytes;
use medlock_proto::coap::block::Block;
use medlock_proto::coap::observe::Newest;
use medlock_proto::coap::{
    Exchange, Expiry, Matched, Message, MessageIds, Number, Token, Transmission, Type, Writer, acknowledgement, option,
    refuse, reset,
};
use medlock_proto::edhoc::coap::join;
use medlock_proto::edhoc::initiator::Unconfirmed;
use medlock_proto::oscore::{MAX_OVERHEAD, SecurityContext, Sent};
use std::collections::{HashMap, VecDeque};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

/// Notifications that may wait for whoever observes.
const NOTIFICATIONS: usize = 16;

/// An answer as one datagram brings it, with what belongs to its delivery.
#[derive(Debug)]
pub(super) struct Answered {
    pub(super) response: Response,
    pub(super) block1: Option<Block>,
    pub(super) block2: Option<Block>,
    pub(super) observe: Option<u32>,
    pub(super) echo: Option<Bytes>,
}

/// Message 3, which goes with the first request; and what its answer confirms.
#[derive(Debug)]
pub(super) struct Combined {
    pub(super) message_3: Vec<u8>,
    pub(super) unconfirmed: Unconfirmed,
}

/// A handle of the task. The task ends with the last handle.
#[derive(Clone, Debug)]
pub(super) struct Wire {
    server: SocketAddr,
    commands: mpsc::Sender<Command>,
}

type Answers = mpsc::Sender<Result<Answered, Error>>;

enum Command {
    Send { request: Request, further: Vec<(Number, Bytes)>, observe: bool, answers: Answers },
    Secure(Box<SecurityContext>, Option<Box<Combined>>),
}

impl Wire {
    pub(super) async fn open(server: SocketAddr, transmission: Transmission) -> Result<Self, Error> {
        let failed = |source| Error::Connection { with: server.to_string(), source };
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await.map_err(failed)?;
        socket.connect(server).await.map_err(failed)?;
        let (commands, commanded) = mpsc::channel(16);
        let driver = Driver {
            server,
            socket,
            transmission,
            start: Instant::now(),
            ids: MessageIds::new(u16::from_be_bytes(random())),
            token: u32::from_be_bytes(random()),
            security: None,
            combined: None,
            waiting: VecDeque::new(),
            running: HashMap::new(),
        };
        tokio::spawn(driver.run(commanded));
        Ok(Self { server, commands })
    }

    pub(super) const fn server(&self) -> SocketAddr {
        self.server
    }

    /// Sends a request, protected if there are keys. The answers come where this returns; one, or several with `observe`.
    pub(super) async fn send(
        &self,
        request: Request,
        further: Vec<(Number, Bytes)>,
        observe: bool,
    ) -> Result<mpsc::Receiver<Result<Answered, Error>>, Error> {
        let (answers, answered) = mpsc::channel(NOTIFICATIONS);
        self.command(Command::Send { request, further, observe, answers }).await?;
        Ok(answered)
    }

    pub(super) async fn secure(&self, security: SecurityContext, combined: Option<Combined>) -> Result<(), Error> {
        self.command(Command::Secure(Box::new(security), combined.map(Box::new))).await
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        let closed = |_| Error::Coap { with: self.server.to_string(), what: "the client was closed".to_owned() };
        self.commands.send(command).await.map_err(closed)
    }
}

struct Driver {
    server: SocketAddr,
    socket: UdpSocket,
    transmission: Transmission,
    start: Instant,
    ids: MessageIds,
    token: u32,
    security: Option<Box<SecurityContext>>,
    combined: Option<Box<Combined>>,
    /// Requests that wait for the answer to the first one, which carries message 3 (RFC 9668 section 3.2.1).
    waiting: VecDeque<Command>,
    running: HashMap<Token, Running>,
}

/// A request under way, or an observation.
struct Running {
    exchange: Exchange,
    bytes: Vec<u8>,
    sent: Option<Sent>,
    observe: bool,
    /// It was answered; notifications may follow.
    answered: bool,
    newest: Newest,
    answers: Answers,
}

impl Driver {
    async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        let mut datagram = vec![0; MAX_DATAGRAM];
        loop {
            let due = self.running.values().filter(|one| !one.answered).map(|one| one.exchange.next_deadline()).min();
            let wake = self.start + Duration::from_millis(due.unwrap_or_else(|| self.now() + 3_600_000));
            tokio::select! {
                command = commands.recv() => match command {
                    None => return,
                    Some(command) => self.command(command).await,
                },
                received = self.socket.recv(&mut datagram) => match received {
                    Ok(length) => self.message(&datagram[..length]).await,
                    // A port nobody listens on; it may come back while we repeat.
                    Err(error) => tracing::debug!(server = %self.server, %error, "no datagram"),
                },
                () = sleep_until(wake) => {}
            }
            self.overdue().await;
            while !self.must_wait()
                && let Some(command) = self.waiting.pop_front()
            {
                self.command(command).await;
            }
        }
    }

    /// Whether message 3 is under way and unanswered.
    fn must_wait(&self) -> bool {
        self.combined.is_some() && !self.running.is_empty()
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn command(&mut self, command: Command) {
        match command {
            Command::Secure(security, combined) => {
                self.security = Some(security);
                self.combined = combined;
            }
            Command::Send { .. } if self.must_wait() => self.waiting.push_back(command),
            Command::Send { request, further, observe, answers } => match self.write(&request, further) {
                Err(what) => drop(answers.try_send(Err(self.wrong(what)))),
                Ok((bytes, sent)) => {
                    let Ok(message) = Message::read(&bytes) else { return };
                    let random = u32::from_be_bytes(random());
                    let exchange = Exchange::new(&message, self.now(), random, self.transmission);
                    let token = message.token();
                    self.transmit(&bytes).await;
                    let newest = Newest::new();
                    let running = Running { exchange, bytes, sent, observe, answered: false, newest, answers };
                    self.running.insert(token, running);
                }
            },
        }
    }

    /// The request as a datagram, protected if there are keys, with message 3 in front if it was not sent yet.
    fn write(
        &mut self,
        request: &Request,
        mut further: Vec<(Number, Bytes)>,
    ) -> Result<(Vec<u8>, Option<Sent>), String> {
        // A token is used once, or an old answer could be taken for a new one (RFC 9175 section 4).
        self.token = self.token.wrapping_add(1);
        let token = Token::new(&self.token.to_be_bytes()).unwrap_or_default();
        if let Some(register) = request.observe {
            further.push((option::OBSERVE, message::uint(u32::from(!register))));
        }
        let delivery = Delivery { kind: Type::Confirmable, id: self.ids.draw(), token };
        let plain = message::write(delivery, request.method, request.options(), &further, &request.payload)
            .map_err(|error| error.to_string())?;
        let Some(security) = &mut self.security else { return Ok((plain, None)) };
        let mut buffer = vec![0; plain.len() + MAX_OVERHEAD];
        let read = Message::read(&plain).map_err(|error| error.to_string())?;
        let (bytes, sent) = security.protect_request(&read, &mut buffer, &AwsLc).map_err(|error| error.to_string())?;
        let bytes = match &self.combined {
            Some(combined) => with_message_3(bytes, &combined.message_3)?,
            None => bytes.to_vec(),
        };
        Ok((bytes, Some(sent)))
    }

    async fn message(&mut self, datagram: &[u8]) {
        let Ok(message) = Message::read(datagram) else {
            return self.refuse(datagram).await;
        };
        let now = self.now();
        let by_id = |one: &Running| !one.answered && one.exchange.id() == message.id();
        let token = match self.running.contains_key(&message.token()) && message.code().is_response() {
            true => Some(message.token()),
            false => self.running.iter().find(|(_, one)| by_id(one)).map(|(token, _)| *token),
        };
        let Some(token) = token else { return self.refuse(datagram).await };
        let Some(running) = self.running.get_mut(&token) else { return };
        let answer = match running.exchange.on_message(&message, now) {
            Matched::No => return self.refuse(datagram).await,
            Matched::Acknowledged => return,
            Matched::Reset => {
                if let Some(running) = self.running.remove(&token) {
                    let error = self.wrong("it does not take our messages (reset)");
                    let _ = running.answers.try_send(Err(error));
                }
                return;
            }
            Matched::Response { answer } => answer,
        };
        if running.answers.is_closed() {
            // Nobody observes any more (RFC 7641 section 3.6).
            self.running.remove(&token);
            let reset = reset(message.id());
            return self.transmit(&reset).await;
        }
        if let Some(answer) = answer {
            self.transmit(&answer).await;
        }
        self.response(token, &message, now);
    }

    /// A response to the request of this token: opened, and handed on.
    fn response(&mut self, token: Token, message: &Message<'_>, now: u64) {
        let Some(running) = self.running.get_mut(&token) else { return };
        let mut plain = vec![0; message.as_bytes().len()];
        let result = match (&mut running.sent, &mut self.security) {
            (Some(sent), Some(security)) if message.option(option::OSCORE).is_some() => {
                let mut datagram = message.as_bytes().to_vec();
                match security.unprotect_response(sent, &mut datagram, &mut plain, &AwsLc) {
                    Err(error) => {
                        // Not the answer: it is still to come (RFC 8613 section 8.4).
                        tracing::debug!(server = %self.server, %error, "a response was not opened");
                        return;
                    }
                    Ok((opened, proof)) => {
                        if let Some(combined) = self.combined.take()
                            && let Err(rejected) = combined.unconfirmed.confirmed_by(proof, &AwsLc)
                        {
                            tracing::warn!(server = %self.server, %rejected, "the session is not confirmed");
                        }
                        read(&opened)
                    }
                }
            }
            // It could not open our request, or somebody between us says so.
            (Some(_), _) => {
                Err(format!("it answered without protection: {:?}; connect again", Response::read(message)))
            }
            (None, _) => read(message),
        };
        let number = result.as_ref().ok().and_then(|answered| answered.observe);
        let stale = running.sent.is_none()
            && running.answered
            && number.is_some_and(|number| !running.newest.accept(number, now));
        if stale {
            return;
        }
        if let (false, Some(number)) = (running.answered, number) {
            running.newest.accept(number, now);
        }
        let goes_on = running.observe && number.is_some();
        running.answered = true;
        let server = self.server.to_string();
        let result = result.map_err(|what| Error::Coap { with: server, what });
        if running.answers.try_send(result).is_err() || !goes_on {
            self.running.remove(&token);
        }
    }

    async fn overdue(&mut self) {
        let now = self.now();
        let (mut again, mut lost) = (Vec::new(), Vec::new());
        for (token, running) in self.running.iter_mut().filter(|(_, one)| !one.answered) {
            match running.exchange.on_timeout(now) {
                Expiry::NotYet => {}
                Expiry::Resend => again.push(running.bytes.clone()),
                Expiry::GiveUp => lost.push(*token),
            }
        }
        for bytes in again {
            self.transmit(&bytes).await;
        }
        for running in lost.into_iter().filter_map(|token| self.running.remove(&token)) {
            let Transmission { ack_timeout_ms, max_retransmit, .. } = self.transmission;
            let limit = Duration::from_millis(u64::from(ack_timeout_ms) << max_retransmit.min(16));
            let error = Error::Timeout { with: self.server.to_string(), doing: "a CoAP request", limit };
            let _ = running.answers.try_send(Err(error));
        }
    }

    async fn refuse(&self, datagram: &[u8]) {
        // A response that came before is acknowledged again: its acknowledgement was lost.
        let again = Message::read(datagram).ok().filter(|message| message.code().is_response());
        match again.filter(|message| message.kind() == Type::Confirmable && self.is_ours(message)) {
            Some(message) => self.transmit(&acknowledgement(message.id())).await,
            None => {
                if let Some(reset) = refuse(datagram) {
                    self.transmit(&reset).await;
                }
            }
        }
    }

    /// Whether the token is one we have used: they are counted up.
    fn is_ours(&self, message: &Message<'_>) -> bool {
        let token = message.token();
        let number = token.as_bytes().try_into().map(u32::from_be_bytes);
        let observed = self.running.contains_key(&token);
        !observed && number.is_ok_and(|number| self.token.wrapping_sub(number) < 1_024)
    }

    async fn transmit(&self, bytes: &[u8]) {
        if let Err(error) = self.socket.send(bytes).await {
            tracing::debug!(server = %self.server, %error, "a datagram could not be sent");
        }
    }

    fn wrong(&self, what: impl ToString) -> Error {
        Error::Coap { with: self.server.to_string(), what: what.to_string() }
    }
}

/// An opened or plain response, with what belongs to its delivery. A critical option we do not know makes it useless.
fn read(message: &Message<'_>) -> Result<Answered, String> {
    if message.unrecognized(&[option::BLOCK1, option::BLOCK2, option::OSCORE]).is_some() {
        return Err("its answer has a critical option that is not understood".to_owned());
    }
    let block = |number| Block::of(message, number).map_err(|error| error.to_string());
    Ok(Answered {
        response: Response::read(message),
        block1: block(option::BLOCK1)?,
        block2: block(option::BLOCK2)?,
        observe: message.uint(option::OBSERVE),
        echo: message.option(option::ECHO).map(Bytes::copy_from_slice),
    })
}

/// The EDHOC + OSCORE request (RFC 9668 section 3.2.1).
fn with_message_3(request: &[u8], message_3: &[u8]) -> Result<Vec<u8>, String> {
    let request = Message::read(request).map_err(|error| error.to_string())?;
    let mut payload = vec![0; message_3.len() + request.payload().len()];
    payload[..message_3.len()].copy_from_slice(message_3);
    join(&mut payload, message_3.len(), request.payload()).map_err(|error| error.to_string())?;
    let mut buffer = vec![0; request.as_bytes().len() + message_3.len() + 8];
    let mut writer = Writer::new(&mut buffer, request.kind(), request.code(), request.id(), request.token());
    let (before, after): (Vec<_>, Vec<_>) = request.options().partition(|(number, _)| *number <= option::EDHOC);
    for (number, value) in before {
        writer.option(number, value);
    }
    writer.option(option::EDHOC, &[]);
    for (number, value) in after {
        writer.option(number, value);
    }
    let length = writer.payload(&payload).finish().map_err(|error| error.to_string())?.len();
    buffer.truncate(length);
    Ok(buffer)
}
