//! What is known against the keys above whoever signed a voucher.

use super::Refused;
use crate::provider::AwsLc;
use medlock_trust::list::AuthorityState;
use medlock_trust::path::VerifiedPath;
use medlock_trust::status::{State, StatusList, Subject};
use medlock_trust::{KeyId, Knowledge};

/// Judges the keys of a path by all lists and status that are held, as the credentials of devices are judged: what is stolen,
/// suspended or out of service vouches for nothing, a retired one for what it issued before, and behind a cut-off only what
/// is known to be in the log counts.
///
/// # Errors
/// [`Refused::Withdrawn`].
pub(super) fn check(path: &VerifiedPath<'_>, knowledge: &Knowledge<'_>) -> Result<(), Refused> {
    let keys = path.issuer_keys();
    for key in keys {
        let why = listed(*key, path, knowledge).or_else(|| reported(*key, keys, knowledge));
        if let Some(why) = why {
            return Err(Refused::Withdrawn { key: *key, why });
        }
    }
    Ok(())
}

/// What a trust list says against a key.
fn listed(key: KeyId, path: &VerifiedPath<'_>, knowledge: &Knowledge<'_>) -> Option<&'static str> {
    let credential = path.leaf().credential_id(&AwsLc);
    knowledge.lists.iter().find_map(|list| {
        let standing = list.standing(key)?;
        let suspended = knowledge.suspensions.iter().any(|one| one.counts(key, list, knowledge.time));
        let in_log = |head| knowledge.logged.iter().any(|logged| logged.is_of(credential, head));
        match standing.state {
            AuthorityState::Compromised => Some("is in wrong hands"),
            _ if standing.cutoff.is_some_and(|head| !in_log(head)) => {
                Some("counts up to a state of its log, and the signer is not known to be in it")
            }
            AuthorityState::Retired if path.leaf().validity().not_before > standing.since => {
                Some("was retired before it made the signer's certificate")
            }
            AuthorityState::Suspended => Some("is suspended"),
            AuthorityState::Listed | AuthorityState::Retired => suspended.then_some("is suspended"),
        }
    })
}

/// What the status of one of these authorities says against a key.
fn reported(key: KeyId, authorities: &[KeyId], knowledge: &Knowledge<'_>) -> Option<&'static str> {
    let own = |list: &&StatusList<'_>| authorities.contains(&list.heading().authority);
    let records = knowledge.status.iter().filter(own).filter_map(|list| list.record(Subject::Issuer(key)));
    records.map(|record| record.state).max().map(|state| match state {
        State::Suspended => "is suspended",
        State::Superseded | State::Ceased => "is out of service",
        State::Compromised => "is in wrong hands",
    })
}
