//! The parts of a node together: over real sockets, with openssl where it helps, in virtual time where time matters.

mod accept;
mod coap;
mod coap_aiocoap;
mod coap_faults;
mod enrol;
mod fixture;
mod identity;
mod knowledge;
mod lists;
mod news;
mod ordinary;
mod outbound;
mod sessions;
mod standing;
mod tls;
mod wycheproof;
