//! A small resource of each kind that has one.

use serde_json::{Value, json};

/// A resource of this kind, about this patient and by this device; `None` where a server may well refuse any that is made up.
pub(super) fn of(kind: &str, patient: &str, device: &str) -> Option<Value> {
    let subject = json!({ "reference": format!("Patient/{patient}") });
    let by = json!({ "reference": format!("Device/{device}") });
    let code = json!({ "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] });
    let mut made = match kind {
        "Patient" => {
            json!({ "name": [{ "family": "Fuzz", "given": ["Anna"] }], "gender": "female", "birthDate": "1970-01-02" })
        }
        "Device" => json!({ "status": "active", "patient": subject, "serialNumber": "S-1" }),
        "DeviceMetric" => json!({ "type": code, "source": by, "category": "measurement", "operationalStatus": "on" }),
        "Observation" => json!({
            "status": "final", "code": code, "subject": subject, "effectiveDateTime": "2024-01-01T08:00:00Z",
            "valueQuantity": { "value": 104.5, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
        }),
        "Practitioner" => json!({ "active": true, "name": [{ "family": "Fuzz" }] }),
        "PractitionerRole" => json!({ "active": true }),
        "Organization" => json!({ "active": true, "name": "Fuzz" }),
        "MedicationAdministration" => json!({
            "status": "completed", "medicationCodeableConcept": code, "subject": subject, "effectiveDateTime": "2024-01-01",
        }),
        "ServiceRequest" => json!({ "status": "active", "intent": "order", "code": code, "subject": subject }),
        "DiagnosticReport" => {
            json!({ "status": "final", "code": code, "subject": subject, "effectiveDateTime": "2024-01-01" })
        }
        "ImagingStudy" => json!({ "status": "available", "subject": subject, "started": "2024-01-01" }),
        _ => return None,
    };
    made["resourceType"] = json!(kind);
    Some(made)
}

/// A Subscription that calls nobody.
pub(super) fn subscription() -> Value {
    json!({
        "resourceType": "Subscription", "status": "requested", "reason": "a test", "criteria": "Observation?code=99504-3",
        "channel": { "type": "websocket" },
    })
}

/// One that is about nobody, to be broken.
pub(super) fn any(kind: &str, patient: &str) -> Value {
    of(kind, patient, "1").unwrap_or_else(|| json!({ "resourceType": kind, "status": "active" }))
}
