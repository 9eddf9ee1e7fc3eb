//! The CRLs that are given out: of all certificates, of one partition, and what has changed since a complete one.
//!
//! All are of one *reading* of the store, have its number, and are written and signed when they are first asked for. The
//! reading is renewed when the status changes, and at half of the CRLs' time. Changes are told since an older reading,
//! the *base*, which is taken anew at half of that time as well: whoever holds a complete CRL of it or later can
//! use them (RFC 5280 section 5.2.4).

use crate::issue::{self, Addresses};
use crate::signer::{KeyLabel, Kind, Signer as _};
use crate::status::crl::{self, Content, Entry, Extent};
use crate::store::StoreError;
use crate::{Authority, Error, encode};
use axum::body::Bytes;
use medlock_trust::Time;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

/// The series of the CRLs' numbers.
const SERIES: &str = "crl";

/// Which CRL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Which {
    /// Of which issuing key's certificates.
    pub key: KeyLabel,
    /// Of this part of the certificates; `None`: of all.
    pub partition: Option<u16>,
    /// What has changed, or all.
    pub delta: bool,
}

/// What was read at one time.
#[derive(Clone, Debug)]
struct Reading {
    number: u64,
    at: Time,
    /// Those of each issuing key, ascending by serial.
    entries: Arc<BTreeMap<KeyLabel, Vec<Entry>>>,
}

impl Reading {
    /// The entries of a key's certificates, or of those that this says.
    fn part(&self, key: KeyLabel, of: Option<&dyn Fn(&Entry) -> bool>) -> Cow<'_, [Entry]> {
        let all = self.entries.get(&key).map(Vec::as_slice).unwrap_or_default();
        match of {
            None => Cow::Borrowed(all),
            Some(of) => all.iter().filter(|entry| of(entry)).copied().collect(),
        }
    }
}

/// The CRLs of one reading, as far as they were asked for.
#[derive(Debug)]
pub(crate) struct Crls {
    epoch: u64,
    now: Reading,
    base: Reading,
    made: BTreeMap<Which, Bytes>,
}

/// What was signed last is better than nothing, as long as it is good.
fn not_newest(held: Crls, error: &Error) -> Crls {
    tracing::warn!(%error, "a revocation list is given out that may not be the newest");
    held
}

impl Authority {
    /// The complete CRL of all certificates of the key that issues, DER.
    ///
    /// # Errors
    /// [`Error`] when store or signer failed.
    pub fn crl(&self) -> Result<Bytes, Error> {
        self.crl_part(Which { key: self.issuing().label, partition: None, delta: false })
    }

    /// The CRL that is called so in addresses ([`Addresses::crl`]), of a key that signs.
    pub(crate) fn crl_called(&self, name: &str) -> Option<Which> {
        let name = name.strip_suffix(".crl")?;
        let (name, delta) = name.strip_suffix(".delta").map_or((name, false), |name| (name, true));
        let number = |text: &str| text.parse().ok().filter(|number: &u16| number.to_string() == text);
        let rules = self.rules();
        let partitions = rules.profile.crl_partitions();
        // A part names its address, so there are parts only where certificates name them.
        let parts = if rules.addresses.is_some() && partitions > 1 { partitions } else { 0 };
        let (key, partition) = match (name.split_once('.'), name.split_once('-')) {
            (Some((key, part)), _) => (key.parse().ok().filter(|key| *key != KeyLabel::ISSUING)?, Some(number(part)?)),
            (None, Some(("issuing", part))) if parts > 0 => (KeyLabel::ISSUING, Some(number(part)?)),
            (None, _) => (name.parse().ok()?, None),
        };
        let there = partition.is_none_or(|number| number < parts);
        let signs = self.keys().key(key).is_some_and(|key| key.state.signs());
        (there && signs).then_some(Which { key, partition, delta })
    }

