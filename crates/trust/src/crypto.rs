//! What this crate asks of cryptography: one hash and signature checks, given by the caller.

/// The caller's cryptography.
///
/// Messages come in *parts* that are to be read as if they stood one behind the other: a signed structure that was
/// never contiguous in memory (a COSE `Sig_structure`, a certificate rebuilt from its compact form) needs no buffer.
pub trait Crypto {
    /// Checks `signature` over the concatenation of `message` with `key`.
    ///
    /// # Errors
    /// [`VerifyError::Unsupported`] when algorithm and key are not a pair this provider can check,
    /// [`VerifyError::Invalid`] when the signature is wrong.
    fn verify(
        &self,
        algorithm: SignatureAlgorithm,
        key: PublicKey<'_>,
        message: &[&[u8]],
        signature: Signature<'_>,
    ) -> Result<(), VerifyError>;

    /// SHA-256 of the concatenation of `message`.
    fn sha256(&self, message: &[&[u8]]) -> [u8; 32];
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
}

/// A public key: the content of X.509's `subjectPublicKey`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey<'a> {
    /// The kind of key.
    pub algorithm: KeyAlgorithm,
    /// An uncompressed or compressed point (SEC 1), 32 bytes of Ed25519, or a DER `RSAPublicKey`.
    pub bits: &'a [u8],
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
