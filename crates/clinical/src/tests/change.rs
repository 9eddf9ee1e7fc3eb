//! Update, delete, versions, histories, conditions.

use super::everything;
use super::fixture::{Answer, House, device, glucose, patient};
use crate::kind::{Id, Millis};
use crate::rest::Aim;
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};

const NOBODY: &str = "00000000000000000000000000";

fn json_type() -> (&'static str, &'static str) {
    ("content-type", "application/fhir+json")
}

fn named(id: &str, family: &str, number: &str) -> Value {
    json!({ "resourceType": "Patient", "id": id, "name": [{ "family": family }], "identifier": [{ "system": "urn:n", "value": number }] })
}

/// Versions and methods of a history.
fn versions(answer: &Answer) -> Vec<(String, String)> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let entries = answer.body["entry"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    entries.iter().map(|entry| (text(&entry["request"]["method"]), text(&entry["response"]["etag"]))).collect()
}

/// Shows REQ-FHIR-09, REQ-FHIR-10, REQ-FHIR-11.
#[tokio::test(flavor = "multi_thread")]
async fn a_resource_is_changed_deleted_and_brought_back() {
    for house in House::both() {
        let all = everything(&house).await;
        let id = all.create(&named("mine", "Anna", "1")).await.made();
        let path = format!("Patient/{id}");
        let changed = all.put(&path, &named(&id, "Berta", "2")).await;
        assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "W/\"2\""), "{changed:?}");
        assert_eq!(all.get(&path).await.body["name"][0]["family"], "Berta");
        assert_eq!(all.get(&format!("{path}/_history/1")).await.body["name"][0]["family"], "Anna");
        assert_eq!(all.get(&format!("{path}/_history/2")).await.body["meta"]["versionId"], "2");
        assert_eq!(all.get(&format!("{path}/_history/3")).await.code(), "fhir-not-found");
        // What it was found by is what it is now.
        assert_eq!(all.get("Patient?identifier=urn:n|1").await.found().len(), 0);
        assert_eq!(all.get("Patient?identifier=urn:n|2").await.found(), std::slice::from_ref(&id));
        let put = async |tag: &str| {
            all.send("PUT", &path, &[json_type(), ("if-match", tag)], &named(&id, "Cleo", "3").to_string()).await
        };
        let late = put("W/\"1\"").await;
        assert_eq!((late.status, late.code()), (StatusCode::PRECONDITION_FAILED, "fhir-version"));
        assert_eq!(put("three").await.code(), "fhir-parameter-value");
        assert_eq!(put("W/\"2\"").await.header("etag"), "W/\"3\"");
        assert_eq!(all.put(&path, &named(NOBODY, "X", "1")).await.code(), "fhir-other-id");
        assert_eq!(all.put(&format!("Patient/{NOBODY}"), &named(NOBODY, "X", "1")).await.code(), "fhir-not-found");
        let late = all.send("DELETE", &path, &[("if-match", "W/\"2\"")], "").await;
        assert_eq!(late.code(), "fhir-version");
        assert_eq!(all.delete(&path).await.status, StatusCode::NO_CONTENT);
        let gone = all.get(&path).await;
        assert_eq!((gone.status, gone.code()), (StatusCode::GONE, "fhir-gone"));
        assert_eq!(all.get(&format!("{path}/_history/4")).await.status, StatusCode::GONE);
        assert_eq!(all.get(&format!("{path}/_history/3")).await.status, StatusCode::OK);
        assert_eq!(all.get("Patient?identifier=urn:n|3").await.found().len(), 0);
        assert_eq!(all.delete(&path).await.status, StatusCode::NO_CONTENT, "again");
        assert_eq!(all.delete(&format!("Patient/{NOBODY}")).await.status, StatusCode::NO_CONTENT);
        assert_eq!(all.put(&path, &named(&id, "Dora", "4")).await.header("etag"), "W/\"5\"");
        assert_eq!(all.get("Patient?identifier=urn:n|4").await.found(), std::slice::from_ref(&id));
        let told = [("PUT", "5"), ("DELETE", "4"), ("PUT", "3"), ("PUT", "2"), ("POST", "1")];
        let told = told.map(|(method, version)| (method.to_owned(), format!("W/\"{version}\"")));
        for path in [format!("{path}/_history"), "Patient/_history".to_owned(), "_history".to_owned()] {
            assert_eq!(versions(&all.get(&path).await), told, "{path}");
            let mut address = format!("{path}?_count=2");
            let mut found = Vec::new();
            for _ in 0..3 {
                let page = all.get(&address).await;
                found.extend(versions(&page));
                let next = page.body["link"][1]["url"].as_str().and_then(|next| next.split_once("/fhir/"));
                address = next.map(|(_, path)| path.to_owned()).unwrap_or_default();
            }
            assert_eq!((found.as_slice(), address.as_str()), (&told[..], ""), "{path} in pages");
            assert_eq!(versions(&all.get(&format!("{path}?_since=2999-01-01T00:00:00Z")).await), []);
        }
    }
}

