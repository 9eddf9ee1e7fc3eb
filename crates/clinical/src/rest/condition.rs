//! Conditions: what has to be so for a change (FHIR R4, sections 3.1.0.4.3, 3.1.0.7.1 and 3.1.0.8.1), or which resource a reference
//! in a transaction means (section 3.1.0.11).

use super::asking::{Asking, denied, store_failed};
use super::questions::Questions;
use crate::Clinical;
use crate::access::{Caller, Sight, Verb};
use crate::kind::{Kind, Row, Seq};
use crate::outcome::{Code, Issue, Refusal};
use crate::query::Handling;
use crate::store::{Asked, Condition};
use std::collections::BTreeSet;
use std::time::Duration;

/// The conditions of one request as they are looked for: all together no longer than one search. If that takes a turn, it is held until
/// the request has been done: what is looked for long, may be looked at long while others wait to write.
pub(super) struct Conditions<'a> {
    asking: &'a Asking,
    caller: &'a Caller,
    /// How long they may be looked for still.
    left: Duration,
    /// The newest change when the first of them was looked for.
    newest: Option<Seq>,
    /// Made by the first of them: most writes have none.
    asked: Option<(Sight, Questions<'a>)>,
    /// Whom they are about: what is done or refused by them says something of these.
    patients: BTreeSet<Row>,
}

impl<'a> Conditions<'a> {
    pub(super) fn of(asking: &'a Asking, caller: &'a Caller) -> Self {
        let left = asking.door.clinical.settings().search_limit;
        Self { asking, caller, left, newest: None, asked: None, patients: BTreeSet::new() }
    }

    /// The request has been done, or was not: others may have the turn. If it is read again, they are looked for anew, in the time that is
    /// left.
    pub(super) fn end(&mut self) {
        self.newest = None;
        if let Some((_, questions)) = &mut self.asked {
            questions.give_back();
        }
    }

    /// A condition with what it finds now: none, or one. It is looked for among what the caller may search.
    pub(super) fn find(&mut self, kind: Kind, query: &str) -> Result<Condition, Refusal> {
        if let Some(why) = denied(self.caller, Verb::Search, kind) {
            return Err(why);
        }
        let query = query.split_once('?').map_or(query, |(_, query)| query);
        let plan = self.asking.plan(kind, query, Handling::Strict)?;
        if !plan.is_narrow() {
            return Err(Issue::new(Code::Condition, "the condition may find too many").into());
        }
        let clinical = &self.asking.door.clinical;
        let newest = match self.newest {
            Some(newest) => newest,
            None => clinical.records().newest().map_err(|error| store_failed(&error))?,
        };
        self.newest = Some(newest);
        if self.left.is_zero() {
            return Err(too_late(clinical));
        }
        let (asking, caller) = (self.asking, self.caller);
        let (sight, questions) = self.asked.get_or_insert_with(|| {
            let sight = caller.sight_to_write(Verb::Search);
            let questions = Questions::of(asking, caller, &sight, &clinical.settings().kinds).of_change();
            (sight, questions)
        });
        let asked = questions.ask_within(self.left, |limit| clinical.records().asked(sight, &plan, limit))?;
        let (found, took) = asked.map_err(|error| match error {
            medlock_store::Error::Late { .. } => too_late(clinical),
            other => store_failed(&other),
        })?;
        questions.spend(took);
        self.left = self.left.saturating_sub(took);
        let named = asking.about(sight, &plan, !found.is_empty())?;
        self.patients.extend(found.iter().filter_map(|found| found.patient).chain(named));
        let (is, row) = match found.as_slice() {
            [] => (None, None),
            [found] => (Some(found.id), Some(found.row)),
            _ => return Err(Issue::new(Code::ManyMatches, format!("there is more than one such {kind}")).into()),
        };
        Ok(Condition { plan, is, asked: Some(Asked { newest, row, took }) })
    }

    /// The patients whom all that was looked for is about.
    pub(super) fn patients(&self) -> impl Iterator<Item = Row> {
        self.patients.iter().copied()
    }
}

fn too_late(clinical: &Clinical) -> Refusal {
    let limit = clinical.settings().search_limit;
    let text = format!("all conditions of a request are looked for within {limit:?}, and these take longer");
    Issue::new(Code::TooCostly, text).into()
}
