//! ECDSA signatures in DER (Ecdsa-Sig-Value, RFC 3279 section 2.2.3): both providers find the same ones right, those in
//! one encoding only, and C509 gives back what it was given.
//!
//! The signatures of the corpus are of the key and the message here.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_fuzz::NoCurve;
use medlock_node::provider::AwsLc;
use medlock_rustcrypto::RustCrypto;
use medlock_trust::c509::{self, Points};
use medlock_trust::crypto::{Crypto, KeyAlgorithm, PublicKey, Signature, SignatureAlgorithm};

/// The public key of the secret 1: the generator of P-256.
const KEY: [u8; 33] = *b"\x03\x6b\x17\xd1\xf2\xe1\x2c\x42\x47\xf8\xbc\xe6\xe5\x63\xa4\x40\xf2\x77\x03\x7d\x81\
    \x2d\xeb\x33\xa0\xf4\xa1\x39\x45\xd8\x98\xc2\x96";
const MESSAGE: &[u8] = b"medlock";
/// A certificate whose signature is put in: what stands before `signatureValue`, without the outer head.
const CERTIFICATE: &[u8] = include_bytes!("../corpus/c509_from_der/rfc7925-profile");
const SIGNED: std::ops::Range<usize> = 4..241;

fn der(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(content.len()).expect("short");
    let head = match length {
        0..=0x7f => vec![tag, length as u8],
        0x80..=0xff => vec![tag, 0x81, length as u8],
        _ => vec![tag, 0x82, (length >> 8) as u8, length as u8],
    };
    [&head[..], content].concat()
}

fuzz_target!(|bytes: &[u8]| {
    let key = PublicKey { algorithm: KeyAlgorithm::P256, bits: &KEY };
    let signature = Signature::X509(bytes);
    let ours = RustCrypto.verify(SignatureAlgorithm::EcdsaSha256, key, &[MESSAGE], signature);
    assert_eq!(ours, AwsLc.verify(SignatureAlgorithm::EcdsaSha256, key, &[MESSAGE], signature));
    if bytes.len() > 1_000 {
        return;
    }
    let whole = der(0x30, &[&CERTIFICATE[SIGNED], &der(0x03, &[&[0], bytes].concat())].concat());
    let (mut short, mut again) = ([0; 2048], [0; 2048]);
    match c509::from_der(&whole, Points::AsTheyAre, &mut short, &NoCurve) {
        Ok(short) => assert_eq!(c509::to_der(short, &mut again, &NoCurve), Ok(&whole[..])),
        Err(_) => assert!(ours.is_err(), "what is a signature can be written"),
    }
});
