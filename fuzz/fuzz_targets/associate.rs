//! Association requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_guard::dicom::associate::{MAX_CONTEXTS, Request};

fuzz_target!(|data: &[u8]| {
    if let Ok(request) = Request::from_pdu(data) {
        assert!(request.contexts.len() <= MAX_CONTEXTS);
        assert!(request.contexts.iter().all(|context| context.id % 2 == 1));
        let _ = request.operations();
    }
});
