//! Entries, each with the hash of all before it: who changes or removes one has to make all that follow anew.

use super::{Entry, Note};
use crate::kind::{Millis, Row};
use crate::store::Records;
use medlock_node::provider::sha256;
use medlock_store::{Error, Fault, Sql, Value, first, values};
use std::collections::BTreeMap;

/// What stands before the first entry.
const BEGINNING: [u8; 32] = [0; 32];
/// Patients who are noted by one statement.
const LENGTHS: [usize; 3] = [256, 32, 1];

/// Gives the hash of the newest entry, within another question.
pub(crate) const NEWEST: &str = "(SELECT chain FROM audit ORDER BY seq DESC LIMIT 1)";

fn link(before: &[u8; 32], entry: &[u8]) -> [u8; 32] {
    sha256(&[before.as_slice(), entry].concat())
}

/// Adds entries, in the verb of what they are about.
pub(crate) fn append(sql: &mut dyn Sql, at: Millis, notes: &[Note]) -> Result<(), Fault> {
    let question = format!("SELECT {NEWEST} AS chain");
    let newest = first(sql, "audit", &question, &[], |row| row.optional_bytes("chain"))?.flatten();
    append_behind(sql, newest, at, notes)
}

/// The same, behind the entry with this hash, the newest.
pub(crate) fn append_behind(
    sql: &mut dyn Sql,
    newest: Option<[u8; 32]>,
    at: Millis,
    notes: &[Note],
) -> Result<(), Fault> {
    let mut chain = newest.unwrap_or(BEGINNING);
    for (entry, patients) in notes.iter().flat_map(|note| note.entries(at)) {
        chain = link(&chain, &entry);
        let insert = "INSERT INTO audit (at, entry, chain) VALUES (?1, ?2, ?3)";
        let seq = sql.insert("seq", insert, values![at.0, entry, chain])?;
        find_by(sql, seq, &patients)?;
    }
    Ok(())
}

/// Notes by whom an entry is found: many at once, in statements of few lengths, which are prepared once.
fn find_by(sql: &mut dyn Sql, seq: i64, patients: &[Row]) -> Result<(), Fault> {
    let mut rest = patients;
    while !rest.is_empty() {
        let most = LENGTHS.into_iter().find(|length| *length <= rest.len()).unwrap_or(1);
        let (these, others) = rest.split_at(most);
        let places: Vec<String> = (0..most).map(|place| format!("(?{}, ?1)", place + 2)).collect();
        let insert = format!("INSERT INTO audit_patient (patient, seq) VALUES {}", places.join(", "));
        let values: Vec<Value> = std::iter::once(seq).chain(these.iter().map(|row| row.0)).map(Value::from).collect();
        sql.execute(&insert, &values)?;
        rest = others;
    }
    Ok(())
}

/// The state of the audit after so many entries: whoever keeps it elsewhere sees later whether newer ones were removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// How many entries.
    pub entries: u64,
    /// The hash of the last one and of all before it.
    pub hash: [u8; 32],
}

/// What a walk through the audit found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// Its state, as far as it was walked.
    pub head: Head,
    /// The first thing that is wrong.
    pub broken: Option<Broken>,
}

/// What is wrong with the audit.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// An entry is another than was noted, or one before it is missing.
    #[error("entry {0} does not follow from those before it: it was changed, or one before it was changed or removed")]
    Entry(i64),
    /// The time beside an entry is another than is noted in it.
    #[error("the time of entry {0} was changed")]
    Time(i64),
    /// The patients beside an entry are others than are noted in it.
    #[error("entry {0} is found by other patients than it is about: what finds it was changed")]
    Patients(i64),
    /// The state that was known from before is not one the audit ever had.
    #[error("after {0} entries the audit was another one: entries were removed, or all was made anew")]
    Known(u64),
}

/// Walks the whole chain, and compares it with a state that is `known` from before.
///
/// # Errors
/// [`Error`].
pub fn verify(records: &Records, known: Option<Head>) -> Result<Verified, Error> {
    records.database().read_snapshot("verify the audit", |sql| {
        let mut head = Head { entries: 0, hash: BEGINNING };
        let (mut broken, mut fits) = (None, known.is_none_or(|known| known == head));
        let mut index = Index::default();
        sql.each("audit", "SELECT seq, at, entry, chain FROM audit ORDER BY seq", &[], &mut |row| {
            let (seq, bytes) = (row.number("seq")?, row.blob("entry")?);
            head = Head { entries: head.entries + 1, hash: link(&head.hash, bytes) };
            let entry = Entry::read(bytes).ok();
            if head.hash != row.bytes("chain")? || entry.is_none() {
                broken = Some(Broken::Entry(seq));
            } else if let Some(entry) = entry {
                entry.patients.iter().for_each(|patient| index.expect(seq, patient.0));
                if entry.at.is_some_and(|at| Some(at.0) != row.number("at").ok()) {
                    broken = Some(Broken::Time(seq));
                }
            }
            fits |= known == Some(head);
            Ok(broken.is_none())
        })?;
        if broken.is_none() {
            sql.each("audit_patient", "SELECT seq, patient FROM audit_patient ORDER BY seq", &[], &mut |row| {
                index.find(row.number("seq")?, row.number("patient")?);
                Ok(true)
            })?;
            broken = index.differs().map(Broken::Patients);
        }
        if broken.is_none() && !fits {
            broken = known.map(|known| Broken::Known(known.entries));
        }
        Ok(Verified { head, broken })
    })
}

/// What entries say of their patients and what they are found by, as sums over blocks of entries: neither fits into memory.
#[derive(Debug, Default)]
struct Index(BTreeMap<i64, (u64, u64)>);

impl Index {
    /// Entries of one sum.
    const BLOCK: i64 = 1_024;

    fn sum(&mut self, seq: i64) -> &mut (u64, u64) {
        self.0.entry(seq.div_euclid(Self::BLOCK)).or_default()
    }

    fn expect(&mut self, seq: i64, patient: i64) {
        let sum = self.sum(seq);
        sum.0 = sum.0.wrapping_add(Self::value(seq, patient));
    }

    fn find(&mut self, seq: i64, patient: i64) {
        let sum = self.sum(seq);
        sum.1 = sum.1.wrapping_add(Self::value(seq, patient));
    }

    fn value(seq: i64, patient: i64) -> u64 {
        let hash = sha256(&[seq.to_be_bytes(), patient.to_be_bytes()].concat());
        hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first))
    }

    /// The first entry of the first block in which they differ.
    fn differs(&self) -> Option<i64> {
        self.0.iter().find(|(_, (expected, found))| expected != found).map(|(block, _)| block * Self::BLOCK)
    }
}
