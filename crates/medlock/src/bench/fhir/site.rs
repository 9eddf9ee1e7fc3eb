//! A hub in a process of its own, and who asks it.

use crate::Failure;
use crate::admin::{self, ask_running, unexpected};
use crate::supervise::{self, Process};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response};
use medlock_authority::admin::{Request as Administer, Response as Administered};
use medlock_authority::registry::DeviceConfig;
use medlock_clinical::auth::{Asked, ClientSort, Told};
use medlock_node::clock::Clock;
use medlock_node::enrol::{Code, Enrolment, Progress};
use medlock_node::http::Client;
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::provider::{SigningAlgorithm, SigningKey, random};
use medlock_node::tls::{Believed, Connector};
use medlock_trust::Role;
use medlock_trust::policy::Setting;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What is asked for by a device, and by software.
const GATEWAY_SCOPES: &str = "system/*.crs";
const SOFTWARE_SCOPES: &str = "system/*.cruds";
/// The one type of assertions (RFC 7523).
const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A hub that runs.
pub(super) struct Site {
    process: Process,
    dir: PathBuf,
    /// Where devices reach it.
    devices: String,
    /// The gateway's identity, and what it knows of the site.
    pub(super) identity: IdentityStore,
    pub(super) knowledge: Arc<KnowledgeBase>,
}

impl Site {
    /// Starts it in `folder`, as `medlock up` does, and enrols a gateway.
    pub(super) async fn start(folder: &Path, postgres: Option<&str>) -> Result<Self, Failure> {
        let dir = folder.join("hub");
        let mut clinical = toml::Table::new();
        clinical.insert("enabled".into(), true.into());
        clinical.insert("public_url".into(), "http://localhost:1".into());
        if let Some(url) = postgres {
            clinical.insert("store".into(), url.into());
            clinical.insert("store_schema".into(), format!("medlock_bench_{}", std::process::id()).into());
        }
        let mut hub = toml::Table::new();
        for (name, value) in [("site", "Sankt Anna"), ("devices", "127.0.0.1:0"), ("people", "127.0.0.1:0")] {
            hub.insert(name.into(), value.into());
        }
        hub.insert("dir".into(), dir.to_string_lossy().into_owned().into());
        // Few clients ask for many here.
        hub.insert("requests_per_second".into(), 0.into());
        let config = toml::Table::from_iter([("hub".to_owned(), hub.into()), ("clinical".to_owned(), clinical.into())]);
        let file = folder.join("medlock.toml");
        std::fs::write(&file, config.to_string())?;
        let mut command = supervise::command(["up", "--json", "--config"])?;
        command.arg(&file);
        let mut process = Process::start("the hub", command)?;
        let up: Value = serde_json::from_str(&process.line().await?)?;
        let devices = up["devices"].as_str().ok_or("the hub does not say where it is")?.to_owned();
        let knowledge = KnowledgeBase::in_memory(Clock::system(), Setting::Hospital);
        let identity = IdentityStore::open(&folder.join("gateway"))?;
        let site = Self { process, dir, devices, identity, knowledge };
        site.enrol().await?;
        Ok(site)
    }

    async fn administer(&self, request: Administer) -> Result<Administered, Failure> {
        ask_running(&self.dir.join(admin::SOCKET), &request).await
    }

    /// The gateway comes with its code, and an engineer confirms it.
    async fn enrol(&self) -> Result<(), Failure> {
        let device = DeviceConfig { name: "gw".into(), roles: vec!["gateway".into()], ..DeviceConfig::default() };
        self.administer(Administer::Register { device }).await?;
        let code = match self.administer(Administer::Code { device: "gw".into(), lifetime_seconds: None }).await? {
            Administered::Code { code, .. } => code.parse::<Code>()?,
            other => return Err(unexpected(&other)),
        };
        let enrolment = Enrolment::new(self.devices.clone(), self.identity.clone(), Arc::clone(&self.knowledge));
        let mut progress = enrolment.progress();
        let approve = async {
            progress.wait_for(|progress| matches!(progress, Progress::AwaitingApproval { .. })).await?;
            let pending = match self.administer(Administer::Pending).await? {
                Administered::Pending { pending } => pending,
                other => return Err(unexpected(&other)),
            };
            let one = pending.into_iter().next().ok_or("the gateway does not wait")?;
            self.administer(Administer::Approve { id: one.id, device: None }).await
        };
        let (enrolled, approved) = tokio::join!(enrolment.first_contact(&code), approve);
        approved?;
        enrolled?;
        Ok(())
    }

    /// Connects as the gateway.
    fn client(&self) -> Result<Client, Failure> {
        let believed = Believed::Knowledge(Arc::clone(&self.knowledge));
        Ok(Client::tls(self.devices.clone(), Connector::new(Some(&self.identity), believed, Some(Role::Hub))?))
    }

    /// The gateway, with its token.
    pub(super) async fn gateway(&self) -> Result<Caller, Failure> {
        let mut gateway = Caller { client: self.client()?, token: String::new() };
        gateway.token = gateway.given(gateway.asks_token()?).await?;
        Ok(gateway)
    }

