//! Who did what with which resource: rows that are only added, each chained to the one before.
//!
//! A change and its audit are one verb of the store. What is read is noted by a queue that writes within a tenth of a second;
//! when it is full, or the disk fails, nothing more is read.

mod chain;
mod counted;
mod entry;
mod event;
mod note;
mod queue;

pub use chain::{Broken, Head, Verified, verify};
pub(crate) use chain::{NEWEST, append, append_behind};
pub(crate) use entry::By;
pub use entry::Entry;
pub(crate) use event::{Event, Person};
pub(crate) use note::Act;
pub use note::{Note, Outcome};
pub(crate) use queue::Queue;

/// What is said where a note cannot be taken.
pub(crate) const UNAUDITED: &str = "nothing is told that cannot be audited";
