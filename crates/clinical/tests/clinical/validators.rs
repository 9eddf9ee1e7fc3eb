//! What is answered, as validators see it that others wrote.

use crate::fixture::{Answer, House, device, glucose, nobody, patient};
use axum::body::Body;
use http::{Request, StatusCode};
use medlock_testkit::peers;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::io::Write as _;
use std::process::{Command, Stdio};

fn coded(system: &str, code: &str) -> Value {
    json!({ "coding": [{ "system": system, "code": code }] })
}

/// One of each kind that software writes, about this patient.
fn written(patient: &str, device: &str) -> Vec<Value> {
    let (about, by) = (format!("Patient/{patient}"), format!("Device/{device}"));
    let kind = |name: &str, mut more: Value| {
        more["resourceType"] = name.into();
        more
    };
    vec![
        glucose(patient, device, "2024-01-01T12:00:00+01:00"),
        kind("Practitioner", json!({ "name": [{ "family": "Curie", "given": ["Marie"] }], "active": true })),
        kind("PractitionerRole", json!({ "code": [coded("http://snomed.info/sct", "158965000")] })),
        kind("Organization", json!({ "name": "Sankt Anna", "telecom": [{ "system": "phone", "value": "+49 1" }] })),
        kind(
            "Consent",
            json!({
                "status": "active", "patient": { "reference": about },
                "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
                "category": [coded("http://loinc.org", "59284-0")],
                "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
                "provision": { "provision": [{ "type": "permit", "period": { "start": "2024-01-01" } }] },
            }),
        ),
        kind(
            "MedicationAdministration",
            json!({
                "status": "completed", "subject": { "reference": about }, "device": [{ "reference": by }],
                "medicationCodeableConcept": coded("http://snomed.info/sct", "67866001"),
                "effectivePeriod": { "start": "2024-01-01T12:00:00Z", "end": "2024-01-01T13:00:00Z" },
                "dosage": { "dose": { "value": 1.5, "system": "http://unitsofmeasure.org", "code": "[iU]" } },
            }),
        ),
        kind(
            "ServiceRequest",
            json!({ "status": "active", "intent": "order", "subject": { "reference": about }, "code": { "text": "CT" } }),
        ),
        kind(
            "DiagnosticReport",
            json!({ "status": "final", "subject": { "reference": about }, "code": { "text": "report" } }),
        ),
        kind(
            "ImagingStudy",
            json!({
                "status": "available", "subject": { "reference": about }, "started": "2024-01-01",
                "identifier": [{ "system": "urn:dicom:uid", "value": "urn:oid:1.2.3" }],
                "series": [{ "uid": "1.2.3.4", "modality": { "system": "http://dicom.nema.org/resources/ontology/DCM", "code": "CT" } }],
            }),
        ),
        kind(
            "DeviceMetric",
            json!({ "type": coded("urn:iso:std:iso:11073:10101", "160212"), "category": "measurement", "source": { "reference": by } }),
        ),
    ]
}

/// What both say is wrong with these, and with what is in them where they are pages.
pub(crate) fn found_wrong(answered: &[Value]) -> Vec<String> {
    let within = |one: &Value| one["entry"].as_array().cloned().unwrap_or_default();
    let resources: Vec<Value> = answered
        .iter()
        .flat_map(|one| within(one).into_iter().map(|entry| entry["resource"].clone()).chain([one.clone()]))
        .collect();
    let here = |file: &str| format!("{}/tests/clinical/validators/{file}", env!("CARGO_MANIFEST_DIR"));
    let mut node = Command::new("node");
    node.arg(here("fhir.js")).env("NODE_PATH", peers::npm().join("node_modules"));
    let mut python = Command::new(peers::venv().join("bin/python3"));
    python.arg(here("fhir_resources.py"));
    let lines: String = resources.iter().map(|resource| format!("{resource}\n")).collect();
    let mut wrong = Vec::new();
    for (name, mut validator) in [("fhir", node), ("fhir.resources", python)] {
        let mut running = validator.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut input = running.stdin.take().expect("its input");
        let said = std::thread::scope(|scope| {
            scope.spawn(|| {
                input.write_all(lines.as_bytes()).expect("it reads");
                drop(input);
            });
            running.wait_with_output().expect("it ends")
        });
        assert!(said.status.success(), "{name}: {said:?}");
        for line in String::from_utf8(said.stdout).expect("UTF-8").lines() {
            let of = line.split(' ').next().and_then(|number| number.parse::<usize>().ok()).expect("a number");
            wrong.push(format!("{name}: {line} in {}", resources[of]));
        }
    }
    wrong
}

/// Asks with a token of software.
async fn ask(house: &House, token: &str, method: &str, path: &str, body: String) -> Answer {
    let request = Request::builder().method(method).uri(format!("/fhir/{path}"));
    let request = request.header("authorization", format!("Bearer {token}"));
    house.people_json(request.header("content-type", "application/fhir+json"), body).await
}

/// Shows REQ-FHIR-22: what is written, what we make of it ourselves, pages, outcomes and the CapabilityStatement are taken by
/// validators that others wrote; and what is wrong is not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_answered_is_taken_by_other_validators() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.cruds").await;
    let software = house.registry().await;
    let anna = gateway.create(&patient("Anna")).await.made();
    let cgm = gateway.create(&device("cgm", &anna)).await.made();
    gateway.create(&glucose(&anna, &cgm, "2024-01-01T11:00:00Z")).await.made();
    let mut paths = Vec::new();
    for resource in written(&anna, &cgm) {
        let kind = resource["resourceType"].as_str().expect("a kind").to_owned();
        let id = ask(&house, &software, "POST", &kind, resource.to_string()).await.made();
        paths.extend([format!("{kind}/{id}"), format!("{kind}?_id={id}"), format!("{kind}/{id}/_history")]);
    }
    let pages =
        ["Observation?_include=Observation:patient&_total=accurate", "AuditEvent?_count=50", "Provenance", "Device"];
    paths.extend(pages.map(str::to_owned));
    paths.push(format!("Patient/{anna}/$everything"));
    let mut answered = Vec::new();
    for path in paths {
        let answer = ask(&house, &software, "GET", &path, String::new()).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
        assert!(answer.body["resourceType"] != "Bundle" || answer.body["entry"][0].is_object(), "{path}");
        answered.push(answer.body);
    }
    for (path, status) in [("Observation/none", 404), ("Observation?nothing=1", 400), ("Encounter", 404)] {
        let outcome = ask(&house, &software, "GET", path, String::new()).await;
        assert_eq!((outcome.status.as_u16(), &outcome.body["resourceType"]), (status, &json!("OperationOutcome")));
        answered.push(outcome.body);
    }
    answered.push(house.ask(nobody(), Request::get("/fhir/metadata"), Body::empty()).await.body);
    assert_eq!(found_wrong(&answered), Vec::<String>::new());
    let wrong = [json!({ "resourceType": "Observation", "status": "wrong", "unknown": 1 })];
    let said = found_wrong(&wrong).join("\n");
    assert!(said.contains("fhir: ") && said.contains("fhir.resources: "), "{said}");
}
