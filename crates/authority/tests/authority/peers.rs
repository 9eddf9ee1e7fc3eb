//! Ordinary software as clients: curl and openssl speak EST, read the CRL, ask OCSP, and verify what they get.

use crate::fixture::{Site, config};
use medlock_authority::admin::{self, Reason, Request};
use medlock_authority::keys::AuthorityCertificate;
use medlock_authority::profile::ProfileConfig;
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig, devices_router, people_router};
use medlock_node::accept::{self, Limits};
use medlock_node::clock::Clock;
use medlock_node::enrol::read_certs_only;
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_node::stop::{self, Stopper};
use medlock_node::tls::{Acceptor, ClientAuth, server_config};
use medlock_trust::x509::Certificate;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::Arc;
use tokio::net::TcpListener;

struct Hub {
    site: Site,
    devices: u16,
    people: u16,
    files: tempfile::TempDir,
    _stopper: Stopper,
    runtime: tokio::runtime::Runtime,
}

impl Hub {
    fn new() -> Self {
        Self::of(Site::with_clock(Clock::system()))
    }

    /// A hub whose certificates name the place of its revocation lists.
    fn public() -> Self {
        let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::system());
        let config = AuthorityConfig { public_url: Some("http://pki.example.org".into()), ..config(dir.path()) };
        let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
        let authority = Arc::new(Authority::open(&config, clock.clone(), signer).unwrap());
        Self::of(Site { authority, clock, dir })
    }

    fn of(site: Site) -> Self {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let (stopper, stop) = stop::channel();
        let listen = || runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let (devices, people) = (listen(), listen());
        let ports = [&devices, &people].map(|listener| listener.local_addr().unwrap().port());
        let authority = site.authority.clone();
        let knowledge = authority.knowledge().clone();
        let tls = server_config(authority.hub_identity(), &knowledge, ClientAuth::Optional).unwrap();
        let tls = Acceptor::new(tls, knowledge);
        runtime.spawn(accept::serve(
            devices,
            Some(tls),
            Limits::default(),
            devices_router(authority.clone()),
            stop.clone(),
        ));
        runtime.spawn(accept::serve(people, None, Limits::default(), people_router(authority.clone()), stop.clone()));
        let socket = site.dir.path().join("admin.sock");
        let socket = runtime.block_on(async { admin::Socket::open(&socket).unwrap() });
        runtime.spawn(admin::serve(admin::router(authority), socket, stop));
        let hub = Self {
            site,
            devices: ports[0],
            people: ports[1],
            files: tempfile::tempdir().unwrap(),
            _stopper: stopper,
            runtime,
        };
        hub.write("root.pem", pem(&hub.site.authority.root().der));
        hub.write("issuing.pem", pem(&hub.site.authority.issuing().der));
        hub
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.file(name), content).unwrap();
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.file(name)).unwrap()
    }

    /// Runs a program in the folder of files; returns what it wrote, and whether it succeeded.
    fn run(&self, program: &str, arguments: &[&str]) -> (String, bool) {
        let Output { status, stdout, stderr } =
            Command::new(program).args(arguments).current_dir(self.files.path()).output().unwrap();
        (String::from_utf8_lossy(&[stdout, stderr].concat()).into_owned(), status.success())
    }

    fn openssl(&self, arguments: &str) -> String {
        let (text, success) = self.run("openssl", &arguments.split(' ').collect::<Vec<_>>());
        assert!(success, "openssl {arguments}: {text}");
        text
    }

    /// Asks with curl; returns head and body.
    fn curl(&self, path: &str, more: &[&str]) -> (String, Vec<u8>) {
        let url = format!("https://localhost:{}{path}", self.devices);
        let fixed =
            ["--silent", "--show-error", "--max-time", "20", "--cacert", "root.pem", "-D", "head", "-o", "body", &url];
        let (text, success) = self.run("curl", &[&fixed[..], more].concat());
        assert!(success, "{text}");
        (String::from_utf8(self.read("head")).unwrap().to_lowercase(), self.read("body"))
    }

    fn key_and_request(&self, name: &str) {
        self.openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        self.openssl(&format!("req -new -key {name}.key -subj /CN=whatever -outform DER -out {name}.der"));
        self.openssl(&format!("base64 -in {name}.der -out {name}.b64"));
    }

    /// The certificate in the last answer's body, as the PEM file `name`.
    fn take_certificate(&self, name: &str) {
        self.openssl("base64 -d -in body -out body.der");
        let text = self.openssl("pkcs7 -inform DER -in body.der -print_certs");
        let start = text.find("-----BEGIN").unwrap();
        let end = text.find("-----END CERTIFICATE-----").unwrap() + 25;
        self.write(name, format!("{}\n", &text[start..end]));
        self.write(
            &format!("{name}.chain"),
            format!("{}\n{}", &text[start..end], pem(&self.site.authority.issuing().der)),
        );
    }

    /// A device that has enrolled with curl and a code: `ct.pem`, `ct.pem.chain`, `ct.key`.
    fn enrolled(&self) {
        self.site.register("ct-1");
        let code = self.site.code("ct-1");
        self.key_and_request("ct");
        let login = format!("{}:{}", code.user(), *code.password());
        let post = ["-u", &login, "-H", "Content-Type: application/pkcs10", "--data-binary", "@ct.b64"];
        let (head, _) = self.curl("/.well-known/est/simpleenroll", &post);
        assert!(head.contains(" 202") && head.contains("retry-after: 2"), "{head}");
        self.site.approve_all();
        let (head, _) = self.curl("/.well-known/est/simpleenroll", &post);
        assert!(head.contains(" 200"), "{head}");
        assert!(head.contains("content-type: application/pkcs7-mime; smime-type=certs-only"), "{head}");
        assert!(head.contains("content-transfer-encoding: base64"), "{head}");
        self.take_certificate("ct.pem");
    }

    fn suspend(&self) {
        self.site.ask(Request::Suspend { device: "ct-1".into(), why: "test".into() });
    }
}

