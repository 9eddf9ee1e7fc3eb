//! A site, its devices, and requests of theirs.

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use medlock_clinical::seam::{Alarms, Devices, NeedError, RegisteredDevice, WebKeys};
use medlock_clinical::store::Place;
use medlock_clinical::{Clinical, ClinicalConfig, Error, Needs};
use medlock_node::accept::{Origin, PeerInfo};
use medlock_node::identity::Identity;
use medlock_node::knowledge::{Kind, KnowledgeBase};
use medlock_node::outbound::OutboundConfig;
use medlock_node::provider::{WebAlgorithm, WebKey};
use medlock_store::postgres::Server;
use medlock_testkit::{PostgresServer, Site, Status};
use medlock_trust::status::{State, Subject};
use medlock_trust::{CredentialId, DeviceName, Role, Roles, Time};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};
use tempfile::TempDir;
use tower::ServiceExt as _;

/// Where devices reach it.
pub(crate) const DEVICES: &str = "https://hub.example:8443";
/// Where people's software reaches it.
pub(crate) const PUBLIC: &str = "https://fhir.example";

/// The register of the site.
#[derive(Default)]
struct Register {
    roles: Mutex<HashMap<String, Roles>>,
    /// Credentials, each with one it was renewed to.
    renewals: Mutex<Vec<(CredentialId, CredentialId)>>,
    /// Proofs that credentials are in the log.
    proofs: Mutex<HashMap<CredentialId, Vec<u8>>>,
}

impl Devices for Register {
    fn device(&self, name: &DeviceName) -> Result<Option<RegisteredDevice>, NeedError> {
        let roles = self.roles.lock().expect("the register").get(name.as_str()).copied();
        Ok(roles.map(|roles| RegisteredDevice { name: *name, roles }))
    }

    fn log_proof(&self, credential: CredentialId) -> Result<Option<Vec<u8>>, NeedError> {
        Ok(self.proofs.lock().expect("the proofs").get(&credential).cloned())
    }

    fn has_left(&self, hub: &DeviceName, _: CredentialId) -> Result<bool, NeedError> {
        Ok(!self.roles.lock().expect("the register").contains_key(hub.as_str()))
    }

    fn issuing_certificates(&self) -> Vec<Vec<u8>> {
        // The site's root issues by itself, and who checks has it.
        Vec::new()
    }

    fn follows(&self, old: CredentialId, new: CredentialId) -> Result<bool, NeedError> {
        Ok(self.renewals.lock().expect("the renewals").contains(&(old, new)))
    }
}

/// The signer's keys: made once, an RSA key takes a while.
struct Signer;

static KEYS: LazyLock<[WebKey; 2]> = LazyLock::new(|| WebAlgorithm::ALL.map(WebKey::generate));

impl Signer {
    fn key(algorithm: WebAlgorithm) -> &'static WebKey {
        KEYS.iter().find(|key| key.algorithm() == algorithm).expect("a key")
    }
}

impl WebKeys for Signer {
    fn hub(&self) -> Option<(DeviceName, CredentialId)> {
        None
    }

    fn public_key(&self, algorithm: WebAlgorithm) -> Result<Vec<u8>, NeedError> {
        Ok(Self::key(algorithm).spki().to_vec())
    }

    fn sign(&self, algorithm: WebAlgorithm, input: &str) -> Result<Vec<u8>, NeedError> {
        Ok(Self::key(algorithm).sign(input.as_bytes()))
    }
}

