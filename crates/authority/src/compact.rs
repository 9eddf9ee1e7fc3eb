//! The compact set of how all credentials stand, as the authority makes it: a set that stands for itself each week, and
//! what has changed since once a day. Whoever holds the set fetches the changes alone; who comes late, or was away
//! longer, fetches both.

use crate::ahead::issued_behind;
use crate::objects::Kind;
use crate::status::set::{ShardWriter, Shards};
use crate::store::{Published, StandingState};
use crate::{Authority, Error, status};
use medlock_node::provider;
use medlock_trust::Time;
use medlock_trust::cose::{ContentType, Place};
use medlock_trust::status::set::{SetContent, Word};
use medlock_trust::status::{MAX_RECORDS, RevokedSet, SetHeading, StatusList};
use std::sync::PoisonError;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

/// After how long a set that stands for itself is made anew, in seconds.
const BASE_SECONDS: i64 = 7 * 86_400;
/// After how long what has changed is told anew, in seconds.
const CHANGES_SECONDS: i64 = 86_400;
/// Changes longer than this part of their set are not worth having: the set is made anew.
const WORTH: usize = 2;
/// How long a certificate that has its dates may take until it is recorded, in seconds. What is covered ends before.
const IN_FLIGHT_SECONDS: i64 = 600;
/// Credentials that are read at once.
const PAGE: u32 = 16_384;
/// Making sets takes at most one part in this of the time, when the status list is full and each change asks for one.
const PAUSE: u32 = 20;
const WHAT: &str = "compact set";

/// The set that was made last.
#[derive(Debug, Default)]
pub(crate) struct Made {
    /// When it was finished, and how long that took.
    last: Option<(Instant, Duration)>,
}

/// Until when the sets in force cover credentials: those that are issued later begin later.
#[derive(Debug)]
pub(crate) struct Covered(AtomicI64);

impl Default for Covered {
    fn default() -> Self {
        Self(AtomicI64::new(i64::MIN))
    }
}

impl Authority {
    /// The begin of a validity that no set covers yet, also when the clock was set back a little: a set answers for all
    /// credentials that begin before its time, and would say something untrue of one that was made later.
    ///
    /// A set that covers what is still to come was made by a clock that was ahead. It is made anew as soon as that is seen, and
    /// until then nobody is kept without a credential for it: no judge believes it when it calls one good.
    pub(crate) fn uncovered(&self, not_before: Time) -> Time {
        let covered = Time::from_unix(self.covered.0.load(Ordering::Acquire));
        if not_before > covered || covered >= self.clock.now() { not_before } else { covered.plus_seconds(1) }
    }

    /// From here on nothing is issued that a set with this heading would cover. What one that was made by a clock ahead covers
    /// counts no longer.
    fn cover(&self, heading: &SetHeading) {
        let (now, covers) = (self.clock.now().unix(), heading.covers.unix());
        let next = |held: i64| Some(if held >= now { covers } else { held.max(covers) });
        // It always has a next value.
        let _ = self.covered.0.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    }

    /// Makes the compact set if one is due; [`Authority::keep`] calls it every second. What fails is tried again.
    pub fn tick_set(&self) {
        match self.set_is_due() {
            Ok(false) => {}
            Ok(true) => {
                if let Err(error) = self.publish_set() {
                    tracing::warn!(%error, "the compact set could not be made; it is tried again");
                }
            }
            Err(error) => tracing::warn!(%error, "whether a compact set is due could not be found out"),
        }
    }

    fn set_is_due(&self) -> Result<bool, Error> {
        let stands_still = self.settings.kind == crate::settings::Kind::Maker || self.clocks_agree().is_err();
        if stands_still || !self.has_issuing_key()? {
            return Ok(false);
        }
        let last = self.locks.set.lock().unwrap_or_else(PoisonError::into_inner).last;
        if last.is_some_and(|(at, took)| at.elapsed() < (took * PAUSE).max(Duration::from_secs(5))) {
            return Ok(false);
        }
        let Some(base) = self.store.published(Kind::RevokedSet.name())? else { return Ok(true) };
        // A set of a former key is not believed for ever.
        if !self.is_ours(Kind::RevokedSet)? {
            return Ok(true);
        }
        let changes = self.store.published(Kind::RevokedDelta.name())?.filter(|changes| changes.version > base.version);
        let newest = changes.unwrap_or(base);
        let old = !(0..CHANGES_SECONDS).contains(&self.clock.now().seconds_since(newest.at));
        Ok(old || (self.list_is_full() && self.store.epoch()? > newest.version))
    }

    /// Whether the status list may have left somebody out.
    fn list_is_full(&self) -> bool {
        let list = self.news.current(Kind::Status);
        list.is_some_and(|list| StatusList::danger_open(&list.bytes).is_ok_and(|list| list.len() >= MAX_RECORDS))
    }

    /// Makes the compact set, or what has changed since the last one that stands for itself, and gives it out.
    ///
    /// # Errors
    /// [`Error`].
    pub fn publish_set(&self) -> Result<(), Error> {
        let mut made = self.locks.set.lock().unwrap_or_else(PoisonError::into_inner);
        let start = Instant::now();
        let base = self.store.published(Kind::RevokedSet.name())?;
        let changes = self.store.published(Kind::RevokedDelta.name())?;
        let (now, ours) = (self.clock.now(), self.is_ours(Kind::RevokedSet)?);
        let worth = |base: &&Published| {
            let length =
                changes.as_ref().filter(|changes| changes.version > base.version).map_or(0, |it| it.bytes.len());
            (0..BASE_SECONDS).contains(&now.seconds_since(base.at)) && length < base.bytes.len().max(4_096) / WORTH
        };
        let said = match base.as_ref().filter(worth).filter(|_| ours) {
            Some(base) => self.say(Kind::RevokedDelta, Some(base)),
            None => self.say(Kind::RevokedSet, None),
        };
        made.last = Some((Instant::now(), start.elapsed()));
        said
    }

