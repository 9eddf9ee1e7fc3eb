//! What EDHOC and OSCORE ask beside signatures: key agreement, HMAC and AES-CCM.

use super::{AwsLc, SigningKey};
use crate::Error;
use aws_lc_rs::agreement::{self, Algorithm, ECDH_P256, PrivateKey, UnparsedPublicKey, X25519};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::EcdsaKeyPair;
use medlock_proto::crypto::{Crypto, Curve, Forged, OwnKey, Secret};
use medlock_rustcrypto::RustCrypto;
use medlock_trust::crypto::{Crypto as _, KeyAlgorithm, Message};
use zeroize::Zeroizing;

impl Crypto for AwsLc {
    fn hmac_sha256(&self, key: &[u8], message: &[&[u8]]) -> Secret {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
        message.iter().for_each(|part| mac.update(part));
        let mut value = Zeroizing::new([0; 32]);
        value.copy_from_slice(mac.sign().as_ref());
        Secret::from_bytes(*value)
    }

    /// By RustCrypto: aws-lc-rs offers no AES-CCM.
    fn ccm_seal(&self, key: &[u8; 16], nonce: &[u8; 13], aad: &[&[u8]], text: &mut [u8], tag: &mut [u8]) {
        RustCrypto.ccm_seal(key, nonce, aad, text, tag);
    }

    fn ccm_open(
        &self,
        key: &[u8; 16],
        nonce: &[u8; 13],
        aad: &[&[u8]],
        text: &mut [u8],
        tag: &[u8],
    ) -> Result<(), Forged> {
        RustCrypto.ccm_open(key, nonce, aad, text, tag)
    }

    fn public_key(&self, curve: Curve, secret: &Secret) -> Option<[u8; 32]> {
        let public = private(curve, secret)?.compute_public_key().ok()?;
        let bytes = match curve {
            // The x-coordinate, after the byte that says "uncompressed".
            Curve::P256 => public.as_ref().get(1..33)?,
            Curve::X25519 => public.as_ref(),
        };
        bytes.try_into().ok()
    }

    fn agree(&self, curve: Curve, secret: &Secret, public: &[u8; 32]) -> Option<Secret> {
        agree(&private(curve, secret)?, curve, public)
    }
}

fn private(curve: Curve, secret: &Secret) -> Option<PrivateKey> {
    PrivateKey::from_private_key(algorithm(curve), secret.expose()).ok()
}

const fn algorithm(curve: Curve) -> &'static Algorithm {
    match curve {
        Curve::P256 => &ECDH_P256,
        Curve::X25519 => &X25519,
    }
}

fn agree(private: &PrivateKey, curve: Curve, public: &[u8; 32]) -> Option<Secret> {
    let mut full = [0; 97];
    let public = match curve {
        Curve::P256 => {
            // Either y gives the same shared x-coordinate.
            let mut point = [2; 33];
            point[1..].copy_from_slice(public);
            AwsLc.decompress(KeyAlgorithm::P256, &point, &mut full)?
        }
        Curve::X25519 => &public[..],
    };
    agreement::agree(private, UnparsedPublicKey::new(algorithm(curve), public), (), |shared| {
        shared.try_into().map(Secret::from_bytes).map_err(|_| ())
    })
    .ok()
}

impl OwnKey for SigningKey {
    type Error = Error;

    fn sign(&self, message: &dyn Message) -> Result<[u8; 64], Error> {
        self.sign_cose(message).try_into().map_err(|_| Error::Key("its signatures are not of 64 bytes, as EDHOC's are"))
    }

    /// With the key of the signatures: an EDHOC credential of method 1 to 3 is the same certificate.
    fn agree(&self, public: &[u8; 32]) -> Result<Secret, Error> {
        let own = self.agreement().ok_or(Error::Key("only a P-256 key agrees on secrets"))?;
        agree(own, Curve::P256, public).ok_or(Error::Key("the peer's key is no point of P-256"))
    }
}

/// A key of signatures as a key of agreement.
pub(super) fn key_of(pair: &EcdsaKeyPair) -> Result<PrivateKey, Error> {
    let scalar: EcPrivateKeyBin<'_> =
        pair.private_key().as_be_bytes().map_err(|_| Error::Key("its scalar cannot be read"))?;
    PrivateKey::from_private_key(&ECDH_P256, scalar.as_ref()).map_err(|_| Error::Key("it is no key for agreement"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::random;
    use data_encoding::HEXLOWER;

    fn bytes(text: &str) -> [u8; 32] {
        HEXLOWER.decode(text.as_bytes()).expect("hexadecimal").try_into().expect("32 bytes")
    }

    fn secret(curve: Curve) -> Secret {
        loop {
            let secret = Secret::from_bytes(random());
            if AwsLc.public_key(curve, &secret).is_some() {
                return secret;
            }
        }
    }

    /// Shows REQ-NODE-63.
    #[test]
    fn both_sides_agree_also_with_a_signing_key() {
        for curve in [Curve::P256, Curve::X25519] {
            let (ours, theirs) = (secret(curve), secret(curve));
            let public = |secret| AwsLc.public_key(curve, secret).expect("a key");
            let shared = AwsLc.agree(curve, &ours, &public(&theirs)).expect("a point");
            assert_eq!(AwsLc.agree(curve, &theirs, &public(&ours)).expect("a point").expose(), shared.expose());
            let other = AwsLc.agree(curve, &secret(curve), &public(&ours)).expect("a point");
            assert_ne!(other.expose(), shared.expose());
        }
        let (key, other) = (SigningKey::generate(), secret(Curve::P256));
        let x = key.public_key().bits[1..33].try_into().expect("an x-coordinate");
        let shared = OwnKey::agree(&key, &AwsLc.public_key(Curve::P256, &other).expect("a key")).expect("agreed");
        assert_eq!(AwsLc.agree(Curve::P256, &other, x).expect("a point").expose(), shared.expose());
    }

    #[test]
    fn no_keys_and_no_points_are_refused() {
        // The order of P-256 (SEC 2 section 2.4.2), and zero.
        let order = bytes("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        for scalar in [order, [0; 32], [0xff; 32]] {
            assert!(AwsLc.public_key(Curve::P256, &Secret::from_bytes(scalar)).is_none());
        }
        // Beyond the field's prime, and an x-coordinate without a point.
        let none = bytes("0000000000000000000000000000000000000000000000000000000000000001");
        for public in [[0xff; 32], none] {
            assert!(AwsLc.agree(Curve::P256, &secret(Curve::P256), &public).is_none());
            assert!(OwnKey::agree(&SigningKey::generate(), &public).is_err());
        }
        // Points of small order give zero (RFC 7748 section 6.1).
        let mut one = [0; 32];
        one[0] = 1;
        for public in [[0; 32], one] {
            assert!(AwsLc.agree(Curve::X25519, &secret(Curve::X25519), &public).is_none());
        }
    }

    /// RFC 4231 section 4.3.
    #[test]
    fn hmac_is_that_of_the_whole_message() {
        let known = bytes("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
        assert_eq!(*AwsLc.hmac_sha256(b"Jefe", &[b"what do ya want ", b"", b"for nothing?"]).expose(), known);
    }
}
