//! The authorities of a hub beside its own site: other sites, and makers. Each has a folder of its own with keys, store, log
//! and admin socket, a signer process of its own, and its place below `/a/NAME/` on the hub's listener for people.

pub(crate) mod expected;

use crate::admin::SOCKET;
use crate::config::{AuthoritySection, Config};
use crate::doors::{self, Door, House};
use crate::folder::{self, Keys};
use crate::{Failure, output};
use axum::Router;
use axum::extract::{Path as Segments, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::any;
use http::{StatusCode, Uri};
use medlock_authority::settings::Kind;
use medlock_authority::signer::SignerError;
use medlock_authority::store::StoreError;
use medlock_authority::{Authority, AuthorityConfig, Error, admin};
use medlock_node::accept::PeerInfo;
use medlock_node::clock::Clock;
use medlock_node::stop::{self, Stopper};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::task::JoinHandle;
use tower::ServiceExt as _;

/// Where they lie in a hub's folder.
const FOLDER: &str = "authorities";
/// The longest short name: it stands in paths.
const MAX_NAME: usize = 32;

/// The folder of the authority with this short name.
///
/// # Errors
/// When it cannot be a short name.
pub(crate) fn folder(hub: &Path, name: &str) -> Result<PathBuf, Failure> {
    check_name(name)?;
    Ok(hub.join(FOLDER).join(name))
}

fn check_name(name: &str) -> Result<(), Failure> {
    let letters = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !letters || name.is_empty() || name.len() > MAX_NAME || name.starts_with('-') {
        return Err(format!(
            "{name:?} is no short name of an authority: give 1 to {MAX_NAME} small letters, digits and hyphens"
        )
        .into());
    }
    Ok(())
}

/// The short names of the authorities that were made in a hub's folder.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn made(hub: &Path) -> Result<Vec<String>, Failure> {
    let path = hub.join(FOLDER);
    let entries = match std::fs::read_dir(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|error| format!("{}: {error}", path.display()))?,
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if let Ok(name) = entry.file_name().into_string()
            && folder::was_made(&entry.path())
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// What the configuration means to an authority beside the site.
pub(crate) fn authority_config(
    config: &Config,
    name: &str,
    section: &AuthoritySection,
) -> Result<AuthorityConfig, Failure> {
    let hub = &config.hub;
    let mut authority = AuthorityConfig::site(folder(&hub.dir, name)?, &section.organization);
    authority.kind = section.kind;
    authority.store = section.server(hub, name);
    authority.hub_name.clone_from(&hub.hub_name);
    for name in if section.names.is_empty() { &hub.names } else { &section.names } {
        match name.parse::<IpAddr>() {
            Ok(address) => authority.hub_ips.push(address),
            Err(_) => authority.hub_dns.push(name.clone()),
        }
    }
    let base = hub.public_url.as_deref().map(|url| url.trim_end_matches('/'));
    authority.public_url = base.map(|url| format!("{url}/a/{name}"));
    authority.masa.clone_from(&section.masa);
    authority.masas.clone_from(&hub.masas);
    if section.kind == Kind::Site {
        authority.trust_lists.clone_from(section.trust_list.as_ref().unwrap_or(&hub.trust_list));
    }
    authority.log_origin.clone_from(&section.log_origin);
    authority.log_witnesses.clone_from(&section.log_witnesses);
    authority.algorithm = section.algorithm;
    authority.root = section.root;
    authority.profile.key_types.clone_from(&hub.key_types);
    authority.profile.crl_partitions = section.crl_partitions.unwrap_or(hub.crl_partitions);
    authority.profile.validity_seconds = section.credential_seconds.unwrap_or(hub.credential_seconds);
    authority.status_seconds = section.status_seconds.unwrap_or(hub.status_seconds);
    Ok(authority)
}

/// Those that are open.
pub(crate) struct Authorities {
    house: House,
    open: Mutex<BTreeMap<String, Arc<Served>>>,
    /// Those that cannot be opened.
    off: Mutex<BTreeMap<String, Off>>,
}

/// Why one is off.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Off {
    why: String,
    /// Whether what it needs may come back by itself. Else somebody puts something in its place, and says when that is whole.
    is_away: bool,
}

