//! Several hubs on one PostgreSQL server.

use crate::fixture::{FROM, Sleepy, config, ct, issued, postgres};
use crate::rotation::by_key;
use medlock_authority::admin::{Asker, Reason, Request, Response};
use medlock_authority::enrolment::Answer;
use medlock_authority::objects::Kind;
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::restoring::Since;
use medlock_authority::signer::InProcess;
use medlock_authority::store::{
    Issuances as _, Journal as _, Log as _, Published, ServerConfig, SqlStore, Standings as _, Subject,
};
use medlock_authority::voucher::{VoucherForm, VoucherOrder};
use medlock_authority::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::provider::SigningKey;
use medlock_testkit::PostgresServer;
use medlock_trust::DeviceName;
use medlock_trust::policy::Setting;
use medlock_trust::status::Ticket;
use medlock_trust::x509::{Certificate, GeneralName};
use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Two hubs that start at once, with the same keys.
fn two(dir: &Path) -> ([Arc<Authority>; 2], SqlStore) {
    two_on(&postgres(), dir)
}

pub(crate) fn two_on(server: &ServerConfig, dir: &Path) -> ([Arc<Authority>; 2], SqlStore) {
    let store = SqlStore::postgres(server.address().unwrap()).unwrap();
    let hubs = ["hub-1", "hub-2"].map(|name| {
        let config = AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..config(&dir.join(name)) };
        let keys = dir.join("keys");
        std::thread::spawn(move || {
            let signer = Arc::new(InProcess::open(&keys).unwrap());
            Arc::new(Authority::open(&config, Clock::system(), signer).unwrap())
        })
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
        let config = AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..config(&dir.join(name)) };
        let signer = Arc::new(InProcess::open(&dir.join(name).join("keys")).unwrap());
        Arc::new(Authority::open(&config, Clock::system(), signer).unwrap())
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
    let Response::Alarms { alarms } = ask(&one, Request::Alarms) else { panic!() };
    let told: Vec<_> = alarms.iter().filter(|alarm| alarm.kind == "issuing-key-missing").collect();
    assert!(told.len() == 1 && told[0].count == 1, "{told:?}");
    assert!(told[0].text.contains("hub-2") && told[0].text.contains("keys/issuing-2.key"), "{told:?}");
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
        let config = AuthorityConfig { store: Some(server.clone()), ..config(&dir.join(folder)) };
        let signer = Arc::new(InProcess::open(&dir.join("keys")).unwrap());
        Authority::open(&config, Clock::system(), signer)
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
        let config = AuthorityConfig { store: Some(server.clone()), ..config(&dir.path().join(folder)) };
        let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
        Authority::open(&config, Clock::system(), signer).unwrap()
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
    let Response::Alarms { alarms } = ask(&other, Request::Alarms) else { panic!() };
    assert_eq!(alarms.iter().filter(|alarm| alarm.kind == "hub-name-taken").map(|alarm| alarm.count).sum::<u64>(), 1);
    drop(other);
    until(&|| one.health().is_ok());
    issued(enrol(&one).unwrap());
}

/// Sets a manual clock so many seconds ahead of the machine's, on which the database server is too.
fn set_ahead(clock: &Clock, seconds: i64) {
    clock.advance(Clock::system().now().plus_seconds(seconds).seconds_since(clock.now()));
}

pub(crate) fn alarms_of(hub: &Authority, kind: &str) -> Vec<(u64, String)> {
    let Response::Alarms { alarms } = ask(hub, Request::Alarms) else { panic!() };
    alarms.into_iter().filter(|alarm| alarm.kind == kind).map(|alarm| (alarm.count, alarm.text)).collect()
}

