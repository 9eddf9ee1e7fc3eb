//! People with browsers, and the software they use.

use crate::fixture::{Answer, House, PUBLIC, nobody};
use axum::body::Body;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{HeaderMap, Request, StatusCode};
use http_body_util::BodyExt as _;
use medlock_node::provider::sha256;
use medlock_trust::Role;
use serde_json::{Value, json};
use tower::ServiceExt as _;

/// Where the software of the tests waits for its codes.
pub(crate) const CALLBACK: &str = "http://127.0.0.1:4567/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const STATE: &str = "state-of-this-test";
pub(crate) const SCOPES: &str = "openid fhirUser launch/patient offline_access patient/*.rs";

/// What came back: HTML, JSON, or nothing.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The value of a hidden field.
    pub(crate) fn hidden(&self, name: &str) -> String {
        let (_, rest) = self.text.split_once(&format!("name=\"{name}\" value=\"")).expect("the field");
        rest.split('"').next().expect("its value").to_owned()
    }

    /// The parameters of the address to which the browser is sent.
    pub(crate) fn sent(&self) -> Vec<(String, String)> {
        let (address, query) = self.header("location").split_once('?').expect("parameters");
        assert_eq!(address, CALLBACK, "{self:?}");
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }

    /// Where on this server the browser is sent.
    pub(crate) fn ours(&self) -> &str {
        self.header("location").strip_prefix(PUBLIC).expect("our own")
    }

    pub(crate) fn parameter(&self, name: &str) -> String {
        self.sent().into_iter().find(|(one, _)| one == name).unwrap_or_else(|| panic!("{name}: {self:?}")).1
    }
}

pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// The challenge of [`VERIFIER`].
pub(crate) fn challenge() -> String {
    BASE64URL_NOPAD.encode(&sha256(VERIFIER.as_bytes()))
}

/// What a well-behaved piece of software asks with; `change` some of it (an empty value leaves it out).
pub(crate) fn query(client: &str, change: &[(&str, &str)]) -> String {
    let (audience, challenge) = (format!("{PUBLIC}/fhir"), challenge());
    let mut pairs = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", CALLBACK),
        ("scope", SCOPES),
        ("state", STATE),
        ("aud", &audience),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
        ("nonce", "nonce-1"),
    ];
    for (name, value) in change {
        pairs.retain(|(one, _)| one != name);
        if !value.is_empty() {
            pairs.push((name, value));
        }
    }
    form(&pairs)
}

/// A browser with its one cookie.
pub(crate) struct Browser<'h> {
    house: &'h House,
    pub(crate) cookie: Option<String>,
}

impl<'h> Browser<'h> {
    pub(crate) const fn new(house: &'h House) -> Self {
        Self { house, cookie: None }
    }

    async fn send(&mut self, request: http::request::Builder, body: String) -> Page {
        let request = match &self.cookie {
            Some(cookie) => request.header("cookie", format!("other=1; {cookie}")),
            None => request,
        };
        let mut request = request.body(Body::from(body)).expect("a request");
        request.extensions_mut().insert(nobody());
        let (head, body) = self.house.people.clone().oneshot(request).await.expect("an answer").into_parts();
        let text = String::from_utf8(body.collect().await.expect("a body").to_bytes().to_vec()).expect("text");
        let page = Page { status: head.status, headers: head.headers, text };
        if let Some(cookie) = page.headers.get("set-cookie") {
            let cookie = cookie.to_str().expect("text");
            assert!(cookie.starts_with("__Host-medlock=") && cookie.contains("; HttpOnly; SameSite=Lax;"), "{cookie}");
            assert!(cookie.ends_with("; Secure"), "{cookie}");
            self.cookie = cookie.split(';').next().map(str::to_owned);
        }
        page
    }

    pub(crate) async fn ask(&mut self, request: http::request::Builder) -> Page {
        self.send(request, String::new()).await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send(Request::get(path), String::new()).await
    }

    pub(crate) async fn authorize(&mut self, query: &str) -> Page {
        self.get(&format!("/auth/authorize?{query}")).await
    }

    /// Sends a form of ours, as browsers do.
    pub(crate) async fn post(&mut self, path: &str, pairs: &[(&str, &str)]) -> Page {
        self.post_from(path, pairs, Some(PUBLIC)).await
    }

    pub(crate) async fn post_from(&mut self, path: &str, pairs: &[(&str, &str)], origin: Option<&str>) -> Page {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let request = match origin {
            Some(origin) => request.header("origin", origin),
            None => request,
        };
        self.send(request, form(pairs)).await
    }

    /// Signs in, and comes to what is asked.
    pub(crate) async fn sign_in(&mut self, query: &str, (name, code): (&str, &str)) -> Page {
        let page = self.authorize(query).await;
        assert!(page.text.contains("Sign in"), "{page:?}");
        let sent = self.try_code(&page, (name, code)).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{sent:?}");
        self.get(sent.ours()).await
    }

    /// Sends name and code on the page to sign in.
    pub(crate) async fn try_code(&mut self, page: &Page, (name, code): (&str, &str)) -> Page {
        self.post("/auth/login", &[("ticket", &page.hidden("ticket")), ("name", name), ("code", code)]).await
    }

