//! The EST server (RFC 7030, clarified by RFC 8951): `cacerts`, `csrattrs`, `simpleenroll`, `simplereenroll`; and the same
//! over CoAP ([`coap`]).

mod body;
pub mod coap;

pub use body::{BodyError, MAX_BODY, decode_body};

use crate::encode::{self, object_identifier, oid, sequence};
use crate::enrolment::{Answer, Refusal, RefusalKind};
use crate::{Authority, Error};
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use medlock_node::accept::PeerInfo;
use medlock_node::enrol::{NEEDS_CODE, REFUSAL_CODE, certs_only};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::der::{Reader, tag};
use std::sync::Arc;

const CONTENT_TRANSFER_ENCODING: HeaderName = HeaderName::from_static("content-transfer-encoding");

/// The EST paths.
pub(crate) fn router() -> Router<Arc<Authority>> {
    Router::new()
        .route("/.well-known/est/cacerts", get(cacerts))
        .route("/.well-known/est/csrattrs", get(csrattrs))
        .route("/.well-known/est/simpleenroll", post(simpleenroll))
        .route("/.well-known/est/simplereenroll", post(simplereenroll))
}

/// RFC 7030 section 4.1: the certificates of the keys that sign, the one that issues first, and the root.
async fn cacerts(State(authority): State<Arc<Authority>>) -> Response {
    let all = authority.ca_certificates();
    certificates(&all.iter().map(|one| one.der.as_slice()).collect::<Vec<_>>())
}

/// RFC 7030 section 4.5, in the form of RFC 9908 section 3.2: the kinds of keys that credentials are given for, and how
/// each signs its request.
async fn csrattrs(State(authority): State<Arc<Authority>>) -> Response {
    encoded("application/csrattrs", &csr_attributes(authority.rules().profile.key_types()))
}

/// The curves are values of one attribute, in the order of a DER `SET OF`; keys of other kinds are named by what they sign
/// with, which names them too.
fn csr_attributes(keys: impl Iterator<Item = SigningAlgorithm>) -> Vec<u8> {
    let (mut curves, mut signs) = (Vec::new(), Vec::new());
    for key in keys {
        match key {
            SigningAlgorithm::P256 => curves.push(object_identifier(oid::P256)),
            SigningAlgorithm::P384 => curves.push(object_identifier(oid::P384)),
            SigningAlgorithm::Ed25519 | SigningAlgorithm::MlDsa44 | SigningAlgorithm::MlDsa65 => {}
        }
        let algorithm = encode::signature_algorithm(key);
        let identifier = Reader::new(&algorithm).nested(tag::SEQUENCE).and_then(|mut inner| inner.expect(tag::OID));
        signs.extend(identifier.map(object_identifier).ok());
    }
    curves.sort();
    let curves: Vec<&[u8]> = curves.iter().map(Vec::as_slice).collect();
    let key = sequence(&[&object_identifier(oid::EC_PUBLIC_KEY), &encode::nest(encode::SET, &curves)]);
    let key = if curves.is_empty() { Vec::new() } else { key };
    sequence(&[&key, &signs.concat()])
}

async fn simpleenroll(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<PeerInfo>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let basic = match headers.get(AUTHORIZATION).map(credentials) {
        Some(None) => return challenge("the Authorization header is not HTTP Basic with a code and its secret"),
        Some(Some(basic)) => Some(basic),
        None => None,
    };
    blocking(move || {
        let request = match decode_body(&body) {
            Ok(request) => request,
            Err(error) => return Ok(malformed(&error)),
        };
        let address = peer.origin.to_string();
        // A code counts before a certificate: a device whose old credential is revoked comes back with a code.
        match (basic, &peer.identified, peer.chain.first()) {
            (Some((user, password)), _, _) => {
                authority.enrol_by_code(&user, &password, &request, &address).map(answer)
            }
            (None, Some(who), Some(own)) if who.kind() == CredentialKind::Birth => {
                authority.enrol_by_birth(who, own, &request, &address).map(answer)
            }
            (None, Some(_), _) => Ok(text(
                StatusCode::FORBIDDEN,
                "this certificate is an operational credential: renew it with simplereenroll, or enrol anew with a code",
            )),
            (None, None, _) => Ok(challenge("show a birth credential in TLS, or an enrolment code in HTTP Basic")),
        }
    })
    .await
}

async fn simplereenroll(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<PeerInfo>,
    body: Bytes,
) -> Response {
    blocking(move || {
        let (Some(who), Some(own)) = (&peer.identified, peer.chain.first()) else {
            return Ok(challenge("renewal needs the current credential as client certificate in TLS"));
        };
        let request = match decode_body(&body) {
            Ok(request) => request,
            Err(error) => return Ok(malformed(&error)),
        };
        if let Err(error) = authority.seen(who) {
            tracing::warn!(%error, "the use of a credential could not be noted");
        }
        authority.renew(who, own, &request, &peer.origin.to_string()).map(answer)
    })
    .await
}

