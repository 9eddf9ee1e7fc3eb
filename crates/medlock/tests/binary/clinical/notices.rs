//! Notices to subscribers of a hub, as their servers see them.

use super::{CLINICAL, Caller, body, glucose};
use crate::process::{Device, Hub};
use bytes::Bytes;
use data_encoding::BASE64URL_NOPAD;
use http::Method;
use medlock_clinical::jose::signing_input;
use medlock_node::http::Client;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_testkit::peers::venv;
use medlock_testkit::{Child, free_port};
use serde_json::{Value, json};
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const PYTHON: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../clinical/tests/clinical");

/// An authority, and a certificate of it for `localhost`.
fn certified(folder: &Path) {
    std::fs::write(folder.join("ext"), "subjectAltName=DNS:localhost\n").expect("written");
    for line in [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -subj /CN=ca -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE",
        "req -newkey rsa:2048 -nodes -keyout server.key -subj /CN=hook -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 30 -extfile ext -out server.pem",
    ] {
        let mut openssl = Command::new("openssl");
        let status = openssl.args(line.split(' ')).current_dir(folder).stderr(Stdio::null()).status();
        assert!(status.expect("openssl is missing; `cargo xtask peers` installs it").success(), "openssl {line}");
    }
}

/// A token of software in its own name, which proves itself with its key.
async fn backend(hub: &Hub, folder: &Path, scope: &str) -> Caller {
    let key = SigningKey::generate_with(SigningAlgorithm::P384);
    let (x, y) = key.public_key().bits[1..].split_at(48);
    let [x, y] = [x, y].map(|half| BASE64URL_NOPAD.encode(half));
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-384", "x": x, "y": y, "kid": "k1", "alg": "ES384" }] });
    let file = folder.join("jwks.json");
    std::fs::write(&file, keys.to_string()).expect("written");
    let file = file.to_str().expect("text");
    let added = hub.ask(&["clinical", "client", "add", "Ward", "--sort", "keys", "--keys", file, "--scope", scope]);
    let id = added["client"]["id"].as_str().expect("an identifier");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time").as_secs();
    let claims = json!({ "iss": id, "sub": id, "aud": "http://localhost:8080/auth/token", "exp": now + 200, "iat": now, "jti": "1" });
    let header = json!({ "alg": "ES384", "typ": "JWT", "kid": "k1" });
    let input = signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes());
    let assertion = format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign_cose(&[input.as_bytes()])));
    let kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
    let scope = scope.replace(' ', "+");
    let form = format!(
        "grant_type=client_credentials&scope={scope}&client_assertion_type={kind}&client_assertion={assertion}"
    );
    let client = Client::plain(hub.people.to_string());
    let answer = client.post("/auth/token", "application/x-www-form-urlencoded", form).await.expect("an answer");
    let told = body(&answer);
    Caller { client, token: told["access_token"].as_str().unwrap_or_else(|| panic!("{told}")).to_owned() }
}

/// Shows REQ-SUB-12, REQ-SUB-15: the signer process of a hub signs what a subscriber is told, and the hub's figures say who is behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_knows_the_hub_by_the_signature_of_its_signer() {
    let folder = tempfile::tempdir().expect("a folder");
    certified(folder.path());
    std::fs::write(folder.path().join("status"), "200").expect("written");
    let (port, monitoring) = (free_port(), free_port());
    let mut server = Command::new(venv().join("bin/python3"));
    let script = format!("{PYTHON}/hook.py");
    server.args([script, port.to_string()]).current_dir(folder.path()).stdin(Stdio::null());
    let _server = Child::start(&mut server).expect("python starts");
    let ca = folder.path().join("ca.pem");
    let more = format!(
        "monitoring = \"127.0.0.1:{monitoring}\"\n{CLINICAL}[clinical.outbound]\nhosts = [\"localhost:{port}\"]\n\
         networks = [\"127.0.0.0/8\", \"::1\"]\nca = {ca:?}\n"
    );
    let hub = Hub::start_with(folder.path(), &more);
    let gateway = Device::enrol_as(&hub, folder.path(), "gw1", "gateway").await;
    let site = Caller::new(&gateway, &hub, "system/*.crs").await;
    let anna = site.create(&json!({ "resourceType": "Patient", "name": [{ "family": "Anna" }] })).await;
    let sensor = json!({ "resourceType": "Device", "patient": { "reference": format!("Patient/{anna}") } });
    let sensor = site.create(&sensor).await;
    let ward = backend(&hub, folder.path(), "system/Subscription.crs system/Observation.rs").await;
    let base = format!("https://localhost:{port}");
    let channel =
        json!({ "type": "rest-hook", "endpoint": format!("{base}/told"), "payload": "application/fhir+json" });
    let wanted = json!({ "resourceType": "Subscription", "status": "requested", "reason": "care", "criteria": "Observation", "channel": channel });
    ward.create(&wanted).await;
    site.create(&glucose(&anna, &sensor, 104)).await;

    let began = Instant::now();
    let told = loop {
        let told = std::fs::read_to_string(folder.path().join("told")).unwrap_or_default();
        if let Some(told) = told.lines().find_map(|line| serde_json::from_str::<Value>(line).ok()) {
            break told;
        }
        assert!(
            began.elapsed() < Duration::from_secs(20),
            "nothing is told: {:?}",
            ward.get("/fhir/Subscription").await
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let people = Client::plain(hub.people.to_string());
    let keys = people.request(Method::GET, "/auth/keys", None, Bytes::new()).expect("a request");
    let keys = body(&people.send(keys).await.expect("an answer"));
    let mut receiver = Command::new(venv().join("bin/python3"));
    receiver.arg(format!("{PYTHON}/receiver.py")).stdin(Stdio::piped());
    let mut receiver = receiver.spawn().expect("python starts");
    let asked = json!({ "keys": keys, "told": told, "base": base }).to_string();
    receiver.stdin.take().expect("a pipe").write_all(asked.as_bytes()).expect("written");
    assert!(receiver.wait().expect("it ends").success(), "{asked}");

    let watched = Client::plain(format!("127.0.0.1:{monitoring}"));
    let asked = watched.request(Method::GET, "/metrics", None, Bytes::new()).expect("a request");
    let figures = watched.send(asked).await.expect("an answer");
    let figures = String::from_utf8_lossy(figures.body()).into_owned();
    let has = |line: &str| figures.lines().any(|one| one == line);
    assert!(has("medlock_subscriptions 1") && has("medlock_subscriber_behind_seconds 0"), "{figures}");
    assert!(has("medlock_deliveries_waiting 0"), "{figures}");
}
