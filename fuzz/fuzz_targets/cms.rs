//! Certs-only messages, as EST answers with them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_node::enrol::{certs_only, read_certs_only};

fuzz_target!(|data: &[u8]| {
    if let Ok(certificates) = read_certs_only(data) {
        let borrowed: Vec<&[u8]> = certificates.iter().map(|certificate| certificate.as_ref()).collect();
        assert_eq!(read_certs_only(&certs_only(&borrowed)), Ok(certificates.clone()));
    }
});
