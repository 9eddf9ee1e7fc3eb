//! How many requests one client may send.

use super::Origin;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use medlock_trust::{DeviceId, Identified};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// A client may save up what it is entitled to in so many seconds, and send it at once.
const BURST_SECONDS: u32 = 10;
/// When so many clients are remembered, those that have not asked for long are forgotten.
const CLIENTS: usize = 1 << 16;

/// How many requests one client may send, over HTTP and CoAP together: a device that has shown its credential counts by
/// itself, others by their network. Callers on a Unix socket are not counted.
#[derive(Debug)]
pub struct Rates<C: Clock = DefaultClock> {
    clock: C,
    limiter: RwLock<Option<Arc<Limiter<C>>>>,
}

type Limiter<C> = RateLimiter<Client, HashMapStateStore<Client>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// Whose requests are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    Device(DeviceId),
    Address(IpAddr),
}

impl Client {
    fn of(origin: Origin, who: Option<&Identified>) -> Option<Self> {
        match (who, origin) {
            (_, Origin::Local { .. }) => None,
            (Some(who), _) => Some(Self::Device(who.device())),
            (None, Origin::Address(address)) => Some(Self::Address(network(address.ip()))),
        }
    }
}

/// What counts as one stranger: an IPv4 address, or an IPv6 network of 64 bits, in which anybody has as many addresses as
/// they like.
pub(crate) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address @ IpAddr::V4(_) => address,
    }
}

impl Rates {
    /// So many requests a second for each client, and ten seconds' worth at once; without a number there is no limit.
    #[must_use]
    pub fn per_second(requests: Option<NonZeroU32>) -> Self {
        Self::with_clock(requests, DefaultClock::default())
    }
}

impl<C: Clock + Clone> Rates<C> {
    fn with_clock(requests: Option<NonZeroU32>, clock: C) -> Self {
        let limiter = RwLock::new(limiter(requests, &clock));
        Self { clock, limiter }
    }

    /// Goes on with another number. What clients have sent until now is forgotten.
    pub fn change(&self, requests: Option<NonZeroU32>) {
        *self.limiter.write().unwrap_or_else(PoisonError::into_inner) = limiter(requests, &self.clock);
    }

    /// Counts a request from `origin`, of `who` if it has shown a credential.
    ///
    /// # Errors
    /// How long it has to wait until its next one is answered, when it has sent too many.
    pub(crate) fn count(&self, origin: Origin, who: Option<&Identified>) -> Result<(), Duration> {
        let Some(client) = Client::of(origin, who) else { return Ok(()) };
        let Some(limiter) = self.limiter.read().unwrap_or_else(PoisonError::into_inner).clone() else { return Ok(()) };
        if limiter.len() >= CLIENTS {
            limiter.retain_recent();
        }
        limiter.check_key(&client).map_err(|early| early.wait_time_from(self.clock.now()))
    }
}

fn limiter<C: Clock + Clone>(requests: Option<NonZeroU32>, clock: &C) -> Option<Arc<Limiter<C>>> {
    let requests = requests?;
    let burst = requests.saturating_mul(NonZeroU32::new(BURST_SECONDS).unwrap_or(NonZeroU32::MIN));
    let quota = Quota::per_second(requests).allow_burst(burst);
    Some(Arc::new(RateLimiter::new(quota, HashMapStateStore::default(), clock.clone())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use governor::clock::FakeRelativeClock;

    fn from(address: &str) -> Origin {
        Origin::Address(address.parse().unwrap())
    }

    /// Shows REQ-RUN-04, in virtual time.
    #[test]
    fn each_client_has_a_rate_of_its_own() {
        let clock = FakeRelativeClock::default();
        let rates = Rates::with_clock(NonZeroU32::new(2), clock.clone());
        let (one, other) = (from("192.0.2.1:1000"), from("192.0.2.2:1000"));
        for _ in 0..20 {
            rates.count(one, None).unwrap();
        }
        let wait = rates.count(one, None).unwrap_err();
        assert!(wait > Duration::ZERO && wait <= Duration::from_millis(500), "{wait:?}");
        assert!(rates.count(from("192.0.2.1:2000"), None).is_err(), "another port is the same client");
        rates.count(other, None).unwrap();
        clock.advance(Duration::from_millis(500));
        rates.count(one, None).unwrap();
        rates.count(one, None).unwrap_err();
        rates.change(None);
        rates.count(one, None).unwrap();
    }

    #[test]
    fn a_network_of_ipv6_is_one_client_and_a_local_caller_is_none() {
        let rates = Rates::with_clock(NonZeroU32::new(1), FakeRelativeClock::default());
        for host in 0..10 {
            rates.count(from(&format!("[2001:db8::{host:x}]:1")), None).unwrap();
        }
        rates.count(from("[2001:db8::ffff]:1"), None).unwrap_err();
        rates.count(from("[2001:db8:0:1::1]:1"), None).unwrap();
        for _ in 0..100 {
            rates.count(Origin::Local { user: Some(0) }, None).unwrap();
        }
    }
}
