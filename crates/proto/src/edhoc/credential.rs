//! Credentials: how they are named, and how they enter the transcript (RFC 9528 section 3.5).

use super::{Error, items::Items};
use crate::crypto::{Crypto, OwnKey, Secret};
use medlock_trust::Identified;
use medlock_trust::c509::CERTIFICATE_HEAD;
use medlock_trust::cbor::{Head, Writer};
use medlock_trust::crypto::{KeyAlgorithm, Message, PublicKey};
use minicbor::encode::Write;
use subtle::ConstantTimeEq;

/// A credential as it enters the transcript (`CRED_I` and `CRED_R`, RFC 9528 section 3.5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Credential<'a> {
    /// The DER of an X.509 certificate. It enters as a byte string.
    X509(&'a [u8]),
    /// The eleven items of a C509 certificate without the head of their array, as `c5c` carries them.
    C509Items(&'a [u8]),
    /// A CBOR item that enters as it is: a C509 certificate, or a CWT claims set (CCS) with a raw key.
    Item(&'a [u8]),
}

impl<'a> Credential<'a> {
    /// A certificate: X.509 if it begins as DER does, otherwise C509 with the head of its array.
    #[must_use]
    pub const fn certificate(encoding: &'a [u8]) -> Self {
        match encoding {
            [0x30, ..] => Self::X509(encoding),
            _ => Self::Item(encoding),
        }
    }

    /// What stands in front of [`Credential::content`] in the transcript.
    pub(super) fn head(self) -> CredentialHead {
        match self {
            Self::X509(der) => CredentialHead::Bytes(Head::bytes(der)),
            Self::C509Items(_) => CredentialHead::C509,
            Self::Item(_) => CredentialHead::None,
        }
    }

    pub(super) const fn content(self) -> &'a [u8] {
        match self {
            Self::X509(bytes) | Self::C509Items(bytes) | Self::Item(bytes) => bytes,
        }
    }

    /// What its thumbprint is made of: the DER, or the eleven items (C509, section "COSE Header Parameters").
    const fn hashed(self) -> &'a [u8] {
        match self {
            Self::X509(bytes) | Self::C509Items(bytes) => bytes,
            Self::Item([CERTIFICATE_HEAD, items @ ..]) => items,
            Self::Item(bytes) => bytes,
        }
    }

    /// The credential's thumbprint for `x5t` or `c5t`: SHA-256 cut to eight bytes (COSE algorithm -15), as RFC 9528
    /// section 9.3 recommends.
    #[must_use]
    pub fn thumbprint(self, crypto: &impl Crypto) -> [u8; 8] {
        let mut short = [0; 8];
        let hash = crypto.sha256(&[self.hashed()]);
        short.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
        short
    }
}

/// The first bytes of a credential in the transcript.
pub(super) enum CredentialHead {
    Bytes(Head),
    C509,
    None,
}

impl CredentialHead {
    pub(super) fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(head) => head.as_bytes(),
            Self::C509 => &[CERTIFICATE_HEAD],
            Self::None => &[],
        }
    }
}

/// A hash that names a certificate (`COSE_CertHash`, RFC 9360 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CertHash<'a> {
    /// The COSE number of the hash: -15 for SHA-256 cut to 8 bytes, -16 for SHA-256.
    pub algorithm: i64,
    /// The hash.
    pub hash: &'a [u8],
}

const SHA_256_64: i64 = -15;
const SHA_256: i64 = -16;

impl<'a> CertHash<'a> {
    /// A SHA-256 cut to eight bytes, as [`Credential::thumbprint`] makes it.
    #[must_use]
    pub const fn short(hash: &'a [u8; 8]) -> Self {
        Self { algorithm: SHA_256_64, hash }
    }

    /// Whether it is the hash of `credential`. Hashes other than SHA-256 match nothing.
    #[must_use]
    pub fn names(&self, credential: Credential<'_>, crypto: &impl Crypto) -> bool {
        let hash = crypto.sha256(&[credential.hashed()]);
        let length = match self.algorithm {
            SHA_256_64 => 8,
            SHA_256 => 32,
            _ => return false,
        };
        hash.get(..length) == Some(self.hash)
    }

