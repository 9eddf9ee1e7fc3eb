//! Issuing keys come and go: rotation, retirement, theft, and a root that is offline.

use crate::crash::stopping;
use crate::fixture::{Site, config, credential, ct, issued, noon, open, refused};
use medlock_authority::admin::{Request, Response};
use medlock_authority::directory::DATABASE;
use medlock_authority::enrolment::RefusalKind;
use medlock_authority::keys::{AuthorityCertificate, KeyState, RootKey};
use medlock_authority::objects::Kind;
use medlock_authority::registry::DeviceConfig;
use medlock_authority::root_request::{KeyChange, RootAnswer, RootRequest};
use medlock_authority::settings::RootPlace;
use medlock_authority::signer::{InProcess, KeyLabel, KeyRole, Kind as SignedKind, Signer};
use medlock_authority::status::status_list;
use medlock_authority::store::{Journal as _, Published, SqlStore};
use medlock_authority::{Authority, AuthorityConfig, make_root};
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::SigningKey;
use medlock_trust::decide::Code;
use medlock_trust::list::{List, Purpose};
use medlock_trust::policy::Setting;
use medlock_trust::status::Heading;
use medlock_trust::{Identified, Operation, Verdict};
use std::sync::Arc;

fn label(number: u16) -> KeyLabel {
    KeyLabel::new(KeyRole::Issuing, number).unwrap()
}

fn rotate(site: &Site) {
    site.ask(Request::ChangeKeys { change: KeyChange::Rotate, anyway: false, why: String::new() });
}

fn states(site: &Site) -> Vec<KeyState> {
    site.authority.keys().iter().map(|key| key.state).collect()
}

/// The one root there is.
fn only(root: &AuthorityCertificate) -> &[AuthorityCertificate] {
    std::slice::from_ref(root)
}

/// The same, as where requests are signed.
fn alone(root: &AuthorityCertificate) -> [RootKey; 1] {
    [RootKey::first(root.clone())]
}

/// A node of the site that has heard nothing yet.
fn node(site: &Site) -> Arc<KnowledgeBase> {
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    node
}

/// The node takes all that the hub gives out.
fn hears(node: &KnowledgeBase, site: &Site) {
    for kind in Kind::ALL {
        if let Some(object) = site.authority.news().current(kind) {
            node.accept(kind, &object.bytes).unwrap_or_else(|refused| panic!("{kind}: {refused}"));
        }
    }
}

fn peer(node: &KnowledgeBase, site: &Site, certificate: &[u8]) -> Identified {
    let keys = site.authority.keys();
    let issuer = keys.issuer_of(certificate).unwrap().certificate.der.clone();
    node.identify(&[certificate.to_vec().into(), issuer.into()]).unwrap()
}

fn denied(verdict: Verdict) -> Option<Code> {
    match verdict {
        Verdict::Allow(_) => None,
        Verdict::Deny(denied) => Some(denied.code),
    }
}