fn pem(der: &[u8]) -> String {
    let lines = data_encoding::BASE64.encode(der);
    let lines: Vec<&str> = lines.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// Shows REQ-AUTH-19.
#[test]
fn curl_and_openssl_enrol_renew_and_verify() {
    let hub = Hub::new();
    let (head, _) = hub.curl("/.well-known/est/cacerts", &[]);
    assert!(head.contains(" 200") && head.contains("smime-type=certs-only"), "{head}");
    hub.openssl("base64 -d -in body -out body.der");
    let text = hub.openssl("pkcs7 -inform DER -in body.der -print_certs");
    assert_eq!(text.matches("BEGIN CERTIFICATE").count(), 2, "{text}");
    let (head, _) = hub.curl("/.well-known/est/csrattrs", &[]);
    assert!(head.contains("content-type: application/csrattrs"), "{head}");
    hub.openssl("base64 -d -in body -out body.der");
    assert!(hub.openssl("asn1parse -inform DER -in body.der").contains("prime256v1"));

    hub.enrolled();
    assert!(hub.openssl("verify -x509_strict -CAfile root.pem -untrusted issuing.pem ct.pem").contains("OK"));
    for purpose in ["sslserver", "sslclient"] {
        hub.openssl(&format!("verify -purpose {purpose} -CAfile root.pem -untrusted issuing.pem ct.pem"));
    }
    let text = hub.openssl("x509 -in ct.pem -noout -text");
    assert!(text.contains("serialNumber = ct-1") && text.contains("DNS:ct-1.example.org"), "{text}");
    assert!(!text.contains("whatever"), "{text}");

    hub.key_and_request("new");
    let post = ["-H", "Content-Type: application/pkcs10", "--data-binary", "@new.b64"];
    let path = "/.well-known/est/simplereenroll";
    let (head, body) = hub.curl(path, &[&["--cert", "ct.pem.chain", "--key", "ct.key"], &post[..]].concat());
    assert!(head.contains(" 400"), "another subject: {head} {}", String::from_utf8_lossy(&body));
    hub.openssl("req -new -key new.key -subj /O=Sankt\u{a0}Anna/serialNumber=ct-1/CN=ct-1 -out unused.pem");
    let subject = ["req", "-new", "-key", "new.key", "-outform", "DER", "-out", "new.der", "-utf8", "-subj"];
    let (text, success) = hub.run("openssl", &[&subject[..], &["/O=Sankt Anna/serialNumber=ct-1/CN=ct-1"]].concat());
    assert!(success, "{text}");
    hub.openssl("base64 -in new.der -out new.b64");
    let (head, body) = hub.curl(path, &[&["--cert", "ct.pem.chain", "--key", "ct.key"], &post[..]].concat());
    assert!(head.contains(" 200"), "{head} {}", String::from_utf8_lossy(&body));
    hub.take_certificate("new.pem");
    assert!(hub.openssl("verify -CAfile root.pem -untrusted issuing.pem new.pem").contains("OK"));
}

#[test]
fn clients_without_a_right_get_the_answers_of_the_standard() {
    let hub = Hub::new();
    hub.enrolled();
    let enroll = "/.well-known/est/simpleenroll";
    let (head, _) = hub.curl(enroll, &["--data-binary", "@ct.b64"]);
    assert!(head.contains(" 401") && head.contains("www-authenticate: basic"), "{head}");
    let (head, _) = hub.curl(enroll, &["-u", "0102030405:AAAA", "--data-binary", "@ct.b64"]);
    assert!(head.contains(" 401"), "{head}");
    let (head, _) = hub.curl(enroll, &["-u", "0102030405:AAAA", "--data-binary", "nonsense*"]);
    assert!(head.contains(" 400") && head.contains("text/plain"), "{head}");
    let (head, _) = hub.curl("/.well-known/est/simplereenroll", &["--data-binary", "@ct.b64"]);
    assert!(head.contains(" 401"), "{head}");
    for path in ["/v1/news", "/v1/objects/status", "/v1/ticket?credential=00&nonce=00"] {
        let (head, _) = hub.curl(path, &[]);
        assert!(head.contains(" 401"), "{path}: {head}");
    }
    let mine = ["--cert", "ct.pem.chain", "--key", "ct.key"];
    let (head, _) = hub.curl(enroll, &[&mine[..], &["--data-binary", "@ct.b64"]].concat());
    assert!(head.contains(" 403"), "{head}");
    let (head, _) = hub.curl("/v1/objects/nothing", &mine);
    assert!(head.contains(" 404"), "{head}");
    let (head, _) = hub.curl("/v1/ticket?credential=zz&nonce=00", &mine);
    assert!(head.contains(" 400"), "{head}");
    hub.suspend();
    let (head, body) = hub.curl("/v1/objects/status", &mine);
    assert!(head.contains(" 403") && !body.is_empty(), "{head}");
}

/// Shows REQ-AUTH-20.
#[test]
fn objects_tickets_and_news_are_given_to_those_who_may_renew() {
    let hub = Hub::new();
    hub.enrolled();
    let mine = ["--cert", "ct.pem.chain", "--key", "ct.key"];
    let current = hub.site.authority.news().current(medlock_authority::objects::Kind::Status).unwrap();
    let (head, body) = hub.curl("/v1/objects/status", &mine);
    let tag = format!("etag: \"{}\"", current.version);
    assert!(head.contains("application/cose") && head.contains(&tag), "{head}");
    assert_eq!(body, current.bytes);
    let held = format!("If-None-Match: \"{}\"", current.version);
    let (head, _) = hub.curl("/v1/objects/status", &[&mine[..], &["-H", &held]].concat());
    assert!(head.contains(" 304"), "{head}");
    let id = hub.openssl("x509 -in ct.pem -outform DER -out ct.crt.der");
    assert!(id.is_empty());
    let id = crate::fixture::credential(&hub.read("ct.crt.der"));
    let (head, body) = hub.curl(&format!("/v1/ticket?credential={id}&nonce={}", "ab".repeat(16)), &mine);
    assert!(head.contains(" 200") && body.starts_with(&[0xd2]), "{head}");

    // A follower gets the objects, then the change, and is left when it is compromised.
    let url = format!("https://localhost:{}/v1/news", hub.devices);
    let follower = Command::new("curl")
        .args(["--silent", "--no-buffer", "--max-time", "20", "--cacert", "root.pem"])
        .args(mine)
        .arg(&url)
        .current_dir(hub.files.path())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_500));
    let reason = Reason::KeyCompromise;
    hub.site.ask(Request::Revoke { device: "ct-1".into(), reason, why: "test".into() });
    let output = follower.wait_with_output().unwrap();
    assert!(output.status.success(), "the hub ended the stream, not curl's patience: {:?}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    for kind in ["site-list", "policy", "routes", "status"] {
        assert!(text.contains(&format!("event: {kind}\nid: ")), "{kind} is missing in {text}");
    }
    assert_eq!(text.matches("event: status\n").count(), 2, "{text}");
    let newest = hub.site.authority.news().current(medlock_authority::objects::Kind::Status).unwrap();
    assert!(text.contains(&data_encoding::BASE64.encode(&newest.bytes)));
}

