//! Answers that sign nobody in: of a provider that says what a test wants it to.

use super::*;

/// Makes a token of claims.
type Maker<'a> = &'a dyn Fn(&Value) -> String;

/// A provider that says what it is told to.
struct Liar {
    provider: Provider,
    key: WebKey,
}

impl Liar {
    /// A ward whose people sign in there, one who is linked, and software.
    async fn ward(&self) -> (Ward, App) {
        let ward = Ward::at(self.provider.house(|_| {})).await;
        link(&ward.house, "a-17").await;
        let app = ward.house.app("public", json!({ "scopes": SCOPES })).await;
        (ward, app)
    }

    fn new() -> Self {
        let mut provider = Provider::new();
        provider.start(&mut Self::command());
        let liar = Self { key: WebKey::generate(WebAlgorithm::Es256), provider };
        liar.metadata(&[]);
        liar.say("keys", &json!({ "keys": [jwk(&liar.key)] }).to_string());
        liar
    }

    fn command() -> Command {
        let mut command = Command::new(venv().join("bin/python3"));
        command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/upstream/issuer.py"));
        command
    }

    fn say(&self, file: &str, text: &str) {
        std::fs::write(self.provider.folder.path().join(file), text).expect("written");
    }

    /// How often it was asked this.
    fn calls(&self, path: &str) -> usize {
        let calls = std::fs::read_to_string(self.provider.folder.path().join("calls")).unwrap_or_default();
        calls.lines().filter(|line| *line == path).count()
    }

    fn metadata(&self, change: &[(&str, Value)]) {
        let issuer = self.provider.issuer();
        let mut told = json!({
            "issuer": issuer, "authorization_endpoint": format!("{issuer}/authorize"), "token_endpoint": format!("{issuer}/token"),
            "jwks_uri": format!("{issuer}/keys"), "response_types_supported": ["code"],
            "id_token_signing_alg_values_supported": ["ES256", "RS256"], "authorization_response_iss_parameter_supported": true,
        });
        change.iter().for_each(|(name, value)| told[*name] = value.clone());
        self.say(".well-known_openid-configuration", &told.to_string());
    }

    /// What a good provider would say.
    fn claims(&self, house: &House, sent: &Page) -> Value {
        let now = house.site.clock.now().unix();
        json!({
            "iss": self.provider.issuer(), "aud": "medlock", "sub": "a-17", "nonce": parameter(sent, "nonce"), "iat": now,
            "exp": now + 60,
        })
    }

    fn give(&self, token: &str) {
        let answer = json!({ "access_token": "x", "token_type": "Bearer", "id_token": token });
        self.say("token", &answer.to_string());
    }

    fn answer(&self, sent: &Page, change: &[(&str, &str)]) -> String {
        let (state, issuer) = (parameter(sent, "state"), self.provider.issuer());
        let mut pairs = vec![("code", "code"), ("state", &state), ("iss", &issuer)];
        for (name, value) in change {
            pairs.retain(|(one, _)| one != name);
            if !value.is_empty() {
                pairs.push((name, value));
            }
        }
        format!("/auth/upstream/answer?{}", crate::people::form(&pairs))
    }
}

fn jwk(key: &WebKey) -> Value {
    let mut jwk: Value = serde_json::from_str(Key::from_spki(key.spki()).expect("a key").to_json()).expect("JSON");
    jwk["kid"] = json!("k");
    jwk
}

fn signed(key: &WebKey, claims: &Value) -> String {
    let header = json!({ "alg": key.algorithm().name(), "kid": "k" });
    let input = signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign(input.as_bytes())))
}

/// Nobody is signed in by this answer.
async fn refused(browser: &mut Browser<'_>, app: &App, what: &str, answer: &str) {
    let page = browser.get(answer).await;
    assert_eq!(page.status, StatusCode::FORBIDDEN, "{what}: {page:?}");
    assert!(page.text.contains("You were not signed in"), "{what}: {page:?}");
    assert!(browser.authorize(&query(&app.id, &[])).await.text.contains("Sign in with"), "{what}");
}

