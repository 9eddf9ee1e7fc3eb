//! The CoAP listener and client, over real sockets on loopback.

use medlock_node::accept::{Meter, Rates};
use medlock_node::coap::{
    Caller, Client, Code, Handshake, Limits, Listener, Method, Own, Peer, Peers, Reply, Request, Resources, Response,
    Show, Suite, content_format, objects, option,
};
use medlock_node::identity::Identity;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::provider::SigningKey;
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stopper};
use medlock_proto::oscore::{Parameters, Replay};
use medlock_testkit::{Site, Status};
use medlock_trust::status::{State, Subject};
use medlock_trust::{Identified, Operation, Role};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// A site with a listener, as a hub has it.
pub(crate) struct Hub {
    pub(crate) site: Site,
    pub(crate) knowledge: Arc<KnowledgeBase>,
    pub(crate) sessions: Arc<LiveSessions>,
    pub(crate) address: SocketAddr,
    pub(crate) reading: watch::Sender<Response>,
    pub(crate) posted: Arc<AtomicUsize>,
    pub(crate) counts: watch::Receiver<medlock_node::coap::Counts>,
    _stoppers: [Stopper; 2],
}

fn text(payload: impl Into<bytes::Bytes>) -> Response {
    Response::content(content_format::TEXT, payload)
}

/// `/who` says who asks; `/echo` gives back what was posted; `/reading` is observable; `/long` is long; `/open` answers
/// anybody; `/slow` takes two seconds.
fn resources(
    knowledge: &Arc<KnowledgeBase>,
    reading: watch::Receiver<Response>,
    posted: Arc<AtomicUsize>,
) -> Resources {
    let (knowledge, objects) = (knowledge.clone(), knowledge.clone());
    Resources::new()
        .protected("/who", move |peer: Arc<Peer>, _: Request| {
            let knowledge = knowledge.clone();
            async move {
                if !knowledge.judge(&peer.identified, Operation::Store).is_allowed() {
                    return Response::new(Code::FORBIDDEN).into();
                }
                text(peer.identified.device_name().to_string()).into()
            }
        })
        .protected("/echo", move |_: Arc<Peer>, request: Request| {
            posted.fetch_add(1, Ordering::SeqCst);
            async move { Reply::from(Response::new(Code::CHANGED).with_payload(content_format::BYTES, request.payload)) }
        })
        .protected("/reading", move |_: Arc<Peer>, _: Request| {
            let reading = reading.clone();
            async move { Reply::Observed(reading) }
        })
        .protected("/long", |_: Arc<Peer>, _: Request| async { Reply::from(text(vec![b'x'; 5_000])) })
        .protected("/slow", |_: Arc<Peer>, _: Request| async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            Reply::from(text("at last"))
        })
        .open(objects::PATH, objects::Objects::new(objects))
        .open("/open", |caller: Caller, _: Request| async move {
            Reply::from(text(if caller.peer.is_some() { "somebody" } else { "anybody" }))
        })
}

impl Hub {
    pub(crate) async fn start() -> Self {
        Self::with(Limits::default(), |_, peers, own| (peers, own)).await
    }

    pub(crate) async fn with(limits: Limits, change: impl FnOnce(&Site, Peers, Own) -> (Peers, Own)) -> Self {
        Self::build(limits, change, |listener, _| listener).await
    }

    /// With one context that was agreed on beforehand, with the device `ct-1`.
    pub(crate) async fn shared(parameters: &Parameters<'_>) -> Self {
        let add = |mut listener: Listener, who| {
            listener.danger_add_context(parameters, Replay::NoneYet, who).expect("derived");
            listener
        };
        Self::build(Limits::default(), |_, peers, own| (peers, own), add).await
    }

