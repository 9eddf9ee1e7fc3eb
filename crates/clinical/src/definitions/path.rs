//! The paths of search parameters: a small part of FHIRPath, compiled against the elements.
//!
//! `a.b`, `a as Type`, `a.where(system='x')`, `a.where(resolve() is Kind)`.

use super::elements::{Elements, ShapeId, Type};
use crate::json::{Node, Sort};
use crate::kind::{Kind, Reference};

/// Where the values of a parameter are in a resource.
#[derive(Debug)]
pub struct Path(Vec<Step>);

#[derive(Debug)]
struct Step {
    /// The members one of which is there, with what they hold.
    members: Vec<(Box<str>, Type)>,
    condition: Condition,
}

#[derive(Debug)]
enum Condition {
    Always,
    /// Its member has this text.
    Has(&'static str, &'static str),
    /// It is a reference to this kind.
    IsTo(Kind),
}

/// A value at the end of a path, and of what type it is.
#[derive(Clone, Copy, Debug)]
pub struct Value<'d, 'a> {
    /// The value.
    pub node: Node<'d, 'a>,
    /// Of what type.
    pub of: Type,
    /// In which item of the first array on the way, from 1; 0 without one.
    pub part: u32,
}

impl Path {
    /// Compiles `text` for resources of `shape`; `None` if the elements have no such path.
    pub(super) fn read(text: &'static str, shape: ShapeId, elements: &Elements) -> Option<Self> {
        let mut steps: Vec<Step> = Vec::new();
        let mut rest = text;
        let mut shapes = vec![shape];
        while !rest.is_empty() {
            if let Some(condition) = rest.strip_prefix("where(") {
                // `resolve()` has brackets of its own.
                let end = condition.rfind(')')?;
                steps.last_mut()?.condition = Condition::read(condition.get(..end)?)?;
                rest = condition.get(end + 1..)?.trim_start_matches('.');
                continue;
            }
            let (step, after) = rest.split_once('.').unwrap_or((rest, ""));
            let (name, only) = step.split_once(" as ").map_or((step, None), |(name, only)| (name, Some(only)));
            let members: Vec<_> = shapes.iter().flat_map(|shape| members_of(*shape, name, only, elements)).collect();
            shapes = members
                .iter()
                .filter_map(|(_, of)| if let Type::Shape(shape) = of { Some(*shape) } else { None })
                .collect();
            steps.push(Step { members, condition: Condition::Always });
            steps.last().filter(|step| !step.members.is_empty())?;
            rest = after;
        }
        (!steps.is_empty()).then_some(Self(steps))
    }

    /// The types its values may have.
    pub fn types(&self) -> impl Iterator<Item = Type> + '_ {
        self.0.last().into_iter().flat_map(|step| step.members.iter().map(|(_, of)| *of))
    }

    /// Hands each value in `resource` to `take`. `bases` are the addresses under which references are local.
    pub fn each<'d, 'a>(&self, resource: Node<'d, 'a>, bases: &[String], take: &mut dyn FnMut(Value<'d, 'a>)) {
        walk(&self.0, resource, 0, (bases, true), take);
    }

    /// The same, whatever a condition at its end says: all references, also those that lead elsewhere.
    pub fn each_without_last_condition<'d, 'a>(
        &self,
        resource: Node<'d, 'a>,
        bases: &[String],
        take: &mut dyn FnMut(Value<'d, 'a>),
    ) {
        walk(&self.0, resource, 0, (bases, false), take);
    }
}

