//! People who sign in at an OpenID provider.

mod negative;
mod shared;

use crate::fixture::{House, PUBLIC, on_server};
use crate::key_sets::{certified, openssl};
use crate::people::{App, Browser, Page, SCOPES, query, token};
use crate::smart::Ward;
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use medlock_clinical::SignInConfig;
use medlock_clinical::auth::Unknown;
use medlock_clinical::jose::{Key, signing_input};
use medlock_clinical::store::Place;
use medlock_node::clock::Clock;
use medlock_node::outbound::OutboundConfig;
use medlock_node::provider::{WebAlgorithm, WebKey};
use medlock_testkit::peers::{npm, venv};
use medlock_testkit::{Child, free_port};
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SECRET: &str = "a secret: with & and +";

/// A program that listens at `localhost`.
struct Provider {
    folder: TempDir,
    port: u16,
    server: Option<Child>,
}

impl Provider {
    fn new() -> Self {
        Self { folder: certified(), port: free_port(), server: None }
    }

    /// Starts it, with its folder and the last argument, the port.
    fn start(&mut self, command: &mut Command) {
        // The one before gives its port back first.
        self.server = None;
        self.server = Some(self.at(command, self.port));
    }

    fn at(&self, command: &mut Command, port: u16) -> Child {
        command.arg(port.to_string()).current_dir(self.folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Child::start(command).expect("the provider starts");
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(30), "the provider does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    /// The real one, with these keys of its own.
    fn start_real(&mut self, client: &Value, keys: &[(&str, &str)]) {
        let at = self.folder.path();
        for (file, algorithm) in keys.iter().filter(|(file, _)| !at.join(file).exists()) {
            let sort = if *algorithm == "RS256" { "RSA" } else { "EC -pkeyopt ec_paramgen_curve:P-256" };
            openssl(at, &format!("genpkey -algorithm {sort} -out {file}"));
        }
        let keys: Vec<Value> = keys.iter().map(|(file, alg)| json!({ "file": file, "alg": alg })).collect();
        let mut whole = json!({
            "client_id": "medlock", "redirect_uris": [format!("{PUBLIC}/auth/upstream/answer")],
            "response_types": ["code"], "grant_types": ["authorization_code"],
        });
        whole.as_object_mut().expect("an object").extend(client.as_object().cloned().expect("an object"));
        std::fs::write(at.join("provider.json"), json!({ "client": whole, "keys": keys }).to_string())
            .expect("written");
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/upstream/provider.mjs");
        self.start(Command::new("node").arg(script).arg(npm()));
    }

    fn issuer(&self) -> String {
        format!("https://localhost:{}", self.port)
    }

    /// A house whose people sign in there.
    fn house(&self, change: impl FnOnce(&mut SignInConfig)) -> House {
        self.house_at(None, change)
    }

    fn house_at(&self, place: Option<Place>, change: impl FnOnce(&mut SignInConfig)) -> House {
        std::fs::write(self.folder.path().join("secret"), format!("{SECRET}\n")).expect("written");
        let mut sign_in = SignInConfig {
            issuer: self.issuer(),
            name: "Hospital login".to_owned(),
            client_id: "medlock".to_owned(),
            secret_file: Some(self.folder.path().join("secret")),
            key_file: None,
            claim: "sub".to_owned(),
            unknown: Unknown::Refuse,
            hosts: Vec::new(),
        };
        change(&mut sign_in);
        House::with(place, |config| {
            let networks = ["127.0.0.0/8", "::1"].map(str::to_owned).to_vec();
            let ca = Some(self.folder.path().join("ca.pem"));
            config.outbound = OutboundConfig { networks, ca, ..OutboundConfig::default() };
            config.sign_in = Some(sign_in);
        })
    }
}

/// The browser at the provider, with cookies of its own.
struct Visitor<'p> {
    provider: &'p Path,
    jar: TempDir,
    /// How often it was asked who it is.
    asked: usize,
}

impl<'p> Visitor<'p> {
    fn new(provider: &'p Provider) -> Self {
        Self { provider: provider.folder.path(), jar: tempfile::tempdir().expect("a folder"), asked: 0 }
    }

