//! Emergency suspensions: whatever is read can be written again, to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::Interval;
use medlock_trust::list::{List, Suspension};

const ALLIANCE: &[u8] = include_bytes!("../corpus/list/alliance");

fuzz_target!(|bytes: &[u8]| {
    let Ok(suspension) = Suspension::danger_open(bytes) else { return };
    let mut payload = Vec::new();
    suspension.content().encode(&mut payload).expect("a vector takes all");
    assert_eq!(payload, suspension.payload());
    let list = List::danger_open(ALLIANCE).expect("a list");
    let _ = Suspension::verify(bytes, &list, Interval::UNKNOWN, &Trusting);
    let first = suspension.content().authorities().next();
    assert_eq!(suspension.repeats(&suspension), first, "it repeats itself");
});
