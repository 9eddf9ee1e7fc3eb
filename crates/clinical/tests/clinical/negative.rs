//! What must not work, by its name in `medlock conformance smart`.

use crate::fixture::{Answer, House};
use crate::people::{App, Browser, CALLBACK, Page, VERIFIER, form, query, token};
use crate::smart::Ward;
use http::{Request, StatusCode};
use serde_json::json;

fn refused(answer: &Answer, error: &str) {
    assert!(answer.status.is_client_error(), "{answer:?}");
    assert_eq!(answer.body["error"], error, "{answer:?}");
}

async fn ask(ward: &Ward, app: &App, change: &[(&str, &str)]) -> Page {
    Browser::new(&ward.house).authorize(&query(&app.id, change)).await
}

/// Shows REQ-SMART-43: a question that is not as it should be goes back to its asker, with its state.
#[tokio::test(flavor = "multi_thread")]
async fn pkce_missing_plain_aud_state_and_response_type() {
    let ward = Ward::new().await;
    let app = ward.house.app("public", json!({})).await;
    for (name, change, error) in [
        ("pkce_missing", &[("code_challenge", "")][..], "invalid_request"),
        ("pkce_plain", &[("code_challenge_method", "plain")], "invalid_request"),
        ("pkce_method_missing", &[("code_challenge_method", "")], "invalid_request"),
        (
            "pkce_challenge_short",
            &[("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-c")],
            "invalid_request",
        ),
        ("response_type_token", &[("response_type", "token")], "unsupported_response_type"),
        ("response_type_missing", &[("response_type", "")], "invalid_request"),
        ("aud_missing", &[("aud", "")], "invalid_request"),
        ("aud_elsewhere", &[("aud", "https://fhir.example.org/fhir")], "invalid_request"),
        ("aud_prefix", &[("aud", "https://fhir.example/fhir/Patient")], "invalid_request"),
        ("state_missing", &[("state", "")], "invalid_request"),
        ("state_short", &[("state", "1234567")], "invalid_request"),
        ("scope_beyond_registration", &[("scope", "system/*.rs user/*.rs")], "invalid_scope"),
        ("scope_missing", &[("scope", "")], "invalid_scope"),
        ("request_object", &[("request", "e30.e30.")], "invalid_request"),
        ("prompt_none", &[("prompt", "none")], "login_required"),
    ] {
        let page = ask(&ward, &app, change).await;
        assert_eq!((page.status, page.parameter("error")), (StatusCode::SEE_OTHER, error.to_owned()), "{name}");
        let sent = page.sent();
        assert!(sent.iter().all(|(name, _)| name != "code"), "{name}");
        let state = change.iter().find(|(name, _)| *name == "state").map_or(crate::people::STATE, |(_, state)| state);
        assert_eq!(sent.iter().find(|(name, _)| name == "state").map_or("", |(_, value)| value), state, "{name}");
    }
}

/// Shows REQ-SMART-44: nothing is sent to an address that is not registered, letter by letter but for the port of this machine; the
/// person is told. Shows REQ-SMART-206: an app that names no address, or another than that of the records, is told that, and which it is.
#[tokio::test(flavor = "multi_thread")]
async fn redirect_mismatch_prefix_and_client_unknown() {
    let ward = Ward::new().await;
    let app = ward.house.app("public", json!({})).await;
    let prefix = format!("{CALLBACK}/more");
    let user = CALLBACK.replace("127", "user@127");
    let query_too = format!("{CALLBACK}?x=1");
    for (name, change) in [
        ("redirect_mismatch", ("redirect_uri", "https://evil.example/")),
        ("redirect_prefix", ("redirect_uri", prefix.as_str())),
        ("redirect_query", ("redirect_uri", query_too.as_str())),
        ("redirect_userinfo", ("redirect_uri", user.as_str())),
        ("client_unknown", ("client_id", "nobody")),
        ("client_missing", ("client_id", "")),
    ] {
        let page = ask(&ward, &app, &[change]).await;
        assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""), "{name}");
    }
    // `redirect_missing`, `aud_missing`, `aud_elsewhere`
    for aud in ["", "https://fhir.example.org/fhir"] {
        let told = ask(&ward, &app, &[("aud", aud)]).await.parameter("error_description");
        assert!(told.ends_with("https://fhir.example/fhir"), "{told}");
    }
    let page = ask(&ward, &app, &[("redirect_uri", "")]).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""));
    assert!(page.text.contains("does not say where it waits for the answer"), "{page:?}");
    // `parameter_twice`
    let twice = format!("{}&state=another-state", query(&app.id, &[]));
    let page = Browser::new(&ward.house).authorize(&twice).await;
    assert_eq!((page.status, page.header("location")), (StatusCode::BAD_REQUEST, ""));
}

