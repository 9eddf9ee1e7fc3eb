//! An authenticator made here, honest and not.

use super::*;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use minicbor::Encoder;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

const ORIGIN: &str = "https://hub.example";
const CHALLENGE_BYTES: [u8; CHALLENGE] = [7; CHALLENGE];
const ASKED: Asked<'_> = Asked { challenge: &CHALLENGE_BYTES, origin: ORIGIN, rp_id: "hub.example" };
const SEEN: u8 = PRESENT | VERIFIED;

fn client_data(kind: &str) -> String {
    let challenge = BASE64URL_NOPAD.encode(&CHALLENGE_BYTES);
    format!(r#"{{"type":"{kind}","challenge":"{challenge}","origin":"{ORIGIN}","crossOrigin":false}}"#)
}

fn cose(key: &SigningKey) -> Vec<u8> {
    let bits = key.public_key().bits;
    let mut encoder = Encoder::new(Vec::new());
    if key.algorithm() == SigningAlgorithm::Ed25519 {
        encoder.map(4).unwrap().i8(1).unwrap().i8(1).unwrap().i8(3).unwrap().i8(-8).unwrap();
        encoder.i8(-1).unwrap().i8(6).unwrap().i8(-2).unwrap().bytes(bits).unwrap();
    } else {
        encoder.map(5).unwrap().i8(1).unwrap().i8(2).unwrap().i8(3).unwrap().i8(-7).unwrap();
        encoder.i8(-1).unwrap().i8(1).unwrap().i8(-2).unwrap().bytes(&bits[1..33]).unwrap();
        encoder.i8(-3).unwrap().bytes(&bits[33..]).unwrap();
    }
    encoder.into_writer()
}

fn data(flags: u8, counter: u32, key: Option<&[u8]>) -> Vec<u8> {
    let hash = provider::sha256(b"hub.example");
    let credential = key.map_or(Vec::new(), |key| [&[0; 16][..], &[0, 4], b"name", key].concat());
    [&hash[..], &[flags], &counter.to_be_bytes(), &credential].concat()
}

fn attestation(data: &[u8]) -> Vec<u8> {
    let mut encoder = Encoder::new(Vec::new());
    encoder.map(3).unwrap().str("fmt").unwrap().str("none").unwrap();
    encoder.str("attStmt").unwrap().map(0).unwrap().str("authData").unwrap().bytes(data).unwrap();
    encoder.into_writer()
}

fn signature(key: &SigningKey, data: &[u8], client: &str) -> Vec<u8> {
    key.sign_x509(&[data, provider::sha256(client.as_bytes()).as_slice()])
}

/// Shows REQ-SMART-25: a passkey that was made for this page signs in on it, and counts.
#[test]
fn a_passkey_is_made_and_used() {
    for algorithm in [SigningAlgorithm::P256, SigningAlgorithm::Ed25519] {
        let key = SigningKey::generate_with(algorithm);
        let made = attestation(&data(SEEN | HAS_CREDENTIAL, 0, Some(&cose(&key))));
        let passkey = Passkey::made(client_data("webauthn.create").as_bytes(), &made, &ASKED).unwrap();
        assert_eq!((passkey.id.as_slice(), passkey.counter), (&b"name"[..], 0));
        let client = client_data("webauthn.get");
        for (before, now, taken) in
            [(0, 0, Ok(0)), (0, 1, Ok(1)), (5, 6, Ok(6)), (5, 5, Err(Refused::Copied)), (5, 0, Err(Refused::Copied))]
        {
            let passkey = Passkey { counter: before, ..passkey.clone() };
            let data = data(SEEN, now, None);
            let signed = signature(&key, &data, &client);
            assert_eq!(passkey.used(client.as_bytes(), &data, &signed, &ASKED), taken, "{before} {now}");
        }
    }
}

/// Shows REQ-SMART-26: answers to another question, page or person, by another key, or with anything behind, are refused.
#[test]
fn answers_that_are_for_something_else_are_refused() {
    let key = SigningKey::generate();
    let passkey = Passkey { id: b"name".to_vec(), key: cose(&key), counter: 0 };
    let client = client_data("webauthn.get");
    let used =
        |client: &str, data: &[u8]| passkey.used(client.as_bytes(), data, &signature(&key, data, client), &ASKED);
    let fine = data(SEEN, 1, None);
    assert_eq!(used(&client, &fine), Ok(1));
    let other = BASE64URL_NOPAD.encode(&[8; CHALLENGE]);
    let mine = BASE64URL_NOPAD.encode(&CHALLENGE_BYTES);
    for (changed, why) in [
        (client.replace("webauthn.get", "webauthn.create"), Refused::Challenge),
        (client.replace(&mine, &other), Refused::Challenge),
        (client.replace(&mine, ""), Refused::Challenge),
        (client.replace(ORIGIN, "https://hub.example.evil.example"), Refused::Origin),
        (client.replace(ORIGIN, "http://hub.example"), Refused::Origin),
        (client.replace("false", "true"), Refused::Origin),
        (client.replace("false", "0"), Refused::Origin),
        (client.replace(r#""crossOrigin":false"#, r#""topOrigin":"https://evil.example""#), Refused::Origin),
        (client.replace('}', ""), Refused::Form("clientDataJSON")),
    ] {
        assert_ne!(changed, client);
        assert_eq!(used(&changed, &fine), Err(why), "{changed}");
    }
    let mut elsewhere = fine.clone();
    elsewhere[0] ^= 1;
    assert_eq!(used(&client, &elsewhere), Err(Refused::Origin));
    for flags in [0, PRESENT, VERIFIED] {
        assert_eq!(used(&client, &data(flags, 1, None)), Err(Refused::NotVerified));
    }
    for wrong in [&fine[..36], &[&fine[..], &[0]].concat(), &data(SEEN | IS_COPIED, 1, None)] {
        assert_eq!(used(&client, wrong), Err(Refused::Form("authenticatorData")));
    }
    assert_eq!(used(&client, &data(SEEN | MAY_BE_COPIED | IS_COPIED, 1, None)), Ok(1));
    let signed = signature(&SigningKey::generate(), &fine, &client);
    assert_eq!(passkey.used(client.as_bytes(), &fine, &signed, &ASKED), Err(Refused::Forged));
}

/// Shows REQ-SMART-27: keys that are not used here, and credentials that are none, make no passkey.
#[test]
fn no_passkey_is_made_of_what_is_none() {
    let create = client_data("webauthn.create");
    let made = |object: &[u8]| Passkey::made(create.as_bytes(), object, &ASKED).unwrap_err();
    let key = cose(&SigningKey::generate());
    let with = |key: &[u8]| attestation(&data(SEEN | HAS_CREDENTIAL, 0, Some(key)));
    assert!(Passkey::made(create.as_bytes(), &with(&key), &ASKED).is_ok());
    let mut es384 = key.clone();
    assert_eq!(es384[4], 0x26, "alg -7");
    es384[4] = 0x25;
    assert_eq!(made(&with(&es384)), Refused::Key);
    assert_eq!(made(&with(&[0xa0])), Refused::Key);
    assert_eq!(made(&with(&[])), Refused::Form("authData"));
    assert_eq!(made(&with(&[0x81; 40])), Refused::Form("authData"), "too many levels");
    assert_eq!(made(&with(&[0xbf, 0xff])), Refused::Form("authData"), "of indefinite length");
    assert_eq!(made(&attestation(&data(SEEN, 0, None))), Refused::Form("attestedCredentialData"));
    assert_eq!(made(&attestation(&data(PRESENT | HAS_CREDENTIAL, 0, Some(&key)))), Refused::NotVerified);
    assert_eq!(made(&[with(&key), vec![0]].concat()), Refused::Form("attestationObject"));
    assert_eq!(made(&[0xa0]), Refused::Form("attestationObject"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Shows REQ-SMART-28: reading is total, whatever is sent.
    #[test]
    fn anything_may_be_sent(bytes in any::<Vec<u8>>()) {
        prop_assert!(Passkey::made(&bytes, &bytes, &ASKED).is_err());
        prop_assert!(Passkey::made(client_data("webauthn.create").as_bytes(), &bytes, &ASKED).is_err());
        let _ = (authenticator_data(&bytes), Data::read(&bytes).is_some(), CoseKey::read(&bytes).is_some());
    }
}
