//! The exact bytes that members sign: a list, or an emergency suspension.

use super::{names, refused};
use crate::Error;
use crate::bytes::Sink;
use medlock_node::provider::AwsLc;
use medlock_trust::cose::ContentType;
use medlock_trust::list::{List, MAX_SUSPENSION_SECONDS, Suspension, SuspensionContent};
use medlock_trust::status::Reason;
use medlock_trust::{Interval, KeyId, Time};

/// What is proposed.
#[derive(Clone, Debug)]
pub enum Proposal<'a> {
    /// A version of the list.
    List(Box<List<'a>>),
    /// A suspension.
    Suspension(SuspensionContent<'a>),
}

impl<'a> Proposal<'a> {
    /// Reads the bytes to be signed.
    ///
    /// # Errors
    /// [`Error::Object`] if they are neither.
    pub fn read(payload: &'a [u8]) -> Result<Self, Error> {
        match (List::danger_open_payload(payload), SuspensionContent::read(payload)) {
            (Ok(list), _) => Ok(Self::List(Box::new(list))),
            (Err(_), Ok(content)) => Ok(Self::Suspension(content)),
            (Err(error), Err(_)) => Err(refused(
                "proposal",
                format!(
                    "the file holds neither a list to be nor a suspension to be ({error}); make one with `propose` or `suspend`"
                ),
            )),
        }
    }

    /// What kind of object the signatures are for.
    #[must_use]
    pub const fn content_type(&self) -> ContentType {
        match self {
            Self::List(_) => ContentType::LIST,
            Self::Suspension(_) => ContentType::SUSPENSION,
        }
    }

    /// Refuses what verifiers who hold `current` would refuse for any other reason than missing signatures.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub fn check(&self, current: Option<&List<'_>>, now: Time) -> Result<(), Error> {
        match self {
            Self::List(list) => {
                let checked = list.check_proposal(current, Interval::exactly(now), &AwsLc);
                checked.map_err(|error| refused("proposal", error))?;
                names::check(list, current.is_none())?;
                current.map_or(Ok(()), |current| check_since(list, current))
            }
            Self::Suspension(content) => {
                let current =
                    current.ok_or_else(|| refused("proposal", "a suspension needs the current list: --current"))?;
                let heading = current.heading();
                if content.list != heading.name || content.recovery_epoch != heading.recovery_epoch {
                    return Err(refused("proposal", "it is for another list, or another recovery epoch of it"));
                }
                if heading.emergency == 0 {
                    return Err(refused(
                        "proposal",
                        "the current list lets nobody suspend by fewer signatures: sign a list",
                    ));
                }
                if content.issued < heading.issued || content.expires < now {
                    return Err(refused("proposal", "it has lapsed, or the current list was issued later"));
                }
                let missing = content.authorities().find(|key| current.authority(*key).is_none());
                missing
                    .map_or(Ok(()), |key| Err(refused("proposal", format!("the current list has no authority {key}"))))
            }
        }
    }
}

/// Refuses a state that changed while its beginning did not: what a retired authority issued after `since` counts for
/// nothing, so that a forgotten date takes its whole past away.
fn check_since(list: &List<'_>, current: &List<'_>) -> Result<(), Error> {
    let forgotten = list.authorities().find(|new| {
        let old = current.authority(new.key);
        old.is_some_and(|old| old.state != new.state && old.since == new.since)
    });
    forgotten.map_or(Ok(()), |one| {
        let why = format!(
            "authority {:?} becomes {}, and `since` is as it was: write since when, or leave it out for the time of the proposal",
            one.name,
            one.state.name()
        );
        Err(refused("proposal", why))
    })
}

/// The bytes to be signed that suspend `authorities` of `current` for some days from now.
///
/// # Errors
/// [`Error::Invalid`] if that is not possible; [`Error::Object`].
pub fn suspension(
    current: &List<'_>,
    authorities: &[KeyId],
    reason: Reason,
    now: Time,
    days: u32,
) -> Result<Vec<u8>, Error> {
    let mut keys = authorities.to_vec();
    keys.sort_unstable();
    keys.dedup();
    let keys: Vec<u8> = keys.iter().flat_map(|key| *key.as_bytes()).collect();
    let heading = current.heading();
    let expires = now.plus_seconds((i64::from(days) * 86_400).min(MAX_SUSPENSION_SECONDS + 1));
    let content = SuspensionContent::new(heading.name, heading.recovery_epoch, now, expires, reason, &keys);
    let content = content.ok_or_else(|| {
        Error::invalid("suspension", "name 1 to 16 authorities, and 1 to 14 days for which it counts")
    })?;
    Proposal::Suspension(content).check(Some(current), now)?;
    let mut payload = Vec::new();
    let Ok(()) = content.encode(Sink(&mut payload));
    Ok(payload)
}

/// The draft of the list that confirms a suspension: what it names is suspended until a later list says otherwise.
///
/// # Errors
/// [`Error::Object`] if the suspension is not one of this list's members.
pub fn confirmation(current: &List<'_>, suspension: &[u8], now: Time) -> Result<super::draft::Draft, Error> {
    let verified = Suspension::verify(suspension, current, Interval::exactly(now), &AwsLc);
    let content = *verified.map_err(|error| refused("suspension", error))?.content();
    let mut draft = super::draft::Draft::after(current);
    for (entry, authority) in draft.authorities.iter_mut().zip(current.authorities()) {
        let worse = medlock_trust::list::AuthorityState::Suspended;
        if content.names(authority.key) && authority.state < worse {
            entry.state = worse.name().to_owned();
            entry.since = Some(content.issued.to_string());
        }
    }
    Ok(draft)
}

/// The draft of a recovery: the next recovery epoch, to be signed by the recovery keys and by the members it names.
///
/// # Errors
/// [`Error::Conflict`] if the list has no recovery keys and more than one member: then nobody but they can recover it.
pub fn recovery(current: &List<'_>) -> super::draft::Draft {
    let mut draft = super::draft::Draft::after(current);
    draft.recovery_epoch = draft.recovery_epoch.saturating_add(1);
    draft
}
