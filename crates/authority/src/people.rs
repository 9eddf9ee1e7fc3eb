//! The `people` listener: CRL, OCSP and health, for ordinary software. Plain HTTP: all is signed by itself.

use crate::keys::AuthorityCertificate;
use crate::signer::{KeyLabel, KeyRole, Kind, Signer as _};
use crate::status;
use crate::status::ocsp::{self, CertId, CertStatus, Failure};
use crate::store::Serial;
use crate::{Authority, Error, encode};
use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use medlock_node::provider;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How long store and signer may take to say that all is well.
const READY: Duration = Duration::from_secs(3);

/// What OCSP requests name an issuing key by.
#[derive(Clone, Debug)]
struct IssuerHashes {
    issuing: Arc<AuthorityCertificate>,
    name: [[u8; 32]; 2],
    key: [[u8; 32]; 2],
    responder: [u8; 20],
}

/// The paths of the `people` listener.
pub fn people_router(authority: Arc<Authority>) -> Router {
    Router::new()
        .route("/crl/{name}", get(crl))
        .route("/ocsp", post(ocsp_post))
        .route("/ocsp/{*request}", get(ocsp_get))
        .route("/health/ready", get(ready))
        .merge(crate::log::router())
        .with_state(authority)
}

impl IssuerHashes {
    fn of(issuing: &Arc<AuthorityCertificate>) -> Self {
        let padded = |hash: [u8; 20]| {
            let mut long = [0; 32];
            long[..20].copy_from_slice(&hash);
            long
        };
        let (name, key) = (&issuing.subject, issuing.key_bits());
        let responder = provider::sha1_for_ocsp(key);
        Self {
            issuing: issuing.clone(),
            name: [padded(provider::sha1_for_ocsp(name)), provider::sha256(name)],
            key: [padded(responder), provider::sha256(key)],
            responder,
        }
    }

    /// Whether a certificate that is asked about is of this key.
    fn is_ours(&self, id: &CertId<'_>) -> bool {
        let (which, length) = match id.hash {
            encode::oid::SHA1 => (0, 20),
            encode::oid::SHA256 => (1, 32),
            _ => return false,
        };
        let same =
            |ours: &[[u8; 32]; 2], theirs: &[u8]| ours.get(which).and_then(|hash| hash.get(..length)) == Some(theirs);
        same(&self.name, id.issuer_name_hash) && same(&self.key, id.issuer_key_hash)
    }
}

impl Authority {
    fn ocsp(&self, request: &[u8]) -> Vec<u8> {
        let Ok(request) = ocsp::read_request(request) else { return ocsp::failure(Failure::Malformed) };
        let silent = self.is_in_doubt().map(|doubt| doubt || self.clocks_agree().is_err());
        match silent.and_then(|silent| if silent { Ok(None) } else { self.ocsp_answer(&request).map(Some) }) {
            Ok(Some(response)) => response,
            // A maker that was brought back does not know who was revoked since; a hub with another clock dates it wrongly.
            Ok(None) => ocsp::failure(Failure::TryLater),
            Err(error @ (Error::Signer(_) | Error::Store(_))) => {
                tracing::warn!(%error, "an OCSP request was not answered");
                ocsp::failure(Failure::TryLater)
            }
            Err(error) => {
                tracing::error!(%error, "an OCSP request was not answered");
                ocsp::failure(Failure::Internal)
            }
        }
    }

    /// The key that has issued what is asked about answers itself: the one of the first certificate, if they are of several.
    /// A key that signs no more answers nothing, and its certificates are unknown to the others.
    fn ocsp_answer(&self, request: &ocsp::Request<'_>) -> Result<Vec<u8>, Error> {
        let keys = self.keys();
        let signing: Vec<IssuerHashes> =
            keys.iter().filter(|key| key.state.signs()).map(|key| IssuerHashes::of(&key.certificate)).collect();
        let asked = request.certificates.iter().find_map(|id| signing.iter().find(|hashes| hashes.is_ours(id)));
        let current = IssuerHashes::of(&self.issuing());
        let hashes = asked.unwrap_or(&current);
        let answers = request
            .certificates
            .iter()
            .map(|id| Ok((*id, self.cert_status(id, hashes)?)))
            .collect::<Result<Vec<_>, Error>>()?;
        let now = self.clock.now();
        let next = now.plus_seconds(self.rules().status_seconds);
        let data = ocsp::response_data(&hashes.responder, &answers, request.nonce, now, next);
        let issuing = &hashes.issuing;
        let signature = self.signer.sign(issuing.label, Kind::Ocsp, &data)?;
        Ok(ocsp::successful(&data, issuing.algorithm, &signature, &issuing.der))
    }