/// Shows REQ-AUTH-21.
#[test]
fn openssl_verifies_the_crl_and_obeys_it() {
    let hub = Hub::new();
    hub.enrolled();
    hub.write("chain.pem", [hub.read("root.pem"), hub.read("issuing.pem")].concat());
    let fetch = |name: &str| {
        let url = format!("http://127.0.0.1:{}/crl/issuing.crl", hub.people);
        let (text, success) = hub.run("curl", &["--silent", "--fail", "-o", "crl.der", &url]);
        assert!(success, "{text}");
        assert!(hub.openssl("crl -inform DER -in crl.der -verify -CAfile chain.pem -noout").contains("verify OK"));
        hub.openssl(&format!("crl -inform DER -in crl.der -out {name}"));
        hub.openssl("crl -inform DER -in crl.der -noout -text")
    };
    let verify =
        ["verify", "-crl_check", "-CRLfile", "crl.pem", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "ct.pem"];
    let first = fetch("crl.pem");
    assert!(first.contains("No Revoked Certificates") && first.contains("Version 2"), "{first}");
    let (text, good) = hub.run("openssl", &verify);
    assert!(good, "{text}");
    hub.suspend();
    let second = fetch("crl.pem");
    assert!(second.contains("Certificate Hold"), "{second}");
    let number = |text: &str| {
        let at = text.find("X509v3 CRL Number").unwrap();
        text[at..].lines().nth(1).unwrap().trim().parse::<u64>().unwrap()
    };
    assert!(number(&second) > number(&first));
    let (text, good) = hub.run("openssl", &verify);
    assert!(!good && text.contains("certificate revoked"), "{text}");
    hub.site.ask(Request::Restore { device: "ct-1".into(), why: String::new() });
    fetch("crl.pem");
    let (text, good) = hub.run("openssl", &verify);
    assert!(good, "{text}");
    hub.site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: String::new() });
    assert!(fetch("crl.pem").contains("Key Compromise"));
    let (text, good) = hub.run("openssl", &verify);
    assert!(!good, "{text}");
}

