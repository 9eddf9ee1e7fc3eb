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
mod retired;
mod serve;
mod signed;
mod supervisor;
mod web;

pub use check::{Refused, check};
pub use client::ProcessSigner;
pub use protocol::{Answer, MAX_MESSAGE, Request, decode_answer, decode_request, encode_answer};
pub use retired::merge_retired;
pub use serve::{Callers, InProcess, end_with_parent, listen, serve};
pub use signed::FILE as CHECKPOINTS;
pub(crate) use signed::{Signed, behind};
pub use supervisor::Supervisor;

use medlock_node::log::Checkpoint;
use medlock_node::provider::{SigningAlgorithm, WebAlgorithm};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::str::FromStr;

/// So many labels behind one that is known, a later key is looked for: labels of keys that were retired or lost are gaps.
pub(crate) const LABELS: u16 = 64;

/// What one of the authority's keys is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyRole {
    /// A root: signs authorities and the site list, and nothing else. It may be kept offline.
    Root,
    /// An issuing key: signs credentials of devices, status and the site's other objects, and never an authority.
    Issuing,
    /// The key of the transparency log: signs checkpoints, and nothing else. Ed25519, as the log's format asks.
    Log,
    /// A maker's voucher key: signs vouchers, and nothing else.
    Voucher,
}

impl KeyRole {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Root, Self::Issuing, Self::Log, Self::Voucher];

    /// The role's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Issuing => "issuing",
            Self::Log => "log",
            Self::Voucher => "voucher",
        }
    }
}

impl fmt::Display for KeyRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which of the authority's keys: its role, and which of that role. As text `issuing` for the first, `issuing-2` for the
/// second, as its file is called too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct KeyLabel {
    role: KeyRole,
    number: NonZeroU16,
}

impl KeyLabel {
    /// The first root.
    pub const ROOT: Self = Self::first(KeyRole::Root);
    /// The first issuing key.
    pub const ISSUING: Self = Self::first(KeyRole::Issuing);
    /// The first key of the log.
    pub const LOG: Self = Self::first(KeyRole::Log);
    /// The first voucher key.
    pub const VOUCHER: Self = Self::first(KeyRole::Voucher);

    /// The first key of this role.
    #[must_use]
    pub const fn first(role: KeyRole) -> Self {
        Self { role, number: NonZeroU16::MIN }
    }

    /// The key of this role with this number; numbers begin with 1.
    #[must_use]
    pub const fn new(role: KeyRole, number: u16) -> Option<Self> {
        match NonZeroU16::new(number) {
            Some(number) => Some(Self { role, number }),
            None => None,
        }
    }

    /// What it is for.
    #[must_use]
    pub const fn role(self) -> KeyRole {
        self.role
    }

    /// Which of its role, from 1.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.number.get()
    }
}

impl fmt::Display for KeyLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.number() {
            1 => self.role.fmt(f),
            number => write!(f, "{}-{number}", self.role),
        }
    }
}

impl FromStr for KeyLabel {
    type Err = NoLabel;

    fn from_str(text: &str) -> Result<Self, NoLabel> {
        let (role, number) = match text.split_once('-') {
            None => (text, Some(1)),
            Some((role, number)) => (role, number.parse().ok()),
        };
        let role = KeyRole::ALL.into_iter().find(|known| known.name() == role);
        let label = role.zip(number).and_then(|(role, number)| Self::new(role, number));
        // One text for each label: not `issuing-1`, not `issuing-02`.
        label.filter(|label| label.to_string() == text).ok_or_else(|| NoLabel(text.to_owned()))
    }
}

impl TryFrom<String> for KeyLabel {
    type Error = NoLabel;

    fn try_from(text: String) -> Result<Self, NoLabel> {
        text.parse()
    }
}

impl From<KeyLabel> for String {
    fn from(label: KeyLabel) -> Self {
        label.to_string()
    }
}

