//! `[clinical.sign_in]`: raw as it is written, and checked.

use crate::Error;
use data_encoding::BASE64URL_NOPAD;
use medlock_node::outbound::{Address, Outbound, OutboundConfig};
use medlock_node::provider::{WebKey, sha256};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// `[clinical.sign_in]`: the OpenID provider at which people sign in. Without it they sign in here alone.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct SignInConfig {
    /// The provider, letter by letter as its tokens name it (`iss`): `https://login.example.org`.
    pub issuer: String,
    /// What people call it: this stands on the page on which they sign in.
    pub name: String,
    /// As whom it knows the hub.
    pub client_id: String,
    /// A file with the secret that the provider gave, or
    pub secret_file: Option<PathBuf>,
    /// a file with a private key (PEM, PKCS#8; P-256 or RSA), with which the hub proves itself. The provider finds the public half at
    /// `/auth/upstream/keys` of `public_url`.
    pub key_file: Option<PathBuf>,
    /// The claim that says who somebody is: one that the provider never gives to another.
    #[serde(default = "sub")]
    pub claim: String,
    /// What becomes of somebody whom the provider knows and nobody here.
    #[serde(default)]
    pub unknown: Unknown,
    /// Hosts at which the provider has its addresses, as in `[clinical.outbound]`, where they are not all at that of `issuer`.
    #[serde(default)]
    pub hosts: Vec<String>,
}

/// What becomes of somebody whom the provider knows and nobody here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unknown {
    /// They are refused, until an administrator has said whose account it is.
    #[default]
    Refuse,
    /// They may say themselves whose account it is, with a code that an administrator gave them.
    Code,
}

fn sub() -> String {
    "sub".to_owned()
}

/// Claims that a provider may give to another person later, or that people choose (OpenID Connect Core 1.0, section 5.7).
const NEVER: [&str; 8] =
    ["email", "phone_number", "preferred_username", "nickname", "name", "given_name", "family_name", "upn"];

impl SignInConfig {
    /// Checks what was written, without reading any file.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn check(&self) -> Result<(), Error> {
        let wrong = |setting, what: String| Err(Error::Setting { setting, what });
        // Section 2 of OpenID Connect Core: no query, and no fragment.
        if Address::read(&self.issuer).is_err() || self.issuer.contains('?') {
            return wrong("sign_in.issuer", format!("{:?} is not https://HOST, perhaps with a path", self.issuer));
        }
        let is_text = |text: &str| (1..=256).contains(&text.len()) && !text.chars().any(char::is_control);
        if !is_text(&self.client_id) {
            return wrong("sign_in.client_id", "is not 1 to 256 characters".into());
        }
        if !is_text(&self.name) {
            return wrong("sign_in.name", "is not 1 to 256 characters: say how people call the provider".into());
        }
        if self.secret_file.is_some() == self.key_file.is_some() {
            return wrong("sign_in", "has either secret_file or key_file: say with which the hub proves itself".into());
        }
        if !is_text(&self.claim) || NEVER.contains(&self.claim.as_str()) {
            let what = format!("{:?} may be another person's tomorrow: take sub", self.claim);
            return wrong("sign_in.claim", what);
        }
        Ok(())
    }

    /// The calls that may be made: to the provider alone, by the rules of all calls.
    ///
    /// # Errors
    /// As [`Outbound::new`].
    pub(super) fn outbound(&self, all: &OutboundConfig) -> Result<Outbound, Error> {
        let mut hosts = self.hosts.clone();
        hosts.extend(Address::read(&self.issuer).map(|address| address.authority()).ok());
        Ok(Outbound::new(&OutboundConfig { hosts, ..all.clone() })?)
    }

    /// With what the hub proves itself.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub(super) fn proof(&self) -> Result<HubProof, Error> {
        let wrong = |setting, what: String| Error::Setting { setting, what };
        let read = |setting, path: &Path| {
            let bytes = std::fs::read(path).map_err(|error| wrong(setting, format!("{}: {error}", path.display())))?;
            Ok::<_, Error>(Zeroizing::new(bytes))
        };
        if let Some(path) = &self.key_file {
            let setting = "sign_in.key_file";
            let key = WebKey::from_pem(&read(setting, path)?);
            return Ok(HubProof::Key(key.map_err(|error| wrong(setting, format!("{}: {error}", path.display())))?));
        }
        let setting = "sign_in.secret_file";
        let path = self.secret_file.as_deref().ok_or_else(|| wrong(setting, "is missing".into()))?;
        let bytes = read(setting, path)?;
        let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
        if text.is_empty() {
            return Err(wrong(setting, format!("{}: there is no text in it", path.display())));
        }
        Ok(HubProof::Secret(Zeroizing::new(text.to_owned())))
    }
}

/// With what the hub proves itself to the provider (OpenID Connect Core 1.0, section 9).
#[derive(Debug)]
pub(super) enum HubProof {
    /// `client_secret_basic`, or `client_secret_post` where that alone is offered.
    Secret(Zeroizing<String>),
    /// `private_key_jwt`.
    Key(WebKey),
}

/// A text that only who has the seed can know, for one use.
pub(super) fn derived(use_of_it: &str, seed: &[u8; 32]) -> String {
    BASE64URL_NOPAD.encode(&sha256(&[use_of_it.as_bytes(), b"\n", seed].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-SMART-80.
    #[test]
    fn nobody_is_known_by_what_may_be_another_persons_tomorrow() {
        let config = SignInConfig {
            issuer: "https://login.example/tenant".into(),
            name: "Hospital login".into(),
            client_id: "medlock".into(),
            secret_file: Some("secret".into()),
            key_file: None,
            claim: sub(),
            unknown: Unknown::default(),
            hosts: Vec::new(),
        };
        assert!(config.check().is_ok());
        assert_eq!(config.unknown, Unknown::Refuse);
        let but = |change: fn(&mut SignInConfig)| {
            let mut config = config.clone();
            change(&mut config);
            config.check().map_err(|error| error.to_string())
        };
        assert!(but(|config| config.claim = "oid".into()).is_ok());
        for claim in NEVER {
            let with = SignInConfig { claim: claim.into(), ..config.clone() };
            assert!(with.check().is_err(), "{claim}");
        }
        for issuer in ["http://login.example", "https://login.example?x", "https://login.example#x", "login.example"] {
            let with = SignInConfig { issuer: issuer.into(), ..config.clone() };
            assert!(with.check().is_err_and(|error| error.to_string().contains("sign_in.issuer")), "{issuer}");
        }
        assert!(but(|config| config.key_file = Some("key".into())).is_err_and(|text| text.contains("either")));
        assert!(but(|config| config.secret_file = None).is_err_and(|text| text.contains("either")));
        assert!(but(|config| config.client_id.clear()).is_err() && but(|config| config.name.clear()).is_err());
    }
}
