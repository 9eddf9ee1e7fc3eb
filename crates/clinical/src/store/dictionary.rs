//! Codes as numbers. A code is written once, before the first row that has it, and never removed.

use crate::validate::{Coding, IndexRows};
use medlock_node::provider::sha256;
use medlock_store::{Database, Error, Fault, Sql, first, values};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

/// Bytes of the codes and concepts that are remembered, at most: a site uses some thousands of some fifty bytes.
const REMEMBERED: usize = 16 << 20;
/// What a code takes beside its letters.
const BESIDE: usize = 64;
/// So many new codes are written before what waits; more of them wait like all else, and in portions.
const FEW: usize = 64;
const PORTION: usize = 500;

/// What is remembered of the dictionary. What is remembered is durable.
#[derive(Debug, Default)]
pub(super) struct Dictionary(Mutex<Numbers>);

/// Codes and concepts with their numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers {
    terms: HashMap<Coding, i64>,
    concepts: HashMap<Vec<Coding>, i64>,
    /// Counted where they are remembered.
    bytes: usize,
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

    /// Remembers what is durable. Where it would be too much, all else is forgotten.
    fn remember(&mut self, found: &Self) {
        let size =
            |codings: &[Coding]| codings.iter().map(|one| one.system.len() + one.code.len() + BESIDE).sum::<usize>();
        let more: usize = found.terms.keys().map(|coding| size(std::slice::from_ref(coding))).sum();
        let more = more + found.concepts.keys().map(|codings| size(codings) + BESIDE).sum::<usize>();
        if self.bytes.saturating_add(more) > REMEMBERED {
            *self = Self::default();
        }
        if more <= REMEMBERED {
            self.terms.extend(found.terms.iter().map(|(coding, number)| (coding.clone(), *number)));
            self.concepts.extend(found.concepts.iter().map(|(codings, number)| (codings.clone(), *number)));
            self.bytes += more;
        }
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
        let found = wanted.written(database)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remember(&found);
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
        self.terms.extend(rows.codings().cloned());
    }

    /// All of it, if all is remembered.
    fn known(&self, held: &Numbers) -> Option<Numbers> {
        let terms =
            self.terms.iter().map(|coding| Some((coding.clone(), *held.terms.get(coding)?))).collect::<Option<_>>()?;
        let concepts = self.concepts.iter().map(|codings| Some((codings.clone(), *held.concepts.get(codings)?)));
        Some(Numbers { terms, concepts: concepts.collect::<Option<_>>()?, bytes: 0 })
    }

    /// All of it, written where it is not there.
    fn written(self, database: &Database) -> Result<Numbers, Error> {
        let doing = "write new codes";
        if self.terms.len() <= FEW {
            return database.write_first(doing, move |sql| write(sql, &self.terms, &self.concepts, Numbers::default()));
        }
        let mut numbers = Numbers::default();
        let (terms, concepts): (Vec<_>, Vec<_>) =
            (self.terms.into_iter().collect(), self.concepts.into_iter().collect());
        for portion in terms.chunks(PORTION) {
            let (portion, so_far) = (portion.to_vec(), std::mem::take(&mut numbers));
            numbers = database.write(doing, move |sql| write(sql, &portion, [], so_far.clone()))?;
        }
        for portion in concepts.chunks(FEW) {
            let (portion, so_far) = (portion.to_vec(), std::mem::take(&mut numbers));
            numbers = database.write(doing, move |sql| write(sql, [], &portion, so_far.clone()))?;
        }
        Ok(numbers)
    }
}

/// Adds these to the numbers.
fn write<'w>(
    sql: &mut dyn Sql,
    terms: impl IntoIterator<Item = &'w Coding>,
    concepts: impl IntoIterator<Item = &'w Vec<Coding>>,
    mut numbers: Numbers,
) -> Result<Numbers, Fault> {
    for coding in terms {
        let number = term(sql, coding)?;
        numbers.terms.insert(coding.clone(), number);
    }
    for codings in concepts {
        let number = concept(sql, codings, &numbers)?;
        numbers.concepts.insert(codings.clone(), number);
    }
    Ok(numbers)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Place, Records};
    use medlock_node::clock::Clock;

    fn rows(codes: impl Iterator<Item = String>) -> IndexRows {
        let coding = |code: String| Coding { system: "urn:t".into(), code: code.into() };
        let mut rows = IndexRows::default();
        rows.columns[0] = codes.map(coding).collect();
        rows
    }

    /// Shows REQ-FHIR-73: what is remembered is bounded by its bytes, whatever comes; what was forgotten has the number that it had.
    #[test]
    fn codes_are_remembered_by_their_bytes_and_written_in_portions() {
        let folder = tempfile::tempdir().expect("a folder");
        let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
        let dictionary = Dictionary::default();
        let numbers =
            |rows: &IndexRows| dictionary.numbers(records.database(), &[rows], std::iter::empty()).expect("numbers");
        let many = rows((0..2 * PORTION + 7).map(|code| format!("{code:06}")));
        let first = numbers(&many);
        assert_eq!((first.terms.len(), first.concepts.len()), (2 * PORTION + 7, 1));
        for round in 0..40 {
            numbers(&rows(std::iter::once(format!("{round}{}", "x".repeat(1 << 20)))));
            let held = dictionary.0.lock().expect("held");
            let letters: usize = held.terms.keys().map(|one| one.code.len()).sum();
            assert!(letters <= held.bytes && held.bytes <= REMEMBERED, "{letters} of {}", held.bytes);
        }
        let again = numbers(&many);
        assert_eq!((again.terms, again.concepts), (first.terms, first.concepts));
    }
}
