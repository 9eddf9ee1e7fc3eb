//! One's own credential as EDHOC shows it, and the credentials of peers.

use super::bounded::Bounded;
use crate::identity::IdentityStore;
use crate::knowledge::KnowledgeBase;
use crate::provider::{AwsLc, SigningKey};
use bytes::Bytes;
use medlock_proto::edhoc::{
    AuthenticationKey, Ccs, CertHash, Certificates, Credential, CredentialReference, IdCred, OwnCredential,
    PeerCredential, Suite,
};
use medlock_trust::c509;
use medlock_trust::crypto::{KeyAlgorithm, PublicKey};
use medlock_trust::x509::Certificate;
use medlock_trust::{Identified, Unidentified};
use rustls::pki_types::CertificateDer;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

/// The most certificates that are shown: one's own, the issuing one, and one of a root by the root before it.
const MAX_SHOWN: usize = 3;

/// The cipher suites that a P-256 key serves: AES-CCM with tags of 8 bytes first, as the smaller one.
pub const SUITES: [Suite; 2] = [Suite::Suite2, Suite::Suite3];
/// How many peers' credentials are remembered, so that they can be named by their hash.
const REMEMBERED: usize = 1_024;
/// How many issuers of one name are tried for a certificate that came alone: one name may have had several keys.
const TRIED: usize = 8;
/// The longest chain that is made of such.
const LONGEST: usize = 4;

/// How one's own credential is shown (RFC 9528 section 3.5.3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Show {
    /// The chain by value (`x5chain`, `c5c`), without the root: to peers that know only the root.
    #[default]
    Chain,
    /// The own certificate by value: to peers that know who issued it.
    Certificate,
    /// Its hash (`x5t`, `c5t`): to peers that have it.
    Thumbprint,
}

/// One's own identity in EDHOC.
#[derive(Clone)]
pub struct Own {
    source: Source,
    show: Show,
    c509: bool,
}

#[derive(Clone)]
enum Source {
    Store(IdentityStore),
    Certificates(Arc<SigningKey>, Arc<[Bytes]>),
    Ccs { key: Arc<SigningKey>, ccs: Bytes, by_value: bool },
}

impl Own {
    /// The identity in this store, as it is when a handshake begins.
    #[must_use]
    pub fn of(store: &IdentityStore) -> Self {
        Self { source: Source::Store(store.clone()), show: Show::default(), c509: false }
    }

    /// This key and chain (X.509 DER or C509, own certificate first).
    #[must_use]
    pub fn certificates(key: Arc<SigningKey>, chain: Vec<Bytes>) -> Self {
        Self { source: Source::Certificates(key, chain.into()), show: Show::default(), c509: false }
    }

    /// A raw key in a CWT claims set, which nobody vouches for: only to meet implementations that know nothing else. Shown
    /// by its `kid`, or by value.
    #[must_use]
    pub fn danger_ccs(key: Arc<SigningKey>, ccs: Vec<u8>, by_value: bool) -> Self {
        Self { source: Source::Ccs { key, ccs: ccs.into(), by_value }, show: Show::default(), c509: false }
    }

    /// The same, shown like this.
    #[must_use]
    pub fn showing(self, show: Show) -> Self {
        Self { show, ..self }
    }

    /// The same with X.509 certificates re-encoded as C509 (type 3), half as long: for peers that read both.
    #[must_use]
    pub fn in_c509(self) -> Self {
        Self { c509: true, ..self }
    }

    /// What is shown now; `None` while there is no identity.
    pub(crate) fn present(&self) -> Option<Presented> {
        let (key, form) = match &self.source {
            Source::Store(store) => {
                let identity = store.current()?;
                let chain = identity.chain().iter().map(|one| Bytes::copy_from_slice(one)).collect();
                (identity.key().clone(), Form::Chain(chain))
            }
            Source::Certificates(key, chain) => (key.clone(), Form::Chain(chain.to_vec())),
            Source::Ccs { key, ccs, by_value } => (key.clone(), Form::Ccs { ccs: ccs.clone(), by_value: *by_value }),
        };
        let form = match form {
            Form::Chain(chain) if self.c509 => Form::Chain(chain.iter().map(to_c509).collect()),
            form => form,
        };
        Some(Presented { key, form, show: self.show })
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own").field("show", &self.show).finish_non_exhaustive()
    }
}

/// One's own credential for one handshake.
pub(crate) struct Presented {
    key: Arc<SigningKey>,
    form: Form,
    show: Show,
}

