//! Observing: peer, knowledge and time in, a few discrete facts out.

use super::Code;
use crate::authenticate::{CredentialKind, Identified};
use crate::bond::Bond;
use crate::id::KeyId;
use crate::knowledge::Knowledge;
use crate::list::{AuthorityState, Standing, Suspension};
use crate::operation::Operation;
use crate::policy::Policy;
use crate::role::{DeviceTypes, Roles};
use crate::status::{MAX_RECORDS, Reason, Record, SetAnswer, State, StatusList, Subject, TicketContent};
use crate::time::{Interval, Time};

/// All that the table depends on, about one peer and one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Findings {
    /// What the credential is good for.
    pub kind: CredentialKind,
    /// How the issuers stand: the worst of them.
    pub issuer: IssuerStanding,
    /// Whether the peer may ask the operation at all.
    pub claim: Claim,
    /// Whether there is a fitting bond, or none is needed.
    pub bonded: bool,
    /// What is known against credential or device: the worst.
    pub status: Option<State>,
    /// Whether the chain has expired, at the instant that counts for the operation.
    pub expiry: Expiry,
    /// Whether its validity has begun.
    pub start: Start,
    /// Whether what is known of status and issuer is within its budget.
    pub fresh: bool,
}

/// How the issuers of a credential stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IssuerStanding {
    /// In good standing.
    Listed,
    /// The authority left in good standing, and the credential is from before.
    Retired,
    /// One of them is suspended.
    Suspended,
    /// The authority left in good standing, and the credential is from after.
    IssuedAfterRetirement,
    /// Only what was in the authority's log at its cut-off counts, and the credential is not known to have been.
    NotInLog,
    /// The authority is on no list held, or listed as something else.
    NotListed,
    /// One of them is no longer in service.
    Ceased,
    /// The key of one of them is in wrong hands.
    Compromised,
}

/// Whether a peer may ask an operation at all (invariant I5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// It has a role for it that its authority may vouch for, or needs none.
    Holds,
    /// No role it claims allows the operation.
    LacksOperation,
    /// One does, and the authority may not vouch for that role.
    RoleNotVouched,
    /// The authority may not vouch for its type of device.
    TypeNotVouched,
    /// The authority may not vouch for its name.
    NameNotVouched,
}

/// Whether a chain has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expiry {
    /// It has not.
    Within,
    /// For at most the grace.
    Grace,
    /// For longer, or perhaps for longer.
    Beyond,
}

/// Whether a chain's validity has begun.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Start {
    /// It has.
    Reached,
    /// It may not have: the judge's time is too uncertain.
    Uncertain,
    /// It has not.
    NotReached,
}

impl Findings {
    /// What is found about `peer` and `operation`.
    #[must_use]
    pub fn observe(
        peer: &Identified,
        operation: Operation,
        knowledge: &Knowledge<'_>,
        policy: &Policy,
        bond: Option<&Bond>,
    ) -> Self {
        observe(peer, operation, knowledge, policy, bond).0
    }

    /// The same without what time or ordinary news may take back.
    pub(super) fn lasting(self) -> Self {
        let status = match self.status {
            Some(State::Ceased | State::Compromised) => self.status,
            None | Some(State::Suspended | State::Superseded) => None,
        };
        let suspended = self.issuer == IssuerStanding::Suspended;
        let issuer = if suspended { IssuerStanding::Listed } else { self.issuer };
        Self { issuer, status, bonded: true, expiry: Expiry::Within, start: Start::Reached, fresh: true, ..self }
    }
}

/// What a denial may want to name.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts {
    not_after: Option<Time>,
    status_issued: Option<Time>,
    status: Option<(Option<Time>, Reason)>,
    issuer: Option<(Option<Time>, Option<Reason>)>,
}

