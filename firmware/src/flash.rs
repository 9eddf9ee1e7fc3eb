//! Flash, simulated in memory: it keeps to the rules of NOR flash and forgets when power goes.

use medlock_device::log::Area;
use medlock_device::platform::Flash;

/// Two banks of one page each for the journal.
pub const JOURNAL: Area = Area { pages: 0..2, bank_pages: 1 };
const PAGE: usize = 1024;
const BYTES: usize = 2 * PAGE;

/// What a real device has as flash. Counted as neither flash nor memory. Its bits are kept turned, so that what is erased
/// needs no place in the image.
pub struct SimulatedFlash([u8; BYTES]);

/// Outside of the flash, not aligned, or a bit that only an erasure sets.
#[derive(Clone, Copy, Debug)]
pub struct Misused;

impl SimulatedFlash {
    pub const fn erased() -> Self {
        Self([0; BYTES])
    }
}

impl Flash for SimulatedFlash {
    type Error = Misused;
    const PAGE: usize = PAGE;
    const WORD: usize = 8;

    fn pages(&self) -> usize {
        BYTES / PAGE
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), Misused> {
        let end = offset.checked_add(to.len()).ok_or(Misused)?;
        let from = self.0.get(offset..end).ok_or(Misused)?;
        to.iter_mut().zip(from).for_each(|(to, from)| *to = !*from);
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), Misused> {
        let end = offset.checked_add(bytes.len()).ok_or(Misused)?;
        if offset % Self::WORD != 0 || bytes.len() % Self::WORD != 0 {
            return Err(Misused);
        }
        let held = self.0.get_mut(offset..end).ok_or(Misused)?;
        if held.iter().any(|byte| *byte != 0) {
            return Err(Misused);
        }
        held.iter_mut().zip(bytes).for_each(|(to, from)| *to = !*from);
        Ok(())
    }

    fn erase(&mut self, page: usize) -> Result<(), Misused> {
        let start = page.checked_mul(PAGE).ok_or(Misused)?;
        self.0.get_mut(start..start + PAGE).ok_or(Misused)?.fill(0);
        Ok(())
    }
}
