//! `medlock up`: a site's authority behind its three doors.

use crate::admin::SOCKET;
use crate::authorities::Authorities;
use crate::cli::UpArgs;
use crate::config::{AuthoritySection, Config, HubConfig};
use crate::output::say;
use crate::{Failure, Outcome, output, supervise};
use clap::Args;
use medlock_authority::keys::{Token, TokenConfig};
use medlock_authority::signer::{self, InProcess, ProcessSigner, Supervisor};
use medlock_authority::{Authority, AuthorityConfig, admin};
use medlock_node::accept::{self, Limits};
use medlock_node::clock::Clock;
use medlock_node::coap::{self, Own, Peers};
use medlock_node::files;
use medlock_node::sessions::LiveSessions;
use medlock_node::stop::{self, Stop, Stopper};
use medlock_node::tls::{self, Acceptor, ClientAuth};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// The authority's database in a hub's folder.
pub(crate) const DATABASE: &str = "authority.sqlite";
/// What was in force when the hub was last started.
const IN_FORCE: &str = "in-force.json";

/// `medlock signer`, started by the hub.
#[derive(Debug, Args)]
pub(crate) struct SignerArgs {
    /// The folder of the keys.
    #[arg(long, required_unless_present = "pkcs11_module")]
    keys: Option<PathBuf>,
    /// The file with their passphrase.
    #[arg(long, requires = "keys")]
    passphrase_file: Option<PathBuf>,
    /// The PKCS#11 library of the token that has the keys, instead of a folder.
    #[arg(long, value_name = "FILE", conflicts_with = "keys", requires_all = ["token", "pin_file"])]
    pkcs11_module: Option<PathBuf>,
    /// The token's label.
    #[arg(long)]
    token: Option<String>,
    /// The file with the PIN of the token's user.
    #[arg(long)]
    pin_file: Option<PathBuf>,
    /// Whose keys of the token: the authority's name.
    #[arg(long, default_value = "site")]
    authority: String,
    /// Where to listen.
    #[arg(long)]
    socket: PathBuf,
}

/// Runs the signer until the hub has ended.
///
/// # Errors
/// When keys or socket cannot be used.
pub(crate) fn run_signer(args: SignerArgs) -> Result<Outcome, Failure> {
    let keys = match (args.pkcs11_module, args.token, args.pin_file, args.keys) {
        (Some(module), Some(token), Some(pin_file), _) => {
            InProcess::in_token(Token::new(TokenConfig { module, token, pin_file }, &args.authority))
        }
        (_, _, _, Some(keys)) => match args.passphrase_file {
            Some(file) => InProcess::open_with_passphrase(&keys, &file)?,
            None => InProcess::open(&keys)?,
        },
        _ => return Err("name a folder of keys, or module, token and PIN file".into()),
    };
    signer::run(keys, &args.socket)?;
    Ok(Outcome::Done)
}

/// Runs a hub until asked to stop.
///
/// # Errors
/// When the configuration is wrong, a port is taken, or the state is damaged.
pub(crate) fn run(args: UpArgs) -> Result<Outcome, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    if let Some(dir) = args.dir {
        config.hub.dir = dir;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let (hub, clock) =
            (Hub::start(&config.hub, authority_config(&config.hub), Clock::system()).await?, Clock::system());
        hub.authorities.open(&config, &clock).await?;
        announce(&hub, &config.hub, args.json)?;
        let reloading =
            tokio::spawn(reload_when_asked(args.config, config.hub.dir, Arc::clone(&hub.authorities), clock));
        supervise::asked_to_stop_or_gone(args.with_parent).await?;
        reloading.abort();
        hub.stop().await
    });
    // A read of standard input may be under way for ever; it is not waited for.
    runtime.shutdown_background();
    result.map(|()| Outcome::Done)
}

