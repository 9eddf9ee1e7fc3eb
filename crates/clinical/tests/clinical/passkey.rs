//! People who sign in with a passkey.

use crate::fixture::{House, PUBLIC};
use crate::people::{App, Browser, Page, query};
use crate::smart::Ward;
use data_encoding::BASE64URL_NOPAD;
use http::StatusCode;
use medlock_node::provider::{SigningKey, sha256};
use medlock_trust::Role;
use minicbor::Encoder;
use serde_json::json;

/// The host of [`PUBLIC`].
const RP: &str = "fhir.example";
/// A person was there and was recognised; a key was made.
const SEEN: u8 = 0b101;
const MADE: u8 = 0b100_0000;

/// What stands in the form of passkeys on a page.
struct Form {
    ticket: String,
    challenge: String,
}

impl Form {
    /// That with this identifier.
    fn of(page: &Page, id: &str) -> Self {
        let (_, rest) = page.text.split_once(&format!("id=\"{id}\"")).unwrap_or_else(|| panic!("{id}: {page:?}"));
        let value = |name: &str| {
            let (_, rest) = rest.split_once(&format!("{name}=\"")).expect(name);
            rest.split('"').next().expect("a value").to_owned()
        };
        assert_eq!(value("data-rp"), RP);
        Self { ticket: value("name=\"ticket\" value"), challenge: value("data-challenge") }
    }

    fn client_data(&self, kind: &str, origin: &str) -> String {
        json!({ "type": kind, "challenge": self.challenge, "origin": origin, "crossOrigin": false }).to_string()
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

/// An authenticator with one passkey.
struct Authenticator {
    key: SigningKey,
    id: [u8; 16],
    counter: u32,
}

impl Authenticator {
    fn new() -> Self {
        Self { key: SigningKey::generate(), id: medlock_node::provider::random(), counter: 0 }
    }

    fn data(&self, flags: u8, credential: &[u8]) -> Vec<u8> {
        [&sha256(RP.as_bytes())[..], &[flags], &self.counter.to_be_bytes(), credential].concat()
    }

    fn attestation(&self) -> Vec<u8> {
        let bits = self.key.public_key().bits;
        let mut key = Encoder::new(Vec::new());
        key.map(5).expect("written").i8(1).expect("kty").i8(2).expect("EC2").i8(3).expect("alg").i8(-7).expect("ES256");
        key.i8(-1).expect("crv").i8(1).expect("P-256").i8(-2).expect("x").bytes(&bits[1..33]).expect("x");
        key.i8(-3).expect("y").bytes(&bits[33..]).expect("y");
        let length = u16::try_from(self.id.len()).expect("short").to_be_bytes();
        let credential = [&[0; 16][..], &length, &self.id, &key.into_writer()].concat();
        let data = self.data(SEEN | MADE, &credential);
        let mut object = Encoder::new(Vec::new());
        object.map(3).expect("written").str("fmt").expect("fmt").str("none").expect("none");
        object.str("attStmt").expect("attStmt").map(0).expect("none").str("authData").expect("authData");
        object.bytes(&data).expect("data");
        object.into_writer()
    }

    async fn make(&self, browser: &mut Browser<'_>, page: &Page) -> Page {
        let form = Form::of(page, "new-passkey");
        let client_data = form.client_data("webauthn.create", PUBLIC);
        let (client_data, attestation) = (encoded(client_data.as_bytes()), encoded(&self.attestation()));
        let pairs = [("ticket", &*form.ticket), ("client_data", &client_data), ("attestation", &attestation)];
        browser.post("/auth/passkey/new", &pairs).await
    }

    /// The fields with which it answers a page.
    fn answer(&self, form: &Form, origin: &str) -> Vec<(&'static str, String)> {
        let client_data = form.client_data("webauthn.get", origin);
        let data = self.data(SEEN, &[]);
        let signature = self.key.sign_x509(&[&data, sha256(client_data.as_bytes()).as_slice()]);
        vec![
            ("ticket", form.ticket.clone()),
            ("credential", encoded(&self.id)),
            ("client_data", encoded(client_data.as_bytes())),
            ("authenticator_data", encoded(&data)),
            ("signature", encoded(&signature)),
        ]
    }

    async fn sign_in(&self, browser: &mut Browser<'_>, question: &str) -> Page {
        let page = browser.authorize(question).await;
        send(browser, &self.answer(&Form::of(&page, "passkey"), PUBLIC)).await
    }
}

async fn send(browser: &mut Browser<'_>, pairs: &[(&'static str, String)]) -> Page {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.post("/auth/passkey", &pairs).await
}

