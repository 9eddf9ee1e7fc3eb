//! What the SDK asks of a firmware, on a computer: flash and keys in files, a clock that can be sped up, the system's
//! random numbers.

mod clock;
mod flash;
mod keys;

pub use clock::VirtualClock;
pub use flash::FileFlash;
pub use keys::{FileKeys, KeysError};

use medlock_device::platform::{Platform, Rng};
use medlock_rustcrypto::RustCrypto;

/// The platform of the demonstration's machines: the cryptography of a chip, everything else in files.
#[derive(Clone, Copy, Debug)]
pub struct Host;

impl Platform for Host {
    type Crypto = RustCrypto;
    type Rng = SystemRng;
    type Flash = FileFlash;
    type Keys = FileKeys;
}

/// The system's random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(32) {
            chunk.iter_mut().zip(medlock_node::provider::random::<32>()).for_each(|(to, from)| *to = from);
        }
    }
}
