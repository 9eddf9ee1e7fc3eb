//! A stolen issuing key, as nodes of the site live through it over their real connections.

use crate::fixture::{Site, Sleepy};
use crate::reminded;
use medlock_authority::admin::{Asker, Reason, Request};
use medlock_authority::objects::Object;
use medlock_authority::signer::InProcess;
use medlock_authority::status::status_list;
use medlock_authority::{Authority, devices_limits, devices_router};
use medlock_node::accept;
use medlock_node::clock::Clock;
use medlock_node::enrol::Enrolment;
use medlock_node::http::Client;
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::news::{self, follow};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_node::stop::{self, Stop};
use medlock_node::tls::{Acceptor, Believed, ClientAuth, Connector, server_config};
use medlock_trust::decide::Code;
use medlock_trust::policy::Setting;
use medlock_trust::status::{Heading, StatusList, Subject};
use medlock_trust::{CredentialId, DeviceId, DeviceName};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Opens the site's door for devices until asked to stop; where it is.
pub(crate) async fn serve(site: &Site, stop: Stop) -> String {
    let known = site.authority.knowledge().clone();
    let tls = server_config(site.authority.hub_identity(), &known, ClientAuth::Optional).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let router = devices_router(site.authority.clone());
    tokio::spawn(accept::serve(listener, Some(Acceptor::new(tls, known)), devices_limits(), router, stop));
    address
}

/// Shows REQ-NODE-69: the site's own hub is listened to behind the theft, and its nodes come back by it.
#[tokio::test]
async fn nodes_come_back_by_the_hub_whose_key_was_stolen() {
    let site = Site::with_clock(Clock::system());
    let key = Arc::new(SigningKey::generate());
    let own = site.enrol("ct-1", &key);
    let (_stopper, stop) = stop::channel();
    let address = serve(&site, stop.clone()).await;

    let stolen = site.authority.issuing();
    let chain = vec![own.into(), stolen.der.clone().into()];
    let identity = IdentityStore::in_memory(Some(Identity::new(key, chain).unwrap()));
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    node.accept(Kind::SiteList, &site.authority.news().current(Kind::SiteList).unwrap().bytes).unwrap();
    let feed = news::Hub::new(address.as_str(), &identity, node.clone()).unwrap();
    let mut connected = feed.connected();
    tokio::spawn(follow(feed, stop.clone()));
    connected.wait_for(|open| *open).await.unwrap();
    tokio::spawn(Enrolment::new(address, identity.clone(), node.clone()).run(None, stop));

    let mut changes = identity.changes();
    let authority = site.authority.clone();
    let change =
        Request::ChangeKeys { change: "compromised issuing".parse().unwrap(), anyway: false, why: String::new() };
    tokio::task::spawn_blocking(move || {
        authority.administer(&Asker::program(), change).unwrap();
    })
    .await
    .unwrap();
    tokio::time::timeout(Duration::from_secs(60), changes.changed()).await.expect("it comes back").unwrap();
    let who = node.identify(identity.current().unwrap().chain()).unwrap();
    assert_eq!(node.judge_standing(&who), Ok(()));
    assert!(!who.issuers().contains(&stolen.key), "by the stolen key");
    tokio::time::timeout(Duration::from_secs(60), connected.wait_for(|open| *open)).await.expect("news").unwrap();
    let hub = node.identify(site.authority.hub_identity().current().unwrap().chain()).unwrap();
    assert_eq!(node.judge_standing(&hub), Ok(()));
}

/// Shows REQ-STORE-141: who is revoked hears so by the news that it follows, also where the list that says it is signed only behind other
/// news that came meanwhile.
#[tokio::test]
async fn who_is_revoked_hears_it_before_it_is_left() {
    let site = Site::with_clock(Clock::system());
    let key = Arc::new(SigningKey::generate());
    let own = site.enrol("ct-1", &key);
    let Site { authority, clock, dir } = site;
    drop(authority);
    let inner = InProcess::open(&dir.path().join("signer")).unwrap();
    let signer = Arc::new(Sleepy { inner, away: Arc::default() });
    let authority = Authority::open(&crate::fixture::config(dir.path()), clock.clone(), signer.clone()).unwrap();
    let site = Site { authority: Arc::new(authority), clock, dir };
    let (_stopper, stop) = stop::channel();
    let address = serve(&site, stop).await;
    let chain = vec![own.into(), site.authority.issuing().der.clone().into()];
    let identity = IdentityStore::in_memory(Some(Identity::new(key, chain).unwrap()));
    let believed = Believed::Root(site.authority.root_fingerprint());
    let client = Client::tls(address, Connector::new(Some(&identity), believed, None).unwrap());
    let request = http::Request::get("/v1/news").body(axum::body::Bytes::new()).unwrap();
    let (head, mut news) = client.open(request).await.unwrap();
    assert_eq!(head.status, 200);
    news.chunk().await.unwrap().expect("what there is");

    signer.away.store(true, Ordering::SeqCst);
    let authority = site.authority.clone();
    let theft = Request::Revoke { device: "ct-1".into(), reason: Reason::Stolen, why: "van".into() };
    let revoked = tokio::task::spawn_blocking(move || authority.administer(&Asker::program(), theft)).await.unwrap();
    revoked.unwrap_err();
    // The hub goes by the list already, and has not announced it.
    let device = Subject::Device(DeviceId::of(&DeviceName::new("ct-1").unwrap(), &AwsLc));
    let list = reminded::signed(&site, &site.authority.issuing(), reminded::epoch(&site) + 1, &[device]);
    site.authority.knowledge().accept(Kind::Status, &list).unwrap();
    let routes = site.authority.news().current(Kind::Routes).unwrap();
    site.authority.news().announce(Kind::Routes, Object { version: routes.version + 1, ..routes });
    tokio::time::sleep(Duration::from_millis(200)).await;
    signer.away.store(false, Ordering::SeqCst);
    let authority = site.authority.clone();
    tokio::task::spawn_blocking(move || authority.tick()).await.unwrap().unwrap();
    let mut heard = Vec::new();
    while let Some(chunk) = news.chunk().await.unwrap() {
        heard.extend_from_slice(&chunk);
    }
    let told = site.authority.news().current(Kind::Status).unwrap();
    let heard = String::from_utf8(heard).unwrap();
    assert!(heard.contains(&format!("event: {}\nid: {}\n", Kind::Status, told.version)), "{heard}");
}

