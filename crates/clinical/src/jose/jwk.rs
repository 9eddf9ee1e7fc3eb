//! Public keys (RFC 7517): one, and a set of them.

use super::Algorithm;
use crate::json::{Document, Limits, Node, Sort};
use data_encoding::BASE64URL_NOPAD;
use medlock_node::provider;
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use medlock_trust::der::{Reader, tag};
use medlock_trust::x509::SubjectPublicKeyInfo;

/// The most bytes of a key or a set.
const MOST_BYTES: usize = 64 << 10;
/// The most keys of a set.
const MOST_KEYS: usize = 20;
/// The most characters of a key's name.
const MOST_NAME: usize = 256;
/// The bits an RSA modulus may have.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const LIMITS: Limits = Limits { bytes: MOST_BYTES, depth: 6, nodes: 2_000, members: 64, number: 40 };

/// Why a key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// It is no JSON, or too much of it.
    #[error("the key is no JSON that is read here: {0}")]
    Json(#[from] crate::json::Error),
    /// It is of no kind that signs here.
    #[error("the key is of a kind that is not used here: take EC on P-256 or P-384, OKP Ed25519, or RSA")]
    Kind,
    /// A member is missing, or no such value.
    #[error("the key's member {0:?} is missing or no such value")]
    Member(&'static str),
    /// It has a private or a secret part, which is known by now to all who fetched it.
    #[error("the key has its private part with it ({0:?}): make another one, and publish its public part alone")]
    Private(String),
    /// It is for something else.
    #[error("the key is not for signatures, or for another algorithm")]
    Use,
    /// An RSA key too small or too large.
    #[error("the RSA key has {0} bits; take 2048 to 8192")]
    Bits(usize),
    /// More keys than a set may have.
    #[error("the set has more than {MOST_KEYS} keys")]
    TooMany,
    /// Two keys that may stand for one another have the same name.
    #[error("two keys of the set have the name {0:?}")]
    Twice(String),
}

/// A public key that checks signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    name: Option<String>,
    /// What its `alg` says, if it says it.
    algorithm: Option<Algorithm>,
    kind: KeyAlgorithm,
    bits: Vec<u8>,
    /// The members that name it (RFC 7638 section 3.2).
    members: String,
    /// RFC 7638.
    thumbprint: [u8; 32],
}

