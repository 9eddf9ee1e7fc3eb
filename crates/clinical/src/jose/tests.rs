//! The examples of the standards, and what attackers send.

use super::*;
use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::{SigningAlgorithm, SigningKey};
use medlock_trust::Time;
use proptest::prelude::{ProptestConfig, any, prop_assert, proptest};

/// RFC 7515 appendix A.2.1.
const RSA: &str = r#"{"kty":"RSA","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ","e":"AQAB"}"#;
const RSA_SIGNED: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
/// RFC 7515 appendix A.3.1.
const EC: &str = r#"{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}"#;
const EC_SIGNED: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";
/// RFC 8037 appendix A.2.
const ED: &str = r#"{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}"#;

fn key(json: &str) -> Key {
    Key::from_json(json.as_bytes()).expect("a key")
}

/// A key and its document.
fn own(algorithm: SigningAlgorithm) -> (SigningKey, String) {
    let signing = SigningKey::generate_with(algorithm);
    let bits = signing.public_key().bits.to_vec();
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let point = |curve: &str| {
        let (x, y) = bits[1..].split_at((bits.len() - 1) / 2);
        format!(r#"{{"kty":"EC","crv":"{curve}","kid":"one","x":"{}","y":"{}"}}"#, encoded(x), encoded(y))
    };
    let json = match algorithm {
        SigningAlgorithm::P256 => point("P-256"),
        SigningAlgorithm::P384 => point("P-384"),
        _ => format!(r#"{{"kty":"OKP","crv":"Ed25519","kid":"one","x":"{}"}}"#, encoded(&bits)),
    };
    (signing, json)
}

fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
    let input = signing_input(header.as_bytes(), claims.as_bytes());
    let signature = key.sign_cose(&[input.as_bytes()]);
    format!("{input}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// Shows REQ-SMART-20: the examples of RFC 7515, RFC 7638 and RFC 8037 are taken as they stand.
#[test]
fn the_examples_of_the_standards_verify() {
    for (json, token) in [(RSA, RSA_SIGNED), (EC, EC_SIGNED)] {
        let claims = Compact::read(token).unwrap().verify(&key(json)).unwrap();
        assert_eq!(claims.text("iss").unwrap(), "joe");
        assert_eq!(claims.time("exp").unwrap(), Time::from_unix(1_300_819_380));
        assert_eq!(claims.with("http://example.com/is_root", |node| node.flag()), Some(true));
    }
    // RFC 8037 appendix A.4: its payload is no JSON, so the signature is right and the claims are not.
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert!(matches!(Compact::read(token).unwrap().verify(&key(ED)), Err(Refused::Json("claims", _))));
    assert_eq!(BASE64URL_NOPAD.encode(key(ED).thumbprint()), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    // RFC 7638 section 3.1.
    let json = r#"{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}"#;
    assert_eq!(BASE64URL_NOPAD.encode(key(json).thumbprint()), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
}

/// Shows REQ-SMART-21: what a key signs by another algorithm, by none, by a changed byte, or with a header that asks for what
/// is not understood, is not believed.
#[test]
fn no_other_algorithm_key_or_byte_is_believed() {
    for algorithm in [SigningAlgorithm::P256, SigningAlgorithm::P384, SigningAlgorithm::Ed25519] {
        let (signing, json) = own(algorithm);
        let name = match algorithm {
            SigningAlgorithm::P256 => "ES256",
            SigningAlgorithm::P384 => "ES384",
            _ => "EdDSA",
        };
        let header = format!(r#"{{"alg":"{name}","kid":"one"}}"#);
        let token = signed(&signing, &header, r#"{"iss":"a"}"#);
        let read = Compact::read(&token).unwrap();
        assert_eq!((read.header().key_id.as_deref(), read.danger_issuer().as_deref()), (Some("one"), Some("a")));
        assert_eq!(read.verify(&key(&json)).unwrap().text("iss").unwrap(), "a");
        assert_eq!(Compact::read(&token).unwrap().verify(&key(&own(algorithm).1)).unwrap_err(), Refused::Forged);
        for other in Algorithm::ALL.into_iter().filter(|other| other.name() != name) {
            let token = signed(&signing, &header.replace(name, other.name()), "{}");
            assert_eq!(Compact::read(&token).unwrap().verify(&key(&json)).unwrap_err(), Refused::OtherAlgorithm);
        }
        for (place, _) in token.char_indices() {
            let changed: String = token.char_indices().map(|(at, c)| if at == place { 'A' } else { c }).collect();
            let believed = Compact::read(&changed).and_then(|read| read.verify(&key(&json)));
            assert!(believed.is_err() || changed == token, "{place} of {token}");
        }
    }
    let (signing, _) = own(SigningAlgorithm::P256);
    for (header, why) in [
        (r#"{"alg":"none"}"#, Refused::Algorithm),
        (r#"{"alg":"HS256"}"#, Refused::Algorithm),
        (r#"{"alg":"es256"}"#, Refused::Algorithm),
        (r#"{"alg":"PS256"}"#, Refused::Algorithm),
        (r#"{"typ":"JWT"}"#, Refused::Header("alg")),
        (r#"{"alg":["ES256"]}"#, Refused::Header("alg")),
        (r#"{"alg":"ES256","kid":1}"#, Refused::Header("kid")),
        (r#"{"alg":"ES256","crit":["b64"],"b64":false}"#, Refused::Critical),
        (r#"{"alg":"ES256","crit":[]}"#, Refused::Critical),
        (r#"{"alg":"ES256","x5c":[]}"#, Refused::Header("x5c")),
        (r#"{"alg":"ES256","x5c":["-_"]}"#, Refused::Header("x5c")),
        (r#"{"alg":"ES256","jwk":{"kty":"oct","k":"AA"}}"#, Refused::Header("jwk")),
        (r#"["ES256"]"#, Refused::Header("alg")),
    ] {
        assert_eq!(Compact::read(&signed(&signing, header, "{}")).unwrap_err(), why, "{header}");
    }
    let twice = signed(&signing, r#"{"alg":"ES256","alg":"none"}"#, "{}");
    assert!(matches!(Compact::read(&twice), Err(Refused::Json("header", _))));
    let token = signed(&signing, r#"{"alg":"ES256"}"#, "{}");
    for form in [
        "",
        ".",
        "..",
        "a.b",
        &token[..token.len() - 1],
        &format!("{token}="),
        &format!("{token}.a"),
        &format!(" {token}"),
    ] {
        assert!(Compact::read(form).is_err(), "{form}");
    }
    assert_eq!(Compact::read(&"a".repeat(32_769)).unwrap_err(), Refused::TooLong);
}

/// Shows REQ-SMART-22: keys that give themselves away, are too small, of no use or two of one name, are refused and told.
#[test]
fn keys_are_taken_only_as_public_keys_for_signatures() {
    let with = |more: &str| EC.replacen('{', &format!("{{{more},"), 1);
    let why = |json: &str| Key::from_json(json.as_bytes()).unwrap_err();
    assert_eq!(why(&with(r#""d":"AA""#)), Unusable::Private("d".into()));
    assert_eq!(why(&with(r#""use":"enc""#)), Unusable::Use);
    assert_eq!(why(&with(r#""key_ops":["sign"]"#)), Unusable::Use);
    assert_eq!(why(&with(r#""alg":"ES384""#)), Unusable::Use);
    assert_eq!(why(&with(r#""kid":7"#)), Unusable::Member("kid"));
    assert_eq!(why(&EC.replace("P-256", "P-521")), Unusable::Kind);
    assert_eq!(why(&EC.replace("f83O", "")), Unusable::Member("x"));
    assert_eq!(why(r#"{"kty":"oct","k":"AA"}"#), Unusable::Private("k".into()));
    let small = BASE64URL_NOPAD.encode(&[0xff; 128]);
    assert_eq!(why(&format!(r#"{{"kty":"RSA","n":"{small}","e":"AQAB"}}"#)), Unusable::Bits(1024));
    assert_eq!(why(&RSA.replace("AQAB", "AQ")), Unusable::Member("e"));
    assert_eq!(why(&RSA.replace(r#""n":""#, r#""n":"AAAA"#)), Unusable::Member("n"));
    for fine in [r#""use":"sig""#, r#""key_ops":["verify"]"#, r#""alg":"ES256""#, r#""x5u":"https://elsewhere""#] {
        assert_eq!(key(&with(fine)).thumbprint(), key(EC).thumbprint());
    }
    let set = |keys: &[&str]| KeySet::from_json(format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes());
    let named = |name: &str| with(&format!(r#""kid":"{name}""#));
    let two = set(&[&named("a"), &named("b"), r#"{"kty":"EC","crv":"secp256k1"}"#]).unwrap();
    assert_eq!(two.find(Some("b"), Algorithm::Es256).and_then(Key::name), Some("b"));
    for (name, algorithm) in [(Some("c"), Algorithm::Es256), (Some("b"), Algorithm::Rs256), (None, Algorithm::Es256)] {
        assert_eq!(two.find(name, algorithm), None, "{name:?}");
    }
    assert!(set(&[EC]).unwrap().find(None, Algorithm::Es256).is_some(), "the only one");
    assert_eq!(set(&[&named("a"), &named("a")]), Err(Unusable::Twice("a".into())));
    assert_eq!(set(&[EC; 21]), Err(Unusable::TooMany));
    assert_eq!(KeySet::from_json(b"{}"), Err(Unusable::Member("keys")));
    assert!(set(&[]).unwrap().is_empty());
}

/// Shows REQ-SMART-23: times are whole seconds, audiences one or several, and nothing else.
#[test]
fn claims_are_what_they_should_be() {
    let (signing, json) = own(SigningAlgorithm::P256);
    let claims =
        |text: &str| Compact::read(&signed(&signing, r#"{"alg":"ES256"}"#, text)).unwrap().verify(&key(&json)).unwrap();
    assert_eq!(claims(r#"{"exp":12.9}"#).time("exp"), Ok(Time::from_unix(12)));
    for wrong in [r#""12""#, "-1", "1e3", "null", "99999999999999999999", "999999999999999", "true", "{}"] {
        let claims = claims(&format!(r#"{{"exp":{wrong}}}"#));
        assert_eq!(claims.time("exp"), Err(Wrong::Claim("exp")), "{wrong}");
        assert_eq!(claims.optional_time("exp"), Err(Wrong::Claim("exp")), "{wrong}");
        assert_eq!(claims.optional_time("nbf"), Ok(None));
    }
    assert_eq!(claims(r#"{"aud":"a"}"#).audiences(), Ok(vec!["a".to_owned()]));
    assert_eq!(claims(r#"{"aud":["a","b"]}"#).audiences(), Ok(vec!["a".to_owned(), "b".to_owned()]));
    for wrong in [r#"{}"#, r#"{"aud":[]}"#, r#"{"aud":[1]}"#, r#"{"aud":{}}"#] {
        assert_eq!(claims(wrong).audiences(), Err(Wrong::Claim("aud")), "{wrong}");
    }
    assert_eq!(claims(r#"{"jti":1}"#).optional_text("jti"), Err(Wrong::Claim("jti")));
    let token = signed(&signing, r#"{"alg":"ES256"}"#, "[]");
    assert!(matches!(Compact::read(&token).unwrap().verify(&key(&json)), Err(Refused::Claims(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Shows REQ-SMART-24: reading is total, whatever is sent.
    #[test]
    fn anything_may_be_read(token in any::<String>(), bytes in any::<Vec<u8>>()) {
        let _ = Compact::read(&token);
        let _ = Key::from_json(&bytes);
        let parts = BASE64URL_NOPAD.encode(&bytes);
        let refused = Compact::read(&format!("{parts}.{parts}.{parts}")).and_then(|read| read.verify(&key(EC)));
        prop_assert!(refused.is_err());
    }
}
