//! Which devices are gateways by the register of the site, asked once a second.

use crate::seam::{Devices, NeedError};
use medlock_trust::{DeviceName, Role};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Devices that are remembered, at most.
const REMEMBERED: usize = 4_096;

/// What the register said, and in which second.
#[derive(Debug, Default)]
pub(super) struct Gateways(Mutex<HashMap<DeviceName, (i64, bool)>>);

impl Gateways {
    /// Whether the register has this device as a gateway in the second `now`. May ask: blocks.
    pub(super) fn have(&self, name: &DeviceName, devices: &dyn Devices, now: i64) -> Result<bool, NeedError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(name).copied();
        if let Some((_, is_one)) = known.filter(|(asked, _)| *asked == now) {
            return Ok(is_one);
        }
        let is_one = devices.device(name)?.is_some_and(|device| device.roles.contains(Role::Gateway));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(*name, (now, is_one));
        Ok(is_one)
    }
}
