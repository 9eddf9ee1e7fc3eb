//! The authorities that a hub has had beside its own site, by their short names, in a file of its folder: one whose own folder is not
//! there any more is missed, and not made anew by the way. Hubs of earlier versions had no such file; they begin it with what they find.

use super::{check_name, folder, made};
use crate::{Failure, folder as of_one};
use medlock_node::files;
use std::collections::BTreeSet;
use std::path::Path;

/// The file's name. It has a short name on each line.
const FILE: &str = "authorities.expected";

/// Those that the hub in this folder expects.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn names(hub: &Path) -> Result<BTreeSet<String>, Failure> {
    let bytes = files::read(&hub.join(FILE))?.unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let (names, others): (BTreeSet<&str>, BTreeSet<&str>) =
        text.lines().map(str::trim).filter(|line| !line.is_empty()).partition(|line| check_name(line).is_ok());
    if !others.is_empty() {
        // It names makers; a site does not stand still for that.
        tracing::warn!(file = FILE, ?others, "these are no short names of authorities, and are passed over");
    }
    Ok(names.into_iter().map(str::to_owned).collect())
}

/// As [`names`], for a hub that starts or reads its configuration: it does not stand still because it cannot be read.
pub(crate) fn names_if_any(hub: &Path) -> BTreeSet<String> {
    names(hub).unwrap_or_else(|error| {
        tracing::error!(%error, "which authorities were here cannot be read: one whose folder is gone is not missed");
        BTreeSet::new()
    })
}

/// Expects these from now on.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn add<'n>(hub: &Path, new: impl IntoIterator<Item = &'n str>) -> Result<(), Failure> {
    let mut names = names(hub)?;
    let before = names.len();
    names.extend(new.into_iter().map(str::to_owned));
    if names.len() > before { write(hub, &names) } else { Ok(()) }
}

/// Expects this one no more.
///
/// # Errors
/// When its folder is there, or it was not expected, or the file cannot be read or written.
pub(crate) fn remove(hub: &Path, name: &str) -> Result<(), Failure> {
    let (mut names, dir) = (names(hub)?, folder(hub, name)?);
    if of_one::was_made(&dir) {
        return Err(format!(
            "{name} is there, in {0}: stop the hub and move that folder out of the hub's, to where it is kept, as what it has issued still \
             has to be answered for; then repeat this",
            dir.display()
        )
        .into());
    }
    if !names.remove(name) {
        return Err(format!("this hub has no authority {name}, and misses none of that name").into());
    }
    write(hub, &names)
}

/// Why one that is expected cannot be opened, if its folder is not there.
///
/// # Errors
/// When the name is none.
pub(crate) fn missing(hub: &Path, name: &str) -> Result<Option<String>, Failure> {
    let dir = folder(hub, name)?;
    if of_one::was_made(&dir) || !names_if_any(hub).contains(name) {
        return Ok(None);
    }
    Ok(Some(format!(
        "there is nothing of {name} in {0}, where it was: is its disk mounted? If it is lost, `medlock authority restore \
         BACKUP/authorities/{name} --dir {0}` brings it back; to give it up, `medlock authority remove {name}`",
        dir.display()
    )))
}

/// Those that were made in the hub's folder and those that are missed, ascending.
///
/// # Errors
/// When folder or file cannot be read.
pub(crate) fn with_made(hub: &Path) -> Result<BTreeSet<String>, Failure> {
    let mut all = names(hub)?;
    all.extend(made(hub)?);
    Ok(all)
}

fn write(hub: &Path, names: &BTreeSet<String>) -> Result<(), Failure> {
    of_one::is_ours(hub)?;
    let text: String = names.iter().map(|name| format!("{name}\n")).collect();
    Ok(files::replace(&hub.join(FILE), text.as_bytes())?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-STORE-136: a hub without the file, or with a line that says nothing, starts; names stay till they are taken out.
    #[test]
    fn who_was_there_is_expected_until_it_is_taken_out() {
        let hub = tempfile::tempdir().unwrap();
        let dir = hub.path();
        assert!(names(dir).unwrap().is_empty());
        assert!(remove(dir, "pumps").is_err() && missing(dir, "pumps").unwrap().is_none());
        for name in ["pumps", "clinic", "pumps"] {
            add(dir, [name]).unwrap();
        }
        let file = dir.join(FILE);
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "clinic\npumps\n");
        std::fs::write(&file, "clinic\n\n ../pumps\npumps").unwrap();
        assert_eq!(names(dir).unwrap().into_iter().collect::<Vec<_>>(), ["clinic", "pumps"]);
        assert!(missing(dir, "pumps").unwrap().is_some_and(|why| why.contains("authority remove pumps")));
        remove(dir, "pumps").unwrap();
        assert!(missing(dir, "pumps").unwrap().is_none() && missing(dir, "clinic").unwrap().is_some());
    }
}
