//! When a list is believed: the first time, and each time after.

use super::{Authority, AuthorityState, Error, List, Member, entry};
use crate::cose::{self, MAX_SIGNATURES};
use crate::crypto::Crypto;
use crate::id::KeyId;
use crate::time::{Interval, Time};
use core::fmt;

/// How far one list may raise the version. Lists appear some times a year, so that this is more than anybody skips, and a
/// bad list uses up next to nothing of 2^64 numbers.
pub const MAX_VERSION_STEP: u64 = 1_000;
/// How far a list may be issued ahead of the latest instant that the judge thinks possible: a day, for clocks that differ
/// and for zones that were confused. Later lists must not be issued before, so a bad one costs a day.
pub const MAX_SKEW_SECONDS: i64 = 86_400;
/// How far ahead a list may be issued for a judge without an upper bound of time: 400 days after the list held was to be
/// replaced, or after the earliest instant that the judge thinks possible. One that lay in a drawer for five years takes
/// the kept lists of these years in order; one bad list costs it a year, not all years.
pub const MAX_AHEAD_SECONDS: i64 = 400 * 86_400;

/// What a judge was told of a list before it saw the first one.
#[derive(Clone, Copy, Debug)]
pub enum Pinned<'a> {
    /// The key of the site's root: the one member that signs.
    Root(KeyId),
    /// The keys of an alliance's members, and how many of them must have signed.
    Members {
        /// Their keys.
        keys: &'a [KeyId],
        /// How many must have signed; never less than one.
        threshold: u8,
    },
}

/// Why a list is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not a list.
    Malformed(Error),
    /// A signature under it is wrong.
    Signature {
        /// The key that is to have made it.
        key: KeyId,
        /// What is wrong.
        error: cose::Error,
    },
    /// Too few of those who must have signed did.
    TooFewSignatures {
        /// How many of them did.
        have: u8,
        /// How many must.
        need: u8,
        /// Whose signatures are counted.
        signers: Signers,
    },
    /// It is another list than the one held: of another kind or name.
    OtherList,
    /// It is not newer than the one held.
    NotNewer {
        /// Version of the list held.
        held: u64,
        /// Version of the list given.
        given: u64,
    },
    /// Its recovery epoch is not that of the list held or the one after it.
    RecoveryEpoch {
        /// Epoch of the list held.
        held: u64,
        /// Epoch of the list given.
        given: u64,
    },
    /// Its version is more than [`MAX_VERSION_STEP`] above that of the list held.
    VersionStep {
        /// Version of the list held.
        held: u64,
        /// Version of the list given.
        given: u64,
    },
    /// It was issued later than can be now.
    IssuedAhead {
        /// The latest that is believed.
        latest: Time,
        /// When the list given was issued.
        given: Time,
    },
    /// It was issued before the list held.
    IssuedEarlier {
        /// When the list held was issued.
        held: Time,
        /// When the list given was issued.
        given: Time,
    },
    /// An authority that the list held calls compromised is missing or in better standing.
    CompromiseForgotten(KeyId),
}

/// Whose signatures are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signers {
    /// The keys the judge was told of.
    Pinned,
    /// The members of the list held.
    Held,
    /// The recovery keys of the list held.
    Recovery,
    /// The members the list itself names.
    Own,
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => error.fmt(f),
            Self::Signature { key, error } => write!(f, "the signature of {key}: {error}"),
            Self::TooFewSignatures { have, need, signers } => {
                let whose = match signers {
                    Signers::Pinned => "pinned members",
                    Signers::Held => "members of the list held",
                    Signers::Recovery => "recovery keys of the list held",
                    Signers::Own => "members it names",
                };
                write!(f, "{have} of the {whose} signed the list, {need} must")
            }
            Self::OtherList => f.write_str("it is the list of another alliance or site than the one held"),
            Self::NotNewer { held, given } => {
                write!(f, "version {given} is not newer than version {held}, which is held")
            }
            Self::RecoveryEpoch { held, given } => {
                write!(f, "recovery epoch {given} does not follow {held}; fetch the lists between")
            }
            Self::VersionStep { held, given } => {
                write!(
                    f,
                    "version {given} is more than {MAX_VERSION_STEP} above {held}, which is held; fetch the lists between"
                )
            }
            Self::IssuedAhead { latest, given } => {
                write!(
                    f,
                    "issued {given}, later than {latest}, the latest believed here; check the clock, or fetch the lists between"
                )
            }
            Self::IssuedEarlier { held, given } => write!(f, "issued {given}, before the list held ({held})"),
            Self::CompromiseForgotten(key) => write!(f, "authority {key} was compromised and must stay so"),
        }
    }
}

