//! Software of a community, which registers by itself (HL7 UDAP Security).

use super::case::{Case, Given, Told, after, case, ensure, failed, skipped};
use super::subject::{ASSERTION, Member, Subject, now, number, refused, unsigned};
use super::web::{Answer, Url, form};
use http::{Method, StatusCode};
use medlock_clinical::jose::{Compact, Key};
use medlock_trust::x509::Certificate;
use serde_json::{Value, json};

pub(super) const CASES: &[Case] = &[
    case!(udap_well_known_endpoint, "what is served is told as JSON at the FHIR address", |s| told(s, |_| Ok(()))),
    case!(udap_versions_supported_field, "version 1", |s| told(s, |told| has(told, "udap_versions_supported", &["1"]))),
    case!(udap_profiles_supported_field, "registration and authentication", |s| told(s, |told| has(
        told,
        "udap_profiles_supported",
        &["udap_dcr", "udap_authn"]
    ))),
    case!(udap_auth_extensions_supported_field, "extensions that are understood, as a list", |s| told(s, |told| list(
        told,
        "udap_authorization_extensions_supported"
    ))),
    case!(udap_auth_extensions_required_field, "extensions that are required are among them", |s| told(s, required)),
    case!(udap_certifications_supported_field, "certifications, as a list", |s| told(s, |told| list(
        told,
        "udap_certifications_supported"
    ))),
    case!(udap_grant_types_supported_field, "ways to a token", |s| told(s, grants)),
    case!(udap_scopes_supported_field, "scopes, as a list, where they are told", |s| told(s, |told| told
        .get("scopes_supported")
        .map_or(Ok(()), |_| list(told, "scopes_supported")))),
    case!(udap_authorization_endpoint_field, "where people are asked, if they are", |s| told(s, |told| {
        optional_address(told, "authorization_endpoint")
    })),
    case!(udap_token_endpoint_field, "where tokens are given", |s| told(s, |told| address(told, "token_endpoint"))),
    case!(udap_registration_endpoint_field, "where software registers", |s| told(s, |told| address(
        told,
        "registration_endpoint"
    ))),
    case!(udap_token_endpoint_auth_methods_supported_field, "by keys alone", |s| told(s, |told| ensure(
        told["token_endpoint_auth_methods_supported"] == json!(["private_key_jwt"]),
        told["token_endpoint_auth_methods_supported"].to_string()
    ))),
    case!(udap_token_endpoint_auth_signing_alg_values_supported_field, "RS256 at least", |s| told(s, |told| has(
        told,
        "token_endpoint_auth_signing_alg_values_supported",
        &["RS256"]
    ))),
    case!(udap_reg_endpoint_jwt_signing_alg_values_supported_field, "RS256 at least", |s| told(s, |told| has(
        told,
        "registration_endpoint_jwt_signing_alg_values_supported",
        &["RS256"]
    ))),
    case!(udap_signed_metadata_field, "the same, signed", |s| told(s, |told| Compact::read(
        told["signed_metadata"].as_str().unwrap_or_default()
    )
    .map(drop)
    .map_err(|error| failed(error.to_string())))),
    case!(udap_signed_metadata_contents, "by the server, for its own addresses, for a year at most", signed_contents),
    case!(udap_community_unknown, "a community that is unknown gets no content", unknown_community),
    case!(
        udap_registration_failure_invalid_contents,
        "a statement of another audience, subject or time registers nothing",
        invalid_contents
    ),
    case!(
        udap_registration_failure_invalid_jwt_signature,
        "nor one that another key has signed, or none",
        invalid_signature
    ),
    case!(udap_registration_success, "a statement that is as it should be registers", registered_case),
    case!(udap_registration_success_contents, "and what was registered is told", registered_contents),
    case!(udap_registration_replayed, "a statement counts once", statement_replayed),
    case!(udap_client_credentials_token_exchange, "the registered software gets a token by its chain", exchanged),
    case!(udap_token_exchange_response_body, "token and type are told", exchange_body),
    case!(udap_token_exchange_response_headers, "no cache keeps the answer", exchange_headers),
    case!(udap_assertion_of_another_key, "no token by another key, or none", another_key),
    case!(udap_assertion_without_chain, "nor without the chain", without_chain),
    case!(udap_assertion_for_another_audience, "nor for another audience", |s| claim(
        s,
        "aud",
        json!("https://other.example/token")
    )),
    case!(udap_assertion_expired, "nor after its end", |s| claim(s, "exp", json!(now() - 600))),
    case!(udap_security_jti_reuse_prevention, "nor with a number that came before", assertion_replayed),
];