/// Shows REQ-KEYS-11.
#[test]
fn a_rotation_asks_nothing_of_anybody() {
    let site = Site::new();
    let key = SigningKey::generate();
    let old = site.enrol("ct-1", &key);
    let held = node(&site);
    hears(&held, &site);
    let (first, hub) = (site.authority.issuing(), site.authority.hub_identity().current().unwrap().credential());
    site.authority.publish_set().unwrap();
    rotate(&site);

    assert_eq!(states(&site), [KeyState::Former, KeyState::Current]);
    assert_eq!(site.authority.issuing().label, label(2));
    assert_ne!(site.authority.hub_identity().current().unwrap().credential(), hub, "the hub keeps its old credential");
    let new = site.enrol("ct-2", &SigningKey::generate());
    site.authority.publish_set().unwrap();
    // A node that was there before, and one that comes now, believe all, old and new.
    let fresh = node(&site);
    for node in [&held, &fresh] {
        hears(node, &site);
        for certificate in [&old, &new] {
            assert_eq!(denied(node.judge(&peer(node, &site, certificate), Operation::Read)), None);
        }
    }
    // What the hub gives out is by the new key, and by the old one nothing is left.
    let by = |kind| site.authority.news().current(kind).map(|object| by_key(&object.bytes)).unwrap();
    for kind in [Kind::Status, Kind::Policy, Kind::Routes, Kind::RevokedSet] {
        assert_eq!(by(kind), *site.authority.issuing().key.as_bytes(), "{kind}");
    }
    // The device renews with its old credential, and its new one is by the new key.
    let renewed = issued(site.renew(&old, &SigningKey::generate()));
    let keys = site.authority.keys();
    assert_eq!(keys.issuer_of(&renewed).unwrap().certificate.label, label(2));
    assert_eq!(keys.issuer_of(&old).unwrap().certificate.key, first.key);
    // Clients build chains of both from the hub's certificates.
    let labels: Vec<String> = site.authority.ca_certificates().iter().map(|one| one.label.to_string()).collect();
    assert_eq!(labels, ["issuing-2", "issuing", "root"]);
    // All of it stays after a start.
    let Site { authority, clock, dir } = site;
    drop(authority);
    let again = open(dir.path(), &clock);
    assert_eq!(*again.keys(), *keys);
}

