//! Suspend, restore, revoke; what the status list, tickets, routes and the audit trail say.

use crate::fixture::{Site, Sleepy, credential, ct, issued, noon, open, refused};
use medlock_authority::Authority;
use medlock_authority::admin::{Asker, Reason, Request, Response};
use medlock_authority::directory::DATABASE;
use medlock_authority::enrolment::{Answer, RefusalKind};
use medlock_authority::objects::Kind;
use medlock_authority::registry::{Device, DeviceConfig};
use medlock_authority::signer::InProcess;
use medlock_authority::store::{Register as _, SqlStore};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::c509;
use medlock_trust::crypto::Crypto as _;
use medlock_trust::list::List;
use medlock_trust::status::{State, StatusList, Subject, Ticket};
use medlock_trust::{CredentialId, DeviceId, DeviceName, Operation, Verdict};
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn suspend(site: &Site, name: &str) {
    site.ask(Request::Suspend { device: name.into(), why: "strange".into() });
}

fn revoke(site: &Site, name: &str, reason: Reason) {
    site.ask(Request::Revoke { device: name.into(), reason, why: "test".into() });
}

fn device(name: &str) -> Subject {
    Subject::Device(DeviceId::of(&DeviceName::new(name).unwrap(), &AwsLc))
}

fn told(site: &Site, subject: Subject) -> (u64, Option<State>) {
    let object = site.authority.news().current(Kind::Status).unwrap();
    let list = site.authority.news().current(Kind::SiteList).unwrap();
    let list = List::danger_open(&list.bytes).unwrap();
    let status = StatusList::verify(&object.bytes, &list, &AwsLc).unwrap();
    assert_eq!(status.heading().epoch, object.version);
    (object.version, status.record(subject).map(|record| record.state))
}

fn allows(site: &Site, certificate: &[u8], operation: Operation) -> bool {
    matches!(site.authority.knowledge().judge(&site.identify(certificate), operation), Verdict::Allow(_))
}

/// Shows REQ-STORE-125: nobody enters another hub, to which every device would listen, nor makes one of a device.
#[test]
fn nobody_is_registered_as_a_hub() {
    let site = Site::new();
    site.register("ct-1");
    let hub = |name: &str| DeviceConfig { roles: vec!["modality".into(), "hub".into()], ..ct(name) };
    assert!(site.refuses(Request::Register { device: hub("x3") }).contains("a hub is not registered"));
    assert!(site.refuses(Request::Update { device: hub("ct-1"), read: None }).contains("a hub is not registered"));
    let mistyped = DeviceConfig { roles: vec!["archiv".into()], ..ct("x4") };
    let said = site.refuses(Request::Register { device: mistyped });
    assert!(said.contains("none of modality, archive") && !said.contains("hub"), "{said}");
    assert_eq!(site.state("ct-1").0, "registered");
    site.refuses(Request::Show { device: "x3".into() });
}

/// Shows REQ-STORE-180: a device has left that the register does not have, and one that is revoked, or its credential; a suspended one is
/// there.
#[test]
fn who_is_revoked_or_removed_has_left_and_who_is_suspended_has_not() {
    let site = Site::new();
    let has_left = |name: &str, held| site.authority.has_left(&DeviceName::new(name).unwrap(), held).unwrap();
    let [first, second] = ["ct-1", "ct-2"].map(|name| credential(&site.enrol(name, &SigningKey::generate())));
    suspend(&site, "ct-1");
    assert!(!has_left("ct-1", first) && !has_left("ct-2", second));
    revoke(&site, "ct-1", Reason::Retired);
    assert!(has_left("ct-1", first) && !has_left("ct-2", second));
    // Its key is in wrong hands, and the device goes on with another.
    revoke(&site, "ct-2", Reason::KeyCompromise);
    let third = credential(&site.enrol_again("ct-2", &SigningKey::generate()));
    assert!(has_left("ct-2", second) && !has_left("ct-2", third));
    site.register("ct-3");
    assert!(!has_left("ct-3", third));
    site.ask(Request::Remove { device: "ct-3".into() });
    assert!(has_left("ct-3", third));
}

