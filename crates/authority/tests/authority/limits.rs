//! What holds when somebody asks without end, when what is known outgrows its place, and when a backup is put back.

use crate::fixture::{FROM, Site, Sleepy, config, credential, ct, issued, noon, open, refused};
use medlock_authority::admin::{AlarmView, Asker, Reason, Request, Response};
use medlock_authority::enrolment::{Answer, MAX_EARLY_RENEWALS, RefusalKind};
use medlock_authority::objects::Kind;
use medlock_authority::registry::DeviceConfig;
use medlock_authority::signer::InProcess;
use medlock_authority::status::SUPERSEDED_PER_DEVICE;
use medlock_authority::store::{SqlStore, StandingChange, StandingState, Standings, Subject};
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::policy::Setting;
use medlock_trust::status::{MAX_RECORDS, State, StatusList, Subject as Told};
use medlock_trust::{CredentialId, DeviceId, DeviceName};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

fn alarms(site: &Site) -> Vec<AlarmView> {
    match site.ask(Request::Alarms) {
        Response::Alarms { alarms } => alarms,
        other => panic!("{other:?}"),
    }
}

fn state(site: &Site, subject: Told) -> Option<State> {
    let object = site.authority.news().current(Kind::Status).unwrap();
    let list = StatusList::danger_open(&object.bytes).unwrap();
    list.record(subject).map(|record| record.state)
}

fn device(name: &str) -> Told {
    Told::Device(DeviceId::of(&DeviceName::new(name).unwrap(), &AwsLc))
}

/// Shows REQ-AUTH-25: the list never refuses to be published, and gives up superseded credentials only.
#[test]
fn a_status_list_that_outgrew_its_place_is_published_and_tells_a_person() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(noon());
    let store = Arc::new(SqlStore::sqlite(&dir.path().join("authority.sqlite")).unwrap());
    let signer = || Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let authority = Authority::open_with(&config(dir.path()), clock.clone(), signer(), store.clone()).unwrap();
    let site = Site { authority: Arc::new(authority), clock, dir };
    let lost = site.enrol("ct-1", &SigningKey::generate());
    let many = |range: std::ops::Range<usize>| {
        let change = |number: usize| StandingChange {
            subject: Subject::Credential(CredentialId::from_bytes((number as u128).to_be_bytes())),
            state: Some(StandingState::Superseded),
            reason: "superseded".into(),
            at: noon(),
        };
        store.change_standings(range.map(change).collect(), noon()).unwrap();
    };
    many(0..MAX_RECORDS / 2);
    site.authority.publish_status().unwrap();
    assert_eq!(site.alarms(), ["status-list-half-full"]);
    many(MAX_RECORDS / 2..MAX_RECORDS + 100);
    site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::KeyCompromise, why: "copied".into() });
    let object = site.authority.news().current(Kind::Status).unwrap();
    assert_eq!(StatusList::danger_open(&object.bytes).unwrap().len(), MAX_RECORDS);
    let lost = Told::Credential(credential(&lost));
    assert_eq!(state(&site, lost), Some(State::Compromised), "the list is full, and the new compromise is not told");
    assert!(site.alarms().contains(&"status-list-full".to_owned()));
    // And the hub starts with it.
    let Site { authority, clock, dir } = site;
    drop((authority, store));
    let again = open(dir.path(), &clock);
    assert!(again.news().current(Kind::Status).unwrap().version > object.version);
}

