//! The one configuration. Its doc comments are the manual: `medlock check-config` prints what is in force.

use crate::output::{say, say_raw};
use crate::{Failure, Outcome, clinical};
use http::HeaderName;
use medlock_authority::AuthorityConfig;
use medlock_authority::keys::TokenConfig;
use medlock_authority::log::WitnessConfig;
use medlock_authority::settings::{HUB, Kind, RootPlace};
use medlock_authority::store::ServerConfig;
use medlock_clinical::ClinicalConfig;
use medlock_node::outbound::Outbound;
use medlock_node::provider::SigningAlgorithm;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

/// Where a hub keeps its state unless told otherwise.
pub(crate) const DEFAULT_DIR: &str = "medlock-hub";

/// A configuration file, in TOML. Unknown keys are refused.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Config {
    /// What `medlock up` starts.
    pub(crate) hub: HubConfig,
    /// Further authorities of the same hub, by their short names: other sites, and makers.
    #[serde(rename = "authority")]
    pub(crate) authorities: BTreeMap<String, AuthoritySection>,
    /// What `medlock sidecar dicom` starts.
    pub(crate) sidecar: SidecarConfig,
    /// The FHIR store and authorization server of the hub.
    pub(crate) clinical: ClinicalConfig,
}

impl Config {
    /// The server that keeps what the authority with this short name does (`-`: the hub's own site), if one is named.
    pub(crate) fn server_of(&self, authority: &str) -> Option<ServerConfig> {
        match self.authorities.get(authority) {
            Some(section) => section.server(&self.hub, authority),
            None => self.hub.server().filter(|_| authority == "-"),
        }
    }
}

