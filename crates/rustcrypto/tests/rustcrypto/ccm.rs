//! Our CCM against that of crate `ccm`.

use ccm::aead::{AeadInOut, KeyInit};
use ccm::consts::{U8, U13, U16};
use medlock_proto::crypto::Crypto;
use medlock_rustcrypto::RustCrypto;
use proptest::prelude::*;

type Short = ccm::Ccm<aes::Aes128, U8, U13>;
type Long = ccm::Ccm<aes::Aes128, U16, U13>;

/// Lengths around blocks, around the longer form of the length of the additional data, and any.
fn length(longest: usize) -> impl Strategy<Value = usize> {
    prop_oneof![0..=34_usize, 0..=longest, Just(longest)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Shows REQ-CHIP-03.
    #[test]
    fn sealing_and_opening_are_those_of_another_implementation(
        key: [u8; 16], nonce: [u8; 13], aad in length(0xff02), cut in 0..=100_usize, text in length(400), seed: u8,
    ) {
        let bytes = |count: usize| (0..count).map(|at| (at as u8).wrapping_mul(29) ^ seed).collect::<Vec<u8>>();
        let (aad, text) = (bytes(aad), bytes(text));
        let (first, second) = aad.split_at(aad.len() * cut / 100);
        for tag_bytes in [8, 16] {
            let mut theirs = text.clone();
            let buffer = theirs.as_mut_slice().into();
            let their_tag = match tag_bytes {
                8 => Short::new(&key.into()).encrypt_inout_detached(&nonce.into(), &aad, buffer).unwrap().to_vec(),
                _ => Long::new(&key.into()).encrypt_inout_detached(&nonce.into(), &aad, buffer).unwrap().to_vec(),
            };
            let (mut ours, mut tag) = (text.clone(), vec![0; tag_bytes]);
            RustCrypto.ccm_seal(&key, &nonce, &[first, second], &mut ours, &mut tag);
            prop_assert_eq!((&ours, &tag), (&theirs, &their_tag));
            RustCrypto.ccm_open(&key, &nonce, &[&aad], &mut ours, &tag).unwrap();
            prop_assert_eq!(&ours, &text);
        }
    }
}
