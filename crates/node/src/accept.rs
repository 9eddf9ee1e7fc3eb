//! The accept loop: how long and how much a caller may cost before and while it is served.

mod drained;
mod meter;
mod rates;

pub use meter::Meter;
pub use rates::Rates;
pub(crate) use rates::network;

use crate::stop::Stop;
use crate::tls::Acceptor;
use axum::Router;
use axum::body::Body;
use axum::extract::DefaultBodyLimit;
use axum::middleware::from_fn;
use drained::Drained;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST, RETRY_AFTER,
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use http_body_util::{Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use medlock_trust::Identified;
use rustls::pki_types::CertificateDer;
use std::collections::HashMap;
use std::convert::Infallible;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tower::ServiceExt as _;

/// How long to wait when the system has no more file descriptors, before accepting again.
const BREATH: Duration = Duration::from_millis(100);
/// The most bytes of a request's head; hyper answers 431 beyond.
const MAX_HEAD: usize = 32 << 10;

/// What a caller may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the TLS handshake is done.
    pub handshake: Duration,
    /// Until a request's head is read, also on a connection kept open.
    pub header: Duration,
    /// Until the handler has read the body and begun its answer; then 408.
    pub request: Duration,
    /// How long sent bytes may stay unacknowledged before the connection is given up.
    pub unacknowledged: Duration,
    /// After the wish to stop, how long answers under way may take.
    pub drain: Duration,
    /// The most connections at once. Further ones are closed at once.
    pub connections: usize,
    /// The most connections from one address at once; an IPv6 network of 64 bits, in which anybody has as many addresses as
    /// they like, counts as one. Does not apply to a Unix socket.
    pub connections_per_address: usize,
    /// The most bytes of a request's body; beyond, 413.
    pub body_bytes: usize,
}

impl Default for Limits {
    /// For machines in one hospital: a handshake takes milliseconds, a request fits in 1 MiB.
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            header: Duration::from_secs(15),
            request: Duration::from_secs(60),
            unacknowledged: Duration::from_secs(60),
            drain: Duration::from_secs(3),
            connections: 4_096,
            connections_per_address: 256,
            body_bytes: 1 << 20,
        }
    }
}

/// On which terms a listener serves.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The listener's name, in what is counted and logged.
    pub door: &'static str,
    /// What a caller may cost.
    pub limits: Limits,
    /// How many requests a client may send.
    pub rates: Arc<Rates>,
    /// Where is counted what happens.
    pub meter: Meter,
    /// The header in which the server in front of this listener, behind which nobody else reaches it, says from which address a request
    /// is: the last one in it, since the others are the caller's own words. `None`: there is no such server.
    pub forwarded: Option<HeaderName>,
}

impl From<Limits> for Terms {
    /// As many requests as callers like, and nobody looks at what is counted.
    fn from(limits: Limits) -> Self {
        Self {
            door: "other",
            limits,
            rates: Arc::new(Rates::per_second(None)),
            meter: Meter::default(),
            forwarded: None,
        }
    }
}

/// Where a caller came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Over the network.
    Address(SocketAddr),
    /// Over a Unix socket; the user, if the system told.
    Local {
        /// The caller's numeric user id.
        user: Option<u32>,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Local { user: Some(user) } => write!(f, "local user {user}"),
            Self::Local { user: None } => f.write_str("local user"),
        }
    }
}

/// Who calls: in the extensions of each request.
#[derive(Clone, Debug)]
pub struct PeerInfo {
    /// Where it came from.
    pub origin: Origin,
    /// The certificates it showed, its own first; empty without TLS or without a client certificate.
    pub chain: Arc<[CertificateDer<'static>]>,
    /// Who it is, if it showed certificates. What it may do is asked for each operation.
    pub identified: Option<Identified>,
}

/// A socket that accepts callers.
#[derive(Debug)]
pub enum Listener {
    /// Over the network.
    Tcp(TcpListener),
    /// On this machine.
    Unix(UnixListener),
}

impl From<TcpListener> for Listener {
    fn from(listener: TcpListener) -> Self {
        Self::Tcp(listener)
    }
}

impl From<UnixListener> for Listener {
    fn from(listener: UnixListener) -> Self {
        Self::Unix(listener)
    }
}

/// Serves `router` to all who call, until asked to stop and answers under way are done or late. With `tls`, callers
/// must shake hands first. Each request carries its [`PeerInfo`]; one too many of a client is answered 429. Trouble with a caller is logged, never returned.
pub async fn serve(
    listener: impl Into<Listener>,
    tls: Option<Acceptor>,
    terms: impl Into<Terms>,
    router: Router,
    mut stop: Stop,
) {
    let (listener, terms) = (listener.into(), terms.into());
    let (limits, door, meter) = (terms.limits, terms.door, terms.meter.clone());
    // Our own limit below replaces axum's.
    let router = router.layer(DefaultBodyLimit::disable());
    let router = router.layer(from_fn(move |request, next| meter.clone().watch(door, request, next)));
    let server = Arc::new(Server { tls, terms, router, stop: stop.clone(), room: Room::new(limits) });
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.asked() => break,
            Some(_) = connections.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        let (socket, origin) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        match server.room.enter(origin) {
            Ok(place) => {
                let (server, connected) = (server.clone(), server.terms.meter.connected(door));
                connections.spawn(async move {
                    server.connection(socket, origin).await;
                    drop((place, connected));
                });
            }
            Err(full) => {
                server.terms.meter.turned_away(door);
                tracing::info!(%origin, "closed a connection at once: {full}");
            }
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain, drained).await.is_err() {
        tracing::debug!(left = connections.len(), "closed connections that were still busy");
        connections.shutdown().await;
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(tokio::net::UnixStream),
}

impl Listener {
    async fn accept(&self) -> std::io::Result<(Socket, Origin)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Origin::Address(address)))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                let user = stream.peer_cred().ok().map(|cred| cred.uid());
                Ok((Socket::Unix(stream), Origin::Local { user }))
            }
        }
    }
}

