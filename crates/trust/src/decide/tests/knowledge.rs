//! The invariants over real knowledge: lists, records, tickets, bonds and times.

use super::*;
use crate::bond::PatientContext;
use crate::cose::{Algorithm, ContentType, sign, sign1};
use crate::id::{CredentialId, KeyId};
use crate::knowledge::{Asked, Setting};
use crate::list::{self, Authority, AuthorityState, List, ListKind, Member, Names};
use crate::log::{Hash, Logged, TreeHead};
use crate::path::AuthorityKind;
use crate::role::{DeviceType, DeviceTypes, Role, Roles};
use crate::status::{Heading, Record, SetAnswer, StatusContent, StatusList, Subject, Ticket, TicketContent};
use crate::time::Interval;
use core::slice::from_ref;
use proptest::prelude::*;

const ROOT: KeyId = KeyId::from_bytes([1; 16]);
const ISSUING: KeyId = KeyId::from_bytes([2; 16]);
const DAY: i64 = 86_400;
const HOUR: i64 = 3_600;
/// The credential is valid from day 100 to day 200.
const BEGIN: i64 = 100 * DAY;
const END: i64 = 200 * DAY;
const ALL_ROLES: [Role; 8] = Role::ALL;

fn at(seconds: i64) -> Time {
    Time::from_unix(seconds)
}

fn peer(kind: CredentialKind, roles: Roles) -> Identified {
    Identified::for_test(kind, roles, (at(BEGIN), at(END)), &[ISSUING, ROOT])
}

fn operational() -> Identified {
    peer(CredentialKind::Operational, Roles::of(&ALL_ROLES))
}

fn bond() -> Bond {
    Bond {
        controller: operational().device(),
        patient: PatientContext([5; 16]),
        operations: crate::operation::Operations::of(&Operation::ALL),
        epoch: 4,
    }
}

/// What a test may change of the knowledge.
#[derive(Clone, Debug)]
struct World {
    state: AuthorityState,
    since: i64,
    until: Option<i64>,
    roles: Roles,
    kind: AuthorityKind,
    types: Option<u16>,
    list_next: i64,
    listed: bool,
    /// The prefix of the names it vouches for.
    names: Option<&'static str>,
    cut_off: bool,
    logged: bool,
    /// An emergency suspension: when it was issued, and until when it counts.
    suspension: Option<(i64, i64)>,
    status: Option<(i64, u64, Vec<Record>)>,
    compact: Option<(i64, u64, Option<State>)>,
    ticket: Option<(i64, u64, Option<State>, bool)>,
    asked_seconds_ago: u32,
    setting: Setting,
    time: (i64, Option<i64>),
}

impl World {
    /// Everything is good at day 150.
    fn good() -> Self {
        let now = 150 * DAY;
        Self {
            state: AuthorityState::Listed,
            since: 0,
            until: None,
            roles: Roles::EVERY,
            kind: AuthorityKind::Site,
            types: None,
            list_next: 10_000 * DAY,
            listed: true,
            names: None,
            cut_off: false,
            logged: false,
            suspension: None,
            status: Some((now - HOUR, 10, Vec::new())),
            compact: None,
            ticket: None,
            asked_seconds_ago: 5,
            setting: Setting::Hospital,
            time: (now, Some(now)),
        }
    }

    fn list(&self) -> Vec<u8> {
        let types = self.types.map(u16::to_be_bytes);
        let mut names = Vec::new();
        if let Some(prefix) = self.names {
            Names::encode(&[prefix], &mut names).unwrap();
        }
        let authority = Authority {
            names: self.names.map_or(Names::EVERY, |_| Names::listed(&names).unwrap()),
            cutoff: self.cut_off.then_some(log().0),
            roles: self.roles,
            device_types: types.as_ref().map_or(DeviceTypes::Every, |types| DeviceTypes::listed(types).unwrap()),
            state: self.state,
            since: at(self.since),
            until: self.until.map(at),
            ..Authority::for_everything(ROOT, self.kind, "Site", b"subject", b"spki")
        };
        let issued = at((self.list_next - 3_000 * DAY).max(0));
        let heading = list::Heading::first(ListKind::Site, "Site", issued, at(self.list_next));
        let members = [Member { key: ROOT, spki: b"spki", name: "root" }];
        let authorities = [authority];
        let authorities = if self.listed { &authorities[..] } else { &[] };
        let mut payload = Vec::new();
        list::Content { heading, members: &members, recovery: &[], authorities, services: &[] }
            .encode(&mut payload)
            .unwrap();
        let mut bytes = Vec::new();
        sign(&payload, ContentType::LIST, &[(ROOT, Algorithm::Es256)], &mut bytes, |_, _| Ok::<_, ()>([0; 64]))
            .unwrap();
        bytes
    }