/// Shows REQ-AUTH-25: one device cannot fill the list of the site.
#[test]
fn of_one_device_the_list_tells_a_bounded_number_of_superseded_credentials() {
    let site = Site::new();
    let first = site.enrol("ct-1", &SigningKey::generate());
    let mut held = first.clone();
    for _ in 0..SUPERSEDED_PER_DEVICE + 10 {
        held = issued(site.renew(&held, &SigningKey::generate()));
        site.seen(&held);
    }
    site.authority.tick().unwrap();
    let object = site.authority.news().current(Kind::Status).unwrap();
    let list = StatusList::danger_open(&object.bytes).unwrap();
    assert_eq!(list.len(), SUPERSEDED_PER_DEVICE);
    assert_eq!(list.record(Told::Credential(credential(&first))), None, "the oldest goes first");
    assert_eq!(refused(site.renew(&first, &SigningKey::generate())).0, RefusalKind::NeedsCode, "the store still knows");
    // The record of a device that never comes back covers those of its credentials.
    site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "gone".into() });
    let object = site.authority.news().current(Kind::Status).unwrap();
    assert_eq!(StatusList::danger_open(&object.bytes).unwrap().len(), 1);
    assert_eq!(state(&site, device("ct-1")), Some(State::Compromised));
}

/// Shows REQ-AUTH-25: renewing without end is stopped until renewal is due.
#[test]
fn a_device_that_renews_without_end_waits_until_renewal_is_due() {
    let site = Site::new();
    let key = SigningKey::generate();
    let mut held = site.enrol("ct-1", &key);
    for _ in 1..MAX_EARLY_RENEWALS {
        held = issued(site.renew(&held, &key));
    }
    let Answer::Refused(refusal) = site.renew(&held, &key) else { panic!("it renews without end") };
    assert_eq!(refusal.kind, RefusalKind::Forbidden);
    let wait = refusal.retry_seconds.unwrap();
    assert!(wait > 9 * 86_400 && refusal.reason.contains("is due at"), "{wait} s: {}", refusal.reason);
    // Another register entry is a reason to renew at once; so is the time that has passed.
    site.ask(Request::Update {
        device: DeviceConfig { dns: vec!["other.example.org".into()], ..ct("ct-1") },
        read: None,
    });
    held = issued(site.renew(&held, &key));
    assert!(matches!(site.renew(&held, &key), Answer::Refused(_)));
    site.clock.advance(i64::from(wait) + 1);
    issued(site.renew(&held, &key));
    assert!(site.alarms().is_empty());
}

/// Shows REQ-AUTH-25: the hub starts although it cannot publish, and makes up for it.
#[test]
fn an_authority_that_cannot_publish_opens_all_the_same_and_publishes_later() {
    let site = Site::new();
    site.enrol("ct-1", &SigningKey::generate());
    let before = [Kind::Status, Kind::Routes].map(|kind| site.authority.news().current(kind).unwrap().version);
    let Site { authority, clock, dir } = site;
    drop(authority);
    let away = Arc::new(AtomicBool::new(true));
    let inner = InProcess::open(&dir.path().join("signer")).unwrap();
    let signer = Arc::new(Sleepy { inner, away: away.clone() });
    let authority = Authority::open(&config(dir.path()), clock.clone(), signer).unwrap();
    let site = Site { authority: Arc::new(authority), clock, dir };
    assert_eq!(site.alarms(), ["not-published"]);
    let version = |kind| site.authority.news().current(kind).unwrap().version;
    assert_eq!([Kind::Status, Kind::Routes].map(version), before, "what was given out before is given out still");
    assert!(site.authority.tick().is_err());
    away.store(false, Ordering::SeqCst);
    site.authority.tick().unwrap();
    assert!(version(Kind::Status) > before[0]);
    // A change of the register that was stored and not published is made up for too.
    away.store(true, Ordering::SeqCst);
    site.refuses(Request::Register { device: ct("ct-2") });
    away.store(false, Ordering::SeqCst);
    site.authority.tick().unwrap();
    assert!(version(Kind::Routes) > before[1]);
    assert!(site.authority.knowledge().routes().by_ae_title("CT-2").is_some());
}

#[test]
fn of_each_kind_of_object_the_last_few_are_kept() {
    let site = Site::new();
    site.register("ct-1");
    for _ in 0..10 {
        site.ask(Request::Suspend { device: "ct-1".into(), why: String::new() });
        site.ask(Request::Restore { device: "ct-1".into(), why: String::new() });
    }
    let database = rusqlite::Connection::open(site.dir.path().join("authority.sqlite")).unwrap();
    let kept: i64 =
        database.query_row("SELECT count(*) FROM object WHERE kind = 'status'", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 4);
}

