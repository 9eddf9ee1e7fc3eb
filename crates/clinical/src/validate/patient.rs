//! Whose a resource is. One resource, one patient: one column of its row decides who may see it.

use super::Asked;
use crate::definitions::{Definitions, Owner, Parameter, ParameterId};
use crate::json::Node;
use crate::kind::{Id, Kind, Reference};
use crate::outcome::{Code, Issue, Issues};
use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::HashSet;

/// Whose a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatientOf {
    /// Nobody's.
    Nobody,
    /// It is a patient itself.
    Itself,
    /// This patient's.
    Patient(Id),
    /// That of the patient whose this device is.
    Device(Id),
}

/// What a reference says of a patient.
enum Said {
    Patient(Id),
    /// Perhaps a patient, and none of here.
    Elsewhere,
    NoPatient,
}

/// Whose this resource is.
pub(super) fn of(resource: Node<'_, '_>, definitions: &Definitions, asked: Asked<'_>) -> Result<PatientOf, Issues> {
    let parameter = |id: ParameterId| definitions.parameters.of(asked.kind).find(|parameter| parameter.id == id);
    let reader = Reader { resource, asked, patients_inside: OnceCell::new() };
    match definitions.owner(asked.kind) {
        Owner::Nobody => Ok(PatientOf::Nobody),
        Owner::Itself => Ok(PatientOf::Itself),
        Owner::Through(source) => {
            Ok(parameter(*source).and_then(|source| reader.device(source)).map_or(PatientOf::Nobody, PatientOf::Device))
        }
        Owner::Named { first, others } => {
            let first = parameter(*first).map_or(Ok(None), |first| reader.patient(first, true))?;
            for other in others.iter().filter_map(|id| parameter(*id)) {
                match (first, reader.patient(other, false)?) {
                    (_, None) => {}
                    (Some(first), Some(other)) if first == other => {}
                    (Some(_), Some(_)) => {
                        return Err(reader.issue(Code::OnePatient, other, "names another patient than it is about"));
                    }
                    (None, Some(_)) => {
                        return Err(reader.issue(
                            Code::PatientNotSubject,
                            other,
                            "names a patient, and it is about none",
                        ));
                    }
                }
            }
            Ok(first.map_or(PatientOf::Nobody, PatientOf::Patient))
        }
    }
}

/// A resource that is of nobody is read by everybody: it has no patient, in whatever extension, and in whatever is inside it.
pub(super) fn in_none(resource: Node<'_, '_>, asked: Asked<'_>) -> Result<(), Issues> {
    let Some(place) = place_of_one(resource, asked.bases) else { return Ok(()) };
    let text = format!("each {} is for everybody, and this one names a patient", asked.kind);
    let place = format!("{}{place}", asked.kind);
    Err(Issue::new(Code::PatientNotSubject, text).at(place).help("leave the patient out").into())
}

/// Where below a node there is a patient, or a reference to one. The depth of a document is bounded.
fn place_of_one(node: Node<'_, '_>, bases: &[String]) -> Option<String> {
    if is_of_one(node, bases) {
        return Some(String::new());
    }
    let item = |(place, item): (usize, _)| Some(format!("[{place}]{}", place_of_one(item, bases)?));
    let member = |(name, value): (Cow<'_, str>, _)| Some(format!(".{name}{}", place_of_one(value, bases)?));
    node.items().enumerate().find_map(item).or_else(|| node.members().find_map(member))
}

fn is_of_one(node: Node<'_, '_>, bases: &[String]) -> bool {
    let text = |name: &str| node.member(name).and_then(Node::text);
    let names = |name: &str| text(name).is_some_and(|named| named == "Patient" || named.ends_with("/Patient"));
    let reference = text("reference");
    let is_to_one = reference.as_deref().and_then(|text| Reference::read(text, bases)).is_some_and(|to| match to {
        Reference::Absolute(address) => address.split('/').any(|part| part == "Patient"),
        Reference::Local(..) | Reference::Nowhere(_) | Reference::Unserved(..) | Reference::Contained(_) => {
            to.kind_name() == Some(Kind::PATIENT.name())
        }
    });
    let is_reference = reference.is_some() || node.member("identifier").is_some();
    is_to_one || is_reference && names("type") || names("resourceType")
}

struct Reader<'r, 'd, 'a> {
    resource: Node<'d, 'a>,
    asked: Asked<'r>,
    /// The identifiers of contained Patients, when they are asked for.
    patients_inside: OnceCell<HashSet<Cow<'a, str>>>,
}

