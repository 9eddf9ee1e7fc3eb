//! Subscriptions over web sockets, as a client that others wrote hears them (PyPI websockets).

use crate::backend::Backend;
use crate::fixture::{House, on_server};
use crate::people::{Browser, query, token};
use crate::subscription::{SCOPES, Ward, subscription};
use crate::telling::Words;
use http::{Request, StatusCode};
use medlock_clinical::store::Place;
use medlock_node::accept::{Limits, serve};
use medlock_node::outbound::OutboundConfig;
use medlock_node::stop::{self, Stopper};
use medlock_testkit::Child;
use medlock_testkit::free_port;
use medlock_testkit::peers::{npm, venv};
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A house that is reached over the network.
struct Reached {
    house: House,
    port: u16,
    _stopper: Stopper,
}

impl Reached {
    async fn new(place: Option<Place>) -> Self {
        let port = free_port();
        let networks = vec!["127.0.0.0/8".to_owned()];
        let outbound = OutboundConfig { hosts: vec!["localhost:1".to_owned()], networks, ca: None };
        Self::of(House::calling(place, outbound), port).await
    }

    async fn of(house: House, port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.expect("a port");
        let (stopper, stop) = stop::channel();
        tokio::spawn(serve(listener, None, Limits::default(), house.people.clone(), stop));
        Self { house, port, _stopper: stopper }
    }

    async fn both() -> [Self; 2] {
        [Self::new(None).await, Self::new(Some(on_server())).await]
    }

    /// A client that connects and says this.
    fn client(&self, token: &str, says: &[&str]) -> Client {
        let mut python = Command::new(venv().join("bin/python3"));
        python.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/socket_peer.py"));
        python.arg(format!("ws://127.0.0.1:{}/fhir/websocket", self.port)).arg(token).args(says);
        Client::start(python)
    }

    /// A connection by its first words alone, which stays open, and what is answered to them.
    async fn knock(&self, token: &str) -> (TcpStream, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).await.expect("connected");
        let asked = format!(
            "GET /fhir/websocket HTTP/1.1\r\nHost: fhir.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {token}\r\n\r\n"
        );
        stream.write_all(asked.as_bytes()).await.expect("sent");
        let mut answer = vec![0; 4 << 10];
        let read = stream.read(&mut answer).await.expect("answered");
        (stream, String::from_utf8_lossy(&answer[..read]).into_owned())
    }

    /// A page in a browser, which comes with a ticket.
    fn page(&self, token: &str, subscription: &str) -> Client {
        let mut node = Command::new("node");
        node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/socket_browser.js"));
        node.arg(format!("http://127.0.0.1:{}", self.port)).arg(token).arg(subscription);
        node.env("NODE_PATH", npm().join("node_modules"));
        Client::start(node)
    }
}

struct Client {
    folder: TempDir,
    _process: Child,
}

impl Client {
    fn start(mut program: Command) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let heard = std::fs::File::create(folder.path().join("heard")).expect("a file");
        program.stdin(Stdio::null()).stdout(heard);
        Self { folder, _process: Child::start(&mut program).expect("it starts") }
    }

    fn heard(&self) -> Vec<String> {
        let text = std::fs::read_to_string(self.folder.path().join("heard")).expect("text");
        text.lines().map(str::to_owned).collect()
    }

    /// What it has heard, once it has heard this at its end.
    async fn until(&self, last: &str) -> Vec<String> {
        let began = Instant::now();
        loop {
            let heard = self.heard();
            if heard.last().is_some_and(|line| line.starts_with(last)) {
                return heard;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "it heard {heard:?}, and not {last:?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// That it hears this within a second (and what a busy machine takes).
    async fn soon(&self, last: &str) {
        let began = Instant::now();
        self.until(last).await;
        assert!(began.elapsed() < Duration::from_secs(3), "{last} after {:?}", began.elapsed());
    }
}

fn wanted(criteria: &str) -> Value {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "care", "criteria": criteria,
        "channel": { "type": "websocket" },
    })
}

