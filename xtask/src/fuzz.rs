//! Stage `fuzz`, and `cargo xtask fuzz`: libFuzzer on the pinned stable toolchain.
//!
//! cargo-fuzz asks for a nightly compiler because of the address sanitizer. The parsers here are free of `unsafe`, so
//! coverage is enough, and that is an LLVM pass any compiler can be asked for. `cargo +nightly fuzz run` works as well.

use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use crate::command::Program;
use crate::house::{self, House};
use crate::stage::Report;
use crate::{Error, Result};

/// What rustc is told, so that libFuzzer sees which branches an input took and what was compared.
const INSTRUMENT: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";
/// A single input must be dealt with in this time (seconds) and memory (MB); more is a finding.
const LIMITS: [&str; 3] = ["-timeout=10", "-rss_limit_mb=1024", "-malloc_limit_mb=256"];
/// Seconds a target in the stage: enough to notice what is badly broken. Long runs are `cargo xtask fuzz TARGET 3600`.
const STAGE_SECONDS: u32 = 5;

/// Replays every corpus, then fuzzes each target for some seconds.
pub(crate) fn check(house: &House) -> Result<Report> {
    let targets = targets(house)?;
    let mut report = Report { findings: complaints(house, &targets)?, ..Report::default() };
    let seconds = stage_seconds()?;
    build(house, None)?;
    // A fuzzer has one thread: as many run at once as there are processors.
    let (left, found) = (Mutex::new(targets.iter()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(|| {
                while let Some(target) = next(&left) {
                    let fuzzed = replay(house, target).and_then(|()| explore(house, target, seconds));
                    found.lock().unwrap_or_else(PoisonError::into_inner).extend(fuzzed.err());
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    report.findings.extend(found.iter().map(Error::to_string));
    report.findings.sort();
    report.notes.push(format!("{} targets, each its corpus and {seconds} s", targets.len()));
    Ok(report)
}

fn next<'t>(left: &Mutex<impl Iterator<Item = &'t String>>) -> Option<&'t String> {
    left.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Fuzzes one target, or lists the targets. Always true; a crash is an error.
pub(crate) fn run_one(house: &House, target: Option<&str>, seconds: u32) -> Result<bool> {
    let targets = targets(house)?;
    let Some(target) = target else {
        println!("{}", targets.join("\n"));
        return Ok(true);
    };
    if !targets.iter().any(|known| known == target) {
        return Err(Error::new(format!("there is no fuzz target `{target}`; there are {}", targets.join(" "))));
    }
    build(house, Some(target))?;
    replay(house, target)?;
    explore(house, target, seconds)?;
    println!("new inputs are in {}", found_corpus(house, target).display());
    Ok(true)
}

fn stage_seconds() -> Result<u32> {
    match std::env::var("MEDLOCK_FUZZ_SECONDS") {
        Err(_) => Ok(STAGE_SECONDS),
        Ok(text) => text.parse().map_err(|_| Error::new(format!("MEDLOCK_FUZZ_SECONDS is no number: {text}"))),
    }
}

/// The binaries of fuzz/Cargo.toml.
fn targets(house: &House) -> Result<Vec<String>> {
    let arguments = ["metadata", "--no-deps", "--format-version", "1", "--manifest-path"];
    let metadata = Program::new("cargo").args(arguments).args([manifest(house)]).json()?;
    let targets = metadata.pointer("/packages/0/targets").and_then(Value::as_array).map(Vec::as_slice);
    let mut names: Vec<String> = targets
        .unwrap_or_default()
        .iter()
        .filter(|target| target.pointer("/kind/0").is_some_and(|kind| kind == "bin"))
        .filter_map(|target| Some(target.get("name")?.as_str()?.to_string()))
        .collect();
    names.sort();
    Ok(names)
}

/// Targets that would silently not be fuzzed, or start from nothing.
fn complaints(house: &House, targets: &[String]) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for file in house.files("fuzz/fuzz_targets", "rs")? {
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if !targets.contains(&name) {
            found.push(format!("{} has no [[bin]] in fuzz/Cargo.toml", house.relative(&file)));
        }
    }
    for target in targets {
        let corpus = committed_corpus(house, target);
        if !std::fs::read_dir(&corpus).is_ok_and(|mut entries| entries.next().is_some()) {
            found.push(format!("{} is empty: give the target an input to start from", house.relative(&corpus)));
        }
    }
    Ok(found)
}

fn manifest(house: &House) -> PathBuf {
    house.root.join("fuzz/Cargo.toml")
}

fn committed_corpus(house: &House, target: &str) -> PathBuf {
    house.root.join("fuzz/corpus").join(target)
}

/// What fuzzing found on this machine; nobody else's business until somebody commits it.
fn found_corpus(house: &House, target: &str) -> PathBuf {
    house.target.join("fuzz/corpus").join(target)
}

fn build(house: &House, target: Option<&str>) -> Result<()> {
    let mut program = Program::new("cargo")
        .args(["build", "--release", "--locked", "--manifest-path"])
        .args([manifest(house)])
        .args(["--target-dir"])
        .args([house.target.join("fuzz")])
        // With a target named, build scripts and macros stay as they are.
        .args(["--target", &host()?])
        .env("RUSTFLAGS", INSTRUMENT);
    if let Some(target) = target {
        program = program.args(["--bin", target]);
    }
    program.run()
}

fn host() -> Result<String> {
    let said = Program::new("rustc").args(["-vV"]).hear()?.stdout;
    let host = said.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(String::from).ok_or_else(|| Error::new("rustc -vV names no host"))
}

fn fuzzer(house: &House, target: &str) -> Result<Program> {
    let artifacts = house.target.join("fuzz/artifacts").join(target);
    house::make_folder(&artifacts)?;
    let program = house.target.join("fuzz").join(host()?).join("release").join(target);
    Ok(Program::new(program).args(LIMITS).args([format!("-artifact_prefix={}/", artifacts.display())]))
}

fn replay(house: &House, target: &str) -> Result<()> {
    let folders = [committed_corpus(house, target), found_corpus(house, target)];
    let folders = folders.iter().filter(|path| path.is_dir());
    quiet(fuzzer(house, target)?.args(["-runs=0"]).args(folders), target, "an input of its corpus")
}

fn explore(house: &House, target: &str, seconds: u32) -> Result<()> {
    let found = found_corpus(house, target);
    house::make_folder(&found)?;
    let time = format!("-max_total_time={seconds}");
    let committed = committed_corpus(house, target);
    let committed = Some(&committed).filter(|path| path.is_dir()).map(PathBuf::as_path);
    let folders = [Some(found.as_path()), committed].into_iter().flatten().collect::<Vec<&Path>>();
    quiet(fuzzer(house, target)?.args([time]).args(folders), target, "a new input")
}

/// Runs a fuzzer; its chatter is shown only if it found something.
fn quiet(program: Program, target: &str, what: &str) -> Result<()> {
    let (line, heard) = (program.line(), program.hear()?);
    if heard.success {
        let last = heard.stderr.lines().rev().find(|line| line.starts_with("Done") || line.starts_with('#'));
        println!("$ {line}\n  {}", last.unwrap_or("done"));
        return Ok(());
    }
    println!("$ {line}\n{}{}", heard.stdout, heard.stderr);
    let artifact = heard.stderr.lines().find_map(|line| line.split("Test unit written to ").nth(1));
    let artifact = artifact.map(|path| format!(": {path}")).unwrap_or_default();
    Err(Error::new(format!("fuzz target {target} fails on {what}{artifact}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows REQ-HOUSE-06.
    #[test]
    fn a_target_that_would_not_be_fuzzed_is_found() {
        let root = std::env::temp_dir().join(format!("medlock-xtask-{}", std::process::id()));
        let folder = |name: &str| {
            let path = root.join(name);
            std::fs::create_dir_all(&path).unwrap();
            path
        };
        std::fs::write(folder("fuzz/fuzz_targets").join("cose.rs"), "").unwrap();
        std::fs::write(folder("fuzz/fuzz_targets").join("lost.rs"), "").unwrap();
        std::fs::write(folder("fuzz/corpus/cose").join("seed"), "").unwrap();
        folder("fuzz/corpus/empty");
        let house = House { root: root.clone(), target: root.join("target"), metadata: Value::Null };
        let found = complaints(&house, &["cose".into(), "empty".into()]).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("lost.rs has no [[bin]]"));
        assert!(found[1].contains("corpus/empty is empty"));
    }

    #[test]
    fn instrumented_code_counts_branches_and_keeps_its_checks() {
        for part in ["sancov-module", "inline-8bit-counters", "pc-table", "trace-compares", "--cfg fuzzing"] {
            assert!(INSTRUMENT.contains(part), "{part}");
        }
        assert!(!INSTRUMENT.contains("  "), "one space between the words, or rustc is given empty arguments");
    }
}
