//! Which devices are gateways by the register of the site, asked once a second.

use crate::seam::{Devices, NeedError};
use medlock_trust::{DeviceName, Role};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Devices that are remembered, at most.
const REMEMBERED: usize = 4_096;

/// What the register said.
#[derive(Debug)]
pub(super) struct Gateways {
    known: Mutex<HashMap<DeviceName, Known>>,
    /// How long that counts while the register is away, in seconds: as a token lives, which was given by its word too.
    seconds: i64,
}

/// What the register said of one device.
#[derive(Clone, Copy, Debug)]
struct Known {
    is_one: bool,
    /// In which second it said so, and in which it was asked last.
    said: i64,
    asked: i64,
}

impl Gateways {
    pub(super) fn new(seconds: i64) -> Self {
        Self { known: Mutex::default(), seconds }
    }

    /// Whether the register has this device as a gateway in the second `now`; while it is away, what it said last. May ask: blocks.
    pub(super) fn have(&self, name: &DeviceName, devices: &dyn Devices, now: i64) -> Result<bool, NeedError> {
        let known = self.known().get(name).copied();
        if let Some(known) = known.filter(|known| known.asked == now) {
            return Ok(known.is_one);
        }
        let known = match devices.device(name) {
            Ok(device) => {
                let is_one = device.is_some_and(|device| device.roles.contains(Role::Gateway));
                Known { is_one, said: now, asked: now }
            }
            Err(error) => {
                let known =
                    known.filter(|known| now.saturating_sub(known.said) <= self.seconds).ok_or(error.clone())?;
                tracing::warn!(%error, device = %name, "the register is away: what it said last of a gateway counts");
                Known { asked: now, ..known }
            }
        };
        let mut all = self.known();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(*name, known);
        Ok(known.is_one)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<DeviceName, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seam::RegisteredDevice;
    use medlock_trust::{CredentialId, Roles};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A register with one gateway, which can be away.
    #[derive(Default)]
    struct Register {
        says: Mutex<Option<Option<Roles>>>,
        asked: AtomicU32,
    }

    impl Register {
        fn says(&self, says: Option<Option<Roles>>) {
            *self.says.lock().expect("what it says") = says;
        }
    }

    impl Devices for Register {
        fn device(&self, name: &DeviceName) -> Result<Option<RegisteredDevice>, NeedError> {
            self.asked.fetch_add(1, Ordering::Relaxed);
            let says = self.says.lock().expect("what it says").ok_or_else(|| NeedError("away".to_owned()))?;
            Ok(says.map(|roles| RegisteredDevice { name: *name, roles }))
        }

        fn follows(&self, _: CredentialId, _: CredentialId) -> Result<bool, NeedError> {
            Ok(false)
        }

        fn log_proof(&self, _: CredentialId) -> Result<Option<Vec<u8>>, NeedError> {
            Ok(None)
        }

        fn has_left(&self, _: &DeviceName, _: CredentialId) -> Result<bool, NeedError> {
            Ok(false)
        }

        fn issuing_certificates(&self) -> Vec<Vec<u8>> {
            Vec::new()
        }
    }

    /// Shows REQ-SMART-219: while the register is away, what it said last of a gateway counts, for as long as a token lives; then nothing
    /// does, and what it says when it is back counts at once.
    #[test]
    fn what_the_register_said_last_counts_for_a_while() {
        let (register, gateways) = (Register::default(), Gateways::new(3_600));
        let name = |name: &str| DeviceName::new(name).expect("a name");
        let have = |of: &str, now: i64| gateways.have(&name(of), &register, now).ok();
        let gateway = Some(Some(Roles::of(&[Role::Gateway])));
        register.says(gateway);
        assert_eq!(have("gw", 10), Some(true));
        register.says(Some(Some(Roles::of(&[Role::Sensor]))));
        assert_eq!((have("gw", 10), have("gw", 11), have("other", 11)), (Some(true), Some(false), Some(false)));
        register.says(gateway);
        assert_eq!(have("gw", 20), Some(true));
        register.says(None);
        assert_eq!((have("gw", 21), have("gw", 3_620), have("gw", 3_621)), (Some(true), Some(true), None));
        assert_eq!(
            (have("other", 21), have("third", 21)),
            (Some(false), None),
            "of whom it said nothing, nothing counts"
        );
        // Who asks all the time asks it once a second, also while it is away.
        let before = register.asked.load(Ordering::Relaxed);
        for _ in 0..10 {
            assert_eq!(have("gw", 3_000), Some(true));
        }
        assert_eq!(register.asked.load(Ordering::Relaxed), before + 1);
        register.says(Some(None));
        assert_eq!(have("gw", 3_001), Some(false));
    }
}
