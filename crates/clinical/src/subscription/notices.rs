//! Telling: what has changed is looked for under what each subscriber may see at that moment, noted in the audit, and sent.
//!
//! | what happens | what is done |
//! | --- | --- |
//! | it is told | the next change is waited for |
//! | its server is away, refuses, or leads elsewhere | the same is told again after a second, two, four …, an hour at most |
//! | it could not be told so often that half a day has gone | the Subscription is off, and says why |
//! | what was granted has ended, the registration is gone, `end` has come | the Subscription is off, and says why |

use super::{Wanted, with_status};
use crate::Clinical;
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::definitions::Definitions;
use crate::json::{Document, Limits};
use crate::kind::{Kind, Millis, Seq};
use crate::query::{self, Handling, Plan, Terms};
use crate::store::{Act, Due, Stored};
use crate::validate::{self, Asked};
use axum::body::Bytes;
use medlock_node::provider;
use medlock_store::Error;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::task::{JoinSet, spawn_blocking};

/// How long a hub has the turn to tell, in milliseconds: another one takes it when this one is gone for so long.
const TURN: i64 = 10_000;
/// Subscribers that are told at once.
const AT_ONCE: usize = 16;
/// How often in a row one cannot be told before it is left: some twelve hours.
const FAILURES: u32 = 22;
/// The longest pause between two tries, in milliseconds.
const PAUSE: i64 = 3_600_000;
/// The media type of what is sent.
const TYPE: &str = "application/fhir+json";

/// The turn of this hub, of all that share the store.
#[derive(Debug)]
pub(crate) struct Notices {
    hub: [u8; 16],
    /// Until when it has the turn.
    until: AtomicI64,
}

impl Notices {
    pub(crate) fn new() -> Self {
        Self { hub: provider::random(), until: AtomicI64::new(0) }
    }

    /// Whether this hub tells. Blocks.
    fn have_turn(&self, clinical: &Clinical, now: Millis) -> Result<bool, Error> {
        if now.0.saturating_add(TURN / 2) < self.until.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let mine = clinical.records().tells(self.hub, now, TURN)?;
        self.until.store(if mine { now.0.saturating_add(TURN) } else { 0 }, Ordering::Relaxed);
        Ok(mine)
    }
}

/// What one subscriber is to be told.
struct Telling {
    due: Due,
    wanted: Wanted,
    caller: Caller,
    /// What has changed, each with the number of its change: one that is told as a whole with its text.
    found: Vec<(Seq, Stored)>,
    upto: Seq,
}

impl Clinical {
    /// Tells everybody who is due. Trouble is logged, and tried again.
    pub(crate) async fn tell_all(self: &Arc<Self>) {
        let clinical = Arc::clone(self);
        let due = match spawn_blocking(move || clinical.who_is_due()).await {
            Ok(Ok(due)) => Arc::new(Mutex::new(due.0.into_iter().map(|one| (one, due.1)).collect::<Vec<_>>())),
            Ok(Err(error)) => {
                tracing::warn!(%error, "subscribers cannot be told now");
                return;
            }
            Err(_) => return,
        };
        let mut tasks = JoinSet::new();
        for _ in 0..AT_ONCE {
            let (clinical, due) = (Arc::clone(self), Arc::clone(&due));
            tasks.spawn(async move {
                loop {
                    let next = due.lock().unwrap_or_else(PoisonError::into_inner).pop();
                    let Some((one, newest)) = next else { return };
                    if let Err(error) = clinical.tell(one, newest).await {
                        tracing::warn!(%error, "a subscriber cannot be told now");
                    }
                }
            });
        }
        while tasks.join_next().await.is_some() {}
    }

    fn who_is_due(&self) -> Result<(Vec<Due>, Seq), Error> {
        let (records, now) = (self.records(), Millis(self.clock().unix_millis()));
        if !records.has_subscriptions()? || !self.notices().have_turn(self, now)? {
            return Ok((Vec::new(), Seq(0)));
        }
        let newest = records.newest()?;
        Ok((records.due(now, newest)?, newest))
    }

    /// Tells one subscriber.
    async fn tell(self: &Arc<Self>, due: Due, newest: Seq) -> Result<(), Error> {
        let clinical = Arc::clone(self);
        let looked = spawn_blocking(move || clinical.look(due, newest)).await;
        let Ok(telling) = looked else { return Ok(()) };
        let Some(telling) = telling? else { return Ok(()) };
        let sent = self.send(&telling).await;
        let clinical = Arc::clone(self);
        let kept = spawn_blocking(move || match sent {
            Ok(()) => clinical.records().keep_told(telling.due.stored.row, telling.upto, 0, Millis(0)),
            Err((told, why)) => clinical.later(&telling.due, told, &why),
        });
        kept.await.unwrap_or(Ok(()))
    }

