//! A request, taken from HTTP; who asks, and what is noted of it.

use super::{Door, answer};
use crate::access::{Caller, Shown, Sight, Verb};
use crate::audit::{Note, UNAUDITED};
use crate::auth::proof::{NONCE, nonce};
use crate::kind::{Kind, Row};
use crate::outcome::{Code, Issue, Refusal};
use crate::provenance;
use crate::query;
use crate::store::{Cursor, Stored};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequestParts, NestedPath, RawPathParams};
use axum::response::{IntoResponse as _, Response};
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use medlock_node::accept::{Limits, PeerInfo};
use medlock_store::Error;
use std::borrow::Cow;
use std::convert::Infallible;
use std::sync::atomic::AtomicBool;

/// A request, but for its body.
pub(super) struct Asking {
    pub(super) door: Door,
    peer: Option<PeerInfo>,
    head: Parts,
    /// What stands in the address, if it is text.
    names: Option<Vec<String>>,
    /// Where the door's paths begin within it.
    nested: String,
    /// Whether its proof has counted.
    counted: AtomicBool,
}

impl FromRequestParts<Door> for Asking {
    type Rejection = Infallible;

    async fn from_request_parts(head: &mut Parts, door: &Door) -> Result<Self, Infallible> {
        let names = RawPathParams::from_request_parts(head, door).await.ok();
        let names = names.map(|names| names.iter().map(|(_, name)| name.to_owned()).collect());
        let nested = NestedPath::from_request_parts(head, door).await;
        let nested = nested.map_or_else(|_| String::new(), |nested| nested.as_str().to_owned());
        let peer = head.extensions.get::<PeerInfo>().cloned();
        Ok(Self { door: door.clone(), peer, head: head.clone(), names, nested, counted: AtomicBool::new(false) })
    }
}

impl Asking {
    /// The store blocks.
    pub(super) async fn blocking(
        self,
        work: impl FnOnce(&Self) -> Result<Response, Refusal> + Send + 'static,
    ) -> Response {
        let answered = tokio::task::spawn_blocking(move || work(&self).unwrap_or_else(|why| self.refusal(why)));
        answered.await.unwrap_or_else(|_| failed("the request was not finished").into_response())
    }

    /// A refusal as it is answered; with a nonce where one is needed (RFC 9449 section 9). What may not be changed here may be read.
    pub(super) fn refusal(&self, why: Refusal) -> Response {
        let wants_nonce = why.code() == Code::ProofNonce;
        let mut response = why.into_response();
        if response.status() == StatusCode::METHOD_NOT_ALLOWED {
            insert(response.headers_mut(), ALLOW, "GET, HEAD");
        }
        if wants_nonce {
            let clinical = &self.door.clinical;
            insert(response.headers_mut(), NONCE, &nonce(clinical.records(), clinical.clock().now()));
        }
        response
    }

