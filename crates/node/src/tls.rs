//! TLS between parts of Medlock: verifiers that authenticate, and judge only whom nobody judges afterwards.
//!
//! A verifier asks the trust core who the other side is and checks the handshake's signature with the key the trust
//! core read. It does not ask what the other side may do: an expired certificate authenticates, and permits are asked
//! afterwards, for each operation. No operation is asked of a server that is wanted for its role, such as one's own hub:
//! there the verifier asks whether it may be listened to at all ([`KnowledgeBase::judge_standing`]), which ends with a theft
//! and not with expiry. There is no resumption and no early data, because a resumed session never calls a verifier, and no
//! certificate compression.

use crate::Error;
use crate::identity::IdentityStore;
use crate::knowledge::KnowledgeBase;
use crate::provider::{self, AwsLc, SigningAlgorithm};
use medlock_trust::crypto::KeyAlgorithm;
use medlock_trust::path::AuthorityKind;
use medlock_trust::x509::Certificate;
use medlock_trust::{Anchor, Budget, Denied, DeviceName, Identified, Role, Unidentified, authenticate};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ClientConfig, ResolvesClientCert, Resumption};
use rustls::pki_types::{AlgorithmIdentifier, CertificateDer, ServerName, UnixTime, alg_id};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, ServerConfig};
use rustls::sign::{CertifiedKey, Signer, SigningKey as TlsSigningKey};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, InvalidMessage, OtherError, PeerIncompatible,
    SignatureAlgorithm, SignatureScheme,
};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A connection to a server, and to a client.
pub use tokio_rustls::{client::TlsStream as ToServer, server::TlsStream as ToClient};

/// The name clients ask for. It is never sent (SNI is off) and never compared: who answers is found out from the
/// certificate, and whether it is the right one by binding.
const NAME: &str = "medlock.invalid";

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// They are not asked.
    None,
    /// They may; one that is shown must authenticate.
    Optional,
    /// They must.
    Required,
}

/// Whom a side believes.
#[derive(Clone)]
pub enum Believed {
    /// The authorities in what this process knows.
    Knowledge(Arc<KnowledgeBase>),
    /// At first contact: the root certificate with this fingerprint (the first 16 bytes of its SHA-256), which must be
    /// in the chain the other side sends.
    Root([u8; 16]),
    /// The root with this certificate, which need not be in the chain.
    Certificate(CertificateDer<'static>),
    /// For the moment: whatever root the other side sends with its chain. Who that is, a voucher has to say before
    /// anything of it is believed (RFC 8995 section 5.6.2).
    Provisional,
}

impl Believed {
    /// Who has this chain (its own certificate first).
    ///
    /// # Errors
    /// Why it is nobody we believe.
    pub fn identify(&self, chain: &[CertificateDer<'_>]) -> Result<Identified, Unidentified> {
        match self {
            Self::Knowledge(knowledge) => knowledge.identify(chain),
            Self::Root(fingerprint) => below(chain, chain.iter().find(|der| has_fingerprint(der, fingerprint))),
            Self::Certificate(root) => below(chain, Some(root)),
            Self::Provisional => below(chain, root_of(chain)),
        }
    }

    /// Who has this chain, as a server that is wanted for its role: it must have that, and nothing may be known for which it
    /// is not to be listened to. At first contact nothing is known of anybody.
    ///
    /// # Errors
    /// Why not, for rustls; [`is_unheard`] knows the last reason again.
    pub(crate) fn identify_as(&self, role: Role, chain: &[CertificateDer<'_>]) -> Result<Identified, rustls::Error> {
        let peer = self.identify(chain).map_err(|why| match self {
            Self::Root(root) if !chain.iter().any(|der| has_fingerprint(der, root)) => refused(format!(
                "it does not show the root that the code names: it is no hub of that site, or the site's root was replaced \
                 since the code was made, and a new code is needed ({why})"
            )),
            Self::Knowledge(_) | Self::Root(_) | Self::Certificate(_) | Self::Provisional => refused(why),
        })?;
        if !peer.roles().contains(role) {
            return Err(refused(format!("{} does not have the role {role}", peer.device_name())));
        }
        match self {
            Self::Knowledge(knowledge) => knowledge
                .judge_standing(&peer)
                .map_err(|denied| invalid(Unheard { device: *peer.device_name(), role, denied }))?,
            Self::Root(_) | Self::Certificate(_) | Self::Provisional => {}
        }
        Ok(peer)
    }
}

/// A server has the role it is wanted for, and is not listened to.
struct Unheard {
    device: DeviceName,
    role: Role,
    denied: Denied,
}

impl fmt::Display for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { device, role, denied } = self;
        write!(f, "{device} is not listened to as {role}: {}", denied.code)?;
        denied.since.map_or(Ok(()), |since| write!(f, " since {since}"))
    }
}

/// rustls shows it so.
impl fmt::Debug for Unheard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Unheard {}

/// What went wrong in TLS, for people: what is ours in it speaks for itself, without what rustls wraps around it.
pub(crate) fn said(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(ours))) => ours.to_string(),
        rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "what answers there speaks no TLS: a hub shows at its start where devices reach it".to_owned()
        }
        other => other.to_string(),
    }
}