/// Shows REQ-STORE-170, REQ-STORE-171, REQ-STORE-190: a hub whose clock is more than a minute from the database server's is not
/// ready; beyond five minutes it issues and publishes nothing, says so once, blames no other clock, tells a theft all the same, and
/// goes on by itself when the clocks agree. What it signs meanwhile, tickets too, is of the server's time.
#[test]
fn a_hub_with_another_clock_than_the_server_stands_still() {
    const DAY: i64 = 86_400;
    for (ahead, how) in [(2 * DAY, "ahead of"), (-400 * DAY, "behind")] {
        let dir = tempfile::tempdir().unwrap();
        let (server, dir, clock) = (postgres(), dir.path(), Clock::manual(Clock::system().now()));
        let open = |name: &str, clock: &Clock| {
            let config =
                AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..config(&dir.join(name)) };
            let signer = Arc::new(InProcess::open(&dir.join("keys")).unwrap());
            Authority::open(&config, clock.clone(), signer)
        };
        set_ahead(&clock, ahead);
        let refused = open("hub-2", &clock).unwrap_err().to_string();
        assert!(refused.contains(how) && refused.contains("look at both clocks"), "nothing is made: {refused}");
        let one = open("hub-1", &Clock::system()).unwrap();
        set_ahead(&clock, 0);
        let other = open("hub-2", &clock).unwrap();
        let store = SqlStore::postgres(server.address().unwrap()).unwrap();
        for name in ["ct-1", "ct-2"] {
            register(&one, name);
        }
        let [enrol, later] = ["ct-1", "ct-2"].map(|name| claim(&one, name));
        for enrol in [&enrol as &dyn Fn(&Authority) -> _, &later] {
            enrol(&one).unwrap();
        }
        approve_all(&one);
        other.health().unwrap();
        one.tick().unwrap();
        set_ahead(&clock, 120 * ahead.signum());
        let said = other.health().unwrap_err().to_string();
        assert!(said.contains(&format!("s {how} the clock of the database server: look at both")), "{said}");
        other.tick().unwrap();
        issued(enrol(&other).unwrap());

        let before = store.versions().unwrap();
        set_ahead(&clock, ahead);
        let agrees = || {
            PostgresServer::shared()
                .query(&format!("UPDATE {}.hold SET until = until + 50 WHERE name = 'clock hub-1'", server.schema))
        };
        agrees().unwrap();
        for _ in 0..3 {
            other.hear().unwrap();
            other.tick().unwrap();
            other.tick_set();
        }
        assert_eq!(store.versions().unwrap(), before, "it publishes");
        assert!(later(&other).unwrap_err().to_string().contains("look at both clocks"));
        assert!(other.crl().unwrap_err().to_string().contains("look at both clocks"));
        assert!(other.change_keys("rotate".parse().unwrap(), true).unwrap_err().to_string().contains("both clocks"));
        let told = alarms_of(&one, "clock-differs");
        assert!(told.len() == 1 && told[0].0 == 1, "{told:?}");
        assert!(told[0].1.contains("hub-2") && told[0].1.contains(how) && told[0].1.contains("goes on"), "{told:?}");
        // Started again it stands still as well.
        drop(other);
        let other = open("hub-2", &clock).unwrap();
        let settings = |all: Vec<(String, u64)>| all.into_iter().filter(|(kind, _)| kind != "hub-settings").collect();
        let (now, before): (Vec<_>, Vec<_>) = (settings(store.versions().unwrap()), settings(before));
        assert_eq!(now, before, "it publishes when it starts");
        // A theft does not wait for a clock.
        ask(&other, Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "test".into() });
        let list = store.published("status").unwrap().unwrap().bytes;
        let list = medlock_trust::status::StatusList::danger_open(&list).unwrap();
        let credential = store.credentials_of(DeviceName::new("ct-1").unwrap()).unwrap()[0].credential;
        let ticket = other.ticket(credential, &[7; 16]).unwrap().unwrap();
        let request = medlock_authority::tickets::Request { nonce: vec![7; 16], credentials: vec![credential] };
        let answer = other.tickets(&request).unwrap();
        for (what, issued) in [
            ("the status list", list.heading().issued),
            ("a ticket", Ticket::danger_read(&ticket).unwrap().issued),
            ("one of several", Ticket::danger_read(&answer[3..]).unwrap().issued),
        ] {
            assert!(issued.seconds_since(Clock::system().now()).abs() < 60, "{what} is of {issued}");
        }
        let since = store.standing(Subject::Device(DeviceName::new("ct-1").unwrap())).unwrap().unwrap().since;
        assert!(since.seconds_since(Clock::system().now()).abs() < 60, "revoked since {since}");
        one.hear().unwrap();
        one.tick().unwrap();
        let list = one.news().current(Kind::Status).unwrap();
        let list = medlock_trust::status::StatusList::danger_open(&list.bytes).unwrap();
        assert!(list.heading().issued.seconds_since(Clock::system().now()).abs() < 60, "the other hub dates it anew");
        assert!(list.records().any(|record| record.state == medlock_trust::status::State::Compromised));
        if ahead < 0 {
            assert!(alarms_of(&one, "clock-was-ahead").is_empty(), "it blames the others");
        }
        set_ahead(&clock, 0);
        other.hear().unwrap();
        other.tick().unwrap();
        other.health().unwrap();
        issued(later(&other).unwrap());
        // Where no other hub says that the server's clock is right, it may be that one: people are told, and it goes on.
        PostgresServer::shared()
            .query(&format!("DELETE FROM {}.hold WHERE name = 'clock hub-1'", server.schema))
            .unwrap();
        set_ahead(&clock, 400 * ahead.signum());
        other.tick().unwrap();
        if ahead > 0 {
            // Behind, its issuing key is younger than its clock says.
            other.health().unwrap();
        }
        let told = alarms_of(&other, "clock-differs");
        assert!(told.iter().any(|(_, text)| text.contains("goes on by its own")), "{told:?}");
    }
}

