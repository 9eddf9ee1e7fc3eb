//! The certs-only message of EST: a `SignedData` without content or signers (RFC 5652 section 5, RFC 8951 section 3).

use crate::asn1;
use medlock_trust::der::{self, Reader, tag};
use rustls::pki_types::CertificateDer;

/// The most certificates in one message: a chain and the roots of a few rollovers, with room.
pub const MAX_CERTIFICATES: usize = 16;

/// `1.2.840.113549.1.7.2`, id-signedData.
const SIGNED_DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// `1.2.840.113549.1.7.1`, id-data.
const DATA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

/// Why bytes are no certs-only message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CmsError {
    /// The DER is wrong.
    #[error("the certs-only message is not DER of the expected form: {0}")]
    Der(der::Error),
    /// It is another kind of message.
    #[error("the message is not a signed-data message without content and signers")]
    NotCertsOnly,
    /// More certificates than are read.
    #[error("the certs-only message has more than {MAX_CERTIFICATES} certificates")]
    TooMany,
}

impl From<der::Error> for CmsError {
    fn from(error: der::Error) -> Self {
        Self::Der(error)
    }
}

/// The certificates as a certs-only message, in this order.
#[must_use]
pub fn certs_only(certificates: &[&[u8]]) -> Vec<u8> {
    signed_data(certificates, &[])
}

fn signed_data(certificates: &[&[u8]], signers: &[&[u8]]) -> Vec<u8> {
    let version = asn1::unsigned(&[1]);
    let none = asn1::element(tag::SET, &[]);
    let content = asn1::sequence(&[&asn1::element(tag::OID, &[DATA])]);
    let certificates = asn1::element(tag::context_constructed(0), certificates);
    let signed_data = asn1::sequence(&[&version, &none, &content, &certificates, &asn1::element(tag::SET, signers)]);
    let explicit = asn1::element(tag::context_constructed(0), &[&signed_data]);
    asn1::sequence(&[&asn1::element(tag::OID, &[SIGNED_DATA]), &explicit])
}

/// Reads a certs-only message. What is in the certificates is not looked at; CRLs beside them are passed over.
///
/// # Errors
/// [`CmsError`] if it is anything else, BER included.
pub fn read_certs_only(message: &[u8]) -> Result<Vec<CertificateDer<'static>>, CmsError> {
    let mut outer = Reader::new(message);
    let mut info = outer.nested(tag::SEQUENCE)?;
    outer.finish()?;
    if info.expect(tag::OID)? != SIGNED_DATA {
        return Err(CmsError::NotCertsOnly);
    }
    let mut explicit = info.nested(tag::context_constructed(0))?;
    info.finish()?;
    let mut data = explicit.nested(tag::SEQUENCE)?;
    explicit.finish()?;
    // Version 1 when there are certificates of X.509 only (RFC 5652 section 5.1); some servers write 3.
    if !matches!(data.unsigned()?, 1 | 3) {
        return Err(CmsError::NotCertsOnly);
    }
    data.expect(tag::SET)?;
    let mut content = data.nested(tag::SEQUENCE)?;
    if content.expect(tag::OID)? != DATA || !content.is_empty() {
        return Err(CmsError::NotCertsOnly);
    }
    let mut certificates = Vec::new();
    let mut listed = Reader::new(data.optional(tag::context_constructed(0))?.unwrap_or_default());
    while !listed.is_empty() {
        if certificates.len() == MAX_CERTIFICATES {
            return Err(CmsError::TooMany);
        }
        certificates.push(CertificateDer::from(listed.expect_element(tag::SEQUENCE)?.encoding.to_vec()));
    }
    data.optional(tag::context_constructed(1))?;
    if !data.expect(tag::SET)?.is_empty() {
        return Err(CmsError::NotCertsOnly);
    }
    data.finish()?;
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn too_many_certificates_are_refused() {
        let one: &[u8] = &[0x30, 0];
        assert!(read_certs_only(&certs_only(&[one; MAX_CERTIFICATES])).is_ok());
        assert_eq!(read_certs_only(&certs_only(&[one; MAX_CERTIFICATES + 1])), Err(CmsError::TooMany));
    }

    #[test]
    fn message_with_a_signer_is_refused() {
        assert!(read_certs_only(&signed_data(&[&[0x30, 0]], &[])).is_ok());
        assert_eq!(read_certs_only(&signed_data(&[&[0x30, 0]], &[&[0x30, 0]])), Err(CmsError::NotCertsOnly));
    }

    proptest! {
        #[test]
        fn certificates_round_trip(contents in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..300), 0..5)) {
            let certificates: Vec<Vec<u8>> = contents.iter().map(|content| asn1::sequence(&[content])).collect();
            let message = certs_only(&certificates.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let read = read_certs_only(&message).expect("our own message");
            prop_assert!(read.iter().map(AsRef::as_ref).eq(certificates.iter().map(Vec::as_slice)));
        }

        #[test]
        fn any_bytes_give_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..200), place in any::<proptest::sample::Index>(), value in any::<u8>()) {
            let _ = read_certs_only(&bytes);
            let mut message = certs_only(&[&[0x30, 2, 5, 0], &[0x30, 0]]);
            let place = place.index(message.len());
            message[place] = value;
            let _ = read_certs_only(&message);
        }
    }
}
