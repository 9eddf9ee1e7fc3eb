//! A certificate under a second signature: of an ECDSA signature `(r, s)` anybody makes `(r, n - s)`, which is as valid.

use crate::{
    maker::{anchor, authority_params, below, leaf, leaf_params, root},
    provider::Provider,
};
use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use medlock_trust::{
    Anchor, Budget, CredentialId, Role, Roles, Time, authenticate,
    c509::{self, NewExtension, Points, Subject, Template},
    crypto::{KeyAlgorithm, PublicKey, SignatureAlgorithm},
    path::AuthorityKind,
    x509::{Certificate, SignedForm, ids},
};

/// The order of P-256 (FIPS 186-5, SP 800-186 section 3.2.1.3).
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

/// `n - s`, 32 octets for 32.
fn negated(s: &[u8]) -> Vec<u8> {
    let (mut out, mut borrow) = (vec![0; 32], 0);
    for index in (0..32).rev() {
        let difference = i16::from(ORDER[index]) - i16::from(s[index]) - borrow;
        borrow = i16::from(difference < 0);
        out[index] = difference.rem_euclid(256) as u8;
    }
    out
}

/// The twin of a certificate whose encoding ends in `s`: of C509.
fn twin_of_c509(certificate: &[u8]) -> Vec<u8> {
    let (before, s) = certificate.split_at(certificate.len() - 32);
    [before, &negated(s)].concat()
}

/// The twin of a certificate in DER: by way of C509, which has `r` and `s` at their full length.
fn twin_of_der(der: &[u8]) -> Vec<u8> {
    back(&twin_of_c509(&reencoded(der)))
}

fn reencoded(der: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2048];
    c509::from_der(der, Points::Compressed, &mut out, &Provider).unwrap().to_vec()
}

fn back(c509: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2048];
    c509::to_der(c509, &mut out, &Provider).unwrap().to_vec()
}

/// The identifier that a peer with this chain has, when the chain is believed.
fn believed(chain: &[&[u8]], anchor: Anchor<'_>) -> CredentialId {
    authenticate(chain, &[anchor], &mut Budget::default(), &Provider).expect("a valid signature").credential()
}

/// Shows REQ-TRUST-38: or who holds a revoked credential would bring it back without any key of the site.
#[test]
fn a_second_signature_makes_no_second_credential_of_x509_and_its_reencoding() {
    let root = root(authority_params("Root", None));
    let issuing = below(&root, authority_params("Issuing", Some(0)));
    let device = leaf(&issuing, &leaf_params("pump-1", &["pump-1.example.org"]));
    let twin = twin_of_der(&device);
    assert!(twin != device && twin_of_der(&twin) == device);
    let expected = believed(&[&device, &issuing.der], anchor(&root.der));
    for one in [&twin, &reencoded(&device), &reencoded(&twin)] {
        assert_eq!(believed(&[one, &issuing.der], anchor(&root.der)), expected);
        assert_eq!(Certificate::read(one).unwrap().credential_id(&Provider), expected);
    }
    let other = leaf(&issuing, &leaf_params("pump-2", &["pump-1.example.org"]));
    assert_ne!(believed(&[&other, &issuing.der], anchor(&root.der)), expected);
}

/// Shows REQ-TRUST-38.
#[test]
fn a_second_signature_makes_no_second_credential_of_native_c509() {
    let signer = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
    let key = PublicKey { algorithm: KeyAlgorithm::P256, bits: signer.public_key().as_ref() };
    let year = |year| Time::from_utc(year, 11, 21, 0, 0, 0).unwrap();
    let made = |issuer, subject: &[(_, &str)], extensions: &[NewExtension<'_>]| {
        let template = Template {
            serial_number: &[7],
            algorithm: SignatureAlgorithm::EcdsaSha256,
            issuer,
            not_before: year(2026),
            not_after: year(2027),
            subject: Subject::Attributes(subject),
            key,
            extensions,
        };
        let sign = |tbs: &[u8]| signer.sign(&SystemRandom::new(), tbs).map_err(|_| "no signature");
        template.sign(&mut [0; 512], sign).unwrap().to_vec()
    };
    let authority = made(None, &[(ids::COMMON_NAME, "St. Anna")], &[NewExtension::Authority { path_length: Some(0) }]);
    let authority = Certificate::read(&authority).unwrap();
    let role = NewExtension::Role(Roles::of(&[Role::Actuator]), None);
    let device = |name| made(Some(authority.subject()), &[(ids::SERIAL_NUMBER, name)], &[role]);
    let anchor = || Anchor::for_everything(&authority, AuthorityKind::Site, &Provider).unwrap();
    let honest = device("pump-1");
    let twin = twin_of_c509(&honest);
    assert!(twin != honest && Certificate::read(&twin).unwrap().form() == SignedForm::Native);
    assert_eq!(believed(&[&twin], anchor()), believed(&[&honest], anchor()));
    assert_eq!(believed(&[&device("pump-1")], anchor()), believed(&[&honest], anchor()), "signed again by the issuer");
    assert_ne!(believed(&[&device("pump-2")], anchor()), believed(&[&honest], anchor()));
}
