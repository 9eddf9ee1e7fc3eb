//! Keys of software that are found at an address.

use crate::backend::{Backend, jwk};
use crate::fixture::{Answer, House};
use http::StatusCode;
use medlock_node::outbound::OutboundConfig;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_testkit::{Child, free_port};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

pub(crate) fn openssl(folder: &Path, line: &str) {
    let status =
        Command::new("openssl").args(line.split_whitespace()).current_dir(folder).stderr(Stdio::null()).status();
    assert!(status.expect("openssl is missing; `cargo xtask peers` installs it").success(), "openssl {line}");
}

/// A folder with an authority, and a key and certificate for `localhost`.
pub(crate) fn certified() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    std::fs::write(at.join("ext"), "subjectAltName=DNS:localhost\n").expect("written");
    openssl(at, "ecparam -name prime256v1 -genkey -noout -out ca.key");
    let authority =
        "req -x509 -new -key ca.key -subj /CN=ca -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE";
    openssl(at, authority);
    openssl(at, "ecparam -name prime256v1 -genkey -noout -out server.key");
    openssl(at, "req -new -key server.key -subj /CN=keys -out server.csr");
    let certificate =
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 30 -extfile ext -out server.pem";
    openssl(at, certificate);
    folder
}

/// A web server of the system's, which gives the files of its folder as whole answers.
struct Web {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Web {
    fn new() -> Self {
        let folder = certified();
        let mut web = Self { folder, port: free_port(), server: None };
        web.start();
        web
    }

    fn start(&mut self) {
        let mut server = Command::new("openssl");
        server
            .args(["s_server", "-quiet", "-HTTP", "-key", "server.key", "-cert", "server.pem", "-accept"])
            .arg(format!("127.0.0.1:{}", self.port))
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.server = Some(Child::start(&mut server).expect("openssl starts"));
        let began = std::time::Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(10), "openssl does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn answers(&self, head: &str, body: &Value) {
        let body = body.to_string();
        let whole = format!("HTTP/1.1 {head}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let at = self.folder.path();
        std::fs::write(at.join("new"), whole).expect("written");
        std::fs::rename(at.join("new"), at.join("keys.json")).expect("there");
    }

    fn outbound(&self) -> OutboundConfig {
        let networks = ["127.0.0.0/8", "::1"].map(str::to_owned).to_vec();
        let ca = Some(self.folder.path().join("ca.pem"));
        OutboundConfig { hosts: vec![format!("localhost:{}", self.port)], networks, ca }
    }

    fn address(&self) -> String {
        format!("https://localhost:{}/keys.json", self.port)
    }
}

fn set(keys: &[(&SigningKey, &str)]) -> Value {
    json!({ "keys": keys.iter().map(|(key, name)| jwk(key, name)).collect::<Vec<_>>() })
}

fn is_refused(answer: &Answer) -> bool {
    answer.status == StatusCode::UNAUTHORIZED && answer.body["error"] == "invalid_client"
}

/// Shows REQ-SMART-68: keys are fetched from the registered address, kept as long as they may be, fetched again for a key that is
/// not known once a minute at most, and used for a day when their server is away.
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_found_at_an_address() {
    let mut web = Web::new();
    let house = House::calling(None, web.outbound());
    let keys: Vec<_> = (0..3).map(|_| SigningKey::generate_with(SigningAlgorithm::P384)).collect();
    let registration = json!({ "keys_url": web.address(), "scopes": "system/Patient.rs" });
    let backend = Backend::registered(&house, SigningKey::generate_with(SigningAlgorithm::P384), registration).await;
    let mut number = 0;
    let mut ask = async |key: usize, name: &str| {
        number += 1;
        backend.ask_by(&keys[key], name, &number.to_string()).await
    };
    // `keys_away`: nothing is there yet; it is not asked again at once.
    web.answers("404 Not Found", &json!({}));
    assert!(is_refused(&ask(0, "a").await));
    web.answers("200 OK\r\ncache-control: max-age=600", &set(&[(&keys[0], "a")]));
    assert!(is_refused(&ask(0, "a").await), "keys_asked_too_often");
    house.site.clock.advance(60);
    assert_eq!(ask(0, "a").await.status, StatusCode::OK);
    // A new key is found at once, another one only a minute later.
    web.answers("200 OK\r\ncache-control: max-age=600", &set(&[(&keys[0], "a"), (&keys[1], "b")]));
    house.site.clock.advance(60);
    assert_eq!(ask(1, "b").await.status, StatusCode::OK);
    web.answers("200 OK\r\ncache-control: max-age=600", &set(&[(&keys[1], "b"), (&keys[2], "c")]));
    assert!(is_refused(&ask(2, "c").await), "keys_asked_too_often");
    assert_eq!(ask(0, "a").await.status, StatusCode::OK, "it is kept for ten minutes");
    house.site.clock.advance(60);
    assert_eq!(ask(2, "c").await.status, StatusCode::OK);
    assert!(is_refused(&ask(0, "a").await), "key_withdrawn");
    assert!(is_refused(&ask(0, "c").await), "key_of_another_with_the_name");
    // What their server says badly, or not at all, changes nothing for a day.
    for (head, body) in [
        ("302 Found\r\nlocation: https://evil.example/keys", json!({})),
        ("200 OK", json!({ "keys": "none" })),
        ("500 Internal Server Error", json!({})),
    ] {
        web.answers(head, &body);
        house.site.clock.advance(700);
        assert_eq!(ask(2, "c").await.status, StatusCode::OK, "{head}");
    }
    web.server = None;
    house.site.clock.advance(86_400 - 2_100 - 60);
    assert_eq!(ask(2, "c").await.status, StatusCode::OK, "stale, for a day");
    house.site.clock.advance(120);
    assert!(is_refused(&ask(2, "c").await), "keys_too_old");
    // And back.
    web.answers("200 OK", &set(&[(&keys[2], "c")]));
    web.start();
    house.site.clock.advance(60);
    assert_eq!(ask(2, "c").await.status, StatusCode::OK);
}

/// Shows REQ-SMART-70: an address of keys that would not be called is not registered.
#[tokio::test(flavor = "multi_thread")]
async fn keys_elsewhere_are_not_registered() {
    let hosts = vec!["keys.example".to_owned()];
    let ca = tempfile::NamedTempFile::new().expect("a file");
    openssl(
        Path::new("/"),
        &format!("req -x509 -newkey rsa:2048 -nodes -keyout /dev/null -subj /CN=ca -out {}", ca.path().display()),
    );
    let outbound = OutboundConfig { hosts, ca: Some(ca.path().to_owned()), ..OutboundConfig::default() };
    let house = House::calling(None, outbound);
    for (address, fine) in [
        ("https://keys.example/jwks.json", true),
        ("http://keys.example/jwks.json", false),
        ("https://keys.example:8443/jwks.json", false),
        ("https://evil.example/jwks.json", false),
        ("https://keys.example@evil.example/", false),
        ("https://169.254.169.254/", false),
        ("https://2130706433/", false),
        ("file:///etc/passwd", false),
    ] {
        let asked = json!({
            "verb": "add-client", "name": "x", "sort": "keys", "scopes": "system/Patient.rs", "keys_url": address,
        });
        let told = house.administer(asked).await;
        assert_eq!(told.status == StatusCode::OK, fine, "{address}: {told:?}");
        assert!(
            fine || told.body["error"].as_str().is_some_and(|text| text.contains("address") || text.contains("host"))
        );
    }
}
