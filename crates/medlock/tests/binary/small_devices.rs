//! A hub with its door for small devices, and devices of a maker, each a process of its own: birth credential, enrolment,
//! renewal, and what the hub's engineer sees of it.

use crate::process::{Hub, Process, medlock};
use data_encoding::BASE64;
use medlock_node::clock::Clock;
use medlock_node::coap::{Client, Code, Request, objects};
use medlock_node::provider::SigningKey;
use medlock_proto::objects::Held;
use medlock_trust::KeyId;
use medlock_trust::cose::{self, Algorithm, ContentType};
use medlock_trust::list::{Authority, Content, Heading, ListKind, Member};
use medlock_trust::path::AuthorityKind;
use medlock_trust::role::{Role, Roles};
use medlock_trust::x509::Certificate;
use medlock_ward::diabetes::host::birth_request;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// An insulin pump, in docs/device-types.md.
const PUMP: &str = "21";

/// A maker of pumps, and a list on which it stands.
struct Maker {
    dir: PathBuf,
    key: String,
    member: SigningKey,
}

impl Maker {
    fn new(folder: &Path) -> Self {
        let dir = folder.join("maker");
        let made = run(&["authority", "create-maker", "Pump Maker"], &dir);
        let key = text(&made, "root_key");
        Self { dir, key, member: SigningKey::generate() }
    }

    /// The list of an alliance of one member, on which this maker stands.
    fn list(&self) -> Vec<u8> {
        let shown = run(&["authority", "show"], &self.dir);
        let root = CertificateDer::from_pem_slice(text(&shown, "root_pem").as_bytes()).expect("a certificate");
        let root = Certificate::read(&root).expect("a certificate");
        let (subject, spki) = (root.subject().der().to_vec(), root.spki().to_vec());
        let now = Clock::system().now();
        let authority = Authority {
            roles: Roles::of(&[Role::Actuator]),
            ..Authority::for_everything(
                KeyId::of(&[spki.as_slice()], &medlock_node::provider::AwsLc),
                AuthorityKind::Maker,
                "Pump Maker",
                &subject,
                &spki,
            )
        };
        let heading = Heading::first(ListKind::Alliance, "Alliance", now, now.plus_seconds(86_400));
        let member = Member { key: self.member.key_id(), spki: self.member.spki(), name: "Member" };
        let content = Content { heading, members: &[member], recovery: &[], authorities: &[authority], services: &[] };
        let (mut payload, mut list) = (Vec::new(), Vec::new());
        content.encode(&mut payload).expect("memory takes it");
        let signers = [(self.member.key_id(), Algorithm::Es256)];
        cose::sign(&payload, ContentType::LIST, &signers, &mut list, |_, parts| {
            Ok::<_, Infallible>(self.member.sign_cose(&parts))
        })
        .expect("it is signed");
        list
    }

    /// Builds a device: a key that stays in it, and a birth credential.
    fn build(&self, folder: &Path, serial: &str) -> PathBuf {
        let device = folder.join(serial);
        std::fs::create_dir_all(&device).expect("a folder");
        let (request, profile, out) = (device.join("request.b64"), folder.join("profile.toml"), device.join("out"));
        let asked = BASE64.encode(&birth_request(&device.join("keys")).expect("a key"));
        std::fs::write(&request, asked).expect("written");
        std::fs::write(&profile, format!("roles = [\"actuator\"]\ndevice_type = {PUMP}\n")).expect("written");
        let [request, profile, out] = [&request, &profile, &out].map(|path| path.to_str().expect("UTF-8"));
        let what = ["device", "provision", "--input", request, "--serial", serial, "--profile", profile];
        let made = run(&[&what[..], &["--files", "--out", out]].concat(), &self.dir);
        assert_eq!(made["issued"], 1);
        let chain = CertificateDer::pem_file_iter(Path::new(out).join(format!("{serial}.pem"))).expect("a file");
        let chain = chain.collect::<Result<Vec<_>, _>>().expect("PEM");
        // Without the root, which is on the list.
        assert_eq!(chain.len(), 2);
        for (number, certificate) in chain.iter().enumerate() {
            std::fs::write(device.join(format!("birth-{number}.der")), certificate).expect("written");
        }
        device
    }
}

/// A pump as a process.
struct Pump {
    process: Process,
    address: SocketAddr,
    device: String,
}

