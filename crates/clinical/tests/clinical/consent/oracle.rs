//! A row that a consent hides is as one that is not there, whatever is asked; and what a withdrawal does.

use super::{Ward, anna, doctor, secret};
use crate::fixture::{Answer, House, PUBLIC, on_server, transaction};
use crate::people::{Browser, query};
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Nobody has this one.
const NOBODY: &str = "00000000000000000000000000";

fn ids(answer: &Answer) -> Vec<String> {
    answer.resources().iter().filter_map(|one| one["id"].as_str()).map(str::to_owned).collect()
}

/// Shows REQ-CONS-01: read, vread, history, search, chains, `_has`, includes, totals, order, pages, `$everything`.
#[tokio::test(flavor = "multi_thread")]
async fn a_denied_row_is_as_one_that_is_not_there() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        assert_eq!(doctor.sees(&ward).await, ["sugar", "secret", "panel", "other"]);
        let denial = ward.consent(json!([{ "type": "deny", "code": secret() }]));
        let consent = anna.create(&denial).await.made();
        let hidden = ward.reading("secret");
        for path in ["", "/_history", "/_history/1"] {
            let (there, nowhere) = (
                doctor.get(&format!("Observation/{hidden}{path}")).await,
                doctor.get(&format!("Observation/{NOBODY}{path}")).await,
            );
            assert_eq!((there.status, &there.body), (StatusCode::NOT_FOUND, &nowhere.body), "{path}");
        }
        for query in [
            format!("Observation?_id={hidden}"),
            "Observation?code=secret".to_owned(),
            "Observation?identifier=urn:s|secret".to_owned(),
            "Observation?value-string=zzz".to_owned(),
            "Observation?date=2024-03".to_owned(),
            "Observation?has-member.code=secret".to_owned(),
            "Patient?_has:Observation:patient:code=secret".to_owned(),
            format!("Observation?_id={}&_has:Observation:has-member:code=secret", ward.reading("sugar")),
        ] {
            assert_eq!(doctor.get(&query).await.found(), [] as [&str; 0], "{query}");
        }
        let seen = ["sugar", "panel", "other"];
        for query in ["", "?_sort=date", "?_sort=-_lastUpdated", "?_sort=_id", "?code:not=x", "?status=final"] {
            let found = doctor.get(&format!("Observation{query}")).await.found();
            assert_eq!(ward.names(&found), seen, "{query}");
        }
        for query in ["_total=accurate", "_summary=count"] {
            assert_eq!(doctor.get(&format!("Observation?{query}")).await.body["total"], 3, "{query}");
        }
        let include = format!("Observation?_id={}&_include=Observation:has-member", ward.reading("panel"));
        assert_eq!(ids(&doctor.get(&include).await), [ward.reading("panel")]);
        let reverse = ids(&doctor.get(&format!("Patient?_id={}&_revinclude=Observation:patient", ward.anna)).await);
        assert_eq!(ward.names(&reverse), ["sugar", "panel"]);
        let mut address = "Observation?_count=1&_sort=date".to_owned();
        let mut pages = Vec::new();
        while !address.is_empty() {
            let page = doctor.get(&address).await;
            pages.push(page.found());
            let links = page.body["link"].as_array().cloned().unwrap_or_default();
            let next = links.iter().find(|link| link["relation"] == "next").and_then(|link| link["url"].as_str());
            address =
                next.and_then(|next| next.strip_prefix(&format!("{PUBLIC}/fhir/"))).unwrap_or_default().to_owned();
        }
        assert!(pages.len() == 3 && pages.iter().all(|page| page.len() == 1), "{pages:?}");
        for path in ["Observation/_history", "_history"] {
            assert_eq!(ward.names(&ids(&doctor.get(path).await)), seen, "{path}");
        }
        assert_eq!(
            ward.names(&ids(&doctor.get(&format!("Patient/{}/$everything", ward.anna)).await)),
            ["sugar", "panel"]
        );
        // Whoever is not named by it, is: it names nobody. It is taken back, and has ended with the answer.
        assert_eq!(anna.sees(&ward).await, ["sugar", "panel"]);
        let mut ended = denial.clone();
        (ended["id"], ended["status"]) = (json!(consent), json!("inactive"));
        assert_eq!(anna.send("PUT", &format!("Consent/{consent}"), &[], &ended).await.status, StatusCode::OK);
        assert_eq!(doctor.sees(&ward).await.len(), 4);
        // A new version is in force, and one that is deleted is not.
        (ended["id"], ended["status"]) = (json!(consent), json!("active"));
        anna.send("PUT", &format!("Consent/{consent}"), &[], &ended).await;
        assert_eq!(doctor.sees(&ward).await, seen);
        assert_eq!(
            anna.send("DELETE", &format!("Consent/{consent}"), &[], &Value::Null).await.status,
            StatusCode::NO_CONTENT
        );
        assert_eq!(doctor.sees(&ward).await.len(), 4);
    }
}

