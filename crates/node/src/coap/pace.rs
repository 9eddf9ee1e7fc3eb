//! How often something may begin: so many times each second, and twice as many in a burst.

use super::bounded::Bounded;
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
        let most = u64::from(each_second) * 2_000;
        let since = self.filled.map_or(u64::MAX, |filled| now.saturating_sub(filled));
        self.milli_tokens = self.milli_tokens.saturating_add(since.saturating_mul(each_second.into())).min(most);
        self.filled = Some(now);
        let enough = self.milli_tokens >= 1_000;
        if enough {
            self.milli_tokens -= 1_000;
        }
        enough
    }
}

/// The same for each IP address; those that were heard of longest ago are forgotten.
#[derive(Debug)]
pub(crate) struct Addresses(Bounded<IpAddr, Bucket>);

impl Addresses {
    /// Room for so many.
    pub(crate) fn new(most: usize) -> Self {
        Self(Bounded::new(most))
    }

    /// Whether this address may cause one more at `now`.
    pub(crate) fn take(&mut self, now: u64, address: IpAddr, each_second: u32) -> bool {
        if self.0.peek(&address).is_none() {
            self.0.insert(address, Bucket::default());
        }
        self.0.get(&address).is_some_and(|bucket| bucket.take(now, each_second))
    }
}