impl Pump {
    fn start(maker: &Maker, folder: &Path) -> Self {
        let mut command = medlock();
        command.args(["ward", "device", "--kind", "pump", "--with-parent", "--threshold", "1", "--seed", "7"]);
        command.args(["--speed", "10", "--member", &maker.member.key_id().to_string(), "--folder"]).arg(folder);
        let mut process = Process::start(&mut command);
        let listening = said(&mut process, &["listening"]);
        let address = text(&listening, "address").parse().expect("an address");
        Self { process, address, device: text(&listening, "device") }
    }

    fn act(&mut self, what: Value) {
        self.process.give(&what);
        let answer = said(&mut self.process, &["done", "not-done"]);
        assert_eq!(answer["said"], "done", "{what}: {answer}");
    }

    /// Tells it whose it is; what that site signed it fetches itself, or, with `carried`, somebody whom nobody trusts brings
    /// it.
    async fn introduce(&mut self, hub: &Hub, carried: bool) {
        let root = text(&hub.ask(&["authority", "show"]), "root_key");
        self.act(json!({"do": "pin-site", "root": root}));
        if carried {
            for object in fetch(hub).await {
                let carrier = Client::plain(self.address).await.expect("a socket");
                let answer = carrier.request(Request::post(objects::PATH, 60, object)).await.expect("it answers");
                assert_eq!(answer.code, Code::CHANGED, "{answer:?}");
            }
        }
        self.act(json!({"do": "fetch", "hub": hub.coap}));
        let fetched = said(&mut self.process, &["fetched", "not-fetched"]);
        // Site list, trust list, status and policy.
        assert_eq!(fetched["objects"], if carried { 0 } else { 4 }, "{fetched}");
    }

    /// Lets it ask the hub for a credential; what came of it.
    fn enrol(&mut self, hub: &Hub) -> Value {
        self.act(json!({"do": "enrol", "hub": hub.coap}));
        said(&mut self.process, &["enrolled", "not-enrolled"])
    }
}

/// What the hub holds, by its door for small devices, without a session.
async fn fetch(hub: &Hub) -> Vec<Vec<u8>> {
    let client = Client::plain(hub.coap).await.expect("a socket");
    let listing = client.request(Request::get(objects::PATH)).await.expect("the hub answers");
    assert_eq!(listing.code, Code::CONTENT);
    let numbers: Vec<usize> =
        Held::decode_all(&listing.payload).expect("a listing").map(|(number, _)| number).collect();
    let mut all = Vec::new();
    for number in numbers {
        let one = Request::get(objects::PATH).with(medlock_node::coap::option::URI_QUERY, format!("o={number}"));
        all.push(client.request(one).await.expect("the hub answers").payload.to_vec());
    }
    all
}

/// Waits until a device says one of these.
fn said(process: &mut Process, wanted: &[&str]) -> Value {
    loop {
        let line = process.next();
        if wanted.iter().any(|wanted| line["said"] == *wanted) {
            return line;
        }
    }
}

fn run(what: &[&str], dir: &Path) -> Value {
    let output = medlock().args(what).arg("--json").arg("--dir").arg(dir).output().expect("it starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what:?}: {errors}");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{what:?}: {error}: {errors}"))
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned()
}

/// A hub that believes the maker.
fn hub_for(maker: &Maker, folder: &Path) -> Hub {
    let hub = Hub::start(folder);
    let list = folder.join("alliance.list");
    std::fs::write(&list, maker.list()).expect("written");
    let (list, member) = (list.to_str().expect("UTF-8"), maker.member.key_id().to_string());
    hub.ask(&["trust-list", "import", list, "--member", &member, "--threshold", "1"]);
    hub
}

fn register(hub: &Hub, maker: &Maker, device: &str, more: &[&str]) {
    let entry = ["device", "register", device, "--role", "actuator", "--type", PUMP, "--maker-serial", device];
    hub.ask(&[&entry[..], &["--maker-key", &maker.key], more].concat());
}

