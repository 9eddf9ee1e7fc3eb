//! JSON as its author wrote it: a document is read once, within bounds, over its own bytes; numbers stay text.
//!
//! FHIR's decimals mean what was written (`1.50` is not `1.5`), which no floating-point number keeps. A name that stands
//! twice in an object is refused: two readers would take two different values (RFC 8259 section 4).

mod decimal;
mod node;
mod read;
mod write;

pub use decimal::{Decimal, Key};
pub use node::{Items, Members, Node, Sort};
pub use read::{Document, Error, Limits, Wrong};
pub use write::{member, minified, text};