/// Shows REQ-STORE-139: an entry with the role of a hub that no hub has made of itself is told at each start, until it is revoked.
#[test]
fn an_entry_that_no_hub_has_made_is_told_at_a_start() {
    let Site { authority, clock, dir } = Site::new();
    drop(authority);
    let entry = |name: &str, owner: &str| DeviceConfig {
        name: name.into(),
        owner: owner.into(),
        roles: vec!["hub".into()],
        ..DeviceConfig::default()
    };
    let store = SqlStore::sqlite(&dir.path().join(DATABASE)).unwrap();
    for entry in [entry("hub-2", "medlock"), entry("x3", "radiology")] {
        store.add_device(Device::try_from(entry).unwrap(), noon()).unwrap();
    }
    drop(store);
    let told = |site: &Site| {
        let Response::Alarms { alarms } = site.ask(Request::Alarms) else { panic!("no alarms") };
        let of_hubs = alarms.into_iter().filter(|alarm| alarm.kind == "no-hub-s-entry");
        of_hubs.map(|alarm| (alarm.device.unwrap(), alarm.acknowledged)).collect::<Vec<_>>()
    };
    let start = |dir: tempfile::TempDir| {
        let site = Site { authority: Arc::new(open(dir.path(), &clock)), clock: clock.clone(), dir };
        (told(&site), site)
    };
    let (alarms, site) = start(dir);
    assert_eq!(alarms, [("x3".to_owned(), false)]);
    let Response::Alarms { alarms } = site.ask(Request::Alarms) else { panic!("no alarms") };
    site.ask(Request::AcknowledgeAlarm { id: alarms[0].id });
    site.ask(Request::Revoke { device: "x3".into(), reason: Reason::Retired, why: "no hub".into() });
    let Site { authority, dir, .. } = site;
    drop(authority);
    assert_eq!(start(dir).0, [("x3".to_owned(), true)], "it is told again though it is revoked");
}

/// Shows REQ-STORE-140: who changes an entry that was changed since he has read it is told so, and takes nothing back.
#[test]
fn an_entry_that_was_changed_meanwhile_is_not_changed_back() {
    let site = Site::new();
    site.register("ct-1");
    let Response::Device(view) = site.ask(Request::Show { device: "ct-1".into() }) else { panic!("no device") };
    let read = view.entry;
    let first = DeviceConfig { maker_serial: Some("SN-1".into()), ..read.clone() };
    site.ask(Request::Update { device: first.clone(), read: Some(read.clone().into()) });
    let second = DeviceConfig { owner: "surgery".into(), ..read.clone() };
    let refused = site.refuses(Request::Update { device: second, read: Some(read.into()) });
    assert!(refused.contains("changed by somebody else meanwhile"), "{refused}");
    let both = DeviceConfig { owner: "surgery".into(), ..first.clone() };
    site.ask(Request::Update { device: both.clone(), read: Some(first.into()) });
    let Response::Device(view) = site.ask(Request::Show { device: "ct-1".into() }) else { panic!("no device") };
    assert_eq!(view.entry, both);
}

