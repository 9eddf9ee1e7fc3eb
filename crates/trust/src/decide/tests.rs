//! The invariants, over every discrete state and every policy that is accepted, and over real knowledge.

mod knowledge;

use super::*;
use crate::policy::{Draft, Row};
use crate::status::State;
use std::string::String;
use std::vec::Vec;

const KINDS: [CredentialKind; 2] = [CredentialKind::Birth, CredentialKind::Operational];
const ISSUERS: [IssuerStanding; 8] = [
    IssuerStanding::Listed,
    IssuerStanding::Retired,
    IssuerStanding::Suspended,
    IssuerStanding::IssuedAfterRetirement,
    IssuerStanding::NotInLog,
    IssuerStanding::NotListed,
    IssuerStanding::Ceased,
    IssuerStanding::Compromised,
];
const CLAIMS: [Claim; 5] =
    [Claim::Holds, Claim::LacksOperation, Claim::RoleNotVouched, Claim::TypeNotVouched, Claim::NameNotVouched];
const STATUS: [Option<State>; 5] =
    [None, Some(State::Suspended), Some(State::Superseded), Some(State::Ceased), Some(State::Compromised)];
const EXPIRY: [Expiry; 3] = [Expiry::Within, Expiry::Grace, Expiry::Beyond];
const START: [Start; 3] = [Start::Reached, Start::Uncertain, Start::NotReached];

const GOOD: Findings = Findings {
    kind: CredentialKind::Operational,
    issuer: IssuerStanding::Listed,
    claim: Claim::Holds,
    bonded: true,
    status: None,
    expiry: Expiry::Within,
    start: Start::Reached,
    fresh: true,
};

