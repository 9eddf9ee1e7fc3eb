//! Our arithmetic on P-256 against that of crate `p256`.

use ::p256::ecdsa::VerifyingKey;
use ::p256::ecdsa::signature::Signer;
use ::p256::ecdsa::signature::hazmat::PrehashVerifier;
use ::p256::elliptic_curve::ops::Reduce;
use ::p256::elliptic_curve::point::AffineCoordinates;
use ::p256::elliptic_curve::sec1::ToSec1Point;
use ::p256::{ProjectivePoint, PublicKey as TheirPublicKey, Scalar, SecretKey, U256, ecdsa};
use medlock_proto::crypto::{Crypto, Curve, OwnKey, Secret};
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, PublicKey, Signature, SignatureAlgorithm};
use proptest::prelude::*;
use std::vec::Vec;

use super::field::{Element, Modulus, Order, Prime};
use crate::{PublicBits, RustCrypto, SoftwareKey};

const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

const PRIME: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff,
];

fn secrets() -> impl Strategy<Value = [u8; 32]> {
    numbers(&ORDER)
}

/// Numbers near which mistakes live: small, below the modulus, long runs of the same bit or digit; and any.
fn numbers(modulus: &'static [u8; 32]) -> impl Strategy<Value = [u8; 32]> {
    let below = (1..=40_u8).prop_map(|less| {
        let mut number = *modulus;
        number[31] = number[31].wrapping_sub(less);
        number
    });
    let small = (1..=40_u8).prop_map(|small| core::array::from_fn(|at| if at == 31 { small } else { 0 }));
    let digits = any::<u8>().prop_map(|digit| [digit; 32]);
    let runs = (0..256_usize, 0..256_usize).prop_map(|(from, to)| {
        let bit = |at: usize| u8::from((from..to).contains(&at));
        core::array::from_fn(|byte| (0..8).fold(0, |all, at| all << 1 | bit(8 * byte + at)))
    });
    prop_oneof![1 => below, 1 => small, 1 => digits, 1 => runs, 4 => any::<[u8; 32]>()]
}

fn theirs(secret: &[u8; 32]) -> Option<SecretKey> {
    SecretKey::from_slice(secret).ok()
}

