//! Software in its own name: what it proves with its key, and what does not count.

use crate::fixture::{Answer, DEVICES, House, PUBLIC, nobody, patient};
use crate::people::{CALLBACK, VERIFIER, form, token};
use crate::smart::Ward;
use axum::body::Body;
use data_encoding::BASE64URL_NOPAD;
use http::{Request, StatusCode};
use medlock_clinical::jose::{Key, signing_input};
use medlock_node::provider::{SigningAlgorithm, SigningKey, WebAlgorithm, WebKey};
use medlock_trust::Role;
use serde_json::{Value, json};

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Software with a key on P-384.
pub(crate) struct Backend<'h> {
    house: &'h House,
    key: SigningKey,
    id: String,
}

pub(crate) fn jwk(key: &SigningKey, name: &str) -> Value {
    let (x, y) = key.public_key().bits[1..].split_at(48);
    let encoded = |bytes: &[u8]| BASE64URL_NOPAD.encode(bytes);
    json!({ "kty": "EC", "crv": "P-384", "x": encoded(x), "y": encoded(y), "kid": name, "alg": "ES384" })
}

fn signed(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let input = signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign_cose(&[input.as_bytes()])))
}

impl House {
    /// A token of software that may do all.
    pub(crate) async fn registry(&self) -> String {
        Backend::new(self, "system/*.cruds").await.token("system/*.cruds").await
    }
}

impl<'h> Backend<'h> {
    pub(crate) async fn new(house: &'h House, scopes: &str) -> Self {
        let key = SigningKey::generate_with(SigningAlgorithm::P384);
        let keys = json!({ "keys": [jwk(&key, "k1")] }).to_string();
        Self::registered(house, key, json!({ "keys": keys, "scopes": scopes, "redirects": [CALLBACK] })).await
    }

    /// With this key, registered so.
    pub(crate) async fn registered(house: &'h House, key: SigningKey, registration: Value) -> Self {
        let app = house.app("keys", registration).await;
        Self { house, key, id: app.id }
    }

    /// Its identifier.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    fn header(&self) -> Value {
        json!({ "alg": "ES384", "typ": "JWT", "kid": "k1" })
    }

    fn claims(&self, number: &str) -> Value {
        let now = self.house.site.clock.now().unix();
        let aud = format!("{PUBLIC}/auth/token");
        json!({ "iss": self.id, "sub": self.id, "aud": aud, "exp": now + 300, "iat": now, "jti": number })
    }

    async fn ask(&self, assertion: &str) -> Answer {
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", "system/Observation.rs system/Patient.cruds"),
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion),
        ];
        self.house.post_form("/auth/token", &form).await
    }

    /// What is answered to an assertion whose header names this key.
    pub(crate) async fn ask_by(&self, key: &SigningKey, name: &str, number: &str) -> Answer {
        self.ask(&signed(key, &changed(&self.header(), "kid", json!(name)), &self.claims(number))).await
    }

    /// A token for these scopes.
    pub(crate) async fn token(&self, scope: &str) -> String {
        token(&self.given(scope).await, "access_token")
    }

    /// What is answered to who asks for these scopes, once.
    pub(crate) async fn given(&self, scope: &str) -> Answer {
        let assertion = signed(&self.key, &self.header(), &self.claims(scope));
        let form = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
        ];
        self.house.post_form("/auth/token", &form).await
    }

    /// What is answered where a key is proved too.
    pub(crate) async fn ask_proving(&self, proof: &str) -> Answer {
        let assertion = signed(&self.key, &self.header(), &self.claims("proving"));
        let request = Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded");
        let pairs = [
            ("grant_type", "client_credentials"),
            ("scope", "system/Patient.rs"),
            ("client_assertion_type", TYPE),
            ("client_assertion", &*assertion),
        ];
        self.house.people_json(request.header("dpop", proof), form(&pairs)).await
    }

    async fn ask_with(&self, header: &Value, claims: &Value) -> Answer {
        self.ask(&signed(&self.key, header, claims)).await
    }
}

fn changed(of: &Value, name: &str, to: Value) -> Value {
    let mut of = of.clone();
    match to {
        Value::Null => _ = of.as_object_mut().expect("an object").remove(name),
        to => of[name] = to,
    }
    of
}

