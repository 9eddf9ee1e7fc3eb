//! The `devices` listener: EST, signed objects, tickets and news, as docs/hub-protocol.md has them.

use crate::enrolment::Answer;
use crate::objects::Kind;
use crate::tickets::{self, MAX_CREDENTIALS, MAX_REQUEST};
use crate::{Authority, Error, brski, est};
use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Extension, RequestExt as _, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, StatusCode};
use medlock_node::accept::{Limits, PeerInfo};
use medlock_trust::status::MAX_LENGTH as MAX_STATUS;
use medlock_trust::{CredentialId, DeviceId, Identified};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// How often a comment keeps the news alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// The most devices that remind the hub at once: each holds a list of megabytes.
const MAX_REMINDERS: usize = 16;
/// The most streams of news to one device: one is enough, and some may be dying.
const MAX_STREAMS: usize = 4;

/// What a caller of the `devices` listener may cost: a node that reminds the hub gives it a whole status list. Requests to all
/// other paths stay as small as they are elsewhere.
#[must_use]
pub fn devices_limits() -> Limits {
    Limits { body_bytes: MAX_STATUS, ..Limits::default() }
}

/// The paths of the `devices` listener. A maker's serves sites that ask for vouchers.
pub fn devices_router(authority: Arc<Authority>) -> Router {
    if authority.kind() == crate::settings::Kind::Maker {
        return brski::masa::router().with_state(authority);
    }
    let known = Router::new()
        .route("/v1/objects/{kind}", get(object))
        .route("/v1/objects/status", get(status).post(remind).layer(DefaultBodyLimit::max(MAX_STATUS)))
        .route("/v1/ticket", get(ticket))
        .route("/v1/tickets", post(tickets).layer(DefaultBodyLimit::max(MAX_REQUEST)))
        .route("/v1/news", get(news))
        .layer(Extension(Arc::new(Streams::default())))
        .layer(Extension(Arc::new(Reminders::default())))
        .layer(middleware::from_fn_with_state(authority.clone(), known_only));
    // Who may vouch for whom is no secret, and a device that has nothing yet must learn it to get its first credential.
    let lists = Router::new()
        .route("/v1/objects/site-list", get(|state, headers| object(state, Path("site-list".to_owned()), headers)))
        .route("/v1/objects/site-list/after/{version}", get(missed_list))
        .route("/v1/objects/trust-list/after/{version}", get(missed_trust_list))
        .route("/v1/objects/trust-list", get(|state, headers| object(state, Path("trust-list".to_owned()), headers)));
    let small = DefaultBodyLimit::max(Limits::default().body_bytes);
    est::router().merge(brski::registrar::router()).merge(known).merge(lists).layer(small).with_state(authority)
}

/// Who reminds the hub at present, each once; and whose list is read, one after the other: it may be of megabytes, and is verified.
#[derive(Debug, Default)]
struct Reminders {
    devices: Mutex<HashSet<DeviceId>>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// A device's place among them, until it is dropped.
struct Reminding(Arc<Reminders>, DeviceId);

impl Reminders {
    fn enter(reminders: &Arc<Self>, device: DeviceId) -> Option<Reminding> {
        let mut devices = reminders.devices.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room = devices.len() < MAX_REMINDERS && devices.insert(device);
        has_room.then(|| Reminding(reminders.clone(), device))
    }
}

impl Drop for Reminding {
    fn drop(&mut self) {
        self.0.devices.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
    }
}

/// Lets only callers through who may renew: that is the operation under which trust objects are fetched.
async fn known_only(
    State(authority): State<Arc<Authority>>,
    Extension(peer): Extension<PeerInfo>,
    mut request: Request,
    next: Next,
) -> Response {
    let Some(who) = peer.identified else {
        return refuse(StatusCode::UNAUTHORIZED, "show your operational credential as client certificate");
    };
    let seen = who.clone();
    let judged = tokio::task::spawn_blocking(move || {
        if let Err(error) = authority.seen(&seen) {
            tracing::warn!(%error, "the use of a credential could not be noted");
        }
        authority.may_renew(&seen)
    });
    match judged.await {
        Ok(Ok(())) => {}
        Ok(Err(Answer::Refused(refusal))) => return refuse(StatusCode::FORBIDDEN, &refusal.reason),
        Ok(Err(_)) | Err(_) => return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the judgement was not finished"),
    }
    request.extensions_mut().insert(Known(who));
    next.run(request).await
}

/// A caller who may renew.
#[derive(Clone)]
struct Known(Identified);

async fn object(State(authority): State<Arc<Authority>>, Path(kind): Path<String>, headers: HeaderMap) -> Response {
    let Some(object) = Kind::from_name(&kind).and_then(|kind| authority.news().current(kind)) else {
        return refuse(StatusCode::NOT_FOUND, "there is no such object at this site");
    };
    let tag = format!("\"{}\"", object.version);
    let held = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let Ok(etag) = HeaderValue::from_str(&tag) else {
        return refuse(StatusCode::INTERNAL_SERVER_ERROR, "the version cannot be told");
    };
    if held == Some(tag.as_str()) {
        return (StatusCode::NOT_MODIFIED, [(ETAG, etag)]).into_response();
    }
    let headers = [(CONTENT_TYPE, HeaderValue::from_static("application/cose")), (ETAG, etag)];
    (StatusCode::OK, headers, object.bytes).into_response()
}

async fn status(state: State<Arc<Authority>>, headers: HeaderMap) -> Response {
    object(state, Path(Kind::Status.name().to_owned()), headers).await
}

/// A node has kept a status list of ours that tells a compromise which the newest one does not.
async fn remind(
    State(authority): State<Arc<Authority>>,
    Extension(Known(who)): Extension<Known>,
    Extension(reminders): Extension<Arc<Reminders>>,
    request: Request,
) -> Response {
    // Of many nodes that say the same at one moment, some are heard; whoever has something else to say hears the next list, and
    // says it then. Nothing is read of the others.
    let Some(place) = Reminders::enter(&reminders, who.device()) else {
        let mut busy = refuse(StatusCode::SERVICE_UNAVAILABLE, "other devices are being heard");
        busy.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("15"));
        return busy;
    };
    let list = match request.extract::<Bytes, _>().await {
        Ok(list) => list,
        Err(rejection) => return rejection.into_response(),
    };
    let turn = reminders.turn.clone().lock_owned().await;
    let reminded = tokio::task::spawn_blocking(move || {
        let (_place, _turn) = (place, turn);
        authority.remind(&list)
    });
    match reminded.await {
        Ok(Ok(new)) => {
            tracing::info!(device = %who.device(), new, "a device has kept a status list of ours");
            StatusCode::NO_CONTENT.into_response()
        }
        Ok(Err(error @ Error::Object { .. })) => refuse(StatusCode::UNPROCESSABLE_ENTITY, &error.to_string()),
        Ok(Err(error)) => {
            tracing::error!(%error, "what a device has kept could not be taken over");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "not now; the hub's log says why")
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "it was not finished"),
    }
}

