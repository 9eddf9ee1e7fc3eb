//! What one connection is told: the same judgement before each ping as before each call of a server, and the token of the connection
//! besides.

use super::super::notices::sights;
use super::super::{Channel, Subscriber, Wanted};
use crate::Clinical;
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::kind::{Id, Kind, Row, Seq};
use medlock_store::Error;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// What is left at least of the time of a look for its second question.
const LEAST: Duration = Duration::from_millis(50);

/// A Subscription that a connection has bound.
#[derive(Clone, Debug)]
pub(super) struct Bound {
    pub(super) id: Id,
    pub(super) row: Row,
    /// The last change that was looked at.
    pub(super) place: Seq,
}

/// What a look at one brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Looked {
    Nothing,
    /// There is something to look for.
    Ping,
    /// It is told nothing any more.
    Ended,
    /// It takes too long: it is looked for later.
    Late,
    /// The token of the connection has ended.
    NoToken,
}

impl Clinical {
    /// Binds a Subscription of the caller's own that is told over web sockets; `None`: there is none such. Blocks.
    pub(super) fn bind(&self, caller: &Caller, id: &Id) -> Result<Option<Bound>, Error> {
        let records = self.records();
        // This first: what is written from now on is told.
        let place = records.newest()?;
        let found = records.read(&Caller::administrator().sight(Verb::Read), Kind::SUBSCRIPTION, id)?;
        let Some(found) = found.filter(|found| !found.gone) else { return Ok(None) };
        let bound = Bound { id: *id, row: found.row, place };
        let own = sights(caller);
        let may = |wanted: &Wanted| own.search.may(wanted.kind) && own.read.may(wanted.kind);
        let subscribed = self.subscribed_by(caller, &bound)?;
        Ok(subscribed.filter(|(wanted, _)| may(wanted)).map(|_| bound))
    }

    /// Whether it could be bound. Blocks.
    pub(crate) fn has_bindable(&self, caller: &Caller, id: &Id) -> Result<bool, Error> {
        Ok(self.bind(caller, id)?.is_some())
    }

    /// What this Subscription wants, and who is told, with what is allowed at this moment; `None`: it is not this caller's, or told
    /// nothing over web sockets now.
    fn subscribed_by(&self, caller: &Caller, bound: &Bound) -> Result<Option<(Wanted, Caller)>, Error> {
        let Some(subscribed) = self.records().subscribed(bound.row)? else { return Ok(None) };
        if !is_of(&subscribed.subscriber, caller) {
            return Ok(None);
        }
        let now = self.clock().unix_millis();
        let wanted = Wanted::of_kept(&subscribed.stored.body);
        let wanted = wanted.filter(|wanted| wanted.channel == Channel::WebSocket);
        let Some(wanted) = wanted.filter(|wanted| wanted.until.is_none_or(|until| until > now)) else {
            return Ok(None);
        };
        let told = self.gate().subscriber(&subscribed.subscriber)?;
        Ok(told.ok().map(|told| (wanted, told)))
    }

    /// Looks for what has changed and is wanted, up to `newest`, and moves on: as long as one search may take. Blocks.
    pub(super) fn look_for(
        &self,
        caller: &Caller,
        bound: &mut Bound,
        newest: Seq,
        origin: &str,
    ) -> Result<Looked, Error> {
        // It may have waited for its turn.
        let Ok(caller) = self.gate().again(caller) else { return Ok(Looked::NoToken) };
        let looked = self.look_in_time(&caller, bound, newest, origin);
        self.paused(bound, looked)
    }

    /// What a look brought; one that took too long rests.
    pub(super) fn paused(&self, bound: &Bound, looked: Result<Looked, Error>) -> Result<Looked, Error> {
        let pauses = &self.sockets().pauses;
        match &looked {
            Err(Error::Late { .. }) => {
                tracing::info!(subscription = %bound.id, "to look for what a subscriber asks for takes too long");
                pauses.late(bound.row, Instant::now());
                return Ok(Looked::Late);
            }
            Ok(_) => pauses.in_time(bound.row),
            // A store that is away for a moment says nothing of how much it costs.
            Err(_) => {}
        }
        looked
    }

    fn look_in_time(&self, caller: &Caller, bound: &mut Bound, newest: Seq, origin: &str) -> Result<Looked, Error> {
        let (records, limit, began) = (self.records(), self.settings().search_limit, Instant::now());
        let Some((wanted, told)) = self.subscribed_by(caller, bound)? else { return Ok(Looked::Ended) };
        let Some(plan) = self.plan_of(&wanted) else { return Ok(Looked::Ended) };
        let changed = records.changed(&sights(&told), &plan, (bound.place, newest), limit)?;
        // The token of the connection may be good for less than the one that wrote the Subscription.
        let rows: Vec<Row> = changed.found.iter().map(|(_, row)| *row).collect();
        let left = limit.saturating_sub(began.elapsed()).max(LEAST);
        let found = records.patients_of_wanted(&sights(caller), &plan, &rows, left)?;
        let any = !found.is_empty();
        if any {
            let patients: BTreeSet<Row> = found.into_iter().flatten().collect();
            let note = Note::of(&told, Verb::Search, wanted.kind, origin.to_owned());
            let note = note.searching(&format!("ping Subscription/{}", bound.id));
            if !self.audit().take(note.about(wanted.kind, None, None, patients.into_iter().collect())) {
                // Nothing is told that cannot be audited: it is looked for again.
                return Ok(Looked::Nothing);
            }
        }
        bound.place = changed.upto;
        Ok(if any { Looked::Ping } else { Looked::Nothing })
    }
}

/// Whether a Subscription was written by the same software, and for the same person.
fn is_of(subscriber: &Subscriber, caller: &Caller) -> bool {
    let own = caller.subscriber(0);
    let account = |subscriber: &Subscriber| subscriber.person.map(|(_, account)| account);
    own.is_some_and(|own| own.client == subscriber.client && account(&own) == account(subscriber))
}
