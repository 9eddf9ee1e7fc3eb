//! One organisation's authority: a site, or a maker.

mod ground;
mod upkeep;

pub(crate) use ground::{Ground, algorithm_of, authority_template, ensure_root};

use crate::clocks::Compared;
use crate::directory::{DATABASE, expect_no_keys, open_store, own_directory, was_opened};
use crate::issue::{self, Form, Line, Template};
use crate::keys::{AuthorityCertificate, KeyList};
use crate::known_keys::KnownKeys;
use crate::log::Sequencer;
use crate::objects::News;
use crate::present::Present;
use crate::registry::{Device, DeviceConfig};
use crate::reserve;
use crate::settings::{AuthorityConfig, Kind, Rules, Settings};
use crate::signer::Signer;
use crate::store::{Purpose, Store, StoreError, Turn};
use crate::{Error, clocks};
use medlock_node::clock::Clock;
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{self, AwsLc};
use medlock_trust::path::MAX_CHAIN;
use medlock_trust::policy::Setting;
use medlock_trust::x509::Certificate;
use medlock_trust::{CredentialId, DeviceId, DeviceName, KeyId, Time};
use std::fs::File;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

/// How long a root is good, in seconds: 30 years.
pub(crate) const ROOT_SECONDS: i64 = 30 * 365 * 86_400;
/// How long an issuing certificate is good, in seconds: 15 years.
const ISSUING_SECONDS: i64 = 15 * 365 * 86_400;
/// Requests for the same device wait for one another; others meet by chance, once in this many. So many because each of
/// hundreds at work on a batch holds one.
const STRIPES: usize = 4_096;

/// For so many seconds a hub that starts has the others wait that start too.
const STARTING_SECONDS: u32 = 30;

/// One organisation's authority. All methods block; call them from threads that may.
pub struct Authority {
    pub(crate) settings: Settings,
    rules: RwLock<Arc<Rules>>,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) signer: Arc<dyn Signer>,
    pub(crate) clock: Clock,
    /// Where neither the list of keys nor the store names one: never.
    first_root: Arc<AuthorityCertificate>,
    keys: RwLock<Arc<KeyList>>,
    pub(crate) news: News,
    log: Sequencer,
    room: issue::Room,
    knowledge: Arc<KnowledgeBase>,
    hub: IdentityStore,
    pub(crate) known_keys: KnownKeys,
    pub(crate) locks: Locks,
    pub(crate) covered: crate::compact::Covered,
    pub(crate) crls: Mutex<Option<crate::crls::Crls>>,
    /// As long as it is open, hubs on the same store see it.
    pub(crate) present: Present,
    made_now: bool,
    /// Held while the authority is open: two processes must not serve one directory.
    _lock: File,
}

#[derive(Default)]
pub(crate) struct Locks {
    register: Mutex<()>,
    publishing: Mutex<()>,
    changing_keys: Mutex<()>,
    issuing_hub: Mutex<()>,
    pub(crate) set: Mutex<crate::compact::Made>,
    devices: Vec<Mutex<()>>,
    keys: Vec<Mutex<()>>,
    /// What a start makes is not made, because the clocks differed.
    pub(crate) objects_behind: AtomicBool,
    /// The routing table is to be published and is not.
    routes_behind: AtomicBool,
    /// Objects are to be signed by the key that issues and are not.
    keys_behind: AtomicBool,
    /// What people were told of devices that came for vouchers.
    pub(crate) told: crate::brski::Told,
    /// Somebody wants the folders of trust lists looked at.
    pub(crate) look_at_lists: tokio::sync::Notify,
    /// People were told that an offline root is to sign its revocation list.
    pub(crate) root_crl_told: AtomicBool,
    /// The number of the root's revocation list in the hub's folder.
    pub(crate) root_crl_kept: AtomicU64,
    /// People were told that the log goes on under another name, or went back.
    log_told: AtomicBool,
    /// How many acts this hub has seen in the store, once it has looked.
    pub(crate) counted: Mutex<Option<crate::counted::Counted>>,
    /// People were told that another hub has this one's name.
    namesake_told: AtomicBool,
    pub(crate) at_hand: Mutex<crate::at_hand::AtHand>,
    pub(crate) room: Mutex<reserve::Room>,
    pub(crate) clocks: Compared,
    /// The hub is being stopped: nobody else is to be sent here.
    pub(crate) stopping: AtomicBool,
    /// When people were told that a clock was ahead.
    pub(crate) clock_told: Mutex<Option<Time>>,
    reminders: Mutex<crate::reminded::Known>,
}

