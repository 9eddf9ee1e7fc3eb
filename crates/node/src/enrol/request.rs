//! The certificate request (PKCS#10, RFC 2986).

use crate::asn1;
use crate::provider::SigningKey;
use medlock_trust::der::tag;

/// A request for `key`'s certificate. `subject` is a `Name` in DER, for renewals the current one (RFC 7030
/// section 4.2.2); without one it is empty, because names come from the site register and never from a request.
#[must_use]
pub fn certificate_request(key: &SigningKey, subject: Option<&[u8]>) -> Vec<u8> {
    let empty = asn1::sequence(&[]);
    let attributes = asn1::element(tag::context_constructed(0), &[]);
    let information = asn1::sequence(&[&asn1::unsigned(&[0]), subject.unwrap_or(&empty), key.spki(), &attributes]);
    asn1::signed(&information, key.algorithm().signature(), |message| key.sign_x509(&[message]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// Shows REQ-NODE-32.
    #[test]
    fn openssl_reads_and_verifies_the_request() {
        let directory = tempfile::tempdir().expect("temporary directory");
        let file = directory.path().join("request.der");
        let subject = asn1::name(&[(&[0x55, 4, 10], "Sankt Anna"), (&[0x55, 4, 5], "CT-1")]);
        for (subject, shown) in [(None, "subject="), (Some(subject.as_slice()), "serialNumber = CT-1")] {
            std::fs::write(&file, certificate_request(&SigningKey::generate(), subject)).expect("write");
            let output = Command::new("openssl")
                .args(["req", "-inform", "DER", "-noout", "-verify", "-subject", "-nameopt", "oneline", "-in"])
                .arg(&file)
                .output()
                .expect("openssl");
            let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
            assert!(output.status.success() && text.contains("verify OK") && text.contains(shown), "{text}");
        }
    }
}
