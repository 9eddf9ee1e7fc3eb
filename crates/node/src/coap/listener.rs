//! The listener: the engine on a UDP socket, and its handlers as tasks.
//!
//! What a client may ask is counted where a handler would begin: with its credential, a client has a rate of its own wherever
//! it asks from. What comes before, handshakes and blocks, has bounds in [`Limits`].

use super::dtls::{Associations, Heard};
use super::engine::{Counts, Engine, Limits, MAX_DATAGRAM, Output};
use super::handler::{Caller, Reply, Resources};
use super::message::{Request, Response};
use super::{Own, Peers};
use crate::Error;
use crate::accept::{Meter, Origin, Rates};
use crate::identity::IdentityStore;
use crate::sessions::LiveSessions;
use crate::stop::Stop;
use bytes::Bytes;
use medlock_proto::coap::{Code, option};
use medlock_proto::oscore::{self, Parameters, Replay};
use medlock_trust::Identified;
use socket2::SockRef;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::sync::{broadcast, mpsc, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};

/// Room for a burst of datagrams while a handshake step is computed.
const RECEIVE_BUFFER: usize = 1 << 20;
/// Answers of handlers that may wait for the listener.
const ANSWERS: usize = 64;

/// A listener for CoAP over UDP, with EDHOC at `/.well-known/edhoc` and OSCORE.
#[derive(Debug)]
pub struct Listener {
    socket: UdpSocket,
    /// What lies between socket and engine, if the door is one for DTLS.
    dtls: Option<Associations>,
    engine: Engine,
    resources: Arc<Resources>,
    sessions: Arc<LiveSessions>,
    limits: Limits,
    terms: Terms,
    counts: watch::Sender<Counts>,
}

/// How many requests a client may send, and where they are counted.
#[derive(Clone, Debug)]
struct Terms {
    door: &'static str,
    rates: Arc<Rates>,
    meter: Meter,
}

/// Datagrams that go out.
type Wire = Vec<(SocketAddr, Bytes)>;

/// What tasks tell the listener.
enum News {
    Answered(u64, Reply),
    Changed(u64, Response),
    Gone(u64),
}

impl Listener {
    /// Opens `address`, showing `own`, for peers that `peers` finds. Contexts live as long as `sessions`, whose
    /// [`LiveSessions::watch`] must run, lets them.
    ///
    /// # Errors
    /// [`Error::Connection`] if the address cannot be opened.
    pub async fn bind(
        address: SocketAddr,
        own: Own,
        peers: Arc<Peers>,
        sessions: Arc<LiveSessions>,
        resources: Resources,
        limits: Limits,
    ) -> Result<Self, Error> {
        Self::build(address, None, own, peers, sessions, resources, limits).await
    }

    /// The same over DTLS, showing the first certificate of `own` alone; nothing is heard of a peer before its handshake.
    ///
    /// # Errors
    /// As [`Listener::bind`].
    pub async fn bind_dtls(
        address: SocketAddr,
        own: &IdentityStore,
        peers: Arc<Peers>,
        sessions: Arc<LiveSessions>,
        resources: Resources,
        limits: Limits,
    ) -> Result<Self, Error> {
        let dtls = Associations::new(own.clone(), peers.clone(), limits)?;
        Self::build(address, Some(dtls), Own::of(own), peers, sessions, resources, limits).await
    }

