//! Own private keys, in this process's memory.

use super::{AwsLc, agreement, contiguous};
use crate::{Error, asn1};
use aws_lc_rs::agreement::PrivateKey;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    self as lc, EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, PqdsaKeyPair, PqdsaSigningAlgorithm,
};
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey, SignatureAlgorithm};
use medlock_trust::{KeyId, cose};
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::Zeroizing;

/// What a key of ours is and how it signs: one signature algorithm belongs to each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SigningAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    #[default]
    P256,
    /// ECDSA on P-384 with SHA-384.
    P384,
    /// Ed25519.
    Ed25519,
    /// ML-DSA-44 (FIPS 204).
    #[serde(rename = "ml-dsa-44")]
    MlDsa44,
    /// ML-DSA-65 (FIPS 204).
    #[serde(rename = "ml-dsa-65")]
    MlDsa65,
}

impl SigningAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 5] = [Self::P256, Self::P384, Self::Ed25519, Self::MlDsa44, Self::MlDsa65];

    /// Its name, as configuration writes it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "p256",
            Self::P384 => "p384",
            Self::Ed25519 => "ed25519",
            Self::MlDsa44 => "ml-dsa-44",
            Self::MlDsa65 => "ml-dsa-65",
        }
    }

    /// Whether it is ML-DSA: keys and signatures of some thousand bytes.
    #[must_use]
    pub const fn is_ml_dsa(self) -> bool {
        matches!(self, Self::MlDsa44 | Self::MlDsa65)
    }

    /// What kind of key it takes.
    #[must_use]
    pub const fn key(self) -> KeyAlgorithm {
        match self {
            Self::P256 => KeyAlgorithm::P256,
            Self::P384 => KeyAlgorithm::P384,
            Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::MlDsa44 => KeyAlgorithm::MlDsa44,
            Self::MlDsa65 => KeyAlgorithm::MlDsa65,
        }
    }

    /// How such keys sign.
    #[must_use]
    pub const fn signature(self) -> SignatureAlgorithm {
        match self {
            Self::P256 => SignatureAlgorithm::EcdsaSha256,
            Self::P384 => SignatureAlgorithm::EcdsaSha384,
            Self::Ed25519 => SignatureAlgorithm::Ed25519,
            Self::MlDsa44 => SignatureAlgorithm::MlDsa44,
            Self::MlDsa65 => SignatureAlgorithm::MlDsa65,
        }
    }

    /// How objects that such keys sign name it.
    #[must_use]
    pub const fn cose(self) -> cose::Algorithm {
        match self {
            Self::P256 => cose::Algorithm::Es256,
            Self::P384 => cose::Algorithm::Es384,
            Self::Ed25519 => cose::Algorithm::Ed25519,
            Self::MlDsa44 => cose::Algorithm::MlDsa44,
            Self::MlDsa65 => cose::Algorithm::MlDsa65,
        }
    }

    /// The algorithm of keys of this kind; `None` for one that only others have (RSA).
    #[must_use]
    pub fn of(key: KeyAlgorithm) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.key() == key)
    }
}

impl fmt::Display for SigningAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A private key, in this process's memory.
pub struct SigningKey {
    pair: Pair,
    spki: Vec<u8>,
}

enum Pair {
    P256(Box<P256>),
    /// One key for each form of signatures: DER, and r‖s.
    P384(EcdsaKeyPair, EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    MlDsa44(PqdsaKeyPair),
    MlDsa65(PqdsaKeyPair),
}

struct P256 {
    asn1: EcdsaKeyPair,
    fixed: EcdsaKeyPair,
    /// The same key for agreement, made once: that takes a multiplication of the base point.
    agreement: PrivateKey,
}

impl SigningKey {
    /// A new key on P-256: what devices have, and what TLS and EDHOC use.
    #[must_use]
    pub fn generate() -> Self {
        Self::generate_with(SigningAlgorithm::P256)
    }

