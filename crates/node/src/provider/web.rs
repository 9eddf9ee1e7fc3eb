//! Keys that sign tokens of the web (RFC 7518): they name people to software, and are never a site's.

use super::SystemRandom;
use crate::{Error, asn1};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self as lc, EcdsaKeyPair, KeyPair as _};
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;
use std::fmt;
use zeroize::Zeroizing;

/// How a token is signed (RFC 7518 section 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WebAlgorithm {
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// RSA PKCS#1 v1.5 with SHA-256: what every OpenID Connect client takes. Keys have 3072 bits.
    Rs256,
}

impl WebAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Es256, Self::Rs256];

    /// Its name in `alg`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Es256 => "ES256",
            Self::Rs256 => "RS256",
        }
    }

    /// The algorithm with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|algorithm| algorithm.name() == name)
    }
}

impl fmt::Display for WebAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A private key that signs tokens of the web, in this process's memory.
pub struct WebKey {
    pair: Pair,
    spki: Vec<u8>,
}

enum Pair {
    Es256(EcdsaKeyPair),
    Rs256(Box<RsaKeyPair>),
}

impl WebKey {
    /// A new key for this algorithm.
    #[must_use]
    pub fn generate(algorithm: WebAlgorithm) -> Self {
        const WHY: &str = "making a key needs only random numbers and memory";
        let pair = match algorithm {
            WebAlgorithm::Es256 => {
                Pair::Es256(EcdsaKeyPair::generate(&lc::ECDSA_P256_SHA256_FIXED_SIGNING).expect(WHY))
            }
            WebAlgorithm::Rs256 => Pair::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa3072).expect(WHY))),
        };
        Self::of(pair).expect(WHY)
    }

    /// The key in a PKCS#8 document (DER).
    ///
    /// # Errors
    /// [`Error::Key`] if it is none for this algorithm.
    pub fn from_pkcs8(algorithm: WebAlgorithm, document: &[u8]) -> Result<Self, Error> {
        let wrong = Error::Key("it is no key for tokens of the web in PKCS#8");
        let pair = match algorithm {
            WebAlgorithm::Es256 => {
                EcdsaKeyPair::from_pkcs8(&lc::ECDSA_P256_SHA256_FIXED_SIGNING, document).ok().map(Pair::Es256)
            }
            WebAlgorithm::Rs256 => RsaKeyPair::from_pkcs8(document).ok().map(|pair| Pair::Rs256(Box::new(pair))),
        };
        pair.and_then(Self::of).ok_or(wrong)
    }

    /// The private key (`PRIVATE KEY`, PKCS#8) in a text in PEM; what it is, says how it signs.
    ///
    /// # Errors
    /// [`Error::Key`] if there is none, or none for an algorithm of these.
    pub fn from_pem(text: &[u8]) -> Result<Self, Error> {
        let wrong = || Error::Key("there is no private key on P-256 or for RSA in it (PEM, PKCS#8)");
        let document = PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|_| wrong())?;
        let document = Zeroizing::new(document.secret_pkcs8_der().to_vec());
        WebAlgorithm::ALL.into_iter().find_map(|one| Self::from_pkcs8(one, &document).ok()).ok_or_else(wrong)
    }

    fn of(pair: Pair) -> Option<Self> {
        let key = match &pair {
            Pair::Es256(pair) => PublicKey { algorithm: KeyAlgorithm::P256, bits: pair.public_key().as_ref() },
            Pair::Rs256(pair) => PublicKey { algorithm: KeyAlgorithm::Rsa, bits: pair.public_key().as_ref() },
        };
        let spki = asn1::spki(key)?;
        Some(Self { pair, spki })
    }

    /// The key as a PKCS#8 document (DER), erased from memory when dropped.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        const WHY: &str = "a key that was read can be written";
        Zeroizing::new(match &self.pair {
            Pair::Es256(pair) => pair.to_pkcs8v1().expect(WHY).as_ref().to_vec(),
            Pair::Rs256(pair) => AsDer::<Pkcs8V1Der<'_>>::as_der(&**pair).expect(WHY).as_ref().to_vec(),
        })
    }

    /// How it signs.
    #[must_use]
    pub const fn algorithm(&self) -> WebAlgorithm {
        match self.pair {
            Pair::Es256(_) => WebAlgorithm::Es256,
            Pair::Rs256(_) => WebAlgorithm::Rs256,
        }
    }

    /// The public key as `SubjectPublicKeyInfo` (DER).
    #[must_use]
    pub fn spki(&self) -> &[u8] {
        &self.spki
    }

    /// Signs as a JSON Web Signature is signed (RFC 7518 sections 3.3 and 3.4).
    #[must_use]
    pub fn sign(&self, input: &[u8]) -> Vec<u8> {
        const CANNOT_FAIL: &str = "signing with a checked key needs only random numbers and memory";
        match &self.pair {
            Pair::Es256(pair) => pair.sign(&SystemRandom::new(), input).expect(CANNOT_FAIL).as_ref().to_vec(),
            Pair::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&lc::RSA_PKCS1_SHA256, &SystemRandom::new(), input, &mut signature).expect(CANNOT_FAIL);
                signature
            }
        }
    }
}

impl fmt::Debug for WebKey {
    /// Names the algorithm; never shows the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WebKey({})", self.algorithm())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::AwsLc;
    use der::pem::{LineEnding, encode_string};
    use medlock_trust::crypto::{Crypto as _, Signature, SignatureAlgorithm};
    use medlock_trust::x509::SubjectPublicKeyInfo;

    /// Shows REQ-NODE-73.
    #[test]
    fn what_a_web_key_signs_verifies_and_it_survives_its_document() {
        for (algorithm, with) in [
            (WebAlgorithm::Es256, SignatureAlgorithm::EcdsaSha256),
            (WebAlgorithm::Rs256, SignatureAlgorithm::RsaPkcs1Sha256),
        ] {
            let key = WebKey::generate(algorithm);
            let signature = key.sign(b"header.claims");
            let public = SubjectPublicKeyInfo::from_der(key.spki()).unwrap();
            let check = |message: &[u8]| {
                AwsLc.verify(with, public.public_key().unwrap(), &[message], Signature::Cose(&signature))
            };
            assert_eq!(check(b"header.claims"), Ok(()));
            assert!(check(b"header.claimz").is_err());
            let again = WebKey::from_pkcs8(algorithm, &key.to_pkcs8()).unwrap();
            assert_eq!((again.spki(), again.algorithm()), (key.spki(), algorithm));
            for other in WebAlgorithm::ALL {
                assert_eq!(WebKey::from_pkcs8(other, &key.to_pkcs8()).is_ok(), other == algorithm);
            }
            assert_eq!(WebAlgorithm::named(algorithm.name()), Some(algorithm));
            let text = encode_string("PRIVATE KEY", LineEnding::LF, &key.to_pkcs8()).unwrap();
            assert_eq!(WebKey::from_pem(text.as_bytes()).unwrap().spki(), key.spki());
            assert!(WebKey::from_pem(text.replace("PRIVATE", "PUBLIC").as_bytes()).is_err());
        }
        assert_eq!(WebAlgorithm::named("none"), None);
    }
}
