//! Who asks.

use super::right::{Reach, Right, Verb, Verbs, Writer};
use super::sight::Sight;
use crate::DEVICE_SYSTEM;
use crate::auth::{Member, Scopes, Word};
use crate::consent::{Actor, Base, Ruling};
use crate::kind::{Kind, Millis, Row};
use crate::provenance::{Part, Statement, TESTIFIED, Testimony};
use crate::subscription::Subscriber;
use crate::validate::ident_of;
use medlock_trust::decide::Code;
use medlock_trust::{CredentialId, Denied, DeviceName, Operation};
use std::sync::Arc;

/// The name under which the administrator's own changes are noted: no client is registered with it.
const ADMINISTRATOR: &str = "administrator";

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// A device of the site, by its credential.
    Device {
        /// Its name in the register.
        name: DeviceName,
        /// What it showed.
        credential: CredentialId,
    },
    /// Software in its own name.
    Software {
        /// Its identifier.
        client: String,
    },
    /// A person, by software.
    Person {
        /// The number of the person's account.
        account: i64,
        /// The software.
        client: String,
    },
}

/// Whose a token is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// A device's.
    Device {
        /// Its name in the register.
        name: DeviceName,
        /// Its own row, if it works for itself alone; `None`: it works for others (a gateway).
        own: Option<Row>,
    },
    /// Software's own.
    Software {
        /// Its identifier.
        client: String,
    },
    /// That of software which a person uses.
    Person {
        /// The number of the person's account.
        account: i64,
        /// The software.
        client: String,
        /// The patient whose data is meant.
        patient: Option<Row>,
    },
}

impl Holder {
    /// As whose a Subscription is kept: a device has none.
    fn writer(&self) -> Option<Writer> {
        let (client, account) = match self {
            Self::Device { .. } => return None,
            Self::Software { client } => (client, None),
            Self::Person { client, account, .. } => (client, Some(*account)),
        };
        Some(Writer { client: client.clone(), account })
    }
}

/// Whether who asks may say which device of the register a Device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// It may not.
    Never,
    /// It may say it of a Device that is none yet, with a name that no other one has: a gateway, by its credential.
    Unclaimed,
    /// It may say it and take it back: the administrator.
    Any,
}

/// Who writes: some things are left to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Author {
    /// A patient, by an app.
    Patient,
    /// Another person, by an app.
    Person,
    /// A device, or software in its own name.
    Machine,
}

/// What else has to be shown with a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// Nothing.
    Bearer,
    /// A device's certificate (RFC 8705 section 3), or one that it renewed it to.
    Certificate {
        /// SHA-256 of the certificate.
        certificate: [u8; 32],
        /// The credential that it is.
        credential: CredentialId,
    },
    /// A proof by the key with this thumbprint (RFC 9449 section 6).
    Key([u8; 32]),
}

/// What a token stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The number of what was granted.
    pub leave: i64,
    /// To whom.
    pub holder: Holder,
    /// The resource of the person, if it is a person's.
    pub person: Option<(Kind, Row)>,
    /// What else has to be shown.
    pub binding: Binding,
    /// Until when, in seconds since 1970.
    pub until: i64,
    /// What was granted.
    pub scopes: Scopes,
    /// What that allows.
    pub rights: Arc<[Right]>,
    /// Of software of a community: as what that has to vouch for it.
    pub member: Option<Arc<Member>>,
}

impl Grant {
    /// The same, good for these scopes alone.
    pub(crate) fn good_for(self, scopes: Scopes) -> Self {
        // Who is a patient sees that one alone.
        let only = self.person.filter(|(kind, _)| *kind == Kind::PATIENT).map(|(_, row)| row);
        let mut rights = match &self.holder {
            Holder::Device { own, .. } => scopes.rights_of_device(*own),
            Holder::Software { .. } => scopes.rights_of_software(),
            Holder::Person { patient, .. } => scopes.rights_of_person(*patient, only),
        };
        // What somebody watches, and of whom, is nobody else's: a device watches nothing.
        let writer = self.holder.writer().map(Arc::new);
        rights.retain_mut(|right| match &writer {
            _ if right.kind != Kind::SUBSCRIPTION => true,
            Some(writer) => {
                right.reach = Reach::Writer(Arc::clone(writer));
                true
            }
            None => false,
        });
        Self { scopes, rights: rights.into(), ..self }
    }
}

