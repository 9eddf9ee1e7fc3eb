//! Whether a resource is what R4 says, and what is kept of it.
//!
//! Checked: elements, cardinality, types, forms of values, required bindings, targets of references, and the rules of
//! [`CHECKED`]. Not checked: profiles, bindings that are not required, units, and what is in contained resources
//! of kinds that are not kept here.

mod index;
mod invariant;
mod narrative;
mod patient;
mod primitive;
mod walk;

pub use index::{Coding, IndexRows};
pub(crate) use index::{SEPARATOR, ident_of, idents_of, word, word_of};
pub use invariant::CHECKED;
pub use patient::PatientOf;

use crate::consent::{self, Compiled};
use crate::definitions::Definitions;
use crate::json::{self, Document, Limits, Node, Sort};
use crate::kind::{Id, Kind, Row};
use crate::outcome::{Code, Issue, Issues};
use crate::store::Origin;
use crate::subscription::Subscriber;

/// The system of the tags that say how its device stood when a resource was written. Only we write them.
pub const MARK_SYSTEM: &str = "urn:medlock:fhir:mark";

/// What a resource is prepared for.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// Of which kind it has to be.
    pub kind: Kind,
    /// The addresses under which references are local.
    pub bases: &'a [String],
    /// How the device that writes it stands, where that is not good.
    pub mark: Option<&'static str>,
}

/// A resource that was checked: the store takes no other.
#[derive(Debug)]
pub struct Prepared {
    kind: Kind,
    tail: Vec<u8>,
    rows: IndexRows,
    references: Vec<Needed>,
    nowhere: Issues,
    patient: PatientOf,
    consent: Option<Compiled>,
    subscriber: Option<Subscriber>,
    named: Vec<Row>,
    origin: Option<Origin>,
}

/// A resource that has to be here, and that whoever writes may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Its kind.
    pub kind: Kind,
    /// Its identifier.
    pub id: Id,
    /// Where it is referred to.
    pub expression: String,
}

impl Prepared {
    /// Its kind.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its text behind what the store knows better (see [`body`]).
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.tail
    }

    /// What it is found by.
    #[must_use]
    pub const fn rows(&self) -> &IndexRows {
        &self.rows
    }

    /// What it refers to here.
    #[must_use]
    pub fn references(&self) -> &[Needed] {
        &self.references
    }

    /// Refuses what refers to entries of a Bundle that are not there. One that is kept from before may stay so.
    ///
    /// # Errors
    /// [`Issues`], one for each reference.
    pub(crate) fn refers_to_what_is(self) -> Result<Self, Issues> {
        self.nowhere.clone().settled()?;
        Ok(self)
    }

    /// Whose it is.
    #[must_use]
    pub const fn patient(&self) -> PatientOf {
        self.patient
    }

    /// What it allows and forbids, if it is a Consent.
    #[must_use]
    pub const fn consent(&self) -> Option<&Compiled> {
        self.consent.as_ref()
    }

    /// In whose name is told what it wants, if it is a Subscription that is active.
    pub(crate) const fn subscriber(&self) -> Option<&Subscriber> {
        self.subscriber.as_ref()
    }

    /// The same, told in the name of `subscriber`.
    pub(crate) fn subscribed(self, subscriber: Option<Subscriber>) -> Self {
        Self { subscriber, ..self }
    }

    /// The patients whom the criteria of a Subscription name.
    pub(crate) fn named(&self) -> &[Row] {
        &self.named
    }

    /// The same with these.
    pub(crate) fn naming(self, named: Vec<Row>) -> Self {
        Self { named, ..self }
    }

    /// Where it comes from, if the intake makes it.
    pub(crate) const fn origin(&self) -> Option<&Origin> {
        self.origin.as_ref()
    }

    /// The same, which the intake makes.
    pub(crate) fn from(self, origin: Option<Origin>) -> Self {
        Self { origin, ..self }
    }
}

/// Checks a resource and takes from it what is kept.
///
/// # Errors
/// What is wrong with it.
pub fn prepare(resource: Node<'_, '_>, definitions: &Definitions, asked: Asked<'_>) -> Result<Prepared, Issues> {
    // Also of one that came within a Bundle, which may have more in all.
    let most = Limits::RESOURCE.nodes;
    if resource.nodes() > most {
        return Err(Issue::new(Code::TooMuch, format!("a resource has at most {most} values")).into());
    }
    let prepared = prepare_again(resource, definitions, asked)?;
    if definitions.is_of_nobody(asked.kind) {
        patient::in_none(resource, asked)?;
    }
    index::bounded(prepared.rows.codings().chain(prepared.consent.iter().flat_map(Compiled::codings)))?;
    Ok(prepared)
}