    /// A new key of this algorithm.
    #[must_use]
    pub fn generate_with(algorithm: SigningAlgorithm) -> Self {
        const WHY: &str = "making a key needs only random numbers and memory";
        let ecdsa = |with| EcdsaKeyPair::generate(with).expect(WHY).to_pkcs8v1();
        let document = match algorithm {
            SigningAlgorithm::P256 => ecdsa(&lc::ECDSA_P256_SHA256_ASN1_SIGNING),
            SigningAlgorithm::P384 => ecdsa(&lc::ECDSA_P384_SHA384_ASN1_SIGNING),
            SigningAlgorithm::Ed25519 => Ed25519KeyPair::generate().expect(WHY).to_pkcs8v1(),
            SigningAlgorithm::MlDsa44 => PqdsaKeyPair::generate(&lc::ML_DSA_44_SIGNING).expect(WHY).to_pkcs8v1(),
            SigningAlgorithm::MlDsa65 => PqdsaKeyPair::generate(&lc::ML_DSA_65_SIGNING).expect(WHY).to_pkcs8v1(),
        };
        Self::from_pkcs8(document.expect(WHY).as_ref()).expect(WHY)
    }

    /// The key in a PKCS#8 document (`PrivateKeyInfo`, DER).
    ///
    /// # Errors
    /// [`Error::Key`] if it is none of the algorithms of [`SigningAlgorithm`].
    pub fn from_pkcs8(document: &[u8]) -> Result<Self, Error> {
        let ecdsa = |with: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::from_pkcs8(with, document).ok();
        let pqdsa = |with: &'static PqdsaSigningAlgorithm| PqdsaKeyPair::from_pkcs8(with, document).ok();
        let pair = if let Some(asn1) = ecdsa(&lc::ECDSA_P256_SHA256_ASN1_SIGNING) {
            let fixed = ecdsa(&lc::ECDSA_P256_SHA256_FIXED_SIGNING).ok_or(WRONG)?;
            let agreement = agreement::key_of(&asn1)?;
            Pair::P256(Box::new(P256 { asn1, fixed, agreement }))
        } else if let Some(asn1) = ecdsa(&lc::ECDSA_P384_SHA384_ASN1_SIGNING) {
            Pair::P384(asn1, ecdsa(&lc::ECDSA_P384_SHA384_FIXED_SIGNING).ok_or(WRONG)?)
        } else if let Ok(pair) = Ed25519KeyPair::from_pkcs8(document) {
            Pair::Ed25519(pair)
        } else if let Some(pair) = pqdsa(&lc::ML_DSA_44_SIGNING) {
            Pair::MlDsa44(pair)
        } else {
            Pair::MlDsa65(pqdsa(&lc::ML_DSA_65_SIGNING).ok_or(WRONG)?)
        };
        let spki = asn1::spki(pair.public_key()).ok_or(Error::Key("its public key cannot be written"))?;
        Ok(Self { pair, spki })
    }

    /// The key as a PKCS#8 document (DER), erased from memory when dropped.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        let document = match &self.pair {
            Pair::P256(keys) => keys.asn1.to_pkcs8v1(),
            Pair::P384(asn1, _) => asn1.to_pkcs8v1(),
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
            Pair::MlDsa44(pair) | Pair::MlDsa65(pair) => pair.to_pkcs8v1(),
        };
        Zeroizing::new(document.expect("a key that was read can be written").as_ref().to_vec())
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> SigningAlgorithm {
        match self.pair {
            Pair::P256(_) => SigningAlgorithm::P256,
            Pair::P384(..) => SigningAlgorithm::P384,
            Pair::Ed25519(_) => SigningAlgorithm::Ed25519,
            Pair::MlDsa44(_) => SigningAlgorithm::MlDsa44,
            Pair::MlDsa65(_) => SigningAlgorithm::MlDsa65,
        }
    }

