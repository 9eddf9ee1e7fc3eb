//! The guard of one DICOM machine: a plain listener for it, a TLS listener for the other guards.

use crate::{
    Error,
    audit::{Correlation, Event, Happening, Party},
    bind,
    dicom::{
        associate::{Proposed, Request},
        close::Close,
        images::{Images, Unanswered},
        pump::{Cause, Plain, pump},
        refuse::Refusal,
        tap::{End, Tap},
        transfers::Transfers,
    },
    sink::AuditLog,
    spine::{self, Slot, Slots},
};
use medlock_node::{
    identity::IdentityStore,
    knowledge::KnowledgeBase,
    provider::random,
    sessions::{LiveSessions, Session},
    stop::{self, Stop},
    tls::{Acceptor, Believed, ClientAuth, Connector, Secured, ToClient, ToServer, server_config},
};
use medlock_trust::{DeviceName, Identified, Operation, Operations, Permit, Verdict};
use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    task::JoinSet,
    time::timeout,
};

/// Bytes read at once from a TLS connection: rustls alone reads 4 kB at a time, which costs a system call each.
const READ_AHEAD: usize = 64 << 10;
/// How long a refused caller may take to read why and close.
const LAST_WORD: Duration = Duration::from_secs(2);
/// How long a caller from a foreign address may take for its request before it is refused without.
const FOREIGN: Duration = Duration::from_secs(2);
/// Ties the audit of both guards together: both derive the same identifier from their TLS session (RFC 8446 section
/// 7.5).
const EXPORTER: &[u8] = b"EXPORTER-Medlock-Correlation";

/// Limits of time and number. Each association takes about 500 kB of memory, and each connection before it at most
/// 200 kB.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// For a TLS handshake, and for connecting.
    pub handshake: Duration,
    /// For the association request: the ARTIM timer (PS3.8 section 9.1.5).
    pub request: Duration,
    /// For silence in an association. A C-MOVE is silent while its sub-operations run elsewhere.
    pub idle: Duration,
    /// For associations to end by themselves when the guard stops.
    pub drain: Duration,
    /// Associations at once.
    pub associations: usize,
    /// Associations at once with one peer device.
    pub associations_per_peer: usize,
    /// Connections that have not opened an association yet: from the machine, from others on the plain side, and on the
    /// secure side, so many each.
    pub pending: usize,
    /// The same from one address.
    pub pending_per_address: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            request: Duration::from_secs(30),
            idle: Duration::from_secs(3600),
            drain: Duration::from_secs(10),
            associations: 128,
            associations_per_peer: 32,
            pending: 128,
            pending_per_address: 32,
        }
    }
}

/// What a guard is told about its machine.
#[derive(Clone, Debug)]
pub struct DicomConfig {
    /// The machine's device name at its site; its AE titles and its peers come from the signed routing table.
    pub device: DeviceName,
    /// Where the machine reaches its peers, in plain DICOM: loopback or a dedicated interface.
    pub plain: SocketAddr,
    /// The addresses the machine calls from. All others are refused on the plain side.
    pub allowed: Vec<IpAddr>,
    /// Where other guards reach this one, with TLS.
    pub secure: SocketAddr,
    /// The machine's own DICOM port; `None` if it takes no associations.
    pub machine: Option<SocketAddr>,
    /// Limits of time and number.
    pub limits: Limits,
}

/// What a guard shares with the process it runs in.
#[derive(Clone, Debug)]
pub struct Services {
    /// The machine's credential; it may be swapped while the guard runs.
    pub identity: IdentityStore,
    /// What the site said: authorities, status, policy, routes.
    pub knowledge: Arc<KnowledgeBase>,
    /// Where associations are judged again. The process runs its [`LiveSessions::watch`].
    pub sessions: Arc<LiveSessions>,
    /// Where events are recorded.
    pub audit: AuditLog,
    /// Who is told of the images that the machine sends.
    pub images: Arc<dyn Images>,
}