/// How the holder of a token stands at this moment, for one operation.
pub(super) type Standing = Result<Option<Code>, Denied>;

/// Who asks, with what is allowed at this moment. Only [`Gate`](super::Gate) makes one.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) who: Who,
    pub(super) grant: Arc<Grant>,
    /// Of a device, the verdicts on reading, reporting and storing.
    pub(super) standings: Vec<(Operation, Standing)>,
    /// Whom the base policy lets see what no Consent speaks of.
    pub(super) base: Arc<[Base]>,
    /// When it asks.
    pub(super) at: Millis,
    /// Of a device, what is said of it beside what it writes, and what it is for that.
    pub(super) testimony: Option<(Arc<Testimony>, Part)>,
    /// SHA-256 of the token that was shown, if one was.
    pub(super) token: Option<[u8; 32]>,
}

impl Caller {
    /// Who asks.
    #[must_use]
    pub const fn who(&self) -> &Who {
        &self.who
    }

    /// The number of what was granted.
    #[must_use]
    pub fn leave(&self) -> i64 {
        self.grant.leave
    }

    /// Whether it may say which device of the register a Device is. Software may not, whatever its rights on Devices are: the
    /// device's readings would be another patient's.
    pub(crate) fn naming(&self) -> Naming {
        match (&self.grant.holder, &self.who) {
            (Holder::Software { client }, _) if client == ADMINISTRATOR => Naming::Any,
            (Holder::Device { own: None, .. }, Who::Device { .. }) => Naming::Unclaimed,
            _ => Naming::Never,
        }
    }

    /// Who writes.
    pub(crate) fn author(&self) -> Author {
        match (self.actor(), &self.who) {
            (Actor::Patient(_), _) => Author::Patient,
            (_, Who::Person { .. }) => Author::Person,
            (_, Who::Device { .. } | Who::Software { .. }) => Author::Machine,
        }
    }

    /// As whose a Subscription is kept.
    pub(crate) fn writer(&self) -> Option<Writer> {
        self.grant.holder.writer()
    }

    /// In whose name it is told what it wants to be told, until then (seconds since 1970) at most, and no more than its token is good
    /// for; `None`: a device is told nothing.
    pub(crate) fn subscriber(&self, until: i64) -> Option<Subscriber> {
        let (client, person) = match &self.grant.holder {
            Holder::Device { .. } => return None,
            Holder::Software { client } => (client, None),
            Holder::Person { client, account, .. } => (client, Some((self.grant.leave, *account))),
        };
        Some(Subscriber { client: client.clone(), person, scopes: self.grant.scopes.clone(), until })
    }

    /// Who takes turns: the device, the software, or the person with it, whatever token is shown.
    pub(crate) fn taker(&self) -> String {
        match &self.who {
            Who::Device { name, .. } => format!("device {name}"),
            Who::Software { client } => format!("software {client}"),
            Who::Person { account, client } => format!("person {account} {client}"),
        }
    }

    /// The community that vouches for its software, if one does.
    pub(crate) fn community(&self) -> Option<&str> {
        self.grant.member.as_ref().map(|member| &*member.community)
    }

    /// SHA-256 of the token that was shown.
    pub(crate) const fn token(&self) -> Option<[u8; 32]> {
        self.token
    }

    /// The software that asks in its own name; `None`: a person asks, or a device.
    pub(crate) fn software(&self) -> Option<&str> {
        match &self.grant.holder {
            Holder::Software { client } => Some(client),
            Holder::Person { .. } | Holder::Device { .. } => None,
        }
    }