/// Shows REQ-SMART-45: a code is for one client, one address, one verifier, one minute, and once.
#[tokio::test(flavor = "multi_thread")]
async fn code_and_verifier() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let (app, other) = (house.app("public", json!({})).await, house.app("public", json!({})).await);
    let wrong = VERIFIER.replace('d', "e");
    for (name, change) in [
        ("pkce_verifier_missing", ("code_verifier", "")),
        ("pkce_verifier_blank", ("code_verifier", " ")),
        ("pkce_verifier_wrong", ("code_verifier", wrong.as_str())),
        ("pkce_downgrade_at_token", ("code_verifier", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM")),
    ] {
        let code = ward.code_for(&app, &[]).await;
        let answer = app.exchange(house, &code, &[change]).await;
        assert_eq!(answer.body["error"], "invalid_grant", "{name}");
        refused(&app.exchange(house, &code, &[]).await, "invalid_grant");
    }
    let code = ward.code_for(&app, &[]).await;
    // `code_of_another_client`, `redirect_missing_at_token`
    refused(&other.exchange(house, &code, &[]).await, "invalid_grant");
    refused(&app.exchange(house, &code, &[("redirect_uri", "")]).await, "invalid_grant");
    refused(&app.exchange(house, &code, &[("redirect_uri", "https://evil.example/")]).await, "invalid_grant");
    let given = app.exchange(house, &code, &[]).await;
    let access = token(&given, "access_token");
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
    // `code_reused`: what was granted by it ends.
    refused(&app.exchange(house, &code, &[]).await, "invalid_grant");
    assert_eq!(house.read(&access, "Patient").await.code(), "smart-token");
    refused(&app.refresh(house, &token(&given, "refresh_token"), &[]).await, "invalid_grant");
    // `code_late`
    let code = ward.code_for(&app, &[]).await;
    house.site.clock.advance(60);
    refused(&app.exchange(house, &code, &[]).await, "invalid_grant");
    refused(&app.exchange(house, "nonsense", &[]).await, "invalid_grant");
}

/// Shows REQ-SMART-46: a refresh token that comes twice ends all that was granted with it; nobody gets more by refreshing.
#[tokio::test(flavor = "multi_thread")]
async fn refresh_reused_ends_family() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let (app, other) = (house.app("public", json!({})).await, house.app("public", json!({})).await);
    let scope = [("scope", "launch/patient offline_access patient/Patient.rs")];
    let given = ward.launched(&app, &scope).await;
    let refresh = token(&given, "refresh_token");
    // `scope_widened_on_refresh`
    for wider in
        ["patient/Observation.rs", "patient/Patient.rs patient/*.rs", "openid", "patient/Patient.cruds", "nonsense"]
    {
        refused(&app.refresh(house, &refresh, &[("scope", wider)]).await, "invalid_scope");
    }
    refused(&other.refresh(house, &refresh, &[]).await, "invalid_grant");
    let next = app.refresh(house, &refresh, &[]).await;
    let access = token(&next, "access_token");
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
    refused(&app.refresh(house, &refresh, &[]).await, "invalid_grant");
    assert_eq!(house.read(&access, "Patient").await.code(), "smart-token");
    refused(&app.refresh(house, &token(&next, "refresh_token"), &[]).await, "invalid_grant");
    // `refresh_after_revocation`, `token_after_revocation`
    let given = ward.launched(&app, &scope).await;
    let (access, refresh) = (token(&given, "access_token"), token(&given, "refresh_token"));
    assert_eq!(app.ask(house, "/auth/revoke", &[("token", &refresh)]).await.status, StatusCode::OK);
    refused(&app.refresh(house, &refresh, &[]).await, "invalid_grant");
    assert_eq!(house.read(&access, "Patient").await.code(), "smart-token");
}

