//! What the authority's credentials look like: raw settings, and the checked profile made of them.

use crate::Error;
use crate::registry;
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::Roles;
use medlock_trust::crypto::KeyAlgorithm;
use serde::{Deserialize, Serialize};

/// Settings of a credential profile, as they are written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfileConfig {
    /// How long an operational credential is good, in seconds. Between 10 seconds and 825 days; 30 days if not set.
    pub validity_seconds: u64,
    /// How far before the moment of issuance its validity begins, in seconds, for peers whose clocks are slow.
    pub backdate_seconds: u64,
    /// Key types that are accepted: `p256`, `p384`, `ed25519`, `ml-dsa-44`, `ml-dsa-65`. The first two if not set.
    pub key_types: Vec<String>,
    /// Roles that may be given; every named role if empty.
    pub roles: Vec<String>,
    /// In how many parts the revocation list for ordinary software is given out, so that each is short: 1 to 1024.
    /// Credentials name the part that tells of them, so it cannot be changed later.
    pub crl_partitions: u16,
}

impl Default for ProfileConfig {
    fn default() -> Self {
        Self {
            validity_seconds: 30 * 86_400,
            backdate_seconds: 300,
            key_types: vec!["p256".into(), "p384".into()],
            roles: Vec::new(),
            crl_partitions: 1,
        }
    }
}

/// A checked profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    validity_seconds: u64,
    backdate_seconds: u64,
    key_types: Vec<KeyAlgorithm>,
    roles: Roles,
    crl_partitions: u16,
}

impl TryFrom<ProfileConfig> for Profile {
    type Error = Error;

    fn try_from(raw: ProfileConfig) -> Result<Self, Error> {
        // 825 days is the most the browser forum ever allowed in the years when certificates were renewed by hand.
        if !(10..=825 * 86_400).contains(&raw.validity_seconds) {
            return Err(Error::invalid("validity_seconds", "give between 10 seconds and 825 days (71280000)"));
        }
        if raw.backdate_seconds > 86_400 {
            return Err(Error::invalid("backdate_seconds", "give at most a day (86400)"));
        }
        let key_types = raw
            .key_types
            .iter()
            .map(|name| {
                let known = SigningAlgorithm::ALL.into_iter().find(|algorithm| algorithm.name() == name);
                let all = "p256, p384, ed25519, ml-dsa-44 and ml-dsa-65";
                known
                    .map(SigningAlgorithm::key)
                    .ok_or_else(|| Error::invalid("key_types", format!("{name:?} is none of {all}")))
            })
            .collect::<Result<Vec<_>, _>>()?;
        if key_types.is_empty() {
            return Err(Error::invalid("key_types", "give at least one, such as p256"));
        }
        let roles = if raw.roles.is_empty() { Roles::EVERY } else { registry::roles(&raw.roles)? };
        if !(1..=1_024).contains(&raw.crl_partitions) {
            return Err(Error::invalid("crl_partitions", "give between 1 and 1024"));
        }
        Ok(Self {
            validity_seconds: raw.validity_seconds,
            backdate_seconds: raw.backdate_seconds,
            key_types,
            roles,
            crl_partitions: raw.crl_partitions,
        })
    }
}

impl Profile {
    /// In how many parts the CRL is given out.
    #[must_use]
    pub const fn crl_partitions(&self) -> u16 {
        self.crl_partitions
    }

    /// How long a credential is good, in seconds.
    #[must_use]
    pub fn validity_seconds(&self) -> i64 {
        i64::try_from(self.validity_seconds).unwrap_or(i64::MAX)
    }

    /// How far before its issuance a credential's validity begins, in seconds.
    #[must_use]
    pub fn backdate_seconds(&self) -> i64 {
        i64::try_from(self.backdate_seconds).unwrap_or(0)
    }

    /// Whether credentials are given for keys of this type.
    #[must_use]
    pub fn accepts(&self, key: KeyAlgorithm) -> bool {
        self.key_types.contains(&key)
    }

    /// The kinds of keys that credentials are given for.
    pub(crate) fn key_types(&self) -> impl Iterator<Item = SigningAlgorithm> {
        self.key_types.iter().filter_map(|key| SigningAlgorithm::of(*key))
    }

    /// Roles that may be given.
    #[must_use]
    pub fn roles(&self) -> Roles {
        self.roles
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_bounds_are_refused() {
        let good = ProfileConfig::default();
        assert!(Profile::try_from(good.clone()).is_ok());
        for bad in [
            ProfileConfig { validity_seconds: 9, ..good.clone() },
            ProfileConfig { validity_seconds: 825 * 86_400 + 1, ..good.clone() },
            ProfileConfig { backdate_seconds: 86_401, ..good.clone() },
            ProfileConfig { key_types: vec!["rsa1024".into()], ..good.clone() },
            ProfileConfig { key_types: vec![], ..good.clone() },
            ProfileConfig { roles: vec!["king".into()], ..good },
        ] {
            assert!(Profile::try_from(bad).is_err());
        }
    }
}