    /// What one subscriber is to be told at this moment, if anything. Blocks.
    fn look(&self, due: Due, newest: Seq) -> Result<Option<Telling>, Error> {
        let now = Millis(self.clock().unix_millis());
        let ended = |why: &str| self.end_subscription(&due, why).map(|()| None);
        let Some(caller) = self.gate().subscriber(due.leave)? else {
            return ended("what was granted has ended");
        };
        let Some(wanted) = Wanted::of_kept(&due.stored.body) else { return ended("it is none that is served") };
        if wanted.until.is_some_and(|until| until <= now.0) {
            return ended("its end has come");
        }
        let Some(plan) = self.plan_of(&wanted).filter(|_| caller.sight(Verb::Search).may(wanted.kind)) else {
            return ended("what it asks for is not served, or not granted");
        };
        let changed = self.records().changed(&caller.sight(Verb::Search), &plan, due.told, newest)?;
        let mut found = Vec::new();
        for (seq, stored) in changed.found {
            // Who may look for it may not always read it.
            let read = self.records().read(&caller.sight(Verb::Read), stored.kind, &stored.id)?;
            found.extend(read.filter(|read| !wanted.whole || !read.gone).map(|read| (seq, read)));
        }
        if found.is_empty() {
            self.records().keep_told(due.stored.row, changed.upto, 0, Millis(0))?;
            return Ok(None);
        }
        Ok(Some(Telling { due, wanted, caller, found, upto: changed.upto }))
    }

    fn plan_of(&self, wanted: &Wanted) -> Option<Plan> {
        let pairs: Vec<_> = form_urlencoded::parse(wanted.query.as_bytes()).collect();
        let terms = Terms { handling: Handling::Strict, most: self.settings().page_most, bases: &self.bases() };
        query::plan(wanted.kind, &pairs, terms, Definitions::r4()).ok()
    }

    /// Sends all of it, each noted before. How far it came, and why no further.
    async fn send(&self, telling: &Telling) -> Result<(), (Seq, String)> {
        let Telling { due, wanted, found, .. } = telling;
        let outbound = self.key_sets().outbound();
        let mut told = due.told;
        for (seq, stored) in found {
            // What was told before is told again neither in part nor whole.
            let failed = |why: String| (told, why);
            let note = Note::of(&telling.caller, Verb::Read, stored.kind, wanted.endpoint.clone());
            let patients = stored.patient.into_iter().collect();
            if !self.audit().take(note.about(stored.kind, Some(stored.row), Some(stored.version), patients)) {
                return Err(failed("nothing is told that cannot be audited".to_owned()));
            }
            if wanted.whole {
                let address = format!("{}/{}/{}", wanted.endpoint.trim_end_matches('/'), stored.kind, stored.id);
                let sent = outbound.put(&address, TYPE, Bytes::from(stored.body.clone())).await;
                let answer = sent.map_err(|refused| failed(refused.to_string()))?;
                if !answer.status().is_success() {
                    return Err(failed(format!("its server answers {}", answer.status())));
                }
                told = Seq(seq.0);
            }
        }
        if !wanted.whole {
            let sent = outbound.post(&wanted.endpoint, TYPE, &[], Bytes::new()).await;
            let answer = sent.map_err(|refused| (due.told, refused.to_string()))?;
            if !answer.status().is_success() {
                return Err((due.told, format!("its server answers {}", answer.status())));
            }
        }
        Ok(())
    }

    /// It is tried again, or left.
    fn later(&self, due: &Due, told: Seq, why: &str) -> Result<(), Error> {
        let failures = if told > due.told { 1 } else { due.failures.saturating_add(1) };
        tracing::info!(subscription = %due.stored.id, failures, why, "a subscriber could not be told");
        if failures >= FAILURES {
            return self.end_subscription(due, &format!("it could not be told {failures} times: {why}"));
        }
        let pause = 1_000_i64.checked_shl(failures.saturating_sub(1)).map_or(PAUSE, |pause| pause.clamp(1_000, PAUSE));
        let next = Millis(self.clock().unix_millis().saturating_add(pause));
        self.records().keep_told(due.stored.row, told, failures, next)
    }

    /// Nothing is told any more, and the Subscription says so.
    fn end_subscription(&self, due: &Due, why: &str) -> Result<(), Error> {
        let (caller, kind) = (Caller::administrator(), Kind::SUBSCRIPTION);
        let prepared = Document::read(&due.stored.body, &Limits::BUNDLE).ok().and_then(|document| {
            let text = with_status(document.root(), "off", Some(why));
            let document = Document::read(&text, &Limits::BUNDLE).ok()?;
            let asked = Asked { kind, bases: &self.bases(), mark: None };
            validate::prepare(document.root(), Definitions::r4(), asked).ok()
        });
        let Some(to) = prepared else { return self.records().end_subscription(due.stored.row) };
        let (id, if_match) = (due.stored.id, Some(due.stored.version));
        let act = Act::Update { id, to, if_match, condition: None, bases: self.bases() };
        let note = Note::of(&caller, Verb::Update, kind, "this hub".to_owned());
        match self.records().apply(&caller, vec![act], &note) {
            Ok(_) => Ok(()),
            // Who wrote it has changed or deleted it meanwhile: that counts.
            Err(why) => {
                tracing::info!(subscription = %due.stored.id, ?why, "a subscription was not ended");
                Ok(())
            }
        }
    }
}