    /// Whether it may open apps with a patient and a place.
    pub(crate) fn opens_apps(&self) -> bool {
        matches!(self.grant.holder, Holder::Software { .. }) && self.grant.scopes.has(Word::Opens)
    }

    /// What may be seen for this verb.
    #[must_use]
    pub fn sight(&self, verb: Verb) -> Sight {
        let sight = self.reach(verb);
        match self.ruling(verb) {
            Some(ruling) => sight.ruled(ruling),
            None => sight,
        }
    }

    /// What may be seen on the way to a write: what a device writes, no consent is asked for.
    #[must_use]
    pub(crate) fn sight_to_write(&self, verb: Verb) -> Sight {
        match self.grant.holder {
            Holder::Device { .. } => self.reach(verb),
            Holder::Software { .. } | Holder::Person { .. } => self.sight(verb),
        }
    }

    /// What rights and verdict allow, whatever patients say.
    fn reach(&self, verb: Verb) -> Sight {
        let writes = !matches!(verb, Verb::Read | Verb::Search);
        let allowed = self.grant.rights.iter().filter(|right| right.verbs.has(verb));
        let allowed = allowed.filter(|right| !writes || right.kind != Kind::CONSENT || self.states_consents());
        Sight::new(allowed.filter(|right| self.denial(verb, right.kind).is_none()).cloned())
    }

    /// Whether a Consent may come from here: whom the base policy does not name would open the door to themselves.
    fn states_consents(&self) -> bool {
        match self.actor() {
            Actor::Gateway(_) => false,
            Actor::Patient(_) | Actor::Staff(_) | Actor::Software => self.is_of_base(),
        }
    }

    fn actor(&self) -> Actor {
        match (&self.grant.holder, self.grant.person) {
            (Holder::Device { name, .. }, _) => Actor::Gateway(ident_of(name.as_str(), DEVICE_SYSTEM)),
            (Holder::Person { .. }, Some((Kind::PATIENT, row))) => Actor::Patient(row),
            (Holder::Person { .. }, Some((_, row))) => Actor::Staff(row),
            (Holder::Person { .. } | Holder::Software { .. }, _) => Actor::Software,
        }
    }

    fn is_of_base(&self) -> bool {
        match self.actor() {
            Actor::Gateway(_) => true,
            Actor::Patient(_) => self.base.contains(&Base::OwnApps),
            Actor::Staff(_) => self.base.contains(&Base::Staff),
            Actor::Software => self.base.contains(&Base::Software),
        }
    }

    /// Whose word is asked for this verb: of a gateway only what it reads, of a device that works for itself nothing.
    fn ruling(&self, verb: Verb) -> Option<Ruling> {
        let reads = matches!(verb, Verb::Read | Verb::Search);
        match self.grant.holder {
            Holder::Device { own: Some(_), .. } => return None,
            Holder::Device { own: None, .. } if !reads => return None,
            Holder::Device { .. } | Holder::Software { .. } | Holder::Person { .. } => {}
        }
        Some(Ruling { actor: self.actor(), base: self.is_of_base(), verb, at: self.at, leave: self.grant.leave })
    }

    /// Who breaks the glass: somebody of the staff, by their row, with this software.
    pub(crate) fn staff(&self) -> Option<(Row, &str)> {
        match (&self.grant.holder, self.actor()) {
            (Holder::Person { client, .. }, Actor::Staff(row)) => Some((row, client)),
            _ => None,
        }
    }

    /// When it asks.
    pub(crate) const fn at(&self) -> Millis {
        self.at
    }

