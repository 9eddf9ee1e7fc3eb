//! Which server the store is on.

use crate::Error;
use medlock_store::postgres::Server;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

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
}

fn schema() -> String {
    "medlock".to_owned()
}

impl ServerConfig {
    /// The server with its password.
    ///
    /// # Errors
    /// [`Error::Invalid`], [`Error::File`].
    pub fn address(&self) -> Result<Server, Error> {
        let password = match &self.password_file {
            None => None,
            Some(path) => Some(std::fs::read_to_string(path).map_err(|error| Error::file(path, error))?),
        };
        let password = password.as_deref().map(str::trim_end);
        Server::new(&self.url, &self.schema, password, None).map_err(|error| Error::invalid("store", error.to_string()))
    }
}
