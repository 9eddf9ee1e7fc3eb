//! The server that is asked, and what cases share: what it tells of itself, tokens, a person's sign-in, test data.

use super::case::{Given, Unfit, failed, skipped};
use super::keys::{Signer, joined};
use super::launch::{Launched, Person};
use super::oracle::Planted;
use super::web::{Answer, Ask, Web};
use crate::Failure;
use http::Method;
use medlock_clinical::jose::signing_input;
use medlock_node::clock::Clock;
use medlock_node::provider::random;
use serde_json::{Value, json};
use std::sync::{Mutex, PoisonError};
use tokio::sync::OnceCell;

/// The one type of assertions (RFC 7523).
pub(super) const ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// A server, and what we have to ask it with.
pub(super) struct Subject {
    /// Its FHIR address, without a slash at the end.
    pub(super) base: String,
    /// As who shows nothing.
    pub(super) web: Web,
    pub(super) backend: Option<Backend>,
    pub(super) person: Option<Person>,
    pub(super) device: Option<Device>,
    pub(super) member: Option<Member>,
    pub(super) shared: Shared,
}

/// What is done once.
#[derive(Default)]
pub(super) struct Shared {
    smart: OnceCell<Given<Value>>,
    pub(super) udap: OnceCell<Given<Value>>,
    pub(super) launched: OnceCell<Given<Launched>>,
    pub(super) opened: OnceCell<Given<Launched>>,
    pub(super) planted: OnceCell<Given<Planted>>,
    pub(super) registered: OnceCell<Given<String>>,
    /// What was written, to be removed: `KIND/ID`.
    pub(super) written: Mutex<Vec<String>>,
}

/// Software in its own name.
pub(super) struct Backend {
    pub(super) client: String,
    pub(super) scope: String,
    pub(super) signer: Signer,
}

/// A device with its certificate.
pub(super) struct Device {
    /// As who shows it.
    pub(super) web: Web,
    /// As who shows the certificate of another device.
    pub(super) other: Option<Web>,
    /// The FHIR address at which certificates are shown.
    pub(super) base: String,
    pub(super) scope: String,
    /// What the server calls it, if it wants to be told.
    pub(super) client: Option<String>,
}

/// Software of a community.
pub(super) struct Member {
    pub(super) signer: Signer,
    /// The address that its certificate names.
    pub(super) uri: String,
    /// The community, if the server has several.
    pub(super) community: Option<String>,
    pub(super) scope: String,
}

impl Subject {
    pub(super) fn fhir(&self, path: &str) -> String {
        format!("{}/{path}", self.base)
    }

    /// Whether a FHIR server answers at the address: one that does not is told once, and not by each case.
    ///
    /// # Errors
    /// Why not, and what to look at.
    pub(super) async fn is_there(&self) -> Result<(), Failure> {
        let base = &self.base;
        let told = |answer: &Answer| {
            let is_statement = answer.text("resourceType").is_some_and(|kind| kind == "CapabilityStatement");
            is_statement || answer.text("token_endpoint").is_some()
        };
        let answer = self.web.get(self.fhir("metadata")).send().await.map_err(|failure| {
            let help = match failure.downcast_ref::<medlock_node::Error>() {
                Some(error) if error.is_of_tls() => {
                    "name whom to believe with --ca FILE, if it is the server that is meant"
                }
                _ => "is it the FHIR address, and is the server up?",
            };
            format!("--base {base} cannot be asked: {failure}; {help}")
        })?;
        if told(&answer) || told(&self.web.get(self.fhir(".well-known/smart-configuration")).send().await?) {
            return Ok(());
        }
        let text =
            "has neither a CapabilityStatement (metadata) nor a SMART configuration: it is no FHIR server's address";
        Err(format!("--base {base} {text}; {answer}").into())
    }

