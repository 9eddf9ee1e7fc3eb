//! What a handshake ends in.

use super::connection::ConnectionId;
use super::credential::same;
use super::schedule;
use super::suite::{Method, Suite};
use super::{Error, Rejected};
use crate::crypto::{Crypto, Secret};
use core::fmt;
use medlock_trust::Identified;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Which side one was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It sent message 1.
    Initiator,
    /// It answered.
    Responder,
}

/// A completed handshake: both sides are authenticated and have the same keys.
///
/// It says who the peer is, not what it may do: ask [`decide`](fn@medlock_trust::decide) for each operation.
#[derive(Debug)]
pub struct Session {
    pub(super) role: Role,
    pub(super) method: Method,
    pub(super) suite: Suite,
    pub(super) own_id: ConnectionId,
    pub(super) peer_id: ConnectionId,
    pub(super) prk_out: Secret,
    pub(super) peer: Identified,
}

impl Session {
    /// Who the peer is.
    #[must_use]
    pub const fn peer(&self) -> &Identified {
        &self.peer
    }

    /// What the peer calls this connection when it sends to us: our OSCORE recipient identifier.
    #[must_use]
    pub const fn own_id(&self) -> ConnectionId {
        self.own_id
    }

    /// What we call this connection when we send to the peer: our OSCORE sender identifier.
    #[must_use]
    pub const fn peer_id(&self) -> ConnectionId {
        self.peer_id
    }

    /// Which side we were.
    #[must_use]
    pub const fn role(&self) -> Role {
        self.role
    }

    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The cipher suite.
    #[must_use]
    pub const fn suite(&self) -> Suite {
        self.suite
    }

    /// `EDHOC_Exporter` (RFC 9528 section 4.2.1): fills `out` with a key both sides can derive. A label and context must
    /// not serve two purposes; labels from 32768 are for private use.
    ///
    /// # Errors
    /// [`Error::TooLong`] if `out` is longer than 8,160 bytes.
    pub fn export(&self, label: u16, context: &[u8], out: &mut [u8], crypto: &impl Crypto) -> Result<(), Error> {
        schedule::export(&self.prk_out, label, context, out, crypto)
    }

    /// `EDHOC_KeyUpdate` (RFC 9528 appendix H): new keys from the old, which are gone. Both sides must do it with the same
    /// `context`. A new handshake gives more.
    pub fn update(&mut self, context: &[u8], crypto: &impl Crypto) {
        self.prk_out = schedule::updated(&self.prk_out, context, crypto);
    }

    /// What an OSCORE security context is made of (RFC 9528 appendix A.1). It is always the same: make one context of it,
    /// or nonces repeat.
    #[must_use]
    pub fn oscore(&self, crypto: &impl Crypto) -> OscoreInput {
        let mut input = OscoreInput {
            master_secret: [0; 16],
            master_salt: [0; 8],
            sender_id: self.peer_id,
            recipient_id: self.own_id,
        };
        // Both are much shorter than what cannot be exported.
        let _ = self.export(0, &[], &mut input.master_secret, crypto);
        let _ = self.export(1, &[], &mut input.master_salt, crypto);
        input
    }
}

/// What an OSCORE security context is made of, with AES-CCM-16-64-128 and HKDF over SHA-256, as all suites here have it.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct OscoreInput {
    /// The Master Secret.
    pub master_secret: [u8; 16],
    /// The Master Salt.
    pub master_salt: [u8; 8],
    /// One's own Sender ID.
    #[zeroize(skip)]
    pub sender_id: ConnectionId,
    /// One's own Recipient ID.
    #[zeroize(skip)]
    pub recipient_id: ConnectionId,
}

impl fmt::Debug for OscoreInput {
    /// Never shows the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OscoreInput({:?}, {:?})", self.sender_id, self.recipient_id)
    }
}

/// The proof that the responder has the keys of a session: an answer protected with them was opened. Only
/// [`oscore`](crate::oscore) makes it, from the Master Salt of the context that opened the answer.
pub struct Confirmed([u8; 8]);

impl Confirmed {
    /// An answer was opened in the context that was derived with this Master Salt.
    pub(crate) const fn by_context_of(master_salt: [u8; 8]) -> Self {
        Self(master_salt)
    }

    pub(super) fn belongs_to(&self, input: &OscoreInput) -> bool {
        same(&self.0, &input.master_salt)
    }
}

impl fmt::Debug for Confirmed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Confirmed")
    }
}

impl<S> fmt::Display for Rejected<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}
