//! `/fhir/.well-known/udap`: what is served here, in words and signed (sections 2.2 and 2.3 of the guide).

use super::community::{ALGORITHMS, Community};
use crate::auth::form::Form;
use crate::auth::{answer, discovery};
use crate::jose::signing_input;
use crate::rest::Door;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::StatusCode;
use medlock_node::provider::random;
use serde_json::{Value, json};
use std::sync::PoisonError;

/// How long what was signed is given out, and how long it is good, in seconds.
const FRESH: i64 = 3_600;
const GOOD: i64 = 86_400;

/// `GET /fhir/.well-known/udap`
pub(crate) async fn metadata(State(door): State<Door>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let community = Form::read(query.as_bytes(), &[]).ok().and_then(|form| form.get("community").map(str::to_owned));
    let communities = door.clinical.communities();
    let found = match &community {
        // Certificates name the people's door alone.
        _ if door.of_devices || communities.first().is_none() => return StatusCode::NOT_FOUND.into_response(),
        None => communities.first(),
        Some(name) => communities.named(name),
    };
    match found {
        Some(community) => answer::answer(StatusCode::OK, &told(&door, community)),
        None => StatusCode::NO_CONTENT.into_response(),
    }
}

fn told(door: &Door, community: &Community) -> Value {
    let algorithms = ALGORITHMS.map(crate::jose::Algorithm::name);
    let address = door.address();
    json!({
        "udap_versions_supported": ["1"],
        "udap_profiles_supported": ["udap_dcr", "udap_authn", "udap_authz"],
        "udap_authorization_extensions_supported": ["hl7-b2b"],
        "udap_authorization_extensions_required": [],
        "udap_certifications_supported": [],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "scopes_supported": discovery::scopes(&door.clinical.settings().kinds),
        "authorization_endpoint": format!("{address}/auth/authorize"),
        "token_endpoint": format!("{address}/auth/token"),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "registration_endpoint": format!("{address}/auth/register"),
        "registration_endpoint_jwt_signing_alg_values_supported": algorithms,
        "signed_metadata": signed(door, community),
    })
}

/// Signed once an hour: who asks often has nothing calculated.
fn signed(door: &Door, community: &Community) -> String {
    let now = door.clinical.clock().now().unix();
    let mut signed = community.signed.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((at, text)) = &*signed
        && now.abs_diff(*at) < FRESH.unsigned_abs()
    {
        return text.clone();
    }
    let chain: Vec<String> = community.chain.iter().map(|der| BASE64.encode(der)).collect();
    let header = json!({ "alg": community.key.algorithm().name(), "x5c": chain, "typ": "JWT" });
    let (base, address) = (&*door.base, door.address());
    let claims = json!({
        "iss": base, "sub": base, "iat": now, "exp": now.saturating_add(GOOD), "jti": BASE64URL_NOPAD.encode(&random::<16>()),
        "authorization_endpoint": format!("{address}/auth/authorize"),
        "token_endpoint": format!("{address}/auth/token"),
        "registration_endpoint": format!("{address}/auth/register"),
    });
    let input = signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes());
    let text = format!("{input}.{}", BASE64URL_NOPAD.encode(&community.key.sign(input.as_bytes())));
    *signed = Some((now, text.clone()));
    text
}
