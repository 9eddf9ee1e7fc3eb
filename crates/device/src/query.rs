//! What may be asked of the trust objects that are held.

use crate::objects::Held;
use minicbor::encode::write::Cursor;

/// Bytes of a listing of what is held: 16 entries at their longest.
pub(crate) const LISTING: usize = 512;

/// Writes what is held.
pub(crate) fn list(held: impl Iterator<Item = Held>, out: &mut [u8; LISTING]) -> Option<&[u8]> {
    let mut all = [None; 16];
    all.iter_mut().zip(held).for_each(|(slot, held)| *slot = Some(held));
    let count = all.iter().flatten().fold(0_usize, |count, _| count.saturating_add(1));
    let mut cursor = Cursor::new(out.as_mut_slice());
    Held::encode_all(all.get(..count)?.iter().map(|held| held.unwrap_or(Held::NOTHING)), &mut cursor).ok()?;
    let length = cursor.position();
    out.get(..length)
}

/// What is asked of the objects held.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Query {
    Listing,
    Nonce,
    Object(usize),
    Unknown,
}

impl Query {
    pub(crate) fn read(query: Option<&[u8]>) -> Self {
        match query {
            None => Self::Listing,
            Some(b"n") => Self::Nonce,
            Some(query) => query.strip_prefix(b"o=").and_then(number).map_or(Self::Unknown, Self::Object),
        }
    }
}

/// A number in decimal, as a query has it.
fn number(text: &[u8]) -> Option<usize> {
    if text.is_empty() || text.len() > 3 {
        return None;
    }
    text.iter().try_fold(0_usize, |number, byte| {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit < 10)?;
        number.checked_mul(10)?.checked_add(usize::from(digit))
    })
}
