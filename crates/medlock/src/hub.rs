//! `medlock up`: a site's authority behind its three doors.

use crate::admin::SOCKET;
use crate::authorities::Authorities;
use crate::cli::UpArgs;
use crate::config::{AuthoritySection, Config, HubConfig};
use crate::doors::{self, Door, House, Issuers};
use crate::monitoring::{self, Watched};
use crate::output::say;
use crate::{Failure, Outcome, output, supervise};
use clap::Args;
use medlock_authority::directory::DATABASE;
use medlock_authority::keys::{Token, TokenConfig};
use medlock_authority::settings::RootPlace;
use medlock_authority::signer::{self, Callers, InProcess, ProcessSigner, Signer, Supervisor};
use medlock_authority::store::ServerConfig;
use medlock_authority::{Authority, AuthorityConfig, admin};
use medlock_node::accept::{Meter, Rates};
use medlock_node::clock::Clock;
use medlock_node::files;
use medlock_node::stop::{self, Stopper};
use sd_notify::NotifyState;
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

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
    /// Where it is kept how far the log was signed, for keys in a token; where the socket is if absent.
    #[arg(long, requires = "pkcs11_module", value_name = "DIR")]
    checkpoints: Option<PathBuf>,
    /// Whose keys of the token: the authority's name.
    #[arg(long, default_value = "site")]
    authority: String,
    /// Where to listen.
    #[arg(long)]
    socket: PathBuf,
    /// Let the group that this program runs as connect too: the hub then runs as another user, of this group.
    #[arg(long)]
    group: bool,
    /// End when standard input ends.
    #[arg(long, hide = true)]
    with_parent: bool,
}

/// Runs the signer until it is ended, or, when the hub has started it, until the hub has ended.
///
/// # Errors
/// When keys or socket cannot be used.
pub(crate) fn run_signer(args: SignerArgs) -> Result<Outcome, Failure> {
    let keys = match (args.pkcs11_module, args.token, args.pin_file, args.keys) {
        (Some(module), Some(token), Some(pin_file), _) => {
            let beside = args.socket.parent().map(Path::to_owned).unwrap_or_default();
            let folder = args.checkpoints.unwrap_or(beside);
            InProcess::in_token(Token::new(TokenConfig { module, token, pin_file }, &args.authority), &folder)
        }
        (_, _, _, Some(keys)) => match args.passphrase_file {
            Some(file) => InProcess::open_with_passphrase(&keys, &file)?,
            None => InProcess::open(&keys)?,
        },
        _ => return Err("name a folder of keys, or module, token and PIN file".into()),
    };
    let callers = if args.group { Callers::Group } else { Callers::Owner };
    let listener = signer::listen(&args.socket, callers)?;
    if args.with_parent {
        signer::end_with_parent();
    } else {
        monitoring::tell(&[NotifyState::Ready]);
    }
    signer::serve(&listener, &Arc::new(keys))?;
    Ok(Outcome::Done)
}

/// Runs a hub until asked to stop.
///
/// # Errors
/// When the configuration is wrong, a port is taken, or the state is damaged.
pub(crate) fn run(args: UpArgs) -> Result<Outcome, Failure> {
    let mut config = Config::load(args.config.as_deref())?;
    let written = config.hub.dir.clone();
    if let Some(dir) = args.dir.clone() {
        config.hub.dir = dir;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(until_stopped(args, config, &written));
    // A read of standard input may be under way for ever; it is not waited for.
    runtime.shutdown_background();
    result.map(|()| Outcome::Done)
}

/// `written` is the folder that the configuration names, whatever the arguments say.
async fn until_stopped(args: UpArgs, config: Config, written: &Path) -> Result<(), Failure> {
    // Before there is anything to reload: a signal nobody waits for ends the process.
    let mut asked = signal(SignalKind::hangup())?;
    let clock = Clock::system();
    // Who watches is told of all authorities or of none: that door opens when they have.
    let unwatched = HubConfig { monitoring: None, ..config.hub.clone() };
    let mut hub = Hub::start(&unwatched, authority_config(&config.hub), clock.clone()).await?;
    hub.authorities.open(&config, &clock).await?;
    hub.move_doors(&config.hub).await?;
    hub.config.monitoring = config.hub.monitoring;
    announce(&hub, &config.hub, args.json)?;
    monitoring::tell(&[NotifyState::Ready]);
    let watchdog = tokio::spawn(monitoring::watchdog());
    let stopped = supervise::asked_to_stop_or_gone(args.with_parent);
    tokio::pin!(stopped);
    loop {
        tokio::select! {
            stopped = &mut stopped => break stopped?,
            Some(()) = asked.recv() => reload(&mut hub, args.config.as_deref(), [written, &config.hub.dir], &clock).await,
        }
    }
    watchdog.abort();
    monitoring::tell(&[NotifyState::Stopping]);
    hub.stop().await
}

/// Reads the configuration again and goes on with it. What cannot be used is said.
async fn reload(hub: &mut Hub, file: Option<&Path>, [written, dir]: [&Path; 2], clock: &Clock) {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => monitoring::tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "there is no monotonic clock"),
    }
    let reloaded = async {
        let mut config = Config::load(file)?;
        if config.hub.dir != written {
            return Err("hub.dir changes only when the hub is started anew".into());
        }
        dir.clone_into(&mut config.hub.dir);
        hub.reconfigure(&config, clock).await
    };
    match reloaded.await {
        Ok(changed) => tracing::warn!(changed = changed.join(" "), "the configuration was read again and is in force"),
        Err(error) => tracing::error!(
            error = output::chain(&*error),
            "the configuration was read again and cannot be used; what it could not change goes on as it was"
        ),
    }
    monitoring::tell(&[NotifyState::Ready]);
}

