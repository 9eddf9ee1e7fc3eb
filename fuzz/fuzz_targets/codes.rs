//! Enrolment codes, as people type them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::enrol::Code;

fuzz_target!(|text: &str| {
    if let Ok(code) = text.parse::<Code>() {
        let again: Code = code.to_string().parse().expect("a code reads what it writes");
        assert_eq!(again.to_string(), code.to_string());
        assert_eq!(Code::hash_of_password(&code.password()), Some(code.secret_hash()));
    }
    let _ = Code::hash_of_password(text);
});
