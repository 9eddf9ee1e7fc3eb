//! The rows of the index, written.

use super::dictionary::Numbers;
use crate::kind::{Id, Kind, Row};
use crate::validate::IndexRows;
use medlock_store::{Fault, Sql, values};

/// Writes what a row is found by, beside it. `target` gives the rows of what it refers to.
pub(super) fn write(
    sql: &mut dyn Sql,
    row: Row,
    rows: &IndexRows,
    numbers: &Numbers,
    target: impl Fn(Kind, Id) -> Option<Row>,
) -> Result<(), Fault> {
    let rid = row.0;
    for (parameter, part, coding) in &rows.marks {
        let insert = "INSERT INTO mark (rid, param, part, term) VALUES (?1, ?2, ?3, ?4)";
        sql.execute(insert, values![rid, parameter.number(), *part, numbers.term(coding)?])?;
    }
    for (parameter, part, span) in &rows.spans {
        let insert = "INSERT INTO span (rid, param, part, low, high) VALUES (?1, ?2, ?3, ?4, ?5)";
        sql.execute(insert, values![rid, parameter.number(), *part, span.low.0, span.high.0])?;
    }
    for (parameter, part, unit, low, high) in &rows.quantities {
        let insert = "INSERT INTO quantity (rid, param, part, unit, low, high) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
        sql.execute(
            insert,
            values![rid, parameter.number(), *part, numbers.term(unit)?, low.as_bytes(), high.as_bytes()],
        )?;
    }
    for (parameter, kind, id) in &rows.links {
        let to = target(*kind, *id).ok_or(Fault::Missing("resource that is referred to"))?;
        let insert = "INSERT INTO link (param, target, rid) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
        sql.execute(insert, values![parameter.number(), to.0, rid])?;
    }
    for (parameter, value) in &rows.idents {
        sql.execute(
            "INSERT INTO ident (param, value, rid) VALUES (?1, ?2, ?3)",
            values![parameter.number(), value, rid],
        )?;
    }
    for (parameter, value) in &rows.words {
        sql.execute(
            "INSERT INTO word (param, value, rid) VALUES (?1, ?2, ?3)",
            values![parameter.number(), value, rid],
        )?;
    }
    Ok(())
}

/// Removes what a row was found by: of an older version, as it is extracted again.
pub(super) fn remove(sql: &mut dyn Sql, row: Row, rows: &IndexRows) -> Result<(), Fault> {
    let rid = row.0;
    for table in ["mark", "span", "quantity", "word"] {
        sql.execute(&format!("DELETE FROM {table} WHERE rid = ?1"), values![rid])?;
    }
    for (parameter, kind, id) in &rows.links {
        let delete = "DELETE FROM link WHERE param = ?1 AND rid = ?2 AND target IN \
                      (SELECT t.rid FROM resource t WHERE t.kind = ?3 AND t.id = ?4)";
        sql.execute(delete, values![parameter.number(), rid, i64::from(kind.number()), id.as_str()])?;
    }
    for (parameter, value) in &rows.idents {
        let delete = "DELETE FROM ident WHERE param = ?1 AND value = ?2 AND rid = ?3";
        sql.execute(delete, values![parameter.number(), value, rid])?;
    }
    Ok(())
}
