//! Software of a community, which registers by itself (UDAP).

mod bounds;
mod negative;
mod standing;

use crate::fixture::{Answer, House, PUBLIC, on_server, patient};
use crate::key_sets::openssl;
use crate::people::{Browser, form, query, token};
use crate::smart::Ward;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Request, StatusCode};
use medlock_clinical::CommunityConfig;
use medlock_clinical::jose::signing_input;
use medlock_clinical::store::Place;
use medlock_node::identity::certificates_from_pem;
use medlock_node::provider::WebKey;
use medlock_testkit::peers::npm;
use medlock_trust::Role;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

const TYPE: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
const REGISTER: &str = "https://fhir.example/auth/register";
const TOKEN: &str = "https://fhir.example/auth/token";
const COMMUNITY: &str = "https://community.example";
const APP: &str = "https://app.example/one";
const SCOPES: &str = "openid fhirUser offline_access launch/patient patient/*.rs user/Patient.rs system/Patient.rs";

/// An authority, and who it vouches for.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        openssl(at, "genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out ca.key");
        let own = "req -x509 -new -key ca.key -subj /CN=community -days 30 -out ca.pem -addext basicConstraints=critical,CA:TRUE";
        openssl(at, own);
        Self(folder)
    }

    fn at(&self) -> &Path {
        self.0.path()
    }

    /// Gives `NAME.key` and `NAME.pem`, for `uri`, good for so many days.
    fn vouch(&self, name: &str, key: &str, uri: &str, days: u32) {
        openssl(self.at(), &format!("genpkey {key} -out {name}.key"));
        openssl(self.at(), &format!("req -new -key {name}.key -subj /CN={name} -out {name}.csr"));
        std::fs::write(self.at().join("ext"), format!("subjectAltName=URI:{uri}\n")).expect("written");
        let line =
            format!("x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -days {days} -extfile ext -out {name}.pem");
        openssl(self.at(), &line);
    }

    fn software(&self, name: &str, key: &str, uri: &str, days: u32) -> Software {
        self.vouch(name, key, uri, days);
        Software::at(self.at(), name)
    }

    /// Writes `NAME.crl`, with this certificate on it if one is named, good for so many days.
    fn revoke(&self, name: &str, revoked: Option<&str>, days: u32) {
        let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\ncrlnumber=number\ndefault_md=sha256\ncrl_extensions=more\n\
                      [more]\nauthorityKeyIdentifier=keyid\n";
        std::fs::write(self.at().join("config"), config).expect("written");
        if !self.at().join("index").exists() {
            std::fs::write(self.at().join("index"), "").expect("written");
            std::fs::write(self.at().join("number"), "01\n").expect("written");
        }
        let ca = "ca -config config -keyfile ca.key -cert ca.pem";
        if let Some(revoked) = revoked {
            openssl(self.at(), &format!("{ca} -revoke {revoked}.pem"));
        }
        openssl(self.at(), &format!("{ca} -gencrl -crldays {days} -out list.pem"));
        // A file that is written while it is read is never half there.
        openssl(self.at(), "crl -in list.pem -outform DER -out list.new");
        std::fs::rename(self.at().join("list.new"), self.at().join(format!("{name}.crl"))).expect("there");
    }

    fn community(&self, name: &str) -> CommunityConfig {
        if !self.at().join("hub.pem").exists() {
            self.vouch("hub", RSA, "https://fhir.example/fhir", 30);
        }
        CommunityConfig {
            name: name.to_owned(),
            anchors: self.at().join("ca.pem"),
            certificate: self.at().join("hub.pem"),
            key_file: self.at().join("hub.key"),
            revocation_lists: Vec::new(),
            scopes: SCOPES.to_owned(),
        }
    }

    fn house(&self) -> House {
        house(vec![self.community(COMMUNITY)])
    }
}

/// A house whose clock is ahead: certificates are made while it stands.
fn house(communities: Vec<CommunityConfig>) -> House {
    house_at(None, communities)
}

fn house_at(place: Option<Place>, communities: Vec<CommunityConfig>) -> House {
    let house = House::with(place, |config| config.udap = communities);
    house.site.clock.advance(300);
    house
}

const RSA: &str = "-algorithm RSA -pkeyopt rsa_keygen_bits:2048";
const EC: &str = "-algorithm EC -pkeyopt ec_paramgen_curve:P-256";

/// Software with a key and a chain.
struct Software {
    key: WebKey,
    chain: Vec<String>,
}

