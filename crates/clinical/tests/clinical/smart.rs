//! Software that people use, from its registration to the end of its tokens.

use crate::fixture::{House, PUBLIC, glucose, on_server, patient};
use crate::people::{App, Browser, SCOPES, STATE, challenge, query, token};
use http::{Request, StatusCode};
use medlock_clinical::jose::{Compact, KeySet};
use medlock_node::stop;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Two patients with a reading each, and the account of one of them.
pub(crate) struct Ward {
    pub(crate) house: House,
    pub(crate) anna: String,
    pub(crate) bert: String,
    pub(crate) reading: String,
    pub(crate) other: String,
    /// Anna's setup code.
    pub(crate) code: String,
}

impl Ward {
    pub(crate) async fn new() -> Self {
        Self::at(House::new()).await
    }

    pub(crate) async fn at(house: House) -> Self {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let mut made = Vec::new();
        for name in ["Anna", "Bert"] {
            let patient = gateway.create(&patient(name)).await.made();
            let device = gateway.create(&crate::fixture::device(name, &patient)).await.made();
            let reading = gateway.create(&glucose(&patient, &device, "2026-01-01T08:00:00Z")).await.made();
            made.push((patient, reading));
        }
        let code = house.account("anna", &format!("Patient/{}", made[0].0)).await;
        let [(anna, reading), (bert, other)] = <[_; 2]>::try_from(made).expect("two");
        Self { house, anna, bert, reading, other, code }
    }

    /// Lets Anna sign in and allow all that `app` asks; what the token address answers.
    pub(crate) async fn launched(&self, app: &App, change: &[(&str, &str)]) -> crate::fixture::Answer {
        let code = self.code_for(app, change).await;
        app.exchange(&self.house, &code, &[]).await
    }

    pub(crate) async fn code_for(&self, app: &App, change: &[(&str, &str)]) -> String {
        let code = self.house.code("anna").await;
        let mut browser = Browser::new(&self.house);
        let page = browser.sign_in(&query(&app.id, change), ("anna", &code)).await;
        browser.allow(&page, &[]).await.parameter("code")
    }
}

/// Shows REQ-SMART-35: a standalone launch, from the question in plain words to the patient's own data and no other's.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_lets_an_app_read_her_data_and_no_other() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    let mut browser = Browser::new(house);
    let code = ward.code.to_lowercase().replace('-', " ");
    let page = browser.sign_in(&query(&app.id, &[]), ("anna", &code)).await;
    assert!(page.text.contains("Sugar &amp; Co asks for your agreement"), "{page:?}");
    assert!(page.text.contains("read all data of this patient") && page.text.contains("stay connected for 90 days"));
    let policy = page.header("content-security-policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{policy}");
    assert!(policy.contains("form-action 'self' http://127.0.0.1:4567;"), "{policy}");
    assert_eq!(page.text.matches("<script").count(), 1, "that of passkeys alone");
    assert!(policy.contains("script-src 'nonce-"), "{policy}");
    let sent = browser.allow(&page, &[]).await;
    assert_eq!(sent.status, StatusCode::SEE_OTHER);
    assert_eq!((sent.parameter("state"), sent.parameter("iss")), (STATE.to_owned(), PUBLIC.to_owned()));
    let given = app.exchange(house, &sent.parameter("code"), &[]).await;
    assert_eq!(given.header("cache-control"), "no-store");
    assert_eq!((given.body["token_type"].as_str(), given.body["expires_in"].as_i64()), (Some("Bearer"), Some(3_600)));
    assert_eq!(
        (given.body["patient"].as_str(), given.body["need_patient_banner"].as_bool()),
        (Some(&*ward.anna), Some(true))
    );
    let scope: Vec<&str> = given.body["scope"].as_str().expect("scopes").split(' ').collect();
    let mut asked: Vec<&str> = SCOPES.split(' ').collect();
    asked.sort_unstable();
    let mut sorted = scope.clone();
    sorted.sort_unstable();
    assert_eq!(sorted, asked);
    let access = token(&given, "access_token");
    assert_eq!(house.read(&access, "Observation").await.found(), [ward.reading.as_str()]);
    assert_eq!(house.read(&access, &format!("Patient/{}", ward.anna)).await.status, StatusCode::OK);
    for path in [format!("Patient/{}", ward.bert), format!("Observation/{}", ward.other)] {
        let none = house.read(&access, &path).await;
        assert_eq!((none.status, none.code()), (StatusCode::NOT_FOUND, "fhir-not-found"));
    }
    assert_eq!(house.read(&access, &format!("Observation?patient={}", ward.bert)).await.found(), [] as [&str; 0]);
    assert_eq!(house.read(&access, "Patient").await.found(), [ward.anna.as_str()]);
    house.site.clock.advance(3_600);
    assert_eq!(house.read(&access, "Observation").await.code(), "smart-token");
}

