//! Whose each device of a maker is, and was.

use super::StoreError;
use medlock_trust::Time;

/// What was said of a device's owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnerEvent {
    /// When.
    pub at: Time,
    /// The owner: SHA-256 of the `SubjectPublicKeyInfo` of its root.
    pub domain: [u8; 32],
    /// The voucher as it was given out; `None` when the device was released.
    pub voucher: Option<Vec<u8>>,
    /// Until when the voucher is good, if it is not for one request alone.
    pub expires: Option<Time>,
    /// Why it was released.
    pub why: String,
}

/// Whose each device of a maker is, and was. Nothing of it is changed or removed.
pub trait Owners: Send + Sync {
    /// Records a voucher: the device is its domain's from now on.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when it is another's, who has not released it.
    fn give_owner(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError>;

    /// Records that an owner has released a device.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when it is not that owner's (any more).
    fn free_owner(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError>;

    /// What was said of a device's owners, newest first; a thousand at most.
    ///
    /// # Errors
    /// [`StoreError`].
    fn owners(&self, serial: &str) -> Result<Vec<OwnerEvent>, StoreError>;
}