struct Server {
    tls: Option<Acceptor>,
    terms: Terms,
    router: Router,
    stop: Stop,
    room: Room,
}

impl Server {
    async fn connection(&self, socket: Socket, origin: Origin) {
        let nobody = PeerInfo { origin, chain: Arc::new([]), identified: None };
        match (socket, &self.tls) {
            (Socket::Unix(stream), _) => self.http(stream, nobody).await,
            (Socket::Tcp(stream), None) => {
                self.tune(&stream);
                self.http(stream, nobody).await;
            }
            (Socket::Tcp(stream), Some(tls)) => {
                self.tune(&stream);
                let mut stop = self.stop.clone();
                let secured = tokio::select! {
                    () = stop.asked() => return,
                    secured = tls.accept(stream, self.terms.limits.handshake) => secured,
                };
                match secured {
                    Ok(secured) => {
                        let peer = PeerInfo { origin, chain: secured.chain, identified: secured.peer };
                        self.http(secured.stream, peer).await;
                    }
                    Err(error) => {
                        self.terms.meter.failed_handshake(self.terms.door);
                        tracing::info!(%origin, %error, "no TLS handshake");
                    }
                }
            }
        }
    }

    fn tune(&self, stream: &TcpStream) {
        let socket = socket2::SockRef::from(stream);
        let tuned = socket.set_tcp_nodelay(true).and_then(|()| {
            socket.set_tcp_user_timeout(Some(self.terms.limits.unacknowledged))?;
            socket.set_keepalive(true)
        });
        if let Err(error) = tuned {
            tracing::debug!(%error, "cannot set socket options");
        }
    }