/// The next of the site lists that are kept, for who has missed it: the root that signs today is not known without it.
async fn missed_list(State(authority): State<Arc<Authority>>, Path(version): Path<u64>) -> Response {
    missed(authority.missed_site_list(version))
}

/// The same of the trust lists: those who sign today are not known without it.
async fn missed_trust_list(State(authority): State<Arc<Authority>>, Path(version): Path<u64>) -> Response {
    match tokio::task::spawn_blocking(move || authority.missed_trust_list(version)).await {
        Ok(Ok(list)) => missed(list),
        Ok(Err(error)) => {
            tracing::warn!(%error, "a trust list that was missed was not given out");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "not now; the hub's log says why")
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "it was not finished"),
    }
}

fn missed(list: Option<Vec<u8>>) -> Response {
    match list {
        Some(list) => (StatusCode::OK, [(CONTENT_TYPE, "application/cose")], list).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "no later list is kept beside the newest one"),
    }
}

#[derive(Deserialize)]
struct TicketQuery {
    credential: String,
    nonce: String,
}

async fn ticket(
    State(authority): State<Arc<Authority>>,
    query: Result<Query<TicketQuery>, QueryRejection>,
) -> Response {
    let Ok(Query(query)) = query else {
        return refuse(StatusCode::BAD_REQUEST, "give credential and nonce, both in hexadecimal");
    };
    let decode = |text: &str| data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let credential = decode(&query.credential).and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    let (Some(credential), Some(nonce)) = (credential, decode(&query.nonce)) else {
        return refuse(StatusCode::BAD_REQUEST, "give credential (16 bytes) and nonce (8 to 32 bytes) in hexadecimal");
    };
    let made =
        tokio::task::spawn_blocking(move || authority.ticket(CredentialId::from_bytes(credential), &nonce)).await;
    match made {
        Ok(Ok(Some(bytes))) => (StatusCode::OK, [(CONTENT_TYPE, "application/cose")], bytes).into_response(),
        Ok(Ok(None)) => refuse(StatusCode::NOT_FOUND, "this credential is not one of this site"),
        Ok(Err(error @ Error::Object { .. })) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
        Ok(Err(error)) => {
            tracing::error!(%error, "a ticket could not be made");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "no ticket now; the hub's log says why")
        }
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the ticket was not finished"),
    }
}

async fn tickets(State(authority): State<Arc<Authority>>, body: Bytes) -> Response {
    let made = tokio::task::spawn_blocking(move || {
        tickets::Request::read(&body, MAX_CREDENTIALS).map(|request| authority.tickets(&request))
    });
    match made.await {
        Ok(Ok(Ok(answer))) => (StatusCode::OK, [(CONTENT_TYPE, "application/cbor")], answer).into_response(),
        Ok(Ok(Err(error))) => {
            tracing::error!(%error, "tickets could not be made");
            refuse(StatusCode::SERVICE_UNAVAILABLE, "no tickets now; the hub's log says why")
        }
        Ok(Err(_)) => refuse(StatusCode::BAD_REQUEST, "give [nonce, [credentials]] in CBOR, at most 512 of 16 bytes"),
        Err(_) => refuse(StatusCode::INTERNAL_SERVER_ERROR, "the tickets were not finished"),
    }
}

