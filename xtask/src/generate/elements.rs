//! What each type consists of, and the codes that required bindings allow.

use std::collections::BTreeMap;

use serde_json::Value;

use super::package::{Package, items, text};
use super::{ENVELOPES, KINDS, Names, tail};
use crate::{Error, Result};

/// More types than this: any type that an extension may have.
const OPEN: usize = 40;
/// Value sets that are not listed in the definitions: they are checked by form.
const BY_FORM: [&str; 2] = ["currencies", "mimetypes"];
/// Kinds of definitions that have elements.
const COMPOSED: [&str; 2] = ["resource", "complex-type"];

/// The lines of `elements.tsv`, and the value sets they name.
///
/// `= TYPE BASE` begins a type; then each of its own elements: name, `min..max`, types with their targets, and `!` with a
/// value set that is required. `*` are all types that an extension may have, `#TYPE` is a type that stands elsewhere.
pub(crate) fn tables(package: &Package) -> Result<(Vec<String>, Names)> {
    let mut made = Made { bound: Names::new(), wanted: Names::new(), open: Vec::new() };
    made.wanted.extend(KINDS.iter().chain(&ENVELOPES).map(ToString::to_string));
    let (mut done, mut sections) = (Names::new(), BTreeMap::new());
    while let Some(name) = made.wanted.iter().find(|name| !done.contains(*name)).cloned() {
        done.insert(name.clone());
        let definition = package.definition("StructureDefinition", &name)?;
        if COMPOSED.contains(&text(&definition, "kind")) {
            sections.extend(made.sections(&name, &definition)?);
        }
    }
    let open = std::mem::take(&mut made.open).join(" ");
    let mut lines = vec![format!("*\t{open}")];
    lines.extend(sections.into_values().flatten());
    Ok((lines, made.bound))
}

struct Made {
    bound: Names,
    wanted: Names,
    open: Vec<String>,
}

impl Made {
    /// The sections of one definition: the type itself, and its elements that have elements.
    fn sections(&mut self, name: &str, definition: &Value) -> Result<BTreeMap<String, Vec<String>>> {
        let base = tail(text(definition, "baseDefinition"));
        self.wanted.extend((!base.is_empty()).then(|| base.to_owned()));
        let differential = definition.get("differential").unwrap_or(&Value::Null);
        let mut sections = BTreeMap::from([(name.to_owned(), vec![format!("= {name}\t{base}")])]);
        for element in items(differential, "element") {
            let path = text(element, "path");
            let Some((parent, own)) = path.rsplit_once('.') else { continue };
            let types = self.types(element);
            let types = if is_composed(&types) {
                sections.insert(path.to_owned(), vec![format!("= {path}\t{}", types.join(" "))]);
                self.wanted.extend(types);
                vec![format!("#{path}")]
            } else {
                types
            };
            let missing = || Error::new(format!("{path} stands before its parent"));
            let binding = self.binding(element);
            let (min, max) = (element.get("min").and_then(Value::as_u64).unwrap_or(0), text(element, "max"));
            let line = format!("{own}\t{min}..{max}\t{}{binding}", types.join(" "));
            sections.get_mut(parent).ok_or_else(missing)?.push(line);
        }
        Ok(sections)
    }

    fn types(&mut self, element: &Value) -> Vec<String> {
        let elsewhere = text(element, "contentReference");
        if !elsewhere.is_empty() {
            return vec![elsewhere.to_owned()];
        }
        let types: Vec<String> = items(element, "type").iter().map(type_of).collect();
        self.wanted.extend(types.iter().map(|one| one.split('(').next().unwrap_or(one).to_owned()));
        if types.len() > OPEN {
            self.open = types;
            return vec!["*".to_owned()];
        }
        types
    }

    fn binding(&mut self, element: &Value) -> String {
        let binding = element.get("binding").unwrap_or(&Value::Null);
        let set = tail(text(binding, "valueSet"));
        if text(binding, "strength") != "required" {
            return String::new();
        }
        if !BY_FORM.contains(&set) {
            self.bound.insert(set.to_owned());
        }
        format!("\t!{set}")
    }
}

/// Whether the element's own elements follow.
fn is_composed(types: &[String]) -> bool {
    matches!(types, [one] if one == "BackboneElement" || one == "Element")
}

/// A type with the targets of a reference.
fn type_of(one: &Value) -> String {
    let code = text(one, "code");
    if code.contains("/fhirpath/") {
        // Identifiers and addresses of elements: the true type is in an extension.
        let told =
            items(one, "extension").iter().map(|extension| text(extension, "valueUrl")).find(|told| !told.is_empty());
        return told.unwrap_or("string").to_owned();
    }
    let mut targets: Vec<&str> = items(one, "targetProfile").iter().filter_map(Value::as_str).map(tail).collect();
    targets.sort_unstable();
    match targets.as_slice() {
        [] => code.to_owned(),
        _ if code != "Reference" => code.to_owned(),
        ["Resource"] => "Reference".to_owned(),
        _ => format!("Reference({})", targets.join("|")),
    }
}

/// The lines of `codes.tsv`: a value set and its codes.
pub(crate) fn codes(package: &Package, bound: &Names) -> Result<Vec<String>> {
    bound.iter().map(|set| Ok(format!("{set}\t{}", codes_of(package, set)?.join(" ")))).collect()
}

fn codes_of(package: &Package, set: &str) -> Result<Vec<String>> {
    let definition = package.definition("ValueSet", set)?;
    let compose = definition.get("compose").unwrap_or(&Value::Null);
    let mut codes = Vec::new();
    for include in items(compose, "include") {
        let listed = items(include, "concept");
        if !listed.is_empty() {
            codes.extend(listed.iter().map(|concept| text(concept, "code").to_owned()));
            continue;
        }
        let system = text(include, "system");
        if include.get("filter").is_some() || !items(compose, "exclude").is_empty() {
            return Err(Error::new(format!("value set {set} chooses by a rule: it has to be listed in another way")));
        }
        codes.extend(concepts(items(&package.definition("CodeSystem", tail(system))?, "concept")));
    }
    if codes.is_empty() {
        return Err(Error::new(format!("value set {set} has no code")));
    }
    Ok(codes)
}

/// Codes with those below them.
fn concepts(all: &[Value]) -> Vec<String> {
    let below = |concept: &Value| concepts(items(concept, "concept"));
    all.iter().flat_map(|concept| std::iter::once(text(concept, "code").to_owned()).chain(below(concept))).collect()
}
