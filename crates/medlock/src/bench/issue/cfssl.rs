//! The same certificates by cfssl's server, an authority that signs over HTTP: it records nothing and has no log.

use super::IssueArgs;
use super::library::NAME;
use crate::Failure;
use crate::bench::peers;
use crate::bench::rate::Rate;
use crate::bench::work::send_all;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use medlock_node::enrol::certificate_request;
use medlock_node::http::Client;
use medlock_node::provider::SigningKey;
use std::path::Path;
use std::process::{Command, Stdio};

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
    let client = Client::plain(address.to_string());
    let mut rounds = Vec::new();
    for _ in 0..args.rounds {
        let requests = (0..args.certificates).map(|_| {
            let request = Request::builder().method(Method::POST).uri("/api/v1/cfssl/sign");
            Ok(request.header(CONTENT_TYPE, "application/json").body(body.clone())?)
        });
        rounds.push(runtime.block_on(send_all(&client, args.askers, requests))?.took);
    }
    drop(server);
    Ok(Rate::new(args.certificates, rounds, None))
}
