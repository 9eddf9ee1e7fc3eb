use crate::fixture::{Running, acceptor, start, who};
use medlock_node::accept::Limits;
use medlock_node::http::Client;
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{self, SigningKey};
use medlock_node::tls::{Believed, ClientAuth, Connector, Secured, server_config};
use medlock_testkit::Site;
use medlock_trust::{Role, Time};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

const LIMIT: Duration = Duration::from_secs(10);

async fn server(site: &Site, own: &IdentityStore, clients: ClientAuth) -> (Running, Arc<KnowledgeBase>) {
    let knowledge = site.knowledge();
    (start(Some(acceptor(own, &knowledge, clients)), Limits::default(), who()).await, knowledge)
}

async fn asks(running: &Running, site: &Site, identity: Option<&IdentityStore>) -> Result<String, medlock_node::Error> {
    let believed = Believed::Knowledge(site.knowledge());
    let connector = Connector::new(identity, believed, None).expect("settings");
    let answer = Client::tls(running.address.to_string(), connector).get("/who").await?;
    Ok(String::from_utf8_lossy(answer.body()).into_owned())
}

/// Shows REQ-NODE-01.
#[tokio::test]
async fn expired_certificates_authenticate_on_both_sides() {
    let site = Site::new("S");
    let hub = IdentityStore::in_memory(Some(site.identity("hub", &[Role::Hub], site.past())));
    let ct = IdentityStore::in_memory(Some(site.identity("ct-1", &[Role::Modality], site.past())));
    let (running, _) = server(&site, &hub, ClientAuth::Required).await;
    assert_eq!(asks(&running, &site, Some(&ct)).await.expect("an answer"), "ct-1");
}

/// Shows REQ-NODE-02.
#[tokio::test]
async fn strangers_are_refused_on_both_sides() {
    let (site, other) = (Site::new("S"), Site::new("S"));
    let (own, stranger) = (site.store("ct-1", &[Role::Modality]), other.store("ct-1", &[Role::Modality]));
    let (running, _) = server(&site, &site.store("hub", &[Role::Hub]), ClientAuth::Required).await;
    assert!(asks(&running, &site, Some(&stranger)).await.is_err());
    assert!(asks(&running, &site, None).await.is_err(), "a certificate is required");
    assert_eq!(asks(&running, &site, Some(&own)).await.expect("an answer"), "ct-1");
    let (running, _) = server(&site, &stranger, ClientAuth::Required).await;
    let error = asks(&running, &site, Some(&own)).await.expect_err("a stranger's server");
    assert!(!error.to_string().contains("timeout"), "{error}");
}

#[tokio::test]
async fn certificate_is_optional_where_devices_enrol_but_a_strange_one_is_refused() {
    let (site, other) = (Site::new("S"), Site::new("S"));
    let (running, _) = server(&site, &site.store("hub", &[Role::Hub]), ClientAuth::Optional).await;
    assert_eq!(asks(&running, &site, None).await.expect("an answer"), "nobody");
    assert!(asks(&running, &site, Some(&other.store("ct-1", &[]))).await.is_err());
}

/// A certificate is no proof: whoever shows it must have its key. Shows REQ-NODE-03.
#[tokio::test]
async fn certificate_without_its_key_is_refused() {
    let site = Site::new("S");
    let (running, _) = server(&site, &site.store("hub", &[Role::Hub]), ClientAuth::Required).await;
    let stolen = site.identity("ct-1", &[Role::Modality], site.present());
    let thief = rustls_client(&site, stolen.chain().to_vec(), &SigningKey::generate());
    assert!(handshake(&running, thief).await.is_err());
    let owner = rustls_client(&site, stolen.chain().to_vec(), stolen.key());
    assert!(handshake(&running, owner).await.is_ok());
}

/// The same from the server's side: a client is not fooled either. Shows REQ-NODE-03.
#[tokio::test]
async fn server_without_its_key_is_refused() {
    let site = Site::new("S");
    let chain = site.identity("hub", &[Role::Hub], site.present()).chain().to_vec();
    let key = rustls_key(&SigningKey::generate());
    let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, key));
    let config = rustls::ServerConfig::builder_with_provider(provider::rustls())
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(certified)));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = listener.local_addr().expect("address").to_string();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("accept");
        let _ = tokio_rustls::TlsAcceptor::from(Arc::new(config)).accept(stream).await;
    });
    let connector = Connector::new(None, Believed::Knowledge(site.knowledge()), None).expect("settings");
    let error = connector.connect(&address, LIMIT).await.expect_err("refused");
    assert!(error.to_string().contains("BadSignature"), "{error}");
}

fn rustls_key(key: &SigningKey) -> Arc<dyn rustls::sign::SigningKey> {
    let der = PrivateKeyDer::Pkcs8(key.to_pkcs8().to_vec().into());
    rustls::crypto::aws_lc_rs::sign::any_ecdsa_type(&der).expect("a key")
}

