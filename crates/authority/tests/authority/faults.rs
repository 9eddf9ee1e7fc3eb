//! Bad luck around the store while certificates are issued: disks that are full, servers that are restarted or replaced,
//! clocks that jump by years. Nothing that was acknowledged is lost, no serial is there twice, nothing is outside the log,
//! who asks is told, and work goes on without hands.

use crate::crash::check;
use crate::fixture::{Site, credential, ct, noon};
use data_encoding::BASE64;
use medlock_authority::admin::{Asker, Reason, Request};
use medlock_authority::directory::DATABASE;
use medlock_authority::objects::Kind;
use medlock_authority::provision::{BirthProfileConfig, Row, RowOutcome};
use medlock_authority::signer::InProcess;
use medlock_authority::store::{
    Log as _, ServerConfig, SqlStore, StandingChange, StandingState, Standings as _, Subject as Standing,
};
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::log::Checkpoint;
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_testkit::{Disk, PostgresServer};
use medlock_trust::policy::Setting;
use medlock_trust::status::{StatusList, Subject};
use medlock_trust::x509::Certificate;
use medlock_trust::{CredentialId, DeviceId, DeviceName};
use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::time::{Duration, Instant};

const ASKERS: usize = 6;
/// On a machine that has much else to do: what a fault left unfinished is given up after a minute, and who waits may meet several faults.
const PATIENCE: Duration = Duration::from_secs(300);
/// What an error says of the fault, so that whoever reads it knows where to look and what to do.
const CLEAR: &[&str] = &["ask again", "No space left on device"];

/// A maker that issues all the time.
struct Factory {
    hub: Arc<Authority>,
    /// Certificates that were given out.
    given: Mutex<Vec<Vec<u8>>>,
    count: AtomicUsize,
    /// What was said instead.
    errors: Mutex<Vec<String>>,
    ending: AtomicBool,
}

fn maker(config: &AuthorityConfig, clock: &Clock) -> Arc<Authority> {
    let signer = Arc::new(InProcess::open(&config.dir.join("signer")).unwrap());
    Arc::new(Authority::open(config, clock.clone(), signer).unwrap())
}

fn maker_config(dir: &Path, url: Option<String>) -> AuthorityConfig {
    let store = url.map(|url| ServerConfig { schema: "pumps".into(), ..ServerConfig::new(url) });
    AuthorityConfig { store, ..AuthorityConfig::maker(dir, "Pump Works") }
}

impl Factory {
    fn new(hub: Arc<Authority>) -> Self {
        Self {
            hub,
            given: Mutex::default(),
            count: AtomicUsize::new(0),
            errors: Mutex::default(),
            ending: AtomicBool::new(false),
        }
    }

