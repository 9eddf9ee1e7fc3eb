//! Stages `tests` and `interop`: one list of all tests, divided by name, so that none runs twice and none is left out.
//!
//! A test belongs to a peer when it stands in an integration binary (`crates/*/tests/*.rs`) and the peer's name is a
//! word of the binary's name or of the test's path: `pkits::every_case`, `interop::dcmtk::stores`,
//! `interop::orthanc_finds_what_dcmtk_stored`. With several names the first one counts. Where no
//! peer is named its programs count (`storescu` is dcmtk, `curl` and `openssl` are est), and then `peers` as est. All
//! others are stage `tests`.

use std::path::PathBuf;
use std::time::Instant;

use serde_json::Value;

use crate::command::Program;
use crate::house::{self, House};
use crate::peers::Peer;
use crate::stage::{Counts, Report, clock};
use crate::{Error, Result};

/// A test executable that Cargo built.
#[derive(Debug)]
struct Binary {
    /// As `package::target`, for messages.
    name: String,
    target: String,
    integration: bool,
    executable: PathBuf,
    /// The package's folder: tests run there, as under `cargo test`.
    folder: PathBuf,
}

/// All tests that need no peer, and the examples in the documentation.
pub(crate) fn tests(house: &House) -> Result<Report> {
    let mut report = Report::default();
    let began = Instant::now();
    let binaries = build()?;
    let built = clock(began.elapsed());
    let mut slowest = Vec::new();
    for binary in binaries {
        let names = list(&binary)?;
        let of_peers: Vec<&String> = names.iter().filter(|name| peer_of(&binary, name).is_some()).collect();
        if of_peers.len() == names.len() {
            continue;
        }
        let mut arguments = vec!["--exact".to_string()];
        arguments.extend(of_peers.into_iter().flat_map(|name| ["--skip".to_string(), name.clone()]));
        let began = Instant::now();
        execute(house, &binary, &arguments, &mut report)?;
        slowest.push((began.elapsed(), binary.name));
    }
    slowest.sort_by(|one, other| other.cmp(one));
    let slowest: Vec<String> = slowest.iter().take(5).map(|(time, name)| format!("{name} {}", clock(*time))).collect();
    report.notes.push(format!("built in {built}; longest: {}", slowest.join(", ")));
    let mut counter = Counter::default();
    let program = Program::new("cargo").args(["test", "--workspace", "--doc", "--quiet"]);
    let success = environment(house, program).watch(true, |line| counter.line(line))?;
    counter.close(success, "examples in the documentation", &mut report);
    other_features(house, &mut report)?;
    Ok(report)
}

/// Tests with other features than the workspace's: what the trust core refuses without `x509`, and the arithmetic of
/// chips, with words of 32 bits.
fn other_features(house: &House, report: &mut Report) -> Result<()> {
    const RUNS: [(&str, &str, &[&str]); 2] = [
        ("medlock-trust", "--no-default-features", &["--lib", "--quiet", "--", "c509::native"]),
        ("medlock-rustcrypto", "--features=words32", &["--lib", "--tests", "--quiet"]),
    ];
    for (package, features, arguments) in RUNS {
        let name = format!("{package} {features}");
        let mut counter = Counter::default();
        let program = Program::new("cargo").args(["test", "-p", package, features]).args(arguments);
        let success = environment(house, program).watch(true, |line| counter.line(line))?;
        if success && counter.counts.passed == 0 {
            report.findings.push(format!("{name}: no test ran"));
        }
        counter.close(success, &name, report);
    }
    Ok(())
}

/// The tests of these peers.
pub(crate) fn interop(house: &House, peers: &[Peer]) -> Result<Report> {
    let mut report = Report::default();
    let binaries = build()?;
    let mut listed = Vec::new();
    for binary in binaries.iter().filter(|binary| binary.integration) {
        listed.push((binary, list(binary)?));
    }
    for peer in peers {
        let before = report.counts;
        for (binary, names) in &listed {
            let chosen: Vec<String> =
                names.iter().filter(|name| peer_of(binary, name) == Some(*peer)).cloned().collect();
            if chosen.is_empty() {
                continue;
            }
            let mut arguments = vec!["--exact".to_string()];
            arguments.extend(chosen);
            execute(house, binary, &arguments, &mut report)?;
        }
        let ran = report.counts.passed + report.counts.failed - before.passed - before.failed;
        if ran == 0 {
            report.findings.push(format!("no test with {} ran", peer.name()));
        }
        report.notes.push(format!("{}: {ran} tests", peer.name()));
    }
    Ok(report)
}

