//! What was heard in a status list that this site has signed and its store does not know: the store was brought back from before
//! it. It counts as long as the key that signed it does, because whoever has a key that nobody knows to be stolen signs such a list
//! too. So each is kept with that key, and taken back when it is withdrawn, unless people have said the same.

use crate::keys::KeyState;
use crate::restored::is_stolen;
use crate::store::{DeviceSearch, Published, StandingChange, StandingState, Subject};
use crate::{Authority, Error};
use data_encoding::HEXLOWER;
use medlock_node::provider::AwsLc;
use medlock_trust::cose::Sign1;
use medlock_trust::status::{MAX_RECORDS, RECORD_LENGTH, Record, State, StatusList, Subject as Told};
use medlock_trust::{DeviceId, DeviceName, KeyId, Role};
use std::collections::{BTreeMap, BTreeSet};

/// What was heard against whom the store cannot name: records of a status list, each with the key that signed it.
const UNNAMED: &str = "heard-unnamed";
/// The same of earlier versions, which did not note the key.
const UNNAMED_BEFORE: &str = "heard-status";
/// A record with its key.
const NOTED_LENGTH: usize = RECORD_LENGTH + 16;
/// The most that is kept of those whom the store cannot name: they have a part of the list, and not the room of others.
const MOST_UNNAMED: usize = MAX_RECORDS / 16;
/// Devices that are read at once.
const PAGE: u32 = 1_000;
/// The most names that people are told at once.
const NAMES: usize = 20;

/// Whom the store cannot name, and what was heard against each, with the key that signed it.
type Unnamed = BTreeMap<Told, (Record, KeyId)>;

/// What a status list tells that was heard, as this store takes it.
pub(crate) struct Heard {
    by: KeyId,
    changes: Vec<StandingChange>,
    unnamed: Vec<Record>,
    /// How often it calls this hub, or a credential that it uses, revoked.
    of_hub: usize,
}

/// What the store did not know and knows now.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// How much.
    pub(crate) count: usize,
    /// Of whom, for people.
    pub(crate) who: String,
}

impl Authority {
    /// Reads what a status list says that the key `by` has signed. Needs no lock, and may take a while.
    pub(crate) fn weigh(&self, by: KeyId, records: &[Record]) -> Result<Heard, Error> {
        let told: Vec<Told> = records.iter().map(|record| record.subject).collect();
        let (names, stolen, hubs) = (self.names_of(&told)?, self.stolen(records, &[]).keys, self.hubs_among(&told)?);
        let mut heard = Heard { by, changes: Vec::new(), unnamed: Vec::new(), of_hub: 0 };
        for record in records {
            // A hub replaces its credentials, and no list says anything else of one.
            if record.state != State::Superseded && hubs.contains(&record.subject) {
                heard.of_hub += 1;
                continue;
            }
            let subject = match record.subject {
                Told::Issuer(key) if stolen.contains(&key) => Some(Subject::Issuer(key)),
                Told::Issuer(_) => continue,
                Told::Credential(id) => self.store.issued(id)?.is_some().then_some(Subject::Credential(id)),
                Told::Device(id) => names.get(&id).copied().map(Subject::Device),
            };
            match subject {
                Some(subject) => {
                    let (state, reason) = (Some(state_of(record.state)), record.reason.name().to_owned());
                    heard.changes.push(StandingChange { subject, state, reason, at: record.since });
                }
                None => heard.unnamed.push(*record),
            }
        }
        Ok(heard)
    }

    /// Takes over what was heard against anybody, and keeps apart what is about those whom the store cannot name. Returns of
    /// whom the store did not know it.
    pub(crate) fn take_over(&self, heard: Heard) -> Result<Taken, Error> {
        let mut who = self.unknown_in(&heard)?;
        let Heard { by, changes, unnamed, of_hub } = heard;
        if of_hub > 0 {
            let text = format!(
                "a status list that the key {by} has signed calls a hub of this store revoked, and no hub says that of itself: somebody \
                 else has that key, or people have revoked a hub after the backup that this store is from. It is not taken over; devices believe it, \
                 and refuse that hub, until the key is withdrawn: `medlock authority keys` has its name, `medlock authority \
                 compromised NAME` withdraws it, and what was taken over from its lists with it"
            );
            self.alarm_about("hub-called-revoked", None, by.to_string(), text)?;
        }
        let named = self.store.hear_standings(changes, by, self.clock.now())?;
        let unnamed = self.add_unnamed(by, unnamed)?;
        if named > who.len() {
            who.push("…".to_owned());
        }
        if unnamed > 0 {
            who.push(format!("{unnamed} that it cannot name"));
        }
        Ok(Taken { count: named + unnamed, who: who.join(", ") })
    }

