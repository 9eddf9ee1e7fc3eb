//! What a caller with one patient learns of others: nothing, whatever it searches by.

use crate::fixture::{Answer, Device, House, device, glucose, patients};
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};

/// Two patients with their devices; what is Bert's has values that nothing of Anna's has.
struct Ward {
    anna: String,
    own: String,
    /// Bert's reading.
    foreign: String,
}

async fn ward(house: &House) -> Ward {
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
    let (hers, his) =
        (gateway.create(&device("a", &anna)).await.made(), gateway.create(&device("b", &bert)).await.made());
    let own = gateway.create(&glucose(&anna, &hers, "2024-01-01")).await.made();
    let mut reading = glucose(&bert, &his, "2024-01-02");
    reading["code"] = json!({ "coding": [{ "system": "urn:t", "code": "secret" }] });
    let foreign = gateway.create(&reading).await.made();
    gateway.create(&json!({
        "resourceType": "Observation", "status": "final", "code": { "coding": [{ "system": "urn:t", "code": "secret" }] },
        "subject": { "reference": format!("Patient/{bert}") }, "hasMember": [{ "reference": format!("Observation/{own}") }],
    })).await.made();
    Ward { anna, own, foreign }
}

/// A caller that may see Anna alone, by her device.
async fn sensor(house: &House) -> Device<'_> {
    house.device("a", Role::Sensor).with("system/*.crs").await
}

fn entries(answer: &Answer) -> Vec<Value> {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body["entry"].as_array().cloned().unwrap_or_default()
}

/// Shows REQ-SRCH-06.
#[tokio::test(flavor = "multi_thread")]
async fn has_is_no_oracle() {
    for house in House::both() {
        let ward = ward(&house).await;
        let sensor = sensor(&house).await;
        let found = async |query: &str| sensor.get(query).await.found();
        assert_eq!(found("Patient?_has:Observation:patient:code=99504-3").await, [ward.anna]);
        assert_eq!(found("Patient?_has:Observation:patient:code=secret").await.len(), 0);
        assert_eq!(
            found("Observation?_has:Observation:has-member:code=secret").await.len(),
            0,
            "Bert's refers to hers"
        );
        let gateway = house.device("gw", Role::Gateway).with("system/*.rs").await;
        assert_eq!(gateway.get("Observation?_has:Observation:has-member:code=secret").await.found(), [ward.own]);
        let narrow = house.device("gw", Role::Gateway).with("system/Patient.rs").await;
        assert_eq!(narrow.get("Patient?_has:Observation:patient:code=x").await.code(), "fhir-forbidden");
    }
}

/// Shows REQ-SRCH-07.
#[tokio::test(flavor = "multi_thread")]
async fn chain_is_no_oracle() {
    for house in House::both() {
        let ward = ward(&house).await;
        let sensor = sensor(&house).await;
        for query in ["patient.name=anna", "subject:Patient.family=Anna", "device:Device.identifier=a"] {
            assert_eq!(
                sensor.get(&format!("Observation?{query}")).await.found(),
                std::slice::from_ref(&ward.own),
                "{query}"
            );
        }
        for query in ["patient.name=bert", "device:Device.identifier=b", "has-member.code=secret"] {
            assert_eq!(sensor.get(&format!("Observation?{query}")).await.found().len(), 0, "{query}");
        }
        // Hers may refer to what is Bert's: that is not looked at for who does not see it.
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let mut derived = gateway.get(&format!("Observation/{}", ward.own)).await.body;
        derived["derivedFrom"] = json!([{ "reference": format!("Observation/{}", ward.foreign) }]);
        let derived = gateway.create(&derived).await.made();
        let query = "Observation?derived-from:Observation.code=secret";
        assert_eq!(gateway.get(query).await.found(), [derived]);
        assert_eq!(sensor.get(query).await.found().len(), 0);
        assert_eq!(gateway.get("Observation?patient.name=bert").await.found().len(), 2);
        let narrow = house.device("gw", Role::Gateway).with("system/Observation.rs").await;
        assert_eq!(narrow.get("Observation?patient.name=bert").await.code(), "fhir-forbidden");
        assert_eq!(narrow.get("Observation?patient:Encounter.x=bert").await.code(), "fhir-parameter-value");
    }
}

