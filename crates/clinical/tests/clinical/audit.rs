//! What the audit tells, and to whom.

use crate::fixture::{House, glucose, patient, patients};
use crate::people::token;
use crate::provenance::assert_valid;
use crate::smart::Ward;
use http::{HeaderName, StatusCode};
use medlock_node::accept::{Limits, Terms, serve};
use medlock_node::stop;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// What is read is noted within a tenth of a second: asks until there is what is waited for, ten seconds long.
pub(crate) async fn eventually<T>(what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(began.elapsed() < Duration::from_secs(10), "nothing comes of {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A search that finds as many.
pub(crate) async fn until(count: usize, search: impl AsyncFn() -> Vec<Value>) -> Vec<Value> {
    let enough = async || Some(search().await).filter(|found| found.len() >= count);
    eventually(&format!("a search that finds {count}"), enough).await
}

/// Shows REQ-AUDIT-10, REQ-AUDIT-11, REQ-AUDIT-35, REQ-FHIR-24.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_is_served_as_audit_events() {
    for house in House::both() {
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let [anna, bert] = patients(&gateway, ["Anna", "Bert"]).await;
        let own = gateway.create(&crate::fixture::device("gw", &anna)).await.made();
        let reading = gateway.create(&glucose(&anna, &own, "2024-01-01")).await.made();
        gateway.get(&format!("Observation/{reading}")).await;
        gateway.get("Patient?name=A,B").await;
        gateway.get("Observation/00000000000000000000000000").await;
        let search = async |query: &str| gateway.get(&format!("AuditEvent?{query}")).await.resources();
        let hers = format!("patient={anna}");
        let found = until(5, async || search(&hers).await).await;
        found.iter().for_each(assert_valid);
        let told: Vec<_> = found.iter().map(|event| event["action"].as_str().unwrap_or_default()).collect();
        assert_eq!(told.iter().filter(|action| **action == "C").count(), 3, "{told:?}");
        let read = found.iter().find(|event| event["action"] == "R").expect("the reading");
        assert_eq!(read["subtype"][0]["code"], "read");
        assert_eq!(
            read["meta"]["profile"],
            json!(["https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.PatientRead"])
        );
        assert_eq!(read["entity"][0]["what"]["reference"], format!("Patient/{anna}"));
        assert_eq!(read["entity"][1]["what"]["reference"], format!("Observation/{reading}/_history/1"));
        assert_eq!(read["agent"][0]["who"]["identifier"]["value"], "gw");
        assert_eq!(
            (&read["agent"][0]["requestor"], &read["agent"][0]["network"]["address"]),
            (&json!(true), &json!("127.0.0.1"))
        );
        // One search, an event for each of its patients, and what was asked as it was asked.
        let query = found
            .iter()
            .find(|event| event["action"] == "E" && event["entity"][1]["name"] == "Patient")
            .expect("the search");
        assert_eq!(query["entity"][1]["query"], "bmFtZT1BLEI=");
        let his = gateway.get(&format!("AuditEvent?patient={bert}&action=E")).await.resources();
        assert!(his.iter().all(|event| event["entity"][0]["what"]["reference"] == format!("Patient/{bert}")));
        assert!(!his.is_empty());
        // What was refused says why, and follows no pattern of what was done.
        let refused = until(1, async || search("outcome=4").await).await;
        assert_eq!((refused.len(), &refused[0]["outcomeDesc"]), (1, &json!("fhir-not-found")));
        assert!(refused[0]["meta"].is_null());
        refused.iter().for_each(assert_valid);
        let by_device = search(&format!("agent=Device/{own}&action=C")).await;
        assert_eq!(by_device.len(), 4, "{by_device:#?}");
        assert_eq!(search(&format!("agent=Patient/{anna}")).await.len(), 0);
        assert_eq!(search("date=lt2000").await.len(), 0);
        assert!(search("date=ge2000&action=C").await.len() >= 4);
        // Each has a name, pages go on behind one another, and nothing is searched otherwise.
        for event in &found {
            let id = event["id"].as_str().expect("an id");
            assert_eq!(gateway.get(&format!("AuditEvent/{id}")).await.body, *event);
        }
        let (mut address, mut paged) = ("AuditEvent?action=C&_count=3".to_owned(), Vec::new());
        for _ in 0..3 {
            let page = gateway.get(&address).await;
            paged.extend(page.resources());
            let links = page.body["link"].as_array().expect("links").clone();
            let next = links.iter().find(|link| link["relation"] == "next").and_then(|link| link["url"].as_str());
            address =
                next.and_then(|next| next.split_once("/fhir/")).map(|(_, path)| path.to_owned()).unwrap_or_default();
            if address.is_empty() {
                break;
            }
        }
        assert_eq!(paged, search("action=C").await);
        for count in ["_count=0", "_summary=count"] {
            let told = gateway.get(&format!("AuditEvent?action=C&{count}")).await.body;
            assert_eq!(
                (&told["total"], &told["entry"]),
                (&json!(search("action=C").await.len()), &Value::Null),
                "{told:#}"
            );
        }
        assert_eq!(search("action=http://hl7.org/fhir/audit-event-action|C").await, search("action=C").await);
        for no in [
            "type=rest",
            "_total=accurate",
            "_sort=date",
            "address=x",
            "patient=x&patient=y",
            "action=http://hl7.org/fhir/audit-event-action|",
            "outcome=urn:other|4",
        ] {
            assert_eq!(gateway.get(&format!("AuditEvent?{no}")).await.code(), "fhir-unknown-parameter", "{no}");
        }
        assert_eq!(gateway.get("AuditEvent/_history").await.code(), "fhir-not-supported");
        assert_eq!(gateway.get("AuditEvent/0").await.code(), "fhir-not-found");
        assert_eq!(gateway.get("AuditEvent/x").await.code(), "fhir-not-found");
        let event = json!({ "resourceType": "AuditEvent" });
        assert_eq!(gateway.create(&event).await.code(), "fhir-not-supported");
        assert_eq!(gateway.get("Patient?_has:AuditEvent:patient:action=R").await.code(), "fhir-unknown-parameter");
    }
}

/// Shows REQ-AUDIT-12: a patient sees who looked at her own data, and nothing of others.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_sees_who_looked_at_her_data() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    let access = token(&ward.launched(&app, &[]).await, "access_token");
    let gateway = house.device("gw", Role::Gateway).with("system/*.rs").await;
    gateway.get("Patient?name=Anna,Bert").await;
    assert_eq!(house.read(&access, &format!("Observation/{}", ward.reading)).await.status, StatusCode::OK);
    let by_her = |event: &&Value| event["action"] == "R" && event["agent"][2].is_object();
    let by_others = |event: &&Value| event["action"] == "E" && event["agent"][0]["who"]["identifier"]["value"] == "gw";
    let found = until(5, async || {
        let all = house.read(&access, "AuditEvent").await.resources();
        if all.iter().any(|one| by_her(&one)) && all.iter().any(|one| by_others(&one)) { all } else { Vec::new() }
    })
    .await;
    found.iter().for_each(assert_valid);
    assert!(!found.is_empty());
    for event in &found {
        assert_eq!(event["entity"][0]["what"]["reference"], format!("Patient/{}", ward.anna), "{event:#}");
        assert!(!event.to_string().contains(&ward.bert));
        assert!(event["entity"][1]["query"].is_null(), "what was searched for may name others");
    }
    let own = found.iter().find(by_her).expect("her own reading");
    assert_eq!(own["agent"][2]["who"]["reference"], format!("Patient/{}", ward.anna));
    assert_eq!((&own["agent"][2]["requestor"], &own["agent"][0]["requestor"]), (&json!(true), &json!(false)));
    // The other half of an entry that is hers too.
    let shared = found.iter().find(by_others).expect("a search");
    let (seq, place) = shared["id"].as_str().and_then(|id| id.split_once('-')).expect("a name");
    let other = format!("AuditEvent/{seq}-{}", if place == "0" { "1" } else { "0" });
    assert_eq!(house.read(&access, &other).await.code(), "fhir-not-found");
    assert_eq!(house.read(&access, &format!("AuditEvent?patient={}", ward.bert)).await.resources().len(), 0);
}

