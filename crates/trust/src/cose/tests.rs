use super::testing::{Key, Provider};
use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const POLICY: Place = Place::Header(ContentType::POLICY);

#[test]
fn objects_of_every_algorithm_verify() {
    for &algorithm in Algorithm::ALL {
        let key = Key::new(algorithm);
        let bytes = key.sign1_full(b"payload", ContentType::POLICY);
        let object = Sign1::read(&bytes).unwrap();
        assert_eq!((object.algorithm(), object.key()), (algorithm, &key.id.as_bytes()[..]));
        assert_eq!(object.content_type(), Some("application/medlock-policy+cbor"));
        assert_eq!(object.verify(POLICY, key.public(), &Provider), Ok(&b"payload"[..]), "{algorithm:?}");
        let other = Key::new(algorithm);
        assert_eq!(object.verify(POLICY, other.public(), &Provider), Err(Error::Invalid), "{algorithm:?}");
    }
}

#[test]
fn an_object_is_not_taken_for_one_of_another_kind() {
    let key = Key::p256();
    let in_header = key.sign1_full(b"payload", ContentType::POLICY);
    let external = key.sign1(b"payload", Place::External(ContentType::POLICY), key.id.as_bytes());
    let verify = |bytes: &[u8], place| Sign1::read(bytes).unwrap().verify(place, key.public(), &Provider).map(drop);
    assert_eq!(verify(&in_header, POLICY), Ok(()));
    assert_eq!(verify(&in_header, Place::Header(ContentType::STATUS)), Err(Error::ContentType));
    assert_eq!(verify(&in_header, Place::External(ContentType::POLICY)), Err(Error::ContentType));
    assert_eq!(verify(&external, Place::External(ContentType::POLICY)), Ok(()));
    assert_eq!(verify(&external, Place::External(ContentType::STATUS)), Err(Error::Invalid));
    assert_eq!(verify(&external, POLICY), Err(Error::ContentType));
}

#[test]
fn an_algorithm_signs_with_its_own_curve_only() {
    let key = Key::p256();
    let bytes = key.sign1_full(b"payload", ContentType::POLICY);
    let p384 = Key::new(Algorithm::Es384);
    let object = Sign1::read(&bytes).unwrap();
    assert_eq!(object.verify(POLICY, p384.public(), &Provider), Err(Error::Unsupported));
}

#[test]
fn every_changed_byte_is_noticed() {
    let key = Key::p256();
    let bytes = key.sign1_full(b"payload", ContentType::POLICY);
    let verify = |bytes: &[u8]| Sign1::read(bytes)?.verify(POLICY, key.public(), &Provider).map(drop);
    assert_eq!(verify(&bytes), Ok(()));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(verify(&changed).is_err(), "byte {at}");
        assert!(verify(&bytes[..at]).is_err(), "cut at {at}");
    }
    assert!(verify(&[&bytes[..], b"\x00"].concat()).is_err(), "a byte behind the end");
}

/// The example of RFC 9052 appendix C.2.1 is not in our strict form (its unprotected header holds the kid), and says so.
#[test]
fn unprotected_headers_are_refused() {
    let example = b"\xd2\x84\x43\xa1\x01\x26\xa1\x04\x42\x31\x31\x54This is the content.\x58\x40";
    let bytes = [&example[..], &[0; 64]].concat();
    assert!(matches!(Sign1::read(&bytes), Err(Error::Cbor(cbor::Error { kind: ErrorKind::OutOfRange, .. }))));
}

/// The Sig_structure of RFC 9052 section 4.4 as one piece, put together by hand.
#[test]
fn the_signed_structure_is_that_of_the_standard() {
    let message = Sign1Message::new(b"\xa1\x01\x26", b"", b"This is the content.").parts().concat();
    assert_eq!(message, b"\x84\x6aSignature1\x43\xa1\x01\x26\x40\x54This is the content.");
    let message = SignMessage::new(b"", b"\xa1\x01\x26", b"This is the content.").parts().concat();
    assert_eq!(message, b"\x85\x69Signature\x40\x43\xa1\x01\x26\x40\x54This is the content.");
}

#[test]
fn headers_are_strict() {
    let read = |header: &[u8]| Header::read(header).map(drop).map_err(|error| error.kind);
    assert_eq!(read(b"\xa1\x01\x26"), Ok(()));
    assert_eq!(read(b"\xa1\x01\x38\x06"), Err(ErrorKind::NotShortest));
    assert_eq!(read(b"\xa2\x04\x40\x01\x26"), Err(ErrorKind::NotAscending));
    assert_eq!(read(b"\xa2\x01\x26\x01\x26"), Err(ErrorKind::NotAscending));
    assert_eq!(read(b"\xa2\x01\x26\x02\x81\x01"), Err(ErrorKind::OutOfRange), "crit is not understood");
    assert_eq!(read(b"\xa1\x01\x26\x00"), Err(ErrorKind::TrailingBytes));
    assert!(Algorithm::from_number(0).is_none());
}

#[test]
fn each_key_signs_a_list_once_and_in_order() {
    let keys = [Key::p256(), Key::new(Algorithm::Ed25519), Key::new(Algorithm::Es384)];
    let bytes = testing::sign_list(b"payload", &[&keys[2], &keys[0], &keys[1]]);
    let object = Sign::read(&bytes, ContentType::LIST).unwrap();
    assert_eq!(object.signers().count(), 3);
    for signer in object.signers() {
        let key = keys.iter().find(|key| key.id == signer.key()).unwrap();
        assert_eq!(object.verify(&signer, key.public(), &Provider), Ok(()));
    }
    assert_eq!(Sign::read(&bytes, ContentType::STATUS).map(drop), Err(Error::ContentType));
    let twice = [(keys[0].id, Algorithm::Es256); 2];
    let refused = sign(b"payload", ContentType::LIST, &twice, Vec::new(), |_, _| Ok::<_, ()>([0; 64]));
    assert_eq!(refused, Err(SignError::Signers));
}

#[test]
fn signers_must_make_signatures_of_the_right_length() {
    let refused = sign1(b"", POLICY, Algorithm::Es384, b"", Vec::new(), |_| Ok::<_, ()>([0; 64]));
    assert_eq!(refused, Err(SignError::SignatureLength(64)));
}

proptest! {
    #[test]
    fn no_input_panics(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Sign1::read(&bytes);
        let _ = Sign::read(&bytes, ContentType::LIST);
    }
}
