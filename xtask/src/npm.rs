//! What npm installs for the checks: the published definitions of FHIR, and peers. It goes into the build folder, by a lock file.

use std::path::PathBuf;

use crate::command::Program;
use crate::house::{self, House};
use crate::{Error, Result};

/// What says which packages, and their hashes.
const FILES: [&str; 2] = ["package.json", "package-lock.json"];

/// Where it is (`node_modules` inside).
pub(crate) fn folder(house: &House) -> PathBuf {
    house.target.join("npm")
}

/// Whether it is what the lock file names.
pub(crate) fn is_there(house: &House) -> bool {
    let lock = house::read(&source(house).join("package-lock.json"));
    lock.is_ok_and(|lock| house::read(&stamp(house)).is_ok_and(|installed| installed == lock))
}

/// Installs it. No script of a package runs.
pub(crate) fn install(house: &House) -> Result<()> {
    let (from, to) = (source(house), folder(house));
    house::make_folder(&to)?;
    for file in FILES {
        copy(&from.join(file), &to.join(file))?;
    }
    // What a package only wishes beside it (React Native for one) is not wanted here.
    let quiet = ["--ignore-scripts", "--legacy-peer-deps", "--no-audit", "--no-fund"];
    Program::new("npm").args(["ci"]).args(quiet).folder(&to).run()?;
    copy(&from.join("package-lock.json"), &stamp(house))
}

fn source(house: &House) -> PathBuf {
    house.root.join("xtask/npm")
}

/// A copy of the lock file it was installed by; written last.
fn stamp(house: &House) -> PathBuf {
    folder(house).join("installed")
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<()> {
    let wrong = |error| Error::new(format!("cannot copy {} to {}: {error}", from.display(), to.display()));
    std::fs::copy(from, to).map(drop).map_err(wrong)
}
