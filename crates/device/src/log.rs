//! A log in flash that power loss cannot halve: values under keys, the last one counts.
//!
//! The area is cut into *banks* of equal size, used in a ring. Records are appended to one bank; when it is full, or the
//! device starts, what is still valid is copied into the next bank, which is erased before, and whose header is written
//! last. The bank with the highest generation and a valid header is the log.
//!
//! What follows from that, whatever the instant at which power goes:
//! - a value put is there wholly or not at all; [`Log::put`] that returned is there for good;
//! - bytes touched by an operation that was cut are erased before they are used again: each start moves to another bank,
//!   so that nothing is appended behind a torn record, and no blank is trusted that may be a half-done erasure;
//! - every bank is erased equally often: once in `banks` rotations.

mod crc;

use crate::platform::Flash;
use core::fmt;
use core::ops::Range;
use crc::Crc;

/// Which value. The numbers are the firmware's map of its log; rooms of this crate take theirs from [`Key`]'s constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(pub u16);

/// Which pages of the flash a log has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Area {
    /// The pages.
    pub pages: Range<usize>,
    /// Pages of one bank. All that is valid at one time must fit into one bank; there must be two banks or more.
    pub bank_pages: usize,
}

/// A log that was opened. It does not own the flash: several logs share one.
#[derive(Debug)]
pub struct Log {
    layout: Layout,
    bank: usize,
    generation: u32,
    /// Where the next record goes, from the beginning of the bank.
    end: usize,
    /// Whether a record may lie torn at `end`: nothing is appended any more, the next change moves to another bank.
    torn: bool,
}

/// Why a log was not read or written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogError<E> {
    /// The flash failed. What was to be written may be there after the next start.
    Flash(E),
    /// The area is outside the flash, or has fewer than two banks.
    Area,
    /// There is no log: [`Log::format`] was never done.
    Unformatted,
    /// What is valid would no longer fit into one bank. Nothing was changed.
    Full,
    /// The buffer is too short for the value, or the value too long for a bank.
    Length,
    /// A value that was written can no longer be read as it was: the flash does not hold what it promised.
    Damaged,
}

