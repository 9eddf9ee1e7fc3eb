//! Devices as clients: certificate, verdict, and what a token is bound to.

use crate::fixture::{House, device, glucose, patient, patients};
use axum::body::Body;
use http::{Request, StatusCode};
use medlock_node::provider::sha256;
use medlock_trust::Role;
use medlock_trust::status::State;
use serde_json::json;

const FORM: &str = "grant_type=client_credentials&scope=system/Observation.c";

/// Shows REQ-SMART-01.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_gets_a_token_by_its_credential_alone() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway);
    let given = gateway.ask_token("system/Observation.crs system/Patient.d").await;
    assert_eq!((given.status, given.body["scope"].as_str()), (StatusCode::OK, Some("system/Observation.crs")));
    assert_eq!((given.header("cache-control"), given.body["token_type"].as_str()), ("no-store", Some("Bearer")));
    for (form, error) in [
        ("grant_type=password", "unsupported_grant_type"),
        ("scope=system/Observation.c", "invalid_request"),
        (&format!("{FORM}&client_id=other"), "invalid_client"),
        (&format!("{FORM}&client_secret=x"), "invalid_request"),
        ("grant_type=client_credentials", "invalid_scope"),
        ("grant_type=client_credentials&scope=openid", "invalid_scope"),
        ("grant_type=client_credentials&scope=system/Observation.d", "invalid_scope"),
    ] {
        assert_eq!(gateway.post_token(form).await.body["error"], error, "{form}");
    }
    assert_eq!(gateway.post_token(&format!("{FORM}&client_id=gw")).await.status, StatusCode::OK);
    let request = Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded");
    let nobody = house.ask(crate::fixture::nobody(), request, Body::from(FORM)).await;
    assert_eq!((nobody.status, nobody.body["error"].as_str()), (StatusCode::UNAUTHORIZED, Some("invalid_client")));
    house.remove("gw");
    assert_eq!(gateway.post_token(FORM).await.body["error"], "invalid_client");
}

/// Shows REQ-SMART-02.
#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_another_device_for_the_token() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let thief = house.device("thief", Role::Gateway);
    let authorization = format!("Bearer {}", gateway.token());
    let request = || Request::get("/fhir/Patient").header("authorization", &authorization);
    for peer in [thief.peer(), crate::fixture::nobody()] {
        let answer = house.ask(peer, request(), Body::empty()).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "smart-token-binding"));
    }
    // The same device with another certificate of the same name.
    let twin = house.device("gw", Role::Gateway);
    assert_eq!(house.ask(twin.peer(), request(), Body::empty()).await.code(), "smart-token-binding");
    assert_eq!(house.ask(gateway.peer(), request(), Body::empty()).await.status, StatusCode::OK);
    for wrong in ["Bearer", "Bearer ", "Basic x", &format!("{authorization}x"), &format!("Bearer {}", "x".repeat(200))]
    {
        let request = Request::get("/fhir/Patient").header("authorization", wrong);
        assert_eq!(house.ask(gateway.peer(), request, Body::empty()).await.code(), "smart-token", "{wrong}");
    }
    let twice = request().header("authorization", &authorization);
    assert_eq!(house.ask(gateway.peer(), twice, Body::empty()).await.code(), "smart-token");
    let in_query = Request::get(format!("/fhir/Patient?access_token={}", gateway.token()));
    assert_eq!(house.ask(gateway.peer(), in_query, Body::empty()).await.code(), "smart-no-token");
    house.site.clock.advance(3_600);
    assert_eq!(house.ask(gateway.peer(), request(), Body::empty()).await.code(), "smart-token", "it is late");
}

