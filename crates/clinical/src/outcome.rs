//! What is wrong with a request, as its author is told it: the only place that makes an `OperationOutcome`.

use crate::json;
use http::StatusCode;
use std::borrow::Cow;

/// The system of our codes.
const SYSTEM: &str = "urn:medlock:fhir:code";
/// So many issues are told at most: who sends worse has a mistake in a program, not in a resource.
const MOST: usize = 50;

/// What is wrong: stable, for machines (docs/codes.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The body is no JSON that is taken.
    Json,
    /// The resource is of another kind than the address says.
    OtherKind,
    /// R4 has no such element here.
    UnknownElement,
    /// An element stands too often, or is missing.
    Cardinality,
    /// A value is of another type.
    Type,
    /// A value does not have the form of its type.
    Value,
    /// A code is not of the value set it has to be from.
    Binding,
    /// A reference is to a kind it may not be to, or is none.
    ReferenceTarget,
    /// A rule of R4 over several elements is broken.
    Invariant,
    /// A resource names two patients.
    OnePatient,
    /// A resource names a patient, but not as whom it is about.
    PatientNotSubject,
    /// A resource is about a patient who is not here.
    PatientElsewhere,
    /// What a Consent says cannot be enforced.
    Consent,
    /// What a Subscription wants cannot be told.
    Subscription,
    /// A reference leads to nothing that the caller may read.
    Reference,
    /// More issues than are told.
    More,
    /// The kind is not served.
    UnknownKind,
    /// There is no such resource that the caller may read.
    NotFound,
    /// There was such a resource, and it was deleted.
    Gone,
    /// The resource has another version than the request is for.
    Version,
    /// A condition finds more than one resource.
    ManyMatches,
    /// What a condition finds is another patient's than the one whom the request is about.
    OtherPatient,
    /// A condition cannot be looked for.
    Condition,
    /// The resource has another id than the address says.
    OtherId,
    /// An entry of the Bundle is not one that can be done.
    Entry,
    /// Two entries are about the same resource.
    Twice,
    /// There is no such interaction.
    NotSupported,
    /// The media type is not served.
    MediaType,
    /// The search has a parameter that is not served.
    UnknownParameter,
    /// A parameter's value does not have the form of its type.
    ParameterValue,
    /// More is asked, or sent, than is allowed, or more than may be in force.
    TooMuch,
    /// The page is not one of this caller's search.
    Cursor,
    /// The search took too long.
    TooCostly,
    /// Too many searches of this kind are made now.
    Busy,
    /// There are as many exports as there may be.
    Exports,
    /// There are as many web sockets as there may be.
    Sockets,
    /// There are as many apps opened that have not asked yet as there may be.
    Launches,
    /// A device says of a time at which it was not this patient's alone that it measured this patient.
    NotThen,
    /// The caller's rights do not reach this.
    Forbidden,
    /// Who asks may not do this, whatever token is shown.
    Denied,
    /// Which device of the register a Device is, is not for the caller to say, or said of another one.
    DeviceName,
    /// An identifier is one that only what devices report has.
    ReservedIdentifier,
    /// There is no token.
    NoToken,
    /// The token is not live.
    Token,
    /// The token is bound to a credential that was not shown.
    TokenBinding,
    /// The token is bound to a key, and the proof of it is for something else, or came before.
    Proof,
    /// The proof is old, or its clock is another: it needs a nonce.
    ProofNonce,
    /// The device's standing does not let it.
    Standing,
    /// The audit cannot be written now.
    AuditAway,
    /// The store cannot be reached now, or what is asked took it too long.
    StoreAway,
    /// Something failed here.
    Failed,
}