impl Facts {
    /// Since when and why `code` holds.
    pub(super) fn about(&self, code: Code, peer: &Identified) -> (Option<Time>, Option<Reason>) {
        match code {
            Code::ExpiredWithinGrace | Code::ExpiredBeyondGrace => (self.not_after, None),
            Code::StatusStale => (self.status_issued, None),
            Code::NotYetValid => (Some(peer.validity().0), None),
            Code::Suspended | Code::Superseded | Code::Ceased | Code::Compromised => {
                self.status.map_or((None, None), |(since, reason)| (since, Some(reason)))
            }
            Code::IssuerRetired
            | Code::IssuerSuspended
            | Code::IssuedAfterRetirement
            | Code::IssuerCeased
            | Code::IssuerCompromised => self.issuer.unwrap_or_default(),
            Code::Attended
            | Code::BondMissing
            | Code::RoleLacksOperation
            | Code::RoleNotVouched
            | Code::DeviceTypeNotVouched
            | Code::NameNotVouched
            | Code::NotInLog
            | Code::BirthCredential
            | Code::NotABirthCredential
            | Code::IssuerNotListed => (None, None),
        }
    }
}

pub(super) fn observe(
    peer: &Identified,
    operation: Operation,
    knowledge: &Knowledge<'_>,
    policy: &Policy,
    bond: Option<&Bond>,
) -> (Findings, Facts) {
    let authority = peer.authority();
    let listing = authority.and_then(|key| Listing::of(key, peer, knowledge));
    let said = Said::about(peer, authority, knowledge);
    let until = listing.as_ref().and_then(|listing| listing.until);
    let (not_before, not_after) = peer.validity();
    let not_after = until.map_or(not_after, |until| not_after.min(until));
    let (issuer, issuer_facts) = issuer_standing(listing.as_ref(), &said, not_before);
    let budget = policy.budget_seconds(knowledge.setting, operation);
    let overdue = listing.as_ref().is_none_or(|listing| listing.overdue);
    let findings = Findings {
        kind: peer.kind(),
        issuer,
        claim: claim(peer, operation, listing.as_ref()),
        bonded: !operation.is_command() || bond.is_some_and(|bond| bond_fits(bond, peer, operation, knowledge)),
        status: said.worst.map(|(state, ..)| state),
        expiry: expiry(operation, knowledge.time, not_after, policy.grace_seconds()),
        start: start(operation, knowledge.time, not_before),
        fresh: !overdue && said.is_fresh(knowledge, budget),
    };
    let facts = Facts {
        not_after: Some(not_after),
        status_issued: said.issued,
        status: said.worst.map(|(_, since, reason)| (since, reason)),
        issuer: issuer_facts,
    };
    (findings, facts)
}

fn bond_fits(bond: &Bond, peer: &Identified, operation: Operation, knowledge: &Knowledge<'_>) -> bool {
    bond.permits(peer.device(), operation, knowledge.patient, knowledge.lowest_bond_epoch)
}

/// Expiry counts at the lower bound of time, and for commands at the upper: without one, everything that ends at all may
/// have ended long ago.
fn expiry(operation: Operation, time: Interval, not_after: Time, grace_seconds: u32) -> Expiry {
    let now = if operation.is_command() { time.latest() } else { Some(time.earliest()) };
    match now {
        None if not_after >= Time::NEVER => Expiry::Within,
        None => Expiry::Beyond,
        Some(now) if now <= not_after => Expiry::Within,
        Some(now) if now.seconds_since(not_after) <= i64::from(grace_seconds) => Expiry::Grace,
        Some(_) => Expiry::Beyond,
    }
}

/// A beginning counts as reached if it may be, and for commands only if it must be.
fn start(operation: Operation, time: Interval, not_before: Time) -> Start {
    if time.latest().is_some_and(|latest| latest < not_before) {
        Start::NotReached
    } else if operation.is_command() && time.earliest() < not_before {
        Start::Uncertain
    } else {
        Start::Reached
    }
}

