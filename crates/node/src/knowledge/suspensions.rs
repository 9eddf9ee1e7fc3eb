//! Emergency suspensions: several count at one time, so they are kept and carried as a sequence (RFC 8742) of signed
//! objects. One suspension is a sequence of one.

use super::objects::Refused;
use crate::provider::AwsLc;
use medlock_trust::Interval;
use medlock_trust::cbor::Reader;
use medlock_trust::list::{self, List, Suspension, SuspensionRefused};

/// The most suspensions held. Each names up to 16 authorities, and each authority at most once in 104 days.
pub const MOST: usize = 16;

/// The signed objects of a sequence; ends at what is no item of CBOR.
pub fn each(sequence: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(sequence);
    std::iter::from_fn(move || reader.skip().ok()).take(MOST)
}

/// The suspensions of a sequence that was verified before.
pub(super) fn opened(sequence: &[u8]) -> impl Iterator<Item = Suspension<'_>> {
    each(sequence).filter_map(|one| Suspension::danger_open(one).ok())
}

/// Checks what this process stored itself.
pub(super) fn reopen(sequence: &[u8]) -> Result<u64, Refused> {
    let whole: usize = each(sequence).map(<[u8]>::len).sum();
    if whole != sequence.len() || opened(sequence).count() != each(sequence).count() {
        return Err(Refused::Suspension(SuspensionRefused::Signed(list::Refused::OtherList)));
    }
    Ok(version(sequence))
}

/// Grows with each suspension that is added: the newest's second, then how many there are.
fn version(sequence: &[u8]) -> u64 {
    let newest = opened(sequence).map(|one| one.content().issued.unix()).max().unwrap_or(0);
    let count = opened(sequence).count().saturating_sub(1).min(MOST - 1);
    (u64::try_from(newest).unwrap_or(0) << 4) | u64::try_from(count).unwrap_or(0)
}

/// What is held, and of what one's own store has kept that which is over: it suspends nobody, and says until when few members
/// cannot suspend the same authorities again. `None` if that is nothing new.
///
/// # Errors
/// [`Refused::Suspension`] when there is no room.
pub(super) fn with_remembered(
    held: &[u8],
    kept: &[u8],
    lists: &[List<'_>],
    time: Interval,
) -> Result<Option<Vec<u8>>, Refused> {
    let mut all: Vec<&[u8]> = each(held).collect();
    for one in each(kept) {
        let Ok(claimed) = Suspension::danger_open(one) else { continue };
        let is_over = |list: &List<'_>| Suspension::verify(one, list, time, &AwsLc) == Err(SuspensionRefused::Over);
        let known = opened(held).any(|old| old.payload() == claimed.payload());
        if known || claimed.is_forgotten(time) || !lists.iter().any(is_over) {
            continue;
        }
        make_room(&mut all, time)?;
        all.push(one);
    }
    let all = all.concat();
    Ok((all != held).then_some(all))
}

/// Where all places are taken, forgets one that nobody needs any more.
fn make_room(all: &mut Vec<&[u8]>, time: Interval) -> Result<(), Refused> {
    if all.len() < MOST {
        return Ok(());
    }
    let forgotten = |bytes: &&[u8]| Suspension::danger_open(bytes).is_ok_and(|old| old.is_forgotten(time));
    let place = all.iter().position(forgotten);
    all.remove(place.ok_or(Refused::Suspension(SuspensionRefused::Full))?);
    Ok(())
}

/// What is held and what is given, as far as it is believed; and its version. One that is refused refuses all, unless it
/// is only over.
///
/// # Errors
/// [`Refused::Suspension`]; [`Refused::NoAlliance`] if there is no list whose members could have signed.
pub(super) fn merged(held: &[u8], given: &[u8], lists: &[List<'_>], time: Interval) -> Result<(Vec<u8>, u64), Refused> {
    let mut kept: Vec<&[u8]> = each(held).collect();
    let whole: usize = each(given).map(<[u8]>::len).sum();
    if whole != given.len() || given.is_empty() {
        let no_form = list::Refused::Malformed(list::Error::Entry);
        return Err(Refused::Suspension(no_form.into()));
    }
    let (mut added, mut over) = (0, None);
    for one in each(given) {
        let claimed = Suspension::danger_open(one).map_err(SuspensionRefused::from)?;
        if kept
            .iter()
            .filter_map(|bytes| Suspension::danger_open(bytes).ok())
            .any(|old| old.payload() == claimed.payload())
        {
            continue;
        }
        if let Some(key) = opened(held).find_map(|old| claimed.repeats(&old)) {
            return Err(Refused::Suspension(SuspensionRefused::TooSoon(key)));
        }
        let mut refused = Refused::NoAlliance;
        let taken = lists.iter().any(|list| match Suspension::verify(one, list, time, &AwsLc) {
            Ok(_) => true,
            Err(error) => {
                refused = Refused::Suspension(error);
                false
            }
        });
        match refused {
            _ if taken => {}
            Refused::Suspension(SuspensionRefused::Over) => {
                over = Some(refused);
                continue;
            }
            refused => return Err(refused),
        }
        make_room(&mut kept, time)?;
        kept.push(one);
        added += 1;
    }
    match over {
        Some(refused) if added == 0 => Err(refused),
        _ => {
            let merged = kept.concat();
            let version = version(&merged);
            Ok((merged, version))
        }
    }
}
