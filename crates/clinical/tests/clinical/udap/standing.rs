//! What software of a community keeps, when its community or the site thinks otherwise.

use super::*;
use crate::fixture::{glucose, on_server};
use crate::subscription::{self, Hook, subscription};
use medlock_node::stop;
use std::sync::Arc;
use std::time::{Duration, Instant};

const TOLD: &str = "system/Subscription.cruds system/Observation.rs system/Patient.rs";

/// A store for hubs that come one after another.
fn places() -> impl Fn() -> Option<Place> {
    let place = on_server();
    move || Some(place.clone())
}

async fn subscribe(house: &House, token: &str, subscription: &Value) -> String {
    let request = Request::post("/fhir/Subscription").header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/fhir+json");
    house.people_json(request, subscription.to_string()).await.made()
}

/// Shows REQ-SMART-123, REQ-SMART-124: software whose certificate is revoked or late, whose authority has no fresh list, or whose community
/// the site has left, keeps no token and is told nothing by its Subscription; with a newer certificate it is told on.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_community_does_not_vouch_for_is_told_nothing() {
    let (authority, hook, place) = (Authority::new(), Hook::new(), places());
    authority.revoke("own", None, 7);
    let lists = vec![authority.at().join("own.crl")];
    let config = CommunityConfig { revocation_lists: lists, scopes: TOLD.to_owned(), ..authority.community(COMMUNITY) };
    let house = House::with(place(), |settings| (settings.udap, settings.outbound) = (vec![config], hook.outbound()));
    house.site.clock.advance(300);
    let ward = subscription::Ward::new(&house).await;
    let software = authority.software("app", EC, APP, 30);
    let wish = changed(&statement(&house, "1"), [("scope", json!(TOLD))]);
    let id = id_of(&software.registers(&house, &wish).await, StatusCode::CREATED);
    let access = token(&software.asks_for(&house, &id, "1", TOLD).await, "access_token");
    let made = subscribe(&house, &access, &subscription("Observation", &hook.address("x"), true)).await;
    ward.reading(0, 1).await;
    hook.until("/x", 1).await;
    let told_still = async |count: usize| {
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(2) {
            house.site.clock.advance(2);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert_eq!(hook.until("/x", count).await.len(), count, "nothing more is told");
    };

    authority.revoke("own", Some("app"), 7);
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::UNAUTHORIZED);
    ward.reading(0, 2).await;
    told_still(1).await;
    let seen = subscription::seen(&house, &made).await;
    assert_eq!(seen["status"], "active", "it may come back: {seen}");

    // It has a newer certificate, for some days.
    let newer = authority.software("newer", EC, APP, 5);
    let access = token(&newer.asks_for(&house, &id, "2", TOLD).await, "access_token");
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
    let began = Instant::now();
    while hook.told().iter().filter(|one| one["path"].as_str().is_some_and(|path| path.starts_with("/x"))).count() < 2 {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not told on");
        house.site.clock.advance(2);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }

    // That is late.
    house.site.clock.advance(5 * 86_400);
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::UNAUTHORIZED);
    let reading = async |house: &House, minute: u32| {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let (patient, device) = &ward.patients[0];
        gateway.create(&glucose(patient, device, &format!("2024-01-01T09:{minute:02}:00Z"))).await.made();
    };
    reading(&house, 1).await;
    told_still(2).await;

    // The site has left the community: nobody vouches for anybody there.
    let lasting = authority.software("lasting", EC, APP, 30);
    let access = token(&lasting.asks_for(&house, &id, "3", TOLD).await, "access_token");
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
    ward.stopper.stop();
    let count = hook.told().len();
    let other = House::calling(place(), hook.outbound());
    other.site.clock.advance(house.site.clock.now().unix() - other.site.clock.now().unix() + 60);
    let (_stopper, stop) = stop::channel();
    tokio::spawn(Arc::clone(&other.clinical).keep(stop));
    assert_eq!(other.read(&access, "Patient").await.status, StatusCode::UNAUTHORIZED);
    reading(&other, 2).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    assert_eq!(hook.told().len(), count);
}

