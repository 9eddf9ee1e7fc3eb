//! Vectors of the RFCs.

use medlock_proto::crypto::{Crypto, Curve, OwnKey, Secret};
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::crypto::{Crypto as _, Signature, SignatureAlgorithm, VerifyError};

pub(crate) fn bytes<const N: usize>(text: &str) -> [u8; N] {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    assert_eq!(digits.len(), 2 * N, "{text}");
    let digit = |at: usize| char::from(digits[at]).to_digit(16).unwrap() as u8;
    std::array::from_fn(|at| digit(2 * at) << 4 | digit(2 * at + 1))
}

/// RFC 6979 appendix A.2.5.
fn rfc6979_key() -> SoftwareKey {
    let secret = bytes("C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721");
    SoftwareKey::p256(Secret::from_bytes(secret)).unwrap()
}

#[test]
fn ecdsa_is_deterministic_as_rfc_6979_says() {
    let key = rfc6979_key();
    let sample = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716
                  F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8";
    let test = "F1ABB023518351CD71D881567B1EA663ED3EFCF6C5132B354F28D3B0B7D38367
                019F4113742A2B14BD25926B49C649155F267E60D3814B4C0CC84250E46F0083";
    assert_eq!(key.sign(&[b"sam".as_slice(), b"ple"]).unwrap(), bytes(sample));
    assert_eq!(key.sign(&[b"test".as_slice()]).unwrap(), bytes(test));
    let digest = medlock_trust::Crypto::sha256(&RustCrypto, &[b"test".as_slice()]);
    assert_eq!(key.sign_digest(&digest, None).unwrap(), bytes(test));
    let randomness = Secret::from_bytes([1; 32]);
    let hedged = key.hedged(randomness.clone()).sign(&[b"test".as_slice()]);
    assert_eq!(key.sign_digest(&digest, Some(&randomness)).unwrap(), hedged.unwrap());
    let public = "0460FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6
                  7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299";
    assert_eq!(key.public().verifier().unwrap().bits, bytes::<65>(public));
}

/// Shows REQ-CHIP-02.
#[test]
fn hedged_signatures_differ_with_the_randomness_and_verify() {
    let key = rfc6979_key();
    let message = [b"a dose".as_slice()];
    let sign = |seed: u8| key.hedged(Secret::from_bytes([seed; 32])).sign(&message).unwrap();
    assert_ne!(sign(0), key.sign(&message).unwrap());
    assert_ne!(sign(0), sign(1));
    assert_eq!(sign(1), sign(1));
    let public = key.public();
    let verify = |signature: &[u8]| {
        let public = public.verifier().unwrap();
        RustCrypto.verify(SignatureAlgorithm::EcdsaSha256, public, &message, Signature::Cose(signature))
    };
    for seed in 0..4 {
        let mut signature = sign(seed);
        assert_eq!(verify(&signature), Ok(()));
        signature[40] ^= 1;
        assert_eq!(verify(&signature), Err(VerifyError::Invalid));
    }
}

#[test]
fn ccm_is_that_of_rfc_3610() {
    // Packet vector 1: M = 8, 8 bytes of additional data.
    let key = bytes("C0C1C2C3C4C5C6C7C8C9CACBCCCDCECF");
    let nonce = bytes("00000003020100A0A1A2A3A4A5");
    let mut text: [u8; 23] = std::array::from_fn(|at| at as u8 + 8);
    let mut tag = [0; 8];
    RustCrypto.ccm_seal(&key, &nonce, &[&[0, 1, 2], &[], &[3, 4, 5, 6, 7]], &mut text, &mut tag);
    assert_eq!(text, bytes("588C979A61C663D2F066D0C2C0F989806D5F6B61DAC384"));
    assert_eq!(tag, bytes("17E8D12CFDF926E0"));
    RustCrypto.ccm_open(&key, &nonce, &[&[0, 1, 2, 3, 4, 5, 6, 7]], &mut text, &tag).unwrap();
    assert_eq!(text, std::array::from_fn(|at| at as u8 + 8));
}

