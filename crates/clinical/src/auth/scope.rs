//! SMART scopes, version 2: `system/Observation.crs`, `patient/*.rs`, `patient/Observation.rs?category=laboratory`, `openid`.

use crate::access::{Constraint, Reach, Right, Verb, Verbs, names_its_device};
use crate::kind::{Kind, Row};
use std::fmt;
use std::sync::Arc;

/// Scopes of one request, at most.
const MOST: usize = 64;
/// Bytes of all scopes, at most.
const LENGTH: usize = 4 << 10;
/// Values that all of them ask of resources, at most: each stands in a statement as often as its filters look at other resources,
/// and SQLite takes 32,766 parameters.
const VALUES: usize = 128;
/// The words of version 1, and what they mean now.
const OLD: [(&str, &str); 3] = [("read", "rs"), ("write", "cud"), ("*", "cruds")];

/// In whose name a scope lets its holder act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    /// The client's own.
    System,
    /// A person's, with the data of one patient.
    Patient,
    /// A person's, with all the person may see.
    User,
}

impl Whose {
    pub(super) const ALL: [Self; 3] = [Self::System, Self::Patient, Self::User];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Patient => "patient",
            Self::User => "user",
        }
    }
}

/// What a scope asks: verbs on a kind, or on those of it alone of which something holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// In whose name.
    pub whose: Whose,
    /// Which kind; `None`: all.
    pub kind: Option<Kind>,
    /// What may be done.
    pub verbs: Verbs,
    /// What has to hold of a resource of the kind; none has to of all kinds.
    pub only: Option<Arc<Constraint>>,
    /// Whether it is written as in version 1, where that has words for its verbs: who asks so looks for it so.
    pub old: bool,
}

/// A scope that names no kind of resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Word {
    /// An ID token.
    OpenId,
    /// The person's resource in it.
    FhirUser,
    /// What the software that opened the client says of patient and place.
    Launch,
    /// A patient that is chosen while the person is there.
    LaunchPatient,
    /// A refresh token that lives on when the person has left.
    Offline,
    /// A refresh token for as long as the person is signed in.
    Online,
    /// Software in its own name opens apps, with a patient and a place.
    Opens,
}

impl Word {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::OpenId, Self::FhirUser, Self::Launch, Self::LaunchPatient, Self::Offline, Self::Online, Self::Opens];

    /// As it is written.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OpenId => "openid",
            Self::FhirUser => "fhirUser",
            Self::Launch => "launch",
            Self::LaunchPatient => "launch/patient",
            Self::Offline => "offline_access",
            Self::Online => "online_access",
            Self::Opens => "medlock/launch",
        }
    }
}

/// Why scopes cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// There are more than are read.
    #[error(
        "there are more than {MOST} scopes, or they are longer than {LENGTH} bytes or ask for more than {VALUES} values"
    )]
    TooMany,
    /// One is none that is served.
    #[error("{0:?} is no scope that is served: system/Observation.crs")]
    Unknown(String),
    /// One is served but for what it asks of resources.
    #[error(
        "{scope:?}: {parameter:?} is not what a scope may ask: its parameters are those of codes and references, by their plain names"
    )]
    Parameter {
        /// The scope.
        scope: String,
        /// Its first such parameter.
        parameter: String,
    },
    /// One is served but for how much it asks of resources.
    #[error("{0:?} asks nothing of resources, or has more than eight parameters")]
    Parameters(String),
}

/// What a token is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes {
    resources: Vec<Scope>,
    words: Vec<Word>,
}

impl Scopes {
    /// Reads scopes, with a space between two.
    ///
    /// # Errors
    /// [`ScopeError`].
    pub fn read(text: &str) -> Result<Self, ScopeError> {
        Self::all_of(words(text)?)?.bounded()
    }

