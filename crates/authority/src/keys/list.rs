//! The authority's issuing keys and how each stands: one object of the store, replaced as a whole, which all hubs on that
//! store share.

use super::AuthorityCertificate;
use super::roots::{Came, RootKey};
use crate::Error;
use crate::signer::{KeyLabel, KeyRole};
use crate::store::{Published, Store, StoreError};
use data_encoding::BASE64;
use medlock_trust::list::{List, MAX_SERVICES};
use medlock_trust::x509::{Certificate, Name};
use medlock_trust::{KeyId, Time};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};
use std::sync::Arc;

/// What it is called among the published objects.
const KIND: &str = "keys";
pub(super) const WHAT: &str = "list of the authority's keys";

/// How an issuing key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyState {
    /// It issues. There is one.
    Current,
    /// It issues no more, and goes on to sign revocation lists and OCSP responses for what it has issued.
    Former,
    /// It signs nothing any more. What it had signed is believed.
    Retired,
    /// It is in wrong hands: nothing that it has signed is believed.
    Compromised,
}

impl KeyState {
    /// The state's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Former => "former",
            Self::Retired => "retired",
            Self::Compromised => "compromised",
        }
    }

    /// Whether the key still signs.
    #[must_use]
    pub const fn signs(self) -> bool {
        matches!(self, Self::Current | Self::Former)
    }
}

/// An issuing key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuingKey {
    /// Its certificate, by the root.
    pub certificate: Arc<AuthorityCertificate>,
    /// How it stands.
    pub state: KeyState,
    /// Since when it issues no more.
    pub until: Option<Time>,
}

/// All issuing keys there were, ascending by label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyList {
    /// Grows with each change.
    pub version: u64,
    keys: Vec<IssuingKey>,
    pub(super) roots: Vec<RootKey>,
}

/// A key as it is stored, in JSON: an issuing key or a root, by its label.
#[derive(Deserialize, Serialize)]
struct Stored {
    key: KeyLabel,
    state: KeyState,
    until: Option<i64>,
    /// Of a root that is retired: until when what it has certified counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    vouches: Option<i64>,
    /// DER in base64.
    certificate: String,
    /// Of a root that took another's place: how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    came: Option<StoredCame>,
}

/// [`Came`], all in base64.
#[derive(Deserialize, Serialize)]
struct StoredCame {
    link: String,
    back: String,
    list: Option<String>,
}

impl Stored {
    fn of(certificate: &AuthorityCertificate, state: KeyState, until: Option<Time>) -> Self {
        let (key, certificate) = (certificate.label, BASE64.encode(&certificate.der));
        Self { key, state, until: until.map(Time::unix), vouches: None, certificate, came: None }
    }

    fn of_root(root: &RootKey) -> Self {
        let came = root.came.as_ref().map(|came| StoredCame {
            link: BASE64.encode(&came.link),
            back: BASE64.encode(&came.back),
            list: came.list.as_deref().map(|list| BASE64.encode(list)),
        });
        Self { came, vouches: root.vouches.map(Time::unix), ..Self::of(&root.certificate, root.state, root.until) }
    }

    fn read(self, keys: &mut Vec<IssuingKey>, roots: &mut Vec<RootKey>) -> Result<(), Error> {
        let bytes = |text: &str| {
            let damaged = |error: data_encoding::DecodeError| Error::Object { what: WHAT, why: error.to_string() };
            BASE64.decode(text.as_bytes()).map_err(damaged)
        };
        let certificate = Arc::new(AuthorityCertificate::read(self.key, bytes(&self.certificate)?)?);
        let (state, until) = (self.state, self.until.map(Time::from_unix));
        if self.key.role() != KeyRole::Root {
            keys.push(IssuingKey { certificate, state, until });
            return Ok(());
        }
        let came = |came: StoredCame| -> Result<Came, Error> {
            let list = came.list.as_deref().map(bytes).transpose()?;
            Ok(Came { link: bytes(&came.link)?, back: bytes(&came.back)?, list })
        };
        let vouches = self.vouches.map(Time::from_unix);
        roots.push(RootKey { certificate, state, until, vouches, came: self.came.map(came).transpose()? });
        Ok(())
    }
}

impl KeyList {
    /// Puts a first list into the store.
    pub(crate) fn begin(
        store: &dyn Store,
        root: AuthorityCertificate,
        first: AuthorityCertificate,
        now: Time,
    ) -> Result<Self, Error> {
        let list = Self::of(root, Some(first));
        list.publish(store, now, None)?;
        Ok(list)
    }

