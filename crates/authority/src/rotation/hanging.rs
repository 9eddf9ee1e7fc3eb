//! What hangs on a key or a root that is to retire.

use crate::keys::IssuingKey;
use crate::settings::Kind;
use crate::signer::KeyLabel;
use crate::store::DeviceSearch;
use crate::{Authority, Error};
use medlock_trust::{DeviceName, Role, Time};

/// Devices that are read at once, to look whose credentials hang on a key.
const PAGE: u32 = 1_000;

/// What was found.
#[derive(Debug, Default)]
struct Hanging {
    /// Devices that have nothing newer than a credential by one of the keys that is good.
    devices: u64,
    /// One of them.
    example: Option<DeviceName>,
    /// A hub that is one.
    hub: Option<DeviceName>,
    /// The latest end of a credential by one of the keys that is good.
    until: Option<Time>,
}

impl Authority {
    /// Whether a root may retire, and until when what is below it counts: no longer than the longest life that was given
    /// below it.
    ///
    /// # Errors
    /// [`Error::Conflict`] when a hub shows a credential below it: no device would believe it. Or when other devices do, and
    /// `anyway` is not given.
    pub(super) fn may_retire_root(&self, root: KeyLabel, anyway: bool) -> Result<Option<Time>, Error> {
        if self.settings.kind == Kind::Maker {
            return if anyway {
                Ok(None)
            } else {
                Err(Error::Conflict(format!(
                    "birth credentials below {root} never expire: give --anyway when every alliance lists the new root, and \
                     its lists go on naming this one"
                )))
            };
        }
        let keys = self.keys();
        let above = |key: &&IssuingKey| keys.root_above(key).is_some_and(|above| above.certificate.label == root);
        let below: Vec<KeyLabel> = keys.iter().filter(above).map(|key| key.certificate.label).collect();
        let hanging = self.hanging(&below)?;
        if let Some(hub) = hanging.hub {
            return Err(Error::Conflict(format!(
                "the hub {hub} has nothing newer than a credential below {root}, and no device believes such a hub once it is \
                 retired: start it, and it renews at once; or, if it is gone for good, `medlock device revoke {hub} --reason \
                 ceased`"
            )));
        }
        if let Some(example) = hanging.example.filter(|_| !anyway) {
            return Err(Error::Conflict(format!(
                "{} devices have nothing newer than a credential below {root}, {example} for instance: they renew by \
                 themselves after two thirds of its life; with --anyway what they have is marked, and good for renewal, for \
                 reports and for little else",
                hanging.devices
            )));
        }
        Ok(Some(hanging.until.unwrap_or_else(|| self.clock.now())))
    }

    /// Refuses while devices have nothing newer than a credential by one of these keys that is good.
    pub(super) fn nothing_hangs_on(&self, label: KeyLabel, below: &[KeyLabel]) -> Result<(), Error> {
        let Hanging { devices, example, .. } = self.hanging(below)?;
        match example {
            None if self.settings.kind == Kind::Site => Ok(()),
            None => Err(Error::Conflict(format!(
                "birth credentials by {label} never expire: give --anyway if no revocation list and no OCSP response for \
                 them is needed any more"
            ))),
            Some(example) => Err(Error::Conflict(format!(
                "{devices} devices have nothing newer than a credential by {label}, {example} for instance: they renew by \
                 themselves after two thirds of its life; with --anyway there is no revocation list for them any more"
            ))),
        }
    }

    fn hanging(&self, below: &[KeyLabel]) -> Result<Hanging, Error> {
        let (mut found, mut after, now) = (Hanging::default(), None::<String>, self.clock.now());
        loop {
            let page = self.store.devices_page(&DeviceSearch::Name(String::new()), after.as_deref(), PAGE)?;
            let Some(last) = page.last() else { return Ok(found) };
            after = Some(last.name.to_string());
            for device in &page {
                for (place, one) in self.store.credentials_of(device.name)?.iter().enumerate() {
                    let by = self.certificate_above(&one.certificate);
                    let counts = one.record.not_after > now && by.is_some_and(|by| below.contains(&by.label));
                    // One that was taken by nobody has superseded none: an older one may be the one in use.
                    if !counts || self.worst(one)?.is_some() {
                        continue;
                    }
                    found.until = found.until.max(Some(one.record.not_after));
                    if place > 0 {
                        continue;
                    }
                    found.devices = found.devices.saturating_add(1);
                    found.example.get_or_insert(device.name);
                    if device.roles.contains(Role::Hub) {
                        found.hub.get_or_insert(device.name);
                    }
                }
            }
        }
    }
}
