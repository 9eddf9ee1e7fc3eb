//! Who did what with which resource: rows that are only added, each chained to the one before.
//!
//! A change and its audit are one verb of the store. What is read is noted by a queue that writes within a tenth of a second;
//! when it is full, or the disk fails, nothing more is read.

mod chain;
mod note;
mod queue;

pub(crate) use chain::append;
pub use chain::verify;
pub use note::{Note, Outcome};
pub(crate) use queue::Queue;
