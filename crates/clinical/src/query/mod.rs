//! A search, read: which kind, which filters, in which order, what comes with it (FHIR R4, section 3.1.1).

mod date;
mod filter;
mod quantity;
mod served;
mod token;
mod values;

pub use date::{Bound, Comparison, End, Ranges};
pub use filter::{Absent, By, Filter, Measure, Word};
pub(crate) use served::{of_all, of_kind, of_parameter};
pub use token::Token;

use crate::definitions::{Definitions, Parameter, ParameterId, Place, SearchType};
use crate::kind::{Id, Kind};
use crate::outcome::{Code, Issue, Issues};
use std::borrow::Cow;
use std::collections::BTreeSet;
use values::Reader;

/// Parameters of one search, at most.
const PARAMETERS: usize = 32;
/// Values of one parameter, at most.
const VALUES: usize = 64;
/// Bytes of a whole search.
pub const LENGTH: usize = 8 << 10;
/// How many resources a page has where nobody says.
const COUNT: u16 = 50;
/// The names of the one form in which resources are given. A plus that is not escaped is read as a space.
pub(crate) const FORMATS: [&str; 5] =
    ["json", "text/json", "application/json", "application/fhir+json", "application/fhir json"];

/// What becomes of a parameter that is not served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// It is refused, whatever is preferred: more depends on it than an answer.
    #[default]
    Strict,
    /// It is refused to who has not said that it may be left out.
    Unsaid,
    /// It is left out, and told.
    Lenient,
}

/// By what resources are ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The principal date.
    Date,
    /// The last change.
    Updated,
    /// The identifier.
    Id,
    /// The first of their words.
    Word(ParameterId),
    /// The first of their dates beside the row.
    Span(ParameterId),
}

/// An order, and its direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sorting {
    /// By what.
    pub by: Order,
    /// Whether the last comes first.
    pub descending: bool,
    /// Whether it was asked for.
    pub asked: bool,
}

/// Resources that come with those that are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Include {
    /// Whether they refer to what is found; else they are referred to.
    pub reverse: bool,
    /// The kind that refers.
    pub kind: Kind,
    /// By which parameter.
    pub parameter: ParameterId,
    /// How that is kept, where it is asked in reverse.
    pub by: By,
    /// Only resources of this kind.
    pub only: Option<Kind>,
}

/// A search that can be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    kind: Kind,
    filters: Vec<Filter>,
    sorting: Sorting,
    includes: Vec<Include>,
    /// Kinds that are looked at, but for the one that is looked for.
    others: Vec<Kind>,
    count: u16,
    total: bool,
    summary: bool,
    cursor: Option<String>,
    /// The parameters that are in force, as they stand in the link to this page.
    used: Vec<(String, String)>,
    /// Those that were left out.
    ignored: Vec<String>,
}

impl Plan {
    /// Which kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// All of which have to hold.
    #[must_use]
    pub fn filters(&self) -> &[Filter] {
        &self.filters
    }

    /// In which order.
    #[must_use]
    pub const fn sorting(&self) -> Sorting {
        self.sorting
    }

    /// What comes with it.
    #[must_use]
    pub fn includes(&self) -> &[Include] {
        &self.includes
    }

    /// Kinds that the caller has to be allowed to search, but for the one that is looked for.
    #[must_use]
    pub fn others(&self) -> &[Kind] {
        &self.others
    }

    /// How many on a page.
    #[must_use]
    pub const fn count(&self) -> u16 {
        self.count
    }

    /// Whether the number of all is asked.
    #[must_use]
    pub const fn total(&self) -> bool {
        self.total
    }

    /// Whether nothing but that number is asked.
    #[must_use]
    pub const fn summary(&self) -> bool {
        self.summary
    }

    /// The sealed place where the page begins.
    #[must_use]
    pub fn cursor(&self) -> Option<&str> {
        self.cursor.as_deref()
    }

    /// The parameters that are in force.
    #[must_use]
    pub fn used(&self) -> &[(String, String)] {
        &self.used
    }

    /// Whether it may look at everything of a kind: no resource, identifier or patient is named.
    #[must_use]
    pub fn is_wide(&self) -> bool {
        !self.names_one() && !self.is_of_patients()
    }

    /// Whether all that it finds is of patients whom it names.
    #[must_use]
    pub fn is_of_patients(&self) -> bool {
        self.has(|filter| matches!(filter, Filter::Patient(_)))
    }

    /// Whether a resource or its identifier is named.
    #[must_use]
    pub fn names_one(&self) -> bool {
        self.has(|filter| matches!(filter, Filter::Id(_) | Filter::Ident(..)))
    }

    /// The patients that it names, whatever it finds of them.
    pub(crate) fn patients(&self) -> BTreeSet<Id> {
        let mut patients = BTreeSet::new();
        self.filters.iter().for_each(|filter| filter.patients(self.kind, &mut patients));
        patients
    }

