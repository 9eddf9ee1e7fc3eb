//! The clinical face of a hub, as devices meet it.

mod images;
mod notices;

use crate::process::{Device, Hub, medlock};
use bytes::Bytes;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use http::{Method, Response, StatusCode};
use medlock_node::http::Client;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

const CLINICAL: &str = "\n[clinical]\nenabled = true\npublic_url = \"http://localhost:8080\"\n";

/// A device with its client and token.
pub(crate) struct Caller {
    client: Client,
    token: String,
}

impl Caller {
    pub(crate) async fn new(device: &Device, hub: &Hub, scope: &str) -> Self {
        let client = device.client(hub);
        let answer = token(&client, scope).await;
        let body = body(&answer);
        assert_eq!(answer.status(), StatusCode::OK, "{body}");
        Self { token: body["access_token"].as_str().expect("a token").to_owned(), client }
    }

    fn request(&self, method: Method, path: &str, body: &Value) -> http::Request<Bytes> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let mut request = self.client.request(method, path, Some("application/fhir+json"), body).expect("a request");
        let token = format!("Bearer {}", self.token).parse().expect("a header");
        request.headers_mut().insert("authorization", token);
        request
    }

    /// Creates a resource; its identifier.
    pub(crate) async fn create(&self, resource: &Value) -> String {
        let kind = resource["resourceType"].as_str().expect("a kind");
        let request = self.request(Method::POST, &format!("/fhir/{kind}"), resource);
        let answer = self.client.send(request).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED, "{}", body(&answer));
        let location = answer.headers()["location"].to_str().expect("text").to_owned();
        location.rsplit('/').nth(2).expect("an identifier").to_owned()
    }

    pub(crate) async fn get(&self, path: &str) -> Response<Bytes> {
        self.client.send(self.request(Method::GET, path, &Value::Null)).await.expect("an answer")
    }
}

async fn token(client: &Client, scope: &str) -> Response<Bytes> {
    let form = format!("grant_type=client_credentials&scope={scope}");
    client.post("/auth/token", "application/x-www-form-urlencoded", form).await.expect("an answer")
}

fn body(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or(Value::Null)
}

pub(crate) fn glucose(patient: &str, device: &str, value: u32) -> Value {
    json!({
        "resourceType": "Observation",
        "status": "final",
        "code": { "coding": [{ "system": "http://loinc.org", "code": "99504-3" }] },
        "subject": { "reference": format!("Patient/{patient}") },
        "device": { "reference": format!("Device/{device}") },
        "effectiveDateTime": "2026-01-01T08:00:00Z",
        "valueQuantity": { "value": value, "unit": "mg/dL", "system": "http://unitsofmeasure.org", "code": "mg/dL" },
    })
}