fn every_findings() -> Vec<Findings> {
    let mut all = Vec::new();
    for kind in KINDS {
        for issuer in ISSUERS {
            for claim in CLAIMS {
                for status in STATUS {
                    for expiry in EXPIRY {
                        for start in START {
                            for bonded in [true, false] {
                                for fresh in [true, false] {
                                    all.push(Findings { kind, issuer, claim, bonded, status, expiry, start, fresh });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    assert_eq!(all.len(), 14_400);
    all
}

/// Every policy that differs from the built-in one in the column of `operation`, and is accepted. A judgement about an
/// operation depends on no other column.
fn every_policy(operation: Operation) -> Vec<Policy> {
    let mut all = Vec::new();
    for number in 0..3_usize.pow(5) {
        let mut draft = Draft::default();
        for (at, row) in Row::ALL.into_iter().enumerate() {
            draft.set_effect(row, operation, Effect::ALL[number / 3_usize.pow(u32::try_from(at).unwrap()) % 3]);
        }
        all.extend(Policy::new(draft));
    }
    assert!(!all.is_empty());
    all
}

/// Calls `check` for every operation, accepted policy and findings.
fn everywhere(mut check: impl FnMut(&Findings, Operation, &Policy, Judgement)) {
    let all = every_findings();
    for operation in Operation::ALL {
        for policy in every_policy(operation) {
            for findings in &all {
                check(findings, operation, &policy, judge(findings, operation, &policy));
            }
        }
    }
}

/// Shows REQ-TRUST-33: the whole table, as in the design. Attended acts and marks are tested elsewhere.
#[test]
fn the_table_is_that_of_the_design() {
    let rows: [(&str, Findings); 15] = [
        ("good", GOOD),
        ("expired, within grace", Findings { expiry: Expiry::Grace, ..GOOD }),
        ("expired beyond grace", Findings { expiry: Expiry::Beyond, ..GOOD }),
        ("status older than its budget, or never seen", Findings { fresh: false, ..GOOD }),
        ("not yet valid", Findings { start: Start::NotReached, ..GOOD }),
        ("suspended", Findings { status: Some(State::Suspended), ..GOOD }),
        ("issuer suspended", Findings { issuer: IssuerStanding::Suspended, ..GOOD }),
        ("issuer retired", Findings { issuer: IssuerStanding::Retired, ..GOOD }),
        ("superseded", Findings { status: Some(State::Superseded), ..GOOD }),
        ("ceased", Findings { status: Some(State::Ceased), ..GOOD }),
        ("compromised", Findings { status: Some(State::Compromised), ..GOOD }),
        ("issuer compromised", Findings { issuer: IssuerStanding::Compromised, ..GOOD }),
        ("issuer not listed", Findings { issuer: IssuerStanding::NotListed, ..GOOD }),
        ("role lacks the operation", Findings { claim: Claim::LacksOperation, ..GOOD }),
        ("no bond", Findings { bonded: false, ..GOOD }),
    ];
    let mut table = String::new();
    for (name, findings) in rows {
        let cells = Operation::ALL.map(|operation| match judge(&findings, operation, &Policy::default()).effect() {
            Effect::Allow => "✓",
            Effect::Alert => "!",
            Effect::Deny => "✗",
        });
        table += &std::format!("| {name} | {} |\n", cells.join(" | "));
    }
    assert_eq!(
        table,
        "\
| good | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ |
| expired, within grace | ! | ! | ! | ✓ | ! | ! | ✗ | ✓ | ! |
| expired beyond grace | ! | ! | ✗ | ✓ | ✗ | ✗ | ✗ | ✓ | ! |
| status older than its budget, or never seen | ! | ! | ✗ | ✓ | ✗ | ! | ✗ | ✓ | ! |
| not yet valid | ✗ | ! | ✗ | ✗ | ✗ | ✗ | ✗ | ✓ | ✗ |
| suspended | ✗ | ! | ✗ | ! | ✗ | ✗ | ✗ | ✗ | ✗ |
| issuer suspended | ✗ | ! | ✗ | ! | ✗ | ✗ | ✗ | ✗ | ✗ |
| issuer retired | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ | ✓ |
| superseded | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
| ceased | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
| compromised | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
| issuer compromised | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
| issuer not listed | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
| role lacks the operation | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
| no bond | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ | ✗ |
"
    );
    let retired = judge(&Findings { issuer: IssuerStanding::Retired, ..GOOD }, Operation::Store, &Policy::default());
    assert_eq!((retired.effect(), retired.mark()), (Effect::Allow, Some(Code::IssuerRetired)));
}

/// Shows REQ-TRUST-21: an expired list, status signer or hub shows as stale status, never as anything else.
#[test]
fn i1_expiry_alone_never_denies_sustain_or_renew() {
    let mut seen = 0;
    everywhere(|findings, operation, _, judgement| {
        let expiry_alone = Findings { expiry: Expiry::Within, fresh: true, ..*findings } == GOOD
            || Findings { expiry: Expiry::Within, fresh: true, issuer: IssuerStanding::Listed, ..*findings } == GOOD
                && findings.issuer == IssuerStanding::Retired;
        if expiry_alone && matches!(operation, Operation::Sustain | Operation::Renew) {
            seen += 1;
            assert_ne!(judgement.effect(), Effect::Deny, "{findings:?}, {operation}");
        }
    });
    assert!(seen > 100);
}

/// Shows REQ-TRUST-22.
#[test]
fn i2_a_known_compromise_is_denied_everything() {
    everywhere(|findings, operation, policy, judgement| {
        if findings.status == Some(State::Compromised) || findings.issuer == IssuerStanding::Compromised {
            assert_eq!(judgement.effect(), Effect::Deny, "{findings:?}, {operation}");
            let raised = table::raised(judgement, findings, operation, policy);
            assert_eq!(raised.effect(), Effect::Deny, "attended: {findings:?}, {operation}");
        }
    });
}

/// All findings that differ from these by one piece of worse news.
fn worse(findings: &Findings) -> Vec<Findings> {
    let mut all = Vec::new();
    let status: &[_] = match findings.status {
        None => &STATUS[1..],
        Some(State::Suspended) => &STATUS[2..],
        Some(State::Superseded) => &STATUS[3..],
        Some(State::Ceased) => &STATUS[4..],
        Some(State::Compromised) => &[],
    };
    all.extend(status.iter().map(|status| Findings { status: *status, ..*findings }));
    let later = ISSUERS.iter().skip_while(|issuer| **issuer != findings.issuer).skip(1);
    all.extend(later.map(|issuer| Findings { issuer: *issuer, ..*findings }));
    let later = EXPIRY.iter().filter(|expiry| **expiry > findings.expiry);
    all.extend(later.map(|expiry| Findings { expiry: *expiry, ..*findings }));
    let later = START.iter().filter(|start| **start > findings.start);
    all.extend(later.map(|start| Findings { start: *start, ..*findings }));
    if findings.claim == Claim::Holds {
        all.extend(CLAIMS[1..].iter().map(|claim| Findings { claim: *claim, ..*findings }));
    }
    if findings.fresh {
        all.push(Findings { fresh: false, ..*findings });
    }
    if findings.bonded {
        all.push(Findings { bonded: false, ..*findings });
    }
    all
}

/// Shows REQ-TRUST-49: who may not be listened to is so by what nothing takes back, under every policy.
#[test]
fn theft_ends_the_standing_of_a_hub_and_expiry_does_not() {
    for policy in every_policy(Operation::Renew) {
        for findings in every_findings() {
            let judgement = judge(&findings.lasting(), Operation::Renew, &policy);
            let lost = matches!(findings.status, Some(State::Ceased | State::Compromised))
                || matches!(
                    findings.issuer,
                    IssuerStanding::IssuedAfterRetirement
                        | IssuerStanding::NotInLog
                        | IssuerStanding::NotListed
                        | IssuerStanding::Ceased
                        | IssuerStanding::Compromised
                )
                || findings.claim != Claim::Holds
                || findings.kind == CredentialKind::Birth;
            assert_eq!(judgement.effect() == Effect::Deny, lost, "{findings:?}");
            if lost && findings.issuer == IssuerStanding::Compromised {
                assert_eq!(judgement.mark(), Some(Code::IssuerCompromised), "{findings:?}");
            }
        }
    }
}

/// Shows REQ-TRUST-23: one piece of bad news at a time, and so any number of them, never grants more; not to a person
/// at the device either.
#[test]
fn i3_bad_news_never_grants_more() {
    everywhere(|findings, operation, policy, judgement| {
        let raised = table::raised(judgement, findings, operation, policy).effect().min(Effect::Alert);
        for worse in worse(findings) {
            let then = judge(&worse, operation, policy);
            assert!(then.effect() <= judgement.effect(), "{findings:?} to {worse:?}, {operation}");
            let then = table::raised(then, &worse, operation, policy).effect().min(Effect::Alert);
            assert!(then <= raised, "attended: {findings:?} to {worse:?}, {operation}");
        }
    });
}

/// Shows REQ-TRUST-23: what is not known about the status counts like the compromise it may hide, but for `halt`, which
/// is bounded and resumes by itself.
#[test]
fn i3_not_knowing_the_status_counts_as_the_worst_for_commands() {
    everywhere(|findings, operation, _, judgement| {
        if !findings.fresh || findings.start != Start::Reached {
            let most = match operation {
                Operation::Treat | Operation::Inform | Operation::Configure => Effect::Deny,
                Operation::Halt if findings.fresh => Effect::Deny,
                Operation::Halt => Effect::Alert,
                Operation::Read | Operation::Report | Operation::Sustain | Operation::Renew | Operation::Store => {
                    return;
                }
            };
            assert!(judgement.effect() <= most, "{findings:?}, {operation}");
        }
    });
}

/// Shows REQ-TRUST-25.
#[test]
fn i5_without_a_vouched_role_or_a_bond_nothing_is_granted() {
    everywhere(|findings, operation, policy, judgement| {
        if findings.claim != Claim::Holds || !findings.bonded {
            assert_eq!(judgement.effect(), Effect::Deny, "{findings:?}, {operation}");
            let raised = table::raised(judgement, findings, operation, policy);
            assert_eq!(raised.effect(), Effect::Deny, "attended: {findings:?}, {operation}");
        }
    });
}

/// Shows REQ-TRUST-26.
#[test]
fn i6_every_denial_and_every_alert_has_a_code() {
    everywhere(|findings, operation, policy, judgement| {
        if judgement.effect() != Effect::Allow {
            assert!(judgement.mark().is_some(), "{findings:?}, {operation}");
        } else {
            let retired = (findings.issuer == IssuerStanding::Retired).then_some(Code::IssuerRetired);
            assert_eq!(judgement.mark(), retired, "{findings:?}, {operation}");
        }
        let raised = table::raised(judgement, findings, operation, policy);
        assert!(raised.effect() == Effect::Allow || raised.mark().is_some());
    });
}

/// Shows REQ-TRUST-26: codes are stable, distinct, and each says what would change it.
#[test]
fn i6_codes_are_distinct_and_have_remedies() {
    let names: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    assert_eq!(
        names,
        [
            "issuer-retired",
            "expired-within-grace",
            "expired-beyond-grace",
            "status-stale",
            "not-yet-valid",
            "attended",
            "bond-missing",
            "role-lacks-operation",
            "role-not-vouched",
            "device-type-not-vouched",
            "birth-credential",
            "not-a-birth-credential",
            "suspended",
            "issuer-suspended",
            "issued-after-retirement",
            "issuer-not-listed",
            "superseded",
            "ceased",
            "issuer-ceased",
            "compromised",
            "issuer-compromised",
            "name-not-vouched",
            "not-in-log",
        ]
    );
    for (number, code) in Code::ALL.into_iter().enumerate() {
        assert_eq!(usize::from(code as u8), number, "Code::ALL leaves one out");
        assert!(code.remedy().len() > 20);
    }
}

/// Shows REQ-TRUST-28.
#[test]
fn i8_a_birth_credential_is_denied_every_operation() {
    everywhere(|findings, operation, policy, judgement| {
        if findings.kind == CredentialKind::Birth {
            assert_eq!(judgement.effect(), Effect::Deny, "{findings:?}, {operation}");
            let raised = table::raised(judgement, findings, operation, policy);
            assert_eq!(raised.effect(), Effect::Deny, "attended: {findings:?}, {operation}");
        }
    });
}

/// Shows REQ-TRUST-27: a person at the device overrides what is old or unknown, and nothing else.
#[test]
fn attended_raises_only_what_is_expired_stale_or_unknown() {
    everywhere(|findings, operation, policy, judgement| {
        let raised = table::raised(judgement, findings, operation, policy);
        if raised == judgement {
            return;
        }
        assert_eq!((judgement.effect(), raised.effect()), (Effect::Deny, Effect::Alert));
        assert_eq!(raised.mark(), Some(Code::Attended));
        let issuer_good = matches!(findings.issuer, IssuerStanding::Listed | IssuerStanding::Retired);
        let rest = Findings { expiry: Expiry::Within, fresh: true, issuer: IssuerStanding::Listed, ..*findings };
        let rest = Findings { start: if rest.start == Start::Uncertain { Start::Reached } else { rest.start }, ..rest };
        let not_reached = Findings { start: Start::Reached, ..rest } == GOOD && rest.start == Start::NotReached;
        assert!(issuer_good && (rest == GOOD || not_reached), "{findings:?}, {operation}");
    });
    let stale = Findings { fresh: false, ..GOOD };
    let policy = Policy::default();
    let raised = table::raised(judge(&stale, Operation::Treat, &policy), &stale, Operation::Treat, &policy);
    assert_eq!(raised.effect(), Effect::Alert);
}

/// A denial names what is hardest to mend.
#[test]
fn the_gravest_reason_is_named() {
    let policy = Policy::default();
    let code = |findings| judge(&findings, Operation::Treat, &policy).mark();
    let old = Findings { expiry: Expiry::Beyond, fresh: false, ..GOOD };
    assert_eq!(code(old), Some(Code::StatusStale));
    assert_eq!(code(Findings { bonded: false, ..old }), Some(Code::BondMissing));
    assert_eq!(code(Findings { bonded: false, status: Some(State::Suspended), ..old }), Some(Code::Suspended));
    let stolen = Findings { status: Some(State::Compromised), claim: Claim::LacksOperation, ..old };
    assert_eq!(code(stolen), Some(Code::Compromised));
    assert_eq!(code(Findings { issuer: IssuerStanding::Compromised, ..stolen }), Some(Code::IssuerCompromised));
}
