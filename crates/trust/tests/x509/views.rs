//! What the views show of certificates and requests that others made.

use super::{
    maker::{authority_params, by_hand, der, extension_der, leaf, leaf_params, request_params, role_value, root},
    provider::Provider,
};
use medlock_trust::{
    DeviceType, Role, Roles, Time,
    crypto::{KeyAlgorithm, SignatureAlgorithm, VerifyError},
    x509::{Certificate, GeneralName, Problem, Request, RoleExtension, ServerName, ids},
};
use rcgen::{Attribute, ExtendedKeyUsagePurpose, KeyPair};

/// Shows REQ-TRUST-01.
#[test]
fn a_certificate_shows_its_fields() {
    let root = root(authority_params("Site root", Some(1)));
    let mut params = leaf_params("ct-1", &["ct-1.example.org", "10.1.2.3", "2001:db8::1"]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.crl_distribution_points =
        vec![rcgen::CrlDistributionPoint { uris: vec!["http://hub.example.org/crl".into()] }];
    let der = leaf(&root, &params);
    let certificate = Certificate::from_der(&der).unwrap();
    assert_eq!(certificate.issuer().to_string(), "CN=Site root,O=Test Hospital");
    assert_eq!(certificate.subject().to_string(), "serialNumber=ct-1,CN=ct-1,O=Test Hospital");
    assert_eq!(certificate.subject().only(ids::SERIAL_NUMBER).and_then(|text| text.as_str()), Some("ct-1"));
    assert_eq!(certificate.not_before(), Time::from_utc(1975, 1, 1, 0, 0, 0).unwrap());
    assert_eq!(certificate.public_key().unwrap().algorithm, KeyAlgorithm::P256);
    assert_eq!(certificate.signature_algorithm(), Some(SignatureAlgorithm::EcdsaSha256));
    let extensions = certificate.extensions();
    assert!(extensions.key_usage().unwrap().names().eq(["digitalSignature"]));
    assert!(extensions.extended_key_usage().unwrap().eq([ids::SERVER_AUTH, ids::CLIENT_AUTH]));
    assert!(extensions.allows_purpose(ids::CLIENT_AUTH) && !extensions.allows_purpose(ids::SDC_PROVIDER));
    let names: Vec<String> = extensions.subject_alt_names().map(|name| name.to_string()).collect();
    assert_eq!(names, ["dns:ct-1.example.org", "ip:10.1.2.3", "ip:2001:db8::1"]);
    assert!(extensions.crl_distribution_points().eq([GeneralName::Uri("http://hub.example.org/crl")]));
    let issuer_key_id = Certificate::from_der(&root.der).unwrap().extensions().subject_key_id().unwrap().to_vec();
    assert_eq!(extensions.authority_key_id().unwrap().key_id, Some(&issuer_key_id[..]));
    assert_eq!(extensions.role(), None);
    assert!(extensions.iter().any(|extension| extension.oid == ids::SUBJECT_ALT_NAME && !extension.critical));

    assert!(certificate.matches_name(&ServerName::Dns("CT-1.example.org")));
    assert!(certificate.matches_name(&ServerName::Ip([10, 1, 2, 3].into())));
    assert!(!certificate.matches_name(&ServerName::Ip([10, 1, 2, 4].into())));
    assert!(!certificate.matches_name(&ServerName::Dns("ct-1")), "the common name is no name to match");
}

/// Shows REQ-TRUST-02.
#[test]
fn the_role_extension_is_read_from_a_certificate() {
    let roles = Roles::of(&[Role::Modality, Role::Gateway]);
    let value = role_value(roles, Some(DeviceType(300)));
    let (_, certificate) = by_hand(&[1], &[extension_der(ids::ROLE.as_bytes(), false, &value)]);
    let certificate = Certificate::from_der(&certificate).unwrap();
    let expected = RoleExtension { roles, device_type: Some(DeviceType(300)) };
    assert_eq!(certificate.extensions().role(), Some(expected));
    assert_eq!(certificate.not_after(), Time::NEVER);
}

/// A birth credential as IEEE 802.1AR has it.
#[test]
fn a_hardware_module_name_is_read() {
    let module = der(0x30, &[der(6, &[0x2b, 6, 1, 4, 1, 1]), der(4, b"SN-0042")].concat());
    let other = der(0xa0, &[der(6, ids::HARDWARE_MODULE_NAME.as_bytes()), der(0xa0, &module)].concat());
    let san = extension_der(ids::SUBJECT_ALT_NAME.as_bytes(), false, &der(0x30, &other));
    let (_, certificate) = by_hand(&[1], &[san]);
    let certificate = Certificate::from_der(&certificate).unwrap();
    let name = certificate.extensions().subject_alt_names().next().unwrap();
    let module = name.hardware_module_name().unwrap();
    assert_eq!((module.kind.to_string(), module.serial), ("1.3.6.1.4.1.1".into(), &b"SN-0042"[..]));
}

#[test]
fn key_identifiers_must_not_be_critical_and_name_constraints_must() {
    for (oid, critical, value) in [
        (ids::SUBJECT_KEY_ID, true, der(4, &[1])),
        (ids::AUTHORITY_KEY_ID, true, der(0x30, &der(0x80, &[1]))),
        (ids::NAME_CONSTRAINTS, false, der(0x30, &der(0xa0, &der(0x30, &der(0x82, b"example.org"))))),
    ] {
        let (_, right) = by_hand(&[1], &[extension_der(oid.as_bytes(), !critical, &value)]);
        assert!(Certificate::from_der(&right).is_ok(), "{oid}");
        let (_, wrong) = by_hand(&[1], &[extension_der(oid.as_bytes(), critical, &value)]);
        assert_eq!(Certificate::from_der(&wrong).unwrap_err().problem, Problem::Criticality, "{oid}");
    }
}

#[test]
fn both_places_must_name_the_same_signature_algorithm() {
    let (_, mut certificate) = by_hand(&[1], &[]);
    let oid = ids::ECDSA_SHA256.as_bytes();
    let at = certificate.windows(oid.len()).rposition(|window| window == oid).unwrap();
    certificate[at..at + oid.len()].copy_from_slice(ids::ECDSA_SHA384.as_bytes());
    assert_eq!(Certificate::from_der(&certificate).unwrap_err().problem, Problem::AlgorithmsDiffer);
}

/// Shows REQ-TRUST-03.
#[test]
fn a_request_shows_its_fields_and_proves_its_key() {
    let key = KeyPair::generate().unwrap();
    let password = Attribute { oid: &[1, 2, 840, 113_549, 1, 9, 7], values: der(0x31, &der(0x0c, b"bound to TLS")) };
    let params = request_params("ct-1", &["ct-1.example.org"]);
    let request = params.serialize_request_with_attributes(&key, vec![password]).unwrap().der().to_vec();
    let view = Request::from_der(&request).unwrap();
    assert_eq!(view.subject().only(ids::SERIAL_NUMBER).and_then(|text| text.as_str()), Some("ct-1"));
    assert_eq!(view.challenge_password(), Some("bound to TLS"));
    assert!(view.extensions().subject_alt_names().eq([GeneralName::Dns("ct-1.example.org")]));
    assert_eq!(view.attributes().count(), 2);
    assert_eq!(view.verify(&Provider), Ok(()));

    let mut forged = request.clone();
    let at = request.windows(4).position(|window| window == b"ct-1").unwrap();
    forged[at] = b'x';
    assert_eq!(Request::from_der(&forged).unwrap().verify(&Provider), Err(VerifyError::Invalid));
    assert!(Request::from_der(&request[..request.len() - 1]).is_err());
    assert!(Request::from_der(&[&request[..], &[0]].concat()).is_err());
}
