//! How an authority is, in numbers, for monitoring.

use crate::objects::Kind;
use crate::{Authority, Error};
use medlock_trust::Time;

/// How an authority is. What is not there yet is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Entries of the log that the newest signed checkpoint covers: everything that was ever issued.
    pub log_entries: u64,
    /// Devices in the register.
    pub devices: u64,
    /// The epoch of status: how often a standing has changed.
    pub status_epoch: u64,
    /// When the newest status list was signed.
    pub status_issued: Option<Time>,
    /// When the hub's own credential ends.
    pub hub_until: Option<Time>,
    /// When the certificate of the issuing key ends.
    pub issuing_until: Option<Time>,
    /// Alarms that nobody has acknowledged.
    pub alarms: u64,
}

impl Authority {
    /// How the authority is, in numbers.
    ///
    /// # Errors
    /// When the store does not answer.
    pub fn figures(&self) -> Result<Figures, Error> {
        let issuing = self.issuing();
        let issuing = medlock_trust::x509::Certificate::from_der(&issuing.der).ok();
        let alarms = self.store.alarms()?.iter().filter(|alarm| !alarm.acknowledged).count();
        Ok(Figures {
            log_entries: self.log().checkpoint()?.map_or(0, |checkpoint| checkpoint.size),
            devices: self.store.device_count()?,
            status_epoch: self.store.epoch()?,
            status_issued: self.store.published(Kind::Status.name())?.map(|published| published.at),
            hub_until: self.hub_identity().current().map(|current| current.validity().1),
            issuing_until: issuing.map(|certificate| certificate.not_after()),
            alarms: alarms.try_into().unwrap_or(u64::MAX),
        })
    }
}