    /// The same, without those that are not served: software asks everywhere for all it could use, and is told what it got
    /// (RFC 6749 section 3.3).
    ///
    /// # Errors
    /// [`ScopeError::TooMany`].
    pub fn read_known(text: &str) -> Result<Self, ScopeError> {
        let mut scopes = Self::default();
        for word in words(text)? {
            scopes.take(word);
        }
        scopes.bounded()
    }

    fn bounded(self) -> Result<Self, ScopeError> {
        if self.values() > VALUES { Err(ScopeError::TooMany) } else { Ok(self) }
    }

    /// How many values they ask of resources.
    #[must_use]
    pub fn values(&self) -> usize {
        self.resources.iter().filter_map(|scope| scope.only.as_deref()).map(Constraint::values).sum()
    }

    /// Reads what was kept: in its own form it may be longer than what was asked. What was a scope when it was kept and is none any more
    /// is passed over.
    #[must_use]
    pub fn of_kept(text: &str) -> Self {
        let mut scopes = Self::default();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            if !scopes.take(word) {
                tracing::warn!(scope = word, "a scope that was kept is none any more");
            }
        }
        scopes
    }

    fn all_of<'t>(words: impl Iterator<Item = &'t str>) -> Result<Self, ScopeError> {
        let mut scopes = Self::default();
        for word in words {
            if !scopes.take(word) {
                return Err(unserved(word));
            }
        }
        Ok(scopes)
    }

    fn take(&mut self, text: &str) -> bool {
        if let Some(word) = Word::ALL.into_iter().find(|word| word.name() == text) {
            if !self.has(word) {
                self.words.push(word);
            }
            return true;
        }
        let Some(scope) = Scope::read(text) else { return false };
        self.add(scope);
        true
    }

    /// Whether nothing is left that names resources.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }

    /// Whether nothing is left at all.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        self.resources.is_empty() && self.words.is_empty()
    }

    /// Whether this word is among them.
    #[must_use]
    pub fn has(&self, word: Word) -> bool {
        self.words.contains(&word)
    }

    /// Whether one of them is in this name.
    #[must_use]
    pub fn any_of(&self, whose: Whose) -> bool {
        self.resources.iter().any(|scope| scope.whose == whose)
    }

    /// Those that name resources.
    #[must_use]
    pub fn resources(&self) -> &[Scope] {
        &self.resources
    }

    /// What is left of those that name resources where `allowed` says of each verb on each kind whether it may be given, in
    /// the client's own name. A scope for all kinds becomes one for each.
    #[must_use]
    pub fn narrowed(&self, kinds: &[Kind], allowed: impl Fn(Verb, Kind) -> bool) -> Self {
        let own = self.resources.iter().filter(|scope| scope.whose == Whose::System);
        let each = own.flat_map(|scope| {
            let of = kinds.iter().copied().filter(move |kind| scope.kind.is_none_or(|of| of == *kind));
            of.map(move |kind| (kind, scope))
        });
        let mut left: Vec<Scope> = Vec::new();
        for (kind, scope) in each {
            let verbs = Verbs::of(scope.verbs.iter().filter(|verb| allowed(*verb, kind)));
            match left.iter_mut().find(|left| left.kind == Some(kind) && left.only == scope.only) {
                Some(left) => left.verbs = left.verbs.with(verbs),
                None if verbs.is_empty() => {}
                None => left.push(Scope { kind: Some(kind), verbs, ..scope.clone() }),
            }
        }
        Self { resources: left, words: Vec::new() }
    }

    /// What of these is within `limit`, each as it was asked, with the verbs that are left of it and are served. One for all kinds becomes
    /// one for each kind of `kinds` that the limit names; of one for more resources than the limit gives, its part is left.
    #[must_use]
    pub fn within(&self, limit: &Self, kinds: &[Kind]) -> Self {
        let mut left = Self { resources: Vec::new(), words: Vec::new() };
        for scope in &self.resources {
            let of = |kind: Option<Kind>| {
                let wide = limit.resources.iter().filter(|wide| wide.whose == scope.whose);
                wide.filter(move |wide| wide.kind.is_none() || kind.is_some() && wide.kind == kind)
            };
            let most_of = |kind: Option<Kind>| kind.map_or(Verbs::all(), |kind| served(scope.whose, kind));
            let verbs_of = |kind: Option<Kind>| {
                let wide = of(kind).filter(|wide| scope.asks_no_more_than(wide));
                let most = most_of(kind);
                let given = |verb: &Verb| most.has(*verb) && wide.clone().any(|wide| wide.verbs.has(*verb));
                Verbs::of(scope.verbs.iter().filter(given))
            };
            let whole = scope.kind.is_some() || verbs_of(None) == scope.verbs;
            let each: Vec<Option<Kind>> =
                if whole { vec![scope.kind] } else { kinds.iter().copied().map(Some).collect() };
            for kind in each.into_iter().filter(|kind| kind.is_none_or(|kind| kinds.contains(&kind))) {
                let verbs = verbs_of(kind);
                left.add(Scope { kind, verbs, ..scope.clone() });
                let most = most_of(kind);
                for part in of(kind).filter(|part| part.asks_no_more_than(scope)) {
                    let rest = scope.verbs.iter().filter(|verb| part.verbs.has(*verb) && !verbs.has(*verb));
                    let verbs = Verbs::of(rest.filter(|verb| most.has(*verb)));
                    left.add(Scope { kind, verbs, old: scope.old, ..part.clone() });
                }
            }
        }
        left.words = self.words.iter().copied().filter(|word| limit.has(*word)).collect();
        left
    }

    /// Adds one, unless there is one that means the same: a person is asked once.
    fn add(&mut self, scope: Scope) {
        if !scope.verbs.is_empty() && !self.resources.iter().any(|known| known.means(&scope)) {
            self.resources.push(scope);
        }
    }

    /// These and this word.
    #[must_use]
    pub fn with(mut self, word: Word) -> Self {
        if !self.has(word) {
            self.words.push(word);
        }
        self
    }

    /// All but this word.
    #[must_use]
    pub fn without(mut self, word: Word) -> Self {
        self.words.retain(|one| *one != word);
        self
    }

    /// What of these software may have in its own name.
    #[must_use]
    pub fn of_software(&self) -> Self {
        let own = self.resources.iter().filter(|scope| scope.whose == Whose::System).cloned();
        let words = self.words.iter().copied().filter(|word| *word == Word::Opens);
        Self { resources: own.collect(), words: words.collect() }
    }

    /// What of these a person may let software have.
    #[must_use]
    pub fn of_people(&self) -> Self {
        let theirs = self.resources.iter().filter(|scope| scope.whose != Whose::System).cloned();
        Self { resources: theirs.collect(), words: self.words.clone() }.without(Word::Opens)
    }

    /// Those whose text is among `chosen`.
    #[must_use]
    pub fn chosen(&self, chosen: &[String]) -> Self {
        let is_chosen = |text: String| chosen.contains(&text);
        Self {
            resources: self.resources.iter().filter(|scope| is_chosen(scope.to_string())).cloned().collect(),
            words: self.words.iter().copied().filter(|word| is_chosen(word.name().to_owned())).collect(),
        }
    }

    /// The rights of a device: those of one that works for itself (`own` is its row) reach its own rows alone.
    #[must_use]
    pub fn rights_of_device(&self, own: Option<Row>) -> Vec<Right> {
        let reach = own.map_or(Reach::All, Reach::Device);
        let reaches = |kind| own.is_none() || names_its_device(kind);
        self.rights(|whose, kind| (whose == Whose::System && reaches(kind)).then(|| (reach, Verbs::all())))
    }

    /// The rights of software in its own name.
    #[must_use]
    pub fn rights_of_software(&self) -> Vec<Right> {
        self.rights(|whose, _| (whose == Whose::System).then(|| (Reach::All, Verbs::all())))
    }

    /// The rights of a person's software: `patient` is whose data is meant, `person` whose alone the person may see (`None`: all).
    #[must_use]
    pub fn rights_of_person(&self, patient: Option<Row>, person: Option<Row>) -> Vec<Right> {
        let of = |patient, kind| {
            let reach = if is_of_nobody(kind) { Reach::All } else { Reach::Patient(patient) };
            (reach, served(Whose::Patient, kind))
        };
        self.rights(|whose, kind| match (whose, person) {
            (Whose::System, _) => None,
            (Whose::Patient, _) => patient.map(|patient| of(patient, kind)),
            (Whose::User, Some(person)) => Some(of(person, kind)),
            (Whose::User, None) => Some((Reach::All, served(Whose::User, kind))),
        })
    }

    /// One right for all that is asked of the same rows.
    fn rights(&self, reach: impl Fn(Whose, Kind) -> Option<(Reach, Verbs)>) -> Vec<Right> {
        let each = self.resources.iter().flat_map(|scope| {
            Kind::all().filter(move |kind| scope.kind.is_none_or(|of| of == *kind)).map(move |kind| (scope, kind))
        });
        let mut rights: Vec<Right> = Vec::new();
        for (scope, kind) in each {
            let Some((reach, most)) = reach(scope.whose, kind) else { continue };
            let verbs = Verbs::of(scope.verbs.iter().filter(|verb| most.has(*verb)));
            if verbs.is_empty() {
                continue;
            }
            let same = |right: &&mut Right| right.kind == kind && right.reach == reach && right.only == scope.only;
            match rights.iter_mut().find(same) {
                Some(right) => right.verbs = right.verbs.with(verbs),
                None => rights.push(Right { kind, verbs, reach, only: scope.only.clone() }),
            }
        }
        rights
    }
}