impl Ward<'_> {
    async fn ticket(&self, id: &str) -> String {
        let answer = self.send("POST", &format!("Subscription/{id}/$get-ws-binding-token"), &Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        let parameters = answer.body["parameter"].as_array().expect("parameters");
        let value = |name: &str, of: &str| {
            let found = parameters.iter().find(|one| one["name"] == name).expect(name);
            found[of].as_str().expect(of).to_owned()
        };
        assert!(value("websocket-url", "valueUrl") == "wss://fhir.example/fhir/websocket");
        assert_eq!(value("subscription", "valueString"), id);
        value("token", "valueString")
    }
}

const POLICY: &str = "closed 1008 ";

/// Shows REQ-SUB-23, REQ-SUB-24: who is connected and has bound a Subscription of its own hears that something has changed that it wants
/// and may see at that moment, each Subscription for itself, and nothing else; what a ping says is in the audit. On both databases.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_hears_what_it_wants_and_may_see() {
    for reached in Reached::both().await {
        let ward = Ward::new(&reached.house).await;
        let metadata = reached.house.read("", "metadata").await.body;
        let address = &metadata["rest"][0]["extension"][0]["valueUri"];
        assert_eq!(address, "wss://fhir.example/fhir/websocket");
        let id = ward.subscribe(&wanted("Observation?code=http://loinc.org|99504-3")).await;
        let other = ward.subscribe(&wanted("Observation?code=other")).await;
        let patients = ward.subscribe(&wanted("Patient")).await;
        ward.reading(0, 1).await;
        let says = [&id, &other, &patients].map(|id| format!("bind {id}"));
        let client = reached.client(ward.token(), &[&says[0], &says[1], &says[2]]);
        let heard = client.until(&format!("bound {patients}")).await;
        let bound = [&id, &other, &patients].map(|id| format!("bound {id}"));
        assert_eq!(heard, [&["connected".to_owned()], &bound[..]].concat(), "what came before is no news");

        ward.reading(0, 2).await;
        client.soon(&format!("ping {id}")).await;
        ward.deny(0).await;
        let before = client.heard();
        ward.reading(0, 3).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(client.heard(), before, "a patient who allows nothing is not spoken of");
        ward.reading(1, 4).await;
        let began = Instant::now();
        while client.heard().len() == before.len() {
            assert!(began.elapsed() < Duration::from_secs(20), "of another patient it hears");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        ward.gateway.create(&crate::fixture::patient("Carla")).await.made();
        client.until(&format!("ping {patients}")).await;
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        let heard = client.heard();
        assert_eq!(heard.iter().filter(|line| line.starts_with("ping")).count(), 3, "{heard:?}");

        let asked = format!("AuditEvent?patient=Patient/{}", ward.patients[1].0);
        let ping = data_encoding::BASE64.encode(format!("ping Subscription/{id}").as_bytes());
        ward.until(&asked, |audit| audit.to_string().contains(&ping)).await;
    }
}

/// Shows REQ-SMART-145: who is connected hears of what its scopes let through, and not that there is anything else.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_connected_hears_of_what_its_scopes_let_through() {
    for reached in Reached::both().await {
        let house = &reached.house;
        let mut ward = Ward::new(house).await;
        ward.token = ward.backend.token("system/Subscription.cruds system/Observation.rs?category=vital-signs").await;
        let id = ward.subscribe(&wanted("Observation")).await;
        let client = reached.client(ward.token(), &[&format!("bind {id}")]);
        client.until("bound").await;
        // What has no such category.
        ward.reading(0, 1).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(client.heard().last(), Some(&format!("bound {id}")));
        let (patient, device) = &ward.patients[0];
        let mut sign = crate::fixture::glucose(patient, device, "2024-01-01T08:02:00Z");
        sign["category"] = json!([{ "coding": [{ "system": "urn:t", "code": "vital-signs" }] }]);
        ward.gateway.create(&sign).await.made();
        client.until(&format!("ping {id}")).await;
    }
}

