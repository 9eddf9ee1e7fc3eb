//! Saying no in DICOM's own words: A-ASSOCIATE-RJ and A-ABORT (PS3.8 sections 9.3.4 and 9.3.8).

use medlock_trust::Operation;
use std::fmt;

/// The three numbers of an A-ASSOCIATE-RJ (PS3.8 table 9-21).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reject {
    /// 1 rejected for good, 2 rejected for now.
    pub result: u8,
    /// 1 service user, 2 service provider (ACSE), 3 service provider (presentation).
    pub source: u8,
    /// What it means depends on `source`.
    pub reason: u8,
}

impl Reject {
    /// The PDU.
    #[must_use]
    pub const fn pdu(self) -> [u8; 10] {
        [0x03, 0, 0, 0, 0, 4, 0, self.result, self.source, self.reason]
    }
}

/// Why the service provider aborts (PS3.8 table 9-26).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum AbortReason {
    /// No reason is given.
    NotSpecified = 0,
    /// A PDU of no known type.
    UnrecognizedPdu = 1,
    /// A PDU that does not belong here.
    UnexpectedPdu = 2,
    /// A value in a PDU is wrong.
    InvalidParameter = 6,
}

/// An A-ABORT of the service provider (source 2).
#[must_use]
pub const fn abort(reason: AbortReason) -> [u8; 10] {
    [0x07, 0, 0, 0, 0, 4, 0, 0, 2, reason as u8]
}

/// How a refusal is told to the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With an A-ASSOCIATE-RJ.
    Reject(Reject),
    /// With an A-ABORT: what came was no association request.
    Abort(AbortReason),
}

impl Answer {
    /// The PDU that says so.
    #[must_use]
    pub const fn pdu(self) -> [u8; 10] {
        match self {
            Self::Reject(reject) => reject.pdu(),
            Self::Abort(reason) => abort(reason),
        }
    }
}

/// Why an association is refused. Each has a stable code for the audit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The first PDU is no A-ASSOCIATE-RQ.
    NotARequest,
    /// The request is longer than the limit, in bytes.
    TooLong(usize),
    /// The request is damaged.
    Malformed(&'static str),
    /// The request did not come in time.
    TooSlow,
    /// The caller closed the connection without a word: a port scan, a health check. Nothing is recorded.
    Silent,
    /// The caller closed the connection in the middle of its request.
    Incomplete,
    /// The caller speaks another version of the upper layer protocol.
    ProtocolVersion,
    /// The application context is not DICOM's.
    ApplicationContext,
    /// The caller's address is not on the allow-list of the plain side.
    ForeignAddress,
    /// The calling AE title is not one the site bound to this caller.
    CallingNotBound,
    /// No machine of the site has the called AE title.
    CalledUnknown,
    /// The called AE title is not one of the machine behind this guard.
    CalledElsewhere,
    /// The caller asks for something its credential does not allow now; the code is the trust core's.
    Denied {
        /// What it asked.
        operation: Operation,
        /// The stable code of the verdict.
        code: &'static str,
        /// What would change the verdict.
        remedy: &'static str,
    },
    /// Whoever answers at the called machine's address is not that machine.
    WrongMachine,
    /// The called machine's sidecar cannot be reached or does not identify itself.
    PeerUnreachable,
    /// The machine behind this guard does not answer on its DICOM port.
    MachineUnreachable,
    /// The called machine takes no associations: it has no address, or no DICOM port behind its guard.
    NoPort,
    /// There are too many associations.
    Congestion,
}

