//! `cargo xtask generate`: the compact tables of FHIR R4 that `medlock-clinical` reads, made of the published definitions
//! (CC0). The tables are committed, so a build needs neither network nor this; `--check` says where they differ.

mod compartment;
mod elements;
mod package;
mod parameters;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

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
    let different = different(house)?;
    for (file, content) in &different {
        match mode {
            Mode::Write => write(file, content)?,
            Mode::Check => println!("{}", said(file)),
        }
    }
    Ok(different.is_empty() || mode == Mode::Write)
}

/// What is to be said of the tables that are not as the definitions say.
pub(crate) fn check(house: &House) -> Result<Vec<String>> {
    Ok(different(house)?.iter().map(|(file, _)| said(file)).collect())
}

/// The tables that differ, with what should be in them.
fn different(house: &House) -> Result<Vec<(PathBuf, String)>> {
    let (tables, folder) = (tables(&Package::install(house)?)?, house.root.join(FOLDER));
    let tables = tables.into_iter().map(|(name, content)| (folder.join(name), content));
    Ok(tables.filter(|(file, content)| !std::fs::read_to_string(file).is_ok_and(|held| held == *content)).collect())
}

fn said(file: &Path) -> String {
    format!("{} is not what the definitions say: run `cargo xtask generate` and look at what changed", file.display())
}

fn write(file: &Path, content: &str) -> Result<()> {
    if let Some(folder) = file.parent() {
        house::make_folder(folder)?;
    }
    std::fs::write(file, content).map_err(|error| Error::new(format!("cannot write {}: {error}", file.display())))?;
    println!("wrote {}", file.display());
    Ok(())
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