/// Shows REQ-LIST-45: the listing says from when to when each key issued, also when it is retired or withdrawn.
#[test]
fn the_listing_of_keys_says_from_when_to_when_each_issued() {
    let site = Site::new();
    let listed = |site: &Site| -> Vec<_> {
        let Response::Keys { keys, .. } = site.ask(Request::Keys) else { panic!("no keys") };
        keys.into_iter().map(|key| (key.label, key.since.unwrap(), key.until)).collect()
    };
    // Certificates are dated back by five minutes.
    let begun = |der: &[u8]| {
        let certificate = medlock_trust::x509::Certificate::from_der(der).unwrap();
        certificate.not_before().plus_seconds(300).to_string()
    };
    let (first, root) = (begun(&site.authority.issuing().der), begun(&site.authority.root().der));
    site.clock.advance(3_600);
    let once = site.clock.now().to_string();
    rotate(&site);
    site.clock.advance(3_600);
    let twice = site.clock.now().to_string();
    site.ask(Request::ChangeKeys { change: KeyChange::Root, anyway: false, why: String::new() });
    let expected = [
        ("issuing", first, Some(once.clone())),
        ("issuing-2", once, Some(twice.clone())),
        ("issuing-3", twice.clone(), None),
        ("root", root, Some(twice)),
        ("root-2", begun(&site.authority.keys().roots()[1].certificate.der), None),
    ]
    .map(|(label, since, until)| (label.to_owned(), since, until));
    assert_eq!(listed(&site), expected);
    for change in ["retire issuing", "compromised issuing-2"] {
        site.clock.advance(3_600);
        site.ask(Request::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
    }
    assert_eq!(listed(&site)[..3], expected[..3], "what came later changes nothing of it");
}

/// Shows REQ-KEYS-98: a key issues until the answer of an offline root is accepted, and the next one since then, however long the root
/// was asked before.
#[test]
fn where_the_root_is_offline_a_key_issues_until_the_answer_is_accepted() {
    let (site, _kept, root_signer, root) = offline_site();
    let request = site.authority.request_root(KeyChange::Rotate, false).unwrap();
    let answer = RootAnswer::make(&request, &alone(&root), &root_signer).unwrap();
    site.clock.advance(2 * 86_400);
    site.authority.accept_root(&answer).unwrap();
    let accepted = site.clock.now().to_string();
    let Response::Keys { keys, .. } = site.ask(Request::Keys) else { panic!("no keys") };
    assert_eq!(keys[0].until.as_ref(), Some(&accepted));
    assert_eq!((keys[1].since.as_ref(), keys[1].until.as_ref()), (Some(&accepted), None));
}

pub(crate) fn by_key(object: &[u8]) -> [u8; 16] {
    medlock_trust::cose::Sign1::read(object).unwrap().key().try_into().unwrap()
}

/// Shows REQ-KEYS-13.
#[test]
fn a_key_retires_when_nothing_hangs_on_it() {
    let site = Site::new();
    let old = site.enrol("ct-1", &SigningKey::generate());
    let bond = bond(&site);
    let retire =
        |anyway| Request::ChangeKeys { change: "retire issuing-1".parse().unwrap(), anyway, why: String::new() };
    assert!(site.refuses(retire(false)).contains("rotate"), "the only key was retired");
    rotate(&site);
    let refused = site.refuses(retire(false));
    assert!(refused.contains("ct-1") && refused.contains("--anyway"), "{refused}");
    // The devices have renewed.
    let renewed = issued(site.renew(&old, &SigningKey::generate()));
    site.seen(&renewed);
    site.clock.advance(60);
    site.ask(retire(false));
    assert_eq!(states(&site), [KeyState::Retired, KeyState::Current]);
    assert!(site.refuses(retire(true)).contains("already"));
    let fresh = node(&site);
    hears(&fresh, &site);
    let list = site.authority.news().current(Kind::SiteList).unwrap();
    let list = List::danger_open(&list.bytes).unwrap();
    let former = site.authority.keys().key(label(1)).unwrap().certificate.clone();
    assert!(list.service(Purpose::Status, former.key.as_bytes()).is_none());
    // Bonds outlast the key that signed them.
    let bonds = list.service(Purpose::Bonds, former.key.as_bytes()).unwrap();
    assert_eq!(by_key(&bond), *former.key.as_bytes());
    assert!(bonds.signs_at(noon()) && !bonds.signs_at(site.clock.now().plus_seconds(1)));
    // Its credentials are what they were, and nothing speaks of their revocation any more.
    assert_eq!(denied(fresh.judge(&peer(&fresh, &site, &renewed), Operation::Read)), None);
}

/// Shows REQ-KEYS-46.
#[test]
fn where_the_roots_key_was_taken_to_a_safe_people_are_told_how_to_ask_it() {
    let Site { authority, clock, dir } = Site::new();
    drop(authority);
    std::fs::remove_file(dir.path().join("signer/root.key")).unwrap();
    let site = Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir };
    let refused =
        site.refuses(Request::ChangeKeys { change: "rotate".parse().unwrap(), anyway: false, why: String::new() });
    assert!(refused.contains("medlock authority request issuing --out"), "{refused}");
    assert_eq!(states(&site), [KeyState::Current]);
}

fn bond(site: &Site) -> Vec<u8> {
    for (name, role) in [("pump-1", "actuator"), ("control-1", "controller")] {
        let (ae_titles, sidecar) = (Vec::new(), None);
        site.ask(Request::Register {
            device: DeviceConfig { roles: vec![role.into()], ae_titles, sidecar, ..ct(name) },
        });
    }
    let (device, controller) = ("pump-1".to_owned(), "control-1".to_owned());
    let ask = Request::Bond { device, controller, patient: None, operations: vec!["treat".into()] };
    match site.ask(ask) {
        Response::Bond { bytes, .. } => data_encoding::BASE64.decode(bytes.as_bytes()).unwrap(),
        other => panic!("{other:?}"),
    }
}

