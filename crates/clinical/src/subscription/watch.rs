//! How far behind subscribers are, and an alarm when one has waited for minutes.

use crate::Clinical;
use crate::store::Behind;
use medlock_store::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// How often it is looked.
const LOOK: Duration = Duration::from_secs(5);
/// So long one may wait, in seconds, before somebody is to look.
const LATE: i64 = 300;
/// How often it is said again while it lasts.
const SAY: Duration = Duration::from_secs(3_600);
/// The kind of the alarm.
const ALARM: &str = "subscriber-behind";

/// Looks how far behind they are, again and again.
#[derive(Debug, Default)]
pub(super) struct Watch {
    looked: Option<Instant>,
    said: Option<Instant>,
}

impl Clinical {
    /// How long the subscriber that has waited longest has waited to be told, in seconds. Blocks.
    pub(crate) fn behind_seconds(&self) -> Result<i64, Error> {
        Ok(self.records().behind()?.map_or(0, |behind| self.waited(behind)))
    }

    fn waited(&self, behind: Behind) -> i64 {
        self.clock().unix_millis().saturating_sub(behind.since.0).max(0) / 1_000
    }

    /// Raises an alarm, if one has waited for long, unless that was said; whether one has. Blocks.
    fn look_behind(&self, was_said: bool) -> Result<bool, Error> {
        let late = self.records().behind()?.filter(|behind| self.waited(*behind) > LATE);
        if let Some(behind) = late.filter(|_| !was_said) {
            let id = self.records().subscribed(behind.row)?.map(|one| one.stored.id.to_string()).unwrap_or_default();
            let minutes = self.waited(behind) / 60;
            let text = format!(
                "Subscription/{id} was told nothing for {minutes} minutes: look whether its server answers, and at the log of the hub"
            );
            if let Err(error) = self.alarms().raise(ALARM, text) {
                tracing::error!(%error, "an alarm could not be raised");
            }
        }
        Ok(late.is_some())
    }
}

impl Watch {
    pub(super) async fn look(&mut self, clinical: &Arc<Clinical>) {
        let now = Instant::now();
        if !clinical.turn().lasts(Duration::ZERO) || self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK)
        {
            return;
        }
        self.looked = Some(now);
        let was_said = self.said.is_some_and(|said| now.duration_since(said) < SAY);
        let clinical = Arc::clone(clinical);
        match spawn_blocking(move || clinical.look_behind(was_said)).await {
            Ok(Ok(false)) => self.said = None,
            Ok(Ok(true)) if !was_said => self.said = Some(now),
            Ok(Ok(true)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "how far behind subscribers are cannot be told now"),
            Err(error) => tracing::error!(%error, "it was not looked how far behind subscribers are"),
        }
    }
}
