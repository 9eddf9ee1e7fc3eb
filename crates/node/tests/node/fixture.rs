//! A small hub, and a server that says who called.

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use medlock_node::accept::{Limits, PeerInfo, serve};
use medlock_node::enrol::{Code, NEEDS_CODE, REFUSAL_CODE, certs_only};
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::news::Event;
use medlock_node::provider::AwsLc;
use medlock_node::stop::{self, Stopper};
use medlock_node::tls::{Acceptor, ClientAuth, server_config};
use medlock_testkit::{CertificateBuilder, Site};
use medlock_trust::CredentialId;
use medlock_trust::role::{Role, Roles};
use medlock_trust::x509::{Certificate, Request};
use rustls::pki_types::CertificateDer;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that runs until this is dropped.
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    pub(crate) stopper: Stopper,
    pub(crate) task: JoinHandle<()>,
}

pub(crate) async fn start(tls: Option<Acceptor>, limits: Limits, router: Router) -> Running {
    start_on(TcpListener::bind("127.0.0.1:0").await.expect("bind"), tls, limits, router)
}

fn start_on(listener: TcpListener, tls: Option<Acceptor>, limits: Limits, router: Router) -> Running {
    let address = listener.local_addr().expect("address");
    let (stopper, stop) = stop::channel();
    let task = tokio::spawn(serve(listener, tls, limits, router, stop));
    Running { address, stopper, task }
}

pub(crate) fn acceptor(identity: &IdentityStore, knowledge: &Arc<KnowledgeBase>, clients: ClientAuth) -> Acceptor {
    Acceptor::new(server_config(identity, knowledge, clients).expect("settings"), knowledge.clone())
}

/// Answers `/who` with the caller's device name.
pub(crate) fn who() -> Router {
    Router::new().route(
        "/who",
        get(|axum::Extension(peer): axum::Extension<PeerInfo>| async move {
            peer.identified.map_or("nobody".to_owned(), |who| who.device_name().to_string())
        }),
    )
}

/// A hub as small as tests allow: EST for one code and one device, objects, news.
pub(crate) struct Hub {
    pub(crate) site: Site,
    pub(crate) knowledge: Arc<KnowledgeBase>,
    pub(crate) identity: IdentityStore,
    pub(crate) code: Code,
    /// How many requests are still answered with 202.
    pub(crate) undecided: AtomicU64,
    /// How many have asked for a first credential, whatever the code.
    pub(crate) asked: AtomicU64,
    /// The keys for which certificates were issued.
    pub(crate) issued: Mutex<Vec<Vec<u8>>>,
    /// The key (PKCS#8) and the certificate by which it issues instead of the site's.
    pub(crate) stolen: Mutex<Option<(Vec<u8>, CertificateDer<'static>)>>,
    /// The credentials that its store has lost.
    pub(crate) forgotten: Mutex<Vec<CredentialId>>,
    /// The status lists that nodes have reminded it of.
    pub(crate) reminded: Mutex<Vec<Bytes>>,
}

impl Hub {
    pub(crate) fn new(site: Site) -> Arc<Self> {
        let knowledge = site.knowledge();
        let identity = site.store("hub", &[Role::Hub]);
        let code = Code::new(&site.fingerprint());
        let (undecided, asked) = (AtomicU64::new(0), AtomicU64::new(0));
        let (issued, stolen, forgotten) = (Mutex::default(), Mutex::default(), Mutex::default());
        let reminded = Mutex::default();
        Arc::new(Self { site, knowledge, identity, code, undecided, asked, issued, stolen, forgotten, reminded })
    }

    pub(crate) async fn start(self: &Arc<Self>) -> Running {
        self.start_on(TcpListener::bind("127.0.0.1:0").await.expect("bind"))
    }

    pub(crate) fn start_on(self: &Arc<Self>, listener: TcpListener) -> Running {
        let router = Router::new()
            .route("/.well-known/est/cacerts", get(cacerts))
            .route("/.well-known/est/simpleenroll", post(enroll))
            .route("/.well-known/est/simplereenroll", post(reenroll))
            .route("/v1/objects/{kind}", get(object).post(remind))
            .route("/v1/news", get(news))
            .with_state(self.clone());
        let tls = acceptor(&self.identity, &self.knowledge, ClientAuth::Optional);
        start_on(listener, Some(tls), Limits::default(), router)
    }

