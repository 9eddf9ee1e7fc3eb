//! Software in its own name (SMART Backend Services): what counts, and each assertion that does not.

use super::case::{Case, Given, Told, after, case, ensure, failed, skipped};
use super::keys::by_secret;
use super::parts;
use super::ssrf::Trap;
use super::subject::{Backend, Subject, now, number, refused, unsigned};
use http::StatusCode;
use serde_json::{Value, json};

/// What the kits ask.
pub(super) const CASES: &[Case] = &[
    case!(smart_backend_services_invalid_grant_type, "another grant_type is refused", grant_type),
    case!(smart_backend_services_invalid_client_assertion, "another client_assertion_type is refused", assertion_type),
    case!(smart_backend_services_invalid_jwt, "what is no assertion of the client is refused", no_assertion),
    case!(smart_backend_services_auth_request_success, "an assertion that is as it should be gets a token", success),
    case!(smart_backend_services_auth_response_body, "token, type, scope and lifetime are told", body),
    case!(backend_token_reads, "the token reads what its scope says", reads),
    case!(backend_fine_grained_scopes, "a scope with a search gives what the search finds, and no more", fine_grained),
];

/// Assertions that do not count.
pub(super) const NEGATIVE: &[Case] = &[
    case!(assertion_with_bad_signature, "a signature of which a part was changed", bad_signature),
    case!(assertion_without_signature, "no signature", no_signature),
    case!(assertion_of_another_key, "the signature of another key", another_key),
    case!(assertion_changed_after_signing, "other claims than were signed", changed_claims),
    case!(alg_none, "algorithm none, with and without a signature", none),
    case!(alg_hs256_with_public_key_as_secret, "the public key as a secret (key confusion)", confusion),
    case!(alg_in_other_case, "an algorithm in other letters", |s| header(s, "alg", json!("eS384"))),
    case!(jwk_in_header, "a key that the assertion itself brings", own_key),
    case!(jku_elsewhere, "keys at an address that the assertion names; it is not called", elsewhere),
    case!(kid_unknown, "a name of no registered key", |s| header(s, "kid", json!("no-such-key"))),
    case!(kid_path_traversal, "a name that is a path", |s| header(s, "kid", json!("../../../../dev/null"))),
    case!(crit_header_unknown, "an extension that has to be understood", |s| header(s, "crit", json!(["exp"]))),
    case!(assertion_for_another_audience, "an audience that is another server", |s| claim(
        s,
        "aud",
        json!("https://other.example/token")
    )),
    case!(assertion_without_aud, "no audience", |s| claim(s, "aud", Value::Null)),
    case!(assertion_expired, "an end ten minutes ago", |s| claim(s, "exp", json!(now() - 600))),
    case!(assertion_without_exp, "no end", |s| claim(s, "exp", Value::Null)),
    case!(assertion_too_long_lived, "an end in a day", |s| claim(s, "exp", json!(now() + 86_400))),
    case!(assertion_not_yet_valid, "a beginning in four minutes", |s| claim(s, "nbf", json!(now() + 200))),
    case!(assertion_without_jti, "no number", |s| claim(s, "jti", Value::Null)),
    case!(jti_replayed, "a number that came before", replayed),
    case!(iss_is_not_sub, "an issuer that is not the subject", |s| claim(s, "sub", json!("somebody-else"))),
    case!(client_unknown, "a client that is not registered", unknown_client),
    case!(duplicate_claims, "a claim that stands twice", twice),
    case!(scope_beyond_registration, "scopes of people in the name of software", beyond),
];

async fn grant_type(subject: &Subject) -> Told {
    let backend = subject.backend()?;
    let (header, claims) = subject.assertion(backend).await?;
    let assertion = backend.signer.sign(&header, &claims.to_string());
    let change = [("grant_type", "not_a_grant_type"), ("scope", &backend.scope), ("client_assertion", &assertion)];
    refused(&subject.assert_with(&change).await?, &["unsupported_grant_type", "invalid_request"])
}

