//! Opening an app from other software, with patient and place (SMART App Launch 2.2, sections 2.0.4 and 3).
//!
//! Who opens it gets a text for this app, good once and for some minutes; the app asks with it, and its token tells the rest.

use super::answer::{OAuthError, Refused, answer, away};
use super::register::{self, patient_named};
use super::secret::Secret;
use crate::Clinical;
use crate::access::Caller;
use crate::audit::Note;
use crate::kind::{Id, Kind, Row};
use crate::outcome::{Code, Issue, Refusal};
use crate::store::{Launch, LaunchesFull};
use axum::response::Response;
use http::StatusCode;
use medlock_node::provider::sha256;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// How long it is good, in seconds.
const GOOD: i64 = 300;
/// The row of a patient who is not there.
const NOBODY: Row = Row(0);
/// Bytes of what it is asked for with, at most.
const LONGEST_BODY: usize = 16 << 10;
/// What it may name, at most; characters of an intent and of a role.
const MOST: usize = 16;
const LONGEST: usize = 256;

/// A resource that is open beside the app (section 3.1.1.2, `fhirContext`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OpenResource {
    /// `ImagingStudy/ID`.
    pub reference: String,
    /// What it is there for: an address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
}

/// What is told with a token beside the patient.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Context {
    /// What is open.
    #[serde(rename = "fhirContext", skip_serializing_if = "Vec::is_empty")]
    pub fhir_context: Vec<OpenResource>,
    /// Whether the app shows whose data it shows: where nobody else does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub need_patient_banner: Option<bool>,
    /// What the person wants to do in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intent: Option<String>,
}

impl Context {
    /// What was kept; nothing, where it cannot be read.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    fn check(&self) -> Result<(), String> {
        if self.fhir_context.len() > MOST {
            return Err(format!("at most {MOST} resources are open beside an app"));
        }
        for open in &self.fhir_context {
            let read = open.reference.split_once('/').and_then(|(kind, id)| Some((Kind::named(kind)?, Id::read(id)?)));
            // The patient has a place of its own (section 3.1.1.2).
            if read.is_none_or(|(kind, _)| kind == Kind::PATIENT) {
                return Err(format!(
                    "{:?} is not KIND/ID of a resource that is kept here, other than a Patient",
                    open.reference
                ));
            }
            let role = open.role.as_deref().unwrap_or("x:");
            if role.len() > LONGEST || !role.contains(':') || !role.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!("{role:?} is no address of a role"));
            }
        }
        if self.intent.as_ref().is_some_and(|intent| intent.chars().count() > LONGEST) {
            return Err(format!("an intent has at most {LONGEST} characters"));
        }
        Ok(())
    }
}

/// What opens an app, as it is asked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Opening {
    pub(super) client: String,
    #[serde(default)]
    pub(super) patient: Option<String>,
    #[serde(default)]
    pub(super) account: Option<String>,
    #[serde(default)]
    pub(super) context: Context,
}

/// What the app is opened with.
pub(super) struct Opened {
    /// The text with which it asks.
    pub(super) launch: String,
    /// Where it asks.
    pub(super) iss: String,
}

impl Clinical {
    /// A text with which the app asks, for who is at `origin`. A refusal is noted too: it may tell whether an account has a name.
    pub(super) fn open_app(
        &self,
        opening: Opening,
        (caller, origin): (&Caller, String),
        now: i64,
    ) -> Result<Opened, NotOpened> {
        let id = opening.patient.as_deref().and_then(|reference| patient_named(reference).ok());
        let patient = id.map_or(Ok(None), |id| self.records().row_of(Kind::PATIENT, &id))?;
        let note = Note::opening(caller, patient, origin);
        self.open_with(opening, patient, (caller, note.clone()), now).map_err(|why| {
            if self.audit().take(note.refused(why.code().as_str())) { why } else { NotOpened::Unaudited }
        })
    }