fn claim(peer: &Identified, operation: Operation, listing: Option<&Listing>) -> Claim {
    if listing.is_some_and(|listing| !listing.type_vouched) {
        return Claim::TypeNotVouched;
    }
    if listing.is_some_and(|listing| !listing.name_vouched) {
        return Claim::NameNotVouched;
    }
    match operation {
        Operation::Read | Operation::Renew => return Claim::Holds,
        Operation::Report
        | Operation::Inform
        | Operation::Sustain
        | Operation::Treat
        | Operation::Halt
        | Operation::Configure
        | Operation::Store => {}
    }
    let vouched = listing.map_or(Roles::NONE, |listing| listing.roles);
    if peer.roles().intersection(vouched).operations().contains(operation) {
        Claim::Holds
    } else if peer.claimed_roles().operations().contains(operation) {
        Claim::RoleNotVouched
    } else {
        Claim::LacksOperation
    }
}

/// What all lists together say of the peer's authority.
struct Listing {
    state: AuthorityState,
    since: Option<Time>,
    /// When it retired, if any list says so: kept apart, as a worse state must not make it forgotten.
    retired: Option<Time>,
    roles: Roles,
    type_vouched: bool,
    name_vouched: bool,
    /// Whether a cut-off of any list leaves the credential out.
    cut_off: bool,
    until: Option<Time>,
    overdue: bool,
}

impl Listing {
    /// `None` if no list names the authority as one that gives such credentials.
    fn of(authority: KeyId, peer: &Identified, knowledge: &Knowledge<'_>) -> Option<Self> {
        let pinned = knowledge.pinned.contains(&authority).then_some(Self {
            state: AuthorityState::Listed,
            since: None,
            retired: None,
            roles: Roles::EVERY,
            type_vouched: DeviceTypes::Every.contains(peer.device_type()),
            name_vouched: true,
            cut_off: false,
            until: None,
            overdue: false,
        });
        knowledge.lists.iter().fold(pinned, |all, list| {
            let Some(entry) = list.standing(authority) else { return all };
            let overdue = knowledge.time.latest().is_none_or(|latest| latest > list.heading().next);
            let mut one = Self::from_entry(&entry, peer, overdue);
            let logged = |head| knowledge.logged.iter().any(|logged| logged.is_of(peer.credential(), head));
            one.cut_off = entry.cutoff.is_some_and(|head| !logged(head));
            let suspends = |one: &&Suspension<'_>| one.counts(authority, list, knowledge.time);
            if let Some(suspension) = knowledge.suspensions.iter().find(suspends)
                && one.state < AuthorityState::Suspended
            {
                (one.state, one.since) = (AuthorityState::Suspended, Some(suspension.content().issued));
            }
            if CredentialKind::given_by(entry.kind) != peer.kind() {
                // Listed as something else it vouches for nothing here; what is known against its key counts.
                if one.state < AuthorityState::Suspended {
                    return all;
                }
                one.roles = Roles::NONE;
            }
            Some(match all {
                None => one,
                Some(all) => all.and(&one),
            })
        })
    }

    fn from_entry(entry: &Standing<'_>, peer: &Identified, overdue: bool) -> Self {
        Self {
            state: entry.state,
            since: Some(entry.since),
            retired: (entry.state == AuthorityState::Retired).then_some(entry.since),
            roles: entry.roles,
            type_vouched: entry.device_types.contains(peer.device_type()),
            name_vouched: entry.names.contains(peer.device_name()),
            cut_off: false,
            until: entry.until,
            overdue,
        }
    }

    /// The worst of both.
    fn and(self, other: &Self) -> Self {
        let (state, since) = match self.state.cmp(&other.state) {
            core::cmp::Ordering::Less => (other.state, other.since),
            core::cmp::Ordering::Greater => (self.state, self.since),
            core::cmp::Ordering::Equal => (self.state, earlier(self.since, other.since)),
        };
        Self {
            state,
            since,
            retired: earlier(self.retired, other.retired),
            roles: self.roles.intersection(other.roles),
            type_vouched: self.type_vouched && other.type_vouched,
            name_vouched: self.name_vouched && other.name_vouched,
            cut_off: self.cut_off || other.cut_off,
            until: earlier(self.until, other.until),
            overdue: self.overdue || other.overdue,
        }
    }
}