/// Of each code its stable name, its issue type (FHIR R4, section 2.28.4.1), the status it is answered with, and what would help.
const FACTS: [(Code, Facts); Code::ALL.len()] = [
    (Code::Json, ("fhir-json", "structure", BAD, "send one JSON object in UTF-8, within the limits")),
    (Code::OtherKind, ("fhir-other-kind", "invalid", BAD, "send it to the address of its resourceType")),
    (Code::UnknownElement, ("fhir-unknown-element", "structure", UNFIT, "leave it out, or put it into an extension")),
    (
        Code::Cardinality,
        ("fhir-cardinality", "structure", UNFIT, "give it as often as the definition of the resource says"),
    ),
    (Code::Type, ("fhir-type", "structure", UNFIT, "give a value of the type that the definition says")),
    (Code::Value, ("fhir-value", "value", UNFIT, "write the value as its type is written in FHIR R4")),
    (Code::Binding, ("fhir-binding", "code-invalid", UNFIT, "use a code of the value set")),
    (
        Code::ReferenceTarget,
        ("fhir-reference-target", "invalid", UNFIT, "refer to a resource of a kind that the definition names"),
    ),
    (Code::Invariant, ("fhir-invariant", "invariant", UNFIT, "read the rule in the definition of the type")),
    (Code::OnePatient, ("fhir-one-patient", "business-rule", UNFIT, "send one resource for each patient")),
    (
        Code::PatientNotSubject,
        ("fhir-patient-not-subject", "business-rule", UNFIT, "name the patient as the one it is about"),
    ),
    (
        Code::PatientElsewhere,
        (
            "fhir-patient-elsewhere",
            "business-rule",
            UNFIT,
            "create the Patient here and refer to it as Patient/ID, or give the reference's type if it is no patient",
        ),
    ),
    (
        Code::Consent,
        (
            "fhir-consent",
            "not-supported",
            UNFIT,
            "say it as docs/operating.md says, or leave it out: a consent that is kept is enforced",
        ),
    ),
    (
        Code::Subscription,
        (
            "fhir-subscription",
            "not-supported",
            UNFIT,
            "say it as docs/operating.md says: rest-hook with an address that is called, or websocket; a search that stands for itself",
        ),
    ),
    (Code::Reference, ("fhir-reference", "not-found", UNFIT, "refer to resources that are here and that you may read")),
    (Code::More, ("fhir-more-issues", "incomplete", UNFIT, "mend what is told and send it again")),
    (
        Code::UnknownKind,
        ("fhir-unknown-kind", "not-supported", StatusCode::NOT_FOUND, "read the CapabilityStatement at /fhir/metadata"),
    ),
    (Code::NotFound, ("fhir-not-found", "not-found", StatusCode::NOT_FOUND, "search for it")),
    (Code::Gone, ("fhir-gone", "deleted", StatusCode::GONE, "read its history, or send it again with PUT")),
    (
        Code::Version,
        (
            "fhir-version",
            "conflict",
            StatusCode::PRECONDITION_FAILED,
            "read the resource again and send what is to become of its present version",
        ),
    ),
    (
        Code::OtherPatient,
        (
            "fhir-other-patient",
            "conflict",
            StatusCode::PRECONDITION_FAILED,
            "add patient= to the condition, or send what is to be another patient's to its own address",
        ),
    ),
    (
        Code::ManyMatches,
        (
            "fhir-many-matches",
            "multiple-matches",
            StatusCode::PRECONDITION_FAILED,
            "name the resource by an identifier that no other one has",
        ),
    ),
    (
        Code::Condition,
        ("fhir-condition", "not-supported", BAD, "give identifier=, _id=, or patient= with code= or date="),
    ),
    (Code::OtherId, ("fhir-other-id", "invalid", BAD, "send it with the id of its address")),
    (
        Code::Entry,
        ("fhir-entry", "invalid", BAD, "give it a request with method and url as FHIR R4 section 3.1.0.11 says"),
    ),
    (Code::Twice, ("fhir-twice", "invalid", BAD, "send one entry for each resource")),
    (
        Code::NotSupported,
        (
            "fhir-not-supported",
            "not-supported",
            StatusCode::METHOD_NOT_ALLOWED,
            "read the CapabilityStatement at /fhir/metadata",
        ),
    ),
    (
        Code::MediaType,
        ("fhir-media-type", "not-supported", StatusCode::UNSUPPORTED_MEDIA_TYPE, "use application/fhir+json"),
    ),
    (Code::UnknownParameter, ("fhir-unknown-parameter", "not-supported", BAD, "leave it out")),
    (
        Code::ParameterValue,
        (
            "fhir-parameter-value",
            "value",
            BAD,
            "the documentation of the parameter in /fhir/metadata says what it takes",
        ),
    ),
    (Code::TooMuch, ("fhir-too-much", "too-long", BAD, "ask for less at a time")),
    (Code::Cursor, ("fhir-cursor", "expired", BAD, "begin the search anew and follow its links")),
    (Code::TooCostly, ("fhir-too-costly", "too-costly", UNFIT, "add patient= or identifier= to the search")),
    (
        Code::Busy,
        (
            "fhir-busy",
            "throttled",
            StatusCode::SERVICE_UNAVAILABLE,
            "ask again in a second, or add patient= or identifier=",
        ),
    ),
    (
        Code::Exports,
        (
            "fhir-exports",
            "throttled",
            StatusCode::TOO_MANY_REQUESTS,
            "end one with DELETE at the address of its status, or wait: each ends a day after it was asked for",
        ),
    ),
    (
        Code::Sockets,
        (
            "fhir-sockets",
            "throttled",
            StatusCode::TOO_MANY_REQUESTS,
            "bind several Subscriptions over one web socket, or close one",
        ),
    ),
    (
        Code::Launches,
        (
            "fhir-launches",
            "throttled",
            StatusCode::TOO_MANY_REQUESTS,
            "open an app when a person wants it: each waits five minutes for it",
        ),
    ),
    (
        Code::NoToken,
        (
            "smart-no-token",
            "login",
            StatusCode::UNAUTHORIZED,
            "get a token at the address that /.well-known/smart-configuration names",
        ),
    ),
    (
        Code::NotThen,
        (
            "fhir-not-then",
            "business-rule",
            UNFIT,
            "report it (POST /m/records), which keeps it as that patient's whose the device was, or let a gateway say whose it is",
        ),
    ),
    (Code::Forbidden, ("fhir-forbidden", "forbidden", StatusCode::FORBIDDEN, "ask for a token with a scope for this")),
    (
        Code::Denied,
        ("fhir-denied", "forbidden", StatusCode::FORBIDDEN, "no other token helps: the text says why, or who may"),
    ),
    (
        Code::DeviceName,
        (
            "fhir-device-name",
            "forbidden",
            StatusCode::FORBIDDEN,
            "leave the identifier as it is: medlock clinical device says which Device a device of the register is",
        ),
    ),
    (
        Code::ReservedIdentifier,
        (
            "fhir-reserved-identifier",
            "forbidden",
            StatusCode::FORBIDDEN,
            "leave the identifier out of what is new, and as it is of what is there",
        ),
    ),
    (
        Code::Token,
        (
            "smart-token",
            "login",
            StatusCode::UNAUTHORIZED,
            "get a token at the address that /.well-known/smart-configuration names",
        ),
    ),
    (
        Code::TokenBinding,
        (
            "smart-token-binding",
            "login",
            StatusCode::UNAUTHORIZED,
            "show the credential with which the token was fetched, or fetch another one",
        ),
    ),
    (
        Code::Proof,
        (
            "smart-proof",
            "login",
            StatusCode::UNAUTHORIZED,
            "sign a new proof for each request, as RFC 9449 section 4 says",
        ),
    ),
    (
        Code::ProofNonce,
        (
            "smart-proof-nonce",
            "login",
            StatusCode::UNAUTHORIZED,
            "sign a new proof with the nonce of the header DPoP-Nonce",
        ),
    ),
    (
        Code::Standing,
        ("smart-standing", "forbidden", StatusCode::UNAUTHORIZED, "see the code of the verdict in docs/codes.md"),
    ),
    (
        Code::AuditAway,
        ("fhir-audit-away", "transient", StatusCode::SERVICE_UNAVAILABLE, "ask again; the hub's log says why"),
    ),
    (
        Code::StoreAway,
        ("fhir-store-away", "transient", StatusCode::SERVICE_UNAVAILABLE, "ask again; the hub's log says why"),
    ),
    (
        Code::Failed,
        ("fhir-failed", "exception", StatusCode::INTERNAL_SERVER_ERROR, "ask again; the hub's log says why"),
    ),
];

