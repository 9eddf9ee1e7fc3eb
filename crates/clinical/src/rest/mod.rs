//! `/fhir`: resources over HTTP (FHIR R4, section 3.1.0).

mod answer;
mod asking;
mod audit;
mod bundle;
mod capability;
mod change;
mod condition;
mod entry;
mod export;
mod glass;
mod history;
mod interaction;
mod operations;
mod origins;
mod places;
mod precondition;
mod questions;
mod transaction;
mod websocket;

pub(crate) use export::READS;
pub(crate) use places::Places;
#[cfg(test)]
pub(crate) use places::{Aim, Place};

use crate::intake::{self, STUDIES};
use crate::{Clinical, auth};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::middleware;
use axum::response::Response;
use axum::routing::{get, post};
use medlock_node::stop::Stop;
use std::sync::Arc;
use std::time::Duration;

/// How often late tokens are forgotten and what Patients lost is noted where nobody has; and after which pause it goes on while there is
/// more: others write in between.
const SWEEP: Duration = Duration::from_secs(60);
const SWEEP_ON: Duration = Duration::from_millis(50);
/// How long what is late is kept, in seconds: a code that comes again is known by it.
const KEPT: i64 = 3_600;
/// How often it is looked for what has ended at other hubs of the store.
const NEWS: Duration = Duration::from_millis(250);
/// How often it is said which keys this hub has.
const KEYS: Duration = Duration::from_secs(3_600);

/// One door with its address: links are of the door that was used.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) clinical: Arc<Clinical>,
    /// Its address with `/fhir`.
    pub(crate) base: Arc<str>,
    /// Whether it is the devices' door: certificates are shown there.
    pub(crate) of_devices: bool,
}

/// The paths that both doors have.
fn both(door: Door) -> Router {
    let auth = Router::new()
        .route("/auth/token", post(auth::token).fallback(auth::only_post))
        .route("/auth/introspect", post(auth::introspect).fallback(auth::only_post))
        .route("/auth/revoke", post(auth::revoke).fallback(auth::only_post))
        .route("/auth/launch", post(operations::launch))
        .route("/auth/keys", get(auth::keys))
        .route("/.well-known/openid-configuration", get(openid_configuration))
        .with_state(door.clone());
    fhir(door).merge(auth)
}

fn fhir(door: Door) -> Router {
    // The same for everybody, as long as the hub runs.
    let statement = Bytes::from(capability::statement(&door));
    let inner = Router::new()
        .route("/metadata", get(async move || answer::open(statement)))
        .route("/.well-known/smart-configuration", get(smart_configuration))
        .route("/.well-known/udap", get(auth::udap_metadata))
        .route("/", post(transaction::bundle))
        .route("/$submit-cgm-bundle", post(transaction::submit_cgm_bundle))
        .route("/$export", get(export::of_all).post(export::of_all_by_post))
        .route("/$export-status/{id}", get(export::status).delete(export::end))
        .route("/$export-file/{id}/{number}", get(export::file))
        .route("/{kind}/$export", get(export::of_patients).post(export::of_patients_by_post))
        .route("/{kind}/$validate", post(operations::validate))
        .route("/{kind}/{id}/$validate", post(operations::validate))
        .route("/{kind}/$break-glass", post(glass::break_glass_of_identified))
        .route("/{kind}/{id}/$break-glass", post(glass::break_glass))
        .route("/websocket", get(websocket::connect))
        .route("/{kind}/{id}/$get-ws-binding-token", get(websocket::ticket).post(websocket::ticket))
        .route("/{kind}/{id}/$broken-glass", get(glass::broken_glass))
        .route("/{kind}/{id}/$everything", get(operations::everything))
        .route("/_history", get(history::of_all))
        .route(
            "/{kind}",
            get(interaction::search).post(change::create).put(change::update_if).delete(change::delete_if),
        )
        .route("/{kind}/_search", post(interaction::search_by_form))
        .route("/{kind}/_history", get(history::of_kind))
        .route("/{kind}/{id}", get(interaction::read).put(change::update).delete(change::delete))
        .route("/{kind}/{id}/_history", get(history::of_one))
        .route("/{kind}/{id}/_history/{version}", get(interaction::version))
        .fallback(interaction::nowhere)
        .method_not_allowed_fallback(interaction::other_method)
        .with_state(door.clone());
    // With a slash at its end it is the same address.
    let base = Router::new().route("/fhir/", post(transaction::bundle));
    let base = base.method_not_allowed_fallback(interaction::other_method).with_state(door);
    base.nest("/fhir", inner)
}

