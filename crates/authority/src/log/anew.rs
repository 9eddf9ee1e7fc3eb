//! A log that begins anew, after entries that were signed were lost for good.

use super::ORIGIN;
use crate::directory::{lock_directory, open_store};
use crate::present::alone;
use crate::signer::{Signed, SignerError, behind};
use crate::store::{Alarm, Journal as _, Log as _, SqlStore};
use crate::{Authority, AuthorityConfig, Error};
use medlock_node::clock::Clock;
use medlock_node::provider;
use std::path::Path;
use std::sync::Arc;

impl Authority {
    /// Begins the log of an authority that is not open anew, with all records its store has: under a new name, since the tree
    /// of the old one can no longer be continued. Returns the old name and the new one.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it is in use, also by another hub; [`Error::Store`].
    pub fn start_log_anew(config: &AuthorityConfig, clock: &Clock) -> Result<(String, String), Error> {
        let _lock = lock_directory(&config.dir)?;
        let store = Arc::new(open_store(config)?);
        let _alone = alone(&store)?;
        let old = store.setting(ORIGIN)?.ok_or_else(|| Error::Conflict("there is no log yet".to_owned()))?;
        let signed = Signed::within(&config.dir.join("keys"));
        let generations = signed.all()?.into_iter().map(|signed| signed.origin);
        let generations = generations.filter(|name| generation(name).0 == generation(&old).0);
        let last = generations.map(|name| generation(&name).1).max().unwrap_or(1);
        let new = next_name(&old, last, provider::random());
        // A folder of keys on a new disk does not know how far the former log was signed; the store does, as far as it goes.
        if config.dir.join("keys").exists()
            && let Some(text) = store.checkpoint()?.and_then(|newest| text_of(&newest.note))
        {
            // It may know more.
            let _ = signed.admit(&text);
        }
        store.start_log_anew(&new)?;
        let now = clock.now();
        store.raise(Alarm {
            id: 0,
            at: now,
            last: now,
            count: 1,
            kind: "log-started-anew".to_owned(),
            device: None,
            subject: new.clone(),
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

impl Authority {
    /// Whether the log of a store that was brought back continues what the signer in `dir` remembers; one whose keys are not
    /// there remembers nothing.
    ///
    /// # Errors
    /// [`Error::Conflict`], with what to do, when more was signed than the store has, or the log was begun anew since;
    /// [`Error::Store`], [`Error::Signer`].
    pub fn check_log(dir: &Path, store: &SqlStore) -> Result<(), Error> {
        let Some(origin) = store.setting(ORIGIN)? else { return Ok(()) };
        let size = store.log_size()?;
        let signed = Signed::within(&dir.join("keys")).newest(&origin);
        let signed = signed.map_err(|error| match error {
            SignerError::Refused(why) => Error::Conflict(why),
            other => other.into(),
        })?;
        match signed.filter(|signed| size < signed.head.size) {
            Some(signed) => Err(Error::Conflict(behind(&signed, size))),
            None => Ok(()),
        }
    }
}

/// The name with its number counted up: `log.example`, `log.example/2-d41b5ae0`, `log.example/3-07c6b1e9`. Behind the number is
/// what no other has: a store from a backup may not know that it began anew before, and the key is the same.
/// `last` is the highest number that anybody here knows of.
fn next_name(old: &str, last: u32, random: [u8; 4]) -> String {
    let (base, number) = generation(old);
    format!("{base}/{}-{}", number.max(last).saturating_add(1), data_encoding::HEXLOWER.encode(&random))
}

/// The name that a log had first, and how many there were with it: 1 for that one itself.
pub(crate) fn generation(name: &str) -> (&str, u32) {
    let numbered = name.rsplit_once('/').and_then(|(base, number)| {
        let number = number.split_once('-').map_or(number, |(number, _)| number);
        Some((base, number.parse::<u32>().ok()?))
    });
    numbered.filter(|(_, number)| *number >= 2).unwrap_or((name, 1))
}

/// What was signed of a note (C2SP signed-note): all before the empty line.
fn text_of(note: &[u8]) -> Option<Vec<u8>> {
    let (text, _) = std::str::from_utf8(note).ok()?.split_once("\n\n")?;
    Some(format!("{text}\n").into_bytes())
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
            assert_eq!(super::next_name(old, 1, [0, 0, 0, 7]), new);
        }
        assert_ne!(super::next_name("a", 1, [1; 4]), super::next_name("a", 1, [2; 4]), "one of a store from a backup");
        assert_eq!(super::next_name("a", 4, [0, 0, 0, 7]), "a/5-00000007", "behind those that were signed");
    }
}
