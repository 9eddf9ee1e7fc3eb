//! What a machine measured and delivered, for the records of its site: kept in a file until the hub has it, as firmware keeps it
//! in flash.

use medlock_node::files;
use medlock_proto::reading::Reading;
use medlock_proto::record::{Delivery, Numbered, Record, Records};
use medlock_trust::cbor::Writer;
use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

/// How many are kept for a hub that is away: a day of readings.
const KEPT: usize = 288;
/// How many are reported at once: what a body of the SDK holds.
const AT_ONCE: usize = 100;

/// What is to be reported, oldest first.
pub(super) struct Outbox {
    file: PathBuf,
    /// The number of the next reading: none is given twice.
    next: u64,
    waiting: VecDeque<Record>,
}

impl Outbox {
    /// What is kept in `folder`.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = folder.join("outbox");
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let (next, records) = bytes.split_first_chunk().unwrap_or((&[0; 8], &[0x80]));
        let waiting = Records::read(records).map_err(io::Error::other)?.collect();
        Ok(Self { file, next: u64::from_be_bytes(*next), waiting })
    }

    /// Keeps a reading, with a number of its own.
    pub(super) fn reading(&mut self, reading: Reading) -> Result<(), String> {
        let number = self.next;
        self.next += 1;
        self.keep(Record::Reading(Numbered { number, reading }))
    }

    /// Keeps what was delivered.
    pub(super) fn delivery(&mut self, delivery: Delivery) -> Result<(), String> {
        self.keep(Record::Delivery(delivery))
    }

    fn keep(&mut self, record: Record) -> Result<(), String> {
        if self.waiting.len() == KEPT {
            self.waiting.pop_front();
        }
        self.waiting.push_back(record);
        self.write()
    }

    /// The oldest, as they travel, and how many they are; `None` if nothing waits.
    pub(super) fn oldest(&self) -> Option<(usize, Vec<u8>)> {
        let count = self.waiting.len().min(AT_ONCE);
        (count > 0).then(|| (count, list(self.waiting.iter().take(count))))
    }

    /// The hub has the `count` oldest.
    pub(super) fn reported(&mut self, count: usize) -> Result<(), String> {
        self.waiting.drain(..count.min(self.waiting.len()));
        self.write()
    }

    fn write(&self) -> Result<(), String> {
        let bytes = [&self.next.to_be_bytes()[..], &list(self.waiting.iter())].concat();
        files::replace(&self.file, &bytes).map_err(|error| error.to_string())
    }
}

fn list<'r>(records: impl Iterator<Item = &'r Record>) -> Vec<u8> {
    let (records, mut bytes) = (records.copied().collect::<Vec<_>>(), Vec::new());
    // Writing to memory does not fail.
    let _ = Records::encode(&records, &mut Writer::new(&mut bytes));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_proto::reading::{Mdc, Moment, Special, Value};

    fn reading(ticks: u64) -> Reading {
        let (code, unit) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL);
        Reading { code, unit, value: Value::Special(Special::NaN), moment: Moment { ticks, utc: None }, mark: None }
    }

    /// Shows REQ-INTAKE-23: what waits survives a restart, numbers are not given twice, and the oldest goes when it is full.
    #[test]
    fn what_waits_survives_and_no_number_is_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!(outbox.oldest(), None);
        (0..3).for_each(|ticks| outbox.reading(reading(ticks)).unwrap());
        outbox.reported(2).unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        let numbers = |outbox: &Outbox| -> Vec<u64> {
            let bytes = outbox.oldest().map(|(_, bytes)| bytes).unwrap_or_default();
            let number = |record| if let Record::Reading(one) = record { Some(one.number) } else { None };
            Records::read(&bytes).unwrap().filter_map(number).collect()
        };
        assert_eq!(numbers(&outbox), [2]);
        outbox.reported(1).unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        (0..290).for_each(|ticks| outbox.reading(reading(ticks)).unwrap());
        assert_eq!((outbox.waiting.len(), numbers(&outbox)), (288, (5..105).collect()));
        std::fs::write(folder.path().join("outbox"), [0; 9]).unwrap();
        assert!(Outbox::open(folder.path()).is_err(), "what cannot be read is not overwritten");
    }
}