impl Locks {
    /// What is known to be nothing new.
    pub(crate) fn reminders(&self) -> MutexGuard<'_, crate::reminded::Known> {
        held(&self.reminders)
    }

    /// What was told is heard anew.
    pub(crate) fn forget_reminders(&self) {
        *self.reminders() = crate::reminded::Known::default();
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Authority {
    /// Opens the authority in its directory, or creates it: root, issuing key, hub credential, site list, policy, status
    /// and routes. A creation that was interrupted is continued.
    ///
    /// # Errors
    /// [`Error`]: a setting that cannot be used, a directory in use, a damaged database, a signer that is away.
    pub fn open(config: &AuthorityConfig, clock: Clock, signer: Arc<dyn Signer>) -> Result<Self, Error> {
        own_directory(&config.dir)?;
        if config.store.is_none() && !config.dir.join(DATABASE).exists() && !was_opened(&config.dir) {
            // Also looked for where the ground is laid; here nothing is written yet.
            expect_no_keys(config, &*signer)?;
        }
        let open = || Self::open_with(config, clock.clone(), signer.clone(), Arc::new(open_store(config)?));
        let opened = match open() {
            // Also where the disk is full it is there for whoever reports a theft. A server has no use for room here, nor a file that
            // this program cannot use.
            Err(Error::Store(error))
                if config.store.is_none()
                    && !matches!(error, StoreError::Damaged { .. } | StoreError::Newer { .. })
                    && reserve::let_go(&config.dir) =>
            {
                tracing::error!(%error, "the room on the disk that is kept for the worst day is used to start: make more room");
                open()
            }
            other => other,
        }?;
        if let Err(error) = reserve::keep(&config.dir) {
            tracing::error!(%error, "nothing is kept for the worst day");
        }
        Ok(opened)
    }

    /// From now on it says that it is not ready: the hub is about to stop, and nobody else is to be sent here.
    pub fn begin_to_stop(&self) {
        self.locks.stopping.store(true, Ordering::Relaxed);
    }

    /// As [`Authority::open`], with another store.
    ///
    /// # Errors
    /// As [`Authority::open`].
    pub fn open_with(
        config: &AuthorityConfig,
        clock: Clock,
        signer: Arc<dyn Signer>,
        store: Arc<dyn Store>,
    ) -> Result<Self, Error> {
        let Ground { settings, rules, lock, _starting, present, store, signer, log, room } =
            Ground::lay(config, &signer, store)?;
        let line = Line { store: &*store, signer: &*signer, log: &log, room: &room };
        let (held, clocks) = (KeyList::held(&*store)?, Compared::of(clocks::ahead(&*store, &clock)?));
        if held.is_none() {
            // What is made now is for decades.
            clocks.agree(settings.hub_name)?;
        }
        let made_now = held.is_none() && store.newest(Purpose::Root)?.is_none();
        let root = match held.as_ref().and_then(KeyList::anchor) {
            Some(anchor) => AuthorityCertificate::clone(anchor),
            None => ensure_root(&settings, &rules, &line, clock.now())?,
        };
        let keys = match held {
            Some(held) => held.naming_root(&*store, root.clone(), clock.now())?,
            None => {
                let first = ground::ensure_issuing(&settings, &rules, &root, &line, clock.now())?;
                KeyList::begin(&*store, root.clone(), first, clock.now())?
            }
        };
        let node = |error: medlock_node::Error| Error::Conflict(error.to_string());
        let knowledge =
            KnowledgeBase::open(&crate::restored::knowledge_of(&settings.dir), clock.clone(), Setting::Hospital)
                .map_err(node)?;
        // It may have been there before another root took the place of the one that is pinned.
        if knowledge.root().is_none_or(|pinned| keys.roots().iter().all(|root| root.certificate.der != pinned)) {
            knowledge.pin_root(&root.der).map_err(node)?;
        }
        let hub = IdentityStore::open(&settings.dir.join("hub")).map_err(node)?;
        let stripes = || (0..STRIPES).map(|_| Mutex::default()).collect();
        // A change of keys may have been cut off, also one that this start does not go on with because of its clock.
        let keys_behind = AtomicBool::new(true);
        let locks = Locks { devices: stripes(), keys: stripes(), keys_behind, clocks, ..Locks::default() };
        let known_keys = KnownKeys::open(&settings.dir)?;
        let authority = Self {
            settings,
            rules: RwLock::new(Arc::new(rules)),
            store,
            signer,
            clock,
            first_root: Arc::new(root),
            keys: RwLock::new(Arc::new(keys)),
            news: News::default(),
            log,
            room,
            knowledge,
            hub,
            known_keys,
            locks,
            covered: crate::compact::Covered::default(),
            crls: Mutex::default(),
            present,
            made_now,
            _lock: lock,
        };
        authority.take_back_heard()?;
        authority.compare_clocks()?;
        authority.tell_of_clocks()?;
        if authority.settings.kind == Kind::Site {
            // Before anything is made of keys that stand otherwise by now, and of what they told.
            authority.go_on_with_answer();
            authority.unhear_stolen_keys()?;
            authority.ensure_objects()?;
        } else {
            authority.go_on_with_answer();
        }
        if authority.has_hub() {
            authority.ensure_hub(config)?;
        }
        if let Err(error) = authority.tell_of_strange_hubs() {
            tracing::warn!(%error, "whether every hub of the register is one could not be looked at");
        }
        // What is not signed anew now is by the next tick.
        if let Err(error) = authority.clocks_agree().and_then(|()| authority.follow_keys()) {
            tracing::warn!(%error, "the objects of a former key could not be signed anew; it is tried again");
        }
        if let Err(error) = authority.clocks_agree().and_then(|()| authority.keep_root_crl()) {
            tracing::warn!(%error, "the root's revocation list could not be made; it is tried again");
        }
        authority.keep_beside()?;
        authority.announce_settings(config)?;
        Ok(authority)
    }

    /// What the hub itself knows: it judges its callers by the same objects it gives out.
    #[must_use]
    pub fn knowledge(&self) -> &Arc<KnowledgeBase> {
        &self.knowledge
    }

    /// The hub's own identity, for its `devices` listener.
    #[must_use]
    pub fn hub_identity(&self) -> &IdentityStore {
        &self.hub
    }

    /// The current objects and the news of their changes.
    #[must_use]
    pub fn news(&self) -> &News {
        &self.news
    }

    /// The root in whose name the authority speaks: the anchor of those who believe it. One whose place another has taken is
    /// it until it is retired.
    #[must_use]
    pub fn root(&self) -> Arc<AuthorityCertificate> {
        self.held_keys().anchor().unwrap_or(&self.first_root).clone()
    }

    /// The root that certifies issuing keys, and is asked.
    pub(crate) fn newest_root(&self) -> Arc<AuthorityCertificate> {
        self.held_keys().newest_root().unwrap_or(&self.first_root).clone()
    }

    /// All roots there were, the first one first.
    pub(crate) fn roots(&self) -> Vec<Arc<AuthorityCertificate>> {
        let keys = self.held_keys();
        let roots: Vec<_> = keys.roots().iter().map(|root| root.certificate.clone()).collect();
        if roots.is_empty() { vec![self.first_root.clone()] } else { roots }
    }

    /// The certificate of the key that issues at present.
    #[must_use]
    pub fn issuing(&self) -> Arc<AuthorityCertificate> {
        let keys = self.held_keys();
        // A list always has a current one.
        keys.current().unwrap_or(&self.first_root).clone()
    }

    pub(crate) fn held_keys(&self) -> Arc<KeyList> {
        self.keys.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on these are the keys. What they are to sign anew is signed by the next tick, whatever fails before.
    pub(crate) fn set_keys(&self, keys: KeyList) {
        self.locks.forget_reminders();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
        self.set_keys_behind(true);
    }

    /// What a client needs to build chains: the certificates of the keys that sign, the one that issues first; the anchor's;
    /// then, where another root has taken its place or is about to, that root's own, by the one before and of the one before
    /// (RFC 7030 section 4.1.3), and what leads to it from roots before.
    #[must_use]
    pub fn ca_certificates(&self) -> Vec<Arc<AuthorityCertificate>> {
        let (keys, issuing, anchor) = (self.held_keys(), self.issuing(), self.root());
        let former = keys.iter().filter(|key| key.state.signs() && key.certificate.key != issuing.key);
        let former: Vec<_> = former.map(|key| key.certificate.clone()).collect();
        let mut roots = vec![anchor.clone()];
        for root in keys.roots().iter().rev() {
            let coming = root.certificate.label > anchor.label;
            if coming {
                roots.push(root.certificate.clone());
            }
            let Some(came) = &root.came else { continue };
            let (link, back) = (Some(&came.link), Some(&came.back).filter(|_| coming));
            let links = link.into_iter().chain(back);
            roots.extend(
                links.filter_map(|der| {
                    AuthorityCertificate::read(root.certificate.label, der.clone()).map(Arc::new).ok()
                }),
            );
        }
        [vec![issuing], former, roots].concat()
    }

    /// The certificates of all issuing keys there have been (DER): by them a device is known that shows its own certificate
    /// alone.
    #[must_use]
    pub fn issuing_certificates(&self) -> Vec<Vec<u8>> {
        self.held_keys().iter().map(|key| key.certificate.der.clone()).collect()
    }

    /// The settings in force that may change.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Goes on with this configuration: what may change while it is open is in force when this returns, and the hub has a
    /// credential with the new names, or, where it stands still because of its clock, when the clocks agree.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a setting cannot be used, or changed only by a restart or not at all; then all is as before.
    pub fn reconfigure(&self, config: &AuthorityConfig) -> Result<(), Error> {
        let (settings, rules) = (Settings::try_from(config)?, Rules::try_from(config)?);
        if let Some(setting) = self.settings.first_difference(&settings) {
            return Err(Error::invalid(setting, "it does not change while the hub runs: stop the hub first"));
        }
        ground::fix_for_good(&*self.store, &settings, &rules)?;
        let replace = |rules: Arc<Rules>| {
            std::mem::replace(&mut *self.rules.write().unwrap_or_else(PoisonError::into_inner), rules)
        };
        let before = replace(Arc::new(rules));
        if self.has_hub()
            && let Err(error) = self.ensure_hub(config)
        {
            replace(before);
            return Err(error);
        }
        // What is made of the settings is made anew.
        *held(&self.crls) = None;
        if let Err(error) = self.announce_settings(config) {
            tracing::warn!(%error, "whether other hubs are configured alike could not be found out");
        }
        Ok(())
    }

    /// The transparency log.
    #[must_use]
    pub fn log(&self) -> &Sequencer {
        &self.log
    }

    /// What it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.settings.kind
    }

    /// Whether other hubs may work on the same store.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// Whether there was none before it was opened: root and keys were made now.
    #[must_use]
    pub fn was_made_now(&self) -> bool {
        self.made_now
    }

    /// The organisation's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The first 16 bytes of the SHA-256 of the root certificate: what enrolment codes carry.
    #[must_use]
    pub fn root_fingerprint(&self) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&provider::sha256(&self.root().der)[..16]);
        short
    }

    pub(crate) fn set_keys_behind(&self, behind: bool) {
        self.locks.keys_behind.store(behind, Ordering::Relaxed);
    }

    /// One change of the keys at a time, at whatever hub on this store.
    pub(crate) fn keys_lock(&self) -> Result<(MutexGuard<'_, ()>, Held), Error> {
        let here = held(&self.locks.changing_keys);
        Ok((here, Held::wait(self.store.clone(), "changing its keys", STARTING_SECONDS)?))
    }

    pub(crate) fn set_routes_behind(&self, behind: bool) {
        self.locks.routes_behind.store(behind, Ordering::Relaxed);
    }

    pub(crate) fn publishing_lock(&self) -> MutexGuard<'_, ()> {
        held(&self.locks.publishing)
    }

    pub(crate) fn register_lock(&self) -> MutexGuard<'_, ()> {
        held(&self.locks.register)
    }

    /// Requests about one device are answered one after the other: the second finds what the first got, and nothing is
    /// issued while the device is being revoked.
    ///
    /// Other hubs on the same store do not see this lock; what they do meanwhile shows when a certificate is recorded,
    /// because the turn is over ([`crate::store::Issuances::turn_of`]).
    pub(crate) fn device_lock(&self, name: DeviceName) -> Option<MutexGuard<'_, ()>> {
        stripe(&self.locks.devices, DeviceId::of(&name, &AwsLc).as_bytes())
    }

    /// Requests with one key are answered one after the other: two devices do not get the same key's credential at once.
    /// Who holds a device's lock too has taken that one first.
    pub(crate) fn key_lock(&self, key: KeyId) -> Option<MutexGuard<'_, ()>> {
        stripe(&self.locks.keys, key.as_bytes())
    }

    pub(crate) fn line(&self) -> Line<'_> {
        Line { store: &*self.store, signer: &*self.signer, log: &self.log, room: &self.room }
    }

    /// Issues an operational credential for a device of the register, in this turn of it: read it before whatever speaks
    /// for issuing.
    pub(crate) fn issue_operational(
        &self,
        device: &Device,
        spki: &[u8],
        form: Form,
        parent: Option<CredentialId>,
        turn: Turn,
    ) -> Result<(CredentialId, Vec<u8>), Error> {
        let now = self.clock.now();
        self.ask_for_issuing_key()?;
        self.with_operational(device, spki, form, parent, |template| {
            let issued = issue::issue_in_turn(template, &self.issuing().issuer(), now, turn, &self.line());
            issued.inspect_err(|error| self.missed_key(error))
        })
    }

    /// Prepares what would be issued to the hub itself, and issues nothing: whatever is wrong with time, names or the issuing
    /// certificate shows before somebody needs a credential.
    pub(crate) fn rehearse(&self) -> Result<(), Error> {
        let Some(current) = self.hub.current() else { return Ok(()) };
        let name = self.settings.hub_name;
        let device = self.store.device(name)?.ok_or(Error::Unknown { what: "device", name: name.to_string() })?;
        let own = Certificate::read(current.own()).map_err(|error| Error::Lint(error.to_string()))?;
        let (now, issuing) = (self.clock.now(), self.issuing());
        let refused = |why: &str| Err(Error::Conflict(format!("{why}: look at the clock, it is {now}")));
        let above = Certificate::read(&issuing.der).map_err(|error| Error::Lint(error.to_string()))?;
        if now < above.not_before() {
            return refused("the issuing certificate begins in the future");
        }
        self.with_operational(&device, own.spki(), Form::X509, None, |template| {
            if template.not_before > now {
                return refused("what is issued would begin in the future");
            }
            issue::prepare(template, &issuing.issuer(), now).map(drop)
        })
    }

    /// Calls `then` with what an operational credential for a device of the register says, made now.
    fn with_operational<T>(
        &self,
        device: &Device,
        spki: &[u8],
        form: Form,
        parent: Option<CredentialId>,
        then: impl FnOnce(&Template<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now = self.clock.now();
        let rules = self.rules();
        let profile = &rules.profile;
        let limit = device.validity_seconds.and_then(|seconds| i64::try_from(seconds).ok()).unwrap_or(i64::MAX);
        let validity = profile.validity_seconds().min(limit);
        // Nodes renew after two thirds of a credential's life, which must not have begun long ago.
        let backdate = profile.backdate_seconds().min(validity / 10);
        let not_before = self.uncovered(now.plus_seconds(-backdate));
        let template = Template {
            form,
            purpose: Purpose::Operational,
            organization: &self.settings.name,
            device: Some(device),
            authority: None,
            maker_serial: None,
            spki,
            parent,
            not_before,
            not_after: now.plus_seconds(validity),
            addresses: rules.addresses.as_ref(),
            masa: None,
        };
        then(&template)
    }

    /// A maker's has one where sites ask it for vouchers.
    fn has_hub(&self) -> bool {
        self.settings.kind == Kind::Site || self.rules().masa.is_some()
    }

    /// The hub is a device like the others: its names come from the register, which has them from the configuration. One that stands
    /// still because of its clock shows what it has; what changed is in its credential when the clocks agree.
    fn ensure_hub(&self, config: &AuthorityConfig) -> Result<(), Error> {
        let wanted = entry_of_hub(self.settings.hub_name, config.hub_dns.clone(), config.hub_ips.clone())?;
        match self.store.device(wanted.name)? {
            None => self.store.add_device(wanted, self.clock.now())?,
            Some(held) if held != wanted => self.store.replace_device(held, wanted)?,
            Some(_) => {}
        }
        if self.hub.current().is_none() || self.clocks_agree().is_ok() { self.renew_hub() } else { Ok(()) }
    }

    /// Renews the hub's credential when two thirds of its life are over, when it is by a former key (one that was asked for
    /// before the keys changed may have come after), when it begins in the future, because the clock was ahead, when it has other
    /// addresses than the register, or when the store does not know it, because it was brought back from before: no log that is served
    /// has such a one.
    fn renew_hub(&self) -> Result<(), Error> {
        let Some(current) = self.hub.current() else { return self.issue_hub() };
        let (from, until) = current.validity();
        let due = from.plus_seconds(until.seconds_since(from) / 3 * 2);
        let now = self.clock.now();
        let unknown = || Ok::<_, Error>(self.store.issued(current.credential())?.is_none());
        let moved = || {
            let own = Certificate::read(current.own()).map_err(|error| Error::Lint(error.to_string()))?;
            let names: Vec<_> = own.extensions().subject_alt_names().collect();
            let entry = self.store.device(self.settings.hub_name)?;
            Ok::<_, Error>(entry.is_some_and(|entry| !issue::has_addresses(&names, &entry.dns, &entry.ips)))
        };
        let is_due = now >= due || from > now || self.hub_is_behind() || moved()? || unknown()?;
        if is_due { self.issue_hub() } else { Ok(()) }
    }

    pub(crate) fn issue_hub(&self) -> Result<(), Error> {
        let node = |error: medlock_node::Error| Error::Conflict(error.to_string());
        // Who changes the keys and the tick that sees them changed both want one.
        let _one_at_a_time = held(&self.locks.issuing_hub);
        let name = self.settings.hub_name;
        let device = self.store.device(name)?.ok_or(Error::Unknown { what: "device", name: name.to_string() })?;
        let key = self.hub.next_key().map_err(node)?;
        let turn = self.store.turn_of(name, KeyId::of(&[key.spki()], &AwsLc))?;
        let parent = self.hub.current().map(|current| current.credential());
        let (_, certificate) = self.issue_operational(&device, key.spki(), Form::X509, parent, turn)?;
        let chain: Vec<_> = self.chain(certificate).into_iter().map(Into::into).collect();
        self.hub.adopt(chain).map_err(node)?;
        Ok(())
    }

    /// A certificate with the authority's behind it: roots too, so that somebody who knows only the fingerprint of one can
    /// check the chain, or one whose place another has taken.
    pub(crate) fn chain(&self, certificate: Vec<u8>) -> Vec<Vec<u8>> {
        let keys = self.held_keys();
        let issuing = keys.issuer_of(&certificate).or_else(|| keys.current_key());
        let above = issuing.map(|issuing| (issuing.certificate.der.clone(), keys.way_up(issuing, MAX_CHAIN - 2)));
        let (issuing, way) = above.unwrap_or_default();
        [vec![certificate, issuing], way].concat()
    }
}

