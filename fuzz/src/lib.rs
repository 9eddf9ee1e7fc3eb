//! What the fuzz targets share.

pub mod board;

use medlock_node::provider::AwsLc;
use medlock_proto::crypto::{Curve, Forged, Secret};
use medlock_trust::authenticate::CredentialKind;
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use medlock_trust::{Crypto, DeviceName, Identified, Roles};

/// A provider that finds every signature right, so that a fuzzer gets behind them. Its hash is the real one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trusting;

impl Crypto for Trusting {
    fn verify(
        &self,
        _: SignatureAlgorithm,
        _: PublicKey<'_>,
        _: &dyn Message,
        _: Signature<'_>,
    ) -> Result<(), VerifyError> {
        Ok(())
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        AwsLc.sha256(message)
    }

    fn decompress<'o>(&self, curve: KeyAlgorithm, point: &[u8], out: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        AwsLc.decompress(curve, point, out)
    }
}

/// A keystream of zeros leaves a text readable, and a MAC of zeros is easily guessed.
impl medlock_proto::crypto::Crypto for Trusting {
    fn hmac_sha256(&self, _: &[u8], _: &[&[u8]]) -> Secret {
        Secret::from_bytes([0; 32])
    }

    fn ccm_seal(&self, _: &[u8; 16], _: &[u8; 13], _: &[&[u8]], _: &mut [u8], tag: &mut [u8]) {
        tag.fill(0);
    }

    fn ccm_open(&self, _: &[u8; 16], _: &[u8; 13], _: &[&[u8]], _: &mut [u8], tag: &[u8]) -> Result<(), Forged> {
        if matches!(tag.len(), 8 | 16) { Ok(()) } else { Err(Forged) }
    }

    fn public_key(&self, _: Curve, secret: &Secret) -> Option<[u8; 32]> {
        Some(*secret.expose())
    }

    fn agree(&self, _: Curve, _: &Secret, _: &[u8; 32]) -> Option<Secret> {
        Some(Secret::from_bytes([0; 32]))
    }
}

/// A provider that has no curve and finds every signature unsupported: only reading and writing are looked at. It reads
/// every message to its end, so that what is rebuilt piece by piece is rebuilt.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCurve;

impl Crypto for NoCurve {
    fn verify(
        &self,
        _: SignatureAlgorithm,
        _: PublicKey<'_>,
        message: &dyn Message,
        _: Signature<'_>,
    ) -> Result<(), VerifyError> {
        message.feed(&mut |_| {});
        Err(VerifyError::Unsupported)
    }

    fn sha256(&self, message: &dyn Message) -> [u8; 32] {
        message.feed(&mut |_| {});
        [0; 32]
    }

    fn decompress<'o>(&self, _: KeyAlgorithm, _: &[u8], _: &'o mut [u8; 97]) -> Option<&'o [u8]> {
        None
    }
}

/// Somebody.
#[must_use]
pub fn danger_peer() -> Identified {
    let name = DeviceName::new("device").expect("printable");
    Identified::danger_raw_key(&[], name, CredentialKind::Operational, Roles::NONE, None, &Trusting)
}
