//! EST over CoAP and OSCORE, over real sockets.

use crate::fixture::Site;
use bytes::Bytes;
use medlock_authority::admin::{Reason, Request as Ask};
use medlock_authority::coap_resources;
use medlock_node::clock::Clock;
use medlock_node::coap::{
    Client, Code, Handshake, Limits, Listener, Method, Own, Peers, Request, content_format, option,
};
use medlock_node::enrol::certificate_request;
use medlock_node::provider::SigningKey;
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stopper};
use medlock_trust::c509;
use medlock_trust::crypto::SignatureAlgorithm;
use medlock_trust::x509::Certificate;
use std::net::SocketAddr;
use std::sync::Arc;

pub(crate) struct Running {
    pub(crate) site: Site,
    pub(crate) address: SocketAddr,
    _stopper: Stopper,
}

impl Running {
    async fn start() -> Self {
        Self::of(Site::with_clock(Clock::system())).await
    }

    pub(crate) async fn of(site: Site) -> Self {
        let knowledge = site.authority.knowledge();
        let own = Own::of(site.authority.hub_identity()).in_c509();
        let (peers, sessions) = (Arc::new(Peers::new(knowledge.clone())), LiveSessions::new(knowledge.clone()));
        let resources = coap_resources(site.authority.clone());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = Listener::bind(any, own, peers, sessions, resources, Limits::default()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stopper, stop) = stop::channel();
        tokio::spawn(listener.serve(stop));
        Self { site, address, _stopper: stopper }
    }

    pub(crate) async fn connect(&self, key: &Arc<SigningKey>, certificate: &[u8], method: Method) -> Client {
        let own = Own::certificates(key.clone(), vec![Bytes::copy_from_slice(certificate)]);
        let peers = Arc::new(Peers::new(self.site.authority.knowledge().clone()));
        let handshake = Handshake { method, ..Handshake::default() };
        Client::connect(self.address, &own, &peers, &handshake).await.unwrap()
    }
}

/// A request as a small device makes it: C509 type 2.
fn small_request(key: &SigningKey) -> Vec<u8> {
    small_request_with(key, None)
}

fn small_request_with(key: &SigningKey, challenge_password: Option<&str>) -> Vec<u8> {
    let template = c509::RequestTemplate {
        algorithm: SignatureAlgorithm::EcdsaSha256,
        subject: c509::Subject::Attributes(&[]),
        key: key.public_key(),
        extensions: &[],
        challenge_password,
    };
    let mut space = [0; 512];
    template.sign(&mut space, |message| Ok::<_, std::convert::Infallible>(key.sign_cose(&[message]))).unwrap().to_vec()
}

/// Shows REQ-COAP-70, REQ-COAP-81.
#[tokio::test]
async fn a_small_device_renews_its_credential_over_coap() {
    let hub = Running::start().await;
    let key = Arc::new(SigningKey::generate());
    let first = hub.site.enrol("ct-1", &key);
    let client = hub.connect(&key, &first, Method::SignSign).await;

    let all = client.request(Request::get("/.well-known/est/crts")).await.unwrap();
    assert_eq!((all.code, all.content_format()), (Code::CONTENT, Some(content_format::PKCS7_CERTIFICATES)));
    let root = Request::get("/.well-known/est/crts").with_uint(option::ACCEPT, content_format::PKIX_CERTIFICATE.into());
    assert_eq!(client.request(root).await.unwrap().payload, hub.site.authority.root().der[..]);

    let next = Arc::new(SigningKey::generate());
    let sren = Request::post("/.well-known/est/sren", content_format::C509_REQUEST, small_request(&next));
    let renewed = client.request(sren.clone()).await.unwrap();
    assert_eq!(
        (renewed.code, renewed.content_format()),
        (Code::CHANGED, Some(content_format::C509_CERTIFICATE)),
        "{renewed:?}"
    );
    let certificate = Certificate::read(&renewed.payload).unwrap();
    assert_eq!(certificate.key_id(&medlock_node::provider::AwsLc), next.key_id());
    assert_eq!(client.request(sren).await.unwrap().payload, renewed.payload, "a lost answer is fetched again");

    // The native C509 credential opens sessions with static Diffie-Hellman too.
    let client = hub.connect(&next, &renewed.payload, Method::StaticStatic).await;
    let last = SigningKey::generate();
    let request = certificate_request(&last, None);
    let sren = Request::post("/.well-known/est/sren", content_format::PKCS10, request.clone());
    let renewed = client.request(sren).await.unwrap();
    assert_eq!((renewed.code, renewed.content_format()), (Code::CHANGED, Some(content_format::PKIX_CERTIFICATE)));

    let sen = Request::post("/.well-known/est/sen", content_format::PKCS10, request.clone());
    assert_eq!(client.request(sen).await.unwrap().code, Code::FORBIDDEN, "an operational credential renews");
    let wrong = Request::post("/.well-known/est/sren", content_format::CBOR, request);
    assert_eq!(client.request(wrong).await.unwrap().code, Code::UNSUPPORTED_CONTENT_FORMAT);
    let stranger = Client::plain(hub.address).await.unwrap();
    for path in ["/.well-known/est/crts", "/m/tickets", "/there/is/none"] {
        let told = stranger.request(Request::get(path)).await.unwrap();
        assert_eq!(told.code, Code::UNAUTHORIZED);
        let text = std::str::from_utf8(&told.payload).unwrap();
        assert!(text.contains("/.well-known/edhoc") && text.contains("OSCORE"), "what to do, by REQ-COAP-81: {text}");
    }
}