    /// Allows all that is asked on this page, with these further fields.
    pub(crate) async fn allow(&mut self, page: &Page, more: &[(&str, &str)]) -> Page {
        let ticket = page.hidden("ticket");
        let scopes: Vec<&str> = page.text.split("name=\"scope\" value=\"").skip(1).collect();
        let scopes: Vec<&str> = scopes.iter().map(|rest| rest.split('"').next().expect("a value")).collect();
        let mut pairs = vec![("ticket", ticket.as_str()), ("decision", "allow")];
        pairs.extend(scopes.iter().map(|scope| ("scope", *scope)));
        pairs.extend(more);
        self.post("/auth/consent", &pairs).await
    }
}

/// Somebody's token at the people's door.
pub(crate) struct Person<'h> {
    pub(crate) house: &'h House,
    pub(crate) token: String,
}

impl Person<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.house.read(&self.token, path).await
    }

    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(format!("/fhir/{path}"));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let request = request.header("content-type", "application/fhir+json");
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        self.house.people_json(request, if body.is_null() { String::new() } else { body.to_string() }).await
    }

    pub(crate) async fn create(&self, resource: &Value) -> Answer {
        self.send("POST", resource["resourceType"].as_str().expect("a kind"), &[], resource).await
    }
}

/// Software that is registered.
#[derive(Clone, Debug)]
pub(crate) struct App {
    pub(crate) id: String,
    pub(crate) secret: Option<String>,
}

impl House {
    /// Asks as an administrator.
    pub(crate) async fn administer(&self, asked: Value) -> Answer {
        let request = Request::post("/v1/clinical").header("content-type", "application/json");
        self.people_json(request, asked.to_string()).await
    }

    /// A request at the people's door that is answered with JSON.
    pub(crate) async fn people_json(&self, request: http::request::Builder, body: String) -> Answer {
        let mut request = request.body(Body::from(body)).expect("a request");
        request.extensions_mut().insert(nobody());
        let (head, body) = self.people.clone().oneshot(request).await.expect("an answer").into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).expect("JSON") };
        Answer { status: head.status, headers: head.headers, body }
    }

    /// Registers software.
    pub(crate) async fn app(&self, sort: &str, more: Value) -> App {
        let mut asked = json!({ "verb": "add-client", "name": "Sugar & Co", "sort": sort, "redirects": [CALLBACK], "scopes": SCOPES });
        asked.as_object_mut().expect("an object").extend(more.as_object().cloned().unwrap_or_default());
        let told = self.administer(asked).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        let text = |value: &Value| value.as_str().map(str::to_owned);
        App { id: text(&told.body["client"]["id"]).expect("an identifier"), secret: text(&told.body["secret"]) }
    }

    /// Makes an account; its setup code.
    pub(crate) async fn account(&self, name: &str, person: &str) -> String {
        let told = self.administer(json!({ "verb": "add-account", "name": name, "person": person })).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        told.body["code"].as_str().expect("a code").to_owned()
    }

    /// Another setup code of an account.
    pub(crate) async fn code(&self, name: &str) -> String {
        let told = self.administer(json!({ "verb": "code", "name": name })).await;
        told.body["code"].as_str().expect("a code").to_owned()
    }

    /// A Practitioner with the account `doe`: which resource that is, and its setup code.
    pub(crate) async fn doctor(&self) -> (String, String) {
        let gateway = self.device("gw-staff", Role::Gateway).with("system/Practitioner.c").await;
        let doctor = json!({ "resourceType": "Practitioner", "name": [{ "family": "Doe" }] });
        let doctor = format!("Practitioner/{}", gateway.create(&doctor).await.made());
        let code = self.account("doe", &doctor).await;
        (doctor, code)
    }

    /// Reads with a token.
    pub(crate) async fn read(&self, token: &str, path: &str) -> Answer {
        let request = Request::get(format!("/fhir/{path}")).header("authorization", format!("Bearer {token}"));
        self.people_json(request, String::new()).await
    }

    pub(crate) async fn post_form(&self, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        self.people_json(request, form(pairs)).await
    }
}

impl App {
    /// Asks at an address of the authorization server, proving what it can.
    pub(crate) async fn ask(&self, house: &House, path: &str, pairs: &[(&str, &str)]) -> Answer {
        let request = Request::post(path).header("content-type", "application/x-www-form-urlencoded");
        let mut pairs = pairs.to_vec();
        let request = match &self.secret {
            Some(secret) => request.header(
                "authorization",
                format!("Basic {}", BASE64.encode(format!("{}:{secret}", self.id).as_bytes())),
            ),
            None => {
                pairs.push(("client_id", &self.id));
                request
            }
        };
        house.people_json(request, form(&pairs)).await
    }

    /// Exchanges a code; `change` some of what is sent with it (an empty value leaves it out).
    pub(crate) async fn exchange(&self, house: &House, code: &str, change: &[(&str, &str)]) -> Answer {
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        for (name, value) in change {
            pairs.retain(|(one, _)| one != name);
            if !value.is_empty() {
                pairs.push((name, value));
            }
        }
        self.ask(house, "/auth/token", &pairs).await
    }

    pub(crate) async fn refresh(&self, house: &House, token: &str, more: &[(&str, &str)]) -> Answer {
        let pairs = [&[("grant_type", "refresh_token"), ("refresh_token", token)], more].concat();
        self.ask(house, "/auth/token", &pairs).await
    }
}

/// A token of what was answered.
pub(crate) fn token(answer: &Answer, name: &str) -> String {
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    answer.body[name].as_str().unwrap_or_else(|| panic!("{name}: {answer:?}")).to_owned()
}
