//! The settings: raw as they are written, and checked.

use crate::Error;
use crate::auth::{CommunityConfig, SignInConfig};
use crate::consent::Base;
use crate::kind::Kind;
use medlock_node::outbound::OutboundConfig;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// `[clinical]`: the FHIR store and its authorization server, at `/fhir` and `/auth` of the hub's listeners.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClinicalConfig {
    /// Whether there is one.
    pub enabled: bool,
    /// The address under which people's software reaches the hub, without `/fhir`: `https://fhir.example.org`. Plain HTTP only
    /// on the same machine.
    pub public_url: Option<String>,
    /// The PostgreSQL server that keeps everything of it, as in `[hub]`; if absent, a file `clinical.db` in the hub's folder.
    pub store: Option<String>,
    /// The schema in that database; `medlock_clinical` if absent.
    pub store_schema: Option<String>,
    /// A file with the password, as in `[hub]`.
    pub store_password_file: Option<PathBuf>,
    /// The authority of the server's certificate, as in `[hub]`.
    pub store_ca: Option<PathBuf>,
    /// Which kinds of resources are kept.
    pub kinds: Vec<String>,
    /// Who sees a patient's data, within the scopes of the token, where no Consent says anything: `own-apps` (the patient's own
    /// apps), `staff` (people with an account who are no patients, for treatment), `software` (what the site has registered to
    /// work in its own name). A Consent that permits lets others see it, one that denies takes it from these. What devices write
    /// is never asked.
    pub base: Vec<Base>,
    /// How long the glass stays broken, in seconds.
    pub glass_seconds: u32,
    /// The system of the identifiers of Patients that images name in Patient ID (0010,0020): `urn:oid:1.2.3.4`. If absent, a
    /// Patient ID is that of the one Patient who has it in any system.
    pub patient_system: Option<String>,
    /// The names by which images call this site in Issuer of Patient ID (0010,0021). Images that name another are refused, as are
    /// those that name any where there are none here; most name nobody.
    pub patient_issuers: Vec<String>,
    /// How many days after images were stored a Patient may still get their Patient ID: whoever gets it later is somebody else.
    pub images_days: u16,
    /// How long a token is good, in seconds.
    pub access_seconds: u32,
    /// How long a token of software in its own name is good, in seconds.
    pub backend_seconds: u32,
    /// How long software stays connected without its user, in seconds.
    pub refresh_seconds: u32,
    /// How long a search may take, in seconds.
    pub search_seconds: u32,
    /// Resources on a page of a search, at most.
    pub page_most: u16,
    /// Which servers are called at addresses that others have registered.
    pub outbound: OutboundConfig,
    /// The OpenID provider at which people sign in; if absent, they do so here alone.
    pub sign_in: Option<SignInConfig>,
    /// Communities whose software registers by itself (UDAP).
    pub udap: Vec<CommunityConfig>,
}

impl Default for ClinicalConfig {
    fn default() -> Self {
        Self {
            enabled: false,
            public_url: None,
            store: None,
            store_schema: None,
            store_password_file: None,
            store_ca: None,
            kinds: Kind::all().map(|kind| kind.name().to_owned()).collect(),
            base: Base::ALL.to_vec(),
            glass_seconds: 900,
            patient_system: None,
            patient_issuers: Vec::new(),
            images_days: 7,
            access_seconds: 3_600,
            backend_seconds: 300,
            refresh_seconds: 7_776_000,
            search_seconds: 2,
            page_most: 1_000,
            outbound: OutboundConfig::default(),
            sign_in: None,
            udap: Vec::new(),
        }
    }
}

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where people's software reaches the hub, without `/fhir` and without a slash at its end.
    pub public_url: String,
    /// The kinds that are kept.
    pub kinds: Vec<Kind>,
    /// Who sees a patient's data where no Consent says anything.
    pub base: Vec<Base>,
    /// How long the glass stays broken.
    pub glass_seconds: i64,
    /// The system of the identifiers that images name their patients by.
    pub patient_system: Option<String>,
    /// By which names images call this site as who gave a Patient ID.
    pub patient_issuers: Vec<String>,
    /// How long after images were stored a Patient may still get their Patient ID, in seconds.
    pub images_seconds: i64,
    /// How long a token is good.
    pub access_seconds: i64,
    /// How long a token of software in its own name is good.
    pub backend_seconds: i64,
    /// How long software stays connected without its user.
    pub refresh_seconds: i64,
    /// How long a search may take.
    pub search_limit: Duration,
    /// Resources on a page, at most.
    pub page_most: u16,
}