impl Key {
    /// Reads a key.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn from_json(text: &[u8]) -> Result<Self, Unusable> {
        Self::read(Document::read(text, &LIMITS)?.root())
    }

    /// Reads a key that is a part of a document.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn read(node: Node<'_, '_>) -> Result<Self, Unusable> {
        // RFC 7518 sections 6.2.2, 6.3.2 and 6.4.1.
        let private = |(name, _): &(std::borrow::Cow<'_, str>, _)| {
            matches!(name.as_ref(), "d" | "p" | "q" | "dp" | "dq" | "qi" | "oth" | "k")
        };
        if let Some((name, _)) = node.members().find(private) {
            return Err(Unusable::Private(name.into_owned()));
        }
        let text = |name| node.member(name).and_then(Node::text);
        let algorithm = match node.member("alg") {
            None => None,
            Some(named) => Some(named.text().and_then(|name| Algorithm::named(&name)).ok_or(Unusable::Use)?),
        };
        let signs = |node: Node<'_, '_>| node.items().any(|item| item.text().is_some_and(|text| text == "verify"));
        if text("use").is_some_and(|used| used != "sig") || node.member("key_ops").is_some_and(|node| !signs(node)) {
            return Err(Unusable::Use);
        }
        let (kind, bits, thumbprint) = match (text("kty").as_deref(), text("crv").as_deref()) {
            (Some("EC"), Some("P-256")) => point(node, KeyAlgorithm::P256, "P-256", 32)?,
            (Some("EC"), Some("P-384")) => point(node, KeyAlgorithm::P384, "P-384", 48)?,
            (Some("OKP"), Some("Ed25519")) => edwards(node)?,
            (Some("RSA"), _) => rsa(node)?,
            _ => return Err(Unusable::Kind),
        };
        if algorithm.is_some_and(|algorithm| algorithm.key() != kind) {
            return Err(Unusable::Use);
        }
        let name = match node.member("kid") {
            None => None,
            Some(name) => {
                let name = name.text().filter(|name| name.len() <= MOST_NAME).ok_or(Unusable::Member("kid"))?;
                Some(name.into_owned())
            }
        };
        Ok(Self { name, algorithm, ..Self::of((kind, bits, thumbprint)) })
    }

    /// The key in a `SubjectPublicKeyInfo` (DER), if it is of a kind that signs here.
    #[must_use]
    pub fn from_spki(spki: &[u8]) -> Option<Self> {
        let read = SubjectPublicKeyInfo::from_der(spki).ok()?;
        let public = read.public_key()?;
        let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
        let members = match (public.algorithm, public.bits) {
            (KeyAlgorithm::P256, [4, point @ ..]) if point.len() == 64 => {
                let (x, y) = point.split_at_checked(32)?;
                of_point("P-256", x, y)
            }
            (KeyAlgorithm::P384, [4, point @ ..]) if point.len() == 96 => {
                let (x, y) = point.split_at_checked(48)?;
                of_point("P-384", x, y)
            }
            (KeyAlgorithm::Rsa, bits) => {
                let mut reader = Reader::new(bits);
                let mut inside = reader.nested(tag::SEQUENCE).ok()?;
                let (modulus, exponent) = (inside.integer().ok()?, inside.integer().ok()?);
                // What keeps a number of DER positive is no part of it here (RFC 7518 section 6.3.1.1).
                let [modulus, exponent] = [modulus, exponent].map(|number| number.strip_prefix(&[0]).unwrap_or(number));
                format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encoded(exponent), encoded(modulus))
            }
            _ => return None,
        };
        Some(Self::of((public.algorithm, public.bits.to_vec(), members)))
    }

    fn of((kind, bits, members): Parts) -> Self {
        let thumbprint = provider::sha256(members.as_bytes());
        Self { name: None, algorithm: None, kind, bits, members, thumbprint }
    }

    /// It as JSON, with nothing but what names it (RFC 7638 section 3.2).
    #[must_use]
    pub fn to_json(&self) -> &str {
        &self.members
    }

    /// Its name (`kid`).
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Its thumbprint by SHA-256 (RFC 7638): what `jkt` and `cnf` name.
    #[must_use]
    pub const fn thumbprint(&self) -> &[u8; 32] {
        &self.thumbprint
    }

    /// Whether it checks signatures of this algorithm.
    #[must_use]
    pub fn takes(&self, algorithm: Algorithm) -> bool {
        algorithm.key() == self.kind && self.algorithm.is_none_or(|own| own == algorithm)
    }

    pub(super) fn public(&self) -> PublicKey<'_> {
        PublicKey { algorithm: self.kind, bits: &self.bits }
    }
}

/// Kind, bits, and what its thumbprint is made of: the members that RFC 7638 section 3.2 names, in their order.
type Parts = (KeyAlgorithm, Vec<u8>, String);

fn binary(node: Node<'_, '_>, name: &'static str) -> Result<Vec<u8>, Unusable> {
    let text = node.member(name).and_then(Node::text).ok_or(Unusable::Member(name))?;
    BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Unusable::Member(name))
}

/// RFC 7518 section 6.2.1.2: a coordinate has as many octets as the curve's field.
fn point(node: Node<'_, '_>, kind: KeyAlgorithm, curve: &str, length: usize) -> Result<Parts, Unusable> {
    let coordinate = |name| binary(node, name).and_then(|bytes| sized(bytes, length, name));
    let (x, y) = (coordinate("x")?, coordinate("y")?);
    Ok((kind, [&[4], x.as_slice(), &y].concat(), of_point(curve, &x, &y)))
}

