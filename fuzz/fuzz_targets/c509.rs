//! C509 certificates, and all that can be asked of one; what is accepted has one encoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::NoCurve;
use medlock_trust::{
    c509::{self, Points},
    x509::{Certificate, Encoding, SignedForm},
};

fuzz_target!(|data: &[u8]| {
    let Ok(certificate) = Certificate::from_c509(data) else { return };
    assert_eq!(certificate.encoding(), data, "nothing is left over");
    let _ = format!("{} {} {certificate:?}", certificate.subject(), certificate.issuer());
    let _ = (certificate.public_key(), certificate.key_id(&NoCurve), certificate.credential_id(&NoCurve));
    for extension in certificate.extensions().iter() {
        assert!(certificate.extensions().find(extension.oid).is_some());
    }
    if certificate.form() == SignedForm::Reencoded {
        let (mut der, mut again) = (vec![0; 8 * data.len() + 64], vec![0; 8 * data.len() + 64]);
        let der = c509::to_der(data, &mut der, &NoCurve).expect("what is read can be rebuilt");
        // Without a curve a point cannot be written in full, so that its DER is another one than that which was encoded.
        let point = certificate.public_key().is_some_and(|key| key.is_compressed());
        let in_der = certificate.extensions().iter().any(|extension| extension.encoding == Encoding::Der);
        if let Ok(again) = c509::from_der(der, Points::AsTheyAre, &mut again, &NoCurve) {
            assert!(in_der || point || again == data, "a second encoding");
        }
    }
});