/// Shows REQ-FHIR-12: what may not be seen is as what is not there, for each interaction.
#[tokio::test(flavor = "multi_thread")]
async fn changes_and_histories_are_no_oracle() {
    for house in House::both() {
        let all = everything(&house).await;
        let (anna, bert) = (all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made());
        let (hers, his) = (all.create(&device("a", &anna)).await.made(), all.create(&device("b", &bert)).await.made());
        let foreign = all.create(&glucose(&bert, &his, "2024-01-01")).await.made();
        let sensor = house.device("a", Role::Sensor).with("system/*.cruds").await;
        let own = sensor.create(&glucose(&anna, &hers, "2024-01-01")).await.made();
        let with_id = |mut reading: Value, id: &str| {
            reading["id"] = id.into();
            reading
        };
        for id in [&foreign, NOBODY] {
            let path = format!("Observation/{id}");
            let reading = with_id(glucose(&anna, &hers, "2024-01-01"), id);
            let mut told = vec![sensor.put(&path, &reading).await];
            let headers = [json_type(), ("if-match", "W/\"7\"")];
            told.push(sensor.send("PUT", &path, &headers, &reading.to_string()).await);
            told.push(sensor.get(&format!("{path}/_history")).await);
            told.push(sensor.get(&format!("{path}/_history/1")).await);
            for answer in told {
                assert_eq!((answer.status, answer.code()), (StatusCode::NOT_FOUND, "fhir-not-found"), "{answer:?}");
            }
        }
        // A row does not leave its patient, nor its device, by who has only these.
        for reading in [glucose(&bert, &hers, "2024-01-01"), glucose(&anna, &his, "2024-01-01")] {
            let answer = sensor.put(&format!("Observation/{own}"), &with_id(reading, &own)).await;
            assert_eq!((answer.status, answer.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-reference"));
        }
        let mut nobodys = glucose(&anna, &hers, "2024-01-01");
        nobodys.as_object_mut().expect("an object").remove("subject");
        let answer = sensor.put(&format!("Observation/{own}"), &with_id(nobodys, &own)).await;
        assert_eq!(answer.code(), "fhir-forbidden", "what it would become is not its own");
        assert_eq!(
            versions(&sensor.get("_history").await).len(),
            3,
            "patient, device, own reading: nothing of the refused"
        );
        assert_eq!(versions(&sensor.get("Observation/_history").await).len(), 1);
        // A version has the patient it had then.
        let moved = with_id(glucose(&anna, &hers, "2024-01-01"), &foreign);
        assert_eq!(all.put(&format!("Observation/{foreign}"), &moved).await.status, StatusCode::OK);
        assert_eq!(sensor.get(&format!("Observation/{foreign}")).await.status, StatusCode::OK);
        assert_eq!(sensor.get(&format!("Observation/{foreign}/_history/1")).await.code(), "fhir-not-found");
        assert_eq!(versions(&sensor.get(&format!("Observation/{foreign}/_history")).await).len(), 1);
        assert_eq!(versions(&sensor.get("Observation/_history").await).len(), 2);
        assert_eq!(versions(&all.get(&format!("Observation/{foreign}/_history")).await).len(), 2);
        // What is gone is gone for who saw it alone.
        assert_eq!(all.delete(&format!("Observation/{own}")).await.status, StatusCode::NO_CONTENT);
        assert_eq!(sensor.get(&format!("Observation/{own}")).await.code(), "fhir-gone");
        let other = house.device("b", Role::Sensor).with("system/*.cruds").await;
        assert_eq!(other.get(&format!("Observation/{own}")).await.code(), "fhir-not-found");
        assert_eq!(sensor.delete(&format!("Observation/{own}")).await.code(), "fhir-forbidden", "no device deletes");
    }
}

fn numbered(patient: &str, device: &str, number: &str) -> Value {
    let mut reading = glucose(patient, device, "2024-01-01");
    reading["identifier"] = json!([{ "system": "urn:n", "value": number }]);
    reading
}

/// Shows REQ-FHIR-13, REQ-FHIR-14: conditions count what their caller may search, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_create_update_and_delete_one() {
    for house in House::both() {
        let all = everything(&house).await;
        let (anna, bert) = (all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made());
        let (hers, his) = (all.create(&device("a", &anna)).await.made(), all.create(&device("b", &bert)).await.made());
        let create_if = async |who: &super::Device<'_>, reading: &Value, condition: &str| {
            who.send("POST", "Observation", &[json_type(), ("if-none-exist", condition)], &reading.to_string()).await
        };
        let made = create_if(&all, &numbered(&bert, &his, "1"), "identifier=urn:n|1").await.made();
        let again = create_if(&all, &numbered(&bert, &his, "1"), "Observation?identifier=urn:n|1").await;
        assert_eq!(again.status, StatusCode::OK);
        assert!(again.header("location").contains(&made), "{again:?}");
        // conditional_create_is_no_oracle: what is another's does not count.
        let sensor = house.device("a", Role::Sensor).with("system/*.cruds").await;
        let own = create_if(&sensor, &numbered(&anna, &hers, "1"), "identifier=urn:n|1").await.made();
        let many = create_if(&all, &numbered(&anna, &hers, "1"), "identifier=urn:n|1").await;
        assert_eq!((many.status, many.code()), (StatusCode::PRECONDITION_FAILED, "fhir-many-matches"));
        let blind = house.device("gw", Role::Gateway).with("system/*.cr").await;
        assert_eq!(create_if(&blind, &numbered(&anna, &hers, "1"), "identifier=x").await.code(), "fhir-forbidden");
        for wide in ["status=final", "colour=red", &format!("patient={anna}")] {
            let answer = create_if(&all, &numbered(&anna, &hers, "1"), wide).await;
            assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{wide}");
        }
        // Update: of the one that is found, else a new one.
        let changed = sensor.put("Observation?identifier=urn:n|1", &numbered(&anna, &hers, "2")).await;
        assert_eq!((changed.status, changed.header("etag")), (StatusCode::OK, "W/\"2\""), "{changed:?}");
        assert!(changed.header("location").contains(&own));
        let new = sensor.put("Observation?identifier=urn:n|3", &numbered(&anna, &hers, "3")).await.made();
        assert_ne!(new, own);
        let tag = [json_type(), ("if-match", "W/\"1\"")];
        let body = numbered(&anna, &hers, "9").to_string();
        assert_eq!(all.send("PUT", "Observation?identifier=urn:n|9", &tag, &body).await.code(), "fhir-version");
        assert_eq!(all.delete("Observation?identifier=urn:n|3").await.status, StatusCode::NO_CONTENT);
        assert_eq!(all.get(&format!("Observation/{new}")).await.code(), "fhir-gone");
        assert_eq!(all.delete("Observation?identifier=urn:n|3").await.status, StatusCode::NO_CONTENT);
        assert_eq!(all.delete("Observation?status=final").await.code(), "fhir-condition");
        // At the same time, one is made.
        let reading = numbered(&bert, &his, "7");
        let at_once = (0..8).map(|_| create_if(&all, &reading, "identifier=urn:n|7"));
        let statuses: Vec<_> =
            futures_util::future::join_all(at_once).await.iter().map(|answer| answer.status).collect();
        assert_eq!(statuses.iter().filter(|status| **status == StatusCode::CREATED).count(), 1, "{statuses:?}");
        assert_eq!(all.get("Observation?identifier=urn:n|7").await.found().len(), 1);
    }
}

