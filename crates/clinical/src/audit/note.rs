//! One entry.

use crate::access::{Caller, Verb, Who};
use crate::auth::{Account, Scopes};
use crate::kind::{Kind, Millis, Row, Version};
use minicbor::Encoder;
use minicbor::encode::Error;
use std::collections::HashSet;
use std::convert::Infallible;

/// The version of the form.
pub(super) const FORM: u8 = 1;
/// Characters of a search that are kept.
const QUERY: usize = 512;
/// The parameters that name a patient or resources.
const NAMING: [&str; 4] = ["patient", "subject", "_id", "identifier"];
/// The parameter of an export that has searches.
const SEARCHES: &str = "_typeFilter";
/// Patients that one entry names, at most: an act that is about more makes several.
const PATIENTS: usize = 1_000;

/// How it went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was refused, with this code.
    Refused(&'static str),
}

/// What somebody does on the pages of sign-in, or for them: it is done with no resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// A person signs in with a setup code.
    Code,
    /// With a passkey.
    Passkey,
    /// At an OpenID provider.
    Provider,
    /// A person lets software have something: the scopes stand where a search has its parameters.
    Agree,
    /// An app is opened with a patient and a place.
    Open,
}

impl Act {
    const ALL: [Self; 5] = [Self::Code, Self::Passkey, Self::Provider, Self::Agree, Self::Open];

    /// As it is kept.
    const fn number(self) -> u8 {
        match self {
            Self::Code => 1,
            Self::Passkey => 2,
            Self::Provider => 3,
            Self::Agree => 4,
            Self::Open => 5,
        }
    }

    /// That with this number; none: a later form has it.
    pub(super) fn numbered(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|act| act.number() == number)
    }
}

/// Who did what with which resource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    who: Who,
    leave: i64,
    verb: Verb,
    kind: Kind,
    row: Option<Row>,
    version: Option<Version>,
    patients: Vec<Row>,
    outcome: Outcome,
    query: Option<String>,
    mark: Option<&'static str>,
    origin: String,
    /// The consents that decided it.
    consents: Vec<Row>,
    /// Why the glass was broken.
    reason: Option<String>,
    /// The OpenID provider that signed the person in, and who it is there.
    provider: Option<(String, String)>,
    act: Option<Act>,
}

impl Note {
    /// An entry of what `caller`, who is at `origin`, does with resources of `kind`.
    #[must_use]
    pub fn of(caller: &Caller, verb: Verb, kind: Kind, origin: String) -> Self {
        let mark = caller.mark(verb, kind).map(|code| code.as_str());
        Self { mark, ..Self::new(caller.who().clone(), caller.leave(), (verb, kind), origin) }
    }

    fn new(who: Who, leave: i64, (verb, kind): (Verb, Kind), origin: String) -> Self {
        Self {
            who,
            leave,
            verb,
            kind,
            row: None,
            version: None,
            patients: Vec::new(),
            outcome: Outcome::Done,
            query: None,
            mark: None,
            origin,
            consents: Vec::new(),
            reason: None,
            provider: None,
            act: None,
        }
    }

    /// An entry of what a person does by signing in, on the way to the software `client`.
    #[must_use]
    pub(crate) fn signing_in(account: &Account, client: &str, act: Act, origin: String) -> Self {
        let patients = account.only().into_iter().collect();
        // An act of its own; there is nothing of a resource in it.
        let naming = Self::naming(account, client, patients, origin);
        Self { kind: account.kind, row: Some(account.row), act: Some(act), ..naming }
    }

    /// The same, by an OpenID provider's word, its issuer, and who the person is there.
    #[must_use]
    pub(crate) fn sworn_by(self, issuer: &str, subject: &str) -> Self {
        Self { provider: Some((issuer.to_owned(), subject.to_owned())), ..self }
    }

    /// An entry of what a person has let the software `client` have, with the data of this patient. The scopes are told whole: a part of
    /// one may read as another that gives more, and all of them are bounded by what is asked at once.
    #[must_use]
    pub(crate) fn agreeing(
        account: &Account,
        client: &str,
        patient: Option<Row>,
        scopes: &Scopes,
        origin: String,
    ) -> Self {
        let patients = patient.or(account.only()).into_iter().collect();
        let signing_in = Self::signing_in(account, client, Act::Agree, origin);
        Self { patients, query: Some(scopes.to_string()), ..signing_in }
    }

    /// The same with the number of what was granted.
    #[must_use]
    pub(crate) fn granting(self, leave: i64) -> Self {
        Self { leave, ..self }
    }