/// The code of the sort of an event.
fn sort_of(event: &Value) -> &str {
    event["subtype"][0]["code"].as_str().unwrap_or_default()
}

/// Shows REQ-AUDIT-31: that somebody signed in with a code, and what they let an app have, is in the audit; REQ-AUDIT-33: which names the
/// app as people are shown it.
#[tokio::test(flavor = "multi_thread")]
async fn who_signs_in_and_agrees_is_noted() {
    for house in House::both() {
        let ward = Ward::at(house).await;
        let house = &ward.house;
        let app = house.app("public", json!({})).await;
        let access = token(&ward.launched(&app, &[]).await, "access_token");
        // With the answer: it is one act with the sign-in, and with what was granted.
        let found = house.read(&access, "AuditEvent?action=E").await.resources();
        found.iter().for_each(assert_valid);
        let [agreed, came] = ["110137", "110122"].map(|sort| {
            let mut of = found.iter().filter(|event| sort_of(event) == sort);
            let one = of.next().unwrap_or_else(|| panic!("{sort}: {found:#?}")).clone();
            assert!(of.next().is_none(), "{sort}: {found:#?}");
            one
        });
        for event in [&came, &agreed] {
            assert_eq!(event["agent"][2]["who"]["reference"], format!("Patient/{}", ward.anna));
            assert_eq!(event["entity"][0]["what"]["reference"], format!("Patient/{}", ward.anna));
            let who = &event["agent"][0]["who"];
            assert_eq!((&who["identifier"]["value"], &who["display"]), (&json!(app.id), &json!("Sugar & Co")));
            assert_eq!(event["agent"][0]["network"]["address"], "127.0.0.1");
            assert!(event["meta"].is_null(), "no pattern is of that");
        }
        assert_eq!((&came["type"]["code"], &came["entity"][1]["name"]), (&json!("110114"), &json!("setup code")));
        let detail = agreed["entity"][1]["detail"][0]["valueString"].as_str().unwrap_or_default();
        let mut scopes: Vec<&str> = detail.split(' ').collect();
        scopes.sort_unstable();
        assert_eq!(scopes, ["fhirUser", "launch/patient", "offline_access", "openid", "patient/*.rs"]);
        // By the number of what was granted, which her app's own reading has too.
        let read = |event: &&Value| event["action"] == "R" && event["agent"][2].is_object();
        house.read(&access, &format!("Observation/{}", ward.reading)).await;
        let all = until(1, async || {
            house.read(&access, "AuditEvent").await.resources().into_iter().filter(|event| read(&event)).collect()
        });
        assert_eq!(agreed["agent"][0]["policy"], all.await[0]["agent"][0]["policy"]);
        // Software that is removed keeps its name there; what was refused at the page is no sign-in.
        house.administer(json!({ "verb": "remove-client", "id": app.id })).await;
        let other = house.app("public", json!({})).await;
        let mut browser = crate::people::Browser::new(house);
        let page = browser.authorize(&crate::people::query(&other.id, &[])).await;
        assert_eq!(browser.try_code(&page, ("anna", "AAAA-AAAA-AAAA")).await.status, StatusCode::FORBIDDEN);
        let gateway = house.device("gw3", Role::Gateway).with("system/*.rs").await;
        let later = gateway.get(&format!("AuditEvent?patient={}&action=E", ward.anna)).await.resources();
        for event in [&agreed, &came] {
            let mut of = later.iter().filter(|other| sort_of(other) == sort_of(event));
            let (one, more) = (of.next().expect("the same event"), of.next());
            assert_eq!((&one["id"], &one["agent"][0], more), (&event["id"], &event["agent"][0], None));
        }
    }
}

