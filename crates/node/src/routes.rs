//! The routing table: which machine a protocol name belongs to, and where its sidecar is.

use medlock_trust::{DeviceName, KeyId, Time};

/// A machine that others may call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    /// Its device name in credentials.
    pub device: DeviceName,
    /// The DICOM application entity titles that are its own: 1 to 16 characters each.
    pub ae_titles: Vec<String>,
    /// `host:port` of the secure side of its sidecar; empty if it only calls.
    pub address: String,
}

/// All machines of a site. Signed by a service key of the site list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoutingTable {
    /// Grows with each change.
    pub version: u64,
    /// When it was signed.
    pub issued: Option<Time>,
    /// The machines, in the order of their names.
    pub machines: Vec<Machine>,
}

impl RoutingTable {
    /// The machine that has this AE title.
    pub fn by_ae_title(&self, title: &str) -> Option<&Machine> { todo!() }
    /// The machine with this device name.
    pub fn by_device(&self, device: &DeviceName) -> Option<&Machine> { todo!() }
    /// Encodes the payload (deterministic CBOR). Errors when a bound is broken or two machines share a title.
    pub fn encode(&self) -> Result<Vec<u8>, RoutesError> { todo!() }
    /// Reads the payload.
    pub fn decode(bytes: &[u8]) -> Result<Self, RoutesError> { todo!() }
    /// Signs: a tagged COSE_Sign1 by `sign` (over parts, returns r||s), which holds the key with this id.
    pub fn sign<E>(&self, key: KeyId, sign: impl FnOnce(&[&[u8]]) -> Result<[u8; 64], E>) -> Result<Vec<u8>, SignError<E>> { todo!() }
}
