//! A token in its compact form (RFC 7515 section 7.1): read, then believed by a key, and only then opened.

use super::{Algorithm, Claims, Key};
use crate::json::{self, Document, Limits, Node, Sort};
use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider::AwsLc;
use medlock_trust::crypto::{Crypto as _, Signature};

/// The most characters of a token: chains of certificates may be in its header.
const MOST: usize = 32 << 10;
/// The most certificates in a header.
const MOST_CERTIFICATES: usize = 6;
const LIMITS: Limits = Limits { bytes: MOST, depth: 8, nodes: 2_000, members: 64, number: 40 };

/// Why a token is not believed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is longer than any that is read.
    #[error("the token is longer than {MOST} characters")]
    TooLong,
    /// It is not three parts in base64url without padding.
    #[error("the token is not three parts in base64url without padding")]
    Form,
    /// Its header or its claims are no JSON that is read here.
    #[error("the token's {0} cannot be read: {1}")]
    Json(&'static str, json::Error),
    /// A member of the header is no such value.
    #[error("the token's header has a {0:?} that is no such value")]
    Header(&'static str),
    /// It is signed by no algorithm that is taken.
    #[error("the token's algorithm is not taken here")]
    Algorithm,
    /// It asks for an extension to be understood.
    #[error("the token's header has extensions that are not understood here (crit)")]
    Critical,
    /// Its key has another algorithm.
    #[error("the token's algorithm is not that of the key")]
    OtherAlgorithm,
    /// The signature is not the key's.
    #[error("the token's signature is not that of the key")]
    Forged,
    /// A claim is missing, or no such value.
    #[error("the token's claims: {0}")]
    Claims(#[from] super::Wrong),
}

/// What a header says (RFC 7515 section 4.1). None of it is believed but the choice of the algorithm, which the key confirms.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How it is signed.
    pub algorithm: Algorithm,
    /// What it is.
    pub typ: Option<String>,
    /// The key's name.
    pub key_id: Option<String>,
    /// Where the keys are.
    pub key_set_url: Option<String>,
    /// The key itself: who sends it proves to have it, and no more.
    pub key: Option<Key>,
    /// A chain of certificates (DER), its own first.
    pub certificates: Vec<Vec<u8>>,
}

impl Header {
    fn read(bytes: &[u8]) -> Result<Self, Refused> {
        let document = Document::read(bytes, &LIMITS).map_err(|error| Refused::Json("header", error))?;
        let root = document.root();
        if root.sort() != Sort::Object {
            return Err(Refused::Header("alg"));
        }
        let text = |name: &'static str| match root.member(name) {
            None => Ok(None),
            Some(node) => node.text().map(|text| Some(text.into_owned())).ok_or(Refused::Header(name)),
        };
        let algorithm = text("alg")?.ok_or(Refused::Header("alg"))?;
        let algorithm = Algorithm::named(&algorithm).ok_or(Refused::Algorithm)?;
        if root.member("crit").is_some() {
            return Err(Refused::Critical);
        }
        let key = match root.member("jwk") {
            None => None,
            Some(node) => Some(Key::read(node).map_err(|_| Refused::Header("jwk"))?),
        };
        Ok(Self {
            algorithm,
            typ: text("typ")?,
            key_id: text("kid")?,
            key_set_url: text("jku")?,
            key,
            certificates: root.member("x5c").map_or(Ok(Vec::new()), chain)?,
        })
    }
}

/// Certificates are in base64 with padding, unlike all else (RFC 7515 section 4.1.6).
fn chain(node: Node<'_, '_>) -> Result<Vec<Vec<u8>>, Refused> {
    let read = |item: Node<'_, '_>| item.text().and_then(|text| data_encoding::BASE64.decode(text.as_bytes()).ok());
    let certificates: Option<Vec<_>> = node.items().map(read).collect();
    let fits = |chain: &Vec<Vec<u8>>| (1..=MOST_CERTIFICATES).contains(&chain.len());
    certificates.filter(fits).ok_or(Refused::Header("x5c"))
}

/// A token that was read. What it claims is seen when a key has confirmed it.
#[derive(Clone, Debug)]
pub struct Compact<'a> {
    header: Header,
    signed: &'a str,
    payload: Vec<u8>,
    signature: Vec<u8>,
}

impl<'a> Compact<'a> {
    /// Reads a token.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn read(token: &'a str) -> Result<Self, Refused> {
        if token.len() > MOST {
            return Err(Refused::TooLong);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Refused::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(Refused::Form)?;
        let decode = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_| Refused::Form);
        let header = Header::read(&decode(header)?)?;
        Ok(Self { header, signed, payload: decode(payload)?, signature: decode(signature)? })
    }

    /// What its header says.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// Who it says it is from, to find the key by. Nothing else may come of it.
    #[must_use]
    pub fn danger_issuer(&self) -> Option<String> {
        let document = Document::read(&self.payload, &LIMITS).ok()?;
        document.root().member("iss").and_then(Node::text).map(std::borrow::Cow::into_owned)
    }

    /// What it claims, if the key has signed it.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(self, key: &Key) -> Result<Claims, Refused> {
        if !key.takes(self.header.algorithm) {
            return Err(Refused::OtherAlgorithm);
        }
        let (algorithm, signature) = (self.header.algorithm.signature(), Signature::Cose(&self.signature));
        let verified = AwsLc.verify(algorithm, key.public(), &[self.signed.as_bytes()], signature);
        verified.map_err(|_| Refused::Forged)?;
        Claims::read(self.payload)
    }
}

impl Claims {
    fn read(payload: Vec<u8>) -> Result<Self, Refused> {
        {
            let document = Document::read(&payload, &LIMITS).map_err(|error| Refused::Json("claims", error))?;
            if document.root().sort() != Sort::Object {
                return Err(super::Wrong::Claim("iss").into());
            }
        }
        Ok(Self::of(payload, LIMITS))
    }
}

/// What is signed: header and claims, each a JSON text.
#[must_use]
pub fn signing_input(header: &[u8], claims: &[u8]) -> String {
    format!("{}.{}", BASE64URL_NOPAD.encode(header), BASE64URL_NOPAD.encode(claims))
}
