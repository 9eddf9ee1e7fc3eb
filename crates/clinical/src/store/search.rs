//! A search as one statement: what drives it, its filters, the sight, and where the page begins.

use super::condition::{Conditions, Of, any_of};
use super::page::Filling;
use super::read::{COLUMNS, Stored};
use super::{Cursor, Order as Place, Page, Records, Statement};
use crate::access::{Reach, Sight};
use crate::kind::{Id, Kind, Row};
use crate::query::{By, Filter, Order, Plan, Sorting};
use medlock_store::{Error, Fault, Sql, all, first};
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Resources that are counted, at most.
pub(super) const COUNTED: i64 = 10_000;
/// Patients of whom it is told that something of theirs was counted, at most.
pub(super) const OF_WHOM: usize = 1_000;
/// Patients who are looked up at once.
const NAMED_AT_ONCE: usize = 256;

/// A page of what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// The resources, in order.
    pub resources: Vec<Stored>,
    /// Where the next page begins, if there is one.
    pub next: Option<Cursor>,
    /// Whose the first there is: that there is one is told with this page.
    pub(crate) behind: Option<Row>,
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// How much; `None`: more than is counted.
    pub total: Option<i64>,
    /// Whose it is, as far as that is told.
    pub patients: Vec<Row>,
}

impl Records {
    /// Searches, no longer than `limit`. What is not in sight is not found.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn search(&self, sight: &Sight, plan: &Plan, page: &Page, limit: Duration) -> Result<Found, Error> {
        self.database().read_within("search resources", limit, |sql| {
            let statement = statement(sql, sight, plan, page)?;
            let (mut filling, mut last) = (Filling::new(page.count), None);
            let by_text = matches!(plan.sorting().by, Order::Id | Order::Word(_));
            sql.each("resource", statement.sql(), statement.values(), &mut |row| {
                let stored = Stored::of(row)?;
                let order = if by_text {
                    Place::Text(row.text("place")?.to_owned())
                } else {
                    Place::Number(row.number("place")?)
                };
                let place = Cursor { order, row: stored.row };
                let taken = filling.take(stored);
                if taken {
                    last = Some(place);
                }
                Ok(taken)
            })?;
            Ok(Found { resources: filling.resources, next: last.filter(|_| filling.more), behind: filling.behind })
        })
    }

    /// How many there are in sight.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn total(&self, sight: &Sight, plan: &Plan, limit: Duration) -> Result<Counted, Error> {
        self.database().read_within("count resources", limit, |sql| {
            let (inner, _) = question(sql, sight, plan, "r.patient AS patient")?;
            counted(sql, &inner)
        })
    }

    /// What is found by an identifier: two at most, since then there are too many. An emergency waits for no searches.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn matching(&self, sight: &Sight, plan: &Plan, limit: Duration) -> Result<Vec<Stored>, Error> {
        self.database().read_brief("look for the one resource that is meant", limit, |sql| {
            let statement = two(sql, sight, plan, COLUMNS)?;
            all(sql, "resource", statement.sql(), statement.values(), Stored::of)
        })
    }

    /// Whose it is that is found, as far as that is told, where more is found by an identifier than is meant.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn whose(&self, sight: &Sight, plan: &Plan, limit: Duration) -> Result<Vec<Row>, Error> {
        self.database().read_brief("look whose what was found is", limit, |sql| {
            let (inner, _) = question(sql, sight, plan, "r.patient AS patient")?;
            Ok(counted(sql, &inner)?.patients)
        })
    }

    /// The rows of these patients, whoever may see them: for the audit.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn patients(&self, ids: &BTreeSet<Id>) -> Result<Vec<Row>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        self.database().read("look for patients who are named", |sql| {
            let ids: Vec<Id> = ids.iter().copied().collect();
            let mut rows = Vec::new();
            for ids in ids.chunks(NAMED_AT_ONCE) {
                let mut question = Statement::kept("r.rid", &Sight::of_what_was_named(Kind::PATIENT), Kind::PATIENT);
                question.text(" AND ");
                any_of(&mut question, "r.id", ids, |out, id| {
                    out.value(id.as_str());
                });
                rows.extend(all(sql, "resource", question.sql(), question.values(), |row| {
                    Ok(Row(row.number("rid")?))
                })?);
            }
            Ok(rows)
        })
    }

    /// What a condition finds, two at most, and how long it took, without the wait for a reader.
    pub(crate) fn asked(&self, sight: &Sight, plan: &Plan, limit: Duration) -> Result<(Vec<Match>, Duration), Error> {
        self.database().read_within("look for what a condition finds", limit, |sql| {
            let began = Instant::now();
            Ok((matches(sql, sight, plan)?, began.elapsed()))
        })
    }
}

