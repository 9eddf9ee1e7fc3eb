use medlock_node::clock::Clock;
use medlock_node::knowledge::{Accepted, Kind, KnowledgeBase, Refused};
use medlock_node::provider::SigningKey;
use medlock_node::routes::{Machine, RoutingTable};
use medlock_testkit::{Site, Status};
use medlock_trust::decide::Code;
use medlock_trust::list::AuthorityState;
use medlock_trust::policy::Setting;
use medlock_trust::status::{State, Subject};
use medlock_trust::{DeviceName, Identified, Operation, Role, Time, Verdict};
use std::path::Path;

fn ct(site: &Site, knowledge: &KnowledgeBase) -> Identified {
    let identity = site.identity("ct-1", &[Role::Modality], site.present());
    knowledge.identify(identity.chain()).expect("identified")
}

fn suspended(who: &Identified) -> Status {
    Status { subject: Subject::Credential(who.credential()), state: State::Suspended }
}

fn compromised(who: &Identified) -> Status {
    Status { subject: Subject::Device(who.device()), state: State::Compromised }
}

fn code(verdict: &Verdict) -> Option<Code> {
    match verdict {
        Verdict::Allow(permit) => permit.mark(),
        Verdict::Deny(denied) => Some(denied.code),
    }
}

fn reopen(site: &Site, directory: &Path) -> Result<std::sync::Arc<KnowledgeBase>, medlock_node::Error> {
    KnowledgeBase::open(directory, site.clock.clone(), Setting::Hospital)
}

/// Shows REQ-NODE-10.
#[test]
fn what_is_known_survives_a_restart() {
    let (site, directory) = (Site::new("Sankt Anna"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let who = ct(&site, &knowledge);
    knowledge.accept(Kind::Status, &site.status(2, &[compromised(&who)])).expect("news");
    drop(knowledge);
    let knowledge = reopen(&site, directory.path()).expect("opened");
    assert_eq!(knowledge.root_fingerprint(), Some(site.fingerprint()));
    assert_eq!(knowledge.site_name().as_deref(), Some("Sankt Anna"));
    assert_eq!(
        Kind::ALL.map(|kind| knowledge.version(kind)),
        [Some(1), None, None, Some(2), Some(1), None, None, None]
    );
    assert_eq!(code(&knowledge.judge(&who, Operation::Store)), Some(Code::Compromised));
}

/// Shows REQ-NODE-11.
#[test]
fn nothing_rolls_back() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let who = ct(&site, &knowledge);
    let old = Kind::ALL.map(|kind| knowledge.object(kind));
    assert_eq!(knowledge.accept(Kind::SiteList, &site.list(5)), Ok(Accepted::New { version: 5 }));
    assert_eq!(knowledge.accept(Kind::Policy, &site.policy(5)), Ok(Accepted::New { version: 5 }));
    let table = |version| RoutingTable::new(version, site.clock.now(), Vec::new()).expect("table");
    assert_eq!(knowledge.accept(Kind::Routes, &site.routes(&table(5))), Ok(Accepted::New { version: 5 }));
    let news = site.status(5, &[compromised(&who)]);
    assert_eq!(knowledge.accept(Kind::Status, &news), Ok(Accepted::New { version: 5 }));
    assert_eq!(knowledge.accept(Kind::Status, &news), Ok(Accepted::Known { version: 5 }));
    // The objects of before, those of a lower version, and those of a lower epoch.
    for knowledge in [knowledge, reopen(&site, directory.path()).expect("opened")] {
        for (kind, old) in Kind::ALL.into_iter().zip(&old) {
            assert!(old.as_ref().is_none_or(|old| knowledge.accept(kind, old).is_err()), "{kind}");
        }
        assert!(matches!(
            knowledge.accept(Kind::Routes, &site.routes(&table(4))),
            Err(Refused::RoutesNotNewer { held: 5, given: 4 })
        ));
        assert!(matches!(knowledge.accept(Kind::Status, &site.status(4, &[])), Err(Refused::Status(_))));
        assert_eq!(code(&knowledge.judge(&who, Operation::Renew)), Some(Code::Compromised));
    }
}

/// Shows REQ-STORE-85, REQ-STORE-86: a site's store was brought back from before a theft. What its list tells now is heard, what
/// the list before told stays, and a list that has both takes the place of both.
#[test]
fn a_list_that_forgets_a_compromise_adds_and_lifts_nothing() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let peer = |name| {
        let identity = site.identity(name, &[Role::Modality], site.present());
        knowledge.identify(identity.chain()).expect("identified")
    };
    let (stolen, held, next, good) = (peer("ct-1"), peer("ct-2"), peer("ct-3"), peer("ct-4"));
    let told = site.status(5, &[compromised(&stolen), suspended(&held)]);
    knowledge.accept(Kind::Status, &told).expect("news");
    let forgetful = site.status(6, &[compromised(&next)]);
    assert_eq!(knowledge.accept(Kind::Status, &forgetful), Ok(Accepted::New { version: 6 }));
    drop(knowledge);
    for restart in 0..2 {
        let knowledge = reopen(&site, directory.path()).expect("opened");
        for (who, wanted) in [
            (&stolen, Some(Code::Compromised)),
            (&held, Some(Code::Suspended)),
            (&next, Some(Code::Compromised)),
            (&good, None),
        ] {
            assert_eq!(code(&knowledge.judge(who, Operation::Store)), wanted, "restart {restart}");
        }
        assert_eq!(
            knowledge.unforgotten(),
            std::slice::from_ref(&told),
            "whoever signs for the site is to be told this"
        );
    }
    let knowledge = reopen(&site, directory.path()).expect("opened");
    // A second one is a second restore; the list between told more than the first alone.
    let again = site.status(7, &[compromised(&good)]);
    knowledge.accept(Kind::Status, &again).expect("a list");
    assert_eq!(knowledge.unforgotten(), [told, forgetful]);
    let all = site.status(8, &[compromised(&stolen), compromised(&next), compromised(&good)]);
    knowledge.accept(Kind::Status, &all).expect("a list that has all");
    assert!(knowledge.unforgotten().is_empty());
    assert_eq!(code(&knowledge.judge(&held, Operation::Store)), None, "lifted by who knows what it lifts");
    for knowledge in [knowledge, reopen(&site, directory.path()).expect("opened")] {
        assert_eq!(code(&knowledge.judge(&stolen, Operation::Renew)), Some(Code::Compromised));
        assert!(knowledge.unforgotten().is_empty());
    }
}

