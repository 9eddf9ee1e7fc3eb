//! C509 certification requests; what is accepted has one encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::NoCurve;
use medlock_trust::{
    c509::{self, Points},
    x509::{Encoding, Request, SignedForm},
};

fuzz_target!(|data: &[u8]| {
    let Ok(request) = Request::from_c509(data) else { return };
    let _ = (format!("{} {request:?}", request.subject()), request.verify(&NoCurve), request.key_id(&NoCurve));
    if request.form() == SignedForm::Reencoded {
        let (mut der, mut again) = (vec![0; 8 * data.len() + 64], vec![0; 8 * data.len() + 64]);
        let der = c509::request_to_der(data, &mut der, &NoCurve).expect("what is read can be rebuilt");
        let in_der = request.extensions().iter().any(|extension| extension.encoding == Encoding::Der);
        if let Ok(again) = c509::request_from_der(der, Points::AsTheyAre, &mut again, &NoCurve) {
            assert!(in_der || again == data, "a second encoding");
        }
    }
});
