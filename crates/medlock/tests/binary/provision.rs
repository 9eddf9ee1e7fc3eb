//! A maker's factory: keys of devices go in, birth credentials come out, and a run that was killed goes on.

use crate::process::medlock;
use data_encoding::{BASE64, HEXLOWER};
use medlock_node::enrol::certificate_request;
use medlock_node::provider::SigningKey;
use serde_json::Value;
use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

struct Factory {
    folder: tempfile::TempDir,
}

impl Factory {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let factory = Self { folder };
        let mut create = medlock();
        create.args(["authority", "create-maker", "Pump Works", "--json", "--dir"]).arg(factory.at("maker"));
        assert!(medlock_done(&mut create).status.success());
        std::fs::write(factory.at("profile.toml"), "roles = [\"actuator\"]\ndevice_type = 21\n").expect("written");
        factory
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, input: &Path, out: &str) -> Command {
        let mut command = medlock();
        command.args(["device", "provision", "--json", "--dir"]).arg(self.at("maker"));
        command.arg("--profile").arg(self.at("profile.toml")).arg("--input").arg(input).arg("--out").arg(self.at(out));
        command
    }

    fn run(&self, input: &Path, out: &str) -> Value {
        let output = medlock_done(&mut self.command(input, out));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        serde_json::from_slice(&output.stdout).expect("JSON")
    }

    fn outcomes(&self, out: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.at(out).join("outcomes.jsonl")).expect("outcomes");
        text.lines().skip(1).map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
    }
}

fn medlock_done(command: &mut Command) -> std::process::Output {
    command.output().expect("it starts")
}

fn csv(rows: usize) -> String {
    let mut text = "serial,key,type\n".to_owned();
    for number in 0..rows {
        text.push_str(&format!("P-{number:05},{},\n", HEXLOWER.encode(SigningKey::generate().spki())));
    }
    text
}

/// Shows REQ-PROV-05.
#[test]
fn a_run_that_is_killed_goes_on_and_issues_nothing_twice() {
    const ROWS: usize = 1_500;
    let factory = Factory::new();
    let input = factory.at("devices.csv");
    std::fs::write(&input, csv(ROWS)).expect("written");
    // Killed after its first outcomes, again and again.
    for _ in 0..2 {
        let lines = |factory: &Factory| {
            std::fs::read(factory.at("out").join("outcomes.jsonl"))
                .map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
        };
        let before = lines(&factory);
        let mut run = factory.command(&input, "out").stdout(Stdio::null()).spawn().expect("it starts");
        let deadline = Instant::now() + Duration::from_secs(60);
        while lines(&factory) <= before.max(1) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(5));
        }
        run.kill().expect("it can be killed");
        run.wait().expect("it ends");
    }
    // The kill may have cut a line.
    let file = factory.at("out").join("outcomes.jsonl");
    let whole = std::fs::read(&file).expect("outcomes");
    std::fs::write(&file, &whole[..whole.len() - 7]).expect("cut");
    let done = factory.run(&input, "out");
    assert_eq!((done["rows"].as_u64(), done["refused"].as_u64()), (Some(ROWS as u64), Some(0)));
    assert!(done["resumed"].as_u64() > Some(0), "{done}");
    let outcomes = factory.outcomes("out");
    let serials: Vec<&str> = outcomes.iter().filter_map(|line| line["serial"].as_str()).collect();
    assert_eq!(serials.len(), ROWS);
    assert!(serials.iter().enumerate().all(|(number, serial)| **serial == format!("P-{number:05}")), "in their order");
    let credentials = |outcomes: &[Value]| -> Vec<String> {
        outcomes.iter().map(|line| line["credential"].as_str().expect("a credential").to_owned()).collect()
    };
    let given = credentials(&outcomes);
    assert_eq!(given.iter().collect::<HashSet<_>>().len(), ROWS);
    // The outcomes are lost: the authority still knows who has what.
    let again = factory.run(&input, "again");
    assert_eq!((again["issued"].as_u64(), again["issued_before"].as_u64()), (Some(0), Some(ROWS as u64)));
    assert_eq!(credentials(&factory.outcomes("again")), given);
    // Another input does not continue these outcomes.
    std::fs::write(&input, csv(ROWS)).expect("written");
    let other = medlock_done(&mut factory.command(&input, "out"));
    assert!(String::from_utf8_lossy(&other.stderr).contains("name another folder"), "{other:?}");
}

/// Shows REQ-PROV-01, REQ-PROV-02.
#[test]
fn requests_in_a_folder_get_files_that_openssl_believes_and_bad_ones_an_outcome() {
    let factory = Factory::new();
    let folder = factory.at("requests");
    std::fs::create_dir(&folder).expect("a folder");
    for serial in ["P-1", "P-2"] {
        let request = certificate_request(&SigningKey::generate(), None);
        std::fs::write(folder.join(format!("{serial}.csr")), request).expect("DER");
    }
    std::fs::write(folder.join("P-3.b64"), BASE64.encode(SigningKey::generate().spki())).expect("a key");
    std::fs::write(folder.join("P-4.txt"), "no key").expect("nothing");
    let output = medlock_done(factory.command(&folder, "out").args(["--files", "--csv"]));
    assert_eq!(output.status.code(), Some(1), "one was refused");
    let counts: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((counts["issued"].as_u64(), counts["refused"].as_u64()), (Some(3), Some(1)));
    let out = factory.at("out");
    let table = std::fs::read_to_string(out.join("outcomes.csv")).expect("a table");
    let last = table.lines().last().expect("a row");
    assert!(last.starts_with("4,,refused") && last.contains("malformed"), "{last}");
    for serial in ["P-1", "P-2", "P-3"] {
        let mut verify = Command::new("openssl");
        verify.args(["verify", "-purpose", "any", "-CAfile"]).arg(out.join("chain.pem"));
        let verified = verify.arg(out.join(format!("{serial}.pem"))).output().expect("openssl starts");
        assert!(verified.status.success(), "{verified:?}");
    }
    // A private key in the input stops everything, and is not repeated.
    let private = BASE64.encode(&SigningKey::generate().to_pkcs8());
    std::fs::write(folder.join("P-0.key"), &private).expect("written");
    let output = medlock_done(&mut factory.command(&folder, "other"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && errors.contains("row 1: this is a private key"), "{errors}");
    assert!(!errors.contains(&private));
}
