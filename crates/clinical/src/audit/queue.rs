//! What was read, on its way to the disk.

use super::counted::Counters;
use super::{Note, append};
use crate::kind::Millis;
use crate::store::Records;
use medlock_node::clock::Clock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Entries that may wait.
const WAITING: usize = 8_192;
/// Entries that are written together.
const TOGETHER: usize = 512;
/// Patients whom those name together, but for the last of them: others wait to write meanwhile.
const PATIENTS_TOGETHER: usize = 8_192;
/// How long an entry waits for others.
const DELAY: Duration = Duration::from_millis(100);
/// How long to wait before what failed is tried again.
const BREATH: Duration = Duration::from_millis(500);

/// The queue with the thread that empties it.
#[derive(Debug)]
pub(crate) struct Queue {
    /// `None` only while dropping: the thread ends when its queue does.
    notes: Mutex<Option<SyncSender<(Millis, Note)>>>,
    clock: Clock,
    counters: Counters,
    failing: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Queue {
    /// Starts the thread.
    pub(crate) fn start(records: Arc<Records>, clock: Clock) -> std::io::Result<Self> {
        let (notes, queue) = sync_channel(WAITING);
        let failing = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&failing);
        let builder = std::thread::Builder::new().name("medlock-clinical-audit".to_owned());
        let thread = builder.spawn(move || empty(&records, &queue, &told))?;
        let (notes, thread) = (Mutex::new(Some(notes)), Mutex::new(Some(thread)));
        Ok(Self { notes, clock, counters: Counters::default(), failing, thread })
    }

    /// Who was told of late that somebody counts.
    pub(crate) const fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Takes an entry; `false` if it cannot be kept, and then nothing may be told of what it is about.
    pub(crate) fn take(&self, note: Note) -> bool {
        if self.failing.load(Ordering::Relaxed) {
            return false;
        }
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Millis(self.clock.unix_millis());
        notes.as_ref().is_some_and(|notes| notes.try_send((at, note)).is_ok())
    }
}

impl Drop for Queue {
    /// What was taken is written before.
    fn drop(&mut self) {
        self.notes.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = self.thread.get_mut().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

fn empty(records: &Records, queue: &Receiver<(Millis, Note)>, failing: &AtomicBool) {
    while let Ok(one) = queue.recv() {
        let mut named = one.1.patients().len();
        let mut notes = vec![one];
        let until = Instant::now() + DELAY;
        let mut ended = false;
        while notes.len() < TOGETHER && named < PATIENTS_TOGETHER {
            match queue.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(one) => {
                    named += one.1.patients().len();
                    notes.push(one);
                }
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    ended = true;
                    break;
                }
            }
        }
        write(records, notes, failing, ended);
    }
}

/// Writes them; tries again until it is done, but once only where this process ends.
fn write(records: &Records, notes: Vec<(Millis, Note)>, failing: &AtomicBool, ended: bool) {
    let notes = Arc::new(notes);
    loop {
        let these = Arc::clone(&notes);
        let written = records.database().write("write the audit of what was read", move |sql| {
            these.chunk_by(|a, b| a.0 == b.0).try_for_each(|same| {
                let at = same.first().map_or(Millis(0), |(at, _)| *at);
                let notes: Vec<Note> = same.iter().map(|(_, note)| note.clone()).collect();
                append(sql, at, &notes)
            })
        });
        match written {
            Ok(()) => {
                failing.store(false, Ordering::Relaxed);
                return;
            }
            Err(error) => {
                failing.store(true, Ordering::Relaxed);
                tracing::error!(%error, "the audit of what was read cannot be written, so nothing is read");
                if ended {
                    return;
                }
                std::thread::sleep(BREATH);
            }
        }
    }
}
