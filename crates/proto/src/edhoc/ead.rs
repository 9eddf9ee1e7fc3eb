//! External authorization data (RFC 9528 section 3.8).

use super::{Error, items::Items};
use medlock_trust::cbor::Writer;
use minicbor::encode::Write;

/// Data of another protocol that a message of the handshake carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EadItem<'a> {
    /// What it is: a number of the registry of RFC 9528 section 10.5. 0 is padding.
    pub label: u32,
    /// Whether a receiver that does not understand it must give up.
    pub critical: bool,
    /// Its value, if it has one.
    pub value: Option<&'a [u8]>,
}

impl<'a> EadItem<'a> {
    /// Padding (RFC 9528 section 3.8.1): one byte longer than `random` and its head; one byte without it.
    #[must_use]
    pub const fn padding(random: Option<&'a [u8]>) -> Self {
        Self { label: 0, critical: false, value: random }
    }

    pub(super) fn write<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        let label = i64::from(self.label);
        out.int(if self.critical { label.saturating_neg() } else { label })?;
        match self.value {
            Some(value) => out.bytes(value).map(drop),
            None => Ok(()),
        }
    }
}

/// The items of one message, in order; padding is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ead<'a>(&'a [u8]);

impl<'a> Ead<'a> {
    /// Reads all that is left, and refuses critical items whose label is not among `understood`.
    pub(super) fn read(items: &mut Items<'a>, understood: &[u32]) -> Result<Self, Error> {
        let start = items.position();
        while !items.is_done() {
            let item = read_item(items)?;
            if item.critical && !understood.contains(&item.label) {
                return Err(Error::CriticalEad(item.label));
            }
        }
        Ok(Self(items.since(start)))
    }

    /// The items.
    pub fn iter(self) -> impl Iterator<Item = EadItem<'a>> + use<'a> {
        let mut items = Items::new(self.0);
        // All of it was read once, when the message was.
        core::iter::from_fn(move || if items.is_done() { None } else { read_item(&mut items).ok() })
            .filter(|item| item.label != 0)
    }

    /// The value of the first item with this label: `Some(None)` if it has none.
    #[must_use]
    pub fn find(self, label: u32) -> Option<Option<&'a [u8]>> {
        self.iter().find(|item| item.label == label).map(|item| item.value)
    }

    pub(super) const fn encoding(self) -> &'a [u8] {
        self.0
    }
}

fn read_item<'a>(items: &mut Items<'a>) -> Result<EadItem<'a>, Error> {
    let label = items.int()?;
    let value = if items.next_is_bytes() { Some(items.bytes()?) } else { None };
    let number = u32::try_from(label.unsigned_abs()).map_err(|_| Error::Malformed)?;
    Ok(EadItem { label: number, critical: label < 0, value })
}

/// Bytes of `items` in a message.
pub(super) fn length(items: &[EadItem<'_>]) -> usize {
    let mut counter = super::items::Counter::default();
    let mut out = Writer::new(&mut counter);
    let Ok(()) = items.iter().try_for_each(|item| item.write(&mut out));
    counter.0
}
