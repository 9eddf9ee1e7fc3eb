//! The journal as bytes: deterministic CBOR.

use super::account::Account;
use super::{BONDS, Bond, Intent, Journal, OUTCOMES, PLACES, Settled};
use medlock_proto::reading::Evidence;
use medlock_proto::sealed::{Action, Receipt, code};
use medlock_trust::cbor::{Error, ErrorKind, Reader, Writer};
use medlock_trust::decide::Code;
use minicbor::encode::Write;
use minicbor::encode::write::Cursor;

/// The most bytes a journal takes: 4 bonds of 28, 5 intents of 56, 6 outcomes of 28, 2 accounts of 83, and 10.
pub(super) const MAX_LENGTH: usize = 800;

/// The form of the record.
const VERSION: u64 = 1;

impl Journal {
    /// Writes everything to the beginning of `out`, and says how long it is.
    pub(super) fn encode(&self, now_seconds: u64, out: &mut [u8]) -> Option<usize> {
        let mut cursor = Cursor::new(out);
        let mut writer = Writer::new(&mut cursor);
        self.write_to(now_seconds, &mut writer).ok()?;
        Some(cursor.position())
    }

    fn write_to<W: Write>(&self, now_seconds: u64, out: &mut Writer<W>) -> Result<(), W::Error> {
        out.uint(VERSION)?.uint(now_seconds)?;
        self.bonds.iter().try_for_each(|bond| optional(bond.as_ref(), out, write_bond))?;
        self.open.iter().try_for_each(|intent| optional(intent.as_ref(), out, write_intent))?;
        self.outcomes.iter().try_for_each(|settled| optional(settled.as_ref(), out, write_settled))?;
        self.delivered.encode(out)?;
        self.halts.encode(out)
    }

    /// Takes everything from what [`Journal::encode`] wrote.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let mut reader = Reader::new(bytes);
        let error = reader.error(ErrorKind::OutOfRange);
        if reader.uint()? != VERSION {
            return Err(error);
        }
        self.booted_at = reader.uint()?;
        for slot in &mut self.bonds {
            *slot = if reader.null()? { None } else { Some(read_bond(&mut reader)?) };
        }
        for slot in &mut self.open {
            *slot = if reader.null()? { None } else { Some(read_intent(&mut reader)?) };
        }
        for slot in &mut self.outcomes {
            *slot = if reader.null()? { None } else { Some(read_settled(&mut reader)?) };
        }
        self.delivered = Account::decode(&mut reader)?;
        self.halts = Account::decode(&mut reader)?;
        reader.finish()
    }
}

fn optional<T, W: Write>(
    item: Option<&T>,
    out: &mut Writer<W>,
    write: impl FnOnce(&T, &mut Writer<W>) -> Result<(), W::Error>,
) -> Result<(), W::Error> {
    match item {
        Some(item) => write(item, out),
        None => out.null().map(drop),
    }
}

fn write_bond<W: Write>(bond: &Bond, out: &mut Writer<W>) -> Result<(), W::Error> {
    out.array(3)?.uint(bond.epoch)?.uint(bond.floor)?.uint(bond.forgotten).map(drop)
}

fn read_bond(reader: &mut Reader<'_>) -> Result<Bond, Error> {
    reader.array_of(3)?;
    Ok(Bond { epoch: reader.uint()?, floor: reader.uint()?, forgotten: reader.uint()?, in_force: false })
}

fn write_intent<W: Write>(intent: &Intent, out: &mut Writer<W>) -> Result<(), W::Error> {
    out.array(5)?.uint(intent.epoch)?.uint(intent.counter)?;
    intent.action.encode(out)?;
    match &intent.evidence {
        Some(evidence) => out.bytes(evidence.as_bytes())?,
        None => out.null()?,
    };
    write_mark(intent.mark, out)
}

fn read_intent(reader: &mut Reader<'_>) -> Result<Intent, Error> {
    reader.array_of(5)?;
    Ok(Intent {
        epoch: reader.uint()?,
        counter: reader.uint()?,
        action: Action::decode(reader)?,
        evidence: if reader.null()? { None } else { Some(Evidence::from_bytes(*reader.fixed()?)) },
        mark: read_mark(reader)?,
    })
}

fn write_settled<W: Write>(settled: &Settled, out: &mut Writer<W>) -> Result<(), W::Error> {
    out.array(6)?.uint(settled.epoch)?.uint(u64::from(settled.is_bolus))?;
    settled.receipt.encode(out)
}

fn read_settled(reader: &mut Reader<'_>) -> Result<Settled, Error> {
    reader.array_of(6)?;
    let epoch = reader.uint()?;
    let error = reader.error(ErrorKind::OutOfRange);
    let is_bolus = match reader.uint()? {
        0 => false,
        1 => true,
        _ => return Err(error),
    };
    Ok(Settled { epoch, is_bolus, receipt: Receipt::decode(reader)? })
}

fn write_mark<W: Write>(mark: Option<Code>, out: &mut Writer<W>) -> Result<(), W::Error> {
    match mark {
        Some(mark) => out.uint(u64::from(code::number(mark))).map(drop),
        None => out.null().map(drop),
    }
}

fn read_mark(reader: &mut Reader<'_>) -> Result<Option<Code>, Error> {
    if reader.null()? {
        return Ok(None);
    }
    let error = reader.error(ErrorKind::OutOfRange);
    code::from_number(reader.byte()?).map(Some).ok_or(error)
}

const _: () = assert!(BONDS * 28 + PLACES * 56 + OUTCOMES * 28 + 2 * 83 + 10 <= MAX_LENGTH);