enum Form {
    Chain(Vec<Bytes>),
    Ccs { ccs: Bytes, by_value: bool },
}

impl Presented {
    /// Calls `with` with the credential as EDHOC takes it; `None` if it cannot be read.
    pub(crate) fn with<T>(&self, with: impl FnOnce(&OwnCredential<'_>) -> T) -> Option<T> {
        match &self.form {
            Form::Ccs { ccs, by_value } => {
                let read = Ccs::read(ccs).ok()?;
                let reference = match read.kid() {
                    Some(kid) if !by_value => CredentialReference::Kid(kid),
                    _ => CredentialReference::Ccs(ccs),
                };
                Some(with(&OwnCredential::new(read.credential(), reference, self.key.as_ref())))
            }
            Form::Chain(chain) => {
                let own = chain.first()?;
                let credential = Credential::certificate(own);
                let shown = self.shown(chain);
                let hash = credential.thumbprint(&AwsLc);
                let reference = match (is_c509(own), self.show) {
                    (true, Show::Thumbprint) => CredentialReference::C5t(CertHash::short(&hash)),
                    (false, Show::Thumbprint) => CredentialReference::X5t(CertHash::short(&hash)),
                    (true, _) => CredentialReference::C5c(Certificates::c509(&shown)),
                    (false, _) => CredentialReference::X5chain(Certificates::x509(&shown)),
                };
                Some(with(&OwnCredential::new(credential, reference, self.key.as_ref())))
            }
        }
    }

    /// Bytes of what is shown, about.
    pub(crate) fn length(&self) -> usize {
        match &self.form {
            Form::Chain(chain) if self.show != Show::Thumbprint => self.shown(chain).iter().map(|one| one.len()).sum(),
            Form::Chain(_) => 16,
            Form::Ccs { ccs, by_value } => {
                if *by_value {
                    ccs.len()
                } else {
                    8
                }
            }
        }
    }

    /// The certificates above one's own: they may complete a peer's chain.
    fn issuers(&self) -> &[Bytes] {
        match &self.form {
            Form::Chain(chain) => chain.get(1..).unwrap_or(&[]),
            Form::Ccs { .. } => &[],
        }
    }

    /// Certificates of one form, without the root, which who believes in it has. Of roots that took the place of another,
    /// the last is shown as the one before certifies it; small devices have room for no more.
    fn shown<'c>(&self, chain: &'c [Bytes]) -> Vec<&'c [u8]> {
        let c509 = chain.first().is_some_and(|own| is_c509(own));
        let most = if self.show == Show::Chain { chain.len() } else { 1 };
        let one_form = chain.iter().take(most).take_while(|one| is_c509(one) == c509);
        let below = |(index, one): &(usize, &Bytes)| *index == 0 || !is_root(one);
        one_form.enumerate().filter(below).map(|(_, one)| one.as_ref()).take(MAX_SHOWN).collect()
    }
}

/// The certificate as C509 type 3, if it can be said so.
fn to_c509(certificate: &Bytes) -> Bytes {
    let mut buffer = vec![0; certificate.len() + 64];
    match c509::from_der(certificate, c509::Points::AsTheyAre, &mut buffer, &AwsLc) {
        Ok(written) => Bytes::copy_from_slice(written),
        Err(_) => certificate.clone(),
    }
}

fn is_c509(certificate: &[u8]) -> bool {
    certificate.first() == Some(&c509::CERTIFICATE_HEAD)
}

/// Whether it signs itself, by what it says of the keys.
fn is_root(certificate: &[u8]) -> bool {
    let Some(certificate) = read(certificate).filter(Certificate::is_self_issued) else { return false };
    let signer = certificate.extensions().authority_key_id().and_then(|named| named.key_id);
    signer.zip(certificate.extensions().subject_key_id()).is_none_or(|(signer, own)| signer == own)
}

/// Whether `issuer` may have issued `certificate`, by their names and, where both say it, by the key.
fn has_issued(issuer: &[u8], certificate: &Certificate<'_>) -> bool {
    let Some(issuer) = read(issuer) else { return false };
    let named = certificate.extensions().authority_key_id().and_then(|named| named.key_id);
    let key = issuer.extensions().subject_key_id();
    issuer.subject().matches(&certificate.issuer()) && named.zip(key).is_none_or(|(named, key)| named == key)
}

fn read(certificate: &[u8]) -> Option<Certificate<'_>> {
    Certificate::read(certificate).ok()
}

/// Certificates of issuers, as they are at the moment of the question.
type Issuers = Box<dyn Fn() -> Vec<Bytes> + Send + Sync>;