    fn with<T>(&self, use_it: impl FnOnce(&Knowledge<'_>) -> T) -> T {
        let list_bytes = self.list();
        let lists = [List::danger_open(&list_bytes).unwrap()];
        let status_bytes = self.status.as_ref().map(|(issued, epoch, records)| status_bytes(*issued, *epoch, records));
        let status: Vec<_> = status_bytes.iter().map(|bytes| StatusList::danger_open(bytes).unwrap()).collect();
        let suspension = self.suspension.map(|(issued, expires)| suspension(issued, expires));
        let suspensions: Vec<_> =
            suspension.iter().map(|bytes| list::Suspension::danger_open(bytes).unwrap()).collect();
        let logged = log().1;
        let nonce = [3; 8];
        let ticket = self.ticket.map(|(issued, epoch, state, answers)| {
            Ticket::danger_believe(
                ROOT,
                TicketContent {
                    credential: operational().credential(),
                    state,
                    reason: Reason::STOLEN,
                    epoch,
                    issued: at(issued),
                    nonce: answers.then_some(&nonce),
                },
            )
        });
        let knowledge = Knowledge {
            time: Interval::new(at(self.time.0), self.time.1.map(at)).unwrap(),
            lists: &lists,
            pinned: &[],
            suspensions: &suspensions,
            logged: if self.logged { from_ref(&logged) } else { &[] },
            status: &status,
            compact: self.compact.map(|(issued, epoch, state)| set_answer(issued, epoch, state)),
            ticket,
            asked: Some(Asked { nonce: &nonce, seconds_ago: self.asked_seconds_ago }),
            setting: self.setting,
            patient: Some(PatientContext([5; 16])),
            lowest_bond_epoch: 4,
        };
        use_it(&knowledge)
    }

    fn effect(&self, operation: Operation) -> Effect {
        self.effect_of(&operational(), operation).0
    }

    fn effect_of(&self, peer: &Identified, operation: Operation) -> (Effect, Option<Code>) {
        self.with(|knowledge| match decide(peer, operation, knowledge, &Policy::default(), Some(&bond())) {
            Verdict::Allow(permit) if permit.obligations().alert => (Effect::Alert, permit.mark()),
            Verdict::Allow(permit) => (Effect::Allow, permit.mark()),
            Verdict::Deny(denied) => (Effect::Deny, Some(denied.code)),
        })
    }
}

/// A log with the credential alone, and the proof of it.
fn log() -> (TreeHead, Logged) {
    let head = TreeHead { size: 1, root: Hash::from_bytes([7; 32]) };
    (head, Logged::for_test(operational().credential(), head))
}

fn suspension(issued: i64, expires: i64) -> Vec<u8> {
    let mut payload = Vec::new();
    let (issued, expires) = (at(issued), at(expires));
    let content = list::SuspensionContent::new("Site", 0, issued, expires, Reason::STOLEN, ROOT.as_bytes());
    content.unwrap().encode(&mut payload).unwrap();
    let mut bytes = Vec::new();
    sign(&payload, ContentType::SUSPENSION, &[(ROOT, Algorithm::Es256)], &mut bytes, |_, _| Ok::<_, ()>([0; 64]))
        .unwrap();
    bytes
}

fn status_bytes(issued: i64, epoch: u64, records: &[Record]) -> Vec<u8> {
    let heading = Heading { authority: ROOT, recovery_epoch: 0, epoch, issued: at(issued), next: at(issued) };
    let mut payload = Vec::new();
    StatusContent { heading, records }.encode(&mut payload).unwrap();
    let mut bytes = Vec::new();
    let place = crate::cose::Place::Header(ContentType::STATUS);
    sign1(&payload, place, Algorithm::Es256, ROOT.as_bytes(), &mut bytes, |_| Ok::<_, ()>([0; 64])).unwrap();
    bytes
}

fn set_answer(issued: i64, epoch: u64, state: Option<State>) -> SetAnswer {
    let (issued, credential) = (at(issued), operational().credential());
    SetAnswer { authority: ROOT, credential, state, recovery_epoch: 0, epoch, issued }
}

fn record(subject: Subject, state: State) -> Record {
    Record { subject, state, reason: Reason::STOLEN, since: at(7), epoch: 1 }
}

fn subjects() -> [Subject; 4] {
    let peer = operational();
    [
        Subject::Credential(peer.credential()),
        Subject::Device(peer.device()),
        Subject::Issuer(ISSUING),
        Subject::Issuer(ROOT),
    ]
}

#[test]
fn a_good_peer_may_do_everything_without_a_mark() {
    for operation in Operation::ALL {
        assert_eq!(World::good().effect_of(&operational(), operation), (Effect::Allow, None), "{operation}");
    }
}

#[test]
fn the_whole_chain_counts() {
    for subject in subjects() {
        for state in State::ALL {
            let mut world = World::good();
            world.status = Some((150 * DAY, 10, std::vec![record(subject, state)]));
            let issuer = matches!(subject, Subject::Issuer(_));
            let code = match state {
                State::Suspended if issuer => Code::IssuerSuspended,
                State::Suspended => Code::Suspended,
                State::Superseded | State::Ceased if issuer => Code::IssuerCeased,
                State::Superseded => Code::Superseded,
                State::Ceased => Code::Ceased,
                State::Compromised if issuer => Code::IssuerCompromised,
                State::Compromised => Code::Compromised,
            };
            assert_eq!(world.effect_of(&operational(), Operation::Store), (Effect::Deny, Some(code)), "{subject:?}");
        }
    }
}

#[test]
fn a_denial_says_since_when_and_why() {
    let mut world = World::good();
    world.status = Some((150 * DAY, 10, std::vec![record(subjects()[1], State::Compromised)]));
    let denied = world.with(|knowledge| decide(&operational(), Operation::Treat, knowledge, &Policy::default(), None));
    let Verdict::Deny(denied) = denied else { panic!("allowed") };
    assert_eq!((denied.since, denied.reason), (Some(at(7)), Some(Reason::STOLEN)));
    let text = std::string::ToString::to_string(&denied);
    assert_eq!(
        text,
        "treat denied: compromised since 1970-01-01T00:00:07Z (stolen); make a new key and enrol it with a new code; a \
         stolen device stays out"
    );
}

#[test]
fn a_status_list_of_another_authority_says_nothing() {
    let bytes = status_bytes(150 * DAY, 10, &[record(subjects()[0], State::Suspended)]);
    let own = status_bytes(150 * DAY, 1, &[]);
    World::good().with(|knowledge| {
        let own = StatusList::danger_open(&own).unwrap();
        let status = [StatusList::danger_open(&bytes).unwrap(), own];
        let other = Identified::for_test(
            CredentialKind::Operational,
            Roles::of(&ALL_ROLES),
            (at(BEGIN), at(END)),
            &[ISSUING, KeyId::from_bytes([9; 16])],
        );
        let knowledge = Knowledge { status: &status, pinned: &[KeyId::from_bytes([9; 16])], ..*knowledge };
        let findings = Findings::observe(&other, Operation::Store, &knowledge, &Policy::default(), None);
        assert_eq!((findings.status, findings.fresh, findings.issuer), (None, false, IssuerStanding::Listed));
    });
}

/// Shows REQ-TRUST-24: a suspension is lifted by a newer epoch, a compromise by none.
#[test]
fn i4_a_newer_epoch_lifts_a_suspension_and_no_compromise() {
    for (state, lifted) in [(State::Suspended, true), (State::Compromised, false)] {
        let old = status_bytes(149 * DAY, 9, &[record(subjects()[1], state)]);
        let new = status_bytes(150 * DAY, 10, &[]);
        let effect = World::good().with(|knowledge| {
            let status = [StatusList::danger_open(&new).unwrap(), StatusList::danger_open(&old).unwrap()];
            let knowledge = Knowledge { status: &status, ..*knowledge };
            decide(&operational(), Operation::Store, &knowledge, &Policy::default(), None).is_allowed()
        });
        assert_eq!(effect, lifted, "{state:?}, by a newer list");
        for (epoch, counts) in [(9, false), (10, true), (11, true)] {
            let mut world = World::good();
            world.status = Some((150 * DAY, 10, std::vec![record(subjects()[1], state)]));
            world.ticket = Some((150 * DAY, epoch, None, false));
            let allowed = world.effect(Operation::Store) == Effect::Allow;
            assert_eq!(allowed, lifted && counts, "{state:?}, by a ticket of epoch {epoch}");
        }
    }
    let mut world = World::good();
    world.ticket = Some((1, 1, Some(State::Compromised), false));
    assert_eq!(world.effect(Operation::Renew), Effect::Deny, "an old ticket still knows a compromise");
}

/// Shows REQ-STAT-03: list, set and ticket together: the worst counts, but for a suspension that a later epoch lifts.
#[test]
fn i3_a_compact_set_makes_nothing_better_but_what_a_newer_epoch_lifts() {
    let now = 150 * DAY;
    let own = subjects()[0];
    for state in State::ALL {
        for (list, set, ticket) in [(9, 10, None), (10, 9, None), (10, 10, None), (9, 10, Some(9)), (9, 9, Some(10))] {
            // Whoever says something bad, what is left of it depends on who spoke later, and whether it can be lifted.
            let told = |by_list: bool| {
                let mut world = World::good();
                let records = if by_list { std::vec![record(own, state)] } else { Vec::new() };
                world.status = Some((now - HOUR, list, records));
                world.compact = Some((now - HOUR, set, (!by_list).then_some(state)));
                world.ticket = ticket.map(|epoch| (now - HOUR, epoch, None, false));
                world.with(|knowledge| {
                    Findings::observe(&operational(), Operation::Store, knowledge, &Policy::default(), None).status
                })
            };
            let lifted_by_ticket = |epoch| ticket.is_some_and(|ticket| ticket >= epoch && ticket >= list);
            let list_lifted = set > list || lifted_by_ticket(list);
            let set_lifted = list > set || lifted_by_ticket(set);
            let compromised = state == State::Compromised;
            let expected = (compromised || !list_lifted).then_some(state);
            assert_eq!(told(true), expected, "{state:?} on the list: {list}, {set}, {ticket:?}");
            let expected = (state != State::Suspended || !set_lifted).then_some(state);
            assert_eq!(told(false), expected, "{state:?} in the set: {list}, {set}, {ticket:?}");
        }
    }
}

/// Shows REQ-STAT-03.
#[test]
fn i3_a_compact_set_is_a_statement_of_its_age_about_the_credentials_it_covers() {
    let now = 150 * DAY;
    let fresh = |status: Option<(i64, u64, Vec<Record>)>, compact| {
        let world = World { status, compact, ..World::good() };
        let observed = |knowledge: &Knowledge<'_>| {
            Findings::observe(&operational(), Operation::Configure, knowledge, &Policy::default(), None)
        };
        world.with(|knowledge| observed(knowledge).fresh)
    };
    assert!(!fresh(None, None));
    assert!(fresh(None, Some((now - DAY, 10, None))));
    assert!(!fresh(None, Some((now - DAY - 1, 10, None))), "older than the budget");
    let old = Some((now - 2 * DAY, 9, Vec::new()));
    assert!(!fresh(old.clone(), None));
    assert!(fresh(old, Some((now - HOUR, 9, None))));
    assert!(!fresh(Some((now - 2 * DAY, 11, Vec::new())), Some((now - HOUR, 10, None))), "the list speaks from later");
    World { status: None, ..World::good() }.with(|knowledge| {
        let compact = Some(SetAnswer { credential: CredentialId::from_bytes([9; 16]), ..set_answer(now, 10, None) });
        let knowledge = Knowledge { compact, ..*knowledge };
        let findings = Findings::observe(&operational(), Operation::Store, &knowledge, &Policy::default(), None);
        assert!(!findings.fresh, "about another credential");
    });
}

