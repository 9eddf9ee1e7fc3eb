//! Algorithm identifiers and public keys.

use super::{Problem, X509, extensions::magnitude, ids};
use crate::{
    KeyId,
    c509::{
        registry,
        to_der::{FullPoint, Rebuilt},
    },
    cbor,
    crypto::{Crypto, KeyAlgorithm, PublicKey, SignatureAlgorithm},
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
    /// Reads one.
    ///
    /// # Errors
    /// Where and why it is none.
    pub fn from_der(der: &'a [u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let read = Self::read(&mut reader)?;
        reader.finish()?;
        Ok(read)
    }

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

    /// Reads `int / ~oid / [~oid, bytes]` (section "signature"). A registered algorithm is written as its number.
    pub(crate) fn read_c509(reader: &mut cbor::Reader<'a>, table: &'static registry::Table) -> Result<Self, Problem> {
        const BYTES: u8 = 2;
        const ARRAY: u8 = 4;
        let form = reader.major_type()?;
        if form != BYTES && form != ARRAY {
            return Self::from_number(reader.int()?, table).ok_or(Problem::Unregistered);
        }
        if form == ARRAY {
            reader.array_of(2)?;
        }
        let oid = Oid::from_content(reader.bytes()?)?;
        let parameters = if form == ARRAY { Some(reader.bytes()?) } else { None };
        if let Some(parameters) = parameters {
            der::well_formed(parameters)?;
        }
        let algorithm = Self { encoding: &[], oid, parameters };
        if algorithm.number(table).is_some() { Err(Problem::NotCanonical) } else { Ok(algorithm) }
    }

    fn from_number(number: i64, table: &'static registry::Table) -> Option<Self> {
        let content = table.content(registry::algorithm_row(number)?)?;
        let mut inner = Reader::new(content);
        let oid = inner.oid().ok()?;
        let parameters = if inner.is_empty() { None } else { Some(inner.rest()) };
        Some(Self { encoding: &[], oid, parameters })
    }

    /// The number C509 has for it.
    pub(crate) fn number(&self, table: &'static registry::Table) -> Option<i64> {
        table.algorithm(self.oid, self.parameters.unwrap_or_default())
    }

    /// Whether both name the same algorithm with the same parameters.
    pub(crate) fn is(&self, other: &AlgorithmIdentifier<'_>) -> bool {
        self.oid == other.oid && self.parameters == other.parameters
    }

    /// The DER; empty if it was read from C509.
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
    /// not those the standard gives (RFC 5758 section 3.2, RFC 8410 section 3, RFC 4055 section 5, RFC 9881
    /// section 2).
    #[must_use]
    pub fn signature_algorithm(&self) -> Option<SignatureAlgorithm> {
        static ALL: [(Oid<'_>, SignatureAlgorithm); 7] = [
            (ids::ECDSA_SHA256, SignatureAlgorithm::EcdsaSha256),
            (ids::ECDSA_SHA384, SignatureAlgorithm::EcdsaSha384),
            (ids::ED25519, SignatureAlgorithm::Ed25519),
            (ids::ML_DSA_44, SignatureAlgorithm::MlDsa44),
            (ids::RSA_SHA256, SignatureAlgorithm::RsaPkcs1Sha256),
            (ids::RSA_SHA384, SignatureAlgorithm::RsaPkcs1Sha384),
            (ids::RSA_SHA512, SignatureAlgorithm::RsaPkcs1Sha512),
        ];
        // Chips have no use for it: their code does not grow.
        if X509 && self.oid == ids::ML_DSA_65 {
            return self.parameters.is_none().then_some(SignatureAlgorithm::MlDsa65);
        }
        let (_, algorithm) = *ALL.iter().find(|(oid, _)| *oid == self.oid)?;
        let may_be_null = matches!(
            algorithm,
            SignatureAlgorithm::RsaPkcs1Sha256
                | SignatureAlgorithm::RsaPkcs1Sha384
                | SignatureAlgorithm::RsaPkcs1Sha512
        );
        let parameters_fit = match self.parameters {
            None => true,
            Some(parameters) => may_be_null && parameters == [tag::NULL, 0],
        };
        parameters_fit.then_some(algorithm)
    }
}

/// `SubjectPublicKeyInfo` (RFC 5280 section 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo<'a> {
    encoding: &'a [u8],
    algorithm: AlgorithmIdentifier<'a>,
    bits: &'a [u8],
    form: KeyForm<'a>,
}