/// Shows REQ-SMART-51: a token goes with its device to a renewed certificate, and the one before serves no more; another
/// certificate of the same name does not get it.
#[tokio::test(flavor = "multi_thread")]
async fn renewed_certificate_keeps_the_token() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let renewed = house.renewed(&gateway, Role::Gateway);
    let again = house.renewed(&renewed, Role::Gateway);
    assert_eq!(gateway.get("Patient").await.status, StatusCode::OK);
    assert_eq!(renewed.get("Patient").await.status, StatusCode::OK);
    // `superseded_certificate_loses_the_token`
    assert_eq!(gateway.get("Patient").await.code(), "smart-token-binding");
    assert_eq!(renewed.get("Patient").await.status, StatusCode::OK);
    assert_eq!(again.get("Patient").await.status, StatusCode::OK);
    assert_eq!(renewed.get("Patient").await.code(), "smart-token-binding");
    assert_eq!(again.create(&patient("Anna")).await.status, StatusCode::CREATED);
}

/// Shows REQ-SMART-03.
#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_compromised_device() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    assert_eq!(gateway.create(&patient("Anna")).await.status, StatusCode::CREATED);
    house.news(&gateway, State::Compromised);
    let dead = gateway.get("Patient").await;
    assert_eq!((dead.status, dead.code()), (StatusCode::UNAUTHORIZED, "smart-standing"));
    assert!(dead.body["issue"][0]["details"]["text"].as_str().is_some_and(|text| text.contains("compromised")));
    let none = gateway.post_token(FORM).await;
    assert_eq!(none.body["error"], "unauthorized_client");
    assert!(none.body["error_description"].as_str().is_some_and(|text| text.starts_with("compromised")), "{none:?}");
}

/// Shows REQ-SMART-150: a resource server elsewhere hears of a device's token what the device could do with it here at this moment.
#[tokio::test(flavor = "multi_thread")]
async fn introspection_judges_the_device_of_a_token() {
    for house in House::both() {
        let server = house.app("secret", json!({ "introspects": true })).await;
        let told = async |token: &str| server.ask(&house, "/auth/introspect", &[("token", token)]).await.body;
        for (name, state, left) in [
            ("gw1", State::Compromised, None),
            ("gw2", State::Ceased, None),
            ("gw3", State::Suspended, Some("system/Observation.c")),
        ] {
            let gateway = house.device(name, Role::Gateway).with("system/Observation.crs system/Patient.r").await;
            let before = told(gateway.token()).await;
            assert_eq!(
                (&before["active"], &before["scope"]),
                (&json!(true), &json!("system/Observation.crs system/Patient.r"))
            );
            house.news(&gateway, state);
            let after = told(gateway.token()).await;
            assert_eq!(after["active"], left.is_some(), "{state:?}: {after}");
            assert_eq!(after["scope"].as_str(), left, "{state:?}");
        }
        let gateway = house.device("gw4", Role::Gateway).with("system/*.crs").await;
        let renewed = house.renewed(&gateway, Role::Gateway);
        assert_eq!(renewed.get("Patient").await.status, StatusCode::OK);
        let bound = told(gateway.token()).await["cnf"].clone();
        let shown = data_encoding::BASE64URL_NOPAD.encode(&sha256(&renewed.peer().chain[0]));
        assert_eq!(bound, json!({ "x5t#S256": shown }), "it went with its device");
        // Who is no gateway any more, by the register or by the new certificate, has nothing of a gateway's.
        house.device("gw4", Role::Sensor);
        assert_eq!(told(gateway.token()).await, json!({ "active": false }));
        house.remove("gw4");
        assert_eq!(told(gateway.token()).await, json!({ "active": false }));
        let gateway = house.device("gw5", Role::Gateway).with("system/*.crs").await;
        let renewed = house.renewed(&gateway, Role::Sensor);
        assert_eq!(renewed.get("Patient").await.code(), "smart-token-binding");
        assert_eq!(told(gateway.token()).await, json!({ "active": false }));
    }
}

