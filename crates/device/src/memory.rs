//! The memory of a device that is large: made once, in a `static` if the firmware likes, and lent to it.

use crate::exchange::Exchange;
use crate::session::SessionSlot;
use crate::strangers::Strangers;
use core::fmt;

/// Memory for `SESSIONS` peers at once and `EXCHANGES` requests under way, each of at most `BYTES` bytes, and for strangers.
///
/// It is made at compile time and needs no initialisation at run time, so it never lies on the stack:
///
/// ```
/// use medlock_device::Memory;
/// static MEMORY: std::sync::Mutex<Memory<1, 2, 256>> = std::sync::Mutex::new(Memory::new());
/// ```
pub struct Memory<const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize> {
    pub(crate) sessions: [SessionSlot; SESSIONS],
    pub(crate) exchanges: [Exchange<BYTES>; EXCHANGES],
    pub(crate) strangers: Strangers<BYTES>,
}

impl<const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize> Memory<SESSIONS, EXCHANGES, BYTES> {
    /// Memory in which nothing is.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            sessions: [SessionSlot::FREE; SESSIONS],
            exchanges: [const { Exchange::free() }; EXCHANGES],
            strangers: Strangers::new(),
        }
    }

    /// Begins with nothing: what was there is erased. Handles of it stay void.
    pub(crate) fn begin(&mut self, echo_key: [u8; 32]) {
        erase(&mut self.sessions, &mut self.exchanges);
        self.strangers.begin(echo_key);
    }
}

/// Ends all sessions and exchanges, and erases their keys.
pub(crate) fn erase<const BYTES: usize>(sessions: &mut [SessionSlot], exchanges: &mut [Exchange<BYTES>]) {
    sessions.iter_mut().for_each(SessionSlot::free);
    exchanges.iter_mut().for_each(Exchange::end);
}

impl<const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize> Default for Memory<SESSIONS, EXCHANGES, BYTES> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const SESSIONS: usize, const EXCHANGES: usize, const BYTES: usize> fmt::Debug
    for Memory<SESSIONS, EXCHANGES, BYTES>
{
    /// Shows nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Memory")
    }
}