/// One that is open.
struct Served {
    authority: Arc<Authority>,
    /// What it answers people, without the path in front.
    people: Router,
    /// What it was opened or last changed with.
    in_force: Mutex<(AuthorityConfig, Keys)>,
    doors: tokio::sync::Mutex<Doors>,
    reached: Mutex<Reached>,
    /// Whether the configuration had a section of its own for it.
    named: AtomicBool,
    stopper: Stopper,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

#[derive(Default)]
struct Doors {
    devices: Option<Door>,
    coap: Option<Door>,
    coaps: Option<Door>,
}

/// Where one is reached.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Reached {
    /// Its short name.
    pub(crate) name: String,
    /// The organisation's name.
    pub(crate) organization: String,
    /// `site` or `maker`.
    pub(crate) kind: &'static str,
    /// Where its devices reach it, if it has such a door.
    pub(crate) devices: Option<SocketAddr>,
    /// Where its small devices reach it.
    pub(crate) coap: Option<SocketAddr>,
    /// The same over DTLS.
    pub(crate) coaps: Option<SocketAddr>,
    /// Its root's key, by which lists name it.
    pub(crate) root_key: String,
    /// Whether it was made now.
    pub(crate) new: bool,
}

impl Authorities {
    /// None yet.
    pub(crate) fn new(house: House) -> Arc<Self> {
        Arc::new(Self { house, open: Mutex::default(), off: Mutex::default() })
    }

    /// Opens those that the configuration names or that were made by command, and are not open yet; those that are open go
    /// on with what has changed. Returns the names of both. One that was there and cannot be opened, for whatever reason, is off:
    /// `site` and the others go on, and its people are told.
    ///
    /// # Errors
    /// When a new one is configured wrongly, or one that is open cannot go on with what has changed; all others are as the
    /// configuration says.
    pub(crate) async fn open(
        &self,
        config: &Config,
        clock: &Clock,
        site: &Arc<Authority>,
    ) -> Result<Vec<String>, Failure> {
        let made = made(&config.hub.dir).unwrap_or_else(|error| {
            tracing::error!(%error, "which authorities were made by command cannot be read");
            Vec::new()
        });
        let mut names: BTreeSet<String> = config.authorities.keys().cloned().chain(made).collect();
        names.extend(expected::names_if_any(&config.hub.dir));
        lock(&self.off).retain(|name, _| names.contains(name));
        let (mut changed, mut failed) = (Vec::new(), Vec::new());
        for name in names {
            let open = self.held().get(&name).cloned();
            let is_new = match (section(config, &name), open) {
                (Ok(section), Some(served)) => self.change(&served, config, &name, &section).await,
                (Ok(section), None) => self.open_one(config, &name, &section, clock, site).await,
                // It goes on as it was, or is told of as one that is off.
                (Err(error), Some(_)) => Err(error),
                (Err(error), None) => self.leave_off(config, &name, error, site).await,
            };
            match is_new {
                Ok(true) => changed.push(name),
                Ok(false) => {}
                Err(error) => failed.push(format!("authority {name}: {}", output::chain(&*error))),
            }
        }
        if failed.is_empty() { Ok(changed) } else { Err(failed.join("; ").into()) }
    }

    /// Opens those whose database, token or signer was away, and tells of each that is served now. What is open is left as it is.
    pub(crate) async fn open_those_away(&self, config: &Config, clock: &Clock, site: &Arc<Authority>) {
        let away: Vec<String> =
            lock(&self.off).iter().filter(|(_, off)| off.is_away).map(|(name, _)| name.clone()).collect();
        for name in away {
            let opened = match section(config, &name) {
                Ok(section) => self.open_one(config, &name, &section, clock, site).await,
                Err(error) => self.leave_off(config, &name, error, site).await,
            };
            match opened {
                Ok(true) if self.held().contains_key(&name) => {
                    tracing::warn!(authority = name, "it was off and is served");
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::error!(
                        authority = name,
                        error = output::chain(&*error),
                        "people cannot be told why it is off"
                    );
                }
            }
        }
    }

    /// Goes on with one that is open. Says whether something has changed.
    async fn change(
        &self,
        served: &Served,
        config: &Config,
        name: &str,
        section: &AuthoritySection,
    ) -> Result<bool, Failure> {
        let changed = served.reconfigure(config, name, section, &self.house).await?;
        let named = config.authorities.contains_key(name);
        let removed = served.named.swap(named, Ordering::Relaxed) && !named;
        if removed {
            tracing::warn!(
                authority = name,
                "its section is no longer in the configuration, and it goes on as it was: what it has issued still has to be \
                 answered for. To end it, stop the hub, move authorities/{name} out of the hub's folder, and `medlock authority \
                 remove {name}`"
            );
        }
        Ok(changed || removed)
    }

    /// Opens one, or notes why it is off. Says whether that is new.
    async fn open_one(
        &self,
        config: &Config,
        name: &str,
        section: &AuthoritySection,
        clock: &Clock,
        site: &Arc<Authority>,
    ) -> Result<bool, Failure> {
        let served = match Served::open(config, name, section, clock.clone(), &self.house).await {
            Ok(served) => served,
            Err(error) => return self.leave_off(config, name, error, site).await,
        };
        lock(&self.off).remove(name);
        if let Err(error) = expected::add(&config.hub.dir, [name]) {
            tracing::error!(%error, authority = name, "it is served, and would not be missed if its folder were gone");
        }
        self.held().insert(name.to_owned(), Arc::new(served));
        Ok(true)
    }

