//! A device in this process that was enrolled by a code: a gateway, which gets a token by its credential and reads and writes the
//! records; a sensor, which reports what it measured.

use super::stage;
use crate::Failure;
use crate::hub::Hub;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{Method, Request, Response, StatusCode};
use medlock_node::clock::Clock;
use medlock_node::coap::{self, Handshake, Own, Peers, content_format};
use medlock_node::enrol::{Code, Enrolment, Progress};
use medlock_node::http::{Client, Connection};
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::tls::{Believed, Connector};
use medlock_proto::record::{Answer, Incarnation, Lost, Record, Report};
use medlock_trust::cbor::Writer;
use medlock_trust::policy::Setting;
use medlock_trust::role::Role;
use serde_json::{Value, json};
use std::sync::Arc;

const FHIR_JSON: &str = "application/fhir+json";
/// Of which life of a sensor its numbers are: it has one.
const INCARNATION: Incarnation = Incarnation(1);

/// A device.
#[derive(Debug)]
pub(crate) struct Device {
    identity: IdentityStore,
    knowledge: Arc<KnowledgeBase>,
}

impl Device {
    /// Enrols the device `name` in this role at a hub, whose clock this is, by a code that a person confirms.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) async fn enrol(hub: &Hub, clock: &Clock, name: &str, role: Role) -> Result<Self, Failure> {
        let code: Code = stage::register(hub, name, role.name(), None).await?.parse()?;
        let identity = IdentityStore::in_memory(None);
        let knowledge = KnowledgeBase::in_memory(clock.clone(), Setting::Hospital);
        let enrolment = Enrolment::new(hub.devices.to_string(), identity.clone(), Arc::clone(&knowledge));
        let mut progress = enrolment.progress();
        let confirmed = async {
            let waits = |now: &Progress| matches!(now, Progress::AwaitingApproval { .. });
            let Progress::AwaitingApproval { key } = progress.wait_for(waits).await?.clone() else {
                return Err(format!("{name} does not wait").into());
            };
            stage::approve(hub, name, &key).await
        };
        tokio::select! {
            enrolled = enrolment.first_contact(&code) => drop(enrolled?),
            Err(error) = confirmed => return Err(error),
        }
        Ok(Self { identity, knowledge })
    }

    /// Reports what it measured as small devices do, over EDHOC and OSCORE.
    ///
    /// # Errors
    /// When the hub does not take all of it.
    pub(crate) async fn report(&self, hub: &Hub, records: &[Record]) -> Result<(), Failure> {
        let door = hub.coap().ok_or("the hub has no door for small devices")?;
        let peers = Arc::new(Peers::new(Arc::clone(&self.knowledge)));
        let client = coap::Client::connect(door, &Own::of(&self.identity), &peers, &Handshake::default()).await?;
        let mut payload = Vec::new();
        Report::encode(INCARNATION, Lost::default(), records, &mut Writer::new(&mut payload))?;
        let answer = client.request(coap::Request::post("/m/records", content_format::CBOR, payload)).await?;
        let refused = Answer::read(&answer.payload).map(Iterator::count);
        match (answer.code, refused) {
            (coap::Code::CHANGED, Ok(0)) => Ok(()),
            (code, refused) => Err(format!("what was measured is answered {code}; refused of it: {refused:?}").into()),
        }
    }

    /// A session with the hub, and a token for the records: by the certificate alone.
    ///
    /// # Errors
    /// When there is no hub, or it refuses.
    pub(crate) async fn open(&self, hub: &Hub) -> Result<Records, Failure> {
        let believed = Believed::Knowledge(Arc::clone(&self.knowledge));
        let connector = Connector::new(Some(&self.identity), believed, Some(Role::Hub))?;
        let client = Client::tls(hub.devices.to_string(), connector);
        let asked = "grant_type=client_credentials&scope=system/*.crus";
        let answer = client.post("/auth/token", "application/x-www-form-urlencoded", asked).await?;
        let told: Value = serde_json::from_slice(answer.body())?;
        let token = told["access_token"].as_str().ok_or_else(|| format!("no token: {told}"))?.to_owned();
        Ok(Records { client, token, seconds: told["expires_in"].as_u64().unwrap_or_default() })
    }
}

