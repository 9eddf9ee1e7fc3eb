//! An authority that was brought back from a backup, behind what others have heard of it since.

use crate::crash::opens_within;
use crate::fixture::{Site, config, ct, issued, noon, open_as, refused};
use medlock_authority::admin::{Reason, Request, Response};
use medlock_authority::directory::DATABASE;
use medlock_authority::enrolment::{Answer, RefusalKind};
use medlock_authority::heard::{Hearing, Source};
use medlock_authority::keys::KeyState;
use medlock_authority::objects::Kind;
use medlock_authority::restoring::Since;
use medlock_authority::root_request::KeyChange;
use medlock_authority::signer::{InProcess, KeyLabel, KeyRole, Signer as _, merge_retired};
use medlock_authority::store::{SqlStore, Standings as _};
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::decide::Code;
use medlock_trust::policy::Setting;
use medlock_trust::status::{State, StatusList, Subject};
use medlock_trust::x509::Certificate;
use medlock_trust::{DeviceId, DeviceName, KeyId, Operation, Verdict};
use std::path::Path;
use std::sync::Arc;

fn label(number: u16) -> KeyLabel {
    KeyLabel::new(KeyRole::Issuing, number).unwrap()
}

fn change(site: &Site, change: KeyChange) {
    site.ask(Request::ChangeKeys { change, anyway: true, why: String::new() });
}

fn states(authority: &Authority) -> Vec<String> {
    authority.keys().iter().map(|key| format!("{} {}", key.certificate.label, key.state.name())).collect()
}

/// What a backup has of an authority: its store, its keys, and which of them were retired.
pub(crate) fn back_up(dir: &Path) -> tempfile::TempDir {
    let to = tempfile::tempdir().unwrap();
    SqlStore::copy(&dir.join(DATABASE), &to.path().join(DATABASE)).unwrap();
    copy_keys(dir, to.path());
    to
}

pub(crate) fn copy_keys(from: &Path, to: &Path) {
    let (from, to) = (from.join("signer"), to.join("signer"));
    std::fs::create_dir_all(&to).unwrap();
    for file in std::fs::read_dir(&from).unwrap().map(|file| file.unwrap().path()) {
        let target = to.join(file.file_name().unwrap());
        let wanted = file.extension().is_some_and(|extension| extension == "key") || file.ends_with("passphrase");
        if wanted && !target.exists() {
            std::fs::copy(&file, &target).unwrap();
        }
    }
    merge_retired(&from, &to).unwrap();
}

/// Brings it back into a folder; refused with what was heard where that is not enough.
fn restore(from: &Path, to: &Path, given: &[&Path], lost_keys: bool) -> Result<Hearing, String> {
    let mut sources: Vec<Source> = given.iter().flat_map(|path| Source::read(path).unwrap()).collect();
    let restoring = Authority::begin_restore(to, &from.join(DATABASE)).map_err(|error| error.to_string())?;
    let hearing = restoring.hear(&mut sources).map_err(|error| error.to_string())?;
    let wanted = [hearing.keys_wanted.clone(), hearing.devices_wanted.clone()].concat();
    if !wanted.is_empty() {
        let said: Vec<_> = hearing.heard.iter().map(ToString::to_string).collect();
        return Err(format!("{} wanted; {}", wanted.join(" "), said.join("; ")));
    }
    restoring.finish(Since { lost_keys, ..Since::default() }).map_err(|error| error.to_string())?;
    copy_keys(from, to);
    Ok(hearing)
}

/// Brings it back where nobody has heard anything.
pub(crate) fn restore_unheard(from: &Path, to: &Path, since: Since) {
    Authority::begin_restore(to, &from.join(DATABASE)).unwrap().finish(since).unwrap();
    copy_keys(from, to);
}

/// Shows REQ-KEYS-98: behind a restore too, a key has issued until the next one was made, and not until the store was brought back.
#[test]
fn behind_a_restore_a_key_has_issued_until_the_next_one_was_made() {
    let site = Site::new();
    let backup = back_up(site.dir.path());
    site.clock.advance(3_600);
    let rotated = site.clock.now().to_string();
    change(&site, KeyChange::Rotate);
    site.clock.advance(2 * 86_400);
    let Site { authority, clock, dir: former } = site;
    drop(authority);

    let dir = tempfile::tempdir().unwrap();
    restore(backup.path(), dir.path(), &[former.path()], false).unwrap();
    copy_keys(former.path(), dir.path());
    // Its chain has the certificate of the key.
    std::fs::create_dir_all(dir.path().join("hub")).unwrap();
    for file in std::fs::read_dir(former.path().join("hub")).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            std::fs::copy(&file, dir.path().join("hub").join(file.file_name().unwrap())).unwrap();
        }
    }
    let site = Site { authority: Arc::new(crate::fixture::open(dir.path(), &clock)), clock, dir };
    assert_eq!(states(&site.authority), ["issuing former", "issuing-2 current"]);
    let Response::Keys { keys, .. } = site.ask(Request::Keys) else { panic!("no keys") };
    assert_eq!((keys[0].until.as_ref(), keys[1].since.as_ref()), (Some(&rotated), Some(&rotated)));
}

/// A sidecar of a site, with its folder of knowledge.
struct Sidecar {
    dir: tempfile::TempDir,
    knowledge: Arc<KnowledgeBase>,
}

