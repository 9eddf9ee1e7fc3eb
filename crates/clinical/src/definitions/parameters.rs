//! How each kind is searched.

use super::elements::Elements;
use super::lines;
use super::path::Path;
use crate::kind::Kind;

/// The number of a parameter: rows of the index name it. It is the number of its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParameterId(u16);

impl ParameterId {
    /// Its number in the store.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// The types of search parameters (FHIR R4, section 3.1.1.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "they are what FHIR calls so")]
pub enum SearchType {
    Token,
    Reference,
    Date,
    Quantity,
    Uri,
    String,
    Composite,
}

impl SearchType {
    const NAMES: [(Self, &'static str); 7] = [
        (Self::Token, "token"),
        (Self::Reference, "reference"),
        (Self::Date, "date"),
        (Self::Quantity, "quantity"),
        (Self::Uri, "uri"),
        (Self::String, "string"),
        (Self::Composite, "composite"),
    ];

    /// Its name in FHIR.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.iter().find(|(own, _)| *own == self).map_or("", |(_, name)| name)
    }
}

/// A column of codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column(u8);

impl Column {
    /// How many there are.
    pub const COUNT: usize = 4;

    /// Its number, from 0.
    #[must_use]
    pub fn number(self) -> usize {
        usize::from(self.0)
    }

    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        ["c0", "c1", "c2", "c3"].get(self.number()).copied().unwrap_or("c3")
    }
}

/// Where the values of a parameter are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Codes in a column of the row.
    Column(Column),
    /// The principal date of the row.
    At,
    /// The patient of the row.
    Patient,
    /// The patient of the row; other targets as links.
    Subject,
    /// Codes beside the row.
    Mark,
    /// Dates beside the row.
    Span,
    /// Measured values.
    Quantity,
    /// References to rows.
    Link,
    /// Identifiers and addresses, as text.
    Ident,
    /// Words.
    Word,
    /// Nowhere: it asks for either of two others.
    Either,
    /// Nowhere: it asks for two others in the same part.
    Parts,
}

impl Place {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "c0" => Self::Column(Column(0)),
            "c1" => Self::Column(Column(1)),
            "c2" => Self::Column(Column(2)),
            "c3" => Self::Column(Column(3)),
            "at" => Self::At,
            "patient" => Self::Patient,
            "subject" => Self::Subject,
            "mark" => Self::Mark,
            "span" => Self::Span,
            "quantity" => Self::Quantity,
            "link" => Self::Link,
            "ident" => Self::Ident,
            "word" => Self::Word,
            "either" => Self::Either,
            "parts" => Self::Parts,
            _ => return None,
        })
    }
}

/// A search parameter of a kind.
#[derive(Debug)]
pub struct Parameter {
    /// Its number.
    pub id: ParameterId,
    /// Of which kind; `None`: of each.
    pub kind: Option<Kind>,
    /// Its name.
    pub name: &'static str,
    /// Its type.
    pub sort: SearchType,
    /// Where its values are kept.
    pub place: Place,
    /// Where they stand in a resource.
    pub paths: Vec<Path>,
    /// The kinds a reference may be to; the parameters that are its parts.
    pub names: Vec<&'static str>,
}

impl Parameter {
    /// The kind a reference is to, where only one is possible.
    #[must_use]
    pub fn only_target(&self) -> Option<Kind> {
        match self.names.as_slice() {
            [one] => Kind::named(one),
            _ => None,
        }
    }
}

/// All search parameters.
#[derive(Debug)]
pub struct Parameters(Vec<Parameter>);

impl Parameters {
    /// Reads the table; what it says wrongly is a mistake of ours, which tests find.
    pub(super) fn read(table: &'static str, elements: &Elements) -> Self {
        let mut all = Vec::new();
        for (line, number) in lines(table).zip(0..) {
            let [kind, name, sort, place, paths, names] = line.as_slice() else { continue };
            let sort = SearchType::NAMES.iter().find(|(_, own)| own == sort).map(|(sort, _)| *sort);
            let (Some(sort), Some(place), Some(shape)) = (sort, Place::named(place), elements.named(kind)) else {
                continue;
            };
            let paths = paths.split(" | ").filter_map(|path| Path::read(path, shape, elements)).collect();
            let names = names.split(' ').filter(|name| !name.is_empty()).collect();
            all.push(Parameter { id: ParameterId(number), kind: Kind::named(kind), name, sort, place, paths, names });
        }
        Self(all)
    }

    /// Those of a kind, those that each has included.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Parameter> {
        self.0.iter().filter(move |parameter| parameter.kind.is_none_or(|of| of == kind))
    }

    /// The one with this number.
    #[must_use]
    pub fn numbered(&self, id: ParameterId) -> Option<&Parameter> {
        self.0.get(usize::from(id.0))
    }

    /// One of a kind.
    #[must_use]
    pub fn named(&self, kind: Kind, name: &str) -> Option<&Parameter> {
        self.of(kind).find(|parameter| parameter.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Definitions, Primitive, Type};
    use super::*;

    #[test]
    fn each_parameter_has_its_paths_and_a_place_that_fits_their_types() {
        let definitions = Definitions::r4();
        let table = lines(include_str!("r4/parameters.tsv")).count();
        assert_eq!(definitions.parameters.0.len(), table, "each line is read");
        let codes = ["CodeableConcept", "Coding"];
        for parameter in &definitions.parameters.0 {
            let what = format!("{:?} {}", parameter.kind, parameter.name);
            if matches!(parameter.place, Place::Either | Place::Parts) {
                let kind = parameter.kind.expect("of one kind");
                assert_eq!(parameter.names.len(), 2, "{what}");
                assert!(
                    parameter.names.iter().all(|name| definitions.parameters.named(kind, name).is_some()),
                    "{what}"
                );
                continue;
            }
            assert!(!parameter.paths.is_empty(), "{what}");
            for of in parameter.paths.iter().flat_map(Path::types) {
                let shape = match of {
                    Type::Shape(shape) => definitions.elements.shape(shape).name,
                    Type::Primitive(primitive) => primitive.name(),
                    Type::Resource => "",
                };
                let fits = match parameter.place {
                    Place::Column(_) | Place::Mark => {
                        codes.contains(&shape) || ["code", "boolean", "string"].contains(&shape)
                    }
                    Place::At | Place::Span => ["dateTime", "date", "instant", "Period", "Timing"].contains(&shape),
                    Place::Patient | Place::Subject | Place::Link => {
                        ["Reference", "canonical"].contains(&shape)
                            || parameter.name == "source-reference" && shape == "Attachment"
                    }
                    Place::Quantity => ["Quantity", "SampledData"].contains(&shape),
                    Place::Ident => ["Identifier", "ContactPoint", "uri", "url", "canonical", "id", "oid", "string"]
                        .contains(&shape),
                    Place::Word => ["string", "HumanName", "Address", "markdown"].contains(&shape),
                    Place::Either | Place::Parts => false,
                };
                assert!(fits, "{what}: {shape} in {:?}", parameter.place);
            }
        }
        assert!(Type::Primitive(Primitive::Code) != Type::Resource);
    }

    #[test]
    fn no_two_parameters_of_a_kind_share_a_column() {
        let definitions = Definitions::r4();
        for kind in Kind::all() {
            let mut columns: Vec<_> = definitions
                .parameters
                .of(kind)
                .filter_map(|parameter| match parameter.place {
                    Place::Column(column) => Some(column.number()),
                    _ => None,
                })
                .collect();
            let all = columns.len();
            columns.sort_unstable();
            columns.dedup();
            assert_eq!(columns.len(), all, "{kind}");
        }
    }
}
