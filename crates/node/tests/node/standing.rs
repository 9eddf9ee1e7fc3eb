//! Whoever is known to be a thief is not listened to as the hub, however right its chain is.

use crate::fixture::{Hub, Running};
use medlock_node::Error;
use medlock_node::enrol::{Enrolment, Progress};
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::news::{self, follow};
use medlock_node::provider::SigningKey;
use medlock_node::stop;
use medlock_testkit::{CertificateBuilder, Site, Status};
use medlock_trust::Role;
use medlock_trust::list::AuthorityState;
use medlock_trust::policy::Setting;
use medlock_trust::role::Roles;
use medlock_trust::status::{State, Subject};
use medlock_trust::x509::Certificate;
use rustls::pki_types::CertificateDer;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(20);

/// An issuing key of the site that was stolen, with its certificate.
struct Stolen {
    key: SigningKey,
    certificate: CertificateDer<'static>,
}

impl Stolen {
    fn new(site: &Site) -> Self {
        let root = Certificate::from_der(&site.root).expect("our own certificate");
        let (key, validity) = (SigningKey::generate(), (root.not_before(), root.not_after()));
        let certificate = CertificateBuilder::authority("S issuing-2", &key, 0, validity);
        let certificate = certificate.sign(root.subject().der(), &site.root_key);
        Self { key, certificate }
    }

    /// What the thief makes with it, for a key of its own.
    fn identity(&self, site: &Site, device: &str, role: Role) -> Identity {
        let key = Arc::new(SigningKey::generate());
        let issuer = Certificate::from_der(&self.certificate).expect("our own certificate");
        let own = CertificateBuilder::device(&site.name, device, &key, Roles::of(&[role]), site.present());
        let own = own.sign(issuer.subject().der(), &self.key);
        Identity::new(key, vec![own, self.certificate.clone(), site.root.clone()]).expect("a chain for this key")
    }

    /// The news that it was stolen.
    fn declared(&self, site: &Site) -> Vec<u8> {
        site.status(2, &[Status { subject: Subject::Issuer(self.key.key_id()), state: State::Compromised }])
    }
}

/// A hub and a node of its site; the hub's credential is by the stolen key.
async fn false_hub() -> (Arc<Hub>, Running, Stolen, Arc<KnowledgeBase>) {
    let hub = Hub::new(Site::new("S"));
    let stolen = Stolen::new(&hub.site);
    hub.identity.replace(stolen.identity(&hub.site, "hub", Role::Hub)).expect("replaced");
    let (running, knowledge) = (hub.start().await, hub.site.knowledge());
    (hub, running, stolen, knowledge)
}

fn says(error: &Error, code: &str) -> bool {
    let said = error.to_string();
    assert!(!said.contains("Other"), "what rustls wraps around it is for nobody: {said}");
    said.contains(&format!("hub is not listened to as hub: {code}"))
}

/// Shows REQ-NODE-65, REQ-CLI-39.
#[tokio::test]
async fn a_hub_below_a_stolen_key_is_refused_for_renewal_and_news() {
    let (hub, running, stolen, knowledge) = false_hub().await;
    let own = hub.site.store("ct-1", &[Role::Modality]);
    let before = own.current().expect("identity").credential();
    let feed = news::Hub::new(running.address.to_string(), &own, knowledge.clone()).expect("settings");
    feed.poll().await.expect("nothing is known yet");
    knowledge.accept(Kind::Status, &stolen.declared(&hub.site)).expect("declared");
    let error = feed.poll().await.expect_err("its news");
    assert!(says(&error, "issuer-compromised since"), "{error}");
    let enrolment = Enrolment::new(running.address.to_string(), own.clone(), knowledge.clone());
    let error = enrolment.renew().await.expect_err("renewal");
    assert!(says(&error, "issuer-compromised"), "{error}");
    assert_eq!(own.current().expect("identity").credential(), before);
    assert!(hub.issued.lock().expect("lock").is_empty());
    // The site's hub, with a credential by the key that took its place.
    hub.identity.replace(hub.site.identity("hub", &[Role::Hub], hub.site.present())).expect("replaced");
    feed.poll().await.expect("polled");
    enrolment.renew().await.expect("renewed");
    assert_ne!(own.current().expect("identity").credential(), before);
}

