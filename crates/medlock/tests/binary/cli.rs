//! The command line as scripts see it: the real binary, certificates made by openssl.

use crate::process::{Device, Hub};
use serde_json::Value;
use std::path::Path;
use std::process::{Command, Output};

fn medlock(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_medlock")).args(arguments).output().expect("the medlock binary starts")
}

fn openssl(folder: &Path, line: &str) {
    let status = Command::new("openssl")
        .args(line.split_whitespace())
        .current_dir(folder)
        .stderr(std::process::Stdio::null())
        .status()
        .expect("openssl is missing; `cargo xtask test` installs it");
    assert!(status.success(), "openssl {line}");
}

/// A folder with `ca.pem` and a device's `leaf.pem`, good for 30 days from now.
fn chain() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let at = folder.path();
    openssl(at, "ecparam -name prime256v1 -genkey -noout -out ca.key");
    openssl(
        at,
        "req -x509 -new -key ca.key -subj /CN=Root -days 3650 -out ca.pem -addext basicConstraints=critical,CA:TRUE \
         -addext keyUsage=critical,keyCertSign,cRLSign",
    );
    openssl(at, "ecparam -name prime256v1 -genkey -noout -out leaf.key");
    openssl(at, "req -new -key leaf.key -subj /CN=pump1 -out leaf.csr");
    std::fs::write(at.join("ext"), "subjectAltName=DNS:pump1.example,IP:192.0.2.1,URI:urn:dev:1\n").expect("written");
    openssl(at, "x509 -req -in leaf.csr -CA ca.pem -CAkey ca.key -set_serial 7 -days 30 -extfile ext -out leaf.pem");
    folder
}

fn in_days(days: i64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970").as_secs();
    medlock_trust::Time::from_unix(i64::try_from(now).expect("small") + days * 86_400).to_string()
}

fn verify(folder: &Path, at: &str, operation: &str, status: &str, more: &[&str]) -> (Option<i32>, Value) {
    let file = |name: &str| folder.join(name).to_str().expect("UTF-8").to_owned();
    let (anchors, leaf) = (file("ca.pem"), file("leaf.pem"));
    let mut arguments = vec![
        "verify",
        "--anchors",
        &anchors,
        "--chain",
        &leaf,
        "--at",
        at,
        "--operation",
        operation,
        "--status",
        status,
        "--json",
    ];
    arguments.extend_from_slice(more);
    let output = medlock(&arguments);
    let answer = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), answer)
}

/// Shows REQ-CLI-02: the standard's answer and the verdict are two things, and the exit code is the verdict's.
#[test]
fn verify_tells_the_path_from_the_verdict() {
    let folder = chain();
    let cases = [
        // days, operation, status, path reason, verdict, code
        (1, "store", "fresh", None, "allow", None),
        (1, "store", "none", None, "allow", Some("status-stale")),
        (60, "store", "fresh", Some("expired"), "allow", Some("expired-within-grace")),
        (400, "store", "fresh", Some("expired"), "allow", Some("expired-beyond-grace")),
        (400, "sustain", "none", Some("expired"), "allow", None),
        (400, "renew", "none", Some("expired"), "allow", None),
        (-400, "read", "fresh", Some("not-yet-valid"), "deny", Some("not-yet-valid")),
        (-400, "report", "fresh", Some("not-yet-valid"), "allow", Some("not-yet-valid")),
        (1, "treat", "fresh", None, "deny", Some("bond-missing")),
    ];
    for (days, operation, status, reason, verdict, code) in cases {
        let (exit, answer) = verify(folder.path(), &in_days(days), operation, status, &[]);
        let what = format!("{operation} in {days} days with status {status}: {answer}");
        assert_eq!(answer["path"]["valid"], reason.is_none(), "{what}");
        assert_eq!(answer["path"]["reason"].as_str(), reason, "{what}");
        assert_eq!(answer["verdict"], verdict, "{what}");
        assert_eq!(answer["code"].as_str(), code, "{what}");
        assert_eq!(exit, Some(i32::from(verdict == "deny")), "{what}");
        let owed = if verdict == "allow" && code.is_some() { 2 } else { 0 };
        assert_eq!(answer["obligations"].as_array().map(Vec::len), Some(owed), "{what}");
    }
}

