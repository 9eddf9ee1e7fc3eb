//! FHIR R4 as data: what each type consists of, which codes are allowed, how each kind is searched, whose a resource is.
//!
//! The tables beside this file are made by `cargo xtask generate` of the published definitions, and read once at start.

mod codes;
mod compartment;
mod elements;
mod parameters;
mod path;

pub use codes::{Binding, Codes};
pub use compartment::Owner;
pub use elements::{Element, Elements, Member, Primitive, Shape, ShapeId, Type};
pub use parameters::{Column, Parameter, ParameterId, Parameters, Place, SearchType};
pub use path::{Path, Value};

use crate::kind::Kind;
use std::sync::LazyLock;

/// All tables.
#[derive(Debug)]
pub struct Definitions {
    /// What each type consists of.
    pub elements: Elements,
    /// Which codes are allowed.
    pub codes: Codes,
    /// How each kind is searched.
    pub parameters: Parameters,
    owners: Vec<Owner>,
}

impl Definitions {
    /// FHIR R4 (4.0.1).
    #[must_use]
    pub fn r4() -> &'static Self {
        static TABLES: LazyLock<Definitions> = LazyLock::new(|| {
            let codes = Codes::read(include_str!("r4/codes.tsv"));
            let elements = Elements::read(include_str!("r4/elements.tsv"), &codes);
            let parameters = Parameters::read(include_str!("r4/parameters.tsv"), &elements);
            let owners = compartment::read(include_str!("r4/compartment.tsv"), &parameters);
            Definitions { elements, codes, parameters, owners }
        });
        &TABLES
    }

    /// How it is told whose a resource of this kind is.
    #[must_use]
    pub fn owner(&self, kind: Kind) -> &Owner {
        self.owners.get(usize::from(kind.number())).unwrap_or(&Owner::Nobody)
    }

    /// Whether no resource of this kind is a patient's: everybody reads it who reads the kind.
    #[must_use]
    pub fn is_of_nobody(&self, kind: Kind) -> bool {
        matches!(self.owner(kind), Owner::Nobody)
    }
}

/// The lines of a table, each cut at its tabulators; without those that say where it is from.
fn lines(table: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| line.split('\t').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-GEN-01.
    #[test]
    fn the_tables_are_read_whole() {
        let definitions = Definitions::r4();
        for kind in Kind::all() {
            let shape = definitions.elements.named(kind.name()).expect("a resource");
            assert!(definitions.elements.shape(shape).members().len() > 5, "{kind}");
        }
        let element = |shape: &str, member: &str| {
            let shape = definitions.elements.shape(definitions.elements.named(shape).expect(shape));
            shape.member(member).map(|member| (shape.element(member).min, shape.element(member).many, member.of))
        };
        assert_eq!(element("Observation", "status"), Some((1, false, Type::Primitive(Primitive::Code))));
        assert_eq!(element("Observation", "effectiveInstant"), Some((0, false, Type::Primitive(Primitive::Instant))));
        assert!(element("Observation", "effectiveQuantity").is_none() && element("Observation", "effective").is_none());
        assert!(matches!(element("Observation", "contained"), Some((0, true, Type::Resource))));
        assert!(element("Observation.component", "modifierExtension").is_some());
        assert!(element("Extension", "valueDosage").is_some(), "an extension has any type");
        assert!(
            definitions.codes.has("observation-status", "final")
                && !definitions.codes.has("observation-status", "Final")
        );
        assert!(matches!(definitions.owner(Kind::PATIENT), Owner::Itself));
        assert!(matches!(definitions.owner(Kind::OBSERVATION), Owner::Named { .. }));
        assert!(matches!(definitions.owner(Kind::DEVICE_METRIC), Owner::Through(_)));
    }
}
