//! Changes of the authority's issuing keys and roots: a new one, the end of a former one, and one that was stolen.
//!
//! Each change is the same: a request to the root, its answer, and the new state of things in an order in which every step
//! can be the last one before a crash, because the same answer is accepted again. It is kept before the first step, and the
//! next start goes on with it:
//!
//! 1. the new key's certificate, and those of a new root, are recorded and logged;
//! 2. the site list names the new key, and not the stolen one: whatever is signed from now on finds a believer;
//! 3. the root's revocation list has the stolen key's certificate;
//! 4. the list of keys says who issues;
//! 5. what the old key had signed for the site is signed anew, and the signer refuses a key that signs no more
//!    ([`Authority::follow_keys`]).

use crate::ahead::is_ahead;
use crate::issue::{self, Line};
use crate::keys::{AuthorityCertificate, KeyList, KeyState};
use crate::objects::Kind as ObjectKind;
use crate::restored::{answer_of, free_label};
use crate::root_crl::{self, RootCrl};
use crate::root_request::{KeyChange, NewRoot, RootAnswer, RootRequest};
use crate::settings::{Kind, Rules, Settings};
use crate::signer::{KeyLabel, KeyRole};
use crate::store::{Issued, Published, Purpose, Standing, StandingChange, StandingState, StoreError, Subject};
use crate::trust_list::{self, SiteList, SiteRoots};
use crate::{Authority, Error, status};
use medlock_node::files;
use medlock_trust::cose::Sign1;
use medlock_trust::list::List;
use medlock_trust::status::{RevokedSet, StatusList};
use medlock_trust::x509::Certificate;
use medlock_trust::{KeyId, Time};
use std::sync::Arc;

mod hanging;

/// What an answer of the root is called among the published objects, until what it is about is done.
const ANSWER: &str = "root-answer";

/// From what a request to the root is made.
pub(crate) struct Asking<'a> {
    pub(crate) settings: &'a Settings,
    pub(crate) rules: &'a Rules,
    pub(crate) root: &'a AuthorityCertificate,
    /// The list that is changed; `None` where the authority has no issuing key yet.
    pub(crate) keys: Option<&'a KeyList>,
    /// The site list that is held.
    pub(crate) held: Option<&'a Published>,
    pub(crate) line: Line<'a>,
    pub(crate) now: Time,
    /// Until when what is below a root counts that is to retire.
    pub(crate) vouches: Option<Time>,
}

