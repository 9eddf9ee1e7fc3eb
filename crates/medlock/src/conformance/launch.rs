//! A person lets software in: the address that a browser opens, and who comes to the redirect.

use super::case::{Given, Told, ensure, failed, skipped};
use super::subject::{Subject, number};
use super::web::{Answer, Ask, Url, changed, form};
use crate::Failure;
use crate::output;
use axum::Router;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD as BASE64, URL_SAFE_NO_PAD as BASE64URL};
use http::Uri;
use medlock_node::provider::{random, sha256};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, timeout_at};

/// An app that people use, and the way to a person.
pub(super) struct Person {
    pub(super) app: String,
    pub(super) secret: Option<String>,
    pub(super) redirect: String,
    pub(super) scope: String,
    /// With what other software has opened the app.
    pub(super) launch: Option<String>,
    /// What opens an address; without one, it is printed.
    open: Option<String>,
    json: bool,
    patience: Duration,
    arrivals: Mutex<mpsc::UnboundedReceiver<String>>,
}

/// How people are asked.
pub(super) struct Manner {
    pub(super) open: Option<String>,
    pub(super) json: bool,
    pub(super) patience: Duration,
}

/// Who came to the redirect, and with what.
#[derive(Clone, Debug)]
pub(super) struct Arrived {
    pub(super) redirect: String,
    pub(super) parameters: Vec<(String, String)>,
    pub(super) verifier: String,
    pub(super) nonce: String,
}

impl Arrived {
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(one, _)| one == name).map(|(_, value)| value.as_str())
    }

    pub(super) fn code(&self) -> Given<&str> {
        self.parameter("code").ok_or_else(|| failed(format!("no code came, but {:?}", self.parameters)))
    }
}

/// A sign-in that came to tokens.
#[derive(Clone, Debug)]
pub(super) struct Launched {
    pub(super) arrived: Arrived,
    pub(super) answer: Answer,
    pub(super) given: Value,
}

impl Launched {
    pub(super) fn text(&self, name: &str) -> Given<&str> {
        let text = self.given.get(name).and_then(Value::as_str);
        text.ok_or_else(|| skipped(format!("needs {name} with the token: the server gave none")))
    }

    pub(super) fn token(&self) -> Given<&str> {
        self.text("access_token")
    }

    /// The scopes that were given.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &str> {
        self.given.get("scope").and_then(Value::as_str).unwrap_or_default().split_whitespace()
    }

    /// Whether the token writes resources of this kind.
    pub(super) fn writes(&self, kind: &str) -> bool {
        self.scopes().any(|scope| {
            let rights = ["patient/*", "user/*"].iter().find_map(|all| scope.strip_prefix(all));
            let rights = rights.or_else(|| scope.strip_prefix("patient/")?.strip_prefix(kind));
            rights.is_some_and(|rights| rights.starts_with(".c") || rights == ".write" || rights == ".*")
        })
    }
}

impl Person {
    /// Waits at the redirect, which is on this machine.
    ///
    /// # Errors
    /// When that cannot be.
    pub(super) async fn new(
        (app, secret): (String, Option<String>),
        redirect: String,
        scope: String,
        Manner { open, json, patience }: Manner,
    ) -> Result<Self, Failure> {
        let url = Url::read(&redirect)?;
        if url.secure || !url.is_here() {
            return Err(format!(
                "{redirect}: name an address at which this command can listen: --redirect http://127.0.0.1:PORT/PATH"
            )
            .into());
        }
        let listener = TcpListener::bind((url.host.as_str(), url.port)).await;
        let listener = listener.map_err(|error| format!("{redirect}: {error}"))?;
        let (arrive, arrivals) = mpsc::unbounded_channel();
        let router = Router::new().fallback(arrived).with_state(arrive);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Ok(Self { app, secret, redirect, scope, launch: None, open, json, patience, arrivals: Mutex::new(arrivals) })
    }

    /// Has an address opened by a person, and waits for who comes with this state; where to, and with what.
    async fn opened(&self, url: &str, state: &str) -> Given<(String, Vec<(String, String)>)> {
        let mut arrivals = self.arrivals.lock().await;
        // The server chose it: what is no address might be an option of the command.
        Url::read(url).map_err(|error| failed(format!("authorization_endpoint: {error}")))?;
        match &self.open {
            Some(command) => {
                let child = Command::new(command).arg(url).stdin(std::process::Stdio::null()).spawn();
                let mut child = child.map_err(|error| failed(format!("{command}: {error}")))?;
                tokio::spawn(async move { child.wait().await });
            }
            None if self.json => output::json(&json!({ "event": "open", "url": url })).map_err(Failure::from)?,
            None => eprintln!("open this in a browser, sign in and allow it:\n  {url}"),
        }
        let until = Instant::now() + self.patience;
        loop {
            let seconds = self.patience.as_secs();
            let nobody = || skipped(format!("nobody came to {} within {seconds} seconds", self.redirect));
            let uri = timeout_at(until, arrivals.recv()).await.ok().flatten().ok_or_else(nobody)?;
            let (path, query) = uri.split_once('?').unwrap_or((&uri, ""));
            let parameters: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
            if parameters.iter().any(|(name, value)| name == "state" && value == state) {
                return Ok((path.to_owned(), parameters));
            }
        }
    }
}

async fn arrived(State(arrive): State<mpsc::UnboundedSender<String>>, uri: Uri) -> &'static str {
    let _ = arrive.send(uri.to_string());
    "It has arrived. You can close this page."
}

/// What is asked of a person, as it will be sent.
pub(super) struct Wish {
    pub(super) url: String,
    state: String,
    verifier: String,
    nonce: String,
    redirect: String,
}