    async fn build(
        limits: Limits,
        change: impl FnOnce(&Site, Peers, Own) -> (Peers, Own),
        add: impl FnOnce(Listener, Identified) -> Listener,
    ) -> Self {
        let site = Site::new("S");
        let knowledge = site.knowledge();
        let own = Own::of(&site.store("hub", &[Role::Hub]));
        let (peers, own) = change(&site, Peers::new(knowledge.clone()), own);
        let sessions = LiveSessions::new(knowledge.clone());
        let (watching, stop) = stop::channel();
        tokio::spawn(sessions.clone().watch(stop));
        let (reading, read) = watch::channel(text("0"));
        let posted = Arc::new(AtomicUsize::new(0));
        let resources = resources(&knowledge, read, posted.clone());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener =
            Listener::bind(any, own, Arc::new(peers), sessions.clone(), resources, limits).await.expect("bound");
        let listener = add(listener, identified(&site, &knowledge, "ct-1"));
        let (address, counts) = (listener.local_addr().expect("address"), listener.counts());
        let (stopper, stop) = stop::channel();
        tokio::spawn(listener.serve(stop));
        Self { site, knowledge, sessions, address, reading, posted, counts, _stoppers: [watching, stopper] }
    }

    pub(crate) fn device(&self, name: &str) -> Identity {
        self.site.identity(name, &[Role::Modality], self.site.present())
    }

    pub(crate) fn peers(&self) -> Arc<Peers> {
        Arc::new(Peers::new(self.knowledge.clone()))
    }

    pub(crate) async fn client(&self, name: &str) -> Client {
        self.connect(&self.device(name), &Handshake::default()).await.expect("connected")
    }

    pub(crate) async fn connect(
        &self,
        device: &Identity,
        handshake: &Handshake,
    ) -> Result<Client, medlock_node::Error> {
        Client::connect(self.address, &own(device), &self.peers(), handshake).await
    }
}

pub(crate) fn own(device: &Identity) -> Own {
    let chain = device.chain().iter().map(|one| bytes::Bytes::copy_from_slice(one)).collect();
    Own::certificates(device.key().clone(), chain)
}

pub(crate) fn identified(site: &Site, knowledge: &KnowledgeBase, name: &str) -> Identified {
    knowledge.identify(site.identity(name, &[Role::Modality], site.present()).chain()).expect("identified")
}

/// Shows REQ-COAP-50.
#[tokio::test]
async fn every_method_and_suite_ends_in_a_session_of_the_right_device() {
    let hub = Hub::start().await;
    for method in [Method::SignSign, Method::SignStatic, Method::StaticSign, Method::StaticStatic] {
        for suite in [Suite::Suite2, Suite::Suite3] {
            for combined in [false, true] {
                let handshake = Handshake { method, suites: vec![suite], combined, ..Handshake::default() };
                let name = format!("ct-{method:?}-{suite:?}-{combined}");
                let device = hub.device(&name);
                let chain: Vec<_> =
                    device.chain().iter().take(1).map(|one| bytes::Bytes::copy_from_slice(one)).collect();
                let own = Own::certificates(device.key().clone(), chain).showing(Show::Certificate);
                let client = Client::connect(hub.address, &own, &hub.peers(), &handshake).await.expect("connected");
                assert_eq!(client.peer().expect("shown").device_name().to_string(), "hub");
                let answer = client.request(Request::get("/who")).await.expect("answered");
                assert_eq!((answer.code, &answer.payload[..]), (Code::CONTENT, name.as_bytes()), "{handshake:?}");
                let answer = client.request(Request::get("/nowhere")).await.expect("answered");
                assert_eq!(answer.code, Code::NOT_FOUND);
            }
        }
    }
}

/// Shows REQ-COAP-51.
#[tokio::test]
async fn suites_are_negotiated_and_a_credential_met_before_is_known_by_its_hash() {
    let hub = Hub::start().await;
    let device = hub.device("ct-1");
    let handshake = Handshake { suites: vec![Suite::Suite0, Suite::Suite3, Suite::Suite2], ..Handshake::default() };
    hub.connect(&device, &handshake).await.expect("connected with the second suite");
    let by_hash = own(&device).showing(Show::Thumbprint);
    let client = Client::connect(hub.address, &by_hash, &hub.peers(), &Handshake::default()).await.expect("known");
    assert_eq!(client.request(Request::get("/who")).await.expect("answered").payload, "ct-1");
    let stranger = own(&hub.device("ct-2")).showing(Show::Thumbprint);
    let refused = Client::connect(hub.address, &stranger, &hub.peers(), &Handshake::default()).await;
    assert!(refused.expect_err("unknown").to_string().contains("does not know our credential"));
}