fn announce(hub: &Hub, config: &HubConfig, json: bool) -> Result<(), Failure> {
    let dir = config.dir.display();
    if json {
        output::json(&serde_json::json!({
            "event": "up", "site": config.site, "dir": config.dir, "devices": hub.devices, "people": hub.people, "coap": hub.coap(),
            "coaps": hub.coaps(), "monitoring": hub.monitoring(), "authorities": hub.authorities.reached(),
        }))?;
        return Ok(());
    }
    say!("{} is up", config.site);
    say!("  state                {dir}");
    say!("  devices and sidecars {} (TLS)", hub.devices);
    say!("  ordinary software    http://{}", hub.people);
    if let Some(coap) = hub.coap() {
        say!("  small devices        {coap} (CoAP with EDHOC and OSCORE)");
    }
    if let Some(coaps) = hub.coaps() {
        say!("  small devices        {coaps} (CoAP over DTLS)");
    }
    if let Some(monitoring) = hub.monitoring() {
        say!("  monitoring           http://{monitoring}/metrics");
    }
    for other in hub.authorities.reached() {
        say!("  {:<20} {} ({}), http://{}/a/{0}/", other.name, other.organization, other.kind, hub.people);
        if let Some(devices) = other.devices {
            say!("  {:<20} {devices} (TLS)", "");
        }
    }
    if config.passphrase_file.is_none() && config.pkcs11.is_none() && config.signer.is_none() {
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
    open(dir, &in_force(dir)?.keys, &authority_in_force(dir)?, Clock::system())
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
    authority.store = config.server();
    authority.hub_name.clone_from(&config.hub_name);
    for name in &config.names {
        match name.parse::<IpAddr>() {
            Ok(address) => authority.hub_ips.push(address),
            Err(_) => authority.hub_dns.push(name.clone()),
        }
    }
    authority.public_url.clone_from(&config.public_url);
    authority.masas.clone_from(&config.masas);
    authority.trust_lists.clone_from(&config.trust_list);
    authority.log_origin.clone_from(&config.log_origin);
    authority.log_witnesses.clone_from(&config.log_witnesses);
    authority.profile.validity_seconds = config.credential_seconds;
    authority.profile.crl_partitions = config.crl_partitions;
    authority.profile.key_types.clone_from(&config.key_types);
    authority.algorithm = config.algorithm;
    authority.root = config.root;
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
    let server = authority.store;
    Ok(AuthoritySection {
        store: server.as_ref().map(|server| server.url.clone()),
        store_schema: server.as_ref().map(|server| server.schema.clone()),
        store_password_file: server.as_ref().and_then(|server| server.password_file.clone()),
        store_ca: server.and_then(|server| server.ca),
        passphrase_file: keys.passphrase_file,
        pkcs11: keys.pkcs11,
        signer: keys.signer,
        algorithm: authority.algorithm,
        masa: authority.masa,
        root: authority.root,
        log_origin: authority.log_origin,
        log_witnesses: authority.log_witnesses,
        ..AuthoritySection::new(authority.name, authority.kind)
    })
}

/// The server that keeps what the authority in `dir` does, if it is not in a file there.
///
/// # Errors
/// When that cannot be read.
pub(crate) fn server_in_force(dir: &Path) -> Result<Option<ServerConfig>, Failure> {
    Ok(in_force(dir)?.authority.store)
}

/// The settings of the authority in `dir`, wherever that lay when they were written.
///
/// # Errors
/// When they cannot be read.
pub(crate) fn authority_in_force(dir: &Path) -> Result<AuthorityConfig, Failure> {
    Ok(AuthorityConfig { dir: dir.to_owned(), ..in_force(dir)?.authority })
}

/// Copies what was in force.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn copy_settings(from: &Path, to: &Path) -> Result<(), Failure> {
    let InForce { authority, keys } = in_force(from)?;
    keep_in_force(&AuthorityConfig { dir: to.to_owned(), ..authority }, &keys)
}

