//! How each kind is searched: the search parameters, where their values are kept, and the elements they are read from.

use serde_json::Value;

use super::package::{Package, items, text};
use super::{KINDS, is_kind, tail};
use crate::Result;

/// Columns of the row: the leading code, the category, the state, one more; and the principal date.
const COLUMNS: [(&str, &str, &str); 32] = [
    ("AuditEvent", "type", "c0"),
    ("AuditEvent", "subtype", "c1"),
    ("AuditEvent", "outcome", "c2"),
    ("AuditEvent", "action", "c3"),
    ("AuditEvent", "date", "at"),
    ("Consent", "scope", "c0"),
    ("Consent", "category", "c1"),
    ("Consent", "status", "c2"),
    ("Consent", "date", "at"),
    ("Device", "type", "c0"),
    ("Device", "status", "c2"),
    ("DeviceMetric", "type", "c0"),
    ("DeviceMetric", "category", "c1"),
    ("DiagnosticReport", "code", "c0"),
    ("DiagnosticReport", "category", "c1"),
    ("DiagnosticReport", "status", "c2"),
    ("DiagnosticReport", "date", "at"),
    ("ImagingStudy", "modality", "c0"),
    ("ImagingStudy", "status", "c2"),
    ("ImagingStudy", "started", "at"),
    ("MedicationAdministration", "code", "c0"),
    ("MedicationAdministration", "status", "c2"),
    ("MedicationAdministration", "effective-time", "at"),
    ("Observation", "code", "c0"),
    ("Observation", "category", "c1"),
    ("Observation", "status", "c2"),
    ("Observation", "date", "at"),
    ("ServiceRequest", "code", "c0"),
    ("ServiceRequest", "category", "c1"),
    ("ServiceRequest", "status", "c2"),
    ("ServiceRequest", "intent", "c3"),
    ("ServiceRequest", "authored", "at"),
];
/// Tokens of which nearly each row has its own: kept as text, not in the dictionary of codes.
const OWN: [&str; 9] =
    ["identifier", "telecom", "phone", "email", "instance", "series", "altid", "requisition", "contact"];
/// Parameters that ask for either of two others: nothing is kept for them.
const EITHER: [(&str, &str); 4] = [
    ("combo-code", "code component-code"),
    ("combo-data-absent-reason", "data-absent-reason component-data-absent-reason"),
    ("combo-value-concept", "value-concept component-value-concept"),
    ("combo-value-quantity", "value-quantity component-value-quantity"),
];
/// Parameters of all kinds that the server answers without elements, or not at all.
const NOT_ELEMENTS: [&str; 2] = ["_id", "_lastUpdated"];
/// Targets beyond this many are any resource.
const ANY: usize = 20;

/// The lines of `parameters.tsv` (kind, name, type, place, paths, targets or parts), and of `parameters-not.tsv` (kind, name,
/// why). Numbers of parameters are the numbers of their lines in the first.
pub(crate) fn tables(package: &Package) -> Result<(Vec<String>, Vec<String>)> {
    let definitions = package.all("SearchParameter")?;
    let (mut here, mut left) = (Vec::new(), Vec::new());
    for definition in &definitions {
        for base in items(definition, "base").iter().filter_map(Value::as_str) {
            if !(is_kind(base) || base == "Resource") || NOT_ELEMENTS.contains(&text(definition, "code")) {
                continue;
            }
            match line(base, definition, &definitions) {
                Ok(line) => here.push(line),
                Err(why) => left.push(format!("{base}\t{}\t{why}", text(definition, "code"))),
            }
        }
    }
    here.sort();
    here.dedup();
    left.sort();
    left.dedup();
    Ok((here, left))
}

fn line(kind: &str, definition: &Value, all: &[Value]) -> Result<String, &'static str> {
    let (name, sort) = (text(definition, "code"), text(definition, "type"));
    if name == "phonetic" {
        return Err("it asks for sounds");
    }
    if sort == "composite" {
        return composite(kind, definition, all);
    }
    if let Some((_, parts)) = EITHER.iter().find(|(of, _)| kind == "Observation" && *of == name) {
        return Ok(format!("{kind}\t{name}\t{sort}\teither\t\t{parts}"));
    }
    let paths = paths(kind, text(definition, "expression"))?;
    let place = place(kind, name, sort, &paths)?;
    Ok(format!("{kind}\t{name}\t{sort}\t{place}\t{}\t{}", paths.join(" | "), targets(definition)))
}

