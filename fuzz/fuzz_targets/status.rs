//! Status lists: whatever is believed is found by its subjects and can be written again, to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::cose::Sign1;
use medlock_trust::list::List;
use medlock_trust::status::{StatusContent, StatusList};

const SITE_LIST: &[u8] = include_bytes!("../corpus/list/site");

fuzz_target!(|bytes: &[u8]| {
    if let Ok(status) = StatusList::danger_open(bytes) {
        for record in status.records().take(100) {
            let _ = status.record(record.subject);
        }
    }
    let list = List::danger_open(SITE_LIST).expect("the seed is a list");
    let Ok(status) = StatusList::verify(bytes, &list, &Trusting) else { return };
    let records: Vec<_> = status.records().collect();
    assert_eq!(records.len(), status.len());
    for record in &records {
        assert_eq!(status.record(record.subject), Some(*record));
        assert_eq!(record.to_bytes().len(), 32);
    }
    let mut payload = Vec::new();
    let content = StatusContent { heading: *status.heading(), records: &records };
    content.encode(&mut payload).expect("what was believed can be written");
    assert_eq!(payload, Sign1::read(bytes).expect("it was read before").payload());
    assert!(status.succeeds(&status).is_err(), "no list succeeds itself");
});
