//! `POST /auth/token`, `/auth/introspect`, `/auth/revoke`.

use super::answer::{OAuthError, Refused, TokenBody, answer, away, done};
use super::form::{Form, wrong};
use super::proof::{self, Unproved};
use super::{backend, clients, code, device, dpop, idtoken};
use crate::Clinical;
use crate::access::{Binding, Shown};
use crate::rest::Door;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{ALLOW, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use medlock_node::accept::PeerInfo;
use std::sync::atomic::AtomicBool;

/// A request, taken from HTTP.
struct Asking {
    door: Door,
    peer: PeerInfo,
    headers: HeaderMap,
    body: Bytes,
}

/// Answers a client that asks for a token.
pub(crate) async fn token(
    State(door): State<Door>,
    Extension(peer): Extension<PeerInfo>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let asking = Asking { door, peer, headers, body };
    blocking(asking, |asking| {
        let given = asking.token();
        if let Err(error) = &given {
            let device = asking.peer.identified.as_ref().map(|who| who.device_name().to_string());
            tracing::info!(device, origin = %asking.peer.origin, why = %error.description, "no token");
            if error.refused == Refused::UseDpopNonce {
                let clinical = &asking.door.clinical;
                let nonce = proof::nonce(clinical.records(), clinical.clock().now());
                let nonce = HeaderValue::from_str(&nonce).map_err(|error| away(&error))?;
                let mut response = error.clone().into_response();
                response.headers_mut().insert(proof::NONCE, nonce);
                return Ok(response);
            }
        }
        given.map(TokenBody::into_response)
    })
    .await
}

/// Tells a client what a token is.
pub(crate) async fn introspect(
    State(door): State<Door>,
    Extension(peer): Extension<PeerInfo>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    blocking(Asking { door, peer, headers, body }, |asking| {
        let form = Form::of_body(&asking.headers, &asking.body)?;
        let client = asking.asker(&form)?;
        super::introspect::introspect(&asking.door.clinical, &client, &form).map(|told| answer(StatusCode::OK, &told))
    })
    .await
}

/// Ends what a token stands for.
pub(crate) async fn revoke(
    State(door): State<Door>,
    Extension(peer): Extension<PeerInfo>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    blocking(Asking { door, peer, headers, body }, |asking| {
        let form = Form::of_body(&asking.headers, &asking.body)?;
        let client = asking.authenticated(&form)?;
        super::introspect::revoke(&asking.door.clinical, &client, &form).map(|()| done())
    })
    .await
}

/// Any other method there (RFC 6749 section 3.2).
pub(crate) async fn only_post() -> Response {
    let mut response = wrong("send a form with POST").into_response();
    *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
    response
}

/// `GET /auth/keys`
pub(crate) async fn keys(State(door): State<Door>) -> Response {
    let set = tokio::task::spawn_blocking(move || idtoken::key_set(&door.clinical)).await;
    match set {
        Ok(Ok(set)) => {
            let headers = [(CONTENT_TYPE, "application/json"), (http::header::ACCESS_CONTROL_ALLOW_ORIGIN, "*")];
            (headers.map(|(name, value)| (name, HeaderValue::from_static(value))), set).into_response()
        }
        Ok(Err(error)) => error.into_response(),
        Err(_) => unfinished(),
    }
}

async fn blocking(
    asking: Asking,
    work: impl FnOnce(&Asking) -> Result<Response, OAuthError> + Send + 'static,
) -> Response {
    match tokio::task::spawn_blocking(move || work(&asking)).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => error.into_response(),
        Err(_) => unfinished(),
    }
}

fn unfinished() -> Response {
    OAuthError::new(Refused::TemporarilyUnavailable, "the request was not finished").into_response()
}