/// Shows REQ-STORE-110: a node gives the hub a list of 40,000 records, over the same door as all it asks.
#[tokio::test]
async fn a_node_reminds_the_hub_of_a_long_list() {
    let site = Arc::new(Site::with_clock(Clock::system()));
    let key = Arc::new(SigningKey::generate());
    let own = site.enrol("ct-1", &key);
    let chain = vec![own.into(), site.authority.issuing().der.clone().into()];
    let identity = IdentityStore::in_memory(Some(Identity::new(key, chain).unwrap()));
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    node.accept(Kind::SiteList, &site.authority.news().current(Kind::SiteList).unwrap().bytes).unwrap();
    let many = (0..40_000_u128).map(|id| Subject::Credential(CredentialId::from_bytes(id.to_be_bytes())));
    let all: Vec<Subject> = many.chain([reminded::device("ct-2")]).collect();
    let list = reminded::signed(&site, &site.authority.issuing(), reminded::epoch(&site) + 10, &all);
    assert!(list.len() > 1_200_000);
    node.accept(Kind::Status, &list).unwrap();
    let (_stopper, stop) = stop::channel();
    let address = serve(&site, stop.clone()).await;
    tokio::spawn(follow(news::Hub::new(address.as_str(), &identity, node.clone()).unwrap(), stop));
    let told = async {
        loop {
            let status = site.authority.news().current(Kind::Status).unwrap();
            if StatusList::danger_open(&status.bytes).unwrap().record(reminded::device("ct-2")).is_some() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), told).await.expect("the hub hears it");
}

/// Shows REQ-NODE-100, REQ-NODE-101: a machine that was off while it was revoked uses the code that it is given, and keeps
/// its folder, also where the root that it knows has been retired.
#[tokio::test]
async fn a_revoked_node_that_missed_the_news_comes_back_by_a_code() {
    for changes_of_roots in [&[][..], &["root"], &["root", "retire root"]] {
        let site = Arc::new(Site::with_clock(Clock::system()));
        let key = Arc::new(SigningKey::generate());
        let own = site.enrol("ct-1", &key);
        let chain = vec![own.clone().into(), site.authority.issuing().der.clone().into()];
        let identity = IdentityStore::in_memory(Some(Identity::new(key, chain).unwrap()));
        let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
        node.pin_root(&site.authority.root().der).unwrap();
        node.accept(Kind::SiteList, &site.authority.news().current(Kind::SiteList).unwrap().bytes).unwrap();
        let off = Arc::clone(&site);
        let code = tokio::task::spawn_blocking(move || {
            for change in changes_of_roots {
                off.ask(Request::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
            }
            off.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::KeyCompromise, why: "test".into() });
            off.code("ct-1")
        });
        let code = code.await.unwrap();
        let (_stopper, stop) = stop::channel();
        let address = serve(&site, stop.clone()).await;
        let mut changes = identity.changes();
        let enrolment = Enrolment::new(address, identity.clone(), node.clone());
        let running = tokio::spawn(enrolment.run(Some(code), stop));
        let back = async {
            while tokio::time::timeout(Duration::from_millis(300), changes.changed()).await.is_err() {
                assert!(!running.is_finished(), "it gave up");
                let person = Arc::clone(&site);
                tokio::task::spawn_blocking(move || person.approve_all()).await.unwrap();
            }
        };
        let came = tokio::time::timeout(Duration::from_secs(60), back).await;
        assert!(came.is_ok(), "{changes_of_roots:?}: it does not come back");
        let present = identity.current().unwrap();
        assert_ne!(present.own().as_ref(), &own[..]);
        let who = node.identify(present.chain()).unwrap();
        assert_eq!(node.judge_standing(&who), Ok(()));
    }
}