/// Shows REQ-TRUST-24.
#[test]
fn i4_a_bond_of_an_old_epoch_or_another_patient_grants_nothing() {
    World::good().with(|knowledge| {
        let with = |bond: &Bond| {
            decide(&operational(), Operation::Treat, knowledge, &Policy::default(), Some(bond)).is_allowed()
        };
        assert!(with(&bond()));
        assert!(!with(&Bond { epoch: 3, ..bond() }));
        assert!(!with(&Bond { patient: PatientContext([6; 16]), ..bond() }));
        assert!(!with(&Bond { controller: DeviceId::from_bytes([0; 16]), ..bond() }));
        assert!(!with(&Bond { operations: crate::operation::Operations::of(&[Operation::Halt]), ..bond() }));
        let none = decide(&operational(), Operation::Treat, knowledge, &Policy::default(), None);
        assert!(matches!(none, Verdict::Deny(Denied { code: Code::BondMissing, .. })));
    });
    let other = Bond { controller: DeviceId::from_bytes([0; 16]), ..bond() };
    assert!(Bond::only_one_treats(&[bond(), bond()]) && !Bond::only_one_treats(&[bond(), other]));
}

/// Shows REQ-TRUST-25: each role grants what `Role::operations` says, and reading and renewing need none.
#[test]
fn i5_roles_are_asked_for_and_must_be_vouched() {
    for operation in Operation::ALL {
        let needs_none = matches!(operation, Operation::Read | Operation::Renew);
        for role in ALL_ROLES {
            let holder = peer(CredentialKind::Operational, Roles::of(&[role]));
            let granted = World::good().effect_of(&holder, operation);
            let expected = needs_none || role.operations().contains(operation);
            assert_eq!(granted.0 == Effect::Allow, expected, "{role}, {operation}");
            let mut world = World::good();
            world.roles = Roles::NONE;
            let expected = match (needs_none, role.operations().contains(operation)) {
                (true, _) => (Effect::Allow, None),
                (false, true) => (Effect::Deny, Some(Code::RoleNotVouched)),
                (false, false) => (Effect::Deny, Some(Code::RoleLacksOperation)),
            };
            assert_eq!(world.effect_of(&holder, operation), expected, "not vouched: {role}, {operation}");
        }
    }
}