/// A text that names no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no key: write root, issuing, log or voucher, and behind it -2, -3, … for later ones")]
pub struct NoLabel(String);

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
    /// The text of a checkpoint (C2SP tlog-checkpoint).
    Checkpoint,
    /// A `Sig_structure` (RFC 9052 section 4.4) of a voucher in CBOR.
    Voucher,
    /// The signed attributes (RFC 5652 section 5.3) of a voucher in JSON.
    VoucherAttributes,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Certificate,
        Self::C509,
        Self::Crl,
        Self::Ocsp,
        Self::Cose,
        Self::Checkpoint,
        Self::Voucher,
        Self::VoucherAttributes,
    ];

    /// The kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Certificate => "certificate",
            Self::C509 => "C509 certificate",
            Self::Crl => "CRL",
            Self::Ocsp => "OCSP response",
            Self::Cose => "COSE object",
            Self::Checkpoint => "checkpoint",
            Self::Voucher => "voucher",
            Self::VoucherAttributes => "voucher in JSON",
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
    /// Makes the key of this algorithm, if there is none with this label yet, and tells its public half
    /// (`SubjectPublicKeyInfo`, DER). A key that is there stays, also when it is of another algorithm.
    ///
    /// # Errors
    /// [`SignerError`]; [`SignerError::Refused`] when keys of this role are not of this algorithm.
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError>;

    /// The public half (`SubjectPublicKeyInfo`, DER) of a key that is there, else `None`.
    ///
    /// # Errors
    /// [`SignerError`].
    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError>;

    /// Signs `message`, if it is of this kind and the key may sign it, as the key's algorithm does. ECDSA gives a DER
    /// `ECDSA-Sig-Value`, for [`Kind::C509`], [`Kind::Cose`] and [`Kind::Voucher`] `r‖s`.
    ///
    /// # Errors
    /// [`SignerError::Refused`] when the key may not sign this, [`SignerError::NoKey`] when it is not there,
    /// [`SignerError::Away`] when the signer could not be reached.
    fn sign(&self, key: KeyLabel, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError>;

    /// Signs each of these messages, as [`Signer::sign`] does; one outcome for each, in their order.
    fn sign_all(&self, key: KeyLabel, kind: Kind, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignerError>> {
        messages.iter().map(|message| self.sign(key, kind, message)).collect()
    }

    /// Lets an issuing key sign nothing any more, for good, and sets its file aside; asking again changes nothing. The
    /// authority has told its store before, and asks again at each start. Nothing is destroyed: whoever speaks to the signer
    /// can take an authority no key that people could not bring back.
    ///
    /// # Errors
    /// [`SignerError::Refused`] when it is no issuing key, or there is no later one.
    fn retire(&self, key: KeyLabel) -> Result<(), SignerError>;

    /// The newest checkpoint of this log that was signed, if one was; where the signer keeps none, none. A smaller one, or
    /// another one of its size, is not signed any more.
    ///
    /// # Errors
    /// [`SignerError`].
    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError>;

    /// The public half (`SubjectPublicKeyInfo`, DER) of the key for tokens of the web, which is made at first use.
    ///
    /// # Errors
    /// [`SignerError`]; [`SignerError::Refused`] where there are no such keys.
    fn web_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, SignerError> {
        Err(SignerError::Refused(format!("there is no key for {algorithm} here")))
    }

    /// Signs the signing input of an ID token (RFC 7515 section 5.1; OpenID Connect Core section 2).
    ///
    /// # Errors
    /// [`SignerError::Refused`] when it is anything else, or speaks for another issuer than the first one did.
    fn sign_token(&self, algorithm: WebAlgorithm, input: &str) -> Result<Vec<u8>, SignerError> {
        let _ = input;
        Err(SignerError::Refused(format!("there is no key for {algorithm} here")))
    }
}

impl<S: Signer + ?Sized> Signer for std::sync::Arc<S> {
    fn generate(&self, key: KeyLabel, algorithm: SigningAlgorithm) -> Result<Vec<u8>, SignerError> {
        (**self).generate(key, algorithm)
    }

    fn public_key(&self, key: KeyLabel) -> Result<Option<Vec<u8>>, SignerError> {
        (**self).public_key(key)
    }

    fn sign(&self, key: KeyLabel, kind: Kind, message: &[u8]) -> Result<Vec<u8>, SignerError> {
        (**self).sign(key, kind, message)
    }

    fn sign_all(&self, key: KeyLabel, kind: Kind, messages: &[&[u8]]) -> Vec<Result<Vec<u8>, SignerError>> {
        (**self).sign_all(key, kind, messages)
    }

    fn retire(&self, key: KeyLabel) -> Result<(), SignerError> {
        (**self).retire(key)
    }

    fn signed_checkpoint(&self, origin: &str) -> Result<Option<Checkpoint>, SignerError> {
        (**self).signed_checkpoint(origin)
    }

    fn web_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, SignerError> {
        (**self).web_key(algorithm)
    }

    fn sign_token(&self, algorithm: WebAlgorithm, input: &str) -> Result<Vec<u8>, SignerError> {
        (**self).sign_token(algorithm, input)
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
        "the {0} key is not here: it is kept offline, its file was moved, or another hub has made it; bring {0}.key to the \
         signer's directory"
    )]
    NoKey(KeyLabel),
    /// The signer process could not be reached.
    #[error("the signer process cannot be reached: {0}; the next request tries again")]
    Away(String),
    /// A key file could not be used.
    #[error("{0}")]
    KeyFile(String),
    /// The token with the keys did not do it.
    #[error(
        "the PKCS#11 token {token:?} of {module} cannot be used: {why}; put it back or start it: a hub that runs tries again at the next request",
        module = module.display()
    )]
    Token {
        /// Its library.
        module: PathBuf,
        /// Its label.
        token: String,
        /// What the library said.
        why: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-KEYS-03.
    #[test]
    fn a_label_has_one_text() {
        for (role, number, text) in
            [(KeyRole::Root, 1, "root"), (KeyRole::Issuing, 2, "issuing-2"), (KeyRole::Log, 65_535, "log-65535")]
        {
            let label = KeyLabel::new(role, number).unwrap();
            assert_eq!(label.to_string(), text);
            assert_eq!(text.parse(), Ok(label));
        }
        for wrong in
            ["", "issuing-1", "issuing-02", "issuing-", "issuing-65536", "issuing-+2", "Root", "notary", "../root"]
        {
            assert!(wrong.parse::<KeyLabel>().is_err(), "{wrong}");
        }
        assert_eq!(KeyLabel::new(KeyRole::Root, 0), None);
    }
}
