//! How long it takes to validate a chain of three P-256 certificates (root, issuing authority, device), beside the two
//! signature checks it contains.
//!
//! The target: validation takes at most a tenth more than the checks alone.
//! `cargo bench -p medlock-trust --bench path`.

#[path = "../tests/x509/provider.rs"]
mod provider;

use divan::{Bencher, black_box};
use medlock_trust::{
    Anchor, Budget,
    crypto::{Crypto as _, Signature},
    path::{self, AuthorityKind},
    x509::Certificate,
};
use provider::Provider;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, KeyUsagePurpose};

fn main() {
    divan::main();
}

/// Root, issuing authority and device, in DER.
fn chain() -> [Vec<u8>; 3] {
    let authority = |name: &str, path_length| {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(path_length));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        (params, KeyPair::generate().expect("the system has random numbers"))
    };
    let (root, root_key) = authority("Root", 1);
    let (issuing, issuing_key) = authority("Issuing", 0);
    let mut device = CertificateParams::new(["ct-1.example.org".into()]).expect("a host name");
    device.use_authority_key_identifier_extension = true;
    let root_der = root.self_signed(&root_key).expect("a certificate").der().to_vec();
    let root = Issuer::new(root, root_key);
    let issuing_der = issuing.signed_by(&issuing_key, &root).expect("a certificate").der().to_vec();
    let issuing = Issuer::new(issuing, issuing_key);
    let device_key = KeyPair::generate().expect("the system has random numbers");
    [root_der, issuing_der, device.signed_by(&device_key, &issuing).expect("a certificate").der().to_vec()]
}

#[divan::bench(sample_count = 500, sample_size = 10)]
fn validate(bencher: Bencher<'_, '_>) {
    let [root, issuing, device] = chain();
    let root = Certificate::from_der(&root).expect("a certificate");
    let anchors = [Anchor::for_everything(&root, AuthorityKind::Site, &Provider).expect("an authority")];
    let chain = [&device[..], &issuing[..]];
    bencher.bench_local(|| {
        let path = path::validate(black_box(&chain), &anchors, &mut Budget::default(), &Provider);
        assert!(path.is_ok());
    });
}

#[divan::bench(sample_count = 500, sample_size = 10)]
fn the_two_signature_checks_alone(bencher: Bencher<'_, '_>) {
    let chain = chain();
    let [root, issuing, device] = chain.each_ref().map(|der| Certificate::from_der(der).expect("a certificate"));
    bencher.bench_local(|| {
        for (signed, by) in [(&issuing, &root), (&device, &issuing)] {
            let algorithm = signed.signature_algorithm().expect("ECDSA");
            let key = by.public_key().expect("P-256");
            let signature = Signature::X509(signed.signature());
            assert!(Provider.verify(algorithm, key, &[black_box(signed.tbs())], signature).is_ok());
        }
    });
}

#[divan::bench]
fn reading_one_certificate(bencher: Bencher<'_, '_>) {
    let [_, _, device] = chain();
    bencher.bench_local(|| Certificate::from_der(black_box(&device)).is_ok());
}