impl Sidecar {
    fn of(site: &Site) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let knowledge =
            KnowledgeBase::open(&dir.path().join("knowledge"), site.clock.clone(), Setting::Hospital).unwrap();
        knowledge.pin_root(&site.authority.root().der).unwrap();
        let sidecar = Self { dir, knowledge };
        sidecar.hears(&site.authority);
        sidecar
    }

    fn hears(&self, authority: &Authority) {
        for kind in Kind::ALL {
            if let Some(object) = authority.news().current(kind) {
                self.knowledge.accept(kind, &object.bytes).unwrap_or_else(|refused| panic!("{kind}: {refused}"));
            }
        }
    }

    fn state(&self, subject: Subject) -> Option<State> {
        let status = self.knowledge.object(Kind::Status).unwrap();
        StatusList::danger_open(&status).unwrap().record(subject).map(|record| record.state)
    }

    fn denies(&self, certificate: &[u8], issuer: &[u8], operation: Operation) -> Option<Code> {
        let peer = self.knowledge.identify(&[certificate.to_vec().into(), issuer.to_vec().into()]).unwrap();
        match self.knowledge.judge(&peer, operation) {
            Verdict::Deny(denied) => Some(denied.code),
            Verdict::Allow(_) => None,
        }
    }
}

fn device(name: &str) -> Subject {
    Subject::Device(DeviceId::of(&DeviceName::new(name).unwrap(), &AwsLc))
}

/// Whether the root's revocation list has the certificate.
fn is_revoked(authority: &Authority, certificate: &[u8]) -> bool {
    let crl = authority.root_crl().unwrap().unwrap();
    let serial = Certificate::from_der(certificate).unwrap().serial_magnitude().to_vec();
    crl.windows(serial.len()).any(|window| window == serial)
}

/// Shows REQ-KEYS-47, REQ-KEYS-48, REQ-KEYS-49: on a new disk, a key that was made and stolen behind the backup, and devices
/// that nobody registered before it, stay as a sidecar and whoever keeps the root's revocation list have heard.
#[test]
fn a_key_that_was_made_and_stolen_behind_the_backup_stays_stolen() {
    let site = Site::with_clock(Clock::system());
    let known = site.enrol("ct-1", &SigningKey::generate());
    let backup = back_up(site.dir.path());
    change(&site, KeyChange::Rotate);
    let second = site.authority.issuing();
    let forged = site.enrol("ct-2", &SigningKey::generate());
    for name in ["ct-3", "ct-4"] {
        site.enrol(name, &SigningKey::generate());
    }
    site.ask(Request::Revoke { device: "ct-3".into(), reason: Reason::Retired, why: String::new() });
    site.ask(Request::Suspend { device: "ct-4".into(), why: String::new() });
    site.ask(Request::Suspend { device: "ct-1".into(), why: String::new() });
    change(&site, KeyChange::Compromised(label(2)));
    let sidecar = Sidecar::of(&site);
    std::fs::write(sidecar.dir.path().join("knowledge/root.crl"), site.authority.root_crl().unwrap().unwrap()).unwrap();
    let Site { authority, clock, dir } = site;
    drop((authority, dir));

    let dir = tempfile::tempdir().unwrap();
    let hearing = restore(backup.path(), dir.path(), &[sidecar.dir.path()], false).unwrap();
    assert_eq!(hearing.heard.len(), 3, "{hearing:?}");
    let open = || {
        let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
        Authority::open(&config(dir.path()), clock.clone(), signer)
    };
    // The third key went with the disk: people must say that it is lost.
    let refused = open().unwrap_err().to_string();
    assert!(refused.contains("--accept-loss") && refused.contains("`keys`"), "{refused}");
    restore(backup.path(), dir.path(), &[], true).unwrap();
    for start in 0..2 {
        let authority = open().unwrap();
        assert_eq!(states(&authority), ["issuing current"], "start {start}");
        sidecar.hears(&authority);
        assert_eq!(sidecar.state(Subject::Issuer(second.key)), Some(State::Compromised));
        for operation in Operation::ALL {
            let said = sidecar.denies(&forged, &second.der, operation);
            assert_eq!(said, Some(Code::IssuerCompromised), "{operation:?}");
        }
        assert!(is_revoked(&authority, &second.der), "the root's list forgets the certificate");
        assert_eq!(sidecar.state(device("ct-3")), Some(State::Ceased));
        assert_eq!(sidecar.state(device("ct-4")), Some(State::Suspended));
        assert_eq!(sidecar.state(device("ct-1")), Some(State::Suspended));
    }
    let site = Site { authority: Arc::new(open().unwrap()), clock, dir };
    let Response::Alarms { alarms } = site.ask(Request::Alarms) else { panic!() };
    let told: Vec<_> = alarms.iter().filter(|alarm| alarm.kind == "store-was-behind").collect();
    assert!(
        matches!(told[..], [told] if told.text.contains("says of ct-1, ") && told.text.contains("that it cannot name"))
    );
    // Whoever was suspended is let go as ever; the name of who was revoked is not given again.
    site.ask(Request::Restore { device: "ct-1".into(), why: String::new() });
    assert!(site.refuses(Request::Register { device: ct("ct-3") }).contains("another name"));
    site.register("ct-4");
    assert_eq!(site.state("ct-4").0, "suspended");
    site.ask(Request::Restore { device: "ct-4".into(), why: String::new() });
    sidecar.hears(&site.authority);
    assert_eq!([device("ct-1"), device("ct-4")].map(|device| sidecar.state(device)), [None, None]);
    let issuer = site.authority.keys().iter().next().unwrap().certificate.der.clone();
    assert_eq!(sidecar.denies(&known, &issuer, Operation::Read), None);
    // Nobody gets the names of the keys that are gone.
    change(&site, KeyChange::Rotate);
    assert_eq!(states(&site.authority), ["issuing former", "issuing-4 current"]);
    assert!(is_revoked(&site.authority, &second.der), "the next list of the root forgets the certificate");
    sidecar.hears(&site.authority);
}

