//! What the authority publishes: made, stored, believed by its own hub, and then announced.

mod status;
mod steps;

use crate::ahead::issued_behind;
use crate::objects::{Kind as ObjectKind, Object};
use crate::rotation::Asking;
use crate::status::sign1;
use crate::store::{Published, StoreError};
use crate::taken_over::signer_of;
use crate::trust_list;
use crate::{Authority, Error, registry};
use medlock_node::lists::fork::Fork;
use medlock_node::provider::sha256;
use medlock_node::routes::{Machine, RoutingTable};
use medlock_trust::cose::{ContentType, Place, Sign1};
use medlock_trust::list::List;
use medlock_trust::policy::{Draft, Policy};
use medlock_trust::{KeyId, Time};
use std::sync::atomic::Ordering;

/// The setting that keeps whose trust list is believed: the threshold, and the members' keys.
const ALLIANCE: &str = "alliance";
/// Numbers count seconds, so that none as high as this is of any clock: who has a key that signs has made it, and whoever goes on
/// behind it comes to an end of numbers.
const HIGHEST: u64 = 1 << 62;

impl Authority {
    /// Raises an alarm where the act itself must go on.
    pub(crate) fn try_alarm(&self, kind: &str, text: String) {
        if let Err(error) = self.alarm(kind, None, text) {
            tracing::error!(%error, kind, "an alarm could not be raised");
        }
    }

    /// An object that could not be published: the authority works on, and [`Authority::tick`] tries again.
    fn not_published(&self, what: &str, error: &Error) {
        self.try_alarm("not-published", format!("the {what} could not be published, it is tried again: {error}"));
    }

    /// Signs and gives out the routing table made from the register, if it says something else than the one before.
    ///
    /// # Errors
    /// [`Error`]; [`Authority::tick`] tries again.
    pub fn publish_routes(&self) -> Result<(), Error> {
        let published = self.make_routes(false);
        self.set_routes_behind(published.is_err());
        published
    }

    pub(crate) fn make_routes(&self, anew: bool) -> Result<(), Error> {
        let _one_at_a_time = self.publishing_lock();
        loop {
            match self.try_routes(anew) {
                // Another hub was faster, perhaps with an older register: what is there now is compared again.
                Err(Error::Store(StoreError::Taken { .. })) => {}
                other => return other,
            }
        }
    }

    fn try_routes(&self, anew: bool) -> Result<(), Error> {
        let what = "routing table";
        let failed = |why: String| Error::Object { what, why };
        let kind = ObjectKind::Routes;
        // The register is read behind it: so a table made of an older register is never put before it.
        let before = self.store.published(kind.name())?;
        let machines = self.machines()?;
        if let Some(before) = &before
            && !anew
        {
            let told = Sign1::read(&before.bytes).map(|signed| RoutingTable::decode(signed.payload()));
            if matches!(told, Ok(Ok(table)) if table.machines == machines) {
                // Stored is not told: the step behind may have failed the last time.
                return self.tell(kind, before.version, before.bytes.clone());
            }
        }
        let now = self.time_to_state();
        // At least the seconds of now: a hub that was restored from a backup is ahead of what it had given out.
        // Where status lists were numbered by a clock that was ahead, so were tables, of which nobody reminds it.
        let before = before.map(|before| before.version);
        let told = self.store.epoch()?.max(self.heard_routes());
        let version = (before.unwrap_or(0) + 1).max(self.behind(told).unix().try_into().unwrap_or(0));
        let table = RoutingTable::new(version, now, machines).map_err(|error| failed(error.to_string()))?;
        let payload = table.encode().map_err(|error| failed(error.to_string()))?;
        let place = Place::Header(ContentType::ROUTES);
        let bytes = sign1(&*self.signer, &self.issuing(), &payload, place, what)?;
        self.store.publish_after(kind.name(), Published { version, at: now, bytes: bytes.clone() }, before)?;
        self.tell(kind, version, bytes)
    }

    /// The machines of the register that have a protocol name or an address, as the routing table has them.
    pub(crate) fn machines(&self) -> Result<Vec<Machine>, Error> {
        let mut machines: Vec<Machine> = self
            .store
            .devices_with_routes()?
            .into_iter()
            .map(|device| {
                let mut ae_titles = device.ae_titles;
                ae_titles.sort();
                Machine { device: device.name, ae_titles, address: device.sidecar }
            })
            .collect();
        machines.sort_by_key(|machine| machine.device);
        Ok(machines)
    }

