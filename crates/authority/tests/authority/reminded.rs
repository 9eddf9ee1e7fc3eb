//! A hub whose store went back behind what others were told, and what status lists tell it that it does not know.

use crate::fixture::{Site, config, open, open_as};
use crate::restored::{back_up, copy_keys, restore_unheard};
use medlock_authority::admin::{Reason, Request, Response};
use medlock_authority::directory::DATABASE;
use medlock_authority::heard::Source;
use medlock_authority::objects::Kind;
use medlock_authority::restoring::Since;
use medlock_authority::signer::{InProcess, KeyLabel, Kind as Signed, Signer, SignerError};
use medlock_authority::status::status_list;
use medlock_authority::store::SqlStore;
use medlock_authority::{Authority, AuthorityConfig, keys::AuthorityCertificate};
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::log::Checkpoint;
use medlock_node::provider::{AwsLc, SigningAlgorithm, SigningKey};
use medlock_trust::policy::Setting;
use medlock_trust::status::{Heading, Reason as Why, Record, State, StatusList, Subject};
use medlock_trust::{CredentialId, DeviceId, DeviceName, Operation};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const DAY: i64 = 86_400;

pub(crate) fn device(name: &str) -> Subject {
    Subject::Device(DeviceId::of(&DeviceName::new(name).unwrap(), &AwsLc))
}

fn node_of(site: &Site, clock: Clock) -> Arc<KnowledgeBase> {
    let node = KnowledgeBase::in_memory(clock, Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    node
}

/// Takes all that the site says; what is refused of it.
fn hear(node: &KnowledgeBase, site: &Site) -> Vec<String> {
    let objects = Kind::ALL.iter().filter_map(|kind| Some((*kind, site.authority.news().current(*kind)?)));
    let heard = objects.map(|(kind, object)| (kind, node.accept(kind, &object.bytes)));
    heard.filter_map(|(kind, taken)| Some(format!("{kind}: {}", taken.err()?))).collect()
}

fn told(site: &Site, subject: Subject) -> Option<State> {
    let list = site.authority.news().current(Kind::Status).unwrap();
    StatusList::danger_open(&list.bytes).unwrap().record(subject).map(|record| record.state)
}

fn steal(site: &Site, name: &str) {
    site.ask(Request::Revoke { device: name.into(), reason: Reason::Stolen, why: "test".into() });
}

fn change(site: &Site, change: &str) {
    site.ask(Request::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
}

fn again(site: Site) -> Site {
    let Site { authority, clock, dir } = site;
    drop(authority);
    Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir }
}

/// The store comes back from the backup, into its folder or onto a new disk.
fn brought_back(site: Site, backup: &Path, new_disk: bool) -> Site {
    let Site { authority, clock, dir } = site;
    drop(authority);
    let dir = if new_disk { tempfile::tempdir().unwrap() } else { dir };
    restore_unheard(backup, dir.path(), Since::default());
    if !new_disk {
        Authority::start_log_anew(&config(dir.path()), &clock).unwrap();
    }
    Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir }
}

/// A status list as whoever has a key of the site signs one.
pub(crate) fn signed(site: &Site, by: &AuthorityCertificate, epoch: u64, compromised: &[Subject]) -> Vec<u8> {
    let (authority, issued) = (site.authority.root().key, site.clock.now());
    let heading = Heading { authority, recovery_epoch: 0, epoch, issued, next: issued.plus_seconds(60) };
    let (state, reason) = (State::Compromised, Why::STOLEN);
    let record = |subject: &Subject| Record { subject: *subject, state, reason, since: issued, epoch };
    let mut records: Vec<Record> = compromised.iter().map(record).collect();
    records.sort_by_key(|record| record.subject);
    let signer = InProcess::open(&site.dir.path().join("signer")).unwrap();
    status_list(&signer, by, heading, &records).unwrap()
}

pub(crate) fn epoch(site: &Site) -> u64 {
    site.authority.news().current(Kind::Status).unwrap().version
}

fn alarm(site: &Site, kind: &str) -> Option<String> {
    let Response::Alarms { alarms } = site.ask(Request::Alarms) else { panic!() };
    alarms.into_iter().find(|alarm| alarm.kind == kind).map(|alarm| alarm.text)
}