#[test]
fn authorities_vouch_for_their_device_types_and_kind_only() {
    let with = |change: &dyn Fn(&mut World)| {
        let mut world = World::good();
        change(&mut world);
        world.effect_of(&operational(), Operation::Read)
    };
    assert_eq!(with(&|world| world.types = Some(1)), (Effect::Allow, None));
    assert_eq!(with(&|world| world.types = Some(2)), (Effect::Deny, Some(Code::DeviceTypeNotVouched)));
    assert_eq!(operational().device_type(), Some(DeviceType(1)));
    assert_eq!(with(&|world| world.kind = AuthorityKind::Maker), (Effect::Deny, Some(Code::IssuerNotListed)));
    assert_eq!(with(&|world| world.listed = false), (Effect::Deny, Some(Code::IssuerNotListed)));
    let compromised = with(&|world| {
        world.kind = AuthorityKind::Maker;
        world.state = AuthorityState::Compromised;
    });
    assert_eq!(compromised, (Effect::Deny, Some(Code::IssuerCompromised)), "a key compromised in another function");
}

/// Shows REQ-LIST-02.
#[test]
fn authorities_vouch_for_names_that_begin_as_they_may_only() {
    let with = |prefix| {
        let mut world = World::good();
        world.names = Some(prefix);
        world.effect_of(&operational(), Operation::Read)
    };
    assert_eq!(operational().device_name().as_str(), "device-1");
    assert_eq!(with("device-"), (Effect::Allow, None));
    assert_eq!(with("device-1"), (Effect::Allow, None));
    assert_eq!(with("device-11"), (Effect::Deny, Some(Code::NameNotVouched)));
    assert_eq!(with("Device"), (Effect::Deny, Some(Code::NameNotVouched)));
}

