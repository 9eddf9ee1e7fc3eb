//! Stage `bare`: the trust core links for a Cortex-M4 with no allocator and no operating system.
//!
//! `cargo check` would not see a hidden use of the heap; only a linked binary shows it.

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
/// Functions without which the optimiser has thrown the core away, and the figures mean nothing.
const LEAST_TEXT_BYTES: u64 = 4096;

pub(crate) fn check(house: &House) -> Result<Report> {
    let manifest = house.root.join("crates/trust/bare/Cargo.toml");
    let target = house.target.join("bare");
    Program::new("cargo")
        .args(["build", "--release", "--locked", "--target", BARE_TARGET, "--manifest-path"])
        .args([&manifest])
        .args(["--target-dir"])
        .args([&target])
        .run()?;
    let path = target.join(BARE_TARGET).join("release/medlock-trust-bare");
    let file = std::fs::read(&path).map_err(|error| Error::new(format!("cannot read {}: {error}", path.display())))?;
    let linked = elf::read(&file).ok_or_else(|| Error::new(format!("{} is no 32-bit ELF file", path.display())))?;
    Ok(judge(&linked))
}

fn judge(linked: &elf::Linked) -> Report {
    let mut report = Report::default();
    for symbol in linked.symbols.iter().filter(|symbol| HEAP.iter().any(|part| symbol.contains(part))) {
        report.findings.push(format!("the heap is used: {symbol}"));
    }
    for symbol in linked.symbols.iter().filter(|symbol| PANICS.iter().any(|part| symbol.contains(part))) {
        report.findings.push(format!("a panic is reachable: {symbol}"));
    }
    if linked.text < LEAST_TEXT_BYTES {
        report.findings.push(format!("only {} bytes of code: the trust core was not linked in", linked.text));
    }
    report.notes.push(format!(
        "{BARE_TARGET}, opt-level z: {} bytes of code, {} of constants, {} of static memory; no heap, no panic",
        linked.text, linked.constants, linked.data
    ));
    report
}