/// Shows REQ-SMART-01, REQ-SMART-03, REQ-FHIR-01: a token by certificate, durable writes, and nothing for a thief within a
/// second of the news.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_writes_with_its_certificate_and_reads_it_back_and_a_stolen_one_does_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start_with(folder.path(), CLINICAL);
    let gateway = Device::enrol_as(&hub, folder.path(), "gw1", "gateway").await;
    let sensor = Device::enrol(&hub, folder.path(), "cgm1").await;

    let site = Caller::new(&gateway, &hub, "system/*.crs").await;
    let anna = site.create(&json!({ "resourceType": "Patient", "name": [{ "family": "Anna" }] })).await;
    let bert = site.create(&json!({ "resourceType": "Patient", "name": [{ "family": "Bert" }] })).await;
    let identifier = json!([{ "system": "urn:medlock:fhir:device", "value": "cgm1" }]);
    let patient = json!({ "reference": format!("Patient/{anna}") });
    let device = json!({ "resourceType": "Device", "identifier": identifier, "patient": patient });
    let device = site.create(&device).await;

    // Its own data, of its own patient.
    let own = Caller::new(&sensor, &hub, "system/Observation.crs").await;
    let reading = own.create(&glucose(&anna, &device, 104)).await;
    let read = body(&own.get(&format!("/fhir/Observation/{reading}")).await);
    assert_eq!((read["valueQuantity"]["value"].as_u64(), read["meta"]["versionId"].as_str()), (Some(104), Some("1")));
    let found = body(&own.get(&format!("/fhir/Observation?patient={anna}&code=http://loinc.org|99504-3")).await);
    assert_eq!(found["entry"][0]["resource"]["id"], reading.as_str());
    let of_another = own.request(Method::POST, "/fhir/Observation", &glucose(&bert, &device, 1));
    let refused = own.client.send(of_another).await.expect("an answer");
    assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY, "{}", body(&refused));
    // The token without the certificate, and the certificate of another with it.
    let borrowed = Caller { client: gateway.client(&hub), token: own.token.clone() };
    assert_eq!(borrowed.get("/fhir/Observation").await.status(), StatusCode::UNAUTHORIZED);
    let plain = Caller { client: Client::plain(hub.people.to_string()), token: own.token.clone() };
    assert_eq!(plain.get("/fhir/Observation").await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(body(&plain.get("/fhir/metadata").await)["resourceType"], "CapabilityStatement");

    // What was acknowledged outlives the hub, and the token with it.
    hub.kill();
    hub.run_with(CLINICAL);
    let own = Caller { client: sensor.client(&hub), token: own.token };
    assert_eq!(own.get(&format!("/fhir/Observation/{reading}")).await.status(), StatusCode::OK);

    // Stolen: the token is dead within a second of the news, also on a connection that is open.
    let mut open = own.client.connection().await.expect("connected");
    let ask = || own.request(Method::GET, "/fhir/Observation", &Value::Null);
    assert_eq!(open.send(ask()).await.expect("an answer").status(), StatusCode::OK);
    hub.ask(&["device", "revoke", "cgm1", "--reason", "stolen", "--why", "the bag is gone"]);
    let began = Instant::now();
    // Refused, or the connection is ended.
    while matches!(open.send(ask()).await, Ok(answer) if answer.status() == StatusCode::OK) {
        assert!(began.elapsed() < Duration::from_secs(1), "the token of a stolen device is good");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    if let Ok(answer) = own.client.send(ask()).await {
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{}", body(&answer));
    }
    let site = Caller { client: gateway.client(&hub), token: site.token };
    let found = body(&site.get(&format!("/fhir/Observation?patient={anna}")).await);
    assert_eq!(found["entry"].as_array().map(Vec::len), Some(1), "the others go on, and what it wrote before is there");
}

/// Asks at the people's door as a browser does, with its cookie and a form.
async fn browse(hub: &Hub, path: &str, cookie: &str, form: Option<String>) -> Response<Bytes> {
    let client = Client::plain(hub.people.to_string());
    let method = if form.is_some() { Method::POST } else { Method::GET };
    let of = form.as_ref().map(|_| "application/x-www-form-urlencoded");
    let mut request = client.request(method, path, of, Bytes::from(form.unwrap_or_default())).expect("a request");
    request.headers_mut().insert("origin", "http://localhost:8080".parse().expect("a header"));
    request.headers_mut().insert("cookie", cookie.parse().expect("a header"));
    client.send(request).await.expect("an answer")
}

/// What stands behind `before` in a text, up to a quotation mark.
fn behind(text: &str, before: &str) -> String {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{before}: {text}"));
    rest.split(['"', '&', ';']).next().unwrap_or_default().to_owned()
}

/// Shows REQ-CLI-33, REQ-KEYS-101, REQ-SMART-74, REQ-SUB-46: software and people are registered by commands; a person signs in and allows it,
/// and the signer process signs the ID token, by a key that a command lists and drops.
#[tokio::test(flavor = "multi_thread")]
async fn software_that_is_registered_by_a_command_is_let_in_by_a_person() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start_with(folder.path(), CLINICAL);
    let gateway = Device::enrol_as(&hub, folder.path(), "gw1", "gateway").await;
    let site = Caller::new(&gateway, &hub, "system/*.crs").await;
    let anna = site.create(&json!({ "resourceType": "Patient", "name": [{ "family": "Anna" }] })).await;

    let callback = "http://127.0.0.1:9/cb";
    let added = hub.ask(&["clinical", "client", "add", "Sugar", "--redirect", callback, "--id-token", "ES256"]);
    let client = added["client"]["id"].as_str().expect("an identifier").to_owned();
    let user = hub.ask(&["clinical", "user", "add", "anna", "--person", &format!("Patient/{anna}")]);
    let code = user["code"].as_str().expect("a code");

    let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let query = format!(
        "response_type=code&client_id={client}&redirect_uri={callback}&scope=openid+patient/*.rs&state=12345678\
         &aud=http://localhost:8080/fhir&code_challenge=E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM&code_challenge_method=S256"
    );
    let page = browse(&hub, &format!("/auth/authorize?{query}"), "x=1", None).await;
    let cookie = |answer: &Response<Bytes>| {
        let cookie = answer.headers()["set-cookie"].to_str().expect("text");
        cookie.split(';').next().expect("a cookie").to_owned()
    };
    let ticket = behind(&String::from_utf8_lossy(page.body()), "name=\"ticket\" value=\"");
    let form = format!("ticket={ticket}&name=anna&code={code}");
    let signed_in = browse(&hub, "/auth/login", &cookie(&page), Some(form)).await;
    assert_eq!(signed_in.status(), StatusCode::SEE_OTHER, "{signed_in:?}");
    let cookie = cookie(&signed_in);
    let page = browse(&hub, &format!("/auth/authorize?{query}"), &cookie, None).await;
    let ticket = behind(&String::from_utf8_lossy(page.body()), "name=\"ticket\" value=\"");
    let form = format!("ticket={ticket}&decision=allow&scope=openid&scope=patient/*.rs");
    let allowed = browse(&hub, "/auth/consent", &cookie, Some(form)).await;
    let code = behind(allowed.headers()["location"].to_str().expect("text"), "?code=");
    let form = format!(
        "grant_type=authorization_code&client_id={client}&code={code}&redirect_uri={callback}&code_verifier={verifier}"
    );
    let given = browse(&hub, "/auth/token", "x=1", Some(form)).await;
    let given = body(&given);
    assert_eq!(given["patient"].as_str(), Some(&*anna), "{given}");
    let signed = given["id_token"].as_str().expect("an ID token").to_owned();
    assert_eq!(signed.split('.').count(), 3, "{given}");
    let own = Caller {
        client: Client::plain(hub.people.to_string()),
        token: given["access_token"].as_str().expect("a token").to_owned(),
    };
    let path = format!("/fhir/Patient/{anna}");
    assert_eq!(own.get(&path).await.status(), StatusCode::OK);
    assert_eq!(hub.ask(&["clinical", "user", "list"])["accounts"][0]["name"], "anna");
    // Apps are opened, devices get their resources, and lost passkeys go, by commands too.
    let chart =
        hub.ask(&["clinical", "client", "add", "Chart", "--redirect", callback, "--scope", "launch patient/*.rs"]);
    let chart = chart["client"]["id"].as_str().expect("an identifier");
    let patient = format!("Patient/{anna}");
    let opened = hub.ask(&["clinical", "launch", chart, "--patient", &patient, "--user", "anna", "--no-banner"]);
    assert_eq!(opened["launch"].as_str().map(str::len), Some(43), "{opened}");
    assert_eq!(opened["iss"], "http://localhost:8080/fhir");
    let device = site.create(&json!({ "resourceType": "Device", "patient": { "reference": patient } })).await;
    let bound = hub.ask(&["clinical", "device", "bind", "gw1", &format!("Device/{device}")]);
    assert_eq!(bound["answer"], "done", "{bound}");
    let read = body(&site.get(&format!("/fhir/Device/{device}")).await);
    assert_eq!(read["identifier"], json!([{ "system": "urn:medlock:fhir:device", "value": "gw1" }]));
    assert_eq!(hub.ask(&["clinical", "device", "release", "gw1"])["answer"], "done");
    assert_eq!(hub.ask(&["clinical", "delivery", "list"])["deliveries"], json!([]));
    assert_eq!(hub.ask(&["clinical", "user", "lost-passkeys", "anna"])["answer"], "done");
    assert_eq!(hub.ask(&["clinical", "subscription", "list"])["subscriptions"], json!([]));
    let shown = hub.ask(&["clinical", "audit", "show", &patient])["events"].as_array().expect("events").clone();
    assert!(shown.iter().all(|event| event["resourceType"] == "AuditEvent"), "{shown:?}");
    assert!(shown.iter().any(|event| event["action"] == "C"), "{shown:?}");
    // The key that signed is listed with its hub; one that is dropped is shown no more.
    let listed = |kid: &str| {
        let all = hub.ask(&["clinical", "key", "list"])["keys"].as_array().expect("keys").clone();
        all.into_iter().find(|key| key["key"] == kid).expect("listed")
    };
    let header = BASE64URL_NOPAD.decode(signed.split('.').next().expect("a header").as_bytes()).expect("Base64");
    let kid = serde_json::from_slice::<Value>(&header).expect("JSON")["kid"].as_str().expect("a name").to_owned();
    let key = listed(&kid);
    assert_eq!((&key["algorithm"], &key["state"]), (&json!("ES256"), &json!("shown")), "{key}");
    assert_eq!(key["hub"], "hub", "by the name in its credential");
    let is_shown = async || {
        let set = body(&browse(&hub, "/auth/keys", "x=1", None).await);
        set["keys"].as_array().expect("keys").iter().any(|key| key["kid"] == *kid)
    };
    assert!(is_shown().await);
    assert_eq!(hub.ask(&["clinical", "key", "drop", &kid])["answer"], "done");
    assert_eq!(listed(&kid)["state"], "dropped");
    assert!(!is_shown().await);
    hub.ask(&["clinical", "client", "remove", chart]);
    hub.ask(&["clinical", "client", "remove", &client]);
    assert_eq!(own.get(&path).await.status(), StatusCode::UNAUTHORIZED);
    assert_eq!(hub.ask(&["clinical", "client", "list"])["clients"], json!([]));
}

