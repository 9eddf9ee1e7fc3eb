//! The listener: the engine on a UDP socket, and its handlers as tasks.

use super::engine::{Counts, Engine, Limits, MAX_DATAGRAM, Output};
use super::handler::{Reply, Resources};
use super::message::Response;
use super::{Own, Peers};
use crate::Error;
use crate::sessions::LiveSessions;
use crate::stop::Stop;
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
    engine: Engine,
    resources: Arc<Resources>,
    sessions: Arc<LiveSessions>,
    limits: Limits,
    counts: watch::Sender<Counts>,
}

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
        let failed = |source| Error::Connection { with: address.to_string(), source };
        let socket = UdpSocket::bind(address).await.map_err(failed)?;
        if let Err(error) = SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER) {
            tracing::debug!(%error, "cannot enlarge the receive buffer");
        }
        let engine = Engine::new(own, peers, sessions.clone(), limits);
        let counts = watch::channel(Counts::default()).0;
        Ok(Self { socket, engine, resources: Arc::new(resources), sessions, limits, counts })
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
        let mut out = Vec::new();
        loop {
            let wake = self.engine.next_tick(now());
            let wake = wake
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
                        self.engine.datagram(now(), from, &datagram[..length], &mut out);
                    }
                    Err(error) => tracing::debug!(%error, "a datagram could not be received"),
                },
                () = sleep_until(wake) => {}
            }
            self.engine.tick(now(), &mut out);
            for output in out.drain(..) {
                match output {
                    Output::Send(to, bytes) => {
                        if let Err(error) = self.socket.send_to(&bytes, to).await {
                            tracing::debug!(%to, %error, "a datagram could not be sent");
                        }
                    }
                    Output::Forget(call) => tasks.end(call),
                    Output::Call(call, caller, request) => {
                        let (resources, tell) = (self.resources.clone(), tasks.tell.clone());
                        let limit = Duration::from_millis(self.limits.call_ms);
                        tasks.run(call, async move {
                            let late = || Response::new(Code::SERVICE_UNAVAILABLE).with_uint(option::MAX_AGE, 5).into();
                            let reply = timeout(limit, resources.serve(caller, request)).await;
                            let _ = tell.send(News::Answered(call, reply.unwrap_or_else(|_| late()))).await;
                        });
                    }
                }
            }
            let counts = self.engine.counts();
            self.counts.send_if_modified(|held| std::mem::replace(held, counts) != counts);
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
