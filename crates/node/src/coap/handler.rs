//! What protocols over CoAP implement: handlers for paths.

use super::message::{Request, Response};
use bytes::Bytes;
use medlock_proto::coap::Code;
use medlock_proto::edhoc::Session;
use medlock_trust::Identified;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::watch;

/// A peer that has shown who it is, over one OSCORE security context.
#[derive(Debug)]
pub struct Peer {
    /// Who it is. What it may do is asked for each operation.
    pub identified: Identified,
    /// The certificate it showed (X.509 DER or C509); empty if it showed none.
    pub certificate: Bytes,
    /// From where it made the handshake. Its requests may come from elsewhere later.
    pub address: SocketAddr,
    /// The handshake's result, whose exporter gives further keys; `None` if the keys were shared beforehand.
    pub handshake: Option<Session>,
}

/// Who asks a resource that is open to all.
#[derive(Clone, Debug)]
pub struct Caller {
    /// From where it asks. Nothing shows that this is true.
    pub address: SocketAddr,
    /// Who it is, if it asks over a security context.
    pub peer: Option<Arc<Peer>>,
}

/// What a handler answers.
#[derive(Debug)]
pub enum Reply {
    /// A response.
    Once(Response),
    /// A response now, and a notification at each change (RFC 7641), as long as the client observes. Notifications tell
    /// the newest state; what lay between may be left out. Ends when the sender goes, or with an error as response.
    Observed(watch::Receiver<Response>),
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Once(response)
    }
}

impl Reply {
    /// The code of what is answered now.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Once(response) => response.code,
            Self::Observed(newest) => newest.borrow().code,
        }
    }
}

/// The answer of a handler, to come.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Reply> + Send + 'a>>;

/// Serves requests of `C`: of an [`Arc<Peer>`] (protected resources) or of a [`Caller`] (open ones).
///
/// A handler of protected resources asks the permit for its operation itself. It may be cancelled at any await.
pub trait Handler<C>: Send + Sync + 'static {
    /// Serves one request.
    fn serve(&self, caller: C, request: Request) -> Answer<'_>;
}

impl<C, F, A> Handler<C> for F
where
    F: Fn(C, Request) -> A + Send + Sync + 'static,
    A: Future<Output = Reply> + Send + 'static,
{
    fn serve(&self, caller: C, request: Request) -> Answer<'_> {
        Box::pin(self(caller, request))
    }
}

/// What a client is told that asks without a session for what needs one.
const NO_SESSION: &str = "no session: shake hands by EDHOC (POST /.well-known/edhoc), then ask again over OSCORE";

/// The resources of a listener, by path.
#[derive(Clone, Default)]
pub struct Resources(BTreeMap<String, Resource>);

#[derive(Clone)]
enum Resource {
    Protected(Arc<dyn Handler<Arc<Peer>>>),
    Open(Arc<dyn Handler<Caller>>),
}

impl Resources {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a resource that answers only over OSCORE.
    #[must_use]
    pub fn protected(mut self, path: &str, handler: impl Handler<Arc<Peer>>) -> Self {
        self.0.insert(path.to_owned(), Resource::Protected(Arc::new(handler)));
        self
    }

    /// Adds a resource that answers anybody. What it takes must carry its own proof.
    #[must_use]
    pub fn open(mut self, path: &str, handler: impl Handler<Caller>) -> Self {
        self.0.insert(path.to_owned(), Resource::Open(Arc::new(handler)));
        self
    }

    /// These and the others.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    /// The path of the resource that a request is for, if there is one.
    pub(crate) fn route(&self, request: &Request) -> Option<&str> {
        self.0.get_key_value(&request.path()).map(|(path, _)| path.as_str())
    }

    /// Serves a request.
    pub(crate) async fn serve(&self, caller: Caller, request: Request) -> Reply {
        match (self.0.get(&request.path()), caller.peer.clone()) {
            (None, Some(_)) => Response::new(Code::NOT_FOUND).into(),
            // Who has not shown itself learns only which resources are open.
            (None | Some(Resource::Protected(_)), None) => Response::refused(Code::UNAUTHORIZED, NO_SESSION).into(),
            (Some(Resource::Protected(handler)), Some(peer)) => handler.serve(peer, request).await,
            (Some(Resource::Open(handler)), _) => handler.serve(caller, request).await,
        }
    }
}

impl fmt::Debug for Resources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
