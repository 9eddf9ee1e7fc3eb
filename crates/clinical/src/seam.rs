//! What others give: the wiring implements it.

use medlock_node::provider::WebAlgorithm;
use medlock_trust::{CredentialId, DeviceName, Roles};

/// Why somebody else could not say something now.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct NeedError(pub String);

/// A device of the site's register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredDevice {
    /// Its name.
    pub name: DeviceName,
    /// What it is for.
    pub roles: Roles,
}

/// The register of the site. All block.
pub trait Devices: Send + Sync {
    /// The device with this name.
    ///
    /// # Errors
    /// [`NeedError`].
    fn device(&self, name: &DeviceName) -> Result<Option<RegisteredDevice>, NeedError>;

    /// Whether `new` was issued as a renewal of `old`, or of one that was, over a bounded number of steps.
    ///
    /// # Errors
    /// [`NeedError`].
    fn follows(&self, old: CredentialId, new: CredentialId) -> Result<bool, NeedError>;
}

/// The keys that sign ID tokens: a signer process has them. All block.
pub trait WebKeys: Send + Sync {
    /// The public half (`SubjectPublicKeyInfo`, DER) of the key for this algorithm, which is made at first use.
    ///
    /// # Errors
    /// [`NeedError`].
    fn public_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, NeedError>;

    /// Signs an ID token.
    ///
    /// # Errors
    /// [`NeedError`].
    fn sign(&self, algorithm: WebAlgorithm, signing_input: &str) -> Result<Vec<u8>, NeedError>;
}