    fn read(items: &mut Items<'a>) -> Result<Self, Error> {
        if items.array(2)? != 2 {
            return Err(Error::Malformed);
        }
        Ok(Self { algorithm: items.int()?, hash: items.bytes()? })
    }

    fn write<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        out.array(2)?.int(self.algorithm)?.bytes(self.hash).map(drop)
    }
}

/// One or more certificates: DER, or the eleven items of a C509 certificate without the head of their array.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Certificates<'a>(Listed<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Listed<'a> {
    Read(&'a [u8]),
    Own { list: &'a [&'a [u8]], strip: usize },
}

/// The most certificates that are read: the deepest path that is validated, and room for a cross certificate.
const MAX_CERTIFICATES: u64 = 8;

impl<'a> Certificates<'a> {
    /// A chain of DER certificates, that of the sender first, for [`CredentialReference::X5chain`].
    #[must_use]
    pub const fn x509(chain: &'a [&'a [u8]]) -> Self {
        Self(Listed::Own { list: chain, strip: 0 })
    }

    /// A chain of C509 certificates, each with the head of its array, for [`CredentialReference::C5c`].
    #[must_use]
    pub const fn c509(chain: &'a [&'a [u8]]) -> Self {
        Self(Listed::Own { list: chain, strip: 1 })
    }

    /// The certificates, in order.
    pub fn iter(self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (own, strip, read): (&[&[u8]], usize, &[u8]) = match self.0 {
            Listed::Own { list, strip } => (list, strip, &[]),
            Listed::Read(encoding) => (&[], 0, encoding),
        };
        let mut items = Items::new(read);
        if items.next_is_array() {
            // The count was checked when the list was read.
            let _ = items.array(MAX_CERTIFICATES);
        }
        let mut own = own.iter();
        core::iter::from_fn(move || match own.next() {
            Some(certificate) => Some(certificate.get(strip..).unwrap_or_default()),
            None if items.is_done() => None,
            None => items.bytes().ok(),
        })
    }

    fn read(items: &mut Items<'a>) -> Result<Self, Error> {
        let start = items.position();
        if items.next_is_array() {
            let count = items.array(MAX_CERTIFICATES)?;
            if count < 2 {
                return Err(Error::Malformed);
            }
            (0..count).try_for_each(|_| items.bytes().map(drop))?;
        } else {
            items.bytes()?;
        }
        Ok(Self(Listed::Read(items.since(start))))
    }

    fn write<W: Write>(self, out: &mut Writer<W>) -> Result<(), W::Error> {
        let count = self.iter().fold(0_u64, |count, _| count.saturating_add(1));
        if count != 1 {
            out.array(count)?;
        }
        self.iter().try_for_each(|certificate| out.bytes(certificate).map(drop))
    }
}