fn earlier(one: Option<Time>, other: Option<Time>) -> Option<Time> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, None) => one,
        (None, other) => other,
    }
}

type IssuerFacts = Option<(Option<Time>, Option<Reason>)>;

fn issuer_standing(listing: Option<&Listing>, said: &Said, not_before: Time) -> (IssuerStanding, IssuerFacts) {
    let issuer_record = said.worst_issuer.map(|record| (Some(record.since), Some(record.reason)));
    let listed = listing.map(|listing| (listing.since, None));
    let of_record = |state| said.worst_issuer.is_some_and(|record| record.state == state);
    let of_list = |state| listing.is_some_and(|listing| listing.state == state);
    if of_record(State::Compromised) {
        return (IssuerStanding::Compromised, issuer_record);
    }
    if of_list(AuthorityState::Compromised) {
        return (IssuerStanding::Compromised, listed);
    }
    if of_record(State::Ceased) || of_record(State::Superseded) {
        return (IssuerStanding::Ceased, issuer_record);
    }
    let Some(listing) = listing else { return (IssuerStanding::NotListed, None) };
    if listing.retired.is_some_and(|retired| not_before > retired) {
        return (IssuerStanding::IssuedAfterRetirement, Some((listing.retired, None)));
    }
    if listing.cut_off {
        return (IssuerStanding::NotInLog, None);
    }
    if of_record(State::Suspended) {
        return (IssuerStanding::Suspended, issuer_record);
    }
    match listing.state {
        AuthorityState::Listed => (IssuerStanding::Listed, None),
        AuthorityState::Retired => (IssuerStanding::Retired, listed),
        AuthorityState::Suspended | AuthorityState::Compromised => (IssuerStanding::Suspended, listed),
    }
}

/// What status lists and ticket together say about the peer.
struct Said {
    /// The worst state of credential or device, since when, and why.
    worst: Option<(State, Option<Time>, Reason)>,
    worst_issuer: Option<Record>,
    /// When the newest statement was issued.
    issued: Option<Time>,
    /// Whether the ticket counts and answers the nonce, asked so many seconds ago.
    answered_seconds_ago: Option<u32>,
}

impl Said {
    fn about(peer: &Identified, authority: Option<KeyId>, knowledge: &Knowledge<'_>) -> Self {
        let mut said = Self { worst: None, worst_issuer: None, issued: None, answered_seconds_ago: None };
        let speaks = |name| {
            let is_one =
                |authority| authority == name || knowledge.lists.iter().any(|list| list.are_one(authority, name));
            authority.is_some_and(is_one)
        };
        let fits = |list: &&StatusList<'_>| speaks(list.heading().authority);
        let order = |list: &&StatusList<'_>| (list.heading().recovery_epoch, list.heading().epoch);
        let newest = knowledge.status.iter().filter(fits).max_by_key(order);
        let ticket = knowledge
            .ticket
            .filter(|ticket| speaks(ticket.authority()) && ticket.content().credential == peer.credential());
        let ticket = ticket.as_ref().map(|ticket| ticket.content());
        // A ticket from an epoch that is not older than the newest list's speaks with more recent knowledge: it may
        // lift a suspension. What is compromised in any of them stays so.
        let current_ticket = ticket.filter(|ticket| newest.is_none_or(|list| ticket.epoch >= list.heading().epoch));
        let about_peer = |set: &SetAnswer| speaks(set.authority) && set.credential == peer.credential();
        let set = knowledge.compact().filter(about_peer);
        for list in knowledge.status.iter().filter(fits) {
            let later = current_ticket.is_some()
                || newest.is_some_and(|newest| order(&newest) > order(&list))
                || set.is_some_and(|set| (set.recovery_epoch, set.epoch) > order(&list));
            // Who forgets a compromise, as after a restore, lifts nothing: it does not know what it leaves out.
            said.hear_list(list, peer, || later && newest.is_none_or(|newest| newest.remembers(list).is_ok()));
        }
        if let Some(ticket) = ticket {
            said.hear_ticket(ticket, current_ticket.is_none() || set.is_some_and(|set| set.epoch > ticket.epoch));
        }
        said.issued = newest.map(|list| list.heading().issued);
        if let Some(set) = &set {
            said.hear_set(set, newest, current_ticket);
        }
        if let Some(ticket) = current_ticket {
            said.issued = said.issued.max(Some(ticket.issued));
            said.answered_seconds_ago = answered(ticket, knowledge);
        }
        said
    }

