//! What commits added to the write-ahead log is brought into the file beside them, by a thread with a connection of its own: until
//! the disk has confirmed some thousand pages, no commit waits. The log begins anew when all of it is in the file and nobody reads from
//! it. Where commits and readers never pause, the one that writes makes a pause: it lets no new state come to be, and waits for those who
//! read an old one.

use super::{BUSY, steady};
use crate::Fault;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// Pages of 4 KiB that are added to the log until the thread brings them into the file: a page that many commits change is written
/// there once.
const BESIDE: u32 = 8_000;
/// Pages in the log at which the one that writes sees to it, and from there on each time that some more have come.
const HERE: u32 = 4 * BESIDE;
const MORE: u32 = BESIDE / 4;
/// Pages in the log, 250 MiB, at which it waits as long as questions take whose cost their asker decides. Who reads one state for minutes
/// (a copy) is not waited for again and again.
const MOST: u32 = 2 * HERE;
/// The log's file is made as small as this when it begins anew, in bytes.
const KEPT: u32 = HERE * 4_096;
const PAUSE: Duration = Duration::from_millis(100);
const LONG_PAUSE: Duration = Duration::from_millis(2_500);

/// The log of a connection that writes.
pub(super) struct Log {
    /// Pages in it after the last commit.
    pages: Arc<AtomicU32>,
    due: Due,
    /// Held by who brings pages into the file: SQLite lets nobody else wait for that, and tells them at once that it is busy.
    bringing: Arc<Mutex<()>>,
    /// `None` only while dropping: the thread ends when nobody can wake it.
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

/// At which pages something is to be done.
#[derive(Debug, PartialEq, Eq)]
struct Due {
    last: u32,
    beside: u32,
    here: u32,
}

/// Who brings pages into the file now.
#[derive(Debug, PartialEq, Eq)]
enum Who {
    Nobody,
    Thread,
    /// And how long it waits for those who read.
    Writer(Duration),
}

impl Due {
    const NEW: Self = Self { last: 0, beside: BESIDE, here: HERE };

    /// What a commit asks for that left so many pages.
    fn at(&mut self, pages: u32) -> Who {
        if pages < self.last {
            *self = Self::NEW;
        }
        self.last = pages;
        if pages >= self.here {
            let (pause, more) = if pages < MOST { (PAUSE, MORE) } else { (LONG_PAUSE, HERE) };
            self.here = pages.saturating_add(more);
            return Who::Writer(pause);
        }
        if pages >= self.beside {
            self.beside = pages.saturating_add(BESIDE);
            return Who::Thread;
        }
        Who::Nobody
    }
}

impl Log {
    /// Watches the log of `writer`, which has the file at `path` open.
    pub(super) fn watch(writer: &mut Connection, path: &Path, name: &str) -> Result<Self, Fault> {
        let pages = Arc::new(AtomicU32::new(0));
        let seen = pages.clone();
        // In place of SQLite's own, which would do all of it within a commit.
        writer.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: std::ffi::c_int| {
            seen.store(pages.try_into().unwrap_or(0), Ordering::Relaxed);
            Ok(())
        }))?;
        writer.query_row(&format!("PRAGMA journal_size_limit = {KEPT}"), [], |_| Ok(()))?;
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        steady(&connection)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        let (wake, woken) = sync_channel(1);
        let bringing = Arc::<Mutex<()>>::default();
        let beside = bringing.clone();
        let thread = std::thread::Builder::new()
            .name(format!("{name}-file"))
            .spawn(move || bring(&connection, &woken, &beside))
            .map_err(|error| Fault::Failed(format!("the thread beside the writer does not start: {error}")))?;
        Ok(Self { pages, due: Due::NEW, bringing, wake: Some(wake), thread: Some(thread) })
    }

    /// After commits of `writer`.
    pub(super) fn committed(&mut self, writer: &Connection) {
        match self.due.at(self.pages.load(Ordering::Relaxed)) {
            Who::Nobody => {}
            Who::Thread => {
                if let Some(wake) = &self.wake {
                    // A thread that is still at it was told already.
                    let _ = wake.try_send(());
                }
            }
            Who::Writer(pause) => {
                let begins = {
                    let _bringing = self.bringing.lock().unwrap_or_else(PoisonError::into_inner);
                    begin_anew(writer, pause)
                };
                match begins {
                    Ok(true) => {}
                    Ok(false) => {
                        tracing::debug!("somebody reads an old state: the write-ahead log does not begin anew yet");
                    }
                    Err(error) => tracing::warn!(%error, "the write-ahead log does not begin anew"),
                }
            }
        }
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take() {
            // The log is whole whatever became of the thread.
            let _ = thread.join();
        }
    }
}

fn bring(connection: &Connection, woken: &Receiver<()>, bringing: &Mutex<()>) {
    while woken.recv().is_ok() {
        let _bringing = bringing.lock().unwrap_or_else(PoisonError::into_inner);
        checkpoint(connection);
    }
}

/// Brings into the file what nobody reads an older state of, and waits for nobody. What does not succeed stays in the log, which is as
/// durable, and is tried again; a disk that has failed fails the next commit.
fn checkpoint(connection: &Connection) {
    let done = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = done {
        tracing::warn!(%error, "the write-ahead log stays as it is");
    }
}

/// Brings all into the file, so that the next commit begins the log anew; whether it does: those who read from it have ended in time.
fn begin_anew(writer: &Connection, pause: Duration) -> Result<bool, rusqlite::Error> {
    writer.busy_timeout(pause)?;
    let is_busy = writer.query_row("PRAGMA wal_checkpoint(RESTART)", [], |row| row.get::<_, bool>(0));
    writer.busy_timeout(BUSY)?;
    is_busy.map(|is_busy| !is_busy)
}

#[cfg(test)]
mod tests {
    use super::{BESIDE, Due, HERE, LONG_PAUSE, MORE, MOST, PAUSE, Who};

    /// Shows REQ-STORE-193.
    #[test]
    fn the_thread_has_its_turns_and_the_writer_the_last_word() {
        let mut due = Due::NEW;
        assert_eq!(due.at(BESIDE - 1), Who::Nobody);
        assert_eq!(due.at(BESIDE + 5), Who::Thread);
        assert_eq!(due.at(2 * BESIDE), Who::Nobody);
        assert_eq!(due.at(2 * BESIDE + 5), Who::Thread);
        assert_eq!(due.at(HERE), Who::Writer(PAUSE));
        assert_eq!(due.at(HERE + 1), Who::Thread, "others go on beside");
        assert_eq!(due.at(HERE + MORE), Who::Writer(PAUSE), "soon again");
        assert_eq!(due.at(MOST), Who::Writer(LONG_PAUSE));
        assert_eq!(
            due.at(MOST + HERE),
            Who::Writer(LONG_PAUSE),
            "not soon, if somebody reads an old state for minutes"
        );
        assert_eq!(due.at(3), Who::Nobody, "it began anew");
        assert_eq!(due.at(BESIDE), Who::Thread);
    }
}
