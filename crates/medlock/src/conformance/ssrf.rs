//! Whether a server calls places that somebody else has named: its own machine and its neighbours.

use super::case::{Case, Told, after, case, ensure};
use super::subject::Subject;
use crate::Failure;
use http::Method;
use serde_json::json;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;

/// How long it is waited for a call that must not come.
const WAIT: Duration = Duration::from_millis(1_500);

pub(super) const CASES: &[Case] = &[case!(
    ssrf_rest_hook,
    "a Subscription does not have the server call its own machine, its neighbours or another protocol",
    rest_hook
)];

/// A place on this machine that nobody should call.
pub(super) struct Trap {
    port: u16,
    caught: Arc<AtomicUsize>,
}

impl Trap {
    /// Opens one.
    ///
    /// # Errors
    /// When no port is free.
    pub(super) async fn new() -> Result<Self, Failure> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let (port, caught) = (listener.local_addr()?.port(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&caught);
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Ok(Self { port, caught })
    }

    /// Addresses that lead to it, or to what else is not for everybody.
    pub(super) fn addresses(&self) -> Vec<String> {
        let port = self.port;
        let here = ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433", "0.0.0.0"];
        let here =
            here.into_iter().flat_map(|host| ["https", "http"].map(|scheme| format!("{scheme}://{host}:{port}/x")));
        let others =
            ["https://169.254.169.254/latest/meta-data", "https://10.0.0.1/x", "https://[::1]/x", "file:///etc/passwd"];
        here.chain(others.map(str::to_owned)).collect()
    }

    /// Nobody has called.
    pub(super) async fn stayed_empty(&self) -> Told {
        tokio::time::sleep(WAIT).await;
        let calls = self.caught.load(Ordering::Relaxed);
        ensure(calls == 0, format!("the server called 127.0.0.1:{} {calls} times", self.port))
    }
}

async fn rest_hook(subject: &Subject) -> Told {
    let token = after("smart_backend_services_auth_request_success", subject.backend_token().await)?;
    let trap = Trap::new().await?;
    let mut taken = Vec::new();
    for address in trap.addresses() {
        let wanted = json!({
            "resourceType": "Subscription", "status": "requested", "reason": "conformance", "criteria": "Observation?code=conformance",
            "channel": { "type": "rest-hook", "endpoint": address, "payload": "application/fhir+json" },
        });
        let answer = subject.ask(Method::POST, "Subscription", &token).resource(&wanted).send().await?;
        if answer.status.is_success() {
            let id = answer.text("id").unwrap_or_default();
            subject.remember(format!("Subscription/{id}"));
            taken.push((address, id));
        }
    }
    trap.stayed_empty().await?;
    // One that was taken has to say that it is not served.
    for (address, id) in taken {
        let status = subject.get(&format!("Subscription/{id}"), &token).await?.text("status").unwrap_or_default();
        ensure(matches!(&*status, "error" | "off"), format!("{address} was taken, and its Subscription is {status}"))?;
    }
    Ok(())
}