impl Asking<'_> {
    /// The request, signed by the key that asks.
    pub(crate) fn request(&self, change: KeyChange) -> Result<Vec<u8>, Error> {
        let replaces = self.keys.is_none_or(|keys| needs_another(keys, change));
        let new = if replaces { Some(self.new_key()?) } else { None };
        let (key, spki, certificate) = match (&new, self.keys.and_then(KeyList::current)) {
            (Some((certificate, tbs)), _) => (certificate.label, certificate.spki.clone(), Some(tbs.clone())),
            (None, Some(current)) => (current.label, current.spki.clone(), None),
            (None, None) => return Err(Error::Conflict("the authority has no issuing key".to_owned())),
        };
        let new = new.map(|(certificate, _)| certificate);
        let keys = match self.keys {
            Some(keys) => changed(keys, change, new, (self.now, self.vouches)),
            None => KeyList::of(self.root.clone(), new),
        };
        let list = match self.settings.kind {
            Kind::Site if change != KeyChange::RootCrl => Some(self.site_list(&keys)?),
            Kind::Site | Kind::Maker => None,
        };
        if self.settings.kind == Kind::Maker && matches!(change, KeyChange::Retire(_)) {
            return Err(Error::Conflict(format!(
                "a maker's root has nothing to sign for this: `medlock authority {change}` does it"
            )));
        }
        // With whatever it is asked, so that one that is offline is asked seldom for this alone.
        let at_hand = self.line.signer.public_key(self.root.label)?.is_some();
        let certifies = self.keys.and_then(KeyList::newest_root).is_none_or(|newest| newest.key == self.root.key);
        let held = self.line.store.published(if certifies { root_crl::KIND } else { root_crl::FORMER_KIND })?;
        let crl = RootCrl::of(self.root, Some(&keys), held.as_ref(), self.now, at_hand);
        RootRequest {
            name: self.settings.name.clone(),
            change,
            base: self.keys.map_or(0, |keys| keys.version),
            root: self.root.key,
            key,
            spki,
            certificate,
            list,
            crl: Some(crl.to_be_signed()),
        }
        .sign(self.line.signer)
    }

    /// The next key, and what is to be signed for it. A key that an unfinished change has left is used.
    fn new_key(&self) -> Result<(AuthorityCertificate, Vec<u8>), Error> {
        let label = free_label(self.line.store, self.line.signer, self.keys)?;
        let spki = self.line.signer.generate(label, self.rules.algorithm)?;
        let template = crate::authority::authority_template(self.settings, self.rules, label, &spki, self.now);
        let approved = issue::prepare(&template, &self.root.issuer(), self.now)?;
        let tbs = approved.to_be_signed().to_vec();
        let whole = crate::encode::signed(&tbs, &[0; 8]);
        Ok((AuthorityCertificate::read(label, whole)?, tbs))
    }

    /// The payload of the site list behind the one that is held.
    pub(crate) fn site_list(&self, keys: &KeyList) -> Result<Vec<u8>, Error> {
        let held = self.held.and_then(|held| List::danger_open(&held.bytes).ok());
        // A list that a clock far ahead has signed is believed by nobody whose clock is right: this one takes its place.
        // But a clock at which the root was not there yet is late itself.
        let began = Certificate::from_der(&self.root.der).map_or(self.now, |root| root.not_before());
        let (recovery_epoch, issued) = match held.as_ref().map(List::heading) {
            Some(before) if is_ahead(before.issued, self.now) && began <= self.now => {
                (before.recovery_epoch.saturating_add(1), self.now)
            }
            Some(before) => (before.recovery_epoch, before.issued.max(self.now)),
            None => (0, self.now),
        };
        let version = self.held.map_or(0, |held| held.version).saturating_add(1);
        let roots = SiteRoots::of(keys);
        let roots = roots.ok_or_else(|| Error::Conflict("the authority has no root".to_owned()))?;
        SiteList { name: &self.settings.name, recovery_epoch, version, issued, roots, keys }.encode()
    }
}

/// Whether a change makes a new key: when the one that issues is to go.
fn needs_another(keys: &KeyList, change: KeyChange) -> bool {
    match change {
        KeyChange::Rotate | KeyChange::Root => true,
        KeyChange::Retire(_) | KeyChange::RootCrl | KeyChange::Lost(_) => false,
        KeyChange::Compromised(label) => keys.key(label).is_some_and(|key| key.state == KeyState::Current),
    }
}

/// The list behind this one, after a change at this time. A root that takes another's place is not on it yet; one that
/// retires lets what is below it count until the other time.
fn changed(
    keys: &KeyList,
    change: KeyChange,
    new: Option<AuthorityCertificate>,
    (at, vouches): (Time, Option<Time>),
) -> KeyList {
    let keys = keys.changed(new, stands(change), at);
    match change {
        KeyChange::Retire(label) if label.role() == KeyRole::Root => keys.with_root_retired(label, at, vouches),
        _ => keys,
    }
}

/// Since when what a change ends has ended, by the site list that the root has signed for it.
fn ended(keys: &KeyList, change: KeyChange, list: &List<'_>) -> Option<(Time, Option<Time>)> {
    let KeyChange::Retire(label) = change else { return None };
    if let Some(root) = keys.roots().iter().find(|root| root.certificate.label == label) {
        return trust_list::retirement(list, root.certificate.key);
    }
    let key = keys.key(label)?.certificate.key;
    list.services().find(|service| service.key == key)?.until.map(|until| (until, None))
}

const fn stands(change: KeyChange) -> Option<(KeyLabel, KeyState)> {
    match change {
        KeyChange::Rotate | KeyChange::RootCrl | KeyChange::Root | KeyChange::Lost(_) => None,
        KeyChange::Retire(label) => Some((label, KeyState::Retired)),
        KeyChange::Compromised(label) => Some((label, KeyState::Compromised)),
    }
}