/// Shows REQ-SMART-36: the ID token says who has signed in, checked by the published keys, in both algorithms.
#[tokio::test(flavor = "multi_thread")]
async fn an_id_token_is_checked_with_the_published_keys() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let keys = house.people_json(Request::get("/auth/keys"), String::new()).await;
    let set = KeySet::from_json(keys.body.to_string().as_bytes()).expect("a set of keys");
    for algorithm in ["RS256", "ES256"] {
        let app = house.app("secret", json!({ "id_token": algorithm })).await;
        let given = ward.launched(&app, &[]).await;
        let id_token = token(&given, "id_token");
        let read = Compact::read(&id_token).expect("a token");
        assert_eq!((read.header().algorithm.name(), read.header().typ.as_deref()), (algorithm, Some("JWT")));
        let key = set.find(read.header().key_id.as_deref(), read.header().algorithm).expect("a key").clone();
        let claims = read.verify(&key).expect("believed");
        assert_eq!(claims.text("iss"), Ok(PUBLIC.to_owned()));
        assert_eq!(claims.audiences(), Ok(vec![app.id.clone()]));
        assert_eq!(claims.text("nonce"), Ok("nonce-1".to_owned()));
        assert_eq!(claims.text("fhirUser"), Ok(format!("{PUBLIC}/fhir/Patient/{}", ward.anna)));
        let now = house.site.clock.now().unix();
        assert_eq!(
            (claims.time("iat").expect("iat").unix(), claims.time("exp").expect("exp").unix()),
            (now, now + 300)
        );
    }
    let none = ward.launched(&house.app("public", json!({})).await, &[("scope", "patient/*.rs")]).await;
    assert!(none.body.get("id_token").is_none() && none.body.get("refresh_token").is_none(), "{none:?}");
}

/// Shows REQ-SMART-37, REQ-SMART-175: each line of the question can be unticked, and what is left is what the token can.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unticked_is_not_given() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let scopes = "launch/patient patient/Observation.rs patient/Patient.rs";
    let app = house.app("public", json!({ "scopes": scopes })).await;
    let mut browser = Browser::new(house);
    let page = browser.sign_in(&query(&app.id, &[("scope", scopes)]), ("anna", &ward.code)).await;
    let ticket = page.hidden("ticket");
    let some = [
        ("ticket", ticket.as_str()),
        ("decision", "allow"),
        ("scope", "patient/Patient.rs"),
        ("scope", "patient/*.cruds"),
    ];
    let sent = browser.post("/auth/consent", &some).await;
    let given = app.exchange(house, &sent.parameter("code"), &[]).await;
    assert_eq!(given.body["scope"], "launch/patient patient/Patient.rs");
    let access = token(&given, "access_token");
    assert_eq!(house.read(&access, "Observation").await.status, StatusCode::FORBIDDEN);
    assert_eq!(house.read(&access, "Patient").await.found(), [ward.anna.as_str()]);
    for refuses in [&[("decision", "refuse")][..], &[], &[("decision", "allow")]] {
        let page = browser.authorize(&query(&app.id, &[("scope", scopes)])).await;
        let ticket = page.hidden("ticket");
        let sent = browser.post("/auth/consent", &[&[("ticket", ticket.as_str())], refuses].concat()).await;
        assert_eq!((sent.parameter("error"), sent.parameter("state")), ("access_denied".to_owned(), STATE.to_owned()));
        // RFC 9207 section 2.
        assert_eq!(sent.parameter("iss"), PUBLIC);
    }
}