/// Runs what blocks where it may; an error is logged in full and told in few words.
async fn blocking(work: impl FnOnce() -> Result<Response, Error> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(work).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            tracing::error!(%error, "an enrolment failed");
            let later = "the authority cannot answer now: try again; its log says why";
            let mut response = text(StatusCode::SERVICE_UNAVAILABLE, later);
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("5"));
            response
        }
        Err(error) => {
            tracing::error!(%error, "an enrolment ended unexpectedly");
            text(StatusCode::INTERNAL_SERVER_ERROR, "the request was not finished; the log says why")
        }
    }
}

fn answer(answer: Answer) -> Response {
    match answer {
        Answer::Issued(certificate) => certificates(&[&certificate]),
        Answer::Waits { retry_seconds } => {
            let mut response =
                text(StatusCode::ACCEPTED, "waits for confirmation at the hub: ask again with the same key");
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(retry_seconds));
            response
        }
        Answer::Refused(Refusal { kind, reason, retry_seconds }) => {
            let mut response = match kind {
                RefusalKind::Unauthorized => challenge(&reason),
                RefusalKind::Forbidden => text(StatusCode::FORBIDDEN, &reason),
                RefusalKind::Malformed => text(StatusCode::BAD_REQUEST, &reason),
                RefusalKind::NeedsCode => {
                    let mut response = text(StatusCode::FORBIDDEN, &reason);
                    response.headers_mut().insert(REFUSAL_CODE, HeaderValue::from_static(NEEDS_CODE));
                    response
                }
            };
            if let Some(seconds) = retry_seconds {
                response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
            }
            response
        }
    }
}

fn malformed(error: &BodyError) -> Response {
    text(StatusCode::BAD_REQUEST, &error.to_string())
}

/// 401 and what would be accepted (RFC 7030 section 3.2.3).
fn challenge(reason: &str) -> Response {
    let mut response = text(StatusCode::UNAUTHORIZED, reason);
    let scheme = HeaderValue::from_static("Basic realm=\"medlock enrolment\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, scheme);
    response
}

/// A reason in plain text (RFC 7030 section 4.2.3).
fn text(status: StatusCode, reason: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}

/// Certificates as a certs-only message (RFC 7030 sections 4.1.3, 4.2.3).
fn certificates(ders: &[&[u8]]) -> Response {
    encoded("application/pkcs7-mime; smime-type=certs-only", &certs_only(ders))
}

/// RFC 8951 section 3: base64 whatever the header says; the header is there for clients of RFC 7030 alone.
fn encoded(content_type: &'static str, der: &[u8]) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(content_type)),
        (CONTENT_TRANSFER_ENCODING, HeaderValue::from_static("base64")),
    ];
    (StatusCode::OK, headers, body::encode_body(der)).into_response()
}

/// User and password of HTTP Basic (RFC 7617).
fn credentials(header: &HeaderValue) -> Option<(String, String)> {
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") || token.len() > 512 {
        return None;
    }
    let plain = data_encoding::BASE64.decode(token.trim().as_bytes()).ok()?;
    let (user, password) = std::str::from_utf8(&plain).ok()?.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-KEYS-21.
    #[test]
    fn csr_attributes_name_what_the_profile_takes() {
        let hex = |keys: &[SigningAlgorithm]| data_encoding::HEXLOWER.encode(&csr_attributes(keys.iter().copied()));
        // An EC key on P-384 or P-256, ECDSA with SHA-256, ECDSA with SHA-384.
        assert_eq!(
            hex(&[SigningAlgorithm::P256, SigningAlgorithm::P384]),
            "3032301c06072a8648ce3d0201311106052b8104002206082a8648ce3d03010706082a8648ce3d04030206082a8648ce3d040303"
        );
        assert_eq!(hex(&[SigningAlgorithm::Ed25519]), "300506032b6570");
        assert_eq!(hex(&[SigningAlgorithm::MlDsa44]), "300b0609608648016503040311");
    }

    /// Shows REQ-AUTH-37: what a sidecar acts on has a stable code.
    #[test]
    fn only_a_credential_that_never_renews_is_told_to_need_a_code() {
        for (kind, code) in [(RefusalKind::NeedsCode, Some("needs-code")), (RefusalKind::Forbidden, None)] {
            let refusal = Refusal { kind, reason: "enrol anew with a code".to_owned(), retry_seconds: None };
            let response = answer(Answer::Refused(refusal));
            assert_eq!(response.status(), StatusCode::FORBIDDEN);
            let told = response.headers().get("medlock-code").map(|code| code.to_str().unwrap_or_default());
            assert_eq!(told, code);
        }
    }

    #[test]
    fn basic_credentials_are_read() {
        let read = |text: &'static str| credentials(&HeaderValue::from_static(text));
        assert_eq!(read("Basic YTpiOmM="), Some(("a".into(), "b:c".into())));
        assert_eq!(read("basic YTpi"), Some(("a".into(), "b".into())));
        for bad in ["Basic", "Bearer YTpi", "Basic YWI=", "Basic !!!"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