/// The same of one that was kept, which may have more codes than what is new.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn prepare_again(
    resource: Node<'_, '_>,
    definitions: &Definitions,
    asked: Asked<'_>,
) -> Result<Prepared, Issues> {
    if resource.sort() != Sort::Object {
        return Err(Issue::new(Code::Json, "a resource is an object").into());
    }
    let named = resource.member("resourceType").and_then(Node::text);
    if named.as_deref() != Some(asked.kind.name()) {
        let text = format!("resourceType has to be {}", asked.kind);
        return Err(Issue::new(Code::OtherKind, text).at("resourceType").into());
    }
    let (references, nowhere) = walk::check(resource, definitions, asked)?;
    let patient = patient::of(resource, definitions, asked)?;
    let rows = index::rows(resource, definitions, asked);
    let is_consent = asked.kind == Kind::CONSENT;
    let consent = if is_consent { Some(consent::compile(resource, asked.bases)?) } else { None };
    let tail = tail(resource, asked.mark);
    Ok(Prepared {
        kind: asked.kind,
        tail,
        rows,
        references,
        nowhere,
        patient,
        consent,
        subscriber: None,
        named: Vec::new(),
        origin: None,
    })
}

/// What a resource as it is kept is found by; `None` if it cannot be read.
pub(crate) fn rows_of(kind: Kind, body: &[u8], bases: &[String]) -> Option<IndexRows> {
    let document = Document::read(body, &kept()).ok()?;
    Some(index::rows(document.root(), Definitions::r4(), Asked { kind, bases, mark: None }))
}

/// What a resource as it is kept refers to here; nothing if it cannot be read.
pub(crate) fn references_of(kind: Kind, body: &[u8], bases: &[String]) -> Vec<Needed> {
    let Ok(document) = Document::read(body, &kept()) else { return Vec::new() };
    let walked = walk::check(document.root(), Definitions::r4(), Asked { kind, bases, mark: None });
    walked.map(|(references, _)| references).unwrap_or_default()
}

/// What a resource costs that is kept: what was taken at the bound has a few bytes more since.
pub(crate) const fn kept() -> Limits {
    let taken = Limits::BUNDLE;
    Limits { bytes: taken.bytes * 2, nodes: taken.nodes * 2, members: taken.members * 2, ..taken }
}

/// What is kept of a resource that we make ourselves, and what it is found by; `None` if it cannot be read.
pub(crate) fn unchecked(kind: Kind, source: &[u8], mark: Option<&'static str>) -> Option<(Vec<u8>, IndexRows)> {
    let document = Document::read(source, &Limits::RESOURCE).ok()?;
    let rows = index::rows(document.root(), Definitions::r4(), Asked { kind, bases: &[], mark });
    Some((tail(document.root(), mark), rows))
}

/// The members that the store knows better than their author.
const OURS: [&str; 4] = ["versionId", "_versionId", "lastUpdated", "_lastUpdated"];

/// A resource as it is given out: what the store knows, and the rest as its author wrote it.
#[must_use]
pub fn body(kind: Kind, id: &Id, version: u32, updated: &str, tail: &[u8]) -> Vec<u8> {
    let head = format!(
        "{{\"resourceType\":\"{kind}\",\"id\":\"{id}\",\"meta\":{{\"versionId\":\"{version}\",\"lastUpdated\":\"{updated}\""
    );
    [head.as_bytes(), tail].concat()
}

/// The rest: what follows `lastUpdated` in `meta`, and all other members.
fn tail(resource: Node<'_, '_>, mark: Option<&str>) -> Vec<u8> {
    let mut out = Vec::with_capacity(resource.source().len());
    let meta = resource.member("meta");
    let others =
        meta.iter().flat_map(|meta| meta.members()).filter(|(name, _)| !OURS.contains(&name.as_ref()) && name != "tag");
    for (name, value) in others {
        out.push(b',');
        json::member(&name, &mut out);
        json::minified(value, &mut out);
    }
    tags(meta.and_then(|meta| meta.member("tag")), mark, &mut out);
    out.push(b'}');
    for (name, value) in
        resource.members().filter(|(name, _)| !["resourceType", "id", "_id", "meta"].contains(&name.as_ref()))
    {
        out.push(b',');
        json::member(&name, &mut out);
        json::minified(value, &mut out);
    }
    out.push(b'}');
    out
}

/// The tags that the author gave, but for those that only we give.
fn tags(given: Option<Node<'_, '_>>, mark: Option<&str>, out: &mut Vec<u8>) {
    let mut separator: &[u8] = b",\"tag\":[";
    for tag in given.iter().flat_map(|given| given.items()).filter(|tag| !is_ours(*tag)) {
        out.extend_from_slice(separator);
        json::minified(tag, out);
        separator = b",";
    }
    if let Some(mark) = mark {
        out.extend_from_slice(separator);
        out.extend_from_slice(b"{\"system\":");
        json::text(MARK_SYSTEM, out);
        out.extend_from_slice(b",\"code\":");
        json::text(mark, out);
        out.push(b'}');
        separator = b",";
    }
    if separator == b"," {
        out.push(b']');
    }
}

/// Whether a tag says how a device stood.
fn is_ours(tag: Node<'_, '_>) -> bool {
    tag.member("system").and_then(Node::text).as_deref() == Some(MARK_SYSTEM)
}

#[cfg(test)]
mod tests;