    /// Where a request leads, and what it shows.
    fn curl(&self, address: &str, form: Option<&str>) -> (String, String) {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--max-time",
            "20",
            "-b",
            "jar",
            "-c",
            "jar",
            "-o",
            "page",
            "-w",
            "%{redirect_url}",
            "--cacert",
        ]);
        curl.arg(self.provider.join("ca.pem")).current_dir(self.jar.path());
        if let Some(form) = form {
            curl.args(["-d", form]);
        }
        let output = curl.arg(address).output().expect("curl is missing; `cargo xtask peers` installs it");
        assert!(output.status.success(), "{address}: {output:?}");
        let page = std::fs::read(self.jar.path().join("page")).unwrap_or_default();
        (String::from_utf8(output.stdout).expect("text"), String::from_utf8_lossy(&page).into_owned())
    }

    /// Goes where our page sends it, is whoever the provider asks for, agrees, and comes back to this path of ours.
    fn sign_in(&mut self, address: &str, name: &str) -> String {
        let (mut address, mut form) = (address.to_owned(), None);
        for _ in 0..20 {
            let (next, page) = self.curl(&address, form.as_deref());
            if let Some(path) = next.strip_prefix(PUBLIC) {
                return path.to_owned();
            }
            form = None;
            if next.is_empty() {
                let (_, rest) = page.split_once("action=\"").unwrap_or_else(|| panic!("{address}: {page}"));
                address = rest.split('"').next().expect("an address").to_owned();
                form = Some(if let Some((_, rest)) = page.split_once("name=\"xsrf\" value=\"") {
                    // Another than before: who was signed in is signed out.
                    format!("logout=yes&xsrf={}", rest.split('"').next().expect("a value"))
                } else if page.contains("value=\"login\"") {
                    self.asked += 1;
                    format!("prompt=login&login={name}&password=any")
                } else {
                    "prompt=consent".to_owned()
                });
            } else {
                address = next;
            }
        }
        panic!("the provider leads nowhere");
    }
}

/// The page on which one signs in sends the browser there.
async fn begin(browser: &mut Browser<'_>, query: &str) -> Page {
    let page = browser.authorize(query).await;
    assert!(page.text.contains(">Sign in with Hospital login</a>"), "{page:?}");
    begin_at(browser, &page).await
}

async fn begin_at(browser: &mut Browser<'_>, page: &Page) -> Page {
    let (_, rest) = page.text.split_once("href=\"/auth/upstream?").expect("a link");
    browser.get(&format!("/auth/upstream?{}", rest.split('"').next().expect("an address"))).await
}

/// Whom nobody knows here, the provider asks anew who they are.
async fn come_afresh(
    house: &House,
    browser: &mut Browser<'_>,
    visitor: &mut Visitor<'_>,
    answer: &str,
    name: &str,
) -> Page {
    catch_up(house);
    let sent = browser.get(answer).await;
    assert_eq!((parameter(&sent, "prompt"), parameter(&sent, "max_age")), ("login".to_owned(), "0".to_owned()));
    let before = visitor.asked;
    let answer = visitor.sign_in(sent.header("location"), name);
    assert_eq!(visitor.asked, before + 1, "the provider asks anew");
    catch_up(house);
    browser.get(&answer).await
}

/// What the page on which an account is linked brings back.
async fn say(browser: &mut Browser<'_>, page: &Page, code: &str, more: &[(&str, &str)]) -> Page {
    let ticket = page.hidden("ticket");
    let pairs = [&[("ticket", &*ticket), ("name", "anna"), ("code", code)], more].concat();
    browser.post("/auth/upstream/link", &pairs).await
}

/// What it is sent there with.
fn parameter(sent: &Page, name: &str) -> String {
    assert_eq!(sent.status, StatusCode::SEE_OTHER, "{sent:?}");
    let (_, query) = sent.header("location").split_once('?').expect("parameters");
    let mut pairs = form_urlencoded::parse(query.as_bytes());
    pairs.find(|(one, _)| one == name).unwrap_or_else(|| panic!("{name}: {sent:?}")).1.into_owned()
}

/// The site's clock stands; that of a provider does not.
fn catch_up(house: &House) {
    house.site.clock.advance(Clock::system().now().unix() - house.site.clock.now().unix());
}

async fn link(house: &House, subject: &str) {
    let told = house.administer(json!({ "verb": "link-account", "name": "anna", "subject": subject })).await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
}

/// What is asked, once one is signed in.
async fn asked(browser: &mut Browser<'_>, answered: &Page) -> Page {
    assert_eq!(answered.status, StatusCode::SEE_OTHER, "{answered:?}");
    let page = browser.get(answered.ours()).await;
    assert!(page.text.contains("You are signed in as <strong>anna</strong>"), "{page:?}");
    page
}

