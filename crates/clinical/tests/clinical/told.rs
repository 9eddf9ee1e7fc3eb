//! In whose audit it is what exports and Subscriptions tell, before anything of theirs is given.

use crate::audit::eventually;
use crate::backend::Backend;
use crate::export::{begun, fetch, kick_off, manifest, path_of};
use crate::fixture::{House, device, glucose, patients};
use crate::people::Person;
use data_encoding::BASE64;
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};

const SCOPES: &str = "system/Observation.rds system/Patient.rs system/Subscription.cruds system/AuditEvent.rs";

/// Anna and Bert, each with a reading, and software.
struct Ward<'h> {
    backend: Backend<'h>,
    software: Person<'h>,
    patients: [String; 2],
    readings: [String; 2],
}

impl<'h> Ward<'h> {
    async fn new(house: &'h House) -> Self {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let patients = patients(&gateway, ["Anna", "Bert"]).await;
        let mut readings = [("a", "2024-01-01"), ("b", "2024-02-01")].map(|(own, day)| (own.to_owned(), day));
        for ((reading, day), patient) in readings.iter_mut().zip(&patients) {
            let own = gateway.create(&device(reading, patient)).await.made();
            *reading = gateway.create(&glucose(patient, &own, day)).await.made();
        }
        let backend = Backend::new(house, SCOPES).await;
        let software = Person { house, token: backend.token(SCOPES).await };
        Self { backend, software, patients, readings: readings.map(|(reading, _)| reading) }
    }

    /// Asks for an export of Observations, with the search in the body.
    async fn posted(&self, search: &str) -> String {
        let asked = json!({ "resourceType": "Parameters", "parameter": [
            { "name": "_type", "valueString": "Observation" },
            { "name": "_typeFilter", "valueString": format!("Observation?{search}") },
        ] });
        begun(&self.software.send("POST", "$export", &[("prefer", "respond-async")], &asked).await)
    }

    /// What the events of this patient's audit say that was asked or written, all in one.
    async fn events(&self, patient: &str) -> String {
        let page = self.software.get(&format!("AuditEvent?patient={patient}&_count=200")).await;
        let mut told = String::new();
        for entity in page.resources().iter().flat_map(|event| event["entity"].as_array().cloned().unwrap_or_default())
        {
            let query = entity["query"].as_str().map(|query| BASE64.decode(query.as_bytes()).expect("base64"));
            let query = query.map(|query| String::from_utf8(query).expect("UTF-8")).unwrap_or_default();
            let what = entity["what"]["reference"].as_str().unwrap_or_default();
            told = format!("{told}{} {what} {query}\n", entity["name"].as_str().unwrap_or_default());
        }
        told
    }

    /// It comes to be in Anna's audit, and not in Bert's.
    async fn is_told_to_anna(&self, part: &str) {
        eventually(part, async || self.events(&self.patients[0]).await.contains(part).then_some(())).await;
        assert!(!self.events(&self.patients[1]).await.contains(part), "{part}");
    }
}

/// Shows REQ-EXPORT-41, REQ-EXPORT-42: an export tells those whom its searches name, and those whose data its manifest counts, before a
/// file is fetched; what was asked in a body is in the audit as it was asked.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_told_to_whom_it_is_about() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (token, [anna, _]) = (&ward.software.token, &ward.patients);
        // Whom a search names: also where nothing is found.
        let status = ward.posted(&format!("patient={anna}&value-quantity=gt9999")).await;
        ward.is_told_to_anna("value-quantity%3Dgt9999").await;
        let told = manifest(&house, token, &status).await;
        let request = told["request"].as_str().expect("an address");
        assert!(told["output"] == json!([]) && request.ends_with("/fhir/$export"), "{told}");
        // Whose is counted, where none is named.
        let status = ward.posted("date=lt2024-01-02").await;
        assert_eq!(manifest(&house, token, &status).await["output"].as_array().map(Vec::len), Some(1));
        ward.is_told_to_anna("date%3Dlt2024-01-02").await;
        // Of what was deleted too: the search is not asked of that, so it is everybody's who lost something.
        house.site.clock.advance(120);
        let since = format!("$export?_type=Observation&_since={}", house.site.clock.now());
        house.site.clock.advance(1);
        let named = ward.posted(&format!("patient={anna}&status=final")).await;
        let file = path_of(&manifest(&house, token, &named).await["output"][0]["url"]);
        let gone = ward.software.send("DELETE", &format!("Observation/{}", ward.readings[0]), &[], &Value::Null).await;
        assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
        let status = begun(&kick_off(&house, token, &since).await);
        assert_eq!(manifest(&house, token, &status).await["deleted"].as_array().map(Vec::len), Some(1));
        ward.is_told_to_anna(&since).await;
        // That a file has nothing any more.
        let lines = fetch(&house, token, &file).await.lines;
        assert_eq!(lines.map(|lines| lines.len()), Some(0));
        ward.is_told_to_anna(&file).await;
        // Whom the scopes name.
        let narrow = ward.backend.token(&format!("system/Observation.rs?patient={anna}")).await;
        let path = "$export?_type=Observation&_typeFilter=Observation?date=lt1999";
        begun(&kick_off(&house, &narrow, path).await);
        ward.is_told_to_anna("date=lt1999").await;
    }
}

/// Shows REQ-AUDIT-49: who may see what is of some patients alone asks of them, whatever else is asked, and finds nothing.
#[tokio::test(flavor = "multi_thread")]
async fn whom_scopes_name_is_told_of_each_search() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let narrow = ward.backend.token(&format!("system/Observation.rs?patient={}", ward.patients[0])).await;
        house.site.clock.advance(120);
        let history = format!("Observation/_history?_since={}", house.site.clock.now());
        for (path, part) in [("Observation?date=lt1999", "date=lt1999"), (&history, "Observation/_history")] {
            assert_eq!(house.read(&narrow, path).await.found(), Vec::<String>::new(), "{path}");
            ward.is_told_to_anna(part).await;
        }
    }
}

/// Shows REQ-AUDIT-46: who wants to be told of a patient's data says so in that patient's audit, when it is written.
#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_is_told_to_whom_it_names() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let mut wanted = json!({
            "resourceType": "Subscription", "status": "requested", "reason": "care", "channel": { "type": "websocket" },
            "criteria": format!("Observation?patient={}&value-quantity=gt9999", ward.patients[0]),
        });
        let id = ward.software.send("POST", "Subscription", &[], &wanted).await.made();
        ward.is_told_to_anna(&format!("Subscription/{id}/_history/1")).await;
        wanted["id"] = id.clone().into();
        wanted["criteria"] = format!("Observation?subject=Patient/{}", ward.patients[0]).into();
        let path = format!("Subscription/{id}");
        assert_eq!(ward.software.send("PUT", &path, &[], &wanted).await.status, StatusCode::OK);
        ward.is_told_to_anna(&format!("Subscription/{id}/_history/2")).await;
        let entry = |method: &str| json!({ "request": { "method": method, "url": path }, "resource": wanted });
        assert_eq!(
            ward.software.send("POST", "", &[], &crate::fixture::transaction([entry("PUT")])).await.status,
            StatusCode::OK
        );
        ward.is_told_to_anna(&format!("Subscription/{id}/_history/3")).await;
    }
}
