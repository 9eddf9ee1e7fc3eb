//! SIGKILL at any moment: nothing that was promised is lost, and everybody comes back by themselves.

use crate::process::{Device, Hub, Process, Sidecar, medlock};
use serde_json::Value;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

/// CT and PACS with their sidecars.
pub(crate) struct Ward {
    pub(crate) ct: Sidecar,
    pacs: Sidecar,
    _archive: Process,
}

impl Ward {
    pub(crate) fn start(hub: &Hub, folder: &Path) -> Self {
        let mut archive = Process::start(medlock().args(["ward", "pacs", "--title", "PACS1", "--with-parent"]));
        let machine: SocketAddr =
            archive.event("listening")["address"].as_str().expect("an address").parse().expect("an address");
        let pacs = Sidecar::enrol(hub, folder, "pacs1", "archive", Some(machine));
        let ct = Sidecar::enrol(hub, folder, "ct1", "modality", None);
        for (device, title, sidecar) in [("pacs1", "PACS1", &pacs), ("ct1", "CT1", &ct)] {
            hub.ask(&["route", "set", device, "--ae", title, "--address", &sidecar.listen.to_string()]);
        }
        Self { ct, pacs, _archive: archive }
    }

    /// The CT sends one image; why it could not.
    pub(crate) fn send(&self) -> Option<String> {
        let address = self.ct.plain.to_string();
        let arguments = ["ward", "ct", "--calling", "CT1", "--called", "PACS1", "--make", "1", "--address", &address];
        let result = Process::start(medlock().args(arguments).arg("--with-parent")).next();
        result["error"].as_str().map(str::to_owned)
    }

    /// The CT sends until it can: routes and status arrive in their own time.
    pub(crate) fn sends_soon(&self) {
        let mut last = None;
        for _ in 0..100 {
            last = self.send();
            if last.is_none() {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the CT cannot send: {last:?}");
    }
}

/// Shows REQ-CLI-20: a hub that is down stops neither running nor new associations, and a sidecar comes back without it.
#[test]
fn associations_go_on_without_the_hub_and_a_killed_sidecar_comes_back_with_its_identity() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let mut ward = Ward::start(&hub, folder.path());
    ward.sends_soon();
    hub.kill();
    assert_eq!(ward.send(), None, "without the hub");
    ward.ct.kill();
    ward.pacs.kill();
    ward.ct.run();
    ward.pacs.run();
    assert_eq!(ward.send(), None, "without the hub, after both sidecars were killed");
    hub.run();
    assert_eq!(hub.credentials("ct1").len(), 1, "it came back with the identity it had");
    hub.ask(&["device", "suspend", "ct1", "--why", "is the news heard again?"]);
    for _ in 0..300 {
        if ward.send().is_some() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("the news of the hub that came back is not heard");
}

/// Shows REQ-CLI-21: the hub starts its signer again, and issues as before.
#[test]
fn a_killed_signer_is_started_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let first = hub.signer();
    let killed = std::process::Command::new("kill").args(["-9", &first.to_string()]).status().expect("kill is there");
    assert!(killed.success());
    let sidecar = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    assert_ne!(hub.signer(), first);
    assert_eq!(hub.credentials("ct1").len(), 1);
    drop(sidecar);
}

/// Shows REQ-CLI-22: whenever the hub is killed, no acknowledged certificate is lost and no serial is used twice.
#[test]
fn killing_the_hub_in_the_middle_of_issuance_loses_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime");
    let devices: Vec<Device> =
        (0..4).map(|number| runtime.block_on(Device::enrol(&hub, folder.path(), &format!("device{number}")))).collect();
    let mut acknowledged: Vec<BTreeSet<String>> =
        devices.iter().map(|device| BTreeSet::from([device.present()])).collect();
    for round in 0..8_u64 {
        let renewing: Vec<_> =
            devices.iter().map(|device| runtime.spawn(device.clone().renew_until_it_fails())).collect();
        // Different moments of issuance are met in each round.
        std::thread::sleep(Duration::from_millis(40 + round * 137));
        hub.kill();
        for (handle, seen) in renewing.into_iter().zip(&mut acknowledged) {
            seen.extend(runtime.block_on(handle).expect("the task ends"));
        }
        hub.run();
    }
    let mut serials = BTreeSet::new();
    let mut renewals = 0;
    for (device, seen) in devices.iter().zip(&acknowledged) {
        let credentials = hub.credentials(&device.name);
        let recorded: BTreeSet<String> = credentials.iter().map(|one| text(one, "id")).collect();
        assert!(seen.is_subset(&recorded), "{}: {seen:?} of {recorded:?}", device.name);
        for credential in &credentials {
            assert!(serials.insert(text(credential, "serial")), "a serial was used twice");
        }
        renewals += seen.len() - 1;
    }
    assert!(renewals > 0, "nothing was issued while the hub was killed: the test shows nothing");
    assert_eq!(
        hub.ask(&["authority", "alarms"])["alarms"].as_array().map(Vec::len),
        Some(0),
        "a kill looked like a clone"
    );
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}")).to_owned()
}

/// Shows REQ-CLI-24: a device whose key was compromised knows it, and comes back with a new key and a new approval.
#[test]
fn a_compromised_sidecar_comes_back_with_a_new_code() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let mut sidecar = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    hub.ask(&["device", "revoke", "ct1", "--reason", "key-compromise", "--why", "the disk was copied"]);
    assert_eq!(sidecar.event("standing")["code"], "compromised");
    sidecar.kill();
    sidecar.enrol_with_new_code(&hub, "ct1");
    let states: Vec<String> = hub.credentials("ct1").iter().map(|one| text(one, "state")).collect();
    assert_eq!(states, ["good", "compromised"]);
}

/// Shows REQ-CLI-23: a damaged database is reported with its file and what to do.
#[test]
fn a_damaged_database_is_reported_with_its_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    hub.kill();
    let database = hub.dir.join("authority.sqlite");
    let _ = std::fs::remove_file(hub.dir.join("authority.sqlite-wal"));
    std::fs::write(&database, b"this is no database, and was never one").expect("written");
    let output = hub.command().env("MEDLOCK_LOG", "off").output().expect("it starts");
    assert_eq!(output.status.code(), Some(1));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("authority.sqlite") && errors.contains("backup"), "{errors}");
}
