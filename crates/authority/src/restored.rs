//! A store that was brought back from a backup is older than what its hub and the site's devices have heard. What the root has
//! signed since is in the hub's folder of knowledge: its site list says which issuing keys were withdrawn, and which came.

use crate::issue;
use crate::keys::{AuthorityCertificate, KeyList, KeyState};
use crate::objects::Kind as ObjectKind;
use crate::signer::{KeyLabel, KeyRole, LABELS, Signer, SignerError};
use crate::store::{Issuances as _, Journal as _, Published, Purpose, SqlStore};
use crate::{Authority, Error};
use medlock_node::clock::Clock;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::AwsLc;
use medlock_trust::KeyId;
use medlock_trust::cose::Sign1;
use medlock_trust::list::List;
use medlock_trust::policy::Setting;
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo};
use std::path::Path;

const WHAT: &str = "site list";

/// What became of the keys that a site list names and the store does not know.
struct Found {
    /// Those that the signer has, and their certificates are at hand.
    back: Vec<AuthorityCertificate>,
    /// The others.
    lost: Vec<KeyId>,
}

impl Authority {
    /// Goes on with what the hub has heard, where its store is older. The list of keys comes first and the site list last: if
    /// this is cut off, the next start does it again.
    pub(crate) fn take_back_heard(&self) -> Result<(), Error> {
        if let Some(heard) = self.heard_beyond(ObjectKind::SiteList)? {
            self.take_back_keys(&heard)?;
            self.store.publish(ObjectKind::SiteList.name(), heard)?;
        }
        // A first one was imported with the alliance's members, whom the store does not know.
        if self.store.published(ObjectKind::TrustList.name())?.is_some() {
            for kind in [ObjectKind::TrustList, ObjectKind::Suspensions] {
                if let Some(heard) = self.heard_beyond(kind)? {
                    self.store.publish(kind.name(), heard)?;
                }
            }
        }
        Ok(())
    }

    /// The version of the policy that was heard, if it is of a key that issues or has issued; else 0.
    pub(crate) fn heard_policy(&self) -> u64 {
        let kind = ObjectKind::Policy;
        let (Some(held), Some(version)) = (self.knowledge().object(kind), self.knowledge().version(kind)) else {
            return 0;
        };
        let signed_by = |key: KeyId| Sign1::read(&held).is_ok_and(|signed| signed.key() == key.as_bytes());
        let ours = self.keys().iter().any(|key| key.state != KeyState::Compromised && signed_by(key.certificate.key));
        if ours { version } else { 0 }
    }

    /// Whether a key signed this that is in wrong hands by now: nobody believes it.
    pub(crate) fn is_of_stolen_key(&self, object: &[u8]) -> bool {
        let Ok(signed) = Sign1::read(object) else { return false };
        self.keys()
            .iter()
            .any(|key| key.state == KeyState::Compromised && signed.key() == key.certificate.key.as_bytes())
    }

    /// The object of this kind that the hub has heard, if it is later than that of the store.
    fn heard_beyond(&self, kind: ObjectKind) -> Result<Option<Published>, Error> {
        let (Some(bytes), Some(version)) = (self.knowledge().object(kind), self.knowledge().version(kind)) else {
            return Ok(None);
        };
        let held = self.store.published(kind.name())?.map_or(0, |held| held.version);
        Ok((held < version).then(|| Published { version, at: self.clock.now(), bytes: bytes.to_vec() }))
    }

    fn take_back_keys(&self, heard: &Published) -> Result<(), Error> {
        let list = List::danger_open(&heard.bytes);
        let list = list.map_err(|error| Error::Object { what: WHAT, why: error.to_string() })?;
        let (before, now) = (self.keys(), self.clock.now());
        let Found { mut back, lost } = self.find_keys(&list, &before)?;
        if back.is_empty()
            && before
                .current()
                .is_none_or(|current| list.services().all(|named| named.key != current.key || named.until.is_some()))
        {
            back.push(self.replace_withdrawn(&before, &lost, heard.version)?);
        }
        let after = before.as_heard(&list, back, now);
        let text = told(&before, &after, &lost, heard.version);
        if after != *before {
            after.publish(&*self.store, now, Some(before.version))?;
            self.set_keys(after);
        }
        self.alarm("store-was-behind", None, text)
    }

    /// Looks for the keys that sign by this list and that the store does not know.
    fn find_keys(&self, list: &List<'_>, before: &KeyList) -> Result<Found, Error> {
        let missing = list.services().filter(|named| named.until.is_none() && !before.has(named.key));
        let mut lost: Vec<KeyId> = missing.map(|named| named.key).collect();
        let mut back = Vec::new();
        let first = before.next().map_or(u16::MAX, KeyLabel::number);
        for number in first..first.saturating_add(LABELS) {
            let Some(label) = KeyLabel::new(KeyRole::Issuing, number).filter(|_| !lost.is_empty()) else { break };
            let spki = match self.signer.public_key(label) {
                Ok(Some(spki)) => spki,
                // It was retired.
                Ok(None) | Err(SignerError::Refused(_)) => continue,
                Err(error) => return Err(error.into()),
            };
            let key = KeyId::of(&[spki.as_slice()], &AwsLc);
            if let Some(place) = lost.iter().position(|one| *one == key)
                && let Some(certificate) = self.certified(label, &spki)?
            {
                lost.swap_remove(place);
                back.push(certificate);
            }
        }
        Ok(Found { back, lost })
    }