async fn assertion_type(subject: &Subject) -> Told {
    let backend = subject.backend()?;
    let (header, claims) = subject.assertion(backend).await?;
    let assertion = backend.signer.sign(&header, &claims.to_string());
    let change = [
        ("client_assertion_type", "not_an_assertion_type"),
        ("scope", &backend.scope),
        ("client_assertion", &assertion),
    ];
    refused(&subject.assert_with(&change).await?, &["invalid_request", "invalid_client"])
}

async fn no_assertion(subject: &Subject) -> Told {
    let backend = subject.backend()?;
    for assertion in ["a.b.c", "not-a-token", "....", "e30.e30.e30"] {
        refused(&subject.assert(backend, assertion).await?, &["invalid_client", "invalid_request"])?;
    }
    Ok(())
}

async fn success(subject: &Subject) -> Told {
    subject.backend_token().await.map(drop)
}

async fn body(subject: &Subject) -> Told {
    let backend = subject.backend()?;
    let (header, claims) = subject.assertion(backend).await?;
    let answer = subject.assert(backend, &backend.signer.sign(&header, &claims.to_string())).await?;
    let told = answer.json();
    let right = answer.status == StatusCode::OK && told["access_token"].is_string() && told["scope"].is_string();
    ensure(right, answer.to_string())?;
    let bearer = told["token_type"].as_str().is_some_and(|of| of.eq_ignore_ascii_case("bearer"));
    ensure(bearer, format!("token_type is {}, and not bearer", told["token_type"]))?;
    let seconds = told["expires_in"].as_i64().unwrap_or_default();
    ensure(
        (1..=300).contains(&seconds),
        format!("expires_in is {seconds}: five minutes are the most that is recommended"),
    )?;
    ensure(answer.header("cache-control").contains("no-store"), "cache-control is not no-store")
}

async fn reads(subject: &Subject) -> Told {
    let token = after("smart_backend_services_auth_request_success", subject.backend_token().await)?;
    let kind =
        subject.backend()?.scope.split_whitespace().find_map(|scope| scope.strip_prefix("system/")?.split('.').next());
    let kind = kind.filter(|kind| *kind != "*").unwrap_or("Patient");
    let answer = subject.get(&format!("{kind}?_count=1"), &token).await?;
    ensure(answer.status == StatusCode::OK && answer.json()["resourceType"] == "Bundle", answer.to_string())
}

async fn fine_grained(subject: &Subject) -> Told {
    let token = after("smart_backend_services_auth_request_success", subject.backend_token().await)?;
    let patient = json!({ "resourceType": "Patient", "name": [{ "family": "Conformance" }] });
    let planted = match subject.write(&token, &patient).await {
        Ok(patient) => parts::plant(subject, &token, &patient).await.ok(),
        Err(_) => None,
    };
    let backend = subject.backend()?;
    let (header, claims) = subject.assertion(backend).await?;
    let assertion = backend.signer.sign(&header, &claims.to_string());
    let scope = format!("system/Observation.rs?{}", parts::constraint());
    let answer = subject.assert_with(&[("scope", &scope), ("client_assertion", &assertion)]).await?;
    let given = answer.text("scope").unwrap_or_default();
    let Some(given) = given.split_whitespace().find(|scope| scope.starts_with("system/Observation")) else {
        let reason = "needs a server that gives scopes with a search, and --client-id that may read Observation";
        return Err(skipped(reason));
    };
    let token = answer.text("access_token").ok_or_else(|| failed(answer.to_string()))?;
    parts::are_all_it_sees(subject, given, &token, planted.as_ref()).await
}

/// A client whose good assertions count; an assertion of it.
async fn good(subject: &Subject) -> Given<(&Backend, Value, Value)> {
    let backend = subject.backend()?;
    after("smart_backend_services_auth_request_success", subject.backend_token().await)?;
    let (header, claims) = subject.assertion(backend).await?;
    Ok((backend, header, claims))
}

/// The server refuses this assertion.
async fn no(subject: &Subject, backend: &Backend, assertion: &str) -> Told {
    let answer = subject.assert(backend, assertion).await?;
    refused(&answer, &["invalid_client", "invalid_request", "invalid_grant"])
}