/// `[hub]`: a site's authority, its enrolment service and its news.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct HubConfig {
    /// The site's name, as it stands in every credential. It cannot be changed later.
    pub(crate) site: String,
    /// Where the hub keeps its database, its keys and its signed objects.
    pub(crate) dir: PathBuf,
    /// The PostgreSQL server (13 or later) that keeps everything, instead of a file in `dir`: `postgresql://USER@HOST/DATABASE`, or
    /// `postgresql:///DATABASE?host=/run/postgresql&user=USER` for a Unix socket. Several hubs may share one: each has a
    /// `dir` and a `hub_name` of its own, and the same keys.
    pub(crate) store: Option<String>,
    /// The schema in that database that is this site's alone; `medlock` if absent.
    pub(crate) store_schema: Option<String>,
    /// A file with the password of the user, where the server asks for one.
    pub(crate) store_password_file: Option<PathBuf>,
    /// The authority (PEM) that the server's certificate is from. A server on another machine is reached only with it, by TLS.
    pub(crate) store_ca: Option<PathBuf>,
    /// The name of this hub in its site's register. Hubs that share a store have different ones.
    pub(crate) hub_name: String,
    /// The file with the passphrase of the keys at rest; made at the first start if there is none.
    /// Keep it on another disk than `dir`, or hand it over by the service manager.
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The PKCS#11 token that has the site's keys, instead of files in `dir`: `module` is the library of the token's maker,
    /// `token` its label, `pin_file` the file with the PIN of its user. Only the signer process loads the library.
    pub(crate) pkcs11: Option<TokenConfig>,
    /// The socket of a signer that somebody else runs, as another user: `medlock signer --group`. Without one the hub starts a
    /// signer of its own.
    pub(crate) signer: Option<PathBuf>,
    /// What the site's keys are made for: `p256`, `p384`, `ed25519`, `ml-dsa-44` or `ml-dsa-65`. It decides for keys that
    /// are made from now on. Small devices verify `p256` and `ed25519` alone.
    pub(crate) algorithm: SigningAlgorithm,
    /// Where the site's root is: `online`, among its keys, or `offline`: then `medlock authority request`, `sign-request` and
    /// `accept` carry what it is to sign.
    pub(crate) root: RootPlace,
    /// Which keys of devices get credentials; the names are those of `algorithm`.
    pub(crate) key_types: Vec<String>,
    /// Where devices and sidecars reach the hub (TLS; a client certificate is asked for, not required).
    pub(crate) devices: SocketAddr,
    /// Where ordinary software reads revocation lists and asks for status (plain HTTP: what it serves is signed).
    pub(crate) people: SocketAddr,
    /// Where small devices reach the hub (CoAP over UDP with EDHOC and OSCORE): enrolment, renewal, trust objects. Not
    /// served unless it is set; the port registered for CoAP is 5683.
    pub(crate) coap: Option<SocketAddr>,
    /// Where small devices reach the hub over DTLS 1.2 (EST-coaps, RFC 9148): the same, with their certificate in the
    /// handshake. Not served unless it is set; the port registered for it is 5684.
    pub(crate) coaps: Option<SocketAddr>,
    /// The certificates of the issuing keys of makers (PEM or DER): a file, or a folder of such. On `coaps` a device shows its own
    /// certificate alone, and lists name roots; what stands between them is here. Read again at SIGHUP.
    pub(crate) issuers: Option<PathBuf>,
    /// Makers' addresses (`host:port`, as birth credentials name them) that the sites of this hub ask for vouchers though they
    /// are in a network that is not public. Others there are not asked: whoever brings a device would say where the hub goes.
    pub(crate) masas: Vec<String>,
    /// Folders in which the alliance publishes its trust list, as `medlock trust-list publish` writes them: `http://HOST:PORT/PATH` or
    /// a path. The hub looks there every ten minutes or so and takes what follows the list it holds; the first one is imported.
    pub(crate) trust_list: Vec<String>,
    /// Where the hub is watched (plain HTTP): `/metrics` for Prometheus, `/health/live`, `/health/ready`. Not served unless
    /// it is set.
    pub(crate) monitoring: Option<SocketAddr>,
    /// How many requests a second one client may send, by HTTP and CoAP, and ten seconds' worth at once; 0 is no limit. A device counts by
    /// its credential, who shows none by its address.
    pub(crate) requests_per_second: u32,
    /// The header in which a server in front of `people` says from which address a request is, `X-Forwarded-For` for most: the last address
    /// in it counts for `requests_per_second` and the audit. Only where nobody else reaches `people`, and that server writes it itself.
    pub(crate) forwarded: Option<String>,
    /// The names and addresses under which devices know the hub; they stand in its certificate.
    pub(crate) names: Vec<String>,
    /// The URL under which ordinary software reaches `people`; it stands in certificates as the place of revocation
    /// lists and of the status responder. Without one, certificates name neither.
    pub(crate) public_url: Option<String>,
    /// The name of the site's transparency log, which no other log may have; best is the address it is read at, without
    /// `http://`. Fixed when the site is made; without one it is made of the log's key.
    pub(crate) log_origin: Option<String>,
    /// Witnesses that are asked to cosign the log: `{ key = "…", url = "http://host:port" }` each.
    pub(crate) log_witnesses: Vec<WitnessConfig>,
    /// How long an operational credential lives, in seconds. Sidecars renew after two thirds of it.
    pub(crate) credential_seconds: u64,
    /// How long a signed status list is good, in seconds; it is signed anew at half of it, and at once when it changes.
    pub(crate) status_seconds: u64,
    /// Into how many parts the revocation lists are cut, 1 to 1024: a certificate names the part it would stand in, so needs
    /// `public_url`. Fixed when the site is made.
    pub(crate) crl_partitions: u16,
}

impl Default for HubConfig {
    fn default() -> Self {
        Self {
            site: "Medlock site".into(),
            dir: DEFAULT_DIR.into(),
            store: None,
            store_schema: None,
            store_password_file: None,
            store_ca: None,
            hub_name: HUB.into(),
            passphrase_file: None,
            pkcs11: None,
            signer: None,
            algorithm: SigningAlgorithm::default(),
            root: RootPlace::default(),
            key_types: vec!["p256".into(), "p384".into()],
            devices: SocketAddr::from((Ipv4Addr::LOCALHOST, 8443)),
            people: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            coap: None,
            coaps: None,
            issuers: None,
            masas: Vec::new(),
            trust_list: Vec::new(),
            monitoring: None,
            requests_per_second: 100,
            forwarded: None,
            names: vec!["localhost".into(), "127.0.0.1".into()],
            public_url: None,
            log_origin: None,
            log_witnesses: Vec::new(),
            credential_seconds: 30 * 86_400,
            status_seconds: 3_600,
            crl_partitions: 1,
        }
    }
}

