//! The certificates of the authority's own keys.

use crate::Error;
use crate::issue::Issuer;
use crate::signer::KeyLabel;
use medlock_node::provider::{AwsLc, SigningAlgorithm};
use medlock_trust::x509::{Certificate, SubjectPublicKeyInfo};
use medlock_trust::{KeyId, Time};

/// A certificate of the authority itself, and which of its keys that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorityCertificate {
    /// Which key.
    pub label: KeyLabel,
    /// What the key signs with.
    pub algorithm: SigningAlgorithm,
    /// The certificate, DER.
    pub der: Vec<u8>,
    /// Its subject, DER.
    pub subject: Vec<u8>,
    /// Its key, `SubjectPublicKeyInfo`.
    pub spki: Vec<u8>,
    /// Its key's identifier.
    pub key: KeyId,
}

impl AuthorityCertificate {
    /// Reads the certificate of this key.
    ///
    /// # Errors
    /// [`Error::Object`] when it is no certificate of a key that may sign.
    pub fn read(label: KeyLabel, der: Vec<u8>) -> Result<Self, Error> {
        let failed = |why: String| Error::Object { what: "authority's certificate", why };
        let certificate = Certificate::from_der(&der).map_err(|error| failed(error.to_string()))?;
        let algorithm = certificate.public_key().and_then(|key| SigningAlgorithm::of(key.algorithm));
        let algorithm = algorithm.ok_or_else(|| failed("its key is of a kind that does not sign here".to_owned()))?;
        let (subject, spki) = (certificate.subject().der().to_vec(), certificate.spki().to_vec());
        let key = KeyId::of(&[spki.as_slice()], &AwsLc);
        Ok(Self { label, algorithm, der, subject, spki, key })
    }

    /// The key as one that signs certificates.
    #[must_use]
    pub fn issuer(&self) -> Issuer<'_> {
        Issuer { name: &self.subject, spki: &self.spki, key: self.label, algorithm: self.algorithm }
    }

    /// When it was made: certificates are dated back by so many seconds.
    pub(crate) fn made(&self, backdate_seconds: i64) -> Option<Time> {
        Some(Certificate::from_der(&self.der).ok()?.not_before().plus_seconds(backdate_seconds))
    }

    /// Whether this key has signed a certificate.
    pub(crate) fn has_signed(&self, certificate: &Certificate<'_>) -> bool {
        let key = SubjectPublicKeyInfo::from_der(&self.spki).ok().and_then(|spki| spki.public_key());
        key.is_some_and(|key| certificate.verify_with(key, &AwsLc).is_ok())
    }

    /// The content of `subjectPublicKey`: what OCSP hashes.
    pub(crate) fn key_bits(&self) -> &[u8] {
        let key = SubjectPublicKeyInfo::from_der(&self.spki).ok().and_then(|spki| spki.public_key());
        key.map_or(&[], |key| key.bits)
    }
}
