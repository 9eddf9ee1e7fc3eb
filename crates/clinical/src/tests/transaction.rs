//! Bundles: transactions, batches, and the operations.

use super::everything;
use super::fixture::{Answer, Device, House, device, glucose, patient};
use http::StatusCode;
use medlock_trust::Role;
use medlock_trust::status::State;
use serde_json::{Value, json};

fn entry(method: &str, url: &str, resource: Value) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    if !resource.is_null() {
        entry["resource"] = resource;
    }
    entry
}

async fn send(who: &Device<'_>, of: &str, path: &str, entries: Vec<Value>) -> Answer {
    let bundle = json!({ "resourceType": "Bundle", "type": of, "entry": entries });
    who.send("POST", path, &[("content-type", "application/fhir+json")], &bundle.to_string()).await
}

fn statuses(answer: &Answer) -> Vec<String> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let entries = answer.body["entry"].as_array().cloned().unwrap_or_default();
    entries.iter().map(|entry| entry["response"]["status"].as_str().expect("a status")[..3].to_owned()).collect()
}

fn made(answer: &Answer, entry: usize) -> String {
    let location = answer.body["entry"][entry]["response"]["location"].as_str().expect("a location");
    location.rsplit('/').nth(2).expect("an id").to_owned()
}

/// Shows REQ-FHIR-16, REQ-FHIR-17, REQ-FHIR-82.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_done_whole_and_its_entries_name_one_another() {
    for house in House::both() {
        let all = everything(&house).await;
        let old = all.create(&patient("Old")).await.made();
        let mut named = patient("Anna");
        named["identifier"] = json!([{ "system": "urn:n", "value": "1" }]);
        let mut anna = entry("POST", "Patient", named);
        anna["fullUrl"] = "urn:uuid:6a5a8bd2-0000-4000-8000-000000000001".into();
        let mut sensor = device("a", "x");
        sensor["patient"]["reference"] = anna["fullUrl"].clone();
        let mut sensor = entry("POST", "Device", sensor);
        sensor["fullUrl"] = "urn:uuid:6a5a8bd2-0000-4000-8000-000000000002".into();
        let mut reading = glucose("x", "x", "2024-01-01");
        reading["subject"]["reference"] = anna["fullUrl"].clone();
        reading["device"]["reference"] = sensor["fullUrl"].clone();
        let changed = json!({ "resourceType": "Patient", "id": old, "name": [{ "family": "New" }] });
        // What is referred to comes later; what is deleted and read stands anywhere.
        let gone = all.create(&patient("Gone")).await.made();
        let done = send(
            &all,
            "transaction",
            "",
            vec![
                entry("GET", "Patient?family=new", Value::Null),
                entry("POST", "Observation", reading.clone()),
                sensor.clone(),
                anna.clone(),
                entry("PUT", &format!("Patient/{old}"), changed),
                entry("DELETE", &format!("Patient/{gone}"), Value::Null),
            ],
        )
        .await;
        assert_eq!(statuses(&done), ["200", "201", "201", "201", "200", "204"], "{done:?}");
        assert_eq!(
            done.body["entry"][0]["resource"]["entry"][0]["resource"]["id"],
            old.as_str(),
            "read behind the changes"
        );
        let (observation, anna_id) = (made(&done, 1), made(&done, 3));
        let kept = all.get(&format!("Observation/{observation}")).await.body;
        assert_eq!(kept["subject"]["reference"], format!("Patient/{anna_id}"));
        assert_eq!(
            all.get(&format!("Observation?patient={anna_id}&device=Device/{}", made(&done, 2))).await.found(),
            [observation]
        );
        // By a search, and only if there is none.
        let mut found = anna.clone();
        found["request"]["ifNoneExist"] = "identifier=urn:n|1".into();
        let mut by_search = reading.clone();
        by_search.as_object_mut().expect("an object").remove("device");
        by_search["subject"]["reference"] = "Patient?identifier=urn:n|1".into();
        let done =
            send(&all, "transaction", "", vec![found.clone(), entry("POST", "Observation", by_search.clone())]).await;
        assert_eq!(
            (statuses(&done), made(&done, 0)),
            (vec!["200".to_owned(), "201".to_owned()], anna_id.clone()),
            "{done:?}"
        );
        let everything = all.get(&format!("Patient/{anna_id}/$everything?_count=2")).await;
        assert_eq!((everything.found().len(), everything.body["link"][1]["relation"].as_str()), (2, Some("next")));
        assert_eq!(all.get(&format!("Patient/{anna_id}/$everything")).await.found().len(), 5, "with the Provenance");
        // One wrong entry, and nothing is done; the entry is named.
        let count = async || all.get("Patient?_summary=count").await.body["total"].clone();
        let before = count().await;
        by_search["subject"]["reference"] = "Patient?identifier=urn:n|none".into();
        for (wrong, code) in [
            (
                entry("POST", "Observation", json!({ "resourceType": "Observation", "status": "final" })),
                "fhir-cardinality",
            ),
            (entry("POST", "Observation", by_search), "fhir-reference"),
            (
                entry(
                    "PUT",
                    "Patient/00000000000000000000000000",
                    json!({ "resourceType": "Patient", "id": "00000000000000000000000000" }),
                ),
                "fhir-not-found",
            ),
            (entry("POST", "Patient/x", patient("X")), "fhir-entry"),
            (entry("PATCH", "Patient", patient("X")), "fhir-entry"),
            (entry("POST", "Encounter", patient("X")), "fhir-unknown-kind"),
            (entry("DELETE", &format!("Patient/{old}"), Value::Null), "fhir-twice"),
        ] {
            let touched = json!({ "resourceType": "Patient", "id": old, "name": [{ "family": "Touched" }] });
            let touch = entry("PUT", &format!("Patient/{old}"), touched);
            let refused =
                send(&all, "transaction", "", vec![entry("POST", "Patient", patient("B")), touch, wrong.clone()]).await;
            assert_eq!(refused.code(), code, "{wrong}: {refused:?}");
            let place = refused.body["issue"][0]["expression"][0].as_str().expect("a place");
            assert!(place.starts_with("Bundle.entry[2]") || code == "fhir-twice", "{place}");
            assert_eq!(
                (count().await, all.get(&format!("Patient/{old}")).await.body["meta"]["versionId"].as_str()),
                (before.clone(), Some("2"))
            );
        }
        let twice = send(&all, "transaction", "", vec![found.clone(), found]).await;
        assert_eq!(twice.code(), "fhir-twice");
        let mut other = anna.clone();
        other["resource"]["identifier"][0]["value"] = "2".into();
        let twice =
            send(&all, "transaction", "", vec![anna.clone(), entry("POST", "Observation", reading.clone()), other])
                .await;
        assert_eq!((twice.status, twice.code()), (StatusCode::BAD_REQUEST, "fhir-twice"), "{twice:?}");
        let many = vec![entry("GET", "Patient", Value::Null); 1_001];
        assert_eq!(send(&all, "transaction", "", many).await.code(), "fhir-too-much");
        assert_eq!(send(&all, "searchset", "", vec![]).await.code(), "fhir-entry");
    }
}

