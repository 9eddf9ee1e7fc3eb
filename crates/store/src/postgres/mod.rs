//! PostgreSQL 13 or later: which server, how its connections are made secret, one session that writes, several that read.

mod migrate;
mod server;
mod session;
mod tls;
mod types;

pub use server::{Server, ServerError};
pub use tls::{Secure, Secured, Stream};

pub(crate) use session::{Readers, open};