/// What is done with resources of this kind by a scope in this name, whoever has it: some kinds are written by this server alone, what
/// belongs to no patient is read for one, no patient's app says who is a patient here, and no person says who works where, since consents
/// that name an organization are about whoever has a role there, nor ends a Practitioner, with whom accounts end.
pub(super) fn served(whose: Whose, kind: Kind) -> Verbs {
    let reads = Verbs::of([Verb::Read, Verb::Search]);
    match (whose, kind) {
        (_, kind) if kind.is_ours() => reads,
        (Whose::Patient, kind) if is_of_nobody(kind) => reads,
        (Whose::Patient, Kind::PATIENT) => reads.with(Verbs::of([Verb::Update])),
        (Whose::User, Kind::PRACTITIONER_ROLE) => reads,
        (Whose::User, Kind::PRACTITIONER) => reads.with(Verbs::of([Verb::Create, Verb::Update])),
        (Whose::System | Whose::Patient | Whose::User, _) => Verbs::all(),
    }
}

/// Kinds whose resources belong to no patient.
fn is_of_nobody(kind: Kind) -> bool {
    matches!(kind, Kind::ORGANIZATION | Kind::PRACTITIONER | Kind::PRACTITIONER_ROLE | Kind::SUBSCRIPTION)
}

/// Why one scope is not served.
fn unserved(text: &str) -> ScopeError {
    if let Some((plain, query)) = text.split_once('?')
        && let Some(Scope { kind: Some(kind), .. }) = Scope::read(plain)
    {
        let mut parameters = query.split('&').filter(|one| !one.is_empty());
        let Some(wrong) = parameters.find(|one| Constraint::read(kind, one).is_none()) else {
            return ScopeError::Parameters(text.to_owned());
        };
        let name = wrong.split('=').next().unwrap_or_default();
        return ScopeError::Parameter { scope: text.to_owned(), parameter: name.to_owned() };
    }
    ScopeError::Unknown(text.to_owned())
}

