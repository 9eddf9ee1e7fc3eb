//! The domain's values in columns, and back. What cannot be read back is damage, and named.

use medlock_store::{Fault, Row};
use medlock_trust::{CredentialId, DeviceName, KeyId, Time};

/// What a row of ours has beyond numbers, characters and bytes.
pub(super) trait Columns {
    fn time(&self, column: &str) -> Result<Time, Fault>;
    fn key(&self, column: &str) -> Result<KeyId, Fault>;
    fn credential(&self, column: &str) -> Result<CredentialId, Fault>;
    fn device(&self, column: &str) -> Result<DeviceName, Fault>;
    fn optional_device(&self, column: &str) -> Result<Option<DeviceName>, Fault>;
    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, Fault>;
}

impl Columns for Row {
    fn time(&self, column: &str) -> Result<Time, Fault> {
        Ok(Time::from_unix(self.number(column)?))
    }

    fn key(&self, column: &str) -> Result<KeyId, Fault> {
        Ok(KeyId::from_bytes(self.bytes(column)?))
    }

    fn credential(&self, column: &str) -> Result<CredentialId, Fault> {
        Ok(CredentialId::from_bytes(self.bytes(column)?))
    }

    fn device(&self, column: &str) -> Result<DeviceName, Fault> {
        self.optional_device(column)?.ok_or_else(|| self.damaged(column))
    }

    fn optional_device(&self, column: &str) -> Result<Option<DeviceName>, Fault> {
        let found = self.optional_text(column)?;
        found.map(|name| DeviceName::new(name).ok_or_else(|| self.damaged(column))).transpose()
    }

    fn json<T: serde::de::DeserializeOwned>(&self, column: &str) -> Result<T, Fault> {
        serde_json::from_str(self.text(column)?).map_err(|_| self.damaged(column))
    }
}

/// The word for a value: every value has one.
pub(super) fn word<T: PartialEq>(value: &T, words: &[(T, &'static str)]) -> &'static str {
    words.iter().find(|(other, _)| other == value).map_or("", |(_, word)| word)
}
