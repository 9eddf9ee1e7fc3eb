//! The listeners of a hub. Each can be closed, opened again, and moved to another address while the hub runs.

use crate::clinical::Face;
use crate::{Failure, decide};
use axum::Router;
use axum::extract::DefaultBodyLimit;
use bytes::Bytes;
use http::HeaderName;
use medlock_authority::Authority;
use medlock_authority::settings::Kind;
use medlock_node::accept::{self, Limits, Meter, Rates, Terms};
use medlock_node::coap::{self, Own, Peers};
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stopper};
use medlock_node::tls::{self, Acceptor, ClientAuth};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// How long an association may be idle, in milliseconds: a device enrols once in weeks.
const COAPS_IDLE_MS: u64 = 10 * 60_000;

/// What all listeners of a hub share: how much a client may ask, and what is counted.
#[derive(Clone, Debug)]
pub(crate) struct House {
    pub(crate) rates: Arc<Rates>,
    pub(crate) meter: Meter,
    /// The certificates of makers' issuing keys that the operator gave.
    pub(crate) issuers: Issuers,
    /// The header in which the server in front of `people` says from which address a request is.
    pub(crate) forwarded: Option<HeaderName>,
}

/// Certificates that are read again when the configuration is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Issuers(Arc<RwLock<Vec<Bytes>>>);

/// The most certificates that are taken: each is looked at in a handshake.
const MAX_ISSUERS: usize = 1_024;

impl Issuers {
    /// Those in this file, or in all files of this folder.
    ///
    /// # Errors
    /// When one cannot be read; then all is as before.
    pub(crate) fn read(&self, place: Option<&Path>) -> Result<(), Failure> {
        let mut found = Vec::new();
        for file in place.map(files).transpose()?.unwrap_or_default() {
            found.extend(decide::certificates(&file)?.into_iter().map(|one| Bytes::from(one.to_vec())));
        }
        if found.len() > MAX_ISSUERS {
            return Err(
                format!("hub.issuers has {} certificates, and at most {MAX_ISSUERS} are taken", found.len()).into()
            );
        }
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = found;
        Ok(())
    }

