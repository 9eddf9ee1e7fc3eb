use crate::fixture::Hub;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::news::{self, follow};
use medlock_node::sessions::LiveSessions;
use medlock_node::stop;
use medlock_testkit::{Site, Status};
use medlock_trust::decide::Code;
use medlock_trust::policy::Setting;
use medlock_trust::status::{State, Subject};
use medlock_trust::{Operation, Operations, Role};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::time::timeout;

/// A node that knows the root and the list, as after enrolment.
fn node(hub: &Hub) -> Arc<KnowledgeBase> {
    let knowledge = KnowledgeBase::in_memory(hub.site.clock.clone(), Setting::Hospital);
    knowledge.pin_root(&hub.site.root).expect("pinned");
    knowledge.accept(Kind::SiteList, &hub.knowledge.object(Kind::SiteList).expect("list")).expect("list");
    knowledge
}

async fn until(knowledge: &KnowledgeBase, kind: Kind, version: u64) {
    let mut changes = knowledge.changes();
    let arrived = async {
        while knowledge.version(kind) != Some(version) {
            changes.changed().await.expect("open");
        }
    };
    timeout(Duration::from_secs(30), arrived).await.expect("the news arrive");
}

/// Shows REQ-NODE-42.
#[tokio::test]
async fn stolen_key_is_cut_off_within_a_second_of_the_hub_saying_so() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let knowledge = node(&hub);
    let identity = hub.site.store("pacs-1", &[Role::Archive]);
    let (_stopper, stop) = stop::channel();
    let feed = news::Hub::new(running.address.to_string(), &identity, knowledge.clone()).expect("settings");
    let mut connected = feed.connected();
    tokio::spawn(follow(feed, stop.clone()));
    until(&knowledge, Kind::Status, 1).await;
    until(&knowledge, Kind::Policy, 1).await;
    assert!(timeout(Duration::from_secs(30), connected.wait_for(|open| *open)).await.is_ok());
    let live = LiveSessions::new(knowledge.clone());
    tokio::spawn(live.clone().watch(stop));
    let peer = hub.site.identity("ct-1", &[Role::Modality], hub.site.present());
    let peer = knowledge.identify(peer.chain()).expect("identified");
    let mut session = live.register(peer.clone(), Operations::of(&[Operation::Store]));
    let start = Instant::now();
    let stolen = Status { subject: Subject::Device(peer.device()), state: State::Compromised };
    hub.knowledge.accept(Kind::Status, &hub.site.status(2, &[stolen])).expect("declared");
    let denied = timeout(Duration::from_secs(30), session.ended()).await.expect("cut off");
    println!("cut {:?} after the declaration", start.elapsed());
    assert_eq!(denied.code, Code::Compromised);
}

/// Shows REQ-STORE-87: a hub that gives a list without a theft it once told, or one that is older than what it told, is told.
#[tokio::test]
async fn a_hub_that_has_forgotten_a_compromise_is_reminded() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let peer = hub.site.identity("ct-1", &[Role::Modality], hub.site.present());
    let stolen = |knowledge: &KnowledgeBase| {
        let device = knowledge.identify(peer.chain()).expect("identified").device();
        Status { subject: Subject::Device(device), state: State::Compromised }
    };
    for (name, epoch) in [("pacs-1", 5), ("pacs-2", 9)] {
        let knowledge = node(&hub);
        let told = hub.site.status(epoch, &[stolen(&knowledge)]);
        knowledge.accept(Kind::Status, &told).expect("told before the hub's disk was lost");
        let identity = hub.site.store(name, &[Role::Archive]);
        let (_stopper, stop) = stop::channel();
        let feed = news::Hub::new(running.address.to_string(), &identity, knowledge.clone()).expect("settings");
        tokio::spawn(follow(feed, stop));
        if epoch == 5 {
            hub.knowledge.accept(Kind::Status, &hub.site.status(6, &[])).expect("a list of the restored hub");
            until(&knowledge, Kind::Status, 6).await;
        }
        let reminded = async {
            while hub.reminded.lock().expect("lock").last() != Some(&told.clone().into()) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(30), reminded).await.expect("the hub is told");
    }
}

/// Shows REQ-NODE-43.
#[tokio::test]
async fn feed_comes_back_when_the_hub_does() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let address = running.address;
    let knowledge = node(&hub);
    let identity = hub.site.store("pacs-1", &[Role::Archive]);
    let (_stopper, stop) = stop::channel();
    let feed = news::Hub::new(address.to_string(), &identity, knowledge.clone()).expect("settings");
    tokio::spawn(follow(feed, stop));
    until(&knowledge, Kind::Status, 1).await;
    running.stopper.stop();
    timeout(Duration::from_secs(10), running.task).await.expect("stopped").expect("no panic");
    hub.knowledge.accept(Kind::Status, &hub.site.status(2, &[])).expect("news meanwhile");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(knowledge.version(Kind::Status), Some(1), "what is known stays");
    // The same address again.
    let listener = loop {
        match tokio::net::TcpListener::bind(address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    };
    let _running = hub.start_on(listener);
    until(&knowledge, Kind::Status, 2).await;
}

/// Shows REQ-NODE-44.
#[tokio::test]
async fn objects_are_fetched_one_by_one_when_there_is_no_stream() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let knowledge = node(&hub);
    let identity = hub.site.store("pacs-1", &[Role::Archive]);
    let feed = news::Hub::new(running.address.to_string(), &identity, knowledge.clone()).expect("settings");
    feed.poll().await.expect("polled");
    assert_eq!(
        Kind::ALL.map(|kind| knowledge.version(kind)),
        [Some(1), None, None, Some(1), Some(1), None, None, None]
    );
    assert_eq!(feed.fetch(Kind::TrustList).await.expect("answered"), None);
}

/// A machine of the same site that is not its hub is not asked for news.
#[tokio::test]
async fn only_a_hub_is_taken_for_the_hub() {
    let hub = Hub::new(Site::new("S"));
    let false_hub = Hub::new(Site::new("S"));
    let identity = hub.site.identity("pacs-9", &[Role::Archive], hub.site.present());
    false_hub.identity.replace(identity).expect("replaced");
    let running = false_hub.start().await;
    let knowledge = node(&hub);
    let own = hub.site.store("ct-1", &[Role::Modality]);
    let feed = news::Hub::new(running.address.to_string(), &own, knowledge).expect("settings");
    let error = feed.poll().await.expect_err("refused");
    assert!(error.to_string().contains("role hub"), "{error}");
}