impl HubConfig {
    /// The header of `forwarded`.
    ///
    /// # Errors
    /// When it is no name of a header.
    pub(crate) fn forwarded(&self) -> Result<Option<HeaderName>, Failure> {
        let wrong =
            |name: &str| format!("[hub] forwarded: {name:?} is no name of a header, such as \"X-Forwarded-For\"");
        self.forwarded.as_deref().map(|name| name.parse().map_err(|_| wrong(name).into())).transpose()
    }

    /// Which settings another configuration has otherwise, as `hub.NAME`.
    pub(crate) fn differences(&self, other: &Self) -> Vec<String> {
        let read = |config: &Self| match serde_json::to_value(config) {
            Ok(serde_json::Value::Object(settings)) => settings,
            _ => serde_json::Map::new(),
        };
        let (old, new) = (read(self), read(other));
        let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let differ = names.into_iter().filter(|name| old.get(*name) != new.get(*name));
        differ.map(|name| format!("hub.{name}")).collect()
    }

    /// The server that keeps what the hub's own site does, if it is not in a file.
    pub(crate) fn server(&self) -> Option<ServerConfig> {
        let server = ServerConfig {
            password_file: self.store_password_file.clone(),
            ca: self.store_ca.clone(),
            ..ServerConfig::new(self.store.as_ref()?)
        };
        Some(ServerConfig { schema: self.store_schema.clone().unwrap_or_else(|| server.schema.clone()), ..server })
    }

    /// What the configuration means to the authority.
    pub(crate) fn authority(&self) -> AuthorityConfig {
        let mut authority = AuthorityConfig::site(&self.dir, &self.site);
        authority.store = self.server();
        authority.hub_name.clone_from(&self.hub_name);
        for name in &self.names {
            match name.parse::<IpAddr>() {
                Ok(address) => authority.hub_ips.push(address),
                Err(_) => authority.hub_dns.push(name.clone()),
            }
        }
        authority.public_url.clone_from(&self.public_url);
        authority.masas.clone_from(&self.masas);
        authority.trust_lists.clone_from(&self.trust_list);
        authority.log_origin.clone_from(&self.log_origin);
        authority.log_witnesses.clone_from(&self.log_witnesses);
        authority.profile.validity_seconds = self.credential_seconds;
        authority.profile.crl_partitions = self.crl_partitions;
        authority.profile.key_types.clone_from(&self.key_types);
        authority.algorithm = self.algorithm;
        authority.root = self.root;
        authority.status_seconds = self.status_seconds;
        authority
    }
}

