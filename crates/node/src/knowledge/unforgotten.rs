//! Status lists that were held before the newest one and tell a compromise which that does not: the hub's store was brought back
//! from before it. The newest is in force for what it tells, and these for what they tell (invariant I4), until a list comes
//! that has it all. In the file `status-before.cose` they are a sequence (RFC 8742).

use super::objects::{Object, status_of};
use bytes::Bytes;
use medlock_trust::cbor::Reader;
use medlock_trust::status::StatusList;

/// The file beside the objects.
pub(super) const FILE: &str = "status-before.cose";
/// The most such lists: as often as a hub may be brought back before it was told what it lacks. One more forgetful list is
/// refused.
const MOST: usize = 4;

/// The lists, the oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Unforgotten(Vec<Object>);

impl Unforgotten {
    pub(super) fn lists(&self) -> impl Iterator<Item = StatusList<'_>> {
        self.0.iter().filter_map(status_of)
    }

    /// The objects as they came.
    pub(super) fn objects(&self) -> impl Iterator<Item = &Bytes> {
        self.0.iter().map(|object| &object.bytes)
    }

    /// The file that holds them.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.objects().flat_map(|object| object.iter().copied()).collect()
    }

    /// Whether there is room for one more beside those that `newest` forgets.
    pub(super) fn has_room(&self, newest: &StatusList<'_>) -> bool {
        self.lists().filter(|held| newest.remembers(held).is_err()).count() < MOST
    }

    /// Adds `more`, which came later; of all that count, those stay that tell a compromise which neither `newest` nor one behind
    /// them does.
    pub(super) fn add(
        &mut self,
        more: impl IntoIterator<Item = Object>,
        newest: &StatusList<'_>,
        counts: impl Fn(&Object) -> bool,
    ) {
        let all: Vec<Object> = std::mem::take(&mut self.0).into_iter().chain(more).filter(counts).collect();
        for (place, held) in all.iter().enumerate() {
            let Some(told) = status_of(held) else { continue };
            let mut later = all.iter().skip(place + 1).filter_map(status_of).chain([*newest]);
            if !later.any(|later| later.remembers(&told).is_ok()) {
                self.0.push(held.clone());
            }
        }
    }
}

/// The objects of a file, and whether it has nothing else.
pub(super) fn each(file: &[u8]) -> (Vec<Bytes>, bool) {
    let mut reader = Reader::new(file);
    // Twice as many while one file takes the place of another.
    let objects: Vec<Bytes> =
        std::iter::from_fn(|| reader.skip().ok()).take(2 * MOST).map(Bytes::copy_from_slice).collect();
    let whole = objects.iter().map(Bytes::len).sum::<usize>() == file.len();
    (objects, whole)
}
