//! The interactions that read: read, version, search.

use super::asking::{Asking, absent, denied, insert, no_address, read_whole, store_failed};
use super::precondition::Known;
use super::questions::Questions;
use super::{answer, audit, bundle};
use crate::access::{Reach, Sight, Verb};
use crate::audit::Note;
use crate::definitions::Definitions;
use crate::kind::{Id, Kind, Row, Version};
use crate::moment;
use crate::outcome::{Code, Issue, Refusal};
use crate::query::{self, Handling, Terms};
use crate::store::{Found, Page, Stored};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;
use http::header::{ALLOW, CONTENT_TYPE, ETAG, LAST_MODIFIED};

/// `GET /fhir/{kind}/{id}`
pub(super) async fn read(asking: Asking) -> Response {
    asking.blocking(|asking| asking.read((asking.name(0)?, asking.name(1)?), None, &asking.known())).await
}

/// `GET /fhir/{kind}/{id}/_history/{version}`
pub(super) async fn version(asking: Asking) -> Response {
    asking
        .blocking(|asking| asking.read((asking.name(0)?, asking.name(1)?), Some(asking.name(2)?), &asking.known()))
        .await
}

/// `GET /fhir/{kind}?…`
pub(super) async fn search(asking: Asking) -> Response {
    asking.blocking(|asking| asking.search(asking.name(0)?, asking.query())).await
}

/// `POST /fhir/{kind}/_search`
pub(super) async fn search_by_form(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking
        .blocking(move |asking| {
            let of = asking.header(&CONTENT_TYPE);
            if of.split(';').next().unwrap_or_default().trim() != "application/x-www-form-urlencoded" {
                let text = "a search is posted as application/x-www-form-urlencoded";
                return Err(Issue::new(Code::MediaType, text).into());
            }
            let body = read_whole(body)?;
            let form = String::from_utf8_lossy(&body);
            // What stands in the address counts too.
            asking.search(asking.name(0)?, &[asking.query(), form.as_ref()].join("&"))
        })
        .await
}

/// An address that is not served.
pub(super) async fn nowhere(asking: Asking) -> Response {
    // Whoever has no token learns nothing, not even this.
    asking
        .blocking(|asking| {
            asking.caller()?;
            Err(no_address(format!("{} is not served", asking.shown())))
        })
        .await
}

/// A method that is not served where others are: the router says which.
pub(super) async fn other_method(asking: Asking) -> Response {
    let refused = asking.blocking(|asking| {
        asking.caller()?;
        Err(Issue::new(Code::NotSupported, format!("{} is not served", asking.shown())).into())
    });
    let mut response = refused.await;
    response.headers_mut().remove(ALLOW);
    response
}

/// A resource, unless it is what its reader has.
fn given(stored: Stored, known: &Known) -> Response {
    let modified = moment::http_date(stored.updated);
    let same = known.is(stored.version, &modified);
    let mut response =
        if same { answer::empty(StatusCode::NOT_MODIFIED) } else { answer::resource(StatusCode::OK, stored.body) };
    insert(response.headers_mut(), ETAG, &format!("W/\"{}\"", stored.version));
    insert(response.headers_mut(), LAST_MODIFIED, &modified);
    response
}

