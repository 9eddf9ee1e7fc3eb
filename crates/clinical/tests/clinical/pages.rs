//! The pages on which people sign in, choose and agree: what they say, and what they ask.

use crate::fixture::{House, patient};
use crate::people::{App, Browser, Page, query};
use crate::smart::Ward;
use http::StatusCode;
use medlock_trust::Role;
use serde_json::{Value, json};

const OF_PATIENT: &str = "launch/patient patient/*.rs";

/// A doctor's code, and an app that needs a patient.
async fn doctor(house: &House) -> (String, App) {
    let (_, code) = house.doctor().await;
    (code, house.app("public", json!({ "scopes": OF_PATIENT })).await)
}

/// The lines among which one chooses: each resource's name, and what stands beside it.
fn lines(page: &Page) -> Vec<(String, String)> {
    let each = page.text.split("name=\"patient\" value=\"").skip(1);
    let line = |rest: &str| {
        let (id, rest) = rest.split_once('"').expect("a value");
        let (_, rest) = rest.split_once("<span>").expect("a line");
        (id.to_owned(), rest.split_once("</span>").expect("its end").0.to_owned())
    };
    each.map(line).collect()
}

fn words(page: &Page) -> Vec<String> {
    lines(page).into_iter().map(|(_, words)| words).collect()
}

/// Shows REQ-SMART-200: where of what was asked of data nothing is left, the app is told what is not served, and nobody is asked for
/// nothing; who wants to know who somebody is, is understood whatever else stands there.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_asked_for_nothing() {
    let ward = Ward::new().await;
    let app = ward.house.app("public", json!({})).await;
    let mut browser = Browser::new(&ward.house);
    browser.sign_in(&query(&app.id, &[]), ("anna", &ward.code)).await;
    for (scope, said) in [
        ("launch/patient patient/Observation.sr", ": patient/Observation.sr"),
        ("launch/patient patient/Encounter.rs", ": patient/Encounter.rs"),
        ("launch/patient launch/encounter foo", ": launch/encounter foo"),
        ("openid fhirUser launch/patient patient/Observation.sr", ": patient/Observation.sr"),
        ("openid user/*.rs", ": user/*.rs"),
        ("launch/patient patient/Übung\"\\.rs", ": patient/?bung'/.rs"),
        ("launch/patient", "such as patient/Observation.rs"),
        ("fhirUser offline_access", "such as patient/Observation.rs"),
    ] {
        let sent = browser.authorize(&query(&app.id, &[("scope", scope)])).await;
        let (error, text) = (sent.parameter("error"), sent.parameter("error_description"));
        assert!(error == "invalid_scope" && text.ends_with(said), "{scope}: {error}: {text}");
    }
    for (scope, asked) in [
        ("launch/patient patient/Observation.rs foo", "read glucose readings"),
        ("openid profile email", "know that it is you"),
        ("openid fhirUser launch/patient", "know that it is you"),
    ] {
        let page = browser.authorize(&query(&app.id, &[("scope", scope)])).await;
        assert!(page.status == StatusCode::OK && page.text.contains(asked), "{scope}: {page:?}");
    }
}

/// Shows REQ-SMART-201: people of the same name are told apart by birth date and by the hospital's number, or any where it is not said
/// which that is; where both are the same, by the name of the resource.
#[tokio::test(flavor = "multi_thread")]
async fn namesakes_are_told_apart() {
    for (system, numbers) in [(None, ["K-1", "4712"]), (Some("urn:mrn"), ["4711", "4712"])] {
        let house = House::with(None, |config| config.patient_system = system.map(str::to_owned));
        let (code, app) = doctor(&house).await;
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let anna = |more: Value| {
            let mut anna = json!({ "resourceType": "Patient", "name": [{ "given": ["Anna"], "family": "Meier" }] });
            anna.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
            anna
        };
        let insured = json!({ "use": "old", "system": "urn:old", "value": "99" });
        let insured = [insured, json!({ "system": "urn:insurer", "value": "K-1" })];
        let number = |number: &str| json!({ "system": "urn:mrn", "value": number });
        let first = [&insured[..], &[number("4711")]].concat();
        let mut made = Vec::new();
        for more in [
            json!({ "identifier": first }),
            json!({ "identifier": [number("4712")], "birthDate": "1980-01-31" }),
            json!({}),
            json!({}),
        ] {
            made.push(gateway.create(&anna(more)).await.made());
        }
        let page = Browser::new(&house).sign_in(&query(&app.id, &[("scope", OF_PATIENT)]), ("doe", &code)).await;
        let mut told = lines(&page);
        told.sort_by_key(|(id, _)| made.iter().position(|one| one == id));
        let expected = [
            format!("Anna Meier, {}", numbers[0]),
            format!("Anna Meier, born 1980-01-31, {}", numbers[1]),
            format!("Anna Meier, {}", made[2]),
            format!("Anna Meier, {}", made[3]),
        ];
        assert_eq!(told.into_iter().map(|(_, words)| words).collect::<Vec<_>>(), expected);
        assert!(!page.text.contains("there are more"));
    }
}