/// How many rows a question has, and of which patients: its column says that.
pub(super) fn counted(sql: &mut dyn Sql, question: &Statement) -> Result<Counted, Fault> {
    let text = question.sql();
    let all = format!("SELECT patient, count(*) AS n FROM ({text} LIMIT {}) t GROUP BY patient", COUNTED + 1);
    let (mut total, mut patients) = (0, Vec::new());
    sql.each("resource", &all, question.values(), &mut |row| {
        total += row.number::<i64>("n")?;
        patients.extend(row.optional_number("patient")?.map(Row).filter(|_| patients.len() < OF_WHOM));
        Ok(true)
    })?;
    Ok(Counted { total: Some(total).filter(|total| *total <= COUNTED), patients })
}

/// What a condition finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) row: Row,
    pub(crate) id: Id,
    /// Whose it is.
    pub(crate) patient: Option<Row>,
}

/// What a condition finds: two at most, since then there are too many.
pub(super) fn matches(sql: &mut dyn Sql, sight: &Sight, plan: &Plan) -> Result<Vec<Match>, Fault> {
    let statement = two(sql, sight, plan, "r.rid, r.id, r.patient")?;
    all(sql, "resource", statement.sql(), statement.values(), |row| {
        let id = Id::read(row.text("id")?).ok_or_else(|| row.damaged("id"))?;
        Ok(Match { row: Row(row.number("rid")?), id, patient: row.optional_number("patient")?.map(Row) })
    })
}

/// Asks for two that are found, whichever.
fn two(sql: &mut dyn Sql, sight: &Sight, plan: &Plan, columns: &str) -> Result<Statement, Fault> {
    let (mut statement, _) = question(sql, sight, plan, columns)?;
    statement.text(" LIMIT 2");
    Ok(statement)
}

/// Asks for those of these rows that a search finds: each is looked at by itself.
pub(super) fn among(
    sql: &mut dyn Sql,
    columns: &str,
    sight: &Sight,
    plan: &Plan,
    rows: &[i64],
) -> Result<Statement, Fault> {
    let mut question = Statement::seen_by_row(columns, sight, plan.kind());
    question.text(" AND r.rid IN ").list(rows);
    for filter in plan.filters() {
        question.text(" AND ");
        let of = Of { alias: "r", driver: Driver::Named, order: Order::Date };
        Conditions { sql: &mut *sql, out: &mut question, sight }.write(of, filter)?;
    }
    Ok(question)
}

/// What gives the rows of a search, the narrowest that applies; all else only filters. A column that only filters is written
/// with a plus, or SQLite may begin there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    /// Identifiers.
    Ident,
    /// A patient, and perhaps the leading code.
    Patient,
    /// References to a resource.
    Link,
    /// Words.
    Word,
    /// The leading code, or all of the kind.
    Kind,
    /// Nothing that is asked: the statement names the rows, and each is looked at by itself.
    Named,
}

impl Driver {
    fn of(plan: &Plan, own: bool) -> Self {
        let has = |of: fn(&Filter) -> bool| plan.filters().iter().any(of);
        if has(|filter| matches!(filter, Filter::Ident(..))) {
            Self::Ident
        } else if own || has(|filter| matches!(filter, Filter::Patient(_) | Filter::Chain(By::Patient, ..))) {
            Self::Patient
        } else if has(|filter| {
            matches!(filter, Filter::Link(..) | Filter::Target(_) | Filter::Chain(By::Link(_) | By::Target(_), ..))
        }) {
            Self::Link
        } else if has(|filter| matches!(filter, Filter::Word(..))) {
            Self::Word
        } else {
            Self::Kind
        }
    }

    /// What leads to the rows of another kind that a chain looks for.
    pub(super) fn leading_to(filter: &Filter) -> Self {
        match filter {
            Filter::Ident(..) => Self::Ident,
            Filter::Word(..) => Self::Word,
            Filter::Link(..) => Self::Link,
            _ => Self::Kind,
        }
    }

    /// Whether rows are given by their numbers.
    pub(super) fn is_rows(self) -> bool {
        matches!(self, Self::Ident | Self::Link | Self::Word | Self::Named)
    }
}

/// The place of a row in an order. What has none comes behind all that have.
fn place(order: Order) -> String {
    match order {
        Order::Date => "r.at".to_owned(),
        Order::Updated => "r.updated".to_owned(),
        Order::Id => "r.id".to_owned(),
        Order::Word(parameter) => format!(
            "COALESCE((SELECT min(z.value) FROM word z WHERE z.rid = r.rid AND z.param = {}), '\u{10ffff}')",
            parameter.number()
        ),
        Order::Span(parameter) => format!(
            "COALESCE((SELECT min(z.low) FROM span z WHERE z.rid = r.rid AND z.param = {}), {})",
            parameter.number(),
            i64::MAX
        ),
    }
}