    /// A part of the address.
    pub(super) fn name(&self, place: usize) -> Result<&str, Refusal> {
        let name = self.names.as_ref().and_then(|names| names.get(place));
        name.map(String::as_str).ok_or_else(|| Issue::new(Code::UnknownKind, "the address is no text").into())
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// The caller takes JSON.
    pub(super) fn accepts(&self) -> Result<(), Refusal> {
        answer::accepts(self.headers(), self.query())
    }

    /// A header; empty if there is none that is text.
    pub(super) fn header(&self, name: &HeaderName) -> &str {
        self.head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    pub(super) fn query(&self) -> &str {
        self.head.uri.query().unwrap_or_default()
    }

    /// The address as the caller knows it, without its query.
    pub(super) fn url(&self) -> String {
        [self.door.address(), &self.nested, self.head.uri.path()].concat()
    }

    /// Method and path, as they may be told.
    pub(super) fn shown(&self) -> String {
        let path: String = self.head.uri.path().chars().take(256).collect();
        format!("{} {path}", self.head.method)
    }

    /// Where the caller is.
    pub(super) fn origin(&self) -> Result<String, Refusal> {
        Ok(self.peer()?.origin.to_string())
    }

    fn peer(&self) -> Result<&PeerInfo, Refusal> {
        self.peer.as_ref().ok_or_else(|| failed("the request came through no door"))
    }

    pub(super) fn caller(&self) -> Result<Caller, Refusal> {
        self.door.clinical.gate().admit(&Shown {
            headers: &self.head.headers,
            peer: self.peer()?,
            method: self.head.method.as_str(),
            url: self.url(),
            counted: &self.counted,
        })
    }

    pub(super) fn kind(&self, name: &str) -> Result<Kind, Refusal> {
        let kind = Kind::named(name).filter(|kind| self.door.clinical.settings().kinds.contains(kind));
        let shown: String = name.chars().take(64).collect();
        kind.ok_or_else(|| Issue::new(Code::UnknownKind, format!("{shown:?} is not served")).into())
    }

    /// The caller with what is noted of it, if it may do this with resources of this kind at all.
    pub(super) fn permitted(&self, name: &str, verb: Verb) -> Result<(Caller, Kind, Note), Refusal> {
        self.accepts()?;
        let caller = self.caller()?;
        let kind = self.kind(name)?;
        let note = self.note(&caller, verb, kind)?;
        match denied(&caller, verb, kind) {
            Some(why) => Err(self.refused(&note, why)),
            None => Ok((caller, kind, note)),
        }
    }

    pub(super) fn note(&self, caller: &Caller, verb: Verb, kind: Kind) -> Result<Note, Refusal> {
        Ok(Note::of(caller, verb, kind, self.origin()?))
    }

    /// The refusal, noted.
    pub(super) fn refused(&self, note: &Note, why: Refusal) -> Refusal {
        match self.noted(note.clone().refused(why.code().as_str())) {
            Ok(()) => why,
            Err(away) => away,
        }
    }

    pub(super) fn noted(&self, note: Note) -> Result<(), Refusal> {
        if self.door.clinical.audit().take(note) {
            return Ok(());
        }
        Err(Issue::new(Code::AuditAway, UNAUDITED).into())
    }

    /// The same of what is told of these patients, and of those whose are only counted: as far as they were not told of late that this one
    /// counts of this kind.
    pub(super) fn noted_counting(
        &self,
        caller: &Caller,
        note: Note,
        (kind, mut patients): (Kind, Vec<Row>),
        counted: &[Row],
    ) -> Result<(), Refusal> {
        let untold = self.untold(caller, kind, counted);
        patients.extend(&untold);
        self.noted(note.about(kind, None, None, patients))?;
        let clinical = &self.door.clinical;
        clinical.audit().counters().tell(&caller.taker(), kind, &untold, clinical.clock().now().unix());
        Ok(())
    }

    /// Those of these patients who were not told of late that this one counts of this kind.
    pub(super) fn untold(&self, caller: &Caller, kind: Kind, counted: &[Row]) -> Vec<Row> {
        let clinical = &self.door.clinical;
        clinical.audit().counters().untold(&caller.taker(), kind, counted, clinical.clock().now().unix())
    }

    /// What is given of Provenances: their targets that are in sight too.
    pub(super) fn complete<'s>(
        &self,
        sight: &Sight,
        stored: impl IntoIterator<Item = &'s mut Stored>,
    ) -> Result<(), Refusal> {
        let records = self.door.clinical.records();
        for stored in stored.into_iter().filter(|stored| stored.kind == Kind::PROVENANCE) {
            let targets = records.targets(sight, stored.row).map_err(|error| store_failed(&error))?;
            stored.body = provenance::with_targets(&stored.body, &targets);
        }
        Ok(())
    }

    /// Where a page begins, if it is one of this search and caller.
    pub(super) fn unsealed(&self, cursor: Option<&str>, binding: &str) -> Result<Option<Cursor>, Refusal> {
        let Some(sealed) = cursor else { return Ok(None) };
        let found = self.door.clinical.records().unseal(sealed, binding);
        let wrong = || Issue::new(Code::Cursor, "this is no page of this search").at(query::CURSOR);
        Ok(Some(found.ok_or_else(wrong)?))
    }
}

/// Why this caller may do this with no resource of this kind at all.
pub(super) fn denied(caller: &Caller, verb: Verb, kind: Kind) -> Option<Refusal> {
    if kind.is_ours() && !matches!(verb, Verb::Read | Verb::Search) {
        return Some(Issue::new(Code::NotSupported, format!("{kind} is written by this server alone")).into());
    }
    if let Some(denied) = caller.denial(verb, kind) {
        return Some(Issue::new(Code::Denied, denied.to_string()).into());
    }
    let text = || format!("the token is not good for {verb:?} of {kind}");
    (!caller.sight(verb).may(kind)).then(|| Issue::new(Code::Forbidden, text()).into())
}

pub(super) fn read_whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| {
        let issue = if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            let text = format!("a request has at most {} bytes, and this one has more", Limits::default().body_bytes);
            Issue::new(Code::TooMuch, text).help("send smaller resources, or fewer of them in a Bundle")
        } else {
            Issue::new(Code::TooMuch, rejection.body_text()).help("send the whole body")
        };
        Refusal { status: rejection.status(), ..Refusal::from(issue) }
    })
}

pub(super) fn failed(text: &'static str) -> Refusal {
    Issue::new(Code::Failed, text).into()
}

/// Nothing is served at an address, by whatever method.
pub(super) fn no_address(text: impl Into<Cow<'static, str>>) -> Refusal {
    Refusal { status: StatusCode::NOT_FOUND, ..Issue::new(Code::NotSupported, text).into() }
}

pub(super) fn absent(kind: Kind) -> Refusal {
    Issue::new(Code::NotFound, format!("there is no such {kind}")).into()
}

pub(super) fn store_failed(error: &Error) -> Refusal {
    tracing::error!(%error, "a request could not be served");
    match error {
        // To ask again would not help: it is this server that asks for what cannot be.
        Error::Missing { .. } | Error::Taken { .. } => failed("the request was not finished"),
        Error::Late { limit, .. } => {
            let text = format!("it took longer than {limit:?}, and nothing was done");
            Issue::new(Code::StoreAway, text).help("ask again, for fewer at once where there are several").into()
        }
        _ => Issue::new(Code::StoreAway, "the store did not do it").into(),
    }
}

/// Why a search was not done.
pub(super) fn too_late(error: Error) -> Refusal {
    match error {
        Error::Late { limit, .. } => {
            Issue::new(Code::TooCostly, format!("the search took longer than {limit:?}")).into()
        }
        other => store_failed(&other),
    }
}

pub(super) fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_store::Error;
    use std::time::Duration;

    /// Shows REQ-FHIR-77: who is late is told so, and may ask again.
    #[test]
    fn who_is_late_is_told() {
        let late = Error::Late { database: String::new(), doing: "write resources", limit: Duration::from_secs(10) };
        let told = store_failed(&late);
        assert_eq!((told.status, told.code()), (StatusCode::SERVICE_UNAVAILABLE, Code::StoreAway));
        assert_eq!(told.issues.all()[0].text, "it took longer than 10s, and nothing was done");
    }
}
