//! EST over CoAP and DTLS (RFC 9148), with clients of others: libcoap with OpenSSL, and openssl itself. (GnuTLS cannot read
//! certificates with identifiers below 2.25, neither its own nor the hub's.)

use crate::enrolment::{Maker, import};
use crate::fixture::{Site, ct};
use bytes::Bytes;
use medlock_authority::admin::{Reason, Request};
use medlock_authority::registry::DeviceConfig;
use medlock_authority::{coap_resources, pem};
use medlock_node::accept::{Meter, Rates};
use medlock_node::clock::Clock;
use medlock_node::coap::{Counts, Limits, Listener, Peers};
use medlock_node::provider::{SigningKey, sha256};
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stopper};
use medlock_trust::list::AuthorityState;
use medlock_trust::x509::Certificate;
use std::net::{SocketAddr, UdpSocket};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// libcoap's client.
const CLIENT: &str = "coap-client-openssl";

struct Door {
    site: Site,
    maker: Maker,
    address: SocketAddr,
    files: tempfile::TempDir,
    counts: watch::Receiver<Counts>,
    _stopper: [Stopper; 2],
    _runtime: tokio::runtime::Runtime,
}

impl Door {
    fn new() -> Self {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Self {
        Self::built(limits, |listener| listener)
    }

    fn built(limits: Limits, change: impl FnOnce(Listener) -> Listener) -> Self {
        // Others look at the machine's clock.
        let clock = Clock::system();
        let maker = Maker::at("Tomograph AG", clock.now());
        let site = Site::with_clock(clock);
        let member = SigningKey::generate();
        import(&site, &maker.list(&member, 1, AuthorityState::Listed), &[member.key_id()]).unwrap();
        let (authority, knowledge) = (site.authority.clone(), site.authority.knowledge().clone());
        let above: Vec<Bytes> = maker.authority.issuing_certificates().into_iter().map(Bytes::from).collect();
        let peers = Peers::new(knowledge.clone()).with_issuers(move || {
            authority.issuing_certificates().into_iter().map(Bytes::from).chain(above.clone()).collect()
        });
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let sessions = LiveSessions::new(knowledge);
        let (watching, stop) = stop::channel();
        runtime.spawn(sessions.clone().watch(stop));
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let resources = coap_resources(site.authority.clone());
        let own = site.authority.hub_identity();
        let bound = Listener::bind_dtls(any, own, Arc::new(peers), sessions, resources, limits);
        let listener = change(runtime.block_on(bound).unwrap());
        let (address, counts) = (listener.local_addr().unwrap(), listener.counts());
        let (stopper, stop) = stop::channel();
        runtime.spawn(listener.serve(stop));
        let files = tempfile::tempdir().unwrap();
        let door = Self { site, maker, address, files, counts, _stopper: [watching, stopper], _runtime: runtime };
        let trusted = door.site.authority.ca_certificates();
        door.write("trusted.pem", trusted.iter().map(|one| pem("CERTIFICATE", &one.der)).collect::<String>());
        door
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        std::fs::write(self.file(name), content).unwrap();
    }

    fn run(&self, program: &str, arguments: &str) -> (String, bool) {
        let mut command = Command::new(program);
        command.args(arguments.split(' ')).current_dir(self.files.path()).stdin(Stdio::null());
        let output =
            command.output().unwrap_or_else(|error| panic!("{program}: {error}; `cargo xtask peers` installs it"));
        (String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned(), output.status.success())
    }

    fn openssl(&self, arguments: &str) -> String {
        let (text, success) = self.run("openssl", arguments);
        assert!(success, "openssl {arguments}: {text}");
        text
    }

    /// Keeps a credential as the client wants it: `NAME.key`, and its certificate alone in `NAME.pem`.
    fn keep(&self, name: &str, key: &SigningKey, certificate: &[u8]) {
        self.write(&format!("{name}.key"), pem("PRIVATE KEY", &key.to_pkcs8()));
        self.write(&format!("{name}.pem"), pem("CERTIFICATE", certificate));
    }

    /// A key and a request, made by openssl: `NAME.key`, `NAME.der`.
    fn request(&self, name: &str) {
        self.openssl(&format!("ecparam -name prime256v1 -genkey -noout -out {name}.key"));
        self.openssl(&format!("req -new -key {name}.key -subj / -outform DER -out {name}.der"));
    }

    /// Asks with libcoap's client as `who`; gives what it says, and the body of the answer.
    fn ask(&self, who: &str, more: &str, resource: &str) -> (String, Vec<u8>) {
        let _ = std::fs::remove_file(self.file("body"));
        let own = if who.is_empty() { String::new() } else { format!("-c {who}.pem -j {who}.key ") };
        let uri = format!("coaps://{}/.well-known/est/{resource}", self.address);
        let (said, _) = self.run(CLIENT, &format!("{own}-R trusted.pem -B 6 -o body {more} {uri}"));
        (said, std::fs::read(self.file("body")).unwrap_or_default())
    }

    /// The one certificate of a certs-only message, which openssl reads, as `NAME.pem`.
    fn take(&self, body: &[u8], name: &str) -> Vec<u8> {
        self.write("body.p7", body);
        let text = self.openssl("pkcs7 -inform DER -in body.p7 -print_certs");
        let start = text.find("-----BEGIN").unwrap_or_else(|| panic!("{text}"));
        self.write(&format!("{name}.pem"), &text[start..]);
        self.openssl(&format!("x509 -in {name}.pem -outform DER -out {name}.cer"));
        std::fs::read(self.file(&format!("{name}.cer"))).unwrap()
    }

    fn born(&self, name: &str, serial: &str) {
        let key = SigningKey::generate();
        let chain = self.maker.birth(serial, &key);
        self.keep(name, &key, &chain[0]);
    }

    fn associations(&self) -> usize {
        self.counts.borrow().contexts
    }
}

/// Waits until it is so.
fn until(what: &str, is: &dyn Fn() -> bool) {
    let start = Instant::now();
    while !is() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Shows REQ-PROV-22, REQ-PROV-23, REQ-PROV-24.
#[test]
fn a_device_enrols_by_its_birth_credential_and_renews_with_libcoap() {
    let door = Door::new();
    door.born("birth", "SN-1");
    door.site.ask(Request::Register { device: DeviceConfig { maker_serial: Some("SN-1".into()), ..ct("ct-1") } });

    // In blocks, as many as it takes.
    let (said, body) = door.ask("birth", "-m get -b 256", "crts");
    door.write("crts.p7", &body);
    let all = door.openssl("pkcs7 -inform DER -in crts.p7 -print_certs -noout");
    assert_eq!(all.matches("subject=").count(), 2, "{said} {all}");
    let (said, root) = door.ask("birth", "-m get -A 287", "crts");
    assert_eq!(root, door.site.authority.root().der, "{said}");
    assert!(body.len() > 3 * 256, "{}", body.len());

    door.request("first");
    let (said, body) = door.ask("birth", "-m post -b 64 -t 286 -f first.der", "sen");
    let certificate = door.take(&body, "first");
    let read = Certificate::from_der(&certificate).unwrap_or_else(|error| panic!("{said} {error}"));
    assert!(read.subject().to_string().contains("ct-1"), "{}", read.subject());
    door.openssl("pkey -in first.key -pubout -outform DER -out first.pub");
    assert_eq!(std::fs::read(door.file("first.pub")).unwrap(), read.spki());
    door.request("second");
    let (said, body) = door.ask("first", "-m post -t 286 -A 287 -f second.der", "sren");
    let renewed = Certificate::from_der(&body).unwrap_or_else(|error| panic!("{said} {error}"));
    assert_ne!(sha256(renewed.spki()), sha256(read.spki()));
    door.write("second.pem", pem("CERTIFICATE", &body));

    for (who, more, resource, code) in [
        ("second", "-m post -t 286 -f second.der", "sen", "4.03"),
        ("second", "-m post -t 0 -f second.der", "sren", "4.15"),
        ("second", "-m post -t 286 -A 50 -f second.der", "sren", "4.06"),
        ("second", "-m get", "skg", "4.04"),
        ("birth", "-m post -t 286 -f second.der", "sren", "4.03"),
    ] {
        let (said, _) = door.ask(who, more, resource);
        assert!(said.contains(code), "{who} {resource}: {said}");
    }
}

/// Shows REQ-COAP-77: what libcoap makes of it.
#[test]
fn one_request_too_many_of_a_device_is_told_so_by_libcoap() {
    let rates = Arc::new(Rates::per_second(NonZeroU32::new(1)));
    let door = Door::built(Limits::default(), |listener| listener.on_terms("coaps", rates, Meter::default()));
    door.born("loud", "SN-1");
    door.born("quiet", "SN-2");
    let (said, body) = (0..60).map(|_| door.ask("loud", "-m get", "crts")).find(|(_, body)| body.is_empty()).unwrap();
    assert!(said.contains("4.29") && said.contains("too many requests"), "{said}");
    assert!(body.is_empty());
    let (said, body) = door.ask("quiet", "-m get", "crts");
    assert!(!body.is_empty(), "another device at the same address: {said}");
}

/// Shows REQ-PROV-25.
#[test]
fn who_is_nobody_or_revoked_gets_no_association() {
    let door = Door::new();
    let key = SigningKey::generate();
    let certificate = door.site.enrol("ct-1", &key);
    door.keep("revoked", &key, &certificate);
    // Signed by itself, and by a maker that is on no list.
    door.openssl("ecparam -name prime256v1 -genkey -noout -out stranger.key");
    door.openssl("req -x509 -new -key stranger.key -subj /CN=ct-1 -days 3 -out stranger.pem");
    let (key, other) = (SigningKey::generate(), Maker::at("Other AG", Clock::system().now()));
    door.keep("foreign", &key, &other.birth("SN-1", &key)[0]);
    let (said, body) = door.ask("revoked", "-m get", "crts");
    assert!(!body.is_empty(), "it is good yet: {said}");
    // An association that is open ends when its device is revoked, and a new one is not made.
    let key = SigningKey::generate();
    let lively = door.site.enrol("ct-2", &key);
    door.keep("lively", &key, &lively);
    let mut command = Command::new("openssl");
    command.args(["s_client", "-dtls1_2", "-cert", "lively.pem", "-key", "lively.key", "-connect"]);
    command.arg(door.address.to_string()).current_dir(door.files.path()).stdin(Stdio::piped());
    let mut open = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until("it connects", &|| door.associations() > 0);
    for device in ["ct-1", "ct-2"] {
        let reason = Reason::KeyCompromise;
        door.site.ask(Request::Revoke { device: device.into(), reason, why: "copied".into() });
    }
    until("it is ended", &|| door.associations() == 0);
    let _ = (open.kill(), open.wait());
    for who in ["", "stranger", "foreign", "revoked", "lively"] {
        let (said, body) = door.ask(who, "-m get", "crts");
        assert!(body.is_empty(), "{who}: {said}");
    }
    assert_eq!(door.associations(), 0);
}

/// Shows REQ-PROV-26: what openssl makes of the handshake.
#[test]
fn handshakes_that_are_not_wanted_end_with_an_alert() {
    let door = Door::new();
    let key = SigningKey::generate();
    let certificate = door.site.enrol("ct-1", &key);
    door.keep("own", &key, &certificate);
    let connect = |more: &str| {
        let own = "-cert own.pem -key own.key";
        let fixed = format!("s_client -connect {} -CAfile trusted.pem -verify_return_error", door.address);
        door.run("timeout", &format!("5 openssl {fixed} {more}").replace("OWN", own)).0
    };
    for suite in ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"] {
        let said = connect(&format!("-dtls1_2 -cipher {suite} OWN"));
        assert!(said.contains(&format!("Cipher is {suite}")) && said.contains("Verify return code: 0 (ok)"), "{said}");
        assert!(said.contains("Extended master secret: yes"), "{said}");
    }
    for refused in [
        "-dtls1_2 -cipher ECDHE-ECDSA-AES128-SHA256 OWN",
        "-dtls1_2 -cipher ECDHE-ECDSA-AES128-CCM8 OWN",
        "-dtls1 -cipher ALL:@SECLEVEL=0 OWN",
        "-dtls1_2",
    ] {
        let said = connect(refused);
        assert!(said.contains("alert"), "{refused}: {said}");
    }
    assert!(connect("-dtls1_2").contains("alert handshake failure"));
}

/// Shows REQ-PROV-27: what strangers send costs nothing that is kept, and is answered with less than they sent.
#[test]
fn a_stranger_is_sent_less_than_it_sends() {
    let limits = Limits { half_open: 4, half_open_per_address: 2, ..Limits::default() };
    let door = Door::with(limits);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let hello = |cookie: &[u8], number: u8, random: u8| {
        let mut body = vec![0xfe, 0xfd];
        body.extend([random; 32]);
        body.extend([0, u8::try_from(cookie.len()).unwrap()]);
        body.extend(cookie);
        body.extend([0, 2, 0xc0, 0x2b, 1, 0]);
        // Extended master secret, P-256, ECDSA with SHA-256.
        body.extend([0, 22, 0, 23, 0, 0, 0, 10, 0, 4, 0, 2, 0, 23, 0, 13, 0, 6, 0, 4, 4, 3, 2, 3]);
        let length = u32::try_from(body.len()).unwrap().to_be_bytes();
        let mut message = vec![1, length[1], length[2], length[3], 0, number, 0, 0, 0];
        message.extend(&length[1..]);
        message.extend(body);
        let mut record = vec![22, 0xfe, 0xff, 0, 0, 0, 0, 0, 0, 0, number, 0, u8::try_from(message.len()).unwrap()];
        record.extend(message);
        record
    };
    let exchange = |datagram: &[u8]| {
        socket.send_to(datagram, door.address).unwrap();
        let mut buffer = [0; 2_048];
        socket.recv(&mut buffer).map(|length| buffer[..length].to_vec()).ok()
    };
    let first = hello(&[], 0, 7);
    let asked = exchange(&first).expect("a HelloVerifyRequest");
    assert!(asked[0] == 22 && asked[13] == 3 && asked.len() <= first.len(), "{asked:?}");
    assert_eq!(door.counts.borrow().half_open, 0);
    for noise in [&first[..20], b"\x40\x01\x00\x01", b"\x17\xfe\xfd\x00\x01", &hello(&[9; 32], 1, 7)[..40]] {
        assert_eq!(exchange(noise), None);
    }
    let wrong = exchange(&hello(&[9; 32], 1, 7)).expect("asked again");
    assert_eq!((wrong[13], door.counts.borrow().half_open), (3, 0));
    let cookie = &asked[asked.len() - 32..];
    let served = exchange(&hello(cookie, 1, 7)).expect("a ServerHello");
    assert_eq!((served[0], served[13]), (22, 2));
    until("there is a handshake", &|| door.counts.borrow().half_open == 1);
    // Another handshake from the same place takes the place of the first; of one IP address there are two at most.
    for random in 0..6 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let exchange = |datagram: &[u8]| {
            let mut buffer = [0; 2_048];
            socket.send_to(datagram, door.address).unwrap();
            let length = socket.recv(&mut buffer).unwrap();
            buffer[..length].to_vec()
        };
        for number in 0..2 {
            let asked = exchange(&hello(&[], 0, 2 * random + number));
            let served = exchange(&hello(&asked[asked.len() - 32..], 1, 2 * random + number));
            assert_eq!(served[13], 2);
            while socket.set_read_timeout(Some(Duration::from_millis(50))).is_ok()
                && socket.recv(&mut [0; 2_048]).is_ok()
            {}
            socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        }
    }
    assert_eq!(door.counts.borrow().half_open, 2);
}
