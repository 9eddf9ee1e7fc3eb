//! The protocols from the outside, with real cryptography.

mod coap;
mod coap_block;
mod coap_link;
mod edhoc;
mod erased;
mod hex;
mod oscore;
mod oscore_reboot;
mod oscore_vectors;
mod reading;
mod record;
mod sealed;
mod sealed_vectors;
