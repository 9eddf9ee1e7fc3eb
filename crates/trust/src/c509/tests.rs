//! Conversion and reading without foreign code, so that Miri can run them. The vectors are those of `tests/c509`.

use super::*;
use crate::{
    crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError},
    x509::{Certificate, ids},
};
use std::{vec, vec::Vec};

/// A provider without a curve and without a hash.
struct Nothing;

impl Crypto for Nothing {
    fn verify(
        &self,
        _: SignatureAlgorithm,
        _: PublicKey<'_>,
        message: &dyn Message,
        _: Signature<'_>,
    ) -> Result<(), VerifyError> {
        let mut whole = Vec::new();
        message.feed(&mut |piece| whole.extend_from_slice(piece));
        crate::der::well_formed(&whole).map_err(|_| VerifyError::Invalid)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        message.feed(&mut |_| {});
        [0; 32]
    }

    fn decompress<'o>(&self, _: KeyAlgorithm, _: &[u8], _: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        None
    }
}

fn vectors() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    include_str!("../../tests/c509/vectors.txt").split("\n== certificate ").skip(1).map(|part| {
        let (head, rest) = part.split_once('\n').unwrap();
        let (_, c509) = rest.split_once("c509\n").unwrap();
        let digits: Vec<u8> = c509
            .lines()
            .take_while(|line| !line.is_empty() && !line.starts_with('#'))
            .flat_map(|line| line.chars().map(|c| u8::try_from(c.to_digit(16).unwrap()).unwrap()))
            .collect();
        (head, digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
    })
}

#[test]
fn vectors_go_to_der_and_come_back_and_their_signed_part_is_der() {
    let mut count = 0;
    for (name, c509) in vectors().filter(|(name, _)| name.ends_with("as-they-are")) {
        let (mut der, mut again) = (vec![0; 1024], vec![0; 1024]);
        let der = to_der(&c509, &mut der, &Nothing).unwrap();
        assert_eq!(from_der(der, Points::AsTheyAre, &mut again, &Nothing), Ok(&*c509), "{name}");
        let view = Certificate::read(&c509).unwrap();
        let key = PublicKey { algorithm: KeyAlgorithm::P256, bits: &[] };
        if view.signature_algorithm().is_some() {
            assert_eq!(view.verify_with(key, &Nothing), Ok(()), "{name}");
        }
        for cut in (0..c509.len()).step_by(23) {
            assert!(Certificate::read(&c509[..cut]).is_err(), "{name} {cut}");
        }
        count += 1;
    }
    assert_eq!(count, 15);
}

#[test]
fn a_template_says_what_it_was_told_and_nothing_is_written_past_the_end() {
    let key = PublicKey { algorithm: KeyAlgorithm::Ed25519, bits: &[7; 32] };
    let template = RequestTemplate {
        algorithm: SignatureAlgorithm::Ed25519,
        subject: Subject::Attributes(&[(ids::SERIAL_NUMBER, "0123abcd"), (ids::COMMON_NAME, "pump")]),
        key,
        extensions: &[],
        challenge_password: None,
    };
    let sign = |_: &[u8]| Ok::<_, ()>([9; 64]);
    let mut out = [0; 256];
    let length = template.sign(&mut out, sign).unwrap().len();
    let view = crate::x509::Request::read(&out[..length]).unwrap();
    assert!(view.subject().only(ids::SERIAL_NUMBER).unwrap() == "0123abcd");
    for short in 0..length {
        assert!(matches!(template.sign(&mut out[..short], sign), Err(IssueError::Write(Error::NoSpace))), "{short}");
    }
}
