//! The continuity policy: what a peer may still do when something about it is old, expired or suspended.
//!
//! [`Policy::default`] is the table of the design. A site may choose inside bounds ([`Policy::new`]): what would break
//! an invariant of the trust core is refused. Rows for compromise, for what is superseded or ceased, for unlisted
//! issuers, missing roles and missing bonds are not configurable: they always deny.

use crate::cbor::{self, ErrorKind, Reader, Writer};
use crate::cose;
use crate::crypto::Crypto;
use crate::id::ID_LENGTH;
use crate::list::{self, List, Purpose};
use crate::operation::Operation;
use crate::time::Time;
use crate::x509::X509;
use core::fmt;
use minicbor::encode::Write;

/// Seconds of a day.
const DAY: u32 = 86_400;
/// The longest grace: ten years, beyond any credential lifetime that renews.
const MAX_GRACE_SECONDS: u32 = 3_660 * DAY;
/// The shortest status budget: below it a status list could not reach its judges in time.
const MIN_BUDGET_SECONDS: u32 = 60;
/// The longest status budget for commands: a stolen controller's last day.
const MAX_COMMAND_BUDGET_SECONDS: u32 = 31 * DAY;
/// The longest status budget for anything else.
const MAX_BUDGET_SECONDS: u32 = 366 * DAY;
/// The longest policy in bytes: 9 budgets of 5 bytes twice, 45 effects and headers take about 250, a P-384 signature 96,
/// one of ML-DSA-65, which chips do not verify, 3,309.
const MAX_LENGTH: usize = if X509 { 4096 } else { 1024 };

const FORM: u64 = 1;
const OPERATIONS: usize = Operation::ALL.len();
const ROWS: usize = Row::ALL.len();
/// What is said of one operation: a budget in each setting, an effect in each row.
const COLUMN: u64 = (Setting::ALL.len() + ROWS) as u64;

/// What a row of the table says for an operation. Ordered: `Deny < Alert < Allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Not at all.
    Deny,
    /// Yes, with an alert to people and a mark on what comes of it.
    Alert,
    /// Yes.
    Allow,
}

impl Effect {
    /// All effects, from the most to the least restrictive.
    pub const ALL: [Self; 3] = [Self::Deny, Self::Alert, Self::Allow];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Alert => "alert",
            Self::Allow => "allow",
        }
    }

    const fn number(self) -> u8 {
        match self {
            Self::Deny => 0,
            Self::Alert => 1,
            Self::Allow => 2,
        }
    }
}

/// A row of the table that a site may configure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Row {
    /// The credential, its chain or its authority has expired, for less than the grace.
    ExpiredWithinGrace = 0,
    /// It has expired, for longer.
    ExpiredBeyondGrace = 1,
    /// What is known of its status is older than the budget, or nothing is.
    Stale = 2,
    /// Its validity has not begun.
    NotYetValid = 3,
    /// Credential, device or issuer is suspended.
    Suspended = 4,
}

impl Row {
    /// All rows, in the order of the table.
    pub const ALL: [Self; 5] =
        [Self::ExpiredWithinGrace, Self::ExpiredBeyondGrace, Self::Stale, Self::NotYetValid, Self::Suspended];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ExpiredWithinGrace => "expired-within-grace",
            Self::ExpiredBeyondGrace => "expired-beyond-grace",
            Self::Stale => "status-stale",
            Self::NotYetValid => "not-yet-valid",
            Self::Suspended => "suspended",
        }
    }
}

/// Where a device is used: how soon news is expected to reach it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Setting {
    /// Bonded to a patient at home; offline for days.
    Home = 0,
    /// On a hospital's network.
    Hospital = 1,
}

impl Setting {
    /// Both settings.
    pub const ALL: [Self; 2] = [Self::Home, Self::Hospital];

    /// Its stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Home => "home",
            Self::Hospital => "hospital",
        }
    }
}

/// What a policy is to say, not yet checked. The default is that of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Which version: grows with each. The built-in policy has version 0.
    pub version: u64,
    /// The recovery epoch of the site list in which its signer stands.
    pub recovery_epoch: u64,
    /// When it was made.
    pub issued: Time,
    /// For how many seconds after expiry the milder of the two rows counts.
    pub grace_seconds: u32,
    budgets: [[u32; OPERATIONS]; 2],
    table: [[Effect; OPERATIONS]; ROWS],
}