/// Shows REQ-SUB-25: a connection ends within a second with its token, with the software's registration, with the Subscriptions that it has
/// bound, and with the hub; each time it is told why.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_what_it_stands_on() {
    for reached in Reached::both().await {
        let house = &reached.house;
        let ward = Ward::new(house).await;
        let id = ward.subscribe(&wanted("Observation")).await;
        let bind = format!("bind {id}");
        let client = reached.client(ward.token(), &[&bind]);
        client.until("bound").await;
        house.site.clock.advance(300);
        client.soon("closed 1008 the token has ended").await;

        let next = ward.backend.token("system/Observation.rs system/Subscription.cruds").await;
        let client = reached.client(&next, &[&bind]);
        client.until("bound").await;
        let request =
            Request::delete(format!("/fhir/Subscription/{id}")).header("authorization", format!("Bearer {next}"));
        assert_eq!(house.people_json(request, String::new()).await.status, StatusCode::NO_CONTENT);
        client.soon("closed 1000").await;

        let mut ends = wanted("Observation");
        ends["end"] = json!(house.site.clock.now().plus_seconds(30).to_string());
        let request = Request::post("/fhir/Subscription").header("authorization", format!("Bearer {next}"));
        let request = request.header("content-type", "application/fhir+json");
        let short = house.people_json(request, ends.to_string()).await.made();
        let client = reached.client(&next, &[&format!("bind {short}")]);
        client.until("bound").await;
        house.site.clock.advance(60);
        ward.reading(0, 9).await;
        client.soon("closed 1000").await;
        ward.until(&format!("Subscription/{short}"), |now| now["status"] == "off").await;

        let request = Request::post("/fhir/Subscription").header("authorization", format!("Bearer {next}"));
        let request = request.header("content-type", "application/fhir+json");
        let last = house.people_json(request, wanted("Observation").to_string()).await.made();
        let client = reached.client(&next, &[&format!("bind {last}")]);
        client.until("bound").await;
        let removed = house.administer(json!({ "verb": "remove-client", "id": ward.backend.id() })).await;
        assert_eq!(removed.status, StatusCode::OK);
        client.soon("closed 1008 the token has ended").await;
    }
    let reached = Reached::new(None).await;
    let Ward { stopper, token, .. } = Ward::new(&reached.house).await;
    let client = reached.client(&token, &[]);
    client.until("connected").await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    drop(stopper);
    client.soon("closed 1001").await;
}

/// Shows REQ-SUB-43, REQ-SUB-44: what takes too long to look for rests, also for who connects again, and holds up neither what else is
/// bound nor the end of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn what_takes_too_long_to_look_for_rests_alone() {
    let words = Words::new();
    let house = House::with(Some(words.place()), |config| config.search_seconds = 1);
    let reached = Reached::of(house, free_port()).await;
    let ward = Ward::new(&reached.house).await;
    let slow = ward.subscribe(&wanted("Observation?value-string:missing=true")).await;
    let plain = ward.subscribe(&wanted("Observation")).await;
    let binds = [&slow, &plain].map(|id| format!("bind {id}"));
    let binds = binds.each_ref().map(String::as_str);
    let client = reached.client(ward.token(), &binds);
    client.until(&format!("bound {plain}")).await;
    let holder = words.held().await;
    ward.reading(0, 1).await;
    client.until(&format!("ping {plain}")).await;
    // Who comes again gains nothing.
    let again = reached.client(ward.token(), &binds);
    again.until(&format!("bound {plain}")).await;
    ward.reading(0, 2).await;
    again.until(&format!("ping {plain}")).await;
    let slow = format!("ping {slow}");
    assert!(!client.heard().contains(&slow) && !again.heard().contains(&slow));
    words.release(holder);
    client.until(&slow).await;
    again.until(&slow).await;
    let holder = words.held().await;
    ward.reading(0, 3).await;
    reached.house.site.clock.advance(300);
    client.soon("closed 1008 the token has ended").await;
    words.release(holder);
}