/// Shows REQ-SRCH-31, REQ-SRCH-34: so do histories of more than one resource, and searches of the whole audit.
#[tokio::test(flavor = "multi_thread")]
async fn histories_and_searches_of_the_audit_take_turns() {
    let house = House::new();
    let all = everything(&house).await;
    let anna = all.create(&patient("Anna")).await.made();
    all.create(&device("a", &anna)).await.made();
    let sensor = house.device("a", Role::Sensor).with("system/*.rs").await;
    let wide = ["_history", "Patient/_history", "AuditEvent"];
    {
        let take = |client: &str| house.clinical.places().take(Aim::Look, client.to_owned());
        let turns = [take("a"), take("a"), take("b")];
        assert!(turns.iter().all(Option::is_some));
        for path in wide {
            let busy = all.get(path).await;
            assert_eq!((busy.status, busy.code()), (StatusCode::SERVICE_UNAVAILABLE, "fhir-busy"), "{path}");
        }
        for path in [format!("Patient/{anna}/_history"), format!("AuditEvent?patient={anna}")] {
            assert_eq!(all.get(&path).await.status, StatusCode::OK, "{path}");
        }
        // Who sees one patient alone takes none, as long as that is short.
        for path in ["_history", "Patient/_history"] {
            assert_eq!(sensor.get(path).await.status, StatusCode::OK, "{path}");
        }
    }
    for path in wide {
        assert_eq!(all.get(path).await.status, StatusCode::OK, "{path}");
    }
}