    /// A FHIR request with a token.
    pub(super) fn ask(&self, method: Method, path: &str, token: &str) -> Ask<'_> {
        self.web.ask(method, self.fhir(path)).bearer(token)
    }

    pub(super) async fn get(&self, path: &str, token: &str) -> Result<Answer, Failure> {
        self.ask(Method::GET, path, token).send().await
    }

    /// What it says of itself (SMART App Launch 2.2, section 7).
    pub(super) async fn smart(&self) -> Given<&Value> {
        let read = async {
            let answer = self.web.get(self.fhir(".well-known/smart-configuration")).send().await?;
            let told = answer.json();
            if told.is_object() { Ok(told) } else { Err(failed(answer.to_string())) }
        };
        self.shared.smart.get_or_init(|| read).await.as_ref().map_err(Clone::clone)
    }

    /// One of its addresses, `token_endpoint`.
    pub(super) async fn endpoint(&self, name: &str) -> Given<String> {
        let told = self.smart().await?;
        let text = told.get(name).and_then(Value::as_str).map(str::to_owned);
        text.ok_or_else(|| skipped(format!("needs a server that has {name}")))
    }

    pub(super) fn backend(&self) -> Given<&Backend> {
        self.backend.as_ref().ok_or_else(|| skipped("needs --client-id and --key"))
    }

    pub(super) fn person(&self) -> Given<&Person> {
        self.person.as_ref().ok_or_else(|| skipped("needs --app and --redirect"))
    }

    pub(super) fn device(&self) -> Given<&Device> {
        self.device.as_ref().ok_or_else(|| skipped("needs --certificate, --certificate-key and --device-base"))
    }

    pub(super) fn member(&self) -> Given<&Member> {
        self.member.as_ref().ok_or_else(|| skipped("needs --udap-chain, --udap-key and --udap-as"))
    }

    /// What is answered to this assertion of software in its own name.
    pub(super) async fn assert(&self, backend: &Backend, assertion: &str) -> Given<Answer> {
        self.assert_with(&[("scope", &backend.scope), ("client_assertion", assertion)]).await
    }

    /// The same with some of it changed.
    pub(super) async fn assert_with(&self, change: &[(&str, &str)]) -> Given<Answer> {
        let pairs = [("grant_type", "client_credentials"), ("client_assertion_type", ASSERTION)];
        let pairs = super::web::changed(&pairs, change);
        Ok(self.web.post_form(self.endpoint("token_endpoint").await?, &pairs).send().await?)
    }

    /// An assertion that is as it should be.
    pub(super) async fn assertion(&self, backend: &Backend) -> Given<(Value, Value)> {
        let (now, aud) = (now(), self.endpoint("token_endpoint").await?);
        let claims = json!({
            "iss": backend.client, "sub": backend.client, "aud": aud, "iat": now, "exp": now + 240, "jti": number(),
        });
        Ok((backend.signer.header(), claims))
    }

    /// A fresh token of software in its own name.
    pub(super) async fn backend_token(&self) -> Given<String> {
        let backend = self.backend()?;
        let (header, claims) = self.assertion(backend).await?;
        let answer = self.assert(backend, &backend.signer.sign(&header, &claims.to_string())).await?;
        let given = answer.text("access_token").filter(|_| answer.status.is_success());
        given.ok_or_else(|| failed(answer.to_string()))
    }

    /// Writes test data, which is removed in the end; its identifier.
    pub(super) async fn write(&self, token: &str, resource: &Value) -> Given<String> {
        let kind = resource["resourceType"].as_str().unwrap_or_default();
        let answer = self.ask(Method::POST, kind, token).resource(resource).send().await?;
        let location = answer.header("location").to_owned();
        let place = location.split_once(&format!("/{kind}/")).map(|(_, rest)| rest);
        let id = place.and_then(|rest| rest.split('/').next()).filter(|_| answer.status == http::StatusCode::CREATED);
        let id = id.ok_or_else(|| failed(answer.to_string()))?.to_owned();
        self.remember(format!("{kind}/{id}"));
        Ok(id)
    }

    /// Notes what was written, `Kind/ID`, to be removed at the end. A server that did not say the identifier is asked to remove nothing:
    /// an address without one means more than that.
    pub(super) fn remember(&self, what: String) {
        let is_id = |id: &str| {
            (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        if !what.split_once('/').is_some_and(|(_, id)| is_id(id)) {
            return;
        }
        self.shared.written.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    }

    /// Removes what was written, newest first, with this token or one of software in its own name; what stays.
    pub(super) async fn tidy(&self, token: Option<&str>) -> Vec<String> {
        let written = std::mem::take(&mut *self.shared.written.lock().unwrap_or_else(PoisonError::into_inner));
        if written.is_empty() {
            return written;
        }
        let token = match token {
            Some(token) => token.to_owned(),
            None => match self.backend_token().await {
                Ok(token) => token,
                Err(_) => return written,
            },
        };
        let mut left = Vec::new();
        for one in written.into_iter().rev() {
            match self.ask(Method::DELETE, &one, &token).send().await {
                Ok(answer) if answer.status.is_success() || matches!(answer.status.as_u16(), 404 | 410) => {}
                _ => left.push(one),
            }
        }
        left
    }
}

/// A token with the signature of nobody.
pub(super) fn unsigned(header: &Value, claims: &Value) -> String {
    joined(&signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes()), &[])
}

/// The time, in seconds since 1970.
pub(super) fn now() -> i64 {
    Clock::system().now().unix()
}

/// A number that nobody has used.
pub(super) fn number() -> String {
    random::<16>().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What an answer refuses: a status of 400 or 401, and an error in JSON (RFC 6749 section 5.2).
pub(super) fn refused(answer: &Answer, errors: &[&str]) -> Result<(), Unfit> {
    let error = answer.text("error").unwrap_or_default();
    let known = matches!(answer.status.as_u16(), 400 | 401 | 403) && !error.is_empty();
    if answer.json().get("access_token").is_some() {
        return Err(failed(format!("a token was given: {}", answer.to)));
    }
    if known && (errors.is_empty() || errors.contains(&&*error)) {
        return Ok(());
    }
    Err(failed(format!(
        "it should be refused with {}: {answer}",
        if errors.is_empty() { "an error".to_owned() } else { errors.join(" or ") }
    )))
}
