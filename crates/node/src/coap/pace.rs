//! How often something may begin: so many times each second, and twice as many in a burst. And who makes room when there is
//! too much of it.

use super::bounded::Bounded;
use crate::accept::network;
use std::collections::HashMap;
use std::net::IpAddr;

/// How much may begin now.
#[derive(Debug, Default)]
pub(crate) struct Bucket {
    milli_tokens: u64,
    filled: Option<u64>,
}

impl Bucket {
    /// Whether one more may begin at `now` (milliseconds).
    pub(crate) fn take(&mut self, now: u64, each_second: u32) -> bool {
        self.take_above(now, each_second, 0)
    }

    /// The same, if so many more could begin after it.
    fn take_above(&mut self, now: u64, each_second: u32, left: u32) -> bool {
        let most = u64::from(each_second) * 2_000;
        let since = self.filled.map_or(u64::MAX, |filled| now.saturating_sub(filled));
        self.milli_tokens = self.milli_tokens.saturating_add(since.saturating_mul(each_second.into())).min(most);
        self.filled = Some(now);
        let enough = self.milli_tokens >= (u64::from(left) + 1) * 1_000;
        if enough {
            self.milli_tokens -= 1_000;
        }
        enough
    }
}

/// How much there may be of something: of one IP address, of one [`network`], and in all.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Most<N> {
    pub(crate) address: N,
    pub(crate) network: N,
    pub(crate) all: N,
}

/// How often something may begin, for each IP address, for each network, and in all. Those that were heard of longest ago are
/// forgotten.
///
/// What a network may begin does not go to its loudest address, nor what all may to the loudest network: half of it is for
/// those of which nothing began for two seconds.
#[derive(Debug)]
pub(crate) struct Begun {
    addresses: Bounded<IpAddr, Beginner>,
    networks: Bounded<IpAddr, Beginner>,
    all: Bucket,
}

#[derive(Debug, Default)]
struct Beginner {
    bucket: Bucket,
    last: Option<u64>,
}

impl Beginner {
    /// What it has to leave of the bucket that it shares with others.
    fn leaves(&self, now: u64, each_second: u32) -> u32 {
        let quiet = self.last.is_none_or(|last| now.saturating_sub(last) >= 2_000);
        if quiet { 0 } else { each_second }
    }
}

impl Begun {
    /// Room for so many addresses, and for so many networks.
    pub(crate) fn new(most: usize) -> Self {
        Self { addresses: Bounded::new(most), networks: Bounded::new(most), all: Bucket::default() }
    }

    /// Whether this address may cause one more at `now`.
    pub(crate) fn take(&mut self, now: u64, address: IpAddr, each_second: Most<u32>) -> bool {
        let (of_address, of_network) =
            (known(&mut self.addresses, address), known(&mut self.networks, network(address)));
        let (Some(of_address), Some(of_network)) = (of_address, of_network) else { return false };
        let loud = of_address.leaves(now, each_second.network);
        let louder = of_network.leaves(now, each_second.all);
        let may = of_address.bucket.take(now, each_second.address)
            && of_network.bucket.take_above(now, each_second.network, loud)
            && self.all.take_above(now, each_second.all, louder);
        if may {
            (of_address.last, of_network.last) = (Some(now), Some(now));
        }
        may
    }
}

fn known(held: &mut Bounded<IpAddr, Beginner>, place: IpAddr) -> Option<&mut Beginner> {
    if held.peek(&place).is_none() {
        held.insert(place, Beginner::default());
    }
    held.get(&place)
}

