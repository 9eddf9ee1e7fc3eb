//! Apps that other software opens, with patient and place.

use crate::backend::Backend;
use crate::fixture::{Answer, House, PUBLIC};
use crate::people::{App, Browser, Page, query, token};
use crate::smart::Ward;
use http::{Request, StatusCode};
use medlock_trust::Role;
use serde_json::{Value, json};

const SCOPES: &str = "launch openid fhirUser patient/*.rs offline_access";

struct Ehr {
    ward: Ward,
    app: App,
    code: String,
}

impl Ehr {
    async fn new() -> Self {
        let ward = Ward::new().await;
        let (_, code) = ward.house.doctor().await;
        let app = ward.house.app("public", json!({ "scopes": SCOPES })).await;
        Self { ward, app, code }
    }

    const fn house(&self) -> &House {
        &self.ward.house
    }

    /// Opens the app, with some of this changed.
    async fn open(&self, change: Value) -> String {
        let context = json!({
            "fhirContext": [{ "reference": format!("Observation/{}", self.ward.other), "role": "https://ehr.example/open" }],
            "need_patient_banner": false,
            "intent": "reconcile",
        });
        let mut asked = json!({
            "verb": "launch", "client": self.app.id, "patient": format!("Patient/{}", self.ward.bert), "context": context,
        });
        asked.as_object_mut().expect("an object").extend(change.as_object().cloned().unwrap_or_default());
        let told = self.house().administer(asked).await;
        assert_eq!((told.status, told.body["iss"].as_str()), (StatusCode::OK, Some(&*format!("{PUBLIC}/fhir"))));
        told.body["launch"].as_str().expect("a launch").to_owned()
    }

    /// Opens an app by software.
    async fn open_by(&self, token: &str, asked: &Value) -> Answer {
        let request = Request::post("/auth/launch").header("authorization", format!("Bearer {token}"));
        self.house().people_json(request.header("content-type", "application/json"), asked.to_string()).await
    }

    fn query(&self, launch: &str) -> String {
        query(&self.app.id, &[("scope", SCOPES), ("launch", launch)])
    }

    async fn asked(&self, browser: &mut Browser<'_>, launch: &str) -> Page {
        browser.authorize(&self.query(launch)).await
    }
}

/// Shows REQ-SMART-66: an app that was opened with a patient gets this one without a choice, and is told what is open beside it, at
/// each refresh too.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_opened_with_patient_and_place() {
    let ehr = Ehr::new().await;
    let launch = ehr.open(json!({ "account": "doe" })).await;
    let mut browser = Browser::new(ehr.house());
    let page = browser.sign_in(&ehr.query(&launch), ("doe", &ehr.code)).await;
    assert!(page.text.contains("opened for <strong>Bert</strong>") && !page.text.contains("Whose data"), "{page:?}");
    let code = browser.allow(&page, &[]).await.parameter("code");
    let given = ehr.app.exchange(ehr.house(), &code, &[]).await;
    let told = |given: &Value| {
        let told = (given["patient"].as_str(), given["need_patient_banner"].as_bool(), given["intent"].as_str());
        assert_eq!(told, (Some(&*ehr.ward.bert), Some(false), Some("reconcile")), "{given}");
        let open = format!("Observation/{}", ehr.ward.other);
        assert_eq!(given["fhirContext"], json!([{ "reference": open, "role": "https://ehr.example/open" }]));
    };
    told(&given.body);
    let found = ehr.house().read(&token(&given, "access_token"), "Observation").await.found();
    assert_eq!(found, [ehr.ward.other.as_str()]);
    told(&ehr.app.refresh(ehr.house(), &token(&given, "refresh_token"), &[]).await.body);
    // Opened by the ward's system with a token of its own.
    let ward_system = Backend::new(ehr.house(), "medlock/launch system/Patient.rs").await;
    let opens = ward_system.token("medlock/launch").await;
    let asked = json!({ "client": ehr.app.id, "patient": format!("Patient/{}", ehr.ward.anna) });
    let told = ehr.open_by(&opens, &asked).await;
    assert_eq!((told.status, told.body["expires_in"].as_i64()), (StatusCode::OK, Some(300)), "{told:?}");
    let page = ehr.asked(&mut browser, told.body["launch"].as_str().expect("a launch")).await;
    let code = browser.allow(&page, &[]).await.parameter("code");
    let given = ehr.app.exchange(ehr.house(), &code, &[]).await;
    assert_eq!(given.body["patient"].as_str(), Some(&*ehr.ward.anna));
    assert_eq!(
        ehr.house().read(&opens, "Patient").await.status,
        StatusCode::FORBIDDEN,
        "it opens apps and nothing else"
    );
    // The patient's own app, opened without saying for whom.
    let launch = ehr.open(json!({ "patient": null, "context": {} })).await;
    let mut anna = Browser::new(ehr.house());
    let page = anna.sign_in(&ehr.query(&launch), ("anna", &ehr.ward.code)).await;
    let code = anna.allow(&page, &[]).await.parameter("code");
    let given = ehr.app.exchange(ehr.house(), &code, &[]).await.body;
    assert_eq!(
        (given["patient"].as_str(), given["need_patient_banner"].as_bool()),
        (Some(&*ehr.ward.anna), Some(true))
    );
    assert!(given.get("fhirContext").is_none() && given.get("intent").is_none(), "{given}");
}

