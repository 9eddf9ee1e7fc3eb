//! A folder of lists, to be served by any web server.

use super::signing::Believed;
use super::{names, refused};
use crate::Error;
use medlock_node::files;
use medlock_node::knowledge::suspensions;
use medlock_node::lists::{Entry, INDEX, Index, LATEST, SUSPENSIONS, delta};
use medlock_node::provider::AwsLc;
use medlock_trust::list::{List, Suspension};
use medlock_trust::{Interval, Time};
use std::path::{Path, PathBuf};

/// From how many versions before it a delta to the newest is kept: who missed more takes whole lists.
const DELTAS: usize = 10;

/// What was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// The version; none of a suspension.
    pub version: Option<u64>,
    /// The files that were written, the index last.
    pub files: Vec<PathBuf>,
}

/// Adds a list to the folder, or a suspension.
///
/// # Errors
/// As [`publish_list`] and [`publish_suspension`].
pub fn publish(folder: &Path, bytes: &[u8], first: Believed<'_>, now: Time) -> Result<Published, Error> {
    match Suspension::danger_open(bytes) {
        Ok(_) => publish_suspension(folder, bytes, now),
        Err(_) => publish_list(folder, bytes, first, now),
    }
}

/// Adds a suspension to the folder, if those who hold the newest list there would take it. Those that are over go.
///
/// # Errors
/// [`Error::Object`] if it is refused; [`Error::File`].
pub fn publish_suspension(folder: &Path, bytes: &[u8], now: Time) -> Result<Published, Error> {
    let what = "suspension";
    let latest = read(&folder.join(LATEST))?;
    let latest = latest.ok_or_else(|| refused(what, "publish the list first whose members signed it"))?;
    let list = List::danger_open(&latest).map_err(|error| refused("latest.cbor", error))?;
    let given =
        Suspension::verify(bytes, &list, Interval::exactly(now), &AwsLc).map_err(|error| refused(what, error))?;
    let file = folder.join(SUSPENSIONS);
    let held = read(&file)?.unwrap_or_default();
    let stays = |one: &&[u8]| {
        Suspension::danger_open(one).is_ok_and(|one| one.content().expires > now && one.payload() != given.payload())
    };
    let mut all: Vec<&[u8]> = suspensions::each(&held).filter(stays).collect();
    if all.len() >= suspensions::MOST {
        let why = format!(
            "{} are in force there, and nobody reads more: a list that leaves out those makers makes room",
            all.len()
        );
        return Err(refused(what, why));
    }
    all.push(bytes);
    put(&file, &all.concat())?;
    Ok(Published { version: None, files: vec![file] })
}

/// Adds a list to the folder, if those who hold the newest one there would take it. The index is written last: whoever reads it
/// finds all it names.
///
/// # Errors
/// [`Error::Object`] if the list is refused; [`Error::File`].
pub fn publish_list(folder: &Path, bytes: &[u8], first: Believed<'_>, now: Time) -> Result<Published, Error> {
    std::fs::create_dir_all(folder).map_err(|error| Error::file(folder, error))?;
    let latest = read(&folder.join(LATEST))?;
    let held = latest.as_deref().map(List::danger_open).transpose();
    let held =
        held.map_err(|error| refused("latest.cbor", format!("{error}; move it away, or publish to another folder")))?;
    let list = match &held {
        Some(held) => Believed::After(held).verify(bytes, now)?,
        None => first.verify(bytes, now)?,
    };
    names::check(&list, held.is_none())?;
    let mut index = match read(&folder.join(INDEX))? {
        Some(text) => serde_json::from_slice(&text).map_err(|error| refused("index.json", error))?,
        None => Index { name: list.heading().name.to_owned(), versions: Vec::new() },
    };
    let mut entry = Entry::of(&list, held.as_ref());
    let mut files = Vec::new();
    let mut write = |name: String, content: &[u8]| {
        let path = folder.join(name);
        put(&path, content)?;
        files.push(path);
        Ok::<_, Error>(())
    };
    write(entry.file(), bytes)?;
    let same_epoch = |old: &&Entry| old.recovery_epoch == entry.recovery_epoch;
    let bases: Vec<Entry> = index.versions.iter().rev().filter(same_epoch).take(DELTAS).cloned().collect();
    for base in bases {
        let Some(old) = read(&folder.join(base.file()))? else { continue };
        let made = delta::make(&old, bytes).map_err(|error| refused("delta", error))?;
        // A delta that is longer than the list saves nothing.
        if made.len() < bytes.len() {
            write(entry.delta_file(base.version), &made)?;
            entry.deltas.push(base.version);
        }
    }
    write(LATEST.to_owned(), bytes)?;
    let version = entry.version;
    index.versions.push(entry);
    let text = serde_json::to_vec_pretty(&index).map_err(|error| refused("index.json", error))?;
    write(INDEX.to_owned(), &text)?;
    Ok(Published { version: Some(version), files })
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    files::read(path).map_err(|error| refused("folder of lists", error))
}

/// Writes a file that a web server, which is another user, may read.
fn put(path: &Path, content: &[u8]) -> Result<(), Error> {
    use std::os::unix::fs::PermissionsExt as _;
    files::replace(path, content).map_err(|error| refused("folder of lists", error))?;
    let public = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(path, public).map_err(|error| Error::file(path, error))
}