/// A guard with its listeners open.
#[derive(Debug)]
pub struct DicomGuard {
    plain: TcpListener,
    secure: TcpListener,
    shared: Arc<Shared>,
    hard_stop: stop::Stopper,
}

#[derive(Debug)]
struct Shared {
    config: DicomConfig,
    services: Services,
    acceptor: Acceptor,
    connector: Connector,
    pending: Pending,
    associations: Slots<DeviceName>,
    cut: Stop,
}

/// Connections that have not opened an association yet. Each kind of caller has places of its own, so that strangers on
/// one side cannot keep the machine from calling, nor others from calling it.
#[derive(Debug)]
struct Pending {
    /// From the machine's own addresses, on the plain side.
    own: Slots<IpAddr>,
    /// From other addresses, on the plain side.
    foreign: Slots<IpAddr>,
    secure: Slots<IpAddr>,
}

impl Pending {
    fn new(limits: &Limits) -> Self {
        let slots = || Slots::new(limits.pending, limits.pending_per_address);
        Self { own: slots(), foreign: slots(), secure: slots() }
    }
}

impl DicomGuard {
    /// Opens the listeners.
    ///
    /// # Errors
    /// [`Error::Config`] if a setting makes no sense, [`Error::Listen`] if an address is taken.
    pub async fn bind(config: DicomConfig, services: Services) -> Result<Self, Error> {
        if config.allowed.is_empty() {
            return Err(Error::Config("`allowed` is empty: name the address the machine calls from".to_owned()));
        }
        let listen =
            async |address| TcpListener::bind(address).await.map_err(|source| Error::Listen { address, source });
        let plain = listen(config.plain).await?;
        let secure = listen(config.secure).await?;
        if let Some(machine) = config.machine
            && (plain.local_addr().ok() == Some(machine) || secure.local_addr().ok() == Some(machine))
        {
            return Err(Error::Config(format!("`machine` {machine} is the guard itself")));
        }
        let node = |error: medlock_node::Error| Error::Config(error.to_string());
        let knowledge = &services.knowledge;
        let tls = server_config(&services.identity, knowledge, ClientAuth::Required).map_err(node)?;
        let acceptor = Acceptor::new(tls, knowledge.clone());
        let believed = Believed::Knowledge(knowledge.clone());
        let connector = Connector::new(Some(&services.identity), believed, None).map_err(node)?;
        let limits = &config.limits;
        let pending = Pending::new(limits);
        let associations = Slots::new(limits.associations, limits.associations_per_peer);
        let (hard_stop, cut) = stop::channel();
        let shared = Arc::new(Shared { config, services, acceptor, connector, pending, associations, cut });
        Ok(Self { plain, secure, shared, hard_stop })
    }

    /// Where the plain listener is.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn plain_address(&self) -> io::Result<SocketAddr> {
        self.plain.local_addr()
    }

    /// Where the TLS listener is.
    ///
    /// # Errors
    /// If the system does not say.
    pub fn secure_address(&self) -> io::Result<SocketAddr> {
        self.secure.local_addr()
    }

    /// Guards until asked to stop; then associations may end by themselves for `limits.drain` and are cut after it.
    pub async fn run(self, stop: Stop) {
        let Self { plain, secure, shared, hard_stop } = self;
        shared.record(Happening::Started);
        let (mut outward, mut inward) = (JoinSet::new(), JoinSet::new());
        let (mut stop_plain, mut stop_secure) = (stop.clone(), stop);
        tokio::join!(
            spine::accept(&plain, &mut outward, &mut stop_plain, |stream, from| shared.clone().outbound(stream, from)),
            spine::accept(&secure, &mut inward, &mut stop_secure, |stream, from| shared.clone().inbound(stream, from)),
        );
        drop((plain, secure));
        let all_ended = async {
            while outward.join_next().await.is_some() {}
            while inward.join_next().await.is_some() {}
        };
        let mut all_ended = std::pin::pin!(all_ended);
        if timeout(shared.config.limits.drain, all_ended.as_mut()).await.is_err() {
            hard_stop.stop();
            // A cut takes well below a second; whoever is still shaking hands is dropped with the tasks.
            let _ = timeout(Duration::from_secs(1), all_ended).await;
        }
        shared.record(Happening::Stopped);
    }
}

