//! Status lists: the newest of each authority, and beside it one from before that tells a compromise which the newest has
//! forgotten. The hub's store was brought back from before it then; both are in force until a list comes that has all.

use super::{Objects, Scene, first};
use crate::not_taken::NotTaken;
use crate::platform::MappedFlash;
use crate::store::Label;
use medlock_proto::objects::{Held, Kind};
use medlock_trust::list::{List, Purpose};
use medlock_trust::status::{Refused, StatusList};
use medlock_trust::{Crypto, KeyId};

/// A status list in flash: its slot, label and bytes.
type InFlash<'f> = (usize, Label, &'f [u8]);

/// Where a list that is taken goes, and what goes for it.
struct Place {
    name: [u8; Held::NAME_LENGTH],
    /// The slots that are not needed any more once it is there.
    gone: [Option<usize>; 2],
}

impl Objects {
    pub(super) fn take_status<F: MappedFlash, C: Crypto>(
        &mut self,
        bytes: &[u8],
        scene: &mut Scene<'_, F, C>,
    ) -> Result<(), NotTaken> {
        let flash = &*scene.flash;
        // What came before costs no signature.
        let heading = *StatusList::danger_open(bytes)?.heading();
        let [newest, beside] = self.statuses_of(heading.authority, self.site_list(flash).as_ref(), flash);
        let listed = |held: &InFlash<'_>| self.names_signer(Purpose::Status, held.2, flash);
        let in_order = newest.filter(listed);
        // Epochs are of one name: under a new root they are not compared.
        let order = (heading.recovery_epoch, heading.epoch);
        let same_name = |held: &InFlash<'_>| held.1.authority == heading.authority;
        if in_order.filter(same_name).is_some_and(|(_, held, _)| order <= held.order()) {
            return Err(NotTaken::NotNewer);
        }
        let status = self.verified(flash, |list| StatusList::verify(bytes, list, scene.crypto))?;
        let spoke = |held: &InFlash<'_>| self.spoke(held.2, flash);
        let forgotten = match newest.filter(spoke).as_ref().and_then(open) {
            Some(told) if in_order.is_some_and(|held| same_name(&held)) => status.succeeds(&told),
            Some(told) => status.remembers(&told),
            None => Ok(()),
        };
        let forgotten = match forgotten {
            Ok(()) => None,
            Err(forgotten @ Refused::CompromiseForgotten(_)) => Some(forgotten),
            Err(refused) => return Err(refused.into()),
        };
        let stays = beside.filter(spoke).filter(|held| open(held).is_some_and(|told| status.remembers(&told).is_err()));
        let place = self.place_for(heading.authority, (newest, beside), (forgotten, stays.is_some()), flash)?;
        let states_time = self.states_time(bytes, heading.issued, flash);
        let recovers =
            newest.is_some_and(|(_, held, _)| held.recovery_epoch < heading.recovery_epoch || in_order.is_none());
        let label = Label {
            name: place.name,
            recovery_epoch: heading.recovery_epoch,
            authority: heading.authority,
            ..Label::own(Kind::Status.number(), heading.epoch)
        };
        self.store.put(&label, bytes, scene.flash, scene.crypto)?;
        for slot in place.gone.into_iter().flatten() {
            self.store.remove(slot, scene.flash)?;
        }
        if recovers {
            // It says how things are with everybody; tickets from before may have been a thief's.
            self.forget_tickets(scene.flash, |held, _| held.authority == label.authority)?;
        }
        if states_time {
            self.hear_time(heading.issued, scene);
        }
        Ok(())
    }

    /// Where a list goes that tells of `authority`, beside the newest that is held and the one beside that: what it has
    /// `forgotten` of the newest, and whether it has forgotten what the other tells.
    fn place_for<F: MappedFlash>(
        &self,
        authority: KeyId,
        (newest, beside): (Option<InFlash<'_>>, Option<InFlash<'_>>),
        (forgotten, beside_stays): (Option<Refused>, bool),
        flash: &F,
    ) -> Result<Place, NotTaken> {
        let slot = |held: InFlash<'_>| held.0;
        let Some((at, label, _)) = newest else {
            self.leave_reserve(flash)?;
            return Ok(Place { name: first(authority.as_bytes()), gone: [None; 2] });
        };
        let used = [Some(label.name), beside.map(|(_, label, _)| label.name)];
        let gone = match forgotten {
            // Two are held that tell what it does not: there is no room for a third.
            Some(forgotten) if beside_stays => return Err(forgotten.into()),
            Some(forgotten) => {
                if beside.is_none() && self.leave_reserve(flash).is_err() {
                    return Err(forgotten.into());
                }
                [beside.map(slot), None]
            }
            None if label.authority == authority => {
                return Ok(Place { name: label.name, gone: [beside.filter(|_| !beside_stays).map(slot), None] });
            }
            // The room of what was told in the name of the root before is needed.
            None => [Some(at), beside.filter(|_| !beside_stays).map(slot)],
        };
        Ok(Place { name: free_name(authority, used), gone })
    }

    /// The status lists held of an authority, or of a root that took its place or whose place it took: the last that was told,
    /// in this very name before another, and the one beside it that tells what that has forgotten.
    pub(super) fn statuses_of<'f, F: MappedFlash>(
        &self,
        authority: KeyId,
        site: Option<&List<'_>>,
        flash: &'f F,
    ) -> [Option<InFlash<'f>>; 2] {
        let tells = |(_, Label { kind, authority: name, .. }, _): &InFlash<'_>| {
            *kind == Kind::Status.number()
                && (*name == authority || site.is_some_and(|list| list.are_one(*name, authority)))
        };
        let mut found = [None; 2];
        for held in self.store.files(flash).filter(tells) {
            let [newest, beside] = found;
            let rank = |label: &Label| (label.authority == authority, label.order());
            let later = |other: Option<InFlash<'_>>| other.is_none_or(|(_, other, _)| rank(&held.1) >= rank(&other));
            found = match (later(newest), later(beside)) {
                (true, _) => [Some(held), newest],
                (false, true) => [newest, Some(held)],
                (false, false) => found,
            };
        }
        found
    }

    /// The epoch of the status list held of an authority.
    pub(super) fn status_epoch<F: MappedFlash>(&self, authority: KeyId, flash: &F) -> u64 {
        let [newest, _] = self.statuses_of(authority, None, flash);
        newest.map_or(0, |(_, label, _)| label.version)
    }
}

fn open<'f>((.., bytes): &InFlash<'f>) -> Option<StatusList<'f>> {
    StatusList::danger_open(bytes).ok()
}

/// A name for a list of this authority that none of those held has.
fn free_name(authority: KeyId, used: [Option<[u8; Held::NAME_LENGTH]>; 2]) -> [u8; Held::NAME_LENGTH] {
    let mut name = first(authority.as_bytes());
    // At most two are in use.
    for _ in 0..used.len() {
        if !used.contains(&Some(name)) {
            break;
        }
        if let Some(last) = name.last_mut() {
            *last = last.wrapping_add(1);
        }
    }
    name
}