impl<E: fmt::Debug> fmt::Display for LogError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "the flash failed: {error:?}"),
            Self::Area => f.write_str("the area is outside the flash or has fewer than two banks"),
            Self::Unformatted => f.write_str("there is no log: it was never formatted"),
            Self::Full => f.write_str("the values would not fit into one bank"),
            Self::Length => f.write_str("a value is longer than its place"),
            Self::Damaged => f.write_str("a value in the log was changed by something else"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for LogError<E> {}

impl<E> From<E> for LogError<E> {
    fn from(error: E) -> Self {
        Self::Flash(error)
    }
}

impl Log {
    /// Makes an empty log. Everything in the area is lost. Done once, by the maker of the device.
    ///
    /// # Errors
    /// [`LogError::Area`], [`LogError::Flash`].
    pub fn format<F: Flash>(flash: &mut F, area: &Area) -> Result<Self, LogError<F::Error>> {
        let layout = Layout::of::<F>(area, flash.pages()).ok_or(LogError::Area)?;
        let newest = layout.newest(flash)?;
        let (last, generation) = newest.unwrap_or((0, 0));
        // The bank that counts goes last: whoever is cut has the whole old log, or none.
        let mut bank = last;
        for _ in 0..layout.banks {
            bank = layout.after(bank);
            layout.erase(flash, bank)?;
        }
        let mut log = Self { layout, bank: last, generation, end: layout.header, torn: true };
        log.begin(flash, layout.after(last), layout.header)?;
        Ok(log)
    }

    /// Opens the log, and moves what is valid to a bank that was not touched before.
    ///
    /// # Errors
    /// [`LogError::Area`], [`LogError::Unformatted`], [`LogError::Flash`].
    pub fn open<F: Flash>(flash: &mut F, area: &Area) -> Result<Self, LogError<F::Error>> {
        let layout = Layout::of::<F>(area, flash.pages()).ok_or(LogError::Area)?;
        let (bank, generation) = layout.newest(flash)?.ok_or(LogError::Unformatted)?;
        let mut log = Self { layout, bank, generation, end: layout.header, torn: true };
        let mut at = layout.header;
        while let Some(record) = log.record(flash, at)? {
            if !log.is_whole(flash, &record)? {
                break;
            }
            at = record.next;
        }
        log.end = at;
        log.rotate(flash, None)?;
        Ok(log)
    }

    /// Puts `value`, given in pieces, under `key`. When this returns, it is there for good.
    ///
    /// # Errors
    /// [`LogError::Full`], [`LogError::Length`], [`LogError::Flash`].
    pub fn put<F: Flash>(&mut self, flash: &mut F, key: Key, value: &[&[u8]]) -> Result<(), LogError<F::Error>> {
        self.append(flash, key, Some(value))
    }

    /// Removes what is under `key`.
    ///
    /// # Errors
    /// [`LogError::Full`], [`LogError::Flash`].
    pub fn remove<F: Flash>(&mut self, flash: &mut F, key: Key) -> Result<(), LogError<F::Error>> {
        match self.find(flash, key)? {
            Some(_) => self.append(flash, key, None),
            None => Ok(()),
        }
    }

    /// Reads the value under `key` to the beginning of `to`.
    ///
    /// # Errors
    /// [`LogError::Length`] if it is longer than `to`, [`LogError::Damaged`], [`LogError::Flash`].
    pub fn get<'t, F: Flash>(
        &self,
        flash: &F,
        key: Key,
        to: &'t mut [u8],
    ) -> Result<Option<&'t [u8]>, LogError<F::Error>> {
        let Some(record) = self.find(flash, key)? else { return Ok(None) };
        let to = to.get_mut(..record.length).ok_or(LogError::Length)?;
        flash.read(self.layout.offset(self.bank, record.value()), to)?;
        let mut crc = self.seed(self.generation, &record.tag());
        crc.update(to);
        if crc.finish() == record.crc { Ok(Some(to)) } else { Err(LogError::Damaged) }
    }

    /// How long the value under `key` is; `None` if there is none.
    ///
    /// # Errors
    /// [`LogError::Flash`].
    pub fn length<F: Flash>(&self, flash: &F, key: Key) -> Result<Option<usize>, LogError<F::Error>> {
        Ok(self.find(flash, key)?.map(|record| record.length))
    }

    /// The first key at or behind `from` that has a value: `next_key(flash, Key(0))`, and so on from the key after.
    ///
    /// # Errors
    /// [`LogError::Flash`].
    pub fn next_key<F: Flash>(&self, flash: &F, from: Key) -> Result<Option<Key>, LogError<F::Error>> {
        let mut least: Option<Key> = None;
        let mut at = self.layout.header;
        while let Some(record) = self.record_before_end(flash, at)? {
            let nearer = least.is_none_or(|least| record.key < least);
            if record.key >= from && nearer && !record.removed && self.is_last(flash, &record)? {
                least = Some(record.key);
            }
            at = record.next;
        }
        Ok(least)
    }

    /// How many bytes more can be put under a new key before the log is full.
    ///
    /// # Errors
    /// [`LogError::Flash`].
    pub fn room<F: Flash>(&self, flash: &F) -> Result<usize, LogError<F::Error>> {
        let used = self.layout.header.saturating_add(self.live(flash, None)?).saturating_add(RECORD_HEAD);
        Ok(self.layout.bank_bytes.saturating_sub(used).min(MAX_VALUE))
    }

    /// How often a bank was begun: each page was erased this often divided by the number of banks.
    #[must_use]
    pub const fn generation(&self) -> u32 {
        self.generation
    }

    fn append<F: Flash>(&mut self, flash: &mut F, key: Key, value: Option<&[&[u8]]>) -> Result<(), LogError<F::Error>> {
        let length = length_of(value).filter(|length| *length <= MAX_VALUE).ok_or(LogError::Length)?;
        let size = self.layout.record_bytes(length);
        let end = self.end.checked_add(size).filter(|end| *end <= self.layout.bank_bytes && !self.torn);
        let Some(end) = end else { return self.rotate(flash, Some((key, value))) };
        self.torn = true;
        self.write(flash, self.bank, self.generation, self.end, key, value)?;
        (self.end, self.torn) = (end, false);
        Ok(())
    }

    /// Copies what is valid to the next bank, with `change` in place of what was under its key, and goes on there.
    fn rotate<F: Flash>(
        &mut self,
        flash: &mut F,
        change: Option<(Key, Option<&[&[u8]]>)>,
    ) -> Result<(), LogError<F::Error>> {
        let added = match change {
            Some((_, Some(value))) => self.layout.record_bytes(length_of(Some(value)).ok_or(LogError::Length)?),
            Some((_, None)) | None => 0,
        };
        let except = change.map(|(key, _)| key);
        let needed = self.layout.header.saturating_add(self.live(flash, except)?).saturating_add(added);
        if needed > self.layout.bank_bytes {
            return Err(LogError::Full);
        }
        let bank = self.layout.after(self.bank);
        let generation = self.generation.checked_add(1).ok_or(LogError::Full)?;
        self.torn = true;
        self.layout.erase(flash, bank)?;
        let mut to = self.layout.header;
        let mut at = self.layout.header;
        while let Some(record) = self.record_before_end(flash, at)? {
            if self.stays(flash, &record, except)? {
                self.copy(flash, &record, bank, generation, to)?;
                to = to.saturating_add(self.layout.record_bytes(record.length));
            }
            at = record.next;
        }
        if let Some((key, Some(value))) = change {
            self.write(flash, bank, generation, to, key, Some(value))?;
            to = to.saturating_add(added);
        }
        self.begin(flash, bank, to)
    }

    /// Writes the header of a bank that has all it needs: from now on it is the log.
    fn begin<F: Flash>(&mut self, flash: &mut F, bank: usize, end: usize) -> Result<(), LogError<F::Error>> {
        let generation = self.generation.checked_add(1).ok_or(LogError::Full)?;
        let mut out = Programmer::new(flash, self.layout.offset(bank, 0));
        out.write(&bank_header(generation))?;
        out.finish()?;
        (self.bank, self.generation, self.end, self.torn) = (bank, generation, end, false);
        Ok(())
    }

    /// Bytes of the records that stay, without that of `except`.
    fn live<F: Flash>(&self, flash: &F, except: Option<Key>) -> Result<usize, LogError<F::Error>> {
        let (mut sum, mut at) = (0_usize, self.layout.header);
        while let Some(record) = self.record_before_end(flash, at)? {
            if self.stays(flash, &record, except)? {
                sum = sum.saturating_add(self.layout.record_bytes(record.length));
            }
            at = record.next;
        }
        Ok(sum)
    }

    fn stays<F: Flash>(&self, flash: &F, record: &Record, except: Option<Key>) -> Result<bool, LogError<F::Error>> {
        Ok(!record.removed && Some(record.key) != except && self.is_last(flash, record)?)
    }

    fn is_last<F: Flash>(&self, flash: &F, record: &Record) -> Result<bool, LogError<F::Error>> {
        let mut at = record.next;
        while let Some(later) = self.record_before_end(flash, at)? {
            if later.key == record.key {
                return Ok(false);
            }
            at = later.next;
        }
        Ok(true)
    }

    fn find<F: Flash>(&self, flash: &F, key: Key) -> Result<Option<Record>, LogError<F::Error>> {
        let mut found = None;
        let mut at = self.layout.header;
        while let Some(record) = self.record_before_end(flash, at)? {
            at = record.next;
            if record.key == key {
                found = Some(record);
            }
        }
        Ok(found.filter(|record| !record.removed))
    }

    fn record_before_end<F: Flash>(&self, flash: &F, at: usize) -> Result<Option<Record>, LogError<F::Error>> {
        if at < self.end { self.record(flash, at) } else { Ok(None) }
    }

    /// The head of the record at `at`; `None` where no record can be.
    fn record<F: Flash>(&self, flash: &F, at: usize) -> Result<Option<Record>, LogError<F::Error>> {
        if at.checked_add(RECORD_HEAD).is_none_or(|end| end > self.layout.bank_bytes) {
            return Ok(None);
        }
        let mut head = [0; RECORD_HEAD];
        flash.read(self.layout.offset(self.bank, at), &mut head)?;
        let [length_low, length_high, key_low, key_high, crc @ ..] = head;
        let length = u16::from_le_bytes([length_low, length_high]);
        let (removed, length) = (length & REMOVED != 0, usize::from(length & !REMOVED));
        let next = at.saturating_add(self.layout.record_bytes(length));
        if length > MAX_VALUE || next > self.layout.bank_bytes {
            return Ok(None);
        }
        let key = Key(u16::from_le_bytes([key_low, key_high]));
        Ok(Some(Record { at, next, key, length, removed, crc: u32::from_le_bytes(crc) }))
    }

    fn is_whole<F: Flash>(&self, flash: &F, record: &Record) -> Result<bool, LogError<F::Error>> {
        Ok(self.crc_of(flash, record, self.generation)? == record.crc)
    }

    /// The checksum of a record's value in a bank of this generation.
    fn crc_of<F: Flash>(&self, flash: &F, record: &Record, generation: u32) -> Result<u32, LogError<F::Error>> {
        let mut crc = self.seed(generation, &record.tag());
        let (mut at, mut left) = (record.value(), record.length);
        while left > 0 {
            let mut piece = [0; PIECE];
            let piece = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
            flash.read(self.layout.offset(self.bank, at), piece)?;
            crc.update(piece);
            at = at.saturating_add(piece.len());
            left = left.saturating_sub(piece.len());
        }
        Ok(crc.finish())
    }

    fn copy<F: Flash>(
        &self,
        flash: &mut F,
        record: &Record,
        bank: usize,
        generation: u32,
        to: usize,
    ) -> Result<(), LogError<F::Error>> {
        if !self.is_whole(flash, record)? {
            return Err(LogError::Damaged);
        }
        let crc = self.crc_of(flash, record, generation)?;
        let mut out = Programmer::new(flash, self.layout.offset(bank, to));
        out.write(&record.tag())?;
        out.write(&crc.to_le_bytes())?;
        let (mut at, mut left) = (record.value(), record.length);
        while left > 0 {
            let mut piece = [0; PIECE];
            let piece = piece.get_mut(..left.min(PIECE)).unwrap_or_default();
            out.read(self.layout.offset(self.bank, at), piece)?;
            out.write(piece)?;
            at = at.saturating_add(piece.len());
            left = left.saturating_sub(piece.len());
        }
        out.finish()
    }

    fn write<F: Flash>(
        &self,
        flash: &mut F,
        bank: usize,
        generation: u32,
        at: usize,
        key: Key,
        value: Option<&[&[u8]]>,
    ) -> Result<(), LogError<F::Error>> {
        let length = length_of(value).ok_or(LogError::Length)?;
        let tag = tag(key, length, value.is_none());
        let mut crc = self.seed(generation, &tag);
        let pieces = value.unwrap_or_default();
        pieces.iter().for_each(|piece| crc.update(piece));
        let mut out = Programmer::new(flash, self.layout.offset(bank, at));
        out.write(&tag)?;
        out.write(&crc.finish().to_le_bytes())?;
        pieces.iter().try_for_each(|piece| out.write(piece))?;
        out.finish()
    }

    /// A checksum that begins with the generation: what an earlier use of the bank left is not valid now.
    fn seed(&self, generation: u32, tag: &[u8; 4]) -> Crc {
        let mut crc = Crc::new();
        crc.update(&generation.to_le_bytes());
        crc.update(tag);
        crc
    }
}

