//! Several hubs on one PostgreSQL server.

mod alike;
pub(crate) mod went_back;

use crate::fixture::{FROM, Sleepy, config, ct, issued, postgres};
use medlock_authority::admin::{Asker, Reason, Request, Response};
use medlock_authority::enrolment::Answer;
use medlock_authority::objects::Kind;
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::signer::InProcess;
use medlock_authority::store::{Issuances as _, Log as _, ServerConfig, SqlStore};
use medlock_authority::voucher::{VoucherForm, VoucherOrder};
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::provider::SigningKey;
use medlock_testkit::PostgresServer;
use medlock_trust::DeviceName;
use medlock_trust::policy::Setting;
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Two hubs that start at once, with the same keys.
fn two(dir: &Path) -> ([Arc<Authority>; 2], SqlStore) {
    two_on(&postgres(), dir)
}

/// The configuration of a hub of this name on this server.
pub(crate) fn hub_config(server: &ServerConfig, dir: &Path, name: &str) -> AuthorityConfig {
    AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..config(&dir.join(name)) }
}

/// Opens a hub that has the keys which all in this folder share.
pub(crate) fn open_in(dir: &Path, config: &AuthorityConfig, clock: &Clock) -> Result<Authority, Error> {
    let signer = Arc::new(InProcess::open(&dir.join("keys")).unwrap());
    Authority::open(config, clock.clone(), signer)
}

/// A hub of this name on this server, with the keys that all in this folder share.
pub(crate) fn hub_at(server: &ServerConfig, dir: &Path, name: &str, clock: &Clock) -> Result<Authority, Error> {
    open_in(dir, &hub_config(server, dir, name), clock)
}

pub(crate) fn two_on(server: &ServerConfig, dir: &Path) -> ([Arc<Authority>; 2], SqlStore) {
    let store = SqlStore::postgres(server.address().unwrap()).unwrap();
    let hubs = ["hub-1", "hub-2"].map(|name| {
        let (server, dir) = (server.clone(), dir.to_owned());
        std::thread::spawn(move || Arc::new(hub_at(&server, &dir, name, &Clock::system()).unwrap()))
    });
    (hubs.map(|hub| hub.join().unwrap()), store)
}

fn ask(hub: &Authority, request: Request) -> Response {
    hub.administer(&Asker::program(), request).unwrap()
}

pub(crate) fn register(hub: &Authority, name: &str) {
    ask(hub, Request::Register { device: ct(name) });
}

fn code(hub: &Authority, name: &str) -> Code {
    match ask(hub, Request::Code { device: name.into(), lifetime_seconds: None }) {
        Response::Code { code, .. } => code.parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

/// A device that has a code of `hub` and a key: how it asks at any hub for a certificate.
pub(crate) fn claim(hub: &Authority, name: &str) -> impl Fn(&Authority) -> Result<Answer, Error> + Send + Sync + use<> {
    let (code, key) = (code(hub, name), SigningKey::generate());
    move |at| at.enrol_by_code(&code.user(), &code.password(), &certificate_request(&key, None), FROM)
}

pub(crate) fn approve_all(hub: &Authority) {
    let Response::Pending { pending } = ask(hub, Request::Pending) else { panic!() };
    for one in pending {
        ask(hub, Request::Approve { id: one.id, device: None });
    }
}

pub(crate) fn alarms_of(hub: &Authority, kind: &str) -> Vec<(u64, String)> {
    let Response::Alarms { alarms } = ask(hub, Request::Alarms) else { panic!() };
    alarms.into_iter().filter(|alarm| alarm.kind == kind).map(|alarm| (alarm.count, alarm.text)).collect()
}

/// Shows REQ-STORE-07.
#[test]
fn two_hubs_that_start_at_once_are_one_authority() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, other], _) = two(dir.path());
    assert_eq!(one.root(), other.root());
    assert_eq!(one.issuing(), other.issuing());
    register(&one, "ct-1");
    register(&other, "ct-2");
    let taken =
        Request::Register { device: medlock_authority::registry::DeviceConfig { name: "ct-3".into(), ..ct("ct-2") } };
    assert!(one.administer(&Asker::program(), taken).is_err(), "two devices have one title");
}

