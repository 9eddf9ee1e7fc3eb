//! Where a page of a search begins: sealed, so that it tells nothing of rows and is good for its own search and caller only. And where
//! it ends.

use super::{Records, Stored};
use crate::kind::Row;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use medlock_node::provider::sha256;

/// Bytes of the resources of a page: it ends with the one that reaches them.
pub(super) const BYTES: usize = 4 << 20;

/// A page as it is filled.
pub(super) struct Filling {
    pub(super) resources: Vec<Stored>,
    /// Whether there are others behind it.
    pub(super) more: bool,
    /// Whose the first of those is.
    pub(super) behind: Option<Row>,
    count: usize,
    bytes: usize,
}

impl Filling {
    /// A page of so many resources at most.
    pub(super) fn new(count: u16) -> Self {
        Self { resources: Vec::new(), more: false, behind: None, count: count.into(), bytes: 0 }
    }

    /// Takes one more; or else there are others behind the page.
    pub(super) fn take(&mut self, stored: Stored) -> bool {
        self.more = self.resources.len() >= self.count || self.bytes >= BYTES;
        if self.more {
            self.behind = stored.patient;
        } else {
            self.bytes = self.bytes.saturating_add(stored.body.len());
            self.resources.push(stored);
        }
        !self.more
    }
}

/// The last row of the page before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// Its place in the order of the search.
    pub(super) order: Order,
    /// The row.
    pub(super) row: Row,
}

/// A place in the order of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Number(i64),
    Text(String),
}

impl Cursor {
    /// Its place, where that is a number.
    pub(super) fn number(&self) -> Option<i64> {
        match &self.order {
            Order::Number(number) => Some(*number),
            Order::Text(_) => None,
        }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let row = self.row.0.to_be_bytes();
        match &self.order {
            Order::Number(number) => [&row[..], &[0], &number.to_be_bytes()].concat(),
            Order::Text(text) => [&row[..], &[1], text.as_bytes()].concat(),
        }
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (row, rest) = bytes.split_first_chunk::<8>()?;
        let order = match rest.split_first()? {
            (0, number) => Order::Number(i64::from_be_bytes(number.try_into().ok()?)),
            (1, text) => Order::Text(String::from_utf8(text.to_vec()).ok()?),
            _ => return None,
        };
        Some(Self { order, row: Row(i64::from_be_bytes(*row)) })
    }
}

/// Which part of what was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// How many, at most.
    pub count: u16,
    /// Behind which row.
    pub after: Option<Cursor>,
}

impl Records {
    /// What is given out and comes back, sealed: good with the same `context` alone.
    pub(crate) fn seal_for(&self, plain: &[u8], context: &[u8]) -> Vec<u8> {
        self.cursor_key.seal(plain, &[b"for ", context].concat())
    }

    /// What was sealed for `context`; `None`: anything else.
    pub(crate) fn unseal_for(&self, sealed: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        self.cursor_key.open(sealed, &[b"for ", context].concat())
    }

    /// The cursor as it stands in a link. `binding` is the search and who made it.
    #[must_use]
    pub fn seal(&self, cursor: &Cursor, binding: &str) -> String {
        BASE64_URL_SAFE_NO_PAD.encode(self.cursor_key.seal(&cursor.to_bytes(), &sha256(binding.as_bytes())))
    }

    /// The cursor of a link; `None` if it was made for another search or caller, or not by us.
    #[must_use]
    pub fn unseal(&self, text: &str, binding: &str) -> Option<Cursor> {
        let sealed = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        Cursor::from_bytes(&self.cursor_key.open(&sealed, &sha256(binding.as_bytes()))?)
    }
}