fn walk<'d, 'a>(
    steps: &[Step],
    node: Node<'d, 'a>,
    part: u32,
    (bases, to_the_end): (&[String], bool),
    take: &mut dyn FnMut(Value<'d, 'a>),
) {
    let Some((step, rest)) = steps.split_first() else { return };
    for (name, of) in &step.members {
        let Some(member) = node.member(name) else { continue };
        let mut one = |item: Node<'d, 'a>, part: u32| {
            let asked = to_the_end || !rest.is_empty();
            if asked && !step.condition.holds(item, bases) {
                return;
            }
            if rest.is_empty() {
                take(Value { node: item, of: *of, part });
            } else {
                walk(rest, item, part, (bases, to_the_end), take);
            }
        };
        if member.sort() == Sort::Array {
            for (item, number) in member.items().zip(1..) {
                one(item, if part == 0 { number } else { part });
            }
        } else {
            one(member, part);
        }
    }
}

impl Condition {
    fn read(text: &'static str) -> Option<Self> {
        if let Some(kind) = text.strip_prefix("resolve() is ") {
            return Kind::named(kind).map(Self::IsTo);
        }
        let (member, value) = text.split_once('=')?;
        Some(Self::Has(member, value.strip_prefix('\'')?.strip_suffix('\'')?))
    }

    fn holds(&self, node: Node<'_, '_>, bases: &[String]) -> bool {
        let text = |member: &str| node.member(member).and_then(Node::text);
        match self {
            Self::Always => true,
            Self::Has(member, value) => text(member).as_deref() == Some(*value),
            Self::IsTo(kind) => {
                let to = text("reference");
                let to = to.as_deref().and_then(|to| Reference::read(to, bases));
                to.and_then(|to| to.kind_name()) == Some(kind.name())
            }
        }
    }
}

/// The members in which the element `name` of `shape` may stand.
fn members_of(shape: ShapeId, name: &str, only: Option<&str>, elements: &Elements) -> Vec<(Box<str>, Type)> {
    let shape = elements.shape(shape);
    let is_of = |of: Type| match (only, of) {
        (None, _) => true,
        (Some(only), Type::Primitive(primitive)) => primitive.name() == only,
        (Some(only), Type::Shape(shape)) => elements.shape(shape).name == only,
        (Some(_), Type::Resource) => false,
    };
    let found = shape.members().iter().filter(|member| shape.element(member).name == name && is_of(member.of));
    found.map(|member| (member.name.clone(), member.of)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Definitions;
    use super::*;
    use crate::json::{Document, Limits};

    fn values(kind: &str, path: &'static str, source: &str) -> Vec<(String, u32)> {
        let elements = &Definitions::r4().elements;
        let path = Path::read(path, elements.named(kind).expect(kind), elements).expect(path);
        let document = Document::read(source.as_bytes(), &Limits::RESOURCE).expect("JSON");
        let mut found = Vec::new();
        path.each(document.root(), &[], &mut |value| found.push((value.node.source().to_owned(), value.part)));
        found
    }

    #[test]
    fn paths_find_values_and_the_part_they_are_in() {
        let source = r#"{"valueString":"x","component":[{"valueInteger":1},{"valueInteger":2}],
            "subject":{"reference":"Patient/1"},"telecom":[{"system":"phone","value":"1"},{"system":"email","value":"2"}]}"#;
        assert_eq!(values("Observation", "value as string", source), [("x".into(), 0)]);
        assert_eq!(values("Observation", "value as Quantity", source), []);
        assert_eq!(values("Observation", "component.value", source), [("1".into(), 1), ("2".into(), 2)]);
        assert_eq!(values("Observation", "subject.where(resolve() is Patient).reference", source).len(), 1);
        assert_eq!(values("Observation", "subject.where(resolve() is Device)", source), []);
        assert_eq!(values("Patient", "telecom.where(system='email').value", source), [("2".into(), 2)]);
    }

    #[test]
    fn what_the_elements_do_not_have_is_no_path() {
        let elements = &Definitions::r4().elements;
        let patient = elements.named("Patient").expect("Patient");
        for no in ["", "nothing", "name.nothing", "name as string", "name.exists()"] {
            assert!(Path::read(no, patient, elements).is_none(), "{no}");
        }
    }
}
