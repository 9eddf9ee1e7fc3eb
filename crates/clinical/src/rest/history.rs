//! Histories: of a resource, of a kind, of all (FHIR R4, section 3.1.0.13).

use super::asking::{Asking, absent, denied, no_address, store_failed};
use super::questions::Questions;
use super::{answer, bundle};
use crate::access::Verb;
use crate::kind::{Id, Kind, Millis};
use crate::moment;
use crate::outcome::{Code, Issue, Issues, Refusal};
use crate::query::CURSOR;
use crate::store::{Counted, Found, HistoryOf, Page};
use axum::response::Response;
use http::StatusCode;
use std::collections::BTreeSet;

/// How many versions a page has where nobody says.
const COUNT: u16 = 50;

/// `GET /fhir/{kind}/{id}/_history`
pub(super) async fn of_one(asking: Asking) -> Response {
    asking.blocking(|asking| asking.history(Some(asking.name(0)?), Some(asking.name(1)?))).await
}

/// `GET /fhir/{kind}/_history`
pub(super) async fn of_kind(asking: Asking) -> Response {
    asking.blocking(|asking| asking.history(Some(asking.name(0)?), None)).await
}

/// `GET /fhir/_history`
pub(super) async fn of_all(asking: Asking) -> Response {
    asking.blocking(|asking| asking.history(None, None)).await
}

/// How an instant is written (FHIR R4, section 2.24.0.1).
pub(super) const INSTANT: &str =
    "write an instant: 2026-11-23T00:00:00Z, or with another zone, 2026-11-23T01:00:00%2B01:00";

/// What is asked of a history.
pub(super) struct Wanted {
    pub(super) count: u16,
    pub(super) since: Option<Millis>,
    pub(super) cursor: Option<String>,
    pub(super) used: Vec<(String, String)>,
}

impl Asking {
    /// SMART gives the history of one resource to who may read it, all others to who may search.
    fn history(&self, name: Option<&str>, id: Option<&str>) -> Result<Response, Refusal> {
        let verb = if id.is_some() { Verb::Read } else { Verb::Search };
        let (caller, kinds, note) = match name {
            Some(name) => {
                let (caller, kind, note) = self.permitted(name, verb)?;
                if kind == Kind::AUDIT_EVENT {
                    return Err(self.refused(&note, no_address("an AuditEvent has no versions")));
                }
                (caller, vec![kind], note)
            }
            None => {
                self.accepts()?;
                let caller = self.caller()?;
                let mut kinds = self.door.clinical.settings().kinds.clone();
                kinds.retain(|kind| denied(&caller, verb, *kind).is_none());
                let note = self.note(&caller, verb, Kind::PATIENT)?;
                if kinds.is_empty() {
                    // An empty history would say that nothing has changed.
                    let why = denied(&caller, verb, Kind::PATIENT).unwrap_or_else(|| absent(Kind::PATIENT));
                    return Err(self.refused(&note, why));
                }
                (caller, kinds, note)
            }
        };
        let wanted = self.wanted()?;
        let (of, path) = match (id, kinds.as_slice()) {
            (Some(id), [kind]) => match Id::read(id) {
                Some(id) => (HistoryOf::One(*kind, id), format!("{kind}/{id}/_history")),
                None => return Err(self.refused(&note, absent(*kind))),
            },
            (_, [kind]) if name.is_some() => (HistoryOf::Kinds(vec![*kind]), format!("{kind}/_history")),
            _ => (HistoryOf::Kinds(kinds.clone()), "_history".to_owned()),
        };
        let binding = format!("{path} {:?} {}", wanted.used, caller.leave());
        let page = Page { count: wanted.count, after: self.unsealed(wanted.cursor.as_deref(), &binding)? };
        let (sight, clinical) = (caller.sight(verb), &self.door.clinical);
        let mut questions = Questions::of(self, &caller, &sight, &kinds);
        if id.is_none() && kinds.iter().all(|kind| sight.only_of(*kind).is_none()) {
            // Nothing leads to those that are in sight.
            questions.take_turn()?;
        }
        let records = clinical.records();
        // FHIR R4 section 3.1.1.5.2: as _summary=count.
        let found = if wanted.count == 0 {
            let total = questions.ask(|limit| records.history_total(&sight, &of, wanted.since, limit))?;
            total.map(|counted| (Found::default(), counted))
        } else {
            let found = questions.ask(|limit| records.history(&sight, &of, wanted.since, &page, limit))?;
            found.map(|found| (found, Counted::default()))
        };
        let Some((mut found, counted)) = found else {
            let kind = kinds.first().copied().unwrap_or(Kind::PATIENT);
            return Err(self.refused(&note, absent(kind)));
        };
        self.complete(&sight, &mut found.resources)?;
        let named =
            if id.is_none() { kinds.iter().flat_map(|kind| sight.patients(*kind)).collect() } else { BTreeSet::new() };
        let named = clinical.records().patients(&named).map_err(|error| store_failed(&error))?;
        let given = found.resources.iter().filter_map(|stored| stored.patient).chain(named);
        let patients = given.chain(found.behind).collect();
        let kind = kinds.first().copied().unwrap_or(Kind::PATIENT);
        self.noted_counting(&caller, note.searching(&path), (kind, patients), &counted.patients)?;
        let next = found.next.as_ref().map(|next| clinical.records().seal(next, &binding));
        let links =
            bundle::Links { path: &path, used: &wanted.used, cursor: wanted.cursor.as_deref(), next: next.as_deref() };
        Ok(answer::resource(StatusCode::OK, bundle::history(&self.door, &links, &found, counted.total)))
    }

    pub(super) fn wanted(&self) -> Result<Wanted, Refusal> {
        let most = self.door.clinical.settings().page_most;
        let mut wanted = Wanted { count: COUNT.min(most), since: None, cursor: None, used: Vec::new() };
        let mut issues = Issues::default();
        for (name, value) in form_urlencoded::parse(self.query().as_bytes()) {
            let wrong = |text: &str, help: &'static str| {
                Some(Issue::new(Code::ParameterValue, format!("{value:?} {text}")).at(&*name).help(help))
            };
            let wrong = match &*name {
                "_count" => match value.parse::<u32>() {
                    Ok(count) => {
                        wanted.count = u16::try_from(count).unwrap_or(u16::MAX).min(most);
                        None
                    }
                    Err(_) => wrong("is no number of resources", "give a whole number from 0"),
                },
                // A plus that is not escaped is read as a space.
                "_since" => match moment::instant(&value.replace(' ', "+")) {
                    Some(since) => {
                        wanted.since = Some(since.low);
                        None
                    }
                    None => wrong("is no instant: date, time and zone", INSTANT),
                },
                // It was asked before what is to be given.
                "_format" => None,
                CURSOR => {
                    wanted.cursor = Some(value.into_owned());
                    continue;
                }
                _ => {
                    let text = format!("this is not asked for by {name:?}");
                    issues.add(Issue::new(Code::UnknownParameter, text).at(&*name).help("give _count, _since or none"));
                    continue;
                }
            };
            match wrong {
                None => wanted.used.push((name.into_owned(), value.into_owned())),
                Some(issue) => issues.add(issue),
            }
        }
        issues.settled()?;
        Ok(wanted)
    }
}
