//! What the crate reads without feature `x509`: native C509 with the extensions of devices, and nothing else. Run by
//! `cargo test -p medlock-trust --no-default-features --lib`.

use super::*;
use crate::{
    Anchor, Budget, Role, Roles, Time, Unidentified, authenticate,
    cose::testing::{Key, Provider},
    crypto::SignatureAlgorithm,
    path::{self, AuthorityKind},
    x509::{Certificate, Field, KeyUsage, Name, Problem, ids},
};
use std::vec::Vec;

const CRITICAL_UNKNOWN: crate::der::Oid<'static> = crate::der::Oid::known(&[0x2a, 3, 4]);

struct Site {
    key: Key,
    certificate: Vec<u8>,
}

impl Site {
    fn new() -> Self {
        let key = Key::p256();
        let extensions = [
            NewExtension::KeyUsage(KeyUsage::from_bits(1 << 5).unwrap()),
            NewExtension::Authority { path_length: Some(0) },
            NewExtension::SubjectKeyId(&[7; 20]),
        ];
        let template = template(None, Subject::Attributes(&[(ids::COMMON_NAME, "site")]), &key, &extensions);
        let certificate = signed(&template, &key);
        Self { key, certificate }
    }

    fn name(&self) -> Name<'_> {
        Certificate::read(&self.certificate).unwrap().subject()
    }

    fn issue(&self, extensions: &[NewExtension<'_>]) -> Vec<u8> {
        let subject = [(ids::SERIAL_NUMBER, "pump-1")];
        signed(&template(Some(self.name()), Subject::Attributes(&subject), &self.key, extensions), &self.key)
    }

    fn judge(&self, leaf: &[u8]) -> Result<Roles, Unidentified> {
        let anchor = Certificate::read(&self.certificate).unwrap();
        let anchor = Anchor::for_everything(&anchor, AuthorityKind::Site, &Provider).unwrap();
        authenticate(&[leaf], &[anchor], &mut Budget::default(), &Provider).map(|peer| peer.roles())
    }
}

fn template<'a>(
    issuer: Option<Name<'a>>,
    subject: Subject<'a>,
    key: &'a Key,
    extensions: &'a [NewExtension<'a>],
) -> Template<'a> {
    Template {
        serial_number: &[1],
        algorithm: SignatureAlgorithm::EcdsaSha256,
        issuer,
        not_before: Time::from_unix(0),
        not_after: Time::NEVER,
        subject,
        key: key.public(),
        extensions,
    }
}

fn signed(template: &Template<'_>, key: &Key) -> Vec<u8> {
    template.sign(&mut [0; 512], |tbs| Ok::<_, ()>(key.sign(&[tbs]))).unwrap().to_vec()
}

/// A certificate whose only extension is this item of C509; what signed it does not matter to reading.
fn with_extension(site: &Site, items: &[u8]) -> Vec<u8> {
    let plain = site.issue(&[]);
    // The empty array of extensions stands in front of the signature: a head of two bytes and 64.
    let at = plain.len() - 67;
    assert_eq!(plain[at], 0x80);
    [&plain[..at], &[0x82], items, &plain[at + 1..]].concat()
}

fn refusal(certificate: &[u8]) -> (Field, Problem) {
    let error = Certificate::read(certificate).unwrap_err();
    (error.field, error.problem)
}

/// Shows REQ-C509-17.
#[test]
fn certificates_of_devices_are_read_and_believed() {
    let site = Site::new();
    let roles = Roles::of(&[Role::Actuator]);
    let leaf = site.issue(&[
        NewExtension::KeyUsage(KeyUsage::from_bits(1).unwrap()),
        NewExtension::AuthorityKeyId(&[7; 20]),
        NewExtension::HardwareModule { kind: ids::ROLE, serial: b"4711" },
        NewExtension::Role(roles, None),
        NewExtension::Other { oid: CRITICAL_UNKNOWN, critical: false, value: &[5, 0] },
    ]);
    assert_eq!(site.judge(&leaf), Ok(roles));
    let module = Certificate::read(&leaf).unwrap().extensions().subject_alt_names().next().unwrap();
    assert_eq!(module.hardware_module_name().unwrap().serial, b"4711");
}