fn allows(node: &KnowledgeBase, site: &Site, certificate: &[u8]) -> bool {
    let issuer = site.authority.keys().issuer_of(certificate).unwrap().certificate.der.clone();
    let who = node.identify(&[certificate.to_vec().into(), issuer.into()]).unwrap();
    node.judge(&who, Operation::Read).is_allowed()
}

/// Shows REQ-STORE-100: behind a restore, what a clock that was far ahead has numbered is gone on behind, by the hub's folder,
/// or as soon as a node reminds it.
#[test]
fn a_store_from_before_a_clock_that_was_ahead_is_heard_again() {
    for (days, new_disk) in [(40, false), (3_650, false), (40, true)] {
        let site = Site::new();
        site.enrol("ct-1", &SigningKey::generate());
        let backup = back_up(site.dir.path());
        let node = node_of(&site, Clock::manual(site.clock.now()));
        site.clock.advance(days * DAY);
        let site = again(site);
        site.register("ct-2");
        assert_eq!(hear(&node, &site), [] as [&str; 0]);
        site.clock.advance(-days * DAY);
        let site = brought_back(site, backup.path(), new_disk);
        site.authority.tick().unwrap();
        if new_disk {
            assert!(!hear(&node, &site).is_empty());
            let held = node.object(Kind::Status).unwrap();
            assert!(site.authority.remind(&held).unwrap(), "it goes on behind the number");
            assert!(!site.authority.remind(&held).unwrap());
        }
        for _ in 0..2 {
            site.authority.tick().unwrap();
            site.clock.advance(600);
        }
        steal(&site, "ct-1");
        assert_eq!(hear(&node, &site), [] as [&str; 0], "{days} days, {new_disk}");
        let list = node.object(Kind::Status).unwrap();
        let list = StatusList::danger_open(&list).unwrap();
        assert!(list.record(device("ct-1")).is_some());
        assert_eq!(list.heading().issued, site.clock.now(), "the numbers are ahead and not the time");
        let again = again(site);
        again.authority.tick().unwrap();
        assert_eq!(hear(&node, &again), [] as [&str; 0]);
    }
}

/// Shows REQ-STORE-101, REQ-STORE-102: what no clock numbers is not followed, and people are told; and where the status list
/// cannot be given out, all else that is due is done.
#[test]
fn what_cannot_be_published_keeps_back_nothing_else() {
    let site = Site::new();
    let by = site.authority.issuing();
    for epoch in [u64::MAX, 1 << 62] {
        let list = signed(&site, &by, epoch, &[]);
        assert!(site.authority.remind(&list).unwrap_err().to_string().contains("higher than any clock"));
        assert!(!site.authority.remind(&list).unwrap(), "it is not read again");
    }
    assert!(alarm(&site, "number-too-high").unwrap().contains("compromised"));
    assert!(epoch(&site) < 1 << 40);
    site.authority.knowledge().accept(Kind::Status, &signed(&site, &by, u64::MAX, &[])).unwrap();
    let shown = || site.authority.hub_identity().current().unwrap().credential();
    let before = shown();
    site.clock.advance(400 * DAY);
    site.authority.tick().unwrap_err();
    assert_ne!(shown(), before, "the hub has not renewed its credential");
    // The way out.
    change(&site, "compromised issuing");
    site.authority.tick().unwrap();
    assert!(epoch(&site) < 1 << 40);
}