/// Shows REQ-STORE-77, REQ-STORE-126: what a key has issued that was lost is believed, also behind the next site list, until people withdraw
/// it by its identifier, which the alarm gives.
#[test]
fn what_a_lost_key_has_issued_is_believed_until_it_is_withdrawn() {
    let site = Site::with_clock(Clock::system());
    let backup = back_up(site.dir.path());
    change(&site, KeyChange::Rotate);
    let lost = site.authority.issuing();
    let certificate = site.enrol("ct-1", &SigningKey::generate());
    let sidecar = Sidecar::of(&site);
    let Site { authority, clock, dir } = site;
    drop((authority, dir));

    let dir = tempfile::tempdir().unwrap();
    restore(backup.path(), dir.path(), &[sidecar.dir.path()], true).unwrap();
    let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let authority = Arc::new(Authority::open(&config(dir.path()), clock.clone(), signer).unwrap());
    let site = Site { authority, clock, dir };
    let Response::Alarms { alarms } = site.ask(Request::Alarms) else { panic!() };
    let told = alarms.iter().find(|alarm| alarm.kind == "store-was-behind").unwrap();
    let command = format!("medlock authority compromised {}", lost.key);
    assert!(told.text.contains("is believed until it ends") && told.text.contains(&command), "{}", told.text);
    change(&site, KeyChange::Rotate);
    sidecar.hears(&site.authority);
    let denies = |operation| sidecar.denies(&certificate, &lost.der, operation);
    assert_eq!(denies(Operation::Read), None);
    // A slip of the pen withdraws nothing: not even the site list has heard of such a key.
    let mistyped = KeyChange::Lost(KeyId::from_bytes([0; 16]));
    let said = site.authority.change_keys(mistyped, false).unwrap_err().to_string();
    assert!(said.contains("has never heard of the key 0000") && said.contains("there are issuing ("), "{said}");
    assert_eq!(sidecar.state(Subject::Issuer(KeyId::from_bytes([0; 16]))), None);
    let withdrawn = format!("compromised {}", lost.key).parse().unwrap();
    site.ask(Request::ChangeKeys { change: withdrawn, anyway: false, why: "a copy is out".into() });
    let Response::Audit { entries } = site.ask(Request::Audit { limit: Some(1) }) else { panic!() };
    assert!(entries[0].subject.ends_with(": a copy is out"), "{entries:?}");
    sidecar.hears(&site.authority);
    for operation in Operation::ALL {
        assert_eq!(denies(operation), Some(Code::IssuerCompromised), "{operation:?}");
    }
    // Neither twice, nor one that has a label, and never the root: all that it vouched for would go with it. No root is asked.
    let root = site.authority.root().key;
    for (key, why) in
        [(lost.key, "already"), (site.authority.issuing().key, "compromised issuing-"), (root, "is a root")]
    {
        let wrong = site.authority.change_keys(KeyChange::Lost(key), true).unwrap_err().to_string();
        assert!(wrong.contains(why), "{wrong}");
        assert!(site.authority.request_root(KeyChange::Lost(key), false).is_err());
    }
}

/// Shows REQ-KEYS-50: what is older than the backup, or of another authority, counts for nothing, and people are told so.
#[test]
fn what_is_older_than_the_backup_is_not_heard() {
    let site = Site::with_clock(Clock::system());
    let old = Sidecar::of(&site);
    change(&site, KeyChange::Compromised(KeyLabel::ISSUING));
    let backup = back_up(site.dir.path());
    let new = Sidecar::of(&site);
    let another = Site::with_clock(Clock::system());
    let foreign = Sidecar::of(&another);
    let dir = tempfile::tempdir().unwrap();
    let refused = restore(backup.path(), dir.path(), &[old.dir.path()], false).unwrap_err();
    assert!(
        refused.contains("site list 1 of ") && refused.contains("older than the backup, which has 2 of"),
        "{refused}"
    );
    let refused = restore(backup.path(), dir.path(), &[foreign.dir.path()], false).unwrap_err();
    assert!(refused.contains("site-list.cose status.cose wanted"), "{refused}");
    let list = old.dir.path().join("knowledge/site-list.cose");
    let status = old.dir.path().join("knowledge/status.cose");
    let newest = new.dir.path().join("knowledge/site-list.cose");
    let refused = restore(backup.path(), dir.path(), &[&newest, &status], false).unwrap_err();
    assert!(refused.contains("status list"), "the status list is not of a key that is believed: {refused}");
    // A folder beside older ones; and a list that nobody signed.
    restore(backup.path(), dir.path(), &[old.dir.path(), new.dir.path(), &list], false).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut forged = std::fs::read(&newest).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    std::fs::write(&newest, forged).unwrap();
    let refused = restore(backup.path(), dir.path(), &[new.dir.path()], false).unwrap_err();
    assert!(refused.contains("site-list.cose") && refused.contains("signature"), "{refused}");
}

fn maker(dir: &Path) -> AuthorityConfig {
    AuthorityConfig::maker(dir, "Pump Works")
}

