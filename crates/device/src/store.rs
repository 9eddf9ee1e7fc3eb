//! Small files in flash, replaced as a whole: trust objects, the credential, bonds.
//!
//! The pages are cut into equal slots. A file lies in one of them behind a header with a digest; a newer version is
//! written into a free slot, which is erased before, header last; from then on the older one is passed over. Whenever
//! power goes, either version is there, whole. Files are read where they lie.

use crate::platform::{Flash, MappedFlash};
use core::ops::Range;
use medlock_proto::objects::Held;
use medlock_trust::{Crypto, KeyId};

/// The most slots: as many as there are bits in the set of those in use.
pub(crate) const MAX_SLOTS: usize = 32;

const MAGIC: &[u8; 4] = b"MLF1";
const HEADER: usize = 80;
const DIGEST: usize = 16;
const DIGEST_AT: usize = HEADER - DIGEST;

/// What a file is, in its header. Numbers from 64 on are the device's own and never leave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) kind: u8,
    pub(crate) name: [u8; Held::NAME_LENGTH],
    pub(crate) recovery_epoch: u64,
    pub(crate) version: u64,
    /// The authority that speaks; zeros if that does not matter.
    pub(crate) authority: KeyId,
}

impl Label {
    pub(crate) const fn own(kind: u8, version: u64) -> Self {
        Self { kind, name: [0; 8], recovery_epoch: 0, version, authority: KeyId::from_bytes([0; 16]) }
    }

    pub(crate) fn is_version_of(&self, other: &Self) -> bool {
        self.kind == other.kind && self.name == other.name
    }

    pub(crate) const fn order(&self) -> (u64, u64) {
        (self.recovery_epoch, self.version)
    }
}

/// Why a file was not kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// It is longer than a slot.
    TooLong,
    /// Every slot is in use.
    Full,
    /// The flash failed.
    Flash,
}

/// The slots and which of them are in use. The flash is given to each call.
#[derive(Debug)]
pub(crate) struct Store {
    pages: Range<usize>,
    slot_pages: usize,
    used: u32,
}

impl Store {
    /// Looks at all slots. `None` if the pages are not there, or too small for the header.
    pub(crate) fn open<F: MappedFlash>(
        pages: Range<usize>,
        slot_pages: usize,
        flash: &F,
        crypto: &impl Crypto,
    ) -> Option<Self> {
        let fits = pages.end <= flash.pages() && F::PAGE.checked_mul(slot_pages)? > HEADER;
        if !fits || F::WORD == 0 || HEADER.checked_rem(F::WORD) != Some(0) {
            return None;
        }
        let mut store = Self { pages, slot_pages, used: 0 };
        for slot in 0..store.slots() {
            if store.check(slot, flash, crypto).is_some() {
                store.used |= bit(slot);
            }
        }
        // Of two versions of one file the older is passed over; its slot is used again.
        for slot in 0..store.slots() {
            let Some((label, _)) = store.at(slot, flash) else { continue };
            let newer = |(at, other, _): &(usize, Label, &[u8])| {
                other.is_version_of(&label) && (other.order(), *at) > (label.order(), slot)
            };
            if store.files(flash).any(|file| newer(&file)) {
                store.used &= !bit(slot);
            }
        }
        Some(store)
    }

    fn slots(&self) -> usize {
        self.pages.len().checked_div(self.slot_pages).unwrap_or(0).min(MAX_SLOTS)
    }

    fn first_page(&self, slot: usize) -> usize {
        self.pages.start.saturating_add(slot.saturating_mul(self.slot_pages))
    }