fn words(text: &str) -> Result<impl Iterator<Item = &str>, ScopeError> {
    let words = text.split(' ').filter(|word| !word.is_empty());
    if words.clone().count() > MOST || text.len() > LENGTH { Err(ScopeError::TooMany) } else { Ok(words) }
}

impl Scope {
    /// A scope that names resources.
    fn read(text: &str) -> Option<Self> {
        let (whose, rest) = text.split_once('/')?;
        let whose = Whose::ALL.into_iter().find(|one| one.name() == whose)?;
        let (rest, only) = rest.split_once('?').map_or((rest, None), |(rest, only)| (rest, Some(only)));
        let (kind, verbs) = rest.split_once('.')?;
        let kind = if kind == "*" { None } else { Some(Kind::named(kind)?) };
        // What all kinds have in common says little of any of them.
        let only = match only {
            Some(query) => Some(Arc::new(Constraint::read(kind?, query)?)),
            None => None,
        };
        let old = OLD.into_iter().find(|(word, _)| *word == verbs);
        // Each letter once, in their order.
        let mut left = Verb::ALL.into_iter();
        let letters = old.map_or(verbs, |(_, letters)| letters).chars();
        let verbs: Option<Vec<Verb>> = letters.map(|letter| left.find(|verb| verb.letter() == letter)).collect();
        let verbs = Verbs::of(verbs?);
        (!verbs.is_empty()).then_some(Self { whose, kind, verbs, old: old.is_some() && only.is_none(), only })
    }