impl Software {
    fn at(folder: &Path, name: &str) -> Self {
        let read = |file: String| std::fs::read(folder.join(file)).expect("read");
        let key = WebKey::from_pem(&read(format!("{name}.key"))).expect("a key");
        let chain = certificates_from_pem(&read(format!("{name}.pem"))).expect("certificates");
        Self { key, chain: chain.iter().map(|der| BASE64.encode(der)).collect() }
    }

    fn signed(&self, claims: &Value) -> String {
        signed(&self.key, &json!({ "alg": self.key.algorithm().name(), "x5c": self.chain }), claims)
    }

    async fn registers(&self, house: &House, claims: &Value) -> Answer {
        register(house, &self.signed(claims)).await
    }

    /// What the token address answers to the client `id`, with this number.
    async fn asks(&self, house: &House, id: &str, number: &str) -> Answer {
        ask(house, &self.signed(&assertion(house, id, number)), &[("udap", "1")]).await
    }

    /// What it answers where these scopes are asked.
    async fn asks_for(&self, house: &House, id: &str, number: &str, scope: &str) -> Answer {
        let assertion = self.signed(&assertion(house, id, number));
        let pairs = [
            ("grant_type", "client_credentials"),
            ("scope", scope),
            ("client_assertion_type", TYPE),
            ("client_assertion", &assertion),
            ("udap", "1"),
        ];
        house.post_form("/auth/token", &pairs).await
    }
}

fn signed(key: &WebKey, header: &Value, claims: &Value) -> String {
    let input = signing_input(header.to_string().as_bytes(), claims.to_string().as_bytes());
    format!("{input}.{}", BASE64URL_NOPAD.encode(&key.sign(input.as_bytes())))
}

async fn register(house: &House, statement: &str) -> Answer {
    let body = json!({ "software_statement": statement, "certifications": [], "udap": "1" });
    let request = Request::post("/auth/register").header("content-type", "application/json");
    house.people_json(request, body.to_string()).await
}

async fn ask(house: &House, assertion: &str, more: &[(&str, &str)]) -> Answer {
    let mut pairs = vec![
        ("grant_type", "client_credentials"),
        ("scope", "system/Patient.rs"),
        ("client_assertion_type", TYPE),
        ("client_assertion", assertion),
    ];
    pairs.extend(more);
    house.post_form("/auth/token", &pairs).await
}

/// What software in its own name wants to be.
fn statement(house: &House, number: &str) -> Value {
    let now = house.site.clock.now().unix();
    json!({
        "iss": APP, "sub": APP, "aud": REGISTER, "iat": now, "exp": now + 300, "jti": number,
        "client_name": "Referrals", "contacts": ["mailto:it@app.example"], "grant_types": ["client_credentials"],
        "token_endpoint_auth_method": "private_key_jwt", "scope": "system/Patient.rs system/Device.rs user/Patient.rs openid",
    })
}

/// What an app of people wants to be.
fn app(house: &House, number: &str) -> Value {
    let more = json!({
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"],
        "redirect_uris": ["https://app.example/callback"], "logo_uri": "https://app.example/logo.png",
        "scope": "openid fhirUser launch/patient offline_access patient/*.rs system/Patient.rs",
    });
    changed(
        &statement(house, number),
        more.as_object().expect("an object").iter().map(|(name, to)| (&**name, to.clone())),
    )
}

fn assertion(house: &House, id: &str, number: &str) -> Value {
    let now = house.site.clock.now().unix();
    json!({
        "iss": id, "sub": id, "aud": TOKEN, "iat": now, "exp": now + 300, "jti": number,
        "extensions": { "hl7-b2b": {
            "version": "1", "organization_id": "https://clinic.example", "purpose_of_use": ["urn:oid:2.16.840.1.113883.5.8#TREAT"],
        } },
    })
}

fn changed<'a>(of: &Value, to: impl IntoIterator<Item = (&'a str, Value)>) -> Value {
    let mut of = of.clone();
    for (name, to) in to {
        match to {
            Value::Null => _ = of.as_object_mut().expect("an object").remove(name),
            to => of[name] = to,
        }
    }
    of
}

fn id_of(answer: &Answer, status: StatusCode) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    answer.body["client_id"].as_str().expect("an identifier").to_owned()
}