    /// Registers software that has a key.
    pub(super) async fn software(&self) -> Result<Software, Failure> {
        let key = SigningKey::generate_with(SigningAlgorithm::P384);
        let point = key.public_key();
        let (x, y) =
            point.bits.split_at_checked(1).and_then(|(_, point)| point.split_at_checked(48)).ok_or("no point")?;
        let (x, y) = (BASE64URL.encode(x), BASE64URL.encode(y));
        let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-384", "x": x, "y": y, "kid": "1", "alg": "ES384" }] });
        let dir = self.dir.clone();
        let asked = Asked::AddClient {
            name: "Bench".into(),
            sort: ClientSort::Keys,
            redirects: Vec::new(),
            scopes: SOFTWARE_SCOPES.into(),
            keys: Some(keys.to_string()),
            keys_url: None,
            id_token: None,
            introspects: false,
        };
        match tokio::task::spawn_blocking(move || admin::ask_clinical(&dir, &asked))
            .await?
            .map_err(|error| error.to_string())?
        {
            Told::Client { client, .. } => Ok(Software { id: client.id, key, client: self.client()? }),
            other => Err(format!("the hub told {other:?}").into()),
        }
    }

    /// For whom assertions are.
    fn token_address(&self) -> String {
        let port = self.devices.rsplit(':').next().unwrap_or_default();
        format!("https://localhost:{port}/auth/token")
    }

    /// The most memory that it had, in MB (`VmHWM`).
    pub(super) fn memory_mb(&self) -> Option<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
        Some(line.split_whitespace().nth(1)?.parse::<f64>().ok()? / 1024.0)
    }

    pub(super) async fn stop(mut self) -> Result<(), Failure> {
        self.process.kill().await
    }
}

/// Who asks, with a token.
pub(super) struct Caller {
    pub(super) client: Client,
    pub(super) token: String,
}

impl Caller {
    pub(super) fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>, Failure> {
        let request = Request::builder().method(method).uri(path);
        let request = request.header(CONTENT_TYPE, "application/fhir+json");
        Ok(request.header(AUTHORIZATION, format!("Bearer {}", self.token)).body(body)?)
    }

    /// Sends a request, which has to be done.
    pub(super) async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Failure> {
        let answer = self.client.send(request).await?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        Err(format!("{}: {}", answer.status(), String::from_utf8_lossy(answer.body())).into())
    }

    /// A device asks by its credential.
    pub(super) fn asks_token(&self) -> Result<Request<Bytes>, Failure> {
        asks_token(&[("grant_type", "client_credentials"), ("scope", GATEWAY_SCOPES)])
    }

    async fn given(&self, request: Request<Bytes>) -> Result<String, Failure> {
        let body: Value = serde_json::from_slice(self.send(request).await?.body())?;
        let token = body["access_token"].as_str().map(str::to_owned);
        token.ok_or_else(|| format!("no token: {body}").into())
    }
}

/// Software that proves its key.
pub(super) struct Software {
    id: String,
    key: SigningKey,
    client: Client,
}

impl Software {
    /// So many assertions, each for one token (RFC 7523).
    pub(super) fn assertions(&self, site: &Site, count: u32) -> Result<Vec<String>, Failure> {
        let header = BASE64URL.encode(br#"{"alg":"ES384","typ":"JWT","kid":"1"}"#);
        let (now, aud) = (Clock::system().now().unix(), site.token_address());
        let one = |_| {
            let number = BASE64URL.encode(random::<16>());
            let claims =
                json!({ "iss": self.id, "sub": self.id, "aud": aud, "exp": now + 240, "iat": now, "jti": number });
            let input = format!("{header}.{}", BASE64URL.encode(claims.to_string()));
            let signature = BASE64URL.encode(self.key.sign_cose(&[input.as_bytes()]));
            Ok(format!("{input}.{signature}"))
        };
        (0..count).map(one).collect()
    }

    /// Software asks with an assertion.
    pub(super) fn asks_token(assertion: &str) -> Result<Request<Bytes>, Failure> {
        asks_token(&[
            ("grant_type", "client_credentials"),
            ("scope", SOFTWARE_SCOPES),
            ("client_assertion_type", ASSERTION),
            ("client_assertion", assertion),
        ])
    }

    /// With a token, for five minutes.
    pub(super) async fn caller(&self, site: &Site) -> Result<Caller, Failure> {
        let assertions = self.assertions(site, 1)?;
        let mut caller = Caller { client: self.client.clone(), token: String::new() };
        caller.token = caller.given(Self::asks_token(assertions.first().ok_or("no assertion")?)?).await?;
        Ok(caller)
    }
}

fn asks_token(form: &[(&str, &str)]) -> Result<Request<Bytes>, Failure> {
    // None of the values has a character that a form escapes, but the star, slash and colon, which it may have.
    let form: Vec<String> = form.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let request = Request::post("/auth/token").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    Ok(request.body(form.join("&").into())?)
}
