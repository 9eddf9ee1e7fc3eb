//! Where audit messages go: a file, and a queue on disk for a collector.
//!
//! Recording never waits and never fails towards the caller: care goes on when the disk is full. What could not be
//! recorded is counted, and the count is recorded as soon as there is room (PS3.15 A.5: Audit Recording Stopped).

mod collector;
mod queue;

pub use collector::{Collector, Connect, forward};
pub use queue::Queue;

use crate::{
    Error,
    audit::{AuditSource, Event, Happening, Party},
};
use medlock_trust::Time;
use std::{
    fs::{self, File, OpenOptions},
    io::Write as _,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread::JoinHandle,
};

/// Events that wait for the writer. The writer takes some 100,000 a second; this is for a disk that stalls.
const WAITING: usize = 4096;
/// The file is put aside when it is longer than this, in bytes.
const FILE_BYTES: u64 = 64 << 20;
/// Files that were put aside and are kept: `audit.log.1` is the youngest.
const FILES_KEPT: u32 = 9;

/// Where audit messages go.
#[derive(Clone, Debug)]
pub struct AuditConfig {
    /// A file that gets each message as one line of XML. It is put aside as `FILE.1` at 64 MiB; nine such files are kept.
    pub file: Option<PathBuf>,
    /// A directory for messages that wait for the collector.
    pub queue: Option<PathBuf>,
    /// The most bytes that wait for the collector. What comes then is only in the file.
    pub queue_bytes: u64,
}

impl Default for AuditConfig {
    fn default() -> Self {
        Self { file: None, queue: None, queue_bytes: 256 << 20 }
    }
}

/// Records events. Clones record into the same log.
#[derive(Clone, Debug)]
pub struct AuditLog(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    events: Mutex<Option<mpsc::SyncSender<Event>>>,
    lost: Arc<AtomicU64>,
    writer: Mutex<Option<JoinHandle<()>>>,
    queue: Option<Arc<Queue>>,
}

impl AuditLog {
    /// Opens the log; its writer is a thread of its own.
    ///
    /// # Errors
    /// [`Error::Audit`] when the file or the queue cannot be opened.
    pub fn open(config: &AuditConfig, source: AuditSource) -> Result<Self, Error> {
        let file = config.file.as_deref().map(AuditFile::open).transpose()?;
        let queue = match &config.queue {
            Some(directory) => Some(Arc::new(Queue::open(directory, config.queue_bytes)?)),
            None => None,
        };
        let (sender, receiver) = mpsc::sync_channel(WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let writer = Sinks { file, queue: queue.clone(), source, lost: lost.clone(), refused: 0 };
        let thread = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || writer.run(&receiver))
            .map_err(|source| Error::Audit { path: PathBuf::from("the audit's thread"), source })?;
        Ok(Self(Arc::new(Inner { events: Mutex::new(Some(sender)), lost, writer: Mutex::new(Some(thread)), queue })))
    }

    /// Records an event. Returns at once; if too many events wait the event is counted as lost.
    pub fn record(&self, event: Event) {
        let events = self.0.events.lock().unwrap_or_else(PoisonError::into_inner);
        if events.as_ref().is_none_or(|events| events.try_send(event).is_err()) {
            self.0.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The queue for the collector, if there is one; [`forward`] empties it.
    #[must_use]
    pub fn queue(&self) -> Option<Arc<Queue>> {
        self.0.queue.clone()
    }

    /// Writes what waits and ends the writer. What is recorded later is lost. Blocks until the disk has it.
    pub fn close(&self) {
        self.0.events.lock().unwrap_or_else(PoisonError::into_inner).take();
        let thread = self.0.writer.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the audit's writer ended badly");
        }
    }
}

/// The writer's side.
struct Sinks {
    file: Option<AuditFile>,
    queue: Option<Arc<Queue>>,
    source: AuditSource,
    lost: Arc<AtomicU64>,
    /// Messages the queue or the file did not take since the last message that says so.
    refused: u64,
}

impl Sinks {
    fn run(mut self, events: &mpsc::Receiver<Event>) {
        while let Ok(event) = events.recv() {
            let time = event.time;
            self.write(&event);
            let mut more = 0;
            while more < WAITING
                && let Ok(event) = events.try_recv()
            {
                self.write(&event);
                more += 1;
            }
            self.confess(time);
            self.sync();
        }
        self.sync();
    }

    fn write(&mut self, event: &Event) {
        let xml = event.to_xml(&self.source);
        if let Some(file) = &mut self.file
            && let Err(error) = file.append(&xml)
        {
            self.refused += 1;
            tracing::error!(%error, path = %file.path.display(), "an audit message was not written");
        }
        if let Some(queue) = &self.queue
            && let Err(error) = queue.append(&syslog(event.time, &self.source, &xml))
        {
            self.refused += 1;
            tracing::error!(%error, "an audit message was not queued for the collector");
        }
    }