    /// Takes an alliance's trust list over; see [`trust_list::verify_alliance`].
    ///
    /// # Errors
    /// [`Error`].
    pub fn import_trust_list(&self, bytes: &[u8], members: &[KeyId], threshold: usize) -> Result<u64, Error> {
        let _one_at_a_time = self.publishing_lock();
        let kind = ObjectKind::TrustList;
        let before = self.store.published(kind.name())?;
        let held = before.as_ref().map(|held| held.bytes.as_slice());
        self.watch_for_a_fork(held, bytes)?;
        let version = trust_list::verify_alliance(bytes, held, members, threshold, self.clock.interval())?;
        self.watch_what_it_follows(held, bytes)?;
        match held {
            Some(held) => self.keep_step(held, bytes)?,
            None => self.pin_alliance(members, threshold)?,
        }
        self.publish(kind, Published { version, at: self.clock.now(), bytes: bytes.to_vec() })?;
        if held.is_none() {
            let keys: Vec<String> = members.iter().map(ToString::to_string).collect();
            match self.store.set_once(ALLIANCE, &format!("{threshold} {}", keys.join(" "))) {
                // An import that was interrupted before has left the same.
                Ok(()) | Err(StoreError::Taken { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.tell_suspensions()?;
        Ok(version)
    }

    /// Raises an alarm where two lists have one version and somebody signed both, and refuses the second.
    fn watch_for_a_fork(&self, held: Option<&[u8]>, given: &[u8]) -> Result<(), Error> {
        let fork = held.and_then(|held| Fork::of(held, given)).filter(|fork| !fork.signed_both.is_empty());
        let Some(fork) = fork else { return Ok(()) };
        self.alarm_about("trust-list-fork", None, version_of(given), fork.sentence())?;
        Err(Error::Object { what: "trust list", why: fork.sentence() })
    }

    /// Raises an alarm if a list that was believed names another than the one held as the one before it.
    fn watch_what_it_follows(&self, held: Option<&[u8]>, given: &[u8]) -> Result<(), Error> {
        let Some(held) = held else { return Ok(()) };
        let (Ok(old), Ok(new)) = (List::danger_open(held), List::danger_open(given)) else { return Ok(()) };
        let (before, after) = (old.heading(), new.heading());
        let follows = before.recovery_epoch == after.recovery_epoch && before.version + 1 == after.version;
        if follows && after.previous != Some(sha256(old.payload())) {
            let text = format!(
                "version {} of the trust list names another list than version {}, which is held, as the one before it:                  somebody may have been given another one; compare them with `medlock trust-list diff`",
                after.version, before.version
            );
            return self.alarm_about("trust-list-fork", None, version_of(given), text);
        }
        Ok(())
    }

    /// Stores and gives out what was brought to this hub itself, at the door that is open to whoever carries something: its knowledge
    /// has believed it, and nobody else has heard of it. The next list is taken as a successor of that one.
    ///
    /// # Errors
    /// [`Error`]; [`Authority::tick`] tries again.
    pub(crate) fn publish_what_was_brought(&self) -> Result<(), Error> {
        for kind in [ObjectKind::TrustList, ObjectKind::Suspensions] {
            let is_told = || self.knowledge().version(kind) <= self.news.current(kind).map(|told| told.version);
            if is_told() {
                continue;
            }
            // Who imports one just now gives it out himself.
            let _one_at_a_time = self.publishing_lock();
            let list = self.store.published(ObjectKind::TrustList.name())?.map(|list| list.bytes);
            match self.heard_beyond(kind)? {
                // A first one is imported with the alliance's members, by a person.
                _ if is_told() || list.is_none() => {}
                Some(heard) => {
                    if let (ObjectKind::TrustList, Some(list)) = (kind, &list) {
                        self.watch_what_it_follows(Some(list), &heard.bytes)?;
                        self.keep_step(list, &heard.bytes)?;
                    }
                    self.publish(kind, heard)?;
                }
                None => self.hear_of(kind)?,
            }
        }
        Ok(())
    }

    /// Takes an emergency suspension of the alliance's members over, and gives it out.
    ///
    /// # Errors
    /// [`Error::Object`] if it is not believed.
    pub fn import_suspension(&self, bytes: &[u8]) -> Result<(), Error> {
        let _one_at_a_time = self.publishing_lock();
        let kind = ObjectKind::Suspensions;
        // Our own knowledge judges it, beside those it holds and those that the store has kept, maybe of another hub; what it then
        // holds is given out.
        if let Err(error) = self.hear_of(kind) {
            tracing::warn!(%error, "what the store has kept of suspensions was not heard");
        }
        let refused =
            |error: medlock_node::knowledge::Refused| Error::Object { what: "suspension", why: error.to_string() };
        self.knowledge().accept(kind, bytes).map_err(refused)?;
        let (Some(all), Some(version)) = (self.knowledge().object(kind), self.knowledge().version(kind)) else {
            return Err(Error::Object { what: "suspension", why: "it was not kept".to_owned() });
        };
        if self.store.published(kind.name())?.is_none_or(|held| held.version < version) {
            self.store.publish(kind.name(), Published { version, at: self.clock.now(), bytes: all.to_vec() })?;
        }
        self.tell(kind, version, all.to_vec())?;
        self.tell_suspensions()
    }

    /// Suspensions that are over are told to nobody, and few members cannot repeat them for a while: a hub with another folder,
    /// or with that of a store that was brought back, has them from the store.
    fn remember_suspensions(&self) -> Result<(), Error> {
        let kind = ObjectKind::Suspensions;
        let Some(held) = self.store.published(kind.name())? else { return Ok(()) };
        self.knowledge()
            .remember_suspensions(&held.bytes)
            .map_err(|error| Error::Object { what: kind.name(), why: error.to_string() })
    }

    fn pin_alliance(&self, members: &[KeyId], threshold: usize) -> Result<(), Error> {
        let threshold = u8::try_from(threshold).unwrap_or(u8::MAX);
        self.knowledge()
            .pin_alliance(members, threshold)
            .map_err(|error| Error::Object { what: "trust list", why: error.to_string() })
    }

    /// The hub's knowledge can be made anew from the store, so it needs the members it once was told.
    fn pin_remembered_alliance(&self) -> Result<(), Error> {
        let Some(text) = self.store.setting(ALLIANCE)? else { return Ok(()) };
        let mut words = text.split(' ');
        let threshold = words.next().and_then(|word| word.parse().ok()).unwrap_or(0);
        let members = words.map(|word| registry::key_id(word).map(KeyId::from_bytes)).collect::<Result<Vec<_>, _>>()?;
        if self.knowledge().version(ObjectKind::TrustList).is_some() {
            return Ok(());
        }
        self.pin_alliance(&members, threshold)
    }

    /// Stores, believes and announces an object, in this order; the one of another hub that was faster instead.
    pub(crate) fn publish(&self, kind: ObjectKind, object: Published) -> Result<(), Error> {
        let (version, bytes) = (object.version, object.bytes.clone());
        match self.store.publish(kind.name(), object) {
            Err(StoreError::Taken { .. }) if self.store.is_shared() => self.hear_of(kind),
            Err(error) => Err(error.into()),
            Ok(()) => self.tell(kind, version, bytes),
        }
    }

    /// Believes and announces what other hubs on the same store have published.
    ///
    /// # Errors
    /// [`Error`]; the next call tries again.
    pub fn hear(&self) -> Result<(), Error> {
        if !self.store.is_shared() {
            return Ok(());
        }
        let versions = self.store.versions()?;
        let changed = self.keys().is_behind(&versions) && self.read_keys()?;
        self.hear_of_root_crl(&versions)?;
        if self.settings.kind == crate::settings::Kind::Maker {
            return if changed { self.follow_keys() } else { Ok(()) };
        }
        let version = |kind: ObjectKind| versions.iter().find(|(name, _)| name == kind.name()).map(|(_, it)| *it);
        // In the order in which they can be believed; what is not believed keeps back nothing else.
        let mut heard = Ok(());
        for kind in ObjectKind::ALL {
            let told = self.news.current(kind).map(|object| object.version);
            let overtaken = kind == ObjectKind::RevokedDelta && version(kind) < version(ObjectKind::RevokedSet);
            if told < version(kind)
                && !overtaken
                && let Err(error) = self.hear_of(kind)
            {
                tracing::warn!(%error, kind = kind.name(), "what another hub has published is not heard; it is tried again");
                heard = heard.and(Err(error));
            }
        }
        // This hub has a credential of its own that the former key has issued.
        heard.and(if changed { self.follow_keys() } else { Ok(()) })
    }

    fn hear_of(&self, kind: ObjectKind) -> Result<(), Error> {
        match kind {
            ObjectKind::TrustList => self.pin_remembered_alliance()?,
            ObjectKind::Suspensions => self.remember_suspensions()?,
            ObjectKind::RevokedSet => self.news.withdraw(ObjectKind::RevokedDelta),
            _ => {}
        }
        match self.store.published(kind.name())? {
            Some(object) if self.is_current(kind, &object.bytes)? => self.tell(kind, object.version, object.bytes),
            Some(_) | None => Ok(()),
        }
    }

    pub(crate) fn tell(&self, kind: ObjectKind, version: u64, bytes: Vec<u8>) -> Result<(), Error> {
        if kind == ObjectKind::SiteList {
            self.catch_up(version);
        }
        self.knowledge().accept(kind, &bytes).map_err(|error| Error::Object {
            what: kind.name(),
            why: format!("the store has one that this hub does not believe: {error}"),
        })?;
        self.news.announce(kind, Object { version, bytes: bytes.into() });
        Ok(())
    }

    /// Believes the site lists at which one root took the place of another, up to this version: a hub whose folder is new knows the
    /// first root alone, and one that was off may know none of those that sign today.
    fn catch_up(&self, version: u64) {
        let mut known = self.knowledge().version(ObjectKind::SiteList).unwrap_or(0);
        while let Some(list) = self.missed_site_list(known) {
            let Some(next) = List::danger_open(&list).ok().map(|list| list.heading().version) else { return };
            if next >= version {
                return;
            }
            if let Err(error) = self.knowledge().accept(ObjectKind::SiteList, &list) {
                // A later one may name a root that is known.
                tracing::info!(%error, version = next, "a site list between is not taken");
            }
            known = next;
        }
    }

    /// Makes what is not there yet, unless this hub stands still because of its clock, and gives out what is.
    pub(crate) fn ensure_objects(&self) -> Result<(), Error> {
        let stands_still = self.clocks_agree().is_err();
        if !stands_still {
            self.ensure_site_list()?;
        }
        self.pin_remembered_alliance()?;
        for kind in ObjectKind::ALL {
            if kind == ObjectKind::Suspensions
                && let Err(error) = self.remember_suspensions()
            {
                self.not_published(kind.name(), &error);
            }
            if let Some(held) = self.store.published(kind.name())?
                && self.knowledge().version(kind).is_none_or(|heard| heard <= held.version)
                && !self.is_of_stolen_key(&held.bytes)
                && self.is_current(kind, &held.bytes)?
            {
                // Without the site list nobody can be judged; the others can be missing for a while.
                match self.tell(kind, held.version, held.bytes) {
                    Err(error) if kind == ObjectKind::SiteList => return Err(error),
                    // Both are made anew below. A store that was brought back has older ones than this hub has heard.
                    Err(error) if matches!(kind, ObjectKind::Status | ObjectKind::Routes) => {
                        tracing::info!(%error, kind = kind.name(), "what was published last is not given out again");
                    }
                    Err(error) => self.not_published(kind.name(), &error),
                    Ok(()) => {}
                }
            }
        }
        if stands_still {
            // The tick calls this again when the clocks agree.
            self.locks.objects_behind.store(true, Ordering::Relaxed);
            return Ok(());
        }
        if self.store.published(ObjectKind::Policy.name())?.is_none() {
            self.publish_default_policy()?;
        }
        // A hub that was restored from a backup does not know it: what it says first must be later than whatever its
        // devices have heard meanwhile.
        self.store.next_epoch(self.behind(self.heard_epoch()))?;
        if let Err(error) = self.publish_status() {
            self.not_published("status list", &error);
        }
        let routes = self.make_routes(true);
        self.set_routes_behind(routes.is_err());
        if let Err(error) = routes {
            self.not_published("routing table", &error);
        }
        self.locks.objects_behind.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// The version of the routing table that this hub has heard, if the key that signed it still signs.
    fn heard_routes(&self) -> u64 {
        let (held, routes) = (self.knowledge().object(ObjectKind::Routes), self.knowledge().routes());
        let signed = held.and_then(|held| signer_of(&held)).is_some_and(|key| self.spoke(key, routes.issued));
        if signed { routes.version } else { 0 }
    }

    /// The present, in seconds as numbers of what is published; or one more than `heard`, which a key of ours has signed. That
    /// may be far ahead, where a clock was: who has heard it takes nothing before it. Only what is higher than any clock is not
    /// followed, and people are told.
    pub(crate) fn behind(&self, heard: u64) -> Time {
        let now = self.time_to_state();
        let next =
            i64::try_from(heard).ok().filter(|_| heard < HIGHEST).map(|heard| Time::from_unix(heard.saturating_add(1)));
        if next.is_none() {
            let text = format!(
                "a key that signs for this site has signed a status list or routing table with the number {heard}, which no clock \
                 gives: it is in wrong hands. Whoever holds that takes nothing newer from this site, until the key is withdrawn: \
                 `medlock authority keys` has the keys, `medlock authority compromised KEY` withdraws one"
            );
            self.try_alarm("number-too-high", text);
        }
        next.map_or(now, |next| next.max(now))
    }

    /// Signs the site list if there is none, or if the one there does not say what the authority's keys may sign; that
    /// needs the root, which may lie in a safe: then the old list stays.
    fn ensure_site_list(&self) -> Result<(), Error> {
        let held = self.store.published(ObjectKind::SiteList.name())?;
        let keys = self.keys();
        let complete =
            |list: &Published| List::danger_open(&list.bytes).is_ok_and(|list| trust_list::is_complete(&list, &keys));
        if held.as_ref().is_some_and(complete) {
            return Ok(());
        }
        let (settings, root, line, now) = (&self.settings, self.newest_root(), self.line(), self.clock.now());
        let rules = self.rules();
        let (of, before) = (Some(&*keys), held.as_ref());
        let asking = Asking { settings, rules: &rules, root: &root, keys: of, held: before, line, now, vouches: None };
        match trust_list::sign_site_list(&asking.site_list(&keys)?, &[&root], &*self.signer) {
            Ok(bytes) => {
                let version = held.map_or(0, |held| held.version) + 1;
                Ok(self.store.publish(ObjectKind::SiteList.name(), Published { version, at: now, bytes })?)
            }
            Err(error) if held.is_some() => {
                tracing::warn!(%error, "the site list stays as it was, and does not say what all keys of today may sign");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn publish_default_policy(&self) -> Result<(), Error> {
        let mut draft = Draft::default();
        draft.version = 1;
        self.publish_policy(draft)
    }

    /// Signs the policy that is in force with the key that issues, as a later version that says the same.
    pub(crate) fn sign_policy_anew(&self) -> Result<(), Error> {
        let _one_at_a_time = self.publishing_lock();
        let Some(held) = self.store.published(ObjectKind::Policy.name())? else { return Ok(()) };
        let policy = Sign1::read(&held.bytes).map_err(|error| error.to_string());
        let policy = policy.and_then(|_| Policy::danger_open(&held.bytes).map_err(|error| error.to_string()));
        let policy = policy.map_err(|why| Error::Object { what: "policy", why })?;
        let mut draft = *policy.draft();
        // Also later than whatever a store told that was lost since.
        draft.version = self.behind(held.version.max(self.heard_policy())).unix().unsigned_abs();
        self.publish_policy(draft)
    }

    fn publish_policy(&self, mut draft: Draft) -> Result<(), Error> {
        let what = "policy";
        let failed = |why: String| Error::Object { what, why };
        let now = self.time_to_state();
        draft.issued = issued_behind([draft.issued], now);
        let version = draft.version;
        let policy = Policy::new(draft).map_err(|error| failed(error.to_string()))?;
        let mut payload = Vec::new();
        match policy.encode(crate::bytes::Sink(&mut payload)) {
            Ok(()) => {}
            Err(never) => match never {},
        }
        let place = Place::Header(ContentType::POLICY);
        let bytes = sign1(&*self.signer, &self.issuing(), &payload, place, what)?;
        self.publish(ObjectKind::Policy, Published { version, at: now, bytes })
    }
}

/// Of which list an alarm tells: two alarms about one version are about one fork.
fn version_of(list: &[u8]) -> String {
    let version = |list: List<'_>| format!("{} {}", list.heading().recovery_epoch, list.heading().version);
    List::danger_open(list).map(version).unwrap_or_default()
}