async fn metadata(subject: &Subject) -> Given<&Value> {
    let read = async {
        let community = subject.member.as_ref().and_then(|member| member.community.as_deref());
        let query = community.map(|name| format!("?{}", form(&[("community", name)]))).unwrap_or_default();
        let answer = subject.web.get(subject.fhir(&format!(".well-known/udap{query}"))).send().await?;
        if subject.member.is_none() && matches!(answer.status.as_u16(), 204 | 404) {
            return Err(skipped("needs a server with a community (UDAP)"));
        }
        let right = answer.status == StatusCode::OK && answer.json().is_object();
        if right { Ok(answer.json()) } else { Err(failed(answer.to_string())) }
    };
    subject.shared.udap.get_or_init(|| read).await.as_ref().map_err(Clone::clone)
}

async fn told(subject: &Subject, look: impl Fn(&Value) -> Told) -> Told {
    look(metadata(subject).await?)
}

fn list(told: &Value, name: &str) -> Told {
    let texts = told[name].as_array().is_some_and(|all| all.iter().all(Value::is_string));
    ensure(texts, format!("{name} is no list of texts: {}", told[name]))
}

fn has(told: &Value, name: &str, needed: &[&str]) -> Told {
    list(told, name)?;
    let all = told[name].as_array().cloned().unwrap_or_default();
    let missing = needed.iter().find(|one| !all.contains(&json!(one)));
    ensure(missing.is_none(), format!("{name} has no {missing:?}"))
}

fn required(told: &Value) -> Told {
    if told["udap_authorization_extensions_supported"].as_array().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    list(told, "udap_authorization_extensions_required")?;
    let all = told["udap_authorization_extensions_supported"].as_array().cloned().unwrap_or_default();
    let needed = told["udap_authorization_extensions_required"].as_array().cloned().unwrap_or_default();
    ensure(needed.iter().all(|one| all.contains(one)), "one is required that is not supported")
}

fn grants(told: &Value) -> Told {
    list(told, "grant_types_supported")?;
    let all = told["grant_types_supported"].as_array().cloned().unwrap_or_default();
    let has = |name: &str| all.contains(&json!(name));
    ensure(has("authorization_code") || has("client_credentials"), "there is no way to a token")?;
    ensure(!has("refresh_token") || has("authorization_code"), "refresh_token comes with authorization_code alone")
}

fn address(told: &Value, name: &str) -> Told {
    let text = told[name].as_str().ok_or_else(|| failed(format!("{name} is missing")))?;
    Url::read(text).map(drop).map_err(|error| failed(error.to_string()))
}

fn optional_address(told: &Value, name: &str) -> Told {
    if told["grant_types_supported"].to_string().contains("authorization_code") { address(told, name) } else { Ok(()) }
}

async fn signed_contents(subject: &Subject) -> Told {
    let told = metadata(subject).await?;
    let read = Compact::read(told["signed_metadata"].as_str().unwrap_or_default())
        .map_err(|error| failed(error.to_string()))?;
    let der = read.header().certificates.first().ok_or_else(|| failed("it has no chain (x5c)"))?.clone();
    let certificate = Certificate::from_der(&der).map_err(|_| failed("its certificate cannot be read"))?;
    let key = Key::from_spki(certificate.spki()).ok_or_else(|| failed("its certificate's key cannot be used"))?;
    let claims = read.verify(&key).map_err(|error| failed(error.to_string()))?;
    let text = |name: &'static str| claims.text(name).map_err(|error| failed(error.to_string()));
    let time =
        |name: &'static str| claims.time(name).map(|time| time.unix()).map_err(|error| failed(error.to_string()));
    ensure(
        text("iss")? == subject.base && text("sub")? == subject.base,
        format!("iss and sub are not {}", subject.base),
    )?;
    ensure(contains(&der, subject.base.as_bytes()), "its certificate does not name the server's address")?;
    for name in ["token_endpoint", "registration_endpoint"] {
        ensure(told[name] == text(name)?.as_str(), format!("{name} is signed as another than is told"))?;
    }
    ensure(!text("jti")?.is_empty(), "it has no number")?;
    let (made, until) = (time("iat")?, time("exp")?);
    ensure(made <= now() + 60 && until > now() && until - made <= 366 * 86_400, "its times do not fit")
}