/// Shows REQ-SMART-67: a launch is for one app, one person where one is named, one patient, five minutes, and once. Shows REQ-SMART-205:
/// who is not that person reads why the page to sign in is there again.
#[tokio::test(flavor = "multi_thread")]
async fn launch_reused_stolen_late_and_of_another_patient() {
    let ehr = Ehr::new().await;
    let house = ehr.house();
    let mut doctor = Browser::new(house);
    let launch = ehr.open(json!({})).await;
    let page = doctor.sign_in(&ehr.query(&launch), ("doe", &ehr.code)).await;
    // `launch_of_another_client`
    let other = house.app("public", json!({ "scopes": SCOPES })).await;
    let none = doctor.authorize(&query(&other.id, &[("scope", SCOPES), ("launch", &launch)])).await;
    assert_eq!(none.parameter("error"), "invalid_request");
    // `launch_without_scope`, `launch_unknown`
    let none = doctor.authorize(&query(&ehr.app.id, &[("scope", "patient/*.rs"), ("launch", &launch)])).await;
    assert_eq!(none.parameter("error"), "invalid_scope");
    assert_eq!(ehr.asked(&mut doctor, "nonsense").await.parameter("error"), "invalid_request");
    // `launch_reused`: on two pages that were open, and afterwards.
    let twin = ehr.asked(&mut doctor, &launch).await;
    assert!(!doctor.allow(&page, &[]).await.parameter("code").is_empty());
    assert!(doctor.allow(&twin, &[]).await.sent().iter().all(|(name, _)| name != "code"));
    assert_eq!(ehr.asked(&mut doctor, &launch).await.parameter("error"), "invalid_request");
    // Neither on many that are sent at the same moment.
    let launch = ehr.open(json!({})).await;
    let page = ehr.asked(&mut doctor, &launch).await;
    let cookie = doctor.cookie.clone();
    let at_once = (0..8).map(|_| async {
        let mut twin = Browser::new(house);
        twin.cookie.clone_from(&cookie);
        twin.allow(&page, &[]).await.sent().into_iter().any(|(name, _)| name == "code")
    });
    let given = futures_util::future::join_all(at_once).await;
    assert_eq!(given.iter().filter(|given| **given).count(), 1, "{given:?}");
    // `launch_late`
    let launch = ehr.open(json!({})).await;
    house.site.clock.advance(300);
    assert_eq!(ehr.asked(&mut doctor, &launch).await.parameter("error"), "invalid_request");
    // `launch_of_another_person`: whoever else is signed in is asked to sign in as that one.
    house.account("roe", &format!("Patient/{}", ehr.ward.bert)).await;
    let launch = ehr.open(json!({ "account": "roe" })).await;
    let page = ehr.asked(&mut doctor, &launch).await.text;
    assert!(page.contains("Sign in") && page.contains("Somebody else opened this app"), "{page}");
    // `launch_of_another_patient`: a patient is given nobody else's data.
    let mut anna = Browser::new(house);
    let launch = ehr.open(json!({})).await;
    let page = anna.sign_in(&ehr.query(&launch), ("anna", &house.code("anna").await)).await;
    assert_eq!(anna.allow(&page, &[]).await.parameter("error"), "access_denied");
    // `launch_without_right`: only software in its own name with that scope opens apps.
    let asked = json!({ "client": ehr.app.id });
    let reads = Backend::new(house, "system/Patient.rs").await.token("system/Patient.rs").await;
    let greedy = house.app("public", json!({ "scopes": "openid patient/*.rs" })).await;
    let given = ehr.ward.launched(&greedy, &[("scope", "medlock/launch openid patient/*.rs")]).await;
    assert_eq!(given.body["scope"], "openid patient/*.rs");
    for access in [&reads, &token(&given, "access_token")] {
        let none = ehr.open_by(access, &asked).await;
        assert_eq!((none.status, none.code()), (StatusCode::FORBIDDEN, "fhir-forbidden"));
    }
    assert_eq!(ehr.open_by("nonsense", &asked).await.code(), "smart-token");
    let opens = Backend::new(house, "medlock/launch").await.token("medlock/launch").await;
    for wrong in [json!({}), json!({ "client": "nobody" }), json!({ "client": ehr.app.id, "more": 1 }), json!([])] {
        assert!(ehr.open_by(&opens, &wrong).await.status.is_client_error(), "{wrong}");
    }
    // Nothing is opened with what is not there, nor for an app that did not ask for it.
    let plain = house.app("public", json!({})).await;
    for (name, value) in [
        ("client", json!("nobody")),
        ("client", json!(plain.id)),
        ("patient", json!("Patient/00000000000000000000000000")),
        ("patient", json!("Device/x")),
        ("account", json!("nobody")),
        ("context", json!({ "fhirContext": [{ "reference": format!("Patient/{}", ehr.ward.anna) }] })),
        ("context", json!({ "fhirContext": [{ "reference": "https://evil.example/x" }] })),
        (
            "context",
            json!({ "fhirContext": [{ "reference": format!("Observation/{}", ehr.ward.other), "role": "x y" }] }),
        ),
    ] {
        let mut asked = json!({ "verb": "launch", "client": ehr.app.id });
        asked[name] = value;
        let told = house.administer(asked.clone()).await;
        assert!(told.status.is_client_error() && told.body["error"].is_string(), "{asked}: {told:?}");
    }
}