/// Shows REQ-LIST-03.
#[test]
fn behind_a_cut_off_only_what_is_proven_to_be_in_the_log_counts() {
    let mut world = World::good();
    world.cut_off = true;
    for operation in Operation::ALL {
        assert_eq!(world.effect_of(&operational(), operation), (Effect::Deny, Some(Code::NotInLog)), "{operation}");
    }
    world.logged = true;
    assert_eq!(world.effect_of(&operational(), Operation::Treat), (Effect::Allow, None));
    let other = Logged::for_test(CredentialId::from_bytes([9; 16]), log().0);
    let elsewhere = Logged::for_test(operational().credential(), TreeHead { size: 2, ..log().0 });
    for wrong in [other, elsewhere] {
        world.with(|knowledge| {
            let knowledge = Knowledge { logged: from_ref(&wrong), ..*knowledge };
            assert_eq!(
                Findings::observe(&operational(), Operation::Read, &knowledge, &Policy::default(), None).issuer,
                IssuerStanding::NotInLog
            );
        });
    }
}

/// Shows REQ-LIST-04.
#[test]
fn an_emergency_suspension_counts_until_it_has_lapsed_or_a_list_decides() {
    let now = 150 * DAY;
    let with = |issued, expires, list_next| {
        let mut world = World::good();
        (world.suspension, world.list_next) = (Some((issued, expires)), list_next);
        world.effect_of(&operational(), Operation::Report)
    };
    let suspended = (Effect::Alert, Some(Code::IssuerSuspended));
    assert_eq!(with(now - DAY, now, 10 * DAY + now), suspended);
    assert_eq!(with(now - DAY, now - 1, 10 * DAY + now), (Effect::Allow, None), "lapsed");
    assert_eq!(with(now - DAY, now + DAY, now + 3_000 * DAY - HOUR), (Effect::Allow, None), "a later list lifted it");
    // Who does not know that it has lapsed has it count.
    let mut world = World::good();
    world.list_next = now + 10 * DAY;
    (world.suspension, world.time) = (Some((now - 20 * DAY, now - 10 * DAY)), (now - 15 * DAY, Some(now)));
    assert_eq!(world.effect_of(&operational(), Operation::Report), suspended);
    assert_eq!(world.effect_of(&operational(), Operation::Treat).0, Effect::Deny);
    assert_eq!(world.effect_of(&operational(), Operation::Sustain).0, Effect::Alert, "a delivery goes on");
}

#[test]
fn a_retired_issuer_marks_and_issues_nothing_new() {
    let with = |since, operation| {
        let mut world = World::good();
        (world.state, world.since) = (AuthorityState::Retired, since);
        world.effect_of(&operational(), operation)
    };
    assert_eq!(with(BEGIN, Operation::Treat), (Effect::Allow, Some(Code::IssuerRetired)));
    assert_eq!(with(BEGIN - 1, Operation::Treat), (Effect::Deny, Some(Code::IssuedAfterRetirement)));
    assert_eq!(with(BEGIN - 1, Operation::Renew), (Effect::Deny, Some(Code::IssuedAfterRetirement)));
}

/// Two lists of one authority: the worst state and the common roles count.
#[test]
fn several_lists_only_narrow() {
    let mut narrow = World::good();
    (narrow.roles, narrow.state, narrow.since) = (Roles::of(&[Role::Modality]), AuthorityState::Retired, BEGIN - 1);
    let mut suspended = World::good();
    suspended.state = AuthorityState::Suspended;
    let (a, b) = (narrow.list(), suspended.list());
    let (a, b) = (List::danger_open(&a).unwrap(), List::danger_open(&b).unwrap());
    World::good().with(|knowledge| {
        let standing = |lists: &[List<'_>], operation| {
            let knowledge = Knowledge { lists, ..*knowledge };
            let findings = Findings::observe(&operational(), operation, &knowledge, &Policy::default(), None);
            (findings.issuer, findings.claim)
        };
        let retired = (IssuerStanding::IssuedAfterRetirement, Claim::RoleNotVouched);
        assert_eq!(standing(from_ref(&a), Operation::Report), retired);
        assert_eq!(standing(from_ref(&b), Operation::Report), (IssuerStanding::Suspended, Claim::Holds));
        assert_eq!(standing(&[a.clone(), b.clone()], Operation::Report), retired);
        assert_eq!(standing(&[b, a], Operation::Report), retired);
    });
}

