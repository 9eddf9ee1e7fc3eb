//! What is inside a seal.

use super::command::{Challenge, Command};
use super::receipt::{Receipt, Standing};
use medlock_trust::cbor::{Error, ErrorKind, Fields, Writer};
use minicbor::encode::Write;

/// What a controller says. Its number is outside, in the Partial IV.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Request {
    /// Give me a challenge.
    Challenge,
    /// Do this.
    Command(Command),
    /// What came of the command with this counter?
    Receipt(u64),
}

impl Request {
    pub(super) fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        match self {
            Self::Challenge => out.array(1)?.uint(0).map(drop),
            Self::Command(command) => command.encode(out.array(6)?.uint(1)?),
            Self::Receipt(counter) => out.array(2)?.uint(2)?.uint(*counter).map(drop),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(bytes);
        let count = fields.array(6);
        let request = match (fields.uint(), count) {
            (0, 1) => Self::Challenge,
            (1, 6) => Self::Command(Command::decode(&mut fields)),
            (2, 2) => Self::Receipt(fields.uint()),
            _ => {
                fields.refuse(0, ErrorKind::OutOfRange);
                Self::Challenge
            }
        };
        fields.finish().map(|()| request)
    }
}

/// What a device says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// A challenge, and how things stand.
    Challenge {
        /// The number of the request that is answered.
        to: u64,
        challenge: Challenge,
        standing: Standing,
    },
    /// What came of a command.
    Receipt(Receipt),
}

impl Answer {
    pub(super) fn encode<W: Write>(&self, out: &mut Writer<W>) -> Result<(), W::Error> {
        match self {
            Self::Challenge { to, challenge, standing } => {
                standing.encode(out.array(6)?.uint(0)?.uint(*to)?.bytes(&challenge.0)?)
            }
            Self::Receipt(receipt) => receipt.encode(out.array(5)?.uint(1)?),
        }
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let mut fields = Fields::new(bytes);
        let count = fields.array(6);
        let answer = match (fields.uint(), count) {
            (0, 6) => Self::Challenge {
                to: fields.uint(),
                challenge: Challenge(*fields.fixed()),
                standing: Standing::decode(&mut fields),
            },
            (1, 5) => Self::Receipt(Receipt::decode(&mut fields)),
            _ => return Err(fields.check().err().unwrap_or(Error { position: 0, kind: ErrorKind::OutOfRange })),
        };
        fields.finish().map(|()| answer)
    }
}
