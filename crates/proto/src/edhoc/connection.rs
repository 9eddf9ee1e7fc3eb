//! Connection identifiers (RFC 9528 section 3.3).

use super::{Error, items::Items, items::is_one_byte_integer};
use core::fmt;

/// The name one side gives to a connection. The peer puts it on what it sends: in OSCORE it is the sender identifier.
///
/// At most seven bytes: an OSCORE nonce has no room for more (RFC 8613 section 3.3). EDHOC itself has no bound.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId {
    bytes: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl ConnectionId {
    /// The most bytes an identifier has.
    pub const MAX_LENGTH: usize = 7;

    /// An identifier from its bytes, as OSCORE has them; `None` if there are too many.
    #[must_use]
    pub fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LENGTH];
        bytes.get_mut(..from.len())?.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Some(Self { bytes, length: u8::try_from(from.len()).ok()? })
    }

    /// The identifier's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }

    /// The identifier as it stands in a message: one byte that is the encoding of a small integer stands for itself,
    /// everything else is a byte string (RFC 9528 section 3.3.2).
    pub(super) fn encoded(&self) -> EncodedId {
        let mut bytes = [0; 1 + Self::MAX_LENGTH];
        let [head, content @ ..] = &mut bytes;
        if let [byte] = self.as_bytes()
            && is_one_byte_integer(*byte)
        {
            *head = *byte;
            return EncodedId { bytes, length: 1 };
        }
        // The head of a byte string of at most 23 bytes.
        *head = 0x40 | self.length;
        *content = self.bytes;
        EncodedId { bytes, length: self.length.saturating_add(1) }
    }

    pub(super) fn read(items: &mut Items<'_>) -> Result<Self, Error> {
        Self::new(items.identifier()?).ok_or(Error::ConnectionId)
    }
}

impl fmt::Debug for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionId(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

/// A connection identifier as it stands in a message.
#[derive(Clone, Copy)]
pub(super) struct EncodedId {
    bytes: [u8; 1 + ConnectionId::MAX_LENGTH],
    length: u8,
}

impl EncodedId {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}
