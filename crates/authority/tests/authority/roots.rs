//! A root takes the place of another: nobody has to be told, whoever was away catches up, and the old one can be retired.

use crate::crash::stopping;
use crate::fixture::{Site, config, issued, noon, open};
use medlock_authority::admin::{Reason, Request};
use medlock_authority::keys::{AuthorityCertificate, KeyState, RootKey};
use medlock_authority::objects::Kind;
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::root_request::{RootAnswer, RootRequest};
use medlock_authority::signer::{InProcess, KeyLabel, KeyRole, Signer as _};
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::knowledge::{KnowledgeBase, Refused};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::decide::Code;
use medlock_trust::list::{self, List};
use medlock_trust::path::AuthorityKind;
use medlock_trust::policy::Setting;
use medlock_trust::x509::Certificate;
use medlock_trust::{Anchor, Budget, Operation, Role, Verdict, authenticate};
use std::path::Path;
use std::sync::Arc;

fn change(site: &Site, change: &str, anyway: bool) {
    site.ask(Request::ChangeKeys { change: change.parse().unwrap(), anyway, why: String::new() });
}

fn node(site: &Site) -> Arc<KnowledgeBase> {
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    node
}

/// The node takes all that the hub gives out, site lists that it has missed first; says how many those were.
fn catches_up(node: &KnowledgeBase, authority: &Authority) -> usize {
    let mut missed = 0;
    while let Some(list) = authority.missed_site_list(node.version(Kind::SiteList).unwrap_or(0)) {
        node.accept(Kind::SiteList, &list).unwrap_or_else(|refused| panic!("a missed list: {refused}"));
        missed += 1;
    }
    for kind in Kind::ALL {
        if let Some(object) = authority.news().current(kind) {
            node.accept(kind, &object.bytes).unwrap_or_else(|refused| panic!("{kind}: {refused}"));
        }
    }
    missed
}

/// What the holder of a certificate shows: what stands above the hub's own where the same key has issued it, else its issuer.
fn chain(authority: &Authority, certificate: &[u8]) -> Vec<Vec<u8>> {
    let keys = authority.keys();
    let issuer = keys.issuer_of(certificate).unwrap().certificate.clone();
    let hub = authority.hub_identity().current().unwrap();
    let above: Vec<Vec<u8>> = hub.chain()[1..].iter().map(|der| der.to_vec()).collect();
    if issuer.key == authority.issuing().key {
        [vec![certificate.to_vec()], above].concat()
    } else {
        vec![certificate.to_vec(), issuer.der.clone()]
    }
}

/// Why it is denied, or what storing is marked with.
fn denied(node: &KnowledgeBase, authority: &Authority, certificate: &[u8], operation: Operation) -> Option<Code> {
    let chain: Vec<_> = chain(authority, certificate).into_iter().map(Into::into).collect();
    let who = node.identify(&chain).unwrap();
    match node.judge(&who, operation) {
        Verdict::Allow(permit) => permit.mark().filter(|_| operation == Operation::Store),
        Verdict::Deny(denied) => Some(denied.code),
    }
}

fn root(number: u16) -> KeyLabel {
    KeyLabel::new(KeyRole::Root, number).unwrap()
}

fn roots(authority: &Authority) -> Vec<KeyState> {
    authority.keys().roots().iter().map(|root| root.state).collect()
}