/// Shows REQ-KEYS-08.
#[test]
fn openssl_verifies_chain_crl_and_ocsp_of_p384_and_ed25519_keys() {
    for algorithm in [SigningAlgorithm::P384, SigningAlgorithm::Ed25519] {
        let hub = Hub::of(crate::keys::site_with(algorithm, Clock::system()));
        let certificate = hub.site.enrol("ct-1", &SigningKey::generate_with(algorithm));
        hub.write("ct.pem", pem(&certificate));
        hub.write("chain.pem", [hub.read("root.pem"), hub.read("issuing.pem")].concat());
        assert!(hub.openssl("verify -x509_strict -CAfile root.pem -untrusted issuing.pem ct.pem").contains("OK"));
        let check = |known_good: bool| {
            let url = format!("http://127.0.0.1:{}", hub.people);
            let (text, success) =
                hub.run("curl", &["--silent", "--fail", "-o", "crl.der", &format!("{url}/crl/issuing.crl")]);
            assert!(success, "{text}");
            assert!(hub.openssl("crl -inform DER -in crl.der -verify -CAfile chain.pem -noout").contains("verify OK"));
            hub.openssl("crl -inform DER -in crl.der -out crl.pem");
            let verify = "verify -crl_check -CRLfile crl.pem -CAfile root.pem -untrusted issuing.pem ct.pem";
            let (text, good) = hub.run("openssl", &verify.split(' ').collect::<Vec<_>>());
            assert_eq!(good, known_good, "{text}");
            let told = hub
                .openssl(&format!("ocsp -issuer issuing.pem -cert ct.pem -url {url}/ocsp -CAfile root.pem -no_nonce"));
            assert!(told.contains("Response verify OK"), "{told}");
            assert_eq!(told.contains("ct.pem: good"), known_good, "{told}");
        };
        check(true);
        hub.suspend();
        check(false);
    }
}

/// Shows REQ-STAT-09, REQ-STAT-10: certificates name their part of the CRL, openssl obeys that part and no other, and
/// what has changed since.
#[test]
fn openssl_obeys_parts_of_the_crl_and_their_changes() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let config = AuthorityConfig {
        public_url: Some("http://pki.example.org".into()),
        profile: ProfileConfig { crl_partitions: 4, ..ProfileConfig::default() },
        ..config(dir.path())
    };
    let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let authority = Arc::new(Authority::open(&config, clock.clone(), signer).unwrap());
    let hub = Hub::of(Site { authority, clock, dir });
    hub.enrolled();
    hub.write("chain.pem", [hub.read("root.pem"), hub.read("issuing.pem")].concat());
    let fetch = |name: &str, to: &str| {
        let url = format!("http://127.0.0.1:{}/crl/{name}.crl", hub.people);
        let (text, success) = hub.run("curl", &["--silent", "--fail", "-o", "crl.der", &url]);
        assert!(success, "{name}: {text}");
        assert!(hub.openssl("crl -inform DER -in crl.der -verify -CAfile chain.pem -noout").contains("verify OK"));
        hub.openssl(&format!("crl -inform DER -in crl.der -out {to}"));
        hub.openssl("crl -inform DER -in crl.der -noout -text")
    };
    let verify = |crls: &[&str]| {
        hub.write("crls.pem", crls.iter().flat_map(|name| hub.read(name)).collect::<Vec<_>>());
        let last = ["-CRLfile", "crls.pem", "-CAfile", "root.pem", "-untrusted", "issuing.pem", "ct.pem"];
        let (text, good) = hub.run("openssl", &[&["verify", "-crl_check", "-use_deltas"], &last[..]].concat());
        (good, text)
    };
    let points = hub.openssl("x509 -in ct.pem -noout -ext crlDistributionPoints");
    let at = points.find("/crl/issuing-").unwrap() + 13;
    let part: u16 = points[at..].chars().take_while(char::is_ascii_digit).collect::<String>().parse().unwrap();
    let base = fetch(&format!("issuing-{part}"), "base.pem");
    assert!(base.contains("X509v3 Issuing Distribution Point: critical"), "{base}");
    assert!(base.contains(&format!("issuing-{part}.crl")) && base.contains("X509v3 Freshest CRL"), "{base}");
    assert!(verify(&["base.pem"]).0);
    fetch(&format!("issuing-{}", (part + 1) % 4), "other.pem");
    assert!(!verify(&["other.pem"]).0, "the list of another part says nothing of this certificate");
    hub.suspend();
    let delta = fetch(&format!("issuing-{part}.delta"), "delta.pem");
    assert!(delta.contains("X509v3 Delta CRL Indicator: critical"), "{delta}");
    assert!(verify(&["base.pem"]).0, "the complete one of before knows nothing yet");
    let (good, text) = verify(&["base.pem", "delta.pem"]);
    assert!(!good && text.contains("certificate revoked"), "{text}");
    assert!(fetch(&format!("issuing-{part}"), "second.pem").contains("Certificate Hold"));
    assert!(fetch("issuing", "whole.pem").contains("Certificate Hold"), "and the one of all");
    assert!(fetch(&format!("issuing-{}", (part + 1) % 4), "other.pem").contains("No Revoked Certificates"));
    for wrong in ["issuing-4", "issuing-00", "issuing-", "issuing-0x", "other"] {
        let url = format!("http://127.0.0.1:{}/crl/{wrong}.crl", hub.people);
        assert!(!hub.run("curl", &["--silent", "--fail", &url]).1, "{wrong}");
    }
    hub.site.ask(Request::Restore { device: "ct-1".into(), why: String::new() });
    fetch(&format!("issuing-{part}.delta"), "delta.pem");
    assert!(verify(&["base.pem", "delta.pem"]).0);
}

