//! CoAP, OSCORE and EDHOC with aiocoap and lakers, programs of others, in both roles.
//!
//! Both know raw keys only (method 3, cipher suite 2, CWT claims sets), so these tests use the `danger_` settings.

use crate::coap::{Hub, identified};
use medlock_node::coap::{Client, Code, Handshake, Limits, Own, Peers, Request, Response, content_format};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_proto::oscore::{Aead, Id, Parameters, Replay, SecurityContext, SenderSequence};
use medlock_testkit::{Child, peers};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

const SECRET: [u8; 16] = [7; 16];
const SALT: [u8; 8] = [9; 8];

/// A raw key and its claims set.
struct RawKey {
    key: Arc<SigningKey>,
    kid: u8,
    subject: &'static str,
}

impl RawKey {
    fn new(kid: u8, subject: &'static str) -> Self {
        Self { key: Arc::new(SigningKey::generate()), kid, subject }
    }

    /// `{2: subject, 8: {1: {1: 2, 2: kid, -1: 1, -2: x, -3: y}}}`, deterministically encoded.
    fn ccs(&self) -> Vec<u8> {
        let point = self.key.public_key().bits;
        let subject = self.subject.as_bytes();
        let mut ccs = vec![0xa2, 2, 0x60 | subject.len() as u8];
        ccs.extend_from_slice(subject);
        ccs.extend_from_slice(&[8, 0xa1, 1, 0xa5, 1, 2, 2, 0x41, self.kid, 0x20, 1, 0x21, 0x58, 32]);
        ccs.extend_from_slice(&point[1..33]);
        ccs.extend_from_slice(&[0x22, 0x58, 32]);
        ccs.extend_from_slice(&point[33..]);
        ccs
    }

    /// As the scripts take it. The scalar stands at a fixed place of PKCS#8 (RFC 5915 inside).
    fn json(&self) -> String {
        let document = self.key.to_pkcs8();
        let scalar = hex(&document[36..68]);
        format!(r#"{{"d": "{scalar}", "kid": "{:02x}", "subject": "{}"}}"#, self.kid, self.subject)
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn script(name: &str) -> Command {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node/peers");
    let mut command = Command::new(peers::venv().join("bin/python3"));
    command.arg(folder.join(name)).stdin(Stdio::piped()).stdout(Stdio::piped());
    command
}

/// What the client did, a line for each step.
async fn run_client(setup: String) -> Vec<String> {
    let run = move || {
        let output = script("coap_client.py").arg(setup).output().expect("the client ran");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").lines().map(str::to_owned).collect()
    };
    timeout(Duration::from_secs(60), tokio::task::spawn_blocking(run)).await.expect("in time").expect("ran")
}

fn line(code: &str, payload: &[u8]) -> String {
    format!(r#"{{"code": "{code}", "payload": "{}"}}"#, hex(payload))
}

fn parameters(sender: u8, recipient: u8) -> Parameters<'static> {
    let id = |byte| Id::new(&[byte]).expect("short");
    Parameters {
        master_secret: &SECRET,
        master_salt: &SALT,
        sender: id(sender),
        recipient: id(recipient),
        id_context: None,
        aead: Aead::Ccm64,
    }
}

/// The peer's side of [`parameters`].
fn shared(sender: u8, recipient: u8) -> String {
    let (secret, salt) = (hex(&SECRET), hex(&SALT));
    format!(
        r#""shared": {{"secret": "{secret}", "salt": "{salt}", "sender": "{sender:02x}", "recipient": "{recipient:02x}"}}"#
    )
}

/// Shows REQ-COAP-60.
#[tokio::test]
async fn aiocoap_runs_edhoc_with_our_listener_and_asks_over_oscore() {
    for (style, combined) in [("by-key-id", true), ("by-key-id", false), ("by-value", true), ("by-value", false)] {
        let (ours, theirs) = (RawKey::new(0x10, "hub"), RawKey::new(0x11, "ct-1"));
        let by_value = style == "by-value";
        let hub = Hub::with(Limits::default(), |site, peers, _| {
            let who = identified(site, peers.knowledge(), "ct-1");
            (peers.danger_with_ccs(theirs.ccs(), who), Own::danger_ccs(ours.key.clone(), ours.ccs(), by_value))
        })
        .await;
        let python = if combined { "true" } else { "false" };
        let setup = format!(
            r#"{{"uri": "coap://{}", "own": {}, "peer": {}, "style": "{style}", "combined": {python},
                "steps": [{{"path": "/open"}}, {{"path": "/echo", "post": "0102"}}, {{"path": "/nowhere"}}]}}"#,
            hub.address,
            theirs.json(),
            ours.json(),
        );
        let lines = run_client(setup).await;
        let wanted = [line("2.05", b"somebody"), line("2.04", &[1, 2]), line("4.04", b"")];
        assert_eq!(lines, wanted, "{style} {combined}");
    }
}

/// Shows REQ-COAP-61.
#[tokio::test]
async fn aiocoap_observes_and_moves_long_bodies_over_a_shared_context() {
    let hub = Hub::shared(&parameters(1, 2)).await;
    let body: Vec<u8> = (0..3_000_u32).map(|index| index as u8).collect();
    let setup = format!(
        r#"{{"uri": "coap://{}", {}, "steps": [{{"path": "/open"}}, {{"path": "/echo", "post": "{}"}},
            {{"path": "/long"}}, {{"path": "/reading", "observe": 2}}]}}"#,
        hub.address,
        shared(2, 1),
        hex(&body),
    );
    let (reading, counts) = (hub.reading.clone(), hub.counts.clone());
    let telling = tokio::spawn(async move {
        let mut counts = counts;
        counts.wait_for(|counts| counts.observations == 1).await.expect("running");
        for value in ["1", "2"] {
            reading.send_replace(Response::content(content_format::TEXT, value));
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    });
    let lines = run_client(setup).await;
    telling.await.expect("told");
    let wanted = [
        line("2.05", b"somebody"),
        line("2.04", &body),
        line("2.05", &[b'x'; 5_000]),
        line("2.05", b"0"),
        line("2.05", b"1"),
        line("2.05", b"2"),
    ];
    assert!(lines == wanted, "{lines:.200?}");
}

