//! What each type consists of.

use super::codes::{Binding, Codes};
use super::lines;
use std::collections::{BTreeMap, HashMap};

/// The primitive types of R4 (section 2.24.0.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what FHIR calls so")]
pub enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

impl Primitive {
    const NAMES: [(Self, &'static str); 20] = [
        (Self::Base64Binary, "base64Binary"),
        (Self::Boolean, "boolean"),
        (Self::Canonical, "canonical"),
        (Self::Code, "code"),
        (Self::Date, "date"),
        (Self::DateTime, "dateTime"),
        (Self::Decimal, "decimal"),
        (Self::Id, "id"),
        (Self::Instant, "instant"),
        (Self::Integer, "integer"),
        (Self::Markdown, "markdown"),
        (Self::Oid, "oid"),
        (Self::PositiveInt, "positiveInt"),
        (Self::String, "string"),
        (Self::Time, "time"),
        (Self::UnsignedInt, "unsignedInt"),
        (Self::Uri, "uri"),
        (Self::Url, "url"),
        (Self::Uuid, "uuid"),
        (Self::Xhtml, "xhtml"),
    ];

    fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(_, own)| *own == name).map(|(primitive, _)| *primitive)
    }

    /// Its name in FHIR.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(own, _)| *own == self).map_or("", |(_, name)| name)
    }
}

/// The number of a shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ShapeId(u16);

/// What a member holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text, number or flag.
    Primitive(Primitive),
    /// An object with members of its own.
    Shape(ShapeId),
    /// A whole resource.
    Resource,
}

/// An element of a shape.
#[derive(Debug)]
pub struct Element {
    /// Its name, `value[x]` without brackets.
    pub name: &'static str,
    /// How often it stands there at least.
    pub min: u8,
    /// Whether it is an array.
    pub many: bool,
    /// What the reference may be to; empty: anything.
    pub targets: Vec<&'static str>,
    /// What its code has to be.
    pub binding: Option<Binding>,
}

/// A member as it stands in JSON: one for each type of an element.
#[derive(Debug)]
pub struct Member {
    /// Its name: `valueQuantity`.
    pub name: Box<str>,
    /// What it holds.
    pub of: Type,
    element: u16,
}

/// A type with members: a resource, a data type, or a part of such.
#[derive(Debug)]
pub struct Shape {
    /// `Observation`, `Quantity`, `Observation.component`.
    pub name: &'static str,
    elements: Vec<Element>,
    /// Sorted by name.
    members: Vec<Member>,
}

impl Shape {
    /// The member with this name.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<&Member> {
        let place = self.members.binary_search_by(|member| member.name.as_ref().cmp(name)).ok()?;
        self.members.get(place)
    }

    /// All members, by name.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// All elements.
    #[must_use]
    pub fn elements(&self) -> &[Element] {
        &self.elements
    }

    /// The element of which this is a member, a member of this shape.
    #[must_use]
    pub fn element(&self, member: &Member) -> &Element {
        &self.elements[usize::from(member.element)]
    }

    /// The number of the element of which this is a member.
    #[must_use]
    pub fn place(&self, member: &Member) -> usize {
        usize::from(member.element)
    }
}

/// All shapes.
#[derive(Debug)]
pub struct Elements {
    shapes: Vec<Shape>,
    names: HashMap<&'static str, ShapeId>,
}

/// A shape as its lines say it.
struct Draft {
    base: &'static str,
    lines: Vec<Vec<&'static str>>,
}

impl Elements {
    /// Reads the table; what it says wrongly is a mistake of ours, which tests find.
    pub(super) fn read(table: &'static str, codes: &Codes) -> Self {
        let mut drafts: BTreeMap<&'static str, Draft> = BTreeMap::new();
        let (mut open, mut current) = ("", "");
        for line in lines(table) {
            match line.as_slice() {
                ["*", types] => open = types,
                [head, base] if head.starts_with("= ") => {
                    current = head.trim_start_matches("= ");
                    drafts.insert(current, Draft { base, lines: Vec::new() });
                }
                _ => {
                    if let Some(draft) = drafts.get_mut(current) {
                        draft.lines.push(line);
                    }
                }
            }
        }
        let numbered = drafts.keys().zip(0..).map(|(name, number)| (*name, ShapeId(number)));
        let names: HashMap<&'static str, ShapeId> = numbered.collect();
        let reading = Reading { drafts: &drafts, names: &names, open, codes };
        let shapes = drafts.keys().map(|name| reading.shape(name)).collect();
        Self { shapes, names }
    }

    /// The shape with this name.
    #[must_use]
    pub fn named(&self, name: &str) -> Option<ShapeId> {
        self.names.get(name).copied()
    }

    /// A shape.
    #[must_use]
    pub fn shape(&self, id: ShapeId) -> &Shape {
        &self.shapes[usize::from(id.0)]
    }
}

struct Reading<'t> {
    drafts: &'t BTreeMap<&'static str, Draft>,
    names: &'t HashMap<&'static str, ShapeId>,
    open: &'static str,
    codes: &'t Codes,
}

impl Reading<'_> {
    fn shape(&self, name: &'static str) -> Shape {
        let mut shape = Shape { name, elements: Vec::new(), members: Vec::new() };
        let mut of = name;
        while let Some(draft) = self.drafts.get(of) {
            for line in &draft.lines {
                self.element(line, &mut shape);
            }
            of = draft.base;
        }
        shape.members.sort_by(|a, b| a.name.cmp(&b.name));
        shape
    }

    fn element(&self, line: &[&'static str], shape: &mut Shape) {
        let [name, range, types, rest @ ..] = line else { return };
        let (name, choice) = name.strip_suffix("[x]").map_or((*name, false), |name| (name, true));
        let number = u16::try_from(shape.elements.len()).unwrap_or(u16::MAX);
        let mut targets = Vec::new();
        let types = if *types == "*" { self.open } else { types };
        for one in types.split(' ') {
            let (of, to) = one.split_once('(').unwrap_or((one, ""));
            targets.extend(to.trim_end_matches(')').split('|').filter(|target| !target.is_empty()));
            let Some(of) = self.kind_of(of) else { continue };
            let name = if choice { with_type(name, one.split('(').next().unwrap_or(one)) } else { name.into() };
            shape.members.push(Member { name, of, element: number });
        }
        let (min, max) = range.split_once("..").unwrap_or(("0", "1"));
        let binding = rest.first().and_then(|set| self.codes.binding(set.trim_start_matches('!')));
        let min = min.parse().unwrap_or_default();
        shape.elements.push(Element { name, min, many: max != "1", targets, binding });
    }

    fn kind_of(&self, name: &'static str) -> Option<Type> {
        if name == "Resource" {
            return Some(Type::Resource);
        }
        let shape = || self.names.get(name.trim_start_matches('#')).copied().map(Type::Shape);
        Primitive::named(name).map(Type::Primitive).or_else(shape)
    }
}

/// `value` and `dateTime`: `valueDateTime`.
fn with_type(name: &str, of: &str) -> Box<str> {
    let mut letters = of.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    name.chars().chain(first).chain(letters).collect::<String>().into()
}