fn refused(name: &str, answer: &Answer) {
    assert_eq!(
        (answer.status, &answer.body["error"]),
        (StatusCode::UNAUTHORIZED, &json!("invalid_client")),
        "{name}: {answer:?}"
    );
}

/// Shows REQ-SMART-52, REQ-SMART-236: software gets a token in its own name by an assertion, for five minutes, within its registration.
#[tokio::test(flavor = "multi_thread")]
async fn software_gets_a_token_by_its_key() {
    let house = House::new();
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    gateway.create(&patient("Anna")).await.made();
    let backend = Backend::new(&house, "system/Patient.rs").await;
    let given = backend.ask_with(&backend.header(), &backend.claims("1")).await;
    assert_eq!(
        (given.body["scope"].as_str(), given.body["expires_in"].as_i64()),
        (Some("system/Patient.rs"), Some(300))
    );
    assert!(given.body.get("refresh_token").is_none());
    let access = token(&given, "access_token");
    assert_eq!(house.read(&access, "Patient").await.found().len(), 1);
    // `scope_beyond_registration`
    let beyond = house.read(&access, "Observation").await;
    assert_eq!(beyond.status, StatusCode::FORBIDDEN);
    assert_eq!(beyond.header("www-authenticate"), "Bearer realm=\"fhir\", error=\"insufficient_scope\"");
    let other = Backend::new(&house, "system/Device.rs").await;
    let none = other.ask_with(&other.header(), &other.claims("1")).await;
    assert_eq!(none.body["error"], "invalid_scope");
    assert_eq!(none.body["error_description"], "no scope is left: the client is registered for others");
    let none = backend.given("system/Foo.rs").await;
    let said = none.body["error_description"].as_str().unwrap_or_default();
    assert!(none.body["error"] == "invalid_scope" && said.contains("system/Foo.rs"), "{none:?}");
    house.site.clock.advance(300);
    assert_eq!(house.read(&access, "Patient").await.code(), "smart-token");
    // At the devices' door too, for that address.
    let aud = json!(format!("{DEVICES}/auth/token"));
    let assertion = signed(&backend.key, &backend.header(), &changed(&backend.claims("2"), "aud", aud));
    let pairs = [
        ("grant_type", "client_credentials"),
        ("scope", "system/Patient.rs"),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion.as_str()),
    ];
    let request = || Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded");
    let given = house.ask(nobody(), request(), Body::from(form(&pairs))).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
    refused("the other door's", &house.people_json(request(), form(&pairs)).await);
}