/// Shows REQ-SUB-26: nobody hears of a Subscription of another one, nor learns that there is one; what is no word of ours ends the
/// connection, and so does a message that is too long. Shows REQ-SUB-49: and so does binding nothing for ten seconds.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_binds_what_is_not_theirs() {
    let reached = Reached::new(None).await;
    let ward = Ward::new(&reached.house).await;
    let id = ward.subscribe(&wanted("Observation")).await;
    let other = Backend::new(&reached.house, SCOPES).await.token(SCOPES).await;
    let narrow = ward.backend.token("system/Patient.rs").await;
    let hooked = ward.subscribe(&subscription("Observation", "https://localhost:1/x", false)).await;
    let off = ward.subscribe(&wanted("Observation?status=final")).await;
    let mut silent = wanted("Observation?status=final");
    (silent["id"], silent["status"]) = (json!(off), json!("off"));
    assert_eq!(ward.send("PUT", &format!("Subscription/{off}"), &silent).await.status, StatusCode::OK);
    let [hooked, off] = [hooked, off].map(|id| format!("bind {id}"));
    let (own, none) = (format!("bind {id}"), "bind 01k83s99mg5c9ice2af2o4emtt");
    let not_own = format!("{POLICY}there is no such Subscription of yours");
    let (long, many) = (format!("bind {}", "x".repeat(2_000)), vec![own.as_str(); 200]);
    let unsaid = format!("{POLICY}say: bind ID");
    for (token, says, closed) in [
        (other.as_str(), &[own.as_str()][..], not_own.as_str()),
        (&other, &[none], &not_own),
        (&other, &["bind ../x"], &not_own),
        (&narrow, &[&own], &not_own),
        (ward.token(), &[&hooked], &not_own),
        (ward.token(), &[&off], &not_own),
        (ward.token(), &["hello"], &unsaid),
        (ward.token(), &["unbind x"], &unsaid),
        (ward.token(), &["bind-with-token x"], &unsaid),
        (ward.token(), &["binary"], &unsaid),
        (ward.token(), &many, "closed 1008 too many"),
        ("", &[&own], &format!("{POLICY}show a token")),
        ("nothing", &[], "refused 401"),
    ] {
        let heard = reached.client(token, says).until(closed).await;
        assert!(token != other || !heard.iter().any(|line| line.starts_with("bound")), "{says:?}: {heard:?}");
    }
    let gateway = ward.gateway.token().to_owned();
    reached.client(&gateway, &[]).until("refused 401").await;
    let cut = reached.client(ward.token(), &[&long]).until("closed").await;
    assert_eq!(cut.last().map(String::as_str), Some("closed"), "it is not even read");
    // Who says nothing has ten seconds, also who has shown a token.
    let (silent, idle) = (reached.client("", &[]), reached.client(ward.token(), &[]));
    silent.until(&format!("{POLICY}show a token")).await;
    idle.until(&format!("{POLICY}nothing was bound")).await;
    let plain = reached.house.read(ward.token(), "websocket").await;
    assert_eq!((plain.status, plain.header("upgrade")), (StatusCode::UPGRADE_REQUIRED, "websocket"));
}