/// Shows REQ-SMART-91, REQ-SMART-92, REQ-SMART-127: software for which a community vouches registers by itself, within what the site gives to that
/// community, changes its registration, ends it and begins it again; it asks by its chain, also by a newer one.
#[tokio::test(flavor = "multi_thread")]
async fn software_of_a_community_registers_by_itself() {
    let authority = Authority::new();
    let house = house_at(Some(on_server()), vec![authority.community(COMMUNITY)]);
    let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
    gateway.create(&patient("Anna")).await.made();
    let software = authority.software("app", EC, APP, 30);
    let answer = software.registers(&house, &statement(&house, "1")).await;
    let id = id_of(&answer, StatusCode::CREATED);
    assert_eq!(
        (&answer.body["scope"], &answer.body["grant_types"]),
        (&json!("system/Patient.rs"), &json!(["client_credentials"])),
        "no more than the community may, and nothing of people"
    );
    let access = token(&software.asks(&house, &id, "1").await, "access_token");
    assert_eq!(house.read(&access, "Patient").await.found().len(), 1);
    // By another key, for which the community vouches too.
    let newer = authority.software("newer", RSA, APP, 30);
    assert_eq!(newer.asks(&house, &id, "2").await.status, StatusCode::OK);
    // It is called another name from now on.
    let change = changed(&statement(&house, "2"), [("client_name", json!("Letters"))]);
    assert_eq!(id_of(&newer.registers(&house, &change).await, StatusCode::OK), id);
    let told = house.administer(json!({ "verb": "client", "id": id })).await;
    assert_eq!(
        (&told.body["client"]["name"], &told.body["client"]["registered_as"]),
        (&json!("Letters"), &json!(APP)),
        "{told:?}"
    );
    // And ends.
    let end = changed(&statement(&house, "3"), [("grant_types", json!([]))]);
    let ended = software.registers(&house, &end).await;
    assert_eq!((id_of(&ended, StatusCode::OK), &ended.body["grant_types"]), (id.clone(), &json!([])));
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::UNAUTHORIZED);
    assert_eq!(software.asks(&house, &id, "3").await.body["error"], "invalid_client");
    assert_eq!(software.registers(&house, &changed(&end, [("jti", json!("4"))])).await.status, StatusCode::BAD_REQUEST);
    let again = id_of(&software.registers(&house, &statement(&house, "5")).await, StatusCode::CREATED);
    assert_eq!(again, id, "it is the same");
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::UNAUTHORIZED, "what has ended stays so");
    assert_eq!(software.asks(&house, &id, "4").await.status, StatusCode::OK);
}

/// Shows REQ-SMART-126: software that an administrator has removed, by its identifier or by its address, does not come back by itself, also
/// where it had ended its registration before.
#[tokio::test(flavor = "multi_thread")]
async fn removed_software_does_not_come_back() {
    let (authority, second) = (Authority::new(), Authority::new());
    let house = house(vec![authority.community(COMMUNITY), second.community("https://second.example")]);
    let software = authority.software("app", EC, APP, 30);
    let remove = async |what: &str| house.administer(json!({ "verb": "remove-client", "id": what })).await.status;
    let refused = async |software: &Software, number: &str| {
        let end = changed(&statement(&house, &format!("{number}e")), [("grant_types", json!([]))]);
        for claims in [statement(&house, number), end] {
            let refused = software.registers(&house, &claims).await;
            assert_eq!(refused.body["error"], "unapproved_software_statement", "{refused:?}");
        }
    };
    let id = id_of(&software.registers(&house, &statement(&house, "1")).await, StatusCode::CREATED);
    let end = changed(&statement(&house, "2"), [("grant_types", json!([]))]);
    assert_eq!(software.registers(&house, &end).await.status, StatusCode::OK);
    assert_eq!(remove(&id).await, StatusCode::OK, "it had ended by itself");
    refused(&software, "3").await;
    assert_eq!(remove(&id).await, StatusCode::NOT_FOUND);
    // The address counts, whichever community has given a certificate for it.
    let other = second.software("app", EC, APP, 30);
    let id = id_of(&other.registers(&house, &statement(&house, "4")).await, StatusCode::CREATED);
    let access = token(&other.asks(&house, &id, "1").await, "access_token");
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::OK);
    assert_eq!(remove(APP).await, StatusCode::OK);
    assert_eq!(house.read(&access, "Patient").await.status, StatusCode::UNAUTHORIZED);
    refused(&other, "5").await;
    refused(&software, "6").await;
}

