//! What a machine measured and delivered, for the records of its site: kept in a file until the hub has it, as firmware keeps it
//! in flash.

use medlock_node::{files, provider};
use medlock_proto::reading::Reading;
use medlock_proto::record::{Delivery, Incarnation, Lost, Numbered, Record, Report};
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
    /// Drawn when the file was made: numbers are of this life.
    incarnation: Incarnation,
    /// The number of the next reading: none is given twice.
    next: u64,
    /// What had no room.
    lost: Lost,
    /// Each with its place in the order in which they came; places are of this start.
    waiting: VecDeque<(u64, Record)>,
    /// The place of the next one.
    place: u64,
    /// Up to which place they are on their way to the hub.
    under_way: Option<u64>,
}

/// What was reported in one message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sent {
    /// How many they are.
    pub(super) count: usize,
    /// The place of the last of them.
    upto: u64,
    /// What was told to be lost.
    lost: Lost,
}

impl Outbox {
    /// What is kept in `folder`.
    pub(super) fn open(folder: &Path) -> io::Result<Self> {
        let file = folder.join("outbox");
        let bytes = match std::fs::read(&file) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let incarnation = Incarnation(u64::from_be_bytes(provider::random()));
                return Ok(Self::new(file, (incarnation, 0), Lost::default(), VecDeque::new()));
            }
            Err(error) => return Err(error),
        };
        let (next, report) = bytes.split_first_chunk().ok_or(io::ErrorKind::InvalidData)?;
        let Report { incarnation, lost, records } = Report::read(report).map_err(io::Error::other)?;
        Ok(Self::new(file, (incarnation, u64::from_be_bytes(*next)), lost, (0..).zip(records).collect()))
    }

    fn new(
        file: PathBuf,
        (incarnation, next): (Incarnation, u64),
        lost: Lost,
        waiting: VecDeque<(u64, Record)>,
    ) -> Self {
        let place = waiting.back().map_or(0, |(place, _)| place + 1);
        Self { file, incarnation, next, lost, waiting, place, under_way: None }
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
        if self.makes_room_for(&record) {
            self.waiting.push_back((self.place, record));
            self.place += 1;
        }
        self.write()
    }

    /// Where there is no room the oldest reading goes that is not on its way; a dose goes for another dose alone. What goes is
    /// counted.
    fn makes_room_for(&mut self, record: &Record) -> bool {
        if self.waiting.len() < KEPT {
            return true;
        }
        let stays = |place: &u64| self.under_way.is_some_and(|upto| *place <= upto);
        let mut behind = self.waiting.iter().enumerate().filter(|(_, (place, _))| !stays(place));
        let dose = behind.clone().next().map(|(number, _)| number);
        let reading = behind.find(|(_, (_, record))| matches!(record, Record::Reading(_))).map(|(number, _)| number);
        match (reading, record) {
            (Some(reading), _) => {
                self.lost.readings += 1;
                self.waiting.remove(reading).is_some()
            }
            (None, Record::Delivery(_)) => {
                self.lost.deliveries += 1;
                dose.and_then(|dose| self.waiting.remove(dose)).is_some()
            }
            (None, Record::Reading(_)) => {
                self.lost.readings += 1;
                false
            }
        }
    }

    /// The oldest, as they travel: on their way from now on; `None` if nothing waits.
    pub(super) fn oldest(&mut self) -> Option<(Sent, Vec<u8>)> {
        let oldest: Vec<&(u64, Record)> = self.waiting.iter().take(AT_ONCE).collect();
        let (upto, _) = **oldest.last()?;
        let sent = Sent { count: oldest.len(), upto, lost: self.lost };
        let bytes = self.report(oldest.into_iter());
        self.under_way = Some(upto);
        Some((sent, bytes))
    }

    /// No answer came to what was on its way.
    pub(super) const fn unanswered(&mut self) {
        self.under_way = None;
    }

    /// The hub has answered these: they go, and nothing that came meanwhile; but those at these places among them, for which it has no room
    /// yet, come again behind all others.
    pub(super) fn reported(&mut self, sent: &Sent, again: &[u16]) -> Result<(), String> {
        self.under_way = None;
        for place in 0..=u16::MAX {
            let Some((_, record)) = self.waiting.pop_front_if(|(place, _)| *place <= sent.upto) else { break };
            if again.contains(&place) {
                self.waiting.push_back((self.place, record));
                self.place += 1;
            }
        }
        self.lost.readings -= sent.lost.readings;
        self.lost.deliveries -= sent.lost.deliveries;
        self.write()
    }

    fn write(&self) -> Result<(), String> {
        let bytes = [&self.next.to_be_bytes()[..], &self.report(self.waiting.iter())].concat();
        files::replace(&self.file, &bytes).map_err(|error| error.to_string())
    }

    fn report<'r>(&self, records: impl Iterator<Item = &'r (u64, Record)>) -> Vec<u8> {
        let (records, mut bytes) = (records.map(|(_, record)| *record).collect::<Vec<_>>(), Vec::new());
        // Writing to memory does not fail.
        let _ = Report::encode(self.incarnation, self.lost, &records, &mut Writer::new(&mut bytes));
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_proto::reading::{Mdc, Moment, Special, Value};
    use medlock_proto::record::{Delivered, Sort};
    use medlock_proto::sealed::{Concentration, MilliUnits};

    fn reading(ticks: u64) -> Reading {
        let (code, unit) = (Mdc::CONC_GLU_ISF, Mdc::DIM_MILLI_G_PER_DL);
        Reading { code, unit, value: Value::Special(Special::NaN), moment: Moment { ticks, utc: None }, mark: None }
    }

    fn dose(counter: u64) -> Delivery {
        Delivery {
            bond_epoch: 1,
            counter,
            sort: Sort::Bolus,
            began: None,
            moment: Moment { ticks: 0, utc: None },
            delivered: Delivered::Amount(MilliUnits(1_000)),
            concentration: Concentration::U100,
            commander: None,
        }
    }

    /// The numbers of the readings, and the counters of the doses, that are reported next.
    fn numbers(outbox: &mut Outbox) -> (Vec<u64>, Vec<u64>) {
        let (mut readings, mut doses) = (Vec::new(), Vec::new());
        let Some((_, bytes)) = outbox.oldest() else { return (readings, doses) };
        outbox.unanswered();
        for record in Report::read(&bytes).unwrap().records {
            match record {
                Record::Reading(one) => readings.push(one.number),
                Record::Delivery(one) => doses.push(one.counter),
            }
        }
        (readings, doses)
    }

    fn lost(outbox: &mut Outbox) -> (u64, u64) {
        let (_, bytes) = outbox.oldest().unwrap();
        outbox.unanswered();
        let lost = Report::read(&bytes).unwrap().lost;
        (lost.readings, lost.deliveries)
    }

    /// Shows REQ-INTAKE-23: what waits survives a restart, numbers are not given twice, and a new life is another one.
    #[test]
    fn what_waits_survives_and_no_number_is_given_twice() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!(outbox.oldest(), None);
        (0..3).for_each(|ticks| outbox.reading(reading(ticks)).unwrap());
        let life = outbox.incarnation;
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!((numbers(&mut outbox), outbox.incarnation), ((vec![0, 1, 2], vec![]), life));
        let (sent, _) = outbox.oldest().unwrap();
        outbox.reported(&sent, &[]).unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!(outbox.oldest(), None);
        outbox.reading(reading(3)).unwrap();
        assert_eq!((numbers(&mut outbox), outbox.incarnation), ((vec![3], vec![]), life));
        std::fs::remove_file(folder.path().join("outbox")).unwrap();
        assert_ne!(Outbox::open(folder.path()).unwrap().incarnation, life, "it was wiped");
        for unread in [&[0; 9][..], &[0; 3]] {
            std::fs::write(folder.path().join("outbox"), unread).unwrap();
            assert!(Outbox::open(folder.path()).is_err(), "what cannot be read is not overwritten");
        }
    }

    /// Shows REQ-INTAKE-31: what is answered goes and nothing else, also when the room was full and more came meanwhile.
    #[test]
    fn what_came_during_a_report_is_reported_later() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        (0..288).for_each(|ticks| outbox.reading(reading(ticks)).unwrap());
        let (sent, _) = outbox.oldest().unwrap();
        assert_eq!(sent.count, 100);
        (288..298).for_each(|ticks| outbox.reading(reading(ticks)).unwrap());
        outbox.delivery(dose(1)).unwrap();
        outbox.reported(&sent, &[]).unwrap();
        // What is on its way stays; of the others the oldest went, and the next report says how many.
        assert_eq!(numbers(&mut outbox).0, (111..211).collect::<Vec<_>>());
        assert_eq!((outbox.waiting.len(), lost(&mut outbox)), (188, (11, 0)));
        // One whose answer was lost comes again.
        let (sent, _) = outbox.oldest().unwrap();
        outbox.unanswered();
        assert_eq!(outbox.oldest().unwrap().0, sent);
        outbox.reported(&sent, &[]).unwrap();
        assert_eq!((outbox.waiting.len(), lost(&mut outbox)), (88, (0, 0)), "it is told once it was answered");
    }

    /// Shows REQ-INTAKE-64: what the hub has no room for yet holds up nothing: it comes again behind all that came meanwhile.
    #[test]
    fn what_has_no_room_at_the_hub_comes_again_behind_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        (0..3).for_each(|counter| outbox.delivery(dose(counter)).unwrap());
        let (sent, _) = outbox.oldest().unwrap();
        outbox.delivery(dose(3)).unwrap();
        outbox.reported(&sent, &[0, 2]).unwrap();
        assert_eq!(numbers(&mut outbox).1, [3, 0, 2]);
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!(numbers(&mut outbox).1, [3, 0, 2]);
        let (sent, _) = outbox.oldest().unwrap();
        outbox.reported(&sent, &[]).unwrap();
        assert_eq!(outbox.oldest(), None);
    }

    /// Shows REQ-INTAKE-32: no dose goes for a reading, what goes is counted, and the count survives a restart.
    #[test]
    fn no_dose_is_dropped_for_a_reading_and_what_is_dropped_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        (0..200).for_each(|counter| outbox.delivery(dose(counter)).unwrap());
        (0..100).for_each(|ticks| outbox.reading(reading(ticks)).unwrap());
        assert_eq!((outbox.waiting.len(), lost(&mut outbox)), (288, (12, 0)));
        (200..290).for_each(|counter| outbox.delivery(dose(counter)).unwrap());
        outbox.reading(reading(100)).unwrap();
        let mut outbox = Outbox::open(folder.path()).unwrap();
        assert_eq!(lost(&mut outbox), (101, 2), "doses go for doses alone, the oldest first");
        assert_eq!(numbers(&mut outbox), (vec![], (2..102).collect()));
        assert_eq!(outbox.waiting.len(), 288);
    }
}
