//! How far each subscriber was looked: what was found to be nothing is noted once in some seconds, for all together.

use crate::kind::{Row, Seq};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How far each was looked, from where the store says that it stands.
#[derive(Debug, Default)]
pub(crate) struct Places(Mutex<HashMap<Row, Place>>);

#[derive(Clone, Copy, Debug)]
struct Place {
    kept: Seq,
    reached: Seq,
}

impl Places {
    /// Up to where one was told or nothing was found, that stands at `kept` in the store.
    pub(super) fn reached(&self, row: Row, kept: Seq) -> Seq {
        let place = self.all().get(&row).copied();
        // One that was written anew stands elsewhere, and begins there.
        place.filter(|place| place.kept == kept).map_or(kept, |place| place.reached)
    }

    /// Nothing was found up to `reached`.
    pub(super) fn reach(&self, row: Row, kept: Seq, reached: Seq) {
        self.all().insert(row, Place { kept, reached });
    }

    /// What is to be noted, each from where and how far, but of those that are told at this moment.
    pub(super) fn to_keep(&self, is_told: impl Fn(Row) -> bool) -> Vec<(Row, Seq, Seq)> {
        let all = self.all();
        let further = all.iter().filter(|(row, place)| place.reached > place.kept && !is_told(**row));
        further.map(|(row, place)| (*row, place.kept, place.reached)).collect()
    }

    /// These were noted, or are no more.
    pub(super) fn forget(&self, rows: impl Iterator<Item = Row>) {
        let mut all = self.all();
        rows.for_each(|row| _ = all.remove(&row));
    }

    /// All is asked of the store again.
    pub(super) fn clear(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Row, Place>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