/// Shows REQ-TRUST-35: which bound of time counts.
#[test]
fn expiry_counts_at_the_lower_bound_and_for_commands_at_the_worst() {
    let observe = |time, operation| {
        let mut world = World::good();
        world.time = time;
        world.with(|knowledge| {
            let findings = Findings::observe(&operational(), operation, knowledge, &Policy::default(), None);
            (findings.start, findings.expiry)
        })
    };
    let grace = 90 * DAY;
    for operation in Operation::ALL {
        let command = operation.is_command();
        let worst = |expiry| if command { expiry } else { Expiry::Within };
        let exact = |now| observe((now, Some(now)), operation);
        assert_eq!(exact(BEGIN - 1), (Start::NotReached, Expiry::Within), "{operation}");
        assert_eq!(exact(BEGIN), (Start::Reached, Expiry::Within), "{operation}");
        assert_eq!(exact(END), (Start::Reached, Expiry::Within), "{operation}");
        assert_eq!(exact(END + 1), (Start::Reached, Expiry::Grace), "{operation}");
        assert_eq!(exact(END + grace), (Start::Reached, Expiry::Grace), "{operation}");
        assert_eq!(exact(END + grace + 1), (Start::Reached, Expiry::Beyond), "{operation}");
        assert_eq!(observe((BEGIN, Some(END + 1)), operation), (Start::Reached, worst(Expiry::Grace)), "{operation}");
        assert_eq!(observe((BEGIN, None), operation), (Start::Reached, worst(Expiry::Beyond)), "{operation}");
        let uncertain = if command { Start::Uncertain } else { Start::Reached };
        assert_eq!(observe((0, Some(BEGIN)), operation), (uncertain, Expiry::Within), "{operation}");
    }
}

#[test]
fn a_listing_that_ends_counts_as_expiry() {
    let mut world = World::good();
    world.until = Some(150 * DAY - 1);
    assert_eq!(world.effect_of(&operational(), Operation::Treat), (Effect::Alert, Some(Code::ExpiredWithinGrace)));
    assert_eq!(world.effect(Operation::Renew), Effect::Allow);
}

/// Shows REQ-TRUST-36: budgets by setting, the upper bound of time, and answers to the judge's own nonce.
#[test]
fn status_is_fresh_within_its_budget_or_by_an_answer_to_the_nonce() {
    let fresh = |change: &dyn Fn(&mut World), operation| {
        let mut world = World::good();
        change(&mut world);
        world.with(|knowledge| Findings::observe(&operational(), operation, knowledge, &Policy::default(), None).fresh)
    };
    let aged = |age: i64| move |world: &mut World| world.status = Some((150 * DAY - age, 10, Vec::new()));
    assert!(fresh(&aged(DAY), Operation::Treat) && !fresh(&aged(DAY + 1), Operation::Treat));
    assert!(fresh(&aged(30 * DAY), Operation::Store) && !fresh(&aged(30 * DAY + 1), Operation::Store));
    let home = |world: &mut World| {
        world.setting = Setting::Home;
        aged(14 * DAY)(world);
    };
    assert!(fresh(&home, Operation::Treat) && !fresh(&home, Operation::Configure));
    assert!(!fresh(&|world| world.status = None, Operation::Store));
    assert!(!fresh(&|world| world.time.1 = None, Operation::Store), "without an upper bound the age is unknown");
    assert!(!fresh(&|world| world.list_next = 150 * DAY - 1, Operation::Store), "the list itself is old");
    let ticket = |epoch, answers: bool, seconds_ago| {
        move |world: &mut World| {
            world.time.1 = None;
            world.list_next = Time::NEVER.unix();
            world.ticket = Some((0, epoch, None, answers));
            world.asked_seconds_ago = seconds_ago;
        }
    };
    assert!(!fresh(&ticket(10, true, 5), Operation::Treat), "the age of the list stays unknown");
    World::good().with(|knowledge| {
        let content = TicketContent {
            credential: operational().credential(),
            state: None,
            reason: Reason::UNSPECIFIED,
            epoch: 10,
            issued: at(0),
            nonce: Some(&[3; 8]),
        };
        let fresh = |content, seconds_ago| {
            let knowledge = Knowledge {
                time: Interval::since(at(150 * DAY)),
                lists: &[],
                pinned: &[ROOT],
                ticket: Some(Ticket::danger_believe(ROOT, content)),
                asked: Some(Asked { nonce: &[3; 8], seconds_ago }),
                ..*knowledge
            };
            Findings::observe(&operational(), Operation::Treat, &knowledge, &Policy::default(), None).fresh
        };
        assert!(fresh(content, 5));
        assert!(!fresh(content, 86_401), "asked too long ago");
        assert!(!fresh(TicketContent { nonce: Some(&[4; 8]), ..content }, 5), "another nonce");
        assert!(!fresh(TicketContent { nonce: None, ..content }, 5), "no nonce");
        assert!(!fresh(TicketContent { epoch: 9, ..content }, 5), "older than the list held");
        let other = CredentialId::from_bytes([0; 16]);
        assert!(!fresh(TicketContent { credential: other, ..content }, 5), "about another credential");
    });
}

/// Shows REQ-TRUST-28: enrolment is for birth credentials, and for nothing else are they.
#[test]
fn i8_only_birth_credentials_enrol() {
    let birth = peer(CredentialKind::Birth, Roles::of(&ALL_ROLES));
    let mut maker = World::good();
    maker.kind = AuthorityKind::Maker;
    let enrol = |world: &World, peer: &Identified| {
        world.with(|knowledge| decide_enrolment(peer, knowledge, &Policy::default()).map_err(|denied| denied.code))
    };
    assert_eq!(enrol(&maker, &birth).unwrap().device(), birth.device());
    for operation in Operation::ALL {
        assert_eq!(maker.effect_of(&birth, operation), (Effect::Deny, Some(Code::BirthCredential)), "{operation}");
    }
    assert_eq!(enrol(&World::good(), &operational()).map(drop), Err(Code::NotABirthCredential));
    assert_eq!(
        enrol(&World::good(), &birth).map(drop),
        Err(Code::IssuerNotListed),
        "a site gives no birth credentials"
    );
    maker.state = AuthorityState::Compromised;
    assert_eq!(enrol(&maker, &birth).map(drop), Err(Code::IssuerCompromised));
}

