//! What the signer is asked over its socket.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_authority::signer::{Request, decode_request};

fuzz_target!(|data: &[u8]| {
    if let Ok(Request::Sign(_, _, bytes)) = decode_request(data) {
        assert!(bytes.len() < data.len());
    }
});
