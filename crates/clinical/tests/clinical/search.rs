//! What a search does not tell.

use crate::fixture::{House, device, glucose, patient, patients};
use http::StatusCode;
use medlock_trust::Role;

/// Shows REQ-SRCH-04: a page is good for its search and its caller.
#[tokio::test(flavor = "multi_thread")]
async fn cursor_of_another_caller() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    for name in ["A", "B", "C"] {
        gateway.create(&patient(name)).await.made();
    }
    let page = gateway.get("Patient?_count=1").await;
    let next = page.body["link"][1]["url"]
        .as_str()
        .expect("a next page")
        .split_once("/fhir/")
        .expect("an address")
        .1
        .to_owned();
    assert_eq!(gateway.get(&next).await.found().len(), 1);
    let again = house.device("gw", Role::Gateway).with("system/*.crs").await;
    assert_eq!(again.get(&next).await.code(), "fhir-cursor");
    assert_eq!(gateway.get(&next.replace("_count=1", "_count=2")).await.code(), "fhir-cursor");
    assert_eq!(gateway.get(&next.replace("Patient", "Device")).await.code(), "fhir-cursor");
    assert_eq!(gateway.get("Patient?_page=AAAA").await.code(), "fhir-cursor");
}

/// Shows REQ-SRCH-05: neither results, nor pages, nor filters tell a caller of rows it may not see.
#[tokio::test(flavor = "multi_thread")]
async fn a_search_is_no_oracle() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
    let (hers, his) =
        (gateway.create(&device("a", &anna)).await.made(), gateway.create(&device("b", &bert)).await.made());
    let own = gateway.create(&glucose(&anna, &hers, "2024-01-01")).await.made();
    for day in ["2024-01-02", "2024-01-03"] {
        gateway.create(&glucose(&bert, &his, day)).await.made();
    }
    let sensor = house.device("a", Role::Sensor).with("system/*.crs").await;
    for query in ["Observation", "Observation?code=99504-3", "Observation?_count=1", "Observation?date=2024"] {
        let page = sensor.get(query).await;
        assert_eq!((page.status, page.found()), (StatusCode::OK, vec![own.clone()]), "{query}");
        assert_eq!(page.body["link"].as_array().map(Vec::len), Some(1), "{query}: no next page");
        assert!(page.body.get("total").is_none());
    }
    for query in [
        format!("Observation?patient={bert}"),
        format!("Observation?device=Device/{his}"),
        "Observation?date=2024-01-02".to_owned(),
    ] {
        let page = sensor.get(&query).await;
        assert_eq!((page.status, page.found().len()), (StatusCode::OK, 0), "{query}");
    }
    assert_eq!(sensor.get("Patient").await.found(), std::slice::from_ref(&anna));
    assert_eq!(sensor.get("Device").await.found(), [hers]);
    let forbidden = sensor.get(&format!("Patient/{bert}")).await;
    let absent = sensor.get("Patient/00000000000000000000000000").await;
    assert_eq!((forbidden.status, &forbidden.body), (StatusCode::NOT_FOUND, &absent.body));
    assert_eq!(sensor.get(&format!("Patient/{anna}")).await.status, StatusCode::OK);
}
