//! Project Wycheproof's vectors for any provider: a case that ends otherwise than they say fails, unless [`EXCEPTIONS`]
//! names it, and a case named there has to end otherwise.

use medlock_proto::crypto::{Crypto, Curve, Secret};
use medlock_trust::crypto::{KeyAlgorithm, PublicKey, Signature, SignatureAlgorithm};
use wycheproof::TestResult;

/// Set, case, and why it ends otherwise. There is none at present.
const EXCEPTIONS: &[(&str, usize, &str)] = &[];

/// Collects what differs, so that one run shows all.
struct Judge {
    set: &'static str,
    judged: usize,
    differences: Vec<String>,
}

impl Judge {
    fn new(set: &'static str) -> Self {
        Self { set, judged: 0, differences: Vec::new() }
    }

    /// `right` tells whether the outcome is that of a valid case.
    fn judge(&mut self, id: usize, expected: TestResult, right: bool) {
        self.judged += 1;
        let as_expected = match expected {
            TestResult::Valid => right,
            TestResult::Invalid => !right,
            TestResult::Acceptable => true,
        };
        let excepted = EXCEPTIONS.iter().any(|(set, case, _)| (*set, *case) == (self.set, id));
        if as_expected == excepted {
            let which = if excepted { "ends as expected although it is excepted" } else { "ends otherwise" };
            self.differences.push(format!("{} {id}, {expected:?}, {which}", self.set));
        }
    }

    /// `least` guards against vectors that were all passed over.
    fn finish(self, least: usize) {
        assert!(self.differences.is_empty(), "{:#?}", self.differences);
        assert!(self.judged >= least, "{}: only {} cases", self.set, self.judged);
    }
}

pub(crate) fn ecdsa_in_der(provider: &impl Crypto) {
    let name = wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256;
    ecdsa(provider, name, |bytes| Signature::X509(bytes), Judge::new("ECDSA, DER")).finish(450);
}

pub(crate) fn ecdsa_as_cose_writes_it(provider: &impl Crypto) {
    let name = wycheproof::ecdsa::TestName::EcdsaSecp256r1Sha256P1363;
    ecdsa(provider, name, |bytes| Signature::Cose(bytes), Judge::new("ECDSA, r‖s")).finish(250);
}

fn ecdsa(
    provider: &impl Crypto,
    name: wycheproof::ecdsa::TestName,
    form: impl Fn(&[u8]) -> Signature<'_>,
    mut judge: Judge,
) -> Judge {
    for group in wycheproof::ecdsa::TestSet::load(name).unwrap().test_groups {
        let key = PublicKey { algorithm: KeyAlgorithm::P256, bits: &group.key.key };
        for test in group.tests {
            let message = [test.msg.as_slice()];
            let outcome = provider.verify(SignatureAlgorithm::EcdsaSha256, key, &message, form(&test.sig));
            judge.judge(test.tc_id, test.result, outcome.is_ok());
        }
    }
    judge
}

/// Big-endian, with as many zeros before it as it takes.
fn secret(bytes: &[u8]) -> Secret {
    let digits = &bytes[bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len())..];
    let mut secret = [0; 32];
    secret[32 - digits.len()..].copy_from_slice(digits);
    Secret::from_bytes(secret)
}

pub(crate) fn agreement_on_p256(provider: &impl Crypto) {
    let mut judge = Judge::new("ECDH");
    for group in wycheproof::ecdh::TestSet::load(wycheproof::ecdh::TestName::EcdhSecp256r1Ecpoint).unwrap().test_groups
    {
        for test in group.tests {
            let mut full = [0; 97];
            let shared = provider.decompress(KeyAlgorithm::P256, &test.public_key, &mut full).and_then(|point| {
                provider.agree(Curve::P256, &secret(&test.private_key), point[1..33].try_into().ok()?)
            });
            let right = shared.is_some_and(|shared| *shared.expose() == test.shared_secret[..]);
            judge.judge(test.tc_id, test.result, right);
        }
    }
    judge.finish(200);
}

pub(crate) fn aes_ccm(provider: &impl Crypto) {
    let mut judge = Judge::new("AES-CCM");
    for group in wycheproof::aead::TestSet::load(wycheproof::aead::TestName::AesCcm).unwrap().test_groups {
        if (group.key_size, group.nonce_size) != (128, 104) || !matches!(group.tag_size, 64 | 128) {
            continue;
        }
        for test in group.tests {
            let key: [u8; 16] = test.key[..].try_into().unwrap();
            let nonce: [u8; 13] = test.nonce[..].try_into().unwrap();
            // The additional data in two pieces: their border must not matter.
            let (first, second) = test.aad.split_at(test.aad.len() / 3);
            let mut text = test.ct.to_vec();
            let opened = provider.ccm_open(&key, &nonce, &[first, second], &mut text, &test.tag);
            judge.judge(test.tc_id, test.result, opened.is_ok() && text == test.pt[..]);
            if test.result == TestResult::Valid {
                let mut text = test.pt.to_vec();
                let mut tag = vec![0; test.tag.len()];
                provider.ccm_seal(&key, &nonce, &[&test.aad], &mut text, &mut tag);
                assert_eq!((&text[..], &tag[..]), (&test.ct[..], &test.tag[..]), "case {}", test.tc_id);
            }
        }
    }
    // Few have our nonce; `ccm` compares at length with another implementation.
    judge.finish(6);
}

pub(crate) fn hmac_sha256(provider: &impl Crypto) {
    let mut judge = Judge::new("HMAC");
    for group in wycheproof::mac::TestSet::load(wycheproof::mac::TestName::HmacSha256).unwrap().test_groups {
        for test in group.tests {
            let (first, second) = test.msg.split_at(test.msg.len() / 2);
            let full = provider.hmac_sha256(&test.key, &[first, second]);
            judge.judge(test.tc_id, test.result, full.expose()[..group.tag_size / 8] == test.tag[..]);
        }
    }
    judge.finish(150);
}

pub(crate) fn x25519(provider: &impl Crypto) {
    let mut judge = Judge::new("X25519");
    for group in wycheproof::xdh::TestSet::load(wycheproof::xdh::TestName::X25519).unwrap().test_groups {
        for test in group.tests {
            let Ok(public) = <[u8; 32]>::try_from(&test.public_key[..]) else { continue };
            let secret = Secret::from_bytes(test.private_key[..].try_into().unwrap());
            let shared = provider.agree(Curve::X25519, &secret, &public);
            let right = shared.as_ref().is_some_and(|shared| *shared.expose() == test.shared_secret[..]);
            // Where refusing is acceptable, a wrong answer is not.
            assert!(right || shared.is_none(), "case {}", test.tc_id);
            judge.judge(test.tc_id, test.result, right);
        }
    }
    judge.finish(500);
}

pub(crate) fn ed25519(provider: &impl Crypto) {
    let mut judge = Judge::new("Ed25519");
    for group in wycheproof::eddsa::TestSet::load(wycheproof::eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = PublicKey { algorithm: KeyAlgorithm::Ed25519, bits: &group.key.pk };
        for test in group.tests {
            let (first, second) = test.msg.split_at(test.msg.len() / 2);
            let signature = Signature::Cose(&test.sig);
            let outcome = provider.verify(SignatureAlgorithm::Ed25519, key, &[first, second], signature);
            judge.judge(test.tc_id, test.result, outcome.is_ok());
        }
    }
    judge.finish(100);
}
