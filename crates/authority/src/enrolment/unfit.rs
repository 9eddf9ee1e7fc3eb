//! Why a request or a key gets no credential, in words that whoever asked can act on.

use super::{Answer, RefusalKind, refused};

/// Why a request or a key gets no credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// A private key was handed in.
    #[error(
        "this is a private key: it must never leave the device in which it was made. Do not use it any more; let the device's \
         own chip make a key, and hand in its public half or a request"
    )]
    PrivateKey,
    /// The request is not signed with the key it names.
    #[error("the request's signature is wrong: it must be signed with the key it names")]
    BadSignature,
    /// Keys of this kind get no credential.
    #[error("{0}")]
    KeyType(String),
    /// The key is no point of its curve, or its private half can be guessed.
    #[error("{0}: the device must make a new key, from a generator of good random numbers")]
    WeakKey(&'static str),
    /// The private half of the key is published, or the operator has blocked the key.
    #[error("this key is known to others ({0}): the device must make a key of its own")]
    KnownKey(String),
    /// The key was revoked as compromised.
    #[error("this key is known to be compromised: the device must make a new one")]
    CompromisedKey,
    /// Another device has the key.
    #[error("{0} has this key: each device must make a key of its own")]
    ReusedKey(String),
    /// The device has a credential for another key.
    #[error("{0}")]
    SecondKey(String),
    /// The request asks for another name.
    #[error("{0}")]
    WrongName(String),
    /// The request asks for what the profile does not give.
    #[error("{0}")]
    WrongProfile(String),
}

impl Unfit {
    /// The reason's stable name.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) => "malformed",
            Self::PrivateKey => "private-key",
            Self::BadSignature => "bad-signature",
            Self::KeyType(_) => "key-type",
            Self::WeakKey(_) => "weak-key",
            Self::KnownKey(_) => "known-key",
            Self::CompromisedKey => "compromised-key",
            Self::ReusedKey(_) => "reused-key",
            Self::SecondKey(_) => "second-key",
            Self::WrongName(_) => "wrong-name",
            Self::WrongProfile(_) => "wrong-profile",
        }
    }
}

impl From<Unfit> for Answer {
    fn from(unfit: Unfit) -> Self {
        let kind = match unfit {
            Unfit::CompromisedKey | Unfit::ReusedKey(_) | Unfit::SecondKey(_) => RefusalKind::Forbidden,
            Unfit::Malformed(_)
            | Unfit::PrivateKey
            | Unfit::BadSignature
            | Unfit::KeyType(_)
            | Unfit::WeakKey(_)
            | Unfit::KnownKey(_)
            | Unfit::WrongName(_)
            | Unfit::WrongProfile(_) => RefusalKind::Malformed,
        };
        refused(kind, unfit.to_string())
    }
}
