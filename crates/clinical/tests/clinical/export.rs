//! Exports, as software sees them that fetches much at once (HL7 FHIR Bulk Data Access 2.0.0).

use crate::backend::Backend;
use crate::fixture::{Answer, Device, House, device, glucose, nobody, on_server, patient, transaction};
use crate::people::token;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use medlock_clinical::store::Place;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};
use tower::ServiceExt as _;

const SCOPES: &str = "system/Patient.rs system/Device.rs system/Observation.rs system/Organization.rs system/Provenance.rs system/Consent.cruds system/AuditEvent.rs";

/// A house, a gateway that writes, and software that exports.
pub(crate) struct Ward<'h> {
    house: &'h House,
    gateway: Device<'h>,
    backend: Option<Backend<'h>>,
    token: String,
    /// Anna and Bert, each with a sensor.
    patients: [(String, String); 2],
}

/// A file, or that it was not given.
pub(crate) struct Fetched {
    status: StatusCode,
    headers: HeaderMap,
    /// What its lines are; `None`: it was broken off.
    pub(crate) lines: Option<Vec<Value>>,
}

impl<'h> Ward<'h> {
    pub(crate) async fn new(house: &'h House) -> Self {
        let backend = Backend::new(house, SCOPES).await;
        let token = backend.token(SCOPES).await;
        Self { backend: Some(backend), token, ..Self::writing(house).await }
    }

    /// Without software.
    pub(crate) async fn writing(house: &'h House) -> Self {
        let gateway = house.device("gw", Role::Gateway).with("system/*.cruds").await;
        let mut patients = Vec::new();
        for name in ["Anna", "Bert"] {
            let of = gateway.create(&patient(name)).await.made();
            let own = gateway.create(&device(name, &of)).await.made();
            patients.push((of, own));
        }
        Self { house, gateway, backend: None, token: String::new(), patients: patients.try_into().expect("two") }
    }

    fn backend(&self) -> &Backend<'h> {
        self.backend.as_ref().expect("software")
    }

    pub(crate) async fn reading(&self, of: usize, minute: u32) -> String {
        let (patient, device) = &self.patients[of];
        self.gateway.create(&glucose(patient, device, &format!("2024-01-01T08:{minute:02}:00Z"))).await.made()
    }

    async fn deny(&self, of: usize) {
        let coded = |system: &str, code: &str| json!({ "coding": [{ "system": system, "code": code }] });
        let consent = json!({
            "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{}", self.patients[of].0) },
            "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
            "category": [coded("http://loinc.org", "59284-0")],
            "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
            "provision": { "provision": [{ "type": "deny" }] },
        });
        let request = Request::post("/fhir/Consent").header("content-type", "application/fhir+json");
        let request = request.header("authorization", format!("Bearer {}", self.token));
        self.house.people_json(request, consent.to_string()).await.made();
    }

    async fn kick_off(&self, path: &str) -> Answer {
        kick_off(self.house, &self.token, path).await
    }

    /// The address of the status of an export.
    async fn begun(&self, path: &str) -> String {
        begun(&self.kick_off(path).await)
    }

    /// The manifest of an export.
    async fn manifest(&self, status: &str) -> Value {
        manifest(self.house, &self.token, status).await
    }

    /// What there is of each kind in an export.
    async fn exported(&self, path: &str) -> BTreeSet<String> {
        let manifest = self.manifest(&self.begun(path).await).await;
        let mut found = BTreeSet::new();
        for file in manifest["output"].as_array().expect("files") {
            for line in fetch(self.house, &self.token, &path_of(&file["url"])).await.lines.expect("a whole file") {
                assert_eq!(line["resourceType"], file["type"]);
                let name =
                    format!("{}/{}", file["type"].as_str().expect("a kind"), line["id"].as_str().expect("an id"));
                assert!(found.insert(name), "twice: {line}");
            }
        }
        found
    }
}

pub(crate) fn path_of(url: &Value) -> String {
    let (_, path) = url.as_str().expect("an address").split_once("/fhir/").expect("ours");
    path.to_owned()
}

