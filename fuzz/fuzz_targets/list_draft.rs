//! Drafts of trust lists: what is read can be written, and read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_authority::alliance::draft::Draft;

fuzz_target!(|text: &str| {
    let Ok(draft) = Draft::parse(text) else { return };
    let written = draft.to_toml().expect("it was TOML");
    assert_eq!(Draft::parse(&written).expect("it was written here"), draft);
});