impl<'d, 'a> Reader<'_, 'd, 'a> {
    fn issue(&self, code: Code, parameter: &Parameter, what: &str) -> Issues {
        Issue::new(code, format!("{} {what}", parameter.name))
            .at(format!("{}.{}", self.asked.kind, parameter.name))
            .into()
    }

    /// The one patient whom a parameter names. The one that decides names no patient who may be somewhere else.
    fn patient(&self, parameter: &Parameter, decides: bool) -> Result<Option<Id>, Issues> {
        let (mut named, mut two, mut elsewhere) = (None, false, false);
        self.each(parameter, &mut |node| match self.said(node) {
            Said::Patient(id) => two |= named.replace(id).is_some_and(|before| before != id),
            Said::Elsewhere => elsewhere = true,
            Said::NoPatient => {}
        });
        if two {
            return Err(self.issue(Code::OnePatient, parameter, "names two patients"));
        }
        if decides && elsewhere {
            return Err(self.issue(Code::PatientElsewhere, parameter, "may be a patient who is not here"));
        }
        Ok(named)
    }

    fn device(&self, parameter: &Parameter) -> Option<Id> {
        let mut found = None;
        self.each(parameter, &mut |node| {
            let text = node.member("reference").and_then(Node::text).unwrap_or_default();
            if let Some(Reference::Local(Kind::DEVICE, id, _)) = Reference::read(&text, self.asked.bases) {
                found.get_or_insert(id);
            }
        });
        found
    }

    /// Each reference at the paths of a parameter, whatever it is to.
    fn each(&self, parameter: &Parameter, take: &mut dyn FnMut(Node<'_, '_>)) {
        for path in &parameter.paths {
            path.each_without_last_condition(self.resource, self.asked.bases, &mut |value| take(value.node));
        }
    }

    fn said(&self, node: Node<'_, '_>) -> Said {
        let said_type = node.member("type").and_then(Node::text);
        let may_be = said_type.as_deref().is_none_or(|said| said == "Patient" || said.ends_with("/Patient"));
        let unknown = if may_be { Said::Elsewhere } else { Said::NoPatient };
        let Some(text) = node.member("reference").and_then(Node::text) else {
            // An identifier alone; a text alone names nobody.
            return if node.member("identifier").is_some() { unknown } else { Said::NoPatient };
        };
        match Reference::read(&text, self.asked.bases) {
            Some(Reference::Local(Kind::PATIENT, id, _)) => Said::Patient(id),
            Some(Reference::Nowhere(Kind::PATIENT)) => Said::Elsewhere,
            Some(Reference::Local(..) | Reference::Nowhere(_) | Reference::Unserved(..)) | None => Said::NoPatient,
            Some(Reference::Absolute(_)) => unknown,
            Some(Reference::Contained(inside)) => {
                let patients = self.patients_inside.get_or_init(|| patients_inside(self.resource));
                if patients.contains(inside) { Said::Elsewhere } else { Said::NoPatient }
            }
        }
    }
}

fn patients_inside<'a>(resource: Node<'_, 'a>) -> HashSet<Cow<'a, str>> {
    let contained = resource.member("contained");
    let all = contained.iter().flat_map(|contained| contained.items());
    let text = |one: Node<'_, 'a>, name: &str| one.member(name).and_then(Node::text);
    all.filter(|one| text(*one, "resourceType").as_deref() == Some("Patient"))
        .filter_map(|one| text(one, "id"))
        .collect()
}