pub(crate) async fn kick_off(house: &House, token: &str, path: &str) -> Answer {
    let request = Request::get(format!("/fhir/{path}")).header("prefer", "respond-async");
    let request = request.header("accept", "application/fhir+json");
    house.people_json(request.header("authorization", format!("Bearer {token}")), String::new()).await
}

pub(crate) fn begun(answer: &Answer) -> String {
    assert_eq!(answer.status, StatusCode::ACCEPTED, "{answer:?}");
    path_of(&answer.header("content-location").into())
}

pub(crate) async fn manifest(house: &House, token: &str, status: &str) -> Value {
    let began = Instant::now();
    loop {
        let answer = house.read(token, status).await;
        if answer.status == StatusCode::OK {
            assert_eq!(answer.header("content-type"), "application/json");
            assert!(!answer.header("expires").is_empty());
            return answer.body;
        }
        assert_eq!((answer.status, answer.header("retry-after")), (StatusCode::ACCEPTED, "1"), "{answer:?}");
        assert!(answer.header("x-progress").contains("files so far"));
        assert!(began.elapsed() < Duration::from_secs(60), "it is never divided");
    }
}

pub(crate) async fn fetch(house: &House, token: &str, path: &str) -> Fetched {
    let request = Request::get(format!("/fhir/{path}")).header("accept", "application/fhir+ndjson");
    let mut request =
        request.header("authorization", format!("Bearer {token}")).body(Body::empty()).expect("a request");
    request.extensions_mut().insert(nobody());
    let (head, body) = house.people.clone().oneshot(request).await.expect("an answer").into_parts();
    let body = body.collect().await.ok().map(|body| body.to_bytes());
    let lines = body.map(|body| {
        let text = std::str::from_utf8(&body).expect("UTF-8").to_owned();
        assert!(text.is_empty() || text.ends_with('\n') || head.status != StatusCode::OK);
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
    });
    Fetched { status: head.status, headers: head.headers, lines }
}

