//! What has to be so for a change: whose what a condition finds is, and which version is there, or that none is.

use super::everything;
use super::fixture::{Answer, Device, House, device, glucose, patient};
use http::StatusCode;
use serde_json::{Value, json};

const TYPE: (&str, &str) = ("content-type", "application/fhir+json");
const HERS: &str = "Observation?identifier=urn:lab|1";

fn result(patient: &str) -> Value {
    json!({
        "resourceType": "Observation", "status": "final", "code": { "text": "result" },
        "identifier": [{ "system": "urn:lab", "value": "1" }], "subject": { "reference": format!("Patient/{patient}") },
    })
}

fn numbered(mut resource: Value, id: &str) -> Value {
    resource["id"] = id.into();
    resource
}

async fn bundle(who: &Device<'_>, of: &str, entries: Vec<Value>) -> Answer {
    let bundle = json!({ "resourceType": "Bundle", "type": of, "entry": entries });
    who.send("POST", "", &[TYPE], &bundle.to_string()).await
}

/// An entry whose request has this besides.
fn entry(method: &str, url: &str, besides: Value, resource: Value) -> Value {
    let mut entry = json!({ "request": { "method": method, "url": url } });
    for (name, value) in besides.as_object().into_iter().flatten() {
        entry["request"][name] = value.clone();
    }
    if !resource.is_null() {
        entry["resource"] = resource;
    }
    entry
}

/// The status of the one entry of a batch, and the code of its refusal.
fn of_batch(answer: &Answer) -> (&str, &str) {
    let response = &answer.body["entry"][0]["response"];
    let code = &response["outcome"]["issue"][0]["details"]["coding"][0]["code"];
    (response["status"].as_str().unwrap_or_default(), code.as_str().unwrap_or_default())
}