/// Moves what the stopped authority in `dir` keeps to a server; how many rows there were.
///
/// # Errors
/// When it runs, or the server cannot be used.
pub(crate) fn move_store(dir: &Path, server: &ServerConfig) -> Result<u64, Failure> {
    let InForce { authority, keys } = in_force(dir)?;
    if let Some(held) = authority.store {
        return Err(format!("its store is on a server already: {}, schema {}", held.url, held.schema).into());
    }
    let authority = AuthorityConfig { dir: dir.to_owned(), store: Some(server.clone()), ..authority };
    let rows = Authority::move_store(&authority)?;
    keep_in_force(&authority, &keys)?;
    Ok(rows)
}

fn in_force(dir: &Path) -> Result<InForce, Failure> {
    let file = dir.join(IN_FORCE);
    let text = std::fs::read(&file).map_err(|error| format!("{} cannot be read: {error}", file.display()))?;
    Ok(serde_json::from_slice(&text).map_err(|error| format!("{} is damaged: {error}", file.display()))?)
}

/// Where the authority's keys are: in `keys` of its folder, in a token, or with a signer that somebody else runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Keys {
    pub(crate) passphrase_file: Option<PathBuf>,
    #[serde(default)]
    pub(crate) pkcs11: Option<TokenConfig>,
    #[serde(default)]
    pub(crate) signer: Option<PathBuf>,
}

