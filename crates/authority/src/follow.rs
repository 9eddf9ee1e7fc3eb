//! A site follows the folders in which an alliance publishes its trust list ([`medlock_node::lists`]).
//!
//! Who serves a folder is believed nothing: each list is taken only as the successor of the one held. One that is not is an
//! alarm, and what is held stays in force.

use crate::objects::Kind;
use crate::{Authority, Error};
use bytes::Bytes;
use http::HeaderValue;
use medlock_node::knowledge::suspensions;
use medlock_node::lists::{Fetched, INDEX, Index, SUSPENSIONS, Source};
use medlock_node::provider::random;
use medlock_node::stop::Stop;
use medlock_trust::list::{List, Suspension};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How often a folder is looked at: a suspension counts for days, and should begin within minutes.
const EVERY: Duration = Duration::from_secs(600);
/// The most lists that are taken in one look: each is a signature or more, and a durable write.
const STEPS: usize = 100;
/// The alarm that something was not taken.
const ALARM: &str = "trust-list-refused";

/// What a folder's web server said of its files when all of them had been taken.
#[derive(Debug, Default)]
struct Seen {
    index: Option<HeaderValue>,
    suspensions: Option<HeaderValue>,
}

/// Why a folder was not followed.
#[derive(Debug)]
enum Trouble {
    /// It is not to be had now.
    Away(String),
    /// What is in it is not believed.
    Refused(String),
    /// We cannot take it now.
    Own(Error),
}

impl From<medlock_node::Error> for Trouble {
    fn from(error: medlock_node::Error) -> Self {
        Self::Away(error.to_string())
    }
}

