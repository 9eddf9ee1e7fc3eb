//! Who asks otherwise than is served is told what is wrong, where, and what would help.

use crate::fixture::{Answer, House, device, glucose, nobody, patient, transaction};
use crate::people::token;
use crate::smart::Ward;
use axum::body::Body;
use http::{Request, StatusCode};
use medlock_trust::Role;
use serde_json::{Value, json};
use tower::ServiceExt as _;

const JSON: [(&str, &str); 1] = [("content-type", "application/fhir+json")];

/// Status, code, place and text with what would help, of the first issue.
fn told(answer: &Answer) -> (u16, &str, &str, String) {
    let issue = &answer.body["issue"][0];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let words = format!("{} / {}", text(&issue["details"]["text"]), text(&issue["diagnostics"]));
    (answer.status.as_u16(), answer.code(), issue["expression"][0].as_str().unwrap_or_default(), words)
}

/// Shows REQ-FHIR-57, REQ-FHIR-58, REQ-FHIR-59, REQ-FHIR-63.
#[tokio::test(flavor = "multi_thread")]
async fn each_refusal_helps_with_what_was_asked() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
    let id = gateway.create(&patient("Anna")).await.made();
    let mut anna = gateway.get(&format!("Patient/{id}")).await.body;
    let own = |id: &str| json!({ "resourceType": "Patient", "id": id }).to_string();
    anna["active"] = json!(true);
    let (anna, at) = (anna.to_string(), format!("Patient/{id}"));
    let everything = format!("{at}/$everything");
    for (method, path, header, body, expected, helps) in [
        // FHIR R4 section 3.1.0.1.11: it says what the header Accept says.
        ("GET", "Patient?_format=xml", JSON[0], "", (406, "fhir-media-type", "_format"), "application/fhir+json"),
        (
            "GET",
            &format!("{at}?_format=text/turtle"),
            JSON[0],
            "",
            (406, "fhir-media-type", "_format"),
            "application/fhir+json",
        ),
        (
            "GET",
            &format!("{everything}?_format=xml"),
            JSON[0],
            "",
            (406, "fhir-media-type", "_format"),
            "application/fhir+json",
        ),
        // Section 3.1.0.4.1.
        (
            "PUT",
            "Patient/my-own-id",
            JSON[0],
            &own("my-own-id"),
            (405, "fhir-not-supported", "id"),
            "PUT to Patient?identifier",
        ),
        ("GET", &format!("{at}/$nope"), JSON[0], "", (404, "fhir-not-supported", ""), "CapabilityStatement"),
        ("GET", "Patient/$nope", JSON[0], "", (404, "fhir-not-supported", ""), "no such operation"),
        ("PUT", &at, ("if-match", "1"), &anna, (400, "fhir-parameter-value", "If-Match"), "W/\"VERSION\""),
        (
            "GET",
            &format!("{everything}?_since=2020-01-01"),
            JSON[0],
            "",
            (400, "fhir-parameter-value", "_since"),
            "00:00:00Z",
        ),
        (
            "GET",
            "Patient/_history?_count=-1",
            JSON[0],
            "",
            (400, "fhir-parameter-value", "_count"),
            "whole number from 0",
        ),
        (
            "GET",
            "Patient/_history?_at=2020",
            JSON[0],
            "",
            (400, "fhir-unknown-parameter", "_at"),
            "give _count, _since",
        ),
        (
            "GET",
            "Patient?birthdate=yesterday",
            JSON[0],
            "",
            (400, "fhir-parameter-value", "birthdate"),
            "\"yesterday\" is no date",
        ),
        (
            "POST",
            "Patient/_search",
            ("content-type", "application/x-www-form-urlencoded"),
            "_format=xml",
            (406, "fhir-media-type", "_format"),
            "json",
        ),
    ] {
        let both = [JSON[0], header];
        let answer = gateway.send(method, path, if header.0 == "if-match" { &both } else { &both[1..] }, body).await;
        let (status, code, place, words) = told(&answer);
        assert_eq!((status, code, place), expected, "{method} {path}: {words}");
        assert!(words.contains(helps) && !words.contains("section 3.1.1 says"), "{method} {path}: {words}");
    }
    for good in ["json", "application/fhir%2Bjson", "application/fhir+json", "text/json"] {
        let answer = gateway.get_with(&format!("Patient?_format={good}"), ("accept", "text/html")).await;
        assert_eq!(answer.status, StatusCode::OK, "{good}");
    }
    let named = json!({ "resource": { "resourceType": "Patient", "id": "mine" }, "request": { "method": "PUT", "url": "Patient/mine" } });
    let refused = gateway.send("POST", "", &JSON, &transaction([named]).to_string()).await;
    assert_eq!((told(&refused).0, told(&refused).2), (405, "Bundle.entry[0]"), "{refused:?}");
}