impl Asking {
    pub(super) fn read(
        &self,
        (name, id): (&str, &str),
        version: Option<&str>,
        known: &Known,
    ) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Read)?;
        if id.starts_with('$') {
            return Err(self.refused(&note, no_address(format!("there is no such operation: {}", self.shown()))));
        }
        if kind == Kind::AUDIT_EVENT {
            return match version {
                None => self.audit_event(&caller, &note, id),
                Some(_) => Err(no_address("an AuditEvent has no versions")),
            };
        }
        let (sight, records) = (caller.sight(Verb::Read), self.door.clinical.records());
        let found = match (Id::read(id), version.map(Version::read)) {
            (Some(id), None) => records.read(&sight, kind, &id),
            (Some(id), Some(Some(version))) => records.version(&sight, kind, &id, version),
            _ => Ok(None),
        };
        let Some(mut stored) = found.map_err(|error| store_failed(&error))? else {
            return Err(self.unseen(note, &sight, kind, id));
        };
        self.complete(&sight, [&mut stored])?;
        let patients = stored.patient.into_iter().collect();
        let note = note.about(kind, Some(stored.row), Some(stored.version), patients);
        if stored.gone {
            let gone = Issue::new(Code::Gone, format!("this {kind} was deleted"));
            return Err(self.refused(&note, gone.into()));
        }
        self.noted(note)?;
        Ok(given(stored, known))
    }

    /// That there is none in sight, noted with the consents by which it is so. What is not there is looked for in the same way.
    pub(super) fn unseen(&self, note: Note, sight: &Sight, kind: Kind, id: &str) -> Refusal {
        let consents = match Id::read(id) {
            Some(id) => self.door.clinical.records().denying(sight, kind, &id),
            None => Ok(Vec::new()),
        };
        match consents {
            Ok(consents) => self.refused(&note.decided_by(consents), absent(kind)),
            Err(error) => store_failed(&error),
        }
    }

    pub(super) fn search(&self, name: &str, query: &str) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Search)?;
        let clinical = &self.door.clinical;
        let lenient = answer::prefers(self.headers(), "handling=lenient");
        let handling = if lenient { Handling::Lenient } else { Handling::Unsaid };
        // What is posted says it too.
        answer::accepts(self.headers(), query)?;
        let (plan, sight) = (self.plan(kind, query, handling)?, caller.sight(Verb::Search));
        let mut questions = Questions::of(self, &caller, &sight, &[kind]);
        if plan.is_by_system() || plan.is_wide() && sight.only_of(kind).is_none() {
            questions.take_turn()?;
        }
        if kind == Kind::AUDIT_EVENT {
            return self.audit_search(&caller, note, (&plan, query), &mut questions);
        }
        // What is looked at on the way is looked for too.
        for other in plan.others() {
            self.kind(other.name())?;
            if let Some(why) = denied(&caller, Verb::Search, *other) {
                return Err(self.refused(&note, why));
            }
        }
        let records = clinical.records();
        let binding = format!("{kind} {:?} {}", plan.used(), caller.leave());
        let page = Page { count: plan.count(), after: self.unsealed(plan.cursor(), &binding)? };
        let counted =
            if plan.total() { Some(questions.ask(|limit| records.total(&sight, &plan, limit))?) } else { None };
        let mut found = if plan.summary() {
            Found::default()
        } else {
            questions.ask(|limit| records.search(&sight, &plan, &page, limit))?
        };
        self.complete(&sight, &mut found.resources)?;
        let (read, bases) = (caller.sight(Verb::Read), self.door.bases());
        let listed = read.clone().common(&sight);
        let include = |limit| records.included((&read, &listed), &plan, &found.resources, &bases, limit);
        let included = if plan.includes().is_empty() { Some(Vec::new()) } else { questions.ask(include)? };
        let many = || match found.resources.len() {
            0 | 1 => "more comes with this one resource than is given: search by itself for what refers to it",
            _ => "more comes with this page than is given: lower _count",
        };
        let given = found.resources.iter().chain(included.iter().flatten()).filter_map(|stored| stored.patient);
        let mut patients: Vec<_> = given.chain(self.about(&sight, &plan, !found.resources.is_empty())?).collect();
        patients.extend(found.behind);
        let whose: &[Row] = counted.as_ref().map_or(&[], |counted| &counted.patients);
        self.noted_counting(&caller, note.searching(query), (kind, patients), whose)?;
        let mut included = included.ok_or_else(|| Issue::new(Code::TooMuch, many()))?;
        self.complete(&sight, &mut included)?;
        let total = counted.map(|counted| counted.total);
        let next = found.next.as_ref().map(|next| records.seal(next, &binding));
        let page = bundle::Searched { plan: &plan, found: &found, included: &included, total, next: next.as_deref() };
        Ok(answer::resource(StatusCode::OK, bundle::searchset(&self.door, &page)))
    }

    /// Those whom a search is about, whatever it finds: that nothing of theirs is there is told of them too. Who finds is given what was
    /// found, with whose it is.
    pub(super) fn about(&self, sight: &Sight, plan: &query::Plan, has_found: bool) -> Result<Vec<Row>, Refusal> {
        if let Some(Reach::Patient(own)) = sight.only_of(plan.kind()) {
            return Ok(vec![own]);
        }
        let mut named = plan.patients();
        named.extend(sight.patients(plan.kind()));
        if named.is_empty() || has_found && named.len() == 1 && plan.is_of_patients() {
            return Ok(Vec::new());
        }
        self.door.clinical.records().patients(&named).map_err(|error| store_failed(&error))
    }

    /// A search as it was asked.
    pub(super) fn plan(&self, kind: Kind, query: &str, handling: Handling) -> Result<query::Plan, Refusal> {
        if query.len() > query::LENGTH {
            return Err(Issue::new(Code::TooMuch, format!("a search has at most {} bytes", query::LENGTH)).into());
        }
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let most = self.door.clinical.settings().page_most;
        let terms = Terms { handling, most, bases: &self.door.bases() };
        let plan = query::plan(kind, &pairs, terms, Definitions::r4())?;
        audit::is_aside(&plan)?;
        Ok(plan)
    }
}
