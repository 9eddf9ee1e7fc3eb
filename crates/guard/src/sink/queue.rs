//! Messages that wait for the collector: files of frames as RFC 5425 sends them, in order, bounded.
//!
//! Positions count bytes since the queue was made. A segment's name is the position of its first byte; `sent` has the
//! position up to which the collector has everything. A message that was cut off by a power failure is taken away when
//! the queue is opened.

use crate::Error;
use medlock_node::files;
use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// A new segment is begun when the last one is longer than this, in bytes.
const SEGMENT: u64 = 1 << 20;
/// The longest message that is queued, in bytes; audit messages are below 32,768 (PS3.15 A.6).
const MAX_MESSAGE: usize = 64 << 10;
const SENT: &str = "sent";

/// The queue. One process has it open at a time.
#[derive(Debug)]
pub struct Queue {
    directory: PathBuf,
    max_bytes: u64,
    state: Mutex<State>,
    end: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    /// First positions of all segments, ascending; never empty.
    segments: Vec<u64>,
    last: File,
    end: u64,
    sent: u64,
}

impl Queue {
    /// Opens the queue in `directory`, which is made, for this user only, if it is not there. At most `max_bytes` wait in it.
    ///
    /// # Errors
    /// [`Error::Audit`].
    pub fn open(directory: &Path, max_bytes: u64) -> Result<Self, Error> {
        let failed = |source| Error::Audit { path: directory.to_owned(), source };
        let state = State::open(directory).map_err(failed)?;
        let end = watch::channel(state.end).0;
        Ok(Self { directory: directory.to_owned(), max_bytes, state: Mutex::new(state), end })
    }

    /// Puts a message at the end.
    ///
    /// # Errors
    /// If the queue is full, the message too long, or the disk fails; then the queue is as before.
    pub fn append(&self, message: &[u8]) -> io::Result<()> {
        if message.len() > MAX_MESSAGE {
            return Err(io::Error::other(format!("the message is longer than {MAX_MESSAGE} bytes")));
        }
        let mut state = self.state();
        if state.end.saturating_sub(state.sent) + message.len() as u64 > self.max_bytes {
            return Err(io::Error::other(format!("{} bytes wait already; is the collector away?", self.max_bytes)));
        }
        let first = *state.segments.last().unwrap_or(&0);
        if state.end - first >= SEGMENT {
            let end = state.end;
            state.last = super::append_to(&segment(&self.directory, end))?;
            state.segments.push(end);
        }
        let mut frame = format!("{} ", message.len()).into_bytes();
        frame.extend_from_slice(message);
        if let Err(error) = state.last.write_all(&frame) {
            // Part of the frame may be there: take it away, or all that follows is unreadable.
            let first = *state.segments.last().unwrap_or(&0);
            state.last.set_len(state.end - first)?;
            return Err(error);
        }
        state.end += frame.len() as u64;
        self.end.send_replace(state.end);
        Ok(())
    }

    /// Whole frames from `position` on, at most about `limit` bytes; empty at the end.
    ///
    /// # Errors
    /// If a segment cannot be read.
    pub fn read(&self, position: u64, limit: usize) -> io::Result<Vec<u8>> {
        let (first, end) = {
            let state = self.state();
            let index = state.segments.partition_point(|first| *first <= position).saturating_sub(1);
            (state.segments[index], state.segments.get(index + 1).copied().unwrap_or(state.end))
        };
        if position >= end {
            return Ok(Vec::new());
        }
        let mut file = File::open(segment(&self.directory, first))?;
        file.seek(SeekFrom::Start(position - first))?;
        let take = (end - position).min((limit.max(MAX_MESSAGE) + 16) as u64);
        let mut bytes = Vec::new();
        file.take(take).read_to_end(&mut bytes)?;
        let whole = whole_frames(&bytes);
        bytes.truncate(whole);
        if bytes.is_empty() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the audit queue has no frame where one must be"));
        }
        Ok(bytes)
    }

    /// Up to where the collector has everything.
    #[must_use]
    pub fn sent(&self) -> u64 {
        self.state().sent
    }

    /// The position behind the last message.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.state().end
    }

    /// Follows [`Queue::end`].
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.end.subscribe()
    }

    /// The collector has everything before `position`: it need not be kept.
    ///
    /// # Errors
    /// If the position cannot be written down; then messages may be sent twice after a restart.
    pub fn mark_sent(&self, position: u64) -> io::Result<()> {
        let mut state = self.state();
        if position <= state.sent {
            return Ok(());
        }
        let new = self.directory.join("sent.new");
        fs::write(&new, format!("{position}\n"))?;
        fs::rename(&new, self.directory.join(SENT))?;
        state.sent = position.min(state.end);
        while let [first, second, ..] = state.segments[..]
            && second <= position
        {
            fs::remove_file(segment(&self.directory, first))?;
            state.segments.remove(0);
        }
        Ok(())
    }

    /// Has the disk keep what was appended.
    pub(super) fn sync(&self) {
        if let Err(error) = self.state().last.sync_data() {
            tracing::error!(%error, path = %self.directory.display(), "the audit queue was not flushed");
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn open(directory: &Path) -> io::Result<Self> {
        files::private_directory(directory).map_err(io::Error::other)?;
        let sent = match fs::read_to_string(directory.join(SENT)) {
            Ok(text) => text.trim().parse().map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "`sent` is damaged; remove it and messages are sent again")
            })?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let mut segments = Vec::new();
        for entry in fs::read_dir(directory)? {
            let name = entry?.file_name();
            if let Some(first) = name.to_str().and_then(|name| name.strip_suffix(".seg")).and_then(|n| n.parse().ok()) {
                segments.push(first);
            }
        }
        segments.sort_unstable();
        if segments.is_empty() {
            segments.push(sent);
        }
        let first = *segments.last().unwrap_or(&0);
        let path = segment(directory, first);
        let last = super::append_to(&path)?;
        let whole = whole_frames(&fs::read(&path)?) as u64;
        if whole < last.metadata()?.len() {
            tracing::warn!(path = %path.display(), "the last audit message in the queue was cut off; it is taken away");
            last.set_len(whole)?;
        }
        let end = first + whole;
        let oldest = segments.first().copied().unwrap_or(0);
        Ok(Self { segments, last, end, sent: sent.clamp(oldest, end) })
    }
}

