//! The interactions that change: create, update, delete, each also under a condition (FHIR R4, sections 3.1.0.4 to 3.1.0.8).

use super::answer;
use super::asking::{Asking, denied, failed, insert, read_whole, store_failed};
use super::condition::Conditions;
use crate::access::{Caller, Verb};
use crate::audit::Note;
use crate::definitions::Definitions;
use crate::json::{Document, Limits, Node};
use crate::kind::{Id, Kind};
use crate::moment;
use crate::outcome::{Code, Issue, Refusal};
use crate::query::Handling;
use crate::store::{Act, Condition, Done, Expected, How, Unapplied};
use crate::subscription::{Channel, Wanted, with_status};
use crate::validate::{self, Asked, Prepared};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;
use http::header::{ETAG, LAST_MODIFIED, LOCATION};

/// How long a subscription of software is told that says no end, in seconds.
const YEAR: i64 = 31_536_000;
/// How often a request is read again because what its condition finds has changed meanwhile.
const TRIES: usize = 8;

/// `POST /fhir/{kind}`
pub(super) async fn create(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.create(asking.name(0)?, &read_whole(body)?)).await
}

/// `PUT /fhir/{kind}/{id}`
pub(super) async fn update(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.update(asking.name(0)?, Some(asking.name(1)?), &read_whole(body)?)).await
}

/// `PUT /fhir/{kind}?…`
pub(super) async fn update_if(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.update(asking.name(0)?, None, &read_whole(body)?)).await
}

/// `DELETE /fhir/{kind}/{id}`
pub(super) async fn delete(asking: Asking) -> Response {
    asking.blocking(|asking| asking.delete(asking.name(0)?, Some(asking.name(1)?))).await
}

/// `DELETE /fhir/{kind}?…`
pub(super) async fn delete_if(asking: Asking) -> Response {
    asking.blocking(|asking| asking.delete(asking.name(0)?, None)).await
}

