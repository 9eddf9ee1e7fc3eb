//! The clinical face of a hub: what it is given, and the doors it is behind.

use crate::Failure;
use crate::config::HubConfig;
use axum::Router;
use medlock_authority::Authority;
use medlock_authority::store::ServerConfig;
use medlock_clinical::seam::{Alarms, Devices, NeedError, RegisteredDevice, WebKeys};
use medlock_clinical::store::Place;
use medlock_clinical::{Clinical, ClinicalConfig, Needs};
use medlock_node::clock::Clock;
use medlock_node::coap::Resources;
use medlock_node::provider::WebAlgorithm;
use medlock_node::stop::Stop;
use medlock_trust::{CredentialId, DeviceName};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// Its file in the hub's folder.
const DATABASE: &str = "clinical.db";
/// Its schema on a server.
const SCHEMA: &str = "medlock_clinical";

/// The clinical face of a running hub.
#[derive(Debug)]
pub(crate) struct Face {
    clinical: Arc<Clinical>,
    /// The name under which devices know the hub.
    host: String,
}

impl Face {
    /// Opens it, if it is enabled.
    ///
    /// # Errors
    /// When a setting or the store cannot be used.
    pub(crate) async fn open(
        hub: &HubConfig,
        config: &ClinicalConfig,
        authority: &Arc<Authority>,
        clock: &Clock,
    ) -> Result<Option<Self>, Failure> {
        check(hub, config)?;
        if !config.enabled {
            return Ok(None);
        }
        let needs = Needs {
            clock: clock.clone(),
            knowledge: Arc::clone(authority.knowledge()),
            devices: Arc::new(Register(Arc::clone(authority))),
            web_keys: Arc::new(Signer(Arc::clone(authority))),
            alarms: Arc::new(Bell(Arc::clone(authority))),
            place: place(hub, config)?,
        };
        let config = config.clone();
        let clinical = tokio::task::spawn_blocking(move || Clinical::open(&config, needs)).await??;
        let host = match hub.names.first() {
            None => "localhost".to_owned(),
            Some(name) => name.parse::<IpAddr>().map_or_else(|_| name.clone(), |address| bracketed(&address)),
        };
        Ok(Some(Self { clinical, host }))
    }

    /// It itself, for who watches it.
    pub(crate) fn clinical(&self) -> Arc<Clinical> {
        Arc::clone(&self.clinical)
    }

    /// Its paths of the devices' door, which is open at `address`.
    pub(crate) fn devices_router(&self, address: SocketAddr) -> Router {
        self.clinical.devices_router(&format!("https://{}:{}", self.host, address.port()))
    }

    /// Its paths of the doors for small devices.
    pub(crate) fn coap_resources(&self) -> Resources {
        self.clinical.coap_resources()
    }

    /// Its paths of the people's door.
    pub(crate) fn people_router(&self) -> Router {
        self.clinical.people_router()
    }

    /// Where records are: for people and software, and for devices.
    pub(crate) fn bases(&self) -> Vec<String> {
        self.clinical.bases()
    }

    /// Its paths of the admin socket.
    pub(crate) fn admin_router(&self) -> Router {
        self.clinical.admin_router()
    }

    /// Keeps it tidy until asked to stop.
    pub(crate) fn keep(&self, stop: Stop) -> JoinHandle<()> {
        tokio::spawn(Arc::clone(&self.clinical).keep(stop))
    }
}

/// Looks whether the doors are fit for it.
///
/// # Errors
/// When tokens and records would be read on the way.
pub(crate) fn check(hub: &HubConfig, config: &ClinicalConfig) -> Result<(), Failure> {
    if !config.enabled || hub.people.ip().is_loopback() {
        return Ok(());
    }
    let text = "[clinical] serves records, and hub.people speaks plain HTTP: have it on a loopback address, behind a server \
                on this machine that speaks TLS";
    Err(format!("hub.people = \"{}\": {text}", hub.people).into())
}

/// An address as it stands in a URL.
fn bracketed(address: &IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The server that keeps what it does, if it is not in a file.
pub(crate) fn server(config: &ClinicalConfig) -> Option<ServerConfig> {
    Some(ServerConfig {
        schema: config.store_schema.clone().unwrap_or_else(|| SCHEMA.to_owned()),
        password_file: config.store_password_file.clone(),
        ca: config.store_ca.clone(),
        ..ServerConfig::new(config.store.as_ref()?)
    })
}

fn place(hub: &HubConfig, config: &ClinicalConfig) -> Result<Place, Failure> {
    Ok(match server(config) {
        None => Place::File(hub.dir.join(DATABASE)),
        Some(server) => Place::Server(Box::new(server.address()?)),
    })
}

/// The register of the site.
struct Register(Arc<Authority>);

impl Devices for Register {
    fn device(&self, name: &DeviceName) -> Result<Option<RegisteredDevice>, NeedError> {
        let found = self.0.registered_device(name).map_err(|error| NeedError(error.to_string()))?;
        Ok(found.map(|device| RegisteredDevice { name: device.name, roles: device.roles }))
    }

    fn log_proof(&self, credential: CredentialId) -> Result<Option<Vec<u8>>, NeedError> {
        self.0.log_proof(credential).map_err(|error| NeedError(error.to_string()))
    }

    fn issuing_certificates(&self) -> Vec<Vec<u8>> {
        self.0.issuing_certificates()
    }

    fn has_left(&self, hub: &DeviceName, credential: CredentialId) -> Result<bool, NeedError> {
        self.0.has_left(hub, credential).map_err(|error| NeedError(error.to_string()))
    }

    fn follows(&self, old: CredentialId, new: CredentialId) -> Result<bool, NeedError> {
        self.0.follows(old, new).map_err(|error| NeedError(error.to_string()))
    }
}

/// The signer process of the hub.
struct Signer(Arc<Authority>);

impl WebKeys for Signer {
    fn hub(&self) -> Option<(DeviceName, CredentialId)> {
        let own = self.0.hub_identity().current()?;
        own.device_name().map(|name| (name, own.credential()))
    }

    fn public_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, NeedError> {
        self.0.web_key(algorithm).map_err(|error| NeedError(error.to_string()))
    }

    fn sign(&self, algorithm: WebAlgorithm, input: &str) -> Result<Vec<u8>, NeedError> {
        self.0.sign_token(algorithm, input).map_err(|error| NeedError(error.to_string()))
    }
}

/// The alarms of the site.
struct Bell(Arc<Authority>);

impl Alarms for Bell {
    fn raise(&self, kind: &'static str, text: String) -> Result<(), NeedError> {
        self.0.alarm(kind, None, text).map_err(|error| NeedError(error.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_kept_in_a_file_or_in_a_schema_of_its_own() {
        let hub = HubConfig::default();
        assert!(
            matches!(place(&hub, &ClinicalConfig::default()), Ok(Place::File(file)) if file.ends_with("medlock-hub/clinical.db"))
        );
        let config = ClinicalConfig { store: Some("postgresql://u@localhost/d".into()), ..ClinicalConfig::default() };
        let server = server(&config).expect("a server");
        assert_eq!((server.url.as_str(), server.schema.as_str()), ("postgresql://u@localhost/d", "medlock_clinical"));
    }
}