/// Shows REQ-SMART-220: software that asks for the same in the words of both versions asks for it once, so who unticks it gives nothing
/// of it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_in_both_versions_is_one_line() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("public", json!({ "scopes": "launch/patient offline_access patient/*.rs" })).await;
    let readings = "patient/Observation.read patient/Observation.rs patient/Observation.read";
    let scopes = format!("launch/patient offline_access patient/Patient.rs {readings}");
    let mut browser = Browser::new(house);
    let asked = query(&app.id, &[("scope", &scopes)]);
    let page = browser.sign_in(&asked, ("anna", &ward.code)).await;
    assert_eq!(page.text.matches("glucose readings").count(), 1, "{page:?}");
    assert_eq!(page.text.matches("value=\"patient/Observation.read\"").count(), 1, "{page:?}");
    let ticket = page.hidden("ticket");
    let rest = [("ticket", &*ticket), ("decision", "allow"), ("scope", "patient/Patient.rs")];
    let sent = browser.post("/auth/consent", &rest).await;
    let given = app.exchange(house, &sent.parameter("code"), &[]).await;
    assert_eq!(given.body["scope"], "launch/patient patient/Patient.rs");
    assert_eq!(house.read(&token(&given, "access_token"), "Observation").await.status, StatusCode::FORBIDDEN);
    // What was given once is refreshed by either name, or by both.
    let given = ward.launched(&app, &[("scope", &scopes)]).await;
    let again = app.refresh(house, &token(&given, "refresh_token"), &[("scope", readings)]).await;
    assert_eq!(again.body["scope"], "patient/Observation.read", "{again:?}");
}

/// Shows REQ-SMART-38: a practitioner chooses a patient, and the app is bound to that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_practitioner_chooses_whose_data_it_is() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let (_, code) = house.doctor().await;
    let app = house.app("public", json!({ "scopes": "launch/patient patient/*.rs user/Observation.rs" })).await;
    let mut browser = Browser::new(house);
    let page = browser.sign_in(&query(&app.id, &[("scope", "launch/patient patient/*.rs")]), ("doe", &code)).await;
    assert!(page.text.contains(&ward.anna) && page.text.contains("Bert"), "{page:?}");
    let none = browser.allow(&page, &[]).await;
    assert!(none.text.contains("Choose whose data"), "{none:?}");
    let sent = browser.allow(&page, &[("patient", &ward.bert)]).await;
    let given = app.exchange(house, &sent.parameter("code"), &[]).await;
    assert_eq!(given.body["patient"].as_str(), Some(&*ward.bert));
    assert_eq!(house.read(&token(&given, "access_token"), "Observation").await.found(), [ward.other.as_str()]);
    // Whom the page does not show is found by name; nothing that is written there is anything but a name.
    for (find, found) in [("ber", true), ("BERT", true), ("bert,anna", false), ("\"><script>", false), ("|", false)] {
        let change = [("scope", "launch/patient patient/*.rs"), ("find", find)];
        let page = browser.authorize(&query(&app.id, &change)).await;
        assert_eq!((page.status, page.text.contains(&ward.bert)), (StatusCode::OK, found), "{find}: {page:?}");
        assert!(!page.text.contains(&ward.anna) && !page.text.contains("<script>"), "{find}");
        assert!(page.text.contains("role=\"search\"") && page.text.contains("name=\"state\""), "{find}");
    }
    let page = browser.authorize(&query(&app.id, &[("scope", "launch/patient patient/*.rs"), ("find", "bert")])).await;
    let sent = browser.allow(&page, &[("patient", &ward.bert)]).await;
    assert_eq!(app.exchange(house, &sent.parameter("code"), &[]).await.body["patient"].as_str(), Some(&*ward.bert));
    let page = browser.authorize(&query(&app.id, &[("scope", "user/Observation.rs")])).await;
    let given = app.exchange(house, &browser.allow(&page, &[]).await.parameter("code"), &[]).await;
    assert!(given.body.get("patient").is_none());
    assert_eq!(house.read(&token(&given, "access_token"), "Observation").await.found().len(), 2);
}

/// Shows REQ-SMART-39: a refresh token works once, and what it gives can be less and never more.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_works_once() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("secret", json!({})).await;
    let given = ward.launched(&app, &[]).await;
    let (first, refresh) = (token(&given, "access_token"), token(&given, "refresh_token"));
    let narrow = app.refresh(house, &refresh, &[("scope", "patient/Patient.rs")]).await;
    assert_eq!(
        (narrow.body["scope"].as_str(), narrow.body["patient"].as_str()),
        (Some("patient/Patient.rs"), Some(&*ward.anna))
    );
    let second = token(&narrow, "access_token");
    assert_eq!(house.read(&second, "Observation").await.status, StatusCode::FORBIDDEN);
    let wide = app.refresh(house, &token(&narrow, "refresh_token"), &[]).await;
    assert_eq!(house.read(&token(&wide, "access_token"), "Observation").await.status, StatusCode::OK);
    assert_eq!(house.read(&first, "Observation").await.status, StatusCode::OK);
    house.site.clock.advance(7_776_001);
    let late = app.refresh(house, &token(&wide, "refresh_token"), &[]).await;
    assert_eq!((late.status, &late.body["error"]), (StatusCode::BAD_REQUEST, &json!("invalid_grant")));
}