    /// What may be referred to: what may be read, and of a device itself and its patient, or of a person the patient, which
    /// they know anyway.
    #[must_use]
    pub(crate) fn references(&self) -> Sight {
        let known: &[(Kind, Reach)] = match &self.grant.holder {
            Holder::Device { own: Some(own), .. } => {
                &[(Kind::DEVICE, Reach::Device(*own)), (Kind::PATIENT, Reach::Device(*own))]
            }
            // What a gateway passes on is of somebody, whether or not it may read of them at the moment.
            Holder::Device { own: None, .. } => &[(Kind::DEVICE, Reach::All), (Kind::PATIENT, Reach::All)],
            Holder::Person { patient: Some(patient), .. } => &[(Kind::PATIENT, Reach::Patient(*patient))],
            Holder::Person { patient: None, .. } | Holder::Software { .. } => &[],
        };
        let verbs = Verbs::of([Verb::Read]);
        let known = known.iter().map(|(kind, reach)| Right { kind: *kind, verbs, reach: reach.clone(), only: None });
        let read = self.grant.rights.iter().filter(|right| right.verbs.has(Verb::Read)).cloned();
        let read = read.filter(|right| self.denial(Verb::Read, right.kind).is_none());
        let sight = Sight::new(read.chain(known));
        let ruling = match self.grant.holder {
            Holder::Device { .. } => None,
            Holder::Software { .. } | Holder::Person { .. } => self.ruling(Verb::Read),
        };
        match ruling {
            Some(ruling) => sight.ruled(ruling),
            None => sight,
        }
    }

    /// Why the holder may not do this at this moment, whatever the token says.
    #[must_use]
    pub fn denial(&self, verb: Verb, kind: Kind) -> Option<Denied> {
        let denied = |standing: &Standing| standing.as_ref().err().copied();
        let too = || self.standing_for(verb.needs_too(kind)?).and_then(denied);
        self.standing(verb, kind).and_then(denied).or_else(too)
    }

    /// What is written beside what comes of this: how its device stands.
    #[must_use]
    pub fn mark(&self, verb: Verb, kind: Kind) -> Option<Code> {
        self.standing(verb, kind)?.as_ref().ok().copied().flatten()
    }

    /// What is said of it beside what a device writes.
    pub(crate) fn statement(&self, verb: Verb, kind: Kind) -> Option<Statement> {
        let (testimony, part) = self.testimony.as_ref().filter(|_| TESTIFIED.contains(&kind))?;
        let operation = verb.operation(kind)?;
        Some(Statement { testimony: Arc::clone(testimony), part: *part, operation, mark: self.mark(verb, kind) })
    }

    fn standing(&self, verb: Verb, kind: Kind) -> Option<&Standing> {
        self.standing_for(verb.operation(kind)?)
    }

    fn standing_for(&self, operation: Operation) -> Option<&Standing> {
        self.standings.iter().find(|(of, _)| *of == operation).map(|(_, standing)| standing)
    }
}

impl Caller {
    /// The administrator, who asks over the hub's socket: what is written so is noted as that software's.
    pub(crate) fn administrator() -> Self {
        let scopes = Scopes::read("system/*.rs system/Device.u system/Subscription.u").unwrap_or_default();
        let rights = Arc::from(scopes.rights_of_software());
        let client = ADMINISTRATOR.to_owned();
        let holder = Holder::Software { client: client.clone() };
        let binding = Binding::Bearer;
        let grant = Grant { leave: 0, holder, person: None, binding, until: 0, scopes, rights, member: None };
        // What the site itself puts in order, no patient is asked for.
        let base = Base::ALL.as_slice().into();
        let (who, grant, at) = (Who::Software { client }, Arc::new(grant), Millis(0));
        Self { who, grant, standings: Vec::new(), base, at, testimony: None, token: None }
    }
}

