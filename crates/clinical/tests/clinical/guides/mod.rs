//! Resources of the shapes that three guides describe: continuous glucose monitoring (HL7 CGM), personal health devices (PHD) and
//! point-of-care devices (PoCD). The resources are ours; their profiles are named in `meta`.

use crate::fixture::{Answer, Device, House};
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The resources of a guide, each behind those it refers to.
struct Guide {
    name: &'static str,
    resources: Vec<Value>,
}

fn guides() -> [Guide; 3] {
    let files =
        [("cgm", include_str!("cgm.json")), ("phd", include_str!("phd.json")), ("pocd", include_str!("pocd.json"))];
    files.map(|(name, text)| Guide { name, resources: serde_json::from_str(text).expect("a list of resources") })
}

/// What a resource is called where it stands.
fn name_of(resource: &Value) -> String {
    format!("{}/{}", resource["resourceType"].as_str().expect("a kind"), resource["id"].as_str().expect("a name"))
}

/// The same, as it is sent: what it refers to is called as the server calls it.
fn sent(resource: &Value, known: &BTreeMap<String, String>) -> Value {
    let mut text = resource.to_string();
    for (name, real) in known {
        text = text.replace(&format!("\"reference\":\"{name}\""), &format!("\"reference\":\"{real}\""));
    }
    let mut resource: Value = serde_json::from_str(&text).expect("JSON");
    resource.as_object_mut().expect("a resource").remove("id");
    resource
}

/// What `$validate` says of it.
async fn validated(gateway: &Device<'_>, resource: &Value) -> Answer {
    let path = format!("{}/$validate", resource["resourceType"].as_str().expect("a kind"));
    let headers = [("content-type", "application/fhir+json")];
    gateway.send("POST", &path, &headers, &resource.to_string()).await
}

/// Creates all of a guide; what each is called by the server.
async fn created(gateway: &Device<'_>, guide: &Guide) -> BTreeMap<String, String> {
    let mut known = BTreeMap::new();
    for resource in &guide.resources {
        let (name, resource) = (name_of(resource), sent(resource, &known));
        let told = validated(gateway, &resource).await;
        assert_eq!(told.body["issue"][0]["severity"], "information", "{} {name}: {told:?}", guide.name);
        let made = gateway.create(&resource).await;
        assert_eq!(made.status, StatusCode::CREATED, "{} {name}: {made:?}", guide.name);
        let real = format!("{}/{}", resource["resourceType"].as_str().expect("a kind"), made.made());
        // What comes back is what was sent, and what the server says of it.
        let mut read = gateway.get(&real).await.body;
        let meta = read["meta"].take();
        assert_eq!(meta["profile"], resource["meta"]["profile"], "{name}");
        let mut wanted = resource.clone();
        wanted["meta"] = Value::Null;
        wanted["id"] = read["id"].clone();
        assert_eq!(read, wanted, "{} {name}", guide.name);
        known.insert(name, real);
    }
    known
}

/// Shows REQ-FHIR-26: resources of the shapes that the guides describe are valid, kept, and given as they were sent.
#[tokio::test(flavor = "multi_thread")]
async fn resources_of_the_guides_are_taken() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        for guide in guides() {
            let known = created(&gateway, &guide).await;
            assert!(known.len() > 10, "{}: {}", guide.name, known.len());
        }
        let found = gateway.get("Observation?component-code=urn:iso:std:iso:11073:10101|150021").await.found();
        assert_eq!(found.len(), 2, "blood pressures of both guides");
    }
}

