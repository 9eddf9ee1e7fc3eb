//! An app that knows SMART App Launch and nothing else of the hospital.

use super::administer;
use super::person::Browser;
use crate::Failure;
use crate::demo::device::Records;
use crate::hub::Hub;
use data_encoding::BASE64URL_NOPAD;
use http::{Method, StatusCode};
use medlock_clinical::auth::{Asked, ClientSort, Told};
use medlock_clinical::jose::{Compact, KeySet};
use medlock_node::http::Client;
use medlock_node::provider::{random, sha256};
use serde_json::{Value, json};
use std::path::Path;

/// What apps are registered for: a developer's may go on without the person.
pub(super) const REGISTERED: &str = "openid fhirUser offline_access launch/patient patient/*.rs patient/Consent.cu";
/// What it asks.
pub(super) const SCOPES: &str = "openid fhirUser launch/patient patient/*.rs patient/Consent.cu";

/// An app that is registered: its identifier, and where it is called back.
pub(super) struct Registered {
    pub(super) id: String,
    pub(super) redirect: String,
}

/// Registers a public app, as the administrator does.
///
/// # Errors
/// When the hub refuses.
pub(super) async fn register(folder: &Path, name: &str, redirect: &str) -> Result<Registered, Failure> {
    let asked = Asked::AddClient {
        name: name.to_owned(),
        sort: ClientSort::Public,
        redirects: vec![redirect.to_owned()],
        scopes: REGISTERED.to_owned(),
        keys: None,
        keys_url: None,
        id_token: None,
        introspects: false,
    };
    match administer(folder, &asked).await? {
        Told::Client { client, .. } => Ok(Registered { id: client.id, redirect: redirect.to_owned() }),
        other => Err(format!("the app was not registered: {other:?}").into()),
    }
}

/// The app, with a token.
pub(super) struct App {
    records: Records,
    /// The Patient whose record it is.
    pub(super) patient: String,
    /// Who has signed in, as the ID token says.
    pub(super) fhir_user: String,
}

impl App {
    /// A standalone launch: it discovers, a person signs in and agrees, it redeems its code. Also what was agreed to.
    ///
    /// # Errors
    /// When anything of it is refused, or is not as the standard has it.
    pub(super) async fn launch(
        hub: &Hub,
        base: &str,
        client: Registered,
        person: (&str, &str),
    ) -> Result<(Self, String), Failure> {
        let http = Client::plain(hub.people.to_string());
        let server = json_of(&http, "/fhir/.well-known/smart-configuration").await?;
        let at = |name: &str| -> Result<String, Failure> {
            let address = server[name].as_str().and_then(|address| address.strip_prefix(base));
            Ok(address.ok_or_else(|| format!("the server does not say {name}: {server}"))?.to_owned())
        };
        let (verifier, state, nonce) = (secret(), secret(), secret());
        let challenge = BASE64URL_NOPAD.encode(&sha256(verifier.as_bytes()));
        let audience = format!("{base}/fhir");
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs([
                ("response_type", "code"),
                ("client_id", &client.id),
                ("redirect_uri", &client.redirect),
                ("scope", SCOPES),
                ("state", &state),
                ("nonce", &nonce),
                ("aud", &audience),
                ("code_challenge", &challenge),
                ("code_challenge_method", "S256"),
            ])
            .finish();
        let mut browser = Browser::new(http.clone(), base);
        let (answer, agreed) = browser.agree(&query, person, &client.redirect).await?;
        let code = answer.get("code").ok_or_else(|| format!("no code: {answer:?}"))?;
        if answer.get("state") != Some(&state) || answer.get("iss").map(String::as_str) != Some(base) {
            return Err("the answer is to another question, or of another server".into());
        }
        let redeem = |verifier: &str| {
            form_urlencoded::Serializer::new(String::new())
                .extend_pairs([
                    ("grant_type", "authorization_code"),
                    ("client_id", client.id.as_str()),
                    ("code", code),
                    ("redirect_uri", client.redirect.as_str()),
                    ("code_verifier", verifier),
                ])
                .finish()
        };
        let told = http.post(&at("token_endpoint")?, "application/x-www-form-urlencoded", redeem(&verifier)).await?;
        let told: Value = serde_json::from_slice(told.body())?;
        let text = |name: &str| told[name].as_str().map(str::to_owned).ok_or_else(|| format!("no {name}: {told}"));
        let keys = http.get(&at("jwks_uri")?).await?;
        let fhir_user = signed_in(&text("id_token")?, keys.body(), (base, &client.id, &nonce))?;
        let fhir_user = fhir_user.strip_prefix(&format!("{audience}/")).map_or(fhir_user.clone(), str::to_owned);
        let seconds = told["expires_in"].as_u64().unwrap_or_default();
        let records = Records::of(http, text("access_token")?, seconds);
        Ok((Self { records, patient: text("patient")?, fhir_user }, agreed.join(", ")))
    }