/// Shows REQ-STORE-103, REQ-STORE-104, REQ-STORE-105: what a stolen key told a hub, and the hub all others, ends with that key;
/// and nobody tells a hub that it is stolen itself.
#[test]
fn what_a_stolen_key_told_the_hub_is_withdrawn_with_it() {
    let site = Site::new();
    let certificates = ["ct-1", "ct-2", "ct-3"].map(|name| site.enrol(name, &SigningKey::generate()));
    site.ask(Request::Suspend { device: "ct-3".into(), why: "test".into() });
    let backup = back_up(site.dir.path());
    let (of_thief, of_hub) = (node_of(&site, site.clock.clone()), node_of(&site, site.clock.clone()));
    for node in [&of_thief, &of_hub] {
        assert_eq!(hear(node, &site), [] as [&str; 0]);
    }
    let hub = site.authority.hub_identity().current().unwrap().chain().to_vec();
    let own = Subject::Credential(site.authority.hub_identity().current().unwrap().credential());
    let unknown = Subject::Credential(CredentialId::from_bytes([7; 16]));
    let all = [device("hub"), own, device("ct-1"), device("ct-2"), device("ct-3"), device("ct-9"), unknown];
    let list = signed(&site, &site.authority.issuing(), epoch(&site) + 1, &all);
    of_thief.accept(Kind::Status, &list).unwrap();
    assert!(site.authority.remind(&list).unwrap());
    assert!(!site.authority.remind(&list).unwrap());
    assert!(alarm(&site, "hub-called-revoked").unwrap().contains(&site.authority.issuing().key.to_string()));
    assert!(alarm(&site, "store-was-behind").is_some());
    // All but the hub itself.
    assert_eq!(all.map(|subject| told(&site, subject).is_some()), [false, false, true, true, true, true, true]);
    assert_eq!(hear(&of_hub, &site), [] as [&str; 0]);
    assert!(!allows(&of_hub, &site, &certificates[0]));
    let judged = |node: &KnowledgeBase, chain: &[_]| node.judge_standing(&node.identify(chain).unwrap());
    judged(&of_hub, &hub).unwrap();
    judged(&of_thief, &hub).unwrap_err();
    assert_eq!(site.state("ct-1").0, "revoked");
    // What people say themselves stays, whoever said it first.
    steal(&site, "ct-2");

    change(&site, "compromised issuing");
    let expect = |site: &Site, after: &str| {
        let said = all.map(|subject| told(site, subject));
        let (stolen, suspended) = (Some(State::Compromised), Some(State::Suspended));
        // Of whom it told alone, people decide.
        assert_eq!(said, [None, None, suspended, stolen, suspended, None, None], "{after}");
        assert_eq!(["ct-1", "ct-2"].map(|name| site.state(name).0), ["suspended", "revoked"], "{after}");
        assert_eq!(site.state("ct-3").0, "suspended", "{after}");
        for node in [&of_thief, &of_hub] {
            assert_eq!(hear(node, site), [] as [&str; 0], "{after}");
            assert!(node.unforgotten().is_empty(), "{after}");
            let held = node.object(Kind::Status).unwrap();
            assert_eq!(Some(held), site.authority.news().current(Kind::Status).map(|list| list.bytes), "{after}");
            judged(node, site.authority.hub_identity().current().unwrap().chain()).unwrap();
        }
    };
    expect(&site, "withdrawn");
    let text = alarm(&site, "heard-by-stolen-key").unwrap();
    assert!(text.contains("ct-1") && text.contains("ct-3") && !text.contains("ct-2"), "{text}");
    site.authority.remind(&list).unwrap_err();
    site.ask(Request::Restore { device: "ct-3".into(), why: "test".into() });
    site.ask(Request::Suspend { device: "ct-3".into(), why: "test".into() });
    let site = again(site);
    site.authority.tick().unwrap();
    expect(&site, "started again");
    site.register("ct-9");
    // Also where the register is brought back from before it.
    let site = brought_back(site, backup.path(), false);
    site.authority.tick().unwrap();
    expect(&site, "brought back");
}

/// Shows REQ-STORE-104, REQ-STORE-173: what the hub has told on by another key of its own counts until that is withdrawn too, and
/// people are told how those devices stand behind each.
#[test]
fn what_a_former_key_told_ends_with_the_keys_that_told_it_on() {
    let site = Site::new();
    site.enrol("ct-1", &SigningKey::generate());
    let first = site.authority.issuing();
    change(&site, "issuing");
    let node = node_of(&site, site.clock.clone());
    let list = signed(&site, &first, epoch(&site) + 1, &[device("ct-1"), device("ct-9")]);
    assert!(site.authority.remind(&list).unwrap());
    let both = |site: &Site| [told(site, device("ct-1")), told(site, device("ct-9"))];
    assert_eq!(hear(&node, &site), [] as [&str; 0]);
    change(&site, "compromised issuing");
    assert_eq!(both(&site), [Some(State::Compromised); 2], "nodes hold a list of a key that is believed");
    assert_eq!(site.state("ct-1").0, "revoked");
    let text = alarm(&site, "heard-by-stolen-key").unwrap();
    assert!(text.contains("Revoked all the same: ct-1") && !text.contains("Suspended"), "{text}");
    assert_eq!(hear(&node, &site), [] as [&str; 0]);
    assert!(node.unforgotten().is_empty());
    change(&site, "compromised issuing-2");
    assert_eq!(both(&site), [Some(State::Suspended), None]);
    let text = alarm(&site, "heard-by-stolen-key").unwrap();
    assert!(text.contains("Suspended, as it may have been true: ct-1") && !text.contains("all the same"), "{text}");
    assert_eq!(hear(&node, &site), [] as [&str; 0]);
    assert!(node.unforgotten().is_empty());
    assert_eq!(site.state("ct-1").0, "suspended");
    site.ask(Request::Restore { device: "ct-1".into(), why: "it is here".into() });
    assert_eq!((both(&site), site.state("ct-1").0.as_str()), ([None; 2], "must-renew"));
}