/// Bytes before a value: length, key, checksum.
const RECORD_HEAD: usize = 8;
/// Bytes of a bank's header: mark, generation, checksum.
const BANK_HEADER: usize = 12;
/// "MLG1".
const MARK: [u8; 4] = *b"MLG1";
/// In the length of a record: the key has no value any more.
const REMOVED: u16 = 0x8000;
/// The longest value. 0x7fff is what blank flash says.
const MAX_VALUE: usize = 0x7ffe;
/// How many bytes are read or programmed at once. The program unit of every flash known to us divides it.
const PIECE: usize = 64;

struct Record {
    at: usize,
    next: usize,
    key: Key,
    length: usize,
    removed: bool,
    crc: u32,
}

impl Record {
    fn value(&self) -> usize {
        self.at.saturating_add(RECORD_HEAD)
    }

    fn tag(&self) -> [u8; 4] {
        tag(self.key, self.length, self.removed)
    }
}

/// The first bytes of a record.
fn tag(key: Key, length: usize, removed: bool) -> [u8; 4] {
    let length = u16::try_from(length).unwrap_or(u16::MAX) | if removed { REMOVED } else { 0 };
    let ([a, b], [c, d]) = (length.to_le_bytes(), key.0.to_le_bytes());
    [a, b, c, d]
}