/// The entry that a hub of this name makes of itself.
fn entry_of_hub(name: DeviceName, dns: Vec<String>, ips: Vec<IpAddr>) -> Result<Device, Error> {
    let (owner, roles) = ("medlock".to_owned(), vec!["hub".to_owned()]);
    Device::try_from(DeviceConfig { name: name.to_string(), owner, roles, dns, ips, ..DeviceConfig::default() })
}

fn stripe<'a>(stripes: &'a [Mutex<()>], of: &[u8; 16]) -> Option<MutexGuard<'a, ()>> {
    let [high, low, ..] = *of;
    stripes.get(usize::from(u16::from_be_bytes([high, low])) % STRIPES).map(held)
}

/// What one hub at a time does on a store that several share: it holds this while it does it.
pub(crate) struct Held {
    store: Arc<dyn Store>,
    what: &'static str,
    holder: [u8; 16],
}

impl Held {
    /// What hubs that start do one after the other.
    pub(crate) const STARTING: &str = "starting";

    /// Waits until this hub may, twice as long as another may take.
    pub(crate) fn wait(store: Arc<dyn Store>, what: &'static str, seconds: u32) -> Result<Self, Error> {
        let holder = provider::random();
        // Twice a second.
        for _ in 0..seconds.saturating_mul(4) {
            if store.hold(what, holder, seconds)? {
                return Ok(Self { store, what, holder });
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        Err(Error::Conflict(format!("another hub on the same store has been {what} for long: look what keeps it")))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // What is not given back lapses.
        let _ = self.store.let_go(self.what, self.holder);
    }
}

pub(crate) fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