    async fn build(
        address: SocketAddr,
        dtls: Option<Associations>,
        own: Own,
        peers: Arc<Peers>,
        sessions: Arc<LiveSessions>,
        resources: Resources,
        limits: Limits,
    ) -> Result<Self, Error> {
        let failed = |source| Error::Connection { with: address.to_string(), source };
        let socket = UdpSocket::bind(address).await.map_err(failed)?;
        if let Err(error) = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::debug!(%error, "cannot enlarge the receive buffer");
        }
        let engine = Engine::new(own, peers, sessions.clone(), limits);
        let counts = watch::channel(Counts::default()).0;
        let terms = Terms { door: "other", rates: Arc::new(Rates::per_second(None)), meter: Meter::default() };
        Ok(Self { socket, dtls, engine, resources: Arc::new(resources), sessions, limits, terms, counts })
    }

    /// Answers one request too many of a client 4.29 (RFC 8516), and counts all in `meter` as those of `door`. Without this
    /// callers may ask as much as they like.
    #[must_use]
    pub fn on_terms(self, door: &'static str, rates: Arc<Rates>, meter: Meter) -> Self {
        Self { terms: Terms { door, rates, meter }, ..self }
    }

    /// Where it listens.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// How much is kept, as it changes.
    #[must_use]
    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.counts.subscribe()
    }

    /// Adds a context whose keys were agreed on beforehand, with `who`: only to meet implementations that know nothing
    /// else.
    ///
    /// # Errors
    /// [`oscore::Error::Parameters`].
    pub fn danger_add_context(
        &mut self,
        parameters: &Parameters<'_>,
        replay: Replay,
        who: Identified,
    ) -> Result<(), oscore::Error> {
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        self.engine.danger_add_context(parameters, replay, who, nowhere)
    }

    /// Serves until asked to stop. Trouble with a peer is logged, never returned.
    pub async fn serve(mut self, mut stop: Stop) {
        let start = Instant::now();
        let now = || u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (tell, mut told) = mpsc::channel(ANSWERS);
        let mut changes = self.sessions.changes();
        let mut tasks = Tasks { tell, running: HashMap::new() };
        let mut datagram = vec![0; MAX_DATAGRAM];
        let (mut out, mut wire) = (Vec::new(), Vec::new());
        loop {
            let wake = [self.engine.next_tick(now()), self.dtls.as_ref().and_then(|dtls| dtls.next_tick(now()))];
            let wake = wake
                .into_iter()
                .flatten()
                .min()
                .map_or_else(|| Instant::now() + Duration::from_secs(3_600), |at| start + Duration::from_millis(at));
            tokio::select! {
                biased;
                () = stop.asked() => return,
                change = changes.recv() => match change {
                    Ok(_) | Err(broadcast::error::RecvError::Lagged(_)) => self.engine.sweep(now(), &mut out),
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                Some(news) = told.recv() => self.hear(now(), news, &mut tasks, &mut out),
                received = self.socket.recv_from(&mut datagram) => match received {
                    Ok((length, from)) => {
                        self.receive(now(), from, &datagram[..length], &mut out, &mut wire);
                    }
                    Err(error) => tracing::debug!(%error, "a datagram could not be received"),
                },
                () = sleep_until(wake) => {}
            }
            self.engine.tick(now(), &mut out);
            self.protect(now(), &mut out, &mut wire);
            for (to, bytes) in wire.drain(..) {
                if let Err(error) = self.socket.send_to(&bytes, to).await {
                    tracing::debug!(%to, %error, "a datagram could not be sent");
                }
            }
            for output in out.drain(..) {
                match output {
                    Output::Send(..) | Output::Close(_) => {}
                    Output::Forget(call) => tasks.end(call),
                    Output::Call(call, caller, request) => {
                        let (resources, tell) = (self.resources.clone(), tasks.tell.clone());
                        let limit = Duration::from_millis(self.limits.call_ms);
                        let work = self.terms.clone().serve(resources, limit, caller, request);
                        tasks.run(call, async move {
                            let _ = tell.send(News::Answered(call, work.await)).await;
                        });
                    }
                }
            }
            let mut counts = self.engine.counts();
            counts.half_open += self.dtls.as_ref().map_or(0, |dtls| dtls.counts().0);
            self.counts.send_if_modified(|held| std::mem::replace(held, counts) != counts);
        }
    }

    /// A datagram came: for the engine, or for what lies under it.
    fn receive(&mut self, now: u64, from: SocketAddr, datagram: &[u8], out: &mut Vec<Output>, wire: &mut Wire) {
        match &mut self.dtls {
            None => self.engine.datagram(now, from, datagram, out),
            Some(dtls) => {
                let mut heard = Vec::new();
                dtls.datagram(now, from, datagram, &mut heard);
                self.pass_on(now, heard, out, wire);
            }
        }
    }

    /// Takes what the engine wants sent, and does what is due under it.
    fn protect(&mut self, now: u64, out: &mut Vec<Output>, wire: &mut Wire) {
        let Some(dtls) = &mut self.dtls else {
            wire.extend(out.extract_if(.., |output| matches!(output, Output::Send(..))).filter_map(
                |output| match output {
                    Output::Send(to, bytes) => Some((to, bytes)),
                    Output::Call(..) | Output::Forget(_) | Output::Close(_) => None,
                },
            ));
            return;
        };
        let mut heard = Vec::new();
        for output in out.iter() {
            match output {
                Output::Send(to, message) => dtls.send(now, *to, message, &mut heard),
                Output::Close(with) => dtls.close(now, *with, &mut heard),
                Output::Call(..) | Output::Forget(_) => {}
            }
        }
        out.retain(|output| matches!(output, Output::Call(..) | Output::Forget(_)));
        dtls.tick(now, &mut heard);
        self.pass_on(now, heard, out, wire);
    }

    fn pass_on(&mut self, now: u64, heard: Vec<Heard>, out: &mut Vec<Output>, wire: &mut Wire) {
        for heard in heard {
            match heard {
                Heard::Send(to, bytes) => wire.push((to, bytes)),
                Heard::Opened(from, who, certificate) => self.engine.connected(from, *who, certificate, out),
                Heard::Message(from, message) => self.engine.datagram(now, from, &message, out),
                Heard::Closed(from) => self.engine.disconnected(from, out),
            }
        }
    }

    fn hear(&mut self, now: u64, news: News, tasks: &mut Tasks, out: &mut Vec<Output>) {
        match news {
            News::Answered(call, Reply::Once(response)) => {
                tasks.running.remove(&call);
                self.engine.answer(now, call, response, false, out);
            }
            News::Answered(call, Reply::Observed(mut newest)) => {
                tasks.running.remove(&call);
                let response = newest.borrow_and_update().clone();
                if self.engine.answer(now, call, response, true, out) {
                    let tell = tasks.tell.clone();
                    tasks.run(call, async move {
                        while newest.changed().await.is_ok() {
                            let response = newest.borrow_and_update().clone();
                            if tell.send(News::Changed(call, response)).await.is_err() {
                                return;
                            }
                        }
                        let _ = tell.send(News::Gone(call)).await;
                    });
                }
            }
            News::Changed(call, response) => self.engine.notify(now, call, response, out),
            News::Gone(call) => {
                tasks.running.remove(&call);
                let gone = Response::new(Code::SERVICE_UNAVAILABLE);
                self.engine.notify(now, call, gone, out);
                self.engine.end_observation(call);
            }
        }
    }
}

