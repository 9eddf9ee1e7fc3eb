//! What an export is asked for (Bulk Data Access 2.0.0, "Bulk Data Kick-off Request").

use super::super::answer;
use super::super::asking::{Asking, denied};
use super::super::change::read_json;
use super::super::history::INSTANT;
use crate::access::{Caller, Verb};
use crate::json::{Limits, Node, Sort};
use crate::kind::Kind;
use crate::moment;
use crate::outcome::{Code, Issue, Issues, Refusal};
use crate::query::{self, Handling};
use crate::store::Wish;

/// Searches that one export has, at most.
const FILTERS: usize = 32;
/// The names of the one form in which files are given. A plus that is not escaped is read as a space.
const FORMATS: [&str; 4] = ["application/fhir+ndjson", "application/fhir ndjson", "application/ndjson", "ndjson"];

impl Asking {
    /// The parameters of the address and those of a resource Parameters, as an address with all of them has them.
    pub(super) fn asked_by_parameters(&self, body: &[u8]) -> Result<String, Refusal> {
        // Whoever has no token learns nothing of what is wrong.
        self.caller()?;
        let mut asked = form_urlencoded::Serializer::new(self.query().to_owned());
        answer::is_json(self.headers())?;
        let document = read_json(body, &Limits::RESOURCE)?;
        let root = document.root();
        if root.member("resourceType").and_then(Node::text).as_deref() != Some("Parameters") {
            return Err(Issue::new(Code::OtherKind, "an export is asked for by a resource Parameters").into());
        }
        for one in root.member("parameter").iter().flat_map(|list| list.items()) {
            let name = one.member("name").and_then(Node::text).unwrap_or_default();
            let value = one.members().find(|(member, value)| member.starts_with("value") && value.sort() == Sort::Text);
            let value = value.and_then(|(_, value)| value.text()).unwrap_or_default();
            asked.append_pair(&name, &value);
        }
        Ok(asked.finish())
    }

    /// Reads what is asked. What is not served is refused, or left out where the caller says so and gets no less by it.
    pub(super) fn wish(&self, caller: &Caller, of_patients: bool, asked: &str) -> Result<Wish, Refusal> {
        let lenient = answer::prefers(self.headers(), "handling=lenient");
        let mut reading = Reading { lenient, ..Reading::default() };
        for (name, value) in form_urlencoded::parse(asked.as_bytes()) {
            reading.parameter(&name, &value, &self.door.clinical.settings().kinds);
        }
        reading.issues.settled()?;
        let mut kinds = reading.kinds;
        if reading.says_kinds {
            kinds.iter().try_for_each(|kind| self.may_export(caller, *kind))?;
        } else {
            kinds.extend(exported(&self.door.clinical.settings().kinds));
            kinds.retain(|kind| self.may_export(caller, *kind).is_ok());
        }
        if kinds.is_empty() {
            return Err(Issue::new(Code::Forbidden, "the token is good for no kind that is asked for").into());
        }
        let mut filters = Vec::new();
        for (kind, query) in reading.filters {
            if !kinds.contains(&kind) {
                let text = format!("{kind} is searched, and is not asked for by _type");
                if lenient {
                    continue;
                }
                let help = "add the kind to _type, or leave its search out";
                return Err(Issue::new(Code::ParameterValue, text).at("_typeFilter").help(help).into());
            }
            self.is_filter(caller, kind, &query)?;
            filters.push((kind.number(), query));
        }
        let kinds = kinds.iter().map(|kind| kind.number()).collect();
        let mut wish = Wish { of_patients, since: reading.since, kinds, filters, ..Wish::default() };
        wish.only = self.only(caller, &wish)?;
        Ok(wish)
    }

    /// Whether a search says which resources, and nothing else, and the caller may look where it looks.
    fn is_filter(&self, caller: &Caller, kind: Kind, query: &str) -> Result<(), Refusal> {
        let plan = self.plan(kind, query, Handling::Strict)?;
        if plan.used().len() != plan.filters().len() || plan.cursor().is_some() {
            let text =
                "it says which resources are exported, not how: leave out _sort, _count, _include and their like";
            let help = "give parameters of the kind alone";
            return Err(Issue::new(Code::ParameterValue, text).at("_typeFilter").help(help).into());
        }
        for other in plan.others() {
            self.kind(other.name())?;
            if let Some(why) = denied(caller, Verb::Search, *other) {
                return Err(why);
            }
        }
        Ok(())
    }
}

/// The kinds of which there are rows: events of the audit are none, and searched alone.
fn exported(kinds: &[Kind]) -> impl Iterator<Item = Kind> {
    kinds.iter().copied().filter(|kind| *kind != Kind::AUDIT_EVENT)
}

#[derive(Default)]
struct Reading {
    lenient: bool,
    since: Option<i64>,
    says_kinds: bool,
    kinds: Vec<Kind>,
    filters: Vec<(Kind, String)>,
    issues: Issues,
}

