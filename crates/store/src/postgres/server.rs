//! Which server, which schema, by which right.

use super::session::told;
use super::tls::{Connector, Secure};
use postgres::config::{Host, SslMode, TargetSessionAttrs};
use postgres::{Client, Config, NoTls};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How long a connection may take to be made, a host.
const CONNECT: Duration = Duration::from_secs(3);
/// After how long without an answer of the network a connection is given up.
const SILENCE: Duration = Duration::from_secs(10);

/// A PostgreSQL server, and the schema in it that is ours.
#[derive(Clone)]
pub struct Server {
    config: Config,
    secure: Option<Arc<dyn Secure>>,
    /// How people name the file with its password.
    password_file: &'static str,
    pub(super) schema: String,
}

/// What is wrong with the address of a server.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It cannot be read.
    #[error("it is no address of a PostgreSQL server ({0}): write postgresql://USER@HOST/DATABASE")]
    Address(String),
    /// The schema cannot be a name.
    #[error(
        "{0:?} is no name of a schema: give 1 to 48 small letters, digits and underscores, beginning with a letter"
    )]
    Schema(String),
    /// It has a password, which everybody reads who reads the address.
    #[error("the address has a password: take it out, and put it into a file that only the hub may read")]
    Password,
    /// It leaves the machine, and nothing makes it secret.
    #[error(
        "{0} is another machine: give the certificate of the authority that its own is from, so that nobody reads along"
    )]
    NotSecret(String),
}

impl Server {
    /// The server at `url`, in the form of libpq (`postgresql://user@host/database`, several hosts after one another), and
    /// `schema` in it. The address has no password: it stands in configurations and in errors. Connections to another machine need
    /// `secure`, which makes all connections secret that are not to a Unix socket.
    ///
    /// # Errors
    /// [`ServerError`].
    pub fn new(
        url: &str,
        schema: &str,
        password: Option<&str>,
        secure: Option<Arc<dyn Secure>>,
    ) -> Result<Self, ServerError> {
        let mut config: Config = url.parse().map_err(|error: postgres::Error| ServerError::Address(chain(&error)))?;
        if config.get_password().is_some() {
            return Err(ServerError::Password);
        }
        let letters = schema.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
        if !letters
            || !(1..=48).contains(&schema.len())
            || !schema.starts_with(|first: char| first.is_ascii_lowercase())
        {
            return Err(ServerError::Schema(schema.to_owned()));
        }
        if let Some(password) = password {
            config.password(password);
        }
        let away = config.get_hosts().iter().find_map(|host| match host {
            Host::Tcp(name) if !is_here(name) => Some(name.clone()),
            _ => None,
        });
        let away = away
            .or_else(|| config.get_hostaddrs().iter().find(|address| !address.is_loopback()).map(ToString::to_string));
        let sockets_only = config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_)));
        match away {
            Some(host) if secure.is_none() => return Err(ServerError::NotSecret(host)),
            Some(_) => config.ssl_mode(SslMode::Require),
            None if secure.is_some() && !sockets_only => config.ssl_mode(SslMode::Require),
            None => config.ssl_mode(SslMode::Disable),
        };
        config
            .application_name("medlock")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(SILENCE)
            .keepalives_idle(SILENCE)
            // After a failover the address may lead to the one that only follows.
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        Ok(Self { config, secure, password_file: "a file with it", schema: schema.to_owned() })
    }

    /// The same; who has given no password, and may need one, is told what is to be given.
    #[must_use]
    pub fn with_password_from(self, password_file: &'static str) -> Self {
        Self { password_file, ..self }
    }

    /// Why it could not be connected to. What neither the server nor the system has said is of the settings, and who has no
    /// password may need one.
    pub(super) fn refused(&self, error: &postgres::Error) -> String {
        let by_system = std::error::Error::source(error).is_some_and(|cause| cause.is::<std::io::Error>());
        let hint = match error.code() {
            None if !by_system && self.config.get_password().is_none() => {
                format!("; if the server asks for a password, give {}", self.password_file)
            }
            _ => String::new(),
        };
        format!("{}{hint}", told(error))
    }

    pub(super) fn connect(&self) -> Result<Client, postgres::Error> {
        match &self.secure {
            Some(secure) => self.config.connect(Connector(secure.clone())),
            None => self.config.connect(NoTls),
        }
    }
}

/// Never the password.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // None, or one for all, or one for each.
        let ports = self.config.get_ports();
        let port = |at: usize| ports.get(at).or(ports.first()).copied().unwrap_or(5_432);
        let named = |(at, host): (usize, &Host)| match host {
            Host::Tcp(name) if name.contains(':') => format!("[{name}]:{}", port(at)),
            Host::Tcp(name) => format!("{name}:{}", port(at)),
            Host::Unix(path) => format!("{}/.s.PGSQL.{}", path.display(), port(at)),
        };
        let hosts: Vec<String> = self.config.get_hosts().iter().enumerate().map(named).collect();
        let database = self.config.get_dbname().unwrap_or_default();
        write!(f, "PostgreSQL at {}, database {database}, schema {}", hosts.join(","), self.schema)
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

fn is_here(host: &str) -> bool {
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// An error with its causes: the client's own words say only that something failed.
pub(super) fn chain(error: &postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-STORE-175: it is named with its port as well.
    #[test]
    fn what_leaves_the_machine_is_secret_and_a_password_is_never_shown() {
        let new = |url| Server::new(url, "site", None, None);
        for url in ["postgresql://u@localhost/d", "postgresql:///d?host=/run/postgresql", "postgresql://u@[::1]/d"] {
            assert_eq!(new(url).unwrap().config.get_ssl_mode(), SslMode::Disable, "{url}");
        }
        for url in ["postgresql://u@db.example.org/d", "postgresql://u@localhost,10.0.0.7/d"] {
            assert!(matches!(new(url), Err(ServerError::NotSecret(_))), "{url}");
        }
        for url in ["postgresql://u:geheim@localhost/d", "postgresql://localhost/d?user=u&password=geheim"] {
            let error = new(url).unwrap_err();
            assert!(matches!(error, ServerError::Password) && !error.to_string().contains("geheim"));
        }
        let secret = Server::new("postgresql://u@localhost/d", "site", Some("geheim"), None).unwrap();
        assert!(!format!("{secret} {secret:?}").contains("geheim"));
        let several = Server::new("postgresql://u@localhost:5433,[::1]:5434/d", "site", None, None).unwrap();
        assert_eq!(several.to_string(), "PostgreSQL at localhost:5433,[::1]:5434, database d, schema site");
        let socket = Server::new("postgresql:///d?host=/run/postgresql&user=u", "site", None, None).unwrap();
        assert!(socket.to_string().contains("/run/postgresql/.s.PGSQL.5432,"), "{socket}");
        for schema in ["", "Site", "a-b", "1a", "a\"b"] {
            assert!(Server::new("postgresql:///d", schema, None, None).is_err(), "{schema:?}");
        }
    }
}
