//! `cargo xtask generate`: the compact tables of FHIR R4 that `medlock-clinical` reads, made of the published definitions
//! (CC0). The tables are committed, so a build needs neither network nor this; `--check` says where they differ.

mod compartment;
mod elements;
mod package;
mod parameters;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use crate::house::{self, House};
use crate::{Error, Result};
use package::Package;

/// The resource types of the clinical face, in the order of their numbers: a new one goes to the end.
const KINDS: [&str; 15] = [
    "Patient",
    "Device",
    "DeviceMetric",
    "Observation",
    "Practitioner",
    "PractitionerRole",
    "Organization",
    "Consent",
    "Provenance",
    "AuditEvent",
    "Subscription",
    "MedicationAdministration",
    "ServiceRequest",
    "DiagnosticReport",
    "ImagingStudy",
];
/// Resource types that are exchanged and not kept.
const ENVELOPES: [&str; 3] = ["Bundle", "Parameters", "OperationOutcome"];
/// Where the tables are.
const FOLDER: &str = "crates/clinical/src/definitions/r4";

/// What is to be done with the tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// They are written.
    Write,
    /// They are compared.
    Check,
}

/// Makes the tables; `true` if they are as they should be in the end.
pub(crate) fn run(house: &House, mode: Mode) -> Result<bool> {
    let package = Package::install(house)?;
    let folder = house.root.join(FOLDER);
    let mut same = true;
    for (name, content) in tables(&package)? {
        same &= settle(&folder.join(name), &content, mode)?;
    }
    Ok(same)
}

fn tables(package: &Package) -> Result<Vec<(&'static str, String)>> {
    let (elements, bound) = elements::tables(package)?;
    let codes = elements::codes(package, &bound)?;
    let (parameters, left) = parameters::tables(package)?;
    let tables = [
        ("elements.tsv", elements),
        ("codes.tsv", codes),
        ("parameters.tsv", parameters),
        ("parameters-not.tsv", left),
        ("compartment.tsv", compartment::table(package)?),
    ];
    Ok(tables.into_iter().map(|(name, lines)| (name, titled(package, &lines))).collect())
}

/// The first line says what the others were made of.
fn titled(package: &Package, lines: &[String]) -> String {
    let mut text = format!("# made by `cargo xtask generate` of {}\n", package.name());
    for line in lines {
        // Writing to a string has no way to fail.
        let _ = writeln!(text, "{line}");
    }
    text
}

fn settle(file: &Path, content: &str, mode: Mode) -> Result<bool> {
    if std::fs::read_to_string(file).is_ok_and(|held| held == content) {
        return Ok(true);
    }
    if mode == Mode::Check {
        println!(
            "{} is not what the definitions say: run `cargo xtask generate` and look at what changed",
            file.display()
        );
        return Ok(false);
    }
    if let Some(folder) = file.parent() {
        house::make_folder(folder)?;
    }
    std::fs::write(file, content).map_err(|error| Error::new(format!("cannot write {}: {error}", file.display())))?;
    println!("wrote {}", file.display());
    Ok(true)
}

/// The last part of a canonical address.
fn tail(canonical: &str) -> &str {
    let bare = canonical.split('|').next().unwrap_or(canonical);
    bare.rsplit('/').next().unwrap_or(bare)
}

/// Whether a resource type is kept.
fn is_kind(name: &str) -> bool {
    KINDS.contains(&name)
}

/// Names sorted, each once.
type Names = BTreeSet<String>;