/// An association that is about to be opened.
struct Opening {
    correlation: Correlation,
    requestor: Party,
    acceptor: Party,
    /// Whose standing the association depends on.
    peer: Option<Identified>,
}

/// The association request: what it proposes, and its bytes, which are passed on as they came.
struct Offer {
    contexts: Vec<Proposed>,
    bytes: Vec<u8>,
}

/// What it took to open an association: the witness that it may be.
struct Admitted {
    permits: Vec<Permit>,
    session: Session,
    /// Keeps the place.
    _slot: Slot<DeviceName>,
}

impl Shared {
    /// The machine calls a peer.
    async fn outbound(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let own = self.config.allowed.iter().any(|allowed| allowed.to_canonical() == from.ip().to_canonical());
        let places = if own { &self.pending.own } else { &self.pending.foreign };
        let Some(pending) = places.enter(&from.ip()) else {
            tracing::warn!(%from, own, "too many connections on the plain side");
            return;
        };
        let Ok(mut machine) = Plain::new(stream) else { return };
        let mut opening = Opening::new(random());
        opening.requestor.address = Some(from.ip());
        if !own {
            let refusal = foreign(&mut machine, &mut opening).await;
            self.refuse(&opening, &refusal, machine).await;
            return;
        }
        opening.requestor.device = Some(self.config.device.to_string());
        let opened = self.open_outbound(&mut machine, &mut opening).await;
        match opened {
            Ok((peer, admitted, offer)) => {
                drop(pending);
                self.carry(opening, admitted, &offer, machine, peer, End::Acceptor).await;
            }
            Err(refusal) => self.refuse(&opening, &refusal, machine).await,
        }
    }

    async fn open_outbound(
        &self,
        machine: &mut Plain,
        opening: &mut Opening,
    ) -> Result<(impl AsyncRead + AsyncWrite + Unpin + use<>, Admitted, Offer), Refusal> {
        let (request, bytes) = read_request(machine, self.config.limits.request).await?;
        opening.name(&request);
        let routes = self.services.knowledge.routes();
        let target = bind::outbound(&routes, &self.config.device, &request.calling, &request.called)?;
        opening.acceptor.device = Some(target.device.to_string());
        let address = target.address.as_deref().ok_or(Refusal::NoPort)?;
        let secured = self.reach(address).await?;
        opening.acceptor.address = secured.stream.get_ref().0.get_ref().peer_addr().ok().map(|address| address.ip());
        let exported = secured.stream.get_ref().1.export_keying_material([0; 8], EXPORTER, None);
        if let Ok(bytes) = exported {
            opening.correlation = Correlation::from_random(bytes);
        }
        let peer = secured.peer.ok_or(Refusal::WrongMachine)?;
        opening.peer = Some(peer.clone());
        if *peer.device_name() != target.device {
            opening.acceptor.device = Some(peer.device_name().to_string());
            return Err(Refusal::WrongMachine);
        }
        // Towards a peer that our machine calls, the question is whether it may have what the machine gives it, and do what
        // the machine offers to be asked: a C-GET has the peer store.
        let asked = Operations::of(&[Operation::Read]).union(request.reversed_operations());
        let admitted = self.admit(&peer, asked)?;
        Ok((secured.stream, admitted, Offer { contexts: request.contexts, bytes }))
    }

