//! Compact sets: any bytes give an answer, what is believed answers within its words, and can be written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::list::List;
use medlock_trust::status::RevokedSet;
use medlock_trust::status::set::{Word, answer};
use medlock_trust::{CredentialId, Time};

const SITE_LIST: &[u8] = include_bytes!("../corpus/list/site");

fuzz_target!(|bytes: &[u8]| {
    let id = |number: u8| CredentialId::from_bytes([number; 16]);
    if let Ok(set) = RevokedSet::danger_open(bytes) {
        for number in 0..=255 {
            let word = set.word(id(number), Time::from_unix(0));
            assert!(word.is_none_or(|word| Word::ALL.contains(&word)));
            let said = answer(&set, Some(&set), id(number), Time::from_unix(0));
            assert!(said.is_none_or(|said| said.credential == id(number)));
        }
        assert!(set.succeeds(&set).is_err(), "no set succeeds itself");
    }
    let list = List::danger_open(SITE_LIST).expect("the seed is a list");
    if let Ok(set) = RevokedSet::verify(bytes, &list, &Trusting) {
        let beyond = set.heading().covers.plus_seconds(1);
        assert!((0..=255).all(|number| set.word(id(number), beyond).is_none()), "not covered, and answered");
        if set.heading().base.is_none() {
            let word = |number| set.word(id(number), set.heading().covers);
            assert!((0..=255).all(|number| word(number) != Some(Word::Unchanged)), "unchanged since nothing");
        }
    }
});