/// Shows REQ-CLI-25: records are not served where they would be read on the way.
#[test]
fn plain_http_beyond_this_machine_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    for (more, said) in [
        ("\n[clinical]\nenabled = true\n", "clinical.public_url"),
        ("\n[clinical]\nenabled = true\npublic_url = \"http://fhir.example\"\n", "clinical.public_url"),
        (
            "\n[clinical]\nenabled = true\npublic_url = \"https://fhir.example\"\nkinds = [\"Encounter\"]\n",
            "clinical.kinds",
        ),
        ("\n[clinical]\nenabled = true\nport = 1\n", "port"),
        (
            "\n[clinical]\nenabled = true\npublic_url = \"https://fhir.example\"\n[clinical.outbound]\nhosts = [\"https://x\"]\n",
            "[clinical.outbound]",
        ),
    ] {
        let error = hub.refused(more);
        assert!(error.contains(said), "{error}");
    }
}

/// The root of a hub's site, in a file.
fn written_root(hub: &Hub, file: &Path) -> String {
    std::fs::write(file, hub.ask(&["authority", "show"])["root_pem"].as_str().expect("PEM")).expect("written");
    file.to_str().expect("UTF-8").to_owned()
}

/// What `medlock inspect` says of a Provenance: its exit code, and the answer by the name of what was compared.
fn inspected(file: &Path, provenance: &Value, more: &[&str]) -> (Option<i32>, HashMap<String, String>) {
    std::fs::write(file, provenance.to_string()).expect("written");
    let output = medlock().args(["inspect", "--json"]).arg(file).args(more).output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let told: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text} {output:?}"));
    let fields = told[0]["fields"].as_array().expect("fields").iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    (output.status.code(), fields.map(|field| (text(&field["name"]), text(&field["value"]))).collect())
}

