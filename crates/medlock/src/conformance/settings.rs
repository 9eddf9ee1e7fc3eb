//! What the command line gives, and the server that comes of it.

use super::case::{Case, Group};
use super::keys::{Signer, identity};
use super::launch::{Manner, Person};
use super::subject::{Backend, Device, Member, Shared, Subject};
use super::web::{Url, Web};
use crate::Failure;
use clap::Args;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// `medlock conformance smart`. What is not given is reported as skipped.
#[derive(Debug, Args)]
pub(crate) struct SmartArgs {
    /// The server's FHIR address: `https://fhir.example/fhir`.
    #[arg(long, value_name = "URL", required_unless_present = "list")]
    base: Option<String>,
    /// The authorities (PEM) of its certificate; those of the system if absent.
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    #[command(flatten)]
    backend: BackendArgs,
    #[command(flatten)]
    person: PersonArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    member: MemberArgs,
    /// Ask this test alone. Can be given several times.
    #[arg(long, value_name = "TEST")]
    only: Vec<String>,
    /// Ask this group of tests alone. Can be given several times.
    #[arg(long, value_enum, value_name = "GROUP")]
    group: Vec<Group>,
    /// List the tests, and ask nothing.
    #[arg(long)]
    pub(super) list: bool,
    /// Print JSON, one object a line.
    #[arg(long)]
    pub(super) json: bool,
}

/// Software in its own name, which the server has registered with its public key.
#[derive(Debug, Args)]
pub(super) struct BackendArgs {
    /// Backend Services: the identifier of software that the server has registered with a key. It writes test data and removes it:
    /// never ask a server with real records.
    #[arg(long, value_name = "ID", requires = "key")]
    pub(super) client_id: Option<String>,
    /// Its private key (PEM, PKCS#8; P-384).
    #[arg(long, value_name = "FILE", requires = "client_id")]
    pub(super) key: Option<PathBuf>,
    /// The name of that key.
    #[arg(long, value_name = "NAME", default_value = "1")]
    pub(super) kid: String,
    /// What it asks for.
    #[arg(long, value_name = "SCOPES", default_value = "system/*.cruds")]
    pub(super) scope: String,
}

/// An app of people.
#[derive(Debug, Args)]
pub(super) struct PersonArgs {
    /// Standalone launch: the identifier of an app that the server has registered.
    #[arg(long, value_name = "ID", requires = "redirect")]
    app: Option<String>,
    /// Its secret, if it has one.
    #[arg(long, value_name = "SECRET", env = "MEDLOCK_APP_SECRET", hide_env_values = true, requires = "app")]
    app_secret: Option<String>,
    /// Where it waits for its codes, on this machine: `http://127.0.0.1:PORT/PATH`.
    #[arg(long, value_name = "URL", requires = "app")]
    redirect: Option<String>,
    /// What it asks for.
    #[arg(
        long,
        value_name = "SCOPES",
        default_value = "openid fhirUser offline_access launch/patient patient/*.cruds"
    )]
    app_scope: String,
    /// EHR launch: with what the app was opened by the other software, for a patient; good once.
    #[arg(long, value_name = "LAUNCH", requires = "app")]
    launch: Option<String>,
    /// What opens an address in a browser, or signs in by itself: it is called with the address. Without it the address is
    /// printed, and a person opens it.
    #[arg(long, value_name = "COMMAND")]
    open: Option<String>,
    /// How long it is waited for a person, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 300)]
    patience: u16,
}

/// A device with its certificate.
#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// Mutual TLS: the chain of a device or gateway (PEM, its own certificate first).
    #[arg(long, value_name = "FILE", requires = "certificate_key", requires = "device_base")]
    certificate: Option<PathBuf>,
    /// Its private key (PEM, PKCS#8).
    #[arg(long, value_name = "FILE")]
    certificate_key: Option<PathBuf>,
    /// The FHIR address at which certificates are shown.
    #[arg(long, value_name = "URL")]
    device_base: Option<String>,
    /// What the device asks for.
    #[arg(long, value_name = "SCOPES", default_value = "system/Observation.rs")]
    device_scope: String,
    /// What the server calls the device, if it wants to be told (client_id).
    #[arg(long, value_name = "ID")]
    device_client: Option<String>,
    /// The chain of another device.
    #[arg(long, value_name = "FILE", requires = "other_key")]
    other_certificate: Option<PathBuf>,
    /// Its private key.
    #[arg(long, value_name = "FILE")]
    other_key: Option<PathBuf>,
}

