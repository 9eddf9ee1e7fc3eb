//! What watches a hub: health for supervisors, metrics for Prometheus, words for systemd.

use crate::authorities::Authorities;
use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use medlock_authority::{Authority, Figures};
use medlock_clinical::Clinical;
use medlock_node::accept::Meter;
use medlock_trust::Time;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;

/// The name of the hub's own site among its authorities.
const SITE: &str = "-";

/// What is watched.
#[derive(Clone, Debug)]
pub(crate) struct Watched {
    pub(crate) site: Arc<Authority>,
    pub(crate) authorities: Arc<Authorities>,
    pub(crate) clinical: Option<Arc<Clinical>>,
    pub(crate) meter: Meter,
}

/// `/health/live`: this process answers.
pub(crate) fn live() -> Router {
    Router::new().route("/health/live", get(|| async { "alive\n" }))
}

/// `/health/live`, `/health/ready` and `/metrics`, of all authorities of the hub.
pub(crate) fn router(watched: Watched) -> Router {
    Router::new()
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(watched))
        .merge(live())
}

impl Watched {
    /// Every authority, and whether it can issue.
    async fn all(&self) -> Vec<(String, Arc<Authority>, Result<(), String>)> {
        let site = (SITE.to_owned(), Arc::clone(&self.site));
        let mut asked = tokio::task::JoinSet::new();
        for (name, authority) in std::iter::once(site).chain(self.authorities.all()) {
            asked.spawn(async move {
                let ready = Arc::clone(&authority).is_ready().await;
                (name, authority, ready)
            });
        }
        let mut all = asked.join_all().await;
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }
}

/// 200 when every authority can issue, else 503 with those that cannot and why.
async fn ready(State(watched): State<Arc<Watched>>) -> Response {
    let fault =
        |(name, _, ready): (String, _, Result<(), String>)| ready.err().map(|why| format!("authority {name}: {why}\n"));
    let off = watched.authorities.off().into_iter().map(|(name, why)| format!("authority {name}: it is off: {why}\n"));
    let faults: String = watched.all().await.into_iter().filter_map(fault).chain(off).collect();
    if faults.is_empty() {
        (StatusCode::OK, "ready\n").into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, faults).into_response()
    }
}

