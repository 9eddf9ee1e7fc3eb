//! Cryptography of server processes, by aws-lc-rs.

mod agreement;
mod guessable;
mod key;
mod sealing;
mod web;

pub use guessable::is_guessable;
pub use key::{SigningAlgorithm, SigningKey};
pub use sealing::SealingKey;
pub use web::{WebAlgorithm, WebKey};

use aws_lc_rs::rand::{SecureRandom as _, SystemRandom};
use aws_lc_rs::signature::{self as lc, ParsedPublicKey, UnparsedPublicKey, VerificationAlgorithm};
use aws_lc_rs::{digest, encoding::AsDer as _};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use rustls::CipherSuite;
use rustls::crypto::{CryptoProvider, aws_lc_rs as suite};
use std::sync::{Arc, LazyLock};
use subtle::ConstantTimeEq as _;

/// The cryptography of the trust core, by aws-lc-rs.
#[derive(Clone, Copy, Debug, Default)]
pub struct AwsLc;

impl Crypto for AwsLc {
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key: PublicKey<'_>,
        message: &dyn Message,
        signature: Signature<'_>,
    ) -> Result<(), VerifyError> {
        let (with, signature) = pair(algorithm, key.algorithm, signature).ok_or(VerifyError::Unsupported)?;
        let mut point = [0; 97];
        let bits = if key.algorithm == KeyAlgorithm::P256 && key.is_compressed() {
            self.decompress(key.algorithm, key.bits, &mut point).ok_or(VerifyError::Invalid)?
        } else {
            key.bits
        };
        UnparsedPublicKey::new(with, bits).verify(&contiguous(message), signature).map_err(|_| VerifyError::Invalid)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        message.feed(&mut |part| hash.update(part));
        let mut value = [0; 32];
        value.copy_from_slice(hash.finish().as_ref());
        value
    }

    fn decompress<'o>(&self, curve: KeyAlgorithm, point: &[u8], out: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        const LENGTH: usize = 48;
        match curve {
            KeyAlgorithm::P384 => {}
            // The root takes a fifth of the time there. A point is public, and whoever uses it has aws-lc-rs check it.
            KeyAlgorithm::P256 => return RustCrypto.decompress(curve, point, out),
            KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa | KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 => return None,
        }
        // The parser takes other forms too. A full point is checked, as by the other provider.
        match point {
            [2 | 3, x @ ..] if x.len() == LENGTH => {}
            [4, both @ ..] if both.len() == 2 * LENGTH => {}
            _ => return None,
        }
        let spki = ParsedPublicKey::new(&lc::ECDSA_P384_SHA384_ASN1, point).ok()?.as_der().ok()?;
        // The uncompressed point is the end of a `SubjectPublicKeyInfo` (RFC 5480 section 2).
        *out = *spki.as_ref().last_chunk()?;
        Some(out)
    }
}

/// The algorithm of aws-lc-rs for this pair and form, and the signature's bytes.
fn pair<'s>(
    algorithm: SignatureAlgorithm,
    key: KeyAlgorithm,
    signature: Signature<'s>,
) -> Option<(&'static dyn VerificationAlgorithm, &'s [u8])> {
    use KeyAlgorithm::{Ed25519, MlDsa44, MlDsa65, P256, P384, Rsa};
    use SignatureAlgorithm as Sign;
    let (bytes, fixed) = match signature {
        Signature::X509(bytes) => (bytes, false),
        Signature::Cose(bytes) => (bytes, true),
    };
    let with: &'static dyn VerificationAlgorithm = match (algorithm, key, fixed) {
        (Sign::EcdsaSha256, P256, false) => &lc::ECDSA_P256_SHA256_ASN1,
        (Sign::EcdsaSha256, P256, true) => &lc::ECDSA_P256_SHA256_FIXED,
        (Sign::EcdsaSha384, P256, false) => &lc::ECDSA_P256_SHA384_ASN1,
        (Sign::EcdsaSha256, P384, false) => &lc::ECDSA_P384_SHA256_ASN1,
        (Sign::EcdsaSha384, P384, false) => &lc::ECDSA_P384_SHA384_ASN1,
        (Sign::EcdsaSha384, P384, true) => &lc::ECDSA_P384_SHA384_FIXED,
        (Sign::Ed25519, Ed25519, _) => &lc::ED25519,
        (Sign::RsaPkcs1Sha256, Rsa, _) => &lc::RSA_PKCS1_2048_8192_SHA256,
        (Sign::RsaPkcs1Sha384, Rsa, _) => &lc::RSA_PKCS1_2048_8192_SHA384,
        (Sign::RsaPkcs1Sha512, Rsa, _) => &lc::RSA_PKCS1_2048_8192_SHA512,
        (Sign::MlDsa44, MlDsa44, _) => &lc::ML_DSA_44,
        (Sign::MlDsa65, MlDsa65, _) => &lc::ML_DSA_65,
        _ => return None,
    };
    Some((with, bytes))
}