/// Shows REQ-KEYS-26: a hub that stops between store and signer asks the signer at its next start.
#[test]
fn a_signer_that_was_away_when_a_key_was_retired_hears_of_it_at_the_next_start() {
    for change in ["retire issuing-1", "compromised issuing-1"] {
        let site = Site::new();
        rotate(&site);
        let keys = site.dir.path().join("signer");
        // A signer that cannot note it does not set the key aside either: that is where it stops.
        std::fs::create_dir(keys.join("retired.keys")).unwrap();
        let said =
            site.refuses(Request::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
        assert!(said.contains("retired.keys"), "{said}");
        assert!(!site.authority.keys().key(label(1)).unwrap().state.signs(), "the change itself is made");
        assert!(keys.join("issuing.key").exists());
        let Site { authority, clock, dir } = site;
        drop(authority);
        std::fs::remove_dir(keys.join("retired.keys")).unwrap();
        let site = Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir };
        assert!(!keys.join("issuing.key").exists());
        let signer = InProcess::open(&keys).unwrap();
        let refused = signer.public_key(KeyLabel::ISSUING).unwrap_err().to_string();
        assert!(refused.contains("retired"), "{refused}");
        site.enrol("ct-1", &SigningKey::generate());
    }
}

/// What somebody makes who has copied the issuing key and its passphrase: credentials and objects that look like the site's.
pub(crate) fn thief(site: &Site) -> Site {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("signer")).unwrap();
    for file in ["issuing.key", "passphrase"] {
        let (from, to) = (site.dir.path().join("signer").join(file), dir.path().join("signer").join(file));
        std::fs::copy(from, to).unwrap();
    }
    // Ours begins nothing with keys that are there; who has stolen one does not ask.
    SqlStore::sqlite(&dir.path().join(DATABASE)).unwrap().set_once("name", site.authority.name()).unwrap();
    Site { authority: Arc::new(open(dir.path(), &site.clock)), clock: site.clock.clone(), dir }
}