/// Shows REQ-FHIR-74: by itself and in a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn a_conditional_update_has_the_id_of_what_it_finds_or_none() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
    let named =
        |value: &str| json!({ "resourceType": "Patient", "identifier": [{ "system": "urn:t", "value": value }] });
    let id = gateway.create(&named("1")).await.made();
    let put = async |value: &str, id: Option<&str>| {
        let (mut resource, address) = (named(value), format!("Patient?identifier=urn:t|{value}"));
        if let Some(id) = id {
            resource["id"] = json!(id);
        }
        let alone = gateway.send("PUT", &address, &JSON, &resource.to_string()).await;
        let entry = json!({ "resource": resource, "request": { "method": "PUT", "url": address } });
        let all = transaction([entry]);
        let within = gateway.send("POST", "", &JSON, &all.to_string()).await;
        [alone, within].map(|answer| (answer.status.as_u16(), answer.code().to_owned()))
    };
    let wrong = (400, "fhir-other-id".to_owned());
    for (value, said) in [("1", "zzz"), ("2", "zzz"), ("2", &*id)] {
        assert_eq!(put(value, Some(said)).await, [wrong.clone(), wrong.clone()], "{value} {said}");
    }
    for answer in [put("1", Some(&id)).await, put("1", None).await] {
        assert_eq!(answer.map(|(status, _)| status), [200, 200]);
    }
    assert_eq!(put("2", None).await.map(|(status, _)| status), [201, 200]);
}

/// Shows REQ-FHIR-72: codes are kept for good, so they are few and short.
#[tokio::test(flavor = "multi_thread")]
async fn codes_that_are_long_or_too_many_are_refused() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
    let anna = gateway.create(&patient("Anna")).await.made();
    let cgm = gateway.create(&device("cgm", &anna)).await.made();
    let with = async |codings: Value| {
        let mut reading = glucose(&anna, &cgm, "2024-01-01");
        reading["code"]["coding"] = codings;
        gateway.create(&reading).await
    };
    let many =
        |number: usize| (0..number).map(|code| json!({ "system": "urn:t", "code": format!("c{code}") })).collect();
    for wrong in [
        json!([{ "code": "x".repeat(513) }]),
        json!([{ "system": format!("urn:{}", "x".repeat(509)), "code": "x" }]),
        Value::Array(many(2_000)),
    ] {
        let answer = with(wrong).await;
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "fhir-too-much"), "{answer:?}");
    }
    for good in
        [json!([{ "system": format!("urn:{}", "x".repeat(508)), "code": "x".repeat(512) }]), Value::Array(many(200))]
    {
        with(good).await.made();
    }
    let found = gateway.get("Observation?code=urn:t|c199").await;
    assert_eq!(found.found().len(), 1, "{found:?}");
}

/// Shows REQ-FHIR-60: as `_summary=count`, also with `_since`; and nothing of what is not seen is counted.
#[tokio::test(flavor = "multi_thread")]
async fn a_count_of_zero_is_the_number_alone() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let anna = gateway.create(&patient("Anna")).await.made();
        let cgm = gateway.create(&device("cgm", &anna)).await.made();
        let mut reading = glucose(&anna, &cgm, "2024-01-01");
        let id = gateway.create(&reading).await.made();
        reading["id"] = json!(id);
        gateway.send("PUT", &format!("Observation/{id}"), &JSON, &reading.to_string()).await;
        let narrow = house.device("gw", Role::Gateway).with("system/Patient.rs").await;
        for (path, all, few) in [
            (&*format!("Observation/{id}/_history"), 2, 0),
            ("Observation/_history", 2, 0),
            ("Patient/_history", 1, 1),
            (&format!("Patient/{anna}/$everything"), 3, 1),
        ] {
            let total = async |who: &crate::fixture::Device<'_>, query: &str| {
                let answer = who.get(&format!("{path}?_count=0{query}")).await.body;
                assert!(
                    answer["entry"].is_null() && answer["link"].as_array().is_none_or(|links| links.len() == 1),
                    "{answer:#}"
                );
                answer["total"].as_i64().unwrap_or_default()
            };
            let everything = gateway.get(path).await.body["entry"].as_array().map_or(0, Vec::len);
            // A device's own Provenances are Anna's too.
            assert!(everything >= all, "{path}");
            assert_eq!((total(&gateway, "").await, total(&narrow, "").await), (everything as i64, few), "{path}");
            assert_eq!(total(&gateway, "&_since=2999-01-01T00:00:00Z").await, 0, "{path}");
        }
    }
}

