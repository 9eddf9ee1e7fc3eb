//! What patients allow and forbid (FHIR R4, Consent), and who sees what where nobody has said anything.
//!
//! | file | what is there |
//! | --- | --- |
//! | `base` | the base policy: who sees a patient's data without any Consent |
//! | `provision` | a Consent as it is kept: [`Provision`]s with all that those around them ask |
//! | `compile`, `terms` | how a Consent becomes that, or why it cannot be enforced |
//! | `ruling` | the provisions of a patient as a condition of the statement that reads or writes |
//! | `glass` | what a person in an emergency says, and for how long it is good |
//!
//! A row is in sight where the base policy or a permit lets its caller see it, and no deny does. A deny does not hold where
//! one of its exceptions does, and so on inwards. All of it is asked of the store in the very statement, so a consent that is
//! withdrawn has ended with the answer to its withdrawal, for every token and at every hub of the store.
//!
//! **Consent never gates therapy or the care team's alarms.** What a device writes is not asked; what a device that works for
//! itself reads is not asked; what a gateway reads is only asked of provisions that name it. A patient always sees their own
//! name, consents and audit: who has denied everybody can take it back. Software and devices that are not of the base policy state no
//! consents.

mod base;
mod compile;
mod glass;
mod provision;
mod ruling;
mod terms;

pub use base::Base;
pub use compile::{POLICY, compile};
pub use glass::{Broken, Reason};
pub use provision::{Compiled, Condition, Meaning, Provision};
pub(crate) use ruling::Ruling;
pub use ruling::{Actor, Purpose, Purposes};
