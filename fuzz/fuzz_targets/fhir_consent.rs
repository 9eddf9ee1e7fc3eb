//! Consents: whatever is written, it is compiled within bounds or told to be wrong, and each exception has its place.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_clinical::consent::compile;
use medlock_clinical::json::{Document, Limits};

fuzz_target!(|data: &[u8]| {
    let Ok(document) = Document::read(data, &Limits::RESOURCE) else { return };
    let bases = ["https://hub.example/fhir".to_owned()];
    match compile(document.root(), &bases) {
        Err(issues) => assert!((1..=50).contains(&issues.all().len())),
        Ok(compiled) => {
            assert!(compiled.provisions.len() <= 257);
            for (place, provision) in compiled.provisions.iter().enumerate() {
                let Some(parent) = provision.parent else { continue };
                assert!(parent < place && compiled.provisions[parent].deny != provision.deny);
                assert!(provision.kinds & !compiled.provisions[parent].kinds == 0);
            }
        }
    }
});
