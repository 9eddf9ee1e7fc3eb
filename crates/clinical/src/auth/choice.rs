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
use std::time::Duration;

/// Patients on the page, at most.
const MOST_PATIENTS: u16 = 100;

/// Among whom a person chooses.
pub(super) struct Choice {
    /// Identifier and name.
    pub(super) patients: Vec<(String, String)>,
    /// Their rows, for the audit.
    pub(super) rows: Vec<Row>,
    /// What the page was asked with, to ask again with a name.
    pub(super) asked: Vec<(String, String)>,
    /// The name that was looked for.
    pub(super) find: String,
    /// Whether there may be more than are shown.
    pub(super) more: bool,
}

/// The parameter that names whom to look for: ours, beside those of the software.
pub(super) const FIND: &str = "find";

impl Choice {
    /// The newest patients, or those with a name, whom the person may see.
    pub(super) fn read(clinical: &Clinical, account: &Account, query: &[u8]) -> Result<Self, Problem> {
        Self::within(clinical, account, query, clinical.settings().search_limit)
    }

    /// The same. Where it takes longer than `limit`, nobody is shown: a name finds whom it is about.
    fn within(clinical: &Clinical, account: &Account, query: &[u8], limit: Duration) -> Result<Self, Problem> {
        let sight = clinical.sight_of_staff(account.row);
        let mut asked: Vec<(String, String)> = form_urlencoded::parse(query).into_owned().collect();
        let find = asked.iter().find(|(name, _)| name == FIND).map(|(_, value)| value.trim().to_owned());
        let find = find.unwrap_or_default();
        asked.retain(|(name, _)| name != FIND);
        let records = clinical.records();
        let found = if find.is_empty() {
            records.some_patients(&sight, MOST_PATIENTS, limit)
        } else {
            // What a name cannot be, nobody has.
            match named(&find, &clinical.bases()) {
                None => Ok(Vec::new()),
                Some(plan) => {
                    let page = Page { count: MOST_PATIENTS, after: None };
                    records.search(&sight, &plan, &page, limit).map(|found| found.resources)
                }
            }
        };
        let (found, more) = match found {
            Ok(found) => (found, false),
            Err(Error::Late { .. }) => (Vec::new(), true),
            Err(error) => return Err(told(error)),
        };
        let more = more || found.len() >= usize::from(MOST_PATIENTS);
        let shown = |stored: Stored| (stored.id.to_string(), name_of(&stored.body, &stored.id));
        let rows = found.iter().map(|stored| stored.row).collect();
        Ok(Self { patients: found.into_iter().map(shown).collect(), rows, asked, find, more })
    }

    /// What was looked for, as a search for patients would be written.
    pub(super) fn query(&self) -> String {
        match self.find.as_str() {
            "" => String::new(),
            name => form_urlencoded::Serializer::new(String::new()).append_pair("name", name).finish(),
        }
    }
}

/// A search for patients with a name that begins so.
fn named(name: &str, bases: &[String]) -> Option<Plan> {
    let escaped: String = name
        .chars()
        .flat_map(|letter| match letter {
            '\\' | ',' | '$' | '|' => vec!['\\', letter],
            letter => vec![letter],
        })
        .collect();
    let pairs = [(Cow::Borrowed("name"), Cow::Owned(escaped))];
    query::plan(
        Kind::PATIENT,
        &pairs,
        Terms { handling: Handling::Strict, most: MOST_PATIENTS, bases },
        Definitions::r4(),
    )
    .ok()
}

/// A person's name as it is said, and the birth date.
pub(super) fn name_of(body: &[u8], id: &Id) -> String {
    let Ok(document) = Document::read(body, &Limits::RESOURCE) else { return id.to_string() };
    let text = |node: Option<Node<'_, '_>>| node.and_then(Node::text).map(|text| text.into_owned());
    let root = document.root();
    let name = root.member("name").and_then(|names| names.items().next());
    let given = name.and_then(|name| name.member("given")).and_then(|given| text(given.items().next()));
    let family = text(name.and_then(|name| name.member("family")));
    let whole = text(name.and_then(|name| name.member("text")));
    let name = whole.unwrap_or_else(|| [given, family].into_iter().flatten().collect::<Vec<_>>().join(" "));
    let born = text(root.member("birthDate")).map(|date| format!(", born {date}")).unwrap_or_default();
    if name.is_empty() { format!("{id}{born}") } else { format!("{name}{born}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kind::Row;
    use crate::tests::fixture::{House, patient};
    use medlock_trust::Role;

    /// Shows REQ-SMART-172: the page on which a patient is chosen has the time of a search; where that is not enough, it asks for a name.
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
        let shown = |limit| {
            let choice = Choice::within(&house.clinical, &account, b"", limit).unwrap_or_else(|_| panic!("a page"));
            (choice.patients.len(), choice.more)
        };
        assert_eq!(shown(Duration::from_secs(60)), (100, true));
        assert_eq!(shown(Duration::ZERO), (0, true));
    }
}
