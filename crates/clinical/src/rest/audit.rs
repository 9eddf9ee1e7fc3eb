//! `/fhir/AuditEvent`: the audit as IHE BALP writes it. What is noted is only read; this reading is noted too.

use super::Door;
use super::asking::{Asking, absent, store_failed};
use super::questions::Questions;
use super::{answer, bundle};
use crate::access::{Caller, Verb};
use crate::audit::{Event, Note};
use crate::definitions::{Definitions, ParameterId};
use crate::kind::{Kind, Row};
use crate::outcome::{Code, Issue, Refusal};
use crate::query::{Filter, Plan, Token};
use crate::store::{Events, Noted, Wanted};
use axum::response::Response;
use http::StatusCode;

/// The parameters by which the audit is searched.
pub(super) const PARAMETERS: [&str; 5] = ["patient", "date", "agent", "action", "outcome"];

impl Asking {
    /// One event.
    pub(super) fn audit_event(&self, caller: &Caller, note: &Note, id: &str) -> Result<Response, Refusal> {
        let found = self.door.clinical.records().event(&caller.sight(Verb::Read), id);
        let found = found.map_err(|error| store_failed(&error))?;
        let Some(noted) = found.all.first() else { return Err(self.refused(note, absent(Kind::AUDIT_EVENT))) };
        self.noted(note.about(Kind::AUDIT_EVENT, None, None, noted.patient.into_iter().collect()))?;
        Ok(answer::resource(StatusCode::OK, body(&self.door, &found, noted)))
    }

    /// A page of events, newest first.
    pub(super) fn audit_search(
        &self,
        caller: &Caller,
        note: Note,
        (plan, query): (&Plan, &str),
        questions: &mut Questions<'_>,
    ) -> Result<Response, Refusal> {
        let wanted = wanted(plan)?;
        let binding = format!("AuditEvent {:?} {}", plan.used(), caller.leave());
        let after = self.unsealed(plan.cursor(), &binding)?;
        let records = self.door.clinical.records();
        let page = (if plan.summary() { 0 } else { usize::from(plan.count()) }, after.as_ref());
        let sight = caller.sight(Verb::Search);
        let found = questions.ask(|limit| records.events(&sight, &wanted, page, limit))?;
        let given = found.all.iter().filter_map(|noted| noted.patient);
        let patients = given.chain(self.about(&sight, plan, !found.all.is_empty())?).collect();
        let besides: Vec<Row> = found.besides.iter().copied().collect();
        self.noted_counting(caller, note.searching(query), (Kind::AUDIT_EVENT, patients), &besides)?;
        let next = found.next.as_ref().map(|next| records.seal(next, &binding));
        let links = bundle::Links {
            path: Kind::AUDIT_EVENT.name(),
            used: plan.used(),
            cursor: plan.cursor(),
            next: next.as_deref(),
        };
        let events = found.all.iter().map(|noted| (noted.id(), body(&self.door, &found, noted)));
        let total = found.total.filter(|_| plan.summary());
        Ok(answer::resource(StatusCode::OK, bundle::events(&self.door, &links, events, total)))
    }
}

/// The systems of its codes.
const ACTION: &str = "http://hl7.org/fhir/audit-event-action";
const OUTCOME: &str = "http://hl7.org/fhir/audit-event-outcome";

/// What is asked, if that is served of the audit.
fn wanted(plan: &Plan) -> Result<Wanted, Refusal> {
    let unserved = |what: &str| {
        let text = format!("the audit is {what}: by {}", PARAMETERS.join(", "));
        Refusal::from(Issue::new(Code::UnknownParameter, text).help("leave it out"))
    };
    if !plan.includes().is_empty() || plan.total() && !plan.summary() {
        return Err(unserved("searched without _include and _total"));
    }
    let sorting = plan.sorting();
    if sorting.asked && !(sorting.descending && sorting.by == crate::query::Order::Date) {
        return Err(unserved("given newest first (_sort=-date)"));
    }
    let parameters = &Definitions::r4().parameters;
    let is = |parameter: ParameterId, name: &str| {
        parameters.named(Kind::AUDIT_EVENT, name).is_some_and(|own| own.id == parameter)
    };
    let codes = |tokens: &[Token], own: &str| {
        let code = |token: &Token| token.value.clone().filter(|_| token.system.as_deref().is_none_or(|of| of == own));
        let codes = tokens.iter().map(code).collect::<Option<Vec<_>>>();
        codes.ok_or_else(|| unserved(&format!("searched by codes of {own}")))
    };
    let mut wanted = Wanted::default();
    for filter in plan.filters() {
        let twice = match filter {
            Filter::Patient(ids) => wanted.patients.replace(ids.clone()).is_some(),
            Filter::Date(ranges) => {
                wanted.dates.push(ranges.clone());
                false
            }
            Filter::Link(parameter, targets) if is(*parameter, "agent") => {
                wanted.agents.replace(targets.clone()).is_some()
            }
            Filter::Column(column, tokens) if column.name() == "c3" => {
                wanted.actions.replace(codes(tokens, ACTION)?).is_some()
            }
            Filter::Column(column, tokens) if column.name() == "c2" => {
                wanted.outcomes.replace(codes(tokens, OUTCOME)?).is_some()
            }
            _ => return Err(unserved("searched otherwise")),
        };
        if twice {
            return Err(unserved("searched by each but date once"));
        }
    }
    Ok(wanted)
}

fn body(door: &Door, page: &Events, noted: &Noted) -> Vec<u8> {
    serde_json::to_vec(&Event::of(page, noted, &noted.id(), &door.base).resource()).unwrap_or_default()
}

/// What the audit is not asked by: nothing refers to an event, and no event is looked at on the way.
pub(super) fn is_aside(plan: &Plan) -> Result<(), Refusal> {
    let named = plan.others().contains(&Kind::AUDIT_EVENT)
        || plan.includes().iter().any(|include| include.kind == Kind::AUDIT_EVENT && include.reverse);
    if named && plan.kind() != Kind::AUDIT_EVENT {
        return Err(Issue::new(Code::UnknownParameter, "AuditEvent is searched alone").into());
    }
    Ok(())
}