fn length_of(value: Option<&[&[u8]]>) -> Option<usize> {
    value.unwrap_or_default().iter().try_fold(0_usize, |sum, piece| sum.checked_add(piece.len()))
}

fn bank_header(generation: u32) -> [u8; BANK_HEADER] {
    let mut crc = Crc::new();
    crc.update(&MARK);
    crc.update(&generation.to_le_bytes());
    let ([a, b, c, d], [e, f, g, h], [i, j, k, l]) = (MARK, generation.to_le_bytes(), crc.finish().to_le_bytes());
    [a, b, c, d, e, f, g, h, i, j, k, l]
}

#[derive(Clone, Copy, Debug)]
struct Layout {
    first_page: usize,
    page_bytes: usize,
    bank_pages: usize,
    bank_bytes: usize,
    banks: usize,
    word: usize,
    /// Bytes of a bank's header, to the next word.
    header: usize,
}

impl Layout {
    fn of<F: Flash>(area: &Area, flash_pages: usize) -> Option<Self> {
        let pages = area.pages.end.checked_sub(area.pages.start)?;
        let banks = pages.checked_div(area.bank_pages)?;
        let bank_bytes = F::PAGE.checked_mul(area.bank_pages)?;
        let header = BANK_HEADER.checked_next_multiple_of(F::WORD)?;
        let fits = area.pages.end <= flash_pages && area.pages.end.checked_mul(F::PAGE).is_some();
        let whole = PIECE.checked_rem(F::WORD)? == 0 && F::PAGE.checked_rem(F::WORD)? == 0;
        let room = header.checked_add(RECORD_HEAD)? <= bank_bytes;
        (fits && whole && room && banks >= 2).then_some(Self {
            first_page: area.pages.start,
            page_bytes: F::PAGE,
            bank_pages: area.bank_pages,
            bank_bytes,
            banks,
            word: F::WORD,
            header,
        })
    }

