//! The keys that sign nothing any more, in a file beside the keys: so that the signer refuses them also when whoever asks
//! does not know, and when the key comes back from a backup.

use super::{KeyLabel, SignerError};
use medlock_node::files;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The file's name. It has a label on each line.
const FILE: &str = "retired.keys";

/// The labels of the keys that were retired here.
#[derive(Debug)]
pub(super) struct Retired {
    folder: PathBuf,
    held: Mutex<Option<BTreeSet<KeyLabel>>>,
}

impl Retired {
    /// Those named in this folder; the file is read when it is first needed.
    pub(super) fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), held: Mutex::default() }
    }

    /// Refuses a key that was retired.
    pub(super) fn check(&self, key: KeyLabel) -> Result<(), SignerError> {
        if !self.has(key)? {
            return Ok(());
        }
        Err(SignerError::Refused(format!(
            "the {key} key was retired and signs nothing any more ({} names it). The key that took over signs; if this \
             authority believes that {key} still issues, its store is older than that: `medlock authority rotate issuing`. \
             If nobody here has retired it, stop the hub, find out who did, take the name out of that file, and call \
             {key}.key.retired {key}.key again",
            self.path().display()
        )))
    }

    /// Whether the key was retired.
    pub(super) fn has(&self, key: KeyLabel) -> Result<bool, SignerError> {
        Ok(self.held()?.as_ref().is_some_and(|held| held.contains(&key)))
    }

    /// Names a key from now on, durably.
    pub(super) fn add(&self, key: KeyLabel) -> Result<(), SignerError> {
        let mut held = self.held()?;
        let all = held.get_or_insert_default();
        if !all.insert(key) {
            return Ok(());
        }
        let text: String = all.iter().map(|key| format!("{key}\n")).collect();
        files::replace(&self.path(), text.as_bytes()).map_err(failed).inspect_err(|_| *held = None)
    }

    /// Whether none was.
    fn is_empty(&self) -> Result<bool, SignerError> {
        Ok(self.held()?.as_ref().is_none_or(BTreeSet::is_empty))
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn held(&self) -> Result<MutexGuard<'_, Option<BTreeSet<KeyLabel>>>, SignerError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            let bytes = files::read(&self.path()).map_err(failed)?.unwrap_or_default();
            let labels: Option<BTreeSet<_>> =
                String::from_utf8_lossy(&bytes).lines().map(|line| line.trim().parse().ok()).collect();
            let damaged = || {
                let path = self.path();
                SignerError::KeyFile(format!(
                    "{} is damaged: it names the keys that sign nothing any more. Bring it back from your backup; without \
                     one, remove it: the hub names them again at its start",
                    path.display()
                ))
            };
            *held = Some(labels.ok_or_else(damaged)?);
        }
        Ok(held)
    }
}

/// Names in the folder `to` the keys that were retired by what the folder `from` says, beside those that are named there: a key
/// that was retired on either side signs nothing.
///
/// # Errors
/// [`SignerError::KeyFile`].
pub fn merge_retired(from: &Path, to: &Path) -> Result<(), SignerError> {
    let (from, to) = (Retired::within(from), Retired::within(to));
    if from.is_empty()? {
        return Ok(());
    }
    let labels = from.held()?.clone().unwrap_or_default();
    labels.into_iter().try_for_each(|label| to.add(label))
}

fn failed(error: medlock_node::Error) -> SignerError {
    SignerError::KeyFile(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signer::KeyRole;

    #[test]
    fn a_retired_key_stays_so_and_damage_is_not_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let retired = Retired::within(folder.path());
        let third = KeyLabel::new(KeyRole::Issuing, 3).unwrap();
        for key in [KeyLabel::ISSUING, third, third] {
            retired.add(key).unwrap();
        }
        for retired in [retired, Retired::within(folder.path())] {
            for key in [KeyLabel::ISSUING, third] {
                let refused = retired.check(key).unwrap_err().to_string();
                assert!(refused.contains(&key.to_string()) && refused.contains(FILE), "{refused}");
            }
            retired.check(KeyLabel::new(KeyRole::Issuing, 2).unwrap()).unwrap();
            retired.check(KeyLabel::ROOT).unwrap();
        }
        let other = tempfile::tempdir().unwrap();
        let second = KeyLabel::new(KeyRole::Issuing, 2).unwrap();
        Retired::within(other.path()).add(second).unwrap();
        merge_retired(folder.path(), other.path()).unwrap();
        let merged = Retired::within(other.path());
        assert!([KeyLabel::ISSUING, second, third].into_iter().all(|key| merged.has(key).unwrap()));
        std::fs::write(folder.path().join(FILE), "issuing\nsomething\n").unwrap();
        assert!(merge_retired(folder.path(), other.path()).is_err(), "a damaged one names nobody");
        assert!(Retired::within(folder.path()).check(KeyLabel::ROOT).is_err());
    }
}
