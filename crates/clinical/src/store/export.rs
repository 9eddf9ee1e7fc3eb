//! Exports (FHIR Bulk Data Access): what was asked, and how it is divided into files. No row is kept: a file is a part of the list of
//! changes, and what is in it is read when it is fetched.
//!
//! A resource is in an export at the one change by which it came into it: its first, or the first since a moment. That line never moves,
//! whatever becomes of the resource meanwhile, so none is lost between two files, and none is given twice. A Provenance of devices comes
//! again with what it has come to be about since.

use super::beginning::beginning;
use super::condition::{Conditions, Of};
use super::read::{COLUMNS, Stored};
use super::search::{Counted, Driver, counted};
use super::token::stands;
use super::{Records, Sights, Statement, count};
use crate::access::Holder;
use crate::kind::{Kind, Millis, Seq};
use crate::query::{Order, Plan};
use medlock_store::{Error, Fault, Sql, Value, first, values};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Exports of one piece of software at once, and of all; a quarter of those of the software of one community.
const OF_ONE: i64 = 8;
const MOST: i64 = 256;
const OF_COMMUNITY: i64 = MOST / 4;
/// Changes that are looked at in one question.
const CHANGES: i64 = 2_000;
/// Bytes that are read together, but for the resource with which they become more.
const TOGETHER: usize = 256 << 10;

/// What is exported, as it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Wish {
    /// Whether only what is some patient's.
    pub(crate) of_patients: bool,
    /// Only what has changed after this, in milliseconds since 1970.
    pub(crate) since: Option<i64>,
    /// The numbers of the kinds.
    pub(crate) kinds: Vec<u8>,
    /// Searches, each for the kind with this number: of such a kind, what one of them finds.
    pub(crate) filters: Vec<(u8, String)>,
    /// What the scopes of who asked ask of those kinds besides.
    #[serde(default)]
    pub(crate) only: Vec<String>,
    /// The address with all parameters, also those of a body: for the audit.
    #[serde(default)]
    pub(crate) asked_for: String,
}

/// One file: the resources of one kind that came into the export with these changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    /// The number of the kind.
    pub(crate) kind: u8,
    /// Whether it tells which of them were deleted.
    pub(crate) deleted: bool,
    /// Behind this change,
    pub(crate) after: i64,
    /// and up to this one.
    pub(crate) upto: i64,
}

impl File {
    /// The first one of a kind, or of what of it was deleted; where it ends is not known yet.
    pub(crate) const fn first(kind: u8, deleted: bool) -> Self {
        Self { kind, deleted, after: 0, upto: 0 }
    }
}

/// How it is divided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Division {
    /// The files so far.
    pub(crate) files: Vec<File>,
    /// The one that grows, with the resources that it has; none: all is divided.
    pub(crate) open: Option<(File, u32)>,
}

/// An export that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Export {
    pub(crate) id: [u8; 16],
    /// By which software.
    pub(crate) client: String,
    /// The address that was asked, as the manifest says it: without the parameters of a body.
    pub(crate) request: String,
    pub(crate) wish: Wish,
    /// The newest change of that moment.
    pub(crate) newest: Seq,
    /// No change up to that one is later, and each one behind it is.
    pub(crate) made: Millis,
    /// When it ends, in seconds since 1970.
    pub(crate) until: i64,
    /// How often it was divided further.
    pub(crate) step: i64,
    pub(crate) division: Division,
}

/// An export that is asked for.
#[derive(Clone, Debug)]
pub(crate) struct NewExport {
    pub(crate) id: [u8; 16],
    pub(crate) client: String,
    pub(crate) request: String,
    pub(crate) wish: Wish,
    /// How long it is there, in seconds.
    pub(crate) lasts: i64,
    pub(crate) division: Division,
}

/// What became of a wish for an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begun {
    /// It is kept.
    Kept,
    /// The software is registered no more, since it was looked at.
    Ended,
    /// There are as many as there may be.
    Full(Full),
}

/// Whose exports are as many as there may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Full {
    /// The software's.
    Own,
    /// Those of its community's software.
    Community,
    /// Those of all.
    All,
}

impl Full {
    /// What is said of it.
    pub(crate) fn text(self) -> String {
        match self {
            Self::Own => format!("you have {OF_ONE} exports, as many as there may be of one client"),
            Self::Community => format!("your community's software has {OF_COMMUNITY} exports, as many as it may have"),
            Self::All => format!("there are {MOST} exports, as many as there may be"),
        }
    }
}

/// Of which kind which rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'p> {
    pub(crate) kind: Kind,
    pub(crate) deleted: bool,
    pub(crate) of_patients: bool,
    pub(crate) since: Option<i64>,
    /// What one of these searches finds; none: all.
    pub(crate) plans: &'p [Plan],
}

/// What some changes bring into an export.
#[derive(Debug)]
pub(crate) struct Brought<T> {
    pub(crate) found: T,
    /// So far it was looked.
    pub(crate) upto: Seq,
}

