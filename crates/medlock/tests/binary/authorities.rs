//! Several authorities in one hub.

use crate::process::{Hub, medlock};
use serde_json::Value;
use std::process::Command;

fn curl(url: &str) -> Vec<u8> {
    let output = Command::new("curl").args(["-sf", "--max-time", "20", url]).output().expect("curl starts");
    assert!(output.status.success(), "{url}: {}", output.status);
    output.stdout
}

fn ask(dir: &str, what: &[&str]) -> Value {
    let output = medlock().args(what).args(["--json", "--dir", dir]).output().expect("it starts");
    assert!(output.status.success(), "{what:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Shows REQ-RUN-01.
#[test]
fn a_hub_serves_makers_and_sites_that_were_configured_or_made_by_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let dir = hub.dir.to_str().expect("UTF-8").to_owned();
    hub.kill();
    hub.run_with("\n[authority.pumps]\norganization = \"Pump Works\"\nkind = \"maker\"\n\n[authority.clinic]\norganization = \"Day Clinic\"\nkind = \"site\"\ndevices = \"127.0.0.1:0\"\n");
    let made = ["authority", "create", "scanners", "--organization", "Scanner Works", "--kind", "maker"];
    ask(&dir, &made);
    let signal = Command::new("kill").args(["-HUP", &hub.id().to_string()]).status().expect("kill starts");
    assert!(signal.success());
    let url = |path: &str| format!("http://{}/{path}", hub.people);
    let began = std::time::Instant::now();
    while !Command::new("curl").args(["-sf", &url("a/scanners/log/key")]).output().expect("curl").status.success() {
        assert!(began.elapsed().as_secs() < 60, "what was made by command is not served");
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Each has keys, a log and a revocation list of its own.
    let mut keys = vec![curl(&url("log/key"))];
    let mut roots = vec![hub.ask(&["authority", "show"])["root_key"].clone()];
    let all = hub.ask(&["authority", "list"]);
    let names: Vec<_> =
        all.as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a name")).collect();
    assert_eq!(names, ["-", "clinic", "pumps", "scanners"]);
    for (name, kind) in [("clinic", "site"), ("pumps", "maker"), ("scanners", "maker")] {
        keys.push(curl(&url(&format!("a/{name}/log/key"))));
        assert!(curl(&url(&format!("a/{name}/crl/issuing.crl"))).starts_with(&[0x30]));
        let shown = ask(&format!("{dir}/authorities/{name}"), &["authority", "show"]);
        assert_eq!(shown["kind"], kind);
        roots.push(shown["root_key"].clone());
    }
    for (number, one) in keys.iter().enumerate() {
        assert!(!keys[number + 1..].contains(one), "two logs have one key");
        assert!(!roots[number + 1..].contains(&roots[number]), "two roots are one");
    }
    let output = medlock().args(made).args(["--dir", &dir]).output().expect("it starts");
    assert_eq!(output.status.code(), Some(1), "an authority was made twice");
}