    /// Names of devices, at most some, that a list calls revoked and the store does not.
    pub(crate) fn unknown_of(&self, by: KeyId, told: &StatusList<'_>) -> Result<Vec<String>, Error> {
        let heard = self.weigh(by, &compromises(told).collect::<Vec<_>>())?;
        let mut unknown = self.unknown_in(&heard)?;
        if !heard.unnamed.is_empty() {
            unknown.push(format!("{} that the store does not know", heard.unnamed.len()));
        }
        Ok(unknown)
    }

    /// At most some of whom something is said that the store does not know.
    fn unknown_in(&self, heard: &Heard) -> Result<Vec<String>, Error> {
        let mut unknown = Vec::new();
        for StandingChange { subject, state, .. } in &heard.changes {
            if unknown.len() < NAMES && self.store.standing(*subject)?.map(|known| known.state) < *state {
                unknown.push(named(subject));
            }
        }
        Ok(unknown)
    }

    /// This hub and its credentials, as status lists name them, and those among these that are other hubs of the store, or theirs.
    pub(crate) fn hubs_among(&self, told: &[Told]) -> Result<BTreeSet<Told>, Error> {
        let name = self.settings.hub_name;
        let current = self.hub_identity().current().map(|own| Told::Credential(own.credential()));
        let mut hubs: BTreeSet<Told> = current.into_iter().chain([Told::Device(DeviceId::of(&name, &AwsLc))]).collect();
        let (names, mut known) = (self.names_of(told)?, BTreeMap::from([(name, true)]));
        for subject in told {
            let device = match subject {
                Told::Device(id) => names.get(id).copied(),
                Told::Credential(id) => self.store.issued(*id)?.and_then(|issued| issued.record.device),
                Told::Issuer(_) => None,
            };
            let Some(device) = device else { continue };
            let is_hub = match known.get(&device) {
                Some(is_hub) => *is_hub,
                None => self.store.device(device)?.is_some_and(|device| device.roles.contains(Role::Hub)),
            };
            known.insert(device, is_hub);
            if is_hub {
                hubs.insert(*subject);
            }
        }
        Ok(hubs)
    }

    /// The names of the devices that these records are about, as far as they are registered.
    fn names_of(&self, told: &[Told]) -> Result<BTreeMap<DeviceId, DeviceName>, Error> {
        let wanted: BTreeSet<DeviceId> = told
            .iter()
            .filter_map(|subject| match subject {
                Told::Device(id) => Some(*id),
                Told::Credential(_) | Told::Issuer(_) => None,
            })
            .collect();
        let (mut names, mut after) = (BTreeMap::new(), None::<String>);
        while names.len() < wanted.len() {
            let page = self.store.devices_page(&DeviceSearch::Name(String::new()), after.as_deref(), PAGE)?;
            let Some(last) = page.last() else { break };
            after = Some(last.name.to_string());
            let ids = page.iter().map(|device| (DeviceId::of(&device.name, &AwsLc), device.name));
            names.extend(ids.filter(|(id, _)| wanted.contains(id)));
        }
        Ok(names)
    }

    /// Takes back what was heard by keys that are in wrong hands by now, as far as nobody has said it but lists of theirs.
    /// Before the next list is made: what that has told once is told for good.
    pub(crate) fn unhear_stolen_keys(&self) -> Result<(), Error> {
        for key in self.keys().iter().filter(|key| key.state == KeyState::Compromised) {
            self.unhear(key.certificate.key)?;
        }
        Ok(())
    }

