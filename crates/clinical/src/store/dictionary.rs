//! Codes as numbers. A code is written once, before the first row that has it, and never removed.

use crate::validate::{Coding, IndexRows};
use medlock_node::provider::sha256;
use medlock_store::{Database, Error, Fault, Sql, first, values};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

/// Bytes of the codes and concepts that are remembered, at most: a site uses some thousands of some fifty bytes.
const REMEMBERED: usize = 16 << 20;
/// What a code takes beside its letters.
const BESIDE: usize = 64;
/// So many new codes, those of new sets counted, are written before what waits; more of them wait like all else, and in portions.
const FEW: usize = 64;
const PORTION: usize = 500;

/// What is remembered of the dictionary. What is remembered is durable.
#[derive(Debug, Default)]
pub(super) struct Dictionary(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    numbers: Numbers,
    bytes: usize,
}

/// Codes, and sets of codes, with their numbers.
#[derive(Debug, Default)]
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

    fn extend(&mut self, others: Self) {
        self.terms.extend(others.terms);
        self.concepts.extend(others.concepts);
    }
}

impl Remembered {
    /// Remembers what is durable. Where it would be too much, all else is forgotten.
    fn take(&mut self, found: &Numbers) {
        let size =
            |codings: &[Coding]| codings.iter().map(|one| one.system.len() + one.code.len() + BESIDE).sum::<usize>();
        let more: usize = found.terms.keys().map(|coding| size(std::slice::from_ref(coding))).sum();
        let more = more + found.concepts.keys().map(|codings| size(codings) + BESIDE).sum::<usize>();
        if self.bytes.saturating_add(more) > REMEMBERED {
            *self = Self::default();
        }
        if more <= REMEMBERED {
            self.numbers.terms.extend(found.terms.iter().map(|(coding, number)| (coding.clone(), *number)));
            self.numbers.concepts.extend(found.concepts.iter().map(|(codings, number)| (codings.clone(), *number)));
            self.bytes += more;
        }
    }
}

impl Dictionary {
    /// The numbers of all codes of these rows, and of these codes; those that are new are written first, in verbs of their own.
    pub(super) fn numbers<'c>(
        &self,
        database: &Database,
        rows: &[&IndexRows],
        codings: impl Iterator<Item = &'c Coding>,
    ) -> Result<Numbers, Error> {
        let mut wanted = Wanted::default();
        rows.iter().for_each(|rows| wanted.add(rows));
        wanted.terms.extend(codings.cloned());
        let mut numbers = {
            let held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.take_known(&held.numbers)
        };
        if !wanted.is_empty() {
            let found = wanted.written(database, &numbers)?;
            self.0.lock().unwrap_or_else(PoisonError::into_inner).take(&found);
            numbers.extend(found);
        }
        Ok(numbers)
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

    fn is_empty(&self) -> bool {
        self.terms.is_empty() && self.concepts.is_empty()
    }

    /// Takes out what is remembered.
    fn take_known(&mut self, held: &Numbers) -> Numbers {
        let mut known = Numbers::default();
        for coding in self.terms.extract_if(.., |coding| held.terms.contains_key(coding)) {
            let number = held.terms[&coding];
            known.terms.insert(coding, number);
        }
        for codings in self.concepts.extract_if(.., |codings| held.concepts.contains_key(codings)) {
            let number = held.concepts[&codings];
            known.concepts.insert(codings, number);
        }
        known
    }

    /// Writes what is not there, and gives the numbers of all of it. `known` has those of the codes of its sets that are none of it.
    fn written(self, database: &Database, known: &Numbers) -> Result<Numbers, Error> {
        let size = self.terms.len() + self.concepts.iter().map(Vec::len).sum::<usize>();
        let few = size <= FEW;
        let mut found = Numbers::default();
        for portion in portions(self.terms, |_| 1) {
            let numbers = write(database, few, move |sql| {
                portion.iter().map(|coding| Ok((coding.clone(), term(sql, coding)?))).collect::<Result<Vec<_>, _>>()
            })?;
            found.terms.extend(numbers);
        }
        let terms = known.terms.iter().chain(&found.terms).map(|(coding, number)| (coding.clone(), *number));
        let terms = Arc::new(Numbers { terms: terms.collect(), ..Numbers::default() });
        for portion in portions(self.concepts, Vec::len) {
            let terms = Arc::clone(&terms);
            let numbers = write(database, few, move |sql| {
                let number = |codings: &Vec<_>| Ok((codings.clone(), concept(sql, codings, &terms)?));
                portion.iter().map(number).collect::<Result<Vec<_>, _>>()
            })?;
            found.concepts.extend(numbers);
        }
        Ok(found)
    }
}

