//! Answers.

use crate::outcome::{Code, Issue, Refusal};
use crate::query::FORMATS;
use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use http::header::{
    ACCEPT, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{HeaderMap, HeaderValue, StatusCode};

/// The media type of resources.
const FHIR: HeaderValue = HeaderValue::from_static("application/fhir+json; charset=utf-8");
/// That of resources, one a line.
const LINES: HeaderValue = HeaderValue::from_static("application/fhir+ndjson");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const JSON_ALONE: &str = "resources are given as application/fhir+json alone";
/// Nothing of patients lies in a cache.
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");

/// A resource for its reader.
pub(super) fn resource(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(CONTENT_TYPE, FHIR), (CACHE_CONTROL, NO_STORE)], body).into_response()
}

/// No body.
pub(super) fn empty(status: StatusCode) -> Response {
    (status, [(CACHE_CONTROL, NO_STORE)]).into_response()
}

/// What is no resource, for its reader.
pub(super) fn told(what: &serde_json::Value) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, JSON), (CACHE_CONTROL, NO_STORE)], what.to_string()).into_response()
}

/// Resources, one a line, as they come.
pub(super) fn lines(body: Body) -> Response {
    (StatusCode::OK, [(CONTENT_TYPE, LINES), (CACHE_CONTROL, NO_STORE)], body).into_response()
}

/// A resource for everybody, pages of other origins included.
pub(super) fn open(body: Bytes) -> Response {
    everybody(FHIR, body)
}

/// The same, and no resource.
pub(super) fn plain(body: Vec<u8>) -> Response {
    everybody(JSON, body.into())
}

fn everybody(of: HeaderValue, body: Bytes) -> Response {
    let any = HeaderValue::from_static("*");
    ([(CONTENT_TYPE, of), (ACCESS_CONTROL_ALLOW_ORIGIN, any)], body).into_response()
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = resource(self.status, self.outcome());
        // Who shows nothing is told nothing of what was wrong (RFC 6750 section 3.1).
        let challenge = match (self.status, self.code()) {
            (StatusCode::FORBIDDEN, Code::Forbidden) => Some("Bearer realm=\"fhir\", error=\"insufficient_scope\""),
            (StatusCode::UNAUTHORIZED, Code::NoToken) => Some("Bearer realm=\"fhir\""),
            (StatusCode::UNAUTHORIZED, Code::Proof) => {
                Some("DPoP realm=\"fhir\", error=\"invalid_dpop_proof\", algs=\"ES256 EdDSA RS256\"")
            }
            (StatusCode::UNAUTHORIZED, Code::ProofNonce) => {
                Some("DPoP realm=\"fhir\", error=\"use_dpop_nonce\", algs=\"ES256 EdDSA RS256\"")
            }
            (StatusCode::UNAUTHORIZED, _) => Some("Bearer realm=\"fhir\", error=\"invalid_token\""),
            _ => None,
        };
        if let Some(challenge) = challenge {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        let later = match self.status {
            StatusCode::SERVICE_UNAVAILABLE => Some("1"),
            StatusCode::TOO_MANY_REQUESTS => Some("60"),
            _ => None,
        };
        if let Some(seconds) = later {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }
}

/// Whether the caller takes JSON: `_format` of the address says so before the header does (FHIR R4, section 3.1.0.1.11).
pub(super) fn accepts(headers: &HeaderMap, query: &str) -> Result<(), Refusal> {
    match form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "_format") {
        Some((_, form)) if FORMATS.contains(&&*form) => return Ok(()),
        Some(_) => return Err(unacceptable(JSON_ALONE, "_format")),
        None => {}
    }
    let taken = ["*/*", "application/*", "application/fhir+json", "application/json", "text/json"];
    takes(headers, &taken, JSON_ALONE)
}

/// Whether the caller takes resources, one a line.
pub(super) fn accepts_lines(headers: &HeaderMap) -> Result<(), Refusal> {
    let taken = ["*/*", "application/*", "application/fhir+ndjson", "application/ndjson"];
    takes(headers, &taken, "files are given as application/fhir+ndjson alone")
}

fn takes(headers: &HeaderMap, taken: &[&str], but: &'static str) -> Result<(), Refusal> {
    let mut all = headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .peekable();
    let takes = |one: &str| taken.contains(&one.split(';').next().unwrap_or_default().trim());
    if all.peek().is_none() || all.any(takes) {
        return Ok(());
    }
    Err(unacceptable(but, "Accept"))
}

/// RFC 9110 section 15.5.7.
fn unacceptable(but: &'static str, at: &'static str) -> Refusal {
    let refusal = Refusal::from(Issue::new(Code::MediaType, but).at(at));
    Refusal { status: StatusCode::NOT_ACCEPTABLE, ..refusal }
}

/// Whether the body is said to be JSON of FHIR R4, as it is.
pub(super) fn is_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let wrong = |text: &'static str| Err(Issue::new(Code::MediaType, text).into());
    if headers.get(CONTENT_ENCODING).is_some_and(|how| !how.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return wrong("bodies are taken without Content-Encoding");
    }
    let of = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let mut parts = of.split(';').map(str::trim);
    let json = parts.next().is_some_and(|of| ["application/fhir+json", "application/json"].contains(&of));
    let is_other = |part: &str| {
        let Some((name, value)) = part.split_once('=') else { return false };
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        let is = |own: &str| name.eq_ignore_ascii_case(own);
        is("charset") && !value.eq_ignore_ascii_case("utf-8") || is("fhirVersion") && value != "4.0"
    };
    if json && !parts.any(is_other) {
        return Ok(());
    }
    wrong("resources are taken as application/fhir+json in UTF-8, of FHIR 4.0, alone")
}

/// What a caller prefers (RFC 7240).
pub(super) fn prefers(headers: &HeaderMap, what: &str) -> bool {
    let all = headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split([',', ';'])).any(|one| one.trim() == what)
}
