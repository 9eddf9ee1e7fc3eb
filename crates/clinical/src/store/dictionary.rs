//! Codes as numbers. A code is written once, before the first row that has it, and never removed.

use crate::validate::{Coding, IndexRows};
use medlock_node::provider::sha256;
use medlock_store::{Database, Error, Fault, Sql, first, values};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// Numbers that are remembered, at most: a site uses some thousands.
const REMEMBERED: usize = 50_000;

/// What is remembered of the dictionary. What is remembered is durable.
#[derive(Debug, Default)]
pub(super) struct Dictionary(Mutex<Numbers>);

/// Codes and concepts with their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    terms: HashMap<Coding, i64>,
    concepts: HashMap<Vec<Coding>, i64>,
}

impl Numbers {
    /// The number of a code.
    pub(super) fn term(&self, coding: &Coding) -> Result<i64, Fault> {
        self.terms.get(coding).copied().ok_or(Fault::Missing("code in the dictionary"))
    }

    /// The number of a set of codes; none of none.
    pub(super) fn concept(&self, codings: &[Coding]) -> Result<Option<i64>, Fault> {
        if codings.is_empty() {
            return Ok(None);
        }
        self.concepts.get(codings).copied().map(Some).ok_or(Fault::Missing("concept in the dictionary"))
    }
}

impl Dictionary {
    /// The numbers of all codes of these rows, and of these codes; those that are new are written first, in a verb of their own.
    pub(super) fn numbers<'c>(
        &self,
        database: &Database,
        rows: &[&IndexRows],
        codings: impl Iterator<Item = &'c Coding>,
    ) -> Result<Numbers, Error> {
        let mut wanted = Wanted::default();
        rows.iter().for_each(|rows| wanted.add(rows));
        wanted.terms.extend(codings.cloned());
        let known = {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.known(&held)
        };
        if let Some(known) = known {
            return Ok(known);
        }
        let found = database.write("write new codes", move |sql| wanted.write(sql))?;
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.terms.len() + held.concepts.len() > REMEMBERED {
            *held = Numbers::default();
        }
        held.terms.extend(found.terms.iter().map(|(coding, number)| (coding.clone(), *number)));
        held.concepts.extend(found.concepts.iter().map(|(codings, number)| (codings.clone(), *number)));
        Ok(found)
    }
}

/// What rows need of the dictionary.
#[derive(Default)]
struct Wanted {
    terms: BTreeSet<Coding>,
    concepts: BTreeSet<Vec<Coding>>,
}

impl Wanted {
    fn add(&mut self, rows: &IndexRows) {
        self.concepts.extend(rows.columns.iter().filter(|column| !column.is_empty()).cloned());
        self.terms.extend(rows.columns.iter().flatten().cloned());
        self.terms.extend(rows.marks.iter().map(|(_, _, coding)| coding.clone()));
        self.terms.extend(rows.quantities.iter().map(|(_, _, unit, _, _)| unit.clone()));
    }

    /// All of it, if all is remembered.
    fn known(&self, held: &Numbers) -> Option<Numbers> {
        let terms =
            self.terms.iter().map(|coding| Some((coding.clone(), *held.terms.get(coding)?))).collect::<Option<_>>()?;
        let concepts = self.concepts.iter().map(|codings| Some((codings.clone(), *held.concepts.get(codings)?)));
        Some(Numbers { terms, concepts: concepts.collect::<Option<_>>()? })
    }

    fn write(&self, sql: &mut dyn Sql) -> Result<Numbers, Fault> {
        let mut numbers = Numbers::default();
        for coding in &self.terms {
            let number = term(sql, coding)?;
            numbers.terms.insert(coding.clone(), number);
        }
        for codings in &self.concepts {
            let number = concept(sql, codings, &numbers)?;
            numbers.concepts.insert(codings.clone(), number);
        }
        Ok(numbers)
    }
}

fn term(sql: &mut dyn Sql, coding: &Coding) -> Result<i64, Fault> {
    let (system, code) = (&*coding.system, &*coding.code);
    sql.execute("INSERT INTO term (system, code) VALUES (?1, ?2) ON CONFLICT DO NOTHING", values![system, code])?;
    let number =
        first(sql, "term", "SELECT id FROM term WHERE code = ?2 AND system = ?1", values![system, code], |row| {
            row.number("id")
        })?;
    number.ok_or(Fault::Missing("code"))
}

fn concept(sql: &mut dyn Sql, codings: &[Coding], numbers: &Numbers) -> Result<i64, Fault> {
    let hash = hash(codings);
    let new = sql.execute("INSERT INTO concept (hash) VALUES (?1) ON CONFLICT DO NOTHING", values![hash])? == 1;
    let number: Option<i64> =
        first(sql, "concept", "SELECT id FROM concept WHERE hash = ?1", values![hash], |row| row.number("id"))?;
    let number = number.ok_or(Fault::Missing("concept"))?;
    if new {
        for coding in codings {
            sql.execute(
                "INSERT INTO concept_term (term, concept) VALUES (?1, ?2)",
                values![numbers.term(coding)?, number],
            )?;
        }
    }
    Ok(number)
}

/// A set of codes is named by the hash of its members, sorted and each with its length.
fn hash(codings: &[Coding]) -> [u8; 32] {
    let mut text = Vec::new();
    for part in codings.iter().flat_map(|coding| [&coding.system, &coding.code]) {
        text.extend_from_slice(&(part.len() as u64).to_be_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    sha256(&text)
}