/// At each SIGHUP, reads the configuration again and opens the authorities that are new. What cannot be used is said, and
/// all goes on as it was.
async fn reload_when_asked(
    file: Option<PathBuf>,
    dir: PathBuf,
    authorities: Arc<Authorities>,
    clock: Clock,
) -> Result<(), Failure> {
    let mut asked = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup())?;
    while asked.recv().await.is_some() {
        let read = Config::load(file.as_deref()).map(|mut config| {
            config.hub.dir.clone_from(&dir);
            config
        });
        let opened = match read {
            Ok(config) => authorities.open(&config, &clock).await,
            Err(error) => Err(error),
        };
        match opened {
            Ok(names) => tracing::info!(opened = names.join(" "), "the configuration was read again"),
            Err(error) => tracing::error!(%error, "the configuration was read again and cannot be used"),
        }
    }
    Ok(())
}

fn announce(hub: &Hub, config: &HubConfig, json: bool) -> Result<(), Failure> {
    let dir = config.dir.display();
    if json {
        output::json(&serde_json::json!({
            "event": "up", "site": config.site, "dir": config.dir, "devices": hub.devices, "people": hub.people, "coap": hub.coap,
            "authorities": hub.authorities.reached(),
        }))?;
        return Ok(());
    }
    say!("{} is up", config.site);
    say!("  state                {dir}");
    say!("  devices and sidecars {} (TLS)", hub.devices);
    say!("  ordinary software    http://{}", hub.people);
    if let Some(coap) = hub.coap {
        say!("  small devices        {coap} (CoAP with EDHOC and OSCORE)");
    }
    for other in hub.authorities.reached() {
        say!("  {:<20} {} ({}), http://{}/a/{0}/", other.name, other.organization, other.kind, hub.people);
        if let Some(devices) = other.devices {
            say!("  {:<20} {devices} (TLS)", "");
        }
    }
    if config.passphrase_file.is_none() && config.pkcs11.is_none() {
        say!("  passphrase           {dir}/keys/passphrase: keep it elsewhere (passphrase_file), or a backup has both");
    }
    say!("Next: medlock device register NAME --dir {dir} --role modality --ae TITLE --address HOST:PORT");
    Ok(())
}

/// Opens the authority of a hub that does not run, for one command.
///
/// # Errors
/// When it runs after all, or its state is damaged.
pub(crate) fn open_for_command(dir: &Path) -> Result<Arc<Authority>, Failure> {
    let last = in_force(dir)?;
    let authority = AuthorityConfig { dir: dir.to_owned(), ..last.authority };
    open(dir, &last.keys, &authority, Clock::system())
}

/// Makes an authority in `dir`.
///
/// # Errors
/// When there is one already, or the folder cannot be used.
pub(crate) fn create(authority: &AuthorityConfig, keys: &Keys) -> Result<(), Failure> {
    let dir = &authority.dir;
    if was_made(dir) || dir.join(DATABASE).exists() {
        return Err(format!("{} has an authority already", dir.display()).into());
    }
    open(dir, keys, authority, Clock::system())?;
    Ok(())
}

/// What the configuration means to the authority.
pub(crate) fn authority_config(config: &HubConfig) -> AuthorityConfig {
    let mut authority = AuthorityConfig::site(&config.dir, &config.site);
    for name in &config.names {
        match name.parse::<IpAddr>() {
            Ok(address) => authority.hub_ips.push(address),
            Err(_) => authority.hub_dns.push(name.clone()),
        }
    }
    authority.public_url.clone_from(&config.public_url);
    authority.log_origin.clone_from(&config.log_origin);
    authority.log_witnesses.clone_from(&config.log_witnesses);
    authority.profile.validity_seconds = config.credential_seconds;
    authority.profile.key_types.clone_from(&config.key_types);
    authority.algorithm = config.algorithm;
    authority.status_seconds = config.status_seconds;
    authority
}

/// What was in force when the authority was last opened, for commands while the hub is down.
#[derive(Debug, Deserialize, Serialize)]
struct InForce {
    authority: AuthorityConfig,
    #[serde(flatten)]
    keys: Keys,
}

/// Whether there is an authority in this folder.
pub(crate) fn was_made(dir: &Path) -> bool {
    dir.join(IN_FORCE).exists()
}