impl Default for Draft {
    fn default() -> Self {
        const A: Effect = Effect::Allow;
        const L: Effect = Effect::Alert;
        const D: Effect = Effect::Deny;
        // In the order of Operation::ALL: read, report, inform, sustain, treat, halt, configure, renew, store.
        let home = [30 * DAY, 30 * DAY, 14 * DAY, 30 * DAY, 14 * DAY, 14 * DAY, DAY, 30 * DAY, 30 * DAY];
        let hospital = [30 * DAY, 30 * DAY, DAY, 30 * DAY, DAY, DAY, DAY, 30 * DAY, 30 * DAY];
        Self {
            version: 0,
            recovery_epoch: 0,
            issued: Time::from_unix(0),
            grace_seconds: 90 * DAY,
            budgets: [home, hospital],
            table: [
                [L, L, L, A, L, L, D, A, L],
                [L, L, D, A, D, D, D, A, L],
                [L, L, D, A, D, L, D, A, L],
                [D, L, D, D, D, D, D, A, D],
                [D, L, D, L, D, D, D, D, D],
            ],
        }
    }
}

impl Draft {
    /// What `row` says for `operation`.
    #[must_use]
    pub fn effect(&self, row: Row, operation: Operation) -> Effect {
        let effects = self.table.get(usize::from(row as u8));
        effects.and_then(|effects| effects.get(usize::from(operation as u8))).copied().unwrap_or(Effect::Deny)
    }

    /// Sets what `row` says for `operation`.
    pub fn set_effect(&mut self, row: Row, operation: Operation, effect: Effect) {
        let effects = self.table.get_mut(usize::from(row as u8));
        if let Some(slot) = effects.and_then(|effects| effects.get_mut(usize::from(operation as u8))) {
            *slot = effect;
        }
    }

    /// How many seconds old the status may be for `operation`.
    #[must_use]
    pub fn budget_seconds(&self, setting: Setting, operation: Operation) -> u32 {
        let budgets = self.budgets.get(usize::from(setting as u8));
        budgets.and_then(|budgets| budgets.get(usize::from(operation as u8))).copied().unwrap_or(0)
    }

    /// Sets how many seconds old the status may be for `operation`.
    pub fn set_budget_seconds(&mut self, setting: Setting, operation: Operation, seconds: u32) {
        let budgets = self.budgets.get_mut(usize::from(setting as u8));
        if let Some(slot) = budgets.and_then(|budgets| budgets.get_mut(usize::from(operation as u8))) {
            *slot = seconds;
        }
    }
}

/// A policy under which every invariant of the trust core holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy(Draft);

impl Default for Policy {
    /// The policy of the design: version 0, in force until a site signs its own.
    fn default() -> Self {
        Self(Draft::default())
    }
}

impl Policy {
    /// Checks a draft.
    ///
    /// # Errors
    /// [`Breach`], the first invariant found that would not hold.
    pub fn new(draft: Draft) -> Result<Self, Breach> {
        if draft.grace_seconds > MAX_GRACE_SECONDS {
            return Err(Breach::Grace { seconds: draft.grace_seconds });
        }
        for operation in Operation::ALL {
            for setting in Setting::ALL {
                let seconds = draft.budget_seconds(setting, operation);
                let most = if operation.is_command() { MAX_COMMAND_BUDGET_SECONDS } else { MAX_BUDGET_SECONDS };
                if !(MIN_BUDGET_SECONDS..=most).contains(&seconds) {
                    return Err(Breach::Budget { setting, operation, seconds });
                }
            }
            for row in Row::ALL {
                let (least, most) = bounds(row, operation);
                let effect = draft.effect(row, operation);
                if effect < least {
                    return Err(Breach::ExpiryDenies { row, operation });
                }
                if effect > most {
                    return Err(Breach::TooPermissive { row, operation, most });
                }
            }
            if draft.effect(Row::ExpiredBeyondGrace, operation) > draft.effect(Row::ExpiredWithinGrace, operation) {
                return Err(Breach::WorseGrantsMore { operation });
            }
        }
        Ok(Self(draft))
    }

    /// What the policy says, to be changed and checked anew.
    #[must_use]
    pub const fn draft(&self) -> &Draft {
        &self.0
    }

    /// Which version it is; 0 is the built-in one.
    #[must_use]
    pub const fn version(&self) -> u64 {
        self.0.version
    }

    /// What `row` says for `operation`.
    #[must_use]
    pub fn effect(&self, row: Row, operation: Operation) -> Effect {
        self.0.effect(row, operation)
    }

    /// How many seconds after expiry the milder row counts.
    #[must_use]
    pub const fn grace_seconds(&self) -> u32 {
        self.0.grace_seconds
    }

    /// How many seconds old the status may be for `operation`.
    #[must_use]
    pub fn budget_seconds(&self, setting: Setting, operation: Operation) -> u32 {
        self.0.budget_seconds(setting, operation)
    }

