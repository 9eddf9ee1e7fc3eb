//! Six runs of an independent implementation, made for draft 16, and a second implementation of the key schedule.
//!
//! Draft 16 and RFC 9528 differ in this, as `Schedule` has it:
//! 1. `TH_2 = H( G_Y, C_R, H(message_1) )` in the draft, `H( G_Y, H(message_1) )` in the RFC;
//! 2. C_R follows `G_Y_CIPHERTEXT_2` in message 2 in the clear; the RFC has it first in PLAINTEXT_2 (and so in TH_3);
//! 3. `context_2` does not begin with C_R, in the RFC it does.
//!
//! In the runs, not in the draft: ID_CRED has a one-byte `kid` as an integer where COSE wants a byte string
//! (RFC 9528 section 3.5.3.2), and `salt_raw` is not what PRK_2e was made with: that is TH_2.
//!
//! All else, labels and lengths included, is the same. So the six runs show that the model below is right, each value of
//! theirs with the draft's three rules; then our own messages are compared with the model under the RFC's.

use super::*;
use medlock_proto::crypto::{Crypto, OwnKey};
use medlock_trust::Crypto as _;
use medlock_trust::crypto::{Message, Signature, SignatureAlgorithm};
use serde_json::Value;
use std::{env, fs, path::Path};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Schedule {
    Draft16,
    Rfc9528,
}

