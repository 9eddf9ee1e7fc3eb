//! The authority as a whole: its store's contract, its flows, its faults, and ordinary software as its clients.

mod bonds;
mod bound;
mod coap;
mod coaps_libcoap;
mod compact;
mod contract;
mod crash;
mod device;
mod enrolment;
mod faults;
mod fixture;
mod hubs;
mod keys;
mod limits;
mod log;
mod peers;
mod provision;
mod refusals;
mod restored;
mod roots;
mod rotation;
mod signer;
mod standing;
mod store_tls;
mod tickets;
mod vouchers;