/// Shows REQ-STORE-86: as many lists are kept as a hub may be brought back before it is told; then a forgetful one is refused.
#[test]
fn lists_that_forget_are_taken_a_bounded_number_of_times() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let peers: Vec<Identified> = (0..6)
        .map(|number| {
            let identity = site.identity(&format!("ct-{number}"), &[Role::Modality], site.present());
            knowledge.identify(identity.chain()).expect("identified")
        })
        .collect();
    let forgetful = |at: usize| site.status(2 + at as u64, &[compromised(&peers[at])]);
    for at in 0..5 {
        knowledge.accept(Kind::Status, &forgetful(at)).expect("there is room");
    }
    assert!(matches!(
        knowledge.accept(Kind::Status, &forgetful(5)),
        Err(Refused::Status(medlock_trust::status::Refused::CompromiseForgotten(_)))
    ));
    for knowledge in [knowledge, reopen(&site, directory.path()).expect("opened")] {
        for (at, peer) in peers.iter().enumerate() {
            let wanted = (at < 5).then_some(Code::Compromised);
            assert_eq!(code(&knowledge.judge(peer, Operation::Store)), wanted, "{at}");
        }
    }
}

/// Shows REQ-NODE-12.
#[test]
fn objects_of_strangers_are_refused() {
    let (site, stranger) = (Site::new("S"), Site::new("S"));
    let knowledge = site.knowledge();
    for (kind, object) in [
        (Kind::SiteList, stranger.list(9)),
        (Kind::TrustList, stranger.list(9)),
        (Kind::Status, stranger.status(9, &[])),
        (Kind::Policy, stranger.policy(9)),
        (Kind::Routes, stranger.routes(&RoutingTable::default())),
        // One kind for another.
        (Kind::Policy, site.status(9, &[])),
        (Kind::Status, site.policy(9)),
        (Kind::Routes, site.policy(9)),
        (Kind::SiteList, site.policy(9)),
    ] {
        let refused = knowledge.accept(kind, &object).expect_err("refused");
        assert!(!refused.to_string().is_empty(), "{kind}");
    }
    assert_eq!(knowledge.version(Kind::Policy), Some(1));
    let nothing = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    assert_eq!(nothing.accept(Kind::SiteList, &site.list(1)), Err(Refused::NoRoot));
    nothing.pin_root(&site.root).expect("pinned");
    assert_eq!(nothing.accept(Kind::Status, &site.status(1, &[])), Err(Refused::NoSiteList));
    assert_eq!(nothing.accept(Kind::TrustList, &site.list(1)), Err(Refused::NoAlliance));
    assert!(nothing.pin_root(&stranger.root).is_err(), "a site is not changed by accident");
}

