//! Verifying a trust list, as everybody does who gets one.

use super::library::NAME;
use crate::Failure;
use crate::bench::rate::took;
use medlock_authority::alliance::signing::{self, Believed};
use medlock_node::provider::{AwsLc, SigningKey};
use medlock_trust::list::{Authority, Content, Heading, List, ListKind, Member, Pinned};
use medlock_trust::path::AuthorityKind;
use medlock_trust::{Interval, Time};
use serde::Serialize;
use std::hint::black_box;

/// Members of the alliance, and how many must sign.
const MEMBERS: usize = 5;
const THRESHOLD: u8 = 3;
/// Makers and sites it lists.
const AUTHORITIES: usize = 40;
/// How often it is verified.
const ROUNDS: u32 = 1_000;

/// What was measured.
#[derive(Debug, Serialize)]
pub(super) struct TrustList {
    pub(super) members: usize,
    pub(super) signatures: u8,
    pub(super) authorities: usize,
    pub(super) bytes: usize,
    /// A first list, by the keys of its members.
    pub(super) verified_microseconds: f64,
    pub(super) target_microseconds: f64,
}

pub(super) fn measure() -> Result<TrustList, Failure> {
    let now = Time::from_unix(1_800_000_000);
    let keys: Vec<SigningKey> = (0..MEMBERS + AUTHORITIES).map(|_| SigningKey::generate()).collect();
    let (of_members, of_authorities) = keys.split_at(MEMBERS);
    let members: Vec<_> =
        of_members.iter().map(|key| Member { key: key.key_id(), spki: key.spki(), name: "a member" }).collect();
    let mut authorities: Vec<_> = of_authorities
        .iter()
        .map(|key| Authority::for_everything(key.key_id(), AuthorityKind::Maker, "A Maker", &NAME, key.spki()))
        .collect();
    authorities.sort_by_key(|one| one.key);
    let heading = Heading {
        threshold: THRESHOLD,
        ..Heading::first(ListKind::Alliance, "An Alliance", now, now.plus_seconds(30 * 86_400))
    };
    let content = Content { heading, members: &members, recovery: &[], authorities: &authorities, services: &[] };
    let mut payload = Vec::new();
    content.encode(&mut payload).map_err(|error| format!("{error:?}"))?;
    let signed = of_members.iter().take(usize::from(THRESHOLD));
    let signed = signed.map(|key| signing::sign(&payload, key, None, now)).collect::<Result<Vec<_>, _>>()?;
    let bytes = signing::assemble(&payload, &signed, Believed::Itself, now)?;
    let pins: Vec<_> = members.iter().map(|member| member.key).collect();
    let pinned = Pinned::Members { keys: &pins, threshold: THRESHOLD };
    let ((), took) = took(|| {
        for _ in 0..ROUNDS {
            black_box(List::verify_pinned(black_box(&bytes), &pinned, Interval::exactly(now), &AwsLc)?);
        }
        Ok(())
    })?;
    Ok(TrustList {
        members: MEMBERS,
        signatures: THRESHOLD,
        authorities: AUTHORITIES,
        bytes: bytes.len(),
        verified_microseconds: took.seconds * 1e6 / f64::from(ROUNDS),
        target_microseconds: 1_000.0,
    })
}