/// Shows REQ-CLI-02: with a bond, the rows for commands are those of the table.
#[test]
fn verify_supposes_a_bond_only_when_told() {
    let folder = chain();
    for (days, status, verdict) in
        [(1, "fresh", "allow"), (60, "fresh", "allow"), (400, "fresh", "deny"), (1, "none", "deny")]
    {
        let (_, answer) = verify(folder.path(), &in_days(days), "treat", status, &["--bonded"]);
        assert_eq!(answer["verdict"], verdict, "{days} {status}: {answer}");
    }
}

/// Shows REQ-CLI-02.
#[test]
fn verify_checks_names_of_every_form() {
    let folder = chain();
    for name in ["dns:pump1.example", "ip:192.0.2.1", "uri:urn:dev:1"] {
        let (exit, answer) = verify(folder.path(), &in_days(1), "store", "fresh", &["--name", name]);
        assert_eq!((exit, answer["path"]["valid"].as_bool()), (Some(0), Some(true)), "{name}: {answer}");
    }
    for name in ["dns:pump2.example", "ip:192.0.2.2", "uri:urn:dev:2"] {
        let (exit, answer) = verify(folder.path(), &in_days(1), "store", "fresh", &["--name", name]);
        assert_eq!((exit, answer["path"]["reason"].as_str()), (Some(1), Some("name-mismatch")), "{name}: {answer}");
    }
}

/// Shows REQ-CLI-02: another authority's key under the same name does not vouch.
#[test]
fn verify_refuses_a_foreign_signature() {
    let (folder, other) = (chain(), chain());
    std::fs::copy(other.path().join("leaf.pem"), folder.path().join("leaf.pem")).expect("copied");
    let (exit, answer) = verify(folder.path(), &in_days(1), "read", "fresh", &[]);
    assert_eq!(exit, Some(1));
    assert_eq!(answer["path"]["valid"], false, "{answer}");
    assert_eq!(answer["verdict"], "deny");
}

/// Shows REQ-CLI-03.
#[test]
fn inspect_says_what_openssl_made() {
    let folder = chain();
    openssl(folder.path(), "x509 -in leaf.pem -outform DER -out leaf.der");
    for (file, what, field, value) in [
        ("leaf.pem", "certificate", "subject", "CN=pump1"),
        ("leaf.der", "certificate", "subject", "CN=pump1"),
        ("ca.pem", "certificate", "basicConstraints (critical)", "an authority"),
        ("leaf.csr", "certificate request", "signature", "right: whoever made this has the key"),
    ] {
        let output = medlock(&["inspect", "--json", folder.path().join(file).to_str().expect("UTF-8")]);
        assert!(output.status.success(), "{file}");
        let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(found[0]["what"], what, "{file}");
        let fields = found[0]["fields"].as_array().expect("fields");
        let said = fields.iter().find(|entry| entry["name"] == field).unwrap_or_else(|| panic!("{file}: {fields:#?}"));
        assert!(said["value"].as_str().expect("text").starts_with(value), "{file}: {said}");
    }
}

/// Shows REQ-CLI-03.
#[test]
fn inspect_does_not_show_keys_and_names_what_is_wrong() {
    let folder = chain();
    let key = medlock(&["inspect", folder.path().join("leaf.key").to_str().expect("UTF-8")]);
    assert_eq!(key.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&key.stderr).contains("private key"));
    let file = folder.path().join("damaged.der");
    std::fs::write(&file, [0x30, 0x03, 0x02, 0x01]).expect("written");
    let damaged = medlock(&["inspect", file.to_str().expect("UTF-8")]);
    assert_eq!(damaged.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&damaged.stderr).contains("damaged.der"));
}

