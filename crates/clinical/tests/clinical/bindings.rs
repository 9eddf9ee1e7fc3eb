//! What a device measured goes to nobody by what it is now: it was another Device before, or is none.

use crate::fixture::{Device, House, device, glucose, moment, patients, transaction};
use crate::intake::{administrations, at, bolus, deliveries, number, number_of, reading, readings};
use http::StatusCode;
use medlock_clinical::DEVICE_SYSTEM;
use medlock_clinical::seam::Kept;
use medlock_trust::{Interval, Role, Time};
use serde_json::{Value, json};

async fn bind(house: &House, name: &str, id: &str) -> StatusCode {
    house.administer(json!({ "verb": "bind-device", "name": name, "device": format!("Device/{id}") })).await.status
}

async fn release(house: &House, name: &str) -> StatusCode {
    house.administer(json!({ "verb": "release-device", "name": name })).await.status
}

/// Hands over a reading of that time.
fn measured(house: &House, cgm: &Device<'_>, number_given: u64, when: Time) {
    let one = reading(number_given, number(100, 0), Some(Interval::exactly(when)));
    assert_eq!(readings(house, cgm, &[one]).expect("kept"), [Kept::New]);
}

async fn observations(gateway: &Device<'_>, which: &str) -> Vec<Value> {
    let mut found = gateway.get(&format!("Observation?{which}")).await.resources();
    found.sort_by_key(number_of);
    found
}

fn numbers(found: &[Value]) -> Vec<u64> {
    found.iter().map(number_of).collect()
}

/// A Device of a patient that is no device of the register yet.
fn plain(patient: &str) -> Value {
    json!({ "resourceType": "Device", "patient": { "reference": format!("Patient/{patient}") } })
}

/// Shows REQ-INTAKE-40, REQ-INTAKE-41: what a device measured before the administrator said that it is another Device, and what it
/// reports while it is none, is no patient's: a reading is kept without one, a dose waits; and it makes no Device of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_measured_as_another_one_is_nobodys() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let (cgm, pump) = (house.device("cgm", Role::Sensor), house.device("pump", Role::Actuator));
        // The other ones are Bert's for long.
        let his = [gateway.create(&plain(&bert)).await.made(), gateway.create(&plain(&bert)).await.made()];
        let tick = || {
            house.site.clock.advance(150);
            at(&house)
        };
        let first = tick();
        let hers =
            [gateway.create(&device("cgm", &anna)).await.made(), gateway.create(&device("pump", &anna)).await.made()];
        let late = tick();
        measured(&house, &cgm, 1, first);
        assert_eq!(deliveries(&house, &pump, &[bolus(1, late)]), [Kept::New]);
        tick();
        assert_eq!((release(&house, "cgm").await, release(&house, "pump").await), (StatusCode::OK, StatusCode::OK));
        // Between the two it is none, and reports.
        let between = tick();
        measured(&house, &cgm, 2, late);
        measured(&house, &cgm, 3, between);
        assert_eq!(deliveries(&house, &pump, &[bolus(2, between)]), [Kept::Waits]);
        assert_eq!(gateway.get("Device").await.resources().len(), 4, "none was made");
        tick();
        assert_eq!(
            (bind(&house, "cgm", &his[0]).await, bind(&house, "pump", &his[1]).await),
            (StatusCode::OK, StatusCode::OK)
        );
        let now = tick();
        // What comes late, and what is new.
        measured(&house, &cgm, 4, late);
        measured(&house, &cgm, 5, between);
        measured(&house, &cgm, 6, now);
        let all = [bolus(3, late), bolus(4, now)];
        assert_eq!(deliveries(&house, &pump, &all), [Kept::Waits, Kept::New]);

        assert_eq!(numbers(&observations(&gateway, &format!("patient={anna}")).await), [1]);
        let of_bert = observations(&gateway, &format!("patient={bert}")).await;
        assert_eq!(numbers(&of_bert), [6]);
        assert_eq!(of_bert[0]["device"]["reference"], format!("Device/{}", his[0]));
        let nobodys = observations(&gateway, "patient:missing=true").await;
        assert_eq!(numbers(&nobodys), [2, 3, 4, 5]);
        for one in &nobodys {
            assert!(one["subject"].is_null() && one["note"][0]["text"].is_string(), "{one:#}");
            assert!(one["device"]["reference"].is_null(), "no Device is known to have measured it: {one:#}");
            assert_eq!(one["device"]["identifier"], json!({ "system": DEVICE_SYSTEM, "value": "cgm" }));
        }
        assert_eq!(numbers(&administrations(&gateway, &anna).await), [1]);
        assert_eq!(numbers(&administrations(&gateway, &bert).await), [4]);
        let told = house.administer(json!({ "verb": "waiting-deliveries" })).await;
        let waiting = told.body["deliveries"].as_array().expect("a list").iter().map(|one| one["number"].clone());
        let waiting: Vec<Value> = waiting.collect();
        assert_eq!(waiting.len(), 2);
        let patient = format!("Patient/{anna}");
        let assigned = json!({ "verb": "assign-deliveries", "numbers": waiting, "patient": patient });
        assert_eq!(house.administer(assigned).await.status, StatusCode::OK);
        let given = administrations(&gateway, &anna).await;
        assert_eq!(numbers(&given), [1, 2, 3]);
        assert_eq!(given[0]["device"][0]["reference"], format!("Device/{}", hers[1]));
        assert!(given[1..].iter().all(|one| one["device"][0]["reference"].is_null()), "{given:#?}");
    }
}