/// Shows REQ-STORE-178: what a start leaves out because of its clock is made up for when the clocks agree, without another start: a change
/// of keys that was cut off, the addresses of the configuration, and what was never published.
#[test]
fn what_a_start_leaves_out_because_of_its_clock_is_made_up_for() {
    let dir = tempfile::tempdir().unwrap();
    let (server, dir, clock) = (postgres(), dir.path(), Clock::manual(Clock::system().now()));
    let open = |name: &str, dns: &str| {
        let own = config(&dir.join(name));
        let own =
            AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), hub_dns: vec![dns.into()], ..own };
        let signer = Arc::new(InProcess::open(&dir.join("keys")).unwrap());
        Authority::open(&own, clock.clone(), signer).unwrap()
    };
    let one = open("hub-1", "one.example");
    drop(open("hub-2", "two.example"));
    one.change_keys("rotate".parse().unwrap(), false).unwrap();
    let issuing = one.issuing();
    drop(one);
    // As a hub leaves it that died before all was signed anew, and as one before the first routing table.
    let change =
        |sql: String| PostgresServer::shared().query(&sql.replace("objects", &format!("{}.object", server.schema)));
    change("DELETE FROM objects WHERE kind = 'policy' AND version > 1".into()).unwrap();
    change("DELETE FROM objects WHERE kind = 'routes'".into()).unwrap();
    set_ahead(&clock, 2 * 86_400);
    let sql = format!("UPDATE {}.hold SET until = until + 50 WHERE name = 'clock hub-1'", server.schema);
    PostgresServer::shared().query(&sql).unwrap();

    let other = open("hub-2", "new.example");
    let policy_is_new = || by_key(&other.news().current(Kind::Policy).unwrap().bytes) == *issuing.key.as_bytes();
    let shows = |name: &str| {
        let current = other.hub_identity().current().unwrap();
        let own = Certificate::read(current.own()).unwrap();
        own.extensions().subject_alt_names().any(|told| told == GeneralName::Dns(name))
    };
    let has_routes = || other.news().current(Kind::Routes).is_some();
    other.tick().unwrap();
    assert_eq!((policy_is_new(), shows("new.example"), has_routes()), (false, false, false), "it stands still");
    set_ahead(&clock, 0);
    other.tick().unwrap();
    assert_eq!((policy_is_new(), shows("new.example"), has_routes()), (true, true, true));
    assert!(!shows("two.example"));
}

