//! What a device reports to its hub, for the records: what it measured, and what it delivered; and what the hub answers.
//!
//! Deterministic CBOR (docs/sealed-command.md has the CDDL). Each names itself by numbers that its device gave, so that what is
//! reported twice, because an answer was lost, is kept once.

use crate::reading::{Moment, Reading};
use crate::sealed::{Concentration, MilliUnits};
use medlock_trust::DeviceName;
use medlock_trust::cbor::{self, ErrorKind, Reader, Writer};
use minicbor::encode::Write;

/// Of which life of a device its numbers are: drawn at random when its state is new. A device that was wiped, and counts from
/// the beginning, has another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Incarnation(pub u64);

/// A reading with the number that its device gave it: no other reading of this incarnation has it, also after a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// The number.
    pub number: u64,
    /// The reading.
    pub reading: Reading,
}

/// A command that a pump carried out: the final receipt of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The epoch of the bond under which it was commanded.
    pub bond_epoch: u64,
    /// The counter of the command under that bond.
    pub counter: u64,
    /// What was commanded.
    pub sort: Sort,
    /// When it began, in the ticks of `moment`, and not behind those; `None`: power went since.
    pub began: Option<u64>,
    /// When it ended.
    pub moment: Moment,
    /// How much.
    pub delivered: Delivered,
    /// Of which insulin.
    pub concentration: Concentration,
    /// Who commanded it.
    pub commander: Option<DeviceName>,
}

/// What was commanded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    /// An amount, at once.
    Bolus,
    /// A rate, for a time.
    TemporaryBasal,
}

/// How much was delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// So much.
    Amount(MilliUnits),
    /// Nobody knows: power went. Not more than this.
    AtMost(MilliUnits),
}

/// One thing that a device reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It measured.
    Reading(Numbered),
    /// It delivered.
    Delivery(Delivery),
}

impl Record {
    /// The most bytes one takes.
    pub const MAX_LENGTH: usize = 136;

    /// Writes it.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        match self {
            Self::Reading(Numbered { number, reading }) => {
                out.array(3)?.uint(READING)?.uint(*number)?;
                reading.encode(out)
            }
            Self::Delivery(delivery) => {
                out.array(12)?.uint(DELIVERY)?.uint(delivery.bond_epoch)?.uint(delivery.counter)?;
                out.uint(match delivery.sort {
                    Sort::Bolus => BOLUS,
                    Sort::TemporaryBasal => TEMPORARY_BASAL,
                })?;
                match delivery.began {
                    Some(began) => out.uint(began)?,
                    None => out.null()?,
                };
                delivery.moment.encode(out)?;
                let (certain, amount) = match delivery.delivered {
                    Delivered::Amount(amount) => (AMOUNT, amount),
                    Delivered::AtMost(amount) => (AT_MOST, amount),
                };
                out.uint(certain)?.uint(amount.0.into())?.uint(delivery.concentration.0.into())?;
                match &delivery.commander {
                    Some(name) => out.text(name.as_str())?,
                    None => out.null()?,
                };
                Ok(())
            }
        }
    }

    /// Reads one.
    ///
    /// # Errors
    /// If it is another thing or written in another way than [`Record::encode`] does.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Self, cbor::Error> {
        let error = reader.error(ErrorKind::OutOfRange);
        match reader.array(12)? {
            3 if reader.uint()? == READING => {
                let number = reader.uint()?;
                Ok(Self::Reading(Numbered { number, reading: Reading::decode(reader)? }))
            }
            12 if reader.uint()? == DELIVERY => delivery(reader).map(Self::Delivery),
            _ => Err(error),
        }
    }
}

const READING: u64 = 0;
const DELIVERY: u64 = 1;
const BOLUS: u64 = 0;
const TEMPORARY_BASAL: u64 = 1;
const AMOUNT: u64 = 0;
const AT_MOST: u64 = 1;

/// What follows the kind.
fn delivery(reader: &mut Reader<'_>) -> Result<Delivery, cbor::Error> {
    let (bond_epoch, counter) = (reader.uint()?, reader.uint()?);
    let error = reader.error(ErrorKind::OutOfRange);
    let sort = match reader.uint()? {
        BOLUS => Sort::Bolus,
        TEMPORARY_BASAL => Sort::TemporaryBasal,
        _ => return Err(error),
    };
    let error = reader.error(ErrorKind::OutOfRange);
    let began = if reader.null()? { None } else { Some(reader.uint()?) };
    let moment = Moment::decode(reader)?;
    if began.is_some_and(|began| began > moment.ticks) {
        return Err(error);
    }
    let error = reader.error(ErrorKind::OutOfRange);
    let certain = reader.uint()?;
    let amount = MilliUnits(u32::try_from(reader.uint()?).map_err(|_| error)?);
    let delivered = match certain {
        AMOUNT => Delivered::Amount(amount),
        AT_MOST => Delivered::AtMost(amount),
        _ => return Err(error),
    };
    let concentration = Concentration(u16::try_from(reader.uint()?).map_err(|_| error)?);
    let error = reader.error(ErrorKind::OutOfRange);
    let commander =
        if reader.null()? { None } else { Some(DeviceName::new(reader.text(DeviceName::MAX_LENGTH)?).ok_or(error)?) };
    Ok(Delivery { bond_epoch, counter, sort, began, moment, delivered, concentration, commander })
}

