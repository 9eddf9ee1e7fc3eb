//! CoAP: messages, reliability, blockwise and observe (RFC 7252, 7641, 7959).
//!
//! Nothing here sends, waits or keeps bytes. A server that has thousands of peers and a chip that has two keep the same
//! small values, as many as they like:
//!
//! | value | one for each | what it knows |
//! | --- | --- | --- |
//! | [`Message`], [`Writer`] | datagram | the bytes, read and written |
//! | [`MessageIds`] | peer, or endpoint | the next message id |
//! | [`Seen`] | peer | which message ids came already, and where the caller keeps the answer |
//! | [`Exchange`] | own request | when to send again, when to give up, which answer belongs to it |
//! | [`Retransmit`] | own confirmable response or notification | when to send again, when to give up |
//! | [`Pending`] | request that is being answered | whether the answer rides on the acknowledgement |
//! | [`block`] | transfer | which part comes next |
//! | [`observe`] | observation | which notification is newer |
//! | [`echo`] | – | whether a request is fresh and its sender reachable (RFC 9175) |
//!
//! Times are milliseconds of any clock that does not go back; only differences count.

pub mod block;
pub mod echo;
mod exchange;
mod message;
pub mod observe;
pub mod option;
mod seen;
mod write;

pub use exchange::{
    EXCHANGE_LIFETIME_MS, Exchange, Expiry, Matched, Pending, Retransmit, Transmission, acknowledgement, ping, refuse,
    reset,
};
pub use message::{Header, Malformed, Message, Options};
pub use option::Number;
pub use seen::{Arrival, MessageIds, Seen};
pub use write::{WriteError, Writer, repeat_with};

use core::fmt;

/// The largest message that is read or written without blockwise transfer when nothing is known about the path
/// (RFC 7252 section 4.6).
pub const MAX_MESSAGE: usize = 1152;

/// How a message is delivered (RFC 7252 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Sent again until acknowledged.
    Confirmable,
    /// Sent once.
    NonConfirmable,
    /// Acknowledges a confirmable message; a response may ride on it.
    Acknowledgement,
    /// The message could not be processed.
    Reset,
}

impl Type {
    const fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Confirmable,
            1 => Self::NonConfirmable,
            2 => Self::Acknowledgement,
            _ => Self::Reset,
        }
    }

    const fn bits(self) -> u8 {
        match self {
            Self::Confirmable => 0,
            Self::NonConfirmable => 1,
            Self::Acknowledgement => 2,
            Self::Reset => 3,
        }
    }
}

/// A method or response code, `class.detail` (RFC 7252 section 12.1).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Code(u8);

macro_rules! codes {
    ($($name:ident $class:literal $detail:literal $meaning:literal;)*) => {
        impl Code {
            $(#[doc = concat!("", stringify!($class), ".", stringify!($detail), ": ", $meaning, ".")]
            pub const $name: Self = Self::new($class, $detail);)*
        }
    };
}

codes! {
    EMPTY 0 0 "neither request nor response";
    GET 0 1 "read a resource";
    POST 0 2 "process what is enclosed";
    PUT 0 3 "replace a resource";
    DELETE 0 4 "delete a resource";
    FETCH 0 5 "read what the enclosed query asks for (RFC 8132)";
    PATCH 0 6 "change a part of a resource (RFC 8132)";
    IPATCH 0 7 "change a part of a resource, idempotently (RFC 8132)";
    CREATED 2 1 "a resource was made";
    DELETED 2 2 "a resource is gone";
    VALID 2 3 "what the client holds is still right";
    CHANGED 2 4 "done";
    CONTENT 2 5 "here it is";
    CONTINUE 2 31 "the block was received, send the next (RFC 7959)";
    BAD_REQUEST 4 0 "the request cannot be understood";
    UNAUTHORIZED 4 1 "the client must prove more";
    BAD_OPTION 4 2 "a critical option is unknown or malformed";
    FORBIDDEN 4 3 "not allowed to this client";
    NOT_FOUND 4 4 "no such resource";
    METHOD_NOT_ALLOWED 4 5 "not with this method";
    NOT_ACCEPTABLE 4 6 "not in this content format";
    REQUEST_ENTITY_INCOMPLETE 4 8 "blocks are missing (RFC 7959)";
    CONFLICT 4 9 "not in the present state (RFC 8132)";
    PRECONDITION_FAILED 4 12 "a condition of the request does not hold";
    REQUEST_ENTITY_TOO_LARGE 4 13 "more than the server takes";
    UNSUPPORTED_CONTENT_FORMAT 4 15 "the server does not read this content format";
    UNPROCESSABLE_ENTITY 4 22 "understood and still not doable (RFC 8132)";
    TOO_MANY_REQUESTS 4 29 "ask again later (RFC 8516)";
    INTERNAL_SERVER_ERROR 5 0 "the server failed";
    NOT_IMPLEMENTED 5 1 "the server does not know the method";
    BAD_GATEWAY 5 2 "the server behind failed";
    SERVICE_UNAVAILABLE 5 3 "ask again after Max-Age seconds";
    GATEWAY_TIMEOUT 5 4 "the server behind did not answer";
    PROXYING_NOT_SUPPORTED 5 5 "this server is no proxy";
}