/// Shows REQ-EXPORT-01, REQ-EXPORT-02: the whole system, all patients, some kinds, what some searches find, what has changed since, and
/// what was deleted: each once, and what is in it is what the search shows, on both databases.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_has_what_was_asked_each_once() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let organization =
            ward.gateway.create(&json!({ "resourceType": "Organization", "name": "St. Anna" })).await.made();
        let mut readings = Vec::new();
        for minute in 0..5 {
            readings.push(ward.reading(usize::from(minute > 2), minute).await);
        }
        let named = |kind: &str, ids: &[&String]| ids.iter().map(|id| format!("{kind}/{id}")).collect::<BTreeSet<_>>();
        let [(anna, first), (bert, second)] = &ward.patients;
        let all: Vec<&String> = readings.iter().collect();
        let observations = named("Observation", &all);

        let whole = ward.exported("$export").await;
        let of = |kind: &str, from: &BTreeSet<String>| {
            from.iter().filter(|name| name.starts_with(&format!("{kind}/"))).cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!(of("Patient", &whole), named("Patient", &[anna, bert]));
        assert_eq!(of("Device", &whole), named("Device", &[first, second]));
        assert_eq!(of("Organization", &whole), named("Organization", &[&organization]));
        assert_eq!(of("Observation", &whole), observations);
        assert!(!of("Provenance", &whole).is_empty(), "{whole:?}");
        let of_patients = ward.exported("Patient/$export").await;
        assert_eq!(of_patients, &whole - &named("Organization", &[&organization]), "but for what is no patient's");

        assert_eq!(ward.exported("$export?_type=Observation&_outputFormat=ndjson").await, observations);
        let two = format!("Observation?patient={bert},Observation?date=2024-01-01T08:01:00Z");
        let asked = form_urlencoded::Serializer::new(String::new()).append_pair("_typeFilter", &two).finish();
        let found = ward.exported(&format!("$export?_type=Observation,Patient&{asked}")).await;
        let expected = [&readings[1], &readings[3], &readings[4]];
        assert_eq!(found, &named("Observation", &expected) | &named("Patient", &[anna, bert]));

        // What comes while it is divided and fetched is of the next one; what is changed is in it once, as it is now.
        house.site.clock.advance(120);
        let status = ward.begun("$export?_type=Observation").await;
        let manifest = ward.manifest(&status).await;
        let since = manifest["transactionTime"].as_str().expect("an instant").to_owned();
        assert_eq!(since, house.site.clock.now().to_string().replace('Z', ".000Z"));
        assert_eq!(manifest["request"], format!("{}/fhir/$export?_type=Observation", crate::fixture::PUBLIC));
        assert_eq!((&manifest["requiresAccessToken"], &manifest["error"]), (&json!(true), &json!([])));
        let later = ward.reading(0, 30).await;
        let mut changed = ward.gateway.get(&format!("Observation/{}", readings[0])).await.body;
        changed["status"] = "amended".into();
        let (path, headers) = (format!("Observation/{}", readings[0]), [("content-type", "application/fhir+json")]);
        let amend = async || {
            let sent = ward.gateway.send("PUT", &path, &headers, &changed.to_string()).await;
            assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
        };
        amend().await;
        let file = fetch(&house, &ward.token, &path_of(&manifest["output"][0]["url"])).await;
        assert_eq!(file.headers["content-type"], "application/fhir+ndjson");
        let lines = file.lines.expect("whole");
        let ids: BTreeSet<_> =
            lines.iter().map(|line| format!("Observation/{}", line["id"].as_str().expect("an id"))).collect();
        assert_eq!((lines.len(), &ids), (5, &observations), "each once");
        assert_eq!(lines[0]["status"], "amended", "as it is now, at its place");

        // Since then: what is new, what was changed, and what was deleted.
        for _ in 0..2 {
            // Changed again, and told once.
            amend().await;
        }
        let gone = ward.backend_deletes(&readings[4]).await;
        let since = form_urlencoded::Serializer::new(String::new()).append_pair("_since", &since).finish();
        let path = format!("$export?_type=Observation&{since}");
        assert_eq!(ward.exported(&path).await, named("Observation", &[&readings[0], &later]));
        let now = named("Observation", &[&readings[0], &readings[1], &readings[2], &readings[3], &later]);
        assert_eq!(ward.exported("$export?_type=Observation").await, now, "each once, however often it changed");
        let manifest = ward.manifest(&ward.begun(&path).await).await;
        assert_eq!(manifest["deleted"].as_array().map(Vec::len), Some(1), "{manifest}");
        let deleted = fetch(&house, &ward.token, &path_of(&manifest["deleted"][0]["url"])).await.lines.expect("whole");
        assert_eq!(deleted[0]["entry"], json!([{ "request": { "method": "DELETE", "url": gone } }]));
        assert_eq!((&deleted[0]["type"], &manifest["deleted"][0]["type"]), (&json!("transaction"), &json!("Bundle")));
    }
}

/// Shows REQ-EXPORT-16: with what has changed comes the Provenance that is said of it, also where that was kept before; what is said of
/// nothing new does not.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_of_what_has_changed_comes_with_it() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let first = ward.reading(0, 1).await;
        house.site.clock.advance(60);
        let manifest = ward.manifest(&ward.begun("$export").await).await;
        let since = manifest["transactionTime"].as_str().expect("an instant").to_owned();
        let since = form_urlencoded::Serializer::new(String::new()).append_pair("_since", &since).finish();
        assert!(ward.exported(&format!("$export?{since}")).await.is_empty(), "nothing has changed");
        let second = ward.reading(0, 2).await;
        let of = async |reading: &String| {
            let found = ward.gateway.get(&format!("Provenance?target=Observation/{reading}")).await;
            format!("Provenance/{}", found.body["entry"][0]["resource"]["id"].as_str().expect("an id"))
        };
        let said = of(&second).await;
        assert_eq!(said, of(&first).await, "one is said of both");
        let expected = BTreeSet::from([format!("Observation/{second}"), said]);
        assert_eq!(ward.exported(&format!("$export?{since}")).await, expected);
    }
}

