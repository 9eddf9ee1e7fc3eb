//! What came of a command.

use super::code;
use super::command::StateVersion;
use super::dose::MilliUnits;
use core::fmt;
use medlock_trust::cbor::{Fields, Writer};
use medlock_trust::decide::Code;
use minicbor::encode::Write;

/// What came of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// Which command: its counter under the bond.
    pub counter: u64,
    /// What came of it.
    pub outcome: Outcome,
    /// What the verdict wrote beside it, if it was allowed with a mark.
    pub mark: Option<Code>,
}

/// What came of a command, as far as the device knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was not and will not be carried out. Final.
    Refused(Refusal),
    /// It is recorded and being carried out. Not final.
    Started,
    /// It was carried out, or ended early. Final.
    Done {
        /// How much was delivered.
        delivered: MilliUnits,
    },
    /// Power went while it was carried out, or it is so long ago that the device does not remember. It is not tried again,
    /// and counts as delivered in full. Final.
    Uncertain {
        /// The most that may have been delivered; [`u32::MAX`] if the device does not remember how much it was.
        at_most: MilliUnits,
    },
}

impl Outcome {
    /// Whether nothing else will ever be said of the command.
    #[must_use]
    pub const fn is_final(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Done { .. } | Self::Uncertain { .. } => true,
            Self::Started => false,
        }
    }

    /// How much insulin a careful controller reckons with, of a command that could deliver `most`.
    #[must_use]
    pub const fn at_most(&self, most: MilliUnits) -> MilliUnits {
        match self {
            Self::Refused(_) => MilliUnits(0),
            Self::Started => most,
            Self::Done { delivered } => *delivered,
            Self::Uncertain { at_most } if at_most.0 < most.0 => *at_most,
            Self::Uncertain { .. } => most,
        }
    }
}

/// Why a command is not carried out. Stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The verdict says no.
    Denied(Code),
    /// A later message of the same controller, or a halt of any, came first: a command overtaken by another is void.
    Voided,
    /// Its challenge is not the one that is open, was used, or is older than the device allows.
    Challenge,
    /// The state of therapy is another than that for which it was made.
    State,
    /// It was made under another bond than the one in force.
    Epoch,
    /// A bolus is under way, or more is under way than the device keeps account of.
    Busy,
    /// It asks for more than its own bound.
    Bound,
    /// The device holds insulin of another concentration.
    Concentration,
    /// It exceeds what the device does by one command: amount, rate or time.
    Limit,
    /// It would exceed what the device delivers within its window of time.
    Cumulative,
    /// There were too many halts within the window of time.
    HaltRate,
    /// The device cannot do such a thing.
    Unsupported,
    /// The device could not begin: empty, blocked, out of order.
    Unable,
    /// The device could not record it, and so did not begin.
    Storage,
}

impl Refusal {
    /// All refusals of the device's own: without those of the verdict.
    pub const OWN: [Self; 13] = [
        Self::Voided,
        Self::Challenge,
        Self::State,
        Self::Epoch,
        Self::Busy,
        Self::Bound,
        Self::Concentration,
        Self::Limit,
        Self::Cumulative,
        Self::HaltRate,
        Self::Unsupported,
        Self::Unable,
        Self::Storage,
    ];

    /// Its number on the wire: below 64 the verdict's, from 64 the device's own.
    #[must_use]
    pub const fn number(self) -> u8 {
        match self {
            Self::Denied(denied) => code::number(denied),
            Self::Voided => 64,
            Self::Challenge => 65,
            Self::State => 66,
            Self::Epoch => 67,
            Self::Busy => 68,
            Self::Bound => 69,
            Self::Concentration => 70,
            Self::Limit => 71,
            Self::Cumulative => 72,
            Self::HaltRate => 73,
            Self::Unsupported => 74,
            Self::Unable => 75,
            Self::Storage => 76,
        }
    }

    /// The refusal with this number.
    #[must_use]
    pub fn from_number(wanted: u8) -> Option<Self> {
        let own = Self::OWN.into_iter().find(|refusal| refusal.number() == wanted);
        own.or_else(|| code::from_number(wanted).map(Self::Denied))
    }

    /// The code as text. It never changes its meaning.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Denied(denied) => denied.as_str(),
            Self::Voided => "command-voided",
            Self::Challenge => "challenge-not-open",
            Self::State => "state-changed",
            Self::Epoch => "bond-epoch-other",
            Self::Busy => "device-busy",
            Self::Bound => "beyond-own-bound",
            Self::Concentration => "concentration-other",
            Self::Limit => "beyond-command-limit",
            Self::Cumulative => "beyond-cumulative-limit",
            Self::HaltRate => "too-many-halts",
            Self::Unsupported => "action-unsupported",
            Self::Unable => "device-unable",
            Self::Storage => "record-failed",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

const REFUSED: u64 = 0;
const STARTED: u64 = 1;
const DONE: u64 = 2;
const UNCERTAIN: u64 = 3;

impl Receipt {
    /// Writes counter, outcome, its value and mark: four items, without an array around them.
    ///
    /// # Errors
    /// What `out` says.
    pub fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        let (number, value) = match self.outcome {
            Outcome::Refused(refusal) => (REFUSED, u64::from(refusal.number())),
            Outcome::Started => (STARTED, 0),
            Outcome::Done { delivered } => (DONE, u64::from(delivered.0)),
            Outcome::Uncertain { at_most } => (UNCERTAIN, u64::from(at_most.0)),
        };
        out.uint(self.counter)?.uint(number)?.uint(value)?;
        code::encode_mark(self.mark, out)
    }

    /// Reads what [`Receipt::encode`] writes; anything else, or what is out of range, is an error of `fields`.
    pub fn decode(fields: &mut Fields<'_>) -> Self {
        let counter = fields.uint();
        let start = fields.position();
        let outcome = match (fields.uint(), fields.uint32()) {
            (REFUSED, number) => u8::try_from(number).ok().and_then(Refusal::from_number).map(Outcome::Refused),
            (STARTED, 0) => Some(Outcome::Started),
            (DONE, value) => Some(Outcome::Done { delivered: MilliUnits(value) }),
            (UNCERTAIN, value) => Some(Outcome::Uncertain { at_most: MilliUnits(value) }),
            _ => None,
        };
        let outcome = fields.within(outcome, start).unwrap_or(Outcome::Started);
        Self { counter, outcome, mark: code::decode_mark(fields) }
    }
}

/// What a device says of itself with a challenge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// The state of therapy.
    pub state: StateVersion,
    /// The highest counter this device took from the controller under the bond: later messages have higher ones.
    pub floor: u64,
    /// What came of the last bolus under the bond, as far as the device remembers one.
    pub bolus: Option<Receipt>,
}

impl Standing {
    pub(super) fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        out.uint(u64::from(self.state.0))?.uint(self.floor)?;
        match &self.bolus {
            Some(receipt) => receipt.encode(out.array(4)?),
            None => out.null().map(drop),
        }
    }

    pub(super) fn decode(fields: &mut Fields<'_>) -> Self {
        let (state, floor) = (StateVersion(fields.uint32()), fields.uint());
        let bolus = if fields.null() {
            None
        } else {
            fields.array_of(4);
            Some(Receipt::decode(fields))
        };
        Self { state, floor, bolus }
    }
}