/// Shows REQ-SMART-98: whom a community has revoked is refused from then on, and so is everybody while its list is too old, another's
/// or unreadable.
#[tokio::test(flavor = "multi_thread")]
async fn whom_a_community_has_revoked_gets_nothing_more() {
    let (authority, other) = (Authority::new(), Authority::new());
    authority.revoke("own", None, 7);
    other.revoke("own", None, 7);
    let list = authority.at().join("own.crl");
    let house = house(vec![CommunityConfig { revocation_lists: vec![list.clone()], ..authority.community(COMMUNITY) }]);
    let software = authority.software("app", EC, APP, 30);
    let id = id_of(&software.registers(&house, &statement(&house, "1")).await, StatusCode::CREATED);
    assert_eq!(software.asks(&house, &id, "1").await.status, StatusCode::OK);
    let refused = async |software: &Software, number: &str, why: &str| {
        let answer = software.asks(&house, &id, number).await;
        let text = answer.body["error_description"].as_str().unwrap_or_default();
        assert!(answer.body["error"] == "invalid_client" && text.contains(why), "{why}: {answer:?}");
        let answer = software.registers(&house, &statement(&house, number)).await;
        assert_eq!(answer.body["error"], "unapproved_software_statement", "{answer:?}");
    };
    authority.revoke("own", Some("app"), 7);
    refused(&software, "2", "revoked").await;
    let newer = authority.software("newer", EC, APP, 30);
    assert_eq!(newer.asks(&house, &id, "3").await.status, StatusCode::OK);
    // A list of another authority with the same name is none of this one.
    std::fs::copy(other.at().join("own.crl"), &list).expect("copied");
    refused(&newer, "4", "no list").await;
    std::fs::write(&list, "no list").expect("written");
    refused(&newer, "5", "own.crl").await;
    authority.revoke("own", None, 7);
    assert_eq!(newer.asks(&house, &id, "6").await.status, StatusCode::OK);
    house.site.clock.advance(8 * 86_400);
    refused(&newer, "7", "newer list").await;
}

/// Shows REQ-SMART-95, REQ-SMART-131: an app that has registered by itself is let in by a person, as every app, and has no rights of
/// its own; the person reads who vouches for it, and for what; and what did not register to refresh does not stay connected.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_of_a_community_is_let_in_by_a_person() {
    let authority = Authority::new();
    let ward = Ward::at(authority.house()).await;
    let house = &ward.house;
    let software = authority.software("app", RSA, APP, 30);
    let answer = software.registers(house, &app(house, "1")).await;
    let id = id_of(&answer, StatusCode::CREATED);
    assert!(!answer.body["scope"].as_str().expect("scopes").contains("system/"), "{answer:?}");
    let callback = "https://app.example/callback";
    // Its authorization request does not say whose server it means.
    let query = query(&id, &[("redirect_uri", callback), ("aud", "")]);
    let mut browser = Browser::new(house);
    let page = browser.sign_in(&query, ("anna", &ward.code)).await;
    assert!(page.text.contains("Nobody of this hospital knows this app") && page.text.contains(APP), "{}", page.text);
    let sent = browser.allow(&page, &[]).await;
    let (address, answered) = sent.header("location").split_once('?').expect("parameters");
    assert_eq!(address, callback);
    let code =
        form_urlencoded::parse(answered.as_bytes()).find(|(name, _)| name == "code").expect("a code").1.into_owned();
    let assertion =
        |number: &str| software.signed(&changed(&assertion(house, &id, number), [("extensions", Value::Null)]));
    let exchange = async |assertion: &str| {
        let pairs = [
            ("grant_type", "authorization_code"),
            ("code", &*code),
            ("redirect_uri", callback),
            ("code_verifier", crate::people::VERIFIER),
            ("client_assertion_type", TYPE),
            ("client_assertion", assertion),
            ("udap", "1"),
        ];
        house
            .people_json(
                Request::post("/auth/token").header("content-type", "application/x-www-form-urlencoded"),
                form(&pairs),
            )
            .await
    };
    let stranger = Authority::new().software("app", RSA, APP, 30);
    let claims = changed(&self::assertion(house, &id, "0"), [("extensions", Value::Null)]);
    assert_eq!(exchange(&stranger.signed(&claims)).await.body["error"], "invalid_client");
    let access = token(&exchange(&assertion("1")).await, "access_token");
    assert_eq!(house.read(&access, &format!("Observation/{}", ward.reading)).await.status, StatusCode::OK);
    assert_eq!(house.read(&access, &format!("Observation/{}", ward.other)).await.status, StatusCode::NOT_FOUND);
    let own = software.asks(house, &id, "2").await;
    assert_eq!(own.body["error"], "invalid_scope", "{own:?}");

    assert!(answer.body["scope"].as_str().expect("scopes").contains("offline_access"), "{answer:?}");
    let once = changed(&app(house, "3"), [("grant_types", json!(["authorization_code"]))]);
    let answer = software.registers(house, &once).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert!(!answer.body["scope"].as_str().expect("scopes").contains("offline_access"), "{answer:?}");
}

