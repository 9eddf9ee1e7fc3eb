//! The value of the OSCORE option: a COSE header, compressed (RFC 8613 section 6.1).

use super::error::Error;
use crate::coap::{Message, option};

/// What the OSCORE option of a message says. Nothing of it is proven before the message is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compressed<'a> {
    /// The sequence number of the message, below 2⁴⁰.
    pub partial_iv: Option<u64>,
    /// Which context, if identifiers alone do not tell.
    pub kid_context: Option<&'a [u8]>,
    /// The sender's identifier: the recipient finds its context by it.
    pub kid: Option<&'a [u8]>,
}

const LENGTH_BITS: u8 = 0b0000_0111;
const KID_BIT: u8 = 0b0000_1000;
const KID_CONTEXT_BIT: u8 = 0b0001_0000;

impl<'a> Compressed<'a> {
    /// The option of a message; by its `kid` a server finds the context.
    ///
    /// # Errors
    /// [`Error::Unprotected`] without the option; [`Error::Malformed`] if it cannot be decoded, is not alone, or there is
    /// no payload (RFC 8613 section 2).
    pub fn of(message: &Message<'a>) -> Result<Self, Error> {
        let mut found = message.options().filter(|(number, _)| *number == option::OSCORE);
        let (_, value) = found.next().ok_or(Error::Unprotected)?;
        if found.next().is_some() || message.payload().is_empty() {
            return Err(Error::Malformed);
        }
        Self::read(value)
    }

    /// Reads the option's value. Each value has one encoding; any other is refused.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn read(value: &'a [u8]) -> Result<Self, Error> {
        let Some((&flags, rest)) = value.split_first() else {
            return Ok(Self { partial_iv: None, kid_context: None, kid: None });
        };
        // An option that says nothing is empty (section 6.1), the upper bits and lengths of 6 and 7 are reserved.
        if flags == 0 || flags & !(LENGTH_BITS | KID_BIT | KID_CONTEXT_BIT) != 0 {
            return Err(Error::Malformed);
        }
        let (partial_iv, rest) = rest.split_at_checked(usize::from(flags & LENGTH_BITS)).ok_or(Error::Malformed)?;
        let partial_iv = match partial_iv {
            [] => None,
            // Leading zeros are removed, but 0 is one byte (section 5).
            [0, _, ..] => return Err(Error::Malformed),
            bytes if bytes.len() > 5 => return Err(Error::Malformed),
            bytes => Some(bytes.iter().fold(0, |sum, byte| (sum << 8) | u64::from(*byte))),
        };
        let (kid_context, rest) = match flags & KID_CONTEXT_BIT {
            0 => (None, rest),
            _ => {
                let (&length, rest) = rest.split_first().ok_or(Error::Malformed)?;
                let (context, rest) = rest.split_at_checked(usize::from(length)).ok_or(Error::Malformed)?;
                (Some(context), rest)
            }
        };
        let kid = match (flags & KID_BIT, rest) {
            (0, []) => None,
            (0, _) => return Err(Error::Malformed),
            (_, kid) => Some(kid),
        };
        Ok(Self { partial_iv, kid_context, kid })
    }

    /// Writes the option's value.
    ///
    /// # Errors
    /// [`Error::Full`] if `out` is too small, [`Error::Parameters`] if a part has no encoding (a number of 2⁴⁰ or more, a
    /// context of more than 255 bytes).
    pub fn write<'o>(&self, out: &'o mut [u8]) -> Result<&'o [u8], Error> {
        let number = self.partial_iv.map(partial_iv).transpose()?;
        let number = number.as_ref().map_or(&[][..], PartialIv::as_bytes);
        let context = self.kid_context.unwrap_or(&[]);
        let length = u8::try_from(context.len()).map_err(|_| Error::Parameters)?;
        let mut flags = number.len() as u8;
        if self.kid.is_some() {
            flags |= KID_BIT;
        }
        if self.kid_context.is_some() {
            flags |= KID_CONTEXT_BIT;
        }
        if flags == 0 {
            return Ok(&[]);
        }
        let length = [length];
        let length: &[u8] = if self.kid_context.is_some() { &length } else { &[] };
        let mut used = 0_usize;
        for part in [&[flags], number, length, context, self.kid.unwrap_or(&[])] {
            let end = used.saturating_add(part.len());
            out.get_mut(used..end).ok_or(Error::Full)?.copy_from_slice(part);
            used = end;
        }
        out.get(..used).ok_or(Error::Full)
    }
}

/// A sequence number as messages hold it: without zeros in front, 0 as one byte.
#[derive(Clone, Copy)]
pub(super) struct PartialIv {
    bytes: [u8; 8],
    from: u8,
}

impl PartialIv {
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(usize::from(self.from)..).unwrap_or(&[])
    }
}

pub(super) fn partial_iv(number: u64) -> Result<PartialIv, Error> {
    if number >> 40 != 0 {
        return Err(Error::Parameters);
    }
    let from = (number.leading_zeros() / 8).min(7) as u8;
    Ok(PartialIv { bytes: number.to_be_bytes(), from })
}