/// Software of a community.
#[derive(Debug, Args)]
pub(super) struct MemberArgs {
    /// UDAP: the chain of software that a community vouches for (PEM, its own certificate first).
    #[arg(long, value_name = "FILE", requires = "udap_key", requires = "udap_as")]
    udap_chain: Option<PathBuf>,
    /// Its private key (PEM, PKCS#8; RSA or P-256).
    #[arg(long, value_name = "FILE")]
    udap_key: Option<PathBuf>,
    /// The address that its certificate names: its iss.
    #[arg(long, value_name = "URI")]
    udap_as: Option<String>,
    /// The community, if the server has several.
    #[arg(long, value_name = "URI")]
    udap_community: Option<String>,
    /// What it asks for.
    #[arg(long, value_name = "SCOPES", default_value = "system/Patient.rs")]
    udap_scope: String,
}

impl SmartArgs {
    /// The tests that are asked.
    ///
    /// # Errors
    /// When one that was named is not there.
    pub(super) fn wanted<'c>(&self, all: &'c [(Group, &'c [Case])]) -> Result<Vec<(Group, &'c Case)>, Failure> {
        let cases = || all.iter().flat_map(|(group, cases)| cases.iter().map(move |case| (*group, case)));
        if let Some(no) = self.only.iter().find(|id| !cases().any(|(_, case)| case.id == **id)) {
            return Err(format!("there is no test {no:?}: see --list").into());
        }
        let by_name = |case: &Case| self.only.is_empty() || self.only.iter().any(|id| id == case.id);
        let by_group = |group: Group| self.group.is_empty() || self.group.contains(&group);
        Ok(cases().filter(|(group, case)| by_name(case) && by_group(*group)).collect())
    }

    pub(super) fn patience(&self) -> Duration {
        Duration::from_secs(self.person.patience.into())
    }

    /// The server, and what it is asked with.
    ///
    /// # Errors
    /// When a file or an address cannot be used.
    pub(super) async fn subject(self) -> Result<Subject, Failure> {
        let patience = self.patience();
        let ca = self.ca.as_deref();
        Ok(Subject {
            base: base(self.base.as_deref().unwrap_or_default())?,
            web: Web::new(ca, None)?,
            backend: self.backend.read()?,
            person: self.person.read(self.json, patience).await?,
            device: self.device.read(ca)?,
            member: self.member.read()?,
            shared: Shared::default(),
        })
    }
}

/// A FHIR address without its last slash.
pub(super) fn base(text: &str) -> Result<String, Failure> {
    let text = text.trim_end_matches('/');
    Url::read(text).map(|_| text.to_owned())
}

impl BackendArgs {
    pub(super) fn read(self) -> Result<Option<Backend>, Failure> {
        let (Some(client), Some(key)) = (self.client_id, self.key) else { return Ok(None) };
        Ok(Some(Backend { client, scope: self.scope, signer: Signer::named(&key, &self.kid)? }))
    }
}

impl PersonArgs {
    async fn read(self, json: bool, patience: Duration) -> Result<Option<Person>, Failure> {
        let (Some(app), Some(redirect)) = (self.app, self.redirect) else { return Ok(None) };
        let manner = Manner { open: self.open, json, patience };
        let mut person = Person::new((app, self.app_secret), redirect, self.app_scope, manner).await?;
        person.launch = self.launch;
        Ok(Some(person))
    }
}

impl DeviceArgs {
    fn read(self, ca: Option<&Path>) -> Result<Option<Device>, Failure> {
        let (Some(certificate), Some(key), Some(at)) = (self.certificate, self.certificate_key, self.device_base)
        else {
            return Ok(None);
        };
        let showing = |certificate: &Path, key: &Path| Web::new(ca, Some(&identity(certificate, key)?));
        let other = match (self.other_certificate, self.other_key) {
            (Some(certificate), Some(key)) => Some(showing(&certificate, &key)?),
            _ => None,
        };
        let (web, base) = (showing(&certificate, &key)?, base(&at)?);
        Ok(Some(Device { web, other, base, scope: self.device_scope, client: self.device_client }))
    }
}

impl MemberArgs {
    fn read(self) -> Result<Option<Member>, Failure> {
        let (Some(chain), Some(key), Some(uri)) = (self.udap_chain, self.udap_key, self.udap_as) else {
            return Ok(None);
        };
        let signer = Signer::of_chain(&key, &chain)?;
        Ok(Some(Member { signer, uri, community: self.udap_community, scope: self.udap_scope }))
    }
}