    /// Notes that one is off, and tells people. Says whether it was not before.
    ///
    /// # Errors
    /// Why it cannot be opened, where there was none and it is how it is configured; or when people cannot be told.
    async fn leave_off(
        &self,
        config: &Config,
        name: &str,
        error: Failure,
        site: &Arc<Authority>,
    ) -> Result<bool, Failure> {
        let was_there = expected::names_if_any(&config.hub.dir).contains(name)
            || folder(&config.hub.dir, name).is_ok_and(|dir| folder::was_made(&dir));
        let has_token = section(config, name).is_ok_and(|section| section.pkcs11.is_some() || section.signer.is_some());
        let Some(off) = off(&error, was_there, has_token) else { return Err(error) };
        let before = lock(&self.off).insert(name.to_owned(), off.clone());
        if before.as_ref() != Some(&off) {
            let (site, name) = (Arc::clone(site), name.to_owned());
            tokio::task::spawn_blocking(move || site.tell_of_one_off(&name, &off.why)).await??;
        }
        Ok(before.is_none())
    }

    /// Those that are off, by their short names, each with the reason.
    pub(crate) fn off(&self) -> BTreeMap<String, String> {
        lock(&self.off).iter().map(|(name, off)| (name.clone(), off.why.clone())).collect()
    }

    /// Whether one is off that may come back by itself.
    pub(crate) fn is_one_away(&self) -> bool {
        lock(&self.off).values().any(|off| off.is_away)
    }

    /// All of them that are open, by their short names.
    pub(crate) fn all(&self) -> Vec<(String, Arc<Authority>)> {
        self.held().iter().map(|(name, served)| (name.clone(), Arc::clone(&served.authority))).collect()
    }

    /// What they answer people: `/a/NAME/…`.
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        Router::new().route("/a/{name}/{*rest}", any(dispatch)).with_state(Arc::clone(self))
    }

    /// Where each is reached.
    pub(crate) fn reached(&self) -> Vec<Reached> {
        self.held().values().map(|served| lock(&served.reached).clone()).collect()
    }

    /// Stops all of them and waits until answers under way are given.
    ///
    /// # Errors
    /// When a part of one had failed.
    pub(crate) async fn stop(&self) -> Result<(), Failure> {
        let all = std::mem::take(&mut *self.held());
        for served in all.into_values() {
            let doors = std::mem::take(&mut *served.doors.lock().await);
            for door in [doors.devices, doors.coap, doors.coaps].into_iter().flatten() {
                door.close().await;
            }
            served.stopper.stop();
            let tasks = std::mem::take(&mut *lock(&served.tasks));
            for task in tasks {
                task.await?;
            }
        }
        Ok(())
    }

    fn held(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Served>>> {
        lock(&self.open)
    }
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.reached()).finish()
    }
}

impl Served {
    async fn open(
        config: &Config,
        name: &str,
        section: &AuthoritySection,
        clock: Clock,
        house: &House,
    ) -> Result<Self, Failure> {
        if let Some(why) = expected::missing(&config.hub.dir, name)? {
            return Err(Error::NotHere(why).into());
        }
        let (settings, keys) = (authority_config(config, name, section)?, keys(section));
        folder::expects_none(&settings, &keys, &format!("make it by `medlock authority create {name}`"))?;
        let authority = tokio::task::spawn_blocking({
            let (settings, keys) = (settings.clone(), keys.clone());
            move || folder::open(&settings.dir, &keys, &settings, clock)
        })
        .await??;
        let socket = admin::Socket::open(&settings.dir.join(SOCKET))?;
        let (stopper, stop) = stop::channel();
        let tasks = vec![
            tokio::spawn(Arc::clone(&authority).keep(stop.clone())),
            tokio::spawn(Arc::clone(&authority).follow_lists(stop.clone())),
            tokio::spawn(admin::serve(admin::router(Arc::clone(&authority)), socket, stop)),
        ];
        let reached = Reached {
            name: name.to_owned(),
            organization: authority.name().to_owned(),
            kind: authority.kind().name(),
            devices: None,
            coap: None,
            coaps: None,
            root_key: authority.root().key.to_string(),
            new: authority.was_made_now(),
        };
        let served = Self {
            people: medlock_authority::people_router(Arc::clone(&authority)),
            authority,
            in_force: Mutex::new((settings, keys)),
            doors: tokio::sync::Mutex::default(),
            reached: Mutex::new(reached),
            named: AtomicBool::new(config.authorities.contains_key(name)),
            stopper,
            tasks: Mutex::new(tasks),
        };
        served.move_doors(name, section, house).await?;
        Ok(served)
    }