    /// Hears what a list says of the peer; `lifted` says whether anything but a compromise is over by what came later, and is
    /// asked only if there is such a thing.
    fn hear_list(&mut self, list: &StatusList<'_>, peer: &Identified, lifted: impl Fn() -> bool) {
        if list.is_empty() {
            return;
        }
        let counts = |record: &Record| record.state == State::Compromised || !lifted();
        let own = [Subject::Credential(peer.credential()), Subject::Device(peer.device())];
        for record in own.into_iter().filter_map(|subject| list.record(subject)).filter(counts) {
            self.hear(record.state, Some(record.since), record.reason);
        }
        let issuers = peer.issuers().iter().filter_map(|key| list.record(Subject::Issuer(*key)));
        for record in issuers.filter(counts) {
            if self.worst_issuer.is_none_or(|worst| worst.state < record.state) {
                self.worst_issuer = Some(record);
            }
        }
    }

    /// A set tells of every credential it covers, so what it says stands: superseded, ceased and compromised for good,
    /// whatever a list leaves out; suspended until somebody speaks from a later epoch. A list that is full lifts nothing,
    /// since it may have had no room.
    fn hear_set(
        &mut self,
        set: &SetAnswer,
        newest: Option<&StatusList<'_>>,
        current_ticket: Option<&TicketContent<'_>>,
    ) {
        let order = (set.recovery_epoch, set.epoch);
        let list_is_later = newest.is_some_and(|list| (list.heading().recovery_epoch, list.heading().epoch) > order);
        let lifted = (list_is_later && newest.is_some_and(|list| list.len() < MAX_RECORDS))
            || current_ticket.is_some_and(|ticket| ticket.epoch >= set.epoch);
        match set.state {
            Some(State::Suspended) if lifted => {}
            Some(state) => self.hear(state, None, Reason::UNSPECIFIED),
            None => {}
        }
        if !list_is_later {
            self.issued = self.issued.max(Some(set.issued));
        }
    }

    fn hear_ticket(&mut self, ticket: &TicketContent<'_>, only_compromise: bool) {
        if let Some(state) = ticket.state
            && (!only_compromise || state == State::Compromised)
        {
            self.hear(state, None, ticket.reason);
        }
    }

    fn hear(&mut self, state: State, since: Option<Time>, reason: Reason) {
        if self.worst.is_none_or(|(worst, ..)| worst < state) {
            self.worst = Some((state, since, reason));
        }
    }

    /// Whether the newest statement is at most `budget_seconds` old. Its age counts at the upper bound of time; without
    /// one only an answer to the judge's own nonce is known to be new.
    fn is_fresh(&self, knowledge: &Knowledge<'_>, budget_seconds: u32) -> bool {
        if self.answered_seconds_ago.is_some_and(|age| age <= budget_seconds) {
            return true;
        }
        match (self.issued, knowledge.time.latest()) {
            (Some(issued), Some(latest)) => latest.seconds_since(issued) <= i64::from(budget_seconds),
            (None, _) | (_, None) => false,
        }
    }
}

fn answered(ticket: &TicketContent<'_>, knowledge: &Knowledge<'_>) -> Option<u32> {
    let asked = knowledge.asked?;
    (ticket.nonce == Some(asked.nonce)).then_some(asked.seconds_ago)
}