/// Shows REQ-FHIR-42: all conditions of a request have the time of one search, also where each alone would have its own.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_of_a_request_have_the_time_of_one_search() {
    let house = House::with(None, |config| config.search_seconds = 1);
    let all = everything(&house).await;
    let anna = all.create(&patient("Anna")).await.made();
    let hers = all.create(&device("a", &anna)).await.made();
    let reading = || entry("POST", "Observation", glucose(&anna, &hers, "2024-01-01"));
    assert_eq!(statuses(&send(&all, "transaction", "", (0..1_000).map(|_| reading()).collect()).await).len(), 1_000);
    let not: String = (0..25).map(|number| format!("&_tag:not=a{number}")).collect();
    let once = |number: usize| {
        let mut once = reading();
        once["request"]["ifNoneExist"] = format!("patient={anna}&date=gt1900{not}&_tag=never{number}").into();
        once
    };
    let late = send(&all, "transaction", "", (0..500).map(once).collect()).await;
    assert_eq!((late.status, late.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-too-costly"), "{late:?}");
    assert_eq!(statuses(&send(&all, "transaction", "", vec![once(0)]).await), ["201"]);
}

/// Shows REQ-FHIR-18.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_done_entry_by_entry() {
    for house in House::both() {
        let all = everything(&house).await;
        let done = send(
            &all,
            "batch",
            "",
            vec![
                entry("GET", "Patient?family=anna", Value::Null),
                entry("POST", "Patient", patient("Anna")),
                entry("POST", "Patient", json!({ "resourceType": "Patient", "colour": "red" })),
                entry("DELETE", "Patient/00000000000000000000000000", Value::Null),
                json!({}),
            ],
        )
        .await;
        assert_eq!(statuses(&done), ["200", "201", "422", "204", "400"], "{done:?}");
        assert_eq!(done.body["entry"][0]["resource"]["entry"].as_array().map(Vec::len), Some(1));
        let outcome = &done.body["entry"][2]["response"]["outcome"]["issue"][0];
        assert_eq!(outcome["details"]["coding"][0]["code"], "fhir-unknown-element");
    }
}

