//! Telling one subscriber: what has changed is looked for under what it may see, looked at again just before each call, noted in the
//! audit, and sent.
//!
//! | what happens | what is done |
//! | --- | --- |
//! | it is told | the next change is waited for |
//! | its server is away, is slow, refuses, or leads elsewhere | the same is told again after a second, two, four …, an hour at most |
//! | to look for what it asks for takes too long | the same |
//! | it could not be told so often that half a day has gone | the Subscription is off, and says why |
//! | its community does not vouch for it now (UDAP) | the same |
//! | what was granted has ended, the registration is gone, `end` has come | the Subscription is off, and says why |
//! | it is changed or deleted, or another hub has the turn | nothing more is sent of what was found before |

use super::{Channel, Wanted, signature, with_status};
use crate::Clinical;
use crate::access::{Caller, NotTold, Verb};
use crate::audit::{Note, UNAUDITED};
use crate::definitions::Definitions;
use crate::json::{Document, Limits};
use crate::kind::{Id, Kind, Millis, Row, Seq, Version};
use crate::query::{self, Handling, Plan, Terms};
use crate::store::{Act, Expected, Sights, Stored, Subscribed};
use crate::validate::{self, Asked};
use axum::body::Bytes;
use http::Method;
use medlock_node::outbound::{Address, Line};
use medlock_store::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// A turn of one subscriber sends nothing more after so long,
const SENDS: Duration = Duration::from_secs(5);
/// and its server answers within so long.
const ANSWERS: Duration = Duration::from_secs(5);
/// How often in a row one cannot be told before it is left: some twelve hours.
const FAILURES: u32 = 22;
/// The longest pause between two tries, in milliseconds.
const PAUSE: i64 = 3_600_000;
/// Why one is told later whose criteria cost too much.
const TOO_LONG: &str = "to look for what it asks for takes too long: narrow its criteria";
/// How often it is looked whether one that is told over web sockets has ended, in milliseconds.
const ENDS: i64 = 10_000;
/// The media type of what is sent.
const TYPE: &str = "application/fhir+json";

/// What one subscriber is to be told: numbers of rows alone.
struct Telling {
    row: Row,
    id: Id,
    version: Version,
    wanted: Wanted,
    plan: Plan,
    address: Address,
    /// Where it stands in the store, and up to where nothing was found since.
    kept: Seq,
    from: Seq,
    failures: u32,
    found: Vec<(Seq, Row)>,
    upto: Seq,
    newest: Seq,
}

/// What looking for changes brings.
enum Looked {
    /// Nothing up to now.
    Nothing,
    /// Nothing so far, and there is more to look at.
    More,
    Found(Box<Telling>),
}

/// How one of those that were found is just before it is sent.
enum Again {
    /// The Subscription is another one, or another hub tells.
    Ended,
    /// It may not be seen any more, or is no more what is wanted.
    Unseen,
    /// To look whether it is wanted takes too long.
    TooLong,
    Seen(Box<(Caller, Stored)>),
}

/// How far it came, and why no further, where the other side is the reason.
struct Sent {
    told: Seq,
    trouble: Option<String>,
}

impl Clinical {
    /// The turn of one subscriber: it is told as much as fits into some seconds. Trouble is logged, and tried again.
    pub(super) async fn tell(self: Arc<Self>, row: Row, client: String) {
        let (until, mut line) = (Instant::now() + SENDS, self.key_sets().outbound().line());
        while self.tell_some((row, &client), until, &mut line).await == Some(true) && Instant::now() < until {}
    }

    /// Whether there is more to tell at once.
    async fn tell_some(self: &Arc<Self>, (row, client): (Row, &str), until: Instant, line: &mut Line) -> Option<bool> {
        let telling = match self.ask(client, move |clinical| clinical.look(row)).await? {
            Looked::Nothing => return Some(false),
            Looked::More => return Some(true),
            Looked::Found(telling) => Arc::from(telling),
        };
        let sent = self.send((&telling, client), until, line).await?;
        let more = sent.trouble.is_none() && sent.told > telling.from && sent.told < telling.newest;
        self.ask(client, move |clinical| clinical.note_told(&telling, sent)).await?;
        Some(more)
    }

