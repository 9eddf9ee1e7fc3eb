//! One parameter of a search, read into what has to hold.

use super::Token;
use super::date::ranges;
use super::filter::{Absent, By, Filter, Word};
use super::quantity::measures;
use super::{Read, Terms, VALUES, token};
use crate::definitions::{Definitions, Parameter, Place, SearchType};
use crate::kind::{Id, Kind, Reference, Version};
use crate::validate;
use std::borrow::Cow;

/// Characters of a text that is looked for as it is.
const TEXT: usize = 256;

type Wrong = Cow<'static, str>;
/// Resources here, perhaps a version of them, and others as text.
type Targets = (Vec<(Kind, Id, Option<Version>)>, Vec<String>);

/// What parameters of a kind ask for.
#[derive(Clone, Copy)]
pub(super) struct Reader<'r> {
    pub(super) kind: Kind,
    pub(super) terms: Terms<'r>,
    pub(super) definitions: &'r Definitions,
}

impl Reader<'_> {
    /// A parameter that is no chain.
    pub(super) fn filter(&self, name: &str, value: &str) -> Read {
        let values: Vec<String> = token::split(value, ',');
        if values.len() > VALUES {
            return Read::Wrong(format!("a parameter has at most {VALUES} values").into());
        }
        match name {
            "_id" => return Read::Filter(Filter::Id(values.iter().filter_map(|id| Id::read(id)).collect())),
            "_lastUpdated" => {
                return ranges(&values).map_or_else(Read::Wrong, |all| Read::Filter(Filter::Updated(all)));
            }
            _ => {}
        }
        // A modifier is a part of the name that asks for something else.
        let (plain, modifier) = name.split_once(':').map_or((name, None), |(plain, modifier)| (plain, Some(modifier)));
        let Some(parameter) = self.named(plain) else { return Read::Unserved };
        match modifier {
            Some("missing") => missing(parameter, &values),
            Some("not") if parameter.sort == SearchType::Token => match self.values(parameter, None, &values) {
                Read::Filter(filter) => Read::Filter(Filter::Not(Box::new(filter))),
                other => other,
            },
            modifier => self.values(parameter, modifier, &values),
        }
    }

    fn named(&self, name: &str) -> Option<&Parameter> {
        self.definitions.parameters.named(self.kind, name)
    }

    fn values(&self, parameter: &Parameter, modifier: Option<&str>, values: &[String]) -> Read {
        let read = match (parameter.place, modifier) {
            (Place::Column(column), None) => tokens(values).map(|all| Filter::Column(column, all)),
            (Place::Mark, None) => tokens(values).map(|all| Filter::Mark(parameter.id, all)),
            (Place::Ident, None) if parameter.sort == SearchType::Uri => Ok(self.texts(parameter, values)),
            (Place::Ident, None) => tokens(values).map(|all| idents(parameter, all)),
            (Place::Patient | Place::Subject | Place::Link, Some("identifier")) => {
                tokens(values).map(|all| idents(parameter, all))
            }
            (Place::At, None) => ranges(values).map(Filter::Date),
            (Place::Span, None) => ranges(values).map(|all| Filter::Span(parameter.id, all)),
            (Place::Quantity, None) => measures(values).map(|all| Filter::Quantity(parameter.id, all)),
            (Place::Word, None | Some("exact")) => {
                words(values, modifier.is_some()).map(|all| Filter::Word(parameter.id, all))
            }
            (Place::Patient, None | Some("Patient")) => {
                self.targets(parameter, modifier, values).map(|(all, _)| Filter::Patient(of_kind(&all, Kind::PATIENT)))
            }
            (Place::Subject | Place::Link, _) if modifier.is_none_or(|kind| Kind::named(kind).is_some()) => {
                self.reference(parameter, modifier, values)
            }
            (Place::Either, None) => self.either(parameter, values),
            (Place::Parts, None) => self.parts(parameter, values),
            _ => return Read::Unserved,
        };
        read.map_or_else(Read::Wrong, Read::Filter)
    }

    fn texts(&self, parameter: &Parameter, values: &[String]) -> Filter {
        let all = values.iter().map(|value| Token { system: Some(String::new()), value: Some(token::plain(value)) });
        Filter::Ident(parameter.id, all.collect())
    }

    fn reference(&self, parameter: &Parameter, modifier: Option<&str>, values: &[String]) -> Result<Filter, Wrong> {
        let (here, elsewhere) = self.targets(parameter, modifier, values)?;
        if !elsewhere.is_empty() {
            if here.is_empty() {
                return Ok(self.texts(parameter, &elsewhere));
            }
            return Err("what is here and what is elsewhere are searched one after the other".into());
        }
        if is_target(parameter) {
            return Ok(Filter::Target(here));
        }
        let patients = here.iter().filter(|(kind, ..)| *kind == Kind::PATIENT).count();
        match parameter.place {
            Place::Subject if patients == here.len() => Ok(Filter::Patient(of_kind(&here, Kind::PATIENT))),
            Place::Subject if patients > 0 => Err("patients and others are searched one after the other".into()),
            // Which version a reference is to is not kept beside its row.
            _ => Ok(Filter::Link(parameter.id, here.into_iter().map(|(kind, id, _)| (kind, id)).collect())),
        }
    }

    /// What references of a search are to: resources here, and others as text. One that leads to nothing here is left out:
    /// nothing refers to it.
    fn targets(&self, parameter: &Parameter, modifier: Option<&str>, values: &[String]) -> Result<Targets, Wrong> {
        let only = modifier.and_then(Kind::named).or_else(|| parameter.only_target());
        let (mut here, mut elsewhere) = (Vec::new(), Vec::new());
        for value in values {
            if let Some(id) = Id::read(value) {
                let kind = only.ok_or_else(|| {
                    format!("say of which kind it is: {value:?} may be {}", parameter.names.join(", "))
                })?;
                here.push((kind, id, None));
                continue;
            }
            match Reference::read(value, self.terms.bases) {
                Some(Reference::Local(kind, id, version)) if only.is_none_or(|only| only == kind) => {
                    here.push((kind, id, version));
                }
                Some(Reference::Unserved(..) | Reference::Absolute(_)) => elsewhere.push(value.clone()),
                // An identifier that no resource here has.
                None if crate::kind::is_id(value) && only.is_some() => {}
                Some(Reference::Contained(_)) | None => return Err(format!("{value:?} is no reference").into()),
                Some(_) => {}
            }
        }
        Ok((here, elsewhere))
    }

    /// The two parameters of which another one consists.
    fn both(&self, parameter: &Parameter) -> Result<[&Parameter; 2], Wrong> {
        match parameter.names.as_slice() {
            [a, b] => self.named(a).zip(self.named(b)).map(|(a, b)| [a, b]),
            _ => None,
        }
        .ok_or_else(|| "it is not defined".into())
    }

    fn plain(&self, parameter: &Parameter, values: &[String]) -> Result<Filter, Wrong> {
        match self.values(parameter, None, values) {
            Read::Filter(filter) => Ok(filter),
            Read::Wrong(why) => Err(why),
            Read::Control | Read::Unserved => Err("it is not served".into()),
        }
    }

    fn either(&self, parameter: &Parameter, values: &[String]) -> Result<Filter, Wrong> {
        let [a, b] = self.both(parameter)?;
        Ok(Filter::Any(vec![self.plain(a, values)?, self.plain(b, values)?]))
    }

    /// `code$value`: both in the resource itself, or both in the same part of it.
    fn parts(&self, parameter: &Parameter, values: &[String]) -> Result<Filter, Wrong> {
        let [code, value] = self.both(parameter)?;
        let pairs: Vec<(&Parameter, &Parameter)> = if code.place == Place::Either {
            self.both(code)?.into_iter().zip(self.both(value)?).collect()
        } else {
            vec![(code, value)]
        };
        let mut any = Vec::new();
        for text in values {
            let [first, second] =
                <[String; 2]>::try_from(token::split(text, '$')).map_err(|_| format!("{text:?} is not code$value"))?;
            for (code, value) in &pairs {
                let value = self.plain(value, std::slice::from_ref(&second))?;
                let codes = tokens(std::slice::from_ref(&first))?;
                any.push(match code.place {
                    Place::Mark => Filter::Part(code.id, codes, Box::new(value)),
                    Place::Column(column) => Filter::All(vec![Filter::Column(column, codes), value]),
                    _ => return Err("it is not served".into()),
                });
            }
        }
        Ok(match <[Filter; 1]>::try_from(any) {
            Ok([only]) => only,
            Err(several) => Filter::Any(several),
        })
    }

    /// `reference.parameter` or `reference:Kind.parameter`, one level; and what is looked for there.
    pub(super) fn chain(&self, reference: &str, name: &str, value: &str) -> Result<(Kind, Read), Wrong> {
        if name.contains('.') {
            return Err("chains have one level".into());
        }
        let (plain, said) = reference.split_once(':').map_or((reference, None), |(plain, said)| (plain, Some(said)));
        let parameter = self.named(plain).filter(|parameter| parameter.sort == SearchType::Reference);
        let Some(parameter) = parameter else { return Ok((self.kind, Read::Unserved)) };
        let kind = match said {
            Some(said) => Kind::named(said).ok_or_else(|| format!("{said:?} is not kept here"))?,
            None => parameter.only_target().ok_or_else(|| {
                format!("say of which kind: {plain}:KIND.{name}, one of {}", parameter.names.join(", "))
            })?,
        };
        let read = match (Reader { kind, ..*self }).filter(name, value) {
            Read::Filter(filter) => Read::Filter(Filter::Chain(by(parameter, kind), kind, Box::new(filter))),
            other => other,
        };
        Ok((kind, read))
    }

    /// `_has:Kind:reference:parameter`, one level.
    pub(super) fn has(&self, name: &str, value: &str) -> Result<(Kind, Read), Wrong> {
        let mut parts = name.splitn(3, ':');
        let form = || Wrong::from("it is _has:KIND:REFERENCE:PARAMETER");
        let (of, reference) = (parts.next().ok_or_else(form)?, parts.next().ok_or_else(form)?);
        let name = parts.next().ok_or_else(form)?;
        let kind = Kind::named(of).ok_or_else(|| format!("{of:?} is not kept here"))?;
        let there = Reader { kind, ..*self };
        let parameter = there.named(reference).filter(|parameter| parameter.sort == SearchType::Reference);
        let Some(parameter) = parameter.filter(|parameter| is_to(parameter, self.kind)) else {
            return Err(format!("{of} has no reference {reference:?} to {}", self.kind).into());
        };
        if name.starts_with("_has") || name.contains('.') {
            return Err("_has has one level".into());
        }
        let read = match there.filter(name, value) {
            Read::Filter(filter) => Read::Filter(Filter::Has(kind, by(parameter, self.kind), Box::new(filter))),
            other => other,
        };
        Ok((kind, read))
    }
}

