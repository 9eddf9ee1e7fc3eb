//! The OCSP responder (RFC 6960): the issuing key answers itself, about its own certificates.

use crate::encode::{self, OCTET_STRING, context, context_primitive, object_identifier, oid, sequence, tlv};
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::Time;
use medlock_trust::der::{self, Reader, tag};

/// The most certificates in one request.
pub const MAX_CERTIFICATES: usize = 16;
/// The most bytes of a request: sixteen certificates and a nonce take about two thousand.
pub const MAX_REQUEST: usize = 8_192;
/// The longest nonce that is repeated (RFC 9654 section 2.1).
const MAX_NONCE: usize = 128;

/// One certificate that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertId<'a> {
    /// The whole `CertID`, which the answer repeats.
    pub encoding: &'a [u8],
    /// The hash algorithm's object identifier, content octets.
    pub hash: &'a [u8],
    /// The hash of the issuer's name.
    pub issuer_name_hash: &'a [u8],
    /// The hash of the issuer's key.
    pub issuer_key_hash: &'a [u8],
    /// The serial number's content octets.
    pub serial: &'a [u8],
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The certificates.
    pub certificates: Vec<CertId<'a>>,
    /// The whole nonce extension, which the answer repeats.
    pub nonce: Option<&'a [u8]>,
}

/// Reads an `OCSPRequest` (RFC 6960 section 4.1.1). A signature on it is passed over: answers are for everybody.
///
/// # Errors
/// When it is not DER of that form, or asks about too many certificates.
pub fn read_request(bytes: &[u8]) -> Result<Request<'_>, der::Error> {
    let mut outer = Reader::new(bytes);
    let mut request = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    let mut tbs = request.nested(tag::SEQUENCE)?;
    request.optional(tag::context_constructed(0))?;
    request.finish()?;
    tbs.optional(tag::context_constructed(0))?;
    tbs.optional(tag::context_constructed(1))?;
    let mut list = tbs.nested(tag::SEQUENCE)?;
    let mut certificates = Vec::new();
    while !list.is_empty() {
        if certificates.len() == MAX_CERTIFICATES {
            return Err(der::Error::Length);
        }
        let mut single = list.nested(tag::SEQUENCE)?;
        certificates.push(cert_id(&mut single)?);
        single.optional(tag::context_constructed(0))?;
        single.finish()?;
    }
    let nonce = match tbs.optional(tag::context_constructed(2))? {
        Some(extensions) => nonce(extensions)?,
        None => None,
    };
    tbs.finish()?;
    Ok(Request { certificates, nonce })
}

fn cert_id<'a>(reader: &mut Reader<'a>) -> Result<CertId<'a>, der::Error> {
    let element = reader.expect_element(tag::SEQUENCE)?;
    let mut id = Reader::new(element.content);
    let mut algorithm = id.nested(tag::SEQUENCE)?;
    let hash = algorithm.expect(tag::OID)?;
    let issuer_name_hash = id.expect(tag::OCTET_STRING)?;
    let issuer_key_hash = id.expect(tag::OCTET_STRING)?;
    let serial = id.integer()?;
    id.finish()?;
    Ok(CertId { encoding: element.encoding, hash, issuer_name_hash, issuer_key_hash, serial })
}

fn nonce(extensions: &[u8]) -> Result<Option<&[u8]>, der::Error> {
    let mut outer = Reader::new(extensions);
    let mut list = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    let mut found = None;
    while !list.is_empty() {
        let element = list.expect_element(tag::SEQUENCE)?;
        let mut extension = Reader::new(element.content);
        if extension.expect(tag::OID)? == oid::OCSP_NONCE && element.content.len() <= MAX_NONCE + 24 {
            found = Some(element.encoding);
        }
    }
    Ok(found)
}

/// What is known of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Issued, and nothing is known against it.
    Good,
    /// Revoked or on hold.
    Revoked {
        /// Since when.
        since: Time,
        /// `CRLReason`.
        reason: u8,
    },
    /// Not one of ours.
    Unknown,
}