/// Shows REQ-KEYS-12: after a rotation, openssl verifies the chains of old and new credentials, the revocation list of each
/// key, and what each key answers by OCSP; curl enrols as before.
#[test]
fn openssl_verifies_old_and_new_credentials_after_a_rotation() {
    let hub = Hub::public();
    hub.enrolled();
    hub.openssl("x509 -in ct.pem -out old.pem");
    hub.site.ask(Request::ChangeKeys { change: "rotate".parse().unwrap(), anyway: false, why: String::new() });
    hub.write("second.pem", pem(&hub.site.authority.issuing().der));
    hub.write("chain.pem", [hub.read("root.pem"), hub.read("issuing.pem"), hub.read("second.pem")].concat());
    let (head, _) = hub.curl("/.well-known/est/cacerts", &[]);
    assert!(head.contains(" 200"), "{head}");
    hub.openssl("base64 -d -in body -out body.der");
    assert_eq!(hub.openssl("pkcs7 -inform DER -in body.der -print_certs").matches("BEGIN CERTIFICATE").count(), 3);
    let new = hub.site.enrol("ct-2", &SigningKey::generate());
    hub.write("new.pem", pem(&new));
    for (certificate, issuer, other, crl) in
        [("old.pem", "issuing.pem", "second.pem", "issuing"), ("new.pem", "second.pem", "issuing.pem", "issuing-2")]
    {
        assert!(
            hub.openssl(&format!("verify -x509_strict -CAfile root.pem -untrusted {issuer} {certificate}"))
                .contains("OK")
        );
        let (text, good) = hub.run("openssl", &["verify", "-CAfile", "root.pem", "-untrusted", other, certificate]);
        assert!(!good, "{certificate} by {other}: {text}");
        let point = hub.openssl(&format!("x509 -in {certificate} -noout -ext crlDistributionPoints"));
        assert!(point.contains(&format!("/crl/{crl}.crl")), "{point}");
        let url = format!("http://127.0.0.1:{}/crl/{crl}.crl", hub.people);
        let verify = |good: bool| {
            assert!(hub.run("curl", &["--silent", "--fail", "-o", "crl.der", &url]).1, "{url}");
            assert!(hub.openssl("crl -inform DER -in crl.der -verify -CAfile chain.pem -noout").contains("verify OK"));
            hub.openssl("crl -inform DER -in crl.der -out crl.pem");
            let chain = ["-CRLfile", "crl.pem", "-CAfile", "root.pem", "-untrusted", issuer, certificate];
            let (text, verified) = hub.run("openssl", &[&["verify", "-crl_check"], &chain[..]].concat());
            assert!(verified == good && (good || text.contains("certificate revoked")), "{text}");
            let ask = format!(
                "ocsp -issuer {issuer} -cert {certificate} -url http://127.0.0.1:{}/ocsp -CAfile root.pem -no_nonce",
                hub.people
            );
            let text = hub.openssl(&ask);
            let says = if good { ": good" } else { ": revoked" };
            assert!(text.contains("Response verify OK") && text.contains(says), "{text}");
        };
        verify(true);
        let device = if crl == "issuing" { "ct-1" } else { "ct-2" };
        hub.site.ask(Request::Suspend { device: device.into(), why: "test".into() });
        verify(false);
    }
    // The list of one key says nothing of what the other has issued.
    let entries = |name: &str| {
        let url = format!("http://127.0.0.1:{}/crl/{name}.crl", hub.people);
        assert!(hub.run("curl", &["--silent", "--fail", "-o", "crl.der", &url]).1);
        hub.openssl("crl -inform DER -in crl.der -noout -text").matches("Serial Number:").count()
    };
    assert_eq!((entries("issuing"), entries("issuing-2")), (1, 1));
    hub.site.ask(Request::ChangeKeys { change: "retire issuing".parse().unwrap(), anyway: true, why: String::new() });
    let url = format!("http://127.0.0.1:{}/crl/issuing.crl", hub.people);
    assert!(!hub.run("curl", &["--silent", "--fail", &url]).1, "a retired key signs a revocation list");
}

