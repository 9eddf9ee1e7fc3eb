//! Signed objects: COSE_Sign1 and COSE_Sign (RFC 9052) in one strict form each.
//!
//! Always tagged (18 and 98), deterministic, payload inside, unprotected headers empty. The content type separates the
//! domains, so that no object can be taken for one of another kind: it stands in the protected header, or, where every
//! byte counts, in the external data that is signed but not sent ([`Place`]).
//! The `Sig_structure` is never put together: it goes to [`Crypto::verify`] in parts.

use crate::cbor::{self, ErrorKind, Fields, Head, Writer};
use crate::crypto::{Crypto, KeyAlgorithm, Message, PublicKey, Signature, SignatureAlgorithm, VerifyError};
use crate::id::KeyId;
use crate::x509::X509;
use core::fmt;
use minicbor::encode::Write;

/// The most signatures one object has: two full sets of list members ([`crate::list::MAX_MEMBERS`]), old and new.
pub const MAX_SIGNATURES: usize = 32;

/// The longest content type accepted (RFC 6838 section 4.2 allows 127 + 1 + 127; ours have at most 32).
const MAX_CONTENT_TYPE: usize = 64;

const TAG_SIGN1: u64 = 18;
const TAG_SIGN: u64 = 98;
const HEADER_ALGORITHM: u64 = 1;
const HEADER_CONTENT_TYPE: u64 = 3;
const HEADER_KEY: u64 = 4;

/// What kind of object a signature covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ContentType(&'static str);

impl ContentType {
    /// A trust list or a site list ([`crate::list`]).
    pub const LIST: Self = Self("application/medlock-list+cbor");
    /// An emergency suspension of authorities ([`crate::list::Suspension`]).
    pub const SUSPENSION: Self = Self("application/medlock-suspension+cbor");
    /// A status list ([`crate::status::StatusList`]).
    pub const STATUS: Self = Self("application/medlock-status+cbor");
    /// A status ticket ([`crate::status::Ticket`]).
    pub const TICKET: Self = Self("application/medlock-ticket+cbor");
    /// A compact set of how all credentials stand ([`crate::status::RevokedSet`]).
    pub const REVOKED_SET: Self = Self("application/medlock-revoked-set+cbor");
    /// A continuity policy ([`crate::policy`]).
    pub const POLICY: Self = Self("application/medlock-policy+cbor");
    /// A routing table of a site's guards.
    pub const ROUTES: Self = Self("application/medlock-routes+cbor");
    /// A bond signed by a site ([`crate::bond::SignedBond`]).
    pub const BOND: Self = Self("application/medlock-bond+cbor");
    /// An owner's word that a device is the next owner's ([`crate::voucher::Transfer`]).
    pub const TRANSFER: Self = Self("application/medlock-transfer+cbor");

    /// What an authority asks its root to sign.
    pub const ROOT_REQUEST: Self = Self("application/medlock-root-request+cbor");

    /// The content type as text.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Where an object carries its content type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In the protected header: the object says what it is.
    Header(ContentType),
    /// In the external data (RFC 9052 section 4.3): signed, known to both sides, not sent.
    External(ContentType),
}

impl Place {
    fn header(self) -> Option<&'static str> {
        match self {
            Self::Header(content_type) => Some(content_type.as_str()),
            Self::External(_) => None,
        }
    }

    fn external(self) -> &'static [u8] {
        match self {
            Self::Header(_) => &[],
            Self::External(content_type) => content_type.as_str().as_bytes(),
        }
    }
}

/// How an object is signed (RFC 9053 section 2, RFC 9864). The curve belongs to the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// ES256, -7: ECDSA with SHA-256 and a P-256 key.
    Es256,
    /// ES384, -35: ECDSA with SHA-384 and a P-384 key.
    Es384,
    /// EdDSA, -8, with an Ed25519 key; older signers write this.
    EdDsa,
    /// Ed25519, -19.
    Ed25519,
    /// ML-DSA-44, -48 (RFC 9964). Not known without feature `x509`: chips have no use for signatures of this length.
    MlDsa44,
    /// ML-DSA-65, -49 (RFC 9964). Not known without feature `x509`.
    MlDsa65,
}

