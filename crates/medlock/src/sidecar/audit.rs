//! Where a sidecar's audit goes: the file in its folder, and the collector if there is one.

use crate::Failure;
use crate::config::SidecarConfig;
use medlock_guard::audit::AuditSource;
use medlock_guard::dicom::Services;
use medlock_guard::sink::{self, AuditConfig, AuditLog, Collector, Connect};
use medlock_node::ordinary::OrdinaryServer;
use medlock_node::tls::ToServer;
use medlock_trust::DeviceName;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Opens the audit of the machine `device` at `site`.
///
/// # Errors
/// When a file cannot be opened.
pub(super) fn open(config: &SidecarConfig, device: &str, site: String) -> Result<AuditLog, Failure> {
    let files = AuditConfig {
        file: Some(config.dir.join("audit.log")),
        queue: config.audit_collector.as_ref().map(|_| config.dir.join("audit-queue")),
        ..AuditConfig::default()
    };
    Ok(AuditLog::open(&files, AuditSource { site, device: device.to_owned(), process: std::process::id() })?)
}

/// Sends what waits to the collector, if there is one.
pub(super) fn forward(config: &SidecarConfig, services: &Services) -> Result<Option<JoinHandle<()>>, Failure> {
    let (Some(address), Some(queue)) = (&config.audit_collector, services.audit.queue()) else { return Ok(None) };
    match (&config.audit_collector_ca, &config.audit_collector_device) {
        (Some(ca), None) => {
            let authorities: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(ca)
                .and_then(Iterator::collect)
                .map_err(|error| format!("audit_collector_ca {}: {error}", ca.display()))?;
            let collector = OrdinaryCollector(OrdinaryServer::new(address, &authorities)?);
            Ok(Some(tokio::spawn(sink::forward(queue, collector))))
        }
        (None, Some(device)) => {
            let device = DeviceName::new(device).ok_or("audit_collector_device is no device name")?;
            let collector = Collector::new(address.as_str(), device, &services.identity, &services.knowledge)?;
            Ok(Some(tokio::spawn(sink::forward(queue, collector))))
        }
        (None, None) | (Some(_), Some(_)) => {
            Err("audit_collector needs audit_collector_ca or audit_collector_device, and not both".into())
        }
    }
}

/// An ordinary syslog server, reached by TLS (RFC 5425).
#[derive(Debug)]
struct OrdinaryCollector(OrdinaryServer);

impl Connect for OrdinaryCollector {
    type Stream = ToServer<TcpStream>;

    async fn connect(&self) -> std::io::Result<Self::Stream> {
        self.0.connect(Duration::from_secs(10)).await.map_err(std::io::Error::other)
    }
}