/// Shows REQ-TRUST-27.
#[test]
fn an_attended_act_is_for_one_device_and_operation_and_ends_soon() {
    let mut world = World::good();
    world.status = None;
    let device = operational().device();
    let with = |device, operation| {
        let attended = Attended::danger_by_physical_act(device, operation, 120).unwrap();
        world.with(|knowledge| {
            decide_attended(&operational(), Operation::Treat, knowledge, &Policy::default(), Some(&bond()), attended)
                .permit()
                .map(|permit| (permit.operation(), permit.obligations()))
                .map_err(|denied| denied.code)
        })
    };
    let loud = Obligations { alert: true, mark: Some(Code::Attended) };
    assert_eq!(with(device, Operation::Treat), Ok((Operation::Treat, loud)));
    assert_eq!(with(device, Operation::Halt), Err(Code::StatusStale));
    assert_eq!(with(DeviceId::from_bytes([0; 16]), Operation::Treat), Err(Code::StatusStale));
    assert!(Attended::danger_by_physical_act(device, Operation::Treat, 121).is_none());
}

fn any_time() -> impl Strategy<Value = i64> {
    prop_oneof![0..400 * DAY, BEGIN - 2..BEGIN + 3, END - 2..END + 3, END + 90 * DAY - 2..END + 90 * DAY + 3]
}

fn any_records() -> impl Strategy<Value = Vec<Record>> {
    prop::collection::vec((0..4_usize, 0..4_usize), 0..4).prop_map(|raw| {
        let mut records: Vec<_> =
            raw.into_iter().map(|(subject, state)| record(subjects()[subject], State::ALL[state])).collect();
        records.sort_by_key(|record| record.subject);
        records.dedup_by_key(|record| record.subject);
        records
    })
}

prop_compose! {
    fn any_world()(
        state in 0..4_usize,
        since in any_time(),
        until in prop::option::of(any_time()),
        roles in prop_oneof![Just(u32::MAX), any::<u32>()],
        list_next in any_time(),
        listed in prop::bool::weighted(0.95),
        suspension in prop::option::weighted(0.1, (any_time(), 1..14 * DAY)),
        status in prop::option::weighted(0.9, (any_time(), 0..20_u64, any_records())),
        (compact, ticket) in (
            prop::option::of((any_time(), 0..20_u64, prop::option::of(0..4_usize))),
            prop::option::of((any_time(), 0..20_u64, prop::option::of(0..4_usize), any::<bool>())),
        ),
        asked_seconds_ago in 0..200_000_u32,
        home in any::<bool>(),
        times in (any_time(), any_time()),
        known in any::<bool>(),
    ) -> World {
        World {
            state: AuthorityState::ALL[state],
            since,
            until,
            roles: Roles::from_bits(roles),
            kind: AuthorityKind::Site,
            types: None,
            list_next,
            listed,
            names: None,
            cut_off: false,
            logged: false,
            suspension: suspension.map(|(issued, seconds)| (issued, issued + seconds)),
            status,
            compact: compact.map(|(issued, epoch, state)| (issued, epoch, state.map(|s| State::ALL[s]))),
            ticket: ticket.map(|(issued, epoch, state, answers)| (issued, epoch, state.map(|s| State::ALL[s]), answers)),
            asked_seconds_ago,
            setting: if home { Setting::Home } else { Setting::Hospital },
            time: (times.0.min(times.1), known.then_some(times.0.max(times.1))),
        }
    }
}

fn any_operation() -> impl Strategy<Value = Operation> {
    (0..9_usize).prop_map(|number| Operation::ALL[number])
}

