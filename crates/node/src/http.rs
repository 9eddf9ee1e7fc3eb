//! A small HTTP/1.1 client with limits, over TLS, plain TCP or a Unix socket. One connection a request: enrolment,
//! objects and administration are rare, and a fresh connection meets the present credential and the present hub.

use crate::Error;
use crate::ordinary::Ordinary;
use crate::tls::Connector;
use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, response::Parts};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::CertificateDer;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// The most headers an answer may have.
const MAX_HEADERS: usize = 64;
/// The most bytes an answer's head may have.
const MAX_HEAD: usize = 32 << 10;

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Until the connection stands, TLS included.
    pub connect: Duration,
    /// From the request to the last byte of the answer; for a stream, to its head.
    pub request: Duration,
    /// The most bytes of an answer's body.
    pub body_bytes: usize,
}

impl Default for Limits {
    /// 10 s to connect, 60 s to answer, 16 MiB: more than the longest signed object.
    fn default() -> Self {
        Self { connect: Duration::from_secs(10), request: Duration::from_secs(60), body_bytes: 16 << 20 }
    }
}

/// A client of one server.
#[derive(Clone, Debug)]
pub struct Client {
    target: Target,
    /// Where the server is, if its name is not to be looked up.
    places: Option<Arc<[SocketAddr]>>,
    limits: Limits,
}

#[derive(Clone, Debug)]
enum Target {
    Plain(String),
    Tls(String, Connector),
    /// Address, and the name or IP address of its certificate.
    Ordinary(String, String, Ordinary),
    Unix(PathBuf),
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

impl Client {
    /// A client of the server at `address` (`host:port`) without encryption: for loopback only.
    #[must_use]
    pub fn plain(address: impl Into<String>) -> Self {
        Self::new(Target::Plain(address.into()))
    }

    /// A client of the server at `address` (`host:port`) over TLS.
    #[must_use]
    pub fn tls(address: impl Into<String>, connector: Connector) -> Self {
        Self::new(Target::Tls(address.into(), connector))
    }

    /// A client of an ordinary server that calls itself `address`, over TLS, believed by its certificate for `host`, at one of
    /// `places`.
    #[must_use]
    pub fn ordinary(address: String, host: String, tls: Ordinary, places: Vec<SocketAddr>) -> Self {
        Self::new(Target::Ordinary(address, host, tls)).at(places)
    }

    /// A client of the server that listens at the Unix socket `path`.
    #[must_use]
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self::new(Target::Unix(path.into()))
    }

    fn new(target: Target) -> Self {
        Self { target, places: None, limits: Limits::default() }
    }

    /// The same client, which connects to one of these places and does not look up the server's name, but asks by it: for
    /// places that were judged.
    #[must_use]
    pub fn at(self, places: Vec<SocketAddr>) -> Self {
        Self { places: Some(places.into()), ..self }
    }

    /// The same client with other limits.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Who is called, for messages.
    #[must_use]
    pub fn server(&self) -> String {
        match &self.target {
            Target::Plain(address) | Target::Tls(address, _) | Target::Ordinary(address, ..) => address.clone(),
            Target::Unix(path) => path.display().to_string(),
        }
    }

    /// Asks for `path`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn get(&self, path: &str) -> Result<Response<Bytes>, Error> {
        self.send(self.request(http::Method::GET, path, None, Bytes::new())?).await
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn post(&self, path: &str, content_type: &str, body: impl Into<Bytes>) -> Result<Response<Bytes>, Error> {
        self.send(self.request(http::Method::POST, path, Some(content_type), body.into())?).await
    }