/// `[authority.NAME]`: an authority beside the hub's own site. NAME stands in paths: its revocation lists, its log are below
/// `/a/NAME/` on the hub's `people` listener, its state in `authorities/NAME` in the hub's folder.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthoritySection {
    /// The organisation's name, as it stands in every credential. It cannot be changed later.
    pub(crate) organization: String,
    /// `site` or `maker`. It cannot be changed later.
    pub(crate) kind: Kind,
    /// Where devices reach it (TLS). A site needs a door of its own, since it judges who comes by its own lists; a maker's
    /// is for sites that ask for vouchers.
    #[serde(default)]
    pub(crate) devices: Option<SocketAddr>,
    /// Where its small devices reach it (CoAP over UDP).
    #[serde(default)]
    pub(crate) coap: Option<SocketAddr>,
    /// Where its small devices reach it over DTLS, as in `[hub]`.
    #[serde(default)]
    pub(crate) coaps: Option<SocketAddr>,
    /// A maker only: under which `host:port` sites reach `devices` to ask for vouchers. It stands in the birth credentials
    /// that are made from then on; devices then enrol without a code at the site that bought them.
    #[serde(default)]
    pub(crate) masa: Option<String>,
    /// The names and addresses under which devices know it; those of the hub if there are none.
    #[serde(default)]
    pub(crate) names: Vec<String>,
    /// The PostgreSQL server that keeps everything of it, as in `[hub]`. If absent, it is kept as the hub's own site is: on
    /// the same server, or in a file.
    #[serde(default)]
    pub(crate) store: Option<String>,
    /// The schema that is its alone; `medlock_NAME` if absent, with underscores for hyphens.
    #[serde(default)]
    pub(crate) store_schema: Option<String>,
    /// A file with the password, as in `[hub]`; for a server of its own.
    #[serde(default)]
    pub(crate) store_password_file: Option<PathBuf>,
    /// The authority of the server's certificate, as in `[hub]`; for a server of its own.
    #[serde(default)]
    pub(crate) store_ca: Option<PathBuf>,
    /// The file with the passphrase of its keys at rest, as in `[hub]`.
    #[serde(default)]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// The PKCS#11 token that has its keys, as in `[hub]`.
    #[serde(default)]
    pub(crate) pkcs11: Option<TokenConfig>,
    /// The socket of a signer that somebody else runs, as in `[hub]`.
    #[serde(default)]
    pub(crate) signer: Option<PathBuf>,
    /// What its keys are made for, as in `[hub]`; `p256` if absent.
    #[serde(default)]
    pub(crate) algorithm: SigningAlgorithm,
    /// Where its root is, as in `[hub]`.
    #[serde(default)]
    pub(crate) root: RootPlace,
    /// The name of its transparency log, as in `[hub]`.
    #[serde(default)]
    pub(crate) log_origin: Option<String>,
    /// Witnesses of its log, as in `[hub]`.
    #[serde(default)]
    pub(crate) log_witnesses: Vec<WitnessConfig>,
    /// How long an operational credential lives, in seconds; as in `[hub]` if absent.
    #[serde(default)]
    pub(crate) credential_seconds: Option<u64>,
    /// How long its status list is good, in seconds; as in `[hub]` if absent.
    #[serde(default)]
    pub(crate) status_seconds: Option<u64>,
    /// A site only: the folders with its alliance's trust list; as in `[hub]` if absent.
    #[serde(default)]
    pub(crate) trust_list: Option<Vec<String>>,
    /// Into how many parts its revocation lists are cut; as in `[hub]` if absent.
    #[serde(default)]
    pub(crate) crl_partitions: Option<u16>,
}

impl AuthoritySection {
    /// An authority of this organisation, and defaults for all else.
    pub(crate) fn new(organization: String, kind: Kind) -> Self {
        Self {
            organization,
            kind,
            devices: None,
            coap: None,
            coaps: None,
            masa: None,
            names: Vec::new(),
            store: None,
            store_schema: None,
            store_password_file: None,
            store_ca: None,
            passphrase_file: None,
            pkcs11: None,
            signer: None,
            algorithm: SigningAlgorithm::default(),
            root: RootPlace::default(),
            log_origin: None,
            log_witnesses: Vec::new(),
            credential_seconds: None,
            status_seconds: None,
            trust_list: None,
            crl_partitions: None,
        }
    }

    /// The server that keeps what the authority with this short name does, if it is not in a file.
    pub(crate) fn server(&self, hub: &HubConfig, name: &str) -> Option<ServerConfig> {
        let own = self.store.as_ref().map(|url| ServerConfig {
            password_file: self.store_password_file.clone(),
            ca: self.store_ca.clone(),
            ..ServerConfig::new(url)
        });
        let schema = self.store_schema.clone().unwrap_or_else(|| format!("medlock_{}", name.replace('-', "_")));
        own.or_else(|| hub.server()).map(|server| ServerConfig { schema, ..server })
    }
}

