//! Server-sent events: the same bytes give the same events, however they arrive.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::news::{Event, EventReader};

fn events<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Event>, Vec<Event>> {
    let mut reader = EventReader::new();
    let mut events = Vec::new();
    for piece in pieces {
        let pushed = reader.push(piece);
        events.extend(std::iter::from_fn(|| reader.pop()));
        if pushed.is_err() {
            return Err(events);
        }
    }
    Ok(events)
}

fuzz_target!(|data: &[u8]| {
    let Some((size, stream)) = data.split_first() else { return };
    let whole = events(std::iter::once(stream));
    let in_pieces = events(stream.chunks(usize::from(*size).max(1)));
    assert_eq!(whole, in_pieces);
    for event in whole.unwrap_or_default() {
        let sent = event.to_bytes();
        let read = events(std::iter::once(&*sent)).expect("what we write can be read");
        assert!(read.len() <= 1);
        assert!(read.iter().all(|read| read.data == event.data));
    }
});