/// Shows REQ-STORE-172: hubs of one store that are configured differently are told of once, by setting and hub; also when one of
/// them changes while it runs.
#[test]
fn hubs_that_are_configured_differently_are_told_of() {
    let dir = tempfile::tempdir().unwrap();
    let (server, dir) = (postgres(), dir.path());
    let config = |name: &str| AuthorityConfig {
        store: Some(server.clone()),
        hub_name: name.into(),
        public_url: Some("http://hub.example".into()),
        ..config(&dir.join(name))
    };
    let open = |config: &AuthorityConfig| {
        let signer = Arc::new(InProcess::open(&dir.join("keys")).unwrap());
        Authority::open(config, Clock::system(), signer).unwrap()
    };
    let one = open(&config("hub-1"));
    let named = AuthorityConfig { name: "Sankt Berta".into(), ..config("hub-2") };
    let signer = Arc::new(InProcess::open(&dir.join("keys")).unwrap());
    let refused = Authority::open(&named, Clock::system(), signer).unwrap_err().to_string();
    assert!(refused.contains(&format!("schema {}, holds an authority whose name", server.schema)), "{refused}");
    let other = open(&config("hub-2"));
    assert_eq!(alarms_of(&one, "settings-differ"), [], "they are alike");
    let mut changed = config("hub-2");
    changed.profile.key_types = vec!["p384".into()];
    changed.status_seconds = 7_200;
    drop(other);
    let other = open(&changed);
    let told = alarms_of(&one, "settings-differ");
    assert!(told.len() == 1 && told[0].0 == 1, "{told:?}");
    let text = &told[0].1;
    for said in [
        "hub-1 and hub-2",
        "key_types (p256 p384 at hub-1, p384 at hub-2)",
        "status_seconds (86400 at hub-1, 7200 at hub-2)",
    ] {
        assert!(text.contains(said), "{text}");
    }
    assert!(!text.contains("public_url") && !text.contains("root"), "{text}");
    // A device is told which keys this hub takes.
    register(&other, "ct-1");
    let refused = claim(&other, "ct-1")(&other).unwrap();
    let Answer::Refused(refused) = refused else { panic!("{refused:?}") };
    assert!(
        refused.reason.contains("keys of type p256 get no credential here: make a key of type p384"),
        "{refused:?}"
    );
    // One that does not work any more is compared with nobody.
    drop(one);
    let third = open(&config("hub-3"));
    let told = alarms_of(&third, "settings-differ");
    assert!(told.len() == 2 && told.iter().all(|(_, text)| !text.contains("hub-1 and hub-3")), "{told:?}");
    // Made alike while it runs, it says nothing new.
    other.reconfigure(&config("hub-2")).unwrap();
    let fourth = open(&config("hub-4"));
    assert_eq!(alarms_of(&fourth, "settings-differ").len(), 2);
    drop(third);
}

/// Shows REQ-STORE-174, REQ-STORE-176: what a hub records whose signer is away another hub tells, and the answer says that it may.
#[test]
fn a_suspension_at_a_hub_without_its_signer_is_told_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let (server, away) = (postgres(), Arc::new(AtomicBool::new(false)));
    let open = |name: &str, away: &Arc<AtomicBool>| {
        let config =
            AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..config(&dir.path().join(name)) };
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

/// Shows REQ-STORE-68: a store that hubs use is neither brought back nor its log begun anew, also while they do nothing; one
/// that died counts no longer than its hold lasts.
#[test]
fn nothing_is_restored_under_hubs_that_work() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let ([one, other], store) = two_on(&server, dir.path());
    let drill = AuthorityConfig { store: Some(server.clone()), ..config(&dir.path().join("drill")) };
    std::fs::create_dir_all(&drill.dir).unwrap();
    let (restore, anew) = (
        || Authority::begin_restore_on_server(&drill).map(drop),
        || Authority::start_log_anew(&drill, &Clock::system()).map(drop),
    );
    // Longer than the lease of the log, which one that does nothing does not take again.
    std::thread::sleep(Duration::from_secs(4));
    for refused in [restore(), anew()] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains("hub-1, hub-2") && refused.contains("--store"), "{refused}");
    }
    let origin = store.setting("log-origin").unwrap();
    drop(other);
    assert!(anew().unwrap_err().to_string().contains("(hub-1)"));
    drop(one);
    // One that died holds it for a while.
    let sql = format!(
        "INSERT INTO {}.hold (name, holder, until) VALUES ('hub ghost', '\\x00', \
         CAST(extract(epoch FROM clock_timestamp()) AS BIGINT) + 5)",
        server.schema
    );
    PostgresServer::shared().query(&sql).unwrap();
    assert!(anew().unwrap_err().to_string().contains("(ghost)"));
    assert_eq!(store.setting("log-origin").unwrap(), origin, "it was begun anew");
    std::thread::sleep(Duration::from_secs(6));
    Authority::begin_restore_on_server(&drill).unwrap().finish(Since::default()).unwrap();
    anew().unwrap();
    assert_ne!(store.setting("log-origin").unwrap(), origin);
}

