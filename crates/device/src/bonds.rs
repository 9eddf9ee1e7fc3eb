//! Bonds held: who may command this device, and whose readings it may let into automatic therapy.

use medlock_trust::bond::{Bond, PatientContext, SignedBond};
use medlock_trust::cbor::{self, Reader, Writer};
use medlock_trust::{DeviceId, Operation, Operations, Time};
use minicbor::encode::Write;

/// The most bonds at once: a controller, its spare, a sensor, a second sensor.
pub(crate) const MAX_BONDS: usize = 4;

/// Why a bond is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BondRefused {
    /// Its epoch is not above all that this device has seen.
    NotNewer {
        /// The highest epoch seen.
        held: u64,
        /// The epoch given.
        given: u64,
    },
    /// As many bonds as there is room for are in force for this patient.
    Full,
    /// Epochs are used up.
    UsedUp,
    /// Its epoch is further above all that this device has seen than epochs go in a lifetime: it would use them up.
    TooFar {
        /// The highest epoch seen.
        held: u64,
        /// The epoch given.
        given: u64,
    },
    /// It was signed before a person at this device ended all bonds, or turned it to another patient.
    BeforeTheEnd,
}

/// How far above the highest epoch seen that of a signed bond may be: a bond for each second of a hundred years.
const MAX_STEP: u64 = 1 << 32;

/// How far the clocks of a site and of its devices may be apart, in seconds.
const CLOCKS_APART: i64 = 300;

/// The bonds held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bonds {
    bonds: [Option<Bond>; MAX_BONDS],
    highest_epoch: u64,
    lowest_epoch: u64,
    /// The lower bound of the present when a person ended all bonds, or turned the device to another patient: what was
    /// signed before is void, whoever brings it.
    ended: Option<Time>,
}

impl Bonds {
    /// The bonds in force.
    pub fn iter(&self) -> impl Iterator<Item = &Bond> {
        self.bonds.iter().flatten().filter(|bond| bond.epoch >= self.lowest_epoch)
    }

    /// The bond with `controller`.
    #[must_use]
    pub fn with(&self, controller: DeviceId) -> Option<&Bond> {
        self.iter().find(|bond| bond.controller == controller)
    }

    /// The patient this device serves: that of the newest bond.
    #[must_use]
    pub fn patient(&self) -> Option<PatientContext> {
        self.iter().max_by_key(|bond| bond.epoch).map(|bond| bond.patient)
    }

    /// The lowest epoch that is still valid.
    #[must_use]
    pub const fn lowest_epoch(&self) -> u64 {
        self.lowest_epoch
    }

    /// The highest epoch seen.
    #[must_use]
    pub const fn highest_epoch(&self) -> u64 {
        self.highest_epoch
    }

    /// These bonds and one more, made here by a physical act. Where it is for another patient than those before, all that
    /// was signed before `present`, if given (the lower bound of the present), is void: a carrier may have kept it back. What
    /// was signed in the five minutes before is not, as clocks differ.
    ///
    /// # Errors
    /// [`BondRefused::Full`], [`BondRefused::UsedUp`].
    pub fn made(
        &self,
        controller: DeviceId,
        patient: PatientContext,
        operations: Operations,
        present: Option<Time>,
    ) -> Result<(Self, Bond), BondRefused> {
        let epoch = self.highest_epoch.checked_add(1).ok_or(BondRefused::UsedUp)?;
        let bond = Bond { controller, patient, operations, epoch };
        let mut bonds = self.with_new(bond)?;
        if self.patient() != Some(patient) {
            bonds.ended = bonds.ended.max(present.map(|present| present.plus_seconds(-CLOCKS_APART)));
        }
        Ok((bonds, bond))
    }

    /// These bonds and one that the site signed.
    ///
    /// # Errors
    /// [`BondRefused`].
    pub fn signed(&self, signed: &SignedBond) -> Result<Self, BondRefused> {
        let (held, given) = (self.highest_epoch, signed.bond.epoch);
        if given <= held {
            return Err(BondRefused::NotNewer { held, given });
        }
        if given.saturating_sub(held) > MAX_STEP {
            return Err(BondRefused::TooFar { held, given });
        }
        if self.ended.is_some_and(|ended| signed.issued < ended) {
            return Err(BondRefused::BeforeTheEnd);
        }
        let mut bonds = self.clone();
        bonds.lowest_epoch = bonds.lowest_epoch.max(signed.lowest_epoch);
        bonds.with_new(signed.bond)
    }

