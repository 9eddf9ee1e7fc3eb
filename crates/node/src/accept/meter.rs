//! What a listener has done, for monitoring.

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;
use std::time::{Duration, Instant};

/// What the listeners of a process have done. Clones count together.
#[derive(Clone, Debug)]
pub struct Meter {
    connections: Family<Door, Gauge>,
    turned_away: Family<Door, Counter>,
    failed_handshakes: Family<Door, Counter>,
    requests: Family<Answered, Counter>,
    seconds: Family<Door, Histogram>,
}

/// One listener.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Door {
    door: &'static str,
}

/// One kind of answer. The route is the pattern and not the path, so that callers cannot make new ones.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    door: &'static str,
    route: String,
    status: u16,
}

impl Default for Meter {
    fn default() -> Self {
        Self {
            connections: Family::default(),
            turned_away: Family::default(),
            failed_handshakes: Family::default(),
            requests: Family::default(),
            // From a quarter of a millisecond to eight seconds.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.000_25, 2.0, 16))),
        }
    }
}

impl Meter {
    /// Shows what is counted here in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("connections", "Connections that are open", self.connections.clone());
        registry.register(
            "connections_turned_away",
            "Connections that were closed at once because there were too many",
            self.turned_away.clone(),
        );
        registry.register("handshakes_failed", "TLS handshakes that failed", self.failed_handshakes.clone());
        registry.register("requests", "Requests that were answered", self.requests.clone());
        registry.register("request_seconds", "How long answers took", self.seconds.clone());
    }

    /// One more connection, until what is returned is dropped.
    pub(super) fn connected(&self, door: &'static str) -> Connected {
        let gauge = self.connections.get_or_create_owned(&Door { door });
        gauge.inc();
        Connected(gauge)
    }

    pub(super) fn turned_away(&self, door: &'static str) {
        self.turned_away.get_or_create(&Door { door }).inc();
    }

    pub(super) fn failed_handshake(&self, door: &'static str) {
        self.failed_handshakes.get_or_create(&Door { door }).inc();
    }

    pub(crate) fn answered(&self, door: &'static str, route: &str, status: u16, took: Duration) {
        self.requests.get_or_create(&Answered { door, route: route.to_owned(), status }).inc();
        self.seconds.get_or_create(&Door { door }).observe(took.as_secs_f64());
    }

    /// Counts what the router answers, and writes it to the log.
    pub(super) async fn watch(self, door: &'static str, request: Request, next: Next) -> Response {
        let began = Instant::now();
        let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
        let peer = request.extensions().get::<super::PeerInfo>().cloned();
        let method = request.method().clone();
        let response = next.run(request).await;
        let (took, status) = (began.elapsed(), response.status().as_u16());
        let route = route.as_deref().unwrap_or("none");
        self.answered(door, route, status, took);
        if let Some(peer) = peer {
            let device = peer.identified.as_ref().map(|identified| tracing::field::display(*identified.device_name()));
            let micros = took.as_micros() as u64;
            tracing::info!(door, origin = %peer.origin, device, %method, route, status, micros, "answered");
        }
        response
    }
}

/// A connection that is open.
#[derive(Debug)]
pub(super) struct Connected(Gauge);

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.dec();
    }
}