    // These are called in many places, and each is longer than its call.
    #[inline(never)]
    fn record_bytes(&self, length: usize) -> usize {
        length.saturating_add(RECORD_HEAD).checked_next_multiple_of(self.word).unwrap_or(usize::MAX)
    }

    fn first_page_of(&self, bank: usize) -> usize {
        self.first_page.saturating_add(bank.saturating_mul(self.bank_pages))
    }

    #[inline(never)]
    fn offset(&self, bank: usize, at: usize) -> usize {
        self.first_page_of(bank).saturating_mul(self.page_bytes).saturating_add(at)
    }

    fn after(&self, bank: usize) -> usize {
        let next = bank.saturating_add(1);
        if next < self.banks { next } else { 0 }
    }

    fn erase<F: Flash>(&self, flash: &mut F, bank: usize) -> Result<(), F::Error> {
        let first = self.first_page_of(bank);
        (first..first.saturating_add(self.bank_pages)).try_for_each(|page| flash.erase(page))
    }

    /// The bank that is the log, and its generation.
    fn newest<F: Flash>(&self, flash: &F) -> Result<Option<(usize, u32)>, F::Error> {
        let mut newest: Option<(usize, u32)> = None;
        for bank in 0..self.banks {
            let mut header = [0; BANK_HEADER];
            flash.read(self.offset(bank, 0), &mut header)?;
            let [_, _, _, _, a, b, c, d, ..] = header;
            let generation = u32::from_le_bytes([a, b, c, d]);
            let newer = newest.is_none_or(|(_, newest)| generation > newest);
            if header == bank_header(generation) && newer {
                newest = Some((bank, generation));
            }
        }
        Ok(newest)
    }
}

/// Programs bytes one behind the other, in whole words.
struct Programmer<'f, F: Flash> {
    flash: &'f mut F,
    offset: usize,
    pending: [u8; PIECE],
    filled: usize,
}

impl<'f, F: Flash> Programmer<'f, F> {
    fn new(flash: &'f mut F, offset: usize) -> Self {
        Self { flash, offset, pending: [0xff; PIECE], filled: 0 }
    }

    fn read(&self, offset: usize, to: &mut [u8]) -> Result<(), LogError<F::Error>> {
        Ok(self.flash.read(offset, to)?)
    }

    fn write(&mut self, mut bytes: &[u8]) -> Result<(), LogError<F::Error>> {
        while !bytes.is_empty() {
            let free = self.pending.get_mut(self.filled..).unwrap_or_default();
            let count = free.len().min(bytes.len());
            let (now, later) = bytes.split_at_checked(count).unwrap_or((bytes, &[]));
            free.iter_mut().zip(now).for_each(|(to, from)| *to = *from);
            self.filled = self.filled.saturating_add(count);
            bytes = later;
            if self.filled == PIECE {
                self.flush(PIECE)?;
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), LogError<F::Error>> {
        let whole = self.filled.checked_next_multiple_of(F::WORD).unwrap_or(PIECE);
        self.flush(whole)
    }

    fn flush(&mut self, count: usize) -> Result<(), LogError<F::Error>> {
        if count > 0 {
            self.flash.program(self.offset, self.pending.get(..count).unwrap_or_default())?;
        }
        self.offset = self.offset.saturating_add(count);
        self.pending = [0xff; PIECE];
        self.filled = 0;
        Ok(())
    }
}