fn contiguous(message: &dyn Message) -> Vec<u8> {
    let mut whole = Vec::new();
    message.feed(&mut |part| whole.extend_from_slice(part));
    whole
}

/// The cryptography of TLS: hybrid X25519MLKEM768 first, then X25519, P-256 and P-384; AES-128-GCM first, as strong as
/// the keys that authenticate, and a quarter faster than AES-256-GCM.
#[must_use]
pub fn rustls() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
        let mut defaults = suite::default_provider();
        // A stable sort: the order is otherwise rustls' own.
        defaults.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        Arc::new(CryptoProvider {
            kx_groups: vec![
                suite::kx_group::X25519MLKEM768,
                suite::kx_group::X25519,
                suite::kx_group::SECP256R1,
                suite::kx_group::SECP384R1,
            ],
            ..defaults
        })
    });
    PROVIDER.clone()
}

/// `N` bytes nobody can foresee.
#[must_use]
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new()
        .fill(&mut bytes)
        .expect("the system's random generator has no failure that could be waited out");
    bytes
}

/// A number between 0 and 1, to spread retries. Not for secrets.
#[must_use]
pub fn jitter() -> f64 {
    f64::from(u32::from_be_bytes(random())) / f64::from(u32::MAX)
}

/// SHA-256 of `message`.
#[must_use]
pub fn sha256(message: &[u8]) -> [u8; 32] {
    AwsLc.sha256(&[message])
}

/// SHA-384 of `message`: what ECDSA on P-384 signs.
#[must_use]
pub fn sha384(message: &[u8]) -> [u8; 48] {
    let mut value = [0; 48];
    value.copy_from_slice(digest::digest(&digest::SHA384, message).as_ref());
    value
}

/// SHA-1 of `message`: the name OCSP requests give an issuer (RFC 6960 section 4.1.1). Nothing is believed because of it.
#[must_use]
pub fn sha1_for_ocsp(message: &[u8]) -> [u8; 20] {
    let mut value = [0; 20];
    value.copy_from_slice(digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, message).as_ref());
    value
}

