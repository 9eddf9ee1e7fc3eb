//! Identifiers that Patients had, and lost: images go to nobody else by them.
//!
//! Who changes or deletes a Patient notes what goes, in the same verb. A program of before, beside this one or in its place, does not: so
//! it is kept up to which change all is noted, and what lies behind is noted from the versions. What was lost stays: images may be told of
//! years after they were stored.

use super::{OF_ONE, Records, Statement};
use crate::access::Sight;
use crate::definitions::Definitions;
use crate::kind::{Id, Kind, Millis, Row, Version};
use crate::validate::{self, IndexRows, idents_of};
use medlock_store::{Error, Fault, Sql, all, first, values};
use std::collections::HashSet;
use std::ops::Range;

/// Changes that are read at once, and after how many bytes of versions no more are: others wait to write meanwhile.
const AT_ONCE: u16 = 128;
const BYTES: usize = 1 << 20;

/// What a Patient is known by.
pub(super) fn identifiers(rows: &IndexRows) -> Vec<&str> {
    let Some(identifier) = Definitions::r4().parameters.named(Kind::PATIENT, "identifier") else { return Vec::new() };
    rows.idents.iter().filter(|(of, _)| *of == identifier.id).map(|(_, ident)| &**ident).collect()
}

/// The same of a Patient as it is kept; of one that cannot be read, nothing.
pub(super) fn identifiers_of(tail: &[u8]) -> Vec<String> {
    let body = validate::body(Kind::PATIENT, &Id::fresh(Millis(0)), Version::FIRST.number(), "", tail);
    let rows = validate::rows_of(Kind::PATIENT, &body, &[]);
    rows.iter().flat_map(identifiers).map(str::to_owned).collect()
}

/// Notes what a Patient had, and has no more since then.
pub(super) fn lose<S: AsRef<str>>(
    sql: &mut dyn Sql,
    row: Row,
    since: Millis,
    had: &[S],
    has: &[S],
) -> Result<(), Fault> {
    const LOST: &str = "INSERT INTO ident_was (value, rid, lost) VALUES (?1, ?2, ?3) ON CONFLICT (value, rid) DO UPDATE \
                        SET lost = excluded.lost WHERE excluded.lost > ident_was.lost";
    let has: HashSet<&str> = has.iter().map(AsRef::as_ref).collect();
    for lost in had.iter().map(AsRef::as_ref).filter(|had| !has.contains(had)) {
        sql.execute(LOST, values![lost, row.0, since.0])?;
    }
    Ok(())
}

/// Notes all that a Patient had who is deleted: in this version, which is a former one by now.
pub(super) fn lose_all(sql: &mut dyn Sql, row: Row, since: Millis, version: Version) -> Result<(), Fault> {
    let (had, _) = identifiers_in(sql, row, version.number().into())?;
    lose(sql, row, since, &had, &[])
}

/// All is noted up to this change of a Patient, the newest, if it was up to the one before.
pub(super) fn goes_on(sql: &mut dyn Sql, change: i64) -> Result<(), Fault> {
    const GOES_ON: &str = "INSERT INTO ident_noted (id, seq) SELECT 1, CAST(?2 AS BIGINT) \
        WHERE COALESCE((SELECT seq FROM ident_noted), 0) = \
        (SELECT COALESCE(max(c.seq), 0) FROM change c WHERE c.kind = ?1 AND c.seq < ?2) \
        ON CONFLICT (id) DO UPDATE SET seq = excluded.seq";
    sql.execute(GOES_ON, values![i64::from(Kind::PATIENT.number()), change]).map(drop)
}

/// Up to which change all is noted.
fn noted(sql: &mut dyn Sql) -> Result<i64, Fault> {
    Ok(first(sql, "ident_noted", "SELECT seq FROM ident_noted", &[], |row| row.number("seq"))?.unwrap_or(0))
}

/// A change of a Patient.
struct Change {
    seq: i64,
    row: Row,
    version: i64,
    updated: Millis,
}

/// What a Patient was known by in a version, and how many bytes that has; one that deletes has nothing.
fn identifiers_in(sql: &mut dyn Sql, row: Row, version: i64) -> Result<(Vec<String>, usize), Fault> {
    const VERSION: &str = "SELECT v.gone AS gone, v.body AS body FROM past v WHERE v.rid = ?1 AND v.version = ?2 \
                           UNION ALL SELECT r.gone, r.body FROM resource r WHERE r.rid = ?1 AND r.version = ?2";
    let found = first(sql, "past", VERSION, values![row.0, version], |row| {
        let tail = row.blob("body")?;
        Ok((if row.flag("gone")? { Vec::new() } else { identifiers_of(tail) }, tail.len()))
    })?;
    Ok(found.unwrap_or_default())
}