/// Shows REQ-KEYS-27: openssl, which reads no site list, hears of a stolen issuing key by the root's revocation list.
#[test]
fn openssl_refuses_a_chain_whose_issuing_key_is_compromised() {
    let hub = Hub::public();
    hub.write("ct.pem", pem(&hub.site.enrol("ct-1", &SigningKey::generate())));
    let fetch = |name: &str| {
        let url = format!("http://127.0.0.1:{}/crl/{name}.crl", hub.people);
        let (text, success) = hub.run("curl", &["--silent", "--fail", "-o", "crl.der", &url]);
        assert!(success, "{name}: {text}");
        hub.openssl(&format!("crl -inform DER -in crl.der -out {name}.crl"));
        hub.openssl("crl -inform DER -in crl.der -noout -text")
    };
    let verify = |certificate: &str, issuing: &str, crls: [&str; 2]| {
        hub.write("crls.pem", crls.map(|name| hub.read(&format!("{name}.crl"))).concat());
        let chain = ["-CRLfile", "crls.pem", "-CAfile", "root.pem", "-untrusted", issuing, certificate];
        hub.run("openssl", &[&["verify", "-x509_strict", "-crl_check_all"], &chain[..]].concat())
    };
    assert!(fetch("root").contains("No Revoked Certificates"));
    assert!(hub.openssl("crl -in root.crl -verify -CAfile root.pem -noout").contains("verify OK"));
    fetch("issuing");
    let (text, good) = verify("ct.pem", "issuing.pem", ["root", "issuing"]);
    assert!(good, "{text}");
    let point = hub.openssl("x509 -in issuing.pem -noout -ext crlDistributionPoints");
    assert!(point.contains("URI:http://pki.example.org/crl/root.crl"), "{point}");

    hub.site.ask(Request::ChangeKeys {
        change: "compromised issuing".parse().unwrap(),
        anyway: false,
        why: String::new(),
    });
    let told = fetch("root");
    assert!(told.contains("Key Compromise") && told.matches("Serial Number:").count() == 1, "{told}");
    let (text, good) = verify("ct.pem", "issuing.pem", ["root", "issuing"]);
    assert!(!good && text.contains("certificate revoked") && text.contains("1 depth lookup"), "{text}");
    // The key that took over is believed.
    hub.write("second.pem", pem(&hub.site.authority.issuing().der));
    hub.write("new.pem", pem(&hub.site.enrol("ct-2", &SigningKey::generate())));
    fetch("issuing-2");
    let (text, good) = verify("new.pem", "second.pem", ["root", "issuing-2"]);
    assert!(good, "{text}");
}

/// Shows REQ-KEYS-33: after the theft of an issuing key the door opens to those with a credential that the hub has issued
/// and that nothing else stands against, and to nobody else: neither for objects nor for another credential.
#[test]
fn curl_with_a_revoked_or_forged_credential_is_not_let_in_after_a_theft() {
    let hub = Hub::new();
    let site = &hub.site;
    let pem_key = |key: &SigningKey| pem(&key.to_pkcs8()).replace("CERTIFICATE", "PRIVATE KEY");
    let keep = |name: &str, certificate: &[u8], key: &SigningKey| {
        hub.write(&format!("{name}.pem"), format!("{}{}", pem(certificate), pem(&site.authority.issuing().der)));
        hub.write(&format!("{name}.key"), pem_key(key));
    };
    let names = ["good", "revoked", "suspended", "later"];
    for name in names {
        let key = SigningKey::generate();
        keep(name, &site.enrol(name, &key), &key);
    }
    // The thief makes a credential of a name of its own, and one of the name of a good device.
    let thief = crate::rotation::thief(site);
    for (name, device) in [("forged", "forged"), ("twin", "good")] {
        let key = SigningKey::generate();
        keep(name, &thief.enrol(device, &key), &key);
    }
    let ask = |name: &str| {
        let mine = ["--cert", &format!("{name}.pem"), "--key", &format!("{name}.key")];
        let (objects, _) = hub.curl("/v1/objects/status", &mine);
        let csr = ["req", "-new", "-key", "new.key", "-subj", "/", "-outform", "DER", "-out", "new.der"];
        hub.openssl("ecparam -name prime256v1 -genkey -noout -out new.key");
        assert!(hub.run("openssl", &csr).1);
        hub.openssl("base64 -in new.der -out new.b64");
        let post = ["-H", "Content-Type: application/pkcs10", "--data-binary", "@new.b64"];
        let (renewed, body) = hub.curl("/.well-known/est/simplereenroll", &[&mine[..], &post].concat());
        let code = |head: &str| head.split(' ').nth(1).unwrap_or_default().to_owned();
        (code(&objects), code(&renewed), String::from_utf8_lossy(&body).into_owned())
    };
    site.ask(Request::Revoke { device: "revoked".into(), reason: Reason::Stolen, why: "test".into() });
    site.ask(Request::Suspend { device: "suspended".into(), why: "test".into() });
    // Until the theft is known, the forged ones are let in like others, but get no credential.
    assert_eq!(ask("forged").0, "200");
    site.ask(Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() });
    site.ask(Request::Revoke { device: "later".into(), reason: Reason::KeyCompromise, why: "test".into() });
    for name in ["revoked", "suspended", "later", "forged", "twin"] {
        let (objects, renewed, why) = ask(name);
        assert_eq!((objects.as_str(), renewed.as_str()), ("403", "403"), "{name}: {why}");
    }
    let (objects, renewed, why) = ask("good");
    assert_eq!((objects.as_str(), renewed.as_str()), ("200", "200"), "{why}");
}