impl Reading {
    fn parameter(&mut self, name: &str, value: &str, served: &[Kind]) {
        match name {
            "_outputFormat" if FORMATS.contains(&value) => {}
            "_outputFormat" => {
                let text = format!("{:?} is not served: files are given as application/fhir+ndjson", shown(value));
                self.wrong(name, text, "leave it out, or give application/fhir+ndjson");
            }
            "_since" => match moment::instant(&value.replace(' ', "+")) {
                Some(since) => self.since = Some(since.low.0),
                None => self.wrong(name, format!("{:?} is no instant: date, time and zone", shown(value)), INSTANT),
            },
            "_type" => {
                self.says_kinds = true;
                value.split(',').for_each(|one| self.kind(name, one.trim(), served));
            }
            "_typeFilter" => self.filters(value, served),
            // To leave it out would give what was not asked for.
            "patient" => {
                let text = "an export is not asked for by \"patient\": left out, it would give the data of others";
                let help = "give _typeFilter, as in Observation?patient=ID, or read Patient/ID/$everything";
                self.issues.add(Issue::new(Code::UnknownParameter, text).at(name).help(help));
            }
            _ if self.lenient => {}
            _ => {
                let text = format!("an export is not asked for by {:?}", shown(name));
                self.issues.add(Issue::new(Code::UnknownParameter, text).at(name));
            }
        }
    }

    fn kind(&mut self, name: &str, text: &str, served: &[Kind]) {
        match exported(served).find(|kind| kind.name() == text) {
            Some(kind) if self.kinds.contains(&kind) => {}
            Some(kind) => self.kinds.push(kind),
            None if self.lenient => {}
            None => self.wrong(
                name,
                format!("{:?} is not exported", shown(text)),
                "give kinds that /fhir/metadata has, but for AuditEvent",
            ),
        }
    }

    /// Searches with a comma between two. One within a value is followed by no `Kind?`.
    fn filters(&mut self, value: &str, served: &[Kind]) {
        let mut all: Vec<String> = Vec::new();
        for part in value.split(',') {
            let begins =
                part.split_once('?').is_some_and(|(kind, _)| kind.bytes().all(|byte| byte.is_ascii_alphabetic()));
            match all.last_mut().filter(|_| !begins) {
                Some(last) => {
                    last.push(',');
                    last.push_str(part);
                }
                None => all.push(part.to_owned()),
            }
        }
        if self.filters.len().saturating_add(all.len()) > FILTERS || value.len() > query::LENGTH {
            let text = format!("an export has at most {FILTERS} searches of {} bytes", query::LENGTH);
            self.wrong("_typeFilter", text, "ask for several exports");
            return;
        }
        for one in all {
            let (kind, query) = one.split_once('?').unwrap_or((&one, ""));
            match exported(served).find(|own| own.name() == kind) {
                Some(kind) => self.filters.push((kind, query.to_owned())),
                None if self.lenient => {}
                None => {
                    let text = format!("{:?} is not KIND?SEARCH, of a kind that is exported", shown(&one));
                    self.wrong(
                        "_typeFilter",
                        text,
                        "write KIND?SEARCH, with a comma between two, each escaped as a value is",
                    );
                }
            }
        }
    }

    fn wrong(&mut self, name: &str, text: String, help: &'static str) {
        self.issues.add(Issue::new(Code::ParameterValue, text).at(name).help(help));
    }
}

/// A text as it is told.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{prop_assert, proptest};

    /// Shows REQ-EXPORT-04: searches are told apart also where a value has commas; what is not served is refused, or left out where
    /// that gives no more rows than were asked for.
    #[test]
    fn parameters_are_read_as_they_are_written() {
        let served: Vec<Kind> = Kind::all().collect();
        let read = |lenient, pairs: &[(&str, &str)]| {
            let mut reading = Reading { lenient, ..Reading::default() };
            pairs.iter().for_each(|(name, value)| reading.parameter(name, value, &served));
            let filters: Vec<_> = reading.filters.iter().map(|(kind, query)| format!("{kind}?{query}")).collect();
            let kinds: Vec<_> = reading.kinds.iter().map(|kind| kind.name()).collect();
            let wrong: Vec<_> = reading.issues.all().iter().filter_map(|issue| issue.expression.clone()).collect();
            (kinds.join(","), filters, reading.since, wrong.join(","))
        };
        let none = Vec::<String>::new;
        let two = "Observation?code=a,b&status=final,Patient?name=x,Observation?code=c%2Cd";
        let split =
            ["Observation?code=a,b&status=final", "Patient?name=x", "Observation?code=c%2Cd"].map(str::to_owned);
        assert_eq!(read(false, &[("_typeFilter", two)]), (String::new(), split.to_vec(), None, String::new()));
        let plain =
            [("_type", "Patient,Device"), ("_type", "Device, Observation"), ("_since", "1970-01-01T00:00:01 00:00")];
        assert_eq!(read(false, &plain), ("Patient,Device,Observation".into(), none(), Some(1_000), String::new()));
        let unserved =
            [("_elements", "id"), ("includeAssociatedData", "x"), ("_type", "Encounter"), ("_type", "AuditEvent")];
        let told = "_elements,includeAssociatedData,_type,_type";
        assert_eq!(read(false, &unserved), (String::new(), none(), None, told.into()));
        assert_eq!(read(true, &unserved), (String::new(), none(), None, String::new()));
        let wrong =
            [("_outputFormat", "csv"), ("_since", "2024"), ("patient", "Patient/x"), ("_outputFormat", "ndjson")];
        assert_eq!(read(true, &wrong).3, "_outputFormat,_since,patient", "not even where it is lenient");
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fail(name in "_type|_typeFilter|_since|_outputFormat|.*", value in ".*") {
            let served: Vec<Kind> = Kind::all().collect();
            let mut reading = Reading::default();
            reading.parameter(&name, &value, &served);
            prop_assert!(reading.filters.len() <= FILTERS && reading.kinds.len() < served.len());
        }
    }
}