/// As [`said`], of a connection that may have failed in TLS.
pub(crate) fn said_in(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    inner.map_or_else(|| error.to_string(), said)
}

/// What TLS said, if it failed.
pub(crate) fn of_error(error: &Error) -> Option<&rustls::Error> {
    match error {
        Error::Connection { source, .. } => source.get_ref().and_then(|inner| inner.downcast_ref()),
        Error::Tls { source, .. } => Some(source),
        _ => None,
    }
}

/// Whether a connection failed because the server, though it is who it must be, is not listened to.
pub(crate) fn is_unheard(error: &Error) -> bool {
    matches!(of_error(error), Some(rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) if why.is::<Unheard>())
}

/// The root at the end of a chain: the last that signs itself. Behind it may stand what roots before it have signed.
pub(crate) fn root_of<'c, 'd>(chain: &'c [CertificateDer<'d>]) -> Option<&'c CertificateDer<'d>> {
    let signs_itself = |der: &&CertificateDer<'_>| {
        let read = Certificate::from_der(der).ok();
        read.is_some_and(|read| read.public_key().is_some_and(|key| read.verify_with(key, &AwsLc).is_ok()))
    };
    chain.iter().rev().find(signs_itself).or(chain.last())
}

fn has_fingerprint(der: &CertificateDer<'_>, fingerprint: &[u8; 16]) -> bool {
    provider::sha256(der)[..16] == *fingerprint
}

/// Who has this chain, if `root` is the root of a site.
fn below(chain: &[CertificateDer<'_>], root: Option<&CertificateDer<'_>>) -> Result<Identified, Unidentified> {
    let ders: Vec<&[u8]> = chain.iter().map(AsRef::as_ref).collect();
    let root = root.and_then(|der| Certificate::from_der(der).ok());
    let anchor = root.and_then(|root| Anchor::for_everything(&root, AuthorityKind::Site, &AwsLc));
    authenticate(&ders, anchor.as_slice(), &mut Budget::default(), &AwsLc)
}

impl fmt::Debug for Believed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Knowledge(_) => f.write_str("Knowledge"),
            Self::Root(fingerprint) => write!(f, "Root({})", data_encoding::HEXLOWER.encode(fingerprint)),
            Self::Certificate(_) => f.write_str("Certificate"),
            Self::Provisional => f.write_str("Provisional"),
        }
    }
}

/// The settings of a server that shows the identity in `identity`, whichever that is at the time.
///
/// # Errors
/// [`Error::Tls`] if rustls refuses the settings.
pub fn server_config(
    identity: &IdentityStore,
    knowledge: &Arc<KnowledgeBase>,
    clients: ClientAuth,
) -> Result<Arc<ServerConfig>, Error> {
    let builder = ServerConfig::builder_with_provider(provider::rustls())
        .with_safe_default_protocol_versions()
        .map_err(settings)?;
    let builder = match clients {
        ClientAuth::None => builder.with_no_client_auth(),
        ClientAuth::Optional | ClientAuth::Required => builder.with_client_cert_verifier(Arc::new(Verifier {
            believed: Believed::Knowledge(knowledge.clone()),
            role: None,
            mandatory: clients == ClientAuth::Required,
        })),
    };
    let mut config = builder.with_cert_resolver(Arc::new(Resolver(identity.clone())));
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
    config.cert_compressors = Vec::new();
    config.cert_decompressors = Vec::new();
    Ok(Arc::new(config))
}