/// The paths of an expression that begin at this kind, without its name.
fn paths(kind: &str, expression: &str) -> Result<Vec<String>, &'static str> {
    if expression.is_empty() {
        return Err("it is not about elements");
    }
    let prefix = format!("{kind}.");
    let mut found = Vec::new();
    for one in expression.split('|') {
        let plain = without_brackets(one.trim());
        let Some(path) = plain.strip_prefix(&prefix).map(str::to_owned) else { continue };
        if path.contains("extension") {
            return Err("it asks for an extension");
        }
        if path.contains("exists") {
            return Err("it asks whether there is something");
        }
        found.push(path);
    }
    if found.is_empty() { Err("it is not about elements") } else { Ok(found) }
}

/// `(a as B).c` means the same as `a as B.c`: a type is one word.
fn without_brackets(path: &str) -> String {
    match path.strip_prefix('(').and_then(|rest| rest.split_once(')')) {
        Some((inner, rest)) => format!("{inner}{rest}"),
        None => path.to_owned(),
    }
}

/// Where its values are kept.
fn place(kind: &str, name: &str, sort: &str, paths: &[String]) -> Result<&'static str, &'static str> {
    if let Some((_, _, column)) = COLUMNS.iter().find(|(of, parameter, _)| *of == kind && *parameter == name) {
        return Ok(column);
    }
    match sort {
        "token" if OWN.contains(&name) => Ok("ident"),
        "token" => Ok("mark"),
        "date" => Ok("span"),
        "quantity" => Ok("quantity"),
        "uri" => Ok("ident"),
        "string" => Ok("word"),
        "reference" if name == "patient" => Ok("patient"),
        "reference" if is_subject(kind, paths) => Ok("subject"),
        "reference" => Ok("link"),
        _ => Err("its type is not served"),
    }
}

/// Whether it is the reference by which a row is a patient's, with its other targets.
fn is_subject(kind: &str, paths: &[String]) -> bool {
    let of = match kind {
        "Provenance" => "target",
        _ => "subject",
    };
    matches!(paths, [path] if path == of)
}

/// The kinds a reference may be to; `*` where they are nearly all there are.
fn targets(definition: &Value) -> String {
    let all: Vec<&str> = items(definition, "target").iter().filter_map(Value::as_str).collect();
    if all.len() > ANY {
        return "*".to_owned();
    }
    KINDS.into_iter().filter(|kind| all.contains(kind)).collect::<Vec<_>>().join(" ")
}

fn composite(kind: &str, definition: &Value, all: &[Value]) -> Result<String, &'static str> {
    let code_of = |id: &str| all.iter().find(|one| text(one, "id") == id).map(|one| text(one, "code"));
    let parts = items(definition, "component").iter().map(|part| code_of(tail(text(part, "definition"))));
    let parts: Option<Vec<&str>> = parts.collect();
    let parts = parts.ok_or("its parts are not defined")?;
    Ok(format!("{kind}\t{}\tcomposite\tparts\t\t{}", text(definition, "code"), parts.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_the_kind_are_taken_and_those_we_can_read() {
        let paths = |expression: &str| paths("Observation", expression);
        let code = paths("Condition.code | Observation.code");
        assert_eq!(code, Ok(vec!["code".to_owned()]));
        let value = paths("(Observation.value as string) | (Observation.value as CodeableConcept).text");
        assert_eq!(value, Ok(vec!["value as string".to_owned(), "value as CodeableConcept.text".to_owned()]));
        let subject = paths("Observation.subject.where(resolve() is Patient)");
        assert_eq!(subject, Ok(vec!["subject.where(resolve() is Patient)".to_owned()]));
        for no in ["", "Patient.name", "Observation.extension('x')", "Observation.value.exists()"] {
            assert!(paths(no).is_err(), "{no}");
        }
    }

    #[test]
    fn each_kind_keeps_a_column_for_one_parameter() {
        for (place, (kind, _, column)) in COLUMNS.iter().enumerate() {
            let again = COLUMNS.iter().skip(place + 1).any(|(of, _, other)| of == kind && other == column);
            assert!(!again, "{kind} {column}");
        }
    }
}