impl Asking {
    /// The way to a token that is asked for.
    fn token(&self) -> Result<TokenBody, OAuthError> {
        let form = Form::of_body(&self.headers, &self.body)?;
        let clinical: &Clinical = &self.door.clinical;
        let proves = form.get("client_assertion").is_some();
        match form.grant_type()? {
            "authorization_code" => {
                let client = self.authenticated(&form)?;
                code::redeem(clinical, &client, &form, self.binding()?)
            }
            "refresh_token" => {
                let client = self.authenticated(&form)?;
                code::refresh(clinical, &client, &form, self.binding()?)
            }
            "client_credentials" if proves => {
                if self.headers.contains_key(AUTHORIZATION) || form.get("client_secret").is_some() {
                    return Err(wrong("the client is authenticated in two ways: choose one"));
                }
                let assertion = backend::assertion(clinical, &form, &self.address())?;
                backend::token(clinical, &form, assertion, self.binding()?)
            }
            "client_credentials" if !self.door.of_devices => {
                let text = "software asks in its own name with client_assertion; a device at the devices' door";
                Err(OAuthError::new(Refused::InvalidClient, text))
            }
            "client_credentials" => {
                if self.headers.contains_key(AUTHORIZATION) || form.get("client_secret").is_some() {
                    return Err(wrong("a device is authenticated by its certificate alone: leave out secrets"));
                }
                if !matches!(proof::shown(&self.headers), Ok(None)) {
                    return Err(wrong("a device's token is bound to its certificate: leave out the header DPoP"));
                }
                device::token(clinical, &self.peer, &form)
            }
            _ => {
                let text = "grant_type is none of authorization_code, refresh_token and client_credentials";
                Err(OAuthError::new(Refused::UnsupportedGrantType, text))
            }
        }
    }

    /// What tokens are bound to: the key that the request proves, if it proves one (RFC 9449 section 5).
    fn binding(&self) -> Result<Binding, OAuthError> {
        let Some(shown) = proof::shown(&self.headers).map_err(unproved)? else { return Ok(Binding::Bearer) };
        let (records, now) = (self.door.clinical.records(), self.door.clinical.clock().now());
        let url = self.address();
        let asked = dpop::Asked { method: "POST", url: &url, token: None, now };
        let proof = proof::check(records, shown, &asked).map_err(unproved)?;
        proof::count(records, &proof).map_err(unproved)?;
        Ok(Binding::Key(proof.thumbprint))
    }

    /// Who asks what a token is: software that proves who it is, or shows a token in its own name (RFC 7662 section 2.1).
    fn asker(&self, form: &Form) -> Result<clients::Client, OAuthError> {
        let scheme = self.headers.get(AUTHORIZATION).and_then(|shown| shown.to_str().ok()?.split(' ').next());
        match scheme {
            Some(scheme) if scheme.eq_ignore_ascii_case("Bearer") => self.bearer(),
            None if form.get("client_id").is_none() && form.get("client_assertion").is_none() => Err(unproven()),
            _ => self.authenticated(form).and_then(|client| match client.proof {
                clients::Proof::None => Err(unproven()),
                clients::Proof::Secret(_) | clients::Proof::Keys { .. } | clients::Proof::Community(_) => Ok(client),
            }),
        }
    }

    fn bearer(&self) -> Result<clients::Client, OAuthError> {
        let clinical: &Clinical = &self.door.clinical;
        let (url, counted) = (format!("{}/auth/introspect", self.door.address()), AtomicBool::new(false));
        let shown = Shown { headers: &self.headers, peer: &self.peer, method: "POST", url, counted: &counted };
        let caller = clinical.gate().admit(&shown).map_err(|why| {
            let of = if why.status.is_server_error() { Refused::TemporarilyUnavailable } else { Refused::InvalidToken };
            OAuthError::new(of, why.issues.first_text().to_owned())
        })?;
        let software = caller.software().map(|client| clinical.client(client)).transpose();
        let software = software.map_err(|error| away(&error))?.flatten();
        software.ok_or_else(|| OAuthError::new(Refused::InvalidToken, "the token is none of software in its own name"))
    }

    fn authenticated(&self, form: &Form) -> Result<clients::Client, OAuthError> {
        clients::authenticate(&self.door.clinical, form, &self.headers, &self.address())
    }

    /// For whom assertions are: the token address of this door, whatever is asked with them.
    fn address(&self) -> String {
        format!("{}/auth/token", self.door.address())
    }
}

fn unproven() -> OAuthError {
    OAuthError::new(Refused::InvalidClient, "who asks what a token is proves who it is")
}

fn unproved(why: Unproved) -> OAuthError {
    match why {
        Unproved::Away(error) => away(&error),
        why if why.wants_nonce() => OAuthError::new(Refused::UseDpopNonce, why.to_string()),
        why => OAuthError::new(Refused::InvalidDpopProof, why.to_string()),
    }
}