/// Shows REQ-KEYS-14, REQ-KEYS-45.
#[test]
fn a_stolen_key_is_withdrawn_and_devices_come_back_with_what_they_have() {
    let site = Site::new();
    let keys = [1, 2, 3].map(|_| SigningKey::generate());
    let olds = [("ct-1", &keys[0]), ("ct-2", &keys[1]), ("ct-3", &keys[2])].map(|(name, key)| site.enrol(name, key));
    site.ask(Request::Suspend { device: "ct-3".into(), why: "test".into() });
    let node = node(&site);
    hears(&node, &site);
    let hub = |site: &Site| site.authority.hub_identity().current().unwrap();
    let thief = thief(&site);
    let forged = thief.enrol("ct-9", &SigningKey::generate());
    let verdict = |certificate: &[u8], operation| denied(node.judge(&peer(&node, &site, certificate), operation));
    assert_eq!(verdict(&forged, Operation::Store), None, "nobody knows of the theft yet");

    // The thief gives a node a status list beyond all that the site could ever make.
    let last = Heading {
        authority: site.authority.root().key,
        recovery_epoch: 0,
        epoch: u64::MAX,
        issued: site.clock.now(),
        next: site.clock.now().plus_seconds(60),
    };
    let signer = InProcess::open(&thief.dir.path().join("signer")).unwrap();
    let poison = status_list(&signer, &site.authority.issuing(), last, &[]).unwrap();
    let poisoned = self::node(&site);
    hears(&poisoned, &site);
    poisoned.accept(Kind::Status, &poison).unwrap();

    let before = node.version(Kind::Status);
    site.ask(Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() });
    // Also to that node the site is heard again, as soon as the stolen key has left its list.
    hears(&poisoned, &site);
    let taken = peer(&poisoned, &site, &olds[0]);
    assert_eq!(denied(poisoned.judge(&taken, Operation::Store)), Some(Code::IssuerCompromised));
    assert_eq!(states(&site), [KeyState::Compromised, KeyState::Current]);
    assert!(site.alarms().contains(&"issuing-key-compromised".to_owned()));
    hears(&node, &site);
    assert!(node.version(Kind::Status) > before);
    // Whatever the key has signed is refused, whenever it says it was.
    for operation in Operation::ALL {
        for certificate in [&forged, &olds[0]] {
            assert_eq!(verdict(certificate, operation), Some(Code::IssuerCompromised), "{operation:?}");
        }
    }
    for kind in [Kind::Status, Kind::Policy, Kind::Routes] {
        let object = thief.authority.news().current(kind).unwrap().bytes;
        assert!(node.accept(kind, &object).is_err(), "{kind} by the stolen key");
        assert_eq!(
            by_key(&site.authority.news().current(kind).unwrap().bytes),
            *site.authority.issuing().key.as_bytes()
        );
    }
    // The hub is believed with its new credential.
    let own = node.identify(hub(&site).chain()).unwrap();
    assert_eq!(denied(node.judge(&own, Operation::Read)), None);
    // A device comes back with what it has, once its hub sees that it has issued that; the thief's do not.
    let renewed = issued(site.renew(&olds[0], &SigningKey::generate()));
    assert_eq!(verdict(&renewed, Operation::Store), None);
    assert_eq!(site.authority.keys().issuer_of(&renewed).unwrap().certificate.label, label(2));
    let (kind, reason) = refused(site.renew(&forged, &SigningKey::generate()));
    assert!(kind == RefusalKind::NeedsCode && reason.contains("does not know this credential"), "{reason}");
    let (_, reason) = refused(site.renew(&olds[2], &SigningKey::generate()));
    assert!(reason.contains("suspended"), "{reason}");
    assert_eq!(site.state("ct-2"), ("must-renew".into(), vec!["issuer-compromised".into()]));
    assert!(site.authority.ticket(credential(&olds[1]), &[7; 16]).unwrap().is_some());
    // With the credential it came with, nobody comes a second time with another key.
    let (_, reason) = refused(site.renew(&olds[0], &SigningKey::generate()));
    assert!(reason.contains("another key"), "{reason}");
    // A second theft, of the key that took over, is dealt with in the same way.
    site.ask(Request::ChangeKeys {
        change: "compromised issuing-2".parse().unwrap(),
        anyway: false,
        why: String::new(),
    });
    assert_eq!(states(&site), [KeyState::Compromised, KeyState::Compromised, KeyState::Current]);
    let again = site.refuses(Request::ChangeKeys {
        change: "compromised issuing".parse().unwrap(),
        anyway: false,
        why: String::new(),
    });
    assert!(again.contains("already"), "{again}");
    hears(&node, &site);
    assert_eq!(verdict(&renewed, Operation::Store), Some(Code::IssuerCompromised));
}

/// A root that is kept elsewhere: its key, opened by two persons, and its certificate.
fn safe(organization: &str) -> (tempfile::TempDir, InProcess, AuthorityCertificate) {
    let dir = tempfile::tempdir().unwrap();
    let halves = ["what Anna knows", "what Ben knows"];
    let signer = InProcess::open_with_halves(&dir.path().join("keys"), halves).unwrap();
    let der = make_root(&AuthorityConfig::site(dir.path(), organization), noon(), &signer).unwrap();
    (dir, signer, AuthorityCertificate::read(KeyLabel::ROOT, der).unwrap())
}

