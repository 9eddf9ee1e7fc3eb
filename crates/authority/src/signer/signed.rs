//! The newest checkpoints that were signed, in a file beside the keys: so a store that was restored from a backup does not get
//! a second tree signed for places that others hold proofs of.

use super::SignerError;
use crate::log::generation;
use medlock_node::files;
use medlock_node::log::Checkpoint;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The name of the file in which a signer remembers how far it has signed logs. It has the texts of checkpoints, one of each
/// log, with an empty line between them.
pub const FILE: &str = "log.checkpoints";

/// The newest checkpoint of each log that was signed here.
#[derive(Debug)]
pub(crate) struct Signed {
    folder: PathBuf,
    newest: Mutex<Option<BTreeMap<String, Checkpoint>>>,
}

impl Signed {
    /// Those in this folder; it is read when it is first needed.
    pub(crate) fn within(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), newest: Mutex::default() }
    }

    /// The newest of the log with this name.
    ///
    /// # Errors
    /// [`SignerError::Refused`] when that log was begun anew since: whatever has it is from before.
    pub(crate) fn newest(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        let held = self.held()?;
        let Some(newest) = held.as_ref() else { return Ok(None) };
        check_goes_on(newest, origin)?;
        Ok(newest.get(origin).cloned())
    }

    /// The newest of each log.
    pub(crate) fn all(&self) -> Result<Vec<Checkpoint>, SignerError> {
        Ok(self.held()?.iter().flat_map(BTreeMap::values).cloned().collect())
    }

    /// Notes a checkpoint that is about to be signed, unless it goes back behind an earlier one.
    pub(crate) fn admit(&self, text: &[u8]) -> Result<(), SignerError> {
        let read = std::str::from_utf8(text).ok().and_then(|text| Checkpoint::read(text).ok());
        let wanted = read.ok_or_else(|| SignerError::Refused("it is not a checkpoint".to_owned()))?;
        let mut held = self.held()?;
        let newest = held.get_or_insert_default();
        check_goes_on(newest, &wanted.origin)?;
        match newest.get(&wanted.origin) {
            Some(signed) if *signed == wanted => return Ok(()),
            Some(signed) if wanted.head.size <= signed.head.size => {
                return Err(SignerError::Refused(behind(signed, wanted.head.size)));
            }
            _ => {}
        }
        newest.insert(wanted.origin.clone(), wanted);
        let texts: Vec<String> = newest.values().map(Checkpoint::to_string).collect();
        // Not waited for on the disk, which would cost each round of the log a write: what a loss of power takes away is the
        // last moment, and backups are older.
        files::replace_lazily(&self.path(), texts.join("\n").as_bytes()).map_err(failed).inspect_err(|_| *held = None)
    }

    fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    fn held(&self) -> Result<MutexGuard<'_, Option<BTreeMap<String, Checkpoint>>>, SignerError> {
        let mut held = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if held.is_none() {
            let bytes = files::read(&self.path()).map_err(failed)?;
            // One that is there has a checkpoint. Emptied, by a loss of power for instance, it does not mean that none was
            // signed.
            let emptied = bytes.as_ref().is_some_and(|bytes| bytes.trim_ascii().is_empty());
            let bytes = bytes.unwrap_or_default();
            let text = String::from_utf8_lossy(&bytes);
            let read = |text: &str| Checkpoint::read(&format!("{}\n", text.trim_end())).ok();
            let all: Option<Vec<_>> = text.split("\n\n").filter(|text| !text.trim().is_empty()).map(read).collect();
            let all = all.filter(|_| !emptied).ok_or_else(|| {
                SignerError::KeyFile(format!(
                    "{} is damaged: it says how far the log was signed. Bring it back from your backup; only if nothing \
                     was restored, remove it",
                    self.path().display()
                ))
            })?;
            *held = Some(all.into_iter().map(|checkpoint| (checkpoint.origin.clone(), checkpoint)).collect());
        }
        Ok(held)
    }
}

/// Refuses the name of a log that was begun anew: entries of it were given up, and their places are not given again.
fn check_goes_on(newest: &BTreeMap<String, Checkpoint>, origin: &str) -> Result<(), SignerError> {
    let (first, number) = generation(origin);
    let later = newest.values().map(|signed| (signed, generation(&signed.origin)));
    let later =
        later.filter(|(_, (base, later))| *base == first && *later > number).max_by_key(|(_, (_, later))| *later);
    let Some((later, _)) = later else { return Ok(()) };
    Err(SignerError::Refused(format!(
        "the log {origin:?} was begun anew as {:?}, of which {} entries were signed: this store is from a backup from before. \
         Bring a newer one back. If there is none, the certificates and revocations since are lost: `medlock log start-anew \
         --accept-loss` (or `medlock authority restore BACKUP --accept-loss`) begins a new log, with a new name, with what \
         there is",
        later.origin, later.head.size
    )))
}