/// Shows REQ-NODE-101: who is led to another site's hub by its code stays where it is.
#[test]
fn no_root_but_the_sites_own_is_taken_for_one_of_the_site() {
    let (site, other) = (Site::new(), Site::new());
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    let first = site.authority.root().der.clone();
    assert!(!node.is_root_of_site(&first));
    node.pin_root(&first).unwrap();
    let list = || site.authority.news().current(Kind::SiteList).unwrap().bytes;
    node.accept(Kind::SiteList, &list()).unwrap();
    let after = ["root", "retire root"].map(|change| {
        site.ask(Request::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
        list()
    });
    let second = site.authority.root().der.clone();
    assert!(node.is_root_of_site(&first) && !node.is_root_of_site(&second), "nobody told it yet");
    for list in &after {
        node.accept(Kind::SiteList, list).unwrap();
        assert!(node.is_root_of_site(&first) && node.is_root_of_site(&second));
    }
    for der in [&other.authority.root().der, &site.authority.issuing().der, &Vec::new()] {
        assert!(!node.is_root_of_site(der));
    }
}

/// Shows REQ-TRUST-50: what a stolen key signs in the name of a new root takes back no compromise that was told in the name of
/// the old one.
#[test]
fn a_compromise_outlasts_the_name_it_was_told_in() {
    let site = Site::new();
    let stolen = site.enrol("ct-1", &SigningKey::generate());
    let issuer = site.authority.issuing().der.clone();
    site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::KeyCompromise, why: "test".into() });
    let node = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
    node.pin_root(&site.authority.root().der).unwrap();
    let take = |kind| node.accept(kind, &site.authority.news().current(kind).unwrap().bytes);
    site.ask(Request::ChangeKeys { change: "root".parse().unwrap(), anyway: false, why: String::new() });
    take(Kind::SiteList).unwrap();
    take(Kind::Status).unwrap();
    site.ask(Request::ChangeKeys { change: "retire root".parse().unwrap(), anyway: true, why: String::new() });
    take(Kind::SiteList).unwrap();
    let signer = InProcess::open(&site.dir.path().join("signer")).unwrap();
    let now = site.clock.now();
    let heading = |epoch| Heading {
        authority: site.authority.root().key,
        recovery_epoch: 0,
        epoch,
        issued: now,
        next: now.plus_seconds(60),
    };
    let denied = || {
        let who = node.identify(&[stolen.clone().into(), issuer.clone().into()]).unwrap();
        node.judge_standing(&who).unwrap_err().code
    };
    let forgets = status_list(&signer, &site.authority.issuing(), heading(1), &[]).unwrap();
    node.accept(Kind::Status, &forgets).unwrap();
    assert_eq!((denied(), node.unforgotten().len()), (Code::Compromised, 1), "what was told in the old name counts on");
    take(Kind::Status).unwrap();
    assert_eq!((denied(), node.unforgotten().len()), (Code::Compromised, 0));
}

/// Shows REQ-STORE-98: what a key has told before it was retired counts on beside a list that has forgotten it.
#[test]
fn a_compromise_outlasts_the_key_that_told_it() {
    let site = Site::new();
    let stolen = site.enrol("ct-1", &SigningKey::generate());
    let issuer = site.authority.issuing().der.clone();
    site.ask(Request::Revoke { device: "ct-1".into(), reason: Reason::KeyCompromise, why: "test".into() });
    let dir = tempfile::tempdir().unwrap();
    let open = || KnowledgeBase::open(dir.path(), site.clock.clone(), Setting::Hospital).unwrap();
    let node = open();
    node.pin_root(&site.authority.root().der).unwrap();
    let take = |node: &KnowledgeBase, kind| node.accept(kind, &site.authority.news().current(kind).unwrap().bytes);
    take(&node, Kind::SiteList).unwrap();
    take(&node, Kind::Status).unwrap();
    for change in ["rotate", "retire issuing-1"] {
        site.ask(Request::ChangeKeys { change: change.parse().unwrap(), anyway: true, why: String::new() });
    }
    take(&node, Kind::SiteList).unwrap();
    let signer = InProcess::open(&site.dir.path().join("signer")).unwrap();
    let (authority, now) = (site.authority.root().key, site.clock.now());
    let heading = Heading { authority, recovery_epoch: 0, epoch: 1, issued: now, next: now.plus_seconds(60) };
    let forgets = status_list(&signer, &site.authority.issuing(), heading, &[]).unwrap();
    node.accept(Kind::Status, &forgets).unwrap();
    let denied = |node: &KnowledgeBase| {
        let who = node.identify(&[stolen.clone().into(), issuer.clone().into()]).unwrap();
        node.judge_standing(&who).unwrap_err().code
    };
    assert_eq!((denied(&node), node.unforgotten().len()), (Code::Compromised, 1));
    drop(node);
    let node = open();
    assert_eq!((denied(&node), node.unforgotten().len()), (Code::Compromised, 1), "also behind a start");
    take(&node, Kind::Status).unwrap();
    assert_eq!((denied(&node), node.unforgotten().len()), (Code::Compromised, 0));
}
