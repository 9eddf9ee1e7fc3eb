//! Certificates for tests, written by hand so that anything in them may be wrong on purpose.

use medlock_node::asn1::{self, element, name, sequence, unsigned};
use medlock_node::provider::{SigningKey, random};
use medlock_trust::der::tag;
use medlock_trust::role::{DeviceType, Roles};
use medlock_trust::x509::{ids, role_extension_der};
use medlock_trust::{KeyId, Time};
use rustls::pki_types::CertificateDer;

/// One extension.
#[derive(Clone, Debug)]
pub struct Extension {
    /// The content octets of its OID.
    pub oid: Vec<u8>,
    /// Whether it is critical.
    pub critical: bool,
    /// Its value (DER).
    pub value: Vec<u8>,
}

/// What a certificate is to say.
#[derive(Clone, Debug)]
pub struct CertificateBuilder {
    /// The subject's name (DER).
    pub subject: Vec<u8>,
    /// The subject's key (`SubjectPublicKeyInfo`).
    pub spki: Vec<u8>,
    /// From when it is valid.
    pub not_before: Time,
    /// Until when it is valid.
    pub not_after: Time,
    /// Its extensions.
    pub extensions: Vec<Extension>,
}

impl CertificateBuilder {
    /// A certificate authority's, over at most `below` further ones.
    #[must_use]
    pub fn authority(common_name: &str, key: &SigningKey, below: u8, validity: (Time, Time)) -> Self {
        let constraints = sequence(&[&element(tag::BOOLEAN, &[&[0xff]]), &unsigned(&[below])]);
        // keyCertSign and cRLSign.
        let usage = element(tag::BIT_STRING, &[&[1, 0b0000_0110]]);
        Self::new(name(&[(ids::COMMON_NAME.as_bytes(), common_name)]), key, validity)
            .with(ids::BASIC_CONSTRAINTS.as_bytes(), true, constraints)
            .with(ids::KEY_USAGE.as_bytes(), true, usage)
    }

    /// A device's, as a site issues it.
    #[must_use]
    pub fn device(site: &str, device: &str, key: &SigningKey, roles: Roles, validity: (Time, Time)) -> Self {
        let subject = name(&[
            (ids::ORGANIZATION.as_bytes(), site),
            (ids::SERIAL_NUMBER.as_bytes(), device),
            (ids::COMMON_NAME.as_bytes(), device),
        ]);
        // digitalSignature and keyAgreement.
        let usage = element(tag::BIT_STRING, &[&[3, 0b1000_1000]]);
        let purpose = |last| element(tag::OID, &[&[0x2b, 6, 1, 5, 5, 7, 3, last]]);
        let purposes = sequence(&[&purpose(1), &purpose(2)]);
        Self::new(subject, key, validity)
            .with(ids::KEY_USAGE.as_bytes(), true, usage)
            .with(&[0x55, 0x1d, 0x25], false, purposes)
            .with_roles(roles, None)
    }

    fn new(subject: Vec<u8>, key: &SigningKey, (not_before, not_after): (Time, Time)) -> Self {
        let identifier = element(tag::OCTET_STRING, &[key.key_id().as_bytes()]);
        let spki = key.spki().to_vec();
        Self { subject, spki, not_before, not_after, extensions: Vec::new() }.with(
            ids::SUBJECT_KEY_ID.as_bytes(),
            false,
            identifier,
        )
    }

    /// The same with one extension more.
    #[must_use]
    pub fn with(mut self, oid: &[u8], critical: bool, value: Vec<u8>) -> Self {
        self.extensions.push(Extension { oid: oid.to_vec(), critical, value });
        self
    }

    /// The same with Medlock's role extension.
    #[must_use]
    pub fn with_roles(self, roles: Roles, device_type: Option<DeviceType>) -> Self {
        let mut buffer = [0; 64];
        let value = role_extension_der(roles, device_type, &mut buffer).to_vec();
        self.with(ids::ROLE.as_bytes(), false, value)
    }

    /// The certificate, signed by `key` in the name of `issuer` (DER).
    #[must_use]
    pub fn sign(&self, issuer: &[u8], key: &SigningKey) -> CertificateDer<'static> {
        let version = element(tag::context_constructed(0), &[&unsigned(&[2])]);
        let mut serial: [u8; 16] = random();
        // Positive, and never short.
        serial[0] = serial[0] & 0x3f | 0x40;
        let validity = sequence(&[&time(self.not_before), &time(self.not_after)]);
        let authority_key = self.authority_key_id(key.key_id());
        let extensions: Vec<Vec<u8>> = self.extensions.iter().chain([&authority_key]).map(Extension::to_der).collect();
        let extensions = sequence(&extensions.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let extensions = element(tag::context_constructed(3), &[&extensions]);
        let algorithm = key.algorithm().signature();
        let to_be_signed = sequence(&[
            &version,
            &unsigned(&serial),
            &asn1::signature_algorithm(algorithm),
            issuer,
            &validity,
            &self.subject,
            &self.spki,
            &extensions,
        ]);
        asn1::signed(&to_be_signed, algorithm, |message| key.sign_x509(&[message])).into()
    }

    /// The certificate, signed by its own key.
    #[must_use]
    pub fn self_signed(&self, key: &SigningKey) -> CertificateDer<'static> {
        self.sign(&self.subject, key)
    }

    #[expect(clippy::unused_self, reason = "reads as a part of the certificate")]
    fn authority_key_id(&self, key: KeyId) -> Extension {
        let value = sequence(&[&element(tag::context(0), &[key.as_bytes()])]);
        Extension { oid: ids::AUTHORITY_KEY_ID.as_bytes().to_vec(), critical: false, value }
    }
}

impl Extension {
    fn to_der(&self) -> Vec<u8> {
        let oid = element(tag::OID, &[&self.oid]);
        let critical = if self.critical { element(tag::BOOLEAN, &[&[0xff]]) } else { Vec::new() };
        sequence(&[&oid, &critical, &element(tag::OCTET_STRING, &[&self.value])])
    }
}

/// A `Time`: UTCTime to 2049, GeneralizedTime after (RFC 5280 section 4.1.2.5).
fn time(time: Time) -> Vec<u8> {
    let (year, month, day, hour, minute, second) = time.to_utc();
    let rest = format!("{month:02}{day:02}{hour:02}{minute:02}{second:02}Z");
    if (1950..2050).contains(&year) {
        element(tag::UTC_TIME, &[format!("{:02}{rest}", year % 100).as_bytes()])
    } else {
        element(tag::GENERALIZED_TIME, &[format!("{year:04}{rest}").as_bytes()])
    }
}
