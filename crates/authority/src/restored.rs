//! A store that was brought back from a backup is older than what its hub and the site's devices have heard. What was signed
//! since is in the hub's folder of knowledge, or was put there when it was restored ([`crate::heard`]): the site list says which
//! issuing keys were withdrawn, and which came; the root's revocation list and the status list say which were stolen, also
//! those that were made since.

use crate::issue;
use crate::keys::{AuthorityCertificate, KeyList, KeyState};
use crate::objects::Kind as ObjectKind;
use crate::root_crl::{self, RootCrl};
use crate::root_request::RootAnswer;
use crate::signer::{KeyLabel, KeyRole, LABELS, Signer, SignerError};
use crate::store::{Published, Purpose, Serial, StandingState, Store, StoreError, Subject};
use crate::taken_over::Taken;
use crate::{Authority, Error, trust_list};
use medlock_node::files;
use medlock_node::provider::AwsLc;
use medlock_trust::KeyId;
use medlock_trust::cose::Sign1;
use medlock_trust::list::List;
use medlock_trust::status::{Record, State, Subject as Told};
use medlock_trust::x509::Certificate;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const WHAT: &str = "site list";
/// The loss of keys that people have accepted: up to this version of the site list.
pub(crate) const ACCEPTED: &str = "accepted-loss";
/// The identifiers of issuing keys that were lost, which no later site list names.
const LOST: &str = "lost-keys";
/// The highest number of an issuing key that was given, also of keys that the store does not know.
const LABELS_GIVEN: &str = "issuing-labels";

/// What became of the keys that a site list names and the store does not know.
#[derive(Default)]
struct Found {
    /// Those that the signer has, and their certificates are at hand.
    back: Vec<AuthorityCertificate>,
    /// The others.
    lost: Vec<KeyId>,
}

/// The issuing keys in wrong hands, by what was heard.
#[derive(Default)]
pub(super) struct Stolen {
    /// By the status list.
    pub(super) keys: BTreeSet<KeyId>,
    /// Their certificates, by the root's revocation list.
    serials: BTreeSet<Serial>,
}

impl Stolen {
    fn has(&self, key: &AuthorityCertificate) -> bool {
        self.keys.contains(&key.key) || root_crl::serial_of(key).is_some_and(|serial| self.serials.contains(&serial))
    }

    /// How many of them the store does not know.
    fn unknown(&self, known: &KeyList) -> usize {
        let keys = self.keys.iter().filter(|key| !known.has(**key)).count();
        keys.max(unknown_serials(known, self.serials.iter().copied()))
    }
}

/// How many of these certificates are of no key of the list.
fn unknown_serials(known: &KeyList, serials: impl Iterator<Item = Serial>) -> usize {
    let known: BTreeSet<Serial> = known.iter().filter_map(|key| root_crl::serial_of(&key.certificate)).collect();
    serials.filter(|serial| !known.contains(serial)).count()
}