/// Shows REQ-FHIR-15.
#[tokio::test(flavor = "multi_thread")]
async fn a_metric_is_whose_its_device_is() {
    for house in House::both() {
        let all = everything(&house).await;
        let (anna, bert) = (all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made());
        let pump = all.create(&device("a", &anna)).await.made();
        let metric = json!({
            "resourceType": "DeviceMetric", "category": "measurement", "source": { "reference": format!("Device/{pump}") },
            "type": { "coding": [{ "system": "urn:iso:std:iso:11073:10101", "code": "160212" }] },
        });
        all.create(&metric).await.made();
        let mut moved = device("a", &bert);
        moved["id"] = pump.as_str().into();
        assert_eq!(all.put(&format!("Device/{pump}"), &moved).await.status, StatusCode::OK);
        let sensor = house.device("a", Role::Sensor).with("system/*.rs").await;
        assert_eq!(sensor.get("Patient").await.found(), [bert]);
        assert_eq!(sensor.get("DeviceMetric").await.found().len(), 1);
    }
}

/// Shows REQ-INTAKE-59: who was deleted at a moment had no Patient ID then.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_deleted_had_no_patient_id() {
    for house in House::both() {
        let all = everything(&house).await;
        let named = json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:n", "value": "4711" }] });
        let id = all.create(&named).await.made();
        let moment = || {
            house.site.clock.advance(60);
            Millis(house.site.clock.unix_millis())
        };
        let had = moment();
        moment();
        assert_eq!(all.delete(&format!("Patient/{id}")).await.status, StatusCode::NO_CONTENT);
        let gone = moment();
        moment();
        let mut again = named.clone();
        again["id"] = json!(id);
        assert_eq!(all.put(&format!("Patient/{id}"), &again).await.status, StatusCode::OK);
        let back = moment();
        let records = house.clinical.records();
        let id = Id::read(&id).expect("an id");
        for (at, then) in [(had, true), (gone, false), (back, true)] {
            assert_eq!(records.patient_was_named(id, at, Some("urn:n"), "4711").expect("read"), then, "{at:?}");
        }
        assert!(!records.patient_was_named(id, had, Some("urn:m"), "4711").expect("read"));
        for (at, then) in [(had, true), (gone, false)] {
            let other = Id::fresh(Millis(0));
            assert_eq!(records.another_was_named(other, at, None, "4711").expect("read"), Some(then), "{at:?}");
            let else_one = records.another_was_named(id, at, None, "4711").expect("read");
            assert_eq!(else_one, Some(false), "it is nobody else");
        }
    }
}

