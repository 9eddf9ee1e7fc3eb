//! What became of resources: of one, of a kind, of all, newest first.

use super::page::Filling;
use super::read::{COLUMNS, Stored, former, kept};
use super::search::{Counted, counted};
use super::{Cursor, Found, Order, Page, Records, Statement};
use crate::access::{Reach, Sight};
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
    /// How many versions that would be. `None`: there is no such resource in sight.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn history_total(
        &self,
        sight: &Sight,
        of: &HistoryOf,
        since: Option<Millis>,
        limit: Duration,
    ) -> Result<Option<Counted>, Error> {
        self.database().read_within("count a history", limit, |sql| match of {
            HistoryOf::One(kind, id) => {
                let question = kept(sight, *kind, id);
                let found = first(sql, "resource", question.sql(), question.values(), Stored::of)?;
                let Some(present) = found else { return Ok(None) };
                let own = i64::from(since.is_none_or(|since| present.updated >= since));
                let mut question = former(sight, *kind, id);
                no_older(&mut question, "v.updated", since);
                let former = counted(sql, &question)?;
                let patients = former.patients.into_iter().chain(present.patient).collect();
                Ok(Some(Counted { total: former.total.map(|former| former + own), patients }))
            }
            HistoryOf::Kinds(kinds) => counted(sql, &changed(sight, kinds, since)).map(Some),
        })
    }

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
        let mut question = all_of(sight, patient, kinds, since);
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

    /// How much that is.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn everything_total(
        &self,
        sight: &Sight,
        patient: Row,
        kinds: &[Kind],
        since: Option<Millis>,
        limit: Duration,
    ) -> Result<Counted, Error> {
        let question = all_of(sight, patient, kinds, since);
        self.database().read_within("count all of a patient", limit, |sql| counted(sql, &question))
    }
}

/// Asks for all that is a patient's.
fn all_of(sight: &Sight, patient: Row, kinds: &[Kind], since: Option<Millis>) -> Statement {
    let mut question = Statement::default();
    question.text("SELECT ").text(COLUMNS).text(" FROM resource r WHERE r.gone = 0 AND r.patient = ").value(patient.0);
    question.text(" AND (0 = 1");
    for kind in kinds {
        question.text(" OR (r.kind = ").value(kind.number()).text(" AND ");
        sight.write(*kind, "r", &mut question);
        question.text(")");
    }
    question.text(")");
    no_older(&mut question, "+r.updated", since);
    question
}

fn no_older(question: &mut Statement, column: &str, since: Option<Millis>) {
    if let Some(since) = since {
        question.text(" AND ").text(column).text(" >= ").value(since.0);
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
    no_older(&mut question, "v.updated", since);
    question.text(" ORDER BY v.version DESC LIMIT ").value(i64::from(page.count) + 1);
    sql.each("past", question.sql(), question.values(), &mut |row| Ok(filling.take(Stored::of(row)?)))?;
    Ok(Some(found(filling, |last| last.version.number().into())))
}

/// A page as it was filled; the next one begins behind the last of its resources, by this number.
fn found(filling: Filling, number: impl FnOnce(&Stored) -> i64) -> Found {
    let last = filling.resources.last().filter(|_| filling.more);
    let next = last.map(|last| Cursor { order: Order::Number(number(last)), row: last.row });
    Found { resources: filling.resources, next, behind: filling.behind }
}

/// Asks for all versions of these kinds.
fn changed(sight: &Sight, kinds: &[Kind], since: Option<Millis>) -> Statement {
    let mut question = Statement::default();
    question.text(CHANGES).text("(");
    for (place, kind) in kinds.iter().enumerate() {
        question.text(if place > 0 { " OR " } else { "" });
        question.text("(c.kind = ").value(kind.number()).text(" AND ");
        if let Some(Reach::Patient(patient)) = sight.only_of(*kind) {
            // What was never that patient's is not looked at.
            question.text("c.patient = ").value(patient.0).text(" AND ");
        }
        sight.write(*kind, "r", &mut question);
        question.text(" AND ").with_patient("r", "c.patient", "c.version = r.version", sight, *kind).text(")");
    }
    question.text(if kinds.is_empty() { "0 = 1)" } else { ")" });
    no_older(&mut question, "c.updated", since);
    question
}

/// Asks for a page of them, the newest first.
fn question(sight: &Sight, kinds: &[Kind], since: Option<Millis>, page: &Page) -> Statement {
    let mut question = changed(sight, kinds, since);
    if let Some(before) = page.after.as_ref().and_then(Cursor::number) {
        question.text(" AND c.seq < ").value(before);
    }
    question.text(" ORDER BY c.seq DESC LIMIT ").value(i64::from(page.count) + 1);
    question
}

fn changes(
    sql: &mut dyn Sql,
    sight: &Sight,
    kinds: &[Kind],
    since: Option<Millis>,
    page: &Page,
) -> Result<Found, Fault> {
    let question = question(sight, kinds, since, page);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Right, Verb, Verbs};
    use crate::store::Place;
    use medlock_node::clock::Clock;
    use medlock_store::all;

    /// Shows REQ-SRCH-35: what became of one patient's resources of a kind is looked for among that patient's changes alone.
    #[test]
    fn the_history_of_a_patient_s_resources_is_driven_by_its_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
        for (reach, way) in [
            (Reach::Patient(Row(3)), "SEARCH c USING INDEX change_patient (patient=? AND kind=? AND seq<?)"),
            (Reach::All, "SEARCH c USING INDEX change_kind (kind=? AND seq<?)"),
        ] {
            let right = Right { kind: Kind::OBSERVATION, verbs: Verbs::of([Verb::Search]), reach, only: None };
            let sight = Sight::new([right].into_iter());
            let after = Cursor { order: Order::Number(9), row: Row(1) };
            let asked = question(&sight, &[Kind::OBSERVATION], None, &Page { count: 50, after: Some(after) });
            let told = records.database().read("explain", |sql| {
                let question = format!("EXPLAIN QUERY PLAN {}", asked.sql());
                all(sql, "plan", &question, asked.values(), |row| Ok(row.text("detail")?.to_owned()))
            });
            let told = told.expect("explained");
            assert_eq!(told.first().map(String::as_str), Some(way), "{told:?}");
            assert!(!told.iter().any(|step| step.contains("TEMP B-TREE")), "{told:?}");
        }
    }
}
