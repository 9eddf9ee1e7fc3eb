//! Many interactions in one Bundle: a transaction is done whole or not at all, a batch entry by entry
//! (FHIR R4, section 3.1.0.11).

use super::answer;
use super::asking::{Asking, absent, denied, failed, read_whole};
use super::change::{found_id, own_id, read_json, same_id};
use super::condition::Conditions;
use super::entry::{Entry, Renamed};
use super::precondition::{self, Known};
use crate::access::{Caller, Verb};
use crate::json::{self, Limits, Node};
use crate::kind::{Id, Reference};
use crate::moment;
use crate::outcome::{Code, Issue, Refusal};
use crate::store::{Act, Condition, Done, Expected, How};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::header::ETAG;
use http::{Method, StatusCode};
use std::collections::HashSet;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;

/// Entries of a Bundle, at most.
const ENTRIES: usize = 1_000;
/// How long entries are done that are done one by one: who asks waits for the answer no longer than a minute.
const TIME: Duration = Duration::from_secs(45);

/// Bytes of what entries are answered with, together: the one that reaches them is the last that is given.
const BYTES: usize = 16 << 20;

/// `POST /fhir`
pub(super) async fn bundle(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.bundle(&read_whole(body)?, false)).await
}

/// `POST /fhir/$submit-cgm-bundle` (HL7 CGM 1.0.0): a transaction that only creates.
pub(super) async fn submit_cgm_bundle(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.bundle(&read_whole(body)?, true)).await
}

/// What is left to entries that are done one by one.
struct Left {
    until: Instant,
    bytes: usize,
}

impl Left {
    fn new(time: Duration) -> Self {
        Self { until: Instant::now() + time, bytes: BYTES }
    }

    /// Takes off what an entry was answered with.
    fn give(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Whether another entry may be done.
    fn more(&self) -> Result<(), Refusal> {
        if self.bytes == 0 {
            return Err(Issue::new(
                Code::TooMuch,
                "what the entries before gave is all that fits one answer: ask for this one in another Bundle",
            )
            .into());
        }
        if Instant::now() < self.until {
            return Ok(());
        }
        Err(Issue::new(Code::Busy, "the entries before took too long: ask for this one again, in another Bundle")
            .into())
    }
}

/// The Bundle of an operation: itself, or what Parameters give (FHIR R4 section 3.2.0.1).
fn given<'d, 'a>(root: Node<'d, 'a>) -> Node<'d, 'a> {
    if root.member("resourceType").and_then(Node::text).as_deref() != Some("Parameters") {
        return root;
    }
    let list = root.member("parameter");
    list.iter().flat_map(|list| list.items()).find_map(|one| one.member("resource")).unwrap_or(root)
}

/// What an entry became.
enum Answered {
    Done(Done),
    Given { status: StatusCode, tag: String, body: Vec<u8> },
    Refused(Refusal),
}

impl Asking {
    fn bundle(&self, body: &[u8], creates: bool) -> Result<Response, Refusal> {
        self.accepts()?;
        let caller = self.caller()?;
        self.expects_nothing()?;
        answer::is_json(self.headers())?;
        let document = read_json(body, &Limits::BUNDLE)?;
        let root = if creates { given(document.root()) } else { document.root() };
        let text = |name: &str| root.member(name).and_then(Node::text).unwrap_or_default();
        if text("resourceType") != "Bundle" {
            return Err(Issue::new(Code::OtherKind, "resourceType has to be Bundle").at("resourceType").into());
        }
        let list = root.member("entry");
        let entries: Vec<_> = list.iter().flat_map(|list| list.items()).collect();
        if entries.len() > ENTRIES {
            return Err(Issue::new(Code::TooMuch, format!("a Bundle has at most {ENTRIES} entries")).into());
        }
        let bases = self.door.bases();
        let entries = entries.into_iter().enumerate();
        let entries: Vec<_> = entries.map(|(number, node)| (number, Entry::read(node, &bases))).collect();
        match &*text("type") {
            "transaction" => self.transaction(&caller, entries, creates),
            "batch" if !creates => self.batch(entries),
            other => {
                let issue = Issue::new(Code::Entry, format!("a Bundle of the type {other:?} is not one to be done"));
                Err(issue.at("Bundle.type").into())
            }
        }
    }