    /// Connects to a peer's guard and shakes hands.
    async fn reach(&self, address: &str) -> Result<Secured<ToServer<BufReader<TcpStream>>>, Refusal> {
        let limit = self.config.limits.handshake;
        let unreachable = |error: &dyn std::fmt::Display| {
            tracing::warn!(%address, %error, "the called machine's guard was not reached");
            Refusal::PeerUnreachable
        };
        let stream = match timeout(limit, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(unreachable(&error)),
            Err(late) => return Err(unreachable(&late)),
        };
        stream.set_nodelay(true).map_err(|error| unreachable(&error))?;
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        self.connector.connect_over(stream, address, limit).await.map_err(|error| unreachable(&error))
    }

    /// A peer calls the machine.
    async fn inbound(self: Arc<Self>, stream: TcpStream, from: SocketAddr) {
        let Some(pending) = self.pending.secure.enter(&from.ip()) else {
            tracing::warn!(%from, "too many connections on the secure side");
            return;
        };
        let mut opening = Opening::new(random());
        opening.requestor.address = Some(from.ip());
        opening.acceptor.device = Some(self.config.device.to_string());
        let Some(Secured { stream: mut peer, peer: who, .. }) = self.shake_hands(stream, from, &opening).await else {
            return;
        };
        if let Ok(bytes) = peer.get_ref().1.export_keying_material([0; 8], EXPORTER, None) {
            opening.correlation = Correlation::from_random(bytes);
        }
        opening.peer = who;
        match self.open_inbound(&mut peer, &mut opening).await {
            Ok((machine, admitted, offer)) => {
                drop(pending);
                self.carry(opening, admitted, &offer, peer, machine, End::Requestor).await;
            }
            Err(refusal) => self.refuse(&opening, &refusal, peer).await,
        }
    }

    /// Finds out who calls. A caller that says nothing (a port scan, a health check) leaves no trace in the audit.
    async fn shake_hands(
        &self,
        stream: TcpStream,
        from: SocketAddr,
        opening: &Opening,
    ) -> Option<Secured<ToClient<BufReader<TcpStream>>>> {
        let limit = self.config.limits.handshake;
        stream.set_nodelay(true).ok()?;
        let spoke = timeout(limit, stream.peek(&mut [0])).await;
        if !matches!(spoke, Ok(Ok(1..))) {
            tracing::debug!(%from, "a caller on the secure side said nothing");
            return None;
        }
        match self.acceptor.accept(BufReader::with_capacity(READ_AHEAD, stream), limit).await {
            Ok(secured) => Some(secured),
            Err(error) => {
                let text = format!("the TLS handshake failed: {error}");
                self.alert(opening, "tls-handshake-failed", text);
                None
            }
        }
    }

    async fn open_inbound(
        &self,
        stream: &mut (impl AsyncRead + Unpin),
        opening: &mut Opening,
    ) -> Result<(Plain, Admitted, Offer), Refusal> {
        let peer = opening.peer.clone().ok_or(Refusal::CallingNotBound)?;
        opening.requestor.device = Some(peer.device_name().to_string());
        let (request, bytes) = read_request(stream, self.config.limits.request).await?;
        opening.name(&request);
        let routes = self.services.knowledge.routes();
        bind::inbound(&routes, &self.config.device, peer.device_name(), &request.calling, &request.called)?;
        let admitted = self.admit(&peer, request.operations())?;
        let address = self.config.machine.ok_or(Refusal::NoPort)?;
        opening.acceptor.address = Some(address.ip());
        let connected = timeout(self.config.limits.handshake, TcpStream::connect(address)).await;
        let machine = connected.map_err(|_| Refusal::MachineUnreachable)?.and_then(Plain::new).map_err(|error| {
            tracing::warn!(%address, %error, "the machine does not answer");
            Refusal::MachineUnreachable
        })?;
        Ok((machine, admitted, Offer { contexts: request.contexts, bytes }))
    }

