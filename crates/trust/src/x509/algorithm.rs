//! Algorithm identifiers and public keys.

use super::ids;
use crate::{
    crypto::{KeyAlgorithm, PublicKey, SignatureAlgorithm},
    der::{self, Oid, Reader, tag},
};

/// `AlgorithmIdentifier` (RFC 5280 section 4.1.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AlgorithmIdentifier<'a> {
    encoding: &'a [u8],
    oid: Oid<'a>,
    parameters: Option<&'a [u8]>,
}

impl<'a> AlgorithmIdentifier<'a> {
    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let element = reader.expect_element(tag::SEQUENCE)?;
        let mut inner = Reader::new(element.content);
        let oid = inner.oid()?;
        let parameters = if inner.is_empty() { None } else { Some(inner.rest()) };
        if let Some(parameters) = parameters {
            der::well_formed(parameters)?;
        }
        Ok(Self { encoding: element.encoding, oid, parameters })
    }

    /// The DER.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// Which algorithm.
    #[must_use]
    pub const fn oid(&self) -> Oid<'a> {
        self.oid
    }

    /// The DER of the parameters, if there are any.
    #[must_use]
    pub const fn parameters(&self) -> Option<&'a [u8]> {
        self.parameters
    }

    /// The signature algorithm this names; `None` if it is not one of [`SignatureAlgorithm`] or its parameters are
    /// not those the standard gives (RFC 5758 section 3.2, RFC 8410 section 3, RFC 4055 section 5).
    #[must_use]
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        let absent = self.parameters.is_none();
        let null_or_absent = matches!(self.parameters, None | Some([tag::NULL, 0]));
        [
            (ids::ECDSA_SHA256, absent, SignatureAlgorithm::EcdsaSha256),
            (ids::ECDSA_SHA384, absent, SignatureAlgorithm::EcdsaSha384),
            (ids::ED25519, absent, SignatureAlgorithm::Ed25519),
            (ids::RSA_SHA256, null_or_absent, SignatureAlgorithm::RsaPkcs1Sha256),
            (ids::RSA_SHA384, null_or_absent, SignatureAlgorithm::RsaPkcs1Sha384),
            (ids::RSA_SHA512, null_or_absent, SignatureAlgorithm::RsaPkcs1Sha512),
        ]
        .into_iter()
        .find_map(|(oid, parameters_fit, algorithm)| (oid == self.oid && parameters_fit).then_some(algorithm))
    }
}

/// `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo<'a> {
    encoding: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    bits: &'a [u8],
}

impl<'a> SubjectPublicKeyInfo<'a> {
    /// Reads a `SubjectPublicKeyInfo` that stands alone, as in a trust list.
    ///
    /// # Errors
    /// What is wrong with its DER.
    pub fn from_der(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let spki = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(spki)
    }

    pub(crate) fn read(reader: &mut Reader<'a>) -> Result<Self, der::Error> {
        let element = reader.expect_element(tag::SEQUENCE)?;
        let mut inner = Reader::new(element.content);
        let algorithm = AlgorithmIdentifier::read(&mut inner)?;
        let bits = inner.octets_in_bit_string()?;
        inner.finish()?;
        Ok(Self { encoding: element.encoding, algorithm, bits })
    }

    /// The DER.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn algorithm(&self) -> AlgorithmIdentifier<'a> {
        self.algorithm
    }

    /// The content of `subjectPublicKey`.
    #[must_use]
    pub const fn bits(&self) -> &'a [u8] {
        self.bits
    }

    /// The key; `None` if its kind is not one of [`KeyAlgorithm`] or its form does not fit its kind.
    ///
    /// Whether a point lies on its curve is for [`Crypto`](crate::Crypto) to say.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey<'a>> {
        let oid = self.algorithm.oid;
        let parameters = self.algorithm.parameters;
        let algorithm = if oid == ids::EC_PUBLIC_KEY {
            let mut reader = Reader::new(parameters?);
            let curve = reader.oid().ok()?;
            let (algorithm, coordinate) = if curve == ids::P256 {
                (KeyAlgorithm::P256, 32)
            } else if curve == ids::P384 {
                (KeyAlgorithm::P384, 48_usize)
            } else {
                return None;
            };
            is_point(self.bits, coordinate).then_some(algorithm)?
        } else if oid == ids::ED25519 {
            (parameters.is_none() && self.bits.len() == 32).then_some(KeyAlgorithm::Ed25519)?
        } else if oid == ids::RSA_ENCRYPTION {
            (parameters == Some(&[tag::NULL, 0]) && is_rsa_public_key(self.bits)).then_some(KeyAlgorithm::Rsa)?
        } else {
            return None;
        };
        Some(PublicKey { algorithm, bits: self.bits })
    }
}

/// Whether `bits` has the form of a compressed or uncompressed point (SEC 1 section 2.3.3).
fn is_point(bits: &[u8], coordinate: usize) -> bool {
    match bits.split_first() {
        Some((2 | 3, x)) => x.len() == coordinate,
        Some((4, both)) => both.len() == coordinate.saturating_mul(2),
        Some(_) | None => false,
    }
}

/// Whether `bits` is `RSAPublicKey ::= SEQUENCE { modulus INTEGER, publicExponent INTEGER }` (RFC 8017 A.1.1) with a
/// modulus of 2048 to 8192 bits: smaller ones are broken within reach, larger ones only cost time.
fn is_rsa_public_key(bits: &[u8]) -> bool {
    let read = || {
        let mut outer = Reader::new(bits);
        let mut inner = outer.nested(tag::SEQUENCE)?;
        outer.finish()?;
        let modulus = inner.integer()?;
        inner.integer()?;
        inner.finish()?;
        Ok::<_, der::Error>(modulus)
    };
    read().is_ok_and(|modulus| {
        let magnitude = modulus.strip_prefix(&[0]).unwrap_or(modulus);
        let leading = magnitude.first().map_or(0, |first| first.leading_zeros());
        let bits = magnitude.len().saturating_mul(8).saturating_sub(usize::try_from(leading).unwrap_or_default());
        modulus.first().is_some_and(|first| *first < 0x80) && (2048..=8192).contains(&bits)
    })
}