    fn all(&self) -> Vec<Bytes> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// This file, or the files of this folder that are not hidden.
fn files(place: &Path) -> Result<Vec<PathBuf>, Failure> {
    let wrong = |error| format!("hub.issuers: {} cannot be read: {error}", place.display());
    if !place.metadata().map_err(wrong)?.is_dir() {
        return Ok(vec![place.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in place.read_dir().map_err(wrong)? {
        let entry = entry.map_err(wrong)?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") && entry.path().is_file() {
            files.push(entry.path());
        }
    }
    files.sort_unstable();
    Ok(files)
}

impl House {
    pub(crate) fn terms(&self, door: &'static str) -> Terms {
        let (rates, meter) = (Arc::clone(&self.rates), self.meter.clone());
        Terms { door, limits: Limits::default(), rates, meter, forwarded: None }
    }

    /// Those of the listener before which a server may stand: all connections are that server's then, which bounds those of its callers.
    pub(crate) fn people_terms(&self) -> Terms {
        let mut terms = Terms { forwarded: self.forwarded.clone(), ..self.terms("people") };
        if terms.forwarded.is_some() {
            terms.limits.connections_per_address = terms.limits.connections;
        }
        terms
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
    pub(crate) async fn plain(wanted: SocketAddr, key: &str, terms: Terms, router: Router) -> Result<Self, Failure> {
        let listener = listen(wanted, key).await?;
        let address = listener.local_addr()?;
        let (stopper, stop) = stop::channel();
        let task = tokio::spawn(accept::serve(listener, None, terms, router, stop));
        Ok(Self { wanted, address, stopper, tasks: vec![task] })
    }

    /// Opens a door for devices, over TLS; behind it is the clinical face too, if there is one.
    ///
    /// # Errors
    /// When the port is taken, or the authority has no identity to show.
    pub(crate) async fn devices(
        wanted: SocketAddr,
        key: &str,
        house: &House,
        (authority, face): (&Arc<Authority>, Option<&Face>),
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
        let clinical = face.map_or_else(medlock_clinical::intake::no_records, |face| face.devices_router(address));
        let clinical = clinical.layer(DefaultBodyLimit::max(Limits::default().body_bytes));
        let terms = Terms { limits: medlock_authority::devices_limits(), ..house.terms("devices") };
        let router = medlock_authority::devices_router(Arc::clone(authority)).merge(clinical);
        let (stopper, stop) = stop::channel();
        let task = tokio::spawn(accept::serve(listener, Some(acceptor), terms, router, stop));
        Ok(Self { wanted, address, stopper, tasks: vec![task] })
    }

    /// Opens a door for small devices (CoAP), and judges their sessions again whenever the authority's knowledge changes.
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn coap(
        wanted: SocketAddr,
        key: &str,
        house: &House,
        (authority, face): (&Arc<Authority>, Option<&Face>),
    ) -> Result<Self, Failure> {
        let sessions = LiveSessions::new(Arc::clone(authority.knowledge()));
        // In C509: a chain then fits the datagrams and buffers of small devices.
        let own = Own::of(authority.hub_identity()).in_c509();
        let peers = Arc::new(Peers::new(Arc::clone(authority.knowledge())));
        let resources = small_devices(authority, face);
        let listener =
            coap::Listener::bind(wanted, own, peers, Arc::clone(&sessions), resources, coap::Limits::default()).await;
        let listener = listener.map_err(|error| format!("{key} = \"{wanted}\" cannot be opened: {error}"))?;
        Self::small(wanted, listener.on_terms("coap", Arc::clone(&house.rates), house.meter.clone()), sessions)
    }

    /// Opens a door for small devices that speak DTLS (EST-coaps, RFC 9148).
    ///
    /// # Errors
    /// When the port is taken.
    pub(crate) async fn coaps(
        wanted: SocketAddr,
        key: &str,
        house: &House,
        (authority, face): (&Arc<Authority>, Option<&Face>),
    ) -> Result<Self, Failure> {
        let sessions = LiveSessions::new(Arc::clone(authority.knowledge()));
        let (site, issuers) = (Arc::clone(authority), house.issuers.clone());
        let peers = Peers::new(Arc::clone(authority.knowledge())).with_issuers(move || {
            let own = site.issuing_certificates().into_iter().map(Bytes::from);
            own.chain(issuers.all()).collect()
        });
        let resources = small_devices(authority, face);
        let limits = coap::Limits { context_idle_ms: COAPS_IDLE_MS, ..coap::Limits::default() };
        let (own, known) = (authority.hub_identity(), Arc::clone(&sessions));
        let listener = coap::Listener::bind_dtls(wanted, own, Arc::new(peers), known, resources, limits).await;
        let listener = listener.map_err(|error| format!("{key} = \"{wanted}\" cannot be opened: {error}"))?;
        Self::small(wanted, listener.on_terms("coaps", Arc::clone(&house.rates), house.meter.clone()), sessions)
    }

    fn small(wanted: SocketAddr, listener: coap::Listener, sessions: Arc<LiveSessions>) -> Result<Self, Failure> {
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

/// What small devices reach.
fn small_devices(authority: &Arc<Authority>, face: Option<&Face>) -> coap::Resources {
    let clinical = face.map(Face::coap_resources).unwrap_or_default();
    medlock_authority::coap_resources(Arc::clone(authority)).and(clinical)
}

/// Opens a port.
///
/// # Errors
/// When it is taken, with the setting that names it.
pub(crate) async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| format!("{key} = \"{address}\" cannot be opened: {error}").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_authority::AuthorityConfig;
    use medlock_authority::signer::InProcess;
    use medlock_node::clock::Clock;
    use medlock_trust::status::MAX_LENGTH;

    /// Shows REQ-STORE-110: what a node reminds the hub with goes through the door as it is opened, and nothing else so long.
    #[tokio::test]
    async fn a_whole_status_list_goes_through_the_door_for_devices() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let config =
            AuthorityConfig { hub_dns: vec!["localhost".into()], ..AuthorityConfig::site(at("site"), "Sankt Anna") };
        let signer = Arc::new(InProcess::open(&at("keys")).expect("a signer"));
        let site = Arc::new(Authority::open(&config, Clock::system(), signer).expect("a site"));
        let (rates, meter, issuers) = (Arc::new(Rates::per_second(None)), Meter::default(), Issuers::default());
        let house = House { rates, meter, issuers, forwarded: None };
        let wanted = SocketAddr::from(([127, 0, 0, 1], 0));
        let door = Door::devices(wanted, "hub.devices", &house, (&site, None)).await.expect("opened");
        let ask = async |path: &str, bytes: usize| {
            std::fs::write(at("body"), vec![0; bytes]).expect("written");
            let answer = tokio::process::Command::new("curl")
                .args(["--silent", "--insecure", "--max-time", "20", "-o"])
                .arg(at("answer"))
                .args(["-w", "%{http_code}", "--data-binary"])
                .arg(format!("@{}", at("body").display()))
                .arg(format!("https://{}{path}", door.address()))
                .output();
            String::from_utf8(answer.await.expect("curl").stdout).expect("text")
        };
        // Nobody showed who it is, and is told so; of what is too long nothing is read.
        let status = "/v1/objects/status";
        assert_eq!(ask(status, MAX_LENGTH).await, "401");
        assert_eq!(ask(status, MAX_LENGTH + 1).await, "401");
        assert_eq!(ask("/.well-known/est/simpleenroll", MAX_LENGTH + 1).await, "413");
        assert_eq!(ask("/.well-known/est/simpleenroll", (1 << 20) + 1).await, "413");
    }

    /// Shows REQ-PROV-28.
    #[test]
    fn issuers_are_those_of_a_file_or_a_folder_and_what_cannot_be_read_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        let one = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
        std::fs::write(at("two.pem"), one.repeat(2)).expect("written");
        std::fs::write(at("one.der"), [0x30, 1, 0]).expect("written");
        std::fs::write(at(".hidden"), "no certificate").expect("written");
        let issuers = Issuers::default();
        issuers.read(Some(folder.path())).expect("read");
        assert_eq!(issuers.all(), [&[0x30_u8, 1, 0][..], &[0x30, 0], &[0x30, 0]]);
        issuers.read(Some(&at("two.pem"))).expect("read");
        assert_eq!(issuers.all().len(), 2);
        std::fs::write(at("wrong.pem"), "no certificate").expect("written");
        for wrong in [folder.path(), &at("nowhere")] {
            assert!(issuers.read(Some(wrong)).is_err());
        }
        std::fs::write(at("many.pem"), one.repeat(MAX_ISSUERS + 1)).expect("written");
        assert!(issuers.read(Some(&at("many.pem"))).is_err());
        assert_eq!(issuers.all().len(), 2, "as before");
        issuers.read(None).expect("none");
        assert!(issuers.all().is_empty());
    }
}