/// Shows REQ-KEYS-51, REQ-KEYS-52: a maker has no site list; what the root revoked says which of its keys were stolen.
#[test]
fn a_stolen_key_of_a_maker_does_not_issue_again() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let site = Site { authority: Arc::new(open_as(&maker(dir.path()), &clock)), clock, dir };
    let backup = back_up(site.dir.path());
    let before = tempfile::tempdir().unwrap();
    let old = before.path().join("old.crl");
    std::fs::write(&old, site.authority.root_crl().unwrap().unwrap()).unwrap();
    let first = site.authority.issuing();
    change(&site, KeyChange::Compromised(KeyLabel::ISSUING));
    let second = site.authority.issuing();
    let newer = back_up(site.dir.path());
    change(&site, KeyChange::Compromised(label(2)));
    let crl = before.path().join("root.crl");
    std::fs::write(&crl, medlock_authority::pem("X509 CRL", &site.authority.root_crl().unwrap().unwrap())).unwrap();
    assert!(is_revoked(&site.authority, &first.der) && is_revoked(&site.authority, &second.der));
    let Site { authority, clock, dir: disk } = site;
    drop(authority);

    // A new disk.
    let dir = tempfile::tempdir().unwrap();
    assert!(restore(backup.path(), dir.path(), &[], false).unwrap_err().contains("root.crl wanted"));
    let hearing = restore(newer.path(), dir.path(), &[&old], false).unwrap_err();
    assert!(hearing.contains("older than the backup"), "{hearing}");
    restore(backup.path(), dir.path(), &[&crl], false).unwrap();
    let authority = open_as(&maker(dir.path()), &clock);
    // Nobody gets a name that another one had.
    assert_eq!(states(&authority), ["issuing compromised", "issuing-4 current"]);
    assert!(is_revoked(&authority, &first.der) && is_revoked(&authority, &second.der));
    let signer = InProcess::open(&dir.path().join("signer")).unwrap();
    assert!(signer.public_key(KeyLabel::ISSUING).unwrap_err().to_string().contains("retired"));
    drop(authority);

    // The store alone is lost: the hub's folder remembers it by itself.
    restore(backup.path(), disk.path(), &[], false).unwrap();
    Authority::start_log_anew(&maker(disk.path()), &clock).unwrap();
    let authority = open_as(&maker(disk.path()), &clock);
    assert!(is_revoked(&authority, &first.der) && is_revoked(&authority, &second.der));
    assert_eq!(authority.keys().iter().next().unwrap().state, KeyState::Compromised);
    assert!(authority.issuing().label.number() >= 3);

    // What was retired is in the backup.
    let dir = tempfile::tempdir().unwrap();
    restore(newer.path(), dir.path(), &[&crl], false).unwrap();
    let signer = InProcess::open(&dir.path().join("signer")).unwrap();
    assert!(signer.public_key(KeyLabel::ISSUING).unwrap_err().to_string().contains("retired"));
}

/// Shows REQ-KEYS-53: a site list has room for 32 keys; one that it left out so is not taken for a stolen one.
#[test]
fn a_retired_key_that_a_full_list_left_out_is_not_taken_for_stolen() {
    let site = Site::with_clock(Clock::system());
    for number in 1..34 {
        change(&site, KeyChange::Rotate);
        change(&site, KeyChange::Retire(label(number)));
    }
    let backup = back_up(site.dir.path());
    change(&site, KeyChange::Compromised(label(20)));
    change(&site, KeyChange::Rotate);
    let Site { authority, clock, dir } = site;
    drop(authority);
    restore(backup.path(), dir.path(), &[], false).unwrap();
    Authority::start_log_anew(&config(dir.path()), &clock).unwrap();
    let authority = open_as(&config(dir.path()), &clock);
    let stolen: Vec<u16> = authority
        .keys()
        .iter()
        .filter(|key| key.state == KeyState::Compromised)
        .map(|key| key.certificate.label.number())
        .collect();
    assert_eq!(stolen, [20]);
    assert_eq!(authority.issuing().label, label(35));
}

/// Shows REQ-KEYS-54: who has stolen a key that is still believed, and signs that another one is stolen, is not heard in that.
#[test]
fn a_status_list_takes_no_key_away_that_the_root_still_names() {
    use medlock_authority::status::status_list;
    use medlock_trust::status::{Heading, Reason, Record};
    let site = Site::with_clock(Clock::system());
    change(&site, KeyChange::Rotate);
    let backup = back_up(site.dir.path());
    let sidecar = Sidecar::of(&site);
    let (first, second) = (site.authority.keys().iter().next().unwrap().certificate.clone(), site.authority.issuing());
    let epoch = sidecar.knowledge.version(Kind::Status).unwrap() + 1;
    let now = site.clock.now();
    let heading = Heading {
        authority: site.authority.root().key,
        recovery_epoch: 0,
        epoch,
        issued: now,
        next: now.plus_seconds(60),
    };
    let record = |key: KeyId| Record {
        subject: Subject::Issuer(key),
        state: State::Compromised,
        reason: Reason::KEY_COMPROMISE,
        since: now,
        epoch,
    };
    let signer = InProcess::open(&site.dir.path().join("signer")).unwrap();
    let list = status_list(&signer, &first, heading, &[record(second.key)]).unwrap();
    sidecar.knowledge.accept(Kind::Status, &list).unwrap();
    let Site { authority, clock, dir } = site;
    drop((authority, dir));
    let dir = tempfile::tempdir().unwrap();
    restore(backup.path(), dir.path(), &[sidecar.dir.path()], false).unwrap();
    let authority = open_as(&config(dir.path()), &clock);
    assert_eq!(states(&authority), ["issuing former", "issuing-2 current"]);
}

