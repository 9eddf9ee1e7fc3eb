//! `medlock conformance`, against a hub as it is started by its administrator, and against servers that do wrong.

mod browser;
mod house;
mod wrong;

use crate::process::{Hub, Process, medlock};
use browser::Browser;
use house::House;
use medlock_testkit::free_port;
use serde_json::Value;
use std::collections::BTreeMap;
use std::process::Command;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// What a run has told.
pub(crate) struct Report {
    /// Result and reason of each test.
    tests: BTreeMap<String, (String, String)>,
    end: Value,
}

impl Report {
    /// Runs it, with a person who signs in when that is asked.
    pub(crate) fn of(command: &mut Command, mut person: Option<Browser>) -> Self {
        let mut process = Process::start(command);
        let mut tests = BTreeMap::new();
        loop {
            let event = process.next();
            let text = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
            match event["event"].as_str() {
                Some("open") => person.as_mut().expect("a person").open(&text("url")),
                Some("test") => _ = tests.insert(text("id"), (text("result"), text("why"))),
                _ => return Self { tests, end: event },
            }
        }
    }

    pub(crate) fn result(&self, id: &str) -> &str {
        self.tests.get(id).map_or("not asked", |(result, _)| result)
    }

    pub(crate) fn why(&self, id: &str) -> &str {
        self.tests.get(id).map_or("", |(_, why)| why)
    }

    /// All that ended so, with the reasons.
    pub(crate) fn all(&self, result: &str) -> Vec<String> {
        let all = self.tests.iter().filter(|(_, (one, _))| one == result);
        all.map(|(id, (_, why))| format!("{id}: {why}")).collect()
    }
}

pub(crate) fn smart() -> Command {
    let mut command = medlock();
    command.args(["conformance", "smart", "--json"]);
    command
}

/// Shows REQ-CONF-01: with everything given, each test of the suite is asked, and this hub passes it; nothing of the test data stays.
/// REQ-SMART-148: also those of scopes with a search, of a person's app and of software in its own name.
#[tokio::test(flavor = "multi_thread")]
async fn the_hub_passes_each_test() {
    let house = House::start().await;
    let mut command = smart();
    command.args(house.everything());
    let person = house.person();
    let report = tokio::task::spawn_blocking(move || Report::of(&mut command, Some(person))).await.expect("it ends");
    assert_eq!(report.all("fail"), [""; 0], "{}", report.end);
    assert_eq!(report.all("skip"), [""; 0], "{}", report.end);
    for id in ["g10_smart_fine_grained_scopes", "backend_fine_grained_scopes"] {
        assert_eq!(report.result(id), "pass", "{id}");
    }
    assert!(report.tests.len() > 120, "{}", report.tests.len());
    assert_eq!(report.end["left"], serde_json::json!([]));
    let found = house.found("Patient?name=Conformance").await;
    assert_eq!(
        found["total"].as_u64().or(found["entry"].as_array().map(|all| all.len() as u64)).unwrap_or(0),
        0,
        "{found}"
    );
}

/// Shows REQ-CONF-02: what cannot be asked is said to be skipped, with what it needs; the exit code says whether anything failed.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_given_is_skipped_and_said() {
    let house = House::start().await;
    let mut command = smart();
    command.args(["--base", &house.base]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it starts");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lines: Vec<Value> =
        String::from_utf8_lossy(&output.stdout).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let why = |id: &str| {
        let line = lines.iter().find(|line| line["id"] == id).unwrap_or_else(|| panic!("{id} is not told"));
        (line["result"].as_str().unwrap_or_default().to_owned(), line["why"].as_str().unwrap_or_default().to_owned())
    };
    for (id, needs) in [
        ("smart_backend_services_auth_request_success", "needs --client-id and --key"),
        ("jti_replayed", "needs --client-id and --key"),
        ("smart_code_received", "needs --app and --redirect"),
        ("mtls_token", "needs --certificate, --certificate-key and --device-base"),
        ("total_is_no_oracle", "needs --client-id and --key"),
        ("udap_registration_success", "needs --udap-chain, --udap-key and --udap-as"),
    ] {
        assert_eq!(why(id), ("skip".to_owned(), needs.to_owned()));
    }
    assert_eq!(why("well_known_endpoint").0, "pass");
    let text = medlock()
        .args(["conformance", "smart", "--only", "jti_replayed", "--base", &house.base])
        .output()
        .expect("it starts");
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(
        text.contains("skipped: needs --client-id and --key") && text.contains("0 passed, 0 failed, 1 skipped"),
        "{text}"
    );
}