    fn slot_bytes<'f, F: MappedFlash>(&self, slot: usize, flash: &'f F) -> Option<&'f [u8]> {
        let start = self.first_page(slot).checked_mul(F::PAGE)?;
        flash.bytes().get(start..)?.get(..self.slot_pages.checked_mul(F::PAGE)?)
    }

    /// The file in a slot, if it is whole.
    fn check<'f, F: MappedFlash>(&self, slot: usize, flash: &'f F, crypto: &impl Crypto) -> Option<(Label, &'f [u8])> {
        let bytes = self.slot_bytes(slot, flash)?;
        let (label, body) = read(bytes)?;
        let header = bytes.get(..DIGEST_AT)?;
        let digest = crypto.sha256(&[header, body]);
        (bytes.get(DIGEST_AT..HEADER) == digest.get(..DIGEST)).then_some((label, body))
    }

    /// The file in a slot in use.
    fn at<'f, F: MappedFlash>(&self, slot: usize, flash: &'f F) -> Option<(Label, &'f [u8])> {
        if self.used & bit(slot) == 0 { None } else { read(self.slot_bytes(slot, flash)?) }
    }

    /// How many slots are free.
    pub(crate) fn free<F: MappedFlash>(&self, flash: &F) -> usize {
        self.slots().saturating_sub(self.files(flash).fold(0, |count: usize, _| count.saturating_add(1)))
    }

    /// All files, with the number of their slot.
    pub(crate) fn files<'f, F: MappedFlash>(&self, flash: &'f F) -> impl Iterator<Item = (usize, Label, &'f [u8])> {
        (0..self.slots()).filter_map(move |slot| self.at(slot, flash).map(|(label, body)| (slot, label, body)))
    }

    /// The file of this kind and name.
    pub(crate) fn file<'f, F: MappedFlash>(
        &self,
        kind: u8,
        name: &[u8; Held::NAME_LENGTH],
        flash: &'f F,
    ) -> Option<(Label, &'f [u8])> {
        let mut found = self.files(flash).filter(|(_, label, _)| label.kind == kind && label.name == *name);
        found.next().map(|(_, label, body)| (label, body))
    }

    /// The file of one's own of this kind.
    pub(crate) fn own<'f, F: MappedFlash>(&self, kind: u8, flash: &'f F) -> Option<(u64, &'f [u8])> {
        self.file(kind, &[0; Held::NAME_LENGTH], flash).map(|(label, body)| (label.version, body))
    }

    /// Keeps a file in place of another version, which the caller has made sure is older, or nobody's any more.
    pub(crate) fn put<F: MappedFlash>(
        &mut self,
        label: &Label,
        body: &[u8],
        flash: &mut F,
        crypto: &impl Crypto,
    ) -> Result<(), StoreError> {
        let room = self.slot_pages.saturating_mul(F::PAGE).saturating_sub(HEADER);
        if body.len() > room {
            return Err(StoreError::TooLong);
        }
        let old = self.files(flash).find(|(_, old, _)| old.is_version_of(label));
        let mut old = old.map(|(slot, old, _)| (slot, old.order() > label.order()));
        if let Some((slot, true)) = old {
            // The next start would take it for the newer one.
            self.remove(slot, flash)?;
            old = None;
        }
        let free = (0..self.slots()).find(|slot| self.used & bit(*slot) == 0).ok_or(StoreError::Full)?;
        self.write(free, label, body, flash, crypto).map_err(|_| StoreError::Flash)?;
        self.used |= bit(free);
        // The older version is passed over from now on, also at the next start; its slot is erased when it is used again.
        if let Some((old, _)) = old {
            self.used &= !bit(old);
        }
        Ok(())
    }

    /// Forgets the file in a slot, and every older version of it.
    pub(crate) fn remove<F: MappedFlash>(&mut self, slot: usize, flash: &mut F) -> Result<(), StoreError> {
        let Some((label, _)) = self.at(slot, flash) else { return Ok(()) };
        // The newest goes last: an older one must not take its place.
        for slot in (0..self.slots()).filter(|other| *other != slot).chain([slot]) {
            let same =
                self.slot_bytes(slot, flash).and_then(read).is_some_and(|(other, _)| other.is_version_of(&label));
            if same {
                self.used &= !bit(slot);
                flash.erase(self.first_page(slot)).map_err(|_| StoreError::Flash)?;
            }
        }
        Ok(())
    }

    fn write<F: MappedFlash>(
        &self,
        slot: usize,
        label: &Label,
        body: &[u8],
        flash: &mut F,
        crypto: &impl Crypto,
    ) -> Result<(), F::Error> {
        let first = self.first_page(slot);
        let start = first.saturating_mul(F::PAGE);
        // A blank that is not trusted: it may be an erasure that was cut.
        for page in first..first.saturating_add(self.slot_pages) {
            flash.erase(page)?;
        }
        program_padded(start.saturating_add(HEADER), body, flash)?;
        let mut header = header(label, body.len());
        let (fields, place) = header.split_at_mut(DIGEST_AT);
        let digest = crypto.sha256(&[&*fields, body]);
        place.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
        flash.program(start, &header)
    }
}

/// Programs `bytes` and fills the last word up with ones.
fn program_padded<F: Flash>(at: usize, bytes: &[u8], flash: &mut F) -> Result<(), F::Error> {
    let rest = bytes.len().checked_rem(F::WORD).unwrap_or(0);
    let (whole, rest) = bytes.split_at_checked(bytes.len().saturating_sub(rest)).unwrap_or((bytes, &[]));
    if !whole.is_empty() {
        flash.program(at, whole)?;
    }
    if rest.is_empty() {
        return Ok(());
    }
    let mut word = [0xff; HEADER];
    word.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
    flash.program(at.saturating_add(whole.len()), word.get(..F::WORD).unwrap_or_default())
}

fn header(label: &Label, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    let length = u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes();
    let (recovery_epoch, version) = (label.recovery_epoch.to_be_bytes(), label.version.to_be_bytes());
    let parts: [&[u8]; 7] =
        [MAGIC, &[label.kind, 0, 0, 0], &length, &label.name, &recovery_epoch, &version, label.authority.as_bytes()];
    header.iter_mut().zip(parts.into_iter().flatten()).for_each(|(to, from)| *to = *from);
    header
}

/// What header and body say, without looking at the digest.
fn read(bytes: &[u8]) -> Option<(Label, &[u8])> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let ([kind, ..], rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_first_chunk::<{ Held::NAME_LENGTH }>()?;
    let (recovery_epoch, rest) = rest.split_first_chunk::<8>()?;
    let (version, rest) = rest.split_first_chunk::<8>()?;
    let authority = rest.first_chunk::<16>()?;
    if magic != MAGIC {
        return None;
    }
    let label = Label {
        kind: *kind,
        name: *name,
        recovery_epoch: u64::from_be_bytes(*recovery_epoch),
        version: u64::from_be_bytes(*version),
        authority: KeyId::from_bytes(*authority),
    };
    let length = usize::try_from(u32::from_be_bytes(*length)).ok()?;
    Some((label, bytes.get(HEADER..)?.get(..length)?))
}

fn bit(slot: usize) -> u32 {
    u32::try_from(slot).ok().and_then(|slot| 1_u32.checked_shl(slot)).unwrap_or(0)
}