/// The settings of a client that shows the identity in `identity`, if it has one, and believes `believed`. With
/// `role`, only a server that has this role and may be listened to is accepted: its own hub, for example.
///
/// # Errors
/// [`Error::Tls`] if rustls refuses the settings.
pub fn client_config(
    identity: Option<&IdentityStore>,
    believed: Believed,
    role: Option<Role>,
) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider::rustls())
        .with_safe_default_protocol_versions()
        .map_err(settings)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { believed, role, mandatory: true }));
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Resolver(identity.clone()))),
        None => builder.with_no_client_auth(),
    };
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config.cert_compressors = Vec::new();
    config.cert_decompressors = Vec::new();
    Ok(Arc::new(config))
}

fn settings(source: rustls::Error) -> Error {
    Error::Tls { with: "our own settings".to_owned(), source }
}

/// A connection after its handshake, and who is on the other side.
#[derive(Debug)]
pub struct Secured<S> {
    /// The connection.
    pub stream: S,
    /// Who is there; `None` if a client showed no certificate.
    pub peer: Option<Identified>,
    /// What was shown, its own certificate first.
    pub chain: Arc<[CertificateDer<'static>]>,
}

/// The server's side of handshakes.
#[derive(Clone)]
pub struct Acceptor {
    tls: TlsAcceptor,
    believed: Believed,
}

impl Acceptor {
    /// An acceptor with these settings, which are those of [`server_config`] with the same `knowledge`.
    #[must_use]
    pub fn new(config: Arc<ServerConfig>, knowledge: Arc<KnowledgeBase>) -> Self {
        Self { tls: TlsAcceptor::from(config), believed: Believed::Knowledge(knowledge) }
    }

    /// Shakes hands within `limit`.
    ///
    /// # Errors
    /// [`Error::Connection`] (a failed handshake included) and [`Error::Timeout`].
    pub async fn accept<S>(&self, stream: S, limit: Duration) -> Result<Secured<ToClient<S>>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let with = "the caller";
        let stream = within(with, limit, self.tls.accept(stream)).await?;
        let (peer, chain) = who(&self.believed, stream.get_ref().1.peer_certificates(), with)?;
        Ok(Secured { stream, peer, chain })
    }
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").field("believed", &self.believed).finish_non_exhaustive()
    }
}

/// The client's side of handshakes.
#[derive(Clone)]
pub struct Connector {
    tls: TlsConnector,
    believed: Believed,
}

impl Connector {
    /// A connector that shows `identity` and believes `believed`; see [`client_config`].
    ///
    /// # Errors
    /// [`Error::Tls`] if rustls refuses the settings.
    pub fn new(identity: Option<&IdentityStore>, believed: Believed, role: Option<Role>) -> Result<Self, Error> {
        let config = client_config(identity, believed.clone(), role)?;
        Ok(Self { tls: TlsConnector::from(config), believed })
    }

    /// Connects to `address` (`host:port`) and shakes hands, within `limit` for each.
    ///
    /// # Errors
    /// [`Error::Connection`] (a failed handshake included) and [`Error::Timeout`].
    pub async fn connect(&self, address: &str, limit: Duration) -> Result<Secured<ToServer<TcpStream>>, Error> {
        let stream = within(address, limit, TcpStream::connect(address)).await?;
        stream.set_nodelay(true).map_err(|source| Error::Connection { with: address.to_owned(), source })?;
        self.connect_over(stream, address, limit).await
    }

    /// Shakes hands over a connection that stands, within `limit`. `with` names the other side in messages.
    ///
    /// # Errors
    /// [`Error::Connection`] (a failed handshake included) and [`Error::Timeout`].
    pub async fn connect_over<S>(&self, stream: S, with: &str, limit: Duration) -> Result<Secured<ToServer<S>>, Error>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(NAME).expect("a constant that is a DNS name");
        let stream = within(with, limit, self.tls.connect(name, stream)).await?;
        let (peer, chain) = who(&self.believed, stream.get_ref().1.peer_certificates(), with)?;
        Ok(Secured { stream, peer, chain })
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").field("believed", &self.believed).finish_non_exhaustive()
    }
}

async fn within<T>(with: &str, limit: Duration, work: impl Future<Output = std::io::Result<T>>) -> Result<T, Error> {
    let late = |_| Error::Timeout { with: with.to_owned(), doing: "a connection", limit };
    timeout(limit, work).await.map_err(late)?.map_err(|source| Error::Connection { with: with.to_owned(), source })
}

