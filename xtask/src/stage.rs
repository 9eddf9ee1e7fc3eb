//! The stages of `cargo xtask test`, their order, and the summary at the end.

use std::time::{Duration, Instant};

use crate::command::Program;
use crate::house::House;
use crate::peers::{Consent, Need, Peer};
use crate::{Result, bare, deny, docs, firmware, fuzz, miri, peers, suite};

/// A part of `cargo xtask test` that can run alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Stage {
    Peers,
    Format,
    Clippy,
    Docs,
    Tests,
    Bare,
    Firmware,
    Miri,
    Interop,
    Fuzz,
    Deny,
}

impl Stage {
    /// In the order they run: what is quick to fail comes first.
    pub(crate) const ALL: [Self; 11] = [
        Self::Peers,
        Self::Format,
        Self::Clippy,
        Self::Docs,
        Self::Tests,
        Self::Bare,
        Self::Firmware,
        Self::Miri,
        Self::Interop,
        Self::Fuzz,
        Self::Deny,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Peers => "peers",
            Self::Format => "format",
            Self::Clippy => "clippy",
            Self::Docs => "docs",
            Self::Tests => "tests",
            Self::Bare => "bare",
            Self::Firmware => "firmware",
            Self::Miri => "miri",
            Self::Interop => "interop",
            Self::Fuzz => "fuzz",
            Self::Deny => "deny",
        }
    }

    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|stage| stage.name() == name)
    }
}

/// Which stages run, and with which peers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Sorted, each once.
    pub(crate) stages: Vec<Stage>,
    pub(crate) peers: Vec<Peer>,
}

impl Selection {
    pub(crate) fn everything() -> Self {
        Self::of(&Stage::ALL)
    }

    pub(crate) fn of(stages: &[Stage]) -> Self {
        let mut stages = stages.to_vec();
        stages.sort();
        stages.dedup();
        Self { stages, peers: Peer::ALL.to_vec() }
    }

    fn needs(&self) -> Vec<Need> {
        let mut needs: Vec<Need> = self
            .stages
            .iter()
            .flat_map(|stage| match stage {
                Stage::Format | Stage::Clippy => Vec::new(),
                // The tables of FHIR are compared with the definitions.
                Stage::Docs => vec![Need::Npm, Need::NpmPackages],
                // Keys and requests are made and read with openssl here and there; the header for C is one for C++ too; what
                // devices report is validated by software of others.
                Stage::Tests => vec![
                    Need::Openssl,
                    Need::Postgres,
                    Need::CxxCompiler,
                    Need::PythonPackages,
                    Need::Npm,
                    Need::NpmPackages,
                ],
                Stage::Peers => Need::ALL.to_vec(),
                Stage::Bare => vec![Need::BareTarget],
                Stage::Firmware => firmware::NEEDS.to_vec(),
                Stage::Miri => vec![Need::Miri],
                Stage::Interop => self.peers.iter().flat_map(|peer| peer.needs().iter().copied()).collect(),
                Stage::Fuzz => vec![Need::CxxCompiler],
                Stage::Deny => vec![Need::CargoDeny],
            })
            .collect();
        needs.sort();
        needs.dedup();
        needs
    }
}

/// How many tests ran, and how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) ignored: u64,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ignored += other.ignored;
    }
}

/// What a stage that ran to its end has to say; a stage that could not go on returns an error instead.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) counts: Counts,
    /// What was found wrong; any makes the stage fail.
    pub(crate) findings: Vec<String>,
    /// What the reader should know although the stage passed: figures, and what could not be checked.
    pub(crate) notes: Vec<String>,
}

struct Line {
    stage: Stage,
    time: Duration,
    report: Report,
}

/// Installs what is missing if the caller agrees, runs the stages, prints the summary. True if all passed.
pub(crate) fn run(house: &House, selection: &Selection, consent: Consent) -> Result<bool> {
    let mut lines = Vec::new();
    let needs = selection.needs();
    let start = Instant::now();
    let installed = peers::install_missing(house, &needs, consent)?;
    if installed || selection.stages.contains(&Stage::Peers) {
        let report = peers::check(house, &needs);
        lines.push(Line { stage: Stage::Peers, time: start.elapsed(), report });
    }
    for stage in selection.stages.iter().copied().filter(|stage| *stage != Stage::Peers) {
        println!("\n==> {}", stage.name());
        let start = Instant::now();
        let report = run_stage(house, stage, &selection.peers)
            .unwrap_or_else(|error| Report { findings: vec![error.to_string()], ..Report::default() });
        for finding in &report.findings {
            println!("{}: {finding}", stage.name());
        }
        lines.push(Line { stage, time: start.elapsed(), report });
    }
    summarise(house, &lines);
    Ok(lines.iter().all(|line| line.report.findings.is_empty()))
}

