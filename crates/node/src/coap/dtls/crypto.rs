//! What dimpl asks of cryptography and gets from us: the private key, which does not leave [`SigningKey`]; the cookie of a
//! handshake, which was judged before dimpl hears of it; and the key of a certificate, read by the one parser that says whose
//! it is.
//!
//! dimpl's providers are static. What belongs to one handshake is put in place for the call that needs it.

use crate::provider::{AwsLc, SigningKey};
use dimpl::crypto::{
    Buf, CryptoProvider, HashAlgorithm, HmacProvider, KeyProvider, NamedGroup, SignatureAlgorithm, SignatureVerifier,
    aws_lc_rs,
};
use dimpl::{CryptoError, CryptoOperation};
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, Signature, SignatureAlgorithm as Scheme};
use medlock_trust::x509::Certificate;
use std::cell::RefCell;
use std::sync::{Arc, LazyLock};

/// What a handshake begins with.
pub(super) struct Given {
    /// The key of the certificate that is shown.
    pub(super) key: Arc<SigningKey>,
    /// The cookie that the client has shown.
    pub(super) cookie: [u8; 32],
}

thread_local! {
    static GIVEN: RefCell<Option<Given>> = const { RefCell::new(None) };
}

/// Calls `begin`, in which dimpl finds what is given.
pub(super) fn with<T>(given: Given, begin: impl FnOnce() -> T) -> T {
    GIVEN.set(Some(given));
    let begun = begin();
    GIVEN.set(None);
    begun
}

/// Whether a key can sign in these handshakes.
pub(super) fn can_sign(key: &SigningKey) -> bool {
    matches!(key.public_key().algorithm, KeyAlgorithm::P256 | KeyAlgorithm::P384)
}

/// The cryptography of aws-lc-rs, but for the private key, the cookie, and how certificates are read.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        key_provider: &Keys,
        hmac_provider: &Macs,
        signature_verification: &Signatures,
        ..aws_lc_rs::default_provider()
    }
}

#[derive(Debug)]
struct Keys;

impl KeyProvider for Keys {
    /// The key in place; what dimpl holds as the key's document is empty.
    fn load_private_key(&self, _document: &[u8]) -> Result<Box<dyn dimpl::crypto::SigningKey>, CryptoError> {
        let key = GIVEN.with_borrow(|given| given.as_ref().map(|given| given.key.clone()));
        Ok(Box::new(Key(key.filter(|key| can_sign(key)).ok_or(CryptoError::InvalidPrivateKey)?)))
    }
}

#[derive(Debug)]
struct Key(Arc<SigningKey>);

impl dimpl::crypto::SigningKey for Key {
    fn sign(&mut self, data: &[u8], hash: HashAlgorithm, out: &mut Buf) -> Result<(), CryptoError> {
        if hash != self.hash_algorithm() {
            return Err(CryptoError::OperationFailed(CryptoOperation::Sign));
        }
        out.clear();
        out.extend_from_slice(&self.0.sign_x509(&[data]));
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        if self.0.public_key().algorithm == KeyAlgorithm::P384 { HashAlgorithm::SHA384 } else { HashAlgorithm::SHA256 }
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        if self.hash_algorithm() == HashAlgorithm::SHA384 { &[HashAlgorithm::SHA384] } else { &[HashAlgorithm::SHA256] }
    }
}

#[derive(Debug)]
struct Signatures;

impl SignatureVerifier for Signatures {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let scheme = match hash {
            HashAlgorithm::SHA256 => Scheme::EcdsaSha256,
            HashAlgorithm::SHA384 => Scheme::EcdsaSha384,
            _ => return Err(CryptoError::UnsupportedSignatureAlgorithm(algorithm)),
        };
        if algorithm != SignatureAlgorithm::ECDSA {
            return Err(CryptoError::UnsupportedSignatureAlgorithm(algorithm));
        }
        let certificate = Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
        let key = certificate.public_key().ok_or(CryptoError::UnsupportedPublicKeyAlgorithm)?;
        let group = match key.algorithm {
            KeyAlgorithm::P256 => NamedGroup::Secp256r1,
            KeyAlgorithm::P384 => NamedGroup::Secp384r1,
            _ => return Err(CryptoError::UnsupportedPublicKeyAlgorithm),
        };
        AwsLc
            .verify(scheme, key, &[data], Signature::X509(signature))
            .map_err(|_| CryptoError::SignatureVerificationFailed { signature: algorithm, hash, group })
    }
}

static AWS_LC: LazyLock<CryptoProvider> = LazyLock::new(aws_lc_rs::default_provider);

#[derive(Debug)]
struct Macs;

impl HmacProvider for Macs {
    /// dimpl makes its cookies with this, and nothing else: the one in place is the one it is to expect.
    fn hmac_sha256(&self, key: &[u8], data: &[u8]) -> Result<[u8; 32], CryptoError> {
        let cookie = GIVEN.with_borrow(|given| given.as_ref().map(|given| given.cookie));
        cookie.map_or_else(|| AWS_LC.hmac_provider.hmac_sha256(key, data), Ok)
    }

    fn hmac(&self, hash: HashAlgorithm, key: &[u8], data: &[u8], out: &mut [u8]) -> Result<usize, CryptoError> {
        AWS_LC.hmac_provider.hmac(hash, key, data, out)
    }
}
