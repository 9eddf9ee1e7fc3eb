//! Calls to addresses that others have chosen: one client, which goes where the settings allow and nowhere else.
//!
//! Who registers an address could otherwise have the hub call its own neighbours (server-side request forgery): so the host
//! is on a list; its name is looked up once and every place it leads to is judged; the connection goes to a place that was
//! judged; and no answer leads on to another address.

mod address;
mod place;

pub use address::{Address, NoAddress};
pub use place::{Network, NoNetwork, is_public};

use crate::Error;
use crate::http::{Client, Connection, Limits};
use crate::ordinary::Ordinary;
use bytes::Bytes;
use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderValue, Method, Response};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Until the name is found, and until the connection stands, TLS included; until the whole answer is there.
const CONNECT: Duration = Duration::from_secs(5);
const ANSWER: Duration = Duration::from_secs(10);
/// The most bytes of an answer's body.
const MOST: usize = 256 << 10;
/// How we call ourselves.
const OURSELVES: HeaderValue = HeaderValue::from_static("medlock");

/// `[clinical.outbound]`: which servers the hub calls at addresses that others have registered. None, unless they are named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    /// The hosts that are called, each `keys.example.org`, or `*.example.org` for all within a domain, with `:PORT` if it is
    /// another than 443.
    pub hosts: Vec<String>,
    /// The networks within a hospital to which such a host may lead, `10.1.0.0/16`. To others that are private, to this
    /// machine and to its neighbours none leads.
    pub networks: Vec<String>,
    /// A file with the authorities (PEM) of their certificates; those of the system if absent.
    pub ca: Option<PathBuf>,
}

/// Why a call was not made, or brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The address is none that is called.
    #[error("{0}")]
    Address(#[from] NoAddress),
    /// The host is not on the list.
    #[error("{0} is not among the hosts that are called: add it to hosts in [clinical.outbound]")]
    Host(String),
    /// The host leads to a place that is not for everybody, and not among those that were named.
    #[error("{host} leads to {place}, which is no public address: add its network to networks in [clinical.outbound]")]
    Place {
        /// The host.
        host: String,
        /// Where it leads.
        place: IpAddr,
    },
    /// The name leads nowhere.
    #[error("{host} is not found: {source}")]
    Name {
        /// The host.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// The server leads on to another address.
    #[error("{host} answers {status}: it leads elsewhere, and nobody follows; register the last address")]
    Elsewhere {
        /// The host.
        host: String,
        /// The status.
        status: u16,
    },
    /// There was no answer within the limits.
    #[error(transparent)]
    Call(#[from] Error),
}

/// What the system, or a test, says about a name.
pub type Places<'a> = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send + 'a>>;

/// Looks names up.
pub trait Names: Send + Sync {
    /// Where `host` leads, with this port.
    fn places<'a>(&'a self, host: &'a str, port: u16) -> Places<'a>;
}

/// The system's way to look names up.
#[derive(Clone, Copy, Debug)]
pub struct SystemNames;

impl Names for SystemNames {
    fn places<'a>(&'a self, host: &'a str, port: u16) -> Places<'a> {
        Box::pin(async move { Ok(tokio::net::lookup_host((host, port)).await?.collect()) })
    }
}

/// A host that is called.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Allowed {
    /// In small letters; of a domain, with the dot before it.
    host: String,
    within: bool,
    port: u16,
}

impl Allowed {
    fn read(text: &str) -> Result<Self, Error> {
        let wrong =
            |what: &dyn fmt::Display| Error::Setting(format!("hosts in [clinical.outbound] has {text:?}: {what}"));
        let (within, rest) = text.strip_prefix("*.").map_or((false, text), |rest| (true, rest));
        let read = Address::read(&format!("https://{rest}/")).map_err(|error| wrong(&error))?;
        if read.path() != "/" || within && read.literal().is_some() {
            return Err(wrong(&"it is no host"));
        }
        let host = if within { format!(".{}", read.host()) } else { read.host().to_owned() };
        Ok(Self { host, within, port: read.port() })
    }

    fn has(&self, address: &Address) -> bool {
        let host = address.host();
        let same =
            if self.within { host.len() > self.host.len() && host.ends_with(&self.host) } else { host == self.host };
        same && address.port() == self.port
    }
}

/// Calls servers at addresses that others have chosen.
#[derive(Clone)]
pub struct Outbound {
    allowed: Arc<[Allowed]>,
    networks: Arc<[Network]>,
    tls: Ordinary,
    names: Arc<dyn Names>,
    limits: Limits,
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbound")
            .field("allowed", &self.allowed)
            .field("networks", &self.networks)
            .finish_non_exhaustive()
    }
}

impl Outbound {
    /// Reads what is allowed.
    ///
    /// # Errors
    /// [`Error::Setting`] where a host or network is none; what [`Ordinary::from_pem_file`] gives for the authorities.
    pub fn new(config: &OutboundConfig) -> Result<Self, Error> {
        Self::with_names(config, Arc::new(SystemNames))
    }

