//! Where things are: the checkout, the build folder, and what the tests get to know of both.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::Program;
use crate::{Error, Result};

/// The checkout and its build folder.
pub(crate) struct House {
    /// The folder of the workspace's Cargo.toml.
    pub(crate) root: PathBuf,
    /// Cargo's target folder, wherever CARGO_TARGET_DIR or a configuration put it.
    pub(crate) target: PathBuf,
    /// `cargo metadata --no-deps` of the workspace.
    pub(crate) metadata: Value,
}

impl House {
    pub(crate) fn find() -> Result<Self> {
        let metadata = Program::new("cargo").args(["metadata", "--no-deps", "--format-version", "1"]).json()?;
        let path = |key: &str| {
            let text = metadata.get(key).and_then(Value::as_str);
            text.map(PathBuf::from).ok_or_else(|| Error::new(format!("cargo metadata gave no `{key}`")))
        };
        Ok(Self { root: path("workspace_root")?, target: path("target_directory")?, metadata })
    }

    /// The Python environment of the peers that come from PyPI.
    pub(crate) fn venv(&self) -> PathBuf {
        self.target.join("venv")
    }

    /// Where programs built for the checks are installed (`bin` inside).
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// NIST's PKITS files, once the Python environment is there.
    pub(crate) fn pkits(&self) -> Option<PathBuf> {
        let pythons = std::fs::read_dir(self.venv().join("lib")).ok()?;
        pythons
            .filter_map(|entry| Some(entry.ok()?.path().join("site-packages/cryptography_vectors/x509/PKITS_data")))
            .find(|path| path.is_dir())
    }

    /// The shared test vectors: `MEDLOCK_VECTORS`, else the folder `shared/vectors` beside the checkout.
    pub(crate) fn vectors(&self) -> Option<PathBuf> {
        let path = match std::env::var_os("MEDLOCK_VECTORS") {
            Some(path) => PathBuf::from(path),
            None => self.root.parent()?.join("shared/vectors"),
        };
        path.is_dir().then_some(path)
    }

    /// What every test process is told by its environment.
    pub(crate) fn test_environment(&self) -> Vec<(&'static str, PathBuf)> {
        let venv = Some(self.venv()).filter(|path| path.is_dir());
        let npm = Some(crate::npm::folder(self)).filter(|path| path.is_dir());
        let all = [
            ("MEDLOCK_VENV", venv),
            ("MEDLOCK_PKITS", self.pkits()),
            ("MEDLOCK_NPM", npm),
            ("MEDLOCK_VECTORS", self.vectors()),
        ];
        all.into_iter().filter_map(|(name, path)| Some((name, path?))).collect()
    }

    /// All files below `folder` (relative to the root) whose name ends in `.extension`, sorted; build folders left out.
    pub(crate) fn files(&self, folder: &str, extension: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        collect(&self.root.join(folder), extension, &mut found)?;
        found.sort();
        Ok(found)
    }

    /// The path as seen from the root, for messages.
    pub(crate) fn relative<'p>(&self, path: &'p Path) -> std::path::Display<'p> {
        path.strip_prefix(&self.root).unwrap_or(path).display()
    }
}

fn collect(folder: &Path, extension: &str, found: &mut Vec<PathBuf>) -> Result<()> {
    if !folder.is_dir() {
        return Ok(());
    }
    let unreadable = |error| Error::new(format!("cannot list {}: {error}", folder.display()));
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with(".git") {
                collect(&path, extension, found)?;
            }
        } else if path.extension().is_some_and(|have| have == extension) {
            found.push(path);
        }
    }
    Ok(())
}

/// The text of a file, or an error that names it.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))
}

/// Makes a folder and those above it, or says which could not be made.
pub(crate) fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(|error| Error::new(format!("cannot make folder {}: {error}", path.display())))
}
