//! Status tickets: whatever is read can be written again, to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::cose::Sign1;
use medlock_trust::list::List;
use medlock_trust::status::Ticket;

const SITE_LIST: &[u8] = include_bytes!("../corpus/list/site");

fuzz_target!(|bytes: &[u8]| {
    let list = List::danger_open(SITE_LIST).expect("the seed is a list");
    let verified = Ticket::verify(bytes, &list, &Trusting);
    let Ok(content) = Ticket::danger_read(bytes) else {
        assert!(verified.is_err());
        return;
    };
    let mut payload = Vec::new();
    content.encode(&mut payload).expect("what was read can be written");
    assert_eq!(payload, Sign1::read(bytes).expect("it was read before").payload());
});