fn contains(all: &[u8], part: &[u8]) -> bool {
    all.windows(part.len()).any(|window| window == part)
}

async fn unknown_community(subject: &Subject) -> Told {
    metadata(subject).await?;
    let answer =
        subject.web.get(subject.fhir(".well-known/udap?community=https%3A%2F%2Fno-such.example")).send().await?;
    ensure(matches!(answer.status.as_u16(), 204 | 404), answer.to_string())
}

async fn endpoint(subject: &Subject, name: &str) -> Given<String> {
    let told = metadata(subject).await?;
    told[name].as_str().map(str::to_owned).ok_or_else(|| failed(format!("{name} is missing")))
}

/// A software statement that is as it should be.
async fn statement(subject: &Subject, member: &Member) -> Given<Value> {
    let now = now();
    Ok(json!({
        "iss": member.uri, "sub": member.uri, "aud": endpoint(subject, "registration_endpoint").await?, "iat": now, "exp": now + 240,
        "jti": number(), "client_name": "Conformance", "contacts": ["mailto:conformance@app.example"],
        "grant_types": ["client_credentials"], "token_endpoint_auth_method": "private_key_jwt", "scope": member.scope,
    }))
}

async fn register(subject: &Subject, statement: &str) -> Given<Answer> {
    let body = json!({ "software_statement": statement, "certifications": [], "udap": "1" });
    let ask = subject.web.ask(Method::POST, endpoint(subject, "registration_endpoint").await?);
    Ok(ask.of("application/json", body.to_string()).send().await?)
}

/// A statement registers nothing.
async fn registers_nothing(subject: &Subject, statement: &str) -> Told {
    let answer = register(subject, statement).await?;
    let error = answer.text("error").unwrap_or_default();
    let known = ["invalid_software_statement", "unapproved_software_statement", "invalid_client_metadata"];
    ensure(answer.status == StatusCode::BAD_REQUEST && known.contains(&&*error), answer.to_string())
}

fn with(mut of: Value, name: &str, value: Value) -> Value {
    of[name] = value;
    of
}

async fn invalid_contents(subject: &Subject) -> Told {
    let member = subject.member()?;
    for (name, value) in [
        ("aud", json!("https://other.example/register")),
        ("sub", json!("https://somebody.example")),
        ("iss", json!("https://somebody.example")),
        ("exp", json!(now() - 600)),
        ("grant_types", json!("client_credentials")),
    ] {
        let claims = with(statement(subject, member).await?, name, value);
        registers_nothing(subject, &member.signer.sign(&member.signer.header(), &claims.to_string())).await?;
    }
    Ok(())
}

async fn invalid_signature(subject: &Subject) -> Told {
    let member = subject.member()?;
    let (header, claims) = (member.signer.header(), statement(subject, member).await?);
    registers_nothing(subject, &member.signer.stranger().sign(&header, &claims.to_string())).await?;
    registers_nothing(subject, &unsigned(&header, &claims)).await?;
    registers_nothing(subject, &unsigned(&with(header, "alg", json!("none")), &claims)).await
}

/// What was answered to a statement that is as it should be.
async fn registration(subject: &Subject) -> Given<Answer> {
    let member = subject.member()?;
    let claims = statement(subject, member).await?;
    let answer = register(subject, &member.signer.sign(&member.signer.header(), &claims.to_string())).await?;
    let right = matches!(answer.status.as_u16(), 200 | 201) && answer.json()["client_id"].is_string();
    if right { Ok(answer) } else { Err(failed(answer.to_string())) }
}

/// As what the software is registered.
async fn registered(subject: &Subject) -> Given<&str> {
    let read = async { Ok(registration(subject).await?.text("client_id").unwrap_or_default()) };
    subject.shared.registered.get_or_init(|| read).await.as_deref().map_err(Clone::clone)
}

async fn registered_case(subject: &Subject) -> Told {
    registered(subject).await.map(drop)
}

async fn registered_contents(subject: &Subject) -> Told {
    after("udap_registration_success", registered(subject).await)?;
    let answer = registration(subject).await?;
    let told = answer.json();
    ensure(told["client_id"] == registered(subject).await?, "the same software has got another client_id")?;
    ensure(told["software_statement"].is_string(), "software_statement is missing")?;
    ensure(told["client_name"] == "Conformance", format!("client_name is {}", told["client_name"]))?;
    ensure(told["grant_types"] == json!(["client_credentials"]), format!("grant_types is {}", told["grant_types"]))?;
    ensure(told["token_endpoint_auth_method"] == "private_key_jwt", "token_endpoint_auth_method is another")
}