fn of_point(curve: &str, x: &[u8], y: &[u8]) -> String {
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    format!(r#"{{"crv":"{curve}","kty":"EC","x":"{}","y":"{}"}}"#, encoded(x), encoded(y))
}

fn sized(bytes: Vec<u8>, length: usize, name: &'static str) -> Result<Vec<u8>, Unusable> {
    if bytes.len() == length { Ok(bytes) } else { Err(Unusable::Member(name)) }
}

/// RFC 8037 section 2.
fn edwards(node: Node<'_, '_>) -> Result<Parts, Unusable> {
    let x = binary(node, "x").and_then(|bytes| sized(bytes, 32, "x"))?;
    let thumbprint = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, BASE64URL_NOPAD.encode(&x));
    Ok((KeyAlgorithm::Ed25519, x, thumbprint))
}

/// RFC 7518 section 6.3.1: no octets of nothing before a number.
fn rsa(node: Node<'_, '_>) -> Result<Parts, Unusable> {
    let number = |name| {
        let bytes = binary(node, name)?;
        if bytes.first().is_none_or(|first| *first == 0) { Err(Unusable::Member(name)) } else { Ok(bytes) }
    };
    let (modulus, exponent) = (number("n")?, number("e")?);
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(Unusable::Bits(bits));
    }
    if exponent.len() > 4 || exponent.last().is_none_or(|last| last % 2 == 0) || exponent == [1] {
        return Err(Unusable::Member("e"));
    }
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    let thumbprint = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, encoded(&exponent), encoded(&modulus));
    Ok((KeyAlgorithm::Rsa, rsa_public_key(&modulus, &exponent), thumbprint))
}

/// `RSAPublicKey` (RFC 8017 appendix A.1.1) of two numbers without leading octets of nothing.
pub(crate) fn rsa_public_key(modulus: &[u8], exponent: &[u8]) -> Vec<u8> {
    tagged(0x30, &[integer(modulus), integer(exponent)].concat())
}

fn integer(number: &[u8]) -> Vec<u8> {
    let positive = number.first().is_some_and(|first| *first >= 0x80);
    tagged(0x02, &[if positive { &[0][..] } else { &[] }, number].concat())
}

/// A value of DER, of at most 65,535 bytes: those here have at most some thousand.
fn tagged(tag: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(body.len()).unwrap_or(u16::MAX).to_be_bytes();
    let head: &[u8] = match length {
        [0, short @ 0..0x80] => &[tag, short],
        [0, long] => &[tag, 0x81, long],
        [high, low] => &[tag, 0x82, high, low],
    };
    [head, body].concat()
}

/// Public keys of one party (RFC 7517 section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<Key>,
}

impl KeySet {
    /// Reads a set. Keys of kinds that are not used here, and those for something else than signatures, are passed over, as
    /// the standard asks; a private key among them spoils the set.
    ///
    /// # Errors
    /// [`Unusable`].
    pub fn from_json(text: &[u8]) -> Result<Self, Unusable> {
        let document = Document::read(text, &LIMITS)?;
        let listed = document.root().member("keys").filter(|node| node.sort() == Sort::Array);
        let mut keys: Vec<Key> = Vec::new();
        for (place, node) in listed.ok_or(Unusable::Member("keys"))?.items().enumerate() {
            if place >= MOST_KEYS {
                return Err(Unusable::TooMany);
            }
            let key = match Key::read(node) {
                Ok(key) => key,
                Err(Unusable::Kind | Unusable::Use) => continue,
                Err(other) => return Err(other),
            };
            if let Some(name) = &key.name
                && keys.iter().any(|other| other.kind == key.kind && other.name.as_ref() == Some(name))
            {
                return Err(Unusable::Twice(name.clone()));
            }
            keys.push(key);
        }
        Ok(Self { keys })
    }

    /// The key that a token names; of a set with one key for the algorithm, that one, where the token names none.
    #[must_use]
    pub fn find(&self, name: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.takes(algorithm) && name.is_none_or(|name| key.name.as_deref() == Some(name)));
        let first = fitting.next()?;
        fitting.next().is_none().then_some(first)
    }

    /// Whether it has no key that is used here.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}
