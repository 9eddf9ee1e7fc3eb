use crate::fixture::Hub;
use medlock_node::Error;
use medlock_node::enrol::{Code, Enrolment, Progress};
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::stop;
use medlock_testkit::{Site, Status};
use medlock_trust::Role;
use medlock_trust::policy::Setting;
use medlock_trust::status::{State, Subject};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

struct Node {
    identity: IdentityStore,
    knowledge: Arc<KnowledgeBase>,
}

fn node(hub: &Hub, directory: &Path) -> Node {
    let identity = IdentityStore::open(&directory.join("identity")).expect("opened");
    let knowledge = KnowledgeBase::open(&directory.join("knowledge"), hub.site.clock.clone(), Setting::Hospital);
    Node { identity, knowledge: knowledge.expect("opened") }
}

/// Waits until the enrolment is so far.
async fn until(progress: &mut watch::Receiver<Progress>, wanted: impl FnMut(&Progress) -> bool) -> Progress {
    timeout(LIMIT, progress.wait_for(wanted)).await.expect("in time").expect("open").clone()
}

impl Node {
    fn enrolment(&self, address: impl ToString) -> Enrolment {
        Enrolment::new(address.to_string(), self.identity.clone(), self.knowledge.clone())
    }
}

/// Shows REQ-NODE-34.
#[tokio::test]
async fn machine_enrols_by_code_waits_for_approval_and_then_knows_its_site() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let directory = tempfile::tempdir().expect("directory");
    let node = node(&hub, directory.path());
    hub.undecided.store(2, Ordering::SeqCst);
    let enrolment = node.enrolment(running.address);
    let mut progress = enrolment.progress();
    let (_stopper, stop) = stop::channel();
    tokio::spawn(enrolment.run(Some(hub.code.clone()), stop));
    let waiting = until(&mut progress, |now| matches!(now, Progress::AwaitingApproval { .. })).await;
    let Progress::AwaitingApproval { key } = waiting else { panic!("just awaited") };
    until(&mut progress, |now| matches!(now, Progress::Enrolled { .. })).await;
    let identity = node.identity.current().expect("identity");
    let hash = medlock_node::provider::sha256(identity.key().spki());
    assert_eq!(key, data_encoding::HEXLOWER.encode(&hash[..16]), "what the engineer compared");
    let who = node.knowledge.identify(identity.chain()).expect("identified");
    assert_eq!(who.device_name().as_str(), "ct-1");
    assert_eq!(node.knowledge.root_fingerprint(), Some(hub.code.root()));
    assert_eq!(identity.chain().len(), 2, "own and issuing: the root is known to all");
    assert_eq!(node.identity.kept_code().expect("read"), None, "the code is of no use any more");
}

/// Shows REQ-NODE-35.
#[tokio::test]
async fn enrolment_goes_on_with_the_same_key_after_a_kill() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let directory = tempfile::tempdir().expect("directory");
    hub.undecided.store(1_000, Ordering::SeqCst);
    let first = node(&hub, directory.path());
    let enrolment = first.enrolment(running.address);
    let mut progress = enrolment.progress();
    let (_stopper, stop) = stop::channel();
    let task = tokio::spawn(enrolment.run(Some(hub.code.clone()), stop.clone()));
    until(&mut progress, |now| matches!(now, Progress::AwaitingApproval { .. })).await;
    let key = first.identity.next_key().expect("key").spki().to_vec();
    task.abort();
    drop((first, task.await));
    hub.undecided.store(0, Ordering::SeqCst);
    // A new process, without the code at hand.
    let second = node(&hub, directory.path());
    let enrolment = second.enrolment(running.address);
    let mut progress = enrolment.progress();
    tokio::spawn(enrolment.run(None, stop));
    until(&mut progress, |now| matches!(now, Progress::Enrolled { .. })).await;
    assert_eq!(second.identity.current().expect("identity").key().spki(), key);
    assert_eq!(*hub.issued.lock().expect("lock"), vec![key]);
}

