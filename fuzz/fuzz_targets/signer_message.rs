//! What the signer is asked over its socket, and the bytes it is asked to sign.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_authority::signer::{KeyRole, Kind, Request, check, decode_request};

fuzz_target!(|data: &[u8]| {
    if let Ok(Request::Sign(_, _, bytes)) = decode_request(data) {
        assert!(bytes.len() < data.len());
    }
    // Without the frame too, so that the input need not find it. No bytes are two kinds of things.
    for key in KeyRole::ALL {
        let kinds = Kind::ALL.into_iter().filter(|kind| check(key, *kind, data).is_ok()).count();
        assert!(kinds <= 1, "{kinds} kinds for the {key} key");
    }
});
