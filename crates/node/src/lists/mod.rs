//! Trust lists on their way from those who sign them to those who believe them: as files that any web server serves.
//!
//! | file | what is in it |
//! | --- | --- |
//! | `index.json` | which versions there are ([`Index`]); nobody signs it, nobody has to believe it |
//! | `latest.cbor` | the newest list |
//! | `N.cbor`, `E-N.cbor` | the list with version N, of recovery epoch E if that is not 0 |
//! | `N.delta-from-M.cbor` | what makes version N of version M ([`delta`]) |
//! | `suspensions.cbor` | emergency suspensions, one after the other; there is none while there was no emergency |
//!
//! Whoever is behind takes one list after the other ([`Index::next`]), each of which is believed by the one before.

pub mod delta;
pub mod fork;
mod source;

pub use source::{CatchUp, Fetched, Source, catch_up};

use crate::Error;
use data_encoding::HEXLOWER;
use medlock_trust::Time;
use medlock_trust::list::{List, MAX_AHEAD_SECONDS, MAX_VERSION_STEP};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The name of the index.
pub const INDEX: &str = "index.json";
/// The name of the newest list.
pub const LATEST: &str = "latest.cbor";
/// The name of the file with the suspensions.
pub const SUSPENSIONS: &str = "suspensions.cbor";
/// The most versions of an index: more than a list has in the life of a device, and a bound of what is read.
pub const MAX_VERSIONS: usize = 10_000;

/// Which versions a folder holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The name of the list.
    pub name: String,
    /// Its versions, ascending by recovery epoch and version.
    pub versions: Vec<Entry>,
}

/// One version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Its recovery epoch.
    pub recovery_epoch: u64,
    /// Its version.
    pub version: u64,
    /// When it was issued, in seconds since 1970.
    pub issued: i64,
    /// When the next one was due, in seconds since 1970.
    pub next: i64,
    /// The SHA-256 of its payload, in hexadecimal.
    pub payload_sha256: String,
    /// Whether other keys sign from here on than before: a step that nobody can pass over.
    pub rotation: bool,
    /// The files that make it of earlier versions, and which versions these are.
    pub deltas: Vec<u64>,
}

impl Entry {
    /// What the index says of a list; `before` is the version before it, if there is one.
    #[must_use]
    pub fn of(list: &List<'_>, before: Option<&List<'_>>) -> Self {
        let heading = list.heading();
        Self {
            recovery_epoch: heading.recovery_epoch,
            version: heading.version,
            issued: heading.issued.unix(),
            next: heading.next.unix(),
            payload_sha256: HEXLOWER.encode(&crate::provider::sha256(list.payload())),
            rotation: before.is_some_and(|before| signers(before) != signers(list)),
            deltas: Vec::new(),
        }
    }

    /// Ascending, as versions follow one another.
    #[must_use]
    pub const fn order(&self) -> (u64, u64) {
        (self.recovery_epoch, self.version)
    }

    /// The name of the file with the list.
    #[must_use]
    pub fn file(&self) -> String {
        match self.recovery_epoch {
            0 => format!("{}.cbor", self.version),
            epoch => format!("{epoch}-{}.cbor", self.version),
        }
    }

    /// The name of the file that makes it of version `from` of the same recovery epoch.
    #[must_use]
    pub fn delta_file(&self, from: u64) -> String {
        match self.recovery_epoch {
            0 => format!("{}.delta-from-{from}.cbor", self.version),
            epoch => format!("{epoch}-{}.delta-from-{from}.cbor", self.version),
        }
    }
}

/// All that says who signs a list's successor.
fn signers<'a>(list: &List<'a>) -> ([u64; 3], [BTreeSet<&'a [u8]>; 2]) {
    let heading = list.heading();
    let members = list.members().map(|member| member.spki).collect();
    let recovery = list.recovery().map(|key| key.spki).collect();
    let counts = [heading.recovery_epoch, heading.threshold.into(), heading.recovery_threshold.into()];
    (counts, [members, recovery])
}

impl Index {
    /// Reads the index of a folder.
    ///
    /// # Errors
    /// [`Error::NotReady`] if it is none.
    pub fn read(bytes: &[u8]) -> Result<Self, Error> {
        let index: Option<Self> = serde_json::from_slice(bytes).ok();
        index
            .filter(|index| index.versions.len() <= MAX_VERSIONS)
            .ok_or(Error::NotReady("index.json is not that of a folder of lists: publish the list again"))
    }

    /// The version to take after `held`, for who knows that it is `now` (as a lower bound): the next one with other
    /// signers, or else the newest, as far as one step goes. `None` if there is nothing newer.
    #[must_use]
    pub fn next(&self, held: &List<'_>, now: Time) -> Option<&Entry> {
        let heading = held.heading();
        let later: Vec<&Entry> =
            self.versions.iter().filter(|entry| entry.order() > (heading.recovery_epoch, heading.version)).collect();
        let rotation = later.iter().position(|entry| entry.rotation || entry.recovery_epoch != heading.recovery_epoch);
        let reachable = rotation.map_or(&later[..], |at| &later[..=at]);
        let latest = now.max(heading.next).plus_seconds(MAX_AHEAD_SECONDS);
        let within = |entry: &&&Entry| {
            entry.version.saturating_sub(heading.version) <= MAX_VERSION_STEP && Time::from_unix(entry.issued) <= latest
        };
        // If nothing is within one step, the nearest shows by its refusal what is missing.
        reachable.iter().rev().find(within).or(reachable.first()).copied()
    }
}
