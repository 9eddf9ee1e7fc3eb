//! Where a hub keeps what it does: a file of its own, or a server that several hubs share.

use crate::process::{Device, Hub, medlock};
use medlock_testkit::PostgresServer;
use std::collections::BTreeSet;
use std::path::Path;

/// What a hub is to know of a server, as lines of `[hub]`.
fn on(server: &PostgresServer, schema: &str, hub: &str) -> String {
    format!("store = {:?}\nstore_schema = \"{schema}\"\nhub_name = \"{hub}\"\n", server.url())
}

/// Gives another hub the same keys: they are encrypted, and the passphrase lies beside them here.
fn copy_keys(from: &Path, to: &Path) {
    let copied = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status().expect("cp is there");
    assert!(copied.success());
}

/// Shows REQ-STORE-10: two hubs on one server issue as one authority, also while one of them is stopped and asked by command.
#[test]
fn two_hubs_on_one_server_issue_without_a_serial_twice_into_one_log() {
    const RENEWALS: usize = 12;
    let server = PostgresServer::shared();
    let schema = server.schema();
    let folders = [(); 2].map(|()| tempfile::tempdir().expect("a folder"));
    let one = Hub::start_with(folders[0].path(), &on(server, &schema, "hub-1"));
    let foreign = folders[1].path().join("medlock.toml");
    // A hub without the keys does not become another authority.
    std::fs::write(&foreign, format!("[hub]\nsite = \"Fault Hospital\"\ndir = {:?}\ndevices = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n{}", folders[1].path().join("hub"), on(server, &schema, "hub-2"))).expect("written");
    let refused = medlock().args(["up", "--config"]).arg(&foreign).output().expect("it starts");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(refused.status.code() == Some(1) && text.contains("keys are not here"), "{text}");
    std::fs::remove_dir_all(folders[1].path().join("hub/keys")).expect("an empty folder");
    copy_keys(&one.dir.join("keys"), &folders[1].path().join("hub/keys"));
    let mut two = Hub::start_with(folders[1].path(), &on(server, &schema, "hub-2"));

    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let devices: Vec<Device> = [(&one, "a"), (&two, "b"), (&one, "c"), (&two, "d")]
        .map(|(hub, name)| runtime.block_on(Device::enrol(hub, folders[0].path(), name)))
        .into();
    let renewing: Vec<_> = devices.iter().map(|device| runtime.spawn(device.clone().renew(RENEWALS))).collect();
    let acknowledged: Vec<Vec<String>> =
        renewing.into_iter().map(|one| runtime.block_on(one).expect("the task ends")).collect();

    // The second hub is stopped: by command it is reached all the same, beside the first.
    two.kill();
    two.ask(&["device", "suspend", "a", "--why", "asked at a hub that is stopped"]);
    let state = |hub: &Hub| hub.ask(&["device", "show", "a"])["state"].clone();
    assert_eq!((state(&one), state(&two)), ("suspended".into(), "suspended".into()));
    let mut serials = BTreeSet::new();
    let mut count = 0;
    for (device, acknowledged) in devices.iter().zip(&acknowledged) {
        let held = two.credentials(&device.name);
        count += held.len();
        serials.extend(held.iter().map(|one| one["serial"].as_str().expect("a serial").to_owned()));
        let held: BTreeSet<_> = held.iter().map(|one| one["id"].as_str().expect("an id").to_owned()).collect();
        assert!(acknowledged.iter().all(|one| held.contains(one)), "an acknowledged certificate is lost");
    }
    assert_eq!((count, serials.len()), (4 * (RENEWALS + 1), count), "a serial is there twice");
    let key = one.ask(&["log", "show"])["key"].as_str().expect("a key").to_owned();
    assert_eq!(two.ask(&["log", "show"])["key"], key.as_str());
    let whole = Hub::ask_without_folder(&["log", "verify", &format!("http://{}/log", one.people), "--key", &key]);
    // Root, issuing key and the two hubs' own credentials are in it too.
    assert_eq!(whole["size"], count + 4, "{whole}");
}

/// Shows REQ-STORE-09: nothing that a user types or the program prints has the password.
#[test]
fn a_password_in_the_configuration_is_refused_and_not_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("medlock.toml");
    std::fs::write(&config, "[hub]\nstore = \"postgresql://u:geheim@localhost/d\"\n").expect("written");
    let output = medlock().arg("check-config").arg(&config).output().expect("it starts");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.code() == Some(1) && said.contains("password") && !said.contains("geheim"), "{said}");
}