impl Records {
    /// Keeps an export of what has changed until this very verb. What was under way comes behind it, with a later time.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_export(&self, export: NewExport) -> Result<Begun, Error> {
        let clock = self.clock.clone();
        self.database().write("keep an export", move |sql| {
            let (made, _) = beginning(sql, &clock)?;
            let newest = super::newest(sql)?;
            let now = made.0.div_euclid(1_000);
            let until = now.saturating_add(export.lasts);
            let NewExport { id, client, request, wish, division, .. } = &export;
            if !stands(sql, &Holder::Software { client: client.clone() })? {
                return Ok(Begun::Ended);
            }
            if let Some(full) = full(sql, client, now)? {
                return Ok(Begun::Full(full));
            }
            let insert = "INSERT INTO export (id, client, request, wish, newest, made, until, step, division) \
                          VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 0, ?8)";
            let (wish, division) = (text(wish), text(division));
            let values = values![*id, client.as_str(), request.as_str(), wish, newest.0, made.0, until, division];
            sql.execute(insert, values)?;
            Ok(Begun::Kept)
        })
    }

    /// The export that this software asked for, if it has not ended.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn export(&self, id: [u8; 16], client: &str, now: i64) -> Result<Option<Export>, Error> {
        let question = "SELECT request, wish, newest, made, until, step, division FROM export \
                        WHERE id = ?1 AND client = ?2 AND until > ?3";
        self.database().read("look for an export", |sql| {
            first(sql, "export", question, values![id, client, now], |row| {
                let wish = serde_json::from_str(row.text("wish")?).map_err(|_| row.damaged("wish"))?;
                let division = serde_json::from_str(row.text("division")?).map_err(|_| row.damaged("division"))?;
                Ok(Export {
                    id,
                    client: client.to_owned(),
                    request: row.text("request")?.to_owned(),
                    wish,
                    newest: Seq(row.number("newest")?),
                    made: Millis(row.number("made")?),
                    until: row.number("until")?,
                    step: row.number("step")?,
                    division,
                })
            })
        })
    }

    /// Notes how far an export is divided, if nobody has done so since it was read.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn keep_division(&self, export: &Export) -> Result<(), Error> {
        let (id, step, division) = (export.id, export.step, text(&export.division));
        let update = "UPDATE export SET division = ?3, step = step + 1 WHERE id = ?1 AND step = ?2";
        self.database().write_single("divide an export", move |sql| {
            sql.execute(update, values![id, step, division.as_str()]).map(drop)
        })
    }

    /// Ends the export that this software asked for; whether there was one.
    ///
    /// # Errors
    /// [`Error`].
    pub(crate) fn end_export(&self, id: [u8; 16], client: &str, now: i64) -> Result<bool, Error> {
        let client = client.to_owned();
        self.database().write("end an export", move |sql| {
            let delete = "DELETE FROM export WHERE id = ?1 AND client = ?2 AND until > ?3";
            Ok(sql.execute(delete, values![id, client.as_str(), now])? > 0)
        })
    }

    /// How many resources some changes bring into an export, of those that are in sight, and whose they are.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn count_exported(
        &self,
        sights: &Sights,
        part: &Part<'_>,
        (after, upto): (Seq, Seq),
        limit: Duration,
    ) -> Result<Brought<Counted>, Error> {
        self.database().read_within("count what is exported", limit, |sql| {
            let upto = bounded(sql, part.kind, after, upto)?;
            let question = brought(sql, "r.patient AS patient", sights, part, (after, upto))?;
            Ok(Brought { found: counted(sql, &question)?, upto })
        })
    }

    /// The resources that some changes bring into an export, as they are now, of those that are in sight: as many as are read together.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub(crate) fn exported(
        &self,
        sights: &Sights,
        part: &Part<'_>,
        (after, upto): (Seq, Seq),
        limit: Duration,
    ) -> Result<Brought<Vec<Stored>>, Error> {
        self.database().read_within("read what is exported", limit, |sql| {
            let upto = bounded(sql, part.kind, after, upto)?;
            let columns = format!("{COLUMNS}, c.seq AS seq");
            let mut question = brought(sql, &columns, sights, part, (after, upto))?;
            question.text(" ORDER BY c.seq");
            let (mut found, mut bytes, mut full) = (Vec::new(), 0_usize, None);
            sql.each("resource", question.sql(), question.values(), &mut |row| {
                let stored = Stored::of(row)?;
                bytes = bytes.saturating_add(stored.body.len());
                found.push(stored);
                if bytes >= TOGETHER {
                    full = Some(Seq(row.number("seq")?));
                }
                Ok(full.is_none())
            })?;
            Ok(Brought { found, upto: full.unwrap_or(upto) })
        })
    }
}

fn text(of: &impl Serialize) -> String {
    // What has neither maps nor numbers beyond JSON's has no way to fail.
    serde_json::to_string(of).unwrap_or_default()
}

