//! What patients allow and forbid, as those who ask see it.

mod elements;
mod emergency;
mod oracle;
mod policy;

use crate::fixture::{House, device, glucose, patient};
use crate::people::{Browser, Person, query, token};
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};

impl Person<'_> {
    /// The observations that are found, each by the name that the ward gave it.
    async fn sees(&self, ward: &Ward) -> Vec<&'static str> {
        let answer = self.get("Observation").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        ward.names(&answer.found())
    }
}

/// Anna with three readings of hers, Bert with one, and who works there.
struct Ward {
    anna: String,
    bert: String,
    doctor: String,
    role: String,
    clinic: String,
    gateway: String,
    /// What was measured, by its name.
    readings: Vec<(&'static str, String)>,
}

/// What denies what is secret.
fn secret() -> Value {
    json!([{ "coding": [{ "system": "urn:t", "code": "secret" }] }])
}

impl Ward {
    async fn new(house: &House) -> Self {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let made = async |resource: Value| gateway.create(&resource).await.made();
        let (anna, bert) = (made(patient("Anna")).await, made(patient("Bert")).await);
        let doctor = made(json!({ "resourceType": "Practitioner", "name": [{ "family": "Doe" }] })).await;
        let clinic = made(json!({ "resourceType": "Organization", "name": "Clinic" })).await;
        let role = made(json!({
            "resourceType": "PractitionerRole",
            "practitioner": { "reference": format!("Practitioner/{doctor}") },
            "organization": { "reference": format!("Organization/{clinic}") },
        }))
        .await;
        let own = json!({ "resourceType": "Device", "identifier": [{ "system": medlock_clinical::DEVICE_SYSTEM, "value": "gw" }] });
        let own = made(own).await;
        let (hers, his) = (made(device("a", &anna)).await, made(device("b", &bert)).await);
        let sugar = made(glucose(&anna, &hers, "2024-01-01T08:00:00Z")).await;
        let secret = made(json!({
            "resourceType": "Observation", "status": "final", "code": secret()[0],
            "subject": { "reference": format!("Patient/{anna}") }, "effectiveDateTime": "2024-03-01",
            "meta": { "security": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "R" }] },
            "performer": [{ "reference": format!("Practitioner/{doctor}") }], "identifier": [{ "system": "urn:s", "value": "secret" }],
            "valueString": "zzz",
        })).await;
        let panel = made(json!({
            "resourceType": "Observation", "status": "final", "code": { "coding": [{ "system": "urn:t", "code": "panel" }] },
            "subject": { "reference": format!("Patient/{anna}") }, "hasMember": [{ "reference": format!("Observation/{secret}") }],
        })).await;
        let other = made(glucose(&bert, &his, "2024-01-01T08:00:00Z")).await;
        let readings = vec![("sugar", sugar), ("secret", secret), ("panel", panel), ("other", other)];
        house.account("anna", &format!("Patient/{anna}")).await;
        house.account("doe", &format!("Practitioner/{doctor}")).await;
        Self { anna, bert, doctor, role, clinic, gateway: own, readings }
    }

    fn reading(&self, name: &str) -> &str {
        self.readings.iter().find(|(of, _)| *of == name).map(|(_, id)| id.as_str()).expect("a reading")
    }

    /// In the order in which they were made.
    fn names(&self, found: &[String]) -> Vec<&'static str> {
        self.readings.iter().filter(|(_, id)| found.contains(id)).map(|(name, _)| *name).collect()
    }

    /// Anna's consent with these provisions, which are exceptions to the base policy.
    fn consent(&self, provisions: Value) -> Value {
        json!({
            "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{}", self.anna) },
            "scope": { "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }] },
            "category": [{ "coding": [{ "system": "http://loinc.org", "code": "59284-0" }] }],
            "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
            "provision": { "provision": provisions },
        })
    }
}

/// An actor who receives information.
fn actor(reference: String) -> Value {
    let role = json!({ "coding": [{ "system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP" }] });
    json!([{ "role": role, "reference": { "reference": reference } }])
}

/// Lets somebody sign in with an app that gets all it asks.
async fn person<'h>(house: &'h House, name: &str, scopes: &str) -> Person<'h> {
    let code = house.code(name).await;
    let app = house.app("public", json!({ "scopes": scopes })).await;
    let mut browser = Browser::new(house);
    let page = browser.sign_in(&query(&app.id, &[("scope", scopes)]), (name, &code)).await;
    let sent = browser.allow(&page, &[]).await;
    let given = app.exchange(house, &sent.parameter("code"), &[]).await;
    Person { house, token: token(&given, "access_token") }
}

async fn doctor(house: &House) -> Person<'_> {
    person(house, "doe", "user/*.cruds").await
}

async fn anna(house: &House) -> Person<'_> {
    person(house, "anna", "launch/patient patient/*.cruds").await
}
