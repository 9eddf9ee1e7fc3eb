//! Certificate requests.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::Trusting;
use medlock_trust::x509::Request;

fuzz_target!(|data: &[u8]| {
    let Ok(request) = Request::from_der(data) else { return };
    assert_eq!(request.encoding(), data, "nothing is left over");
    let _ = request.verify(&Trusting);
    let _ = format!("{} {request:?} {:?}", request.subject(), request.challenge_password());
});
