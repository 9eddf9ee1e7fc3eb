//! What everybody may read: addresses, abilities, keys; and that nothing else is open.

use super::case::{Case, Told, case, ensure, failed, skipped};
use super::subject::Subject;
use super::web::{Answer, Url};
use http::{Method, StatusCode};
use medlock_clinical::jose::KeySet;
use serde_json::Value;

pub(super) const CASES: &[Case] = &[
    case!(well_known_endpoint, "the SMART configuration is JSON at the FHIR address, and open", endpoint),
    case!(well_known_capabilities_stu2, "it has the members that its abilities ask for", members),
    case!(smart_cors_well_known_endpoint, "software in any page may read it", cors_configuration),
    case!(smart_cors_metadata_request, "software in any page may read the CapabilityStatement", cors_metadata),
    case!(smart_tls, "all addresses are https, or of this machine", over_tls),
    case!(smart_openid_retrieve_configuration, "the OpenID configuration is where its issuer says", openid),
    case!(
        smart_openid_required_configuration_fields,
        "it has the members that OpenID Connect asks for",
        openid_members
    ),
    case!(smart_openid_retrieve_jwks, "the published keys can be used, and none is private", keys),
    case!(metadata_is_r4, "the CapabilityStatement is open, and of FHIR R4", metadata),
    case!(pkce_plain_is_not_advertised, "S256 is the only method of proof keys", only_s256),
    case!(implicit_is_not_advertised, "tokens are not given in addresses", no_implicit),
    case!(algorithms_are_asymmetric, "neither none nor HS256 is an algorithm of assertions", asymmetric),
    case!(g10_unauthorized_access, "without a token nothing is read", without_token),
    case!(token_unknown, "a token that nobody has given is refused", unknown_token),
    case!(token_of_another_scheme, "a token is shown as Bearer, and not as a password", other_scheme),
];

async fn endpoint(subject: &Subject) -> Told {
    let answer = subject.web.get(subject.fhir(".well-known/smart-configuration")).send().await?;
    ensure(answer.status == StatusCode::OK && answer.json().is_object(), answer.to_string())?;
    let of = answer.header("content-type").to_owned();
    ensure(of.starts_with("application/json"), format!("its content-type is {of:?}, and not application/json"))
}

async fn members(subject: &Subject) -> Told {
    let told = subject.smart().await?;
    let texts = |name: &str| {
        let all = told.get(name).and_then(Value::as_array);
        all.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>()).unwrap_or_default()
    };
    let capabilities = texts("capabilities");
    ensure(!capabilities.is_empty(), "capabilities has nothing")?;
    ensure(!texts("grant_types_supported").is_empty(), "grant_types_supported has nothing")?;
    let mut needed = vec!["token_endpoint"];
    if capabilities.iter().any(|one| one.starts_with("launch-")) {
        needed.push("authorization_endpoint");
        ensure(
            texts("code_challenge_methods_supported").contains(&"S256"),
            "code_challenge_methods_supported has no S256",
        )?;
    }
    if capabilities.contains(&"sso-openid-connect") {
        needed.extend(["issuer", "jwks_uri"]);
    }
    for name in needed {
        let address = told.get(name).and_then(Value::as_str);
        let address = address.ok_or_else(|| failed(format!("{name} is missing")))?;
        Url::read(address).map_err(|error| failed(format!("{name}: {error}")))?;
    }
    Ok(())
}

/// What a page of another origin may see of an answer.
pub(super) fn shared(answer: &Answer) -> Told {
    let allowed = answer.header("access-control-allow-origin");
    let shared = ["*", ORIGIN].contains(&allowed);
    ensure(shared && answer.status.is_success(), format!("access-control-allow-origin is {allowed:?}: {answer}"))
}

/// The origin of a page that is nobody's.
pub(super) const ORIGIN: &str = "https://app.conformance.example";

async fn cors(subject: &Subject, path: &str) -> Told {
    shared(&subject.web.get(subject.fhir(path)).header("origin", ORIGIN).send().await?)
}

async fn cors_configuration(subject: &Subject) -> Told {
    cors(subject, ".well-known/smart-configuration").await
}

async fn cors_metadata(subject: &Subject) -> Told {
    cors(subject, "metadata").await
}

async fn over_tls(subject: &Subject) -> Told {
    let told = subject.smart().await?;
    let own = told.as_object().into_iter().flatten();
    let addresses = own.filter_map(|(name, value)| value.as_str().map(|text| (name.as_str(), text)));
    for (name, address) in addresses.chain([("--base", subject.base.as_str())]) {
        if let Ok(url) = Url::read(address) {
            ensure(url.secure || url.is_here(), format!("{name} is {address}: anybody on the way reads tokens"))?;
        }
    }
    Ok(())
}

