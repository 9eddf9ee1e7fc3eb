//! Where a peer is, as its transport writes it.

use core::fmt;

/// A peer's address: bytes that only the transport understands (an IP address and a port, a Bluetooth address, a number
/// of a link). Two addresses are the same if their bytes are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Address {
    bytes: [u8; Self::MAX_LENGTH],
    length: u8,
}

impl Address {
    /// The most bytes: an IPv6 address, a port, and one byte to spare.
    pub const MAX_LENGTH: usize = 19;

    /// No address of anybody.
    pub(crate) const NOBODY: Self = Self { bytes: [0; Self::MAX_LENGTH], length: 0 };

    /// The address with these bytes; `None` if they are more than [`Address::MAX_LENGTH`].
    #[must_use]
    pub fn new(from: &[u8]) -> Option<Self> {
        let mut bytes = [0; Self::MAX_LENGTH];
        bytes.get_mut(..from.len())?.iter_mut().zip(from).for_each(|(to, from)| *to = *from);
        Some(Self { bytes, length: u8::try_from(from.len()).ok()? })
    }

    /// The address's bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.length)).unwrap_or_default()
    }
}

impl fmt::Debug for Address {
    /// Lower-case hexadecimal.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Address(")?;
        self.as_bytes().iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}