/// Whether a reference may be to resources of this kind.
pub(super) fn is_to(parameter: &Parameter, kind: Kind) -> bool {
    parameter.names.iter().any(|name| *name == "*" || *name == kind.name())
}

/// As what references of this parameter to resources of this kind are kept.
pub(super) fn by(parameter: &Parameter, kind: Kind) -> By {
    match parameter.place {
        _ if is_target(parameter) => By::Target(kind),
        Place::Patient | Place::Subject if kind == Kind::PATIENT => By::Patient,
        _ => By::Link(parameter.id),
    }
}

/// What finds a Provenance by its targets: they are the rows that name it, and not written into it.
fn is_target(parameter: &Parameter) -> bool {
    parameter.kind == Some(Kind::PROVENANCE) && parameter.name == "target"
}

/// Where a resource has nothing, if that can be asked.
pub(super) fn absent(parameter: &Parameter) -> Option<Absent> {
    Some(match parameter.place {
        Place::Column(column) => Absent::Column(column),
        Place::At => Absent::Date,
        Place::Patient => Absent::Patient,
        Place::Mark => Absent::Mark(parameter.id),
        Place::Span => Absent::Span(parameter.id),
        Place::Quantity => Absent::Quantity(parameter.id),
        Place::Word => Absent::Word(parameter.id),
        Place::Subject | Place::Link | Place::Ident | Place::Either | Place::Parts => return None,
    })
}