/// Shows REQ-NODE-82: a node that was told of the theft before shows the thief no code, and goes on by it where the site is.
#[tokio::test]
async fn a_code_is_not_shown_to_a_hub_below_a_stolen_key() {
    let (hub, running, stolen, knowledge) = false_hub().await;
    knowledge.accept(Kind::Status, &stolen.declared(&hub.site)).expect("declared");
    let enrolment = Enrolment::new(running.address.to_string(), IdentityStore::in_memory(None), knowledge);
    let error = enrolment.first_contact(&hub.code).await.expect_err("a thief");
    assert!(says(&error, "issuer-compromised since"), "{error}");
    assert_eq!(hub.asked.load(Ordering::SeqCst), 0, "it saw the code");
    hub.identity.replace(hub.site.identity("hub", &[Role::Hub], hub.site.present())).expect("replaced");
    enrolment.first_contact(&hub.code).await.expect("enrolled");
    assert_eq!(hub.asked.load(Ordering::SeqCst), 1);
}

/// Shows REQ-NODE-65: each thing for which a hub is refused, and those for which it is not.
#[tokio::test]
async fn what_ends_is_refused_and_what_grows_old_is_not() {
    let hub = Hub::new(Site::new("S"));
    let running = hub.start().await;
    let who = hub.knowledge.identify(hub.identity.current().expect("identity").chain()).expect("identified");
    let own = hub.site.store("ct-1", &[Role::Modality]);
    let (credential, device) = (Subject::Credential(who.credential()), Subject::Device(who.device()));
    for (subject, state, code) in [
        (credential, State::Compromised, Some("compromised since")),
        (device, State::Compromised, Some("compromised since")),
        (device, State::Ceased, Some("ceased since")),
        (Subject::Issuer(hub.site.issuing_key.key_id()), State::Ceased, Some("issuer-ceased since")),
        (credential, State::Superseded, None),
        (device, State::Suspended, None),
        (Subject::Issuer(hub.site.issuing_key.key_id()), State::Suspended, None),
    ] {
        let knowledge = hub.site.knowledge();
        knowledge.accept(Kind::Status, &hub.site.status(2, &[Status { subject, state }])).expect("news");
        let feed = news::Hub::new(running.address.to_string(), &own, knowledge).expect("settings");
        match (feed.fetch(Kind::Policy).await, code) {
            (Ok(_), None) => {}
            (Err(error), Some(code)) => assert!(says(&error, code), "{subject:?} {state:?}: {error}"),
            (other, _) => panic!("{subject:?} {state:?}: {other:?}"),
        }
    }
    // Its root left the list before the credential was made.
    let after = (hub.site.clock.now().plus_seconds(60), hub.site.clock.now().plus_seconds(86_400));
    hub.site.clock.advance(120);
    hub.identity.replace(hub.site.identity("hub", &[Role::Hub], after)).expect("replaced");
    let retired = KnowledgeBase::in_memory(hub.site.clock.clone(), Setting::Hospital);
    retired.pin_root(&hub.site.root).expect("pinned");
    hub.site.clock.advance(-120);
    let list = hub.site.list_with(2, AuthorityState::Retired);
    hub.site.clock.advance(120);
    retired.accept(Kind::SiteList, &list).expect("list");
    let feed = news::Hub::new(running.address.to_string(), &own, retired).expect("settings");
    let error = feed.fetch(Kind::Policy).await.expect_err("issued after");
    assert!(says(&error, "issued-after-retirement since"), "{error}");
    // Years later: the hub, the list and all that is known are old.
    hub.site.clock.advance(5 * 366 * 86_400);
    let feed = news::Hub::new(running.address.to_string(), &own, hub.site.knowledge()).expect("settings");
    feed.poll().await.expect("an expired hub");
    assert!(hub.identity.current().expect("identity").validity().1 < hub.site.clock.now());
}

/// Shows REQ-NODE-66: the news of the theft end the stream that a thief holds open, whoever brings them.
#[tokio::test]
async fn a_stream_of_news_ends_when_its_hub_turns_out_to_be_a_thief() {
    let (hub, running, stolen, knowledge) = false_hub().await;
    let own = hub.site.store("ct-1", &[Role::Modality]);
    let feed = news::Hub::new(running.address.to_string(), &own, knowledge.clone()).expect("settings");
    let mut connected = feed.connected();
    let (_stopper, stop) = stop::channel();
    tokio::spawn(follow(feed, stop));
    timeout(LIMIT, connected.wait_for(|open| *open)).await.expect("in time").expect("open");
    knowledge.accept(Kind::Status, &stolen.declared(&hub.site)).expect("from another carrier");
    timeout(LIMIT, connected.wait_for(|open| !*open)).await.expect("in time").expect("open");
    hub.identity.replace(hub.site.identity("hub", &[Role::Hub], hub.site.present())).expect("replaced");
    timeout(LIMIT, connected.wait_for(|open| *open)).await.expect("in time").expect("the hub of the site");
}