/// A client of another kind than ours, with any key to any chain.
fn rustls_client(site: &Site, chain: Vec<CertificateDer<'static>>, key: &SigningKey) -> Arc<rustls::ClientConfig> {
    let certified = Arc::new(rustls::sign::CertifiedKey::new(chain, rustls_key(key)));
    let believed = Believed::Knowledge(site.knowledge());
    let ours = medlock_node::tls::client_config(None, believed, None).expect("settings");
    let mut config = rustls::ClientConfig::clone(&ours);
    config.client_auth_cert_resolver = Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    Arc::new(config)
}

/// Shakes hands and exchanges a word: with TLS 1.3 a client learns of its refusal only then.
async fn handshake(running: &Running, config: Arc<rustls::ClientConfig>) -> std::io::Result<Vec<u8>> {
    let tcp = TcpStream::connect(running.address).await?;
    let name = "medlock.invalid".try_into().expect("name");
    let mut stream = tokio_rustls::TlsConnector::from(config).connect(name, tcp).await?;
    stream.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer)
}

/// Shows REQ-NODE-04.
#[tokio::test]
async fn first_contact_believes_the_root_of_the_code_and_no_other() {
    let (site, other) = (Site::new("S"), Site::new("S"));
    let (running, _) = server(&site, &site.store("hub", &[Role::Hub]), ClientAuth::Optional).await;
    let address = running.address.to_string();
    let connect = |root, role| {
        let connector = Connector::new(None, Believed::Root(root), role).expect("settings");
        let address = address.clone();
        async move { connector.connect(&address, LIMIT).await }
    };
    let Secured { peer, .. } = connect(site.fingerprint(), Some(Role::Hub)).await.expect("connected");
    assert_eq!(peer.expect("somebody").device_name().as_str(), "hub");
    assert!(connect(other.fingerprint(), Some(Role::Hub)).await.is_err());
    let text = connect(site.fingerprint(), Some(Role::Archive)).await.expect_err("no archive").to_string();
    assert!(text.contains("role archive"), "{text}");
}

/// Shows REQ-NODE-05.
#[tokio::test]
async fn new_certificate_is_shown_to_new_callers_while_old_connections_go_on() {
    let site = Site::new("S");
    let own = site.store("pacs-1", &[Role::Archive]);
    let (running, knowledge) = server(&site, &own, ClientAuth::Required).await;
    let peer = site.store("ct-1", &[Role::Modality]);
    let connector = Connector::new(Some(&peer), Believed::Knowledge(knowledge), None).expect("settings");
    let address = running.address.to_string();
    let mut old = connector.connect(&address, LIMIT).await.expect("connected");
    let next = site.identity("pacs-1", &[Role::Archive], site.present());
    own.replace(next.clone()).expect("swapped");
    peer.replace(site.identity("ct-2", &[Role::Modality], site.present())).expect("swapped");
    let new = connector.connect(&address, LIMIT).await.expect("connected");
    assert_ne!(old.chain[0], new.chain[0]);
    assert_eq!(new.chain[0], *next.own());
    old.stream.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("alive");
    let mut answer = String::new();
    old.stream.read_to_string(&mut answer).await.expect("alive");
    assert!(answer.ends_with("ct-1"), "{answer}");
}

/// Shows REQ-NODE-06.
#[tokio::test]
async fn nothing_is_resumed_and_the_key_exchange_is_hybrid() {
    let site = Site::new("S");
    let (running, knowledge) = server(&site, &site.store("hub", &[Role::Hub]), ClientAuth::Required).await;
    let peer = site.store("ct-1", &[Role::Modality]);
    let connector = Connector::new(Some(&peer), Believed::Knowledge(knowledge), None).expect("settings");
    for _ in 0..3 {
        let mut secured = connector.connect(&running.address.to_string(), LIMIT).await.expect("connected");
        let (_, connection) = secured.stream.get_ref();
        assert_eq!(connection.handshake_kind(), Some(rustls::HandshakeKind::Full));
        assert_eq!(connection.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
        let group = connection.negotiated_key_exchange_group().expect("a group").name();
        assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
        secured.stream.write_all(b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await.expect("alive");
        let mut answer = Vec::new();
        secured.stream.read_to_end(&mut answer).await.expect("alive");
    }
}

/// Runs `openssl s_client` with `options` against the server and returns what it printed.
fn s_client(running: &Running, files: &Files, options: &[&str]) -> String {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &running.address.to_string(), "-ign_eof", "-showcerts", "-CAfile", &files.root])
        .args(options)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl");
    let request = b"GET /who HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    child.stdin.take().expect("piped").write_all(request).expect("sent");
    let output = child.wait_with_output().expect("openssl");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

struct Files {
    root: String,
    issuing: String,
    own: String,
    _directory: tempfile::TempDir,
}

/// The root, and an identity as `identity.pem` has it.
fn files(site: &Site, identity: &Identity) -> Files {
    let directory = tempfile::tempdir().expect("directory");
    let pem = |label, der: &[u8]| der::pem::encode_string(label, der::pem::LineEnding::LF, der).expect("PEM");
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("write");
        path.to_str().expect("UTF-8").to_owned()
    };
    let chain: String = identity.chain().iter().map(|certificate| pem("CERTIFICATE", certificate)).collect();
    let own = write("own.pem", pem("PRIVATE KEY", &identity.key().to_pkcs8()) + &chain);
    let issuing = write("issuing.pem", pem("CERTIFICATE", &site.issuing));
    Files { root: write("root.pem", pem("CERTIFICATE", &site.root)), issuing, own, _directory: directory }
}

