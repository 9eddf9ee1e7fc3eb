//! The device SDK for firmware in C. What each function does is said where C reads it: `include/medlock_device.h`.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`calls`], [`trust`], [`owner`], [`therapy`], [`commander`], [`software`] | the functions of the header, in its order |
//! | [`numbers`], [`records`] | its constants and structs; a test compares them with the header |
//! | `handle`, `acts` | memory that is C's, and what Rust gives away once |
//! | `pointers`, `platform` | from C's pointers and functions to what the SDK asks for |
//!
//! Every function answers a number; nothing panics across the border, and nothing is allocated. On a host the static
//! library brings the standard library along, for Cargo links it for tests; on a chip (`target_os = "none"`) there is none,
//! and a panic calls `medlock_panicked` of the firmware:
//!
//! ```text
//! cargo rustc -p medlock-device-c --release --crate-type staticlib --target thumbv7em-none-eabi
//! ```
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::wildcard_enum_match_arm
    )
)]

// The static library of a host needs somebody who handles panics.
#[cfg(not(target_os = "none"))]
extern crate std;

mod acts;
pub mod calls;
#[cfg(target_os = "none")]
mod chip;
pub mod commander;
mod convert;
mod handle;
pub mod numbers;
mod output;
pub mod owner;
mod platform;
mod pointers;
pub mod records;
mod refused;
pub mod software;
pub mod therapy;
pub mod trust;

pub use handle::Handle;