/// Shows REQ-INTAKE-66: also by itself, over HTTPS; a gateway, which knows more, says whose it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_device_writes_is_of_the_time_in_which_it_was_that_patients() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let when = async |seconds: i64| {
            house.site.clock.advance(seconds);
            moment(&gateway).await
        };
        let hers = when(60).await;
        let cgm = gateway.create(&device("cgm", &anna)).await.made();
        let own = house.device("cgm", Role::Sensor).with("system/Observation.crus").await;
        let late = when(60).await;
        own.create(&glucose(&anna, &cgm, &hers)).await.made();
        when(60).await;
        let mut moved = gateway.get(&format!("Device/{cgm}")).await.body;
        moved["patient"] = json!({ "reference": format!("Patient/{bert}") });
        let path = format!("Device/{cgm}");
        let headers = [("content-type", "application/fhir+json")];
        assert_eq!(gateway.send("PUT", &path, &headers, &moved.to_string()).await.status, StatusCode::OK);
        let now = when(60).await;
        let mut span = glucose(&bert, &cgm, &now);
        span.as_object_mut().expect("an object").remove("effectiveDateTime");
        span["effectivePeriod"] = json!({ "start": late, "end": now });
        for wrong in [
            glucose(&bert, &cgm, &late),
            span.clone(),
            glucose(&bert, &cgm, "2020-01-01"),
            glucose(&bert, &cgm, "2099-01-01"),
        ] {
            let entry = json!({ "resource": wrong, "request": { "method": "POST", "url": "Observation" } });
            let all = transaction([entry]);
            for answer in [own.create(&wrong).await, own.send("POST", "", &headers, &all.to_string()).await] {
                assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-not-then"));
            }
        }
        let id = own.create(&glucose(&bert, &cgm, &now)).await.made();
        span["id"] = json!(id);
        let changed = own.send("PUT", &format!("Observation/{id}"), &headers, &span.to_string()).await;
        assert_eq!(
            (changed.status, changed.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, "fhir-not-then"),
            "{changed:?}"
        );
        gateway.create(&glucose(&anna, &cgm, &late)).await.made();
        assert_eq!(gateway.get(&format!("Observation?patient={bert}")).await.resources().len(), 1);
    }
}