    /// The root's certificate for a key of ours: the one that the hub shows with its own, or a new one by a root at hand.
    fn certified(&self, label: KeyLabel, spki: &[u8]) -> Result<Option<AuthorityCertificate>, Error> {
        let shown = self.hub_identity().current().and_then(|own| own.chain().get(1).map(|der| der.to_vec()));
        if let Some(der) = shown.filter(|der| self.is_certificate_of(der, label, spki)) {
            issue::take_in(Purpose::Issuing, &der, self.clock.now(), &self.line())?;
            return AuthorityCertificate::read(label, der).map(Some);
        }
        if self.signer.public_key(self.root.label)?.is_none() {
            return Ok(None);
        }
        let (rules, now) = (self.rules(), self.clock.now());
        let template = crate::authority::authority_template(&self.settings, &rules, label, spki, now);
        let (_, der) = issue::issue(&template, &self.root.issuer(), now, &self.line())?;
        AuthorityCertificate::read(label, der).map(Some)
    }

    fn is_certificate_of(&self, der: &[u8], label: KeyLabel, spki: &[u8]) -> bool {
        let root = SubjectPublicKeyInfo::from_der(&self.root.spki).ok().and_then(|root| root.public_key());
        let (Ok(read), Some(root)) = (Certificate::from_der(der), root) else { return false };
        read.spki() == spki
            && read.subject().der() == issue::authority_name(&self.settings.name, label)
            && read.verify_with(root, &AwsLc).is_ok()
    }

    /// A new key, where the one that issues was withdrawn and none of those behind it is here. It skips the labels of those:
    /// each key has a name of its own.
    fn replace_withdrawn(&self, before: &KeyList, lost: &[KeyId], version: u64) -> Result<AuthorityCertificate, Error> {
        let current = before.current().map_or(KeyLabel::ISSUING, |current| current.label);
        if self.signer.public_key(self.root.label)?.is_none() {
            return Err(Error::Conflict(format!(
                "version {version} of the site list has withdrawn the key {current}, which issues by the store from the \
                 backup; the key behind it is not here, or its certificate is not, and the root is offline: bring back the \
                 newest folders `keys` and `hub` of this authority, and start again"
            )));
        }
        let behind = before.next().and_then(|next| {
            KeyLabel::new(KeyRole::Issuing, next.number().checked_add(u16::try_from(lost.len()).ok()?)?)
        });
        let label = not_retired(&*self.signer, behind)?;
        let spki = self.signer.generate(label, self.rules().algorithm)?;
        let certified = self.certified(label, &spki)?;
        certified.ok_or_else(|| Error::Conflict(format!("the root has not certified the key {label}")))
    }

    /// Lets an authority that is not open hear a site list before it starts: the newest that any device has. Returns whether
    /// the list is of the authority that `store` is of.
    ///
    /// # Errors
    /// [`Error::Object`] when its own root has not signed it.
    pub fn hear_site_list(dir: &Path, store: &SqlStore, list: &[u8]) -> Result<bool, Error> {
        let failed = |why: &dyn std::fmt::Display| Error::Object { what: WHAT, why: why.to_string() };
        let given = List::danger_open(list).map_err(|error| failed(&error))?;
        let Some(root) = store.newest(Purpose::Root)? else { return Ok(false) };
        let key = AuthorityCertificate::read(KeyLabel::ROOT, root.certificate.clone())?.key;
        if given.member(key).is_none() {
            return Ok(false);
        }
        let knowledge = KnowledgeBase::open(&knowledge_of(dir), Clock::system(), Setting::Hospital);
        let knowledge = knowledge.map_err(|error| failed(&error))?;
        knowledge.pin_root(&root.certificate).map_err(|error| failed(&error))?;
        if knowledge.version(ObjectKind::SiteList).is_none_or(|heard| heard < given.heading().version) {
            knowledge.accept(ObjectKind::SiteList, list).map_err(|error| failed(&error))?;
        }
        Ok(true)
    }

    /// Whether an authority that is not open has heard its site list; one that gives out none needs none.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn has_heard_site_list(dir: &Path, store: &SqlStore) -> Result<bool, Error> {
        let gives = store.published(ObjectKind::SiteList.name())?.is_some();
        Ok(!gives || knowledge_of(dir).join(ObjectKind::SiteList.file()).exists())
    }
}

/// The folder of what a hub has heard, in that of its authority.
pub(crate) fn knowledge_of(dir: &Path) -> std::path::PathBuf {
    dir.join("knowledge")
}

/// The first label from `first` on that the signer does not refuse: a store that was brought back does not know which of
/// them were retired.
pub(crate) fn not_retired(signer: &dyn Signer, first: Option<KeyLabel>) -> Result<KeyLabel, Error> {
    let first = first.map_or(u16::MAX, KeyLabel::number);
    let labels = first..first.saturating_add(LABELS);
    labels
        .filter_map(|number| KeyLabel::new(KeyRole::Issuing, number))
        .find(|label| !matches!(signer.public_key(*label), Err(SignerError::Refused(_))))
        .ok_or_else(|| Error::Conflict("there were too many issuing keys".to_owned()))
}

/// What people are told.
fn told(before: &KeyList, after: &KeyList, lost: &[KeyId], version: u64) -> String {
    let mut text = format!("the store is older than version {version} of the site list, and goes on behind it");
    for key in after.iter() {
        let label = key.certificate.label;
        let stood = before.key(label).map(|key| key.state);
        if stood != Some(key.state) {
            let was = stood.map_or("the store did not know it", KeyState::name);
            text.push_str(&format!("; {label} is {} ({was})", key.state.name()));
        }
    }
    for key in lost {
        text.push_str(&format!(
            "; the key {key} is not here, or its certificate is not: from the next site list on nothing it has issued is believed, \
             and such devices need a new code"
        ));
    }
    text
}
