//! The published definitions, from the package registry of npm.

use std::path::PathBuf;

use serde_json::Value;

use crate::house::{self, House};
use crate::{Error, Result, npm};

const NAME: &str = "hl7.fhir.r4.examples";

/// The package, unpacked.
pub(crate) struct Package {
    folder: PathBuf,
    version: String,
}

impl Package {
    /// The package in the build folder; installed there first if it is not the one that the lock file names.
    pub(crate) fn install(house: &House) -> Result<Self> {
        if !npm::is_there(house) {
            npm::install(house)?;
        }
        Self::open(npm::folder(house))
    }

    fn open(npm: PathBuf) -> Result<Self> {
        let folder = npm.join("node_modules").join(NAME);
        let about = json(&folder.join("package.json"))?;
        let version = about.get("version").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Self { folder, version })
    }

    /// The package with its version.
    pub(crate) fn name(&self) -> String {
        format!("{NAME} {}", self.version)
    }

    /// A definition by its type and its file's name.
    pub(crate) fn definition(&self, sort: &str, id: &str) -> Result<Value> {
        json(&self.folder.join(format!("{sort}-{id}.json")))
    }

    /// All definitions of a type, by the names of their files.
    pub(crate) fn all(&self, sort: &str) -> Result<Vec<Value>> {
        let unreadable = |error| Error::new(format!("cannot list {}: {error}", self.folder.display()));
        let prefix = format!("{sort}-");
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.folder).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix)) {
                files.push(path);
            }
        }
        files.sort();
        files.iter().map(|file| json(file)).collect()
    }
}

fn json(path: &std::path::Path) -> Result<Value> {
    serde_json::from_str(&house::read(path)?)
        .map_err(|error| Error::new(format!("{} is no readable JSON: {error}", path.display())))
}

/// The text of a member, or nothing.
pub(crate) fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// The items of a member, or none.
pub(crate) fn items<'v>(value: &'v Value, member: &str) -> &'v [Value] {
    value.get(member).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}