/// Shows REQ-SMART-47: a client proves what it is registered to prove, in one way, in the body or the header.
#[tokio::test(flavor = "multi_thread")]
async fn weaker_client_authentication() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("secret", json!({})).await;
    let secret = app.secret.clone().expect("a secret");
    let code = ward.code_for(&app, &[]).await;
    let with = |more: &[(&'static str, &'static str)]| {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        pairs.extend(more);
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
    };
    let send = async |pairs: Vec<(String, String)>, path: &str, authorization: Option<&str>| {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let request = match authorization {
            Some(value) => request.header("authorization", value),
            None => request,
        };
        house.people_json(request, form(&pairs)).await
    };
    let id = ("client_id".to_owned(), app.id.clone());
    let own = ("client_secret".to_owned(), secret.clone());
    let mut nothing = with(&[]);
    nothing.push(id.clone());
    let missing = send(nothing.clone(), "/auth/token", None).await;
    refused(&missing, "invalid_client");
    assert_eq!(
        (missing.status, missing.header("www-authenticate")),
        (StatusCode::UNAUTHORIZED, "Basic realm=\"auth\"")
    );
    // `client_secret_in_query`
    refused(&send(nothing.clone(), &format!("/auth/token?client_secret={secret}"), None).await, "invalid_client");
    let mut wrong = nothing.clone();
    wrong.push(("client_secret".to_owned(), format!("{secret}x")));
    refused(&send(wrong, "/auth/token", None).await, "invalid_client");
    let basic = format!("Basic {}", data_encoding::BASE64.encode(format!("{}:{secret}", app.id).as_bytes()));
    let mut both = nothing.clone();
    both.push(own.clone());
    // `two_client_authentications`
    refused(&send(both.clone(), "/auth/token", Some(&basic)).await, "invalid_request");
    refused(&send(with(&[("client_id", "other")]), "/auth/token", Some(&basic)).await, "invalid_request");
    refused(&send(nothing.clone(), "/auth/token", Some("Bearer x")).await, "invalid_request");
    let public = house.app("public", json!({})).await;
    let with_secret =
        [("grant_type", "refresh_token"), ("refresh_token", "x"), ("client_id", &*public.id), ("client_secret", "y")];
    refused(&house.post_form("/auth/token", &with_secret).await, "invalid_client");
    assert_eq!(send(both, "/auth/token", None).await.status, StatusCode::OK, "in the body");
    let json = Request::post("/auth/token").header("content-type", "application/json");
    refused(&house.people_json(json, "{}".to_owned()).await, "invalid_request");
    refused(
        &house.post_form("/auth/token", &[("grant_type", "password"), ("client_id", "x")]).await,
        "unsupported_grant_type",
    );
    refused(
        &house.post_form("/auth/token", &[("grant_type", "client_credentials"), ("scope", "system/*.rs")]).await,
        "invalid_client",
    );
}

