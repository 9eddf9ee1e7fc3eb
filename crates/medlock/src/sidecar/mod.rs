//! `medlock sidecar dicom`: a guard on its own beside one machine.

mod audit;
mod images;
mod tell;

use crate::cli::SidecarDicomArgs;
use crate::config::{Config, SidecarConfig};
use crate::output::say_raw;
use crate::{Failure, Outcome, supervise};
use images::Gathering;
use medlock_guard::dicom::{DicomConfig, DicomGuard, Limits, Services};
use medlock_node::brski::Birth;
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, Enrolment};
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stop};
use medlock_node::{files, news};
use medlock_trust::decide::Code as Denial;
use medlock_trust::policy::Setting;
use medlock_trust::{Denied, DeviceName};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::sync::Arc;
use std::time::Duration;
use tell::Teller;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

pub(crate) use tell::Event;

/// Runs until asked to stop.
///
/// # Errors
/// When the configuration is wrong, a port is taken, or the hub refuses the code.
pub(crate) fn run_dicom(args: SidecarDicomArgs) -> Result<Outcome, Failure> {
    let mut config = Config::load(args.config.as_deref())?.sidecar;
    let code = args.code.as_deref().map(read_code).transpose()?;
    let (json, with_parent) = (args.json, args.with_parent);
    override_by(args, &mut config);
    files::private_directory(&config.dir)?;
    let code = match code {
        None if config.birth.is_none() && IdentityStore::open(&config.dir.join("identity"))?.current().is_none() => {
            ask_for_code()?
        }
        code => code,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let outcome = runtime.block_on(serve(config, code, json, with_parent));
    // A read of standard input may be under way for ever; it is not waited for.
    runtime.shutdown_background();
    outcome
}

fn read_code(text: &str) -> Result<Code, Failure> {
    if text == "-" {
        let mut typed = String::new();
        std::io::stdin().take(256).read_to_string(&mut typed)?;
        return parse_code(&typed);
    }
    parse_code(text)
}

/// Asks a person for the code, if there is one; a code from a start before this one is kept.
fn ask_for_code() -> Result<Option<Code>, Failure> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    say_raw!("Enrolment code (from `medlock device code` at the hub; empty if it was given before): ");
    std::io::stdout().flush()?;
    let mut typed = String::new();
    std::io::stdin().read_line(&mut typed)?;
    if typed.trim().is_empty() { Ok(None) } else { parse_code(&typed).map(Some) }
}

fn parse_code(text: &str) -> Result<Code, Failure> {
    text.trim().parse().map_err(|error| {
        format!("the enrolment code cannot be read: {error}; copy it whole from `medlock device code`").into()
    })
}

fn override_by(args: SidecarDicomArgs, config: &mut SidecarConfig) {
    if let Some(dir) = args.dir {
        config.dir = dir;
    }
    if let Some(hub) = args.hub {
        config.hub = hub;
    }
    if args.birth.is_some() {
        config.birth = args.birth;
    }
    if let Some(listen) = args.listen {
        config.listen = listen;
    }
    if let Some(plain) = args.plain {
        config.plain = plain;
    }
    if let Some(machine) = args.machine {
        config.machine = Some(machine);
    }
    if let Some(allow) = args.allow {
        config.allow = allow;
    }
}

async fn serve(config: SidecarConfig, code: Option<Code>, json: bool, with_parent: bool) -> Result<Outcome, Failure> {
    let teller = Teller::new(json);
    let port = config.hub.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    if !port.is_some_and(|(host, port)| !host.is_empty() && port > 0) {
        return Err(format!(
            "the hub's address {:?} is not HOST:PORT, as `medlock up` shows it for devices",
            config.hub
        )
        .into());
    }
    for (address, option) in [(config.listen, "--listen"), (config.plain, "--plain")] {
        // A port that is taken is said now, not after somebody has approved this sidecar.
        drop(
            TcpListener::bind(address)
                .await
                .map_err(|error| format!("{option} {address} cannot be opened: {error}"))?,
        );
    }
    let knowledge = KnowledgeBase::open(&config.dir.join("knowledge"), Clock::system(), Setting::Hospital)?;
    let (identity, code) = own_identity(&config, &knowledge, code, &teller)?;
    let (stopper, stop) = stop::channel();
    let running = run(&config, code, identity, knowledge, &teller, stop);
    tokio::pin!(running);
    tokio::select! {
        result = supervise::asked_to_stop_or_gone(with_parent) => result?,
        result = &mut running => return result.map(|()| Outcome::Done),
    }
    stopper.stop();
    running.await?;
    Ok(Outcome::Done)
}