impl Authority {
    /// Makes a change of the issuing keys with a root that is at hand.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the keys do not stand so that it can be made; or, without `anyway`, when credentials hang on a
    /// key that is to retire, or the authority has never heard of one that is to be withdrawn; [`Error::Signer`], which
    /// says so when the root is offline.
    pub fn change_keys(&self, change: KeyChange, anyway: bool) -> Result<Arc<KeyList>, Error> {
        let _one_at_a_time = self.keys_lock()?;
        if let KeyChange::Compromised(label) = change
            && label.role() == KeyRole::Root
        {
            return Err(Error::Conflict(self.stolen_root(label)));
        }
        if let KeyChange::Lost(key) = change {
            return self.withdraw_lost(key, anyway);
        }
        if !self.asks_the_root(change) {
            self.may_change(change, anyway)?;
            return self.change_to(change, None, None, (self.clock.now(), None));
        }
        if self.signer.public_key(self.newest_root().label)?.is_none() {
            let asked = if change == KeyChange::Rotate { "issuing".to_owned() } else { change.to_string() };
            return Err(Error::Conflict(format!(
                "the root is offline: `medlock authority request {asked} --out FILE` writes what it is to sign, `medlock \
                 authority sign-request FILE` signs it where the root is, and `medlock authority accept ANSWER` brings it in"
            )));
        }
        let vouches = self.may_change(change, anyway)?;
        let request = self.asking(&self.newest_root(), vouches, |asking| asking.request(change))?;
        let answer = RootAnswer::make(&request, self.keys().roots(), &*self.signer)?;
        self.take_answer(&answer)
    }

    /// What the root is asked to sign for a change: a file for where the root is.
    ///
    /// # Errors
    /// As [`Authority::change_keys`].
    pub fn request_root(&self, change: KeyChange, anyway: bool) -> Result<Vec<u8>, Error> {
        let _one_at_a_time = self.keys_lock()?;
        let vouches = self.may_change(change, anyway)?;
        let root = if change == KeyChange::RootCrl { self.root_for_crl()? } else { self.newest_root() };
        self.asking(&root, vouches, |asking| asking.request(change))
    }

    /// Makes the change that an answer of the root is about.
    ///
    /// # Errors
    /// [`Error::Object`] when it is no answer of our root to a request of ours; [`Error::Conflict`] when the keys were
    /// changed since the request.
    pub fn accept_root(&self, answer: &[u8]) -> Result<Arc<KeyList>, Error> {
        let _one_at_a_time = self.keys_lock()?;
        let read = RootAnswer::read(answer, &self.keys().root_certificates())?;
        let request = &read.request;
        let ours = self.signer.public_key(request.key)?;
        if request.name != self.settings.name || ours.as_deref() != Some(&*request.spki) {
            let why = "it answers a request of another authority".to_owned();
            return Err(Error::Object { what: "answer of the root", why });
        }
        self.take_answer(answer)
    }

    /// Goes on with a change that was cut off. One that something else has overtaken is let lie.
    pub(crate) fn go_on_with_answer(&self) {
        let gone_on = || -> Result<(), Error> {
            let Some(kept) = self.store.published(ANSWER)? else { return Ok(()) };
            let keys = self.keys();
            let answer = RootAnswer::read(&kept.bytes, &keys.root_certificates())?;
            if answer.request.base == keys.version {
                let _one_at_a_time = self.keys_lock()?;
                tracing::info!(change = %answer.request.change, "a change of the authority's keys was cut off; it goes on");
                self.take_answer(&kept.bytes)?;
            }
            Ok(())
        };
        if let Err(error) = gone_on() {
            tracing::warn!(%error, "a change of the authority's keys was cut off, and does not go on");
        }
    }

    /// Keeps an answer for the next start; with a new root also beside what the hub has heard, for a store from a backup.
    fn keep_answer(&self, answer: &[u8], root: Option<KeyLabel>) -> Result<(), Error> {
        if let Some(root) = root {
            let kept = files::replace(&answer_of(&self.settings.dir, root), answer);
            kept.map_err(|error| Error::Conflict(error.to_string()))?;
        }
        let held = self.store.published(ANSWER)?;
        if held.as_ref().is_some_and(|held| held.bytes == answer) {
            return Ok(());
        }
        let version = held.map_or(0, |held| held.version).saturating_add(1);
        Ok(self.store.publish(ANSWER, Published { version, at: self.clock.now(), bytes: answer.to_vec() })?)
    }