    /// Believes a policy signed by a key that the site list names for it.
    ///
    /// # Errors
    /// [`Refused`]; whether it succeeds another policy is for [`Policy::succeeds`].
    pub fn from_signed(bytes: &[u8], list: &List<'_>, crypto: &impl Crypto) -> Result<Self, Refused> {
        if bytes.len() > MAX_LENGTH {
            return Err(Refused::TooLong(bytes.len()));
        }
        let signed = cose::Sign1::read(bytes)?;
        let draft = read_payload(signed.payload())?;
        let key = <&[u8; ID_LENGTH]>::try_from(signed.key()).map_err(|_| Refused::UnknownSigner)?;
        let service = list.service(Purpose::Policy, key).ok_or(Refused::UnknownSigner)?;
        if !service.signs_at(draft.issued) {
            return Err(Refused::UnknownSigner);
        }
        if draft.recovery_epoch > list.heading().recovery_epoch {
            return Err(Refused::RecoveryEpoch);
        }
        let place = cose::Place::Header(cose::ContentType::POLICY);
        signed.verify(place, service.public_key(crypto)?, crypto)?;
        Self::new(draft).map_err(Refused::Breach)
    }

    /// Opens bytes that this program has verified before, or that are only to be shown, without checking the signature.
    ///
    /// # Errors
    /// If they are not a policy.
    pub fn danger_open(bytes: &[u8]) -> Result<Self, Refused> {
        Self::new(read_payload(cose::Sign1::read(bytes)?.payload())?).map_err(Refused::Breach)
    }

    /// Whether this policy may take the place of the one held: a later recovery epoch, or a higher version in the same
    /// (invariant I4).
    ///
    /// # Errors
    /// [`Refused::NotNewer`].
    pub fn succeeds(&self, held: &Self) -> Result<(), Refused> {
        let order = |policy: &Self| (policy.0.recovery_epoch, policy.0.version);
        if order(self) > order(held) {
            Ok(())
        } else {
            Err(Refused::NotNewer { held: held.0.version, given: self.0.version })
        }
    }

    /// Writes the payload of the policy; [`cose::sign1`] with the content type [`cose::ContentType::POLICY`] in the
    /// header and the full key identifier makes the signed object of it.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), W::Error> {
        let draft = &self.0;
        let mut writer = Writer::new(out);
        writer.array(6)?.uint(FORM)?.uint(draft.recovery_epoch)?.uint(draft.version)?.time(draft.issued)?;
        writer.uint(u64::from(draft.grace_seconds))?;
        writer.array(OPERATIONS as u64)?;
        for operation in Operation::ALL {
            writer.array(COLUMN)?;
            for setting in Setting::ALL {
                writer.uint(u64::from(draft.budget_seconds(setting, operation)))?;
            }
            for row in Row::ALL {
                writer.uint(u64::from(draft.effect(row, operation).number()))?;
            }
        }
        Ok(())
    }
}

/// The least and the most permissive effect that a policy may choose.
///
/// - Expiry alone never denies `sustain` or `renew` (I1). An expired list or status signer shows as stale status, so
///   neither does that.
/// - What is expired, suspended or not yet valid is never quite as good as what is not, for commands (I3): it alerts at
///   least. Not knowing the status may cost more: for `treat`, `inform` and `configure` the worst that may be behind it
///   is a compromise, so it denies. `halt` may alert: it is bounded, rate-limited and resumes by itself.
/// - A suspension ends commands, and is never silent.
const fn bounds(row: Row, operation: Operation) -> (Effect, Effect) {
    let continues = match operation {
        Operation::Sustain | Operation::Renew => true,
        Operation::Read
        | Operation::Report
        | Operation::Inform
        | Operation::Treat
        | Operation::Halt
        | Operation::Configure
        | Operation::Store => false,
    };
    let command = operation.is_command();
    match row {
        Row::ExpiredWithinGrace | Row::ExpiredBeyondGrace | Row::Stale if continues => (Effect::Alert, Effect::Allow),
        Row::ExpiredWithinGrace | Row::ExpiredBeyondGrace if command => (Effect::Deny, Effect::Alert),
        Row::Stale if matches!(operation, Operation::Halt) => (Effect::Deny, Effect::Alert),
        Row::Stale | Row::NotYetValid | Row::Suspended if command => (Effect::Deny, Effect::Deny),
        Row::Suspended => (Effect::Deny, Effect::Alert),
        Row::ExpiredWithinGrace | Row::ExpiredBeyondGrace | Row::Stale | Row::NotYetValid => {
            (Effect::Deny, Effect::Allow)
        }
    }
}