/// Shows REQ-FHIR-84: what a condition finds of another patient is neither taken for what is sent nor made this patient's.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_condition_finds_of_another_patient_is_not_taken() {
    for house in House::both() {
        let all = everything(&house).await;
        let (anna, bert) = (all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made());
        let hers = all.create(&result(&anna)).await.made();
        let (his, once) = (result(&bert), json!({ "ifNoneExist": "identifier=urn:lab|1" }));
        let if_none = [TYPE, ("if-none-exist", "identifier=urn:lab|1")];
        for answer in [
            all.send("POST", "Observation", &if_none, &his.to_string()).await,
            all.send("PUT", HERS, &[TYPE], &his.to_string()).await,
            bundle(&all, "transaction", vec![entry("POST", "Observation", once.clone(), his.clone())]).await,
            bundle(&all, "transaction", vec![entry("PUT", HERS, Value::Null, his.clone())]).await,
        ] {
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::PRECONDITION_FAILED, "fhir-other-patient"),
                "{answer:?}"
            );
            let help = &answer.body["issue"][0]["diagnostics"];
            assert!(help.as_str().is_some_and(|help| help.contains("patient=")), "{answer:?}");
        }
        for one in
            [entry("POST", "Observation", once.clone(), his.clone()), entry("PUT", HERS, Value::Null, his.clone())]
        {
            let answer = bundle(&all, "batch", vec![one]).await;
            assert_eq!(of_batch(&answer), ("412 Precondition Failed", "fhir-other-patient"), "{answer:?}");
        }
        // A new patient is another one, too.
        let new = json!({ "fullUrl": "urn:uuid:9d4a3c0e-0000-4000-8000-000000000001", "resource": patient("Cleo"),
            "request": { "method": "POST", "url": "Patient" } });
        let mut of_new = his.clone();
        of_new["subject"]["reference"] = new["fullUrl"].clone();
        let answer = bundle(&all, "transaction", vec![new, entry("POST", "Observation", once.clone(), of_new)]).await;
        assert_eq!(answer.code(), "fhir-other-patient", "{answer:?}");
        let kept = all.get(&format!("Observation/{hers}")).await.body;
        assert_eq!((&kept["meta"]["versionId"], &kept["subject"]), (&json!("1"), &result(&anna)["subject"]));
        assert_eq!(all.get("Patient?_summary=count").await.body["total"], 2, "all or nothing");

        // Named with its patient, it is found or made.
        let of_his = format!("patient={bert}&identifier=urn:lab|1");
        let made = all.send("POST", "Observation", &[TYPE, ("if-none-exist", &of_his)], &his.to_string()).await.made();
        let again = all.send("PUT", &format!("Observation?{of_his}"), &[TYPE], &his.to_string()).await;
        assert_eq!(again.status, StatusCode::OK, "{again:?}");
        assert!(again.header("location").contains(&made));
        all.delete(&format!("Observation/{made}")).await;
        // Nor is it made nobody's by its identifier alone: who means that says so at its address.
        let mut nobodys = result(&anna);
        nobodys.as_object_mut().expect("an object").remove("subject");
        let send = async |method: &str, body: &Value| {
            let (path, headers) = if method == "PUT" { (HERS, &if_none[..1]) } else { ("Observation", &if_none[..]) };
            all.send(method, path, headers, &body.to_string()).await
        };
        for method in ["PUT", "POST"] {
            let answer = send(method, &nobodys).await;
            assert_eq!(answer.code(), "fhir-other-patient", "{method}: {answer:?}");
        }
        let path = format!("Observation/{hers}");
        let answer = all.send("PUT", &path, &[TYPE], &numbered(nobodys.clone(), &hers).to_string()).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        // What is nobody's is not taken for a patient's result; a change makes it that patient's. Of Patients nothing is compared.
        let made = ("W/\"3\"", StatusCode::OK);
        assert_eq!(send("POST", &nobodys).await.status, StatusCode::OK);
        assert_eq!(send("POST", &his).await.code(), "fhir-other-patient");
        let changed = send("PUT", &his).await;
        assert_eq!((changed.header("etag"), changed.status), made, "{changed:?}");
        let mut anna = patient("Anna");
        anna["identifier"] = json!([{ "system": "urn:mrn", "value": "1" }]);
        let path = "Patient?identifier=urn:mrn|1";
        assert_eq!(all.put(path, &anna).await.status, StatusCode::CREATED);
        assert_eq!(all.put(path, &anna).await.status, StatusCode::OK);
        let by_number = [TYPE, ("if-none-exist", "identifier=urn:mrn|1")];
        assert_eq!(all.send("POST", "Patient", &by_number, &anna.to_string()).await.status, StatusCode::OK);
    }
}

/// Shows REQ-FHIR-84: what a device measures is of the patient whose the device is now.
#[tokio::test(flavor = "multi_thread")]
async fn what_measures_is_whose_its_device_is_in_conditions() {
    for house in House::both() {
        let all = everything(&house).await;
        let (anna, bert) = (all.create(&patient("Anna")).await.made(), all.create(&patient("Bert")).await.made());
        let metric = |device: &str| {
            json!({
                "resourceType": "DeviceMetric", "category": "measurement",
                "source": { "reference": format!("Device/{device}") },
                "identifier": [{ "system": "urn:metric", "value": "1" }], "type": { "text": "pressure" },
            })
        };
        let (hers, his) = (all.create(&device("a", &anna)).await.made(), all.create(&device("b", &bert)).await.made());
        all.create(&metric(&hers)).await.made();
        let path = "DeviceMetric?identifier=urn:metric|1";
        let once = [TYPE, ("if-none-exist", "identifier=urn:metric|1")];
        let ask = async |device: &str| {
            let body = metric(device).to_string();
            [all.send("PUT", path, &[TYPE], &body).await, all.send("POST", "DeviceMetric", &once, &body).await]
        };
        for answer in ask(&his).await {
            assert_eq!(answer.code(), "fhir-other-patient", "{answer:?}");
        }
        // A Device that is made beside it is another one.
        let new = json!({ "fullUrl": "urn:uuid:9d4a3c0e-0000-4000-8000-000000000001", "resource": device("c", &bert),
            "request": { "method": "POST", "url": "Device" } });
        let mut of_new = metric(&his);
        of_new["source"]["reference"] = new["fullUrl"].clone();
        let answer = bundle(&all, "transaction", vec![new, entry("PUT", path, Value::Null, of_new)]).await;
        assert_eq!(answer.code(), "fhir-other-patient", "{answer:?}");
        // A Device is handed on by its identifier, and found for its patient alone.
        let once_device = [TYPE, ("if-none-exist", "identifier=b")];
        let answer = all.send("POST", "Device", &once_device, &device("b", &anna).to_string()).await;
        assert_eq!(answer.code(), "fhir-other-patient", "{answer:?}");
        assert_eq!(all.put("Device?identifier=b", &device("b", &anna)).await.status, StatusCode::OK);
        for answer in ask(&his).await {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        }
    }
}

