//! Stage `bare`: the trust core links for a Cortex-M4 with no allocator and no operating system, and cannot panic.
//!
//! `cargo check` would not see a hidden use of the heap; only a linked binary shows it. Neither would a lint see a panic
//! in a function of `core`; where the binary has no panic handler's caller left, there is none.

use crate::command::Program;
use crate::elf;
use crate::house::House;
use crate::peers::BARE_TARGET;
use crate::stage::Report;
use crate::{Error, Result};

/// Parts of symbol names that must not be in the binary: the heap's.
const HEAP: [&str; 4] = ["__rust_alloc", "__rust_dealloc", "__rust_realloc", "__rg_alloc"];
/// Parts of symbol names that tell of a way to panic.
const PANICS: [&str; 2] = ["panicking", "panic_fmt"];
/// The core with its features, and what a chip has that takes native C509 alone.
const SETTINGS: [(&str, &[&str]); 2] = [("all features", &[]), ("without x509", &["--no-default-features"])];
/// With less code than this (it is about ten times as much) the optimiser has thrown the core away, and nothing is shown.
const LEAST_TEXT_BYTES: u64 = 4096;

pub(crate) fn check(house: &House) -> Result<Report> {
    let manifest = house.root.join("crates/trust/bare/Cargo.toml");
    let target = house.target.join("bare");
    let path = target.join(BARE_TARGET).join("release/medlock-trust-bare");
    let mut report = Report::default();
    for (setting, arguments) in SETTINGS {
        Program::new("cargo")
            .args(["build", "--release", "--locked", "--target", BARE_TARGET, "--manifest-path"])
            .args([&manifest])
            .args(["--target-dir"])
            .args([&target])
            .args(arguments)
            .run()?;
        let file =
            std::fs::read(&path).map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))?;
        let linked = elf::read(&file).ok_or_else(|| Error::new(format!("{} is no 32-bit ELF file", path.display())))?;
        let judged = judge(setting, &linked);
        report.findings.extend(judged.findings);
        report.notes.extend(judged.notes);
    }
    Ok(report)
}

fn judge(setting: &str, linked: &elf::Linked) -> Report {
    let mut report = Report::default();
    for symbol in linked.symbols.iter().filter(|symbol| HEAP.iter().any(|part| symbol.contains(part))) {
        report.findings.push(format!("{setting}: the heap is used: {symbol}"));
    }
    for symbol in linked.symbols.iter().filter(|symbol| PANICS.iter().any(|part| symbol.contains(part))) {
        report.findings.push(format!("{setting}: a panic is reachable: {symbol}"));
    }
    if linked.text < LEAST_TEXT_BYTES {
        report
            .findings
            .push(format!("{setting}: only {} bytes of code: the trust core was not linked in", linked.text));
    }
    let clean = if report.findings.is_empty() { "; no heap, no panic" } else { "" };
    report.notes.push(format!(
        "{BARE_TARGET}, opt-level z, {setting}: {} bytes of code, {} of constants, {} of static memory{clean}",
        linked.text, linked.constants, linked.data
    ));
    report
}

#[cfg(test)]
mod tests {
    use super::*;

    fn linked(text: u64, symbols: &[&str]) -> elf::Linked {
        elf::Linked { text, symbols: symbols.iter().map(ToString::to_string).collect(), ..elf::Linked::default() }
    }

    /// Shows REQ-HOUSE-04.
    #[test]
    fn heap_and_panics_are_found_by_their_symbols() {
        let found = |symbols: &[&str]| judge("x", &linked(40_000, symbols)).findings.len();
        assert_eq!(found(&["_start", "_RNvNtCs_13medlock_trust6decide"]), 0);
        assert_eq!(found(&["_RNvCs_7___rustc12___rust_alloc"]), 1);
        assert_eq!(found(&["_RNvNtCs_4core9panicking9panic_fmt"]), 1);
    }

    #[test]
    fn an_empty_binary_shows_nothing() {
        assert_eq!(judge("x", &linked(100, &["_start"])).findings.len(), 1);
    }
}