/// Shows REQ-AUTH-22.
#[test]
fn openssl_asks_ocsp_and_believes_the_answers() {
    let hub = Hub::new();
    hub.enrolled();
    let url = format!("http://127.0.0.1:{}/ocsp", hub.people);
    let ask = |more: &str| {
        let text = hub.openssl(&format!(
            "ocsp -issuer issuing.pem {more} -cert ct.pem -url {url} -CAfile root.pem -no_nonce -resp_text -respout answer.der"
        ));
        assert!(text.contains("Response verify OK"), "{text}");
        text
    };
    assert!(ask("-sha1").contains("ct.pem: good"));
    assert!(ask("-sha256").contains("ct.pem: good"));
    let text = hub.openssl(&format!("ocsp -issuer issuing.pem -cert ct.pem -url {url} -CAfile root.pem -nonce"));
    assert!(text.contains("ct.pem: good") && !text.contains("WARNING"), "the nonce was not answered: {text}");
    hub.suspend();
    assert!(ask("-sha1").contains("ct.pem: revoked"));
    assert!(ask("-sha256").contains("certificateHold"));

    // The same request in a path, with characters that base64 has and paths do not.
    hub.openssl("ocsp -issuer issuing.pem -cert ct.pem -no_nonce -reqout request.der");
    let path: String = data_encoding::BASE64
        .encode(&hub.read("request.der"))
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let (text, success) = hub.run("curl", &["--silent", "--fail", "-o", "get.der", &format!("{url}/{path}")]);
    assert!(success, "{text}");
    let text = hub.openssl("ocsp -respin get.der -reqin request.der -issuer issuing.pem -cert ct.pem -CAfile root.pem");
    assert!(text.contains("ct.pem: revoked"), "{text}");

    // A certificate of somebody else, and nonsense.
    let text = hub.openssl(&format!("ocsp -issuer root.pem -cert issuing.pem -url {url} -CAfile root.pem -noverify"));
    assert!(text.contains("issuing.pem: unknown"), "{text}");
    let (text, _) = hub.run("curl", &["--silent", "--data-binary", "nonsense", "-o", "bad.der", &url]);
    assert!(text.is_empty());
    assert_eq!(hub.read("bad.der"), [0x30, 3, 0x0a, 1, 1]);
}

#[test]
fn the_people_listener_says_whether_all_is_well() {
    let hub = Hub::new();
    let url = format!("http://127.0.0.1:{}/health/ready", hub.people);
    let (text, success) = hub.run("curl", &["--silent", "--fail", &url]);
    assert!(success && text == "ready\n", "{text}");
}