/// Says that a log of `size` entries is not the one that was signed, and what to do.
pub(crate) fn behind(signed: &Checkpoint, size: u64) -> String {
    let found = match size.checked_sub(signed.head.size) {
        Some(_) => "the store has others in their places",
        None => "the store has fewer",
    };
    format!(
        "{} entries of the log {:?} were signed, and {found} ({size}): it was restored from a backup, or a server took over \
         that had not got everything. Bring the newer store back. If it is lost for good, so are the certificates and \
         revocations since: `medlock authority restore BACKUP --accept-loss` goes on with what there is, and a new log of a new \
         name (`medlock log start-anew --accept-loss` for a store that was brought back by hand)",
        signed.head.size, signed.origin
    )
}

fn failed(error: medlock_node::Error) -> SignerError {
    SignerError::KeyFile(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_trust::log::{Hash, TreeHead};

    fn text(origin: &str, size: u64, root: u8) -> Vec<u8> {
        let head = TreeHead { size, root: Hash::from_bytes([root; 32]) };
        Checkpoint { origin: origin.to_owned(), head }.to_string().into_bytes()
    }

    /// Shows REQ-LOG-07, REQ-KEYS-34.
    #[test]
    fn a_log_is_never_signed_smaller_or_otherwise_also_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let signed = Signed::within(folder.path());
        assert_eq!(signed.newest("a").unwrap(), None);
        for (origin, size, root) in [("a", 3, 1), ("a", 3, 1), ("b", 1, 9), ("a", 10, 2)] {
            signed.admit(&text(origin, size, root)).unwrap();
        }
        for signed in [signed, Signed::within(folder.path())] {
            for (size, root) in [(9, 2), (3, 1), (10, 3), (0, 0)] {
                let refused = signed.admit(&text("a", size, root)).unwrap_err().to_string();
                assert!(refused.contains("10 entries") && refused.contains("--accept-loss"), "{refused}");
            }
            assert_eq!(signed.newest("a").unwrap().unwrap().head.size, 10);
            signed.admit(&text("a", 10, 2)).unwrap();
            signed.admit(&text("b", 1, 9)).unwrap();
        }
        let path = folder.path().join(FILE);
        for damage in ["a\nmany\n", "", "\n"] {
            std::fs::write(&path, damage).unwrap();
            let signed = Signed::within(folder.path());
            assert!(signed.newest("a").is_err(), "{damage:?} was passed over");
            assert!(signed.admit(&text("a", 11, 2)).is_err(), "{damage:?} was passed over");
        }
    }

    /// Shows REQ-STORE-72: a log that was begun anew is signed no more under the names it had, however large it is, and what
    /// was signed of it stays known.
    #[test]
    fn a_log_that_was_begun_anew_is_not_signed_under_a_former_name() {
        let folder = tempfile::tempdir().unwrap();
        let signed = Signed::within(folder.path());
        for (origin, size) in [("a", 8), ("a/3-0000000b", 11), ("b", 2)] {
            signed.admit(&text(origin, size, 1)).unwrap();
        }
        for signed in [signed, Signed::within(folder.path())] {
            for (origin, size) in [("a", 6), ("a", 8), ("a", 9), ("a/2-0000000a", 100)] {
                for refused in [signed.admit(&text(origin, size, 1)).unwrap_err(), signed.newest(origin).unwrap_err()] {
                    let refused = refused.to_string();
                    assert!(refused.contains("a/3-0000000b") && refused.contains("--accept-loss"), "{refused}");
                }
            }
            for (origin, size) in [("a/3-0000000b", 11), ("a/4-00000001", 1), ("b", 2)] {
                signed.newest(origin).unwrap();
                if size > 1 {
                    signed.admit(&text(origin, size, 1)).unwrap();
                }
            }
            let sizes: Vec<_> = signed.all().unwrap().iter().map(|one| (one.origin.clone(), one.head.size)).collect();
            assert_eq!(sizes, [("a".into(), 8), ("a/3-0000000b".into(), 11), ("b".into(), 2)]);
        }
    }
}