    fn say(&self, kind: Kind, base: Option<&Published>) -> Result<(), Error> {
        let failed = |why: String| Error::Object { what: WHAT, why };
        let base = base.map(|base| RevokedSet::danger_open(&base.bytes)).transpose();
        let base = base.map_err(|refused| failed(refused.to_string()))?;
        let heading = self.set_heading(base.as_ref())?;
        self.cover(&heading);
        let made = self.shards(&heading, base.as_ref())?;
        let heading = SetHeading { credentials: made.credentials, ..heading };
        let mut payload = Vec::new();
        let content = SetContent { heading, table: &made.table, shards: &made.shards };
        content.encode(crate::bytes::Sink(&mut payload)).map_err(|error| failed(error.to_string()))?;
        let place = Place::Header(ContentType::REVOKED_SET);
        let bytes = status::sign1(&*self.signer, &self.issuing(), &payload, place, WHAT)?;
        let (length, epoch) = (bytes.len(), heading.epoch);
        let _one_at_a_time = self.publishing_lock();
        self.publish(kind, Published { version: epoch, at: self.clock.now(), bytes })?;
        if kind == Kind::RevokedSet {
            self.news.withdraw(Kind::RevokedDelta);
        }
        tracing::info!(kind = kind.name(), credentials = made.credentials, length, epoch, "compact set");
        Ok(())
    }

    fn set_heading(&self, base: Option<&RevokedSet<'_>>) -> Result<SetHeading, Error> {
        let now = self.clock.now();
        let held = [Kind::RevokedSet, Kind::RevokedDelta].map(|kind| self.store.published(kind.name()));
        let [one, two] = held;
        let held: Vec<Published> = [one?, two?].into_iter().flatten().collect();
        let last = held.iter().map(|held| held.version).max();
        let mut epoch = self.store.epoch()?;
        if last >= Some(epoch) {
            epoch = self.store.next_epoch(now)?;
        }
        if let Some(held) = held.iter().max_by_key(|held| held.at) {
            self.tell_of_clock(held.at);
        }
        let headings = held.iter().filter_map(|held| RevokedSet::danger_open(&held.bytes).ok());
        let before: Vec<SetHeading> = headings.map(|set| *set.heading()).collect();
        let issued = issued_behind(before.iter().map(|before| before.issued), now);
        // It covers no less than the one before; what a clock that was ahead has covered would never be covered truly.
        let covers = now.plus_seconds(-self.rules().profile.backdate_seconds() - IN_FLIGHT_SECONDS);
        let past = before.iter().map(|before| before.covers).filter(|before| *before < now);
        let covers = past.fold(covers.max(Time::from_unix(0)), Time::max);
        Ok(SetHeading {
            authority: self.root().key,
            recovery_epoch: 0,
            epoch,
            issued,
            next: issued.plus_seconds(CHANGES_SECONDS),
            covers,
            credentials: 0,
            base: base.map(|base| base.heading().epoch),
        })
    }

    /// Walks through all credentials. What is known against a key that has issued is on the status list, which always has room
    /// for it, and is not repeated for each credential.
    fn shards(&self, heading: &SetHeading, base: Option<&RevokedSet<'_>>) -> Result<Shards, Error> {
        let failed = |error: status::set::ShardError| Error::Object { what: WHAT, why: error.to_string() };
        let mut writer = ShardWriter::new(provider::random::<16>);
        let mut after = None;
        loop {
            let page = self.store.states(after, PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.credential);
            for one in page.iter().filter(|one| one.not_before <= heading.covers) {
                let mut word = word(one.state);
                if let Some(base) = base {
                    let before = base.word(one.credential, one.not_before).unwrap_or(Word::Good);
                    word = if before == word { Word::Unchanged } else { word };
                }
                writer.push(one.credential, word).map_err(failed)?;
            }
        }
        writer.finish().map_err(failed)
    }

    /// Whether an object that was published is to be given out: changes are, if they are of the set there is.
    pub(crate) fn is_current(&self, kind: Kind, bytes: &[u8]) -> Result<bool, Error> {
        match kind {
            Kind::RevokedSet | Kind::RevokedDelta => {
                let Ok(set) = RevokedSet::danger_open(bytes) else { return Ok(false) };
                // One that a clock ahead has made is made anew, and not given out again.
                if set.heading().covers >= self.clock.now() {
                    return Ok(false);
                }
                self.cover(set.heading());
                let base = self.store.published(Kind::RevokedSet.name())?;
                let base = base.as_ref().and_then(|base| RevokedSet::danger_open(&base.bytes).ok());
                Ok(kind == Kind::RevokedSet || base.is_some_and(|base| set.changes(&base)))
            }
            Kind::SiteList | Kind::TrustList | Kind::Suspensions | Kind::Status | Kind::Policy | Kind::Routes => {
                Ok(true)
            }
        }
    }
}

fn word(state: Option<StandingState>) -> Word {
    state.map_or(Word::Good, |state| Word::Bad(status::state_of(state)))
}