/// The alarms that were raised.
#[derive(Default)]
pub(crate) struct Raised(pub(crate) Mutex<Vec<(&'static str, String)>>);

impl Alarms for Raised {
    fn raise(&self, kind: &'static str, text: String) -> Result<(), NeedError> {
        self.0.lock().expect("the alarms").push((kind, text));
        Ok(())
    }
}

/// A clinical face at a site.
pub(crate) struct House {
    pub(crate) site: Site,
    pub(crate) knowledge: Arc<KnowledgeBase>,
    pub(crate) clinical: Arc<Clinical>,
    pub(crate) raised: Arc<Raised>,
    register: Arc<Register>,
    router: Router,
    pub(crate) people: Router,
    epoch: Mutex<u64>,
    _folder: TempDir,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The stable code of the first issue.
    pub(crate) fn code(&self) -> &str {
        self.body["issue"][0]["details"]["coding"][0]["code"].as_str().unwrap_or_default()
    }

    fn entries(&self) -> impl Iterator<Item = &Value> {
        assert_eq!((self.status, &self.body["resourceType"]), (StatusCode::OK, &"Bundle".into()), "{self:?}");
        self.body["entry"].as_array().into_iter().flatten()
    }

    /// What was looked for on a page, by its identifiers.
    pub(crate) fn found(&self) -> Vec<String> {
        let found = self.entries().filter(|entry| entry["search"]["mode"] == "match");
        found.map(|entry| id_of(&entry["resource"])).collect()
    }

    /// All resources of a page.
    pub(crate) fn resources(&self) -> Vec<Value> {
        self.entries().map(|entry| entry["resource"].clone()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The identifier of what was made.
    pub(crate) fn made(&self) -> String {
        assert_eq!(self.status, StatusCode::CREATED, "{self:?}");
        self.header("location").rsplit('/').nth(2).expect("a location").to_owned()
    }
}

pub(crate) fn id_of(resource: &Value) -> String {
    resource["id"].as_str().expect("an id").to_owned()
}

impl House {
    /// On an SQLite file.
    pub(crate) fn new() -> Self {
        Self::at(None)
    }

    /// On a server, if it is named.
    pub(crate) fn at(place: Option<Place>) -> Self {
        Self::with(place, |_| {})
    }

    /// The same, which calls these servers.
    pub(crate) fn calling(place: Option<Place>, outbound: OutboundConfig) -> Self {
        Self::with(place, |config| config.outbound = outbound)
    }

    /// With settings of its own.
    pub(crate) fn with(place: Option<Place>, change: impl FnOnce(&mut ClinicalConfig)) -> Self {
        Self::opened(place, change).expect("opened")
    }

    /// The same, if the settings can be used.
    pub(crate) fn opened(place: Option<Place>, change: impl FnOnce(&mut ClinicalConfig)) -> Result<Self, Error> {
        let folder = tempfile::tempdir().expect("a folder");
        let place = place.unwrap_or_else(|| Place::File(folder.path().join("clinical.db")));
        let site = Site::new("S");
        let knowledge = site.knowledge();
        let register = Arc::new(Register::default());
        // A busy machine searches slowly, and that is no fault.
        let mut config = ClinicalConfig {
            enabled: true,
            public_url: Some(PUBLIC.to_owned()),
            search_seconds: 60,
            ..ClinicalConfig::default()
        };
        change(&mut config);
        let raised = Arc::new(Raised::default());
        let needs = Needs {
            clock: site.clock.clone(),
            knowledge: Arc::clone(&knowledge),
            devices: Arc::clone(&register) as Arc<dyn Devices>,
            web_keys: Arc::new(Signer),
            alarms: Arc::clone(&raised) as Arc<dyn Alarms>,
            place,
        };
        let clinical = Clinical::open(&config, needs)?;
        let router = clinical.devices_router(DEVICES);
        let people = clinical.people_router().merge(clinical.admin_router());
        Ok(Self { site, knowledge, clinical, raised, register, router, people, epoch: Mutex::new(1), _folder: folder })
    }

    /// On an SQLite file and on a PostgreSQL server.
    pub(crate) fn both() -> [Self; 2] {
        [Self::new(), Self::at(Some(on_server()))]
    }

    /// A device of the register, with a credential.
    pub(crate) fn device(&self, name: &str, role: Role) -> Device<'_> {
        self.device_with(name, role, self.site.present())
    }

    /// As [`House::device`], valid then.
    pub(crate) fn device_with(&self, name: &str, role: Role, validity: (Time, Time)) -> Device<'_> {
        self.register.roles.lock().expect("the register").insert(name.to_owned(), Roles::of(&[role]));
        Device { house: self, identity: self.site.identity(name, &[role], validity), token: None }
    }

    /// The log has its credential.
    pub(crate) fn prove(&self, device: &Device<'_>, proof: &[u8]) {
        let credential = device.peer().identified.expect("identified").credential();
        self.register.proofs.lock().expect("the proofs").insert(credential, proof.to_vec());
    }

    /// Takes a device out of the register.
    pub(crate) fn remove(&self, name: &str) {
        self.register.roles.lock().expect("the register").remove(name);
    }

    /// The same device with another credential, which is a renewal of the one before.
    pub(crate) fn renewed<'h>(&'h self, device: &Device<'h>, role: Role) -> Device<'h> {
        let old = device.peer().identified.expect("identified");
        let identity = self.site.identity(old.device_name().as_str(), &[role], self.site.present());
        let new = Device { house: self, identity, token: device.token.clone() };
        let credential = new.peer().identified.expect("identified").credential();
        self.register.renewals.lock().expect("the renewals").push((old.credential(), credential));
        new
    }

    /// News about a device.
    pub(crate) fn news(&self, device: &Device<'_>, state: impl Into<Option<State>>) {
        let mut epoch = self.epoch.lock().expect("the epoch");
        *epoch += 1;
        let who = device.peer().identified.expect("identified");
        let subject = Subject::Device(who.device());
        let statuses: Vec<_> = state.into().map(|state| Status { subject, state }).into_iter().collect();
        self.knowledge.accept(Kind::Status, &self.site.status(*epoch, &statuses)).expect("news");
    }

    /// A request of `peer`.
    pub(crate) async fn ask(&self, peer: PeerInfo, request: http::request::Builder, body: Body) -> Answer {
        let mut request = request.body(body).expect("a request");
        request.extensions_mut().insert(peer);
        let response = self.router.clone().oneshot(request).await.expect("an answer");
        let (head, body) = response.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        Answer { status: head.status, headers: head.headers, body }
    }
}

/// A place of its own on a PostgreSQL server.
pub(crate) fn on_server() -> Place {
    let server = PostgresServer::shared();
    let server = Server::new(&server.url(), &server.schema(), None, None).expect("an address");
    Place::Server(Box::new(server))
}

/// Who shows no certificate.
pub(crate) fn nobody() -> PeerInfo {
    let origin = Origin::Address(([127, 0, 0, 1], 1).into());
    PeerInfo { origin, chain: Arc::new([]), identified: None }
}

/// A device that asks.
pub(crate) struct Device<'h> {
    house: &'h House,
    pub(crate) identity: Identity,
    pub(crate) token: Option<String>,
}

impl Device<'_> {
    /// What it shows.
    pub(crate) fn peer(&self) -> PeerInfo {
        let identified = self.house.knowledge.identify(self.identity.chain()).ok();
        PeerInfo { chain: self.identity.chain().into(), identified, ..nobody() }
    }

    /// Asks for a token for these scopes.
    pub(crate) async fn ask_token(&self, scope: &str) -> Answer {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", scope)
            .finish();
        self.post_token(&form).await
    }

    pub(crate) async fn post_token(&self, form: &str) -> Answer {
        let request = Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded");
        self.house.ask(self.peer(), request, Body::from(form.to_owned())).await
    }

    /// With a token for these scopes.
    pub(crate) async fn with(mut self, scope: &str) -> Self {
        let answer = self.ask_token(scope).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        self.token = Some(answer.body["access_token"].as_str().expect("a token").to_owned());
        self
    }

    /// Its token.
    pub(crate) fn token(&self) -> &str {
        self.token.as_deref().expect("a token")
    }

    fn request(&self, method: &str, path: &str) -> http::request::Builder {
        let builder = Request::builder().method(method).uri(format!("/fhir/{path}"));
        match &self.token {
            Some(token) => builder.header("authorization", format!("Bearer {token}")),
            None => builder,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.house.ask(self.peer(), self.request("GET", path), Body::empty()).await
    }

    pub(crate) async fn get_with(&self, path: &str, header: (&str, &str)) -> Answer {
        self.house.ask(self.peer(), self.request("GET", path).header(header.0, header.1), Body::empty()).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let request =
            headers.iter().fold(self.request(method, path), |request, (name, value)| request.header(*name, *value));
        self.house.ask(self.peer(), request, Body::from(body.to_owned())).await
    }

    pub(crate) async fn create(&self, resource: &Value) -> Answer {
        let kind = resource["resourceType"].as_str().expect("a kind");
        self.send("POST", kind, &[("content-type", "application/fhir+json")], &resource.to_string()).await
    }
}

/// Patients of these names, whom `gateway` makes.
pub(crate) async fn patients<const N: usize>(gateway: &Device<'_>, names: [&str; N]) -> [String; N] {
    let mut made = names.map(str::to_owned);
    for name in &mut made {
        *name = gateway.create(&patient(name)).await.made();
    }
    made
}

/// This moment, as the server writes it.
pub(crate) async fn moment(gateway: &Device<'_>) -> String {
    let clinic = gateway.create(&json!({ "resourceType": "Organization", "name": "Clinic" })).await.made();
    let clinic = gateway.get(&format!("Organization/{clinic}")).await.body;
    clinic["meta"]["lastUpdated"].as_str().expect("a moment").to_owned()
}

/// A Bundle of what is done together or not at all.
pub(crate) fn transaction(entries: impl IntoIterator<Item = Value>) -> Value {
    json!({ "resourceType": "Bundle", "type": "transaction", "entry": Vec::from_iter(entries) })
}

pub(crate) fn patient(name: &str) -> Value {
    json!({ "resourceType": "Patient", "name": [{ "family": name }] })
}

/// The Device that is `name` of the register.
pub(crate) fn device(name: &str, patient: &str) -> Value {
    json!({
        "resourceType": "Device",
        "identifier": [{ "system": medlock_clinical::DEVICE_SYSTEM, "value": name }],
        "patient": { "reference": format!("Patient/{patient}") },
    })
}

pub(crate) fn glucose(patient: &str, device: &str, at: &str) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "code": { "coding": [{ "system": "urn:iso:std:iso:11073:10101", "code": "160212" }, { "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "device": { "reference": format!("Device/{device}") },
        "effectiveDateTime": at,
        "valueQuantity": { "value": 101, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}
