//! The root's own revocation list (RFC 5280 section 5): which issuing certificates are in wrong hands, for ordinary software,
//! which reads no site list. It is there from the start and mostly empty. A root that is at hand signs the next one in time;
//! one that is offline signs it with whatever else it is asked, or when it is asked for that alone.

use crate::issue;
use crate::keys::{AuthorityCertificate, KeyList, KeyState};
use crate::restored::knowledge_of;
use crate::signer::{KeyLabel, Kind, Signer};
use crate::status::crl::{self, Content, Entry, Extent};
use crate::store::{Published, Serial, Store, StoreError};
use crate::{Authority, Error, encode};
use axum::body::Bytes;
use medlock_node::files;
use medlock_node::provider::{AwsLc, SigningAlgorithm};
use medlock_trust::Time;
use medlock_trust::crypto::{Crypto as _, Signature};
use medlock_trust::der::{self, Reader, tag};
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What it is called among the published objects.
pub(crate) const KIND: &str = "root-crl";
/// What that of a root is called whose place another has taken.
pub(crate) const FORMER_KIND: &str = "former-root-crl";
/// Its file among what the hub has heard, which outlasts the store.
pub(crate) const FILE: &str = "root.crl";
/// That of a former root.
pub(crate) const FORMER_FILE: &str = "former-root.crl";
/// All of them, and their files.
pub(crate) const KINDS: [(&str, &str); 2] = [(KIND, FILE), (FORMER_KIND, FORMER_FILE)];
const WHAT: &str = "revocation list of the root";
/// How long one of a root at hand is good, in seconds; the next is made at half of it.
const AT_HAND_SECONDS: i64 = 30 * 86_400;
/// How long one of an offline root is good, in seconds: those who open the safe meet once a year.
pub(crate) const OFFLINE_SECONDS: i64 = 400 * 86_400;
/// `keyCompromise` (RFC 5280 section 5.3.1).
const KEY_COMPROMISE: u8 = 1;

/// What a root's revocation list says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RootCrl {
    issuer: Vec<u8>,
    algorithm: SigningAlgorithm,
    key_identifier: Vec<u8>,
    number: u64,
    this_update: Time,
    next_update: Time,
    entries: Vec<Entry>,
}

impl RootCrl {
    /// The list of those of these keys that this root has certified, with a number above all that a store with `held` has given. What that list says stays said: a
    /// store that was brought back knows no certificate of a key that was made, and stolen, behind its copy.
    pub(crate) fn of(
        root: &AuthorityCertificate,
        keys: Option<&KeyList>,
        held: Option<&Published>,
        now: Time,
        at_hand: bool,
    ) -> Self {
        let least = held.map_or(0, |held| held.version).saturating_add(1);
        let mut entries = keys.map(|keys| compromised(root, keys, now)).unwrap_or_default();
        let before = held.and_then(Self::of_published).map(|before| before.entries).unwrap_or_default();
        entries.retain(|entry| before.iter().all(|said| said.serial != entry.serial));
        entries.extend(before);
        entries.sort_by_key(|entry| entry.serial);
        let seconds = if at_hand { AT_HAND_SECONDS } else { OFFLINE_SECONDS };
        Self {
            issuer: root.subject.clone(),
            algorithm: root.algorithm,
            key_identifier: issue::key_identifier(&root.spki),
            // At least the seconds of now: a store from a backup is ahead of what it had given out.
            number: least.max(now.unix().try_into().unwrap_or(0)),
            this_update: now,
            next_update: now.plus_seconds(seconds),
            entries,
        }
    }

    /// What one that was taken says.
    pub(crate) fn of_published(held: &Published) -> Option<Self> {
        Self::read(opened(&held.bytes).ok()?.0).ok()
    }

    /// Which certificates it revokes.
    pub(crate) fn serials(&self) -> impl Iterator<Item = Serial> {
        self.entries.iter().map(|entry| entry.serial)
    }

    /// Its number.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// When it was made.
    pub(crate) const fn issued(&self) -> Time {
        self.this_update
    }

    /// The bytes that the root signs.
    pub(crate) fn to_be_signed(&self) -> Vec<u8> {
        crl::to_be_signed(&Content {
            issuer: &self.issuer,
            algorithm: self.algorithm,
            key_identifier: &self.key_identifier,
            number: self.number,
            this_update: self.this_update,
            next_update: self.next_update,
            partition: None,
            extent: Extent::Complete(None),
            entries: &self.entries,
        })
    }