/// Shows REQ-STORE-128, REQ-STORE-129: what was mistyped and never had anything is taken out of the register; a name that differs from
/// another in capital letters alone is refused.
#[test]
fn a_mistyped_device_leaves_the_register_and_one_with_a_credential_does_not() {
    let site = Site::new();
    let named = |name: &str| DeviceConfig { name: name.into(), ..ct("ct-1") };
    site.ask(Request::Register { device: named("CT_1") });
    let _code = site.code("CT_1");
    let said = site.refuses(Request::Register { device: DeviceConfig { ae_titles: Vec::new(), ..named("ct_1") } });
    assert!(said.contains("\"CT_1\" is registered") && said.contains("capital letters"), "{said}");
    let machines = |site: &Site| match site.ask(Request::Routes) {
        Response::Routes { machines, .. } => machines.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!(machines(&site), 1);
    site.ask(Request::Remove { device: "CT_1".into() });
    assert_eq!(machines(&site), 0, "sidecars would still send to it");
    site.enrol("ct-1", &SigningKey::generate());
    assert!(site.refuses(Request::Remove { device: "ct-1".into() }).contains("has a credential"));
    site.register("ct-2");
    suspend(&site, "ct-2");
    assert!(site.refuses(Request::Remove { device: "ct-2".into() }).contains("restore it first"));
    assert!(site.refuses(Request::Remove { device: "hub".into() }).contains("configuration"));
}

#[test]
fn the_hub_does_not_suspend_itself() {
    let site = Site::new();
    let hub = Request::Suspend { device: "hub".into(), why: String::new() };
    assert!(site.authority.administer(&Asker::program(), hub).is_err());
    assert_eq!(told(&site, device("hub")).1, None);
}

/// Shows REQ-AUTH-09.
#[test]
fn a_suspension_reaches_the_status_list_at_once_and_is_lifted_by_a_newer_epoch() {
    let site = Site::new();
    let key = SigningKey::generate();
    let certificate = site.enrol("ct-1", &key);
    assert!(allows(&site, &certificate, Operation::Store));
    let (before, none) = told(&site, device("ct-1"));
    assert_eq!(none, None);
    suspend(&site, "ct-1");
    let (during, state) = told(&site, device("ct-1"));
    assert!(during > before && state == Some(State::Suspended));
    assert!(!allows(&site, &certificate, Operation::Store));
    assert_eq!(refused(site.renew(&certificate, &key)).0, RefusalKind::Forbidden);
    site.ask(Request::Restore { device: "ct-1".into(), why: "fine".into() });
    let (after, state) = told(&site, device("ct-1"));
    assert!(after > during && state.is_none());
    assert!(allows(&site, &certificate, Operation::Store));
    issued(site.renew(&certificate, &key));
    assert!(site.refuses(Request::Restore { device: "ct-1".into(), why: String::new() }).contains("not suspended"));
}

/// Shows REQ-AUTH-10.
#[test]
fn a_compromised_key_never_comes_back_and_the_device_may_with_a_new_one() {
    let site = Site::new();
    let key = SigningKey::generate();
    let certificate = site.enrol("ct-1", &key);
    let outstanding = site.code("ct-1");
    let held = Subject::Credential(credential(&certificate));
    revoke(&site, "ct-1", Reason::KeyCompromise);
    assert_eq!(told(&site, held).1, Some(State::Compromised));
    assert_eq!(site.state("ct-1"), ("revoked".into(), vec!["compromised".into()]));
    // Years later it is still on the list, and does not renew.
    site.clock.advance(5 * 365 * 86_400);
    site.authority.tick().unwrap();
    assert_eq!(told(&site, held).1, Some(State::Compromised));
    assert_eq!(refused(site.renew(&certificate, &key)).0, RefusalKind::Forbidden);
    assert!(site.refuses(Request::Restore { device: "ct-1".into(), why: String::new() }).contains("not suspended"));
    assert_eq!(refused(site.by_code(&outstanding, &key)).0, RefusalKind::Forbidden, "the key itself is refused");
    let fresh = SigningKey::generate();
    assert_eq!(refused(site.by_code(&outstanding, &fresh)).0, RefusalKind::Unauthorized, "old codes are void");
    let certificate = site.enrol_again("ct-1", &fresh);
    assert!(allows(&site, &certificate, Operation::Store));
    assert_eq!(site.state("ct-1").0, "enrolled");
}

/// Shows REQ-AUTH-41: where a suspended device turns out to have lost its key, that counts at once, and the answer says that the
/// suspension is lifted apart from it.
#[test]
fn a_suspended_device_whose_key_was_stolen_comes_back_with_another_key() {
    let site = Site::new();
    let key = SigningKey::generate();
    let certificate = site.enrol("ct-1", &key);
    suspend(&site, "ct-1");
    let said = site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::KeyCompromise, why: "lost".into() });
    let Response::Done { text } = said else { panic!("{said:?}") };
    assert!(text.contains("suspended besides") && text.contains("device restore ct-1"), "{text}");
    assert_eq!(told(&site, Subject::Credential(credential(&certificate))).1, Some(State::Compromised));
    site.ask(Request::Restore { device: "ct-1".into(), why: "it gets another key".into() });
    assert_eq!(told(&site, Subject::Credential(credential(&certificate))).1, Some(State::Compromised));
    assert!(!allows(&site, &certificate, Operation::Store));
    let certificate = site.enrol_again("ct-1", &SigningKey::generate());
    assert!(allows(&site, &certificate, Operation::Store));
}

