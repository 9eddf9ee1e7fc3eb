//! The second step: what may the peer still do?
//!
//! In two halves, so that every state can be enumerated: [`Findings::observe`] turns peer, knowledge and time into a few
//! discrete facts about one operation, and [`judge`] looks them up in the table. The most restrictive matching row wins.

mod findings;
mod table;

pub use findings::{Claim, Expiry, Findings, IssuerStanding, Start};
pub use table::{Judgement, judge};

use crate::authenticate::{CredentialKind, Identified};
use crate::bond::Bond;
use crate::id::{CredentialId, DeviceId};
use crate::knowledge::Knowledge;
use crate::operation::Operation;
use crate::policy::{Effect, Policy};
use crate::status::Reason;
use crate::time::Time;
use core::fmt;

/// What the judge says.
#[derive(Debug)]
#[must_use]
pub enum Verdict {
    /// The peer may, once, with what the permit says.
    Allow(Permit),
    /// The peer may not.
    Deny(Denied),
}

impl Verdict {
    /// Whether the peer may.
    #[must_use]
    pub const fn is_allowed(&self) -> bool {
        match self {
            Self::Allow(_) => true,
            Self::Deny(_) => false,
        }
    }

    /// The permit, or the denial as an error for `?`.
    ///
    /// # Errors
    /// The denial.
    pub fn permit(self) -> Result<Permit, Denied> {
        match self {
            Self::Allow(permit) => Ok(permit),
            Self::Deny(denied) => Err(denied),
        }
    }
}

/// The right to do one thing for one peer. Only [`decide`], [`decide_attended`] make one, and it cannot be copied: an
/// action takes it by value.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    operation: Operation,
    device: DeviceId,
    obligations: Obligations,
}

impl Permit {
    /// What is permitted.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// To whom.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// What is to be written beside whatever comes of it.
    #[must_use]
    pub const fn mark(&self) -> Option<Code> {
        self.obligations.mark
    }

    /// What the action owes.
    #[must_use]
    pub const fn obligations(&self) -> Obligations {
        self.obligations
    }
}

/// What an action owes that is allowed with a permit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Obligations {
    /// People must be told.
    pub alert: bool,
    /// What is to be written beside whatever comes of it.
    pub mark: Option<Code>,
}

/// A denial, with the facts behind it. Not an error: the judge did its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denied {
    /// What was asked.
    pub operation: Operation,
    /// By which device.
    pub device: DeviceId,
    /// With which credential.
    pub credential: CredentialId,
    /// Why not.
    pub code: Code,
    /// Since when it is so, as far as that is known: expiry, the last status, the beginning of a state. For
    /// [`Code::NotYetValid`], until when.
    pub since: Option<Time>,
    /// Why credential, device or issuer is in its state, if an authority said.
    pub reason: Option<Reason>,
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} denied: {}", self.operation, self.code)?;
        if let Some(since) = self.since {
            let word = if self.code == Code::NotYetValid { "until" } else { "since" };
            write!(f, " {word} {since}")?;
        }
        if let Some(reason) = self.reason {
            write!(f, " ({})", reason.name())?;
        }
        write!(f, "; {}", self.code.remedy())
    }
}

impl core::error::Error for Denied {}

/// Why an operation is denied or what comes of it is marked. Stable: machines and records keep it (invariant I6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Code {
    /// The issuer left the list in good standing.
    IssuerRetired,
    /// The credential, its chain or its authority expired, for less than the grace.
    ExpiredWithinGrace,
    /// It expired for longer than the grace, or may have: the judge has no upper bound of time.
    ExpiredBeyondGrace,
    /// Status or list is older than the budget, unknown, or of unknown age.
    StatusStale,
    /// The validity has not begun, or may not have.
    NotYetValid,
    /// A physical act at the device raised a denial.
    Attended,
    /// There is no bond with this controller for this operation and patient.
    BondMissing,
    /// No role of the credential allows the operation.
    RoleLacksOperation,
    /// A role the credential claims allows it, and the issuer may not vouch for that role.
    RoleNotVouched,
    /// The issuer may not vouch for this type of device.
    DeviceTypeNotVouched,
    /// A birth credential was used for something else than enrolment.
    BirthCredential,
    /// Enrolment as a new device was asked with a credential that is not a birth credential.
    NotABirthCredential,
    /// Credential or device is suspended.
    Suspended,
    /// The issuer is suspended.
    IssuerSuspended,
    /// The issuer made the credential after it left the list.
    IssuedAfterRetirement,
    /// The issuer is on no list held.
    IssuerNotListed,
    /// The credential's successor has been used.
    Superseded,
    /// The credential or device is no longer in service.
    Ceased,
    /// The issuer is no longer in service.
    IssuerCeased,
    /// The key is in wrong hands.
    Compromised,
    /// The issuer's key is in wrong hands.
    IssuerCompromised,
    /// The issuer may not vouch for this name.
    NameNotVouched,
    /// What the issuer made counts up to a certain state of its log only, and the credential is not known to be in it.
    NotInLog,
}