/// Shows REQ-KEYS-60, REQ-KEYS-61, REQ-KEYS-62, REQ-TRUST-39.
#[test]
fn a_root_takes_the_place_of_another_and_nobody_is_lost() {
    let site = Site::new();
    let old = site.enrol("ct-1", &SigningKey::generate());
    let stolen = site.enrol("ct-2", &SigningKey::generate());
    site.ask(Request::Revoke { device: "ct-2".into(), reason: Reason::KeyCompromise, why: "test".into() });
    let (held, away) = (node(&site), node(&site));
    for node in [&held, &away] {
        catches_up(node, &site.authority);
    }
    let first = site.authority.root();
    change(&site, "root", false);

    assert_eq!(roots(&site.authority), [KeyState::Former, KeyState::Current]);
    assert_eq!(site.authority.root().key, first.key, "the site speaks in the name of the old one until it is retired");
    assert!(
        site.refuses(Request::ChangeKeys { change: "root".parse().unwrap(), anyway: false, why: String::new() })
            .contains("retire root")
    );
    let new = site.enrol("ct-3", &SigningKey::generate());
    catches_up(&held, &site.authority);
    let fresh = node(&site);
    catches_up(&fresh, &site.authority);
    // Those who were there, who come now, and who know nothing of it, believe the old and the new.
    for node in [&held, &away, &fresh] {
        for certificate in [&old, &new] {
            assert_eq!(denied(node, &site.authority, certificate, Operation::Store), None);
        }
        assert_eq!(denied(node, &site.authority, &stolen, Operation::Read), Some(Code::Compromised));
        node.identify(site.authority.hub_identity().current().unwrap().chain()).unwrap();
    }
    // It cannot go while somebody hangs on it.
    let retire = |anyway| Request::ChangeKeys { change: "retire root".parse().unwrap(), anyway, why: String::new() };
    let said = site.refuses(retire(false));
    assert!(said.contains("ct-1") && said.contains("--anyway"), "{said}");
    let renewed = issued(site.renew(&old, &SigningKey::generate()));
    site.seen(&renewed);
    site.clock.advance(60);
    site.ask(retire(false));

    assert_eq!(roots(&site.authority), [KeyState::Retired, KeyState::Current]);
    assert_eq!(site.authority.root().label, root(2));
    let list = site.authority.news().current(Kind::SiteList).unwrap();
    let list = List::danger_open(&list.bytes).unwrap();
    assert!(list.member(first.key).is_none() && list.member(site.authority.root().key).is_some());
    // Who takes the list alone, and not the status behind it, has not forgotten what it knew.
    held.accept(Kind::SiteList, &site.authority.news().current(Kind::SiteList).unwrap().bytes).unwrap();
    let stale = |certificate| denied(&held, &site.authority, certificate, Operation::Read);
    assert_eq!(stale(&stolen), Some(Code::Compromised));
    // One that was away all the time takes one list more.
    let refused = away.accept(Kind::SiteList, list_bytes(&site)).unwrap_err();
    assert!(matches!(refused, Refused::List(list::Refused::TooFewSignatures { .. })), "{refused}");
    assert_eq!((catches_up(&held, &site.authority), catches_up(&away, &site.authority)), (0, 1));
    let fresh = node(&site);
    catches_up(&fresh, &site.authority);
    for node in [&held, &away, &fresh] {
        for certificate in [&new, &renewed] {
            assert_eq!(denied(node, &site.authority, certificate, Operation::Store), None);
        }
        // What the old one vouched for is marked and may renew, and what was known against it stays known.
        assert_eq!(denied(node, &site.authority, &old, Operation::Renew), Some(Code::Superseded));
        assert_eq!(denied(node, &site.authority, &stolen, Operation::Renew), Some(Code::Compromised));
        node.identify(site.authority.hub_identity().current().unwrap().chain()).unwrap();
    }
    let again = issued(site.renew(&renewed, &SigningKey::generate()));
    assert_eq!(denied(&away, &site.authority, &again, Operation::Store), None);
    // All of it stays after a start, also when the old key is gone for good.
    let keys = site.authority.keys();
    let Site { authority, clock, dir } = site;
    drop(authority);
    std::fs::remove_file(dir.path().join("signer/root.key")).unwrap();
    let site = Site { authority: Arc::new(open(dir.path(), &clock)), clock, dir };
    assert_eq!(*site.authority.keys(), *keys);
    change(&site, "rotate", false);
    catches_up(&away, &site.authority);
    assert_eq!(denied(&away, &site.authority, &again, Operation::Store), None);
}

/// Shows REQ-KEYS-72: after each object of a retirement.
#[test]
fn a_node_that_stops_between_two_objects_of_a_retirement_starts_again() {
    let site = Site::new();
    let good = site.enrol("ct-1", &SigningKey::generate());
    let stolen = site.enrol("ct-2", &SigningKey::generate());
    site.ask(Request::Revoke { device: "ct-2".into(), reason: Reason::KeyCompromise, why: "test".into() });
    let folder = tempfile::tempdir().unwrap();
    let start = || KnowledgeBase::open(folder.path(), site.clock.clone(), Setting::Hospital).unwrap();
    let node = start();
    node.pin_root(&site.authority.root().der).unwrap();
    catches_up(&node, &site.authority);
    change(&site, "root", false);
    catches_up(&node, &site.authority);
    change(&site, "retire root", true);
    drop(node);
    for kind in Kind::ALL {
        let node = start();
        if let Some(object) = site.authority.news().current(kind) {
            node.accept(kind, &object.bytes).unwrap_or_else(|refused| panic!("{kind}: {refused}"));
        }
        drop(node);
        let again = start();
        assert_eq!(denied(&again, &site.authority, &stolen, Operation::Read), Some(Code::Compromised), "{kind}");
    }
    let node = start();
    catches_up(&node, &site.authority);
    assert_eq!(denied(&node, &site.authority, &good, Operation::Renew), None);
}

