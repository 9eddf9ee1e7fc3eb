//! Keys of clients that are found at an address (SMART App Launch 2.2, section 5.2.1.1): fetched, and kept for a while.
//!
//! | when | what is done |
//! | --- | --- |
//! | the set was fetched lately, and has the key | it is used, for as long as its server said, from a minute to a day |
//! | it has no such key | it is fetched again, once a minute at most |
//! | it cannot be fetched | the one before is used, for a day at most; it is tried again after a minute |

use crate::jose::{Algorithm, KeySet};
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use medlock_node::outbound::Outbound;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::runtime::Handle;

/// For how long a set is used whose server says nothing; at least; at most, in seconds.
const USUAL: i64 = 300;
const LEAST: i64 = 60;
const MOST: i64 = 86_400;
/// How long a set is used that cannot be fetched again, in seconds.
const STALE: i64 = 86_400;
/// How long it is not asked again, in seconds.
const PAUSE: i64 = 60;
/// Sets that are kept.
const SETS: usize = 1_000;

/// Why there is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoKey {
    /// The set was never fetched, or too long ago.
    #[error("the client's keys cannot be fetched: {0}")]
    Unfetched(String),
    /// The set has no such key.
    #[error("no registered key has the assertion's kid and alg")]
    Unknown,
}

/// A set that was fetched.
#[derive(Clone, Debug)]
struct Fetched {
    set: KeySet,
    at: i64,
    fresh_until: i64,
}

/// What is known of an address.
#[derive(Debug, Default)]
struct Known {
    fetched: Option<Fetched>,
    /// When it was asked last, and what went wrong.
    asked: Option<(i64, Option<String>)>,
}

/// The sets of all clients.
#[derive(Debug)]
pub(crate) struct KeySets {
    outbound: Outbound,
    known: Mutex<HashMap<String, Arc<Mutex<Known>>>>,
}

impl KeySets {
    pub(crate) fn new(outbound: Outbound) -> Self {
        Self { outbound, known: Mutex::default() }
    }

    /// The calls that may be made.
    pub(crate) const fn outbound(&self) -> &Outbound {
        &self.outbound
    }

    /// A set with the key that a token names. Blocks, within the runtime.
    ///
    /// # Errors
    /// [`NoKey`].
    pub(crate) fn find(
        &self,
        address: &str,
        name: Option<&str>,
        algorithm: Algorithm,
        now: i64,
    ) -> Result<KeySet, NoKey> {
        let known = self.known(address);
        // Who comes while it is asked waits, and asks nobody.
        let mut known = locked(&known);
        let has = |set: &KeySet| set.find(name, algorithm).is_some();
        if let Some(fetched) = &known.fetched
            && now < fetched.fresh_until
            && has(&fetched.set)
        {
            return Ok(fetched.set.clone());
        }
        if known.asked.as_ref().is_none_or(|(at, _)| now.abs_diff(*at) >= PAUSE.unsigned_abs()) {
            let fetched = self.fetch(address, now);
            known.asked = Some((now, fetched.as_ref().err().cloned()));
            if let Ok(fetched) = fetched {
                known.fetched = Some(fetched);
            }
        }
        match &known.fetched {
            Some(fetched) if now < fetched.at.saturating_add(STALE) || now < fetched.fresh_until => {
                if has(&fetched.set) { Ok(fetched.set.clone()) } else { Err(NoKey::Unknown) }
            }
            _ => {
                let why = known.asked.as_ref().and_then(|(_, why)| why.clone());
                Err(NoKey::Unfetched(why.unwrap_or_else(|| "ask again in a minute".to_owned())))
            }
        }
    }

    fn known(&self, address: &str) -> Arc<Mutex<Known>> {
        let mut all = locked(&self.known);
        if all.len() >= SETS && !all.contains_key(address) {
            all.clear();
        }
        Arc::clone(all.entry(address.to_owned()).or_default())
    }

    fn fetch(&self, address: &str, now: i64) -> Result<Fetched, String> {
        let got = Handle::current().block_on(self.outbound.get(address, "application/json"));
        let got = got.map_err(|error| error.to_string()).and_then(|answer| {
            if answer.status().as_u16() != 200 {
                return Err(format!("{address} answers {}", answer.status().as_u16()));
            }
            let set = KeySet::from_json(answer.body()).map_err(|error| format!("{address}: {error}"))?;
            Ok(Fetched { set, at: now, fresh_until: now.saturating_add(freshness(answer.headers())) })
        });
        if let Err(why) = &got {
            tracing::warn!(why, "keys were not fetched");
        }
        got
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// For how long a set is used, in seconds (RFC 9111 section 5.2.2), within our bounds.
fn freshness(headers: &HeaderMap) -> i64 {
    let told = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok());
    let directives = told.flat_map(|told| told.split(',')).map(|one| one.trim().to_ascii_lowercase());
    let mut age = USUAL;
    for directive in directives {
        if matches!(directive.as_str(), "no-store" | "no-cache") {
            return LEAST;
        }
        if let Some(seconds) = directive.strip_prefix("max-age=") {
            age = seconds.trim_matches('"').parse().unwrap_or(LEAST);
        }
    }
    age.clamp(LEAST, MOST)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// Shows REQ-SMART-69: how long keys are kept is their server's to say, within a minute and a day.
    #[test]
    fn keys_are_kept_as_long_as_their_server_says_within_bounds() {
        for (told, seconds) in [
            ("", 300),
            ("max-age=600", 600),
            ("public, Max-Age=\"700\"", 700),
            ("max-age=0", 60),
            ("max-age=999999999", 86_400),
            ("max-age=99999999999999999999", 60),
            ("max-age=-1", 60),
            ("no-store, max-age=600", 60),
            ("max-age=600, no-cache", 60),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static(told));
            assert_eq!(freshness(&headers), seconds, "{told}");
        }
        assert_eq!(freshness(&HeaderMap::new()), USUAL);
    }
}