fn write<T: Send + 'static>(
    database: &Database,
    few: bool,
    verb: impl FnMut(&mut dyn Sql) -> Result<T, Fault> + Send + 'static,
) -> Result<T, Error> {
    let doing = "write new codes";
    if few { database.write_first(doing, verb) } else { database.write(doing, verb) }
}

/// All of it in its order, in portions of some size.
fn portions<T>(all: impl IntoIterator<Item = T>, size: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let (mut portions, mut room): (Vec<Vec<T>>, usize) = (Vec::new(), 0);
    for one in all {
        let size = size(&one);
        match portions.last_mut() {
            Some(last) if size <= room => last.push(one),
            _ => {
                portions.push(vec![one]);
                room = PORTION;
            }
        }
        room = room.saturating_sub(size);
    }
    portions
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
    use std::thread::sleep;
    use std::time::Duration;

    /// Until what was asked waits: on a slower machine it comes later, and then nothing was in its way.
    const SOON: Duration = Duration::from_millis(100);

    fn rows(codes: impl Iterator<Item = String>) -> IndexRows {
        let coding = |code: String| Coding { system: "urn:t".into(), code: code.into() };
        let mut rows = IndexRows::default();
        rows.columns[0] = codes.map(coding).collect();
        rows
    }

    /// Shows REQ-FHIR-73: what is remembered is bounded by its bytes, whatever comes; what was forgotten has the number that it had.
    #[test]
    fn codes_are_remembered_by_their_bytes() {
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
            let letters: usize = held.numbers.terms.keys().map(|one| one.code.len()).sum();
            assert!(letters <= held.bytes && held.bytes <= REMEMBERED, "{letters} of {}", held.bytes);
        }
        let again = numbers(&many);
        assert_eq!((again.terms, again.concepts), (first.terms, first.concepts));
    }
    /// Shows REQ-FHIR-73: who brings many new codes, or many new sets of few, is not before what waits, and others write between.
    #[test]
    fn many_new_codes_are_written_in_portions_behind_what_presses() {
        let pairs = |codes: usize| (0..codes).flat_map(move |one| (0..one).map(move |other| [one, other]));
        let pairs = pairs(60).map(|pair| rows(pair.into_iter().map(|code| format!("{code:06}"))));
        let many = rows((0..2 * PORTION + 7).map(|code| format!("a{code}")));
        for (table, rows) in [("term", vec![many]), ("concept", pairs.collect::<Vec<_>>())] {
            let folder = tempfile::tempdir().expect("a folder");
            let records = Records::open(&Place::File(folder.path().join("x.db")), Clock::system()).expect("opened");
            let (dictionary, database) = (Dictionary::default(), records.database());
            let written = move |sql: &mut dyn Sql| {
                let number =
                    first(sql, table, &format!("SELECT count(*) AS n FROM {table}"), &[], |row| row.number("n"));
                Ok(number?.unwrap_or(0_usize))
            };
            let (release, held) = std::sync::mpsc::channel::<()>();
            std::thread::scope(|scope| {
                scope.spawn(|| database.write("hold the writer", move |_| Ok(held.recv().ok())).expect("held"));
                sleep(SOON);
                let all = scope.spawn(|| {
                    let rows: Vec<&IndexRows> = rows.iter().collect();
                    dictionary.numbers(database, &rows, std::iter::empty()).expect("numbers")
                });
                sleep(SOON);
                let behind = scope.spawn(|| database.write("look", written).expect("looked"));
                let pressing = scope.spawn(|| database.write_first("look", written).expect("looked"));
                sleep(SOON);
                release.send(()).expect("it is held");
                assert_eq!(pressing.join().expect("looked"), 0, "{table}");
                assert!(behind.join().expect("looked") <= PORTION, "{table}");
                all.join().expect("written");
            });
            let all = database.read("look", written).expect("looked");
            assert!(all > 2 * PORTION, "{table}: {all}");
        }
    }
}