/// Shows REQ-COAP-52.
#[tokio::test]
async fn nobody_gets_a_session_who_is_not_believed_or_may_do_nothing() {
    let hub = Hub::start().await;
    let foreign = Site::new("T");
    let device = foreign.identity("ct-1", &[Role::Modality], foreign.present());
    assert!(hub.connect(&device, &Handshake::default()).await.is_err(), "another site's device");
    let device = hub.device("ct-1");
    let stolen = Own::certificates(
        Arc::new(SigningKey::generate()),
        device.chain().iter().map(|one| bytes::Bytes::copy_from_slice(one)).collect(),
    );
    for method in [Method::SignSign, Method::StaticStatic] {
        let handshake = Handshake { method, ..Handshake::default() };
        let refused = Client::connect(hub.address, &stolen, &hub.peers(), &handshake).await;
        assert!(refused.is_err(), "a certificate without its key");
    }
    let who = hub.knowledge.identify(device.chain()).expect("identified");
    let status = Status { subject: Subject::Device(who.device()), state: State::Compromised };
    hub.knowledge.accept(Kind::Status, &hub.site.status(2, &[status])).expect("news");
    assert!(hub.connect(&device, &Handshake::default()).await.is_err(), "a compromised device");
    assert_eq!(hub.sessions.count(), 0);
}

/// Shows REQ-COAP-53.
#[tokio::test]
async fn a_compromised_device_loses_its_contexts_and_no_other_does() {
    let hub = Hub::start().await;
    let (thief, good) = (hub.device("ct-1"), hub.client("ct-2").await);
    let stolen = hub.connect(&thief, &Handshake::default()).await.expect("connected");
    let (_, observation) = stolen.observe(Request::get("/reading")).await.expect("answered");
    let mut observation = observation.expect("observed");
    assert_eq!(hub.sessions.count(), 2);
    let who = hub.knowledge.identify(thief.chain()).expect("identified");
    let status = Status { subject: Subject::Device(who.device()), state: State::Compromised };
    hub.knowledge.accept(Kind::Status, &hub.site.status(2, &[status])).expect("news");
    let mut counts = hub.counts.clone();
    let gone = counts.wait_for(|counts| counts.contexts == 1 && counts.observations == 0);
    // Within a second of virtual time: see coap_faults. Here the machine may be busy.
    timeout(Duration::from_secs(30), gone).await.expect("told").expect("running");
    let refused = stolen.request(Request::get("/who")).await;
    assert!(refused.expect_err("no context").to_string().contains("without protection"));
    hub.reading.send_replace(text("1"));
    assert!(timeout(Duration::from_millis(300), observation.next()).await.is_err(), "nothing more is told");
    assert_eq!(good.request(Request::get("/who")).await.expect("answered").payload, "ct-2");
}

/// Shows REQ-COAP-54.
#[tokio::test]
async fn long_bodies_travel_in_blocks_and_slow_answers_come_by_themselves() {
    let hub = Hub::start().await;
    let client = hub.client("ct-1").await;
    let body: Vec<u8> = (0..10_000_u32).map(|index| index as u8).collect();
    let answer = client.request(Request::post("/echo", content_format::BYTES, body.clone())).await.expect("answered");
    assert_eq!((answer.code, answer.payload.to_vec()), (Code::CHANGED, body));
    assert_eq!(client.request(Request::get("/long")).await.expect("answered").payload.len(), 5_000);
    let large = vec![0; Limits::default().body_bytes + 1];
    let answer = client.request(Request::post("/echo", content_format::BYTES, large)).await.expect("answered");
    assert_eq!(answer.code, Code::REQUEST_ENTITY_TOO_LARGE);
    assert_eq!(client.request(Request::get("/slow")).await.expect("answered").payload, "at last");
    assert_eq!(hub.posted.load(Ordering::SeqCst), 1);
}