    /// Whether it means the same as `other`, in the words of whichever version.
    fn means(&self, other: &Self) -> bool {
        let Self { whose, kind, verbs, only, old: _ } = self;
        (whose, kind, verbs, only) == (&other.whose, &other.kind, &other.verbs, &other.only)
    }

    /// Whether what it asks of a resource besides its kind leaves no more than what `wide` asks.
    fn asks_no_more_than(&self, wide: &Self) -> bool {
        match (&self.only, &wide.only) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(own), Some(wide)) => own.is_within(wide),
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letters: String = self.verbs.iter().map(Verb::letter).collect();
        // Version 1 knows no parameters.
        let old = OLD.into_iter().find(|(_, of)| self.old && self.only.is_none() && *of == letters);
        let verbs = old.map_or(&*letters, |(word, _)| word);
        write!(f, "{}/{}.{verbs}", self.whose.name(), self.kind.map_or("*", Kind::name))?;
        self.only.as_ref().map_or(Ok(()), |only| write!(f, "?{only}"))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.words.iter().map(|word| word.name().to_owned());
        for (place, scope) in words.chain(self.resources.iter().map(ToString::to_string)).enumerate() {
            let separator = if place > 0 { " " } else { "" };
            write!(f, "{separator}{scope}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Scopes {
        Scopes::read(text).expect("scopes")
    }

    /// Shows REQ-SMART-132, REQ-SMART-133, REQ-SMART-170, REQ-SMART-220; REQ-SMART-195: of one that is served but for a parameter, that is told.
    #[test]
    fn scopes_are_read_and_written() {
        for (text, written) in [
            ("system/Observation.crs", "system/Observation.crs"),
            ("system/*.rs  system/Device.cruds", "system/*.rs system/Device.cruds"),
            ("system/Patient.read system/Observation.write", "system/Patient.read system/Observation.write"),
            ("system/Patient.* user/*.*", "system/Patient.* user/*.*"),
            ("patient/Observation.rs openid user/*.r openid", "openid patient/Observation.rs user/*.r"),
            ("launch/patient offline_access fhirUser", "launch/patient offline_access fhirUser"),
            ("patient/Observation.read?code=b,a&category=s%7Cx", "patient/Observation.rs?category=s|x&code=a,b"),
            (
                "patient/Patient.read patient/Patient.rs patient/*.rs patient/*.read",
                "patient/Patient.read patient/*.rs",
            ),
            (
                "user/Patient.rs?identifier=a user/Patient.read?identifier=a user/Patient.rs",
                "user/Patient.rs?identifier=a user/Patient.rs",
            ),
            ("", ""),
        ] {
            assert_eq!(Scopes::read(text).map(|scopes| scopes.to_string()), Ok(written.to_owned()), "{text}");
        }
        for no in [
            "profile",
            "group/Observation.rs",
            "system/Observation",
            "system/Observation.",
            "system/Observation.sr",
            "system/Observation.rr",
            "system/Encounter.r",
            "system/*.rs?_tag=x",
            "system/Observation?category=x",
            "system/observation.r",
            "System/Observation.r",
            "system/Observation.x",
            "launch/encounter",
        ] {
            assert_eq!(Scopes::read(no), Err(ScopeError::Unknown(no.to_owned())), "{no}");
            assert!(Scopes::read_known(no).is_ok_and(|scopes| scopes.is_nothing()), "{no}");
        }
        for (no, parameter) in [
            ("system/Observation.rs?colour=x", "colour"),
            ("system/Observation.rs?&colour=x", "colour"),
            ("system/Observation.rs?status=final&category:not=x", "category:not"),
            ("system/Patient.rs?category=x", "category"),
            ("system/Observation.read?value-quantity=3", "value-quantity"),
        ] {
            let (scope, parameter) = (no.to_owned(), parameter.to_owned());
            assert_eq!(Scopes::read(no), Err(ScopeError::Parameter { scope, parameter }), "{no}");
            assert!(Scopes::read_known(no).is_ok_and(|scopes| scopes.is_nothing()), "{no}");
        }
        let nine = (0..9).map(|number| format!("code={number}")).collect::<Vec<_>>().join("&");
        for no in ["system/Observation.rs?".to_owned(), format!("system/Observation.rs?{nine}")] {
            assert_eq!(Scopes::read(&no), Err(ScopeError::Parameters(no.clone())), "{no}");
            assert!(Scopes::read_known(&no).is_ok_and(|scopes| scopes.is_nothing()), "{no}");
        }
        assert_eq!(Scopes::read(&"system/Device.r ".repeat(65)), Err(ScopeError::TooMany));
        assert_eq!(Scopes::read_known(&"system/Device.r ".repeat(65)), Err(ScopeError::TooMany));
        let scope = |number| format!("system/Device.r?type=a{number},b&identifier=c,d");
        let many = |scopes| (0..scopes).map(scope).collect::<Vec<_>>().join(" ");
        assert!(Scopes::read(&many(32)).is_ok_and(|scopes| scopes.values() == VALUES));
        for read in [Scopes::read, Scopes::read_known] {
            assert_eq!(read(&many(33)), Err(ScopeError::TooMany), "more values");
        }
        // What was asked is longer where it is kept.
        let asked = read(&format!("system/Observation.r?code={}", "'".repeat(4_000)));
        assert!(Scopes::read(&asked.to_string()).is_err());
        assert_eq!(Scopes::of_kept(&asked.to_string()), asked);
    }

    #[test]
    fn only_what_is_allowed_is_left() {
        let asked = read("system/*.cr system/Observation.us user/*.r openid");
        let left = asked.narrowed(&[Kind::PATIENT, Kind::OBSERVATION], |verb, kind| {
            verb != Verb::Create || kind == Kind::OBSERVATION
        });
        assert_eq!(left.to_string(), "system/Patient.r system/Observation.crus");
        assert!(asked.narrowed(&[Kind::PATIENT], |_, _| false).is_empty());
        let asked = read("system/Observation.r?code=a system/Observation.s?code=a system/Observation.c system/*.s");
        assert_eq!(
            asked.narrowed(&[Kind::OBSERVATION], |_, _| true).to_string(),
            "system/Observation.rs?code=a system/Observation.cs"
        );
    }

    /// Shows REQ-SMART-31, REQ-SMART-134: nothing is given beyond what the client is registered for.
    #[test]
    fn what_is_given_is_within_the_registration() {
        let kinds = [Kind::PATIENT, Kind::OBSERVATION];
        for (asked, registered, given) in [
            ("patient/*.rs openid", "patient/*.cruds openid fhirUser", "openid patient/*.rs"),
            ("patient/*.rs", "patient/Observation.rs", "patient/Observation.rs"),
            ("patient/*.cruds", "patient/*.rs patient/Observation.c", "patient/Patient.rs patient/Observation.crs"),
            ("patient/Observation.cruds", "patient/*.rs", "patient/Observation.rs"),
            ("user/Observation.rs", "patient/*.rs", ""),
            ("system/Device.rs", "system/*.rs", ""),
            ("offline_access", "openid", ""),
            // What is constrained is within what is not, and within what asks less of a resource; of what is not, a part is left.
            (
                "patient/Observation.rs?category=a",
                "patient/*.r patient/Observation.s",
                "patient/Observation.rs?category=a",
            ),
            ("patient/Observation.rs", "patient/Observation.rs?category=a", "patient/Observation.rs?category=a"),
            (
                "patient/*.rs",
                "patient/Observation.rs?category=a patient/Patient.r",
                "patient/Patient.r patient/Observation.rs?category=a",
            ),
            (
                "patient/Observation.cruds",
                "patient/Observation.rs?category=a patient/Observation.crs?category=b patient/*.r",
                "patient/Observation.r patient/Observation.s?category=a patient/Observation.cs?category=b",
            ),
            (
                "patient/Observation.crs?category=a&code=b",
                "patient/Observation.rs?category=a,c",
                "patient/Observation.rs?category=a&code=b",
            ),
            (
                "patient/Observation.rs?category=a,b",
                "patient/Observation.rs?category=a",
                "patient/Observation.rs?category=a",
            ),
            ("patient/Observation.rs?category=a,b", "patient/Observation.rs?category=b,c", ""),
            ("patient/Observation.rs?code=a", "patient/Observation.rs?category=a", ""),
            (
                "patient/Observation.rs?category=a",
                "patient/Observation.r?category=a patient/Observation.s?category=b",
                "patient/Observation.r?category=a",
            ),
        ] {
            assert_eq!(read(asked).within(&read(registered), &kinds).to_string(), given, "{asked} of {registered}");
        }
    }

    /// Shows REQ-SMART-32, REQ-CONS-20: software of a person reaches one patient, and what belongs to nobody only to read it.
    #[test]
    fn rights_of_a_person_end_at_the_patient() {
        let (patient, all) = (Some(Row(7)), None);
        let rights = |text: &str, patient, person| read(text).rights_of_person(patient, person);
        let one =
            |kind, verbs: &[Verb], reach| Right { kind, verbs: Verbs::of(verbs.iter().copied()), reach, only: None };
        assert_eq!(
            rights("patient/Observation.r", patient, patient),
            [one(Kind::OBSERVATION, &[Verb::Read], Reach::Patient(Row(7)))]
        );
        assert_eq!(rights("patient/Observation.r", None, all), []);
        assert_eq!(rights("system/Observation.r", patient, patient), []);
        assert_eq!(rights("user/Observation.r", all, all), [one(Kind::OBSERVATION, &[Verb::Read], Reach::All)]);
        assert_eq!(
            rights("user/PractitionerRole.cruds user/Practitioner.ud", all, all),
            [
                one(Kind::PRACTITIONER_ROLE, &[Verb::Read, Verb::Search], Reach::All),
                one(Kind::PRACTITIONER, &[Verb::Update], Reach::All)
            ]
        );
        assert_eq!(
            rights("user/Observation.r", patient, patient),
            [one(Kind::OBSERVATION, &[Verb::Read], Reach::Patient(Row(7)))]
        );
        assert_eq!(
            rights("patient/Organization.cr", patient, patient),
            [one(Kind::ORGANIZATION, &[Verb::Read], Reach::All)]
        );
        assert_eq!(
            rights("patient/Organization.cr", patient, all),
            [one(Kind::ORGANIZATION, &[Verb::Read], Reach::All)]
        );
        assert_eq!(
            rights("user/Organization.cr", patient, patient),
            [one(Kind::ORGANIZATION, &[Verb::Read], Reach::All)]
        );
    }
}