/// Shows REQ-NODE-36.
#[tokio::test]
async fn expired_credential_renews_with_a_new_key_and_a_compromised_one_does_not() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let directory = tempfile::tempdir().expect("directory");
    let node = node(&hub, directory.path());
    node.enrolment(running.address).first_contact(&hub.code).await.expect("enrolled");
    let first = node.identity.current().expect("identity");
    // A year later.
    hub.site.clock.advance(365 * 86_400);
    hub.knowledge.accept(Kind::Status, &hub.site.status(2, &[])).expect("news");
    let second = node.enrolment(running.address).renew().await.expect("renewed");
    assert_ne!(first.key().spki(), second.key().spki());
    assert!(second.validity().1 > hub.site.clock.now());
    assert_eq!(node.identity.current().map(|now| now.credential()), Some(second.credential()));
    let who = node.knowledge.identify(second.chain()).expect("identified");
    let stolen = Status { subject: Subject::Device(who.device()), state: State::Compromised };
    hub.knowledge.accept(Kind::Status, &hub.site.status(3, &[stolen])).expect("news");
    let error = node.enrolment(running.address).renew().await.expect_err("refused");
    assert!(matches!(error, Error::Status { status: 403, .. }), "{error}");
}

/// Shows REQ-NODE-37.
#[tokio::test]
async fn wrong_code_and_wrong_hub_are_told_apart() {
    let (hub, false_hub) = (Hub::new(Site::new("S")), Hub::new(Site::new("S")));
    let (running, false_running) = (hub.start().await, false_hub.start().await);
    let directory = tempfile::tempdir().expect("directory");
    let node = node(&hub, directory.path());
    let (_stopper, stop) = stop::channel();
    // The hub does not know it: final.
    let unknown = Code::new(&hub.site.fingerprint());
    let error = node.enrolment(running.address).run(Some(unknown), stop.clone()).await.expect_err("refused");
    assert!(error.to_string().contains("not known"), "{error}");
    // Somebody else answers at the hub's address: nothing is sent, and nothing pinned.
    let fresh = tempfile::tempdir().expect("directory");
    let other = self::node(&hub, fresh.path());
    let error = other.enrolment(false_running.address).first_contact(&hub.code).await.expect_err("not the hub");
    assert!(matches!(error, Error::Connection { .. }), "{error}");
    assert_eq!(other.knowledge.root(), None);
    // No code at all.
    let empty = tempfile::tempdir().expect("directory");
    let error = self::node(&hub, empty.path()).enrolment(running.address).run(None, stop).await.expect_err("no code");
    assert!(error.to_string().contains("medlock device code"), "{error}");
}

/// Shows REQ-NODE-38.
#[tokio::test]
async fn renewal_happens_by_itself_before_expiry_and_retries_while_the_hub_is_away() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let directory = tempfile::tempdir().expect("directory");
    let node = node(&hub, directory.path());
    let enrolment = node.enrolment(running.address);
    let mut progress = enrolment.progress();
    let (_stopper, stop) = stop::channel();
    let task = tokio::spawn(enrolment.run(Some(hub.code.clone()), stop));
    until(&mut progress, |now| matches!(now, Progress::Enrolled { .. })).await;
    let first = node.identity.current().expect("identity");
    let (from, to) = first.validity();
    let mut changes = node.identity.changes();
    changes.mark_unchanged();
    hub.site.clock.advance(to.seconds_since(from) / 3 * 2);
    timeout(LIMIT, changes.changed()).await.expect("renewed in time").expect("open");
    let second = node.identity.current().expect("identity");
    assert_ne!(first.credential(), second.credential());
    assert!(hub.site.clock.now() < to, "well before expiry");
    // The hub goes away; the node tries, says so, and keeps what it has.
    running.stopper.stop();
    let _ = running.task.await;
    hub.site.clock.advance(200 * 86_400);
    until(&mut progress, |now| matches!(now, Progress::Failed { .. })).await;
    assert_eq!(node.identity.current().expect("kept").credential(), second.credential());
    let listener = tokio::net::TcpListener::bind(running.address).await.expect("the same address");
    let _running = hub.start_on(listener);
    timeout(LIMIT, changes.changed()).await.expect("renewed after all").expect("open");
    assert!(node.identity.current().expect("identity").validity().1 > hub.site.clock.now());
    assert!(!task.is_finished());
    assert!(
        node.knowledge
            .identify(node.identity.current().expect("identity").chain())
            .expect("identified")
            .roles()
            .contains(Role::Modality)
    );
}

