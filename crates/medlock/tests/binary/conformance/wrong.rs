//! A server that does wrong on purpose: it is what is tested here, and nobody's peer.

use super::house::key;
use super::{Report, smart};
use crate::process::medlock;
use axum::body::Bytes;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, Method, StatusCode, Uri};
use medlock_testkit::free_port;
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};

/// All that was written, whoever wrote it.
#[derive(Clone, Default)]
struct Wrong {
    base: String,
    kept: Arc<Mutex<Vec<Value>>>,
    /// Whether somebody was put off already.
    put_off: Arc<AtomicBool>,
}

impl Wrong {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let patient = json!({ "resourceType": "Patient", "id": "anna", "name": [{ "family": "Anna" }] });
        let other = json!({ "resourceType": "Patient", "id": "bert", "name": [{ "family": "Bert" }] });
        let wrong = Self { base, kept: Arc::new(Mutex::new(vec![patient, other])), put_off: Arc::default() };
        let router = Router::new()
            .route("/fhir/.well-known/smart-configuration", get(configuration))
            .route("/fhir/metadata", get(metadata))
            .route("/keys", get(async || Json(json!({ "keys": [{ "kty": "EC", "d": "private" }] }))))
            .route("/authorize", get(authorize))
            .route("/token", post(token))
            .fallback(resources)
            .with_state(wrong.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        wrong
    }
}

/// It lists what it does not do.
fn statement() -> Value {
    let all = ["create", "read", "vread", "update", "delete", "history-instance", "history-type", "search-type"];
    let interactions: Vec<Value> = all.iter().map(|code| json!({ "code": code })).collect();
    json!({
        "resourceType": "CapabilityStatement", "fhirVersion": "3.0.2",
        "rest": [{ "mode": "server", "resource": [{
            "type": "Patient", "interaction": interactions, "operation": [{ "name": "broken" }],
            "searchParam": [{ "name": "name", "type": "string" }, { "name": "broken", "type": "token" }],
        }] }],
    })
}