/// The source files that read the shared vectors, for the summary of a run without them.
pub(crate) fn users_of_vectors(house: &House) -> Result<Vec<String>> {
    let mut users = Vec::new();
    for path in house.files("crates", "rs")? {
        if house::read(&path)?.contains("MEDLOCK_VECTORS") {
            users.push(house.relative(&path).to_string());
        }
    }
    Ok(users)
}

fn peer_of(binary: &Binary, test: &str) -> Option<Peer> {
    if !binary.integration {
        return None;
    }
    let words = || [&binary.target, test].into_iter().flat_map(|text| text.split(['_', '-', ':']));
    let program = |word| match word {
        "storescu" | "storescp" | "echoscu" | "findscu" | "movescu" | "getscu" | "dcmqrscp" => Some(Peer::Dcmtk),
        "curl" | "openssl" => Some(Peer::Est),
        _ => None,
    };
    let any = || words().any(|word| word == "peers").then_some(Peer::Est);
    words().find_map(Peer::named).or_else(|| words().find_map(program)).or_else(any)
}

fn environment(house: &House, program: Program) -> Program {
    // Tests wait for processes and disks more than they calculate.
    let threads = std::thread::available_parallelism().map_or(4, |cores| cores.get() * 2);
    let program = program.env("RUST_TEST_THREADS", threads.to_string());
    house.test_environment().into_iter().fold(program, |program, (name, path)| program.env(name, path))
}

fn build() -> Result<Vec<Binary>> {
    let arguments = ["test", "--workspace", "--tests", "--no-run", "--message-format"];
    let mut lines = Vec::new();
    let program = Program::new("cargo").args(arguments).args(["json-render-diagnostics"]);
    let success = program.watch(false, |line| lines.push(line.to_string()))?;
    if !success {
        return Err(Error::new("the tests do not build; see above"));
    }
    let mut binaries: Vec<Binary> = lines.iter().filter_map(|line| artifact(line)).collect();
    binaries.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(binaries)
}

/// A test executable, if that is what this message of Cargo's is about.
fn artifact(line: &str) -> Option<Binary> {
    let message: Value = serde_json::from_str(line).ok()?;
    let text = |pointer: &str| message.pointer(pointer).and_then(Value::as_str);
    if text("/reason")? != "compiler-artifact" || !message.pointer("/profile/test")?.as_bool()? {
        return None;
    }
    let folder = PathBuf::from(text("/manifest_path")?).parent()?.to_path_buf();
    let target = text("/target/name")?.to_string();
    let kind = text("/target/kind/0")?;
    let package = folder.file_name()?.to_string_lossy().into_owned();
    Some(Binary {
        name: format!("{package}::{kind}::{target}"),
        integration: kind == "test",
        executable: text("/executable")?.into(),
        target,
        folder,
    })
}

fn list(binary: &Binary) -> Result<Vec<String>> {
    let heard = Program::new(&binary.executable).args(["--list", "--format", "terse"]).folder(&binary.folder).hear()?;
    if !heard.success {
        return Err(Error::new(format!("{} cannot list its tests:\n{}", binary.name, heard.stderr)));
    }
    Ok(heard.stdout.lines().filter_map(|line| line.strip_suffix(": test")).map(String::from).collect())
}

fn execute(house: &House, binary: &Binary, arguments: &[String], report: &mut Report) -> Result<()> {
    let mut counter = Counter::default();
    let program = Program::new(&binary.executable).args(arguments).folder(&binary.folder);
    let program = environment(house, program).env("CARGO_MANIFEST_DIR", &binary.folder);
    let success = program.watch(true, |line| counter.line(line))?;
    counter.close(success, &binary.name, report);
    Ok(())
}

/// Reads libtest's output.
#[derive(Default)]
struct Counter {
    counts: Counts,
    results: u64,
    failures: Vec<String>,
}

impl Counter {
    fn line(&mut self, line: &str) {
        if let Some(counts) = result_line(line) {
            self.counts += counts;
            self.results += 1;
        } else if let Some(name) = line.strip_prefix("test ").and_then(|rest| rest.strip_suffix(" ... FAILED")) {
            self.failures.push(name.to_string());
        }
    }