/// Shows REQ-SMART-230, REQ-SMART-231: what a person granted to one app ends without the others; and all of it with a lost phone.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_person_granted_ends_app_by_app_or_with_a_lost_phone() {
    for ward in [Ward::new().await, Ward::at(House::at(Some(on_server()))).await] {
        let house = &ward.house;
        let apps = [house.app("public", json!({})).await, house.app("public", json!({})).await];
        let given = [ward.launched(&apps[0], &[]).await, ward.launched(&apps[1], &[]).await];
        let live = async |number: usize| {
            let read = house.read(&token(&given[number], "access_token"), "Observation").await.status;
            read == StatusCode::OK
        };
        let told = house.administer(json!({ "verb": "end-apps", "name": "anna", "client": apps[0].id })).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        assert!(!live(0).await && live(1).await);
        let late = apps[0].refresh(house, &token(&given[0], "refresh_token"), &[]).await;
        assert_eq!(late.body["error"], "invalid_grant", "{late:?}");
        let told = house.administer(json!({ "verb": "end-apps", "name": "anna", "client": "nobody" })).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{told:?}");
        house.administer(json!({ "verb": "remove-passkeys", "name": "anna" })).await;
        assert!(!live(1).await);
        let late = apps[1].refresh(house, &token(&given[1], "refresh_token"), &[]).await;
        assert_eq!(late.body["error"], "invalid_grant", "{late:?}");
    }
}

/// Shows REQ-SMART-232: an account is removed though another of its name was removed in the same second.
#[tokio::test(flavor = "multi_thread")]
async fn accounts_of_one_name_end_at_the_same_time() {
    for ward in [Ward::new().await, Ward::at(House::at(Some(on_server()))).await] {
        for _ in 0..3 {
            let person = format!("Patient/{}", ward.anna);
            let told = ward.house.administer(json!({ "verb": "add-account", "name": "zoe", "person": person })).await;
            assert_eq!(told.status, StatusCode::OK, "{told:?}");
            let told = ward.house.administer(json!({ "verb": "remove-account", "name": "zoe" })).await;
            assert_eq!(told.status, StatusCode::OK, "{told:?}");
        }
    }
}

/// Shows REQ-SMART-112: who proves nothing need not say who it is to refresh, as the refresh token does; who has a secret has to
/// show it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_says_whose_it_is() {
    let ward = Ward::new().await;
    let house = &ward.house;
    for (sort, refused) in [("public", None), ("secret", Some("invalid_client"))] {
        let given = ward.launched(&house.app(sort, json!({})).await, &[]).await;
        let refresh = token(&given, "refresh_token");
        let form = [("grant_type", "refresh_token"), ("refresh_token", &*refresh)];
        let answer = house.post_form("/auth/token", &form).await;
        assert_eq!(answer.body["error"].as_str(), refused, "{sort}: {answer:?}");
        let again = house.post_form("/auth/token", &form).await;
        assert_eq!(again.body["error"].as_str(), Some(refused.unwrap_or("invalid_grant")), "{sort}: {again:?}");
    }
    let unknown = house.post_form("/auth/token", &[("grant_type", "refresh_token"), ("refresh_token", "x")]).await;
    assert_eq!(unknown.body["error"], "invalid_request", "{unknown:?}");
}