/// Shows REQ-STORE-106: a hub that heard of a theft, and starts on a store that another has brought back and told lists from
/// since, writes it into that store before it says anything itself.
#[test]
fn a_hub_that_starts_reminds_its_own_store() {
    let site = Site::with_clock(Clock::system());
    let certificate = site.enrol("ct-1", &SigningKey::generate());
    site.register("ct-2");
    let backup = back_up(site.dir.path());
    steal(&site, "ct-1");
    site.ask(Request::Suspend { device: "ct-2".into(), why: "test".into() });
    let Site { authority, clock, dir } = site;
    drop(authority);
    // Another hub, which heard nothing, goes on with the store and gives out what it knows.
    std::thread::sleep(Duration::from_secs(3));
    let other = tempfile::tempdir().unwrap();
    restore_unheard(backup.path(), other.path(), Since::default());
    Authority::start_log_anew(&config(other.path()), &clock).unwrap();
    drop(open_as(&config(other.path()), &clock));
    for file in std::fs::read_dir(dir.path()).unwrap().map(|file| file.unwrap().path()) {
        if file.file_name().unwrap().to_string_lossy().starts_with(DATABASE) {
            std::fs::remove_file(file).unwrap();
        }
    }
    SqlStore::copy(&other.path().join(DATABASE), &dir.path().join(DATABASE)).unwrap();
    copy_keys(other.path(), dir.path());
    let site = Site { authority: Arc::new(open_as(&config(dir.path()), &clock)), clock, dir };
    let alarms = || site.alarms().into_iter().filter(|kind| kind != "log-started-anew").collect::<Vec<_>>();
    assert_eq!(alarms(), ["store-was-behind"]);
    assert_eq!(site.state("ct-1").0, "revoked");
    assert_eq!(site.state("ct-2").0, "suspended", "what else that list says too");
    assert!(site.refuses(Request::Code { device: "ct-1".into(), lifetime_seconds: None }).contains("revoked"));
    assert!(!allows(site.authority.knowledge(), &site, &certificate));
    site.authority.tick().unwrap();
    assert_eq!(alarms(), ["store-was-behind"], "once");
}