impl Settings {
    /// Checks what was written.
    ///
    /// # Errors
    /// [`Error::Setting`].
    pub fn of(config: &ClinicalConfig) -> Result<Self, Error> {
        let wrong = |setting, what: String| Error::Setting { setting, what };
        let Some(url) = &config.public_url else {
            return Err(wrong(
                "public_url",
                "is missing: say under which address people's software reaches the hub".into(),
            ));
        };
        let url = url.trim_end_matches('/');
        if !is_address(url) {
            let what = format!("{url:?} is not https://HOST[:PORT], or http:// on this machine");
            return Err(wrong("public_url", what));
        }
        let kind = |name: &String| {
            Kind::named(name).ok_or_else(|| {
                let all: Vec<&str> = Kind::all().map(Kind::name).collect();
                wrong("kinds", format!("has {name:?}, which is none of {}", all.join(", ")))
            })
        };
        let mut kinds: Vec<Kind> = config.kinds.iter().map(kind).collect::<Result<_, _>>()?;
        kinds.sort_unstable();
        kinds.dedup();
        if kinds.is_empty() {
            return Err(wrong("kinds", "names no kind".into()));
        }
        if !(60..=14_400).contains(&config.glass_seconds) {
            return Err(wrong("glass_seconds", "is not from 60 to 14400 (four hours)".into()));
        }
        if !(60..=86_400).contains(&config.access_seconds) {
            return Err(wrong("access_seconds", "is not from 60 to 86400".into()));
        }
        if !(30..=300).contains(&config.backend_seconds) {
            return Err(wrong("backend_seconds", "is not from 30 to 300".into()));
        }
        if !(86_400..=31_536_000).contains(&config.refresh_seconds) {
            return Err(wrong("refresh_seconds", "is not from 86400 (a day) to 31536000 (a year)".into()));
        }
        if !(1..=1_000).contains(&config.page_most) {
            return Err(wrong("page_most", "is not from 1 to 1000".into()));
        }
        if !(1..=60).contains(&config.search_seconds) {
            return Err(wrong("search_seconds", "is not from 1 to 60".into()));
        }
        if config.images_days > 366 {
            return Err(wrong("images_days", "is not from 0 to 366".into()));
        }
        if let Some(sign_in) = &config.sign_in {
            sign_in.check()?;
        }
        for community in &config.udap {
            community.check()?;
        }
        Ok(Self {
            public_url: url.to_owned(),
            kinds,
            base: config.base.clone(),
            glass_seconds: config.glass_seconds.into(),
            patient_system: config.patient_system.clone(),
            patient_issuers: config.patient_issuers.clone(),
            images_seconds: i64::from(config.images_days).saturating_mul(86_400),
            access_seconds: config.access_seconds.into(),
            backend_seconds: config.backend_seconds.into(),
            refresh_seconds: config.refresh_seconds.into(),
            search_limit: Duration::from_secs(config.search_seconds.into()),
            page_most: config.page_most,
        })
    }
}

/// `https://host[:port]`, or `http://` of this machine.
fn is_address(url: &str) -> bool {
    let Some((scheme, authority)) = url.split_once("://") else { return false };
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let plain = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte));
    let here = bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
    plain && (scheme == "https" || scheme == "http" && here)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_checked() {
        let config =
            ClinicalConfig { public_url: Some("https://fhir.example:8443/".into()), ..ClinicalConfig::default() };
        let settings = Settings::of(&config).expect("settings");
        assert_eq!(settings.public_url, "https://fhir.example:8443");
        assert_eq!(settings.kinds, Kind::all().collect::<Vec<_>>());
        for url in ["http://localhost:8080", "http://127.0.0.1:1", "http://[::1]:1", "https://10.0.0.1"] {
            assert!(is_address(url), "{url}");
        }
        for url in [
            "",
            "fhir.example",
            "http://fhir.example",
            "https://",
            "https://a/b",
            "https://a b",
            "ftp://localhost",
            "https://u@h",
        ] {
            assert!(!is_address(url), "{url}");
        }
        let but = |change: fn(&mut ClinicalConfig)| {
            let mut config = config.clone();
            change(&mut config);
            Settings::of(&config).map(drop).map_err(|error| error.to_string())
        };
        assert!(but(|config| config.public_url = None).is_err_and(|text| text.contains("clinical.public_url")));
        assert!(but(|config| config.kinds.push("Encounter".into())).is_err_and(|text| text.contains("Encounter")));
        assert!(but(|config| config.kinds.clear()).is_err() && but(|config| config.page_most = 0).is_err());
        assert!(but(|config| config.glass_seconds = 59).is_err() && but(|config| config.base.clear()).is_ok());
        assert!(but(|config| config.images_days = 367).is_err() && but(|config| config.images_days = 0).is_ok());
        assert!(but(|config| config.access_seconds = 59).is_err() && but(|config| config.access_seconds = 60).is_ok());
    }
}
