//! What a scope asks of resources besides their kind, as parameters of a search: `?category=laboratory` (SMART App Launch 2.2,
//! "Finer-grained resource constraints using search parameters").
//!
//! A parameter is one of codes or references, plainly by its name: no modifier, no chain, nothing of another resource. Such a
//! one holds of a row or does not, whoever asks; what may be made or changed is told by it as what may be seen.

use crate::definitions::{Definitions, SearchType};
use crate::kind::{Id, Kind};
use crate::query::{self, Filter, Handling, Terms};
use crate::store::{Statement, constrain};
use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;

/// Parameters of one scope, at most.
const PARAMETERS: usize = 8;
/// Values of one parameter, at most.
const VALUES: usize = 16;

/// Parameters all of which have to hold of a resource; of each, one of its values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    /// In their order, each with its values in theirs: what means the same is the same.
    parameters: Vec<(String, Vec<String>)>,
    filters: Vec<Filter>,
}

impl Constraint {
    /// Reads what stands behind the `?` of a scope for this kind; `None`: it is none that is served.
    #[must_use]
    pub fn read(kind: Kind, query: &str) -> Option<Self> {
        // AuditEvents are no rows.
        if kind == Kind::AUDIT_EVENT {
            return None;
        }
        let mut parameters = Vec::new();
        for (name, text) in form_urlencoded::parse(query.as_bytes()) {
            let mut values = query::values_of(&text);
            values.sort_unstable();
            values.dedup();
            // An escape of which nothing follows would take the comma behind it.
            let is_whole = query::values_of(&values.join(",")) == values;
            // A person is asked with these words: they are told as they are, and are no sentences.
            let is_plain = text.bytes().all(|byte| byte.is_ascii_graphic());
            if parameters.len() >= PARAMETERS || values.len() > VALUES || !is_whole || !is_plain {
                return None;
            }
            parameters.push((name.into_owned(), values));
        }
        parameters.sort_unstable();
        parameters.dedup();
        let filters: Option<Vec<Filter>> = parameters.iter().map(|(name, values)| filter(kind, name, values)).collect();
        filters.filter(|filters| !filters.is_empty()).map(|filters| Self { parameters, filters })
    }

    /// Whether whatever this one holds of, `wide` holds of too: each of its parameters is one of these, with no more values. That
    /// a code with its system is one of those without is not looked at.
    #[must_use]
    pub fn is_within(&self, wide: &Self) -> bool {
        wide.parameters.iter().all(|(name, values)| {
            self.parameters.iter().any(|(own, few)| own == name && few.iter().all(|value| values.contains(value)))
        })
    }

    /// Its parameters, each with the values one of which has to be there, as a search writes them.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.parameters.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }

    /// The patients whom it names, of rows of this kind.
    pub(super) fn patients(&self, kind: Kind, out: &mut BTreeSet<Id>) {
        self.filters.iter().for_each(|filter| filter.patients(kind, out));
    }

    /// How many values it asks for.
    pub(crate) fn values(&self) -> usize {
        self.parameters.iter().map(|(_, values)| values.len()).sum()
    }

    /// Appends the condition on the row `alias`.
    pub(super) fn write(&self, alias: &'static str, out: &mut Statement) {
        for (place, filter) in self.filters.iter().enumerate() {
            out.text(if place > 0 { " AND " } else { "" });
            constrain(out, alias, filter);
        }
    }
}

/// One parameter as a search for this kind reads it, if it is one of those that a scope may have.
fn filter(kind: Kind, name: &str, values: &[String]) -> Option<Filter> {
    let definitions = Definitions::r4();
    let parameter = definitions.parameters.named(kind, name)?;
    let pair = (Cow::from(name), Cow::from(values.join(",")));
    let terms = Terms { handling: Handling::Strict, most: 1, bases: &[] };
    let plan = query::plan(kind, &[pair], terms, definitions).ok()?;
    let [filter] = plan.filters() else { return None };
    let is_served = match (parameter.sort, filter) {
        // All of a system is not told in plain words: a scope names its codes.
        (SearchType::Token, Filter::Column(_, all) | Filter::Mark(_, all) | Filter::Ident(_, all)) => {
            all.iter().all(|token| token.value.is_some())
        }
        // One that names nothing that could be here is left out of a search.
        (SearchType::Reference, Filter::Patient(ids)) => ids.len() == values.len(),
        (SearchType::Reference, Filter::Link(_, targets)) => targets.len() == values.len(),
        // What a Provenance is about may be hidden from who asks: that it names something would say that it is there.
        _ => false,
    };
    is_served.then(|| filter.clone())
}

impl fmt::Display for Constraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (name, values)) in self.parameters.iter().enumerate() {
            f.write_str(if place > 0 { "&" } else { "" })?;
            escape(name, f)?;
            f.write_str("=")?;
            escape(&values.join(","), f)?;
        }
        Ok(())
    }
}

