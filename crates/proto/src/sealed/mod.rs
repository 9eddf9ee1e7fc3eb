//! Sealed commands and receipts: COSE_Encrypt0 (RFC 9052) between a controller and a device, whatever carries them.
//!
//! docs/sealed-command.md is the wire format, with the rules and the threat model. In short: before each command the
//! controller asks for a [`Challenge`]; the command names it, the bond, and the state of therapy it was made for; the
//! device answers with a [`Receipt`], and again whenever it is asked. Every message of a controller voids its earlier
//! ones that did not arrive.
//!
//! | side | state | what it does |
//! | --- | --- | --- |
//! | controller | [`Commander`] | asks, seals, keeps track of what is unknown |
//! | device | [`Recipient`] | opens, checks the challenge, seals receipts. What is durable is `medlock-device`'s |

pub mod code;
mod command;
mod commander;
mod dose;
mod envelope;
mod message;
mod receipt;
mod recipient;

pub use command::{Action, Challenge, Command, Order, StateVersion};
pub use commander::{Commander, Memory, Told};
pub use dose::{Concentration, MilliUnits, Minutes, Percent, Rate};
pub use envelope::{Direction, Keys, Kid, Link, MAX_LENGTH, OpenError, SealError};
pub use receipt::{Outcome, Receipt, Refusal, Standing};
pub use recipient::{Asked, ChallengeAsked, Fresh, Received, Recipient};
