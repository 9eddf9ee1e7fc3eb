//! Issuing over EST: devices with confirmed codes, on connections that stay open.

use super::IssueArgs;
use super::library::at_once;
use crate::Failure;
use crate::bench::rate::Rate;
use crate::bench::work::send_all;
use crate::config::HubConfig;
use crate::hub::Hub;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request as HttpRequest};
use medlock_authority::Authority;
use medlock_authority::admin::{Asker, Request, Response};
use medlock_authority::enrolment::Answer;
use medlock_authority::registry::DeviceConfig;
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, certificate_request};
use medlock_node::http::Client;
use medlock_node::provider::SigningKey;
use medlock_node::tls::{Believed, Connector};
use medlock_trust::Role;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

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
    let believed = Believed::Root(hub.authority.root_fingerprint());
    let client = Client::tls(hub.devices.to_string(), Connector::new(None, believed, Some(Role::Hub))?);
    let mut rounds = Vec::new();
    for round in 0..args.rounds {
        let requests = confirmed(args, round, &hub.authority)?;
        rounds.push(runtime.block_on(send_all(&client, args.askers, requests.into_iter().map(Ok)))?.took);
    }
    runtime.block_on(hub.stop())?;
    runtime.shutdown_background();
    Ok(Rate::new(args.certificates, rounds, Some(2_500)))
}

/// Registers devices, lets each come with its code, and confirms it: with what each asks for its credential.
fn confirmed(args: &IssueArgs, round: u16, authority: &Authority) -> Result<Vec<HttpRequest<Bytes>>, Failure> {
    let requests = Mutex::new(Vec::new());
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
        let asked = HttpRequest::builder().method(Method::POST).uri("/.well-known/est/simpleenroll");
        let asked = asked.header(CONTENT_TYPE, "application/pkcs10").header(AUTHORIZATION, format!("Basic {login}"));
        let asked = asked.body(BASE64.encode(&request).into())?;
        requests.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        Ok(())
    })?;
    Ok(requests.into_inner().unwrap_or_else(PoisonError::into_inner))
}
