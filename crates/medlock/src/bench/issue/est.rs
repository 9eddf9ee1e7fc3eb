//! Issuing over EST: devices with confirmed codes, on connections that stay open.

use super::IssueArgs;
use super::library::at_once;
use crate::Failure;
use crate::bench::rate::{Rate, took};
use crate::config::HubConfig;
use crate::hub::Hub;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request as HttpRequest, StatusCode};
use medlock_authority::Authority;
use medlock_authority::admin::{Asker, Request, Response};
use medlock_authority::enrolment::Answer;
use medlock_authority::registry::DeviceConfig;
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::http::{Client, Connection};
use medlock_node::provider::SigningKey;
use medlock_node::tls::{Believed, Connector};
use medlock_trust::Role;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::JoinSet;

/// A device that waits for its credential, as the engineer has confirmed it.
struct Confirmed {
    authorization: String,
    /// The request, in base64.
    request: Bytes,
}

pub(super) fn rate(args: &IssueArgs, folder: &Path) -> Result<Rate, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let config = HubConfig {
        site: "Sankt Anna".into(),
        dir: folder.to_owned(),
        devices: any,
        people: any,
        // Few clients ask for all the devices here.
        requests_per_second: 0,
        ..HubConfig::default()
    };
    let hub = runtime.block_on(Hub::start(&config, config.authority(), Clock::system()))?;
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let devices = confirmed(args, round, &hub.authority)?;
        let connections = runtime.block_on(connections(&hub, args.askers))?;
        rounds.push(took(|| runtime.block_on(fetch_all(connections, devices)))?.1);
    }
    runtime.block_on(hub.stop())?;
    runtime.shutdown_background();
    Ok(Rate::new(args.certificates, rounds, Some(2_500)))
}

/// Registers devices, lets each come with its code, and confirms it.
fn confirmed(args: &IssueArgs, round: u16, authority: &Authority) -> Result<Vec<Confirmed>, Failure> {
    let devices = Mutex::new(Vec::new());
    at_once(args.askers, args.certificates, |number| {
        let name = format!("d-{round}-{number}");
        let ask = |request| authority.administer(&Asker::program(), request);
        ask(Request::Register {
            device: DeviceConfig { name: name.clone(), roles: vec!["sensor".into()], ..DeviceConfig::default() },
        })?;
        let Response::Code { code, .. } = ask(Request::Code { device: name.clone(), lifetime_seconds: None })? else {
            return Err("the hub gave no code".into());
        };
        let code: Code = code.parse()?;
        let request = certificate_request(&SigningKey::generate(), None);
        let Answer::Waits { .. } = authority.enrol_by_code(&code.user(), &code.password(), &request, "bench")? else {
            return Err("the hub did not wait for a person".into());
        };
        let Response::Pending { pending } = ask(Request::Pending)? else { return Err("the hub gave no list".into()) };
        let mine = pending.into_iter().find(|one| one.device.as_deref() == Some(name.as_str()));
        ask(Request::Approve { id: mine.ok_or("the request does not wait")?.id, device: None })?;
        let login = BASE64.encode(format!("{}:{}", code.user(), *code.password()));
        let one = Confirmed { authorization: format!("Basic {login}"), request: BASE64.encode(&request).into() };
        devices.lock().unwrap_or_else(PoisonError::into_inner).push(one);
        Ok(())
    })?;
    Ok(devices.into_inner().unwrap_or_else(PoisonError::into_inner))
}

/// Connections that have shaken hands, as they are kept open: one for each who asks.
async fn connections(hub: &Hub, askers: u16) -> Result<Vec<Connection>, Failure> {
    let believed = Believed::Root(hub.authority.root_fingerprint());
    let client = Client::tls(hub.devices.to_string(), Connector::new(None, believed, Some(Role::Hub))?);
    let mut connections = Vec::new();
    for _ in 0..askers {
        connections.push(client.connection().await?);
    }
    Ok(connections)
}

async fn fetch_all(connections: Vec<Connection>, devices: Vec<Confirmed>) -> Result<(), Failure> {
    let (devices, next) = (Arc::new(devices), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (devices, next) = (Arc::clone(&devices), Arc::clone(&next));
        tasks.spawn(async move {
            while let Some(device) = devices.get(next.fetch_add(1, Ordering::Relaxed)) {
                let request = HttpRequest::builder()
                    .method(Method::POST)
                    .uri("/.well-known/est/simpleenroll")
                    .header(CONTENT_TYPE, "application/pkcs10")
                    .header(AUTHORIZATION, &device.authorization)
                    .body(device.request.clone());
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