/// Shows REQ-SMART-242: software opens a thousand apps that do not ask, is told what to do, and takes nobody else's place.
#[tokio::test(flavor = "multi_thread")]
async fn software_opens_so_many_apps() {
    let house = House::new();
    let app = house.app("public", json!({ "scopes": SCOPES })).await;
    let open = async |token: &str| {
        let request = Request::post("/auth/launch").header("authorization", format!("Bearer {token}"));
        let asked = json!({ "client": app.id }).to_string();
        house.people_json(request.header("content-type", "application/json"), asked).await
    };
    let first = Backend::new(&house, "medlock/launch").await.token("medlock/launch").await;
    let other = Backend::new(&house, "medlock/launch").await.token("medlock/launch").await;
    let answers = futures_util::future::join_all((0..1_001).map(|_| open(&first))).await;
    let (opened, full): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == StatusCode::OK);
    assert_eq!((opened.len(), full[0].status, full[0].code()), (1_000, StatusCode::TOO_MANY_REQUESTS, "fhir-launches"));
    assert!(!full[0].header("retry-after").is_empty() && full[0].body.to_string().contains("five minutes"), "{full:?}");
    assert_eq!(open(&other).await.status, StatusCode::OK);
}

/// Shows REQ-AUDIT-32: that an app was opened for a patient, and by whom, is in the audit with the answer; REQ-SMART-209: software that
/// opens one is not told whether a Patient is there, and the person reads that the patient is not. Shows REQ-SMART-243: also what was not
/// opened is noted.
#[tokio::test(flavor = "multi_thread")]
async fn opening_an_app_is_noted_and_tells_nothing() {
    let ehr = Ehr::new().await;
    let house = ehr.house();
    let ward_system = Backend::new(house, "medlock/launch").await;
    let opens = ward_system.token("medlock/launch").await;
    let gateway = house.device("gw3", Role::Gateway).with("system/*.cruds").await;
    let gone = gateway.create(&crate::fixture::patient("Gone")).await.made();
    let registry = house.registry().await;
    let deleted = house.send(&registry, "DELETE", &format!("Patient/{gone}"), String::new()).await;
    assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
    let mut answers = Vec::new();
    for patient in [&*ehr.ward.bert, &*gone, "00000000000000000000000000"] {
        let asked = json!({ "client": ehr.app.id, "patient": format!("Patient/{patient}") });
        answers.push(ehr.open_by(&opens, &asked).await);
    }
    let shape = |answer: &Answer| {
        let mut body = answer.body.clone();
        let launch = body["launch"].take();
        (answer.status, body, launch.as_str().map(str::len))
    };
    assert_eq!(shape(&answers[0]).0, StatusCode::OK);
    assert!(answers.iter().all(|answer| shape(answer) == shape(&answers[0])), "{answers:?}");
    let mut doctor = Browser::new(house);
    let launch = |number: usize| answers[number].body["launch"].as_str().expect("a launch").to_owned();
    let page = doctor.sign_in(&ehr.query(&launch(0)), ("doe", &ehr.code)).await;
    assert!(page.text.contains("opened for <strong>Bert</strong>"), "{page:?}");
    let asked = json!({ "client": ehr.app.id, "account": "nobody", "patient": format!("Patient/{}", ehr.ward.bert) });
    let refused = ehr.open_by(&opens, &asked).await;
    assert_eq!((refused.status, refused.code()), (StatusCode::NOT_FOUND, "fhir-not-found"), "{refused:?}");
    for number in [1, 2] {
        let page = ehr.asked(&mut doctor, &launch(number)).await;
        assert!(page.text.contains("for whom the app was opened is not here"), "{page:?}");
        assert!(!page.text.contains("action=\"/auth/consent\""), "{page:?}");
    }
    ehr.open(json!({})).await;
    let noted = async || {
        let found = gateway.get(&format!("AuditEvent?patient={}&action=E", ehr.ward.bert)).await.resources();
        found.into_iter().filter(|event| event["subtype"][0]["code"] == "110120").collect()
    };
    let opened = crate::audit::until(3, noted).await;
    opened.iter().for_each(crate::provenance::assert_valid);
    let of = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        [text(&event["outcome"]), text(&event["agent"][0]["who"]["identifier"]["value"])]
    };
    let mut by: Vec<[String; 2]> = opened.iter().map(of).collect();
    by.sort_unstable();
    let mut expected = [["0", "administrator"], ["0", ward_system.id()], ["4", ward_system.id()]];
    expected.sort_unstable();
    assert_eq!(by, expected, "{opened:?}");
    let without = Backend::new(house, "system/Patient.rs").await;
    let answer = ehr.open_by(&without.token("system/Patient.rs").await, &asked).await;
    assert_eq!(answer.code(), "fhir-forbidden", "{answer:?}");
    crate::audit::eventually("who asked without the scope", async || {
        let refused = gateway.get("AuditEvent?action=E&outcome=4").await.resources();
        refused.into_iter().find(|event| event["agent"][0]["who"]["identifier"]["value"] == without.id())
    })
    .await;
}