fn any_command() -> impl Strategy<Value = Operation> {
    prop::sample::select(Operation::ALL.into_iter().filter(|operation| operation.is_command()).collect::<Vec<_>>())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// Shows REQ-TRUST-21.
    #[test]
    fn i1_time_alone_never_denies_sustain_or_renew(
        mut world in any_world(), later in 0..100_000 * DAY, renew in any::<bool>(),
    ) {
        (world.state, world.suspension) = (AuthorityState::Listed, None);
        (world.listed, world.roles) = (true, Roles::EVERY);
        world.status = world.status.map(|(issued, epoch, _)| (issued, epoch, Vec::new()));
        world.compact = world.compact.map(|(issued, epoch, _)| (issued, epoch, None));
        world.ticket = world.ticket.map(|(issued, epoch, _, answers)| (issued, epoch, None, answers));
        world.time = (BEGIN + later, world.time.1.map(|latest| latest.max(BEGIN + later)));
        let operation = if renew { Operation::Renew } else { Operation::Sustain };
        prop_assert_ne!(world.effect(operation), Effect::Deny);
    }

    /// Shows REQ-TRUST-22.
    #[test]
    fn i2_a_compromise_anywhere_denies(mut world in any_world(), operation in any_operation(), where_ in 0..7_usize) {
        match where_ {
            4 => (world.state, world.listed) = (AuthorityState::Compromised, true),
            5 => world.ticket = Some((0, 0, Some(State::Compromised), false)),
            6 => world.compact = Some((0, 0, Some(State::Compromised))),
            _ => {
                let (issued, epoch, mut records) = world.status.take().unwrap_or((0, 0, Vec::new()));
                records.retain(|record| record.subject != subjects()[where_]);
                records.push(record(subjects()[where_], State::Compromised));
                records.sort_by_key(|record| record.subject);
                world.status = Some((issued, epoch, records));
            }
        }
        prop_assert_eq!(world.effect(operation), Effect::Deny);
    }

    /// Shows REQ-TRUST-23: a record more, or a worse one, never grants more.
    #[test]
    fn i3_a_worse_record_never_grants_more(
        world in any_world(), operation in any_operation(), subject in 0..4_usize, state in 0..4_usize,
    ) {
        let mut worse = world.clone();
        let (issued, epoch, mut records) = worse.status.take().unwrap_or((0, 0, Vec::new()));
        let subject = subjects()[subject];
        let before = records.iter().find(|record| record.subject == subject).map(|record| record.state);
        prop_assume!(world.status.is_some() && before < Some(State::ALL[state]));
        records.retain(|record| record.subject != subject);
        records.push(record(subject, State::ALL[state]));
        records.sort_by_key(|record| record.subject);
        worse.status = Some((issued, epoch, records));
        prop_assert!(worse.effect(operation) <= world.effect(operation));
    }

    /// Shows REQ-STAT-03: a compact set that says something worse never grants more.
    #[test]
    fn i3_a_worse_set_never_grants_more(
        world in any_world(), operation in any_operation(), issued in any_time(), epoch in 0..20_u64, state in 0..4_usize,
        before in 0..5_usize,
    ) {
        let with = |state| World { compact: Some((issued, epoch, state)), ..world.clone() };
        // Any state that is better, or none.
        let before = (before % (state + 1)).checked_sub(1).map(|number| State::ALL[number]);
        prop_assert!(with(Some(State::ALL[state])).effect(operation) <= with(before).effect(operation));
    }

    /// Shows REQ-TRUST-23: an authority that falls, loses a role, a type or its place never grants more.
    #[test]
    fn i3_a_worse_listing_never_grants_more(
        world in any_world(), operation in any_operation(), what in 0..9_usize, mask in any::<u32>(),
    ) {
        let mut worse = world.clone();
        worse.suspension = world.suspension.or(Some((150 * DAY, 160 * DAY)).filter(|_| what == 6));
        match what {
            0 => worse.state = AuthorityState::Compromised,
            1 if world.state == AuthorityState::Listed => worse.state = AuthorityState::Suspended,
            2 => worse.roles = Roles::from_bits(world.roles.bits() & mask),
            3 => worse.types = Some(2),
            4 => worse.listed = false,
            6 => {}
            7 => worse.names = Some("another-"),
            8 => worse.cut_off = true,
            _ => worse.until = Some(world.until.unwrap_or(END).min(i64::from(mask))),
        }
        prop_assert!(worse.effect(operation) <= world.effect(operation));
    }

    /// Shows REQ-TRUST-23: for commands, an uncertain time grants no more than any time it may be.
    #[test]
    fn i3_an_uncertain_time_grants_commands_no_more_than_any_instant_in_it(
        mut world in any_world(), operation in any_command(), inside in any_time(),
    ) {
        let inside = inside.clamp(world.time.0, world.time.1.unwrap_or(i64::MAX));
        let uncertain = world.effect(operation);
        world.time = (inside, Some(inside));
        prop_assert!(uncertain <= world.effect(operation));
    }

    /// Shows REQ-TRUST-23: having no status at all grants commands no more than any status without bad news would.
    #[test]
    fn i3_no_status_grants_no_more_than_an_old_one(mut world in any_world(), operation in any_command()) {
        world.status = world.status.map(|(issued, epoch, _)| (issued, epoch, Vec::new()));
        (world.ticket, world.compact) = (None, None);
        let with = world.effect(operation);
        world.status = None;
        prop_assert!(world.effect(operation) <= with);
    }

    /// Shows REQ-TRUST-25.
    #[test]
    fn i5_no_role_grants_nothing_but_read_and_renew(world in any_world(), operation in any_operation()) {
        prop_assume!(!matches!(operation, Operation::Read | Operation::Renew));
        let nobody = peer(CredentialKind::Operational, Roles::NONE);
        prop_assert_eq!(world.effect_of(&nobody, operation).0, Effect::Deny);
    }

    /// Shows REQ-TRUST-28.
    #[test]
    fn i8_birth_credentials_get_nothing(mut world in any_world(), operation in any_operation(), maker in any::<bool>()) {
        world.kind = if maker { AuthorityKind::Maker } else { AuthorityKind::Site };
        let birth = peer(CredentialKind::Birth, Roles::EVERY);
        prop_assert_eq!(world.effect_of(&birth, operation).0, Effect::Deny);
    }
}
