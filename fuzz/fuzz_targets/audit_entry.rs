//! Entries of the audit: whatever stands in a row, it is read or told to be none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_clinical::audit::Entry;

fuzz_target!(|data: &[u8]| {
    if let Ok(entry) = Entry::read(data) {
        assert!(!format!("{entry:?}").is_empty());
    }
});
