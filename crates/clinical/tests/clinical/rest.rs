//! Resources over HTTP.

use crate::backend::Backend;
use crate::fixture::{House, device, glucose, nobody, patient};
use crate::people::Person;
use axum::body::Body;
use http::{Request, StatusCode};
use medlock_trust::Role;
use serde_json::json;

/// Shows REQ-FHIR-02.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_created_is_read_as_it_was_written() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let anna = gateway.create(&patient("Anna")).await.made();
    let body = format!(
        r#"{{"resourceType":"Observation","id":"mine","meta":{{"versionId":"9"}},"status":"final","code":{{"text":"x"}},
            "subject":{{"reference":"Patient/{anna}"}},"valueQuantity":{{"value":1.50}}}}"#
    );
    let headers = [("content-type", "application/fhir+json"), ("prefer", "return=representation")];
    let created = gateway.send("POST", "Observation", &headers, &body).await;
    let id = created.made();
    assert_ne!(id, "mine", "identifiers are ours");
    assert_eq!(created.header("location"), format!("https://hub.example:8443/fhir/Observation/{id}/_history/1"));
    assert_eq!((created.header("etag"), created.body["meta"]["versionId"].as_str()), ("W/\"1\"", Some("1")));
    let read = gateway.get(&format!("Observation/{id}")).await;
    assert_eq!((read.status, &read.body), (StatusCode::OK, &created.body));
    assert_eq!(read.header("cache-control"), "no-store");
    assert_eq!(read.body["valueQuantity"]["value"].to_string(), "1.50".parse::<f64>().expect("a number").to_string());
    let known = gateway.get_with(&format!("Observation/{id}"), ("if-none-match", "W/\"0\", W/\"1\"")).await;
    assert_eq!(known.status, StatusCode::NOT_MODIFIED);
}

/// Shows REQ-FHIR-03, REQ-FHIR-89: each wrong request is answered with an outcome that has a code, and a place where there is one.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_are_told_what_is_wrong() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/Observation.crs system/Patient.c").await;
    let json = ("content-type", "application/fhir+json");
    let good = json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" } }).to_string();
    for (method, path, header, body, status, code) in [
        ("POST", "Observation", json, "{", 400, "fhir-json"),
        ("POST", "Observation", json, "[]", 400, "fhir-json"),
        ("POST", "Observation", json, r#"{"resourceType":"Patient"}"#, 400, "fhir-other-kind"),
        ("POST", "Observation", json, r#"{"resourceType":"Observation"}"#, 422, "fhir-cardinality"),
        ("POST", "Observation", ("content-type", "application/fhir+xml"), &good, 415, "fhir-media-type"),
        ("POST", "Observation", ("content-type", "application/json; charset=latin1"), &good, 415, "fhir-media-type"),
        (
            "POST",
            "Observation",
            ("content-type", "application/fhir+json; fhirVersion=5.0"),
            &good,
            415,
            "fhir-media-type",
        ),
        ("GET", "Observation", ("accept", "application/fhir+xml"), "", 406, "fhir-media-type"),
        ("GET", "Encounter", json, "", 404, "fhir-unknown-kind"),
        ("GET", "Observation/x", json, "", 404, "fhir-not-found"),
        ("GET", "Observation/00000000000000000000000000", json, "", 404, "fhir-not-found"),
        ("GET", "Patient", json, "", 403, "fhir-forbidden"),
        ("POST", "Device", json, &good, 403, "fhir-forbidden"),
        ("PUT", "Observation/x", json, &good, 403, "fhir-forbidden"),
        ("DELETE", "Observation/x", json, "", 403, "fhir-forbidden"),
        ("PATCH", "Observation/x", json, "", 405, "fhir-not-supported"),
        ("GET", "Observation/", json, "", 404, "fhir-not-supported"),
        ("GET", "Observation/a/b/c", json, "", 404, "fhir-not-supported"),
        ("GET", "Group/1/$export", json, "", 404, "fhir-not-supported"),
        ("GET", "/Patient/x", json, "", 404, "fhir-not-supported"),
        ("GET", "Observation/x/_history", json, "", 404, "fhir-not-found"),
        ("GET", "Observation/x/_history/1", json, "", 404, "fhir-not-found"),
        ("GET", "Observation/_history?_at=2024", json, "", 400, "fhir-unknown-parameter"),
        ("GET", "Observation/_history?_count=x", json, "", 400, "fhir-parameter-value"),
        ("GET", "Patient/_history", json, "", 403, "fhir-forbidden"),
        ("POST", "Observation/_search", json, "code=x", 415, "fhir-media-type"),
    ] {
        let answer = gateway.send(method, path, &[header], body).await;
        assert_eq!((answer.status.as_u16(), answer.code()), (status, code), "{method} {path} {body}: {answer:?}");
        assert!(answer.body["issue"][0]["diagnostics"].as_str().is_some_and(|remedy| !remedy.is_empty()));
    }
    // RFC 9110 section 15.5.6: what is served there is said.
    for (method, path, allowed) in [
        ("PATCH", "Observation/x", "GET,HEAD,PUT,DELETE"),
        ("GET", "", "POST"),
        ("DELETE", "Observation/_history", "GET,HEAD"),
        ("POST", "Provenance", "GET, HEAD"),
    ] {
        let answer = gateway.send(method, path, &[json], "").await;
        assert_eq!((answer.status.as_u16(), answer.header("allow")), (405, allowed), "{method} {path}: {answer:?}");
    }
    let packed = gateway.send("POST", "Observation", &[json, ("content-encoding", "gzip")], &good).await;
    assert_eq!((packed.status.as_u16(), packed.code()), (415, "fhir-media-type"), "{packed:?}");
    let missing =
        gateway.send("POST", "Observation", &[json], r#"{"resourceType":"Observation","status":"final"}"#).await;
    assert_eq!(missing.body["issue"][0]["expression"], json!(["Observation.code"]));
    let form = ("content-type", "application/x-www-form-urlencoded");
    assert_eq!(gateway.send("POST", "Observation/_search", &[form], "code=x").await.status, StatusCode::OK);
}

/// Shows REQ-FHIR-04: nothing but discovery is open.
#[tokio::test(flavor = "multi_thread")]
async fn only_discovery_is_open() {
    let house = House::new();
    let get = async |path: &str| house.ask(nobody(), Request::get(path), Body::empty()).await;
    let metadata = get("/fhir/metadata").await;
    assert_eq!((metadata.status, metadata.body["fhirVersion"].as_str()), (StatusCode::OK, Some("4.0.1")));
    let smart = get("/fhir/.well-known/smart-configuration").await;
    assert_eq!(smart.body["token_endpoint"], "https://hub.example:8443/auth/token");
    for path in [
        "/fhir/Patient",
        "/fhir/Patient/x",
        "/fhir/Nothing",
        "/fhir/a/b/c",
        "/fhir/Patient?name=x",
        "/fhir/$export",
        "/fhir/Patient/$export",
        "/fhir/Observation/$export",
        "/fhir/$export-status/x",
        "/fhir/$export-file/x/0",
        "/fhir/Subscription/x/$get-ws-binding-token",
    ] {
        let answer = get(path).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, "smart-no-token"), "{path}");
        assert!(answer.header("www-authenticate").starts_with("Bearer"), "{path}");
    }
}