/// How a key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyForm<'a> {
    /// As the content of `subjectPublicKey`.
    Bits,
    /// As a compressed point that stands for the uncompressed one; kept here as SEC 1 has it.
    Compressed(CompressedPoint),
    /// As an RSA modulus; the bits are the modulus.
    Rsa {
        /// The public exponent.
        exponent: &'a [u8],
    },
}

/// A compressed point on P-256 or P-384 (SEC 1 section 2.3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompressedPoint {
    bytes: [u8; 49],
    length: u8,
}

impl CompressedPoint {
    /// `None` if it is too long.
    pub(crate) fn new(sign: u8, x: &[u8]) -> Option<Self> {
        let mut bytes = [0; 49];
        let (first, rest) = bytes.split_first_mut()?;
        *first = sign;
        rest.get_mut(..x.len())?.iter_mut().zip(x).for_each(|(to, from)| *to = *from);
        Some(Self { bytes, length: u8::try_from(x.len()).ok()?.checked_add(1)? })
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

/// What C509 writes instead of 02 and 03 for a point that is uncompressed in the DER (section "subjectPublicKey").
const EVEN_OF_UNCOMPRESSED: u8 = 0xfe;
const ODD_OF_UNCOMPRESSED: u8 = 0xfd;
/// The public exponent that is not written: 65537.
pub(crate) const RSA_EXPONENT: &[u8] = &[1, 0, 1];

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
        Ok(Self { encoding: element.encoding, algorithm, bits, form: KeyForm::Bits })
    }

    /// Reads `subjectPublicKeyAlgorithm` and `subjectPublicKey` of C509.
    pub(crate) fn read_c509(reader: &mut cbor::Reader<'a>, native: bool) -> Result<Self, Problem> {
        const ARRAY: u8 = 4;
        let algorithm = AlgorithmIdentifier::read_c509(reader, &registry::KEYS)?;
        let mut key = Self { encoding: &[], algorithm, bits: &[], form: KeyForm::Bits };
        if X509 && algorithm.is(&RSA) {
            let with_exponent = reader.major_type()? == ARRAY;
            if with_exponent {
                reader.array_of(2)?;
            }
            key.bits = magnitude(reader)?;
            let exponent = if with_exponent { magnitude(reader)? } else { RSA_EXPONENT };
            key.form = KeyForm::Rsa { exponent };
            let canonical = !with_exponent || exponent != RSA_EXPONENT;
            return if canonical { Ok(key) } else { Err(Problem::NotCanonical) };
        }
        key.bits = reader.bytes()?;
        if algorithm.oid == ids::EC_PUBLIC_KEY
            && let Some((&mark, x)) = key.bits.split_first()
        {
            let sign = match mark {
                EVEN_OF_UNCOMPRESSED => 2,
                ODD_OF_UNCOMPRESSED => 3,
                _ => return key.supported(),
            };
            if !X509 {
                return Err(Problem::Value);
            }
            // Only of these curves a point can be rebuilt here.
            let coordinate = coordinate(algorithm).ok_or(Problem::Unregistered)?;
            if native || x.len() != coordinate.1 {
                return Err(Problem::Value);
            }
            key.form = KeyForm::Compressed(CompressedPoint::new(sign, x).ok_or(Problem::Value)?);
        }
        key.supported()
    }

    /// Without feature `x509` a key of a kind unknown here is refused when it is read.
    fn supported(self) -> Result<Self, Problem> {
        if X509 || self.public_key().is_some() { Ok(self) } else { Err(Problem::Unregistered) }
    }

