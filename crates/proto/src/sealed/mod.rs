//! Sealed commands and receipts: COSE_Encrypt0 (RFC 9052) between a controller and a device, whatever carries them.
//!
//! docs/sealed-command.md is the wire format, with the rules and the threat model. In short: before each command the
//! controller asks for a [`Challenge`]; the command names it, the bond, and the state of therapy it was made for; the
//! device answers with a [`Receipt`], and again whenever it is asked. Every message of a controller voids its earlier
//! ones that did not arrive.
//!
//! | side | state | what it does |
//! | --- | --- | --- |
//! | device | to follow | |

pub mod code;
mod command;
mod dose;
mod receipt;

pub use command::{Action, Challenge, Command, Order, StateVersion};
pub use dose::{Concentration, MilliUnits, Minutes, Percent, Rate};
pub use receipt::{Outcome, Receipt, Refusal, Standing};