/// Shows REQ-NODE-67: a credential by a stolen key is not taken, the one that is there stays, and there is no haste.
#[tokio::test]
async fn a_credential_by_a_stolen_key_is_not_adopted() {
    let hub = Hub::new(Site::new("S"));
    let stolen = Arc::new(Stolen::new(&hub.site));
    let knowledge = hub.site.knowledge();
    knowledge.accept(Kind::Status, &stolen.declared(&hub.site)).expect("declared");
    // Whatever has misled the hub: it gives out what the thief has made.
    *hub.stolen.lock().expect("lock") = Some((stolen.key.to_pkcs8().to_vec(), stolen.certificate.clone()));
    let running = hub.start().await;
    let own = IdentityStore::in_memory(Some(stolen.identity(&hub.site, "ct-1", Role::Modality)));
    let before = own.current().expect("identity").credential();
    let enrolment = Enrolment::new(running.address.to_string(), own.clone(), knowledge.clone());
    let mut progress = enrolment.progress();
    let (_stopper, stop) = stop::channel();
    tokio::spawn(enrolment.run(None, stop));
    let failed = |now: &Progress| matches!(now, Progress::Failed { .. });
    let said = timeout(LIMIT, progress.wait_for(failed)).await.expect("in time").expect("open").clone();
    let Progress::Failed { error, again_in } = said else { panic!("just awaited") };
    assert!(error.contains("not taken: issuer-compromised"), "{error}");
    assert!(again_in >= Duration::from_secs(2), "{again_in:?}");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(hub.issued.lock().expect("lock").len(), 1, "it asked again at once");
    assert_eq!(own.current().expect("identity").credential(), before);
    // The hub has its senses back.
    *hub.stolen.lock().expect("lock") = None;
    let mut changes = own.changes();
    timeout(LIMIT, changes.changed()).await.expect("in time").expect("open");
    let who = knowledge.identify(own.current().expect("identity").chain()).expect("identified");
    knowledge.judge_standing(&who).expect("a credential that is good");
}

/// The same site after its issuing key was replaced.
fn with_another_key(site: &Site) -> Site {
    let Stolen { key, certificate } = Stolen::new(site);
    let root_key = SigningKey::from_pkcs8(&site.root_key.to_pkcs8()).expect("a key");
    let (name, clock, root) = (site.name.clone(), site.clock.clone(), site.root.clone());
    Site { name, clock, root_key, root, issuing_key: key, issuing: certificate }
}

/// Shows REQ-NODE-68: a thief of the key that signs status has told a node that the hub is a thief. What the root has signed
/// is taken from the hub all the same, and ends the thief's word.
#[tokio::test]
async fn a_thief_cannot_talk_a_node_out_of_listening_to_its_hub_for_good() {
    let hub = Hub::new(Site::new("S"));
    let knowledge = hub.site.knowledge();
    let who = knowledge.identify(hub.identity.current().expect("identity").chain()).expect("identified");
    let slander = Status { subject: Subject::Device(who.device()), state: State::Compromised };
    knowledge.accept(Kind::Status, &hub.site.status(u64::MAX, &[slander])).expect("by the stolen key");
    let own = hub.site.store("ct-1", &[Role::Modality]);
    let running = hub.start().await;
    let feed = news::Hub::new(running.address.to_string(), &own, knowledge.clone()).expect("settings");
    let error = feed.poll().await.expect_err("slandered");
    assert!(says(&error, "compromised since"), "{error}");
    // The site learns of the theft, and replaces the key.
    let site = with_another_key(&hub.site);
    hub.knowledge.accept(Kind::SiteList, &site.list(2)).expect("list");
    hub.knowledge.accept(Kind::Status, &site.status(2, &[])).expect("status");
    hub.identity.replace(site.identity("hub", &[Role::Hub], site.present())).expect("replaced");
    let mut connected = feed.connected();
    let (_stopper, stop) = stop::channel();
    tokio::spawn(follow(feed, stop));
    timeout(LIMIT, connected.wait_for(|open| *open)).await.expect("in time").expect("open");
    assert_eq!(knowledge.version(Kind::Status), Some(2));
}