    /// An entry of an app that `caller` opens with this patient.
    #[must_use]
    pub(crate) fn opening(caller: &Caller, patient: Option<Row>, origin: String) -> Self {
        let note = Self::of(caller, Verb::Search, Kind::PATIENT, origin);
        Self { row: patient, patients: patient.into_iter().collect(), act: Some(Act::Open), ..note }
    }

    /// An entry of a page of sign-in that names these patients to a person, on the way to the software `client`.
    #[must_use]
    pub(crate) fn naming(account: &Account, client: &str, patients: Vec<Row>, origin: String) -> Self {
        let who = Who::Person { account: account.number, client: client.to_owned() };
        Self { patients, ..Self::new(who, 0, (Verb::Search, Kind::PATIENT), origin) }
    }

    /// The same of another act of the same request.
    #[must_use]
    pub(crate) fn doing(&self, caller: &Caller, verb: Verb, kind: Kind) -> Self {
        Self { verb, kind, mark: caller.mark(verb, kind).map(|code| code.as_str()), ..self.clone() }
    }

    /// The same about one resource, and the patients whose data it is.
    #[must_use]
    pub(crate) fn about(&self, kind: Kind, row: Option<Row>, version: Option<Version>, patients: Vec<Row>) -> Self {
        Self { kind, row, version, patients, ..self.clone() }
    }

    /// The same about data of these patients.
    #[must_use]
    pub(crate) fn of_patients(self, patients: impl IntoIterator<Item = Row>) -> Self {
        Self { patients: patients.into_iter().collect(), ..self }
    }

    /// Whether it is about any patient's data.
    pub(crate) const fn is_of_patients(&self) -> bool {
        !self.patients.is_empty()
    }

    /// The same about those of its patients alone whom none of these is about; `None`: there are none.
    pub(crate) fn but_for(&self, others: &[Self]) -> Option<Self> {
        let known: HashSet<Row> = others.iter().flat_map(|note| note.patients.iter().copied()).collect();
        let patients: Vec<Row> = self.patients.iter().copied().filter(|patient| !known.contains(patient)).collect();
        (!patients.is_empty()).then(|| Self { patients, ..self.clone() })
    }

    /// The same, of what was looked for beside that.
    #[must_use]
    pub(crate) fn looking(self) -> Self {
        Self { verb: Verb::Search, ..self }
    }

    /// The same of a search. Of one that is longer than what is kept, what says whose it is goes first.
    #[must_use]
    pub(crate) fn searching(self, query: &str) -> Self {
        let kept = if query.len() > QUERY { kept(query) } else { query.to_owned() };
        Self { query: Some(kept), ..self }
    }

    /// The same, refused.
    #[must_use]
    pub(crate) fn refused(self, code: &'static str) -> Self {
        Self { outcome: Outcome::Refused(code), ..self }
    }

    /// The same, decided by these consents.
    #[must_use]
    pub(crate) fn decided_by(self, consents: Vec<Row>) -> Self {
        Self { consents, ..self }
    }

    /// The same, for which the glass is broken.
    #[must_use]
    pub(crate) fn breaking_glass(self, reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..self }
    }

    /// Whom it names.
    pub(super) fn patients(&self) -> &[Row] {
        &self.patients
    }

    /// As it is kept, each entry with the patients that it names: deterministic CBOR, a map with small numbers.
    pub(super) fn entries(&self, at: Millis) -> Vec<(Vec<u8>, Vec<Row>)> {
        let mut patients = self.patients.clone();
        patients.sort_unstable();
        patients.dedup();
        let several = patients.chunks(PATIENTS).map(<[Row]>::to_vec);
        let parts = if patients.is_empty() { vec![Vec::new()] } else { several.collect() };
        let entry = |patients: Vec<Row>| {
            let mut out = Encoder::new(Vec::new());
            // Writing to memory has no way to fail.
            let _ = self.write(at, &patients, &mut out);
            (out.into_writer(), patients)
        };
        parts.into_iter().map(entry).collect()
    }

    /// What is there seldom, has no entry where it is not.
    fn write(&self, at: Millis, patients: &[Row], out: &mut Encoder<Vec<u8>>) -> Result<(), Error<Infallible>> {
        let seldom = [!self.consents.is_empty(), self.reason.is_some(), self.provider.is_some(), self.act.is_some()];
        out.map(13 + seldom.into_iter().map(u64::from).sum::<u64>())?.u8(0)?.u8(FORM)?;
        match &self.who {
            Who::Device { name, credential } => {
                out.u8(1)?.array(2)?.str(name.as_str())?.bytes(credential.as_bytes())?;
            }
            Who::Software { client } => {
                out.u8(1)?.array(1)?.str(client)?;
            }
            Who::Person { account, client } => {
                out.u8(1)?.array(2)?.i64(*account)?.str(client)?;
            }
        }
        out.u8(2)?.i64(self.leave)?;
        out.u8(3)?.str(self.verb.letter().encode_utf8(&mut [0; 4]))?;
        out.u8(4)?.u8(self.kind.number())?;
        out.u8(5)?.encode(self.row.map(|row| row.0))?;
        out.u8(6)?.encode(self.version.map(Version::number))?;
        out.u8(7)?.array(patients.len() as u64)?;
        for patient in patients {
            out.i64(patient.0)?;
        }
        out.u8(8)?.encode(match self.outcome {
            Outcome::Done => None,
            Outcome::Refused(code) => Some(code),
        })?;
        out.u8(9)?.encode(self.query.as_deref())?;
        out.u8(10)?.encode(self.mark)?;
        out.u8(11)?.str(&self.origin)?;
        if !self.consents.is_empty() {
            out.u8(12)?.array(self.consents.len() as u64)?;
            for consent in &self.consents {
                out.i64(consent.0)?;
            }
        }
        if let Some(reason) = &self.reason {
            out.u8(13)?.str(reason)?;
        }
        if let Some((issuer, subject)) = &self.provider {
            out.u8(14)?.array(2)?.str(issuer)?.str(subject)?;
        }
        if let Some(act) = self.act {
            out.u8(15)?.u8(act.number())?;
        }
        // The time is in the chain too.
        out.u8(20)?.i64(at.0)?;
        Ok(())
    }
}

