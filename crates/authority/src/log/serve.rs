//! The log as files (C2SP tlog-tiles): what a monitor reads, and what any web server could serve as well.

use crate::{Authority, Error};
use axum::Router;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use medlock_node::log::Tile;
use medlock_node::log::tile::{FULL, Resource, bundle};
use medlock_trust::CredentialId;
use std::sync::Arc;

/// `/log/checkpoint`, `/log/key`, `/log/tile/…`, `/log/proof/CREDENTIAL`.
pub(crate) fn router() -> Router<Arc<Authority>> {
    Router::new()
        .route("/log/checkpoint", get(checkpoint))
        .route("/log/key", get(key))
        .route("/log/tile/{*path}", get(tile))
        .route("/log/proof/{credential}", get(proof))
}

async fn checkpoint(State(authority): State<Arc<Authority>>) -> Response {
    blocking(move || Ok(authority.shown_checkpoint()?.map(|checkpoint| (TEXT, CHANGES, checkpoint.note)))).await
}

/// The key that signs checkpoints, as a line. Whoever trusts the log compares it with what the organisation says elsewhere.
async fn key(State(authority): State<Arc<Authority>>) -> Response {
    let line = format!("{}\n", authority.log().key());
    ([(CONTENT_TYPE, TEXT), (CACHE_CONTROL, CHANGES)], line).into_response()
}

async fn tile(State(authority): State<Arc<Authority>>, Path(path): Path<String>) -> Response {
    let Ok(resource) = format!("tile/{path}").parse() else { return StatusCode::NOT_FOUND.into_response() };
    blocking(move || resource_bytes(&authority, resource).map(|found| found.map(|bytes| (BYTES, STAYS, bytes)))).await
}

fn resource_bytes(authority: &Authority, resource: Resource) -> Result<Option<Vec<u8>>, Error> {
    let store = authority.log().store();
    match resource {
        Resource::Hashes(tile) => Ok(store.log_tile(tile)?),
        Resource::Entries(tile) => entries(authority, tile),
    }
}

fn entries(authority: &Authority, tile: Tile) -> Result<Option<Vec<u8>>, Error> {
    let Some(first) = tile.index.checked_mul(FULL) else { return Ok(None) };
    let found = authority.log().store().log_entries(first, u32::from(tile.width))?;
    if found.len() < usize::from(tile.width) {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    for entry in &found {
        bundle(&entry.tbs, &mut bytes)
            .map_err(|length| Error::Object { what: "log entry", why: format!("{length} bytes are too many") })?;
    }
    Ok(Some(bytes))
}

async fn proof(State(authority): State<Arc<Authority>>, Path(credential): Path<String>) -> Response {
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(credential.as_bytes()).ok();
    let Some(credential) = bytes.and_then(|bytes| bytes.try_into().ok()).map(CredentialId::from_bytes) else {
        return (StatusCode::BAD_REQUEST, "give the credential's identifier: 32 hexadecimal digits\n").into_response();
    };
    blocking(move || Ok(authority.log_proof(credential)?.map(|proof| (TEXT, CHANGES, proof)))).await
}

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");
const CHANGES: HeaderValue = HeaderValue::from_static("no-cache");
const STAYS: HeaderValue = HeaderValue::from_static("max-age=31536000, immutable");

type Found = Option<(HeaderValue, HeaderValue, Vec<u8>)>;

async fn blocking(read: impl FnOnce() -> Result<Found, Error> + Send + 'static) -> Response {
    match tokio::task::spawn_blocking(read).await {
        Ok(Ok(Some((kind, caching, bytes)))) => {
            ([(CONTENT_TYPE, kind), (CACHE_CONTROL, caching)], bytes).into_response()
        }
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(error)) => {
            tracing::error!(%error, "the log could not be read");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
        Err(error) => {
            tracing::error!(%error, "reading the log ended unexpectedly");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
