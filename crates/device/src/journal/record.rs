//! The journal as bytes: deterministic CBOR.

use super::account::Account;
use super::{BONDS, Bond, Intent, Journal, OUTCOMES, PLACES, Settled};
use medlock_proto::reading::Evidence;
use medlock_proto::sealed::{Action, Receipt, code};
use medlock_trust::cbor::{Error, ErrorKind, Fields, Writer};
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
        let mut fields = Fields::new(bytes);
        let version = fields.uint();
        fields.ask(version == VERSION, 0, ErrorKind::OutOfRange);
        self.booted_at = fields.uint();
        for slot in &mut self.bonds {
            *slot = if fields.null() { None } else { Some(read_bond(&mut fields)) };
        }
        for slot in &mut self.open {
            *slot = if fields.null() { None } else { Some(read_intent(&mut fields)) };
        }
        for slot in &mut self.outcomes {
            *slot = if fields.null() { None } else { Some(read_settled(&mut fields)) };
        }
        self.delivered = Account::decode(&mut fields);
        self.halts = Account::decode(&mut fields);
        fields.finish()
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

fn read_bond(fields: &mut Fields<'_>) -> Bond {
    fields.array_of(3);
    Bond { epoch: fields.uint(), floor: fields.uint(), forgotten: fields.uint(), in_force: false }
}

fn write_intent<W: Write>(intent: &Intent, out: &mut Writer<W>) -> Result<(), W::Error> {
    out.array(5)?.uint(intent.epoch)?.uint(intent.counter)?;
    intent.action.encode(out)?;
    match &intent.evidence {
        Some(evidence) => out.bytes(evidence.as_bytes())?,
        None => out.null()?,
    };
    code::encode_mark(intent.mark, out)
}

fn read_intent(fields: &mut Fields<'_>) -> Intent {
    fields.array_of(5);
    Intent {
        epoch: fields.uint(),
        counter: fields.uint(),
        action: Action::decode(fields),
        evidence: if fields.null() { None } else { Some(Evidence::from_bytes(*fields.fixed())) },
        mark: code::decode_mark(fields),
    }
}

fn write_settled<W: Write>(settled: &Settled, out: &mut Writer<W>) -> Result<(), W::Error> {
    out.array(6)?.uint(settled.epoch)?.uint(u64::from(settled.is_bolus))?;
    settled.receipt.encode(out)
}

fn read_settled(fields: &mut Fields<'_>) -> Settled {
    fields.array_of(6);
    Settled { epoch: fields.uint(), is_bolus: fields.at_most(1) == 1, receipt: Receipt::decode(fields) }
}

const _: () = assert!(BONDS * 28 + PLACES * 56 + OUTCOMES * 28 + 2 * 83 + 10 <= MAX_LENGTH);