/// Shows REQ-KEYS-57: what a stolen key has numbered highest is not heard, also where it was taken before the theft was.
#[test]
fn a_status_list_of_a_key_that_was_withdrawn_gives_way_to_the_sites() {
    use medlock_authority::status::status_list;
    use medlock_trust::status::Heading;
    let site = Site::with_clock(Clock::system());
    let backup = back_up(site.dir.path());
    let [poisoned, honest] = [Sidecar::of(&site), Sidecar::of(&site)];
    let (authority, issued) = (site.authority.root().key, site.clock.now());
    let heading = Heading { authority, recovery_epoch: 0, epoch: u64::MAX, issued, next: issued.plus_seconds(60) };
    let signer = InProcess::open(&site.dir.path().join("signer")).unwrap();
    let list = status_list(&signer, &site.authority.issuing(), heading, &[]).unwrap();
    poisoned.knowledge.accept(Kind::Status, &list).unwrap();
    site.enrol("ct-1", &SigningKey::generate());
    site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: String::new() });
    change(&site, KeyChange::Compromised(KeyLabel::ISSUING));
    honest.hears(&site.authority);
    let dir = tempfile::tempdir().unwrap();
    restore(backup.path(), dir.path(), &[poisoned.dir.path()], true).unwrap();
    let hearing = restore(backup.path(), dir.path(), &[honest.dir.path()], true).unwrap();
    let said: Vec<String> = hearing.heard.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.contains("not taken")), "{said:?}");
    let authority = open_as(&config(dir.path()), &site.clock);
    honest.hears(&authority);
    assert_eq!(honest.state(device("ct-1")), Some(State::Compromised));
}

/// Shows REQ-KEYS-56: a start behind a restore that is cut off at whatever step is made anew by the next, and the key that it
/// made is not taken for one that was withdrawn.
#[test]
fn a_start_behind_a_restore_that_is_cut_off_withdraws_no_fresh_key() {
    let site = Site::with_clock(Clock::system());
    let backup = back_up(site.dir.path());
    change(&site, KeyChange::Compromised(KeyLabel::ISSUING));
    let sidecar = Sidecar::of(&site);
    let Site { authority, clock, dir } = site;
    drop((authority, dir));
    let cut_off = |left: i64, after: bool| {
        let dir = tempfile::tempdir().unwrap();
        restore(backup.path(), dir.path(), &[sidecar.dir.path()], true).unwrap();
        let whole = opens_within(&config(dir.path()), &clock, left, after);
        let authority = open_as(&config(dir.path()), &clock);
        assert_eq!(states(&authority), ["issuing compromised", "issuing-3 current"], "{left} steps, {after}");
        whole
    };
    let cut_off = &cut_off;
    // Past the first that is whole there is nothing more to cut off.
    std::thread::scope(|scope| {
        for after in [false, true] {
            for first in 0..4 {
                scope.spawn(move || (first..).step_by(4).find(|left| cut_off(*left, after)));
            }
        }
    });
}

/// Shows REQ-AUTH-37, REQ-AUTH-38: a credential from behind the backup never renews; people are told so, and a code helps.
#[test]
fn a_device_with_a_credential_from_behind_the_backup_needs_a_code() {
    let site = Site::with_clock(Clock::system());
    let known = site.enrol("ct-1", &SigningKey::generate());
    let same = site.enrol("ct-2", &SigningKey::generate());
    let backup = back_up(site.dir.path());
    let lost = issued(site.renew(&known, &SigningKey::generate()));
    let later = site.enrol("ct-3", &SigningKey::generate());
    let Site { authority, clock, dir } = site;
    drop(authority);
    restore(backup.path(), dir.path(), &[], false).unwrap();
    Authority::start_log_anew(&config(dir.path()), &clock).unwrap();
    let site = Site { authority: Arc::new(open_as(&config(dir.path()), &clock)), clock, dir };
    assert_eq!(site.state("ct-1").0, "enrolled", "nobody can know yet");
    // Its stream of news tells it, before anything is due.
    site.seen(&lost);
    site.seen(&same);
    assert_eq!((site.state("ct-1").0.as_str(), site.state("ct-2").0.as_str()), ("needs-code", "enrolled"));
    let again = SigningKey::generate();
    for _ in 0..2 {
        assert_eq!(refused(site.renew(&lost, &again)).0, RefusalKind::NeedsCode);
        assert_eq!(refused(site.renew(&later, &again)).0, RefusalKind::NeedsCode);
    }
    let Response::Alarms { alarms } = site.ask(Request::Alarms) else { panic!() };
    let unknown = alarms.iter().filter(|alarm| alarm.kind == "unknown-credential");
    let unknown: Vec<_> = unknown.map(|alarm| alarm.device.as_deref()).collect();
    assert!(unknown.len() == 2 && unknown.contains(&Some("ct-1")) && unknown.contains(&None), "{unknown:?}");
    let Response::Audit { entries } = site.ask(Request::Audit { limit: None }) else { panic!() };
    let told: Vec<_> = entries.iter().filter(|entry| entry.verb == "unknown-credential").collect();
    assert_eq!(told.len(), 1, "once, however often it asks: {told:?}");
    assert!(told.iter().all(|line| line.who == "device ct-1" && line.outcome == "needs-code"), "{told:?}");
    let anew = site.enrol_again("ct-1", &again);
    site.seen(&anew);
    assert_eq!(site.state("ct-1").0, "enrolled");
}

