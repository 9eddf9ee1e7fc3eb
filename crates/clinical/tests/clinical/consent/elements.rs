//! Each element of a provision.

use super::{Ward, actor, anna, doctor, secret};
use crate::fixture::House;
use http::StatusCode;
use serde_json::{Value, json};

fn coding(system: &str, code: &str) -> Value {
    json!({ "system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code })
}

fn action(code: &str) -> Value {
    json!([{ "coding": [coding("consentaction", code)] }])
}

fn class(kind: &str) -> Value {
    json!([{ "system": "http://hl7.org/fhir/resource-types", "code": kind }])
}

fn with(provision: &Value, name: &str, value: Value) -> Value {
    let mut provision = provision.clone();
    provision[name] = value;
    provision
}

/// Shows REQ-CONS-05: actor, action, purpose, class, code, period, securityLabel, dataPeriod, data: what a deny of Anna's
/// leaves of her three readings.
#[tokio::test(flavor = "multi_thread")]
async fn each_element_narrows_its_provision() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let label = |code: &str| json!([coding("v3-Confidentiality", code)]);
        let data =
            |meaning: &str, reference: String| json!([{ "meaning": meaning, "reference": { "reference": reference } }]);
        let (all, none) = (["sugar", "secret", "panel"].as_slice(), [].as_slice());
        for (name, value, left) in [
            ("actor", actor(format!("Practitioner/{}", ward.doctor)), none),
            ("actor", actor(format!("PractitionerRole/{}", ward.role)), none),
            ("actor", actor(format!("Organization/{}", ward.clinic)), none),
            ("actor", actor(format!("Patient/{}", ward.anna)), all),
            ("actor", actor(format!("Device/{}", ward.gateway)), all),
            ("action", action("access"), none),
            ("action", action("disclose"), none),
            ("action", action("collect"), all),
            ("action", action("correct"), all),
            ("purpose", json!([coding("v3-ActReason", "TREAT")]), none),
            ("purpose", json!([coding("v3-ActReason", "PATRQT")]), all),
            ("purpose", json!([coding("v3-ActReason", "HRESCH")]), all),
            ("class", class("Observation"), none),
            ("class", class("DiagnosticReport"), all),
            ("class", class("Encounter"), all),
            ("code", secret(), &["sugar", "panel"]),
            ("code", json!([{ "coding": [{ "system": "urn:other", "code": "secret" }] }]), all),
            ("securityLabel", label("R"), &["sugar", "panel"]),
            ("securityLabel", label("N"), &["sugar", "panel"]),
            ("securityLabel", label("V"), all),
            ("dataPeriod", json!({ "start": "2024-02", "end": "2024-04" }), &["sugar"]),
            ("dataPeriod", json!({ "end": "2024-01" }), &["secret"]),
            ("data", data("instance", format!("Observation/{}", ward.reading("secret"))), &["sugar", "panel"]),
            ("data", data("related", format!("Observation/{}", ward.reading("panel"))), &["sugar"]),
            ("data", data("dependents", format!("Observation/{}", ward.reading("secret"))), &["sugar"]),
            ("data", data("dependents", format!("Patient/{}", ward.anna)), none),
            ("data", data("authoredby", format!("Practitioner/{}", ward.doctor)), &["sugar", "panel"]),
            ("period", json!({ "start": "2000-01-01" }), none),
            ("period", json!({ "end": "2000-01-01" }), all),
        ] {
            let told = format!("{name} {value}");
            let provision = with(&json!({ "type": "deny" }), name, value);
            // Who writes it down has to see whom it names, and a gateway is nobody's of the patient.
            let consent = doctor.create(&ward.consent(json!([provision]))).await.made();
            let seen = doctor.sees(&ward).await;
            assert_eq!(seen.split_last(), Some((&"other", left)), "{told}: Bert has said nothing");
            anna.send("DELETE", &format!("Consent/{consent}"), &[], &Value::Null).await;
        }
    }
}

