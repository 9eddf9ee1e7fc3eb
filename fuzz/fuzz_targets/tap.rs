//! The follower of an association: the same bytes give the same events, however they arrive.
//!
//! An input is a list of pieces: one byte (the highest bit says which end, the others how long), then its bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_guard::dicom::associate::Proposed;
use medlock_guard::dicom::tap::{End, Event, Tap};
use medlock_guard::dicom::text::Uid;

fn pieces(mut data: &[u8]) -> Vec<(End, &[u8])> {
    let mut pieces = Vec::new();
    while let Some((head, rest)) = data.split_first() {
        let from = if head & 0x80 == 0 { End::Requestor } else { End::Acceptor };
        let (piece, rest) = rest.split_at(usize::from(head & 0x7f).min(rest.len()));
        pieces.push((from, piece));
        data = rest;
    }
    pieces
}

/// What was proposed: an echo, a query, and images, the last also the other way round.
fn contexts() -> Vec<Proposed> {
    [(1, "1.2.840.10008.1.1", false), (3, "1.2.840.10008.5.1.4.1.2.2.1", false), (5, "1.2.840.10008.5.1.4.1.1.2", true)]
        .into_iter()
        .filter_map(|(id, uid, reversed)| {
            Some(Proposed { id, abstract_syntax: Uid::from_field(uid.as_bytes())?, reversed })
        })
        .collect()
}

fn follow<'a>(pieces: impl Iterator<Item = (End, &'a [u8])>) -> (Vec<Event>, bool) {
    let mut tap = Tap::new(&contexts());
    let mut events = Vec::new();
    for (from, bytes) in pieces {
        if tap.feed(from, bytes, &mut |event| events.push(event)).is_err() {
            return (events, false);
        }
    }
    (events, true)
}

fuzz_target!(|data: &[u8]| {
    let pieces = pieces(data);
    let whole = follow(pieces.iter().copied());
    let bytewise = follow(pieces.iter().flat_map(|(from, bytes)| bytes.chunks(1).map(|byte| (*from, byte))));
    assert_eq!(whole, bytewise);
});