/// Shows REQ-STORE-07: asked for one claim at once, two hubs give one certificate; no serial is twice, and the log has no
/// gap.
#[test]
fn two_hubs_give_one_certificate_for_one_claim() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, other], store) = two(dir.path());
    let before = store.log_size().unwrap();
    const DEVICES: u64 = 20;
    for number in 0..DEVICES {
        let name = format!("ct-{number}");
        register(&one, &name);
        let enrol = claim(&other, &name);
        assert!(matches!(enrol(&one).unwrap(), Answer::Waits { .. }));
        approve_all(&other);
        let answers = std::thread::scope(|scope| {
            [&one, &other, &one, &other].map(|hub| scope.spawn(|| enrol(hub))).map(|asked| asked.join().unwrap())
        });
        let certificate = issued(enrol(&one).unwrap());
        for answer in answers.into_iter().flatten() {
            assert_eq!(issued(answer), certificate, "two certificates for one claim");
        }
        assert_eq!(store.credentials_of(DeviceName::new(&name).unwrap()).unwrap().len(), 1);
    }
    assert_eq!(store.log_size().unwrap(), before + DEVICES, "a hub recorded what the other had recorded");
    assert!(store.waiting_entries(1).unwrap().is_empty(), "something was given out that the log does not have");
    let entries = store.log_entries(0, 10_000).unwrap();
    assert_eq!(entries.len() as u64, before + DEVICES, "the log has a gap");
    assert_eq!(entries.iter().map(|entry| entry.serial).collect::<HashSet<_>>().len(), entries.len());
}

