//! The certificate revocation list (RFC 5280 section 5, version 2).

use super::{crl_reason, is_told};
use crate::encode::{self, context, context_primitive, extension, oid, sequence, tlv};
use crate::store::{Issued, Standing, Store, StoreError, Subject};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::Time;
use std::collections::BTreeMap;

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
    /// Serial, since when, and `CRLReason`, ascending by serial.
    pub revoked: &'a [([u8; 16], Time, u8)],
}

/// Writes the `TBSCertList`.
#[must_use]
pub fn to_be_signed(content: &Content<'_>) -> Vec<u8> {
    let entries: Vec<u8> =
        content.revoked.iter().flat_map(|(serial, since, reason)| entry(serial, *since, *reason)).collect();
    let entries = if entries.is_empty() { Vec::new() } else { sequence(&[&entries]) };
    let authority = sequence(&[&context_primitive(0, content.key_identifier)]);
    let extensions = sequence(&[
        &extension(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority),
        &extension(oid::CRL_NUMBER, false, &encode::unsigned(&content.number.to_be_bytes())),
    ]);
    sequence(&[
        &encode::unsigned(&[1]),
        &encode::signature_algorithm(content.algorithm),
        content.issuer,
        &encode::time(content.this_update),
        &encode::time(content.next_update),
        &entries,
        &context(0, &[&extensions]),
    ])
}

fn entry(serial: &[u8], since: Time, reason: u8) -> Vec<u8> {
    let reason = extension(oid::REASON_CODE, false, &tlv(encode::ENUMERATED, &[reason]));
    sequence(&[&encode::unsigned(serial), &encode::time(since), &sequence(&[&reason])])
}

/// What the store knows, by serial: the worst that applies to each certificate. A superseded certificate leaves the CRL
/// when it has expired; all others stay.
///
/// # Errors
/// [`StoreError`].
pub fn revoked(
    store: &(impl Store + ?Sized),
    standings: &[Standing],
    now: Time,
) -> Result<Vec<([u8; 16], Time, u8)>, StoreError> {
    let mut worst: BTreeMap<[u8; 16], &Standing> = BTreeMap::new();
    let mut take = |issued: &Issued, standing| {
        let known = worst.entry(*issued.record.serial.as_bytes()).or_insert(standing);
        if known.state < standing.state {
            *known = standing;
        }
    };
    for standing in standings {
        match standing.subject {
            Subject::Credential(credential) => {
                if let Some(issued) = store.issued(credential)?
                    && is_told(store, standing, now, 0)?
                {
                    take(&issued, standing);
                }
            }
            Subject::Device(name) => store.credentials_of(name)?.iter().for_each(|issued| take(issued, standing)),
            // An issuer's standing is told by the list of the authority above it, not by its own CRL.
            Subject::Issuer(_) => {}
        }
    }
    Ok(worst.into_iter().map(|(serial, standing)| (serial, standing.since, crl_reason(standing))).collect())
}
