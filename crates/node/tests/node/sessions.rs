use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::sessions::{Change, LiveSessions};
use medlock_node::stop;
use medlock_testkit::{Site, Status};
use medlock_trust::decide::Code;
use medlock_trust::status::{State, Subject};
use medlock_trust::{Identified, Operation, Operations, Role, Time};
use std::time::Duration;
use tokio::time::{Instant, timeout};

const STORE: Operations = Operations::of(&[Operation::Store]);

fn device(site: &Site, knowledge: &KnowledgeBase, name: &str, validity: (Time, Time)) -> Identified {
    knowledge.identify(site.identity(name, &[Role::Modality], validity).chain()).expect("identified")
}

fn device_state(who: &Identified, state: State) -> Status {
    Status { subject: Subject::Device(who.device()), state }
}

/// Shows REQ-NODE-40, in virtual time.
#[tokio::test(start_paused = true)]
async fn session_of_a_compromised_device_ends_within_a_second_and_no_other() {
    let site = Site::new("S");
    let knowledge = site.knowledge();
    let (thief, good) =
        (device(&site, &knowledge, "ct-1", site.present()), device(&site, &knowledge, "ct-2", site.present()));
    let live = LiveSessions::new(knowledge.clone());
    let (_stopper, stop) = stop::channel();
    tokio::spawn(live.clone().watch(stop));
    let mut changes = live.changes();
    let (mut first, mut second) = (live.register(thief.clone(), STORE), live.register(good, STORE));
    assert!(timeout(Duration::from_millis(300), first.ended()).await.is_err(), "nothing ends by itself");
    let start = Instant::now();
    knowledge.accept(Kind::Status, &site.status(2, &[device_state(&thief, State::Compromised)])).expect("news");
    let denied = timeout(Duration::from_secs(1), first.ended()).await.expect("within a second");
    assert!(start.elapsed() < Duration::from_secs(1));
    assert_eq!((denied.code, denied.operation), (Code::Compromised, Operation::Store));
    assert!(matches!(changes.recv().await, Ok(Change::Ended { who, .. }) if who == thief));
    assert!(timeout(Duration::from_millis(300), second.ended()).await.is_err());
    assert_eq!(live.count(), 1);
    drop((first, second));
    assert_eq!(live.count(), 0);
}

/// Shows REQ-NODE-41.
#[tokio::test]
async fn renewal_ends_no_session() {
    let site = Site::new("S");
    let knowledge = site.knowledge();
    let who = device(&site, &knowledge, "ct-1", site.present());
    let live = LiveSessions::new(knowledge.clone());
    let mut session = live.register(who.clone(), STORE);
    let superseded = Status { subject: Subject::Credential(who.credential()), state: State::Superseded };
    knowledge.accept(Kind::Status, &site.status(2, &[superseded])).expect("news");
    assert!(!knowledge.judge(&who, Operation::Store).is_allowed(), "for new sessions it counts");
    live.rejudge();
    assert_eq!(session.end_reason(), None);
    // But the device behind it may still lose its session.
    let both = [superseded, device_state(&who, State::Compromised)];
    knowledge.accept(Kind::Status, &site.status(3, &both)).expect("news");
    live.rejudge();
    assert_eq!(session.ended().await.code, Code::Compromised);
}

#[tokio::test]
async fn expiry_marks_a_session_and_does_not_end_it() {
    let site = Site::new("S");
    let knowledge = site.knowledge();
    let (from, to) = site.present();
    let live = LiveSessions::new(knowledge.clone());
    let mut changes = live.changes();
    let session = live.register(device(&site, &knowledge, "ct-1", (from, to)), STORE);
    site.clock.advance(91 * 86_400);
    knowledge.accept(Kind::SiteList, &site.list(2)).expect("fresh list");
    knowledge.accept(Kind::Status, &site.status(2, &[])).expect("fresh status");
    live.rejudge();
    let change = timeout(Duration::from_secs(40), changes.recv()).await.expect("judged again").expect("open");
    assert!(matches!(change, Change::Marked { mark: Some(Code::ExpiredWithinGrace), .. }), "{change:?}");
    assert_eq!(session.end_reason(), None);
}

#[tokio::test]
async fn session_opened_with_an_old_permit_ends_at_once() {
    let site = Site::new("S");
    let knowledge = site.knowledge();
    let who = device(&site, &knowledge, "ct-1", site.present());
    let live = LiveSessions::new(knowledge.clone());
    assert!(knowledge.judge(&who, Operation::Store).is_allowed());
    knowledge.accept(Kind::Status, &site.status(2, &[device_state(&who, State::Compromised)])).expect("news");
    let mut session = live.register(who, STORE);
    assert_eq!(session.ended().await.code, Code::Compromised);
}
