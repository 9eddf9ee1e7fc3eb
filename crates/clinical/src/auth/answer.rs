//! Answers of the token address (RFC 6749, section 5).

use super::launch::OpenResource;
use crate::access::Binding;
use axum::response::{IntoResponse, Response};
use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use http::{HeaderName, HeaderValue, StatusCode};
use serde::Serialize;
use std::borrow::Cow;

/// Why there is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Something is missing, stands twice, or has another form.
    InvalidRequest,
    /// The client is not authenticated.
    InvalidClient,
    /// What is shown for a token is none, late, used, or another's.
    InvalidGrant,
    /// The client may not ask so.
    UnauthorizedClient,
    /// The token by which a client asks is none, or not good for that (RFC 6750 section 3.1).
    InvalidToken,
    /// Nothing of what was asked may be given.
    InvalidScope,
    /// There is no such way to a token.
    UnsupportedGrantType,
    /// There is no such way to a code.
    UnsupportedResponseType,
    /// The person, or this server, denies it (RFC 6749 section 4.1.2.1).
    AccessDenied,
    /// Nobody is signed in, and nobody may be asked.
    LoginRequired,
    /// A person would have to agree, and nobody may be asked.
    ConsentRequired,
    /// The proof of possession is for something else, or came before (RFC 9449 section 5).
    InvalidDpopProof,
    /// The proof needs a nonce (RFC 9449 section 8).
    UseDpopNonce,
    /// Not now.
    TemporarilyUnavailable,
}

impl Refused {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidClient => "invalid_client",
            Self::InvalidGrant => "invalid_grant",
            Self::UnauthorizedClient => "unauthorized_client",
            Self::InvalidToken => "invalid_token",
            Self::InvalidScope => "invalid_scope",
            Self::UnsupportedGrantType => "unsupported_grant_type",
            Self::UnsupportedResponseType => "unsupported_response_type",
            Self::AccessDenied => "access_denied",
            Self::LoginRequired => "login_required",
            Self::ConsentRequired => "consent_required",
            Self::InvalidDpopProof => "invalid_dpop_proof",
            Self::UseDpopNonce => "use_dpop_nonce",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
        }
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::InvalidClient | Self::InvalidToken => StatusCode::UNAUTHORIZED,
            Self::TemporarilyUnavailable => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}

/// A refusal with what would help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OAuthError {
    pub(super) refused: Refused,
    pub(super) description: Cow<'static, str>,
}

impl OAuthError {
    pub(super) fn new(refused: Refused, description: impl Into<Cow<'static, str>>) -> Self {
        Self { refused, description: plain(description.into()) }
    }
}

/// A description in the characters that it may have (RFC 6749 section 5.2): those of ASCII but for controls, `"` and `\`.
fn plain(text: Cow<'static, str>) -> Cow<'static, str> {
    let fits = |letter: char| matches!(letter, ' '..='~') && !matches!(letter, '"' | '\\');
    if text.chars().all(fits) {
        return text;
    }
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            letter if fits(letter) => plain.push(letter),
            '"' => plain.push('\''),
            '\\' => plain.push('/'),
            '…' => plain.push_str("..."),
            _ => plain.push('?'),
        }
    }
    plain.into()
}

/// Something here does not answer.
pub(super) fn away(error: &dyn std::fmt::Display) -> OAuthError {
    tracing::error!(%error, "a token could not be given");
    OAuthError::new(Refused::TemporarilyUnavailable, "ask again; the hub's log says why")
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: &'static str,
    error_description: &'a str,
}

impl IntoResponse for OAuthError {
    fn into_response(self) -> Response {
        let body = ErrorBody { error: self.refused.name(), error_description: &self.description };
        let mut response = answer(self.refused.status(), &body);
        let challenge = match self.refused {
            Refused::InvalidClient => "Basic realm=\"auth\"",
            Refused::InvalidToken => "Bearer realm=\"auth\", error=\"invalid_token\"",
            _ => return response,
        };
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        response
    }
}

/// A token as it is given out, with its context (SMART App Launch 2.2, section 2.0.10).
#[derive(Debug, Default, Serialize)]
pub(super) struct TokenBody {
    pub(super) access_token: String,
    pub(super) token_type: &'static str,
    pub(super) expires_in: i64,
    pub(super) scope: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) refresh_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patient: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) need_patient_banner: Option<bool>,
    #[serde(rename = "fhirContext", skip_serializing_if = "Vec::is_empty")]
    pub(super) fhir_context: Vec<OpenResource>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) intent: Option<String>,
}

/// How a token is shown (RFC 6749 section 7.1).
pub(super) const fn token_type(binding: Binding) -> &'static str {
    match binding {
        Binding::Bearer | Binding::Certificate { .. } => "Bearer",
        Binding::Key(_) => "DPoP",
    }
}

impl IntoResponse for TokenBody {
    fn into_response(self) -> Response {
        answer(StatusCode::OK, &self)
    }
}

/// An answer that no cache keeps. Software in any page may read it: what it shows is in its request, never in a cookie.
pub(super) fn answer(status: StatusCode, body: &impl Serialize) -> Response {
    let of = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    (status, UNKEPT, of, serde_json::to_vec(body).unwrap_or_default()).into_response()
}

/// That it is done.
pub(super) fn done() -> Response {
    (StatusCode::OK, UNKEPT).into_response()
}

const UNKEPT: [(HeaderName, HeaderValue); 3] = [
    (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    (PRAGMA, HeaderValue::from_static("no-cache")),
    (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*")),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SMART-188: what is told of an error has the characters that a description may have.
    #[test]
    fn a_description_is_ascii() {
        for (text, told) in [
            ("say whose data is asked for, …/fhir", "say whose data is asked for, .../fhir"),
            ("\"x\\y\" is no scope", "'x/y' is no scope"),
            ("Ärzte\n~", "?rzte?~"),
            ("it is late", "it is late"),
        ] {
            assert_eq!(OAuthError::new(Refused::InvalidRequest, text).description, told);
        }
    }
}