    /// Asks the store, when it is the client's turn; `None` where it does not answer now.
    async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        client: &str,
        ask: impl FnOnce(&Self) -> Result<T, Error> + Send + 'static,
    ) -> Option<T> {
        let _turn = self.looks().take(client).await?;
        let clinical = Arc::clone(self);
        let told = spawn_blocking(move || ask(&clinical)).await.ok()?;
        told.inspect_err(|error| tracing::warn!(%error, "a subscriber cannot be told now")).ok()
    }

    /// What one subscriber is to be told, if anything. Blocks.
    fn look(&self, row: Row) -> Result<Looked, Error> {
        let (records, now) = (self.records(), Millis(self.clock().unix_millis()));
        // This first: a Subscription that is written anew meanwhile begins behind it, and is not moved by what is looked at here.
        let newest = records.newest()?;
        let Some(subscribed) = records.subscribed(row)? else { return Ok(Looked::Nothing) };
        let ended = |why: &str| self.end_subscription(&subscribed.stored, why).map(|()| Looked::Nothing);
        let caller = match self.gate().subscriber(&subscribed.subscriber)? {
            Ok(caller) => caller,
            Err(NotTold::Ended) => return ended("what was granted has ended"),
            // A newer certificate or a fresh list may come: nothing is told until then.
            Err(NotTold::Unvouched(why)) => {
                let Subscribed { stored, told, failures, .. } = &subscribed;
                let subscription = (row, &stored.id, stored.version);
                self.try_later(subscription, (*told, *told), failures.saturating_add(1), &why)?;
                return Ok(Looked::Nothing);
            }
        };
        let Some(wanted) = Wanted::of_kept(&subscribed.stored.body) else { return ended("it is none that is served") };
        if wanted.until.is_some_and(|until| until <= now.0) {
            return ended("its end has come");
        }
        let (sights, plan, hooked) = (sights(&caller), self.plan_of(&wanted), wanted.channel == Channel::RestHook);
        let may = sights.search.may(wanted.kind) && sights.read.may(wanted.kind);
        let (Some(plan), true) = (plan, may) else {
            return ended("what it asks for is not served, or not granted");
        };
        if !hooked {
            // The hubs to which it is connected tell it.
            let next = Millis(now.0.saturating_add(ENDS));
            records.keep_told(row, (subscribed.told, newest), 0, next)?;
            return Ok(Looked::Nothing);
        }
        let Ok(address) = Address::read(&wanted.endpoint) else {
            return ended("what it asks for is not served, or not granted");
        };
        let (kept, from) = (subscribed.told, self.places_looked().reached(row, subscribed.told));
        let changed = match records.changed(&sights, &plan, (from, newest), self.settings().search_limit) {
            Err(Error::Late { .. }) => {
                let Subscribed { stored, told, failures, .. } = &subscribed;
                let subscription = (row, &stored.id, stored.version);
                self.try_later(subscription, (*told, *told), failures.saturating_add(1), TOO_LONG)?;
                return Ok(Looked::Nothing);
            }
            changed => changed?,
        };
        let (found, upto) = (changed.found, changed.upto);
        if found.is_empty() {
            self.places_looked().reach(row, kept, upto);
            return Ok(if upto < newest { Looked::More } else { Looked::Nothing });
        }
        let Subscribed { stored: Stored { id, version, .. }, failures, .. } = subscribed;
        let telling = Telling { row, id, version, wanted, plan, address, kept, from, failures, found, upto, newest };
        Ok(Looked::Found(Box::new(telling)))
    }

    pub(super) fn plan_of(&self, wanted: &Wanted) -> Option<Plan> {
        let pairs: Vec<_> = form_urlencoded::parse(wanted.query.as_bytes()).collect();
        let terms = Terms { handling: Handling::Strict, most: self.settings().page_most, bases: &self.bases() };
        query::plan(wanted.kind, &pairs, terms, Definitions::r4()).ok()
    }

    /// Sends what was found, each as it is and as far as it may be seen at that moment.
    async fn send(
        self: &Arc<Self>,
        (telling, client): (&Arc<Telling>, &str),
        until: Instant,
        line: &mut Line,
    ) -> Option<Sent> {
        let Telling { wanted, address, from, .. } = &**telling;
        let (mut told, mut signs) = (*from, false);
        // A mere sign is sent at the end, for all.
        let so_far = |told: Seq| if wanted.whole { told } else { *from };
        let failed = |told: Seq, why: String| Some(Sent { told: so_far(told), trouble: Some(why) });
        for (number, (seq, row)) in telling.found.iter().copied().enumerate() {
            if number > 0 && Instant::now() >= until {
                break;
            }
            let same = Arc::clone(telling);
            match self.ask(client, move |clinical| clinical.look_again(&same, row)).await? {
                Again::Ended => return Some(Sent { told: so_far(told), trouble: None }),
                Again::Unseen => {}
                Again::TooLong => return failed(told, TOO_LONG.to_owned()),
                Again::Seen(seen) => {
                    let (caller, stored) = *seen;
                    let note = Note::of(&caller, Verb::Read, stored.kind, address.authority());
                    let patients = stored.patient.into_iter().collect();
                    if !self.audit().take(note.about(stored.kind, Some(stored.row), Some(stored.version), patients)) {
                        return failed(told, UNAUDITED.to_owned());
                    }
                    signs = true;
                    if wanted.whole {
                        let address =
                            format!("{}/{}/{}", wanted.endpoint.trim_end_matches('/'), stored.kind, stored.id);
                        let call = (Method::PUT, address, stored.body.into());
                        if let Err(why) = self.call(line, telling.id, call).await {
                            return failed(told, why);
                        }
                    }
                }
            }
            told = if telling.found.len() > number.saturating_add(1) { seq } else { telling.upto };
        }
        if signs
            && !wanted.whole
            && let Err(why) = self.call(line, telling.id, (Method::POST, wanted.endpoint.clone(), Bytes::new())).await
        {
            return failed(*from, why);
        }
        Some(Sent { told, trouble: None })
    }

    /// How one that was found is at this moment, under what its subscriber may see now. Blocks.
    fn look_again(&self, telling: &Telling, row: Row) -> Result<Again, Error> {
        let records = self.records();
        let subscribed = records.subscribed(telling.row)?;
        let same = |now: &Subscribed| now.stored.version == telling.version && now.told == telling.kept;
        let Some(subscribed) = subscribed.filter(same) else { return Ok(Again::Ended) };
        let Ok(caller) = self.gate().subscriber(&subscribed.subscriber)? else { return Ok(Again::Ended) };
        let seen = match records.wanted(&sights(&caller), &telling.plan, row, self.settings().search_limit) {
            Err(Error::Late { .. }) => return Ok(Again::TooLong),
            seen => seen?,
        };
        // What is sent now is answered before another hub can have the turn.
        if !self.turn().lasts(ANSWERS) {
            return Ok(Again::Ended);
        }
        Ok(seen.map_or(Again::Unseen, |stored| Again::Seen(Box::new((caller, stored)))))
    }

    /// Calls the server of this Subscription, signed.
    async fn call(
        self: &Arc<Self>,
        line: &mut Line,
        subscription: Id,
        (method, address, body): (Method, String, Bytes),
    ) -> Result<(), String> {
        let to = self.key_sets().outbound().allows(&address).map_err(|refused| refused.to_string())?;
        let (clinical, signed) = (Arc::clone(self), (method.clone(), body.clone()));
        let sent = async {
            let headers =
                spawn_blocking(move || signature::headers(&clinical, &signed.0, &to, &signed.1, &subscription));
            let headers = headers.await.unwrap_or_else(|_| Err("it was not signed".to_owned()))?;
            let sent = line.send(method, &address, TYPE, &headers, body).await;
            sent.map_err(|refused| refused.to_string())
        };
        let late = |_| format!("its server does not answer within {} seconds", ANSWERS.as_secs());
        let status = timeout(ANSWERS, sent).await.map_err(late)??.status();
        if status.is_success() { Ok(()) } else { Err(format!("its server answers {status}")) }
    }

    /// Notes how far it was told, or that it is tried again, or left. Blocks.
    fn note_told(&self, telling: &Telling, sent: Sent) -> Result<(), Error> {
        let (records, Telling { row, kept, from, .. }) = (self.records(), telling);
        self.places_looked().forget(std::iter::once(*row));
        let Sent { told, trouble } = sent;
        let Some(why) = trouble else {
            if told > *from {
                records.keep_told(*row, (*kept, told), 0, Millis(0))?;
            }
            return Ok(());
        };
        let failures = if told > *from { 1 } else { telling.failures.saturating_add(1) };
        self.try_later((*row, &telling.id, telling.version), (*kept, told), failures, &why)
    }

    /// Notes that one could not be told so often, from `kept` up to where it was told: it is tried again, or left. Blocks.
    fn try_later(
        &self,
        (row, id, version): (Row, &Id, Version),
        (kept, told): (Seq, Seq),
        failures: u32,
        why: &str,
    ) -> Result<(), Error> {
        let records = self.records();
        tracing::info!(subscription = %id, failures, why, "a subscriber could not be told");
        if failures >= FAILURES {
            let Some(subscribed) = records.subscribed(row)? else { return Ok(()) };
            let why = format!("it could not be told {failures} times: {why}");
            return self.end_subscription(&Stored { version, ..subscribed.stored }, &why);
        }
        let pause = 1_000_i64.checked_shl(failures.saturating_sub(1)).map_or(PAUSE, |pause| pause.clamp(1_000, PAUSE));
        let next = Millis(self.clock().unix_millis().saturating_add(pause));
        records.keep_told(row, (kept, told), failures, next).map(drop)
    }

    /// Nothing is told any more, and the Subscription says so.
    fn end_subscription(&self, stored: &Stored, why: &str) -> Result<(), Error> {
        let (caller, kind) = (Caller::administrator(), Kind::SUBSCRIPTION);
        let prepared = Document::read(&stored.body, &Limits::BUNDLE).ok().and_then(|document| {
            let text = with_status(document.root(), "off", Some(why));
            let document = Document::read(&text, &Limits::BUNDLE).ok()?;
            let asked = Asked { kind, bases: &self.bases(), mark: None };
            validate::prepare_again(document.root(), Definitions::r4(), asked).ok()
        });
        let Some(to) = prepared else { return self.records().end_subscription(stored.row) };
        let (id, expected) = (stored.id, Expected::version(stored.version));
        let act = Act::Update { id, to, expected, condition: None, bases: self.bases() };
        let note = Note::of(&caller, Verb::Update, kind, "this hub".to_owned());
        match self.records().apply(&caller, vec![act], &note) {
            Ok(_) => Ok(()),
            // Who wrote it has changed or deleted it meanwhile: that counts.
            Err(why) => {
                tracing::info!(subscription = %stored.id, ?why, "a subscription was not ended");
                Ok(())
            }
        }
    }
}

pub(super) fn sights(caller: &Caller) -> Sights {
    Sights { search: caller.sight(Verb::Search), read: caller.sight(Verb::Read) }
}