async fn metrics(State(watched): State<Arc<Watched>>) -> Response {
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let authorities = watched.all().await;
    match tokio::task::spawn_blocking(move || written(&watched, &authorities)).await {
        Ok(Ok(text)) => (StatusCode::OK, [(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}

/// Everything as OpenMetrics text. What has a state of its own, the listeners' counters, is kept; the rest is asked now.
fn written(
    watched: &Watched,
    authorities: &[(String, Arc<Authority>, Result<(), String>)],
) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("medlock");
    let version = [("version", env!("CARGO_PKG_VERSION"))];
    registry.register("build", "This program", Info::new(version.to_vec()));
    watched.meter.register(&mut registry);
    let gauges = Gauges::register(&mut registry);
    for (name, authority, ready) in authorities {
        let of = Of { authority: name.clone() };
        gauges.ready.get_or_create(&of).set(ready.is_ok().into());
        match authority.figures() {
            Ok(figures) => gauges.set(&of, &figures),
            Err(error) => tracing::warn!(authority = name, %error, "there are no figures of an authority"),
        }
    }
    for name in watched.authorities.off().into_keys() {
        gauges.ready.get_or_create(&Of { authority: name }).set(0);
    }
    if let Some(clinical) = &watched.clinical {
        records(&mut registry, clinical);
    }
    process(&mut registry);
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Of {
    authority: String,
}

/// How the authorities are.
#[derive(Debug, Default)]
struct Gauges {
    ready: Family<Of, Gauge>,
    log_entries: Family<Of, Gauge>,
    devices: Family<Of, Gauge>,
    alarms: Family<Of, Gauge>,
    status_epoch: Family<Of, Gauge>,
    status_issued: Family<Of, Gauge>,
    hub_until: Family<Of, Gauge>,
    issuing_until: Family<Of, Gauge>,
}

impl Gauges {
    fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        for (name, help, gauge) in [
            ("ready", "Whether the authority can issue: its store answers and its signer has the key", &new.ready),
            ("log_entries", "Entries of the log that a signed checkpoint covers", &new.log_entries),
            ("devices", "Devices in the register", &new.devices),
            ("alarms", "Alarms that nobody has acknowledged", &new.alarms),
            ("status_epoch", "How often a standing has changed", &new.status_epoch),
        ] {
            registry.register(name, help, gauge.clone());
        }
        for (name, help, gauge) in [
            ("status_issued_timestamp", "When the newest status list was signed", &new.status_issued),
            ("hub_credential_ends_timestamp", "When the hub's own credential ends", &new.hub_until),
            ("issuing_certificate_ends_timestamp", "When the issuing key's certificate ends", &new.issuing_until),
        ] {
            registry.register_with_unit(name, help, Unit::Seconds, gauge.clone());
        }
        new
    }

    fn set(&self, of: &Of, figures: &Figures) {
        let number = |gauge: &Family<Of, Gauge>, value: u64| {
            gauge.get_or_create(of).set(value.try_into().unwrap_or(i64::MAX));
        };
        number(&self.log_entries, figures.log_entries);
        number(&self.devices, figures.devices);
        number(&self.alarms, figures.alarms);
        number(&self.status_epoch, figures.status_epoch);
        let time = |gauge: &Family<Of, Gauge>, value: Option<Time>| {
            if let Some(value) = value {
                gauge.get_or_create(of).set(value.unix());
            }
        };
        time(&self.status_issued, figures.status_issued);
        time(&self.hub_until, figures.hub_until);
        time(&self.issuing_until, figures.issuing_until);
    }
}

/// How the records are: who is told of them, and what is not in them yet.
fn records(registry: &mut Registry, clinical: &Clinical) {
    let figures = match clinical.figures() {
        Ok(figures) => figures,
        Err(error) => return tracing::warn!(%error, "there are no figures of the records"),
    };
    let (all, behind, waiting) = (Gauge::<i64>::default(), Gauge::<i64>::default(), Gauge::<i64>::default());
    all.set(figures.subscriptions.try_into().unwrap_or(i64::MAX));
    behind.set(figures.behind_seconds);
    waiting.set(figures.deliveries_waiting.try_into().unwrap_or(i64::MAX));
    registry.register("deliveries_waiting", "Deliveries that wait until a person says whose they were", waiting);
    registry.register("subscriptions", "Subscriptions that are told of new readings", all);
    let help = "How long the subscriber that has waited longest has waited to be told";
    registry.register_with_unit("subscriber_behind", help, Unit::Seconds, behind);
}

/// What the system says of this process: its memory and its open files.
fn process(registry: &mut Registry) {
    let resident = std::fs::read_to_string("/proc/self/statm").ok().and_then(|statm| {
        let pages: i64 = statm.split(' ').nth(1)?.parse().ok()?;
        pages.checked_mul(rustix::param::page_size().try_into().ok()?)
    });
    let files = std::fs::read_dir("/proc/self/fd").ok().and_then(|entries| i64::try_from(entries.count()).ok());
    let values = [
        ("process_resident_memory", "Memory in use", Some(Unit::Bytes), resident),
        ("process_open_files", "Open files", None, files),
    ];
    for (name, help, unit, value) in values {
        let Some(value) = value else { continue };
        let gauge: Gauge = Gauge::default();
        gauge.set(value);
        match unit {
            Some(unit) => registry.register_with_unit(name, help, unit, gauge),
            None => registry.register(name, help, gauge),
        }
    }
}

/// Tells systemd, if it has started us, how we are.
pub(crate) fn tell(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told how the hub is");
    }
}

/// Tells systemd that the hub goes on, as often as it wants to hear it.
pub(crate) async fn watchdog() {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut every = tokio::time::interval(within / 3);
    loop {
        every.tick().await;
        tell(&[sd_notify::NotifyState::Watchdog]);
    }
}