/// Shows REQ-TRUST-38: the thief of a key turns over the signature of its certificate, which takes no key of the site.
#[test]
fn revoking_a_compromised_key_covers_its_certificate_under_another_signature() {
    let site = Site::new();
    let key = SigningKey::generate();
    let certificate = site.enrol("ct-1", &key);
    let twins = twins(&certificate);
    assert!(twins.iter().all(|twin| *twin != certificate && allows(&site, twin, Operation::Store)));
    revoke(&site, "ct-1", Reason::KeyCompromise);
    for twin in &twins {
        assert_eq!(told(&site, Subject::Credential(credential(twin))).1, Some(State::Compromised));
        assert!(!allows(&site, twin, Operation::Store));
        assert_eq!(refused(site.renew(twin, &key)).0, RefusalKind::Forbidden);
    }
}

/// The same certificate with the signature `(r, n - s)` for `(r, s)`, in C509 and in DER.
fn twins(certificate: &[u8]) -> [Vec<u8>; 2] {
    const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
    let (mut space, mut der) = ([0; 2_048], [0; 2_048]);
    let twin = c509::from_der(certificate, c509::Points::AsTheyAre, &mut space, &AwsLc).unwrap();
    let mut twin = twin.to_vec();
    let (start, mut borrow) = (twin.len() - 32, 0);
    for index in (0..32).rev() {
        let order = i16::from_str_radix(&ORDER[2 * index..2 * index + 2], 16).unwrap();
        let difference = order - i16::from(twin[start + index]) - borrow;
        borrow = i16::from(difference < 0);
        twin[start + index] = difference.rem_euclid(256) as u8;
    }
    let der = c509::to_der(&twin, &mut der, &AwsLc).unwrap().to_vec();
    [twin, der]
}

