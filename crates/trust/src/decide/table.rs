//! The table: findings in, effect and code out.

use super::{Claim, Code, Expiry, Findings, IssuerStanding, Start};
use crate::authenticate::CredentialKind;
use crate::operation::Operation;
use crate::policy::{Effect, Policy, Row};
use crate::status::State;

/// What the table says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Judgement {
    effect: Effect,
    mark: Option<Code>,
}

impl Judgement {
    /// Allow, alert or deny.
    #[must_use]
    pub const fn effect(&self) -> Effect {
        self.effect
    }

    /// Why it is not simply allowed; there for every effect but [`Effect::Allow`].
    #[must_use]
    pub const fn mark(&self) -> Option<Code> {
        self.mark
    }

    /// Denied, for this reason.
    pub(super) const fn denied(code: Code) -> Self {
        Self { effect: Effect::Deny, mark: Some(code) }
    }

    const GOOD: Self = Self { effect: Effect::Allow, mark: None };

    /// Lets one more matching row count. Of several rows that say the same, the last one given is named.
    fn and(self, effect: Effect, code: Code) -> Self {
        if effect < Effect::Allow && effect <= self.effect { Self { effect, mark: Some(code) } } else { self }
    }

    fn and_row(self, row: Row, code: Code, operation: Operation, policy: &Policy) -> Self {
        self.and(policy.effect(row, operation), code)
    }

    fn and_denied(self, code: Code) -> Self {
        self.and(Effect::Deny, code)
    }
}

/// Looks findings about one operation up in the table: the most restrictive matching row wins. Rows are taken from the
/// one that is easiest to mend to the one that is hardest, so that a denial names the hardest.
#[must_use]
pub fn judge(findings: &Findings, operation: Operation, policy: &Policy) -> Judgement {
    let mut judgement = Judgement::GOOD;
    if findings.issuer == IssuerStanding::Retired {
        judgement.mark = Some(Code::IssuerRetired);
    }
    judgement = match findings.expiry {
        Expiry::Within => judgement,
        Expiry::Grace => judgement.and_row(Row::ExpiredWithinGrace, Code::ExpiredWithinGrace, operation, policy),
        Expiry::Beyond => judgement.and_row(Row::ExpiredBeyondGrace, Code::ExpiredBeyondGrace, operation, policy),
    };
    if !findings.fresh {
        judgement = judgement.and_row(Row::Stale, Code::StatusStale, operation, policy);
    }
    judgement = match findings.start {
        Start::Reached => judgement,
        Start::Uncertain | Start::NotReached => {
            judgement.and_row(Row::NotYetValid, Code::NotYetValid, operation, policy)
        }
    };
    if !findings.bonded {
        judgement = judgement.and_denied(Code::BondMissing);
    }
    judgement = match findings.claim {
        Claim::Holds => judgement,
        Claim::LacksOperation => judgement.and_denied(Code::RoleLacksOperation),
        Claim::RoleNotVouched => judgement.and_denied(Code::RoleNotVouched),
        Claim::TypeNotVouched => judgement.and_denied(Code::DeviceTypeNotVouched),
        Claim::NameNotVouched => judgement.and_denied(Code::NameNotVouched),
    };
    judgement = match findings.kind {
        CredentialKind::Operational => judgement,
        CredentialKind::Birth => judgement.and_denied(Code::BirthCredential),
    };
    judgement = and_status(judgement, findings.status, operation, policy);
    and_issuer(judgement, findings.issuer, operation, policy)
}

fn and_status(judgement: Judgement, status: Option<State>, operation: Operation, policy: &Policy) -> Judgement {
    match status {
        None => judgement,
        Some(State::Suspended) => judgement.and_row(Row::Suspended, Code::Suspended, operation, policy),
        Some(State::Superseded) => judgement.and_denied(Code::Superseded),
        Some(State::Ceased) => judgement.and_denied(Code::Ceased),
        Some(State::Compromised) => judgement.and_denied(Code::Compromised),
    }
}

fn and_issuer(judgement: Judgement, issuer: IssuerStanding, operation: Operation, policy: &Policy) -> Judgement {
    match issuer {
        IssuerStanding::Listed | IssuerStanding::Retired => judgement,
        IssuerStanding::Suspended => judgement.and_row(Row::Suspended, Code::IssuerSuspended, operation, policy),
        IssuerStanding::IssuedAfterRetirement => judgement.and_denied(Code::IssuedAfterRetirement),
        IssuerStanding::NotInLog => judgement.and_denied(Code::NotInLog),
        IssuerStanding::NotListed => judgement.and_denied(Code::IssuerNotListed),
        IssuerStanding::Ceased => judgement.and_denied(Code::IssuerCeased),
        IssuerStanding::Compromised => judgement.and_denied(Code::IssuerCompromised),
    }
}

/// What a physical act makes of a judgement: a denial that only rests on expiry, staleness or uncertain time becomes an
/// alert.
pub(super) fn raised(judgement: Judgement, findings: &Findings, operation: Operation, policy: &Policy) -> Judgement {
    let suspended = findings.status.is_some() || findings.issuer == IssuerStanding::Suspended;
    if judgement.effect != Effect::Deny || suspended {
        return judgement;
    }
    let start = match findings.start {
        Start::Reached | Start::Uncertain => Start::Reached,
        Start::NotReached => Start::NotReached,
    };
    let rest = judge(&Findings { expiry: Expiry::Within, fresh: true, start, ..*findings }, operation, policy);
    match rest.effect {
        Effect::Deny => judgement,
        Effect::Alert | Effect::Allow => Judgement { effect: Effect::Alert, mark: Some(Code::Attended) },
    }
}