/// Shows REQ-KEYS-16, REQ-KEYS-17.
#[test]
fn a_root_that_is_offline_signs_files_and_never_comes_to_the_hub() {
    let (kept, root_signer, root) = safe("Sankt Anna");
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(noon()));
    let config = AuthorityConfig { root: RootPlace::Offline, ..config(dir.path()) };
    let signer: Arc<dyn Signer> = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let open = || Authority::open(&config, clock.clone(), signer.clone());
    assert!(open().unwrap_err().to_string().contains("make-root"));
    let (_other_dir, other_signer, other) = safe("Another");
    let begin = |root: &AuthorityCertificate| Authority::begin(&config, &clock, &signer, &root.der);
    assert!(begin(&other).unwrap_err().to_string().contains("not called"));
    let request = begin(&root).unwrap();
    assert!(open().unwrap_err().to_string().contains("accept"), "it cannot be opened before the root has answered");
    let shown = RootRequest::read(&request).unwrap().to_string();
    assert!(shown.contains("Sankt Anna") && shown.contains("rotate") && shown.contains("version 1"), "{shown}");

    // Another root does not sign it, and no byte of request or answer can be another.
    let error = RootAnswer::make(&request, &alone(&other), &other_signer).unwrap_err().to_string();
    assert!(error.contains("asks the root"), "{error}");
    let answer = RootAnswer::make(&request, &alone(&root), &root_signer).unwrap();
    for at in (0..request.len()).step_by(7) {
        let mut changed = request.clone();
        changed[at] ^= 1;
        assert!(RootAnswer::make(&changed, &alone(&root), &root_signer).is_err(), "byte {at} of the request");
    }
    for at in (0..answer.len()).step_by(7) {
        let mut changed = answer.clone();
        changed[at] ^= 1;
        assert!(RootAnswer::read(&changed, only(&root)).is_err(), "byte {at} of the answer");
    }
    assert!(Authority::finish(&config, &clock, &signer, &request).is_err());
    assert!(Authority::finish(&config, &clock, &signer, &answer).unwrap());
    assert!(!Authority::finish(&config, &clock, &signer, &answer).unwrap(), "it was taken in before");
    let authority = Arc::new(open().unwrap());
    let site = Site { authority, clock: clock.clone(), dir };
    let old = site.enrol("ct-1", &SigningKey::generate());
    assert_eq!(signer.public_key(KeyLabel::ROOT).unwrap(), None, "a root was made at the hub");

    // Later changes travel in the same way.
    let refused = site.refuses(Request::ChangeKeys { change: KeyChange::Rotate, anyway: false, why: String::new() });
    assert!(refused.contains("offline") && refused.contains("medlock authority request"), "{refused}");
    let ask = || match site.ask(Request::RequestRoot { change: KeyChange::Rotate, anyway: false }) {
        Response::RootRequest { bytes } => data_encoding::BASE64.decode(bytes.as_bytes()).unwrap(),
        other => panic!("{other:?}"),
    };
    let (one, two) = (ask(), ask());
    let answered =
        |request: &[u8]| data_encoding::BASE64.encode(&RootAnswer::make(request, &alone(&root), &root_signer).unwrap());
    site.ask(Request::AcceptRoot { answer: answered(&one) });
    assert_eq!(site.authority.issuing().label, label(2));
    for request in [&one, &two] {
        let stale = site.refuses(Request::AcceptRoot { answer: answered(request) });
        assert!(stale.contains("changed since"), "{stale}");
    }
    let node = node(&site);
    hears(&node, &site);
    for certificate in [&old, &site.enrol("ct-2", &SigningKey::generate())] {
        assert_eq!(denied(node.judge(&peer(&node, &site, certificate), Operation::Read)), None);
    }
    // One person alone does not open the key.
    for halves in [["what Anna knows", "what Anna knows"], ["what Ben knows", "what Anna knows"]] {
        let one_alone = InProcess::open_with_halves(&kept.path().join("keys"), halves).unwrap();
        assert!(RootAnswer::make(&one, &alone(&root), &one_alone).is_err());
    }
    assert!(InProcess::open_with_halves(&kept.path().join("keys"), ["", "what Anna and Ben know"]).is_err());
}

/// A site whose root is elsewhere: where that is kept, its signer and certificate.
pub(crate) fn offline_site() -> (Site, tempfile::TempDir, InProcess, AuthorityCertificate) {
    let (kept, root_signer, root) = safe("Sankt Anna");
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(noon()));
    let config = AuthorityConfig { root: RootPlace::Offline, ..config(dir.path()) };
    let signer: Arc<dyn Signer> = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let request = Authority::begin(&config, &clock, &signer, &root.der).unwrap();
    let answer = RootAnswer::make(&request, &alone(&root), &root_signer).unwrap();
    assert!(Authority::finish(&config, &clock, &signer, &answer).unwrap());
    let authority = Arc::new(Authority::open(&config, clock.clone(), signer).unwrap());
    (Site { authority, clock, dir }, kept, root_signer, root)
}