    /// Reads bytes that are exactly what [`RootCrl::to_be_signed`] writes: complete, of keys that were compromised, and
    /// good for a year at most.
    pub(crate) fn read(tbs: &[u8]) -> Result<Self, String> {
        let read = Self::read_fields(tbs).map_err(|error| error.to_string())?;
        let read = read.filter(|read| read.to_be_signed() == tbs).ok_or("it is not written as a root's is")?;
        let entries_fit = read.entries.iter().all(|entry| entry.reason == KEY_COMPROMISE);
        let seconds = read.next_update.seconds_since(read.this_update);
        if !entries_fit || !(0..=OFFLINE_SECONDS).contains(&seconds) {
            return Err("it says more than which issuing keys are compromised, or is good for too long".to_owned());
        }
        Ok(read)
    }

    /// The fields; `None` where something is none of ours.
    fn read_fields(tbs: &[u8]) -> Result<Option<Self>, der::Error> {
        let mut outer = Reader::new(tbs);
        let mut list = outer.nested(tag::SEQUENCE)?;
        outer.finish()?;
        list.unsigned()?;
        let algorithm = list.expect_element(tag::SEQUENCE)?.encoding;
        let algorithm = SigningAlgorithm::ALL.into_iter().find(|one| encode::signature_algorithm(*one) == algorithm);
        let issuer = list.expect_element(tag::SEQUENCE)?.encoding.to_vec();
        let (this_update, next_update) = (list.time()?, list.time()?);
        let mut entries = Vec::new();
        let mut revoked = Reader::new(list.optional(tag::SEQUENCE)?.unwrap_or_default());
        while !revoked.is_empty() {
            let mut entry = revoked.nested(tag::SEQUENCE)?;
            let serial = Serial::from_octets(entry.integer()?);
            let since = entry.time()?;
            // Written with this reason below, so another one shows.
            let Some(serial) = serial else { return Ok(None) };
            entries.push(Entry { serial, since, reason: KEY_COMPROMISE });
        }
        let mut extensions = list.nested(tag::context_constructed(0))?.nested(tag::SEQUENCE)?;
        let mut value = || -> Result<Reader<'_>, der::Error> {
            let mut extension = extensions.nested(tag::SEQUENCE)?;
            extension.expect(tag::OID)?;
            extension.nested(tag::OCTET_STRING)
        };
        let key_identifier = value()?.nested(tag::SEQUENCE)?.expect(tag::context(0))?.to_vec();
        let octets = value()?.integer()?;
        let number =
            octets.iter().try_fold(0_u64, |number, octet| number.checked_mul(256)?.checked_add((*octet).into()));
        let (Some(algorithm), Some(number)) = (algorithm, number) else { return Ok(None) };
        Ok(Some(Self { issuer, algorithm, key_identifier, number, this_update, next_update, entries }))
    }

    /// Whether it is in the name and with the key of this root.
    pub(crate) fn is_of(&self, root: &AuthorityCertificate) -> bool {
        self.issuer == root.subject
            && self.algorithm == root.algorithm
            && self.key_identifier == issue::key_identifier(&root.spki)
    }

    /// The empty list of another root, with the number and dates of this one.
    pub(crate) fn empty_of(&self, root: &AuthorityCertificate) -> Self {
        Self {
            issuer: root.subject.clone(),
            algorithm: root.algorithm,
            key_identifier: issue::key_identifier(&root.spki),
            entries: Vec::new(),
            ..self.clone()
        }
    }

    /// Whether it has what is known of this root's keys, whatever dates it gives.
    fn says(&self, root: &AuthorityCertificate, keys: &KeyList, now: Time) -> bool {
        compromised(root, keys, now).iter().all(|entry| self.serials().any(|serial| serial == entry.serial))
    }
}

/// What people see of it in a request.
impl fmt::Display for RootCrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "revocations   number {}, {} to {}", self.number, self.this_update, self.next_update)?;
        for entry in &self.entries {
            writeln!(f, "  revoked     certificate {}, since {}: its key is compromised", entry.serial, entry.since)?;
        }
        Ok(())
    }
}

/// The certificates by this root of the keys that are compromised, ascending by serial. Those of retired keys stay good.
fn compromised(root: &AuthorityCertificate, keys: &KeyList, now: Time) -> Vec<Entry> {
    let of_root = |key: &&crate::keys::IssuingKey| {
        keys.roots().len() < 2 || keys.root_above(key).is_some_and(|above| above.certificate.key == root.key)
    };
    let stolen = keys.iter().filter(|key| key.state == KeyState::Compromised).filter(of_root);
    let entry = |key: &crate::keys::IssuingKey| {
        let (serial, since) = (serial_of(&key.certificate)?, key.until.unwrap_or(now));
        Some(Entry { serial, since, reason: KEY_COMPROMISE })
    };
    let mut entries: Vec<Entry> = stolen.filter_map(entry).collect();
    entries.sort_by_key(|entry| entry.serial);
    entries
}