/// Shows REQ-SMART-48: a form counts from our own page, in the browser that was shown it, for a while; a setup code once.
#[tokio::test(flavor = "multi_thread")]
async fn code_injected_into_another_session() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    let question = query(&app.id, &[]);
    let mut anna = Browser::new(house);
    let page = anna.sign_in(&question, ("anna", &ward.code)).await;
    let ticket = page.hidden("ticket");
    let allow = [("ticket", ticket.as_str()), ("decision", "allow"), ("scope", "patient/*.rs")];
    for origin in [None, Some("null"), Some("https://evil.example")] {
        let none = anna.post_from("/auth/consent", &allow, origin).await;
        assert_eq!((none.status, none.header("location")), (StatusCode::BAD_REQUEST, ""), "{origin:?}");
    }
    let mut other = Browser::new(house);
    let login = other.authorize(&question).await;
    let none = other.post("/auth/consent", &allow).await;
    assert_eq!((none.status, none.header("location")), (StatusCode::BAD_REQUEST, ""));
    // A ticket of one step is none of another, and of another browser none at all.
    let wrong_step = [("ticket", &*login.hidden("ticket")), ("decision", "allow"), ("scope", "patient/*.rs")];
    assert_eq!(other.post("/auth/consent", &wrong_step).await.status, StatusCode::BAD_REQUEST);
    let stolen = ("anna", &*ward.code);
    assert_eq!(Browser::new(house).try_code(&login, stolen).await.status, StatusCode::BAD_REQUEST);
    // The code was spent.
    let spent = other.try_code(&login, stolen).await;
    assert!(spent.status == StatusCode::FORBIDDEN && spent.text.contains("do not fit"), "{spent:?}");
    let fresh = house.code("anna").await;
    let sign_in = async |browser: &mut Browser<'_>, (name, code): (&str, &str)| {
        let page = browser.authorize(&question).await;
        browser.try_code(&page, (name, code)).await
    };
    for guess in ["AAAA-AAAA-AAAA", "", "x", "AAAAAAAAAAAB", "AAAAAAAAAAAC", "AAAAAAAAAAAD"] {
        let (wrong, unknown) =
            (sign_in(&mut other, ("anna", guess)).await, sign_in(&mut other, ("nobody", guess)).await);
        assert_eq!((wrong.status, unknown.status), (StatusCode::FORBIDDEN, StatusCode::FORBIDDEN), "{guess}");
    }
    let right = sign_in(&mut other, ("anna", &fresh)).await;
    assert_eq!(right.status, StatusCode::SEE_OTHER, "wrong ones void none: {right:?}");
    // Pages and sessions grow old.
    house.site.clock.advance(15 * 60);
    assert_eq!(anna.post("/auth/consent", &allow).await.status, StatusCode::BAD_REQUEST);
    assert!(anna.authorize(&question).await.text.contains("asks for your agreement"));
    assert!(anna.authorize(&query(&app.id, &[("max_age", "60")])).await.text.contains("Sign in"));
    assert!(anna.authorize(&query(&app.id, &[("prompt", "login")])).await.text.contains("Sign in"));
    let silent = anna.authorize(&query(&app.id, &[("prompt", "none")])).await;
    assert_eq!(silent.parameter("error"), "consent_required");
    house.site.clock.advance(12 * 3_600);
    assert!(anna.authorize(&question).await.text.contains("Sign in"));
}

/// Shows REQ-SMART-49: a client is registered with what can be kept, or refused with what is wrong.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_cannot_be_is_refused() {
    let house = House::new();
    let base = json!({ "verb": "add-client", "name": "x", "sort": "public", "redirects": [CALLBACK], "scopes": "patient/*.rs" });
    assert_eq!(house.administer(base.clone()).await.status, StatusCode::OK);
    for (name, value) in [
        ("name", json!("")),
        ("redirects", json!(["http://app.example/"])),
        ("redirects", json!(["https://app.example/#x"])),
        ("scopes", json!("patient/Encounter.rs")),
        ("sort", json!("keys")),
        ("keys", json!("{\"keys\":[]}")),
        ("id_token", json!("none")),
    ] {
        let mut asked = base.clone();
        asked[name] = value.clone();
        let told = house.administer(asked).await;
        assert!(told.status == StatusCode::BAD_REQUEST && told.body["error"].is_string(), "{name} {value}: {told:?}");
    }
    let unknown = house
        .administer(json!({ "verb": "add-account", "name": "x", "person": "Patient/00000000000000000000000000" }))
        .await;
    assert!(unknown.status.is_client_error());
}