/// Shows REQ-FHIR-85: `If-None-Match: *` of a change holds where nothing is there, and of nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_is_not_overwritten_where_none_may_be() {
    for house in House::both() {
        let all = everything(&house).await;
        let anna = all.create(&patient("Anna")).await.made();
        let id = all.create(&result(&anna)).await.made();
        let (path, absent) = (format!("Observation/{id}"), ("if-none-match", "*"));
        let body = result(&anna).to_string();
        let own = numbered(result(&anna), &id).to_string();
        for (method, path, body) in
            [("PUT", path.as_str(), &own), ("PUT", HERS, &body), ("DELETE", &path, &body), ("DELETE", HERS, &body)]
        {
            let answer = all.send(method, path, &[TYPE, absent], body).await;
            assert_eq!(
                (answer.status, answer.code()),
                (StatusCode::PRECONDITION_FAILED, "fhir-version"),
                "{method} {path}"
            );
        }
        assert_eq!(all.get(&path).await.header("etag"), "W/\"1\"");
        let other = "Observation?identifier=urn:lab|2";
        assert_eq!(all.send("DELETE", other, &[absent], "").await.status, StatusCode::NO_CONTENT);
        assert_eq!(all.send("PUT", other, &[TYPE, absent], &body).await.status, StatusCode::CREATED);
        // What is gone is not there: it is brought back, by one of all who want to.
        assert_eq!(all.delete(&path).await.status, StatusCode::NO_CONTENT);
        assert_eq!(all.send("DELETE", &path, &[absent], "").await.status, StatusCode::NO_CONTENT);
        let nowhere = "Observation/00000000000000000000000000";
        let none = "Observation?identifier=urn:lab|3";
        for (of, tag) in [(nowhere, "*"), (nowhere, "W/\"1\""), (none, "*"), (none, "W/\"1\""), (&path, "*")] {
            let answer = all.send("DELETE", of, &[("if-match", tag)], "").await;
            assert_eq!((answer.status.as_u16(), answer.code()), (412, "fhir-version"), "{of} {tag}");
            let answer = bundle(&all, "batch", vec![entry("DELETE", of, json!({ "ifMatch": tag }), Value::Null)]).await;
            assert_eq!(of_batch(&answer), ("412 Precondition Failed", "fhir-version"), "{of} {tag}");
        }
        let there = all.send("PUT", &path, &[TYPE, ("if-match", "*")], &own).await;
        assert_eq!((there.status, there.code()), (StatusCode::PRECONDITION_FAILED, "fhir-version"), "{there:?}");
        let headers = [TYPE, absent];
        let at_once = (0..4).map(|_| all.send("PUT", &path, &headers, &own));
        let mut statuses: Vec<_> =
            futures_util::future::join_all(at_once).await.iter().map(|answer| answer.status.as_u16()).collect();
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 412, 412, 412]);
        assert_eq!(all.send("PUT", &path, &[TYPE, ("if-match", "*")], &own).await.status, StatusCode::OK);
    }
}