/// Shows REQ-STORE-69: a hub whose log was begun anew under it says so once, is not ready, raises an alarm, and keeps nobody
/// from the new one.
#[test]
fn a_hub_whose_log_was_begun_anew_under_it_is_not_ready() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let ([one, other], store) = two_on(&server, dir.path());
    drop(other);
    one.health().unwrap();
    let origin = store.setting("log-origin").unwrap().unwrap();
    store.start_log_anew(&format!("{origin}/2-00000001")).unwrap();
    let said = one.health().unwrap_err().to_string();
    assert!(said.contains("restart this hub") && said.contains("/2-00000001"), "{said}");
    for _ in 0..3 {
        one.tick().unwrap();
    }
    let Response::Alarms { alarms } = ask(&one, Request::Alarms) else { panic!() };
    let told: Vec<_> = alarms.iter().filter(|alarm| alarm.kind == "log-left-behind").collect();
    assert!(told.len() == 1 && told[0].count == 1 && told[0].text.contains("hub-1"), "{told:?}");
    register(&one, "ct-1");
    let enrol = claim(&one, "ct-1");
    enrol(&one).unwrap();
    approve_all(&one);
    let begun = Instant::now();
    let refused = enrol(&one).unwrap_err().to_string();
    assert!(refused.contains("restart this hub") && begun.elapsed() < Duration::from_secs(8), "{refused}");
    // It goes on asking, and another begins all the same.
    let config = AuthorityConfig { store: Some(server), hub_name: "hub-3".into(), ..config(&dir.path().join("hub-3")) };
    let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
    let third = Authority::open(&config, Clock::system(), signer).unwrap();
    issued(enrol(&third).unwrap());
}