    /// Whether it finds few, so that it can be the condition of a change: by identifier, or a patient's by code or date.
    #[must_use]
    pub fn is_narrow(&self) -> bool {
        let dated = |filter: &Filter| match filter {
            Filter::Date(_) => true,
            Filter::Column(column, _) => column.number() == 0,
            _ => false,
        };
        self.others.is_empty() && !self.is_by_system() && (self.names_one() || self.is_of_patients() && self.has(dated))
    }

    /// Whether it looks for all identifiers of a system, to which no index leads.
    #[must_use]
    pub fn is_by_system(&self) -> bool {
        self.filters.iter().any(|filter| filter.holds(|one| matches!(one, Filter::IdentOf(..))))
    }

    /// How many conditions a row has to meet, one for itself among them.
    pub(crate) fn weight(&self) -> u32 {
        self.filters.iter().map(Filter::weight).fold(1, u32::saturating_add)
    }

    /// The search for the one resource with this identifier; `None`: resources of this kind are not found by one.
    pub(crate) fn by_identifier(kind: Kind, system: &str, value: &str) -> Option<Self> {
        let parameter = Definitions::r4().parameters.named(kind, "identifier")?;
        let token = Token { system: Some(system.to_owned()), value: Some(value.to_owned()) };
        let sorting = Sorting { by: Order::Updated, descending: true, asked: false };
        Some(Self { filters: vec![Filter::Ident(parameter.id, vec![token])], sorting, count: 1, ..Self::all_of(kind) })
    }

    /// The search for all of a kind.
    const fn all_of(kind: Kind) -> Self {
        Self {
            kind,
            filters: Vec::new(),
            sorting: Sorting { by: Order::Date, descending: true, asked: false },
            includes: Vec::new(),
            others: Vec::new(),
            count: COUNT,
            total: false,
            summary: false,
            cursor: None,
            used: Vec::new(),
            ignored: Vec::new(),
        }
    }

    fn has(&self, of: fn(&Filter) -> bool) -> bool {
        self.filters.iter().any(|filter| filter.has(of))
    }

    /// The parameters that were left out.
    #[must_use]
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }
}

/// The name of the parameter with the place where a page begins.
pub const CURSOR: &str = "_page";

/// How a search is read.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What becomes of what is not served.
    pub handling: Handling,
    /// Resources on a page, at most.
    pub most: u16,
    /// The addresses under which references are local.
    pub bases: &'a [String],
}

/// Reads a search.
///
/// # Errors
/// What is wrong with it.
pub fn plan(
    kind: Kind,
    query: &[(Cow<'_, str>, Cow<'_, str>)],
    terms: Terms<'_>,
    definitions: &Definitions,
) -> Result<Plan, Issues> {
    if query.len() > PARAMETERS {
        return Err(Issue::new(Code::TooMuch, format!("a search has at most {PARAMETERS} parameters")).into());
    }
    let plan = Plan { count: COUNT.min(terms.most), ..Plan::all_of(kind) };
    let mut reading = Reading { plan, reader: Reader { kind, terms, definitions }, issues: Issues::default() };
    for (name, value) in query {
        reading.parameter(name, value);
    }
    reading.issues.settled()?;
    let mut plan = reading.plan;
    if !plan.sorting.asked && plan.filters.iter().all(|filter| matches!(filter, Filter::Updated(_))) {
        plan.sorting.by = Order::Updated;
    }
    Ok(plan)
}

/// The values of a parameter, one of which has to hold, as they are written.
pub(crate) fn values_of(text: &str) -> Vec<String> {
    token::split(text, ',')
}

/// Whether resources of this kind are ordered by this parameter.
#[must_use]
pub fn is_sorted(kind: Kind, parameter: &Parameter) -> bool {
    let people = [Kind::PATIENT, Kind::PRACTITIONER].contains(&kind);
    parameter.place == Place::At || people && ["family", "name", "birthdate"].contains(&parameter.name)
}

struct Reading<'r> {
    plan: Plan,
    reader: Reader<'r>,
    issues: Issues,
}

/// What became of a parameter.
enum Read {
    Filter(Filter),
    /// It says how, not what.
    Control,
    Unserved,
    Wrong(Cow<'static, str>),
}

impl Reading<'_> {
    fn parameter(&mut self, name: &str, value: &str) {
        let read = if value.is_empty() { Read::Wrong("it has no value".into()) } else { self.read(name, value) };
        match read {
            Read::Filter(filter) => {
                self.plan.filters.push(filter);
                self.plan.used.push((name.to_owned(), value.to_owned()));
            }
            Read::Control => {
                if name != CURSOR {
                    self.plan.used.push((name.to_owned(), value.to_owned()));
                }
            }
            Read::Unserved if self.reader.terms.handling == Handling::Lenient => {
                self.plan.ignored.push(name.to_owned());
            }
            Read::Unserved => {
                let text = format!("{} is not searched by {name:?}", self.plan.kind);
                let issue = Issue::new(Code::UnknownParameter, text).at(name);
                let may_be_lenient = self.reader.terms.handling == Handling::Unsaid;
                let help = "leave it out, or send Prefer: handling=lenient";
                self.issues.add(if may_be_lenient { issue.help(help) } else { issue });
            }
            Read::Wrong(why) => {
                let issue = Issue::new(Code::ParameterValue, why).at(name);
                let help = served::help(self.plan.kind, name);
                self.issues.add(if help.is_empty() { issue } else { issue.help(help) });
            }
        }
    }

