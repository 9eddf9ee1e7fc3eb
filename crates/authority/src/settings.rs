//! What an authority is configured with: what is fixed when it is made, and what may change while it runs.

use crate::Error;
use crate::issue::Addresses;
use crate::log::{Cosigner, WitnessConfig};
use crate::profile::{Profile, ProfileConfig};
use crate::store::ServerConfig;
use medlock_node::brski::MasaUrl;
use medlock_node::lists::Source;
use medlock_node::provider::SigningAlgorithm;
use medlock_trust::DeviceName;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// The longest name of an organisation: with " issuing" behind it, it still fits a common name (64).
const MAX_NAME: usize = 56;
/// The device name of the hub in its own register, unless the configuration says another.
pub const HUB: &str = "hub";

/// Settings of an authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuthorityConfig {
    /// The directory of its database, its knowledge and its hub's identity.
    pub dir: PathBuf,
    /// The organisation's name, which every certificate carries: 1 to 56 characters. It cannot be changed later.
    pub name: String,
    /// `site` or `maker`.
    #[serde(default)]
    pub kind: Kind,
    /// DNS names of the hub, for its credential.
    #[serde(default)]
    pub hub_dns: Vec<String>,
    /// IP addresses of the hub, for its credential.
    #[serde(default)]
    pub hub_ips: Vec<IpAddr>,
    /// Where ordinary software reaches the `people` listener, for the CRL and OCSP addresses in credentials:
    /// `http://host:port`. Without it credentials name neither.
    #[serde(default)]
    pub public_url: Option<String>,
    /// A maker only: where sites reach it over TLS to ask for vouchers (RFC 8995), `host:port`. It stands in the birth
    /// credentials that are made from then on, and gives the maker's hub a certificate of its own.
    #[serde(default)]
    pub masa: Option<String>,
    /// A site only: MASAs that it asks though they are not in a public network, as birth credentials name them
    /// (`host:port`).
    #[serde(default)]
    pub masas: Vec<String>,
    /// A site only: the folders in which its alliance publishes the trust list: `http://host[:port]/path` or a path. They are
    /// looked at every ten minutes or so.
    #[serde(default)]
    pub trust_lists: Vec<String>,
    /// What its keys are made for: `p256`, `p384`, `ed25519`, `ml-dsa-44` or `ml-dsa-65`. It decides for keys that are
    /// made from now on; small devices verify none of ML-DSA and P-384.
    #[serde(default)]
    pub algorithm: SigningAlgorithm,
    /// Where its root is: `online`, among its keys, or `offline`, where nobody but people reaches it.
    #[serde(default)]
    pub root: RootPlace,
    /// What credentials look like.
    #[serde(default)]
    pub profile: ProfileConfig,
    /// The name of the authority's transparency log, which no other log may have: its address without `https://` is a good
    /// one. It is fixed when the authority is made; without it the name is made of the log's key.
    #[serde(default)]
    pub log_origin: Option<String>,
    /// Witnesses that are asked to cosign the log, each second when it has grown.
    #[serde(default)]
    pub log_witnesses: Vec<WitnessConfig>,
    /// Where everything is kept: a server that several hubs share, or, without it, a file in `dir`.
    #[serde(default)]
    pub store: Option<ServerConfig>,
    /// The name of this hub in the register: each hub of a site has its own.
    #[serde(default = "hub_name")]
    pub hub_name: String,
    /// How long a status list, a CRL and an OCSP response are good, in seconds: 60 to 30 days. They are made anew at each
    /// change and at half of this time.
    #[serde(default = "day")]
    pub status_seconds: u64,
}

fn day() -> u64 {
    86_400
}

fn hub_name() -> String {
    HUB.to_owned()
}

impl AuthorityConfig {
    /// A site with this name in this directory, and defaults for all else.
    #[must_use]
    pub fn site(dir: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self {
            dir: dir.into(),
            name: name.into(),
            kind: Kind::Site,
            hub_dns: Vec::new(),
            hub_ips: Vec::new(),
            public_url: None,
            masa: None,
            masas: Vec::new(),
            trust_lists: Vec::new(),
            algorithm: SigningAlgorithm::default(),
            root: RootPlace::default(),
            profile: ProfileConfig::default(),
            log_origin: None,
            log_witnesses: Vec::new(),
            store: None,
            hub_name: hub_name(),
            status_seconds: day(),
        }
    }

    /// A maker with this name in this directory, and defaults for all else.
    #[must_use]
    pub fn maker(dir: impl Into<PathBuf>, name: impl Into<String>) -> Self {
        Self { kind: Kind::Maker, ..Self::site(dir, name) }
    }
}

/// What an authority is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It runs devices and gives operational credentials.
    #[default]
    Site,
    /// It makes devices and gives birth credentials.
    Maker,
}

/// Where an authority's root key is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RootPlace {
    /// Among the authority's keys: it is made there, and used whenever it is needed.
    #[default]
    Online,
    /// Elsewhere: what it is to sign travels as files ([`crate::root_request`]).
    Offline,
}

