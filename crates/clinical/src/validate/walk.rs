//! Document and definitions, walked together.

use super::{Asked, Needed, invariant, narrative, primitive};
use crate::definitions::{Binding, Definitions, Element, Member, Primitive, Shape, ShapeId, Type};
use crate::json::{Node, Sort};
use crate::kind::{Kind, Reference};
use crate::outcome::{Code, Issue, Issues};
use std::borrow::Cow;

/// Checks the whole resource; what it refers to here, and what it calls as entries of a Bundle are called.
pub(super) fn check(
    resource: Node<'_, '_>,
    definitions: &Definitions,
    asked: Asked<'_>,
) -> Result<(Vec<Needed>, Issues), Issues> {
    let mut walk = Walk {
        definitions,
        asked,
        path: Vec::new(),
        issues: Issues::default(),
        needed: Vec::new(),
        nowhere: Issues::default(),
        contained: false,
    };
    walk.resource(resource);
    invariant::of_contained(resource, &mut |text| walk.issue(Code::Invariant, text));
    walk.issues.settled()?;
    Ok((walk.needed, walk.nowhere))
}

/// So many codes of a value set are named to who wrote another one.
const TOLD: usize = 16;

struct Walk<'w> {
    definitions: &'w Definitions,
    asked: Asked<'w>,
    path: Vec<(String, Option<usize>)>,
    issues: Issues,
    needed: Vec<Needed>,
    nowhere: Issues,
    /// Whether this is inside a contained resource.
    contained: bool,
}