fn run_stage(house: &House, stage: Stage, peers: &[Peer]) -> Result<Report> {
    match stage {
        Stage::Peers => Ok(Report::default()),
        Stage::Format => format(house),
        Stage::Clippy => clippy(),
        Stage::Docs => docs::check(house),
        Stage::Tests => suite::tests(house),
        Stage::Bare => bare::check(house),
        Stage::Firmware => firmware::check(house),
        Stage::Miri => miri::check(house),
        Stage::Interop => suite::interop(house, peers),
        Stage::Fuzz => fuzz::check(house),
        Stage::Deny => deny::check(house),
    }
}

fn format(house: &House) -> Result<Report> {
    Program::new("cargo").args(["fmt", "--all", "--check"]).run()?;
    // Some packages live outside the workspace; `cargo fmt --all` does not see them.
    for manifest in
        ["fuzz/Cargo.toml", "crates/trust/bare/Cargo.toml", "firmware/Cargo.toml", "firmware/host/Cargo.toml"]
    {
        let manifest = house.root.join(manifest);
        Program::new("cargo").args(["fmt", "--check", "--manifest-path"]).args([&manifest]).run()?;
    }
    Ok(Report::default())
}

fn clippy() -> Result<Report> {
    Program::new("cargo").args(["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]).run()?;
    Ok(Report::default())
}

fn summarise(house: &House, lines: &[Line]) {
    println!("\n{:<10}{:<8}{:>8}   tests", "stage", "", "time");
    let mut all = Counts::default();
    let mut whole = Duration::ZERO;
    for Line { stage, time, report } in lines {
        let verdict = if report.findings.is_empty() { "passed" } else { "FAILED" };
        println!("{:<10}{verdict:<8}{:>8}   {}", stage.name(), clock(*time), count_text(report.counts));
        for finding in &report.findings {
            println!("          ✗ {}", first_line(finding));
        }
        for note in &report.notes {
            println!("          · {note}");
        }
        all += report.counts;
        whole += *time;
    }
    println!("{:<18}{:>8}   {}", "together", clock(whole), count_text(all));
    if house.vectors().is_none() {
        let users = suite::users_of_vectors(house).unwrap_or_default();
        let users = if users.is_empty() { "no test reads them yet".to_string() } else { users.join(", ") };
        println!("not run for want of the shared test vectors (set MEDLOCK_VECTORS): {users}");
    }
    println!("\n{} passed, {} failed", all.passed, all.failed);
}

fn count_text(counts: Counts) -> String {
    match counts {
        Counts { passed: 0, failed: 0, ignored: 0 } => String::new(),
        Counts { passed, failed, ignored: 0 } => format!("{passed} passed, {failed} failed"),
        Counts { passed, failed, ignored } => format!("{passed} passed, {failed} failed, {ignored} IGNORED"),
    }
}

pub(crate) fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds < 60 {
        format!("{:.1} s", time.as_secs_f64())
    } else {
        format!("{} m {:02} s", seconds / 60, seconds % 60)
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stage_is_found_by_its_name() {
        for stage in Stage::ALL {
            assert_eq!(Stage::named(stage.name()), Some(stage));
        }
        assert_eq!(Stage::named("Format"), None);
    }

    #[test]
    fn only_what_the_stages_use_is_installed() {
        assert!(Selection::of(&[Stage::Format, Stage::Clippy]).needs().is_empty());
        let mut interop = Selection::of(&[Stage::Interop]);
        interop.peers = vec![Peer::Dcmtk];
        assert_eq!(interop.needs(), [Need::Dcmtk]);
        assert_eq!(Selection::everything().needs(), Need::ALL);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(clock(Duration::from_millis(1250)), "1.2 s");
        assert_eq!(clock(Duration::from_secs(125)), "2 m 05 s");
    }
}
