//! The signer: the only process that has the authority's private keys.
//!
//! It listens on a Unix socket, has no network, and signs only what a key of that kind may sign; it parses what it is
//! given and refuses the rest. So somebody who takes over the hub can misuse the keys while they are there, but cannot
//! carry them away, and cannot make an issuing key sign an authority.
//!
//! | part | what is there |
//! | --- | --- |
//! | [`Signer`] | what the authority asks |
//! | [`InProcess`] | the keys in this process: for tests and short commands |
//! | [`ProcessSigner`] | the client of a signer process |
//! | [`serve`] | the signer process itself |
//! | [`Supervisor`] | starts the process, and starts it again when it was killed |

mod check;
mod client;
mod protocol;
mod serve;

pub use check::{Refused, check};
pub use client::{ProcessSigner, Supervisor};
pub use protocol::{Answer, MAX_MESSAGE, Request, decode_answer, decode_request, encode_answer};
pub use serve::{InProcess, run, serve};

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which of the authority's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KeyRole {
    /// The root: signs authorities and the site list, and nothing else. It may be kept offline.
    Root,
    /// The issuing key: signs credentials of devices, status and the site's other objects, and never an authority.
    Issuing,
}

impl KeyRole {
    /// Both keys.
    pub const ALL: [Self; 2] = [Self::Root, Self::Issuing];

    /// The key's name, also that of its file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
        }
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is to be signed. The signer checks that the bytes are what they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A `TBSCertificate` (RFC 5280 section 4.1).
    Certificate,
    /// The signed items of a native C509 certificate (draft-ietf-cose-cbor-encoded-cert-20 section 3.1).
    C509,
    /// A `TBSCertList` (RFC 5280 section 5.1).
    Crl,
    /// A `ResponseData` (RFC 6960 section 4.2.1).
    Ocsp,
    /// A `Sig_structure` (RFC 9052 section 4.4).
    Cose,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Certificate, Self::C509, Self::Crl, Self::Ocsp, Self::Cose];

    /// The kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::C509 => "C509 certificate",
            Self::Crl => "CRL",
            Self::Ocsp => "OCSP response",
            Self::Cose => "COSE object",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the authority asks of whoever has the keys. All calls block.
pub trait Signer: Send + Sync {
    /// Makes the key, if there is none yet, and tells its public half (`SubjectPublicKeyInfo`, DER).
    ///
    /// # Errors
    /// [`SignerError`].
    fn generate(&self, key: KeyRole) -> Result<Vec<u8>, SignerError>;

    /// The public half (`SubjectPublicKeyInfo`, DER) of a key that is there, else `None`.
    ///
    /// # Errors
    /// [`SignerError`].
    fn public_key(&self, key: KeyRole) -> Result<Option<Vec<u8>>, SignerError>;

    /// Signs `message`, if it is of this kind and the key may sign it. ECDSA with SHA-256: a DER `ECDSA-Sig-Value`,
    /// for [`Kind::C509`] and [`Kind::Cose`] 64 bytes `r‖s`.
    ///
    /// # Errors
    /// [`SignerError::Refused`] when the key may not sign this, [`SignerError::NoKey`] when it is not there,
    /// [`SignerError::Away`] when the signer could not be reached.
    fn sign(&self, key: KeyRole, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError>;
}

impl<S: Signer + ?Sized> Signer for std::sync::Arc<S> {
    fn generate(&self, key: KeyRole) -> Result<Vec<u8>, SignerError> {
        (**self).generate(key)
    }

    fn public_key(&self, key: KeyRole) -> Result<Option<Vec<u8>>, SignerError> {
        (**self).public_key(key)
    }

    fn sign(&self, key: KeyRole, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        (**self).sign(key, kind, message)
    }
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub enum SignerError {
    /// The signer does not sign this with that key.
    #[error("the signer refuses: {0}")]
    Refused(String),
    /// The key is not there.
    #[error(
        "the {0} key is not here: it is kept offline, or its file was moved; bring {0}.key back to the signer's directory"
    )]
    NoKey(KeyRole),
    /// The signer process could not be reached.
    #[error("the signer process cannot be reached: {0}; it is started again at the next request")]
    Away(String),
    /// A key file could not be used.
    #[error("{0}")]
    KeyFile(String),
}