    /// Records how many messages were lost, if any were.
    fn confess(&mut self, time: Time) {
        let (dropped, refused) = (self.lost.swap(0, Ordering::Relaxed), std::mem::take(&mut self.refused));
        let none = Party::default;
        for (count, place) in [(dropped, "the writer's list"), (refused, "the disk or the collector's queue")] {
            if count == 0 {
                continue;
            }
            let happening = Happening::Lost(count, place);
            let event =
                Event { time, correlation: None, source: none(), destination: none(), happening, marks: Vec::new() };
            let before = self.refused;
            self.write(&event);
            if self.refused > before {
                // Still no room: the count must not be lost with the message that has it.
                self.refused = before + count;
            }
        }
    }

    fn sync(&mut self) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.file.sync_data()
        {
            tracing::error!(%error, path = %file.path.display(), "the audit file was not flushed");
        }
        if let Some(queue) = &self.queue {
            queue.sync();
        }
    }
}

/// A message as RFC 5424 wants it, with the fields PS3.15 A.6 names: facility 10, severity 5.
fn syslog(time: Time, source: &AuditSource, xml: &str) -> Vec<u8> {
    let host: String = source.device.chars().map(|char| if char.is_ascii_graphic() { char } else { '-' }).collect();
    format!("<85>1 {time} {host} medlock {} DICOM+RFC3881 - \u{feff}{xml}", source.process).into_bytes()
}

struct AuditFile {
    path: PathBuf,
    file: File,
    length: u64,
}

impl AuditFile {
    fn open(path: &Path) -> Result<Self, Error> {
        let failed = |source| Error::Audit { path: path.to_owned(), source };
        let file = append_to(path).map_err(failed)?;
        let length = file.metadata().map_err(failed)?.len();
        Ok(Self { path: path.to_owned(), file, length })
    }

    fn append(&mut self, line: &str) -> std::io::Result<()> {
        if self.length >= FILE_BYTES {
            self.put_aside()?;
        }
        // One write for the whole line: lines of two writers, or of one that was killed, do not mix.
        let line = format!("{line}\n");
        self.file.write_all(line.as_bytes())?;
        self.length += line.len() as u64;
        Ok(())
    }

    fn put_aside(&mut self) -> std::io::Result<()> {
        let name = |number: u32| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..FILES_KEPT).rev() {
            if name(number).exists() {
                fs::rename(name(number), name(number + 1))?;
            }
        }
        fs::rename(&self.path, name(1))?;
        self.file = append_to(&self.path)?;
        self.length = 0;
        Ok(())
    }
}

/// Opens a file that only its owner reads: audit messages name patients.
fn append_to(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options.create(true).append(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::tests::{event, source};

    #[test]
    fn a_message_is_one_line_of_the_file_and_one_of_the_queue() {
        let directory = tempfile::tempdir().unwrap();
        let config = AuditConfig {
            file: Some(directory.path().join("audit.log")),
            queue: Some(directory.path().join("queue")),
            ..AuditConfig::default()
        };
        let log = AuditLog::open(&config, source()).unwrap();
        (0..50).for_each(|_| log.record(event(Happening::Queried(None))));
        log.close();
        log.record(event(Happening::Stopped));
        let text = fs::read_to_string(directory.path().join("audit.log")).unwrap();
        assert_eq!(text.lines().count(), 50);
        assert!(text.lines().all(|line| line.starts_with("<AuditMessage>") && line.ends_with("</AuditMessage>")));
        let queued = log.queue().unwrap().read(0, 1 << 20).unwrap();
        let queued = String::from_utf8(queued).unwrap();
        assert_eq!(
            queued.matches("<85>1 2027-01-15T08:00:00Z pacs-1 medlock 4711 DICOM+RFC3881 - \u{feff}<").count(),
            50
        );
    }

    #[test]
    fn what_the_queue_does_not_take_is_counted_and_said() {
        let directory = tempfile::tempdir().unwrap();
        let config = AuditConfig {
            file: Some(directory.path().join("audit.log")),
            queue: Some(directory.path().join("queue")),
            queue_bytes: 3000,
        };
        let log = AuditLog::open(&config, source()).unwrap();
        (0..20).for_each(|_| log.record(event(Happening::Queried(None))));
        log.close();
        let text = fs::read_to_string(directory.path().join("audit.log")).unwrap();
        assert!(text.contains("code=audit-lost"), "{text}");
        assert!(text.lines().filter(|line| line.contains("110112")).count() == 20);
    }

    #[test]
    fn a_long_file_is_put_aside() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("audit.log");
        let mut file = AuditFile::open(&path).unwrap();
        for round in 0..12 {
            file.append(&format!("round {round}")).unwrap();
            file.length = FILE_BYTES;
        }
        assert_eq!(fs::read_to_string(&path).unwrap(), "round 11\n");
        assert_eq!(fs::read_to_string(directory.path().join("audit.log.1")).unwrap(), "round 10\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 10);
    }
}
