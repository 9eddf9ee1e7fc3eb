//! The Provenance of what devices write: one row for all that one device writes of one patient in a while, while its credential,
//! the verdict and what that rests on stay the same. The rows that are written name it as their `statement`.

use super::dictionary::Numbers;
use super::{OF_ONE, Records, Statement, index};
use crate::DEVICE_SYSTEM;
use crate::access::Sight;
use crate::definitions::Definitions;
use crate::kind::{Id, Kind, Millis, Row, Version};
use crate::provenance::{self, Same, TESTIFIED};
use crate::validate::{self, Coding, IndexRows, MARK_SYSTEM, ident_of};
use medlock_store::{Error, Fault, Sql, all, first, values};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Rows of one Provenance, at most: who reads it reads their names.
const ROWS: u32 = 256;
/// How long one Provenance is used, in milliseconds.
const WHILE: i64 = 3_600_000;
/// Provenances that are remembered, at most.
const REMEMBERED: usize = 4_096;

/// What has to be the same, and whose the rows are.
pub(super) type Key = (Same, Option<Row>);

/// One that more rows may name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    row: Row,
    since: Millis,
    rows: u32,
}

/// Those that more rows may name. What is remembered is durable.
#[derive(Debug, Default)]
pub(super) struct Statements(Mutex<HashMap<Key, Open>>);

impl Statements {
    /// The one that may be named at this moment.
    fn open(&self, key: &Key, now: Millis) -> Option<Open> {
        let open = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        open.filter(|open| open.rows < ROWS && now.0.saturating_sub(open.since.0) < WHILE)
    }

    /// Remembers what was named.
    pub(super) fn used(&self, used: Named) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() + used.len() > REMEMBERED {
            all.clear();
        }
        for (key, open) in used {
            // Another verb may have named it as well, or opened another one at the same time: the newest row counts, so that
            // the count of none begins anew.
            match all.get_mut(&key) {
                Some(kept) if kept.row == open.row => kept.rows = kept.rows.saturating_add(open.rows),
                Some(kept) if kept.row > open.row => {}
                _ => _ = all.insert(key, open),
            }
        }
    }
}

/// Those that the rows of one verb name, each with how many of its rows do.
pub(super) type Named = HashMap<Key, Open>;

/// The codes that the Provenance of a statement is found by.
pub(super) fn codes(statement: &provenance::Statement) -> IndexRows {
    let mark = statement.mark.map(|mark| ("_tag", MARK_SYSTEM, mark.as_str()));
    let said = [Some(("agent-type", provenance::PARTICIPANT, statement.part.code())), mark];
    let parameters = &Definitions::r4().parameters;
    let marks = said.into_iter().flatten().filter_map(|(name, system, code)| {
        let coding = Coding { system: system.into(), code: code.into() };
        Some((parameters.named(Kind::PROVENANCE, name)?.id, 0, coding))
    });
    IndexRows { marks: marks.collect(), ..IndexRows::default() }
}

/// The row that a row of this patient names, which is made if there is none.
pub(super) fn row(
    sql: &mut dyn Sql,
    (statements, named): (&Statements, &mut Named),
    statement: &provenance::Statement,
    patient: Option<Row>,
    (numbers, at): (&Numbers, Millis),
) -> Result<i64, Fault> {
    let key = (statement.same(), patient);
    let open = named.get(&key).copied();
    let open = open.or_else(|| Some(Open { rows: 0, ..statements.open(&key, at)? })).filter(|open| open.rows < ROWS);
    if let Some(open) = open {
        named.insert(key, Open { rows: open.rows.saturating_add(1), ..open });
        return Ok(open.row.0);
    }
    let device = device(sql, statement)?;
    let source = serde_json::to_vec(&statement.resource(at, device.map(|(_, id)| id))).unwrap_or_default();
    let mark = statement.mark.map(|mark| mark.as_str());
    let (tail, rows) =
        validate::unchecked(Kind::PROVENANCE, &source, mark).ok_or(Fault::Missing("readable Provenance"))?;
    let row = write(sql, &tail, patient, at)?;
    index::write(sql, row, &rows, numbers, |_, _| device.map(|(row, _)| row))?;
    named.insert(key, Open { row, since: at, rows: 1 });
    Ok(row.0)
}