/// Shows REQ-SMART-96: what the hub says of itself is signed by its certificate of the community that is asked for, and read by other
/// software (jose), which signs what is taken here.
#[tokio::test(flavor = "multi_thread")]
async fn software_of_npm_beside_oidc_reads_what_udap_says_here() {
    let (authority, second) = (Authority::new(), Authority::new());
    let house = house(vec![authority.community(COMMUNITY), second.community("https://second.example")]);
    authority.vouch("app", EC, APP, 30);
    let metadata =
        |query: &str| house.people_json(Request::get(format!("/fhir/.well-known/udap{query}")), String::new());
    let node = |at: &Path, verb: &str| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/udap/software.mjs");
        let output = Command::new("node").arg(script).arg(npm()).arg(verb).current_dir(at).output().expect("node");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    };
    for (query, authority) in [("", &authority), ("?community=https%3A%2F%2Fsecond.example", &second)] {
        let told = metadata(query).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        std::fs::write(authority.at().join("metadata.json"), told.body.to_string()).expect("written");
        let claims: Value = serde_json::from_str(&node(authority.at(), "read")).expect("JSON");
        assert_eq!((&claims["iss"], &claims["sub"]), (&json!(format!("{PUBLIC}/fhir")), &claims["iss"]));
        for name in ["authorization_endpoint", "token_endpoint", "registration_endpoint"] {
            assert_eq!((&claims[name], claims[name].is_string()), (&told.body[name], true), "{name}");
        }
        let lives = claims["exp"].as_i64().expect("exp") - claims["iat"].as_i64().expect("iat");
        assert_eq!(lives, 86_400);
    }
    assert_eq!(metadata("?community=https%3A%2F%2Fthird.example").await.status, StatusCode::NO_CONTENT);
    let none = House::new().people_json(Request::get("/fhir/.well-known/udap"), String::new()).await;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    std::fs::write(authority.at().join("claims.json"), statement(&house, "1").to_string()).expect("written");
    let registered = register(&house, &node(authority.at(), "sign")).await;
    let id = id_of(&registered, StatusCode::CREATED);
    std::fs::write(authority.at().join("claims.json"), assertion(&house, &id, "1").to_string()).expect("written");
    let given = ask(&house, &node(authority.at(), "sign"), &[("udap", "1")]).await;
    assert_eq!(given.status, StatusCode::OK, "{given:?}");
}

/// Shows REQ-SMART-97: a hub whose certificate its community would not believe does not begin.
#[test]
fn a_hub_has_a_certificate_that_its_community_believes() {
    let (authority, other) = (Authority::new(), Authority::new());
    let fine = authority.community(COMMUNITY);
    authority.vouch("elsewhere", RSA, "https://elsewhere.example/fhir", 30);
    authority.vouch("curve", EC, "https://fhir.example/fhir", 30);
    other.community(COMMUNITY);
    let at = |name: &str| authority.at().join(name);
    let opens = |config: CommunityConfig| {
        House::opened(None, |settings| settings.udap = vec![config]).map(drop).map_err(|error| error.to_string())
    };
    assert!(opens(fine.clone()).is_ok());
    for (what, config) in [
        ("name", CommunityConfig { certificate: at("elsewhere.pem"), key_file: at("elsewhere.key"), ..fine.clone() }),
        ("RSA", CommunityConfig { certificate: at("curve.pem"), key_file: at("curve.key"), ..fine.clone() }),
        ("key_file", CommunityConfig { key_file: at("elsewhere.key"), ..fine.clone() }),
        ("signature", CommunityConfig { anchors: other.at().join("ca.pem"), ..fine.clone() }),
        ("authority", CommunityConfig { anchors: at("hub.pem"), ..fine.clone() }),
        ("certificate", CommunityConfig { anchors: at("hub.key"), ..fine.clone() }),
        ("scopes", CommunityConfig { scopes: String::new(), ..fine.clone() }),
        ("revocation_lists", CommunityConfig { revocation_lists: vec![at("hub.key")], ..fine }),
    ] {
        let refused = opens(config).expect_err(what);
        assert!(refused.contains(what), "{what}: {refused}");
    }
}
