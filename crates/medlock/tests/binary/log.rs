//! The transparency log as its readers use it: with the real binary, and nothing of the hub but its address and its key.

use crate::process::{Hub, Process, medlock};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn run(arguments: &[&str]) -> Output {
    medlock().args(arguments).output().expect("the medlock binary starts")
}

fn lines(output: &Output) -> Vec<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))).collect()
}

fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// Shows REQ-LOG-06.
#[test]
fn a_log_is_verified_watched_and_witnessed_from_outside() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut hub = Hub::start(folder.path());
    let log = hub.ask(&["log", "show"]);
    let key = log["key"].as_str().expect("a key").to_owned();
    let root = folder.path().join("root.pem");
    std::fs::write(&root, hub.ask(&["authority", "show"])["root_pem"].as_str().expect("PEM")).expect("written");

    // A proof, offline: after the hub is gone.
    let proof = folder.path().join("root.tlog-proof");
    let made = run(&["log", "proof", text(&root), "--out", text(&proof), "--dir", text(&hub.dir)]);
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let url = format!("http://{}/log", hub.people);
    let state = folder.path().join("state.json");
    let monitor =
        ["log", "monitor", &url, "--key", &key, "--watch", "hub", "--watch", "ct*", "--state", text(&state), "--json"];
    let seen = lines(&run(&monitor));
    assert_eq!(seen.len(), 2, "{seen:?}");
    assert_eq!(seen[0]["entry"]["device"], "hub");
    assert_eq!((&seen[1]["size"], &seen[1]["new"]), (&3.into(), &3.into()));
    assert_eq!(lines(&run(&monitor))[0]["new"], 0, "an entry was reported twice");
    let whole = lines(&run(&["log", "verify", &url, "--key", &key, "--json"]));
    assert_eq!((&whole[0]["size"], &whole[0]["authorities"]), (&3.into(), &2.into()));

    // A witness that the hub asks.
    let witness_dir = folder.path().join("witness");
    let mut witness =
        Process::start(medlock().args(["log", "witness", "--name", "w.example", "--log-key", &key, "--json"]).args([
            "--listen",
            "127.0.0.1:0",
            "--with-parent",
            "--dir",
            text(&witness_dir),
        ]));
    let up = witness.event("up");
    let (witness_key, at) = (up["key"].as_str().expect("a key"), up["listen"].as_str().expect("an address"));
    hub.kill();
    hub.run_with(&format!("log_witnesses = [{{ key = \"{witness_key}\", url = \"http://{at}\" }}]\n"));
    let url = format!("http://{}/log", hub.people);
    let verify = ["log", "verify", &url, "--key", &key, "--witness", witness_key, "--json"];
    let began = std::time::Instant::now();
    let cosigned = loop {
        let output = run(&verify);
        if output.status.success() {
            break lines(&output);
        }
        assert!(began.elapsed().as_secs() < 60, "{}", String::from_utf8_lossy(&output.stderr));
        std::thread::sleep(std::time::Duration::from_millis(200));
    };
    assert_eq!(cosigned[0]["witnesses"][0]["name"], "w.example");

    hub.kill();
    let verify = |key: &str, credential: &Path| {
        run(&["log", "verify", "--proof", text(&proof), "--credential", text(credential), "--key", key])
    };
    assert!(verify(&key, &root).status.success());
    let other = folder.path().join("other");
    std::fs::create_dir(&other).expect("a folder");
    let other_hub = Hub::start(&other);
    let other_key = other_hub.ask(&["log", "show"])["key"].as_str().expect("a key").to_owned();
    assert_eq!(verify(&other_key, &root).status.code(), Some(1), "another log's key was believed");
    std::fs::write(&root, other_hub.ask(&["authority", "show"])["root_pem"].as_str().expect("PEM")).expect("written");
    assert_eq!(verify(&key, &root).status.code(), Some(1), "another credential was believed");
    // A monitor that has seen one log is not shown another one.
    let elsewhere = format!("http://{}/log", other_hub.people);
    let mut fooled = monitor.to_vec();
    (fooled[2], fooled[4]) = (&elsewhere, &other_key);
    assert_eq!(run(&fooled).status.code(), Some(1));
}