/// Shows REQ-SMART-88, REQ-SMART-89: no answer signs anybody in but the provider's own, to this browser's question, now.
#[tokio::test(flavor = "multi_thread")]
async fn no_other_answer_signs_anybody_in() {
    let liar = Liar::new();
    let (ward, app) = liar.ward().await;
    let house = &ward.house;
    let mut browser = Browser::new(house);
    let fresh = async |browser: &mut Browser<'_>| begin(browser, &query(&app.id, &[])).await;
    // What it says in its token.
    let other = WebKey::generate(WebAlgorithm::Es256);
    let rsa = WebKey::generate(WebAlgorithm::Rs256);
    let now = house.site.clock.now().unix();
    for (name, value) in [
        ("nonce", json!("another")),
        ("nonce", Value::Null),
        ("aud", json!("another")),
        ("aud", json!(["medlock", "another"])),
        ("azp", json!("another")),
        ("iss", json!("https://evil.example")),
        ("exp", json!(now - 60)),
        ("iat", json!(now - 600)),
        ("iat", json!(now + 600)),
        ("sub", Value::Null),
    ] {
        let sent = fresh(&mut browser).await;
        let mut claims = liar.claims(house, &sent);
        claims[name] = value.clone();
        liar.give(&signed(&liar.key, &claims));
        refused(&mut browser, &app, &format!("{name} {value}"), &liar.answer(&sent, &[])).await;
    }
    // How it is signed.
    let unsigned = |algorithm: &str, claims: &Value| {
        let header = json!({ "alg": algorithm, "kid": "k" }).to_string();
        format!("{}.", signing_input(header.as_bytes(), claims.to_string().as_bytes()))
    };
    let swapped = |claims: &Value| {
        let good = signed(&liar.key, claims);
        good.replacen(good.split('.').nth(1).expect("claims"), &BASE64URL_NOPAD.encode(b"{}"), 1)
    };
    let made: [(&str, Maker<'_>); 8] = [
        ("alg_none", &|claims| unsigned("none", claims)),
        ("alg_none", &|claims| unsigned("ES256", claims)),
        ("key_confusion", &|claims| format!("{}AAAA", unsigned("HS256", claims))),
        ("other_key", &|claims| signed(&other, claims)),
        ("other_algorithm", &|claims| signed(&rsa, claims)),
        ("other_claims", &swapped),
        ("no_token", &|_| String::new()),
        ("no_token", &|_| "a.b.c".to_owned()),
    ];
    for (what, token) in made {
        let sent = fresh(&mut browser).await;
        liar.give(&token(&liar.claims(house, &sent)));
        refused(&mut browser, &app, what, &liar.answer(&sent, &[])).await;
    }
    let sent = fresh(&mut browser).await;
    liar.say("token", "{\"error\":\"invalid_grant\"}");
    refused(&mut browser, &app, "no_token", &liar.answer(&sent, &[])).await;
    // Whose answer it is (RFC 9207), before the code goes anywhere.
    for (what, change) in [
        ("mix_up", vec![("iss", "https://evil.example")]),
        ("mix_up", vec![("iss", "")]),
        ("mix_up", vec![("iss", ""), ("code", ""), ("error", "access_denied")]),
        ("denied", vec![("code", ""), ("error", "access_denied")]),
        ("no_code", vec![("code", "")]),
    ] {
        let sent = fresh(&mut browser).await;
        liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
        refused(&mut browser, &app, what, &liar.answer(&sent, &change)).await;
    }
    // Whose question it answers.
    let sent = fresh(&mut browser).await;
    let another = Browser::new(house).authorize(&query(&app.id, &[])).await;
    let ticket = another.hidden("ticket");
    for (what, state) in [("no_state", ""), ("state_of_nobody", "AAAA"), ("state_of_another_step", &ticket)] {
        let page = browser.get(&liar.answer(&sent, &[("state", state)])).await;
        assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("another browser"), "{what}: {page:?}");
    }
    let mut elsewhere = Browser::new(house);
    let theirs = fresh(&mut elsewhere).await;
    liar.give(&signed(&liar.key, &liar.claims(house, &theirs)));
    let page = browser.get(&liar.answer(&theirs, &[])).await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("another browser"), "{page:?}");
    refused(&mut browser, &app, "nonce_of_another", &liar.answer(&sent, &[])).await;
    // And so it does, once.
    let sent = fresh(&mut browser).await;
    liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
    let (before, answered) = (browser.cookie.clone(), browser.get(&liar.answer(&sent, &[])).await);
    asked(&mut browser, &answered).await;
    browser.cookie = before.clone();
    let page = browser.get(&liar.answer(&sent, &[])).await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("done already"), "replay: {page:?}");
    // A page lies around for a quarter of an hour.
    let sent = fresh(&mut browser).await;
    house.site.clock.advance(15 * 60);
    liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
    let page = browser.get(&liar.answer(&sent, &[])).await;
    assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("too long ago"), "{page:?}");
}