fn statement(sql: &mut dyn Sql, sight: &Sight, plan: &Plan, page: &Page) -> Result<Statement, Fault> {
    let (mut statement, Sorting { by, descending, .. }) = question(sql, sight, plan, "")?;
    let order = place(by);
    if let Some(after) = &page.after {
        statement.text(" AND (").text(&order).text(if descending { ", r.rid) < (" } else { ", r.rid) > (" });
        match &after.order {
            Place::Number(number) => statement.value(*number),
            Place::Text(text) => statement.value(text.as_str()),
        };
        statement.text(", ").value(after.row.0).text(")");
    }
    let direction = if descending { " DESC" } else { "" };
    statement.text(" ORDER BY ").text(&order).text(direction).text(", r.rid").text(direction);
    statement.text(" LIMIT ").value(i64::from(page.count) + 1);
    Ok(statement)
}

/// Asks for what is found, in whatever order; and in which it is to be given. Without `columns`: for whole resources, each
/// with its place.
fn question(sql: &mut dyn Sql, sight: &Sight, plan: &Plan, columns: &str) -> Result<(Statement, Sorting), Fault> {
    let own = sight.only_of(plan.kind());
    let driver = Driver::of(plan, own.is_some());
    let mut sorting = plan.sorting();
    if driver == Driver::Patient && !sorting.asked {
        // A patient's rows are in the order of their dates.
        sorting.by = Order::Date;
    }
    let whole = format!("{COLUMNS}, {} AS place", place(sorting.by));
    let columns = if columns.is_empty() { &whole } else { columns };
    let mut statement = if driver.is_rows() {
        Statement::seen_by_row(columns, sight, plan.kind())
    } else {
        Statement::seen(columns, sight, plan.kind())
    };
    match own.filter(|_| driver == Driver::Patient) {
        Some(Reach::Patient(patient)) => _ = statement.text(" AND r.patient = ").value(patient.0),
        Some(Reach::Device(device)) => drive_by_device(sql, device, &mut statement)?,
        Some(Reach::All | Reach::Writer(_)) | None => {}
    }
    let of = Of { alias: "r", driver, order: sorting.by };
    for filter in plan.filters() {
        statement.text(" AND ");
        Conditions { sql, out: &mut statement, sight }.write(of, filter)?;
    }
    Ok((statement, sorting))
}