    /// The first list.
    pub(crate) fn of(root: AuthorityCertificate, first: Option<AuthorityCertificate>) -> Self {
        let key = |first| IssuingKey { certificate: Arc::new(first), state: KeyState::Current, until: None };
        Self { version: 1, keys: first.map(key).into_iter().collect(), roots: vec![RootKey::first(root)] }
    }

    /// This list with its one root, if it is of a version that did not name it: from then on the newest certificate of a
    /// root may be that of one that was never finished.
    pub(crate) fn naming_root(self, store: &dyn Store, root: AuthorityCertificate, now: Time) -> Result<Self, Error> {
        if !self.roots.is_empty() {
            return Ok(self);
        }
        let (version, before) = (self.version.saturating_add(1), self.version);
        let named = Self { version, roots: vec![RootKey::first(root)], ..self };
        named.publish(store, now, Some(before))?;
        Ok(named)
    }

    /// The list of the store, if it has one.
    pub(crate) fn held(store: &dyn Store) -> Result<Option<Self>, Error> {
        let Some(held) = store.published(KIND)? else { return Ok(None) };
        let damaged = |why: String| Error::Object { what: WHAT, why };
        let stored: Vec<Stored> = serde_json::from_slice(&held.bytes).map_err(|error| damaged(error.to_string()))?;
        let (mut keys, mut roots) = (Vec::new(), Vec::new());
        stored.into_iter().try_for_each(|stored| stored.read(&mut keys, &mut roots))?;
        let list = Self { version: held.version, keys, roots };
        list.check()?;
        Ok(Some(list))
    }

    /// Whether one key issues, and one alone: with any other list an authority does not start again.
    fn check(&self) -> Result<(), Error> {
        self.check_roots()?;
        match self.keys.iter().filter(|key| key.state == KeyState::Current).count() {
            1 => Ok(()),
            _ => Err(Error::Object { what: WHAT, why: "it has not one current key".to_owned() }),
        }
    }

    /// Whether the store has a later one.
    pub(crate) fn is_behind(&self, versions: &[(String, u64)]) -> bool {
        versions.iter().any(|(name, version)| name == KIND && *version > self.version)
    }

    /// Stores the list behind the one of version `before`.
    pub(crate) fn publish(&self, store: &dyn Store, now: Time, before: Option<u64>) -> Result<(), Error> {
        self.publish_with(Vec::new(), store, now, before)
    }

