//! The status list: what the store knows against anybody, and what its hub was told and the store has forgotten.

use super::HIGHEST;
use crate::ahead::issued_behind;
use crate::objects::Kind as ObjectKind;
use crate::status::{SUPERSEDED_KEPT_SECONDS, Selection, Selector};
use crate::store::{Met, Published};
use crate::taken_over::{Taken, compromises, signer_of};
use crate::{Authority, Error, status};
use bytes::Bytes;
use medlock_trust::status::{Heading, MAX_RECORDS, Record, State, StatusList, Subject};
use medlock_trust::{KeyId, Time};

impl Authority {
    /// Signs and gives out the status list of the current epoch.
    ///
    /// # Errors
    /// [`Error`]; the change itself is already stored, and [`Authority::tick`] publishes it later.
    pub fn publish_status(&self) -> Result<(), Error> {
        let _one_at_a_time = self.publishing_lock();
        // Under the lock: what a list has told once is told for good.
        self.unhear_stolen_keys()?;
        let kind = ObjectKind::Status;
        let before = self.store.published(kind.name())?;
        if self.went_back(before.as_ref()) {
            self.go_on_from_told()?;
        }
        let (epoch, heard) = (self.store.epoch()?, self.heard_epoch());
        let is_told = |before: &Published| {
            before.version > heard || self.knowledge().object(kind).is_some_and(|held| held == before.bytes)
        };
        if let Some(before) = before.as_ref().filter(|before| before.version >= epoch && is_told(before)) {
            // Stored is not told: the step behind may have failed the last time.
            return self.tell(kind, before.version, before.bytes.clone());
        }
        if (epoch..HIGHEST).contains(&heard) {
            self.store.next_epoch(self.behind(heard))?;
        }
        let now = self.time_to_state();
        if let Some(before) = &before {
            self.tell_of_clock(before.at);
        }
        let before = before.as_ref().and_then(|before| StatusList::danger_open(&before.bytes).ok());
        let issued = issued_behind(before.map(|before| before.heading().issued), now);
        let (mut epoch, mut chosen) = self.choose(now)?;
        let unknown = chosen.unknown();
        if !self.locks.reminders().has_all(&unknown) {
            match self.take_back_told(&unknown) {
                Ok(taken) => {
                    if taken > 0 {
                        (epoch, chosen) = self.choose(now)?;
                    }
                    self.locks.reminders().not_taken(chosen.unknown());
                }
                // It is told on all the same, and the next list tries again.
                Err(error) => tracing::error!(%error, "what this hub was told could not be written into the store"),
            }
        }
        let selection = chosen.finish();
        let heading = Heading {
            authority: self.root().key,
            recovery_epoch: 0,
            epoch,
            issued,
            next: issued.plus_seconds(self.rules().status_seconds),
        };
        self.watch_length(&selection);
        let bytes = status::status_list(&*self.signer, &self.issuing(), heading, &selection.records)?;
        self.publish(kind, Published { version: epoch, at: now, bytes })
    }

    /// Whether the list in the store is before the one that was told last: a backup was brought back under this hub.
    pub(crate) fn went_back(&self, held: Option<&Published>) -> bool {
        let told = self.news.current(ObjectKind::Status);
        told.is_some_and(|told| held.is_none_or(|held| held.version < told.version))
    }

    /// Takes over all that was told last, as at a start: a list without it would be taken by everybody, and forgotten here too.
    fn go_on_from_told(&self) -> Result<(), Error> {
        let taken = match self.heard_status()? {
            Some((by, records)) => self.take_over(self.weigh(by, &records)?)?,
            None => Taken::default(),
        };
        let mut text =
            "a store from before the last status list was brought back while this hub ran; it goes on from there"
                .to_owned();
        if taken.count > 0 {
            text.push_str(&format!("; it did not know what that list says of {}", taken.who));
        }
        self.alarm_about("store-was-behind", None, "status".to_owned(), text)
    }