/// The serial of an authority's own certificate.
pub(crate) fn serial_of(certificate: &AuthorityCertificate) -> Option<Serial> {
    Serial::from_octets(Certificate::from_der(&certificate.der).ok()?.serial_magnitude())
}

/// The to-be-signed bytes of a signed list, and the signature.
fn opened(der: &[u8]) -> Result<(&[u8], &[u8]), der::Error> {
    let mut outer = Reader::new(der);
    let mut list = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    let tbs = list.expect_element(tag::SEQUENCE)?.encoding;
    list.expect(tag::SEQUENCE)?;
    let signature = list.octets_in_bit_string()?;
    list.finish()?;
    Ok((tbs, signature))
}

/// The to-be-signed bytes of a list that this root has signed.
pub(crate) fn verified<'a>(der: &'a [u8], root: &AuthorityCertificate) -> Option<&'a [u8]> {
    let (tbs, signature) = opened(der).ok()?;
    let public = SubjectPublicKeyInfo::from_der(&root.spki).ok()?.public_key()?;
    AwsLc.verify(root.algorithm.signature(), public, &[tbs], Signature::X509(signature)).ok()?;
    // Also what is not signed is what a root writes.
    (encode::signed(tbs, signature) == der).then_some(tbs)
}

/// What a list says that this root has signed, and a person or a folder gives (DER).
pub(crate) fn read(der: &[u8], root: &AuthorityCertificate) -> Option<RootCrl> {
    RootCrl::read(verified(der, root)?).ok()
}

/// What a list says that calls itself this root's, whoever has signed it.
pub(crate) fn opened_of(der: &[u8], root: &AuthorityCertificate) -> Option<RootCrl> {
    RootCrl::read(opened(der).ok()?.0).ok().filter(|list| list.is_of(root))
}

/// Signs one.
pub(crate) fn sign(tbs: &[u8], root: &AuthorityCertificate, signer: &dyn Signer) -> Result<Vec<u8>, Error> {
    Ok(encode::signed(tbs, &signer.sign(root.label, Kind::Crl, tbs)?))
}

/// Stores one that the root has signed, that of the newest root as [`KIND`]; one that was stored before a crash is taken again.
pub(crate) fn take(
    kind: &'static str,
    der: &[u8],
    root: &AuthorityCertificate,
    store: &dyn Store,
    now: Time,
) -> Result<(), Error> {
    let failed = |why: String| Error::Object { what: WHAT, why };
    let tbs = verified(der, root).ok_or_else(|| failed("it is not signed by the root".to_owned()))?;
    let version = RootCrl::read(tbs).map_err(failed)?.number;
    match store.publish(kind, Published { version, at: now, bytes: der.to_vec() }) {
        Err(StoreError::Taken { .. }) => {
            // Signing the same again gives another signature.
            let same = |held: Published| opened(&held.bytes).is_ok_and(|(held, _)| held == tbs);
            if store.published(kind)?.is_some_and(same) {
                return Ok(());
            }
            Err(Error::Conflict("a later revocation list of the root is published already: ask again".to_owned()))
        }
        other => Ok(other?),
    }
}

/// That of the newest root that is held.
pub(crate) fn held(store: &dyn Store) -> Result<Option<Published>, StoreError> {
    store.published(KIND)
}

/// Whether the next one is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Not,
    /// A root at hand makes the next one; also where a clock that was ahead has made this one.
    Half,
    /// People must be told where the root is offline: two months before the end.
    Soon,
    /// There is none, or it lacks a key.
    Behind,
}

impl Authority {
    /// The revocation list of the root that certifies, DER; `None` where an offline root has not signed one yet.
    ///
    /// # Errors
    /// [`Error`] when the store failed.
    pub fn root_crl(&self) -> Result<Option<Bytes>, Error> {
        Ok(held(&*self.store)?.map(|held| held.bytes.into()))
    }

    /// That of the root with this label, of which there is one for the newest two.
    ///
    /// # Errors
    /// [`Error`] when the store failed.
    pub fn root_crl_of(&self, label: KeyLabel) -> Result<Option<Bytes>, Error> {
        let keys = self.keys();
        let Some(root) = keys.roots().iter().find(|root| root.certificate.label == label) else { return Ok(None) };
        for kind in [KIND, FORMER_KIND] {
            let held = self.store.published(kind)?.map(|held| held.bytes);
            if let Some(list) = held.filter(|held| opened_of(held, &root.certificate).is_some()) {
                return Ok(Some(list.into()));
            }
        }
        Ok(None)
    }

    /// Makes the next ones when they are due, or tells people that an offline root must.
    pub(crate) fn keep_root_crl(&self) -> Result<(), Error> {
        self.keep_crl_of(KIND, &self.newest_root())?;
        let former = self.keys().former_root().cloned();
        former.map_or(Ok(()), |former| self.keep_crl_of(FORMER_KIND, &former))
    }

