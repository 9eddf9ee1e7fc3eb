//! A hub whose store was brought back from before a theft, and the nodes that heard of it: they go on with what they were told,
//! and give the hub the status list that told it, which it has signed itself.

use crate::objects::Kind;
use crate::taken_over::signer_of;
use crate::{Authority, Error};
use medlock_node::provider::{AwsLc, sha256};
use medlock_trust::KeyId;
use medlock_trust::list::Purpose;
use medlock_trust::status::{StatusList, Subject};
use std::collections::{BTreeSet, VecDeque};

/// Who gives a list that this site has signed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Teller {
    /// A device, which may have it from anybody.
    Node,
    /// This hub, which believed it when it came.
    Own,
}

const WHAT: &str = "status list";
/// Of so many lists it is remembered that they tell nothing new: as many as nodes may go on with at once, and some.
const MOST_KNOWN: usize = 256;

/// What of that which this hub was told is known to be nothing new.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// Lists (SHA-256), the last one last.
    lists: VecDeque<[u8; 32]>,
    /// Whose compromise the lists tell that this hub believes, and the store does not take.
    subjects: BTreeSet<Subject>,
}

impl Known {
    fn add(&mut self, list: [u8; 32]) {
        if self.lists.len() >= MOST_KNOWN {
            self.lists.pop_front();
        }
        self.lists.push_back(list);
    }

    /// Whether these are known not to be taken.
    pub(crate) fn has_all(&self, subjects: &[Subject]) -> bool {
        subjects.iter().all(|subject| self.subjects.contains(subject))
    }

    /// Notes that these were not taken.
    pub(crate) fn not_taken(&mut self, subjects: Vec<Subject>) {
        self.subjects = subjects.into_iter().collect();
    }
}

fn refused(why: String) -> Error {
    Error::Object { what: WHAT, why }
}

impl Authority {
    /// Takes over what a status list tells that this site has signed, if its newest one has forgotten a compromise which that
    /// tells: a compromise is never taken back, so that the store does not know what came behind it. Goes on behind the number
    /// of that list too, where that is ahead. Returns whether that was anything new; then another list is given out, and where
    /// the store was behind, the alarm `store-was-behind` says so.
    ///
    /// # Errors
    /// [`Error::Object`] if no key that signs for this site has signed it; [`Error::Store`], [`Error::Signer`].
    pub fn remind(&self, object: &[u8]) -> Result<bool, Error> {
        self.remind_by(object, Teller::Node)
    }

    fn remind_by(&self, object: &[u8], teller: Teller) -> Result<bool, Error> {
        let newest = self.news.current(Kind::Status);
        let digest = sha256(object);
        let is_known = || self.locks.reminders().lists.contains(&digest);
        if newest.as_ref().is_some_and(|newest| newest.bytes == object) || is_known() {
            return Ok(false);
        }
        let (by, told) = self.believed_status(object)?;
        if teller == Teller::Node && !self.signs_status(by) {
            self.tell_of_retired(by, &told)?;
            self.locks.reminders().add(digest);
            return Err(refused(format!(
                "the key {by} is retired, and nobody can tell when it has signed: people are told"
            )));
        }
        let newest = newest.as_ref().and_then(|newest| StatusList::danger_open(&newest.bytes).ok());
        let lacks = newest.is_none_or(|newest| newest.remembers(&told).is_err());
        let heading = told.heading();
        // Epochs are of one name: under a new root they are not compared.
        let is_ahead = newest.is_none_or(|newest| {
            newest.heading().authority == heading.authority && newest.heading().epoch <= heading.epoch
        });
        let taken = if lacks { self.take_over_list(by, &told)? } else { 0 };
        if taken == 0 && !is_ahead {
            self.locks.reminders().add(digest);
            return Ok(false);
        }
        let mut is_too_high = false;
        if is_ahead {
            // A routing table that the same clock has numbered is later by no more than a list stands, and of those nobody is
            // reminded.
            let stands = u64::try_from(self.rules().status_seconds).unwrap_or(0);
            let least = self.behind(heading.epoch.saturating_add(stands));
            is_too_high = i64::try_from(heading.epoch).map_or(true, |told| told >= least.unix());
            if !is_too_high {
                self.store.next_epoch(least)?;
            }
        }
        self.protect(|| self.publish_status())?;
        self.locks.reminders().add(digest);
        if is_too_high {
            return Err(refused(format!("its number {} is higher than any clock gives", heading.epoch)));
        }
        if is_ahead && let Err(error) = self.make_routes(true) {
            tracing::warn!(%error, "the routing table could not be numbered anew; it is tried again");
            self.set_routes_behind(true);
        }
        Ok(true)
    }