/// What is kept of a long search.
fn kept(query: &str) -> String {
    let (naming, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(|part| names(part));
    let searched: Vec<String> = others.iter().flat_map(|part| searched(part)).collect();
    let all = naming.into_iter().chain(searched.iter().map(String::as_str)).chain(others);
    all.collect::<Vec<_>>().join("&").chars().take(QUERY).collect()
}

/// Whether a parameter names a patient or resources.
fn names(part: &str) -> bool {
    let (name, _) = parameter(part);
    NAMING.contains(&name.split([':', '.']).next().unwrap_or_default())
}

/// What names them in the searches that a parameter of an export has, each by itself.
fn searched(part: &str) -> Vec<String> {
    let (name, value) = parameter(part);
    if name != SEARCHES {
        return Vec::new();
    }
    let naming = value.split(['?', '&']).filter(|part| names(part));
    naming.map(|part| form_urlencoded::Serializer::new(String::new()).append_pair(SEARCHES, part).finish()).collect()
}

/// Name and value; before the first one may stand the address that was asked.
fn parameter(part: &str) -> (String, String) {
    let name = part.split('=').next().unwrap_or_default();
    let own = name.rfind('?').and_then(|place| part.get(place + 1..)).unwrap_or(part);
    form_urlencoded::parse(own.as_bytes()).next().map(|(name, value)| (name.into(), value.into())).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-AUDIT-38: whatever stands before it, whom a search names is kept.
    #[test]
    fn what_is_kept_of_a_long_search_says_whose_it_is() {
        let padding = format!("_lastUpdated={}gt1900", "gt1900,".repeat(63));
        let long = format!("{padding}&code=x&%70atient:Patient=anna&{padding}&subject.identifier=s%7C1&_id=y");
        let told = kept(&long);
        assert!(
            told.starts_with("%70atient:Patient=anna&subject.identifier=s%7C1&_id=y&_lastUpdated=gt1900,"),
            "{told}"
        );
        assert_eq!(told.chars().count(), QUERY);
    }

    /// Shows REQ-AUDIT-44: also within the searches of an export, the first parameter of an address among them.
    #[test]
    fn what_is_kept_of_a_long_export_says_whose_it_is() {
        let long = "x".repeat(QUERY);
        let first =
            format!("https://a.example/fhir/$export?_typeFilter=Observation?code={long}%26patient%3Danna%26date%3D1");
        let other = format!("_type=Patient&_typeFilter={long}%3F_id%3Dy,Device?subject:Patient.identifier%3Ds%257C1");
        let told = kept(&format!("{first}&{other}&_typeFilter=Patient?name={long}"));
        let naming = [
            "_typeFilter=patient%3Danna",
            "_typeFilter=_id%3Dy%2CDevice",
            "_typeFilter=subject%3APatient.identifier%3Ds%257C1",
            "https://a.example/fhir/$export?_typeFilter=",
        ];
        assert!(told.starts_with(&naming.join("&")), "{told}");
        assert_eq!(told.chars().count(), QUERY);
    }
}
