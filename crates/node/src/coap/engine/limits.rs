//! What peers may cost, and what they cost now.

use super::super::pace::Most;
use medlock_proto::coap::Transmission;

/// What peers may cost. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Addresses whose messages are remembered, of strangers and of others each.
    pub addresses: usize,
    /// Handshakes under way. From a quarter of them on, strangers are asked for Echo.
    pub half_open: usize,
    /// Handshakes under way from one IP address.
    pub half_open_per_address: usize,
    /// Handshakes under way from one IPv6 network of 64 bits.
    pub half_open_per_network: usize,
    /// How long a handshake may take.
    pub half_open_ms: u64,
    /// Handshakes begun with strangers each second without Echo; twice as many in a burst.
    pub strangers: u32,
    /// Handshakes begun from one IP address each second, be it confirmed or not; twice as many in a burst.
    pub handshakes_per_address: u32,
    /// The same, from one IPv6 network of 64 bits; half of the burst is for addresses that were quiet.
    pub handshakes_per_network: u32,
    /// The same, in all; half of the burst is for networks that were quiet.
    pub handshakes: u32,
    /// Security contexts, or DTLS associations; the one used longest ago goes. Birth credentials have at most a quarter of them.
    pub contexts: usize,
    /// Security contexts of one device; the one used longest ago goes.
    pub contexts_per_device: usize,
    /// DTLS associations of one IP address; the one used longest ago goes.
    pub contexts_per_address: usize,
    /// How long a context may be idle.
    pub context_idle_ms: u64,
    /// Requests that handlers work on at one time; beyond, 5.03.
    pub calls: usize,
    /// The same, of one address.
    pub calls_per_address: usize,
    /// How long a handler may take; then 5.03.
    pub call_ms: u64,
    /// Observations; beyond, the request is answered once.
    pub observations: usize,
    /// Observations of one address.
    pub observations_per_address: usize,
    /// Bytes of a request's body.
    pub body_bytes: usize,
    /// How answers and notifications are repeated until they are acknowledged.
    pub transmission: Transmission,
}

impl Limits {
    /// How many handshakes may begin each second.
    pub(in crate::coap) fn beginnings(&self) -> Most<u32> {
        let (address, network) = (self.handshakes_per_address, self.handshakes_per_network);
        Most { address, network, all: self.handshakes }
    }

    /// How many handshakes may be under way.
    pub(in crate::coap) fn under_way(&self) -> Most<usize> {
        let (address, network) = (self.half_open_per_address, self.half_open_per_network);
        Most { address, network, all: self.half_open }
    }
}

impl Default for Limits {
    /// For some hundred devices of a site.
    fn default() -> Self {
        Self {
            addresses: 1_024,
            half_open: 256,
            half_open_per_address: 32,
            half_open_per_network: 64,
            half_open_ms: 30_000,
            strangers: 32,
            handshakes_per_address: 32,
            handshakes_per_network: 64,
            handshakes: 256,
            contexts: 1_024,
            contexts_per_device: 4,
            contexts_per_address: 128,
            context_idle_ms: 24 * 3_600_000,
            calls: 256,
            calls_per_address: 16,
            call_ms: 30_000,
            observations: 1_024,
            observations_per_address: 16,
            body_bytes: 64 << 10,
            transmission: Transmission::DEFAULT,
        }
    }
}

/// How many things of each kind are kept now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Addresses.
    pub addresses: usize,
    /// Handshakes under way.
    pub half_open: usize,
    /// Security contexts.
    pub contexts: usize,
    /// Requests that handlers work on.
    pub calls: usize,
    /// Observations.
    pub observations: usize,
    /// Messages that wait for their acknowledgement.
    pub unacknowledged: usize,
}
