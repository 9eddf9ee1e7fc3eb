//! Certificates and requests in DER, converted to C509: the same DER comes back, or a refusal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_trust::{
    c509::{self, Points},
    crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError},
};

/// A provider without a curve: only reading and writing are looked at.
struct NoCurve;

impl Crypto for NoCurve {
    fn verify(
        &self,
        _: SignatureAlgorithm,
        _: PublicKey<'_>,
        message: &dyn Message,
        _: Signature<'_>,
    ) -> Result<(), VerifyError> {
        message.feed(&mut |_| {});
        Err(VerifyError::Unsupported)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        message.feed(&mut |_| {});
        [0; 32]
    }

    fn decompress<'o>(&self, _: KeyAlgorithm, _: &[u8], _: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        None
    }
}

fuzz_target!(|data: &[u8]| {
    let (mut c509, mut der) = (vec![0; 2 * data.len() + 64], vec![0; 2 * data.len() + 64]);
    if let Ok(c509) = c509::from_der(data, Points::AsTheyAre, &mut c509, &NoCurve) {
        assert_eq!(c509::to_der(c509, &mut der, &NoCurve), Ok(data));
    }
    if let Ok(c509) = c509::request_from_der(data, Points::AsTheyAre, &mut c509, &NoCurve) {
        assert_eq!(c509::request_to_der(c509, &mut der, &NoCurve), Ok(data));
    }
});