    fn transaction(
        &self,
        caller: &Caller,
        entries: Vec<(usize, Result<Entry<'_, '_>, Refusal>)>,
        creates: bool,
    ) -> Result<Response, Refusal> {
        let read = entries.into_iter().map(|(number, entry)| entry.map_err(|why| why.of_entry(number)));
        let entries: Vec<Entry<'_, '_>> = read.collect::<Result<_, _>>()?;
        if creates && let Some(number) = entries.iter().position(|entry| entry.method != Method::POST) {
            let issue = Issue::new(Code::Entry, "each entry of this operation is a POST");
            return Err(Refusal::from(issue).of_entry(number));
        }
        let mut answers: Vec<Option<Answered>> = entries.iter().map(|_| None).collect();
        let changes = (0..).zip(&entries).filter(|(_, entry)| entry.method != Method::GET).collect::<Vec<_>>();
        let mut left = Left::new(TIME);
        for (number, done) in self.do_all(caller, &changes)? {
            left.give(done.body.len());
            if let Some(answer) = answers.get_mut(number) {
                *answer = Some(Answered::Done(done));
            }
        }
        left.until = Instant::now() + TIME;
        for (number, entry) in entries.iter().enumerate().filter(|(_, entry)| entry.method == Method::GET) {
            // What was changed stays so: who cannot read is told so in its place.
            let given = self.give(entry, &mut left).unwrap_or_else(Answered::Refused);
            if let Some(answer) = answers.get_mut(number) {
                *answer = Some(given);
            }
        }
        self.answer("transaction-response", answers.into_iter().flatten().collect())
    }

    /// Each entry by itself, as if it were asked alone: whoever may not do it any more, does not.
    fn batch(&self, entries: Vec<(usize, Result<Entry<'_, '_>, Refusal>)>) -> Result<Response, Refusal> {
        let mut left = Left::new(TIME);
        let mut one = |number: usize, entry: &Result<Entry<'_, '_>, Refusal>| {
            let entry = entry.as_ref().map_err(Clone::clone)?;
            if entry.method == Method::GET {
                return self.give(entry, &mut left);
            }
            left.more()?;
            let done = self.do_all(&self.caller()?, &[(number, entry)])?;
            let (_, done) = done.into_iter().next().ok_or_else(|| failed("nothing was done"))?;
            left.give(done.body.len());
            Ok(Answered::Done(done))
        };
        let is_get =
            |entry: &Result<Entry<'_, '_>, Refusal>| entry.as_ref().is_ok_and(|entry| entry.method == Method::GET);
        let mut answers: Vec<(usize, Answered)> = Vec::with_capacity(entries.len());
        for reads in [false, true] {
            let these = entries.iter().filter(|(_, entry)| is_get(entry) == reads);
            let done = |(number, entry): &(usize, _)| (*number, one(*number, entry).unwrap_or_else(Answered::Refused));
            answers.extend(these.map(done));
        }
        answers.sort_by_key(|(number, _)| *number);
        self.answer("batch-response", answers.into_iter().map(|(_, answer)| answer).collect())
    }

    /// Does all these entries or none; what each became, with itself where that is wanted.
    fn do_all(&self, caller: &Caller, entries: &[(usize, &Entry<'_, '_>)]) -> Result<Vec<(usize, Done)>, Refusal> {
        let Some((number, first)) = entries.first() else { return Ok(Vec::new()) };
        let kind = self.kind(&first.kind).map_err(|why| why.of_entry(*number))?;
        let note = self.note(caller, first.verb(), kind)?;
        for (number, entry) in entries {
            let allowed = self.kind(&entry.kind).and_then(|kind| match denied(caller, entry.verb(), kind) {
                Some(why) => Err(why),
                None => Ok(()),
            });
            allowed.map_err(|why| self.refused(&note, why.of_entry(*number)))?;
        }
        // The order of the interactions is deletes, creates, updates, whatever that of the entries is.
        let mut order: Vec<_> = entries.to_vec();
        order.sort_by_key(|(_, entry)| match entry.method {
            Method::DELETE => 0,
            Method::POST => 1,
            _ => 2,
        });
        let numbers: Vec<usize> = order.iter().map(|(number, _)| *number).collect();
        let place = |act: usize| numbers.get(act).copied();
        let done = self.settle(caller, &note, place, |conditions| self.acts(caller, &order, conditions))?;
        let whole = self.wants_whole();
        let done = done.into_iter().map(|mut done| {
            if !whole {
                done.body = Vec::new();
            }
            done
        });
        Ok(numbers.iter().copied().zip(done).collect())
    }

