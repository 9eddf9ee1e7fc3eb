//! `POST /auth/token`, `/auth/introspect`, `/auth/revoke`.

use super::answer::{OAuthError, Refused, TokenBody, answer};
use super::form::{Form, wrong};
use super::{backend, clients, code, device, idtoken};
use crate::Clinical;
use crate::rest::Door;
use axum::Extension;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, StatusCode};
use medlock_node::accept::PeerInfo;

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
        let (form, client) = asking.client()?;
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
        let (form, client) = asking.client()?;
        super::introspect::revoke(&asking.door.clinical, &client, &form).map(|()| answer(StatusCode::OK, &()))
    })
    .await
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
            "authorization_code" => code::redeem(clinical, &self.authenticated(&form)?, &form),
            "refresh_token" => code::refresh(clinical, &self.authenticated(&form)?, &form),
            "client_credentials" if proves => {
                if self.headers.contains_key(AUTHORIZATION) || form.get("client_secret").is_some() {
                    return Err(wrong("the client is authenticated in two ways: choose one"));
                }
                backend::token(clinical, &form, &self.address())
            }
            "client_credentials" if !self.door.of_devices => {
                let text = "software asks in its own name with client_assertion; a device at the devices' door";
                Err(OAuthError::new(Refused::InvalidClient, text))
            }
            "client_credentials" => {
                if self.headers.contains_key(AUTHORIZATION) || form.get("client_secret").is_some() {
                    return Err(wrong("a device is authenticated by its certificate alone: leave out secrets"));
                }
                device::token(clinical, &self.peer, &form)
            }
            _ => {
                let text = "grant_type is none of authorization_code, refresh_token and client_credentials";
                Err(OAuthError::new(Refused::UnsupportedGrantType, text))
            }
        }
    }

    fn client(&self) -> Result<(Form, clients::Client), OAuthError> {
        let form = Form::of_body(&self.headers, &self.body)?;
        let client = self.authenticated(&form)?;
        Ok((form, client))
    }

    fn authenticated(&self, form: &Form) -> Result<clients::Client, OAuthError> {
        clients::authenticate(&self.door.clinical, form, &self.headers, &self.address())
    }

    /// For whom assertions are: the token address of this door, whatever is asked with them.
    fn address(&self) -> String {
        format!("{}/auth/token", self.door.address())
    }
}