impl Algorithm {
    const ALL: &'static [Self] = if X509 {
        &[Self::Es256, Self::Es384, Self::EdDsa, Self::Ed25519, Self::MlDsa44, Self::MlDsa65]
    } else {
        &[Self::Es256, Self::Es384, Self::EdDsa, Self::Ed25519]
    };

    /// Its number in the registry "COSE Algorithms".
    #[must_use]
    pub const fn number(self) -> i64 {
        match self {
            Self::Es256 => -7,
            Self::Es384 => -35,
            Self::EdDsa => -8,
            Self::Ed25519 => -19,
            Self::MlDsa44 => -48,
            Self::MlDsa65 => -49,
        }
    }

    /// The algorithm with this number, if it is one that may sign Medlock's objects.
    #[must_use]
    pub fn from_number(number: i64) -> Option<Self> {
        Self::ALL.iter().copied().find(|algorithm| algorithm.number() == number)
    }

    /// The length of its signatures in bytes.
    #[must_use]
    pub const fn signature_length(self) -> usize {
        match self {
            Self::Es256 | Self::EdDsa | Self::Ed25519 => 64,
            Self::Es384 => 96,
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
        }
    }

    const fn key(self) -> KeyAlgorithm {
        match self {
            Self::Es256 => KeyAlgorithm::P256,
            Self::Es384 => KeyAlgorithm::P384,
            Self::EdDsa | Self::Ed25519 => KeyAlgorithm::Ed25519,
            Self::MlDsa44 => KeyAlgorithm::MlDsa44,
            Self::MlDsa65 => KeyAlgorithm::MlDsa65,
        }
    }

    const fn signature(self) -> SignatureAlgorithm {
        match self {
            Self::Es256 => SignatureAlgorithm::EcdsaSha256,
            Self::Es384 => SignatureAlgorithm::EcdsaSha384,
            Self::EdDsa | Self::Ed25519 => SignatureAlgorithm::Ed25519,
            Self::MlDsa44 => SignatureAlgorithm::MlDsa44,
            Self::MlDsa65 => SignatureAlgorithm::MlDsa65,
        }
    }
}

/// Why bytes are not a signed object that is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// They are not CBOR of the form expected.
    Cbor(cbor::Error),
    /// The signature algorithm with this number is not accepted.
    Algorithm(i64),
    /// The object is of another kind than expected.
    ContentType,
    /// A signature has not the length of its algorithm, or there are none or too many.
    Signatures,
    /// The key is not one this algorithm signs with, or the provider does not know it.
    Unsupported,
    /// The signature is wrong.
    Invalid,
}

impl From<cbor::Error> for Error {
    fn from(error: cbor::Error) -> Self {
        Self::Cbor(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cbor(error) => error.fmt(f),
            Self::Algorithm(number) => {
                write!(f, "COSE algorithm {number} is not accepted; use ES256, ES384, Ed25519 or ML-DSA")
            }
            Self::ContentType => f.write_str("the signed object is of another kind than expected here"),
            Self::Signatures => f.write_str("no signature, too many, or one of the wrong length"),
            Self::Unsupported => f.write_str("the key does not fit the signature's algorithm"),
            Self::Invalid => f.write_str("the signature is wrong: changed bytes, or another key"),
        }
    }
}

impl core::error::Error for Error {}

/// The protected header of a signature: algorithm, content type unless it is elsewhere, and the key's identifier.
#[derive(Clone, Copy, Debug)]
struct Header<'a> {
    algorithm: Option<i64>,
    content_type: Option<&'a str>,
    key: &'a [u8],
}

impl<'a> Header<'a> {
    /// Reads a header map; keys other than 1, 3 and 4 are refused, as all that is protected is to be understood.
    fn read(protected: &'a [u8]) -> Result<Self, cbor::Error> {
        let mut fields = Fields::new(protected);
        let mut header = Self { algorithm: None, content_type: None, key: &[] };
        let mut last = 0;
        for _ in 0..fields.map(3) {
            let start = fields.position();
            let label = fields.uint();
            fields.ask(label > last, start, ErrorKind::NotAscending);
            match label {
                HEADER_ALGORITHM => header.algorithm = Some(fields.int()),
                HEADER_CONTENT_TYPE => header.content_type = Some(fields.text(MAX_CONTENT_TYPE)),
                HEADER_KEY => header.key = fields.bytes(),
                _ => fields.refuse(start, ErrorKind::OutOfRange),
            }
            last = label;
        }
        fields.finish()?;
        Ok(header)
    }

    fn algorithm(&self) -> Result<Algorithm, Error> {
        let number = self.algorithm.unwrap_or_default();
        Algorithm::from_number(number).ok_or(Error::Algorithm(number))
    }
}