impl Ward<'_> {
    /// Software that may deletes a reading; what it is called.
    async fn backend_deletes(&self, id: &str) -> String {
        let path = format!("Observation/{id}");
        let own = Backend::new(self.house, "system/Observation.d").await.token("system/Observation.d").await;
        let request = Request::delete(format!("/fhir/{path}")).header("authorization", format!("Bearer {own}"));
        let deleted = self.house.people_json(request, String::new()).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
        path
    }
}

/// Shows REQ-EXPORT-03: what is not served or not allowed is refused, with its place; so are persons and devices.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_exported_is_refused() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    for (path, code) in [
        ("$export?_outputFormat=application/fhir%2Bxml", "fhir-parameter-value"),
        ("$export?_since=yesterday", "fhir-parameter-value"),
        ("$export?_type=Encounter", "fhir-parameter-value"),
        ("$export?_type=AuditEvent", "fhir-parameter-value"),
        ("$export?_type=ServiceRequest", "fhir-forbidden"),
        ("$export?_elements=id", "fhir-unknown-parameter"),
        ("Patient/$export?patient=Patient/x", "fhir-unknown-parameter"),
        ("$export?_typeFilter=Observation?nothing=x", "fhir-unknown-parameter"),
        ("$export?_typeFilter=Observation?_sort=date", "fhir-parameter-value"),
        ("$export?_typeFilter=Observation?_count=1", "fhir-parameter-value"),
        ("$export?_typeFilter=Observation?_include=Observation:device", "fhir-parameter-value"),
        ("$export?_typeFilter=Observation?based-on:ServiceRequest.status=active", "fhir-forbidden"),
        ("$export?_type=Patient&_typeFilter=Observation?code=x", "fhir-parameter-value"),
        ("Observation/$export", "fhir-not-supported"),
        ("Group/$export", "fhir-not-supported"),
    ] {
        let answer = ward.kick_off(path).await;
        assert_eq!(answer.code(), code, "{path}: {answer:?}");
    }
    let request = Request::get("/fhir/$export").header("authorization", format!("Bearer {}", ward.token));
    assert_eq!(
        house.people_json(request, String::new()).await.code(),
        "fhir-parameter-value",
        "it is not answered at once"
    );
    let request = Request::get("/fhir/$export?_elements=id&_type=Encounter,Patient")
        .header("prefer", "respond-async, handling=lenient");
    let request = request.header("authorization", format!("Bearer {}", ward.token));
    begun(&house.people_json(request, String::new()).await);
    assert_eq!(ward.gateway.get_with("$export", ("prefer", "respond-async")).await.code(), "fhir-forbidden");
    let bare = Request::get("/fhir/$export").header("prefer", "respond-async");
    assert_eq!(house.people_json(bare, String::new()).await.code(), "smart-no-token");
    for half in ["system/Observation.r", "system/Observation.s"] {
        let own = ward.backend().token(half).await;
        assert_eq!(kick_off(&house, &own, "$export").await.code(), "fhir-forbidden", "what is read is searched too");
    }

    let parameters = json!({ "resourceType": "Parameters", "parameter": [
        { "name": "_type", "valueString": "Patient" }, { "name": "_outputFormat", "valueString": "application/fhir+ndjson" },
        { "name": "_since", "valueInstant": "2000-01-01T00:00:00Z" },
    ] });
    let post = |body: Value| {
        let request = Request::post("/fhir/$export")
            .header("prefer", "respond-async")
            .header("content-type", "application/fhir+json");
        house.people_json(request.header("authorization", format!("Bearer {}", ward.token)), body.to_string())
    };
    let manifest = ward.manifest(&begun(&post(parameters).await)).await;
    assert_eq!(
        (&manifest["output"][0]["type"], manifest["output"].as_array().map(Vec::len)),
        (&json!("Patient"), Some(1))
    );
    assert_eq!(post(json!({ "resourceType": "Patient" })).await.code(), "fhir-other-kind");
    let wrong = json!({ "resourceType": "Parameters", "parameter": [{ "name": "_since", "valueInstant": "never" }] });
    assert_eq!(post(wrong).await.code(), "fhir-parameter-value");
}