/// Shows REQ-SMART-128: what a browser brings back from the provider is redeemed once, also where that signs nobody in.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_redeemed_once_whatever_comes_of_it() {
    let liar = Liar::new();
    let (ward, app) = liar.ward().await;
    let house = &ward.house;
    let mut browser = Browser::new(house);
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    liar.say("token", "{\"error\":\"invalid_grant\"}");
    refused(&mut browser, &app, "invalid_grant", &liar.answer(&sent, &[])).await;
    liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
    for code in ["code", "another"] {
        let page = browser.get(&liar.answer(&sent, &[("code", code)])).await;
        assert!(page.status == StatusCode::BAD_REQUEST && page.text.contains("done already"), "{page:?}");
    }
    assert_eq!(liar.calls("/token"), 1);
    // Nor is the provider asked where the answer is not its own, now or later.
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    refused(&mut browser, &app, "iss", &liar.answer(&sent, &[("iss", "https://evil.example")])).await;
    liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
    assert_eq!(browser.get(&liar.answer(&sent, &[])).await.status, StatusCode::BAD_REQUEST);
    assert_eq!(liar.calls("/token"), 1);
}

/// Shows REQ-SMART-129: of those who wait for a provider that is slow, sixteen do; others are told at once that it is away, and whoever
/// begins meanwhile waits for nobody who asks it what it is.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_provider_keeps_few_waiting() {
    let liar = Liar::new();
    let ward = Ward::at(liar.provider.house(|_| {})).await;
    let house = &ward.house;
    let app = house.app("public", json!({ "scopes": SCOPES })).await;
    let mut visits = Vec::new();
    for _ in 0..20 {
        let mut browser = Browser::new(house);
        let sent = begin(&mut browser, &query(&app.id, &[])).await;
        visits.push((browser, liar.answer(&sent, &[])));
    }
    assert_eq!(liar.calls("/.well-known/openid-configuration"), 1);
    liar.say("slow", "4");
    let answers = visits.iter_mut().map(|(browser, answer)| async move {
        let began = Instant::now();
        (browser.get(answer).await.status, began.elapsed())
    });
    let answers = futures_util::future::join_all(answers).await;
    let away = answers.iter().filter(|(status, _)| *status == StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!((away.clone().count(), liar.calls("/token")), (4, 16), "{answers:?}");
    assert!(away.clone().all(|(_, took)| *took < Duration::from_secs(2)), "{answers:?}");
    // What it said of itself is old, and good while one asks anew.
    house.site.clock.advance(3_600);
    let mut browsers: Vec<_> = (0..4).map(|_| Browser::new(house)).collect();
    let begun = browsers.iter_mut().map(|browser| async {
        let began = Instant::now();
        let sent = begin(browser, &query(&app.id, &[])).await;
        assert_eq!(sent.status, StatusCode::SEE_OTHER, "{sent:?}");
        began.elapsed()
    });
    let took = futures_util::future::join_all(begun).await;
    assert_eq!(took.iter().filter(|took| **took < Duration::from_secs(2)).count(), 3, "{took:?}");
    assert_eq!(liar.calls("/.well-known/openid-configuration"), 2);
}

