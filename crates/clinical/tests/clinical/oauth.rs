//! What the authorization server tells its clients: errors as the standards have them, scopes as they were asked, and what a token is.

use crate::backend::{Backend, jwk};
use crate::fixture::{House, device};
use crate::people::{Browser, CALLBACK, query, token};
use crate::smart::Ward;
use http::{Request, StatusCode};
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_trust::Role;
use medlock_trust::status::State;
use serde_json::{Value, json};

/// Shows REQ-SMART-193: whoever does not prove who it is, is told no token (401); software in its own name asks by a token of its own too, and
/// nobody else by one.
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_what_a_token_is_proves_who_it_is() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let (public, secret) = (house.app("public", json!({})).await, house.app("secret", json!({})).await);
    let persons = token(&ward.launched(&public, &[]).await, "access_token");
    let nobody = house.post_form("/auth/introspect", &[("token", &persons)]).await;
    let wrong = house.post_form("/auth/introspect", &[("token", &persons), ("client_id", &secret.id)]).await;
    let public = public.ask(house, "/auth/introspect", &[("token", &persons)]).await;
    for answer in [nobody, wrong, public] {
        let told = (answer.status, &answer.body["error"]);
        assert_eq!(told, (StatusCode::UNAUTHORIZED, &json!("invalid_client")), "{answer:?}");
        assert!(answer.header("www-authenticate").starts_with("Basic "), "{answer:?}");
    }
    let software = Backend::new(house, "system/Patient.rs system/Observation.rs").await;
    let key = SigningKey::generate_with(SigningAlgorithm::P384);
    let keys = json!({ "keys": [jwk(&key, "k1")] }).to_string();
    let marked = json!({ "keys": keys, "scopes": "system/Patient.rs", "redirects": [], "introspects": true });
    let marked = Backend::registered(house, key, marked).await;
    let (own, all) = (software.token("system/Patient.rs").await, marked.token("system/Patient.rs").await);
    let asks = async |bearer: &str, of: &str| {
        let request = Request::post("/auth/introspect").header("content-type", "application/x-www-form-urlencoded");
        let request = request.header("authorization", format!("Bearer {bearer}"));
        house.people_json(request, crate::people::form(&[("token", of)])).await
    };
    for (bearer, of, client) in [
        (&own, &own, Some(software.id())),
        (&own, &all, None),
        (&own, &persons, None),
        (&all, &own, Some(software.id())),
        (&all, &all, Some(marked.id())),
    ] {
        let told = asks(bearer, of).await;
        assert_eq!((told.status, &told.body["active"]), (StatusCode::OK, &json!(client.is_some())), "{told:?}");
        assert_eq!(told.body["client_id"].as_str(), client);
    }
    assert_eq!(asks(&all, &persons).await.body["patient"].as_str(), Some(&*ward.anna));
    let gateways = house.device("gw", Role::Gateway).with("system/Patient.rs").await;
    house.site.clock.advance(301);
    for no in [&*persons, gateways.token(), &*own, "nonsense"] {
        let told = asks(no, &persons).await;
        assert_eq!((told.status, &told.body["error"]), (StatusCode::UNAUTHORIZED, &json!("invalid_token")), "{told:?}");
        assert!(told.header("www-authenticate").starts_with("Bearer "), "{told:?}");
    }
}

/// Shows REQ-SMART-194: a revocation is answered with nothing, and what is not asked by POST with the error of OAuth.
#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_is_answered_with_nothing_and_get_with_an_error() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    let access = token(&ward.launched(&app, &[]).await, "access_token");
    let done = app.ask(house, "/auth/revoke", &[("token", &access)]).await;
    assert_eq!((done.status, &done.body, done.header("cache-control")), (StatusCode::OK, &Value::Null, "no-store"));
    assert_eq!((done.header("content-type"), done.header("content-length")), ("", "0"), "not even null");
    for path in ["/auth/token", "/auth/introspect", "/auth/revoke"] {
        for method in ["GET", "PUT"] {
            let answer = house.people_json(Request::builder().method(method).uri(path), String::new()).await;
            let told = (answer.status, &answer.body["error"], answer.header("allow"));
            assert_eq!(told, (StatusCode::METHOD_NOT_ALLOWED, &json!("invalid_request"), "POST"), "{path}");
        }
    }
}

