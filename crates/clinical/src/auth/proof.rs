//! Proofs of possession at the doors (RFC 9449): each counts once, at whichever hub of the store it comes.
//!
//! A proof is young, by the hub's clock. Software whose clock differs is given a nonce (section 8), which says when it was
//! asked: with it, the time in the proof is not looked at.

use super::dpop::{Asked, Proof, Refused};
use crate::store::Records;
use data_encoding::BASE64URL_NOPAD;
use http::{HeaderMap, HeaderName};
use medlock_trust::Time;

/// Where a proof stands.
const PROOF: HeaderName = HeaderName::from_static("dpop");
/// Where a nonce is given.
pub(crate) const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The algorithms of proofs, as they are told.
pub(crate) const ALGORITHMS: [&str; 3] = ["ES256", "EdDSA", "RS256"];
/// How long a nonce is good, in seconds.
const NONCE_SECONDS: i64 = 300;
/// What nonces are sealed for.
const SEALED_FOR: &[u8] = b"dpop-nonce";

/// Why a request proves nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unproved {
    /// It has two proofs, or one that is no text.
    #[error("the header DPoP stands twice, or is no text")]
    Header,
    /// The proof is not for this request.
    #[error("{0}")]
    Refused(#[from] Refused),
    /// It came before.
    #[error("the proof came before: sign one for each request")]
    Replayed,
    /// Whether it came before cannot be told.
    #[error("whether the proof came before cannot be told now")]
    Away(#[from] medlock_store::Error),
}

impl Unproved {
    /// Whether a proof with a nonce would do.
    pub(crate) const fn wants_nonce(&self) -> bool {
        matches!(self, Self::Refused(Refused::Time | Refused::Nonce))
    }
}

/// The proof of a request, if it has one.
pub(crate) fn shown(headers: &HeaderMap) -> Result<Option<&str>, Unproved> {
    let mut all = headers.get_all(PROOF).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(one), None) => one.to_str().map(Some).map_err(|_| Unproved::Header),
        (Some(_), Some(_)) => Err(Unproved::Header),
    }
}

/// Checks a proof, all but whether it came before.
pub(crate) fn check(records: &Records, proof: &str, asked: &Asked<'_>) -> Result<Proof, Unproved> {
    Ok(Proof::check(proof, asked, |nonce| until(records, nonce))?)
}

/// Lets a proof count. Blocks.
pub(crate) fn count(records: &Records, proof: &Proof) -> Result<(), Unproved> {
    if records.spend_proof(proof.number, proof.until.unix())? { Ok(()) } else { Err(Unproved::Replayed) }
}

/// A nonce, good for all hubs of the store.
pub(crate) fn nonce(records: &Records, now: Time) -> String {
    let until = now.unix().saturating_add(NONCE_SECONDS);
    BASE64URL_NOPAD.encode(&records.seal_for(&until.to_be_bytes(), SEALED_FOR))
}

/// Until when a nonce is good, if it is ours.
fn until(records: &Records, nonce: &str) -> Option<Time> {
    let sealed = BASE64URL_NOPAD.decode(nonce.as_bytes()).ok()?;
    let until = records.unseal_for(&sealed, SEALED_FOR)?;
    Some(Time::from_unix(i64::from_be_bytes(until.try_into().ok()?)))
}