/// What an authority was last opened with.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn section_in_force(dir: &Path) -> Result<AuthoritySection, Failure> {
    let InForce { authority, keys } = in_force(dir)?;
    Ok(AuthoritySection {
        passphrase_file: keys.passphrase_file,
        pkcs11: keys.pkcs11,
        algorithm: authority.algorithm,
        log_origin: authority.log_origin,
        log_witnesses: authority.log_witnesses,
        ..AuthoritySection::new(authority.name, authority.kind)
    })
}

fn in_force(dir: &Path) -> Result<InForce, Failure> {
    let file = dir.join(IN_FORCE);
    let text = std::fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("{} is damaged: {error}", file.display()))?)
}

/// Where the authority's keys are: in `keys` of its folder, or in a token.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Keys {
    pub(crate) passphrase_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) pkcs11: Option<TokenConfig>,
}

impl Keys {
    fn of(config: &HubConfig) -> Self {
        Self { passphrase_file: config.passphrase_file.clone(), pkcs11: config.pkcs11.clone() }
    }
}

/// Opens the authority in `dir`, with a signer process of its own.
///
/// # Errors
/// When it is in use or damaged.
pub(crate) fn open(
    dir: &Path,
    keys: &Keys,
    authority: &AuthorityConfig,
    clock: Clock,
) -> Result<Arc<Authority>, Failure> {
    files::private_directory(dir)?;
    let socket = dir.join("signer.sock");
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.env("MEDLOCK_LOG", output::log_filter());
    command.arg("signer").arg("--socket").arg(&socket);
    if let Some(TokenConfig { module, token, pin_file }) = &keys.pkcs11 {
        command.arg("--pkcs11-module").arg(module).arg("--token").arg(token).arg("--pin-file").arg(pin_file);
        command.arg("--authority").arg(&authority.name);
    } else {
        command.arg("--keys").arg(dir.join("keys"));
    }
    if let Some(file) = keys.passphrase_file.as_deref().filter(|_| keys.pkcs11.is_none()) {
        if let Some(folder) = file.parent().filter(|folder| !folder.exists()) {
            files::private_directory(folder)?;
        }
        command.arg("--passphrase-file").arg(file);
    }
    let signer = ProcessSigner::new(&socket, Some(Supervisor::new(command)));
    let opened = Arc::new(Authority::open(authority, clock, Arc::new(signer))?);
    let in_force = InForce { authority: authority.clone(), keys: keys.clone() };
    files::replace(&dir.join(IN_FORCE), &serde_json::to_vec(&in_force)?)?;
    Ok(opened)
}

/// A running hub.
#[derive(Debug)]
pub(crate) struct Hub {
    /// The authority, for callers in this process.
    pub(crate) authority: Arc<Authority>,
    /// Where devices and sidecars reach it.
    pub(crate) devices: SocketAddr,
    /// Where ordinary software reaches it.
    pub(crate) people: SocketAddr,
    /// Where small devices reach it over CoAP, if it is configured.
    pub(crate) coap: Option<SocketAddr>,
    /// Further authorities, if there are any.
    pub(crate) authorities: Arc<Authorities>,
    door: Option<Door>,
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

/// The listener for devices, which can be closed and opened again.
#[derive(Debug)]
pub(crate) struct Door {
    stopper: Stopper,
    task: JoinHandle<()>,
}

impl Hub {
    /// Opens the authority and its doors. What time it is, the authority reads from `clock`.
    ///
    /// # Errors
    /// When a port is taken or the state is damaged.
    pub(crate) async fn start(config: &HubConfig, authority: AuthorityConfig, clock: Clock) -> Result<Self, Failure> {
        let devices = listen(config.devices, "hub.devices").await?;
        let people = listen(config.people, "hub.people").await?;
        let authority = tokio::task::spawn_blocking({
            let config = config.clone();
            move || open(&config.dir, &Keys::of(&config), &authority, clock)
        })
        .await??;
        // Before anybody is told that the hub runs: who then asks finds it.
        let admin_socket = admin::Socket::open(&config.dir.join(SOCKET))?;
        let authorities = Authorities::new();
        let (stopper, stop) = stop::channel();
        let addresses = (devices.local_addr()?, people.local_addr()?);
        let mut tasks = Vec::new();
        let coap = match config.coap {
            Some(address) => Some(serve_coap(address, &authority, &stop, &mut tasks).await?),
            None => None,
        };
        tasks.extend([
            tokio::spawn(accept::serve(
                people,
                None,
                Limits::default(),
                medlock_authority::people_router(Arc::clone(&authority)).merge(authorities.router()),
                stop.clone(),
            )),
            tokio::spawn(Arc::clone(&authority).keep(stop.clone())),
            tokio::spawn(admin::serve(Arc::clone(&authority), admin_socket, stop)),
        ]);
        let door = Some(Door::open(devices, &authority)?);
        Ok(Self { authority, devices: addresses.0, people: addresses.1, coap, authorities, door, stopper, tasks })
    }

