//! The listeners of a hub. Each can be closed, opened again, and moved to another address while the hub runs.

use crate::Failure;
use axum::Router;
use medlock_authority::Authority;
use medlock_authority::settings::Kind;
use medlock_node::accept::{self, Limits, Meter, Rates, Terms};
use medlock_node::coap::{self, Own, Peers};
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stopper};
use medlock_node::tls::{self, Acceptor, ClientAuth};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// What all listeners of a hub share: how much a client may ask, and what is counted.
#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) rates: Arc<Rates>,
    pub(crate) meter: Meter,
}

impl House {
    fn terms(&self, door: &'static str) -> Terms {
        Terms { door, limits: Limits::default(), rates: Arc::clone(&self.rates), meter: self.meter.clone() }
    }
}

/// A listener that is open.
#[derive(Debug)]
pub(crate) struct Door {
    /// As the configuration says; the port may be 0 there.
    wanted: SocketAddr,
    address: SocketAddr,
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

impl Door {
    /// Opens a door that serves `router` over plain HTTP; `key` names its setting.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn plain(
        wanted: SocketAddr,
        key: &str,
        terms: (&House, &'static str),
        router: Router,
    ) -> Result<Self, Failure> {
        let listener = listen(wanted, key).await?;
        let address = listener.local_addr()?;
        let (stopper, stop) = stop::channel();
        let (house, door) = terms;
        let task = tokio::spawn(accept::serve(listener, None, house.terms(door), router, stop));
        Ok(Self { wanted, address, stopper, tasks: vec![task] })
    }

    /// Opens a door for devices, over TLS.
    ///
    /// # Errors
    /// When the port is taken, or the authority has no identity to show.
    pub(crate) async fn devices(
        wanted: SocketAddr,
        key: &str,
        house: &House,
        authority: &Arc<Authority>,
    ) -> Result<Self, Failure> {
        let listener = listen(wanted, key).await?;
        let address = listener.local_addr()?;
        // Whoever asks a maker shows in the request who it is: a maker has no list of sites.
        let clients = match authority.kind() {
            Kind::Site => ClientAuth::Optional,
            Kind::Maker => ClientAuth::None,
        };
        let config = tls::server_config(authority.hub_identity(), authority.knowledge(), clients)?;
        let acceptor = Acceptor::new(config, Arc::clone(authority.knowledge()));
        let router = medlock_authority::devices_router(Arc::clone(authority));
        let (stopper, stop) = stop::channel();
        let task = tokio::spawn(accept::serve(listener, Some(acceptor), house.terms("devices"), router, stop));
        Ok(Self { wanted, address, stopper, tasks: vec![task] })
    }

    /// Opens a door for small devices (CoAP), and judges their sessions again whenever the authority's knowledge changes.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn coap(wanted: SocketAddr, key: &str, authority: &Arc<Authority>) -> Result<Self, Failure> {
        let sessions = LiveSessions::new(Arc::clone(authority.knowledge()));
        // In C509: a chain then fits the datagrams and buffers of small devices.
        let own = Own::of(authority.hub_identity()).in_c509();
        let peers = Arc::new(Peers::new(Arc::clone(authority.knowledge())));
        let resources = medlock_authority::coap_resources(Arc::clone(authority));
        let listener =
            coap::Listener::bind(wanted, own, peers, Arc::clone(&sessions), resources, coap::Limits::default()).await;
        let listener = listener.map_err(|error| format!("{key} = \"{wanted}\" cannot be opened: {error}"))?;
        let address = listener.local_addr()?;
        let (stopper, stop) = stop::channel();
        let tasks = vec![tokio::spawn(sessions.watch(stop.clone())), tokio::spawn(listener.serve(stop))];
        Ok(Self { wanted, address, stopper, tasks })
    }

    /// Where it is reached.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes it, and waits until answers under way are given.
    pub(crate) async fn close(self) {
        self.stopper.stop();
        for task in self.tasks {
            if let Err(error) = task.await {
                tracing::error!(%error, "a listener ended unexpectedly");
            }
        }
    }
}

/// Moves the door in `place` to where it is wanted. Says whether it moved. The new one is open before the old one closes,
/// unless both want the same port.
///
/// # Errors
/// When the new one cannot be opened; the old one stays.
pub(crate) async fn move_to(
    place: &mut Option<Door>,
    wanted: Option<SocketAddr>,
    open: impl AsyncFn(SocketAddr) -> Result<Door, Failure>,
) -> Result<bool, Failure> {
    let stays = match (&*place, wanted) {
        (None, None) => true,
        (Some(door), Some(wanted)) => [door.wanted, door.address].contains(&wanted),
        _ => false,
    };
    if stays {
        return Ok(false);
    }
    let new = match wanted {
        Some(wanted) => match open(wanted).await {
            Ok(new) => Some(new),
            Err(error) => match place.take_if(|old| old.address.port() == wanted.port()) {
                None => return Err(error),
                // The same port at another address: one of them has to go first.
                Some(old) => {
                    let before = old.address;
                    old.close().await;
                    match open(wanted).await {
                        Ok(new) => Some(new),
                        Err(error) => {
                            *place = Some(open(before).await?);
                            return Err(error);
                        }
                    }
                }
            },
        },
        None => None,
    };
    if let Some(old) = std::mem::replace(place, new) {
        old.close().await;
    }
    Ok(true)
}

async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| format!("{key} = \"{address}\" cannot be opened: {error}").into())
}