/// Shows REQ-FHIR-07: what the CapabilityStatement names is served, and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn the_capability_statement_says_what_is_there() {
    let house = House::new();
    let software = Backend::new(&house, "system/*.rs").await.token("system/*.rs").await;
    let statement = house.read("", "metadata").await.body;
    for resource in statement["rest"][0]["resource"].as_array().expect("resources") {
        let kind = resource["type"].as_str().expect("a kind");
        for parameter in resource["searchParam"].as_array().expect("parameters") {
            let (name, of) = (parameter["name"].as_str().expect("a name"), parameter["type"].as_str().expect("a type"));
            let value = match of {
                "date" => "2024",
                "reference" => "Patient/x",
                "quantity" => "5",
                "composite" if name.ends_with("-date") => "x$2024",
                "composite" if name.ends_with("-quantity") => "x$5",
                "composite" => "x$x",
                _ => "x",
            };
            let answer = house.read(&software, &format!("{kind}?{name}={value}")).await;
            assert_eq!(answer.status, StatusCode::OK, "{kind} {name}: {answer:?}");
        }
        for (control, list) in [("_include", "searchInclude"), ("_revinclude", "searchRevInclude")] {
            for value in resource[list].as_array().expect("references") {
                let value = value.as_str().expect("a reference");
                let answer = house.read(&software, &format!("{kind}?_id=x&{control}={value}")).await;
                assert_eq!(answer.status, StatusCode::OK, "{kind} {control} {value}: {answer:?}");
            }
        }
    }
    assert_eq!(house.read(&software, "Observation?colour=red").await.code(), "fhir-unknown-parameter");
}

/// Shows REQ-FHIR-08: a reference to what is not there and to what may not be read are told the same; a gateway tells whose a reading is.
#[tokio::test(flavor = "multi_thread")]
async fn a_reference_to_what_may_not_be_read_is_as_one_to_nothing() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let anna = gateway.create(&patient("Anna")).await.made();
    let sensor = gateway.create(&device("cgm", &anna)).await.made();
    let blind = Backend::new(&house, "system/Observation.c").await.token("system/Observation.c").await;
    let blind = Person { house: &house, token: blind };
    let there = blind.create(&glucose(&anna, &sensor, "2024-01-01")).await;
    let nowhere = blind.create(&glucose("00000000000000000000000000", &sensor, "2024-01-01")).await;
    assert_eq!((there.status, there.code()), (StatusCode::UNPROCESSABLE_ENTITY, "fhir-reference"));
    assert_eq!(there.body, nowhere.body);
    assert_eq!(gateway.get("Observation").await.found(), Vec::<String>::new(), "nothing is left of what was refused");
    let writes_only = house.device("gw", Role::Gateway).with("system/Observation.c").await;
    writes_only.create(&glucose(&anna, &sensor, "2024-01-01")).await.made();
    assert_eq!(writes_only.get(&format!("Patient/{anna}")).await.status, StatusCode::FORBIDDEN);
    let mut result = glucose(&anna, &sensor, "2024-01-01");
    result["performer"] = json!([{ "reference": "Practitioner/00000000000000000000000000" }]);
    assert_eq!(writes_only.create(&result).await.code(), "fhir-reference");
}
