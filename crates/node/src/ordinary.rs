//! TLS to ordinary servers, such as a syslog collector: they have certificates of an ordinary authority, and are judged
//! as browsers judge them, by chain, name and date. Devices are never judged here: see [`crate::tls`].

use crate::Error;
use crate::identity::Identity;
use crate::provider;
use crate::tls::ToServer;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::sign::SingleCertAndKey;
use rustls::{ClientConfig, RootCertStore};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// Where systems keep the authorities they believe: Debian and Alpine, Fedora, SUSE, BSD.
const SYSTEM: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Makes connections to ordinary servers secret, and believes those whose certificates come from some authorities.
#[derive(Clone)]
pub struct Ordinary {
    roots: Arc<RootCertStore>,
    connector: TlsConnector,
}

impl Ordinary {
    /// Believes certificates from one of `authorities`.
    ///
    /// # Errors
    /// [`Error::Certificate`] when an authority cannot be used, [`Error::Tls`] when rustls refuses the settings.
    pub fn new(authorities: &[CertificateDer<'static>]) -> Result<Self, Error> {
        let mut roots = RootCertStore::empty();
        for authority in authorities {
            roots.add(authority.clone()).map_err(|error| Error::Certificate(error.to_string()))?;
        }
        Self::of(Arc::new(roots), None)
    }

    fn of(roots: Arc<RootCertStore>, shown: Option<&Identity>) -> Result<Self, Error> {
        let config = ClientConfig::builder_with_provider(provider::rustls())
            .with_safe_default_protocol_versions()
            .map_err(|source| Error::Tls { with: "ordinary servers".to_owned(), source })?
            .with_root_certificates(Arc::clone(&roots));
        let config = match shown {
            None => config.with_no_client_auth(),
            Some(identity) => {
                config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(identity.certified()))))
            }
        };
        Ok(Self { roots, connector: TlsConnector::from(Arc::new(config)) })
    }

    /// The same, which shows the certificate of this identity to servers that ask for one.
    ///
    /// # Errors
    /// As [`Ordinary::new`].
    pub fn showing(&self, identity: &Identity) -> Result<Self, Error> {
        Self::of(Arc::clone(&self.roots), Some(identity))
    }

    /// As [`Ordinary::new`], with the authorities in a file (PEM).
    ///
    /// # Errors
    /// As [`Ordinary::new`], also when the file cannot be read or has no certificate.
    pub fn from_pem_file(path: &Path) -> Result<Self, Error> {
        let wrong = |why: String| Error::Certificate(format!("{}: {why}", path.display()));
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let authorities = read.map_err(|error| wrong(error.to_string()))?;
        if authorities.is_empty() {
            return Err(wrong("it has no certificate in PEM".to_owned()));
        }
        Self::new(&authorities)
    }

    /// Believes certificates from the authorities that the system believes.
    ///
    /// # Errors
    /// [`Error::Setting`] when the system has no file of them at a usual place.
    pub fn of_system() -> Result<Self, Error> {
        let found = SYSTEM.iter().map(Path::new).find(|path| path.is_file());
        let none = || {
            Error::Setting(format!("the system has no file of authorities at {}: name one with ca", SYSTEM.join(", ")))
        };
        let path = found.ok_or_else(none)?;
        let wrong = |why: String| Error::Certificate(format!("{}: {why}", path.display()));
        let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let mut roots = RootCertStore::empty();
        // Some systems have authorities of forms that nobody uses: they are passed over.
        let (taken, _) = roots.add_parsable_certificates(read.map_err(|error| wrong(error.to_string()))?);
        if taken == 0 { Err(wrong("it has no authority".to_owned())) } else { Self::of(Arc::new(roots), None) }
    }

    /// Shakes hands over `stream`, and checks that it ends at the server of this name or address.
    ///
    /// # Errors
    /// When it does not, or the connection fails.
    pub async fn secure<S: AsyncRead + AsyncWrite + Unpin>(&self, host: &str, stream: S) -> io::Result<ToServer<S>> {
        self.connector.connect(name(host).map_err(io::Error::other)?, stream).await
    }
}

impl std::fmt::Debug for Ordinary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ordinary")
    }
}

fn name(host: &str) -> Result<ServerName<'static>, Error> {
    ServerName::try_from(host.to_owned())
        .map_err(|_| Error::Certificate(format!("{host:?} is no host name or address")))
}

/// Connects to one ordinary server.
#[derive(Clone)]
pub struct OrdinaryServer {
    address: String,
    host: String,
    tls: Ordinary,
}

impl OrdinaryServer {
    /// The server at `address` (`host:port`), believed if its certificate is for that host and comes from one of
    /// `authorities`.
    ///
    /// # Errors
    /// [`Error::Certificate`] when an authority or the host's name cannot be used, [`Error::Tls`] when rustls refuses the
    /// settings.
    pub fn new(address: &str, authorities: &[CertificateDer<'static>]) -> Result<Self, Error> {
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host.trim_matches(['[', ']'])).to_owned();
        name(&host)?;
        Ok(Self { address: address.to_owned(), host, tls: Ordinary::new(authorities)? })
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
            self.tls.secure(&self.host, stream).await
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