type Who = (Option<Identified>, Arc<[CertificateDer<'static>]>);

fn who(believed: &Believed, shown: Option<&[CertificateDer<'static>]>, with: &str) -> Result<Who, Error> {
    let chain: Arc<[CertificateDer<'static>]> = shown.unwrap_or_default().into();
    if chain.is_empty() {
        return Ok((None, chain));
    }
    let peer = believed.identify(&chain).map_err(|why| Error::Tls { with: with.to_owned(), source: refused(why) })?;
    Ok((Some(peer), chain))
}

/// Text for rustls: why a certificate was not believed.
#[derive(Debug)]
struct Why(String);

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Why {}

fn refused(why: impl fmt::Display) -> rustls::Error {
    invalid(Why(why.to_string()))
}

fn invalid(why: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why))))
}

/// Both sides' verifier.
#[derive(Debug)]
struct Verifier {
    believed: Believed,
    role: Option<Role>,
    mandatory: bool,
}

impl Verifier {
    fn check(&self, own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let mut chain = Vec::with_capacity(others.len() + 1);
        chain.push(CertificateDer::from(own.as_ref()));
        chain.extend(others.iter().map(|certificate| CertificateDer::from(certificate.as_ref())));
        match self.role {
            Some(role) => self.believed.identify_as(role, &chain)?,
            None => self.believed.identify(&chain).map_err(refused)?,
        };
        Ok(())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.check(own, others).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(Version::Tls12, message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(Version::Tls13, message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

impl ClientCertVerifier for Verifier {
    fn client_auth_mandatory(&self) -> bool {
        self.mandatory
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(own, others).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(Version::Tls12, message, own, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        own: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_handshake(Version::Tls13, message, own, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        SCHEMES.to_vec()
    }
}

/// What we accept as a handshake's signature, best first. RSA PKCS#1 is for TLS 1.2 only.
const SCHEMES: [SignatureScheme; 9] = [
    SignatureScheme::ECDSA_NISTP256_SHA256,
    SignatureScheme::ECDSA_NISTP384_SHA384,
    SignatureScheme::ED25519,
    SignatureScheme::RSA_PSS_SHA256,
    SignatureScheme::RSA_PSS_SHA384,
    SignatureScheme::RSA_PSS_SHA512,
    SignatureScheme::RSA_PKCS1_SHA256,
    SignatureScheme::RSA_PKCS1_SHA384,
    SignatureScheme::RSA_PKCS1_SHA512,
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    Tls12,
    Tls13,
}

/// Checks a handshake's signature with the public key the trust core read from the certificate.
fn verify_handshake(
    version: Version,
    message: &[u8],
    own: &CertificateDer<'_>,
    signed: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, rustls::Error> {
    let own = Certificate::from_der(own).map_err(refused)?;
    let key = own.public_key().ok_or_else(|| refused("its key is of a kind we do not know"))?;
    if !scheme_fits(version, signed.scheme, key.algorithm) {
        return Err(PeerIncompatible::NoSignatureSchemesInCommon.into());
    }
    let key_algorithm = identifier(key.algorithm);
    let all = provider::rustls().signature_verification_algorithms;
    let algorithm = all
        .mapping
        .iter()
        .filter(|(scheme, _)| *scheme == signed.scheme)
        .flat_map(|(_, algorithms)| algorithms.iter())
        .find(|algorithm| algorithm.public_key_alg_id() == key_algorithm)
        .ok_or(PeerIncompatible::NoSignatureSchemesInCommon)?;
    algorithm
        .verify_signature(key.bits, message, signed.signature())
        .map(|()| HandshakeSignatureValid::assertion())
        .map_err(|_| CertificateError::BadSignature.into())
}

/// Whether a key of this kind may sign so. TLS 1.3 ties ECDSA's curve to the scheme and has no PKCS#1 signatures
/// (RFC 8446 section 4.2.3); in TLS 1.2 the scheme names the hash only (RFC 5246 section 7.4.1.4.1).
fn scheme_fits(version: Version, scheme: SignatureScheme, key: KeyAlgorithm) -> bool {
    use SignatureScheme as S;
    match scheme {
        S::ECDSA_NISTP256_SHA256 => {
            key == KeyAlgorithm::P256 || (version == Version::Tls12 && key == KeyAlgorithm::P384)
        }
        S::ECDSA_NISTP384_SHA384 => {
            key == KeyAlgorithm::P384 || (version == Version::Tls12 && key == KeyAlgorithm::P256)
        }
        S::ED25519 => key == KeyAlgorithm::Ed25519,
        S::RSA_PSS_SHA256 | S::RSA_PSS_SHA384 | S::RSA_PSS_SHA512 => key == KeyAlgorithm::Rsa,
        S::RSA_PKCS1_SHA256 | S::RSA_PKCS1_SHA384 | S::RSA_PKCS1_SHA512 => {
            version == Version::Tls12 && key == KeyAlgorithm::Rsa
        }
        _ => false,
    }
}

const fn identifier(key: KeyAlgorithm) -> AlgorithmIdentifier {
    match key {
        KeyAlgorithm::P256 => alg_id::ECDSA_P256,
        KeyAlgorithm::P384 => alg_id::ECDSA_P384,
        KeyAlgorithm::Ed25519 => alg_id::ED25519,
        KeyAlgorithm::Rsa => alg_id::RSA_ENCRYPTION,
        KeyAlgorithm::MlDsa44 => alg_id::ML_DSA_44,
        KeyAlgorithm::MlDsa65 => alg_id::ML_DSA_65,
    }
}

/// Shows whichever identity is the present one.
#[derive(Debug)]
struct Resolver(IdentityStore);

impl ResolvesServerCert for Resolver {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.0.current().map(|identity| identity.certified().clone())
    }
}

impl ResolvesClientCert for Resolver {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.0.current().map(|identity| identity.certified().clone())
    }

    fn has_certs(&self) -> bool {
        self.0.current().is_some()
    }
}

/// Our key as rustls wants it. `CertifiedKey::new` takes it without webpki's reading of our certificate.
pub(crate) fn certified(key: &Arc<provider::SigningKey>, chain: &[CertificateDer<'static>]) -> Arc<CertifiedKey> {
    Arc::new(CertifiedKey::new(chain.to_vec(), Arc::new(HandshakeKey(key.clone()))))
}

#[derive(Clone, Debug)]
struct HandshakeKey(Arc<provider::SigningKey>);

impl TlsSigningKey for HandshakeKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.0.algorithm() {
            SigningAlgorithm::P256 | SigningAlgorithm::P384 => SignatureAlgorithm::ECDSA,
            SigningAlgorithm::Ed25519 => SignatureAlgorithm::ED25519,
            // TLS 1.2 has no such signatures, and TLS 1.3 goes by the scheme.
            SigningAlgorithm::MlDsa44 | SigningAlgorithm::MlDsa65 => SignatureAlgorithm::Anonymous,
        }
    }
}

impl Signer for HandshakeKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        Ok(self.0.sign_x509(&[message]))
    }

    fn scheme(&self) -> SignatureScheme {
        match self.0.algorithm() {
            SigningAlgorithm::P256 => SignatureScheme::ECDSA_NISTP256_SHA256,
            SigningAlgorithm::P384 => SignatureScheme::ECDSA_NISTP384_SHA384,
            SigningAlgorithm::Ed25519 => SignatureScheme::ED25519,
            SigningAlgorithm::MlDsa44 => SignatureScheme::ML_DSA_44,
            SigningAlgorithm::MlDsa65 => SignatureScheme::ML_DSA_65,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-NODE-08.
    #[test]
    fn tls_1_3_takes_only_its_own_signatures() {
        use KeyAlgorithm::{Ed25519, P256, P384, Rsa};
        use SignatureScheme as S;
        let right = |scheme| match scheme {
            S::ECDSA_NISTP256_SHA256 => Some(P256),
            S::ECDSA_NISTP384_SHA384 => Some(P384),
            S::ED25519 => Some(Ed25519),
            S::RSA_PSS_SHA256 | S::RSA_PSS_SHA384 | S::RSA_PSS_SHA512 => Some(Rsa),
            _ => None,
        };
        for scheme in SCHEMES.into_iter().chain([S::RSA_PKCS1_SHA1, S::ECDSA_SHA1_Legacy, S::ED448]) {
            for key in [P256, P384, Ed25519, Rsa] {
                assert_eq!(scheme_fits(Version::Tls13, scheme, key), right(scheme) == Some(key), "{scheme:?} {key:?}");
            }
        }
        assert!(scheme_fits(Version::Tls12, S::RSA_PKCS1_SHA256, Rsa));
        assert!(scheme_fits(Version::Tls12, S::ECDSA_NISTP256_SHA256, P384), "TLS 1.2 names the hash only");
        assert!(!scheme_fits(Version::Tls12, S::RSA_PKCS1_SHA1, Rsa));
        let mapped = provider::rustls().signature_verification_algorithms.supported_schemes();
        assert!(SCHEMES.iter().all(|scheme| mapped.contains(scheme)), "{mapped:?}");
    }
}