fn read_payload(payload: &[u8]) -> Result<Draft, Refused> {
    let mut reader = Reader::new(payload);
    reader.array_of(6)?;
    if reader.uint()? != FORM {
        return Err(Refused::Form);
    }
    let (recovery_epoch, version, issued) = (reader.uint()?, reader.uint()?, reader.time()?);
    let mut draft = Draft { recovery_epoch, version, issued, grace_seconds: seconds(&mut reader)?, ..Draft::default() };
    reader.array_of(OPERATIONS as u64)?;
    for operation in Operation::ALL {
        reader.array_of(COLUMN)?;
        for setting in Setting::ALL {
            draft.set_budget_seconds(setting, operation, seconds(&mut reader)?);
        }
        for row in Row::ALL {
            let error = reader.error(ErrorKind::OutOfRange);
            let number = reader.byte()?;
            let effect = Effect::ALL.into_iter().find(|effect| effect.number() == number).ok_or(error)?;
            draft.set_effect(row, operation, effect);
        }
    }
    reader.finish()?;
    Ok(draft)
}

fn seconds(reader: &mut Reader<'_>) -> Result<u32, cbor::Error> {
    let error = reader.error(ErrorKind::OutOfRange);
    u32::try_from(reader.uint()?).map_err(|_| error)
}

/// How a policy would break an invariant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breach {
    /// The grace is longer than ten years.
    Grace {
        /// As given.
        seconds: u32,
    },
    /// A status budget is below a minute or above its bound (31 days for commands, 366 for the rest).
    Budget {
        /// In this setting.
        setting: Setting,
        /// For this operation.
        operation: Operation,
        /// As given.
        seconds: u32,
    },
    /// Expiry, or what follows from it, would deny `sustain` or `renew` (I1).
    ExpiryDenies {
        /// In this row.
        row: Row,
        /// For this operation.
        operation: Operation,
    },
    /// A row grants more than it may (I3).
    TooPermissive {
        /// In this row.
        row: Row,
        /// For this operation.
        operation: Operation,
        /// The most it may grant.
        most: Effect,
    },
    /// Being expired for longer would grant more (I3).
    WorseGrantsMore {
        /// For this operation.
        operation: Operation,
    },
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Grace { seconds } => write!(f, "a grace of {seconds} s is more than {MAX_GRACE_SECONDS} s"),
            Self::Budget { setting, operation, seconds } => {
                let most = if operation.is_command() { MAX_COMMAND_BUDGET_SECONDS } else { MAX_BUDGET_SECONDS };
                let setting = setting.name();
                write!(
                    f,
                    "status budget of {operation}, {setting}: {seconds} s is not {MIN_BUDGET_SECONDS} to {most} s"
                )
            }
            Self::ExpiryDenies { row, operation } => {
                write!(f, "row {}: expiry alone must not deny {operation} (I1)", row.name())
            }
            Self::TooPermissive { row, operation, most } => {
                write!(f, "row {}: {operation} may be {} at most (I3)", row.name(), most.name())
            }
            Self::WorseGrantsMore { operation } => {
                write!(f, "{operation}: expired beyond grace must not grant more than within it (I3)")
            }
        }
    }
}

impl core::error::Error for Breach {}

/// Why a signed policy is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not a signed object of the right form, or its signature is wrong.
    Cose(cose::Error),
    /// It has more bytes than a policy has.
    TooLong(usize),
    /// The form is of another version than this program reads.
    Form,
    /// The key that signed it is not one that the site list names for policies, or no longer was.
    UnknownSigner,
    /// The key in the site list cannot be read.
    Key(list::Error),
    /// Its recovery epoch is later than that of the list that names its signer.
    RecoveryEpoch,
    /// It would break an invariant.
    Breach(Breach),
    /// It is not newer than the one held.
    NotNewer {
        /// Version of the one held.
        held: u64,
        /// Version of the one given.
        given: u64,
    },
}

impl From<cose::Error> for Refused {
    fn from(error: cose::Error) -> Self {
        Self::Cose(error)
    }
}

impl From<cbor::Error> for Refused {
    fn from(error: cbor::Error) -> Self {
        Self::Cose(error.into())
    }
}

impl From<list::Error> for Refused {
    fn from(error: list::Error) -> Self {
        Self::Key(error)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cose(error) => error.fmt(f),
            Self::TooLong(length) => write!(f, "{length} bytes are more than a policy has ({MAX_LENGTH})"),
            Self::Form => f.write_str("the policy is of a form this program does not read; update it"),
            Self::UnknownSigner => f.write_str("its signer is not a policy key of the site list held"),
            Self::Key(error) => error.fmt(f),
            Self::RecoveryEpoch => {
                f.write_str("its recovery epoch is later than that of the list held; fetch that first")
            }
            Self::Breach(breach) => write!(f, "the policy is refused: {breach}"),
            Self::NotNewer { held, given } => {
                write!(f, "version {given} is not newer than version {held}, which is held")
            }
        }
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests;
