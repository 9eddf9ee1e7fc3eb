//! What a device reports to its hub, for the records: what it measured, and what it delivered.
//!
//! Deterministic CBOR (docs/sealed-command.md has the CDDL). Each names itself by numbers that its device gave, so that what is
//! reported twice, because an answer was lost, is kept once.

use crate::reading::{Moment, Reading};
use crate::sealed::{Concentration, MilliUnits};
use medlock_trust::DeviceName;
use medlock_trust::cbor::{self, ErrorKind, Reader, Writer};
use minicbor::encode::Write;

/// A reading with the number that its device gave it: no other reading of the device has it, also after a restart.
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
    /// When.
    pub moment: Moment,
    /// How much.
    pub delivered: Delivered,
    /// Of which insulin.
    pub concentration: Concentration,
    /// Who commanded it.
    pub commander: Option<DeviceName>,
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
    pub const MAX_LENGTH: usize = 128;

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
                out.array(10)?.uint(DELIVERY)?.uint(delivery.bond_epoch)?.uint(delivery.counter)?;
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
        match reader.array(10)? {
            3 if reader.uint()? == READING => {
                let number = reader.uint()?;
                Ok(Self::Reading(Numbered { number, reading: Reading::decode(reader)? }))
            }
            10 if reader.uint()? == DELIVERY => delivery(reader).map(Self::Delivery),
            _ => Err(error),
        }
    }
}

const READING: u64 = 0;
const DELIVERY: u64 = 1;
const AMOUNT: u64 = 0;
const AT_MOST: u64 = 1;

/// What follows the kind.
fn delivery(reader: &mut Reader<'_>) -> Result<Delivery, cbor::Error> {
    let (bond_epoch, counter) = (reader.uint()?, reader.uint()?);
    let moment = Moment::decode(reader)?;
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
    Ok(Delivery { bond_epoch, counter, moment, delivered, concentration, commander })
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
        let left = reader.array(Self::MAX)?;
        let mut ahead = reader.clone();
        (0..left).try_for_each(|_| Record::decode(&mut ahead).map(drop))?;
        ahead.finish()?;
        Ok(Self { reader, left })
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
