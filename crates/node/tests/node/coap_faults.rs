//! What networks and strangers do to the CoAP listener: loss, repetition, disorder, floods.

use crate::coap::{Hub, own};
use medlock_node::coap::{
    Client, Code, Counts, Engine, Handshake, Limits, Output, Own, Peers, Request, Response, Transmission,
    content_format,
};
use medlock_node::identity::Identity;
use medlock_node::knowledge::Kind;
use medlock_node::provider::{AwsLc, SigningKey, random};
use medlock_node::sessions::LiveSessions;
use medlock_proto::coap::{Message, MessageId, Token, Type, Writer, option};
use medlock_proto::crypto::{Curve, Secret};
use medlock_proto::edhoc::initiator::{Offer, start};
use medlock_proto::edhoc::{ConnectionId, Ephemeral, Method, Suite, coap};
use medlock_proto::oscore;
use medlock_testkit::{CertificateBuilder, Site, Status};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::status::{State, Subject};
use medlock_trust::x509::ids;
use medlock_trust::{DeviceName, Identified, Role, Roles};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep, timeout};

/// Enough repetitions that a fifth lost each way ends no exchange, whatever the run.
const PATIENT: Transmission = Transmission { ack_timeout_ms: 2_000, max_retransmit: 12, patience_ms: 600_000 };

/// A relay before `server` that loses a fifth of the datagrams each way, repeats a tenth, and delays each up to 100 ms.
async fn lossy(server: SocketAddr, seed: u64) -> SocketAddr {
    let front = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("bound"));
    let address = front.local_addr().expect("address");
    let back = Arc::new(UdpSocket::bind("127.0.0.1:0").await.expect("bound"));
    back.connect(server).await.expect("connected");
    tokio::spawn(async move {
        let (mut state, mut client) = (seed, None);
        let mut chance = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 100
        };
        let (mut up, mut down) = ([0; 2_048], [0; 2_048]);
        loop {
            let (bytes, upward) = tokio::select! {
                came = front.recv_from(&mut up) => {
                    let (length, from) = came.expect("received");
                    client = Some(from);
                    (up[..length].to_vec(), true)
                }
                came = back.recv(&mut down) => (down[..came.expect("received")].to_vec(), false),
            };
            let copies = match chance() {
                0..20 => 0,
                20..30 => 2,
                _ => 1,
            };
            for _ in 0..copies {
                let (front, back, bytes, delay) = (front.clone(), back.clone(), bytes.clone(), chance());
                tokio::spawn(async move {
                    sleep(Duration::from_millis(delay)).await;
                    let sent = match (upward, client) {
                        (true, _) => back.send(&bytes).await,
                        (false, Some(client)) => front.send_to(&bytes, client).await,
                        (false, None) => return,
                    };
                    sent.expect("sent");
                });
            }
        }
    });
    address
}

/// Shows REQ-COAP-56.
#[tokio::test(start_paused = true)]
async fn loss_repetition_and_disorder_change_no_outcome() {
    let limits = Limits { transmission: PATIENT, ..Limits::default() };
    let hub = Hub::with(limits, |_, peers, own| (peers, own)).await;
    for seed in 0..6 {
        let relay = lossy(hub.address, seed).await;
        let method = if seed % 2 == 0 { Method::StaticStatic } else { Method::SignSign };
        let handshake = Handshake { method, combined: seed % 3 == 0, transmission: PATIENT, ..Handshake::default() };
        let name = format!("ct-{seed}");
        let client = Client::connect(relay, &own(&hub.device(&name)), &hub.peers(), &handshake).await;
        let client = client.expect("connected");
        assert_eq!(client.request(Request::get("/who")).await.expect("answered").payload, name);
        let (posted, body) = (hub.posted.load(Ordering::SeqCst), vec![seed as u8; 4_000]);
        for payload in [&body[..7], &body[..]] {
            let request = Request::post("/echo", content_format::BYTES, payload.to_vec());
            let answer = client.request(request).await.expect("answered");
            assert!(answer.code == Code::CHANGED && answer.payload == payload);
        }
        assert_eq!(hub.posted.load(Ordering::SeqCst), posted + 2, "each once");
        assert_eq!(client.request(Request::get("/slow")).await.expect("answered").payload, "at last");
        let (_, observation) = client.observe(Request::get("/reading")).await.expect("answered");
        let mut observation = observation.expect("observed");
        for value in 0..5 {
            hub.reading.send_replace(Response::content(content_format::TEXT, format!("{seed}.{value}")));
            sleep(Duration::from_millis(50)).await;
        }
        let last = format!("{seed}.4");
        while observation.next().await.expect("open").expect("opened").payload != last {}
    }
}

