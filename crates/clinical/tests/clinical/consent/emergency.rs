//! Breaking the glass.

use super::{Ward, anna, doctor};
use crate::audit::eventually;
use crate::fixture::{House, patient};
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};

fn because(reason: &str) -> Value {
    json!({ "resourceType": "Parameters", "parameter": [{ "name": "reason", "valueString": reason }] })
}

/// Shows REQ-CONS-13: with a reason, for this patient, for this grant and for a while; the patient sees who, when and why; REQ-AUDIT-33:
/// and with which software, by its name.
#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_glass_sees_and_is_seen() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, first, other) = (anna(&house).await, doctor(&house).await, doctor(&house).await);
        let consent = anna.create(&ward.consent(json!([{ "type": "deny" }]))).await.made();
        let path = format!("Patient/{}/$break-glass", ward.anna);
        for (reason, code) in [("", "fhir-parameter-value"), ("urgent", "fhir-parameter-value")] {
            assert_eq!(first.send("POST", &path, &[], &because(reason)).await.code(), code);
        }
        let hers = anna.send("POST", &path, &[], &because("I want to see it")).await;
        assert_eq!((hers.status, hers.code()), (StatusCode::FORBIDDEN, "fhir-denied"));
        assert_eq!(first.sees(&ward).await, ["other"]);
        // By the number on the wrist: it finds one, of whom no search tells.
        let mut identified = anna.get(&format!("Patient/{}", ward.anna)).await.body;
        identified["identifier"] = json!([{ "system": "urn:mrn", "value": "1,2|3" }]);
        let gateway = house.device("gw2", Role::Gateway).with("system/Patient.u").await;
        let (headers, own) = ([("content-type", "application/fhir+json")], format!("Patient/{}", ward.anna));
        assert_eq!(gateway.send("PUT", &own, &headers, &identified.to_string()).await.status, StatusCode::OK);
        let third = doctor(&house).await;
        for (value, code) in [("1", "fhir-not-found"), ("", "fhir-parameter-value")] {
            let mut asked = because("found unconscious at home");
            let whose = json!({ "name": "identifier", "valueIdentifier": { "system": "urn:mrn", "value": value } });
            asked["parameter"].as_array_mut().expect("a list").push(whose);
            let answer = third.send("POST", "Patient/$break-glass", &[], &asked).await;
            assert_eq!(answer.code(), code, "{answer:?}");
        }
        let mut asked = because("found unconscious in the street");
        let whose = json!({ "name": "identifier", "valueIdentifier": { "system": "urn:mrn", "value": "1,2|3" } });
        asked["parameter"].as_array_mut().expect("a list").push(whose);
        assert_eq!(third.get("Patient?identifier=urn:mrn|1\\,2\\|3").await.found().len(), 0);
        let answer = third.send("POST", "Patient/$break-glass", &[], &asked).await;
        let reference = format!("Patient/{}", ward.anna);
        assert_eq!(answer.body["parameter"][1]["valueReference"]["reference"], reference, "{answer:?}");
        assert_eq!(third.sees(&ward).await.len(), 4);
        let broken = first.send("POST", &path, &[], &because("found unconscious at home")).await;
        assert_eq!(broken.status, StatusCode::OK, "{broken:?}");
        assert_eq!(broken.body["parameter"][0]["name"], "until");
        assert_eq!(first.sees(&ward).await.len(), 4);
        assert_eq!(first.get(&format!("Patient/{}", ward.anna)).await.status, StatusCode::OK);
        assert_eq!(other.sees(&ward).await, ["other"], "another grant");
        // Nobody changes by it what the patient has said.
        let mut ended = ward.consent(json!([{ "type": "deny" }]));
        (ended["id"], ended["status"]) = (json!(consent), json!("inactive"));
        let changed = first.send("PUT", &format!("Consent/{consent}"), &[], &ended).await;
        assert_eq!(changed.status, StatusCode::FORBIDDEN, "{changed:?}");
        let told = anna.get(&format!("Patient/{}/$broken-glass", ward.anna)).await;
        assert_eq!(told.body["parameter"].as_array().map(Vec::len), Some(2), "{told:?}");
        let parts = told.body["parameter"][0]["part"].as_array().expect("parts").clone();
        let part = |name: &str| parts.iter().find(|part| part["name"] == name).cloned().unwrap_or_default();
        assert_eq!(part("by")["valueReference"]["reference"], format!("Practitioner/{}", ward.doctor));
        assert_eq!(part("reason")["valueString"], "found unconscious at home");
        assert_eq!(part("software")["valueString"], "Sugar & Co");
        house.site.clock.advance(899);
        assert_eq!(first.sees(&ward).await.len(), 4);
        house.site.clock.advance(1);
        assert_eq!(first.sees(&ward).await, ["other"]);
        assert_eq!(other.get(&format!("Patient/{}/$broken-glass", ward.anna)).await.status, StatusCode::NOT_FOUND);
        assert_eq!(
            first.send("POST", &path.replace(&ward.anna, "x"), &[], &because("found unconscious")).await.code(),
            "fhir-not-found"
        );
    }
}

/// Shows REQ-AUDIT-48: where an identifier is that of several patients, the glass stays whole, and each of them is told that it was tried.
#[tokio::test(flavor = "multi_thread")]
async fn who_breaks_the_glass_of_several_is_seen_by_each() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let gateway = house.device("gw2", Role::Gateway).with("system/Patient.crus system/AuditEvent.rs").await;
        let mut others = Vec::new();
        for name in ["Cleo", "Dora", "Emma"] {
            let mut one = patient(name);
            one["identifier"] = json!([{ "system": "urn:mrn", "value": "7" }]);
            others.push(gateway.create(&one).await.made());
        }
        let mut asked = because("found unconscious at home");
        let whose = json!({ "name": "identifier", "valueIdentifier": { "system": "urn:mrn", "value": "7" } });
        asked["parameter"].as_array_mut().expect("a list").push(whose);
        let refused = doctor(&house).await.send("POST", "Patient/$break-glass", &[], &asked).await;
        assert_eq!(refused.code(), "fhir-many-matches", "{refused:?}");
        for other in &others {
            eventually("what is refused", async || {
                let events = gateway.get(&format!("AuditEvent?patient={other}&outcome=4")).await.resources();
                events.into_iter().find(|event| event["outcomeDesc"] == "fhir-many-matches")
            })
            .await;
        }
        let of_anna = gateway.get(&format!("AuditEvent?patient={}&outcome=4", ward.anna)).await.resources();
        assert!(of_anna.is_empty(), "{of_anna:?}");
    }
}
