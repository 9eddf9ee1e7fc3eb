//! The cryptography the tests and benches of this crate use: aws-lc-rs.

use aws_lc_rs::{
    digest,
    encoding::AsDer,
    signature::{self, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm},
};
use medlock_trust::crypto::{
    Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm as Algorithm, VerifyError,
};

pub(crate) struct Provider;

impl Crypto for Provider {
    fn verify(
        &self,
        algorithm: Algorithm,
        key: PublicKey<'_>,
        message: &dyn Message,
        signature: Signature<'_>,
    ) -> Result<(), VerifyError> {
        let (scheme, bytes): (&'static dyn VerificationAlgorithm, &[u8]) = match (algorithm, key.algorithm, signature) {
            (Algorithm::EcdsaSha256, KeyAlgorithm::P256, Signature::X509(s)) => (&signature::ECDSA_P256_SHA256_ASN1, s),
            (Algorithm::EcdsaSha256, KeyAlgorithm::P256, Signature::Cose(s)) => {
                (&signature::ECDSA_P256_SHA256_FIXED, s)
            }
            (Algorithm::EcdsaSha384, KeyAlgorithm::P256, Signature::X509(s)) => (&signature::ECDSA_P256_SHA384_ASN1, s),
            (Algorithm::EcdsaSha256, KeyAlgorithm::P384, Signature::X509(s)) => (&signature::ECDSA_P384_SHA256_ASN1, s),
            (Algorithm::EcdsaSha384, KeyAlgorithm::P384, Signature::X509(s)) => (&signature::ECDSA_P384_SHA384_ASN1, s),
            (Algorithm::EcdsaSha384, KeyAlgorithm::P384, Signature::Cose(s)) => {
                (&signature::ECDSA_P384_SHA384_FIXED, s)
            }
            (Algorithm::Ed25519, KeyAlgorithm::Ed25519, Signature::X509(s) | Signature::Cose(s)) => {
                (&signature::ED25519, s)
            }
            (Algorithm::MlDsa44, KeyAlgorithm::MlDsa44, Signature::X509(s) | Signature::Cose(s)) => {
                (&signature::ML_DSA_44, s)
            }
            (Algorithm::MlDsa65, KeyAlgorithm::MlDsa65, Signature::X509(s) | Signature::Cose(s)) => {
                (&signature::ML_DSA_65, s)
            }
            (Algorithm::RsaPkcs1Sha256, KeyAlgorithm::Rsa, Signature::X509(s)) => {
                (&signature::RSA_PKCS1_2048_8192_SHA256, s)
            }
            (Algorithm::RsaPkcs1Sha384, KeyAlgorithm::Rsa, Signature::X509(s)) => {
                (&signature::RSA_PKCS1_2048_8192_SHA384, s)
            }
            (Algorithm::RsaPkcs1Sha512, KeyAlgorithm::Rsa, Signature::X509(s)) => {
                (&signature::RSA_PKCS1_2048_8192_SHA512, s)
            }
            _ => return Err(VerifyError::Unsupported),
        };
        let verify = |message: &[u8]| {
            UnparsedPublicKey::new(scheme, key.bits).verify(message, bytes).map_err(|_| VerifyError::Invalid)
        };
        let mut whole = Vec::new();
        message.feed(&mut |part| whole.extend_from_slice(part));
        verify(&whole)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        message.feed(&mut |part| context.update(part));
        context.finish().as_ref().try_into().expect("SHA-256 has 32 bytes")
    }

    fn decompress<'o>(&self, curve: KeyAlgorithm, point: &[u8], out: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        let (algorithm, length) = match curve {
            KeyAlgorithm::P256 => (&signature::ECDSA_P256_SHA256_ASN1, 65),
            KeyAlgorithm::P384 => (&signature::ECDSA_P384_SHA384_ASN1, 97),
            _ => return None,
        };
        let spki = ParsedPublicKey::new(algorithm, point).ok()?.as_der().ok()?;
        let out = out.get_mut(..length)?;
        out.copy_from_slice(spki.as_ref().get(spki.as_ref().len() - length..)?);
        Some(out)
    }
}