/// Shows REQ-FHIR-27: each of them with one thing wrong is refused, with its place.
#[tokio::test(flavor = "multi_thread")]
async fn slight_breakages_of_them_are_refused_with_their_place() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let known: BTreeMap<_, _> = {
        let mut all = BTreeMap::new();
        for guide in guides() {
            all.insert(guide.name, created(&gateway, &guide).await);
        }
        all
    };
    let none = Value::Null;
    for (guide, name, place, value, code, told) in [
        ("cgm", "mass", "/valueQuantity/value", json!("97"), "fhir-value", "Observation.valueQuantity.value"),
        ("cgm", "mass", "/valueQuantity/system", none.clone(), "fhir-invariant", "Observation.valueQuantity"),
        ("cgm", "mass", "/status", none.clone(), "fhir-cardinality", "Observation.status"),
        ("cgm", "mass", "/status", json!("measured"), "fhir-binding", "Observation.status"),
        ("cgm", "mass", "/subject/reference", json!("Encounter/1"), "fhir-reference-target", "Observation.subject"),
        ("cgm", "mass", "/effectiveDateTime", json!("2026-03-02 06:05"), "fhir-value", "Observation.effectiveDateTime"),
        ("cgm", "absent", "/valueString", json!("none"), "fhir-invariant", "Observation"),
        ("cgm", "ranges", "/component/2/code", none.clone(), "fhir-cardinality", "Observation.component[2].code"),
        ("cgm", "gmi", "/effectivePeriod/end", json!("2026-03-01"), "fhir-invariant", "Observation.effectivePeriod"),
        (
            "cgm",
            "all",
            "/hasMember/3/reference",
            json!("Device/1"),
            "fhir-reference-target",
            "Observation.hasMember[3]",
        ),
        (
            "cgm",
            "report",
            "/presentedForm/0/data",
            json!("%PDF"),
            "fhir-value",
            "DiagnosticReport.presentedForm[0].data",
        ),
        ("cgm", "sensor", "/deviceName/0/type", json!("nickname"), "fhir-binding", "Device.deviceName[0].type"),
        ("cgm", "order", "/intent", none.clone(), "fhir-cardinality", "ServiceRequest.intent"),
        ("cgm", "order", "/extension/0/valueString", json!("x"), "fhir-invariant", "ServiceRequest.extension[0]"),
        ("phd", "hub", "/version/0/value", none.clone(), "fhir-cardinality", "Device.version[0].value"),
        (
            "phd",
            "cuff",
            "/specialization/0/systemType",
            json!("BP"),
            "fhir-type",
            "Device.specialization[0].systemType",
        ),
        ("phd", "clock", "/valueDateTime", json!("2026-02-11T07:01"), "fhir-value", "Observation.valueDateTime"),
        (
            "phd",
            "pressure",
            "/component/0/valueQuantity/unit",
            json!(1),
            "fhir-value",
            "Observation.component[0].valueQuantity.unit",
        ),
        (
            "phd",
            "bits",
            "/component/0/valueBoolean",
            json!("false"),
            "fhir-value",
            "Observation.component[0].valueBoolean",
        ),
        ("phd", "words", "/valueInteger", json!(2), "fhir-cardinality", "Observation"),
        (
            "phd",
            "wave",
            "/valueSampledData/dimensions",
            json!(0),
            "fhir-value",
            "Observation.valueSampledData.dimensions",
        ),
        (
            "phd",
            "wave",
            "/valueSampledData/period",
            none.clone(),
            "fhir-cardinality",
            "Observation.valueSampledData.period",
        ),
        ("phd", "metric", "/category", json!("measured"), "fhir-binding", "DeviceMetric.category"),
        (
            "phd",
            "metric",
            "/measurementPeriod/repeat/periodUnit",
            json!("days"),
            "fhir-binding",
            "DeviceMetric.measurementPeriod.repeat.periodUnit",
        ),
        ("pocd", "monitor", "/patient/reference", json!("Device/1"), "fhir-reference-target", "Device.patient"),
        ("pocd", "heart", "/parent/reference", json!("DeviceMetric/1"), "fhir-reference-target", "Device.parent"),
        ("pocd", "rate", "/calibration/0/state", json!("fine"), "fhir-binding", "DeviceMetric.calibration[0].state"),
        ("pocd", "rate", "/color", json!("pink"), "fhir-binding", "DeviceMetric.color"),
        ("pocd", "trace", "/type", none.clone(), "fhir-cardinality", "DeviceMetric.type"),
        (
            "pocd",
            "curve",
            "/valueSampledData/origin",
            none.clone(),
            "fhir-cardinality",
            "Observation.valueSampledData.origin",
        ),
        (
            "pocd",
            "beats",
            "/referenceRange/0/low/value",
            json!(true),
            "fhir-value",
            "Observation.referenceRange[0].low.value",
        ),
        ("pocd", "sinus", "/code", json!([]), "fhir-cardinality", "Observation.code"),
        ("pocd", "both", "/unknown", json!(1), "fhir-unknown-element", "Observation.unknown"),
    ] {
        let of = guides().into_iter().find(|one| one.name == guide).expect("a guide");
        let resource = of.resources.iter().find(|one| one["id"] == name).expect("a resource");
        let mut resource = sent(resource, &known[guide]);
        let (parent, member) = place.rsplit_once('/').expect("a place");
        let parent = resource.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        match value {
            Value::Null => assert!(parent.remove(member).is_some(), "{guide} {name} {place}"),
            value => _ = parent.insert(member.to_owned(), value),
        }
        let refused = gateway.create(&resource).await;
        assert_eq!(refused.status, StatusCode::UNPROCESSABLE_ENTITY, "{guide} {name} {place}: {refused:?}");
        let validated = validated(&gateway, &resource).await;
        for answer in [refused, validated] {
            let issues = answer.body["issue"].as_array().cloned().unwrap_or_default();
            let found = issues
                .iter()
                .any(|issue| issue["expression"][0] == told && issue["details"]["coding"][0]["code"] == code);
            assert!(found, "{guide} {name} {place}: {code} {told}: {issues:#?}");
        }
    }
}