impl core::error::Error for Refused {}

impl<'a> List<'a> {
    /// Believes a first list because the judge was told whose it is. `time` is what the judge knows of the present.
    ///
    /// # Errors
    /// [`Refused`] when enough of the pinned keys have not signed, or enough of its own members, or anything is wrong.
    pub fn verify_pinned(
        bytes: &'a [u8],
        pinned: &Pinned<'_>,
        time: Interval,
        crypto: &impl Crypto,
    ) -> Result<Self, Refused> {
        let (signed, list) = Self::read(bytes)?;
        // Without an upper bound of time the first list is taken at its word: there is nothing to compare it with.
        not_ahead(
            list.heading.issued,
            time.latest().map_or(Time::NEVER, |latest| latest.plus_seconds(MAX_SKEW_SECONDS)),
        )?;
        let signers = list.signed_by(&signed, crypto)?;
        list.check_keys(crypto)?;
        let (pinned_count, need) = match pinned {
            Pinned::Root(root) => (signers.count(|key| key == *root), 1),
            Pinned::Members { keys, threshold } => (signers.count(|key| keys.contains(&key)), (*threshold).max(1)),
        };
        enough(pinned_count, need, Signers::Pinned)?;
        enough(signers.count(|key| list.member(key).is_some()), list.heading.threshold, Signers::Own)?;
        Ok(list)
    }

    /// Believes a later version of the list held (invariant I4). `time` is what the judge knows of the present.
    ///
    /// It must be newer, in bounded steps: a higher version in the same recovery epoch, or the next recovery epoch. What is
    /// compromised stays so, and it was not issued earlier, both except in a recovery, whose purpose is to take back a
    /// poisoned list. Enough of its own members must have signed, and of the list held:
    ///
    /// - enough members, in the same recovery epoch;
    /// - enough recovery keys, in the next one (nobody else counts: the members may be lost, or the ones who poisoned the
    ///   list), and wherever the recovery keys or their threshold change. Of a list without such keys its members recover
    ///   it, as a site's root does.
    ///
    /// # Errors
    /// [`Refused`]. A judge that missed versions whose members changed in between gives the kept versions in order.
    pub fn verify_successor(
        bytes: &'a [u8],
        held: &List<'_>,
        time: Interval,
        crypto: &impl Crypto,
    ) -> Result<Self, Refused> {
        let (signed, list) = Self::read(bytes)?;
        let recovers = list.check_order(held)?;
        not_ahead(list.heading.issued, held.latest_successor(time))?;
        let known = |key| {
            let known = list.member(key).or_else(|| held.member(key)).or_else(|| held.recovery_key(key));
            known.map(|member| member.spki)
        };
        let signers = Signed::of(&signed, crypto, known)?;
        list.check_keys(crypto)?;
        let custodians = held.heading.recovery_threshold;
        if !recovers || custodians == 0 {
            enough(signers.count(|key| held.member(key).is_some()), held.heading.threshold, Signers::Held)?;
        }
        let changed = (list.heading.recovery_threshold, list.recovery.bytes) != (custodians, held.recovery.bytes);
        if recovers || changed {
            enough(signers.count(|key| held.recovery_key(key).is_some()), custodians, Signers::Recovery)?;
        }
        enough(signers.count(|key| list.member(key).is_some()), list.heading.threshold, Signers::Own)?;
        Ok(list)
    }

    /// Says whether verifiers who hold `held` would take this proposal, which nobody has signed yet, once enough have.
    ///
    /// # Errors
    /// [`Refused`], for any other reason than missing signatures.
    pub fn check_proposal(&self, held: Option<&List<'_>>, time: Interval, crypto: &impl Crypto) -> Result<(), Refused> {
        if let Some(held) = held {
            self.check_order(held)?;
            not_ahead(self.heading.issued, held.latest_successor(time))?;
        }
        Ok(self.check_keys(crypto)?)
    }

    /// The latest instant at which what succeeds this list may have been issued.
    pub(super) fn latest_successor(&self, time: Interval) -> Time {
        match time.latest() {
            Some(latest) => latest.plus_seconds(MAX_SKEW_SECONDS),
            None => time.earliest().max(self.heading.next).plus_seconds(MAX_AHEAD_SECONDS),
        }
    }

