//! EDHOC, the handshake (RFC 9528): two peers authenticate each other and agree on keys in three small messages.
//!
//! One struct stands for each step; a message moves to the next and uses the last one up. The caller brings buffers,
//! randomness, transport and, between reading a message and verifying it, the peer's credential with an
//! [`Identified`](medlock_trust::Identified): a [`Session`] cannot be had without one.
//!
//! ```text
//! initiator                                         responder
//! start → AwaitMessage2          message 1 →        Message1::read
//!                                ← message 2        Message1::message_2 → AwaitMessage3
//! read → Message2, verify → Verified2
//! message_3 → Unconfirmed        message 3 →        read → Message3, verify → Verified3
//!                                ← message 4        message_4 → Session
//! read_message_4 → Session       or the first OSCORE response, and Verified3::session
//! ```
//!
//! - A wrong message ends the handshake, or gives the state back unchanged where it may be a stranger's ([`Rejected`]).
//!   Each step states what it costs at most.
//! - Duplicates are the transport's to drop (RFC 9528 section 7): a state that has gone on cannot read a message twice,
//!   and a message can only be sent again from its bytes, because making it twice would use one key and nonce twice.
//! - Only deterministic CBOR is read.
//! - Left out: suites other than 0 to 3 and the fetching of credentials by URI (`x5u`, `c5u`).

mod connection;
mod credential;
mod ead;
mod fault;
mod items;
mod schedule;
mod session;
mod statement;
mod suite;

pub mod coap;
pub mod initiator;
pub mod responder;

pub use connection::ConnectionId;
pub use credential::{
    AuthenticationKey, Ccs, CertHash, Certificates, Credential, CredentialReference, IdCred, OwnCredential,
    PeerCredential,
};
pub use ead::{Ead, EadItem};
pub use fault::{Fault, Reply};
pub use session::{Confirmed, OscoreInput, Role, Session};
pub use suite::{Method, Suite, Suites};

use crate::crypto::{Crypto, Curve, Secret};
use core::fmt;
use items::Items;

/// A key pair for one handshake. It is used up by it.
#[derive(Debug)]
pub struct Ephemeral {
    curve: Curve,
    secret: Secret,
    public: [u8; 32],
}

impl Ephemeral {
    /// The key pair of `secret`, which is fresh from a random number generator and used nowhere else. One public-key
    /// operation, which may be done before it is needed. `None` if `secret` is no key of the curve (one in 2³² for P-256)
    /// or the curve is not supported: draw another.
    #[must_use]
    pub fn new(curve: Curve, secret: Secret, crypto: &impl Crypto) -> Option<Self> {
        let public = crypto.public_key(curve, &secret)?;
        Some(Self { curve, secret, public })
    }
}

/// A message that was refused, and the state as it was before.
#[derive(Debug)]
pub struct Rejected<S> {
    /// The state. The message may have been a stranger's: wait for the right one, a few times.
    pub state: S,
    /// What is wrong with the message.
    pub error: Error,
}

impl<S> From<Rejected<S>> for Error {
    fn from(rejected: Rejected<S>) -> Self {
        rejected.error
    }
}

/// Why a handshake does not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// The message is not deterministic CBOR of its shape, or a cryptographic field has the wrong length.
    Malformed,
    /// The method is not one we take.
    Method,
    /// The selected suite is not the first of the initiator's that we have; or one's own lists do not fit.
    Suite,
    /// The connection identifier is that of the other side, or longer than seven bytes.
    ConnectionId,
    /// Critical authorization data with this label is not understood.
    CriticalEad(u32),
    /// One's own ephemeral key is of another curve than the suite.
    Ephemeral,
    /// A public key of the peer is no point of the curve, or of small order.
    PublicKey,
    /// The peer's authentication key does not fit method and suite.
    KeyKind,
    /// A signature, MAC or tag is wrong: the message was changed, or its sender does not have the key.
    Forged,
    /// The peer showed our own credential.
    Reflected,
    /// One's own private key could not be used.
    OwnKey,
    /// One's own credential reference cannot be read back.
    OwnCredential,
    /// The buffer for the message is too short.
    NoRoom,
    /// More key material was asked for than can be derived.
    TooLong,
}

impl Error {
    /// What the peer may know of it. It tells nothing about which check failed once secrets are involved.
    #[must_use]
    pub const fn diagnosis(self) -> &'static str {
        match self {
            Self::Malformed => "malformed message",
            Self::Method => "method not supported",
            Self::Suite => "cipher suite not supported",
            Self::ConnectionId => "connection identifier not usable",
            Self::CriticalEad(_) => "critical EAD item not supported",
            Self::PublicKey => "public key not valid",
            Self::KeyKind | Self::Forged | Self::Reflected => "authentication failed",
            Self::Ephemeral | Self::OwnKey | Self::OwnCredential | Self::NoRoom | Self::TooLong => "internal error",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EDHOC: ")?;
        match self {
            Self::CriticalEad(label) => write!(f, "critical authorization data {label} is not understood"),
            Self::Ephemeral => f.write_str("the ephemeral key is of another curve"),
            Self::KeyKind => f.write_str("the authentication key does not fit method and suite"),
            Self::Forged => f.write_str("a signature, MAC or tag is wrong"),
            Self::Reflected => f.write_str("the peer showed our own credential"),
            Self::OwnKey => f.write_str("the own private key cannot be used"),
            Self::OwnCredential => f.write_str("the own credential reference is not valid"),
            Self::NoRoom => f.write_str("the buffer is too short"),
            Self::TooLong => f.write_str("too much key material was asked for"),
            Self::Malformed | Self::Method | Self::Suite | Self::ConnectionId | Self::PublicKey => {
                f.write_str(self.diagnosis())
            }
        }
    }
}

impl core::error::Error for Error {}

/// The content of a message that is one byte string.
fn only_bytes(message: &mut [u8]) -> Result<&mut [u8], Error> {
    let mut items = Items::new(message);
    let content = items.bytes()?.len();
    items.finish()?;
    let head = message.len().checked_sub(content).ok_or(Error::Malformed)?;
    message.get_mut(head..).ok_or(Error::Malformed)
}
