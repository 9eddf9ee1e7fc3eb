//! The device SDK: what a sensor, a controller or a pump needs to trust and be trusted.
//!
//! [`Device`] is a state machine: datagrams and ticks go in, datagrams and [`Event`]s come out. Drivers move them.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`platform`] | what the firmware gives: transport, flash, keys, random numbers, ticks |
//! | [`blocking`], [`asynch`] | drivers |
//! | [`device`], [`event`] | the core, and what it tells the firmware |
//! | [`objects`] | trust objects |
//! | `owner` | whose the device is: vouchers and transfers (feature `owner`) |
//! | [`command`], [`journal`], [`log`] | sealed commands: received once, recorded before the act, in flash that may lose power |
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

mod address;
pub mod asynch;
pub mod blocking;
mod bonds;
mod call;
pub mod clock;
pub mod command;
pub mod device;
pub mod enrol;
pub mod event;
mod exchange;
mod follow;
mod handshake;
mod identity;
mod initiate;
pub mod journal;
pub mod log;
pub mod manifest;
mod memory;
mod met;
mod nonces;
mod not_taken;
pub mod objects;
#[cfg(feature = "owner")]
pub mod owner;
pub mod platform;
mod query;
mod request;
mod serve;
mod session;
mod settings;
mod store;
mod strangers;
mod therapy;
mod transfer;

pub use address::Address;
pub use device::Device;
pub use event::{Ask, CallId, Closing, Event, Failure, Method, Output, Peer, Resource, Status};
pub use memory::Memory;
pub use objects::NotTaken;
pub use request::Request;
pub use settings::{CallError, Counters, Layout, PhysicalAct, Settings, StartError};
pub use therapy::ReceiptTo;