/// Shows REQ-STORE-107: at a restore, the lists that a sidecar keeps beside its newest are heard too.
#[test]
fn a_theft_that_a_sidecar_has_beside_its_newest_list_is_heard() {
    let site = Site::with_clock(Clock::system());
    for name in ["ct-1", "ct-2"] {
        site.enrol(name, &SigningKey::generate());
    }
    let backup = back_up(site.dir.path());
    let folder = tempfile::tempdir().unwrap();
    let knowledge = || KnowledgeBase::open(folder.path(), Clock::system(), Setting::Hospital).unwrap();
    let node = knowledge();
    node.pin_root(&site.authority.root().der).unwrap();
    let empty = signed(&site, &site.authority.issuing(), epoch(&site) + 1_000, &[]);
    for (number, name) in ["ct-1", "ct-2"].into_iter().enumerate() {
        node.accept(Kind::SiteList, &site.authority.news().current(Kind::SiteList).unwrap().bytes).unwrap();
        let told = signed(&site, &site.authority.issuing(), epoch(&site) + 10 + number as u64, &[device(name)]);
        node.accept(Kind::Status, &told).unwrap();
    }
    node.accept(Kind::Status, &empty).unwrap();
    assert_eq!(node.unforgotten().len(), 2);
    drop(node);
    let Site { authority, clock, dir } = site;
    drop((authority, dir));
    let dir = tempfile::tempdir().unwrap();
    let mut sources = Source::read(folder.path()).unwrap();
    assert_eq!(Source::read(&folder.path().join("status-before.cose")).unwrap().len(), 2);
    let restoring = Authority::begin_restore(dir.path(), &backup.path().join(DATABASE)).unwrap();
    let hearing = restoring.hear(&mut sources).unwrap();
    assert!(sources.is_empty());
    assert_eq!(hearing.heard.iter().filter(|heard| heard.counts()).count(), 4, "{hearing:?}");
    // Asked twice, it is the same.
    restoring.hear(&mut Source::read(folder.path()).unwrap()).unwrap();
    restoring.finish(Since::default()).unwrap();
    copy_keys(backup.path(), dir.path());
    let site = Site { authority: Arc::new(open_as(&config(dir.path()), &clock)), clock, dir };
    assert_eq!(["ct-1", "ct-2"].map(|name| site.state(name).0), ["revoked", "revoked"]);
    assert!(site.authority.knowledge().unforgotten().is_empty());
}

/// Shows REQ-STORE-108: however much a list says of whom nobody knows, what the site says itself is on its list.
#[test]
fn records_of_nobody_do_not_take_the_room_of_thefts() {
    let site = Site::new();
    for name in ["ct-1", "ct-2"] {
        site.enrol(name, &SigningKey::generate());
    }
    let made_up = |number: u32| {
        let mut id = [0xff; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        if number.is_multiple_of(2) {
            Subject::Credential(CredentialId::from_bytes(id))
        } else {
            Subject::Device(DeviceId::from_bytes(id))
        }
    };
    let by = site.authority.issuing();
    for round in 0..2 {
        let records: Vec<Subject> = (0..65_535).map(|number| made_up(number + round * 100_000)).collect();
        let list = signed(&site, &by, epoch(&site) + 1, &[&records[..], &[device("ct-2")]].concat());
        site.authority.remind(&list).unwrap();
    }
    steal(&site, "ct-1");
    assert_eq!(["ct-1", "ct-2"].map(|name| told(&site, device(name))), [Some(State::Compromised); 2]);
    let list = site.authority.news().current(Kind::Status).unwrap();
    assert!(StatusList::danger_open(&list.bytes).unwrap().len() < 4_200);
    assert!(alarm(&site, "heard-too-many").unwrap().contains(&by.key.to_string()));
    change(&site, "compromised issuing");
    let list = site.authority.news().current(Kind::Status).unwrap();
    assert!(StatusList::danger_open(&list.bytes).unwrap().len() < 10);
    assert_eq!(
        ["ct-1", "ct-2"].map(|name| told(&site, device(name))),
        [Some(State::Compromised), Some(State::Suspended)]
    );
}

/// A signer that signs no object as long as the gate is held.
struct Gated {
    inner: InProcess,
    gate: Arc<Mutex<()>>,
}

impl Signer for Gated {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        self.inner.generate(key, algorithm)
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        self.inner.public_key(key)
    }

    fn sign(&self, key: KeyLabel, kind: Signed, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        drop(self.gate.lock().unwrap());
        self.inner.sign(key, kind, message)
    }

    fn retire(&self, key: KeyLabel) -> Result<(), SignerError> {
        self.inner.retire(key)
    }

    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        self.inner.signed_checkpoint(origin)
    }
}