    /// The same, with another way to look names up.
    ///
    /// # Errors
    /// As [`Outbound::new`].
    pub fn with_names(config: &OutboundConfig, names: Arc<dyn Names>) -> Result<Self, Error> {
        let allowed = config.hosts.iter().map(|host| Allowed::read(host)).collect::<Result<_, _>>()?;
        let network = |text: &String| {
            let wrong = |error| Error::Setting(format!("networks in [clinical.outbound] has {text:?}: {error}"));
            Network::read(text).map_err(wrong)
        };
        let networks = config.networks.iter().map(network).collect::<Result<_, _>>()?;
        let tls = match &config.ca {
            Some(file) => Ordinary::from_pem_file(file)?,
            // Whoever calls nobody needs no authorities.
            None if config.hosts.is_empty() => Ordinary::new(&[])?,
            None => Ordinary::of_system()?,
        };
        let limits = Limits { connect: CONNECT, request: ANSWER, body_bytes: MOST };
        Ok(Self { allowed, networks, tls, names, limits })
    }

    /// The same with other limits.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Whether a call to this address may be made at all: for who registers one.
    ///
    /// # Errors
    /// [`Refused::Address`] and [`Refused::Host`].
    pub fn allows(&self, address: &str) -> Result<Address, Refused> {
        let read = Address::read(address)?;
        if self.allowed.iter().any(|allowed| allowed.has(&read)) {
            Ok(read)
        } else {
            Err(Refused::Host(read.authority()))
        }
    }

    /// Asks for what is at an address.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn get(&self, address: &str, accept: &'static str) -> Result<Response<Bytes>, Refused> {
        let address = self.allows(address)?;
        let client = self.client(&address).await?;
        let mut request = client.request(Method::GET, address.path(), None, Bytes::new())?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        request.headers_mut().insert(USER_AGENT, OURSELVES);
        self.sent(&client, &address, request).await
    }

    /// For several calls, one after another.
    #[must_use]
    pub fn line(&self) -> Line {
        Line { outbound: self.clone(), open: None }
    }

    async fn sent(
        &self,
        client: &Client,
        address: &Address,
        request: http::Request<Bytes>,
    ) -> Result<Response<Bytes>, Refused> {
        not_elsewhere(address, client.send(request).await?)
    }

    /// A client that connects to places which were judged, and looks up no name again.
    async fn client(&self, address: &Address) -> Result<Client, Refused> {
        let places = self.judged(address).await?;
        let client = Client::ordinary(address.authority(), address.host().to_owned(), self.tls.clone(), places);
        Ok(client.with_limits(self.limits))
    }

    async fn judged(&self, address: &Address) -> Result<Vec<SocketAddr>, Refused> {
        let (host, port) = (address.host(), address.port());
        let name = |source| Refused::Name { host: host.to_owned(), source };
        let places = match address.literal() {
            Some(literal) => vec![SocketAddr::new(literal, port)],
            None => {
                let late = |_| name(io::Error::from(io::ErrorKind::TimedOut));
                timeout(self.limits.connect, self.names.places(host, port)).await.map_err(late)?.map_err(name)?
            }
        };
        if places.is_empty() {
            return Err(name(io::Error::from(io::ErrorKind::NotFound)));
        }
        // One that is not for everybody spoils the name: it could be the next answer's only one.
        let wrong = places.iter().find(|place| !self.may_go(place.ip()));
        match wrong {
            Some(place) => Err(Refused::Place { host: host.to_owned(), place: place.ip() }),
            None => Ok(places.into_iter().map(|place| SocketAddr::new(place.ip(), port)).collect()),
        }
    }

    fn may_go(&self, place: IpAddr) -> bool {
        let place = place.to_canonical();
        is_public(place) || self.networks.iter().any(|network| network.has(place))
    }
}

/// Nobody follows where a server leads on to.
fn not_elsewhere(address: &Address, answer: Response<Bytes>) -> Result<Response<Bytes>, Refused> {
    if answer.status().is_redirection() {
        return Err(Refused::Elsewhere { host: address.authority(), status: answer.status().as_u16() });
    }
    Ok(answer)
}

/// Calls one after another. While they are to the same server they share a connection, to a place that was judged; where that was closed
/// meanwhile, the place is judged anew.
#[derive(Debug)]
pub struct Line {
    outbound: Outbound,
    /// The server, and the connection to it.
    open: Option<(String, Client, Connection)>,
}

impl Line {
    /// Sends something to an address, with further headers.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn send(
        &mut self,
        method: Method,
        address: &str,
        content_type: &str,
        headers: &[(http::HeaderName, HeaderValue)],
        body: Bytes,
    ) -> Result<Response<Bytes>, Refused> {
        let address = self.outbound.allows(address)?;
        let request = |client: &Client| {
            let mut request = client.request(method.clone(), address.path(), Some(content_type), body.clone())?;
            request.headers_mut().extend(headers.iter().cloned());
            request.headers_mut().insert(USER_AGENT, OURSELVES);
            Ok::<_, Error>(request)
        };
        let server = address.authority();
        // A server closes a connection when it likes: then the call is made again over another one.
        if let Some((to, client, mut connection)) = self.open.take().filter(|(to, ..)| *to == server)
            && let Ok(answer) = connection.send(request(&client)?).await
        {
            self.open = Some((to, client, connection));
            return not_elsewhere(&address, answer);
        }
        let client = self.outbound.client(&address).await?;
        let mut connection = client.connection().await?;
        let answer = connection.send(request(&client)?).await?;
        self.open = Some((server, client, connection));
        not_elsewhere(&address, answer)
    }
}