    /// Takes over what a status list tells that this site has signed, and tells people of it. Returns of how many the store did
    /// not know it.
    pub(crate) fn take_over_list(&self, by: KeyId, told: &StatusList<'_>) -> Result<usize, Error> {
        let taken = self.take_over(self.weigh(by, &told.records().collect::<Vec<_>>())?)?;
        if taken.count > 0 {
            let (epoch, issued) = (told.heading().epoch, told.heading().issued);
            let text = format!(
                "somebody has kept the status list {epoch} of {issued}, which the key {by} has signed and the store does not know: it \
                 was brought back from before. It did not know what that list says of {}. It goes on with that. Look at \
                 `medlock device list`, and do again what was done since besides revocations",
                taken.who
            );
            self.alarm("store-was-behind", None, text)?;
        }
        Ok(taken.count)
    }

    /// A status list that a key has signed which speaks for this site by the newest site list that was heard; also one that was
    /// told in the name of a former root.
    ///
    /// # Errors
    /// [`Error::Object`].
    pub(crate) fn believed_status<'a>(&self, object: &'a [u8]) -> Result<(KeyId, StatusList<'a>), Error> {
        let told = self.with_heard_list(|list| StatusList::verify_told(object, list, &AwsLc));
        let told = told.ok_or_else(|| refused("there is no site list yet".to_owned()))?;
        let told = told.map_err(|error| refused(error.to_string()))?;
        if self.keys().root_with(told.heading().authority).is_none() {
            return Err(refused("it speaks for another authority".to_owned()));
        }
        let by = signer_of(object).ok_or_else(|| refused("it does not name its signer".to_owned()))?;
        if self.is_in_wrong_hands(by)? {
            return Err(refused(format!("the key {by} has signed it, which is in wrong hands")));
        }
        Ok((by, told))
    }

    /// Whether this key signs status lists of this site today.
    fn signs_status(&self, by: KeyId) -> bool {
        self.with_heard_list(|list| list.service(Purpose::Status, by.as_bytes()).is_some()).unwrap_or(false)
    }

    /// Tells people of the thefts that a list of a retired key tells and the store does not know.
    fn tell_of_retired(&self, by: KeyId, told: &StatusList<'_>) -> Result<(), Error> {
        let unknown = self.unknown_of(by, told)?;
        if unknown.is_empty() {
            return Ok(());
        }
        let text = format!(
            "a device has kept the status list {} of {}, which the key {by} has signed that is retired since, and the store does not \
             know that by it these are revoked: {}. It is not taken over, as nobody can tell when a retired key has signed: \
             revoke those who are stolen",
            told.heading().epoch,
            told.heading().issued,
            unknown.join(", ")
        );
        self.alarm_about("told-by-retired-key", None, by.to_string(), text)
    }

    /// Takes over what this hub itself was told, where the store that it shares with others was brought back.
    pub(crate) fn take_back_unforgotten(&self) -> Result<(), Error> {
        let mut first = Ok(());
        for list in self.knowledge().unforgotten() {
            first = first.and(self.remind_by(&list, Teller::Own).map(drop));
        }
        first
    }
}
