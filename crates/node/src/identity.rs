//! This process's own identity: a private key and the certificate chain for it.
//!
//! In the directory (0700) of a store are at most three files, each 0600 and each replaced as a whole:
//!
//! | file | what is in it |
//! | --- | --- |
//! | `identity.pem` | the private key (PKCS#8) and its chain, own certificate first |
//! | `next-key.pem` | the private key of a request under way |
//! | `code` | the enrolment code until there is an identity |
//!
//! A new key is durable before a request for it is sent, and goes only when `identity.pem` holds it with its chain.
//! So a kill at any moment loses neither a certificate the hub has given nor the one in use.

use crate::enrol::Code;
use crate::provider::{AwsLc, SigningKey};
use crate::{Error, files, tls};
use der::pem::{LineEnding, encode_string};
use medlock_trust::x509::{Certificate, ids};
use medlock_trust::{CredentialId, DeviceName, Time};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::watch;
use zeroize::Zeroizing;

const IDENTITY: &str = "identity.pem";
const NEXT_KEY: &str = "next-key.pem";
const CODE: &str = "code";
const REMEDY: &str = "move the file away and enrol again with a new code";

/// A private key and the chain for it.
#[derive(Clone)]
pub struct Identity {
    key: Arc<SigningKey>,
    chain: Arc<[CertificateDer<'static>]>,
    certified: Arc<CertifiedKey>,
    credential: CredentialId,
    validity: (Time, Time),
}

impl Identity {
    /// `key` with its `chain`, own certificate first.
    ///
    /// # Errors
    /// [`Error::Certificate`] if the chain is empty, its first certificate cannot be read, or is for another key.
    pub fn new(key: Arc<SigningKey>, chain: Vec<CertificateDer<'static>>) -> Result<Self, Error> {
        let own = chain.first().ok_or_else(|| Error::Certificate("there is none in the chain".to_owned()))?;
        let own = Certificate::from_der(own).map_err(|error| Error::Certificate(error.to_string()))?;
        if own.spki() != key.spki() {
            return Err(Error::Certificate("it is for another key than ours".to_owned()));
        }
        let (credential, validity) = (own.credential_id(&AwsLc), (own.not_before(), own.not_after()));
        let chain: Arc<[CertificateDer<'static>]> = chain.into();
        let certified = tls::certified(&key, &chain);
        Ok(Self { key, chain, certified, credential, validity })
    }

    /// The private key.
    #[must_use]
    pub const fn key(&self) -> &Arc<SigningKey> {
        &self.key
    }

    /// The chain, own certificate first.
    #[must_use]
    pub fn chain(&self) -> &[CertificateDer<'static>] {
        &self.chain
    }

    /// The own certificate (DER).
    #[must_use]
    pub fn own(&self) -> &CertificateDer<'static> {
        &self.chain[0]
    }

    /// From when to when the own certificate is valid.
    #[must_use]
    pub const fn validity(&self) -> (Time, Time) {
        self.validity
    }

    /// The device this identity names: the subject's `serialNumber`.
    #[must_use]
    pub fn device_name(&self) -> Option<DeviceName> {
        DeviceName::from_text(Certificate::from_der(self.own()).ok()?.subject().only(ids::SERIAL_NUMBER)?)
    }

    /// The own certificate's identifier.
    #[must_use]
    pub const fn credential(&self) -> CredentialId {
        self.credential
    }

    pub(crate) const fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    fn to_pem(&self) -> Zeroizing<String> {
        let mut text = key_pem(&self.key);
        for certificate in self.chain.iter() {
            text.push_str(&pem("CERTIFICATE", certificate));
        }
        text
    }

    /// Reads a private key (PKCS#8) and its chain, its own certificate first.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn from_pem(text: &[u8]) -> Result<Self, String> {
        let key = key_from_pem(text)?;
        let chain = chain_from_pem(text)?;
        Self::new(Arc::new(key), chain).map_err(|error| error.to_string())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity").field("credential", &self.credential()).field("validity", &self.validity).finish()
    }
}

fn chain_from_pem(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    chain.map_err(|error| format!("a certificate in it cannot be read ({error})"))
}

/// The certificates (DER) in a text in PEM, in their order.
///
/// # Errors
/// What is wrong with one.
pub fn certificates_from_pem(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    Ok(chain_from_pem(text)?.into_iter().map(|certificate| certificate.to_vec()).collect())
}

fn pem(label: &str, content: &[u8]) -> String {
    encode_string(label, LineEnding::LF, content).expect("a constant label and bytes in memory")
}

fn key_pem(key: &SigningKey) -> Zeroizing<String> {
    Zeroizing::new(pem("PRIVATE KEY", &key.to_pkcs8()))
}

fn key_from_pem(text: &[u8]) -> Result<SigningKey, String> {
    let document =
        PrivatePkcs8KeyDer::from_pem_slice(text).map_err(|error| format!("no private key in it ({error})"))?;
    let document = Zeroizing::new(document.secret_pkcs8_der().to_vec());
    SigningKey::from_pkcs8(&document).map_err(|error| error.to_string())
}

/// Where a process keeps its identity. Clones share it; TLS settings that hold one show the present identity.
#[derive(Clone, Debug)]
pub struct IdentityStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// `None`: in memory only.
    directory: Option<PathBuf>,
    current: RwLock<Option<Arc<Identity>>>,
    next: Mutex<Option<Arc<SigningKey>>>,
    changes: watch::Sender<u64>,
}