/// Shows REQ-CHIP-03.
#[test]
fn what_does_not_verify_is_erased() {
    let (key, nonce) = ([7; 16], [8; 13]);
    for tag_bytes in [8, 16] {
        let mut text = *b"deliver 2 units";
        let mut tag = [0; 16];
        let tag = &mut tag[..tag_bytes];
        RustCrypto.ccm_seal(&key, &nonce, &[b"to pump"], &mut text, tag);
        let sealed = text;
        for bit in 0..8 * tag_bytes {
            let mut text = sealed;
            let mut wrong = tag.to_vec();
            wrong[bit / 8] ^= 1 << (bit % 8);
            assert!(RustCrypto.ccm_open(&key, &nonce, &[b"to pump"], &mut text, &wrong).is_err());
            assert_eq!(text, [0; 15]);
        }
        for wrong in [&tag[..tag_bytes - 1], &tag[..4], &[]] {
            assert!(RustCrypto.ccm_open(&key, &nonce, &[b"to pump"], &mut sealed.clone(), wrong).is_err());
        }
        assert!(RustCrypto.ccm_open(&key, &nonce, &[b"to pumq"], &mut sealed.clone(), tag).is_err());
        assert!(RustCrypto.ccm_open(&key, &[9; 13], &[b"to pump"], &mut sealed.clone(), tag).is_err());
    }
}

#[test]
fn a_text_or_tag_of_impossible_length_leaves_nothing_readable() {
    let mut text = *b"deliver 2 units";
    let mut tag = [1; 12];
    RustCrypto.ccm_seal(&[7; 16], &[8; 13], &[], &mut text, &mut tag);
    assert_eq!((text, tag), ([0; 15], [0; 12]));
    let (mut text, mut tag) = (vec![1; 1 << 16], [1; 16]);
    RustCrypto.ccm_seal(&[7; 16], &[8; 13], &[], &mut text, &mut tag);
    assert!(text.iter().chain(&tag).all(|byte| *byte == 0));
}

#[test]
fn two_parties_agree_on_p256_by_x_coordinates() {
    let secrets = [Secret::from_bytes([3; 32]), Secret::from_bytes([5; 32])];
    let [a, b] = secrets.each_ref().map(|secret| RustCrypto.public_key(Curve::P256, secret).unwrap());
    let shared = RustCrypto.agree(Curve::P256, &secrets[0], &b).unwrap();
    assert_eq!(shared.expose(), RustCrypto.agree(Curve::P256, &secrets[1], &a).unwrap().expose());
    let key = SoftwareKey::p256(secrets[0].clone()).unwrap();
    assert_eq!(key.public().agreement(), Some(a));
    assert_eq!(OwnKey::agree(&key, &b).unwrap().expose(), shared.expose());
}

#[test]
fn zero_and_numbers_beyond_the_order_are_no_keys() {
    let order: [u8; 32] = bytes("FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551");
    for secret in [[0; 32], order, [0xff; 32]] {
        let secret = Secret::from_bytes(secret);
        assert!(RustCrypto.public_key(Curve::P256, &secret).is_none());
        assert!(RustCrypto.agree(Curve::P256, &secret, &[3; 32]).is_none());
        assert!(SoftwareKey::p256(secret).is_none());
    }
}

#[cfg(not(feature = "curve25519"))]
#[test]
fn x25519_needs_its_feature() {
    assert!(RustCrypto.public_key(Curve::X25519, &Secret::from_bytes([1; 32])).is_none());
    assert!(RustCrypto.agree(Curve::X25519, &Secret::from_bytes([1; 32]), &[9; 32]).is_none());
}

#[cfg(feature = "curve25519")]
#[test]
fn ed25519_is_that_of_rfc_8032() {
    // Section 7.1, test 3.
    let seed = bytes("c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7");
    let key = SoftwareKey::ed25519(Secret::from_bytes(seed));
    let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac
                     18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
    assert_eq!(key.sign(&[[0xaf].as_slice(), &[0x82]]).unwrap(), bytes(signature));
    let public: [u8; 32] = bytes("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025");
    assert_eq!(key.public().verifier().unwrap().bits, public);
    assert!(OwnKey::agree(&key, &public).is_err());
}