    /// Asks until there is a certificate for each device, as a line of production does.
    fn ask(&self) {
        while !self.ending.load(Ordering::SeqCst) {
            static NEXT: AtomicU32 = AtomicU32::new(0);
            let serial = format!("P-{}", NEXT.fetch_add(1, Ordering::SeqCst));
            let material = BASE64.encode(SigningKey::generate().spki());
            let row = Row { serial: Some(serial), material, ..Row::default() };
            let profile = || BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
            let begun = Instant::now();
            let birth = loop {
                match self.hub.provision(profile(), std::slice::from_ref(&row)).map(|mut rows| rows.pop()) {
                    Ok(Some(RowOutcome::Issued(birth) | RowOutcome::IssuedBefore(birth))) => break birth,
                    Ok(other) => panic!("{other:?}"),
                    Err(error) => self.errors.lock().unwrap().push(error.to_string()),
                }
                assert!(begun.elapsed() < PATIENCE, "no certificate for so long: {:?}", self.last());
                std::thread::sleep(Duration::from_millis(20));
            };
            self.given.lock().unwrap().push(BASE64.decode(birth.certificate.as_bytes()).unwrap());
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// What a hub does every second.
    fn keep(&self) {
        while !self.ending.load(Ordering::SeqCst) {
            // While the store is away it fails.
            let _ = self.hub.tick();
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    fn last(&self) -> Option<String> {
        self.errors.lock().unwrap().last().cloned()
    }

    /// Waits until so many more were given out.
    fn goes_on(&self, more: usize) {
        let (begun, wanted) = (Instant::now(), self.count.load(Ordering::SeqCst) + more);
        while self.count.load(Ordering::SeqCst) < wanted {
            assert!(begun.elapsed() < PATIENCE, "it does not go on: {:?}", self.last());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until somebody is told of the fault, in words that hold these.
    fn tells(&self, words: &str) {
        let begun = Instant::now();
        while !self.errors.lock().unwrap().iter().any(|error| error.contains(words)) {
            assert!(begun.elapsed() < PATIENCE, "nobody was told {words:?}: {:?}", self.last());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

/// Issues while `disturb` works against it.
fn issue_while(hub: Arc<Authority>, disturb: impl FnOnce(&Factory)) -> (Arc<Authority>, Vec<Vec<u8>>) {
    let factory = Factory::new(hub);
    std::thread::scope(|scope| {
        (0..ASKERS).for_each(|_| drop(scope.spawn(|| factory.ask())));
        scope.spawn(|| factory.keep());
        /// Also when the test fails.
        struct End<'f>(&'f AtomicBool);
        impl Drop for End<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let _end = End(&factory.ending);
        factory.goes_on(ASKERS);
        disturb(&factory);
        factory.goes_on(2 * ASKERS);
    });
    for error in factory.errors.into_inner().unwrap() {
        assert!(CLEAR.iter().any(|words| error.contains(words)), "what is the asker to do? {error}");
    }
    (factory.hub, factory.given.into_inner().unwrap())
}

/// As [`issue_while`], and looks at everything afterwards.
fn nothing_is_lost_while(config: &AuthorityConfig, clock: &Clock, disturb: impl FnOnce(&Factory)) {
    let (hub, given) = issue_while(maker(config, clock), disturb);
    all_is_in_the_log(config, &hub, &given);
    check(config, &given);
}

/// What was given out has its place under the signed checkpoint, each record one place, each serial one.
fn all_is_in_the_log(config: &AuthorityConfig, hub: &Authority, given: &[Vec<u8>]) {
    let store = match &config.store {
        None => SqlStore::sqlite(&config.dir.join("authority.sqlite")).unwrap(),
        Some(server) => SqlStore::postgres(server.address().unwrap()).unwrap(),
    };
    let signed = store.checkpoint().unwrap().unwrap();
    let checkpoint = Checkpoint::verify(&signed.note, hub.log().key(), &[]).unwrap();
    let entries = store.log_entries(0, 1_000_000).unwrap();
    assert_eq!(entries.len() as u64, store.log_size().unwrap(), "the log has a gap");
    let logged: HashSet<Vec<u8>> = entries.iter().map(|entry| entry.tbs.clone()).collect();
    let serials: HashSet<_> = entries.iter().map(|entry| entry.serial).collect();
    assert_eq!((logged.len(), serials.len()), (entries.len(), entries.len()), "a serial is there twice");
    for certificate in given {
        assert!(logged.contains(Certificate::from_der(certificate).unwrap().tbs()), "given out and not in the log");
    }
    assert!(checkpoint.checkpoint.head.size >= given.len() as u64);
    let last = given.last().unwrap();
    assert!(hub.log_proof(credential(last)).unwrap().is_some());
    // What could not be finished is given up.
    hub.tick().unwrap();
}

/// Shows REQ-STORE-14.
#[test]
fn a_full_disk_under_the_tables_of_postgresql_refuses_and_issuing_goes_on_when_there_is_room() {
    let (dir, server) = (tempfile::tempdir().unwrap(), PostgresServer::with_small_disks());
    let config = maker_config(dir.path(), Some(server.url()));
    nothing_is_lost_while(&config, &Clock::system(), |factory| {
        for _ in 0..2 {
            server.fill(Disk::Tables);
            factory.tells("No space left on device");
            server.make_room(Disk::Tables);
            factory.goes_on(2 * ASKERS);
            factory.errors.lock().unwrap().retain(|error| !error.contains("No space"));
        }
    });
}

/// Shows REQ-STORE-15: the server stops when it cannot write ahead; the hub works again when the server does.
#[test]
fn a_full_disk_under_the_log_of_postgresql_loses_nothing_and_issuing_goes_on_when_there_is_room() {
    let (dir, mut server) = (tempfile::tempdir().unwrap(), PostgresServer::with_small_disks());
    let config = maker_config(dir.path(), Some(server.url()));
    nothing_is_lost_while(&config, &Clock::system(), |factory| {
        server.fill(Disk::Log);
        factory.tells("ask again");
        server.make_room(Disk::Log);
        server.crash();
        server.begin();
        factory.goes_on(2 * ASKERS);
    });
}

/// Shows REQ-STORE-16.
#[test]
fn a_postgresql_that_is_restarted_while_certificates_are_issued_loses_none() {
    let (dir, mut server) = (tempfile::tempdir().unwrap(), PostgresServer::start());
    let config = maker_config(dir.path(), Some(server.url()));
    nothing_is_lost_while(&config, &Clock::system(), |factory| {
        for _ in 0..3 {
            factory.goes_on(2 * ASKERS);
            server.crash();
            factory.tells("ask again");
            server.begin();
            factory.goes_on(ASKERS);
            factory.errors.lock().unwrap().clear();
        }
    });
}

/// Shows REQ-STORE-17: two hubs, the server that takes writes dies, its standby takes over.
#[test]
fn a_failover_to_a_standby_while_two_hubs_issue_loses_none() {
    let folders = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut primary = PostgresServer::start();
    let standby = primary.standby();
    let url = PostgresServer::url_of(&[&primary, &standby]);
    let configs = [0, 1].map(|number: usize| AuthorityConfig {
        hub_name: format!("hub-{number}"),
        ..maker_config(folders[number].path(), Some(url.clone()))
    });
    let first = maker(&configs[0], &Clock::system());
    let (from, to) = (folders[0].path().join("signer"), folders[1].path().join("signer"));
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
    let hubs = [first, maker(&configs[1], &Clock::system())];
    let together = &Barrier::new(3);
    let [(one, given), (_, others)] = std::thread::scope(|scope| {
        let issuing = hubs.map(|hub| {
            scope.spawn(move || {
                issue_while(hub, |factory| {
                    factory.goes_on(4 * ASKERS);
                    together.wait();
                    together.wait();
                    factory.goes_on(4 * ASKERS);
                })
            })
        });
        together.wait();
        primary.crash();
        standby.promote();
        together.wait();
        issuing.map(|issuing| issuing.join().unwrap())
    });
    let given = [given, others].concat();
    all_is_in_the_log(&configs[0], &one, &given);
    check(&configs[0], &given);
}

/// Shows REQ-STORE-18: a clock that jumps by years back and forth.
#[test]
fn a_clock_that_jumps_by_years_loses_nothing() {
    clock_jumps(None);
}

/// Shows REQ-STORE-18.
#[test]
fn a_clock_that_jumps_by_years_loses_nothing_on_postgresql() {
    let server = PostgresServer::start();
    clock_jumps(Some(server.url()));
}

fn clock_jumps(url: Option<String>) {
    const YEAR: i64 = 365 * 86_400;
    // Nothing is made where a server has another time.
    let clock = Clock::manual(if url.is_some() { Clock::system().now() } else { noon() });
    let dir = tempfile::tempdir().unwrap();
    let config = maker_config(dir.path(), url);
    nothing_is_lost_while(&config, &clock, |factory| {
        for years in [3, -8, 9, -4, 40, -41, 1] {
            clock.advance(years * YEAR);
            factory.goes_on(2 * ASKERS);
        }
    });
}

/// Shows REQ-STORE-18: what a site says is heard by those who heard it before, whatever its clock does.
#[test]
fn a_site_whose_clock_jumps_by_years_goes_on_enrolling_and_revoking() {
    const YEAR: i64 = 365 * 86_400;
    let site = Site::new();
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    let mut given: Vec<Vec<u8>> = Vec::new();
    for (number, years) in [0, 3, -8, 9, -4, 1].into_iter().enumerate() {
        site.clock.advance(years * YEAR);
        site.authority.tick().unwrap();
        let [name, before] = [number, number.saturating_sub(1)].map(|number| format!("ct-{number}"));
        let certificate = site.enrol(&name, &SigningKey::generate());
        for kind in [Kind::SiteList, Kind::Policy, Kind::Status, Kind::Routes] {
            node.accept(kind, &site.authority.news().current(kind).unwrap().bytes).unwrap();
        }
        let chain = [certificate.clone(), site.authority.issuing().der.clone()].map(Into::into);
        let verdict = node.judge(&node.identify(&chain).unwrap(), medlock_trust::Operation::Store);
        assert!(!matches!(verdict, medlock_trust::Verdict::Deny(_)), "after {years} years: {verdict:?}");
        if number > 0 {
            site.ask(Request::Revoke { device: before.clone(), reason: Reason::Stolen, why: "test".into() });
            node.accept(Kind::Status, &site.authority.news().current(Kind::Status).unwrap().bytes).unwrap();
            assert_eq!(site.state(&before).0, "revoked");
        }
        assert!(site.authority.log_proof(credential(&certificate)).unwrap().is_some());
        given.push(certificate);
    }
    let serials: HashSet<_> =
        given.iter().map(|der| Certificate::from_der(der).unwrap().serial_number().to_vec()).collect();
    assert_eq!(serials.len(), given.len());
    let path = site.dir.path().to_owned();
    drop(site.authority);
    check(&crate::fixture::config(&path), &given);
}

/// A disk of some megabytes, in memory.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=32m", "tmpfs"]).arg(place.path()).status();
        assert!(mounted.unwrap().success(), "only root may mount a small disk");
        Self(place)
    }

    fn fill(&self) {
        let mut file = std::fs::File::create(self.0.path().join("ballast")).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![b'x'; size]).is_ok() {}
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Shows REQ-RUN-46, REQ-STORE-78, REQ-RUN-59: on a full disk a hub is not ready, and a theft is recorded and told all the same; when there
/// is room it goes on by itself.
#[test]
fn on_a_full_disk_a_theft_is_recorded_and_the_hub_is_not_ready() {
    let disk = SmallDisk::new();
    let (clock, at) = (Clock::manual(noon()), disk.0.path().join("hub"));
    let authority = Arc::new(crate::fixture::open(&at, &clock));
    let site = Site { authority, clock, dir: tempfile::tempdir().unwrap() };
    for name in ["ct-1", "ct-2"] {
        site.enrol(name, &SigningKey::generate());
    }
    site.authority.health().unwrap();
    site.authority.crl().unwrap();
    disk.fill();
    // Who asks within some seconds hears the same.
    std::thread::sleep(Duration::from_secs(5));
    let why = site.authority.health().unwrap_err().to_string();
    assert!(why.contains("full"), "{why}");
    site.authority.crl().unwrap();
    assert!(site.authority.administer(&Asker::uid(0), Request::Register { device: ct("ct-3") }).is_err());
    let stolen = |name: &str| Request::Revoke { device: name.into(), reason: Reason::Stolen, why: "van".into() };
    site.ask(stolen("ct-1"));
    assert_eq!(site.state("ct-1").0, "revoked");
    let news = site.authority.news().current(Kind::Status).unwrap();
    let list = StatusList::danger_open(&news.bytes).unwrap();
    let told = |name| list.record(Subject::Device(DeviceId::of(&DeviceName::new(name).unwrap(), &AwsLc))).is_some();
    assert_eq!([told("ct-1"), told("ct-2")], [true, false]);
    assert!(site.authority.health().is_err(), "that the room was used does not make it ready");
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    // Where there is room for both, nobody waits until who needed it has had it for a minute.
    let began = Instant::now();
    while site.authority.health().is_err() {
        assert!(began.elapsed() < Duration::from_secs(20), "there is room: {:?}", site.authority.health());
        std::thread::sleep(Duration::from_millis(100));
    }
    // Started on a full disk, it is there for whoever reports the next one.
    let Site { authority, clock, dir } = site;
    drop(authority);
    drop(crate::fixture::open(&at, &clock));
    disk.fill();
    let site = Site { authority: Arc::new(crate::fixture::open(&at, &clock)), clock, dir };
    site.ask(stolen("ct-2"));
    assert_eq!(["ct-1", "ct-2"].map(|name| site.state(name).0), ["revoked", "revoked"]);
    std::fs::remove_file(disk.0.path().join("ballast")).unwrap();
    site.authority.tick().unwrap();
    site.authority.health().unwrap();
    site.enrol("ct-4", &SigningKey::generate());
}

/// Shows REQ-STORE-120: the room is used as well where a theft could be recorded, and the list that tells it is too long for what
/// the disk has left.
#[test]
fn on_a_disk_that_is_nearly_full_a_theft_is_told() {
    let disk = SmallDisk::new();
    let (clock, at) = (Clock::manual(noon()), disk.0.path().join("hub"));
    drop(crate::fixture::open(&at, &clock));
    let store = SqlStore::sqlite(&at.join("authority.sqlite")).unwrap();
    let superseded = |number: u128| StandingChange {
        subject: Standing::Credential(CredentialId::from_bytes(number.to_be_bytes())),
        state: Some(StandingState::Superseded),
        reason: "superseded".into(),
        at: noon(),
    };
    store.change_standings((0..20_000).map(superseded).collect(), noon()).unwrap();
    drop(store);
    let authority = Arc::new(crate::fixture::open(&at, &clock));
    let site = Site { authority, clock, dir: tempfile::tempdir().unwrap() };
    site.enrol("ct-1", &SigningKey::generate());
    let little = disk.0.path().join("little");
    std::fs::write(&little, vec![b'x'; 400 << 10]).unwrap();
    disk.fill();
    std::fs::remove_file(little).unwrap();
    site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "van".into() });
    assert!(!at.join("reserve").exists(), "it was needed");
    let news = site.authority.news().current(Kind::Status).unwrap();
    let list = StatusList::danger_open(&news.bytes).unwrap();
    assert!(list.record(Subject::Device(DeviceId::of(&DeviceName::new("ct-1").unwrap(), &AwsLc))).is_some());
}

/// Shows REQ-STORE-132, REQ-STORE-177: the room that is kept for a full disk is spent neither on a file of a newer program nor on a
/// damaged one.
#[test]
fn a_damaged_store_says_so_and_the_reserve_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(noon());
    drop(crate::fixture::open(dir.path(), &clock));
    let refused = || {
        let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
        let error =
            Authority::open(&crate::fixture::config(dir.path()), clock.clone(), signer).unwrap_err().to_string();
        assert!(dir.path().join("reserve").exists(), "the room was given away for nothing: {error}");
        error
    };
    let file = dir.path().join(DATABASE);
    rusqlite::Connection::open(&file).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let error = refused();
    assert!(error.contains("newer program"), "{error}");
    for suffix in ["", "-wal", "-shm"] {
        let _ = std::fs::write(dir.path().join(format!("{DATABASE}{suffix}")), vec![b'x'; 8_192]);
    }
    let error = refused();
    assert!(error.contains("not an SQLite database"), "{error}");
}

/// Shows REQ-STORE-79: what became of the act itself is said first, not that the audit trail could not be written.
#[test]
fn on_a_full_disk_the_act_says_first_what_became_of_it() {
    let disk = SmallDisk::new();
    let (clock, at) = (Clock::manual(noon()), disk.0.path().join("hub"));
    let authority = crate::fixture::open(&at, &clock);
    let register = |name: &str| authority.administer(&Asker::uid(0), Request::Register { device: ct(name) });
    register("ct-1").unwrap();
    disk.fill();
    let said = register("ct-1").unwrap_err().to_string();
    assert!(said.contains("already registered") && !said.contains("audit"), "{said}");
}

/// Shows REQ-RUN-47: whoever sends others to this hub is told at once that it is about to stop.
#[test]
fn a_hub_that_is_being_stopped_is_not_ready() {
    let site = Site::new();
    site.authority.health().unwrap();
    site.authority.begin_to_stop();
    assert!(site.authority.health().unwrap_err().to_string().contains("being stopped"));
}
