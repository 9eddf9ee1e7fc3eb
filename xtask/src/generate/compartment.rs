//! Whose a resource is: by which search parameters it belongs to a patient.

use super::is_kind;
use super::package::{Package, items, text};
use crate::Result;
use serde_json::Value;

/// What the definition leaves out: a device is its patient's, and a metric its device's.
const OURS: [(&str, &str); 2] = [("Device", "+patient"), ("DeviceMetric", "+source")];

/// The lines of `compartment.tsv`: a kind and its parameters, the one that decides first; `+` where it is our rule.
pub(crate) fn table(package: &Package) -> Result<Vec<String>> {
    let definition = package.definition("CompartmentDefinition", "patient")?;
    let mut lines = Vec::new();
    for resource in items(&definition, "resource") {
        let kind = text(resource, "code");
        if !is_kind(kind) {
            continue;
        }
        if let Some((_, parameter)) = OURS.iter().find(|(of, _)| *of == kind) {
            lines.push(format!("{kind}\t{parameter}"));
            continue;
        }
        let mut parameters: Vec<&str> = items(resource, "param").iter().filter_map(Value::as_str).collect();
        parameters.sort_by_key(|name| ["patient", "subject"].iter().position(|first| first == name).unwrap_or(2));
        if !parameters.is_empty() {
            lines.push(format!("{kind}\t{}", parameters.join(" ")));
        }
    }
    lines.sort();
    Ok(lines)
}
