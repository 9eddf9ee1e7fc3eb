//! Those who should be refused: a stranger, and a device that borrows another's AE title.

use super::stage::{self, within};
use crate::Failure;
use crate::hub::Hub;
use medlock_authority::provision::{BirthProfileConfig, Row};
use medlock_authority::signer::InProcess;
use medlock_authority::{Authority, AuthorityConfig};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, Enrolment, Progress, certificate_request};
use medlock_node::identity::{Identity, IdentityStore};
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::SigningKey;
use medlock_node::tls::{Believed, Connector};
use medlock_trust::policy::Setting;
use medlock_ward::ct::{self, CtOptions};
use rustls_pki_types::CertificateDer;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody with a key, a certificate, and a way to the PACS's sidecar that goes around every guard of their own.
#[derive(Debug)]
pub(crate) struct Impostor {
    identity: Option<IdentityStore>,
    knowledge: Arc<KnowledgeBase>,
}

impl Impostor {
    /// Somebody from nowhere, without any certificate.
    pub(crate) fn nobody(hub: &Hub) -> Self {
        Self { identity: None, knowledge: Arc::clone(hub.authority.knowledge()) }
    }

    /// Somebody with a birth credential of a maker that is on nobody's list, which says "ct1" as the real one does.
    ///
    /// # Errors
    /// When the maker cannot be made.
    pub(crate) fn stranger(hub: &Hub, folder: &Path) -> Result<Self, Failure> {
        let dir = folder.join("unknown-maker");
        std::fs::create_dir_all(&dir)?;
        let signer = InProcess::open(&dir.join("keys"))?;
        let maker = Authority::open(&AuthorityConfig::maker(&dir, "Unknown Maker"), Clock::system(), Arc::new(signer))?;
        let key = Arc::new(SigningKey::generate());
        let material = data_encoding::BASE64.encode(&certificate_request(&key, None));
        let profile = BirthProfileConfig { roles: vec!["modality".into()], ..BirthProfileConfig::default() };
        let chain = maker.provision_one(profile, Row { serial: Some("ct1".into()), material, ..Row::default() })?;
        let chain = chain.into_iter().map(CertificateDer::from).collect();
        let identity = IdentityStore::in_memory(Some(Identity::new(key, chain)?));
        Ok(Self { identity: Some(identity), knowledge: Arc::clone(hub.authority.knowledge()) })
    }

    /// A workstation of this very hospital, properly enrolled under its own name.
    ///
    /// # Errors
    /// When it cannot be enrolled.
    pub(crate) async fn insider(hub: &Hub, folder: &Path) -> Result<Self, Failure> {
        let code: Code = stage::register(hub, "workstation1", "archive", None).await?.parse()?;
        let identity = IdentityStore::open(&folder.join("workstation1"))?;
        let knowledge = KnowledgeBase::in_memory(Clock::system(), Setting::Hospital);
        let enrolment = Enrolment::new(hub.devices.to_string(), identity.clone(), Arc::clone(&knowledge));
        let mut progress = enrolment.progress();
        let engineer = async {
            loop {
                progress.changed().await?;
                let seen = progress.borrow_and_update().clone();
                if let Progress::AwaitingApproval { key } = seen {
                    stage::approve(hub, "workstation1", &key).await?;
                    return std::future::pending::<Result<(), Failure>>().await;
                }
            }
        };
        within(async {
            tokio::select! {
                enrolled = enrolment.first_contact(&code) => enrolled.map(drop).map_err(Failure::from),
                failed = engineer => failed,
            }
        })
        .await?;
        Ok(Self { identity: Some(identity), knowledge })
    }

    /// Calls the PACS at `target`, a sidecar, as CT1, and says in whose words it was refused.
    ///
    /// # Errors
    /// When it was *not* refused.
    pub(crate) async fn call_as_ct1(&self, target: SocketAddr) -> Result<String, Failure> {
        let connector = Connector::new(self.identity.as_ref(), Believed::Knowledge(Arc::clone(&self.knowledge)), None)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let tunnel = async {
            let near = listener.accept().await?.0;
            let far = connector.connect(&target.to_string(), PATIENCE).await?.stream;
            Ok::<(), Failure>(pass(near, far).await?)
        };
        let options = CtOptions { calling: "CT1".into(), called: "PACS1".into(), address, nodelay: true };
        let images = super::ward::images(None, 1)?;
        match tokio::join!(ct::run(&options, &images), tunnel) {
            (Ok(_), _) => Err("an image was taken from an impostor".into()),
            // What TLS said tells more than that DICOM was cut off.
            (Err(_), Err(refused)) => Ok(refused.to_string()),
            (Err(refused), Ok(())) => Ok(refused.to_string()),
        }
    }
}

/// Calls a sidecar's plain port from another address of this machine; says how it was refused.
///
/// # Errors
/// When it was not refused.
pub(crate) async fn call_plain_port_from_elsewhere(plain: SocketAddr) -> Result<String, Failure> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from(([127, 0, 0, 2], 0)))?;
    let stream = match socket.connect(plain).await {
        Ok(stream) => stream,
        Err(error) => return Ok(format!("no connection: {error}")),
    };
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let options =
        CtOptions { calling: "CT1".into(), called: "PACS1".into(), address: listener.local_addr()?, nodelay: true };
    let images = super::ward::images(None, 1)?;
    let tunnel = async { pass(listener.accept().await?.0, stream).await };
    // How the tunnel ended is not news: the CT has been told.
    let (result, _) = tokio::join!(ct::run(&options, &images), tunnel);
    match result {
        Ok(_) => Err("an image was taken from a foreign address".into()),
        Err(error) => Ok(error.to_string()),
    }
}

async fn pass(mut near: TcpStream, mut far: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    tokio::io::copy_bidirectional(&mut near, &mut far).await?;
    Ok(())
}