impl Records {
    /// Notes some of what Patients lost by changes of which nobody noted it; whether there may be more.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn note_former(&self) -> Result<bool, Error> {
        self.database().write("note what Patients lost", |sql| {
            let question =
                "SELECT seq, rid, version, updated FROM change WHERE kind = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
            let after = values![i64::from(Kind::PATIENT.number()), noted(sql)?, i64::from(AT_ONCE)];
            let changes = all(sql, "change", question, after, |row| {
                let (row, seq, version, updated) =
                    (Row(row.number("rid")?), row.number("seq")?, row.number("version")?, row.number("updated")?);
                Ok(Change { seq, row, version, updated: Millis(updated) })
            })?;
            let (mut last, mut read) = (None, 0);
            for change in &changes {
                if read > BYTES {
                    break;
                }
                if let Some(former) = change.version.checked_sub(1).filter(|former| *former > 0) {
                    let (had, bytes) = identifiers_in(sql, change.row, former)?;
                    let (has, more) = identifiers_in(sql, change.row, change.version)?;
                    read += bytes + more;
                    lose(sql, change.row, change.updated, &had, &has)?;
                }
                last = Some(change.seq);
            }
            let Some(last) = last else { return Ok(false) };
            let upsert =
                "INSERT INTO ident_noted (id, seq) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET seq = excluded.seq";
            sql.execute(upsert, values![last])?;
            Ok(changes.len() >= usize::from(AT_ONCE) || read > BYTES)
        })
    }

    /// Whether another than `one` has had this identifier at a moment or since, in this system or in any, and lost it. `None`: it is not
    /// noted yet what all Patients lost.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn another_was_named(
        &self,
        one: Id,
        at: Millis,
        system: Option<&str>,
        value: &str,
    ) -> Result<Option<bool>, Error> {
        let question = lost_by_another(one, at, idents_of(value, system));
        self.database().read_brief("ask whether somebody had a Patient ID", OF_ONE, |sql| {
            // What is noted first is there when it is looked for.
            let newest = "SELECT COALESCE(max(seq), 0) AS seq FROM change WHERE kind = ?1";
            let kind = values![i64::from(Kind::PATIENT.number())];
            let newest = first(sql, "change", newest, kind, |row| row.number("seq"))?;
            if noted(sql)? < newest.unwrap_or(0) {
                return Ok(None);
            }
            first(sql, "resource", question.sql(), question.values(), |_| Ok(())).map(|found| Some(found.is_some()))
        })
    }
}

/// Asks for a Patient but `one` who has lost such an identifier since then.
fn lost_by_another(one: Id, at: Millis, Range { start, end }: Range<String>) -> Statement {
    let mut question = Statement::kept_by_row("r.rid", "resource r", &Sight::of_register(), Kind::PATIENT);
    question.text(" AND r.id <> ").value(one.as_str());
    question.text(" AND r.rid IN (SELECT w.rid FROM ident_was w WHERE w.value >= ").value(start);
    question.text(" AND w.value < ").value(end).text(" AND w.lost > ").value(at.0).text(") LIMIT 1");
    question
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::fixture::House;
    use medlock_store::Engine;

    /// Shows REQ-STORE-200: what another Patient lost is looked for among those that had just that, however many have lost something.
    #[tokio::test]
    async fn what_another_lost_is_found_by_its_index() {
        for house in House::both() {
            let told = house.clinical.records().database().write("explain", |sql| {
                sql.batch(
                    "INSERT INTO ident_was (value, rid, lost) \
                     WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) \
                     SELECT 'A' || i, i, i FROM n",
                )?;
                let (explain, column) = match sql.engine() {
                    Engine::Sqlite => ("EXPLAIN QUERY PLAN", "detail"),
                    Engine::Postgres => {
                        sql.batch("ANALYZE ident_was")?;
                        ("EXPLAIN", "QUERY PLAN")
                    }
                };
                let asked = lost_by_another(Id::fresh(Millis(0)), Millis(7), idents_of("A77", None));
                let explain = format!("{explain} {}", asked.sql());
                let lines = all(sql, "plan", &explain, asked.values(), |row| Ok(row.text(column)?.to_owned()))?;
                Ok((sql.engine(), lines.join("\n")))
            });
            let (engine, told) = told.expect("explained");
            let ways = match engine {
                Engine::Sqlite => ["SEARCH w USING PRIMARY KEY (value>? AND value<?)", "INTEGER PRIMARY KEY (rowid=?)"],
                Engine::Postgres => ["ident_was_pkey", "resource_pkey"],
            };
            assert!(ways.iter().all(|way| told.contains(way)), "{told}");
        }
    }
}
