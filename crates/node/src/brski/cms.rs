//! Vouchers and requests for them as CMS `SignedData` over JSON (RFC 8366 sections 5.1 and 5.4, RFC 5652): what registrars
//! on ordinary computers read, and `openssl cms -verify`.

use super::Refused;
use crate::asn1::{self, element, sequence, set_of};
use crate::provider::{AwsLc, SigningAlgorithm, sha256};
use medlock_trust::Time;
use medlock_trust::crypto::{Crypto as _, Signature};
use medlock_trust::der::{self, Reader, tag};
use medlock_trust::x509::Certificate;

/// id-ct-animaJSONVoucher (RFC 8366 section 8.4).
const JSON_VOUCHER: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 16, 1, 40];
/// id-signedData (RFC 5652 section 5.1).
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 7, 2];
/// id-contentType, id-messageDigest and id-signingTime (RFC 5652 section 11).
const CONTENT_TYPE: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 3];
const MESSAGE_DIGEST: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 4];
const SIGNING_TIME: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 9, 5];
const SHA256: &[u8] = &[0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1];
/// The most certificates that are read: a chain, and the roots of a few rollovers.
const MAX_CERTIFICATES: usize = 8;

/// The signed attributes of a voucher made at this time: what is signed, a `SET OF` in DER order.
#[must_use]
pub fn attributes(json: &[u8], at: Time) -> Vec<u8> {
    let attribute = |kind: &[u8], value: &[u8]| sequence(&[&element(tag::OID, &[kind]), &element(tag::SET, &[value])]);
    set_of(vec![
        attribute(CONTENT_TYPE, &element(tag::OID, &[JSON_VOUCHER])),
        attribute(SIGNING_TIME, &asn1::time(at)),
        attribute(MESSAGE_DIGEST, &element(tag::OCTET_STRING, &[&sha256(json)])),
    ])
}