/// Each operation on two numbers against that of crate `crypto-bigint`; numbers that are not below the modulus are
/// refused, or reduced where that is asked.
fn check<M: Modulus>(a: &[u8; 32], b: &[u8; 32], modulus: &[u8; 32]) -> Result<(), TestCaseError> {
    let modulus = U256::from_be_slice(modulus).to_nz().unwrap();
    let number = |bytes: &[u8; 32]| U256::from_be_slice(bytes);
    let bytes = |number: U256| -> [u8; 32] { number.to_be_bytes().as_slice().try_into().unwrap() };
    for number_bytes in [a, b] {
        let element = Element::<M>::from_bytes(number_bytes).map(Element::to_bytes);
        prop_assert_eq!(element, (number(number_bytes) < *modulus.as_ref()).then_some(*number_bytes));
    }
    let (x, y) = (number(a).rem(&modulus), number(b).rem(&modulus));
    let (a, b) = (Element::<M>::reduced(a), Element::<M>::reduced(b));
    prop_assert_eq!(a.to_bytes(), bytes(x));
    prop_assert_eq!(a.times(&b).to_bytes(), bytes(x.mul_mod(&y, &modulus)));
    prop_assert_eq!(a.squared().to_bytes(), bytes(x.mul_mod(&x, &modulus)));
    prop_assert_eq!(a.plus(&b).to_bytes(), bytes(x.add_mod(&y, &modulus)));
    prop_assert_eq!(a.minus(&b).to_bytes(), bytes(x.sub_mod(&y, &modulus)));
    prop_assert_eq!(a.is_zero(), a.zero_mask() == u32::MAX);
    prop_assert!(a.is_zero() || a.inverted().times(&a).equals(&Element::ONE));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 16 } else { 300 }))]

    /// Shows REQ-CHIP-01.
    #[test]
    fn public_keys_are_those_of_another_implementation(secret in secrets()) {
        let ours = SoftwareKey::p256(Secret::from_bytes(secret)).map(|key| key.public());
        let theirs = theirs(&secret).map(|key| {
            PublicBits::P256(key.public_key().to_sec1_point(false).as_bytes().try_into().unwrap())
        });
        prop_assert_eq!(ours, theirs);
    }

    /// Shows REQ-BENCH-12.
    #[test]
    fn numbers_modulo_the_prime_are_those_of_another_implementation(a in numbers(&PRIME), b in numbers(&PRIME)) {
        check::<Prime>(&a, &b, &PRIME)?;
        if let Some(a) = Element::<Prime>::from_bytes(&a) {
            let root = a.squared().square_root().unwrap();
            prop_assert!(root.equals(&a) || root.equals(&a.negated()));
            // Minus one is no square: the prime is 3 modulo 4.
            prop_assert!(a.is_zero() || a.squared().negated().square_root().is_none());
        }
    }

    /// Shows REQ-BENCH-12.
    #[test]
    fn numbers_modulo_the_order_are_those_of_another_implementation(a in numbers(&ORDER), b in numbers(&ORDER)) {
        check::<Order>(&a, &b, &ORDER)?;
    }

    #[test]
    fn agreement_is_that_of_another_implementation(secret in secrets(), other in secrets()) {
        let (Some(own), Some(other)) = (theirs(&secret), theirs(&other)) else { return Ok(()) };
        let public = other.public_key();
        let point = public.to_sec1_point(false);
        let x: [u8; 32] = point.x().unwrap().as_slice().try_into().unwrap();
        let product = (ProjectivePoint::from(public) * *own.to_nonzero_scalar()).to_affine();
        let ours = RustCrypto.agree(Curve::P256, &Secret::from_bytes(secret), &x).unwrap();
        prop_assert_eq!(ours.expose(), &product.x().0);
    }

    #[test]
    fn signatures_are_those_of_another_implementation(secret in secrets(), message: Vec<u8>) {
        let Some(key) = SoftwareKey::p256(Secret::from_bytes(secret)) else { return Ok(()) };
        let theirs = ecdsa::SigningKey::from(theirs(&secret).unwrap());
        let expected: ecdsa::Signature = theirs.sign(&message);
        prop_assert_eq!(key.sign(&[message.as_slice()]).unwrap().to_vec(), expected.to_bytes().to_vec());
    }

    /// Whatever r and s are, and whatever key: both verify or neither does. Signatures made from chosen u1 and u2 reach
    /// the sums that honest ones never reach.
    #[test]
    fn verification_is_that_of_another_implementation(
        secret in secrets(), u1 in secrets(), u2 in secrets(), hash: [u8; 32], turn in 0..1024_usize,
    ) {
        let (Some(key), Some(u1), Some(u2)) = (theirs(&secret), theirs(&u1), theirs(&u2)) else { return Ok(()) };
        // R = u1 G + u2 Q, r = its x, s = r / u2, and the hash that belongs to them: u1 s.
        let (u1, u2) = (*u1.to_nonzero_scalar(), *u2.to_nonzero_scalar());
        let sum = ProjectivePoint::GENERATOR * u1 + ProjectivePoint::from(key.public_key()) * u2;
        let r = Scalar::reduce(&U256::from_be_slice(&sum.to_affine().x()));
        let s = r * u2.invert_vartime().unwrap();
        let mut pair: [u8; 64] = [r.to_bytes().0, s.to_bytes().0].concat().try_into().unwrap();
        let digest = if turn % 4 == 0 { hash } else { (u1 * s).to_bytes().0 };
        if turn % 4 == 1 {
            pair[turn / 16] ^= 1 << (turn % 8);
        }
        let point = key.public_key().to_sec1_point(turn % 2 == 0);
        let theirs = ecdsa::Signature::from_slice(&pair)
            .is_ok_and(|pair| VerifyingKey::from(key.public_key()).verify_prehash(&digest, &pair).is_ok());
        prop_assert_eq!(super::verify(point.as_bytes(), &digest, Signature::Cose(&pair)).is_some(), theirs);
    }

    #[test]
    fn points_are_read_as_another_implementation_reads_them(x in secrets(), form in 0..8_u8) {
        let point: Vec<u8> = [form].iter().chain(&x).copied().collect();
        let expected = (form == 2 || form == 3)
            .then(|| TheirPublicKey::from_sec1_bytes(&point).ok())
            .flatten()
            .map(|key| key.to_sec1_point(false).as_bytes().to_vec());
        let mut out = [0; 97];
        prop_assert_eq!(RustCrypto.decompress(KeyAlgorithm::P256, &point, &mut out).map(<[u8]>::to_vec), expected);
    }
}

#[test]
fn a_point_beside_the_curve_is_no_key() {
    let key = SoftwareKey::p256(Secret::from_bytes([9; 32])).unwrap();
    let signature = key.sign(&[b"x".as_slice()]).unwrap();
    let PublicBits::P256(good) = key.public() else { panic!("a key on P-256") };
    let verify = |bits: &[u8]| {
        let key = PublicKey { algorithm: KeyAlgorithm::P256, bits };
        RustCrypto.verify(SignatureAlgorithm::EcdsaSha256, key, &[b"x".as_slice()], Signature::Cose(&signature))
    };
    assert!(verify(&good).is_ok());
    for (at, form) in [(64, 4), (1, 4), (0, 5), (0, 6), (0, 7), (0, 0)] {
        let mut bad = good;
        bad[at] ^= 1;
        if at == 0 {
            bad[0] = form;
        }
        assert!(verify(&bad).is_err(), "byte {at}");
    }
    assert!(verify(&good[..64]).is_err());
    assert!(verify(&[]).is_err());
    assert!(verify(&[0]).is_err());
}
