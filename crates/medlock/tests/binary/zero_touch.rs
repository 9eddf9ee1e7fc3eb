//! From the factory to the bedside without typing anything: a hub that holds a maker and two sites, and devices with birth
//! credentials that meet them over TLS.

mod registrar;
mod replaced_root;

use crate::process::{Hub, Process, medlock};
use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use data_encoding::{BASE64, HEXLOWER};
use medlock_node::accept::{self, Limits};
use medlock_node::brski::{self, Birth, REQUEST_VOUCHER, Telemetry, VOUCHER_CMS, VOUCHER_STATUS, VoucherRequest};
use medlock_node::clock::Clock;
use medlock_node::enrol::Enrolment;
use medlock_node::http::Client;
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{SigningKey, sha256};
use medlock_node::tls::{self, Acceptor, Believed, ClientAuth, Connector};
use medlock_node::{Error, stop};
use medlock_trust::policy::Setting;
use medlock_trust::x509::Certificate;
use serde_json::Value;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

/// What the devices are called by their maker.
const SERIALS: [&str; 6] = ["P-1", "P-2", "P-3", "P-4", "P-5", "P-6"];

struct World {
    folder: tempfile::TempDir,
    hub: Hub,
    masa: SocketAddr,
    clinic: SocketAddr,
}

fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address")
}

