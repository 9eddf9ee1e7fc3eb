//! Devices, codes and requests that wait for a person.

use super::{Issued, Standing, StoreError, Turn};
use crate::MadeAs;
use crate::registry::Device;
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};

/// How an enrolment code stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CodeState {
    /// Nobody has come with it.
    Open,
    /// A request came with it and waits for a person.
    Waiting,
    /// The request was confirmed: the same key gets its certificate.
    Confirmed,
    /// It is good for nothing any more.
    Void,
}

/// An enrolment code as the authority keeps it: without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodeRecord {
    /// Its public part.
    pub id: [u8; 5],
    /// The register entry it is bound to.
    pub device: DeviceName,
    /// SHA-256 of its secret.
    pub secret_hash: [u8; 32],
    /// Until when it is good.
    pub expires: Time,
    /// How many wrong secrets were tried.
    pub wrong_tries: u32,
    /// How it stands.
    pub state: CodeState,
    /// The key that came with it first.
    pub key: Option<KeyId>,
}

/// What speaks for giving the bearer of an enrolment code a credential, and against it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The code.
    pub code: CodeRecord,
    /// Its device's entry in the register.
    pub device: Option<Device>,
    /// What is known against that device.
    pub against: Option<Standing>,
    /// The state of things, as [`crate::store::Issuances::turn_of`] tells it.
    pub turn: Turn,
    /// The certificates that were made for the key, newest first.
    pub of_key: Vec<Issued>,
}

/// By what right somebody asked for a first credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// By an enrolment code.
    Code([u8; 5]),
    /// By a birth credential.
    Birth {
        /// The birth credential.
        credential: CredentialId,
        /// The maker's serial in it.
        serial: String,
        /// The key on the trust list that vouches for it.
        maker: Option<KeyId>,
    },
}

/// How a waiting request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PendingState {
    /// It waits for a person.
    Waiting,
    /// A person confirmed it.
    Approved,
    /// A person turned it down, or it lost its right.
    Rejected,
}

/// A first request that needs a person's confirmation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingRequest {
    /// Its name in lists and commands.
    pub id: [u8; 8],
    /// The register entry, when it is known.
    pub device: Option<DeviceName>,
    /// By what right.
    pub claim: Claim,
    /// The key.
    pub key: KeyId,
    /// SHA-256 of the key's `SubjectPublicKeyInfo`, which the person compares.
    pub key_fingerprint: [u8; 32],
    /// What the request says of itself.
    pub claims: String,
    /// What its birth credential says that it was made for.
    pub made_as: Option<MadeAs>,
    /// Where it came from.
    pub address: String,
    /// When it came first.
    pub since: Time,
    /// How it stands.
    pub state: PendingState,
}

/// Which devices are looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceSearch {
    /// Those whose name begins like this, by name; all of them if it is empty.
    Name(String),
    /// Those whose maker's serial begins like this, by serial.
    MakerSerial(String),
    /// Those of this owner, by name.
    Owner(String),
}

/// Devices, enrolment codes and waiting requests.
pub trait Register: Send + Sync {
    /// Adds a device.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is or was one with this name, or another one with its maker serial or one of its
    /// application entity titles.
    fn add_device(&self, device: Device, at: Time) -> Result<(), StoreError>;

    /// Replaces a device's entry by another one with its name.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when it is not any more as it was `read`, or gone; [`StoreError::Taken`] when another one has its maker
    /// serial or one of its application entity titles.
    fn replace_device(&self, read: Device, device: Device) -> Result<(), StoreError>;

    /// Removes a device that never had anything, with its codes.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is none with this name; [`StoreError::Taken`] when a certificate was recorded for it, or
    /// somebody has come for it and was not turned down.
    fn remove_device(&self, name: DeviceName) -> Result<(), StoreError>;

    /// A device whose name is this one but for capital letters.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device_written_like(&self, name: DeviceName) -> Result<Option<DeviceName>, StoreError>;

