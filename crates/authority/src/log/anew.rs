//! A log that begins anew, after entries that were signed were lost for good.

use super::ORIGIN;
use crate::directory::{lock_directory, open_store};
use crate::store::{Alarm, Journal as _, Log as _};
use crate::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::provider;

impl Authority {
    /// Begins the log of an authority that is not open anew, with all records its store has: under a new name, since the tree
    /// of the old one can no longer be continued. Returns the old name and the new one.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is in use, also by another hub; [`Error::Store`].
    pub fn start_log_anew(config: &AuthorityConfig, clock: &Clock) -> Result<(String, String), Error> {
        let _lock = lock_directory(&config.dir)?;
        let store = open_store(config)?;
        if store.take_lease(provider::random(), 1)?.is_none() {
            return Err(Error::Conflict("another hub works on this store: stop all of them first".to_owned()));
        }
        let old = store.setting(ORIGIN)?.ok_or_else(|| Error::Conflict("there is no log yet".to_owned()))?;
        let new = next_name(&old, provider::random());
        store.start_log_anew(&new)?;
        let now = clock.now();
        store.raise(Alarm {
            id: 0,
            at: now,
            last: now,
            count: 1,
            kind: "log-started-anew".to_owned(),
            device: None,
            text: format!(
                "entries of the log {old} were lost, and it goes on as {new}: give its key (`medlock log show`) to monitors and \
                 witnesses, revoke again what was revoked since the backup, and have devices enrol again whose credentials \
                 nobody knows"
            ),
            acknowledged: false,
        })?;
        Ok((old, new))
    }
}

/// The name with its number counted up: `log.example`, `log.example/2-d41b5ae0`, `log.example/3-07c6b1e9`. Behind the number is
/// what no other has: a store from a backup may not know that it began anew before, and the key is the same.
fn next_name(old: &str, random: [u8; 4]) -> String {
    let numbered = old.rsplit_once('/').and_then(|(base, number)| {
        let number = number.split_once('-').map_or(number, |(number, _)| number);
        Some((base, number.parse::<u32>().ok()?))
    });
    let (base, number) = numbered.filter(|(_, number)| *number >= 2).unwrap_or((old, 1));
    format!("{base}/{}-{}", number.saturating_add(1), data_encoding::HEXLOWER.encode(&random))
}

#[cfg(test)]
mod tests {
    /// Shows REQ-KEYS-35.
    #[test]
    fn each_name_is_new() {
        for (old, new) in [
            ("a", "a/2-00000007"),
            ("a/2", "a/3-00000007"),
            ("a/2-00000006", "a/3-00000007"),
            ("a/log", "a/log/2-00000007"),
            ("a/1", "a/1/2-00000007"),
            ("a/9-x", "a/10-00000007"),
        ] {
            assert_eq!(super::next_name(old, [0, 0, 0, 7]), new);
        }
        assert_ne!(super::next_name("a", [1; 4]), super::next_name("a", [2; 4]), "one of a store from a backup");
    }
}