/// Shows REQ-LOOP-50, REQ-LOOP-51.
#[tokio::test]
async fn a_device_of_a_maker_enrols_and_renews_at_the_hub_over_coap_with_an_expired_credential_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let maker = Maker::new(folder);
    let mut hub = hub_for(&maker, folder);
    register(&hub, &maker, "pump7", &["--validity-seconds", "2"]);
    let built = maker.build(folder, "pump7");
    let mut pump = Pump::start(&maker, &built);
    assert_eq!(pump.device, "", "it has no name before it is enrolled");
    pump.introduce(&hub, false).await;

    let enrolled = pump.enrol(&hub);
    assert_eq!(enrolled["said"], "enrolled", "{enrolled}");
    let first = hub.credentials("pump7");
    assert_eq!(first.len(), 1);

    // It keeps what it was given, and is the same after its power went.
    pump.process.kill();
    let mut pump = Pump::start(&maker, &built);
    assert_eq!(pump.device, text(&enrolled, "device"));

    std::thread::sleep(std::time::Duration::from_secs(3));
    assert_eq!(hub.credentials("pump7")[0]["state"], "expired");
    // The hub was away meanwhile, and comes back at the same door.
    hub.kill();
    hub.run();
    let renewed = pump.enrol(&hub);
    assert_eq!((&renewed["said"], &renewed["device"]), (&json!("enrolled"), &enrolled["device"]), "{renewed}");
    let credentials = hub.credentials("pump7");
    assert_eq!(credentials.len(), 2);
    assert_eq!(credentials[0]["state"], "good");
    assert_ne!(credentials[0]["key"], first[0]["key"], "a new key");
}

/// Shows REQ-KEYS-32: a small device that hears of the theft of its issuing key comes back by itself.
#[tokio::test]
async fn a_device_renews_by_itself_when_it_hears_that_its_issuing_key_is_stolen() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let maker = Maker::new(folder);
    let hub = hub_for(&maker, folder);
    register(&hub, &maker, "pump7", &[]);
    let mut pump = Pump::start(&maker, &maker.build(folder, "pump7"));
    pump.introduce(&hub, false).await;
    let enrolled = pump.enrol(&hub);
    assert_eq!(enrolled["said"], "enrolled", "{enrolled}");

    hub.ask(&["authority", "compromised", "issuing-1"]);
    assert_eq!(hub.credentials("pump7")[0]["state"], "issuer-compromised");
    pump.act(json!({"do": "fetch", "hub": hub.coap}));
    // Nobody tells it to enrol.
    let renewed = said(&mut pump.process, &["enrolled", "not-enrolled"]);
    assert_eq!((&renewed["said"], &renewed["device"]), (&json!("enrolled"), &enrolled["device"]), "{renewed}");
    let credentials = hub.credentials("pump7");
    assert_eq!((credentials.len(), &credentials[0]["state"]), (2, &json!("good")), "{credentials:?}");
}

/// Shows REQ-LOOP-52: what nobody registered waits for a person; what is turned down gets nothing; what was revoked
/// neither.
#[tokio::test]
async fn a_device_that_nobody_registered_waits_and_one_that_is_turned_down_is_told_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path();
    let maker = Maker::new(folder);
    let hub = hub_for(&maker, folder);
    let waiting = async |serial: &str| {
        let mut pump = Pump::start(&maker, &maker.build(folder, serial));
        pump.introduce(&hub, true).await;
        pump.act(json!({"do": "enrol", "hub": hub.coap}));
        let waits = said(&mut pump.process, &["waits", "enrolled", "not-enrolled"]);
        assert_eq!(waits["said"], "waits", "{waits}");
        pump
    };

    let mut pump = waiting("pump8").await;
    let pending = hub.ask(&["device", "list"])["pending"].clone();
    assert_eq!((&pending[0]["by"], pending.as_array().map(Vec::len)), (&json!("birth"), Some(1)), "{pending}");
    hub.ask(&["device", "register", "ward-pump", "--role", "actuator", "--type", PUMP]);
    let (id, key) = (text(&pending[0], "id"), text(&pending[0], "key_fingerprint"));
    hub.ask(&["device", "approve", &id, "--key", &key, "--device", "ward-pump"]);
    let enrolled = said(&mut pump.process, &["enrolled", "not-enrolled"]);
    assert_eq!(enrolled["said"], "enrolled", "{enrolled}");
    assert_eq!(hub.credentials("ward-pump").len(), 1);

    hub.ask(&["device", "revoke", "ward-pump", "--reason", "stolen", "--why", "the bag is gone"]);
    let renewed = pump.enrol(&hub);
    assert_eq!(renewed["said"], "not-enrolled", "{renewed}");

    let mut pump = waiting("pump9").await;
    let id = text(&hub.ask(&["device", "list"])["pending"][0], "id");
    hub.ask(&["device", "reject", &id]);
    let refused = said(&mut pump.process, &["enrolled", "not-enrolled"]);
    assert!(text(&refused, "why").contains("turned down"), "{refused}");
}
