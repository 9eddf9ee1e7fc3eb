//! What a registrar and a MASA remember: devices that came to nobody, or to somebody else, and whose they were.

use super::{World, ask};
use data_encoding::BASE64;
use medlock_node::brski::{self, AuditLog, VOUCHER_CMS, VoucherRequest};
use medlock_node::clock::Clock;
use medlock_node::identity::IdentityStore;
use medlock_trust::x509::Certificate;
use serde_json::Value;
use std::process::Command;
use std::time::{Duration, Instant};

/// The lines of an authority's audit trail with this verb, newest first.
fn audit(world: &World, authority: &str, verb: &str) -> Vec<Value> {
    let trail = ask(&world.authority(authority), &["authority", "audit"]);
    let entries = trail["entries"].as_array().expect("entries").clone();
    entries.into_iter().filter(|entry| entry["verb"] == verb).collect()
}

/// Shows REQ-PROV-48, REQ-PROV-49, REQ-PROV-52, REQ-PROV-61, REQ-PROV-62, REQ-AUTH-40.
#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_nobody_registered_is_shown_and_one_at_a_wrong_site_leaves_a_trace() {
    let world = World::new();
    let (hub, clinic) = (world.hub.devices, world.clinic);
    let list = || world.hub.ask(&["device", "list"])["unregistered"].as_array().expect("a list").clone();
    assert!(list().is_empty());
    for _ in 0..3 {
        world.is_refused("P-1", hub, "no device with the maker's serial P-1 is registered").await;
    }
    world.is_refused("P-2", hub, "register NAME --role actuator --maker-serial P-2 --maker-key").await;
    let shown = list();
    let serials: Vec<_> = shown.iter().map(|one| one["serial"].as_str().expect("a serial")).collect();
    assert!(serials.len() == 2 && serials.contains(&"P-1") && serials.contains(&"P-2"), "{shown:?}");
    let one = shown.iter().find(|one| one["serial"] == "P-1").expect("P-1");
    assert_eq!((&one["maker"], &one["count"]), (&"Pumps".into(), &1.into()), "once a minute: {one}");
    assert!(one["address"].as_str().is_some_and(|from| from.starts_with("127.0.0.1:")), "{one}");
    let traces = audit(&world, "hub", "request-voucher");
    assert_eq!(traces.len(), 2, "{traces:?}");
    assert_eq!(
        traces.iter().filter(|line| line["subject"] == "P-1" && line["outcome"] == "it is not registered").count(),
        1
    );

    assert_eq!(one["roles"], serde_json::json!(["actuator"]), "as its birth credential says: {one}");
    // As it is shown, it is registered in one command.
    let key = one["maker_key"].as_str().expect("a key");
    let register = ["--role", "actuator", "--maker-serial", "P-1", "--maker-key", key];
    let registered = world.hub.ask(&[&["device", "register", "pump1"], &register[..]].concat());
    assert_eq!(registered.get("warning"), None, "{registered}");
    // A slip of the pen is said.
    let slip = ["device", "register", "pump1", "--update", "--role", "modality", "--maker-serial", "P-1"];
    let slip = world.hub.ask(&[&slip[..], &["--maker-key", key]].concat());
    let warning = slip["warning"].as_str().unwrap_or_default();
    assert!(warning.contains("registered as modality") && warning.contains("made as actuator"), "{slip}");
    world.hub.ask(&[&["device", "register", "pump1", "--update"], &register[..]].concat());
    let left = list();
    assert!(left.len() == 1 && left[0]["serial"] == "P-2", "{left:?}");

    // It is another site's: this site and its maker know that it was here.
    world.sell("P-1", "clinic");
    for _ in 0..2 {
        world.is_refused("P-1", hub, "belongs to another owner").await;
    }
    for authority in ["hub", "pumps"] {
        let lines = audit(&world, authority, "request-voucher");
        let refused =
            lines.iter().filter(|line| line["outcome"].as_str().is_some_and(|why| why.contains("another owner")));
        let refused: Vec<_> = refused.collect();
        assert!(refused.len() == 1 && refused[0]["subject"] == "P-1", "{authority}: {lines:?}");
        let who = refused[0]["who"].as_str().expect("somebody");
        assert!(who.contains(if authority == "hub" { "device P-1 at 127.0.0.1" } else { "site " }), "{who}");
    }
    let states = world.hub.ask(&["device", "list"])["devices"].clone();
    let pump = states.as_array().into_iter().flatten().find(|one| one["entry"]["name"] == "pump1");
    assert_eq!(pump.map(|pump| &pump["state"]), Some(&"no-voucher".into()), "{states}");
    assert!(world.hub.ask(&["authority", "alarms"]).to_string().contains("\"no-voucher\""));
    assert!(audit(&world, "clinic", "request-voucher").is_empty());
    world.register("clinic", "pump1", "P-1");
    world.plug_in("P-1", clinic).await.expect("it enrols at its owner");
}

