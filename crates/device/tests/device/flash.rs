//! Flash whose power goes when a test says so.

use medlock_device::platform::Flash;

/// What a cut operation leaves in the bytes it was about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tear {
    /// Nothing happened yet.
    Before,
    /// Everything happened, but nobody heard of it.
    After,
    /// The first half happened.
    FirstHalf,
    /// The second half happened.
    SecondHalf,
    /// Every other byte happened.
    Alternate,
    /// Some bits of each byte happened.
    SomeBits,
}

impl Tear {
    pub(crate) const ALL: [Self; 6] =
        [Self::Before, Self::After, Self::FirstHalf, Self::SecondHalf, Self::Alternate, Self::SomeBits];

    fn tear(self, at: usize, count: usize, old: u8, new: u8) -> u8 {
        let mask = match self {
            Self::Before => 0,
            Self::After => 0xff,
            Self::FirstHalf => {
                if at < count / 2 {
                    0xff
                } else {
                    0
                }
            }
            Self::SecondHalf => {
                if at >= count / 2 {
                    0xff
                } else {
                    0
                }
            }
            Self::Alternate => {
                if at.is_multiple_of(2) {
                    0xff
                } else {
                    0
                }
            }
            Self::SomeBits => u8::try_from(at.wrapping_mul(0x9d).wrapping_add(0x35) & 0xff).expect("a byte"),
        };
        (old & !mask) | (new & mask)
    }
}

/// There is no power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NoPower;

/// When power goes: at the event with this number, counted from the last boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) event: usize,
    pub(crate) tear: Tear,
}

/// NOR flash of `PAGE_BYTES` a page and `WORD_BYTES` a word, in memory. It panics when a word is programmed twice.
#[derive(Clone, Debug)]
pub(crate) struct Nor<const PAGE_BYTES: usize, const WORD_BYTES: usize> {
    bytes: Vec<u8>,
    programmed: Vec<bool>,
    cut: Option<Cut>,
    events: usize,
    has_power: bool,
    pub(crate) erasures: Vec<usize>,
}

impl<const PAGE_BYTES: usize, const WORD_BYTES: usize> Nor<PAGE_BYTES, WORD_BYTES> {
    /// Flash as it comes from the factory: not even erased.
    pub(crate) fn new(pages: usize) -> Self {
        Self {
            bytes: vec![0x5a; pages * PAGE_BYTES],
            programmed: vec![true; pages * PAGE_BYTES / WORD_BYTES],
            cut: None,
            events: 0,
            has_power: true,
            erasures: vec![0; pages],
        }
    }

    /// Flash with these bytes.
    pub(crate) fn holding(bytes: &[u8], pages: usize) -> Self {
        let mut flash = Self::new(pages);
        flash.bytes.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        flash
    }

    /// Power returns, and goes again as `cut` says.
    pub(crate) fn boot(&mut self, cut: Option<Cut>) {
        (self.cut, self.events, self.has_power) = (cut, 0, true);
    }

    pub(crate) fn has_power(&self) -> bool {
        self.has_power
    }

    pub(crate) fn events(&self) -> usize {
        self.events
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// A step of the firmware that is no flash operation, at which power may go as well. Says whether it is still there.
    pub(crate) fn step(&mut self) -> bool {
        if self.has_power {
            let goes = self.cut.is_some_and(|cut| cut.event == self.events);
            self.events += 1;
            self.has_power = !goes;
        }
        self.has_power
    }

    fn change(&mut self, offset: usize, new: &[u8]) -> Result<(), NoPower> {
        if !self.has_power {
            return Err(NoPower);
        }
        let tear = self.cut.filter(|cut| cut.event == self.events).map(|cut| cut.tear);
        self.events += 1;
        let touched = &mut self.bytes[offset..offset + new.len()];
        for (at, (byte, new_byte)) in touched.iter_mut().zip(new).enumerate() {
            *byte = tear.map_or(*new_byte, |tear| tear.tear(at, new.len(), *byte, *new_byte));
        }
        self.has_power = tear.is_none();
        if self.has_power { Ok(()) } else { Err(NoPower) }
    }
}

impl<const PAGE_BYTES: usize, const WORD_BYTES: usize> Flash for Nor<PAGE_BYTES, WORD_BYTES> {
    type Error = NoPower;
    const PAGE: usize = PAGE_BYTES;
    const WORD: usize = WORD_BYTES;

    fn pages(&self) -> usize {
        self.bytes.len() / PAGE_BYTES
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), NoPower> {
        if !self.has_power {
            return Err(NoPower);
        }
        to.copy_from_slice(&self.bytes[offset..offset + to.len()]);
        Ok(())
    }

    fn program(&mut self, offset: usize, bytes: &[u8]) -> Result<(), NoPower> {
        assert!(offset.is_multiple_of(WORD_BYTES) && bytes.len().is_multiple_of(WORD_BYTES), "not aligned");
        if self.has_power {
            for word in offset / WORD_BYTES..(offset + bytes.len()) / WORD_BYTES {
                assert!(!self.programmed[word], "word {word} is programmed twice");
                self.programmed[word] = true;
            }
        }
        self.change(offset, bytes)
    }

    fn erase(&mut self, page: usize) -> Result<(), NoPower> {
        let whole = self.has_power && self.cut.is_none_or(|cut| cut.event != self.events);
        let words = PAGE_BYTES / WORD_BYTES;
        // After a cut erasure nothing may be programmed there before it is erased again.
        self.programmed[page * words..(page + 1) * words].fill(!whole);
        self.erasures[page] += usize::from(whole);
        self.change(page * PAGE_BYTES, &[0xff; PAGE_BYTES])
    }
}
