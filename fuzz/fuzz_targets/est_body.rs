//! Bodies of EST requests, and the certificate request inside.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_authority::est::decode_body;
use medlock_trust::x509::Request;

fuzz_target!(|data: &[u8]| {
    if let Ok(der) = decode_body(data) {
        assert!(der.len() <= data.len());
        let _ = Request::from_der(&der);
    }
});