/// Shows REQ-SMART-187: why a device gets no token is one of the errors that there are for that (RFC 6749 section 5.2): what it asks, or
/// that it may not ask.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_an_error_of_the_standard() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let sensor = house.device("cgm", Role::Sensor);
    let asked = async |scope: &str| {
        let answer = sensor.ask_token(scope).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        answer.body["error"].as_str().expect("an error").to_owned()
    };
    for scope in ["patient/Observation.rs", "user/*.rs", "system/Observation.d", "system/Practitioner.rs", "openid"] {
        assert_eq!(asked(scope).await, "invalid_scope", "{scope}");
    }
    assert_eq!(asked("system/Observation.c").await, "unauthorized_client", "it is no Device here");
    let anna = gateway.create(&crate::fixture::patient("Anna")).await.made();
    gateway.create(&device("cgm", &anna)).await.made();
    assert_eq!(sensor.ask_token("system/Observation.c").await.status, StatusCode::OK);
    // A modality stores, and reports nothing.
    let report = house.device("ct", Role::Modality).ask_token("system/Observation.c").await;
    let told = report.body["error_description"].as_str().unwrap_or_default();
    assert!(report.body["error"] == "unauthorized_client" && told.starts_with("role-lacks-operation"), "{report:?}");
    house.news(&sensor, State::Compromised);
    assert_eq!(asked("patient/Observation.rs").await, "invalid_scope");
    let dead = sensor.ask_token("system/Observation.c").await;
    let told = dead.body["error_description"].as_str().unwrap_or_default();
    assert!(dead.body["error"] == "unauthorized_client" && told.starts_with("compromised"), "{dead:?}");
}

/// Shows REQ-SMART-194: who asks in the words of version 1 finds them in what it is given, until less is given than they mean.
#[tokio::test(flavor = "multi_thread")]
async fn scopes_of_version_1_are_told_as_they_were_asked() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let registered = "launch/patient offline_access patient/*.cruds";
    for (scopes, asked, given) in [
        (registered, "patient/Observation.read patient/Patient.rs", "patient/Observation.read patient/Patient.rs"),
        (registered, "patient/*.* patient/Device.write", "patient/*.* patient/Device.write"),
        ("patient/*.read", "patient/*.rs", "patient/*.rs"),
        ("patient/Observation.rs", "patient/Observation.*", "patient/Observation.read"),
        ("patient/Observation.crs", "patient/Observation.*", "patient/Observation.crs"),
        ("patient/Observation.rs?status=final", "patient/Observation.read", "patient/Observation.rs?status=final"),
        // Nobody says who works where, and what belongs to nobody is read for one.
        (
            registered,
            "patient/Organization.* patient/Provenance.cruds",
            "patient/Organization.read patient/Provenance.rs",
        ),
    ] {
        let app = house.app("secret", json!({ "scopes": scopes })).await;
        let answer = ward.launched(&app, &[("scope", &format!("{asked} offline_access"))]).await;
        let told = answer.body["scope"].as_str().unwrap_or_default();
        let told = told.strip_prefix("offline_access ").unwrap_or(told);
        assert_eq!(told, given, "{asked} of {scopes}: {answer:?}");
        let access = token(&answer, "access_token");
        let introspected = app.ask(house, "/auth/introspect", &[("token", &access)]).await;
        assert_eq!(introspected.body["scope"], answer.body["scope"]);
    }
    let app = house.app("public", json!({ "scopes": registered })).await;
    let given = ward.launched(&app, &[("scope", "offline_access patient/Observation.read")]).await;
    let again = app.refresh(house, &token(&given, "refresh_token"), &[("scope", "patient/Observation.read")]).await;
    assert_eq!(again.body["scope"], "patient/Observation.read", "{again:?}");
    assert_eq!(house.read(&token(&again, "access_token"), "Observation").await.found(), [ward.reading.as_str()]);
}

