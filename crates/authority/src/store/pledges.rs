//! Devices that came to a site's registrar though nobody registered them.

use super::StoreError;
use crate::MadeAs;
use medlock_trust::{KeyId, Time};

/// A device that a listed maker vouches for and that is not registered. RFC 8995 calls a device a pledge until it has an
/// owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pledge {
    /// The key on the trust list that vouches for it.
    pub maker: KeyId,
    /// Its maker's serial.
    pub serial: String,
    /// What its birth credential says that it was made for.
    pub made_as: Option<MadeAs>,
    /// From where it came last.
    pub address: String,
    /// When it came first.
    pub first: Time,
    /// When it came last.
    pub last: Time,
    /// How often it came.
    pub count: u64,
}

/// How many are kept; those go that came longest ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PledgeRoom {
    /// Of one maker.
    pub maker: u32,
    /// Of all.
    pub all: u32,
    /// Those that came before this are forgotten.
    pub since: Time,
}

/// Devices that came though nobody registered them.
pub trait Pledges: Send + Sync {
    /// Notes that one came, `count` times more if it is known, and makes room for it. `true` if it was not known.
    ///
    /// # Errors
    /// [`StoreError`].
    fn note_pledge(&self, pledge: Pledge, room: PledgeRoom) -> Result<bool, StoreError>;

    /// That of this maker and serial.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pledge(&self, maker: KeyId, serial: &str) -> Result<Option<Pledge>, StoreError>;

    /// Those that came after `since` and are still not registered, the last one first; so many at most. One is registered by
    /// its serial, with its maker's key or without any.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pledges(&self, since: Time, most: u32) -> Result<Vec<Pledge>, StoreError>;
}
