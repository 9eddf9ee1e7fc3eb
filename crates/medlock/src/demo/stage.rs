//! The stage: a hub, two sidecars with their machines, and somebody who listens between them.

use super::relay::Relay;
use super::ward::{self, Ct, Pacs};
use crate::Failure;
use crate::cli::UpArgs;
use crate::config::{Config, HubConfig};
use crate::hub::Hub;
use crate::sidecar::Event;
use crate::supervise::{self, Process};
use medlock_authority::admin::{Asker, DeviceView, Request, Response};
use medlock_authority::registry::DeviceConfig;
use medlock_clinical::ClinicalConfig;
use medlock_node::clock::Clock;
use medlock_ward::ct::{self, CtOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::TcpListener;

/// How long the CT's credential lives: short enough to be seen expiring.
const CT_CREDENTIAL_SECONDS: u64 = 15;
/// How long anything on the stage may take before it counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
/// How many ports are tried for the records.
const PORTS: u32 = 4;

/// Everything that plays.
#[derive(Debug)]
pub(crate) struct Stage {
    /// The hub, in this process; its signer is a process of its own.
    pub(crate) hub: Hub,
    /// The CT's sidecar.
    pub(crate) ct_sidecar: Sidecar,
    /// The PACS's sidecar.
    pub(crate) pacs_sidecar: Sidecar,
    /// The CT.
    pub(crate) ct: Ct,
    /// The PACS.
    pub(crate) pacs: Pacs,
    /// The wire to the PACS's sidecar.
    pub(crate) wire: Relay,
    /// Where all of it is kept; removed at the end.
    pub(crate) folder: TempDir,
}

/// A sidecar's process and where it listens.
#[derive(Debug)]
pub(crate) struct Sidecar {
    process: Process,
    /// For other sidecars.
    pub(crate) listen: SocketAddr,
    /// For its machine.
    pub(crate) plain: SocketAddr,
    folder: PathBuf,
}

/// Starts a hub in a folder that goes with it.
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn start_hub() -> Result<(Hub, TempDir), Failure> {
    start(ClinicalConfig::default(), ANY_PORT).await
}

/// The same with records, at a port of this machine: their address is a part of what they say.
///
/// # Errors
/// When it cannot be started.
pub(crate) async fn start_hub_with_records() -> Result<(Hub, TempDir), Failure> {
    let mut tries = 0;
    loop {
        // Somebody else may take the port meanwhile.
        let people = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?.local_addr()?;
        let public_url = Some(format!("http://localhost:{}", people.port()));
        let clinical = ClinicalConfig { enabled: true, public_url, ..ClinicalConfig::default() };
        tries += 1;
        match start(clinical, people).await {
            Err(_) if tries < PORTS => {}
            started => return started,
        }
    }
}

async fn start(clinical: ClinicalConfig, people: SocketAddr) -> Result<(Hub, TempDir), Failure> {
    let folder = tempfile::Builder::new().prefix("medlock-demo-").tempdir()?;
    let hub = HubConfig {
        site: "Demonstration Hospital".into(),
        dir: folder.path().join("hub"),
        devices: ANY_PORT,
        people,
        // Readings come by the door for small devices.
        coap: clinical.enabled.then_some(ANY_PORT),
        ..HubConfig::default()
    };
    let config = Config { hub, clinical, ..Config::default() };
    let mut authority = config.hub.authority();
    // Validity that began before the moment of issue would count as life already used, and fifteen seconds have none
    // to spare. All clocks here are one clock.
    authority.profile.backdate_seconds = 0;
    Ok((Hub::start_with(&config, authority, Clock::system()).await?, folder))
}

impl Stage {
    /// Registers CT and PACS, starts their sidecars with codes, and plays the engineer who confirms them.
    ///
    /// # Errors
    /// When anything does not go as it should.
    pub(crate) async fn set(hub: Hub, folder: TempDir, args: &UpArgs) -> Result<Self, Failure> {
        let pacs = Pacs::start().await?;
        let (pacs_sidecar, ct_sidecar) = {
            let enrol = async |name, role, validity, machine| {
                within(Sidecar::enrol(&hub, folder.path(), name, role, validity, machine)).await
            };
            (
                enrol("pacs1", "archive", None, Some(pacs.address)).await?,
                enrol("ct1", "modality", Some(CT_CREDENTIAL_SECONDS), None).await?,
            )
        };
        let wire = Relay::start(pacs_sidecar.listen, ward::secrets()).await?;
        let routes = [("pacs1", "PACS1", wire.address), ("ct1", "CT1", ct_sidecar.listen)];
        for (device, title, address) in routes {
            let (device, sidecar) = (device.to_owned(), address.to_string());
            ask(&hub, Request::SetRoute { device, ae_titles: vec![title.into()], sidecar }).await?;
        }
        until_routed(ct_sidecar.plain).await?;
        let ct = Ct { address: ct_sidecar.plain, images: args.images.clone() };
        Ok(Self { hub, ct_sidecar, pacs_sidecar, ct, pacs, wire, folder })
    }

    /// The CT as the hub sees it.
    ///
    /// # Errors
    /// When the hub does not answer.
    pub(crate) async fn ct_view(&self) -> Result<DeviceView, Failure> {
        match ask(&self.hub, Request::Show { device: "ct1".into() }).await? {
            Response::Device(view) => Ok(view),
            other => Err(crate::admin::unexpected(&other)),
        }
    }

    /// Until when the CT's newest credential is good.
    ///
    /// # Errors
    /// When the hub does not answer.
    pub(crate) async fn ct_not_after(&self) -> Result<jiff::Timestamp, Failure> {
        let view = self.ct_view().await?;
        let newest = view.credentials.first().ok_or("the CT has no credential")?;
        Ok(newest.not_after.parse()?)
    }

    /// What the PACS's sidecar has written into its audit since it had `from` bytes.
    ///
    /// # Errors
    /// When the audit cannot be read.
    pub(crate) fn audit_since(&self, from: usize) -> Result<String, Failure> {
        let text = std::fs::read_to_string(self.pacs_sidecar.folder.join("audit.log"))?;
        Ok(text.get(from..).unwrap_or_default().to_owned())
    }
}

impl Sidecar {
    /// Registers a device, starts its sidecar with a code, and plays the engineer who confirms it.
    ///
    /// # Errors
    /// When anything does not go as it should.
    pub(crate) async fn enrol(
        hub: &Hub,
        folder: &Path,
        name: &str,
        role: &str,
        validity_seconds: Option<u64>,
        machine: Option<SocketAddr>,
    ) -> Result<Self, Failure> {
        let code = register(hub, name, role, validity_seconds).await?;
        let folder = folder.join(name);
        let mut command =
            supervise::command(["sidecar", "dicom", "--json", "--listen", "127.0.0.1:0", "--plain", "127.0.0.1:0"])?;
        command.arg("--dir").arg(&folder).arg("--hub").arg(hub.devices.to_string()).env("MEDLOCK_CODE", code);
        if let Some(machine) = machine {
            command.arg("--machine").arg(machine.to_string());
        }
        let mut process = Process::start(&format!("the sidecar of {name}"), command)?;
        let mut addresses = None;
        loop {
            match event(&mut process).await? {
                Event::AwaitingApproval { key } => approve(hub, name, &key).await?,
                Event::Listening { listen, plain } => addresses = Some((listen, plain)),
                Event::Ready => break,
                Event::Enrolled { .. }
                | Event::News { .. }
                | Event::Trouble { .. }
                | Event::Standing { .. }
                | Event::Restored
                | Event::CodeInReserve => {}
            }
        }
        let (listen, plain) = addresses.ok_or("the sidecar is ready and does not say where")?;
        Ok(Self { process, listen, plain, folder })
    }

    /// Its process id, while it runs.
    pub(crate) fn id(&self) -> Option<u32> {
        self.process.id()
    }

    /// Waits until the sidecar hears news of the hub again.
    ///
    /// # Errors
    /// When it takes too long.
    pub(crate) async fn until_connected(&mut self) -> Result<(), Failure> {
        let process = &mut self.process;
        within(async {
            loop {
                if let Event::News { connected: true } = event(process).await? {
                    return Ok(());
                }
            }
        })
        .await
    }
}

/// Waits until CT1's sidecar, whose plain side is at `plain`, has heard where PACS1 is.
///
/// # Errors
/// When it takes too long.
pub(crate) async fn until_routed(plain: SocketAddr) -> Result<(), Failure> {
    let options = CtOptions { calling: "CT1".into(), called: "PACS1".into(), address: plain, nodelay: true };
    within(async {
        while ct::echo(&options).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    })
    .await
}

async fn event(process: &mut Process) -> Result<Event, Failure> {
    Ok(serde_json::from_str(&process.line().await?)?)
}

/// Registers a device and makes its code.
///
/// # Errors
/// When the hub refuses.
pub(crate) async fn register(
    hub: &Hub,
    name: &str,
    role: &str,
    validity_seconds: Option<u64>,
) -> Result<String, Failure> {
    let device =
        DeviceConfig { name: name.into(), roles: vec![role.into()], validity_seconds, ..DeviceConfig::default() };
    ask(hub, Request::Register { device }).await?;
    match ask(hub, Request::Code { device: name.into(), lifetime_seconds: None }).await? {
        Response::Code { code, .. } => Ok(code),
        other => Err(crate::admin::unexpected(&other)),
    }
}

/// Plays the engineer: confirms the waiting request of `name` if its key's fingerprint begins with what the sidecar
/// shows.
///
/// # Errors
/// When no such request waits.
pub(crate) async fn approve(hub: &Hub, name: &str, shown: &str) -> Result<(), Failure> {
    let pending = match ask(hub, Request::Pending).await? {
        Response::Pending { pending } => pending,
        other => return Err(crate::admin::unexpected(&other)),
    };
    let fits = |hex: &str| {
        let shown: String = shown.chars().filter(char::is_ascii_hexdigit).collect();
        !shown.is_empty() && hex.starts_with(&shown)
    };
    let request = pending
        .into_iter()
        .find(|request| request.device.as_deref() == Some(name) && fits(&request.key_fingerprint))
        .ok_or_else(|| format!("no request of {name} with the key {shown} waits"))?;
    ask(hub, Request::Approve { id: request.id, device: None }).await?;
    Ok(())
}

/// Asks the hub of this process.
///
/// # Errors
/// When it refuses.
pub(crate) async fn ask(hub: &Hub, request: Request) -> Result<Response, Failure> {
    let authority = Arc::clone(&hub.authority);
    Ok(tokio::task::spawn_blocking(move || authority.administer(&Asker::program(), request)).await??)
}

/// Does something that must not take for ever.
///
/// # Errors
/// When it fails or takes too long.
pub(crate) async fn within<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    match tokio::time::timeout(PATIENCE, work).await {
        Ok(result) => result,
        Err(_) => Err(format!("nothing happened for {} s", PATIENCE.as_secs()).into()),
    }
}