/// Shows REQ-KEYS-28.
#[test]
fn a_root_at_hand_renews_its_revocation_list_in_time() {
    let site = Site::new();
    let list = || site.authority.root_crl().unwrap().unwrap();
    let first = list();
    for (days, anew) in [(14, false), (2, true), (14, false), (2, true)] {
        let before = list();
        site.clock.advance(days * 86_400);
        site.authority.tick().unwrap();
        assert_eq!(list() != before, anew, "after {days} more days");
    }
    // It is there in a store that knows nothing of it, as one of an earlier version, and says what it must.
    site.ask(Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() });
    assert!(list().len() > first.len());
    let signer = InProcess::open(&site.dir.path().join("signer")).unwrap();
    // The root signs nothing that only an issuing key's list has: another state than the compromise of a key.
    site.enrol("ct-1", &SigningKey::generate());
    site.ask(Request::Suspend { device: "ct-1".into(), why: "test".into() });
    let issued = site.authority.crl().unwrap();
    let tbs =
        |list: &[u8]| medlock_trust::der::Reader::new(list).nested(0x30).unwrap().element().unwrap().encoding.to_vec();
    assert!(signer.sign(KeyLabel::ROOT, SignedKind::Crl, &tbs(&issued)).is_err());
    signer.sign(KeyLabel::ROOT, SignedKind::Crl, &tbs(&list())).unwrap();
}

/// Shows REQ-KEYS-29.
#[test]
fn an_offline_root_signs_its_revocation_list_with_what_it_is_asked() {
    let (site, _kept, root_signer, root) = offline_site();
    let list = || site.authority.root_crl().unwrap().unwrap();
    let ask = |change: KeyChange| match site.ask(Request::RequestRoot { change, anyway: false }) {
        Response::RootRequest { bytes } => data_encoding::BASE64.decode(bytes.as_bytes()).unwrap(),
        other => panic!("{other:?}"),
    };
    let accept = |request: &[u8]| {
        let answer = RootAnswer::make(request, &alone(&root), &root_signer).unwrap();
        site.ask(Request::AcceptRoot { answer: data_encoding::BASE64.encode(&answer) });
    };
    // A year without one, and people are told.
    let first = list();
    site.clock.advance(300 * 86_400);
    site.authority.tick().unwrap();
    assert!(!site.alarms().contains(&"root-crl-due".to_owned()));
    site.clock.advance(50 * 86_400);
    site.authority.tick().unwrap();
    assert!(site.alarms().contains(&"root-crl-due".to_owned()));
    let (request, stale) = (ask(KeyChange::RootCrl), ask(KeyChange::RootCrl));
    let shown = RootRequest::read(&request).unwrap().to_string();
    assert!(shown.contains("root-crl") && shown.contains("revocations") && !shown.contains("may sign"), "{shown}");
    accept(&request);
    accept(&stale);
    assert_ne!(list(), first);
    assert_eq!(states(&site), [KeyState::Current], "nothing else is changed");
    // With the withdrawal of a key comes the list that says so, and people see it.
    let request = ask(KeyChange::Compromised(KeyLabel::ISSUING));
    let shown = RootRequest::read(&request).unwrap().to_string();
    assert!(shown.contains("revoked     certificate"), "{shown}");
    let before = list();
    accept(&request);
    assert!(list().len() > before.len());
    // Another root's list is none of ours.
    let (_dir, other_signer, other) = safe("Another");
    assert!(RootAnswer::make(&ask(KeyChange::RootCrl), &alone(&other), &other_signer).is_err());
}

