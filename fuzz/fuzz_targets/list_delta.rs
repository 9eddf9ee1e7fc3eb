//! Deltas of lists: what they make is a list, or nothing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::lists::delta;
use medlock_trust::list::List;

const ALLIANCE: &[u8] = include_bytes!("../corpus/list/alliance");

fuzz_target!(|bytes: &[u8]| {
    let Ok(made) = delta::apply(ALLIANCE, bytes) else { return };
    assert!(List::danger_open(&made).is_ok());
    let again = delta::make(ALLIANCE, &made).expect("both are lists");
    assert_eq!(delta::apply(ALLIANCE, &again).expect("it was made here"), made);
});