/// Shows REQ-STORE-123: behind a restore, with the hub's folder kept, the hub has asked itself for a credential that its store
/// knows and its log has, also where the key that issues has not changed; and the key before may retire.
#[test]
fn a_hub_goes_on_with_a_credential_that_its_store_knows() {
    for rotated in [true, false] {
        let site = Site::with_clock(Clock::system());
        let backup = back_up(site.dir.path());
        if rotated {
            change(&site, KeyChange::Rotate);
        } else {
            site.authority.reconfigure(&named_otherwise(site.dir.path())).unwrap();
        }
        let own = |authority: &Authority| authority.hub_identity().current().unwrap();
        let lost = own(&site.authority).credential();
        let Site { authority, clock, dir } = site;
        drop(authority);
        restore(backup.path(), dir.path(), &[], false).unwrap();
        Authority::start_log_anew(&named_otherwise(dir.path()), &clock).unwrap();
        let first = open_as(&config(dir.path()), &clock);
        let shown = own(&first).credential();
        assert_ne!(shown, lost);
        assert!(first.log_proof(lost).unwrap().is_none() && first.log_proof(shown).unwrap().is_some());
        let site = Site { authority: Arc::new(first), clock, dir };
        assert_eq!(site.state("hub").0, "enrolled");
        if rotated {
            assert_eq!(states(&site.authority), ["issuing former", "issuing-2 current"]);
            site.authority.change_keys(KeyChange::Retire(KeyLabel::ISSUING), false).unwrap();
        }
        site.authority.tick().unwrap();
        assert_eq!(own(&site.authority).credential(), shown, "once is enough");
    }
}

fn named_otherwise(dir: &Path) -> AuthorityConfig {
    AuthorityConfig { hub_dns: vec!["hub.example".into()], ..config(dir) }
}

/// Shows REQ-AUTH-38: whom nobody has revoked is not shown as revoked behind a stolen key and a restore.
#[test]
fn nobody_is_shown_as_revoked_whom_nobody_revoked() {
    let site = Site::with_clock(Clock::system());
    let known = site.enrol("ct-1", &SigningKey::generate());
    for name in ["ct-2", "ct-3"] {
        site.enrol(name, &SigningKey::generate());
    }
    site.ask(Request::Revoke { device: "ct-3".into(), reason: Reason::KeyCompromise, why: String::new() });
    let backup = back_up(site.dir.path());
    let renewed = issued(site.renew(&known, &SigningKey::generate()));
    site.seen(&renewed);
    change(&site, KeyChange::Compromised(KeyLabel::ISSUING));
    let Site { authority, clock, dir } = site;
    drop(authority);
    restore(backup.path(), dir.path(), &[], false).unwrap();
    Authority::start_log_anew(&config(dir.path()), &clock).unwrap();
    let site = Site { authority: Arc::new(open_as(&config(dir.path()), &clock)), clock, dir };
    let states = ["ct-1", "ct-2", "ct-3"].map(|name| site.state(name).0);
    assert_eq!(states, ["needs-code", "must-renew", "revoked"]);
}

/// Shows REQ-STORE-87, REQ-STORE-88: a store is brought back from before a theft, with nothing heard since. The sidecar that heard
/// of it hears of the next one too; the hub believes the list that it has signed itself, and nobody else's.
#[test]
fn a_theft_that_the_restored_store_forgot_comes_back_from_a_sidecar() {
    let site = Site::with_clock(Clock::system());
    let issuer = site.authority.issuing().der.clone();
    let [stolen, next] = ["ct-1", "ct-2"].map(|name| site.enrol(name, &SigningKey::generate()));
    site.ask(Request::Suspend { device: "ct-2".into(), why: String::new() });
    let backup = back_up(site.dir.path());
    site.enrol("ct-3", &SigningKey::generate());
    let steal = |site: &Site, name: &str| {
        site.ask(Request::Revoke { device: name.into(), reason: Reason::Stolen, why: "test".into() });
    };
    for name in ["ct-1", "ct-3"] {
        steal(&site, name);
    }
    let sidecar = Sidecar::of(&site);
    let Site { authority, clock, dir } = site;
    drop((authority, dir));
    // What is published is numbered by seconds, and of what was published here within one second the last is some ahead.
    std::thread::sleep(std::time::Duration::from_secs(3));
    let dir = tempfile::tempdir().unwrap();
    restore_unheard(backup.path(), dir.path(), Since::default());
    let site = Site { authority: Arc::new(open_as(&config(dir.path()), &clock)), clock, dir };
    let hears = || {
        let status = site.authority.news().current(Kind::Status).unwrap();
        sidecar.knowledge.accept(Kind::Status, &status.bytes).unwrap();
    };
    site.ask(Request::Restore { device: "ct-2".into(), why: String::new() });
    steal(&site, "ct-2");
    hears();
    for certificate in [&stolen, &next] {
        assert_eq!(sidecar.denies(certificate, &issuer, Operation::Store), Some(Code::Compromised));
    }
    let kept = sidecar.knowledge.unforgotten();
    assert_eq!(kept.len(), 1);
    assert!(site.alarms().is_empty(), "the hub does not know yet");
    let mut changed = kept[0].to_vec();
    *changed.last_mut().unwrap() ^= 1;
    site.authority.remind(&changed).unwrap_err();
    let other = Site::with_clock(Clock::system());
    other.authority.remind(&kept[0]).unwrap_err();
    assert!(site.authority.remind(&kept[0]).unwrap());
    assert!(!site.authority.remind(&kept[0]).unwrap(), "whoever says it again says nothing new");
    assert_eq!(site.alarms(), ["store-was-behind"]);
    hears();
    assert!(sidecar.knowledge.unforgotten().is_empty());
    for name in ["ct-1", "ct-2", "ct-3"] {
        assert_eq!(sidecar.state(device(name)), Some(State::Compromised), "{name}");
    }
    assert_eq!(site.state("ct-1").0, "revoked");
    assert!(site.refuses(Request::Register { device: ct("ct-3") }).contains("was revoked"));
}