/// Shows REQ-FHIR-28: a CGM data submission is a transaction that creates all of it, or nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_cgm_submission_is_taken_as_a_whole() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let [cgm, ..] = guides();
    let (own, rest): (Vec<_>, Vec<_>) = cgm
        .resources
        .into_iter()
        .partition(|one| ["Patient", "Device"].contains(&one["resourceType"].as_str().unwrap_or_default()));
    let known = created(&gateway, &Guide { name: "cgm", resources: own }).await;
    let rest: Vec<Value> = rest.into_iter().filter(|one| one["resourceType"] != "ServiceRequest").collect();
    let bundle = |rest: &[Value]| {
        let entries = rest.iter().map(|one| {
            let name = name_of(one);
            let kind = &one["resourceType"];
            let full = format!("https://sender.example/{name}");
            json!({ "fullUrl": full, "resource": sent(one, &known), "request": { "method": "POST", "url": kind } })
        });
        let meta = json!({ "profile": ["http://hl7.org/fhir/uv/cgm/StructureDefinition/cgm-data-submission-bundle"] });
        json!({ "resourceType": "Bundle", "meta": meta, "type": "transaction", "timestamp": "2026-03-16T07:31:00Z", "entry": entries.collect::<Vec<_>>() })
    };
    let headers = [("content-type", "application/fhir+json")];
    let mut torn = rest.clone();
    torn[3]["status"] = json!("measured");
    let refused = gateway.send("POST", "$submit-cgm-bundle", &headers, &bundle(&torn).to_string()).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-binding"), "{refused:?}");
    assert_eq!(gateway.get("Observation").await.found().len(), 0);
    let taken = gateway.send("POST", "$submit-cgm-bundle", &headers, &bundle(&rest).to_string()).await;
    assert_eq!(taken.status, StatusCode::OK, "{taken:?}");
    assert_eq!(gateway.get("Observation?_count=50").await.found().len(), rest.len() - 1);
    let report = gateway.get("DiagnosticReport?_include=DiagnosticReport:result").await;
    assert_eq!(report.body["entry"].as_array().map(Vec::len), Some(2), "{report:?}");
}
