//! A ward, and what is written and looked for there.

use super::site::Caller;
use crate::Failure;
use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};

/// Patients, each with a sensor and a consent.
const PATIENTS: u32 = 1_000;
/// Patients in one transaction.
const TRIPLES: usize = 100;
/// A glucose concentration in interstitial fluid, as the guide for continuous glucose monitoring codes it.
const CODE: &str = "99504-3";

/// Patients with their sensors.
pub(super) struct Ward(Vec<(String, String)>);

impl Ward {
    /// Made over the interface, by software: a gateway states no consents.
    pub(super) async fn make(software: &Caller) -> Result<Self, Failure> {
        let mut patients = Vec::new();
        for first in (0..PATIENTS).step_by(TRIPLES) {
            let triples = (first..PATIENTS).take(TRIPLES).flat_map(|number| {
                let patient = format!("urn:uuid:00000000-0000-4000-8000-{number:012}");
                let subject = json!({ "reference": patient });
                [
                    json!({ "resourceType": "Patient", "name": [{ "family": format!("Family{number}") }] }),
                    json!({ "resourceType": "Device", "patient": subject }),
                    consent(&patient),
                ]
                .into_iter()
                .zip([Some(patient), None, None])
            });
            let answer = software.send(transaction(software, triples)?).await?;
            let made: Value = serde_json::from_slice(answer.body())?;
            let reference = |entry: &Value| {
                let mut parts = entry["response"]["location"].as_str()?.rsplit('/').skip(2);
                let (id, kind) = (parts.next()?, parts.next()?);
                Some(format!("{kind}/{id}"))
            };
            let entries = made["entry"].as_array().map(Vec::as_slice).unwrap_or_default();
            let triples =
                entries.chunks(3).map(|triple| Some((reference(triple.first()?)?, reference(triple.get(1)?)?)));
            patients.extend(triples.collect::<Option<Vec<_>>>().ok_or("the hub does not say what it made")?);
        }
        Ok(Self(patients))
    }

    fn patient(&self, number: u32) -> Result<&(String, String), Failure> {
        // Neighbouring numbers are of different patients.
        self.0.get((number % PATIENTS) as usize).ok_or_else(|| "the ward is empty".into())
    }

    fn observation(&self, number: u32) -> Result<Value, Failure> {
        let (patient, device) = self.patient(number)?;
        let (minute, day) = (number % 1_440, number / PATIENTS);
        Ok(json!({
            "resourceType": "Observation",
            "status": "final",
            "code": { "coding": [
                { "system": "urn:iso:std:iso:11073:10101", "code": "160212" }, { "system": "http://loinc.org", "code": CODE },
            ] },
            "subject": { "reference": patient },
            "device": { "reference": device },
            "effectiveDateTime": format!(
                "20{:02}-{:02}-{:02}T{:02}:{:02}:00Z", day / 336 % 100, day / 28 % 12 + 1, day % 28 + 1, minute / 60, minute % 60
            ),
            "valueQuantity": {
                "value": 70 + number % 180, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL",
            },
        }))
    }

    /// Writes one.
    pub(super) fn create(&self, caller: &Caller, number: u32) -> Result<Request<Bytes>, Failure> {
        caller.request(Method::POST, "/fhir/Observation", self.observation(number)?.to_string().into())
    }

    /// Writes so many at once.
    pub(super) fn transaction(&self, caller: &Caller, number: u32, count: u32) -> Result<Request<Bytes>, Failure> {
        let all = (0..count).map(|one| self.observation(number.wrapping_mul(count).wrapping_add(one)));
        transaction(caller, all.collect::<Result<Vec<_>, _>>()?.into_iter().map(|one| (one, None)))
    }

    /// Looks for the newest twenty of a patient.
    pub(super) fn search(&self, caller: &Caller, number: u32) -> Result<Request<Bytes>, Failure> {
        let (patient, _) = self.patient(number.wrapping_mul(7_919))?;
        let query = format!("subject={patient}&code=http://loinc.org|{CODE}&_sort=-date&_count=20");
        caller.request(Method::GET, &format!("/fhir/Observation?{query}"), Bytes::new())
    }
}

/// A transaction that creates these, each with the name that others have for it.
fn transaction(caller: &Caller, all: impl Iterator<Item = (Value, Option<String>)>) -> Result<Request<Bytes>, Failure> {
    let entry = |(resource, name): (Value, Option<String>)| {
        let request = json!({ "method": "POST", "url": resource["resourceType"] });
        match name {
            Some(name) => json!({ "fullUrl": name, "resource": resource, "request": request }),
            None => json!({ "resource": resource, "request": request }),
        }
    };
    let bundle =
        json!({ "resourceType": "Bundle", "type": "transaction", "entry": all.map(entry).collect::<Vec<_>>() });
    caller.request(Method::POST, "/fhir/", bundle.to_string().into())
}

/// What is secret, nobody sees.
fn consent(patient: &str) -> Value {
    let coded = |system: &str, code: &str| json!([{ "coding": [{ "system": system, "code": code }] }]);
    let scope = "http://terminology.hl7.org/CodeSystem/consentscope";
    json!({
        "resourceType": "Consent",
        "status": "active",
        "patient": { "reference": patient },
        "scope": coded(scope, "patient-privacy")[0],
        "category": coded("http://loinc.org", "59284-0"),
        "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
        "provision": { "provision": [{ "type": "deny", "code": coded("urn:medlock:bench", "secret") }] },
    })
}