/// The identity in the sidecar's folder. With a code, one that the site has revoked is put aside, to begin anew; any other
/// stays in use until the hub has said that it never renews it, and the code has given another.
fn own_identity(
    config: &SidecarConfig,
    knowledge: &KnowledgeBase,
    code: Option<Code>,
    teller: &Teller,
) -> Result<(IdentityStore, Option<Code>), Failure> {
    let folder = config.dir.join("identity");
    let identity = IdentityStore::open(&folder)?;
    let Some(own) = identity.current() else { return Ok((identity, code)) };
    match (tell::own_denial(&identity, knowledge), code) {
        (Some(Denied { code: Denial::Compromised | Denial::Ceased, .. }), Some(code)) => {
            let aside = config.dir.join(format!("identity.revoked-{}", own.credential()));
            std::fs::rename(&folder, &aside)
                .map_err(|error| format!("{} cannot be put aside: {error}", folder.display()))?;
            Ok((IdentityStore::open(&folder)?, Some(code)))
        }
        (_, Some(code)) => {
            teller.tell(Event::CodeInReserve);
            Ok((identity, Some(code)))
        }
        (_, None) => Ok((identity, None)),
    }
}

/// Enrols if need be, then guards until asked to stop.
async fn run(
    config: &SidecarConfig,
    code: Option<Code>,
    identity: IdentityStore,
    knowledge: Arc<KnowledgeBase>,
    teller: &Teller,
    mut stop: Stop,
) -> Result<(), Failure> {
    let mut enrolment = Enrolment::new(config.hub.as_str(), identity.clone(), Arc::clone(&knowledge));
    if let Some(file) = &config.birth {
        enrolment = enrolment.with_birth(Birth::open(file)?);
    }
    let mut tasks = JoinSet::new();
    tasks.spawn(teller.clone().follow_enrolment(enrolment.progress()));
    let mut enrolled = tokio::spawn(enrolment.run(code, stop.clone()));
    tokio::select! {
        result = &mut enrolled => return Ok(result??),
        () = has_identity(&identity) => {}
    }
    let hub = news::Hub::new(config.hub.as_str(), &identity, Arc::clone(&knowledge))?;
    tasks.spawn(teller.clone().follow_news(hub.connected(), identity.clone(), Arc::clone(&knowledge)));
    let client = hub.client().clone();
    tasks.spawn(news::follow(hub, stop.clone()));
    let sessions = LiveSessions::new(Arc::clone(&knowledge));
    tasks.spawn(Arc::clone(&sessions).watch(stop.clone()));
    tokio::select! {
        () = stop.asked() => return Ok(()),
        () = has_routes(&knowledge) => {}
    }
    let device = identity.current().and_then(|identity| identity.device_name());
    let device = device.ok_or("the credential in the sidecar's folder names no device")?;
    let audit = audit::open(config, device.as_str(), knowledge.site_name().unwrap_or_default())?;
    let (images, waiting) = Gathering::start(&config.dir.join("studies"))?;
    tasks.spawn(images::tell(waiting, client, stop.clone()));
    let services = Services { identity, knowledge, sessions, audit: audit.clone(), images: images.clone() };
    let forwarding = audit::forward(config, &services)?;
    let guard = DicomGuard::bind(guard_config(config, device).await?, services).await?;
    teller.tell(Event::Listening { listen: guard.secure_address()?, plain: guard.plain_address()? });
    teller.tell(Event::Ready);
    guard.run(stop).await;
    if let Some(forwarding) = forwarding {
        forwarding.abort();
    }
    let closed = move || {
        images.close();
        audit.close();
    };
    tokio::task::spawn_blocking(closed).await?;
    Ok(())
}

async fn guard_config(config: &SidecarConfig, device: DeviceName) -> Result<DicomConfig, Failure> {
    let machine = match &config.machine {
        None => None,
        Some(name) => Some(
            tokio::net::lookup_host(name)
                .await
                .map_err(|error| format!("--machine {name} cannot be found: {error}"))?
                .next()
                .ok_or_else(|| format!("--machine {name} has no address"))?,
        ),
    };
    let limits = Limits {
        idle: Duration::from_secs(config.idle_seconds),
        associations: config.max_associations,
        ..Limits::default()
    };
    Ok(DicomConfig { device, plain: config.plain, allowed: vec![config.allow], secure: config.listen, machine, limits })
}

async fn has_identity(identity: &IdentityStore) {
    let mut changes = identity.changes();
    while identity.current().is_none() && changes.changed().await.is_ok() {}
}

/// Without a routing table nobody can be bound; the first one comes with the first news.
async fn has_routes(knowledge: &KnowledgeBase) {
    let mut changes = knowledge.changes();
    while knowledge.version(Kind::Routes).is_none() && changes.changed().await.is_ok() {}
}