/// `[sidecar]`: a guard beside one DICOM machine.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct SidecarConfig {
    /// Where the sidecar keeps its key, its credential and what it knows.
    pub(crate) dir: PathBuf,
    /// The hub's address for devices, `HOST:PORT`.
    pub(crate) hub: String,
    /// The machine's birth credential, to enrol without a code: a file with its private key, its certificate and the chain up
    /// to its maker's root (PEM). Keep it where a reset leaves it; the time of the newest voucher is kept beside it.
    pub(crate) birth: Option<PathBuf>,
    /// Where other sidecars reach this one.
    pub(crate) listen: SocketAddr,
    /// Where the machine sends to: plain DICOM.
    pub(crate) plain: SocketAddr,
    /// Where the machine itself listens for DICOM, `HOST:PORT`, if it does.
    pub(crate) machine: Option<String>,
    /// The one address from which the machine may send to `plain`.
    pub(crate) allow: IpAddr,
    /// The most associations at one time.
    pub(crate) max_associations: usize,
    /// An association that carries nothing for so long is closed, in seconds.
    pub(crate) idle_seconds: u64,
    /// Where audit messages are sent as syslog over TLS (RFC 5425), `HOST:PORT`. The file in `dir` is always kept.
    pub(crate) audit_collector: Option<String>,
    /// The certificate authority of the collector, as PEM, if it is an ordinary server.
    pub(crate) audit_collector_ca: Option<PathBuf>,
    /// The collector's device name, if it is a device of this site and shows the site's credential.
    pub(crate) audit_collector_device: Option<String>,
}

impl Default for SidecarConfig {
    fn default() -> Self {
        Self {
            dir: "medlock-sidecar".into(),
            hub: "127.0.0.1:8443".into(),
            birth: None,
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 2762)),
            plain: SocketAddr::from((Ipv4Addr::LOCALHOST, 11_112)),
            machine: None,
            allow: IpAddr::V4(Ipv4Addr::LOCALHOST),
            max_associations: 64,
            idle_seconds: 600,
            audit_collector: None,
            audit_collector_ca: None,
            audit_collector_device: None,
        }
    }
}

impl Config {
    /// Reads `file`, or takes the defaults when there is none.
    ///
    /// # Errors
    /// When the file cannot be read or says something unknown or wrong; the message names file, line and column.
    pub(crate) fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let Some(file) = file else { return Ok(Self::default()) };
        let text = std::fs::read_to_string(file)
            .map_err(|error| format!("configuration {} cannot be read: {error}", file.display()))?;
        let config: Self = toml::from_str(&text).map_err(|error| {
            let (line, column) = error.span().map_or((1, 1), |span| position(&text, span.start));
            // What it says of a value says nothing of its key.
            let key = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map_or("", |(key, _)| key.trim());
            let example = match error.message().contains("socket address") {
                true => " (ADDRESS:PORT, such as \"0.0.0.0:8443\")",
                false => "",
            };
            format!(
                "configuration {}:{line}:{column}: {key}{}{}{example}; `medlock check-config` prints every key with its default",
                file.display(),
                if key.is_empty() { "" } else { ": " },
                error.message().trim_end()
            )
        })?;
        let checked = config.check_settings().and_then(|()| config.check_keys());
        checked.map_err(|error| format!("configuration {}: {error}", file.display()))?;
        Ok(config)
    }

    /// Keys are in one place: a signer that somebody else runs has its own token.
    fn check_keys(&self) -> Result<(), Failure> {
        let hub = [("[hub]".to_owned(), self.hub.signer.is_some() && self.hub.pkcs11.is_some())];
        let others = self.authorities.iter().map(|(name, section)| {
            (format!("[authority.{name}]"), section.signer.is_some() && section.pkcs11.is_some())
        });
        match hub.into_iter().chain(others).find(|(_, both)| *both) {
            None => Ok(()),
            Some((section, _)) => Err(format!(
                "{section} names `signer` and `pkcs11`: take one of them out. A signer that runs on its own is told its token itself (`medlock \
                 signer --pkcs11-module …`)"
            )
            .into()),
        }
    }

    /// Looks whether the hub and its servers can be as it says, without reading any other file. So no password gets further.
    fn check_settings(&self) -> Result<(), Failure> {
        if let Some(server) = self.hub.server() {
            server.check().map_err(|error| format!("[hub] {error}"))?;
        }
        self.hub.authority().check().map_err(|error| format!("[hub] {error}"))?;
        self.hub.forwarded()?;
        if self.clinical.enabled {
            medlock_clinical::Settings::of(&self.clinical)?;
            Outbound::new(&self.clinical.outbound)?;
            clinical::check(&self.hub, &self.clinical)?;
        }
        if let Some(server) = clinical::server(&self.clinical) {
            server.check().map_err(|error| format!("[clinical] {error}"))?;
        }
        for (name, section) in &self.authorities {
            if let Some(server) = section.server(&self.hub, name) {
                server.check().map_err(|error| format!("[authority.{name}] {error}"))?;
            }
        }
        Ok(())
    }
}

