//! `[[clinical.udap]]`: raw as it is written, and checked.

use crate::Error;
use crate::auth::scope::Scopes;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// `[[clinical.udap]]`: a community whose software registers by itself.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct CommunityConfig {
    /// Its name: an address that only it has.
    pub name: String,
    /// A file with the authorities of its software (PEM); also those in between that software does not show.
    pub anchors: PathBuf,
    /// A file with the certificate that the community gave the hub, and its chain (PEM). It names `public_url/fhir`.
    pub certificate: PathBuf,
    /// A file with the certificate's private key (PEM, PKCS#8, RSA).
    pub key_file: PathBuf,
    /// Files with the lists of what its authorities have revoked (DER), each read again when it has changed. With one there has to be
    /// one of each authority; with none nothing is revoked.
    #[serde(default)]
    pub revocation_lists: Vec<PathBuf>,
    /// What its software may ask, at most.
    pub scopes: String,
}

impl CommunityConfig {
    /// Checks what was written, without reading any file; what its software may ask.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<Scopes, Error> {
        let wrong = |setting, what: String| Error::Setting { setting, what };
        let is_name = (1..=256).contains(&self.name.len()) && self.name.bytes().all(|byte| byte.is_ascii_graphic());
        if !is_name {
            return Err(wrong("udap.name", format!("{:?} is not 1 to 256 visible characters", self.name)));
        }
        let scopes =
            Scopes::read(&self.scopes).map_err(|error| wrong("udap.scopes", format!("cannot be read: {error}")))?;
        if scopes.is_nothing() {
            return Err(wrong("udap.scopes", "has none".into()));
        }
        Ok(scopes)
    }
}