    /// As [`Authority::unhear_stolen_keys`], of one key.
    pub(crate) fn unhear(&self, key: KeyId) -> Result<(), Error> {
        let undone = self.store.forget_heard(key, self.clock.now())?;
        let unnamed = self.unnamed_by_all()?;
        let kept: Unnamed =
            unnamed.iter().filter(|(_, (_, by))| *by != key).map(|(told, noted)| (*told, *noted)).collect();
        let dropped = unnamed.len() - kept.len();
        if undone.is_empty() && dropped == 0 {
            return Ok(());
        }
        self.locks.forget_reminders();
        for subject in &undone {
            tracing::warn!(%key, subject = named(subject), "what was heard of it by a stolen key alone is taken back");
        }
        if dropped > 0 {
            self.keep_unnamed(&kept)?;
        }
        // What other keys of the site have told on counts still, and people are told how it stands behind that.
        if let Err(error) = self.take_back_told(&undone.iter().map(crate::status::told).collect::<Vec<_>>()) {
            tracing::error!(%error, "what other keys have told of them could not be written into the store");
        }
        let text = format!(
            "the key {key} is in wrong hands, and that {} devices, credentials or keys were revoked or suspended, and {dropped} that \
             the store does not know, was heard by status lists of it alone. {}",
            undone.len(),
            self.how_they_stand(undone)?,
        );
        self.alarm_about("heard-by-stolen-key", None, key.to_string(), text)
    }