/// Where the OpenID configuration of the issuer is.
async fn configuration(subject: &Subject) -> super::case::Given<(String, Value)> {
    let told = subject.smart().await?;
    let issuer = told.get("issuer").and_then(Value::as_str);
    let issuer = issuer.ok_or_else(|| skipped("needs a server that signs people in (issuer)"))?.to_owned();
    let at = format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'));
    let answer = subject.web.get(at).send().await?;
    let told = answer.json();
    if told.is_object() { Ok((issuer, told)) } else { Err(failed(answer.to_string())) }
}

async fn openid(subject: &Subject) -> Told {
    let (issuer, told) = configuration(subject).await?;
    ensure(
        told["issuer"] == issuer.as_str(),
        format!("it says that its issuer is {}, and not {issuer}", told["issuer"]),
    )
}

async fn openid_members(subject: &Subject) -> Told {
    let (_, told) = configuration(subject).await?;
    for name in ["issuer", "authorization_endpoint", "token_endpoint", "jwks_uri"] {
        ensure(told[name].is_string(), format!("{name} is missing"))?;
    }
    for name in ["response_types_supported", "subject_types_supported", "id_token_signing_alg_values_supported"] {
        ensure(told[name].as_array().is_some_and(|all| !all.is_empty()), format!("{name} has nothing"))?;
    }
    let algorithms = told["id_token_signing_alg_values_supported"].as_array();
    ensure(algorithms.is_some_and(|all| all.iter().any(|one| one == "RS256")), "ID tokens are not signed by RS256")
}

async fn keys(subject: &Subject) -> Told {
    let answer = subject.web.get(subject.endpoint("jwks_uri").await?).send().await?;
    let set = KeySet::from_json(&answer.body).map_err(|error| failed(format!("{error}: {answer}")))?;
    ensure(!set.is_empty(), format!("there is no key: {answer}"))?;
    let told = answer.json();
    let keys = told["keys"].as_array().into_iter().flatten();
    let private = keys.flat_map(|key| ["d", "p", "q", "k"].into_iter().filter(|part| key.get(part).is_some()));
    ensure(private.count() == 0, "a private key is published")
}

async fn metadata(subject: &Subject) -> Told {
    let answer = subject.web.get(subject.fhir("metadata")).send().await?;
    let told = answer.json();
    let right = told["resourceType"] == "CapabilityStatement" && told["fhirVersion"] == "4.0.1";
    ensure(answer.status == StatusCode::OK && right, format!("no CapabilityStatement of 4.0.1: {answer}"))
}

async fn only_s256(subject: &Subject) -> Told {
    let told = subject.smart().await?;
    let methods = told.get("code_challenge_methods_supported").and_then(Value::as_array).cloned().unwrap_or_default();
    ensure(!methods.iter().any(|method| method == "plain"), "plain is among code_challenge_methods_supported")
}

async fn no_implicit(subject: &Subject) -> Told {
    let told = subject.smart().await?;
    let types = told.get("response_types_supported").and_then(Value::as_array).cloned().unwrap_or_default();
    let token = types.iter().filter_map(Value::as_str).find(|one| one.split(' ').any(|part| part == "token"));
    ensure(token.is_none(), format!("{token:?} is among response_types_supported"))
}

async fn asymmetric(subject: &Subject) -> Told {
    let told = subject.smart().await?;
    let name = "token_endpoint_auth_signing_alg_values_supported";
    let all = told.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let weak = all.iter().filter_map(Value::as_str).find(|one| *one == "none" || one.starts_with("HS"));
    ensure(weak.is_none(), format!("{weak:?} is among {name}"))
}

async fn without_token(subject: &Subject) -> Told {
    for path in ["Patient", "Patient/1", "Observation?_count=1"] {
        let answer = subject.web.get(subject.fhir(path)).send().await?;
        ensure(answer.status == StatusCode::UNAUTHORIZED, answer.to_string())?;
    }
    Ok(())
}

async fn unknown_token(subject: &Subject) -> Told {
    let long = "A".repeat(4_000);
    for token in ["conformance", "eyJhbGciOiJub25lIn0.eyJzY29wZSI6InN5c3RlbS8qLmNydWRzIn0.", "null", &*long] {
        let answer = subject.get("Patient", token).await?;
        ensure(answer.status == StatusCode::UNAUTHORIZED, answer.to_string())?;
    }
    Ok(())
}

async fn other_scheme(subject: &Subject) -> Told {
    for shown in ["Basic YTpi", "Bearer", "bearer ", "Token x", "Bearer a b"] {
        let ask = subject.web.ask(Method::GET, subject.fhir("Patient")).header("authorization", shown);
        let answer = ask.send().await?;
        ensure(matches!(answer.status.as_u16(), 400 | 401), format!("{shown:?}: {answer}"))?;
    }
    Ok(())
}
