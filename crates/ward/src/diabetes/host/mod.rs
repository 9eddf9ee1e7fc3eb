//! What the SDK asks of a firmware, on a computer: flash and keys in files, a clock that can be sped up, the system's
//! random numbers.

mod clock;
mod flash;
mod keys;

pub use clock::VirtualClock;
pub use flash::FileFlash;
pub use keys::{FileKeys, KeysError};

use medlock_device::platform::{KeySlot, Platform, Rng};
use medlock_node::asn1;
use medlock_proto::crypto::OwnKey as _;
use medlock_rustcrypto::{RustCrypto, SoftwareKey};
use medlock_trust::crypto::SignatureAlgorithm;
use medlock_trust::der::tag;
use std::path::Path;

/// The platform of the demonstration's machines: the cryptography of a chip, everything else in files.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Platform for Host {
    type Crypto = RustCrypto;
    type Rng = SystemRng;
    type Flash = FileFlash;
    type Keys = FileKeys;
}

/// The system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            chunk.iter_mut().zip(medlock_node::provider::random::<32>()).for_each(|(to, from)| *to = from);
        }
    }
}

/// Makes the key of a new device in `folder`, and a certificate request for it (PKCS#10, RFC 2986), as the line that
/// builds devices sends it to the maker's authority. The request's subject is empty: the maker writes the name.
///
/// # Errors
/// [`KeysError`].
pub fn birth_request(folder: &Path) -> Result<Vec<u8>, KeysError> {
    Ok(request(&FileKeys::open(folder)?.generate(KeySlot::Birth)?))
}

fn request(key: &SoftwareKey) -> Vec<u8> {
    let public = key.public();
    let bits = public.verifier().map(|key| key.bits).unwrap_or_default();
    let spki = asn1::sequence(&[EC_PUBLIC_KEY_P256, &asn1::bit_string(bits)]);
    let attributes = asn1::element(tag::context_constructed(0), &[]);
    let information = asn1::sequence(&[&asn1::unsigned(&[0]), &asn1::sequence(&[]), &spki, &attributes]);
    asn1::signed(&information, SignatureAlgorithm::EcdsaSha256, |message| {
        // A key in memory that signs does not fail; a request that is not signed would be refused.
        let signature = key.sign(&[message]).unwrap_or([0; 64]);
        let (r, s) = signature.split_at(32);
        asn1::sequence(&[&asn1::unsigned(r), &asn1::unsigned(s)])
    })
}

/// `id-ecPublicKey` with `secp256r1`, as an `AlgorithmIdentifier` (RFC 5480 section 2.1.1).
const EC_PUBLIC_KEY_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn openssl_verifies_the_request() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("request.der");
        std::fs::write(&file, birth_request(folder.path()).unwrap()).unwrap();
        let output =
            Command::new("openssl").args(["req", "-inform", "DER", "-noout", "-verify", "-in"]).arg(&file).output();
        let output = output.unwrap();
        let text = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert!(output.status.success() && text.contains("verify OK"), "{text}");
    }
}