/// Shows REQ-COAP-53.
#[tokio::test(start_paused = true)]
async fn a_compromise_ends_contexts_within_a_second_of_virtual_time() {
    let hub = Hub::start().await;
    let thief = hub.device("ct-1");
    let _client = hub.connect(&thief, &Handshake::default()).await.expect("connected");
    sleep(Duration::from_secs(3_600)).await;
    let mut counts = hub.counts.clone();
    assert_eq!(counts.borrow_and_update().contexts, 1, "nothing ends by itself");
    let who = hub.knowledge.identify(thief.chain()).expect("identified");
    let status = Status { subject: Subject::Device(who.device()), state: State::Compromised };
    let start = Instant::now();
    hub.knowledge.accept(Kind::Status, &hub.site.status(2, &[status])).expect("news");
    let gone = counts.wait_for(|counts| counts.contexts == 0);
    timeout(Duration::from_secs(1), gone).await.expect("within a second").expect("running");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
}

/// Message 1 in a request, as anybody can make it; with this Echo value.
fn message_1(id: u16, stamp: Option<&[u8]>) -> Vec<u8> {
    let key = Ephemeral::new(Curve::P256, Secret::from_bytes([3; 32]), &AwsLc).expect("a key");
    let connection = ConnectionId::new(&[5]).expect("short");
    let suites = [Suite::Suite2];
    let offer = Offer { method: Method::StaticStatic, suites: &suites, selected: Suite::Suite2, connection, ead: &[] };
    let mut payload = [0; 128];
    let front = coap::write_start(&mut payload).expect("room");
    let (_, length) = start(&offer, key, &mut payload[front..], &AwsLc).expect("made");
    let mut buffer = [0; 256];
    let token = Token::new(&id.to_be_bytes()).expect("short");
    let mut writer = Writer::new(&mut buffer, Type::Confirmable, Code::POST, MessageId(id), token);
    writer.path(&coap::PATH).uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into());
    if let Some(stamp) = stamp {
        writer.option(option::ECHO, stamp);
    }
    writer.payload(&payload[..front + length]).finish().expect("room").to_vec()
}

fn engine(site: &Site, limits: Limits) -> Engine {
    let knowledge = site.knowledge();
    let own = Own::of(&site.store("hub", &[Role::Hub]));
    Engine::new(own, Arc::new(Peers::new(knowledge.clone())), LiveSessions::new(knowledge), limits)
}

fn stranger(number: u32) -> SocketAddr {
    (Ipv4Addr::from(0x0a00_0000 + number), 5_683).into()
}

/// The answers among `out`, and their bytes.
fn answers(out: &mut Vec<Output>) -> Vec<(SocketAddr, Vec<u8>)> {
    out.drain(..)
        .filter_map(|output| match output {
            Output::Send(to, bytes) => Some((to, bytes.to_vec())),
            Output::Call(..) | Output::Forget(_) | Output::Close(_) => None,
        })
        .collect()
}

