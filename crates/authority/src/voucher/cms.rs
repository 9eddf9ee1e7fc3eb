//! A voucher as CMS `SignedData` over JSON (RFC 8366 sections 5.1 and 5.4, RFC 5652): what a registrar on an ordinary
//! computer reads, and `openssl cms -verify`.

use crate::encode::{self, context, object_identifier, oid, sequence, tlv};
use medlock_node::provider::{self, SigningAlgorithm};
use medlock_trust::Time;
use medlock_trust::der::{self, Reader, tag};
use medlock_trust::x509::Certificate;

/// id-ct-animaJSONVoucher (RFC 8366 section 8.4).
pub(crate) const JSON_VOUCHER: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 40];
/// id-signedData (RFC 5652 section 5.1).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// id-contentType, id-messageDigest and id-signingTime (RFC 5652 section 11).
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];

/// The signed attributes of a voucher made at this time: what is signed, a `SET OF` in DER order.
pub(crate) fn attributes(json: &[u8], at: Time) -> Vec<u8> {
    let attribute = |kind: &[u8], value: &[u8]| sequence(&[&object_identifier(kind), &tlv(encode::SET, value)]);
    let mut all = [
        attribute(CONTENT_TYPE, &object_identifier(JSON_VOUCHER)),
        attribute(SIGNING_TIME, &encode::time(at)),
        attribute(MESSAGE_DIGEST, &tlv(encode::OCTET_STRING, &provider::sha256(json))),
    ];
    all.sort_unstable();
    tlv(encode::SET, &all.concat())
}

/// Checks that bytes are the signed attributes of a voucher.
///
/// # Errors
/// What they are instead.
pub(crate) fn check_attributes(bytes: &[u8]) -> Result<(), String> {
    let read = || -> Result<bool, der::Error> {
        let mut outer = Reader::new(bytes);
        let mut set = outer.nested(tag::SET)?;
        outer.finish()?;
        let (mut voucher, mut digest) = (false, false);
        while !set.is_empty() {
            let mut attribute = set.nested(tag::SEQUENCE)?;
            let kind = attribute.expect(tag::OID)?;
            let mut values = attribute.nested(tag::SET)?;
            attribute.finish()?;
            if kind == CONTENT_TYPE {
                voucher = values.expect(tag::OID)? == JSON_VOUCHER;
            } else if kind == MESSAGE_DIGEST {
                digest = values.expect(tag::OCTET_STRING)?.len() == 32;
            } else if kind == SIGNING_TIME {
                values.time()?;
            } else {
                return Ok(false);
            }
            values.finish()?;
        }
        Ok(voucher && digest)
    };
    match read() {
        Ok(true) => Ok(()),
        Ok(false) => Err("they are not the attributes of a voucher in JSON".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The message: the JSON, its signer's chain, and one signature (ECDSA with SHA-256) over the attributes.
///
/// # Errors
/// When the signer's certificate cannot be read.
pub(crate) fn signed_data(
    json: &[u8],
    attributes: &[u8],
    signature: &[u8],
    chain: &[&[u8]],
) -> Result<Vec<u8>, der::Error> {
    let signer = chain.first().copied().unwrap_or_default();
    let certificate = Certificate::from_der(signer).map_err(|_| der::Error::Default)?;
    let sha256 = sequence(&[&object_identifier(oid::SHA256)]);
    let named = sequence(&[certificate.issuer().der(), &encode::unsigned(certificate.serial_magnitude())]);
    // The attributes stand as [0] IMPLICIT, and are signed as the SET they are.
    let mut implicit = attributes.to_vec();
    if let Some(first) = implicit.first_mut() {
        *first = 0xa0;
    }
    let info = sequence(&[
        &encode::unsigned(&[1]),
        &named,
        &sha256,
        &implicit,
        &encode::signature_algorithm(SigningAlgorithm::P256),
        &tlv(encode::OCTET_STRING, signature),
    ]);
    let content = sequence(&[&object_identifier(JSON_VOUCHER), &context(0, &[&tlv(encode::OCTET_STRING, json)])]);
    // Version 3: the content is no plain data (RFC 5652 section 5.1).
    let data = sequence(&[
        &encode::unsigned(&[3]),
        &encode::nest(encode::SET, &[&sha256]),
        &content,
        &context(0, chain),
        &encode::nest(encode::SET, &[&info]),
    ]);
    Ok(sequence(&[&object_identifier(SIGNED_DATA), &context(0, &[&data])]))
}