type Facts = (&'static str, &'static str, StatusCode, &'static str);

const BAD: StatusCode = StatusCode::BAD_REQUEST;
const UNFIT: StatusCode = StatusCode::UNPROCESSABLE_ENTITY;

impl Code {
    /// All codes.
    pub const ALL: [Self; 51] = [
        Self::Json,
        Self::OtherKind,
        Self::UnknownElement,
        Self::Cardinality,
        Self::Type,
        Self::Value,
        Self::Binding,
        Self::ReferenceTarget,
        Self::Invariant,
        Self::OnePatient,
        Self::PatientNotSubject,
        Self::PatientElsewhere,
        Self::Consent,
        Self::Subscription,
        Self::Reference,
        Self::More,
        Self::UnknownKind,
        Self::NotFound,
        Self::Gone,
        Self::Version,
        Self::ManyMatches,
        Self::OtherPatient,
        Self::Condition,
        Self::OtherId,
        Self::Entry,
        Self::Twice,
        Self::NotSupported,
        Self::MediaType,
        Self::UnknownParameter,
        Self::ParameterValue,
        Self::TooMuch,
        Self::Cursor,
        Self::TooCostly,
        Self::Busy,
        Self::Exports,
        Self::Sockets,
        Self::Launches,
        Self::NotThen,
        Self::Forbidden,
        Self::Denied,
        Self::DeviceName,
        Self::ReservedIdentifier,
        Self::NoToken,
        Self::Token,
        Self::TokenBinding,
        Self::Proof,
        Self::ProofNonce,
        Self::Standing,
        Self::AuditAway,
        Self::StoreAway,
        Self::Failed,
    ];

    fn facts(self) -> Facts {
        let own = FACTS.iter().find(|(code, _)| *code == self);
        own.map_or(("", "exception", StatusCode::INTERNAL_SERVER_ERROR, ""), |(_, facts)| *facts)
    }

    /// Its stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.facts().0
    }

    /// The issue type of FHIR.
    #[must_use]
    pub fn issue_type(self) -> &'static str {
        self.facts().1
    }

    /// With which status it is answered.
    #[must_use]
    pub fn status(self) -> StatusCode {
        self.facts().2
    }

    /// What would help.
    #[must_use]
    pub fn remedy(self) -> &'static str {
        self.facts().3
    }
}