/// Shows REQ-SMART-40: software learns what its own tokens are, and nothing of others; a marked resource server of all.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_told_to_its_owner_alone() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let (app, other) = (house.app("secret", json!({})).await, house.app("secret", json!({})).await);
    let server = house.app("secret", json!({ "introspects": true })).await;
    let given = ward.launched(&app, &[]).await;
    let access = token(&given, "access_token");
    for (who, active) in [(&app, true), (&server, true), (&other, false)] {
        let told = who.ask(house, "/auth/introspect", &[("token", &access)]).await;
        assert_eq!(told.body["active"], active, "{told:?}");
        if active {
            assert_eq!(
                (told.body["client_id"].as_str(), told.body["patient"].as_str()),
                (Some(&*app.id), Some(&*ward.anna))
            );
            assert_eq!(
                (told.body["scope"].as_str(), told.body["iss"].as_str()),
                (given.body["scope"].as_str(), Some(PUBLIC))
            );
        } else {
            assert_eq!(told.body, json!({ "active": false }));
        }
    }
    let none = app.ask(house, "/auth/introspect", &[("token", &token(&given, "refresh_token"))]).await;
    assert_eq!(none.body, json!({ "active": false }), "a refresh token opens nothing");
    let public = house.app("public", json!({})).await.ask(house, "/auth/introspect", &[("token", &access)]).await;
    assert_eq!(public.body["error"], "invalid_client");
    // Another's revocation ends nothing, the owner's all of it.
    assert_eq!(other.ask(house, "/auth/revoke", &[("token", &access)]).await.status, StatusCode::OK);
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
    assert_eq!(app.ask(house, "/auth/revoke", &[("token", &access)]).await.status, StatusCode::OK);
    assert_eq!(house.read(&access, "Patient").await.code(), "smart-token");
    assert_eq!(app.ask(house, "/auth/introspect", &[("token", &access)]).await.body, json!({ "active": false }));
}

/// Shows REQ-SMART-41: discovery names what is served, and each address it names answers.
#[tokio::test(flavor = "multi_thread")]
async fn discovery_says_what_is_there() {
    let ward = Ward::new().await;
    let house = &ward.house;
    for path in ["/fhir/.well-known/smart-configuration", "/.well-known/openid-configuration"] {
        let told = house.people_json(Request::get(path), String::new()).await;
        assert_eq!((told.status, told.header("access-control-allow-origin")), (StatusCode::OK, "*"), "{path}");
        assert_eq!(
            (told.body["issuer"].as_str(), &told.body["code_challenge_methods_supported"]),
            (Some(PUBLIC), &json!(["S256"]))
        );
        for name in ["token_endpoint", "introspection_endpoint", "revocation_endpoint"] {
            let address = told.body[name].as_str().expect(name).strip_prefix(PUBLIC).expect("ours").to_owned();
            let answer = house.post_form(&address, &[]).await;
            let error = if name == "introspection_endpoint" { "invalid_client" } else { "invalid_request" };
            assert_eq!(answer.body["error"], error, "{name}: {answer:?}");
        }
        let keys =
            told.body["jwks_uri"].as_str().and_then(|address| address.strip_prefix(PUBLIC)).expect("ours").to_owned();
        let keys = house.people_json(Request::get(keys), String::new()).await;
        assert_eq!(keys.body["keys"].as_array().map(Vec::len), Some(2));
        assert!(
            keys.body["keys"]
                .as_array()
                .is_some_and(|keys| keys.iter().all(|key| key.get("d").is_none() && key["use"] == "sig"))
        );
        let authorize = told.body["authorization_endpoint"].as_str().and_then(|address| address.strip_prefix(PUBLIC));
        let page = Browser::new(house).get(authorize.expect("ours")).await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST);
    }
    let smart = house.people_json(Request::get("/fhir/.well-known/smart-configuration"), String::new()).await;
    let capabilities: Vec<&Value> = smart.body["capabilities"].as_array().expect("a list").iter().collect();
    assert!(
        ["launch-standalone", "launch-ehr", "context-ehr-patient"]
            .iter()
            .all(|name| capabilities.contains(&&json!(name)))
    );
    assert_eq!(challenge().len(), 43);
}

/// Shows REQ-SMART-42: an account or a client that is removed takes its tokens with it.
#[tokio::test(flavor = "multi_thread")]
async fn token_after_account_ended() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let (app, other) = (house.app("public", json!({})).await, house.app("public", json!({})).await);
    let (given, by_other) = (ward.launched(&app, &[]).await, ward.launched(&other, &[]).await);
    let removed = house.administer(json!({ "verb": "remove-client", "id": other.id })).await;
    assert_eq!(removed.status, StatusCode::OK);
    assert_eq!(house.read(&token(&by_other, "access_token"), "Patient").await.code(), "smart-token");
    assert_eq!(house.read(&token(&given, "access_token"), "Patient").await.status, StatusCode::OK);
    let removed = house.administer(json!({ "verb": "remove-account", "name": "anna" })).await;
    assert_eq!(removed.status, StatusCode::OK);
    assert_eq!(house.read(&token(&given, "access_token"), "Patient").await.code(), "smart-token");
    let refreshed = app.refresh(house, &token(&given, "refresh_token"), &[]).await;
    assert_eq!(refreshed.body["error"], "invalid_grant");
    for asked in [json!({ "verb": "remove-account", "name": "anna" }), json!({ "verb": "client", "id": other.id })] {
        assert_eq!(house.administer(asked).await.status, StatusCode::NOT_FOUND);
    }
    // The name is free again.
    house.account("anna", &format!("Patient/{}", ward.anna)).await;
    let twice = house
        .administer(json!({ "verb": "add-account", "name": "anna", "person": format!("Patient/{}", ward.bert) }))
        .await;
    assert_eq!(twice.status, StatusCode::CONFLICT);
}