/// Shows REQ-SUB-24: a connection hears no more than its own token may see, also where the Subscription was written with a wider one; and
/// each person hears of their own.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_hears_what_its_token_may_see() {
    let reached = Reached::new(None).await;
    let house = &reached.house;
    let ward = Ward::new(house).await;
    let (doctor, code) = house.doctor().await;
    let scopes = "launch/patient offline_access user/Subscription.crus user/Observation.rs patient/Observation.rs";
    let app = house.app("public", json!({ "scopes": scopes })).await;
    let signed_in = async |name: &str, code: &str| {
        let mut browser = Browser::new(house);
        let page = browser.sign_in(&query(&app.id, &[("scope", scopes)]), (name, code)).await;
        let sent = browser.allow(&page, &[("patient", &ward.patients[1].0)]).await;
        app.exchange(house, &sent.parameter("code"), &[]).await
    };
    let (given, other) = (signed_in("doe", &code).await, signed_in("roe", &house.account("roe", &doctor).await).await);
    let request = Request::post("/fhir/Subscription").header("content-type", "application/fhir+json");
    let request = request.header("authorization", format!("Bearer {}", token(&given, "access_token")));
    let id = house.people_json(request, wanted("Observation").to_string()).await.made();
    let bind = format!("bind {id}");
    reached.client(&token(&other, "access_token"), &[&bind]).until(&format!("{POLICY}there is no such")).await;
    let wide = reached.client(&token(&given, "access_token"), &[&bind]);
    let narrow = [("scope", "patient/Observation.rs")];
    let narrow = app.refresh(house, &token(&given, "refresh_token"), &narrow).await;
    let narrow = reached.client(&token(&narrow, "access_token"), &[&bind]);
    wide.until("bound").await;
    narrow.until("bound").await;
    ward.reading(0, 1).await;
    wide.soon("ping").await;
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    assert_eq!(narrow.heard().last(), Some(&format!("bound {id}")), "it is not its patient's");
    ward.reading(1, 2).await;
    narrow.soon("ping").await;
}

/// Shows REQ-SUB-47: a person has eight web sockets with an app, and takes none of who uses the same app.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_takes_the_room_of_who_uses_the_same_app() {
    let ward = crate::smart::Ward::new().await;
    let scopes = "launch/patient patient/Observation.rs";
    let app = ward.house.app("public", json!({ "scopes": scopes })).await;
    let anna = token(&ward.launched(&app, &[("scope", scopes)]).await, "access_token");
    let code = ward.house.account("bert", &format!("Patient/{}", ward.bert)).await;
    let mut browser = Browser::new(&ward.house);
    let page = browser.sign_in(&query(&app.id, &[("scope", scopes)]), ("bert", &code)).await;
    let code = browser.allow(&page, &[]).await.parameter("code");
    let bert = token(&app.exchange(&ward.house, &code, &[]).await, "access_token");
    let reached = Reached::of(ward.house, free_port()).await;
    let mut held = Vec::new();
    for number in 0..8 {
        let (stream, answer) = reached.knock(&anna).await;
        assert!(answer.starts_with("HTTP/1.1 101"), "{number}: {answer}");
        held.push(stream);
    }
    let (_, more) = reached.knock(&anna).await;
    assert!(more.starts_with("HTTP/1.1 429") && more.contains("close one"), "{more}");
    let (_other, answer) = reached.knock(&bert).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
}

/// Shows REQ-SUB-27: software that can send no header connects with a ticket, which is good once, for a minute, for one Subscription of its
/// own, and while the token lasts by which it was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once() {
    for reached in Reached::both().await {
        let ward = Ward::new(&reached.house).await;
        let id = ward.subscribe(&wanted("Observation")).await;
        let second = ward.subscribe(&wanted("Patient")).await;
        let ticket = format!("bind-with-token {}", ward.ticket(&id).await);
        let client = reached.client("", &[&ticket, &format!("bind {second}")]);
        client.until(&format!("bound {second}")).await;
        ward.reading(0, 1).await;
        client.soon(&format!("ping {id}")).await;
        let no_ticket = format!("{POLICY}show a token when you connect, or a fresh ticket");
        reached.client("", &[&ticket]).until(&no_ticket).await;
        let late = format!("bind-with-token {}", ward.ticket(&id).await);
        reached.house.site.clock.advance(60);
        reached.client("", &[&late]).until(&no_ticket).await;
        let changed = ward.ticket(&id).await;
        let last = if changed.ends_with('A') { 'E' } else { 'A' };
        let changed = format!("bind-with-token {}{last}", &changed[..changed.len() - 1]);
        reached.client("", &[&changed]).until(&no_ticket).await;

        let other = Backend::new(&reached.house, SCOPES).await.token(SCOPES).await;
        for (token, path) in [(&other, &id), (&other, &"none".to_owned())] {
            let request = Request::post(format!("/fhir/Subscription/{path}/$get-ws-binding-token"));
            let request = request.header("authorization", format!("Bearer {token}"));
            let answer = reached.house.people_json(request, String::new()).await;
            assert_eq!(answer.code(), "fhir-not-found", "{answer:?}");
        }
        let ended = format!("bind-with-token {}", ward.ticket(&id).await);
        let removed = reached.house.administer(json!({ "verb": "remove-client", "id": ward.backend.id() })).await;
        assert_eq!(removed.status, StatusCode::OK);
        client.soon("closed 1008 the token has ended").await;
        reached.client("", &[&ended]).until("closed 1008 the token has ended").await;
    }
}