/// Shows REQ-SRCH-39: all identifiers and all codes of a system, and of no other.
#[tokio::test(flavor = "multi_thread")]
async fn all_of_a_system_are_found() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let with = |system: &str, value: &str| json!({ "resourceType": "Patient", "identifier": [{ "system": system, "value": value }] });
        let mut made = Vec::new();
        for (system, value) in
            [("urn:mrn", "1"), ("urn:mrn", "2"), ("urn:x:urn:mrn", "3"), ("urn:mrn:x", "4"), ("URN:MRN", "5")]
        {
            made.push(gateway.create(&with(system, value)).await.made());
        }
        let cgm = gateway.create(&device("cgm", &made[0])).await.made();
        let reading = gateway.create(&glucose(&made[0], &cgm, "2024-01-01")).await.made();
        for (query, expected) in [
            ("Patient?identifier=urn:mrn|".to_owned(), &made[..2]),
            (
                "Patient?identifier=urn:mrn|,urn:mrn:x|4".to_owned(),
                &[made[0].clone(), made[1].clone(), made[3].clone()],
            ),
            ("Patient?identifier=mrn|".to_owned(), &[]),
            ("Patient?identifier:not=urn:mrn|".to_owned(), &made[2..]),
            ("Observation?code=http://loinc.org|".to_owned(), std::slice::from_ref(&reading)),
            ("Observation?code=http://loinc.or|".to_owned(), &[]),
            ("Observation?patient.identifier=urn:mrn|".to_owned(), std::slice::from_ref(&reading)),
            (format!("Observation?patient={}&code=http://loinc.org|", made[0]), std::slice::from_ref(&reading)),
            (format!("Observation?patient={}&code:not=http://loinc.org|", made[0]), &[]),
        ] {
            let mut found = gateway.get(&query).await.found();
            found.sort_unstable();
            let mut expected = expected.to_vec();
            expected.sort_unstable();
            assert_eq!(found, expected, "{query}");
        }
        let none = ("if-none-exist", "identifier=urn:mrn|");
        let refused = gateway.send("POST", "Patient", &[JSON[0], none], &with("a", "b").to_string()).await;
        assert_eq!(refused.code(), "fhir-condition");
    }
}

/// Shows REQ-FHIR-61, REQ-FHIR-62: a name of an entry that is not there is refused where it stands; and a code of a value set is told in
/// words, with those that may stand there if they are few.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_reference_and_no_code_is_told_in_words() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    let mut reading = json!({ "resourceType": "Observation", "status": "finale", "code": { "text": "x" } });
    let (status, code, place, words) = {
        let answer = gateway.create(&reading).await;
        let (status, code, place, words) = told(&answer);
        (status, code.to_owned(), place.to_owned(), words)
    };
    assert_eq!((status, &*code, &*place), (422, "fhir-binding", "Observation.status"));
    assert!(
        words.contains("\"finale\" is not of the value set observation-status") && words.contains("preliminary, final"),
        "{words}"
    );
    reading["status"] = json!("final");
    for name in ["urn:oid:1.2.3.4", "urn:uuid:6a5a8bd2-0000-4000-8000-000000000009"] {
        reading["derivedFrom"] = json!([{ "reference": name }]);
        let refused = gateway.create(&reading).await;
        assert_eq!(
            (told(&refused).1, told(&refused).2),
            ("fhir-reference", "Observation.derivedFrom[0].reference"),
            "{refused:?}"
        );
        let entry = json!({ "resource": reading, "request": { "method": "POST", "url": "Observation" } });
        let named = json!({ "fullUrl": name, "resource": { "resourceType": "Observation", "status": "final", "code": { "text": "y" } },
            "request": { "method": "POST", "url": "Observation" } });
        let bundle = |entries: &[&Value]| transaction(entries.iter().copied().cloned()).to_string();
        assert_eq!(gateway.send("POST", "", &JSON, &bundle(&[&entry])).await.code(), "fhir-reference", "{name}");
        let good = gateway.send("POST", "", &JSON, &bundle(&[&entry, &named])).await;
        assert_eq!(good.status, StatusCode::OK, "{good:?}");
    }
}

/// Shows REQ-FHIR-64: which element a device's own resource lacks.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_is_told_which_element_lacks() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        let (anna, bert) =
            (gateway.create(&patient("Anna")).await.made(), gateway.create(&patient("Bert")).await.made());
        let own = gateway.create(&device("cgm", &anna)).await.made();
        let other = gateway.create(&device("other", &bert)).await.made();
        let cgm = house.device("cgm", Role::Sensor).with("system/Observation.crs").await;
        let good = glucose(&anna, &own, "2024-01-01");
        let without = |names: &[&str]| {
            let mut reading = good.clone();
            names.iter().for_each(|name| drop(reading.as_object_mut().expect("an object").remove(*name)));
            reading
        };
        let mut others = good.clone();
        others["device"] = json!({ "reference": format!("Device/{other}") });
        for (reading, lacks) in [
            (without(&["device"]), vec!["Observation.device"]),
            (without(&["subject"]), vec!["Observation.subject"]),
            (without(&["device", "subject"]), vec!["Observation.device", "Observation.subject"]),
        ] {
            let answer = cgm.create(&reading).await;
            let issues = answer.body["issue"].as_array().expect("issues");
            let places: Vec<_> = issues.iter().filter_map(|issue| issue["expression"][0].as_str()).collect();
            assert_eq!(
                (answer.status, answer.code(), places),
                (StatusCode::FORBIDDEN, "fhir-forbidden", lacks),
                "{answer:?}"
            );
            assert!(told(&answer).3.contains(&format!("Device/{own}")), "{answer:?}");
        }
        // What it may not read is to it as what is not there.
        assert_eq!(cgm.create(&others).await.code(), "fhir-reference");
        assert_eq!(cgm.create(&good).await.status, StatusCode::CREATED);
    }
}

