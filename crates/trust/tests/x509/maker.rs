//! Certificates made for tests.

use medlock_trust::{
    Anchor, DeviceType, Roles,
    path::AuthorityKind,
    x509::{Certificate, ids, role_extension_der},
};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};

use super::provider::Provider;

/// An authority with its key, and its certificate's DER.
pub(crate) struct Authority {
    pub(crate) issuer: Issuer<'static, KeyPair>,
    pub(crate) der: Vec<u8>,
}

/// What an authority's certificate says unless a test changes it: P-256, `cA`, `keyCertSign` and `cRLSign`.
pub(crate) fn authority_params(name: &str, path_length: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named(name);
    params.is_ca = IsCa::Ca(path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}

/// What a device's certificate says unless a test changes it: `digitalSignature` and the role extension.
pub(crate) fn leaf_params(name: &str, names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.distinguished_name = named(name);
    params.distinguished_name.push(DnType::from_oid(&[2, 5, 4, 5]), name);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    params
}

/// What a device asks for in a request.
pub(crate) fn request_params(name: &str, names: &[&str]) -> CertificateParams {
    let mut params = leaf_params(name, names);
    params.use_authority_key_identifier_extension = false;
    params
}

pub(crate) fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::OrganizationName, "Test Hospital");
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// An extension by its content octets: rcgen takes arcs of at most 64 bits.
pub(crate) fn extension(arcs: &[u64], content: Vec<u8>, critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(arcs, content);
    extension.set_criticality(critical);
    extension
}

pub(crate) fn role_value(roles: Roles, device_type: Option<DeviceType>) -> Vec<u8> {
    role_extension_der(roles, device_type, &mut [0; 64]).to_vec()
}

pub(crate) fn root(params: CertificateParams) -> Authority {
    let key = KeyPair::generate().unwrap();
    let der = params.self_signed(&key).unwrap().der().to_vec();
    Authority { issuer: Issuer::new(params, key), der }
}

pub(crate) fn below(above: &Authority, params: CertificateParams) -> Authority {
    let key = KeyPair::generate().unwrap();
    let der = params.signed_by(&key, &above.issuer).unwrap().der().to_vec();
    Authority { issuer: Issuer::new(params, key), der }
}

pub(crate) fn leaf(above: &Authority, params: &CertificateParams) -> Vec<u8> {
    params.signed_by(&KeyPair::generate().unwrap(), &above.issuer).unwrap().der().to_vec()
}

/// The anchor that this root certificate is.
pub(crate) fn anchor(der: &[u8]) -> Anchor<'_> {
    let certificate = Certificate::from_der(der).unwrap();
    Anchor::for_everything(&certificate, AuthorityKind::Site, &Provider).unwrap()
}

/// One DER value.
pub(crate) fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = match content.len() {
        short @ 0..=0x7f => vec![short as u8],
        long @ 0x80..=0xff => vec![0x81, long as u8],
        long => vec![0x82, (long >> 8) as u8, long as u8],
    };
    [&[tag], &*length, content].concat()
}

/// A certificate put together by hand around `extensions` (each one's DER), signed by a root that is made with it.
pub(crate) fn by_hand(serial: &[u8], extensions: &[Vec<u8>]) -> (Authority, Vec<u8>) {
    use rcgen::{PublicKeyData as _, SigningKey as _};
    let key = KeyPair::generate().unwrap();
    let params = authority_params("Hand root", None);
    let root_der = params.self_signed(&key).unwrap().der().to_vec();
    let view = Certificate::from_der(&root_der).unwrap();
    let algorithm = view.algorithm().encoding();
    let subject =
        der(0x30, &der(0x31, &der(0x30, &[der(6, ids::COMMON_NAME.as_bytes()), der(0x0c, b"by hand")].concat())));
    let validity = der(0x30, &[der(0x17, b"260101000000Z"), der(0x18, b"99991231235959Z")].concat());
    let mut parts = vec![
        der(0xa0, &der(2, &[2])),
        der(2, serial),
        algorithm.to_vec(),
        view.subject().der().to_vec(),
        validity,
        subject,
        KeyPair::generate().unwrap().subject_public_key_info(),
    ];
    if !extensions.is_empty() {
        parts.push(der(0xa3, &der(0x30, &extensions.concat())));
    }
    let tbs = der(0x30, &parts.concat());
    let signature = key.sign(&tbs).unwrap();
    let certificate = der(0x30, &[tbs, algorithm.to_vec(), der(3, &[&[0], &*signature].concat())].concat());
    (Authority { issuer: Issuer::new(params, key), der: root_der }, certificate)
}

/// An extension's DER, by the content octets of its identifier.
pub(crate) fn extension_der(oid: &[u8], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![der(6, oid)];
    if critical {
        parts.push(der(1, &[0xff]));
    }
    parts.push(der(4, value));
    der(0x30, &parts.concat())
}