/// Finds out who peers are, by the lists this process knows. Remembers the credentials of those it has met.
pub struct Peers {
    knowledge: Arc<KnowledgeBase>,
    issuers: Issuers,
    known: Mutex<Bounded<[u8; 8], Arc<[Bytes]>>>,
    raw: Vec<(Bytes, Identified)>,
}

impl Peers {
    /// Peers that `knowledge` believes in.
    #[must_use]
    pub fn new(knowledge: Arc<KnowledgeBase>) -> Self {
        Self { knowledge, issuers: Box::new(Vec::new), known: Mutex::new(Bounded::new(REMEMBERED)), raw: Vec::new() }
    }

    /// The same, knowing certificates that may stand between a peer that shows its own certificate alone and an authority
    /// of the lists. They make nobody believed: the path through them is validated as any other.
    #[must_use]
    pub fn with_issuers(mut self, issuers: impl Fn() -> Vec<Bytes> + Send + Sync + 'static) -> Self {
        self.issuers = Box::new(issuers);
        self
    }

    /// Who has this certificate (DER), which came alone. At most [`TRIED`] path validations.
    ///
    /// # Errors
    /// Why it is nobody we believe.
    pub(crate) fn identify_alone(&self, own: &[u8]) -> Result<Identified, Unidentified> {
        let issuers = (self.issuers)();
        let above = |one: &[u8]| -> Vec<&Bytes> {
            read(one).map_or_else(Vec::new, |one| issuers.iter().filter(|issuer| has_issued(issuer, &one)).collect())
        };
        let mut found = self.knowledge.identify(&[CertificateDer::from(own.to_vec())]);
        for issuer in above(own).into_iter().take(TRIED) {
            if found.is_ok() {
                break;
            }
            let mut chain = vec![own, issuer];
            // The path ends at the first that an authority of the lists issued; what is above it is not read.
            while chain.len() < LONGEST
                && let Some(next) =
                    chain.last().and_then(|top| above(top).into_iter().find(|one| !chain.contains(&&one[..])))
            {
                chain.push(next);
            }
            let chain: Vec<_> = chain.into_iter().map(|one| CertificateDer::from(one.to_vec())).collect();
            found = self.knowledge.identify(&chain);
        }
        found
    }

    /// Takes who holds the key in this CWT claims set to be `who`, though nobody vouches for it: only to meet
    /// implementations that know nothing else.
    #[must_use]
    pub fn danger_with_ccs(mut self, ccs: Vec<u8>, who: Identified) -> Self {
        self.raw.push((ccs.into(), who));
        self
    }

    /// What this process knows.
    #[must_use]
    pub const fn knowledge(&self) -> &Arc<KnowledgeBase> {
        &self.knowledge
    }

    /// Remembers a chain (X.509 DER or C509, the peer's own certificate first), so that the peer can name it by its hash.
    /// It is judged when it is used.
    pub fn remember(&self, chain: &[Bytes]) {
        let Some(own) = chain.first() else { return };
        let hash = Credential::certificate(own).thumbprint(&AwsLc);
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(hash, chain.into());
    }

    /// Finds the credential a message names, and who that is. `own` may complete its chain. At most two path validations.
    pub(crate) fn find(&self, named: IdCred<'_>, own: Option<&Presented>) -> Result<Found, NotFound> {
        let reference = named.reference().ok_or(NotFound::Unknown)?;
        let (chain, new) = match reference {
            CredentialReference::Kid(kid) => return self.raw(|ccs, _| ccs.kid() == Some(kid)),
            CredentialReference::Ccs(item) => return self.raw(|_, encoding| encoding == item),
            CredentialReference::X5t(hash) | CredentialReference::C5t(hash) => {
                (self.known(&hash).ok_or(NotFound::Unknown)?, false)
            }
            CredentialReference::X5chain(list) => (list.iter().map(Bytes::copy_from_slice).collect(), true),
            CredentialReference::C5c(list) => (list.iter().map(with_head).collect(), true),
            // Bags are in any order; one certificate is in order.
            CredentialReference::X5bag(list) if list.iter().count() == 1 => {
                (list.iter().map(Bytes::copy_from_slice).collect(), true)
            }
            CredentialReference::C5b(list) if list.iter().count() == 1 => (list.iter().map(with_head).collect(), true),
            CredentialReference::X5bag(_)
            | CredentialReference::C5b(_)
            | CredentialReference::Cwt(_)
            | CredentialReference::Other { .. } => return Err(NotFound::Unknown),
        };
        let chain: Arc<[Bytes]> = chain;
        let identified = self.identify(&chain, own).map_err(NotFound::Unidentified)?;
        let certificate = chain.first().and_then(|own| read(own)).ok_or(NotFound::Unknown)?;
        let key = certificate.public_key().ok_or(NotFound::Unknown)?;
        let (algorithm, key) = (key.algorithm, Bytes::copy_from_slice(key.bits));
        Ok(Found { chain, raw: false, algorithm, key, identified, new })
    }

