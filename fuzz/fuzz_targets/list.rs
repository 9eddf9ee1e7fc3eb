//! Trust lists and site lists: whatever is read can be written again, to the same bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::Interval;
use medlock_trust::list::{Content, List, Pinned};

fuzz_target!(|bytes: &[u8]| {
    let Ok(list) = List::danger_open(bytes) else { return };
    let (members, recovery, authorities, services) = (
        list.members().collect::<Vec<_>>(),
        list.recovery().collect::<Vec<_>>(),
        list.authorities().collect::<Vec<_>>(),
        list.services().collect::<Vec<_>>(),
    );
    for authority in &authorities {
        assert_eq!(list.authority(authority.key), Some(*authority));
        let _ = authority.anchor();
    }
    let heading = *list.heading();
    let content =
        Content { heading, members: &members, recovery: &recovery, authorities: &authorities, services: &services };
    let mut payload = Vec::new();
    content.encode(&mut payload).expect("what was read can be written");
    assert_eq!(payload, list.payload());
    for member in &members {
        let _ = List::verify_pinned(bytes, &Pinned::Root(member.key), Interval::UNKNOWN, &Trusting);
    }
    assert!(List::verify_successor(bytes, &list, Interval::UNKNOWN, &Trusting).is_err(), "no list succeeds itself");
});