/// Shows REQ-SMART-189: discovery names each scope with all that is done by it, and no more; each can be registered, and is given as it is told.
#[tokio::test(flavor = "multi_thread")]
async fn scopes_that_are_told_are_those_that_are_served() {
    let house = House::new();
    let told = house.read("", ".well-known/smart-configuration").await.body;
    let told: Vec<&str> =
        told["scopes_supported"].as_array().expect("scopes").iter().filter_map(Value::as_str).collect();
    for scope in [
        "system/Observation.cruds",
        "user/Practitioner.crus",
        "user/PractitionerRole.rs",
        "system/PractitionerRole.cruds",
        "patient/Organization.rs",
        "patient/Patient.rus",
        "patient/Subscription.rs",
        "user/Subscription.cruds",
        "system/Provenance.rs",
        "user/AuditEvent.rs",
        "patient/*.cruds",
    ] {
        assert!(told.contains(&scope), "{scope}: {told:?}");
    }
    let own: Vec<&str> =
        told.iter().copied().filter(|scope| scope.starts_with("system/") && !scope.contains('*')).collect();
    let software = Backend::new(&house, "system/*.cruds").await;
    for scopes in own.chunks(2) {
        let scopes = scopes.join(" ");
        assert_eq!(software.given(&scopes).await.body["scope"], scopes);
    }
    // What a person's software never gets, it is not told that it has.
    let (_, code) = house.doctor().await;
    let app = house.app("public", json!({ "scopes": "user/*.cruds" })).await;
    let mut browser = Browser::new(&house);
    let asked = "user/PractitionerRole.cruds user/Practitioner.cruds";
    let page = browser.sign_in(&query(&app.id, &[("scope", asked)]), ("doe", &code)).await;
    assert!(page.text.contains("read, add and change who works") && !page.text.contains("delete"), "{page:?}");
    let given = app.exchange(&house, &browser.allow(&page, &[]).await.parameter("code"), &[]).await;
    assert_eq!(given.body["scope"], "user/PractitionerRole.rs user/Practitioner.crus");
}

/// Shows REQ-SMART-191: an app on the same machine gets its code at whichever port it listens, and redeems it with that address.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_this_machine_gets_its_code_at_any_port() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app =
        house.app("public", json!({ "redirects": ["http://127.0.0.1/callback", "http://localhost:1/callback"] })).await;
    let code = ward.code_for(&app, &[("redirect_uri", CALLBACK)]).await;
    let other = CALLBACK.replace("4567", "4568");
    assert_eq!(app.exchange(house, &code, &[("redirect_uri", &other)]).await.body["error"], "invalid_grant");
    assert_eq!(app.exchange(house, &code, &[]).await.status, StatusCode::OK);
    for no in ["http://localhost:2/callback", "http://127.0.0.1:4567/callback/x", "http://[::1]:4567/callback"] {
        let page = Browser::new(house).authorize(&query(&app.id, &[("redirect_uri", no)])).await;
        assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""), "{no}");
    }
}

/// Shows REQ-SMART-195: software is not registered for what it never could get, and the administrator is told what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn what_it_never_could_get_software_is_not_registered_for() {
    let house = House::new();
    let keys = json!({ "keys": [jwk(&SigningKey::generate_with(SigningAlgorithm::P384), "k1")] }).to_string();
    let add = async |sort: &str, redirects: &[&str], scopes: &str, introspects: bool| {
        let keys = (sort == "keys").then_some(&keys);
        let asked = json!({
            "verb": "add-client", "name": "x", "sort": sort, "redirects": redirects, "scopes": scopes, "keys": keys,
            "introspects": introspects,
        });
        let told = house.administer(asked).await;
        (told.status, told.body["error"].as_str().unwrap_or_default().to_owned())
    };
    for (sort, redirects, scopes, why) in [
        ("public", &[][..], "patient/Observation.rs", "--redirect"),
        ("secret", &[], "openid", "--redirect"),
        ("keys", &[], "system/Patient.rs launch/patient", "--redirect"),
        ("public", &[CALLBACK], "system/Observation.rs", "--sort keys"),
        ("secret", &[CALLBACK], "patient/*.rs medlock/launch", "--sort keys"),
        ("public", &[CALLBACK], "patient/Observation.rs?value-quantity=3", "'value-quantity'"),
        ("public", &[CALLBACK], "patient/Observation.rs?status=final&colour=x", "'colour'"),
        ("public", &[CALLBACK], "patient/Encounter.rs?status=final", "no scope that is served"),
    ] {
        let (status, told) = add(sort, redirects, scopes, false).await;
        assert!(status == StatusCode::BAD_REQUEST && told.replace('"', "'").contains(why), "{scopes}: {told}");
    }
    for (sort, redirects, scopes, introspects) in [
        ("public", &[CALLBACK][..], "patient/Observation.rs", false),
        ("keys", &[], "system/Patient.rs medlock/launch", false),
        ("keys", &[CALLBACK], "system/Patient.rs launch/patient", false),
        ("secret", &[], "patient/*.rs", true),
    ] {
        let (status, told) = add(sort, redirects, scopes, introspects).await;
        assert_eq!(status, StatusCode::OK, "{scopes}: {told}");
    }
}