fn missing(parameter: &Parameter, values: &[String]) -> Read {
    let Some(absent) = absent(parameter) else { return Read::Unserved };
    match values {
        [yes] if yes == "true" => Read::Filter(Filter::Missing(absent)),
        [no] if no == "false" => Read::Filter(Filter::Not(Box::new(Filter::Missing(absent)))),
        _ => Read::Wrong("it is true or false".into()),
    }
}

fn of_kind(all: &[(Kind, Id, Option<Version>)], kind: Kind) -> Vec<Id> {
    all.iter().filter(|(of, ..)| *of == kind).map(|(_, id, _)| *id).collect()
}

/// Identifiers, and all of a system.
fn idents(parameter: &Parameter, all: Vec<Token>) -> Filter {
    let (named, of): (Vec<Token>, Vec<Token>) = all.into_iter().partition(|token| token.value.is_some());
    let systems: Vec<String> = of.into_iter().filter_map(|token| token.system).collect();
    match (named.is_empty(), systems.is_empty()) {
        (_, true) => Filter::Ident(parameter.id, named),
        (true, false) => Filter::IdentOf(parameter.id, systems),
        (false, false) => Filter::Any(vec![Filter::Ident(parameter.id, named), Filter::IdentOf(parameter.id, systems)]),
    }
}

fn tokens(values: &[String]) -> Result<Vec<Token>, Wrong> {
    values
        .iter()
        .map(|value| {
            Token::read(value).ok_or_else(|| format!("{value:?} is no code, system|code, |code or system|").into())
        })
        .collect()
}

fn words(values: &[String], exact: bool) -> Result<Vec<Word>, Wrong> {
    let word = |value: &String| {
        let text = token::plain(value);
        if text.chars().count() > TEXT {
            return Err(format!("a text has at most {TEXT} characters").into());
        }
        if exact {
            return Ok(Word::Is(validate::word_of(&text)));
        }
        let begins = validate::word(&text);
        if begins.is_empty() { Err("it has no letter".into()) } else { Ok(Word::Begins(begins)) }
    };
    values.iter().map(word).collect()
}