/// A caller with one patient reads the rows of that one and no others, whatever else is asked.
fn drive_by_device(sql: &mut dyn Sql, device: Row, out: &mut Statement) -> Result<(), Fault> {
    let mut question = Statement::default();
    question.text("SELECT ").patient_of(device).text(" AS patient");
    let patient: Option<Option<i64>> =
        first(sql, "resource", question.sql(), question.values(), |row| row.optional_number("patient"))?;
    match patient.flatten() {
        Some(patient) => out.text(" AND r.patient = ").value(patient),
        None => out.text(" AND r.patient IS NULL"),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{Constraint, Reach, Right, Verb, Verbs};
    use crate::auth::Scopes;
    use crate::definitions::Definitions;
    use crate::kind::{Kind, Millis};
    use crate::query::{Handling, Terms, plan};
    use crate::store::Place;
    use medlock_node::clock::Clock;
    use std::sync::Arc;

    /// How SQLite would look for what `query` asks.
    fn way(records: &Records, reach: Reach, query: &str, only: Option<&str>) -> Vec<String> {
        let only = only.and_then(|only| Constraint::read(Kind::OBSERVATION, only)).map(Arc::new);
        let right = Right { kind: Kind::OBSERVATION, verbs: Verbs::of([Verb::Search]), reach, only };
        let sight = Sight::new([right].into_iter());
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let terms = Terms { handling: Handling::Strict, most: 50, bases: &[] };
        let plan = plan(Kind::OBSERVATION, &pairs, terms, Definitions::r4()).expect(query);
        let told = records.database().read("explain", |sql| {
            let statement = statement(sql, &sight, &plan, &Page { count: 50, after: None })?;
            let question = format!("EXPLAIN QUERY PLAN {}", statement.sql());
            all(sql, "plan", &question, statement.values(), |row| Ok(row.text("detail")?.to_owned()))
        });
        told.expect(query)
    }

    /// Shows REQ-SMART-171: SQLite takes 32,766 parameters for one statement.
    #[test]
    fn a_search_under_the_longest_scopes_has_no_more_parameters_than_a_statement_may() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
        let scope = |number: u32| {
            let letters = ('a'..='p').map(|letter| format!("{letter}{number}")).collect::<Vec<_>>().join(",");
            let names = ["category", "code", "identifier", "method", "status", "value-concept", "_tag", "_security"];
            format!("system/Observation.s?{}", names.map(|name| format!("{name}={letters}")).join("&"))
        };
        let text = |number| (1..=number).map(scope).collect::<Vec<_>>().join(" ");
        let scopes = (1..).map_while(|number| Scopes::read(&text(number)).ok()).last().expect("scopes");
        let sight = Sight::new(scopes.rights_of_software().into_iter());
        let query = ["_has:Observation:has-member:code=a"; 32].join("&");
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let terms = Terms { handling: Handling::Strict, most: 50, bases: &[] };
        let plan = plan(Kind::OBSERVATION, &pairs, terms, Definitions::r4()).expect("a search");
        let page = Page { count: 50, after: None };
        let found = records.search(&sight, &plan, &page, Duration::from_secs(60)).expect("searched");
        assert_eq!(found.resources, []);
    }

    /// Shows REQ-SMART-149: also where scopes ask something of the resources besides their kind.
    #[test]
    fn each_search_is_driven_by_its_index() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
        let device = "INSERT INTO resource (rid, kind, id, version, patient, at, updated, gone, body) VALUES (7, 1, 'x', 1, 3, 0, 0, 0, x'')";
        records.database().write("add a device", |sql| sql.execute(device, &[])).expect("added");
        let id = Id::fresh(Millis(1));
        let own = || Reach::Device(Row(7));
        for (reach, query, driver) in [
            (Reach::All, format!("patient={id}"), "SEARCH r USING INDEX resource_patient (patient=? AND kind=?)"),
            (
                Reach::All,
                format!("patient={id}&date=2024&status=final"),
                "SEARCH r USING INDEX resource_patient (patient=? AND kind=? AND at>?)",
            ),
            (
                Reach::All,
                format!("patient={id}&code=x"),
                "SEARCH r USING INDEX resource_patient_code (patient=? AND kind=? AND c0=?)",
            ),
            (Reach::All, "code=x".to_owned(), "SEARCH r USING INDEX resource_code (kind=? AND c0=?)"),
            (Reach::All, String::new(), "SEARCH r USING INDEX resource_updated (kind=?)"),
            (Reach::All, format!("_id={id}"), "SEARCH r USING INDEX resource_id (kind=? AND id=?)"),
            (Reach::All, "identifier=s|v".to_owned(), "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
            (Reach::All, format!("device=Device/{id}"), "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
            (own(), String::new(), "SEARCH r USING INDEX resource_patient (patient=? AND kind=?)"),
            (own(), "code=x".to_owned(), "SEARCH r USING INDEX resource_patient_code (patient=? AND kind=? AND c0=?)"),
            (
                Reach::All,
                format!("patient={id}&device=Device/{id}"),
                "SEARCH r USING INDEX resource_patient (patient=? AND kind=?)",
            ),
            (Reach::All, format!("patient={id}&identifier=v"), "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
            (own(), "identifier=s|v".to_owned(), "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
            (
                Reach::All,
                "patient.name=x".to_owned(),
                "SEARCH r USING INDEX resource_patient_code (patient=? AND kind=?)",
            ),
            (
                Reach::All,
                "patient.identifier=x".to_owned(),
                "SEARCH i USING PRIMARY KEY (param=? AND value>? AND value<?)",
            ),
            (Reach::All, "device:Device.identifier=x".to_owned(), "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
            (Reach::All, "value-string=x".to_owned(), "SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"),
            (
                Reach::All,
                format!("patient={id}&value-quantity=5"),
                "SEARCH r USING INDEX resource_patient (patient=? AND kind=?)",
            ),
            (
                Reach::All,
                "_has:Observation:has-member:code=x".to_owned(),
                "SEARCH l USING PRIMARY KEY (param=? AND target=?)",
            ),
            (own(), format!("patient={id}"), "SEARCH r USING INDEX resource_patient (patient=? AND kind=?)"),
        ] {
            let told = way(&records, reach.clone(), &query, None);
            assert!(told.iter().any(|line| line == driver), "{query}: {told:#?}");
            // What a scope asks besides only filters.
            let only =
                format!("code=http://loinc.org|x&category=y&identifier=z&patient={id}&device=Device/{id}&method=m");
            let told = way(&records, reach, &query, Some(&only));
            assert!(told.iter().any(|line| line == driver), "{query} where {only}: {told:#?}");
            assert!(
                !told.iter().any(|line| line.starts_with("SCAN") && !line.contains("CONSTANT")),
                "{query}: {told:#?}"
            );
        }
    }
}