/// Shows REQ-CONS-06: an exception of a deny lets see, an exception of that does not; all conditions around count.
#[tokio::test(flavor = "multi_thread")]
async fn exceptions_nest() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let code = |code: &str| json!([{ "coding": [{ "system": "urn:t", "code": code }] }]);
        let who = actor(format!("Practitioner/{}", ward.doctor));
        let others = actor(format!("Patient/{}", ward.anna));
        for (provisions, left) in [
            (
                json!([{ "type": "deny", "provision": [{ "type": "permit", "actor": who }] }]),
                &["sugar", "secret", "panel"][..],
            ),
            (json!([{ "type": "deny", "provision": [{ "type": "permit", "actor": others }] }]), &[]),
            (json!([{ "type": "deny", "provision": [{ "type": "permit", "code": secret() }] }]), &["secret"]),
            (
                json!([{ "type": "deny", "provision": [
                    { "type": "permit", "actor": who, "provision": [{ "type": "deny", "code": secret() }] },
                ] }]),
                &["sugar", "panel"],
            ),
            (
                json!([{ "type": "deny", "provision": [{ "type": "permit", "actor": who, "provision": [
                    { "type": "deny", "class": class("Observation"), "provision": [{ "type": "permit", "code": code("panel") }] },
                ] }] }]),
                &["panel"],
            ),
            // What denies wins over what permits beside it.
            (json!([{ "type": "deny", "code": secret() }, { "type": "permit", "actor": who }]), &["sugar", "panel"]),
            // The exception of one provision excepts nothing of another.
            (
                json!([
                    { "type": "deny", "provision": [{ "type": "permit", "actor": who }] },
                    { "type": "deny", "code": code("panel") },
                ]),
                &["sugar", "secret"],
            ),
        ] {
            let consent = anna.create(&ward.consent(provisions.clone())).await.made();
            let seen = doctor.sees(&ward).await;
            assert_eq!(seen.split_last(), Some((&"other", left)), "{provisions}");
            anna.send("DELETE", &format!("Consent/{consent}"), &[], &Value::Null).await;
        }
        // The root says where all of it holds; with a rule, it permits or denies itself.
        let mut consent = ward.consent(json!([{ "type": "permit", "code": code("panel") }]));
        consent.as_object_mut().expect("an object").remove("policy");
        consent["policyRule"] = json!({ "coding": [coding("v3-ActCode", "OPTOUT")] });
        consent["provision"]["actor"] = who;
        anna.create(&consent).await.made();
        assert_eq!(doctor.sees(&ward).await, ["panel", "other"]);
        assert_eq!(anna.sees(&ward).await, ["sugar", "secret", "panel"], "she is not the one who is named");
    }
}

/// Shows REQ-CONS-07: a provision is in force within its period, by the hub's clock.
#[tokio::test(flavor = "multi_thread")]
async fn a_period_begins_and_ends() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let at = |seconds: i64| {
            let millis = (house.site.clock.now().unix() + seconds) * 1_000;
            medlock_clinical::moment::written(medlock_clinical::kind::Millis(millis))
        };
        let period = json!({ "start": at(60), "end": at(120) });
        anna.create(&ward.consent(json!([{ "type": "deny", "period": period }]))).await.made();
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(doctor.sees(&ward).await.len());
            house.site.clock.advance(50);
        }
        assert_eq!(seen, [4, 4, 1, 4]);
    }
}