    /// How many readings and studies of the patient it finds; a record that is hidden is read by nobody who knows its address either.
    ///
    /// # Errors
    /// When the hub does not answer.
    pub(super) async fn sees(&self) -> Result<(u64, u64), Failure> {
        let readings = self.records.count(&format!("Observation?patient=Patient/{}", self.patient)).await?;
        let studies = self.records.count(&format!("ImagingStudy?patient=Patient/{}", self.patient)).await?;
        Ok((readings, studies))
    }

    /// The patient withdraws: the Consent.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(super) async fn deny(&self) -> Result<String, Failure> {
        self.records.create(&self.denial("active")).await
    }

    /// The patient takes it back.
    ///
    /// # Errors
    /// When the hub refuses.
    pub(super) async fn allow_again(&self, consent: &str) -> Result<(), Failure> {
        let mut ended = self.denial("inactive");
        ended["id"] = consent.into();
        let path = format!("/fhir/Consent/{consent}");
        let answer = self.records.answer(Method::PUT, &path, ended.to_string().into()).await?;
        match answer.status() {
            StatusCode::OK => Ok(()),
            refused => Err(format!("{refused}: {}", String::from_utf8_lossy(answer.body())).into()),
        }
    }

    /// All apps, staff and software are denied.
    fn denial(&self, status: &str) -> Value {
        let scope =
            json!([{ "system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "patient-privacy" }]);
        json!({
            "resourceType": "Consent",
            "status": status,
            "patient": { "reference": format!("Patient/{}", self.patient) },
            "scope": { "coding": scope },
            "category": [{ "coding": [{ "system": "http://loinc.org", "code": "59284-0" }] }],
            "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
            "provision": { "provision": [{ "type": "deny" }] },
        })
    }
}

/// Who has signed in, if the ID token is of this server, for this app, and of this launch (OpenID Connect Core, section 3.1.3.7).
fn signed_in(token: &str, keys: &[u8], (issuer, client, nonce): (&str, &str, &str)) -> Result<String, Failure> {
    let (token, keys) = (Compact::read(token)?, KeySet::from_json(keys)?);
    let header = token.header();
    let key = keys
        .find(header.key_id.as_deref(), header.algorithm)
        .ok_or("the ID token is of a key that is not published")?;
    let claims = token.verify(key)?;
    if claims.text("iss")? != issuer || claims.audiences()? != [client] || claims.text("nonce")? != nonce {
        return Err("the ID token is of another server, for another app, or of another launch".into());
    }
    Ok(claims.text("fhirUser")?)
}

/// 32 bytes that nobody guesses.
fn secret() -> String {
    BASE64URL_NOPAD.encode(&random::<32>())
}

async fn json_of(http: &Client, path: &str) -> Result<Value, Failure> {
    Ok(serde_json::from_slice(http.get(path).await?.body())?)
}
