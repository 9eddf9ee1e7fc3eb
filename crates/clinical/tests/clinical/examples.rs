//! The examples that are published with R4, of the kinds that can be kept.

use medlock_clinical::definitions::Definitions;
use medlock_clinical::json::{Document, Limits, Node};
use medlock_clinical::kind::Kind;
use medlock_clinical::outcome::Code;
use medlock_clinical::validate::{Asked, prepare};
use std::path::PathBuf;

/// Examples that are not taken, and why.
const WRONG: [(&str, &str); 3] = [
    ("DeviceMetric-example.json", "its parent is a DeviceDefinition, and R4 has a Device there"),
    ("Observation-clinical-gender.json", "an Encounter performs nothing"),
    ("Observation-decimal.json", "nothing is measured with an exponent of 245"),
];

/// Where the package is that `cargo xtask generate` reads.
fn folder() -> PathBuf {
    let npm = std::env::var_os("MEDLOCK_NPM")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/npm"), PathBuf::from);
    npm.join("node_modules/hl7.fhir.r4.examples")
}

/// Shows REQ-GEN-05: but for what they refer to, which is not here, each example is taken, and the exceptions are not.
#[test]
fn published_examples_are_taken() {
    let folder = folder();
    let Ok(files) = std::fs::read_dir(&folder) else {
        eprintln!("skipped: the examples of R4 are not at {} (MEDLOCK_NPM)", folder.display());
        return;
    };
    let (mut count, mut found) = (0, Vec::new());
    for file in files.map(|file| file.expect("a file").path()) {
        let name = file.file_name().expect("a name").to_string_lossy().into_owned();
        let Some(kind) = name.split_once('-').and_then(|(kind, _)| Kind::named(kind)) else { continue };
        let source = std::fs::read(&file).expect("readable");
        let document = Document::read(&source, &Limits::RESOURCE).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(document.root().member("resourceType").and_then(Node::text).as_deref(), Some(kind.name()), "{name}");
        count += 1;
        let asked = Asked { kind, bases: &[], mark: None };
        let Err(issues) = prepare(document.root(), Definitions::r4(), asked) else { continue };
        let elsewhere = [Code::Reference, Code::PatientElsewhere, Code::More];
        for issue in issues.all().iter().filter(|issue| !elsewhere.contains(&issue.code)) {
            let place = issue.expression.clone().unwrap_or_default();
            found.push((name.clone(), format!("{} {place}: {}", issue.code.as_str(), issue.text)));
        }
    }
    assert!(count > 150, "{count} examples");
    let unexpected: Vec<_> = found.iter().filter(|(name, _)| !WRONG.iter().any(|(wrong, _)| wrong == name)).collect();
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    for (wrong, why) in WRONG {
        assert!(found.iter().any(|(name, _)| name == wrong), "{wrong} is taken now, though {why}");
    }
}