/// Shows REQ-NODE-07.
#[tokio::test(flavor = "multi_thread")]
async fn openssl_talks_tls_1_2_and_1_3_with_a_client_certificate() {
    let site = Site::new("S");
    let (running, _) = server(&site, &site.store("hub", &[Role::Hub]), ClientAuth::Required).await;
    let identity = site.identity("ct-1", &[Role::Modality], site.past());
    let files = files(&site, &identity);
    for version in ["-tls1_2", "-tls1_3"] {
        let text = s_client(
            &running,
            &files,
            &[version, "-cert", &files.own, "-cert_chain", &files.issuing, "-key", &files.own],
        );
        assert!(text.contains("ct-1") && text.contains("Verify return code: 0"), "{version}: {text}");
        let text = s_client(&running, &files, &[version]);
        assert!(!text.contains("HTTP/1.1 200"), "{version}: {text}");
    }
    let text = s_client(&running, &files, &["-tls1_1", "-cert", &files.own, "-key", &files.own]);
    assert!(!text.contains("HTTP/1.1 200"), "{text}");
    assert_eq!(CertificateDer::pem_file_iter(&files.own).expect("file").count(), 2);
}

/// TLS 1.3 has no PKCS#1 signatures and binds curves: other combinations never verify, whatever they sign.
#[tokio::test(flavor = "multi_thread")]
async fn certificates_with_other_kinds_of_keys_shake_hands() {
    let site = Site::new("S");
    let (running, _) = server(&site, &site.store("hub", &[Role::Hub]), ClientAuth::Required).await;
    let directory = tempfile::tempdir().expect("directory");
    for algorithm in
        [&["EC", "-pkeyopt", "ec_paramgen_curve:P-384"][..], &["ED25519"], &["RSA", "-pkeyopt", "rsa_keygen_bits:2048"]]
    {
        let path = directory.path().join("key.pem").to_str().expect("UTF-8").to_owned();
        let made = Command::new("openssl").args(["genpkey", "-out", &path, "-algorithm"]).args(algorithm).output();
        assert!(made.expect("openssl").status.success());
        let public = Command::new("openssl").args(["pkey", "-pubout", "-outform", "DER", "-in", &path]).output();
        let mut certificate = medlock_testkit::CertificateBuilder::device(
            "S",
            "ct-1",
            &SigningKey::generate(),
            medlock_trust::Roles::of(&[Role::Modality]),
            site.present(),
        );
        certificate.spki = public.expect("openssl").stdout;
        let own = site.sign(&certificate);
        let pem = |der: &[u8]| der::pem::encode_string("CERTIFICATE", der::pem::LineEnding::LF, der).expect("PEM");
        let key = std::fs::read_to_string(&path).expect("key");
        std::fs::write(&path, key + &pem(&own)).expect("write");
        let files = Files { own: path, ..files(&site, &site.identity("ct-2", &[], site.present())) };
        for version in ["-tls1_2", "-tls1_3"] {
            let text = s_client(
                &running,
                &files,
                &[version, "-cert", &files.own, "-cert_chain", &files.issuing, "-key", &files.own],
            );
            assert!(text.contains("ct-1"), "{algorithm:?} {version}: {text}");
        }
    }
}

/// An identity that is not there yet fails handshakes and nothing else.
#[tokio::test]
async fn server_without_an_identity_answers_nobody() {
    let site = Site::new("S");
    let own = IdentityStore::in_memory(None);
    let (running, _) = server(&site, &own, ClientAuth::Optional).await;
    assert!(asks(&running, &site, None).await.is_err());
    own.replace(site.identity("hub", &[Role::Hub], site.present())).expect("enrolled");
    assert_eq!(asks(&running, &site, None).await.expect("an answer"), "nobody");
    assert!(server_config(&own, &site.knowledge(), ClientAuth::None).is_ok());
    assert!(site.present().1 > Time::from_unix(0));
}