/// Shows REQ-FHIR-86: a condition of a change that is not served is refused, in a header and in an entry of a Bundle.
#[tokio::test(flavor = "multi_thread")]
async fn conditions_that_are_not_served_are_refused() {
    let house = House::new();
    let all = everything(&house).await;
    let anna = all.create(&patient("Anna")).await.made();
    let id = all.create(&result(&anna)).await.made();
    let path = format!("Observation/{id}");
    let own = numbered(result(&anna), &id);
    let body = own.to_string();
    let date = "Fri, 01 Jan 2021 00:00:00 GMT";
    for (method, path, header, place) in [
        ("PUT", path.as_str(), ("if-none-match", "W/\"1\""), "If-None-Match"),
        ("DELETE", &path, ("if-none-match", "W/\"1\""), "If-None-Match"),
        ("PUT", HERS, ("if-none-match", "*, W/\"1\""), "If-None-Match"),
        ("PUT", &path, ("if-unmodified-since", date), "If-Unmodified-Since"),
        ("DELETE", &path, ("if-unmodified-since", date), "If-Unmodified-Since"),
        ("POST", "Observation", ("if-none-match", "*"), "If-None-Match"),
        ("POST", "Observation", ("if-match", "W/\"1\""), "If-Match"),
        ("POST", "Observation", ("if-unmodified-since", date), "If-Unmodified-Since"),
        ("POST", "", ("if-match", "W/\"1\""), "If-Match"),
        ("POST", "", ("if-none-match", "*"), "If-None-Match"),
        ("POST", "", ("if-none-exist", "identifier=urn:lab|1"), "If-None-Exist"),
        ("PUT", &path, ("if-none-exist", "identifier=urn:lab|1"), "If-None-Exist"),
        ("DELETE", &path, ("if-none-exist", "identifier=urn:lab|1"), "If-None-Exist"),
        ("POST", "Observation", ("if-none-exist", ""), "If-None-Exist"),
        ("POST", "Observation", ("if-none-exist", "identifier=urn:lab|é"), "If-None-Exist"),
    ] {
        let answer = all.send(method, path, &[TYPE, header], &body).await;
        let issue = &answer.body["issue"][0];
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "fhir-parameter-value"), "{answer:?}");
        assert_eq!(issue["expression"][0], place, "{method} {path} {header:?}");
        assert!(issue["diagnostics"].as_str().is_some_and(|help| help.contains("If-")), "{answer:?}");
    }
    let twice = [TYPE, ("if-none-exist", "identifier=urn:lab|2"), ("if-none-exist", "identifier=urn:lab|1")];
    let answer = all.send("POST", "Observation", &twice, &result(&anna).to_string()).await;
    assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "fhir-parameter-value"), "{answer:?}");
    let unlike = json!({ "ifNoneMatch": "*" });
    for one in [
        entry("PUT", &path, unlike.clone(), own.clone()),
        entry("DELETE", &path, unlike.clone(), Value::Null),
        entry("POST", "Observation", unlike, own.clone()),
        entry("PUT", &path, json!({ "ifModifiedSince": "2021-01-01T00:00:00Z" }), own.clone()),
        entry("GET", &path, json!({ "ifModifiedSince": "2021-01-01T00:00:00Z" }), Value::Null),
        entry("GET", &path, json!({ "ifMatch": "W/\"1\"" }), Value::Null),
        entry("POST", "Observation", json!({ "ifMatch": "W/\"1\"" }), own.clone()),
        entry("PUT", &path, json!({ "ifNoneExist": "identifier=urn:lab|1" }), own.clone()),
        entry("PUT", &path, json!({ "ifMatch": "" }), own.clone()),
        entry("PUT", &path, json!({ "ifMatch": 2 }), own.clone()),
        entry("POST", "Observation", json!({ "ifNoneExist": "" }), own.clone()),
        entry("POST", "Observation", json!({ "ifNoneExist": ["identifier=urn:lab|1"] }), own.clone()),
        entry("GET", &path, json!({ "ifNoneMatch": null }), Value::Null),
    ] {
        let answer = bundle(&all, "batch", vec![one.clone()]).await;
        assert_eq!(of_batch(&answer), ("400 Bad Request", "fhir-entry"), "{one}");
        let answer = bundle(&all, "transaction", vec![one.clone()]).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "fhir-entry"), "{one}");
    }
    assert_eq!(all.get(&path).await.header("etag"), "W/\"1\"");
    assert_eq!(all.get("Observation?_summary=count").await.body["total"], 1);
    // What is read is given, unless it is known (FHIR R4, Bundle.entry.request.ifNoneMatch).
    for (known, status) in
        [("W/\"1\"", "304 Not Modified"), ("W/\"2\", \"1\"", "304 Not Modified"), ("W/\"2\"", "200 OK")]
    {
        let read = entry("GET", &path, json!({ "ifNoneMatch": known }), Value::Null);
        let answer = bundle(&all, "batch", vec![read]).await;
        assert_eq!(of_batch(&answer), (status, ""), "{known}");
        assert_eq!(answer.body["entry"][0]["resource"].is_null(), status.starts_with("304"), "{known}");
        assert_eq!(all.get_with(&path, ("if-none-match", known)).await.status.as_str(), &status[..3], "{known}");
    }
    // Of a Bundle, what a header says of one resource is said of none of its entries.
    let modified = all.get(&path).await.header("last-modified").to_owned();
    let entries =
        json!({ "resourceType": "Bundle", "type": "batch", "entry": [entry("GET", &path, Value::Null, Value::Null)] });
    let answer = all.send("POST", "", &[TYPE, ("if-modified-since", &modified)], &entries.to_string()).await;
    assert_eq!(of_batch(&answer), ("200 OK", ""), "{answer:?}");
}

