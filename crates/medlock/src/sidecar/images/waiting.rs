//! Reports that wait for the hub: a file each, in order, bounded. One may still grow, and is not told before it is released; at a start
//! all are.

use crate::Failure;
use medlock_node::files;
use std::collections::{BTreeMap, BTreeSet};
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
    released: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// How many bytes each takes, by its number.
    reports: BTreeMap<u64, u64>,
    bytes: u64,
    next: u64,
    /// Those that may still grow.
    growing: BTreeSet<u64>,
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
        let state = State { bytes: reports.values().sum(), reports, next, growing: BTreeSet::new() };
        let released = watch::channel(0).0;
        Ok(Self { directory: directory.to_owned(), most_bytes, state: Mutex::new(state), released })
    }

    /// Keeps a report, durably, in the place of the one with this number, or as a new one; its number. It may still grow. Where there is
    /// no room, the oldest go.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub(super) fn keep(&self, number: Option<u64>, report: &[u8]) -> Result<u64, Failure> {
        let mut state = self.state();
        let length = taken(report.len() as u64);
        let number = number.unwrap_or(state.next);
        state.forget(number);
        while state.bytes + length > self.most_bytes
            && let Some((&oldest, _)) = state.reports.first_key_value()
        {
            tracing::error!(report = oldest, "too much waits for the hub: it is not told of the oldest images");
            state.forget(oldest);
            files::remove(&self.file(oldest))?;
        }
        files::replace(&self.file(number), report)?;
        state.reports.insert(number, length);
        state.growing.insert(number);
        state.bytes += length;
        state.next = state.next.max(number + 1);
        Ok(number)
    }

    /// A report grows no more: the hub is told of it.
    pub(super) fn release(&self, number: u64) {
        self.state().growing.remove(&number);
        self.released.send_modify(|count| *count += 1);
    }

    /// The oldest that is wanted and grows no more.
    pub(super) fn find(&self, wanted: impl Fn(u64) -> bool) -> Option<u64> {
        let state = self.state();
        state.reports.keys().copied().find(|number| !state.growing.contains(number) && wanted(*number))
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
        self.state().forget(number);
        Ok(files::remove(&self.file(number))?)
    }

    /// Changes with each report that is released.
    pub(super) fn released(&self) -> watch::Receiver<u64> {
        self.released.subscribe()
    }

    fn file(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number:020}.json"))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, number: u64) {
        self.growing.remove(&number);
        if let Some(bytes) = self.reports.remove(&number) {
            self.bytes -= bytes;
        }
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
        let put = |waiting: &Waiting, report: &[u8]| waiting.release(waiting.keep(None, report).expect("kept"));
        for report in [&b"one"[..], b"two", b"six"] {
            put(&waiting, report);
        }
        waiting.remove(1).expect("removed");
        drop(waiting);
        let waiting = open();
        assert_eq!(all(&waiting), [b"one", b"six"]);
        let long = vec![b'x'; 5_000];
        put(&waiting, &long);
        assert_eq!(all(&waiting), [&b"six"[..], &long], "the oldest made room");
        assert_eq!(waiting.read(0).expect("readable"), None);
        waiting.remove(2).expect("removed");
        // One that grows is on the disk, and told when it is whole, or after the next start.
        let number = waiting.keep(None, b"gro").expect("kept");
        assert_eq!(waiting.keep(Some(number), b"grown").expect("kept"), number);
        assert_eq!(all(&waiting), [&long[..]]);
        waiting.release(number);
        assert_eq!(all(&waiting), [&long[..], b"grown"]);
        waiting.keep(Some(number), b"more").expect("kept");
        drop(waiting);
        assert_eq!(all(&open()), [&long[..], b"more"]);
    }
}