/// How a message names its sender's credential: one COSE header parameter (RFC 9528 section 3.5.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CredentialReference<'a> {
    /// `kid` (4): a name both sides know. It need not be unique.
    Kid(&'a [u8]),
    /// `kcwt` (13): a CBOR web token, by value.
    Cwt(&'a [u8]),
    /// `kccs` (14): a CWT claims set with a raw key, by value.
    Ccs(&'a [u8]),
    /// `c5t` (22): the hash of a C509 certificate.
    C5t(CertHash<'a>),
    /// `c5b` (24): C509 certificates in any order, by value.
    C5b(Certificates<'a>),
    /// `c5c` (25): a chain of C509 certificates by value, that of the sender first.
    C5c(Certificates<'a>),
    /// `x5bag` (32): X.509 certificates in any order, by value.
    X5bag(Certificates<'a>),
    /// `x5chain` (33): a chain of X.509 certificates by value, that of the sender first.
    X5chain(Certificates<'a>),
    /// `x5t` (34): the hash of an X.509 certificate.
    X5t(CertHash<'a>),
    /// Another parameter, such as `x5u` (35) or `c5u` (23), which nothing here follows.
    Other {
        /// The parameter's label.
        label: i64,
        /// The encoding of its value.
        value: &'a [u8],
    },
}

const KID: i64 = 4;
const KCWT: i64 = 13;
const KCCS: i64 = 14;
const C5T: i64 = 22;
const C5B: i64 = 24;
const C5C: i64 = 25;
const X5BAG: i64 = 32;
const X5CHAIN: i64 = 33;
const X5T: i64 = 34;

impl<'a> CredentialReference<'a> {
    const fn label(&self) -> i64 {
        match self {
            Self::Kid(_) => KID,
            Self::Cwt(_) => KCWT,
            Self::Ccs(_) => KCCS,
            Self::C5t(_) => C5T,
            Self::C5b(_) => C5B,
            Self::C5c(_) => C5C,
            Self::X5bag(_) => X5BAG,
            Self::X5chain(_) => X5CHAIN,
            Self::X5t(_) => X5T,
            Self::Other { label, .. } => *label,
        }
    }

    fn read(items: &mut Items<'a>) -> Result<Self, Error> {
        Ok(match items.int()? {
            KID => Self::Kid(items.bytes()?),
            KCWT => Self::Cwt(items.skip()?),
            KCCS if items.next_is_map() => Self::Ccs(items.skip()?),
            KCCS => return Err(Error::Malformed),
            C5T => Self::C5t(CertHash::read(items)?),
            C5B => Self::C5b(Certificates::read(items)?),
            C5C => Self::C5c(Certificates::read(items)?),
            X5BAG => Self::X5bag(Certificates::read(items)?),
            X5CHAIN => Self::X5chain(Certificates::read(items)?),
            X5T => Self::X5t(CertHash::read(items)?),
            label => Self::Other { label, value: items.skip()? },
        })
    }

    /// Writes `ID_CRED_x` as it stands in a plaintext: a map, or the bare `kid` (RFC 9528 section 3.5.3.2).
    pub(super) fn write<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        if let Self::Kid(kid) = self {
            return match kid {
                [byte] if super::items::is_one_byte_integer(*byte) => out.raw(&[*byte]).map(drop),
                _ => out.bytes(kid).map(drop),
            };
        }
        out.map(1)?.int(self.label())?;
        match self {
            Self::Kid(_) => Ok(()),
            Self::Cwt(item) | Self::Ccs(item) | Self::Other { value: item, .. } => out.raw(item).map(drop),
            Self::C5t(hash) | Self::X5t(hash) => hash.write(out),
            Self::C5b(list) | Self::C5c(list) | Self::X5bag(list) | Self::X5chain(list) => list.write(out),
        }
    }
}

/// How a message names its sender's credential (`ID_CRED_I` and `ID_CRED_R`): one parameter, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdCred<'a>(Form<'a>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form<'a> {
    Kid(&'a [u8]),
    Map(&'a [u8]),
}

/// The most parameters that are read. One names a credential; two are what the RFC gives as examples.
const MAX_PARAMETERS: u64 = 4;

impl<'a> IdCred<'a> {
    /// The parameters, in the order they came.
    pub fn iter(self) -> impl Iterator<Item = CredentialReference<'a>> + use<'a> {
        let (mut kid, map): (Option<&[u8]>, &[u8]) = match self.0 {
            Form::Kid(kid) => (Some(kid), &[]),
            Form::Map(map) => (None, map),
        };
        let mut items = Items::new(map);
        if items.next_is_map() {
            // The count was checked when the map was read.
            let _ = items.map(MAX_PARAMETERS);
        }
        core::iter::from_fn(move || match kid.take() {
            Some(kid) => Some(CredentialReference::Kid(kid)),
            None if items.is_done() => None,
            None => CredentialReference::read(&mut items).ok(),
        })
    }

    /// The first parameter that is known here.
    #[must_use]
    pub fn reference(self) -> Option<CredentialReference<'a>> {
        self.iter().find(|reference| !matches!(reference, CredentialReference::Other { .. }))
    }

    /// Reads it as it stands in a plaintext.
    pub(super) fn read(items: &mut Items<'a>) -> Result<Self, Error> {
        if !items.next_is_map() {
            return Ok(Self(Form::Kid(items.identifier()?)));
        }
        let start = items.position();
        let count = items.map(MAX_PARAMETERS)?;
        if count == 0 {
            return Err(Error::Malformed);
        }
        // The labels may come in any order (RFC 9528 section 3.5.3), but each only once.
        let mut seen = [None; MAX_PARAMETERS as usize];
        for slot in seen.iter_mut().take(usize::try_from(count).unwrap_or_default()) {
            let reference = CredentialReference::read(items)?;
            // A `kid` alone is written bare (RFC 9528 section 3.5.3.2).
            if count == 1 && matches!(reference, CredentialReference::Kid(_)) {
                return Err(Error::Malformed);
            }
            *slot = Some(reference.label());
        }
        let labels = || seen.iter().flatten();
        if labels().any(|label| labels().filter(|other| *other == label).count() > 1) {
            return Err(Error::Malformed);
        }
        Ok(Self(Form::Map(items.since(start))))
    }

    /// What stands in front of [`IdCred::content`] in its full form, which is always a map.
    pub(super) fn head(self) -> IdCredHead {
        let mut head = IdCredHead { bytes: [0xa1, 0x04, 0, 0, 0, 0, 0, 0, 0, 0, 0], length: 0 };
        if let Form::Kid(kid) = self.0 {
            let count = Head::bytes(kid);
            let [_, _, rest @ ..] = &mut head.bytes;
            rest.iter_mut().zip(count.as_bytes()).for_each(|(to, from)| *to = *from);
            head.length = count.as_bytes().len().saturating_add(2);
        }
        head
    }

    pub(super) const fn content(self) -> &'a [u8] {
        match self.0 {
            Form::Kid(bytes) | Form::Map(bytes) => bytes,
        }
    }
}

/// The first bytes of a `kid` in its full form: `{4: …}`.
pub(super) struct IdCredHead {
    bytes: [u8; 11],
    length: usize,
}

impl IdCredHead {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// The public key in a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthenticationKey<'a> {
    /// A point on P-256, compressed or not (SEC 1 section 2.3.3). It signs (ES256) or agrees, as the method says.
    P256(&'a [u8]),
    /// An Ed25519 key: it signs.
    Ed25519(&'a [u8; 32]),
    /// An X25519 key: it agrees.
    X25519(&'a [u8; 32]),
}

impl<'a> AuthenticationKey<'a> {
    /// The key of a certificate; `None` if EDHOC's suites have no use for its kind.
    #[must_use]
    pub fn of(key: PublicKey<'a>) -> Option<Self> {
        match key.algorithm {
            KeyAlgorithm::P256 => Some(Self::P256(key.bits)),
            KeyAlgorithm::Ed25519 => key.bits.try_into().ok().map(Self::Ed25519),
            KeyAlgorithm::P384 | KeyAlgorithm::Rsa | KeyAlgorithm::MlDsa44 | KeyAlgorithm::MlDsa65 => None,
        }
    }
}

/// What the caller found out about the peer between reading a message and verifying it.
#[derive(Debug)]
pub struct PeerCredential<'a> {
    /// The credential the peer named.
    pub credential: Credential<'a>,
    /// The key in it.
    pub key: AuthenticationKey<'a>,
    /// Who the peer is, if it holds that key: [`authenticate`](fn@medlock_trust::authenticate) says so of a chain.
    pub identified: Identified,
}

/// One's own credential and key.
#[derive(Clone, Copy)]
pub struct OwnCredential<'a> {
    pub(super) credential: Credential<'a>,
    pub(super) reference: CredentialReference<'a>,
    pub(super) key: &'a dyn UsableKey,
}

impl<'a> OwnCredential<'a> {
    /// A credential, how messages name it, and its private key.
    #[must_use]
    pub const fn new(
        credential: Credential<'a>,
        reference: CredentialReference<'a>,
        key: &'a (impl OwnKey + 'a),
    ) -> Self {
        Self { credential, reference, key }
    }
}

impl core::fmt::Debug for OwnCredential<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("OwnCredential")
    }
}

/// An [`OwnKey`] whose kind of error does not matter: the handshake is compiled once, not once a key store.
pub(super) trait UsableKey {
    fn sign(&self, message: &dyn Message) -> Option<[u8; 64]>;
    fn agree(&self, public: &[u8; 32]) -> Option<Secret>;
}

impl<K: OwnKey> UsableKey for K {
    fn sign(&self, message: &dyn Message) -> Option<[u8; 64]> {
        OwnKey::sign(self, message).ok()
    }

    fn agree(&self, public: &[u8; 32]) -> Option<Secret> {
        OwnKey::agree(self, public).ok()
    }
}

/// A CWT claims set with a raw key (CCS, RFC 9528 section 3.5.2): `{2: subject, 8: {1: COSE_Key}}`.
///
/// It proves nothing about its holder but the possession of the key: who that is the caller must know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ccs<'a> {
    encoding: &'a [u8],
    subject: Option<&'a str>,
    kid: Option<&'a [u8]>,
    curve: i64,
    x: &'a [u8; 32],
    y: Option<&'a [u8; 32]>,
}

/// The most entries a CCS or a key in it has.
const MAX_CLAIMS: u64 = 16;

impl<'a> Ccs<'a> {
    /// Reads a CCS. Claims other than `sub` (2) and `cnf` (8) are left to the caller.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it is not deterministic CBOR of this shape, has no key, or one not of 32-byte coordinates.
    pub fn read(encoding: &'a [u8]) -> Result<Self, Error> {
        // Order, nesting and determinism of the whole are checked here; below only meaning is.
        let mut whole = Items::new(encoding);
        whole.skip()?;
        whole.finish()?;
        let mut items = Items::new(encoding);
        let mut key = None;
        let mut subject = None;
        for _ in 0..items.map(MAX_CLAIMS)? {
            match items.int()? {
                2 => subject = Some(items.text(256)?),
                8 => key = Some(cose_key(&mut items)?),
                _ => items.skip().map(drop)?,
            }
        }
        let key = key.ok_or(Error::Malformed)?;
        let x = key.x.ok_or(Error::Malformed)?;
        Ok(Self { encoding, subject, kid: key.kid, curve: key.curve, x, y: key.y })
    }

    /// The credential as it enters the transcript.
    #[must_use]
    pub const fn credential(&self) -> Credential<'a> {
        Credential::Item(self.encoding)
    }

    /// The subject (`sub`).
    #[must_use]
    pub const fn subject(&self) -> Option<&'a str> {
        self.subject
    }

    /// The identifier inside the key (`kid`).
    #[must_use]
    pub const fn kid(&self) -> Option<&'a [u8]> {
        self.kid
    }

    /// The key, written to `point` where it is one of P-256. Without a y-coordinate it is good for agreement only: of
    /// the two points the compressed form names one, which need not be the one that signs.
    #[must_use]
    pub fn key<'p>(&self, point: &'p mut [u8; 65]) -> Option<AuthenticationKey<'p>>
    where
        'a: 'p,
    {
        match self.curve {
            1 => {
                let [form, coordinates @ ..] = point;
                *form = if self.y.is_some() { 4 } else { 2 };
                let both = self.x.iter().chain(self.y.into_iter().flatten());
                coordinates.iter_mut().zip(both).for_each(|(to, from)| *to = *from);
                point.get(..if self.y.is_some() { 65 } else { 33 }).map(AuthenticationKey::P256)
            }
            4 => Some(AuthenticationKey::X25519(self.x)),
            6 => Some(AuthenticationKey::Ed25519(self.x)),
            _ => None,
        }
    }
}

struct CoseKey<'a> {
    kid: Option<&'a [u8]>,
    curve: i64,
    x: Option<&'a [u8; 32]>,
    y: Option<&'a [u8; 32]>,
}

/// Reads `{1: COSE_Key}` (RFC 8747 section 3.2, RFC 9052 section 7).
fn cose_key<'a>(items: &mut Items<'a>) -> Result<CoseKey<'a>, Error> {
    if items.map(1)? != 1 || items.int()? != 1 {
        return Err(Error::Malformed);
    }
    let mut key = CoseKey { kid: None, curve: 0, x: None, y: None };
    let coordinate = |items: &mut Items<'a>| items.bytes()?.try_into().map(Some).map_err(|_| Error::Malformed);
    for _ in 0..items.map(MAX_CLAIMS)? {
        match items.int()? {
            2 => key.kid = Some(items.bytes()?),
            -1 => key.curve = items.int()?,
            -2 => key.x = coordinate(items)?,
            // A sign alone is not followed: agreement needs none.
            -3 if items.next_is_bytes() => key.y = coordinate(items)?,
            _ => items.skip().map(drop)?,
        }
    }
    Ok(key)
}

/// Whether two byte strings are equal, in time that depends on their lengths only.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}
