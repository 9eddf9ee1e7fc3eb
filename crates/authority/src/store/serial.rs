//! Certificate serial numbers.

use std::fmt;

/// A certificate serial number: 16 random bytes, the first between 0x01 and 0x7f, so that it is positive and always
/// written with 16 octets (RFC 5280 section 4.1.2.2 allows 20).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial([u8; 16]);

impl Serial {
    /// The serial of these random bytes.
    #[must_use]
    pub fn from_random(mut bytes: [u8; 16]) -> Self {
        bytes[0] &= 0x7f;
        if bytes[0] == 0 {
            bytes[0] = 1;
        }
        Self(bytes)
    }

    /// A serial from its octets, if it is one of ours.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let bytes: [u8; 16] = octets.try_into().ok()?;
        (1..=0x7f).contains(&bytes[0]).then_some(Self(bytes))
    }

    /// Its octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Serial({self})")
    }
}