    /// Software is not told whether the patient is there: it may not see who is, and the person whom it opens the app for reads it.
    fn open_with(
        &self,
        Opening { client, patient, account, context }: Opening,
        row: Option<Row>,
        (caller, note): (&Caller, Note),
        now: i64,
    ) -> Result<Opened, NotOpened> {
        let records = self.records();
        let known = self.client(&client)?.ok_or_else(|| NotOpened::Absent(format!("client {client:?}")))?;
        if !known.scopes.has(super::Word::Launch) {
            return Err(NotOpened::Wrong("the client is not registered for the scope launch".to_owned()));
        }
        context.check().map_err(NotOpened::Wrong)?;
        let patient = match &patient {
            None => None,
            Some(reference) => {
                patient_named(reference).map_err(NotOpened::Wrong)?;
                if row.is_none() && !caller.opens_apps() {
                    return Err(NotOpened::Absent(reference.clone()));
                }
                Some(row.unwrap_or(NOBODY))
            }
        };
        let account = match &account {
            None => None,
            Some(name) => {
                let account = records.account_named(name)?;
                Some(account.ok_or_else(|| NotOpened::Absent(format!("account {name:?}")))?.number)
            }
        };
        let launch = Secret::new();
        let context = serde_json::to_string(&context).map_err(|error| NotOpened::Wrong(error.to_string()))?;
        let until = now.saturating_add(GOOD);
        let new = Launch { hash: launch.hash, client, account, patient, context, until };
        records.keep_launch(new, caller.taker(), note)?.map_err(NotOpened::Full)?;
        Ok(Opened { launch: launch.text, iss: format!("{}/fhir", self.settings().public_url) })
    }
}

/// Why no app is opened.
#[derive(Debug)]
pub(super) enum NotOpened {
    Absent(String),
    Wrong(String),
    Full(LaunchesFull),
    Unaudited,
    Store(medlock_store::Error),
}

impl NotOpened {
    /// As software and the audit are told it.
    fn code(&self) -> Code {
        match self {
            Self::Absent(_) => Code::NotFound,
            Self::Wrong(_) => Code::ParameterValue,
            Self::Full(_) => Code::Launches,
            Self::Unaudited => Code::AuditAway,
            Self::Store(_) => Code::StoreAway,
        }
    }
}

impl From<medlock_store::Error> for NotOpened {
    fn from(error: medlock_store::Error) -> Self {
        Self::Store(error)
    }
}

impl From<NotOpened> for register::Refused {
    fn from(why: NotOpened) -> Self {
        match why {
            NotOpened::Absent(what) => Self::absent(what),
            NotOpened::Wrong(text) => Self::wrong(text),
            NotOpened::Full(full) => Self(StatusCode::TOO_MANY_REQUESTS, full.text()),
            NotOpened::Unaudited => Self::unaudited(),
            NotOpened::Store(error) => error.into(),
        }
    }
}

impl From<NotOpened> for Refusal {
    fn from(why: NotOpened) -> Self {
        let code = why.code();
        let register::Refused(_, text) = why.into();
        Issue::new(code, text).into()
    }
}

/// `POST /auth/launch`: the same by software in its own name, such as the ward's system. Blocks.
///
/// # Errors
/// When its token is not for that, or with what is wrong.
pub(crate) fn by_software(
    clinical: &Clinical,
    caller: &Caller,
    origin: String,
    body: &[u8],
) -> Result<Response, Refusal> {
    if !caller.opens_apps() {
        let text = format!("the token is not good for opening apps: ask for the scope {}", super::Word::Opens.name());
        let why = Issue::new(Code::Forbidden, text);
        let noted = clinical.audit().take(Note::opening(caller, None, origin).refused(why.code.as_str()));
        return Err(if noted { why.into() } else { NotOpened::Unaudited.into() });
    }
    if body.len() > LONGEST_BODY {
        return Err(Issue::new(Code::TooMuch, format!("a launch has at most {LONGEST_BODY} bytes")).into());
    }
    let opening: Opening = serde_json::from_slice(body).map_err(|error| {
        Issue::new(Code::Json, format!("client, patient, account and context are asked for: {error}"))
    })?;
    tracing::info!(who = ?caller.who(), ?opening, "an app is opened");
    let Opened { launch, iss } = clinical.open_app(opening, (caller, origin), clinical.clock().now().unix())?;
    Ok(answer(StatusCode::OK, &json!({ "launch": launch, "iss": iss, "expires_in": GOOD })))
}

/// The launch with which a client asks.
pub(super) fn find(clinical: &Clinical, text: &str, client: &str) -> Result<Launch, OAuthError> {
    let found = clinical.records().launch(sha256(text.as_bytes())).map_err(|error| away(&error))?;
    let now = clinical.clock().now().unix();
    found.filter(|launch| launch.client == client && launch.until > now).ok_or_else(|| {
        let text = "launch is not known, too old, of another client, or came before: open the app again";
        OAuthError::new(Refused::InvalidRequest, text)
    })
}
