//! What became of resources: of one, of a kind, of all, newest first.

use super::page::Filling;
use super::read::{COLUMNS, Stored, former, kept};
use super::{Cursor, Found, Order, Page, Records, Statement};
use crate::access::Sight;
use crate::kind::{Id, Kind, Millis, Row};
use medlock_store::{Error, Fault, Row as Taken, Sql, first};
use std::time::Duration;

/// Of what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HistoryOf {
    /// One resource.
    One(Kind, Id),
    /// All resources of these kinds.
    Kinds(Vec<Kind>),
}

/// The versions of all resources: each change names one, which is the present one or a former one.
const CHANGES: &str = "SELECT c.seq, r.rid, r.kind, r.id, c.version, c.updated, c.patient, c.gone, COALESCE(v.body, r.body) AS body \
                       FROM change c JOIN resource r ON r.rid = c.rid \
                       LEFT JOIN past v ON v.rid = c.rid AND v.version = c.version WHERE ";

impl Records {
    /// Versions that are in sight and were then, no older than `since`. `None`: there is no such resource in sight.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn history(
        &self,
        sight: &Sight,
        of: &HistoryOf,
        since: Option<Millis>,
        page: &Page,
        limit: Duration,
    ) -> Result<Option<Found>, Error> {
        self.database().read_within("read a history", limit, |sql| match of {
            HistoryOf::One(kind, id) => one(sql, sight, (*kind, id), since, page),
            HistoryOf::Kinds(kinds) => changes(sql, sight, kinds, since, page).map(Some),
        })
    }
}

impl Records {
    /// All that is a patient's and in sight, no older than `since`, oldest first.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn everything(
        &self,
        sight: &Sight,
        patient: Row,
        kinds: &[Kind],
        since: Option<Millis>,
        page: &Page,
        limit: Duration,
    ) -> Result<Found, Error> {
        let mut question = Statement::default();
        question
            .text("SELECT ")
            .text(COLUMNS)
            .text(" FROM resource r WHERE r.gone = 0 AND r.patient = ")
            .value(patient.0);
        question.text(" AND (0 = 1");
        for kind in kinds {
            question.text(" OR (r.kind = ").value(kind.number()).text(" AND ");
            sight.write(*kind, "r", &mut question);
            question.text(")");
        }
        question.text(")");
        if let Some(since) = since {
            question.text(" AND +r.updated >= ").value(since.0);
        }
        if let Some(after) = page.after.as_ref().and_then(Cursor::number) {
            question.text(" AND +r.rid > ").value(after);
        }
        question.text(" ORDER BY r.rid LIMIT ").value(i64::from(page.count) + 1);
        self.database().read_within("read all of a patient", limit, |sql| {
            let mut filling = Filling::new(page.count);
            let mut take = |row: &Taken| Ok(filling.take(Stored::of(row)?));
            sql.each("resource", question.sql(), question.values(), &mut take)?;
            Ok(found(filling, |last| last.row.0))
        })
    }
}

fn one(
    sql: &mut dyn Sql,
    sight: &Sight,
    (kind, id): (Kind, &Id),
    since: Option<Millis>,
    page: &Page,
) -> Result<Option<Found>, Fault> {
    let question = kept(sight, kind, id);
    let Some(present) = first(sql, "resource", question.sql(), question.values(), Stored::of)? else {
        return Ok(None);
    };
    let mut filling = Filling::new(page.count);
    let before = page.after.as_ref().and_then(Cursor::number);
    if before.is_none() && since.is_none_or(|since| present.updated >= since) {
        filling.take(present);
    }
    let mut question = former(sight, kind, id);
    if let Some(before) = before {
        question.text(" AND v.version < ").value(before);
    }
    if let Some(since) = since {
        question.text(" AND v.updated >= ").value(since.0);
    }
    question.text(" ORDER BY v.version DESC LIMIT ").value(i64::from(page.count) + 1);
    sql.each("past", question.sql(), question.values(), &mut |row| Ok(filling.take(Stored::of(row)?)))?;
    Ok(Some(found(filling, |last| last.version.number().into())))
}

/// A page as it was filled; the next one begins behind the last of its resources, by this number.
fn found(filling: Filling, number: impl FnOnce(&Stored) -> i64) -> Found {
    let last = filling.resources.last().filter(|_| filling.more);
    let next = last.map(|last| Cursor { order: Order::Number(number(last)), row: last.row });
    Found { resources: filling.resources, next }
}

fn changes(
    sql: &mut dyn Sql,
    sight: &Sight,
    kinds: &[Kind],
    since: Option<Millis>,
    page: &Page,
) -> Result<Found, Fault> {
    let mut question = Statement::default();
    question.text(CHANGES).text("(");
    for (place, kind) in kinds.iter().enumerate() {
        question.text(if place > 0 { " OR " } else { "" });
        question.text("(c.kind = ").value(kind.number()).text(" AND ");
        sight.write(*kind, "r", &mut question);
        question.text(" AND ").with_patient("c.patient", "c.version = r.version", sight, *kind).text(")");
    }
    question.text(if kinds.is_empty() { "0 = 1)" } else { ")" });
    if let Some(since) = since {
        question.text(" AND c.updated >= ").value(since.0);
    }
    if let Some(before) = page.after.as_ref().and_then(Cursor::number) {
        question.text(" AND c.seq < ").value(before);
    }
    question.text(" ORDER BY c.seq DESC LIMIT ").value(i64::from(page.count) + 1);
    let (mut filling, mut last) = (Filling::new(page.count), 0);
    sql.each("change", question.sql(), question.values(), &mut |row| {
        let taken = filling.take(Stored::of(row)?);
        if taken {
            last = row.number("seq")?;
        }
        Ok(taken)
    })?;
    Ok(found(filling, |_| last))
}