fn client() -> Value {
    json!({ "client_secret": SECRET })
}

/// Shows REQ-SMART-83, REQ-SMART-84: who signs in at the provider and has an account here is asked here what the app may, and the
/// app learns of our account; the sign-in is noted, counts once and for its browser, and makes no passkey.
#[tokio::test(flavor = "multi_thread")]
async fn people_sign_in_at_an_oidc_provider() {
    let mut provider = Provider::new();
    provider.start_real(&client(), &[("one", "RS256")]);
    let ward = Ward::at(provider.house(|_| {})).await;
    let house = &ward.house;
    link(house, "a-17").await;
    let app = house.app("public", json!({})).await;
    let (mut browser, mut visitor) = (Browser::new(house), Visitor::new(&provider));
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "a-17");
    catch_up(house);
    let mut other = Browser::new(house);
    other.authorize(&query(&app.id, &[])).await;
    let page = other.get(&answer).await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("another browser"), "{page:?}");
    let (before, answered) = (browser.cookie.clone(), browser.get(&answer).await);
    let page = asked(&mut browser, &answered).await;
    assert_ne!(browser.cookie, before, "a new name for the session");
    assert!(!page.text.contains("/auth/passkey/new"), "{page:?}");
    let code = browser.allow(&page, &[]).await.parameter("code");
    let given = app.exchange(house, &code, &[]).await;
    let claims = token(&given, "id_token");
    let claims = BASE64URL_NOPAD.decode(claims.split('.').nth(1).expect("claims").as_bytes()).expect("base64url");
    let claims: Value = serde_json::from_slice(&claims).expect("JSON");
    assert_eq!(claims["fhirUser"], format!("{PUBLIC}/fhir/Patient/{}", ward.anna));
    assert_ne!(claims["sub"], "a-17", "who it is to the app is ours to say");
    let access = token(&given, "access_token");
    assert_eq!(house.read(&access, &format!("Observation/{}", ward.reading)).await.status, StatusCode::OK);
    // It is noted, where she sees it.
    let noted = house.read(&access, "AuditEvent?action=E").await.resources();
    let event = noted.iter().find(|event| event["type"]["code"] == "110114");
    let event = event.unwrap_or_else(|| panic!("no sign-in: {noted:?}"));
    crate::provenance::assert_valid(event);
    assert_eq!(event["subtype"][0]["code"], "110122");
    let who = &event["agent"][2]["who"];
    assert_eq!(who["reference"], format!("Patient/{}", ward.anna));
    assert_eq!(who["identifier"], json!({ "system": provider.issuer(), "value": "a-17" }));
    let verified = house.administer(json!({ "verb": "verify-audit" })).await;
    assert!(verified.body["broken"].is_null(), "{verified:?}");
    // What came once does not come again, also with the cookie of then.
    browser.cookie = before;
    let page = browser.get(&answer).await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("done already"), "{page:?}");
    // Who is signed in there is not asked there again, unless the app wants it.
    assert_eq!(visitor.asked, 1);
    let mut again = Browser::new(house);
    let sent = begin(&mut again, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "a-17");
    let answered = again.get(&answer).await;
    asked(&mut again, &answered).await;
    assert_eq!(visitor.asked, 1);
    house.site.clock.advance(31);
    let sent = begin(&mut again, &query(&app.id, &[("prompt", "login")])).await;
    assert_eq!((parameter(&sent, "prompt"), parameter(&sent, "max_age")), ("login".to_owned(), "0".to_owned()));
    let answer = visitor.sign_in(sent.header("location"), "a-17");
    let answered = again.get(&answer).await;
    asked(&mut again, &answered).await;
    assert_eq!(visitor.asked, 2);
    // Who is nobody here is told so, and what to say.
    let (mut stranger, mut visitor) = (Browser::new(house), Visitor::new(&provider));
    let sent = begin(&mut stranger, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "b-9");
    let page = come_afresh(house, &mut stranger, &mut visitor, &answer, "b-9").await;
    assert!(page.status == StatusCode::FORBIDDEN && page.text.contains("<code>b-9</code>"), "{page:?}");
    assert!(page.text.contains("&lt;b&gt;b-9&lt;/b&gt;, b-9@ward.example"), "{page:?}");
    assert!(stranger.authorize(&query(&app.id, &[])).await.text.contains("Sign in with"));
    // An administrator sees who is who, and takes it back: what began by it has ended.
    let told = house.administer(json!({ "verb": "accounts" })).await;
    assert_eq!(told.body["accounts"][0]["signs_in_as"], "a-17");
    assert!(again.authorize(&query(&app.id, &[])).await.text.contains("You are signed in as"));
    house.administer(json!({ "verb": "unlink-account", "name": "anna" })).await;
    assert!(again.authorize(&query(&app.id, &[])).await.text.contains("Sign in with"));
}