    /// Closes the door for devices: to them, the hub is down.
    pub(crate) async fn close_devices(&mut self) {
        if let Some(door) = self.door.take() {
            door.close().await;
        }
    }

    /// Opens the door for devices again, at the same address.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub(crate) async fn open_devices(&mut self) -> Result<(), Failure> {
        if self.door.is_none() {
            self.door = Some(Door::open(listen(self.devices, "hub.devices").await?, &self.authority)?);
        }
        Ok(())
    }

    /// Stops everything and waits until answers under way are given.
    ///
    /// # Errors
    /// When a part of the hub had failed.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        self.close_devices().await;
        self.authorities.stop().await?;
        self.stopper.stop();
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}

impl Door {
    /// Opens the door: `listener` serves what devices ask of this authority.
    ///
    /// # Errors
    /// When the authority has no identity to show.
    pub(crate) fn open(listener: TcpListener, authority: &Arc<Authority>) -> Result<Self, Failure> {
        let config = tls::server_config(authority.hub_identity(), authority.knowledge(), ClientAuth::Optional)?;
        let acceptor = Acceptor::new(config, Arc::clone(authority.knowledge()));
        let router = medlock_authority::devices_router(Arc::clone(authority));
        let (stopper, stop) = stop::channel();
        let task = tokio::spawn(accept::serve(listener, Some(acceptor), Limits::default(), router, stop));
        Ok(Self { stopper, task })
    }

    /// Closes it, and waits until answers under way are given.
    pub(crate) async fn close(self) {
        self.stopper.stop();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the listener for devices ended unexpectedly");
        }
    }
}

/// Opens a port; `key` names its setting.
///
/// # Errors
/// When it is taken.
pub(crate) async fn listen(address: SocketAddr, key: &str) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| format!("{key} = \"{address}\" cannot be opened: {error}").into())
}

/// Opens the door for small devices, and judges their sessions again whenever the authority's knowledge changes.
///
/// # Errors
/// When the port is taken.
pub(crate) async fn serve_coap(
    address: SocketAddr,
    authority: &Arc<Authority>,
    stop: &Stop,
    tasks: &mut Vec<JoinHandle<()>>,
) -> Result<SocketAddr, Failure> {
    let sessions = LiveSessions::new(Arc::clone(authority.knowledge()));
    // In C509: a chain then fits the datagrams and buffers of small devices.
    let own = Own::of(authority.hub_identity()).in_c509();
    let peers = Arc::new(Peers::new(Arc::clone(authority.knowledge())));
    let resources = medlock_authority::coap_resources(Arc::clone(authority));
    let listener =
        coap::Listener::bind(address, own, peers, Arc::clone(&sessions), resources, coap::Limits::default()).await;
    let listener = listener.map_err(|error| format!("hub.coap = \"{address}\" cannot be opened: {error}"))?;
    let address = listener.local_addr()?;
    tasks.push(tokio::spawn(sessions.watch(stop.clone())));
    tasks.push(tokio::spawn(listener.serve(stop.clone())));
    Ok(address)
}