impl Kind {
    /// The kind's name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Site => "site",
            Self::Maker => "maker",
        }
    }
}

/// The checked settings that stay as they are while the authority is open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) dir: PathBuf,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) root: RootPlace,
    pub(crate) hub_name: DeviceName,
    pub(crate) log_origin: Option<String>,
    pub(crate) store: Option<ServerConfig>,
}

/// The checked settings that may change while the authority is open.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) algorithm: SigningAlgorithm,
    pub(crate) profile: Profile,
    pub(crate) addresses: Option<Addresses>,
    pub(crate) masa: Option<String>,
    pub(crate) masas: Vec<String>,
    pub(crate) trust_lists: Vec<String>,
    pub(crate) cosigners: Vec<Cosigner>,
    pub(crate) status_seconds: i64,
}

impl AuthorityConfig {
    /// Looks whether an authority could run by it, without reading any file.
    ///
    /// # Errors
    /// [`Error`], which names the setting.
    pub fn check(&self) -> Result<(), Error> {
        Settings::try_from(self)?;
        Rules::try_from(self).map(drop)
    }
}

impl TryFrom<&AuthorityConfig> for Settings {
    type Error = Error;

    fn try_from(raw: &AuthorityConfig) -> Result<Self, Error> {
        let printable = raw.name.chars().all(|letter| !letter.is_control());
        if raw.name.is_empty() || raw.name.len() > MAX_NAME || !printable {
            return Err(Error::invalid(
                "name",
                format!("the name of a site or organization has 1 to {MAX_NAME} bytes and no control characters"),
            ));
        }
        let hub_name = DeviceName::new(&raw.hub_name)
            .ok_or_else(|| Error::invalid("hub_name", "give 1 to 64 printable ASCII characters"))?;
        Ok(Self {
            dir: raw.dir.clone(),
            name: raw.name.clone(),
            kind: raw.kind,
            root: raw.root,
            hub_name,
            log_origin: raw.log_origin.clone(),
            store: raw.store.clone(),
        })
    }
}

impl Settings {
    /// What differs in `other`, if something does: the setting's name.
    pub(crate) fn first_difference(&self, other: &Self) -> Option<&'static str> {
        [
            ("dir", self.dir == other.dir),
            ("name", self.name == other.name),
            ("kind", self.kind == other.kind),
            ("hub_name", self.hub_name == other.hub_name),
            ("log_origin", self.log_origin == other.log_origin),
            ("store", self.store == other.store),
        ]
        .into_iter()
        .find_map(|(setting, same)| (!same).then_some(setting))
    }
}

impl TryFrom<&AuthorityConfig> for Rules {
    type Error = Error;

    fn try_from(raw: &AuthorityConfig) -> Result<Self, Error> {
        let status_seconds = i64::try_from(raw.status_seconds).unwrap_or(i64::MAX);
        if !(60..=30 * 86_400).contains(&status_seconds) {
            return Err(Error::invalid("status_seconds", "give between 60 and 2592000 (30 days)"));
        }
        let profile = Profile::try_from(raw.profile.clone())?;
        let addresses = raw.public_url.as_deref().map(|url| addresses(url, profile.crl_partitions())).transpose()?;
        if raw.masa.is_some() && raw.kind == Kind::Site {
            return Err(Error::invalid("masa", "only a maker gives vouchers"));
        }
        if let Some(masa) = raw.masa.as_deref().filter(|masa| MasaUrl::read(masa).is_none()) {
            return Err(Error::invalid("masa", format!("{masa:?} is not host:port")));
        }
        if let Some(masa) = raw.masas.iter().find(|masa| MasaUrl::read(masa).is_none()) {
            return Err(Error::invalid("masas", format!("{masa:?} is not host:port")));
        }
        for folder in &raw.trust_lists {
            Source::parse(folder).map_err(|error| Error::invalid("trust_list", format!("{folder:?}: {error}")))?;
        }
        let cosigners = raw.log_witnesses.iter().map(Cosigner::try_from).collect::<Result<_, _>>()?;
        let (masa, masas, trust_lists) = (raw.masa.clone(), raw.masas.clone(), raw.trust_lists.clone());
        Ok(Self { algorithm: raw.algorithm, profile, addresses, masa, masas, trust_lists, cosigners, status_seconds })
    }
}

fn addresses(url: &str, crl_partitions: u16) -> Result<Addresses, Error> {
    let base = url.trim_end_matches('/');
    let good = base.starts_with("http://") && base.len() <= 200 && base.bytes().all(|byte| byte.is_ascii_graphic());
    if !good {
        return Err(Error::invalid(
            "public_url",
            format!("{url:?} is not http://host:port (CRL and OCSP are signed by themselves and use plain HTTP)"),
        ));
    }
    Ok(Addresses { base: base.to_owned(), crl_partitions })
}
