//! What a resource is found by: the values of its search parameters.

use super::{Asked, MARK_SYSTEM, is_ours};
use crate::definitions::{Column, Definitions, Parameter, ParameterId, Place, Primitive, Type, Value};
use crate::json::{Key, Node};
use crate::kind::{Id, Kind, Millis, Reference};
use crate::moment::{self, Span};
use crate::outcome::{Code, Issue};
use std::ops::Range;
use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;

/// Characters of a word that are kept.
const WORD: usize = 64;
/// Characters of the text it is from.
const WRITTEN: usize = 256;
/// Characters of an identifier or address that are kept: an index row has to fit into a page.
const IDENT: usize = 512;
/// Codes that a resource is found by, at most, and characters of a code or its system: each is written once and kept for good.
const CODES: usize = 1_000;
const CODE: usize = 512;
/// The parameter that finds tags.
const TAG: &str = "_tag";
/// Between an identifier's value and its system.
pub(crate) const SEPARATOR: char = '\u{1f}';

/// A code with its system, which may be empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Coding {
    /// The system.
    pub system: Box<str>,
    /// The code.
    pub code: Box<str>,
}

/// The rows of the index for one resource.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct IndexRows {
    /// The codes in each column.
    pub columns: [Vec<Coding>; Column::COUNT],
    /// The principal date.
    pub at: Option<Span>,
    /// When the latest begins of the moments that the principal date names.
    pub latest: Option<Millis>,
    /// Codes: parameter, part, code.
    pub marks: Vec<(ParameterId, u32, Coding)>,
    /// Dates: parameter, part, span.
    pub spans: Vec<(ParameterId, u32, Span)>,
    /// Measured values: parameter, part, unit, from and to.
    pub quantities: Vec<(ParameterId, u32, Coding, Key, Key)>,
    /// References to resources here.
    pub links: Vec<(ParameterId, Kind, Id)>,
    /// Identifiers and addresses.
    pub idents: Vec<(ParameterId, String)>,
    /// Words.
    pub words: Vec<(ParameterId, String)>,
}

impl IndexRows {
    /// All codes, as often as they are in it.
    pub(crate) fn codings(&self) -> impl Iterator<Item = &Coding> {
        let columns = self.columns.iter().flatten();
        let marks = self.marks.iter().map(|(_, _, coding)| coding);
        columns.chain(marks).chain(self.quantities.iter().map(|(_, _, unit, _, _)| unit))
    }
}

/// Whether codes are so few, and so short, that they may be kept.
pub(super) fn bounded<'c>(codings: impl Iterator<Item = &'c Coding>) -> Result<(), Issue> {
    for (number, coding) in codings.enumerate() {
        if number >= CODES {
            return Err(Issue::new(Code::TooMuch, format!("a resource is found by {CODES} codes at most")));
        }
        if [&coding.code, &coding.system].iter().any(|part| part.chars().nth(CODE).is_some()) {
            return Err(Issue::new(Code::TooMuch, format!("a code and its system have {CODE} characters at most")));
        }
    }
    Ok(())
}

/// The rows of a resource that was checked.
pub(super) fn rows(resource: Node<'_, '_>, definitions: &Definitions, asked: Asked<'_>) -> IndexRows {
    let mut taken = Taking { definitions, asked, rows: IndexRows::default() };
    for parameter in definitions.parameters.of(asked.kind) {
        for path in &parameter.paths {
            // A mark that somebody else wrote is not kept, so it is not found.
            path.each(resource, asked.bases, &mut |value| {
                if parameter.name != TAG || !is_ours(value.node) {
                    taken.value(parameter, value);
                }
            });
        }
        if let Some(mark) = asked.mark.filter(|_| parameter.name == TAG) {
            let coding = Coding { system: MARK_SYSTEM.into(), code: mark.into() };
            taken.rows.marks.push((parameter.id, 0, coding));
        }
    }
    let mut rows = taken.rows;
    rows.columns.iter_mut().for_each(tidy);
    tidy(&mut rows.marks);
    rows.spans.sort_by_key(|(parameter, part, span)| (*parameter, *part, span.low, span.high));
    rows.spans.dedup();
    rows.quantities.sort();
    rows.quantities.dedup();
    tidy(&mut rows.links);
    tidy(&mut rows.idents);
    tidy(&mut rows.words);
    rows
}

fn tidy<T: Ord>(list: &mut Vec<T>) {
    list.sort();
    list.dedup();
}

struct Taking<'t> {
    definitions: &'t Definitions,
    asked: Asked<'t>,
    rows: IndexRows,
}

