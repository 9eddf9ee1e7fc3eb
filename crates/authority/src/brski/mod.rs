//! Zero-touch enrolment (BRSKI, RFC 8995): a site's registrar, and the maker's MASA that it asks.

pub(crate) mod masa;
mod reach;
pub(crate) mod registrar;

use crate::Error;
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use medlock_node::brski::VOUCHER_CMS;

/// Why somebody gets no voucher: this is a decision, not an error.
#[derive(Debug)]
pub(crate) struct Rejected {
    status: StatusCode,
    reason: String,
}

impl Rejected {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    fn malformed(reason: impl std::fmt::Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, format!("the request for a voucher does not count: {reason}"))
    }

    fn forbidden(reason: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, reason)
    }
}

/// A voucher, or why there is none.
type Decided<T> = Result<Result<T, Rejected>, Error>;

fn is_voucher_request(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().eq_ignore_ascii_case(VOUCHER_CMS)
}

fn unsupported() -> Response {
    text(StatusCode::UNSUPPORTED_MEDIA_TYPE, &format!("send a request of type {VOUCHER_CMS}"))
}

fn answer(decided: Decided<Vec<u8>>) -> Response {
    match decided {
        Ok(Ok(voucher)) => {
            (StatusCode::OK, [(CONTENT_TYPE, HeaderValue::from_static(VOUCHER_CMS))], voucher).into_response()
        }
        Ok(Err(rejected)) => {
            tracing::info!(status = %rejected.status, reason = rejected.reason, "no voucher");
            text(rejected.status, &rejected.reason)
        }
        Err(error) => {
            tracing::error!(%error, "a voucher could not be had");
            text(StatusCode::SERVICE_UNAVAILABLE, "no voucher now: try again; the log says why")
        }
    }
}

fn text(status: StatusCode, reason: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}
