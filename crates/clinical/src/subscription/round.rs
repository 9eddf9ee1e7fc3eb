//! Who is told next, and how many at once: each by a task of its own, so that a slow one holds up nobody; who waits longest goes first.

use super::watch::Watch;
use crate::Clinical;
use crate::kind::{Millis, Row, Seq};
use crate::store::Due;
use medlock_node::stop::Stop;
use medlock_store::Error;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::{Id, JoinError, JoinSet, spawn_blocking};

/// How often it is looked for what has changed.
const LOOK: Duration = Duration::from_millis(500);
/// How often it is noted how far was looked.
const NOTE: Duration = Duration::from_secs(5);
/// Subscribers that are told at once, and those of one piece of software among them.
const AT_ONCE: usize = 32;
const OF_ONE: usize = 4;

/// Those who are told at this moment, and those who wait.
#[derive(Default)]
struct Round {
    tasks: JoinSet<()>,
    told: HashMap<Id, Due>,
    waiting: VecDeque<Due>,
    /// Which turn each had last, counted over all; none: it has waited from the beginning.
    turns: HashMap<Row, u64>,
    turn: u64,
    noted: Option<Instant>,
    watch: Watch,
}

/// A subscription, from where and how far it was looked.
type Place = (Row, Seq, Seq);

impl Clinical {
    /// Tells subscribers what has changed, until asked to stop.
    pub(crate) async fn tell_until(self: Arc<Self>, mut stop: Stop) {
        let mut clock = tokio::time::interval(LOOK);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut round = Round::default();
        loop {
            tokio::select! {
                () = stop.asked() => break,
                _ = clock.tick() => round.look(&self).await,
                Some(ended) = round.tasks.join_next_with_id() => round.ended(ended),
            }
            round.begin(&self);
            round.watch.look(&self).await;
        }
        round.tasks.shutdown().await;
        let clinical = Arc::clone(&self);
        let given_back = spawn_blocking(move || {
            clinical.note_places(clinical.places_looked().to_keep(|_| false))?;
            clinical.turn().give_back(clinical.records())
        });
        if let Ok(Err(error)) = given_back.await {
            tracing::warn!(%error, "the turn to tell was not given back");
        }
    }

    /// Who is due; `None`: another hub tells. Blocks.
    fn who_is_due(&self, looked: Vec<Place>) -> Result<Option<Vec<Due>>, Error> {
        let (records, now) = (self.records(), Millis(self.clock().unix_millis()));
        if records.subscriptions()? == 0 {
            return Ok(Some(Vec::new()));
        }
        if !self.turn().keep(records)? {
            return Ok(None);
        }
        self.note_places(looked)?;
        let newest = records.newest()?;
        let mut due = records.due(now, newest)?;
        due.retain(|due| self.places_looked().reached(due.row, due.told) < newest);
        Ok(Some(due))
    }

    fn note_places(&self, looked: Vec<Place>) -> Result<(), Error> {
        if !looked.is_empty() {
            self.records().keep_places(&looked)?;
            self.places_looked().forget(looked.into_iter().map(|(row, ..)| row));
        }
        Ok(())
    }
}

impl Round {
    /// Looks who is due. Where another hub tells, everything stops here.
    async fn look(&mut self, clinical: &Arc<Clinical>) {
        let now = Instant::now();
        let told: HashSet<Row> = self.told.values().map(|due| due.row).collect();
        let mut looked = Vec::new();
        if self.noted.is_none_or(|noted| now.duration_since(noted) >= NOTE) {
            looked = clinical.places_looked().to_keep(|row| told.contains(&row));
            self.noted = Some(now);
        }
        let asked = Arc::clone(clinical);
        match spawn_blocking(move || asked.who_is_due(looked)).await {
            Ok(Ok(Some(due))) => self.wait(due.into_iter().filter(|due| !told.contains(&due.row)).collect()),
            Ok(Ok(None)) => self.stop(clinical).await,
            Ok(Err(error)) => {
                tracing::warn!(%error, "subscribers cannot be told now");
                if !clinical.turn().lasts(Duration::ZERO) {
                    self.stop(clinical).await;
                }
            }
            Err(error) => tracing::error!(%error, "it was not looked who is due"),
        }
    }

    /// These wait, those first whose last turn is longest ago.
    fn wait(&mut self, mut due: Vec<Due>) {
        due.sort_by_key(|due| self.turns.get(&due.row).copied().unwrap_or(0));
        let kept: HashSet<Row> = due.iter().chain(self.told.values()).map(|due| due.row).collect();
        self.turns.retain(|row, _| kept.contains(row));
        self.waiting = due.into();
    }

    /// Begins to tell those for whom there is room.
    fn begin(&mut self, clinical: &Arc<Clinical>) {
        while self.told.len() < AT_ONCE {
            let fits = |due: &Due| self.told.values().filter(|told| told.client == due.client).count() < OF_ONE;
            let Some(due) = self.waiting.iter().position(fits).and_then(|place| self.waiting.remove(place)) else {
                return;
            };
            self.turn = self.turn.saturating_add(1);
            self.turns.insert(due.row, self.turn);
            let task = self.tasks.spawn(Arc::clone(clinical).tell(due.row, due.client.clone()));
            self.told.insert(task.id(), due);
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "telling a subscriber broke off");
                error.id()
            }
        };
        self.told.remove(&id);
    }

    async fn stop(&mut self, clinical: &Clinical) {
        self.tasks.shutdown().await;
        *self = Self::default();
        clinical.places_looked().clear();
    }
}
