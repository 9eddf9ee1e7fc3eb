//! Certificates and requests in DER, converted to C509: the same DER comes back, or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::NoCurve;
use medlock_trust::c509::{self, Points};

fuzz_target!(|data: &[u8]| {
    let (mut c509, mut der) = (vec![0; 2 * data.len() + 64], vec![0; 2 * data.len() + 64]);
    if let Ok(c509) = c509::from_der(data, Points::AsTheyAre, &mut c509, &NoCurve) {
        assert_eq!(c509::to_der(c509, &mut der, &NoCurve), Ok(data));
    }
    if let Ok(c509) = c509::request_from_der(data, Points::AsTheyAre, &mut c509, &NoCurve) {
        assert_eq!(c509::request_to_der(c509, &mut der, &NoCurve), Ok(data));
    }
});
