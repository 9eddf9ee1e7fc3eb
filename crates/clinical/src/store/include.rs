//! What comes with what is found: resources it refers to, and those that refer to it.

use super::condition::any_of;
use super::page::BYTES;
use super::read::{COLUMNS, Stored};
use super::testimony::statements;
use super::{Records, Statement};
use crate::access::Sight;
use crate::definitions::Definitions;
use crate::json::{Document, Node};
use crate::kind::{Id, Kind, Reference, Row};
use crate::query::{By, Include, Plan};
use crate::validate::kept;
use medlock_store::{Error, Fault, Sql};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Resources that come with a page, at most.
const MOST: usize = 1_000;
/// Identifiers in one question.
const AT_ONCE: usize = 1_000;

impl Records {
    /// What comes with a page and is in sight: what the page names in the first, what names it in the second; each once, and nothing
    /// that is on the page. `None`: more than are given.
    ///
    /// # Errors
    /// [`Error`]; [`Error::Late`].
    pub fn included(
        &self,
        (sight, found_sight): (&Sight, &Sight),
        plan: &Plan,
        page: &[Stored],
        bases: &[String],
        limit: Duration,
    ) -> Result<Option<Vec<Stored>>, Error> {
        if plan.includes().is_empty() || page.is_empty() {
            return Ok(Some(Vec::new()));
        }
        let (forward, reverse): (Vec<_>, Vec<_>) = plan.includes().iter().partition(|include| !include.reverse);
        let mut named: BTreeMap<Kind, BTreeSet<Id>> = BTreeMap::new();
        for stored in page {
            for (kind, id) in forward.iter().flat_map(|include| targets(stored, include, bases)) {
                named.entry(kind).or_default().insert(id);
            }
        }
        self.database().read_within("look for what comes with a page", limit, |sql| {
            let mut found = Coming::default();
            for (kind, ids) in &named {
                let ids: Vec<Id> = ids.iter().copied().collect();
                // A page may name more than a statement has values.
                for ids in ids.chunks(AT_ONCE) {
                    let mut question = Statement::seen(COLUMNS, sight, *kind);
                    question.text(" AND ");
                    any_of(&mut question, "r.id", ids, |out, id| {
                        out.value(id.as_str());
                    });
                    take(sql, question, &mut found)?;
                }
            }
            for include in &reverse {
                take(sql, referring(found_sight, include, page)?, &mut found)?;
            }
            let Coming { mut found, cut } = found;
            page.iter().for_each(|stored| drop(found.remove(&stored.row)));
            let bytes: usize = found.values().map(|stored| stored.body.len()).sum();
            Ok((!cut && found.len() <= MOST && bytes <= BYTES).then(|| found.into_values().collect()))
        })
    }
}

/// What comes with a page, as it is looked for.
#[derive(Default)]
struct Coming {
    found: BTreeMap<Row, Stored>,
    /// Whether there is so much that it was looked for no further.
    cut: bool,
}

fn take(sql: &mut dyn Sql, mut question: Statement, coming: &mut Coming) -> Result<(), Fault> {
    if coming.cut {
        return Ok(());
    }
    // The page itself may be among them.
    question.text(" LIMIT ").value(2 * MOST as i64 + 1);
    let mut bytes: usize = coming.found.values().map(|stored| stored.body.len()).sum();
    sql.each("resource", question.sql(), question.values(), &mut |row| {
        let stored = Stored::of(row)?;
        bytes = bytes.saturating_add(stored.body.len());
        coming.found.insert(stored.row, stored);
        coming.cut |= bytes > 3 * BYTES || coming.found.len() > 2 * MOST;
        Ok(!coming.cut)
    })
}

/// What a resource refers to here by the parameter of `include`.
fn targets(stored: &Stored, include: &Include, bases: &[String]) -> Vec<(Kind, Id)> {
    let mut found = Vec::new();
    let parameter = Definitions::r4().parameters.numbered(include.parameter);
    let (Some(parameter), Ok(document)) = (parameter, Document::read(&stored.body, &kept())) else { return found };
    for path in &parameter.paths {
        path.each(document.root(), bases, &mut |value| {
            let text = value.node.member("reference").and_then(Node::text).unwrap_or_default();
            if let Some(Reference::Local(kind, id, _)) = Reference::read(&text, bases)
                && include.only.is_none_or(|only| only == kind)
            {
                found.push((kind, id));
            }
        });
    }
    found
}

/// Asks for the resources that refer to those of a page.
fn referring(sight: &Sight, include: &Include, page: &[Stored]) -> Result<Statement, Fault> {
    let rows: Vec<i64> = page.iter().map(|stored| stored.row.0).collect();
    Ok(match include.by {
        By::Patient => {
            let mut question = Statement::seen(COLUMNS, sight, include.kind);
            question.text(" AND r.patient IN ").list(&rows);
            question
        }
        By::Link(parameter) => {
            let mut question = Statement::seen_by_row(COLUMNS, sight, include.kind);
            question.text(" AND r.rid IN (SELECT l.rid FROM link l WHERE l.param = ").value(parameter.number());
            question.text(" AND l.target IN ").list(&rows).text(")");
            question
        }
        By::Target(kind) => {
            let mut question = Statement::seen_by_row(COLUMNS, sight, include.kind);
            question.text(" AND r.rid IN (");
            statements(&mut question, sight, kind, |out, row| {
                out.text(row).text(".rid IN ").list(&rows);
                Ok(())
            })?;
            question.text(")");
            question
        }
    })
}