/// Shows REQ-SRCH-08: include_is_no_oracle, revinclude_is_no_oracle.
#[tokio::test(flavor = "multi_thread")]
async fn include_is_no_oracle() {
    for house in House::both() {
        let ward = ward(&house).await;
        let sensor = sensor(&house).await;
        let page = sensor.get("Observation?_include=Observation:patient&_include=Observation:device").await;
        let modes: Vec<_> = entries(&page).iter().map(|entry| entry["search"]["mode"].clone()).collect();
        assert_eq!((page.found(), modes.len()), (vec![ward.own.clone()], 3), "{modes:?}");
        let page = sensor.get(&format!("Observation?_id={}&_revinclude=Observation:has-member", ward.own)).await;
        assert_eq!(entries(&page).len(), 1, "Bert's reading refers to hers");
        let page = sensor.get("Patient?_revinclude=Observation:patient&_revinclude=Device:patient").await;
        assert_eq!(entries(&page).len(), 3);
        let gateway = house.device("gw", Role::Gateway).with("system/*.rs").await;
        let page = gateway.get(&format!("Observation?_id={}&_revinclude=Observation:has-member", ward.own)).await;
        assert_eq!(entries(&page).len(), 2);
        let narrow = house.device("gw", Role::Gateway).with("system/Observation.rs").await;
        let page = narrow.get("Observation?_include=Observation:patient").await;
        assert_eq!(entries(&page).len(), 3, "patients are not read by this token");
    }
}

/// Shows REQ-SRCH-09.
#[tokio::test(flavor = "multi_thread")]
async fn sort_is_no_oracle() {
    for house in House::both() {
        let ward = ward(&house).await;
        let sensor = sensor(&house).await;
        for sort in ["date", "-date", "_lastUpdated", "-_lastUpdated", "_id", "-_id"] {
            let page = sensor.get(&format!("Observation?_sort={sort}&_count=1")).await;
            assert_eq!(page.found(), std::slice::from_ref(&ward.own), "{sort}");
            assert_eq!(page.body["link"].as_array().map(Vec::len), Some(1), "{sort}: no next page");
        }
        assert_eq!(sensor.get("Patient?_sort=-family&_count=1").await.found(), [ward.anna]);
    }
}

/// Shows REQ-SRCH-10: total_is_no_oracle, count_is_no_oracle.
#[tokio::test(flavor = "multi_thread")]
async fn total_is_no_oracle() {
    for house in House::both() {
        ward(&house).await;
        let sensor = sensor(&house).await;
        let gateway = house.device("gw", Role::Gateway).with("system/*.rs").await;
        for query in ["_total=accurate", "_summary=count", "_total=estimate&_count=1"] {
            assert_eq!(sensor.get(&format!("Observation?{query}")).await.body["total"], 1, "{query}");
            assert_eq!(gateway.get(&format!("Observation?{query}")).await.body["total"], 3, "{query}");
        }
        assert_eq!(sensor.get("Observation?code=secret&_summary=count").await.body["total"], 0);
        assert!(sensor.get("Observation?_total=none").await.body.get("total").is_none());
        assert_eq!(entries(&gateway.get("Observation?_summary=count").await).len(), 0);
    }
}

/// Shows REQ-SRCH-11: no modifier and no other filter finds what is not seen.
#[tokio::test(flavor = "multi_thread")]
async fn no_filter_is_an_oracle() {
    for house in House::both() {
        let ward = ward(&house).await;
        let sensor = sensor(&house).await;
        for query in
            ["code:not=99504-3", "status:missing=true", "date=ne2024-01-01", "value-quantity=ne101", "code=secret,x"]
        {
            assert_eq!(sensor.get(&format!("Observation?{query}")).await.found().len(), 0, "{query}");
        }
        assert_eq!(sensor.get(&format!("Observation?_id={},{}", ward.foreign, ward.own)).await.found(), [ward.own]);
    }
}

/// Shows REQ-FHIR-23: who refers to what is not seen is answered, letter by letter, as who refers to what is not there, and to what never
/// could be.
#[tokio::test(flavor = "multi_thread")]
async fn reference_is_no_oracle() {
    for house in House::both() {
        let ward = ward(&house).await;
        let sensor = sensor(&house).await;
        let mut told = Vec::new();
        for id in [&*ward.foreign, "00000000000000000000000000", "never"] {
            let mut reading = glucose(&ward.anna, &ward.anna, "2024-01-03");
            reading.as_object_mut().expect("an object").remove("device");
            reading["hasMember"] = json!([{ "reference": format!("Observation/{id}") }]);
            let answer = sensor.create(&reading).await;
            assert_eq!(answer.code(), "fhir-reference", "{answer:?}");
            told.push((answer.status, answer.body));
        }
        assert!(told.iter().all(|one| *one == told[0]), "{told:?}");
    }
}