/// Shows REQ-EXPORT-05: status and files are for the software that asked, with a token that is good for what it asked; for every other
/// one there is no such export. An export that was ended, or has come to its end, is gone, and so are its files.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_for_who_asked() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        ward.reading(0, 1).await;
        let status = ward.begun("$export?_type=Observation,Patient").await;
        let file = path_of(&ward.manifest(&status).await["output"][0]["url"]);
        let other = Backend::new(&house, SCOPES).await.token(SCOPES).await;
        let narrow = ward.backend().token("system/Patient.rs").await;
        assert_eq!(house.read(&other, &status).await.code(), "fhir-not-found");
        assert_eq!(fetch(&house, &other, &file).await.status, StatusCode::NOT_FOUND);
        assert_eq!(fetch(&house, &narrow, &file).await.status, StatusCode::FORBIDDEN);
        assert_eq!(ward.gateway.get(&status).await.code(), "fhir-forbidden");
        for wrong in ["99", "-1", "x"] {
            let path = format!("{}/{wrong}", file.rsplit_once('/').expect("a file").0);
            assert_eq!(fetch(&house, &ward.token, &path).await.status, StatusCode::NOT_FOUND, "{wrong}");
        }
        assert_eq!(house.read(&ward.token, "$export-status/00").await.code(), "fhir-not-found");
        let undivided = ward.begun("$export?_type=Patient,Observation").await;
        assert_eq!(house.read(&narrow, &undivided).await.code(), "fhir-forbidden", "or files would be missing");
        assert_eq!(house.read(&narrow, &status).await.code(), "fhir-forbidden", "the list of its files neither");

        let end = async |token: &str| {
            let request = Request::delete(format!("/fhir/{status}")).header("authorization", format!("Bearer {token}"));
            house.people_json(request, String::new()).await.status
        };
        assert_eq!(end(&other).await, StatusCode::NOT_FOUND);
        assert_eq!(fetch(&house, &ward.token, &file).await.lines.map(|lines| lines.len()), Some(1));
        assert_eq!(end(&ward.token).await, StatusCode::ACCEPTED);
        assert_eq!(end(&ward.token).await, StatusCode::NOT_FOUND);
        assert_eq!(house.read(&ward.token, &status).await.code(), "fhir-not-found");
        assert_eq!(fetch(&house, &ward.token, &file).await.status, StatusCode::NOT_FOUND);

        house.site.clock.advance(86_400);
        let later = ward.backend().token("system/Observation.rs system/Patient.rs").await;
        assert_eq!(house.read(&later, &undivided).await.code(), "fhir-not-found", "a day has gone");
    }
}

/// Shows REQ-EXPORT-06: what a patient hides is in no file, also where the export was divided before, and the number of files does not
/// tell of it; what a token was good for has ended with it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_withdrawn_is_in_no_file() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        for minute in 0..4 {
            ward.reading(usize::from(minute % 2 > 0), minute).await;
        }
        let status = ward.begun("$export?_type=Observation").await;
        let file = path_of(&ward.manifest(&status).await["output"][0]["url"]);
        assert_eq!(fetch(&house, &ward.token, &file).await.lines.map(|lines| lines.len()), Some(4));
        ward.deny(0).await;
        let lines = fetch(&house, &ward.token, &file).await.lines.expect("whole");
        let subjects: BTreeSet<_> =
            lines.iter().map(|line| line["subject"]["reference"].as_str().expect("a subject").to_owned()).collect();
        assert_eq!((lines.len(), subjects), (2, BTreeSet::from([format!("Patient/{}", ward.patients[1].0)])));
        ward.deny(1).await;
        assert_eq!(fetch(&house, &ward.token, &file).await.lines.map(|lines| lines.len()), Some(0));
        let hidden = ward.manifest(&ward.begun("$export?_type=Observation").await).await;
        assert_eq!(hidden["output"], json!([]), "nothing tells that there are any");

        house.site.clock.advance(300);
        assert_eq!(fetch(&house, &ward.token, &file).await.status, StatusCode::UNAUTHORIZED);
        let next = ward.backend().token("system/Observation.rs").await;
        assert_eq!(fetch(&house, &next, &file).await.status, StatusCode::OK);
        let removed = house.administer(json!({ "verb": "remove-client", "id": ward.backend().id() })).await;
        assert_eq!(removed.status, StatusCode::OK);
        assert_eq!(fetch(&house, &next, &file).await.status, StatusCode::UNAUTHORIZED);
    }
}

