//! Zero-touch enrolment: Bootstrapping Remote Secure Key Infrastructure (BRSKI, RFC 8995) with vouchers of RFC 8366.
//!
//! A device that leaves the factory (the *pledge*) asks whatever site answers it (the *registrar*) for a voucher; the
//! registrar gets it from the device's maker (the *MASA*), whose address is in the device's birth credential. Here is what
//! the three of them share: the signed messages, and how a voucher is believed.

mod audit_log;
pub mod cms;
mod message;
mod pledge;
mod standing;

pub use audit_log::{AuditEvent, AuditLog, REQUEST_AUDIT_LOG, Truncation, domain_id};
pub use message::{Telemetry, VoucherData, VoucherRequest, write_voucher};
pub use pledge::{Birth, sign};

use crate::provider::AwsLc;
use cms::SignedJson;
use medlock_trust::der::{Oid, Reader, tag};
use medlock_trust::x509::Certificate;
use medlock_trust::{Anchor, Budget, KeyId, Knowledge, path, voucher};

/// Where a pledge asks its registrar for a voucher, and a registrar a MASA (RFC 8995 section 5).
pub const REQUEST_VOUCHER: &str = "/.well-known/brski/requestvoucher";
/// Where a pledge tells whether it believed the voucher (RFC 8995 section 5.7).
pub const VOUCHER_STATUS: &str = "/.well-known/brski/voucher_status";
/// Where a pledge tells whether it took its credential (RFC 8995 section 5.9.4).
pub const ENROLL_STATUS: &str = "/.well-known/brski/enrollstatus";
/// The media type of vouchers and requests (RFC 8366 section 8.3).
pub const VOUCHER_CMS: &str = "application/voucher-cms+json";
/// The most bytes of a voucher, or of a request: a registrar's holds the pledge's, and both have a chain.
pub const MAX_MESSAGE: usize = 64 << 10;

/// The arc 2.25.171777735083299383877580384885501293138.1: the purpose of a key that signs vouchers.
pub const VOUCHER_PURPOSE: &[u8] = &[
    0x69, 0x82, 0x82, 0xbb, 0x98, 0x8e, 0xb0, 0xb9, 0xba, 0xaf, 0xf1, 0xa6, 0xea, 0xd8, 0xeb, 0x8f, 0xda, 0x8d, 0xe4,
    0x52, 1,
];
/// id-kp-cmcRA (RFC 6402 section 2.10): the purpose of a registrar's key (RFC 8995 section 5.5.4).
pub const REGISTRAR_PURPOSE: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 28];
/// id-pe-masa-url (RFC 8995 section 2.3.2): the extension of a birth credential that says where its maker's MASA is.
pub const MASA_URL: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 32];
/// The longest MASA URL that is read.
const MAX_URL: usize = 200;

/// Why a voucher, or a request for one, does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is not what it should be.
    #[error("it cannot be read: {0}")]
    Form(String),
    /// Somebody changed it, or another key signed it.
    #[error("its signature is wrong")]
    Signature,
    /// The signer is nobody who is believed here.
    #[error("its signer is not believed: {0}")]
    Signer(path::Error),
    /// The signer is believed, and may not sign this.
    #[error("its signer's certificate is not for signing vouchers (extKeyUsage)")]
    Purpose,
    /// A key above the signer vouches for it no more.
    #[error("its signer is not believed: the key {key} above it {why}. Ask the maker for a new voucher")]
    Withdrawn {
        /// The key.
        key: KeyId,
        /// What is known.
        why: &'static str,
    },
    /// The voucher does not make the device this site's.
    #[error(transparent)]
    Voucher(#[from] voucher::Refused),
}

impl Refused {
    pub(crate) fn form(what: impl Into<String>) -> Self {
        Self::Form(what.into())
    }
}