fn segment(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:020}.seg"))
}

/// How many bytes at the start are whole frames: a decimal length, a space, so many bytes (RFC 5425 section 4.3).
fn whole_frames(bytes: &[u8]) -> usize {
    let mut whole = 0;
    loop {
        let rest = &bytes[whole..];
        let Some(space) = rest.iter().take(8).position(|byte| *byte == b' ') else { return whole };
        let length = std::str::from_utf8(&rest[..space]).ok().and_then(|text| text.parse::<usize>().ok());
        let Some(length) = length.filter(|length| *length <= MAX_MESSAGE) else { return whole };
        if rest.len() < space + 1 + length {
            return whole;
        }
        whole += space + 1 + length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(queue: &Queue) -> String {
        let mut position = queue.sent();
        let mut all = Vec::new();
        loop {
            let some = queue.read(position, 100).unwrap();
            if some.is_empty() {
                return String::from_utf8(all).unwrap();
            }
            position += some.len() as u64;
            all.extend(some);
        }
    }

    /// Shows REQ-GUARD-15: what waits survives a restart, in order, and a cut-off message is taken away.
    #[test]
    fn the_queue_survives_a_restart_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Queue::open(directory.path(), 1 << 30).unwrap();
        queue.append(b"one").unwrap();
        queue.append(b"two").unwrap();
        drop(queue);
        let queue = Queue::open(directory.path(), 1 << 30).unwrap();
        queue.append(b"three").unwrap();
        assert_eq!(all(&queue), "3 one3 two5 three");
        queue.mark_sent(5).unwrap();
        drop(queue);
        let path = segment(directory.path(), 0);
        let length = fs::metadata(&path).unwrap().len();
        File::options().write(true).open(&path).unwrap().set_len(length - 2).unwrap();
        let queue = Queue::open(directory.path(), 1 << 30).unwrap();
        assert_eq!((all(&queue), queue.sent()), ("3 two".to_owned(), 5));
        queue.append(b"four").unwrap();
        assert_eq!(all(&queue), "3 two4 four");
    }

    /// Messages name patients.
    #[test]
    fn the_queue_is_readable_by_its_user_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let inner = directory.path().join("audit");
        let _queue = Queue::open(&inner, 1 << 30).unwrap();
        assert_eq!(fs::metadata(&inner).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn segments_go_when_they_are_sent() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Queue::open(directory.path(), 1 << 30).unwrap();
        let message = vec![b'x'; 50_000];
        (0..100).for_each(|_| queue.append(&message).unwrap());
        let files = || fs::read_dir(directory.path()).unwrap().count();
        assert!(files() >= 4, "{}", files());
        assert_eq!(all(&queue).len(), 100 * 50_006);
        queue.mark_sent(queue.end()).unwrap();
        assert_eq!(files(), 2, "the last segment and the position");
        assert_eq!(all(&queue), "");
        queue.append(b"next").unwrap();
        drop(queue);
        assert_eq!(all(&Queue::open(directory.path(), 1 << 30).unwrap()), "4 next");
    }

    #[test]
    fn the_queue_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let queue = Queue::open(directory.path(), 100).unwrap();
        queue.append(&[b'x'; 60]).unwrap();
        assert!(queue.append(&[b'x'; 60]).is_err());
        queue.mark_sent(queue.end()).unwrap();
        queue.append(&[b'x'; 60]).unwrap();
        assert!(queue.append(&[b'x'; MAX_MESSAGE + 1]).is_err());
    }
}
