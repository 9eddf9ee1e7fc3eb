//! Bonds: this controller may command this device, for this patient.
//!
//! A bond is made by a physical act at the device, or signed by the site ([`SignedBond`]; the wire format is in
//! `docs/trust-objects.md`).

use crate::cbor::{self, ErrorKind, Reader, Writer};
use crate::cose;
use crate::crypto::Crypto;
use crate::id::{DeviceId, ID_LENGTH};
use crate::list::{self, List, Purpose};
use crate::operation::{Operation, Operations};
use crate::time::Time;
use core::fmt;
use minicbor::encode::Write;

const FORM: u64 = 1;
/// The longest signed bond in bytes: every number at its longest and a P-384 signature take below 300.
const MAX_LENGTH: usize = 320;

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

/// A bond in a site's words: for one device, of which it is one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedBond {
    /// The device that may be commanded: nobody else may take the bond for its own.
    pub device: DeviceId,
    /// The bond.
    pub bond: Bond,
    /// The lowest epoch of this device's bonds that is still valid; at most that of the bond itself.
    pub lowest_epoch: u64,
    /// When it was made.
    pub issued: Time,
}

impl SignedBond {
    /// Believes a bond signed by a key that the site list names for bonds. Whether it is newer than what is held is for
    /// the device to say: an epoch below the lowest, or one that is held, is refused.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn verify(bytes: &[u8], device: DeviceId, list: &List<'_>, crypto: &impl Crypto) -> Result<Self, Refused> {
        if bytes.len() > MAX_LENGTH {
            return Err(Refused::TooLong(bytes.len()));
        }
        let signed = cose::Sign1::read(bytes)?;
        let content = Self::read_payload(signed.payload())?;
        if content.device != device {
            return Err(Refused::OtherDevice);
        }
        let key = <&[u8; ID_LENGTH]>::try_from(signed.key()).map_err(|_| Refused::UnknownSigner)?;
        let service = list.service(Purpose::Bonds, key).ok_or(Refused::UnknownSigner)?;
        if !service.signs_at(content.issued) {
            return Err(Refused::UnknownSigner);
        }
        let place = cose::Place::Header(cose::ContentType::BOND);
        signed.verify(place, service.public_key(crypto)?, crypto)?;
        Ok(content)
    }

    /// Opens bytes that this program has verified before, or that are only to be shown, without checking the signature.
    ///
    /// # Errors
    /// If they are not a signed bond.
    pub fn danger_open(bytes: &[u8]) -> Result<Self, Refused> {
        if bytes.len() > MAX_LENGTH {
            return Err(Refused::TooLong(bytes.len()));
        }
        Self::read_payload(cose::Sign1::read(bytes)?.payload())
    }

    /// Writes the payload of the bond; [`cose::sign1`] with the content type [`cose::ContentType::BOND`] in the header
    /// and the full key identifier makes the signed object of it.
    ///
    /// # Errors
    /// If `out` fails.
    pub fn encode<W: Write>(&self, out: W) -> Result<(), W::Error> {
        let Bond { controller, patient, operations, epoch } = &self.bond;
        let mut writer = Writer::new(out);
        writer.array(8)?.uint(FORM)?.bytes(self.device.as_bytes())?.bytes(controller.as_bytes())?;
        writer.bytes(&patient.0)?.uint(u64::from(operations.bits()))?.uint(*epoch)?;
        writer.uint(self.lowest_epoch)?.time(self.issued).map(drop)
    }

    fn read_payload(payload: &[u8]) -> Result<Self, Refused> {
        let mut reader = Reader::new(payload);
        reader.array_of(8)?;
        if reader.uint()? != FORM {
            return Err(Refused::Form);
        }
        let device = DeviceId::from_bytes(*reader.fixed()?);
        let controller = DeviceId::from_bytes(*reader.fixed()?);
        let patient = PatientContext(*reader.fixed()?);
        let error = reader.error(ErrorKind::OutOfRange);
        let bits = u16::try_from(reader.uint()?).map_err(|_| error)?;
        let operations = Operations::from_bits(bits).ok_or(error)?;
        let epoch = reader.uint()?;
        let error = reader.error(ErrorKind::OutOfRange);
        let lowest_epoch = reader.uint()?;
        let issued = reader.time()?;
        reader.finish()?;
        if lowest_epoch > epoch {
            return Err(error.into());
        }
        Ok(Self { device, bond: Bond { controller, patient, operations, epoch }, lowest_epoch, issued })
    }
}

/// Why a signed bond is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is not a signed object of the right form, or its signature is wrong.
    Cose(cose::Error),
    /// It has more bytes than a bond has.
    TooLong(usize),
    /// The form is of another version than this program reads.
    Form,
    /// The key that signed it is not one that the site list names for bonds, or no longer was.
    UnknownSigner,
    /// The key in the site list cannot be read.
    Key(list::Error),
    /// It is for another device.
    OtherDevice,
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
            Self::TooLong(length) => write!(f, "{length} bytes are more than a bond has ({MAX_LENGTH})"),
            Self::Form => f.write_str("the bond is of a form this program does not read; update it"),
            Self::UnknownSigner => f.write_str("its signer is not a key for bonds of the site list held"),
            Self::Key(error) => error.fmt(f),
            Self::OtherDevice => f.write_str("the bond is for another device"),
        }
    }
}

impl core::error::Error for Refused {}

#[cfg(test)]
mod tests;