impl Caller {
    /// The administrator, who says whose it was that this device delivered: noted as theirs, and written as the device's own, for
    /// which no patient is asked.
    pub(crate) fn assigning(name: DeviceName) -> Self {
        let scopes = Scopes::read("system/Device.rs system/Patient.rs system/MedicationAdministration.c");
        let scopes = scopes.unwrap_or_default();
        let rights = Arc::from(scopes.rights_of_software());
        let holder = Holder::Device { name, own: None };
        let binding = Binding::Bearer;
        let grant = Grant { leave: 0, holder, person: None, binding, until: 0, scopes, rights, member: None };
        Self { grant: Arc::new(grant), ..Self::administrator() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use medlock_trust::DeviceId;

    /// Shows REQ-SRCH-20: whatever tokens one shows, it is the same who takes turns; another person with the same software is another.
    #[test]
    fn who_takes_turns_does_not_depend_on_the_token() {
        let caller = |who: &Who, token: u8| {
            let grant = Arc::new(Grant { leave: token.into(), ..Grant::clone(&Caller::administrator().grant) });
            Caller { who: who.clone(), grant, token: Some([token; 32]), ..Caller::administrator() }
        };
        let person = |account| Who::Person { account, client: "a".into() };
        let (name, credential) = (DeviceName::new("a").expect("a name"), CredentialId::from_bytes([1; 16]));
        let all = [Who::Software { client: "a".into() }, person(1), person(2), Who::Device { name, credential }];
        for (place, who) in all.iter().enumerate() {
            assert_eq!(caller(who, 1).taker(), caller(who, 2).taker());
            assert!(all[..place].iter().all(|other| caller(other, 1).taker() != caller(who, 1).taker()), "{who:?}");
        }
        let renewed = Who::Device { name, credential: CredentialId::from_bytes([2; 16]) };
        assert_eq!(caller(&renewed, 1).taker(), caller(&all[3], 1).taker());
    }

    /// A device that reports, marked, and may neither read nor store.
    fn suspended() -> Caller {
        let (name, credential) = (DeviceName::new("gw").expect("a name"), CredentialId::from_bytes([1; 16]));
        let denied = |operation| Denied {
            operation,
            device: DeviceId::from_bytes([2; 16]),
            credential,
            code: Code::Suspended,
            since: None,
            reason: None,
        };
        let kinds = [Kind::OBSERVATION, Kind::PATIENT, Kind::IMAGING_STUDY].into_iter();
        let rights =
            kinds.map(|kind| Right { kind, verbs: Verbs::of(Verb::ALL), reach: Reach::All, only: None }).collect();
        let holder = Holder::Device { name, own: None };
        let grant = Grant {
            leave: 1,
            holder,
            person: None,
            binding: Binding::Certificate { certificate: [0; 32], credential },
            until: 0,
            scopes: Scopes::default(),
            rights,
            member: None,
        };
        let standings = vec![
            (Operation::Read, Err(denied(Operation::Read))),
            (Operation::Report, Ok(Some(Code::Suspended))),
            (Operation::Store, Err(denied(Operation::Store))),
        ];
        let base = Base::ALL.as_slice().into();
        Caller {
            who: Who::Device { name, credential },
            grant: Arc::new(grant),
            standings,
            base,
            at: Millis(0),
            testimony: None,
            token: None,
        }
    }

    /// Shows REQ-SMART-04: what the verdict denies is in no sight, whatever the token says.
    #[test]
    fn a_sight_is_what_token_and_verdict_both_allow() {
        let caller = suspended();
        let creates = |kind| caller.sight(Verb::Create).may(kind);
        assert!(creates(Kind::OBSERVATION) && !creates(Kind::PATIENT) && !creates(Kind::IMAGING_STUDY));
        assert!(!caller.sight(Verb::Update).may(Kind::OBSERVATION));
        assert!(!caller.sight(Verb::Read).may(Kind::PATIENT) && !caller.sight(Verb::Search).may(Kind::PATIENT));
        assert!(caller.references().may(Kind::PATIENT), "what it tells is of somebody");
        assert!(!caller.references().may(Kind::OBSERVATION));
        assert!(!creates(Kind::MEDICATION_ADMINISTRATION), "the token says nothing of it");
        assert_eq!(caller.mark(Verb::Create, Kind::OBSERVATION), Some(Code::Suspended));
        assert_eq!(caller.mark(Verb::Read, Kind::PATIENT), None);
    }
}