    /// The device with this name.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device(&self, name: DeviceName) -> Result<Option<Device>, StoreError>;

    /// The device whose maker gave it this serial.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device_with_maker_serial(&self, serial: &str) -> Result<Option<Device>, StoreError>;

    /// The device that has this application entity title.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device_with_title(&self, title: &str) -> Result<Option<DeviceName>, StoreError>;

    /// So many devices at most that are looked for, behind the one whose name (or maker's serial, where that is looked for)
    /// is `after`.
    ///
    /// # Errors
    /// [`StoreError`].
    fn devices_page(&self, search: &DeviceSearch, after: Option<&str>, limit: u32) -> Result<Vec<Device>, StoreError>;

    /// How many devices there are.
    ///
    /// # Errors
    /// [`StoreError`].
    fn device_count(&self) -> Result<u64, StoreError>;

    /// The devices that have an application entity title or a sidecar, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    fn devices_with_routes(&self) -> Result<Vec<Device>, StoreError>;

    /// The entries that have the role of a hub, by name.
    ///
    /// # Errors
    /// [`StoreError`].
    fn hubs(&self) -> Result<Vec<Device>, StoreError>;

    /// All devices, by name. For tests: there may be more than fit into memory.
    ///
    /// # Errors
    /// [`StoreError`].
    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        self.devices_page(&DeviceSearch::Name(String::new()), None, u32::MAX)
    }

    /// Adds a code; earlier codes of the same device are void from then on.
    ///
    /// # Errors
    /// [`StoreError::Taken`] when there is or was one with this identifier.
    fn add_code(&self, code: CodeRecord) -> Result<(), StoreError>;

    /// The code with this identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    fn code(&self, id: [u8; 5]) -> Result<Option<CodeRecord>, StoreError>;

    /// What there is to know when somebody comes with this code and this key, all at one instant.
    ///
    /// # Errors
    /// [`StoreError`].
    fn enrolment(&self, code: [u8; 5], key: KeyId) -> Result<Option<Enrolment>, StoreError>;

    /// Counts a wrong secret; at the `most`-th the code is void. Returns how many there are now.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such code.
    fn count_wrong_try(&self, id: [u8; 5], most: u32) -> Result<u32, StoreError>;

    /// Changes a code's state.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when there is no such code.
    fn set_code_state(&self, id: [u8; 5], state: CodeState) -> Result<(), StoreError>;

    /// Voids every code that nobody has come with or that waits for a person, and rejects what waits by a code: a store that was
    /// brought back does not know which of them were used up. Returns how many codes there were.
    ///
    /// # Errors
    /// [`StoreError`].
    fn void_open_codes(&self) -> Result<u64, StoreError>;

    /// Voids every code of a device, and rejects its waiting and approved requests.
    ///
    /// # Errors
    /// [`StoreError`].
    fn void_claims_of(&self, device: DeviceName) -> Result<(), StoreError>;

    /// Adds a waiting request; for a code, binds the code to the request's key and sets it to waiting, all at once.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when the code is not open any more (somebody else was faster); [`StoreError::Taken`] when
    /// there are `most` waiting requests already, or one with this identifier, or one by this birth credential.
    fn add_pending(&self, pending: PendingRequest, most: u32) -> Result<(), StoreError>;

    /// The request with this identifier.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pending(&self, id: [u8; 8]) -> Result<Option<PendingRequest>, StoreError>;

    /// The newest request by this right and for this key.
    ///
    /// # Errors
    /// [`StoreError`].
    fn pending_by(&self, claim: &Claim, key: KeyId) -> Result<Option<PendingRequest>, StoreError>;

    /// Requests that wait, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    fn waiting(&self) -> Result<Vec<PendingRequest>, StoreError>;

    /// Decides a waiting request; its code, if it came by one, becomes confirmed or void with it.
    ///
    /// # Errors
    /// [`StoreError::Missing`] when it does not wait (any more).
    fn settle(&self, id: [u8; 8], state: PendingState, device: Option<DeviceName>) -> Result<(), StoreError>;
}
