//! For how long a controller counts as present.

use crate::platform::Ticks;
use medlock_proto::sealed::Minutes;
use medlock_trust::{DeviceId, Operation, Permit};

/// A lease: granted with a command that treats, kept alive by `sustain`. A temporary basal runs while its own time is not
/// over *and* the lease lives. Sustaining moves the end of the lease and nothing else: it never starts, extends or raises
/// delivery. It lives in memory only.
#[derive(Debug, Default)]
pub struct Lease {
    held: Option<(DeviceId, Ticks)>,
}

/// There is no lease to sustain: it ended, is another's, or the permit is for something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseEnded;

impl Lease {
    /// When it ends; `None` if it did.
    #[must_use]
    pub fn ends(&self, now: Ticks) -> Option<Ticks> {
        self.held.map(|(_, until)| until).filter(|until| *until > now)
    }

    pub(super) fn grant(&mut self, holder: DeviceId, minutes: Minutes, now: Ticks) {
        self.held = Some((holder, now.plus_millis(minutes.as_millis())));
    }

    /// Takes the permit of a verdict on `sustain`, by the holder of the lease.
    pub(super) fn sustain(&mut self, permit: Permit, minutes: Minutes, now: Ticks) -> Result<Ticks, LeaseEnded> {
        let (holder, until) = self.held.ok_or(LeaseEnded)?;
        if permit.operation() != Operation::Sustain || permit.device() != holder || until <= now {
            return Err(LeaseEnded);
        }
        let until = until.max(now.plus_millis(minutes.as_millis()));
        self.held = Some((holder, until));
        Ok(until)
    }

    pub(super) fn end(&mut self) {
        self.held = None;
    }
}