/// Writes text into a query. What a scope may have (RFC 6749 section 3.3) and a query does not take for something else stays.
fn escape(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~:/|,@!$*()".contains(&byte) {
            write!(f, "{}", char::from(byte))?;
        } else {
            write!(f, "%{byte:02X}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    const CATEGORY: &str = "http://terminology.hl7.org/CodeSystem/observation-category";

    fn read(query: &str) -> Option<Constraint> {
        Constraint::read(Kind::OBSERVATION, query)
    }

    /// Shows REQ-SMART-132: what means the same is written the same, and reads so again.
    #[test]
    fn a_constraint_has_one_form() {
        let id = "0123456789abcdefghjkmnpqrs";
        for (query, written) in [
            ("category=laboratory", "category=laboratory"),
            (&*format!("category={CATEGORY}|laboratory"), &*format!("category={CATEGORY}|laboratory")),
            ("category=http%3A%2F%2Fx%7Claboratory", "category=http://x|laboratory"),
            ("code=b,a,b&category=x&code=a,b", "category=x&code=a,b"),
            ("code=a&code=b", "code=a&code=b"),
            ("code=a%26c%25%22%5C,d%2B", "code=a%26c%25%22%5C,d%2B"),
            ("&status=final&", "status=final"),
            ("_security=R", "_security=R"),
            ("identifier=s%7Cv", "identifier=s|v"),
            (&format!("patient={id}"), &format!("patient={id}")),
            (&format!("subject=Patient/{id}&device=Device/{id}"), &format!("device=Device/{id}&subject=Patient/{id}")),
        ] {
            let told = read(query).unwrap_or_else(|| panic!("{query}"));
            assert_eq!(told.to_string(), written, "{query}");
            assert_eq!(read(written).as_ref(), Some(&told), "{query}");
        }
    }

    /// Shows REQ-SMART-133: nothing but codes and references, plainly by their names, and within bounds.
    #[test]
    fn what_a_scope_may_not_ask_is_none() {
        let many = (0..17).map(|number| number.to_string()).collect::<Vec<_>>().join(",");
        for no in [
            "",
            "&",
            "category",
            "category=",
            "=x",
            "category=a,",
            "category=a|b|c",
            "category=a|",
            "identifier=a|",
            "category=b,a\\",
            "category=a+and+nothing+else",
            "category=%C3%A4",
            "category=%FF",
            "category=%00",
            "colour=red",
            "category:not=laboratory",
            "category:missing=true",
            "subject:Patient=0123456789abcdefghjkmnpqrs",
            "subject:identifier=x",
            "subject=https://elsewhere.example/Patient/0123456789abcdefghjkmnpqrs",
            "subject=Patient/nobody",
            "patient=0123456789abcdefghjkmnpqrs,nobody",
            "subject=Patient/0123456789abcdefghjkmnpqrs,Device/0123456789abcdefghjkmnpqrs",
            "patient.name=x",
            "_has:Observation:has-member:code=x",
            "_id=0123456789abcdefghjkmnpqrs",
            "_lastUpdated=gt2020",
            "_include=Observation:patient",
            "_count=1",
            "_sort=date",
            "_total=accurate",
            "_profile=http://x",
            "date=2024",
            "value-quantity=5",
            "value-string=x",
            "combo-code=x",
            "code-value-concept=a$b",
            &format!("code={many}"),
            &(0..9).map(|number| format!("code={number}")).collect::<Vec<_>>().join("&"),
        ] {
            assert_eq!(read(no), None, "{no}");
        }
        assert_eq!(Constraint::read(Kind::AUDIT_EVENT, "action=R"), None);
        let target = "target=Observation/0123456789abcdefghjkmnpqrs";
        assert_eq!(Constraint::read(Kind::PROVENANCE, target), None);
        assert_eq!(Constraint::read(Kind::PATIENT, "category=laboratory"), None);
    }

    /// Shows REQ-SMART-134.
    #[test]
    fn one_with_more_parameters_or_fewer_values_is_narrower() {
        let within = |narrow: &str, wide: &str| read(narrow).expect(narrow).is_within(&read(wide).expect(wide));
        assert!(within("category=a", "category=a") && within("category=a", "category=b,a"));
        assert!(within("category=a&code=b", "category=a") && within("code=a&code=b", "code=b"));
        assert!(!within("category=a,b", "category=a") && !within("category=a", "category=a&code=b"));
        assert!(!within("code=a", "category=a") && !within("code=a,b", "code=a&code=b"));
    }

    proptest! {
        /// Shows REQ-SMART-132.
        #[test]
        fn whatever_is_read_reads_the_same_again(query in "((code|category|identifier|_tag)=[!-~]{1,12}&?){1,4}") {
            if let Some(told) = read(&query) {
                let written = told.to_string();
                prop_assert!(written.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"\\ ?#".contains(&byte)), "{}", written);
                prop_assert!(told.is_within(&told));
                prop_assert_eq!(read(&written), Some(told));
            }
        }
    }
}