impl Terms {
    /// What a handler answers within `limit`, if the client may ask.
    async fn serve(self, resources: Arc<Resources>, limit: Duration, caller: Caller, request: Request) -> Reply {
        let Caller { address, peer } = caller.clone();
        let who = peer.as_ref().map(|peer| &peer.identified);
        if let Err(wait) = self.rates.count(Origin::Address(address), who) {
            self.meter.answered(self.door, "none", status(Code::TOO_MANY_REQUESTS), Duration::ZERO);
            return too_many(wait).into();
        }
        let (began, method) = (Instant::now(), request.method);
        let route = resources.route(&request).unwrap_or("none").to_owned();
        let reply = match timeout(limit, resources.serve(caller, request)).await {
            Ok(reply) => reply,
            Err(_) => Response::new(Code::SERVICE_UNAVAILABLE).with_uint(option::MAX_AGE, 5).into(),
        };
        let (took, code) = (began.elapsed(), reply.code());
        self.meter.answered(self.door, &route, status(code), took);
        let device = who.map(|who| tracing::field::display(*who.device_name()));
        let (door, micros) = (self.door, u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
        tracing::info!(door, origin = %address, device, %method, route, %code, micros, "answered");
        reply
    }
}

/// A code as HTTP would have it: 429 for 4.29.
fn status(code: Code) -> u16 {
    u16::from(code.class()) * 100 + u16::from(code.detail())
}

/// RFC 8516.
fn too_many(wait: Duration) -> Response {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    let text = format!("too many requests from one client: send the next in {seconds} s");
    Response::refused(Code::TOO_MANY_REQUESTS, text).with_uint(option::MAX_AGE, seconds)
}

/// The tasks of handlers and observations, which end with the listener.
struct Tasks {
    tell: mpsc::Sender<News>,
    running: HashMap<u64, AbortHandle>,
}

impl Tasks {
    fn run(&mut self, call: u64, task: impl Future<Output = ()> + Send + 'static) {
        self.running.insert(call, tokio::spawn(task).abort_handle());
    }

    fn end(&mut self, call: u64) {
        if let Some(task) = self.running.remove(&call) {
            task.abort();
        }
    }
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.running.values().for_each(AbortHandle::abort);
    }
}
