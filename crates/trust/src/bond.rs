//! Bonds: this controller may command this device, for this patient.

use crate::id::DeviceId;
use crate::operation::{Operation, Operations};

/// Which patient, and which episode of care, a device serves: a number that whoever binds them draws at random. It says
/// nothing about the patient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PatientContext(pub [u8; 16]);

/// The device's own statement that a controller may command it.
///
/// A device holds few bonds, and of those that are in force at most one has `treat`
/// ([`Bond::only_one_treats`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bond {
    /// The device that may command.
    pub controller: DeviceId,
    /// For which patient.
    pub patient: PatientContext,
    /// What it may ask.
    pub operations: Operations,
    /// Which bond: grows with each that the device makes. Bonds below the device's lowest valid epoch are void.
    pub epoch: u64,
}

impl Bond {
    /// Whether at most one of the bonds in force lets its controller treat.
    #[must_use]
    pub fn only_one_treats(bonds: &[Self]) -> bool {
        let mut holders = bonds.iter().filter(|bond| bond.operations.contains(Operation::Treat));
        let first = holders.next();
        holders.all(|other| first.is_some_and(|first| first.controller == other.controller))
    }

    /// Whether the bond lets `controller` ask `operation`, for this patient, at or above the lowest valid epoch.
    #[must_use]
    pub fn permits(
        &self,
        controller: DeviceId,
        operation: Operation,
        patient: Option<PatientContext>,
        lowest_epoch: u64,
    ) -> bool {
        self.controller == controller
            && self.operations.contains(operation)
            && patient.is_none_or(|patient| patient == self.patient)
            && self.epoch >= lowest_epoch
    }
}