/// Shows REQ-PROV-50, REQ-PROV-51; curl asks as another maker's registrar would.
#[tokio::test(flavor = "multi_thread")]
async fn whoever_owned_a_device_reads_to_whom_else_vouchers_were_given() {
    let world = World::new();
    let maker = world.authority("pumps");
    world.sell("P-5", "hub");
    world.sell("P-5", "hub");
    ask(&maker, &["voucher", "release", "--serial", "P-5", "--why", "resold"]);
    world.sell("P-5", "clinic");
    world.register("clinic", "pump5", "P-5");
    world.plug_in("P-5", world.clinic).await.expect("it enrols at its owner");

    // The registrar asks when the device has believed its voucher, and names the owner before.
    let root = world.root("hub");
    let before = Certificate::from_der(&root).expect("a root");
    let before = BASE64.encode(before.extensions().subject_key_id().expect("a key identifier"));
    let start = Instant::now();
    let line = loop {
        if let Some(line) = audit(&world, "clinic", "audit-log").pop() {
            break line;
        }
        assert!(start.elapsed() < Duration::from_secs(20), "no line");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let told = line["outcome"].as_str().expect("text");
    assert!(line["subject"] == "pump5" && told.contains("vouchers of P-5 for this site ("), "{line}");
    assert!(told.contains(&format!("the domain {before} (2, the last at ")), "{before}: {line}");

    // The former owner asks, with curl.
    let store = IdentityStore::open(&world.authority("hub").join("hub")).expect("a hub's own");
    let identity = store.current().expect("an identity");
    let now = Clock::system().now();
    let ask_log = |serial: &str| {
        let request = VoucherRequest {
            created_on: now,
            nonce: None,
            serial_number: serial.to_owned(),
            idevid_issuer: None,
            proximity: None,
            prior: None,
        };
        let body = world.at("request.cms");
        std::fs::write(&body, brski::sign(&identity, &request.write(), now).expect("signed")).expect("written");
        let url = format!("https://{}/.well-known/brski/requestauditlog", world.masa);
        let output = Command::new("curl")
            .args(["-s", "-k", "-H", &format!("Content-Type: {VOUCHER_CMS}"), "-w", "\n%{http_code} %{content_type}"])
            .args(["--data-binary", &format!("@{}", body.display()), &url])
            .output()
            .expect("curl");
        let text = String::from_utf8(output.stdout).expect("UTF-8");
        let (body, status) = text.rsplit_once('\n').expect("a status");
        (body.to_owned(), status.to_owned())
    };
    let (body, status) = ask_log("P-5");
    assert_eq!(status, "200 application/json", "{body}");
    let log = AuditLog::read(body.as_bytes()).expect("a log");
    let nonced: Vec<_> = log.events.iter().map(|event| (event.nonce.is_some(), event.truncated)).collect();
    assert_eq!(nonced, [(true, 0), (false, 0), (false, 1)], "{body}");
    assert_eq!((log.version, &log.events[2].domain_id, log.truncation.nonceless_duplicates), (1, &before, 1));
    assert_eq!((&log.events[0].domain_id, log.events[0].assertion.as_str()), (&log.events[1].domain_id, "verified"));
    let (why, status) = ask_log("P-6");
    assert!(status.starts_with("404 ") && why.contains("was never yours"), "{status} {why}");
    let (why, status) = ask_log("P-99");
    assert!(status.starts_with("404 ") && why.contains("gave no device"), "{status} {why}");
}
