//! Writing DER: enough for certificate requests, certs-only messages and test certificates.

use crate::provider::AwsLc;
use medlock_trust::Time;
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, PublicKey, SignatureAlgorithm};
use medlock_trust::der::tag;

/// `AlgorithmIdentifier` of a signature algorithm (RFC 5758 section 3.2, RFC 8410 section 3, RFC 9881 section 2: no
/// parameters; RFC 4055 section 5: NULL).
#[must_use]
pub fn signature_algorithm(algorithm: SignatureAlgorithm) -> Vec<u8> {
    let (oid, parameters): (&[u8], &[u8]) = match algorithm {
        SignatureAlgorithm::EcdsaSha256 => (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 2], &[]),
        SignatureAlgorithm::EcdsaSha384 => (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 4, 3, 3], &[]),
        SignatureAlgorithm::Ed25519 => (ED25519, &[]),
        SignatureAlgorithm::RsaPkcs1Sha256 => (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 11], NULL),
        SignatureAlgorithm::RsaPkcs1Sha384 => (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 12], NULL),
        SignatureAlgorithm::RsaPkcs1Sha512 => (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 13], NULL),
        SignatureAlgorithm::MlDsa44 => (ML_DSA_44, &[]),
        SignatureAlgorithm::MlDsa65 => (ML_DSA_65, &[]),
    };
    sequence(&[&element(tag::OID, &[oid]), parameters])
}

/// `SubjectPublicKeyInfo` of a key, a point in full; `None` if its bits are no point of its curve.
#[must_use]
pub fn spki(key: PublicKey<'_>) -> Option<Vec<u8>> {
    let (oid, parameters): (&[u8], Vec<u8>) = match key.algorithm {
        KeyAlgorithm::P256 => (EC_PUBLIC_KEY, element(tag::OID, &[&[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]])),
        KeyAlgorithm::P384 => (EC_PUBLIC_KEY, element(tag::OID, &[&[0x2b, 0x81, 4, 0, 0x22]])),
        KeyAlgorithm::Ed25519 => (ED25519, Vec::new()),
        KeyAlgorithm::Rsa => (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1], NULL.to_vec()),
        KeyAlgorithm::MlDsa44 => (ML_DSA_44, Vec::new()),
        KeyAlgorithm::MlDsa65 => (ML_DSA_65, Vec::new()),
    };
    let mut space = [0; 97];
    let bits = match key.algorithm {
        // A point in full is checked too.
        KeyAlgorithm::P256 | KeyAlgorithm::P384 => AwsLc.decompress(key.algorithm, key.bits, &mut space)?,
        KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa | KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 => key.bits,
    };
    Some(sequence(&[&sequence(&[&element(tag::OID, &[oid]), &parameters]), &bit_string(bits)]))
}

/// id-ecPublicKey (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
/// id-Ed25519 (RFC 8410 section 3): of the key and of its signatures.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// id-ml-dsa-44 (RFC 9881 section 2): of the key and of its signatures.
const ML_DSA_44: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x11];
/// id-ml-dsa-65 (RFC 9881 section 2): of the key and of its signatures.
const ML_DSA_65: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 0x12];
const NULL: &[u8] = &[tag::NULL, 0];

/// One element: a tag, the shortest length, and `parts` behind one another.
#[must_use]
pub fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(length as u8);
    } else {
        let bytes = length.to_be_bytes();
        let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | significant.len() as u8);
        out.extend_from_slice(significant);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// A SEQUENCE of `parts`, which are elements already.
#[must_use]
pub fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// A SET OF with these elements, sorted as DER wants it.
#[must_use]
pub fn set_of(mut elements: Vec<Vec<u8>>) -> Vec<u8> {
    elements.sort();
    element(tag::SET, &elements.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// A positive INTEGER from its big-endian bytes.
#[must_use]
pub fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let significant = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match significant.first() {
        None => element(tag::INTEGER, &[&[0]]),
        Some(first) if first & 0x80 != 0 => element(tag::INTEGER, &[&[0], significant]),
        Some(_) => element(tag::INTEGER, &[significant]),
    }
}

/// A BIT STRING of whole octets.
#[must_use]
pub fn bit_string(bytes: &[u8]) -> Vec<u8> {
    element(tag::BIT_STRING, &[&[0], bytes])
}

/// A time as certificates, CRLs and CMS write it: UTCTime until 2049, GeneralizedTime from then on (RFC 5280 section
/// 4.1.2.5, RFC 5652 section 11.3).
#[must_use]
pub fn time(time: Time) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = time.to_utc();
    if !(1950..2050).contains(&year) {
        return generalized_time(time);
    }
    let text = format!("{:02}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z", year % 100);
    element(tag::UTC_TIME, &[text.as_bytes()])
}

/// A GeneralizedTime of whole seconds.
#[must_use]
pub fn generalized_time(time: Time) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = time.to_utc();
    let text = format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    element(tag::GENERALIZED_TIME, &[text.as_bytes()])
}

/// A `Name` of single-valued relative names, each an attribute type (OID content octets) and a UTF8String.
#[must_use]
pub fn name(attributes: &[(&[u8], &str)]) -> Vec<u8> {
    let relative: Vec<Vec<u8>> = attributes
        .iter()
        .map(|(oid, value)| {
            let oid = element(tag::OID, &[oid]);
            let value = element(tag::UTF8_STRING, &[value.as_bytes()]);
            set_of(vec![sequence(&[&oid, &value])])
        })
        .collect();
    sequence(&relative.iter().map(Vec::as_slice).collect::<Vec<_>>())
}

/// Wraps `to_be_signed` with the algorithm and the signature `sign` makes over it, as X.509 writes it: the outer form of
/// certificates and requests (RFC 5280 section 4.1, RFC 2986 section 4.2).
#[must_use]
pub fn signed(to_be_signed: &[u8], algorithm: SignatureAlgorithm, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    sequence(&[to_be_signed, &signature_algorithm(algorithm), &bit_string(&sign(to_be_signed))])
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_trust::der::Reader;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_strict_der(content in proptest::collection::vec(any::<u8>(), 0..70_000), number in any::<u64>()) {
            let octets = element(tag::OCTET_STRING, &[&content]);
            let number = unsigned(&number.to_be_bytes());
            let both = sequence(&[&octets, &number]);
            let mut outer = Reader::new(&both);
            let mut inner = Reader::new(outer.expect(tag::SEQUENCE).expect("sequence"));
            prop_assert_eq!(inner.expect(tag::OCTET_STRING), Ok(content.as_slice()));
            prop_assert!(inner.integer().is_ok());
            prop_assert!(inner.finish().is_ok());
            prop_assert!(outer.finish().is_ok());
        }
    }
}
