//! Peers that were met: their credentials, so that either side may name its own by a hash (`c5t`, `x5t`) in the next
//! handshake instead of showing it.
//!
//! The firmware gives the room. A record is what a peer showed, and where it was; the newest is in front, and the oldest
//! goes first. Nothing here is believed: a credential found here is judged as one that is shown.

use crate::address::Address;
use medlock_proto::crypto::Crypto;
use medlock_proto::edhoc::{CertHash, Credential};

/// The records, one after another.
pub(crate) struct Met<'s> {
    room: &'s mut [u8],
    used: usize,
}

/// What the peer of a record knows of one's own credential: the second byte of the record.
mod ours {
    /// Nothing that is known here.
    pub(super) const UNKNOWN: u8 = 0;
    /// It was shown, and a session stood.
    pub(super) const HELD: u8 = 1;
    /// It was named, and no session stands yet.
    pub(super) const NAMED: u8 = 2;
    /// It was named, and the peer did not know it: it remembers nobody.
    pub(super) const REFUSED: u8 = 3;
}

/// Bytes in front of a chain: the record's length in two, what the peer knows, the address's length, the address.
const HEAD: usize = 4 + Address::MAX_LENGTH;

/// One record.
struct Record<'r> {
    ours: u8,
    address: &'r [u8],
    chain: &'r [u8],
}

impl<'s> Met<'s> {
    /// Nobody yet.
    pub(crate) const fn new(room: &'s mut [u8]) -> Self {
        Self { room, used: 0 }
    }

    /// The chain of the credential with this hash, as [`crate::identity::write_chain`] wrote it.
    pub(crate) fn chain(&self, hash: &CertHash<'_>, crypto: &impl Crypto) -> Option<&[u8]> {
        let named = |leaf| hash.names(Credential::certificate(leaf), crypto);
        self.records().map(|(_, record)| record.chain).find(|chain| crate::identity::first_of(chain).is_some_and(named))
    }

    /// The chain that the peer at `address` showed.
    pub(crate) fn chain_at(&self, address: Address) -> Option<&[u8]> {
        let record = self.records().find(|(_, record)| record.address == address.as_bytes());
        record.map(|(_, record)| record.chain)
    }

    /// Whether one's own credential may be named to the peer at `address` instead of being shown. If the last time came to
    /// nothing it is shown; a peer that said that it does not know it, or begins again, is never asked again.
    pub(crate) fn may_name(&mut self, address: Address) -> bool {
        match self.knows(address) {
            Some(ours @ &mut ours::HELD) => {
                *ours = ours::NAMED;
                true
            }
            Some(ours @ &mut ours::NAMED) => {
                *ours = ours::REFUSED;
                false
            }
            Some(_) | None => false,
        }
    }

    /// Whether one's own credential was named to the peer at `address`, in a handshake that is under way.
    pub(crate) fn was_named(&mut self, address: Address) -> bool {
        matches!(self.knows(address), Some(&mut ours::NAMED))
    }

    /// The peer at `address` does not know one's own credential by its name.
    pub(crate) fn refused(&mut self, address: Address) {
        if let Some(ours) = self.knows(address) {
            *ours = ours::REFUSED;
        }
    }

    /// Nobody answered at `address`: nothing is known of what the peer knows.
    pub(crate) fn silent(&mut self, address: Address) {
        if let Some(ours @ &mut ours::NAMED) = self.knows(address) {
            *ours = ours::UNKNOWN;
        }
    }

    /// A session stands with the peer at `address`: it has seen one's own credential.
    pub(crate) fn confirmed(&mut self, address: Address) {
        if let Some(ours @ &mut (ours::UNKNOWN | ours::NAMED)) = self.knows(address) {
            *ours = ours::HELD;
        }
    }

    /// One's own credential is a new one: nobody knows it.
    pub(crate) fn own_is_new(&mut self) {
        let mut at = 0;
        while let Some((next, _)) = self.record(at) {
            if let Some(ours) = self.room.get_mut(at.saturating_add(2)) {
                *ours = ours::UNKNOWN;
            }
            at = next;
        }
    }

    /// Forgets everybody.
    pub(crate) fn clear(&mut self) {
        self.used = 0;
    }

