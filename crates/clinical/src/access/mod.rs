//! Who asks, and what they may: the only way to a row.
//!
//! A token's rights are narrowed at each request to what the verdict on its holder allows at that moment ([`Caller`]); what
//! is left for one verb becomes the condition of the very statement that reads or writes ([`Sight`]). Nothing is filtered
//! afterwards, so what may not be seen and what is not there are the same.

mod caller;
mod constraint;
mod gate;
mod gateways;
mod live;
mod right;
mod sight;
mod testimonies;

pub(crate) use caller::{Author, Naming};
pub use caller::{Binding, Caller, Grant, Holder, Who};
pub use constraint::Constraint;
pub use gate::{Gate, Shown};
pub(crate) use gate::{NotTold, verified};
pub use right::{Reach, Right, Verb, Verbs, Writer};
pub use sight::Sight;
pub(crate) use sight::{device_parameter, names_its_device};