/// Shows REQ-TRUST-38: also of what an earlier build issued and revoked.
#[test]
fn a_store_that_named_credentials_by_all_their_bytes_names_them_anew() {
    let site = Site::new();
    let certificate = site.enrol("ct-1", &SigningKey::generate());
    revoke(&site, "ct-1", Reason::KeyCompromise);
    let Site { authority, clock, dir } = site;
    drop(authority);
    let path = dir.path().join("authority.sqlite");
    let (old, new) = (&AwsLc.sha256(&[certificate.as_slice()])[..16], credential(&certificate));
    let database = rusqlite::Connection::open(&path).unwrap();
    let change = |sql| assert!(database.execute(sql, [old, &new.as_bytes()[..]]).unwrap() > 0, "{sql}");
    change("UPDATE issuance SET credential = ?1 WHERE credential = ?2");
    change("UPDATE standing SET subject = ?1 WHERE subject = ?2");
    // What came later.
    let later = "DROP TABLE log; DROP TABLE log_tile; DROP TABLE owner; DROP TABLE owner_event; DROP TABLE ae_title; DROP TABLE hold; DROP TABLE pledge; DROP TABLE standing_heard; DROP INDEX device_owner;
                 DROP INDEX device_routed; DROP INDEX standing_firm; DROP INDEX standing_until; DROP INDEX pending_device; ALTER TABLE alarm DROP COLUMN subject; ALTER TABLE pending DROP COLUMN made_roles; ALTER TABLE pending DROP COLUMN made_type; ALTER TABLE standing DROP COLUMN until; ALTER TABLE device DROP COLUMN turn; DROP INDEX device_written_like; DROP INDEX device_hubs; DELETE FROM number WHERE series = 'devices'";
    database.execute_batch(later).unwrap();
    let alarm = "INSERT INTO alarm (at, last, kind, device, text) VALUES (1, 1, 'old', NULL, 'of an earlier build')";
    database.execute(alarm, []).unwrap();
    database.pragma_update(None, "user_version", 2).unwrap();
    drop(database);
    std::fs::remove_file(dir.path().join("signer/log.checkpoints")).unwrap();
    drop(open(dir.path(), &clock));
    let database = rusqlite::Connection::open(&path).unwrap();
    for sql in [
        "SELECT count(*) FROM issuance WHERE credential = ?1",
        "SELECT count(*) FROM standing WHERE kind = 'credential' AND subject = ?1",
    ] {
        let found: u32 = database.query_row(sql, [&new.as_bytes()[..]], |row| row.get(0)).unwrap();
        assert_eq!(found, 1, "{sql}");
    }
    let sql = "SELECT subject || '/' || text || '/' || count FROM alarm WHERE kind = 'old'";
    let alarm: String = database.query_row(sql, [], |row| row.get(0)).unwrap();
    assert_eq!(alarm, "/of an earlier build/1");
}

#[test]
fn a_stolen_or_retired_device_never_comes_back_under_its_name() {
    for (reason, state) in [(Reason::Stolen, State::Compromised), (Reason::Retired, State::Ceased)] {
        let site = Site::new();
        let key = SigningKey::generate();
        let certificate = site.enrol("ct-1", &key);
        revoke(&site, "ct-1", reason);
        assert_eq!(told(&site, device("ct-1")).1, Some(state));
        assert!(!allows(&site, &certificate, Operation::Read));
        assert_eq!(refused(site.renew(&certificate, &key)).0, RefusalKind::Forbidden);
        let code = Request::Code { device: "ct-1".into(), lifetime_seconds: None };
        assert!(site.refuses(code).contains("another name"));
        let again = site.refuses(Request::Register { device: ct("ct-1") });
        assert!(again.contains("ct-1 is revoked for good"), "{again}");
    }
}

/// Shows REQ-AUTH-10.
#[test]
fn no_credential_slips_through_while_its_device_is_revoked() {
    for _ in 0..10 {
        let site = Site::new();
        let first = site.enrol("ct-1", &SigningKey::generate());
        std::thread::scope(|scope| {
            scope.spawn(|| site.renew(&first, &SigningKey::generate()));
            scope.spawn(|| revoke(&site, "ct-1", Reason::KeyCompromise));
        });
        let (_, credentials) = site.state("ct-1");
        assert!(credentials.iter().all(|state| state == "compromised"), "{credentials:?}");
    }
}

/// Shows REQ-STORE-127: who suspends what is revoked hears that it is.
#[test]
fn a_worse_standing_is_never_made_better() {
    let site = Site::new();
    site.enrol("ct-1", &SigningKey::generate());
    revoke(&site, "ct-1", Reason::Stolen);
    let suspended = Request::Suspend { device: "ct-1".into(), why: "strange".into() };
    assert!(site.refuses(suspended).contains("is revoked for good (stolen"), "it looks as if it could be restored");
    assert_eq!(told(&site, device("ct-1")).1, Some(State::Compromised));
    revoke(&site, "ct-1", Reason::Retired);
    assert_eq!(told(&site, device("ct-1")).1, Some(State::Compromised));
}

