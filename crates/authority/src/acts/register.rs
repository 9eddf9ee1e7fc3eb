//! What people enter into the register, change and take out.

use super::{done, no_code};
use crate::admin::{DeviceView, Response};
use crate::registry::{Device, DeviceConfig};
use crate::store::{StandingState, StoreError, Subject};
use crate::{Authority, Error, status};
use medlock_trust::Role;

impl Authority {
    pub(super) fn register(&self, raw: DeviceConfig) -> Result<Response, Error> {
        self.site_only()?;
        let device = Device::try_from(raw)?;
        no_hub(&device)?;
        if device.name.as_str().contains(' ') {
            let why = format!("{:?} has a space, and is typed in commands: write a hyphen", device.name.as_str());
            return Err(Error::invalid("device name", why));
        }
        let _lock = self.register_lock();
        self.check_titles(&device)?;
        // People tell them apart by their names.
        if let Some(other) = self.store.device_written_like(device.name)? {
            return Err(Error::Conflict(format!(
                "{other:?} is registered, which differs from {:?} in capital letters alone: choose another name",
                device.name.as_str(),
                other = other.as_str()
            )));
        }
        let heard = self.heard_of_device(device.name)?;
        let warning = self.warning_of_entry(&device)?;
        match self.store.add_device(device.clone(), self.clock.now()) {
            Err(StoreError::Taken { .. }) => {
                let standing = status::of_device(&*self.store, device.name)?;
                if let Some(standing) = standing.filter(|standing| standing.state != StandingState::Suspended) {
                    return Err(Error::Conflict(no_code(device.name.as_str(), &standing)));
                }
                return Err(Error::Conflict(format!(
                    "a device called {:?}, or one with its maker's serial or AE title, is already registered: choose another name, or \
                     change the entry that is there with --update",
                    device.name.as_str()
                )));
            }
            other => other?,
        }
        if let Some(record) = heard {
            self.name_heard(device.name, &record)?;
        }
        self.publish_routes()?;
        self.show_with(&device, warning)
    }

    /// A device that was registered, and what people must know of that.
    fn show_with(&self, device: &Device, warning: Option<String>) -> Result<Response, Error> {
        let shown = self.show(device)?;
        if let Some(warning) = &warning {
            tracing::warn!(device = %device.name, warning, "registered");
        }
        Ok(match shown {
            Response::Device(view) => Response::Device(DeviceView { warning, ..view }),
            other => other,
        })
    }

    pub(super) fn update(&self, raw: DeviceConfig, read: Option<DeviceConfig>) -> Result<Response, Error> {
        let device = Device::try_from(raw)?;
        no_hub(&device)?;
        let read = match read {
            Some(read) => Device::try_from(read)?,
            None => self.device(device.name.as_str())?,
        };
        let warning = self.warning_of_entry(&device)?;
        self.put(&read, device.clone())?;
        self.show_with(&device, warning)
    }

    pub(super) fn remove(&self, name: &str) -> Result<Response, Error> {
        let device = self.device(name)?.name;
        if device == self.settings.hub_name {
            return Err(Error::Conflict("the hub's entry is made from its configuration".to_owned()));
        }
        // In this order, as where a device enrols: it does so before this, and is found, or behind it, and is unknown.
        let (_device, _lock) = (self.device_lock(device), self.register_lock());
        if let Some(standing) = self.store.standing(Subject::Device(device))? {
            return Err(Error::Conflict(no_code(name, &standing)));
        }
        match self.store.remove_device(device) {
            Err(StoreError::Taken { .. }) => {
                return Err(Error::Conflict(format!(
                    "{name} has a credential, or a request of it waits or was approved: what was let in is never forgotten. `medlock \
                     device revoke` ends it, `medlock device reject` turns its request down"
                )));
            }
            other => other?,
        }
        self.publish_routes()?;
        done(format!("{name} is no longer in the register"))
    }

    /// Puts an entry in the place of the one that was read.
    pub(super) fn put(&self, read: &Device, device: Device) -> Result<(), Error> {
        let _lock = self.register_lock();
        let held = self.device(device.name.as_str())?;
        if device.name == self.settings.hub_name || held.roles.contains(Role::Hub) {
            return Err(Error::Conflict("the hub's entry is made from its configuration: change it there".to_owned()));
        }
        self.check_titles(&device)?;
        let name = device.name;
        match self.store.replace_device(read.clone(), device) {
            Err(StoreError::Missing { .. }) => {
                return Err(Error::Conflict(format!(
                    "the entry of {name} was changed by somebody else meanwhile: look at it (`medlock device show {name}`) and repeat the \
                     command"
                )));
            }
            Err(StoreError::Taken { .. }) => {
                return Err(Error::Conflict("another device has this maker's serial or AE title".to_owned()));
            }
            other => other?,
        }
        self.publish_routes()
    }

    /// An application entity title belongs to one device.
    fn check_titles(&self, device: &Device) -> Result<(), Error> {
        for title in &device.ae_titles {
            if let Some(other) = self.store.device_with_title(title)?.filter(|other| *other != device.name) {
                return Err(Error::Conflict(format!(
                    "the AE title {title:?} already belongs to {:?}: a title belongs to one device; `medlock route remove {}` takes \
                     it away",
                    other.as_str(),
                    other.as_str()
                )));
            }
        }
        Ok(())
    }
}

/// Every device of the site takes news and orders to renew from whoever has this role: hubs enter themselves, and nobody else is
/// entered as one.
fn no_hub(device: &Device) -> Result<(), Error> {
    if device.roles.contains(Role::Hub) {
        return Err(Error::invalid(
            "role",
            "a hub is not registered: `medlock up` enters it by itself, and to whoever else had this role every device of the site would \
             listen",
        ));
    }
    Ok(())
}
