//! Signatures of members who never meet: each signs the same bytes, and somebody puts them together.

use super::proposal::Proposal;
use super::refused;
use crate::Error;
use crate::bytes::Sink;
use medlock_node::lists::fork::signatures;
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::cose::{self, Algorithm, ContentType, Sign};
use medlock_trust::list::{List, Pinned, Suspension};
use medlock_trust::{Interval, KeyId, Time};
use std::collections::BTreeMap;

/// Signs a proposal with one key. What comes out has the form of the whole, with one signature.
///
/// # Errors
/// [`Error::Object`] if the proposal would be refused, if this key has nothing to sign there, or cannot sign such objects.
pub fn sign(payload: &[u8], key: &SigningKey, current: Option<&List<'_>>, now: Time) -> Result<Vec<u8>, Error> {
    let proposal = Proposal::read(payload)?;
    proposal.check(current, now)?;
    let id = key.key_id();
    let named = |list: &List<'_>| list.member(id).is_some() || list.recovery().any(|one| one.key == id);
    let has_a_say = match &proposal {
        Proposal::List(list) => list.member(id).is_some() || current.is_some_and(named),
        Proposal::Suspension(_) => current.is_some_and(|list| list.member(id).is_some()),
    };
    if !has_a_say {
        return Err(refused(
            "signature",
            format!(
                "key {id} is no member of the proposal, nor of the current list (--current): its signature would count for nothing"
            ),
        ));
    }
    let algorithm = key.algorithm().cose();
    let mut out = Vec::new();
    cose::sign(payload, proposal.content_type(), &[(id, algorithm)], Sink(&mut out), |_, parts| {
        Ok::<_, std::convert::Infallible>(key.sign_cose(&parts))
    })
    .map_err(|error| refused("signature", error))?;
    Ok(out)
}

/// By whom a list is believed that is put together.
#[derive(Clone, Copy, Debug)]
pub enum Believed<'a> {
    /// The current list, which it follows.
    After(&'a List<'a>),
    /// The keys of members one was told of, and how many must have signed.
    Members(&'a [KeyId], u8),
    /// Itself: the very first version. Its own members must have signed.
    Itself,
}

impl<'a> Believed<'a> {
    /// The current list, if there is one.
    #[must_use]
    pub const fn current(&self) -> Option<&'a List<'a>> {
        match self {
            Self::After(list) => Some(list),
            Self::Members(..) | Self::Itself => None,
        }
    }

    /// Verifies a list as those will who get it.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn verify<'l>(&self, bytes: &'l [u8], now: Time) -> Result<List<'l>, Error> {
        let time = Interval::exactly(now);
        let list = match self {
            Self::After(held) => List::verify_successor(bytes, held, time, &AwsLc),
            Self::Members(keys, threshold) => {
                List::verify_pinned(bytes, &Pinned::Members { keys, threshold: *threshold }, time, &AwsLc)
            }
            Self::Itself => {
                let own = List::danger_open(bytes).map_err(|error| refused("trust list", error))?;
                let keys: Vec<KeyId> = own.members().map(|member| member.key).collect();
                let threshold = own.heading().threshold;
                List::verify_pinned(bytes, &Pinned::Members { keys: &keys, threshold }, time, &AwsLc)
            }
        };
        list.map_err(|error| refused("trust list", error))
    }
}

/// Puts signatures of one proposal together, and verifies the whole as those will who get it. More signatures than needed do no
/// harm, nor does a file with a wrong one, or a stranger's: it is left out.
///
/// # Errors
/// [`Error::Object`] if one of the files is of another proposal, or if not enough have signed.
pub fn assemble(payload: &[u8], files: &[Vec<u8>], by: Believed<'_>, now: Time) -> Result<Vec<u8>, Error> {
    let proposal = Proposal::read(payload)?;
    let kind = proposal.content_type();
    let list = match &proposal {
        Proposal::List(list) => list,
        Proposal::Suspension(_) => current_of(by)?,
    };
    let mut all: BTreeMap<KeyId, (Algorithm, &[u8])> = BTreeMap::new();
    let mut wrong = None;
    for (number, file) in files.iter().enumerate() {
        let number = number + 1;
        let one = Sign::read(file, kind).map_err(|error| refused("signature", format!("file {number}: {error}")))?;
        if one.payload() != payload {
            return Err(refused(
                "signature",
                format!("file {number} signs another proposal than this one: get it signed anew"),
            ));
        }
        for (signer, checked) in one.signers().zip(signatures(file, kind, list, by.current())) {
            match checked.valid {
                Some(true) => drop(all.insert(signer.key(), (signer.algorithm(), signer.signature()))),
                Some(false) => {
                    wrong = wrong.or(Some(format!("file {number} has a wrong signature of {}", checked.key)));
                }
                None => {}
            }
        }
    }
    let signers: Vec<(KeyId, Algorithm)> = all.iter().map(|(key, (algorithm, _))| (*key, *algorithm)).collect();
    let mut out = Vec::new();
    cose::sign(payload, kind, &signers, Sink(&mut out), |key, _| {
        all.get(&key).map(|(_, signature)| *signature).ok_or("there is no such signature")
    })
    .map_err(|error| refused("signatures", error))?;
    match (verify_whole(&out, kind, by, now), wrong) {
        (Err(error), Some(wrong)) => Err(refused("signatures", format!("{wrong}, which is left out; then: {error}"))),
        (verified, _) => verified.map(|()| out),
    }
}

fn current_of<'a>(by: Believed<'a>) -> Result<&'a List<'a>, Error> {
    by.current().ok_or_else(|| refused("suspension", "give the current list: --current"))
}

fn verify_whole(object: &[u8], kind: ContentType, by: Believed<'_>, now: Time) -> Result<(), Error> {
    if kind == ContentType::LIST {
        return by.verify(object, now).map(drop);
    }
    let verified = Suspension::verify(object, current_of(by)?, Interval::exactly(now), &AwsLc);
    verified.map(drop).map_err(|error| refused("suspension", error))
}
