//! The trust lists with which those who sign changed. Who was off meanwhile knows too few of those who sign today: it takes these
//! first, one after the other, and then the newest.

use crate::store::{Published, StoreError};
use crate::{Authority, Error};
use medlock_trust::KeyId;
use medlock_trust::cbor::Reader;
use medlock_trust::list::List;

/// The lists, one behind the other (RFC 8742), under the version of the last.
const KIND: &str = "trust-list-steps";
/// The most that are kept: an alliance that meets once a year changes in all of them for so many years.
const MOST: usize = 16;

impl Authority {
    /// Keeps a list that was believed behind `before`, if other keys sign the next one, or another number of them.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub(super) fn keep_step(&self, before: &[u8], list: &[u8]) -> Result<(), Error> {
        let (Ok(old), Ok(new)) = (List::danger_open(before), List::danger_open(list)) else { return Ok(()) };
        let (held, version) = (self.store.published(KIND)?, new.heading().version);
        let (number, kept) = held.map_or((None, Vec::new()), |held| (Some(held.version), held.bytes));
        if signers(&old) == signers(&new) || number >= Some(version) {
            return Ok(());
        }
        let all: Vec<&[u8]> = each(&kept).chain([list]).collect();
        let bytes = all.get(all.len().saturating_sub(MOST)..).unwrap_or_default().concat();
        match self.store.publish_after(KIND, Published { version, at: self.clock.now(), bytes }, number) {
            // Another hub keeps it.
            Err(StoreError::Taken { .. }) => Ok(()),
            kept => Ok(kept?),
        }
    }

    /// The first trust list behind `version` that is kept beside the newest one, because those who sign changed with it.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn missed_trust_list(&self, version: u64) -> Result<Option<Vec<u8>>, Error> {
        let Some(held) = self.store.published(KIND)? else { return Ok(None) };
        let behind = |list: &&[u8]| List::danger_open(list).is_ok_and(|list| list.heading().version > version);
        let first = each(&held.bytes).find(behind).map(<[u8]>::to_vec);
        Ok(first)
    }
}

fn each(sequence: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut reader = Reader::new(sequence);
    std::iter::from_fn(move || reader.skip().ok()).take(MOST)
}

/// Whose signatures the next list needs, and how many.
fn signers(list: &List<'_>) -> (u64, [u8; 2], [Vec<KeyId>; 2]) {
    let heading = list.heading();
    let keys = [list.members().map(|one| one.key).collect(), list.recovery().map(|one| one.key).collect()];
    (heading.recovery_epoch, [heading.threshold, heading.recovery_threshold], keys)
}