/// Shows REQ-AUTH-23.
#[test]
fn the_admin_socket_speaks_json_and_knows_who_asks() {
    let hub = Hub::new();
    let socket = hub.site.dir.path().join("admin.sock");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !socket.exists() && std::time::Instant::now() < deadline {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&socket).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let post = |body: &str| {
        let arguments = ["--silent", "--unix-socket", socket.to_str().unwrap(), "-w", " %{http_code}"];
        let json = ["-H", "Content-Type: application/json", "-d", body, "http://localhost/v1/admin"];
        hub.run("curl", &[arguments, json].concat()).0
    };
    let text = post(r#"{"verb":"register","device":{"name":"ct-1","roles":["modality"]}}"#);
    assert!(text.starts_with(r#"{"answer":"device","entry":{"name":"ct-1""#) && text.ends_with(" 200"), "{text}");
    let text = post(r#"{"verb":"suspend","device":"ct-2","why":"x"}"#);
    assert!(text.contains(r#"{"error":"there is no device \"ct-2\""}"#) && text.ends_with(" 404"), "{text}");
    let text = post(r#"{"verb":"explode"}"#);
    assert!(text.ends_with(" 422"), "{text}");
    let text = post(r#"{"verb":"audit"}"#);
    let own = std::fs::metadata("/proc/self").map(|meta| std::os::unix::fs::MetadataExt::uid(&meta)).unwrap();
    assert!(text.contains(&format!(r#""who":"uid {own}""#)), "{text}");
    hub.runtime.block_on(async {});
}

/// Shows REQ-KEYS-67, REQ-KEYS-68.
#[test]
fn ordinary_software_goes_from_one_root_to_the_next() {
    let hub = Hub::public();
    hub.enrolled();
    let change = |change: &str| {
        hub.site.ask(Request::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
    };
    change("root");
    // curl knows the old root alone: the hub shows how the new one came.
    let (head, _) = hub.curl("/.well-known/est/cacerts", &[]);
    assert!(head.contains(" 200"), "{head}");
    hub.openssl("base64 -d -in body -out body.der");
    let all = read_certs_only(&hub.read("body.der")).unwrap();
    let keys = hub.site.authority.keys();
    let [old, new] = keys.roots() else { panic!("two roots") };
    let (old, new) = (&old.certificate, &new.certificate);
    let found = |subject: &AuthorityCertificate, issuer: &AuthorityCertificate| -> Vec<u8> {
        let issuer = Certificate::from_der(&issuer.der).unwrap();
        let fits = |der: &[u8]| {
            let read = Certificate::from_der(der).unwrap();
            read.spki() == subject.spki && read.verify_with(issuer.public_key().unwrap(), &AwsLc).is_ok()
        };
        let one = all.iter().find(|der| fits(der)).map(|der| der.to_vec());
        one.expect("one of the four of RFC 7030 section 4.1.3")
    };
    assert_eq!((found(old, old), found(new, new)), (old.der.clone(), new.der.clone()));
    hub.write("link.pem", pem(&found(new, old)));
    hub.write("back.pem", pem(&found(old, new)));
    hub.write("new-root.pem", pem(&new.der));
    let issuing = pem(&hub.site.authority.issuing().der);
    hub.write("new-issuing.pem", &issuing);
    hub.write("way.pem", [issuing.into_bytes(), hub.read("link.pem")].concat());
    hub.write("way-back.pem", [hub.read("issuing.pem"), hub.read("back.pem")].concat());
    hub.write("ct2.pem", pem(&hub.site.enrol("ct-2", &SigningKey::generate())));

    let verify = |root: &str, way: &str, leaf: &str| {
        let output = hub.run("openssl", &["verify", "-x509_strict", "-CAfile", root, "-untrusted", way, leaf]);
        (output.1, output.0)
    };
    for (root, way, leaf) in [
        ("root.pem", "way.pem", "ct2.pem"),
        ("new-root.pem", "new-issuing.pem", "ct2.pem"),
        ("root.pem", "issuing.pem", "ct.pem"),
        ("new-root.pem", "way-back.pem", "ct.pem"),
    ] {
        let (good, text) = verify(root, way, leaf);
        assert!(good, "{leaf} under {root}: {text}");
    }
    assert!(!verify("root.pem", "new-issuing.pem", "ct2.pem").0, "without the link");
    // Both roots revoke, each what it has certified.
    let mut lists = Vec::new();
    for name in ["root", "root-2", "issuing-2"] {
        let url = format!("http://127.0.0.1:{}/crl/{name}.crl", hub.people);
        let (text, success) = hub.run("curl", &["--silent", "--fail", "-o", "crl.der", &url]);
        assert!(success, "{name}: {text}");
        hub.openssl("crl -inform DER -in crl.der -out crl.pem");
        lists.extend(hub.read("crl.pem"));
    }
    hub.write("crls.pem", lists);
    let text = hub.openssl("x509 -in new-issuing.pem -noout -text");
    assert!(text.contains("http://pki.example.org/crl/root-2.crl"), "{text}");
    for (root, way) in [("root.pem", "way.pem"), ("new-root.pem", "new-issuing.pem")] {
        hub.openssl(&format!("verify -crl_check_all -CRLfile crls.pem -CAfile {root} -untrusted {way} ct2.pem"));
    }
    // And curl believes the hub by either, before and after the old one is retired.
    for _ in 0..2 {
        for root in ["root.pem", "new-root.pem"] {
            let url = format!("https://localhost:{}/.well-known/est/cacerts", hub.devices);
            let (text, success) = hub.run("curl", &["--silent", "--show-error", "--cacert", root, "-o", "body", &url]);
            assert!(success, "{root}: {text}");
        }
        if hub.site.authority.root().key == old.key {
            change("retire root");
        }
    }
    let (_, _) = hub.curl("/v1/objects/site-list/after/1", &[]);
    assert_eq!(hub.read("body"), hub.site.authority.missed_site_list(1).unwrap());
}