/// Shows REQ-EXPORT-07: each export and each file that is fetched is in the audit, with the patients whose data is in it.
#[tokio::test(flavor = "multi_thread")]
async fn exports_and_files_are_in_the_audit() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    ward.reading(0, 1).await;
    let manifest = ward.manifest(&ward.begun("$export?_type=Observation").await).await;
    fetch(&house, &ward.token, &path_of(&manifest["output"][0]["url"])).await;
    let told = async |of: &str| {
        let mut found = Vec::new();
        let page = house.read(&ward.token, of).await.body;
        for entry in page["entry"].as_array().into_iter().flatten() {
            let entities = entry["resource"]["entity"].as_array().cloned().unwrap_or_default();
            for entity in entities.iter().filter(|entity| entity["query"].is_string()) {
                let query =
                    data_encoding::BASE64.decode(entity["query"].as_str().expect("text").as_bytes()).expect("base64");
                found.push((
                    entity["name"].as_str().expect("a kind").to_owned(),
                    String::from_utf8(query).expect("UTF-8"),
                ));
            }
        }
        found
    };
    let began = Instant::now();
    loop {
        let of_anna = told(&format!("AuditEvent?patient=Patient/{}", ward.patients[0].0)).await;
        let of_bert = told(&format!("AuditEvent?patient=Patient/{}", ward.patients[1].0)).await;
        let all = told("AuditEvent").await;
        let has = |of: &[(String, String)], part: &str| {
            of.iter().any(|(kind, query)| kind == "Observation" && query.contains(part))
        };
        if has(&all, "/$export?_type=Observation") && has(&of_anna, "/$export-file/") {
            assert!(!has(&of_bert, "$export-file"));
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "{all:?} {of_anna:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Shows REQ-EXPORT-08: software has eight exports at once, and is told what to do; they end by themselves.
#[tokio::test(flavor = "multi_thread")]
async fn exports_are_bounded() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let mut all = Vec::new();
        for _ in 0..8 {
            all.push(ward.begun("$export").await);
        }
        let full = ward.kick_off("$export").await;
        assert_eq!((full.status, full.code()), (StatusCode::TOO_MANY_REQUESTS, "fhir-exports"));
        assert!(!full.header("retry-after").is_empty());
        let other = Backend::new(&house, SCOPES).await.token(SCOPES).await;
        begun(&kick_off(&house, &other, "$export").await);
        let request =
            Request::delete(format!("/fhir/{}", all[0])).header("authorization", format!("Bearer {}", ward.token));
        assert_eq!(house.people_json(request, String::new()).await.status, StatusCode::ACCEPTED);
        ward.begun("$export").await;
        assert_eq!(ward.kick_off("$export").await.code(), "fhir-exports");
        house.site.clock.advance(86_400);
        let token = ward.backend().token("system/Patient.rs").await;
        begun(&kick_off(&house, &token, "$export").await);
    }
}