/// Shows REQ-SMART-125: what the site gives to a community bounds what its software has, also where that has registered, and has tokens,
/// from when it was more. REQ-SMART-147: also where it is a part of a kind.
#[tokio::test(flavor = "multi_thread")]
async fn a_community_is_given_less_and_so_is_its_software() {
    let (authority, place) = (Authority::new(), places());
    let with = |scopes: &str| {
        house_at(place(), vec![CommunityConfig { scopes: scopes.to_owned(), ..authority.community(COMMUNITY) }])
    };
    let house = with("system/Patient.rs system/Device.rs");
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let patient = gateway.create(&patient("Anna")).await.made();
    gateway.create(&crate::fixture::device("own", &patient)).await.made();
    let software = authority.software("app", EC, APP, 30);
    let id = id_of(&software.registers(&house, &statement(&house, "1")).await, StatusCode::CREATED);
    let both = "system/Patient.rs system/Device.rs";
    let access = token(&software.asks_for(&house, &id, "1", both).await, "access_token");
    for path in ["Patient", "Device"] {
        assert_eq!(house.read(&access, path).await.status, StatusCode::OK, "{path}");
    }
    let house = with("system/Device.rs");
    assert_eq!(house.read(&access, "Device").await.status, StatusCode::OK);
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::FORBIDDEN);
    let given = software.asks_for(&house, &id, "2", both).await;
    assert_eq!((given.status, &given.body["scope"]), (StatusCode::OK, &json!("system/Device.rs")), "{given:?}");
    let refused = software.asks_for(&house, &id, "3", "system/Patient.rs").await;
    assert_eq!(refused.body["error"], "invalid_scope", "{refused:?}");
    // More is given again: what it is registered for was kept.
    let house = with(both);
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
    // A part of a kind is what is left of all of it.
    let part = "system/Device.rs?status=active";
    let house = with(&format!("system/Patient.rs {part}"));
    let found = house.read(&access, "Device").await;
    assert_eq!((found.status, found.found().len()), (StatusCode::OK, 0), "it says no status: {found:?}");
    for (number, asked) in [("4", "system/Device.rs"), ("5", part)] {
        let given = software.asks_for(&house, &id, number, asked).await;
        assert_eq!(given.body["scope"], part, "{given:?}");
        assert_eq!(house.read(&token(&given, "access_token"), "Device").await.found(), [""; 0]);
    }
}

/// Shows REQ-SMART-192: an assertion that comes again does not bring back the chain that was shown with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_assertion_brings_no_former_chain_back() {
    let authority = Authority::new();
    authority.revoke("own", None, 7);
    let lists = vec![authority.at().join("own.crl")];
    let house = house(vec![CommunityConfig { revocation_lists: lists, ..authority.community(COMMUNITY) }]);
    let (former, newer) = (authority.software("app", EC, APP, 30), authority.software("newer", EC, APP, 30));
    let id = id_of(&former.registers(&house, &statement(&house, "1")).await, StatusCode::CREATED);
    let replayed = former.signed(&assertion(&house, &id, "1"));
    assert_eq!(ask(&house, &replayed, &[("udap", "1")]).await.status, StatusCode::OK);
    let access = token(&newer.asks(&house, &id, "2").await, "access_token");
    assert_eq!(ask(&house, &replayed, &[("udap", "1")]).await.body["error"], "invalid_client");
    let pairs = [("token", &*access), ("client_assertion_type", TYPE), ("client_assertion", &*replayed), ("udap", "1")];
    assert_eq!(house.post_form("/auth/introspect", &pairs).await.body["error"], "invalid_client");
    // Nobody vouches for who showed that any more.
    authority.revoke("own", Some("app"), 7);
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
}