impl Asking {
    fn create(&self, name: &str, body: &[u8]) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Create)?;
        let unless = self.unless()?;
        let document = self.document(body)?;
        let done = self.settle(
            &caller,
            &note,
            |_| None,
            |conditions| {
                let to = self.prepared(&caller, Verb::Create, kind, document.root())?;
                let condition = unless.map(|search| conditions.find(kind, search)).transpose()?;
                Ok(vec![self.create_act(to, condition)])
            },
        )?;
        self.changed(done)
    }

    /// What a create becomes: nothing, where its condition finds something.
    pub(super) fn create_act(&self, to: Prepared, condition: Option<Condition>) -> Act {
        match condition {
            Some(condition) if condition.is.is_some() => {
                let id = condition.is.unwrap_or_else(|| self.door.clinical.records().fresh_id());
                Act::Find { kind: to.kind(), id, condition, of: to.patient(), whole: self.wants_whole() }
            }
            condition => Act::Create { id: self.door.clinical.records().fresh_id(), to, condition },
        }
    }

    fn update(&self, name: &str, id: Option<&str>, body: &[u8]) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Update)?;
        let document = self.document(body)?;
        let expected = self.expected()?;
        let done = self.settle(
            &caller,
            &note,
            |_| None,
            |conditions| {
                let to = self.prepared(&caller, Verb::Update, kind, document.root())?;
                let act = match id {
                    Some(id) => {
                        let id = own_id(kind, id)?;
                        same_id(document.root(), id.as_str())?;
                        Act::Update { id, to, expected: expected.clone(), condition: None, bases: self.door.bases() }
                    }
                    None => {
                        let condition = conditions.find(kind, self.query())?;
                        found_id(document.root(), condition.is)?;
                        self.update_act(&caller, to, expected.clone(), condition)?
                    }
                };
                Ok(vec![act])
            },
        )?;
        self.changed(done)
    }

    /// What an update under a condition becomes: a new resource, where the condition finds none.
    pub(super) fn update_act(
        &self,
        caller: &Caller,
        to: Prepared,
        expected: Expected,
        condition: Condition,
    ) -> Result<Act, Refusal> {
        if let Some(id) = condition.is {
            return Ok(Act::Update { id, to, expected, condition: Some(condition), bases: self.door.bases() });
        }
        expected.is_met_by_none()?;
        match denied(caller, Verb::Create, to.kind()) {
            Some(why) => Err(why),
            None => Ok(self.create_act(to, Some(condition))),
        }
    }

    fn delete(&self, name: &str, id: Option<&str>) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Delete)?;
        let expected = self.expected()?;
        self.settle(
            &caller,
            &note,
            |_| None,
            |conditions| {
                let (id, condition) = match id {
                    Some(id) => (Id::read(id), None),
                    None => {
                        let condition = conditions.find(kind, self.query())?;
                        (condition.is, Some(condition))
                    }
                };
                if id.is_none() {
                    expected.is_met_by_none()?;
                }
                let act = id.map(|id| Act::Delete { kind, id, expected: expected.clone(), condition });
                Ok(act.into_iter().collect())
            },
        )?;
        Ok(answer::empty(StatusCode::NO_CONTENT))
    }

    pub(super) fn document<'a>(&self, body: &'a [u8]) -> Result<Document<'a>, Refusal> {
        answer::is_json(self.headers())?;
        read_json(body, &Limits::RESOURCE)
    }

    /// The resource, checked, with what is written beside it of who writes it.
    pub(super) fn prepared(
        &self,
        caller: &Caller,
        verb: Verb,
        kind: Kind,
        resource: Node<'_, '_>,
    ) -> Result<Prepared, Refusal> {
        if kind == Kind::SUBSCRIPTION {
            return self.subscription(caller, resource);
        }
        let mark = caller.mark(verb, kind).map(|code| code.as_str());
        let prepared = validate::prepare(resource, Definitions::r4(), Asked { kind, bases: &self.door.bases(), mark })?;
        Ok(if verb == Verb::Create { prepared.refers_to_what_is()? } else { prepared })
    }

    /// A Subscription, whose status is ours to say, in the name of who writes it.
    fn subscription(&self, caller: &Caller, resource: Node<'_, '_>) -> Result<Prepared, Refusal> {
        let (clinical, bases) = (&self.door.clinical, self.door.bases());
        let asked = Asked { kind: Kind::SUBSCRIPTION, bases: &bases, mark: None };
        validate::prepare(resource, Definitions::r4(), asked)?;
        let wanted = Wanted::read(resource)?;
        let kind = self.kind(wanted.kind.name())?;
        if let Some(why) = denied(caller, Verb::Search, kind).or_else(|| denied(caller, Verb::Read, kind)) {
            return Err(why);
        }
        let plan = self.plan(kind, &wanted.query, Handling::Strict)?;
        for other in plan.others() {
            if let Some(why) = denied(caller, Verb::Search, *other) {
                return Err(why);
            }
        }
        let wrong = |text: String, at: &'static str| Refusal::from(Issue::new(Code::Subscription, text).at(at));
        if wanted.channel == Channel::RestHook
            && let Err(why) = clinical.key_sets().outbound().allows(&wanted.endpoint)
        {
            return Err(wrong(why.to_string(), "Subscription.channel.endpoint"));
        }
        let now = clinical.clock().now().unix();
        let until = wanted.until.map_or(i64::MAX, |until| until.div_euclid(1_000)).min(now.saturating_add(YEAR));
        if until <= now {
            return Err(wrong("it has ended already".to_owned(), "Subscription.end"));
        }
        if plan.is_by_system() {
            // It would be looked for at each change, and no index leads there.
            let text = "an identifier is named with its value".to_owned();
            return Err(wrong(text, "Subscription.criteria"));
        }
        let subscriber = caller.subscriber(until);
        if subscriber.is_none() {
            return Err(Issue::new(Code::Denied, "a device is told nothing: software is").into());
        }
        let text = with_status(resource, if wanted.active { "active" } else { "off" }, None);
        let document = read_json(&text, &Limits::BUNDLE)?;
        let prepared = validate::prepare(document.root(), Definitions::r4(), asked)?;
        let named = self.about(&caller.sight(Verb::Search), &plan, false)?;
        Ok(prepared.subscribed(subscriber.filter(|_| wanted.active)).naming(named))
    }

    /// Does what a request asks, each act for the entry of a Bundle that `place` gives; reads it again while what its conditions find changes.
    pub(super) fn settle(
        &self,
        caller: &Caller,
        note: &Note,
        place: impl Fn(usize) -> Option<usize>,
        read: impl Fn(&mut Conditions<'_>) -> Result<Vec<Act>, Refusal>,
    ) -> Result<Vec<Done>, Refusal> {
        let mut conditions = Conditions::of(self, caller);
        for _ in 0..TRIES {
            let acts = read(&mut conditions);
            let about_these = note.clone().of_patients(conditions.patients());
            let acts = acts.map_err(|why| self.refused(&about_these, why))?;
            let about: Vec<_> = acts.iter().map(|act| (act.verb(), act.kind(), act.id())).collect();
            let applied = self.door.clinical.records().apply(caller, acts, &about_these);
            conditions.end();
            match applied {
                Ok(done) => {
                    if done.iter().any(Done::ends_accounts) {
                        self.door.clinical.forget_ended(self.door.clinical.clock().now().unix());
                    }
                    return Ok(done);
                }
                Err(Unapplied::Changed) => {}
                Err(Unapplied::Refused { act, why }) => {
                    let consents = match about.get(act) {
                        Some((verb, kind, id)) => {
                            let sight = caller.sight_to_write(*verb);
                            let found = self.door.clinical.records().denying(&sight, *kind, id);
                            found.map_err(|error| store_failed(&error))?
                        }
                        None => Vec::new(),
                    };
                    let why = place(act).map_or(why.clone(), |number| why.of_entry(number));
                    return Err(self.refused(&about_these.decided_by(consents), why));
                }
                Err(Unapplied::Store(error)) => {
                    let why = store_failed(&error);
                    // That nothing else was in the way tells of whom the conditions are about.
                    return Err(if about_these.is_of_patients() { self.refused(&about_these, why) } else { why });
                }
            }
        }
        let about_these = note.clone().of_patients(conditions.patients());
        Err(self.refused(&about_these, Issue::new(Code::Version, "others change it all the time").into()))
    }

    /// Whether who changes something wants it back.
    pub(super) fn wants_whole(&self) -> bool {
        answer::prefers(self.headers(), "return=representation")
    }

    /// The answer to one change.
    fn changed(&self, done: Vec<Done>) -> Result<Response, Refusal> {
        let done = done.into_iter().next().ok_or_else(|| failed("nothing was done"))?;
        let status = if done.how == How::Created { StatusCode::CREATED } else { StatusCode::OK };
        let address = format!("{}/{}/{}/_history/{}", self.door.base, done.kind, done.id, done.version);
        let whole = self.wants_whole() && !done.body.is_empty();
        let mut response = if whole { answer::resource(status, done.body) } else { answer::empty(status) };
        let headers = response.headers_mut();
        insert(headers, LOCATION, &address);
        insert(headers, ETAG, &format!("W/\"{}\"", done.version));
        insert(headers, LAST_MODIFIED, &moment::http_date(done.updated));
        Ok(response)
    }
}