async fn news(
    State(authority): State<Arc<Authority>>,
    Extension(Known(who)): Extension<Known>,
    Extension(streams): Extension<Arc<Streams>>,
) -> Response {
    let Some(place) = Streams::enter(&streams, who.device()) else {
        let mut full = refuse(StatusCode::TOO_MANY_REQUESTS, "this device follows the news often enough");
        full.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("15"));
        return full;
    };
    let changes = authority.news().changes();
    let feed =
        Feed { authority, who, changes, told: [None; Kind::ALL.len()], ended: false, first: true, _place: place };
    let stream = futures_util::stream::unfold(feed, |feed| feed.next());
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (StatusCode::OK, headers, Body::from_stream(stream)).into_response()
}

/// How many streams each device follows.
#[derive(Debug, Default)]
struct Streams(Mutex<HashMap<DeviceId, usize>>);

/// One stream of a device, until it is dropped.
struct Place(Arc<Streams>, DeviceId);

impl Streams {
    fn enter(streams: &Arc<Self>, device: DeviceId) -> Option<Place> {
        let mut held = streams.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = held.entry(device).or_default();
        if *count >= MAX_STREAMS {
            return None;
        }
        *count += 1;
        Some(Place(streams.clone(), device))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut held = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = held.get_mut(&self.1) {
            *count -= 1;
            if *count == 0 {
                held.remove(&self.1);
            }
        }
    }
}

/// One follower: which versions it was told.
struct Feed {
    authority: Arc<Authority>,
    who: Identified,
    changes: watch::Receiver<u64>,
    told: [Option<u64>; Kind::ALL.len()],
    ended: bool,
    first: bool,
    _place: Place,
}

impl Feed {
    /// What to write next; `None` ends the stream.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        if self.ended {
            return None;
        }
        if !self.first {
            match tokio::time::timeout(KEEP_ALIVE, self.changes.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return None,
                Err(_) => return Some((Ok(Bytes::from_static(b": keep-alive\n\n")), self)),
            }
        }
        self.first = false;
        self.changes.mark_unchanged();
        // A caller that may no longer renew is told why, and then left: asked before it is looked up what there is to tell.
        self.ended = self.authority.may_renew(&self.who).is_err();
        if self.ended {
            self.until_status_is_told().await;
        }
        let text = self.untold();
        Some((Ok(Bytes::from(text)), self))
    }

    /// Waits until the status list says all that is recorded, as it is signed a moment later: else who was revoked right behind another
    /// change would never hear it. Not for ever, where it cannot be signed.
    async fn until_status_is_told(&mut self) {
        let told = async {
            loop {
                let authority = self.authority.clone();
                // The store is asked, and blocks: what another hub has recorded counts too.
                let untold = tokio::task::spawn_blocking(move || authority.has_untold_status()).await;
                if !untold.unwrap_or(false) || self.changes.changed().await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(KEEP_ALIVE, told).await;
    }

    fn untold(&mut self) -> String {
        let mut text = String::new();
        for (kind, told) in Kind::ALL.into_iter().zip(&mut self.told) {
            if let Some(object) = self.authority.news().current(kind)
                && *told < Some(object.version)
            {
                *told = Some(object.version);
                // To thousands of followers at once, megabytes are only named; who wants them fetches them.
                let data = if kind.is_fetched() { "-".to_owned() } else { data_encoding::BASE64.encode(&object.bytes) };
                text.push_str(&format!("event: {kind}\nid: {}\ndata: {data}\n\n", object.version));
            }
        }
        text
    }
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{reason}\n")).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-STORE-110.
    #[test]
    fn a_device_reminds_the_hub_once_at_a_time_and_few_do() {
        let reminders = Arc::new(Reminders::default());
        let enter = |number| Reminders::enter(&reminders, DeviceId::from_bytes([number; 16]));
        let mut places: Vec<_> = (0..20).filter_map(enter).collect();
        assert_eq!(places.len(), MAX_REMINDERS);
        assert!(enter(3).is_none());
        places.swap_remove(3);
        let again = enter(3).unwrap();
        assert!(enter(3).is_none(), "one device has one place");
        places.pop();
        assert!(enter(3).is_none() && enter(100).is_some());
        drop((places, again));
        assert!(reminders.devices.lock().unwrap().is_empty());
    }

    #[test]
    fn a_device_follows_the_news_four_times_and_no_more() {
        let streams = Arc::new(Streams::default());
        let device = |number| DeviceId::from_bytes([number; 16]);
        let mut places: Vec<_> = (0..4).map(|_| Streams::enter(&streams, device(1)).unwrap()).collect();
        assert!(Streams::enter(&streams, device(1)).is_none());
        assert!(Streams::enter(&streams, device(2)).is_some(), "another device has its own");
        places.pop();
        assert!(Streams::enter(&streams, device(1)).is_some());
        drop(places);
        assert!(streams.0.lock().unwrap().is_empty(), "a device that left is forgotten");
    }
}
