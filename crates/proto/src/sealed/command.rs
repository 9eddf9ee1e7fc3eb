//! What a controller tells a device to do, and under which conditions.

use super::dose::{Concentration, MilliUnits, Minutes, Percent, Rate};
use crate::reading::Evidence;
use core::fmt;
use medlock_trust::Operation;
use medlock_trust::cbor::{ErrorKind, Fields, Writer};
use minicbor::encode::Write;

/// An act, with its unit and its own bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// Deliver an amount at once (`treat`).
    Bolus {
        /// How much.
        amount: MilliUnits,
        /// Of which insulin: another than the device holds is refused.
        concentration: Concentration,
        /// The most the sender ever commands in one bolus: a larger amount is a slip, and refused.
        bound: MilliUnits,
    },
    /// Deliver at another rate than programmed, for a time (`treat`).
    TemporaryBasal {
        /// The rate in place of the programmed one.
        rate: Rate,
        /// For how long; then the programme goes on by itself.
        minutes: Minutes,
        /// Of which insulin.
        concentration: Concentration,
        /// The most the sender lets one temporary basal deliver in all its time.
        bound: MilliUnits,
    },
    /// End a suspension or reduction before its time (`treat`: it starts delivery).
    Resume,
    /// Deliver nothing for a time (`halt`); then the programme goes on by itself.
    Suspend {
        /// For how long.
        minutes: Minutes,
    },
    /// Deliver less than programmed for a time (`halt`). A bolus or temporary basal under way ends, as by
    /// [`Action::Suspend`].
    Reduce {
        /// What of the programmed basal goes on: 1 to 100.
        percent: Percent,
        /// For how long.
        minutes: Minutes,
    },
    /// Change a setting (`configure`); its number and value are the device's own.
    Set {
        /// Which setting.
        setting: u16,
        /// To what.
        value: u32,
    },
}

impl Action {
    /// Which operation it needs.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        match self {
            Self::Bolus { .. } | Self::TemporaryBasal { .. } | Self::Resume => Operation::Treat,
            Self::Suspend { .. } | Self::Reduce { .. } => Operation::Halt,
            Self::Set { .. } => Operation::Configure,
        }
    }

    /// The most insulin it can deliver.
    #[must_use]
    pub fn most(&self) -> MilliUnits {
        match self {
            Self::Bolus { amount, .. } => *amount,
            Self::TemporaryBasal { rate, minutes, .. } => rate.over(*minutes),
            Self::Resume | Self::Suspend { .. } | Self::Reduce { .. } | Self::Set { .. } => MilliUnits(0),
        }
    }

    /// Whether it is a bolus: no second one goes out while the outcome of one is unknown.
    #[must_use]
    pub const fn is_bolus(&self) -> bool {
        matches!(self, Self::Bolus { .. })
    }

    /// Writes it: an array that begins with the number of the act.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        let list: (u64, &[u32]) = match *self {
            Self::Bolus { amount, concentration, bound } => (0, &[amount.0, u32::from(concentration.0), bound.0]),
            Self::TemporaryBasal { rate, minutes, concentration, bound } => {
                (1, &[rate.0, u32::from(minutes.0), u32::from(concentration.0), bound.0])
            }
            Self::Resume => (2, &[]),
            Self::Suspend { minutes } => (3, &[u32::from(minutes.0)]),
            Self::Reduce { percent, minutes } => (4, &[u32::from(percent.0), u32::from(minutes.0)]),
            Self::Set { setting, value } => (5, &[u32::from(setting), value]),
        };
        let (number, fields) = list;
        out.array(u64::try_from(fields.len()).unwrap_or(u64::MAX).saturating_add(1))?.uint(number)?;
        fields.iter().try_for_each(|field| out.uint(u64::from(*field)).map(drop))
    }

    /// Reads what [`Action::encode`] writes; anything else, or what is out of range, is an error of `fields`.
    pub fn decode(fields: &mut Fields<'_>) -> Self {
        let start = fields.position();
        let count = fields.array(5);
        let action = match (fields.uint(), count) {
            (0, 4) => Self::Bolus {
                amount: MilliUnits(fields.uint32()),
                concentration: Concentration(fields.uint16()),
                bound: MilliUnits(fields.uint32()),
            },
            (1, 5) => Self::TemporaryBasal {
                rate: Rate(fields.uint32()),
                minutes: Minutes(fields.uint16()),
                concentration: Concentration(fields.uint16()),
                bound: MilliUnits(fields.uint32()),
            },
            (2, 1) => Self::Resume,
            (3, 2) => Self::Suspend { minutes: Minutes(fields.uint16()) },
            (4, 3) => Self::Reduce { percent: Percent(fields.byte()), minutes: Minutes(fields.uint16()) },
            (5, 3) => Self::Set { setting: fields.uint16(), value: fields.uint32() },
            _ => {
                fields.refuse(start, ErrorKind::OutOfRange);
                Self::Resume
            }
        };
        let is_senseless = matches!(action, Self::Reduce { percent: Percent(0 | 101..), .. });
        fields.ask(!is_senseless, start, ErrorKind::OutOfRange);
        action
    }
}

/// A number the device drew at random, to be used in one command: it shows that the command was made after.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Challenge(pub(crate) [u8; Self::LENGTH]);

impl Challenge {
    /// Bytes of a challenge: 64 bits, as RFC 9175 section 2.3 asks of a value that stands for time.
    pub const LENGTH: usize = 8;

    /// Takes a challenge from bytes that were drawn at random.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; Self::LENGTH]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Challenge({:016x})", u64::from_be_bytes(self.0))
    }
}

/// The version of a device's therapy: it changes whenever anything does that a controller reckons with, by whomever. A
/// command that treats or configures names the one it was made for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StateVersion(pub u32);

/// What a controller wants done: the part of a command that is its own choice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// The act.
    pub action: Action,
    /// On which readings it rests, if on any. Evidence for the record, not control: the device does not judge by it.
    pub evidence: Option<Evidence>,
}

/// A command as it was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// Which bond lets the controller command ([`medlock_trust::Bond::epoch`]).
    pub epoch: u64,
    /// The challenge of the device that it uses up.
    pub challenge: Challenge,
    /// The state of therapy for which it was made.
    pub state: StateVersion,
    /// What is to be done.
    pub order: Order,
}

impl Command {
    pub(super) fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        out.uint(self.epoch)?.bytes(&self.challenge.0)?.uint(u64::from(self.state.0))?;
        match &self.order.evidence {
            Some(evidence) => out.bytes(evidence.as_bytes())?,
            None => out.null()?,
        };
        self.order.action.encode(out)
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Self {
        Self {
            epoch: fields.uint(),
            challenge: Challenge(*fields.fixed()),
            state: StateVersion(fields.uint32()),
            order: Order {
                evidence: if fields.null() { None } else { Some(Evidence::from_bytes(*fields.fixed())) },
                action: Action::decode(fields),
            },
        }
    }
}