    /// No bonds: all there were are void for good, and so are those signed before `present`, if given: the lower
    /// bound of the present. A person can always do this, whatever epochs somebody used.
    #[must_use]
    pub fn ended_at(&self, present: Option<Time>) -> Self {
        Self {
            bonds: [None; MAX_BONDS],
            highest_epoch: self.highest_epoch,
            lowest_epoch: self.highest_epoch.saturating_add(1),
            ended: self.ended.max(present),
        }
    }

    fn with_new(&self, bond: Bond) -> Result<Self, BondRefused> {
        let mut bonds = self.clone();
        bonds.highest_epoch = bond.epoch;
        for slot in &mut bonds.bonds {
            let Some(old) = slot else { continue };
            let gone =
                old.controller == bond.controller || old.patient != bond.patient || old.epoch < bonds.lowest_epoch;
            if gone {
                *slot = None;
            } else if bond.operations.contains(Operation::Treat) {
                old.operations = without_treat(old.operations);
            }
        }
        let free = bonds.bonds.iter_mut().find(|slot| slot.is_none()).ok_or(BondRefused::Full)?;
        *free = Some(bond);
        Ok(bonds)
    }

    /// Writes the bonds as they are kept in flash.
    ///
    /// # Errors
    /// If `out` fails.
    pub(crate) fn encode<W: Write>(&self, out: W) -> Result<(), W::Error> {
        let mut writer = Writer::new(out);
        writer.array(4)?.uint(self.highest_epoch)?.uint(self.lowest_epoch)?;
        writer.array(self.bonds.iter().flatten().fold(0, |count: u64, _| count.saturating_add(1)))?;
        for bond in self.bonds.iter().flatten() {
            writer.array(4)?.bytes(bond.controller.as_bytes())?.bytes(&bond.patient.0)?;
            writer.uint(u64::from(bond.operations.bits()))?.uint(bond.epoch)?;
        }
        match self.ended {
            Some(ended) => writer.int(ended.unix())?,
            None => writer.null()?,
        };
        Ok(())
    }

    /// Reads what [`Bonds::encode`] wrote.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, cbor::Error> {
        let mut reader = Reader::new(bytes);
        let error = reader.error(cbor::ErrorKind::OutOfRange);
        let items = reader.array(4)?;
        if items < 3 {
            return Err(error);
        }
        let (highest_epoch, lowest_epoch) = (reader.uint()?, reader.uint()?);
        let mut bonds = [None; MAX_BONDS];
        let count = reader.array(MAX_BONDS as u64)?;
        for (slot, _) in bonds.iter_mut().zip(0..count) {
            let error = reader.error(cbor::ErrorKind::OutOfRange);
            reader.array_of(4)?;
            let controller = DeviceId::from_bytes(*reader.fixed()?);
            let patient = PatientContext(*reader.fixed()?);
            let bits = u16::try_from(reader.uint()?).map_err(|_| error)?;
            let operations = Operations::from_bits(bits).ok_or(error)?;
            *slot = Some(Bond { controller, patient, operations, epoch: reader.uint()? });
        }
        // Those that were written before this was kept have three items.
        let ended = if items < 4 || reader.null()? { None } else { Some(Time::from_unix(reader.int()?)) };
        reader.finish()?;
        Ok(Self { bonds, highest_epoch, lowest_epoch, ended })
    }

    /// The most bytes that [`Bonds::encode`] writes.
    pub(crate) const MAX_LENGTH: usize = 29 + MAX_BONDS * (1 + 17 + 17 + 3 + 9);
}

