//! What this crate asks of cryptography, given by the caller: one hash, signature checks, and points in full.

/// A message that need not be in one place: it is read in pieces, as often as needed, and is the same each time.
///
/// A signed structure that was never contiguous in memory (a COSE `Sig_structure`, a certificate rebuilt from its compact
/// form) needs no buffer.
pub trait Message {
    /// Gives the pieces to `to`, in order.
    fn feed(&self, to: &mut dyn FnMut(&[u8]));
}

impl Message for &[&[u8]] {
    fn feed(&self, to: &mut dyn FnMut(&[u8])) {
        self.iter().for_each(|part| to(part));
    }
}

impl<const N: usize> Message for [&[u8]; N] {
    fn feed(&self, to: &mut dyn FnMut(&[u8])) {
        self.iter().for_each(|part| to(part));
    }
}

/// The caller's cryptography.
pub trait Crypto {
    /// Checks `signature` over `message` with `key`.
    ///
    /// # Errors
    /// [`VerifyError::Unsupported`] when algorithm and key are not a pair this provider can check,
    /// [`VerifyError::Invalid`] when the signature is wrong.
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key: PublicKey<'_>,
        message: &dyn Message,
        signature: Signature<'_>,
    ) -> Result<(), VerifyError>;

    /// SHA-256 of `message`.
    fn sha256(&self, message: &dyn Message) -> [u8; 32];

    /// The uncompressed form (SEC 1 section 2.3.4) of a compressed `point` on P-256 or P-384: 65 or 97 bytes at the
    /// beginning of `out`. `None` if it is no point of the curve, or the curve is not supported.
    fn decompress<'o>(&self, curve: KeyAlgorithm, point: &[u8], out: &'o mut [u8; 97]) -> Option<&'o [u8]>;
}

/// How a signature was made. ECDSA names the hash only: the curve is the key's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SignatureAlgorithm {
    /// ECDSA with SHA-256 (RFC 5758 section 3.2; COSE ES256).
    EcdsaSha256,
    /// ECDSA with SHA-384 (RFC 5758 section 3.2; COSE ES384).
    EcdsaSha384,
    /// Ed25519 (RFC 8410; COSE EdDSA).
    Ed25519,
    /// RSASSA-PKCS1-v1_5 with SHA-256 (RFC 4055 section 5).
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384 (RFC 4055 section 5).
    RsaPkcs1Sha384,
    /// RSASSA-PKCS1-v1_5 with SHA-512 (RFC 4055 section 5).
    RsaPkcs1Sha512,
    /// ML-DSA-44 (FIPS 204; RFC 9881; COSE -48, RFC 9964).
    MlDsa44,
    /// ML-DSA-65 (FIPS 204; RFC 9881; COSE -49, RFC 9964).
    MlDsa65,
}

/// What kind of key a public key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyAlgorithm {
    /// An elliptic-curve key on NIST P-256.
    P256,
    /// An elliptic-curve key on NIST P-384.
    P384,
    /// An Ed25519 key.
    Ed25519,
    /// An RSA key.
    Rsa,
    /// An ML-DSA-44 key.
    MlDsa44,
    /// An ML-DSA-65 key.
    MlDsa65,
}

/// A public key: the content of X.509's `subjectPublicKey`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// The kind of key.
    pub algorithm: KeyAlgorithm,
    /// An uncompressed or compressed point (SEC 1), 32 bytes of Ed25519, 1,312 of ML-DSA-44, 1,952 of
    /// ML-DSA-65, or a DER `RSAPublicKey`.
    pub bits: &'a [u8],
}

impl PublicKey<'_> {
    /// Whether it is a compressed point.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        match self.algorithm {
            KeyAlgorithm::P256 | KeyAlgorithm::P384 => matches!(self.bits.first(), Some(2 | 3)),
            KeyAlgorithm::Ed25519 | KeyAlgorithm::Rsa | KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 => false,
        }
    }

    /// Whether both are the same key, whether its point is compressed or not.
    #[must_use]
    pub fn is(&self, other: &PublicKey<'_>) -> bool {
        self.algorithm == other.algorithm
            && (self.bits == other.bits || self.short().is_some_and(|short| Some(short) == other.short()))
    }

    /// A point's x-coordinate and the sign of its y-coordinate.
    fn short(&self) -> Option<(&[u8], bool)> {
        match (self.algorithm, self.bits.split_first()?) {
            (KeyAlgorithm::P256 | KeyAlgorithm::P384, (&sign @ (2 | 3), x)) => Some((x, sign == 3)),
            (KeyAlgorithm::P256 | KeyAlgorithm::P384, (4, both)) => {
                let (x, y) = both.split_at_checked(both.len() / 2)?;
                Some((x, y.last()? & 1 == 1))
            }
            (
                KeyAlgorithm::P256
                | KeyAlgorithm::P384
                | KeyAlgorithm::Ed25519
                | KeyAlgorithm::Rsa
                | KeyAlgorithm::MlDsa44
                | KeyAlgorithm::MlDsa65,
                _,
            ) => None,
        }
    }
}

/// A signature and the form it is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature<'a> {
    /// As X.509 writes it: ECDSA as a DER `SEQUENCE` of two integers, all others as they are.
    X509(&'a [u8]),
    /// As COSE writes it: ECDSA as `r` and `s` of fixed length, all others as they are.
    Cose(&'a [u8]),
}

/// Why a signature was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VerifyError {
    /// The provider cannot check this algorithm with this key.
    Unsupported,
    /// The signature does not belong to this message and key.
    Invalid,
}