/// Checks that bytes are the signed attributes of a voucher.
///
/// # Errors
/// What they are instead.
pub fn check_attributes(bytes: &[u8]) -> Result<(), String> {
    let read = || {
        let mut outer = Reader::new(bytes);
        let set = outer.nested(tag::SET)?;
        outer.finish()?;
        read_attributes(set)
    };
    match read() {
        Ok(Some(_)) => Ok(()),
        Ok(None) => Err("they are not the attributes of a voucher in JSON".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// The digest that signed attributes name; `None` if they are not those of a voucher in JSON.
fn read_attributes(mut set: Reader<'_>) -> Result<Option<&[u8]>, der::Error> {
    let (mut voucher, mut digest) = (false, None);
    while !set.is_empty() {
        let mut attribute = set.nested(tag::SEQUENCE)?;
        let kind = attribute.expect(tag::OID)?;
        let mut values = attribute.nested(tag::SET)?;
        attribute.finish()?;
        if kind == CONTENT_TYPE {
            voucher = values.expect(tag::OID)? == JSON_VOUCHER;
        } else if kind == MESSAGE_DIGEST {
            digest = Some(values.expect(tag::OCTET_STRING)?).filter(|digest| digest.len() == 32);
        } else if kind == SIGNING_TIME {
            values.time()?;
        } else {
            return Ok(None);
        }
        values.finish()?;
    }
    Ok(digest.filter(|_| voucher))
}

/// The whole: JSON, the signed attributes and their signature by a key of this algorithm, and the chain of the key that
/// made it, its own certificate first.
///
/// # Errors
/// If the chain is empty or its first certificate cannot be read.
pub fn signed_data(
    json: &[u8],
    attributes: &[u8],
    algorithm: SigningAlgorithm,
    signature: &[u8],
    chain: &[&[u8]],
) -> Result<Vec<u8>, der::Error> {
    let signer = chain.first().ok_or(der::Error::Truncated)?;
    let certificate = Certificate::from_der(signer).map_err(|_| der::Error::Default)?;
    let sha256 = sequence(&[&element(tag::OID, &[SHA256])]);
    let named = sequence(&[certificate.issuer().der(), &asn1::unsigned(certificate.serial_magnitude())]);
    // The attributes stand as [0] IMPLICIT, and are signed as the SET they are.
    let mut implicit = attributes.to_vec();
    if let Some(first) = implicit.first_mut() {
        *first = tag::context_constructed(0);
    }
    let info = sequence(&[
        &asn1::unsigned(&[1]),
        &named,
        &sha256,
        &implicit,
        &asn1::signature_algorithm(algorithm.signature()),
        &element(tag::OCTET_STRING, &[signature]),
    ]);
    let json = element(tag::OCTET_STRING, &[json]);
    let content = sequence(&[&element(tag::OID, &[JSON_VOUCHER]), &element(tag::context_constructed(0), &[&json])]);
    // Version 3: the content is no plain data (RFC 5652 section 5.1).
    let data = sequence(&[
        &asn1::unsigned(&[3]),
        &element(tag::SET, &[&sha256]),
        &content,
        &element(tag::context_constructed(0), chain),
        &element(tag::SET, &[&info]),
    ]);
    Ok(sequence(&[&element(tag::OID, &[SIGNED_DATA]), &element(tag::context_constructed(0), &[&data])]))
}

/// JSON that somebody signed, whose signature is right. Who the signer is, its chain has to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedJson<'a> {
    /// What was signed.
    pub json: &'a [u8],
    /// The signer's certificate, those that issued one another above it, and then what else came with them.
    pub chain: Vec<&'a [u8]>,
}

impl<'a> SignedJson<'a> {
    /// Reads a message with one signer, SHA-256 and signed attributes, and checks its signature.
    ///
    /// # Errors
    /// [`Refused::Form`] or [`Refused::Signature`].
    pub fn read(bytes: &'a [u8]) -> Result<Self, Refused> {
        let parts = Parts::read(bytes).map_err(|error| Refused::Form(error.to_string()))?;
        let parts = parts.ok_or_else(|| Refused::form("it is no CMS SignedData over a voucher in JSON"))?;
        parts.verified()
    }
}

/// A message as it is written.
struct Parts<'a> {
    json: &'a [u8],
    certificates: Vec<&'a [u8]>,
    signer: Reader<'a>,
    attributes: &'a [u8],
    digest: &'a [u8],
    algorithm: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Parts<'a> {
    fn read(bytes: &'a [u8]) -> Result<Option<Self>, der::Error> {
        let mut outer = Reader::new(bytes);
        let mut info = outer.nested(tag::SEQUENCE)?;
        outer.finish()?;
        if info.expect(tag::OID)? != SIGNED_DATA {
            return Ok(None);
        }
        let mut data = info.nested(tag::context_constructed(0))?.nested(tag::SEQUENCE)?;
        data.unsigned()?;
        data.expect(tag::SET)?;
        let mut content = data.nested(tag::SEQUENCE)?;
        if content.expect(tag::OID)? != JSON_VOUCHER {
            return Ok(None);
        }
        let json = content.nested(tag::context_constructed(0))?.expect(tag::OCTET_STRING)?;
        let mut certificates = Vec::new();
        let mut listed = Reader::new(data.optional(tag::context_constructed(0))?.unwrap_or_default());
        while !listed.is_empty() {
            if certificates.len() == MAX_CERTIFICATES {
                return Ok(None);
            }
            certificates.push(listed.expect_element(tag::SEQUENCE)?.encoding);
        }
        data.optional(tag::context_constructed(1))?;
        let mut signers = data.nested(tag::SET)?;
        data.finish()?;
        let mut one = signers.nested(tag::SEQUENCE)?;
        signers.finish()?;
        one.unsigned()?;
        let signer = one.nested(tag::SEQUENCE)?;
        let digest_algorithm = one.nested(tag::SEQUENCE)?.expect(tag::OID)?;
        let attributes = one.expect(tag::context_constructed(0))?;
        let algorithm = one.expect_element(tag::SEQUENCE)?.encoding;
        let signature = one.expect(tag::OCTET_STRING)?;
        let digest = read_attributes(Reader::new(attributes))?;
        let Some(digest) = digest.filter(|_| digest_algorithm == SHA256) else { return Ok(None) };
        Ok(Some(Self { json, certificates, signer, attributes, digest, algorithm, signature }))
    }

    fn verified(mut self) -> Result<SignedJson<'a>, Refused> {
        let forged = || Refused::Signature;
        let issuer = self.signer.expect_element(tag::SEQUENCE).map_err(|_| forged())?.encoding;
        let serial = self.signer.integer().map_err(|_| forged())?;
        let place = self.certificates.iter().position(|der| {
            Certificate::from_der(der).is_ok_and(|read| read.issuer().der() == issuer && read.serial_number() == serial)
        });
        let signer =
            self.certificates.remove(place.ok_or_else(|| Refused::form("its signer's certificate is missing"))?);
        let certificate = Certificate::from_der(signer).map_err(|_| forged())?;
        let key = certificate.public_key().ok_or_else(forged)?;
        let algorithm = SigningAlgorithm::of(key.algorithm).map(SigningAlgorithm::signature).ok_or_else(forged)?;
        if asn1::signature_algorithm(algorithm) != self.algorithm || self.digest != sha256(self.json) {
            return Err(forged());
        }
        let signed = element(tag::SET, &[self.attributes]);
        AwsLc.verify(algorithm, key, &[&signed[..]], Signature::X509(self.signature)).map_err(|_| forged())?;
        let mut chain = vec![signer];
        let mut last = certificate;
        // A SET has its own order, which is not that of the chain.
        while let Some(place) = self
            .certificates
            .iter()
            .position(|der| Certificate::from_der(der).is_ok_and(|above| above.subject().matches(&last.issuer())))
        {
            let above = self.certificates.remove(place);
            chain.push(above);
            last = Certificate::from_der(above).map_err(|_| forged())?;
        }
        chain.append(&mut self.certificates);
        Ok(SignedJson { json: self.json, chain })
    }
}