    /// Asks a permit for each operation, and takes up a session that ends when one of them is denied later.
    fn admit(&self, peer: &Identified, operations: Operations) -> Result<Admitted, Refusal> {
        let mut permits = Vec::new();
        for operation in operations.iter() {
            match self.services.knowledge.judge(peer, operation) {
                Verdict::Allow(permit) => permits.push(permit),
                Verdict::Deny(denied) => {
                    let (code, remedy) = (denied.code.as_str(), denied.code.remedy());
                    return Err(Refusal::Denied { operation, code, remedy });
                }
            }
        }
        let slot = self.associations.enter(peer.device_name()).ok_or(Refusal::Congestion)?;
        let session = self.services.sessions.register(peer.clone(), operations);
        Ok(Admitted { permits, session, _slot: slot })
    }

    /// Passes the request on and moves bytes until the association ends. `far` is the end the peer device is at.
    async fn carry(
        &self,
        opening: Opening,
        admitted: Admitted,
        offer: &Offer,
        requestor: impl AsyncRead + AsyncWrite + Unpin,
        mut acceptor: impl AsyncRead + AsyncWrite + Unpin,
        far: End,
    ) {
        let Admitted { permits, mut session, _slot } = admitted;
        let marks: Vec<&'static str> =
            permits.iter().filter_map(|permit| permit.mark().map(|mark| mark.as_str())).collect();
        let allowed: Vec<&str> = permits.iter().map(|permit| permit.operation().name()).collect();
        self.tell(&opening, &marks, Happening::Opened(format!("for {}", allowed.join(", "))));
        if let Err(error) = send(&mut acceptor, &offer.bytes).await {
            tracing::warn!(correlation = %opening.correlation, %error, "the association request was not passed on");
            let refusal = if far == End::Acceptor { Refusal::PeerUnreachable } else { Refusal::MachineUnreachable };
            self.refuse(&opening, &refusal, requestor).await;
            return;
        }
        let (mut transfers, mut cut_for, mut close) = (Transfers::default(), None, Close::default());
        let mut hard_stop = self.cut.clone();
        let cut = async {
            tokio::select! {
                why = session.ended() => {
                    let text = format!("cut: `{}` is now denied; {}", why.operation, why.code.remedy());
                    cut_for = Some((why.code.as_str(), text));
                }
                why = self.unbound(&opening, far) => cut_for = Some((why.code(), format!("cut: {why}"))),
                () = hard_stop.asked() => {}
            }
        };
        let mut report = |from: End, happening| self.tell_from(&opening, &marks, from, happening);
        let mut unanswered = Unanswered::of(far.other());
        let event = |from, event| {
            close.see(event);
            if let Some(instance) = unanswered.see(from, event) {
                self.services.images.stored(instance);
            }
            transfers.see(from, event, &mut report);
        };
        let ended =
            pump(requestor, acceptor, &mut Tap::new(&offer.contexts), self.config.limits.idle, cut, event).await;
        transfers.end(&mut report);
        if let Some((code, text)) = cut_for {
            self.alert(&opening, code, text);
        } else if let Cause::Violation(from, violation) = &ended.cause {
            let who = if *from == far { "the peer" } else { "the machine" };
            self.alert(&opening, violation.code(), format!("cut: {who} sent {violation}"));
        }
        self.tell(&opening, &marks, Happening::Ended(close.describe(&ended)));
    }

    /// Waits until the routing table no longer gives the titles of an association to its ends, and says so. `far` is the
    /// end the peer device is at.
    async fn unbound(&self, opening: &Opening, far: End) -> Refusal {
        // Taken before the first look: no change is missed.
        let mut news = self.services.knowledge.changes();
        loop {
            if let Err(refusal) = self.still_bound(opening, far) {
                return refusal;
            }
            // The sender is in the knowledge this guard holds, so this cannot fail.
            let _ = news.changed().await;
        }
    }