/// Whether the key of a certificate is for this purpose, by name: an absent extension says nothing.
#[must_use]
pub fn is_for(certificate: &Certificate<'_>, purpose: &[u8]) -> bool {
    let mut listed = certificate.extensions().extended_key_usage().into_iter().flatten();
    listed.any(|listed| listed.as_bytes() == purpose)
}

/// What a voucher says that a maker below one of these anchors signed with its voucher key, and which anchor that is. Nothing
/// that is known may speak against a key above the signer.
///
/// # Errors
/// [`Refused`].
pub fn believe(
    signed: &SignedJson<'_>,
    anchors: &[Anchor<'_>],
    knowledge: &Knowledge<'_>,
) -> Result<(VoucherData, KeyId), Refused> {
    let path = path::validate(&signed.chain, anchors, &mut Budget::default(), &AwsLc).map_err(Refused::Signer)?;
    if !is_for(path.leaf(), VOUCHER_PURPOSE) {
        return Err(Refused::Purpose);
    }
    standing::check(&path, knowledge)?;
    Ok((VoucherData::read(signed.json)?, path.anchor().key_id))
}

/// Where a maker's MASA is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MasaUrl {
    /// `host:port`.
    pub address: String,
    /// What its paths begin with.
    base: String,
}

impl MasaUrl {
    /// Reads what makers write into birth credentials: a host with or without port and path, with or without `https://`
    /// (RFC 8995 section 2.3.2). `None` if it is anything else.
    #[must_use]
    pub fn read(text: &str) -> Option<Self> {
        let rest = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => rest,
            Some(_) => return None,
            None => text,
        };
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let plain = |letter: u8| letter.is_ascii_alphanumeric() || b".-_:[]~%".contains(&letter);
        if authority.is_empty() || text.len() > MAX_URL || !authority.bytes().all(plain) {
            return None;
        }
        let in_path = |letter: u8| plain(letter) || b"/+=@!$&'()*,;".contains(&letter);
        if !path.bytes().all(in_path) {
            return None;
        }
        let bracket = authority.rfind(']').unwrap_or(0);
        let has_port = authority.get(bracket..).is_some_and(|rest| rest.contains(':'));
        let address = if has_port { authority.to_owned() } else { format!("{authority}:443") };
        let base = match path.trim_end_matches('/') {
            "" => "/.well-known/brski".to_owned(),
            path => format!("/{path}"),
        };
        Some(Self { address, base })
    }

    /// The MASA that a birth credential names, if it names one.
    #[must_use]
    pub fn of(birth: &Certificate<'_>) -> Option<Self> {
        let found = birth.extensions().find(Oid::from_content(MASA_URL).ok()?)?;
        let mut value = Reader::new(found.value);
        let text = value.expect(tag::IA5_STRING).ok()?;
        value.finish().ok()?;
        Self::read(std::str::from_utf8(text).ok()?)
    }

    /// The path of one of the MASA's resources, given its name.
    #[must_use]
    pub fn path(&self, resource: &str) -> String {
        format!("{}/{resource}", self.base)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_masas_as_makers_write_them() {
        let read = |text: &str| MasaUrl::read(text).map(|url| (url.address.clone(), url.path("requestvoucher")));
        let usual = "/.well-known/brski/requestvoucher";
        for (text, address, path) in [
            ("masa.example.com", "masa.example.com:443", usual),
            ("https://masa.example.com", "masa.example.com:443", usual),
            ("HTTPS://masa.example.com:8443/", "masa.example.com:8443", usual),
            ("[::1]", "[::1]:443", usual),
            ("[::1]:99", "[::1]:99", usual),
            ("masa.example.com/a/pumps/", "masa.example.com:443", "/a/pumps/requestvoucher"),
        ] {
            assert_eq!(read(text), Some((address.to_owned(), path.to_owned())), "{text}");
        }
        for bad in ["", "http://masa", "https://", "a b", "user@host", "host/\r\nX: y", "host/a?b", &"a".repeat(201)] {
            assert_eq!(read(bad), None, "{bad:?}");
        }
    }
}
