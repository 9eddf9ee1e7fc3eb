//! CBOR sequences in, bytes out.

use super::Error;
use core::convert::Infallible;
use medlock_trust::cbor::{self, Reader, Writer};
use minicbor::encode::Write;

/// Whether `byte` is the whole encoding of an integer: -24 to 23 (RFC 9528 section 3.3.2).
pub(super) const fn is_one_byte_integer(byte: u8) -> bool {
    matches!(byte, 0x00..=0x17 | 0x20..=0x37)
}

/// Reads a sequence of deterministic CBOR items.
pub(super) struct Items<'a> {
    bytes: &'a [u8],
    reader: Reader<'a>,
}

impl<'a> Items<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, reader: Reader::new(bytes) }
    }

    pub(super) const fn position(&self) -> usize {
        self.reader.position()
    }

    pub(super) fn since(&self, start: usize) -> &'a [u8] {
        self.reader.read_since(start)
    }

    pub(super) fn is_done(&self) -> bool {
        self.reader.position() >= self.bytes.len()
    }

    /// What was not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.reader.position()..).unwrap_or_default()
    }

    pub(super) fn next_is_bytes(&self) -> bool {
        self.next_major_type() == Some(2)
    }

    pub(super) fn next_is_array(&self) -> bool {
        self.next_major_type() == Some(4)
    }

    pub(super) fn next_is_map(&self) -> bool {
        self.next_major_type() == Some(5)
    }

    pub(super) fn int(&mut self) -> Result<i64, Error> {
        Ok(self.reader.int()?)
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Error> {
        Ok(self.reader.bytes()?)
    }

    pub(super) fn text(&mut self, most: usize) -> Result<&'a str, Error> {
        Ok(self.reader.text(most)?)
    }

    pub(super) fn array(&mut self, most: u64) -> Result<u64, Error> {
        Ok(self.reader.array(most)?)
    }

    pub(super) fn map(&mut self, most: u64) -> Result<u64, Error> {
        Ok(self.reader.map(most)?)
    }

    pub(super) fn skip(&mut self) -> Result<&'a [u8], Error> {
        Ok(self.reader.skip()?)
    }

    pub(super) fn finish(self) -> Result<(), Error> {
        Ok(self.reader.finish()?)
    }

    /// Reads a byte string that may stand as an integer of one byte, and must if it can (RFC 9528 section 3.3.2).
    pub(super) fn identifier(&mut self) -> Result<&'a [u8], Error> {
        let start = self.position();
        if !self.next_is_bytes() {
            self.int()?;
            let encoding = self.since(start);
            return if encoding.len() == 1 { Ok(encoding) } else { Err(Error::Malformed) };
        }
        match self.bytes()? {
            [byte] if is_one_byte_integer(*byte) => Err(Error::Malformed),
            bytes => Ok(bytes),
        }
    }

    fn next_major_type(&self) -> Option<u8> {
        self.rest().first().map(|byte| byte >> 5)
    }
}

impl From<cbor::Error> for Error {
    fn from(_: cbor::Error) -> Self {
        Self::Malformed
    }
}

/// Where a message is written: the caller's bytes, from the front.
pub(super) struct Out<'o> {
    rest: &'o mut [u8],
    written: usize,
}

impl<'o> Out<'o> {
    pub(super) const fn new(bytes: &'o mut [u8]) -> Self {
        Self { rest: bytes, written: 0 }
    }

    pub(super) const fn written(&self) -> usize {
        self.written
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'o mut [u8], Error> {
        let (taken, rest) = core::mem::take(&mut self.rest).split_at_mut_checked(count).ok_or(Error::NoRoom)?;
        self.rest = rest;
        self.written = self.written.saturating_add(count);
        Ok(taken)
    }

    /// All that was not written.
    pub(super) fn into_rest(self) -> &'o mut [u8] {
        self.rest
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.take(bytes.len())?.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        Ok(())
    }

    pub(super) const fn cbor(&mut self) -> Writer<&mut Self> {
        Writer::new(self)
    }
}

/// The head of a byte string whose content is in pieces.
pub(super) struct BytesHead {
    bytes: [u8; 9],
    length: usize,
}

impl BytesHead {
    pub(super) fn new(pieces: &[&[u8]]) -> Self {
        let mut bytes = [0; 9];
        let mut out = Out::new(&mut bytes);
        let count = pieces.iter().fold(0_usize, |sum, piece| sum.saturating_add(piece.len()));
        // A head has at most nine bytes.
        let _ = out.cbor().bytes_head(count);
        let length = out.written();
        Self { bytes, length }
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl Write for Out<'_> {
    type Error = Error;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.put(bytes)
    }
}

/// Counts bytes that are not written.
#[derive(Default)]
pub(super) struct Counter(pub(super) usize);

impl Write for Counter {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(())
    }
}