fn list_bytes(site: &Site) -> &'static [u8] {
    Box::leak(site.authority.news().current(Kind::SiteList).unwrap().bytes.to_vec().into_boxed_slice())
}

/// Shows REQ-KEYS-63, REQ-TRUST-40.
#[test]
fn who_was_away_for_five_roots_catches_up_in_as_many_steps() {
    let site = Site::new();
    let old = site.enrol("ct-1", &SigningKey::generate());
    let away = node(&site);
    catches_up(&away, &site.authority);
    for number in 1..=5 {
        change(&site, "root", false);
        change(&site, &format!("retire {}", root(number)), true);
        site.clock.advance(3_600);
    }
    assert_eq!(site.authority.root().label, root(6));
    // It finds the hub as it is, with what it knows.
    away.identify(site.authority.hub_identity().current().unwrap().chain()).unwrap();
    assert_eq!(catches_up(&away, &site.authority), 5);
    away.identify(site.authority.hub_identity().current().unwrap().chain()).unwrap();
    // Its own credential is good for renewal, here and at its hub, and not for commands.
    assert_eq!(denied(&away, &site.authority, &old, Operation::Renew), None);
    assert_eq!(denied(&away, &site.authority, &old, Operation::Store), Some(Code::IssuerRetired));
    let renewed = issued(site.renew(&old, &SigningKey::generate()));
    assert_eq!(denied(&away, &site.authority, &renewed, Operation::Store), None);
}

/// Shows REQ-KEYS-64: wherever it is cut off, the next start goes on.
#[test]
fn a_rotation_of_the_root_that_is_cut_off_goes_on_at_the_next_start() {
    let (whole_site, clock) = (tempfile::tempdir().unwrap(), Clock::manual(noon()));
    drop(open(whole_site.path(), &clock));
    // Each step is left out once; every third is done and not acknowledged.
    let (mut steps, mut gone_on) = (0, 0);
    for (left, after) in
        (0..200).flat_map(|left| [(left, false), (left, true)]).filter(|(left, after)| !after || left % 3 == 0)
    {
        let dir = tempfile::tempdir().unwrap();
        copy(whole_site.path(), dir.path());
        let stopped = cut_off(dir.path(), &clock, left, after);
        let authority = open(dir.path(), &clock);
        let whole = authority.keys().roots().len() == 2;
        gone_on += usize::from(whole && stopped);
        let list = authority.news().current(Kind::SiteList).unwrap();
        let list = List::danger_open(&list.bytes).unwrap();
        assert_eq!(list.members().count(), if whole { 2 } else { 1 }, "{left} {after}: list and keys say the same");
        assert!(list.services().any(|service| service.key == authority.issuing().key), "{left} {after}");
        if !whole {
            authority.change_keys("root".parse().unwrap(), false).unwrap();
        }
        assert_eq!(roots(&authority), [KeyState::Former, KeyState::Current], "{left} {after}");
        if !stopped {
            break;
        }
        steps += 1;
    }
    assert!((20..300).contains(&steps) && gone_on > 10, "{steps} steps, {gone_on} gone on");
}

fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            std::fs::create_dir(&to).unwrap();
            copy(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Rotates the root with a store and a signer that stop after so many steps; says whether they did.
fn cut_off(dir: &Path, clock: &Clock, left: i64, after: bool) -> bool {
    let (authority, stopping) = stopping(&config(dir), clock, after);
    stopping.after_steps(left);
    let _ = authority.change_keys("root".parse().unwrap(), false);
    stopping.has_stopped()
}

/// Shows REQ-KEYS-65.
#[test]
fn who_has_an_issuing_key_introduces_no_root() {
    let site = Site::new();
    let node = node(&site);
    catches_up(&node, &site.authority);
    let thief = crate::rotation::thief(&site);
    // The thief's hub has a root of its own, of the same name, and changes it by its own list and answer.
    change(&thief, "root", false);
    assert_eq!(thief.authority.root().subject, site.authority.root().subject);
    let list = thief.authority.news().current(Kind::SiteList).unwrap();
    node.accept(Kind::SiteList, &list.bytes).unwrap_err();
    let kept = thief.authority.missed_site_list(0).unwrap();
    node.accept(Kind::SiteList, &kept).unwrap_err();
    let forged = thief.enrol("ct-9", &SigningKey::generate());
    let shown: Vec<_> = chain(&thief.authority, &forged).into_iter().map(Into::into).collect();
    node.identify(&shown).unwrap_err();
    // It asks with the key that it has; what its own root has answered is none of our root's.
    change(&thief, "retire root", true);
    let request = thief.authority.request_root("rotate".parse().unwrap(), false).unwrap();
    let signer = InProcess::open(&thief.dir.path().join("signer")).unwrap();
    let keys = thief.authority.keys();
    let answer = RootAnswer::make(&request, keys.roots(), &signer).unwrap();
    let said = site.authority.accept_root(&answer).unwrap_err().to_string();
    assert!(said.contains("another root"), "{said}");
    assert_eq!(roots(&site.authority), [KeyState::Current]);
}

/// Shows REQ-KEYS-66: a root cannot withdraw itself, and people are told what to do.
#[test]
fn a_stolen_root_is_answered_with_what_to_do() {
    let site = Site::new();
    let said = site.refuses(Request::ChangeKeys {
        change: "compromised root".parse().unwrap(),
        anyway: false,
        why: String::new(),
    });
    assert!(said.contains("no root can withdraw itself") && said.contains("new site"), "{said}");
    assert!(
        site.refuses(Request::ChangeKeys {
            change: "retire root-1".parse().unwrap(),
            anyway: true,
            why: String::new()
        })
        .contains("rotate root")
    );
    assert_eq!(roots(&site.authority), [KeyState::Current]);
}

/// Shows REQ-KEYS-69: a root that is offline makes its successor where it is.
#[test]
fn an_offline_root_is_replaced_by_one_file_and_its_answer() {
    let (site, _kept, signer, first) = crate::rotation::offline_site();
    let old = site.enrol("ct-1", &SigningKey::generate());
    let away = node(&site);
    catches_up(&away, &site.authority);
    let ask = |change: &str| site.authority.request_root(change.parse().unwrap(), true).unwrap();
    let request = ask("root");
    let shown = RootRequest::read(&request).unwrap().to_string();
    assert!(shown.contains("change        root") && shown.contains("takes its place"), "{shown}");
    let answer = RootAnswer::make(&request, &[RootKey::first(first.clone())], &signer).unwrap();
    let stranger = InProcess::open(&site.dir.path().join("signer")).unwrap();
    assert!(stranger.public_key(root(2)).unwrap().is_none(), "the new root's key never comes to the hub");
    for at in (0..answer.len()).step_by(answer.len() / 61) {
        let mut changed = answer.clone();
        changed[at] ^= 1;
        assert!(RootAnswer::read(&changed, std::slice::from_ref(&first)).is_err(), "byte {at} of the answer");
    }
    site.authority.accept_root(&answer).unwrap();
    assert_eq!(roots(&site.authority), [KeyState::Former, KeyState::Current]);
    let second = RootAnswer::read(&answer, std::slice::from_ref(&first)).unwrap().root.unwrap().certificate;
    let new = site.enrol("ct-2", &SigningKey::generate());
    for certificate in [&old, &new] {
        assert_eq!(denied(&away, &site.authority, certificate, Operation::Store), None);
    }
    // What follows is asked of the new one, which knows both.
    let known = [RootKey::former(first), RootKey::first(second)];
    for change in ["issuing", "retire root"] {
        let answer = RootAnswer::make(&ask(change), &known, &signer).unwrap();
        site.authority.accept_root(&answer).unwrap();
    }
    assert_eq!(roots(&site.authority), [KeyState::Retired, KeyState::Current]);
    assert!(
        RootAnswer::make(&ask("issuing"), &known[1..], &signer).is_err(),
        "a root that is not here is not vouched for"
    );
    assert_eq!(catches_up(&away, &site.authority), 1);
    assert_eq!(denied(&away, &site.authority, &new, Operation::Store), None);
}

/// Shows REQ-KEYS-70: birth credentials below a maker's old root stay what they are, and those below the new one are believed
/// by who knows either.
#[test]
fn a_maker_replaces_its_root_and_no_birth_credential_is_lost() {
    let (dir, clock) = (tempfile::tempdir().unwrap(), Clock::manual(noon()));
    let config = AuthorityConfig::maker(dir.path(), "Pump Works");
    let signer = Arc::new(InProcess::open(&dir.path().join("signer")).unwrap());
    let maker = Authority::open(&config, clock, signer).unwrap();
    let birth = |serial: &str| {
        let material = data_encoding::BASE64.encode(SigningKey::generate().spki());
        let profile = BirthProfileConfig { roles: vec!["actuator".into()], ..BirthProfileConfig::default() };
        maker.provision_one(profile, Row { serial: Some(serial.into()), material, ..Row::default() }).unwrap()
    };
    let (first, old) = (maker.root(), birth("P-1"));
    maker.change_keys("root".parse().unwrap(), false).unwrap();
    let new = birth("P-2");
    let second = maker.keys().roots()[1].certificate.clone();
    let under = |root: &AuthorityCertificate, chain: &[Vec<u8>]| {
        let root = Certificate::from_der(&root.der).unwrap();
        let anchor = Anchor::for_everything(&root, AuthorityKind::Maker, &AwsLc).unwrap();
        let chain: Vec<&[u8]> = chain.iter().map(Vec::as_slice).collect();
        authenticate(&chain, &[anchor], &mut Budget::default(), &AwsLc).is_ok()
    };
    assert!(under(&first, &old) && under(&first, &new) && under(&second, &new));
    let said = maker.change_keys("retire root".parse().unwrap(), false).unwrap_err().to_string();
    assert!(said.contains("never expire"), "{said}");
    maker.change_keys("retire root".parse().unwrap(), true).unwrap();
    assert_eq!(maker.root().key, second.key);
    assert!(under(&first, &old) && under(&first, &birth("P-3")) && under(&second, &birth("P-4")));
}

/// Shows REQ-KEYS-79: whoever has a retired root and sets the date back gets no hub and no credential that outlasts those that
/// were given.
#[test]
fn a_retired_root_makes_no_hub_and_nothing_that_lasts() {
    let site = Site::new();
    let old = site.enrol("ct-1", &SigningKey::generate());
    let end = Certificate::from_der(&old).unwrap().not_after();
    let node = node(&site);
    catches_up(&node, &site.authority);
    let hub = |authority: &Authority| authority.hub_identity().current().unwrap().chain().to_vec();
    let shown = hub(&site.authority);
    change(&site, "root", false);
    let said = site.authority.keys();
    change(&site, "retire root", true);
    catches_up(&node, &site.authority);
    let list = site.authority.news().current(Kind::SiteList).unwrap();
    let list = List::danger_open(&list.bytes).unwrap();
    let entry = list.authorities().find(|entry| entry.key == said.roots()[0].certificate.key).unwrap();
    assert_eq!((entry.state, entry.until), (list::AuthorityState::Retired, Some(end)));
    assert!(!entry.roles.contains(Role::Hub) && entry.roles.contains(Role::Modality));
    // What a hub below it showed is a hub no more; the hub of today is one.
    assert!(!node.identify(&shown).unwrap().roles().contains(Role::Hub));
    assert!(node.identify(&hub(&site.authority)).unwrap().roles().contains(Role::Hub));
    // Later lists say the same, and so does a start.
    change(&site, "rotate", false);
    let keys = site.authority.keys();
    let Site { authority, clock, dir } = site;
    drop(authority);
    let again = open(dir.path(), &clock);
    assert_eq!(*again.keys(), *keys);
    let later = again.news().current(Kind::SiteList).unwrap();
    let later = List::danger_open(&later.bytes).unwrap();
    let later = later.authorities().find(|one| one.key == entry.key).unwrap();
    assert_eq!((later.since, later.until, later.roles), (entry.since, entry.until, entry.roles));
}

/// Shows REQ-KEYS-81: a former root that is offline is asked for its revocation list, which ordinary software goes by.
#[test]
fn a_former_root_that_is_offline_tells_of_its_stolen_key() {
    let (site, _kept, signer, first) = crate::rotation::offline_site();
    let ask = |change: &str| site.authority.request_root(change.parse().unwrap(), true).unwrap();
    let answer = RootAnswer::make(&ask("root"), &[RootKey::first(first.clone())], &signer).unwrap();
    let second = RootAnswer::read(&answer, std::slice::from_ref(&first)).unwrap().root.unwrap().certificate;
    site.authority.accept_root(&answer).unwrap();
    let known = [RootKey::former(first.clone()), RootKey::first(second.clone())];
    let list = || site.authority.root_crl_of(KeyLabel::ROOT).unwrap().unwrap();
    let before = list();
    let accept = |request: &[u8]| {
        let answer = RootAnswer::make(request, &known, &signer).unwrap();
        site.authority.accept_root(&answer).unwrap();
    };
    accept(&ask("compromised issuing"));
    assert_eq!(list(), before);
    site.authority.tick().unwrap();
    assert!(site.alarms().contains(&"root-crl-due".to_owned()));
    let request = ask("root-crl");
    assert_eq!(RootRequest::read(&request).unwrap().root, first.key);
    accept(&request);
    assert!(list().len() > before.len(), "the list of the root that certified it has the stolen key");
    assert_eq!(RootRequest::read(&ask("root-crl")).unwrap().root, second.key);
}