/// Writes the `ResponseData` (RFC 6960 section 4.2.1).
#[must_use]
pub fn response_data(
    responder_key_hash: &[u8; 20],
    answers: &[(CertId<'_>, CertStatus)],
    nonce: Option<&[u8]>,
    produced: Time,
    next: Time,
) -> Vec<u8> {
    let single = |(id, status): &(CertId<'_>, CertStatus)| {
        let status = match status {
            CertStatus::Good => context_primitive(0, &[]),
            CertStatus::Revoked { since, reason } => {
                let reason = context(0, &[&tlv(encode::ENUMERATED, &[*reason])]);
                context(1, &[&encode::generalized_time(*since), &reason])
            }
            CertStatus::Unknown => context_primitive(2, &[]),
        };
        let next = context(0, &[&encode::generalized_time(next)]);
        sequence(&[id.encoding, &status, &encode::generalized_time(produced), &next])
    };
    let answers: Vec<u8> = answers.iter().flat_map(single).collect();
    let extensions = nonce.map(|nonce| context(1, &[&sequence(&[nonce])])).unwrap_or_default();
    sequence(&[
        &context(2, &[&tlv(OCTET_STRING, responder_key_hash)]),
        &encode::generalized_time(produced),
        &sequence(&[&answers]),
        &extensions,
    ])
}

/// An `OCSPResponse` with an answer signed by a key of this algorithm; `certificate` is the responder's.
#[must_use]
pub fn successful(response_data: &[u8], algorithm: SigningAlgorithm, signature: &[u8], certificate: &[u8]) -> Vec<u8> {
    let basic = sequence(&[
        response_data,
        &encode::signature_algorithm(algorithm),
        &encode::bit_string(signature),
        &context(0, &[&sequence(&[certificate])]),
    ]);
    let bytes = sequence(&[&object_identifier(oid::OCSP_BASIC), &tlv(OCTET_STRING, &basic)]);
    sequence(&[&tlv(encode::ENUMERATED, &[0]), &context(0, &[&bytes])])
}

/// Why there is no answer (RFC 6960 section 4.2.1, `OCSPResponseStatus`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The request is not DER of the right form.
    Malformed,
    /// Something went wrong here.
    Internal,
    /// Later, perhaps: the signer or the store is away.
    TryLater,
}

/// An `OCSPResponse` without an answer.
#[must_use]
pub fn failure(why: Failure) -> Vec<u8> {
    let status = match why {
        Failure::Malformed => 1,
        Failure::Internal => 2,
        Failure::TryLater => 3,
    };
    sequence(&[&tlv(encode::ENUMERATED, &[status])])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn request(count: usize) -> Vec<u8> {
        let id = sequence(&[
            &sequence(&[&object_identifier(oid::SHA1), &[5, 0]]),
            &tlv(OCTET_STRING, &[1; 20]),
            &tlv(OCTET_STRING, &[2; 20]),
            &encode::unsigned(&[3; 16]),
        ]);
        let list: Vec<u8> = (0..count).flat_map(|_| sequence(&[&id])).collect();
        let nonce = sequence(&[&object_identifier(oid::OCSP_NONCE), &tlv(OCTET_STRING, &[9; 16])]);
        sequence(&[&sequence(&[&sequence(&[&list]), &context(2, &[&sequence(&[&nonce])])])])
    }

    #[test]
    fn a_request_is_read_and_bounded() {
        let bytes = request(2);
        let read = read_request(&bytes).unwrap();
        assert_eq!(read.certificates.len(), 2);
        assert_eq!(read.certificates[0].serial, [3; 16]);
        assert!(read.nonce.is_some());
        assert!(read_request(&request(MAX_CERTIFICATES)).is_ok());
        assert!(read_request(&request(MAX_CERTIFICATES + 1)).is_err());
        assert!(read_request(&[&bytes[..], &[0]].concat()).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_get_an_answer(at in 0..200_usize, value in any::<u8>(), cut in 0..200_usize) {
            let mut bytes = request(1);
            let at = at % bytes.len();
            bytes[at] = value;
            let _ = read_request(&bytes);
            let _ = read_request(&bytes[..cut % bytes.len()]);
        }
    }
}
