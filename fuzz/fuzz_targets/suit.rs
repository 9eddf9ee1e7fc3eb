//! Software manifests, with cryptography that finds every signature right: the bytes are taken as an envelope, and as a
//! manifest in an envelope that fits it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use medlock_device::manifest::{Activity, MAX_ENVELOPE, Target, Update, UpdateKey, UpdateKeys};
use medlock_fuzz::Trusting;
use medlock_trust::crypto::{Crypto, KeyAlgorithm, PublicKey};
use medlock_trust::{KeyId, cbor::Head};

const VENDOR: [u8; 16] = *b"\xfa\x6b\x4a\x53\xd5\xad\x5f\xdf\xbe\x9d\xe6\x63\xe4\xd4\x1f\xfe";
const CLASS: [u8; 16] = *b"\x14\x92\xaf\x14\x25\x69\x5e\x48\xbf\x42\x9b\x2d\x51\xf2\xab\x45";

/// `[digest, signature]` up to the hash, and what follows it.
const WRAPPER: (&[u8], &[u8]) =
    (b"\x58\x35\x82\x58\x24\x82\x2f\x58\x20", b"\x4d\xd2\x84\x43\xa1\x01\x26\xa0\xf6\x44\0\0\0\0");

fuzz_target!(|bytes: &[u8]| {
    accept(bytes);
    let wrapped = [Head::bytes(bytes).as_bytes(), bytes].concat();
    let hash = Trusting.sha256(&[&wrapped[..]]);
    accept(&[b"\xd8\x6b\xa2\x02", WRAPPER.0, &hash, WRAPPER.1, b"\x03", &wrapped].concat());
});

fn accept(envelope: &[u8]) {
    let key = PublicKey { algorithm: KeyAlgorithm::P256, bits: &[2; 33] };
    let keys = [UpdateKey { id: KeyId::from_bytes([0; 16]), key }];
    let target = Target { vendor: VENDOR, class: CLASS, device: None, component: &[&[0]], installed: Some(0) };
    let keys = UpdateKeys { keys: &keys, threshold: 1 };
    let Ok(update) = Update::accept(envelope, &target, &keys, &Trusting) else { return };
    assert!(envelope.len() <= MAX_ENVELOPE && update.sequence_number() > 0);
    if let Ok(image) = update.check_image(&[envelope], &Trusting) {
        assert!(image.install(Activity::Delivering, target.installed).is_err());
    }
}