    /// The key as [`public_key`](Self::public_key), and also one that C509 re-encoded from an uncompressed point.
    pub(crate) fn key(&self) -> Option<PublicKey<'_>> {
        match &self.form {
            KeyForm::Bits => self.public_key(),
            KeyForm::Compressed(_) | KeyForm::Rsa { .. } if !X509 => None,
            KeyForm::Compressed(point) => {
                Some(PublicKey { algorithm: coordinate(self.algorithm)?.0, bits: point.as_bytes() })
            }
            KeyForm::Rsa { .. } => None,
        }
    }

    /// The point in full, where C509 compressed it and the DER did not.
    pub(crate) fn point(&self, crypto: &impl Crypto) -> FullPoint {
        match &self.form {
            KeyForm::Compressed(_) => FullPoint::of(self.key(), crypto),
            KeyForm::Bits | KeyForm::Rsa { .. } => FullPoint::NONE,
        }
    }

    pub(crate) const fn form(&self) -> KeyForm<'a> {
        self.form
    }

    /// The identifier of the key: the same whatever form the key is written in.
    #[must_use]
    pub fn key_id(&self, crypto: &impl Crypto) -> KeyId {
        match self.key() {
            // In DER with the point in full, and of all keys that are no points, the bytes are there.
            Some(key) if !self.encoding.is_empty() && !key.is_compressed() => KeyId::of(&[self.encoding], crypto),
            Some(key) => KeyId::of_key(key, crypto),
            None if X509 && self.encoding.is_empty() => KeyId::of(&Rebuilt::Spki(self, FullPoint::NONE), crypto),
            None => KeyId::of(&[self.encoding], crypto),
        }
    }

    /// The DER; empty if it was read from C509.
    #[must_use]
    pub const fn encoding(&self) -> &'a [u8] {
        self.encoding
    }

    /// What kind of key it is.
    #[must_use]
    pub const fn algorithm(&self) -> AlgorithmIdentifier<'a> {
        self.algorithm
    }

    /// The content of `subjectPublicKey`; what C509 writes instead of it if it was read from there.
    #[must_use]
    pub const fn bits(&self) -> &'a [u8] {
        self.bits
    }

    /// The key; `None` if its kind is not one of [`KeyAlgorithm`], if its form does not fit its kind, or if it is not
    /// there in one piece (a point that C509 compressed, an RSA key in C509): then ask the certificate.
    ///
    /// Whether a point lies on its curve is for [`Crypto`](crate::Crypto) to say.
    #[must_use]
    pub fn public_key(&self) -> Option<PublicKey<'a>> {
        if !matches!(self.form, KeyForm::Bits) {
            return None;
        }
        let oid = self.algorithm.oid;
        let parameters = self.algorithm.parameters;
        let algorithm = if oid == ids::EC_PUBLIC_KEY {
            let (algorithm, coordinate) = coordinate(self.algorithm)?;
            is_point(self.bits, coordinate).then_some(algorithm)?
        } else if oid == ids::ED25519 {
            (parameters.is_none() && self.bits.len() == 32).then_some(KeyAlgorithm::Ed25519)?
        } else if oid == ids::ML_DSA_44 {
            (parameters.is_none() && self.bits.len() == 1312).then_some(KeyAlgorithm::MlDsa44)?
        } else if X509 && oid == ids::ML_DSA_65 {
            (parameters.is_none() && self.bits.len() == 1952).then_some(KeyAlgorithm::MlDsa65)?
        } else if X509 && oid == ids::RSA_ENCRYPTION {
            (parameters == Some(&[tag::NULL, 0]) && is_rsa_public_key(self.bits)).then_some(KeyAlgorithm::Rsa)?
        } else {
            return None;
        };
        Some(PublicKey { algorithm, bits: self.bits })
    }
}

/// `rsaEncryption` with the parameters it has (RFC 3279 section 2.3.1).
const RSA: AlgorithmIdentifier<'static> =
    AlgorithmIdentifier { encoding: &[], oid: ids::RSA_ENCRYPTION, parameters: Some(&[tag::NULL, 0]) };

/// The curve of an elliptic-curve key, and the bytes of a coordinate.
pub(crate) fn coordinate(algorithm: AlgorithmIdentifier<'_>) -> Option<(KeyAlgorithm, usize)> {
    let mut reader = Reader::new(algorithm.parameters?);
    let curve = reader.oid().ok()?;
    if curve == ids::P256 {
        Some((KeyAlgorithm::P256, 32))
    } else if curve == ids::P384 {
        Some((KeyAlgorithm::P384, 48))
    } else {
        None
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