    fn still_bound(&self, opening: &Opening, far: End) -> Result<(), Refusal> {
        let (Some(peer), Some(calling), Some(called)) =
            (&opening.peer, &opening.requestor.title, &opening.acceptor.title)
        else {
            return Err(Refusal::CallingNotBound);
        };
        let (routes, own) = (self.services.knowledge.routes(), &self.config.device);
        match far {
            End::Requestor => bind::inbound(&routes, own, peer.device_name(), calling, called),
            End::Acceptor => match bind::outbound(&routes, own, calling, called)? {
                machine if machine.device == *peer.device_name() => Ok(()),
                _ => Err(Refusal::WrongMachine),
            },
        }
    }

    /// Says no to the caller, and to the audit.
    async fn refuse(&self, opening: &Opening, refusal: &Refusal, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        if matches!(refusal, Refusal::Silent) {
            return;
        }
        self.alert(opening, refusal.code(), refusal.to_string());
        let Some(answer) = refusal.answer() else { return };
        let work = async {
            send(&mut stream, &answer.pdu()).await?;
            stream.shutdown().await?;
            // Closing with unread bytes would reset the connection and take the answer away from its reader.
            let mut unread = [0; 4096];
            while stream.read(&mut unread).await? > 0 {}
            Ok::<(), io::Error>(())
        };
        // A caller that does not listen is left.
        let _ = timeout(LAST_WORD, work).await;
    }

    fn alert(&self, opening: &Opening, code: &'static str, text: String) {
        let Opening { correlation, requestor, acceptor, .. } = opening;
        tracing::warn!(%correlation, code, %requestor, %acceptor, "{text}");
        self.tell(opening, &[], Happening::Alert { code, text });
    }

    fn tell(&self, opening: &Opening, marks: &[&'static str], happening: Happening) {
        self.tell_from(opening, marks, End::Requestor, happening);
    }

    /// Records what `from` did towards the other end.
    fn tell_from(&self, opening: &Opening, marks: &[&'static str], from: End, happening: Happening) {
        let (source, destination) = match from {
            End::Requestor => (&opening.requestor, &opening.acceptor),
            End::Acceptor => (&opening.acceptor, &opening.requestor),
        };
        tracing::debug!(correlation = %opening.correlation, ?happening);
        self.services.audit.record(Event {
            time: self.services.knowledge.clock().now(),
            correlation: Some(opening.correlation),
            source: source.clone(),
            destination: destination.clone(),
            happening,
            marks: marks.to_vec(),
        });
    }

    fn record(&self, happening: Happening) {
        self.services.audit.record(Event {
            time: self.services.knowledge.clock().now(),
            correlation: None,
            source: Party::default(),
            destination: Party::default(),
            happening,
            marks: Vec::new(),
        });
    }
}

impl Opening {
    fn new(random: [u8; 8]) -> Self {
        let correlation = Correlation::from_random(random);
        Self { correlation, requestor: Party::default(), acceptor: Party::default(), peer: None }
    }

    fn name(&mut self, request: &Request) {
        self.requestor.title = Some(request.calling);
        self.acceptor.title = Some(request.called);
    }
}

/// Hears a foreign caller out for a moment, so that the audit can say who it wanted to be, and refuses it.
async fn foreign(stream: &mut Plain, opening: &mut Opening) -> Refusal {
    match read_request(stream, FOREIGN).await {
        Ok((request, _)) => opening.name(&request),
        Err(Refusal::Silent) => return Refusal::Silent,
        Err(_) => {}
    }
    Refusal::ForeignAddress
}

async fn read_request(stream: &mut (impl AsyncRead + Unpin), limit: Duration) -> Result<(Request, Vec<u8>), Refusal> {
    timeout(limit, Request::read(stream)).await.map_err(|_| Refusal::TooSlow)?
}

async fn send(stream: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let work = async {
        stream.write_all(bytes).await?;
        stream.flush().await
    };
    timeout(LAST_WORD, work).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}