/// An object signed by one key: COSE_Sign1 (RFC 9052 section 4.2). Read, not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct Sign1<'a> {
    protected: &'a [u8],
    header: Header<'a>,
    algorithm: Algorithm,
    payload: &'a [u8],
    signature: &'a [u8],
}

impl<'a> Sign1<'a> {
    /// Reads the object that `bytes` are.
    ///
    /// # Errors
    /// If they are anything else than one object in the form of this module.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(bytes);
        fields.tag(TAG_SIGN1);
        fields.array_of(4);
        let protected = fields.bytes();
        fields.map(0);
        let payload = fields.bytes();
        let signature = fields.bytes();
        fields.finish()?;
        let header = Header::read(protected)?;
        let algorithm = header.algorithm()?;
        if signature.len() != algorithm.signature_length() {
            return Err(Error::Signatures);
        }
        Ok(Self { protected, header, algorithm, payload, signature })
    }

    /// What the object says it is; `None` if it does not say.
    #[must_use]
    pub const fn content_type(&self) -> Option<&'a str> {
        self.header.content_type
    }

    /// How it is signed.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The identifier of the key that is to have signed it, or the first bytes of it.
    #[must_use]
    pub const fn key(&self) -> &'a [u8] {
        self.header.key
    }

    /// What is signed. Not to be believed before [`Sign1::verify`].
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// Returns the payload if the object is of this kind and signed with `key`.
    ///
    /// # Errors
    /// [`Error::ContentType`], [`Error::Unsupported`] or [`Error::Invalid`].
    pub fn verify(&self, place: Place, key: PublicKey<'_>, crypto: &impl Crypto) -> Result<&'a [u8], Error> {
        if self.header.content_type != place.header() {
            return Err(Error::ContentType);
        }
        let message = Sign1Message::new(self.protected, place.external(), self.payload);
        check(self.algorithm, key, &message.parts(), self.signature, crypto)?;
        Ok(self.payload)
    }
}

/// An object signed by several keys: COSE_Sign (RFC 9052 section 4.1). Read, not yet verified.
#[derive(Clone, Copy, Debug)]
pub struct Sign<'a> {
    protected: &'a [u8],
    payload: &'a [u8],
    signatures: &'a [u8],
    count: usize,
}

impl<'a> Sign<'a> {
    /// Reads the object of kind `content_type` that `bytes` are. Its signatures ascend by key: each key signs once.
    ///
    /// # Errors
    /// If they are anything else than one object of that kind in the form of this module.
    pub fn read(bytes: &'a [u8], content_type: ContentType) -> Result<Self, Error> {
        let mut fields = Fields::new(bytes);
        fields.tag(TAG_SIGN);
        fields.array_of(4);
        let protected = fields.bytes();
        fields.map(0);
        let payload = fields.bytes();
        let count = fields.array(MAX_SIGNATURES as u64);
        let start = fields.position();
        let mut last = None;
        for _ in 0..count {
            let at = fields.position();
            let key = Some(Signer::read(&mut fields)?.key);
            fields.ask(last < key, at, ErrorKind::NotAscending);
            last = key;
        }
        let signatures = fields.read_since(start);
        fields.finish()?;
        let header = Header::read(protected)?;
        if header.content_type != Some(content_type.as_str()) || header.algorithm.is_some() || !header.key.is_empty() {
            return Err(Error::ContentType);
        }
        if count == 0 {
            return Err(Error::Signatures);
        }
        Ok(Self { protected, payload, signatures, count: usize::try_from(count).unwrap_or(0) })
    }

    /// What is signed. Not to be believed before enough signatures were checked.
    #[must_use]
    pub const fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// The signatures, ascending by key.
    pub fn signers(&self) -> impl Iterator<Item = Signer<'a>> + use<'a> {
        let mut fields = Fields::new(self.signatures);
        (0..self.count).map_while(move |_| Signer::read(&mut fields).ok())
    }

    /// Checks one signature.
    ///
    /// # Errors
    /// [`Error::Unsupported`] or [`Error::Invalid`].
    pub fn verify(&self, signer: &Signer<'_>, key: PublicKey<'_>, crypto: &impl Crypto) -> Result<(), Error> {
        let message = SignMessage::new(self.protected, signer.protected, self.payload);
        check(signer.algorithm, key, &message.parts(), signer.signature, crypto)
    }
}

/// One signature of a [`Sign`].
#[derive(Clone, Copy, Debug)]
pub struct Signer<'a> {
    protected: &'a [u8],
    algorithm: Algorithm,
    key: KeyId,
    signature: &'a [u8],
}