    /// What the entries ask for, at this moment.
    fn acts(
        &self,
        caller: &Caller,
        order: &[(usize, &Entry<'_, '_>)],
        conditions: &mut Conditions<'_>,
    ) -> Result<Vec<Act>, Refusal> {
        let (mut found, mut asked) = (Vec::with_capacity(order.len()), HashSet::new());
        let mut renamed = Renamed::default();
        for (number, entry) in order {
            let resolved = self.resolve(entry, conditions).map_err(|why| why.of_entry(*number))?;
            if resolved.1.is_some() && !asked.insert((entry.kind.as_str(), entry.condition())) {
                let issue = Issue::new(Code::Twice, "another entry has the same condition");
                return Err(Refusal::from(issue).of_entry(*number));
            }
            if let (Some(full), Some(id)) = (&entry.full, resolved.0) {
                // Whom others mean by it is not guessed (Bundle, invariant bdl-7).
                if renamed.knows(full) {
                    let issue = Issue::new(Code::Twice, "another entry has the same fullUrl");
                    return Err(Refusal::from(issue).of_entry(*number));
                }
                renamed.name(full, format!("{}/{id}", entry.kind));
            }
            found.push(resolved);
        }
        let mut taken = HashSet::new();
        let mut acts = Vec::with_capacity(order.len());
        for ((number, entry), (id, condition)) in order.iter().zip(found) {
            self.conditional_references(entry, conditions, &mut renamed).map_err(|why| why.of_entry(*number))?;
            let act = self.entry_act(caller, entry, id, condition, &renamed).map_err(|why| why.of_entry(*number))?;
            if !matches!(act, Act::Find { .. }) && !taken.insert((act.kind(), act.id())) {
                let issue = Issue::new(Code::Twice, "another entry is about the same resource");
                return Err(Refusal::from(issue).of_entry(*number));
            }
            acts.push(act);
        }
        Ok(acts)
    }

    /// The resource that an entry is about, or will be; and its condition.
    fn resolve(
        &self,
        entry: &Entry<'_, '_>,
        conditions: &mut Conditions<'_>,
    ) -> Result<(Option<Id>, Option<Condition>), Refusal> {
        let kind = self.kind(&entry.kind)?;
        if let Some(query) = entry.condition() {
            let condition = conditions.find(kind, query)?;
            if let (Some(resource), &Method::PUT) = (entry.resource, &entry.method) {
                found_id(resource, condition.is)?;
            }
            let id = condition.is.unwrap_or_else(|| self.door.clinical.records().fresh_id());
            return Ok((Some(id), Some(condition)));
        }
        if entry.method == Method::POST {
            return Ok((Some(self.door.clinical.records().fresh_id()), None));
        }
        let text = entry.id.as_deref().unwrap_or_default();
        let id = if entry.method == Method::PUT {
            own_id(kind, text)?
        } else {
            Id::read(text).ok_or_else(|| absent(kind))?
        };
        Ok((Some(id), None))
    }

    /// References by a search: `Patient?identifier=…` names the one that is found.
    fn conditional_references(
        &self,
        entry: &Entry<'_, '_>,
        conditions: &mut Conditions<'_>,
        renamed: &mut Renamed,
    ) -> Result<(), Refusal> {
        let Some(resource) = entry.resource else { return Ok(()) };
        let mut wanted = Vec::new();
        Renamed::each_reference(resource, &mut |_, text| {
            if text.contains('?') && Reference::read(text, &[]).is_none() && !renamed.knows(text) {
                wanted.push(text.to_owned());
            }
        });
        for text in wanted {
            let (name, query) = text.split_once('?').unwrap_or_default();
            let kind = self.kind(name)?;
            let found = conditions.find(kind, query)?.is;
            let id = found.ok_or_else(|| Issue::new(Code::Reference, format!("there is no such {kind}")))?;
            renamed.name(&text, format!("{kind}/{id}"));
        }
        Ok(())
    }

