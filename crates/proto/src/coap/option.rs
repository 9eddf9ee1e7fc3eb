//! Numbers of options, and what their numbers say (RFC 7252 section 5.4.6).

/// The number of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number(pub u16);

/// The resource must have one of these tags. Repeatable.
pub const IF_MATCH: Number = Number(1);
/// The name of the host that is asked.
pub const URI_HOST: Number = Number(3);
/// The tag of a representation. Repeatable in requests.
pub const ETAG: Number = Number(4);
/// The resource must not exist.
pub const IF_NONE_MATCH: Number = Number(5);
/// Register, deregister; the number of a notification (RFC 7641).
pub const OBSERVE: Number = Number(6);
/// The port that is asked.
pub const URI_PORT: Number = Number(7);
/// A segment of the path of what was made. Repeatable.
pub const LOCATION_PATH: Number = Number(8);
/// The message is protected (RFC 8613).
pub const OSCORE: Number = Number(9);
/// A segment of the path. Repeatable.
pub const URI_PATH: Number = Number(11);
/// The format of the payload.
pub const CONTENT_FORMAT: Number = Number(12);
/// For how many seconds the response is fresh.
pub const MAX_AGE: Number = Number(14);
/// An argument of the query. Repeatable.
pub const URI_QUERY: Number = Number(15);
/// How many proxies may still forward this (RFC 8768).
pub const HOP_LIMIT: Number = Number(16);
/// The format the client wants.
pub const ACCEPT: Number = Number(17);
/// Robust blocks of a request (RFC 9177).
pub const Q_BLOCK1: Number = Number(19);
/// An argument of the query of what was made. Repeatable.
pub const LOCATION_QUERY: Number = Number(20);
/// The payload begins with EDHOC message 3 (RFC 9668).
pub const EDHOC: Number = Number(21);
/// A block of the response (RFC 7959).
pub const BLOCK2: Number = Number(23);
/// A block of the request (RFC 7959).
pub const BLOCK1: Number = Number(27);
/// The size of the whole response (RFC 7959).
pub const SIZE2: Number = Number(28);
/// Robust blocks of a response (RFC 9177). Repeatable.
pub const Q_BLOCK2: Number = Number(31);
/// The whole address, for a proxy.
pub const PROXY_URI: Number = Number(35);
/// The scheme of the address, for a proxy.
pub const PROXY_SCHEME: Number = Number(39);
/// The size of the whole request.
pub const SIZE1: Number = Number(60);
/// What the client must repeat to prove that its request is fresh (RFC 9175).
pub const ECHO: Number = Number(252);
/// Which responses the client does not want (RFC 7967).
pub const NO_RESPONSE: Number = Number(258);
/// Which body a block belongs to (RFC 9175). Repeatable.
pub const REQUEST_TAG: Number = Number(292);

impl Number {
    /// Who does not know this option must not go on (RFC 7252 section 5.4.1).
    #[must_use]
    pub const fn is_critical(self) -> bool {
        self.0 & 1 != 0
    }

    /// A proxy that does not know this option must not forward the message (RFC 7252 section 5.4.2).
    #[must_use]
    pub const fn is_unsafe(self) -> bool {
        self.0 & 2 != 0
    }

    /// The lengths the standards allow, in bytes. An option outside is treated as one that is not known
    /// (RFC 7252 section 5.4.3). What is not known here may have any length.
    #[must_use]
    pub const fn lengths(self) -> (usize, usize) {
        match self {
            IF_MATCH => (0, 8),
            URI_HOST => (1, 255),
            ETAG => (1, 8),
            IF_NONE_MATCH => (0, 0),
            OBSERVE | BLOCK1 | BLOCK2 | Q_BLOCK1 | Q_BLOCK2 => (0, 3),
            URI_PORT | CONTENT_FORMAT | ACCEPT => (0, 2),
            OSCORE | LOCATION_PATH | URI_PATH | URI_QUERY | LOCATION_QUERY => (0, 255),
            MAX_AGE | SIZE1 | SIZE2 => (0, 4),
            HOP_LIMIT => (1, 1),
            // RFC 9668 section 3.1: the value is ignored.
            EDHOC => (0, usize::MAX),
            PROXY_URI => (1, 1034),
            PROXY_SCHEME => (1, 255),
            ECHO => (1, 40),
            NO_RESPONSE => (0, 1),
            REQUEST_TAG => (0, 8),
            _ => (0, usize::MAX),
        }
    }

    /// It may occur more than once (RFC 7252 section 5.4.5). What is not known here may.
    #[must_use]
    pub const fn is_repeatable(self) -> bool {
        !matches!(
            self,
            URI_HOST
                | IF_NONE_MATCH
                | OBSERVE
                | URI_PORT
                | OSCORE
                | CONTENT_FORMAT
                | MAX_AGE
                | HOP_LIMIT
                | ACCEPT
                | Q_BLOCK1
                | EDHOC
                | BLOCK2
                | BLOCK1
                | SIZE2
                | PROXY_URI
                | PROXY_SCHEME
                | SIZE1
                | ECHO
                | NO_RESPONSE
        )
    }
}