/// Shows REQ-KEYS-18.
#[test]
fn a_change_of_keys_that_was_cut_off_is_finished_by_the_same_answer() {
    let site = Site::new();
    let old = site.enrol("ct-1", &SigningKey::generate());
    let request = site.authority.request_root(KeyChange::Rotate, false).unwrap();
    let root_signer = InProcess::open(&site.dir.path().join("signer")).unwrap();
    let answer = RootAnswer::make(&request, &alone(&site.authority.root()), &root_signer).unwrap();
    // The process ended when the list of the root was published, and nothing of the rest was done.
    let list = RootAnswer::read(&answer, only(&site.authority.root())).unwrap().list.unwrap();
    let version = List::danger_open(&list).unwrap().heading().version;
    let Site { authority, clock, dir } = site;
    drop(authority);
    let store = SqlStore::sqlite(&dir.path().join("authority.sqlite")).unwrap();
    store.publish("site-list", Published { version, at: clock.now(), bytes: list }).unwrap();
    drop(store);
    let site = Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir };
    assert_eq!(site.authority.issuing().label, label(1), "it goes on with the key it had");
    site.enrol("ct-2", &SigningKey::generate());
    let again = site.authority.request_root(KeyChange::Rotate, false).unwrap();
    let asked = |request: &[u8]| RootRequest::read(request).unwrap();
    assert_eq!(asked(&again).spki, asked(&request).spki, "the key that was made is used");
    site.authority
        .accept_root(&RootAnswer::make(&again, &alone(&site.authority.root()), &root_signer).unwrap())
        .unwrap();
    assert_eq!(states(&site), [KeyState::Former, KeyState::Current]);
    let node = node(&site);
    hears(&node, &site);
    assert_eq!(denied(node.judge(&peer(&node, &site, &old), Operation::Read)), None);
}

/// Shows REQ-KEYS-99: a withdrawal of which nothing but the list of keys was written is finished by the next tick, without another start.
#[test]
fn a_withdrawal_that_was_cut_off_is_finished_by_the_next_tick() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Clock::manual(noon());
    drop(open(dir.path(), &clock));
    let (site, stopping) = stopping(&config(dir.path()), &clock, false);
    let compromised = || site.keys().key(label(1)).unwrap().state == KeyState::Compromised;
    for steps in 0.. {
        assert!(steps < 100, "the key is not withdrawn");
        stopping.after_steps(steps);
        let cut = site.change_keys(KeyChange::Compromised(label(1)), true);
        stopping.after_steps(i64::MAX);
        if compromised() {
            cut.unwrap_err();
            break;
        }
    }
    let signed_by = || by_key(&site.news().current(Kind::Status).unwrap().bytes);
    assert_ne!(signed_by(), *site.issuing().key.as_bytes(), "nothing was cut off");
    site.tick().unwrap();
    assert_eq!(signed_by(), *site.issuing().key.as_bytes());
}

/// Shows REQ-KEYS-11, REQ-KEYS-13: a maker's keys change too, and need its root for a new one alone.
#[test]
fn a_maker_changes_its_keys_as_well() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(noon()));
    let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let config = AuthorityConfig::maker(dir.path(), "Pump Works");
    let site = Site { authority: Arc::new(Authority::open(&config, clock.clone(), signer).unwrap()), clock, dir };
    rotate(&site);
    std::fs::rename(site.dir.path().join("signer/root.key"), site.dir.path().join("root.key")).unwrap();
    let retire = |anyway| Request::ChangeKeys { change: KeyChange::Retire(label(1)), anyway, why: String::new() };
    assert!(site.refuses(retire(false)).contains("never expire"));
    site.ask(retire(true));
    assert_eq!(states(&site), [KeyState::Retired, KeyState::Current]);
    site.ask(Request::ChangeKeys { change: KeyChange::Compromised(label(1)), anyway: false, why: String::new() });
    assert_eq!(states(&site), [KeyState::Compromised, KeyState::Current]);
}
