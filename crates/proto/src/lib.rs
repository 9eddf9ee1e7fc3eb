//! Small protocols for small devices: CoAP, EDHOC, OSCORE and sealed commands.
//!
//! There is no heap, no input or output, no clock and no random number here: buffers, times and seeds are arguments,
//! and cryptography is the caller's [`crypto::Crypto`].
//!
//! | module | what is there |
//! | --- | --- |
//! | [`crypto`] | what the protocols ask of cryptography |
//! | [`coap`] | messages, reliability, blockwise and observe (RFC 7252, 7641, 7959) |
//! | [`edhoc`] | the handshake (RFC 9528) |
//! | [`oscore`] | protected messages (RFC 8613), Echo (RFC 9175), the combined request (RFC 9668) |
//! | [`sealed`] | commands and receipts that cross any carrier |
//! | [`objects`] | what `/m/objects` says |
//! | [`reading`] | the one shape in which readings travel |
//! | [`record`] | what a device reports to its hub |
#![no_std]
#![forbid(unsafe_code)]
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

#[cfg(test)]
extern crate std;

pub mod coap;
pub mod crypto;
pub mod edhoc;
pub mod objects;
pub mod oscore;
pub mod reading;
pub mod record;
pub mod sealed;