impl Subject {
    /// What a well-behaved app asks for, with some of it changed (an empty value leaves it out).
    pub(super) async fn wish(&self, change: &[(&str, &str)]) -> Given<Wish> {
        let person = self.person()?;
        let endpoint = self.endpoint("authorization_endpoint").await?;
        let (state, nonce) = (number(), number());
        let verifier = BASE64URL.encode(random::<32>());
        let challenge = BASE64URL.encode(sha256(verifier.as_bytes()));
        let pairs = [
            ("response_type", "code"),
            ("client_id", &person.app),
            ("redirect_uri", &person.redirect),
            ("scope", &person.scope),
            ("state", &state),
            ("nonce", &nonce),
            ("aud", &self.base),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let pairs = changed(&pairs, change);
        let redirect = pairs.iter().find(|(name, _)| *name == "redirect_uri").map_or("", |(_, value)| value).to_owned();
        let separator = if endpoint.contains('?') { '&' } else { '?' };
        let url = format!("{endpoint}{separator}{}", form(&pairs));
        Ok(Wish { url, state, verifier, nonce, redirect })
    }

    /// Has a person decide; who comes back, with a code or without.
    pub(super) async fn decided(&self, wish: Wish) -> Given<Arrived> {
        let (path, parameters) = self.person()?.opened(&wish.url, &wish.state).await?;
        let at = Url::read(&wish.redirect)?.path;
        let at = at.split('?').next().unwrap_or_default();
        if path != at {
            return Err(failed(format!("the browser came to {path} and not to {at}")));
        }
        Ok(Arrived { redirect: wish.redirect, parameters, verifier: wish.verifier, nonce: wish.nonce })
    }

    /// Has a person allow what is asked.
    pub(super) async fn allowed(&self, change: &[(&str, &str)]) -> Given<Arrived> {
        let arrived = self.decided(self.wish(change).await?).await?;
        arrived.code()?;
        Ok(arrived)
    }

    /// A request of the app to the token address, by what it proves.
    pub(super) fn app_asks(&self, endpoint: String, pairs: &[(&str, &str)]) -> Given<Ask<'_>> {
        let person = self.person()?;
        Ok(match &person.secret {
            Some(secret) => {
                let basic = BASE64.encode(format!("{}:{secret}", person.app));
                self.web.post_form(endpoint, pairs).header("authorization", format!("Basic {basic}"))
            }
            None => {
                let own = if pairs.iter().any(|(name, _)| *name == "client_id") {
                    vec![]
                } else {
                    vec![("client_id", &*person.app)]
                };
                self.web.post_form(endpoint, &[pairs, &own].concat())
            }
        })
    }

    /// Exchanges a code, with some of it changed.
    pub(super) async fn exchange(&self, arrived: &Arrived, change: &[(&str, &str)]) -> Given<Answer> {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", arrived.code()?),
            ("redirect_uri", &arrived.redirect),
            ("code_verifier", &arrived.verifier),
        ];
        let endpoint = self.endpoint("token_endpoint").await?;
        Ok(self.app_asks(endpoint, &changed(&pairs, change))?.send().await?)
    }

    /// A sign-in of its own, for what ends with the case.
    pub(super) async fn launch(&self, change: &[(&str, &str)]) -> Given<Launched> {
        let arrived = self.allowed(change).await?;
        let answer = self.exchange(&arrived, &[]).await?;
        let given = answer.json();
        if !answer.status.is_success() || given.get("access_token").is_none() {
            return Err(failed(answer.to_string()));
        }
        Ok(Launched { arrived, answer, given })
    }

    /// The sign-in that cases share.
    pub(super) async fn launched(&self) -> Given<&Launched> {
        self.shared.launched.get_or_init(|| self.launch(&[])).await.as_ref().map_err(Clone::clone)
    }

    /// The sign-in of an app that was opened by other software.
    pub(super) async fn opened(&self) -> Given<&Launched> {
        let launch = self.person()?.launch.as_deref().ok_or_else(|| skipped("needs --launch"))?;
        let change = [("launch", launch), ("scope", "launch openid fhirUser patient/*.rs")];
        self.shared.opened.get_or_init(|| self.launch(&change)).await.as_ref().map_err(Clone::clone)
    }

    pub(super) async fn refresh(&self, token: &str, more: &[(&str, &str)]) -> Given<Answer> {
        let pairs = [&[("grant_type", "refresh_token"), ("refresh_token", token)], more].concat();
        let endpoint = self.endpoint("token_endpoint").await?;
        Ok(self.app_asks(endpoint, &pairs)?.send().await?)
    }

    /// What is wrong with a wish has to keep it from a code: it is refused at once, or in the end.
    pub(super) async fn wish_refused(&self, change: &[(&str, &str)]) -> Told {
        let person = self.person()?;
        let wish = self.wish(change).await?;
        let answer = self.web.get(&wish.url).send().await?;
        if answer.status.is_client_error() {
            return Ok(());
        }
        if let Some(parameters) = answer.sent_to(&person.redirect) {
            let has = |name: &str| parameters.iter().any(|(one, _)| one == name);
            return ensure(has("error") && !has("code"), format!("the browser was sent back with {parameters:?}"));
        }
        let sent = answer.header("location");
        let elsewhere = wish.redirect != person.redirect && !wish.redirect.is_empty();
        ensure(!(elsewhere && sent.starts_with(&wish.redirect)), format!("the browser was sent to {sent}"))?;
        // It may say so only to who has signed in.
        let arrived = self.decided(wish).await?;
        ensure(arrived.parameter("code").is_none(), "a code was given")
    }
}

impl From<std::io::Error> for super::case::Unfit {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