#[test]
fn a_suspended_device_gets_no_credential_from_a_code_that_is_out() {
    let site = Site::new();
    let key = SigningKey::generate();
    site.register("ct-1");
    let code = site.code("ct-1");
    assert!(matches!(site.by_code(&code, &key), Answer::Waits { .. }));
    let id = site.pending()[0].id.clone();
    suspend(&site, "ct-1");
    assert!(site.refuses(Request::Approve { id: id.clone(), device: None }).contains("restore it first"));
    site.ask(Request::Restore { device: "ct-1".into(), why: String::new() });
    site.ask(Request::Approve { id, device: None });
    suspend(&site, "ct-1");
    assert_eq!(refused(site.by_code(&code, &key)).0, RefusalKind::Forbidden);
}

/// Shows REQ-AUTH-11.
#[test]
fn supersession_is_told_after_first_use_and_leaves_the_list_after_the_grace() {
    let site = Site::new();
    let first = site.enrol("ct-1", &SigningKey::generate());
    let second = issued(site.renew(&first, &SigningKey::generate()));
    let old = Subject::Credential(credential(&first));
    site.authority.tick().unwrap();
    assert_eq!(told(&site, old).1, None, "until the successor is used, the old one counts");
    site.seen(&second);
    site.authority.tick().unwrap();
    assert_eq!(told(&site, old).1, Some(State::Superseded));
    site.clock.advance((30 + 90) * 86_400 - 10);
    site.authority.tick().unwrap();
    assert_eq!(told(&site, old).1, Some(State::Superseded));
    site.clock.advance(86_400);
    site.authority.tick().unwrap();
    assert_eq!(told(&site, old).1, None);
    assert_eq!(refused(site.renew(&first, &SigningKey::generate())).0, RefusalKind::Forbidden, "the store still knows");
}

#[test]
fn the_status_list_is_made_anew_at_half_of_its_time_and_the_hub_renews_itself() {
    let site = Site::new();
    let epoch = told(&site, device("hub")).0;
    let hub = site.authority.hub_identity().current().unwrap();
    site.clock.advance(43_199);
    site.authority.tick().unwrap();
    assert_eq!(told(&site, device("hub")).0, epoch);
    site.clock.advance(1);
    site.authority.tick().unwrap();
    assert!(told(&site, device("hub")).0 > epoch);
    site.clock.advance(21 * 86_400);
    site.authority.tick().unwrap();
    let renewed = site.authority.hub_identity().current().unwrap();
    assert_ne!(renewed.credential(), hub.credential());
    assert!(site.identify(renewed.own()).roles().contains(medlock_trust::Role::Hub));
}

/// Shows REQ-AUTH-12.
#[test]
fn a_ticket_answers_the_nonce_with_the_worst_that_is_known() {
    let site = Site::new();
    let certificate = site.enrol("ct-1", &SigningKey::generate());
    let credential = credential(&certificate);
    let list = site.authority.news().current(Kind::SiteList).unwrap();
    let list = List::danger_open(&list.bytes).unwrap();
    let ask = || {
        let bytes = site.authority.ticket(credential, &[7; 16]).unwrap().unwrap();
        let ticket = Ticket::verify(&bytes, &list, &AwsLc).unwrap();
        assert_eq!(ticket.content().nonce, Some(&[7; 16][..]));
        assert_eq!(ticket.content().credential, credential);
        ticket.content().state
    };
    assert_eq!(ask(), None);
    suspend(&site, "ct-1");
    assert_eq!(ask(), Some(State::Suspended));
    revoke(&site, "ct-1", Reason::KeyCompromise);
    assert_eq!(ask(), Some(State::Compromised));
    assert!(site.authority.ticket(credential, &[7; 7]).is_err());
    assert_eq!(site.authority.ticket(CredentialId::from_bytes([0; 16]), &[7; 16]).unwrap(), None);
}

