//! TLS to ordinary servers, such as a syslog collector: they have certificates of an ordinary authority, and are judged
//! as browsers judge them, by chain, name and date. Devices are never judged here: see [`crate::tls`].

use crate::Error;
use crate::provider;
use crate::tls::ToServer;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Connects to one ordinary server.
#[derive(Clone)]
pub struct OrdinaryServer {
    address: String,
    name: ServerName<'static>,
    tls: TlsConnector,
}

impl OrdinaryServer {
    /// The server at `address` (`host:port`), believed if its certificate is for that host and comes from one of
    /// `authorities`.
    ///
    /// # Errors
    /// [`Error::Certificate`] when an authority or the host's name cannot be used, [`Error::Tls`] when rustls refuses the
    /// settings.
    pub fn new(address: &str, authorities: &[CertificateDer<'static>]) -> Result<Self, Error> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host.trim_matches(['[', ']']));
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| Error::Certificate(format!("{host:?} is no host name or address")))?;
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone()).map_err(|error| Error::Certificate(error.to_string()))?;
        }
        let config = ClientConfig::builder_with_provider(provider::rustls())
            .with_safe_default_protocol_versions()
            .map_err(|source| Error::Tls { with: address.to_owned(), source })?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { address: address.to_owned(), name, tls: TlsConnector::from(Arc::new(config)) })
    }

    /// Connects and shakes hands, within `limit`.
    ///
    /// # Errors
    /// [`Error::Connection`] and [`Error::Timeout`].
    pub async fn connect(&self, limit: Duration) -> Result<ToServer<TcpStream>, Error> {
        let with = || self.address.clone();
        let work = async {
            let stream = TcpStream::connect(&self.address).await?;
            stream.set_nodelay(true)?;
            self.tls.connect(self.name.clone(), stream).await
        };
        timeout(limit, work)
            .await
            .map_err(|_| Error::Timeout { with: with(), doing: "a connection", limit })?
            .map_err(|source| Error::Connection { with: with(), source })
    }
}

impl std::fmt::Debug for OrdinaryServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrdinaryServer").field("address", &self.address).finish_non_exhaustive()
    }
}
