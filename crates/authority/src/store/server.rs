//! Which server the store is on.

use crate::Error;
use medlock_node::ordinary::Ordinary;
use medlock_store::postgres::{Secure, Secured, Server, ServerError, Stream};
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::sync::Arc;

/// A PostgreSQL server (13 or later) that keeps what the authority does; several hubs may share it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Where it is: `postgresql://USER@HOST/DATABASE`, or `postgresql:///DATABASE?host=/run/postgresql&user=USER` for a Unix
    /// socket. Write no password here.
    pub url: String,
    /// The schema in the database that is this authority's alone; made if there is none and the user may.
    #[serde(default = "schema")]
    pub schema: String,
    /// A file with the user's password, where the server asks for one.
    #[serde(default)]
    pub password_file: Option<PathBuf>,
    /// A file with the certificate (PEM) of the authority that the server's own is from. A server on another machine is
    /// reached only with it: by TLS, and the name in the address must stand in the server's certificate.
    #[serde(default)]
    pub ca: Option<PathBuf>,
}

fn schema() -> String {
    "medlock".to_owned()
}

impl ServerConfig {
    /// The server at `url`, and defaults for all else.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), schema: schema(), password_file: None, ca: None }
    }

    /// The server with its password and the authority of its certificate.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn address(&self) -> Result<Server, Error> {
        let password = match &self.password_file {
            None => None,
            Some(path) => Some(
                std::fs::read_to_string(path)
                    .map_err(|error| Error::invalid("store_password_file", format!("{}: {error}", path.display())))?,
            ),
        };
        let tls = match &self.ca {
            None => None,
            Some(path) => {
                Some(Ordinary::from_pem_file(path).map_err(|error| Error::invalid("store_ca", error.to_string()))?)
            }
        };
        self.with(password.as_deref().map(str::trim_end), tls)
    }

    /// Checks the address without reading any file.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        let tls = self.ca.as_ref().map(|_| Ordinary::new(&[])).transpose();
        self.with(None, tls.map_err(|error| Error::invalid("store_ca", error.to_string()))?).map(drop)
    }

    fn with(&self, password: Option<&str>, tls: Option<Ordinary>) -> Result<Server, Error> {
        let secure = tls.map(|tls| Arc::new(Tls(tls)) as Arc<dyn Secure>);
        let server = Server::new(&self.url, &self.schema, password, secure).map_err(|error| {
            let how = match &error {
                ServerError::NotSecret(_) => " (store_ca in the configuration, --ca or --store-ca of a command)",
                _ => "",
            };
            Error::invalid("store", format!("{error}{how}"))
        })?;
        Ok(server.with_password_from(
            "a file with it (store_password_file in the configuration, --password-file or --store-password-file of a command)",
        ))
    }
}

/// TLS, as the store wants it.
struct Tls(Ordinary);

impl Secure for Tls {
    fn secure(&self, host: &str, stream: Box<dyn Stream>) -> Secured {
        let (tls, host) = (self.0.clone(), host.to_owned());
        Box::pin(async move { Ok(Box::new(tls.secure(&host, stream).await?) as Box<dyn Stream>) })
    }
}
