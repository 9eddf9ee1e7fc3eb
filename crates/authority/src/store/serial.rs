//! Certificate serial numbers.

use std::fmt;

/// A certificate serial number: 16 random bytes, or 8 where each byte counts. The first is between 0x01 and 0x7f, so that
/// it is positive and always written with as many octets (RFC 5280 section 4.1.2.2 allows 20). Of a short one, the first
/// half is zero.
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

    /// The short serial of these random bytes. Should two be the same, the store refuses the second.
    #[must_use]
    pub fn short_from_random(mut bytes: [u8; 8]) -> Self {
        bytes[0] = (bytes[0] & 0x7f).max(1);
        Self((u128::from(u64::from_be_bytes(bytes))).to_be_bytes())
    }

    /// A serial from its octets, if it is one of ours.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let mut bytes = [0; 16];
        let significant = octets.iter().skip_while(|byte| **byte == 0).count();
        if octets.len() > bytes.len() || !matches!(significant, 8 | 16) {
            return None;
        }
        let octets = octets.get(octets.len() - significant..)?;
        bytes.get_mut(16 - significant..)?.copy_from_slice(octets);
        (octets.first()? < &0x80).then_some(Self(bytes))
    }

    /// Its octets, with zeros in front of a short one.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lengths_are_read_as_they_are_written_and_no_other() {
        let (long, short) = (Serial::from_random([0xff; 16]), Serial::short_from_random([0; 8]));
        assert_eq!(Serial::from_octets(long.as_bytes()), Some(long));
        assert_eq!(Serial::from_octets(short.as_bytes()), Some(short));
        assert_eq!(Serial::from_octets(&[1, 0, 0, 0, 0, 0, 0, 0]), Some(short));
        assert_eq!(long.as_bytes()[0], 0x7f);
        for octets in [&[][..], &[1; 7], &[1; 9], &[0x80; 8], &[0x80; 16], &[1; 17], &[0; 16]] {
            assert_eq!(Serial::from_octets(octets), None, "{octets:?}");
        }
    }
}