/// Shows REQ-SMART-53: an assertion is by the registered key and algorithm, for this address and moment, and counts once.
#[tokio::test(flavor = "multi_thread")]
async fn assertions_that_do_not_count() {
    let house = House::new();
    let backend = Backend::new(&house, "system/Patient.rs").await;
    let (header, claims, now) = (backend.header(), backend.claims("x"), house.site.clock.now().unix());
    let other = SigningKey::generate_with(SigningAlgorithm::P384);
    for (name, member, to) in [
        ("assertion_for_another_audience", "aud", json!("https://other.example/auth/token")),
        ("assertion_for_two_audiences", "aud", json!([format!("{PUBLIC}/auth/token"), "https://other.example"])),
        ("assertion_without_aud", "aud", Value::Null),
        ("assertion_expired", "exp", json!(now - 60)),
        ("assertion_not_yet_valid", "nbf", json!(now + 61)),
        ("assertion_of_tomorrow", "iat", json!(now + 61)),
        ("assertion_too_long_lived", "exp", json!(now + 301)),
        ("assertion_without_exp", "exp", Value::Null),
        ("assertion_without_jti", "jti", Value::Null),
        ("assertion_with_empty_jti", "jti", json!("")),
        ("iss_is_not_sub", "sub", json!("other")),
        ("client_unknown", "iss", json!("other")),
    ] {
        refused(name, &backend.ask_with(&header, &changed(&claims, member, to)).await);
    }
    for (name, member, to) in [
        ("alg_rs256", "alg", json!("RS256")),
        ("alg_rs256_where_es384_is_registered", "alg", json!("RS384")),
        ("alg_in_other_case", "alg", json!("es384")),
        ("alg_none", "alg", json!("none")),
        ("alg_missing", "alg", Value::Null),
        ("kid_unknown", "kid", json!("k2")),
        ("kid_path_traversal", "kid", json!("../../k1")),
        ("jku_elsewhere", "jku", json!("https://evil.example/keys")),
        ("crit_header_unknown", "crit", json!(["exp"])),
        ("typ_of_another", "typ", json!("dpop+jwt")),
    ] {
        refused(name, &backend.ask_with(&changed(&header, member, to), &claims).await);
    }
    let fine = signed(&backend.key, &header, &claims);
    let (head, signature) = fine.rsplit_once('.').expect("three parts");
    let twice = claims.to_string().replacen('{', &format!("{{\"jti\":\"y\",\"iss\":{:?},", backend.id), 1);
    let twice = signing_input(header.to_string().as_bytes(), twice.as_bytes());
    let twice = format!("{twice}.{}", BASE64URL_NOPAD.encode(&backend.key.sign_cose(&[twice.as_bytes()])));
    let none = signing_input(br#"{"alg":"none","typ":"JWT","kid":"k1"}"#, claims.to_string().as_bytes());
    let hs256 = signing_input(br#"{"alg":"HS256","typ":"JWT","kid":"k1"}"#, claims.to_string().as_bytes());
    let rsa = WebKey::generate(WebAlgorithm::Rs256);
    let with_rsa = signing_input(br#"{"alg":"RS384","typ":"JWT","kid":"k1"}"#, claims.to_string().as_bytes());
    for (name, assertion) in [
        ("assertion_with_bad_signature", format!("{head}.{}", signature.replacen(&signature[..4], "AAAA", 1))),
        ("assertion_without_signature", format!("{head}.")),
        ("assertion_of_another_key", signed(&other, &header, &claims)),
        ("alg_none", format!("{none}.")),
        ("alg_hs256_with_public_key_as_secret", format!("{hs256}.{}", BASE64URL_NOPAD.encode(&[1; 32]))),
        ("another_sort_of_key", format!("{with_rsa}.{}", BASE64URL_NOPAD.encode(&rsa.sign(with_rsa.as_bytes())))),
        ("duplicate_claims", twice),
        ("no_token", "a.b.c".to_owned()),
    ] {
        refused(name, &backend.ask(&assertion).await);
    }
    // Nothing of all that has spent the number.
    assert_eq!(backend.ask(&fine).await.status, StatusCode::OK);
    refused("jti_replayed", &backend.ask(&fine).await);
    house.site.clock.advance(359);
    refused("jti_replayed_after_expiry_within_skew", &backend.ask(&fine).await);
    // The same number of another client is another.
    let second = Backend::new(&house, "system/Patient.rs").await;
    assert_eq!(second.ask_with(&second.header(), &second.claims("x")).await.status, StatusCode::OK);
    assert!(Key::from_spki(rsa.spki()).is_some());
}

/// Shows REQ-SMART-54: a client that is registered with keys proves them for a code too, and nothing weaker.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_with_keys_proves_them_for_codes() {
    let ward = Ward::new().await;
    let house = &ward.house;
    let backend = Backend::new(house, "launch/patient patient/*.rs").await;
    let app = crate::people::App { id: backend.id.clone(), secret: None };
    let code = ward.code_for(&app, &[("scope", "launch/patient patient/*.rs")]).await;
    let base = [
        ("grant_type", "authorization_code"),
        ("code", &*code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    refused("weaker", &house.post_form("/auth/token", &[&base[..], &[("client_id", &*app.id)]].concat()).await);
    let assertion = signed(&backend.key, &backend.header(), &backend.claims("c"));
    let proof = [("client_assertion_type", TYPE), ("client_assertion", &*assertion)];
    let with_secret = [&base[..], &proof, &[("client_secret", "x")]].concat();
    assert_eq!(house.post_form("/auth/token", &with_secret).await.body["error"], "invalid_request");
    let without_type = [&base[..], &proof[1..]].concat();
    assert_eq!(house.post_form("/auth/token", &without_type).await.body["error"], "invalid_request");
    let given = house.post_form("/auth/token", &[&base[..], &proof].concat()).await;
    assert_eq!(given.body["patient"].as_str(), Some(&*ward.anna), "{given:?}");
}