/// Shows REQ-FHIR-87: `If-Match` names several versions, one of which the resource has (RFC 9110 section 13.1.1).
#[tokio::test(flavor = "multi_thread")]
async fn a_change_names_several_versions() {
    for house in House::both() {
        let all = everything(&house).await;
        let anna = all.create(&patient("Anna")).await.made();
        let id = all.create(&result(&anna)).await.made();
        let path = format!("Observation/{id}");
        let body = numbered(result(&anna), &id).to_string();
        for (headers, status, code) in [
            (vec!["W/\"2\", W/\"3\""], 412, "fhir-version"),
            (vec!["W/\"7\",W/\"1\""], 200, ""),
            (vec!["W/\"7\"", "W/\"2\""], 200, ""),
            (vec!["W/\"3\", x"], 400, "fhir-parameter-value"),
            (vec!["*, W/\"3\""], 400, "fhir-parameter-value"),
            (vec![","], 400, "fhir-parameter-value"),
            (vec!["W/\"é\""], 400, "fhir-parameter-value"),
            (vec!["*"], 200, ""),
        ] {
            let all_of: Vec<_> = headers.iter().map(|tag| ("if-match", *tag)).chain([TYPE]).collect();
            let answer = all.send("PUT", &path, &all_of, &body).await;
            let told = if answer.status == StatusCode::OK { "" } else { answer.code() };
            assert_eq!((answer.status.as_u16(), told), (status, code), "{headers:?}");
        }
        // What a condition does not find has no version, in a Bundle too.
        let unfound = "Observation?identifier=urn:lab|2";
        let entry_of = |tags: &str| entry("PUT", unfound, json!({ "ifMatch": tags }), result(&anna));
        for tags in ["W/\"1\"", "*"] {
            let alone = all.send("PUT", unfound, &[TYPE, ("if-match", tags)], &result(&anna).to_string()).await;
            assert_eq!((alone.status, alone.code()), (StatusCode::PRECONDITION_FAILED, "fhir-version"), "{tags}");
            let answer = bundle(&all, "batch", vec![entry_of(tags)]).await;
            assert_eq!(of_batch(&answer), ("412 Precondition Failed", "fhir-version"), "{tags}");
        }
        let listed = entry("DELETE", &path, json!({ "ifMatch": "W/\"1\", W/\"4\"" }), Value::Null);
        assert_eq!(of_batch(&bundle(&all, "batch", vec![listed]).await).0, "204 No Content");
    }
}

