//! How a hub starts where something is missing that should be there, or there that should not.

use crate::process::{Hub, Process, Sidecar, medlock};
use crate::stores::wait_until;
use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// What a command has said, and whether it was done.
fn run(what: &[&str], dir: &Path) -> (bool, String) {
    let done = medlock().args(what).arg("--dir").arg(dir).output().expect("it starts");
    let said = [done.stdout, done.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    (done.status.success(), said)
}

fn status(url: &str) -> String {
    let output = Command::new("curl").args(["-s", "--max-time", "20", "-w", " %{http_code}", url]).output();
    String::from_utf8_lossy(&output.expect("curl starts").stdout).into_owned()
}

/// Shows REQ-RUN-54, REQ-RUN-55: without the passphrase of a maker beside it the site starts, and says where people look what is off
/// and why; the maker is served again when the passphrase is back.
#[test]
fn a_maker_whose_passphrase_is_lost_does_not_stop_the_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let monitoring = std::net::TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("an address");
    let lines = format!("monitoring = \"{monitoring}\"\n");
    let mut hub = Hub::start_with(folder.path(), &lines);
    let made = ["authority", "create", "pumps", "--organization", "Pump Works", "--kind", "maker"];
    let (done, said) = run(&made, &hub.dir);
    let pumps = hub.dir.join("authorities/pumps");
    let (passphrase, away) = (pumps.join("keys/passphrase"), folder.path().join("away"));
    assert!(done && said.contains(&passphrase.display().to_string()) && said.contains("no backup has"), "{said}");
    hub.kill();
    std::fs::rename(&passphrase, &away).expect("moved");
    hub.run_with(&lines);
    hub.code("ct1", "modality");
    let alarms = || hub.ask(&["authority", "alarms"])["alarms"].as_array().expect("alarms").clone();
    let off =
        |alarm: &Value| alarm["kind"] == "authority-off" && alarm["text"].as_str().expect("text").contains("pumps");
    assert_eq!(alarms().iter().filter(|alarm| off(alarm)).count(), 1, "{:?}", alarms());
    let why = format!("{} is missing", passphrase.display());
    assert!(alarms().iter().any(|alarm| alarm["text"].as_str().expect("text").contains(&why)), "{:?}", alarms());
    let crl = format!("http://{}/a/pumps/crl/root.crl", hub.people);
    assert!(status(&crl).ends_with(" 503") && status(&crl).contains("is off"));
    let ready = status(&format!("http://{monitoring}/health/ready"));
    assert!(ready.ends_with(" 503") && ready.contains("authority pumps: it is off"), "{ready}");
    let metrics = status(&format!("http://{monitoring}/metrics"));
    assert!(metrics.contains("medlock_ready{authority=\"-\"} 1") && metrics.contains("{authority=\"pumps\"} 0"));
    let (done, said) = run(&["authority", "show"], &pumps);
    assert!(!done && said.contains(&why), "{said}");
    let all = hub.ask(&["authority", "list"]);
    assert!(all[0]["authority"].is_object() && all[1]["off"].as_str().expect("why").contains(&why), "{all}");

    std::fs::rename(&away, &passphrase).expect("moved");
    let hangup = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
    assert!(hangup.success());
    wait_until("the maker is not served again", || status(&crl).ends_with(" 200"));
    assert!(status(&format!("http://{monitoring}/health/ready")).ends_with(" 200"));
}