/// Shows REQ-STORE-08: what is said at one hub is heard at the other's news, and nothing is published twice.
#[test]
fn a_revocation_at_one_hub_is_news_at_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, other], _) = two(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stopper, stop) = medlock_node::stop::channel();
    for hub in [&one, &other] {
        runtime.spawn(hub.clone().keep(stop.clone()));
    }
    register(&one, "ct-1");
    let (code, key) = (code(&one, "ct-1"), SigningKey::generate());
    let request = certificate_request(&key, None);
    let enrol = || one.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap();
    enrol();
    approve_all(&one);
    issued(enrol());
    for (round, reason) in [Reason::Superseded, Reason::KeyCompromise].into_iter().enumerate() {
        let mut changes = other.news().changes();
        changes.mark_unchanged();
        let begun = Instant::now();
        ask(&one, Request::Revoke { device: "ct-1".into(), reason, why: "test".into() });
        let version = one.news().current(Kind::Status).unwrap().version;
        while other.news().current(Kind::Status).unwrap().version < version {
            assert!(begun.elapsed() < Duration::from_secs(60), "not heard in round {round}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    // Both register at once: the last routing table has them all.
    std::thread::scope(|scope| {
        for (hub, start) in [(&one, 100), (&other, 200)] {
            scope.spawn(move || (start..start + 10).for_each(|number| register(hub, &format!("ct-{number}"))));
        }
    });
    std::thread::sleep(Duration::from_secs(1));
    for hub in [&one, &other] {
        let table = hub.news().current(Kind::Routes).unwrap();
        let signed = medlock_trust::cose::Sign1::read(&table.bytes).unwrap();
        let table = medlock_node::routes::RoutingTable::decode(signed.payload()).unwrap();
        assert_eq!(table.machines.len(), 21);
    }
    drop(stopper);
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Shows REQ-PROV-17: two hubs of a maker that give their first vouchers at once have one voucher key and one certificate of
/// it.
#[test]
fn two_hubs_of_a_maker_make_one_voucher_certificate() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let store = SqlStore::postgres(server.address().unwrap()).unwrap();
    let hubs = ["hub-1", "hub-2"].map(|name| {
        let config = AuthorityConfig {
            store: Some(server.clone()),
            hub_name: name.into(),
            ..AuthorityConfig::maker(dir.path().join(name), "Pump Works")
        };
        let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
        Arc::new(Authority::open(&config, Clock::system(), signer).unwrap())
    });
    let order =
        VoucherOrder { domain: "ab".repeat(32), days: Some(30), form: VoucherForm::Cose, ..VoucherOrder::default() };
    let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
    for serial in ["P-1", "P-2", "P-3", "P-4"] {
        let material = data_encoding::BASE64.encode(SigningKey::generate().spki());
        let row = Row { serial: Some(serial.into()), material, ..Row::default() };
        hubs[0].provision_one(profile.clone(), row).unwrap();
    }
    let made = std::thread::scope(|scope| {
        let one = |(number, serial): (usize, &str)| {
            let (hub, order) = (hubs[number % 2].clone(), VoucherOrder { serial: serial.into(), ..order.clone() });
            scope.spawn(move || hub.issue_voucher(&order))
        };
        let asked = ["P-1", "P-2", "P-3", "P-4"].into_iter().enumerate().map(one).collect::<Vec<_>>();
        asked.into_iter().map(|asked| asked.join().unwrap()).collect::<Vec<_>>()
    });
    // The certificate stands in each: the same bytes.
    let certificates: HashSet<Vec<u8>> = made.into_iter().map(|made| certificate_in(&made.unwrap())).collect();
    assert_eq!(certificates.len(), 1, "two voucher keys, or two certificates");
    let entries = store.log_entries(0, 100).unwrap();
    assert_eq!(entries.len(), 2 + 4 + 1, "root and issuing key, four births, one voucher key");
}

/// The first certificate in the unprotected header of a voucher in COSE.
fn certificate_in(cose: &[u8]) -> Vec<u8> {
    let mut reader = medlock_trust::cbor::Reader::new(cose);
    reader.tag(18).unwrap();
    reader.array_of(4).unwrap();
    reader.bytes().unwrap();
    reader.map(1).unwrap();
    assert_eq!((reader.uint().unwrap(), reader.array(2).unwrap()), (32, 2));
    reader.bytes().unwrap().to_vec()
}

/// Shows REQ-KEYS-23, REQ-NODE-69, REQ-STORE-134: a rotation at one hub is in force at the other, which asks four times a second.
#[test]
fn a_rotation_at_one_hub_is_in_force_at_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, other], store) = two(dir.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stopper, stop) = medlock_node::stop::channel();
    for hub in [&one, &other] {
        runtime.spawn(hub.clone().keep(stop.clone()));
    }
    let own = other.hub_identity().current().unwrap().credential();
    // Nor does one hub change the entry of the other: that one is made from its own configuration.
    let changed = Request::Update { device: ct("hub-2"), read: None };
    let refused = one.administer(&Asker::program(), changed).unwrap_err().to_string();
    assert!(refused.contains("is made from its configuration"), "{refused}");
    let begun = Instant::now();
    ask(&one, Request::ChangeKeys { change: "rotate".parse().unwrap(), anyway: false, why: String::new() });
    while other.issuing() != one.issuing() || other.hub_identity().current().unwrap().credential() == own {
        assert!(begun.elapsed() < Duration::from_secs(60), "the other hub issues with the former key");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(other.issuing().label.to_string(), "issuing-2");
    register(&other, "ct-1");
    let (code, key) = (code(&other, "ct-1"), SigningKey::generate());
    let enrol = || {
        let request = certificate_request(&key, None);
        other.enrol_by_code(&code.user(), &code.password(), &request, FROM).unwrap()
    };
    assert!(matches!(enrol(), Answer::Waits { .. }));
    approve_all(&one);
    let certificate = issued(enrol());
    assert_eq!(one.keys().issuer_of(&certificate).unwrap().certificate.key, one.issuing().key);
    // Asked at both at once, one changes, or both one after the other: there is one key that issues.
    let asked = std::thread::scope(|scope| {
        [&one, &other]
            .map(|hub| {
                scope.spawn(|| {
                    let change = "rotate".parse().unwrap();
                    hub.administer(&Asker::program(), Request::ChangeKeys { change, anyway: false, why: String::new() })
                        .is_ok()
                })
            })
            .map(|asked| asked.join().unwrap())
    });
    assert!(asked.contains(&true), "neither hub changed the key");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(one.keys(), other.keys());
    let names: HashSet<_> = one.keys().iter().map(|key| key.certificate.subject.clone()).collect();
    assert_eq!(names.len(), one.keys().iter().count(), "two keys have one name");
    // A node that heard at one of a theft listens to the other again as soon as that has its new credential.
    ask(
        &one,
        Request::ChangeKeys {
            change: format!("compromised {}", one.issuing().label).parse().unwrap(),
            anyway: true,
            why: String::new(),
        },
    );
    let node = medlock_node::knowledge::KnowledgeBase::in_memory(Clock::system(), Setting::Hospital);
    node.pin_root(&one.root().der).unwrap();
    for kind in [Kind::SiteList, Kind::Status] {
        node.accept(kind, &one.news().current(kind).unwrap().bytes).unwrap();
    }
    let begun = Instant::now();
    for hub in [&one, &other] {
        let hears = || {
            // It goes on hearing; what is not newer is not taken.
            for (from, kind) in
                [&one, &other].into_iter().flat_map(|from| [Kind::SiteList, Kind::Status].map(|kind| (from, kind)))
            {
                let _ = node.accept(kind, &from.news().current(kind).unwrap().bytes);
            }
            let who = node.identify(hub.hub_identity().current().unwrap().chain()).unwrap();
            node.judge_standing(&who)
        };
        while let Err(denied) = hears() {
            assert!(begun.elapsed() < Duration::from_secs(60), "a hub is not heard again: {denied:?}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }
    drop((store, stopper));
    runtime.shutdown_timeout(Duration::from_secs(5));
}

/// Shows REQ-RUN-48: a hub that was not given the key that another has made writes nothing into the log, says so once and with
/// what to do, and goes on by itself when it has the key.
#[test]
fn a_hub_without_the_new_key_writes_nothing_and_says_so_once() {
    let dir = tempfile::tempdir().unwrap();
    let (server, dir) = (postgres(), dir.path());
    let open = |name: &str| {
        // Each with keys of its own.
        Arc::new(open_in(&dir.join(name), &hub_config(&server, dir, name), &Clock::system()).unwrap())
    };
    let one = open("hub-1");
    let copy_keys = || {
        std::fs::create_dir_all(dir.join("hub-2/keys")).unwrap();
        for file in std::fs::read_dir(dir.join("hub-1/keys")).unwrap().map(Result::unwrap) {
            std::fs::copy(file.path(), dir.join("hub-2/keys").join(file.file_name())).unwrap();
        }
    };
    copy_keys();
    let other = open("hub-2");
    let store = SqlStore::postgres(server.address().unwrap()).unwrap();
    register(&one, "ct-1");
    let enrol = claim(&one, "ct-1");
    enrol(&one).unwrap();
    approve_all(&one);
    let Response::Keys { hubs, .. } = ask(
        &one,
        Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: true, why: String::new() },
    ) else {
        panic!()
    };
    assert_eq!(hubs, Some(vec!["hub-2".to_owned()]), "who needs a copy");
    let before = store.log_size().unwrap();
    for _ in 0..5 {
        other.hear().unwrap();
        other.tick().unwrap();
    }
    assert_eq!(other.issuing(), one.issuing(), "it knows the new key");
    let refused = enrol(&other).unwrap_err().to_string();
    assert!(refused.contains("issuing-2.key"), "{refused}");
    assert!(other.health().unwrap_err().to_string().contains("issuing-2.key"));
    assert_eq!(store.log_size().unwrap(), before, "what could not be signed was recorded");
    assert!(store.waiting_entries(1).unwrap().is_empty());
    let told = alarms_of(&one, "issuing-key-missing");
    assert!(told.len() == 1 && told[0].0 == 1, "{told:?}");
    assert!(told[0].1.contains("hub-2") && told[0].1.contains("keys/issuing-2.key"), "{told:?}");
    copy_keys();
    let own = other.hub_identity().current().unwrap().credential();
    other.tick().unwrap();
    assert_ne!(other.hub_identity().current().unwrap().credential(), own, "it renews by itself");
    issued(enrol(&other).unwrap());
    other.health().unwrap();
}

/// Shows REQ-STORE-80: two hubs of one name would take each other's place, so the second one is refused; one that was killed
/// is started again in its folder at once, and a copy of the folder is another hub.
#[test]
fn a_second_hub_of_the_same_name_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (server, dir) = (postgres(), dir.path());
    let open = |folder: &str| {
        let config = AuthorityConfig { hub_name: "hub".into(), ..hub_config(&server, dir, folder) };
        open_in(dir, &config, &Clock::system())
    };
    let one = open("one").unwrap();
    let refused = open("other").unwrap_err().to_string();
    assert!(refused.contains("hub_name") && refused.contains("\"hub\""), "{refused}");
    let copied = dir.join("copied");
    std::fs::create_dir(&copied).unwrap();
    std::fs::copy(dir.join("one/holder"), copied.join("holder")).unwrap();
    open("copied").unwrap_err();
    // One that did not end as it should leaves its hold behind.
    let sql = format!("SELECT encode(holder, 'hex') AS holder FROM {}.hold WHERE name = 'hub hub'", server.schema);
    let left = PostgresServer::shared().query(&sql).unwrap();
    drop(one);
    let holder: String = left.chars().filter(char::is_ascii_hexdigit).collect();
    let sql = format!(
        "INSERT INTO {}.hold (name, holder, until) VALUES ('hub hub', '\\x{holder}', \
         CAST(extract(epoch FROM clock_timestamp()) AS BIGINT) + 15)",
        server.schema
    );
    PostgresServer::shared().query(&sql).unwrap();
    open("other").unwrap_err();
    let one = open("one").unwrap();
    drop(one);
    open("other").unwrap();
}

/// Shows REQ-STORE-121: a hub that was out of reach while another took its name is not ready, issues nothing and says so; it goes
/// on when the other is stopped.
#[test]
fn a_hub_whose_name_was_taken_meanwhile_stands_still() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let open = |folder: &str| {
        let config = AuthorityConfig { hub_name: "hub".into(), ..hub_config(&server, dir.path(), folder) };
        open_in(dir.path(), &config, &Clock::system()).unwrap()
    };
    let one = open("one");
    register(&one, "ct-1");
    let enrol = claim(&one, "ct-1");
    enrol(&one).unwrap();
    approve_all(&one);
    let until = |reached: &dyn Fn() -> bool| {
        let begun = Instant::now();
        while !reached() {
            assert!(begun.elapsed() < Duration::from_secs(60));
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    // As if it had not been heard of for a while.
    let forget = format!("DELETE FROM {}.hold WHERE name = 'hub hub'", server.schema);
    PostgresServer::shared().query(&forget).unwrap();
    let other = open("other");
    until(&|| one.health().is_err());
    let said = one.health().unwrap_err().to_string();
    assert!(said.contains("\"hub\"") && said.contains("stop one of them"), "{said}");
    assert!(enrol(&one).unwrap_err().to_string().contains("stop one of them"));
    for _ in 0..3 {
        one.tick().unwrap();
    }
    assert_eq!(alarms_of(&other, "hub-name-taken").iter().map(|(count, _)| count).sum::<u64>(), 1);
    drop(other);
    until(&|| one.health().is_ok());
    issued(enrol(&one).unwrap());
}

/// Shows REQ-STORE-174, REQ-STORE-176: what a hub records whose signer is away another hub tells, and the answer says that it may.
#[test]
fn a_suspension_at_a_hub_without_its_signer_is_told_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let (server, away) = (postgres(), Arc::new(AtomicBool::new(false)));
    let open = |name: &str, away: &Arc<AtomicBool>| {
        let config = hub_config(&server, dir.path(), name);
        let inner = InProcess::open(&dir.path().join("keys")).unwrap();
        Authority::open(&config, Clock::system(), Arc::new(Sleepy { inner, away: away.clone() })).unwrap()
    };
    let (one, other) = (open("hub-1", &Arc::default()), open("hub-2", &away));
    register(&one, "ct-1");
    other.hear().unwrap();
    let before = one.news().current(Kind::Status).unwrap().version;
    away.store(true, Ordering::SeqCst);
    let suspend = || {
        let request = Request::Suspend { device: "ct-1".into(), why: "test".into() };
        other.administer(&Asker::program(), request).unwrap_err().to_string()
    };
    let said = suspend();
    assert!(said.contains("not signed yet") && said.contains("hub-1 on the same store may have told it"), "{said}");
    one.tick().unwrap();
    assert!(one.news().current(Kind::Status).unwrap().version > before);
    // Who asked is a user of that machine.
    let Response::Audit { entries } = ask(&one, Request::Audit { limit: Some(1) }) else { panic!() };
    assert!(entries[0].who.ends_with(" at hub-2") && entries[0].outcome.contains("not signed yet"), "{entries:?}");
    drop(one);
    let said = suspend();
    assert!(said.contains("nobody hears of it before"), "{said}");
}

/// Shows REQ-KEYS-80: no root retires while a hub shows a credential below it, because no device would believe that hub.
#[test]
fn a_root_waits_for_every_hub() {
    let dir = tempfile::tempdir().unwrap();
    let ([one, other], _) = two(dir.path());
    let name = other.hub_identity().current().unwrap().device_name().unwrap().to_string();
    one.change_keys("root".parse().unwrap(), false).unwrap();
    let said = one.change_keys("retire root".parse().unwrap(), true).unwrap_err().to_string();
    assert!(said.contains(&format!("the hub {name} ")) && said.contains("it renews at once"), "{said}");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (stopper, stop) = medlock_node::stop::channel();
    runtime.spawn(other.clone().keep(stop));
    let begun = Instant::now();
    while let Err(why) = one.change_keys("retire root".parse().unwrap(), true) {
        assert!(why.to_string().contains("it renews at once") && begun.elapsed() < Duration::from_secs(60), "{why}");
        std::thread::sleep(Duration::from_millis(10));
    }
    while other.root() != one.root() {
        assert!(begun.elapsed() < Duration::from_secs(60), "the other hub speaks in the old name");
        std::thread::sleep(Duration::from_millis(10));
    }
    drop(stopper);
}