/// Shows REQ-AUTH-13.
#[test]
fn the_routing_table_follows_the_register_and_a_title_belongs_to_one_device() {
    let site = Site::new();
    let version = || site.authority.news().current(Kind::Routes).unwrap().version;
    let empty = version();
    site.register("ct-1");
    assert!(version() > empty);
    let table = site.authority.knowledge().routes();
    assert_eq!(table.by_ae_title("CT-1").unwrap().address.as_deref(), Some("10.0.0.7:2762"));
    let thief = DeviceConfig { ae_titles: vec!["CT-1".into()], ..ct("ct-2") };
    assert!(site.refuses(Request::Register { device: thief }).contains("belongs to one device"));
    let before = version();
    site.ask(Request::Register { device: DeviceConfig { ae_titles: vec![], sidecar: None, ..ct("ct-3") } });
    assert_eq!(version(), before, "a device without a route does not change the table");
    let (titles, sidecar) = (vec!["A".into(), "B".into()], "h:1".into());
    site.ask(Request::SetRoute { device: "ct-3".into(), ae_titles: titles, sidecar });
    assert_eq!(site.authority.knowledge().routes().by_ae_title("B").unwrap().device.as_str(), "ct-3");
    site.ask(Request::RemoveRoute { device: "ct-3".into() });
    assert!(site.authority.knowledge().routes().by_ae_title("B").is_none());
    assert!(site.refuses(Request::RemoveRoute { device: "ct-9".into() }).contains("ct-9"));
    match site.ask(Request::Routes) {
        Response::Routes { machines, .. } => assert_eq!(machines.len(), 1),
        other => panic!("{other:?}"),
    }
}

/// Shows REQ-AUTH-14.
#[test]
fn acts_are_in_the_audit_trail_with_their_asker_also_those_that_failed() {
    let site = Site::new();
    site.register("ct-1");
    suspend(&site, "ct-1");
    site.refuses(Request::Suspend { device: "nobody".into(), why: String::new() });
    let Response::Audit { entries } = site.ask(Request::Audit { limit: None }) else { panic!("no audit") };
    let lines: Vec<_> =
        entries.iter().map(|entry| (entry.who.as_str(), entry.verb.as_str(), entry.outcome.as_str())).collect();
    assert_eq!(lines[0].1, "suspend");
    assert!(lines[0].2.contains("nobody"));
    assert_eq!(&lines[1..], [("uid 1000", "suspend", "done"), ("uid 1000", "register", "done")]);
    site.enrol("ct-2", &SigningKey::generate());
    let Response::Audit { entries } = site.ask(Request::Audit { limit: Some(1) }) else { panic!("no audit") };
    assert!(entries[0].verb == "approve" && entries[0].subject.starts_with("ct-2, request "), "{entries:?}");
    // The trail cannot be rewritten, not even by somebody with the file.
    let database = rusqlite::Connection::open(site.dir.path().join("authority.sqlite")).unwrap();
    assert!(database.execute("DELETE FROM audit", []).is_err());
    assert!(database.execute("UPDATE audit SET who = 'x'", []).is_err());
    assert!(database.execute("DELETE FROM issuance", []).is_err());
}

