//! The packages outside the workspace have lock files of their own; what is fuzzed and measured has to be what
//! ships.

use std::collections::{BTreeMap, BTreeSet};

use crate::Result;
use crate::house::{self, House};

const OUTSIDE: [&str; 3] = ["fuzz", "crates/trust/bare", "firmware"];

/// Packages that another lock file has in a version that the workspace does not have.
pub(crate) fn drifted(house: &House) -> Result<Vec<String>> {
    let ours = versions(&house::read(&house.root.join("Cargo.lock"))?);
    let mut found = Vec::new();
    for folder in OUTSIDE {
        let theirs = versions(&house::read(&house.root.join(folder).join("Cargo.lock"))?);
        let names = differences(&ours, &theirs);
        if !names.is_empty() {
            found.push(format!(
                "{folder}/Cargo.lock has other versions than the workspace of {}. Mend it: \
                 cp Cargo.lock {folder}/ && cargo metadata --manifest-path {folder}/Cargo.toml >/dev/null",
                names.join(", ")
            ));
        }
    }
    Ok(found)
}

type Versions = BTreeMap<String, BTreeSet<String>>;

/// Packages of both, in versions that only the second has.
fn differences(ours: &Versions, theirs: &Versions) -> Vec<String> {
    let differs =
        |(name, versions): &(&String, &BTreeSet<String>)| ours.get(*name).is_some_and(|have| !versions.is_subset(have));
    theirs.iter().filter(differs).map(|(name, _)| name.clone()).collect()
}

fn versions(lock: &str) -> Versions {
    let mut found = Versions::new();
    let mut name = "";
    for line in lock.lines() {
        let value = |key: &str| line.strip_prefix(key)?.strip_prefix(" = \"")?.strip_suffix('"');
        if let Some(value) = value("name") {
            name = value;
        } else if let Some(value) = value("version") {
            found.entry(name.to_string()).or_default().insert(value.to_string());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_packages_are_compared() {
        let lock = |packages: &[(&str, &str)]| {
            let block =
                |(name, version): &(&str, &str)| format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n\n");
            versions(&format!("version = 4\n\n{}", packages.iter().map(block).collect::<String>()))
        };
        let ours = lock(&[("minicbor", "2.3.1"), ("syn", "2.0.1"), ("syn", "3.0.0")]);
        assert!(
            differences(&ours, &lock(&[("minicbor", "2.3.1"), ("syn", "3.0.0"), ("arbitrary", "1.5.0")])).is_empty()
        );
        assert_eq!(differences(&ours, &lock(&[("minicbor", "2.3.0")])), ["minicbor"]);
    }
}