    async fn http(&self, io: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: PeerInfo) {
        let origin = peer.origin;
        let service = hyper::service::service_fn(|request| self.answer(request, &peer));
        let mut http = hyper::server::conn::http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(self.terms.limits.header).max_buf_size(MAX_HEAD);
        // A connection that becomes a web socket leaves this loop: whoever takes it over bounds how many there are, and ends them.
        let connection = http.serve_connection(TokioIo::new(io), service).with_upgrades();
        tokio::pin!(connection);
        let mut stop = self.stop.clone();
        let result = tokio::select! {
            result = connection.as_mut() => result,
            () = stop.asked() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = result {
            tracing::info!(%origin, error = %Causes(&error), "connection ended early");
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: &PeerInfo) -> Result<Response<Body>, Infallible> {
        let from = self.terms.forwarded.as_ref().and_then(|name| forwarded(request.headers(), name));
        let peer = PeerInfo { origin: from.unwrap_or(peer.origin), ..peer.clone() };
        // Who waits to be told to send (RFC 9110 section 10.1.1) has sent nothing yet.
        let is_coming = !request.headers().contains_key(EXPECT);
        let mut request = request.map(|body| Drained::new(body, is_coming, self.terms.limits.header));
        if let Err(wait) = self.terms.rates.count(peer.origin, peer.identified.as_ref()) {
            self.terms.meter.answered(self.terms.door, "none", 429, Duration::ZERO);
            return Ok(too_many(wait));
        }
        if !names_its_host(&request) {
            self.terms.meter.answered(self.terms.door, "none", 400, Duration::ZERO);
            return Ok(plain(StatusCode::BAD_REQUEST, "a request of HTTP/1.1 has one Host header\n"));
        }
        let announced =
            request.headers().get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let most = self.terms.limits.body_bytes;
        let beyond = announced.is_some_and(|length| length > most as u64);
        if beyond {
            tracing::info!(origin = %peer.origin, length = announced, "refused a body that is too large");
        }
        let origin = peer.origin;
        request.extensions_mut().insert(peer);
        let request = request.map(|body| {
            if beyond {
                // Whom it was for refuses it, with 413 and in its own words: what is read in its place is too long for it.
                Body::new(Limited::new(Full::from("x"), 0))
            } else {
                Body::new(Limited::new(body, most))
            }
        });
        match tokio::time::timeout(self.terms.limits.request, self.router.clone().oneshot(request)).await {
            Ok(response) => response,
            Err(_) => {
                tracing::info!(%origin, "a request took too long");
                Ok(plain(StatusCode::REQUEST_TIMEOUT, "the request took too long\n"))
            }
        }
    }
}

/// From which address a request is by this header.
fn forwarded(headers: &HeaderMap, name: &HeaderName) -> Option<Origin> {
    let last = headers.get_all(name).iter().next_back()?.to_str().ok()?.rsplit(',').next()?.trim();
    let address = last.parse().map(|address: IpAddr| SocketAddr::new(address, 0)).or_else(|_| last.parse());
    address.ok().map(Origin::Address)
}

/// Whether it is for one host (RFC 9112 section 3.2): a server in front may read it otherwise than we do where it is not.
fn names_its_host<B>(request: &Request<B>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    hosts == 1 || hosts == 0 && request.version() < Version::HTTP_11
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// RFC 6585 section 4.
fn too_many(wait: Duration) -> Response<Body> {
    let seconds = wait.as_secs() + 1;
    let text = format!("too many requests from one client: send the next in {seconds} s\n");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::TOO_MANY_REQUESTS;
    let headers = response.headers_mut();
    headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    // Software in a page may read when it is to come again, whatever it asked for.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("retry-after"));
    response
}

/// An error with what caused it, on one line.
struct Causes<'e>(&'e dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

/// Counts callers, in total and for each address, or network of addresses.
struct Room {
    places: Arc<Semaphore>,
    per_address: usize,
    addresses: Arc<Counts>,
}

#[derive(Default)]
struct Counts(Mutex<HashMap<IpAddr, usize>>);

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room {
    fn new(limits: Limits) -> Self {
        Self {
            places: Arc::new(Semaphore::new(limits.connections)),
            per_address: limits.connections_per_address,
            addresses: Arc::default(),
        }
    }

    fn enter(&self, origin: Origin) -> Result<Place, &'static str> {
        let permit =
            self.places.clone().try_acquire_owned().map_err(|_| "the server has all the connections it takes")?;
        let address = match origin {
            Origin::Local { .. } => None,
            Origin::Address(address) => {
                let ip = network(address.ip());
                let mut addresses = self.addresses.lock();
                let count = addresses.get(&ip).copied().unwrap_or(0);
                if count >= self.per_address {
                    return Err("its address has all the connections it may have");
                }
                addresses.insert(ip, count + 1);
                Some((ip, self.addresses.clone()))
            }
        };
        Ok(Place { address, _permit: permit })
    }
}

struct Place {
    address: Option<(IpAddr, Arc<Counts>)>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((ip, addresses)) = &self.address else { return };
        let mut addresses = addresses.lock();
        if let Some(count) = addresses.get_mut(ip) {
            *count -= 1;
            if *count == 0 {
                addresses.remove(ip);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    /// Shows REQ-NODE-97: whoever has a network of 64 bits has no more room than whoever has one address.
    #[test]
    fn one_ipv6_network_does_not_fill_a_door() {
        let room = Room::new(Limits { connections: 40, connections_per_address: 8, ..Limits::default() });
        let at = |ip: IpAddr| Origin::Address(SocketAddr::new(ip, 4_000));
        let six = |network: u16, host: u16| IpAddr::V6(Ipv6Addr::new(0xfd77, 5, 5, network, 0, 0, 0, host));
        let mut places: Vec<_> = (0..100).filter_map(|host| room.enter(at(six(1, host))).ok()).collect();
        assert_eq!(places.len(), 8);
        places.extend((0..100).filter_map(|host| room.enter(at(six(2, host))).ok()));
        assert_eq!(places.len(), 16, "another network has its own");
        // An IPv4 address is one, however it is written.
        let four = Ipv4Addr::new(192, 0, 2, 7);
        let written = [IpAddr::V4(four), IpAddr::V6(four.to_ipv6_mapped())];
        places.extend((0..20).filter_map(|turn| room.enter(at(written[turn % 2])).ok()));
        assert_eq!(places.len(), 24);
        places.truncate(1);
        assert!(room.enter(at(six(1, 500))).is_ok() && room.enter(at(IpAddr::V4(four))).is_ok());
        drop(places);
        assert!(room.addresses.lock().is_empty(), "what nobody has any more is not remembered");
    }
}
