//! Zero-touch enrolment (BRSKI, RFC 8995): a site's registrar, and the maker's MASA that it asks.

pub(crate) mod masa;
mod reach;
pub(crate) mod registrar;

use crate::store::AuditEntry;
use crate::{Authority, Error};
use axum::response::{IntoResponse as _, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use medlock_node::brski::VOUCHER_CMS;
use medlock_node::provider::sha256;
use medlock_trust::Time;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// How long the same thing is not told again, in seconds.
const QUIET: i64 = 86_400;
/// How many things are told in that time.
const MAX_TOLD: usize = 4_096;

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

/// What was told of devices lately. So whoever brings a device again and again does not fill the audit trail.
#[derive(Default)]
pub(crate) struct Told(Mutex<HashMap<[u8; 32], Time>>);

impl Told {
    /// Whether this is to be told now: it was not told for a day, nor was too much else.
    fn is_news(&self, what: &str, now: Time) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, at| now.seconds_since(*at).abs() < QUIET);
        let key = sha256(what.as_bytes());
        if told.len() >= MAX_TOLD || told.contains_key(&key) {
            return false;
        }
        told.insert(key, now);
        true
    }
}

impl Authority {
    /// Writes to the audit trail that `who` asked `from` there for a voucher of the device with this serial and got none; once
    /// a day.
    fn note_refused(&self, who: &str, from: &str, serial: &str, reason: &str) -> Result<(), Error> {
        let at = self.clock.now();
        // From where does not count: ports change.
        if !self.locks.told.is_news(&format!("{who} {serial} {reason}"), at) {
            return Ok(());
        }
        let (who, verb, subject) = (format!("{who} at {from}"), "request-voucher".to_owned(), serial.to_owned());
        Ok(self.store.note(AuditEntry { at, who, verb, subject, outcome: reason.to_owned() })?)
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
