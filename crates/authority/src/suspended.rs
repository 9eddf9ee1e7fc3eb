//! The makers and sites that members of an alliance suspend for some days, and what people are told of it.

use crate::objects::Kind as ObjectKind;
use crate::store::{AuditEntry, Published, StoreError};
use crate::{Authority, Error, registry};
use medlock_trust::list::{AuthorityState, Suspension};
use medlock_trust::{KeyId, Time};

/// The alarm, and the line of the audit trail, that one is suspended.
const BEGUN: &str = "issuer-suspended";
/// The alarm, and the line of the audit trail, that it is over.
const ENDED: &str = "issuer-suspension-ended";
/// The alarm, and the line of the audit trail, that a list has confirmed it: it has no end any more.
const CONFIRMED: &str = "issuer-suspension-confirmed";
/// What people were told last.
const TOLD: &str = "told-suspensions";

/// An authority of a trust list that members suspend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Suspended {
    pub(crate) key: KeyId,
    pub(crate) name: String,
    /// When it is over by itself.
    pub(crate) until: Time,
}

impl Suspended {
    fn line(&self) -> String {
        format!("{} {} {}\n", self.key, self.until.unix(), self.name.replace(char::is_control, " "))
    }

    fn read(line: &str) -> Option<Self> {
        let mut words = line.splitn(3, ' ');
        let key = KeyId::from_bytes(registry::key_id(words.next()?).ok()?);
        let until = Time::from_unix(words.next()?.parse().ok()?);
        Some(Self { key, until, name: words.next()?.to_owned() })
    }
}

impl Authority {
    /// The authorities that members of the alliance suspend at present, each once.
    pub(crate) fn suspended_authorities(&self) -> Vec<Suspended> {
        let time = self.clock.interval();
        let mut all: Vec<Suspended> = self.knowledge().with_knowledge(|knowledge, _| {
            if knowledge.suspensions.is_empty() {
                return Vec::new();
            }
            let listed = knowledge.lists.iter().flat_map(|list| list.authorities().map(move |listed| (list, listed)));
            let suspended = listed.flat_map(|(list, listed)| {
                let counts = move |suspension: &&Suspension<'_>| suspension.counts(listed.key, list, time);
                let named = move |suspension: &Suspension<'_>| Suspended {
                    key: listed.key,
                    name: listed.name.to_owned(),
                    until: suspension.content().expires,
                };
                knowledge.suspensions.iter().filter(counts).map(named)
            });
            suspended.collect()
        });
        // Of several the last counts longest.
        all.sort_by_key(|one| (one.key, std::cmp::Reverse(one.until)));
        all.dedup_by_key(|one| one.key);
        all
    }

    /// The authorities that a list itself calls suspended, or worse, each once: key and name.
    pub(crate) fn suspended_by_list(&self) -> Vec<(KeyId, String)> {
        self.knowledge().with_knowledge(|knowledge, _| {
            let listed = knowledge.lists.iter().flat_map(|list| list.authorities());
            let suspended = listed.filter(|listed| listed.state >= AuthorityState::Suspended);
            let mut all: Vec<_> = suspended.map(|listed| (listed.key, listed.name.to_owned())).collect();
            all.sort();
            all.dedup_by_key(|(key, _)| *key);
            all
        })
    }

    /// Tells people who was suspended since they were told last, and for whom it is over: an alarm and a line of the audit
    /// trail each, by one of the hubs on a store.
    ///
    /// # Errors
    /// [`Error::Store`]; the next call tells it.
    pub(crate) fn tell_suspensions(&self) -> Result<(), Error> {
        let held = self.store.published(TOLD)?;
        let told: Vec<Suspended> = held.as_ref().map_or_else(Vec::new, |held| {
            String::from_utf8_lossy(&held.bytes).lines().filter_map(Suspended::read).collect()
        });
        let (now, all) = (self.clock.now(), self.suspended_authorities());
        let keys = |all: &[Suspended]| all.iter().map(|one| (one.key, one.until)).collect::<Vec<_>>();
        if keys(&told) == keys(&all) {
            return Ok(());
        }
        let before = held.map(|held| held.version);
        let bytes = all.iter().map(Suspended::line).collect::<String>().into_bytes();
        let object = Published { version: before.unwrap_or(0).saturating_add(1), at: now, bytes };
        match self.store.publish_after(TOLD, object, before) {
            // Another hub tells it.
            Err(StoreError::Taken { .. }) => return Ok(()),
            other => other?,
        }
        for begun in all.iter().filter(|one| !told.contains(one)) {
            let Suspended { key, name, until } = begun;
            self.tell_one(
                BEGUN,
                *key,
                format!("{name} ({key}), by members of the alliance, until {until}"),
                "its devices are refused",
            )?;
        }
        let by_list = self.suspended_by_list();
        let version = self.news.current(ObjectKind::TrustList).map_or(0, |list| list.version);
        for over in told.iter().filter(|one| all.iter().all(|other| other.key != one.key)) {
            let Suspended { key, name, until } = over;
            if by_list.iter().any(|(listed, _)| listed == key) {
                let how = format!(
                    "version {version} of the trust list confirms it: it stays suspended until a later one lifts it"
                );
                self.tell_one(CONFIRMED, *key, format!("{name} ({key})"), &how)?;
                continue;
            }
            let how =
                if *until <= now { "it has lapsed, and no list has decided" } else { "a newer list has lifted it" };
            self.tell_one(ENDED, *key, format!("{name} ({key})"), how)?;
        }
        Ok(())
    }

    fn tell_one(&self, what: &str, key: KeyId, subject: String, outcome: &str) -> Result<(), Error> {
        let text = format!(
            "{subject}: {outcome}. `medlock authority audit` has each, `medlock trust-list show --alliance` who is"
        );
        let entry = AuditEntry {
            at: self.clock.now(),
            who: "alliance".to_owned(),
            verb: what.to_owned(),
            subject,
            outcome: outcome.to_owned(),
        };
        self.store.note(entry)?;
        self.alarm_about(what, None, key.to_string(), text)
    }
}