/// Shows REQ-RUN-79: by the address that the server in front tells, in the audit too.
#[tokio::test(flavor = "multi_thread")]
async fn who_comes_by_a_server_in_front_is_noted_by_the_address_that_it_tells() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let access = token(&ward.launched(&house.app("public", json!({})).await, &[]).await, "access_token");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let mut stream = TcpStream::connect(listener.local_addr().expect("its address")).await.expect("connected");
    let forwarded = Some(HeaderName::from_static("x-forwarded-for"));
    let terms = Terms { forwarded, ..Terms::from(Limits::default()) };
    let (_stopper, stop) = stop::channel();
    tokio::spawn(serve(listener, None, terms, house.people.clone(), stop));
    let reading = format!("Observation/{}", ward.reading);
    let request = format!(
        "GET /fhir/{reading} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {access}\r\n\
         x-forwarded-for: 192.0.2.1, 198.51.100.7\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("answered");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let of_it = |event: &Value| event["entity"][1]["what"]["reference"] == format!("{reading}/_history/1");
    let found = until(1, async || {
        house.read(&access, "AuditEvent?action=R").await.resources().into_iter().filter(&of_it).collect()
    });
    assert_eq!(found.await[0]["agent"][0]["network"]["address"], "198.51.100.7");
}

/// Shows REQ-AUDIT-42: with all its scopes, and what each asks of resources, however long that is.
#[tokio::test(flavor = "multi_thread")]
async fn an_agreement_is_noted_with_all_its_scopes() {
    for house in House::both() {
        let ward = Ward::at(house).await;
        let house = &ward.house;
        let category = "http://terminology.hl7.org/CodeSystem/observation-category";
        let part = |code: &str| format!("patient/Observation.rs?category={category}|{code}");
        let parts = ["laboratory", "vital-signs", "survey", "imaging", "procedure", "exam"].map(part).join(" ");
        let scopes = format!("launch/patient {parts} patient/AuditEvent.rs patient/Patient.cruds");
        let app = house.app("public", json!({ "scopes": scopes })).await;
        let given = ward.launched(&app, &[("scope", &scopes)]).await;
        let found = house.read(&token(&given, "access_token"), "AuditEvent?action=E").await.resources();
        let agreed = found.iter().find(|event| sort_of(event) == "110137").expect("the agreement");
        assert_eq!(agreed["entity"][1]["detail"][0]["valueString"], given.body["scope"]);
        assert!(given.body["scope"].as_str().is_some_and(|given| given.ends_with("patient/Patient.rus")), "{given:?}");
    }
}

/// Shows REQ-AUDIT-14: an administrator verifies it, also against a state that was told before.
#[tokio::test(flavor = "multi_thread")]
async fn an_administrator_verifies_the_audit() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    gateway.create(&patient("Anna")).await.made();
    let told = house.administer(json!({ "verb": "verify-audit" })).await.body;
    assert_eq!((&told["answer"], told["broken"].is_null()), (&json!("audit"), true), "{told}");
    gateway.create(&patient("Bert")).await.made();
    let known = json!([told["entries"], told["hash"]]);
    let later = house.administer(json!({ "verb": "verify-audit", "known": known })).await.body;
    assert!(later["broken"].is_null() && later["entries"].as_u64() > told["entries"].as_u64(), "{later}");
    let other = json!([told["entries"], later["hash"]]);
    let broken = house.administer(json!({ "verb": "verify-audit", "known": other })).await.body;
    assert!(broken["broken"].as_str().is_some_and(|text| text.contains("removed")), "{broken}");
    let wrong = house.administer(json!({ "verb": "verify-audit", "known": [1, "x"] })).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
}