/// Shows REQ-NODE-13.
#[test]
fn damaged_file_is_named_with_what_to_do() {
    let site = Site::new("S");
    for (name, wanted) in [
        ("root.der", "remove the state directory"),
        ("status.cose", "move it away"),
        ("site-list.cose", "move it away"),
        ("floor.txt", "move it away"),
    ] {
        let directory = tempfile::tempdir().expect("directory");
        drop(site.knowledge_in(directory.path()));
        let path = directory.path().join(name);
        let mut bytes = std::fs::read(&path).expect("written");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0xff;
        std::fs::write(&path, bytes).expect("damage");
        match reopen(&site, directory.path()) {
            Err(error) => {
                let text = error.to_string();
                assert!(text.contains(name) && text.contains(wanted), "{text}");
            }
            // Any bit of the root's signature may be wrong: it is believed because it was pinned.
            Ok(_) => assert_eq!(name, "root.der"),
        }
    }
}

#[test]
fn verdicts_follow_the_news_and_routes_are_found() {
    let site = Site::new("S");
    let knowledge = site.knowledge();
    let who = ct(&site, &knowledge);
    let changes = knowledge.changes();
    assert!(knowledge.judge(&who, Operation::Store).is_allowed());
    knowledge.accept(Kind::Status, &site.status(2, &[suspended(&who)])).expect("news");
    assert!(changes.has_changed().expect("open"));
    assert_eq!(code(&knowledge.judge(&who, Operation::Store)), Some(Code::Suspended));
    knowledge.accept(Kind::Status, &site.status(3, &[])).expect("news");
    assert_eq!(code(&knowledge.judge(&who, Operation::Store)), None);
    let device = DeviceName::new("pacs").expect("name");
    let machine = Machine { device, ae_titles: vec!["PACS".to_owned()], address: Some("pacs:2762".to_owned()) };
    let table = RoutingTable::new(1, site.clock.now(), vec![machine]).expect("table");
    knowledge.accept(Kind::Routes, &site.routes(&table)).expect("news");
    assert_eq!(knowledge.routes().by_ae_title("PACS").map(|machine| machine.device), Some(device));
    knowledge.accept(Kind::SiteList, &site.list_with(2, AuthorityState::Compromised)).expect("news");
    assert_eq!(code(&knowledge.judge(&who, Operation::Renew)), Some(Code::IssuerCompromised));
    let identity = site.identity("ct-2", &[Role::Modality], site.present());
    assert!(knowledge.identify(identity.chain()).is_err(), "nobody new comes by a compromised root");
}

/// Shows REQ-NODE-14.
#[test]
fn clock_that_falls_behind_does_not_bring_old_times_back() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let then = site.clock.now();
    site.clock.advance(1_000);
    knowledge.accept(Kind::Status, &site.status(2, &[])).expect("news");
    site.clock.advance(-500_000_000);
    assert_eq!(knowledge.time().earliest(), then.plus_seconds(1_000));
    assert_eq!(knowledge.time().latest(), None, "how late it is, nobody knows");
    let knowledge = reopen(&site, directory.path()).expect("opened");
    assert_eq!(knowledge.time().earliest(), then.plus_seconds(1_000));
}

/// Shows REQ-RUN-50: a hub whose clock is ahead, or a thief of its key, moves nobody who has a clock.
#[test]
fn objects_of_the_future_move_the_floor_no_further_than_clocks_differ() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let now = site.clock.now();
    poison(&site, &knowledge);
    let floor = knowledge.time().earliest();
    assert!(floor > now && floor <= now.plus_seconds(600), "{floor}");
    site.clock.advance(600);
    assert_eq!(knowledge.time().earliest(), site.clock.now(), "it has come");
    assert_eq!(reopen(&site, directory.path()).expect("opened").time().latest(), None, "our clock may be the late one");
    let table = RoutingTable::new(21, site.clock.now(), Vec::new()).expect("table");
    knowledge.accept(Kind::Routes, &site.routes(&table)).expect("newer");
    assert_eq!(knowledge.time().latest(), Some(site.clock.now()), "the time is known again");
    assert_eq!(reopen(&site, directory.path()).expect("opened").time().latest(), Some(site.clock.now()));
}

/// Shows REQ-RUN-52: a clock that is late by some hours more each night is no upper bound of time from a day on, until it is
/// right.
#[test]
fn a_clock_that_is_late_by_more_than_a_day_is_no_upper_bound() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let mut late = 0;
    for night in 2..=8 {
        site.clock.advance(86_400 - 600 + late);
        let status = site.status(night, &[]);
        late += 5 * 3_600;
        site.clock.advance(-late);
        knowledge.accept(Kind::Status, &status).expect("news");
        site.clock.advance(600);
        let latest = (late < 86_400).then(|| site.clock.now());
        assert_eq!(knowledge.time().latest(), latest, "{late} s late");
        assert_eq!(reopen(&site, directory.path()).expect("opened").time().latest(), latest, "also behind a start");
    }
    site.clock.advance(late);
    assert_eq!(knowledge.time().latest(), Some(site.clock.now()), "it is right again");
}