/// What saves the store in a file of this name in a folder, and what brings it back.
pub(crate) fn dumps<'d>(server: &'d ServerConfig, dir: &'d Path) -> (impl Fn(&str) + 'd, impl Fn(&str) + 'd) {
    fn shell(command: &str) {
        let done = std::process::Command::new("sh").args(["-c", command]).current_dir("/").output().unwrap();
        assert!(done.status.success(), "{command}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let (url, schema) = (PostgresServer::shared().url(), &server.schema);
    let into = url.clone();
    (
        move |name: &str| {
            let file = dir.join(name);
            shell(&format!("pg_dump --format=custom --schema={schema} --file={} {url:?}", file.display()));
        },
        move |name: &str| {
            let file = dir.join(name);
            let how = "--clean --if-exists --single-transaction";
            shell(&format!("pg_restore {how} --dbname={into:?} {}", file.display()));
        },
    )
}

/// Shows REQ-STORE-166, REQ-STORE-179: a maker whose store went back says nothing of who owns what from the first moment, takes no
/// confirmation, and goes on when the newer one is there again.
#[test]
fn a_maker_whose_store_went_back_gives_no_vouchers() {
    let (dir, server) = (tempfile::tempdir().unwrap(), postgres());
    let config =
        AuthorityConfig { store: Some(server.clone()), ..AuthorityConfig::maker(dir.path().join("hub"), "Pump Works") };
    let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
    let maker = Authority::open(&config, Clock::system(), signer).unwrap();
    let (save, bring_back) = dumps(&server, dir.path());
    let provision = |serial: &str| {
        let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
        let material = data_encoding::BASE64.encode(SigningKey::generate().spki());
        maker.provision_one(profile, Row { serial: Some(serial.into()), material, ..Row::default() }).unwrap();
    };
    let sell = |serial: &str| {
        let (domain, form) = ("ab".repeat(32), VoucherForm::Cose);
        maker.issue_voucher(&VoucherOrder {
            domain,
            days: Some(30),
            form,
            serial: serial.into(),
            ..VoucherOrder::default()
        })
    };
    for serial in ["P-1", "P-2"] {
        provision(serial);
    }
    sell("P-1").unwrap();
    save("before");
    sell("P-2").unwrap();
    provision("P-3");
    maker.tick().unwrap();
    save("after");
    bring_back("before");
    // The tables are others: a connection that held them is made anew. Nobody waits for the next tick.
    let says = |what: &dyn Fn() -> Option<Error>| {
        let said = (0..5).map(|_| what().map_or("done".to_owned(), |error| error.to_string()));
        said.inspect(|said| assert_ne!(said, "done")).find(|said| said.contains("Bring the newer store back")).unwrap()
    };
    says(&|| sell("P-2").err());
    says(&|| maker.crl().err());
    says(&|| maker.administer(&Asker::program(), Request::ConfirmRestore).err());
    bring_back("after");
    let again = (0..5).map(|_| sell("P-2")).find(|sold| {
        let said = sold.as_ref().err().map(ToString::to_string).unwrap_or_default();
        assert!(!said.contains("confirm-restore"), "{said}");
        sold.is_ok()
    });
    again.unwrap().unwrap();
    maker.crl().unwrap();
}

/// Shows REQ-STORE-191: a maker's store that lacks what was sold and nothing of the log, because a server took over without the last
/// that the one before it had got, is noticed by the first who asks, over a restart too; until the newer store is there again, or a person
/// has entered what it lacks.
#[test]
fn a_maker_whose_store_lost_a_sale_and_no_birth_is_in_doubt() {
    let (dir, server) = (tempfile::tempdir().unwrap(), postgres());
    let open = |name: &str| {
        let (keys, maker) = (dir.path().join("keys"), AuthorityConfig::maker(dir.path().join(name), "Pump Works"));
        let config = AuthorityConfig { store: Some(server.clone()), hub_name: name.into(), ..maker };
        Authority::open(&config, Clock::system(), Arc::new(InProcess::open(&keys).unwrap())).unwrap()
    };
    let (one, other) = (open("hub-1"), open("hub-2"));
    let (save, bring_back) = dumps(&server, dir.path());
    for serial in ["P-1", "P-2"] {
        let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
        let material = data_encoding::BASE64.encode(SigningKey::generate().spki());
        one.provision_one(profile, Row { serial: Some(serial.into()), material, ..Row::default() }).unwrap();
    }
    let sell = |maker: &Authority, serial: &str| {
        let (serial, domain, form) = (serial.into(), "ab".repeat(32), VoucherForm::Cose);
        maker.issue_voucher(&VoucherOrder { domain, days: Some(30), form, serial, ..VoucherOrder::default() })
    };
    sell(&one, "P-1").unwrap();
    let doubts = |maker: &Authority| {
        // The tables are others: a connection that held them is made anew.
        let _ = (maker.crl(), maker.crl());
        let refused = sell(maker, "P-2").unwrap_err().to_string();
        assert!(refused.contains("confirm-restore"), "{refused}");
    };
    // While no hub runs.
    for maker in [&one, &other] {
        maker.tick().unwrap();
    }
    drop((one, other));
    let back = format!("UPDATE {}.number SET last = 1 WHERE series LIKE 'seen by %'", server.schema);
    PostgresServer::shared().query(&back).unwrap();
    let one = open("hub-1");
    doubts(&one);
    assert!(one.crl().is_err());
    ask(&one, Request::ConfirmRestore);
    // Who comes later has lost the same, which people have seen to.
    let other = open("hub-2");
    for maker in [&one, &other] {
        maker.tick().unwrap();
        sell(maker, "P-1").unwrap();
    }
    one.crl().unwrap();
    save("before");
    // No tick comes in between.
    sell(&one, "P-2").unwrap();
    save("after");
    bring_back("before");
    doubts(&one);
    doubts(&other);
    let told = alarms_of(&one, "maker-restored");
    assert!(told.len() == 1 && told[0].1.contains("Bring the newer store back"), "{told:?}");
    bring_back("after");
    let _ = (one.crl(), other.crl());
    for maker in [&one, &other] {
        sell(maker, "P-2").unwrap();
    }
}

/// Shows REQ-STORE-166: a backup that is brought back under a hub makes it give nothing out until the newer store is there again, and
/// what was revoked since stays revoked.
#[test]
fn a_store_that_went_back_under_a_hub_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let server = postgres();
    let ([one, other], _) = two_on(&server, dir.path());
    let (save, bring_back) = dumps(&server, dir.path());
    let enrol_at = |hub: &Authority, name: &str| {
        register(hub, name);
        let enrol = claim(hub, name);
        enrol(hub).unwrap();
        approve_all(hub);
        enrol(hub)
    };
    for name in ["ct-0", "ct-1", "ct-2", "ct-4"] {
        issued(enrol_at(&one, name).unwrap());
    }
    save("before");
    issued(enrol_at(&one, "ct-5").unwrap());
    ask(&one, Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "test".into() });
    ask(&one, Request::Suspend { device: "ct-2".into(), why: "test".into() });
    ask(&one, Request::Revoke { device: "ct-4".into(), reason: Reason::Retired, why: "test".into() });
    drop(one);
    other.health().unwrap();
    other.hear().unwrap();
    save("after");

    bring_back("before");
    let said = other.health().unwrap_err().to_string();
    assert!(said.contains("the store has fewer") && said.contains("Bring the newer store back"), "{said}");
    // Before anything else: what is said now would be told in a list without what was told before.
    ask(&other, Request::Suspend { device: "ct-0".into(), why: "test".into() });
    for _ in 0..3 {
        // The log does not go on, all else does.
        let _ = other.tick();
    }
    let refused = enrol_at(&other, "ct-3").unwrap_err().to_string();
    assert!(refused.contains("the store has"), "{refused}");
    let Response::Alarms { alarms } = ask(&other, Request::Alarms) else { panic!() };
    let told: Vec<_> = alarms.iter().filter(|alarm| alarm.kind == "log-left-behind").collect();
    assert!(told.len() == 1 && told[0].count == 1 && told[0].text.contains("hub-2"), "{alarms:?}");
    assert!(alarms.iter().any(|alarm| alarm.kind == "store-was-behind" && alarm.text.contains("ct-2")), "{alarms:?}");
    for (device, state) in [("ct-0", "suspended"), ("ct-1", "revoked"), ("ct-2", "suspended"), ("ct-4", "retired")] {
        let Response::Device(view) = ask(&other, Request::Show { device: device.into() }) else { panic!() };
        assert_eq!(view.state, state, "what was told of {device} is remembered");
    }

    // Started again it knows still what it has seen, though another signed it.
    let config =
        AuthorityConfig { store: Some(server.clone()), hub_name: "hub-2".into(), ..config(&dir.path().join("hub-2")) };
    drop(other);
    let open = || {
        let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
        Authority::open(&config, Clock::system(), signer)
    };
    std::fs::remove_file(dir.path().join("keys/log.checkpoints")).unwrap();
    // As a standby that lacked the newest: these are not other tables.
    let as_before = || {
        let store = SqlStore::postgres(server.address().unwrap()).unwrap();
        let (place, held) = (store.place().unwrap().unwrap(), store.published("place").unwrap().unwrap());
        let bytes = place.into_bytes();
        store.publish("place", Published { version: held.version + 1, at: Clock::system().now(), bytes }).unwrap();
    };
    as_before();
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("the store has"), "{refused}");

    bring_back("after");
    as_before();
    let other = open().unwrap();
    other.health().unwrap();
    other.tick().unwrap();
    issued(enrol_at(&other, "ct-3").unwrap());
}

/// Shows REQ-STORE-168: a start that the server does not answer takes nothing of the room that is kept on this disk.
#[test]
fn a_server_that_is_away_uses_no_room_here() {
    let dir = tempfile::tempdir().unwrap();
    let away = ServerConfig { url: "postgresql://medlock@127.0.0.1:1/medlock".into(), ..postgres() };
    let config = AuthorityConfig { store: Some(away), ..config(&dir.path().join("hub")) };
    std::fs::create_dir_all(&config.dir).unwrap();
    let reserve = config.dir.join("reserve");
    std::fs::write(&reserve, [0; 4096]).unwrap();
    let signer = Arc::new(InProcess::open(&dir.path().join("keys")).unwrap());
    let refused = Authority::open(&config, Clock::system(), signer).unwrap_err().to_string();
    assert!(refused.contains("127.0.0.1") && reserve.exists(), "{refused}");
}
