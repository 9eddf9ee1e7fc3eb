//! The ward's records: a gateway that shows its credential gets a token, says who wears what, and reads what devices reported.

use super::site::Site;
use crate::Failure;
use crate::demo::stage;
use bytes::Bytes;
use http::header::{AUTHORIZATION, LOCATION};
use http::{Method, Response, StatusCode};
use medlock_node::enrol::{Code, Enrolment, Progress};
use medlock_node::http::Client;
use medlock_node::identity::IdentityStore;
use medlock_node::knowledge::KnowledgeBase;
use medlock_node::tls::{Believed, Connector};
use medlock_trust::policy::Setting;
use medlock_trust::role::Role;
use serde_json::{Value, json};
use std::sync::Arc;

/// Its name in the register.
const NAME: &str = "gateway7";
const FHIR_JSON: &str = "application/fhir+json";

/// Software of the ward that reads and writes records.
pub(crate) struct Gateway {
    identity: IdentityStore,
    knowledge: Arc<KnowledgeBase>,
}

impl Gateway {
    /// Enrols it at the ward's hub, by a code that a person confirms.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(crate) async fn enrol(site: &Site) -> Result<Self, Failure> {
        let hub = site.hub()?;
        let code: Code = stage::register(hub, NAME, Role::Gateway.name(), None).await?.parse()?;
        let identity = IdentityStore::in_memory(None);
        let knowledge = KnowledgeBase::in_memory(site.clock.clone(), Setting::Hospital);
        let enrolment = Enrolment::new(hub.devices.to_string(), identity.clone(), Arc::clone(&knowledge));
        let mut progress = enrolment.progress();
        let confirmed = async {
            let waits = |now: &Progress| matches!(now, Progress::AwaitingApproval { .. });
            let Progress::AwaitingApproval { key } = progress.wait_for(waits).await?.clone() else {
                return Err("the gateway does not wait".into());
            };
            stage::approve(hub, NAME, &key).await
        };
        tokio::select! {
            enrolled = enrolment.first_contact(&code) => drop(enrolled?),
            Err(error) = confirmed => return Err(error),
        }
        Ok(Self { identity, knowledge })
    }

    /// A session with the hub, and a token for the records: by the certificate alone.
    ///
    /// # Errors
    /// When there is no hub, or it refuses.
    pub(crate) async fn open(&self, site: &Site) -> Result<Records, Failure> {
        let believed = Believed::Knowledge(Arc::clone(&self.knowledge));
        let connector = Connector::new(Some(&self.identity), believed, Some(Role::Hub))?;
        let client = Client::tls(site.hub()?.devices.to_string(), connector);
        let asked = "grant_type=client_credentials&scope=system/*.crus";
        let answer = client.post("/auth/token", "application/x-www-form-urlencoded", asked).await?;
        let told: Value = serde_json::from_slice(answer.body())?;
        let token = told["access_token"].as_str().ok_or_else(|| format!("no token: {told}"))?.to_owned();
        Ok(Records { client, token })
    }
}

/// The ward's records, with a token that is good for this gateway alone.
pub(crate) struct Records {
    client: Client,
    token: String,
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

    async fn create(&self, resource: &Value) -> Result<String, Failure> {
        let kind = resource["resourceType"].as_str().unwrap_or_default();
        let made = self.ask(Method::POST, &format!("/fhir/{kind}"), resource.to_string().into()).await?;
        // …/Patient/ID/_history/1
        let location = made.headers().get(LOCATION).and_then(|location| location.to_str().ok()).unwrap_or_default();
        let id = location.rsplit('/').nth(2).filter(|id| !id.is_empty());
        id.map(str::to_owned).ok_or_else(|| format!("no {kind} was made: {location:?}").into())
    }

    async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Bytes>, Failure> {
        let mut request = self.client.request(method, path, Some(FHIR_JSON), body)?;
        request.headers_mut().insert(AUTHORIZATION, format!("Bearer {}", self.token).parse()?);
        let answer = self.client.send(request).await?;
        match answer.status() {
            StatusCode::OK | StatusCode::CREATED => Ok(answer),
            refused => {
                let told = String::from_utf8_lossy(answer.body());
                Err(format!("{path} is answered {refused}: {told}").into())
            }
        }
    }
}