/// The first who asks has to come again.
async fn metadata(State(wrong): State<Wrong>) -> Response {
    if wrong.put_off.swap(true, Ordering::Relaxed) {
        return Json(statement()).into_response();
    }
    (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")], "later").into_response()
}

async fn configuration(State(wrong): State<Wrong>) -> Json<Value> {
    let at = |path: &str| format!("{}/{path}", wrong.base);
    Json(json!({
        "issuer": wrong.base, "jwks_uri": at("keys"), "authorization_endpoint": at("authorize"), "token_endpoint": at("token"),
        "capabilities": ["launch-standalone"], "grant_types_supported": ["authorization_code", "implicit"],
        "response_types_supported": ["code", "token"], "code_challenge_methods_supported": ["plain", "S256"],
        "token_endpoint_auth_signing_alg_values_supported": ["none", "HS256"],
    }))
}

fn parameter(query: &str, name: &str) -> String {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let plain = |text: &str| {
        text.replace("%3A", ":").replace("%2F", "/").replace("%3F", "?").replace("%3D", "=").replace("%40", "@")
    };
    pairs.filter(|(one, _)| *one == name).map(|(_, value)| plain(value)).next().unwrap_or_default()
}

/// Nobody signs in, and whatever is asked is allowed.
async fn authorize(RawQuery(query): RawQuery) -> Redirect {
    let query = query.unwrap_or_default();
    let (redirect, state) = (parameter(&query, "redirect_uri"), parameter(&query, "state"));
    let separator = if redirect.contains('?') { '&' } else { '?' };
    Redirect::to(&format!("{redirect}{separator}code=always&state={state}"))
}

/// Everybody gets a token, for whatever was asked.
async fn token(body: String) -> Json<Value> {
    let scope = match parameter(&body, "scope").replace('+', " ") {
        none if none.is_empty() => "launch/patient offline_access patient/*.cruds".to_owned(),
        scope => scope,
    };
    Json(json!({
        "access_token": "always", "refresh_token": "again", "token_type": "bearer", "expires_in": 300, "scope": scope, "patient": "anna",
    }))
}

/// Everybody reads and writes everything; a search finds all.
async fn resources(State(wrong): State<Wrong>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let parts: Vec<&str> = uri.path().split('/').skip(2).collect();
    let resource: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(endpoint) = resource["channel"]["endpoint"].as_str() {
        let place = endpoint.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let _ = TcpStream::connect(place).await;
    }
    if uri.query().is_some_and(|query| query.contains("broken")) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    if uri.path().ends_with("$broken") {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    if method == Method::PATCH {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    if uri.path().ends_with("/Patient/_history") {
        tokio::time::sleep(Duration::from_millis(1_200)).await;
    }
    let mut kept = wrong.kept.lock().expect("nobody panics");
    let bundle = |of: &str, all: Vec<Value>| {
        let entries: Vec<Value> = all.iter().map(|one| json!({ "resource": one })).collect();
        Json(json!({ "resourceType": "Bundle", "type": of, "total": all.len(), "entry": entries })).into_response()
    };
    match (method, parts.as_slice()) {
        (Method::POST, [] | [""]) => {
            let entries = resource["entry"].as_array().cloned().unwrap_or_default();
            entries
                .into_iter()
                .filter(|entry| entry["resource"].is_object())
                .for_each(|entry| _ = keep(&mut kept, entry["resource"].clone()));
            bundle("batch-response", kept.clone())
        }
        (Method::POST, [kind]) if headers.contains_key("if-none-exist") => {
            Json(json!({ "resourceType": kind })).into_response()
        }
        // It says what is there.
        (Method::POST, _) if resource["hasMember"][0].is_object() && !refers(&resource, &kept) => {
            StatusCode::NOT_FOUND.into_response()
        }
        (Method::POST, [kind]) => {
            let (id, resource) = keep(&mut kept, resource);
            let location = format!("{}/fhir/{kind}/{id}/_history/1", wrong.base);
            (StatusCode::CREATED, [("location", location)], Json(resource)).into_response()
        }
        (Method::GET, [kind]) => {
            bundle("searchset", kept.iter().filter(|one| one["resourceType"] == *kind).cloned().collect())
        }
        (Method::GET, [_, id, rest @ ..]) => match kept.iter().find(|one| one["id"] == *id) {
            Some(one) if rest.is_empty() => Json(one.clone()).into_response(),
            Some(one) => bundle("history", vec![one.clone()]),
            None => StatusCode::NOT_FOUND.into_response(),
        },
        (Method::PUT, _) => Json(resource).into_response(),
        (Method::DELETE, [kind]) => {
            kept.retain(|one| one["resourceType"] != *kind);
            StatusCode::NO_CONTENT.into_response()
        }
        _ => StatusCode::NO_CONTENT.into_response(),
    }
}

fn keep(kept: &mut Vec<Value>, mut resource: Value) -> (String, Value) {
    let id = format!("n{}", kept.len());
    resource["id"] = json!(id);
    kept.push(resource.clone());
    (id, resource)
}

fn refers(resource: &Value, kept: &[Value]) -> bool {
    let to = resource["hasMember"][0]["reference"].as_str().and_then(|to| to.split('/').nth(1)).unwrap_or_default();
    kept.iter().any(|one| one["id"] == to)
}

/// Shows REQ-CONF-03, REQ-SMART-148: a server that gives everything to everybody fails each test by which it could be known; a command signs in.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_wrong_fails() {
    let wrong = Wrong::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    key(&folder.path().join("software.key"));
    let browser = folder.path().join("browser");
    std::fs::write(&browser, "#!/bin/sh\nexec curl -s -L -o /dev/null \"$1\"\n").expect("written");
    let runs = <std::fs::Permissions as std::os::unix::fs::PermissionsExt>::from_mode(0o700);
    std::fs::set_permissions(&browser, runs).expect("it can be run");
    let mut command = smart();
    command.args([
        "--base",
        &format!("{}/fhir", wrong.base),
        "--client-id",
        "any",
        "--app",
        "any",
        "--patience",
        "20",
        "--launch",
        "x",
    ]);
    command.args(["--redirect", &format!("http://127.0.0.1:{}/callback", free_port()), "--key"]);
    command.arg(folder.path().join("software.key")).arg("--open").arg(&browser);
    let report = tokio::task::spawn_blocking(move || Report::of(&mut command, None)).await.expect("it ends");
    for id in [
        "smart_cors_metadata_request",
        "smart_openid_retrieve_jwks",
        "metadata_is_r4",
        "pkce_plain_is_not_advertised",
        "implicit_is_not_advertised",
        "algorithms_are_asymmetric",
        "g10_unauthorized_access",
        "token_unknown",
        "token_of_another_scheme",
        "smart_backend_services_invalid_grant_type",
        "smart_backend_services_invalid_jwt",
        "assertion_with_bad_signature",
        "assertion_without_signature",
        "assertion_of_another_key",
        "assertion_changed_after_signing",
        "alg_none",
        "alg_hs256_with_public_key_as_secret",
        "jwk_in_header",
        "jku_elsewhere",
        "kid_unknown",
        "crit_header_unknown",
        "assertion_for_another_audience",
        "assertion_without_aud",
        "assertion_expired",
        "assertion_without_exp",
        "assertion_too_long_lived",
        "assertion_not_yet_valid",
        "assertion_without_jti",
        "jti_replayed",
        "iss_is_not_sub",
        "client_unknown",
        "duplicate_claims",
        "scope_beyond_registration",
        "backend_fine_grained_scopes",
        "smart_token_response_headers",
        "g10_patient_scope",
        "g10_limited_scope_grant",
        "g10_smart_fine_grained_scopes",
        "g10_smart_invalid_aud",
        "pkce_plain_challenge",
        "pkce_method_missing",
        "pkce_missing",
        "implicit_grant",
        "client_unknown_at_authorize",
        "redirect_unregistered",
        "redirect_longer",
        "redirect_with_user",
        "redirect_with_parameter",
        "smart_no_verifier_token_request",
        "smart_blank_verifier_token_request",
        "smart_bad_code_verifier_token_request",
        "smart_plain_code_verifier_token_request",
        "redirect_mismatch_at_token",
        "code_of_another_client",
        "g10_smart_invalid_token_request",
        "code_replayed",
        "g10_invalid_token_refresh",
        "refresh_scope_widening",
        "refresh_replayed",
        "access_token_as_refresh_token",
        "token_in_address",
        "write_beyond_scope",
        "ssrf_rest_hook",
        "read_is_no_oracle",
        "history_is_no_oracle",
        "id_is_no_oracle",
        "filter_is_no_oracle",
        "has_is_no_oracle",
        "chain_is_no_oracle",
        "include_is_no_oracle",
        "revinclude_is_no_oracle",
        "sort_is_no_oracle",
        "total_is_no_oracle",
        "everything_is_no_oracle",
        "batch_is_no_oracle",
        "conditional_create_is_no_oracle",
        "reference_is_no_oracle",
        "transaction_across_patients",
        "update_across_patients",
        "conditional_delete_is_no_oracle",
        "launch_unknown",
        "launch_replayed",
        "g10_smart_need_patient_banner",
    ] {
        assert_eq!(report.result(id), "fail", "{id}: {:?}", report.why(id));
    }
    assert_eq!(report.result("well_known_endpoint"), "pass");
    assert_eq!(report.result("smart_token_exchange_stu2_2"), "pass", "{}", report.why("smart_token_exchange_stu2_2"));
}

/// Shows REQ-FUZZ-24: a server that does not do what its CapabilityStatement lists, does what it does not list, fails, says nothing of why,
/// or takes its time, is told.
#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_is_not_true_is_told() {
    let wrong = Wrong::start().await;
    let mut command = medlock();
    command.args(["conformance", "fhir-fuzz", "--json", "--rounds", "20", "--within", "1", "--token", "always"]);
    command.args(["--base", &format!("{}/fhir", wrong.base)]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it starts");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    let told: Vec<&str> = told["wrong"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for (request, why) in [
        ("GET /Patient?broken=", "it should be Given"),
        ("GET /Patient?broken=", "a refusal is no JSON"),
        ("GET /Account ", "it should be Refused"),
        ("PATCH /Patient/", "it failed within"),
        ("GET /Patient/_history", "the answer took 1"),
        ("GET /Patient?_count=1", "its content-type is not application/fhir+json"),
        ("/$broken", "the operation should be served"),
        ("POST  [", "it should be Refused"),
    ] {
        let is_told = told.iter().any(|one| one.contains(request) && one.contains(why));
        assert!(is_told, "{request}: {why}: {told:#?}");
    }
}