/// Several as they travel: an array, oldest first.
#[derive(Clone, Debug)]
pub struct Records<'a> {
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Records<'a> {
    /// The most in one message.
    pub const MAX: u64 = 288;

    /// Reads a list; every record of it was checked.
    ///
    /// # Errors
    /// If it is another thing, there are too many, or bytes follow.
    pub fn read(bytes: &'a [u8]) -> Result<Self, cbor::Error> {
        let mut reader = Reader::new(bytes);
        let records = Self::decode(&mut reader)?;
        reader.finish()?;
        Ok(records)
    }

    fn decode(reader: &mut Reader<'a>) -> Result<Self, cbor::Error> {
        let left = reader.array(Self::MAX)?;
        let records = Self { reader: reader.clone(), left };
        (0..left).try_for_each(|_| Record::decode(reader).map(drop))?;
        Ok(records)
    }

    /// Writes a list.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(records: &[Record], out: &mut Writer<W>) -> Result<(), W::Error> {
        out.array(u64::try_from(records.len()).unwrap_or(u64::MAX))?;
        records.iter().try_for_each(|record| record.encode(out))
    }
}

impl Iterator for Records<'_> {
    type Item = Record;

    fn next(&mut self) -> Option<Record> {
        self.left = self.left.checked_sub(1)?;
        Record::decode(&mut self.reader).ok()
    }
}

/// What a device lost because its room was full, before the hub came: since the last report that was answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// So many readings.
    pub readings: u64,
    /// So many deliveries.
    pub deliveries: u64,
}

/// A report.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// Of which life of the device the numbers are.
    pub incarnation: Incarnation,
    /// What it does not have any more.
    pub lost: Lost,
    /// The oldest that it has.
    pub records: Records<'a>,
}

impl<'a> Report<'a> {
    /// The most bytes that stand before the records.
    pub const MAX_HEAD: usize = 31;

    /// Reads one; every record of it was checked.
    ///
    /// # Errors
    /// If it is another thing, there are too many records, or bytes follow.
    pub fn read(bytes: &'a [u8]) -> Result<Self, cbor::Error> {
        let mut reader = Reader::new(bytes);
        reader.array_of(4)?;
        let incarnation = Incarnation(reader.uint()?);
        let lost = Lost { readings: reader.uint()?, deliveries: reader.uint()? };
        let records = Records::decode(&mut reader)?;
        reader.finish()?;
        Ok(Self { incarnation, lost, records })
    }

    /// Writes one.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(
        incarnation: Incarnation,
        lost: Lost,
        records: &[Record],
        out: &mut Writer<W>,
    ) -> Result<(), W::Error> {
        out.array(4)?.uint(incarnation.0)?.uint(lost.readings)?.uint(lost.deliveries)?;
        Records::encode(records, out)
    }
}

/// Why a hub keeps one record of a report not, and never will.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It has another one under the same numbers.
    OtherContents,
    /// It does not become a resource.
    Unfit,
    /// It would wait until a person says whose it was, and as many of the device wait as may. Not for good: it is kept, and reported
    /// again later, behind the others.
    NoRoom,
}

impl Refusal {
    const fn number(self) -> u64 {
        match self {
            Self::OtherContents => 1,
            Self::Unfit => 2,
            Self::NoRoom => 3,
        }
    }

    /// The stable code (docs/codes.md).
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::OtherContents => "intake-number",
            Self::Unfit => "intake-unfit",
            Self::NoRoom => "intake-too-many-wait",
        }
    }
}

/// What a hub answers to a report: those records that it does not keep, by their places, from 0. It has all others, durably.
#[derive(Clone, Debug)]
pub struct Answer<'a> {
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Answer<'a> {
    /// Reads one; all of it was checked.
    ///
    /// # Errors
    /// If it is another thing, places are not in their order, or bytes follow.
    pub fn read(bytes: &'a [u8]) -> Result<Self, cbor::Error> {
        let mut reader = Reader::new(bytes);
        let left = reader.array(Records::MAX)?;
        let answer = Self { reader: reader.clone(), left };
        let mut next = 0;
        for _ in 0..left {
            let error = reader.error(ErrorKind::NotAscending);
            let (place, _) = refused(&mut reader)?;
            if u64::from(place) < next {
                return Err(error);
            }
            next = u64::from(place).saturating_add(1);
        }
        reader.finish()?;
        Ok(answer)
    }

    /// Writes one: places in their order, each once.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(refused: &[(u16, Refusal)], out: &mut Writer<W>) -> Result<(), W::Error> {
        out.array(u64::try_from(refused.len()).unwrap_or(u64::MAX))?;
        for (place, why) in refused {
            out.array(2)?.uint(u64::from(*place))?.uint(why.number())?;
        }
        Ok(())
    }
}

/// The place of one that is refused, and why.
fn refused(reader: &mut Reader<'_>) -> Result<(u16, Refusal), cbor::Error> {
    reader.array_of(2)?;
    let error = reader.error(ErrorKind::OutOfRange);
    let place = reader.uint()?;
    let place = u16::try_from(place).ok().filter(|_| place < Records::MAX).ok_or(error)?;
    let why = match reader.uint()? {
        1 => Refusal::OtherContents,
        2 => Refusal::Unfit,
        3 => Refusal::NoRoom,
        _ => return Err(error),
    };
    Ok((place, why))
}

impl Iterator for Answer<'_> {
    type Item = (u16, Refusal);

    fn next(&mut self) -> Option<(u16, Refusal)> {
        self.left = self.left.checked_sub(1)?;
        refused(&mut self.reader).ok()
    }
}