/// The records, with a token that is good for this device alone.
#[derive(Debug)]
pub(crate) struct Records {
    client: Client,
    token: String,
    /// How long it is good.
    pub(crate) seconds: u64,
}

impl Records {
    /// Makes a Patient, and has them wear these devices; the Patient's identifier.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn admit(&self, name: &str, devices: &[&str]) -> Result<String, Failure> {
        let patient = self.create(&json!({ "resourceType": "Patient", "name": [{ "family": name }] })).await?;
        for device in devices {
            self.create(&json!({
                "resourceType": "Device",
                "identifier": [{ "system": medlock_clinical::DEVICE_SYSTEM, "value": device }],
                "patient": { "reference": format!("Patient/{patient}") },
            }))
            .await?;
        }
        Ok(patient)
    }

    /// How many there are.
    ///
    /// # Errors
    /// When the search is refused.
    pub(crate) async fn count(&self, search: &str) -> Result<u64, Failure> {
        let found = self.ask(Method::GET, &format!("/fhir/{search}&_summary=count"), Bytes::new()).await?;
        let found: Value = serde_json::from_slice(found.body())?;
        found["total"].as_u64().ok_or_else(|| format!("no total: {found}").into())
    }

    /// What of a search is on its first page.
    ///
    /// # Errors
    /// When the search is refused.
    pub(crate) async fn found(&self, search: &str) -> Result<Vec<Value>, Failure> {
        let found = self.ask(Method::GET, &format!("/fhir/{search}"), Bytes::new()).await?;
        let found: Value = serde_json::from_slice(found.body())?;
        let entries = found["entry"].as_array().cloned().unwrap_or_default();
        Ok(entries.into_iter().map(|entry| entry["resource"].clone()).collect())
    }

    /// Makes a resource; its identifier.
    ///
    /// # Errors
    /// When it is refused.
    pub(crate) async fn create(&self, resource: &Value) -> Result<String, Failure> {
        let kind = resource["resourceType"].as_str().unwrap_or_default();
        let made = self.ask(Method::POST, &format!("/fhir/{kind}"), resource.to_string().into()).await?;
        // …/Patient/ID/_history/1
        let location = made.headers().get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        let id = location.rsplit('/').nth(2).filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| format!("no {kind} was made: {location:?}").into())
    }

    /// With a token.
    pub(crate) const fn of(client: Client, token: String, seconds: u64) -> Self {
        Self { client, token, seconds }
    }

    /// The token at another door, or without the certificate.
    pub(crate) fn token_by(&self, client: Client) -> Self {
        Self { client, token: self.token.clone(), seconds: self.seconds }
    }

    /// A connection that stays open.
    ///
    /// # Errors
    /// When there is no hub.
    pub(crate) async fn connection(&self) -> Result<Connection, Failure> {
        Ok(self.client.connection().await?)
    }

    /// A request with the token.
    ///
    /// # Errors
    /// When `path` cannot be asked for.
    pub(crate) fn request(&self, method: Method, path: &str, body: Bytes) -> Result<Request<Bytes>, Failure> {
        let mut request = self.client.request(method, path, Some(FHIR_JSON), body)?;
        request.headers_mut().insert(AUTHORIZATION, format!("Bearer {}", self.token).parse()?);
        Ok(request)
    }

    /// What the hub answers, whatever it is.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) async fn answer(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Bytes>, Failure> {
        Ok(self.client.send(self.request(method, path, body)?).await?)
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Bytes>, Failure> {
        let answer = self.answer(method, path, body).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => Ok(answer),
            refused => {
                let told = String::from_utf8_lossy(answer.body());
                Err(format!("{path} is answered {refused}: {told}").into())
            }
        }
    }
}