    /// As [`KeyList::publish`], with other objects: all of them or none.
    pub(crate) fn publish_with(
        &self,
        mut objects: Vec<(&'static str, Published, Option<u64>)>,
        store: &dyn Store,
        now: Time,
        before: Option<u64>,
    ) -> Result<(), Error> {
        self.check()?;
        let issuing = |key: &IssuingKey| Stored::of(&key.certificate, key.state, key.until);
        let stored: Vec<Stored> = self.keys.iter().map(issuing).chain(self.roots.iter().map(Stored::of_root)).collect();
        let bytes =
            serde_json::to_vec(&stored).map_err(|error| Error::Object { what: WHAT, why: error.to_string() })?;
        objects.push((KIND, Published { version: self.version, at: now, bytes }, before));
        match store.publish_all(objects) {
            Err(StoreError::Taken { .. }) => Err(Error::Conflict(
                "the authority's keys were changed at the same time, maybe at another hub: look at them and ask again"
                    .to_owned(),
            )),
            other => Ok(other?),
        }
    }

    /// All keys, ascending by label.
    pub fn iter(&self) -> impl Iterator<Item = &IssuingKey> {
        self.keys.iter()
    }

    /// The key that issues, and how it stands.
    pub(crate) fn current_key(&self) -> Option<&IssuingKey> {
        self.keys.iter().find(|key| key.state == KeyState::Current)
    }

    /// The key that issues.
    pub(crate) fn current(&self) -> Option<&Arc<AuthorityCertificate>> {
        self.current_key().map(|key| &key.certificate)
    }

    /// The key with this label.
    #[must_use]
    pub fn key(&self, label: KeyLabel) -> Option<&IssuingKey> {
        self.keys.iter().find(|key| key.certificate.label == label)
    }

    /// Whether one of them is this key.
    pub(crate) fn has(&self, key: KeyId) -> bool {
        self.keys.iter().any(|one| one.certificate.key == key)
    }

    /// The key that has issued this certificate, by its issuer's name: each of the keys has a name of its own.
    #[must_use]
    pub fn issuer_of(&self, certificate: &[u8]) -> Option<&IssuingKey> {
        if let [only] = self.keys.as_slice() {
            return Some(only);
        }
        let certificate = Certificate::read(certificate).ok()?;
        let issuer = certificate.issuer();
        self.keys.iter().find(|key| Name::from_der(&key.certificate.subject).is_ok_and(|name| issuer.matches(&name)))
    }

    /// The label of the next key.
    pub(crate) fn next(&self) -> Option<KeyLabel> {
        let last = self.keys.iter().map(|key| key.certificate.label.number()).max().unwrap_or(0);
        KeyLabel::new(KeyRole::Issuing, last.checked_add(1)?)
    }

    /// The list behind this one, or the same, as what was heard has it. Who is `stolen` is in wrong hands. With a later site
    /// list, so is a key that it does not name, and one that it lets sign bonds alone is retired, as a former root is that it
    /// calls so. The last of the keys that are `back` issues, and each before it until the next one was made, as their certificates
    /// say that are dated back by so many seconds.
    pub(crate) fn as_heard(
        &self,
        heard: Option<&List<'_>>,
        stolen: impl Fn(&AuthorityCertificate) -> bool,
        back: Vec<AuthorityCertificate>,
        (now, backdate_seconds): (Time, i64),
    ) -> Self {
        let made: BTreeMap<KeyLabel, Time> =
            back.iter().filter_map(|key| Some((key.label, key.made(backdate_seconds)?.min(now)))).collect();
        let next_made =
            |label: KeyLabel| made.range((Excluded(label), Unbounded)).next().map_or(now, |(_, made)| *made);
        let mut keys = self.keys.clone();
        for key in keys.iter_mut().filter(|key| key.state != KeyState::Compromised) {
            let named = heard.map(|heard| heard.services().find(|named| named.key == key.certificate.key));
            let ended = Some(key.until.unwrap_or_else(|| next_made(key.certificate.label)));
            match named {
                _ if stolen(&key.certificate) => (key.state, key.until) = (KeyState::Compromised, ended),
                Some(None) if heard.is_some_and(|heard| self.had_no_room(heard, key.certificate.label)) => {
                    (key.state, key.until) = (KeyState::Retired, ended);
                }
                Some(None) => (key.state, key.until) = (KeyState::Compromised, ended),
                Some(Some(named)) if named.until.is_some() => (key.state, key.until) = (KeyState::Retired, named.until),
                Some(Some(_)) | None if key.state == KeyState::Current && !back.is_empty() => {
                    (key.state, key.until) = (KeyState::Former, ended);
                }
                Some(Some(_)) | None => {}
            }
        }
        let newest = back.iter().map(|key| key.label).max();
        keys.extend(back.into_iter().map(|certificate| {
            let issues = Some(certificate.label) == newest;
            let (state, until) =
                if issues { (KeyState::Current, None) } else { (KeyState::Former, Some(next_made(certificate.label))) };
            IssuingKey { certificate: Arc::new(certificate), state, until }
        }));
        keys.sort_by_key(|key| key.certificate.label);
        let mut roots = self.roots.clone();
        for root in roots.iter_mut().filter(|root| root.state == KeyState::Former) {
            let retired = heard.and_then(|heard| crate::trust_list::retirement(heard, root.certificate.key));
            if let Some((since, vouches)) = retired {
                (root.state, root.until, root.vouches) = (KeyState::Retired, Some(since), vouches);
            }
        }
        let same = keys == self.keys && roots == self.roots;
        let version = if same { self.version } else { self.version.saturating_add(1) };
        Self { version, keys, roots }
    }

    /// Whether a site list that does not name a key may have had no room for it: where a list is full, the oldest of those
    /// that sign no more are left out.
    fn had_no_room(&self, heard: &List<'_>, label: KeyLabel) -> bool {
        let ended =
            |key: &&IssuingKey| heard.services().any(|named| named.key == key.certificate.key && named.until.is_some());
        heard.services().count() >= MAX_SERVICES
            && self.keys.iter().filter(ended).all(|key| key.certificate.label > label)
    }

    /// The list behind this one: `new` issues from now on, if there is one, and the key `label` then stands so.
    pub(crate) fn changed(
        &self,
        new: Option<AuthorityCertificate>,
        stands: Option<(KeyLabel, KeyState)>,
        now: Time,
    ) -> Self {
        let mut keys = self.keys.clone();
        for key in &mut keys {
            if new.is_some() && key.state == KeyState::Current {
                (key.state, key.until) = (KeyState::Former, Some(now));
            }
            if let Some((label, state)) = stands
                && key.certificate.label == label
            {
                (key.state, key.until) = (state, Some(key.until.unwrap_or(now)));
            }
        }
        keys.extend(new.map(|new| IssuingKey { certificate: Arc::new(new), state: KeyState::Current, until: None }));
        keys.sort_by_key(|key| key.certificate.label);
        Self { version: self.version.saturating_add(1), keys, roots: self.roots.clone() }
    }
}