impl Authority {
    /// Looks into the folders that the configuration names, now, every ten minutes or so, and when
    /// [`Authority::look_at_lists`] wants it, until asked to stop. A site that
    /// holds no list yet is told by a person whom it believes (`trust-list import`), and then goes on by itself.
    pub async fn follow_lists(self: Arc<Self>, mut stop: Stop) {
        let mut seen: HashMap<String, Seen> = HashMap::new();
        loop {
            let folders = self.rules().trust_lists.clone();
            seen.retain(|folder, _| folders.contains(folder));
            for folder in &folders {
                let looked = self.look_at(folder, seen.entry(folder.clone()).or_default());
                tokio::select! {
                    () = stop.asked() => return,
                    () = looked => {}
                }
            }
            // Hubs that started together do not ask together.
            let pause = EVERY.mul_f64(0.75 + f64::from(u16::from_be_bytes(random())) / f64::from(u16::MAX) / 2.0);
            tokio::select! {
                () = stop.asked() => return,
                () = self.locks.look_at_lists.notified() => {}
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// Has the folders of trust lists looked at now: somebody has imported a list, or read the configuration again.
    pub fn look_at_lists(&self) {
        self.locks.look_at_lists.notify_one();
    }

    /// Takes what is new in a folder. What is wrong is said.
    async fn look_at(self: &Arc<Self>, folder: &str, seen: &mut Seen) {
        let Err(trouble) = self.follow(folder, seen).await else { return };
        // All is looked at again.
        *seen = Seen::default();
        let told = match trouble {
            Trouble::Away(why) => return tracing::warn!(folder, why, "a folder of trust lists cannot be read"),
            Trouble::Own(error) => return tracing::warn!(folder, %error, "a trust list could not be taken"),
            Trouble::Refused(why) => format!("{folder}: {why}. What is held stays in force"),
        };
        let (site, subject) = (Arc::clone(self), folder.to_owned());
        match tokio::task::spawn_blocking(move || site.alarm_about(ALARM, None, subject, told)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "an alarm could not be raised"),
            Err(error) => tracing::error!(%error, "an alarm could not be raised"),
        }
    }

    async fn follow(self: &Arc<Self>, folder: &str, seen: &mut Seen) -> Result<(), Trouble> {
        if self.held().is_none() {
            tracing::info!(folder, "no trust list is held yet: import the first one with its members' keys");
            return Ok(());
        }
        let source = Source::parse(folder)?;
        let lists = self.follow_index(&source, &mut seen.index).await;
        // Whatever became of the lists: members of the one that is held suspend whom it names.
        lists.and(self.follow_suspensions(&source, &mut seen.suspensions).await)
    }

    async fn follow_index(self: &Arc<Self>, source: &Source, seen: &mut Option<HeaderValue>) -> Result<(), Trouble> {
        match source.file_since(INDEX, seen).await? {
            Fetched::Same => Ok(()),
            Fetched::Missing => Err(Trouble::Away("there is no index.json".to_owned())),
            Fetched::File(bytes) => {
                let index = Index::read(&bytes).map_err(|error| Trouble::Refused(error.to_string()))?;
                if !self.take_lists(source, &index).await? {
                    *seen = None;
                }
                Ok(())
            }
        }
    }

    async fn follow_suspensions(
        self: &Arc<Self>,
        source: &Source,
        seen: &mut Option<HeaderValue>,
    ) -> Result<(), Trouble> {
        match source.file_since(SUSPENSIONS, seen).await? {
            Fetched::Same | Fetched::Missing => Ok(()),
            Fetched::File(bytes) => self.take_suspensions(bytes).await,
        }
    }

    fn held(&self) -> Option<Vec<u8>> {
        self.news().current(Kind::TrustList).map(|held| held.bytes.to_vec())
    }

    /// Whether nothing newer is left.
    async fn take_lists(self: &Arc<Self>, source: &Source, index: &Index) -> Result<bool, Trouble> {
        for _ in 0..STEPS {
            let Some(held) = self.held() else { return Ok(true) };
            let damaged = |_| Trouble::Away("the trust list held is damaged".to_owned());
            let list = List::danger_open(&held).map_err(damaged)?;
            let order = (list.heading().recovery_epoch, list.heading().version);
            let digest = data_encoding::HEXLOWER.encode(&medlock_node::provider::sha256(list.payload()));
            // Another list with the version held is not passed over: whoever signed both is told.
            let other = index.versions.iter().find(|entry| entry.order() == order && entry.payload_sha256 != digest);
            let Some(entry) = other.or_else(|| index.next(&list, self.clock.interval().earliest())) else {
                return Ok(true);
            };
            let bytes = source.list(entry, &held).await?;
            let (site, file) = (Arc::clone(self), entry.file());
            let taken = blocking(move || site.import_trust_list(&bytes, &[], 0)).await;
            match taken {
                Ok(version) => tracing::info!(version, "a trust list was taken from its folder"),
                // Another hub on the same store was faster.
                Err(_) if self.held().is_some_and(|now| now != held) => {}
                Err(Error::Object { why, .. }) => return Err(Trouble::Refused(format!("{file}: {why}"))),
                Err(error) => return Err(Trouble::Own(error)),
            }
        }
        Ok(false)
    }

    async fn take_suspensions(self: &Arc<Self>, bytes: Bytes) -> Result<(), Trouble> {
        let now = self.clock.now();
        let all: usize = suspensions::each(&bytes).map(<[u8]>::len).sum();
        if all != bytes.len() {
            return Err(Trouble::Refused(format!("{SUSPENSIONS} is no sequence of suspensions")));
        }
        // One that is refused keeps back none of the others: each is another maker's emergency.
        let mut first = Ok(());
        for one in suspensions::each(&bytes) {
            let taken = match Suspension::danger_open(one) {
                Err(error) => Err(Trouble::Refused(format!("{SUSPENSIONS}: {error}"))),
                Ok(read) if read.content().expires <= now || self.is_settled(&read) => Ok(()),
                Ok(_) => {
                    let (site, one) = (Arc::clone(self), one.to_vec());
                    blocking(move || site.import_suspension(&one)).await.map_err(|error| match error {
                        Error::Object { why, .. } => Trouble::Refused(format!("{SUSPENSIONS}: {why}")),
                        error => Trouble::Own(error),
                    })
                }
            };
            first = first.and(taken);
        }
        first
    }

    /// Whether a suspension is held already, or the list held was issued after it and has decided.
    fn is_settled(&self, suspension: &Suspension<'_>) -> bool {
        self.knowledge().with_knowledge(|knowledge, _| {
            let held = knowledge.suspensions.iter().any(|held| held.payload() == suspension.payload());
            let content = suspension.content();
            held || knowledge.lists.iter().any(|list| {
                let heading = list.heading();
                heading.name == content.list && heading.issued > content.issued
            })
        })
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Error> + Send + 'static) -> Result<T, Error> {
    let unfinished = |error: tokio::task::JoinError| Error::Conflict(format!("it was not finished: {error}"));
    tokio::task::spawn_blocking(work).await.map_err(unfinished)?
}