/// `medlock check-config`.
///
/// # Errors
/// As [`Config::load`].
pub(crate) fn check(file: Option<&Path>) -> Result<Outcome, Failure> {
    let config = Config::load(file)?;
    say_raw!("{}", toml::to_string(&config)?);
    let unset = config.unset();
    if !unset.is_empty() {
        say!("\n# not set: {}", unset.join(", "));
    }
    for (key, path) in config.without_folder() {
        say!("# {key}: {} is not there, nor the folder that it should be in: is its disk mounted?", path.display());
    }
    Ok(Outcome::Done)
}

impl Config {
    /// The folders and passphrase files that are named and whose own folder is not there.
    fn without_folder(&self) -> Vec<(String, &Path)> {
        let of_hub = [("dir", Some(&self.hub.dir)), ("passphrase_file", self.hub.passphrase_file.as_ref())];
        let of_hub = of_hub.into_iter().filter_map(|(key, path)| Some((format!("hub.{key}"), path?)));
        let of_others = self.authorities.iter().filter_map(|(name, section)| {
            Some((format!("authority.{name}.passphrase_file"), section.passphrase_file.as_ref()?))
        });
        let missing = |path: &Path| !path.exists() && path.parent().is_some_and(|above| !is_folder(above));
        of_hub.chain(of_others).map(|(key, path)| (key, path.as_path())).filter(|(_, path)| missing(path)).collect()
    }

    /// The keys that have no value.
    fn unset(&self) -> Vec<&'static str> {
        let (hub, sidecar, clinical) = (&self.hub, &self.sidecar, &self.clinical);
        [
            ("hub.store", hub.store.is_none()),
            ("hub.store_schema", hub.store_schema.is_none()),
            ("hub.store_password_file", hub.store_password_file.is_none()),
            ("hub.store_ca", hub.store_ca.is_none()),
            ("hub.passphrase_file", hub.passphrase_file.is_none()),
            ("hub.pkcs11", hub.pkcs11.is_none()),
            ("hub.signer", hub.signer.is_none()),
            ("hub.coap", hub.coap.is_none()),
            ("hub.coaps", hub.coaps.is_none()),
            ("hub.issuers", hub.issuers.is_none()),
            ("hub.monitoring", hub.monitoring.is_none()),
            ("hub.forwarded", hub.forwarded.is_none()),
            ("hub.public_url", hub.public_url.is_none()),
            ("hub.log_origin", hub.log_origin.is_none()),
            ("clinical.public_url", clinical.public_url.is_none()),
            ("clinical.store", clinical.store.is_none()),
            ("clinical.store_schema", clinical.store_schema.is_none()),
            ("clinical.store_password_file", clinical.store_password_file.is_none()),
            ("clinical.store_ca", clinical.store_ca.is_none()),
            ("clinical.outbound.ca", clinical.outbound.ca.is_none()),
            ("clinical.sign_in", clinical.sign_in.is_none()),
            ("sidecar.birth", sidecar.birth.is_none()),
            ("sidecar.machine", sidecar.machine.is_none()),
            ("sidecar.audit_collector", sidecar.audit_collector.is_none()),
            ("sidecar.audit_collector_ca", sidecar.audit_collector_ca.is_none()),
            ("sidecar.audit_collector_device", sidecar.audit_collector_device.is_none()),
        ]
        .into_iter()
        .filter_map(|(key, unset)| unset.then_some(key))
        .collect()
    }
}

