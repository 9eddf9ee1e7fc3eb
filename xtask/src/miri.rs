//! Stage `miri`: the parts without a heap, run by Rust's interpreter, which sees undefined behaviour, reads of
//! uninitialised memory and unaligned access in them and in the crates below them.
//!
//! Miri is some hundred times slower than the machine and cannot call C, so it runs the tests that need neither a
//! signature by aws-lc-rs nor many of them: each crate says which, by the names of its modules.

use crate::Result;
use crate::command::Program;
use crate::house::House;
use crate::stage::{Counts, Report};

/// What is run: a package, and the parts of test names.
const RUNS: [(&str, &[&str]); 3] = [
    ("medlock-trust", &["c509::"]),
    ("medlock-proto", &["edhoc::coap", "edhoc::refusals::error_messages"]),
    // The one crate with `unsafe`.
    ("medlock-device-c", &["acts::", "calls::"]),
];

pub(crate) fn check(house: &House) -> Result<Report> {
    let mut report = Report::default();
    for (package, names) in RUNS {
        let mut counts = Counts::default();
        let target = house.target.join("miri");
        let success = Program::new("cargo")
            .args(["+nightly", "miri", "test", "--quiet", "--lib", "--tests", "--package", package, "--target-dir"])
            .args([&target])
            .args(["--"])
            .args(names)
            .env("MIRIFLAGS", "-Zmiri-disable-isolation -Zmiri-strict-provenance")
            .watch(true, |line| counts += counted(line))?;
        if !success {
            report.findings.push(format!("{package}: Miri found something; see above"));
        } else if counts.passed == 0 {
            report.findings.push(format!("{package}: no test has one of the names {}", names.join(" ")));
        }
        report.notes.push(format!("{package}: {} tests", counts.passed));
        report.counts += counts;
    }
    Ok(report)
}

/// The counts of a line `test result: ok. 3 passed; 0 failed; …`, or none.
fn counted(line: &str) -> Counts {
    let number = |word: &str| {
        let before = line.split(word).next()?;
        before.split_whitespace().last()?.parse().ok()
    };
    if !line.starts_with("test result:") {
        return Counts::default();
    }
    Counts { passed: number(" passed").unwrap_or(0), failed: number(" failed").unwrap_or(0), ignored: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_counted() {
        let line = "test result: ok. 12 passed; 1 failed; 0 ignored; 0 measured; 80 filtered out";
        assert_eq!(counted(line), Counts { passed: 12, failed: 1, ignored: 0 });
        assert_eq!(counted("12 passed"), Counts::default());
    }
}