impl Authority {
    /// Goes on with what the hub has heard, where its store is older. What the site list and the root's revocation list say
    /// comes at once; if this is cut off before, the next start does it again.
    pub(crate) fn take_back_heard(&self) -> Result<(), Error> {
        self.take_back_roots()?;
        let (list, crls, records) =
            (self.heard_beyond(ObjectKind::SiteList)?, self.heard_root_crls()?, self.heard_status()?);
        let (by, records) = records.unzip();
        let records = records.unwrap_or_default();
        if list.is_some() || !crls.is_empty() || !records.is_empty() {
            let taken = match by {
                Some(by) => self.take_over(self.weigh(by, &records)?)?,
                None => Taken::default(),
            };
            self.take_back_keys(list, crls, &records, &taken)?;
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

    /// Goes on with the roots that took the place of others behind the backup: what they answered is in the hub's folder, and
    /// what the hub has heard names them.
    fn take_back_roots(&self) -> Result<(), Error> {
        let before = self.keys();
        for answer in kept_answers(&self.settings.dir, self.roots().iter().map(|root| (**root).clone()).collect())? {
            let (now, keys) = (self.clock.now(), self.keys());
            let Some(root) = answer.root.as_ref().filter(|root| self.has_heard_of(&root.certificate)) else { break };
            for der in [&root.certificate.der, &root.link, &root.back] {
                issue::take_in(Purpose::Root, der, now, &self.line())?;
            }
            let mut after = KeyList::clone(&keys);
            after.version = keys.version.saturating_add(1);
            // Nobody makes another before the one in between is retired.
            if let Some(former) = keys.former_root() {
                let ended = self.with_heard_list(|list| trust_list::retirement(list, former.key)).flatten();
                let (since, until) = ended.unwrap_or((now, None));
                after = after.with_root_retired(former.label, since, until);
            }
            let after = after.with_root(root.certificate.clone(), root.came(answer.list.clone()), now);
            after.publish(&*self.store, now, Some(keys.version))?;
            self.set_keys(after);
        }
        let new = self.keys().roots().len().saturating_sub(before.roots().len());
        if new > 0 {
            let text = format!(
                "the store did not know {new} roots that took the place of others since, and goes on with them"
            );
            self.alarm_about("store-was-behind", None, "keys".to_owned(), text)?;
        }
        Ok(())
    }

    /// Whether the site list that was heard names this root, or, for a maker, a revocation list of it was kept.
    fn has_heard_of(&self, root: &AuthorityCertificate) -> bool {
        let named = |list: &List<'_>| list.authorities().any(|entry| entry.key == root.key);
        let folder = knowledge_of(&self.settings.dir);
        let of_root = |file: &str| files::read(&folder.join(file)).ok().flatten();
        let signed = |bytes: Vec<u8>| root_crl::read(&bytes, root).is_some();
        self.with_heard_list(named).unwrap_or(false)
            || root_crl::KINDS.iter().filter_map(|(_, file)| of_root(file)).any(signed)
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
    pub(crate) fn heard_beyond(&self, kind: ObjectKind) -> Result<Option<Published>, Error> {
        let (Some(bytes), Some(version)) = (self.knowledge().object(kind), self.knowledge().version(kind)) else {
            return Ok(None);
        };
        let held = self.store.published(kind.name())?.map_or(0, |held| held.version);
        Ok((held < version).then(|| Published { version, at: self.clock.now(), bytes: bytes.to_vec() }))
    }

    /// The revocation lists in the hub's folder of the roots that are not retired, as far as they are later than those of the
    /// store.
    fn heard_root_crls(&self) -> Result<Vec<(&'static str, Published, RootCrl)>, Error> {
        let (folder, mut found) = (knowledge_of(&self.settings.dir), Vec::new());
        let former = self.keys().former_root().cloned();
        for (_, file) in root_crl::KINDS {
            let path = folder.join(file);
            let bytes = files::read(&path).map_err(|error| Error::Conflict(error.to_string()))?;
            let Some(bytes) = bytes else { continue };
            let roots = [(root_crl::KIND, Some(self.newest_root())), (root_crl::FORMER_KIND, former.clone())];
            let read =
                |(kind, root): (_, Option<Arc<AuthorityCertificate>>)| Some((kind, root_crl::read(&bytes, &*root?)?));
            let Some((kind, read)) = roots.into_iter().find_map(read) else {
                // That of a root which was retired since stays where this hub has put it, and says nothing any more.
                if self.roots().iter().any(|root| root_crl::read(&bytes, root).is_some()) {
                    continue;
                }
                tracing::warn!(file = %path.display(), "this is no revocation list of our root, and is passed over");
                continue;
            };
            let held = self.store.published(kind)?.map_or(0, |held| held.version);
            let (version, at) = (read.number(), self.clock.now());
            if held < version {
                found.push((kind, Published { version, at, bytes }, read));
            }
        }
        Ok(found)
    }

    /// What the status list says that the hub has heard, if it is later than that of the store, and the key that signed it still
    /// speaks for us by the newest site list.
    pub(crate) fn heard_status(&self) -> Result<Option<(KeyId, Vec<Record>)>, Error> {
        let Some(heard) = self.heard_beyond(ObjectKind::Status)? else { return Ok(None) };
        match self.believed_status(&heard.bytes) {
            Ok((by, status)) => Ok(Some((by, status.records().collect()))),
            Err(error) => {
                tracing::warn!(%error, "the status list that was heard is not taken over");
                Ok(None)
            }
        }
    }

    pub(crate) fn with_heard_list<T>(&self, read: impl FnOnce(&List<'_>) -> T) -> Option<T> {
        let bytes = self.knowledge().object(ObjectKind::SiteList)?;
        List::danger_open(&bytes).ok().map(|list| read(&list))
    }

    /// Who is stolen, by what was heard. Whoever has a key that is still believed signs a status list too, so that a key counts
    /// as stolen by it only if the root has left it out of the site list; what the root itself revokes is revoked.
    pub(super) fn stolen(&self, records: &[Record], crls: &[(&'static str, Published, RootCrl)]) -> Stolen {
        let issuers = records.iter().filter_map(|record| match record.subject {
            Told::Issuer(key) if record.state == State::Compromised => Some(key),
            Told::Issuer(_) | Told::Device(_) | Told::Credential(_) => None,
        });
        let named = |list: &List<'_>| list.services().map(|named| named.key).collect::<BTreeSet<_>>();
        let named = self.with_heard_list(named).unwrap_or_default();
        let serials = crls.iter().flat_map(|(.., crl)| crl.serials()).collect();
        Stolen { keys: issuers.filter(|key| !named.contains(key)).collect(), serials }
    }

    fn take_back_keys(
        &self,
        heard: Option<Published>,
        crls: Vec<(&'static str, Published, RootCrl)>,
        records: &[Record],
        taken: &Taken,
    ) -> Result<(), Error> {
        let list = heard.as_ref().map(|heard| List::danger_open(&heard.bytes)).transpose();
        let list = list.map_err(|error| Error::Object { what: WHAT, why: error.to_string() })?;
        let (before, now) = (self.keys(), self.clock.now());
        let unknown = list.iter().flat_map(List::members).find(|member| before.root_with(member.key).is_none());
        if let Some(unknown) = unknown.map(|unknown| unknown.key) {
            return Err(Error::Conflict(format!(
                "the site list that was heard names the root {unknown}, which took its place after the backup was made that \
                 this store is from, and the answer by which it did (`knowledge/root-2.answer` in the hub's folder, or \
                 root-3 and so on) is not here: bring back that folder, or restore a backup from after that"
            )));
        }
        let stolen = self.stolen(records, &crls);
        let Found { mut back, lost } =
            list.as_ref().map(|list| self.find_keys(list, &before, &stolen)).transpose()?.unwrap_or_default();
        let version = heard.as_ref().map_or(0, |heard| heard.version);
        self.check_lost(&lost, version)?;
        let mut others = list.iter().flat_map(List::services).filter(|named| !before.has(named.key)).count();
        if list.is_none() && before.current().is_some_and(|current| stolen.has(current)) {
            // Whoever withdraws the key that issues makes another one, of which nothing tells here.
            others += 1;
        }
        self.give_labels(&before, others + stolen.unknown(&before))?;
        let withdrawn = |current: &AuthorityCertificate| {
            let signs =
                |list: &List<'_>| list.services().any(|named| named.key == current.key && named.until.is_none());
            stolen.has(current) || list.as_ref().is_some_and(|list| !signs(list))
        };
        if back.is_empty() && before.current().is_none_or(|current| withdrawn(current)) {
            back.push(self.replace_withdrawn(&before)?);
        }
        let dated = (now, self.rules().profile.backdate_seconds());
        let after = before.as_heard(list.as_ref(), |key| stolen.has(key), back, dated);
        let mut text = told(&before, &after, &lost, heard.as_ref().map(|heard| heard.version));
        for key in stolen.keys.iter().filter(|key| !before.has(**key)) {
            text.push_str(&format!("; the key {key}, which the store never knew, is in wrong hands and stays so"));
        }
        if taken.count > 0 {
            text.push_str(&format!("; it did not know what the status list says of {}", taken.who));
        }
        let mut objects = Vec::new();
        for (kind, object) in heard
            .map(|heard| (ObjectKind::SiteList.name(), heard))
            .into_iter()
            .chain(crls.into_iter().map(|(kind, crl, _)| (kind, crl)))
        {
            objects.push((kind, object, self.store.published(kind)?.map(|held| held.version)));
        }
        // At once: a list of keys that is ahead of the site list would look as if its new key was withdrawn.
        if after != *before {
            after.publish_with(objects, &*self.store, now, Some(before.version))?;
            self.set_keys(after);
        } else {
            self.store.publish_all(objects)?;
        }
        self.note_lost(&lost)?;
        self.alarm_about("store-was-behind", None, "keys".to_owned(), text)
    }

    /// Whether this is a key of ours that was lost, by what was heard.
    pub(crate) fn was_lost(&self, key: KeyId) -> Result<bool, Error> {
        let named = self.with_heard_list(|list| list.services().any(|service| service.key == key));
        let noted = self.store.published(LOST)?.map(|noted| noted.bytes).unwrap_or_default();
        Ok(named.unwrap_or(false) || noted.chunks_exact(16).any(|noted| noted == key.as_bytes()))
    }

    fn note_lost(&self, lost: &[KeyId]) -> Result<(), Error> {
        let held = self.store.published(LOST)?;
        let version = held.as_ref().map_or(0, |held| held.version).saturating_add(1);
        let mut bytes = held.map(|held| held.bytes).unwrap_or_default();
        let before = bytes.len();
        for key in lost {
            if !bytes.chunks_exact(16).any(|noted| noted == key.as_bytes()) {
                bytes.extend(key.as_bytes());
            }
        }
        match bytes.len() > before {
            true => Ok(self.store.publish(LOST, Published { version, at: self.clock.now(), bytes })?),
            false => Ok(()),
        }
    }

    /// Keys that were made since the backup and are not here may only have been left behind.
    fn check_lost(&self, lost: &[KeyId], version: u64) -> Result<(), Error> {
        let accepted = self.store.published(ACCEPTED)?.map_or(0, |accepted| accepted.version);
        if lost.is_empty() || accepted >= version {
            return Ok(());
        }
        let keys = lost.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Err(Error::Conflict(format!(
            "version {version} of the site list names issuing keys that the store from the backup does not know and that are not \
             here, or their certificates are not: {keys}. Bring back the newest folders `keys` and `hub` of this authority and \
             start again; or, if they are lost for good, `medlock authority restore BACKUP --accept-loss`: what they have \
             issued is believed until it ends and not renewed, so that such devices need new codes"
        )))
    }

    /// Looks for the keys that sign by this list and that the store does not know.
    fn find_keys(&self, list: &List<'_>, before: &KeyList, stolen: &Stolen) -> Result<Found, Error> {
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
                && !stolen.has(&certificate)
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
        if self.signer.public_key(self.newest_root().label)?.is_none() {
            return Ok(None);
        }
        let (rules, now) = (self.rules(), self.clock.now());
        let template = crate::authority::authority_template(&self.settings, &rules, label, spki, now);
        let (_, der) = issue::issue(&template, &self.newest_root().issuer(), now, &self.line())?;
        AuthorityCertificate::read(label, der).map(Some)
    }

    fn is_certificate_of(&self, der: &[u8], label: KeyLabel, spki: &[u8]) -> bool {
        let Ok(read) = Certificate::from_der(der) else { return false };
        read.spki() == spki
            && read.subject().der() == issue::authority_name(&self.settings.name, label)
            && self.newest_root().has_signed(&read)
    }

    /// A new key, where the one that issues was withdrawn and none of those behind it is here.
    fn replace_withdrawn(&self, before: &KeyList) -> Result<AuthorityCertificate, Error> {
        let current = before.current().map_or(KeyLabel::ISSUING, |current| current.label);
        if self.signer.public_key(self.newest_root().label)?.is_none() {
            return Err(Error::Conflict(format!(
                "the key {current}, which issues by the store from the backup, was withdrawn since; no later key is here, or its certificate is not, and the root is offline: bring back the newest folders `keys` and `hub` of this \
                 authority, and start again"
            )));
        }
        let label = free_label(&*self.store, &*self.signer, Some(before))?;
        let spki = self.signer.generate(label, self.rules().algorithm)?;
        let certified = self.certified(label, &spki)?;
        certified.ok_or_else(|| Error::Conflict(format!("the root has not certified the key {label}")))
    }

    /// Notes that so many labels were given since, to keys that the store does not know: no label, and no name in
    /// certificates, has two keys.
    fn give_labels(&self, before: &KeyList, others: usize) -> Result<(), Error> {
        let last = before.iter().map(|key| u64::from(key.certificate.label.number())).max().unwrap_or(0);
        let given = last.saturating_add(u64::try_from(others).unwrap_or(u64::MAX));
        if others > 0 && self.store.last_number(LABELS_GIVEN)? < given {
            self.store.next_number(LABELS_GIVEN, given)?;
        }
        Ok(())
    }
}

/// The answers beside what the hub has heard by which roots took the place of others behind `known`, which are all that the
/// store knows, the newest last.
pub(crate) fn kept_answers(dir: &Path, mut known: Vec<AuthorityCertificate>) -> Result<Vec<RootAnswer>, Error> {
    let mut answers = Vec::new();
    loop {
        let newest = known.iter().map(|root| root.label.number()).max().unwrap_or(0);
        let Some(next) = KeyLabel::new(KeyRole::Root, newest.saturating_add(1)) else { return Ok(answers) };
        let path = answer_of(dir, next);
        let bytes = files::read(&path).map_err(|error| Error::Conflict(error.to_string()))?;
        let Some(bytes) = bytes else { return Ok(answers) };
        let answer = RootAnswer::read(&bytes, &known);
        let root = answer.as_ref().ok().and_then(|answer| answer.root.as_ref()).map(|root| root.certificate.clone());
        match (answer, root.filter(|root| root.label == next)) {
            (Ok(answer), Some(root)) => {
                answers.push(answer);
                known.push(root);
            }
            (answer, _) => {
                let why = answer.err().map_or_else(String::new, |error| error.to_string());
                tracing::warn!(file = %path.display(), why, "this is no answer of our root, and is passed over");
                return Ok(answers);
            }
        }
    }
}

/// Where the answer is kept by which this root took the place of the one before.
pub(crate) fn answer_of(dir: &Path, root: KeyLabel) -> PathBuf {
    knowledge_of(dir).join(format!("{root}.answer"))
}

/// The folder of what a hub has heard, in that of its authority.
pub(crate) fn knowledge_of(dir: &Path) -> PathBuf {
    dir.join("knowledge")
}

/// The label of the next issuing key: behind all that were given, and of none that the signer refuses, since a store that was
/// brought back does not know which were retired. A key that is there already was left by a change that was cut off; but not
/// where it is one that was stolen since the backup, or may be.
pub(crate) fn free_label(store: &dyn Store, signer: &dyn Signer, keys: Option<&KeyList>) -> Result<KeyLabel, Error> {
    let too_many = || Error::Conflict("there were too many issuing keys".to_owned());
    let next = keys.map_or(Some(KeyLabel::ISSUING), KeyList::next).ok_or_else(too_many)?;
    let given = u16::try_from(store.last_number(LABELS_GIVEN)?).map_err(|_| too_many())?;
    let first = next.number().max(given.saturating_add(1));
    let mut revoked = Vec::new();
    for (kind, _) in root_crl::KINDS {
        revoked.extend(store.published(kind)?.and_then(|held| RootCrl::of_published(&held)));
    }
    let serials = revoked.iter().flat_map(RootCrl::serials);
    let some_unknown = keys.is_some_and(|keys| unknown_serials(keys, serials) > 0);
    for number in first..first.saturating_add(LABELS) {
        let Some(label) = KeyLabel::new(KeyRole::Issuing, number) else { break };
        let stolen = match signer.public_key(label) {
            Ok(None) => false,
            Ok(Some(spki)) => some_unknown || is_stolen(store, KeyId::of(&[spki.as_slice()], &AwsLc))?,
            Err(SignerError::Refused(_)) => true,
            Err(error) => return Err(error.into()),
        };
        if !stolen {
            return Ok(label);
        }
    }
    Err(too_many())
}

pub(crate) fn is_stolen(store: &dyn Store, key: KeyId) -> Result<bool, StoreError> {
    let known = store.standing(Subject::Issuer(key))?;
    Ok(known.is_some_and(|known| known.state == StandingState::Compromised))
}

/// What people are told.
fn told(before: &KeyList, after: &KeyList, lost: &[KeyId], version: Option<u64>) -> String {
    let mut text = match version {
        Some(version) => format!("the store is older than version {version} of the site list; it goes on from there"),
        None => "the store is older than what was heard of it; it goes on from there".to_owned(),
    };
    for key in after.iter() {
        let label = key.certificate.label;
        let stood = before.key(label).map(|key| key.state);
        if stood != Some(key.state) {
            let was = stood
                .map_or("which the store did not know".to_owned(), |was| format!("the store had it as {}", was.name()));
            text.push_str(&format!("; {label} is {}, {was}", key.state.name()));
        }
    }
    for key in lost {
        text.push_str(&format!(
            "; the key {key} is lost: it speaks for the site no more from the next site list on (`medlock authority rotate \
             issuing` makes one), but what it has issued is believed until it ends, and cannot be renewed. To withdraw all of \
             it, as where others may have the key: `medlock authority compromised {key}`; such devices need a new code then"
        ));
    }
    text
}