#[test]
fn an_authority_reopens_as_it_was_and_its_name_is_for_good() {
    let site = Site::new();
    let key = SigningKey::generate();
    let certificate = site.enrol("ct-1", &key);
    suspend(&site, "ct-1");
    let root = site.authority.root().der.clone();
    let Site { authority, clock, dir } = site;
    let signer = || Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let config = crate::fixture::config(dir.path());
    let twice = Authority::open(&config, clock.clone(), signer());
    assert!(twice.unwrap_err().to_string().contains("in use by a running hub"));
    drop(authority);
    let renamed = medlock_authority::AuthorityConfig { name: "Sankt Berta".into(), ..config };
    let error = Authority::open(&renamed, clock.clone(), signer()).unwrap_err().to_string();
    assert!(error.contains("Sankt Anna"), "{error}");
    // The root key is moved offline: everything goes on.
    std::fs::remove_file(dir.path().join("signer/root.key")).unwrap();
    let authority = Arc::new(open(dir.path(), &clock));
    assert_eq!(authority.root().der, root);
    let site = Site { authority, clock, dir };
    assert_eq!(site.state("ct-1").0, "suspended");
    site.ask(Request::Restore { device: "ct-1".into(), why: String::new() });
    issued(site.renew(&certificate, &SigningKey::generate()));
}

/// Shows REQ-RUN-02: what may change does, at once and without a restart; what may not is refused by its name, and a
/// setting that cannot be used changes nothing.
#[test]
fn settings_change_while_the_authority_is_open() {
    let site = Site::new();
    let config = crate::fixture::config(site.dir.path());
    let names = |site: &Site| {
        let hub = site.authority.hub_identity().current().unwrap();
        let der = hub.chain().first().unwrap().to_vec();
        String::from_utf8_lossy(&der).into_owned()
    };
    let before = site.authority.hub_identity().current().unwrap().credential();
    assert!(!names(&site).contains("hub2.example"));

    let changed = medlock_authority::AuthorityConfig {
        hub_dns: vec!["hub2.example".into()],
        public_url: Some("http://crl2.example:8080".into()),
        ..config
    };
    site.authority.reconfigure(&changed).unwrap();
    assert!(names(&site).contains("hub2.example"));
    assert_ne!(site.authority.hub_identity().current().unwrap().credential(), before);
    let certificate = site.enrol("ct-1", &SigningKey::generate());
    assert!(String::from_utf8_lossy(&certificate).contains("crl2.example"));

    let renamed = medlock_authority::AuthorityConfig { name: "Sankt Berta".into(), ..changed.clone() };
    let error = site.authority.reconfigure(&renamed).unwrap_err().to_string();
    assert!(error.contains("name"), "{error}");
    let damaged = medlock_authority::AuthorityConfig { status_seconds: 1, hub_dns: Vec::new(), ..changed };
    let error = site.authority.reconfigure(&damaged).unwrap_err().to_string();
    assert!(error.contains("status_seconds"), "{error}");
    assert!(names(&site).contains("hub2.example"), "nothing of a configuration that cannot be used is in force");
}

/// Shows REQ-CLI-38: a theft that could not be signed is recorded, is said to be, and is told as soon as it can be.
#[test]
fn a_revocation_that_cannot_be_signed_yet_is_recorded_and_says_so() {
    let site = Site::new();
    let certificate = site.enrol("ct-1", &SigningKey::generate());
    let Site { authority, clock, dir } = site;
    drop(authority);
    let signer = Arc::new(Sleepy { inner: InProcess::open(&dir.path().join("signer")).unwrap(), away: Arc::default() });
    let authority = Authority::open(&crate::fixture::config(dir.path()), clock.clone(), signer.clone()).unwrap();
    let site = Site { authority: Arc::new(authority), clock, dir };
    signer.away.store(true, Ordering::Relaxed);
    let theft = Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "van".into() };
    let said = site.refuses(theft);
    assert!(
        said.starts_with("recorded; not signed yet: ") && said.contains("the signer process cannot be reached"),
        "{said}"
    );
    assert_eq!(site.state("ct-1").0, "revoked");
    signer.away.store(false, Ordering::Relaxed);
    assert_eq!(told(&site, device("ct-1")).1, None);
    site.authority.tick().unwrap();
    assert_eq!(told(&site, device("ct-1")).1, Some(State::Compromised));
    assert!(!allows(&site, &certificate, Operation::Read));
}