    /// Issues for the key in a request, as `ct-1`.
    fn issue(&self, body: &[u8]) -> Response {
        let der = STANDARD.decode(body).expect("base64");
        let request = Request::from_der(&der).expect("a request");
        request.verify(&AwsLc).expect("proof of possession");
        if self.undecided.load(Ordering::SeqCst) > 0 {
            self.undecided.fetch_sub(1, Ordering::SeqCst);
            return (StatusCode::ACCEPTED, [(header::RETRY_AFTER, "1")], "not yet").into_response();
        }
        self.issued.lock().expect("lock").push(request.spki().to_vec());
        let key = medlock_node::provider::SigningKey::generate();
        let mut certificate = CertificateBuilder::device(
            &self.site.name,
            "ct-1",
            &key,
            Roles::of(&[Role::Modality]),
            self.site.present(),
        );
        certificate.spki = request.spki().to_vec();
        match &*self.stolen.lock().expect("lock") {
            None => pkcs7(&[&self.site.sign(&certificate)]),
            Some((key, by)) => {
                let key = medlock_node::provider::SigningKey::from_pkcs8(key).expect("a key");
                let issuer = Certificate::from_der(by).expect("a certificate");
                pkcs7(&[&certificate.sign(issuer.subject().der(), &key), by])
            }
        }
    }
}

fn pkcs7(certificates: &[&[u8]]) -> Response {
    ([(header::CONTENT_TYPE, "application/pkcs7-mime")], STANDARD.encode(certs_only(certificates))).into_response()
}

async fn cacerts(State(hub): State<Arc<Hub>>) -> Response {
    pkcs7(&[&hub.site.issuing, &hub.site.root])
}

async fn enroll(State(hub): State<Arc<Hub>>, headers: HeaderMap, body: Bytes) -> Response {
    hub.asked.fetch_add(1, Ordering::SeqCst);
    let wanted = STANDARD.encode(format!("{}:{}", hub.code.user(), hub.code.password().as_str()));
    if headers.get(header::AUTHORIZATION).is_none_or(|value| value != &format!("Basic {wanted}")) {
        return (StatusCode::UNAUTHORIZED, "the enrolment code is not known").into_response();
    }
    hub.issue(&body)
}

async fn reenroll(
    State(hub): State<Arc<Hub>>,
    axum::Extension(peer): axum::Extension<PeerInfo>,
    body: Bytes,
) -> Response {
    let Some(who) = peer.identified else { return StatusCode::FORBIDDEN.into_response() };
    if !hub.knowledge.judge(&who, medlock_trust::Operation::Renew).is_allowed() {
        return StatusCode::FORBIDDEN.into_response();
    }
    if hub.forgotten.lock().expect("lock").contains(&who.credential()) {
        return (StatusCode::FORBIDDEN, [(REFUSAL_CODE, NEEDS_CODE)], "not known here").into_response();
    }
    let der = STANDARD.decode(&body).expect("base64");
    let request = Request::from_der(&der).expect("a request");
    let shown = Certificate::from_der(&peer.chain[0]).expect("a certificate");
    assert_eq!(request.subject().der(), shown.subject().der(), "RFC 7030 section 4.2.2");
    assert_ne!(request.spki(), shown.spki(), "a new key");
    hub.issue(&body)
}

async fn object(State(hub): State<Arc<Hub>>, Path(kind): Path<String>) -> Response {
    let object = Kind::from_name(&kind).and_then(|kind| hub.knowledge.object(kind));
    object.map_or_else(|| StatusCode::NOT_FOUND.into_response(), IntoResponse::into_response)
}

async fn remind(State(hub): State<Arc<Hub>>, body: Bytes) -> StatusCode {
    hub.reminded.lock().expect("lock").push(body);
    StatusCode::NO_CONTENT
}

async fn news(State(hub): State<Arc<Hub>>, axum::Extension(peer): axum::Extension<PeerInfo>) -> Response {
    if peer.identified.is_none() {
        return StatusCode::FORBIDDEN.into_response();
    }
    let changes = hub.knowledge.changes();
    let stream = futures_util::stream::unfold((hub, changes, true), |(hub, mut changes, first)| async move {
        if !first {
            changes.changed().await.ok()?;
        }
        let all: Vec<u8> = Kind::ALL
            .into_iter()
            .filter_map(|kind| {
                let data = STANDARD.encode(hub.knowledge.object(kind)?);
                let id = hub.knowledge.version(kind)?.to_string();
                Some(Event { event: kind.name().to_owned(), id, data }.to_bytes())
            })
            .flatten()
            .collect();
        Some((Ok::<_, std::convert::Infallible>(Bytes::from(all)), (hub, changes, false)))
    });
    ([(header::CONTENT_TYPE, "text/event-stream")], Body::from_stream(stream)).into_response()
}