/// Shows REQ-CLI-04.
#[test]
fn wrong_usage_is_exit_code_2_and_says_what_is_right() {
    let output = medlock(&["verify", "--operation", "fly"]);
    assert_eq!(output.status.code(), Some(2));
    let output = medlock(&["device", "list", "--dir", "no-such-folder"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("medlock up"), "{output:?}");
    let output = medlock(&["device", "code", "ct1", "--minutes", "0"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("--minutes") && said.contains("1..=10080"), "{said}");
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().to_str().expect("UTF-8");
    for hub in ["hub.example", "hub.example:", ":8443", "hub.example:https"] {
        let output = medlock(&["sidecar", "dicom", "--hub", hub, "--dir", folder]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("is not HOST:PORT"), "{hub}: {said}");
    }
}

/// Shows REQ-CLI-41: what every command takes, those take too that name a log.
#[test]
fn what_is_logged_can_be_chosen_where_a_log_is_named() {
    for verb in [&["log", "verify"][..], &["log", "monitor", "--state", "/nonexistent/state"]] {
        let output = medlock(&[verb, &["--log", "info", "/nonexistent", "--key", "k"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("there is no such file"), "{verb:?}: {said}");
    }
}

/// Shows REQ-CLI-49, REQ-CLI-50: a label that is none says which there are; an update keeps what is not given, and `show` shows all of
/// it; a host that nobody knows is not called protected.
#[test]
fn what_is_typed_wrong_does_nothing_and_says_what_there_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let dir = hub.dir.to_str().expect("UTF-8");
    for verb in ["compromised", "retire"] {
        let output = medlock(&["authority", verb, "isuing", "--dir", dir]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(1) && said.contains("there are issuing, root"), "{said}");
    }
    let unknown = ["authority", "compromised", "00000000000000000000000000000000", "--dir", dir];
    let output = medlock(&unknown);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("Nothing was withdrawn"), "{said}");
    assert!(medlock(&[&unknown[..], &["--anyway", "--why", "a test"]].concat()).status.success());

    hub.ask(&["device", "register", "ct1", "--role", "modality", "--ae", "CT1", "--type", "7", "--dns", "ct1.example"]);
    hub.ask(&["device", "register", "ct1", "--update", "--owner", "surgery"]);
    let output = medlock(&["device", "show", "ct1", "--dir", dir]);
    let said = String::from_utf8_lossy(&output.stdout);
    for line in ["type          7", "AE titles     CT1", "DNS names     ct1.example", "owner         surgery"] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let output = medlock(&["device", "probe", "no-such-host.invalid:104", "--dir", dir]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("no-such-host.invalid:104"), "{output:?}");
    assert!(!String::from_utf8_lossy(&output.stdout).contains("Not reachable"), "{output:?}");
    let mut key = hub.ask(&["log", "show"])["key"].as_str().expect("a key").to_owned();
    key.replace_range(0..1, "x");
    let output = medlock(&["log", "verify", dir, "--key", &key]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("a character is mistyped"), "{output:?}");
    let output = medlock(&["log", "proof", "ct2.pem", "--dir", dir]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("ct2.pem: there is no such file"), "{output:?}");
    assert_eq!(medlock(&["device", "suspend", "ct1", "--why", "", "--dir", dir]).status.code(), Some(2));
    hub.ask(&["device", "register", "CT_2", "--role", "modality"]);
    hub.ask(&["device", "remove", "CT_2"]);
    assert!(!medlock(&["device", "show", "CT_2", "--dir", dir]).status.success());
}

/// Shows REQ-CLI-51: a wrong value is named with its key, and folders that cannot be are told.
#[test]
fn a_configuration_is_checked_with_its_places() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("medlock.toml");
    let check = |text: &str| {
        std::fs::write(&file, text).expect("written");
        let output = medlock(&["check-config", file.to_str().expect("UTF-8")]);
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat()
    };
    let said = check("[hub]\ndevices = \"0.0.0.0\"\n");
    assert!(said.contains(":2:11: devices: ") && said.contains("0.0.0.0:8443"), "{said}");
    let said = check("[hub]\nsigner = \"s\"\npkcs11 = { module = \"m\", token = \"t\", pin_file = \"p\" }\n");
    assert!(said.contains("[hub] names `signer` and `pkcs11`: take one of them out"), "{said}");
    let missing = folder.path().join("unmounted");
    let said = check(&format!(
        "[hub]\ndir = {:?}\npassphrase_file = {:?}\n",
        missing.join("hub"),
        folder.path().join("passphrase")
    ));
    assert!(said.contains("# hub.dir: ") && !said.contains("# hub.passphrase_file"), "{said}");
}

/// Shows REQ-CLI-42.
#[test]
fn a_new_maker_is_told_where_its_passphrase_lies_and_what_is_next() {
    let folder = tempfile::tempdir().expect("a folder");
    let dir = folder.path().join("maker");
    let output = medlock(&["authority", "create-maker", "Pump Works", "--dir", dir.to_str().expect("UTF-8")]);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && dir.join("keys/passphrase").exists(), "{output:?}");
    assert!(said.contains("maker/keys/passphrase") && said.contains("Next: medlock device provision --dir "), "{said}");
}