/// Shows REQ-FHIR-43: a batch of a device that is compromised meanwhile goes no further, neither with what it changes.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_ends_with_what_its_caller_may_do() {
    let house = House::new();
    let all = everything(&house).await;
    let entries = (0..1_000).map(|_| entry("POST", "Patient", patient("Anna"))).collect();
    let betray = async {
        while all.get("Patient").await.found().is_empty() {}
        house.news(&all, State::Compromised);
    };
    let (done, ()) = tokio::join!(send(&all, "batch", "", entries), betray);
    let statuses = statuses(&done);
    let made = statuses.iter().take_while(|status| *status == "201").count();
    assert!((1..1_000).contains(&made), "{made} were made");
    assert!(statuses.iter().skip(made).all(|status| status == "401"), "{statuses:?}");
}

/// Shows REQ-FHIR-45, REQ-FHIR-46: neither a page nor what the entries of a batch read is larger than memory should be, and all is
/// found on the pages that follow.
#[tokio::test(flavor = "multi_thread")]
async fn pages_and_batches_of_large_resources_end_early() {
    for house in House::both() {
        let all = everything(&house).await;
        let mut large = patient("Anna");
        large["photo"] = json!([{ "contentType": "image/png", "data": "QUJD".repeat(200_000) }]);
        let mut ids = Vec::new();
        for _ in 0..8 {
            ids.push(all.create(&large).await.made());
        }
        let one = &ids[0];
        large["id"] = one.as_str().into();
        for _ in 0..7 {
            assert_eq!(all.put(&format!("Patient/{one}"), &large).await.status, StatusCode::OK);
        }
        for (path, all_of) in [("Patient", 8), ("Patient/_history", 15), (&*format!("Patient/{one}/_history"), 8)] {
            let (mut sizes, mut address) = (Vec::new(), format!("{path}?_count=100"));
            while !address.is_empty() {
                let page = all.get(&address).await;
                sizes.push(page.body["entry"].as_array().map_or(0, Vec::len));
                let links = page.body["link"].as_array().cloned().unwrap_or_default();
                let next = links.iter().find(|link| link["relation"] == "next");
                let next = next.and_then(|next| next["url"].as_str()?.split_once("/fhir/"));
                address = next.map(|(_, path)| path.to_owned()).unwrap_or_default();
            }
            assert!(sizes.iter().all(|size| (1..=6).contains(size)), "{path}: {sizes:?}");
            assert_eq!(sizes.iter().sum::<usize>(), all_of, "{path}: {sizes:?}");
        }
        let gets = (0..5).map(|_| entry("GET", "Patient?_count=100", Value::Null)).collect();
        let done = send(&all, "batch", "", gets).await;
        assert_eq!(statuses(&done), ["200", "200", "200", "200", "400"]);
        let outcome = &done.body["entry"][4]["response"]["outcome"]["issue"][0];
        assert_eq!(outcome["details"]["coding"][0]["code"], "fhir-too-much");
        // More than fits comes with no page.
        for id in &ids[1..] {
            let mut reading = glucose(id, "", "2024-01-01");
            reading.as_object_mut().expect("an object").remove("device");
            all.create(&reading).await.made();
        }
        let many = all.get("Observation?_include=Observation:patient").await;
        assert_eq!((many.status, many.code()), (StatusCode::BAD_REQUEST, "fhir-too-much"));
        assert_eq!(all.get("Observation?_include=Observation:patient&_count=3").await.found().len(), 3);
    }
}

