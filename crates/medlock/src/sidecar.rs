//! `medlock sidecar dicom`: a guard on its own beside one machine.

use crate::cli::SidecarDicomArgs;
use crate::config::{Config, SidecarConfig};
use crate::output::{say, say_raw};
use crate::{Failure, Outcome, output, supervise};
use medlock_guard::audit::AuditSource;
use medlock_guard::dicom::{DicomConfig, DicomGuard, Limits, Services};
use medlock_guard::sink::{self, AuditConfig, AuditLog, Collector, Connect};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, Enrolment, Progress};
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::ordinary::OrdinaryServer;
use medlock_node::sessions::LiveSessions;
use medlock_node::tls::ToServer;
use medlock_node::{files, news, stop};
use medlock_trust::DeviceName;
use medlock_trust::policy::Setting;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};
use std::io::{IsTerminal as _, Read as _, Write as _};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What a sidecar says of itself while it runs: a line of text for a person, of JSON for a program.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum Event {
    /// Both ports are open. Nobody is served before `ready`.
    Listening {
        /// For other sidecars.
        listen: SocketAddr,
        /// For the machine.
        plain: SocketAddr,
    },
    /// The hub has the request; a person must confirm it.
    AwaitingApproval {
        /// The start of the key's fingerprint.
        key: String,
    },
    /// There is a credential.
    Enrolled {
        /// Until when, RFC 3339.
        not_after: String,
    },
    /// Something did not succeed and is tried again.
    Trouble {
        /// What.
        error: String,
        /// When it is tried again, in seconds.
        again_in_seconds: f64,
    },
    /// The stream of news from the hub is open, or not any more.
    News {
        /// Whether it is open.
        connected: bool,
    },
    /// Associations are served.
    Ready,
}

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
        None if IdentityStore::open(&config.dir.join("identity"))?.current().is_none() => ask_for_code()?,
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
    let tell = move |event: &Event| tell(event, json);
    for (address, option) in [(config.listen, "--listen"), (config.plain, "--plain")] {
        // A port that is taken is said now, not after somebody has approved this sidecar.
        drop(
            TcpListener::bind(address)
                .await
                .map_err(|error| format!("{option} {address} cannot be opened: {error}"))?,
        );
    }
    let clock = Clock::system();
    let knowledge = KnowledgeBase::open(&config.dir.join("knowledge"), clock, Setting::Hospital)?;
    let identity = IdentityStore::open(&config.dir.join("identity"))?;
    let sessions = LiveSessions::new(Arc::clone(&knowledge));
    let (stopper, stop) = stop::channel();

    let enrolment = Enrolment::new(config.hub.as_str(), identity.clone(), Arc::clone(&knowledge));
    let progress = enrolment.progress();
    let mut enrolled = tokio::spawn(enrolment.run(code, stop.clone()));
    let reporter = tokio::spawn(report(progress, tell));
    let stopped = supervise::asked_to_stop_or_gone(with_parent);
    tokio::pin!(stopped);

    tokio::select! {
        result = &mut stopped => {
            result?;
            return Ok(Outcome::Done);
        }
        result = &mut enrolled => {
            result??;
            return Ok(Outcome::Done);
        }
        () = has_identity(&identity) => {}
    }
    let hub = news::Hub::new(config.hub.as_str(), &identity, Arc::clone(&knowledge))?;
    let connected = hub.connected();
    let telling = tokio::spawn(tell_news(connected, tell));
    let following = tokio::spawn(news::follow(hub, stop.clone()));
    let watching = tokio::spawn(Arc::clone(&sessions).watch(stop.clone()));
    tokio::select! {
        result = &mut stopped => {
            result?;
            return Ok(Outcome::Done);
        }
        () = has_routes(&knowledge) => {}
    }

    let device = identity.current().and_then(|identity| identity.device_name());
    let device = device.ok_or("the credential in the sidecar's folder names no device")?;
    let audit = open_audit(&config, device.as_str(), knowledge.site_name().unwrap_or_default())?;
    let services = Services { identity, knowledge, sessions, audit: audit.clone() };
    let forwarding = forward_audit(&config, &services)?;
    let guard = DicomGuard::bind(guard_config(&config, device).await?, services).await?;
    tell(&Event::Listening { listen: guard.secure_address()?, plain: guard.plain_address()? });
    let guarding = tokio::spawn(guard.run(stop));
    tell(&Event::Ready);
    stopped.await?;
    stopper.stop();
    guarding.await?;
    let _ = tokio::join!(following, watching);
    reporter.abort();
    telling.abort();
    if let Some(forwarding) = forwarding {
        forwarding.abort();
    }
    tokio::task::spawn_blocking(move || audit.close()).await?;
    Ok(Outcome::Done)
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

