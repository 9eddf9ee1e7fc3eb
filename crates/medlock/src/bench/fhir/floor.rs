//! A server that only keeps the bytes of what comes: the same doors, TLS, store and commits, and nothing else. What the clinical
//! face costs is what it takes beyond this.

use super::site::{Caller, Site};
use crate::Failure;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use medlock_node::accept::{self, Limits};
use medlock_node::http::Client;
use medlock_node::stop::{self, Stopper};
use medlock_node::tls::{Acceptor, Believed, ClientAuth, Connector, server_config};
use medlock_store::postgres::Server;
use medlock_store::{Database, Schema, Step, values};
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

const SCHEMA: Schema = Schema {
    application: "medlock-bench",
    // "MDLB"
    id: 0x4d44_4c42,
    oldest: 1,
    steps: &[Step::Both("CREATE TABLE kept (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;")],
};

/// The server, until it is stopped.
pub(super) struct Floor {
    /// Who asks it.
    pub(super) caller: Caller,
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Floor {
    /// Starts it in this process; it shows the gateway's certificate.
    pub(super) async fn start(site: &Site, folder: &Path, postgres: Option<&str>) -> Result<Self, Failure> {
        let database = match postgres {
            None => Database::sqlite(&folder.join("floor.db"), &SCHEMA)?,
            Some(url) => {
                let server = Server::new(url, &format!("medlock_bench_floor_{}", std::process::id()), None, None)?;
                tokio::task::spawn_blocking(move || Database::postgres(server, &SCHEMA)).await??
            }
        };
        let router = Router::new().route("/fhir/Observation", post(keep)).with_state(Arc::new(database));
        let config = server_config(&site.identity, &site.knowledge, ClientAuth::Optional)?;
        let acceptor = Acceptor::new(config, Arc::clone(&site.knowledge));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?.to_string();
        let (stopper, stop) = stop::channel();
        let task = tokio::spawn(accept::serve(listener, Some(acceptor), Limits::default(), router, stop));
        let believed = Believed::Knowledge(Arc::clone(&site.knowledge));
        let client = Client::tls(address, Connector::new(Some(&site.identity), believed, None)?);
        Ok(Self { caller: Caller { client, token: String::new() }, stopper, task })
    }

    pub(super) async fn stop(self) -> Result<(), Failure> {
        self.stopper.stop();
        Ok(self.task.await?)
    }
}

async fn keep(State(database): State<Arc<Database>>, body: Bytes) -> StatusCode {
    let kept = tokio::task::spawn_blocking(move || {
        database.write_single("keep a body", move |sql| {
            sql.execute("INSERT INTO kept (body) VALUES (?1)", values![body.to_vec()])
        })
    });
    match kept.await {
        Ok(Ok(_)) => StatusCode::CREATED,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