/// Shows REQ-CLI-45, REQ-CLI-46: a hub whose disk is not there makes no new site beside the passphrase of the old one; one that makes a
/// site says so, once.
#[test]
fn a_site_is_made_anew_only_where_there_was_none_and_is_told_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let passphrase = folder.path().join("secrets/passphrase");
    let lines = format!("passphrase_file = {passphrase:?}\n");
    let mut hub = Hub::start_with(folder.path(), &lines);
    let root = hub.ask(&["authority", "show"])["root_key"].as_str().expect("a key").to_owned();
    hub.kill();
    let first_line = |hub: &Hub| {
        hub.configure(&lines);
        let mut command = hub.command();
        let mut hub = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("it starts");
        let mut line = String::new();
        BufReader::new(hub.stdout.take().expect("a pipe")).read_line(&mut line).expect("it is up");
        drop(hub.stdin.take());
        assert!(hub.wait().expect("it ends").success());
        serde_json::from_str::<Value>(&line).expect("JSON")
    };
    let again = first_line(&hub);
    assert!(again["new"] == false && again["root_key"] == *root, "{again}");

    let config = folder.path().join("medlock.toml");
    let unmounted = folder.path().join("hub-on-its-disk");
    std::fs::rename(&hub.dir, &unmounted).expect("moved");
    for mount_point in [false, true] {
        if mount_point {
            std::fs::create_dir(&hub.dir).expect("made");
        }
        let refused = hub.refused(&lines);
        assert!(refused.contains("is the disk of") && refused.contains("secrets/passphrase"), "{refused}");
        let written = std::fs::read_dir(&hub.dir).map_or(0, Iterator::count);
        assert_eq!((hub.dir.exists(), written), (mount_point, 0), "it was begun");
    }
    let meant = medlock().args(["up", "--json", "--new-site", "--with-parent", "--config"]).arg(&config).output();
    let meant: Value = serde_json::from_slice(&meant.expect("it starts").stdout).expect("JSON");
    assert!(meant["new"] == true && meant["root_key"] != *root, "{meant}");
    std::fs::remove_dir_all(&hub.dir).expect("removed");
    std::fs::remove_file(&passphrase).expect("removed");
    let made = first_line(&hub);
    assert!(made["new"] == true && made["root_key"] != *root, "{made}");
    std::fs::remove_dir_all(&hub.dir).expect("removed");
    std::fs::remove_file(&passphrase).expect("removed");
    let mut words = medlock();
    words.args(["up", "--with-parent", "--config"]).arg(&config).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut words = words.spawn().expect("it starts");
    let lines = BufReader::new(words.stdout.take().expect("a pipe")).lines().map(|line| line.expect("text"));
    let said: Vec<String> = lines.take_while(|line| !line.starts_with("Next:")).collect();
    assert!(said.iter().any(|line| line.starts_with("A NEW SITE WAS MADE")), "{said:?}");
    assert!(said.iter().any(|line| line.contains("keys/root.key offline")), "{said:?}");
    drop(words.stdin.take());
    assert!(words.wait().expect("it ends").success());
}

/// Shows REQ-CLI-47: neither the folder of a sidecar nor ports that are taken leave the beginning of a site behind.
#[test]
fn a_hub_that_cannot_start_writes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let mut sidecar = Sidecar::enrol(&hub, folder.path(), "ct1", "modality", None);
    sidecar.kill();
    hub.kill();
    let of_sidecar = folder.path().join("ct1");
    let names = || {
        let entries = std::fs::read_dir(&of_sidecar).expect("a folder");
        let mut names: Vec<_> = entries.map(|entry| entry.expect("an entry").file_name()).collect();
        names.sort_unstable();
        names
    };
    let before = names();
    let (done, said) = run(&["up"], &of_sidecar);
    assert!(!done && said.contains("is the folder of a sidecar"), "{said}");
    assert_eq!(names(), before);

    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let new = folder.path().join("new");
    let text = format!("[hub]\ndevices = \"127.0.0.1:0\"\npeople = \"{}\"\n", taken.local_addr().expect("an address"));
    std::fs::write(folder.path().join("new.toml"), text).expect("written");
    let config = folder.path().join("new.toml");
    let (done, said) = run(&["up", "--config", config.to_str().expect("UTF-8")], &new);
    assert!(!done && said.contains("hub.people") && said.contains("cannot be opened"), "{said}");
    assert!(!new.exists(), "a site was begun");
}

/// Shows REQ-CLI-52: a sidecar that is sent to another port than that for devices says so.
#[test]
fn a_sidecar_says_that_what_answers_is_no_hub() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let code = hub.code("ct1", "modality");
    let mut command = medlock();
    command.args(["sidecar", "dicom", "--json", "--with-parent", "--listen", "127.0.0.1:0", "--plain", "127.0.0.1:0"]);
    command.args(["--hub", &hub.people.to_string(), "--dir"]).arg(folder.path().join("ct1"));
    let mut sidecar = Process::start(command.env("MEDLOCK_CODE", code));
    let trouble = sidecar.event("trouble");
    assert!(trouble["error"].as_str().expect("text").contains("speaks no TLS"), "{trouble}");
}
