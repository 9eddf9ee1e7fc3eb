//! Tokens that are bound to a key (RFC 9449): what is proved with each request, and what does not count.

use crate::backend::Backend;
use crate::fixture::{Answer, House, PUBLIC, on_server};
use crate::people::{App, Browser, CALLBACK, VERIFIER, form, query, token};
use crate::smart::Ward;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, Request, StatusCode};
use medlock_clinical::access::Shown;
use medlock_clinical::jose::{Key, signing_input};
use medlock_node::provider::{SigningKey, sha256};
use serde_json::{Value, json};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::{AtomicU32, Ordering};

/// Software with a key of its own for proofs.
struct Prover {
    key: SigningKey,
    made: AtomicU32,
}

impl Prover {
    fn new() -> Self {
        Self { key: SigningKey::generate(), made: AtomicU32::new(0) }
    }

    fn jwk(&self) -> Value {
        let (x, y) = self.key.public_key().bits[1..].split_at(32);
        let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        json!({ "kty": "EC", "crv": "P-256", "x": encoded(x), "y": encoded(y) })
    }

    fn thumbprint(&self) -> String {
        let key = Key::from_json(self.jwk().to_string().as_bytes()).expect("a key");
        BASE64URL_NOPAD.encode(key.thumbprint())
    }

    /// A proof; `change` some of its claims (`null` leaves one out).
    fn proof(&self, house: &House, method: &str, path: &str, change: &[(&str, Value)]) -> String {
        let header = json!({ "typ": "dpop+jwt", "alg": "ES256", "jwk": self.jwk() });
        let number = self.made.fetch_add(1, Ordering::Relaxed).to_string();
        let now = house.site.clock.now().unix();
        let mut claims = json!({ "jti": number, "htm": method, "htu": format!("{PUBLIC}{path}"), "iat": now });
        for (name, value) in change {
            match value {
                Value::Null => _ = claims.as_object_mut().expect("an object").remove(*name),
                value => claims[*name] = value.clone(),
            }
        }
        let input = signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes());
        format!("{input}.{}", BASE64URL_NOPAD.encode(&self.key.sign_cose(&[input.as_bytes()])))
    }

    /// A proof for reading with a token.
    fn with_token(&self, house: &House, path: &str, token: &str, change: &[(&str, Value)]) -> String {
        let hash = json!(BASE64URL_NOPAD.encode(&sha256(token.as_bytes())));
        self.proof(house, "GET", path, &[&[("ath", hash)], change].concat())
    }
}

async fn read(house: &House, path: &str, scheme: &str, token: &str, proofs: &[&str]) -> Answer {
    let request = Request::get(path).header("authorization", format!("{scheme} {token}"));
    let request = proofs.iter().fold(request, |request, proof| request.header("dpop", *proof));
    house.people_json(request, String::new()).await
}

async fn ask(house: &House, app: &App, pairs: &[(&str, &str)], proof: Option<&str>) -> Answer {
    let request = Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded");
    let request = proof.into_iter().fold(request, |request, proof| request.header("dpop", proof));
    house.people_json(request, form(&[pairs, &[("client_id", app.id.as_str())]].concat())).await
}

