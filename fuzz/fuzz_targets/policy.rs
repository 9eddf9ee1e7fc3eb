//! Continuity policies: whatever is believed passes its own check and can be written again, to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::Policy;
use medlock_trust::cose::Sign1;
use medlock_trust::list::List;

const SITE_LIST: &[u8] = include_bytes!("../corpus/list/site");

fuzz_target!(|bytes: &[u8]| {
    let list = List::danger_open(SITE_LIST).expect("the seed is a list");
    let Ok(policy) = Policy::from_signed(bytes, &list, &Trusting) else { return };
    assert_eq!(Policy::new(*policy.draft()), Ok(policy));
    let mut payload = Vec::new();
    policy.encode(&mut payload).expect("a vector takes all");
    assert_eq!(payload, Sign1::read(bytes).expect("it was read before").payload());
});
