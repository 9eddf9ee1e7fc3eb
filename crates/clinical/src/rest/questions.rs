//! Questions to the store whose cost their asker decides. Most are answered in a moment; what takes longer takes a turn, so that all others
//! find readers.

use super::asking::{Asking, too_late};
use super::places::{Aim, Place, Places};
use crate::access::{Caller, Sight};
use crate::kind::Kind;
use crate::outcome::{Code, Issue, Refusal};
use medlock_store::Error;
use std::time::Duration;

/// So long something is asked without a turn.
const MOMENT: Duration = Duration::from_millis(50);

/// The questions of one request, about resources of some kinds.
pub(super) struct Questions<'a> {
    places: &'a Places,
    aim: Aim,
    taker: String,
    turn: Option<Place<'a>>,
    /// What is left of the time without a turn.
    moment: Duration,
    /// How long one of them may take.
    limit: Duration,
}

impl<'a> Questions<'a> {
    /// Who sees one patient's alone waits for others who do, and nobody else waits for them.
    pub(super) fn of(asking: &'a Asking, caller: &Caller, sight: &Sight, kinds: &[Kind]) -> Self {
        let clinical = &asking.door.clinical;
        let is_own = kinds.iter().any(|kind| sight.only_of(*kind).is_some());
        let places = if is_own { clinical.own_places() } else { clinical.places() };
        let limit = clinical.settings().search_limit;
        Self { places, aim: Aim::Look, taker: caller.taker(), turn: None, moment: MOMENT, limit }
    }

    /// They are the conditions of a change.
    pub(super) fn of_change(self) -> Self {
        Self { aim: Aim::Change, ..self }
    }

    /// Takes a turn for all that is asked from now on.
    pub(super) fn take_turn(&mut self) -> Result<(), Refusal> {
        if self.turn.is_none() {
            let busy = || Issue::new(Code::Busy, "others ask for what takes long now");
            self.turn = Some(self.places.take(self.aim, self.taker.clone()).ok_or_else(busy)?);
        }
        Ok(())
    }

    /// Gives the turn back.
    pub(super) fn give_back(&mut self) {
        self.turn = None;
    }

    /// That something took so long: so much less is asked without a turn.
    pub(super) fn spend(&mut self, took: Duration) {
        self.moment = self.moment.saturating_sub(took);
    }

    /// Asks, as long as one may.
    pub(super) fn ask<T>(&mut self, ask: impl Fn(Duration) -> Result<T, Error>) -> Result<T, Refusal> {
        self.ask_within(self.limit, ask)?.map_err(too_late)
    }

    /// Asks within `limit`: for a moment without a turn, and then anew with one.
    pub(super) fn ask_within<T>(
        &mut self,
        limit: Duration,
        ask: impl Fn(Duration) -> Result<T, Error>,
    ) -> Result<Result<T, Error>, Refusal> {
        if self.turn.is_none() && !self.moment.is_zero() {
            match ask(self.moment.min(limit)) {
                Err(Error::Late { .. }) => {}
                told => return Ok(told),
            }
        }
        self.take_turn()?;
        Ok(ask(limit))
    }
}