/// Shows REQ-SMART-85, REQ-SMART-86: the hub proves itself by a key, keys of the provider change, and who is new says by a code who they
/// are, once.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_new_at_an_oidc_provider_says_it_by_a_code() {
    let mut provider = Provider::new();
    let key = provider.folder.path().join("hub.key");
    openssl(provider.folder.path(), "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out hub.key");
    let house = provider.house_at(Some(on_server()), |config| {
        (config.secret_file, config.key_file, config.unknown) = (None, Some(key), Unknown::Code);
    });
    let keys = house.people_json(http::Request::get("/auth/upstream/keys"), String::new()).await;
    assert!(keys.body["keys"][0]["d"].is_null() && keys.body["keys"][0]["alg"] == "ES256", "{keys:?}");
    let client = json!({
        "token_endpoint_auth_method": "private_key_jwt", "token_endpoint_auth_signing_alg": "ES256",
        "id_token_signed_response_alg": "ES256", "jwks": keys.body,
    });
    provider.start_real(&client, &[("one", "ES256"), ("rsa", "RS256")]);
    let ward = Ward::at(house).await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    let (mut browser, mut visitor) = (Browser::new(house), Visitor::new(&provider));
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "a-17");
    let page = come_afresh(house, &mut browser, &mut visitor, &answer, "a-17").await;
    assert!(page.status == StatusCode::OK && page.text.contains("Connect your account"), "{page:?}");
    let wrong = say(&mut browser, &page, "AAAA-AAAA-AAAA", &[]).await;
    assert!(wrong.status == StatusCode::FORBIDDEN && wrong.text.contains("do not fit"), "{wrong:?}");
    let pairs = [("ticket", &*wrong.hidden("ticket")), ("name", "anna"), ("code", &ward.code)];
    let elsewhere = browser.post_from("/auth/upstream/link", &pairs, Some("https://evil.example")).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST);
    let answered = say(&mut browser, &wrong, &ward.code, &[]).await;
    asked(&mut browser, &answered).await;
    // From now on without a code, also when the provider has other keys; its new key is looked for once a minute.
    provider.start_real(&client, &[("two", "ES256"), ("rsa", "RS256")]);
    house.site.clock.advance(60);
    let (mut browser, mut visitor) = (Browser::new(house), Visitor::new(&provider));
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    let answered = browser.get(&visitor.sign_in(sent.header("location"), "a-17")).await;
    asked(&mut browser, &answered).await;
    // Another person cannot be her too.
    let told = house
        .administer(json!({ "verb": "add-account", "name": "bert", "person": format!("Patient/{}", ward.bert) }))
        .await;
    assert_eq!(told.status, StatusCode::OK);
    let told = house.administer(json!({ "verb": "link-account", "name": "bert", "subject": "a-17" })).await;
    assert_eq!(told.status, StatusCode::CONFLICT, "{told:?}");
}

/// Shows REQ-SMART-87: while the provider is away, who has a code signs in here.
#[tokio::test(flavor = "multi_thread")]
async fn codes_work_while_the_oidc_provider_is_away() {
    let mut provider = Provider::new();
    let ward = Ward::at(provider.house(|_| {})).await;
    let house = &ward.house;
    link(house, "a-17").await;
    let app = house.app("public", json!({})).await;
    let mut browser = Browser::new(house);
    let page = begin(&mut browser, &query(&app.id, &[])).await;
    assert!(page.status == StatusCode::SERVICE_UNAVAILABLE && page.text.contains("does not answer now"), "{page:?}");
    let answered = browser.try_code(&page, ("anna", &ward.code)).await;
    asked(&mut browser, &answered).await;
    provider.start_real(&client(), &[("one", "RS256")]);
    house.site.clock.advance(10);
    let (mut browser, mut visitor) = (Browser::new(house), Visitor::new(&provider));
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    let answer = visitor.sign_in(sent.header("location"), "a-17");
    // It goes away once more, in the middle.
    provider.server = None;
    let page = browser.get(&answer).await;
    assert!(page.status == StatusCode::SERVICE_UNAVAILABLE && page.text.contains("does not answer now"), "{page:?}");
}
