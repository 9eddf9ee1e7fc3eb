//! Programs and data that tests need and that `cargo xtask test` installs. What is missing fails the test and says so.

use std::path::{Path, PathBuf};

/// The Python environment with pynetdicom, pydicom and the published vectors: `MEDLOCK_VENV`, else `target/venv`.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn venv() -> PathBuf {
    let folder = std::env::var_os("MEDLOCK_VENV")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv"), PathBuf::from);
    assert!(folder.join("bin/python3").exists(), "{} is not there; `cargo xtask peers` installs it", folder.display());
    folder
}

/// A folder inside a Python package of [`venv`].
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn python_package(folder: &str) -> PathBuf {
    let library = venv().join("lib");
    let versions = std::fs::read_dir(&library).unwrap_or_else(|error| panic!("{}: {error}", library.display()));
    versions
        .filter_map(Result::ok)
        .map(|version| version.path().join("site-packages").join(folder))
        .find(|path| path.is_dir())
        .unwrap_or_else(|| panic!("{folder} is not in {}; `cargo xtask peers` installs it", library.display()))
}

/// The real files that pydicom tests with.
///
/// # Panics
/// If they are not there.
#[must_use]
pub fn pydicom_files() -> PathBuf {
    python_package("pydicom/data/test_files")
}

/// The folder in which npm has put what it installs (`node_modules` inside): `MEDLOCK_NPM`, else `target/npm`.
///
/// # Panics
/// If it is not there.
#[must_use]
pub fn npm() -> PathBuf {
    let folder = std::env::var_os("MEDLOCK_NPM")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/npm"), PathBuf::from);
    assert!(folder.join("node_modules").exists(), "{} is not there; `cargo xtask peers` installs it", folder.display());
    folder
}