/// Whose exports are as many as there may be, before this software has one more.
fn full(sql: &mut dyn Sql, client: &str, now: i64) -> Result<Option<Full>, Fault> {
    let mut has = |of: &str, values: &[Value], most: i64| {
        let from = format!("export e JOIN client c ON c.id = e.client WHERE e.until > ?1{of}");
        Ok::<bool, Fault>(count(sql, "export", &from, values)? >= most)
    };
    let community = " AND c.community = (SELECT o.community FROM client o WHERE o.id = ?2)";
    Ok(if has(" AND c.id = ?2", values![now, client], OF_ONE)? {
        Some(Full::Own)
    } else if has(community, values![now, client], OF_COMMUNITY)? {
        Some(Full::Community)
    } else if has("", values![now], MOST)? {
        Some(Full::All)
    } else {
        None
    })
}

/// The last of the changes that are looked at together.
fn bounded(sql: &mut dyn Sql, kind: Kind, after: Seq, upto: Seq) -> Result<Seq, Fault> {
    let question = "SELECT seq FROM change WHERE kind = ?1 AND seq > ?2 AND seq <= ?3 ORDER BY seq LIMIT 1 OFFSET ?4";
    let values = values![i64::from(kind.number()), after.0, upto.0, CHANGES - 1];
    let last = first(sql, "change", question, values, |row| Ok(Seq(row.number("seq")?)))?;
    Ok(last.unwrap_or(upto))
}

/// Asks for `columns` of the resources `r` that changes `c` bring into an export, and that may be both looked for and read.
fn brought(
    sql: &mut dyn Sql,
    columns: &str,
    sights: &Sights,
    part: &Part<'_>,
    (after, upto): (Seq, Seq),
) -> Result<Statement, Fault> {
    // The changes give the rows: SQLite keeps the order of a cross join.
    let mut out = Statement::kept_by_row(columns, "change c CROSS JOIN resource r", &sights.search, part.kind);
    out.text(" AND r.rid = c.rid AND ");
    sights.read.write(part.kind, "r", &mut out);
    out.text(if part.deleted { " AND r.gone = 1" } else { " AND r.gone = 0" });
    out.text(" AND c.kind = ").value(part.kind.number());
    out.text(" AND c.seq > ").value(after.0).text(" AND c.seq <= ").value(upto.0);
    match part.since {
        None => _ = out.text(" AND c.version = 1"),
        Some(since) => {
            out.text(" AND (c.updated > ").value(since);
            out.text(
                " AND (c.version = 1 OR EXISTS (SELECT 1 FROM past e WHERE e.rid = c.rid AND e.version = c.version - 1",
            );
            out.text(" AND e.updated <= ").value(since).text("))");
            if part.kind == Kind::PROVENANCE {
                // What is said of a device is said of more as it comes, by the same version.
                out.text(" OR c.version = 1 AND r.updated <= ").value(since);
                out.text(" AND EXISTS (SELECT 1 FROM resource s WHERE s.statement = r.rid AND s.updated > ");
                out.value(since).text(")");
            }
            out.text(")");
        }
    }
    if part.of_patients {
        out.text(" AND r.patient IS NOT NULL");
    }
    for (place, plan) in part.plans.iter().enumerate() {
        out.text(if place > 0 { " OR (1 = 1" } else { " AND ((1 = 1" });
        for filter in plan.filters() {
            out.text(" AND ");
            let of = Of { alias: "r", driver: Driver::Link, order: Order::Date };
            Conditions { sql: &mut *sql, out: &mut out, sight: &sights.search }.write(of, filter)?;
        }
        out.text(")");
    }
    out.text(if part.plans.is_empty() { "" } else { ")" });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::super::{Place, Records};
    use super::*;
    use crate::access::{Reach, Right, Sight, Verb, Verbs};
    use medlock_node::clock::Clock;
    use medlock_store::all;

    /// Shows REQ-EXPORT-12: a step reads the changes of its kind within its bounds, and the rows that they name, whatever else is kept.
    #[test]
    fn a_step_is_driven_by_the_list_of_changes() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
        let verbs = Verbs::of([Verb::Search]);
        let right = Right { kind: Kind::OBSERVATION, verbs, reach: Reach::All, only: None };
        let sight = || Sight::new([right.clone()].into_iter());
        let sights = Sights { search: sight(), read: sight() };
        for (of_patients, since) in [(false, None), (true, Some(5))] {
            let part = Part { kind: Kind::OBSERVATION, deleted: false, of_patients, since, plans: &[] };
            let told = records.database().read("explain", |sql| {
                let statement = brought(sql, COLUMNS, &sights, &part, (Seq(3), Seq(9)))?;
                let question = format!("EXPLAIN QUERY PLAN {} ORDER BY c.seq", statement.sql());
                all(sql, "plan", &question, statement.values(), |row| Ok(row.text("detail")?.to_owned()))
            });
            let told = told.expect("explained");
            let has = |line: &str| told.iter().any(|told| told == line);
            assert!(has("SEARCH c USING INDEX change_kind (kind=? AND seq>? AND seq<?)"), "{told:?}");
            assert!(has("SEARCH r USING INTEGER PRIMARY KEY (rowid=?)"), "{told:?}");
            assert!(!told.iter().any(|line| line.contains("TEMP B-TREE") || line.starts_with("SCAN")), "{told:?}");
        }
    }
}