#[test]
fn a_list_from_a_wrong_future_is_made_anew_once_when_the_clock_is_put_right() {
    let site = Site::new();
    site.clock.advance(365 * 86_400);
    site.authority.tick().unwrap();
    let future = site.authority.news().current(Kind::Status).unwrap();
    site.clock.advance(-365 * 86_400);
    site.authority.tick().unwrap();
    let now = site.authority.news().current(Kind::Status).unwrap();
    assert!(now.version > future.version, "nothing new was published");
    site.clock.advance(1);
    site.authority.tick().unwrap();
    assert_eq!(site.authority.news().current(Kind::Status).unwrap().version, now.version, "made anew each second");
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Shows REQ-AUTH-26, REQ-STORE-20.
#[test]
fn a_hub_restored_from_a_backup_is_heard_by_those_who_heard_it_before() {
    for only_the_database in [false, true] {
        let site = Site::new();
        let certificate = site.enrol("ct-1", &SigningKey::generate());
        let Site { authority, clock, dir } = site;
        drop(authority);
        let backup = tempfile::tempdir().unwrap();
        copy(dir.path(), backup.path());
        // A node hears what the hub says after the backup was taken.
        let site = Site { authority: Arc::new(open(dir.path(), &clock)), clock: clock.clone(), dir };
        let node = KnowledgeBase::in_memory(clock.clone(), Setting::Hospital);
        node.pin_root(&site.authority.root().der).unwrap();
        let hear = |authority: &Authority| {
            for kind in [Kind::SiteList, Kind::Policy, Kind::Status, Kind::Routes] {
                node.accept(kind, &authority.news().current(kind).unwrap().bytes).unwrap();
            }
        };
        for number in 0..20 {
            site.register(&format!("ct-{}", 100 + number));
            site.ask(Request::Suspend { device: "ct-1".into(), why: String::new() });
            site.ask(Request::Restore { device: "ct-1".into(), why: String::new() });
            hear(&site.authority);
        }
        assert!(node.routes().by_ae_title("CT-119").is_some());
        let crl = site.authority.crl().unwrap();
        let dir = site.dir;
        drop(site.authority);
        // Without its folder the hub knows only the time.
        clock.advance(if only_the_database { 1 } else { 600 });
        if only_the_database {
            for suffix in ["", "-wal", "-shm"] {
                let name = format!("authority.sqlite{suffix}");
                let _ = std::fs::remove_file(dir.path().join(&name));
                let _ = std::fs::copy(backup.path().join(&name), dir.path().join(&name));
            }
        }
        let dir = if only_the_database { dir } else { backup };
        let site = Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir };
        hear(&site.authority);
        assert!(node.routes().by_ae_title("CT-119").is_none(), "the routing table is not that of the restored hub");
        site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "gone".into() });
        hear(&site.authority);
        let chain = [certificate, site.authority.issuing().der.clone()].map(Into::into);
        let verdict = node.judge(&node.identify(&chain).unwrap(), medlock_trust::Operation::Store);
        assert!(matches!(verdict, medlock_trust::Verdict::Deny(_)), "the revocation was not heard");
        assert!(crl_number(&site.authority.crl().unwrap()) > crl_number(&crl));
    }
}