    /// Chooses what the list of the epoch tells that the store has now: what it knows itself, whatever was heard against whom it
    /// cannot name, and the compromises of the lists that this hub believes, because nodes refuse a list that forgets one; but
    /// what those say of this very hub.
    fn choose(&self, now: Time) -> Result<(u64, Selector), Error> {
        let lists = self.heard_lists();
        let mut told: Vec<Record> = Vec::new();
        for (by, list) in &lists {
            // One that went with a lost store is named until the next site list.
            if !self.is_in_wrong_hands(*by)? {
                told.extend(StatusList::danger_open(list).iter().flat_map(compromises));
            }
        }
        let unnamed = self.told_of_the_unnamed()?;
        let selector = || Selector::new(told.iter().copied(), unnamed.iter().copied(), now, MAX_RECORDS);
        let mut chosen = selector();
        let ended = now.plus_seconds(-SUPERSEDED_KEPT_SECONDS);
        let epoch = self.store.each_standing(ended, &mut |met| match met {
            Met::Begin => {
                chosen = selector();
                true
            }
            Met::Standing(standing, life) => chosen.take(&standing, life.as_ref()),
        })?;
        if !chosen.unknown().is_empty() {
            chosen.forget(&self.hubs_among(&chosen.unknown())?);
        }
        Ok((epoch, chosen))
    }

    /// The store does not know compromises that this hub was told: takes over what the lists say that tell them. Returns of how
    /// many the store did not know it.
    pub(crate) fn take_back_told(&self, unknown: &[Subject]) -> Result<usize, Error> {
        let mut taken = 0;
        for (by, list) in self.heard_lists() {
            let told = StatusList::danger_open(&list);
            let told = told.map_err(|error| Error::Object { what: "status list", why: error.to_string() })?;
            let tells = |subject: &Subject| told.record(*subject).is_some_and(|told| told.state == State::Compromised);
            if unknown.iter().any(tells) && !self.is_in_wrong_hands(by)? {
                taken += self.take_over_list(by, &told)?;
            }
        }
        Ok(taken)
    }

    /// Tells a person that the status list fills up, long before anything has to be left out.
    fn watch_length(&self, selection: &Selection) {
        let (records, Selection { firm_left_out, left_out, .. }) = (selection.records.len(), selection);
        if *firm_left_out > 0 {
            let text = format!(
                "the status list is full ({MAX_RECORDS} entries), and {firm_left_out} devices or credentials that were revoked or \
                 suspended are not on it: they look good to peers. Devices come before credentials; take whole devices out of \
                 service rather than single credentials, and look whether so many were revoked at all"
            );
            self.try_alarm("status-list-overfull", text);
        } else if *left_out > 0 {
            let text = format!(
                "the status list is full ({MAX_RECORDS} entries): the credentials that are superseded longest look good to \
                 peers again. Find out which devices renew without end"
            );
            self.try_alarm("status-list-full", text);
        } else if records >= MAX_RECORDS / 2 {
            let text = format!(
                "the status list has {records} of at most {MAX_RECORDS} entries; above that, superseded credentials are \
                 left out. Find out which devices renew without end"
            );
            self.try_alarm("status-list-half-full", text);
        }
    }

    /// The status lists of ours that this hub believes by what it has heard itself, each with the key that signed it: the newest,
    /// and those from before it that tell what it has forgotten; but none of a key that has left the site list. Its folder may
    /// know more than a store that was brought back.
    pub(crate) fn heard_lists(&self) -> Vec<(KeyId, Bytes)> {
        let (keys, knowledge) = (self.keys(), self.knowledge());
        let held = knowledge.object(ObjectKind::Status).into_iter().chain(knowledge.unforgotten());
        let listed = held.filter_map(|held| {
            let (by, issued) = {
                let list = StatusList::danger_open(&held).ok()?;
                keys.root_with(list.heading().authority)?;
                (signer_of(&held)?, list.heading().issued)
            };
            self.spoke(by, issued).then_some((by, held))
        });
        listed.collect()
    }

    /// Whether this key speaks for the site by the site list that was heard, or spoke for it then.
    pub(super) fn spoke(&self, key: KeyId, at: Time) -> bool {
        self.with_heard_list(|list| list.spoke(key.as_bytes(), at)).unwrap_or(false)
    }

    /// The epoch of the newest status list of ours that this hub has heard.
    pub(crate) fn heard_epoch(&self) -> u64 {
        let lists = self.heard_lists();
        let lists = lists.iter().filter_map(|(_, list)| StatusList::danger_open(list).ok());
        lists.map(|list| list.heading().epoch).max().unwrap_or(0)
    }
}
