//! CRC-32 (ISO-HDLC, as in IEEE 802.3), four bits at a time: sixteen words of table.

const TABLE: [u32; 16] = {
    let mut table = [0; 16];
    let mut rest: &mut [u32] = &mut table;
    let mut value = 0_u32;
    while let Some((entry, tail)) = rest.split_first_mut() {
        let mut crc = value;
        let mut bit = 0_u32;
        while bit < 4 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
            bit = bit.wrapping_add(1);
        }
        *entry = crc;
        value = value.wrapping_add(1);
        rest = tail;
    }
    table
};

/// A checksum under way.
#[derive(Clone, Copy)]
pub(super) struct Crc(u32);

impl Crc {
    pub(super) const fn new() -> Self {
        Self(u32::MAX)
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.nibble(*byte);
            self.nibble(*byte >> 4);
        }
    }

    fn nibble(&mut self, low: u8) {
        let at = usize::from((self.0.to_le_bytes()[0] ^ low) & 0x0f);
        self.0 = (self.0 >> 4) ^ TABLE.get(at).copied().unwrap_or_default();
    }

    pub(super) const fn finish(self) -> u32 {
        !self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_value_of_the_catalogue() {
        let mut crc = Crc::new();
        crc.update(b"12345");
        crc.update(b"6789");
        assert_eq!(crc.finish(), 0xcbf4_3926);
    }
}
