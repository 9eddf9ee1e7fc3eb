//! OCSP requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_authority::status::ocsp::read_request;

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = read_request(data) {
        assert!(request.certificates.len() <= data.len());
    }
});