/// Shows REQ-SRCH-37: of a version that may not be seen, it is not told where it came from either.
#[tokio::test(flavor = "multi_thread")]
async fn where_a_hidden_version_came_from_is_not_found() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let sugar = ward.reading("sugar");
        let at = format!("Observation/{sugar}");
        let mut changed = doctor.get(&at).await.body;
        changed["note"] = json!([{ "text": "looks high" }]);
        assert_eq!(doctor.send("PUT", &at, &[], &changed).await.status, StatusCode::OK);
        // By the target itself, with the reading, and by what looks for readings.
        let found = async |version: &str| {
            let found = doctor.get(&format!("Provenance?target={at}{version}")).await.found().len();
            let with = ids(&doctor.get(&format!("Observation?_id={sugar}&_revinclude=Provenance:target")).await);
            let has = format!("Observation?_id={sugar}&_has:Provenance:target:agent-type=assembler");
            let chain = format!("Provenance?target:Observation._id={sugar}");
            (found, with.len(), doctor.get(&has).await.found().len(), doctor.get(&chain).await.found().len())
        };
        assert_eq!((found("").await, found("/_history/1").await.0, found("/_history/2").await.0), ((1, 2, 1, 1), 1, 0));
        // What a version before was, is not known: a code that is denied hides all of them.
        anna.create(&ward.consent(json!([{ "type": "deny", "code": secret() }]))).await.made();
        assert_eq!(doctor.get(&format!("{at}/_history/1")).await.status, StatusCode::NOT_FOUND);
        for version in ["", "/_history/1", "/_history/2"] {
            assert_eq!(found(version).await, (0, 1, 0, 0), "{version}");
        }
    }
}

/// The page on which somebody of the staff chooses a patient.
async fn choice(house: &House, scopes: &str) -> String {
    let code = house.code("doe").await;
    let app = house.app("public", json!({ "scopes": scopes })).await;
    Browser::new(house).sign_in(&query(&app.id, &[("scope", scopes)]), ("doe", &code)).await.text
}

/// Shows REQ-CONS-17: whom a consent hides is not among the patients whose data an app may be opened for.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_who_is_hidden_is_not_chosen() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let scopes = "launch/patient patient/*.rs";
    let before = choice(&house, scopes).await;
    assert!(before.contains("Anna") && before.contains("Bert"));
    anna(&house).await.create(&ward.consent(json!([{ "type": "deny" }]))).await.made();
    let after = choice(&house, scopes).await;
    assert!(!after.contains("Anna") && after.contains("Bert"));
}

/// Shows REQ-CONS-21: whom a consent hides is named on no page of sign-in, also where an app was opened for them, and is not chosen by
/// identifier; nor does a patient read another's name there.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_sign_in_name_nobody_who_is_hidden() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let scopes = "launch launch/patient patient/*.rs";
    let app = house.app("public", json!({ "scopes": scopes })).await;
    let opened = async |name: &str| {
        let asked =
            json!({ "verb": "launch", "client": app.id, "patient": format!("Patient/{}", ward.anna), "context": {} });
        let told = house.administer(asked).await;
        let launch = told.body["launch"].as_str().expect("a launch").to_owned();
        let asked = query(&app.id, &[("scope", "launch patient/*.rs"), ("launch", &launch)]);
        Browser::new(&house).sign_in(&asked, (name, &house.code(name).await)).await.text
    };
    house.account("bert", &format!("Patient/{}", ward.bert)).await;
    assert!(opened("doe").await.contains("opened for <strong>Anna"));
    assert!(opened("anna").await.contains("opened for <strong>Anna"));
    assert!(!opened("bert").await.contains("Anna"));
    anna(&house).await.create(&ward.consent(json!([{ "type": "deny" }]))).await.made();
    let page = opened("doe").await;
    assert!(page.contains("a patient whose name you may not see") && !page.contains("Anna"), "{page}");
    assert!(opened("anna").await.contains("opened for <strong>Anna"), "she sees her own name");
    let mut browser = Browser::new(&house);
    let asked = query(&app.id, &[("scope", "launch/patient patient/*.rs")]);
    let page = browser.sign_in(&asked, ("doe", &house.code("doe").await)).await;
    let refused = browser.allow(&page, &[("patient", &ward.anna)]).await;
    assert!(refused.text.contains("This patient is not here."), "{refused:?}");
}