impl IdentityStore {
    /// Opens the store in `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Damaged`] when a file does not hold what we wrote.
    pub fn open(directory: &Path) -> Result<Self, Error> {
        files::private_directory(directory)?;
        files::sweep(directory)?;
        let damaged = |path: &Path| {
            let path = path.to_owned();
            move |what| Error::Damaged { path, what, remedy: REMEDY }
        };
        let path = directory.join(IDENTITY);
        let current = match files::read(&path)?.map(Zeroizing::new) {
            Some(text) => Some(Arc::new(Identity::from_pem(&text).map_err(damaged(&path))?)),
            None => None,
        };
        let path = directory.join(NEXT_KEY);
        let mut next = match files::read(&path)?.map(Zeroizing::new) {
            Some(text) => Some(Arc::new(key_from_pem(&text).map_err(damaged(&path))?)),
            None => None,
        };
        // Killed after the identity was written, before the file of its key went.
        if let (Some(key), Some(identity)) = (&next, &current)
            && key.spki() == identity.key.spki()
        {
            files::remove(&path)?;
            next = None;
        }
        Ok(Self(Arc::new(Inner {
            directory: Some(directory.to_owned()),
            current: RwLock::new(current),
            next: Mutex::new(next),
            changes: watch::channel(0).0,
        })))
    }

    /// A store that forgets everything at its end.
    #[must_use]
    pub fn in_memory(identity: Option<Identity>) -> Self {
        Self(Arc::new(Inner {
            directory: None,
            current: RwLock::new(identity.map(Arc::new)),
            next: Mutex::new(None),
            changes: watch::channel(0).0,
        }))
    }

    /// The present identity, if there is one yet.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Identity>> {
        self.0.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counts the changes of the present identity.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// The key of the request under way; a new one, durable before this returns, if there is no request.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn next_key(&self) -> Result<Arc<SigningKey>, Error> {
        let mut next = self.next();
        if let Some(key) = next.as_ref() {
            return Ok(key.clone());
        }
        let key = Arc::new(SigningKey::generate());
        if let Some(directory) = &self.0.directory {
            files::replace(&directory.join(NEXT_KEY), key_pem(&key).as_bytes())?;
        }
        *next = Some(key.clone());
        Ok(key)
    }

    /// Forgets the key of the request under way: after the hub refused it for good.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn discard_next_key(&self) -> Result<(), Error> {
        let mut next = self.next();
        if let Some(directory) = &self.0.directory {
            files::remove(&directory.join(NEXT_KEY))?;
        }
        *next = None;
        Ok(())
    }

    /// Makes `chain` the present identity: for the key of the request under way, or for the present key. Durable when
    /// this returns; handshakes that begin afterwards show it, connections that stand are not touched.
    ///
    /// # Errors
    /// [`Error::Certificate`] if it is for another key; [`Error::File`].
    pub fn adopt(&self, chain: Vec<CertificateDer<'static>>) -> Result<Arc<Identity>, Error> {
        let mut next = self.next();
        let present = self.current().map(|identity| identity.key.clone());
        let own = chain.first().and_then(|own| Certificate::from_der(own).ok());
        let key = own.and_then(|own| next.iter().chain(present.iter()).find(|key| key.spki() == own.spki()).cloned());
        let key = key.ok_or_else(|| Error::Certificate("it is for another key than ours".to_owned()))?;
        let identity = Arc::new(Identity::new(key, chain)?);
        self.store(&identity)?;
        if let Some(directory) = &self.0.directory {
            files::remove(&directory.join(NEXT_KEY))?;
        }
        *next = None;
        Ok(identity)
    }

    /// Makes `identity` the present one, whatever its key.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn replace(&self, identity: Identity) -> Result<Arc<Identity>, Error> {
        let _next = self.next();
        let identity = Arc::new(identity);
        self.store(&identity)?;
        Ok(identity)
    }

    /// Keeps the enrolment code until there is an identity: after a crash the request can be sent again.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn keep_code(&self, code: &Code) -> Result<(), Error> {
        match &self.0.directory {
            Some(directory) => files::replace(&directory.join(CODE), Zeroizing::new(code.to_string()).as_bytes()),
            None => Ok(()),
        }
    }

    /// The enrolment code that was kept, if there is one.
    ///
    /// # Errors
    /// [`Error::File`], and [`Error::Damaged`] if the file does not hold a code.
    pub fn kept_code(&self) -> Result<Option<Code>, Error> {
        let Some(path) = self.0.directory.as_ref().map(|directory| directory.join(CODE)) else { return Ok(None) };
        let Some(text) = files::read(&path)?.map(Zeroizing::new) else { return Ok(None) };
        let code = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
        let what = || "it does not hold an enrolment code".to_owned();
        code.map(Some).ok_or_else(|| Error::Damaged { path, what: what(), remedy: "remove it and give the code again" })
    }

    /// Forgets the enrolment code.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn forget_code(&self) -> Result<(), Error> {
        self.0.directory.as_ref().map_or(Ok(()), |directory| files::remove(&directory.join(CODE)))
    }

    fn store(&self, identity: &Arc<Identity>) -> Result<(), Error> {
        if let Some(directory) = &self.0.directory {
            files::replace(&directory.join(IDENTITY), identity.to_pem().as_bytes())?;
        }
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Some(identity.clone());
        self.0.changes.send_modify(|count| *count += 1);
        Ok(())
    }

    /// Also orders the writers.
    fn next(&self) -> MutexGuard<'_, Option<Arc<SigningKey>>> {
        self.0.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
