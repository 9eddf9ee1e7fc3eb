//! Server-sent events (WHATWG HTML, section 9.2), as far as the hub's news need them.

use bytes::Bytes;
use std::collections::VecDeque;

/// The most bytes one event may have: the longest status list (2 MiB) takes 2.8 MB in base64, the longest routing table
/// (10,000 machines with 64 titles) about 17 MB.
pub const MAX_EVENT: usize = 24 << 20;

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// What kind of event it is.
    pub event: String,
    /// Its identifier, empty if it has none.
    pub id: String,
    /// Its data; lines are separated by line feeds.
    pub data: String,
}

impl Event {
    /// The event as it is sent. Line ends in `event` and `id` become blanks.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let one_line = |text: &str| text.replace(['\r', '\n', '\0'], " ");
        let mut text = format!("event: {}\nid: {}\n", one_line(&self.event), one_line(&self.id));
        for line in self.data.replace("\r\n", "\n").split(['\r', '\n']) {
            text.push_str("data: ");
            text.push_str(line);
            text.push('\n');
        }
        text.push('\n');
        text.into()
    }

    /// A comment that keeps the connection alive.
    pub const KEEP_ALIVE: Bytes = Bytes::from_static(b": keep-alive\n\n");
}

/// What is wrong with a stream of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SseError {
    /// An event or line is too long.
    #[error("an event is larger than {MAX_EVENT} bytes")]
    TooLong,
    /// Not UTF-8.
    #[error("an event is not UTF-8")]
    NotText,
}

/// Takes bytes as they come and gives events when they are whole.
#[derive(Debug, Default)]
pub struct EventReader {
    line: Vec<u8>,
    after_return: bool,
    next: Event,
    size: usize,
    ready: VecDeque<Event>,
}

impl EventReader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the stream.
    ///
    /// # Errors
    /// [`SseError`]; the stream is of no use afterwards.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<(), SseError> {
        // "\r\n" is one line end, also when it comes in two pieces.
        if self.after_return && !bytes.is_empty() {
            bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            self.after_return = false;
        }
        while let Some(end) = bytes.iter().position(|byte| matches!(byte, b'\r' | b'\n')) {
            self.more(&bytes[..end])?;
            let line = std::mem::take(&mut self.line);
            self.end_line(&line)?;
            let ended_by_return = bytes[end] == b'\r';
            bytes = &bytes[end + 1..];
            if ended_by_return {
                self.after_return = bytes.is_empty();
                bytes = bytes.strip_prefix(b"\n").unwrap_or(bytes);
            }
        }
        self.more(bytes)
    }

    /// The next whole event.
    pub fn pop(&mut self) -> Option<Event> {
        self.ready.pop_front()
    }

    fn more(&mut self, bytes: &[u8]) -> Result<(), SseError> {
        self.size += bytes.len();
        if self.size > MAX_EVENT {
            return Err(SseError::TooLong);
        }
        self.line.extend_from_slice(bytes);
        Ok(())
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), SseError> {
        let line = std::str::from_utf8(line).map_err(|_| SseError::NotText)?;
        if line.is_empty() {
            self.size = 0;
            let mut event = std::mem::take(&mut self.next);
            // Without data there is no event.
            if event.data.pop().is_some() {
                self.ready.push_back(event);
            }
            return Ok(());
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.next.event),
            "id" => value.clone_into(&mut self.next.id),
            "data" => {
                self.next.data.push_str(value);
                self.next.data.push('\n');
            }
            // Comments have an empty field; others are passed over, as the standard wants.
            _ => {}
        }
        if line.starts_with(':') && self.next == Event::default() {
            self.size = 0;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(pieces: &[&[u8]]) -> Vec<Event> {
        let mut reader = EventReader::new();
        pieces.iter().for_each(|piece| reader.push(piece).expect("events"));
        std::iter::from_fn(|| reader.pop()).collect()
    }

    fn event(event: &str, id: &str, data: &str) -> Event {
        Event { event: event.to_owned(), id: id.to_owned(), data: data.to_owned() }
    }

    #[test]
    fn events_of_all_line_ends_are_read() {
        let wanted = vec![event("status", "7", "QUJD"), event("", "", "a\nb")];
        assert_eq!(
            read(&[b": hello\nevent: status\nid: 7\ndata: QUJD\n\ndata:a\ndata: b\n\ndata: unfinished"]),
            wanted
        );
        assert_eq!(read(&[b"event:status\r\nid:7\r\ndata:QUJD\r", b"\n\r", b"\ndata:a\rdata:b\r\r"]), wanted);
    }

    #[test]
    fn endless_line_is_refused_and_endless_keep_alive_is_not() {
        let mut reader = EventReader::new();
        let piece = vec![b'x'; 1 << 20];
        assert_eq!((0..40).try_for_each(|_| reader.push(&piece)), Err(SseError::TooLong));
        let mut reader = EventReader::new();
        let comment = [b":".as_slice(), &piece, b"\n"].concat();
        assert_eq!((0..40).try_for_each(|_| reader.push(&comment)), Ok(()));
    }

    proptest! {
        #[test]
        fn events_round_trip_however_they_are_cut(
            events in proptest::collection::vec(("[a-z-]{0,10}", "[0-9]{0,5}", "[ -~é]{1,40}(\n[ -~]{0,9}){0,3}"), 0..5),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..6),
        ) {
            let events: Vec<Event> = events.iter().map(|(name, id, data)| event(name, id, data)).collect();
            let stream: Vec<u8> = events.iter().flat_map(|event| event.to_bytes().to_vec()).collect();
            let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
            places.extend([0, stream.len()]);
            places.sort_unstable();
            let pieces: Vec<&[u8]> = places.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
            prop_assert_eq!(read(&pieces), events);
        }

        #[test]
        fn any_bytes_give_an_answer(pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..60), 0..6)) {
            let mut reader = EventReader::new();
            for piece in &pieces {
                if reader.push(piece).is_err() {
                    break;
                }
            }
        }
    }
}