/// Shows REQ-FHIR-53, REQ-FHIR-54: what was there before has a sum of bytes, in one change and in what a Bundle is answered with; what is
/// only found has none where it is not wanted back.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_before_has_a_sum_of_bytes() {
    for house in House::both() {
        let all = everything(&house).await;
        let mut large = patient("Anna");
        large["photo"] = json!([{ "contentType": "image/png", "data": "QUJD".repeat(200_000) }]);
        let mut ids = Vec::new();
        for number in 0..22 {
            large["identifier"] = json!([{ "system": "urn:n", "value": number.to_string() }]);
            ids.push(all.create(&large).await.made());
        }
        let again = |number: usize| {
            let mut entry = entry("POST", "Patient", patient("Anna"));
            entry["request"]["ifNoneExist"] = format!("identifier=urn:n|{number}").into();
            entry
        };
        let found: Vec<Value> = (0..22).map(again).collect();
        assert_eq!(statuses(&send(&all, "transaction", "", found.clone()).await), ["200"; 22]);
        let wanted = async |of: &str| {
            let bundle = json!({ "resourceType": "Bundle", "type": of, "entry": found });
            let headers = [("content-type", "application/fhir+json"), ("prefer", "return=representation")];
            all.send("POST", "", &headers, &bundle.to_string()).await
        };
        let refused = wanted("transaction").await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "fhir-too-much"), "{refused:?}");
        let some = wanted("batch").await;
        let given = statuses(&some).iter().filter(|status| *status == "200").count();
        assert!((20..22).contains(&given), "{given} were given");
        assert_eq!(some.body["entry"][0]["resource"]["id"], ids[0].as_str());
        let outcome = &some.body["entry"][21]["response"]["outcome"]["issue"][0];
        assert_eq!(outcome["details"]["coding"][0]["code"], "fhir-too-much");
        // Deletes and updates count together, and nothing is done of what is refused.
        let change = |(number, id): (usize, &String)| {
            let path = format!("Patient/{id}");
            let new = json!({ "resourceType": "Patient", "id": id });
            if number % 2 == 0 { entry("DELETE", &path, Value::Null) } else { entry("PUT", &path, new) }
        };
        let changes: Vec<Value> = ids.iter().enumerate().map(change).collect();
        let refused = send(&all, "transaction", "", changes.clone()).await;
        assert_eq!((refused.status, refused.code()), (StatusCode::BAD_REQUEST, "fhir-too-much"), "{refused:?}");
        assert_eq!(all.get(&format!("Patient/{}", ids[0])).await.status, StatusCode::OK);
        let done = send(&all, "transaction", "", changes[..20].to_vec()).await;
        assert_eq!(statuses(&done)[..2], ["204", "200"]);
        let former = all.get(&format!("Patient/{}/_history/1", ids[1])).await;
        assert_eq!(former.body["photo"], large["photo"], "the former version is whole");
    }
}

/// Shows REQ-FHIR-19: cross-patient references in a transaction, and entries beyond the rights of a token.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_reaches_no_further_than_its_caller() {
    for house in House::both() {
        let all = everything(&house).await;
        let (anna, bert) = (all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made());
        let (hers, his) = (all.create(&device("a", &anna)).await.made(), all.create(&device("b", &bert)).await.made());
        let foreign = all.create(&glucose(&bert, &his, "2024-01-01")).await.made();
        let sensor = house.device("a", Role::Sensor).with("system/*.cruds").await;
        let own = || entry("POST", "Observation", glucose(&anna, &hers, "2024-01-01"));
        let mut moved = glucose(&anna, &hers, "2024-01-01");
        moved["id"] = foreign.as_str().into();
        for (other, code) in [
            (entry("POST", "Observation", glucose(&bert, &hers, "2024-01-01")), "fhir-reference"),
            (
                entry("POST", "Observation", glucose("00000000000000000000000000", &hers, "2024-01-01")),
                "fhir-reference",
            ),
            (entry("PUT", &format!("Observation/{foreign}"), moved), "fhir-not-found"),
            (entry("POST", "Patient", patient("C")), "fhir-forbidden"),
            (entry("DELETE", &format!("Observation/{foreign}"), Value::Null), "fhir-forbidden"),
        ] {
            let refused = send(&sensor, "transaction", "", vec![own(), other.clone()]).await;
            assert_eq!(refused.code(), code, "{other}");
        }
        assert_eq!(sensor.get("Observation").await.found().len(), 0, "nothing is left of what was refused");
        // batch_item_beyond_scope
        let done = send(
            &sensor,
            "batch",
            "",
            vec![
                own(),
                entry("POST", "Patient", patient("C")),
                entry("GET", &format!("Observation/{foreign}"), Value::Null),
            ],
        )
        .await;
        assert_eq!(statuses(&done), ["201", "403", "404"]);
    }
}