/// What issues mean for the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// It was not done.
    Error,
    /// It was done, but not all of it.
    Warning,
}

impl Severity {
    const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
        }
    }
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// What, for machines.
    pub code: Code,
    /// What, for people.
    pub text: Cow<'static, str>,
    /// Where: the element (FHIRPath), or the parameter.
    pub expression: Option<String>,
    /// What would help here, where that is more than what helps with its code.
    pub help: Option<Cow<'static, str>>,
}

impl Issue {
    /// A thing that is wrong with the request as a whole.
    #[must_use]
    pub fn new(code: Code, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, text: text.into(), expression: None, help: None }
    }

    /// The same, and where it is.
    #[must_use]
    pub fn at(self, expression: impl Into<String>) -> Self {
        Self { expression: Some(expression.into()).filter(|place| !place.is_empty()), ..self }
    }

    /// The same, and what would help.
    #[must_use]
    pub fn help(self, help: impl Into<Cow<'static, str>>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// What is wrong, in the order in which it was found; not more than are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Issues(Vec<Issue>);

impl Issues {
    /// Adds one, while there is room.
    pub fn add(&mut self, issue: Issue) {
        if self.0.len() + 1 == MOST {
            self.0.push(Issue::new(Code::More, "there are more issues than are told"));
        } else if self.0.len() < MOST {
            self.0.push(issue);
        }
    }

    /// Whether no more are told.
    #[must_use]
    pub fn are_full(&self) -> bool {
        self.0.len() >= MOST
    }

    /// All of them.
    #[must_use]
    pub fn all(&self) -> &[Issue] {
        &self.0
    }

    /// The `OperationOutcome`.
    #[must_use]
    pub fn outcome(&self, severity: Severity) -> Vec<u8> {
        let mut out = b"{\"resourceType\":\"OperationOutcome\",\"issue\":[".to_vec();
        for (place, issue) in self.0.iter().enumerate() {
            if place > 0 {
                out.push(b',');
            }
            write(issue, severity, &mut out);
        }
        out.extend_from_slice(b"]}");
        out
    }

    /// What the first one says; nothing if there is none.
    #[must_use]
    pub fn first_text(&self) -> &str {
        self.0.first().map_or("", |issue| &issue.text)
    }

    /// `Ok` if there is none.
    ///
    /// # Errors
    /// The issues.
    pub fn settled(self) -> Result<(), Self> {
        if self.0.is_empty() { Ok(()) } else { Err(self) }
    }
}

impl From<Issue> for Issues {
    fn from(issue: Issue) -> Self {
        Self(vec![issue])
    }
}

/// Why a request was not done, as it is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status.
    pub status: StatusCode,
    /// Why.
    pub issues: Issues,
}