    /// Remembers who is at `address`, by the chain that was shown. Those who were met longest ago make room.
    pub(crate) fn remember(&mut self, address: Address, chain: &[u8]) {
        let known = self.records().find(|(_, record)| record.address == address.as_bytes());
        let mut ours = ours::UNKNOWN;
        if let Some((at, record)) = known {
            if record.chain == chain {
                return;
            }
            ours = record.ours;
            self.remove(at);
        }
        let whole = chain.len().saturating_add(HEAD);
        let Ok([low, high]) = u16::try_from(whole).map(u16::to_le_bytes) else { return };
        if chain.is_empty() || whole > self.room.len() {
            return;
        }
        while self.used.saturating_add(whole) > self.room.len() {
            let Some(last) = self.records().last().map(|(at, _)| at) else { return };
            self.used = last;
        }
        let used = self.used;
        self.used = used.saturating_add(whole);
        if used > 0
            && let Some(kept) = self.room.get_mut(..self.used)
        {
            kept.rotate_right(whole);
        }
        let place = address.as_bytes();
        let [length, ..] = place.len().to_le_bytes();
        let head = [low, high, ours, length];
        let padding = core::iter::repeat_n(&0, Address::MAX_LENGTH.saturating_sub(place.len()));
        let record = head.iter().chain(place).chain(padding).chain(chain);
        self.room.iter_mut().zip(record).for_each(|(to, from)| *to = *from);
    }

    fn remove(&mut self, at: usize) {
        let Some((next, _)) = self.record(at) else { return };
        let length = next.saturating_sub(at);
        if let Some(rest) = self.room.get_mut(at..self.used) {
            rest.rotate_left(length.min(rest.len()));
        }
        self.used = self.used.saturating_sub(length);
    }

    fn knows(&mut self, address: Address) -> Option<&mut u8> {
        let (at, _) = self.records().find(|(_, record)| record.address == address.as_bytes())?;
        self.room.get_mut(at.saturating_add(2))
    }

    fn records(&self) -> impl Iterator<Item = (usize, Record<'_>)> {
        let mut at = 0;
        core::iter::from_fn(move || {
            let here = at;
            let (next, record) = self.record(here)?;
            at = next;
            Some((here, record))
        })
    }

    /// The record at `at`, and where the next one is.
    fn record(&self, at: usize) -> Option<(usize, Record<'_>)> {
        let (head, _) = self.room.get(at..self.used)?.split_first_chunk::<4>()?;
        let [low, high, ours, length] = *head;
        let next = at.checked_add(u16::from_le_bytes([low, high]).into())?;
        let address = at.checked_add(4)?;
        let address = self.room.get(address..address.checked_add(length.into())?)?;
        let chain = self.room.get(at.checked_add(HEAD)?..next)?;
        Some((next, Record { ours, address, chain }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    fn address(number: u8) -> Address {
        Address::new(&[number; 6]).unwrap()
    }

    fn put(met: &mut Met<'_>, number: u8, length: usize) {
        met.remember(address(number), &vec![number; length]);
    }

    fn met(met: &Met<'_>) -> Vec<(u8, usize)> {
        met.records().map(|(_, record)| (record.address[0], record.chain.len())).collect()
    }

    #[test]
    fn the_newest_are_kept_and_each_once() {
        let mut room = vec![0; 3 * (HEAD + 100)];
        let mut known = Met::new(&mut room);
        (1..=3).for_each(|number| put(&mut known, number, 100));
        assert_eq!(met(&known), [(3, 100), (2, 100), (1, 100)]);
        put(&mut known, 2, 90);
        assert_eq!(met(&known), [(2, 90), (3, 100), (1, 100)], "another credential at the same place");
        put(&mut known, 4, 110);
        assert_eq!(met(&known), [(4, 110), (2, 90), (3, 100)], "the oldest made room");
        put(&mut known, 5, 400);
        assert_eq!(met(&known), [(4, 110), (2, 90), (3, 100)], "too long for this room");
        assert!(known.records().all(|(_, record)| record.chain.iter().all(|byte| *byte == record.address[0])));
        let mut none = Met::new(&mut []);
        put(&mut none, 1, 10);
        assert_eq!(met(&none), []);
    }

    #[test]
    fn a_name_is_tried_again_only_where_it_may_be_known() {
        let mut room = vec![0; 500];
        let mut known = Met::new(&mut room);
        let here = address(1);
        assert!(!known.may_name(here), "nobody is known");
        put(&mut known, 1, 100);
        assert!(!known.may_name(here), "no session stood");
        known.confirmed(here);
        assert!(known.may_name(here));
        known.confirmed(here);
        assert!(known.may_name(here));
        known.silent(here);
        assert!(!known.may_name(here), "nobody answered: it is shown");
        known.confirmed(here);
        assert!(known.may_name(here) && !known.may_name(here), "it began again");
        known.confirmed(here);
        assert!(!known.may_name(here), "it remembers nobody");
        known.own_is_new();
        known.confirmed(here);
        assert!(known.may_name(here));
    }
}
