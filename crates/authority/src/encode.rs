//! Writing DER (X.690): a handful of functions, each of which returns one complete element.

use medlock_node::asn1;
pub(crate) use medlock_node::asn1::{generalized_time, time};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::der::{Reader, tag};

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OCTET_STRING: u8 = 0x04;
pub(crate) const OID: u8 = 0x06;
pub(crate) const ENUMERATED: u8 = 0x0a;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const IA5_STRING: u8 = 0x16;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Content octets of the object identifiers used here.
pub(crate) mod oid {
    pub(crate) const COMMON_NAME: &[u8] = &[0x55, 4, 3];
    pub(crate) const SERIAL_NUMBER: &[u8] = &[0x55, 4, 5];
    pub(crate) const ORGANIZATION: &[u8] = &[0x55, 4, 10];
    pub(crate) const SUBJECT_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 14];
    pub(crate) const KEY_USAGE: &[u8] = &[0x55, 0x1d, 15];
    pub(crate) const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1d, 17];
    pub(crate) const BASIC_CONSTRAINTS: &[u8] = &[0x55, 0x1d, 19];
    pub(crate) const CRL_NUMBER: &[u8] = &[0x55, 0x1d, 20];
    pub(crate) const REASON_CODE: &[u8] = &[0x55, 0x1d, 21];
    pub(crate) const DELTA_CRL_INDICATOR: &[u8] = &[0x55, 0x1d, 27];
    pub(crate) const ISSUING_DISTRIBUTION_POINT: &[u8] = &[0x55, 0x1d, 28];
    pub(crate) const CRL_DISTRIBUTION_POINTS: &[u8] = &[0x55, 0x1d, 31];
    pub(crate) const AUTHORITY_KEY_IDENTIFIER: &[u8] = &[0x55, 0x1d, 35];
    pub(crate) const FRESHEST_CRL: &[u8] = &[0x55, 0x1d, 46];
    pub(crate) const EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1d, 37];
    /// id-pe-authorityInfoAccess (RFC 5280 section 4.2.2.1).
    pub(crate) const AUTHORITY_INFO_ACCESS: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 1];
    pub(crate) const OCSP: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1];
    pub(crate) const OCSP_BASIC: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
    pub(crate) const OCSP_NONCE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2];
    pub(crate) const SERVER_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
    pub(crate) const CLIENT_AUTH: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 2];
    /// id-on-hardwareModuleName (RFC 4108 section 5).
    pub(crate) const HARDWARE_MODULE_NAME: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 8, 4];
    /// ecdsa-with-SHA256 (RFC 5758 section 3.2).
    pub(crate) const EC_PUBLIC_KEY: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 2, 1];
    pub(crate) const P384: &[u8] = &[0x2b, 0x81, 4, 0, 0x22];
    pub(crate) const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
    pub(crate) const SHA1: &[u8] = &[0x2b, 0x0e, 3, 2, 0x1a];
    pub(crate) const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
    /// The arc 2.25.171777735083299383877580384885501293138: Medlock's roles.
    pub(crate) const MEDLOCK_ROLE: &[u8] = &[
        0x69, 0x82, 0x82, 0xbb, 0x98, 0x8e, 0xb0, 0xb9, 0xba, 0xaf, 0xf1, 0xa6, 0xea, 0xd8, 0xeb, 0x8f, 0xda, 0x8d,
        0xe4, 0x52,
    ];
    pub(crate) use medlock_node::brski::{MASA_URL, REGISTRAR_PURPOSE, VOUCHER_PURPOSE as MEDLOCK_VOUCHER};
}

/// What stands before the content of an element: its tag and its length.
pub(crate) fn head(tag: u8, length: usize) -> Vec<u8> {
    let mut out = vec![tag];
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        out.push(short);
    } else {
        let length = length.to_be_bytes();
        let skip = length.iter().take_while(|byte| **byte == 0).count();
        let octets = length.get(skip..).unwrap_or_default();
        out.push(0x80 | u8::try_from(octets.len()).unwrap_or(8));
        out.extend_from_slice(octets);
    }
    out
}

/// One element: tag, length, content.
pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = head(tag, content.len());
    out.extend_from_slice(content);
    out
}

/// An element made of elements.
pub(crate) fn nest(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    tlv(tag, &parts.concat())
}

pub(crate) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    nest(SEQUENCE, parts)
}

/// `[number] EXPLICIT` or a constructed `[number] IMPLICIT`.
pub(crate) fn context(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    nest(0xa0 | number, parts)
}

/// A primitive `[number] IMPLICIT`.
pub(crate) fn context_primitive(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0x80 | number, content)
}

pub(crate) fn object_identifier(content: &[u8]) -> Vec<u8> {
    tlv(OID, content)
}

/// A non-negative integer from big-endian bytes.
pub(crate) fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let skip = bytes.iter().take_while(|byte| **byte == 0).count();
    let digits = bytes.get(skip..).unwrap_or_default();
    let mut content = Vec::with_capacity(digits.len() + 1);
    if digits.first().is_none_or(|first| *first >= 0x80) {
        content.push(0);
    }
    content.extend_from_slice(digits);
    tlv(INTEGER, &content)
}