    /// Who has this chain, completed by one's own issuers if it ends too early.
    fn identify(&self, chain: &[Bytes], own: Option<&Presented>) -> Result<Identified, Unidentified> {
        let der = |chain: &[Bytes]| chain.iter().map(|one| CertificateDer::from(one.to_vec())).collect::<Vec<_>>();
        let first = self.knowledge.identify(&der(chain));
        let issuers = own.map_or(&[][..], Presented::issuers);
        match first {
            Err(_) if !issuers.is_empty() => self.knowledge.identify(&der(&[chain, issuers].concat())).or(first),
            first => first,
        }
    }

    fn known(&self, hash: &CertHash<'_>) -> Option<Arc<[Bytes]>> {
        let key = hash.hash.first_chunk()?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = known.get(key)?;
        hash.names(Credential::certificate(chain.first()?), &AwsLc).then(|| chain.clone())
    }

    fn raw(&self, wanted: impl Fn(&Ccs<'_>, &[u8]) -> bool) -> Result<Found, NotFound> {
        let found = self.raw.iter().find(|(encoding, _)| Ccs::read(encoding).is_ok_and(|ccs| wanted(&ccs, encoding)));
        let (encoding, who) = found.ok_or(NotFound::Unknown)?;
        let mut point = [0; 65];
        let key = Ccs::read(encoding).ok().and_then(|ccs| match ccs.key(&mut point)? {
            AuthenticationKey::P256(point) => Some(Bytes::copy_from_slice(point)),
            AuthenticationKey::Ed25519(_) | AuthenticationKey::X25519(_) => None,
        });
        let key = key.ok_or(NotFound::Unknown)?;
        let chain = Arc::from([encoding.clone()]);
        Ok(Found { chain, raw: true, algorithm: KeyAlgorithm::P256, key, identified: who.clone(), new: false })
    }
}

impl fmt::Debug for Peers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peers").field("raw", &self.raw.len()).finish_non_exhaustive()
    }
}

fn with_head(items: &[u8]) -> Bytes {
    [&[c509::CERTIFICATE_HEAD], items].concat().into()
}

/// A peer's credential, and who has it.
#[derive(Debug)]
pub(crate) struct Found {
    chain: Arc<[Bytes]>,
    raw: bool,
    algorithm: KeyAlgorithm,
    key: Bytes,
    identified: Identified,
    new: bool,
}

impl Found {
    /// As EDHOC takes it; `None` if the key is of no use there, or its certificate says that it is not for signing, or
    /// (unless the peer `signs`) for agreeing on secrets.
    pub(crate) fn credential(&self, signs: bool) -> Option<PeerCredential<'_>> {
        let own = self.chain.first()?;
        let allows = |one: Certificate<'_>| if signs { one.key_may_sign() } else { one.key_may_agree() };
        if !self.raw && !read(own).is_some_and(allows) {
            return None;
        }
        let credential = if self.raw { Credential::Item(own) } else { Credential::certificate(own) };
        let key = AuthenticationKey::of(PublicKey { algorithm: self.algorithm, bits: &self.key })?;
        Some(PeerCredential { credential, key, identified: self.identified.clone() })
    }

    /// The peer's certificate; empty if it is a raw key.
    pub(crate) fn certificate(&self) -> Bytes {
        self.chain.first().filter(|_| !self.raw).cloned().unwrap_or_default()
    }

    /// Keeps it in mind if it came by value. To be called when the peer has shown that it holds the key.
    pub(crate) fn remember(&self, peers: &Peers) {
        if self.new {
            peers.remember(&self.chain);
        }
    }
}

/// Why a credential was not found.
#[derive(Clone, Copy, Debug)]
pub(crate) enum NotFound {
    /// The reference means nothing here.
    Unknown,
    /// Nobody believed in vouches for it.
    Unidentified(Unidentified),
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("nothing here has this name"),
            Self::Unidentified(why) => write!(f, "{why:?}"),
        }
    }
}