/// Shows REQ-STORE-90: a restore that is not finished, whatever it has heard, leaves the folder as it was.
#[test]
fn a_restore_that_is_not_finished_has_changed_nothing() {
    let site = Site::with_clock(Clock::system());
    site.enrol("ct-1", &SigningKey::generate());
    let backup = back_up(site.dir.path());
    let before = Sidecar::of(&site);
    revoke(&site, "ct-1");
    change(&site, KeyChange::Rotate);
    let sidecar = Sidecar::of(&site);
    let Site { authority, dir, .. } = site;
    drop(authority);
    let knowledge = dir.path().join("knowledge");
    for object in ["site-list.cose", "status.cose"] {
        std::fs::copy(before.dir.path().join("knowledge").join(object), knowledge.join(object)).unwrap();
    }
    let all = || {
        let mut found = Vec::new();
        let mut folders = vec![dir.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                match entry.is_dir() {
                    true => folders.push(entry),
                    false => found.push((std::fs::read(&entry).unwrap(), entry)),
                }
            }
        }
        found.sort();
        found
    };
    let was = all();
    let mut sources = Source::read(sidecar.dir.path()).unwrap();
    let restoring = Authority::begin_restore(dir.path(), &backup.path().join(DATABASE)).unwrap();
    let hearing = restoring.hear(&mut sources).unwrap();
    assert!(hearing.keys_wanted.is_empty() && hearing.devices_wanted.is_empty());
    assert!(hearing.heard.iter().any(|heard| heard.to_string().contains(&sidecar.dir.path().display().to_string())));
    drop(restoring);
    assert!(all() == was, "something was changed");
    let restoring = Authority::begin_restore(dir.path(), &backup.path().join(DATABASE)).unwrap();
    restoring.hear(&mut Source::read(sidecar.dir.path()).unwrap()).unwrap();
    restoring.finish(Since::default()).unwrap();
    for object in ["site-list.cose", "status.cose"] {
        let of_sidecar = std::fs::read(sidecar.dir.path().join("knowledge").join(object)).unwrap();
        assert_eq!(std::fs::read(knowledge.join(object)).unwrap(), of_sidecar);
    }
}

/// Shows REQ-STORE-91: a code that was open at the backup is void behind a restore: it may have been used, or found out, since.
#[test]
fn open_codes_are_void_behind_a_restore() {
    let site = Site::with_clock(Clock::system());
    for name in ["ct-1", "ct-2"] {
        site.register(name);
    }
    let (code, waiting) = (site.code("ct-1"), site.code("ct-2"));
    assert!(matches!(site.by_code(&waiting, &SigningKey::generate()), Answer::Waits { .. }));
    let backup = back_up(site.dir.path());
    let Site { authority, clock, dir } = site;
    drop(authority);
    for (since, works) in [(Since { nothing: true, ..Since::default() }, true), (Since::default(), false)] {
        restore_unheard(backup.path(), dir.path(), since);
        let authority = Arc::new(open_as(&config(dir.path()), &clock));
        let site = Site { authority, clock: clock.clone(), dir: tempfile::tempdir().unwrap() };
        assert_eq!(site.pending().len(), usize::from(works));
        match site.by_code(&code, &SigningKey::generate()) {
            Answer::Waits { .. } => assert!(works, "nothing was done since"),
            other => assert!(!works && refused(other).0 == RefusalKind::Unauthorized),
        }
    }
}

/// Shows REQ-STORE-39: the restored file is whole, and its next status list is ahead of all that were given out.
#[test]
fn a_restored_file_is_whole() {
    let site = Site::with_clock(Clock::manual(noon()));
    let backup = back_up(site.dir.path());
    let Site { authority, dir, .. } = site;
    drop(authority);
    restore(backup.path(), dir.path(), &[], false).unwrap();
    let files = std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().file_name().into_string().unwrap());
    let odd = files.filter(|name| name.contains("restored") || name == "authority.sqlite-wal").collect::<Vec<_>>();
    assert!(odd.is_empty(), "{odd:?}");
    let bytes = std::fs::read(dir.path().join(DATABASE)).unwrap();
    let alone = tempfile::tempdir().unwrap();
    std::fs::write(alone.path().join(DATABASE), bytes).unwrap();
    let store = SqlStore::sqlite(&alone.path().join(DATABASE)).unwrap();
    let now = u64::try_from(Clock::system().now().unix()).unwrap();
    assert!(store.epoch().unwrap() + 60 >= now, "the file alone does not have the epoch");
}

fn roots(authority: &Authority) -> Vec<KeyState> {
    authority.keys().roots().iter().map(|root| root.state).collect()
}

fn revoke(site: &Site, name: &str) {
    site.ask(Request::Revoke { device: name.into(), reason: Reason::Retired, why: "test".into() });
}

/// Shows REQ-STORE-57, REQ-STORE-58: between the two steps of a rotation a site hears what its sidecars know, and whether the
/// old root was retired since.
#[test]
fn a_site_is_restored_between_the_steps_of_a_root_rotation() {
    for retired in [false, true] {
        let site = Site::with_clock(Clock::system());
        site.enrol("ct-1", &SigningKey::generate());
        let sidecar = Sidecar::of(&site);
        change(&site, KeyChange::Root);
        let backup = back_up(site.dir.path());
        revoke(&site, "ct-1");
        if retired {
            change(&site, KeyChange::Retire(KeyLabel::ROOT));
            let missed = site.authority.missed_site_list(1).unwrap();
            sidecar.knowledge.accept(Kind::SiteList, &missed).unwrap();
        }
        sidecar.hears(&site.authority);
        let before = site.authority.keys();
        let Site { authority, clock, dir: disk } = site;
        drop((authority, disk));
        let dir = tempfile::tempdir().unwrap();
        let hearing = restore(backup.path(), dir.path(), &[sidecar.dir.path()], false).unwrap();
        assert!(hearing.heard.iter().any(|heard| heard.counts() && heard.to_string().starts_with("status list")));
        let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
        let authority = Authority::open(&config(dir.path()), clock, signer).unwrap();
        assert_eq!(authority.keys().roots(), before.roots(), "retired: {retired}");
        sidecar.hears(&authority);
        assert_eq!(sidecar.state(device("ct-1")), Some(State::Ceased), "retired: {retired}");
    }
}