impl Code {
    /// All codes.
    pub const ALL: [Self; 23] = [
        Self::IssuerRetired,
        Self::ExpiredWithinGrace,
        Self::ExpiredBeyondGrace,
        Self::StatusStale,
        Self::NotYetValid,
        Self::Attended,
        Self::BondMissing,
        Self::RoleLacksOperation,
        Self::RoleNotVouched,
        Self::DeviceTypeNotVouched,
        Self::BirthCredential,
        Self::NotABirthCredential,
        Self::Suspended,
        Self::IssuerSuspended,
        Self::IssuedAfterRetirement,
        Self::IssuerNotListed,
        Self::Superseded,
        Self::Ceased,
        Self::IssuerCeased,
        Self::Compromised,
        Self::IssuerCompromised,
        Self::NameNotVouched,
        Self::NotInLog,
    ];

    /// The code as text. It never changes its meaning.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IssuerRetired => "issuer-retired",
            Self::ExpiredWithinGrace => "expired-within-grace",
            Self::ExpiredBeyondGrace => "expired-beyond-grace",
            Self::StatusStale => "status-stale",
            Self::NotYetValid => "not-yet-valid",
            Self::Attended => "attended",
            Self::BondMissing => "bond-missing",
            Self::RoleLacksOperation => "role-lacks-operation",
            Self::RoleNotVouched => "role-not-vouched",
            Self::DeviceTypeNotVouched => "device-type-not-vouched",
            Self::BirthCredential => "birth-credential",
            Self::NotABirthCredential => "not-a-birth-credential",
            Self::Suspended => "suspended",
            Self::IssuerSuspended => "issuer-suspended",
            Self::IssuedAfterRetirement => "issued-after-retirement",
            Self::IssuerNotListed => "issuer-not-listed",
            Self::Superseded => "superseded",
            Self::Ceased => "ceased",
            Self::IssuerCeased => "issuer-ceased",
            Self::Compromised => "compromised",
            Self::IssuerCompromised => "issuer-compromised",
            Self::NameNotVouched => "name-not-vouched",
            Self::NotInLog => "not-in-log",
        }
    }

    /// What would change it: one sentence for whoever meets the denial or the mark.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::IssuerRetired => "let the device enrol with an authority that is listed",
            Self::ExpiredWithinGrace | Self::ExpiredBeyondGrace => {
                "let the device renew its credential; it may do so although it expired"
            }
            Self::StatusStale => "bring a current status list, site list or ticket, from the hub or by any carrier",
            Self::NotYetValid => "check the clocks of judge and authority, or wait",
            Self::Attended => "nothing to do: a person at the device allowed it once",
            Self::BondMissing => "bond the controller with the device for this patient",
            Self::RoleLacksOperation => "give the device a role that includes the operation, at the site register",
            Self::RoleNotVouched => "have the issuer listed for this role, or let a site that is give the credential",
            Self::DeviceTypeNotVouched => "have the issuer listed for this type of device",
            Self::BirthCredential => "enrol the device at its site and use the operational credential",
            Self::NotABirthCredential => "renew with the operational credential instead of enrolling",
            Self::Suspended => "have the suspension lifted at the site, then bring the newer status",
            Self::IssuerSuspended => "have the suspension of the issuer lifted, then bring the newer list or status",
            Self::IssuedAfterRetirement => "let the device enrol with an authority that is listed",
            Self::IssuerNotListed => {
                "bring the list that names the issuer, or enrol the device with a listed authority"
            }
            Self::Superseded => "use the credential that replaced this one",
            Self::Ceased => "register the device under another name and enrol it",
            Self::IssuerCeased => "enrol the device with an authority in service",
            Self::Compromised => "make a new key and enrol it with a new code; a stolen device stays out",
            Self::IssuerCompromised => "let the device renew at its hub, or enrol it anew with a code",
            Self::NameNotVouched => "have the issuer listed for names like this, or give the device another name",
            Self::NotInLog => {
                "bring the proof that the issuer's log had the credential at the cut-off, or enrol it anew"
            }
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Judges whether `peer` may do `operation` now.
///
/// A birth credential is denied everything here (invariant I8); [`decide_enrolment`] judges the one thing it is for.
pub fn decide(
    peer: &Identified,
    operation: Operation,
    knowledge: &Knowledge<'_>,
    policy: &Policy,
    bond: Option<&Bond>,
) -> Verdict {
    let (findings, facts) = findings::observe(peer, operation, knowledge, policy, bond);
    verdict(peer, operation, judge(&findings, operation, policy), &facts)
}

