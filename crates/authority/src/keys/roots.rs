//! The authority's roots. One that takes the place of another has the same name and another key; each certifies the other
//! (RFC 4210 section 4.4), so that who believes one of them believes what is below both.

use super::{AuthorityCertificate, IssuingKey, KeyList, KeyState};
use crate::Error;
use crate::signer::KeyLabel;
use crate::store::{Purpose, Store};
use medlock_trust::list::List;
use medlock_trust::x509::Certificate;
use medlock_trust::{KeyId, Time};
use std::sync::Arc;

/// A root. Of its states, *current* is the one that certifies issuing keys; a *former* one is the anchor that the site list
/// names until it is *retired*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootKey {
    /// Its certificate, signed by itself.
    pub certificate: Arc<AuthorityCertificate>,
    /// How it stands.
    pub state: KeyState,
    /// Since when it certifies nothing any more.
    pub until: Option<Time>,
    /// Of one that is retired: until when what it has certified counts at all.
    pub vouches: Option<Time>,
    /// How it took the place of the one before it; the first has not.
    pub(crate) came: Option<Came>,
}

/// How a root took the place of another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Came {
    /// Its certificate by the one before (RFC 4210: NewWithOld), DER.
    pub(crate) link: Vec<u8>,
    /// The certificate of the one before by this one (OldWithNew), DER.
    pub(crate) back: Vec<u8>,
    /// The site list that both have signed, by which those catch up who know the one before alone. A maker has none.
    pub(crate) list: Option<Vec<u8>>,
}

impl RootKey {
    /// The first root, which certifies.
    #[must_use]
    pub fn first(certificate: AuthorityCertificate) -> Self {
        Self { certificate: Arc::new(certificate), state: KeyState::Current, until: None, vouches: None, came: None }
    }

    /// A root that another has taken the place of, and that is not retired.
    #[must_use]
    pub fn former(certificate: AuthorityCertificate) -> Self {
        Self { state: KeyState::Former, ..Self::first(certificate) }
    }

    /// A root that is retired since `until`.
    #[must_use]
    pub fn retired(certificate: AuthorityCertificate, until: Time, vouches: Option<Time>) -> Self {
        Self { state: KeyState::Retired, until: Some(until), vouches, ..Self::first(certificate) }
    }
}

impl KeyList {
    /// The root that certifies, by the store of an authority that is not open; `None` where it waits for its root.
    pub(crate) fn stored_root(store: &dyn Store) -> Result<Option<AuthorityCertificate>, Error> {
        if let Some(newest) = Self::held(store)?.as_ref().and_then(Self::newest_root) {
            return Ok(Some(AuthorityCertificate::clone(newest)));
        }
        let first = store.newest(Purpose::Root)?;
        first.map(|first| AuthorityCertificate::read(KeyLabel::ROOT, first.certificate)).transpose()
    }

    /// The roots there were, the first one first. Empty where the list is of a version that knew of one alone.
    #[must_use]
    pub fn roots(&self) -> &[RootKey] {
        &self.roots
    }

    /// The certificates of all roots.
    pub(crate) fn root_certificates(&self) -> Vec<AuthorityCertificate> {
        self.roots.iter().map(|root| AuthorityCertificate::clone(&root.certificate)).collect()
    }

    /// The root that certifies, and is asked.
    pub(crate) fn newest_root(&self) -> Option<&Arc<AuthorityCertificate>> {
        self.roots.iter().rev().find(|root| root.state == KeyState::Current).map(|root| &root.certificate)
    }

    /// The root whose place another has taken, and that is not retired yet.
    pub(crate) fn former_root(&self) -> Option<&Arc<AuthorityCertificate>> {
        self.roots.iter().find(|root| root.state == KeyState::Former).map(|root| &root.certificate)
    }

    /// The root in whose name the authority speaks: the former one as long as there is one.
    pub(crate) fn anchor(&self) -> Option<&Arc<AuthorityCertificate>> {
        self.former_root().or_else(|| self.newest_root())
    }

    /// The root with this key.
    pub(crate) fn root_with(&self, key: KeyId) -> Option<&RootKey> {
        self.roots.iter().find(|root| root.certificate.key == key)
    }

    /// The root that has certified this issuing key.
    pub(crate) fn root_above(&self, key: &IssuingKey) -> Option<&RootKey> {
        let certificate = Certificate::from_der(&key.certificate.der).ok()?;
        self.roots.iter().rev().find(|root| root.certificate.has_signed(&certificate))
    }

    /// What stands above an issuing certificate in a chain that anybody can check who knows any of the last roots: the way
    /// from the root that has certified it to those before, and the anchor's own certificate. That comes last: whoever looks
    /// for a way takes what is named first. At most `most` certificates.
    pub(crate) fn way_up(&self, issuing: &IssuingKey, most: usize) -> Vec<Vec<u8>> {
        let (Some(above), Some(anchor)) = (self.root_above(issuing), self.anchor()) else { return Vec::new() };
        let reached = |root: &&RootKey| root.certificate.label <= above.certificate.label;
        let links = self.roots.iter().rev().filter(reached).filter_map(|root| Some(root.came.as_ref()?.link.clone()));
        // Below a root that is retired: who knows it still may ask.
        let last = if above.certificate.label < anchor.label { &above.certificate } else { anchor };
        links.take(most.saturating_sub(1)).chain([last.der.clone()]).collect()
    }

    /// This list, in which `new` takes the place of the root that certified.
    pub(crate) fn with_root(mut self, new: AuthorityCertificate, came: Came, now: Time) -> Self {
        for root in self.roots.iter_mut().filter(|root| root.state == KeyState::Current) {
            (root.state, root.until) = (KeyState::Former, Some(now));
        }
        self.roots.push(RootKey { came: Some(came), ..RootKey::first(new) });
        self
    }

    /// This list, in which the root `label` is retired since `now`, and what it has certified counts until `vouches`.
    pub(crate) fn with_root_retired(mut self, label: KeyLabel, now: Time, vouches: Option<Time>) -> Self {
        for root in self.roots.iter_mut().filter(|root| root.certificate.label == label) {
            (root.state, root.until, root.vouches) = (KeyState::Retired, Some(now), vouches);
        }
        self
    }

    /// The first site list that is kept of those behind `version`: whoever missed it takes it before any later one.
    pub(crate) fn missed_list(&self, version: u64) -> Option<&[u8]> {
        let lists = self.roots.iter().filter_map(|root| root.came.as_ref()?.list.as_deref());
        let behind = |list: &&[u8]| List::danger_open(list).is_ok_and(|list| list.heading().version > version);
        lists.into_iter().find(behind)
    }

    /// Whether one root certifies, and one alone, and at most one is former.
    pub(super) fn check_roots(&self) -> Result<(), Error> {
        let count = |state| self.roots.iter().filter(|root| root.state == state).count();
        let fits = self.roots.is_empty() || (count(KeyState::Current) == 1 && count(KeyState::Former) <= 1);
        let why = || "it has not one current root".to_owned();
        if fits { Ok(()) } else { Err(Error::Object { what: super::list::WHAT, why: why() }) }
    }
}