/// Shows REQ-STORE-59: each root that is not retired has told of thefts in a list of its own.
#[test]
fn a_restored_maker_hears_the_lists_of_both_roots() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::system();
    let site = Site { authority: Arc::new(open_as(&maker(dir.path()), &clock)), clock, dir };
    let first = site.authority.issuing();
    change(&site, KeyChange::Root);
    let backup = back_up(site.dir.path());
    change(&site, KeyChange::Compromised(KeyLabel::ISSUING));
    site.authority.tick().unwrap();
    let papers = tempfile::tempdir().unwrap();
    let (newest, former) = (papers.path().join("new.crl"), papers.path().join("old.crl"));
    std::fs::write(&newest, site.authority.root_crl().unwrap().unwrap()).unwrap();
    let list = site.authority.root_crl_of(KeyLabel::ROOT).unwrap().unwrap();
    let serial = Certificate::from_der(&first.der).unwrap().serial_magnitude().to_vec();
    assert!(list.windows(serial.len()).any(|window| window == serial) && !is_revoked(&site.authority, &first.der));
    std::fs::write(&former, list).unwrap();
    assert!(site.dir.path().join("knowledge/former-root.crl").exists(), "the hub keeps both");
    let Site { authority, clock, dir: disk } = site;
    drop((authority, disk));
    let dir = tempfile::tempdir().unwrap();
    let said = restore(backup.path(), dir.path(), &[&newest], false).unwrap_err();
    assert!(said.starts_with("former-root.crl wanted"), "{said}");
    restore(backup.path(), dir.path(), &[&newest, &former], false).unwrap();
    let authority = open_as(&maker(dir.path()), &clock);
    assert_eq!(states(&authority), ["issuing compromised", "issuing-2 current"]);
    let list = authority.root_crl_of(KeyLabel::ROOT).unwrap().unwrap();
    assert!(list.windows(serial.len()).any(|window| window == serial), "the next list forgets it");
}

/// Shows REQ-STORE-60: a store from before two rotations goes on with what its hub's folder kept, and says so; without that
/// folder people are told what is missing.
#[test]
fn a_backup_from_before_the_root_was_replaced_goes_on() {
    let site = Site::with_clock(Clock::system());
    site.enrol("ct-1", &SigningKey::generate());
    let backup = back_up(site.dir.path());
    let sidecar = Sidecar::of(&site);
    for root in [KeyLabel::ROOT, KeyLabel::new(KeyRole::Root, 2).unwrap()] {
        change(&site, KeyChange::Root);
        change(&site, KeyChange::Retire(root));
    }
    revoke(&site, "ct-1");
    while let Some(list) = site.authority.missed_site_list(sidecar.knowledge.version(Kind::SiteList).unwrap()) {
        sidecar.knowledge.accept(Kind::SiteList, &list).unwrap();
    }
    sidecar.hears(&site.authority);
    let before = site.authority.keys();
    let Site { authority, clock, dir } = site;
    drop(authority);
    for lost in [false, true] {
        let to = tempfile::tempdir().unwrap();
        for folder in ["knowledge", "hub"] {
            std::fs::create_dir_all(to.path().join(folder)).unwrap();
            for file in std::fs::read_dir(dir.path().join(folder)).unwrap().map(|file| file.unwrap().path()) {
                if !(lost && file.extension().is_some_and(|extension| extension == "answer")) {
                    std::fs::copy(&file, to.path().join(folder).join(file.file_name().unwrap())).unwrap();
                }
            }
        }
        copy_keys(dir.path(), to.path());
        let restored = restore(backup.path(), to.path(), &[], false);
        if lost {
            let said = restored.unwrap_err();
            assert!(said.contains("site-list.cose"), "{said}");
            continue;
        }
        let authority = open_as(&config(to.path()), &clock);
        assert_eq!(roots(&authority), [KeyState::Retired, KeyState::Retired, KeyState::Current]);
        assert_eq!(authority.root(), before.roots()[2].certificate);
        assert_eq!(authority.issuing(), before.iter().last().unwrap().certificate);
        sidecar.hears(&authority);
        assert_eq!(sidecar.state(device("ct-1")), Some(State::Ceased));
        let hub: Vec<_> = authority.hub_identity().current().unwrap().chain().to_vec();
        sidecar.knowledge.identify(&hub).unwrap();
        assert!(authority.missed_site_list(0).is_some(), "who was away catches up");
    }
}

/// Shows REQ-STORE-61.
#[test]
fn what_is_no_file_is_not_read_as_knowledge() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("site-list.cose");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    assert!(Source::read(&pipe).unwrap_err().to_string().contains("neither a file nor a folder"));
    assert!(Source::read(folder.path()).unwrap_err().to_string().contains("none of"));
    let large = folder.path().join("large");
    std::fs::File::create(&large).unwrap().set_len(medlock_node::files::LARGEST_FILE + 1).unwrap();
    assert!(Source::read(&large).unwrap_err().to_string().contains("larger than"));
}