/// What has to go of what is `held`, oldest first, before there may be one more of `newcomer`: what is its own where it has
/// all it may; else the oldest of the address that has most, in the newcomer's network or, where all places are taken, in the
/// network that has most. So whoever takes every place loses its own.
pub(crate) fn surplus<K: Copy>(held: &[(K, IpAddr)], newcomer: IpAddr, most: Most<usize>) -> Option<K> {
    let own = |address: IpAddr| held.iter().filter(move |(_, other)| *other == address);
    let near = |net: IpAddr| held.iter().filter(move |(_, other)| network(*other) == net);
    if own(newcomer).count() >= most.address.max(1) {
        return own(newcomer).next().map(|(key, _)| *key);
    }
    let home = network(newcomer);
    let crowd = if near(home).count() >= most.network.max(1) {
        home
    } else if held.len() >= most.all.max(1) {
        with_most(held.iter().map(|(_, address)| network(*address)), home)?
    } else {
        return None;
    };
    let loudest = with_most(near(crowd).map(|(_, address)| *address), newcomer)?;
    own(loudest).next().map(|(key, _)| *key)
}

/// Which place is there most often, with the newcomer's; of equals, the first.
fn with_most(mut held: impl Iterator<Item = IpAddr> + Clone, newcomer: IpAddr) -> Option<IpAddr> {
    let mut counts = HashMap::from([(newcomer, 1_usize)]);
    for place in held.clone() {
        *counts.entry(place).or_default() += 1;
    }
    let most = held.clone().filter_map(|place| counts.get(&place)).max()?;
    held.find(|place| counts.get(place) == Some(most))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Most<u32> = Most { address: 8, network: 16, all: 32 };

    fn host(network: u16, host: u16) -> IpAddr {
        IpAddr::from([0x2001, 0xdb8, 0, network, 0, 0, 0, host])
    }

    /// Shows REQ-COAP-79: in virtual time.
    #[test]
    fn loud_networks_together_leave_half_of_all_to_quiet_ones() {
        let mut begun = Begun::new(1_024);
        let (mut loud, mut quiet) = (0, 0);
        for now in 0..10_000_u64 {
            for network in 0..32 {
                loud += u32::from(begun.take(now, host(network, now as u16), PACE));
            }
            // One of sixteen each second, each of another network.
            if now % 64 == 0 {
                quiet += 1;
                assert!(begun.take(now, host(1_000 + (now / 64) as u16, 1), PACE), "{now}");
            }
        }
        // What all get in ten seconds, and the burst.
        assert!(quiet == 157 && loud + quiet <= 32 * 12 + 1 && loud >= 32 * 4, "{loud}");
    }

    /// Shows REQ-COAP-79.
    #[test]
    fn a_network_of_ipv6_is_one_and_its_quiet_addresses_begin() {
        let mut begun = Begun::new(1_024);
        let from_one = (0..100).filter(|_| begun.take(0, host(1, 1), PACE)).count();
        assert_eq!(from_one, 16, "twice what an address may each second");
        let more = (2..100).filter(|one| begun.take(0, host(1, *one), PACE)).count();
        assert_eq!(more, 16, "of another address each, up to what the network may");
        assert!(!begun.take(0, host(1, 200), PACE) && begun.take(0, host(2, 1), PACE));
        // One address goes on asking, others of its network come through.
        for now in 2_000..12_000 {
            begun.take(now, host(1, 1), PACE);
            assert!(now % 500 != 0 || begun.take(now, host(1, 1_000 + now as u16), PACE), "{now}");
        }
    }

    #[test]
    fn who_has_most_makes_room() {
        let most = Most { address: 3, network: 4, all: 6 };
        let gone = |newcomer, held: &[IpAddr]| {
            let held: Vec<_> = held.iter().copied().enumerate().collect();
            surplus(&held, newcomer, most)
        };
        let (one, two, three) = (host(1, 1), host(2, 1), host(3, 1));
        assert_eq!((gone(one, &[]), gone(one, &[one, one, two])), (None, None));
        assert_eq!(gone(one, &[two, one, one, one]), Some(1), "its own");
        assert_eq!(gone(host(1, 3), &[two, host(1, 2), one, one, host(1, 4)]), Some(2), "the loudest of its network");
        assert_eq!(gone(three, &[one, host(1, 2), two, two, two, host(2, 2)]), Some(2), "the loudest of all");
        let each: Vec<_> = (10..16).map(|net| host(net, 1)).collect();
        assert_eq!(gone(one, &each), Some(0), "of equals the oldest");
    }
}