/// Shows REQ-SMART-202: a patient is found by any part of the name, the birth date, a number, and by what the page shows of them; and the
/// page says that it does not show all.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_is_found_by_what_one_knows() {
    for house in House::both() {
        let (code, app) = doctor(&house).await;
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        for (given, number, born) in [("Same", "4711", "1980-01-31"), ("Other", "AB 12", "1980-02-01")] {
            let twin = json!({
                "resourceType": "Patient", "name": [{ "given": [given], "family": "Twin" }], "birthDate": born,
                "identifier": [{ "system": "urn:mrn", "value": number }],
            });
            gateway.create(&twin).await.made();
        }
        gateway.create(&json!({ "resourceType": "Patient", "name": [{ "text": "Dr. Only Text" }] })).await.made();
        for number in 0..101 {
            gateway.create(&patient(&format!("Crowd {number}"))).await.made();
        }
        let asked = [("scope", OF_PATIENT)];
        let mut browser = Browser::new(&house);
        let page = browser.sign_in(&query(&app.id, &asked), ("doe", &code)).await;
        assert!(page.text.contains("These are 100, and there are more."), "{page:?}");
        assert!(lines(&page).len() == 100 && !page.text.contains("Twin"));
        let (same, other) = ("Same Twin, born 1980-01-31, 4711", "Other Twin, born 1980-02-01, AB 12");
        for (find, found) in [
            ("Twin", &[same, other][..]),
            ("Same Twin", &[same]),
            ("twin same", &[same]),
            (same, &[same]),
            ("4711", &[same]),
            ("AB 12", &[other]),
            ("1980-02-01", &[other]),
            ("1980", &[same, other]),
            ("Twin 1980-01", &[same]),
            ("born 1980-01-31", &[same]),
            ("Twin, 4711", &[same]),
            ("Dr. Only Text", &["Dr. Only Text"]),
            ("Same Twin 1980-02-01", &[]),
            ("471", &[]),
        ] {
            let page = browser.authorize(&query(&app.id, &[asked[0], ("find", find)])).await;
            let mut told = words(&page);
            told.sort_unstable_by_key(|told| found.iter().position(|one| one == told));
            assert_eq!(told, found, "{find}");
            assert!(!page.text.contains("there are more"), "{find}");
            assert_eq!(page.text.contains("There is no such patient here"), found.is_empty(), "{find}");
        }
        let page = browser.authorize(&query(&app.id, &[asked[0], ("find", "crowd")])).await;
        assert!(page.text.contains("These are 100, and there are more."), "{page:?}");
    }
}

/// Shows REQ-SMART-204: an app that wants somebody to sign in for its question, or not long ago, gets that, however short ago anybody
/// did; and who has signed in for it is not asked twice.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_to_sign_in_anew_is_asked_anew() {
    let ward = Ward::new().await;
    let (house, app) = (&ward.house, ward.house.app("public", json!({})).await);
    let asks = |page: &Page| page.text.contains("asks for your agreement");
    let mut browser = Browser::new(house);
    assert!(asks(&browser.sign_in(&query(&app.id, &[]), ("anna", &ward.code)).await));
    for change in [("prompt", "login"), ("prompt", "login consent"), ("max_age", "0")] {
        let question = query(&app.id, &[change]);
        // The same browser a moment later.
        let page = browser.authorize(&question).await;
        assert!(page.text.contains("Sign in") && !asks(&page), "{change:?}: {page:?}");
        let sent = browser.try_code(&page, ("anna", &house.code("anna").await)).await;
        let back = sent.ours().to_owned();
        let page = browser.get(&back).await;
        assert!(asks(&page) && asks(&browser.get(&back).await), "{change:?}: {page:?}");
        assert!(!browser.allow(&page, &[]).await.parameter("code").is_empty());
        // That counts for this question alone, this session, and some minutes.
        for other in
            [question.clone(), back.replace("state-of-this-test", "another-state"), back.replace("nonce-1", "n")]
        {
            let other = other.strip_prefix("/auth/authorize?").unwrap_or(&other).to_owned();
            let page = browser.authorize(&other).await;
            assert!(page.text.contains("Sign in") && !asks(&page), "{change:?}, {other}: {page:?}");
        }
        let mut twin = Browser::new(house);
        assert!(asks(&twin.sign_in(&query(&app.id, &[]), ("anna", &house.code("anna").await)).await));
        assert!(!asks(&twin.get(&back).await), "{change:?}: the ticket of another session");
        let page = browser.get(&back).await;
        house.site.clock.advance(15 * 60);
        assert!(!asks(&browser.get(&back).await), "{change:?}: it is too long ago");
        assert_eq!(browser.allow(&page, &[]).await.status, StatusCode::BAD_REQUEST, "so is its page");
        // Whoever signs in again on the way that was opened before is not asked with two such parameters.
        let page = browser
            .sign_in(back.strip_prefix("/auth/authorize?").expect("a question"), ("anna", &house.code("anna").await))
            .await;
        assert!(asks(&page), "{change:?}: {page:?}");
    }
    // Young enough is young enough.
    let (young, silent) =
        (query(&app.id, &[("max_age", "60")]), query(&app.id, &[("max_age", "60"), ("prompt", "none")]));
    assert!(asks(&browser.authorize(&young).await));
    house.site.clock.advance(60);
    assert!(!asks(&browser.authorize(&young).await));
    assert_eq!(browser.authorize(&silent).await.parameter("error"), "login_required");
}