    fn entry_act(
        &self,
        caller: &Caller,
        entry: &Entry<'_, '_>,
        id: Option<Id>,
        condition: Option<Condition>,
        renamed: &Renamed,
    ) -> Result<Act, Refusal> {
        let kind = self.kind(&entry.kind)?;
        let id = id.ok_or_else(|| absent(kind))?;
        let expected = entry.if_match.as_deref().map_or(Ok(Expected::Anything), precondition::expected)?;
        if entry.method == Method::DELETE {
            return Ok(Act::Delete { kind, id, expected, condition });
        }
        let resource = entry.resource.ok_or_else(|| Issue::new(Code::Entry, "the entry has no resource"))?;
        let matched = condition.as_ref().is_some_and(|condition| condition.is.is_some());
        let verb =
            if entry.method == Method::PUT && (matched || condition.is_none()) { Verb::Update } else { Verb::Create };
        if entry.method == Method::PUT && condition.is_none() {
            same_id(resource, id.as_str())?;
        }
        let to = match renamed.rewritten(resource, entry.root()) {
            None => self.prepared(caller, verb, kind, resource)?,
            Some(text) => self.prepared(caller, verb, kind, read_json(&text, &Limits::BUNDLE)?.root())?,
        };
        if verb == Verb::Update {
            return Ok(Act::Update { id, to, expected, condition, bases: self.door.bases() });
        }
        expected.is_met_by_none()?;
        match (denied(caller, Verb::Create, kind), condition) {
            (Some(why), _) => Err(why),
            (None, Some(condition)) if matched => {
                Ok(Act::Find { kind, id, condition, of: to.patient(), whole: self.wants_whole() })
            }
            (None, condition) => Ok(Act::Create { id, to, condition }),
        }
    }

    /// What an entry asks to be read.
    fn give(&self, entry: &Entry<'_, '_>, left: &mut Left) -> Result<Answered, Refusal> {
        left.more()?;
        let response = match &entry.id {
            Some(id) => self.read((&entry.kind, id), None, &Known::by_tags(&entry.if_none_match))?,
            None => self.search(&entry.kind, entry.query.as_deref().unwrap_or_default())?,
        };
        let (head, body) = response.into_parts();
        let body = Handle::current().block_on(axum::body::to_bytes(body, usize::MAX));
        let body = body.map_err(|_| failed("an entry was not read"))?.to_vec();
        left.give(body.len());
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Answered::Given { status: head.status, tag: header(ETAG), body })
    }

    fn answer(&self, of: &str, answers: Vec<Answered>) -> Result<Response, Refusal> {
        let mut out = format!("{{\"resourceType\":\"Bundle\",\"type\":\"{of}\"").into_bytes();
        let mut separator: &[u8] = b",\"entry\":[";
        let any = !answers.is_empty();
        for answer in answers {
            out.extend_from_slice(separator);
            separator = b",";
            self.entry(answer, &mut out);
        }
        out.extend_from_slice(if any { b"]}" } else { b"}" });
        Ok(answer::resource(StatusCode::OK, out))
    }

    fn entry(&self, answer: Answered, out: &mut Vec<u8>) {
        let (body, status, location, tag, modified, outcome) = match answer {
            Answered::Done(done) => {
                let status = match done.how {
                    How::Created => StatusCode::CREATED,
                    How::Updated | How::Found => StatusCode::OK,
                    How::Deleted => StatusCode::NO_CONTENT,
                };
                let location = match done.how {
                    How::Deleted => String::new(),
                    _ => format!("{}/{}/{}/_history/{}", self.door.base, done.kind, done.id, done.version),
                };
                let tag = format!("W/\"{}\"", done.version);
                (done.body, status, location, tag, moment::written(done.updated), Vec::new())
            }
            Answered::Given { status, tag, body } => (body, status, String::new(), tag, String::new(), Vec::new()),
            Answered::Refused(why) => {
                (Vec::new(), why.status, String::new(), String::new(), String::new(), why.outcome())
            }
        };
        out.push(b'{');
        if !body.is_empty() {
            out.extend_from_slice(b"\"resource\":");
            out.extend_from_slice(&body);
            out.push(b',');
        }
        out.extend_from_slice(b"\"response\":{\"status\":");
        json::text(&format!("{} {}", status.as_str(), status.canonical_reason().unwrap_or_default()), out);
        for (name, value) in [("location", location), ("etag", tag), ("lastModified", modified)] {
            if !value.is_empty() {
                out.push(b',');
                json::member(name, out);
                json::text(&value, out);
            }
        }
        if !outcome.is_empty() {
            out.extend_from_slice(b",\"outcome\":");
            out.extend_from_slice(&outcome);
        }
        out.extend_from_slice(b"}}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-FHIR-44.
    #[test]
    fn entries_have_their_time() {
        assert_eq!(Left::new(Duration::ZERO).more().map_err(|why| why.code()), Err(Code::Busy));
        assert!(Left::new(TIME).more().is_ok());
    }
}