/// Shows REQ-FHIR-20, REQ-FHIR-21, REQ-FHIR-47, REQ-FHIR-48.
#[tokio::test(flavor = "multi_thread")]
async fn operations_do_what_they_say() {
    let house = House::new();
    let all = everything(&house).await;
    let anna = all.create(&patient("Anna")).await.made();
    let hers = all.create(&device("a", &anna)).await.made();
    let sensor = house.device("a", Role::Sensor).with("system/Observation.crs").await;
    let mut reading = entry("POST", "Observation", glucose(&anna, &hers, "2024-01-01"));
    reading["resource"]["identifier"] = json!([{ "system": "urn:n", "value": "1" }]);
    reading["request"]["ifNoneExist"] = "identifier=urn:n|1".into();
    for expected in ["201", "200"] {
        let done = send(&sensor, "transaction", "$submit-cgm-bundle", vec![reading.clone()]).await;
        assert_eq!(
            (statuses(&done), done.body["type"].as_str()),
            (vec![expected.to_owned()], Some("transaction-response"))
        );
    }
    let get = vec![entry("GET", "Observation", Value::Null)];
    assert_eq!(send(&sensor, "transaction", "$submit-cgm-bundle", get).await.code(), "fhir-entry");
    assert_eq!(send(&sensor, "batch", "$submit-cgm-bundle", vec![reading.clone()]).await.code(), "fhir-entry");
    let bundle = json!({ "resourceType": "Bundle", "type": "transaction", "entry": [reading] });
    let given = json!({ "resourceType": "Parameters", "parameter": [{ "name": "resource", "resource": bundle }] });
    let json = &[("content-type", "application/fhir+json")][..];
    let done = sensor.send("POST", "$submit-cgm-bundle", json, &given.to_string()).await;
    assert_eq!((statuses(&done), done.body["type"].as_str()), (vec!["200".to_owned()], Some("transaction-response")));
    let validate = async |path: &str, body: Value| {
        let answer = sensor.send("POST", path, &[("content-type", "application/fhir+json")], &body.to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        answer.body["issue"][0]["severity"].as_str().expect("a severity").to_owned()
    };
    assert_eq!(validate("Patient/$validate", patient("X")).await, "information");
    assert_eq!(validate("Patient/$validate", json!({ "resourceType": "Patient", "x": 1 })).await, "error");
    let parameters =
        json!({ "resourceType": "Parameters", "parameter": [{ "name": "resource", "resource": patient("X") }] });
    assert_eq!(validate("Patient/x/$validate", parameters.clone()).await, "information");
    // FHIR R4, Resource-validate: whoever cannot validate against a profile says so.
    let mut profiled = parameters;
    let profile = json!({ "name": "profile", "valueUri": "http://example.org/p" });
    profiled["parameter"].as_array_mut().expect("a list").push(profile);
    for (path, body) in
        [("Patient/$validate?profile=http://example.org/p", patient("X")), ("Patient/$validate", profiled)]
    {
        assert_eq!(sensor.send("POST", path, json, &body.to_string()).await.code(), "fhir-unknown-parameter", "{path}");
    }
    let mut nowhere = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" } });
    nowhere["derivedFrom"] = json!([{ "reference": "urn:uuid:6a5a8bd2-0000-4000-8000-000000000009" }]);
    assert_eq!(validate("Observation/$validate", nowhere.clone()).await, "error");
    let refused = all.send("POST", "Observation", json, &nowhere.to_string()).await;
    assert_eq!(
        (refused.code(), refused.body["issue"][0]["expression"][0].as_str()),
        ("fhir-reference", Some("Observation.derivedFrom[0].reference"))
    );
    assert_eq!(all.get("Patient?family=X").await.found().len(), 0, "nothing is kept");
    assert_eq!(sensor.get(&format!("Patient/{anna}/$everything")).await.code(), "fhir-forbidden");
    assert_eq!(all.get("Patient/00000000000000000000000000/$everything").await.code(), "fhir-not-found");
    assert_eq!(all.get(&format!("Device/{hers}/$everything")).await.code(), "fhir-not-supported");
}
