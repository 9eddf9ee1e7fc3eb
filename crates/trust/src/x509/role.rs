//! Medlock's role extension: what a device is for, as its authority claims it.
//!
//! ```text
//! MedlockRole ::= SEQUENCE {
//!     roles       BIT STRING,                    -- named bits: bit n is role number n; at most 32
//!     deviceType  INTEGER (0..65535) OPTIONAL }
//! ```
//! In DER, so zero bits at the end of `roles` are cut off. The extension is not critical.

use crate::{
    der::{self, Reader, tag},
    role::{DeviceType, Roles},
};

/// The value of the role extension.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RoleExtension {
    /// The roles the authority claims for the device.
    pub roles: Roles,
    /// What kind of device it is.
    pub device_type: Option<DeviceType>,
}

impl RoleExtension {
    /// Reads the value of the extension.
    ///
    /// # Errors
    /// What is wrong with its DER: more than 32 roles, a device type above 65535, or anything after them.
    pub fn from_der(der: &[u8]) -> Result<Self, der::Error> {
        let mut reader = Reader::new(der);
        let mut inner = reader.nested(tag::SEQUENCE)?;
        reader.finish()?;
        let roles = Roles::from_bits(inner.bit_string()?.named_bits()?);
        let device_type = if inner.is_empty() {
            None
        } else {
            Some(DeviceType(u16::try_from(inner.unsigned()?).map_err(|_| der::Error::Integer)?))
        };
        inner.finish()?;
        Ok(Self { roles, device_type })
    }
}

/// Writes the value of the role extension into `out` and gives back the part that was written (at most 14 bytes).
#[must_use]
pub fn role_extension_der(roles: Roles, device_type: Option<DeviceType>, out: &mut [u8; 64]) -> &[u8] {
    let bits = roles.bits();
    let octets = usize::try_from(32_u32.saturating_sub(bits.leading_zeros()).div_ceil(8)).unwrap_or_default();
    let written = bits.to_le_bytes().map(u8::reverse_bits);
    let shown = written.get(..octets).unwrap_or_default();
    let unused = shown.last().map_or(0, |last| last.trailing_zeros());
    let number = device_type.map(|DeviceType(number)| number.to_be_bytes());
    // An INTEGER is as short as it can be and has a zero in front when its top bit is set.
    let integer: &[u8] = match &number {
        None => &[],
        Some([0, low]) if *low < 0x80 => &[tag::INTEGER, 1, *low],
        Some([high, low]) if *high >= 0x80 => &[tag::INTEGER, 3, 0, *high, *low],
        Some([high, low]) => &[tag::INTEGER, 2, *high, *low],
    };
    let small = |length: usize| u8::try_from(length).unwrap_or(u8::MAX);
    let bit_string_length = octets.saturating_add(1);
    let content = bit_string_length.saturating_add(2).saturating_add(integer.len());
    let head = [tag::SEQUENCE, small(content), tag::BIT_STRING, small(bit_string_length), small(unused as usize)];
    let bytes = head.iter().chain(shown).chain(integer);
    let mut length = 0_usize;
    for (to, from) in out.iter_mut().zip(bytes) {
        *to = *from;
        length = length.saturating_add(1);
    }
    out.get(..length).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Role;

    #[test]
    fn the_documented_bytes() {
        let mut out = [0; 64];
        let roles = Roles::of(&[Role::Modality]);
        assert_eq!(role_extension_der(roles, None, &mut out), [0x30, 4, 3, 2, 6, 0x40]);
        assert_eq!(role_extension_der(Roles::NONE, None, &mut out), [0x30, 3, 3, 1, 0]);
        assert_eq!(
            role_extension_der(roles, Some(DeviceType(0x8001)), &mut out),
            [0x30, 9, 3, 2, 6, 0x40, 2, 3, 0, 0x80, 1]
        );
        assert_eq!(role_extension_der(Roles::EVERY, Some(DeviceType(u16::MAX)), &mut out).len(), 14);
    }

    #[test]
    fn every_role_and_device_type_round_trips() {
        let device_types = core::iter::once(None).chain((0..=u16::MAX).map(|number| Some(DeviceType(number))));
        for (index, device_type) in device_types.enumerate() {
            let bits = (index as u32).wrapping_mul(0x9e37_79b9) >> (index % 33).min(31);
            let mut out = [0; 64];
            let der = role_extension_der(Roles::from_bits(bits), device_type, &mut out);
            let back = RoleExtension::from_der(der).unwrap();
            assert_eq!(back, RoleExtension { roles: Roles::from_bits(bits), device_type });
        }
    }

    #[test]
    fn other_encodings_of_the_same_value_are_refused() {
        for der in [
            &[0x30, 4, 3, 2, 0, 0x40][..],            // zero bits at the end
            &[0x30, 7, 3, 2, 6, 0x40, 2, 1, 0x80],    // negative device type
            &[0x30, 9, 3, 2, 6, 0x40, 2, 3, 1, 0, 0], // device type above 65535
            &[0x30, 8, 3, 6, 7, 0, 0, 0, 0, 0x80],    // 33 roles
            &[0x30, 6, 3, 2, 6, 0x40, 5, 0],          // something else
            &[0x30, 0x81, 4, 3, 2, 6, 0x40],          // padded length
        ] {
            assert!(RoleExtension::from_der(der).is_err(), "{der:02x?}");
        }
    }
}