/// A physical act at the judging device: a person held a button, or put the two devices together, to let one peer do one
/// thing in spite of old knowledge. Cannot be copied; [`decide_attended`] uses it up.
#[derive(Debug)]
pub struct Attended {
    device: DeviceId,
    operation: Operation,
}

impl Attended {
    /// For how many seconds after the act it counts.
    pub const LIFETIME_SECONDS: u32 = 120;

    /// The driver of the button is the only one to call this: a person let `device` do `operation`, `seconds_ago` by
    /// ticks that never go back. `None` if that is longer ago than [`Attended::LIFETIME_SECONDS`].
    #[must_use]
    pub const fn danger_by_physical_act(device: DeviceId, operation: Operation, seconds_ago: u32) -> Option<Self> {
        if seconds_ago <= Self::LIFETIME_SECONDS { Some(Self { device, operation }) } else { None }
    }
}

/// As [`decide`], with a physical act that may raise a denial to an alert: when all that stands against the peer is that
/// something is expired, stale or unknown; never when it is suspended, compromised, unlisted, or lacks role or bond.
/// The act must be for this device and operation; it is used up in any case.
pub fn decide_attended(
    peer: &Identified,
    operation: Operation,
    knowledge: &Knowledge<'_>,
    policy: &Policy,
    bond: Option<&Bond>,
    attended: Attended,
) -> Verdict {
    let (findings, facts) = findings::observe(peer, operation, knowledge, policy, bond);
    let mut judgement = judge(&findings, operation, policy);
    if attended.device == peer.device() && attended.operation == operation {
        judgement = table::raised(judgement, &findings, operation, policy);
    }
    verdict(peer, operation, judgement, &facts)
}

/// The right to enrol one device with its birth credential. Only [`decide_enrolment`] makes one.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub struct EnrolmentPermit {
    device: DeviceId,
    obligations: Obligations,
}

impl EnrolmentPermit {
    /// The device, by the name its maker gave it.
    #[must_use]
    pub const fn device(&self) -> DeviceId {
        self.device
    }

    /// What the enrolment owes.
    #[must_use]
    pub const fn obligations(&self) -> Obligations {
        self.obligations
    }
}

/// Judges whether `peer` may enrol with its birth credential: the row entries of `renew`, for birth credentials alone
/// (invariant I8). Whether the site wants the device is for its register to say.
///
/// # Errors
/// The denial.
pub fn decide_enrolment(
    peer: &Identified,
    knowledge: &Knowledge<'_>,
    policy: &Policy,
) -> Result<EnrolmentPermit, Denied> {
    let operation = Operation::Renew;
    let (findings, facts) = findings::observe(peer, operation, knowledge, policy, None);
    let judgement = match peer.kind() {
        // The one place where a birth credential counts: judged as an operational one would be for renewal.
        CredentialKind::Birth => judge(&Findings { kind: CredentialKind::Operational, ..findings }, operation, policy),
        CredentialKind::Operational => Judgement::denied(Code::NotABirthCredential),
    };
    match verdict(peer, operation, judgement, &facts) {
        Verdict::Allow(Permit { device, obligations, .. }) => Ok(EnrolmentPermit { device, obligations }),
        Verdict::Deny(denied) => Err(denied),
    }
}

/// Judges whether anything that `peer` says may be listened to, where its role is all that it is asked for: as by a device
/// that meets the hub of its site.
///
/// What denies is what no time, no policy and no ordinary news takes back: the key of the credential or of its issuer is in
/// wrong hands, one of them is out of service, or the issuer may not have made it. What has expired, is stale, not yet valid,
/// suspended or superseded is listened to: objects speak by their own signatures, and the news may lift a suspension.
///
/// # Errors
/// The denial, as one of `renew`.
pub fn decide_standing(peer: &Identified, knowledge: &Knowledge<'_>, policy: &Policy) -> Result<(), Denied> {
    let operation = Operation::Renew;
    let (findings, facts) = findings::observe(peer, operation, knowledge, policy, None);
    let judgement = judge(&findings.lasting(), operation, policy);
    verdict(peer, operation, judgement, &facts).permit().map(drop)
}

fn verdict(peer: &Identified, operation: Operation, judgement: Judgement, facts: &findings::Facts) -> Verdict {
    let (device, credential) = (peer.device(), peer.credential());
    let allow = |alert| {
        Verdict::Allow(Permit { operation, device, obligations: Obligations { alert, mark: judgement.mark() } })
    };
    match judgement.effect() {
        Effect::Allow => allow(false),
        Effect::Alert => allow(true),
        Effect::Deny => {
            // A denial always has a code: `Judgement` cannot be made otherwise.
            let code = judgement.mark().unwrap_or(Code::IssuerNotListed);
            let (since, reason) = facts.about(code, peer);
            Verdict::Deny(Denied { operation, device, credential, code, since, reason })
        }
    }
}

#[cfg(test)]
mod tests;
