//! Which Device a device of the register is: software cannot say it, so that no reading comes to another patient.

use crate::fixture::{Answer, Device, House, device, glucose, moment, patient, patients, transaction};
use http::{Method, Request, StatusCode};
use medlock_clinical::DEVICE_SYSTEM;
use medlock_trust::Role;
use serde_json::{Value, json};

async fn send(house: &House, token: &str, (method, path): (Method, &str), body: &Value) -> Answer {
    let request = Request::builder().method(method).uri(format!("/fhir{path}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    let request = request.header("content-type", "application/fhir+json");
    house.people_json(request, body.to_string()).await
}

fn refused(name: &str, answer: &Answer) {
    assert_eq!((answer.status, answer.code()), (StatusCode::FORBIDDEN, "fhir-device-name"), "{name}: {answer:?}");
}

async fn named(gateway: &Device<'_>, name: &str) -> Vec<String> {
    gateway.get(&format!("Device?identifier={DEVICE_SYSTEM}|{name}")).await.found()
}

fn with(mut resource: Value, id: &str, identifiers: Value) -> Value {
    resource["id"] = json!(id);
    resource["identifier"] = identifiers;
    resource
}

/// Shows REQ-SMART-60: software that may write Devices neither claims a device of the register nor lets go of one, in no
/// interaction; what the device measures stays its patient's.
#[tokio::test(flavor = "multi_thread")]
async fn device_identity_claimed_by_software() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let cgm = gateway.create(&device("cgm", &anna)).await.made();
        let software = house.registry().await;
        let ask = async |to: (Method, &str), body: &Value| send(&house, &software, to, body).await;
        let identifier = |name: &str| json!([{ "system": DEVICE_SYSTEM, "value": name }]);

        // Claims: of one that is there, of one that is not yet, hidden among others, written so that the index reads it.
        let plain = json!({ "resourceType": "Device", "patient": { "reference": format!("Patient/{bert}") } });
        for (name, identifiers) in [
            ("device_claimed_twice", identifier("cgm")),
            ("device_claimed_first", identifier("pump")),
            ("device_claimed_among_others", json!([{ "value": "x" }, { "system": DEVICE_SYSTEM, "value": "pump" }])),
            ("device_claimed_by_two_names", json!([identifier("pump")[0], identifier("hub")[0]])),
            ("device_claimed_in_disguise", json!([{ "system": "urn:medlock:fhir:dev\u{1f}ice", "value": "pump" }])),
        ] {
            let mut claim = plain.clone();
            claim["identifier"] = identifiers;
            let answer = ask((Method::POST, "/Device"), &claim).await;
            // A separator may not even be a character of a value.
            if answer.code() != "fhir-value" || !name.ends_with("disguise") {
                refused(name, &answer);
            }
            let entry = json!({ "resource": claim, "request": { "method": "POST", "url": "Device" } });
            let bundle = transaction([entry]);
            let answer = ask((Method::POST, ""), &bundle).await;
            assert!(answer.status.is_client_error(), "{name}: {answer:?}");
        }
        let to = format!("/Device?identifier={DEVICE_SYSTEM}|pump");
        refused("conditional update", &ask((Method::PUT, &to), &device("pump", &bert)).await);
        let own = ask((Method::POST, "/Device"), &plain).await.made();
        let path = format!("/Device/{own}");
        refused("claimed later", &ask((Method::PUT, &path), &with(plain.clone(), &own, identifier("pump"))).await);

        // Changes of the one that is it: another name, none, the end of it.
        let path = format!("/Device/{cgm}");
        for name in ["pump", ""] {
            let identifiers = if name.is_empty() { json!([{ "value": "serial" }]) } else { identifier(name) };
            let changed = with(device("cgm", &anna), &cgm, identifiers);
            refused(name, &ask((Method::PUT, &path), &changed).await);
            let by_gateway = [("content-type", "application/fhir+json")];
            let answer = gateway.send("PUT", &path[1..], &by_gateway, &changed.to_string()).await;
            refused("the gateway lets go of nothing either", &answer);
        }
        refused("deleted", &ask((Method::DELETE, &path), &Value::Null).await);
        let to = format!("/Device?identifier={DEVICE_SYSTEM}|cgm");
        refused("deleted by condition", &ask((Method::DELETE, &to), &Value::Null).await);
        let kept = with(device("cgm", &anna), &cgm, json!([identifier("cgm")[0], { "value": "serial" }]));
        assert_eq!(ask((Method::PUT, &path), &kept).await.status, StatusCode::OK, "all else is software's to change");

        assert_eq!((named(&gateway, "cgm").await, named(&gateway, "pump").await.len()), (vec![cgm.clone()], 0));
        let sensor = house.device("cgm", Role::Sensor).with("system/Observation.crs").await;
        assert_eq!(sensor.create(&glucose(&anna, &cgm, "2024-01-01")).await.status, StatusCode::CREATED);
        assert_eq!(sensor.create(&glucose(&bert, &cgm, "2024-01-01")).await.code(), "fhir-reference");
    }
}

/// Shows REQ-SMART-61: the administrator says which Device a device of the register is, one for each, and takes it back; then
/// its tokens have ended.
#[tokio::test(flavor = "multi_thread")]
async fn the_administrator_says_which_device_it_is() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let anna = gateway.create(&patient("Anna")).await.made();
        let plain = json!({ "resourceType": "Device", "patient": { "reference": format!("Patient/{anna}") } });
        let (one, other) = (gateway.create(&plain).await.made(), gateway.create(&plain).await.made());
        // As another Device it measured before; of what it was then, the new one does not tell.
        let sensor = house.device("cgm", Role::Sensor);
        assert_eq!(sensor.ask_token("system/Observation.c").await.body["error"], "unauthorized_client");
        let bind = async |name: &str, id: &str| {
            let asked = json!({ "verb": "bind-device", "name": name, "device": format!("Device/{id}") });
            house.administer(asked).await.status
        };
        assert_eq!(bind("unknown", &one).await, StatusCode::NOT_FOUND);
        assert_eq!(bind("cgm", "00000000000000000000000000").await, StatusCode::NOT_FOUND);
        assert_eq!(bind("cgm", &one).await, StatusCode::OK);
        assert_eq!(bind("cgm", &one).await, StatusCode::OK, "again");
        assert_eq!(named(&gateway, "cgm").await, std::slice::from_ref(&one));
        let sensor = sensor.with("system/Observation.crs").await;
        assert_eq!(sensor.create(&glucose(&anna, &one, "2024-01-01")).await.status, StatusCode::CREATED);
        let release = async || house.administer(json!({ "verb": "release-device", "name": "cgm" })).await.status;
        assert_eq!((release().await, release().await), (StatusCode::OK, StatusCode::NOT_FOUND));
        assert_eq!(sensor.get("Observation").await.code(), "smart-token", "its tokens have ended");
        assert_eq!(bind("cgm", &other).await, StatusCode::OK);
        let sensor = house.device("cgm", Role::Sensor).with("system/Observation.crs").await;
        assert_eq!(sensor.create(&glucose(&anna, &one, "2024-01-01")).await.code(), "fhir-reference");
        assert_eq!(sensor.create(&glucose(&anna, &other, "2024-01-01")).await.code(), "fhir-not-then");
        assert_eq!(sensor.create(&glucose(&anna, &other, &moment(&gateway).await)).await.status, StatusCode::CREATED);
    }
}