/// Shows REQ-COAP-57.
#[test]
fn a_flood_of_strangers_costs_bounded_memory_and_bounded_answers() {
    let (site, limits) = (Site::new("S"), Limits::default());
    let mut engine = engine(&site, limits);
    let (mut out, mut received, mut sent) = (Vec::new(), 0, 0);
    for number in 0..20_000 {
        // A thousand each second.
        let now = u64::from(number);
        let datagram = message_1(number as u16, None);
        received += datagram.len();
        engine.datagram(now, stranger(number), &datagram, &mut out);
        engine.tick(now, &mut out);
        let counts = engine.counts();
        assert!(counts.addresses <= 2 * limits.addresses && counts.half_open <= limits.half_open / 4, "{counts:?}");
        sent += answers(&mut out).iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(sent <= 3 * received, "{sent} bytes for {received}");
    // Who receives at its address comes through.
    let honest = stranger(1 << 20);
    engine.datagram(20_000, honest, &message_1(1, None), &mut out);
    let asked = answers(&mut out).remove(0).1;
    let asked = Message::read(&asked).expect("a message");
    let stamp = asked.option(option::ECHO).expect("a challenge").to_vec();
    assert_eq!(asked.code(), Code::UNAUTHORIZED);
    for (from, good) in [(stranger(1 << 21), false), (honest, true)] {
        engine.datagram(20_001, from, &message_1(2, Some(&stamp)), &mut out);
        let answer = answers(&mut out).remove(0).1;
        let code = Message::read(&answer).expect("a message").code();
        assert_eq!(code == Code::CHANGED, good, "{from}: {code}");
    }
    // Everything is forgotten.
    engine.tick(20_001 + limits.half_open_ms + 1_000, &mut out);
    assert_eq!(Counts { addresses: 0, ..engine.counts() }, Counts::default());
}

/// Shows REQ-COAP-57.
#[test]
fn answers_to_strangers_are_small() {
    let site = Site::new("S");
    let mut engine = engine(&site, Limits { strangers: 0, ..Limits::default() });
    let mut out = Vec::new();
    let datagram = message_1(1, None);
    engine.datagram(0, stranger(1), &datagram, &mut out);
    let answer = answers(&mut out).remove(0).1;
    assert!(answer.len() <= datagram.len(), "a certificate waits for Echo");
    let mut buffer = [0; 64];
    let get = Writer::new(&mut buffer, Type::Confirmable, Code::GET, MessageId(2), Token::EMPTY)
        .path(&["m", "objects"])
        .finish()
        .expect("room")
        .to_vec();
    engine.datagram(0, stranger(1), &get, &mut out);
    let call = out.drain(..).find_map(|output| match output {
        Output::Call(call, ..) => Some(call),
        Output::Send(..) | Output::Forget(_) | Output::Close(_) => None,
    });
    let long = Response::content(content_format::CBOR, vec![0; 200]);
    engine.answer(0, call.expect("a call"), long, false, &mut out);
    let answer = answers(&mut out).remove(0).1;
    let answer = Message::read(&answer).expect("a message");
    assert_eq!(answer.code(), Code::UNAUTHORIZED);
    assert!(answer.option(option::ECHO).is_some() && answer.as_bytes().len() <= 3 * get.len().max(46));
}

/// Shows REQ-COAP-58.
#[test]
fn contexts_and_handshakes_are_bounded_and_garbage_changes_nothing() {
    let site = Site::new("S");
    let mut engine = engine(&site, Limits::default());
    let mut out = Vec::new();
    for round in 0..5_000_u32 {
        let noise: [u8; 64] = random();
        let mut datagram = noise[..usize::from(noise[0]) % 64].to_vec();
        if round % 2 == 0 && datagram.len() > 4 {
            // A request, most of the time with an OSCORE option.
            datagram[0] = 0x40;
            datagram[1] = 2;
            datagram[4] = 0x90 | (datagram[4] & 15);
        }
        engine.datagram(u64::from(round), stranger(7), &datagram, &mut out);
    }
    let counts = engine.counts();
    assert_eq!((counts.contexts, counts.half_open, counts.observations), (0, 0, 0));
    assert!(counts.calls <= Limits::default().calls_per_address, "{counts:?}");
}

/// Shows REQ-COAP-58.
#[tokio::test]
async fn a_device_has_few_contexts_and_its_newest_ones_live() {
    let limits = Limits { contexts: 3, contexts_per_device: 2, ..Limits::default() };
    let hub = Hub::with(limits, |_, peers, own| (peers, own)).await;
    let device = hub.device("ct-1");
    let mut clients = Vec::new();
    for _ in 0..4 {
        clients.push(hub.connect(&device, &Handshake::default()).await.expect("connected"));
    }
    let other = hub.client("ct-2").await;
    assert_eq!((hub.counts.borrow().contexts, hub.sessions.count()), (3, 3));
    let alive = async |client: &Client| client.request(Request::get("/who")).await.is_ok();
    assert_eq!((alive(&clients[3]).await, alive(&clients[2]).await, alive(&other).await), (true, true, true));
    assert_eq!((alive(&clients[0]).await, alive(&clients[1]).await), (false, false));
    // One makes room: which one was used longest ago, a machine under load decides, where a message is sent again.
    hub.client("ct-3").await;
    let left = [alive(&clients[3]).await, alive(&clients[2]).await, alive(&other).await];
    assert_eq!(left.iter().filter(|alive| **alive).count(), 2, "{left:?}");
    assert_eq!(hub.counts.borrow().contexts, 3);
}

/// Shows REQ-COAP-59.
#[tokio::test]
async fn anybody_carries_trust_objects_and_nobody_forges_them() {
    let hub = Hub::start().await;
    let carrier = Client::plain(hub.address).await.expect("socket");
    let list = carrier.request(Request::get("/m/objects")).await.expect("answered");
    let held: Vec<_> = medlock_proto::objects::Held::decode_all(&list.payload).expect("a list").collect();
    assert_eq!(held.len(), 3, "site list, status, policy");
    for (number, held) in &held {
        let request = Request::get("/m/objects").with(option::URI_QUERY, format!("o={number}"));
        let object = carrier.request(request).await.expect("answered").payload;
        assert_eq!(medlock_proto::objects::Kind::of(&object), Some(held.kind));
    }
    let post = async |object: Vec<u8>| {
        let request = Request::post("/m/objects", content_format::COSE_SIGN1, object);
        timeout(Duration::from_secs(5), carrier.request(request)).await.expect("in time").expect("answered").code
    };
    let newer = hub.site.status(7, &[]);
    assert_eq!(post(newer).await, Code::CHANGED);
    assert_eq!(hub.knowledge.version(Kind::Status), Some(7));
    assert_eq!(post(hub.site.status(6, &[])).await, Code::UNPROCESSABLE_ENTITY, "older");
    assert_eq!(post(Site::new("T").status(8, &[])).await, Code::UNPROCESSABLE_ENTITY, "of nobody we know");
    assert_eq!(post(vec![1, 2, 3]).await, Code::BAD_REQUEST);
    assert_eq!(hub.knowledge.version(Kind::Status), Some(7));
}

/// Shows REQ-COAP-71: whose address is forged is not answered in full each time one message comes again.
#[test]
fn repeating_one_message_draws_no_more_than_three_times_its_bytes() {
    let site = Site::new("S");
    let mut engine = engine(&site, Limits::default());
    let (mut out, mut received, mut sent) = (Vec::new(), 0, 0);
    for number in 0..2_000_u64 {
        let datagram = message_1(77, None);
        received += datagram.len();
        engine.datagram(number, stranger(9), &datagram, &mut out);
        sent += answers(&mut out).iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    }
    assert!(sent <= 3 * received, "{received} bytes in, {sent} out to an address nobody confirmed");
}

/// Shows REQ-COAP-71: who receives there, and lost message 2, is asked to say so and comes through.
#[test]
fn who_repeats_a_message_for_its_lost_answer_is_asked_for_echo() {
    let site = Site::new("S");
    let mut engine = engine(&site, Limits::default());
    let mut out = Vec::new();
    let mut ask = |id, stamp: Option<&[u8]>| {
        engine.datagram(0, stranger(9), &message_1(id, stamp), &mut out);
        answers(&mut out).remove(0).1
    };
    let code = |bytes: &[u8]| Message::read(bytes).expect("a message").code();
    assert_eq!(code(&ask(1, None)), Code::CHANGED);
    let asked = ask(1, None);
    assert_eq!(code(&asked), Code::UNAUTHORIZED);
    let stamp = Message::read(&asked).expect("a message").option(option::ECHO).expect("a challenge").to_vec();
    let whole = ask(2, Some(&stamp));
    assert_eq!((code(&whole), ask(2, Some(&stamp))), (Code::CHANGED, whole), "repeated in full from now on");
}

/// Shows REQ-COAP-72: neither from elsewhere nor from the address of who began it.
#[test]
fn what_nobody_authenticated_ends_no_handshake() {
    for payload in [&[0][..], &[1, 0x61, b'x'], &[0x41, 7], &[&[0x58, 40][..], &[7; 40]].concat()] {
        let site = Site::new("S");
        let mut engine = engine(&site, Limits::default());
        let mut out = Vec::new();
        for number in 1..=20 {
            engine.datagram(0, stranger(number), &message_1(1, None), &mut out);
        }
        for (round, from) in [1 << 21, 1, 2, 3].into_iter().cycle().take(40).enumerate() {
            for id in 0..48_u8 {
                let id = if id < 24 { id } else { (id - 24) | 0x20 };
                let mut buffer = [0; 128];
                let number = MessageId(1_000 + 48 * round as u16 + u16::from(id));
                let datagram = Writer::new(&mut buffer, Type::NonConfirmable, Code::POST, number, Token::EMPTY)
                    .path(&coap::PATH)
                    .uint(option::CONTENT_FORMAT, content_format::CID_EDHOC.into())
                    .payload(&[&[id], payload].concat())
                    .finish()
                    .expect("room")
                    .to_vec();
                engine.datagram(1, stranger(from), &datagram, &mut out);
            }
        }
        assert_eq!(engine.counts().half_open, 20, "{payload:x?}");
    }
}

/// Shows REQ-COAP-72: who foresees the number of a message, at a forged address, keeps it away no more.
#[test]
fn a_strangers_message_with_the_number_of_the_next_does_not_take_its_place() {
    let site = Site::new("S");
    let mut engine = engine(&site, Limits::default());
    let mut out = Vec::new();
    let mut buffer = [0; 64];
    let token = Token::new(&[9; 4]).expect("short");
    let forged = Writer::new(&mut buffer, Type::NonConfirmable, Code::GET, MessageId(7), token).finish().expect("room");
    engine.datagram(0, stranger(1), forged, &mut out);
    answers(&mut out);
    engine.datagram(1, stranger(1), &message_1(7, None), &mut out);
    let answer = answers(&mut out).remove(0).1;
    assert_eq!(Message::read(&answer).expect("a message").code(), Code::CHANGED, "message 2");
    // What is a repetition is one still.
    engine.datagram(2, stranger(1), &message_1(7, None), &mut out);
    assert_eq!(engine.counts().half_open, 1);
}

/// Shows REQ-COAP-75: a device that receives at its address and has no business here costs a bounded number of key
/// agreements.
#[test]
fn a_confirmed_address_begins_a_bounded_number_of_handshakes() {
    let site = Site::new("S");
    let limits = Limits {
        half_open: 10_000,
        half_open_per_network: 10_000,
        half_open_per_address: 10_000,
        strangers: 0,
        ..Limits::default()
    };
    let mut engine = engine(&site, limits);
    let mut out = Vec::new();
    engine.datagram(0, stranger(9), &message_1(0, None), &mut out);
    let asked = answers(&mut out).remove(0).1;
    let stamp = Message::read(&asked).expect("a message").option(option::ECHO).expect("a challenge").to_vec();
    for number in 1..2_000_u16 {
        engine.datagram(u64::from(number) / 2, stranger(9), &message_1(number, Some(&stamp)), &mut out);
    }
    let most = 3 * limits.handshakes_per_address as usize;
    let begun = engine.counts().half_open;
    assert!(begun >= most / 3 && begun <= most, "{begun}");
    // Another address has its own.
    answers(&mut out);
    engine.datagram(1_000, stranger(10), &message_1(1, None), &mut out);
    let asked = answers(&mut out).remove(0).1;
    let stamp = Message::read(&asked).expect("a message").option(option::ECHO).expect("a challenge").to_vec();
    engine.datagram(1_000, stranger(10), &message_1(2, Some(&stamp)), &mut out);
    assert_eq!(engine.counts().half_open, begun + 1);
}

/// Shows REQ-COAP-76.
#[tokio::test]
async fn a_key_that_may_only_sign_agrees_on_no_secrets() {
    let hub = Hub::start().await;
    let key = Arc::new(SigningKey::generate());
    let mut certificate =
        CertificateBuilder::device("S", "ct-1", &key, Roles::of(&[Role::Modality]), hub.site.present());
    let usage = certificate.extensions.iter_mut().find(|one| one.oid == ids::KEY_USAGE.as_bytes()).expect("there");
    usage.value = vec![3, 2, 7, 0x80];
    let mut chain = hub.site.issue("ct-1", &[Role::Modality], &key, hub.site.present());
    chain[0] = hub.site.sign(&certificate);
    let device = Identity::new(key, chain).expect("a chain for this key");
    for (method, good) in [(Method::SignStatic, true), (Method::SignSign, true), (Method::StaticStatic, false)] {
        let connected = hub.connect(&device, &Handshake { method, ..Handshake::default() }).await;
        let served = match connected {
            Ok(client) => client.request(Request::get("/who")).await.is_ok_and(|answer| answer.code.is_success()),
            Err(_) => false,
        };
        assert_eq!(served, good, "{method:?}");
    }
}

/// Shows REQ-COAP-73: neither another site's device of the same name nor a birth credential whose serial number reads so
/// ends the contexts of a device, and birth credentials together push out few.
#[test]
fn a_device_is_what_one_authority_calls_so() {
    let (site, other) = (Site::new("S"), Site::new("T"));
    let limits = Limits { contexts: 8, contexts_per_device: 1, ..Limits::default() };
    let mut engine = engine(&site, limits);
    let name = |name| DeviceName::new(name).expect("a name");
    let born = |serial| {
        let roles = Roles::of(&[Role::Actuator]);
        Identified::danger_raw_key(b"key", name(serial), CredentialKind::Birth, roles, None, &AwsLc)
    };
    let operational = |site: &Site| {
        let chain = site.identity("ct-1", &[Role::Modality], site.present());
        site.knowledge().identify(chain.chain()).expect("identified")
    };
    let mut number = 0_u8;
    let mut after = |who: Identified| {
        number += 1;
        let id = oscore::Id::new(&[number]).expect("short");
        let sender = oscore::Id::new(&[200, number]).expect("short");
        let parameters = oscore::Parameters {
            master_secret: &[7; 16],
            master_salt: &[],
            sender,
            recipient: id,
            id_context: None,
            aead: oscore::Aead::Ccm64,
        };
        engine.danger_add_context(&parameters, oscore::Replay::NoneYet, who, stranger(1)).expect("derived");
        engine.counts().contexts
    };
    assert_eq!((after(operational(&site)), after(operational(&other))), (1, 2), "two sites' devices");
    assert_eq!((after(operational(&site)), after(operational(&other))), (2, 2), "each its own older one");
    assert_eq!((after(born("ct-1")), after(born("ct-1"))), (3, 3));
    assert_eq!((after(born("a")), after(born("b")), after(born("c"))), (4, 4, 4), "a quarter");
}