    fn cert_status(&self, id: &CertId<'_>, hashes: &IssuerHashes) -> Result<CertStatus, Error> {
        let Some(serial) = Serial::from_octets(id.serial).filter(|_| hashes.is_ours(id)) else {
            return Ok(CertStatus::Unknown);
        };
        let Some(issued) = self.store.issued_with_serial(serial)? else { return Ok(CertStatus::Unknown) };
        // Each key speaks of what it has issued.
        if self.issuing_key_of(&issued.certificate) != hashes.issuing.key {
            return Ok(CertStatus::Unknown);
        }
        Ok(match self.worst(&issued)? {
            None => CertStatus::Good,
            Some(standing) => CertStatus::Revoked { since: standing.since, reason: status::crl_reason(standing.state) },
        })
    }

    /// Whether the authority can issue, asked with patience for three seconds only.
    ///
    /// # Errors
    /// What is not well.
    pub async fn is_ready(self: Arc<Self>) -> Result<(), String> {
        let asked = tokio::task::spawn_blocking(move || self.health());
        match tokio::time::timeout(READY, asked).await {
            Ok(Ok(health)) => health.map_err(|error| error.to_string()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("store or signer have not answered within {} s", READY.as_secs())),
        }
    }

    /// Whether the database writes and has room for a theft, its server's clock is this hub's too, or no other hub's, the signer is there
    /// with the issuing key, and a credential can be prepared.
    ///
    /// # Errors
    /// What is not well.
    pub fn health(&self) -> Result<(), Error> {
        if self.locks.stopping.load(Ordering::Relaxed) {
            return Err(Error::Conflict("the hub is being stopped".to_owned()));
        }
        self.writes()?;
        self.present.check()?;
        self.clocks_are_ready()?;
        if let Some(why) = self.log().left_behind()? {
            return Err(Error::Conflict(why));
        }
        let issuing = self.issuing();
        match self.signer.public_key(issuing.label)? {
            Some(spki) if spki == issuing.spki => self.rehearse(),
            Some(_) => Err(Error::Conflict("the signer has another issuing key than the certificate".to_owned())),
            None => Err(crate::signer::SignerError::NoKey(issuing.label).into()),
        }
    }
}

async fn crl(State(authority): State<Arc<Authority>>, Path(name): Path<String>) -> Response {
    let root = name.strip_suffix(".crl").and_then(|label| label.parse().ok());
    if let Some(root) = root.filter(|label: &KeyLabel| label.role() == KeyRole::Root) {
        return match tokio::task::spawn_blocking(move || authority.root_crl_of(root)).await {
            Ok(Ok(Some(der))) => crl_of(der),
            Ok(Ok(None)) => {
                unavailable("there is no such root, or it is offline and has not signed its revocation list yet")
            }
            Ok(Err(error)) => unavailable(&error.to_string()),
            Err(error) => unavailable(&error.to_string()),
        };
    }
    let Some(which) = authority.crl_called(&name) else {
        return (StatusCode::NOT_FOUND, "there is no such revocation list\n").into_response();
    };
    match tokio::task::spawn_blocking(move || authority.crl_part(which)).await {
        Ok(Ok(der)) => crl_of(der),
        Ok(Err(error)) => unavailable(&error.to_string()),
        Err(error) => unavailable(&error.to_string()),
    }
}

fn crl_of(der: Bytes) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/pkix-crl")),
        (CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    (StatusCode::OK, headers, der).into_response()
}

async fn ocsp_post(State(authority): State<Arc<Authority>>, body: Bytes) -> Response {
    respond(authority, body.to_vec()).await
}

/// RFC 6960 appendix A.1: base64 of the request in the path.
async fn ocsp_get(State(authority): State<Arc<Authority>>, Path(request): Path<String>) -> Response {
    // Some clients send an empty path segment before, and some leave "+" as a space.
    let text = request.trim_start_matches('/').replace(' ', "+");
    let request =
        if text.len() > ocsp::MAX_REQUEST * 2 { None } else { data_encoding::BASE64.decode(text.as_bytes()).ok() };
    respond(authority, request.unwrap_or_default()).await
}

async fn respond(authority: Arc<Authority>, request: Vec<u8>) -> Response {
    let answer = if request.len() > ocsp::MAX_REQUEST {
        Ok(ocsp::failure(Failure::Malformed))
    } else {
        tokio::task::spawn_blocking(move || authority.ocsp(&request)).await
    };
    let der = answer.unwrap_or_else(|error| {
        tracing::error!(%error, "an OCSP request ended unexpectedly");
        ocsp::failure(Failure::Internal)
    });
    (StatusCode::OK, [(CONTENT_TYPE, "application/ocsp-response")], der).into_response()
}

async fn ready(State(authority): State<Arc<Authority>>) -> Response {
    match authority.is_ready().await {
        Ok(()) => (StatusCode::OK, "ready\n").into_response(),
        Err(why) => unavailable(&why),
    }
}

fn unavailable(why: &str) -> Response {
    tracing::error!(why, "the people listener could not answer");
    // Nothing of the inside goes to callers nobody knows.
    (StatusCode::SERVICE_UNAVAILABLE, "not available now; the hub's log says why\n").into_response()
}