impl<'a> Signer<'a> {
    /// The key that is to have signed.
    #[must_use]
    pub const fn key(&self) -> KeyId {
        self.key
    }

    /// How it signed.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The signature.
    #[must_use]
    pub const fn signature(&self) -> &'a [u8] {
        self.signature
    }

    fn read(fields: &mut Fields<'a>) -> Result<Self, Error> {
        fields.array_of(3);
        let position = fields.position();
        let protected = fields.bytes();
        fields.map(0);
        let signature = fields.bytes();
        fields.check()?;
        let header = Header::read(protected)?;
        let algorithm = header.algorithm()?;
        if header.content_type.is_some() {
            return Err(Error::ContentType);
        }
        if signature.len() != algorithm.signature_length() {
            return Err(Error::Signatures);
        }
        let key = header.key.try_into().map_err(|_| cbor::Error { position, kind: ErrorKind::OutOfRange })?;
        Ok(Self { protected, algorithm, key: KeyId::from_bytes(key), signature })
    }
}

fn check(
    algorithm: Algorithm,
    key: PublicKey<'_>,
    message: &dyn Message,
    signature: &[u8],
    crypto: &impl Crypto,
) -> Result<(), Error> {
    if key.algorithm != algorithm.key() {
        return Err(Error::Unsupported);
    }
    crypto.verify(algorithm.signature(), key, message, Signature::Cose(signature)).map_err(|error| match error {
        VerifyError::Unsupported => Error::Unsupported,
        VerifyError::Invalid => Error::Invalid,
    })
}

/// `Sig_structure` of a COSE_Sign1 (RFC 9052 section 4.4): `["Signature1", protected, external, payload]`.
struct Sign1Message<'a> {
    heads: [Head; 3],
    contents: [&'a [u8]; 3],
}

impl<'a> Sign1Message<'a> {
    fn new(protected: &'a [u8], external: &'a [u8], payload: &'a [u8]) -> Self {
        let contents = [protected, external, payload];
        Self { heads: contents.map(Head::bytes), contents }
    }

    fn parts(&self) -> [&[u8]; 7] {
        let [protected, external, payload] = &self.heads;
        let [a, b, c] = self.contents;
        [b"\x84\x6aSignature1", protected.as_bytes(), a, external.as_bytes(), b, payload.as_bytes(), c]
    }
}

/// `Sig_structure` of a COSE_Sign: `["Signature", body protected, signer's protected, h'', payload]`.
struct SignMessage<'a> {
    heads: [Head; 3],
    contents: [&'a [u8]; 3],
}

impl<'a> SignMessage<'a> {
    fn new(body: &'a [u8], signer: &'a [u8], payload: &'a [u8]) -> Self {
        let contents = [body, signer, payload];
        Self { heads: contents.map(Head::bytes), contents }
    }

    fn parts(&self) -> [&[u8]; 8] {
        let [body, signer, payload] = &self.heads;
        let [a, b, c] = self.contents;
        [b"\x85\x69Signature", body.as_bytes(), a, signer.as_bytes(), b, b"\x40", payload.as_bytes(), c]
    }
}

/// Why an object was not signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignError<S, W> {
    /// The signer did not sign.
    Signer(S),
    /// The object could not be written.
    Write(W),
    /// The signer made a signature of this length, which is not that of the algorithm.
    SignatureLength(usize),
    /// No signer, too many, or the same key twice.
    Signers,
}

impl<S: fmt::Display, W: fmt::Display> fmt::Display for SignError<S, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Signer(error) => write!(f, "the key did not sign: {error}"),
            Self::Write(error) => write!(f, "the signed object could not be written: {error}"),
            Self::SignatureLength(length) => {
                write!(f, "the key made a signature of {length} bytes; check its algorithm")
            }
            Self::Signers => write!(f, "give between 1 and {MAX_SIGNATURES} signers, each key once"),
        }
    }
}

impl<S: core::error::Error, W: core::error::Error> core::error::Error for SignError<S, W> {}

/// A buffer for one protected header: at most 1 + 2 + (1 + 2 + 64) + (1 + 1 + 16) bytes.
struct Protected {
    bytes: [u8; 96],
    length: usize,
}

