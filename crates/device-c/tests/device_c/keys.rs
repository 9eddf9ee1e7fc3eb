//! Keys in memory, against those of the SDK.

use core::ptr::null;
use medlock_device_c::numbers;
use medlock_device_c::software::{medlock_software_agree, medlock_software_public, medlock_software_sign};
use medlock_proto::crypto::Secret;
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::Crypto;
use medlock_trust::crypto::{Signature, SignatureAlgorithm};

/// Shows REQ-DEV-69: keys in memory sign and agree as those of the SDK do.
#[test]
fn software_keys_sign_and_agree() {
    let (secret, other, digest) = ([7_u8; 32], [9_u8; 32], RustCrypto.sha256(&[b"a dose".as_slice()]));
    let (mut public, mut signature, mut shared, mut back) = ([0_u8; 33], [0_u8; 64], [0_u8; 32], [0_u8; 32]);
    let mut others = [0_u8; 33];
    // SAFETY: all of it is there.
    unsafe {
        assert_eq!(medlock_software_public(secret.as_ptr(), public.as_mut_ptr()), numbers::OK);
        assert_eq!(medlock_software_public(other.as_ptr(), others.as_mut_ptr()), numbers::OK);
        assert_eq!(
            medlock_software_sign(secret.as_ptr(), digest.as_ptr(), other.as_ptr(), signature.as_mut_ptr()),
            numbers::OK
        );
        assert_eq!(medlock_software_agree(secret.as_ptr(), others.as_ptr().add(1), shared.as_mut_ptr()), numbers::OK);
        assert_eq!(medlock_software_agree(other.as_ptr(), public.as_ptr().add(1), back.as_mut_ptr()), numbers::OK);
        assert_eq!(medlock_software_public([0; 32].as_ptr(), public.as_mut_ptr()), numbers::ERROR_VALUE);
        assert_eq!(
            medlock_software_sign([0xff; 32].as_ptr(), digest.as_ptr(), null(), signature.as_mut_ptr()),
            numbers::ERROR_VALUE
        );
    }
    assert_eq!(shared, back);
    let key = SoftwareKey::p256(Secret::from_bytes(secret)).expect("a key").public();
    let verifier = key.verifier().expect("it signs");
    let verified = RustCrypto.verify(
        SignatureAlgorithm::EcdsaSha256,
        medlock_trust::crypto::PublicKey { bits: &public, ..verifier },
        &[b"a dose".as_slice()],
        Signature::Cose(&signature),
    );
    assert_eq!(verified, Ok(()));
}