impl Walk<'_> {
    fn issue(&mut self, code: Code, text: impl Into<Cow<'static, str>>) {
        let expression = self.expression("");
        self.issues.add(Issue::new(code, text).at(expression));
    }

    /// The present element in FHIRPath, and a member of it.
    fn expression(&self, member: &str) -> String {
        let mut out = String::new();
        for (name, place) in &self.path {
            if !out.is_empty() {
                out.push('.');
            }
            out.push_str(name);
            if let Some(place) = place {
                out.push_str(&format!("[{place}]"));
            }
        }
        if !member.is_empty() {
            out.push('.');
            out.push_str(member);
        }
        out
    }

    /// A resource: the one that was sent, or one inside it.
    fn resource(&mut self, node: Node<'_, '_>) {
        let name = node.member("resourceType").and_then(Node::text).unwrap_or_default();
        if let Some(shape) = self.definitions.elements.named(&name).filter(|_| Kind::named(&name).is_some()) {
            let outer = self.path.is_empty();
            if outer {
                self.path.push((name.into_owned(), None));
            }
            self.object(node, shape, true);
            if outer {
                self.path.pop();
            }
        } else if name.is_empty() || node.member("id").and_then(Node::text).is_none() {
            self.issue(Code::Type, "a resource in another one has a resourceType and an id");
        }
    }

    fn object(&mut self, node: Node<'_, '_>, id: ShapeId, resource: bool) {
        let shape = self.definitions.elements.shape(id);
        if node.sort() != Sort::Object {
            return self.issue(Code::Type, format!("{} is an object, and this is {}", shape.name, node.sort().name()));
        }
        let mut seen: Vec<Option<Cow<'_, str>>> = vec![None; shape.elements().len()];
        let mut any = false;
        for (name, value) in node.members() {
            if self.issues.are_full() {
                return;
            }
            if resource && name == "resourceType" {
                continue;
            }
            any = true;
            let plain = name.strip_prefix('_').unwrap_or(&name);
            let Some(member) =
                shape.member(plain).filter(|member| plain == name || matches!(member.of, Type::Primitive(_)))
            else {
                let expression = self.expression(&name);
                let text = format!("{} has no element {name}", shape.name);
                self.issues.add(Issue::new(Code::UnknownElement, text).at(expression));
                continue;
            };
            let element = shape.element(member);
            let place = shape.place(member);
            if let Some(Some(other)) = seen.get(place)
                && other != plain
            {
                let text = format!("{}[x] stands once, and {other} is there already", element.name);
                self.issue(Code::Cardinality, text);
            }
            if let Some(slot) = seen.get_mut(place) {
                *slot = Some(Cow::Owned(plain.to_owned()));
            }
            self.member(&name, value, element, member, node);
        }
        if !any && !resource {
            return self.issue(Code::Invariant, "ele-1: an element has a value or elements");
        }
        for (element, _) in
            shape.elements().iter().zip(&seen).filter(|(element, seen)| element.min > 0 && seen.is_none())
        {
            let expression = self.expression(element.name);
            self.issues.add(Issue::new(Code::Cardinality, format!("{} is missing", element.name)).at(expression));
        }
        self.rules(shape, node);
    }

    fn rules(&mut self, shape: &Shape, node: Node<'_, '_>) {
        if shape.name == "Narrative"
            && let Some(div) = node.member("div").and_then(Node::text)
            && let Err(why) = narrative::check(&div)
        {
            let expression = self.expression("div");
            self.issues.add(Issue::new(Code::Value, why).at(expression));
        }
        let mut broken = Vec::new();
        invariant::check(shape.name, node, &mut |rule| broken.push(rule));
        for rule in broken {
            self.issue(Code::Invariant, rule);
        }
    }

    /// A member: one value, or a list of them. `name` may be that of what is said beside a primitive value.
    fn member(&mut self, name: &str, value: Node<'_, '_>, element: &Element, member: &Member, parent: Node<'_, '_>) {
        self.path.push((name.to_owned(), None));
        match (element.many, value.sort()) {
            (true, Sort::Array) => {
                if value.items().next().is_none() {
                    self.issue(Code::Cardinality, "a list is not empty: leave it out instead");
                }
                let mut beside = partner(name, parent).map(Node::items);
                for (place, item) in value.items().enumerate() {
                    if let Some(last) = self.path.last_mut() {
                        last.1 = Some(place);
                    }
                    // A value may be absent where something is said beside it, and the other way round.
                    let other = beside.as_mut().and_then(Iterator::next);
                    if item.sort() != Sort::Null || other.is_none_or(|other| other.sort() == Sort::Null) {
                        self.value(name, item, element, member);
                    }
                }
            }
            (true, _) => self.issue(Code::Cardinality, format!("{name} is a list")),
            (false, Sort::Array) => self.issue(Code::Cardinality, format!("{name} is one value and no list")),
            (false, _) => self.value(name, value, element, member),
        }
        self.path.pop();
    }

    fn value(&mut self, name: &str, node: Node<'_, '_>, element: &Element, member: &Member) {
        if name.starts_with('_') {
            return match self.definitions.elements.named("Element") {
                Some(shape) => self.object(node, shape, false),
                None => self.issue(Code::Type, "nothing is said beside values"),
            };
        }
        match member.of {
            Type::Primitive(of) => self.primitive(of, node, element),
            Type::Resource => {
                if self.contained {
                    return self.issue(Code::Invariant, "dom-2: a contained resource contains none itself");
                }
                self.contained = true;
                self.resource(node);
                self.contained = false;
            }
            Type::Shape(shape) => {
                self.object(node, shape, false);
                if self.definitions.elements.shape(shape).name == "Reference" {
                    self.reference(node, element);
                }
            }
        }
    }

    fn primitive(&mut self, of: Primitive, node: Node<'_, '_>, element: &Element) {
        if let Err(what) = primitive::check(of, node) {
            return self.issue(Code::Value, format!("{} has to be {what}", of.name()));
        }
        if let (Some(binding), Some(code)) = (element.binding, node.text())
            && !self.definitions.codes.allow(binding, &code)
        {
            let codes = match binding {
                Binding::Listed(set) => self.definitions.codes.of(set),
                Binding::MediaType | Binding::Currency => &[],
            };
            let expression = self.expression("");
            let issue = Issue::new(Code::Binding, format!("{code:?} is not {binding}")).at(expression);
            let some = (1..=TOLD).contains(&codes.len());
            self.issues.add(if some { issue.help(format!("use one of {}", codes.join(", "))) } else { issue });
        }
    }

    fn reference(&mut self, node: Node<'_, '_>, element: &Element) {
        let Some(text) = node.member("reference").and_then(Node::text) else { return };
        let Some(to) = Reference::read(&text, self.asked.bases) else {
            return self.issue(Code::ReferenceTarget, format!("{text:?} is no reference"));
        };
        if let Some(kind) = to.kind_name()
            && !element.targets.is_empty()
            && !element.targets.contains(&kind)
        {
            return self.issue(
                Code::ReferenceTarget,
                format!("{} is not to {kind}, but to {}", element.name, element.targets.join(", ")),
            );
        }
        match to {
            Reference::Local(kind, id, _) => {
                self.needed.push(Needed { kind, id, expression: self.expression("reference") });
            }
            Reference::Nowhere(kind) => {
                // Told as what is looked for and not seen, letter by letter.
                let text = format!("there is no such {kind}");
                let place = self.expression("reference");
                self.issues.add(Issue::new(Code::Reference, text).at(place));
            }
            // A name of an entry in the same Bundle (FHIR R4, Bundle, section 2.36.4.1): those that are there have their own by now.
            Reference::Absolute(name) if name.starts_with("urn:uuid:") || name.starts_with("urn:oid:") => {
                let place = self.expression("reference");
                self.nowhere.add(Issue::new(Code::Reference, format!("no entry beside it is {name}")).at(place));
            }
            Reference::Unserved(..) | Reference::Contained(_) | Reference::Absolute(_) => {}
        }
    }
}

/// The list beside a list of primitive values.
fn partner<'d, 'a>(name: &str, parent: Node<'d, 'a>) -> Option<Node<'d, 'a>> {
    match name.strip_prefix('_') {
        Some(plain) => parent.member(plain),
        None => parent.member(&format!("_{name}")),
    }
}