fn refused(name: &str, page: &Page) {
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{name}: {page:?}");
    assert!(page.text.contains("This passkey is not known here"), "{name}: {page:?}");
}

/// Anna, who has signed in with a code and made a passkey; what her app asks.
async fn with_passkey(house: &House, code: &str, app: &App, key: &Authenticator) -> String {
    let question = query(&app.id, &[]);
    let mut browser = Browser::new(house);
    let page = browser.sign_in(&question, ("anna", code)).await;
    assert!(page.text.contains("Make a passkey"), "{page:?}");
    let made = key.make(&mut browser, &page).await;
    assert_eq!(made.status, StatusCode::SEE_OTHER, "{made:?}");
    // It is said, and not offered again.
    let page = browser.get(made.ours()).await;
    assert!(page.text.contains("Your passkey is made") && !page.text.contains("Make a passkey"), "{page:?}");
    question
}

/// Shows REQ-SMART-71: who has signed in with a code makes a passkey, and signs in with it from then on; REQ-SMART-208: that it was made
/// is said, it is not offered again, and the list of accounts has it; REQ-AUDIT-31: the audit says who came with it; REQ-SMART-207: whose
/// Patient is deleted does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_passkey_takes_the_place_of_codes() {
    for house in House::both() {
        let ward = Ward::at(house).await;
        let (house, app) = (&ward.house, ward.house.app("public", json!({})).await);
        let mut key = Authenticator::new();
        let question = with_passkey(house, &ward.code, &app, &key).await;
        for counter in [1, 2] {
            key.counter = counter;
            let mut browser = Browser::new(house);
            let sent = key.sign_in(&mut browser, &question).await;
            assert_eq!(sent.status, StatusCode::SEE_OTHER, "{sent:?}");
            let page = browser.get(sent.ours()).await;
            assert!(!page.text.contains("asskey"), "who has signed in with one needs no other: {page:?}");
            let code = browser.allow(&page, &[]).await.parameter("code");
            let given = app.exchange(house, &code, &[]).await;
            assert_eq!(given.body["patient"].as_str(), Some(&*ward.anna));
        }
        let told = house.administer(json!({ "verb": "accounts" })).await;
        assert_eq!(told.body["accounts"][0]["passkeys"], 1, "{told:?}");
        let gateway = house.device("gw3", Role::Gateway).with("system/*.cruds").await;
        let noted = gateway.get(&format!("AuditEvent?patient={}&action=E", ward.anna)).await;
        let events = noted.resources();
        let means = |means: &str| events.iter().filter(|event| event["entity"][1]["name"] == means).count();
        assert_eq!((means("passkey"), means("setup code")), (2, 1), "{noted:?}");
        // Not while she is not there.
        let registry = house.registry().await;
        let person = format!("Patient/{}", ward.anna);
        let before = gateway.get(&person).await.body.to_string();
        let deleted = house.send(&registry, "DELETE", &person, String::new()).await;
        assert_eq!(deleted.status, StatusCode::NO_CONTENT, "{deleted:?}");
        key.counter = 3;
        refused("passkey_of_who_left", &key.sign_in(&mut Browser::new(house), &question).await);
        assert!(house.send(&registry, "PUT", &person, before).await.status.is_success());
        key.counter = 4;
        assert_eq!(key.sign_in(&mut Browser::new(house), &question).await.status, StatusCode::SEE_OTHER);
        // The page works without its script, which is ours alone.
        let page = Browser::new(house).authorize(&question).await;
        let policy = page.header("content-security-policy");
        assert!(policy.contains("script-src 'nonce-") && policy.contains("default-src 'none'"), "{policy}");
        assert!(page.text.contains("<script nonce=\"") && page.text.contains("src=\"/auth/passkey.js\""));
        assert!(page.text.contains("name=\"code\"") && !page.text.contains("onclick"));
        let script = Browser::new(house).get("/auth/passkey.js").await;
        assert_eq!(script.header("content-type"), "text/javascript; charset=utf-8");
        assert!(script.text.contains("navigator.credentials.get"));
        // Lost: it opens nothing, and sessions have ended.
        let told = house.administer(json!({ "verb": "remove-passkeys", "name": "anna" })).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        refused("passkey_removed", &key.sign_in(&mut Browser::new(house), &question).await);
    }
}