/// Shows REQ-KEYS-33: after the theft of an issuing key a session is for those whom the hub has issued a credential itself.
#[tokio::test]
async fn a_forged_or_revoked_credential_has_no_session_after_a_theft() {
    let hub = Running::start().await;
    let keys = [1, 2, 3].map(|_| Arc::new(SigningKey::generate()));
    let thief = crate::rotation::thief(&hub.site);
    let shown =
        [hub.site.enrol("good", &keys[0]), hub.site.enrol("revoked", &keys[1]), thief.enrol("forged", &keys[2])];
    let issuing = hub.site.authority.issuing().der.clone();
    hub.site.ask(Ask::Revoke { device: "revoked".into(), reason: Reason::Stolen, why: "test".into() });
    hub.site.ask(Ask::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() });
    let mut opened = Vec::new();
    for (key, certificate) in keys.iter().zip(&shown) {
        let chain = vec![Bytes::copy_from_slice(certificate), Bytes::copy_from_slice(&issuing)];
        let peers = Arc::new(Peers::new(hub.site.authority.knowledge().clone()));
        let own = Own::certificates(key.clone(), chain);
        let client = Client::connect(hub.address, &own, &peers, &Handshake::default()).await;
        opened.push(client.is_ok());
        let Ok(client) = client else { continue };
        let body = small_request(&SigningKey::generate());
        let sren = Request::post("/.well-known/est/sren", content_format::C509_REQUEST, body);
        assert_eq!(client.request(sren).await.unwrap().code, Code::CHANGED);
    }
    assert_eq!(opened, [true, false, false]);
}

/// Shows REQ-DEV-109.
#[tokio::test]
async fn a_request_that_was_made_for_another_session_is_refused() {
    let hub = Running::start().await;
    let key = Arc::new(SigningKey::generate());
    let first = hub.site.enrol("ct-1", &key);
    let client = hub.connect(&key, &first, Method::SignSign).await;
    let next = SigningKey::generate();
    let other_session = data_encoding::BASE64.encode(&[7; 32]);
    let code = hub.site.code("ct-1").to_string();
    for (path, password) in [
        ("sren", other_session.clone()),
        ("sen", other_session.clone()),
        ("sen", format!("{code} {other_session}")),
        ("sren", code),
        ("sen", "no code at all".to_owned()),
    ] {
        let body = small_request_with(&next, Some(&password));
        let request = Request::post(&format!("/.well-known/est/{path}"), content_format::C509_REQUEST, body);
        let answer = client.request(request).await.unwrap();
        assert_eq!(answer.code, Code::BAD_REQUEST, "{path} {password}: {answer:?}");
    }
    assert!(hub.site.pending().is_empty());
    let sren = Request::post("/.well-known/est/sren", content_format::C509_REQUEST, small_request(&next));
    assert_eq!(client.request(sren).await.unwrap().code, Code::CHANGED, "the binding may be left out");
}

/// Shows REQ-STAT-08: who has a session gets tickets, at most four at once; strangers do not make the signer work.
#[tokio::test]
async fn a_small_device_fetches_tickets_over_coap() {
    use medlock_authority::est::coap::TICKETS;
    use medlock_authority::tickets;
    let hub = Running::start().await;
    let key = Arc::new(SigningKey::generate());
    let own = hub.site.enrol("ct-1", &key);
    let other = crate::fixture::credential(&hub.site.enrol("ct-2", &SigningKey::generate()));
    hub.site.ask(medlock_authority::admin::Request::Suspend { device: "ct-2".into(), why: String::new() });
    let credentials = vec![crate::fixture::credential(&own), other];
    let wanted = tickets::Request { nonce: vec![7; 16], credentials };
    let ask = |wanted: &tickets::Request| Request::post(TICKETS, content_format::CBOR, wanted.encode());
    let client = hub.connect(&key, &own, Method::SignSign).await;
    let answer = client.request(ask(&wanted)).await.unwrap();
    assert_eq!((answer.code, answer.content_format()), (Code::CONTENT, Some(content_format::CBOR)), "{answer:?}");
    let said = crate::tickets::read(&hub.site, &answer.payload, &wanted);
    assert_eq!(said, [Some(None), Some(Some(medlock_trust::status::State::Suspended))]);
    let many = tickets::Request { credentials: vec![other; 5], ..wanted.clone() };
    assert_eq!(client.request(ask(&many)).await.unwrap().code, Code::BAD_REQUEST);
    let stranger = Client::plain(hub.address).await.unwrap();
    assert_eq!(stranger.request(ask(&wanted)).await.unwrap().code, Code::UNAUTHORIZED);
}

/// Shows REQ-STAT-14: one key and its copy renew the same credential over CoAP: both are suspended, with an alarm.
#[tokio::test]
async fn two_children_of_one_credential_suspend_both_over_coap() {
    let hub = Running::start().await;
    let key = Arc::new(SigningKey::generate());
    let first = hub.site.enrol("ct-1", &key);
    let client = hub.connect(&key, &first, Method::SignSign).await;
    let copy = hub.connect(&key, &first, Method::SignSign).await;
    let sren =
        |key: &SigningKey| Request::post("/.well-known/est/sren", content_format::C509_REQUEST, small_request(key));
    assert_eq!(client.request(sren(&SigningKey::generate())).await.unwrap().code, Code::CHANGED);
    assert_eq!(copy.request(sren(&SigningKey::generate())).await.unwrap().code, Code::FORBIDDEN);
    assert_eq!(hub.site.state("ct-1"), ("suspended".into(), vec!["suspended".into(), "suspended".into()]));
    assert_eq!(hub.site.alarms(), ["credential-cloned"]);
}