impl Keys {
    pub(crate) fn of(config: &HubConfig) -> Self {
        Self {
            passphrase_file: config.passphrase_file.clone(),
            pkcs11: config.pkcs11.clone(),
            signer: config.signer.clone(),
        }
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
    let (owner, us) = (std::fs::metadata(dir)?.uid(), rustix::process::geteuid().as_raw());
    if owner != us {
        return Err(format!(
            "{} belongs to the user with the number {owner}, and what another one writes there it could not read: run this as \
             that user (sudo -u '#{owner}' medlock …)",
            dir.display()
        )
        .into());
    }
    if authority.store.is_none()
        && was_made(dir)
        && let Some(server) = in_force(dir)?.authority.store
    {
        return Err(format!(
            "what is in {} belongs to the store at {}, schema {}, and the configuration names none: say `store` again",
            dir.display(),
            server.url,
            server.schema
        )
        .into());
    }
    let opened = Arc::new(Authority::open(authority, clock, signer_of(dir, keys, authority)?)?);
    keep_in_force(authority, keys)?;
    Ok(opened)
}

/// Begins an authority whose root is offline, in `dir`; gives what the root is to sign.
///
/// # Errors
/// When it has its issuing key already, or is in use or damaged.
pub(crate) fn begin(authority: &AuthorityConfig, keys: &Keys, root: &[u8]) -> Result<Vec<u8>, Failure> {
    let dir = &authority.dir;
    let authority = AuthorityConfig { root: RootPlace::Offline, ..authority.clone() };
    let request = Authority::begin(&authority, &Clock::system(), &signer_of(dir, keys, &authority)?, root)?;
    keep_in_force(&authority, keys)?;
    Ok(request)
}

/// Takes in the first answer of an offline root, where the authority in `dir` waits for it; else `false`.
///
/// # Errors
/// When it is in use or damaged, or that is not the answer.
pub(crate) fn finish(dir: &Path, answer: &[u8]) -> Result<bool, Failure> {
    let last = in_force(dir)?;
    let authority = AuthorityConfig { dir: dir.to_owned(), ..last.authority };
    let signer = signer_of(dir, &last.keys, &authority)?;
    Ok(Authority::finish(&authority, &Clock::system(), &signer, answer)?)
}

/// The signer of the authority in `dir`: one that somebody else has started, or a process of its own, which is started when
/// it is first asked.
fn signer_of(dir: &Path, keys: &Keys, authority: &AuthorityConfig) -> Result<Arc<dyn Signer>, Failure> {
    files::private_directory(dir)?;
    Ok(Arc::new(match &keys.signer {
        Some(socket) => ProcessSigner::new(socket, None),
        None => own_signer(dir, keys, authority)?,
    }))
}

/// For commands while the hub is down.
pub(crate) fn keep_in_force(authority: &AuthorityConfig, keys: &Keys) -> Result<(), Failure> {
    let in_force = InForce { authority: authority.clone(), keys: keys.clone() };
    Ok(files::replace(&authority.dir.join(IN_FORCE), &serde_json::to_vec(&in_force)?)?)
}

/// A signer process of the authority's own.
fn own_signer(dir: &Path, keys: &Keys, authority: &AuthorityConfig) -> Result<ProcessSigner, Failure> {
    let socket = dir.join("signer.sock");
    let mut command = std::process::Command::new(std::env::current_exe()?);
    output::log_as_we_do(&mut command);
    command.args(["signer", "--with-parent", "--socket"]).arg(&socket);
    if let Some(TokenConfig { module, token, pin_file }) = &keys.pkcs11 {
        command.arg("--pkcs11-module").arg(module).arg("--token").arg(token).arg("--pin-file").arg(pin_file);
        let folder = dir.join("keys");
        files::private_directory(&folder)?;
        command.arg("--authority").arg(&authority.name).arg("--checkpoints").arg(folder);
    } else {
        command.arg("--keys").arg(dir.join("keys"));
    }
    if let Some(file) = keys.passphrase_file.as_deref().filter(|_| keys.pkcs11.is_none()) {
        if let Some(folder) = file.parent().filter(|folder| !folder.exists()) {
            files::private_directory(folder)?;
        }
        command.arg("--passphrase-file").arg(file);
    }
    Ok(ProcessSigner::new(&socket, Some(Supervisor::new(command))))
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
    /// Further authorities, if there are any.
    pub(crate) authorities: Arc<Authorities>,
    config: HubConfig,
    house: House,
    doors: Doors,
    stopper: Stopper,
    tasks: Vec<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Doors {
    devices: Option<Door>,
    people: Option<Door>,
    coap: Option<Door>,
    coaps: Option<Door>,
    monitoring: Option<Door>,
}

impl Hub {
    /// Opens the authority and its doors. What time it is, the authority reads from `clock`.
    ///
    /// # Errors
    /// When a port is taken or the state is damaged.
    pub(crate) async fn start(config: &HubConfig, authority: AuthorityConfig, clock: Clock) -> Result<Self, Failure> {
        let authority = tokio::task::spawn_blocking({
            let config = config.clone();
            move || open(&config.dir, &Keys::of(&config), &authority, clock)
        })
        .await??;
        // Before anybody is told that the hub runs: who then asks finds it.
        let admin_socket = admin::Socket::open(&config.dir.join(SOCKET))?;
        let rates = Arc::new(Rates::per_second(NonZeroU32::new(config.requests_per_second)));
        let house = House { rates, meter: Meter::default(), issuers: Issuers::default() };
        house.issuers.read(config.issuers.as_deref())?;
        let authorities = Authorities::new(house.clone());
        let (stopper, stop) = stop::channel();
        let tasks = vec![
            tokio::spawn(Arc::clone(&authority).keep(stop.clone())),
            tokio::spawn(Arc::clone(&authority).follow_lists(stop.clone())),
            tokio::spawn(admin::serve(Arc::clone(&authority), admin_socket, stop)),
        ];
        let mut hub = Self {
            authority,
            devices: config.devices,
            people: config.people,
            authorities,
            config: config.clone(),
            house,
            doors: Doors::default(),
            stopper,
            tasks,
        };
        match hub.move_doors(config).await {
            Ok(_) => Ok(hub),
            Err(error) => {
                hub.stop().await?;
                Err(error)
            }
        }
    }

    /// Where small devices reach it over CoAP, if it is configured.
    pub(crate) fn coap(&self) -> Option<SocketAddr> {
        self.doors.coap.as_ref().map(Door::address)
    }

    /// Where small devices reach it over DTLS, if it is configured.
    pub(crate) fn coaps(&self) -> Option<SocketAddr> {
        self.doors.coaps.as_ref().map(Door::address)
    }

    /// Where it is watched, if that is configured.
    pub(crate) fn monitoring(&self) -> Option<SocketAddr> {
        self.doors.monitoring.as_ref().map(Door::address)
    }

    /// Has its doors where the configuration wants them. Returns the settings that have changed.
    async fn move_doors(&mut self, config: &HubConfig) -> Result<Vec<&'static str>, Failure> {
        let (house, authority, authorities) = (&self.house, &self.authority, &self.authorities);
        let people = async |address| {
            let router = medlock_authority::people_router(Arc::clone(authority)).merge(monitoring::live());
            Door::plain(address, "hub.people", (house, "people"), router.merge(authorities.router())).await
        };
        let watched = async |address| {
            let watched = Watched {
                site: Arc::clone(authority),
                authorities: Arc::clone(authorities),
                meter: house.meter.clone(),
            };
            Door::plain(address, "hub.monitoring", (house, "monitoring"), monitoring::router(watched)).await
        };
        let devices = async |address| Door::devices(address, "hub.devices", house, authority).await;
        let coap = async |address| Door::coap(address, "hub.coap", house, authority).await;
        let coaps = async |address| Door::coaps(address, "hub.coaps", house, authority).await;
        let doors = &mut self.doors;
        let moved = [
            ("hub.devices", doors::move_to(&mut doors.devices, Some(config.devices), devices).await?),
            ("hub.people", doors::move_to(&mut doors.people, Some(config.people), people).await?),
            ("hub.coap", doors::move_to(&mut doors.coap, config.coap, coap).await?),
            ("hub.coaps", doors::move_to(&mut doors.coaps, config.coaps, coaps).await?),
            ("hub.monitoring", doors::move_to(&mut doors.monitoring, config.monitoring, watched).await?),
        ];
        if let Some(door) = &doors.devices {
            self.devices = door.address();
        }
        if let Some(door) = &doors.people {
            self.people = door.address();
        }
        Ok(moved.into_iter().filter_map(|(key, moved)| moved.then_some(key)).collect())
    }

    /// Goes on with this configuration. Returns what has changed.
    ///
    /// # Errors
    /// When a setting cannot be used, or changes only with a restart; what came before it in this order has changed: the
    /// doors of the site, its settings, the other authorities.
    pub(crate) async fn reconfigure(&mut self, config: &Config, clock: &Clock) -> Result<Vec<String>, Failure> {
        if Keys::of(&config.hub) != Keys::of(&self.config) {
            return Err(
                "where the keys are changes only when the hub is started anew: passphrase_file, pkcs11, signer".into(),
            );
        }
        self.house.issuers.read(config.hub.issuers.as_deref())?;
        let moved = self.move_doors(&config.hub).await?;
        let mut changed: Vec<String> = moved.into_iter().map(str::to_owned).collect();
        let (new, authority) = (authority_config(&config.hub), Arc::clone(&self.authority));
        if new != authority_config(&self.config) {
            tokio::task::spawn_blocking({
                let new = new.clone();
                move || authority.reconfigure(&new)
            })
            .await??;
            keep_in_force(&new, &Keys::of(&config.hub))?;
            changed.push("hub".to_owned());
        }
        if config.hub.requests_per_second != self.config.requests_per_second {
            self.house.rates.change(NonZeroU32::new(config.hub.requests_per_second));
            changed.push("hub.requests_per_second".to_owned());
        }
        // What is compared with at the next time is what is in force.
        self.config = config.hub.clone();
        changed.extend(self.authorities.open(config, clock).await?);
        Ok(changed)
    }

    /// Closes the door for devices: to them, the hub is down.
    pub(crate) async fn close_devices(&mut self) {
        if let Some(door) = self.doors.devices.take() {
            door.close().await;
        }
    }

    /// Opens the door for devices again, at the same address.
    ///
    /// # Errors
    /// When the port was taken meanwhile.
    pub(crate) async fn open_devices(&mut self) -> Result<(), Failure> {
        if self.doors.devices.is_none() {
            let door = Door::devices(self.devices, "hub.devices", &self.house, &self.authority).await?;
            self.doors.devices = Some(door);
        }
        Ok(())
    }

    /// Stops everything and waits until answers under way are given.
    ///
    /// # Errors
    /// When a part of the hub had failed.
    pub(crate) async fn stop(mut self) -> Result<(), Failure> {
        let doors = std::mem::take(&mut self.doors);
        for door in [doors.devices, doors.people, doors.coap, doors.coaps, doors.monitoring].into_iter().flatten() {
            door.close().await;
        }
        self.authorities.stop().await?;
        self.stopper.stop();
        for task in self.tasks {
            task.await?;
        }
        Ok(())
    }
}
