//! What a client has to know before it asks (SMART App Launch 2.2, section 7; OpenID Connect Discovery 1.0; RFC 8705,
//! section 5).

use super::proof::ALGORITHMS;
use super::scope::{Whose, Word, served};
use crate::access::Verb;
use crate::kind::Kind;
use crate::rest::Door;
use serde_json::{Value, json};

/// Parts of all Observations that are told as examples of what may be asked: those of US Core.
const CATEGORIES: [&str; 4] = ["social-history", "laboratory", "survey", "vital-signs"];

/// `/.well-known/smart-configuration`
pub(crate) fn smart_configuration(door: &Door) -> Vec<u8> {
    let mut told = server(door);
    let more = json!({
        "capabilities": [
            "launch-ehr", "launch-standalone", "authorize-post",
            "client-public", "client-confidential-symmetric", "client-confidential-asymmetric", "sso-openid-connect",
            "context-banner", "context-ehr-patient", "context-standalone-patient",
            "permission-offline", "permission-online", "permission-patient", "permission-user", "permission-v1",
            "permission-v2",
        ],
    });
    merge(&mut told, more);
    told.to_string().into_bytes()
}

/// `/.well-known/openid-configuration`
pub(crate) fn openid_configuration(door: &Door) -> Vec<u8> {
    let mut told = server(door);
    let more = json!({
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256"],
        "claims_supported": ["iss", "sub", "aud", "iat", "exp", "auth_time", "nonce", "fhirUser"],
        "prompt_values_supported": ["none", "login"],
        "request_uri_parameter_supported": false,
    });
    merge(&mut told, more);
    told.to_string().into_bytes()
}

/// What both say. People sign in at their own door, whichever was asked.
fn server(door: &Door) -> Value {
    let settings = door.clinical.settings();
    let (people, address) = (settings.public_url.as_str(), door.address());
    let mut told = json!({
        "issuer": people,
        "jwks_uri": format!("{address}/auth/keys"),
        "authorization_endpoint": format!("{people}/auth/authorize"),
        "token_endpoint": format!("{address}/auth/token"),
        "introspection_endpoint": format!("{address}/auth/introspect"),
        "revocation_endpoint": format!("{address}/auth/revoke"),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": methods(door),
        "token_endpoint_auth_signing_alg_values_supported": ["RS384", "ES384"],
        "dpop_signing_alg_values_supported": ALGORITHMS,
        "authorization_response_iss_parameter_supported": true,
        "scopes_supported": scopes(&settings.kinds),
    });
    if door.of_devices {
        merge(&mut told, json!({ "tls_client_certificate_bound_access_tokens": true }));
    } else if !door.clinical.devices_address().is_empty() {
        let token = format!("{}/auth/token", door.clinical.devices_address());
        merge(&mut told, json!({ "mtls_endpoint_aliases": { "token_endpoint": token } }));
    }
    told
}

fn methods(door: &Door) -> Vec<&'static str> {
    let mut methods = vec!["none", "client_secret_basic", "client_secret_post", "private_key_jwt"];
    if door.of_devices {
        methods.push("tls_client_auth");
    }
    methods
}

pub(super) fn scopes(kinds: &[Kind]) -> Vec<String> {
    let words = Word::ALL.into_iter().map(|word| word.name().to_owned());
    let all = Whose::ALL.map(|whose| format!("{}/*.cruds", whose.name()));
    let each = kinds.iter().flat_map(|kind| {
        Whose::ALL.into_iter().filter_map(move |whose| {
            let letters: String = served(whose, *kind).iter().map(Verb::letter).collect();
            (!letters.is_empty()).then(|| format!("{}/{kind}.{letters}", whose.name()))
        })
    });
    let parts = CATEGORIES.into_iter().filter(|_| kinds.contains(&Kind::OBSERVATION)).flat_map(|category| {
        Whose::ALL.map(|whose| {
            let system = "http://terminology.hl7.org/CodeSystem/observation-category";
            format!("{}/Observation.rs?category={system}|{category}", whose.name())
        })
    });
    words.chain(all).chain(each).chain(parts).collect()
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
