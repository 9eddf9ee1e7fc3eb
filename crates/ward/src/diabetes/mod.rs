//! A diabetes ward: a glucose sensor, a dosing controller and an insulin pump of three makers, and a patient to treat.
//!
//! **Demonstration machines, not for therapy.** They show how trust between devices behaves. Nothing here was ever
//! examined as a medical device, and none of it may be used on a person.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`units`] | glucose, insulin and rates as types |
//! | [`clarity`] | reads the CSV that Dexcom Clarity exports |
//! | [`patient`] | a virtual patient |
//! | [`sensor`] | a continuous glucose monitor: an export or the virtual patient, every five minutes |
//! | [`dosing`] | what the controller doses |
//! | [`pump`] | the pump's mechanics, programme and limits |
//! | [`host`] | flash, keys, clock and random numbers for the device SDK on a computer |
//! | [`machine`] | sensor, controller and pump as processes |
//!
//! All but [`host`] and [`machine`] are functions of their arguments: virtual time comes from outside, chance from a seed.

mod chance;
pub mod clarity;
pub mod dosing;
pub mod host;
pub mod machine;
pub mod patient;
pub mod pump;
pub mod sensor;
pub mod units;

/// What is printed wherever these machines print.
pub const NOT_FOR_THERAPY: &str = "demonstration machine, not for therapy";