/// Shows REQ-INTAKE-14: credential, proof and verdict agree, without a network; and whatever is changed, something disagrees.
#[tokio::test(flavor = "multi_thread")]
async fn a_provenance_is_checked_without_a_network() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start_with(folder.path(), CLINICAL);
    let gateway = Device::enrol_as(&hub, folder.path(), "gw1", "gateway").await;
    let site = Caller::new(&gateway, &hub, "system/*.crs").await;
    let anna = site.create(&json!({ "resourceType": "Patient" })).await;
    let device =
        site.create(&json!({ "resourceType": "Device", "patient": { "reference": format!("Patient/{anna}") } })).await;
    let reading = site.create(&glucose(&anna, &device, 104)).await;
    let found = body(&site.get(&format!("/fhir/Provenance?target=Observation/{reading}")).await);
    let provenance = found["entry"][0]["resource"].clone();
    let key = hub.ask(&["log", "show"])["key"].as_str().expect("a key").to_owned();
    let root = written_root(&hub, &folder.path().join("root.pem"));
    let audit = hub.ask(&["clinical", "audit", "verify"]);
    assert!(audit["entries"].as_u64() > Some(2) && audit["broken"].is_null(), "{audit}");
    hub.kill();

    let file = folder.path().join("provenance.json");
    let believed = ["--root", root.as_str(), "--log-key", key.as_str()];
    let (code, told) = inspected(&file, &provenance, &believed);
    assert_eq!((code, told["device"].as_str()), (Some(0), "gw1"), "{told:#?}");
    let compared = [
        "credential and certificate",
        "device and certificate",
        "certificate and issuer",
        "certificate and log",
        "verdict and certificate",
        "verdict and mark",
    ];
    assert!(compared.iter().all(|name| told[*name] == "agree"), "{told:#?}");
    // Nobody is believed who was not named.
    let (code, told) = inspected(&file, &provenance, &[]);
    assert_eq!((code, told["certificate and log"].as_str()), (Some(0), "not checked"), "{told:#?}");
    let evidence = |name: &str| {
        let all = provenance["extension"][0]["extension"].as_array().expect("evidence");
        all.iter().position(|one| one["url"] == name).unwrap_or_else(|| panic!("{name}: {provenance:#}"))
    };
    let but = |change: &dyn Fn(&mut Value)| {
        let mut changed = provenance.clone();
        change(&mut changed);
        inspected(&file, &changed, &believed)
    };
    let of = |name: &str, member: &'static str, value: Value| {
        let place = evidence(name);
        but(&|changed| changed["extension"][0]["extension"][place][member] = value.clone())
    };
    let flipped = |name: &str| {
        let text =
            provenance["extension"][0]["extension"][evidence(name)]["valueBase64Binary"].as_str().expect("bytes");
        let mut bytes = BASE64.decode(text.as_bytes()).expect("base64");
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
        json!(BASE64.encode(&bytes))
    };
    for (compared, (code, told)) in [
        ("credential and certificate", of("credential", "valueString", json!("00000000000000000000000000000000"))),
        ("device and certificate", but(&|changed| changed["agent"][0]["who"]["identifier"]["value"] = json!("gw2"))),
        ("certificate and log", of("log-proof", "valueBase64Binary", flipped("log-proof"))),
        ("verdict and certificate", of("operation", "valueCode", json!("treat"))),
        ("verdict and certificate", of("verdict", "valueCode", json!("deny"))),
        ("verdict and certificate", but(&|changed| changed["recorded"] = json!("2090-01-01T00:00:00Z"))),
        (
            "verdict and mark",
            but(&|changed| {
                changed["meta"]["tag"] = json!([{ "system": "urn:medlock:fhir:mark", "code": "suspended" }]);
            }),
        ),
    ] {
        assert_eq!((code, told[compared].as_str()), (Some(1), "DISAGREE"), "{compared}: {told:#?}");
    }
    let (_, told) = of("log-proof", "valueBase64Binary", json!(BASE64.encode(b"x")));
    assert_eq!(told["certificate and log"], "DISAGREE");
    // Another site's log and root.
    std::fs::create_dir(folder.path().join("other")).expect("a folder");
    let other = Hub::start(&folder.path().join("other"));
    let other_key = other.ask(&["log", "show"])["key"].as_str().expect("a key").to_owned();
    let other_root = written_root(&other, &folder.path().join("other.pem"));
    let (code, told) = inspected(&file, &provenance, &["--root", &other_root, "--log-key", &other_key]);
    assert_eq!(code, Some(1));
    assert!(told["certificate and issuer"] == "DISAGREE" && told["certificate and log"] == "DISAGREE", "{told:#?}");
}