/// Shows REQ-STORE-111: who says what the hub knows, or what nobody has signed, is answered while a theft is published, and
/// keeps nobody waiting who reports one.
#[test]
fn reminders_of_nothing_new_wait_for_nobody() {
    let site = Site::new();
    site.enrol("ct-1", &SigningKey::generate());
    let before = site.authority.news().current(Kind::Status).unwrap().bytes;
    site.ask(Request::Suspend { device: "ct-1".into(), why: "test".into() });
    let Site { authority, clock, dir } = site;
    drop(authority);
    let gate = Arc::<Mutex<()>>::default();
    let signer = Gated { inner: InProcess::open(&dir.path().join("signer")).unwrap(), gate: gate.clone() };
    let authority = Arc::new(Authority::open(&config(dir.path()), clock.clone(), Arc::new(signer)).unwrap());
    let site = Arc::new(Site { authority, clock, dir });
    let newest = site.authority.news().current(Kind::Status).unwrap().bytes;
    let shut = gate.lock().unwrap();
    let at_work = site.clone();
    let theft = std::thread::spawn(move || steal(&at_work, "ct-1"));
    while site.state("ct-1").0 != "revoked" {
        std::thread::sleep(Duration::from_millis(10));
    }
    let (answer, answers) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut forged = before.to_vec();
        *forged.last_mut().unwrap() ^= 1;
        for list in [&newest[..], &before, &before, &forged] {
            answer.send(site.authority.remind(list).ok()).unwrap();
        }
    });
    let said: Vec<_> = (0..4).map(|_| answers.recv_timeout(Duration::from_secs(20)).unwrap()).collect();
    assert_eq!(said, [Some(false), Some(false), Some(false), None]);
    assert!(!theft.is_finished());
    drop(shut);
    theft.join().unwrap();
}

/// Shows REQ-STORE-112: what a device brings that a key has told which is retired since is not taken over, because nobody can tell
/// when it has signed; people are told.
#[test]
fn a_list_of_a_retired_key_is_told_to_people() {
    let site = Site::new();
    site.enrol("ct-1", &SigningKey::generate());
    let first = site.authority.issuing();
    let list = signed(&site, &first, epoch(&site) + 1, &[device("ct-1")]);
    site.clock.advance(DAY);
    let late = signed(&site, &first, epoch(&site) + 2, &[device("ct-1"), device("ct-2")]);
    site.clock.advance(-DAY);
    change(&site, "issuing");
    change(&site, "retire issuing");
    site.clock.advance(2 * DAY);
    site.authority.remind(&late).unwrap_err();
    assert!(alarm(&site, "told-by-retired-key").is_none());
    assert!(site.authority.remind(&list).unwrap_err().to_string().contains("is retired"));
    assert!(!site.authority.remind(&list).unwrap(), "it is not read again");
    assert!(alarm(&site, "told-by-retired-key").unwrap().contains("ct-1"));
    assert_eq!(["ct-1", "ct-2"].map(|name| told(&site, device(name)).is_some()), [false, false]);
}

/// Shows REQ-STORE-114: no list makes a hub of this store revoked, nor a credential of one; people are told.
#[test]
fn a_list_that_calls_another_hub_revoked_is_not_taken_over() {
    let Site { authority, clock, dir } = Site::new();
    drop(authority);
    // Another hub has worked on this store.
    drop(open_as(&AuthorityConfig { hub_name: "hub-2".into(), ..config(dir.path()) }, &clock));
    let site = Site { authority: Arc::new(open_as(&config(dir.path()), &clock)), clock, dir };
    site.register("ct-1");
    let by = site.authority.issuing();
    let list = signed(&site, &by, epoch(&site) + 1, &[device("hub-2"), device("ct-1")]);
    assert!(site.authority.remind(&list).unwrap());
    assert!(alarm(&site, "hub-called-revoked").unwrap().contains(&by.key.to_string()));
    assert_eq!([told(&site, device("hub-2")), told(&site, device("ct-1"))], [None, Some(State::Compromised)]);
    assert_eq!(site.state("ct-1").0, "revoked");
}

/// Shows REQ-STORE-109: what was told in the name of a root whose place another has taken is heard.
#[test]
fn a_list_in_the_name_of_a_former_root_is_heard() {
    let site = Site::new();
    site.enrol("ct-1", &SigningKey::generate());
    let list = signed(&site, &site.authority.issuing(), epoch(&site) + 1, &[device("ct-1")]);
    for step in ["root", "retire root"] {
        change(&site, step);
    }
    let mut forged = list.clone();
    *forged.last_mut().unwrap() ^= 1;
    site.authority.remind(&forged).unwrap_err();
    assert!(site.authority.remind(&list).unwrap());
    assert_eq!(site.state("ct-1").0, "revoked");
    let other = Site::new();
    assert!(other.authority.remind(&list).is_err());
    site.authority.tick().unwrap();
    assert_eq!(told(&site, device("ct-1")), Some(State::Compromised));
}