fn open_audit(config: &SidecarConfig, device: &str, site: String) -> Result<AuditLog, Failure> {
    let files = AuditConfig {
        file: Some(config.dir.join("audit.log")),
        queue: config.audit_collector.as_ref().map(|_| config.dir.join("audit-queue")),
        ..AuditConfig::default()
    };
    Ok(AuditLog::open(&files, AuditSource { site, device: device.to_owned(), process: std::process::id() })?)
}

/// Sends what waits to the collector, if there is one.
fn forward_audit(config: &SidecarConfig, services: &Services) -> Result<Option<JoinHandle<()>>, Failure> {
    let (Some(address), Some(queue)) = (&config.audit_collector, services.audit.queue()) else { return Ok(None) };
    match (&config.audit_collector_ca, &config.audit_collector_device) {
        (Some(ca), None) => {
            let authorities: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(ca)
                .and_then(Iterator::collect)
                .map_err(|error| format!("audit_collector_ca {}: {error}", ca.display()))?;
            let collector = OrdinaryCollector(OrdinaryServer::new(address, &authorities)?);
            Ok(Some(tokio::spawn(sink::forward(queue, collector))))
        }
        (None, Some(device)) => {
            let device = DeviceName::new(device).ok_or("audit_collector_device is no device name")?;
            let collector = Collector::new(address.as_str(), device, &services.identity, &services.knowledge)?;
            Ok(Some(tokio::spawn(sink::forward(queue, collector))))
        }
        (None, None) | (Some(_), Some(_)) => {
            Err("audit_collector needs audit_collector_ca or audit_collector_device, and not both".into())
        }
    }
}

/// An ordinary syslog server, reached by TLS (RFC 5425).
#[derive(Debug)]
struct OrdinaryCollector(OrdinaryServer);

impl Connect for OrdinaryCollector {
    type Stream = ToServer<TcpStream>;

    async fn connect(&self) -> std::io::Result<Self::Stream> {
        self.0.connect(Duration::from_secs(10)).await.map_err(std::io::Error::other)
    }
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

async fn report(mut progress: watch::Receiver<Progress>, tell: impl Fn(&Event)) {
    while progress.changed().await.is_ok() {
        let event = match progress.borrow_and_update().clone() {
            Progress::Idle | Progress::Asking => continue,
            Progress::AwaitingApproval { key } => Event::AwaitingApproval { key },
            Progress::Enrolled { not_after } => Event::Enrolled { not_after: not_after.to_string() },
            Progress::Failed { error, again_in } => {
                Event::Trouble { error, again_in_seconds: Duration::as_secs_f64(&again_in) }
            }
        };
        tell(&event);
    }
}

async fn tell_news(mut connected: watch::Receiver<bool>, tell: impl Fn(&Event)) {
    while connected.changed().await.is_ok() {
        let connected = *connected.borrow_and_update();
        tell(&Event::News { connected });
    }
}

fn tell(event: &Event, json: bool) {
    if json {
        // Whoever read this has gone; the sidecar goes on.
        let _ = output::json(event);
        return;
    }
    match event {
        Event::Listening { listen, plain } => {
            say!("listening for other sidecars on {listen}, for the machine on {plain}");
        }
        Event::AwaitingApproval { key } => {
            say!("waiting for approval at the hub; the key's fingerprint begins with {key}");
        }
        Event::Enrolled { not_after } => say!("enrolled; the credential is good until {not_after}"),
        Event::Trouble { error, again_in_seconds } => say!("{error}; trying again in {again_in_seconds:.0} s"),
        Event::News { connected: true } => say!("connected with the hub"),
        Event::News { connected: false } => say!("the hub is away; everything goes on with what is known"),
        Event::Ready => say!("ready"),
    }
}
