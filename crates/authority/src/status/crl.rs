//! The certificate revocation list (RFC 5280 section 5, version 2): complete or what has changed, of all certificates or
//! of one partition of them.

use super::crl_reason;
use crate::encode::{self, context, context_primitive, extension, oid, sequence, tlv};
use crate::signer::KeyLabel;
use crate::store::{MetCertificate, Serial, Standings, StoreError};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::Time;
use std::collections::BTreeMap;

/// Whether a CRL is complete.
#[derive(Clone, Copy, Debug)]
pub enum Extent<'a> {
    /// It has all entries, and says where the changes since are found, if they are found anywhere (RFC 5280 section 5.2.6).
    Complete(Option<&'a str>),
    /// It has what has changed since the complete one with this number (section 5.2.4).
    Since(u64),
}

/// What a CRL says.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// The issuer's name, DER.
    pub issuer: &'a [u8],
    /// What the issuer's key signs with.
    pub algorithm: SigningAlgorithm,
    /// The issuer's key identifier, as in its SKI.
    pub key_identifier: &'a [u8],
    /// The CRL's number: grows with each.
    pub number: u64,
    /// When it was made.
    pub this_update: Time,
    /// When the next one is made at the latest.
    pub next_update: Time,
    /// The address in the certificates it is about; `None`: it is about all (RFC 5280 section 5.2.5).
    pub partition: Option<&'a str>,
    /// Whether it is complete.
    pub extent: Extent<'a>,
    /// Its entries, ascending by serial.
    pub entries: &'a [Entry],
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The certificate.
    pub serial: Serial,
    /// Since when.
    pub since: Time,
    /// `CRLReason` (RFC 5280 section 5.3.1).
    pub reason: u8,
}

/// `removeFromCRL`: in a delta, an entry of the complete CRL that is no more.
pub const REMOVED: u8 = 8;

/// Room for what a signature adds to a CRL, so that it need not be copied for it: enough for ML-DSA-65.
const SIGNED_ROOM: usize = 4_096;

/// Writes the `TBSCertList`, with room for its signature (`encode::signed_in_place`).
#[must_use]
pub fn to_be_signed(content: &Content<'_>) -> Vec<u8> {
    let before = [
        encode::unsigned(&[1]),
        encode::signature_algorithm(content.algorithm),
        content.issuer.to_vec(),
        encode::time(content.this_update),
        encode::time(content.next_update),
    ]
    .concat();
    let after = context(0, &[&sequence(&[&extensions(content).concat()])]);
    // Each entry is written twice, because millions of them are not to be held twice.
    let length = content.entries.iter().map(|one| entry(one).len()).sum();
    let entries = if length == 0 { Vec::new() } else { encode::head(encode::SEQUENCE, length) };
    let whole = before.len() + entries.len() + length + after.len();
    let mut tbs = encode::head(encode::SEQUENCE, whole);
    tbs.reserve_exact(whole + SIGNED_ROOM);
    tbs.extend([before, entries].concat());
    content.entries.iter().for_each(|one| tbs.extend(entry(one)));
    tbs.extend(after);
    tbs
}

fn extensions(content: &Content<'_>) -> Vec<Vec<u8>> {
    let number = |number: u64| encode::unsigned(&number.to_be_bytes());
    let authority = sequence(&[&context_primitive(0, content.key_identifier)]);
    let mut all = vec![
        extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority),
        extension(oid::CRL_NUMBER, false, &number(content.number)),
    ];
    if let Some(partition) = content.partition {
        all.push(extension(oid::ISSUING_DISTRIBUTION_POINT, true, &sequence(&[&point(partition)])));
    }
    match content.extent {
        Extent::Complete(None) => {}
        Extent::Complete(Some(changes)) => {
            let points = sequence(&[&sequence(&[&point(changes)])]);
            all.push(extension(oid::FRESHEST_CRL, false, &points));
        }
        Extent::Since(base) => all.push(extension(oid::DELTA_CRL_INDICATOR, true, &number(base))),
    }
    all
}

/// A distribution point's name: where something is found (RFC 5280 section 4.2.1.13).
pub(crate) fn point(address: &str) -> Vec<u8> {
    context(0, &[&context(0, &[&context_primitive(6, address.as_bytes())])])
}

fn find<'l>(list: &'l [Entry], wanted: &Entry) -> Option<&'l Entry> {
    let at = list.binary_search_by_key(wanted.serial.as_bytes(), |entry| *entry.serial.as_bytes()).ok()?;
    list.get(at)
}