/// Shows REQ-NODE-80: a code that was handed over gives a new credential as soon as the hub says that it never renews the one
/// there is, which is in use until then.
#[tokio::test]
async fn a_code_gives_another_credential_where_the_hub_does_not_know_the_present_one() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let directory = tempfile::tempdir().expect("directory");
    let first = node(&hub, directory.path());
    let lost = first.enrolment(running.address).first_contact(&hub.code).await.expect("enrolled").credential();
    hub.forgotten.lock().expect("lock").push(lost);
    let error = first.enrolment(running.address).renew().await.expect_err("not known");
    assert!(matches!(error, Error::NeedsCode { .. }), "{error}");
    drop(first);

    hub.undecided.store(2, Ordering::SeqCst);
    let second = node(&hub, directory.path());
    let enrolment = second.enrolment(running.address);
    let mut progress = enrolment.progress();
    let (_stopper, stop) = stop::channel();
    let task = tokio::spawn(enrolment.run(Some(hub.code.clone()), stop.clone()));
    until(&mut progress, |now| matches!(now, Progress::AwaitingApproval { .. })).await;
    assert_eq!(second.identity.current().expect("kept").credential(), lost, "until there is another");
    // Cut off meanwhile, it goes on by the code it kept.
    task.abort();
    drop((second, task.await));
    let third = node(&hub, directory.path());
    let enrolment = third.enrolment(running.address);
    let mut progress = enrolment.progress();
    tokio::spawn(enrolment.run(None, stop));
    until(&mut progress, |now| matches!(now, Progress::Enrolled { .. })).await;
    assert_ne!(third.identity.current().expect("identity").credential(), lost);
    assert_eq!(third.identity.kept_code().expect("read"), None);
    third.enrolment(running.address).renew().await.expect("renewed");
}

/// Shows REQ-NODE-81: without the word of the authenticated hub that it never renews the credential, a code changes nothing.
#[tokio::test]
async fn a_code_is_not_used_for_any_other_refusal_or_by_anybody_else() {
    let (hub, stranger) = (Hub::new(Site::new("S")), Hub::new(Site::new("S")));
    let (running, false_running) = (hub.start().await, stranger.start().await);
    let directory = tempfile::tempdir().expect("directory");
    let node = node(&hub, directory.path());
    let present = node.enrolment(running.address).first_contact(&hub.code).await.expect("enrolled");
    let who = node.knowledge.identify(present.chain()).expect("identified");
    stranger.forgotten.lock().expect("lock").push(present.credential());
    let suspended = Status { subject: Subject::Device(who.device()), state: State::Suspended };
    hub.knowledge.accept(Kind::Status, &hub.site.status(2, &[suspended])).expect("news");
    for address in [false_running.address, running.address] {
        let enrolment = node.enrolment(address);
        let mut progress = enrolment.progress();
        let (_stopper, stop) = stop::channel();
        let task = tokio::spawn(enrolment.run(Some(hub.code.clone()), stop));
        until(&mut progress, |now| matches!(now, Progress::Failed { .. })).await;
        task.abort();
        assert_eq!(node.identity.current().expect("kept").credential(), present.credential());
        assert_eq!(node.identity.kept_code().expect("read"), None, "it was not used");
    }
    assert_eq!(hub.issued.lock().expect("lock").len(), 1);
    assert!(stranger.issued.lock().expect("lock").is_empty());
}