    fn read(&mut self, name: &str, value: &str) -> Read {
        match name {
            "_count" => self.count(value),
            CURSOR => {
                self.plan.cursor = Some(value.to_owned());
                Read::Control
            }
            // Only this form is served, and one may say so.
            "_format" => said(FORMATS.contains(&value), "only JSON is served"),
            "_sort" => self.sort(value).map_or_else(Read::Wrong, |()| Read::Control),
            "_total" => {
                self.plan.total = value != "none";
                said(["none", "estimate", "accurate"].contains(&value), "it is none, estimate or accurate")
            }
            "_summary" => {
                self.plan.summary |= value == "count";
                self.plan.total |= value == "count";
                said(["count", "false"].contains(&value), "only _summary=count is served")
            }
            "_include" | "_revinclude" => {
                self.include(value, name == "_revinclude").map_or_else(Read::Wrong, |()| Read::Control)
            }
            _ => match (name.strip_prefix("_has:"), name.split_once('.')) {
                (Some(rest), _) => self.other(self.reader.has(rest, value)),
                (None, Some((reference, name))) => self.other(self.reader.chain(reference, name, value)),
                (None, None) => self.reader.filter(name, value),
            },
        }
    }

    /// A filter on resources of another kind.
    fn other(&mut self, read: Result<(Kind, Read), Cow<'static, str>>) -> Read {
        match read {
            Ok((kind, read)) => {
                self.plan.others.push(kind);
                read
            }
            Err(why) => Read::Wrong(why),
        }
    }

    fn count(&mut self, value: &str) -> Read {
        match value.parse::<u32>() {
            // FHIR R4 section 3.1.1.5.2.
            Ok(0) => {
                self.plan.summary = true;
                self.plan.total = true;
                Read::Control
            }
            Ok(count) => {
                self.plan.count = u16::try_from(count).unwrap_or(u16::MAX).min(self.reader.terms.most);
                Read::Control
            }
            Err(_) => Read::Wrong(format!("{value:?} is no number of resources").into()),
        }
    }

    fn sort(&mut self, value: &str) -> Result<(), Cow<'static, str>> {
        if self.plan.sorting.asked || value.contains(',') {
            return Err("resources are ordered by one thing".into());
        }
        let (name, descending) = value.strip_prefix('-').map_or((value, false), |name| (name, true));
        let kind = self.plan.kind;
        let by = match name {
            "_lastUpdated" => Order::Updated,
            "_id" => Order::Id,
            _ => {
                let parameter = self.reader.definitions.parameters.named(kind, name);
                let parameter = parameter.filter(|parameter| is_sorted(kind, parameter));
                let parameter = parameter.ok_or_else(|| format!("{kind} is not ordered by {name:?}"))?;
                match parameter.place {
                    Place::At => Order::Date,
                    Place::Span => Order::Span(parameter.id),
                    _ => Order::Word(parameter.id),
                }
            }
        };
        self.plan.sorting = Sorting { by, descending, asked: true };
        Ok(())
    }

    /// `Kind:reference` or `Kind:reference:Target`.
    fn include(&mut self, value: &str, reverse: bool) -> Result<(), Cow<'static, str>> {
        let parts: Vec<&str> = value.split(':').collect();
        let ([of, name] | [of, name, _]) = parts.as_slice() else {
            return Err("it is KIND:REFERENCE or KIND:REFERENCE:TARGET".into());
        };
        let only = match parts.get(2) {
            Some(only) => Some(Kind::named(only).ok_or_else(|| format!("{only:?} is not kept here"))?),
            None => None,
        };
        let own = self.plan.kind;
        let kind = Kind::named(of).filter(|kind| reverse || *kind == own);
        let kind = kind.ok_or_else(|| format!("{of:?} is not the kind that is searched"))?;
        let parameter = self.reader.definitions.parameters.named(kind, name);
        let parameter = parameter.filter(|parameter| parameter.sort == SearchType::Reference);
        let parameter = parameter.ok_or_else(|| format!("{of} has no reference {name:?}"))?;
        if reverse && (!values::is_to(parameter, own) || only.is_some_and(|only| only != own)) {
            return Err(format!("{name} of {of} is not to {own}").into());
        }
        let by = values::by(parameter, own);
        self.plan.includes.push(Include { reverse, kind, parameter: parameter.id, by, only });
        Ok(())
    }
}

/// A control that has one of its values.
fn said(fits: bool, else_wrong: &'static str) -> Read {
    if fits { Read::Control } else { Read::Wrong(else_wrong.into()) }
}

#[cfg(test)]
mod tests;
