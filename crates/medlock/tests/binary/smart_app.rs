//! An app that its developers wrote with the SMART JavaScript client, which knows nothing of us, in a browser.

use crate::clinical::{Caller, glucose};
use crate::process::{Device, Hub, Process, medlock};
use medlock_testkit::{free_port, peers};
use serde_json::{Value, json};
use std::process::Command;

/// Shows REQ-SMART-111: npm `fhirclient` in Chromium does a standalone launch: it discovers, a person signs in and allows it, it has the
/// patient, reads pages, refreshes, and reads nobody else's record.
#[tokio::test(flavor = "multi_thread")]
async fn fhirclient_launches_in_a_browser() {
    let folder = tempfile::tempdir().expect("a folder");
    let people = free_port();
    let public = format!("http://localhost:{people}");
    let clinical = format!("\n[clinical]\nenabled = true\npublic_url = \"{public}\"\n");
    let hub = Hub::start_at(([127, 0, 0, 1], people).into(), folder.path(), &clinical);
    let gateway = Device::enrol_as(&hub, folder.path(), "gw1", "gateway").await;
    let site = Caller::new(&gateway, &hub, "system/*.crs").await;
    let mut made = Vec::new();
    for name in ["Anna", "Bert"] {
        made.push(site.create(&json!({ "resourceType": "Patient", "name": [{ "family": name }] })).await);
    }
    let (anna, bert) = (&made[0], &made[1]);
    let device = json!({ "resourceType": "Device", "patient": { "reference": format!("Patient/{anna}") } });
    let device = site.create(&device).await;
    for value in [101, 102, 103, 104, 105] {
        site.create(&glucose(anna, &device, value)).await;
    }
    let modules = peers::npm().join("node_modules");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/binary/smart_app.js");
    let mut app = Process::start(Command::new("node").arg(script).env("NODE_PATH", modules));
    let port = app.next()["listening"].as_u64().expect("a port");
    let callback = format!("http://127.0.0.1:{port}/app");
    let scope = "openid fhirUser launch/patient patient/*.rs offline_access";
    let added = hub.ask(&["clinical", "client", "add", "Sugar", "--redirect", &callback, "--scope", scope]);
    let user = hub.ask(&["clinical", "user", "add", "anna", "--person", &format!("Patient/{anna}")]);
    app.give(&json!({
        "iss": format!("{public}/fhir"), "client": added["client"]["id"], "scope": scope, "user": "anna", "code": user["code"],
        "other": bert,
    }));
    let seen = app.next();
    assert_eq!(seen.get("failed"), None, "{seen}");
    assert_eq!((&seen["patient"], &seen["user"]), (&json!("Anna"), &json!(format!("Patient/{anna}"))), "{seen}");
    let mut values: Vec<u64> = seen["values"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    values.sort_unstable();
    assert_eq!((values, &seen["total"]), (vec![101, 102, 103, 104, 105], &json!(5)), "{seen}");
    assert_eq!((&seen["refreshed"], &seen["other"]), (&json!(true), &json!(404)), "{seen}");
    assert!(seen["consent"].as_str().is_some_and(|text| text.contains("Sugar")), "{seen}");
}

/// Shows REQ-DEMO-07: what the demonstration prints is all that a person with a browser needs: its client shows the readings and the
/// images, finds nothing while consent is withdrawn, and all of it when that is taken back. Shows REQ-SMART-203: also after it was
/// opened anew.
#[test]
fn the_demonstrations_own_client_is_used_in_a_browser() {
    let mut demo = Process::start(medlock().args(["up", "--demo", "--ward", "imaging", "--json", "--with-parent"]));
    let report = demo.next();
    let steps = report["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["held"] == true), "{report:#}");
    let ready = &report["ready"];
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/binary/viewer.js");
    let modules = peers::npm().join("node_modules");
    let mut person = Process::start(Command::new("node").arg(script).env("NODE_PATH", modules));
    person.give(&json!({ "app": ready["app"], "user": ready["user"], "code": ready["code"] }));
    let seen = person.next();
    assert_eq!(seen.get("failed"), None, "{seen}");
    assert_eq!((&seen["who"], &seen["points"], &seen["wrong"]), (&json!("PHANTOM"), &json!(36), &json!([])), "{seen}");
    assert!(seen["asked"].as_str().is_some_and(|text| text.contains("Ward Viewer")), "{seen}");
    assert_eq!((&seen["withdrawn"], &seen["allowed"]), (&json!([false, true]), &json!([true, false])), "{seen}");
    assert_eq!(seen["address"], ready["app"], "the code does not stay in the address: {seen}");
    let images: Vec<u64> = seen["images"].as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
    let sent = report["images_sent"].as_u64().expect("a number");
    // Beside them, what the CT had begun to send when it was cut off.
    assert!(images.iter().sum::<u64>() >= sent && sent > 0, "{seen}");
    demo.end();
}
