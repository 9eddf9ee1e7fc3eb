//! `$break-glass` and `$broken-glass`: a patient's data in an emergency, and what the patient is told of it.

use super::answer;
use super::asking::{Asking, absent, no_address, read_whole, store_failed, too_late};
use super::change::read_json;
use crate::access::{Sight, Verb};
use crate::audit::Note;
use crate::consent::{Broken, Reason};
use crate::json::{Limits, Node};
use crate::kind::{Id, Kind, Millis};
use crate::moment;
use crate::outcome::{Code, Issue, Refusal};
use crate::query::{Handling, Plan};
use crate::store::{NewGlass, Stored};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;
use serde_json::{Value, json};

/// `POST /fhir/Patient/{id}/$break-glass`
pub(super) async fn break_glass(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.break_glass(asking.name(0)?, Some(asking.name(1)?), &read_whole(body)?)).await
}

/// `POST /fhir/Patient/$break-glass`: of the patient with an identifier, since whom a consent hides no search finds.
pub(super) async fn break_glass_of_identified(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.break_glass(asking.name(0)?, None, &read_whole(body)?)).await
}

/// `GET /fhir/Patient/{id}/$broken-glass`
pub(super) async fn broken_glass(asking: Asking) -> Response {
    asking.blocking(|asking| asking.broken_glass(asking.name(0)?, asking.name(1)?)).await
}

impl Asking {
    /// Somebody of the staff says why; then what the token's rights reach of this patient is in sight for a while, whatever
    /// consents say.
    fn break_glass(&self, name: &str, id: Option<&str>, body: &[u8]) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Read)?;
        self.of_patient(kind)?;
        let Some((person, client)) = caller.staff() else {
            let text = "the glass is broken by a person of the staff, and by nobody else";
            let issue = Issue::new(Code::Denied, text).help("sign in as one of the staff");
            return Err(self.refused(&note, issue.into()));
        };
        answer::is_json(self.headers())?;
        let document = read_json(body, &Limits::RESOURCE)?;
        let said = parameter(document.root(), "reason", "valueString").and_then(Node::text);
        let reason = said.as_deref().and_then(Reason::read).ok_or_else(|| {
            let text = "say why in the parameter reason: 8 to 500 characters, which the patient will read";
            let help = r#"send {"resourceType":"Parameters","parameter":[{"name":"reason","valueString":"…"}]}"#;
            Issue::new(Code::ParameterValue, text).at("Parameters.parameter.where(name = 'reason')").help(help)
        })?;
        let (clinical, unruled) = (&self.door.clinical, caller.sight(Verb::Read).unruled());
        let found = match (id, id.and_then(Id::read)) {
            (None, _) => self.identified(&note, &unruled, document.root())?,
            (_, Some(id)) => clinical.records().read(&unruled, kind, &id).map_err(|error| store_failed(&error))?,
            (_, None) => None,
        };
        let Some(patient) = found.filter(|found| !found.gone) else {
            return Err(self.refused(&note, absent(kind)));
        };
        let reference = format!("Patient/{}", patient.id);
        let made = caller.at();
        let until = Millis(made.0.saturating_add(clinical.settings().glass_seconds.saturating_mul(1_000)));
        let note = note.about(kind, Some(patient.row), Some(patient.version), vec![patient.row]);
        let note = note.breaking_glass(reason.as_str());
        tracing::warn!(patient = %patient.id, client, reason = reason.as_str(), "the glass is broken");
        let glass = NewGlass {
            leave: caller.leave(),
            client: client.to_owned(),
            person,
            patient: patient.row,
            reason,
            made,
            until,
        };
        clinical.records().break_glass(glass, note).map_err(|error| store_failed(&error))?;
        Ok(parameters(&json!([
            { "name": "until", "valueInstant": moment::written(until) },
            { "name": "patient", "valueReference": { "reference": reference } },
        ])))
    }

    /// The one patient with the identifier that the parameter of that name gives. That there are several is told to each of them.
    fn identified(&self, note: &Note, sight: &Sight, root: Node<'_, '_>) -> Result<Option<Stored>, Refusal> {
        let plan = self.identifying(root).map_err(|why| self.refused(note, why))?;
        let (records, limit) = (self.door.clinical.records(), self.door.clinical.settings().search_limit);
        let late = |error| self.refused(note, too_late(error));
        let found = records.matching(sight, &plan, limit).map_err(late)?;
        if found.len() > 1 {
            let these = note.clone().of_patients(records.whose(sight, &plan, limit).map_err(late)?);
            let many = Issue::new(Code::ManyMatches, "there is more than one such Patient");
            return Err(self.refused(&these, many.into()));
        }
        Ok(found.into_iter().next())
    }

    fn identifying(&self, root: Node<'_, '_>) -> Result<Plan, Refusal> {
        let identifier = parameter(root, "identifier", "valueIdentifier");
        let text = |name: &str| identifier.and_then(|node| node.member(name)).and_then(Node::text);
        // A system without a value would be all of it.
        let (Some(system), Some(value)) = (text("system"), text("value").filter(|value| !value.is_empty())) else {
            let text = "say whose: an identifier with its system and value, or use Patient/ID/$break-glass";
            let at = "Parameters.parameter.where(name = 'identifier')";
            let help = r#"send {"name":"identifier","valueIdentifier":{"system":"…","value":"…"}} beside the reason"#;
            return Err(Issue::new(Code::ParameterValue, text).at(at).help(help).into());
        };
        let token = format!("{}|{}", escaped(&system), escaped(&value));
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("identifier", &token).finish();
        self.plan(Kind::PATIENT, &query, Handling::Strict)
    }

    /// Who, when, and why: for the patient, and for who reads the patient.
    fn broken_glass(&self, name: &str, id: &str) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Read)?;
        self.of_patient(kind)?;
        let (sight, records) = (caller.sight(Verb::Read), self.door.clinical.records());
        let found = match Id::read(id) {
            Some(id) => records.read(&sight, kind, &id).map_err(|error| store_failed(&error))?,
            None => None,
        };
        let Some(patient) = found else { return Err(self.unseen(note, &sight, kind, id)) };
        let broken = records.broken_glass(patient.row).map_err(|error| store_failed(&error))?;
        self.noted(note.about(kind, Some(patient.row), None, vec![patient.row]))?;
        Ok(parameters(&Value::Array(broken.iter().map(notice).collect())))
    }

    fn of_patient(&self, kind: Kind) -> Result<(), Refusal> {
        if kind == Kind::PATIENT {
            return Ok(());
        }
        Err(no_address(format!("{} is not served", self.shown())))
    }
}

