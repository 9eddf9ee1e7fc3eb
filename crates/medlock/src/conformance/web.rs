//! Requests to any server, over TLS or plain HTTP, and their answers.

use crate::Failure;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use medlock_node::http::{Client, Limits};
use medlock_node::identity::Identity;
use medlock_node::ordinary::Ordinary;
use serde_json::Value;
use std::fmt;
use std::path::Path;
use std::time::{Duration, Instant};

/// How long an answer may take.
const LIMITS: Limits =
    Limits { connect: Duration::from_secs(10), request: Duration::from_secs(30), body_bytes: 16 << 20 };

/// How often a request is made that is put off.
const PATIENCE: u32 = 8;

/// `http[s]://HOST[:PORT][/PATH]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether it is over TLS.
    pub(super) secure: bool,
    /// Its host without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query, with its first slash.
    pub(super) path: String,
}

impl Url {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is of another form.
    pub(super) fn read(text: &str) -> Result<Self, Failure> {
        let wrong = || format!("{text:?} is no address: write http://HOST[:PORT]/PATH or https://HOST[:PORT]/PATH");
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong().into()),
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| wrong())?),
            _ => (authority, if secure { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if host.is_empty() || host.contains(['@', ' ', '\\']) || text.contains(char::is_control) {
            return Err(wrong().into());
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        Ok(Self { secure, host, port, path })
    }

    /// Host and port, as they are called.
    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// Whether nothing of it leaves this machine.
    pub(super) fn is_here(&self) -> bool {
        self.host == "localhost" || self.host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

/// Parameters as a form or query.
pub(super) fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Some of the pairs changed; an empty value leaves one out.
pub(super) fn changed<'a>(pairs: &[(&'a str, &'a str)], change: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut pairs = pairs.to_vec();
    for (name, value) in change {
        pairs.retain(|(one, _)| one != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    pairs
}

/// Whom we believe, and what we show.
#[derive(Clone, Debug, Default)]
pub(super) struct Web {
    /// `None`: nothing is called over TLS.
    tls: Option<Ordinary>,
}

impl Web {
    /// Believes the authorities in a file, or those of the system; shows this certificate, if there is one.
    ///
    /// # Errors
    /// When one cannot be used.
    pub(super) fn new(ca: Option<&Path>, shown: Option<&Identity>) -> Result<Self, Failure> {
        let tls = match (ca, shown) {
            (Some(file), _) => Some(Ordinary::from_pem_file(file)?),
            // A server over plain HTTP needs no authorities.
            (None, None) => Ordinary::of_system().ok(),
            (None, Some(_)) => Some(Ordinary::of_system()?),
        };
        Ok(Self {
            tls: match (tls, shown) {
                (Some(tls), Some(identity)) => Some(tls.showing(identity)?),
                (tls, _) => tls,
            },
        })
    }

    /// A request to this address.
    pub(super) fn ask(&self, method: Method, url: impl Into<String>) -> Ask<'_> {
        Ask { web: self, method, url: url.into(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(super) fn get(&self, url: impl Into<String>) -> Ask<'_> {
        self.ask(Method::GET, url)
    }

    /// A form is sent.
    pub(super) fn post_form(&self, url: impl Into<String>, pairs: &[(&str, &str)]) -> Ask<'_> {
        self.ask(Method::POST, url).of("application/x-www-form-urlencoded", form(pairs))
    }
}

/// A request that is being made.
#[derive(Clone)]
pub(super) struct Ask<'w> {
    web: &'w Web,
    method: Method,
    url: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask<'_> {
    pub(super) fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// With a token.
    pub(super) fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION.as_str(), format!("Bearer {token}"))
    }

    /// With a body of this type.
    pub(super) fn of(mut self, content_type: &str, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.header(CONTENT_TYPE.as_str(), content_type)
    }

    /// With a body, of whatever type its header says.
    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// With a resource.
    pub(super) fn resource(self, resource: &Value) -> Self {
        self.of("application/fhir+json", resource.to_string())
    }

    /// Sends it. Nobody follows where an answer leads. Who is told to come later (429) does so.
    ///
    /// # Errors
    /// When there is no answer, or the request cannot be sent.
    pub(super) async fn send(self) -> Result<Answer, Failure> {
        let url = Url::read(&self.url)?;
        let client = match (&self.web.tls, url.secure) {
            (_, false) => Client::plain(url.authority()),
            (Some(tls), true) => {
                let places = tokio::net::lookup_host((url.host.as_str(), url.port)).await;
                let places = places.map_err(|error| format!("{}: {error}", url.host))?.collect();
                Client::ordinary(url.authority(), url.host.clone(), tls.clone(), places)
            }
            (None, true) => return Err("which authorities are believed is not known: name them with --ca FILE".into()),
        };
        let client = client.with_limits(LIMITS);
        let mut tries = 0;
        loop {
            let began = Instant::now();
            let (head, body) = client.send(self.request(&url)?).await?.into_parts();
            let to = format!("{} {}", self.method, self.url.chars().take(200).collect::<String>());
            let answer = Answer { to, status: head.status, headers: head.headers, body, took: began.elapsed() };
            tries += 1;
            if answer.status != StatusCode::TOO_MANY_REQUESTS || tries > PATIENCE {
                return Ok(answer);
            }
            let seconds = answer.header(RETRY_AFTER.as_str()).parse().unwrap_or(1);
            tokio::time::sleep(Duration::from_secs(u64::clamp(seconds, 1, 30))).await;
        }
    }

    fn request(&self, url: &Url) -> Result<Request<Bytes>, Failure> {
        let mut request = Request::builder().method(self.method.clone()).uri(url.path.as_str());
        if !self.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case(ACCEPT.as_str())) {
            request = request.header(ACCEPT, "application/fhir+json, application/json;q=0.9, */*;q=0.1");
        }
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        Ok(request.body(self.body.clone())?)
    }
}

/// What a server answered.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    /// What was asked, for messages.
    pub(super) to: String,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// How long it took.
    pub(super) took: Duration,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null if it is none.
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A text of the body.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        Some(self.json().get(name)?.as_str()?.to_owned())
    }

    /// The parameters of the address to which a browser is sent, if that begins with `redirect`.
    pub(super) fn sent_to(&self, redirect: &str) -> Option<Vec<(String, String)>> {
        let rest = self.header(LOCATION.as_str()).strip_prefix(redirect)?;
        let query = rest.strip_prefix(['?', '&'])?;
        Some(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body: String = String::from_utf8_lossy(&self.body).chars().take(160).collect();
        let body = body.split_whitespace().collect::<Vec<_>>().join(" ");
        // A server moves no cursor of who asks it.
        let body = body.replace(char::is_control, "\u{fffd}");
        write!(f, "{} was answered {} {body}", self.to, self.status.as_u16())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let read = |text: &str| Url::read(text).map(|url| (url.secure, url.authority(), url.path)).ok();
        assert_eq!(read("https://a.example/fhir"), Some((true, "a.example:443".into(), "/fhir".into())));
        assert_eq!(read("http://[::1]:8080?x=1"), Some((false, "[::1]:8080".into(), "/?x=1".into())));
        for wrong in ["", "a.example", "https://", "https://u@a.example/", "http://a.example:x/", "ftp://a.example/"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
        // What would be opened by a program, and is no address.
        for wrong in ["--gpu-launcher=/bin/sh", "file:///etc/passwd", "https://a.example/\u{1b}[2J"] {
            assert_eq!(read(wrong), None, "{wrong:?}");
        }
    }
}
