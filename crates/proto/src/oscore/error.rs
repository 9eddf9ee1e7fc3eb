//! Why a message was not protected or opened, and what a server says to it.

use crate::coap::{Code, Message, MessageId, Type, WriteError, Writer, option};
use core::fmt;

/// Why a message was not protected or opened. Whatever it was, nothing was believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No OSCORE option: the message is not protected.
    Unprotected,
    /// The OSCORE option or what was encrypted cannot be decoded.
    Malformed,
    /// No context has this key identifier.
    UnknownContext,
    /// The message came before, or is older than the window.
    Replayed,
    /// The tag is wrong.
    Forged,
    /// The blocks of a proxy: not taken (RFC 8613 section 4.1.3.4.2).
    OuterBlock,
    /// The response does not fit its request: a notification nobody asked for, or a second response.
    Unasked,
    /// The context has protected, or refused, too many messages: a new EDHOC run makes another.
    ContextLost,
    /// All stored sequence numbers are used: reserve more, store the bound, go on.
    NothingReserved,
    /// The message to protect has an OSCORE or Proxy-Uri option, or no code of its kind.
    Unprotectable,
    /// The buffer is too small.
    Full,
    /// The sender and the recipient have the same identifier, or an identifier is too long.
    Parameters,
}

impl Error {
    /// The code of a server's answer to a request that was not opened (RFC 8613 sections 7.4, 8.2), sent without
    /// protection. `None` where silence is right, or the fault is one's own.
    #[must_use]
    pub const fn code(self) -> Option<Code> {
        match self {
            Self::Malformed => Some(Code::BAD_OPTION),
            Self::UnknownContext | Self::ContextLost | Self::Replayed | Self::Unprotected => Some(Code::UNAUTHORIZED),
            Self::Forged => Some(Code::BAD_REQUEST),
            Self::NothingReserved | Self::Full => Some(Code::SERVICE_UNAVAILABLE),
            Self::OuterBlock | Self::Unasked | Self::Unprotectable | Self::Parameters => None,
        }
    }

    /// The diagnostic payload the standard has for it.
    #[must_use]
    pub const fn diagnostic(self) -> &'static str {
        match self {
            Self::Malformed => "Failed to decode COSE",
            Self::UnknownContext | Self::ContextLost => "Security context not found",
            Self::Replayed => "Replay detected",
            Self::Forged => "Decryption failed",
            Self::Unprotected
            | Self::OuterBlock
            | Self::Unasked
            | Self::NothingReserved
            | Self::Unprotectable
            | Self::Full
            | Self::Parameters => "",
        }
    }
}

/// Writes the unprotected answer to `request`, which was not opened: on the acknowledgement if it is confirmable, else with
/// the id `own`. `None` if no answer is due.
pub fn reject<'o>(request: &Message<'_>, error: Error, own: MessageId, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let code = error.code()?;
    let (kind, id) = match request.kind() {
        Type::Confirmable => (Type::Acknowledgement, request.id()),
        Type::NonConfirmable => (Type::NonConfirmable, own),
        Type::Acknowledgement | Type::Reset => return None,
    };
    let mut writer = Writer::new(out, kind, code, id, request.token());
    // Not to be kept by proxies: the next request would be another one anyway.
    writer.uint(option::MAX_AGE, 0).payload(error.diagnostic().as_bytes());
    writer.finish().ok().map(|message| &*message)
}

impl From<WriteError> for Error {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Full => Self::Full,
            WriteError::Order => Self::Malformed,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unprotected => "the message is not protected",
            Self::Malformed => "the protected message cannot be decoded",
            Self::UnknownContext => "no security context has this key identifier",
            Self::Replayed => "the message came before, or is too old",
            Self::Forged => "the message was changed or made with another key",
            Self::OuterBlock => "the protected message was cut into blocks on its way",
            Self::Unasked => "the response does not fit its request",
            Self::ContextLost => "the security context is used up: run EDHOC again",
            Self::NothingReserved => "no sequence numbers are left: reserve more and store the bound first",
            Self::Unprotectable => {
                "the message has an option that cannot be protected, or is neither request nor response"
            }
            Self::Full => "the buffer is too small for the message",
            Self::Parameters => "the identifiers are the same or too long",
        })
    }
}

impl core::error::Error for Error {}