    /// How those stand now of whom it was taken back what was heard, for people.
    fn how_they_stand(&self, mut undone: Vec<Subject>) -> Result<String, Error> {
        // Devices say more than their credentials.
        undone.sort_by_key(|subject| !matches!(subject, Subject::Device(_)));
        let more = if undone.len() > NAMES { " (and others, which the log names)" } else { "" };
        let (mut revoked, mut suspended, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for subject in undone.iter().take(NAMES) {
            let of_state = match self.store.standing(*subject)?.map(|standing| standing.state) {
                Some(StandingState::Compromised | StandingState::Ceased) => &mut revoked,
                Some(StandingState::Suspended) => &mut suspended,
                Some(StandingState::Superseded) | None => &mut others,
            };
            of_state.push(named(subject));
        }
        let said = [
            (
                revoked,
                "Revoked all the same",
                ": another key of this site has told it on, which counts until that is withdrawn too",
            ),
            (
                suspended,
                "Suspended, as it may have been true",
                ": revoke again who is stolen (`medlock device revoke NAME --reason stolen`), and restore the others (`medlock device \
                 restore NAME`)",
            ),
            (others, "As they were before", ""),
        ];
        let said = said.into_iter().filter(|(who, ..)| !who.is_empty());
        let said: Vec<String> = said.map(|(who, how, what)| format!("{how}: {}{what}", who.join(", "))).collect();
        Ok(format!("{}{more}", said.join(". ")))
    }

    /// What was heard against whom the store cannot name: the status list tells it on. What is superseded is told until nobody
    /// could use it any more, whatever life it had.
    pub(crate) fn told_of_the_unnamed(&self) -> Result<Vec<Record>, Error> {
        let longest = self.rules().profile.validity_seconds().saturating_add(crate::status::SUPERSEDED_KEPT_SECONDS);
        let ended = self.clock.now().plus_seconds(longest.saturating_neg());
        let all = self.unnamed_by_all()?.into_values().map(|(record, _)| record);
        Ok(all.filter(|record| record.state != State::Superseded || record.since > ended).collect())
    }

    fn unnamed_by_all(&self) -> Result<Unnamed, Error> {
        let noted = |record: Record, key| (record.subject, (record, key));
        if let Some(held) = self.store.published(UNNAMED)? {
            let (all, _) = held.bytes.as_chunks::<NOTED_LENGTH>();
            let read = |bytes: &[u8; NOTED_LENGTH]| {
                let (record, key) = bytes.split_first_chunk::<RECORD_LENGTH>()?;
                Some(noted(Record::from_bytes(record)?, KeyId::from_bytes(key.try_into().ok()?)))
            };
            return Ok(all.iter().filter_map(read).collect());
        }
        let Some(held) = self.store.published(UNNAMED_BEFORE)? else { return Ok(Unnamed::new()) };
        let (all, _) = held.bytes.as_chunks::<RECORD_LENGTH>();
        Ok(all.iter().filter_map(Record::from_bytes).map(|record| noted(record, KeyId::from_bytes([0; 16]))).collect())
    }

    fn keep_unnamed(&self, all: &Unnamed) -> Result<(), Error> {
        let before = self.store.published(UNNAMED)?.map(|held| held.version);
        let bytes =
            all.values().flat_map(|(record, key)| record.to_bytes().into_iter().chain(*key.as_bytes())).collect();
        let object = Published { version: before.unwrap_or(0).saturating_add(1), at: self.clock.now(), bytes };
        Ok(self.store.publish_after(UNNAMED, object, before)?)
    }

    /// Keeps these too, as far as there is room: what is kept already stays, and of the others the worst, devices before their
    /// credentials. Returns how many are new.
    fn add_unnamed(&self, by: KeyId, mut more: Vec<Record>) -> Result<usize, Error> {
        if more.is_empty() {
            return Ok(0);
        }
        let held = self.unnamed_by_all()?;
        more.retain(|record| held.get(&record.subject).is_none_or(|(held, _)| held.state < record.state));
        let worse: BTreeSet<Told> = more.iter().map(|record| record.subject).collect();
        let held =
            held.into_values().filter(|(record, _)| !worse.contains(&record.subject)).map(|noted| (false, noted));
        let mut all: Vec<(bool, (Record, KeyId))> =
            held.chain(more.into_iter().map(|record| (true, (record, by)))).collect();
        // Who is superseded has been replaced, and gives way.
        all.sort_by_key(|(new, (record, _))| {
            let (state, subject) = (record.state, record.subject);
            (state == State::Superseded, *new, std::cmp::Reverse((state, subject)))
        });
        let rest = all.split_off(all.len().min(MOST_UNNAMED));
        let new = all.iter().filter(|(new, _)| *new).count();
        let refused = rest.iter().filter(|(new, (record, _))| *new && record.state > State::Superseded).count();
        let all: Unnamed = all.into_iter().map(|(_, noted)| (noted.0.subject, noted)).collect();
        if new > 0 {
            self.keep_unnamed(&all)?;
        }
        if refused > 0 {
            let text = format!(
                "a status list that the key {by} has signed says something of {refused} devices or credentials more that the store does \
                 not know, and {MOST_UNNAMED} such are kept: these are not. If so many were not revoked since the backup, \
                 somebody else has that key: `medlock authority keys` has its name, `medlock authority compromised NAME` withdraws it"
            );
            self.alarm_about("heard-too-many", None, by.to_string(), text)?;
        }
        Ok(new)
    }

    /// What was heard against a device that is to be registered, and by which key.
    ///
    /// # Errors
    /// [`Error::Conflict`] when it was revoked: its name is not used again.
    pub(crate) fn heard_of_device(&self, name: DeviceName) -> Result<Option<(Record, KeyId)>, Error> {
        match self.unnamed_by_all()?.remove(&Told::Device(DeviceId::of(&name, &AwsLc))) {
            Some((record, _)) if record.state >= State::Ceased => Err(Error::Conflict(format!(
                "{name} was revoked ({}) after the backup that this store is from: choose another name",
                record.reason.name()
            ))),
            other => Ok(other),
        }
    }

    /// A device has its name back: what was heard against it is a standing like others, which people can lift.
    pub(crate) fn name_heard(&self, name: DeviceName, (record, by): &(Record, KeyId)) -> Result<(), Error> {
        let (subject, reason) = (Subject::Device(name), record.reason.name().to_owned());
        let change = StandingChange { subject, state: Some(state_of(record.state)), reason, at: record.since };
        self.store.hear_standings(vec![change], *by, self.clock.now())?;
        let mut rest = self.unnamed_by_all()?;
        rest.remove(&record.subject);
        self.keep_unnamed(&rest)
    }

    /// Whether this key has been declared to be in wrong hands, also where the site list still names it.
    pub(crate) fn is_in_wrong_hands(&self, key: KeyId) -> Result<bool, Error> {
        let withdrawn =
            |known: &crate::keys::IssuingKey| known.certificate.key == key && known.state == KeyState::Compromised;
        Ok(self.keys().iter().any(withdrawn) || is_stolen(&*self.store, key)?)
    }
}

fn named(subject: &Subject) -> String {
    match subject {
        Subject::Device(name) => name.to_string(),
        Subject::Credential(id) => format!("credential {}", HEXLOWER.encode(id.as_bytes())),
        Subject::Issuer(key) => format!("key {key}"),
    }
}

/// The key that a signed object names.
pub(crate) fn signer_of(object: &[u8]) -> Option<KeyId> {
    Sign1::read(object).ok().and_then(|signed| signed.key().try_into().ok()).map(KeyId::from_bytes)
}

/// The compromises that a status list tells.
pub(crate) fn compromises<'a>(list: &StatusList<'a>) -> impl Iterator<Item = Record> + use<'a> {
    list.records().filter(|record| record.state == State::Compromised)
}

const fn state_of(state: State) -> StandingState {
    match state {
        State::Suspended => StandingState::Suspended,
        State::Superseded => StandingState::Superseded,
        State::Ceased => StandingState::Ceased,
        State::Compromised => StandingState::Compromised,
    }
}