/// Shows REQ-INTAKE-74: a device says nothing of a time to come, also as the end of a period or as one of several moments.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_says_nothing_of_a_time_to_come() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna] = patients(&gateway, ["Anna"]).await;
        let cgm = gateway.create(&device("cgm", &anna)).await.made();
        let own = house.device("cgm", Role::Sensor).with("system/Observation.crus").await;
        house.site.clock.advance(60);
        let now = moment(&gateway).await;
        let with = |name: &str, when: Value| {
            let mut reading = glucose(&anna, &cgm, &now);
            reading.as_object_mut().expect("an object").remove("effectiveDateTime");
            reading[name] = when;
            reading
        };
        for (name, when) in [
            ("effectivePeriod", json!({ "start": now, "end": "2099-01-01" })),
            ("effectivePeriod", json!({ "end": "2099" })),
            ("effectiveTiming", json!({ "event": [now, "2099-01-01"] })),
            ("effectiveTiming", json!({ "repeat": { "boundsPeriod": { "start": now, "end": "2099-01-01" } } })),
        ] {
            let refused = own.create(&with(name, when)).await;
            assert_eq!(
                (refused.status, refused.code()),
                (StatusCode::UNPROCESSABLE_ENTITY, "fhir-not-then"),
                "{refused:?}"
            );
        }
        // The day that has begun has not come to its end.
        for (name, when) in [
            ("effectivePeriod", json!({ "start": now, "end": now[..10] })),
            ("effectivePeriod", json!({ "start": now })),
            ("effectiveTiming", json!({ "event": [now] })),
        ] {
            own.create(&with(name, when)).await.made();
        }
    }
}

/// Shows REQ-INTAKE-42: the administrator moves a name to another Device in one step, whoever had it, and the device's tokens end.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_moved_at_once() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let mut hers = device("cgm", &anna);
        let serial = json!({ "system": "urn:serials", "value": "1.50" });
        hers["identifier"].as_array_mut().expect("identifiers").push(serial.clone());
        hers["type"] = json!({ "coding": [{ "system": "urn:types", "code": "a code of its own" }] });
        let hers = gateway.create(&hers).await.made();
        let his = gateway.create(&plain(&bert)).await.made();
        gateway.create(&device("other", &bert)).await.made();
        let cgm = house.device("cgm", Role::Sensor).with("system/Observation.crs").await;
        assert_eq!(cgm.get("Observation").await.status, StatusCode::OK);
        let before = at(&house);
        house.site.clock.advance(600);
        assert_eq!(bind(&house, "cgm", &his).await, StatusCode::OK);
        assert_eq!(bind(&house, "cgm", &his).await, StatusCode::OK, "again");
        assert_eq!(release(&house, "other").await, StatusCode::OK);
        // A hub hears within a second what has ended; at once where it ends something itself.
        assert_eq!(cgm.get("Observation").await.code(), "smart-token", "its tokens have ended");

        let named = gateway.get(&format!("Device?identifier={DEVICE_SYSTEM}|cgm")).await.found();
        assert_eq!(named, std::slice::from_ref(&his));
        let left = gateway.get(&format!("Device/{hers}")).await.body;
        assert_eq!(left["identifier"], json!([serial]), "all else is as it was");
        assert_eq!(
            (&left["meta"]["versionId"], &left["type"]["coding"][0]["code"]),
            (&json!("2"), &json!("a code of its own"))
        );
        assert_eq!(left["patient"]["reference"], format!("Patient/{anna}"));
        measured(&house, &cgm, 1, before);
        house.site.clock.advance(600);
        measured(&house, &cgm, 2, at(&house));
        assert_eq!(observations(&gateway, &format!("patient={anna}")).await.len(), 0);
        assert_eq!(numbers(&observations(&gateway, &format!("patient={bert}")).await), [2]);
        // Back again: what it measured as the other one is not hers.
        assert_eq!(bind(&house, "cgm", &hers).await, StatusCode::OK);
        measured(&house, &cgm, 3, before);
        assert_eq!(observations(&gateway, &format!("patient={anna}")).await.len(), 0);
        let audit = house.administer(json!({ "verb": "verify-audit" })).await;
        assert!(audit.body["broken"].is_null() && audit.status == StatusCode::OK, "{audit:?}");
    }
}
