//! `POST /auth/register` (UDAP Dynamic Client Registration, STU 1; RFC 7591).

use super::community::ALGORITHMS;
use super::statement::{self, Statement, Unfit, Wanted};
use crate::Clinical;
use crate::auth::answer::answer;
use crate::auth::clients::{Client, Member, Proof};
use crate::jose::Compact;
use crate::json::{Document, Limits, Node};
use crate::store::Registered;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use data_encoding::HEXLOWER;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, StatusCode};
use medlock_node::provider::{WebAlgorithm, random};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use std::sync::Arc;

/// A statement with its chain, and certifications, which are not read.
const LIMITS: Limits = Limits { bytes: 256 << 10, depth: 8, nodes: 1_000, members: 64, number: 40 };

/// Why nothing is registered: an error's name, and what would help.
type NotRegistered = (&'static str, Cow<'static, str>);

const UNAPPROVED: &str = "unapproved_software_statement";

/// `POST /auth/register`
pub(crate) async fn register(State(clinical): State<Arc<Clinical>>, headers: HeaderMap, body: Bytes) -> Response {
    let done = tokio::task::spawn_blocking(move || take(&clinical, &headers, &body));
    let (status, told) = match done.await {
        Ok(Ok(registered)) => registered,
        Ok(Err((error, text))) => {
            tracing::info!(error, %text, "software was not registered");
            let status = if error == AWAY { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::BAD_REQUEST };
            (status, json!({ "error": error, "error_description": text }))
        }
        Err(_) => (StatusCode::INTERNAL_SERVER_ERROR, json!({ "error": "server_error" })),
    };
    answer(status, &told)
}

const AWAY: &str = "temporarily_unavailable";

fn away(error: &medlock_store::Error) -> NotRegistered {
    tracing::error!(%error, "software could not be registered");
    (AWAY, "ask again; the hub's log says why".into())
}

fn take(clinical: &Clinical, headers: &HeaderMap, body: &[u8]) -> Result<(StatusCode, Value), NotRegistered> {
    let invalid = |text: &'static str| ("invalid_request", Cow::from(text));
    let sort = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if sort.split(';').next().unwrap_or_default().trim() != "application/json" {
        return Err(invalid("send application/json"));
    }
    let document = Document::read(body, &LIMITS).map_err(|error| ("invalid_request", error.to_string().into()))?;
    let text = |name: &str| document.root().member(name).and_then(Node::text);
    if text("udap").as_deref() != Some("1") {
        return Err(invalid("udap is not \"1\": software registers here with a statement of UDAP"));
    }
    let token = text("software_statement").ok_or_else(|| invalid("software_statement is missing"))?;
    let now = clinical.clock().now();
    let wrong = |text: String| ("invalid_software_statement", Cow::from(text));
    let read = Compact::read(&token).map_err(|error| wrong(error.to_string()))?;
    let header = read.header().clone();
    if !ALGORITHMS.contains(&header.algorithm) {
        return Err(wrong("it is signed by none of RS256, ES256, RS384 and ES384".into()));
    }
    if header.certificates.is_empty() {
        return Err(wrong("its header has no chain (x5c)".into()));
    }
    let (community, vouched) =
        clinical.communities().vouching(&header.certificates, now).map_err(|why| (UNAPPROVED, Cow::from(why)))?;
    let claims = read.verify(&vouched.key).map_err(|error| wrong(error.to_string()))?;
    let uri = claims.text("iss").map_err(|error| wrong(error.to_string()))?;
    if !vouched.is(&uri) {
        return Err(wrong("its certificate does not name its iss (subjectAltName, URI)".into()));
    }
    let address = format!("{}/auth/register", clinical.settings().public_url);
    let Statement { number, wanted } =
        statement::read(&claims, &uri, &address, now.unix()).map_err(|unfit| match unfit {
            Unfit::Statement(text) => ("invalid_software_statement", text),
            Unfit::Metadata(text) => ("invalid_client_metadata", text),
            Unfit::Redirect(text) => ("invalid_redirect_uri", text),
        })?;
    let proof = Proof::Community(Member { community: community.name.clone(), uri, chain: header.certificates });
    let Some(mut wanted) = wanted else { return end(clinical, proof, number, &token) };
    wanted.scopes = wanted.scopes.within(&community.scopes, &clinical.settings().kinds);
    if wanted.scopes.is_nothing() {
        return Err((
            "invalid_client_metadata",
            "scope: nothing of it may be asked by this community's software".into(),
        ));
    }
    keep(clinical, (proof, vouched.spki), number, wanted, &token)
}

fn keep(
    clinical: &Clinical,
    (proof, spki): (Proof, [u8; 32]),
    number: ([u8; 32], i64),
    wanted: Wanted,
    token: &str,
) -> Result<(StatusCode, Value), NotRegistered> {
    let client = Client {
        id: HEXLOWER.encode(&random::<16>()),
        name: wanted.name.clone(),
        proof,
        redirects: wanted.redirects.clone(),
        scopes: wanted.scopes.clone(),
        algorithm: WebAlgorithm::Rs256,
        introspects: false,
    };
    let now = clinical.clock().now().unix();
    let (status, id) = match clinical.records().register((client, spki), number, now).map_err(|error| away(&error))? {
        Registered::New(id) => (StatusCode::CREATED, id),
        Registered::Changed(id) => (StatusCode::OK, id),
        other => return Err(not(&other)),
    };
    tracing::info!(client = id, name = wanted.name, "software has registered by itself");
    Ok((status, told(&id, token, &wanted)))
}

/// An empty list of ways ends it (section 3.4).
fn end(
    clinical: &Clinical,
    proof: Proof,
    number: ([u8; 32], i64),
    token: &str,
) -> Result<(StatusCode, Value), NotRegistered> {
    let now = clinical.clock().now().unix();
    match clinical.records().unregister(proof, number).map_err(|error| away(&error))? {
        Registered::Changed(id) => {
            clinical.forget_ended(now);
            tracing::info!(client = id, "software has ended its registration");
            Ok((StatusCode::OK, json!({ "client_id": id, "software_statement": token, "grant_types": [] })))
        }
        other => Err(not(&other)),
    }
}

fn not(why: &Registered) -> NotRegistered {
    match why {
        Registered::Replayed => ("invalid_software_statement", "its jti came before: make one for each request".into()),
        Registered::Removed => (UNAPPROVED, "the site has removed this software".into()),
        Registered::Full(full) => (UNAPPROVED, full.text().into()),
        Registered::Unknown | Registered::New(_) | Registered::Changed(_) => {
            ("invalid_client_metadata", "grant_types is empty, and nothing is registered that could end".into())
        }
    }
}

/// What is registered (RFC 7591 section 3.2.1).
fn told(id: &str, token: &str, wanted: &Wanted) -> Value {
    let mut told = Map::new();
    let mut say = |name: &str, value: Value| told.insert(name.to_owned(), value);
    say("client_id", json!(id));
    say("software_statement", json!(token));
    say("client_name", json!(wanted.name));
    say("grant_types", json!(wanted.way.grant_types()));
    say("token_endpoint_auth_method", json!("private_key_jwt"));
    say("scope", json!(wanted.scopes.to_string()));
    say("contacts", json!(wanted.contacts));
    if !wanted.redirects.is_empty() {
        say("redirect_uris", json!(wanted.redirects));
        say("response_types", json!(["code"]));
    }
    if let Some(logo) = &wanted.logo {
        say("logo_uri", json!(logo));
    }
    Value::Object(told)
}