/// Shows REQ-SMART-50: on PostgreSQL, what one hub grants is good at another, and what it ends is dead there within a second.
#[tokio::test(flavor = "multi_thread")]
async fn what_one_hub_ends_is_dead_at_another_within_a_second() {
    let place = on_server();
    let ward = Ward::at(House::at(Some(place.clone()))).await;
    let other = House::at(Some(place));
    let (stopper, stop) = stop::channel();
    let keeping = tokio::spawn(Arc::clone(&other.clinical).keep(stop));
    let app = ward.house.app("public", json!({})).await;
    for way in ["revoked", "refreshed twice", "code twice", "account removed"] {
        let code = ward.code_for(&app, &[]).await;
        let given = app.exchange(&other, &code, &[]).await;
        let (access, refresh) = (token(&given, "access_token"), token(&given, "refresh_token"));
        assert_eq!(other.read(&access, "Patient").await.status, StatusCode::OK);
        match way {
            "revoked" => _ = app.ask(&ward.house, "/auth/revoke", &[("token", &access)]).await,
            "code twice" => _ = app.exchange(&ward.house, &code, &[]).await,
            "account removed" => _ = ward.house.administer(json!({ "verb": "remove-account", "name": "anna" })).await,
            _ => {
                app.refresh(&ward.house, &refresh, &[]).await;
                app.refresh(&ward.house, &refresh, &[]).await;
            }
        }
        let began = Instant::now();
        while other.read(&access, "Patient").await.status == StatusCode::OK {
            assert!(began.elapsed() < Duration::from_secs(1), "{way}: the token is good at the other hub");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        assert_eq!(app.refresh(&other, &refresh, &[]).await.body["error"], "invalid_grant", "{way}");
    }
    stopper.stop();
    keeping.await.expect("it ended");
}

/// Shows REQ-SMART-73: software in pages of other origins asks and reads; it never reads the pages on which people sign in.
#[tokio::test(flavor = "multi_thread")]
async fn software_in_other_pages_asks_and_reads() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    let access = token(&ward.launched(&app, &[]).await, "access_token");
    let origin = "https://app.example";
    for path in ["/fhir/Observation", "/fhir/", "/auth/token", "/auth/revoke", "/fhir/metadata", "/auth/keys"] {
        let request = Request::options(path).header("origin", origin);
        let request = request.header("access-control-request-method", "POST");
        let answer = house
            .people_json(request.header("access-control-request-headers", "authorization,dpop"), String::new())
            .await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (StatusCode::NO_CONTENT, "*"),
            "{path}"
        );
        let headers = answer.header("access-control-allow-headers").to_ascii_lowercase();
        assert!(["authorization", "dpop", "content-type"].iter().all(|name| headers.contains(name)), "{headers}");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
    }
    let read = Request::get("/fhir/Observation").header("origin", origin);
    let read = house.people_json(read.header("authorization", format!("Bearer {access}")), String::new()).await;
    assert_eq!((read.found().len(), read.header("access-control-allow-origin")), (1, "*"));
    let none = house.people_json(Request::get("/fhir/Observation").header("origin", origin), String::new()).await;
    assert_eq!((none.status, none.header("access-control-allow-origin")), (StatusCode::UNAUTHORIZED, "*"));
    assert!(none.header("access-control-expose-headers").contains("WWW-Authenticate"));
    for path in ["/auth/authorize", "/auth/login", "/auth/consent", "/auth/passkey"] {
        for method in ["GET", "POST", "OPTIONS"] {
            let request = Request::builder().method(method).uri(path).header("origin", origin);
            let request = request.header("access-control-request-method", "POST");
            let page = Browser::new(house).ask(request).await;
            assert_eq!(page.header("access-control-allow-origin"), "", "{method} {path}");
        }
    }
}
