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

/// Whose a device is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The owner; `None` if nobody has it, or it was released.
    pub domain: Option<[u8; 32]>,
    /// To whom the last owner has transferred it, if it said so and no voucher was given since.
    pub promised: Option<[u8; 32]>,
}

/// Whose each device of a maker is, and was. Nothing of what was said is changed or removed.
pub trait Owners: Send + Sync {
    /// Whose a device is now.
    ///
    /// # Errors
    /// [`StoreError`].
    fn owner_now(&self, serial: &str) -> Result<Owner, StoreError>;

    /// Records a voucher: the device is its domain's from now on.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when it is another's, who has not released it, or was transferred to another.
    fn give_owner(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError>;

    /// Records that an owner has released a device: to the one it is `promised` to, if that was said.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when it is not that owner's (any more).
    fn free_owner(&self, serial: &str, event: OwnerEvent, promised: Option<[u8; 32]>) -> Result<(), StoreError>;

    /// Records that a device which nobody has is no longer promised to anybody.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when it is not.
    fn forget_promise(&self, serial: &str, event: OwnerEvent) -> Result<(), StoreError>;

    /// Since when a device is its owner's: the first voucher behind the last release. `None` if nobody has it.
    ///
    /// # Errors
    /// [`StoreError`].
    fn owned_since(&self, serial: &str) -> Result<Option<Time>, StoreError>;

    /// What was said of a device's owners, newest first; so many at most.
    ///
    /// # Errors
    /// [`StoreError`].
    fn owners(&self, serial: &str, most: u16) -> Result<Vec<OwnerEvent>, StoreError>;
}