impl Refusal {
    /// The stable code of the first issue.
    #[must_use]
    pub fn code(&self) -> Code {
        self.issues.all().first().map_or(Code::Failed, |issue| issue.code)
    }

    /// The same of an entry of a Bundle: the places are those within it.
    #[must_use]
    pub fn of_entry(self, number: usize) -> Self {
        let place = |issue: Issue| {
            let inside = issue.expression.as_deref().and_then(|place| place.split_once('.'));
            let inside = inside.filter(|(kind, _)| kind.starts_with(|first: char| first.is_ascii_uppercase()));
            let expression = match inside {
                Some((_, element)) => format!("Bundle.entry[{number}].resource.{element}"),
                None => format!("Bundle.entry[{number}]"),
            };
            issue.at(expression)
        };
        let issues = Issues(self.issues.0.into_iter().map(place).collect());
        Self { status: self.status, issues }
    }

    /// The `OperationOutcome`.
    #[must_use]
    pub fn outcome(&self) -> Vec<u8> {
        self.issues.outcome(Severity::Error)
    }
}

fn write(issue: &Issue, severity: Severity, out: &mut Vec<u8>) {
    let mut part = |plain: &str, text: &str| {
        out.extend_from_slice(plain.as_bytes());
        json::text(text, out);
    };
    part("{\"severity\":", severity.name());
    part(",\"code\":", issue.code.issue_type());
    part(",\"details\":{\"coding\":[{\"system\":", SYSTEM);
    part(",\"code\":", issue.code.as_str());
    part("}],\"text\":", &issue.text);
    part("},\"diagnostics\":", issue.help.as_deref().unwrap_or_else(|| issue.code.remedy()));
    if let Some(expression) = &issue.expression {
        part(",\"expression\":[", expression);
        out.push(b']');
    }
    out.push(b'}');
}

impl From<Issues> for Refusal {
    fn from(issues: Issues) -> Self {
        let status = issues.all().first().map_or(StatusCode::INTERNAL_SERVER_ERROR, |issue| issue.code.status());
        Self { status, issues }
    }
}

impl From<Issue> for Refusal {
    fn from(issue: Issue) -> Self {
        Issues::from(issue).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_code_has_a_name_of_its_own_and_a_remedy() {
        let names: HashSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| code.status().is_client_error() || code.status().is_server_error()));
    }

    /// Shows REQ-FHIR-03.
    #[test]
    fn each_code_is_documented() {
        let documented = include_str!("../../../docs/codes.md");
        for code in Code::ALL {
            let (name, status, remedy) = (code.as_str(), code.status().as_u16(), code.remedy());
            let line = documented.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
            let line = line.unwrap_or_else(|| panic!("docs/codes.md has no {name}"));
            assert!(line.ends_with(&format!("| {status} | {remedy} |")), "docs/codes.md says otherwise: {line}");
        }
    }

    #[test]
    fn an_outcome_is_a_resource_and_its_issues_are_bounded() {
        let mut issues = Issues::default();
        for number in 0..200 {
            issues.add(Issue::new(Code::Value, format!("\"{number}\"")).at(format!("Patient.name[{number}]")));
        }
        assert_eq!(issues.all().len(), MOST);
        let refusal = Refusal::from(issues);
        assert_eq!((refusal.status, refusal.code()), (StatusCode::UNPROCESSABLE_ENTITY, Code::Value));
        let outcome: serde_json::Value = serde_json::from_slice(&refusal.outcome()).expect("JSON");
        assert_eq!(outcome["issue"][1]["expression"][0], "Patient.name[1]");
        assert_eq!(outcome["issue"][1]["details"]["text"], "\"1\"");
        assert_eq!(outcome["issue"][49]["details"]["coding"][0]["code"], "fhir-more-issues");
    }
}
