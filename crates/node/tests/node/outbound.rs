//! Calls to addresses that others have chosen: they go nowhere else.

use crate::ordinary::openssl;
use medlock_node::Error;
use medlock_node::http::Limits;
use medlock_node::outbound::{Names, Outbound, OutboundConfig, Places, Refused};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Where names lead, each time they are looked up another way.
#[derive(Default)]
struct Told(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Told {
    fn set(&self, host: &str, places: &[&[&str]]) {
        let read = |places: &&[&str]| places.iter().map(|place| place.parse().expect("an address")).collect();
        self.0.lock().expect("names").insert(host.to_owned(), places.iter().map(read).collect());
    }
}

impl Names for Told {
    fn places<'a>(&'a self, host: &'a str, port: u16) -> Places<'a> {
        let mut names = self.0.lock().expect("names");
        let answer = names.get_mut(host).map(|all| if all.len() > 1 { all.remove(0) } else { all[0].clone() });
        let answer = answer.map(|places| places.into_iter().map(|place| SocketAddr::new(place, port)).collect());
        Box::pin(async move { answer.ok_or_else(|| io::Error::from(io::ErrorKind::NotFound)) })
    }
}

/// A server with an ordinary certificate for `keys.example`, and another machine at the same port that nobody may call.
struct Stage {
    port: u16,
    answered: Arc<AtomicUsize>,
    touched: Arc<AtomicUsize>,
    told: Arc<Told>,
    folder: tempfile::TempDir,
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let chain = vec![CertificateDer::from_pem_file(folder.join("server.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
    let config = rustls::ServerConfig::builder_with_provider(medlock_node::provider::rustls())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("settings");
    TlsAcceptor::from(Arc::new(config))
}

fn answer(path: &str) -> String {
    let head = |line: &str, length: usize| format!("HTTP/1.1 {line}\r\ncontent-length: {length}\r\n\r\n");
    match path {
        "/large" => head("200 OK", 300_000) + &"x".repeat(300_000),
        "/moved" => "HTTP/1.1 302 Found\r\nlocation: /keys\r\ncontent-length: 0\r\n\r\n".to_owned(),
        _ => head("200 OK", 5) + "hello",
    }
}

impl Stage {
    async fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        std::fs::write(at.join("ext"), "subjectAltName=DNS:keys.example,DNS:other.example\n").expect("written");
        openssl(at, "ecparam -name prime256v1 -genkey -noout -out ca.key");
        let authority =
            "req -x509 -new -key ca.key -subj /CN=ca -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE";
        openssl(at, authority);
        openssl(at, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out server.key");
        openssl(at, "req -new -key server.key -subj /CN=keys -out server.csr");
        let certificate =
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -set_serial 1 -days 30 -extfile ext -out server.pem";
        openssl(at, certificate);
        let (listener, forbidden) = loop {
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
            let port = listener.local_addr().expect("an address").port();
            if let Ok(forbidden) = TcpListener::bind(("127.0.0.2", port)).await {
                break (listener, forbidden);
            }
        };
        let port = listener.local_addr().expect("an address").port();
        let (answered, touched) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (acceptor, count) = (acceptor(at), Arc::clone(&answered));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, count) = (acceptor.clone(), Arc::clone(&count));
                tokio::spawn(async move {
                    let Ok(mut stream) = acceptor.accept(stream).await else { return };
                    let mut read = vec![0; 4_096];
                    let length = stream.read(&mut read).await.unwrap_or(0);
                    let head = String::from_utf8_lossy(&read[..length]).into_owned();
                    let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                    count.fetch_add(1, Ordering::SeqCst);
                    if path != "/slow" {
                        let _ = stream.write_all(answer(&path).as_bytes()).await;
                        let _ = stream.shutdown().await;
                    }
                    tokio::time::sleep(Duration::from_secs(1)).await;
                });
            }
        });
        let count = Arc::clone(&touched);
        tokio::spawn(async move {
            while forbidden.accept().await.is_ok() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let told = Arc::new(Told::default());
        told.set("keys.example", &[&["127.0.0.1"]]);
        Self { port, answered, touched, told, folder }
    }

    fn outbound(&self, hosts: &[&str]) -> Outbound {
        let hosts = hosts.iter().map(|host| format!("{host}:{}", self.port)).collect();
        let ca = Some(self.folder.path().join("ca.pem"));
        let config = OutboundConfig { hosts, networks: vec!["127.0.0.1/32".to_owned()], ca };
        let limits =
            Limits { connect: Duration::from_secs(2), request: Duration::from_millis(500), ..Limits::default() };
        let names: Arc<dyn Names> = Arc::<Told>::clone(&self.told);
        let outbound = Outbound::with_names(&config, names).expect("settings");
        outbound.with_limits(Limits { body_bytes: 256 << 10, ..limits })
    }

    async fn get(&self, hosts: &[&str], host: &str, path: &str) -> Result<String, Refused> {
        let address = format!("https://{host}:{}{path}", self.port);
        let answer = self.outbound(hosts).get(&address, "application/json").await?;
        Ok(String::from_utf8_lossy(answer.body()).into_owned())
    }

    fn counts(&self) -> (usize, usize) {
        (self.answered.load(Ordering::SeqCst), self.touched.load(Ordering::SeqCst))
    }
}

/// Shows REQ-NODE-92: a host that is named is called, at the place that was judged, believed by its certificate; no other is.
#[tokio::test(flavor = "multi_thread")]
async fn only_hosts_that_are_named_are_called() {
    let stage = Stage::new().await;
    assert_eq!(stage.get(&["keys.example"], "keys.example", "/keys?x=1").await.expect("an answer"), "hello");
    assert_eq!(stage.get(&["*.example"], "keys.example", "/keys").await.expect("an answer"), "hello");
    for (hosts, host) in [
        (&[][..], "keys.example"),
        (&["other.example"], "keys.example"),
        (&["keys.example"], "evil-keys.example"),
        (&["keys.example"], "keys.example.evil.example"),
        (&["*.keys.example"], "keys.example"),
        (&["*.keys.example"], "evilkeys.example"),
        (&["keys.example"], "127.0.0.1"),
    ] {
        let refused = stage.get(hosts, host, "/keys").await.expect_err(host);
        assert!(matches!(refused, Refused::Host(_)), "{hosts:?} {host}: {refused}");
    }
    let other_port = stage.outbound(&["keys.example"]).get("https://keys.example/keys", "*/*").await;
    assert!(matches!(other_port, Err(Refused::Host(_))));
    // The certificate is for other names, or the name leads nowhere.
    stage.told.set("false.example", &[&["127.0.0.1"]]);
    assert!(matches!(stage.get(&["false.example"], "false.example", "/").await, Err(Refused::Call(_))));
    assert!(matches!(stage.get(&["none.example"], "none.example", "/").await, Err(Refused::Name { .. })));
    assert_eq!(stage.counts(), (2, 0));
    for (hosts, networks) in
        [("https://x", ""), ("x/y", ""), ("", ""), ("*.1.2.3.4", ""), ("x:0", ""), ("x", "10.0.0.0/99")]
    {
        let config = OutboundConfig { hosts: vec![hosts.to_owned()], networks: vec![networks.to_owned()], ca: None };
        assert!(matches!(Outbound::new(&config), Err(Error::Setting(_))), "{hosts} {networks}");
    }
}

/// Shows REQ-NODE-93: whatever a name is, and however an address is written, no call goes to this machine, its neighbours or a
/// private network that was not named.
#[tokio::test(flavor = "multi_thread")]
async fn ssrf_private_places() {
    let stage = Stage::new().await;
    for places in [
        &["127.0.0.2"][..],
        &["10.0.0.1"],
        &["192.168.0.1"],
        &["169.254.169.254"],
        &["0.0.0.0"],
        &["::1"],
        &["::"],
        &["::ffff:127.0.0.2"],
        &["::ffff:10.0.0.1"],
        &["64:ff9b::7f00:2"],
        &["fe80::1"],
        &["fd00::1"],
        &["224.0.0.1"],
        &["ff02::1"],
        // One of several is enough.
        &["127.0.0.1", "127.0.0.2"],
        &["1.1.1.1", "10.0.0.1"],
    ] {
        stage.told.set("keys.example", &[places]);
        let refused = stage.get(&["keys.example"], "keys.example", "/keys").await.expect_err(places[0]);
        assert!(matches!(refused, Refused::Place { .. }), "{places:?}: {refused}");
    }
    for literal in ["127.0.0.2", "[::1]", "[::ffff:127.0.0.2]", "[::ffff:7f00:2]"] {
        let refused = stage.get(&[literal], literal, "/keys").await.expect_err(literal);
        assert!(matches!(refused, Refused::Place { .. }), "{literal}: {refused}");
    }
    // `ssrf_decimal_address` and its like are no hosts at all.
    for disguise in
        ["2130706434", "0x7f000002", "0177.0.0.2", "127.2", "127.0.0.2.", "user@127.0.0.2", "%31%32%37.0.0.2"]
    {
        let refused = stage.get(&["keys.example"], disguise, "/keys").await.expect_err(disguise);
        assert!(matches!(refused, Refused::Address(_)), "{disguise}: {refused}");
    }
    assert_eq!(stage.counts(), (0, 0));
}

/// Shows REQ-NODE-94: a name is looked up once for a call, so that it cannot lead elsewhere between judging and connecting.
#[tokio::test(flavor = "multi_thread")]
async fn ssrf_rebinding() {
    let stage = Stage::new().await;
    stage.told.set("keys.example", &[&["127.0.0.1"], &["127.0.0.2"]]);
    assert_eq!(stage.get(&["keys.example"], "keys.example", "/keys").await.expect("an answer"), "hello");
    let refused = stage.get(&["keys.example"], "keys.example", "/keys").await.expect_err("it leads elsewhere now");
    assert!(matches!(refused, Refused::Place { .. }), "{refused}");
    assert_eq!(stage.counts(), (1, 0));
}

/// Shows REQ-NODE-95: nobody follows where an answer leads; an answer too large or too late is none.
#[tokio::test(flavor = "multi_thread")]
async fn ssrf_redirects_and_limits() {
    let stage = Stage::new().await;
    let moved = stage.get(&["keys.example"], "keys.example", "/moved").await.expect_err("a redirect");
    assert!(matches!(moved, Refused::Elsewhere { status: 302, .. }), "{moved}");
    assert_eq!(stage.counts(), (1, 0));
    let large = stage.get(&["keys.example"], "keys.example", "/large").await.expect_err("too large");
    assert!(matches!(large, Refused::Call(Error::Http { .. })), "{large}");
    let late = stage.get(&["keys.example"], "keys.example", "/slow").await.expect_err("too late");
    assert!(matches!(late, Refused::Call(Error::Timeout { .. })), "{late}");
}

/// Shows REQ-NODE-96: with nothing said, nobody is called; the system's authorities are found where they usually are.
#[test]
fn nobody_is_called_unless_it_is_said() {
    let outbound = Outbound::new(&OutboundConfig::default()).expect("settings");
    assert!(matches!(outbound.allows("https://keys.example/"), Err(Refused::Host(_))));
    let hosts = vec!["keys.example".to_owned()];
    match Outbound::new(&OutboundConfig { hosts, ..OutboundConfig::default() }) {
        Ok(outbound) => assert!(outbound.allows("https://keys.example/").is_ok()),
        Err(error) => assert!(error.to_string().contains("name one with ca"), "{error}"),
    }
}
