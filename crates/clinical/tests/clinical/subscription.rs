//! Subscriptions, as those who are told see them: a web server of their own.

use crate::backend::Backend;
use crate::fixture::{Answer, Device, House, device, glucose, on_server, patient};
use crate::key_sets::certified;
use http::{Request, StatusCode};
use medlock_node::outbound::OutboundConfig;
use medlock_node::stop::{self, Stopper};
use medlock_testkit::peers::venv;
use medlock_testkit::{Child, free_port};
use medlock_trust::Role;
use serde_json::{Value, json};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub(crate) const SCOPES: &str =
    "system/Subscription.cruds system/Observation.rs system/Patient.rs system/Consent.cruds";

/// A server that is told something.
pub(crate) struct Hook {
    folder: TempDir,
    port: u16,
    _server: Child,
}

impl Hook {
    pub(crate) fn new() -> Self {
        let (folder, port) = (certified(), free_port());
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clinical/hook.py");
        let mut server = Command::new(venv().join("bin/python3"));
        server.arg(script).arg(port.to_string()).current_dir(folder.path()).stdin(Stdio::null());
        let hook = Self { folder, port, _server: Child::start(&mut server).expect("python starts") };
        hook.answers(200);
        hook.takes(0.0);
        let began = Instant::now();
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(began.elapsed() < Duration::from_secs(20), "the hook does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
        hook
    }

    pub(crate) fn answers(&self, status: u16) {
        std::fs::write(self.folder.path().join("status"), status.to_string()).expect("written");
    }

    /// Where `slow` is in the path, it answers after so many seconds.
    pub(crate) fn takes(&self, seconds: f32) {
        std::fs::write(self.folder.path().join("slow"), seconds.to_string()).expect("written");
    }

    pub(crate) fn outbound(&self) -> OutboundConfig {
        let networks = ["127.0.0.0/8", "::1"].map(str::to_owned).to_vec();
        let ca = Some(self.folder.path().join("ca.pem"));
        OutboundConfig { hosts: vec![format!("localhost:{}", self.port)], networks, ca }
    }

    fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    pub(crate) fn address(&self, path: &str) -> String {
        format!("https://{}/{path}", self.host())
    }

    /// What was told so far.
    pub(crate) fn told(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.folder.path().join("told")).unwrap_or_default();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// What was told at this path, once it is so much.
    pub(crate) async fn until(&self, path: &str, count: usize) -> Vec<Value> {
        let began = Instant::now();
        loop {
            let mut told = self.told();
            told.retain(|one| one["path"].as_str().is_some_and(|told| told.starts_with(path)));
            if told.len() >= count {
                return told;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{path} was told {} times, not {count}", told.len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// A Subscription as the administrator sees it.
pub(crate) async fn seen(house: &House, id: &str) -> Value {
    let told = house.administer(json!({ "verb": "subscriptions" })).await.body;
    let all = told["subscriptions"].as_array().expect("a list");
    all.iter().find(|one| one["id"] == id).cloned().unwrap_or_default()
}

/// A house that tells, a gateway that writes, and software that wants to be told.
pub(crate) struct Ward<'h> {
    pub(crate) house: &'h House,
    pub(crate) gateway: Device<'h>,
    pub(crate) backend: Backend<'h>,
    pub(crate) token: String,
    /// Anna and Bert, each with a sensor.
    pub(crate) patients: [(String, String); 2],
    /// It tells while this is there.
    pub(crate) stopper: Stopper,
}

impl<'h> Ward<'h> {
    pub(crate) async fn new(house: &'h House) -> Self {
        let (stopper, stop) = stop::channel();
        tokio::spawn(Arc::clone(&house.clinical).keep(stop));
        let gateway = house.device("gw", Role::Gateway).with("system/*.crs").await;
        let mut patients = Vec::new();
        for name in ["Anna", "Bert"] {
            let of = gateway.create(&patient(name)).await.made();
            let own = gateway.create(&device(name, &of)).await.made();
            patients.push((of, own));
        }
        let backend = Backend::new(house, SCOPES).await;
        let token = backend.token(SCOPES).await;
        let patients = patients.try_into().expect("two");
        Self { house, gateway, backend, token, patients, stopper }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Answer {
        let request = Request::builder().method(method).uri(format!("/fhir/{path}"));
        let request = request.header("authorization", format!("Bearer {}", self.token));
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.house.people_json(request.header("content-type", "application/fhir+json"), body).await
    }

    pub(crate) async fn subscribe(&self, subscription: &Value) -> String {
        self.send("POST", "Subscription", subscription).await.made()
    }

    /// What is read there, once it is so; of a Subscription, what the administrator sees.
    pub(crate) async fn until(&self, path: &str, so: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        loop {
            let now = match path.strip_prefix("Subscription/") {
                Some(id) => seen(self.house, id).await,
                None => self.gateway.get(path).await.body,
            };
            if so(&now) {
                return now;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "{path}: {now}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// One of the patients allows nothing any more.
    pub(crate) async fn deny(&self, of: usize) {
        let coded = |system: &str, code: &str| json!([{ "coding": [{ "system": system, "code": code }] }]);
        let consent = json!({
            "resourceType": "Consent", "status": "active", "patient": { "reference": format!("Patient/{}", self.patients[of].0) },
            "scope": coded("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy")[0],
            "category": coded("http://loinc.org", "59284-0"),
            "policy": [{ "uri": "urn:medlock:fhir:base-policy" }],
            "provision": { "provision": [{ "type": "deny" }] },
        });
        self.send("POST", "Consent", &consent).await.made();
    }

    /// A reading of one of the patients; its identifier.
    pub(crate) async fn reading(&self, of: usize, minute: u32) -> String {
        let (patient, device) = &self.patients[of];
        self.gateway.create(&glucose(patient, device, &format!("2024-01-01T08:{minute:02}:00Z"))).await.made()
    }
}

pub(crate) fn subscription(criteria: &str, endpoint: &str, whole: bool) -> Value {
    let mut channel = json!({ "type": "rest-hook", "endpoint": endpoint });
    if whole {
        channel["payload"] = "application/fhir+json".into();
    }
    json!({ "resourceType": "Subscription", "status": "requested", "reason": "care", "criteria": criteria, "channel": channel })
}

pub(crate) fn houses(hook: &Hook) -> [House; 2] {
    [None, Some(on_server())].map(|place| House::calling(place, hook.outbound()))
}

/// Shows REQ-SUB-02, REQ-SUB-03: readings are told as resources or as a mere sign; while the server is away they wait, longer each time,
/// and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn new_readings_are_told_and_told_again_until_they_arrive() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let (whole, sign) = (format!("{number}/whole"), format!("{number}/sign"));
        let criteria = "Observation?code=http://loinc.org|99504-3";
        let id = ward.subscribe(&subscription(criteria, &hook.address(&whole), true)).await;
        ward.subscribe(&subscription("Observation?code=other", &hook.address("never"), false)).await;
        ward.subscribe(&subscription("Observation", &hook.address(&sign), false)).await;
        assert_eq!(ward.send("GET", &format!("Subscription/{id}"), &Value::Null).await.body["status"], "active");

        let first = ward.reading(0, 1).await;
        let told = hook.until(&format!("/{whole}"), 1).await;
        assert_eq!(
            (&told[0]["method"], &told[0]["path"]),
            (&"PUT".into(), &format!("/{whole}/Observation/{first}").into())
        );
        let body: Value = serde_json::from_str(told[0]["body"].as_str().expect("text")).expect("JSON");
        assert_eq!((&body["id"], &body["valueQuantity"]["value"]), (&first.clone().into(), &101.into()));
        let told = hook.until(&format!("/{sign}"), 1).await;
        assert_eq!((&told[0]["method"], &told[0]["body"]), (&"POST".into(), &"".into()), "nothing of it is told");

        hook.answers(503);
        let second = ward.reading(1, 2).await;
        hook.until(&format!("/{whole}"), 2).await;
        hook.answers(200);
        let third = ward.reading(0, 3).await;
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        assert_eq!(hook.until(&format!("/{whole}"), 2).await.len(), 2, "it is not tried again before its time");
        house.site.clock.advance(2);
        let told = hook.until(&format!("/{whole}"), 4).await;
        let paths: Vec<&str> = told[2..].iter().filter_map(|one| one["path"].as_str()).collect();
        let expected = [&second, &third].map(|id| format!("/{whole}/Observation/{id}"));
        assert_eq!(paths, expected, "in their order, none lost");
        assert!(hook.told().iter().all(|one| one["path"] != "/never"));
    }
}

/// Shows REQ-SUB-04, REQ-SUB-05, REQ-SUB-13: what a patient does not allow is not told, from then on; with the registration of the software all ends,
/// and the Subscription says so. What is told is in the audit, and where to without the path.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_is_not_told() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let ward = Ward::new(house).await;
        let path = format!("/{number}/hook");
        let id = ward.subscribe(&subscription("Observation", &hook.address(&path[1..]), true)).await;
        ward.reading(0, 1).await;
        hook.until(&path, 1).await;
        ward.deny(0).await;
        let hidden = ward.reading(0, 2).await;
        let seen = ward.reading(1, 3).await;
        let told = hook.until(&path, 2).await;
        let last = told.last().and_then(|one| one["path"].as_str()).expect("told").to_owned();
        assert!(
            last.ends_with(&seen)
                && told.iter().all(|one| !one["path"].as_str().unwrap_or_default().ends_with(&hidden))
        );

        let asked = format!("AuditEvent?patient=Patient/{}", ward.patients[1].0);
        let audit = ward.until(&asked, |audit| audit.to_string().contains(&hook.host())).await.to_string();
        assert!(!audit.contains(&path), "the path may be a secret: {audit}");

        let removed = house.administer(json!({ "verb": "remove-client", "id": ward.backend.id() })).await;
        assert_eq!(removed.status, StatusCode::OK, "{removed:?}");
        ward.reading(1, 4).await;
        let ended = ward.until(&format!("Subscription/{id}"), |now| now["status"] == "off").await;
        assert_eq!(ended["error"], "what was granted has ended", "{ended:?}");
        assert_eq!(hook.until(&path, 2).await.len(), 2);
    }
}

/// Shows REQ-SMART-144: a subscriber is told of what its scopes let through at that moment, also where more is subscribed to, and where what it
/// was told of becomes something else.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_scope_hides_is_not_told() {
    let hook = Hook::new();
    for (number, house) in houses(&hook).iter().enumerate() {
        let mut ward = Ward::new(house).await;
        let path = format!("/{number}/hook");
        ward.token = ward.backend.token("system/Subscription.cruds system/Observation.rs?category=vital-signs").await;
        ward.subscribe(&subscription("Observation", &hook.address(&path[1..]), true)).await;
        let category = |code: &str| json!([{ "coding": [{ "system": "urn:t", "code": code }] }]);
        let of = async |code: &str, minute: u32| {
            let (patient, device) = &ward.patients[0];
            let mut reading = glucose(patient, device, &format!("2024-01-01T08:{minute:02}:00Z"));
            reading["category"] = category(code);
            ward.gateway.create(&reading).await.made()
        };
        let hidden = of("laboratory", 1).await;
        let seen = of("vital-signs", 2).await;
        hook.until(&path, 1).await;
        let last = of("vital-signs", 3).await;
        hook.until(&path, 2).await;
        let changed = async |id: &str, to: &str| {
            let gateway = house.device("gw", Role::Gateway).with("system/*.rus").await;
            let mut body = gateway.get(&format!("Observation/{id}")).await.body;
            body["category"] = category(to);
            let headers = [("content-type", "application/fhir+json")];
            let put = gateway.send("PUT", &format!("Observation/{id}"), &headers, &body.to_string()).await;
            assert_eq!(put.status, StatusCode::OK, "{put:?}");
        };
        changed(&seen, "laboratory").await;
        changed(&hidden, "vital-signs").await;
        hook.until(&path, 3).await;
        changed(&hidden, "laboratory").await;
        of("laboratory", 4).await;
        let end = of("vital-signs", 5).await;
        let told = hook.until(&path, 4).await;
        let told: Vec<&str> = told.iter().filter_map(|one| one["path"].as_str()?.rsplit('/').next()).collect();
        assert_eq!(told, [seen.as_str(), &last, &hidden, &end]);
    }
}

/// Shows REQ-SUB-06: what cannot or may not be told is refused when it is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_told_is_refused() {
    let hook = Hook::new();
    let house = House::calling(None, hook.outbound());
    let ward = Ward::new(&house).await;
    let fine = hook.address("x");
    for (criteria, endpoint, code) in [
        ("Observation?nothing=x", fine.as_str(), "fhir-unknown-parameter"),
        ("Encounter", &fine, "fhir-subscription"),
        ("AuditEvent", &fine, "fhir-subscription"),
        ("Device", &fine, "fhir-forbidden"),
        ("Observation", "https://elsewhere.example/x", "fhir-subscription"),
        ("Observation", "http://localhost/x", "fhir-subscription"),
        ("Observation", "https://127.0.0.1/x", "fhir-subscription"),
        ("Observation", &format!("{fine}?a=b"), "fhir-subscription"),
    ] {
        let answer = ward.send("POST", "Subscription", &subscription(criteria, endpoint, true)).await;
        assert_eq!(answer.code(), code, "{criteria} {endpoint}: {answer:?}");
    }
    let of_device = ward.gateway.create(&subscription("Observation", &fine, true)).await;
    assert_eq!(of_device.code(), "fhir-forbidden", "{of_device:?}");
}
