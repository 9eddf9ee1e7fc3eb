//! How long it takes to convert a device's certificate between DER and C509, in both directions, and to read it.
//!
//! The target: 200,000 conversions a second and core. With a compressed point a conversion contains a square root modulo
//! the curve's prime, which is most of it: those are shown beside the others.
//! `cargo bench -p medlock-trust --bench c509`.

#[path = "../tests/x509/provider.rs"]
mod provider;

use divan::{Bencher, black_box, counter::ItemsCount};
use medlock_trust::{
    c509::{self, Points},
    x509::Certificate,
};
use provider::Provider;

fn main() {
    divan::main();
}

/// A device's certificate in DER: P-256, a name, a host name, a key usage, a key identifier.
fn device() -> Vec<u8> {
    let authority = rcgen::CertificateParams::new([]).expect("no names");
    let key = || rcgen::KeyPair::generate().expect("the system has random numbers");
    let issuer = rcgen::Issuer::new(authority, key());
    let mut device = rcgen::CertificateParams::new(["pump-1.example.org".into()]).expect("a host name");
    device.distinguished_name.push(rcgen::DnType::from_oid(&[2, 5, 4, 5]), "pump-1");
    device.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    device.use_authority_key_identifier_extension = true;
    device.signed_by(&key(), &issuer).expect("a certificate").der().to_vec()
}

fn converted(points: Points) -> Vec<u8> {
    c509::from_der(&device(), points, &mut [0; 2048], &Provider).expect("converted").to_vec()
}

#[divan::bench(args = [Points::AsTheyAre, Points::Compressed])]
fn from_der(bencher: Bencher<'_, '_>, points: Points) {
    let der = device();
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| c509::from_der(black_box(&der), points, &mut [0; 2048], &Provider).map(<[u8]>::len));
}

#[divan::bench(args = [Points::AsTheyAre, Points::Compressed])]
fn to_der(bencher: Bencher<'_, '_>, points: Points) {
    let c509 = converted(points);
    bencher
        .counter(ItemsCount::new(1_u32))
        .bench_local(|| c509::to_der(black_box(&c509), &mut [0; 2048], &Provider).map(<[u8]>::len));
}

#[divan::bench]
fn read_c509(bencher: Bencher<'_, '_>) {
    let c509 = converted(Points::Compressed);
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| Certificate::read(black_box(&c509)).is_ok());
}

#[divan::bench]
fn read_der(bencher: Bencher<'_, '_>) {
    let der = device();
    bencher.counter(ItemsCount::new(1_u32)).bench_local(|| Certificate::read(black_box(&der)).is_ok());
}