pub(super) fn read_json<'a>(body: &'a [u8], limits: &Limits) -> Result<Document<'a>, Refusal> {
    let wrong = |error: crate::json::Error| Refusal::from(Issue::new(Code::Json, error.to_string()));
    Document::read(body, limits).map_err(wrong)
}

/// The identifier to which a resource is sent: one that was given here, since nobody else makes one (FHIR R4, section 3.1.0.4.1).
pub(super) fn own_id(kind: Kind, id: &str) -> Result<Id, Refusal> {
    Id::read(id).ok_or_else(|| {
        let shown: String = id.chars().take(64).collect();
        let text = format!("{shown:?} is no identifier that was given here, and others are not taken");
        let help = format!(
            "send it with POST to {kind}, or with PUT to {kind}?identifier=SYSTEM|VALUE: then it has yours too"
        );
        Issue::new(Code::NotSupported, text).at("id").help(help).into()
    })
}

/// A resource that is sent to an address has its id.
pub(super) fn same_id(resource: Node<'_, '_>, id: &str) -> Result<(), Refusal> {
    if resource.member("id").and_then(Node::text).as_deref() == Some(id) {
        return Ok(());
    }
    Err(Issue::new(Code::OtherId, format!("the resource has to have the id {id:?}")).at("id").into())
}

/// One that is sent with a condition has the id of what that finds, or none: where nothing is found an id is given here (FHIR R4 section
/// 3.1.0.4.3).
pub(super) fn found_id(resource: Node<'_, '_>, found: Option<Id>) -> Result<(), Refusal> {
    match (resource.member("id").and_then(Node::text), found) {
        (None, _) => Ok(()),
        (Some(named), Some(found)) if named == found.as_str() => Ok(()),
        (Some(_), Some(found)) => {
            let text = format!("the condition finds {found}: the resource has this id, or none");
            Err(Issue::new(Code::OtherId, text).at("id").into())
        }
        (Some(_), None) => {
            let text = "the condition finds none, and a new resource gets its id here: leave it out";
            Err(Issue::new(Code::OtherId, text).at("id").into())
        }
    }
}