    /// The public key as `SubjectPublicKeyInfo` (DER, a point in full).
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// The public key: a point in full, or the bytes it is.
    #[must_use]
    pub fn public_key(&self) -> PublicKey<'_> {
        self.pair.public_key()
    }

    /// The public key's identifier.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        KeyId::of(&[self.spki.as_slice()], &AwsLc)
    }

    /// Signs the concatenation of `message` as X.509 and TLS write it: ECDSA in DER, all others as they are.
    #[must_use]
    pub fn sign_x509(&self, message: &dyn Message) -> Vec<u8> {
        match &self.pair {
            Pair::P256(keys) => ecdsa(&keys.asn1, message),
            Pair::P384(asn1, _) => ecdsa(asn1, message),
            other => other.sign_plain(message),
        }
    }

    /// Signs the concatenation of `message` as COSE writes it: ECDSA as r‖s, all others as they are.
    #[must_use]
    pub fn sign_cose(&self, message: &dyn Message) -> Vec<u8> {
        match &self.pair {
            Pair::P256(keys) => ecdsa(&keys.fixed, message),
            Pair::P384(_, fixed) => ecdsa(fixed, message),
            other => other.sign_plain(message),
        }
    }

    /// The key as one that agrees on secrets: only P-256.
    pub(super) fn agreement(&self) -> Option<&PrivateKey> {
        match &self.pair {
            Pair::P256(keys) => Some(&keys.agreement),
            Pair::P384(..) | Pair::Ed25519(_) | Pair::MlDsa44(_) | Pair::MlDsa65(_) => None,
        }
    }
}

impl Pair {
    fn public_key(&self) -> PublicKey<'_> {
        let (algorithm, bits) = match self {
            Self::P256(keys) => (KeyAlgorithm::P256, keys.asn1.public_key().as_ref()),
            Self::P384(asn1, _) => (KeyAlgorithm::P384, asn1.public_key().as_ref()),
            Self::Ed25519(pair) => (KeyAlgorithm::Ed25519, pair.public_key().as_ref()),
            Self::MlDsa44(pair) => (KeyAlgorithm::MlDsa44, pair.public_key().as_ref()),
            Self::MlDsa65(pair) => (KeyAlgorithm::MlDsa65, pair.public_key().as_ref()),
        };
        PublicKey { algorithm, bits }
    }

    /// A signature that has one form.
    fn sign_plain(&self, message: &dyn Message) -> Vec<u8> {
        let message = contiguous(message);
        match self {
            Self::P256(keys) => ecdsa(&keys.fixed, &[message.as_slice()]),
            Self::P384(_, fixed) => ecdsa(fixed, &[message.as_slice()]),
            Self::Ed25519(pair) => pair.sign(&message).as_ref().to_vec(),
            Self::MlDsa44(pair) | Self::MlDsa65(pair) => {
                let mut signature = vec![0; pair.algorithm().signature_len()];
                let length = pair.sign(&message, &mut signature).expect(CANNOT_FAIL);
                signature.truncate(length);
                signature
            }
        }
    }
}

fn ecdsa(pair: &EcdsaKeyPair, message: &dyn Message) -> Vec<u8> {
    let sign = |whole: &[u8]| pair.sign(&SystemRandom::new(), whole).expect(CANNOT_FAIL).as_ref().to_vec();
    let mut parts = 0_usize;
    message.feed(&mut |_| parts += 1);
    if parts != 1 {
        return sign(&contiguous(message));
    }
    // What lies in one piece is not copied: a revocation list may have tens of megabytes.
    let mut signature = Vec::new();
    message.feed(&mut |whole| signature = sign(whole));
    signature
}

const WRONG: Error = Error::Key(
    "it is no P-256, P-384, Ed25519 or ML-DSA key in PKCS#8; make a new one with `openssl genpkey` or enrol again",
);
const CANNOT_FAIL: &str = "signing with a checked key needs only random numbers and memory";

impl fmt::Debug for SigningKey {
    /// Names the key; never shows it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.key_id())
    }
}