fn exchange(code: &str) -> [(&str, &str); 4] {
    [("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)]
}

/// Tokens bound to the prover's key.
async fn launched(ward: &Ward, app: &App, prover: &Prover) -> Answer {
    let code = ward.code_for(app, &[]).await;
    let proof = prover.proof(&ward.house, "POST", "/auth/token", &[]);
    ask(&ward.house, app, &exchange(&code), Some(&proof)).await
}

/// Shows REQ-SMART-186: what was young when the request came is so for all of its parts, however long they take; for another request it is
/// not.
#[tokio::test(flavor = "multi_thread")]
async fn a_proof_counts_for_the_whole_request() {
    let ward = Ward::new().await;
    let (house, app, prover) = (&ward.house, ward.house.app("public", json!({})).await, Prover::new());
    let access = token(&launched(&ward, &app, &prover).await, "access_token");
    let mut headers = HeaderMap::new();
    let proof = prover.with_token(house, "/fhir/Patient", &access, &[]);
    headers.insert("authorization", format!("DPoP {access}").parse().expect("a header"));
    headers.insert("dpop", proof.parse().expect("a header"));
    let peer = crate::fixture::nobody();
    let admitted = |counted: &AtomicBool| {
        let url = format!("{PUBLIC}/fhir/Patient");
        house.clinical.gate().admit(&Shown { headers: &headers, peer: &peer, method: "GET", url, counted }).is_ok()
    };
    let (one, other) = (AtomicBool::new(false), AtomicBool::new(false));
    assert!(admitted(&one) && !admitted(&other), "once, for one request");
    house.site.clock.advance(100);
    assert!(admitted(&one) && !admitted(&other), "it goes on");
    app.ask(house, "/auth/revoke", &[("token", &access)]).await;
    assert!(!admitted(&one), "and its token is asked for again");
}

/// Shows REQ-SMART-62: a token bound to a key reads with a proof for each request, whole Bundles included, and is refreshed with
/// the same key.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_bound_to_the_key_that_was_proved() {
    let ward = Ward::new().await;
    let (house, app, prover) = (&ward.house, ward.house.app("public", json!({})).await, Prover::new());
    let given = launched(&ward, &app, &prover).await;
    assert_eq!(given.body["token_type"], "DPoP", "{given:?}");
    let (access, refresh) = (token(&given, "access_token"), token(&given, "refresh_token"));
    for path in ["/fhir/Observation", "/fhir/Patient?_count=1"] {
        let plain = path.split('?').next().expect("a path");
        let proof = prover.with_token(house, plain, &access, &[]);
        let found = read(house, path, "DPoP", &access, &[&proof]).await;
        assert_eq!(found.found().len(), 1, "{path}: {found:?}");
    }
    let server = house.app("secret", json!({ "introspects": true })).await;
    let told = server.ask(house, "/auth/introspect", &[("token", &access)]).await;
    let bound = (told.body["token_type"].as_str(), told.body["cnf"]["jkt"].as_str());
    assert_eq!(bound, (Some("DPoP"), Some(&*prover.thumbprint())));
    // One proof is for one request, whose entries are judged one by one.
    let entry = json!({ "request": { "method": "GET", "url": "Patient" } });
    let bundle = json!({ "resourceType": "Bundle", "type": "batch", "entry": [entry, entry] });
    let hash = json!(BASE64URL_NOPAD.encode(&sha256(access.as_bytes())));
    let proof = prover.proof(house, "POST", "/fhir", &[("ath", hash)]);
    let request = Request::post("/fhir").header("content-type", "application/fhir+json");
    let request = request.header("authorization", format!("DPoP {access}")).header("dpop", proof);
    let answer = house.people_json(request, bundle.to_string()).await;
    let statuses: Vec<_> = [0, 1].map(|entry| answer.body["entry"][entry]["response"]["status"].clone()).into();
    assert_eq!(statuses, ["200 OK", "200 OK"], "{answer:?}");
    let again = [("grant_type", "refresh_token"), ("refresh_token", &*refresh)];
    let proof = prover.proof(house, "POST", "/auth/token", &[]);
    let given = ask(house, &app, &again, Some(&proof)).await;
    assert_eq!(given.body["token_type"], "DPoP", "{given:?}");
    // Software in its own name.
    let backend = Backend::new(house, "system/Patient.rs").await;
    let proof = prover.proof(house, "POST", "/auth/token", &[]);
    let given = backend.ask_proving(&proof).await;
    assert_eq!(given.body["token_type"], "DPoP", "{given:?}");
    let access = token(&given, "access_token");
    let proof = prover.with_token(house, "/fhir/Patient", &access, &[]);
    assert_eq!(read(house, "/fhir/Patient", "DPoP", &access, &[&proof]).await.found().len(), 2);
    let smart = house.people_json(Request::get("/fhir/.well-known/smart-configuration"), String::new()).await;
    assert_eq!(smart.body["dpop_signing_alg_values_supported"], json!(["ES256", "EdDSA", "RS256"]));
}

/// Shows REQ-SMART-63: a proof that is missing, is for another request, token or key, or came before, opens nothing, and neither
/// does the token without one.
#[tokio::test(flavor = "multi_thread")]
async fn proofs_that_do_not_count() {
    let ward = Ward::new().await;
    let (house, app, prover) = (&ward.house, ward.house.app("public", json!({})).await, Prover::new());
    let access = token(&launched(&ward, &app, &prover).await, "access_token");
    let path = "/fhir/Patient";
    let refused = |name: &str, answer: &Answer, code: &str| {
        assert_eq!((answer.status, answer.code()), (StatusCode::UNAUTHORIZED, code), "{name}: {answer:?}");
    };
    let fine = || prover.with_token(house, path, &access, &[]);
    refused("dpop_proof_missing", &read(house, path, "DPoP", &access, &[]).await, "smart-proof");
    refused("dpop_downgrade_to_bearer", &read(house, path, "Bearer", &access, &[]).await, "smart-token-binding");
    refused("dpop_downgrade_to_bearer", &read(house, path, "Bearer", &access, &[&fine()]).await, "smart-token-binding");
    refused("dpop_two_proofs", &read(house, path, "DPoP", &access, &[&fine(), &fine()]).await, "smart-proof");
    refused("dpop_proof_is_none", &read(house, path, "DPoP", &access, &["x"]).await, "smart-proof");
    let other_hash = json!(BASE64URL_NOPAD.encode(&sha256(b"other")));
    for (name, change) in [
        ("dpop_other_method", ("htm", json!("POST"))),
        ("dpop_other_url", ("htu", json!(format!("{PUBLIC}/fhir/Observation")))),
        ("dpop_other_host", ("htu", json!("https://evil.example/fhir/Patient"))),
        ("dpop_other_token", ("ath", other_hash)),
        ("dpop_ath_missing", ("ath", Value::Null)),
        ("dpop_jti_missing", ("jti", Value::Null)),
    ] {
        let proof = prover.with_token(house, path, &access, &[change]);
        let answer = read(house, path, "DPoP", &access, &[&proof]).await;
        refused(name, &answer, "smart-proof");
        assert!(answer.header("www-authenticate").starts_with("DPoP realm=\"fhir\", error=\"invalid_dpop_proof\""));
    }
    let other = Prover::new().with_token(house, path, &access, &[]);
    refused("dpop_other_key", &read(house, path, "DPoP", &access, &[&other]).await, "smart-proof");
    let proof = fine();
    assert_eq!(read(house, path, "DPoP", &access, &[&proof]).await.status, StatusCode::OK);
    refused("dpop_proof_replayed", &read(house, path, "DPoP", &access, &[&proof]).await, "smart-proof");
    let bearer = token(&ward.launched(&app, &[]).await, "access_token");
    let proof = prover.with_token(house, path, &bearer, &[]);
    refused("dpop_with_a_bearer_token", &read(house, path, "DPoP", &bearer, &[&proof]).await, "smart-token-binding");

    // Another clock: the nonce that is given with the refusal lets it in, and only ours does.
    let late = [("iat", json!(1_000))];
    let answer = read(house, path, "DPoP", &access, &[&prover.with_token(house, path, &access, &late)]).await;
    refused("dpop_late", &answer, "smart-proof-nonce");
    let nonce = json!(answer.header("dpop-nonce"));
    let with = |nonce: Value| prover.with_token(house, path, &access, &[late[0].clone(), ("nonce", nonce)]);
    let nonced = with(nonce.clone());
    assert_eq!(read(house, path, "DPoP", &access, &[&nonced]).await.status, StatusCode::OK);
    refused("dpop_nonce_proof_replayed", &read(house, path, "DPoP", &access, &[&nonced]).await, "smart-proof");
    let forged = read(house, path, "DPoP", &access, &[&with(json!("bm9uc2Vuc2U"))]).await;
    refused("dpop_nonce_of_another", &forged, "smart-proof-nonce");
    house.site.clock.advance(300);
    let old = read(house, path, "DPoP", &access, &[&with(nonce)]).await;
    refused("dpop_nonce_old", &old, "smart-proof-nonce");
}

/// Shows REQ-SMART-64: at the token address too; a refresh token and a code that were bound to a key are of no use without it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_and_a_code_are_bound_too() {
    let ward = Ward::new().await;
    let (house, app, prover) = (&ward.house, ward.house.app("public", json!({})).await, Prover::new());
    let proof = |change: &[(&str, Value)]| prover.proof(house, "POST", "/auth/token", change);
    let other = || Prover::new().proof(house, "POST", "/auth/token", &[]);
    let refresh = token(&launched(&ward, &app, &prover).await, "refresh_token");
    let again = [("grant_type", "refresh_token"), ("refresh_token", &*refresh)];
    for (name, shown, error) in [
        ("dpop_refresh_downgraded", None, "invalid_grant"),
        ("dpop_refresh_by_another_key", Some(other()), "invalid_grant"),
        ("dpop_other_url", Some(proof(&[("htu", json!(format!("{PUBLIC}/auth/revoke")))])), "invalid_dpop_proof"),
        ("dpop_other_method", Some(proof(&[("htm", json!("GET"))])), "invalid_dpop_proof"),
        ("dpop_late", Some(proof(&[("iat", json!(1_000))])), "use_dpop_nonce"),
    ] {
        let answer = ask(house, &app, &again, shown.as_deref()).await;
        assert_eq!((answer.status, &answer.body["error"]), (StatusCode::BAD_REQUEST, &json!(error)), "{name}");
        assert_eq!(answer.header("dpop-nonce").is_empty(), error != "use_dpop_nonce", "{name}");
    }
    let once = proof(&[]);
    let given = ask(house, &app, &again, Some(&once)).await;
    let next = token(&given, "refresh_token");
    let again = [("grant_type", "refresh_token"), ("refresh_token", &*next)];
    let replayed = ask(house, &app, &again, Some(&once)).await;
    assert_eq!(replayed.body["error"], "invalid_dpop_proof", "dpop_proof_replayed");
    assert_eq!(ask(house, &app, &again, Some(&proof(&[]))).await.status, StatusCode::OK, "nothing was spent by that");

    // A code that was asked for with a key (section 10).
    let thumbprint = prover.thumbprint();
    let code = ward.code_for(&app, &[("dpop_jkt", &thumbprint)]).await;
    for shown in [None, Some(other())] {
        let answer = ask(house, &app, &exchange(&code), shown.as_deref()).await;
        assert_eq!(answer.body["error"], "invalid_grant", "dpop_code_by_another_key");
    }
    assert_eq!(ask(house, &app, &exchange(&code), Some(&proof(&[]))).await.status, StatusCode::OK);
    let page = Browser::new(house).authorize(&query(&app.id, &[("dpop_jkt", "x")])).await;
    assert_eq!(page.parameter("error"), "invalid_request");
}

/// Shows REQ-SMART-65: a proof counts once at all hubs of a store.
#[tokio::test(flavor = "multi_thread")]
async fn dpop_proof_replayed_at_another_hub() {
    let place = on_server();
    let ward = Ward::at(House::at(Some(place.clone()))).await;
    let other = House::at(Some(place));
    let (app, prover) = (ward.house.app("public", json!({})).await, Prover::new());
    let access = token(&launched(&ward, &app, &prover).await, "access_token");
    let proof = prover.with_token(&ward.house, "/fhir/Patient", &access, &[]);
    assert_eq!(read(&ward.house, "/fhir/Patient", "DPoP", &access, &[&proof]).await.status, StatusCode::OK);
    assert_eq!(read(&other, "/fhir/Patient", "DPoP", &access, &[&proof]).await.code(), "smart-proof");
    let fresh = prover.with_token(&ward.house, "/fhir/Patient", &access, &[]);
    assert_eq!(read(&other, "/fhir/Patient", "DPoP", &access, &[&fresh]).await.status, StatusCode::OK);
}