    fn close(self, success: bool, name: &str, report: &mut Report) {
        report.counts += self.counts;
        for failure in &self.failures {
            report.findings.push(format!("{name}: {failure}"));
        }
        if !success && self.failures.is_empty() {
            report.findings.push(format!("{name} ended badly"));
        }
        if success && self.results == 0 {
            report.findings.push(format!("{name} reported no result"));
        }
        if self.counts.ignored > 0 {
            report.notes.push(format!("{name}: {} tests IGNORED by their own mark", self.counts.ignored));
        }
    }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s`
fn result_line(line: &str) -> Option<Counts> {
    let (_, counts) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let count = |word: &str| {
        let part = counts.split(';').find_map(|part| part.trim().strip_suffix(word))?;
        part.trim().parse().ok()
    };
    Some(Counts { passed: count("passed")?, failed: count("failed")?, ignored: count("ignored")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn binary(target: &str, integration: bool) -> Binary {
        Binary {
            name: target.to_string(),
            target: target.to_string(),
            integration,
            executable: PathBuf::new(),
            folder: PathBuf::new(),
        }
    }

    /// Shows REQ-HOUSE-05.
    #[test]
    fn a_peer_owns_the_tests_that_name_it() {
        let interop = binary("interop", true);
        assert_eq!(peer_of(&interop, "dcmtk::stores"), Some(Peer::Dcmtk));
        assert_eq!(peer_of(&interop, "orthanc_takes_from_dcmtk"), Some(Peer::Orthanc));
        assert_eq!(peer_of(&interop, "peers::openssl_verifies"), Some(Peer::Est));
        assert_eq!(peer_of(&interop, "peers::dcmqrscp_moves_back"), Some(Peer::Dcmtk));
        assert_eq!(peer_of(&interop, "peers::strangers_are_refused"), Some(Peer::Est));
        assert_eq!(peer_of(&interop, "peers::dcmtk_talks_to_openssl"), Some(Peer::Dcmtk));
        assert_eq!(peer_of(&interop, "the_largest_image_arrives"), None, "`est` inside a word is no peer");
        assert_eq!(peer_of(&binary("pkits", true), "every_case"), Some(Peer::Pkits));
        assert_eq!(peer_of(&binary("pkits_exceptions", true), "none_passes"), Some(Peer::Pkits));
    }

    #[test]
    fn unit_tests_never_wait_for_a_peer() {
        assert_eq!(peer_of(&binary("medlock_authority", false), "est::reads_base64"), None);
    }

    #[test]
    fn results_are_read_from_libtest() {
        let line = "test result: FAILED. 3 passed; 2 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(result_line(line), Some(Counts { passed: 3, failed: 2, ignored: 1 }));
        assert_eq!(result_line("test decide::tests::read ... ok"), None);
    }

    /// Shows REQ-HOUSE-05.
    #[test]
    fn a_run_that_dies_is_a_finding() {
        let mut report = Report::default();
        Counter::default().close(false, "guard", &mut report);
        Counter::default().close(true, "node", &mut report);
        assert_eq!(report.findings, ["guard ended badly", "node reported no result"]);
    }

    #[test]
    fn failures_are_named() {
        let mut counter = Counter::default();
        counter.line("test dcmtk::stores ... FAILED");
        counter.line("test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out");
        let mut report = Report::default();
        counter.close(false, "guard", &mut report);
        assert_eq!(report.findings, ["guard: dcmtk::stores"]);
        assert_eq!(report.counts.failed, 1);
    }

    #[test]
    fn cargo_names_the_executables() {
        let line = r#"{"reason":"compiler-artifact","manifest_path":"/house/crates/guard/Cargo.toml",
            "target":{"kind":["test"],"name":"interop"},"profile":{"test":true},"executable":"/t/interop-1"}"#;
        let found = artifact(line).unwrap();
        assert!(found.integration);
        assert_eq!(found.name, "guard::test::interop");
        assert_eq!(found.folder, PathBuf::from("/house/crates/guard"));
        assert!(artifact(&line.replace("\"test\":true", "\"test\":false")).is_none());
        assert!(artifact("not json").is_none());
    }
}