/// Whether there is a folder; where only a name is given, it is meant in the one where we are.
fn is_folder(path: &Path) -> bool {
    path.as_os_str().is_empty() || path.is_dir()
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
    (line, column)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), text)?;
        Config::load(Some(file.path()))
    }

    /// Shows REQ-CLI-01.
    #[test]
    fn an_unknown_key_is_refused_with_its_place() {
        let error = load("[hub]\nsite = \"A\"\ndevises = \"0.0.0.0:1\"\n").unwrap_err().to_string();
        assert!(error.contains(":3:1:") && error.contains("devises"), "{error}");
    }

    /// Shows REQ-CLI-01.
    #[test]
    fn what_check_config_prints_is_a_configuration() {
        let printed = toml::to_string(&Config::default()).unwrap();
        assert_eq!(toml::to_string(&load(&printed).unwrap()).unwrap(), printed);
    }

    /// Shows REQ-FHIR-69, REQ-RUN-79: what a hub would not start with is no configuration.
    #[test]
    fn an_address_that_a_hub_would_not_start_with_is_refused() {
        let error = load("[hub]\npublic_url = \"https://hub.example\"\n").unwrap_err().to_string();
        assert!(
            error.contains("[hub]") && error.contains("public_url") && error.contains("http://host:port"),
            "{error}"
        );
        load("[hub]\npublic_url = \"http://hub.example\"\n").unwrap();
        let error = load("[hub]\nforwarded = \"a b\"\n").unwrap_err().to_string();
        assert!(error.contains("forwarded") && error.contains("X-Forwarded-For"), "{error}");
        load("[hub]\nforwarded = \"X-Forwarded-For\"\n").unwrap();
        for (wrong, named) in [("site = \"\"", "name"), ("hub_name = \"\u{dc}bung\"", "hub_name")] {
            let error = load(&format!("[hub]\n{wrong}\n")).unwrap_err().to_string();
            assert!(error.contains("[hub]") && error.contains(named), "{error}");
        }
    }

    /// Shows REQ-CLI-43: people are told which settings have changed.
    #[test]
    fn what_differs_between_two_configurations_is_named() {
        let [old, new] = [
            "[hub]\nsite = \"A\"\nnames = [\"a.example\"]\n",
            "[hub]\nsite = \"A\"\nnames = [\"b.example\"]\nrequests_per_second = 7\ntrust_list = [\"/lists\"]\n",
        ]
        .map(|text| load(text).unwrap().hub);
        assert_eq!(old.differences(&new), ["hub.names", "hub.requests_per_second", "hub.trust_list"]);
        assert_eq!(new.differences(&old), old.differences(&new));
        assert!(new.differences(&new).is_empty());
    }

    /// Shows REQ-STORE-09.
    #[test]
    fn a_store_has_a_schema_for_each_authority_and_no_password_in_its_address() {
        let text = "[hub]\nstore = \"postgresql://u@localhost/d\"\n[authority.day-clinic]\norganization = \"A\"\nkind = \"site\"\n\
                    [authority.pumps]\norganization = \"B\"\nkind = \"maker\"\nstore = \"postgresql:///p\"\nstore_schema = \"x\"\n";
        let config = load(text).unwrap();
        let of = |name: &str| config.authorities[name].server(&config.hub, name).unwrap();
        let servers = [config.hub.server().unwrap(), of("day-clinic"), of("pumps")];
        let found = servers.map(|server| (server.url, server.schema));
        let found = found.each_ref().map(|(url, schema)| (url.as_str(), schema.as_str()));
        let here = "postgresql://u@localhost/d";
        assert_eq!(found, [(here, "medlock"), (here, "medlock_day_clinic"), ("postgresql:///p", "x")]);
        for wrong in ["postgresql://u:geheim@localhost/d", "postgresql://u@db.example/d", "mysql://localhost"] {
            let error = load(&format!("[hub]\nstore = {wrong:?}\n")).unwrap_err().to_string();
            assert!(error.contains("[hub] store") && !error.contains("geheim"), "{error}");
        }
        load("[hub]\nstore = \"postgresql://u@db.example/d\"\nstore_ca = \"ca.pem\"\n").unwrap();
    }
}