    /// A CRL, DER.
    ///
    /// # Errors
    /// [`Error`] when store or signer failed.
    pub fn crl_part(&self, which: Which) -> Result<Bytes, Error> {
        let mut held = self.crls.lock().unwrap_or_else(PoisonError::into_inner);
        let crls = match held.take() {
            Some(held) if !self.is_over(&held.now) => match self.store.epoch() {
                Ok(epoch) if epoch == held.epoch => held,
                Ok(_) => self.read_crls(Some(held.base.clone())).unwrap_or_else(|error| not_newest(held, &error)),
                Err(error) => not_newest(held, &error.into()),
            },
            old => self.read_crls(old.map(|old| old.base))?,
        };
        let crls = held.insert(crls);
        if let Some(made) = crls.made.get(&which) {
            return Ok(made.clone());
        }
        let der = self.write_crl(crls, which)?;
        crls.made.insert(which, der.clone());
        Ok(der)
    }

    /// Whether half of the time of the CRLs of a reading is over.
    fn is_over(&self, reading: &Reading) -> bool {
        !(0..self.rules().status_seconds / 2).contains(&self.clock.now().seconds_since(reading.at))
    }

    fn read_crls(&self, base: Option<Reading>) -> Result<Crls, Error> {
        self.not_in_doubt("does not know who was revoked since, so that it signs no revocation list")?;
        self.clocks_agree()?;
        let at = self.clock.now();
        let keys = self.keys();
        let key = |certificate: &[u8]| keys.issuer_of(certificate).map(|key| key.certificate.label);
        loop {
            // The later number is of the later reading, also where another hub reads at the same time.
            let last = self.store.last_number(SERIES)?;
            let (epoch, entries) = crl::revoked(&*self.store, at, key)?;
            let entries = Arc::new(entries);
            let number = match self.store.next_number_after(SERIES, at.unix().try_into().unwrap_or(0), last) {
                Err(StoreError::Taken { .. }) => continue,
                other => other?,
            };
            let now = Reading { number, at, entries };
            let base = base.filter(|base| !self.is_over(base)).unwrap_or_else(|| now.clone());
            return Ok(Crls { epoch, now, base, made: BTreeMap::new() });
        }
    }

    fn write_crl<'c>(&self, crls: &'c Crls, which: Which) -> Result<Bytes, Error> {
        let rules = self.rules();
        let addresses = Addresses {
            base: rules.addresses.as_ref().map(|addresses| addresses.base.clone()).unwrap_or_default(),
            crl_partitions: rules.profile.crl_partitions(),
        };
        let in_part = |entry: &Entry| Some(addresses.partition_of(&entry.serial)) == which.partition;
        let in_part: Option<&dyn Fn(&Entry) -> bool> = which.partition.is_some().then_some(&in_part);
        let part = |reading: &'c Reading| reading.part(which.key, in_part);
        let entries = match which.delta {
            false => part(&crls.now),
            true => crl::changes(&part(&crls.base), &part(&crls.now), crls.now.at).into(),
        };
        // Without an address of its own a CRL names none.
        let named = rules.addresses.is_some();
        let one = Addresses { crl_partitions: 1, ..addresses.clone() };
        let delta_at =
            which.partition.map_or_else(|| one.crl(which.key, 0, true), |part| addresses.crl(which.key, part, true));
        let partition = which.partition.map(|part| addresses.crl(which.key, part, false));
        let keys = self.keys();
        let issuing = keys.key(which.key).filter(|key| key.state.signs()).map(|key| &key.certificate);
        let issuing =
            issuing.ok_or_else(|| Error::Conflict(format!("{} signs no revocation list any more", which.key)))?;
        let tbs = crl::to_be_signed(&Content {
            issuer: &issuing.subject,
            algorithm: issuing.algorithm,
            key_identifier: &issue::key_identifier(&issuing.spki),
            number: crls.now.number,
            this_update: crls.now.at,
            next_update: crls.now.at.plus_seconds(rules.status_seconds),
            partition: partition.as_deref(),
            extent: match which.delta {
                true => Extent::Since(crls.base.number),
                false => Extent::Complete(named.then_some(delta_at.as_str())),
            },
            entries: &entries,
        });
        let signature = self.signer.sign(issuing.label, Kind::Crl, &tbs)?;
        Ok(Bytes::from(encode::signed_in_place(tbs, &signature)))
    }
}