/// Shows REQ-SMART-183: who is a gateway no more by the register has nothing of a gateway's token left, and introspection says the same.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_a_gateway_no_more_uses_no_token_of_one() {
    let house = House::new();
    let server = house.app("secret", json!({ "introspects": true })).await;
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let stands = async || {
        let told = server.ask(&house, "/auth/introspect", &[("token", gateway.token())]).await;
        (gateway.get("Patient").await.status == StatusCode::OK, told.body["active"] == true)
    };
    assert_eq!(stands().await, (true, true));
    for change in ["a sensor", "removed"] {
        match change {
            "removed" => house.remove("gw"),
            _ => _ = house.device("gw", Role::Sensor),
        }
        house.site.clock.advance(1);
        assert_eq!(stands().await, (false, false), "{change}");
        let answer = gateway.get("Patient").await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "smart-token-binding"), "{change}");
        house.device("gw", Role::Gateway);
        house.site.clock.advance(1);
        assert_eq!(stands().await, (true, true), "it is one again");
    }
}

/// Shows REQ-SMART-04: a suspended device reports, marked, and reads nothing; REQ-SMART-236: it is not sent for another token.
#[tokio::test(flavor = "multi_thread")]
async fn token_of_a_suspended_device() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let anna = gateway.create(&patient("Anna")).await.made();
    house.news(&gateway, State::Suspended);
    let read = gateway.get(&format!("Patient/{anna}")).await;
    assert_eq!((read.status, read.code()), (StatusCode::FORBIDDEN, "fhir-denied"));
    assert_eq!(read.header("www-authenticate"), "", "another token would not help");
    assert_eq!(gateway.get("_history").await.code(), "fhir-denied", "nothing says that nothing has changed");
    let written = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" } });
    let headers = [("content-type", "application/fhir+json"), ("prefer", "return=representation")];
    let written = gateway.send("POST", "Observation", &headers, &written.to_string()).await;
    assert_eq!(written.status, StatusCode::CREATED, "{written:?}");
    assert_eq!(written.body["meta"]["tag"], json!([{ "system": "urn:medlock:fhir:mark", "code": "suspended" }]));
}

/// Shows REQ-SMART-237: a suspended device tells what is new of what it measured, marked; it changes nothing, and says of nobody and nothing
/// that it is there, by no token of before and by none that it is given now.
#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_device_changes_nothing() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.cruds").await;
    let anna = gateway.create(&patient("Anna")).await.made();
    let own = gateway.create(&device("cgm", &anna)).await.made();
    let sensor = house.device("cgm", Role::Sensor).with("system/*.cruds").await;
    let reading = sensor.create(&glucose(&anna, &own, "2024-01-01")).await.made();
    let json = [("content-type", "application/fhir+json")];
    let mut changed = glucose(&anna, &own, "2024-01-01");
    changed["id"] = json!(reading);
    let path = format!("Observation/{reading}");
    assert_eq!(sensor.send("PUT", &path, &json, &changed.to_string()).await.status, StatusCode::OK);
    for (who, name) in [(gateway, "gw"), (sensor, "cgm")] {
        house.news(&who, State::Suspended);
        for resource in
            [patient("Bert"), device("other", &anna), json!({ "resourceType": "Organization", "name": "x" })]
        {
            let answer = who.create(&resource).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-denied"), "{name} {answer:?}");
        }
        let renamed = json!({ "resourceType": "Patient", "id": anna, "name": [{ "family": "Nobody" }] });
        for (path, body) in [(&*path, &changed), (&format!("Patient/{anna}"), &renamed)] {
            let answer = who.send("PUT", path, &json, &body.to_string()).await;
            assert_eq!(answer.status, StatusCode::FORBIDDEN, "{name} {path}: {answer:?}");
        }
        let new = who.create(&glucose(&anna, &own, "2024-01-02")).await;
        assert_eq!(new.status, StatusCode::CREATED, "{name}: {new:?}");
        let again = who.ask_token("system/*.cruds").await;
        let scope = again.body["scope"].as_str().expect("scopes").to_owned();
        let mut scopes: Vec<&str> = scope.split(' ').collect();
        scopes.sort_unstable();
        assert_eq!(scopes, ["system/MedicationAdministration.c", "system/Observation.c"], "{name}");
        // The token of that time tells whose a reading is, also when all is well again.
        let late = who.with("system/*.cruds").await;
        house.news(&late, None);
        late.create(&glucose(&anna, &own, "2024-01-03")).await.made();
        assert_eq!(late.get(&format!("Patient/{anna}")).await.status, StatusCode::FORBIDDEN, "{name}");
    }
}