async fn statement_replayed(subject: &Subject) -> Told {
    after("udap_registration_success", registered(subject).await)?;
    let member = subject.member()?;
    let claims = statement(subject, member).await?.to_string();
    let statement = member.signer.sign(&member.signer.header(), &claims);
    let first = register(subject, &statement).await?;
    ensure(first.status.is_success(), first.to_string())?;
    registers_nothing(subject, &statement).await
}

/// An assertion that is as it should be.
async fn assertion(subject: &Subject) -> Given<(&Member, Value)> {
    let id = after("udap_registration_success", registered(subject).await)?;
    let (now, aud) = (now(), endpoint(subject, "token_endpoint").await?);
    let claims = json!({
        "iss": id, "sub": id, "aud": aud, "iat": now, "exp": now + 240, "jti": number(),
        "extensions": { "hl7-b2b": {
            "version": "1", "organization_id": "https://clinic.example/organization", "organization_name": "Conformance",
            "purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#TREAT"],
        } },
    });
    Ok((subject.member()?, claims))
}

async fn asked(subject: &Subject, assertion: &str) -> Given<Answer> {
    let member = subject.member()?;
    let pairs = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", ASSERTION),
        ("client_assertion", assertion),
        ("scope", &member.scope),
        ("udap", "1"),
    ];
    Ok(subject.web.post_form(endpoint(subject, "token_endpoint").await?, &pairs).send().await?)
}

async fn exchange(subject: &Subject) -> Given<Answer> {
    let (member, claims) = assertion(subject).await?;
    let answer = asked(subject, &member.signer.sign(&member.signer.header(), &claims.to_string())).await?;
    if answer.status == StatusCode::OK && answer.json()["access_token"].is_string() {
        Ok(answer)
    } else {
        Err(failed(answer.to_string()))
    }
}

async fn exchanged(subject: &Subject) -> Told {
    exchange(subject).await.map(drop)
}

async fn exchange_body(subject: &Subject) -> Told {
    let told = after("udap_client_credentials_token_exchange", exchange(subject).await)?.json();
    let bearer = told["token_type"].as_str().is_some_and(|of| of.eq_ignore_ascii_case("bearer"));
    ensure(bearer, format!("token_type is {}", told["token_type"]))?;
    let seconds = told["expires_in"].as_i64();
    ensure(
        seconds.is_none_or(|seconds| (1..=3_600).contains(&seconds)),
        format!("expires_in is {seconds:?}: an hour is the most"),
    )
}

async fn exchange_headers(subject: &Subject) -> Told {
    let answer = after("udap_client_credentials_token_exchange", exchange(subject).await)?;
    ensure(answer.header("cache-control").contains("no-store"), "cache-control is not no-store")?;
    ensure(answer.header("pragma").contains("no-cache"), "pragma is not no-cache")
}

/// No token is given for this, where one is for what is right.
async fn no(subject: &Subject, assertion: &str) -> Told {
    after("udap_client_credentials_token_exchange", exchange(subject).await)?;
    refused(&asked(subject, assertion).await?, &["invalid_client", "invalid_request", "invalid_grant"])
}

async fn another_key(subject: &Subject) -> Told {
    let (member, claims) = assertion(subject).await?;
    let header = member.signer.header();
    no(subject, &member.signer.stranger().sign(&header, &claims.to_string())).await?;
    no(subject, &unsigned(&header, &claims)).await?;
    no(subject, &unsigned(&with(header, "alg", json!("none")), &claims)).await
}

async fn without_chain(subject: &Subject) -> Told {
    let (member, claims) = assertion(subject).await?;
    let mut header = member.signer.header();
    header.as_object_mut().map(|header| header.remove("x5c"));
    no(subject, &member.signer.sign(&header, &claims.to_string())).await
}

async fn claim(subject: &Subject, name: &str, value: Value) -> Told {
    let (member, claims) = assertion(subject).await?;
    no(subject, &member.signer.sign(&member.signer.header(), &with(claims, name, value).to_string())).await
}

async fn assertion_replayed(subject: &Subject) -> Told {
    let (member, claims) = assertion(subject).await?;
    let assertion = member.signer.sign(&member.signer.header(), &claims.to_string());
    let first = asked(subject, &assertion).await?;
    ensure(first.status == StatusCode::OK, first.to_string())?;
    no(subject, &assertion).await
}