/// Shows REQ-CONS-08: what cannot be enforced is not kept; its author is told where it stands and what to do.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_enforced_is_refused() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let anna = anna(&house).await;
    let mut cases: Vec<(&str, Value)> = Vec::new();
    let mut case = |at: &'static str, change: &dyn Fn(&mut Value)| {
        let mut consent = ward.consent(json!([{ "type": "deny" }]));
        change(&mut consent);
        cases.push((at, consent));
    };
    let extension = json!([{ "url": "urn:x", "valueBoolean": true }]);
    case("Consent.modifierExtension", &|consent| consent["modifierExtension"] = extension.clone());
    case("Consent.implicitRules", &|consent| consent["implicitRules"] = json!("urn:rules"));
    case("Consent.scope", &|consent| consent["scope"]["coding"][0]["code"] = json!("research"));
    case("Consent.patient", &|consent| drop(consent.as_object_mut().expect("an object").remove("patient")));
    case("Consent.verification[0]", &|consent| consent["verification"] = json!([{ "verified": false }]));
    case("Consent.policy[0].uri", &|consent| consent["policy"][0]["uri"] = json!("https://elsewhere.example/policy"));
    case("Consent.policy", &|consent| drop(consent.as_object_mut().expect("an object").remove("policy")));
    case("Consent.policyRule", &|consent| consent["policyRule"] = json!({ "text": "as discussed" }));
    case("Consent.provision.dataPeriod", &|consent| consent["provision"]["dataPeriod"] = json!({ "start": "2024" }));
    for (at, name, value) in [
        ("modifierExtension", "modifierExtension", extension.clone()),
        (
            "actor[0].role",
            "actor",
            json!([{ "role": { "text": "x" }, "reference": { "reference": format!("Patient/{}", ward.anna) } }]),
        ),
        ("actor[0].reference", "actor", actor("https://elsewhere.example/Practitioner/1".to_owned())),
        ("actor[0].reference", "actor", actor("Group/1".to_owned())),
        ("action[0]", "action", action("sell")),
        ("action[0]", "action", json!([{ "text": "read" }])),
        ("purpose[0]", "purpose", json!([{ "system": "urn:x", "code": "TREAT" }])),
        ("class[0]", "class", json!([{ "system": "urn:ietf:rfc:3986", "code": "http://example.org/Profile" }])),
        ("class[0]", "class", class("Sugar")),
        ("code[0]", "code", json!([{ "text": "sugar" }])),
        ("securityLabel[0]", "securityLabel", json!([{ "code": "R" }])),
        ("data[0].reference", "data", json!([{ "meaning": "instance", "reference": { "display": "that one" } }])),
        ("provision[0].type", "provision", json!([{ "code": secret() }])),
        ("provision[0].type", "provision", json!([{ "type": "deny", "code": secret() }])),
    ] {
        let at: &'static str = Box::leak(format!("Consent.provision.provision[0].{at}").into_boxed_str());
        case(at, &|consent| consent["provision"]["provision"][0][name] = value.clone());
    }
    for (at, consent) in cases {
        let answer = anna.create(&consent).await;
        assert_eq!(
            (answer.status, answer.code()),
            (StatusCode::UNPROCESSABLE_ENTITY, "fhir-consent"),
            "{at}: {answer:?}"
        );
        assert_eq!(answer.body["issue"][0]["expression"][0], at, "{answer:?}");
    }
    assert_eq!(anna.get("Consent").await.found().len(), 0);
    // What those around it ask counts with each.
    let code = |number: usize| json!({ "coding": [{ "system": "urn:t", "code": number.to_string() }] });
    let exceptions = |most: usize| (0..most).map(|_| json!({ "type": "permit" })).collect::<Vec<_>>();
    for (codes, most, at) in [
        (63, 64, ""),
        (64, 64, "Consent.provision.provision[0].provision[63]"),
        (1, 256, "Consent.provision.provision[0].provision[255]"),
    ] {
        let codes: Vec<Value> = (0..codes).map(code).collect();
        let provision = json!({ "type": "deny", "code": codes, "provision": exceptions(most) });
        let answer = anna.create(&ward.consent(json!([provision]))).await;
        assert_eq!(answer.body["issue"][0]["expression"][0].as_str().unwrap_or_default(), at, "{answer:?}");
    }
    for consent in anna.get("Consent").await.found() {
        anna.send("DELETE", &format!("Consent/{consent}"), &[], &Value::Null).await;
    }
    // A draft is held to the same, and is not in force.
    let mut draft = ward.consent(json!([{ "type": "deny" }]));
    draft["status"] = json!("draft");
    anna.create(&draft).await.made();
    assert_eq!(anna.sees(&ward).await.len(), 3);
}