/// Shows REQ-CLI-05.
#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        assert!(medlock(&["completions", shell]).stdout.len() > 1_000, "{shell}");
    }
    assert!(String::from_utf8_lossy(&medlock(&["man"]).stdout).contains(".TH"));
}

/// Shows REQ-CLI-06: `decide` judges with the very files a node keeps, and believes only what the site signed.
#[test]
fn decide_judges_with_the_files_of_a_site() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let device = runtime.block_on(Device::enrol(&hub, folder.path(), "sensor1"));
    let file = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    std::fs::write(file("chain.pem"), device.chain_pem()).expect("written");
    let root = hub.ask(&["authority", "show"])["root_pem"].as_str().expect("PEM").to_owned();
    std::fs::write(file("root.pem"), root).expect("written");
    let knowledge = |name: &str| hub.dir.join("knowledge").join(name).to_str().expect("UTF-8").to_owned();
    let (list, status, policy) = (knowledge("site-list.cose"), knowledge("status.cose"), knowledge("policy.cose"));
    let ask = |operation: &str, root: &str| {
        let (chain, root, at) = (file("chain.pem"), file(root), in_days(0));
        let output = medlock(&[
            "decide",
            "--list",
            &list,
            "--root",
            &root,
            "--status",
            &status,
            "--policy",
            &policy,
            "--chain",
            &chain,
            "--at",
            &at,
            "--operation",
            operation,
            "--json",
        ]);
        (output.status.code(), serde_json::from_slice::<Value>(&output.stdout).ok())
    };
    let (exit, answer) = ask("report", "root.pem");
    assert_eq!((exit, answer.expect("JSON")["code"].clone()), (Some(0), Value::Null));
    let (exit, answer) = ask("store", "root.pem");
    assert_eq!((exit, answer.expect("JSON")["code"].as_str()), (Some(1), Some("role-lacks-operation")));
    hub.ask(&["device", "revoke", "sensor1", "--reason", "stolen", "--why", "gone"]);
    let (exit, answer) = ask("report", "root.pem");
    assert_eq!((exit, answer.expect("JSON")["code"].as_str()), (Some(1), Some("compromised")));
    // The same status through the anchors alone.
    let (peer, root, at) = (file("chain.pem"), file("root.pem"), in_days(0));
    let output = medlock(&[
        "verify",
        "--anchors",
        &root,
        "--chain",
        &peer,
        "--at",
        &at,
        "--operation",
        "report",
        "--status",
        &status,
        "--json",
    ]);
    let answer: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(answer["code"].as_str(), Some("compromised"), "{answer}");
    // Another root signed none of it.
    let other = chain();
    std::fs::copy(other.path().join("ca.pem"), file("other.pem")).expect("copied");
    let (exit, answer) = ask("report", "other.pem");
    assert_eq!((exit, answer), (Some(1), None), "a list of strangers was believed");
    // `inspect` reads every file a node keeps, and `trust-list verify` the list.
    for name in [&list, &status, &policy, &knowledge("routes.cose")] {
        assert!(medlock(&["inspect", name]).status.success(), "{name}");
    }
    assert_eq!(medlock(&["trust-list", "verify", &list, "--root", &file("root.pem")]).status.code(), Some(0));
    assert_eq!(medlock(&["trust-list", "verify", &list, "--root", &file("other.pem")]).status.code(), Some(1));
}

