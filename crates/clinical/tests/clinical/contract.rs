//! What the store keeps to, on both databases.

use crate::fixture::{House, device, glucose, patients};
use http::StatusCode;
use medlock_clinical::audit;
use medlock_trust::Role;
use serde_json::json;

/// Shows REQ-FHIR-01, REQ-AUDIT-01.
#[tokio::test(flavor = "multi_thread")]
async fn both_databases_keep_the_contract() {
    for house in House::both() {
        keeps(&house).await;
    }
}

async fn keeps(house: &House) {
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
    let sensor = gateway.create(&device("cgm", &anna)).await.made();
    let mut readings = Vec::new();
    for day in 1..=5 {
        let reading = glucose(&anna, &sensor, &format!("2024-01-0{day}T10:00:00Z"));
        readings.push(gateway.create(&reading).await.made());
    }
    let other = gateway.create(&json!({
        "resourceType": "Observation", "status": "final", "code": { "coding": [{ "code": "x" }] },
        "subject": { "reference": format!("Patient/{bert}") }, "meta": { "tag": [{ "system": "urn:t", "code": "t" }] },
        "identifier": [{ "system": "urn:s", "value": "v" }, { "value": "v" }],
    })).await.made();
    let search = async |query: String| {
        let answer = gateway.get(&query).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}: {answer:?}");
        answer.found()
    };
    let newest_first: Vec<String> = readings.iter().rev().cloned().collect();
    for query in [
        format!("Observation?patient={anna}"),
        format!("Observation?patient=Patient/{anna}&code=99504-3"),
        format!("Observation?subject=Patient/{anna}&code=http://loinc.org|99504-3,nothing"),
        "Observation?code=urn:iso:std:iso:11073:10101|160212".to_owned(),
        format!("Observation?device=Device/{sensor}"),
        format!("Observation?patient={anna}&status=final&date=2024-01"),
    ] {
        assert_eq!(search(query.clone()).await, newest_first, "{query}");
    }
    assert_eq!(search(format!("Observation?patient={anna}&date=ge2024-01-04")).await, newest_first[..2]);
    assert_eq!(search(format!("Observation?patient={anna}&date=lt2024-01-02")).await, newest_first[4..]);
    assert_eq!(search(format!("Observation?_id={other},{}", readings[0])).await.len(), 2);
    for query in ["identifier=urn:s|v", "identifier=v", "identifier=|v", "_tag=urn:t|t", "code=x", "code=|x"] {
        assert_eq!(search(format!("Observation?{query}")).await, std::slice::from_ref(&other), "{query}");
    }
    for nothing in [
        format!("Observation?patient={bert}&code=99504-3"),
        "Observation?identifier=urn:x|v".to_owned(),
        "Observation?code=urn:other|99504-3".to_owned(),
        "Observation?patient=nobody".to_owned(),
        "Observation?date=2024-02".to_owned(),
        format!("Observation?patient={bert}&date=2024"),
    ] {
        assert_eq!(search(nothing.clone()).await, Vec::<String>::new(), "{nothing}");
    }
    // Six, whatever the size of the pages, each once and in order.
    let mut address = "Observation?_count=2".to_owned();
    let mut found = Vec::new();
    for _ in 0..3 {
        let page = gateway.get(&address).await;
        found.extend(page.found());
        let links = page.body["link"].as_array().expect("links").clone();
        let next = links.iter().find(|link| link["relation"] == "next").and_then(|link| link["url"].as_str());
        address = next.and_then(|next| next.split_once("/fhir/")).map(|(_, path)| path.to_owned()).unwrap_or_default();
    }
    assert_eq!(address, "", "no fourth page");
    let mut all = newest_first.clone();
    all.insert(0, other.clone());
    found.sort();
    all.sort();
    assert_eq!(found, all);
    assert!(house.clinical.records().newest().expect("read").0 >= 9);
    // What is noted is chained, and is what was done.
    let began = std::time::Instant::now();
    let (count, broken) = loop {
        let verified = audit::verify(house.clinical.records(), None).expect("read");
        if verified.head.entries >= 9 + 15 || began.elapsed().as_secs() > 10 {
            break (verified.head.entries, verified.broken);
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    assert!(count >= 24 && broken.is_none(), "{count} {broken:?}");
}