    /// Has its doors where the section wants them. Says whether one moved.
    async fn move_doors(&self, name: &str, section: &AuthoritySection, house: &House) -> Result<bool, Failure> {
        let authority = &self.authority;
        let mut doors = self.doors.lock().await;
        let devices = async |address| {
            Door::devices(address, &format!("authority.{name}.devices"), house, (authority, None)).await
        };
        let coap =
            async |address| Door::coap(address, &format!("authority.{name}.coap"), house, (authority, None)).await;
        let coaps =
            async |address| Door::coaps(address, &format!("authority.{name}.coaps"), house, (authority, None)).await;
        let moved = doors::move_to(&mut doors.devices, section.devices, devices).await?;
        let moved = doors::move_to(&mut doors.coap, section.coap, coap).await? || moved;
        let moved = doors::move_to(&mut doors.coaps, section.coaps, coaps).await? || moved;
        let mut reached = lock(&self.reached);
        reached.devices = doors.devices.as_ref().map(Door::address);
        reached.coap = doors.coap.as_ref().map(Door::address);
        reached.coaps = doors.coaps.as_ref().map(Door::address);
        Ok(moved)
    }

    /// Goes on with this section. Says whether something has changed.
    async fn reconfigure(
        &self,
        config: &Config,
        name: &str,
        section: &AuthoritySection,
        house: &House,
    ) -> Result<bool, Failure> {
        let new = (authority_config(config, name, section)?, keys(section));
        let old = lock(&self.in_force).clone();
        if new.1 != old.1 {
            return Err("where its keys are changes only when the hub is started anew".into());
        }
        let changed = new.0 != old.0;
        if changed {
            let (authority, settings) = (Arc::clone(&self.authority), new.0.clone());
            tokio::task::spawn_blocking(move || authority.reconfigure(&settings)).await??;
            folder::keep_in_force(&new.0, &new.1)?;
            *lock(&self.in_force) = new;
        }
        Ok(self.move_doors(name, section, house).await? || changed)
    }
}

/// Why an authority is off. `None` where there was none, and it is how it is configured: whoever wrote that is told.
fn off(error: &Failure, was_there: bool, has_token: bool) -> Option<Off> {
    let known = error.downcast_ref();
    let is_away = match known {
        Some(
            Error::Store(StoreError::Away { .. } | StoreError::Unknown { .. } | StoreError::Late { .. })
            | Error::Signer(SignerError::Away(_)),
        ) => true,
        // So a signer's process says what its token does not do.
        Some(Error::Signer(SignerError::KeyFile(_))) => has_token,
        _ => false,
    };
    let why = match known {
        Some(Error::Signer(SignerError::Away(why))) => why.clone(),
        Some(Error::Signer(other)) => other.to_string(),
        _ => output::chain(&**error),
    };
    let is_not_here = is_away
        || matches!(
            known,
            Some(Error::NotHere(_) | Error::Signer(_) | Error::Store(_) | Error::File { .. } | Error::Object { .. })
        );
    (was_there || is_not_here).then_some(Off { why, is_away })
}

/// What the configuration says of one, or said when it was made by command.
fn section(config: &Config, name: &str) -> Result<AuthoritySection, Failure> {
    if let Some(section) = config.authorities.get(name) {
        return Ok(section.clone());
    }
    if let Some(why) = expected::missing(&config.hub.dir, name)? {
        return Err(Error::NotHere(why).into());
    }
    folder::section_in_force(&folder(&config.hub.dir, name)?)
}

/// Where the keys of an authority beside the site are.
pub(crate) fn keys(section: &AuthoritySection) -> Keys {
    Keys {
        passphrase_file: section.passphrase_file.clone(),
        pkcs11: section.pkcs11.clone(),
        signer: section.signer.clone(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Passes a request on, with the authority's part of the path only.
async fn dispatch(
    State(authorities): State<Arc<Authorities>>,
    Segments((name, rest)): Segments<(String, String)>,
    mut request: Request,
) -> Response {
    let people = authorities.held().get(&name).map(|served| served.people.clone());
    let Some(people) = people else {
        return match lock(&authorities.off).contains_key(&name) {
            true => {
                (StatusCode::SERVICE_UNAVAILABLE, "this authority is off; the hub's log says why\n").into_response()
            }
            false => (StatusCode::NOT_FOUND, "there is no such authority\n").into_response(),
        };
    };
    let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
    match format!("/{rest}{query}").parse::<Uri>() {
        Ok(uri) => *request.uri_mut() = uri,
        Err(_) => return StatusCode::NOT_FOUND.into_response(),
    }
    // What the router outside has found in the path is not for the one inside.
    let peer = request.extensions_mut().remove::<PeerInfo>();
    request.extensions_mut().clear();
    if let Some(peer) = peer {
        request.extensions_mut().insert(peer);
    }
    match people.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