    /// Whether a change needs the root. No list of a maker's own names its keys, so that only a new one does there.
    fn asks_the_root(&self, change: KeyChange) -> bool {
        self.settings.kind == Kind::Site || change == KeyChange::RootCrl || needs_another(&self.keys(), change)
    }

    /// The next of the site lists that are kept, behind this version: one for each root that took the place of another. Who
    /// knows none of the roots that sign today takes them before the newest.
    #[must_use]
    pub fn missed_site_list(&self, version: u64) -> Option<Vec<u8>> {
        self.keys().missed_list(version).map(<[u8]>::to_vec)
    }

    /// The issuing keys and the roots, and how each stands.
    #[must_use]
    pub fn keys(&self) -> Arc<KeyList> {
        self.held_keys()
    }

    fn asking<T>(
        &self,
        root: &AuthorityCertificate,
        vouches: Option<Time>,
        ask: impl FnOnce(&Asking<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let (keys, held) = (self.keys(), self.store.published(ObjectKind::SiteList.name())?);
        let (settings, line, now) = (&self.settings, self.line(), self.clock.now());
        let rules = self.rules();
        let (keys, held) = (Some(&*keys), held.as_ref());
        ask(&Asking { settings, rules: &rules, root, keys, held, line, now, vouches })
    }

    /// Whether the keys stand so that a change can be made. If it is that a root retires, says until when what is below that
    /// root counts.
    fn may_change(&self, change: KeyChange, anyway: bool) -> Result<Option<Time>, Error> {
        // Also of a stolen key: the next one, and this hub's credential by it, would be of another time.
        self.clocks_agree()?;
        self.read_keys()?;
        let keys = self.keys();
        let state = |label: KeyLabel| {
            let root = || keys.roots().iter().find(|root| root.certificate.label == label).map(|root| root.state);
            let unknown = || Error::Unknown { what: "key of this authority", name: label.to_string() };
            keys.key(label).map(|key| key.state).or_else(root).ok_or_else(unknown)
        };
        match change {
            KeyChange::Rotate | KeyChange::RootCrl => Ok(None),
            KeyChange::Lost(key) => Err(Error::Conflict(format!(
                "no root is asked to withdraw a key that the store does not know: `medlock authority compromised {key}`"
            ))),
            KeyChange::Root => match keys.former_root() {
                None => Ok(None),
                Some(former) => Err(Error::Conflict(format!(
                    "{} is not retired yet: `medlock authority retire {}`, when nothing hangs on it any more",
                    former.label, former.label
                ))),
            },
            KeyChange::Compromised(label) if label.role() == KeyRole::Root => {
                Err(Error::Conflict(self.stolen_root(label)))
            }
            KeyChange::Compromised(label) => match state(label)? {
                KeyState::Compromised => Err(Error::Conflict(format!("{label} is compromised already"))),
                KeyState::Current | KeyState::Former | KeyState::Retired => Ok(None),
            },
            KeyChange::Retire(label) => match (state(label)?, label.role()) {
                (KeyState::Current, role) => Err(Error::Conflict(format!(
                    "{label} is the key that {}: `medlock authority rotate {role}` makes another one first",
                    if role == KeyRole::Root { "certifies" } else { "issues" }
                ))),
                (KeyState::Retired | KeyState::Compromised, _) => {
                    Err(Error::Conflict(format!("{label} signs nothing any more already")))
                }
                (KeyState::Former, KeyRole::Root) => self.may_retire_root(label, anyway),
                (KeyState::Former, _) if anyway => Ok(None),
                (KeyState::Former, _) => self.nothing_hangs_on(label, &[label]).map(|()| None),
            },
        }
    }

    /// Withdraws a key that went with a lost store: the status list names it, whoever holds it. That cannot be taken back, so
    /// that one of which nobody has heard is withdrawn only where people mean it.
    fn withdraw_lost(&self, key: KeyId, anyway: bool) -> Result<Arc<KeyList>, Error> {
        self.read_keys()?;
        let (keys, now, subject) = (self.keys(), self.clock.now(), Subject::Issuer(key));
        if let Some(known) = keys.iter().find(|known| known.certificate.key == key) {
            let label = known.certificate.label;
            return Err(Error::Conflict(format!("the key {key} is {label}: `medlock authority compromised {label}`")));
        }
        // By its identifier as by its label: withdrawn, it would take all that it ever vouched for with it, for good.
        if let Some(root) = self.roots().iter().find(|root| root.key == key) {
            return Err(Error::Conflict(self.stolen_root(root.label)));
        }
        if self.settings.kind == Kind::Maker {
            return Err(Error::Conflict(format!(
                "the store does not know the key {key}, and a maker publishes no status list: have the members of every \
                 alliance that lists this maker set a cut-off at the size that the log had when the key was lost"
            )));
        }
        if self.store.standing(subject)?.is_some_and(|known| known.state == StandingState::Compromised) {
            return Err(Error::Conflict(format!("the key {key} is compromised already")));
        }
        if !anyway && !self.was_lost(key)? {
            let known: Vec<String> =
                keys.iter().map(|key| format!("{} ({})", key.certificate.label, key.certificate.key)).collect();
            return Err(Error::Conflict(format!(
                "this authority has never heard of the key {key}; there are {}. Nothing was withdrawn. If it is one that was lost, give \
                 --anyway: that cannot be taken back",
                known.join(", ")
            )));
        }
        let (state, reason) = (Some(StandingState::Compromised), "key-compromise".to_owned());
        self.store.change_standings(vec![StandingChange { subject, state, reason, at: now }], now)?;
        tracing::warn!(%key, "a key that the store does not know was withdrawn");
        self.unhear(key)?;
        self.publish_status()?;
        Ok(keys)
    }

    /// What people are told who say that a root was stolen. It cannot revoke itself, and whoever has it can sign whatever the
    /// site could.
    fn stolen_root(&self, label: KeyLabel) -> String {
        let what = match self.settings.kind {
            Kind::Site => {
                "make a new site (`medlock up` with another `dir`, another database, and another token where the keys are in \
                 one), and enrol its devices there with codes or vouchers; tell everybody who has pinned this root, and have the \
                 members of the alliances that name it call it compromised in their lists (`medlock trust-list draft`, then `state = \"compromised\"`)"
            }
            Kind::Maker => {
                "have the members of every alliance that lists this maker call it compromised, with a cut-off at the size \
                 that the log had before the theft (docs/trust-lists.md); then make a new maker's authority in a new \
                 folder, with a token of its own where the keys are in one"
            }
        };
        format!(
            "{label} is a root, and no root can withdraw itself: whoever has it can certify keys and sign site lists that are \
             believed as yours are, and a list of yours does not stop that. Stop the hub; {what}. If it is lost and not stolen, \
             or you only fear it, `medlock authority rotate root` is enough"
        )
    }

    fn take_answer(&self, bytes: &[u8]) -> Result<Arc<KeyList>, Error> {
        self.read_keys()?;
        let (now, before) = (self.clock.now(), self.keys());
        let answer = RootAnswer::read(bytes, &before.root_certificates())?;
        let request = &answer.request;
        if request.base != before.version {
            return Err(Error::Conflict(format!(
                "the authority's keys were changed since this was asked (version {} then, {} now): ask again",
                request.base, before.version
            )));
        }
        // What the root has signed may be what somebody else asked with the key that issues.
        request.check_for(before.roots())?;
        let list = answer.list.as_deref().map(List::danger_open).transpose();
        let list = list.map_err(|error| Error::Object { what: "site list", why: error.to_string() })?;
        let at = list.and_then(|list| ended(&before, request.change, &list)).unwrap_or((now, None));
        let asked = before.root_with(request.root).map_or_else(|| self.newest_root(), |root| root.certificate.clone());
        if request.change != KeyChange::RootCrl {
            self.keep_answer(bytes, answer.root.as_ref().map(|root| root.certificate.label))?;
        }
        if let Some(root) = &answer.root {
            for der in [&root.certificate.der, &root.link, &root.back] {
                issue::take_in(Purpose::Root, der, now, &self.line())?;
            }
        }
        let new = match &answer.certificate {
            Some(der) => {
                issue::take_in(Purpose::Issuing, der, now, &self.line())?;
                Some(AuthorityCertificate::read(request.key, der.clone())?)
            }
            None => None,
        };
        if let Some(list) = &answer.list {
            self.take_site_list(list)?;
        }
        if let Some(crl) = &answer.crl {
            let former = answer.root.is_some() || asked.key != self.newest_root().key;
            let kind = if former { root_crl::FORMER_KIND } else { root_crl::KIND };
            self.take_root_crl(kind, crl, &asked)?;
        }
        if let Some(root) = &answer.root {
            self.take_root_crl(root_crl::KIND, &root.crl, &root.certificate)?;
        }
        if request.change == KeyChange::RootCrl {
            return Ok(before);
        }
        self.change_to(request.change, new, answer.root.as_ref().map(|root| (root, answer.list.clone())), at)
    }

    /// The last steps of a change: from now on the keys stand so; what the change ends has ended `at` that time. A maker whose root is offline makes some without it: the
    /// root's revocation list follows ([`Authority::keep_root_crl`]).
    fn change_to(
        &self,
        change: KeyChange,
        new: Option<AuthorityCertificate>,
        root: Option<(&NewRoot, Option<Vec<u8>>)>,
        at: (Time, Option<Time>),
    ) -> Result<Arc<KeyList>, Error> {
        let (now, before) = (self.clock.now(), self.keys());
        let after = changed(&before, change, new, at);
        let after = match root {
            Some((root, list)) => after.with_root(root.certificate.clone(), root.came(list), now),
            None => after,
        };
        after.publish(&*self.store, now, Some(before.version))?;
        tracing::warn!(%change, version = after.version, "the authority's keys were changed");
        self.set_keys(after);
        if let KeyChange::Compromised(label) = change {
            let text = match self.settings.kind {
                Kind::Site => format!(
                    "the key {label} is in wrong hands: nothing it signed is believed any more. Devices with its credentials \
                     renew at the hub, which knows what it has issued itself; see who has not with `medlock device list`"
                ),
                Kind::Maker => format!(
                    "the key {label} is in wrong hands: whoever lists this maker must learn of it at once. An alliance's list \
                     with a cut-off at the log's size of now keeps the birth credentials that the log has"
                ),
            };
            self.alarm_about("issuing-key-compromised", None, label.to_string(), text)?;
        }
        self.follow_keys()?;
        Ok(self.keys())
    }

    /// The list that the root has signed; one that was stored before a crash is taken up again.
    fn take_site_list(&self, list: &[u8]) -> Result<(), Error> {
        let _one_at_a_time = self.publishing_lock();
        let (kind, at) = (ObjectKind::SiteList, self.clock.now());
        let version = List::danger_open(list).map(|list| list.heading().version);
        let version = version.map_err(|error| Error::Object { what: "site list", why: error.to_string() })?;
        match self.publish(kind, Published { version, at, bytes: list.to_vec() }) {
            Err(Error::Store(StoreError::Taken { .. })) => {}
            other => return other,
        }
        match self.store.published(kind.name())? {
            Some(held) if held.bytes == list => self.tell(kind, held.version, held.bytes),
            _ => Err(Error::Conflict("another site list was published since this was asked: ask again".to_owned())),
        }
    }

    /// Signs anew, with the key that issues, what another key had signed; and gives the hub a credential by it. What fails
    /// is tried again by [`Authority::tick`].
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn follow_keys(&self) -> Result<(), Error> {
        let followed = self.try_follow_keys();
        self.set_keys_behind(followed.is_err() || !self.has_issuing_key().unwrap_or(false));
        followed
    }

    fn try_follow_keys(&self) -> Result<(), Error> {
        // What is signed anew does not wait for a signer that cannot forget, and the reverse.
        // Without its successor no signer forgets a key either: all of it is done when that is here.
        if !self.has_issuing_key()? {
            return self.tell_of_missing_key();
        }
        let signed = self.sign_anew();
        for key in self.keys().iter().filter(|key| !key.state.signs()) {
            self.signer.retire(key.certificate.label)?;
        }
        signed
    }

    fn sign_anew(&self) -> Result<(), Error> {
        let now = self.clock.now();
        for key in self.keys().iter().filter(|key| key.state == KeyState::Compromised) {
            let subject = Subject::Issuer(key.certificate.key);
            let known = self.store.standing(subject)?;
            if known.is_none_or(|known| known.state < StandingState::Compromised) {
                let (state, reason) = (Some(StandingState::Compromised), "key-compromise".to_owned());
                self.store.change_standings(vec![StandingChange { subject, state, reason, at: now }], now)?;
            }
        }
        self.unhear_stolen_keys()?;
        let site = self.settings.kind == Kind::Site;
        if site {
            // The status first: it brings the bad news.
            if !self.is_ours(ObjectKind::Status)? {
                self.store.next_epoch(now)?;
            }
            self.publish_status()?;
        }
        if self.hub_is_behind() {
            self.issue_hub()?;
        }
        if !site {
            return Ok(());
        }
        let policy = self.store.published(ObjectKind::Policy.name())?.map_or(0, |held| held.version);
        if !self.is_ours(ObjectKind::Policy)? || policy < self.heard_policy() {
            self.sign_policy_anew()?;
        }
        if !self.is_ours(ObjectKind::Routes)? {
            self.make_routes(true)?;
        }
        Ok(())
    }

    /// Whether the hub's own credential is by another key than the one that issues, or what it shows above it has changed with
    /// the roots.
    pub(crate) fn hub_is_behind(&self) -> bool {
        let Some(own) = self.hub_identity().current() else { return false };
        let by_former = self.certificate_above(own.own()).is_some_and(|key| key.label != self.issuing().label);
        let shown: Vec<Vec<u8>> = own.chain().iter().map(|der| der.to_vec()).collect();
        by_former || shown != self.chain(own.own().to_vec())
    }

    /// Whether the object of this kind that is published was signed by the key that issues, or there is none.
    pub(crate) fn is_ours(&self, kind: ObjectKind) -> Result<bool, Error> {
        let Some(held) = self.store.published(kind.name())? else { return Ok(true) };
        let (key, root) = (self.issuing().key, self.root().key);
        // In whose name it is told changes with the root.
        let authority = match kind {
            ObjectKind::Status => StatusList::danger_open(&held.bytes).map_or(root, |list| list.heading().authority),
            ObjectKind::RevokedSet | ObjectKind::RevokedDelta => {
                RevokedSet::danger_open(&held.bytes).map_or(root, |set| set.heading().authority)
            }
            _ => root,
        };
        let signed = Sign1::read(&held.bytes).is_ok_and(|signed| signed.key() == key.as_bytes());
        Ok(signed && authority == root)
    }

    /// Reads the list of keys again, and says whether it is another one now.
    pub(crate) fn read_keys(&self) -> Result<bool, Error> {
        let newer = KeyList::held(&*self.store)?.filter(|held| held.version > self.keys().version);
        Ok(newer.map(|newer| self.set_keys(newer)).is_some())
    }

    /// The certificate of the key that has issued this one.
    pub(crate) fn certificate_above(&self, certificate: &[u8]) -> Option<Arc<AuthorityCertificate>> {
        self.keys().issuer_of(certificate).map(|key| key.certificate.clone())
    }

    /// The key that has issued this certificate, whose standing counts for it.
    pub(crate) fn issuing_key_of(&self, certificate: &[u8]) -> KeyId {
        self.certificate_above(certificate).unwrap_or_else(|| self.issuing()).key
    }

    /// The worst that is known against a credential: itself, its device, or the key that issued it.
    pub(crate) fn worst(&self, issued: &Issued) -> Result<Option<Standing>, StoreError> {
        status::worst(&*self.store, issued, Some(self.issuing_key_of(&issued.certificate)))
    }

    /// As [`Authority::worst`], without a theft of the issuing key: a credential of ours that is in our log was issued by
    /// us, whoever has the key now. With it a device comes back.
    pub(crate) fn worst_of_itself(&self, issued: &Issued) -> Result<Option<Standing>, StoreError> {
        status::worst(&*self.store, issued, None)
    }
}
