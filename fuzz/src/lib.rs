//! What the fuzz targets share.

use medlock_node::provider::AwsLc;
use medlock_trust::Crypto;
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};

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