/// The paths of the people's door.
pub(crate) fn people(clinical: Arc<Clinical>) -> Router {
    let base = base(&clinical.settings().public_url).into();
    let pages = Router::new()
        .route("/auth/authorize", get(auth::authorize).post(auth::authorize))
        .route("/auth/login", auth::login())
        .route("/auth/consent", auth::consent())
        .route("/auth/passkey", auth::passkey())
        .route("/auth/passkey/new", auth::new_passkey())
        .route("/auth/passkey.js", get(auth::script))
        .route("/auth/register", post(auth::register_by_itself))
        .route("/auth/upstream", get(auth::begin))
        .route("/auth/upstream/answer", get(auth::answer))
        .route("/auth/upstream/link", auth::link())
        .route("/auth/upstream/keys", get(auth::own_keys))
        .with_state(Arc::clone(&clinical));
    // The pages themselves are read by nobody but who sees them.
    both(Door { clinical, base, of_devices: false }).layer(middleware::from_fn(origins::any)).merge(pages)
}

/// The paths of the devices' door, which is reached at `address`.
pub(crate) fn devices(clinical: Arc<Clinical>, address: &str) -> Router {
    let images = Router::new().route(STUDIES, post(intake::studies)).with_state(Arc::clone(&clinical));
    both(Door { clinical, base: base(address).into(), of_devices: true }).merge(images)
}

fn base(address: &str) -> String {
    format!("{address}/fhir")
}

impl Door {
    /// All addresses under which references are local.
    fn bases(&self) -> Vec<String> {
        self.clinical.bases()
    }

    /// Where web sockets are reached.
    pub(crate) fn websocket(&self) -> String {
        format!("{}/websocket", self.base.replacen("http", "ws", 1))
    }

    /// Its address without `/fhir`.
    pub(crate) fn address(&self) -> &str {
        self.base.strip_suffix("/fhir").unwrap_or(&self.base)
    }
}

async fn smart_configuration(State(door): State<Door>) -> Response {
    answer::plain(auth::smart_configuration(&door))
}

async fn openid_configuration(State(door): State<Door>) -> Response {
    answer::plain(auth::openid_configuration(&door))
}

impl Clinical {
    /// Ends tokens that other hubs have ended, and tidies up, until asked to stop. To be spawned once.
    pub async fn keep(self: Arc<Self>, stop: Stop) {
        let (tells, beats) = (Arc::clone(&self).tell_until(stop.clone()), Arc::clone(&self).beat_until(stop.clone()));
        tokio::join!(tells, beats, self.tidy_until(stop));
    }

    async fn tidy_until(self: Arc<Self>, mut stop: Stop) {
        let every = |period| {
            let mut clock = tokio::time::interval(period);
            clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            clock
        };
        let (mut sweep, mut news, mut keys) = (every(SWEEP), every(NEWS), every(KEYS));
        loop {
            let work: fn(&Self) -> Left = tokio::select! {
                () = stop.asked() => break,
                _ = sweep.tick() => Self::sweep,
                _ = news.tick() => Self::hear,
                _ = keys.tick() => |clinical| {
                    clinical.publish_web_keys();
                    Left::Nothing
                },
            };
            let clinical = Arc::clone(&self);
            match tokio::task::spawn_blocking(move || work(&clinical)).await {
                Ok(Left::Nothing) => {}
                Ok(Left::More) => sweep.reset_after(SWEEP_ON),
                Err(_) => tracing::error!("what is done again and again was not"),
            }
        }
    }

    fn hear(&self) -> Left {
        self.forget_ended(self.clock().now().unix());
        Left::Nothing
    }

    /// Forgets some of what is late, and notes some of what was not noted: in between it is heard what has ended.
    fn sweep(&self) -> Left {
        let (records, now) = (self.records(), self.clock().now().unix());
        let late = records.forget_late(now.saturating_sub(KEPT)).map(|()| false);
        let works = [
            ("late tokens were not forgotten", records.forget_tokens(now)),
            ("what is late was not forgotten", late),
            ("what Patients lost was not noted", records.note_former()),
        ];
        let mut left = Left::Nothing;
        for (text, more) in works {
            match more {
                Ok(true) => left = Left::More,
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "{text}"),
            }
        }
        left
    }
}

/// What there is still to do of what is done again and again.
enum Left {
    Nothing,
    More,
}
