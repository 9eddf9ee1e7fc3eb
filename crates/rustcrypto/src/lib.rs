//! Pure-Rust cryptography for the trust core and the protocols.
#![no_std]
#![forbid(unsafe_code)]
