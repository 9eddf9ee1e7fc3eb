//! The machines as processes: firmware on the device SDK, datagrams on loopback, and a line to whoever plays the world.
//!
//! **Not for therapy.**

mod controller;
mod fetch;
mod outbox;
mod pump;
mod report;
mod rig;
mod sensor;
mod visit;
pub mod words;

use super::patient::Patient;
use super::units::Rate;
use medlock_trust::KeyId;
use std::io;
use std::path::PathBuf;

/// Which machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A continuous glucose monitor.
    Sensor,
    /// A dosing controller.
    Controller,
    /// An insulin pump.
    Pump,
}

/// How a machine is.
#[derive(Clone, Debug)]
pub struct Options {
    /// Which machine.
    pub kind: Kind,
    /// What it keeps: flash, keys, and `birth-0.der` and so on, the chain of its birth credential.
    pub folder: PathBuf,
    /// How many times faster than real ones its ticks go.
    pub speed: u32,
    /// The members of the makers' alliance, whose list it believes.
    pub members: Vec<KeyId>,
    /// How many of them must have signed.
    pub threshold: u8,
    /// For a sensor: an export to replay, instead of a probe in the virtual patient.
    pub replay: Option<PathBuf>,
    /// Decides noise.
    pub seed: u64,
}

/// Why a machine ended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The key store.
    #[error("{0}")]
    Keys(#[from] super::host::KeysError),
    /// The core did not start.
    #[error("the device does not start: {0}")]
    Start(String),
    /// The export to replay.
    #[error("{0}")]
    Export(#[from] super::clarity::Error),
}

/// Plays one machine until standard input ends.
///
/// # Errors
/// [`Error`].
pub fn run(options: &Options) -> Result<(), Error> {
    match options.kind {
        Kind::Sensor => rig::run(options, &mut *sensor::firmware(options)?),
        Kind::Controller => rig::run(options, &mut *controller::firmware(options)?),
        Kind::Pump => rig::run(options, &mut *pump::firmware(options)),
    }
}

/// The basal rate that the person with this seed needs: pump and controller are set to it.
#[must_use]
pub fn programmed_basal(seed: u64) -> Rate {
    let rate = Patient::new(seed).basal();
    Rate::from_milliunits_per_hour(rate.milliunits_per_hour() / 50 * 50)
}