/// Shows REQ-FUZZ-22: all that the CapabilityStatement lists works, what it does not list is refused, and of what is asked by chance nothing
/// fails within, each refusal says why, and each answer comes in time.
#[tokio::test(flavor = "multi_thread")]
async fn the_capability_statement_is_true_and_nothing_fails() {
    let house = House::start().await;
    let mut command = medlock();
    command.args(["conformance", "fhir-fuzz", "--json", "--rounds", "1500", "--seed", "22"]).args(house.software());
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it starts");
    let told: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(told["wrong"], serde_json::json!([]), "{told:#}");
    assert_eq!((output.status.code(), &told["left"]), (Some(0), &serde_json::json!(0)));
    let count = |name: &str| told[name].as_u64().unwrap_or_default();
    assert!(count("asked") > 2_000 && count("given") > 700 && count("refused") > 700, "{told}");
}

/// Shows REQ-FHIR-25, REQ-FHIR-66, REQ-FHIR-67: what is too large is refused in FHIR's words, whether it was announced or not.
#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_is_refused_with_an_outcome() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start_with(folder.path(), "[clinical]\nenabled = true\npublic_url = \"http://localhost:8080\"\n");
    // Nobody need send what was announced; and who sends all of it before anything is read, is answered too.
    let large = "x".repeat((1 << 20) + 1);
    let chunk = format!("{:x}\r\n{large}\r\n", large.len());
    let (all, chunks) = ("x".repeat(8_000_000), format!("{}0\r\n\r\n", chunk.repeat(8)));
    for (header, body, first) in [
        ("content-length: 2000000", "", false),
        ("transfer-encoding: chunked", &*chunk, false),
        ("content-length: 8000000", &*all, true),
        ("transfer-encoding: chunked", &*chunks, true),
    ] {
        let mut stream = tokio::net::TcpStream::connect(hub.people).await.expect("connected");
        let head = format!(
            "POST /fhir/Patient HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/fhir+json\r\n{header}\r\n\r\n"
        );
        let (mut from, mut to) = stream.split();
        let mut answer = Vec::new();
        let sent = async {
            // It may be refused before all of it has come.
            let sent = to.write_all(format!("{head}{body}").as_bytes()).await;
            assert!(!first || sent.is_ok(), "{header}: {sent:?}");
        };
        let read = async {
            let mut buffer = [0; 4_096];
            while !String::from_utf8_lossy(&answer).contains("}]}") {
                let count = from.read(&mut buffer).await.expect("an answer");
                assert_ne!(count, 0, "{}", String::from_utf8_lossy(&answer));
                answer.extend_from_slice(&buffer[..count]);
            }
        };
        if first {
            sent.await;
            read.await;
        } else {
            tokio::join!(sent, read);
        }
        let answer = String::from_utf8_lossy(&answer).into_owned();
        assert!(answer.starts_with("HTTP/1.1 413 ") && answer.contains("OperationOutcome"), "{header}: {answer}");
        assert!(answer.contains("fhir-too-much") && answer.contains("at most 1048576 bytes"), "{header}: {answer}");
    }
}

/// Shows REQ-FHIR-70: an address at which no FHIR server answers is told in one line, and not by each test.
#[tokio::test(flavor = "multi_thread")]
async fn where_no_fhir_server_is_the_suite_says_so_once() {
    let house = House::start().await;
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let plain = format!("http://{}/fhir", listener.local_addr().expect("an address"));
    let page = axum::Router::new().fallback(async || "<html>welcome</html>");
    tokio::spawn(async move { axum::serve(listener, page).await });
    let closed = format!("http://127.0.0.1:{}/fhir", free_port());
    let strange = format!("https://{}/fhir", house.hub.devices);
    for (base, why) in [(closed, "is the server up?"), (plain, "no FHIR server's address"), (strange, "--ca")] {
        for json in [false, true] {
            let mut command = medlock();
            command.args(["conformance", "smart", "--base", &base]).args(json.then_some("--json"));
            let output =
                tokio::task::spawn_blocking(move || command.output()).await.expect("it ends").expect("it starts");
            let told = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(
                (output.status.code(), output.stdout.len(), told.lines().count()),
                (Some(1), 0, 1),
                "{output:?}"
            );
            assert!(told.contains(&base) && told.contains(why), "{told}");
        }
    }
}

/// Shows REQ-FHIR-68: at its start a hub says where records are.
#[test]
fn a_hub_says_where_records_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start_with(folder.path(), "[clinical]\nenabled = true\npublic_url = \"http://localhost:8080\"\n");
    let up = &hub.up;
    assert_eq!(up["records"][0], "http://localhost:8080/fhir", "{up}");
    assert!(up["records"][1].as_str().is_some_and(|at| at.starts_with("https://") && at.ends_with("/fhir")), "{up}");
}
