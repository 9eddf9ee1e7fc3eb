//! Whose data it is about: a person who may see several patients chooses one.

use super::authorize::Problem;
use super::browser::told;
use super::clients::Account;
use crate::Clinical;
use crate::definitions::Definitions;
use crate::json::{Document, Limits, Node};
use crate::kind::{Id, Kind, Row};
use crate::query::{self, Handling, Plan, Terms};
use crate::store::{Page, Stored};
use medlock_store::Error;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

/// Patients on the page, at most.
const MOST_PATIENTS: u16 = 100;
/// A number of four digits that is a year in which somebody may be born.
const YEARS: RangeInclusive<u16> = 1_850..=2_150;

/// Among whom a person chooses.
pub(super) struct Choice {
    /// The resource's name, and who it is in words: no two are the same.
    pub(super) patients: Vec<(String, String)>,
    /// Their rows, for the audit.
    pub(super) rows: Vec<Row>,
    /// What the page was asked with, to ask again for somebody.
    pub(super) asked: Vec<(String, String)>,
    /// Who was looked for.
    pub(super) find: String,
    /// Whether there are more than are shown.
    pub(super) more: bool,
}

/// The parameter that says whom to look for: ours, beside those of the software.
pub(super) const FIND: &str = "find";

impl Choice {
    /// The newest patients, or those who are looked for, whom the person may see.
    pub(super) fn read(clinical: &Clinical, account: &Account, query: &[u8]) -> Result<Self, Problem> {
        Self::within(clinical, account, query, clinical.settings().search_limit)
    }

    /// The same. Where it takes longer than `limit`, not all are shown: who looks for somebody finds them.
    fn within(clinical: &Clinical, account: &Account, query: &[u8], limit: Duration) -> Result<Self, Problem> {
        let sight = clinical.sight_of_staff(account.row);
        let mut asked: Vec<(String, String)> = form_urlencoded::parse(query).into_owned().collect();
        let find = asked.iter().find(|(name, _)| name == FIND).map(|(_, value)| value.trim().to_owned());
        let find = find.unwrap_or_default();
        asked.retain(|(name, _)| name != FIND);
        let mut found = Found::default();
        if find.is_empty() {
            found.take(clinical.records().some_patients(&sight, MOST_PATIENTS + 1, limit))?;
        } else {
            let until = Instant::now() + limit;
            for plan in plans(&find, &clinical.bases()) {
                let page = Page { count: MOST_PATIENTS + 1, after: None };
                let left = until.saturating_duration_since(Instant::now());
                let some = clinical.records().search(&sight, &plan, &page, left);
                found.more |= some.as_ref().is_ok_and(|some| some.next.is_some());
                found.take(some.map(|some| some.resources))?;
            }
        }
        let Found { all, more } = found.first(MOST_PATIENTS.into());
        let system = clinical.settings().patient_system.as_deref();
        let rows = all.iter().map(|stored| stored.row).collect();
        Ok(Self { patients: told_apart(&all, system), rows, asked, find, more })
    }

    /// What was looked for, for the audit.
    pub(super) fn query(&self) -> String {
        match self.find.as_str() {
            "" => String::new(),
            find => form_urlencoded::Serializer::new(String::new()).append_pair(FIND, find).finish(),
        }
    }
}

/// Who was found, each once.
#[derive(Default)]
struct Found {
    all: Vec<Stored>,
    /// Whether there are more.
    more: bool,
}

impl Found {
    /// Takes those who are not there yet. Where they were not found in time, there may be more.
    fn take(&mut self, found: Result<Vec<Stored>, Error>) -> Result<(), Problem> {
        match found {
            Ok(found) => {
                for one in found {
                    if !self.all.iter().any(|known| known.row == one.row) {
                        self.all.push(one);
                    }
                }
            }
            Err(Error::Late { .. }) => self.more = true,
            Err(error) => return Err(told(error)),
        }
        Ok(())
    }

    /// The first of them.
    fn first(mut self, most: usize) -> Self {
        self.more |= self.all.len() > most;
        self.all.truncate(most);
        self
    }
}

/// The searches for whom somebody means who writes this, which may be copied from a page: all of it is an identifier, or all of it is a
/// name; or each word is a part of a name, a birth date or, where it has a digit, an identifier.
fn plans(find: &str, bases: &[String]) -> Vec<Plan> {
    let words: Vec<&str> = find.split([' ', ',', '\t', '\u{a0}']).filter(|word| !word.is_empty()).collect();
    let dated = words.iter().any(|word| is_birth_date(word));
    let words = words.iter().filter(|word| !dated || **word != BORN);
    let each = words.map(|word| match word {
        date if is_birth_date(date) => ("birthdate", *date),
        number if number.bytes().any(|byte| byte.is_ascii_digit()) => ("identifier", *number),
        name => ("name", *name),
    });
    let (mut wanted, each) = (vec![vec![("identifier", find)], vec![("name", find)]], each.collect());
    if !wanted.contains(&each) {
        wanted.push(each);
    }
    // What it cannot be, nobody has.
    wanted.into_iter().filter_map(|pairs| plan(&pairs, bases)).collect()
}