fn vectors() -> Option<Value> {
    let folder = env::var("MEDLOCK_VECTORS")
        .unwrap_or_else(|_| concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/vectors").into());
    let file = Path::new(&folder).join("edhoc/p256-draft16.json");
    match fs::read(&file) {
        Ok(bytes) => Some(serde_json::from_slice(&bytes).unwrap()),
        Err(error) => {
            println!("skipped: the six runs of draft 16: {}: {error}; set MEDLOCK_VECTORS", file.display());
            None
        }
    }
}

/// One run of the file.
struct Run(Value);

impl Run {
    fn hex(&self, name: &str) -> Vec<u8> {
        unhex(self.0[name].as_str().unwrap_or_else(|| panic!("{name}")))
    }

    fn signs(&self) -> bool {
        self.hex("method") == [0]
    }

    fn key(&self, signing: &str, agreeing: &str) -> SoftwareKey {
        let name = if self.signs() { signing } else { agreeing };
        SoftwareKey::p256(Secret::from_bytes(self.hex(name).try_into().unwrap())).unwrap()
    }

    fn keys(&self) -> (SoftwareKey, SoftwareKey) {
        (self.key("sk_r_raw", "r_raw"), self.key("sk_i_raw", "i_raw"))
    }
}

fn bstr(bytes: &[u8]) -> Vec<u8> {
    let mut out = match bytes.len() {
        0..24 => vec![0x40 | bytes.len() as u8],
        24..256 => vec![0x58, bytes.len() as u8],
        _ => [&[0x59][..], &(bytes.len() as u16).to_be_bytes()].concat(),
    };
    out.extend(bytes);
    out
}

fn kdf(prk: &[u8], label: u8, context: &[u8], length: usize) -> Vec<u8> {
    let length_item = match length {
        0..24 => vec![length as u8],
        24..256 => vec![0x18, length as u8],
        _ => [&[0x19][..], &(length as u16).to_be_bytes()].concat(),
    };
    let info = [&[label][..], &bstr(context), &length_item].concat();
    let (mut out, mut last, mut counter) = (Vec::new(), Vec::new(), 1);
    while out.len() < length {
        last = CRYPTO.hmac_sha256(prk, &[&last, &info, &[counter]]).expose().to_vec();
        out.extend(&last);
        counter += 1;
    }
    out.truncate(length);
    out
}

fn hash(parts: &[&[u8]]) -> Vec<u8> {
    CRYPTO.sha256(&[&parts.concat()[..]]).to_vec()
}

fn extract(salt: &[u8], secret: &[u8]) -> Vec<u8> {
    CRYPTO.hmac_sha256(salt, &[secret]).expose().to_vec()
}

fn in_plaintext(id_cred: &[u8]) -> Vec<u8> {
    match id_cred {
        // A one-byte kid that is an integer.
        [0xa1, 0x04, integer @ (0x00..=0x17 | 0x20..=0x37)] => vec![*integer],
        [0xa1, 0x04, 0x41, byte @ (0x00..=0x17 | 0x20..=0x37)] => vec![*byte],
        [0xa1, 0x04, kid @ ..] => kid.to_vec(),
        other => other.to_vec(),
    }
}

/// What one side proves: a MAC, or its signature over it.
fn signed(id_cred: &[u8], th: &[u8], cred: &[u8], mac: &[u8]) -> Vec<u8> {
    let external = [&bstr(th)[..], cred].concat();
    [&b"\x84\x6aSignature1"[..], &bstr(id_cred), &bstr(&external), &bstr(mac)].concat()
}

/// Everything a run derives, with the proofs it is given or makes itself.
struct Model {
    th_2: Vec<u8>,
    prk_2e: Vec<u8>,
    prk_3e2m: Vec<u8>,
    mac_2: Vec<u8>,
    signed_2: Vec<u8>,
    message_2: Vec<u8>,
    prk_4e3m: Vec<u8>,
    mac_3: Vec<u8>,
    signed_3: Vec<u8>,
    message_3: Vec<u8>,
    message_4: Vec<u8>,
    prk_out: Vec<u8>,
    prk_exporter: Vec<u8>,
    master_secret: Vec<u8>,
    master_salt: Vec<u8>,
}

impl Model {
    fn new(run: &Run, schedule: Schedule, prove: impl Fn(&str, Vec<u8>, &[u8]) -> Vec<u8>) -> Self {
        let get = |name| run.hex(name);
        let (signs, (key_r, key_i)) = (run.signs(), run.keys());
        let mac_length = if signs { 32 } else { 8 };
        let draft = schedule == Schedule::Draft16;
        let (c_r, id_r, id_i) = (get("c_r"), full(&get("id_cred_r"), draft), full(&get("id_cred_i"), draft));
        let (g_x, g_y): ([u8; 32], [u8; 32]) = (array(&get("g_x_raw")), array(&get("g_y_raw")));
        let message_1_hash = hash(&[&get("message_1")]);
        let th_2 = hash(&[&bstr(&g_y), if draft { &c_r } else { &[] }, &bstr(&message_1_hash)]);
        let x = Secret::from_bytes(array(&get("x_raw")));
        let shared = CRYPTO.agree(Curve::P256, &x, &g_y).unwrap();
        let prk_2e = extract(&th_2, shared.expose());
        let prk_3e2m = if signs {
            prk_2e.clone()
        } else {
            extract(&kdf(&prk_2e, 1, &th_2, 32), key_r.agree(&g_x).unwrap().expose())
        };
        let cred_r = get("cred_r");
        let lead: &[u8] = if draft { &[] } else { &c_r };
        let mac_2 = kdf(&prk_3e2m, 2, &[lead, &id_r, &bstr(&th_2), &cred_r].concat(), mac_length);
        let signed_2 = signed(&id_r, &th_2, &cred_r, &mac_2);
        let proof = if signs { prove("2", signed_2.clone(), &mac_2) } else { mac_2.clone() };
        let plaintext_2 = [lead, &in_plaintext(&id_r), &bstr(&proof)].concat();
        let keystream = kdf(&prk_2e, 0, &th_2, plaintext_2.len());
        let ciphertext: Vec<u8> = plaintext_2.iter().zip(keystream).map(|(a, b)| a ^ b).collect();
        let mut message_2 = bstr(&[&g_y[..], &ciphertext].concat());
        if draft {
            message_2.extend(&c_r);
        }
        let th_3 = hash(&[&bstr(&th_2), &plaintext_2, &cred_r]);
        let prk_4e3m = if signs {
            prk_3e2m.clone()
        } else {
            extract(&kdf(&prk_3e2m, 5, &th_3, 32), key_i.agree(&g_y).unwrap().expose())
        };
        let cred_i = get("cred_i");
        let mac_3 = kdf(&prk_4e3m, 6, &[&id_i, &bstr(&th_3)[..], &cred_i].concat(), mac_length);
        let signed_3 = signed(&id_i, &th_3, &cred_i, &mac_3);
        let proof = if signs { prove("3", signed_3.clone(), &mac_3) } else { mac_3.clone() };
        let plaintext_3 = [&in_plaintext(&id_i)[..], &bstr(&proof)].concat();
        let message_3 = sealed(&kdf(&prk_3e2m, 3, &th_3, 16), &kdf(&prk_3e2m, 4, &th_3, 13), &th_3, &plaintext_3);
        let th_4 = hash(&[&bstr(&th_3), &plaintext_3, &cred_i]);
        let message_4 = sealed(&kdf(&prk_4e3m, 8, &th_4, 16), &kdf(&prk_4e3m, 9, &th_4, 13), &th_4, &[]);
        let prk_out = kdf(&prk_4e3m, 7, &th_4, 32);
        let prk_exporter = kdf(&prk_out, 10, &[], 32);
        let (master_secret, master_salt) = (kdf(&prk_exporter, 0, &[], 16), kdf(&prk_exporter, 1, &[], 8));
        Self {
            th_2,
            prk_2e,
            prk_3e2m,
            mac_2,
            signed_2,
            message_2,
            prk_4e3m,
            mac_3,
            signed_3,
            message_3,
            message_4,
            prk_out,
            prk_exporter,
            master_secret,
            master_salt,
        }
    }
}

fn sealed(key: &[u8], nonce: &[u8], th: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let aad = [&b"\x83\x68Encrypt0\x40"[..], &bstr(th)].concat();
    let (mut text, mut tag) = (plaintext.to_vec(), [0; 8]);
    CRYPTO.ccm_seal(&array(key), &array(nonce), &[&aad], &mut text, &mut tag);
    bstr(&[&text[..], &tag].concat())
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().unwrap()
}

/// The runs write a one-byte kid in ID_CRED as an integer; the RFC has a byte string there.
fn full(id_cred: &[u8], draft: bool) -> Vec<u8> {
    match id_cred {
        [0xa1, 0x04, byte] if !draft => vec![0xa1, 0x04, 0x41, *byte],
        other => other.to_vec(),
    }
}

#[test]
fn the_model_meets_six_runs_of_another_implementation() {
    let Some(vectors) = vectors() else { return };
    for (name, run) in vectors.as_object().unwrap() {
        let run = Run(run.clone());
        let model = Model::new(&run, Schedule::Draft16, |message, _, _| run.hex(&format!("sig_or_mac_{message}_raw")));
        let check = |name_of_value, value: &[u8]| assert_eq!(run.hex(name_of_value), value, "{name}: {name_of_value}");
        check("th_2_raw", &model.th_2);
        check("prk_2e_raw", &model.prk_2e);
        check("prk_3e2m_raw", &model.prk_3e2m);
        check("mac_2_raw", &model.mac_2);
        check("message_2", &model.message_2);
        check("prk_4e3m_raw", &model.prk_4e3m);
        check("mac_3_raw", &model.mac_3);
        check("message_3", &model.message_3);
        check("message_4", &model.message_4);
        check("prk_out", &model.prk_out);
        check("prk_exporter", &model.prk_exporter);
        check("oscore_secret_raw", &model.master_secret);
        check("oscore_salt_raw", &model.master_salt);
        if run.signs() {
            check("m_2", &model.signed_2);
            check("m_3", &model.signed_3);
            let (key_r, key_i) = run.keys();
            for (key, message, signature) in
                [(key_r, &model.signed_2, "sig_or_mac_2_raw"), (key_i, &model.signed_3, "sig_or_mac_3_raw")]
            {
                let (public, signature) = (key.public(), run.hex(signature));
                let key = public.verifier().unwrap();
                let signature = Signature::Cose(&signature);
                CRYPTO.verify(SignatureAlgorithm::EcdsaSha256, key, &[&message[..]], signature).unwrap();
            }
        }
    }
}

#[test]
fn our_messages_are_those_of_the_model_with_the_same_keys_and_certificates() {
    let Some(vectors) = vectors() else { return };
    for (name, run) in vectors.as_object().unwrap() {
        let run = Run(run.clone());
        let (key_r, key_i) = run.keys();
        let sign = |message: &str, signed: Vec<u8>, _: &[u8]| {
            let key = if message == "2" { &key_r } else { &key_i };
            let parts = [&signed[..]];
            let message: &dyn Message = &parts;
            key.sign(message).unwrap().to_vec()
        };
        let model = Model::new(&run, Schedule::Rfc9528, sign);
        let (messages, session) = ours(&run);
        assert_eq!(messages.message_1, run.hex("message_1"), "{name}");
        assert_eq!(messages.message_2, model.message_2, "{name}");
        assert_eq!(messages.message_3, model.message_3, "{name}");
        assert_eq!(messages.message_4, model.message_4, "{name}");
        assert_eq!(session.oscore(&CRYPTO).master_secret[..], model.master_secret, "{name}");
        assert_eq!(session.oscore(&CRYPTO).master_salt[..], model.master_salt, "{name}");
    }
}

/// Our own run with the keys, certificates and references of `run`.
fn ours(run: &Run) -> (Messages, Session) {
    let method = Method::from_number(run.hex("method")[0].into()).unwrap();
    let (cred_r, cred_i) = (run.hex("cred_r"), run.hex("cred_i"));
    let (key_r, key_i) = run.keys();
    let (id_r, id_i) = (run.hex("id_cred_r"), run.hex("id_cred_i"));
    let (der_r, der_i) = ([content(&cred_r)], [content(&cred_i)]);
    let own_r = OwnCredential::new(credential(&cred_r), reference(&id_r, &der_r), &key_r);
    let own_i = OwnCredential::new(credential(&cred_i), reference(&id_i, &der_i), &key_i);
    let ephemeral = |name| Ephemeral::new(Curve::P256, Secret::from_bytes(array(&run.hex(name))), &CRYPTO).unwrap();
    let connection = |name| ConnectionId::new(&run.hex(name)).unwrap();

    let suites = [Suite::Suite2];
    let offer = Offer { method, suites: &suites, selected: Suite::Suite2, connection: connection("c_i"), ead: &[] };
    let mut messages = Messages::default();
    let mut out = [0; 1024];
    let (await_2, length) = initiator::start(&offer, ephemeral("x_raw"), &mut out, &CRYPTO).unwrap();
    messages.message_1 = out[..length].to_vec();
    let accept = Accept { methods: &[method], suites: &suites, understood: &[] };
    let read = Message1::read(&messages.message_1, &accept, &CRYPTO).unwrap();
    let (await_3, length) =
        read.message_2(&own_r, connection("c_r"), ephemeral("y_raw"), &[], &mut out, &CRYPTO).unwrap();
    messages.message_2 = out[..length].to_vec();
    let (public_r, public_i) = (key_r.public(), key_i.public());
    let peer = |cred, public| PeerCredential {
        credential: credential(cred),
        key: authentication_key(public),
        identified: identified("peer"),
    };
    let read = await_2.read(&mut out[..length], &[], &CRYPTO).unwrap();
    let verified = read.verify(peer(&cred_r, &public_r), &CRYPTO).unwrap();
    let (unconfirmed, length) = verified.message_3(&own_i, &[], &mut out, &CRYPTO).unwrap();
    messages.message_3 = out[..length].to_vec();
    let read = await_3.read(&mut out[..length], &[], &CRYPTO).unwrap();
    let verified = read.verify(peer(&cred_i, &public_i), &CRYPTO).unwrap();
    let (_, length) = verified.message_4(&[], &mut out, &CRYPTO).unwrap();
    messages.message_4 = out[..length].to_vec();
    let (session, _) = unconfirmed.read_message_4(&mut out[..length], &[], &CRYPTO).unwrap();
    (messages, session)
}

/// A credential of the runs: a certificate inside a byte string, or a claims set.
fn credential(cred: &[u8]) -> Credential<'_> {
    if cred[0] == 0x59 { Credential::X509(content(cred)) } else { Credential::Item(cred) }
}

fn content(cred: &[u8]) -> &[u8] {
    cred.get(3..).unwrap()
}

fn reference<'a>(id_cred: &'a [u8], certificate: &'a [&'a [u8]; 1]) -> CredentialReference<'a> {
    match id_cred {
        [0xa1, 0x04, kid] => CredentialReference::Kid(std::slice::from_ref(kid)),
        [0xa1, 0x04, 0x41, kid] => CredentialReference::Kid(std::slice::from_ref(kid)),
        [0xa1, 0x18, 0x22, 0x82, 0x2e, 0x48, hash @ ..] => {
            CredentialReference::X5t(CertHash::short(hash.try_into().unwrap()))
        }
        [0xa1, 0x18, 0x21, 0x59, ..] => CredentialReference::X5chain(Certificates::x509(certificate)),
        [0xa1, 0x18, 0x20, 0x59, ..] => CredentialReference::X5bag(Certificates::x509(certificate)),
        other => panic!("{other:02x?}"),
    }
}
