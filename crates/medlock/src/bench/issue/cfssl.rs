//! The same certificates by cfssl's server, an authority that signs over HTTP: it records nothing and has no log.

use super::IssueArgs;
use super::library::NAME;
use crate::Failure;
use crate::bench::peers;
use crate::bench::rate::{Rate, took};
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, StatusCode};
use medlock_node::enrol::certificate_request;
use medlock_node::http::{Client, Connection};
use medlock_node::provider::SigningKey;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::task::JoinSet;

pub(super) fn rate(args: &IssueArgs, folder: &Path) -> Result<Rate, Failure> {
    if !peers::installed("cfssl") {
        return Err("it is not installed (Debian: golang-cfssl)".into());
    }
    std::fs::create_dir(folder)?;
    let openssl = |arguments: &[&str]| -> Result<(), Failure> {
        let output = Command::new("openssl").args(arguments).current_dir(folder).stdin(Stdio::null()).output()?;
        if output.status.success() { Ok(()) } else { Err("openssl made no authority for it".into()) }
    };
    openssl(&["ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", "ca.key"])?;
    openssl(&["req", "-x509", "-new", "-key", "ca.key", "-subj", "/CN=CA", "-days", "2", "-out", "ca.pem"])?;
    let address = peers::free_address()?;
    let mut command = Command::new("cfssl");
    command.args(["serve", "-loglevel", "5", "-address", "127.0.0.1", "-port", &address.port().to_string()]);
    command.args(["-ca", "ca.pem", "-ca-key", "ca.key"]).current_dir(folder);
    let server = peers::Server::start(command, address)?;
    let request =
        medlock_authority::pem("CERTIFICATE REQUEST", &certificate_request(&SigningKey::generate(), Some(&NAME)));
    let body = Bytes::from(serde_json::to_vec(&serde_json::json!({
        "certificate_request": request, "hosts": ["ct-1.example"],
    }))?);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        let client = Client::plain(address.to_string());
        let connections = runtime.block_on(async {
            let mut connections = Vec::new();
            for _ in 0..args.askers {
                connections.push(client.connection().await?);
            }
            Ok::<_, Failure>(connections)
        })?;
        rounds.push(took(|| runtime.block_on(sign_all(connections, args.certificates, &body)))?.1);
    }
    drop(server);
    Ok(Rate::new(args.certificates, rounds, None))
}

async fn sign_all(connections: Vec<Connection>, count: u32, body: &Bytes) -> Result<(), Failure> {
    let next = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (next, body) = (Arc::clone(&next), body.clone());
        tasks.spawn(async move {
            while next.fetch_add(1, Ordering::Relaxed) < count {
                let request = Request::builder()
                    .method(Method::POST)
                    .uri("/api/v1/cfssl/sign")
                    .header(CONTENT_TYPE, "application/json")
                    .body(body.clone());
                let answer = connection.send(request.map_err(|error| error.to_string())?).await;
                let answer = answer.map_err(|error| error.to_string())?;
                if answer.status() != StatusCode::OK {
                    return Err(format!("{}: {}", answer.status(), String::from_utf8_lossy(answer.body())));
                }
            }
            Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    Ok(())
}
