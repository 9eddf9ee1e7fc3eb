//! Certificate revocation lists (RFC 5280 section 5).

use super::{Fields, Finding, hex};
use crate::Failure;
use x509_cert::crl::CertificateList;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::{CrlNumber, CrlReason};

/// A revocation list in DER.
///
/// # Errors
/// Where and why it is none.
pub(super) fn crl(der: &[u8]) -> Result<Finding, Failure> {
    let list: CertificateList = CertificateList::from_der(der)?;
    let tbs = &list.tbs_cert_list;
    let mut fields = Fields::default();
    fields.add("version", format!("{:?}", tbs.version).to_lowercase());
    fields.add("signatureAlgorithm", list.signature_algorithm.oid);
    fields.add("issuer", &tbs.issuer);
    fields.add("thisUpdate", tbs.this_update);
    if let Some(next) = tbs.next_update {
        fields.explain("nextUpdate", next, "a newer one is promised by then");
    }
    if let Some((_, number)) = extension::<CrlNumber>(tbs.crl_extensions.as_deref()) {
        fields.add("cRLNumber", hex(number.0.as_bytes()));
    }
    let revoked = tbs.revoked_certificates.as_deref().unwrap_or_default();
    fields.add("revokedCertificates", revoked.len());
    for entry in revoked {
        let reason = match extension::<CrlReason>(entry.crl_entry_extensions.as_deref()) {
            Some((_, reason)) => format!("{reason:?}"),
            None => "no reason given".to_owned(),
        };
        fields
            .add(format!("  {}", hex(entry.serial_number.as_bytes())), format!("{}  {reason}", entry.revocation_date));
    }
    fields.add("signature", hex(list.signature.raw_bytes()));
    Ok(Finding { what: "certificate revocation list", fields: fields.0 })
}

fn extension<'a, T>(extensions: Option<&'a [x509_cert::ext::Extension]>) -> Option<(bool, T)>
where
    T: x509_cert::der::Decode<'a> + x509_cert::der::oid::AssociatedOid,
{
    let extension = extensions?.iter().find(|extension| extension.extn_id == T::OID)?;
    Some((extension.critical, T::from_der(extension.extn_value.as_bytes()).ok()?))
}