fn without_treat(operations: Operations) -> Operations {
    let rest = operations.iter().filter(|operation| *operation != Operation::Treat);
    rest.fold(Operations::NONE, |all, one| all.union(Operations::of(&[one])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const PATIENT: PatientContext = PatientContext([1; 16]);
    const COMMANDS: Operations = Operations::of(&[Operation::Treat, Operation::Halt]);

    fn device(number: u8) -> DeviceId {
        DeviceId::from_bytes([number; 16])
    }

    fn signed(controller: DeviceId, epoch: u64, lowest_epoch: u64) -> SignedBond {
        let bond = Bond { controller, patient: PATIENT, operations: COMMANDS, epoch };
        SignedBond { device: device(0), bond, lowest_epoch, issued: Time::from_unix(0) }
    }

    /// Shows REQ-DEV-03.
    #[test]
    fn there_is_one_holder_of_treat_and_epochs_only_grow() {
        let (bonds, first) = Bonds::default().made(device(1), PATIENT, COMMANDS, None).unwrap();
        assert_eq!(first.epoch, 1);
        let (bonds, second) = bonds.made(device(2), PATIENT, COMMANDS, None).unwrap();
        assert_eq!(second.epoch, 2);
        assert_eq!(bonds.with(device(1)).unwrap().operations, Operations::of(&[Operation::Halt]));
        assert_eq!(bonds.with(device(2)).unwrap().operations, COMMANDS);
        let all: Vec<Bond> = bonds.iter().copied().collect();
        assert!(Bond::only_one_treats(&all));
        assert_eq!(bonds.signed(&signed(device(1), 2, 0)), Err(BondRefused::NotNewer { held: 2, given: 2 }));
        let bonds = bonds.signed(&signed(device(1), 9, 9)).unwrap();
        assert_eq!(bonds.iter().count(), 1, "bonds below the lowest epoch are void");
        assert_eq!(bonds.with(device(1)).unwrap().epoch, 9);
        let ended = bonds.ended_at(None);
        assert_eq!((ended.iter().count(), ended.lowest_epoch()), (0, 10));
        assert!(ended.signed(&signed(device(1), 9, 0)).is_err(), "an old bond does not come back");
    }

    /// Shows REQ-DEV-120.
    #[test]
    fn a_bond_that_was_kept_back_does_not_outlive_the_end_of_all_bonds() {
        let at = |seconds| SignedBond { issued: Time::from_unix(seconds), ..signed(device(1), 5, 0) };
        let ended = Bonds::default().ended_at(Some(Time::from_unix(50))).ended_at(Some(Time::from_unix(40)));
        let mut bytes = Vec::new();
        ended.encode(&mut bytes).unwrap();
        let ended = Bonds::decode(&bytes).unwrap();
        assert_eq!(ended.signed(&at(49)), Err(BondRefused::BeforeTheEnd));
        assert!(ended.signed(&at(50)).is_ok());
    }

    /// Shows REQ-DEV-121.
    #[test]
    fn nobody_uses_up_the_epochs_and_a_person_always_ends_all_bonds() {
        let far = signed(device(1), u64::MAX, 0);
        let refused = BondRefused::TooFar { held: 0, given: u64::MAX };
        assert_eq!(Bonds::default().signed(&far), Err(refused));
        // A device that once believed one.
        let (mut bonds, _) = Bonds::default().made(device(1), PATIENT, COMMANDS, None).unwrap();
        bonds.highest_epoch = u64::MAX;
        let ended = bonds.ended_at(None);
        assert_eq!(ended.iter().count(), 0);
        assert_eq!(ended.made(device(2), PATIENT, COMMANDS, None).map(drop), Err(BondRefused::UsedUp));
    }

    /// Shows REQ-DEV-03.
    #[test]
    fn a_bond_for_another_patient_ends_those_of_the_first() {
        let (bonds, _) = Bonds::default().made(device(1), PATIENT, COMMANDS, None).unwrap();
        let other = PatientContext([2; 16]);
        let (bonds, _) = bonds.made(device(2), other, Operations::of(&[Operation::Inform]), None).unwrap();
        assert_eq!((bonds.with(device(1)), bonds.patient()), (None, Some(other)));
    }

    #[test]
    fn bonds_come_back_from_flash_as_they_were_and_there_are_no_more_than_fit() {
        let mut bonds = Bonds::default();
        for number in 0..MAX_BONDS {
            let number = u8::try_from(number).unwrap();
            bonds = bonds.made(device(number), PATIENT, Operations::of(&[Operation::Inform]), None).unwrap().0;
            let mut bytes = Vec::new();
            bonds.encode(&mut bytes).unwrap();
            assert!(bytes.len() <= Bonds::MAX_LENGTH);
            assert_eq!(Bonds::decode(&bytes).as_ref(), Ok(&bonds));
        }
        assert_eq!(bonds.made(device(99), PATIENT, COMMANDS, None).map(|_| ()), Err(BondRefused::Full));
    }
}
