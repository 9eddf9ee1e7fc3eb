//! Entries, each with the hash of all before it: who changes or removes one has to make all that follow anew.

use super::Note;
use crate::kind::Millis;
use crate::store::Records;
use medlock_node::provider::sha256;
use medlock_store::{Error, Fault, Sql, first, values};

/// What stands before the first entry.
const BEGINNING: [u8; 32] = [0; 32];

fn link(before: &[u8; 32], entry: &[u8]) -> [u8; 32] {
    sha256(&[before.as_slice(), entry].concat())
}

/// Adds entries, in the verb of what they are about.
pub(crate) fn append(sql: &mut dyn Sql, at: Millis, notes: &[Note]) -> Result<(), Fault> {
    let newest = "SELECT chain FROM audit ORDER BY seq DESC LIMIT 1";
    let mut chain = first(sql, "audit", newest, &[], |row| row.bytes("chain"))?.unwrap_or(BEGINNING);
    for note in notes {
        let entry = note.to_cbor();
        chain = link(&chain, &entry);
        let insert = "INSERT INTO audit (at, entry, chain) VALUES (?1, ?2, ?3) RETURNING seq";
        let seq: Option<i64> = first(sql, "audit", insert, values![at.0, entry, chain], |row| row.number("seq"))?;
        for patient in note.patients() {
            sql.execute("INSERT INTO audit_patient (patient, seq) VALUES (?1, ?2)", values![patient.0, seq])?;
        }
    }
    Ok(())
}

/// Walks the whole chain; how many entries there are, and the first that does not follow from those before it.
///
/// # Errors
/// [`Error`].
pub fn verify(records: &Records) -> Result<(u64, Option<i64>), Error> {
    records.database().read_snapshot("verify the audit", |sql| {
        let (mut chain, mut count, mut broken) = (BEGINNING, 0, None);
        sql.each("audit", "SELECT seq, entry, chain FROM audit ORDER BY seq", &[], &mut |row| {
            chain = link(&chain, row.blob("entry")?);
            count += 1;
            if chain != row.bytes("chain")? {
                broken = Some(row.number("seq")?);
            }
            Ok(broken.is_none())
        })?;
        Ok((count, broken))
    })
}