/// Shows REQ-SRCH-42: a parameter that is not served is refused in a condition, whatever is preferred, and nothing else is advised.
#[tokio::test(flavor = "multi_thread")]
async fn a_condition_is_never_lenient() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
    let body = patient("Anna").to_string();
    let lenient = ("prefer", "handling=lenient");
    let wide = "identifier=urn:n|1&colour=red";
    let once = [JSON[0], lenient, ("if-none-exist", wide)];
    for answer in [
        gateway.send("POST", "Patient", &once, &body).await,
        gateway.send("PUT", &format!("Patient?{wide}"), &[JSON[0], lenient], &body).await,
    ] {
        assert_eq!((answer.status, answer.code()), (StatusCode::BAD_REQUEST, "fhir-unknown-parameter"), "{answer:?}");
        assert_eq!(answer.body["issue"][0]["diagnostics"], "leave it out", "{answer:?}");
    }
    let searched = gateway.get(&format!("Patient?{wide}")).await;
    assert_eq!(searched.body["issue"][0]["diagnostics"], "leave it out, or send Prefer: handling=lenient");
    assert_eq!(gateway.get("Patient?_summary=count").await.body["total"], 0);
}

/// Shows REQ-FHIR-65: a page is told why `PATCH` does not work: it may ask, and may read the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_ask_what_is_not_served() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let access = token(&ward.launched(&house.app("public", json!({})).await, &[]).await, "access_token");
    let request = Request::patch(format!("/fhir/Patient/{}", ward.anna)).header("origin", "https://app.example");
    let request = request.header("authorization", format!("Bearer {access}"));
    let told = house.people_json(request, String::new()).await;
    assert_eq!((told.status, told.code()), (StatusCode::METHOD_NOT_ALLOWED, "fhir-not-supported"), "{told:?}");
    assert_eq!(told.header("access-control-allow-origin"), "*");
    let request = Request::builder().method("OPTIONS").uri("/fhir/Patient/x").header("origin", "https://app.example");
    let mut request = request.header("access-control-request-method", "PATCH").body(Body::empty()).expect("a request");
    request.extensions_mut().insert(nobody());
    let answer = house.people.clone().oneshot(request).await.expect("an answer");
    let allowed = answer.headers()["access-control-allow-methods"].to_str().expect("text").to_owned();
    assert!(allowed.split(", ").any(|one| one == "PATCH"), "{allowed}");
}

/// Shows REQ-SRCH-41: each parameter and each kind says what it takes, and in which order there is.
#[tokio::test]
async fn the_capability_statement_says_what_searches_take() {
    let house = House::new();
    let request = Request::get("/fhir/metadata");
    let statement = house.people_json(request, String::new()).await.body;
    let kinds = statement["rest"][0]["resource"].as_array().expect("kinds");
    for kind in kinds {
        let words = kind["documentation"].as_str().unwrap_or_default();
        assert!(words.contains("_count=0"), "{}", kind["type"]);
        for parameter in kind["searchParam"].as_array().expect("parameters") {
            assert!(parameter["documentation"].as_str().is_some_and(|words| words.len() > 10), "{parameter}");
        }
    }
    let observation = kinds.iter().find(|kind| kind["type"] == "Observation").expect("it");
    let words = observation["documentation"].as_str().expect("words");
    assert!(words.contains("_sort is one of _lastUpdated, _id, date,"), "{words}");
    let of = |name: &str| {
        let all = observation["searchParam"].as_array().expect("parameters");
        all.iter().find(|one| one["name"] == name).and_then(|one| one["documentation"].as_str()).expect(name).to_owned()
    };
    assert!(of("code").contains("SYSTEM|") && of("code").ends_with(":missing, :not"), "{}", of("code"));
    assert!(
        of("date").contains("ge, lt, le, sa or eb") && of("date").ends_with(":missing, _sort=date"),
        "{}",
        of("date")
    );
    assert!(of("device").contains("chain device:KIND.PARAMETER"), "{}", of("device"));
}
