//! Writing DER: enough for certificate requests, certs-only messages and test certificates.

use medlock_trust::der::tag;

/// `1.2.840.10045.4.3.2`, ecdsa-with-SHA256, as an `AlgorithmIdentifier` (RFC 5758 section 3.2: no parameters).
pub const ECDSA_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];

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

/// Wraps `to_be_signed` with ECDSA-SHA256 and the signature `sign` makes over it: the outer form of certificates and
/// requests (RFC 5280 section 4.1, RFC 2986 section 4.2).
#[must_use]
pub fn signed(to_be_signed: &[u8], sign: impl FnOnce(&[u8]) -> Vec<u8>) -> Vec<u8> {
    let signature = bit_string(&sign(to_be_signed));
    sequence(&[to_be_signed, ECDSA_SHA256, &signature])
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
