//! Protected messages: OSCORE (RFC 8613), and Echo after a reboot (RFC 9175).
//!
//! A [`SecurityContext`] protects and opens whole CoAP messages, requests and responses, in the caller's buffers. The same
//! context serves as client and as server; what links a response to its request is a small value the caller keeps with the
//! token: [`Sent`] at the client, [`Received`] at the server.
//!
//! What must not happen, and what prevents it:
//! - a nonce used twice: numbers come from a [`SenderSequence`], which gives none beyond the bound the caller has stored;
//!   the nonce of a request serves for one response, which [`Received`] remembers;
//! - a request carried out twice: a window of 64 numbers, changed only after the tag was verified; after a reboot the first
//!   request is answered with a challenge ([`Incoming::Unfresh`], RFC 8613 appendix B.1.2);
//! - old notifications taken for new ones: [`Sent`] remembers the largest Partial IV (section 7.4.1);
//! - keys used too often or guessed at too often: [`MAX_SEALED`], [`Aead::max_forgeries`], [`Aead::max_plaintext`]. Then the
//!   context is dead ([`Error::ContextLost`]) and a new EDHOC run makes another; appendix B.2 is not offered.
//!
//! Blocks are inside (RFC 8613 section 4.1.3.4.1): cut a body first, protect each message. Blocks that a proxy made outside
//! are refused. `Proxy-Uri` must be taken apart by the caller (section 4.1.3.3).

mod context;
mod error;
mod nonce;
mod option;
mod parameters;
mod sequence;
mod split;
mod window;

pub use context::{Incoming, Received, Replay, SecurityContext, Sent};
pub use error::{Error, reject};
pub use option::Compressed;
pub use parameters::{Aead, Id, Parameters};
pub use sequence::{Reservation, SenderSequence};

/// How many messages a sender key may protect: 2²⁰ (draft-ietf-core-oscore-key-limits section 2). It is compared with an
/// upper bound that survives a reboot: the own sequence number and the largest number of the peer, since a response without
/// a number of its own uses that of a request.
pub const MAX_SEALED: u64 = 1 << 20;

/// What protection adds to a message at most, in bytes: the option (2 of header, 1 of flags, 5 of Partial IV, 17 of kid
/// context, 7 of kid), a payload marker, a code, a tag of 16, Observe outside (4), and at most 10 because options that are
/// apart have larger gaps between their numbers.
pub const MAX_OVERHEAD: usize = 64;