/// Makes the row of a Provenance; what it is found by is written beside it.
pub(super) fn write(sql: &mut dyn Sql, tail: &[u8], patient: Option<Row>, at: Millis) -> Result<Row, Fault> {
    let insert = "INSERT INTO resource (kind, id, version, gone, patient, at, updated, body) \
                  VALUES (?1, ?2, 1, 0, ?3, ?4, ?4, ?5)";
    let (kind, id) = (i64::from(Kind::PROVENANCE.number()), Id::fresh(at));
    let of = patient.map(|row| row.0);
    let row = Row(sql.insert("rid", insert, values![kind, id.as_str(), of, at.0, tail])?);
    let change = "INSERT INTO change (rid, version, kind, patient, updated, gone) VALUES (?1, ?2, ?3, ?4, ?5, 0)";
    sql.execute(change, values![row.0, Version::FIRST.number(), kind, of, at.0])?;
    Ok(row)
}

/// The Device that the device is here, if there is one.
fn device(sql: &mut dyn Sql, statement: &provenance::Statement) -> Result<Option<(Row, Id)>, Fault> {
    let Some(identifier) = Definitions::r4().parameters.named(Kind::DEVICE, "identifier") else { return Ok(None) };
    let name = ident_of(statement.testimony.name.as_str(), DEVICE_SYSTEM);
    let mut question = Statement::seen_by_row("r.rid, r.id", &Sight::of_register(), Kind::DEVICE);
    question.text(" AND r.rid IN (SELECT i.rid FROM ident i WHERE i.param = ").value(identifier.id.number());
    question.text(" AND i.value = ").value(name).text(") ORDER BY r.rid LIMIT 1");
    first(sql, "resource", question.sql(), question.values(), |row| {
        Ok((Row(row.number("rid")?), Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))?))
    })
}

impl Records {
    /// What names this Provenance and is in sight, in the order in which it was written.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn targets(&self, sight: &Sight, provenance: Row) -> Result<Vec<(Kind, Id, Version)>, Error> {
        self.database().read_brief("look for the targets of a Provenance", OF_ONE, |sql| {
            let mut found = Vec::new();
            for kind in TESTIFIED.into_iter().filter(|kind| sight.may(*kind)) {
                let mut present = Statement::seen_by_row("r.rid, r.id, r.version", sight, kind);
                present.text(" AND r.statement = ").value(provenance.0);
                let mut former = Statement::kept_by_row(
                    "r.rid, r.id, v.version",
                    "resource r JOIN past v ON v.rid = r.rid",
                    sight,
                    kind,
                );
                former.text(" AND v.gone = 0 AND v.statement = ").value(provenance.0).text(" AND ");
                former.with_patient("r", "v.patient", "0 = 1", sight, kind);
                for question in [present, former] {
                    found.extend(all(sql, "resource", question.sql(), question.values(), |row| {
                        let id = Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))?;
                        let version = Version::numbered(row.number("version")?);
                        Ok((row.number::<i64>("rid")?, version, kind, id))
                    })?);
                }
            }
            found.sort_unstable_by_key(|(row, version, _, _)| (*row, *version));
            // One that was changed between two questions was found by both.
            found.dedup_by_key(|(row, version, _, _)| (*row, *version));
            Ok(found.into_iter().map(|(_, version, kind, id)| (kind, id, version)).collect())
        })
    }
}

/// Asks for the statements, `rid`, of rows of a kind and of versions that they had. `of` says which, as a condition on a row that it
/// is given the name of, which has `rid` and `version`. Who asks has to see the rows; of what they were before, what could be seen
/// then is asked for.
pub(super) fn statements(
    out: &mut Statement,
    sight: &Sight,
    kind: Kind,
    mut of: impl FnMut(&mut Statement, &str) -> Result<(), Fault>,
) -> Result<(), Fault> {
    out.text("SELECT n.statement AS rid FROM resource n WHERE n.statement IS NOT NULL AND n.gone = 0 AND ");
    of(out, "n")?;
    // Where scopes ask something of each row, there is nothing to ask of what is past: none of it is seen.
    if sight.sees_past(kind) {
        out.text(" UNION ALL SELECT v.statement AS rid FROM past v JOIN resource b ON b.rid = v.rid WHERE ");
        out.text("v.statement IS NOT NULL AND v.gone = 0 AND ");
        of(out, "v")?;
        out.text(" AND ").with_patient("b", "v.patient", "0 = 1", sight, kind);
    }
    Ok(())
}