/// A search for patients of whom all of this holds.
fn plan(pairs: &[(&'static str, &str)], bases: &[String]) -> Option<Plan> {
    let escaped = |text: &str| -> String {
        text.chars()
            .flat_map(|letter| ['\\'].into_iter().filter(move |_| "\\,$|".contains(letter)).chain([letter]))
            .collect()
    };
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (Cow::Borrowed(*name), Cow::Owned(escaped(value)))).collect();
    let terms = Terms { handling: Handling::Strict, most: MOST_PATIENTS, bases };
    query::plan(Kind::PATIENT, &pairs, terms, Definitions::r4()).ok().filter(|plan| !plan.filters().is_empty())
}

/// Whether it is a day, a month or a year in which somebody may be born: `1980-01-31`.
fn is_birth_date(word: &str) -> bool {
    let mut parts = word.split('-');
    let year = parts.next().filter(|year| year.len() == 4).and_then(|year| year.parse().ok());
    let mut two = parts.by_ref().take(2);
    let rest = two.all(|part| part.len() == 2 && part.bytes().all(|byte| byte.is_ascii_digit()));
    year.is_some_and(|year| YEARS.contains(&year)) && rest && parts.next().is_none()
}

/// Each patient as they are told; of whom the same would be told, with the name of the resource.
fn told_apart(found: &[Stored], system: Option<&str>) -> Vec<(String, String)> {
    let told: Vec<String> = found.iter().map(|one| who(&one.body, &one.id, system)).collect();
    let is_one = |text: &String| told.iter().filter(|other| *other == text).count() == 1;
    let each = found.iter().zip(&told);
    let apart = each.map(|(one, text)| {
        (one.id.to_string(), if is_one(text) { text.clone() } else { format!("{text}, {}", one.id) })
    });
    apart.collect()
}

/// Before a birth date.
const BORN: &str = "born";

/// Who a patient is: the name as it is said, the birth date, and the identifier by which the hospital knows its patients, or any where
/// nobody has said which (`system`).
pub(super) fn who(body: &[u8], id: &Id, system: Option<&str>) -> String {
    let Ok(document) = Document::read(body, &Limits::RESOURCE) else { return id.to_string() };
    let text = |node: Option<Node<'_, '_>>| node.and_then(Node::text).map(|text| text.into_owned());
    let root = document.root();
    let name = root.member("name").and_then(|names| names.items().next());
    let given = name.and_then(|name| name.member("given")).and_then(|given| text(given.items().next()));
    let family = text(name.and_then(|name| name.member("family")));
    let whole = text(name.and_then(|name| name.member("text")));
    let name = whole.unwrap_or_else(|| [given, family].into_iter().flatten().collect::<Vec<_>>().join(" "));
    let name = if name.is_empty() { id.to_string() } else { name };
    let born = text(root.member("birthDate")).map(|date| format!("{BORN} {date}"));
    let mut identifiers = root.member("identifier").into_iter().flat_map(Node::items);
    let number = identifiers.find_map(|one| {
        let is = |name, wanted| text(one.member(name)).as_deref() == wanted;
        let counts = if system.is_some() { is("system", system) } else { !is("use", Some("old")) };
        text(one.member("value")).filter(|_| counts)
    });
    [Some(name), born, number].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Row;
    use crate::tests::fixture::{House, patient};
    use medlock_trust::Role;

    /// Shows REQ-SMART-221, REQ-SMART-172: the page on which a patient is chosen has the time of a search; where that is not enough, it asks for a name.
    #[tokio::test(flavor = "multi_thread")]
    async fn patients_to_choose_from_are_looked_for_in_time() {
        let house = House::new();
        let gateway = house.device("gw", Role::Gateway).with("system/*.crus").await;
        for _ in 0..150 {
            gateway.create(&patient("Anna")).await.made();
        }
        let account = Account {
            number: 1,
            name: "roe".to_owned(),
            subject: "s".to_owned(),
            row: Row(1),
            kind: Kind::PRACTITIONER,
            id: house.clinical.records().fresh_id(),
        };
        let shown = |query: &str, limit| {
            let choice = Choice::within(&house.clinical, &account, query.as_bytes(), limit);
            let choice = choice.unwrap_or_else(|_| panic!("a page"));
            (choice.patients.len(), choice.more)
        };
        for query in ["", "find=Anna"] {
            assert_eq!(shown(query, Duration::from_secs(60)), (100, true), "{query}");
            assert_eq!(shown(query, Duration::ZERO), (0, true), "{query}");
        }
        assert_eq!(shown("find=Bert", Duration::from_secs(60)), (0, false));
    }

    /// Shows REQ-SMART-202.
    #[test]
    fn what_is_written_is_a_name_a_date_or_a_number() {
        for date in ["1980-01-31", "1980-01", "1980"] {
            assert!(is_birth_date(date), "{date}");
        }
        for no in ["", "4711", "1980-1-1", "1980-01-01-01", "80-01-01", "1980-", "1980-01-", "198O", "1980-0a"] {
            assert!(!is_birth_date(no), "{no}");
        }
        let plans = |find: &str| plans(find, &[]).iter().map(|plan| plan.used().to_vec()).collect::<Vec<_>>();
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        assert_eq!(plans("Meier"), [pairs(&[("identifier", "Meier")]), pairs(&[("name", "Meier")])]);
        let copied = "Anna Meier, born 1980-01-31, A4711";
        let words = [("name", "Anna"), ("name", "Meier"), ("birthdate", "1980-01-31"), ("identifier", "A4711")];
        assert_eq!(plans(copied).last(), Some(&pairs(&words)));
        assert_eq!(plans("Max born").last(), Some(&pairs(&[("name", "Max"), ("name", "born")])));
        // Nothing that is written there is anything but a value.
        assert_eq!(plans("a|b").last(), Some(&pairs(&[("name", "a\\|b")])));
        assert_eq!(plans(&"a ".repeat(100)).len(), 2, "no search has so many parameters");
    }
}