/// A server by aiocoap that listens.
struct Server {
    _child: Child,
    address: SocketAddr,
}

impl Server {
    fn start(setup: &str) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let address = socket.local_addr().expect("address");
        drop(socket);
        let setup = format!(r#"{{"port": {}, {setup}}}"#, address.port());
        let mut child = Child::start(script("coap_server.py").arg(setup)).expect("started");
        let mut ready = String::new();
        let output = child.process().stdout.take().expect("piped");
        BufReader::new(output).read_line(&mut ready).expect("readable");
        assert_eq!(ready, "ready\n", "the server did not start");
        // Kept open: the server ends when it closes.
        child.process().stdin.as_mut().expect("piped").flush().expect("open");
        Self { _child: child, address }
    }
}

/// What every resource of the server answers.
async fn ask(client: &Client) {
    let answer = client.request(Request::get("/who")).await.expect("answered");
    assert_eq!((answer.code, &answer.payload[..]), (Code::CONTENT, &b"aiocoap"[..]));
    let body: Vec<u8> = (0..3_000_u32).map(|index| index as u8).collect();
    for payload in [&body[..10], &body] {
        let request = Request::post("/echo", content_format::BYTES, payload.to_vec());
        let answer = client.request(request).await.expect("answered");
        assert_eq!(answer.code, Code::CHANGED);
        assert!(answer.payload == payload, "{} bytes", answer.payload.len());
    }
    assert_eq!(client.request(Request::get("/long")).await.expect("answered").payload.len(), 5_000);
    assert_eq!(client.request(Request::get("/nowhere")).await.expect("answered").code, Code::NOT_FOUND);
    let (first, observation) = client.observe(Request::get("/count")).await.expect("answered");
    let number =
        |response: &Response| std::str::from_utf8(&response.payload).expect("text").parse::<u32>().expect("number");
    let (mut last, mut observation) = (number(&first), observation.expect("observed"));
    for _ in 0..3 {
        let told = timeout(Duration::from_secs(10), observation.next()).await.expect("told").expect("open");
        let told = number(&told.expect("opened"));
        assert!(told > last, "{told} after {last}");
        last = told;
    }
}

/// Shows REQ-COAP-62.
#[tokio::test]
async fn our_client_runs_edhoc_with_a_server_by_aiocoap_and_asks_over_oscore() {
    let site = medlock_testkit::Site::new("Raw");
    let knowledge = site.knowledge();
    for (style, combined) in [("by-key-id", false), ("by-key-id", true), ("by-value", false), ("by-value", true)] {
        let (ours, theirs) = (RawKey::new(0x12, "ct-1"), RawKey::new(0x13, "hub"));
        let setup = format!(r#""own": {}, "peer": {}, "style": "{style}""#, theirs.json(), ours.json());
        let server = tokio::task::spawn_blocking(move || Server::start(&setup)).await.expect("started");
        let who = identified(&site, &knowledge, "hub");
        let peers = Arc::new(Peers::new(knowledge.clone()).danger_with_ccs(theirs.ccs(), who));
        let own = Own::danger_ccs(ours.key.clone(), ours.ccs(), style == "by-value");
        let handshake = Handshake { combined, ..Handshake::default() };
        let client = Client::connect(server.address, &own, &peers, &handshake).await.expect("connected");
        ask(&client).await;
    }
}

/// Shows REQ-COAP-63.
#[tokio::test]
async fn our_client_asks_a_server_by_aiocoap_over_a_shared_context() {
    let setup = shared(2, 1);
    let server = tokio::task::spawn_blocking(move || Server::start(&setup)).await.expect("started");
    let (sequence, replay) = (SenderSequence::in_memory(), Replay::NoneYet);
    let security = SecurityContext::derive(&parameters(1, 2), sequence, replay, &AwsLc).expect("derived");
    let client = Client::danger_with_context(server.address, security).await.expect("socket");
    ask(&client).await;
}