/// Whether two secrets are equal, in a time that tells only their lengths.
#[must_use]
pub fn same_secret(left: &[u8], right: &[u8]) -> bool {
    left.ct_eq(right).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
    use aws_lc_rs::signature::{EcdsaKeyPair, KeyPair as _};
    use medlock_trust::x509::SubjectPublicKeyInfo;

    const MESSAGE: [&[u8]; 3] = [b"one message ", b"", b"in parts"];

    /// What the signature says of a right and of a changed message.
    fn check(algorithm: SignatureAlgorithm, key: PublicKey<'_>, signature: Signature<'_>) {
        assert_eq!(AwsLc.verify(algorithm, key, &MESSAGE, signature), Ok(()), "{algorithm:?}");
        assert_eq!(AwsLc.verify(algorithm, key, &[MESSAGE.concat().as_slice()], signature), Ok(()));
        let wrong = AwsLc.verify(algorithm, key, &[b"another message".as_slice()], signature);
        assert_eq!(wrong, Err(VerifyError::Invalid), "{algorithm:?}");
    }

    /// Shows REQ-NODE-60.
    /// Shows REQ-KEYS-01.
    #[test]
    fn own_signatures_verify_in_both_forms_and_the_key_survives_its_document() {
        for algorithm in SigningAlgorithm::ALL {
            let key = SigningKey::generate_with(algorithm);
            assert_eq!((key.algorithm(), key.public_key().algorithm), (algorithm, algorithm.key()));
            let read = SubjectPublicKeyInfo::from_der(key.spki()).expect("a key");
            assert_eq!(read.public_key(), Some(key.public_key()), "{algorithm}");
            assert_eq!(read.key_id(&AwsLc), key.key_id());
            let (x509, cose) = (key.sign_x509(&MESSAGE), key.sign_cose(&MESSAGE));
            check(algorithm.signature(), key.public_key(), Signature::X509(&x509));
            check(algorithm.signature(), key.public_key(), Signature::Cose(&cose));
            let again = SigningKey::from_pkcs8(&key.to_pkcs8()).expect("our own");
            assert_eq!((again.spki(), again.key_id()), (key.spki(), key.key_id()));
            assert_eq!(SigningAlgorithm::of(key.public_key().algorithm), Some(algorithm));
        }
        assert!(SigningKey::from_pkcs8(&[0x30, 0]).is_err());
        assert_eq!(SigningAlgorithm::of(KeyAlgorithm::Rsa), None);
    }

    /// Shows REQ-NODE-60.
    #[test]
    fn a_compressed_point_verifies() {
        let key = SigningKey::generate();
        let (x509, cose) = (key.sign_x509(&MESSAGE), key.sign_cose(&MESSAGE));
        let point = key.public_key().bits;
        let bits = [&[2 + (point[64] & 1)], &point[1..33]].concat();
        let key = PublicKey { algorithm: KeyAlgorithm::P256, bits: &bits };
        check(SignatureAlgorithm::EcdsaSha256, key, Signature::X509(&x509));
        check(SignatureAlgorithm::EcdsaSha256, key, Signature::Cose(&cose));
    }

    /// Shows REQ-NODE-60.
    #[test]
    fn rsa_verifies() {
        let rng = SystemRandom::new();
        let message = MESSAGE.concat();
        let pair = RsaKeyPair::generate(KeySize::Rsa2048).expect("key");
        let key = PublicKey { algorithm: KeyAlgorithm::Rsa, bits: pair.public_key().as_ref() };
        for (algorithm, encoding) in [
            (SignatureAlgorithm::RsaPkcs1Sha256, &lc::RSA_PKCS1_SHA256),
            (SignatureAlgorithm::RsaPkcs1Sha384, &lc::RSA_PKCS1_SHA384),
            (SignatureAlgorithm::RsaPkcs1Sha512, &lc::RSA_PKCS1_SHA512),
        ] {
            let mut signature = vec![0; pair.public_modulus_len()];
            pair.sign(encoding, &rng, &message, &mut signature).expect("signed");
            check(algorithm, key, Signature::X509(&signature));
        }
    }

    #[test]
    fn compressed_points_are_opened_and_nothing_else() {
        let mut out = [0; 97];
        for (curve, signing) in [
            (KeyAlgorithm::P256, &lc::ECDSA_P256_SHA256_ASN1_SIGNING),
            (KeyAlgorithm::P384, &lc::ECDSA_P384_SHA384_ASN1_SIGNING),
        ] {
            let pair = EcdsaKeyPair::generate(signing).expect("key");
            let point = pair.public_key().as_ref();
            let length = (point.len() - 1) / 2;
            let compressed = [&[2 + (point[2 * length] & 1)], &point[1..=length]].concat();
            assert_eq!(AwsLc.decompress(curve, &compressed, &mut out), Some(point));
            assert_eq!(AwsLc.decompress(curve, point, &mut out), Some(point));
            for none in [
                &point[..2 * length],
                pair.public_key().as_der().expect("written").as_ref(),
                &compressed[..length],
                &[],
            ] {
                assert_eq!(AwsLc.decompress(curve, none, &mut out), None);
            }
            assert_eq!(AwsLc.decompress(KeyAlgorithm::Ed25519, &compressed, &mut out), None);
            let no_point = [[2].as_slice(), &vec![0; length - 1], &[4]].concat();
            assert_eq!(AwsLc.decompress(curve, &no_point, &mut out), None);
        }
    }

    #[test]
    fn pairs_that_do_not_fit_are_unsupported_and_nonsense_is_invalid() {
        let key = SigningKey::generate();
        let signature = key.sign_x509(&MESSAGE);
        let verify = |algorithm, key| AwsLc.verify(algorithm, key, &MESSAGE, Signature::X509(&signature));
        assert_eq!(verify(SignatureAlgorithm::Ed25519, key.public_key()), Err(VerifyError::Unsupported));
        assert_eq!(verify(SignatureAlgorithm::RsaPkcs1Sha256, key.public_key()), Err(VerifyError::Unsupported));
        for bits in [&[][..], &[4; 65], &[0; 33], &key.public_key().bits[..64]] {
            let nonsense = PublicKey { algorithm: KeyAlgorithm::P256, bits };
            assert_eq!(verify(SignatureAlgorithm::EcdsaSha256, nonsense), Err(VerifyError::Invalid));
        }
    }

    #[test]
    fn hash_is_that_of_the_whole_message() {
        let known = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(data_encoding::HEXLOWER.encode(&AwsLc.sha256(&[b"a".as_slice(), b"", b"bc"])), known);
        assert!(same_secret(b"ab", b"ab") && !same_secret(b"ab", b"ac") && !same_secret(b"ab", b"abc"));
        assert_ne!(random::<16>(), random::<16>());
    }
}