    /// Builds a request for this server.
    ///
    /// # Errors
    /// [`Error::Http`] if `path` or `content_type` cannot be sent.
    pub fn request(
        &self,
        method: http::Method,
        path: &str,
        content_type: Option<&str>,
        body: Bytes,
    ) -> Result<Request<Bytes>, Error> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(content_type) = content_type {
            request = request.header(CONTENT_TYPE, content_type);
        }
        request.body(body).map_err(|error| self.wrong(format!("the request cannot be sent: {error}")))
    }

    /// Sends `request` (its URI a path) and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// [`Error::Connection`], [`Error::Tls`], [`Error::Timeout`], or [`Error::Http`] when the answer is no HTTP or
    /// beyond the limits.
    pub async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let whole = async {
            let (parts, mut body) = self.open(request).await?;
            let mut content = BytesMut::new();
            while let Some(chunk) = body.chunk().await? {
                if content.len() + chunk.len() > self.limits.body_bytes {
                    return Err(self.wrong(format!("the answer is larger than {} bytes", self.limits.body_bytes)));
                }
                content.extend_from_slice(&chunk);
            }
            Ok(Response::from_parts(parts, content.freeze()))
        };
        self.within(self.limits.connect + self.limits.request, "an answer", whole).await
    }

    /// Sends `request` and gives the answer's head, and its body as it comes.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn open(&self, mut request: Request<Bytes>) -> Result<(Parts, Body), Error> {
        request.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        let Connection { client, mut sender, driver, chain } = self.connection().await?;
        let (parts, incoming) = client.ask(&mut sender, request).await?.into_parts();
        Ok((parts, Body { incoming, chain, with: self.server(), _driver: driver }))
    }

    /// A connection that stays open, for many requests one after another.
    ///
    /// # Errors
    /// As [`Client::send`].
    pub async fn connection(&self) -> Result<Connection, Error> {
        let (io, chain) = self.within(self.limits.connect, "a connection", self.connect()).await?;
        let (sender, connection) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .max_buf_size(MAX_HEAD)
            .handshake::<_, Full<Bytes>>(TokioIo::new(io))
            .await
            .map_err(|error| self.wrong(error.to_string()))?;
        // The task ends with the connection, or when its driver is dropped.
        let driver = Driver(tokio::spawn(async move {
            let _ = connection.await;
        }));
        Ok(Connection { client: self.clone(), sender, driver, chain })
    }

    async fn ask(
        &self,
        sender: &mut SendRequest<Full<Bytes>>,
        mut request: Request<Bytes>,
    ) -> Result<Response<Incoming>, Error> {
        let host = match &self.target {
            Target::Plain(address) | Target::Tls(address, _) | Target::Ordinary(address, ..) => {
                HeaderValue::try_from(address.as_str())
            }
            Target::Unix(_) => Ok(HeaderValue::from_static("localhost")),
        };
        let host = host.map_err(|_| self.wrong("the address cannot be a Host header".to_owned()))?;
        request.headers_mut().insert(HOST, host);
        let answer = async {
            // On a connection that stays open, the request before may just have ended.
            sender.ready().await.map_err(|error| self.wrong(error.to_string()))?;
            sender.send_request(request.map(Full::new)).await.map_err(|error| self.unanswered(&error))
        };
        self.within(self.limits.request, "an answer", answer).await
    }

    async fn connect(&self) -> Result<(Box<dyn Stream>, Arc<[CertificateDer<'static>]>), Error> {
        let failed = |source| Error::Connection { with: self.server(), source };
        let none = || Arc::from([]);
        Ok(match &self.target {
            Target::Plain(address) => (Box::new(self.dial(address).await.map_err(failed)?), none()),
            Target::Tls(address, connector) => {
                let stream = self.dial(address).await.map_err(failed)?;
                let secured = connector.connect_over(stream, address, self.limits.connect).await?;
                (Box::new(secured.stream), secured.chain)
            }
            Target::Ordinary(address, host, tls) => {
                let stream = self.dial(address).await.map_err(failed)?;
                (Box::new(tls.secure(host, stream).await.map_err(failed)?), none())
            }
            Target::Unix(path) => (Box::new(UnixStream::connect(path).await.map_err(failed)?), none()),
        })
    }

    async fn dial(&self, address: &str) -> io::Result<TcpStream> {
        let stream = match &self.places {
            Some(places) => TcpStream::connect(&places[..]).await?,
            None => TcpStream::connect(address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn within<T>(
        &self,
        limit: Duration,
        doing: &'static str,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let late = |_| Error::Timeout { with: self.server(), doing, limit };
        timeout(limit, work).await.map_err(late)?
    }

    fn unanswered(&self, error: &hyper::Error) -> Error {
        let of_system = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
        let broken = |error: &io::Error| {
            matches!(
                error.kind(),
                io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof
            )
        };
        if of_system.is_some_and(broken) || error.is_incomplete_message() || error.is_closed() || error.is_canceled() {
            return Error::Closed { with: self.server() };
        }
        self.wrong(error.to_string())
    }

    fn wrong(&self, what: String) -> Error {
        Error::Http { with: self.server(), what }
    }
}

/// A connection that stays open. It closes when dropped.
#[derive(Debug)]
pub struct Connection {
    client: Client,
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
    chain: Arc<[CertificateDer<'static>]>,
}

impl Connection {
    /// The certificates the server showed, its own first; none without TLS.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// Sends `request` (its URI a path) and reads the whole answer, whatever its status.
    ///
    /// # Errors
    /// As [`Client::send`]; then the connection is of no more use.
    pub async fn send(&mut self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let (parts, incoming) = self.client.ask(&mut self.sender, request).await?.into_parts();
        let most = self.client.limits.body_bytes;
        let body = async {
            let read = http_body_util::Limited::new(incoming, most).collect().await;
            read.map(|read| read.to_bytes()).map_err(|error| self.client.wrong(error.to_string()))
        };
        let body = self.client.within(self.client.limits.request, "an answer", body).await?;
        Ok(Response::from_parts(parts, body))
    }
}

/// Ends the connection's task when dropped.
#[derive(Debug)]
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The body of an answer, as it comes. Dropping it closes the connection.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    chain: Arc<[CertificateDer<'static>]>,
    with: String,
    _driver: Driver,
}

impl Body {
    /// The certificates the server showed, its own first; none without TLS.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The next bytes; `None` at the end. Waits without a limit of its own.
    ///
    /// # Errors
    /// [`Error::Connection`] if the connection breaks.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            match self.incoming.frame().await {
                None => return Ok(None),
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
                Some(Err(error)) => {
                    return Err(Error::Connection { with: self.with.clone(), source: io::Error::other(error) });
                }
            }
        }
    }
}