/// Shows REQ-SUB-27: a page in a browser (Chromium) asks for a ticket, connects, and hears.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_in_a_browser_connects_with_a_ticket() {
    let reached = Reached::new(None).await;
    let ward = Ward::new(&reached.house).await;
    let id = ward.subscribe(&wanted("Observation")).await;
    let page = reached.page(ward.token(), &id);
    page.until(&format!("bound {id}")).await;
    ward.reading(0, 1).await;
    page.soon(&format!("ping {id}")).await;
    reached.house.site.clock.advance(300);
    page.soon("closed 1008 the token has ended").await;
}

/// Shows REQ-SUB-30: at whichever hub of a store one is connected, it hears what comes by another one, and its connection ends with what
/// ends there; a ticket of one hub is good once at all.
#[tokio::test(flavor = "multi_thread")]
async fn every_hub_of_a_store_tells_who_is_connected_to_it() {
    let Place::Server(server) = on_server() else { panic!("a server") };
    let place = || Some(Place::Server(server.clone()));
    let (first, second) = (Reached::new(place()).await, Reached::new(place()).await);
    let ward = Ward::new(&first.house).await;
    let (_stopper, stop) = stop::channel();
    tokio::spawn(Arc::clone(&second.house.clinical).keep(stop));
    let id = ward.subscribe(&wanted("Observation")).await;
    let ticket = format!("bind-with-token {}", ward.ticket(&id).await);
    let clients = [second.client("", &[&ticket]), first.client(ward.token(), &[&format!("bind {id}")])];
    for client in &clients {
        client.until(&format!("bound {id}")).await;
    }
    first.client("", &[&ticket]).until(POLICY).await;
    ward.reading(0, 1).await;
    for client in &clients {
        client.soon(&format!("ping {id}")).await;
    }
    let removed = first.house.administer(json!({ "verb": "remove-client", "id": ward.backend.id() })).await;
    assert_eq!(removed.status, StatusCode::OK);
    for client in &clients {
        client.soon("closed 1008 the token has ended").await;
    }
}

/// Shows REQ-SUB-28: what is told over a web socket is called nowhere, and has neither address nor payload.
#[tokio::test(flavor = "multi_thread")]
async fn a_web_socket_has_no_address() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let fine = ward.send("POST", "Subscription", &wanted("Observation")).await;
    assert_eq!(fine.status, StatusCode::CREATED, "{fine:?}");
    for (member, value) in
        [("endpoint", "https://localhost/x"), ("payload", "application/fhir+json"), ("type", "email")]
    {
        let mut wrong = wanted("Observation");
        wrong["channel"][member] = value.into();
        let answer = ward.send("POST", "Subscription", &wrong).await;
        assert_eq!(answer.code(), "fhir-subscription", "{member}: {answer:?}");
    }
    assert_eq!(ward.send("POST", "Subscription", &wanted("Device")).await.code(), "fhir-forbidden");
}