/// Shows REQ-EXPORT-09: an export is divided into several files, of which none is large, by two hubs of one store in turn; none of its
/// resources is missing or twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_large_export_has_several_files() {
    let place = on_server();
    let Place::Server(server) = &place else { panic!("a server") };
    let second = House::at(Some(Place::Server(server.clone())));
    let house = House::at(Some(place));
    let ward = Ward::new(&house).await;
    let (patient, device) = &ward.patients[0];
    let mut made = 0;
    while made < 6_500 {
        let entry = |minute: usize| json!({ "request": { "method": "POST", "url": "Observation" }, "resource": glucose(patient, device, &format!("2024-01-01T08:{:02}:00Z", minute % 60)) });
        let bundle = transaction((0..500).map(entry));
        let sent =
            ward.gateway.send("POST", "", &[("content-type", "application/fhir+json")], &bundle.to_string()).await;
        assert_eq!(sent.status, StatusCode::OK, "{sent:?}");
        made += 500;
    }
    // The second hub knows the software by the store alone.
    let status = ward.begun("$export?_type=Observation,Patient").await;
    let manifest = manifest(&second, &ward.token, &status).await;
    let files = manifest["output"].as_array().expect("files");
    let kinds: Vec<_> = files.iter().filter_map(|file| file["type"].as_str()).collect();
    assert_eq!(kinds, ["Observation", "Observation", "Patient"]);
    let (mut ids, mut counts) = (BTreeSet::new(), Vec::new());
    for (number, file) in files.iter().enumerate() {
        let house = if number % 2 == 0 { &house } else { &second };
        let lines = fetch(house, &ward.token, &path_of(&file["url"])).await.lines.expect("whole");
        counts.push(lines.len());
        ids.extend(lines.iter().map(|line| line["id"].to_string()));
    }
    assert_eq!((ids.len(), counts.iter().sum::<usize>()), (6_502, 6_502), "{counts:?}");
    assert!((5_000..7_000).contains(&counts[0]), "{counts:?}");
}

/// Shows REQ-EXPORT-13: an export that takes longer is divided by those who ask how it stands: 202 with how far it is and when to ask
/// again, then the manifest; on both databases.
#[tokio::test(flavor = "multi_thread")]
async fn an_export_is_divided_while_it_is_asked_for() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let reading = ward.reading(0, 1).await;
        let backend = Backend::new(&house, "system/*.rs").await;
        let all = backend.token("system/*.rs").await;
        // Fourteen kinds, and what of each was deleted.
        let status = begun(&kick_off(&house, &all, "$export?_since=2000-01-01T00:00:00Z").await);
        let first = house.read(&all, &status).await;
        assert_eq!((first.status, first.header("retry-after")), (StatusCode::ACCEPTED, "1"), "{first:?}");
        let progress = first.header("x-progress");
        assert!(progress.contains("files so far, ") && progress.len() <= 100, "{progress}");
        let narrow = backend.token("system/Observation.rs").await;
        assert_eq!(house.read(&narrow, &status).await.code(), "fhir-forbidden");
        let manifest = manifest(&house, &all, &status).await;
        let files = manifest["output"].as_array().expect("files");
        assert!(files.len() >= 4 && manifest["deleted"] == json!([]), "{manifest}");
        let of = |kind: &str| files.iter().find(|file| file["type"] == kind).expect(kind)["url"].clone();
        let lines = fetch(&house, &all, &path_of(&of("Observation"))).await.lines.expect("whole");
        assert_eq!(lines[0]["id"].as_str(), Some(&*reading));
    }
}

/// Shows REQ-EXPORT-06: a file that is being fetched is broken off when what its reader may do ends: nobody takes a part for the whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_broken_off_when_its_export_ends() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let (patient, device) = &ward.patients[0];
    let mut long = glucose(patient, device, "2024-01-01T08:00:00Z");
    long["note"] = json!([{ "text": "x".repeat(200_000) }]);
    for _ in 0..4 {
        ward.gateway.create(&long).await.made();
    }
    for ends in ["export", "client"] {
        let status = ward.begun("$export?_type=Observation").await;
        let file = path_of(&ward.manifest(&status).await["output"][0]["url"]);
        let mut request = Request::get(format!("/fhir/{file}"))
            .header("authorization", format!("Bearer {}", ward.token))
            .body(Body::empty())
            .expect("a request");
        request.extensions_mut().insert(nobody());
        let mut body = house.people.clone().oneshot(request).await.expect("an answer").into_body();
        let first = body.frame().await.expect("a frame").expect("whole").into_data().expect("data");
        assert_eq!(first.iter().filter(|byte| **byte == b'\n').count(), 2, "what is read together");
        if ends == "export" {
            let request =
                Request::delete(format!("/fhir/{status}")).header("authorization", format!("Bearer {}", ward.token));
            assert_eq!(house.people_json(request, String::new()).await.status, StatusCode::ACCEPTED);
        } else {
            house.administer(json!({ "verb": "remove-client", "id": ward.backend().id() })).await;
        }
        assert!(body.frame().await.expect("a frame").is_err(), "{ends}");
    }
}