impl Refusal {
    /// The refusal's stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotARequest => "dicom-not-a-request",
            Self::TooLong(_) => "dicom-request-too-long",
            Self::Malformed(_) => "dicom-request-malformed",
            Self::TooSlow => "dicom-request-too-slow",
            Self::Silent => "dicom-silent",
            Self::Incomplete => "dicom-request-incomplete",
            Self::ProtocolVersion => "dicom-protocol-version",
            Self::ApplicationContext => "dicom-application-context",
            Self::ForeignAddress => "dicom-foreign-address",
            Self::CallingNotBound => "dicom-calling-ae-not-bound",
            Self::CalledUnknown => "dicom-called-ae-unknown",
            Self::CalledElsewhere => "dicom-called-ae-elsewhere",
            Self::Denied { code, .. } => code,
            Self::WrongMachine => "dicom-wrong-machine",
            Self::PeerUnreachable => "dicom-peer-unreachable",
            Self::MachineUnreachable => "dicom-machine-unreachable",
            Self::NoPort => "dicom-machine-has-no-port",
            Self::Congestion => "dicom-congestion",
        }
    }

    /// What is said to the caller; `None` when nobody is left to hear it.
    #[must_use]
    pub const fn answer(&self) -> Option<Answer> {
        let (result, source, reason) = match self {
            Self::NotARequest => return Some(Answer::Abort(AbortReason::UnexpectedPdu)),
            Self::Malformed(_) => return Some(Answer::Abort(AbortReason::InvalidParameter)),
            Self::TooSlow => return Some(Answer::Abort(AbortReason::NotSpecified)),
            Self::Incomplete | Self::Silent => return None,
            Self::TooLong(_) => (1, 3, 2),         // local limit exceeded
            Self::ProtocolVersion => (1, 2, 2),    // protocol version not supported
            Self::ApplicationContext => (1, 1, 2), // application context name not supported
            Self::CallingNotBound => (1, 1, 3),    // calling AE title not recognized
            Self::CalledUnknown | Self::CalledElsewhere => (1, 1, 7), // called AE title not recognized
            Self::ForeignAddress | Self::Denied { .. } | Self::WrongMachine | Self::NoPort => (1, 1, 1), // no reason
            Self::PeerUnreachable | Self::MachineUnreachable => (2, 2, 1), // for now, no reason
            Self::Congestion => (2, 3, 1),         // temporary congestion
        };
        Some(Answer::Reject(Reject { result, source, reason }))
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotARequest => f.write_str("the first PDU is no association request"),
            Self::TooLong(limit) => write!(f, "the association request is longer than {limit} bytes"),
            Self::Malformed(what) => write!(f, "the association request is damaged: {what}"),
            Self::TooSlow => f.write_str("the association request did not come in time"),
            Self::Silent => f.write_str("the caller closed the connection without a word"),
            Self::Incomplete => f.write_str("the connection ended inside the association request"),
            Self::ProtocolVersion => f.write_str("the caller speaks another version of the upper layer protocol"),
            Self::ApplicationContext => f.write_str("the application context is not DICOM's"),
            Self::ForeignAddress => {
                f.write_str("the caller's address is not on the plain side's allow-list; add it if it is this machine")
            }
            Self::CallingNotBound => {
                f.write_str("the calling AE title is not bound to this caller; `medlock route set` binds titles")
            }
            Self::CalledUnknown => f.write_str("no machine has the called AE title; `medlock route set` adds it"),
            Self::CalledElsewhere => f.write_str("the called AE title is not one of the machine behind this guard"),
            Self::Denied { operation, code, remedy } => write!(f, "`{operation}` is denied ({code}): {remedy}"),
            Self::WrongMachine => f.write_str("another device answers at the called machine's address"),
            Self::PeerUnreachable => f.write_str("the called machine's sidecar cannot be reached"),
            Self::MachineUnreachable => f.write_str("the machine does not answer on its DICOM port"),
            Self::NoPort => f.write_str("the called machine takes no associations: it has no DICOM port"),
            Self::Congestion => f.write_str("too many associations at once"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dicom_ul::pdu::{AbortRQSource, AssociationRJResult, Pdu, read_pdu};

    /// Shows REQ-GUARD-05: what we write is what a stock codec reads.
    #[test]
    fn refusals_are_well_formed_pdus() {
        let denied = Refusal::Denied { operation: Operation::Store, code: "x", remedy: "y" };
        for refusal in [
            Refusal::TooLong(1),
            Refusal::ProtocolVersion,
            Refusal::ApplicationContext,
            Refusal::ForeignAddress,
            Refusal::CallingNotBound,
            Refusal::CalledUnknown,
            Refusal::CalledElsewhere,
            denied,
            Refusal::WrongMachine,
            Refusal::PeerUnreachable,
            Refusal::MachineUnreachable,
            Refusal::NoPort,
            Refusal::Congestion,
        ] {
            let pdu = refusal.answer().unwrap().pdu();
            let read = read_pdu(&pdu[..], 16_384, true).unwrap().unwrap();
            let Pdu::AssociationRJ(reject) = read else { panic!("{refusal:?}: {read:?}") };
            let lasting =
                !matches!(refusal, Refusal::PeerUnreachable | Refusal::MachineUnreachable | Refusal::Congestion);
            assert_eq!(reject.result == AssociationRJResult::Permanent, lasting, "{refusal:?}");
        }
        for refusal in [Refusal::NotARequest, Refusal::Malformed("x"), Refusal::TooSlow] {
            let pdu = refusal.answer().unwrap().pdu();
            let read = read_pdu(&pdu[..], 16_384, true).unwrap().unwrap();
            assert!(matches!(read, Pdu::AbortRQ { source: AbortRQSource::ServiceProvider(_) }), "{read:?}");
        }
    }
}
