//! Sequence numbers that survive power loss (RFC 8613 appendix B.1.1).

use super::error::Error;

/// The numbers a sender may still use.
///
/// A number is used once in the life of its key. So the caller stores a bound first, in memory that outlives power, and
/// only numbers below the stored bound are given out; after a reboot counting goes on *at* the bound. What lay between is
/// lost, and nothing else.
///
/// ```
/// use medlock_proto::oscore::SenderSequence;
/// let mut sequence = SenderSequence::new();
/// let reservation = sequence.reserve(64);
/// // store(reservation.bound()) must have succeeded here
/// sequence.stored(reservation);
/// assert_eq!(sequence.left(), 64);
/// // After a reboot:
/// let sequence = SenderSequence::resume(64);
/// assert_eq!(sequence.left(), 0);
/// ```
#[derive(Debug)]
pub struct SenderSequence {
    next: u64,
    bound: u64,
}

/// A bound that is to be stored. See [`SenderSequence`].
#[derive(Debug)]
#[must_use = "store its bound, then give it back to the sequence"]
pub struct Reservation(u64);

impl Reservation {
    /// What to store: after a reboot, the argument of [`SenderSequence::resume`].
    #[must_use]
    pub const fn bound(&self) -> u64 {
        self.0
    }
}

impl SenderSequence {
    /// Numbers end here (RFC 8613 section 7.2.1).
    const END: u64 = 1 << 40;

    /// For new keys: begins at 0, nothing is reserved.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0, bound: 0 }
    }

    /// For keys that were used before: goes on at the bound that was stored last, nothing is reserved.
    #[must_use]
    pub const fn resume(bound: u64) -> Self {
        Self { next: bound, bound }
    }

    /// For keys that live in memory only and are lost with it: begins at 0, everything may be used. Never for keys that can
    /// be derived again after a reboot.
    #[must_use]
    pub const fn in_memory() -> Self {
        Self { next: 0, bound: Self::END }
    }

    /// Asks for `count` numbers beyond the bound that is stored now.
    pub const fn reserve(&self, count: u32) -> Reservation {
        let bound = self.bound.saturating_add(count as u64);
        Reservation(if bound < Self::END { bound } else { Self::END })
    }

    /// The bound was stored and will be found after a reboot: its numbers may be used.
    pub const fn stored(&mut self, reservation: Reservation) {
        if reservation.0 > self.bound {
            self.bound = reservation.0;
        }
    }

    /// How many numbers may be used before more must be reserved.
    #[must_use]
    pub const fn left(&self) -> u64 {
        self.bound.saturating_sub(self.next)
    }

    /// The number that comes next.
    pub(super) const fn peek(&self) -> u64 {
        self.next
    }

    /// Gives a number out, once.
    pub(super) const fn draw(&mut self) -> Result<u64, Error> {
        if self.next >= Self::END {
            return Err(Error::ContextLost);
        }
        if self.next >= self.bound {
            return Err(Error::NothingReserved);
        }
        let number = self.next;
        self.next = self.next.saturating_add(1);
        Ok(number)
    }
}

impl Default for SenderSequence {
    fn default() -> Self {
        Self::new()
    }
}
