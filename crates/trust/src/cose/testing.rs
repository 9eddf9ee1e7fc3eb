//! Real keys for tests: the provider is aws-lc-rs.

use super::{Algorithm, ContentType, Place};
use crate::crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use crate::id::KeyId;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, PqdsaKeyPair, UnparsedPublicKey, VerificationAlgorithm,
};
use std::vec::Vec;

/// A provider for COSE signatures and hashes.
pub(crate) struct Provider;

impl Crypto for Provider {
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key: PublicKey<'_>,
        message: &dyn Message,
        signature: Signature<'_>,
    ) -> Result<(), VerifyError> {
        let (verification, bytes): (&'static dyn VerificationAlgorithm, _) = match (algorithm, key.algorithm, signature)
        {
            (SignatureAlgorithm::EcdsaSha256, KeyAlgorithm::P256, Signature::Cose(bytes)) => {
                (&signature::ECDSA_P256_SHA256_FIXED, bytes)
            }
            (SignatureAlgorithm::EcdsaSha256, KeyAlgorithm::P256, Signature::X509(bytes)) => {
                (&signature::ECDSA_P256_SHA256_ASN1, bytes)
            }
            (SignatureAlgorithm::EcdsaSha384, KeyAlgorithm::P384, Signature::Cose(bytes)) => {
                (&signature::ECDSA_P384_SHA384_FIXED, bytes)
            }
            (SignatureAlgorithm::Ed25519, KeyAlgorithm::Ed25519, Signature::Cose(bytes)) => {
                (&signature::ED25519, bytes)
            }
            (SignatureAlgorithm::MlDsa44, KeyAlgorithm::MlDsa44, Signature::Cose(bytes)) => {
                (&signature::ML_DSA_44, bytes)
            }
            (SignatureAlgorithm::MlDsa65, KeyAlgorithm::MlDsa65, Signature::Cose(bytes)) => {
                (&signature::ML_DSA_65, bytes)
            }
            _ => return Err(VerifyError::Unsupported),
        };
        UnparsedPublicKey::new(verification, key.bits).verify(&whole(message), bytes).map_err(|_| VerifyError::Invalid)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &whole(message));
        digest.as_ref().try_into().unwrap()
    }

    fn decompress<'o>(&self, _: KeyAlgorithm, _: &[u8], _: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        None
    }
}

fn whole(message: &dyn Message) -> Vec<u8> {
    let mut whole = Vec::new();
    message.feed(&mut |part| whole.extend_from_slice(part));
    whole
}

enum Private {
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa(PqdsaKeyPair),
}

/// A key pair.
pub(crate) struct Key {
    private: Private,
    pub(crate) algorithm: Algorithm,
    pub(crate) spki: Vec<u8>,
    pub(crate) id: KeyId,
}

impl Key {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        let ecdsa = |kind| EcdsaKeyPair::generate(kind).unwrap();
        let (private, prefix): (_, &[u8]) = match algorithm {
            Algorithm::Es256 => (
                Private::Ecdsa(ecdsa(&signature::ECDSA_P256_SHA256_FIXED_SIGNING)),
                b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\0",
            ),
            Algorithm::Es384 => (
                Private::Ecdsa(ecdsa(&signature::ECDSA_P384_SHA384_FIXED_SIGNING)),
                b"\x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\0",
            ),
            Algorithm::EdDsa | Algorithm::Ed25519 => (
                Private::Ed25519(Ed25519KeyPair::generate().unwrap()),
                b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\0",
            ),
            Algorithm::MlDsa44 => (
                Private::MlDsa(PqdsaKeyPair::generate(&signature::ML_DSA_44_SIGNING).unwrap()),
                b"\x30\x82\x05\x32\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x11\x03\x82\x05\x21\0",
            ),
            Algorithm::MlDsa65 => (
                Private::MlDsa(PqdsaKeyPair::generate(&signature::ML_DSA_65_SIGNING).unwrap()),
                b"\x30\x82\x07\xb2\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x03\x12\x03\x82\x07\xa1\0",
            ),
        };
        let point = match &private {
            Private::Ecdsa(key) => key.public_key().as_ref(),
            Private::Ed25519(key) => key.public_key().as_ref(),
            Private::MlDsa(key) => key.public_key().as_ref(),
        };
        let spki = [prefix, point].concat();
        let id = KeyId::of(&[spki.as_slice()], &Provider);
        Self { private, algorithm, spki, id }
    }

    pub(crate) fn p256() -> Self {
        Self::new(Algorithm::Es256)
    }

    pub(crate) fn public(&self) -> PublicKey<'_> {
        crate::x509::SubjectPublicKeyInfo::from_der(&self.spki).unwrap().public_key().unwrap()
    }

    pub(crate) fn sign(&self, message: &[&[u8]]) -> Vec<u8> {
        match &self.private {
            Private::Ecdsa(key) => key.sign(&SystemRandom::new(), &message.concat()).unwrap().as_ref().to_vec(),
            Private::Ed25519(key) => key.sign(&message.concat()).as_ref().to_vec(),
            Private::MlDsa(key) => {
                let mut made = std::vec![0; key.algorithm().signature_len()];
                key.sign(&message.concat(), &mut made).unwrap();
                made
            }
        }
    }

    pub(crate) fn sign1(&self, payload: &[u8], place: Place, key: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        super::sign1(payload, place, self.algorithm, key, &mut out, |parts| Ok::<_, ()>(self.sign(parts))).unwrap();
        out
    }

    /// An object with the content type in the header and the full key identifier.
    pub(crate) fn sign1_full(&self, payload: &[u8], content_type: ContentType) -> Vec<u8> {
        self.sign1(payload, Place::Header(content_type), self.id.as_bytes())
    }
}

/// A list signed by all of `keys`.
pub(crate) fn sign_list(payload: &[u8], keys: &[&Key]) -> Vec<u8> {
    let signers: Vec<_> = keys.iter().map(|key| (key.id, key.algorithm)).collect();
    let mut out = Vec::new();
    super::sign(payload, ContentType::LIST, &signers, &mut out, |id, parts| {
        Ok::<_, ()>(keys.iter().find(|key| key.id == id).unwrap().sign(parts))
    })
    .unwrap();
    out
}