/// Shows REQ-C509-18.
#[test]
fn an_unknown_critical_extension_is_refused_by_the_path() {
    let site = Site::new();
    let leaf = site.issue(&[NewExtension::Other { oid: CRITICAL_UNKNOWN, critical: true, value: &[5, 0] }]);
    assert_eq!(site.judge(&leaf), Err(Unidentified::Path(path::Error::UnknownCriticalExtension { index: 0 })));
}

/// Shows REQ-C509-18: each extension that C509 has a number for, critical and not; the six that are read are in the
/// other tests.
#[test]
fn every_other_registered_extension_is_refused_whether_critical_or_not() {
    let site = Site::new();
    let refused = (Field::Extensions, Problem::Unregistered);
    for number in [5_u8, 6, 8, 9, 25, 26, 27, 28, 29, 30, 31, 36, 37, 38] {
        for sign in [0x00, 0x20] {
            let number = number - u8::from(sign != 0);
            let head = if number < 24 { std::vec![sign | number] } else { std::vec![sign | 24, number] };
            assert_eq!(refusal(&with_extension(&site, &[&head[..], &[0]].concat())), refused, "{sign:x} {number}");
        }
    }
    // A critical subject or authority key identifier, and an authority key identifier with the issuer's name.
    assert_eq!(refusal(&with_extension(&site, &[0x20, 0x41, 7])), refused);
    assert_eq!(refusal(&with_extension(&site, &[0x26, 0x41, 7])), refused);
    let long = refusal(&with_extension(&site, &[7, 0x83, 0x41, 7, 0x82, 2, 0x61, b'a', 0x41, 1]));
    assert_eq!(long, (Field::AuthorityKeyId, Problem::Unregistered));
}

/// Shows REQ-C509-18.
#[test]
fn a_registered_extension_in_der_is_refused() {
    let site = Site::new();
    // Name constraints and basic constraints by identifier.
    for last in [0x1e, 0x13] {
        let item = [0x43, 0x55, 0x1d, last, 0x81, 0x42, 0x30, 0];
        assert_eq!(refusal(&with_extension(&site, &item)), (Field::Extensions, Problem::NotCanonical));
    }
}

/// Shows REQ-C509-18.
#[test]
fn x509_and_what_c509_makes_from_it_are_refused() {
    let site = Site::new();
    assert_eq!(refusal(&[0x30, 0]), (Field::Outer, Problem::Unregistered));
    let mut reencoded = site.issue(&[]);
    assert_eq!(reencoded[1], 2);
    reencoded[1] = 3;
    assert_eq!(refusal(&reencoded), (Field::Version, Problem::Version));
    assert!(matches!(
        site.judge(&[0x30, 0]),
        Err(Unidentified::Path(path::Error::Certificate { index: 0, error: crate::x509::Error { .. } }))
    ));
}

/// Shows REQ-C509-18.
#[test]
fn algorithms_unknown_here_are_refused_when_they_are_read() {
    let site = Site::new();
    let certificate = site.issue(&[]);
    // Array, type, serial number, signature algorithm.
    assert_eq!(certificate[..5], [0x8b, 2, 0x41, 1, 0]);
    // ECDSA with SHA-512 by its number, and an unknown one by its identifier.
    for algorithm in [&[2][..], &[0x43, 0x2a, 3, 4]] {
        let other = [&certificate[..4], algorithm, &certificate[5..]].concat();
        let (field, problem) = refusal(&other);
        assert!(matches!(field, Field::SignatureAlgorithm | Field::Signature), "{field:?}");
        assert_eq!(problem, Problem::Unregistered);
    }
}

/// Shows REQ-C509-18.
#[test]
fn names_other_than_hosts_and_hardware_are_refused() {
    let site = Site::new();
    // subjectAltName, number 3: [mail, "a@b"] and an address.
    for names in [&[0x82, 1, 0x63, b'a', b'@', b'b'][..], &[0x82, 7, 0x44, 1, 2, 3, 4]] {
        let item = [&[3][..], names].concat();
        assert_eq!(refusal(&with_extension(&site, &item)), (Field::SubjectAltName, Problem::Unregistered));
    }
}