/// Shows REQ-AUDIT-15: whom a page of sign-in names to somebody of the staff, the audit names, with what was looked for.
#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_sign_in_are_audited() {
    let house = House::new();
    let ward = Ward::new(&house).await;
    let doctor = doctor(&house).await;
    let app = house.app("public", json!({ "scopes": "launch/patient patient/*.rs" })).await;
    let code = house.code("doe").await;
    let asked = query(&app.id, &[("scope", "launch/patient patient/*.rs"), ("find", "Ann")]);
    let page = Browser::new(&house).sign_in(&asked, ("doe", &code)).await;
    assert!(page.text.contains("Anna") && !page.text.contains("Bert"));
    let looked = data_encoding::BASE64.encode(b"find=Ann");
    let noted = async |patient: &str| {
        let events = doctor.get(&format!("AuditEvent?patient={patient}&_count=1000")).await;
        events.body.to_string().contains(&looked)
    };
    // What is shown is noted within a tenth of a second.
    let began = Instant::now();
    while !noted(&ward.anna).await {
        assert!(began.elapsed() < Duration::from_secs(10), "it is not noted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!noted(&ward.bert).await);
}

/// Shows REQ-CONS-02: references, conditions, updates and deletes find nothing of it, alone and in a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_writes_tells_of_a_denied_row() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        anna.create(&ward.consent(json!([{ "type": "deny", "code": secret() }]))).await.made();
        let hidden = ward.reading("secret");
        let naming = |id: &str| {
            json!({
                "resourceType": "Observation", "status": "final", "code": { "text": "x" },
                "subject": { "reference": format!("Patient/{}", ward.anna) },
                "derivedFrom": [{ "reference": format!("Observation/{id}") }],
            })
        };
        let bundle = |resource: Value| {
            transaction([json!({ "resource": resource, "request": { "method": "POST", "url": "Observation" } })])
        };
        let (there, nowhere) = (doctor.create(&naming(hidden)).await, doctor.create(&naming(NOBODY)).await);
        assert_eq!((there.status, &there.body), (StatusCode::UNPROCESSABLE_ENTITY, &nowhere.body));
        let (there, nowhere) = (
            doctor.send("POST", "", &[], &bundle(naming(hidden))).await,
            doctor.send("POST", "", &[], &bundle(naming(NOBODY))).await,
        );
        assert_eq!((there.status, &there.body), (StatusCode::UNPROCESSABLE_ENTITY, &nowhere.body));
        let mut change = naming(ward.reading("sugar"));
        change["id"] = json!(hidden);
        let there = doctor.send("PUT", &format!("Observation/{hidden}"), &[], &change).await;
        change["id"] = json!(NOBODY);
        let nowhere = doctor.send("PUT", &format!("Observation/{NOBODY}"), &[], &change).await;
        assert_eq!((there.status, &there.body), (StatusCode::NOT_FOUND, &nowhere.body));
        let deleted = doctor.send("DELETE", &format!("Observation/{hidden}"), &[], &Value::Null).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT, "what is not there need not be deleted");
        let mut new = naming(ward.reading("sugar"));
        new["identifier"] = json!([{ "system": "urn:s", "value": "secret" }]);
        let header = [("if-none-exist", "identifier=urn:s|secret")];
        assert_eq!(doctor.send("POST", "Observation", &header, &new).await.status, StatusCode::CREATED);
        let gateway = house.device("gw", Role::Gateway).with("system/*.rs").await;
        assert_eq!(gateway.get(&format!("Observation/{hidden}")).await.status, StatusCode::OK, "it is there");
        // What is denied is not made by who is denied it.
        new["code"] = secret()[0].clone();
        let made = doctor.create(&new).await;
        assert_eq!((made.status, made.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"));
    }
}

/// Shows REQ-CONS-03: a version that is past is hidden wherever one of today's codes could be: what it said is not known.
#[tokio::test(flavor = "multi_thread")]
async fn a_past_version_tells_nothing_that_is_denied() {
    for house in House::both() {
        let ward = Ward::new(&house).await;
        let (anna, doctor) = (anna(&house).await, doctor(&house).await);
        let hidden = ward.reading("secret");
        let path = format!("Observation/{hidden}");
        let mut harmless = doctor.get(&path).await.body;
        harmless["code"] = json!({ "coding": [{ "system": "urn:t", "code": "harmless" }] });
        assert_eq!(doctor.send("PUT", &path, &[], &harmless).await.status, StatusCode::OK);
        assert_eq!(doctor.get(&format!("{path}/_history/1")).await.status, StatusCode::OK);
        anna.create(&ward.consent(json!([{ "type": "deny", "code": secret() }]))).await.made();
        assert_eq!(doctor.get(&path).await.status, StatusCode::OK);
        assert_eq!(doctor.get(&format!("{path}/_history/2")).await.status, StatusCode::OK);
        assert_eq!(doctor.get(&format!("{path}/_history/1")).await.status, StatusCode::NOT_FOUND);
        for path in [format!("{path}/_history"), "Observation/_history".to_owned()] {
            let told = doctor.get(&path).await.body.to_string();
            assert!(told.contains("harmless") && !told.contains("\"secret\"}]}"), "{told}");
        }
    }
}

/// Shows REQ-CONS-04: what is denied or taken back at one hub of a store is so at another one, for tokens that are live there.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_is_felt_at_all_hubs_at_once() {
    let place = on_server();
    let (here, there) = (House::at(Some(place.clone())), House::at(Some(place)));
    let ward = Ward::new(&here).await;
    let (anna, doctor) = (anna(&here).await, doctor(&there).await);
    assert_eq!(doctor.sees(&ward).await.len(), 4);
    let mut denial = ward.consent(json!([{ "type": "deny" }]));
    let consent = anna.create(&denial).await.made();
    assert_eq!(doctor.sees(&ward).await, ["other"]);
    (denial["id"], denial["status"]) = (json!(consent), json!("inactive"));
    anna.send("PUT", &format!("Consent/{consent}"), &[], &denial).await;
    assert_eq!(doctor.sees(&ward).await.len(), 4);
}