fn ask(dir: &Path, what: &[&str]) -> Value {
    let output = medlock().args(what).args(["--json", "--dir"]).arg(dir).output().expect("it starts");
    assert!(output.status.success(), "{what:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

fn refused(dir: &Path, what: &[&str]) -> String {
    let output = medlock().args(what).args(["--json", "--dir"]).arg(dir).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{what:?}");
    String::from_utf8(output.stderr).expect("UTF-8")
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut hub = Hub::start(folder.path());
        hub.kill();
        let world = Self { hub, masa: free(), clinic: free(), folder };
        let mut world = world;
        world.run(true);
        world.list();
        world.build();
        world
    }

    /// Runs the hub; without the maker's door, sites cannot ask it.
    fn run(&mut self, maker: bool) {
        let door = if maker { format!("devices = \"{}\"\n", self.masa) } else { String::new() };
        self.hub.run_with(&format!(
            "masas = [\"{0}\"]\n\n[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\nmasa = \"{0}\"\n{door}\n\
             [authority.clinic]\norganization = \"Day Clinic\"\nkind = \"site\"\ndevices = \"{1}\"\n",
            self.masa, self.clinic
        ));
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn authority(&self, name: &str) -> PathBuf {
        match name {
            "hub" => self.hub.dir.clone(),
            other => self.hub.dir.join("authorities").join(other),
        }
    }

    fn root(&self, name: &str) -> Vec<u8> {
        let shown = ask(&self.authority(name), &["authority", "show"]);
        let file = self.at(&format!("{name}.pem"));
        let pem = shown["root_pem"].as_str().expect("PEM");
        std::fs::write(&file, pem).expect("written");
        BASE64.decode(pem.lines().filter(|line| !line.starts_with('-')).collect::<String>().as_bytes()).expect("base64")
    }

    /// An alliance that lists the maker, taken by both sites.
    fn list(&self) {
        for name in ["hub", "clinic", "pumps"] {
            self.root(name);
        }
        let steps = [
            "member-key anna.key --passphrase-file anna.pass",
            "member-key ben.key --passphrase-file ben.pass",
            "member-key r1.key --passphrase-file r1.pass",
            "draft --name Alliance --member Anna=anna.pub --member Ben=ben.pub --recovery R1=r1.pub --maker Pumps=pumps.pem \
             --threshold 2 --emergency 1 --recovery-threshold 1 --out 1.toml",
            "propose 1.toml --out 1.proposal",
            "sign 1.proposal --key anna.key --passphrase-file anna.pass --out 1.anna",
            "sign 1.proposal --key ben.key --passphrase-file ben.pass --out 1.ben",
            "assemble 1.proposal 1.anna 1.ben --out 1.list",
        ];
        let run = |line: &str| {
            let words = line.split(' ').filter(|word| !word.is_empty());
            let output = medlock().arg("trust-list").args(words).current_dir(self.folder.path()).output();
            let output = output.expect("it starts");
            assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
        };
        steps.into_iter().for_each(run);
        for site in ["hub", "clinic"] {
            run(&format!(
                "import 1.list --member anna.pub --member ben.pub --threshold 2 --dir {}",
                self.authority(site).display()
            ));
        }
    }

    /// The factory: keys of the devices' own, birth credentials by `medlock device provision`.
    fn build(&self) {
        let keys: Vec<SigningKey> = SERIALS.iter().map(|_| SigningKey::generate()).collect();
        let mut rows = "serial,key\n".to_owned();
        for (serial, key) in SERIALS.iter().zip(&keys) {
            rows.push_str(&format!("{serial},{}\n", HEXLOWER.encode(key.spki())));
        }
        std::fs::write(self.at("rows.csv"), rows).expect("written");
        std::fs::write(self.at("profile.toml"), "roles = [\"actuator\"]\n").expect("written");
        let text = |name: &str| self.at(name).to_str().expect("UTF-8").to_owned();
        let (profile, rows, out) = (text("profile.toml"), text("rows.csv"), text("born"));
        let provision = ["device", "provision", "--files", "--profile", &profile, "--input", &rows, "--out", &out];
        ask(&self.authority("pumps"), &provision);
        let read = |name: &str| std::fs::read_to_string(self.at("born").join(name)).expect("PEM");
        for (serial, key) in SERIALS.iter().zip(&keys) {
            let key =
                format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", BASE64.encode(&key.to_pkcs8()));
            let whole = format!("{key}{}{}", read(&format!("{serial}.pem")), read("chain.pem"));
            std::fs::create_dir(self.at(serial)).expect("a folder");
            std::fs::write(self.birth_file(serial), whole).expect("written");
        }
    }

    fn birth_file(&self, serial: &str) -> PathBuf {
        self.at(serial).join("birth.pem")
    }

    fn birth(&self, serial: &str) -> Birth {
        Birth::open(&self.birth_file(serial)).expect("a birth credential")
    }

    /// The maker sells a device, with the paper that is good for its life.
    fn sell(&self, serial: &str, site: &str) -> PathBuf {
        let (domain, paper) = (self.at(&format!("{site}.pem")), self.at(&format!("{serial}.voucher")));
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (domain, save) = (text(&domain), text(&paper));
        let issue = ["voucher", "issue", "--serial", serial, "--domain", &domain, "--days", "36500", "--save", &save];
        ask(&self.authority("pumps"), &issue);
        paper
    }

    fn register(&self, site: &str, name: &str, serial: &str) {
        let register = ["device", "register", name, "--role", "actuator", "--maker-serial", serial];
        ask(&self.authority(site), &register);
    }

    /// A device that was unpacked, or reset, meets whoever answers at this address.
    async fn plug_in(&self, serial: &str, address: SocketAddr) -> Result<Arc<Identity>, Error> {
        let knowledge = KnowledgeBase::in_memory(Clock::system(), Setting::Hospital);
        let enrolment = Enrolment::new(address.to_string(), IdentityStore::in_memory(None), knowledge);
        enrolment.zero_touch(&self.birth(serial)).await
    }

    async fn is_refused(&self, serial: &str, address: SocketAddr, why: &str) {
        let error = self.plug_in(serial, address).await.expect_err(why).to_string();
        assert!(error.contains(why), "{serial}: {error}");
    }

    fn state(&self, device: &str) -> Value {
        self.hub.ask(&["device", "show", device])["state"].clone()
    }
}

/// Shows REQ-PROV-10, REQ-PROV-11, REQ-PROV-12.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_enrols_at_the_site_that_bought_it_and_at_no_other() {
    let world = World::new();
    let (hub, clinic) = (world.hub.devices, world.clinic);
    // It says where its maker answers.
    let born = world.birth("P-1");
    let own = Certificate::from_der(born.identity().own()).expect("a certificate");
    assert_eq!(brski::MasaUrl::of(&own).map(|url| url.address), Some(world.masa.to_string()));
    // Not registered, not sold, sold to another.
    world.is_refused("P-1", hub, "no device with the maker's serial P-1 is registered").await;
    world.register("hub", "pump1", "P-1");
    world.is_refused("P-1", hub, "nobody bought P-1").await;
    world.sell("P-1", "clinic");
    world.is_refused("P-1", hub, "P-1 belongs to another owner").await;
    assert_eq!(world.state("pump1"), "no-voucher");
    // The right one: nobody confirms anything.
    world.sell("P-2", "hub");
    world.register("hub", "pump2", "P-2");
    let identity = world.plug_in("P-2", hub).await.expect("it enrols");
    assert_eq!(identity.device_name().map(|name| name.to_string()).as_deref(), Some("pump2"));
    assert_eq!(world.state("pump2"), "enrolled");
    let said = world.hub.ask(&["voucher", "owners", "--serial", "P-2"]);
    assert_eq!(said["events"][0]["what"], "voucher", "{said}");
    world.register("clinic", "pump1", "P-1");
    world.plug_in("P-1", clinic).await.expect("it enrols at its owner");

    // The device itself refuses: a false registrar has the other site's genuine voucher.
    // It is as new as what the device heard last, so that its age is not why.
    world.sell("P-2", "hub");
    let (address, told) = false_registrar(&world, std::fs::read(world.at("P-2.voucher")).expect("a voucher")).await;
    world.is_refused("P-2", address, "names another owner").await;
    let told = told.lock().expect("not poisoned").clone().expect("it was told");
    assert!(!told.status && told.reason.contains("another owner"), "{told:?}");

    // The binary's sidecar, with nothing but its birth credential.
    world.sell("P-3", "hub");
    let mut sidecar = medlock();
    sidecar.args(["sidecar", "dicom", "--json", "--with-parent", "--listen", "127.0.0.1:0", "--plain", "127.0.0.1:0"]);
    sidecar.args(["--hub", &hub.to_string(), "--dir"]).arg(world.at("sidecar"));
    let mut sidecar = Process::start(sidecar.arg("--birth").arg(world.birth_file("P-3")));
    let trouble = sidecar.event("trouble")["error"].to_string();
    assert!(trouble.contains("is registered at this site"), "{trouble}");
    world.register("hub", "pump3", "P-3");
    sidecar.event("enrolled");
    assert_eq!(world.state("pump3"), "enrolled");
}

/// A site that shows the clinic's certificate and answers with this voucher, and what it was told of it.
async fn false_registrar(world: &World, voucher: Vec<u8>) -> (SocketAddr, Arc<Mutex<Option<Telemetry>>>) {
    let store = IdentityStore::open(&world.authority("clinic").join("hub")).expect("the clinic's own");
    let knowledge = KnowledgeBase::in_memory(Clock::system(), Setting::Hospital);
    let config = tls::server_config(&store, &knowledge, ClientAuth::None).expect("settings");
    let told: Arc<Mutex<Option<Telemetry>>> = Arc::default();
    let heard = told.clone();
    let router = Router::new().route(REQUEST_VOUCHER, post(async move || voucher)).route(
        VOUCHER_STATUS,
        post(async move |body: Bytes| {
            *heard.lock().expect("not poisoned") = serde_json::from_slice(&body).ok();
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stopper, stop) = stop::channel();
    tokio::spawn(async move {
        accept::serve(listener, Some(Acceptor::new(config, knowledge)), Limits::default(), router, stop).await;
        drop(stopper);
    });
    (address, told)
}

/// Shows REQ-PROV-13.
#[tokio::test(flavor = "multi_thread")]
async fn where_the_maker_is_gone_the_papers_of_a_device_are_enough() {
    let mut world = World::new();
    let papers: Vec<PathBuf> = ["P-1", "P-2"].into_iter().map(|serial| world.sell(serial, "hub")).collect();
    let others = world.sell("P-3", "clinic");
    for (name, serial) in [("pump1", "P-1"), ("pump2", "P-2"), ("pump3", "P-3")] {
        world.register("hub", name, serial);
    }
    // P-1 heard its maker once more, after the paper was written.
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    world.plug_in("P-1", world.hub.devices).await.expect("it enrols");
    world.hub.kill();
    world.run(false);
    let hub = world.hub.devices;
    world.is_refused("P-2", hub, "no voucher was imported").await;
    let import = |file: &Path| [String::from("voucher"), "import".into(), file.to_str().expect("UTF-8").into()];
    let dir = world.authority("hub");
    let words = |file: &Path| import(file);
    for paper in &papers {
        let words = words(paper);
        let done = ask(&dir, &words.each_ref().map(String::as_str));
        assert!(done["text"].as_str().is_some_and(|text| text.contains("belongs to this site")), "{done}");
    }
    let why = |file: &Path| refused(&dir, &words(file).each_ref().map(String::as_str));
    assert!(why(&others).contains("names another owner"));
    let mut forged = std::fs::read(&papers[0]).expect("a voucher");
    let last = forged.len() - 1;
    forged[last] ^= 1;
    std::fs::write(world.at("forged"), forged).expect("written");
    assert!(why(&world.at("forged")).contains("signature is wrong"));
    std::fs::write(world.at("noise"), "no voucher").expect("written");
    assert!(why(&world.at("noise")).contains("cannot be read"));
    world.plug_in("P-2", hub).await.expect("it enrols by its paper");
    assert_eq!(world.state("pump2"), "enrolled");
    // A device that was reset: its paper is older than the newest word, and of the same owner.
    world.hub.ask(&["device", "revoke", "pump1", "--reason", "superseded", "--why", "reset"]);
    world.plug_in("P-1", hub).await.expect("it enrols again by its paper");
}

/// Shows REQ-PROV-14.
#[tokio::test(flavor = "multi_thread")]
async fn a_maker_tells_each_registrar_why_it_gets_no_voucher() {
    let world = World::new();
    world.sell("P-1", "hub");
    world.sell("P-2", "clinic");
    let identity = |name: &str| {
        let store = IdentityStore::open(&world.authority(name).join("hub")).expect("a hub's own");
        store.current().expect("an identity")
    };
    let (own, other) = (identity("hub"), identity("clinic"));
    let now = Clock::system().now();
    let mut maker = [0; 16];
    maker.copy_from_slice(&sha256(&world.root("pumps"))[..16]);
    let connector = Connector::new(None, Believed::Root(maker), None).expect("settings");
    let masa = Client::tls(world.masa.to_string(), connector);
    let nonce = Some(vec![7; 16]);
    let pledge = |serial: &str, registrar: &Identity| {
        world.birth(serial).request(registrar.own(), Some(&[7; 16]), now).expect("a request")
    };
    let request = |serial: &str, prior: Option<Vec<u8>>| VoucherRequest {
        created_on: now,
        nonce: prior.as_ref().and(nonce.clone()),
        serial_number: serial.to_owned(),
        idevid_issuer: None,
        proximity: None,
        prior,
    };
    let signed = |by: &Identity, request: &VoucherRequest| brski::sign(by, &request.write(), now).expect("signed");
    let foreign = request("P-1", Some(pledge("P-1", &other)));
    let mixed = request("P-1", Some(pledge("P-3", &own)));
    let mut stolen = request("P-1", None);
    stolen.nonce = nonce.clone();
    let born = world.birth("P-4");
    let mut broken = signed(&own, &request("P-1", None));
    let last = broken.len() - 1;
    broken[last] ^= 1;
    for (body, status, why) in [
        (b"noise".to_vec(), 400, "cannot be read"),
        (broken, 400, "signature is wrong"),
        (signed(&own, &request("P-99", None)), 404, "gave no device the serial P-99"),
        (signed(&own, &stolen), 400, "a nonce counts in the device's own signed request only"),
        (signed(&own, &foreign), 403, "asked another registrar"),
        (signed(&own, &mixed), 400, "something else than the device's own request"),
        (signed(&own, &request("P-2", Some(pledge("P-2", &own)))), 403, "belongs to another owner"),
        (signed(&own, &request("P-3", Some(pledge("P-3", &own)))), 403, "nobody bought P-3"),
        (signed(born.identity(), &request("P-4", None)), 403, "is no registrar"),
    ] {
        let answer = masa.post(REQUEST_VOUCHER, VOUCHER_CMS, body).await.expect("an answer");
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        assert!(answer.status() == status && text.contains(why), "{why}: {} {text}", answer.status());
    }
    let answer = masa.post(REQUEST_VOUCHER, "application/json", "{}").await.expect("an answer");
    assert_eq!(answer.status(), 415);
    // With the device's request, the voucher answers it; without, it is good for a time.
    for (request, has_nonce) in [(request("P-1", Some(pledge("P-1", &own))), true), (request("P-1", None), false)] {
        let answer = masa.post(REQUEST_VOUCHER, VOUCHER_CMS, signed(&own, &request)).await.expect("an answer");
        assert_eq!(answer.status(), 200, "{}", String::from_utf8_lossy(answer.body()));
        let read = brski::cms::SignedJson::read(answer.body()).expect("a voucher");
        let voucher = brski::VoucherData::read(read.json).expect("a voucher");
        assert_eq!((voucher.nonce.is_some(), voucher.expires_on.is_none()), (has_nonce, has_nonce));
        assert_eq!(voucher.pinned, world.root("hub"));
    }
}

/// Shows REQ-PROV-19.
#[test]
fn the_voucher_commands_say_what_was_done_and_why_not() {
    let world = World::new();
    let (maker, hub, clinic) = (world.authority("pumps"), world.authority("hub"), world.authority("clinic"));
    let text = |name: &str| world.at(name).to_str().expect("UTF-8").to_owned();
    let (hub_pem, clinic_pem, save) = (text("hub.pem"), text("clinic.pem"), text("x"));
    let issue = |domain: &str, more: &[&str]| {
        let words = ["voucher", "issue", "--serial", "P-1", "--save", &save, "--domain", domain];
        let mut command = medlock();
        command.args(words).args(more).args(["--json", "--dir"]).arg(&maker);
        let output = command.output().expect("it starts");
        (output.status.code(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    };
    // Wrong usage is told from a refusal.
    assert_eq!(issue(&hub_pem, &[]).0, Some(2), "neither a nonce nor days");
    assert_eq!(issue(&hub_pem, &["--days", "3", "--nonce", "00112233445566778899"]).0, Some(2), "both");
    for (domain, more, why) in [
        (hub_pem.as_str(), ["--nonce", "aa"], "8 to 32 bytes"),
        (hub_pem.as_str(), ["--days", "40000"], "1 to 36500 days"),
        ("/nowhere/root.pem", ["--days", "3"], "No such file"),
    ] {
        let (code, said) = issue(domain, &more);
        assert!(code == Some(1) && said.contains(why), "{why}: {code:?} {said}");
    }
    let (code, said) = issue(&hub_pem, &["--days", "3"]);
    let said: Value = serde_json::from_str(&said).expect("JSON");
    let bytes = std::fs::read(world.at("x")).expect("a voucher");
    assert_eq!((code, said["bytes"].as_u64()), (Some(0), u64::try_from(bytes.len()).ok()));
    let (code, said) = issue(&clinic_pem, &["--days", "3"]);
    assert!(code == Some(1) && said.contains("belongs to another owner"), "{said}");
    // The owner's transfer is a release, and nobody else's is.
    let transfer = |dir: &Path, file: &str| {
        let words = ["voucher", "transfer", "--serial", "P-1", "--to", &clinic_pem, "--save", file];
        ask(dir, &words);
    };
    let (own, foreign) = (text("own.transfer"), text("foreign.transfer"));
    transfer(&hub, &own);
    transfer(&clinic, &foreign);
    let release = |file: &str, owner: &str| {
        ["voucher", "release", "--serial", "P-1", "--transfer", file, "--owner", owner].map(str::to_owned)
    };
    let words = release(&foreign, &clinic_pem);
    assert!(refused(&maker, &words.each_ref().map(String::as_str)).contains("another owner"));
    let words = release(&own, &clinic_pem);
    assert!(refused(&maker, &words.each_ref().map(String::as_str)).contains("does not count"));
    let words = release(&own, &hub_pem);
    ask(&maker, &words.each_ref().map(String::as_str));
    assert_eq!(issue(&clinic_pem, &["--days", "3"]).0, Some(0), "it is the clinic's by now");
    ask(&maker, &["voucher", "release", "--serial", "P-1", "--why", "the clinic was closed"]);
    let said = ask(&maker, &["voucher", "owners", "--serial", "P-1"]);
    let told: Vec<&str> =
        said["events"].as_array().expect("events").iter().filter_map(|event| event["what"].as_str()).collect();
    assert_eq!(told, ["released", "voucher", "released", "voucher"]);
    assert_eq!(said["events"][0]["why"], "the clinic was closed");
    // Each kind of authority does its own.
    assert!(refused(&maker, &["voucher", "import", &save]).contains("ask its hub"));
    assert!(
        refused(&hub, &["voucher", "issue", "--serial", "P-1", "--domain", &hub_pem, "--days", "3", "--save", &save])
            .contains("P-1")
    );
}