/// Shows REQ-SMART-120: where a provider asks nobody anew, or does not say when it has, nobody's account is linked.
#[tokio::test(flavor = "multi_thread")]
async fn who_was_signed_in_before_links_no_account() {
    let liar = Liar::new();
    let ward = Ward::at(liar.provider.house(|config| config.unknown = Unknown::Code)).await;
    let house = &ward.house;
    let app = house.app("public", json!({ "scopes": SCOPES })).await;
    let mut browser = Browser::new(house);
    let now = house.site.clock.now().unix();
    for (auth_time, linked) in [(json!(now - 90), false), (Value::Null, false), (json!(now), true)] {
        let sent = begin(&mut browser, &query(&app.id, &[])).await;
        liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
        let sent = browser.get(&liar.answer(&sent, &[])).await;
        let mut claims = liar.claims(house, &sent);
        claims["auth_time"] = auth_time.clone();
        liar.give(&signed(&liar.key, &claims));
        if linked {
            let page = browser.get(&liar.answer(&sent, &[])).await;
            assert!(page.text.contains("Connect your account"), "{page:?}");
        } else {
            refused(&mut browser, &app, &format!("auth_time {auth_time}"), &liar.answer(&sent, &[])).await;
        }
    }
}

/// Shows REQ-SMART-81, REQ-SMART-90: nobody is sent to a provider that says it is another one, and the hub calls nobody for it but whom the
/// settings name.
#[tokio::test(flavor = "multi_thread")]
async fn a_provider_leads_nowhere_else() {
    let liar = Liar::new();
    let ward = Ward::at(liar.provider.house(|_| {})).await;
    let house = &ward.house;
    let app = house.app("public", json!({})).await;
    let mut browser = Browser::new(house);
    liar.metadata(&[("issuer", json!("https://evil.example"))]);
    assert_eq!(begin(&mut browser, &query(&app.id, &[])).await.status, StatusCode::SERVICE_UNAVAILABLE);
    // There would be the same answers, at another port.
    let port = free_port();
    let _elsewhere = liar.provider.at(&mut Liar::command(), port);
    for (name, value) in [("token_endpoint", "token"), ("jwks_uri", "keys")] {
        let value = format!("https://localhost:{port}/{value}");
        liar.metadata(&[(name, json!(value))]);
        house.site.clock.advance(3_600);
        let sent = begin(&mut browser, &query(&app.id, &[])).await;
        liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
        let page = browser.get(&liar.answer(&sent, &[])).await;
        assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE, "{name} {value}: {page:?}");
    }
    // What it does not say that it signs by, it has not signed.
    liar.metadata(&[("id_token_signing_alg_values_supported", json!(["RS256"]))]);
    house.site.clock.advance(3_600);
    let sent = begin(&mut browser, &query(&app.id, &[])).await;
    liar.give(&signed(&liar.key, &liar.claims(house, &sent)));
    refused(&mut browser, &app, "other_algorithm", &liar.answer(&sent, &[])).await;
    // The provider's host is not one that others may have called.
    let told = house.administer(json!({
        "verb": "add-client", "name": "x", "sort": "keys", "scopes": "system/Patient.rs",
        "keys_url": format!("{}/keys", liar.provider.issuer()),
    }));
    assert_eq!(told.await.status, StatusCode::BAD_REQUEST);
}