/// The value of a parameter of Parameters.
fn parameter<'d, 'a>(root: Node<'d, 'a>, name: &str, value: &str) -> Option<Node<'d, 'a>> {
    let mut all = root.member("parameter")?.items();
    all.find(|one| one.member("name").and_then(Node::text).as_deref() == Some(name))?.member(value)
}

/// A value as a search writes it (FHIR R4, section 3.1.1.4.0.1).
fn escaped(text: &str) -> String {
    text.chars().flat_map(|c| ['\\'].into_iter().filter(move |_| "\\,|$".contains(c)).chain([c])).collect()
}

fn notice(broken: &Broken) -> Value {
    let (kind, id) = broken.by;
    let mut notice = json!({ "name": "broken", "part": [
        { "name": "at", "valueInstant": moment::written(broken.made) },
        { "name": "until", "valueInstant": moment::written(broken.until) },
        { "name": "by", "valueReference": { "reference": format!("{kind}/{id}") } },
        { "name": "client", "valueString": broken.client },
        { "name": "reason", "valueString": broken.reason },
    ] });
    if let (Some(name), Some(parts)) = (&broken.software, notice["part"].as_array_mut()) {
        parts.push(json!({ "name": "software", "valueString": name }));
    }
    notice
}

fn parameters(list: &Value) -> Response {
    let mut whole = json!({ "resourceType": "Parameters" });
    if list.as_array().is_some_and(|list| !list.is_empty()) {
        whole["parameter"] = list.clone();
    }
    answer::resource(StatusCode::OK, whole.to_string().into_bytes())
}
