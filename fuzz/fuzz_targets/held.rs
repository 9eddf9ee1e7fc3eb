//! What somebody holds, as `/m/objects` tells it: what is known of it can be written again and read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_proto::objects::{Held, Kind};

fuzz_target!(|bytes: &[u8]| {
    let _ = Kind::of(bytes);
    let Ok(entries) = Held::decode_all(bytes) else { return };
    let entries: Vec<Held> = entries.map(|(_, held)| held).collect();
    let mut again = Vec::new();
    Held::encode_all(entries.iter().copied(), &mut again).expect("a vector takes all");
    let read: Vec<Held> = Held::decode_all(&again).expect("it was written here").map(|(_, held)| held).collect();
    assert_eq!(read, entries);
});