fn with(mut of: Value, name: &str, value: Value) -> Value {
    match (value, of.as_object_mut()) {
        (Value::Null, Some(of)) => _ = of.remove(name),
        (value, _) => of[name] = value,
    }
    of
}

async fn header(subject: &Subject, name: &str, value: Value) -> Told {
    let (backend, header, claims) = good(subject).await?;
    no(subject, backend, &backend.signer.sign(&with(header, name, value), &claims.to_string())).await
}

async fn claim(subject: &Subject, name: &str, value: Value) -> Told {
    let (backend, header, claims) = good(subject).await?;
    no(subject, backend, &backend.signer.sign(&header, &with(claims, name, value).to_string())).await
}

async fn bad_signature(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let fine = backend.signer.sign(&header, &claims.to_string());
    let at = fine.rfind('.').map_or(fine.len(), |at| at.saturating_add(20));
    let (head, tail) = fine.split_at_checked(at).ok_or_else(|| failed("the signature is short"))?;
    let other = if tail.starts_with('A') { 'B' } else { 'A' };
    no(subject, backend, &format!("{head}{other}{}", tail.get(1..).unwrap_or_default())).await
}

async fn no_signature(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    no(subject, backend, &unsigned(&header, &claims)).await
}

async fn another_key(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    no(subject, backend, &backend.signer.stranger().sign(&header, &claims.to_string())).await
}

async fn changed_claims(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let fine = backend.signer.sign(&header, &claims.to_string());
    let other = unsigned(&header, &with(claims, "jti", json!(number())));
    let signature = fine.rsplit('.').next().unwrap_or_default();
    no(subject, backend, &format!("{other}{signature}")).await
}

async fn none(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    for name in ["none", "None", "NONE"] {
        let header = with(header.clone(), "alg", json!(name));
        no(subject, backend, &unsigned(&header, &claims)).await?;
        no(subject, backend, &backend.signer.sign(&header, &claims.to_string())).await?;
    }
    Ok(())
}

async fn confusion(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let header = with(header, "alg", json!("HS256"));
    for secret in backend.signer.public_forms() {
        no(subject, backend, &by_secret(&header, &claims.to_string(), &secret)).await?;
    }
    Ok(())
}

async fn own_key(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let stranger = backend.signer.stranger();
    let header = with(header, "jwk", stranger.jwk());
    no(subject, backend, &stranger.sign(&header, &claims.to_string())).await
}

async fn elsewhere(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let (trap, stranger) = (Trap::new().await?, backend.signer.stranger());
    for address in trap.addresses() {
        let header = with(header.clone(), "jku", json!(address));
        no(subject, backend, &stranger.sign(&header, &claims.to_string())).await?;
    }
    trap.stayed_empty().await
}

async fn replayed(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let assertion = backend.signer.sign(&header, &claims.to_string());
    let first = subject.assert(backend, &assertion).await?;
    ensure(first.status == StatusCode::OK, first.to_string())?;
    no(subject, backend, &assertion).await?;
    // Signed anew, it has the same number.
    no(subject, backend, &backend.signer.sign(&header, &claims.to_string())).await
}

async fn unknown_client(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let claims = with(with(claims, "iss", json!("no-such-client")), "sub", json!("no-such-client"));
    no(subject, backend, &backend.signer.sign(&header, &claims.to_string())).await
}

async fn twice(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let claims = claims.to_string().replacen('{', "{\"iss\":\"somebody-else\",\"sub\":\"somebody-else\",", 1);
    no(subject, backend, &backend.signer.sign(&header, &claims)).await
}

async fn beyond(subject: &Subject) -> Told {
    let (backend, header, claims) = good(subject).await?;
    let assertion = backend.signer.sign(&header, &claims.to_string());
    let change = [("scope", "patient/*.cruds user/*.cruds openid fhirUser"), ("client_assertion", &assertion)];
    let answer = subject.assert_with(&change).await?;
    let scope = answer.text("scope").unwrap_or_default();
    let given = scope.split_whitespace().find(|one| one.starts_with("patient/") || one.starts_with("user/"));
    ensure(given.is_none(), format!("{given:?} was given to nobody's software"))
}