/// Shows REQ-SMART-72: an answer to another page, by another key, that came before or whose counter went back, signs nobody in;
/// a passkey is made only by who has just signed in with a code.
#[tokio::test(flavor = "multi_thread")]
async fn passkey_answers_that_do_not_count() {
    let ward = Ward::new().await;
    let (house, app) = (&ward.house, ward.house.app("public", json!({})).await);
    let mut key = Authenticator::new();
    let question = with_passkey(house, &ward.code, &app, &key).await;
    key.counter = 5;
    let mut browser = Browser::new(house);
    let form = Form::of(&browser.authorize(&question).await, "passkey");
    let fine = key.answer(&form, PUBLIC);
    let changed = |name: &str, to: &str| {
        let change =
            |pair: &(&'static str, String)| (pair.0, if pair.0 == name { to.to_owned() } else { pair.1.clone() });
        fine.iter().map(change).collect::<Vec<_>>()
    };
    refused("passkey_for_another_origin", &send(&mut browser, &key.answer(&form, "https://evil.example")).await);
    let stranger = Authenticator { id: key.id, ..Authenticator::new() };
    refused("passkey_of_another_key", &send(&mut browser, &stranger.answer(&form, PUBLIC)).await);
    refused("passkey_unknown", &send(&mut browser, &Authenticator::new().answer(&form, PUBLIC)).await);
    for (name, to) in [("signature", "AAAA"), ("authenticator_data", ""), ("client_data", "e30"), ("credential", "%%")]
    {
        refused(name, &send(&mut browser, &changed(name, to)).await);
    }
    let other = Form::of(&browser.authorize(&question).await, "passkey");
    let mut mixed = key.answer(&other, PUBLIC);
    mixed[0].1.clone_from(&form.ticket);
    refused("passkey_for_another_question", &send(&mut browser, &mixed).await);
    // Another browser's page, another origin's form.
    assert_eq!(send(&mut Browser::new(house), &fine).await.status, StatusCode::BAD_REQUEST);
    let pairs: Vec<_> = fine.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let elsewhere = browser.post_from("/auth/passkey", &pairs, Some("https://evil.example")).await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST);
    // Nothing of that has spent the question, which is answered once.
    let before = browser.cookie.clone();
    assert_eq!(send(&mut browser, &fine).await.status, StatusCode::SEE_OTHER);
    assert_ne!(browser.cookie, before, "session_fixation: another name for the session");
    browser.cookie = before;
    refused("passkey_answer_replayed", &send(&mut browser, &fine).await);
    // One that does not count is as safe: the question alone is answered once.
    let uncounted = Authenticator::new();
    with_passkey(house, &house.code("anna").await, &app, &uncounted).await;
    let mut twin = Browser::new(house);
    let answer = uncounted.answer(&Form::of(&twin.authorize(&question).await, "passkey"), PUBLIC);
    let before = twin.cookie.clone();
    assert_eq!(send(&mut twin, &answer).await.status, StatusCode::SEE_OTHER);
    twin.cookie = before;
    refused("passkey_answer_replayed", &send(&mut twin, &answer).await);
    assert_eq!(uncounted.sign_in(&mut Browser::new(house), &question).await.status, StatusCode::SEE_OTHER);
    for counter in [5, 4, 0] {
        key.counter = counter;
        refused("passkey_copied", &key.sign_in(&mut Browser::new(house), &question).await);
    }
    // Making one: not with a session that a passkey began, nor an old one, nor twice, nor by who is not signed in.
    key.counter = 6;
    let mut browser = Browser::new(house);
    assert_eq!(key.sign_in(&mut browser, &question).await.status, StatusCode::SEE_OTHER);
    assert!(!browser.authorize(&question).await.text.contains("new-passkey"));
    let mut browser = Browser::new(house);
    let page = browser.sign_in(&question, ("anna", &house.code("anna").await)).await;
    let second = Authenticator::new();
    let taken = Authenticator { id: key.id, ..Authenticator::new() };
    assert_eq!(taken.make(&mut browser, &page).await.status, StatusCode::BAD_REQUEST, "passkey_of_the_same_name");
    let page = browser.authorize(&question).await;
    assert_eq!(second.make(&mut Browser::new(house), &page).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(second.make(&mut browser, &page).await.status, StatusCode::SEE_OTHER);
    assert_eq!(second.make(&mut browser, &page).await.status, StatusCode::BAD_REQUEST, "the page was sent before");
    let mut browser = Browser::new(house);
    let page = browser.sign_in(&question, ("anna", &house.code("anna").await)).await;
    house.site.clock.advance(15 * 60);
    assert_eq!(Authenticator::new().make(&mut browser, &page).await.status, StatusCode::BAD_REQUEST);
    assert!(!browser.authorize(&question).await.text.contains("new-passkey"), "it is too long ago");
}
