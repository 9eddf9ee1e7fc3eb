//! A growing buffer that CBOR can be written into.

use std::convert::Infallible;

/// Writes behind the bytes that are there.
pub(crate) struct Sink<'a>(pub(crate) &'a mut Vec<u8>);

impl minicbor::encode::Write for Sink<'_> {
    type Error = Infallible;

    fn write_all(&mut self, bytes: &[u8]) -> Result<(), Infallible> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}