/// The content octets of cRLNumber (2.5.29.20), without leading zeros.
fn crl_number(crl: &[u8]) -> u64 {
    let at = crl.windows(5).position(|window| window == [0x06, 3, 0x55, 0x1d, 20]).unwrap();
    let [0x04, _, 0x02, length, ..] = crl[at + 5..] else { panic!("no number") };
    crl[at + 9..][..usize::from(length)].iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// Shows REQ-AUTH-28: former keys lie in former backups; who finds one cannot stop the device.
#[test]
fn a_long_superseded_credential_raises_an_alarm_and_suspends_nothing() {
    for seen in [false, true] {
        let site = Site::new();
        let first = site.enrol("ct-1", &SigningKey::generate());
        let new = SigningKey::generate();
        let second = issued(site.renew(&first, &new));
        if seen {
            site.seen(&second);
        }
        let third = issued(site.renew(&second, &SigningKey::generate()));
        if seen {
            site.seen(&third);
        }
        for key in [SigningKey::generate(), SigningKey::generate()] {
            assert_eq!(refused(site.renew(&first, &key)).0, RefusalKind::NeedsCode);
        }
        if seen {
            assert_eq!(
                refused(site.renew(&first, &new)).0,
                RefusalKind::NeedsCode,
                "also with the key it renewed with"
            );
        }
        assert_eq!(site.alarms(), ["superseded-used"]);
        assert_eq!(site.state("ct-1").0, "enrolled");
        issued(site.renew(&third, &SigningKey::generate()));
    }
}

/// Shows REQ-AUTH-28: nor does a credential from before the device enrolled anew, whatever was made of it.
#[test]
fn a_credential_from_a_former_life_suspends_nothing() {
    let site = Site::new();
    let first = site.enrol("ct-1", &SigningKey::generate());
    issued(site.renew(&first, &SigningKey::generate()));
    let fresh = site.enrol_again("ct-1", &SigningKey::generate());
    site.seen(&fresh);
    assert_eq!(refused(site.renew(&first, &SigningKey::generate())).0, RefusalKind::NeedsCode);
    assert_eq!((site.state("ct-1").0.as_str(), site.alarms()), ("enrolled", vec!["superseded-used".to_owned()]));
}

/// Shows REQ-AUTH-29.
#[test]
fn a_flood_of_one_alarm_is_one_alarm_and_does_not_hide_the_others() {
    let site = Site::new();
    let first = site.enrol("ct-1", &SigningKey::generate());
    let second = site.enrol_again("ct-1", &SigningKey::generate());
    site.seen(&second);
    let code = site.code("ct-1");
    site.by_code(&code, &SigningKey::generate());
    site.by_code(&code, &SigningKey::generate());
    for _ in 0..200 {
        site.clock.advance(1);
        refused(site.renew(&first, &SigningKey::generate()));
    }
    let all = alarms(&site);
    assert_eq!(site.alarms(), ["superseded-used", "code-reused"]);
    assert_eq!((all[0].count, all[1].count), (200, 1));
    assert!(all[0].last > all[0].at && all[0].text.contains("200 times") && all[0].text.contains(FROM), "{all:?}");
    site.ask(Request::AcknowledgeAlarm { id: all[0].id });
    assert_eq!(site.alarms(), ["code-reused", "superseded-used"], "those first that nobody has dealt with");
    refused(site.renew(&first, &SigningKey::generate()));
    let all = alarms(&site);
    assert_eq!((all.len(), all[0].kind.as_str(), all[0].count), (3, "superseded-used", 1), "raised again");
}

/// Shows REQ-AUTH-24.
#[test]
fn directory_database_and_lock_are_readable_by_their_owner_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("authority");
    let mode = |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    let files = ["authority.sqlite", "authority.sqlite-wal", "authority.sqlite-shm", "lock"];
    let clock = Clock::manual(noon());
    let signer = || Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let raw = AuthorityConfig { dir: path.clone(), ..config(&path) };
    std::fs::create_dir(&path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    for start in ["first", "second"] {
        let authority = Authority::open(&raw, clock.clone(), signer()).unwrap();
        authority.administer(&Asker::program(), Request::Register { device: ct(start) }).unwrap();
        assert_eq!(mode(""), 0o700, "{start} start");
        for name in files {
            assert_eq!(mode(name), 0o600, "{name}, {start} start");
        }
        // What an earlier version or a careless copy has left open is closed again.
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in files {
            std::fs::set_permissions(path.join(name), std::fs::Permissions::from_mode(0o644)).unwrap();
        }
        drop(authority);
    }
}
