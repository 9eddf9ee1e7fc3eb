//! Searches: whatever is asked, a plan is bounded or the question is told to be wrong.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_clinical::definitions::Definitions;
use medlock_clinical::kind::Kind;
use medlock_clinical::query::{Handling, Terms, plan};

fuzz_target!(|data: &[u8]| {
    let Some((first, query)) = data.split_first() else { return };
    let Some(kind) = Kind::numbered(first % 15) else { return };
    let pairs: Vec<_> = form_urlencoded::parse(query).collect();
    let bases = ["https://hub.example/fhir".to_owned()];
    for handling in [Handling::Strict, Handling::Lenient] {
        if let Ok(plan) = plan(kind, &pairs, Terms { handling, most: 1_000, bases: &bases }, Definitions::r4()) {
            assert!(plan.filters().len() <= 32 && (1..=1_000).contains(&plan.count()));
        }
    }
});