pub(crate) fn boolean_true() -> Vec<u8> {
    vec![1, 1, 0xff]
}

/// A bit string of whole bytes.
pub(crate) fn bit_string(bytes: &[u8]) -> Vec<u8> {
    nest(BIT_STRING, &[&[0], bytes])
}

/// A bit string of named bits, bit 0 first, without trailing zeros (X.690 section 11.2.2); up to sixteen bits.
pub(crate) fn named_bits(bits: &[u8]) -> Vec<u8> {
    let mut bytes = [0_u8; 2];
    for bit in bits {
        if let Some(byte) = bytes.get_mut(usize::from(bit / 8)) {
            *byte |= 0x80 >> (bit % 8);
        }
    }
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let content = bytes.get(..used).unwrap_or_default();
    let unused = content.last().map_or(0, |last| last.trailing_zeros());
    nest(BIT_STRING, &[&[u8::try_from(unused).unwrap_or(0)], content])
}

/// One attribute of a name, in a set of its own.
pub(crate) fn attribute(kind: &[u8], string_tag: u8, value: &str) -> Vec<u8> {
    nest(SET, &[&sequence(&[&object_identifier(kind), &tlv(string_tag, value.as_bytes())])])
}

/// One certificate or CRL extension.
pub(crate) fn extension(kind: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let flag = if critical { boolean_true() } else { Vec::new() };
    sequence(&[&object_identifier(kind), &flag, &tlv(OCTET_STRING, value)])
}

/// `AlgorithmIdentifier` of the signatures of a key of this algorithm.
pub(crate) fn signature_algorithm(key: SigningAlgorithm) -> Vec<u8> {
    asn1::signature_algorithm(key.signature())
}

/// The most bytes of a C509 certificate of a device, two names of the longest kind in it.
pub(crate) const MAX_C509: usize = 1024;

/// A native C509 certificate: the signed items and the signature (`r‖s`).
///
/// # Errors
/// If it does not fit, in words.
pub(crate) fn signed_c509(tbs: &[u8], signature: &[u8]) -> Result<Vec<u8>, String> {
    let mut space = [0; MAX_C509];
    medlock_trust::c509::assemble(tbs, signature, &mut space).map(<[u8]>::to_vec).map_err(|error| error.to_string())
}

/// A signed certificate or CRL: what was signed, the algorithm it names, and the signature.
pub(crate) fn signed(tbs: &[u8], signature: &[u8]) -> Vec<u8> {
    signed_in_place(tbs.to_vec(), signature)
}

/// As [`signed`], where what was signed lies: a CRL of a million entries is not copied if there is room around it.
pub(crate) fn signed_in_place(mut tbs: Vec<u8>, signature: &[u8]) -> Vec<u8> {
    let tail = [named_algorithm(&tbs).unwrap_or_default(), &bit_string(signature)].concat();
    let head = head(SEQUENCE, tbs.len() + tail.len());
    tbs.reserve_exact(head.len() + tail.len());
    tbs.extend_from_slice(&tail);
    tbs.splice(..0, head);
    tbs
}

/// The algorithm in the to-be-signed bytes of a certificate or CRL: the first SEQUENCE there is in them.
fn named_algorithm(tbs: &[u8]) -> Option<&[u8]> {
    let mut inside = Reader::new(tbs).nested(tag::SEQUENCE).ok()?;
    loop {
        let element = inside.element().ok()?;
        if element.tag == tag::SEQUENCE {
            return Some(element.encoding);
        }
    }
}

/// PEM (RFC 7468) of one element.
#[must_use]
pub fn pem(label: &str, der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in body.as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text.push_str(&format!("-----END {label}-----\n"));
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_trust::Time;

    #[test]
    fn lengths_integers_and_bits_are_minimal() {
        assert_eq!(tlv(4, &[0; 127])[..2], [4, 127]);
        assert_eq!(tlv(4, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(tlv(4, &[0; 256])[..4], [4, 0x82, 1, 0]);
        assert_eq!(unsigned(&[]), [2, 1, 0]);
        assert_eq!(unsigned(&[0, 0, 0x7f]), [2, 1, 0x7f]);
        assert_eq!(unsigned(&[0x80]), [2, 2, 0, 0x80]);
        assert_eq!(named_bits(&[0]), [3, 2, 7, 0x80]);
        assert_eq!(named_bits(&[5, 6]), [3, 2, 1, 0x06]);
        assert_eq!(named_bits(&[]), [3, 1, 0]);
    }

    #[test]
    fn times_change_their_form_in_2050() {
        let last = Time::from_utc(2049, 12, 31, 23, 59, 59).unwrap();
        assert_eq!(time(last), tlv(tag::UTC_TIME, b"491231235959Z"));
        assert_eq!(time(last.plus_seconds(1)), tlv(tag::GENERALIZED_TIME, b"20500101000000Z"));
        assert_eq!(time(Time::NEVER), tlv(tag::GENERALIZED_TIME, b"99991231235959Z"));
    }
}