/// Shows REQ-FHIR-81: what a resource names already it may name still, also what is gone; what it names anew is there. So a Patient is
/// changed and brought back whatever it refers to.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_resource_names_it_may_name_still() {
    for house in House::both() {
        let all = everything(&house).await;
        let make = async |resource: Value| {
            format!("{}/{}", resource["resourceType"].as_str().expect("a kind"), all.create(&resource).await.made())
        };
        let doctor = make(json!({ "resourceType": "Practitioner" })).await;
        let clinic = make(json!({ "resourceType": "Organization", "name": "Clinic" })).await;
        let other = make(patient("Bert")).await;
        let mut anna = json!({
            "resourceType": "Patient", "managingOrganization": { "reference": clinic },
            "generalPractitioner": [{ "reference": doctor }],
        });
        anna["id"] = all.create(&anna).await.made().into();
        let path = format!("Patient/{}", anna["id"].as_str().expect("an id"));
        let measured = glucose(&path["Patient/".len()..], "x", "2024-01-01");
        let mut reading = json!({ "performer": [{ "reference": doctor }] });
        for name in ["resourceType", "status", "code", "subject", "effectiveDateTime", "valueQuantity"] {
            reading[name] = measured[name].clone();
        }
        reading["id"] = all.create(&reading).await.made().into();
        let reading_path = format!("Observation/{}", reading["id"].as_str().expect("an id"));
        anna["gender"] = "female".into();
        assert_eq!(all.put(&path, &anna).await.status, StatusCode::OK);
        anna["link"] = json!([{ "other": { "reference": other }, "type": "seealso" }]);
        assert_eq!(all.put(&path, &anna).await.status, StatusCode::OK);
        assert_eq!(
            all.get(&format!("Patient?general-practitioner={doctor}&organization={clinic}")).await.found(),
            [anna["id"].as_str().expect("an id")]
        );
        for gone in [&path, &doctor, &clinic, &other] {
            assert_eq!(all.delete(gone).await.status, StatusCode::NO_CONTENT);
        }
        // Both of a patient who is gone, and of one who is back.
        reading["status"] = "entered-in-error".into();
        assert_eq!(all.put(&reading_path, &reading).await.status, StatusCode::OK);
        assert_eq!(all.put(&path, &anna).await.status, StatusCode::OK, "it is brought back");
        reading["note"] = json!([{ "text": "wrong patient" }]);
        assert_eq!(all.put(&reading_path, &reading).await.status, StatusCode::OK);
        assert_eq!(
            all.get(&format!("Observation?patient={path}")).await.found(),
            [reading["id"].as_str().expect("an id")]
        );
        // What it has not named before, it does not name.
        reading["performer"] = json!([{ "reference": doctor }, { "reference": clinic }]);
        let anew = all.put(&reading_path, &reading).await;
        assert_eq!((anew.status, anew.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-reference"), "{anew:?}");
    }
}