/// Shows REQ-SMART-05: expiry alone ends no reporting.
#[tokio::test(flavor = "multi_thread")]
async fn expired_device_reports_marked() {
    let house = House::new();
    let gateway = house.device_with("gw", Role::Gateway, house.site.past()).with("system/*.crs").await;
    let headers = [("content-type", "application/fhir+json"), ("prefer", "return=representation")];
    let tags = json!([{ "system": "urn:medlock:fhir:mark", "code": "forged" }, { "code": "own" }]);
    let patient = json!({ "resourceType": "Patient", "meta": { "tag": tags } });
    let made = gateway.send("POST", "Patient", &headers, &patient.to_string()).await;
    let expected = json!([{ "code": "own" }, { "system": "urn:medlock:fhir:mark", "code": "expired-within-grace" }]);
    assert_eq!((made.status, &made.body["meta"]["tag"]), (StatusCode::CREATED, &expected), "{made:?}");
    let found = gateway.get("Patient?_tag=urn:medlock:fhir:mark|forged").await;
    assert_eq!(found.found().len(), 0, "a mark that was forged is not found either");
    let found = gateway.get("Patient?_tag=urn:medlock:fhir:mark|expired-within-grace").await;
    assert_eq!(found.found().len(), 1);
}

/// Shows REQ-SMART-06, REQ-SMART-60.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_writes_its_own_alone() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
    let unknown = house.device("cgm", Role::Sensor).ask_token("system/Observation.c").await;
    assert_eq!(unknown.body["error"], "unauthorized_client", "no resource is this device yet");
    let own = gateway.create(&device("cgm", &anna)).await.made();
    let other = gateway.create(&device("pump", &anna)).await.made();
    let sensor = house.device("cgm", Role::Sensor);
    let given = sensor.ask_token("system/*.cruds").await;
    let scope = given.body["scope"].as_str().expect("scopes").to_owned();
    assert!(scope.contains("system/Observation.crus") && scope.contains("system/Patient.rs "), "{scope}");
    assert!(!scope.contains("Practitioner"), "what names no device is not its own: {scope}");
    let sensor = sensor.with("system/*.cruds").await;
    let made = sensor.create(&glucose(&anna, &own, "2024-01-01")).await;
    assert_eq!(made.status, StatusCode::CREATED, "{made:?}");
    // device_writes_for_another_device
    let answer = sensor.create(&glucose(&anna, &other, "2024-01-01")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-reference"));
    // device_writes_for_another_patient
    let answer = sensor.create(&glucose(&bert, &own, "2024-01-01")).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-reference"));
    // Of nobody, or by nobody.
    for member in ["subject", "device"] {
        let mut reading = glucose(&anna, &own, "2024-01-01");
        reading.as_object_mut().expect("an object").remove(member);
        let answer = sensor.create(&reading).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"), "{member}");
    }
    let answer = sensor.create(&device("other", &anna)).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN, "a device makes no devices");
    assert_eq!(gateway.get("Observation").await.found().len(), 1, "nothing is left of what was refused");
    // device_reads_beyond_its_own
    let hidden = gateway.create(&glucose(&bert, &other, "2024-01-01")).await.made();
    assert_eq!(sensor.get(&format!("Observation/{hidden}")).await.code(), "fhir-not-found");
    // device_claimed_twice: the first stays the device, whoever says what.
    let second = gateway.create(&device("cgm", &bert)).await;
    assert_eq!((second.status, second.code()), (StatusCode::FORBIDDEN, "fhir-device-name"));
    assert_eq!(sensor.ask_token("system/Observation.c").await.status, StatusCode::OK);
}