impl Taking<'_> {
    fn value(&mut self, parameter: &Parameter, value: Value<'_, '_>) {
        let (id, part, node) = (parameter.id, value.part, value.node);
        let shape = match value.of {
            Type::Shape(shape) => self.definitions.elements.shape(shape).name,
            Type::Primitive(primitive) => primitive.name(),
            Type::Resource => "",
        };
        match parameter.place {
            Place::Column(column) => {
                if let Some(codes) = self.rows.columns.get_mut(column.number()) {
                    codings(shape, node, &mut |coding| codes.push(coding));
                }
            }
            Place::Mark => codings(shape, node, &mut |coding| self.rows.marks.push((id, part, coding))),
            Place::At => {
                self.rows.latest = self.rows.latest.max(latest(value.of, shape, node));
                if let Some(span) = span(value.of, shape, node) {
                    self.rows.at = Some(self.rows.at.map_or(span, |before| before.and(span)));
                }
            }
            Place::Span => self.rows.spans.extend(span(value.of, shape, node).map(|span| (id, part, span))),
            Place::Quantity => {
                self.rows.quantities.extend(quantity(shape, node).map(|(unit, low, high)| (id, part, unit, low, high)));
            }
            Place::Patient | Place::Subject | Place::Link => self.reference(parameter, shape, node),
            Place::Ident => self.rows.idents.extend(ident(shape, node).map(|text| (id, text))),
            Place::Word => words(shape, node, &mut |text| self.rows.words.push((id, word_of(text)))),
            Place::Either | Place::Parts => {}
        }
    }

    fn reference(&mut self, parameter: &Parameter, shape: &str, node: Node<'_, '_>) {
        let id = parameter.id;
        if shape == "canonical" {
            self.rows.idents.extend(node.text().map(|text| (id, ident_of(&text, ""))));
            return;
        }
        let identifier = node.member("identifier").and_then(|identifier| ident("Identifier", identifier));
        self.rows.idents.extend(identifier.map(|text| (id, text)));
        let Some(text) = node.member("reference").and_then(Node::text) else { return };
        match Reference::read(&text, self.asked.bases) {
            // The patient of the row is a column of it.
            Some(Reference::Local(Kind::PATIENT, _, _)) if parameter.place != Place::Link => {}
            Some(Reference::Local(kind, to, _)) => self.rows.links.push((id, kind, to)),
            Some(Reference::Unserved(..) | Reference::Absolute(_)) => self.rows.idents.push((id, ident_of(&text, ""))),
            Some(Reference::Nowhere(_) | Reference::Contained(_)) | None => {}
        }
    }
}

/// The codings of a value.
fn codings(shape: &str, node: Node<'_, '_>, take: &mut dyn FnMut(Coding)) {
    match shape {
        "CodeableConcept" => {
            let list = node.member("coding");
            list.iter().flat_map(|list| list.items()).for_each(|coding| codings("Coding", coding, take));
        }
        "Coding" => {
            if let Some(code) = node.member("code").and_then(Node::text) {
                let system = node.member("system").and_then(Node::text).unwrap_or_default();
                take(Coding { system: Box::from(&*system), code: Box::from(&*code) });
            }
        }
        "boolean" => take(Coding { system: Box::from(""), code: Box::from(node.source()) }),
        // A code's system is that of its value set, which a search names rarely: it is found without one.
        _ => {
            if let Some(code) = node.text() {
                take(Coding { system: Box::from(""), code: Box::from(&*code) });
            }
        }
    }
}

fn span(of: Type, shape: &str, node: Node<'_, '_>) -> Option<Span> {
    match (of, shape) {
        (Type::Primitive(Primitive::Date), _) => moment::date(&node.text()?),
        (Type::Primitive(_), _) => moment::date_time(&node.text()?, true),
        (_, "Period") => {
            let bound =
                |name: &str| node.member(name).and_then(Node::text).and_then(|text| moment::date_time(&text, true));
            let (start, end) = (bound("start"), bound("end"));
            (start.is_some() || end.is_some()).then(|| Span {
                low: start.map_or(Span::EVER.low, |start| start.low),
                high: end.map_or(Span::EVER.high, |end| end.high),
            })
        }
        (_, "Timing") => {
            let events = node.member("event");
            let events = events.iter().flat_map(|events| events.items());
            let spans = events.filter_map(|event| moment::date_time(&event.text()?, true));
            let bounds = node
                .member("repeat")
                .and_then(|repeat| repeat.member("boundsPeriod"))
                .and_then(|period| span(of, "Period", period));
            spans.chain(bounds).reduce(Span::and)
        }
        _ => None,
    }
}