/// Shows REQ-EXPORT-03: a person's app exports nothing, whatever its scopes.
#[tokio::test(flavor = "multi_thread")]
async fn a_person_exports_nothing() {
    let ward = crate::smart::Ward::new().await;
    let app = ward.house.app("public", json!({ "scopes": "launch/patient patient/*.rs user/*.rs" })).await;
    let given = ward.launched(&app, &[("scope", "launch/patient patient/*.rs")]).await;
    let answer = kick_off(&ward.house, &token(&given, "access_token"), "Patient/$export").await;
    assert_eq!(answer.code(), "fhir-forbidden", "{answer:?}");
}

/// Shows REQ-SMART-146, REQ-EXPORT-40: an export has what the scopes let through, also of what was deleted, and its filters find nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_scope_hides_is_in_no_file() {
    for house in House::both() {
        let wide = Ward::new(&house).await;
        let of = async |category: &str, minute: u32| {
            let (patient, device) = &wide.patients[0];
            let mut reading = glucose(patient, device, &format!("2024-01-01T08:{minute:02}:00Z"));
            reading["category"] = json!([{ "coding": [{ "system": "urn:t", "code": category }] }]);
            wide.gateway.create(&reading).await.made()
        };
        let (seen, hidden) = (of("vital-signs", 1).await, of("laboratory", 2).await);
        assert_eq!(wide.exported("$export?_type=Observation").await.len(), 2);
        let token = wide.backend().token("system/Patient.rs system/Observation.rs?category=vital-signs").await;
        let wide_token = wide.token.clone();
        let narrow = Ward { token, ..wide };
        let only = BTreeSet::from([format!("Observation/{seen}")]);
        // Who sees less does not divide what was asked by who sees more, nor the other way round.
        for (own, other) in [(&wide_token, &narrow.token), (&narrow.token, &wide_token)] {
            let status = begun(&kick_off(&house, own, "$export?_type=Observation").await);
            assert_eq!(house.read(other, &status).await.code(), "fhir-forbidden");
            let divided = house.read(own, &status).await;
            assert_eq!(divided.body["output"].as_array().map(Vec::len), Some(1), "{divided:?}");
            assert_eq!(house.read(other, &status).await.status, StatusCode::OK);
        }
        assert_eq!(narrow.exported("$export?_type=Observation").await, only);
        for (filter, expected) in [
            ("Observation?category=laboratory".to_owned(), BTreeSet::new()),
            (format!("Observation?_id={hidden},{seen}"), only.clone()),
            ("Observation?category=laboratory,Observation?status=final".to_owned(), only.clone()),
        ] {
            let asked = form_urlencoded::Serializer::new(String::new()).append_pair("_typeFilter", &filter).finish();
            assert_eq!(narrow.exported(&format!("$export?_type=Observation&{asked}")).await, expected, "{filter}");
        }

        house.site.clock.advance(120);
        let since = house.site.clock.now().to_string();
        house.site.clock.advance(1);
        let deleting = Backend::new(&house, "system/Observation.d").await.token("system/Observation.d").await;
        for id in [&seen, &hidden] {
            let request = Request::delete(format!("/fhir/Observation/{id}"));
            let request = request.header("authorization", format!("Bearer {deleting}"));
            let deleted = house.people_json(request, String::new()).await;
            assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
        }
        let manifest = narrow.manifest(&narrow.begun(&format!("$export?_type=Observation&_since={since}")).await).await;
        let files = manifest["deleted"].as_array().expect("files");
        let mut told = Vec::new();
        for file in files {
            let lines = fetch(&house, &narrow.token, &path_of(&file["url"])).await.lines.expect("a whole file");
            told.extend(lines.iter().map(Value::to_string));
        }
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&seen) && !told[0].contains(&hidden), "{told:?}");
    }
}
