//! Signed objects: whatever is read is what signing it again with the same signature writes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_trust::cose::{self, ContentType, Place, Sign, Sign1};

const KINDS: [ContentType; 5] =
    [ContentType::LIST, ContentType::STATUS, ContentType::TICKET, ContentType::POLICY, ContentType::ROUTES];

fuzz_target!(|bytes: &[u8]| {
    if let Ok(object) = Sign1::read(bytes) {
        let place = match object.content_type() {
            None => Some(Place::External(ContentType::TICKET)),
            Some(text) => KINDS.into_iter().find(|kind| kind.as_str() == text).map(Place::Header),
        };
        let Some(place) = place.filter(|_| (1..=16).contains(&object.key().len())) else { return };
        let mut again = Vec::new();
        let sign = |_: &[&[u8]]| Ok::<_, ()>(object.signature());
        cose::sign1(object.payload(), place, object.algorithm(), object.key(), &mut again, sign).expect("it was read");
        assert_eq!(again, bytes);
    }
    if let Ok(object) = Sign::read(bytes, ContentType::LIST) {
        assert!((1..=cose::MAX_SIGNATURES).contains(&object.signers().count()));
    }
});