/// When the latest begins of the moments that are named: an end in time to come is one that nobody has seen.
fn latest(of: Type, shape: &str, node: Node<'_, '_>) -> Option<Millis> {
    let moment = |node: Node<'_, '_>| span(Type::Primitive(Primitive::DateTime), "", node).map(|span| span.low);
    match shape {
        "Period" => ["start", "end"].iter().filter_map(|name| moment(node.member(name)?)).max(),
        "Timing" => {
            let events = node.member("event");
            let events = events.iter().flat_map(|events| events.items());
            let bounds = node.member("repeat").and_then(|repeat| repeat.member("boundsPeriod"));
            events.filter_map(moment).chain(bounds.and_then(|period| latest(of, "Period", period))).max()
        }
        _ => span(of, shape, node).map(|span| span.low),
    }
}

/// Unit, from and to. A value with a comparator reaches to one side without end.
fn quantity(shape: &str, node: Node<'_, '_>) -> Option<(Coding, Key, Key)> {
    let text = |node: Node<'_, '_>, name: &str| {
        node.member(name).and_then(Node::text).map(|text| Box::from(&*text)).unwrap_or_default()
    };
    if shape == "SampledData" {
        let origin = node.member("origin")?;
        let key = origin.member("value")?.number()?.key();
        return Some((Coding { system: text(origin, "system"), code: text(origin, "code") }, key.clone(), key));
    }
    let key = node.member("value")?.number()?.key();
    let (system, code): (Box<str>, Box<str>) = (text(node, "system"), text(node, "code"));
    let unit = if code.is_empty() {
        Coding { system: Box::default(), code: text(node, "unit") }
    } else {
        Coding { system, code }
    };
    Some(match node.member("comparator").and_then(Node::text).as_deref() {
        Some("<" | "<=") => (unit, Key::lowest(), key),
        Some(">" | ">=") => (unit, key, Key::highest()),
        _ => (unit, key.clone(), key),
    })
}

fn ident(shape: &str, node: Node<'_, '_>) -> Option<String> {
    match shape {
        "Identifier" | "ContactPoint" => {
            let value = node.member("value").and_then(Node::text)?;
            let system = node.member("system").and_then(Node::text).unwrap_or_default();
            Some(ident_of(&value, &system))
        }
        _ => node.text().map(|text| ident_of(&text, "")),
    }
}

/// An identifier as it is kept: its value first, since it is asked for without its system too.
#[must_use]
pub(crate) fn ident_of(value: &str, system: &str) -> String {
    let cut = |text: &str| text.chars().filter(|c| *c != SEPARATOR).take(IDENT).collect::<String>();
    format!("{}{SEPARATOR}{}", cut(value), cut(system))
}

/// Between which the identifiers with this value are kept, in this system or, without one, in any.
#[must_use]
pub(crate) fn idents_of(value: &str, system: Option<&str>) -> Range<String> {
    /// What follows the separator, which ends the value.
    const BEHIND: char = '\u{20}';
    let from = ident_of(value, system.unwrap_or_default());
    let to = match system {
        Some(_) => format!("{from}\u{1}"),
        None => from.replace(SEPARATOR, &BEHIND.to_string()),
    };
    from..to
}

/// The words of a value: of a name and an address each of their parts.
fn words(shape: &str, node: Node<'_, '_>, take: &mut dyn FnMut(&str)) {
    let parts: &[&str] = match shape {
        "HumanName" => &["family", "given", "prefix", "suffix", "text"],
        "Address" => &["line", "city", "district", "state", "postalCode", "country", "text"],
        _ => {
            if let Some(text) = node.text() {
                take(&text);
            }
            return;
        }
    };
    for part in parts.iter().filter_map(|part| node.member(part)) {
        part.text().iter().for_each(|text| take(text));
        part.items().filter_map(Node::text).for_each(|text| take(&text));
    }
}

/// A word as it is kept: as it is looked for, and behind it as it was written.
#[must_use]
pub(crate) fn word_of(text: &str) -> String {
    let written: String = text.chars().filter(|c| *c != SEPARATOR).take(WRITTEN).collect();
    format!("{}{SEPARATOR}{written}", word(text))
}

/// A word as it is looked for: in lower case, without accents, its beginning.
#[must_use]
pub(crate) fn word(text: &str) -> String {
    text.trim()
        .nfkd()
        .filter(|c| !is_combining_mark(*c) && *c != SEPARATOR)
        .flat_map(char::to_lowercase)
        .take(WORD)
        .collect()
}