/// Shows REQ-CLI-08: a key is compared, not merely named.
#[test]
fn approval_needs_a_compared_key() {
    let folder = tempfile::tempdir().expect("a folder");
    let hub = Hub::start(folder.path());
    let waiting = crate::process::waiting_sidecar(&hub, folder.path());
    let dir = hub.dir.to_str().expect("UTF-8");
    for (key, complaint) in [("0", "at least 8 digits"), ("0000 0000", "nothing was approved")] {
        let output = medlock(&["device", "approve", "ct1", "--dir", dir, "--key", key]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stderr).contains(complaint), "{output:?}");
    }
    assert_eq!(hub.credentials("ct1").len(), 0);
    drop(waiting);
}

/// Shows REQ-BENCH-10. The figures themselves are judged by nobody here: a machine may be slow.
#[test]
fn the_device_bench_says_what_it_measured() {
    let output = medlock(&["bench", "device", "--rounds", "1", "--milliseconds", "1", "--python", "/none", "--json"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let measured: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    assert_eq!((&measured["clock"], &measured["rounds"]), (&"thread CPU time".into(), &1.into()));
    let rows = measured["rows"].as_array().expect("rows");
    let count = |part: &str, provider: &str, targets: u32| {
        let of_part = rows.iter().filter(|row| row["part"] == part && row["provider"] == provider);
        let of_part: Vec<&Value> = of_part.collect();
        for row in &of_part {
            let (least, middle) = (row["least_nanoseconds"].as_f64(), row["nanoseconds"].as_f64());
            assert!(least > Some(0.0) && least <= middle && row["per_second"].as_f64() > Some(0.0), "{row}");
        }
        assert_eq!(of_part.iter().filter(|row| row["target"].is_u64()).count(), targets as usize, "{part} {provider}");
        of_part.len()
    };
    for provider in ["aws-lc", "rustcrypto"] {
        assert_eq!(count("edhoc", provider, 4), 4, "one for each method");
        assert_eq!(count("c509", provider, 4), 7, "two ways by two forms of a point; three forms verified");
    }
    assert_eq!((count("oscore", "rustcrypto", 1), count("sealed", "rustcrypto", 0)), (3, 1));
    assert_eq!(rows.len(), 26);
    assert!(measured["left_out"][0].as_str().is_some_and(|reason| reason.starts_with("lakers: /none")));
}

/// Shows REQ-BENCH-20: against a hub of its own, over TLS, and beside a server that only keeps the bytes.
#[test]
fn the_clinical_bench_says_what_it_measured() {
    let small = ["--observations", "1000", "--creates", "100", "--tokens", "100", "--searches", "100", "--rounds", "1"];
    let output = medlock(&[&["bench", "fhir", "--json"], &small[..]].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let measured: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    for (part, target) in [
        ("floor", None),
        ("creates", Some(5_000)),
        ("resources", Some(15_000)),
        ("tokens", Some(1_500)),
        ("backend_tokens", Some(1_500)),
        ("creates_beside", None),
    ] {
        assert!(measured[part]["per_second"].as_f64().is_some_and(|rate| rate > 0.0), "{part}: {measured}");
        assert_eq!(measured[part]["target"].as_u64(), target, "{part}");
    }
    assert_eq!((&measured["store"], &measured["observations"]), (&"SQLite".into(), &1_000.into()));
    assert!(measured["search"]["p99_ms"].as_f64() >= measured["search"]["median_ms"].as_f64(), "{measured}");
    assert!(measured["memory_mb"].as_f64().is_some_and(|memory| memory > 1.0), "{measured}");
    assert_eq!(medlock(&["bench", "fhir", "--askers", "0"]).status.code(), Some(2));
}

/// Shows REQ-BENCH-11.
#[test]
fn the_device_bench_measures_the_parts_that_were_asked() {
    let arguments = ["bench", "device", "--part", "oscore", "--rounds", "1", "--milliseconds", "1", "--json"];
    let output = medlock(&arguments);
    let measured: Value = serde_json::from_slice(&output.stdout).expect("one line of JSON");
    let rows = measured["rows"].as_array().expect("rows");
    assert!(!rows.is_empty() && rows.iter().all(|row| row["part"] == "oscore"));
    assert_eq!(measured["left_out"].as_array().map(Vec::len), Some(0), "no handshake, no peer");
    assert_eq!(medlock(&["bench", "device", "--rounds", "0"]).status.code(), Some(2));
}
