//! Reports that wait for the hub: a file each, in order, bounded. One that the hub refuses holds up no others.

use crate::Failure;
use medlock_node::files;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;

/// What a file takes of a disk at least, in bytes.
const BLOCK: u64 = 4_096;

/// The reports in a directory. One process has it open at a time.
#[derive(Debug)]
pub(in crate::sidecar) struct Waiting {
    directory: PathBuf,
    most_bytes: u64,
    state: Mutex<State>,
    added: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// How many bytes each takes, by its number.
    reports: BTreeMap<u64, u64>,
    bytes: u64,
    next: u64,
}

impl Waiting {
    /// Opens the directory, which is made, for this user only, if it is not there: reports name patients.
    ///
    /// # Errors
    /// When it cannot be used.
    pub(super) fn open(directory: &Path, most_bytes: u64) -> Result<Self, Failure> {
        files::private_directory(directory)?;
        files::sweep(directory)?;
        let mut reports = BTreeMap::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let number = name.to_str().and_then(|name| name.strip_suffix(".json")).and_then(|name| name.parse().ok());
            if let Some(number) = number {
                reports.insert(number, taken(entry.metadata()?.len()));
            }
        }
        let next = reports.last_key_value().map_or(0, |(last, _)| last + 1);
        let state = State { bytes: reports.values().sum(), reports, next };
        let added = watch::channel(next).0;
        Ok(Self { directory: directory.to_owned(), most_bytes, state: Mutex::new(state), added })
    }

    /// Keeps a report, durably. Where there is no room, the oldest go.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn keep(&self, report: &[u8]) -> Result<(), Failure> {
        let mut state = self.state();
        let length = taken(report.len() as u64);
        while state.bytes + length > self.most_bytes
            && let Some((oldest, bytes)) = state.reports.pop_first()
        {
            tracing::error!(report = oldest, "too much waits for the hub: it is not told of the oldest images");
            state.bytes -= bytes;
            files::remove(&self.file(oldest))?;
        }
        let number = state.next;
        files::replace(&self.file(number), report)?;
        state.reports.insert(number, length);
        state.bytes += length;
        state.next += 1;
        self.added.send_replace(state.next);
        Ok(())
    }

    /// The oldest that is wanted.
    pub(super) fn find(&self, wanted: impl Fn(u64) -> bool) -> Option<u64> {
        self.state().reports.keys().copied().find(|number| wanted(*number))
    }

    /// A report; `None` if it waits no longer.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn read(&self, number: u64) -> Result<Option<Vec<u8>>, Failure> {
        Ok(files::read(&self.file(number))?)
    }

    /// A report waits no longer.
    ///
    /// # Errors
    /// When it cannot be removed: then the hub is told once more.
    pub(super) fn remove(&self, number: u64) -> Result<(), Failure> {
        let mut state = self.state();
        if let Some(bytes) = state.reports.remove(&number) {
            state.bytes -= bytes;
        }
        Ok(files::remove(&self.file(number))?)
    }

    /// Changes with each report that comes.
    pub(super) fn added(&self) -> watch::Receiver<u64> {
        self.added.subscribe()
    }

    fn file(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:020}.json"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a file of this length takes of a disk.
const fn taken(length: u64) -> u64 {
    length.next_multiple_of(BLOCK)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// All that wait, oldest first.
    pub(in crate::sidecar) fn all(waiting: &Waiting) -> Vec<Vec<u8>> {
        let (mut all, mut from) = (Vec::new(), 0);
        while let Some(number) = waiting.find(|number| number >= from) {
            all.push(waiting.read(number).expect("readable").expect("there"));
            from = number + 1;
        }
        all
    }

    /// Shows REQ-INTAKE-45: what waits outlives a restart, in order, and the oldest make room.
    #[test]
    fn reports_wait_in_order_and_within_bounds() {
        let folder = tempfile::tempdir().expect("a folder");
        let open = || Waiting::open(folder.path(), 3 * BLOCK).expect("open");
        let waiting = open();
        for report in [&b"one"[..], b"two", b"six"] {
            waiting.keep(report).expect("kept");
        }
        waiting.remove(1).expect("removed");
        drop(waiting);
        let waiting = open();
        assert_eq!(all(&waiting), [b"one", b"six"]);
        let long = vec![b'x'; 5_000];
        waiting.keep(&long).expect("kept");
        assert_eq!(all(&waiting), [&b"six"[..], &long], "the oldest made room");
        assert_eq!(waiting.read(0).expect("readable"), None);
    }
}