    fn recovery_key(&self, key: KeyId) -> Option<Member<'a>> {
        self.recovery().find(|one| one.key == key)
    }

    /// Whether the list recovers the one held; refused if it does not come after it.
    fn check_order(&self, held: &List<'_>) -> Result<bool, Refused> {
        let (new, old) = (&self.heading, &held.heading);
        if new.kind != old.kind || new.name != old.name {
            return Err(Refused::OtherList);
        }
        let (held_version, given) = (old.version, new.version);
        let recovers = new.recovery_epoch != old.recovery_epoch;
        if !recovers {
            if given <= held_version {
                return Err(Refused::NotNewer { held: held_version, given });
            }
            if new.issued < old.issued {
                return Err(Refused::IssuedEarlier { held: old.issued, given: new.issued });
            }
            self.check_compromised_stay(held)?;
        } else if old.recovery_epoch.checked_add(1) != Some(new.recovery_epoch) {
            // One step at a time, so that the epoch itself cannot be used up by a poisoned list.
            return Err(Refused::RecoveryEpoch { held: old.recovery_epoch, given: new.recovery_epoch });
        }
        if given.saturating_sub(held_version) > MAX_VERSION_STEP {
            return Err(Refused::VersionStep { held: held_version, given });
        }
        Ok(recovers)
    }

    fn check_compromised_stay(&self, held: &List<'_>) -> Result<(), Refused> {
        let compromised = |authority: &Authority<'_>| authority.state == AuthorityState::Compromised;
        let forgotten = held
            .authorities()
            .filter(compromised)
            .find(|old| !self.authority(old.key).is_some_and(|new| compromised(&new)));
        forgotten.map_or(Ok(()), |old| Err(Refused::CompromiseForgotten(old.key)))
    }

    /// Checks that every key in the list is the one its identifier names, so that later look-ups need no hash.
    fn check_keys(&self, crypto: &impl Crypto) -> Result<(), Error> {
        self.members()
            .chain(self.recovery())
            .try_for_each(|member| entry::public_key(member.key, member.spki, crypto).map(drop))?;
        self.authorities()
            .try_for_each(|authority| entry::public_key(authority.key, authority.spki, crypto).map(drop))?;
        self.services().try_for_each(|service| entry::public_key(service.key, service.spki, crypto).map(drop))
    }

    fn signed_by(&self, signed: &cose::Sign<'_>, crypto: &impl Crypto) -> Result<Signed, Refused> {
        Signed::of(signed, crypto, |key| self.member(key).map(|member| member.spki))
    }

    /// How many of the list's members signed an object with their keys of this list; strangers count for nothing.
    pub(super) fn signed_count(&self, signed: &cose::Sign<'_>, crypto: &impl Crypto) -> Result<u8, Refused> {
        Ok(self.signed_by(signed, crypto)?.count(|_| true))
    }
}

/// Refuses what was issued after `latest`.
pub(super) fn not_ahead(given: Time, latest: Time) -> Result<(), Refused> {
    if given <= latest { Ok(()) } else { Err(Refused::IssuedAhead { latest, given }) }
}

pub(super) fn enough(have: u8, need: u8, signers: Signers) -> Result<(), Refused> {
    if have >= need { Ok(()) } else { Err(Refused::TooFewSignatures { have, need, signers }) }
}

/// The distinct keys whose signatures were checked and right.
struct Signed {
    keys: [Option<KeyId>; MAX_SIGNATURES],
}

impl Signed {
    /// Checks the signatures of all signers whose key is known; the others count for nothing. One wrong signature
    /// refuses the whole, so that every copy of a list that is believed is believed by all.
    fn of<'k>(
        signed: &cose::Sign<'_>,
        crypto: &impl Crypto,
        spki_of: impl Fn(KeyId) -> Option<&'k [u8]>,
    ) -> Result<Self, Refused> {
        let mut keys = [None; MAX_SIGNATURES];
        for (slot, signer) in keys.iter_mut().zip(signed.signers()) {
            let key = signer.key();
            let Some(spki) = spki_of(key) else { continue };
            let public_key = entry::public_key(key, spki, crypto)?;
            signed.verify(&signer, public_key, crypto).map_err(|error| Refused::Signature { key, error })?;
            *slot = Some(key);
        }
        Ok(Self { keys })
    }

    fn count(&self, counts: impl Fn(KeyId) -> bool) -> u8 {
        self.keys.iter().flatten().filter(|key| counts(**key)).fold(0, |count: u8, _| count.saturating_add(1))
    }
}