/// What a delta says: what is new or different in `now`, and what is gone from `base`. Both ascend by serial.
#[must_use]
pub fn changes(base: &[Entry], now: &[Entry], at: Time) -> Vec<Entry> {
    let gone = base.iter().filter(|entry| find(now, entry).is_none());
    let gone = gone.map(|entry| Entry { since: at, reason: REMOVED, ..*entry });
    let known = |entry: &&Entry| find(base, entry) != Some(*entry);
    let mut all: Vec<Entry> = now.iter().filter(known).copied().chain(gone).collect();
    all.sort_by_key(|entry| *entry.serial.as_bytes());
    all
}

fn entry(entry: &Entry) -> Vec<u8> {
    let reason = extension(oid::REASON_CODE, false, &tlv(encode::ENUMERATED, &[entry.reason]));
    sequence(&[&encode::unsigned(entry.serial.as_bytes()), &encode::time(entry.since), &sequence(&[&reason])])
}

/// What the store knows, of each issuing key by serial: the worst that applies to each certificate. A superseded
/// certificate leaves the CRL when it has expired; all others stay. With the epoch that it is of.
///
/// # Errors
/// [`StoreError`].
pub fn revoked(
    store: &(impl Standings + ?Sized),
    now: Time,
    issuer: impl Fn(&[u8]) -> Option<KeyLabel> + Send + Sync,
) -> Result<(u64, BTreeMap<KeyLabel, Vec<Entry>>), StoreError> {
    let mut all = BTreeMap::<_, Vec<_>>::new();
    let epoch = store.each_revoked(now, &mut |met| match met {
        MetCertificate::Begin => all.clear(),
        MetCertificate::Revoked(found) => {
            let entry = Entry { serial: found.serial, since: found.since, reason: crl_reason(found.state) };
            if let Some(key) = issuer(&found.certificate) {
                all.entry(key).or_default().push(entry);
            }
        }
    })?;
    for entries in all.values_mut() {
        entries.shrink_to_fit();
        entries.sort_unstable_by_key(|entry| *entry.serial.as_bytes());
    }
    Ok((epoch, all))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-STORE-52.
    #[test]
    fn a_list_of_many_is_written_and_signed_where_it_lies() {
        let entry = |number: u32| Entry {
            serial: Serial::from_random(u128::from(number).to_be_bytes()),
            since: Time::from_unix(i64::from(number) * 40_000),
            reason: 4,
        };
        for count in [0, 1, 3, 70_000] {
            let entries: Vec<_> = (0..count).map(entry).collect();
            let content = Content {
                issuer: &[0x30, 0],
                algorithm: SigningAlgorithm::P256,
                key_identifier: &[7; 20],
                number: 9,
                this_update: Time::from_unix(1_800_000_000),
                next_update: Time::from_unix(1_800_086_400),
                partition: None,
                extent: Extent::Complete(None),
                entries: &entries,
            };
            let tbs = to_be_signed(&content);
            // The same by copies.
            let listed: Vec<u8> = entries.iter().flat_map(super::entry).collect();
            let copied = sequence(&[
                &encode::unsigned(&[1]),
                &encode::signature_algorithm(content.algorithm),
                content.issuer,
                &encode::time(content.this_update),
                &encode::time(content.next_update),
                &if listed.is_empty() { Vec::new() } else { sequence(&[&listed]) },
                &context(0, &[&sequence(&[&extensions(&content).concat()])]),
            ]);
            assert_eq!(tbs, copied);
            let (signature, room) = ([1; 3_309], tbs.capacity());
            let algorithm = encode::signature_algorithm(content.algorithm);
            let whole = sequence(&[&tbs, &algorithm, &encode::bit_string(&signature)]);
            let signed = encode::signed_in_place(tbs, &signature);
            assert_eq!(signed, whole);
            assert_eq!(signed.capacity(), room, "it was copied");
        }
    }

    /// Shows REQ-STAT-10.
    #[test]
    fn changes_have_what_is_new_or_different_and_what_is_gone() {
        let entry = |number: u8, reason| {
            let serial = Serial::from_random([number; 16]);
            Entry { serial, since: Time::from_unix(i64::from(number)), reason }
        };
        let base = [entry(1, 6), entry(2, 6), entry(3, 4)];
        let now = [entry(2, 1), entry(3, 4), entry(5, 6)];
        let at = Time::from_unix(100);
        let gone = Entry { since: at, reason: REMOVED, ..entry(1, 6) };
        assert_eq!(changes(&base, &now, at), [gone, entry(2, 1), entry(5, 6)]);
        assert_eq!(changes(&now, &now, at), []);
    }
}