impl Code {
    /// The code `class.detail`; only the low 3 and 5 bits count.
    #[must_use]
    pub const fn new(class: u8, detail: u8) -> Self {
        Self(((class & 7) << 5) | (detail & 31))
    }

    /// The code as it is on the wire.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Self {
        Self(byte)
    }

    /// As it is on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self.0
    }

    /// 0 for requests; 2, 4 and 5 for responses.
    #[must_use]
    pub const fn class(self) -> u8 {
        self.0 >> 5
    }

    /// What follows the point.
    #[must_use]
    pub const fn detail(self) -> u8 {
        self.0 & 31
    }

    /// A method.
    #[must_use]
    pub const fn is_request(self) -> bool {
        self.class() == 0 && self.0 != 0
    }

    /// A response of any class in use (2, 4, 5).
    #[must_use]
    pub const fn is_response(self) -> bool {
        matches!(self.class(), 2 | 4 | 5)
    }

    /// A response of class 2.
    #[must_use]
    pub const fn is_success(self) -> bool {
        self.class() == 2
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:02}", self.class(), self.detail())
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What tells a message from its repetition, within one peer and `EXCHANGE_LIFETIME` (RFC 7252 section 4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(pub u16);

/// What tells a client which of its requests is answered: 0 to 8 bytes (RFC 7252 section 5.3.1).
#[derive(Clone, Copy, Default)]
pub struct Token {
    bytes: [u8; 8],
    length: u8,
}

impl Token {
    /// The token of no bytes.
    pub const EMPTY: Self = Self { bytes: [0; 8], length: 0 };

    /// Takes a token from its bytes; `None` if they are more than 8.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let mut token = Self { bytes: [0; 8], length: u8::try_from(bytes.len()).ok()? };
        token.bytes.get_mut(..bytes.len())?.copy_from_slice(bytes);
        Some(token)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or(&[])
    }
}

impl From<[u8; 8]> for Token {
    fn from(bytes: [u8; 8]) -> Self {
        Self { bytes, length: 8 }
    }
}

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Token {}

impl core::hash::Hash for Token {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// Numbers of content formats (RFC 7252 section 12.3 and the registry of IANA).
pub mod content_format {
    /// text/plain; charset=utf-8.
    pub const TEXT: u16 = 0;
    /// application/octet-stream.
    pub const BYTES: u16 = 42;
    /// application/json.
    pub const JSON: u16 = 50;
    /// application/cbor.
    pub const CBOR: u16 = 60;
    /// application/edhoc+cbor-seq (RFC 9528 section 10.9).
    pub const EDHOC: u16 = 64;
    /// application/cid-edhoc+cbor-seq: an EDHOC message after a connection identifier (RFC 9528 section 10.9).
    pub const CID_EDHOC: u16 = 65;
    /// application/cose; cose-type="cose-encrypt0" (RFC 9052).
    pub const COSE_ENCRYPT0: u16 = 16;
    /// application/cose; cose-type="cose-sign1" (RFC 9052).
    pub const COSE_SIGN1: u16 = 18;
    /// application/pkcs7-mime; smime-type=certs-only (RFC 9148).
    pub const PKCS7_CERTIFICATES: u16 = 281;
    /// application/pkcs10 (RFC 9148).
    pub const PKCS10: u16 = 286;
    /// application/pkix-cert (RFC 9148).
    pub const PKIX_CERTIFICATE: u16 = 287;
    /// A C509 certificate (TBD3 of draft-ietf-cose-cbor-encoded-cert: of the range for experiments until it has a number).
    pub const C509_CERTIFICATE: u16 = 65_003;
    /// A C509 certification request (TBD4 of the same).
    pub const C509_REQUEST: u16 = 65_004;
}
