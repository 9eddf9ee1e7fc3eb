//! The device SDK: what a sensor, a controller or a pump needs to trust and be trusted.
//!
//! | module | what is there |
//! | --- | --- |
//! | [`platform`] | what the firmware gives: transport, flash, keys, random numbers, ticks |
#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod platform;