/// Shows REQ-COAP-55.
#[tokio::test]
async fn observers_are_told_the_newest_state_and_dropping_the_observation_ends_it() {
    let hub = Hub::start().await;
    let client = hub.client("ct-1").await;
    let (first, observation) = client.observe(Request::get("/reading")).await.expect("answered");
    assert_eq!(first.payload, "0");
    let mut observation = observation.expect("observed");
    for value in ["1", "2", "3"] {
        hub.reading.send_replace(text(value));
        let told = timeout(Duration::from_secs(5), observation.next()).await.expect("told").expect("open");
        assert_eq!(told.expect("opened").payload, value);
    }
    hub.reading.send_replace(text(vec![b'y'; 3_000]));
    let told = observation.next().await.expect("open").expect("opened");
    assert_eq!(told.payload.len(), 3_000, "the rest of a long state is fetched");
    drop(observation);
    hub.reading.send_replace(text("4"));
    let mut counts = hub.counts.clone();
    let none = counts.wait_for(|counts| counts.observations == 0);
    timeout(Duration::from_secs(5), none).await.expect("ended").expect("running");
    assert_eq!(client.request(Request::get("/who")).await.expect("answered").payload, "ct-1");
}

#[tokio::test]
async fn strangers_reach_open_resources_only() {
    let hub = Hub::start().await;
    let stranger = Client::plain(hub.address).await.expect("socket");
    assert_eq!(stranger.request(Request::get("/open")).await.expect("answered").payload, "anybody");
    for path in ["/who", "/nowhere", "/reading"] {
        assert_eq!(stranger.request(Request::get(path)).await.expect("answered").code, Code::UNAUTHORIZED);
    }
    let client = hub.client("ct-1").await;
    assert_eq!(client.request(Request::get("/open")).await.expect("answered").payload, "somebody");
}

/// Shows REQ-COAP-77: a device has one rate over all its sessions, whoever shows nothing one of its address, and what is
/// answered is counted.
#[tokio::test]
async fn one_request_too_many_of_a_client_is_answered_when_to_come_back() {
    let (meter, rates) = (Meter::default(), Arc::new(Rates::per_second(NonZeroU32::new(1))));
    let terms = (rates.clone(), meter.clone());
    let same = |_: &Site, peers, own| (peers, own);
    let hub = Hub::build(Limits::default(), same, |listener, _| listener.on_terms("coap", terms.0, terms.1)).await;
    let loud = hub.device("ct-1");
    let mut clients = Vec::new();
    for _ in 0..2 {
        clients.push(hub.connect(&loud, &Handshake::default()).await.expect("connected"));
    }
    let mut answers = Vec::new();
    for round in 0..14 {
        answers.push(clients[round % 2].request(Request::get("/who")).await.expect("answered"));
    }
    let served = answers.iter().take_while(|answer| answer.code == Code::CONTENT).count();
    assert!((10..13).contains(&served), "{answers:?}");
    let refused = &answers[served];
    assert_eq!((refused.code, refused.content_format()), (Code::TOO_MANY_REQUESTS, None));
    assert!(refused.values(option::MAX_AGE).all(|value| value[..] == [1] || value[..] == [2]));
    assert_eq!(refused.values(option::MAX_AGE).count(), 1, "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.payload).contains("too many requests"));
    // Another device at the same address, and whoever shows nothing there, have their own.
    let other = hub.client("ct-2").await;
    assert_eq!(other.request(Request::get("/who")).await.expect("answered").code, Code::CONTENT);
    let stranger = Client::plain(hub.address).await.expect("socket");
    let mut codes = Vec::new();
    for _ in 0..14 {
        codes.push(stranger.request(Request::get("/open")).await.expect("answered").code);
    }
    assert_eq!((codes[0], codes.last()), (Code::CONTENT, Some(&Code::TOO_MANY_REQUESTS)), "{codes:?}");
    rates.change(None);
    assert_eq!(clients[0].request(Request::get("/nowhere")).await.expect("answered").code, Code::NOT_FOUND);

    let mut registry = prometheus_client::registry::Registry::default();
    meter.register(&mut registry);
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &registry).expect("text");
    assert!(
        text.contains(&format!("requests_total{{door=\"coap\",route=\"/who\",status=\"205\"}} {}", served + 1)),
        "{text}"
    );
    assert!(text.contains("requests_total{door=\"coap\",route=\"none\",status=\"429\"}"), "{text}");
    assert!(text.contains("requests_total{door=\"coap\",route=\"none\",status=\"404\"} 1"), "{text}");
}