impl Protected {
    fn new(algorithm: Option<Algorithm>, content_type: Option<&str>, key: &[u8]) -> Result<Self, EndOfProtected> {
        let mut bytes = [0; 96];
        let mut rest = bytes.as_mut_slice();
        let mut writer = Writer::new(&mut rest);
        let count = u64::from(algorithm.is_some())
            .saturating_add(u64::from(content_type.is_some()))
            .saturating_add(u64::from(!key.is_empty()));
        writer.map(count)?;
        if let Some(algorithm) = algorithm {
            writer.uint(HEADER_ALGORITHM)?.int(algorithm.number())?;
        }
        if let Some(content_type) = content_type {
            writer.uint(HEADER_CONTENT_TYPE)?.text(content_type)?;
        }
        if !key.is_empty() {
            writer.uint(HEADER_KEY)?.bytes(key)?;
        }
        let left = rest.len();
        Ok(Self { bytes, length: bytes.len().saturating_sub(left) })
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

type EndOfProtected = minicbor::encode::write::EndOfSlice;

/// Writes `payload` as an object signed by one key. `sign` gets the `Sig_structure` in parts and returns the signature
/// as COSE writes it (64 bytes for ES256 and Ed25519). `key` is a [`KeyId`]'s bytes, or as many of them as the kind of
/// object asks.
///
/// # Errors
/// [`SignError`]; `out` may then hold the beginning of an object.
pub fn sign1<W: Write, S: AsRef<[u8]>, E>(
    payload: &[u8],
    place: Place,
    algorithm: Algorithm,
    key: &[u8],
    out: W,
    mut sign: impl FnMut(&[&[u8]]) -> Result<S, E>,
) -> Result<(), SignError<E, W::Error>> {
    let protected = Protected::new(Some(algorithm), place.header(), key).map_err(|_| SignError::Signers)?;
    let message = Sign1Message::new(protected.as_bytes(), place.external(), payload);
    let signature = sign(&message.parts()).map_err(SignError::Signer)?;
    let signature = of_length(signature.as_ref(), algorithm)?;
    let mut writer = Writer::new(out);
    (|| {
        writer.tag(TAG_SIGN1)?.array(4)?.bytes(protected.as_bytes())?.map(0)?;
        writer.bytes(payload)?.bytes(signature).map(drop)
    })()
    .map_err(SignError::Write)
}

/// Writes `payload` as an object signed by several keys. `sign` is called once for each of `signers`, ascending by key,
/// with the key to use and the `Sig_structure` in parts.
///
/// # Errors
/// [`SignError`]; `out` may then hold the beginning of an object.
pub fn sign<W: Write, S: AsRef<[u8]>, E>(
    payload: &[u8],
    content_type: ContentType,
    signers: &[(KeyId, Algorithm)],
    out: W,
    mut sign: impl FnMut(KeyId, &[&[u8]]) -> Result<S, E>,
) -> Result<(), SignError<E, W::Error>> {
    if signers.is_empty() || signers.len() > MAX_SIGNATURES {
        return Err(SignError::Signers);
    }
    let body = Protected::new(None, Some(content_type.as_str()), &[]).map_err(|_| SignError::Signers)?;
    let mut writer = Writer::new(out);
    writer
        .tag(TAG_SIGN)
        .and_then(|writer| writer.array(4)?.bytes(body.as_bytes())?.map(0)?.bytes(payload))
        .and_then(|writer| writer.array(signers.len() as u64))
        .map_err(SignError::Write)?;
    let mut last = None;
    for _ in signers {
        // Selection in order needs no heap; there are at most 32.
        let next = signers.iter().filter(|(key, _)| last.is_none_or(|last| *key > last)).min_by_key(|(key, _)| *key);
        let (key, algorithm) = *next.ok_or(SignError::Signers)?;
        let protected = Protected::new(Some(algorithm), None, key.as_bytes()).map_err(|_| SignError::Signers)?;
        let message = SignMessage::new(body.as_bytes(), protected.as_bytes(), payload);
        let signature = sign(key, &message.parts()).map_err(SignError::Signer)?;
        let signature = of_length(signature.as_ref(), algorithm)?;
        writer
            .array(3)
            .and_then(|writer| writer.bytes(protected.as_bytes())?.map(0)?.bytes(signature))
            .map_err(SignError::Write)?;
        last = Some(key);
    }
    Ok(())
}

fn of_length<E, W>(signature: &[u8], algorithm: Algorithm) -> Result<&[u8], SignError<E, W>> {
    if signature.len() == algorithm.signature_length() {
        Ok(signature)
    } else {
        Err(SignError::SignatureLength(signature.len()))
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