    fn keep_crl_of(&self, kind: &'static str, root: &AuthorityCertificate) -> Result<(), Error> {
        let due = self.root_crl_due(kind, root)?;
        if due == Due::Not || self.locks.root_crl_told.load(Ordering::Relaxed) {
            return Ok(());
        }
        if self.signer.public_key(root.label)?.is_some() {
            let _one_at_a_time = self.keys_lock()?;
            self.read_keys()?;
            // Another hub may have been faster, also in changing the roots.
            let roots = [Some(self.newest_root()), self.keys().former_root().cloned()];
            let stands = roots.iter().flatten().any(|one| one.key == root.key);
            let due = stands && self.root_crl_due(kind, root)? != Due::Not;
            return if due { self.make_root_crl(kind, root) } else { Ok(()) };
        }
        let what = match due {
            Due::Not | Due::Half => return Ok(()),
            Due::Soon => "ends soon",
            Due::Behind => "is missing, or does not say yet which issuing keys are compromised",
        };
        self.locks.root_crl_told.store(true, Ordering::Relaxed);
        let text = format!(
            "the revocation list of the offline root {what}, and ordinary software may go by it: `medlock authority request \
             root-crl --out FILE`, `medlock authority sign-request` where the root is, `medlock authority accept ANSWER`"
        );
        self.alarm("root-crl-due", None, text)
    }

    /// The root that is to be asked for its revocation list alone: the former one where its list ends first, or lacks a key.
    pub(crate) fn root_for_crl(&self) -> Result<Arc<AuthorityCertificate>, Error> {
        let newest = self.newest_root();
        let asks = |due: Due| matches!(due, Due::Soon | Due::Behind);
        match self.keys().former_root() {
            Some(former)
                if asks(self.root_crl_due(FORMER_KIND, former)?) && !asks(self.root_crl_due(KIND, &newest)?) =>
            {
                Ok(former.clone())
            }
            Some(_) | None => Ok(newest),
        }
    }

    fn root_crl_due(&self, kind: &'static str, root: &AuthorityCertificate) -> Result<Due, Error> {
        let (held, now) = (self.store.published(kind)?, self.clock.now());
        let read = held.as_ref().and_then(RootCrl::of_published).filter(|read| read.is_of(root));
        let Some(read) = read.filter(|read| read.says(root, &self.keys(), now)) else { return Ok(Due::Behind) };
        let (life, left) = (read.next_update.seconds_since(read.this_update), read.next_update.seconds_since(now));
        Ok(match left {
            left if left < life / 6 => Due::Soon,
            left if left < life / 2 || read.this_update > now => Due::Half,
            _ => Due::Not,
        })
    }

    fn make_root_crl(&self, kind: &'static str, root: &AuthorityCertificate) -> Result<(), Error> {
        let (held, now) = (self.store.published(kind)?, self.clock.now());
        let list = RootCrl::of(root, Some(&self.keys()), held.as_ref(), now, true);
        let der = sign(&list.to_be_signed(), root, &*self.signer)?;
        take(kind, &der, root, &*self.store, now)?;
        self.keep_beside()
    }

    /// Keeps the newest of each root beside what the hub has heard.
    pub(crate) fn keep_beside(&self) -> Result<(), Error> {
        let failed = |error: medlock_node::Error| Error::Conflict(error.to_string());
        for (kind, file) in KINDS {
            let Some(held) = self.store.published(kind)? else { continue };
            let file = knowledge_of(&self.settings.dir).join(file);
            if files::read(&file).map_err(failed)?.as_ref() != Some(&held.bytes) {
                files::replace(&file, &held.bytes).map_err(failed)?;
            }
            self.locks.root_crl_kept.fetch_max(held.version, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Keeps one that another hub on the same store has made.
    pub(crate) fn hear_of_root_crl(&self, versions: &[(String, u64)]) -> Result<(), Error> {
        let of_root = |(kind, _): &&(String, u64)| KINDS.iter().any(|(name, _)| kind == name);
        let version = versions.iter().filter(of_root).map(|(_, version)| *version).max().unwrap_or(0);
        if self.locks.root_crl_kept.load(Ordering::Relaxed) >= version { Ok(()) } else { self.keep_beside() }
    }

    /// Takes one in that an offline root has signed.
    pub(crate) fn take_root_crl(
        &self,
        kind: &'static str,
        der: &[u8],
        root: &AuthorityCertificate,
    ) -> Result<(), Error> {
        take(kind, der, root, &*self.store, self.clock.now())?;
        self.keep_beside()?;
        self.locks.root_crl_told.store(false, Ordering::Relaxed);
        Ok(())
    }
}