/// Shows REQ-RUN-53: a hub whose clock is far ahead for a moment takes from nobody what bounds the lists of roots: none of the
/// future is believed, and the floor stays where clocks differ.
#[test]
fn a_list_of_the_future_is_refused_behind_a_status_list_of_the_future() {
    let site = Site::new("S");
    let now = Clock::manual(site.clock.now());
    let node = KnowledgeBase::in_memory(now.clone(), Setting::Hospital);
    node.pin_root(&site.root).expect("pinned");
    node.accept(Kind::SiteList, &site.list(1)).expect("the first");
    site.clock.advance(40 * 86_400);
    node.accept(Kind::Status, &site.status(2, &[])).expect("status lists say no latest time");
    assert_eq!(node.time().latest(), None);
    assert!(matches!(node.accept(Kind::SiteList, &site.list(2)), Err(Refused::List(_))));
    node.accept(Kind::Status, &site.status(3, &[])).expect("newer");
    assert!(node.time().earliest() <= now.now().plus_seconds(600));
}

/// Shows REQ-STORE-115: of a folder that has only lists that were held before the newest, the last one is the newest.
#[test]
fn lists_before_the_newest_are_heard_without_it() {
    let (site, directory) = (Site::new("S"), tempfile::tempdir().expect("directory"));
    let knowledge = site.knowledge_in(directory.path());
    let stolen = ["ct-1", "ct-2"].map(|name| {
        let identity = site.identity(name, &[Role::Modality], site.present());
        knowledge.identify(identity.chain()).expect("identified")
    });
    for (epoch, who) in (5..).zip(&stolen) {
        knowledge.accept(Kind::Status, &site.status(epoch, &[compromised(who)])).expect("news");
    }
    knowledge.accept(Kind::Status, &site.status(7, &[])).expect("a list that forgets both");
    assert_eq!(knowledge.unforgotten().len(), 2);
    drop(knowledge);
    std::fs::remove_file(directory.path().join(Kind::Status.file())).expect("removed");
    let knowledge = reopen(&site, directory.path()).expect("opened");
    assert_eq!((knowledge.version(Kind::Status), knowledge.unforgotten().len()), (Some(6), 1));
    for who in &stolen {
        assert_eq!(code(&knowledge.judge(who, Operation::Renew)), Some(Code::Compromised));
    }
}

/// Shows REQ-RUN-51: where the clock is wrong, all objects that are not lists move the floor by one step together.
#[test]
fn objects_move_the_floor_of_a_wrong_clock_by_a_year_in_sum() {
    let site = Site::new("S");
    let knowledge = site.knowledge();
    let now = site.clock.now();
    site.clock.advance(-500_000_000);
    poison(&site, &knowledge);
    assert_eq!(knowledge.time().earliest(), now.plus_seconds(366 * 86_400));
}

/// Twenty objects, all of the last day there is.
fn poison(site: &Site, knowledge: &KnowledgeBase) {
    for version in 1..=20 {
        let table = RoutingTable::new(version, Time::NEVER, Vec::new()).expect("table");
        knowledge.accept(Kind::Routes, &site.routes(&table)).expect("believed: the key is right");
    }
}

#[test]
fn chain_that_does_not_end_in_a_listed_authority_is_nobody() {
    let (site, stranger) = (Site::new("S"), Site::new("S"));
    let knowledge = site.knowledge();
    let identity = stranger.identity("ct-1", &[Role::Modality], stranger.present());
    assert!(knowledge.identify(identity.chain()).is_err());
    assert!(knowledge.identify(&[]).is_err());
    // The right names under the wrong key.
    let mut chain = site.issue("ct-1", &[Role::Modality], &SigningKey::generate(), site.present());
    chain[1] = stranger.issuing.clone();
    assert!(knowledge.identify(&chain).is_err());
}

#[test]
fn records_of_others_do_not_count() {
    let site = Site::new("S");
    let knowledge = site.knowledge();
    let who = ct(&site, &knowledge);
    let everybody: Vec<Status> = (0..50_000_u32)
        .map(|number| {
            let mut id = [0; 16];
            id[..4].copy_from_slice(&number.to_be_bytes());
            Status { subject: Subject::Credential(medlock_trust::CredentialId::from_bytes(id)), state: State::Ceased }
        })
        .collect();
    knowledge.accept(Kind::Status, &site.status(2, &everybody)).expect("news");
    assert!(knowledge.judge(&who, Operation::Store).is_allowed());
}