/// Shows REQ-FHIR-88: what is of nobody, and so read by everybody, refers to no patient and to nothing that is a patient's.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_nobody_names_no_patient() {
    for house in House::both() {
        let all = everything(&house).await;
        let anna = all.create(&patient("Anna")).await.made();
        let pump = all.create(&device("a", &anna)).await.made();
        let reading = all.create(&glucose(&anna, &pump, "2024-01-01")).await.made();
        let spare = all.create(&json!({ "resourceType": "Device" })).await.made();
        let to = |reference: &str| json!([{ "url": "urn:x", "valueReference": { "reference": reference } }]);
        let inside = |mut one: Value| {
            one["id"] = "o".into();
            json!({ "contained": [one], "extension": to("#o") })
        };
        let her = format!("Patient/{anna}");
        let wrongs = [
            json!({ "extension": to(&her) }),
            json!({ "extension": to(&format!("https://hub.example:8443/fhir/{her}")) }),
            json!({ "extension": to("https://other.example/fhir/Patient/1") }),
            json!({ "extension": [{ "url": "urn:x", "extension": to(&her) }] }),
            json!({ "extension": [{ "url": "urn:x", "valueReference": { "type": "Patient", "identifier": { "value": "4711" } } }] }),
            inside(patient("Anna")),
            inside(
                json!({ "resourceType": "Observation", "status": "final", "code": { "text": "x" }, "subject": { "reference": her } }),
            ),
            // Also of kinds that are not kept here.
            inside(json!({ "resourceType": "Condition", "subject": { "reference": her } })),
            json!({ "extension": to(&format!("Device/{pump}")) }),
            json!({ "extension": to(&format!("Observation/{reading}")) }),
        ];
        for kind in ["Organization", "Practitioner", "PractitionerRole"] {
            let plain = json!({ "resourceType": kind, "active": true, "identifier": [{ "value": "1" }] });
            let with = |what: &Value| {
                let mut resource = plain.clone();
                for (name, value) in what.as_object().expect("an object") {
                    resource[name] = value.clone();
                }
                resource
            };
            let id = all.create(&with(&json!({ "extension": to(&format!("Device/{spare}")) }))).await.made();
            for wrong in &wrongs {
                let resource = with(wrong);
                let posted = entry("POST", kind, Value::Null, resource.clone());
                for answer in [
                    all.create(&resource).await,
                    all.put(&format!("{kind}/{id}"), &numbered(resource.clone(), &id)).await,
                    bundle(&all, "transaction", vec![posted]).await,
                ] {
                    assert_eq!(
                        (answer.status, answer.code()),
                        (StatusCode::UNPROCESSABLE_ENTITY, "fhir-patient-not-subject"),
                        "{resource}: {answer:?}"
                    );
                }
            }
            // What is made beside it is no way round.
            let full = "urn:uuid:9d4a3c0e-0000-4000-8000-000000000002";
            let made = json!({ "fullUrl": full, "resource": glucose(&anna, &pump, "2024-01-01"),
                "request": { "method": "POST", "url": "Observation" } });
            let named = entry("POST", kind, Value::Null, with(&json!({ "extension": to(full) })));
            let answer = bundle(&all, "transaction", vec![named, made]).await;
            assert_eq!(answer.code(), "fhir-patient-not-subject", "{answer:?}");
            assert_eq!(all.get(&format!("{kind}/{id}")).await.header("etag"), "W/\"1\"");
        }
    }
}
