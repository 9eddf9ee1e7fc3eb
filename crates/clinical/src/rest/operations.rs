//! `$validate` and `$everything`; and apps that software opens.

use super::asking::{Asking, no_address, read_whole, store_failed};
use super::change::read_json;
use super::questions::Questions;
use super::{answer, bundle};
use crate::access::Verb;
use crate::auth;
use crate::definitions::Definitions;
use crate::json::{Limits, Node};
use crate::kind::{Id, Kind};
use crate::outcome::{Code, Issue, Refusal, Severity};
use crate::store::{Found, Page};
use crate::validate::{self, Asked, Prepared};
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::response::Response;
use http::StatusCode;

/// Nothing is wrong.
const VALID: &[u8] = br#"{"resourceType":"OperationOutcome","issue":[{"severity":"information","code":"informational","details":{"text":"nothing is wrong that is checked here"}}]}"#;

/// `POST /fhir/{kind}/$validate`
pub(super) async fn validate(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    asking.blocking(move |asking| asking.validate(asking.name(0)?, &read_whole(body)?)).await
}

/// `POST /auth/launch`
pub(super) async fn launch(asking: Asking, body: Result<Bytes, BytesRejection>) -> Response {
    let work = move |asking: &Asking| {
        let caller = asking.caller()?;
        answer::is_json(asking.headers())?;
        auth::by_software(&asking.door.clinical, &caller, asking.origin()?, &read_whole(body)?)
    };
    asking.blocking(work).await
}

/// `GET /fhir/Patient/{id}/$everything`
pub(super) async fn everything(asking: Asking) -> Response {
    asking.blocking(|asking| asking.everything(asking.name(0)?, asking.name(1)?)).await
}

impl Asking {
    /// The resource itself, or Parameters that have it.
    fn validate(&self, name: &str, body: &[u8]) -> Result<Response, Refusal> {
        self.accepts()?;
        self.caller()?;
        let kind = self.kind(name)?;
        answer::is_json(self.headers())?;
        let document = read_json(body, &Limits::RESOURCE)?;
        let root = document.root();
        let mut resource = root;
        let mut profiled = form_urlencoded::parse(self.query().as_bytes()).any(|(name, _)| name == "profile");
        if root.member("resourceType").and_then(Node::text).as_deref() == Some("Parameters") {
            let list = root.member("parameter");
            let names = list.iter().flat_map(|list| list.items()).filter_map(|one| one.member("name")?.text());
            profiled |= names.into_iter().any(|name| name == "profile");
            let given = list.iter().flat_map(|list| list.items()).find_map(|one| one.member("resource"));
            resource =
                given.ok_or_else(|| Issue::new(Code::Cardinality, "no parameter has a resource").at("Parameters"))?;
        }
        if profiled {
            let text = "no profile is checked here, but what FHIR R4 says of every resource of this kind: ask without `profile`";
            return Err(Issue::new(Code::UnknownParameter, text).at("profile").into());
        }
        let asked = Asked { kind, bases: &self.door.bases(), mark: None };
        let told = match validate::prepare(resource, Definitions::r4(), asked).and_then(Prepared::refers_to_what_is) {
            Ok(_) => VALID.to_vec(),
            Err(issues) => issues.outcome(Severity::Error),
        };
        Ok(answer::resource(StatusCode::OK, told))
    }

    fn everything(&self, name: &str, id: &str) -> Result<Response, Refusal> {
        let (caller, kind, note) = self.permitted(name, Verb::Read)?;
        if kind != Kind::PATIENT {
            return Err(no_address(format!("{} is not served", self.shown())));
        }
        let (sight, clinical) = (caller.sight(Verb::Read), &self.door.clinical);
        let patient = match Id::read(id) {
            Some(id) => clinical.records().read(&sight, kind, &id).map_err(|error| store_failed(&error))?,
            None => None,
        };
        let Some(patient) = patient else { return Err(self.unseen(note, &sight, kind, id)) };
        if patient.gone {
            return Err(self.refused(&note, Issue::new(Code::Gone, "this Patient was deleted").into()));
        }
        let wanted = self.wanted()?;
        let path = format!("Patient/{}/$everything", patient.id);
        let binding = format!("{path} {:?} {}", wanted.used, caller.leave());
        let page = Page { count: wanted.count, after: self.unsealed(wanted.cursor.as_deref(), &binding)? };
        let kinds = &clinical.settings().kinds;
        // What comes beside the patient is looked for, and read.
        let listed = sight.clone().of_kind_or(kind, sight.clone().common(&caller.sight(Verb::Search)));
        let (records, row) = (clinical.records(), patient.row);
        let mut questions = Questions::of(self, &caller, &sight, kinds);
        let (mut found, total) = if wanted.count == 0 {
            let total = questions.ask(|limit| records.everything_total(&listed, row, kinds, wanted.since, limit))?;
            (Found::default(), total.total)
        } else {
            let ask = |limit| records.everything(&listed, row, kinds, wanted.since, &page, limit);
            (questions.ask(ask)?, None)
        };
        self.complete(&sight, &mut found.resources)?;
        self.noted(note.searching(&path).about(kind, Some(patient.row), None, vec![patient.row]))?;
        let next = found.next.as_ref().map(|next| clinical.records().seal(next, &binding));
        let links =
            bundle::Links { path: &path, used: &wanted.used, cursor: wanted.cursor.as_deref(), next: next.as_deref() };
        Ok(answer::resource(StatusCode::OK, bundle::all(&self.door, &links, &found, total)))
    }
}
