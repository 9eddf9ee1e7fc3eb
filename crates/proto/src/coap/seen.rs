//! Message ids: one's own, and those of a peer that came already (RFC 7252 sections 4.4, 4.5).

use super::exchange::EXCHANGE_LIFETIME_MS;
use super::{MessageId, Token};

/// Where own message ids come from: one after the other, from a random beginning.
#[derive(Clone, Copy, Debug)]
pub struct MessageIds(u16);

impl MessageIds {
    /// Begins at `random`, so that an old message of a run before is not taken for a new one.
    #[must_use]
    pub const fn new(random: u16) -> Self {
        Self(random)
    }

    /// The next id. The same one comes again after 65,536; whoever sends as many within `EXCHANGE_LIFETIME` (265 a second)
    /// to one peer must slow down.
    pub const fn draw(&mut self) -> MessageId {
        let id = MessageId(self.0);
        self.0 = self.0.wrapping_add(1);
        id
    }
}

/// Whether a message came before. The slot, below `N`, is where the caller keeps the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// For the first time: process it, and keep in this slot what it is answered with. What was kept there is void.
    First(usize),
    /// Again: do not process it; send what is kept in this slot, if anything is kept there already.
    Again(usize),
}

/// Which message ids of one peer came within `EXCHANGE_LIFETIME`, with their tokens: the last `N`.
///
/// Ids can be foreseen and addresses forged: who sends a message with the id that comes next keeps the true one away by it,
/// unless he foresees its token too (RFC 7252 section 5.3.1). A repetition has both.
///
/// When more come the oldest is forgotten, so that memory is bounded; its repetition would be processed again. What must
/// not happen twice is guarded by the replay window of OSCORE, and commands by their counters.
#[derive(Clone, Copy, Debug)]
pub struct Seen<const N: usize> {
    entries: [Option<(MessageId, Token, u64)>; N],
    next: usize,
}

impl<const N: usize> Seen<N> {
    /// Nothing came yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: [None; N], next: 0 }
    }

    /// A confirmable or non-confirmable message came at `now`.
    pub fn arrived(&mut self, (id, token): (MessageId, Token), now: u64) -> Arrival {
        let same = |entry: &Option<(MessageId, Token, u64)>| {
            entry.is_some_and(|(seen, of, at)| {
                (seen, of) == (id, token) && now.saturating_sub(at) < EXCHANGE_LIFETIME_MS
            })
        };
        if let Some(slot) = self.entries.iter().position(same) {
            return Arrival::Again(slot);
        }
        let slot = self.next;
        self.next = if slot.saturating_add(1) < N { slot.saturating_add(1) } else { 0 };
        if let Some(entry) = self.entries.get_mut(slot) {
            *entry = Some((id, token, now));
        }
        Arrival::First(slot)
    }

    /// The message was not processed after all (it could not be authenticated): what came does not count, so that a forger
    /// cannot keep the true message of the same id away.
    pub fn forget(&mut self, slot: usize) {
        if let Some(entry) = self.entries.get_mut(slot) {
            *entry = None;
        }
    }
}

impl<const N: usize> Default for Seen<N> {
    fn default() -> Self {
        Self::new()
    }
}
